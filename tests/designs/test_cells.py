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
