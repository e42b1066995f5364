"""Tables as files, and the verbs that make them."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sql

import recoup
from features.units import parse_instant
from serving.review import commands as review_commands
from serving.review.exporting import TABLES, csv_text, excel_bytes
from serving.review.reading import Missing
from serving.review.tables import Table
from serving.starting import keep_bundle
from serving.store.database import open_store
from serving.store.ledger import answers
from serving.store.portfolio import keep_settings
from tests.serving.review.pages.registries import registry_at
from tests.serving.review.rolled import NOW, filled, observed
from tests.serving.small import SETTINGS, free_port, small_bundle
from training.bundle import write_bundle

HOSTILE = '=HYPERLINK("http://elsewhere")<b>&'
TABLE = Table(
    pd.DataFrame({"segment": [HOSTILE, "card"], "accounts": [3, 4], "money_ratio": [0.1 + 0.2, np.nan]}), "all of it"
)


def test_numbers_in_csv_are_read_back_as_they_were() -> None:
    again = pd.read_csv(StringIO(csv_text(TABLE)))
    assert again["money_ratio"].tolist()[0] == 0.1 + 0.2
    assert again["accounts"].tolist() == [3, 4]


def test_no_text_is_a_formula_anywhere() -> None:
    assert pd.read_csv(StringIO(csv_text(TABLE)))["segment"].tolist() == [f"'{HOSTILE}", "card"]
    sheets = xml_of(excel_bytes({"by_segment": TABLE}, NOW))
    assert not re.search("<f[ >]", "".join(sheets.values()))
    assert "hyperlink" not in "".join(text for name, text in sheets.items() if "worksheets" in name).lower()


def xml_of(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(BytesIO(content)) as parts:
        return {name: parts.read(name).decode() for name in parts.namelist()}


def test_an_excel_file_has_a_sheet_for_each_table_and_says_what_is_missing() -> None:
    empty = Table(pd.DataFrame(columns=["band"]), "nothing", Missing("no outcome has matured yet"))
    sheets = xml_of(excel_bytes({"by_segment": TABLE, "by_band": empty}, NOW))
    assert re.findall(r'<sheet name="(\w+)"', sheets["xl/workbook.xml"]) == ["about", "by_segment", "by_band"]
    assert "no outcome has matured yet" in sheets["xl/sharedStrings.xml"]
    assert "<v>0.3</v>" in sheets["xl/worksheets/sheet2.xml"]
    assert excel_bytes({"by_segment": TABLE}, NOW) == excel_bytes({"by_segment": TABLE}, NOW)


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = recoup.main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_month_is_rolled_up_and_reported_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path / "var"))
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url)
    keep_settings(store, SETTINGS)
    filled(store, n_accounts=30)
    store.close()
    code, out, err = run("rollup", "--store", url, capsys=capsys)
    assert code == 0
    assert "is not in the registry any more): any amount" in err
    assert "new observations" in out
    assert "windows ended by 2026-06" in out
    code, out, err = run("rollup", "--store", url, capsys=capsys)
    assert (code, err) == (0, "")
    assert out.startswith("0 scores read, 0 new observations, 0 outcomes matured, 0 months")
    folder = tmp_path / "report"
    code, out, err = run("report", "--store", url, "--month", "2026-02", "--out", str(folder), capsys=capsys)
    assert code == 0
    assert err.startswith("Note: versions and promotions are left out (there is no model small in the registry")
    files = {*(f"{name}.csv" for name in TABLES), "report-2026-02.xlsx", "report-2026-02.html"}
    assert {path.name for path in folder.iterdir()} == files
    monkeypatch.setattr("training.registered.read_registry", lambda *_: registry_at(NOW))
    code, out, err = run("report", "--store", url, "--month", "2026-02", "--out", str(folder), capsys=capsys)
    assert (code, err) == (0, "")
    registered = {f"model_{name}.csv" for name in ("versions", "promotions", "checks")}
    assert {path.name for path in folder.iterdir()} == files | registered
    assert pd.read_csv(folder / "model_promotions.csv")["by"].tolist() == ["<b>eve</b>", "bo", "ann", "ann", "ann"]
    assert "<b>eve" not in (folder / "report-2026-02.html").read_text("utf-8")
    assert pd.read_csv(folder / "by_band.csv")["accounts"].sum() == 30
    assert "Portfolio small" in (folder / "report-2026-02.html").read_text("utf-8")
    heads = (folder / "by_band.csv").read_text().splitlines()[0]
    chosen = ("--language", "zh-Hans", "--month", "2026-02", "--out", str(folder))
    assert run("report", "--store", url, *chosen, capsys=capsys)[0] == 0
    assert '<html lang="zh-Hans">' in (folder / "report-2026-02.html").read_text("utf-8")
    assert (folder / "by_band.csv").read_text().splitlines()[0] == heads


def test_a_registry_that_is_not_there_is_left_out_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path / "var"))
    assert review_commands._registered("small", f"sqlite:///{tmp_path}/nowhere/mlflow.db", NOW) == {}
    assert "are left out (there is no registry at" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    assert review_commands._registered("small", f"http://127.0.0.1:{free_port()}", NOW) == {}
    assert "did not answer" in capsys.readouterr().err


def test_until_when_a_model_learned_is_read_from_its_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path))
    bundle = write_bundle(small_bundle(), tmp_path / "bundle")
    keep_bundle(bundle, tmp_path / "serving")
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url)
    filled(store)
    keep_settings(store, SETTINGS)
    with store.writing() as connection:
        connection.execute(sql.update(answers).values(bundle_sha256=bundle.digest))
    code, out, err = run("rollup", "--store", url, capsys=capsys)
    assert code == 0, err
    # Five days of scores before the first of March, each by the champion and by the challenger.
    assert "Not counted: 10 answers of the ledger are of time that their model had learned from" in out
    assert observed(store)["as_of"].min() >= parse_instant(bundle.manifest.trained_until)
    store.close()


def test_what_cannot_be_reported_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url)
    target = ("--out", str(tmp_path / "report"), "--store", url)
    code, _, err = run("report", "--month", "2026-02", *target, capsys=capsys)
    assert code == 1
    assert "load it first" in err
    keep_settings(store, SETTINGS)
    store.close()
    code, _, err = run("report", "--month", "2026-02", *target, capsys=capsys)
    assert code == 1
    assert "call recoup rollup first" in err
    code, _, err = run("report", "--month", "02/2026", *target, capsys=capsys)
    assert code == 2
    assert "written like 2026-10" in err
    code, out, _ = run("rollup", "--store", url, capsys=capsys)
    assert code == 0
    assert "no score was given yet" in out
