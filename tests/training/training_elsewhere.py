"""Trains the tests' model in a process of its own, with another number of threads, on histories left in a folder."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import msgspec
from rich.progress import Progress

from tests.training.world import quick_settings, task
from training.bundle import write_bundle
from training.train import train

if __name__ == "__main__":
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    histories = pickle.loads((folder / "histories").read_bytes())  # noqa: S301 - written by the test itself
    settings = msgspec.structs.replace(quick_settings(), threads=threads)
    write_bundle(train(histories, settings, task(), Progress(disable=True)).bundle, folder / "bundle")
