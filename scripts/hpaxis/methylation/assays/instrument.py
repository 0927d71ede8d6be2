"""The error of a pyrosequencer's readings, from libraries that were run in several wells.

A reading is y = level + (an error that all positions of its run share) + (an error of its own). Both are estimated from
libraries run in several wells, so positions of one run are not taken as independent. Everything is a fraction here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpaxis.methylation.assays.pyrosequencer_export import CONTROL_LABEL
from hpaxis.problems import InputError, Problem

# A standard deviation from fewer degrees of freedom is too poorly known (at 10, by about a fifth) to carry an interval.
MIN_DF = 10


@dataclass(frozen=True)
class InstrumentError:
    """Standard deviations of one reading: its own and its run's; degrees of freedom; where both come from."""

    position_sd: float
    shared_sd: float
    df: float
    n_replicated: int
    source: str

    def variance(self, runs, weights):
        """Variance of a weighted sum of readings; ``runs``: which run each is of."""
        shared = pd.Series(weights).groupby(np.asarray(runs)).sum().to_numpy()
        return self.position_sd**2 * np.sum(np.square(weights)) + self.shared_sd**2 * np.sum(shared**2)


def usable(readings):
    """Readings that count: of a CpG, with a number, not failed; as fractions, with the run that each is of."""
    # Without wells, a sample's second reading of a position is its second run.
    order = readings.groupby(["library_id", "assay", "cpg_id", "well"], dropna=False).cumcount().astype("str")
    names = [readings[c].astype("object").fillna("").astype("str") for c in ("assay", "well")]
    table = readings.assign(level=readings["percent"] / 100, run=names[0] + " " + names[1] + " " + order)
    return table[table["level"].notna() & (table["quality"] != "failed")]


def instrument_error(readings, settings):
    """`InstrumentError` of a study: as the config states it (percentage points), or from libraries in several wells.

    Within a library and assay, runs × positions: the interaction's mean square estimates the variance of a position,
    the runs' mean square less it, over the number of positions, the variance that a run's positions share (two-way
    analysis of variance). Raises `InputError` where neither the config nor enough replicates tell it.
    """
    found = usable(readings)
    found = found[found["cpg_id"] != CONTROL_LABEL]
    rest, df_rest, between, runs, replicated = 0.0, 0, [], 0, set()
    for (library, _), rows in found.groupby(["library_id", "assay"], dropna=False):
        grid = rows.pivot_table(index="run", columns="cpg_id", values="level").dropna(axis=1).to_numpy()
        r, k = grid.shape
        if r < 2 or k < 2:
            continue
        left = grid - grid.mean(axis=1, keepdims=True) - grid.mean(axis=0) + grid.mean()
        rest, df_rest = rest + np.sum(left**2), df_rest + (r - 1) * (k - 1)
        between.append((np.sum((grid.mean(axis=1) - grid.mean()) ** 2), r - 1, k))
        runs, replicated = runs + r - 1, replicated | {library}
    enough = runs >= MIN_DF
    stated, shared = settings["position_sd"], settings["shared_sd"]
    if stated is None and not enough:
        what = f"is not given, and {runs} replicate runs are too few to estimate it from"
        remedy = f"run at least {MIN_DF} libraries in two wells, or state the SD of one position in percentage points"
        raise InputError(Problem("config", what, remedy, column="methylation.pyrosequencing.position_sd"))
    own = stated / 100 if stated is not None else float(np.sqrt(rest / df_rest))
    if shared is not None:
        common = shared / 100
    elif enough:
        variance = rest / df_rest
        common = float(np.sqrt(max(sum(ss - df * variance / k for ss, df, k in between) / runs, 0.0)))
    else:
        common = 0.0
    told = ["config" if stated is not None else "replicates"]
    told.append("config" if shared is not None else "replicates" if enough else "none: taken as independent")
    df = runs if "replicates" in told else np.inf
    return InstrumentError(own, common, df, len(replicated), f"position: {told[0]}; shared: {told[1]}")
