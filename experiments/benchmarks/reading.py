"""What reading and checking a portfolio costs, against bare readers of the same files.

Run as `python -m experiments.benchmarks.reading`. A million contacts over 50,000 accounts, as CSV, gzipped CSV
and Parquet. The bare reader is pyarrow's own, one thread, every column of the contacts as it comes.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from experiments.benchmarks._report import Figure, measure, write_report
from features.contract import CHANNELS, OUTCOMES
from features.portfolio import data_digest, portfolio_from_frames, read_portfolio
from features.settings import PortfolioSettings

N_ACCOUNTS = 50_000
N_CONTACTS = 1_000_000
#: One contact in so many has a time that is none, so that the slow way is measured too.
BAD_EVERY = 1_000


def portfolio_tables(n_accounts: int, n_contacts: int, seed: int) -> dict[str, pa.Table]:
    """Accounts, contacts and payments with every kind of column, as text and floats."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"A{i:07d}" for i in range(n_accounts)])
    opened = np.datetime64("2024-01-01") + rng.integers(0, 365, n_accounts)
    start = np.datetime64("2025-01-01T00:00:00")
    accounts = pa.table(
        {
            "account_id": ids,
            "opened_at": np.datetime_as_string(opened),
            "due_on": np.datetime_as_string(opened + 30),
            "balance": np.round(rng.gamma(2.0, 1_000.0, n_accounts), 2),
            "segment": rng.choice(["card", "loan", "telecom"], n_accounts),
        }
    )
    contacts = pa.table(
        {
            "contact_id": [f"C{i:09d}" for i in range(n_contacts)],
            "account_id": rng.choice(ids, n_contacts),
            "at": np.char.add(np.datetime_as_string(start + rng.integers(0, 31_536_000, n_contacts)), "Z"),
            "channel": rng.choice(CHANNELS, n_contacts),
            "outcome": rng.choice(OUTCOMES, n_contacts),
            "direction": rng.choice(["outbound", "inbound"], n_contacts, p=[0.95, 0.05]),
            "contact_point": np.char.add("P", rng.integers(0, 2 * n_accounts, n_contacts).astype(str)),
            "cost": np.round(rng.random(n_contacts), 2),
        }
    )
    payments = pa.table({"account_id": ids[:1], "at": ["2025-02-01"], "amount": [10.0]})
    return {"accounts": accounts, "contacts": contacts, "payments": payments}


def write_csv(tables: dict[str, pa.Table], folder: Path) -> Path:
    """Write the tables as CSV, and the contacts' path."""
    folder.mkdir()
    for name, table in tables.items():
        pyarrow.csv.write_csv(table, folder / f"{name}.csv")
    return folder / "contacts.csv"


def write_gzip(plain: Path, folder: Path) -> Path:
    """Write the CSV files of a folder gzipped to another, and the contacts' path."""
    folder.mkdir()
    for path in plain.glob("*.csv"):
        with (
            path.open("rb") as source,
            gzip.open(folder / f"{path.name}.gz", "wb", compresslevel=6) as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
    return folder / "contacts.csv.gz"


def write_parquet(tables: dict[str, pa.Table], folder: Path) -> Path:
    """Write the tables as Parquet, the contacts' times as timestamps, and the contacts' path."""
    folder.mkdir()
    for name, table in tables.items():
        place = table.schema.get_field_index("at")
        times = pd.to_datetime(table.column("at").to_pandas(), utc=True) if name == "contacts" else None
        typed = table if times is None else table.set_column(place, "at", pa.array(times))
        pq.write_table(typed, folder / f"{name}.parquet")
    return folder / "contacts.parquet"


def with_bad_times(tables: dict[str, pa.Table], every: int) -> dict[str, pa.Table]:
    """The tables with one contact time in `every` that is none."""
    contacts = tables["contacts"]
    times = contacts.column("at").to_pandas().to_numpy(object)
    times[::every] = "31/12/2025"
    place = contacts.schema.get_field_index("at")
    return {**tables, "contacts": contacts.set_column(place, "at", pa.array(times))}


def bare_csv(path: Path) -> pa.Table:
    """Read one file of CSV with nothing around it."""
    return pyarrow.csv.read_csv(path, pyarrow.csv.ReadOptions(use_threads=False))


def bare_parquet(path: Path) -> pa.Table:
    """Read one Parquet file with nothing around it."""
    return pq.read_table(path, use_threads=False)


def compare(form: str, contacts: Path, bare: Callable[[Path], pa.Table]) -> list[Figure]:
    """Read the portfolio and, in the same run, its contacts with a bare reader."""
    n_rows = bare(contacts).num_rows
    portfolio, ours = measure(lambda: read_portfolio(contacts.parent))
    _, theirs = measure(lambda: bare(contacts))
    n_seen = len(portfolio.tables["contacts"]) + int((portfolio.rejects["table"] == "contacts").sum())
    if n_seen != n_rows:
        raise AssertionError(f"{form}: {n_rows} rows went in, {n_seen} came out or were set aside")
    name = "pyarrow.csv.read_csv" if bare is bare_csv else "pyarrow.parquet.read_table"
    return [
        Figure(f"read_portfolio, {form}", ours.cpu, "CPU s"),
        Figure(f"read_portfolio, {form}", ours.wall, "wall s"),
        Figure(f"{name}, {form}", theirs.cpu, "CPU s"),
        Figure(f"{name}, {form}", theirs.wall, "wall s"),
        Figure(f"read_portfolio / bare, {form}", ours.cpu / theirs.cpu, "ratio of CPU s", name),
    ]


def main() -> None:
    """Measure, print, and write `var/bench/reading.json`."""
    tables = portfolio_tables(N_ACCOUNTS, N_CONTACTS, seed=7)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plain = write_csv(tables, folder / "csv")
        bad = write_csv(with_bad_times(tables, BAD_EVERY), folder / "bad")
        figures = [
            *compare("CSV", plain, bare_csv),
            *compare(f"CSV with {N_CONTACTS // BAD_EVERY:,} bad times", bad, bare_csv),
            *compare("CSV.gz", write_gzip(plain.parent, folder / "gzip"), bare_csv),
            *compare("Parquet", write_parquet(tables, folder / "parquet"), bare_parquet),
        ]
        portfolio = read_portfolio(plain.parent)
    _, digest = measure(lambda: data_digest(portfolio))
    frames = {name: table for name, table in portfolio.tables.items() if len(table)}
    _, again = measure(lambda: portfolio_from_frames(frames, PortfolioSettings("bench")))
    figures += [
        Figure("data_digest", digest.cpu, "CPU s"),
        Figure("portfolio_from_frames", again.cpu, "CPU s"),
    ]
    write_report("reading", [Figure("contacts", N_CONTACTS, "rows"), *figures])


if __name__ == "__main__":
    main()
