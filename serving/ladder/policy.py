"""A ladder's policy: its rungs and its end, as data with their sources.

A ladder is a TOML file: one in `ladders/`, which goes by its name, or the user's own, which goes by its path. Its
thresholds are in a currency, so that no ladder holds unless it is asked for.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from features.errors import SettingsError
from features.histories import category_columns
from features.settings import MAX_HORIZON_DAYS, PortfolioSettings

#: The stages of `features.stages`, as a policy names them; a test compares them.
Stage = Literal["not due", "early", "mid", "late", "front-end", "mid-end", "back-end"]
Days = Annotated[int, msgspec.Meta(ge=1, le=MAX_HORIZON_DAYS)]
Number = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e12)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Factor = Annotated[float, msgspec.Meta(gt=0, le=10)]

#: In place of a ladder: none, whatever the portfolio's settings say.
NO_LADDER = "none"


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another threshold where accounts' columns (segment, portfolio, categorical attributes) have these values."""

    where: dict[str, tuple[str, ...]]
    least_balance: Amount
    or_days: Days | None = None


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From what on something is worth it: so much owed, or so many days past due whatever is owed.

    Of several overrides that fit an account, the first holds.
    """

    least_balance: Amount = 0.0
    or_days: Days | None = None
    overrides: tuple[Override, ...] = ()


class Rung(Threshold, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rung: a channel, and from when on it is open to an account.

    It begins at `from_stage`, or `from_days` past due, where the threshold is reached, after so many attempts through
    other channels as `after` says, and `every_days` after the last one of its own channel, until there were `at_most`.
    """

    id: str
    channel: str
    source: str
    from_stage: Stage | None = None
    from_days: Days | None = None
    every_days: Days | None = None
    at_most: Number | None = None
    after: dict[str, Number] = msgspec.field(default_factory=dict)


class Agency(Threshold, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The terms of an agency: which share of what it recovers it keeps; `recovers` is an assumption.

    That is: how many times as much as going on with one's own work it recovers.
    """

    commission: Share
    source: str
    recovers: Factor = 1.0


class Lawyer(Threshold, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The terms of a lawyer: a fee for each case and a share of what is recovered.

    What legal steps recover is taken from the history: from what followed contacts through `channels`.
    """

    fee: Amount
    source: str
    share: Share = 0.0
    channels: tuple[str, ...] = ("legal_letter",)


class Sale(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a buyer pays: a share of the balance. Only one's own debts can be sold."""

    price: Share
    source: str


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The end of the ladder: where an account reaches it, and the terms of what may be done there.

    It is reached at `from_stage` or `from_days` past due; before that, where `rungs_used`, once no rung is left, and
    from the stage `unprofitable_from` on where working on for `horizon_days` is expected to bring no more than it
    costs.
    """

    source: str
    from_stage: Stage | None = None
    from_days: Days | None = None
    rungs_used: bool = False
    unprofitable_from: Stage | None = None
    horizon_days: Days = 180
    agency: Agency | None = None
    lawyer: Lawyer | None = None
    sale: Sale | None = None


class Ladder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A ladder: its rungs from the first on, and its end; `dated` is the day on which its sources were read."""

    name: str
    title: str
    source: str
    dated: date
    currency: str
    rungs: tuple[Rung, ...]
    end: End | None = None

    @property
    def thresholds(self) -> Mapping[str, Threshold]:
        """All thresholds, by the name of what has them."""
        end = () if self.end is None else (("agency", self.end.agency), ("lawyer", self.end.lawyer))
        return {rung.id: rung for rung in self.rungs} | {name: one for name, one in end if one is not None}

    @property
    def channels(self) -> frozenset[str]:
        """Every channel that it names."""
        lawyer = () if self.end is None or self.end.lawyer is None else self.end.lawyer.channels
        return frozenset({rung.channel for rung in self.rungs} | {one for rung in self.rungs for one in rung.after}) | {
            *lawyer
        }


def read_ladder(text: str) -> Ladder:
    """A ladder from TOML, checked.

    Raises:
        SettingsError: a key that there is not, a value outside its range, or two rungs of one name.
    """
    try:
        ladder = msgspec.convert(tomllib.loads(text), Ladder)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"a ladder is TOML with the keys of Ladder: {error}; mend the file") from None
    _check(ladder)
    return ladder


def _check(ladder: Ladder) -> None:
    if not ladder.rungs:
        raise SettingsError(f"a ladder has a rung at least, got none in {ladder.name}; add [[rungs]]")
    twice = [name for name, times in Counter(rung.id for rung in ladder.rungs).items() if times > 1]
    if twice:
        raise SettingsError(f"a rung has a name of its own, got {', '.join(twice)} twice in {ladder.name}")
    begins: list[Rung | End] = [*ladder.rungs, *([] if ladder.end is None else [ladder.end])]
    for one in begins:
        if one.from_stage is not None and one.from_days is not None:
            name = one.id if isinstance(one, Rung) else "end"
            raise SettingsError(f"{name} begins from a stage or from days past due, got both; leave one of them out")
    for name, threshold in ladder.thresholds.items():
        if threshold.or_days is not None and not threshold.least_balance:
            raise SettingsError(f"or_days is beside a least_balance, got it alone in {name}; add one, or use from_days")


@lru_cache(maxsize=1)
def shipped_ladders() -> dict[str, Ladder]:
    """The ladders that Recoup brings, by their names."""
    files = sorted(resources.files("serving").joinpath("ladders").iterdir(), key=lambda file: file.name)
    ladders = [read_ladder(file.read_text("utf-8")) for file in files if file.name.endswith(".toml")]
    return {ladder.name: ladder for ladder in ladders}


def ladder_called(name: str, settings: PortfolioSettings) -> Ladder:
    """The ladder of that name, or of the file at that path, checked against a portfolio.

    Raises:
        SettingsError: there is none, it cannot be read, or it names a channel or column that the portfolio has not.
    """
    ladder = _read_file(Path(name)) if name.endswith(".toml") else shipped_ladders().get(name)
    if ladder is None:
        raise SettingsError(
            f"a ladder is one of {', '.join(shipped_ladders())}, or the path of a .toml file; got {name[:100]!r}"
        )
    unknown = sorted(ladder.channels - set(settings.channel_names))
    if unknown:
        raise SettingsError(
            f"a ladder names channels of the portfolio, {', '.join(settings.channel_names)}; got {', '.join(unknown)} "
            f"in {ladder.name}"
        )
    known = category_columns(settings)
    where = {column for one in ladder.thresholds.values() for override in one.overrides for column in override.where}
    if where - set(known):
        raise SettingsError(
            f"an override of a ladder goes by the columns {', '.join(known)} of accounts; got "
            f"{', '.join(sorted(where - set(known)))} in {ladder.name}"
        )
    return ladder


def ladder_of(asked: str | None, settings: PortfolioSettings) -> Ladder | None:
    """The ladder that is asked for, else that of the portfolio's settings; None where neither names one.

    Raises:
        SettingsError: as `ladder_called`.
    """
    name = settings.queue.ladder if asked is None else asked
    return None if name in {None, NO_LADDER} else ladder_called(str(name), settings)


def stage_number(stage: Stage) -> int:
    """The place of a stage among all of them."""
    return get_args(Stage).index(stage)


def _read_file(path: Path) -> Ladder:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"the ladder {path} cannot be read ({error.strerror}); give the path of a file") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"the ladder {path} is not text in UTF-8: {error}") from None
    try:
        return read_ladder(text)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
