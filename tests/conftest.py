"""What every test runs in: no settings from outside, an odd time zone, real data where it is present."""

from __future__ import annotations

import os
import time
from pathlib import Path

import hypothesis
import pytest

import recoup

REAL_DATA = "RECOUP_REAL_DATA"

# At import, before any room is: nothing may depend on the settings or the clock of whoever runs the tests.
for _name in [name for name in os.environ if name.startswith(("RECOUP_", "MLFLOW_", "BENTOML_"))]:
    if _name != REAL_DATA:
        del os.environ[_name]
recoup.set_library_defaults()
os.environ["TZ"] = "Asia/Kathmandu"
time.tzset()

# A busy machine is not a failure. The suite looks at the same examples each time, so that it fails by a change and
# never by chance; `make test ARGS=--hypothesis-profile=explore` looks for others.
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.register_profile("recoup", deadline=None, derandomize=True)
hypothesis.settings.load_profile("recoup")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs real data where there is none."""
    if item.get_closest_marker("real_data") and not os.environ.get(REAL_DATA):
        pytest.skip(f"{REAL_DATA} names no folder")


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def real_data() -> Path:
    """The folder with real data; for tests marked `real_data`."""
    folder = Path(os.environ[REAL_DATA])
    assert folder.is_dir(), f"{REAL_DATA} must name a folder, got {folder}"
    return folder
