"""A small store with months of scores, and its roll-up worked out a second time: row by row, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import sqlalchemy as sql

from features.settings import PortfolioSettings
from features.units import DAY, MONEY_SCALE, parse_instant
from serving.review.rollup import roll_up
from serving.store.database import Store
from serving.store.ledger import Answer, Chosen, Scored, answers, record, scores
from serving.store.rollups import DIMENSIONS, SQUARES, SUMS, cells, observations
from tests.serving.small import COSTS, SETTINGS, random_frames
from tests.serving.store.test_histories import send

ACTIONS = ("sms", "call", "none")
FIRST = parse_instant("2026-01-05T03:00:00")
#: After everything: the last rows of the portfolio are from June.
NOW = parse_instant("2026-09-01")
SETTLING, GRACE = 7 * DAY, 3 * DAY
BANDS = "ABCDEFGHIJ"


def frames_of(n_accounts: int, seed: int = 1) -> dict[str, pd.DataFrame]:
    """The small portfolio with events until June, some recorded late; some without a person, an agent or a cost."""
    frames, draw = random_frames(n_accounts, seed), np.random.default_rng(seed)
    accounts = frames["accounts"]
    accounts["person_id"] = [f"P{number // 2}" if number % 3 else None for number in range(n_accounts)]
    accounts["portfolio"] = draw.choice(["east", "west"], n_accounts)
    accounts.loc[::7, "due_on"] = pd.NaT
    ids, start = accounts["account_id"].to_numpy(), pd.Timestamp("2026-01-01", tz="UTC")

    def times(n: int) -> pd.Series[pd.Timestamp]:
        return pd.Series(start + pd.to_timedelta(draw.uniform(0, 165, n), "D")).dt.floor("s")

    def late(at: pd.Series[pd.Timestamp]) -> pd.Series[pd.Timestamp]:
        lag = pd.to_timedelta(draw.exponential(4, len(at)), "D").floor("s")
        return (at + lag).where(draw.random(len(at)) < 0.4)

    n = 6 * n_accounts
    at, paid_at, made_at = times(n), times(n // 4), times(n // 4)
    frames["contacts"] = pd.DataFrame(
        {
            "account_id": draw.choice(ids, n), "at": at, "channel": draw.choice(["sms", "call", "visit"], n),
            "outcome": draw.choice(["sent", "no_answer", "right_party", "promise"], n), "recorded_at": late(at),
            "direction": draw.choice(np.array(["outbound", "inbound", None], object), n),
            "agent": draw.choice(np.array(["ann", "bo", None], object), n),
            "cost": np.where(draw.random(n) < 0.5, 2.5, np.nan),
        }
    )  # fmt: skip
    amount = draw.gamma(1.0, 200.0, len(paid_at)).round(2) * np.where(draw.random(len(paid_at)) < 0.1, -1, 1)
    frames["payments"] = pd.DataFrame(
        {"account_id": draw.choice(ids, len(paid_at)), "at": paid_at, "amount": amount, "recorded_at": late(paid_at)}
    )
    due_on = (made_at + pd.to_timedelta(draw.uniform(1, 20, len(made_at)), "D")).dt.floor("D")
    promised = {"account_id": draw.choice(ids, len(made_at)), "made_at": made_at, "due_on": due_on}
    frames["promises"] = pd.DataFrame(promised | {"amount": 60.0, "recorded_at": late(made_at)})
    return frames


def write_scores(
    store: Store, account_ids: list[str], days: range, seed: int = 3, settings: PortfolioSettings = SETTINGS,
    role: str = "champion",
) -> None:  # fmt: skip
    """A score of every account on each of some days from `FIRST` on, some as a queue."""
    for day in days:
        draw = np.random.default_rng([seed, day, role == "champion"])
        record(
            store, answer_of(FIRST + day * DAY, day % 2 == 0, role, settings), scored_at_random(account_ids, draw, day)
        )


def answer_of(as_of: int, is_queue: bool, role: Any, settings: PortfolioSettings) -> Answer:
    model = "small/1" if role == "champion" else "small/2"
    purpose = "queue" if is_queue else "score"
    return Answer("r", purpose, as_of + 1, as_of, model, "0" * 64, "store", settings, ACTIONS, role, arrival=0)  # type: ignore[arg-type]


def scored_at_random(account_ids: list[str], draw: np.random.Generator, day: int = 1) -> Scored:
    n = len(account_ids)
    p = draw.beta(1, 4, n)
    chosen = Chosen(np.arange(1, n + 1), draw.choice(["sms", "call"], n), np.full(n, 0.9), draw.random(n) < 0.2)
    balance = (draw.gamma(2, 900, n) * np.where(draw.random(n) < 0.3, 0.05, 1.0)).round(2)
    return Scored(
        account_id=account_ids, features=np.zeros((n, 2), np.float32), p_pay=p, expected_amount=p * 150,
        best=np.zeros(n, np.int64), uplift=np.zeros(n), priority=p * 100,
        band=[BANDS[int(place)] for place in (1 - p) * 9], balance=balance,
        commission_rate=np.full(n, 0.2), p_by_action=np.zeros((n, 3)), value_by_action=np.zeros((n, 3)),
        allowed=np.ones((n, 3), np.bool_), rules=["default"] * n, chosen=chosen if day % 2 == 0 else None,
    )  # fmt: skip


def filled(
    store: Store, n_accounts: int = 40, days: range = range(0, 168, 13), seed: int = 1
) -> dict[str, pd.DataFrame]:
    """Fill a store with a small portfolio and its scores; the frames."""
    frames = frames_of(n_accounts, seed)
    assert send(store, frames).rejects.empty
    ids = frames["accounts"]["account_id"].tolist()
    for role in ("champion", "challenger"):
        write_scores(store, ids, days, role=role)
    return frames


def begun(store: Store) -> None:
    """A store of 40 accounts whose first month is known of half of them, and whose second is open."""
    frames = frames_of(40)
    until = pd.Timestamp("2026-02-20", tz="UTC")
    for name, at in (("contacts", "at"), ("payments", "at"), ("promises", "made_at")):
        recorded = frames[name]["recorded_at"]
        frames[name] = frames[name][(frames[name][at] < until) & (recorded.isna() | (recorded < until))]
    send(store, frames)
    ids = frames["accounts"]["account_id"].tolist()
    write_scores(store, ids[:20], range(1))
    write_scores(store, ids[20:], range(13, 14))
    write_scores(store, ids, range(30, 31))
    roll_up(store, SETTINGS, FIRST + 46 * DAY)


# ------------------------------------------------------------------------------- the second way


def observed_again(store: Store, frames: Mapping[str, pd.DataFrame], known_until: int) -> pd.DataFrame:
    """Every observation with its outcome, from the raw rows: the columns of `observations` without its keys."""
    with store.reading() as connection:
        query = sql.select(scores, answers).join(answers, answers.c.answer_id == scores.c.answer_id)
        given = pd.DataFrame(connection.execute(query.order_by(scores.c.answer_id, scores.c.position)).mappings().all())
    given = given.loc[:, ~given.columns.duplicated()]
    zone = ZoneInfo(SETTINGS.timezone)
    given["month"] = [_month(as_of, zone) for as_of in given["as_of"]]
    first = given.drop_duplicates(["account_id", "month", "role"])
    accounts = frames["accounts"].set_index("account_id")
    rows_of = {name: _by_account(frames[name], time) for name, time in _TIMES.items()}
    return pd.DataFrame(
        [
            _observation(row, accounts.loc[row["account_id"]], rows_of, zone, known_until)
            for row in first.to_dict("records")
            if row["account_id"] in accounts.index
        ]
    )


_TIMES = {"payments": "at", "contacts": "at", "promises": "made_at"}
_Rows = dict[str, list[dict[Any, Any]]]


def _by_account(frame: pd.DataFrame, time: str) -> _Rows:
    rows: _Rows = {}
    for row in frame.to_dict("records"):
        at = _instant(row[time])
        known = at if pd.isna(row["recorded_at"]) else max(at, _instant(row["recorded_at"]))
        rows.setdefault(row["account_id"], []).append(row | {"at": at, "known": known})
    return rows


def _observation(
    row: dict[Any, Any], account: Any, rows_of: Mapping[str, _Rows], zone: ZoneInfo, known_until: int
) -> dict[str, Any]:
    end = row["as_of"] + 30 * DAY
    found = {
        **{name: row[name] for name in ("account_id", "month", "role", "as_of", "model", "band", "p_pay")},
        "window_end": end,
        "expected": round(row["expected_amount"] * MONEY_SCALE),
        "balance": round(row["balance"] * MONEY_SCALE),
        "arm": "score" if pd.isna(row["channel"]) else "explored" if row["explored"] else "rule",
        "chosen": "" if pd.isna(row["channel"]) else row["channel"],
        "segment": account["segment"],
        "portfolio": account["portfolio"],
        "vintage": _month(_instant(account["placed_at"]), zone),
        "stage": _stage(None if pd.isna(account["due_on"]) else (row["as_of"] - _instant(account["due_on"])) / DAY),
        "matured": end + SETTLING <= known_until,
    }
    if not found["matured"]:
        return found
    return found | _outcome(row["account_id"], row["as_of"], end, found["balance"], rows_of)


def _outcome(account_id: str, as_of: int, end: int, balance: int, rows_of: Mapping[str, _Rows]) -> dict[str, Any]:
    def rows(name: str) -> list[dict[Any, Any]]:
        return [row for row in rows_of[name].get(account_id, []) if row["known"] < end + SETTLING]

    payments = rows("payments")
    paid = [row for row in payments if as_of <= row["at"] < end]
    contacts = [row for row in rows("contacts") if as_of <= row["at"] < end and row["direction"] != "inbound"]
    contacts.sort(key=lambda row: (row["at"], row["channel"]))
    by_agents = sorted((row["at"], row["agent"]) for row in contacts if not pd.isna(row["agent"]))
    promises = [row for row in rows("promises") if as_of <= row["at"] < end]
    kept, over = [], []
    for row in promises:
        deadline = _instant(row["due_on"]) + GRACE
        covered = sum(_money(p["amount"]) for p in payments if row["at"] <= p["at"] <= deadline)
        kept.append(covered >= _money(row["amount"]))
        over.append(kept[-1] or deadline < end + SETTLING)
    costs = (COSTS[row["channel"]] if pd.isna(row["cost"]) else row["cost"] for row in contacts)
    return {
        "paid": sum(_money(row["amount"]) for row in paid),
        "first_paid_at": min((row["at"] for row in paid if row["amount"] > 0), default=None),
        "contacts": len(contacts),
        "calls": sum(row["channel"] == "call" for row in contacts),
        "right_parties": sum(row["outcome"] in {"right_party", "promise"} for row in contacts),
        "cost": sum(map(_money, costs)),
        "channel": contacts[0]["channel"] if contacts else "",
        "agent": by_agents[0][1] if by_agents else "",
        "promises": len(promises),
        "promises_due": sum(over),
        "promises_kept": sum(kept),
        "cured_at": _cured_at(paid, balance),
        "first_contact_at": contacts[0]["at"] if contacts else None,
    }


def _cured_at(paid: list[dict[Any, Any]], balance: int) -> int | None:
    """When payments first came to the balance, where they do in the end; those of one instant together."""
    if sum(_money(row["amount"]) for row in paid) < balance:
        return None
    times: list[int] = sorted({row["at"] for row in paid})
    return next(time for time in times if sum(_money(row["amount"]) for row in paid if row["at"] <= time) >= balance)


def _stage(days: float | None) -> str:
    if days is None:
        return "no due date"
    limits = {0: "0 not due", 5: "1 early", 18: "2 mid", 28: "3 late", 60: "4 front-end", 120: "5 mid-end"}
    return next((name for limit, name in limits.items() if days <= limit), "6 back-end")


def _month(instant: int, zone: ZoneInfo) -> int:
    local = datetime.fromtimestamp(instant / 1e6, UTC).astimezone(zone)
    return local.year * 100 + local.month


def _instant(time: Any) -> int:
    return int(pd.Timestamp(time).value // 1000)


def _money(amount: float) -> int:
    return round(amount * MONEY_SCALE)


# ------------------------------------------------------------------------------- what the store has


def observed(store: Store) -> pd.DataFrame:
    """The observations of a store, in order."""
    return _table(store, observations).sort_values(["account_id", "month", "role"], ignore_index=True)


def summed(store: Store) -> pd.DataFrame:
    """The cells of a store, in order."""
    return _table(store, cells).sort_values(list(DIMENSIONS), ignore_index=True)


def _table(store: Store, table: sql.Table) -> pd.DataFrame:
    with store.reading() as connection:
        rows = connection.execute(sql.select(table)).all()
    return pd.DataFrame(rows, columns=[column.name for column in table.columns])


def assert_same_cells(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """The same cells, whole numbers exactly, squares of money but for the last bits."""
    whole = [*DIMENSIONS, *SUMS]
    pd.testing.assert_frame_equal(first[whole], second[whole], check_dtype=False)
    np.testing.assert_allclose(first[list(SQUARES)], second[list(SQUARES)], rtol=1e-12)


def relabelled(settings: PortfolioSettings, **more: Any) -> PortfolioSettings:
    """The settings with something else in them."""
    return replace(settings, **more)
