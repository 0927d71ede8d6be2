"""What tests of several stages share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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


def pytest_collection_modifyitems(items):
    """Keep a module's tests, and all whole runs of the workflow, on one worker: they share costly fixtures."""
    for item in items:
        whole_runs = item.path.parent.name == "workflow"
        item.add_marker(pytest.mark.xdist_group("workflow" if whole_runs else str(item.path)))
