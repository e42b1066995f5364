"""The one place that says how loops are compiled, so that types survive Numba's untyped decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Function = TypeVar("Function", bound=Callable[..., Any])
Number = TypeVar("Number", bound=np.generic)


def compiled(function: Function) -> Function:
    """Compile a function of arrays to machine code, cached on disk.

    Numba notices a change only in the file of the function itself. So a compiled function calls none from another
    file, and reads no constant of another file: what it needs of them comes in as an argument.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def called(function: Function) -> Function:
    """Compile a function that those of the same file call now and then: its code is there once, and compiled once."""
    return cast(Function, numba.njit(error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """Compile a function into those of the same file that call it.

    Arrays that are passed on cost reference counts: inlining what is called for every moment nearly halves its time.
    """
    return cast(Function, numba.njit(inline="always", error_model="numpy")(function))


def laid_out(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """The array as compiled functions are given it, contiguous and writable, so that each is compiled once.

    Numba compiles anew for every other layout, which takes half a minute for the largest of them.
    """
    return np.require(array, requirements=("C", "W"))
