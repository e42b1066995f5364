"""The same bundle behind FastAPI, as a team would write it in an afternoon: a request model, arrays, the predictions.

uvicorn experiments.benchmarks._rival_fastapi:app, with the bundle's folder in RECOUP_BUNDLE.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from training.bundle import Bundle, read_bundle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_loaded: dict[str, Bundle] = {}


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    _loaded["bundle"] = read_bundle(Path(os.environ["RECOUP_BUNDLE"]))
    yield


app = FastAPI(lifespan=_lifespan)


class Accounts(BaseModel):
    """Accounts with their features."""

    account_id: list[str]
    balance: list[float]
    values: list[list[float | None]]


@app.get("/ping")
def ping() -> str:
    """Say that it is there."""
    return "ok"


@app.post("/score")
def score(accounts: Accounts) -> list[dict[str, Any]]:
    """The probability, the money, and the probability after each action, a row for each account."""
    bundle = _loaded["bundle"]
    found = bundle.predict(np.array(accounts.values, dtype=np.float32), np.array(accounts.balance))
    rows = zip(
        accounts.account_id,
        found.p_pay.tolist(),
        found.expected_amount.tolist(),
        found.p_pay_by_action.tolist(),
        strict=True,
    )
    return [
        {"account_id": account, "p_pay": p, "expected_amount": amount, "p_pay_by_action": by_action}
        for account, p, amount, by_action in rows
    ]
