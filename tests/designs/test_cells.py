"""The search for counts of few people finds them, and takes nothing else for people."""

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import cells


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"n_below": [3], "n": [40]}, True),
        ({"n_below": [37], "n": [40]}, True),
        ({"n_below": [12], "n": [40]}, False),
        ({"n_below": [0], "n": [40]}, False),
        ({"versions": [3], "level": [2], "value": [4.0]}, False),
        ({"Standards": [2], "0% controls": [1], "n_replicated": [2]}, False),
        ({"check": ["single_deletions"], "count": [2], "total": [40]}, True),
        ({"check": ["region"], "count": [38], "total": [40]}, True),
        ({"check": ["multiverse_share"], "count": [2], "total": [90]}, False),
    ],
)
def test_tables_that_count_few_people_or_all_but_few_are_found(columns, found):
    assert bool(cells.table_faults(pd.DataFrame(columns), "a table")) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Of these, 3 people lie below.", True),
        ("Above it are 38 of 40 children.", True),
        ("Of these, 20 of 40 children lie below.", False),
        ("There are 3 plates.", False),
        ("38 of 40 children are complete cases.", False),
    ],
)
def test_sentences_that_count_few_people_are_found(text, found):
    assert bool(cells.text_faults(text, "a page")) is found


def test_what_an_arm_enrolled_is_shown_wherever_none_of_it_was_lost():
    """Four in each arm: 4 in the flow tells nothing new; 3, or 4 people anywhere else, does."""
    four = frozenset({4})
    assert not cells.table_faults(pd.DataFrame({"stays": [4, 4]}), "the flow", four)
    assert cells.table_faults(pd.DataFrame({"stays": [4, 3]}), "the flow", four)
    assert cells.table_faults(pd.DataFrame({"n_below": [4], "n": [40]}), "the region", four)
    assert not cells.svg_faults("<text>n = 4</text>", "flow.svg", four)
    assert cells.svg_faults("<text>n = 3</text>", "flow.svg", four) and cells.svg_faults(
        "<text>n = 4</text>", "flow.svg"
    )
