"""The same bundle as `mlflow models serve` serves it: a loader by MLflow's rules, which needs nothing of MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training.bundle import Bundle, read_bundle

#: A feature is called balance already.
BALANCE = "balance_owed"


class Model:
    """A bundle that predicts from a frame: its features in order, and the balance last."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, frame: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """The probability, the money, and the probability after each action, a row for each account."""
        matrix = frame.iloc[:, :-1].to_numpy(np.float32)
        found = self.bundle.predict(matrix, frame[BALANCE].to_numpy(np.float64))
        by_action = dict(zip(self.bundle.manifest.actions, found.p_pay_by_action.T, strict=True))
        return pd.DataFrame({"p_pay": found.p_pay, "expected_amount": found.expected_amount, **by_action})


def _load_pyfunc(path: str) -> Model:
    return Model(read_bundle(Path(path)))


def write_model(bundle_folder: Path, folder: Path) -> Path:
    """Lay the bundle down as MLflow wants a model; the folder."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle_folder, folder / "bundle")
    flavour = (
        "flavors:\n  python_function:\n    loader_module: experiments.benchmarks._rival_pyfunc\n"
        "    data: bundle\n    python_version: 3.11.0\n    env: {}\n"
    )
    (folder / "MLmodel").write_text(flavour, "utf-8")
    return folder
