"""Versions of a model, its promotions and the checks behind them, as tables; see `training.registered`."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from features.units import format_instant
from serving.languages.language import translatable
from serving.review.reading import Missing
from serving.review.tables import Table
from training.promotions import Promotion
from training.registered import Facts, Registered, Registry

#: Figures on unseen time come in this order, others after them.
_FIRST = (
    "accounts", "paying_accounts", "auc", "auc_error", "auc_days_past_due", "brier", "calibration_error",
    "predicted_payers", "payers", "predicted_amount", "actual_amount", "predicted_to_actual",
    "predicted_to_actual_error", "top_tenth_money_share",
)  # fmt: skip
_VERSION = (
    "version", "aliases", "registered_at", "trained_until", "known_until", "target", "horizon_days", "features",
)  # fmt: skip
_ABOUT = ("may_know_the_future", "known_limits", "trained_from", "sha256", "run_id", "not_read")
_PROMOTION = (
    "at", "by", "what", "model", "before", "after", "came_about", "checks", "checks_passed", "checks_failed",
    "comparison_run_id", "run_id",
)  # fmt: skip
_CHECK = ("at", "model", "before", "after", "check", "passed", "found", "needed", "run_id")
_NO_VERSION = translatable("no version is registered yet: call {command}")
_NO_PROMOTION = translatable("no promotion was kept yet: they are from {command} on")
_NO_CHECK = translatable("no gate has decided yet: call {command}")


def tables_of(registry: Registry, at: int) -> dict[str, Table]:
    """`versions`, `promotions` and `checks`, the latest first, as the registry said at a moment.

    Times are ISO 8601 in UTC; figures of unseen time are those of each version's own, and do not compare unless that
    time is the same.
    """
    counted = f"as the registry said at {format_instant(at)}"
    return {
        "versions": Table(versions(registry), counted, _lacks(registry.versions, _NO_VERSION, "recoup train")),
        "promotions": Table(promotions(registry), counted, _lacks(registry.promotions, _NO_PROMOTION, "recoup train")),
        "checks": Table(checks(registry), counted, _lacks(_decided(registry), _NO_CHECK, "recoup promote")),
    }


def versions(registry: Registry) -> pd.DataFrame:
    """A row for each version: what it is, every figure of its unseen time, what is known against it, where it is."""
    found = [(one, one.facts or Facts()) for one in registry.versions]
    others = sorted({name for _, facts in found for name in facts.holdout} - {*_FIRST})
    rows = [
        {**_version(registry, one, facts), **{name: facts.holdout.get(name) for name in (*_FIRST, *others)}}
        for one, facts in found
    ]
    return pd.DataFrame(rows, columns=[*_VERSION, *_FIRST, *others, *_ABOUT])


def promotions(registry: Registry) -> pd.DataFrame:
    """A row for each promotion, those included that did not come about."""
    rows = [
        {
            **_moved(registry, one),
            "by": one.by,
            "what": one.kind,
            "came_about": one.came_about,
            "checks": len(one.checks),
            "checks_passed": len(one.checks) - len(one.failed),
            "checks_failed": "; ".join(check.name for check in one.failed),
            "comparison_run_id": one.comparison,
        }
        for one in registry.promotions
    ]
    return pd.DataFrame(rows, columns=list(_PROMOTION))


def checks(registry: Registry) -> pd.DataFrame:
    """A row for each check of each promotion that a gate decided."""
    rows = [
        {
            **_moved(registry, one),
            "check": check.name,
            "passed": check.passed,
            "found": check.found,
            "needed": check.needed,
        }
        for one in _decided(registry)
        for check in one.checks
    ]
    return pd.DataFrame(rows, columns=list(_CHECK))


def _version(registry: Registry, version: Registered, facts: Facts) -> Mapping[str, object]:
    return {
        "version": f"{registry.model}/{version.number}",
        "aliases": ", ".join(version.aliases),
        "registered_at": format_instant(version.made_at),
        "trained_until": facts.trained_until,
        "known_until": facts.data_until,
        "target": facts.target,
        "horizon_days": facts.horizon_days or None,
        "features": facts.features or None,
        "may_know_the_future": ", ".join(facts.suspects),
        "known_limits": " ".join(facts.limits),
        "trained_from": version.source,
        "sha256": version.sha256,
        "run_id": version.run_id,
        "not_read": facts.trouble if version.facts is not None else "not looked at yet",
    }


def _moved(registry: Registry, promotion: Promotion) -> Mapping[str, object]:
    return {
        "at": format_instant(promotion.at),
        "model": registry.model,
        "before": promotion.before,
        "after": promotion.after,
        "run_id": promotion.run_id,
    }


def _decided(registry: Registry) -> list[Promotion]:
    return [one for one in registry.promotions if one.checks]


def _lacks(found: object, template: str, command: str) -> Missing | None:
    return None if found else Missing(template, parts={"command": command})
