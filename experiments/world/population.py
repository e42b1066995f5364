"""Who is in the world: debts, debtors and what the creditor's file says of them, drawn at once for all accounts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.world import market
from experiments.world.codes import LONG_AGO, PHONE_1
from experiments.world.debtors import (
    ANSWERING_SCALE,
    DEBTOR_TYPES,
    LATE_ONLY,
    LONG_TERM_UNABLE,
    SHARE_AGED,
    SHARE_NEW,
    SHORT_TERM_UNABLE,
    TOKEN_SHARE,
    TYPE_NAMES,
    UNREACHABLE,
)
from experiments.world.settings import WorldSettings
from experiments.world.state import STATE
from features.units import MONEY_SCALE, NULL_TIME

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_CENT = MONEY_SCALE // 100
#: Money that the unable have, relative to the others.
_ABILITY = np.ones(len(DEBTOR_TYPES))
_ABILITY[LONG_TERM_UNABLE] = 0.45
#: How much debtors of one type differ: shape of a gamma distribution with mean 1.
_WILLINGNESS_SHAPE, _ABILITY_SHAPE, _SELF_CURE_SHAPE, _RESPONSE_SHAPE = 1.2, 2.2, 1.5, 3.0
_RECOVERY_DAYS = 75.0  # mean wait until a short-term unable debtor recovers
_ANSWERING = (2.2, 3.6)  # beta distribution of the chance to answer at the best hour ...
_ANSWERING_BY_WILLINGNESS, _ANSWERING_AT_MOST = (
    0.5,
    0.95,
)  # ... of a debtor of willingness 1: who will not pay hides
_FIRST_REVIEW_WITHIN = 2  # days from placement


@dataclass(frozen=True)
class File:
    """What the creditor hands over with each account, beside its dates and balance; all `(n,)`, codes as integers.

    A code of -1 and a utilisation of NaN are missing. `person` is the place of the account whose debtor it is.
    """

    person: Ints
    commission: Floats
    utilisation: Floats
    employment: Ints
    region: Ints
    portfolio: Ints
    man: npt.NDArray[np.bool_]
    opened_days_before_due: Ints


@dataclass(frozen=True)
class Population:
    """`states` (n,) as of each account's placement, `file` beside it, and the balance then in ten-thousandths."""

    states: npt.NDArray[Any]
    file: File
    balance: Ints


@dataclass(frozen=True)
class _Dates:
    stock: npt.NDArray[np.bool_]
    placed: Ints
    past_due: Ints


def populate(settings: WorldSettings) -> Population:
    """Draw all accounts of a world, in order of placement."""
    rng = np.random.Generator(np.random.PCG64(settings.seed))
    n = settings.accounts
    dates = _dates(settings, rng)
    segment = _pick(rng, np.array([s.share for s in market.SEGMENTS]), n)
    person = _persons(rng, n)
    kind = _types(rng, segment, dates.stock)[person]
    states = np.zeros(n, STATE)
    states["account"] = np.arange(n)
    states["segment"], states["debtor_type"] = segment, kind
    states["placed_day"] = dates.placed
    states["due_day"] = np.where(rng.random(n) < market.NO_DUE_DATE_SHARE, LONG_AGO, dates.placed - dates.past_due)
    balance = _balances(rng, segment)
    _set_business(states, balance, rng)
    file = _file(rng, states, person, dates)
    _set_traits(states, file, rng)
    return Population(states, replace(file, employment=_forget(rng, file.employment)), balance)


def _pick(rng: np.random.Generator, shares: Floats, n: int) -> Ints:
    return np.asarray(rng.choice(len(shares), size=n, p=shares / shares.sum()), dtype=np.int64)


def _pick_by_row(rng: np.random.Generator, shares: Floats) -> Ints:
    """One place per row of `shares` (n, k), by that row's shares."""
    up_to = np.cumsum(shares, axis=1)
    draw = rng.random(len(shares))[:, None] * up_to[:, -1:]
    return np.asarray((draw >= up_to).sum(axis=1), dtype=np.int64)


def _dates(settings: WorldSettings, rng: np.random.Generator) -> _Dates:
    n, days = settings.accounts, settings.days
    stock = rng.random(n) < market.STOCK_SHARE
    handed_over = rng.integers(0, min(market.STOCK_HANDOVER_DAYS, days), n)
    fresh = rng.integers(0, days, n)
    weekday = (settings.start.weekday() + fresh) % 7
    batch = (rng.random(n) < market.MONDAY_SHARE) & (fresh - weekday >= 0)
    fresh = np.where(batch, fresh - weekday, fresh)
    placed = np.where(stock, handed_over, fresh)
    order = np.argsort(placed, kind="stable")
    stock, placed = stock[order], placed[order]
    mean, least, most = (
        np.where(stock, of_stock, of_fresh)
        for of_stock, of_fresh in zip(market.STOCK_AGE, market.FRESH_AGE, strict=True)
    )
    past_due = np.minimum(least + rng.exponential(mean).astype(np.int64), most)
    return _Dates(stock, placed, past_due)


def _persons(rng: np.random.Generator, n: int) -> Ints:
    """The account whose debtor each account has: itself, or an earlier one."""
    own = np.arange(n)
    other = (own * rng.random(n)).astype(np.int64)
    shared = rng.random(n) < market.SAME_PERSON_SHARE
    first = np.where(shared, other, own)
    while (first[first] != first).any():
        first = first[first]
    return np.asarray(first, dtype=np.int64)


def _types(rng: np.random.Generator, segment: Ints, stock: npt.NDArray[np.bool_]) -> Ints:
    lift = np.ones((len(market.SEGMENTS), len(DEBTOR_TYPES)))
    for row, kind in enumerate(market.SEGMENTS):
        for name, factor in kind.type_lift:
            lift[row, TYPE_NAMES.index(name)] = factor
    shares = np.where(stock[:, None], SHARE_AGED, SHARE_NEW) * lift[segment]
    return _pick_by_row(rng, shares)


def _balances(rng: np.random.Generator, segment: Ints) -> Ints:
    median, spread, least = (
        np.array([getattr(s, name) for s in market.SEGMENTS])[segment] for name in ("median", "spread", "least")
    )
    drawn = np.maximum(median * np.exp(spread * rng.standard_normal(len(segment))), least)
    return np.asarray(np.round(drawn * 100) * _CENT, dtype=np.int64)


def _set_business(states: npt.NDArray[Any], balance: Ints, rng: np.random.Generator) -> None:
    """Set what an account is like on the morning it is placed."""
    n, segment = len(states), states["segment"]
    states["balance"] = states["known_balance"] = balance
    states["charge_every"] = np.array([s.charge_every_days for s in market.SEGMENTS])[segment]
    fee = np.array([s.fee_share for s in market.SEGMENTS])[segment] * balance
    states["charge_amount"] = np.round(fee / _CENT).astype(np.int64) * _CENT
    states["next_review"] = states["placed_day"] + rng.integers(0, _FIRST_REVIEW_WITHIN, n)
    least, most = market.RECALL_DAYS
    states["close_day"] = states["placed_day"] + rng.integers(least, most + 1, n)
    for name in (
        "last_sms",
        "last_letter",
        "last_visit",
        "last_legal",
        "last_reached",
        "last_paid",
        "last_broken",
        "reversal_day",
    ):
        states[name] = LONG_AGO
    states["first_paid"] = NULL_TIME
    states["phone"] = PHONE_1
    states["has_phone_2"] = rng.random(n) < market.HAS_PHONE_2
    states["has_email"] = rng.random(n) < market.HAS_EMAIL


def _file(rng: np.random.Generator, states: npt.NDArray[Any], person: Ints, dates: _Dates) -> File:
    """Draw what the file says; a debtor's own data are the same on all of her accounts."""
    n, kind, segment = len(states), states["debtor_type"], states["segment"]
    unable = (kind == LONG_TERM_UNABLE) | (kind == SHORT_TERM_UNABLE)
    employment = _pick_by_row(rng, market.EMPLOYMENT_SHARES[unable.astype(np.int64)])[person]
    region = _pick(rng, market.REGION_SHARES, n)[person]
    drawn = 1 / (1 + np.exp(-(0.6 + 0.5 * unable + 0.9 * rng.standard_normal(n))))
    missing = rng.random(n) < market.UTILISATION_MISSING
    rate = np.array([s.commission for s in market.SEGMENTS])[segment]
    card_at_joint_stock = (segment == market.CREDIT_CARD) & (rng.random(n) < 0.5)
    portfolio = np.array([0, 1, 2, 3, 4])[segment] + card_at_joint_stock
    rate = np.where(card_at_joint_stock, 0.23, rate)
    return File(
        person=person,
        commission=np.where(dates.past_due > 365, market.COMMISSION_AGED, rate),
        utilisation=np.where(missing, np.nan, np.round(drawn, 3)),
        employment=employment,
        region=np.where(rng.random(n) < market.REGION_MISSING, -1, region),
        portfolio=portfolio,
        man=(rng.random(n) < market.MEN_BY_EMPLOYMENT[employment])[person],
        opened_days_before_due=rng.integers(30, 1_500, n),
    )


def _forget(rng: np.random.Generator, employment: Ints) -> Ints:
    return np.where(rng.random(len(employment)) < market.EMPLOYMENT_MISSING, -1, employment)


def _set_traits(states: npt.NDArray[Any], file: File, rng: np.random.Generator) -> None:
    """Draw who the debtors are. What belongs to the debtor rather than the debt is shared by her accounts."""
    n, kind = len(states), states["debtor_type"]

    def around_one(shape: float) -> Floats:
        return (rng.gamma(shape, 1 / shape, n))[file.person]

    region_ability = np.where(file.region >= 0, market.REGION_ABILITY[file.region], 1.0)
    states["willingness"] = around_one(_WILLINGNESS_SHAPE)
    states["ability"] = around_one(_ABILITY_SHAPE) * _ABILITY[kind] * region_ability
    states["liquidity"] = states["ability"] * (0.3 + 1.4 * rng.random(n))
    states["self_cure"] = rng.gamma(_SELF_CURE_SHAPE, 1 / _SELF_CURE_SHAPE, n)
    states["payday"] = rng.choice([5, 10, 15, 20, 25, 28], size=n, p=[0.15, 0.3, 0.25, 0.12, 0.1, 0.08])[file.person]
    waits = np.maximum(rng.exponential(_RECOVERY_DAYS, n).astype(np.int64), 5)
    states["recovery_day"] = np.where(kind == SHORT_TERM_UNABLE, states["placed_day"] + waits, LONG_AGO)
    states["pays_token"] = rng.random(n) < TOKEN_SHARE[kind]
    readiness = states["willingness"] ** _ANSWERING_BY_WILLINGNESS * ANSWERING_SCALE[kind]
    states["answering"] = np.minimum(rng.beta(*_ANSWERING, n)[file.person] * readiness, _ANSWERING_AT_MOST)
    states["sms_response"], states["email_response"] = (
        around_one(_RESPONSE_SHAPE),
        around_one(_RESPONSE_SHAPE),
    )
    _set_contact_points(states, file, rng)


def _set_contact_points(states: npt.NDArray[Any], file: File, rng: np.random.Generator) -> None:
    n = len(states)
    unreachable = states["debtor_type"] == UNREACHABLE
    for name, (lost, other) in {
        "phone_1_wrong": market.PHONE_WRONG,
        "phone_2_wrong": market.PHONE_WRONG,
        "email_wrong": market.EMAIL_WRONG,
        "address_wrong": market.ADDRESS_WRONG,
    }.items():
        states[name] = rng.random(n) < np.where(unreachable, lost, other)
    usual = _pick_by_row(rng, market.PROFILE_SHARES[file.employment])
    late = rng.random(n) < np.where(unreachable, *market.ANSWERS_LATE_ONLY)
    states["hours"] = np.where(late, LATE_ONLY, usual)[file.person]
