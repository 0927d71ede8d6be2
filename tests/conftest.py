"""What tests of several stages share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# One thread each, before numpy is imported: workers fill the cores already, and threads that wait for one spin.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_library, "1")


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data named by HPAXIS_DATA; tests that need it are skipped, visibly, without it."""
    folder = os.environ.get("HPAXIS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("HPAXIS_DATA names no folder of real data")
    return Path(folder)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """Keep a module's tests, and those that share a whole run of the workflow, on one worker.

    The whole runs come first, since they take longest. What runs the workflow or recovers a truth by it is `long`.
    """
    for item in items:
        if item.path.parent.name in ("workflow", "designs", "truth"):
            item.add_marker(pytest.mark.long)
        whole = item.path.parent.name == "workflow" and "finished" in item.fixturenames
        group = "finished" if whole else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.path.parent.name != "workflow")
