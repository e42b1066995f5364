"""The search space: which settings of the trees are searched, and between which ends, as a TOML file states them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from features.errors import SettingsError
from training.settings import Positive, Section, TreeSettings, settings_document

HEADS = ("p_pay", "fraction")
#: A drawn number has so many digits, in the trial as in the file that is written.
DIGITS = 4


class Range(Section, frozen=True):
    """From the least to the most, both included; `log` draws evenly between their logarithms."""

    low: float
    high: float
    log: bool = False


class TreeSpace(Section, frozen=True):
    """The ranges of one head; a setting without one stays as it is."""

    trees: Range | None = None
    learning_rate: Range | None = None
    leaves: Range | None = None
    min_rows_per_leaf: Range | None = None
    row_share: Range | None = None
    feature_share: Range | None = None
    l2: Range | None = None

    @property
    def drawn(self) -> dict[str, Range]:
        """The ranges of what is drawn; the number of trees is found, not drawn."""
        ranges = {name: getattr(self, name) for name in self.__struct_fields__ if name != "trees"}
        return {name: found for name, found in ranges.items() if found is not None}

    def most_trees(self, settings: TreeSettings) -> int:
        """How many trees a trial may have at most."""
        return settings.trees if self.trees is None else int(self.trees.high)

    def fewest_trees(self, settings: TreeSettings) -> int:
        """How many trees a trial has at least."""
        return settings.trees if self.trees is None else int(self.trees.low)


class TuningSettings(Section, frozen=True):
    """How settings are searched."""

    folds: Annotated[int, Meta(ge=2)]
    patience: Positive
    trials_before_pruning: Positive
    p_pay: TreeSpace
    fraction: TreeSpace

    def of(self, head: str) -> TreeSpace:
        """The ranges of a head."""
        found: TreeSpace = getattr(self, head)
        return found


def read_tuning_settings(path: Path | None = None) -> TuningSettings:
    """Read the space of `training/tuning.toml`, changed by what the file at `path` states.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown, or a range is none or holds an impossible setting.
    """
    try:
        found = msgspec.convert(settings_document("training", "tuning.toml", path), TuningSettings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {error}; see training/tuning.toml for every key") from None
    for head in HEADS:
        for name in TreeSpace.__struct_fields__:
            if (ends := getattr(found.of(head), name)) is not None:
                _check_range(f"{head}.{name}", name, ends)
    return found


def is_whole(name: str) -> bool:
    """Whether a setting of the trees is a whole number."""
    return _TYPES[name] is int


def _check_range(key: str, name: str, ends: Range) -> None:
    if not ends.low <= ends.high:
        raise SettingsError(f"{key} must go from low to high, got {ends.low} to {ends.high}")
    if ends.log and ends.low <= 0:
        raise SettingsError(f"{key} must be above 0 where log = true, got low = {ends.low}")
    for end in (ends.low, ends.high):
        try:
            msgspec.convert({name: _typed(name, end)}, _ONE[name])
        except msgspec.ValidationError as error:
            raise SettingsError(f"{key}: {end} is no possible setting: {error}") from None
        if is_whole(name) and end != int(end):
            raise SettingsError(f"{key} must have whole ends, got {end}")


def typed_settings(settings: TreeSettings, drawn: Mapping[str, float]) -> TreeSettings:
    """The settings with what was drawn in place, to so many digits as are written."""
    return msgspec.structs.replace(settings, **{name: _typed(name, value) for name, value in drawn.items()})


def _typed(name: str, value: float) -> float:
    return round(value) if is_whole(name) else float(f"{value:.{DIGITS}g}")


def changed_toml(settings: Mapping[str, Any], defaults: Mapping[str, Any], heading: str) -> str:
    """What differs from the defaults, as the text of a TOML file.

    >>> defaults = {"seed": 1, "p_pay": {"trees": 3, "l2": 5.0}}
    >>> print(changed_toml({"seed": 2, "p_pay": {"trees": 9, "l2": 5.0}}, defaults, "Found."))
    # Found.
    seed = 2
    <BLANKLINE>
    [p_pay]
    trees = 9
    <BLANKLINE>
    """
    lines = [f"# {heading}"]
    lines += [f"{key} = {_value(value)}" for key, value in _changed(settings, defaults) if not isinstance(value, dict)]
    for key, section in settings.items():
        if isinstance(section, dict) and (changed := _changed(section, defaults[key])):
            lines += ["", f"[{key}]", *(f"{name} = {_value(value)}" for name, value in changed)]
    return "\n".join([*lines, ""])


def _changed(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in settings.items() if value != defaults[key]]


def _value(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


#: Each setting's type, and a struct of it alone, by which an end of a range is checked.
_FIELDS = {field.name: field for field in msgspec.structs.fields(TreeSettings)}
_TYPES = {name: getattr(field.type, "__origin__", field.type) for name, field in _FIELDS.items()}
_ONE = {name: msgspec.defstruct(name, [(name, field.type)]) for name, field in _FIELDS.items()}
