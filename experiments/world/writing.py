"""Writes a world to a folder, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.world import market
from experiments.world.codes import ACTIONS
from experiments.world.compiled import sources
from experiments.world.settings import TIMEZONE, WorldSettings
from experiments.world.simulation import World, settings_of
from features.contract import SETTINGS_FILE
from features.errors import SettingsError

TRUTH_FOLDER, MANIFEST_FILE = "truth", "manifest.json"
#: Attributes of the accounts table by use.
NUMERIC = ("utilisation", "phones_on_file", "email_on_file")
CATEGORICAL = ("employment", "region")
AUDIT = ("gender",)
_COMMISSION = 0.20


def is_there(settings: WorldSettings, folder: Path, replace: bool = False) -> bool:
    """Whether the folder already holds this very world; a missing or empty folder does not.

    With `replace`, one that holds another world does not either: it will be replaced.

    Raises:
        SettingsError: the folder holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    manifest = _manifest_in(folder)
    if manifest is None:
        raise SettingsError(
            f"a world is written to a new or empty folder, and {folder} holds something else; name another one"
        )
    if manifest.get("settings") != settings_of(settings) or manifest.get("sources") != sources():
        if replace:
            return False
        raise SettingsError(
            f"a world is written to a new or empty folder, and {folder} holds a world of other settings or of another "
            "version; name another folder, or replace it with --replace"
        )
    return True


def _manifest_in(folder: Path) -> Mapping[str, Any] | None:
    try:
        manifest = json.loads((folder / TRUTH_FOLDER / MANIFEST_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def write_world(world: World, folder: Path) -> None:
    """Write a world: beside the folder first, then moved there in one go; a world that lies there is replaced.

    Raises:
        SettingsError: the folder cannot be made.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    replaced = partial.with_suffix(".replaced")
    try:
        (partial / TRUTH_FOLDER).mkdir(parents=True)
        _write_files(world, partial)
        if _manifest_in(folder) is not None:
            os.replace(folder, replaced)
        elif folder.exists():
            folder.rmdir()
        os.replace(partial, folder)
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(f"the folder {folder} cannot be written ({reason}); name another one") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def _write_files(world: World, folder: Path) -> None:
    for name, frame in world.frames.items():
        write_parquet(frame, folder / f"{name}.parquet")
    (folder / SETTINGS_FILE).write_text(portfolio_toml(world.settings), "utf-8")
    for name, frame in world.truth.items():
        write_parquet(frame, folder / TRUTH_FOLDER / f"{name}.parquet")
    manifest = json.dumps(world.manifest, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / TRUTH_FOLDER / MANIFEST_FILE).write_text(manifest + "\n", "utf-8")


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table such that equal frames give equal bytes: every option that matters is pinned."""
    pq.write_table(
        pa.table({name: _column(frame[name]) for name in frame.columns}),
        path,
        version="2.6",
        compression="zstd",
        compression_level=1,
        row_group_size=1 << 18,
        data_page_version="1.0",
        use_dictionary=True,
        write_statistics=True,
        store_schema=False,
    )


def _column(values: pd.Series[Any]) -> pa.Array:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return pa.array(values.dt.tz_convert(None).to_numpy(), from_pandas=True).cast(pa.timestamp("us", "UTC"))
    return pa.array(values.array, from_pandas=True)


def portfolio_toml(settings: WorldSettings) -> str:
    """The portfolio's settings: costs of the channels, and capacities for so many accounts."""
    lines = [
        f'name = "simulated-{settings.accounts}-{settings.seed}"',
        f"horizon_days = {settings.horizon_days}",
        f"commission_rate = {_COMMISSION}",
        f'timezone = "{TIMEZONE}"',
        "",
        "[attributes]",
        f"numeric = {json.dumps(NUMERIC)}",
        f"categorical = {json.dumps(CATEGORICAL)}",
        f"audit = {json.dumps(AUDIT)}",
    ]
    for name, share in market.CAPACITY_PER_ACCOUNT:
        capacity = max(1, round(share * settings.accounts))
        cost = market.COSTS[ACTIONS.index(name)]
        lines += ["", f"[channels.{name}]", f"cost = {cost}", f"daily_capacity = {capacity}"]
    return "\n".join(lines) + "\n"
