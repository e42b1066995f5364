"""`recoup check`: what it counts, what it writes, and when it refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from features.checking import REJECT_COLUMNS
from features.commands import check
from features.contract import TABLES
from features.errors import PortfolioError, RecoupError, SettingsError
from tests.features import plain


def run(*arguments: object) -> Result:
    return CliRunner().invoke(check, [str(argument) for argument in arguments])


def spoilt(folder: Path) -> Path:
    """A portfolio with three bad contacts and one bad payment."""
    tables = plain.rows()
    contact, payment = tables["contacts"][1], tables["payments"][1]
    tables["contacts"] += [dict(contact, channel="fax", contact_id=f"X{place}") for place in range(2)]
    tables["contacts"] += [dict(contact, account_id="A9", contact_id="X3")]
    tables["payments"] += [dict(payment, amount="a lot", payment_id="X4")]
    return plain.write(folder, tables)


def numbers_of(output: str, table: str) -> list[str]:
    line = next(line for line in output.splitlines() if f" {table} " in line)
    return [cell.strip() for cell in line.split("│")[2:-1]]


def test_a_portfolio_in_which_everything_is_right(tmp_path: Path) -> None:
    result = run(plain.write(tmp_path / "east"))
    assert result.exit_code == 0
    assert "Portfolio east" in result.stdout
    assert all(numbers_of(result.stdout, table) == ["2", "2", "0"] for table in TABLES)
    assert "Usable: 2 accounts, nothing set aside." in result.stdout


def test_what_is_set_aside_is_counted_by_reason_and_written(tmp_path: Path) -> None:
    result = run(spoilt(tmp_path / "east"), "--rejects", tmp_path / "bad" / "rows")
    assert result.exit_code == 0
    assert numbers_of(result.stdout, "contacts") == ["5", "2", "3"]
    assert "is not one of sms, email" in result.stdout
    assert "contacts.csv, row 3" in result.stdout
    assert "4 rows are set aside, see " in result.stdout
    assert "a lot" not in result.stdout  # values may be personal; they are in the file, for whom it is meant
    written = sorted(path.name for path in (tmp_path / "bad" / "rows").iterdir())
    assert written == ["contacts.csv", "payments.csv"]
    rejects = pd.read_csv(tmp_path / "bad" / "rows" / "contacts.csv")
    assert tuple(rejects.columns) == REJECT_COLUMNS
    assert rejects[["row", "column", "value"]].to_numpy().tolist() == [
        [3, "channel", "fax"],
        [4, "channel", "fax"],
        [5, "account_id", "A9"],
    ]


def test_rejects_of_an_earlier_check_do_not_stay(tmp_path: Path) -> None:
    run(spoilt(tmp_path / "east"), "--rejects", tmp_path / "bad")
    plain.write(tmp_path / "east")
    assert run(tmp_path / "east", "--rejects", tmp_path / "bad").exit_code == 0
    assert all(len(pd.read_csv(path)) == 0 for path in (tmp_path / "bad").iterdir())


def test_rejects_never_take_the_place_of_a_table(tmp_path: Path) -> None:
    folder = spoilt(tmp_path / "east")
    before = (folder / "contacts.csv").read_bytes()
    result = run(folder, "--rejects", folder)
    assert isinstance(result.exception, PortfolioError)
    assert "choose another folder for the rejects" in str(result.exception)
    assert (folder / "contacts.csv").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(spoilt(tmp_path / "east"), "--rejects", tmp_path / "file" / "rows")
    assert isinstance(result.exception, RecoupError)
    assert "cannot be written" in str(result.exception)


def test_what_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path / "none").exception, PortfolioError)
    folder = plain.write(tmp_path / "east")
    settings = tmp_path / "other.toml"
    settings.write_text("horizon = 3", encoding="utf-8")
    assert isinstance(run(folder, "--settings", settings).exception, SettingsError)
    (folder / "contacts.csv").unlink()
    assert isinstance(run(folder).exception, PortfolioError)


def test_files_that_no_table_is_called_by_are_named(tmp_path: Path) -> None:
    folder = plain.write(tmp_path / "east")
    (folder / "restrictions.csv").rename(folder / "restriction.csv")
    assert "Not read, since no table is called so: restriction.csv." in run(folder).stdout


@pytest.mark.parametrize("name", ["[red]", "[/]", "[link=x]"])
def test_a_name_is_no_markup(tmp_path: Path, name: str) -> None:
    folder = plain.write(tmp_path / "east")
    (folder / "portfolio.toml").write_text(f'name = "{name}"', encoding="utf-8")
    assert f"Portfolio {name}" in run(folder).stdout
