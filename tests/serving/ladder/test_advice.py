"""Advice against its own words: every figure by plain arithmetic from the table, the policy and the accounts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from features.compute import feature_matrix, standing
from features.errors import HistoryError, RecoupError, SettingsError
from features.histories import Histories
from features.units import DAY
from serving.ladder import advice as advising
from serving.ladder.advice import CHOSEN, CLEAR, CLOSE, HELD_BACK, INSUFFICIENT, Advice, advise, gather
from serving.ladder.commands import advise as command
from serving.ladder.liquidation import Backtest, Total, landmarks
from serving.ladder.policy import Agency, End, Ladder, Lawyer, Override, Rung, Sale, shipped_ladders
from serving.ladder.rungs import rungs_of
from serving.scoring import prepare_scorer, score
from tests.serving.small import AS_OF, SETTINGS, histories_of, random_frames, small_bundle

SCORER = prepare_scorer(small_bundle())
HORIZON = 60
NOW = pd.Timestamp(AS_OF, unit="us", tz="UTC")
#: More of the small portfolio than its few legal letters.
STEPS = ("sms", "letter")
END = End(
    source="",
    from_days=110,
    rungs_used=True,
    unprofitable_from="early",
    horizon_days=HORIZON,
    agency=Agency(source="", commission=0.22, recovers=1.5, least_balance=400),
    lawyer=Lawyer(
        source="", fee=30, share=0.1, channels=STEPS, least_balance=900, or_days=150,
        overrides=(Override(where={"segment": ("card",)}, least_balance=300),),
    ),
    sale=Sale(source="", price=0.02),
)  # fmt: skip


@cache
def histories(own: bool = False) -> Histories:
    """The small portfolio with twice the accounts; the debts are the house's own, or of others."""
    frames, settings = random_frames(600, 3), SETTINGS
    if own:
        frames["accounts"] = frames["accounts"].drop(columns="commission_rate")
        settings = replace(SETTINGS, commission_rate=1.0)
    return histories_of(frames, settings)


def ladder_with(end: End | None = END) -> Ladder:
    rungs = (Rung(id="call", channel="call", source="", at_most=3), Rung(id="sms", channel="sms", source="", at_most=1))
    return replace_struct(shipped_ladders()["default"], name="drawn", rungs=rungs, end=end)


def replace_struct(ladder: Ladder, **changes: object) -> Ladder:
    import msgspec

    return msgspec.structs.replace(ladder, **changes)


@cache
def advised(own: bool = False, end: End = END) -> Advice:
    of = histories(own)
    return advise(SCORER, score(SCORER, of, AS_OF), of, AS_OF, ladder_with(end))


def accounts_of(own: bool = False) -> pd.DataFrame:
    frame = random_frames(600, 3)["accounts"].set_index("account_id")
    frame["share"] = 1.0 if own else frame["commission_rate"].fillna(SETTINGS.commission_rate)
    return frame


@pytest.mark.parametrize("own", [False, True])
def test_every_figure_follows_from_the_words_of_the_policy(own: bool) -> None:
    rows, accounts, evidence = advised(own).rows, accounts_of(own), gather(SCORER, histories(own), AS_OF, END)
    assert evidence.legal.factor is not None
    legal = float(evidence.legal.factor.mean[0])
    decided = rows[rows["expected_recovery"].notna()]
    assert len(decided) > 100
    for row in decided.to_dict("records"):
        account = accounts.loc[row["account_id"]]
        days = (NOW - account["placed_at"]) / pd.Timedelta(days=1)
        past_due = (NOW - account["due_on"]) / pd.Timedelta(days=1)
        cell = evidence.table.cells(np.array([days]), np.array([row["balance"]]))[0]
        paid, share, balance = row["expected_recovery"], account["share"], row["balance"]
        rate = evidence.table.rate.mean[cell] * balance
        assert np.isclose(paid / rate, evidence.factors.factor.mean).any()
        expected = {"keep": share * paid - evidence.table.cost[cell], "write_off": 0.02 * balance if own else 0.0}
        if balance >= 400 and share > 0.22:
            expected["agency"] = (share - 0.22) * 1.5 * paid
        least, older = (300, np.inf) if account["segment"] == "card" else (900, 150)
        if (balance >= least or past_due >= older) and share > 0.1:
            expected["lawyer"] = (share - 0.1) * legal * paid - 30
        for name in ("keep", "agency", "lawyer", "write_off"):
            assert row[name] == pytest.approx(expected.get(name, np.nan), nan_ok=True)
        ranked = sorted(expected.values(), reverse=True)
        names = {name: name for name in expected} | {"write_off": "sale" if own else "write-off"}
        assert expected[{value: name for name, value in names.items()}[row["advice"]]] == pytest.approx(ranked[0])
        assert row["lead"] == pytest.approx(ranked[0] - ranked[1])
        assert row["lead_low"] <= row["lead"] + 1e-9
        chosen = "lawyer" in {row["advice"], row["second"]}
        assert row["evidence"] == (CHOSEN if chosen else CLEAR if row["lead_low"] > 0 else CLOSE)
        assert f"{paid:,.0f}; going on costs {evidence.table.cost[cell]:,.0f}" in row["because"]
        assert ("an agency: keeps 22%; recovers 1.5 times what going on would (assumption)" in row["assumes"]) == (
            "agency" in {row["advice"], row["second"]}
        )
    assert {*decided["advice"]} >= ({"keep", "sale"} if own else {"keep", "write-off"})
    gained = decided[["keep", "agency", "lawyer", "write_off"]].max(axis=1) - decided["keep"]
    assert gained.is_monotonic_decreasing
    assert set(rows[rows["expected_recovery"].isna()]["advice"]) <= {HELD_BACK, INSUFFICIENT}
    assert set(rows["advice"].tail(1)) <= {HELD_BACK, INSUFFICIENT}


def test_accounts_are_at_the_end_where_the_policy_says() -> None:
    rows, accounts = advised().rows.set_index("account_id"), accounts_of()
    scores = score(SCORER, histories(), AS_OF)
    places = np.flatnonzero(np.isin(histories().accounts.account_id.astype(str), scores["account_id"].astype(str)))
    used = rungs_of(ladder_with(), histories(), places, AS_OF).all_used
    n_used = 0
    for account, all_used in zip(histories().accounts.account_id[places], used, strict=True):
        old = (NOW - accounts.loc[account, "due_on"]) / pd.Timedelta(days=1) >= 110
        if old:
            assert rows.loc[account, "at_end"] == "from 110 days past due"
        elif account not in rows.index:
            assert not all_used or account in held_back()
        elif rows.loc[account, "at_end"] == "no rung is left":
            n_used += 1
            assert all_used
        else:
            assert rows.loc[account, "at_end"] == "costs more than it brings"
            assert rows.loc[account, "keep"] <= 0
    assert n_used > 0


@cache
def held_back() -> frozenset[str]:
    """Whom a restriction forbids all contact, by the words of the contract."""
    found = random_frames(600, 3)["restrictions"]
    active = found[(found["at"] < NOW) & (found["until"].isna() | (found["until"] > NOW))]
    all_contact = active["kind"].isin(["deceased", "dispute", "fraud", "bankruptcy", "vulnerable", "breathing_space"])
    asked = active["kind"].isin(["do_not_contact", "channel_opt_out"]) & active["channel"].isna()
    return frozenset(active[all_contact | asked]["account_id"])


def test_whom_all_contact_is_forbidden_is_for_a_person() -> None:
    rows = advised().rows
    held = rows[rows["advice"] == HELD_BACK]
    assert set(held["account_id"]) == set(rows["account_id"]) & held_back()
    assert len(held) > 5
    assert (held["because"] != "").all()
    assert held[["expected_recovery", "keep", "lead"]].isna().all(axis=None)


def test_where_hardly_anybody_was_seen_nothing_is_advised() -> None:
    rows, accounts = advised().rows, accounts_of()
    marks, few = landmarks(histories(), HORIZON, AS_OF), rows[rows["advice"] == INSUFFICIENT]
    days = (NOW - accounts.loc[list(few["account_id"]), "placed_at"]) / pd.Timedelta(days=1)
    assert len(few) > 0
    assert days.min() > 60
    assert len(np.unique(marks.account[(marks.days > 60) & (marks.days <= 120)])) < 50
    seen = "fewer than 50 accounts were seen {} days in collections".format
    assert {seen("61 to 120")} <= set(few["because"]) <= {seen("61 to 120"), seen("121 to 180")}
    assert any(note.startswith(f"of {len(few):,} accounts the history tells too little") for note in advised().notes)


def test_what_followed_legal_steps_is_over_what_was_expected_of_the_same_accounts() -> None:
    evidence, frames = gather(SCORER, histories(), AS_OF, END), random_frames(600, 3)
    contacts, placed = frames["contacts"], frames["accounts"].set_index("account_id")["placed_at"]
    steps = contacts[contacts["channel"].isin(STEPS) & (contacts["direction"] == "outbound")]
    steps = steps[steps["at"].to_numpy() > placed.loc[list(steps["account_id"])].to_numpy()]
    first = steps.groupby("account_id")["at"].min()
    first = first[first < NOW - pd.Timedelta(days=HORIZON)]
    paid, expected, payers, live = 0.0, 0.0, 0, 0
    of, table = histories(), evidence.table
    for account, at in first.items():
        row, moment = np.flatnonzero(of.accounts.account_id == account), np.array([at.value // 1000])
        owed, is_live = standing(of, row, moment)
        if not is_live[0]:
            continue
        balance = owed / 10_000
        days = (moment - of.accounts.placed_at[row]) / DAY
        cell = table.cells(days, balance)
        said = SCORER.bundle.predict(feature_matrix(of, row, moment, SCORER.features), balance, 1).expected_amount
        fifth = evidence.factors.group(cell, said / balance)
        expected += float((table.rate.mean[cell] * evidence.factors.factor.mean[fifth] * balance)[0])
        mine = frames["payments"][frames["payments"]["account_id"] == account]
        mine = mine[(np.maximum(mine["recorded_at"], mine["at"]) < NOW)]
        came = mine[mine["at"].between(at, at + pd.Timedelta(days=HORIZON), "left")]["amount"].sum()
        paid, payers, live = paid + came, payers + (came > 0), live + 1
    assert evidence.legal.factor is not None
    assert (evidence.legal.accounts, evidence.legal.payers) == (live, payers)
    assert evidence.legal.factor.mean[0] == pytest.approx(paid / expected)
    without = histories_of(frames | {"contacts": contacts[~contacts["channel"].isin(STEPS)]})
    told = advise(SCORER, score(SCORER, without, AS_OF), without, AS_OF, ladder_with())
    assert told.rows["lawyer"].isna().all()
    assert any("what a lawyer recovers is not told: 0 accounts had a legal step" in note for note in told.notes)


def test_rows_that_come_later_change_nothing() -> None:
    frames = random_frames(600, 3)
    for name in ("contacts", "payments", "charges"):
        recorded = frames[name].get("recorded_at", frames[name]["at"])
        frames[name] = frames[name][np.maximum(recorded, frames[name]["at"]) < NOW]
    before = histories_of(frames)
    again = advise(SCORER, score(SCORER, before, AS_OF), before, AS_OF, ladder_with())
    pd.testing.assert_frame_equal(again.rows, advised().rows)


def test_a_table_that_did_not_hold_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bands = np.arange(6.0)
    failing = Backtest(Total(bands + 1, bands, bands + 2), np.array([1.0, 9.0, 3.0, 4.0, 5.0, 6.0]))
    monkeypatch.setattr(advising, "backtest", lambda *_: failing)
    found = advise(SCORER, score(SCORER, histories(), AS_OF), histories(), AS_OF, ladder_with())
    days = (NOW - accounts_of().loc[list(found.rows["account_id"]), "placed_at"]) / pd.Timedelta(days=1)
    second = ((days > 30) & (days <= 60)).to_numpy() & found.rows["keep"].notna().to_numpy()
    assert set(found.rows["evidence"][second]) == {"did not hold"}
    assert "did not hold" not in set(found.rows["evidence"][~second])
    assert any("31 to 60 days in collections 9, expected 1 to 3" in note for note in found.notes)


def test_an_interval_is_that_of_the_rate_where_all_else_is_taken_as_it_is() -> None:
    """Without a lawyer, the lead is linear in what is expected: its interval is that of many plain draws."""
    end = End(source="", from_days=1, horizon_days=HORIZON, agency=Agency(source="", commission=0.22))
    rows, evidence, draw = (
        advised(True, end).rows,
        gather(SCORER, histories(True), AS_OF, end),
        np.random.default_rng(1),
    )
    decided = rows[rows["lead"].notna()].iloc[::17]
    accounts = accounts_of(True)
    for row in decided.to_dict("records"):
        days = (NOW - accounts.loc[row["account_id"], "placed_at"]) / pd.Timedelta(days=1)
        cell = evidence.table.cells(np.array([days]), np.array([row["balance"]]))[0]
        factor = row["expected_recovery"] / (evidence.table.rate.mean[cell] * row["balance"])
        fifth = int(np.argmin(abs(evidence.factors.factor.mean - factor)))
        shapes = (
            1 / (1 / evidence.table.rate.shape[cell] + evidence.table.drift),
            evidence.factors.factor.shape[fifth],
        )
        paid = row["expected_recovery"] * np.prod([draw.gamma(one, 1 / one, 100_000) for one in shapes], axis=0)
        profit = {"keep": paid - evidence.table.cost[cell], "agency": 0.78 * paid, "write-off": 0 * paid}
        low, high = np.quantile(profit[row["advice"]] - profit[row["second"]], (0.025, 0.975))
        assert (row["lead_low"], row["lead_high"]) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_what_cannot_be_advised_is_one_clear_error() -> None:
    scores = score(SCORER, histories(), AS_OF)
    with pytest.raises(SettingsError, match=r"advice needs the end of a ladder, got none in drawn; add \[end\]"):
        advise(SCORER, scores, histories(), AS_OF, ladder_with(None))
    with pytest.raises(HistoryError, match="set a shorter horizon_days"):
        advise(SCORER, scores, histories(), AS_OF, ladder_with(End(source="", horizon_days=1_000)))


def test_nobody_at_the_end_is_an_empty_table() -> None:
    rows = advised(end=End(source="", from_days=3_000, horizon_days=HORIZON)).rows
    assert len(rows) == 0
    assert list(rows) == list(advised().rows)


OWN = f"""
name = "own"
title = "Own"
source = "The house"
dated = 2026-01-01
currency = "EUR"
[[rungs]]
id = "call"
channel = "call"
source = "The house"
[end]
source = "The house"
from_days = 60
horizon_days = {HORIZON}
[end.agency]
source = "The house"
commission = 0.1
"""


def run(*arguments: str | Path) -> tuple[str, BaseException | None]:
    assert isinstance(command, click.Command)
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    return " ".join(result.output.split()), result.exception


def test_the_command_writes_the_table_and_says_what_it_rests_on(
    portfolio_folder: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(OWN, "utf-8")
    out = tmp_path / "advice.csv"
    given = (portfolio_folder, "--as-of", "2026-04-01T06:30:00Z", "--model", bundle_folder, "--out", out)
    text, error = run(*given, "--ladder", tmp_path / "own.toml", "--top", "3")
    assert error is None, text
    rows = pd.read_csv(out)
    assert f"The first 3 of {len(rows)}" in text
    assert "Advice, in EUR" in text
    assert "Note: an agency keeps 10%; recovers 1 times what going on would (assumption)." in text
    assert {"keep", "agency", "write-off"} & {*rows["advice"]}
    out.unlink()
    for ladder, says in ((("--ladder", "none"), "advice needs a ladder with its terms"), ((), "got none")):
        _, error = run(*given, *ladder)
        assert isinstance(error, RecoupError)
        assert says in str(error)
    _, error = run(*given, "--ladder", "default")
    assert isinstance(error, HistoryError)
    assert not out.exists()
