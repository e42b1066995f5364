"""Where benchmarks find real data, on machines that have it."""

from __future__ import annotations

import os
from pathlib import Path


def real_data(name: str) -> Path | None:
    """The folder of a real data set below `RECOUP_REAL_DATA`; None, after saying so, where it is not there."""
    root = os.environ.get("RECOUP_REAL_DATA")
    folder = Path(root) / name if root else None
    if folder is None or not folder.is_dir():
        print(f"skipped: {name} is not here; RECOUP_REAL_DATA names the folder of real data sets")
        return None
    return folder
