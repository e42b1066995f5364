"""Features that come with a request: read strictly, and turned into the arrays that are scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.contract import NO_DEBT_OR_MORE, RATE, Interval
from features.units import from_money, to_money
from serving.api.calls import RequestError
from serving.engine import Engine
from serving.requests import Features
from serving.scoring import LiveAccounts
from training.bundle import Floats, Matrix


def read_features(given: Features, engine: Engine) -> tuple[LiveAccounts, Matrix]:
    """The accounts and features of a request; some may owe nothing.

    Raises:
        RequestError: the columns are not of one length, or a figure is not one that it may be.
    """
    n, settings = len(given.account_id), engine.settings
    check_ids(given.account_id)
    matrix = _matrix(given, n, engine.scorer.features.names)
    rates = [settings.commission_rate if rate is None else rate for rate in given.commission_rate or [None] * n]
    # To ten-thousandths and back, as a balance in a history: both are then the same to the last bit.
    balance = from_money(to_money(_column("balance", given.balance, n, NO_DEBT_OR_MORE)))
    rate = _column("commission_rate", rates, n, RATE)
    return LiveAccounts(np.array(given.account_id, object), balance, rate), matrix


def check_ids(account_ids: Sequence[str]) -> None:
    """Refuse accounts of which one comes twice, or has a name that no store can hold, with `RequestError`."""
    if len(set(account_ids)) < len(account_ids):
        twice = next(one for one in account_ids if account_ids.count(one) > 1)
        raise RequestError(f"an account is named once in a request, got {twice[:100]!r} more than once")
    if "\0" in "".join(account_ids):
        raise RequestError("an account's name holds no NUL; leave that account out")


def _column(name: str, values: Sequence[float], n: int, interval: Interval) -> Floats:
    """A column of figures, `(n,)`, each within the interval."""
    if len(values) != n:
        raise RequestError(f"features hold one {name} for each account_id, got {len(values):,} for {n:,} accounts")
    column = np.array(values, dtype=np.float64)
    outside = np.flatnonzero((column < interval.low) | (column > interval.high))
    if len(outside):
        raise RequestError(f"a {name} is {interval}, got {column[outside[0]]:g}")
    return column


def _matrix(given: Features, n: int, names: Sequence[str]) -> Matrix:
    """The features, `(n, n_features)`, from the one of the two forms that is there."""
    if (given.values is None) == (given.matrix is None):
        raise RequestError("features hold either values, row by row, or matrix, base64 of little-endian float32")
    if given.matrix is not None:
        return _from_bytes(given.matrix, n, len(names))
    rows = given.values or []
    if len(rows) != n or any(len(row) != len(names) for row in rows):
        raise RequestError(
            f"values hold a row for each account_id, {n:,} here, with the {len(names)} features that /v1/model names"
        )
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite there, as in a computed feature
        return np.array(rows, dtype=np.float32).reshape(n, len(names))


def _from_bytes(content: bytes, n: int, width: int) -> Matrix:
    if len(content) != n * width * 4:
        raise RequestError(
            f"matrix holds {width} float32 features, those that /v1/model names, for each of {n:,} accounts: "
            f"{n * width * 4:,} bytes, got {len(content):,}"
        )
    return np.frombuffer(content, "<f4").reshape(n, width).astype(np.float32, copy=False)
