"""Shares of cell types in saliva, from marker CpGs whose levels in the pure types a panel's table tells."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm, t

from hpaxis.methylation.panels.panel import panel_folder
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.tables import read_table

FILE = "cell_types.tsv"
MARKERS = ("cpg_id", "cell_type", "level", "source")
COLUMNS = ("participant_id", "timepoint", "cell_type", "fraction", "fraction_se", "fraction_low", "fraction_high",
           "n_cpgs", "misfit_p")  # fmt: skip
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
    elif not problems and np.linalg.matrix_rank(_contrasts(grid.to_numpy()), tol=1e-6) < grid.shape[1] - 1:
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


def estimate_cell_mix(libraries, calls, markers, confidence):
    """Shares of cell types of each participant and timepoint.

    ``libraries``: methylation/libraries.tsv; ``calls``: library_id → its CpG table; ``markers``: see `read_cell_types`.
    Weighted least squares of the corrected, unclipped levels on the pure types' levels, shares between 0 and 1 that
    add up to 1, weights 1 / SE². The errors are those of the CpGs, widened by √(χ² / d.f.) where the fit is worse than
    they allow; ``misfit_p`` is the χ² test of that. Markers' levels count as known. Returns `COLUMNS`; NA where fewer
    CpGs were read than there are types.
    """
    grid = markers.pivot(index="cpg_id", columns="cell_type", values="level")
    study = libraries[(libraries["kind"] == "study")]
    rows = []
    for (participant, timepoint), mine in study.groupby(["participant_id", "timepoint"], sort=True):
        sound = mine.loc[mine["verdict"] != "fail", "library_id"]
        found = [calls[name][["cpg_id", "beta_unclipped", "beta_se"]] for name in sound]
        table = pd.concat(found) if found else pd.DataFrame(columns=["cpg_id", "beta_unclipped", "beta_se"])
        table = table[table["cpg_id"].isin(grid.index) & (table["beta_se"] > 0)].dropna()
        fitted = _fit(grid.loc[table["cpg_id"]].to_numpy(), table["beta_unclipped"].to_numpy(float),
                      table["beta_se"].to_numpy(float), confidence)  # fmt: skip
        for k, name in enumerate(grid.columns):
            values = dict(zip(COLUMNS[3:7], fitted[0][k])) if fitted else dict.fromkeys(COLUMNS[3:7], np.nan)
            rows.append({"participant_id": participant, "timepoint": timepoint, "cell_type": name, **values,
                         "n_cpgs": len(table), "misfit_p": fitted[1] if fitted else np.nan})  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _contrasts(levels):
    """Levels of every type but the last, less the last's: what a share moved from the last type changes."""
    return levels[:, :-1] - levels[:, -1:]


def _fit(levels, beta, se, confidence):
    """((fraction, se, low, high) by type, p of misfit), or None where the shares cannot be told."""
    size = levels.shape[1]
    if len(beta) < size or np.linalg.matrix_rank(_contrasts(levels), tol=1e-6) < size - 1:
        return None
    weighted, target = levels / se[:, None], beta / se
    shares = _least_squares(weighted, target)
    contrasts = _contrasts(levels) / se[:, None]
    inner = np.linalg.inv(contrasts.T @ contrasts)
    # The last type's share is one less the others'.
    spread = np.vstack([np.eye(size - 1), -np.ones(size - 1)])
    free = np.append(inner @ contrasts.T @ (target - levels[:, -1] / se), 0)
    free[-1] = 1 - free[:-1].sum()
    df = len(beta) - (size - 1)
    misfit = float(np.sum((target - weighted @ free) ** 2))
    scale = max(misfit / df, 1.0)
    error = np.sqrt(np.diag(spread @ inner @ spread.T) * scale)
    reach = (norm.ppf(0.5 + confidence / 2) if scale == 1 else t.ppf(0.5 + confidence / 2, df)) * error
    low, high = np.clip(shares - reach, 0, 1), np.clip(shares + reach, 0, 1)
    return list(zip(shares, error, low, high)), float(chi2.sf(misfit, df))


def _least_squares(weighted, target):
    """Least squares with shares of 0 or more that add up to 1: the best of all sets of types that may be present."""
    size = weighted.shape[1]
    best, least = None, np.inf
    for count in range(1, size + 1):
        for present in map(list, combinations(range(size), count)):
            part, last = weighted[:, present], weighted[:, present[-1]]
            shares = np.zeros(size)
            others = np.linalg.lstsq(part[:, :-1] - last[:, None], target - last, rcond=None)[0] if count > 1 else []
            shares[present] = np.append(others, 1 - np.sum(others))
            rest = np.sum((target - weighted @ shares) ** 2)
            if (shares >= -1e-12).all() and rest < least:
                best, least = np.clip(shares, 0, 1), rest
    return best
