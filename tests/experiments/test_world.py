"""The portfolio of a simulated world is one that a collector could have handed over."""

from __future__ import annotations

import filecmp
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.world import WorldSettings, headline, market, simulate
from experiments.world.writing import write_world
from features.compute import standing
from features.contract import TABLES
from features.errors import SettingsError
from features.units import from_instants
from tests.experiments.worlds import histories, portfolio, world

SMALL = WorldSettings(accounts=300, days=60, seed=5, truth_draws=3)
#: Those that forbid all contact.
BARRING = (
    "closed",
    "deceased",
    "dispute",
    "fraud",
    "bankruptcy",
    "vulnerable",
    "breathing_space",
    "do_not_contact",
)


def outbound() -> pd.DataFrame:
    contacts = world().frames["contacts"]
    return contacts[contacts["direction"] == "outbound"]


def contacts_under(kinds: tuple[str, ...]) -> pd.DataFrame:
    """Outbound contacts beside each restriction of those kinds that was active when they took place."""
    restrictions = world().frames["restrictions"]
    restrictions = restrictions[restrictions["kind"].isin(kinds)]
    both = outbound().merge(restrictions, on="account_id", suffixes=("", "_restriction"))
    begun = both["at_restriction"] < both["at"]
    return both[begun & (both["until"].isna() | (both["at"] < both["until"]))]


def test_equal_settings_give_equal_bytes_whatever_the_threads(tmp_path: Path) -> None:
    for folder, threads in (("one", 1), ("two", 2)):
        write_world(simulate(SMALL, threads=threads), tmp_path / folder)
    names = sorted(str(p.relative_to(tmp_path / "one")) for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(names) == len(TABLES) + 1 + 5  # the tables, their settings, and the truth
    _, different, failed = filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", names, shallow=False)
    assert (different, failed) == ([], [])


def test_another_seed_gives_another_world() -> None:
    one, other = (simulate(replace(SMALL, seed=seed, truth_draws=0)) for seed in (1, 2))
    assert not one.frames["accounts"]["balance"].equals(other.frames["accounts"]["balance"])


def test_every_table_passes_the_contract() -> None:
    assert portfolio().rejects.to_dict("records") == []
    assert set(world().frames) == set(TABLES)
    for name, frame in world().frames.items():
        assert 0 < len(frame) == len(portfolio().tables[name])


def test_nothing_is_known_at_the_moment_of_the_truth_or_later() -> None:
    as_of = from_instants(np.array([world().as_of]))[0]
    for name, frame in world().frames.items():
        known = frame[[TABLES[name].time, *(["recorded_at"] if "recorded_at" in frame else [])]].max(axis=1)
        assert known.max() < as_of, name
    assert histories().last_known < world().as_of


def test_some_rows_are_recorded_later_than_they_happened() -> None:
    for name in ("payments", "contacts"):
        assert 0.02 < world().frames[name]["recorded_at"].notna().mean() < 0.4


def test_the_truth_is_about_the_live_accounts_of_the_contract() -> None:
    everyone = np.arange(len(histories()))
    _, live = standing(histories(), everyone, np.full(len(everyone), world().as_of))
    expected = set(histories().accounts.account_id[live])
    assert set(world().truth["followed"]["account_id"]) == expected
    assert set(world().truth["actions"]["account_id"]) == expected


def test_what_is_owed_is_never_negative() -> None:
    # A payment is at most the balance: otherwise the amounts of the truth would be beyond what can be collected.
    assert headline.ledger(world().frames)["owed"].min() == 0


def test_contacts_keep_to_the_permitted_hours() -> None:
    local = outbound()["at"].dt.tz_convert("Asia/Shanghai").dt.hour
    assert local.min() >= 9
    assert local.max() < 21


def test_nobody_is_contacted_against_a_restriction() -> None:
    assert contacts_under(BARRING).empty
    by_channel = contacts_under(("channel_opt_out",))
    assert not (by_channel["channel"] == by_channel["channel_restriction"]).any()
    by_point = contacts_under(("invalid_contact",))
    assert not (by_point["contact_point"] == by_point["contact_point_restriction"]).any()


def test_every_outbound_contact_is_what_was_decided_that_morning() -> None:
    decisions = world().frames["decisions"]
    acted = decisions[decisions["channel"] != "none"]
    for frame in (acted, contacts := outbound()):
        assert not frame.duplicated(["account_id", "at"]).any()
    day = {"day": lambda frame: frame["at"].dt.tz_convert("Asia/Shanghai").dt.floor("D")}
    both = contacts.assign(**day).merge(acted.assign(**day), on=["account_id", "day"], how="left", suffixes=("", "_of"))
    assert (both["channel"] == both["channel_of"]).all()
    assert (both["propensity"] == both["propensity_of"]).all()
    assert (both["at"] > both["at_of"]).all()


def test_the_world_is_about_as_the_field_notes_say() -> None:
    figures = world().manifest["figures"]
    assert figures["right_party_rate"] == pytest.approx(0.12, abs=0.04)
    assert figures["promise_rate"] == pytest.approx(0.22, abs=0.06)
    assert figures["kept_rate"] == pytest.approx(0.40, abs=0.07)
    assert 0.04 < figures["paid_share"] < 0.10
    cards = world().frames["accounts"].query("segment == 'credit_card'")
    assert cards["balance"].mean() == pytest.approx(7_000, rel=0.15)


def test_about_125_calls_bring_in_one_debt() -> None:
    figures = simulate(WorldSettings(6000, 360, seed=1, truth_draws=0)).manifest["figures"]
    assert 90 < figures["calls_per_recovery"] < 160


def test_attributes_tell_a_little_and_gender_nothing_about_paying() -> None:
    accounts = world().frames["accounts"]
    unable = world().truth["accounts"]["debtor_type"].isin(["long_term_unable", "short_term_unable"]).to_numpy()
    known = accounts["utilisation"].notna().to_numpy()
    by_utilisation = headline.area_under_curve(accounts["utilisation"].to_numpy()[known], unable[known])
    by_gender = headline.area_under_curve((accounts["gender"] == "male").to_numpy().astype(np.float64), unable)
    assert 0.55 < by_utilisation < 0.75
    assert abs(by_gender - 0.5) < 0.04
    assert 0.02 < accounts["employment"].isna().mean() < 0.10
    assert accounts["person_id"].duplicated().any()


@pytest.mark.parametrize(
    "wrong", [{"accounts": 0}, {"days": 0}, {"seed": -1}, {"exploration": 0.0}, {"discretion": 1.0}]
)
def test_settings_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} must be"):
        replace(SMALL, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("accounts", "days"), [(1, 1), (7, 3)])
def test_the_smallest_worlds_are_whole(accounts: int, days: int, tmp_path: Path) -> None:
    small = simulate(WorldSettings(accounts, days, seed=1, truth_draws=2))
    assert len(small.frames["accounts"]) == accounts
    write_world(small, tmp_path / "small")


# Definitions of the headline figures, on a portfolio small enough to be read


def frames_by_hand() -> dict[str, pd.DataFrame]:
    def table(**columns: list[object]) -> pd.DataFrame:
        frame = pd.DataFrame(columns)
        for name in {"at", "made_at", "due_on"} & set(columns):
            frame[name] = pd.to_datetime(frame[name], utc=True).dt.as_unit("us")
        return frame

    return {
        "accounts": table(account_id=["called", "late", "never", "bounced"], balance=[100.0, 50.0, 30.0, 20.0]),
        "contacts": table(
            account_id=["called", "late", "bounced"],
            at=["2026-01-02", "2026-01-09", "2026-01-02"],
            channel=["call", "call", "call"],
            direction=["outbound", "outbound", "outbound"],
        ),
        "payments": table(
            account_id=["called", "called", "late", "never", "bounced", "bounced"],
            at=["2026-01-03", "2026-01-05", "2026-01-05", "2026-01-05", "2026-01-05", "2026-01-08"],
            amount=[60.0, 45.0, 50.0, 30.0, 20.0, -20.0],
        ),
        "charges": table(account_id=["called"], at=["2026-01-04"], amount=[5.0]),
        "promises": table(
            account_id=["called", "called", "late", "never"],
            made_at=["2026-01-02", "2026-01-04", "2026-01-01", "2026-01-01"],
            due_on=["2026-01-03", "2026-01-04", "2026-01-01", "2026-01-31"],
            amount=[60.0, 46.0, 50.0, 30.0],
        ),
    }


def test_a_recovery_is_a_debt_paid_off_after_a_call_and_not_taken_back() -> None:
    # `called` is recovered; `late` paid before the call, `never` without one, and the payment of `bounced` came back.
    assert headline.recoveries(frames_by_hand()) == 1


def test_a_promise_is_kept_when_paid_in_full_within_its_grace() -> None:
    # Kept: 60 on the due day. Broken: 45 of 46; paid a day after the grace of 3 days ended. Not due: the last one.
    noon = pd.Timestamp("2026-01-20", tz="UTC").value // 1000
    assert headline.kept_rate(frames_by_hand(), noon) == pytest.approx(1 / 3)


def test_costs_and_capacities_name_the_channels_of_the_contract() -> None:
    assert tuple(name for name, _ in market.CAPACITY_PER_ACCOUNT) == portfolio().settings.channel_names
    assert [channel.cost for channel in portfolio().settings.channels] == list(market.COSTS[1:])
