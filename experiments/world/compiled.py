"""How the world's loops are compiled, and how the compiled code on disk is kept true to the sources."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from features import contract, units

Function = TypeVar("Function", bound=Callable[..., Any])
_COMMON: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
#: Wrappers for callers in Python and C take a quarter of the compilation, and nothing there calls these.
_INNER = _COMMON | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_OUTER = _COMMON | {"cache": True}
#: Constants of other rooms that compiled code of the world holds.
_FROM_ELSEWHERE = (
    contract.CHANNELS,
    contract.OUTCOMES,
    contract.RESTRICTIONS,
    contract.PROMISE_GRACE_DAYS,
    units.DAY,
    units.HOUR,
    units.MONEY_SCALE,
    units.NULL_TIME,
)


def part(function: Function) -> Function:
    """Compile a function that only other compiled functions call; it is kept on disk as part of those."""
    return cast(Function, numba.njit(**_INNER)(function))


def entry(function: Function) -> Function:
    """Compile a function that Python calls, and keep the result on disk.

    Numba renews what it keeps when the file of this very function changes, but not when a function or a constant of
    another file does. It also renews it when a variable that the function closes over has another value. So an entry
    is defined inside a function that was given `sources()`, and mentions it.
    """
    return cast(Function, numba.njit(**_OUTER)(function))


@cache
def sources() -> str:
    """The SHA-256 of all Python files of the world, and of what they compile in of the contract and the units.

    Another value means that it may be another world.
    """
    digest = hashlib.sha256(repr(_FROM_ELSEWHERE).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
