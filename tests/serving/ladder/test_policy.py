"""A ladder's file: read strictly, with errors that say what to mend, and in words as the page has it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from features.errors import SettingsError
from features.settings import QueueRules, parse_settings, read_settings
from features.stages import STAGES
from serving.ladder.describing import ladders_in_words
from serving.ladder.policy import Stage, ladder_called, ladder_of, read_ladder, shipped_ladders, stage_number
from serving.store.portfolio import settings_toml
from tests.serving.small import SETTINGS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ladder.md"
HEAD = 'name = "own"\ntitle = "Own"\nsource = "The house"\ndated = 2026-01-01\ncurrency = "EUR"\n'
RUNG = '[[rungs]]\nid = "call"\nchannel = "call"\nsource = "The house"\n'


def test_the_stages_of_a_policy_are_those_of_the_feature() -> None:
    assert get_args(Stage) == STAGES
    assert [stage_number(stage) for stage in get_args(Stage)] == list(range(7))


def test_every_shipped_ladder_goes_by_its_name_and_cites_where_it_is_from() -> None:
    for name, ladder in shipped_ladders().items():
        assert ladder_called(name, SETTINGS) is ladder
        assert all(rung.source for rung in ladder.rungs)
        assert ladder.end is not None
        assert ladder.end.source


def test_the_page_has_the_ladders_that_there_are() -> None:
    assert ladders_in_words().rstrip() in PAGE.read_text("utf-8"), "put there what `ladders_in_words` gives"


def test_the_example_of_a_ladder_on_the_page_is_one() -> None:
    ladder = read_ladder(PAGE.read_text("utf-8").split("```toml\n")[1].split("```")[0])
    assert len(ladder.rungs) == 2
    assert ladder.end is not None
    assert ladder.end.sale is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rungs = [", "a ladder is TOML"),
        (HEAD, "rungs"),
        (f"{HEAD}rungs = []", "a rung at least, got none in own"),
        (f"{HEAD}{RUNG}every = 3", "unknown field `every`"),
        (f"{HEAD}{RUNG}from_stage = 'middle'", "from_stage"),
        (f"{HEAD}{RUNG}every_days = 0", "every_days"),
        (f"{HEAD}{RUNG}least_balance = -1", "least_balance"),
        (f"{HEAD}{RUNG}after = {{ sms = 0 }}", "after"),
        (f"{HEAD}{RUNG}overrides = [{{ where = {{ segment = ['x'] }} }}]", "least_balance"),
        (f"{HEAD}{RUNG}{RUNG}", "call twice in own"),
        (f"{HEAD}{RUNG}from_stage = 'mid'\nfrom_days = 3", "call begins from a stage or from days past due, got both"),
        (f"{HEAD}{RUNG}or_days = 365", "or_days is beside a least_balance, got it alone in call"),
        (f"{HEAD}{RUNG}[end]\nsource = ''\n[end.agency]\nsource = ''\ncommission = 1.5", "commission"),
        (f"{HEAD}{RUNG}[end]\nsource = ''\nfrom_stage = 'late'\nfrom_days = 9", "end begins from a stage or from days"),
    ],
)
def test_what_is_wrong_with_a_ladder_is_said(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        read_ladder(text)


def test_a_ladder_is_checked_against_the_portfolio(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    with pytest.raises(SettingsError, match=r"a ladder is one of default, or the path of a \.toml file; got 'steep'"):
        ladder_called("steep", SETTINGS)
    with pytest.raises(SettingsError, match=r"own\.toml cannot be read"):
        ladder_called(str(file), SETTINGS)
    file.write_bytes(b"name = '\xff'")
    with pytest.raises(SettingsError, match="not text in UTF-8"):
        ladder_called(str(file), SETTINGS)
    file.write_text(f"{HEAD}{RUNG}after = {{ fax = 1 }}", "utf-8")
    with pytest.raises(SettingsError, match="got fax in own"):
        ladder_called(str(file), SETTINGS)
    file.write_text(f"{HEAD}{RUNG}overrides = [{{ where = {{ unit = ['v'] }}, least_balance = 1 }}]", "utf-8")
    with pytest.raises(SettingsError, match="segment, portfolio, employment of accounts; got unit in own"):
        ladder_called(str(file), SETTINGS)
    file.write_text(f"{HEAD}{RUNG}", "utf-8-sig")
    assert ladder_called(str(file), SETTINGS).name == "own"


def test_no_ladder_holds_unless_it_is_asked_for() -> None:
    settings = replace(SETTINGS, queue=QueueRules(ladder="default"))
    default = shipped_ladders()["default"]
    assert ladder_of(None, SETTINGS) is None
    assert ladder_of("default", SETTINGS) is ladder_of(None, settings) is default
    assert ladder_of("none", settings) is None


def test_the_path_of_a_ladder_is_one_beside_the_settings_and_kept_in_a_store(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(f"{HEAD}{RUNG}", "utf-8")
    (tmp_path / "portfolio.toml").write_text('[queue]\nladder = "own.toml"\n', "utf-8")
    settings = read_settings(tmp_path / "portfolio.toml", "east")
    assert settings.queue.ladder == str(tmp_path / "own.toml")
    kept = parse_settings(tomllib.loads(settings_toml(settings)), "")
    assert kept == settings
    ladder = ladder_of(None, kept)
    assert ladder is not None
    assert ladder.name == "own"
    with pytest.raises(SettingsError, match=r"^queue\.ladder must be .+, got ''"):
        parse_settings({"queue": {"ladder": ""}}, "east")
