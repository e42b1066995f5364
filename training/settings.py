"""The settings of a training run, as a TOML file states them: `default.toml`, and what a user's file changes of it."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from features.errors import SettingsError

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the settings file; a key that it does not have is an error."""


Sections = TypeVar("Sections", bound=msgspec.Struct)


class PaymentSettings(Section, frozen=True):
    """What counts as a payment within the horizon: a net amount above both of these."""

    above_amount: NotNegative
    above_share: NotNegative


class MomentSettings(Section, frozen=True):
    """How many moments and decisions are learned from."""

    max_moments: Positive
    entry: bool
    max_decisions: Positive


class FeatureSettings(Section, frozen=True):
    """Which features are learned from."""

    portfolio_rates: bool


class FoldSettings(Section, frozen=True):
    """How predictions for calibration are held out."""

    count: Annotated[int, Meta(ge=2)]


class TreeSettings(Section, frozen=True):
    """One LightGBM model."""

    trees: Positive
    learning_rate: Share
    leaves: Annotated[int, Meta(ge=2)]
    min_rows_per_leaf: Positive
    row_share: Share
    feature_share: Share
    l2: NotNegative


class SupportSettings(Section, frozen=True):
    """When an action's effect can be told."""

    paying_accounts: Positive


class EffectSettings(Section, frozen=True):
    """What may move the effect of an action, and how far it is expected to."""

    modifiers: tuple[str, ...]
    shared_sd: Annotated[float, Meta(gt=0)]
    own_sd: Annotated[float, Meta(gt=0)]


class LeakSettings(Section, frozen=True):
    """When a feature is marked as one that may know the future."""

    attribute_auc: Share
    history_auc: Share
    model_auc: Share
    gain_share: Share
    trusted: tuple[str, ...]


class TrainingSettings(Section, frozen=True):
    """All settings of a training run."""

    seed: Annotated[int, Meta(ge=0)]
    threads: Positive
    payment: PaymentSettings
    moments: MomentSettings
    features: FeatureSettings
    folds: FoldSettings
    p_pay: TreeSettings
    fraction: TreeSettings
    propensity: TreeSettings
    promise: TreeSettings
    support: SupportSettings
    effects: EffectSettings
    leaks: LeakSettings


def read_training_settings(path: Path | None = None) -> TrainingSettings:
    """Read the defaults, changed by what the file at `path` states.

    Raises:
        SettingsError: the file cannot be read, or a setting is unknown or outside its range.
    """
    return read_sections(TrainingSettings, "training", "default.toml", path)


def read_sections(wanted: type[Sections], package: str, name: str, path: Path | None) -> Sections:
    """Read the file `name` that comes with a package, changed by what the file at `path` states.

    Raises:
        SettingsError: the file cannot be read, or a setting is unknown or outside its range.
    """
    document = settings_document(package, name, path)
    try:
        return msgspec.convert(document, wanted)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {error}; see {package.replace('.', '/')}/{name} for every setting") from None


def settings_of(written: dict[str, Any], threads: int) -> TrainingSettings:
    """The settings that a bundle's manifest holds, with so many threads, of which it says nothing."""
    return msgspec.convert(written | {"threads": threads}, TrainingSettings)


def settings_of_model(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that decide a model: without the threads, which decide how long it takes."""
    document: dict[str, Any] = msgspec.to_builtins(settings)
    del document["threads"]
    return document


def settings_document(package: str, name: str, path: Path | None) -> dict[str, Any]:
    """Read the file `name` that comes with a package, changed by what the file at `path` states.

    Raises:
        SettingsError: the file cannot be read.
    """
    document = tomllib.loads(resources.files(package).joinpath(name).read_text("utf-8"))
    if path is None:
        return document
    try:
        return _changed(document, tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"settings are a TOML file, {path} cannot be read as one: {error}") from None


def _changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(document.get(key), dict)
        merged[key] = _changed(document[key], value) if both else value
    return merged
