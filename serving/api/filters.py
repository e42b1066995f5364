"""Filters of a queue: which accounts it is made of, by portfolio, segment and stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features import stages
from features.histories import Histories, category_values
from features.units import Rows
from serving.api.calls import RequestError

#: The stages as a request names them, in their order.
STAGES = tuple(name.replace(" ", "_").replace("-", "_") for name in stages.STAGES)
#: So many known values are named in an error.
_SHOWN = 20

Wanted = str | list[str] | None


def filtered(histories: Histories, as_of: int, portfolio: Wanted, segment: Wanted, stage: Wanted) -> Rows:
    """The accounts, `(n,)`, that have one of the values wanted of each; all where nothing is asked.

    Raises:
        RequestError: a value that no account has, or no stage.
    """
    kept = np.ones(len(histories), dtype=np.bool_)
    for name, wanted in (("portfolio", portfolio), ("segment", segment)):
        if wanted is not None:
            values = category_values(histories, name)
            kept &= _among(name, values, wanted, sorted(set(values) - {None}))
    if stage is not None:
        kept &= _among("stage", _stages(histories, as_of), stage, STAGES)
    return np.flatnonzero(kept)


def _among(
    name: str, values: npt.NDArray[np.object_], wanted: str | list[str], known: Sequence[str]
) -> npt.NDArray[np.bool_]:
    asked = {wanted} if isinstance(wanted, str) else set(wanted)
    unknown = sorted(asked - set(known))
    if unknown:
        shown = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise RequestError(f"a {name} is one of {shown or 'none: no account has one'}; got {unknown[0][:100]!r}")
    return np.array([value in asked for value in values], dtype=np.bool_)


def _stages(histories: Histories, as_of: int) -> npt.NDArray[np.object_]:
    """The stage of each account, `(n,)`, as a request names it; None where it has no due date."""
    as_asked: dict[str | None, str | None] = {None: None, **dict(zip(stages.STAGES, STAGES, strict=True))}
    found = stages.stages(histories, np.arange(len(histories)), as_of)
    return np.array([as_asked[stage] for stage in found], dtype=object)
