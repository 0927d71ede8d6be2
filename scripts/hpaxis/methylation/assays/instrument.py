"""The error of a pyrosequencer's readings as a function of their level, from samples that were run in several wells.

A reading is y = level + (an error that all positions of its run share) + (an error of its own). Both grow with the
level up to the middle of the scale, so each is estimated within bands of levels (`BANDS`). An instrument that has a
floor writes 0 for whatever lies below it: such a reading is censored, and is used as "below the floor" in likelihoods
(`censored`), never as a measured 0. Everything is a fraction here.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

from hpaxis.methylation.assays.instrument_export import CONTROL_LABEL
from hpaxis.problems import InputError, Problem

# A standard deviation from fewer degrees of freedom is too poorly known (at 10, by about a fifth) to carry an interval.
MIN_DF = 10
# Within a band the error is taken as one: below 5 %, 5-20 %, 20-80 %, above.
BANDS = (0.0, 0.05, 0.2, 0.8, 1.0)
CENTRES = (0.025, 0.11, 0.5, 0.9)
ERROR_COLUMNS = ("level_low", "level_high", "position_sd", "shared_sd", "df", "n_replicated", "source")


@dataclass(frozen=True)
class InstrumentError:
    """What one reading is off by.

    ``position_sd`` and ``shared_sd``: standard deviation of a position and of its run, one per band; ``df`` and
    ``n_replicated``, degrees of freedom and samples in several wells of each; ``sources``: where each band's figures
    come from; ``shared_df``: replicate runs less samples; ``floor``: below this the instrument writes 0; ``profile``:
    cpg_id → its level over the mean of the study's CpGs, and ``spread``: SD of a sample's CpGs about that, as a share
    of its mean; both are only used where readings are censored.
    """

    position_sd: np.ndarray
    shared_sd: np.ndarray
    df: np.ndarray
    n_replicated: np.ndarray
    sources: list
    shared_df: float
    shared_source: str
    floor: float = 0.0
    profile: dict = field(default_factory=dict)
    spread: float = 0.0

    def sd(self, levels):
        """Standard deviation of a position's own error at each level."""
        return self.position_sd[band(levels)]

    def variance(self, runs, weights, levels):
        """Variance of a weighted sum of readings and its d.f. (Satterthwaite); ``runs``: which run each is of."""
        bands, weights = band(levels), np.asarray(weights, dtype=float)
        own = np.square(weights * self.position_sd[bands])
        reach = pd.Series(weights * self.shared_sd[bands]).groupby(np.asarray(runs)).sum().to_numpy()
        shared = float(np.sum(reach**2))
        total = float(own.sum()) + shared
        parts = [(own[bands == b].sum(), self.df[b]) for b in np.unique(bands)] + [(shared, self.shared_df)]
        squares = sum(v**2 / df for v, df in parts if v > 0)
        return total, (total**2 / squares if squares > 0 else np.inf)

    def table(self):
        """Rows of instrument.tsv: one per band."""
        rows = []
        for i, source in enumerate(self.sources):
            row = (BANDS[i], BANDS[i + 1], self.position_sd[i], self.shared_sd[i], self.df[i],
                   int(self.n_replicated[i]), f"position: {source}; shared: {self.shared_source}")  # fmt: skip
            rows.append(dict(zip(ERROR_COLUMNS, row)))
        return rows


def band(levels):
    """The band of each level."""
    return np.clip(np.searchsorted(BANDS, np.asarray(levels, dtype=float), side="right") - 1, 0, len(CENTRES) - 1)


def usable(readings, floor=0.0):
    """Readings that count: of a CpG, with a number, not failed; as fractions, with the run that each is of.

    ``censored``: whether only an upper limit is known, which ``level`` then is: the instrument's "< 1" or a reading
    at or below its ``floor``.
    """
    # Without wells, a sample's second reading of a position is its second run.
    order = readings.groupby(["library_id", "assay", "cpg_id", "well"], dropna=False).cumcount().astype("str")
    names = [readings[c].astype("object").fillna("").astype("str") for c in ("assay", "well")]
    table = readings.assign(level=readings["percent"] / 100, run=names[0] + " " + names[1] + " " + order)
    table = table[table["level"].notna() & (table["quality"] != "failed")]
    below = (table["below"] == "yes") if "below" in table.columns else pd.Series(False, index=table.index)
    low = (table["level"] <= 0) | (table["level"] < floor)
    return table.assign(
        censored=(below | low).to_numpy(bool), level=table["level"].where(~low | below, max(floor, 0.0))
    )


def find_floor(readings, stated=None):
    """Below which level the instrument writes 0: ``stated`` (percent), or found from the readings. A fraction.

    Readings of 0 are below half of the last printed digit, or below the smallest reading above 0 where that is larger:
    an instrument that never prints what lies between has a floor there. Without any reading of 0 there is none to know.
    """
    if stated is not None:
        return stated / 100
    percent = readings.loc[(readings["quality"] != "failed"), "percent"].dropna().to_numpy(dtype=float)
    above = percent[percent > 0]
    if not (percent <= 0).any() or not len(above):
        return 0.0
    step = next((10.0**-n for n in range(4) if np.allclose(above, above.round(n), atol=1e-9)), 0.001)
    smallest = float(above.min())
    return (step / 2 if smallest <= 2 * step else smallest) / 100


def instrument_error(readings, settings):
    """`InstrumentError` of a study: as the config states it (percentage points), or from samples in several wells.

    Within a sample and assay, runs × positions: what is left beside the means of runs and positions tells the
    variance of a position, by the band of its mean; the runs' mean square less that tells what the positions of a run
    share (two-way analysis of variance). Samples with censored readings enter by their likelihood instead. A band
    with too few replicates takes the figure of the nearest one that has enough, scaled as √(p (1 - p)), and says so.
    Raises `InputError` where neither the config nor enough replicates tell the error.
    """
    floor = find_floor(readings, settings.floor)
    found = usable(readings[readings["cpg_id"] != CONTROL_LABEL], floor)
    grids = _grids(found)
    squares, dof, replicated = np.zeros(4), np.zeros(4), np.zeros(4, dtype=int)
    runs = sum(len(g.runs) - 1 for g in grids)
    clean = [g for g in grids if not g.censored.any()]
    low = [g for g in grids if g.censored.any() and band(g.values.mean()) == 0]
    for grid in clean:
        left = grid.values - grid.values.mean(axis=1, keepdims=True) - grid.values.mean(axis=0) + grid.values.mean()
        at, (r, k) = band(grid.values.mean(axis=0)), grid.values.shape
        for b in np.unique(at):
            share = (at == b).sum() / k
            squares[b] += np.sum(left[:, at == b] ** 2)
            dof[b] += (r - 1) * (k - 1) * share
            replicated[b] += 1
    profile, spread = {}, 0.0
    if found["censored"].any():
        from hpaxis.methylation.assays import censored  # with SciPy's optimisers, which planning does without

        fit = censored.fit_profile(found[band_of_library(found) == 0], [g.library for g in low])
        profile, spread = fit.profile, fit.spread
        if low:
            extra = sum((len(g.runs) - 1) * (g.values.shape[1] - 1) for g in low)
            squares[0] += extra * fit.sd**2
            dof[0] += extra
            replicated[0] += len(low)
    known = dof >= MIN_DF
    enough = runs >= MIN_DF and known.any()
    stated, shared = settings.position_sd, settings.shared_sd
    if stated is None and not enough:
        what = f"is not given, and {runs} replicate runs are too few to estimate it from"
        remedy = f"run at least {MIN_DF} libraries in two wells, or state the SD of one position in percentage points"
        raise InputError(Problem("config", what, remedy, column="methylation.pyrosequencing.position_sd"))
    if stated is None:
        own, df, sources = by_band(squares, dof, known)
    else:
        own, df, sources = _stated(stated), np.full(4, np.inf), ["config"] * 4
    ratio, shared_df, shared_source = 0.0, np.inf, "none: taken as independent"
    if shared is not None:
        shared_source = "config"
    elif enough:
        ratio, shared_df, shared_source = _shared_ratio(clean, low, own, profile, spread), runs, "replicates"
    common = np.full(4, shared / 100) if shared is not None else ratio * own
    return InstrumentError(own, common, df, replicated, sources, float(shared_df), shared_source, floor, profile,
                           spread)  # fmt: skip


@dataclass(frozen=True)
class _Grid:
    library: str
    runs: list
    cpgs: list
    values: np.ndarray
    censored: np.ndarray


def _grids(found):
    """Samples with at least two runs of at least two positions: runs × positions that all runs have."""
    grids = []
    for (library, _), rows in found.groupby(["library_id", "assay"], dropna=False):
        grid = rows.pivot_table(index="run", columns="cpg_id", values="level").dropna(axis=1)
        if grid.shape[0] < 2 or grid.shape[1] < 2:
            continue
        below = rows.pivot_table(index="run", columns="cpg_id", values="censored", aggfunc="max")[grid.columns]
        below = below.to_numpy().astype(bool)
        grids.append(_Grid(library, list(grid.index), list(grid.columns), grid.to_numpy(), below))
    return grids


def band_of_library(found):
    """Band of the mean of each reading's library."""
    return band(found.groupby("library_id")["level"].transform("mean"))


def by_band(squares, dof, enough):
    """Standard deviation, d.f. and source of each band."""
    own, df, sources = np.zeros(4), np.zeros(4), [""] * 4
    names = [f"{100 * a:g}-{100 * b:g} %" for a, b in pairwise(BANDS)]
    for b in range(4):
        near = b if enough[b] else min(np.flatnonzero(enough), key=lambda other: (abs(other - b), other))
        scale = np.sqrt(CENTRES[b] * (1 - CENTRES[b]) / (CENTRES[near] * (1 - CENTRES[near])))
        own[b], df[b] = scale * np.sqrt(squares[near] / dof[near]), dof[near]
        sources[b] = "replicates" if near == b else f"scaled from replicates at {names[near]}"
    return own, df, sources


def _stated(stated):
    """Standard deviations of the config: one for all levels, or one per band."""
    values = np.atleast_1d(np.asarray(stated, dtype=float)) / 100
    return np.full(4, values[0]) if len(values) == 1 else values


def _shared_ratio(clean, low, own, profile, spread):
    """SD that the positions of a run share, over that of a position: from runs of one sample, all bands together."""
    excess, weight = 0.0, 0.0
    for grid in clean:
        r, k = grid.values.shape
        variance = np.mean(own[band(grid.values.mean(axis=0))] ** 2)
        excess += np.sum((grid.values.mean(axis=1) - grid.values.mean()) ** 2) - (r - 1) * variance / k
        weight += (r - 1) * variance
    for grid in low:
        from hpaxis.methylation.assays import censored

        ratios = np.array([profile.get(c, 1.0) for c in grid.cpgs])
        each, cpgs = np.full(len(ratios), 1 / len(ratios)), np.arange(len(ratios))
        means = [
            censored.mean_level(v, c, own[0], each, ratios / ratios.mean(), spread, cpgs)
            for v, c in zip(grid.values, grid.censored)
        ]
        known = [m for m in means if np.isfinite(m.level)]
        if len(known) > 1:
            levels = np.array([m.level for m in known])
            # The samples' own CpGs are the same in all its runs: only the instrument's error differs.
            excess += levels.var(ddof=1) * (len(known) - 1) - (len(known) - 1) * np.mean([m.se**2 for m in known])
            weight += (len(known) - 1) * own[0] ** 2
    return float(np.sqrt(max(excess / weight, 0.0))) if weight else 0.0
