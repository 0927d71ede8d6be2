"""What the sheets say of participants, before anything runs. Each check returns problems and raises nothing."""

import pandas as pd

from hpaxis.identifying import tellable
from hpaxis.problems import Problem, closest


def check_sheets(study):
    """Return the problems of participants.tsv, alone and against what was collected from each participant."""
    return [*_check_participants(study), *_check_coverage(study)]


def _check_participants(study):
    path, arms, table = study.config["sheets"]["participants"], study.config["arms"], study.participants
    problems = []
    for row in table.itertuples():
        if pd.notna(row.arm) and row.arm not in arms:
            remedy = f"use one of the config's arms: {', '.join(arms)}{closest(row.arm, arms)}"
            problems.append(Problem(path, "is not an arm of this study", remedy, row.row, "arm", tellable(row.arm)))
    for dyad, members in table.dropna(subset=["dyad_id"]).groupby("dyad_id"):
        for role in ("child", "parent"):
            if (members["role"] == role).sum() > 1:
                what = f"has more than one {role}"
                remedy = "a dyad is one child and one parent: correct dyad_id or role"
                problems.append(Problem(path, what, remedy, int(members["row"].iloc[-1]), "dyad_id", dyad))
        if members["arm"].nunique() > 1:
            remedy = "members of a dyad are randomised together: correct one of them"
            problems.append(Problem(path, "is in two arms", remedy, int(members["row"].iloc[-1]), "dyad_id", dyad))
    return problems


def _check_coverage(study):
    """A participant without saliva or hair is an error unless the sheet says that it is missing."""
    path, problems = study.config["sheets"]["participants"], []
    saliva = set(study.libraries.loc[study.libraries["kind"] == "study", "participant_id"].dropna())
    hair = set(study.hair["participant_id"].dropna())
    saliva = saliva if study.config["sheets"]["libraries"] is not None else None
    hair = hair if study.config["sheets"]["hair"] is not None else None
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
                        f"is said to be missing, but stands in {sheet}",
                        remedy,
                        row.row,
                        "missing",
                        what,
                    )
                )
    return problems
