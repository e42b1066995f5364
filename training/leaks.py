"""Leaks: features that know too much to have been known then. They are flagged, never celebrated.

History cannot easily leak, since it is cut at every moment; a further column of accounts can, because it is a snapshot
of nobody knows when: `settled`, `total_paid`, or the label itself, left in the table. So each feature is asked how well
it ranks payers alone, and held against what published models reach with everything they have: an AUC of 0.834 with
contact history, 0.723 with an account's financials (Sanchez et al., 2022).

A snapshot leaks about the time at which it was taken, which may be a small part of all moments, or none of those that
are learned from. So attributes are asked in slices of all time there is, unseen time too, and just after placement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.catalog import catalogue
from features.catalog.attributes import FAMILY
from features.compute import Categories, feature_matrix, prepare
from features.histories import Histories
from features.units import DAY, Rows, format_day
from training.bundle import P_PAY, Bundle, Floats, Suspect
from training.heads import Sample
from training.metrics import auc_sampling_error
from training.moments import Cuts, Moments, entry_moments, is_paid, sample_moments, stride_for
from training.settings import LeakSettings, TrainingSettings

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]

#: Fewer moments of either outcome than this tell nothing about a slice of time.
FEWEST_OF_EITHER = 50
#: Attributes are asked at about so many moments; they cost nothing to work out.
ASKED_MOMENTS = 200_000
#: At most so many moments are looked at together, evenly spread; more would change no verdict.
MOST_MOMENTS = 30_000
#: An AUC counts as far above its limit as it is beyond so many of its standard errors.
ERRORS = 2.0
#: Slices of time to a horizon.
SLICES = 4

REMEDY = (
    "a column that was filled in later must go, under [attributes] in portfolio.toml; one that was known at every "
    "moment is listed under `trusted` in [leaks] of the training settings"
)


@dataclass(frozen=True)
class Asked:
    """Moments with their features, and whether what the model foretells happened after each, `(n,)`."""

    sample: Sample
    happened: Flags


def find_suspects(bundle: Bundle, learned: Asked, attributes: Asked, settings: TrainingSettings) -> tuple[Suspect, ...]:
    """The features that may know the future, the worst first.

    Args:
        bundle: the model, with what it reached on unseen time in its manifest.
        learned: what it was trained on.
        attributes: the further columns of accounts alone, at moments of all time there is.
        settings: the limits, and which features are trusted.
    """
    found = {suspect.feature: suspect for suspect in _of_model(bundle, settings.leaks)}
    found |= {suspect.feature: suspect for suspect in _of_history(learned, settings.leaks)}
    of_attributes = suspects_among(attributes, bundle.manifest.horizon_days, settings.leaks)
    found |= {suspect.feature: suspect for suspect in of_attributes}
    suspects = [suspect for name, suspect in found.items() if name not in settings.leaks.trusted]
    return tuple(sorted(suspects, key=lambda suspect: (-suspect.figure, suspect.feature)))


def ask_attributes(
    histories: Histories, categories: Categories, cuts: Cuts, horizon_days: int, settings: TrainingSettings
) -> Asked:
    """The further columns of accounts at moments of all time there is; nothing is learned from them."""
    stride = stride_for(histories, cuts, horizon_days, ASKED_MOMENTS, settings.seed)
    window = (cuts.begin, max(cuts.train_end, cuts.test_end))
    section = sample_moments(histories, *window, stride, horizon_days, cuts.data_end, settings.seed)
    moments = section.and_then(entry_moments(histories, *window, horizon_days, cuts.data_end))
    happened = is_paid(moments, settings.payment)
    return attributes_at(histories, categories, moments, np.arange(len(moments)) < len(section), happened)


def attributes_at(
    histories: Histories, categories: Categories, moments: Moments, is_section: Flags, happened: Flags
) -> Asked:
    """The further columns of accounts at some moments, and what happened; `(n,)` each, `is_section` as in a sample."""
    names = tuple(feature.name for feature in catalogue(histories.settings) if feature.family == FAMILY)
    features = prepare(histories.settings, names, categories)
    matrix = feature_matrix(histories, moments.account, moments.as_of, features)
    return Asked(Sample(features, moments, matrix, is_section), happened)


def warnings_of(suspects: tuple[Suspect, ...]) -> tuple[str, ...]:
    """What a person should read of suspects, a line each, and what to do."""
    lines = [f"{found.feature} may know the future: {found.why}" for found in suspects]
    return (*lines, f"the figures of this model are not to be trusted; {REMEDY}") if suspects else ()


def _of_model(bundle: Bundle, limits: LeakSettings) -> Iterator[Suspect]:
    """The feature that decides most, of a model that ranks better than any honest one."""
    found = bundle.manifest.holdout.get("auc", 0.0)
    gain = gain_shares(bundle)
    top = max(gain, key=lambda name: gain[name])
    share = f"{gain[top]:.0%} of the model's gain is of this feature, and its AUC on unseen time is {found:.3f}, beyond"
    if found > limits.model_auc:
        yield Suspect(top, found, f"{share} {limits.model_auc}")
    elif found > limits.history_auc and gain[top] > limits.gain_share:
        yield Suspect(top, found, f"{share} {limits.history_auc}")


def _of_history(learned: Asked, limits: LeakSettings) -> Iterator[Suspect]:
    """Features of the history that alone rank better than any published model does with everything."""
    sample, limit = learned.sample, limits.history_auc
    rows = _spread(np.flatnonzero(sample.is_section))
    happened, matrix = learned.happened[rows], np.asfortranarray(sample.matrix[rows])
    for place, feature in enumerate(sample.features.features):
        if feature.family == FAMILY or feature.is_category:
            continue
        found = auc_either_way(matrix[:, place], happened)
        if found - ERRORS * auc_sampling_error(found, happened) > limit:
            yield Suspect(feature.name, found, f"its AUC alone is {found:.3f}, beyond {limit}")


def suspects_among(attributes: Asked, horizon_days: int, limits: LeakSettings) -> Iterator[Suspect]:
    """Further columns of accounts that at some time ranked better than all of an account's financials should."""
    sample, happened, limit = attributes.sample, attributes.happened, limits.attribute_auc
    slices = _slices(attributes, horizon_days)
    for place, name in enumerate(sample.features.names):
        figures = [(_auc_in(sample, place, rows, happened[rows]), rows) for rows in slices]
        beyond = [
            (found, rows)
            for found, rows in figures
            if found - ERRORS * auc_sampling_error(found, happened[rows]) > limit
        ]
        if beyond:
            found, rows = max(beyond, key=lambda pair: pair[0])
            as_of = sample.moments.as_of[rows]
            days = f"{format_day(int(as_of.min()))} to {format_day(int(as_of.max()))}"
            why = f"its AUC alone is {found:.3f} on moments from {days}, beyond {limit} for a column of accounts"
            yield Suspect(name, found, why)


def _slices(asked: Asked, horizon_days: int) -> list[Rows]:
    """All moments just after placement, all others, and these in slices of time.

    Each holds enough moments after which it happened, and after which it did not: nothing is told from a few.
    """
    sample, happened = asked.sample, asked.happened
    section = np.flatnonzero(sample.is_section)
    section = section[np.argsort(sample.moments.as_of[section], kind="stable")]
    as_of, rarer = sample.moments.as_of[section], happened[section]
    if 2 * rarer.sum() > len(rarer):
        rarer = ~rarer
    count = np.cumsum(rarer)
    horizons = (as_of[-1] - as_of[0]) // (horizon_days * DAY) + 1
    n_slices = max(1, min(SLICES * int(horizons), int(count[-1]) // FEWEST_OF_EITHER))
    ends = np.searchsorted(count, np.arange(1, n_slices) * count[-1] // n_slices) + 1
    parts = [_spread(rows) for rows in (np.flatnonzero(~sample.is_section), section, *np.split(section, ends))]
    return [rows for rows in parts if _fewer(happened[rows]) >= FEWEST_OF_EITHER]


def _fewer(happened: Flags) -> int:
    """How many there are of the outcome that is rarer among some moments."""
    n = int(happened.sum())
    return min(n, len(happened) - n)


def _auc_in(sample: Sample, place: int, rows: Rows, paid: Flags) -> float:
    """The AUC of one column alone on some of the moments."""
    column = sample.matrix[rows, place]
    if sample.features.features[place].is_category:
        column = _rates(column, paid, sample.moments.account[rows])
    return auc_either_way(column, paid)


def _rates(code: Values, paid: Flags, account: Rows) -> Values:
    """The payment rate of each row's category, `(n,)`, as the other half of the accounts has it."""
    place = np.where(np.isnan(code), -1, code).astype(np.int64) + 1
    found = np.empty(len(code), dtype=np.float32)
    for half in (0, 1):
        others, rows = account % 2 != half, account % 2 == half
        count = np.bincount(place[others], minlength=place.max() + 1)
        payers = np.bincount(place[others], weights=paid[others], minlength=place.max() + 1)
        found[rows] = ((payers + paid.mean()) / (count + 1))[place[rows]]
    return found


def gain_shares(bundle: Bundle) -> dict[str, float]:
    """The share of each feature in what the splits of the model of payment gain."""
    gain: Floats = np.asarray(bundle.models[P_PAY].feature_importance("gain"), dtype=np.float64)
    shares = gain / gain.sum() if gain.sum() > 0 else gain
    return dict(zip(bundle.manifest.features, shares.tolist(), strict=True))


def auc_either_way(column: Values, paid: Flags) -> float:
    """The AUC of ordering by a column, `(n,)`, from its better end, with what is missing at its better end."""
    from scipy.stats import rankdata

    payers = int(paid.sum())
    if not 0 < payers < len(paid):
        return 0.5
    best = 0.5
    for absent in (-np.inf, np.inf) if np.isnan(column).any() else (0.0,):
        rank = rankdata(np.nan_to_num(column, nan=absent, posinf=np.inf, neginf=-np.inf))
        found = (rank[paid].sum() - payers * (payers + 1) / 2) / (payers * (len(paid) - payers))
        best = max(best, float(found), float(1 - found))
    return best


def _spread(rows: Rows) -> Rows:
    """At most `MOST_MOMENTS` of the rows, evenly spread."""
    return rows[:: -(-len(rows) // MOST_MOMENTS) or 1]
