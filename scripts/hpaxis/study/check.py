"""All that is wrong with a study, before anything runs: each stage is asked about what it will read.

A stage has ``check_sheets(study)`` for what its sheets say, and ``check_files(study, elsewhere, checked)``
for the files that they name; both return problems and never raise for a fault of the inputs.
"""

import sys
from pathlib import Path
from typing import Any

from hpaxis.identifying import identifying_problems
from hpaxis.problems import Problem, raise_if_any
from hpaxis.study.checked import CheckedFiles, Elsewhere
from hpaxis.study.study import SHEETS, Study, read_study


def load_study(
    config: dict[str, Any],
    config_file: str = "config",
    made_by_workflow: str | Path | None = None,
    cache: str | Path | None = None,
    stored: bool = False,
) -> Study:
    """Read a study and check all of it.

    ``made_by_workflow``: a folder whose files the workflow itself makes (the demo's reads), which are not
    asked for. ``cache``: a file that remembers which input files were read through without a problem.
    ``stored``: files that are not here are kept in a storage (of Snakemake's), where the jobs that read them check
    them; said in one line.
    Raises `InputError` with every problem of the config, the sheets, the panels and the files.
    """
    from hpaxis.cohort import check as cohort
    from hpaxis.cortisol import check as cortisol
    from hpaxis.methylation import check as methylation

    study, problems = read_study(config, config_file)
    if study is not None:
        identifying = _check_identifying(study)
        problems += identifying
        problems += methylation.check_panels(study.libraries, study.config.sheets.libraries)
        problems += _check_models(study, config_file)
        # What joins sheets and files repeats ids, as values or as hints: not while one of them may be a name.
        if not identifying:
            # With a sheet that could not be read, every row of the others would be at fault too.
            unread = {name for name in SHEETS if getattr(study, name).attrs.get("unread")}
            for stage in (cohort, methylation, cortisol) if not unread else ():
                problems += stage.check_sheets(study)
            elsewhere = Elsewhere(made_by_workflow, stored)
            checked = CheckedFiles(cache)
            for stage in (methylation, cortisol) if not unread else (methylation,):
                problems += stage.check_files(study, elsewhere, checked)
            if elsewhere.stored:
                print(
                    f"{len(elsewhere.stored)} input files are not here: they are taken from the storage, "
                    "and checked by the jobs that read them",
                    file=sys.stderr,
                )
            checked.save()
    raise_if_any(problems)
    assert study is not None  # without one there are problems
    return study


def _check_identifying(study: Study) -> list[Problem]:
    sheets = {name: getattr(study, name) for name in ("participants", "libraries", "hair", "saliva_cortisol")}
    clusters = {entry["cluster"] for entry in study.models.values()}
    return identifying_problems(sheets, study.config.sheets, study.config.cohort.columns, clusters)


def _check_models(study: Study, config_file: str) -> list[Problem]:
    """Return the problems of the models, as far as they can be told before there are data."""
    from hpaxis.cohort import analysis_columns
    from hpaxis.moderation.checks import check_models
    from hpaxis.programme.check import check_programme

    columns = analysis_columns(study)
    around = check_programme(study.config.programme, study.models, columns, config_file)
    if columns is None:
        return around
    types, arms = study.config.cohort.columns, study.config.arms
    models = check_models(study.models, study.config.moderation, columns, arms, config_file, types)
    return around + models + _check_absent(study)


def _check_absent(study: Study) -> list[Problem]:
    """Columns that a model names and the config declares, and participants.tsv does not have."""
    path, problems = str(study.config.sheets.participants), []
    absent = set(study.participants.attrs.get("absent", ())) & set(study.config.cohort.columns)
    for name, entry in study.models.items():
        for column in sorted(absent & {c.removeprefix("parent_").removeprefix("child_") for c in _texts(entry)}):
            remedy = f"add the column, empty (NA) where there are no values yet, or take it out of model {name}"
            problems.append(Problem(path, "has no such column, and a model names it", remedy, 1, column))
    return problems


def _texts(value: Any) -> set[str]:
    """Every text in the values of a model's entry, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {value} if isinstance(value, str) else set()
