"""Which libraries share a job."""

import pytest

from hpaxis.methylation.counting.batches import batches

NAMES = [f"L{i:03d}" for i in range(94)]
SMALL = dict.fromkeys(NAMES, 1e6)


def test_small_libraries_share_jobs_and_large_ones_do_not():
    found = batches(SMALL | {"deep": 9e6}, most=12, small=5e6)
    assert sorted(name for names in found.values() for name in names) == NAMES
    assert len(found) == 8 and max(map(len, found.values())) < 24


@pytest.mark.parametrize(("sizes", "most"), [(SMALL, 1), ({"only": 1}, 12), ({}, 12)])
def test_nothing_is_shared_where_nothing_can_be(sizes, most):
    assert batches(sizes, most, 5e6) == {}


def test_one_library_more_or_less_changes_one_batch():
    before = batches(SMALL, 12, 5e6)
    for after in (batches(SMALL | {"new": 1e6}, 12, 5e6), batches({n: 1e6 for n in NAMES if n != "L050"}, 12, 5e6)):
        assert sum(before[name] != after[name] for name in before) == 1
