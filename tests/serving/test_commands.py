"""`recoup score` and `recoup queue` as a user calls them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from features.as_of import read_moment
from features.errors import BundleError, MomentError, RecoupError, SettingsError
from features.units import DAY, parse_instant
from serving import commands
from serving.day import Scenario
from serving.languages.language import language_called
from serving.queue import build_queue
from serving.reasons import explain
from serving.scoring import prepare_scorer, rows_of, score
from tests.serving.small import AS_OF, free_port, same_bits, small_bundle, small_histories

MOMENT = ["--as-of", "2026-04-01T06:30:00Z"]


def run(command: click.Command, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def refused(command: click.Command, *arguments: str | Path) -> RecoupError:
    result = run(command, *arguments)
    assert isinstance(result.exception, RecoupError), result.output
    return result.exception


def test_score_writes_the_table_and_shows_its_head(portfolio_folder: Path, bundle_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "scores.parquet"
    result = run(commands.score, portfolio_folder, *MOMENT, "--out", out, "--model", bundle_folder, "--top", "3")
    assert result.exit_code == 0, result.output
    expected = score(prepare_scorer(small_bundle()), small_histories(), AS_OF).assign(model="small-bundle")
    assert same_bits(pd.read_parquet(out), expected)
    assert f"The 3 of highest priority of {len(expected):,} live accounts" in result.stdout
    assert [path.name for path in out.parent.iterdir()] == ["scores.parquet"]


def test_scores_in_csv_are_read_back_as_the_same_bits(
    portfolio_folder: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    for name in ("scores.parquet", "scores.csv"):
        result = run(
            commands.score, portfolio_folder, *MOMENT, "--out", tmp_path / name, "--model", bundle_folder, "--reasons"
        )
        assert result.exit_code == 0, result.output
    table = pd.read_parquet(tmp_path / "scores.parquet")
    text = pd.read_csv(tmp_path / "scores.csv", dtype=str).astype(table.dtypes.drop("as_of").to_dict())
    assert set(text["as_of"]) == {"2026-04-01T06:30:00Z"}
    assert same_bits(text.drop(columns="as_of"), table.drop(columns="as_of"))
    assert table["reasons"].str.match(r"[+-] ").all()


def test_queue_writes_the_queue_and_those_held_back(
    portfolio_folder: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    files = ("--out", tmp_path / "queue.csv", "--held", tmp_path / "held.csv")
    result = run(
        commands.queue, portfolio_folder, *MOMENT, "--capacity", "call=7", "--capacity", "sms=2", *files,
        "--model", bundle_folder, "--explain", "4",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows, held = pd.read_csv(tmp_path / "queue.csv"), pd.read_csv(tmp_path / "held.csv")
    scorer, histories = prepare_scorer(small_bundle()), small_histories()
    expected = build_queue(scorer, score(scorer, histories, AS_OF), histories, AS_OF, {"call": 7, "sms": 2})
    assert rows["account_id"].tolist() == expected.rows["account_id"].tolist()
    assert rows["reasons"].notna().tolist() == [True] * 4 + [False] * (len(rows) - 4)
    assert held["account_id"].tolist() == expected.held["account_id"].tolist()
    assert (
        f"{expected.counts['live']:,} live accounts, {len(rows)} in the queue (call 7 of 7, sms 2 of 2)"
        in result.stdout
    )
    assert "Not reached:" in result.stdout
    assert "Note: not worked, since no capacity is stated: e-mail, letter, visit, legal letter." in result.stdout
    assert "there is no rule pack 'nowhere'" in result.stdout
    assert "the first 4 rows carry reasons" in result.stdout


def test_what_is_told_is_in_the_language_asked_for(portfolio_folder: Path, bundle_folder: Path, tmp_path: Path) -> None:
    out, held = tmp_path / "queue.csv", tmp_path / "held.csv"
    told: list[str | Path] = [portfolio_folder, *MOMENT, "--model", bundle_folder, "--language", "zh-Hans"]
    result = run(
        commands.queue, *told, "--capacity", "call=7", "--explain", "4", "--out", out, "--held", held, "--top", "3"
    )
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(out)
    scorer, histories, chinese = prepare_scorer(small_bundle()), small_histories(), language_called("zh-Hans")
    expected = build_queue(scorer, score(scorer, histories, AS_OF), histories, AS_OF, {"call": 7}, language=chinese)
    for name in ("history", "why_channel", "would_change", "channel"):
        assert rows[name].tolist() == expected.rows[name].tolist()
    assert rows["history"][0].split("；")[0] in result.stdout
    assert "提示：因未设定产能而不使用：短信、邮件、催收函、上门、律师函。" in result.stdout
    assert "Note:" not in result.stdout
    assert pd.read_csv(held)["why"].tolist() == expected.held["why"].tolist()
    reasons = rows["reasons"].dropna().tolist()
    assert reasons == explain(
        scorer, histories, rows_of(histories, rows["account_id"].head(4)), AS_OF, language=chinese
    )
    result = run(commands.score, *told, "--reasons", "--out", tmp_path / "scores.csv")
    assert result.exit_code == 0, result.output
    scores = pd.read_csv(tmp_path / "scores.csv").set_index("account_id")
    assert scores.loc[rows["account_id"].head(4), "reasons"].tolist() == reasons
    assert run(commands.queue, *told[:-1], "tlh", "--out", out).exit_code == 2


def test_queue_tells_what_one_more_place_and_other_capacities_would_bring(
    portfolio_folder: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    result = run(
        commands.queue, portfolio_folder, *MOMENT, "--capacity", "call=7", "--capacity", "sms=2", "--explain", "0",
        "--what-if", "call=30", "--what-if", "call=3, sms=40", "--out", tmp_path / "queue.csv",
        "--model", bundle_folder,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    scorer, histories = prepare_scorer(small_bundle()), small_histories()
    others = (Scenario({"call": 30, "sms": 2}), Scenario({"call": 3, "sms": 40}))
    expected = build_queue(
        scorer, score(scorer, histories, AS_OF), histories, AS_OF, {"call": 7, "sms": 2}, alternatives=others
    )
    prices = expected.prices
    assert f"One more would add: sms {prices['sms']:.2f}, call {prices['call']:.2f}." in result.stdout
    lines = [next(line for line in result.stdout.splitlines() if text in line) for text in ("call=30", "sms=40")]
    for line, one in zip(lines, expected.what_if, strict=True):
        assert f"{one.value:,.2f}" in line
        assert f"{one.difference:+,.2f}" in line
    assert "sms 2, call 30" in lines[0]
    wrong = refused(
        commands.queue, portfolio_folder, *MOMENT, "--what-if", "pigeon=1", "--out", tmp_path / "q.csv",
        "--model", bundle_folder,
    )  # fmt: skip
    assert isinstance(wrong, SettingsError)


def test_queue_knows_the_capacities_that_the_portfolio_names_and_tries_rules_and_costs(
    portfolio_folder: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "named.toml"
    named = '[[queue.capacities]]\nname = "cards"\nlimit = 3\nchannels = ["call"]\nwhere = { segment = ["card"] }\n'
    budget = '[[queue.capacities]]\nname = "budget"\nlimit = 25\ncounts = "cost"\n'
    settings.write_text((portfolio_folder / "portfolio.toml").read_text("utf-8") + named + budget, "utf-8")
    common = (*MOMENT, "--settings", str(settings), "--model", str(bundle_folder), "--explain", "0")
    result = run(
        commands.queue, portfolio_folder, *common, "--capacity", "call=20", "--capacity", "budget=16.5",
        "--what-if", "cards=8,budget=40", "--what-if", "rules=us-reg-f", "--what-if", "cost.call=3.2",
        "--out", tmp_path / "queue.csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(tmp_path / "queue.csv")
    assert len(rows) == 10
    assert "(call 10 of 20, cards 1 of 3, budget 16 of 16.50)" in result.stdout
    assert "One more would add: call 0.00, cards " in result.stdout
    for text in ("cards=8,budget=40", "rules=us-reg-f", "cost.call=3.2"):
        assert text in result.stdout
    wrong = refused(commands.queue, portfolio_folder, *common, "--capacity", "team=1", "--out", tmp_path / "q.csv")
    assert "or one of its own, cards, budget; got 'team'" in str(wrong)
    wrong = refused(
        commands.queue, portfolio_folder, *common, "--what-if", "rules=nowhere", "--out", tmp_path / "q.csv"
    )
    assert "us-reg-f" in str(wrong)


def test_queue_keeps_to_a_ladder_by_name_or_of_a_file(
    portfolio_folder: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    places = ("--capacity", "call=9", "--capacity", "sms=9")
    given: tuple[str | Path, ...] = (portfolio_folder, *MOMENT, *places, "--model", bundle_folder)
    own = tmp_path / "own.toml"
    head = 'name = "own"\ntitle = ""\nsource = ""\ndated = 2026-01-01\ncurrency = "EUR"\n'
    own.write_text(f'{head}[[rungs]]\nid = "late"\nchannel = "call"\nsource = ""\nfrom_days = 3000\n', "utf-8")
    for ladder in ("default", str(own), "none"):
        result = run(commands.queue, *given, "--explain", "0", "--ladder", ladder, "--out", tmp_path / "q.csv")
        assert result.exit_code == 0, result.output
        text = " ".join(result.stdout.split())
        assert ("Note: the ladder" in text) == (ladder != "none")
        if ladder == str(own):
            assert "the ladder own says nothing of SMS, e-mail, letter, visit, legal letter: they stay open" in text
            assert set(pd.read_csv(tmp_path / "q.csv")["channel"]) == {"sms"}
    assert isinstance(refused(commands.queue, *given, "--ladder", "steep", "--out", tmp_path / "r.csv"), SettingsError)
    assert not (tmp_path / "r.csv").exists()


def test_a_moment_long_after_the_last_row_is_worth_a_warning(
    portfolio_folder: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    model = ("--out", tmp_path / "s.csv", "--model", bundle_folder, "--top", "0")
    late = run(commands.score, portfolio_folder, "--as-of", "2026-06-01", *model)
    assert late.exit_code == 0
    assert "Warning: the last row became known at 2026-04-1" in late.stderr
    assert "Warning" not in run(commands.score, portfolio_folder, *model).output


def test_what_cannot_be_done_is_one_clear_error(portfolio_folder: Path, bundle_folder: Path, tmp_path: Path) -> None:
    out, model = ("--out", tmp_path / "q.csv"), ("--model", bundle_folder)
    future = refused(commands.queue, portfolio_folder, "--as-of", "2099-01-01", *out, *model)
    assert isinstance(future, MomentError)
    early = refused(commands.queue, portfolio_folder, "--as-of", "2001-01-01", *out, *model)
    assert "no account is live" in str(early)
    unknown = refused(commands.queue, portfolio_folder, *MOMENT, "--capacity", "pigeon=1", *out, *model)
    assert isinstance(unknown, SettingsError)
    form = refused(commands.score, portfolio_folder, *MOMENT, "--out", tmp_path / "scores.xlsx", *model)
    assert "is written as .parquet or .csv" in str(form)
    assert not list(tmp_path.iterdir())


def test_a_portfolio_of_other_channels_is_refused(portfolio_folder: Path, bundle_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[channels.fax]\ncost = 1.0\n", "utf-8")
    arguments = ("--out", tmp_path / "s.csv", "--model", bundle_folder, "--settings", other)
    assert isinstance(refused(commands.score, portfolio_folder, *MOMENT, *arguments), BundleError)


def test_serve_refuses_a_port_in_use_and_a_host_that_is_none(bundle_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = refused(commands.serve, "--port", str(port), "--model", bundle_folder)
    assert f"127.0.0.1:{port} cannot be used" in str(error)
    assert "a host is an IP address or localhost" in str(refused(commands.serve, "--host", "nowhere.example"))


def test_serve_refuses_to_explore_a_channel_that_is_none(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "RECOUP_VAR": str(tmp_path)})
    exploring = ("--explore", "0.1", "--explore-channel", "pigeon")
    error = refused(commands.serve, "--port", str(free_port()), "--model", bundle_folder, *exploring)
    assert "channels to explore are some of the portfolio's" in str(error)


@pytest.mark.parametrize(
    ("last_known", "expected"),
    [
        ("2026-03-01T12:00:00", "2026-03-02"),
        ("2026-03-01", "2026-03-02"),
        ("2026-03-09T23:00:00", "2026-03-10"),
        ("2026-03-10T07:00:00", "2026-03-10T08:00:00"),
        ("2027-01-01", "2026-03-10T08:00:00"),
    ],
)
def test_latest_is_the_day_after_the_last_row_and_never_in_the_future(last_known: str, expected: str) -> None:
    now = parse_instant("2026-03-10T08:00:00")
    assert read_moment("latest", parse_instant(last_known), now) == parse_instant(expected)
    assert read_moment("2026-03-10", parse_instant(last_known), now) == now - 8 * DAY // 24
