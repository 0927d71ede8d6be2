"""The levels of CpGs that tell cell types apart: a panel's marker table, cell_types.tsv, and its checks."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.panels.panel import panel_folder
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.tables import read_table

FILE = "cell_types.tsv"
MARKERS = ("cpg_id", "cell_type", "level", "source")
TYPE = r"[a-z][a-z0-9_]{0,29}"


def read_cell_types(panels):
    """The marker tables of some panels together: cpg_id, cell_type, level (fraction), source; empty without any.

    ``panels``: name → set of its cpg_ids. A panel that has one keeps it as cell_types.tsv in its folder: one row per
    CpG and cell type. Raises `InputError` with every problem: columns, CpGs, levels, CpGs that lack a type, fewer
    CpGs than types, levels that cannot tell the types apart.
    """
    problems, tables = [], []
    for name in sorted(panels):
        path = panel_folder(name) / FILE
        if os.path.isfile(path):
            tables.append(_read_markers(path, panels[name], problems))
    raise_if_any(problems)
    if not tables:
        return pd.DataFrame(columns=list(MARKERS))
    table = pd.concat(tables, ignore_index=True)
    grid = table.pivot(index="cpg_id", columns="cell_type", values="level")
    where = FILE
    for cpg in grid.index[grid.isna().any(axis=1)]:
        remedy = "give one row per CpG and type"
        problems.append(Problem(where, "lacks a cell type that others have", remedy, value=cpg))
    if grid.shape[1] < 2:
        problems.append(Problem(where, "has one cell type", "give the level of each CpG in two or more types"))
    elif not problems and np.linalg.matrix_rank(contrasts(grid.to_numpy()), tol=1e-6) < grid.shape[1] - 1:
        remedy = "give more CpGs, at which the types differ"
        problems.append(Problem(where, "has CpGs that do not tell its cell types apart", remedy))
    raise_if_any(problems)
    return table


def _read_markers(path, known, problems):
    try:
        table = read_table(path, text=("cpg_id", "cell_type", "source"))
    except (OSError, ValueError):
        problems.append(Problem(str(path), "cannot be read", f"give a tab-separated table: {', '.join(MARKERS)}"))
        return pd.DataFrame(columns=list(MARKERS))
    missing = [c for c in MARKERS if c not in table.columns]
    for column in missing:
        problems.append(Problem(str(path), "column is missing", f"the columns are {', '.join(MARKERS)}", 1, column))
    if missing:
        return pd.DataFrame(columns=list(MARKERS))
    level = pd.to_numeric(table["level"], errors="coerce")
    faults = {
        "cpg_id": (~table["cpg_id"].isin(known), "is not in cpgs.tsv", "correct the id"),
        "cell_type": (~table["cell_type"].astype("str").str.fullmatch(TYPE), "is no name", "use a-z, digits and _"),
        "level": (~level.between(0, 1), "is no level", "give the pure type's level as a fraction, 0 to 1"),
        "source": (table["source"].isna(), "is missing", "say where the level is from"),
    }
    before = len(problems)
    for column, (wrong, what, remedy) in faults.items():
        for i in table.index[wrong]:
            problems.append(Problem(str(path), what, remedy, i + 2, column, str(table.loc[i, column])))
    for i in table.index[table.duplicated(["cpg_id", "cell_type"])]:
        problems.append(Problem(str(path), "stands twice", "keep one row", i + 2, "cpg_id", table.loc[i, "cpg_id"]))
    return table.assign(level=level)[list(MARKERS)] if len(problems) == before else table.iloc[:0][list(MARKERS)]


def cell_types(libraries):
    """Names of the cell types that study libraries' panels tell apart, in order; none where a table is at fault."""
    panels = libraries.loc[libraries["kind"] == "study", "panel"].dropna().unique()
    found = {}
    for name in sorted(panels):
        path = panel_folder(name) / FILE
        if os.path.isfile(path):
            try:
                found |= dict.fromkeys(read_table(path, text=("cell_type",))["cell_type"].dropna())
            except (OSError, KeyError, ValueError):
                return []
    return sorted(found)


def check_cell_types(libraries):
    """Problems of the marker tables of the panels that libraries name."""
    panels = {}
    for name in libraries["panel"].dropna().unique():
        path = Path(panel_folder(name)) / "cpgs.tsv"
        if os.path.isfile(path):  # which, unlike pathlib, takes a name that is too long for no file
            try:
                panels[name] = set(read_table(path, text=("cpg_id",))["cpg_id"])
            except (KeyError, ValueError):
                return []  # told of by the panel's own check
    try:
        read_cell_types(panels)
    except InputError as error:
        return error.problems
    return []


def contrasts(levels):
    """Levels of every type but the last, less the last's: what a share moved from the last type changes."""
    return levels[:, :-1] - levels[:, -1:]
