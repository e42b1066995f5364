"""What calling at an account's best hour would bring: right-party contacts per call, against the diallers' habit.

The portfolio's table is learned from the calls known before a cut. The calls after it are asked week by week: each
account's hour is chosen from what was known when the week began. They are judged in two ways. As a user could: the hour
of a call is the dialler's affair and not the debtor's, so the later calls that happened to be made at the chosen hour
stand for all, each weighted by one over the share of calls made at that hour (inverse propensity). And by the truth of
the simulated worlds: the chance of an answer at the chosen hour by that at the hour of the call, from the hidden
profile of the debtor. The truth leaves out fatigue, which hardly depends on the hour.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.benchmarks._report import Figure, write_report
from experiments.world import World, WorldSettings, simulate
from experiments.world.debtors import ANSWERING, FIRST_HOUR, N_HOURS
from experiments.world.settings import TIMEZONE
from features.contract import REACHED_OUTCOMES
from features.events import owners
from features.histories import Histories, contact_kinds, pack, utc_offset
from features.hours import HOURS, HourTable, count_calls, rates_by_hour
from features.portfolio import portfolio_from_frames
from features.progress import bars, line
from features.settings import PortfolioSettings
from features.units import DAY, HOUR, Rows
from training.bootstrap import INTERVAL, account_weights
from training.hours import learn_hours

Floats = npt.NDArray[np.float64]

SEEDS = (1, 2, 3)
ACCOUNTS, DAYS, CUT_SHARE = 20_000, 360, 0.6
REPEATS = 200
#: Fewer calls of the portfolio than this at an hour are too few to send everybody there.
FEWEST_CALLS = 500
#: Own calls from which on an account counts as one that was called often.
OFTEN = 16
BEST = "best"
HABIT, GLOBAL, SEGMENT = "habit", "one global hour", "segment's hour"
ACCOUNT, RAW = "account's hour", "account's hour by raw rates"
COMPARED = ((ACCOUNT, HABIT), (GLOBAL, HABIT), (ACCOUNT, GLOBAL), (SEGMENT, GLOBAL), (RAW, GLOBAL))


def main() -> int:
    """Run the benchmark."""
    worlds = []
    with bars() as progress, line(progress, "Worlds", len(SEEDS)) as advance:
        for seed in SEEDS:
            world = simulate(WorldSettings(accounts=ACCOUNTS, days=DAYS, seed=seed, truth_draws=0))
            worlds.append(later_calls(world).assign(world=seed))
            advance()
    calls = pd.concat(worlds, ignore_index=True)
    often = calls[calls["own_calls"] >= OFTEN]
    figures = [
        Figure("right-party contacts per call, habit", float(calls["reached"].mean()), "share", f"{len(calls):,} calls")
    ]
    ceiling = answered(calls, BEST) / answered(calls, HABIT) - 1
    figures.append(Figure("all: the debtor's true best hour over habit, true", ceiling, "gain", "hidden profiles"))
    figures += gains("all", calls) + gains(f"{OFTEN} own calls or more", often.reset_index(drop=True))
    write_report("hours", figures)
    return 0


def later_calls(world: World) -> pd.DataFrame:
    """The calls after the cut, a row each.

    `account`, `hour` (debtor-local), `reached`; `own_calls` that the account had before the week; for each way of
    choosing the hour it named when the week began; `readiness`, the chance of an answer at the debtor's best hour of
    all, and `true WAY`, the share of that at the hour that each way named (`true best`: at the best one).
    """
    histories = pack(portfolio_from_frames(world.frames, PortfolioSettings("simulated", timezone=TIMEZONE)))
    first = world.settings.start_instant + int(CUT_SHARE * DAYS) * DAY
    table = learn_hours(histories, first)
    calls, weeks = _calls(histories), []
    for begin in range(first, world.as_of, 7 * DAY):
        week = calls[(calls["at"] >= begin) & (calls["at"] < begin + 7 * DAY)]
        named = _named(histories, table, begin)
        weeks.append(week.assign(**{way: hours[week["account"]] for way, hours in named.items()}))
    found = pd.concat(weeks, ignore_index=True)
    return found.assign(**{HABIT: found["hour"]}).pipe(_with_truth, world, histories)


def answered(calls: pd.DataFrame, way: str) -> float:
    """How many of the calls would be answered at the hours that a way of choosing named, by the hidden chances."""
    return float(calls["readiness"].to_numpy(np.float64) @ calls[f"true {way}"].to_numpy(np.float64))


def gains(who: str, calls: pd.DataFrame) -> list[Figure]:
    """What each way of choosing gains over another: by the later calls made at its hour, and in truth."""
    hour = calls["hour"].to_numpy(np.int64)
    chance = np.bincount(hour, minlength=HOURS)[hour] / len(calls)
    ways = {way for pair in COMPARED for way in pair}
    matched = {way: np.where(hour == calls[way].to_numpy(), 1 / chance, 0.0) for way in ways - {HABIT}}
    matched[HABIT] = np.ones(len(calls))
    reached, account = calls["reached"].to_numpy(), (calls["world"] * ACCOUNTS + calls["account"]).to_numpy()
    weights = list(account_weights(account, REPEATS, 1))

    def rate(way: str, weight: Floats) -> float:
        counted = weight * matched[way]
        # NaN where a draw, or a small world, has no call at the hours chosen.
        return float(counted @ reached / counted.sum()) if counted.any() else float("nan")

    figures = []
    for way, against in COMPARED:
        drawn = [rate(way, weight) / rate(against, weight) - 1 for weight in weights]
        low, high = np.nanquantile(drawn, INTERVAL)
        found = rate(way, matched[HABIT]) / rate(against, matched[HABIT]) - 1
        seen = int((matched[way] > 0).sum())
        what = f"{who}: {way} over {against}"
        figures += [
            Figure(what, found, "gain", f"95 % {low:+.3f} to {high:+.3f}, {seen:,} calls"),
            Figure(f"{what}, true", answered(calls, way) / answered(calls, against) - 1, "gain", "hidden profiles"),
        ]
    return figures


def _calls(histories: Histories) -> pd.DataFrame:
    """Every call to a debtor."""
    kinds = contact_kinds(histories.settings.channel_names)
    is_call = np.array([kind["channel"] == "call" and kind["direction"] == "outbound" for kind in kinds])
    is_reached = np.array([kind["outcome"] in REACHED_OUTCOMES for kind in kinds])
    contacts = histories.contacts
    account = owners(contacts.start)
    local = contacts.at + utc_offset(contacts.at, histories.accounts.zone[account], histories.zones)
    found = pd.DataFrame(
        {"account": account, "at": contacts.at, "hour": local % DAY // HOUR, "reached": is_reached[contacts.kind]}
    )
    return found[is_call[contacts.kind]]


def _named(histories: Histories, table: HourTable, as_of: int) -> dict[str, Rows]:
    """The hour that each way of choosing names for every account, `(n_accounts,)`, and the calls it had."""
    everybody = np.arange(len(histories))
    enough = np.array(table.everyone.attempts) >= FEWEST_CALLS

    def best(rates: Floats) -> Rows:
        return np.asarray(np.where(enough, rates, -1.0).argmax(axis=1))

    never = int(histories.contacts.known.min())
    alike = HourTable(table.everyone)
    at_large = best(rates_by_hour(alike, histories, everybody, never).rates)
    attempts, reached = count_calls(histories, everybody, as_of)
    raw = np.divide(reached, attempts, out=np.full(attempts.shape, -1.0), where=attempts > 0)
    return {
        "own_calls": attempts.sum(axis=1),
        ACCOUNT: best(rates_by_hour(table, histories, everybody, as_of).rates),
        SEGMENT: best(rates_by_hour(table, histories, everybody, never).rates),
        GLOBAL: at_large,
        # Who was never reached has no best hour of its own.
        RAW: np.where(reached.any(axis=1), raw.argmax(axis=1), at_large),
    }


def _with_truth(calls: pd.DataFrame, world: World, histories: Histories) -> pd.DataFrame:
    """With the hidden chances; who has a wrong number is never reached."""
    traits = world.truth["accounts"].set_index("account_id").reindex(histories.accounts.account_id)
    chance = np.zeros((len(traits), HOURS))
    chance[:, FIRST_HOUR : FIRST_HOUR + N_HOURS] = ANSWERING[traits["hours"].to_numpy(np.int64)]
    readiness = traits["answering"].to_numpy(np.float64) * (traits["phone_1_wrong"].to_numpy() == 0)
    account = calls["account"].to_numpy(np.int64)
    ways = {way for pair in COMPARED for way in pair}
    true = {f"true {way}": chance[account, calls[way].to_numpy(np.int64)] for way in ways}
    true[f"true {BEST}"] = chance.max(axis=1)[account]
    return calls.assign(readiness=readiness[account], **true)


if __name__ == "__main__":
    sys.exit(main())
