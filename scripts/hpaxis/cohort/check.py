"""What the sheets say of participants, before anything runs. Each check returns problems and raises nothing."""

import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from hpaxis.identifying import tellable
from hpaxis.problems import Problem, closest

# What statistics packages and survey tools write where there is no value.
CODES = (*range(-9, 0), -66, -77, -88, -99, -666, -777, -888, -999, -9999, 77, 88, 99, 777, 888, 999, 7777, 8888, 9999,
         99999)  # fmt: skip


def check_sheets(study: Any) -> list[Problem]:
    """Return the problems of participants.tsv, alone and against what was collected from each participant."""
    return [
        *_check_participants(study),
        *_check_coverage(study),
        *_check_timepoints(study),
        *_check_spellings(study),
        *_check_codes(study),
    ]


def _check_timepoints(study: Any) -> list[Problem]:
    """Timepoints that differ only in their spelling, and those that the config names but no row has."""
    sheets = {"libraries": study.libraries[study.libraries["kind"] == "study"], "hair": study.hair,
              "saliva_cortisol": study.saliva_cortisol}  # fmt: skip
    found = pd.concat([table["timepoint"].dropna() for table in sheets.values()])
    if found.empty:
        return []
    settings, problems = study.config.cohort, []
    asked = [settings[key] for key in ("timepoint", "baseline") if settings[key] != "NA"]
    # What the config names is right; of the others, the spelling that most rows have.
    usual = _usual_spellings([*found, *asked * len(found)])
    for name, table in sheets.items():
        for row in table.dropna(subset=["timepoint"]).itertuples():
            right = usual[_folded(row.timepoint)]
            if row.timepoint != right:
                what = f"differs from {right!r} only in its spelling"
                problems.append(
                    Problem(study.config.sheets[name], what, f"did you mean {right!r}? Spell every row alike",
                            row.row, "timepoint", row.timepoint)
                )  # fmt: skip
    known = sorted({usual[_folded(t)] for t in found})
    for key in ("timepoint", "baseline"):
        if settings[key] != "NA" and settings[key] not in known:
            remedy = f"use one of {', '.join(known)}{closest(settings[key], known)}"
            what = "is the timepoint of no library, hair sample or saliva tube"
            problems.append(Problem("config", what, remedy, column=f"cohort.{key}", value=settings[key]))
    return problems


def _check_spellings(study: Any) -> list[Problem]:
    """Values of a category that differ only in case, spaces or leading zeros: two levels, or one misspelt?"""
    path, problems = study.config.sheets.participants, []
    for column, kind in study.config.cohort.columns.items():
        if kind != "category" or column not in study.participants:
            continue
        table = study.participants.dropna(subset=[column])
        usual = _usual_spellings(table[column])
        for row in table.itertuples():
            value = getattr(row, column)
            right = usual[_folded(value)]
            if value != right:
                what = f"differs from {tellable(right)!r} only in case, marks or leading zeros"
                problems.append(
                    Problem(path, what, "spell them alike, or rename one if they are two", row.row, column,
                            tellable(value))
                )  # fmt: skip
    return problems + _check_plate_names(study)


def _check_plate_names(study: Any) -> list[Problem]:
    """Plates of libraries that differ only in case or leading zeros: two plates, or one misspelt?"""
    table = study.libraries.dropna(subset=["plate"])
    spellings = table["plate"].str.casefold().str.replace(r"(?<!\d)0+(?=\d)", "", regex=True)
    problems = []
    for _, rows in table.groupby(spellings):
        usual = rows["plate"].value_counts().sort_index().idxmax()
        for row in rows[rows["plate"] != usual].itertuples():
            what = f"differs from {usual!r} only in case or leading zeros"
            remedy = "spell them alike, or rename one if they are two"
            problems.append(Problem(study.config.sheets.libraries, what, remedy, row.row, "plate", row.plate))
    return problems


def _folded(text: object) -> str:
    """A value without what a slip of typing changes: case, spaces and marks, leading zeros of its numbers."""
    plain = re.sub(r"[\s_.-]+", "", str(text).casefold())
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain)


def _usual_spellings(values: Iterable[str]) -> dict[str, str]:
    """Map each value's folded form to its most frequent spelling (the first in order where they tie)."""
    counts = pd.Series(list(values), dtype="str").value_counts().sort_index(kind="stable")
    counts = counts.sort_values(ascending=False, kind="stable")
    usual: dict[str, str] = {}
    for value in counts.index:
        usual.setdefault(_folded(value), value)
    return usual


def _check_codes(study: Any) -> list[Problem]:
    """Numbers that look like codes for a missing value and lie far from the rest of their column."""
    settings, path, problems = study.config.cohort, study.config.sheets.participants, []
    real = set(settings.not_missing)
    doses = {entry["dose"] for entry in study.models.values()} - {None}
    for column in settings.columns:
        if column not in study.participants:
            continue
        values = pd.to_numeric(study.participants[column], errors="coerce")
        age = "age" in column.casefold().split("_")
        below = (values < 0) & (age or column in doses)
        for row, value in zip(study.participants.loc[below, "row"], values[below], strict=True):
            remedy, what = "correct it, or write NA", "an age" if age else "a model's dose"
            problems.append(Problem(path, f"is below 0, and is {what}", remedy, int(row), column, f"{value:g}"))
        suspects = values.isin([c for c in CODES if c not in real])
        rest = values[~suspects].dropna()
        if not suspects.any() or rest.empty:
            continue
        room = 3 * max(rest.std(ddof=0), 0.05 * rest.abs().max())
        far = suspects & ((values < rest.min() - room) | (values > rest.max() + room))
        far |= suspects & (values < 0) & (rest.min() >= 0)
        for row, value in zip(study.participants.loc[far, "row"], values[far], strict=True):
            what = f"looks like a code for a missing value: the others lie between {rest.min():g} and {rest.max():g}"
            remedy = f"write NA, declare the code (cohort.missing: [{value:g}]), or confirm it (cohort.not_missing)"
            problems.append(Problem(path, what, remedy, int(row), column, f"{value:g}"))
    return problems


def _check_participants(study: Any) -> list[Problem]:
    path, arms, table = study.config.sheets.participants, study.config.arms, study.participants
    problems = []
    for row in table.itertuples():
        if pd.notna(row.arm) and row.arm not in arms:
            remedy = f"use one of the config's arms: {', '.join(arms)}{closest(row.arm, arms)}"
            problems.append(Problem(path, "is not an arm of this study", remedy, row.row, "arm", tellable(row.arm)))
    known = table.dropna(subset=["dyad_id"])
    twice, arms_of = known.duplicated(["dyad_id", "role"]), known.groupby("dyad_id")["arm"].transform("nunique")
    doubtful = known.loc[twice | (arms_of > 1), "dyad_id"]
    for dyad, members in known[known["dyad_id"].isin(doubtful)].groupby("dyad_id"):
        for role in ("child", "parent"):
            if (members["role"] == role).sum() > 1:
                what = f"has more than one {role}"
                remedy = "a dyad is one child and one parent: correct dyad_id or role"
                problems.append(Problem(path, what, remedy, int(members["row"].iloc[-1]), "dyad_id", dyad))
        if members["arm"].nunique() > 1:
            remedy = "members of a dyad are randomised together: correct one of them"
            problems.append(Problem(path, "is in two arms", remedy, int(members["row"].iloc[-1]), "dyad_id", dyad))
    return problems


def _check_coverage(study: Any) -> list[Problem]:
    """A participant without saliva or hair is an error unless the sheet says that it is missing."""
    path, problems = study.config.sheets.participants, []
    with_saliva, with_hair = (study.config.sheets[name] is not None for name in ("libraries", "hair"))
    sampled = study.libraries.loc[study.libraries["kind"] == "study", "participant_id"]
    saliva = set(sampled.dropna()) if with_saliva else None
    hair = set(study.hair["participant_id"].dropna()) if with_hair else None
    for row in study.participants.itertuples():
        said = set(str(row.missing).split(";")) if pd.notna(row.missing) else set()
        for what, have, sheet in (("saliva", saliva, "libraries.tsv"), ("hair", hair, "hair.tsv")):
            if have is None or pd.isna(row.participant_id):
                continue
            if row.participant_id not in have and what not in said:
                noun = "library" if what == "saliva" else "hair sample"
                remedy = f"add the row to {sheet}, or write {what} in the column missing"
                problems.append(Problem(path, f"has no {noun}", remedy, row.row, "participant_id", row.participant_id))
            if row.participant_id in have and what in said:
                remedy = f"remove the word, or the row in {sheet}"
                problems.append(
                    Problem(
                        path,
                        f"is declared missing, but is in {sheet}",
                        remedy,
                        row.row,
                        "missing",
                        what,
                    )
                )
    return problems
