"""Promotions: who made which version the champion, when, from which on, and on which figures; refused ones too.

Each is a run of its own in the model's experiment, written before the alias moves. All of it is in tags of the run, so
that one search brings the whole history, and runs have no limit to their number; a tag of the model would have one to
its length, and would be lost with the model.

recorded(client, experiment, name, promotion)      keeps one around what it does
read_promotions(client, name, champion)            all of them, the latest first
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: The first version of a model, one that passed the gate, a former champion that came back, one that did not pass.
Kind = Literal["first", "promoted", "rolled_back", "refused"]
FIRST: Kind = "first"
PROMOTED: Kind = "promoted"
ROLLED_BACK: Kind = "rolled_back"
REFUSED: Kind = "refused"
KINDS: tuple[str, ...] = get_args(Kind)
#: What the runs are named.
_NAMES = {FIRST: "first champion", PROMOTED: "promote", ROLLED_BACK: "roll back to", REFUSED: "refuse"}
_KIND, _BEFORE, _AFTER, _BY, _COMPARISON = (
    f"promotion.{name}" for name in ("kind", "before", "after", "by", "comparison")
)
#: A tag for each check, in order; MLflow takes 8,000 characters in one.
_CHECK = "promotion.check."
_LONGEST = 2_000


@dataclass(frozen=True)
class Author:
    """Who does something to the registry, by name, and when (an instant)."""

    name: str
    at: int


@dataclass(frozen=True)
class Check:
    """One thing that is asked of a model: whether it holds, what was found, and what is needed."""

    name: str
    passed: bool
    found: str
    needed: str


@dataclass(frozen=True)
class Evidence:
    """What a promotion was decided on: the run of the comparison, and the checks of the gate."""

    comparison: str
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Promotion:
    """A change of a model's champion, or a refused one.

    `before` and `after` are numbers of versions, the former blank where there was no champion. `at` is an instant, to
    the millisecond. `run_id` is the run that it is kept as, `comparison` that of its evidence. One that did not come
    about was refused, or broken off.
    """

    kind: Kind
    before: str
    after: str
    by: str
    at: int
    comparison: str = ""
    checks: tuple[Check, ...] = ()
    run_id: str = ""
    came_about: bool = True

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not hold."""
        return tuple(check for check in self.checks if not check.passed)


@contextmanager
def recorded(client: MlflowClient, experiment: str, name: str, promotion: Promotion) -> Iterator[None]:
    """Keep a promotion around what it does: it is written before, and its end after.

    Args:
        client: MLflow's.
        experiment: the id of the model's experiment.
        name: the model's name.
        promotion: what is about to happen.
    """
    tags = {"mlflow.user": _clipped(promotion.by), **_tags(promotion)}
    run_name = f"{_NAMES[promotion.kind]} {name}/{promotion.after}"
    run_id = client.create_run(experiment, promotion.at // 1_000, tags, run_name).info.run_id
    try:
        yield
    except BaseException:  # Ctrl-C too: a run that is over must not look as if it went on
        client.set_terminated(run_id, "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")


def read_promotions(client: MlflowClient, name: str, champion: str | None) -> tuple[Promotion, ...]:
    """Every promotion of a model, the latest first.

    Args:
        client: MLflow's.
        name: the model's name.
        champion: the number of the version that is champion now.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return ()
    found, token = [], None
    while True:
        page = client.search_runs(
            [experiment.experiment_id], f"tags.`{_KIND}` != ''", order_by=["attributes.start_time DESC"],
            page_token=token,
        )  # fmt: skip
        found += [one for run in page if (one := _read(run)) is not None]
        token = page.token
        if not token:
            return _settled(found, champion)


def _settled(found: Sequence[tuple[Promotion, bool]], champion: str | None) -> tuple[Promotion, ...]:
    """Which came about: those that ended, and of those that were broken off the ones whose alias had moved by then.

    The latest first; what stood after one is what stood before the next.
    """
    standing, settled = champion, []
    for promotion, has_ended in found:
        came_about = promotion.kind != REFUSED and (has_ended or promotion.after == standing)
        settled.append(replace(promotion, came_about=came_about))
        if came_about:
            standing = promotion.before
    return tuple(settled)


def _tags(promotion: Promotion) -> dict[str, str]:
    checks = {
        f"{_CHECK}{place:02}": msgspec.json.encode(
            replace(check, found=_clipped(check.found), needed=_clipped(check.needed))
        ).decode()
        for place, check in enumerate(promotion.checks, start=1)
    }
    named = {_BEFORE: promotion.before, _COMPARISON: promotion.comparison}
    return {
        _KIND: promotion.kind,
        _AFTER: promotion.after,
        _BY: _clipped(promotion.by),
        **{name: value for name, value in named.items() if value},
        **checks,
    }


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _read(run: Any) -> tuple[Promotion, bool] | None:
    """A run's promotion, and whether it has ended; None where somebody else wrote such tags."""
    tags = run.data.tags
    if tags.get(_KIND) not in KINDS or not tags.get(_AFTER):
        return None
    names = sorted(name for name in tags if name.startswith(_CHECK))
    promotion = Promotion(
        kind=tags[_KIND],
        before=tags.get(_BEFORE, ""),
        after=tags[_AFTER],
        by=tags.get(_BY, ""),
        at=int(run.info.start_time) * 1_000,
        comparison=tags.get(_COMPARISON, ""),
        checks=tuple(check for name in names if (check := _check(tags[name])) is not None),
        run_id=str(run.info.run_id),
    )
    return promotion, run.info.status == "FINISHED"


def _check(text: str) -> Check | None:
    try:
        return msgspec.json.decode(text, type=Check)
    except msgspec.MsgspecError:
        return None
