"""Makes a world: draws the accounts, lets the days pass, draws the futures, lets the horizon pass, makes the tables."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from experiments.world.codes import ACTIONS, POLICY
from experiments.world.compiled import sources
from experiments.world.debtors import TYPE_NAMES
from experiments.world.headline import DEFINITIONS, Frames, truth_figures, work_figures
from experiments.world.population import populate
from experiments.world.running import Progress, Records, run
from experiments.world.settings import WorldSettings
from experiments.world.state import MOODS, TRAITS
from experiments.world.tables import account_ids, accounts_frame, event_frames
from experiments.world.truth import ORDERS, Truth, truth_of
from features.units import NULL_TIME, format_instant, from_instants, from_money

#: What the truth calls the action of letting the policy choose.
POLICY_ACTION = "policy"
#: Later than any recording: a payment of the horizon counts by its time alone.
_ALL_TIME = np.iinfo(np.int64).max
_LIBRARIES = ("numpy", "numba", "pandas", "pyarrow")


@dataclass(frozen=True)
class World:
    """A portfolio and the truth about it.

    `frames` are the tables of the contract, as known before `as_of`. `truth` has `actions` (what would follow each
    action), `followed` (what did follow), `payments` (those of the horizon) and `accounts` (the hidden traits).
    `manifest` says how it was made, and its headline figures.
    """

    settings: WorldSettings
    frames: Mapping[str, pd.DataFrame]
    truth: Mapping[str, pd.DataFrame]
    manifest: Mapping[str, Any]

    @property
    def as_of(self) -> int:
        """The moment of the truth, as an instant: no row of the portfolio is known then or later."""
        return self.settings.as_of


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def simulate(settings: WorldSettings, threads: int = 2, progress: Progress = no_progress) -> World:
    """Make a world; equal settings give an equal world, whatever the threads."""
    population = populate(settings)
    states, events = run(settings, population.states, 0, settings.days, threads, progress)
    frames = {"accounts": accounts_frame(settings, population)}
    frames |= event_frames(settings, events, settings.start_instant, settings.as_of)
    is_live = (states["closed"] == 0) & (states["known_balance"] > 0)
    live = states[is_live]
    live["net"], live["first_paid"] = 0, NULL_TIME
    truth = truth_of(settings, live, threads, progress)
    end = settings.days + settings.horizon_days
    after, later = run(settings, live, settings.days, end, threads, progress)
    truth_frames = {
        "actions": _actions_frame(settings, live, truth),
        "followed": _followed_frame(after),
        "payments": event_frames(settings, later, settings.as_of, _ALL_TIME)["payments"],
        "accounts": _accounts_truth(settings, states, is_live),
    }
    return World(settings, frames, truth_frames, _manifest(settings, frames, truth_frames))


def _actions_frame(settings: WorldSettings, live: Records, truth: Truth) -> pd.DataFrame:
    """One row per live account and action, `policy` last; the policy's own chance of each action beside it."""
    n, orders = len(live), len(ORDERS)
    names = [POLICY_ACTION if order == POLICY else ACTIONS[order] for order in ORDERS]
    beyond = np.full((n, 1), np.nan)
    frame = pd.DataFrame(
        {
            "account_id": pd.array(account_ids(np.repeat(live["account"], orders)), dtype="str"),
            "action": pd.array(names * n, dtype="str"),
            "p_pay": truth.p_pay.ravel(),
            "p_pay_error": truth.p_pay_error.ravel(),
            "expected_amount": truth.amount.ravel(),
            "expected_amount_error": truth.amount_error.ravel(),
            "draws": np.full(n * orders, settings.truth_draws),
            "allowed": np.hstack([truth.allowed, np.ones((n, 1))]).ravel() == 1.0,
            "policy_probability": np.hstack([truth.chosen, beyond]).ravel(),
        }
    )
    return frame if settings.truth_draws > 0 else frame.iloc[:0]


def _followed_frame(after: Records) -> pd.DataFrame:
    """What was paid in the horizon, one row per account that was live."""
    return pd.DataFrame(
        {
            "account_id": pd.array(account_ids(after["account"]), dtype="str"),
            "paid_amount": from_money(after["net"]),
            "paid": after["net"] > 0,
            "first_paid_at": from_instants(after["first_paid"]),
        }
    )


def _accounts_truth(settings: WorldSettings, states: Records, is_live: Any) -> pd.DataFrame:
    """The hidden traits of every account and its debtor's mood at the moment; days count from the world's start.

    `reviewed_today` says that the policy would look at the account within a day of the moment.
    """
    frame = pd.DataFrame({"account_id": pd.array(account_ids(states["account"]), dtype="str")})
    for name, _ in (*TRAITS, *MOODS):
        frame[name] = states[name]
    types = np.array(TYPE_NAMES, dtype=object)[states["debtor_type"]]
    frame["debtor_type"] = pd.array(types, dtype="str")
    broken = (states["promise_open"] == 1) & (settings.days >= states["promise_due"] + 3)
    frame["live"] = is_live
    frame["reviewed_today"] = is_live & ((states["next_review"] <= settings.days) | broken)
    return frame


def _manifest(settings: WorldSettings, frames: Frames, truth: Frames) -> dict[str, Any]:
    policy = truth["actions"][truth["actions"]["action"] == POLICY_ACTION]
    figures = work_figures(frames, settings.as_of)
    if len(policy) == len(truth["followed"]):
        figures |= truth_figures(policy, truth["followed"])
    return {
        "settings": settings_of(settings),
        "sources": sources(),
        "as_of": format_instant(settings.as_of),
        "horizon_end": format_instant(settings.horizon_end),
        "figures": {name: None if math.isnan(value) else value for name, value in figures.items()},
        "definitions": DEFINITIONS,
        "rows": {name: len(frame) for name, frame in frames.items()}
        | {f"truth/{name}": len(frame) for name, frame in truth.items()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
    }


def settings_of(settings: WorldSettings) -> dict[str, Any]:
    """The settings as they stand in a manifest."""
    return asdict(settings) | {"start": settings.start.isoformat()}
