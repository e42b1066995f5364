"""The clock and the environment, for entry points alone: what is below them takes these as arguments."""

from __future__ import annotations

import getpass
import os
import time
from pathlib import Path


def now() -> int:
    """The present, as an instant."""
    return time.time_ns() // 1_000


def var_folder() -> Path:
    """Where the embedded stores and results are kept: `RECOUP_VAR`, else `var` in the working folder."""
    return Path(os.environ.get("RECOUP_VAR", "var"))


def tracking_uri() -> str:
    """Where MLflow keeps experiments and models: `MLFLOW_TRACKING_URI`, else a SQLite file in the var folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{var_folder().resolve()}/mlflow.db"


def store_url() -> str:
    """Where histories, the ledger and keys are kept: `RECOUP_STORE`, else a SQLite file in the var folder."""
    return os.environ.get("RECOUP_STORE") or f"sqlite:///{var_folder().resolve()}/store.db"


def user() -> str:
    """The name of the operating system's user; `unknown` where it has none, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
