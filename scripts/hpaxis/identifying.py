"""What would tell who a person is: names and dates of birth where a study should only have pseudonyms and groups."""

import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

import pandas as pd

from hpaxis.problems import Problem

# Columns of the sheets that name a person or a visit. Plates may well be called after the day they were run.
PERSON = {
    "participants": ("participant_id", "dyad_id"),
    "libraries": ("library_id", "participant_id", "timepoint"),
    "hair": ("hair_id", "participant_id", "timepoint"),
    "saliva_cortisol": ("saliva_id", "participant_id", "timepoint"),
}
PSEUDONYMS = ("participant_id", "dyad_id")
# A category with at least this many rows whose values are mostly different names people, not groups.
MANY = 12
YEAR_FIRST = re.compile(r"(?<!\d)((?:19|20)\d\d)([-/._]?)(\d{1,2})\2(\d{1,2})(?!\d)")
YEAR_LAST = re.compile(r"(?<!\d)(\d{1,2})([-/._]?)(\d{1,2})\2((?:19|20)\d\d)(?!\d)")
WORDS = re.compile(r"[^\W\d_]{2,}(?:[ ,.'’-]+[^\W\d_]{2,})+")


def holds_date(text: object) -> bool:
    """Whether a day of the years 1900 to 2099 stands in a text, as 2019-03-14, 14.03.2019, 20190314 and the like."""
    text = str(text)
    parts = [(y, m, d) for y, mark, m, d in YEAR_FIRST.findall(text) if mark or len(m) == len(d) == 2]
    for first, mark, second, year in YEAR_LAST.findall(text):
        if mark or len(first) == len(second) == 2:
            parts += [(year, first, second), (year, second, first)]
    return any(_is_day(*map(int, part)) for part in parts)


def tellable(value: object) -> object:
    """Return a cell for an error line, or None where it may be a name or a date and must not be repeated."""
    return None if holds_date(value) or WORDS.fullmatch(str(value).strip()) else value


def identifying_problems(
    tables: Mapping[str, pd.DataFrame],
    paths: Mapping[str, Any],
    columns: Mapping[str, str],
    clusters: Collection[str | None] = (),
) -> list[Problem]:
    """Return a problem for each cell that looks like a date or a name; the cell itself is never repeated.

    ``tables`` and ``paths`` map participants, libraries, hair and saliva_cortisol to sheet and file; ``columns`` are
    the study's own columns of participants (name to number or category), ``clusters`` those of them that models use
    as clusters, which may well have as many values as there are families.
    """
    problems = []
    for sheet, names in PERSON.items():
        for column in names if sheet in tables else ():
            problems += _dates(tables[sheet], paths[sheet], column)
    people = tables["participants"]
    for column in PSEUDONYMS:
        for row in people.loc[people[column].notna() & ~people[column].str.contains(r"\d", na=True), "row"]:
            what, remedy = "holds no digit, so it may be a name (not repeated here)", "give a numbered pseudonym"
            problems.append(Problem(paths["participants"], what, remedy, int(row), column))
    for column, kind in columns.items():
        problems += _dates(people, paths["participants"], column)
        if kind == "category" and column not in clusters:
            problems += _crowd(people[column], paths["participants"], column)
    return problems


def _dates(table: pd.DataFrame, path: str, column: str) -> list[Problem]:
    values = table[column].dropna()
    if pd.api.types.is_float_dtype(values):
        values = values[values % 1 == 0].astype("int64").astype("str")
    what = "looks like a date, which may tell who this is (not repeated here)"
    if column == "timepoint":
        remedy = "name the visit, such as month12"
    elif column in PSEUDONYMS or column.endswith("_id"):
        remedy = "give a pseudonym that no date can be read from"
    else:
        remedy = "give an age in months or another interval"
    rows = table.loc[values.index[[holds_date(v) for v in values]], "row"]
    return [Problem(path, what, remedy, int(row), column) for row in rows]


def _crowd(values: pd.Series, path: str, column: str) -> list[Problem]:
    values = values.dropna()
    if len(values) < MANY or values.nunique() <= len(values) / 2:
        return []
    what = f"has {values.nunique()} different values in {len(values)} rows: it names people, not groups"
    remedy = "take the column out, group its values, or name it as the cluster of a model"
    return [Problem(path, what, remedy, 1, column)]


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
