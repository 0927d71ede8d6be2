"""Variance between runs: what controls, pools and repeated hair samples say of it, and what it adds to an interval.

A measurement on the natural log is item + run + item in run + (curve and wells). The last part is known for each
measurement; the two between are estimated here. A run is a plate, unless plates.tsv puts several plates in one run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import optimize, stats

GROSS = 0.001  # an item whose repeats disagree with a smaller p is left out: it says nothing of the other items
ITEM_COLUMNS = ("item", "run", "value", "variance")


@dataclass(frozen=True)
class RunVariance:
    """Variance components between runs, of ln concentration.

    ``shared``: of what all samples of a run have in common; ``runs``: runs behind it. ``own``: of an item's own
    differences between runs, beyond curve and wells; ``own_df``: its degrees of freedom. ``items``: controls, pools
    and hair samples that were measured in more than one run; ``left_out``: those whose repeats disagree grossly.
    ``source``: runs, setting or none.
    """

    shared: float
    runs: int
    own: float
    own_df: float
    items: int
    left_out: tuple
    source: str

    @property
    def total(self) -> float:
        """Variance between runs of one measurement; 0 where it is not known."""
        return self.shared + self.own

    def variance(self, runs: int, measurements: int) -> float:
        """Variance that runs add to the mean of ``measurements`` in ``runs`` runs."""
        return self.shared / runs + self.own / measurements

    def half_width(self, runs: int, measurements: int, level: float = 0.95, known: float = 0.0) -> float:
        """Half the width (ln) that runs add to an interval, to be combined with the rest in quadrature.

        ``known``: the variance of wells and curve. What an item has of its own between runs is one part of an error
        that is otherwise known: together they have the degrees of freedom of Satterthwaite's formula. Their quantile
        and that of what a run shares are averaged by the variances they belong to, as in Cochran and Cox's test of
        means with unequal variances: each quantile by itself would take its part for the whole error.
        """
        normal = float(stats.norm.ppf((1 + level) / 2))
        own, shared = self.own / measurements, self.shared / runs
        item = known + own
        if item + shared == 0:
            return 0.0
        df = self.own_df * (item / own) ** 2 if own > 0 and self.own_df > 0 else np.inf
        quantile = float(stats.t.ppf((1 + level) / 2, df)) if np.isfinite(df) else normal
        whole = (quantile * item + self.shared_quantile(runs, level) * shared) ** 2 / (item + shared)
        return float(np.sqrt(max(whole - normal**2 * known, 0.0)))

    def shared_quantile(self, runs: int, level: float = 0.95) -> float:
        """Quantile by which the SD of what a run shares is multiplied, for something measured in ``runs`` runs."""
        if self.source == "setting":
            return float(stats.norm.ppf((1 + level) / 2))
        return run_quantile(self.runs, min(runs, self.runs), level) if self.runs > 1 else 0.0


def run_of(plates: object, runs: Mapping[str, str]) -> str | None:
    """Return the run of some plates, or their runs joined by ``;``; None where ``plates`` names none.

    ``plates``: a plate_id, or several joined by ``;``, as in samples.tsv; ``runs``: run by plate_id. A plate that it
    lacks is a run of its own.
    """
    if not isinstance(plates, str) or not plates:
        return None
    return ";".join(sorted({str(runs.get(p, p)) for p in plates.split(";")}))


def run_variance(items: pd.DataFrame, run_cv_percent: float | None = None) -> RunVariance:
    """Estimate the variance between runs from items that were measured in more than one.

    Parameters
    ----------
    items : DataFrame with `ITEM_COLUMNS`: item (control, pool or hair sample), run, value (ln concentration),
        variance (of that value, by its curve and wells); one row per measurement.
    run_cv_percent : the laboratory's own CV between runs, used where the items do not span two runs; or None.

    Returns
    -------
    RunVariance. Moments of a two-way layout without interaction (item + run), each less what curve and wells
    explain and not below 0; items and runs that are not connected by common items do not count.
    """
    known = items.dropna(subset=["value", "variance"])
    known = known[known.groupby("item")["run"].transform("nunique") > 1]
    known = _connected(known)
    left_out: tuple = ()
    if len(known):
        gross = _gross(known)
        left_out = tuple(sorted(gross))
        kept = _connected(known[~known["item"].isin(gross)])
        kept = kept[kept.groupby("item")["run"].transform("nunique") > 1] if len(kept) else kept
        if len(kept):
            shared, own, df = _moments(kept)
            return RunVariance(shared, kept["run"].nunique(), own, df, kept["item"].nunique(), left_out, "runs")
    if run_cv_percent is not None:
        return RunVariance(float(np.log1p((run_cv_percent / 100) ** 2)), 1, 0.0, 0.0, 0, left_out, "setting")
    return RunVariance(0.0, 1, 0.0, 0.0, 0, left_out, "none")


def _moments(table):
    """Shared and own variance, and the degrees of freedom of the latter, from ordinary least squares."""
    items, runs = pd.factorize(table["item"], sort=True)[0], pd.factorize(table["run"], sort=True)[0]
    n, n_items, n_runs = len(table), items.max() + 1, runs.max() + 1
    design = np.zeros((n, n_items + n_runs - 1))
    design[np.arange(n), items] = 1
    later = runs > 0
    design[np.flatnonzero(later), n_items + runs[later] - 1] = 1
    y, v = table["value"].to_numpy(), table["variance"].to_numpy()
    inverse = np.linalg.pinv(design.T @ design)
    hat = design @ inverse @ design.T
    residual = y - hat @ y
    df = n - np.linalg.matrix_rank(design)
    leave = np.eye(n) - hat
    own = 0.0
    if df > 0:
        # E[r'r] = tr(M V M) with V = own I + diag(v), M the residual maker.
        own = max((residual @ residual - np.sum(np.diag(leave @ leave) * v)) / df, 0.0)
    effect = inverse @ design.T  # coefficients as a linear function of y
    centre = np.zeros((n_runs, n_items + n_runs - 1))
    centre[np.arange(1, n_runs), n_items + np.arange(n_runs - 1)] = 1
    centre -= centre.mean(axis=0)
    contrast = centre @ effect
    runs_sum = float(np.sum((contrast @ y) ** 2))
    noise = float(np.sum(contrast**2 * (own + v)))
    shared = max((runs_sum - noise) / (n_runs - 1), 0.0)
    return shared, own, float(df)


def _connected(table):
    """The rows of the largest set of runs that common items connect."""
    if table.empty:
        return table
    label = {run: run for run in sorted(table["run"].unique())}
    changed = True
    while changed:
        changed = False
        for _, group in table.groupby("item", sort=True):
            here = {label[r] for r in group["run"]}
            if len(here) > 1:
                least = min(here)
                label = {r: least if name in here else name for r, name in label.items()}
                changed = True
    names = table["run"].map(label)
    largest = names.groupby(names).size().sort_values(ascending=False, kind="stable").index[0]
    return table[names == largest]


def _gross(table):
    """Items whose repeats differ far beyond curve, wells and what the median item shows."""
    groups = table.groupby("item", sort=True)
    df = groups.size() - 1
    spread = groups["value"].var(ddof=1) * df
    v = groups["variance"].mean()
    if len(df) < 2:
        return set()
    typical = max(float(np.median(spread / stats.chi2.ppf(0.5, df) - v)), 0.0)
    p = stats.chi2.sf(spread / (v + typical), df)
    return set(df.index[p < GROSS])


@lru_cache(maxsize=256)
def run_quantile(runs: int, measured: int, level: float = 0.95) -> float:
    """Return q for which mean(effects of ``measured`` runs) / (SD of all ``runs`` / sqrt(measured)) lies within ±q.

    The SD is estimated from the same runs, so the ratio is not Student's t: with T ~ t(runs - 1) and B ~
    Beta(1/2, runs/2 - 1), both independent, it is sqrt(measured) (T / sqrt(runs) ± sqrt((1/measured - 1/runs)
    (runs - 1) B)). B is 1 for two runs, and the second term 0 where all runs were measured.
    """
    if runs < 2:
        raise ValueError(f"{runs} run has no SD between runs")
    grid = (np.arange(400) + 0.5) / 400
    b = np.ones(1) if runs == 2 else stats.beta.ppf(grid, 0.5, runs / 2 - 1)
    shift = np.sqrt(max(1 / measured - 1 / runs, 0.0) * (runs - 1) * b)

    def miss(q):
        ends = [np.sqrt(runs) * (side * q / np.sqrt(measured) - shift) for side in (1, -1)]
        return float(np.mean(stats.t.cdf(ends[0], runs - 1) - stats.t.cdf(ends[1], runs - 1))) - level

    return float(optimize.brentq(miss, 1e-6, 1e4))
