"""`recoup replay`, as a user runs it: what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sql

from features.portfolio import wanted_columns
from features.raw import raw_from_frames
from recoup import main
from serving.scoring import Scorer
from serving.starting import keep_bundle
from serving.store.database import Store, open_store
from serving.store.erasing import erase_from_ledger
from serving.store.events import take_in
from serving.store.ledger import record, scores
from serving.store.reading import read_histories
from tests.serving.small import AS_OF, SETTINGS, random_frames
from tests.serving.store.scored import answer_of, live_rows, scored_of
from training.bundle import write_bundle


@pytest.fixture
def account_ids(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A var folder with a store, in whose ledger ten accounts are scored twice, and the bundle that did it."""
    monkeypatch.setenv("RECOUP_VAR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    frames = random_frames(40)
    store = _store(tmp_path)
    taken = take_in(store, raw_from_frames(frames, wanted_columns(SETTINGS)), SETTINGS, AS_OF)
    histories = read_histories(store, frames["accounts"]["account_id"].tolist(), SETTINGS).histories
    given = scored_of(scorer, histories, live_rows(histories, 10))
    sealed = write_bundle(scorer.bundle, tmp_path / "bundle")
    keep_bundle(sealed, tmp_path / "serving")
    for _ in range(2):
        record(store, answer_of(scorer, arrival=taken.arrival, bundle_sha256=sealed.digest), given)
    store.close()
    return [str(account_id) for account_id in given.account_id]


def _store(folder: Path) -> Store:
    return open_store(f"sqlite:///{folder}/store.db")


def test_all_come_out_again(account_ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay"]) == 0
    assert "20 scores of 2 answers came out again, bit for bit" in capsys.readouterr().out
    assert main(["replay", "--account", account_ids[3]]) == 0
    assert "2 scores of 2 answers came out again" in capsys.readouterr().out
    assert main(["replay", "--answer", "2"]) == 0
    assert "10 scores of 1 answers came out again" in capsys.readouterr().out


def test_one_that_does_not_is_shown(account_ids: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = _store(tmp_path)
    with store.writing() as connection:
        connection.execute(sql.update(scores).where(scores.c.account_id == account_ids[0]).values(p_pay=0.125))
    store.close()
    assert main(["replay", "--last", "1"]) == 1
    shown = capsys.readouterr()
    assert account_ids[0] in shown.out
    assert "0.125" in shown.out
    assert "1 came out otherwise and 0 could not be computed" in shown.err


def test_an_erased_account_is_told_and_is_no_failure(
    account_ids: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = _store(tmp_path)
    with store.writing() as connection:
        erase_from_ledger(connection, account_ids[0], at=1)
    store.close()
    assert main(["replay"]) == 0
    assert "2 are of accounts that were erased" in capsys.readouterr().out


def test_a_bundle_that_is_nowhere_is_a_failure(
    account_ids: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "serving").rename(tmp_path / "elsewhere")
    assert main(["replay", "--account", account_ids[0]]) == 1
    shown = capsys.readouterr()
    assert "is not in the registry any more" in shown.out
    assert "0 came out otherwise and 2 could not be computed" in shown.err


def test_account_and_answer_at_once_are_refused(account_ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--account", "A", "--answer", "1"]) == 2
    assert "not by both" in capsys.readouterr().err
