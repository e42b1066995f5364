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
from training.moments import Cuts, entry_moments, is_paid, sample_moments, stride_for
from training.settings import LeakSettings, TrainingSettings

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]

#: Fewer paying accounts than this tell nothing about a slice of time.
FEWEST_PAYERS = 50
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


def find_suspects(
    bundle: Bundle, histories: Histories, sample: Sample, cuts: Cuts, settings: TrainingSettings
) -> tuple[Suspect, ...]:
    """The features that may know the future, the worst first.

    Args:
        bundle: the model, with what it reached on unseen time in its manifest.
        histories: packed histories.
        sample: what it was trained on.
        cuts: say how far time goes.
        settings: the limits, and which features are trusted.
    """
    horizon_days = bundle.manifest.horizon_days
    attributes = ask_attributes(histories, sample.features.categories, cuts, horizon_days, settings)
    found = {suspect.feature: suspect for suspect in _of_model(bundle, settings.leaks)}
    found |= {suspect.feature: suspect for suspect in _of_history(sample, settings)}
    found |= {suspect.feature: suspect for suspect in suspects_among(attributes, horizon_days, settings)}
    suspects = [suspect for name, suspect in found.items() if name not in settings.leaks.trusted]
    return tuple(sorted(suspects, key=lambda suspect: (-suspect.figure, suspect.feature)))


def ask_attributes(
    histories: Histories, categories: Categories, cuts: Cuts, horizon_days: int, settings: TrainingSettings
) -> Sample:
    """The further columns of accounts at moments of all time there is; nothing is learned from them."""
    stride = stride_for(histories, cuts, horizon_days, ASKED_MOMENTS, settings.seed)
    window = (cuts.begin, max(cuts.train_end, cuts.test_end))
    moments = sample_moments(histories, *window, stride, horizon_days, cuts.data_end, settings.seed)
    entries = entry_moments(histories, *window, horizon_days, cuts.data_end)
    is_section = np.arange(len(moments) + len(entries)) < len(moments)
    moments = moments.and_then(entries)
    names = tuple(feature.name for feature in catalogue(histories.settings) if feature.family == FAMILY)
    features = prepare(histories.settings, names, categories)
    return Sample(features, moments, feature_matrix(histories, moments.account, moments.as_of, features), is_section)


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


def _of_history(sample: Sample, settings: TrainingSettings) -> Iterator[Suspect]:
    """Features of the history that alone rank better than any published model does with everything."""
    rows = _spread(np.flatnonzero(sample.is_section))
    paid, limit = is_paid(sample.moments.take(rows), settings.payment), settings.leaks.history_auc
    matrix = np.asfortranarray(sample.matrix[rows])
    for place, feature in enumerate(sample.features.features):
        if feature.family == FAMILY or feature.is_category:
            continue
        found = auc_either_way(matrix[:, place], paid)
        if found - ERRORS * auc_sampling_error(found, paid) > limit:
            yield Suspect(feature.name, found, f"its AUC alone is {found:.3f}, beyond {limit}")


def suspects_among(attributes: Sample, horizon_days: int, settings: TrainingSettings) -> Iterator[Suspect]:
    """Further columns of accounts that at some time ranked better than all of an account's financials should."""
    limit, moments = settings.leaks.attribute_auc, attributes.moments
    paid = is_paid(moments, settings.payment)
    slices = _slices(attributes, paid, horizon_days)
    for place, name in enumerate(attributes.features.names):
        figures = [(_auc_in(attributes, place, rows, paid[rows]), rows) for rows in slices]
        beyond = [
            (found, rows) for found, rows in figures if found - ERRORS * auc_sampling_error(found, paid[rows]) > limit
        ]
        if beyond:
            found, rows = max(beyond, key=lambda pair: pair[0])
            days = f"{format_day(int(moments.as_of[rows].min()))} to {format_day(int(moments.as_of[rows].max()))}"
            why = f"its AUC alone is {found:.3f} on moments from {days}, beyond {limit} for a column of accounts"
            yield Suspect(name, found, why)


def _slices(sample: Sample, paid: Flags, horizon_days: int) -> list[Rows]:
    """All moments just after placement, all others, and these in slices of time; each holds payers enough."""
    section = np.flatnonzero(sample.is_section)
    section = section[np.argsort(sample.moments.as_of[section], kind="stable")]
    as_of, payers = sample.moments.as_of[section], np.cumsum(paid[section])
    horizons = (as_of[-1] - as_of[0]) // (horizon_days * DAY) + 1
    n_slices = max(1, min(SLICES * int(horizons), int(payers[-1]) // FEWEST_PAYERS))
    ends = np.searchsorted(payers, np.arange(1, n_slices) * payers[-1] // n_slices) + 1
    parts = [_spread(rows) for rows in (np.flatnonzero(~sample.is_section), section, *np.split(section, ends))]
    return [rows for rows in parts if paid[rows].sum() >= FEWEST_PAYERS]


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
