"""Auditing: from a checked portfolio and a model to figures per group, on time that the model has not learned from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.watch.fairness import Audited, ColumnAudit, Texts, audit_column, pool, top_tenth
from experiments.watch.scored import Scored, score_moments
from features.contract import NO_CHANNEL
from features.errors import HistoryError, MomentError, SettingsError
from features.histories import Histories
from features.portfolio import Portfolio
from features.units import format_instant, parse_instant
from serving.scoring import Scorer
from training.bundle import Bundle
from training.moments import Moments, matured_end, payments_end, sample_moments


@dataclass(frozen=True)
class AuditReport:
    """All that an audit found on the moments from `since` to `until`."""

    model: str
    since: str
    until: str
    moments: int
    columns: tuple[ColumnAudit, ...]


def unseen_moments(histories: Histories, bundle: Bundle, since: int | None, now: int) -> Moments:
    """One moment of each live account per horizon, from the model's cut, or later, to the last matured outcome.

    Args:
        histories: packed histories.
        bundle: the model.
        since: the first moment; the cut when None.
        now: the present.

    Raises:
        MomentError: the model had learned from that time.
        HistoryError: no outcome has matured since.
    """
    manifest = bundle.manifest
    cut = parse_instant(manifest.trained_until)
    if since is not None and since < cut:
        raise MomentError(
            f"an audit looks at time that the model has not learned from, from {manifest.trained_until} on, got "
            f"--since {format_instant(since)}; give a later time, or audit a model trained until an earlier one"
        )
    begin, horizon_days = since or cut, manifest.horizon_days
    data_end = payments_end(histories, now)
    end = matured_end(histories, horizon_days, data_end)
    moments = sample_moments(histories, begin, end, horizon_days, horizon_days, data_end, manifest.settings["seed"])
    if not len(moments):
        raise HistoryError(
            f"an audit needs outcomes from {format_instant(begin)} on that have matured, got none until "
            f"{format_instant(end)}; give an earlier --since, or train with an earlier --until"
        )
    return moments


def audit_portfolio(
    portfolio: Portfolio, histories: Histories, scorer: Scorer, moments: Moments, on_scored: Callable[[int], None]
) -> AuditReport:
    """Audit every audit column of a portfolio.

    Args:
        portfolio: the checked portfolio, which holds the audit columns.
        histories: the same, packed; they do not.
        scorer: the prepared bundle.
        moments: at which to score.
        on_scored: told the number of moments scored, for progress.

    Raises:
        SettingsError: the portfolio declares no audit column.
    """
    if not portfolio.settings.audit:
        raise SettingsError(
            "an audit needs audit columns, the portfolio declares none; list further columns of accounts under "
            "[attributes] in portfolio.toml, as audit = [...]"
        )
    found = score_moments(scorer, histories, moments, on_scored=on_scored)
    audited, seed = _audited(found), int(scorer.bundle.manifest.settings["seed"])
    as_of = found.moments.as_of
    return AuditReport(
        model=scorer.bundle.label,
        since=format_instant(int(as_of.min())),
        until=format_instant(int(as_of.max())),
        moments=len(as_of),
        columns=tuple(
            audit_column(column, _values(portfolio, histories, column, found.moments), audited, seed)
            for column in portfolio.settings.audit
        ),
    )


def _audited(found: Scored) -> Audited:
    scores = found.scores
    value = scores["uplift"].fillna(scores["expected_amount"]).to_numpy(np.float64)
    return Audited(
        account=found.moments.account,
        p_pay=found.p_pay,
        expected_amount=found.expected_amount,
        selected=top_tenth(scores["priority"].to_numpy(np.float64), value),
        contacted=scores["best_channel"].to_numpy(object) != NO_CHANNEL,
        paid=found.paid,
        net_amount=found.net_amount,
    )


def _values(portfolio: Portfolio, histories: Histories, column: str, moments: Moments) -> Texts:
    """The group of each moment's account, `(n,)`; small groups are pooled among the accounts that have a moment."""
    by_account = portfolio.tables["accounts"].set_index("account_id")[column]
    present, place = np.unique(moments.account, return_inverse=True)
    values = by_account.reindex(pd.Index(histories.accounts.account_id[present])).to_numpy(object)
    return pool(values)[place]
