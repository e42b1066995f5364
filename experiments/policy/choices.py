"""What a policy would have chosen at logged decisions: a model, one channel for everybody, or what a file says.

A policy keeps to what contact rules leave open, as serving does: a constant one waits where its channel is forbidden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from features.compute import feature_matrix
from features.errors import PortfolioError, SettingsError
from features.histories import Histories
from features.times import times_of_text
from features.units import FOREVER, Instants, Rows, from_money, to_instants
from serving.contact_rules.limits import limited_until
from serving.contact_rules.restrictions import restricted_until
from serving.scoring import Scorer, actions_of, choose
from training.moments import Moments

Flags = npt.NDArray[np.bool_]
OnDone = Callable[[int], None]

#: What a file of choices holds.
COLUMNS = ("account_id", "at", "channel")
#: Stands for no choice.
SILENT = -1
#: Moments are worked off in blocks of so many, which bounds the memory.
BLOCK = 16_384


@dataclass(frozen=True)
class Choices:
    """What a policy would have chosen at each moment, `(n,)`: the action's position, `SILENT` where it says nothing.

    `unmatched` counts what it says of moments at which nothing was decided.
    """

    action: Rows
    unmatched: int = 0


def choices_of_model(scorer: Scorer, histories: Histories, moments: Moments, threads: int, on_done: OnDone) -> Choices:
    """The best allowed action of each account as of each moment, as scores give it; capacities are not looked at."""
    actions = actions_of(scorer.bundle, histories.settings)
    best = np.empty(len(moments), dtype=np.int64)
    for begin in range(0, len(moments), BLOCK):
        block = moments.take(np.arange(begin, min(begin + BLOCK, len(moments))))
        matrix = feature_matrix(histories, block.account, block.as_of, scorer.features)
        found = scorer.bundle.predict(matrix, from_money(block.balance), threads)
        allowed = allowed_at(histories, block.account, block.as_of) & actions.enabled
        commission = histories.accounts.commission_rate[block.account]
        best[begin : begin + len(block)] = choose(found, commission, allowed, actions).best
        on_done(len(block))
    return Choices(best)


def choices_of_constant(action: str, names: tuple[str, ...], histories: Histories, moments: Moments) -> Choices:
    """One action for every account at every moment at which it is allowed; else to wait, the last of `names`.

    Raises:
        SettingsError: there is no such action.
    """
    if action not in names:
        raise SettingsError(
            f"a constant policy chooses one of {', '.join(names)}, got {action!r}; name one of them after always:"
        )
    place = names.index(action)
    allowed = allowed_at(histories, moments.account, moments.as_of)[:, place]
    return Choices(np.where(allowed, place, len(names) - 1).astype(np.int64))


def choices_of_file(path: Path, names: tuple[str, ...], histories: Histories, moments: Moments) -> Choices:
    """What a file says: a row of `account_id`, `at`, `channel` for each of its choices, CSV or Parquet.

    Raises:
        PortfolioError: it cannot be read, lacks a column, has a bad cell, or says two things of one moment.
    """
    frame = _read(path)
    action = pd.Index(names).get_indexer(pd.Index(frame["channel"].to_numpy(object)))
    _check_cells(path, frame, np.asarray(frame["at"].isna()), "at", "an ISO 8601 time")
    _check_cells(path, frame, action < 0, "channel", f"one of {', '.join(names)}")
    _check_cells(path, frame, frame.duplicated(["account_id", "at"]).to_numpy(), "at", "given once for an account")
    account_id = histories.accounts.account_id[moments.account]
    decided = pd.MultiIndex.from_arrays([pd.Index(account_id, dtype=object), moments.as_of])
    said = pd.MultiIndex.from_arrays([pd.Index(frame["account_id"], dtype=object), to_instants(frame["at"])])
    place = said.get_indexer(decided)
    chosen = np.where(place >= 0, action[place], SILENT).astype(np.int64)
    return Choices(chosen, len(frame) - len(np.unique(place[place >= 0])))


def allowed_at(histories: Histories, account: Rows, as_of: Instants) -> Flags:
    """Which actions contact rules leave open for each account as of each moment, `(n, n_actions)`; waiting always."""
    allowed = np.ones((len(account), len(histories.settings.channel_names) + 1), dtype=np.bool_)
    allowed[:, :-1] = limited_until(histories, account, as_of, of_person=False) <= as_of[:, None]
    table = histories.restrictions
    first = np.full(len(histories), FOREVER)
    restricted = np.flatnonzero(np.diff(table.start))
    first[restricted] = table.known[table.start[restricted]]
    # No restriction forbids anything before the first restriction of an account is known.
    rows = np.flatnonzero(first[account] < as_of)
    rows = rows[np.argsort(as_of[rows], kind="stable")]
    for together in np.split(rows, np.flatnonzero(np.diff(as_of[rows])) + 1) if len(rows) else ():
        moment = int(as_of[together[0]])
        allowed[together, :-1] &= restricted_until(histories, account[together], moment) <= moment
    return allowed


def _read(path: Path) -> pd.DataFrame:
    """The columns of a file of choices: ids and channels as text, times in UTC, null where they are none."""
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    except (OSError, ValueError, UnicodeDecodeError, pa.ArrowException) as error:
        raise PortfolioError(
            f"a policy is model, logging, always:CHANNEL or a CSV or Parquet file, {path} cannot be read: {error}"
        ) from None
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise PortfolioError(f"a file of choices has {', '.join(COLUMNS)}, {path} lacks {', '.join(missing)}")
    at = frame["at"]
    if isinstance(at.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(at):
        times = pd.to_datetime(at, utc=True)
    else:
        text = pa.array([None if pd.isna(cell) else str(cell) for cell in at], pa.string())
        times = pd.Series(times_of_text(text).to_numpy(zero_copy_only=False)).dt.tz_localize("UTC")
    ids = frame["account_id"].astype(str)
    return pd.DataFrame({"account_id": ids.to_numpy(object), "at": times, "channel": frame["channel"].to_numpy(object)})


def _check_cells(path: Path, frame: pd.DataFrame, bad: npt.NDArray[np.bool_], column: str, rule: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PortfolioError(
            f"{column} of a file of choices must be {rule}, got {frame[column].iloc[row]!r} in row {row + 1} of {path} "
            f"({int(bad.sum()):,} such rows); mend or leave them out"
        )
