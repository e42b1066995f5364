"""Audit columns: there for audits, and out of reach of every model."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from features.catalog import catalogue
from features.errors import SettingsError
from features.histories import pack
from features.portfolio import Portfolio, data_digest, portfolio_from_frames, without_audit
from features.settings import parse_settings
from tests.experiments.worlds import world
from tests.training.world import files, quick_settings, task
from training.bundle import write_bundle
from training.commands import training_key
from training.moments import Cuts
from training.train import train


@cache
def _portfolio(audit: tuple[str, ...], permuted: bool = False) -> Portfolio:
    """The world's portfolio with these audit columns; with their values among the accounts in another order."""
    frames = dict(world().frames)
    if permuted:
        accounts = frames["accounts"]
        order = np.random.default_rng(1).permutation(len(accounts))
        frames["accounts"] = accounts.assign(gender=accounts["gender"].to_numpy()[order])
    attributes = {"numeric": ["utilisation"], "audit": list(audit)}
    return portfolio_from_frames(frames, parse_settings({"name": "small", "attributes": attributes}, "small"))


CUTS = Cuts(0, 1, 2, 3, 4)


def _bundle(of: Portfolio, folder: Path) -> dict[str, bytes]:
    bundle = train(pack(of), quick_settings(), task(), Progress(disable=True)).bundle
    write_bundle(bundle, folder)
    return files(folder)


def test_an_audit_column_changes_no_byte_of_a_bundle(tmp_path: Path) -> None:
    bare = _bundle(_portfolio(()), tmp_path / "bare")
    assert _bundle(_portfolio(("gender",), permuted=True), tmp_path / "permuted") == bare
    assert b"gender" not in b"".join(bare.values())


def test_an_audit_column_is_in_no_feature_and_no_history() -> None:
    declared, bare = _portfolio(("gender",)), _portfolio(())
    assert catalogue(declared.settings) == catalogue(bare.settings)
    assert "gender" in declared.tables["accounts"]
    assert pack(declared).settings == bare.settings
    assert pack(declared).levels == pack(bare).levels


def test_an_audit_column_changes_neither_the_digest_of_the_data_nor_the_key_of_a_run() -> None:
    # Else an equal run would not be found again, and a manifest would tell of what it must not know.
    found = {
        (data_digest(one), training_key(one.settings, quick_settings(), task(), CUTS))
        for one in (_portfolio(()), *(without_audit(_portfolio(("gender",), turned)) for turned in (False, True)))
    }
    assert len(found) == 1


@pytest.mark.parametrize("use", ["numeric", "categorical"])
def test_a_column_is_for_audits_or_for_models_and_not_both(use: str) -> None:
    with pytest.raises(SettingsError, match="'gender' is listed twice"):
        parse_settings({"attributes": {use: ["gender"], "audit": ["gender"]}}, "any")


def test_settings_without_audit_are_otherwise_the_same() -> None:
    settings = _portfolio(("gender",)).settings
    assert replace(settings.without_audit, audit=("gender",)) == settings
