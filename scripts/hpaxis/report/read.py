"""Read what a run left under its results folder into what the page is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpaxis.problems import raise_if_any
from hpaxis.report.models import ModelResult
from hpaxis.report.provenance import versions
from hpaxis.report.run import Run
from hpaxis.report.series import TABLES
from hpaxis.sheets import empty_sheet, read_sheet, sheet_schema
from hpaxis.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.settings import Config

# Columns of a model's tables that hold names, even where a name is a number.
NAMES = ("moderator", "contrast", "comparison", "reference", "arm")


def read_run(files: Mapping[str, Any], config: Config, snps: int = 0, genome: str = "unchecked") -> Run:
    """Return the `Run` of the files.

    ``files`` maps sheet, libraries, levels, concordance, analysis, attrition, audit and checksums to a path each,
    and cortisol, models and figures to lists of paths; what a study lacks (saliva, hair, models) is empty. A table's
    name is its file's; a model is the folder of its tables; a figure stands in the folder of its stage, or of its
    model under ``models``. ``config`` has its defaults filled. Raises `hpaxis.problems.InputError` if the sheet is
    not what it was when the run was planned.
    """
    schema = sheet_schema("libraries")
    sheet, problems = read_sheet(files["sheet"], schema) if files["sheet"] else (empty_sheet(schema), [])
    raise_if_any(problems)
    figures = {stage: {} for stage in ("moderation", "cohort", "methylation", "cortisol", "programme")}
    figures["models"] = {name: {} for name in config.models}
    for path in map(Path, files["figures"]):
        text = path.read_text(encoding="utf-8")
        if path.parent.parent.name == "models":
            figures["models"][path.parent.name][path.stem] = text
        else:
            figures[path.parent.name][path.stem] = text
    cortisol = {Path(path).stem: read_table(path) for path in files["cortisol"]}
    series = {name: cortisol.pop(name) for name in TABLES if name in cortisol}
    return Run(
        config=config,
        sheet=sheet,
        **{
            name: read_table(files[name]) if files[name] else None
            for name in ("libraries", "levels", "concordance", "analysis", "attrition", "audit", "checksums")
        },
        cortisol=cortisol or None,
        series=series or None,
        results=read_results(files["models"], config.models, figures["models"]),
        figures=figures,
        software=versions(),
        snps=snps,
        genome=genome,
        instrument=read_table(files["instrument"]) if files.get("instrument") else None,
        programme={Path(path).stem: read_table(path) for path in files.get("programme", [])},
        truth=read_table(files["truth"]) if files.get("truth") else None,
        effects=read_table(files["effects"]) if files.get("effects") else None,
    )


def read_results(
    paths: Iterable[Path | str],
    models: Mapping[str, dict[str, Any]],
    figures: Mapping[str, dict[str, str]] | None = None,
) -> tuple[ModelResult, ...]:
    """Return the `ModelResult` of each model of the config, in its order.

    ``paths``: tables, each in the folder of its model; ``models``: name to entry; ``figures``: name to figures.
    """
    tables = {name: {} for name in models}
    for path in map(Path, paths):
        tables[path.parent.name][path.stem] = read_table(path, text=NAMES)
    drawn = figures or {name: {} for name in models}
    return tuple(
        ModelResult(name, entry, tables[name], drawn[name], _refusal(tables[name])) for name, entry in models.items()
    )


def _refusal(tables: Mapping[str, pd.DataFrame]) -> tuple[str, ...]:
    refused = tables.get("refused")
    return () if refused is None or refused.empty else tuple(refused["problem"])
