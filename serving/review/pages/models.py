"""Models: what is in service and since when, every version with what it reached and its card, and every promotion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.responses import Response

from features.errors import SettingsError
from serving.engine import Engine
from serving.languages.language import translatable
from serving.models.seen import Seen, read_seen
from serving.review.models import tables_of
from serving.review.pages.cells import Cell, Column, Grid, cell_writer
from serving.review.pages.cuts import ROLES
from serving.review.pages.files import csv_file, excel_file, table_named
from serving.review.pages.markdown import as_html
from serving.review.pages.sections import SECTIONS
from serving.review.pages.visit import ROOT, Visit
from serving.review.pages.writing import UNKNOWN, Writing
from serving.review.tables import Table
from training.promotions import Promotion
from training.registered import Facts, Registered

PATH = "/models"
#: What was seen longer ago, in microseconds, is out of date: it is looked at every minute.
_STALE = 3 * 60 * 1_000_000
#: So many versions and promotions are shown; a file has all.
_SHOWN = 100
Holdout = Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """A figure of unseen time: its head, what it says, and how it is written: the figure, and what stands below it."""

    head: str
    meaning: str
    write: Callable[[Holdout, Writing], tuple[str, str]]


def _decimals(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _error(value: float | None, digits: int) -> str:
    return "" if value is None else f"± {value:.{digits}f}"


def _accounts(found: Holdout, write: Writing) -> tuple[str, str]:
    paying = found.get("paying_accounts")
    # Labels say nothing of money.
    said = translatable("{number} paid") if "predicted_amount" in found else translatable("{number} with the label")
    below = "" if paying is None else write.language.say(said, number=write.number(paying))
    return write.number(found.get("accounts")), below


def _quotient(found: Holdout, above: str, below: str, write: Callable[[float], str]) -> tuple[str, str]:
    predicted, actual = found.get(above), found.get(below)
    if predicted is None or actual is None:
        return UNKNOWN, ""
    return (_decimals(predicted / actual, 2) if actual else UNKNOWN), f"{write(predicted)} / {write(actual)}"


def _payers(found: Holdout, write: Writing) -> tuple[str, str]:
    value, below = _quotient(found, "predicted_payers", "payers", write.number)
    # Above it are accounts: one that is looked at twice may pay twice.
    return value, below and write.language.say(translatable("{figures}, by moment"), figures=below)


def _money(found: Holdout, write: Writing) -> tuple[str, str]:
    error = _error(found.get("predicted_to_actual_error"), 2)
    value, below = _quotient(found, "predicted_amount", "actual_amount", write.money)
    return value, f"{error} · {below}" if error and below else below


#: In the order of the page. The heads that are no words are the same in every language.
FIGURES: tuple[Figure, ...] = (
    Figure(
        translatable("Accounts seen"),
        translatable(
            "How many accounts were looked at on time that the model had not seen, and how many of them paid. Few "
            "payers make every other figure uncertain. Of a model of labels, payers are those with the label."
        ),
        _accounts,
    ),
    Figure(
        "AUC",
        translatable("How often a payer is ranked above one who does not pay: 0.5 is chance, 1 is without error."),
        lambda found, _: (_decimals(found.get("auc"), 3), _error(found.get("auc_error"), 3)),
    ),
    Figure(
        translatable("Brier score"),
        translatable(
            "How far probabilities are from what happened, squared and averaged: lower is better, 0 is without error."
        ),
        lambda found, _: (_decimals(found.get("brier"), 4), ""),
    ),
    Figure(
        translatable("Calibration error"),
        translatable(
            "How far the probability is from the share that paid, on average over ten groups: 0.02 is two points."
        ),
        lambda found, _: (_decimals(found.get("calibration_error"), 4), ""),
    ),
    Figure(
        translatable("Payers, predicted / actual"),
        translatable(
            "1 is exact; 1.10 says that a tenth more payers were predicted than there were. An account that was looked "
            "at at two moments counts twice here, and once among the accounts seen."
        ),
        _payers,
    ),
    Figure(
        translatable("Money, predicted / actual"),
        translatable("Likewise of money; known no better than its sampling error, which is large for few payers."),
        _money,
    ),
    Figure(
        translatable("Money from the first tenth"),
        translatable(
            "Which share of all that was paid came from the tenth of accounts expected to bring most: higher is better."
        ),
        lambda found, write: (write.share(found.get("top_tenth_money_share")), ""),
    ),
)
#: What a promotion was, with its versions filled in.
WHAT: Mapping[str, str] = {
    "first": translatable("{after} is the first champion"),
    "promoted": translatable("{after} in the place of {before}"),
    "rolled_back": translatable("{after} back in the place of {before}"),
    "refused": translatable("{after} was not to replace {before}"),
}
#: Why the champion is it.
WHY: Mapping[str, str] = {
    "first": translatable("It is the first version of its model."),
    "promoted": translatable("The gate held against {before}: {number} of {total} checks passed."),
    "rolled_back": translatable("It was brought back, in the place of {before}."),
}
#: The checks of the gate; one that is not here stands as it was kept.
CHECKS = (
    translatable("accounts on unseen time"),
    translatable("compared on its own portfolio"),
    translatable("AUC no worse"),
    translatable("Brier score no worse"),
    translatable("money from the top 10 % no worse"),
    translatable("money predicted / actual"),
    translatable("calibration error"),
    translatable("actual rate falls from band to band"),
    translatable("features available, also to the service"),
    translatable("no audit column read"),
    translatable("no sign of a leak"),
)


#: Those whose figures stand beside a promotion, each with its head.
_TELLING: Mapping[str, str] = {
    "AUC no worse": "AUC",
    "Brier score no worse": translatable("Brier score"),
    "money predicted / actual": translatable("Money, predicted / actual"),
}


_VERSIONS = (
    Column("version", translatable("Version"), "own"),
    Column("made_at", translatable("Registered"), "day", style="day"),
    Column("trained_until", translatable("Learned until"), "day", style="day"),
    *(Column(figure.head, figure.head, "cell") for figure in FIGURES),
    Column("limits", translatable("Known limits"), "own", style="limits"),
    Column("run", translatable("Run"), "own"),
)
_PROMOTIONS = (
    Column("at", translatable("When"), "moment", link="address"),
    Column("by", translatable("By"), "text"),
    Column("what", translatable("What"), "text"),
    Column("result", translatable("Result"), "own"),
    Column("figures", translatable("Figures"), "own"),
    Column("checks", translatable("Checks of the gate"), "own"),
)


@dataclass(frozen=True)
class InService:
    """A model that scores: its role and label, when its training ended, its figures, and what the registry says of it.

    `since` is the promotion that made it champion, where that is kept; `refused` the last that did not.
    """

    role: str
    label: str
    trained_until: str
    figures: Mapping[str, Cell]
    version: Registered | None = None
    since: Promotion | None = None
    refused: Promotion | None = None


@dataclass(frozen=True)
class ModelWords:
    """Versions, promotions and checks in words."""

    visit: Visit
    seen: Seen | None

    def label(self, number: str) -> str:
        """A version's name and number."""
        return f"{self.seen.registry.model}/{number}" if self.seen and number else number

    def what(self, promotion: Promotion) -> str:
        """What a promotion was."""
        return self._with_versions(WHAT[promotion.kind], promotion)

    def why(self, promotion: Promotion) -> str:
        """Why the champion is it."""
        return self._with_versions(WHY[promotion.kind], promotion)

    def figures(self, promotion: Promotion) -> list[tuple[str, str]]:
        """What was found of the figures that say most, each with its head."""
        told = [check for check in promotion.checks if check.name in _TELLING]
        return [(self.visit.language.gettext(_TELLING[check.name]), check.found) for check in told]

    def check(self, name: str) -> str:
        """A check of the gate."""
        return self.visit.language.gettext(name)

    def alias(self, name: str) -> str:
        """An alias of a version."""
        return self.visit.language.gettext(ROLES.get(name, name))

    def card(self, number: str) -> str:
        """The address of a version's page; blank where the registry has no such version."""
        has_it = self.seen is not None and self.seen.registry.version(number) is not None
        return f"{ROOT}{PATH}/card?{urlencode({'version': number})}" if has_it else ""

    def promotion(self, promotion: Promotion) -> str:
        """The address of a promotion's page."""
        return f"{ROOT}{PATH}/promotion?{urlencode({'run': promotion.run_id})}"

    def run(self, run_id: str, experiment: str = "") -> str:
        """The address of a run in MLflow; blank where there is none."""
        return self.seen.run_address(run_id, experiment) if self.seen else ""

    def _with_versions(self, template: str, promotion: Promotion) -> str:
        before, after = self.label(promotion.before), self.label(promotion.after)
        passed, total = len(promotion.checks) - len(promotion.failed), len(promotion.checks)
        return self.visit.language.say(template, before=before, after=after, number=passed, total=total)


def show(visit: Visit) -> Response:
    """The page."""
    seen = _seen(visit)
    registry = seen.registry if seen else None
    tables = tables_of(seen.registry, seen.at) if seen else {}
    return _page(
        visit,
        "models.html",
        seen,
        follows=visit.call.serving.registry is not None,
        is_stale=seen is not None and visit.call.now - seen.at > _STALE,
        in_service=_in_service(visit, seen),
        versions=_versions(visit, registry.versions[:_SHOWN] if registry else ()),
        promotions=_promotions(visit, registry.promotions[:_SHOWN] if registry else (), ModelWords(visit, seen)),
        more=bool(registry and max(len(registry.versions), len(registry.promotions)) > _SHOWN),
        shown=_SHOWN,
        figures=FIGURES,
        lacking={name: table.missing for name, table in tables.items()},
        files={name: f"{ROOT}{PATH}.csv?{urlencode({'table': name})}" for name in tables},
        book=f"{ROOT}{PATH}.xlsx",
    )


def show_card(visit: Visit) -> Response:
    """A version, with its card; all of them where none is named."""
    seen, number = _seen(visit), visit.call.query.get("version", "")
    if not number:
        return visit.to(f"{ROOT}{PATH}#versions")
    version = seen.registry.version(number) if seen else None
    if version is None:
        raise HTTPException(404, "the registry was not seen to hold this version")
    facts = version.facts or Facts()
    return _page(
        visit,
        "card.html",
        seen,
        version=version,
        facts=facts,
        figures=cells(visit, facts.holdout),
        card=as_html(facts.card),
        promotions=[one for one in seen.registry.promotions if number in (one.after, one.before)] if seen else [],
    )


def show_promotion(visit: Visit) -> Response:
    """A promotion, with the checks behind it; all of them where none is named."""
    seen, run_id = _seen(visit), visit.call.query.get("run", "")
    if not run_id:
        return visit.to(f"{ROOT}{PATH}#promotions")
    found = next((one for one in seen.registry.promotions if one.run_id == run_id), None) if seen else None
    if found is None:
        raise HTTPException(404, "the registry was not seen to hold this promotion")
    checks = cell_writer(visit).grid(
        SECTIONS["model_checks"].columns,
        [{"check": one.name, "passed": one.passed, "found": one.found, "needed": one.needed} for one in found.checks],
    )
    return _page(visit, "promotion.html", seen, promotion=found, checks=checks)


def export_csv(visit: Visit) -> Response:
    """The table that the query names, as CSV."""
    name = visit.call.query.get("table", "versions")
    return csv_file(f"{name}.csv", table_named(_tables(visit), name).rows)


def export_excel(visit: Visit) -> Response:
    """All tables of the page as an Excel file, a sheet each."""
    return excel_file("models.xlsx", _tables(visit), visit.call.now)


def cells(visit: Visit, holdout: Holdout) -> dict[str, Cell]:
    """The figures of unseen time as they are shown, by their heads; dashes where there was none."""
    return {figure.head: Cell(*figure.write(holdout, visit.writing)) for figure in FIGURES}


def _versions(visit: Visit, versions: Sequence[Registered]) -> Grid:
    """A row for each version."""
    rows = [
        {
            "version": version,
            "made_at": version.made_at,
            "trained_until": version.facts.trained_until if version.facts else None,
            **cells(visit, (version.facts or Facts()).holdout),
        }
        for version in versions
    ]
    return cell_writer(visit).grid(_VERSIONS, rows)


def _promotions(visit: Visit, promotions: Sequence[Promotion], about: ModelWords) -> Grid:
    """A row for each promotion."""
    rows = [
        {"one": one, "at": one.at, "address": about.promotion(one), "by": one.by, "what": about.what(one)}
        for one in promotions
    ]
    return cell_writer(visit).grid(_PROMOTIONS, rows)


def _page(visit: Visit, template: str, seen: Seen | None, **values: Any) -> Response:
    return visit.page(template, seen=seen, about=ModelWords(visit, seen), **values)


def _tables(visit: Visit) -> Mapping[str, Table]:
    """The tables of the page.

    Raises:
        SettingsError: what the registry holds is not known.
    """
    seen = _seen(visit)
    if seen is None:
        raise SettingsError(
            "a file holds what the registry does, and this service has not seen it; start it with --model NAME@champion"
        )
    return tables_of(seen.registry, seen.at)


def _seen(visit: Visit) -> Seen | None:
    """What the registry was last seen to hold of the model in service; None where that is not known."""
    path = visit.call.serving.registry
    seen = None if path is None else read_seen(path)
    # What an earlier service on this port followed is no news of this one's model.
    return seen if seen and seen.registry.model == visit.call.engine.label.rpartition("/")[0] else None


def _in_service(visit: Visit, seen: Seen | None) -> list[InService]:
    """What scores now, as the workers have it: the champion, and the challenger where there is one."""
    shadow = visit.call.serving.shadow
    engines = {"champion": visit.call.engine, "challenger": shadow.challenger() if shadow else None}
    return [_one_in_service(visit, role, engine, seen) for role, engine in engines.items() if engine is not None]


def _one_in_service(visit: Visit, role: str, engine: Engine, seen: Seen | None) -> InService:
    manifest, number = engine.scorer.bundle.manifest, engine.label.rpartition("/")[2]
    figures = cells(visit, manifest.holdout)
    if seen is None:
        return InService(role, engine.label, manifest.trained_until, figures)
    promotions = seen.registry.promotions
    latest = next((one for one in promotions if one.came_about), None)
    is_told = role == "champion" and latest is not None and latest.after == number
    return InService(
        role,
        engine.label,
        manifest.trained_until,
        figures,
        version=seen.registry.version(number),
        since=latest if is_told else None,
        refused=_refused(promotions, number) if role == "challenger" else None,
    )


def _refused(promotions: tuple[Promotion, ...], number: str) -> Promotion | None:
    """The last time that a version was refused."""
    return next((one for one in promotions if one.kind == "refused" and one.after == number), None)
