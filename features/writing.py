"""Feature tables as Parquet, of portfolios of any size: one that is larger than memory partition by partition."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from features.as_of import read_moment
from features.compute import prepare
from features.contract import TABLES
from features.errors import RecoupError
from features.files import replacing
from features.histories import Histories, pack
from features.overview import Overview, combine
from features.partitions.split import Partitions
from features.partitions.steps import Steps
from features.partitions.storing import load, store
from features.progress import line
from features.reading import folder_files
from features.settings import PortfolioSettings
from features.table import feature_table, none_live

if TYPE_CHECKING:
    from rich.progress import Progress

PARQUET = ".parquet"
_PART = "part-{:05d}.parquet"


@dataclass(frozen=True)
class Written:
    """What was written: as of which moment, and how many accounts and features."""

    as_of: int
    n_accounts: int
    n_features: int


def is_file(out: Path) -> bool:
    """Whether a table goes to one file, rather than to a folder of parts."""
    return out.suffix == PARQUET


def check_out(out: Path) -> None:
    """Refuse a place where the table cannot go, before any work is done for it, with `RecoupError`."""
    if is_file(out):
        if out.is_dir():
            raise RecoupError(f"{out} must be a file, and is a folder; choose another name")
    elif out.exists():
        others = (
            [path.name for path in out.iterdir() if not path.match("part-*.parquet")] if out.is_dir() else [out.name]
        )
        if others:
            rule = f"what does not end in {PARQUET} is a folder of parts"
            raise RecoupError(f"{rule}, got {out}, which is there and holds {others[0]}; choose another name")


def write_whole(histories: Histories, as_of: int, out: Path) -> Written:
    """Write the feature table of a portfolio that is in memory: a file, or a folder with one part.

    Raises:
        MomentError: no account is live then.
        RecoupError: it cannot be written there.
    """
    table = feature_table(histories, as_of)
    if is_file(out):
        with replacing(out) as temporary:
            table.to_parquet(temporary, index=False)
    else:
        with _set_up(out.with_name(f".{secrets.token_hex(4)}-{out.name}"), out) as folder:
            folder.mkdir()
            table.to_parquet(folder / _PART.format(0), index=False)
    return Written(as_of, len(table), table.shape[1] - 2)


def write_partitions(
    partitions: Partitions, steps: Steps, as_of: str, now: int, out: Path, progress: Progress
) -> Written:
    """Write the feature table of a portfolio that is split: a row group of the file, or a part, for each partition.

    The rows are those of `write_whole`, in the same order.

    Args:
        partitions: the portfolio.
        steps: each partition's are done once.
        as_of: the moment, ISO 8601 or `latest`.
        now: the present, an instant.
        out: the file, or the folder.
        progress: where a line is shown.

    Raises:
        MomentError: no account is live then, or it lies in the future.
        RecoupError: it cannot be written there.
    """
    n = len(partitions)
    with line(progress, "Packing histories", n) as advance:
        packed = [_pack(partitions, steps, partition, advance) for partition in range(n)]
    last_known = max(last for _, last in packed)
    # Noted, so that a run that goes on tomorrow has the same moment in all its parts.
    moment = int(steps.do("moment", lambda _: read_moment(as_of, last_known, now)))
    # What the portfolio shows as a whole is known when all of its partitions are.
    overview = combine([load(folder / _OVERVIEW) for folder, _ in packed])
    with line(progress, "Computing features", n) as advance:
        parts = [_compute(folder, overview, moment, steps, advance) for folder, _ in packed]
    n_accounts = sum(length for _, length in parts)
    if not n_accounts:
        raise none_live(moment)
    full = [path for path, length in parts if length]
    with line(progress, "Writing", len(full)) as advance:
        _put_together(full, steps.folder / "whole", out, advance)
    return Written(moment, n_accounts, len(pq.read_schema(full[0]).names) - 2)


def work_folder(out: Path) -> Path:
    """Where the work for a table is kept until it is finished: beside it, hidden, named after it."""
    return out.with_name(f".{out.name}.work")


def work_key(folder: Path, settings: PortfolioSettings, as_of: str, memory: int) -> str:
    """A digest of all that a feature table, and the way in which the work for it is split, depends on."""
    files = {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for paths in folder_files(folder, TABLES).values()
        for path in paths
    }
    code = (version("recoup"), pa.__version__, prepare(settings).names)
    return hashlib.sha256(repr((str(folder.resolve()), files, settings, as_of, memory, code)).encode()).hexdigest()


_HISTORIES, _OVERVIEW, _TABLE = "histories.npz", "overview.npz", "table.parquet"


def _pack(partitions: Partitions, steps: Steps, partition: int, advance: Callable[[], None]) -> tuple[Path, int]:
    """Pack a partition; the folder in which it is then, and when the last of it became known."""

    def work(folder: Path) -> int:
        histories = pack(partitions.portfolio(partition))
        store(dataclasses.replace(histories, overview=None), folder / _HISTORIES)
        store(histories.overview, folder / _OVERVIEW)
        return histories.last_known

    name = f"packed-{partition:05d}"
    last_known = int(steps.do(name, work))
    advance()
    return steps.folder / name, last_known


def _compute(
    packed: Path, overview: Overview, as_of: int, steps: Steps, advance: Callable[[], None]
) -> tuple[Path, int]:
    """Compute the table of a partition; its file, and its length."""

    def work(folder: Path) -> int:
        histories = dataclasses.replace(load(packed / _HISTORIES), overview=overview)
        table = feature_table(histories, as_of, may_be_empty=True)
        table.to_parquet(folder / _TABLE, index=False)
        return len(table)

    name = packed.name.replace("packed", "table")
    length = int(steps.do(name, work))
    advance()
    return steps.folder / name / _TABLE, length


def _put_together(parts: Sequence[Path], aside: Path, out: Path, advance: Callable[[], None]) -> None:
    """Make one file of the parts, a row group of each, or one folder; `aside` is a folder to do it in."""
    with _set_up(aside, out) as new:
        if is_file(out):
            with pq.ParquetWriter(new, pq.read_schema(parts[0])) as writer:
                for part in parts:
                    writer.write_table(pq.read_table(part))
                    advance()
        else:
            new.mkdir()
            for place, part in enumerate(parts):
                shutil.copyfile(part, new / _PART.format(place))
                advance()


@contextmanager
def _set_up(aside: Path, out: Path) -> Iterator[Path]:
    """Give a path in the folder `aside` to write to; what is there takes the place of `out` when all went well.

    Raises:
        RecoupError: it cannot be written there.
    """
    new, old = aside / f"new-{out.name}", aside / f"old-{out.name}"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield new
        if out.is_dir():
            os.replace(out, old)  # a folder takes the place of none that has files
        os.replace(new, out)
    except OSError as error:
        reason = error.strerror or error
        raise RecoupError(f"{out} cannot be written ({reason}); choose another place") from error
    finally:
        if old.exists() and not out.exists():
            os.replace(old, out)
        shutil.rmtree(aside, ignore_errors=True)
