"""A small random portfolio, and a bundle with a few trees: enough to score, queue and serve, made in a second."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

from features.catalog import catalogue
from features.compute import feature_matrix, known_categories, prepare, standing
from features.contract import CHANNELS, OUTCOMES
from features.histories import Histories, pack
from features.portfolio import portfolio_from_frames
from features.selection import own_history
from features.settings import ChannelSettings, PortfolioSettings
from features.units import format_instant, from_money, parse_instant
from training.bundle import FRACTION, P_PAY, ActionSupport, Bundle, ChannelEffects, Link, Links, Manifest, write_bundle

AS_OF = parse_instant("2026-04-01T06:30:00")
START = pd.Timestamp("2025-10-01", tz="UTC")
COSTS = {"sms": 0.05, "email": 0.01, "call": 1.6, "letter": 1.2, "visit": 25.0, "legal_letter": 8.0}
SETTINGS = PortfolioSettings(
    name="small",
    commission_rate=0.2,
    timezone="Asia/Shanghai",
    numeric=("utilisation",),
    categorical=("employment",),
    channels=tuple(ChannelSettings(name, COSTS[name]) for name in CHANNELS),
)
KNOWN, NONE_KNOWN = ("sms", "call", "none"), ()


def random_frames(n_accounts: int = 300, seed: int = 1) -> dict[str, pd.DataFrame]:
    """Every table of a portfolio, at random, with the restrictions that hold accounts back among them."""
    draw = np.random.default_rng(seed)
    ids = np.array([f"A{number:05d}" for number in range(n_accounts)])
    accounts = pd.DataFrame(
        {
            "account_id": ids,
            "opened_at": START + pd.to_timedelta(draw.uniform(0, 60, n_accounts), "D"),
            "due_on": (START + pd.to_timedelta(draw.uniform(30, 120, n_accounts), "D")).floor("D"),
            "placed_at": START + pd.to_timedelta(draw.uniform(60, 190, n_accounts), "D"),
            "balance": draw.gamma(2, 900, n_accounts).round(2),
            "segment": draw.choice(["card", "loan", "telecom"], n_accounts),
            "commission_rate": np.where(draw.random(n_accounts) < 0.5, 0.3, np.nan),
            "timezone": draw.choice(["Asia/Shanghai", "America/New_York", "Europe/Berlin"], n_accounts),
            "jurisdiction": draw.choice(["default", "nowhere"], n_accounts, p=[0.9, 0.1]),
            "utilisation": np.where(draw.random(n_accounts) < 0.8, draw.random(n_accounts), np.nan),
            "employment": draw.choice(["employed", "self", "none"], n_accounts),
        }
    )
    return {
        "accounts": accounts,
        "contacts": _contacts(draw, ids, 12 * n_accounts),
        "payments": _money(draw, ids, n_accounts, -50, 400),
        "promises": _promises(draw, ids, n_accounts // 2),
        "charges": _money(draw, ids, n_accounts // 3, -20, 90),
        "restrictions": _restrictions(draw, ids, n_accounts // 3),
        "decisions": _decisions(draw, ids, n_accounts),
    }


def _times(draw: np.random.Generator, n: int) -> pd.Series[pd.Timestamp]:
    return pd.Series(START + pd.to_timedelta(draw.integers(0, 190 * 24 * 3600, n), "s"))


def _contacts(draw: np.random.Generator, ids: np.ndarray[Any, Any], n: int) -> pd.DataFrame:
    channel = draw.choice(CHANNELS, n, p=[0.2, 0.1, 0.6, 0.05, 0.03, 0.02])
    return pd.DataFrame(
        {
            "account_id": draw.choice(ids, n),
            "at": _times(draw, n),
            "channel": channel,
            "outcome": draw.choice(OUTCOMES, n),
            "direction": draw.choice(["outbound", "inbound"], n, p=[0.95, 0.05]),
            "cost": [COSTS[name] for name in channel],
        }
    )


def _money(draw: np.random.Generator, ids: np.ndarray[Any, Any], n: int, low: float, high: float) -> pd.DataFrame:
    at = _times(draw, n)
    late = at + pd.to_timedelta(draw.integers(0, 5, n), "D")
    amount = draw.uniform(low, high, n).round(2)
    return pd.DataFrame({"account_id": draw.choice(ids, n), "at": at, "amount": amount, "recorded_at": late})


def _promises(draw: np.random.Generator, ids: np.ndarray[Any, Any], n: int) -> pd.DataFrame:
    made = _times(draw, n)
    due = (made + pd.to_timedelta(draw.integers(1, 20, n), "D")).dt.floor("D")
    amount = draw.uniform(20, 500, n).round(2)
    return pd.DataFrame({"account_id": draw.choice(ids, n), "made_at": made, "due_on": due, "amount": amount})


def _restrictions(draw: np.random.Generator, ids: np.ndarray[Any, Any], n: int) -> pd.DataFrame:
    kinds = ["closed", "deceased", "dispute", "vulnerable", "breathing_space", "do_not_contact", "channel_opt_out",
             "invalid_contact"]  # fmt: skip
    kind = draw.choice(kinds, n)
    at = _times(draw, n)
    until = (at + pd.to_timedelta(draw.integers(10, 200, n), "D")).where(draw.random(n) < 0.5)
    single = np.isin(kind, ["channel_opt_out", "invalid_contact"]) | (
        (kind == "do_not_contact") & (draw.random(n) < 0.5)
    )
    channel = pd.Series(draw.choice(CHANNELS, n)).where(single, None)
    return pd.DataFrame({"account_id": draw.choice(ids, n), "at": at, "kind": kind, "channel": channel, "until": until})


def _decisions(draw: np.random.Generator, ids: np.ndarray[Any, Any], n: int) -> pd.DataFrame:
    channel = draw.choice([*CHANNELS, "none"], n)
    return pd.DataFrame(
        {"account_id": draw.choice(ids, n), "at": _times(draw, n), "channel": channel, "propensity": 0.2}
    )


def histories_of(frames: Mapping[str, pd.DataFrame], settings: PortfolioSettings = SETTINGS) -> Histories:
    """The frames, checked and packed."""
    return pack(portfolio_from_frames(frames, settings))


@cache
def small_histories(n_accounts: int = 300, seed: int = 1) -> Histories:
    """The random portfolio, packed."""
    return histories_of(random_frames(n_accounts, seed))


@cache
def small_bundle(supported: tuple[str, ...] = KNOWN, trees: int = 12) -> Bundle:
    """A bundle trained on outcomes drawn at random around a known rule; effects are told of the `supported` actions."""
    histories = small_histories()
    draw = np.random.default_rng(2)
    names = own_history(SETTINGS, tuple(feature.name for feature in catalogue(SETTINGS)))
    features = prepare(SETTINGS, names, known_categories(histories))
    rows = np.arange(len(histories))
    moments = np.full(len(rows), AS_OF)
    matrix = feature_matrix(histories, rows, moments, features)
    balance, _ = standing(histories, rows, moments)
    chance = 0.1 + 0.5 * np.nan_to_num(matrix[:, features.names.index("call_right_party_rate")])
    paid = (draw.random(len(rows)) < chance).astype(np.float64)
    actions = (*SETTINGS.channel_names, "none")
    models = {
        P_PAY: _booster("binary", matrix, paid, trees),
        FRACTION: _booster("gamma", matrix, draw.uniform(0.05, 0.9, len(rows)), trees),
    }
    manifest = Manifest(
        portfolio=SETTINGS,
        horizon_days=30,
        features=features.names,
        categories=dict(features.categories),
        support=tuple(ActionSupport(action, 500, 300, 120, action in supported) for action in actions),
        usual_channel="call",
        band_thresholds=tuple(float(share) for share in np.quantile(paid * 0.2 + 0.2, np.arange(9, 0, -1) / 10)),
        value_percentiles=tuple(np.quantile(from_money(balance) * 0.05, np.arange(101) / 100).tolist()),
        trained_until="2026-03-01T00:00:00Z",
        data_until="2026-04-09T00:00:00Z",
        data_digest="0" * 64,
        settings={},
    )
    link = _link(0.0, 1.0)
    # Each channel has a level of its own, a little above the one before, and goes by features; waiting has none.
    modifiers = tuple(features.names.index(name) for name in ("days_since_placed", "call_right_party_rate", "balance"))
    channels = ((0.1 + 0.05 * place, *draw.uniform(0, 0.1, 3).tolist()) for place in range(len(actions) - 1))
    weights = (*channels, (0.0,) * 4)
    told = ChannelEffects(modifiers, (_link(-1.0, 1.0),) * 3, weights)
    links = Links(link, _link(0.02, 0.9), told if supported else None)
    return Bundle(manifest, links, models, "small/1")


def _booster(objective: str, matrix: Any, target: Any, trees: int) -> Any:
    data = lightgbm.Dataset(matrix, label=target, params={"verbosity": -1})
    parameters = {"objective": objective, "num_leaves": 7, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    return lightgbm.train(parameters | {"deterministic": True, "force_col_wise": True}, data, num_boost_round=trees)


def _link(low: float, high: float) -> Link:
    return Link((-3.0, -1.0, 0.0, 2.0), (low, low + 0.1 * (high - low), low + 0.5 * (high - low), high))


def write_small_portfolio(folder: Path) -> Path:
    """Write the random portfolio as Parquet, with its settings; returns the folder."""
    folder.mkdir(parents=True)
    for name, frame in random_frames().items():
        frame.to_parquet(folder / f"{name}.parquet")
    channels = "".join(f"[channels.{name}]\ncost = {cost}\n" for name, cost in COSTS.items())
    settings = 'name = "small"\ncommission_rate = 0.2\ntimezone = "Asia/Shanghai"\n'
    attributes = '[attributes]\nnumeric = ["utilisation"]\ncategorical = ["employment"]\n'
    (folder / "portfolio.toml").write_text(settings + attributes + channels, "utf-8")
    return folder


def write_small_bundle(folder: Path) -> Path:
    """Write the bundle; returns the folder."""
    write_bundle(small_bundle(), folder)
    return folder


def request_of(
    account_ids: Sequence[str], frames: Mapping[str, pd.DataFrame] | None = None, **more: Any
) -> dict[str, Any]:
    """A request with the histories of some accounts, as a client would write it."""
    chosen = random_frames() if frames is None else frames
    histories = {name: _json_rows(frame[frame["account_id"].isin(account_ids)]) for name, frame in chosen.items()}
    return {"as_of": format_instant(AS_OF), "histories": histories, **more}


def _json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for row in frame.astype(object).to_dict("records"):
        cells = {str(name): None if pd.isna(cell) else cell for name, cell in row.items()}
        rows.append({name: cell.isoformat() if isinstance(cell, datetime) else cell for name, cell in cells.items()})
    return rows


def same_bits(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether two score tables are the same to the last bit of every number; NaN is the same as NaN."""
    if list(first) != list(second) or len(first) != len(second):
        return False
    for name in first:
        one, other = first[name].to_numpy(object), second[name].to_numpy(object)
        if first[name].dtype == np.float64:
            one, other = (np.ascontiguousarray(frame[name], np.float64).view(np.int64) for frame in (first, second))
        if not np.array_equal(one, other):
            return False
    return True


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
