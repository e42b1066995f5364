"""An engine: one immutable bundle and the portfolio's settings as they are now, ready to answer requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.histories import pack
from features.portfolio import portfolio_from_frames
from features.settings import PortfolioSettings
from features.units import parse_instant
from serving import allocation
from serving.history_lines import history_lines
from serving.languages.language import LANGUAGES, language_called
from serving.reasons import explain
from serving.requests import RequestTypes, request_types
from serving.scoring import Scorer, check_match, check_own_history, prepare_scorer, score
from training.bundle import Bundle


@dataclass(frozen=True)
class Engine:
    """What scores: shared by all requests that began while it was in service."""

    scorer: Scorer
    settings: PortfolioSettings
    types: RequestTypes

    @property
    def label(self) -> str:
        """The name and version of the model, as scores carry it."""
        return self.scorer.bundle.label


def make_engine(bundle: Bundle, settings: PortfolioSettings | None = None) -> Engine:
    """Make an engine; `settings` are the bundle's own where none are given.

    Raises:
        BundleError: the settings have other channels than the bundle, or lack an attribute that it reads; or the bundle
            compares accounts with the whole portfolio, which no request holds.
    """
    scorer, current = prepare_scorer(bundle), settings or bundle.manifest.portfolio
    check_match(scorer, current)
    check_own_history(scorer)
    return Engine(scorer, current, request_types(current))


def warm_up(engine: Engine) -> None:
    """Score and explain one made-up account, and solve a queue, so that no request waits for code to be compiled."""
    import pandas as pd

    settings, as_of = engine.settings, parse_instant("2000-02-01")
    account = {"account_id": "-", "opened_at": "2000-01-01", "due_on": None, "balance": 1, "segment": "-"}
    others = dict.fromkeys(settings.categorical + settings.audit, "-")
    accounts = pd.DataFrame([account | dict.fromkeys(settings.numeric, 0.0) | others])
    frames = {"accounts": accounts, "contacts": pd.DataFrame(), "payments": pd.DataFrame()}
    histories = pack(portfolio_from_frames(frames, settings), whole=False)
    score(engine.scorer, histories, as_of)
    explain(engine.scorer, histories, np.array([0]), as_of)
    for tag in LANGUAGES:
        history_lines(histories, np.array([0]), as_of, language_called(tag))
    allocation.warm_up()
