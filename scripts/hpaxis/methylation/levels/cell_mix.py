"""Shares of cell types in saliva, from marker CpGs whose levels in the pure types a panel's table tells."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm, t

from hpaxis.methylation.panels.cell_types import contrasts

COLUMNS = ("participant_id", "timepoint", "cell_type", "fraction", "fraction_se", "fraction_low", "fraction_high",
           "n_cpgs", "misfit_p")  # fmt: skip


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


def _fit(levels, beta, se, confidence):
    """((fraction, se, low, high) by type, p of misfit), or None where the shares cannot be told."""
    size = levels.shape[1]
    if len(beta) < size or np.linalg.matrix_rank(contrasts(levels), tol=1e-6) < size - 1:
        return None
    weighted, target = levels / se[:, None], beta / se
    shares = _least_squares(weighted, target)
    moved = contrasts(levels) / se[:, None]
    inner = np.linalg.inv(moved.T @ moved)
    # The last type's share is one less the others'.
    spread = np.vstack([np.eye(size - 1), -np.ones(size - 1)])
    free = np.append(inner @ moved.T @ (target - levels[:, -1] / se), 0)
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
