"""Filters of a queue: which accounts it is made of, by portfolio, segment and stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.compute import feature_matrix, prepare
from features.histories import Histories, category_values
from features.units import Rows
from serving.api.calls import RequestError

#: The stages in the order of the feature `stage`.
STAGES = ("not_due", "early", "mid", "late", "front_end", "mid_end", "back_end")
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
    """The stage of each account, `(n,)`; None where it has no due date."""
    everyone = np.arange(len(histories))
    features = prepare(histories.settings, ("stage",))
    stage = feature_matrix(histories, everyone, np.full(len(everyone), as_of), features)[:, 0]
    # The place after the last is that of no due date.
    return np.array([*STAGES, None], dtype=object)[np.where(np.isnan(stage), len(STAGES), stage).astype(np.int64)]
