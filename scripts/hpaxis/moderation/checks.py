"""Checks of a model's entry in the config: on names when the workflow is planned, on data before a fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpaxis.moderation.covariance import cluster_problems
from hpaxis.moderation.design import (
    MINIMUM_PER_ARM,
    complete_cases,
    data_problems,
    name_problems,
    prepared,
    same_quantity,
)
from hpaxis.moderation.entries import entry_columns, model_rows, scaled_name, spec_of
from hpaxis.problems import Problem, closest
from hpaxis.schemas import load, with_defaults

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.settings import ModerationSettings


def check_model(
    name: str,
    entry: Mapping[str, Any],
    columns: Collection[str] | None = None,
    arms: Sequence[str] = (),
    table: pd.DataFrame | None = None,
    config_file: str = "config",
    minimum_per_arm: int = MINIMUM_PER_ARM,
    types: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Return the problems of one entry of the config's models, all at once.

    ``columns`` are the names of cohort/analysis.tsv: enough to check names before anything has run. ``table``
    is that table itself; with it, rows are checked too: arms with too few people, a constant predictor, an
    outcome that leaked into a covariate under another name. ``types`` are the config's types of columns (number or
    category), where they are known.
    """
    entry = with_defaults(entry, load("config/model"))
    columns = list(table.columns if columns is None else columns)
    problems = _unknown_columns(entry, columns) + _disagreements(entry, arms) + _types(entry, types or {})
    spec = spec_of(entry, arms, minimum_per_arm=minimum_per_arm)
    known = [*columns, spec.predictor, *entry_columns(entry)]
    problems += name_problems(spec, known, config_file)
    if table is not None and not problems:
        data, _ = model_rows(table, entry, arms)
        cases, _ = complete_cases(prepared(data, spec), spec.columns)
        problems += data_problems(cases, spec, config_file, data)
    return [_placed(p, name, config_file) for p in problems]


def check_models(
    models: Mapping[str, Mapping[str, Any]],
    settings: ModerationSettings,
    columns: Collection[str],
    arms: Sequence[str],
    config_file: str = "config",
    types: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Return the problems of all models and their settings, as far as names tell, before there are data."""
    problems = []
    for name, entry in models.items():
        problems += check_model(name, entry, columns=columns, arms=arms, config_file=config_file, types=types)
    return problems + check_settings(settings, models, columns, config_file)


def check_settings(
    settings: ModerationSettings,
    models: Mapping[str, Mapping[str, Any]],
    columns: Collection[str],
    config_file: str = "config",
) -> list[Problem]:
    """Return the problems of the moderation section: the grid's columns, more than one primary model."""
    grid, problems = settings.multiverse, []
    named = [
        *grid.predictors,
        *(c for s in grid.covariates for c in s),
        *(c for k in grid.rows.values() for c in k),
    ]
    for name in dict.fromkeys(named):
        if name not in columns:
            remedy = f"correct the name, or declare it under cohort.columns{closest(name, columns)}"
            problems.append(
                Problem(
                    config_file,
                    "is not a column of the analysis table",
                    remedy,
                    column="moderation.multiverse",
                    value=name,
                )
            )
    primary = [name for name, entry in models.items() if entry["primary"]]
    if len(primary) > 1:
        remedy = "mark one model as primary: the one that answers the question"
        problems.append(Problem(config_file, "are all primary", remedy, column="models", value=", ".join(primary)))
    return problems


def _unknown_columns(entry: Mapping[str, Any], columns: Collection[str]) -> list[Problem]:
    return [
        Problem("config", "is not a column of the analysis table",
                f"correct the name, or declare it under cohort.columns{closest(c, columns)}", column=c)
        for c in entry_columns(entry)
        if c not in columns
    ]  # fmt: skip


def _disagreements(entry: Mapping[str, Any], arms: Sequence[str]) -> list[Problem]:
    """Keys of an entry that contradict each other."""
    problems = []

    def add(what: str, remedy: str, column: str | None = None, value: object = None) -> None:
        problems.append(Problem("config", what, remedy, column=column, value=value))

    problems += cluster_problems(entry["covariance"], entry["cluster"], "config")
    roles = {"outcome": entry["outcome"], "predictor": entry["predictor"], "moderator": entry["moderator"]}
    roles |= {f"covariate {c}": c for c in entry["covariates"]}
    for key in ("mediator", "mechanism", "received", "dose"):
        for role, column in roles.items():
            if entry[key] is not None and entry[key] == column:
                add(f"is the {role} too", "name another column, or leave it out", key, column)
    for key in ("mediator", "mechanism"):
        if entry[key] is not None and same_quantity(entry[key], entry["outcome"]):
            add(f"is the outcome {entry['outcome']} in another form", "name another column", key, entry[key])
    if entry["received"] is not None and arms and entry["moderator"] != "arm":
        add("needs the arm as moderator", "leave received out", "received", entry["received"])
    if entry["moderator"] == "arm" and arms and entry["reference"] not in (None, *arms):
        remedy = f"use one of {', '.join(arms)}{closest(entry['reference'], arms)}"
        add("is not an arm of this study", remedy, "reference", entry["reference"])
    if entry["scale"] != "beta":
        sibling = scaled_name(entry["predictor"], "m_value")
        if not entry["predictor"].endswith("_beta"):
            add(f"has no scale {entry['scale']}", f"name an index that ends in _beta (its {sibling} is read)",
                "predictor", entry["predictor"])  # fmt: skip
    return problems


def _types(entry: Mapping[str, Any], types: Mapping[str, str]) -> list[Problem]:
    """Columns that must be numbers but are declared as categories; a member's column may carry its role before it."""
    problems = []
    for role in ("outcome", "predictor", "mediator", "mechanism", "dose", "received"):
        column = entry[role]
        own = None if column is None else column.removeprefix("child_").removeprefix("parent_")
        if own is not None and types.get(column, types.get(own)) == "category":
            remedy = "code it 0 and 1 and declare it as number" if role == "received" else "name a column of numbers"
            problems.append(Problem("config", "is declared as category, but must be a number", remedy, column=role,
                                    value=column))  # fmt: skip
    return problems


def _placed(problem: Problem, name: str, config_file: str) -> Problem:
    """Say where in the config the problem is."""
    value = problem.column if problem.value is None else f"{problem.column}: {problem.value}"
    return Problem(config_file, problem.what, problem.remedy, column=f"models.{name}", value=value)
