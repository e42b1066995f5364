"""From events to the tables of the contract, as data frames in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from experiments.world import market
from experiments.world.codes import (
    ACTIONS,
    CALL,
    CHARGE_KINDS,
    CONTACT_POINTS,
    LONG_AGO,
    NO_POINT,
    NONE,
    VISIT,
    TableCode,
)
from experiments.world.population import Population
from experiments.world.settings import WorldSettings
from features.contract import OUTCOMES, RESTRICTIONS
from features.units import DAY, HOUR, NULL_TIME, from_instants, from_money

Ints = npt.NDArray[np.int64]
Frame = dict[str, Any]
POLICY_NAME = "ladder"
#: Accounts come in during the night, before the first decisions of the day.
_PLACED_AT = 2 * HOUR
_DIRECTIONS = ("outbound", "inbound")
_ID_DIGITS = 7


def account_ids(places: Ints) -> pa.Array:
    """The ids of accounts by their places in the accounts table."""
    return _ids("A", places)


def _ids(prefix: str, numbers: Ints) -> pa.Array:
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), _ID_DIGITS, "0")
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, "")


def _words(codes: Ints, words: Sequence[str]) -> pa.Array:
    """The words that codes stand for; a code of -1 is null."""
    return pa.array(list(words), pa.string()).take(pa.array(codes, mask=codes < 0))


def _times(instants: Ints) -> Any:
    return from_instants(instants).array


def _frame(columns: Frame) -> pd.DataFrame:
    """A data frame of columns, text as pandas' own text type."""
    return pd.DataFrame(
        {
            name: pd.array(values, dtype="str") if isinstance(values, pa.Array) else values
            for name, values in columns.items()
        }
    )


def accounts_frame(settings: WorldSettings, population: Population) -> pd.DataFrame:
    """The accounts table, attributes included."""
    states, file = population.states, population.file
    placed = settings.start_instant + states["placed_day"] * DAY
    due = np.where(states["due_day"] == LONG_AGO, NULL_TIME, settings.start_instant + states["due_day"] * DAY)
    past_due = np.where(states["due_day"] == LONG_AGO, market.AGE_UNKNOWN_DAYS, 0)
    base = np.where(due == NULL_TIME, placed - past_due * DAY, due)
    return _frame(
        {
            "account_id": account_ids(states["account"]),
            "opened_at": _times(base - file.opened_days_before_due * DAY),
            "due_on": _times(due),
            "balance": from_money(population.balance),
            "segment": _words(states["segment"], market.SEGMENT_NAMES),
            "placed_at": _times(placed + _PLACED_AT),
            "person_id": _ids("P", file.person),
            "portfolio": _words(file.portfolio, market.PORTFOLIOS),
            "commission_rate": file.commission,
            "utilisation": file.utilisation,
            "phones_on_file": states["has_phone_2"] + 1.0,
            "email_on_file": states["has_email"] * 1.0,
            "employment": _words(file.employment, market.EMPLOYMENTS),
            "region": _words(file.region, market.REGIONS),
            "gender": _words(file.man.astype(np.int64), ("female", "male")),
        }
    )


def event_frames(
    settings: WorldSettings, events: npt.NDArray[Any], from_instant: int, known_before: int
) -> dict[str, pd.DataFrame]:
    """The other tables: the events from `from_instant` on that are known before `known_before`."""
    known = np.maximum(events["known"], events["at"])
    events = events[(known < known_before) & (events["at"] >= from_instant)]
    makers: dict[TableCode, Callable[[npt.NDArray[Any]], Frame]] = {
        TableCode.DECISIONS: _decisions,
        TableCode.CONTACTS: partial(_contacts, settings),
        TableCode.PROMISES: _promises,
        TableCode.RESTRICTIONS: _restrictions,
        TableCode.PAYMENTS: _payments,
        TableCode.CHARGES: _charges,
    }
    frames = {}
    for code, make in makers.items():
        rows = events[events["table"] == code]
        rows = rows[np.argsort(rows["at"], kind="stable")]
        frames[code.name.lower()] = _frame(make(rows))
    return frames


def _decisions(rows: npt.NDArray[Any]) -> Frame:
    return {
        "account_id": account_ids(rows["account"]),
        "at": _times(rows["at"]),
        "channel": _words(rows["action"], ACTIONS),
        "propensity": rows["propensity"],
        "explored": rows["flag"] == 1,
        "policy": _words(np.zeros(len(rows), np.int64), (POLICY_NAME,)),
    }


def _contacts(settings: WorldSettings, rows: npt.NDArray[Any]) -> Frame:
    inbound = rows["flag"] == 1
    return {
        "contact_id": _ids("C", np.arange(len(rows))),
        "account_id": account_ids(rows["account"]),
        "at": _times(rows["at"]),
        "channel": _words(rows["action"], ACTIONS),
        "outcome": _words(rows["code"], OUTCOMES),
        "direction": _words(rows["flag"], _DIRECTIONS),
        "contact_point": _points(rows),
        "cost": np.where(inbound, 0.0, market.COSTS[rows["action"]]),
        "agent": _agents(settings, rows),
        "propensity": np.where(inbound, np.nan, rows["propensity"]),
        "recorded_at": _times(rows["known"]),
    }


def _points(rows: npt.NDArray[Any]) -> pa.Array:
    """Opaque ids of numbers and addresses, null where none was used."""
    given = rows["point"] != NO_POINT
    names = _words(np.where(given, rows["point"], -1), CONTACT_POINTS)
    return pc.binary_join_element_wise(account_ids(rows["account"]), names, "-")


def _agents(settings: WorldSettings, rows: npt.NDArray[Any]) -> pa.Array:
    """Collectors by turns: an account has the same one for a month; messages and letters have none."""
    calls = settings.accounts * dict(market.CAPACITY_PER_ACCOUNT)["call"]
    collectors = max(2, round(calls / market.CALLS_PER_COLLECTOR))
    month = (rows["at"] - settings.start_instant) // (30 * DAY)
    spoken = (rows["action"] == CALL) | (rows["action"] == VISIT)
    turn = (rows["account"] * 7 + month * 3) % collectors
    return _words(np.where(spoken, turn, -1), [f"collector-{turn + 1:03d}" for turn in range(collectors)])


def _promises(rows: npt.NDArray[Any]) -> Frame:
    return {
        "promise_id": _ids("R", np.arange(len(rows))),
        "account_id": account_ids(rows["account"]),
        "made_at": _times(rows["at"]),
        "due_on": _times(rows["until"]),
        "amount": from_money(rows["amount"]),
        "recorded_at": _times(rows["known"]),
    }


def _restrictions(rows: npt.NDArray[Any]) -> Frame:
    return {
        "account_id": account_ids(rows["account"]),
        "at": _times(rows["at"]),
        "kind": _words(rows["code"], RESTRICTIONS),
        "channel": _words(np.where(rows["action"] == NONE, -1, rows["action"]), ACTIONS),
        "contact_point": _points(rows),
        "until": _times(rows["until"]),
        "recorded_at": _times(rows["known"]),
    }


def _payments(rows: npt.NDArray[Any]) -> Frame:
    return {
        "payment_id": _ids("Z", np.arange(len(rows))),
        "account_id": account_ids(rows["account"]),
        "at": _times(rows["at"]),
        "amount": from_money(rows["amount"]),
        "recorded_at": _times(rows["known"]),
    }


def _charges(rows: npt.NDArray[Any]) -> Frame:
    return {
        "account_id": account_ids(rows["account"]),
        "at": _times(rows["at"]),
        "amount": from_money(rows["amount"]),
        "due_on": _times(rows["until"]),
        "kind": _words(rows["code"], CHARGE_KINDS),
    }
