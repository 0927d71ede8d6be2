"""Variance between runs and plates: what controls, pools and repeated hair samples say of it, and what it adds.

A measurement on the natural log is item + run + plate in run + item in plate + (curve and wells). The last part is
known for each measurement; what stands between is estimated here. The curve's error is the same for all items of a
plate, so it is part of what plates differ by: it is taken as known and shared, and is in no estimated part. A run is
a plate, unless plates.tsv puts several plates in one run; only then plates of a run are a level of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, optimize, sparse, special, stats
from scipy.sparse import csgraph

from hpaxis.cortisol.assay import CURVE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


GROSS = 0.001  # an item whose repeats disagree with a smaller p is left out: it says nothing of the other items
ITEM_COLUMNS = ("item", "run", "value", "variance")
STEPS, HALVINGS, SETTLED = 100, 30, 1e-9  # of the search for the likeliest variances


@dataclass(frozen=True)
class RunVariance:
    """Variance components between runs, of ln concentration.

    ``shared``: of what all samples of a run have in common; ``runs``: runs behind it. ``own``: of an item's own
    differences between runs, beyond curve and wells; ``own_df``: its degrees of freedom. ``items``: controls, pools
    and hair samples that were measured in more than one run; ``left_out``: those whose repeats disagree grossly.
    ``source``: runs, setting or none. ``plate``: of what all samples of one plate of a run have in common, beside its
    curve; 0 with ``plate_df`` 0 where every plate is a run; ``plates``: plates behind it.
    """

    shared: float
    runs: int
    own: float
    own_df: float
    items: int
    left_out: tuple
    source: str
    plate: float = 0.0
    plate_df: float = 0.0
    plates: int = 0

    @property
    def total(self) -> float:
        """Variance between runs of one measurement; 0 where it is not known."""
        return self.shared + self.plate + self.own

    def variance(self, runs: int, measurements: int, plates: int | None = None) -> float:
        """Variance that runs and plates add to the mean of ``measurements`` in ``runs`` runs on ``plates`` plates."""
        return self.shared / runs + self.plate / (plates or runs) + self.own / measurements

    def half_width(
        self, runs: int, measurements: int, level: float = 0.95, known: float = 0.0, plates: int | None = None
    ) -> float:
        """Half the width (ln) that runs and plates add to an interval, to be combined with the rest in quadrature.

        ``known``: the variance of wells and curve. What an item has of its own between runs is one part of an error
        that is otherwise known: together they have the degrees of freedom of Satterthwaite's formula. Their quantile
        and those of what a run and a plate share are averaged by the variances they belong to, as in Cochran and Cox's
        test of means with unequal variances: each quantile by itself would take its part for the whole error.
        """
        middle = (1 + level) / 2
        normal = float(special.ndtri(middle))
        own, shared, plate = self.own / measurements, self.shared / runs, self.plate / (plates or runs)
        item = known + own
        if item + shared + plate == 0:
            return 0.0
        df = self.own_df * (item / own) ** 2 if own > 0 and self.own_df > 0 else np.inf
        quantile = float(special.stdtrit(df, middle)) if np.isfinite(df) else normal
        of_plate = float(special.stdtrit(self.plate_df, middle)) if plate > 0 and self.plate_df > 0 else normal
        whole = quantile * item + self.shared_quantile(runs, level) * shared + of_plate * plate
        return float(np.sqrt(max(whole**2 / (item + shared + plate) - normal**2 * known, 0.0)))

    def shared_quantile(self, runs: int, level: float = 0.95) -> float:
        """Quantile by which the SD of what a run shares is multiplied, for something measured in ``runs`` runs."""
        if self.source == "setting":
            return float(special.ndtri((1 + level) / 2))
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
        variance (of that value, by its curve and wells); one row per measurement. And, where they are known,
        `CURVE_COLUMNS`, the part of that variance which the items of a plate share (squares of them add up to it), and
        plate; without, every run is one plate, and errors are independent.
    run_cv_percent : the laboratory's own CV between runs, used where the items do not span two runs; or None.

    Returns
    -------
    RunVariance. Restricted maximum likelihood of item (fixed) + run + plate + rest, with the errors of curve and wells
    as they are known, and no variance below 0; items and runs that are not connected by common items do not count.
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
            return _likeliest(kept, left_out)
    if run_cv_percent is not None:
        return RunVariance(float(np.log1p((run_cv_percent / 100) ** 2)), 1, 0.0, 0.0, 0, left_out, "setting")
    return RunVariance(0.0, 1, 0.0, 0.0, 0, left_out, "none")


def _likeliest(table: pd.DataFrame, left_out: tuple[str, ...]) -> RunVariance:
    """`RunVariance` of connected measurements: the variances of runs, plates and items with the highest likelihood."""
    plates = table["plate"] if "plate" in table else table["run"]
    curve = table.reindex(columns=list(CURVE_COLUMNS), fill_value=0.0).fillna(0.0).to_numpy(dtype=float)
    item, run, plate = (pd.factorize(column, sort=True)[0] for column in (table["item"], table["run"], plates))
    n, n_runs, n_plates = len(table), run.max() + 1, plate.max() + 1
    rank_runs, rank_plates = (_rank(item, group) for group in (run, plate))
    run_df, plate_df, own_df = n_runs - 1, rank_plates - rank_runs, n - rank_plates
    value, variance = table["value"].to_numpy(dtype=float), table["variance"].to_numpy(dtype=float)
    wells = np.maximum(variance - np.sum(curve**2, axis=1), 1e-9)
    groups = [run, plate] if plate_df > 0 else [run]
    shared, *of_plate, own = _reml(value, item, wells, groups, plate, curve, own_df > 0)
    between = float(of_plate[0]) if of_plate else 0.0
    # What is 0 lends its degrees of freedom to what lies below it: they are then one and the same.
    plate_df_pooled = plate_df + (run_df if shared == 0 else 0)
    own_df_pooled = own_df + (plate_df_pooled if between == 0 else 0)
    return RunVariance(
        float(shared), int(n_runs), float(own), float(own_df_pooled if own > 0 else own_df), int(item.max() + 1),
        left_out, "runs", between, float(plate_df_pooled if between > 0 else plate_df), int(n_plates),
    )  # fmt: skip


def _rank(item: NDArray[np.int64], group: NDArray[np.int64]) -> int:
    """Rank of the design item + group: their numbers less the number of parts that are not connected."""
    n, m = item.max() + 1, group.max() + 1
    graph = sparse.coo_array((np.ones(len(item)), (item, n + group)), shape=(n + m, n + m))
    return n + m - csgraph.connected_components(graph, directed=False)[0]


def _reml(
    value: NDArray[np.float64],
    item: NDArray[np.int64],
    wells: NDArray[np.float64],
    groups: Sequence[NDArray[np.int64]],
    plate: NDArray[np.int64],
    curve: NDArray[np.float64],
    with_own: bool,
) -> NDArray[np.float64]:
    """Variances of ``groups`` (codes of each measurement, outer first) and of the rest, by restricted likelihood.

    ``wells``: known variance of each measurement; ``curve``: n × p, what it has in common with others of its
    ``plate``. Average information (Gilmour, Thompson and Cullis 1995, Biometrics 51:1440-1450) with halved steps
    that stop at 0. Item means are absorbed, and measurements are independent given runs, plates and curves, so that the
    largest matrix has as many rows as there are of those.
    """
    n, p = curve.shape
    rows = np.arange(n)
    blocks = [sparse.csr_array((np.ones(n), (rows, code)), shape=(n, code.max() + 1)) for code in groups]
    where = (np.repeat(rows, p), (plate[:, None] * p + np.arange(p)).ravel())
    blocks.append(sparse.csr_array((curve.ravel(), where), shape=(n, (plate.max() + 1) * p)))
    random = sparse.hstack(blocks).toarray()
    ends = np.cumsum([0, *(block.shape[1] for block in blocks)])
    spans = [slice(a, b) for a, b in itertools.pairwise(ends[:-1])]

    def look(theta: NDArray[np.float64]) -> tuple[float, tuple[Any, ...]]:
        own = theta[-1]
        weight = 1 / (wells + own)
        of_item = np.bincount(item, weight)

        def centred(v: NDArray[np.float64]) -> NDArray[np.float64]:
            mean = np.zeros((len(of_item), *v.shape[1:]))
            w = weight.reshape(-1, *[1] * (v.ndim - 1))
            np.add.at(mean, item, w * v)
            return w * (v - (mean / of_item.reshape(-1, *[1] * (v.ndim - 1)))[item])

        root = np.ones(ends[-1])
        for span, variance in zip(spans, theta):
            root[span] = np.sqrt(variance)
        side = centred(random)
        inner, right = random.T @ side, side.T @ value
        factor = linalg.cho_factor(np.eye(ends[-1]) + root[:, None] * inner * root)

        def shrunk(v: NDArray[np.float64]) -> NDArray[np.float64]:
            return root[:, None] * linalg.cho_solve(factor, root[:, None] * v)

        residual = centred(value) - side @ shrunk(right[:, None])[:, 0]
        log_likelihood = -0.5 * (
            -np.sum(np.log(weight)) + np.sum(np.log(of_item)) + 2 * np.sum(np.log(np.diag(factor[0])))
            + value @ residual
        )  # fmt: skip
        return log_likelihood, (weight, of_item, centred, side, inner, shrunk, residual)

    def direction(theta: NDArray[np.float64], state: tuple[Any, ...]) -> NDArray[np.float64]:
        weight, of_item, centred, side, inner, shrunk, residual = state
        left = inner - inner @ shrunk(inner)
        back = random.T @ residual
        traces = [np.trace(left[span, span]) for span in spans]
        squares = [np.sum(back[span] ** 2) for span in spans]
        pushed = [random[:, span] @ back[span] for span in spans]
        absorbed = np.sum(weight) - np.sum(np.bincount(item, weight**2) / of_item)
        traces.append(absorbed - np.sum(shrunk(side.T @ side).diagonal()))
        squares.append(np.sum(residual**2))
        pushed.append(residual)
        score = -0.5 * (np.array(traces) - np.array(squares))
        stacked = np.column_stack(pushed)
        projected = centred(stacked) - side @ shrunk(side.T @ stacked)
        information = 0.5 * stacked.T @ projected
        free = (theta > 0) | (score > 0)
        if not with_own:
            free[-1] = False
        while True:
            step = np.zeros(len(theta))
            if free.any():
                step[free] = np.linalg.lstsq(information[np.ix_(free, free)], score[free], rcond=1e-12)[0]
            stuck = free & (theta == 0) & (step < 0)
            if not stuck.any():
                return step
            free &= ~stuck

    scale = float(np.median(wells))
    theta = np.full(len(groups) + 1, scale)
    if not with_own:
        theta[-1] = 0.0
    best, state = look(theta)
    for _ in range(STEPS):
        step = direction(theta, state)
        # A step that leaves the variances ends where the first of them is 0.
        with np.errstate(divide="ignore", invalid="ignore"):
            step = step * min(1.0, float(np.min(np.where(step < 0, -theta / step, np.inf))))
        for halving in range(HALVINGS):
            trial = theta + step / 2**halving
            trial[trial < 1e-12 * scale] = 0.0
            found, new = look(trial)
            if found >= best - 1e-12 * abs(best):
                break
        else:
            break
        moved = np.max(np.abs(trial - theta))
        theta, best, state = trial, found, new
        if moved <= SETTLED * (scale + theta.max()):
            break
    return np.where(theta < 1e-8 * scale, 0.0, theta)


def _connected(table: pd.DataFrame) -> pd.DataFrame:
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


def _gross(table: pd.DataFrame) -> set[str]:
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

    def miss(q: float) -> float:
        ends = [np.sqrt(runs) * (side * q / np.sqrt(measured) - shift) for side in (1, -1)]
        return float(np.mean(stats.t.cdf(ends[0], runs - 1) - stats.t.cdf(ends[1], runs - 1))) - level

    return float(optimize.brentq(miss, 1e-6, 1e4))
