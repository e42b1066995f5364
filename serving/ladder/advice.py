"""Advice for the end of the ladder: keep, agency, lawyer or write-off, by expected profit, with the figures behind it.

What an account is expected to pay in the horizon is the rate of its like (`serving.ladder.liquidation`) times what it
owes, times how much more or less accounts of such a score paid than their like. From that follows what each option is
expected to earn the house, whose share is the account's commission rate:

    keep        share x recovery - what work has cost for its like
    agency      (share - the agency's commission) x how many times as much it recovers (an assumption) x recovery
    lawyer      (share - the lawyer's) x what legal steps recovered, of what was expected then x recovery - fee
    write-off   0, or the price of a sale

What legal steps recovered is what followed them so far: they were not drawn at random, and who is chosen for them may
pay more or less whatever a lawyer does. The model has learned from many of the accounts at their landmarks, so that its
scores set them apart better than they do today's. Therefore only payments after its own horizon say how much more a
higher score pays, and of that the square root is taken.

Intervals are of what is expected, not of what one account will do: they come of the few payments that a rate rests on.
Costs, terms and assumptions are taken as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.compute import feature_matrix, standing
from features.errors import SettingsError
from features.events import owners
from features.histories import Histories, attempted_channels
from features.outcomes import outcomes
from features.stages import stages
from features.units import DAY, Instants, Rows, from_money
from serving.contact_rules.restrictions import blocking_restrictions, forbids_everything, of_other_debts
from serving.contact_rules.rules import reasons_held
from serving.ladder.describing import end_in_words, terms_in_words
from serving.ladder.liquidation import (
    FEWEST_ACCOUNTS,
    INTERVAL,
    N_BALANCES,
    N_BANDS,
    Backtest,
    Floats,
    Landmarks,
    LiquidationTable,
    Mask,
    Rates,
    backtest,
    band_name,
    gamma_quantiles,
    group_rates,
    landmarks,
    liquidation_table,
)
from serving.ladder.policy import End, Ladder, Lawyer, stage_number
from serving.ladder.rungs import ages_of, reached, rungs_of
from serving.scoring import BLOCK, Scorer, rows_of

Texts = npt.NDArray[np.object_]

KEEP, AGENCY, LAWYER, WRITE_OFF = range(4)
OPTIONS = ("keep", "agency", "lawyer", "write_off")
#: Where nothing is advised.
INSUFFICIENT, HELD_BACK = "insufficient evidence", "held back"
#: How far the evidence goes: the best option is surely better than the second, or perhaps not; one of the two is a
#: lawyer's, whose cases were chosen; or a table like this one did not hold against what followed.
CLEAR, CLOSE, CHOSEN, FAILED = "clear", "close", "not at random", "did not hold"
#: So many landmarks say how much more a higher score pays.
MOST_SCORED = 50_000
#: Fifths of the score, against the mean of the cell.
SCORE_QUANTILES = (0.2, 0.4, 0.6, 0.8)
#: Legal steps against fewer accounts, or with fewer payers, tell nothing.
FEWEST_STEPS, FEWEST_STEP_PAYERS = 30, 10
#: Draws for the intervals.
DRAWS = 256
_ONE = Rates(np.ones(len(SCORE_QUANTILES) + 1), np.full(len(SCORE_QUANTILES) + 1, np.inf))
#: The house's share of what is paid on its own debts; no others can be sold.
_OWN = 1.0


@dataclass(frozen=True)
class ScoreFactors:
    """How many times as much as its like an account pays, by its score against theirs.

    `mean_score` is that of each cell, `(n_cells,)`, as a share of the balance; `ends`, `(4,)`, divide scores over it.
    """

    mean_score: Floats
    ends: Floats
    factor: Rates

    def group(self, cell: Rows, score: Floats) -> Rows:
        """The fifth of each account, `(n,)`, by its cell and its score as a share of the balance."""
        return np.searchsorted(self.ends, self.relative(cell, score), side="right").astype(np.int64)

    def relative(self, cell: Rows, score: Floats) -> Floats:
        """The score over the mean of the cell, `(n,)`."""
        mean = self.mean_score[cell]
        return np.divide(score, mean, out=np.ones(len(score)), where=mean > 0)


@dataclass(frozen=True)
class LegalSteps:
    """What followed legal steps: `accounts` against which there were any, `payers` of them, and the `factor`.

    The factor is what they paid over what was expected of them; None where there are too few.
    """

    accounts: int
    payers: int
    factor: Rates | None


@dataclass(frozen=True)
class Evidence:
    """What is known of how accounts like these went on."""

    table: LiquidationTable
    factors: ScoreFactors
    legal: LegalSteps
    tested: Backtest | None


@dataclass(frozen=True)
class Advice:
    """The advice: a row for each account at the end of the ladder, and what a person should know."""

    rows: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Accounts:
    """Accounts as of the moment, `(n,)` each; `share` is the house's of what is paid, `recovery` what is expected."""

    rows: Rows
    balance: Floats
    share: Floats
    cell: Rows
    fifth: Rows
    recovery: Floats
    cost: Floats

    def take(self, places: Rows) -> _Accounts:
        return _Accounts(**{name: values[places] for name, values in vars(self).items()})


def advise(
    scorer: Scorer, scores: pd.DataFrame, histories: Histories, as_of: int, ladder: Ladder, threads: int = 1
) -> Advice:
    """Advise on the accounts at the end of a ladder.

    Args:
        scorer: what scored them.
        scores: the scores table as of the moment.
        histories: what was scored: all of the portfolio.
        as_of: the moment; only what was known strictly before it counts.
        ladder: the ladder, with an end.
        threads: how many threads LightGBM may use.

    Raises:
        SettingsError: the ladder has no end.
        HistoryError: the history is shorter than the horizon, or nobody paid in it.
    """
    end = ladder.end
    if end is None:
        raise SettingsError(f"advice needs the end of a ladder, got none in {ladder.name}; add [end] to it")
    evidence = gather(scorer, histories, as_of, end, threads)
    accounts = _accounts(evidence, scores, histories, as_of)
    why = _why_here(evidence, ladder, end, histories, accounts, as_of)
    places = np.flatnonzero(why != "")
    table = _rows(evidence, end, histories, accounts.take(places), why[places], as_of)
    notes = [
        f"{len(places):,} of {len(accounts.rows):,} live accounts are at the end of the ladder {ladder.name} (in "
        f"{ladder.currency}): {end_in_words(end)}"
    ]
    n_few = int((table["advice"] == INSUFFICIENT).sum())
    notes += [f"of {n_few:,} accounts the history tells too little to advise"] if n_few else []
    return Advice(table, (*notes, *_notes(evidence, end)))


def gather(scorer: Scorer, histories: Histories, as_of: int, end: End, threads: int = 1) -> Evidence:
    """What the history says, as of a moment, of how accounts go on for the horizon of the end of a ladder.

    Raises:
        HistoryError: as `landmarks` and `liquidation_table`.
    """
    marks = landmarks(histories, end.horizon_days, as_of)
    table = liquidation_table(marks, end.horizon_days)
    factors = _score_factors(scorer, histories, marks, table, as_of, threads)
    legal = LegalSteps(0, 0, None)
    if end.lawyer is not None:
        legal = _legal_steps(scorer, histories, end.lawyer, table, factors, as_of)
    return Evidence(table, factors, legal, backtest(histories, end.horizon_days, as_of))


def _accounts(evidence: Evidence, scores: pd.DataFrame, histories: Histories, as_of: int) -> _Accounts:
    rows = rows_of(histories, scores["account_id"])
    balance = from_money(standing(histories, rows, np.full(len(rows), as_of))[0])
    days = (as_of - histories.accounts.placed_at[rows]) / DAY
    amount, p_pay = (scores[name].to_numpy(np.float64) for name in ("expected_amount", "p_pay"))
    table, cell = evidence.table, evidence.table.cells(days, balance)
    fifth = evidence.factors.group(cell, _as_share(amount, p_pay, balance))
    recovery = table.rate.mean[cell] * evidence.factors.factor.mean[fifth] * balance
    share = histories.accounts.commission_rate[rows]
    return _Accounts(rows, balance, share, cell, fifth, recovery, table.cost[cell])


def _why_here(
    evidence: Evidence, ladder: Ladder, end: End, histories: Histories, accounts: _Accounts, as_of: int
) -> Texts:
    """Why each account is at the end of the ladder, `(n,)`; blank where it is not.

    Of whom all contact is forbidden, no rung is open, but that is not the end: only their age brings them there.
    """
    why, ages = np.full(len(accounts.rows), "", dtype=object), ages_of(histories, accounts.rows, as_of)
    if end.unprofitable_from is not None:
        told = (ages.stage >= stage_number(end.unprofitable_from)) & evidence.table.supported[accounts.cell]
        why[told & (accounts.share * accounts.recovery <= accounts.cost)] = "costs more than it brings"
    if end.rungs_used:
        why[rungs_of(ladder, histories, accounts.rows, as_of).all_used] = "no rung is left"
    why[_held(histories, accounts.rows, as_of)] = ""
    if end.from_stage is not None or end.from_days is not None:
        why[ages.begun(end)] = f"from {end.from_stage}" if end.from_stage else f"from {end.from_days} days past due"
    return why


def _rows(
    evidence: Evidence, end: End, histories: Histories, accounts: _Accounts, why: Texts, as_of: int
) -> pd.DataFrame:
    """The table; those come first of whom the best option brings most more than keeping on."""
    options = _options(evidence, end, histories, accounts, as_of)
    profit, every = options.profit, np.arange(len(why))
    order = np.argsort(-np.nan_to_num(profit, nan=-np.inf), axis=1, kind="stable")
    best, second = order[:, 0], order[:, 1]
    held, supported = _held(histories, accounts.rows, as_of), evidence.table.supported[accounts.cell]
    decided = supported & ~held
    low, high = _leads(evidence, options, accounts, best, second)
    because = _because(evidence, accounts)
    because[~supported] = [_too_few(int(cell) // N_BALANCES) for cell in accounts.cell[~supported]]
    because[held] = reasons_held(histories, accounts.rows[held], as_of, of_person=True)
    table = pd.DataFrame(
        {
            "account_id": histories.accounts.account_id[accounts.rows],
            "stage": stages(histories, accounts.rows, as_of),
            "balance": accounts.balance,
            "at_end": why,
            "advice": np.select([held, ~supported], [HELD_BACK, INSUFFICIENT], _named(best, profit)),
            "evidence": np.where(
                decided, _evidence(evidence, accounts, low, (best == LAWYER) | (second == LAWYER)), ""
            ),
            "expected_recovery": np.where(decided, accounts.recovery, np.nan),
            **{name: np.where(decided, profit[:, place], np.nan) for place, name in enumerate(OPTIONS)},
            "second": np.where(decided, _named(second, profit), ""),
            "lead": np.where(decided, profit[every, best] - profit[every, second], np.nan),
            "lead_low": np.where(decided, low, np.nan),
            "lead_high": np.where(decided, high, np.nan),
            "because": because,
            "assumes": np.where(decided, _assumes(end, best, second), ""),
        }
    )
    gained = np.where(decided, profit[every, best] - profit[:, KEEP], -np.inf)
    return table.iloc[np.lexsort((accounts.rows, -gained))].reset_index(drop=True)


@dataclass(frozen=True)
class _Options:
    """The options of `n` accounts: each earns `slope` times what is expected to be paid, plus `fixed`, `(n, 4)`.

    NaN where an option is not there: too little is owed for it, nothing is known of it, or it would keep all of the
    house's share.
    """

    slope: Floats
    fixed: Floats
    recovery: Floats

    @property
    def profit(self) -> Floats:
        """What each is expected to earn, `(n, 4)`."""
        return self.slope * self.recovery[:, None] + self.fixed


def _options(evidence: Evidence, end: End, histories: Histories, accounts: _Accounts, as_of: int) -> _Options:
    ages = ages_of(histories, accounts.rows, as_of)
    slope, fixed = (np.full((len(accounts.rows), len(OPTIONS)), np.nan) for _ in range(2))
    slope[:, KEEP], fixed[:, KEEP] = accounts.share, -accounts.cost
    slope[:, WRITE_OFF] = 0.0
    price = 0.0 if end.sale is None else end.sale.price
    fixed[:, WRITE_OFF] = np.where(accounts.share >= _OWN, price * accounts.balance, 0.0)
    agency, lawyer, legal = end.agency, end.lawyer, evidence.legal.factor
    if agency is not None:
        worth = reached(agency, histories, accounts.rows, ages) & (accounts.share > agency.commission)
        slope[worth, AGENCY] = agency.recovers * (accounts.share[worth] - agency.commission)
        fixed[worth, AGENCY] = 0.0
    if lawyer is not None and legal is not None:
        worth = reached(lawyer, histories, accounts.rows, ages) & (accounts.share > lawyer.share)
        slope[worth, LAWYER] = legal.mean[0] * (accounts.share[worth] - lawyer.share)
        fixed[worth, LAWYER] = -lawyer.fee
    return _Options(slope, fixed, accounts.recovery)


def _leads(
    evidence: Evidence, options: _Options, accounts: _Accounts, best: Rows, second: Rows
) -> tuple[Floats, Floats]:
    """The 95 % interval of what the best option earns more than the second, `(n,)` each: low and high.

    What is expected to be paid is drawn from what is known of the rate of the cell, of the factor of the score, and of
    that of legal steps, each by itself.
    """
    generator, levels = np.random.default_rng(0), (np.arange(DRAWS) + 0.5) / DRAWS
    table = evidence.table
    shapes = (1 / (1 / table.rate.shape + table.drift), evidence.factors.factor.shape)
    of_cell, of_fifth = (gamma_quantiles(shape[:, None], levels) for shape in shapes)
    of_fifth = of_fifth[:, generator.permutation(DRAWS)]
    legal = np.ones(DRAWS)
    if evidence.legal.factor is not None:
        legal = gamma_quantiles(evidence.legal.factor.shape, generator.permutation(levels))
    low, high = np.empty(len(best)), np.empty(len(best))
    for begin in range(0, len(best), BLOCK):
        places = np.arange(begin, min(begin + BLOCK, len(best)))
        paid = of_cell[accounts.cell[places]] * of_fifth[accounts.fifth[places]] * accounts.recovery[places, None]
        lead = np.zeros(paid.shape)
        for sign, which in ((1, best[places]), (-1, second[places])):
            drawn = np.where((which == LAWYER)[:, None], paid * legal, paid)
            lead += sign * (options.slope[places, which][:, None] * drawn + options.fixed[places, which][:, None])
        low[places], high[places] = np.quantile(lead, INTERVAL, axis=1)
    return low, high


def _held(histories: Histories, rows: Rows, as_of: int) -> Mask:
    """Whom all contact is forbidden, `(n,)`: what is to be done with them is for a person."""
    held = np.zeros(len(rows), dtype=np.bool_)
    active = blocking_restrictions(histories, rows, as_of)
    held[active.place[forbids_everything(histories.restrictions, active.event)]] = True
    held[of_other_debts(histories, rows, as_of).place] = True
    return held


def _named(option: Rows, profit: Floats) -> Texts:
    """Options in words, `(n,)`; a write-off that brings something is a sale."""
    names = np.array(["keep", "agency", "lawyer", "write-off"], dtype=object)[option]
    return np.where((option == WRITE_OFF) & (profit[:, WRITE_OFF] > 0), "sale", names)


def _evidence(evidence: Evidence, accounts: _Accounts, low: Floats, legal: Mask) -> Texts:
    """How far the evidence goes, `(n,)`; `legal` says where it is about a lawyer."""
    found = np.where(legal, CHOSEN, np.where(low > 0, CLEAR, CLOSE)).astype(object)
    if evidence.tested is not None:
        found[evidence.tested.failed[accounts.cell // N_BALANCES]] = FAILED
    return found


def _because(evidence: Evidence, accounts: _Accounts) -> Texts:
    table, factor = evidence.table, evidence.factors.factor.mean
    lines = [
        f"of what its like owe {table.rate.mean[cell]:.1%} comes in {table.horizon_days} days ({table.payers[cell]:,} "
        f"of {table.accounts[cell]:,} accounts paid), {factor[fifth]:.1f} times that with its score: {recovery:,.0f}; "
        f"going on costs {cost:,.0f}"
        for cell, fifth, recovery, cost in zip(
            accounts.cell, accounts.fifth, accounts.recovery, accounts.cost, strict=True
        )
    ]
    return np.array(lines, dtype=object)


def _too_few(band: int) -> str:
    return f"fewer than {FEWEST_ACCOUNTS} accounts were seen {band_name(band)} in collections"


def _assumes(end: End, best: Rows, second: Rows) -> Texts:
    """What is assumed of the two best options of each account, `(n,)`."""
    said = dict.fromkeys(range(len(OPTIONS)), "")
    for option, name, terms in (
        (AGENCY, "an agency", end.agency),
        (LAWYER, "a lawyer", end.lawyer),
        (WRITE_OFF, "a buyer", end.sale),
    ):
        if terms is not None:
            said[option] = f"{name}: {terms_in_words(terms)}"
    lines = ["; ".join(filter(None, (said[one], said[other]))) for one, other in zip(best, second, strict=True)]
    return np.array(lines, dtype=object)


def _notes(evidence: Evidence, end: End) -> list[str]:
    """What a person should know of the figures."""
    legal, tested = evidence.legal, evidence.tested
    notes = [
        f"profit is the house's, of the {end.horizon_days} days to come; intervals are of what is expected, and what "
        f"is assumed is taken as it is"
    ]
    if end.agency is not None:
        notes.append(f"an agency {terms_in_words(end.agency)}")
    if end.lawyer is not None:
        told = (
            f"{legal.accounts:,} accounts had a legal step and {end.horizon_days} days after it, {legal.payers:,} paid"
        )
        if legal.factor is None:
            least = f"{FEWEST_STEPS} accounts and {FEWEST_STEP_PAYERS} payers"
            notes.append(f"what a lawyer recovers is not told: {told}, and it takes {least}")
        else:
            notes.append(
                f"a lawyer recovers {legal.factor.mean[0]:.2f} times what going on is expected to: {told}; whom steps "
                f"were taken against was not drawn at random"
            )
    if tested is None:
        notes.append("the history is too short to hold such a table against what followed")
    else:
        failed = [_failure(tested, band) for band in np.flatnonzero(tested.failed).tolist()]
        held = "; ".join(failed) or "what followed lies within its interval everywhere"
        notes.append(f"such a table of {end.horizon_days} days ago against what followed: {held}")
    return notes


def _failure(tested: Backtest, band: int) -> str:
    total = tested.total
    return (
        f"{band_name(band)} in collections {tested.paid[band]:,.0f}, expected {total.low[band]:,.0f} to "
        f"{total.high[band]:,.0f}"
    )


def _score_factors(
    scorer: Scorer, histories: Histories, marks: Landmarks, table: LiquidationTable, as_of: int, threads: int
) -> ScoreFactors:
    """How many times as much as their like accounts of a higher or lower score paid after the model's horizon."""
    if len(marks) > MOST_SCORED:
        marks = marks.take(np.sort(np.random.default_rng(0).choice(len(marks), MOST_SCORED, replace=False)))
    cell, n_cells = table.cells(marks.days, marks.balance), N_BANDS * N_BALANCES
    score = _scores_at(scorer, histories, marks.account, marks.as_of, marks.balance, threads)
    owed, scored = (np.bincount(cell, one, n_cells) for one in (marks.balance, score * marks.balance))
    found = ScoreFactors(np.divide(scored, owed, out=np.zeros(n_cells), where=owed > 0), np.zeros(4), _ONE)
    ends = np.quantile(found.relative(cell, score), SCORE_QUANTILES)
    found = replace(found, ends=ends)
    days = scorer.bundle.manifest.horizon_days
    soon = outcomes(histories, marks.account, marks.as_of, days, as_of).net_amount
    later = np.maximum(marks.paid - from_money(soon), 0.0)
    expected = table.rate.mean[cell] * marks.balance
    if days >= table.horizon_days or later.sum() <= 0:
        return found
    rates = group_rates(found.group(cell, score), len(SCORE_QUANTILES) + 1, marks.account, expected, later)
    mean = np.sqrt(rates.mean / (later.sum() / expected.sum()))
    # The square root of a rate is twice as sure as the rate.
    return replace(found, factor=Rates(mean, 4 * rates.shape))


def _legal_steps(
    scorer: Scorer, histories: Histories, lawyer: Lawyer, table: LiquidationTable, factors: ScoreFactors, as_of: int
) -> LegalSteps:
    """What followed the first legal step against each account, over what was expected of it then."""
    rows, moments = _first_steps(histories, lawyer, as_of - table.horizon_days * DAY, as_of)
    owed, live = standing(histories, rows, moments)
    rows, moments, balance = rows[live], moments[live], from_money(owed[live])
    if not len(rows):
        return LegalSteps(0, 0, None)
    paid = from_money(outcomes(histories, rows, moments, table.horizon_days, as_of).net_amount)
    payers = int((paid > 0).sum())
    if len(rows) < FEWEST_STEPS or payers < FEWEST_STEP_PAYERS:
        return LegalSteps(len(rows), payers, None)
    cell = table.cells((moments - histories.accounts.placed_at[rows]) / DAY, balance)
    score = _scores_at(scorer, histories, rows, moments, balance, 1)
    rate = table.rate.mean[cell] * factors.factor.mean[factors.group(cell, score)]
    expected, variance = (rate * balance).sum(), (table.spread[cell] * rate * balance**2).sum()
    factor = max(float(paid.sum() / expected), 0.0)
    # By chance alone, what is paid varies in proportion to what is expected.
    shape = expected**2 * max(factor, 1e-9) / variance
    return LegalSteps(len(rows), payers, Rates(np.array([factor]), np.array([shape])))


def _first_steps(histories: Histories, lawyer: Lawyer, before: int, known_before: int) -> tuple[Rows, Instants]:
    """The accounts against which a legal step was taken before an instant, `(n,)`, and when the first was.

    What was done before their placement, others did.
    """
    contacts = histories.contacts
    channels = histories.settings.channel_names
    legal = np.isin(attempted_channels(channels), [channels.index(name) for name in lawyer.channels])
    first = np.full(len(histories), before)
    account = owners(contacts.start)
    steps = legal[contacts.kind] & (contacts.known < known_before)
    steps &= contacts.at > histories.accounts.placed_at[account]
    np.minimum.at(first, account[steps], contacts.at[steps])
    rows = np.flatnonzero(first < before)
    return rows, first[rows]


def _scores_at(
    scorer: Scorer, histories: Histories, rows: Rows, moments: Instants, balance: Floats, threads: int
) -> Floats:
    """What the model expects of accounts at moments, as a share of the balance, `(n,)`.

    A probability where the model knows no money.
    """
    found = np.empty(len(rows))
    order = np.lexsort((moments, rows))
    for begin in range(0, len(rows), BLOCK):
        block = order[begin : begin + BLOCK]
        matrix = feature_matrix(histories, rows[block], moments[block], scorer.features)
        said = scorer.bundle.predict(matrix, balance[block], threads)
        found[block] = _as_share(said.expected_amount, said.p_pay, balance[block])
    return found


def _as_share(amount: Floats, p_pay: Floats, balance: Floats) -> Floats:
    return np.where(np.isnan(amount), p_pay, amount / balance)
