"""The ledger: every score that was given, what it was made of, and what was chosen by it. Rows are only ever added.

An answer is one row of `answers`: the moment, the model, the settings in force, and where the histories came from. Each
account in it is one row of `scores`. Together they hold what it takes to compute the score again, bit for bit: the
store's histories up to `arrival`, or the features themselves (`inputs`) where the caller brought her own. Only erasing
a person changes a row, and leaves its figures: see `serving.store.erasing`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sql

from features.errors import ErasedError
from features.settings import PortfolioSettings
from features.units import Rows
from serving.scoring import Mask
from serving.store.database import Store
from serving.store.inserting import is_sqlite, unknown_accounts
from serving.store.schema import Counter, metadata
from training.bundle import Floats, Matrix

Texts = Sequence[str] | npt.NDArray[np.object_]
Purpose = Literal["score", "queue", "account", "shadow"]
Role = Literal["champion", "challenger"]
Source = Literal["store", "request", "features"]
#: In PostgreSQL who writes an answer shares this lock until it is written, and who erases a person holds it alone.
ERASING = 7326003
#: Of a row of features.
DIGEST_BYTES = 16

#: The settings that scores were given under, each kept once, by the digest of their JSON.
settings_used = sql.Table(
    "settings_used",
    metadata,
    sql.Column("digest", sql.LargeBinary(DIGEST_BYTES), primary_key=True),
    sql.Column("content", sql.Text, nullable=False),
)
#: `actions` names those that the arrays of its scores speak of, in order; `arrival` is the last batch of the store's
#: histories that was seen, null where the histories came otherwise.
answers = sql.Table(
    "answers",
    metadata,
    sql.Column("answer_id", Counter, primary_key=True),
    sql.Column("request_id", sql.Text, nullable=False),
    sql.Column("purpose", sql.Text, nullable=False),
    sql.Column("scored_at", sql.BigInteger, nullable=False, index=True),
    sql.Column("as_of", sql.BigInteger, nullable=False),
    sql.Column("model", sql.Text, nullable=False),
    sql.Column("bundle_sha256", sql.Text, nullable=False),
    sql.Column("role", sql.Text, nullable=False),
    sql.Column("source", sql.Text, nullable=False),
    sql.Column("settings_digest", sql.LargeBinary(DIGEST_BYTES), nullable=False),
    sql.Column("actions", sql.Text, nullable=False),
    sql.Column("arrival", sql.BigInteger),
    sql.Column("key_id", sql.Text),
    sql.Column("policy", sql.Text),
    sql.Column("seed", sql.BigInteger),
)
#: Amounts are in the main unit; a figure that is not known is null. `p_by_action` and `value_by_action` are float64 in
#: the order of the answer's actions, `blocked` has the bit of each action that was not allowed.
scores = sql.Table(
    "scores",
    metadata,
    sql.Column("answer_id", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("position", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("account_id", sql.Text, nullable=False, index=True),
    sql.Column("features_digest", sql.LargeBinary(DIGEST_BYTES), nullable=False),
    sql.Column("p_pay", sql.Double, nullable=False),
    sql.Column("expected_amount", sql.Double),
    sql.Column("best_channel", sql.Text, nullable=False),
    sql.Column("uplift", sql.Double),
    sql.Column("priority", sql.Double),
    sql.Column("band", sql.Text, nullable=False),
    sql.Column("balance", sql.Double, nullable=False),
    sql.Column("commission_rate", sql.Double, nullable=False),
    sql.Column("p_by_action", sql.LargeBinary, nullable=False),
    sql.Column("value_by_action", sql.LargeBinary, nullable=False),
    sql.Column("blocked", sql.BigInteger, nullable=False),
    sql.Column("rules", sql.Text, nullable=False),
    sql.Column("rank", sql.BigInteger),
    sql.Column("channel", sql.Text),
    sql.Column("propensity", sql.Double),
    sql.Column("explored", sql.Boolean),
    # Rows come in the order of their key: the table is its own index.
    sqlite_with_rowid=False,
)
#: The features of an answer whose histories are not in the store: float32, one feature after the other, compressed.
inputs = sql.Table(
    "inputs",
    metadata,
    sql.Column("answer_id", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("features", sql.LargeBinary, nullable=False),
)
#: Every answer comes by here: a text that is ready costs a fraction of a statement that is built.
_NEW_SETTINGS = sql.text(
    "INSERT INTO settings_used (digest, content) VALUES (:digest, :content) ON CONFLICT DO NOTHING"
)
_ERASED_SINCE = sql.text("SELECT 1 FROM arrivals WHERE arrival > :arrival AND erased > 0 LIMIT 1")
_OF_ANSWER = [column.name for column in answers.columns if column.name != "answer_id"]
_NEW_ANSWER = sql.text(
    f"INSERT INTO answers ({', '.join(_OF_ANSWER)}) "  # noqa: S608 our own words
    f"VALUES ({', '.join(':' + name for name in _OF_ANSWER)}) RETURNING answer_id"
)


@dataclass(frozen=True)
class Answer:
    """What all scores of an answer have in common.

    `bundle_sha256` is the bundle's `digest`, `settings` are the portfolio's as they were in force; `arrival` must be
    given where `source` is `store`. Instants in microseconds.
    """

    request_id: str
    purpose: Purpose
    scored_at: int
    as_of: int
    model: str
    bundle_sha256: str
    source: Source
    settings: PortfolioSettings
    actions: tuple[str, ...]
    role: Role = "champion"
    arrival: int | None = None
    key_id: str | None = None
    policy: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Chosen:
    """What a queue chose for each of its accounts, `(n,)`: the rank, the channel, and with which probability."""

    rank: Rows
    channel: Texts
    propensity: Floats
    explored: Mask


@dataclass(frozen=True)
class Scored:
    """The scores of `n` accounts, as arrays: `(n,)`, by action `(n, n_actions)`, features `(n, n_features)` float32.

    `best` is the position of the best action; `allowed` says which actions might be chosen; `rules` names the rule
    pack of each account. Amounts in the main unit; NaN is what is not known.
    """

    account_id: Texts
    features: Matrix
    p_pay: Floats
    expected_amount: Floats
    best: Rows
    uplift: Floats
    priority: Floats
    band: Texts
    balance: Floats
    commission_rate: Floats
    p_by_action: Floats
    value_by_action: Floats
    allowed: Mask
    rules: Texts
    chosen: Chosen | None = None

    def __len__(self) -> int:
        """The number of accounts."""
        return len(self.account_id)


def record(store: Store, answer: Answer, scored: Scored) -> int:
    """Write an answer and its scores, all or nothing; durable when it returns, which is before the answer is sent.

    Returns:
        The answer's number in the ledger.

    Raises:
        StoreError: the store did not take it.
        ErasedError: one of the accounts was erased after its history was read.
    """
    columns = columns_of(answer, scored)
    digest, content = settings_row(answer.settings)
    values = vars(answer) | {"settings_digest": digest, "actions": ",".join(answer.actions)}
    del values["settings"]
    with store.writing() as connection:
        _check_not_erased(connection, answer, scored)
        keep_settings(connection, digest, content)
        answer_id = int(connection.execute(_NEW_ANSWER, values).scalar_one())
        _insert(connection, store.is_sqlite, zip(repeat(answer_id), range(len(scored)), *columns))
        if answer.source != "store":
            connection.execute(sql.insert(inputs), {"answer_id": answer_id, "features": packed_matrix(scored.features)})
    return answer_id


def _check_not_erased(connection: sql.Connection, answer: Answer, scored: Scored) -> None:
    """Refuse scores of a person who was erased since `answer.arrival`: nothing of hers is written after that."""
    if not is_sqlite(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({ERASING})")
    if answer.arrival is None or connection.execute(_ERASED_SINCE, {"arrival": answer.arrival}).first() is None:
        return
    gone = unknown_accounts(connection, _listed(scored.account_id))
    if gone:
        raise ErasedError(f"{len(gone)} of these accounts were erased while they were scored; ask anew")


def columns_of(answer: Answer, scored: Scored) -> list[Iterable[Any]]:
    """The columns of `scores` after its key, as the databases take them."""
    names = np.array(answer.actions, dtype=object)
    return [
        _listed(scored.account_id),
        row_digests(scored.features),
        scored.p_pay.tolist(),
        _or_none(scored.expected_amount),
        names[scored.best].tolist(),
        _or_none(scored.uplift),
        _or_none(scored.priority),
        _listed(scored.band),
        scored.balance.tolist(),
        scored.commission_rate.tolist(),
        row_bytes(scored.p_by_action, "<f8"),
        row_bytes(scored.value_by_action, "<f8"),
        blocked_bits(scored.allowed).tolist(),
        _listed(scored.rules),
        *_chosen_columns(scored.chosen),
    ]


def blocked_bits(allowed: Mask) -> Rows:
    """For each account the bits of the actions that it may not have, `(n,)`, the first action's the lowest.

    >>> blocked_bits(np.array([[True, False, False], [True, True, True]])).tolist()
    [6, 0]
    """
    return np.asarray(~allowed @ (1 << np.arange(allowed.shape[1])), dtype=np.int64)


def allowed_of(blocked: Rows, n_actions: int) -> Mask:
    """Which actions may be chosen, `(n, n_actions)`: what `blocked_bits` was made of."""
    return np.asarray((blocked[:, None] >> np.arange(n_actions) & 1) == 0)


def row_digests(matrix: Matrix) -> list[bytes]:
    """The digest of the float32 features of each row."""
    return [hashlib.blake2b(row, digest_size=DIGEST_BYTES).digest() for row in row_bytes(matrix, "<f4")]


def row_bytes(matrix: npt.NDArray[Any], dtype: str) -> list[bytes]:
    """The bytes of each row of a matrix, in the byte order that a store has on every machine."""
    rows = np.ascontiguousarray(matrix, dtype)
    return rows.view(f"V{rows.shape[1] * rows.itemsize}").ravel().tolist() if rows.size else [b""] * len(rows)


def packed_matrix(features: Matrix) -> bytes:
    """Features as `inputs` keeps them: their number of rows, then each feature's values together, which packs well."""
    import pyarrow

    content = np.ascontiguousarray(features.T, "<f4")
    packed = pyarrow.compress(content.data.cast("B"), codec="lz4_raw", asbytes=True) if content.size else b""
    return np.array(features.shape, "<i8").tobytes() + packed


def unpacked_matrix(packed: bytes) -> Matrix:
    """The features that `packed_matrix` was given."""
    import pyarrow

    n, width = (int(size) for size in np.frombuffer(packed, "<i8", 2))
    if not n * width:
        return np.empty((n, width), dtype=np.float32)
    content = pyarrow.decompress(packed[16:], n * width * 4, codec="lz4_raw", asbytes=True)
    return np.ascontiguousarray(np.frombuffer(content, "<f4").reshape(width, n).T, np.float32)


def settings_row(settings: PortfolioSettings) -> tuple[bytes, str]:
    """The digest of settings, and their JSON, the same for the same settings."""
    content = msgspec.json.encode(settings, order="deterministic")
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest(), content.decode()


def keep_settings(connection: sql.Connection, digest: bytes, content: str) -> None:
    """Keep settings that scores are given under, where they are not kept yet."""
    connection.execute(_NEW_SETTINGS, {"digest": digest, "content": content})


def _insert(connection: sql.Connection, is_sqlite: bool, rows: Iterator[tuple[Any, ...]]) -> None:
    """Insert whole rows of `scores` by the driver itself: SQLAlchemy's way costs several times the insert."""
    driver: Any = connection.connection.driver_connection
    names = ", ".join(column.name for column in scores.columns)
    if is_sqlite:
        places = ", ".join("?" for _ in scores.columns)
        driver.executemany(f"INSERT INTO scores ({names}) VALUES ({places})", rows)  # noqa: S608 our own words
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY scores ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _chosen_columns(chosen: Chosen | None) -> list[Iterable[Any]]:
    if chosen is None:
        return [repeat(None)] * 4
    return [chosen.rank.tolist(), _listed(chosen.channel), chosen.propensity.tolist(), chosen.explored.tolist()]


def _or_none(figures: Floats) -> list[float | None]:
    """Figures with None for NaN, which SQLite has none of."""
    listed: list[float | None] = figures.tolist()
    for place in np.flatnonzero(np.isnan(figures)):
        listed[place] = None
    return listed


def _listed(texts: Texts) -> list[str]:
    return texts.tolist() if isinstance(texts, np.ndarray) else list(texts)
