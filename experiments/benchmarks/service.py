"""The service under load: its scores against the bare predictions of the same models, against rivals, and its events.

A real service, two workers on two cores, with a simulated portfolio of 12,000 accounts in its store. What is compared
is CPU: that of all of its processes for a number of accounts, against that of the bare `Booster.predict` calls for the
same models and rows in one process. Accounts come in three ways: with their features, with their histories, by id.
Beside it, on the same bundle and features: `mlflow models serve`, and a plain FastAPI service. Events are contacts of
known accounts, in batches of 1,000 rows from four clients, into SQLite and into PostgreSQL. Packing all accounts
from their rows is what `recoup load` spares the first queue of a store.

`--only score,rivals,one,queue,events,packing` names what is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from experiments.benchmarks import _rival_pyfunc
from experiments.benchmarks._postgresql import cluster
from experiments.benchmarks._report import Figure, call_once, write_report
from experiments.benchmarks._service import (
    HOME,
    WORLD,
    Client,
    Load,
    Served,
    filled_store,
    free_port,
    load,
    post,
    prepare_world,
    running,
    serve,
)
from experiments.world.writing import AUDIT
from features.compute import feature_matrix, standing
from features.histories import PACKED_COLUMNS, Histories, pack
from features.portfolio import read_portfolio
from features.units import format_instant, from_money
from serving.scoring import prepare_scorer
from serving.starting import keep_bundle
from serving.store.database import open_store
from serving.store.histories import packed
from serving.store.portfolio import stored_settings
from serving.store.reading import Book
from training.bundle import Bundle, Floats, Matrix
from training.registry import open_model

PER_REQUEST, REQUESTS = 1_000, 40
BATCH, BATCHES = 1_000, 160
PARTS = ("score", "rivals", "one", "queue", "events", "packing")


@dataclass(frozen=True)
class Asked:
    """What is asked: the accounts of one request, all live, and what is known of them."""

    bundle: Bundle
    folder: Path
    as_of: str
    account_id: list[str]
    balance: Floats
    commission: Floats
    matrix: Matrix
    frames: dict[str, pd.DataFrame]

    def body_of_ids(self) -> bytes:
        """By id."""
        return msgspec.json.encode({"as_of": self.as_of, "account_ids": self.account_id})

    def body_of_histories(self) -> bytes:
        """With the histories."""
        histories = {
            name: _rows(frame[frame["account_id"].isin(self.account_id)]) for name, frame in self.frames.items()
        }
        return msgspec.json.encode({"as_of": self.as_of, "histories": histories})

    def body_of_accounts(self, n: int) -> bytes:
        """The first accounts of the portfolio, as events."""
        return msgspec.json.encode({"accounts": _rows(self.frames["accounts"].head(n))})

    def body_of_features(self, as_matrix: bool = False) -> bytes:
        """With the features: as JSON's numbers row by row, or as one matrix in base64."""
        values = {"matrix": self.matrix.astype("<f4").tobytes()} if as_matrix else {"values": self.matrix.tolist()}
        features = {
            "account_id": self.account_id,
            "balance": self.balance.tolist(),
            "commission_rate": self.commission.tolist(),
            **values,
        }
        return msgspec.json.encode({"as_of": self.as_of, "features": features})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS))
    parts = parser.parse_args(arguments).only.split(",")
    prepare_world()
    asked = asked_of_world()
    store = filled_store("service")
    figures: list[Figure] = []
    with serve(store, model=asked.bundle.label) as served:
        if "score" in parts:
            figures += _scores(served, asked)
        if "rivals" in parts:
            figures += _rivals(served, asked)
        if "one" in parts:
            figures += _one(served, asked)
        if "queue" in parts:
            figures += _queue(served, asked)
    if "events" in parts:
        figures += _all_events(asked)
    if "packing" in parts:
        figures += _packing()
    write_report("service", figures)
    return 0


def asked_of_world() -> Asked:
    """The first live accounts of the world, at its end."""
    bundle = open_model("champion", f"sqlite:///{HOME.resolve()}/var/mlflow.db")
    portfolio = read_portfolio(WORLD)
    histories = pack(portfolio)
    as_of = histories.last_known + 1
    everyone = np.arange(len(histories))
    balance, live = standing(histories, everyone, np.full(len(everyone), as_of))
    rows = everyone[live][:PER_REQUEST]
    return Asked(
        bundle=bundle,
        folder=keep_bundle(bundle, HOME / "bundles"),
        as_of=format_instant(as_of + 1_000_000),
        account_id=histories.accounts.account_id[rows].tolist(),
        balance=from_money(balance[rows]),
        commission=histories.accounts.commission_rate[rows],
        matrix=_features(bundle, histories, rows, as_of),
        # Columns for audits are no part of a request.
        frames={**portfolio.tables, "accounts": portfolio.tables["accounts"].drop(columns=list(AUDIT))},
    )


def _features(bundle: Bundle, histories: Histories, rows: Any, as_of: int) -> Matrix:
    return feature_matrix(histories, rows, np.full(len(rows), as_of), prepare_scorer(bundle).features)


def _bare(asked: Asked) -> float:
    """CPU seconds of the bare predictions of one request: the same boosters, on rows that lie ready."""
    boosters = asked.bundle.models
    n_actions = len(asked.bundle.manifest.supported)
    with_action = np.column_stack([asked.matrix, np.zeros(len(asked.matrix), np.float32)])
    stacked = np.concatenate([with_action] * n_actions)
    stacked[:, -1] = np.repeat(np.arange(n_actions), len(asked.matrix))
    calls = [("p_pay.txt", asked.matrix), ("fraction.txt", asked.matrix), ("channel.txt", stacked)]

    def predict() -> None:
        for name, matrix in calls:
            if name in boosters:
                boosters[name].predict(matrix, raw_score=True, num_threads=1)

    predict()
    begin = time.process_time()
    for _ in range(REQUESTS // 4):
        predict()
    return (time.process_time() - begin) / (REQUESTS // 4)


def _scores(served: Served, asked: Asked) -> list[Figure]:
    """Throughput per CPU second, of the bare predictions'; in turns, so that both meet the same machine."""
    ways = {
        "features given as a matrix (asked: 0.75)": asked.body_of_features(as_matrix=True),
        "features given as numbers (asked: 0.75)": asked.body_of_features(),
        "histories in the request (asked: 0.6)": asked.body_of_histories(),
        "by id (asked: 0.6)": asked.body_of_ids(),
    }
    figures: list[Figure] = []
    bare: list[float] = []
    for name, body in ways.items():
        _must(load(served, [post("/v1/score", body)] * 4, clients=2))
        cost = []
        for _ in range(3):
            bare.append(_bare(asked))
            found = _must(load(served, [post("/v1/score", body)] * REQUESTS, clients=2))
            cost.append(found.cpu / found.n)
        figures.append(Figure(f"1,000 accounts, {name}", min(bare) / min(cost), "ratio", "bare predictions, CPU"))
        figures.append(Figure(f"1,000 accounts, {name.partition(' (')[0]}", min(cost) * 1e3, "CPU ms", "a request"))
    return [*figures, Figure("bare predictions of 1,000 accounts", min(bare) * 1e3, "CPU ms")]


def _rivals(served: Served, asked: Asked) -> list[Figure]:
    """The same bundle and features behind other services, one after the other on the same machine."""
    ours = _must(load(served, [post("/v1/score", asked.body_of_features())] * REQUESTS, clients=2))
    figures = [Figure("features given, Recoup", ours.cpu / ours.n * 1e3, "CPU ms", "a request of 1,000 accounts")]
    columns = [*asked.bundle.manifest.features, _rival_pyfunc.BALANCE]
    values = np.column_stack([asked.matrix, asked.balance])
    split = [[None if np.isnan(cell) else cell for cell in row] for row in values.tolist()]
    to_mlflow = msgspec.json.encode({"dataframe_split": {"columns": columns, "data": split}})
    model = _rival_pyfunc.write_model(asked.folder, HOME / "mlflow-model")
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", str(model), "-p", str(port), "--env-manager", "local", "-w", "2"]
    # It starts uvicorn by its name alone.
    more = {"PYTHONPATH": ".", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with running(_bin(command), port, "/ping", HOME / "logs/mlflow.log", more) as rival:
        figures += _against("mlflow models serve", rival, [post("/invocations", to_mlflow)] * (REQUESTS // 4), ours)
    body = {"account_id": asked.account_id, "balance": asked.balance.tolist(), "values": [row[:-1] for row in split]}
    port = free_port()
    application = "experiments.benchmarks._rival_fastapi:app"
    command = ["uvicorn", application, "--port", str(port), "--workers", "2", "--no-access-log"]
    more = {"RECOUP_BUNDLE": str(asked.folder)}
    with running(_bin(command), port, "/ping", HOME / "logs/fastapi.log", more) as rival:
        figures += _against("FastAPI", rival, [post("/score", msgspec.json.encode(body))] * REQUESTS, ours)
    return figures


def _bin(command: list[str]) -> list[str]:
    """The command, from where this interpreter's are."""
    return [str(Path(sys.executable).parent / command[0]), *command[1:]]


def _against(name: str, rival: Served, requests: list[Callable[[Client], int]], ours: Load) -> list[Figure]:
    _must(load(rival, requests[:4], clients=2))
    found = _must(load(rival, requests, clients=2))
    theirs, own = found.cpu / found.n, ours.cpu / ours.n
    return [
        Figure(f"features given, {name}", theirs * 1e3, "CPU ms", "a request of 1,000 accounts"),
        Figure(f"CPU of {name}", theirs / own, "ratio", "Recoup's"),
        Figure(f"seconds a request of {name}", (found.wall / found.n) / (ours.wall / ours.n), "ratio", "Recoup's"),
    ]


def _one(served: Served, asked: Asked) -> list[Figure]:
    """One account by id, from four clients."""
    bodies = [msgspec.json.encode({"as_of": asked.as_of, "account_ids": [account]}) for account in asked.account_id] * 4
    _must(load(served, [post("/v1/score", body) for body in bodies[:200]]))
    found = _must(load(served, [post("/v1/score", body) for body in bodies]))
    return [
        Figure("one account by id (asked: 2)", found.cpu / found.n * 1e3, "CPU ms", "4 clients"),
        Figure("one account by id, half of the requests", found.percentile(50) * 1e3, "ms", "4 clients"),
        Figure("one account by id, 99 of 100 (asked: 25)", found.percentile(99) * 1e3, "ms", "4 clients"),
    ]


def _queue(served: Served, asked: Asked) -> list[Figure]:
    """A queue of the whole portfolio: the first page, and the second."""
    client = Client(served.url)
    request = {"as_of": asked.as_of, "capacities": {"call": 250, "visit": 5}, "limit": 100}
    begin, cpu = time.perf_counter(), served.cpu()
    status, content = client.send("POST", "/v1/queue", msgspec.json.encode(request))
    took, cpu = time.perf_counter() - begin, served.cpu() - cpu
    if status != 200:
        raise RuntimeError(f"a queue must be answered, got {status}: {content[:300]!r}")
    cursor = msgspec.json.decode(content)["cursor"]
    begin = time.perf_counter()
    client.send("POST", "/v1/queue", msgspec.json.encode({"cursor": cursor}))
    return [
        Figure("first page of a queue of 12,000 accounts", took, "s", "one request"),
        Figure("first page of a queue of 12,000 accounts", cpu, "CPU s", "one request"),
        Figure("second page of it", time.perf_counter() - begin, "s", "one request"),
    ]


def _packing() -> list[Figure]:
    """All histories of a store: packed from their rows, and read when they are."""
    with closing(open_store(filled_store("packing"))) as store:
        settings = stored_settings(store)
        if settings is None:
            raise RuntimeError("a store that was filled must know its portfolio")
        with store.writing() as connection:
            connection.execute(packed.delete())
        figures = []
        for what in ("packed from their rows, and kept", "read as they were packed"):
            read, cpu, wall = call_once(Book(store, settings).read)
            n_events = sum(len(getattr(read.histories, name).known) for name in PACKED_COLUMNS)
            against = f"{n_events / len(read.histories):.0f} events each"
            figures += [Figure(f"{len(read.histories):,} accounts {what}", cpu, "CPU s", against)]
            figures += [Figure(f"{len(read.histories):,} accounts {what}", wall, "s", against)]
    return figures


def _all_events(asked: Asked) -> list[Figure]:
    figures: list[Figure] = []
    batches = contacts(asked, BATCHES)
    path = HOME / "events.db"
    for leftover in path.parent.glob("events.db*"):
        leftover.unlink()
    figures += _events("SQLite", 20_000, f"sqlite:///{path}", asked, batches)
    with cluster() as database:
        figures += _events("PostgreSQL", 40_000, database.url, asked, batches, database.cpu)
    return figures


def _events(
    name: str, wanted: int, store: str, asked: Asked, batches: list[bytes], server_cpu: Callable[[], float] = float
) -> list[Figure]:
    """Batches from four clients: what is acknowledged in a second, and whose CPU it takes."""
    with serve(store, model=asked.bundle.label) as served:
        _must(load(served, [post("/v1/events", asked.body_of_accounts(5_000))], clients=1))
        _must(load(served, [post("/v1/events", body) for body in batches[:8]]))
        before = server_cpu()
        found = _must(load(served, [post("/v1/events", body) for body in batches[8:]]))
        server = server_cpu() - before
    n = found.n * BATCH
    of_whom = {"the service": found.cpu, "the database's server": server, "the clients": found.client_cpu}
    return [
        Figure(
            f"events into {name} (asked: {wanted:,})", n / found.wall, "a second", "batches of 1,000 rows, 4 clients"
        ),
        *(Figure(f"events into {name}, {who}", cpu / n * 1e6, "CPU us", "an event") for who, cpu in of_whom.items()),
        Figure(f"a batch into {name}, 99 of 100", found.percentile(99) * 1e3, "ms", "4 clients"),
    ]


def contacts(asked: Asked, n: int, accounts: int = 5_000, name: str = "c") -> list[bytes]:
    """Batches of contacts of the first accounts, none twice; their ids begin with the name and the batch."""
    generator = np.random.default_rng(1)
    ids = asked.frames["accounts"]["account_id"].head(accounts).to_numpy(object)
    batches = []
    for batch in range(n):
        rows = [
            {
                "contact_id": f"{name}-{batch}-{row}",
                "account_id": account,
                "at": f"2026-01-{1 + (batch + row) % 28:02d}T{row % 24:02d}:{row % 60:02d}:00Z",
                "channel": "call",
                "outcome": "no_answer",
                "direction": "outbound",
                "agent": f"agent{row % 40}",
            }
            for row, account in enumerate(generator.choice(ids, BATCH))
        ]
        batches.append(msgspec.json.encode({"contacts": rows}))
    return batches


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as a client writes them: what is missing is left out."""
    texts = {
        str(name): frame[name].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for name in frame
        if isinstance(frame[name].dtype, pd.DatetimeTZDtype)
    }
    rows = frame.assign(**texts).astype(object).to_dict("records")
    return [{str(name): cell for name, cell in row.items() if not pd.isna(cell)} for row in rows]


def _must(found: Load) -> Load:
    if set(found.statuses) != {200}:
        raise RuntimeError(f"every request must be answered, got by status {found.statuses}")
    return found


if __name__ == "__main__":
    sys.exit(main())
