"""Liquidation: what share of their balance accounts like one paid in the days that followed, and what that cost.

Every thirty days back from the moment, as far as the horizon has passed, each account that was live then is a landmark:
so long in collections, owing so much, and so much was paid and spent in the horizon that followed. A table has a rate
for each cell of time in collections and balance: what was paid over what was owed. Time in collections, not days past
due: an account handed over old is another one than what is left after a year of work.

Few of a cell's accounts pay, so that its own rate is mostly chance. It is drawn towards that of its time in
collections, and that towards the rate of all, by as much as they differ beyond chance: the credibility of actuaries
(Buehlmann and Straub, 1970; as gamma and Poisson, so that a rate is never below zero and its interval is skewed as it
should be). How far chance reaches is measured by the spread of what accounts paid, all landmarks of one together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

from features.compute import standing
from features.errors import HistoryError
from features.events import owners
from features.histories import Histories, contact_kinds
from features.outcomes import outcomes
from features.units import DAY, Instants, Rows, format_day, from_money

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Landmarks are so many days apart, and so many of them are looked at.
EVERY_DAYS, MOST_LANDMARKS = 30, 24
#: Where bands of days in collections end.
BAND_ENDS = (30, 60, 120, 180, 365)
#: Bands of balance: quarters of the landmarks.
BALANCE_QUANTILES = (0.25, 0.5, 0.75)
#: Fewer accounts than this in a band of days in collections tell nothing.
FEWEST_ACCOUNTS = 50
#: Fewer payers than this tell nothing of how far chance reaches.
FEWEST_PAYERS = 10
#: A table made from landmarks of fewer moments is no test of anything: it speaks of the first weeks of a history.
FEWEST_MOMENTS = 6
#: How far groups may differ from their parent: the standard deviation of what their rate is times the parent's.
_DIFFERENCES = np.geomspace(0.01, 2.0, 40)
#: The ends of a 95 % interval.
INTERVAL = (0.025, 0.975)

N_BANDS, N_BALANCES = len(BAND_ENDS) + 1, len(BALANCE_QUANTILES) + 1


@dataclass(frozen=True)
class Landmarks:
    """Accounts at moments of the past, `(n,)` each: days in collections, owed, paid and spent in the horizon after.

    Money is in the main unit; `account` are places in the histories.
    """

    account: Rows
    as_of: Instants
    days: Floats
    balance: Floats
    paid: Floats
    spent: Floats

    def __len__(self) -> int:
        """The number of landmarks."""
        return len(self.account)

    def take(self, rows: Rows | Mask) -> Landmarks:
        """Those at some places."""
        return Landmarks(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Rates:
    """Rates of groups, `(n,)` each: the mean, and the shape of the gamma distribution that says how sure it is."""

    mean: Floats
    shape: Floats


@dataclass(frozen=True)
class Total:
    """What groups of accounts are expected to pay together, `(n_groups,)`, with the 95 % interval of what they will."""

    expected: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class LiquidationTable:
    """Rates by cell, `(n_cells,)` each: a band of days in collections after the other, quarters of balance in each.

    `spread` says how far what one account pays lies from what is expected: its variance is `spread` times the rate
    times the square of the balance. `drift` is the variance, beyond that, of what a moment brings over what the rates
    say: times differ. `cost` is what work costs an account in the horizon. `accounts` were seen in a cell, of whom
    `payers` paid; `supported` says whether enough were in its band of days.
    """

    horizon_days: int
    balance_ends: Floats
    rate: Rates
    spread: Floats
    drift: float
    cost: Floats
    accounts: Rows
    payers: Rows
    supported: Mask

    def cells(self, days: Floats, balance: Floats) -> Rows:
        """The cell of each account, `(n,)`, by its days in collections and what it owes."""
        return bands(days) * N_BALANCES + np.searchsorted(self.balance_ends, balance, side="right")

    def total(self, group: Rows, n_groups: int, cell: Rows, balance: Floats) -> Total:
        """What groups of accounts are expected to pay together in the horizon.

        Args:
            group: `(n,)` the group of each account.
            n_groups: how many there are.
            cell: `(n,)` the cell of each.
            balance: `(n,)` what each owes.
        """
        pair = group * len(self.spread) + cell
        size = n_groups * len(self.spread)
        owed, squares = (np.bincount(pair, one, size).reshape(n_groups, -1) for one in (balance, balance**2))
        mean = owed * self.rate.mean
        by_chance = (self.spread * self.rate.mean * squares).sum(axis=1)
        expected, unsure = mean.sum(axis=1), (mean**2 / self.rate.shape).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            shape = 1 / ((by_chance + unsure) / expected**2 + self.drift)
            nobody = np.exp(-(expected**2) / by_chance)
        low, high = (expected * gamma_quantiles(shape, end) for end in INTERVAL)
        # Where few are expected to pay, it may well be nobody.
        low = np.where(nobody > INTERVAL[0], 0.0, low)
        return Total(expected, low, high)


@dataclass(frozen=True)
class Backtest:
    """The table as it was a horizon ago against what followed, by band of days in collections, `(n_bands,)` each."""

    total: Total
    paid: Floats

    @property
    def failed(self) -> Mask:
        """In which bands what followed lies outside the interval."""
        return np.asarray((self.paid < self.total.low) | (self.paid > self.total.high))


def bands(days: Floats) -> Rows:
    """The band of days in collections, `(n,)`."""
    return np.searchsorted(BAND_ENDS, days, side="left").astype(np.int64)


def band_name(band: int) -> str:
    """A band in words.

    >>> band_name(0), band_name(5)
    ('up to 30 days', 'beyond 365 days')
    """
    if band == len(BAND_ENDS):
        return f"beyond {BAND_ENDS[-1]} days"
    return f"{BAND_ENDS[band - 1] + 1} to {BAND_ENDS[band]} days" if band else f"up to {BAND_ENDS[0]} days"


def landmarks(histories: Histories, horizon_days: int, known_before: int) -> Landmarks:
    """All landmarks whose horizon has passed, by what was known strictly before an instant.

    Raises:
        HistoryError: there are none: the history is shorter than the horizon.
    """
    latest, first = known_before - horizon_days * DAY, int(histories.accounts.placed_at.min())
    moments = [latest - number * EVERY_DAYS * DAY for number in range(MOST_LANDMARKS)]
    found = [landmarks_at(histories, moment, horizon_days, known_before) for moment in moments if moment > first]
    if not sum(map(len, found)):
        raise HistoryError(
            f"what {horizon_days:,} days of work bring is told by accounts placed before {format_day(latest)}, and "
            f"there are none; set a shorter horizon_days at the end of the ladder"
        )
    return Landmarks(*(np.concatenate([getattr(one, name) for one in found]) for name in vars(found[0])))


def landmarks_at(histories: Histories, moment: int, horizon_days: int, known_before: int) -> Landmarks:
    """The accounts that were live at one moment, and what followed of which is known before an instant."""
    everyone = np.arange(len(histories))
    balance, live = standing(histories, everyone, np.full(len(everyone), moment))
    rows, moments = everyone[live], np.full(int(live.sum()), moment)
    return Landmarks(
        account=rows,
        as_of=moments,
        days=(moments - histories.accounts.placed_at[rows]) / DAY,
        balance=from_money(balance[live]),
        paid=from_money(outcomes(histories, rows, moments, horizon_days, known_before).net_amount),
        spent=_spent(histories, moment, horizon_days, known_before)[rows],
    )


def liquidation_table(marks: Landmarks, horizon_days: int) -> LiquidationTable:
    """A table from landmarks.

    Raises:
        HistoryError: nothing was paid in the horizon of any.
    """
    if marks.paid.sum() <= 0:
        raise HistoryError(
            f"what {horizon_days:,} days bring is told by payments, and none came from {len(marks):,} landmarks; set a "
            f"longer horizon_days at the end of the ladder"
        )
    ends = np.quantile(marks.balance, BALANCE_QUANTILES)
    cell = bands(marks.days) * N_BALANCES + np.searchsorted(ends, marks.balance, side="right")
    rate, spread = _rates(cell, marks.account, marks.balance, marks.paid)
    cost, _ = _rates(cell, marks.account, np.ones(len(marks)), marks.spent)
    paying, n_cells = marks.paid > 0, N_BANDS * N_BALANCES
    return LiquidationTable(
        horizon_days=horizon_days,
        balance_ends=ends,
        rate=rate,
        spread=spread,
        drift=_drift(marks, cell, rate, spread),
        cost=cost.mean,
        accounts=_n_accounts(cell, marks.account, n_cells),
        payers=_n_accounts(cell[paying], marks.account[paying], n_cells),
        supported=np.repeat(_n_accounts(bands(marks.days), marks.account, N_BANDS) >= FEWEST_ACCOUNTS, N_BALANCES),
    )


def backtest(histories: Histories, horizon_days: int, as_of: int) -> Backtest | None:
    """Hold the table as it was a horizon ago against what followed; None where the history is too short for it."""
    then = as_of - horizon_days * DAY
    try:
        marks = landmarks(histories, horizon_days, then)
        table = liquidation_table(marks, horizon_days)
    except HistoryError:
        return None
    if len(np.unique(marks.as_of)) < FEWEST_MOMENTS:
        return None
    now = landmarks_at(histories, then, horizon_days, as_of)
    band = bands(now.days)
    total = table.total(band, N_BANDS, table.cells(now.days, now.balance), now.balance)
    return Backtest(total, _sums(band, now.paid, N_BANDS))


def _drift(marks: Landmarks, cell: Rows, rate: Rates, spread: Floats) -> float:
    """The variance of what each moment brought over what the rates say, less what chance explains."""
    moments, place = np.unique(marks.as_of, return_inverse=True)
    each = rate.mean[cell] * marks.balance
    expected, paid = (_sums(place, one, len(moments)) for one in (each, marks.paid))
    by_chance = _sums(place, spread[cell] * each * marks.balance, len(moments))
    # Weighted by how sure each is, so that the first weeks of a history say little.
    sure = expected**2 / by_chance
    off = sure * (paid / expected - 1) ** 2 - 1
    return max(0.0, float(off.sum() / sure.sum()))


def gamma_quantiles(shape: Floats, share: float | Floats) -> Floats:
    """A quantile of gamma distributions of mean 1; 1 where the shape is infinite, 0 where it is 0 or NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(np.isinf(shape), 1.0, special.gammaincinv(shape, share) / shape)
    return np.nan_to_num(found, nan=0.0)


def credible(rate: Floats, weight: Floats, parent: Rates, of: Rows) -> Rates:
    """Rates of groups drawn towards those of their parents, `(n,)` each.

    How far groups differ from their parents is not known: all of `_DIFFERENCES` are tried, each as far as it makes what
    was seen likely (the counts of a gamma and Poisson model are negative binomial), with the same chance beforehand.

    Args:
        rate: what was seen in each group.
        weight: how much it says: the variance of `rate` by chance is the true rate over it; 0 where nothing was seen.
        parent: `(n_parents,)` the rate that groups would have by their parent alone.
        of: `(n,)` the parent of each.
    """
    mean, parents = parent.mean[of], len(parent.mean)
    events, expected = rate * weight, mean * weight
    # A parent is made of what its groups show: where these are few, it is as unsure as they differ.
    sums, squares = (np.bincount(of, one, parents) for one in (weight, weight**2))
    uneven = np.divide(squares, sums**2, out=np.ones(parents), where=sums > 0)[of]
    prior = 1 / _DIFFERENCES[:, None] ** 2
    likely = special.gammaln(prior + events) - special.gammaln(prior) + prior * np.log(prior)
    likely = (likely - (prior + events) * np.log(prior + expected)).sum(axis=1)
    chance = np.exp(likely - likely.max())[:, None] / np.exp(likely - likely.max()).sum()
    left = prior / (prior + expected)
    factor = (prior + events) / (prior + expected)
    variance = factor / (prior + expected) + left**2 * (1 / parent.shape[of] + uneven / prior)
    found = (chance * factor).sum(axis=0)
    spread = (chance * (variance + (factor - found) ** 2)).sum(axis=0)
    return Rates(mean * found, found**2 / spread)


def group_rates(group: Rows, n_groups: int, account: Rows, exposure: Floats, amount: Floats) -> Rates:
    """The rates of groups, `(n_groups,)`, drawn towards that of all; what comes in is of `n` landmarks.

    Args:
        group: `(n,)` the group of each.
        n_groups: how many there are.
        account: `(n,)` the account of each.
        exposure: `(n,)` what the rate is per unit of.
        amount: `(n,)` what came.
    """
    of_group = _Groups.of(group, n_groups, account, exposure, amount)
    of_all = _Groups.of(np.zeros_like(group), 1, account, exposure, amount)
    spread = of_group.spread(np.zeros(n_groups, dtype=np.int64), 1, None)
    everything = Rates(of_all.rate, of_all.effective * of_all.rate / spread)
    return credible(of_group.rate, of_group.effective / spread, everything, np.zeros(n_groups, dtype=np.int64))


def _rates(cell: Rows, account: Rows, exposure: Floats, amount: Floats) -> tuple[Rates, Floats]:
    """The rate of each cell and its spread, `(n_cells,)`; `(n,)` of landmarks comes in."""
    n_cells = N_BANDS * N_BALANCES
    if amount.sum() <= 0:
        return Rates(np.zeros(n_cells), np.full(n_cells, np.inf)), np.ones(n_cells)
    of_cell = _Groups.of(cell, n_cells, account, exposure, amount)
    of_band = _Groups.of(cell // N_BALANCES, N_BANDS, account, exposure, amount)
    of_all = _Groups.of(np.zeros_like(cell), 1, account, exposure, amount)
    pooled = of_cell.spread(np.zeros(n_cells, dtype=np.int64), 1, None)
    spread = of_cell.spread(np.arange(n_cells) % N_BALANCES, N_BALANCES, float(pooled[0]))
    everything = Rates(of_all.rate, of_all.effective * of_all.rate / pooled)
    band = credible(of_band.rate, of_band.effective / pooled, everything, np.zeros(N_BANDS, dtype=np.int64))
    spreads, band_of_cell = np.tile(spread, N_BANDS), np.arange(n_cells) // N_BALANCES
    return credible(of_cell.rate, of_cell.effective / spreads, band, band_of_cell), spreads


@dataclass(frozen=True)
class _Groups:
    """Sums over the landmarks of each account within each group, `(n_sums,)`; `group` says which, of `n`."""

    group: Rows
    n: int
    exposure: Floats
    amount: Floats

    @classmethod
    def of(cls, group: Rows, n: int, account: Rows, exposure: Floats, amount: Floats) -> _Groups:
        pairs, place = np.unique(group * (int(account.max()) + 1) + account, return_inverse=True)
        sums = (_sums(place, one, len(pairs)) for one in (exposure, amount))
        return cls(pairs // (int(account.max()) + 1), n, *sums)

    @cached_property
    def rate(self) -> Floats:
        """The amount over the exposure, `(n,)`; 0 where there is none, and never below."""
        owed, paid = (np.bincount(self.group, one, self.n) for one in (self.exposure, self.amount))
        return np.maximum(np.divide(paid, owed, out=np.zeros(self.n), where=owed > 0), 0.0)

    @cached_property
    def effective(self) -> Floats:
        """How many accounts of equal exposure say as much, `(n,)`."""
        owed, squares = (np.bincount(self.group, one, self.n) for one in (self.exposure, self.exposure**2))
        return np.divide(owed**2, squares, out=np.zeros(self.n), where=squares > 0)

    def spread(self, kind: Rows, n_kinds: int, otherwise: float | None) -> Floats:
        """The spread of accounts around the rate of their group, by the kind of the group, `(n_kinds,)`.

        Where fewer than `FEWEST_PAYERS` paid, it is `otherwise`.
        """
        of_sum, rate = kind[self.group], self.rate[self.group]
        off = np.bincount(of_sum, (self.amount - rate * self.exposure) ** 2, n_kinds)
        scale = np.bincount(of_sum, rate * self.exposure**2, n_kinds)
        found = np.divide(off, scale, out=np.ones(n_kinds), where=scale > 0)
        if otherwise is None:
            return found
        payers = np.bincount(of_sum, self.amount > 0, n_kinds)
        return np.where((payers >= FEWEST_PAYERS) & (found > 0), found, otherwise)


def _n_accounts(group: Rows, account: Rows, n_groups: int) -> Rows:
    """How many different accounts are in each group, `(n_groups,)`."""
    pairs = np.unique(account * n_groups + group)
    return np.bincount(pairs % n_groups, minlength=n_groups).astype(np.int64)


def _sums(group: Rows, values: Floats, n_groups: int) -> Floats:
    return np.bincount(group, values, n_groups).astype(np.float64)


def _spent(histories: Histories, moment: int, horizon_days: int, known_before: int) -> Floats:
    """What the contacts that were begun in the horizon after a moment cost, `(n_accounts,)`, by what was known.

    A contact costs what is recorded, else what its channel costs now.
    """
    contacts, channels = histories.contacts, histories.settings.channels
    kinds = contact_kinds(histories.settings.channel_names)
    cost = {channel.name: channel.cost for channel in channels}
    of_kind = np.array([cost[kind["channel"]] * (kind["direction"] == "outbound") for kind in kinds])
    each = np.where(contacts.cost > 0, from_money(contacts.cost), of_kind[contacts.kind])
    account = owners(contacts.start)
    ends = moment + horizon_days * DAY
    within = (contacts.known < known_before) & (contacts.at >= moment) & (contacts.at < ends)
    return _sums(account[within], each[within], len(histories))
