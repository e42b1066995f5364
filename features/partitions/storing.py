"""Histories in a file, and back: arrays as they are, the structure around them as JSON.

No pickle: whoever could write to the file could have code of hers run by who reads it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.events import Amounts, Contacts, Decisions, Promises, Restrictions
from features.histories import Accounts, Histories
from features.overview import Daily, Overview
from features.settings import ChannelSettings, PortfolioSettings, QueueRules

#: What may be stored, by its name.
_CLASSES: Mapping[str, Callable[..., Any]] = {
    stored.__name__: stored
    for stored in (
        *(PortfolioSettings, ChannelSettings, QueueRules, Histories, Accounts, Overview, Daily),
        *(Contacts, Amounts, Promises, Restrictions, Decisions),
    )
}
_STRUCTURE = "structure"

_Arrays = dict[str, npt.NDArray[Any]]


def store(value: Any, path: Path) -> None:
    """Write histories, or a part of them, to a file of the form of `numpy.savez`."""
    arrays: _Arrays = {}
    structure = json.dumps(_encoded(value, arrays)).encode()
    arrays[_STRUCTURE] = np.frombuffer(structure, dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path) -> Any:
    """Read what `store` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return _decoded(json.loads(arrays[_STRUCTURE].tobytes()), arrays)


def _encoded(value: Any, arrays: _Arrays) -> Any:
    """A value as JSON; what is not JSON is an object that says what it is. Arrays of numbers are put beside it."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return {"texts": value.ravel().tolist(), "shape": value.shape}
        arrays[name := str(len(arrays))] = value
        return {"array": name}
    if isinstance(value, Mapping):
        return {"mapping": [[_encoded(key, arrays), _encoded(each, arrays)] for key, each in value.items()]}
    fields = _fields(value)
    if fields is not None:
        return {"class": type(value).__name__, "fields": {name: _encoded(fields[name], arrays) for name in fields}}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(each, arrays) for each in value]}
    return value.item() if isinstance(value, np.generic) else value


def _fields(value: Any) -> dict[str, Any] | None:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value._asdict() if isinstance(value, tuple) and hasattr(value, "_asdict") else None


def _decoded(value: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "texts" in value:
        texts = np.empty(len(value["texts"]), dtype=object)
        texts[:] = value["texts"]
        return texts.reshape(value["shape"])
    if "mapping" in value:
        return {_decoded(key, arrays): _decoded(each, arrays) for key, each in value["mapping"]}
    if "tuple" in value:
        return tuple(_decoded(each, arrays) for each in value["tuple"])
    return _CLASSES[value["class"]](**{name: _decoded(each, arrays) for name, each in value["fields"].items()})
