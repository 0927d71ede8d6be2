"""Binary, count and ordered outcomes: the same question on a link and on the scale people read.

Generalised linear models: McCullagh & Nelder (1989). Their robust covariance is that of least squares on the
working response, so HC0 to HC4 and CR2 come from `hpaxis.moderation.covariance`; with a canonical link HC0 and HC3
equal sandwich's vcovHC of a glm. Average marginal slopes and their delta-method errors: Norton & Dowd (2018),
Ai & Norton (2003): on the probability scale the product term is not the interaction.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import optimize
from scipy.special import expit
from statsmodels.genmod import families
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from hpaxis.moderation.covariance import Covariance, covariance
from hpaxis.moderation.design import Design
from hpaxis.moderation.linear import STATISTICS, LinearFit, t_table
from hpaxis.moderation.region import observed_region, region_table
from hpaxis.moderation.slopes import quantities, simultaneous
from hpaxis.moderation.verdict import interval, judge, verdict_table
from hpaxis.problems import InputError, Problem, raise_if_any

KINDS = ("continuous", "binary", "count", "ordered")
FAMILIES = {
    "continuous": families.Gaussian,
    "binary": families.Binomial,
    "count": families.Poisson,
}
LINKS = {"continuous": "identity", "binary": "logit", "count": "log", "ordered": "cumulative logit"}
SCALES = {"continuous": "outcome", "binary": "probability", "count": "rate", "ordered": "mean score"}
STEPS = 101
COLUMNS = ["scale", "quantity", *STATISTICS, "n", "kind", "covariance", "note"]
VERDICT_COLUMNS = [
    "scale", "contrast", "verdict", "margin", "level", "arm_slope", "arm_low", "arm_high", "reference_slope",
    "reference_low", "reference_high", "difference", "difference_low", "difference_high", "region_kind", "region_low",
    "region_high", "n_significant", "n",
]  # fmt: skip
# Beyond this a fitted logit means that the data separate: the estimate has no finite value.
SEPARATED = 15.0


@dataclass(frozen=True)
class GeneralisedFit:
    """Coefficients ``beta`` (k,) on the link, their covariance, and the expected outcome of design rows.

    ``expected(beta, X)`` returns the expected outcome (m,) of rows X (m, k) on the scale people read.
    ``beta`` of an ordered outcome holds the thresholds in place of the intercept (statsmodels' order: slopes first).
    """

    design: Design
    kind: str
    beta: np.ndarray
    cov: Covariance
    expected: Callable[[np.ndarray, np.ndarray], np.ndarray]


def fit_generalised(design: Design, kind: str = "binary", cov_kind: str = "HC3") -> GeneralisedFit:
    """Fit a design whose outcome is of ``kind`` (KINDS), rows weighted as the design's are, with robust errors.

    Raises `InputError` where the outcome is not of that kind, or the model's terms separate it.
    """
    source = "generalised"
    raise_if_any(_outcome_problems(design, kind))
    w = design.root**2
    if kind == "ordered":
        return _fit_ordered(design, w)
    model = GLM(design.y, design.X, family=FAMILIES[kind](), freq_weights=w)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerfectSeparationWarning)  # refused below, with a remedy
        result = model.fit(tol=1e-12, maxiter=200)
    eta = design.X @ result.params
    if kind == "binary" and np.abs(eta).max() > SEPARATED:
        what = "is separated by the model's terms: some fitted probabilities are 0 or 1"
        raise InputError(
            Problem(source, what, "use fewer covariates or a continuous outcome", column=design.spec.outcome)
        )
    mean = result.model.family.link.inverse(eta)
    variance = result.model.family.variance(mean)  # canonical links: also the derivative of the mean
    root = np.sqrt(w * variance)
    residuals = np.sqrt(w / variance) * (design.y - mean)
    clusters = design.data[design.spec.cluster].to_numpy() if design.spec.cluster else None
    cov = covariance(cov_kind, design.X * root[:, None], residuals, clusters, design.data.index.to_numpy(), source)
    inverse = result.model.family.link.inverse
    return GeneralisedFit(design, kind, np.asarray(result.params), cov, lambda b, X: inverse(X @ b))


def generalised_table(fit: GeneralisedFit, at: str | list = "mean_sd") -> pd.DataFrame:
    """Return product terms and slopes on the link, then average marginal slopes and their differences.

    Columns: scale (the link, or what people read), quantity, estimate, se, t, df, p, low, high, n, kind, covariance,
    note. A marginal slope is the mean over all rows of the derivative of the expected outcome on the predictor, with
    every row moved to the arm; its error is the delta method's.
    """
    design, alpha = fit.design, fit.design.spec.alpha
    names, C = quantities(design, at)
    link = _contrasts(fit, _padded(C, fit), alpha).assign(scale=LINKS[fit.kind], quantity=names)
    tables = [link]
    if design.moderator.levels is not None:
        slopes = [f"slope[{a}]" for a in design.moderator.levels]
        pairs = list(design.moderator.pairs)
        differences = [f"slope[{a}] - slope[{b}]" for a, b in pairs]

        def marginal(beta: np.ndarray) -> np.ndarray:
            by_arm = {a: _marginal_slope(fit, beta, a) for a in design.moderator.levels}
            return np.array([*by_arm.values(), *(by_arm[a] - by_arm[b] for a, b in pairs)])

        tables.append(_delta(fit, marginal, alpha).assign(scale=SCALES[fit.kind], quantity=slopes + differences))
    table = pd.concat(tables, ignore_index=True)
    note = f"dispersion {dispersion(fit):.2f}, carried by the robust error" if fit.kind == "count" else ""
    return table.assign(n=design.n, kind=fit.kind, covariance=fit.cov.kind, note=note)[COLUMNS]


def generalised_effects(fit: GeneralisedFit) -> pd.DataFrame:
    """Return the difference between arms in the expected outcome over the predictor's observed range.

    One row per pair of arms and predictor value: contrast, value, estimate, se, t, df, p, low, high, and inside
    (the interval leaves out 0). Covariates stay as they are in each row, and the difference is averaged over rows.
    """
    design = fit.design
    parts = []
    for a, b in design.moderator.pairs if design.moderator.levels is not None else []:
        observed = design.x[np.isin(design.arm, [a, b])]
        grid = np.linspace(observed.min(), observed.max(), STEPS)

        def difference(beta: np.ndarray, grid: np.ndarray = grid, a: str = a, b: str = b) -> np.ndarray:
            return np.array([_mean_at(fit, beta, a, x) - _mean_at(fit, beta, b, x) for x in grid])

        rows = _delta(fit, difference, design.spec.alpha)
        rows.insert(0, "value", grid)
        rows.insert(0, "contrast", f"{a} - {b}")
        parts.append(rows.assign(scale=SCALES[fit.kind], inside=(rows["low"] > 0) | (rows["high"] < 0)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def generalised_verdicts(fit: GeneralisedFit, margin: float | None = None) -> pd.DataFrame:
    """Return what the intervals allow to be said of each pair of arms, on the link and on the scale people read.

    ``margin``: smallest slope of interest on the scale people read. Slopes there are average marginal ones, the region
    is that of the difference in the expected outcome. Both regions hold over the whole observed range at once (normal
    theory), both verdicts follow `hpaxis.moderation.verdict`. Columns: VERDICT_COLUMNS; region ends lie within the
    observed range, on the model's scale.
    """
    linear = _as_linear(fit)
    regions = region_table(linear, "simultaneous").rename(columns=lambda c: c.replace("observed_", "region_"))
    regions = regions[["contrast", "region_kind", "region_low", "region_high", "n_significant"]]
    rows = [verdict_table(linear).merge(regions, on="contrast", how="left").assign(scale=LINKS[fit.kind])]
    design, pairs = fit.design, fit.design.moderator.pairs
    for a, b in pairs:
        alpha = design.spec.alpha / len(pairs)

        def slopes(beta: np.ndarray, a: str = a, b: str = b) -> np.ndarray:
            arm, reference = (_marginal_slope(fit, beta, v) for v in (a, b))
            return np.array([arm, reference, arm - reference, arm + reference])

        parts = _delta(fit, slopes, alpha)[["estimate", "se", "df"]].to_numpy(float)
        names = ("arm", "reference", "difference", "sum")
        found = {part: interval(b, se, df, alpha, margin) for part, (b, se, df) in zip(names, parts, strict=True)}
        row = {"scale": SCALES[fit.kind], "contrast": f"{a} - {b}", "margin": margin, "level": 1 - alpha}
        row |= {"verdict": judge(found, alpha), "difference": found["difference"].estimate}
        row |= {f"{part}_slope": found[part].estimate for part in ("arm", "reference")}
        for part in ("arm", "reference", "difference"):
            row |= {f"{part}_low": found[part].low, f"{part}_high": found[part].high}
        rows.append(pd.DataFrame([row | _read_region(fit, a, b)]))
    return pd.concat(rows, ignore_index=True).reindex(columns=VERDICT_COLUMNS)


def _as_linear(fit: GeneralisedFit) -> LinearFit:
    """The fit on its link as one with linear contrasts; thresholds of an ordered outcome are left out."""
    k, kept = fit.design.X.shape[1], 0 if fit.kind != "ordered" else 1
    beta, V = np.zeros(k), np.zeros((k, k))
    beta[kept:], V[kept:, kept:] = fit.beta[: k - kept], fit.cov.matrix[: k - kept, : k - kept]
    cov = replace(fit.cov, kind=f"{fit.cov.kind}, {LINKS[fit.kind]}", matrix=V)
    return LinearFit(fit.design, beta, np.zeros(fit.design.n), np.zeros(fit.design.n), cov)


def _read_region(fit: GeneralisedFit, a: object, b: object) -> dict:
    """Where over the observed range the difference of two arms' expected outcomes leaves out 0, all values at once."""
    design, alpha = fit.design, fit.design.spec.alpha
    observed = design.x[np.isin(design.arm, [a, b])]
    grid = np.linspace(observed.min(), observed.max(), STEPS)

    def difference(beta: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.array([_mean_at(fit, beta, a, x) - _mean_at(fit, beta, b, x) for x in at])

    rows, V = (
        _delta(fit, lambda beta: difference(beta, grid), alpha),
        _jacobian(fit, lambda u: difference(u, grid[::5])),
    )
    critical = simultaneous(V @ fit.cov.matrix @ V.T, rows["t"].to_numpy()[::5], rows["df"].min(), alpha)[1]

    def excess(x: float) -> float:
        row = _delta(fit, lambda beta: difference(beta, np.array([x])), alpha).iloc[0]
        return abs(row["estimate"]) - critical * row["se"]

    inside = rows["t"].abs().to_numpy() > critical
    ends = [optimize.brentq(excess, grid[i], grid[i + 1]) for i in np.flatnonzero(inside[1:] != inside[:-1])]
    low, high = (ends[0], ends[-1]) if len(ends) > 1 else (np.nan, np.nan)
    kind = "inside" if not inside[0] else "outside"
    if not ends:
        kind = "all" if inside[0] else "none"
    elif len(ends) == 1:
        kind, low, high = ("inside", -np.inf, ends[0]) if inside[0] else ("inside", ends[0], np.inf)
    seen = observed_region(low, high, kind, observed)
    return {"region_kind": seen["observed_kind"], "region_low": seen["observed_low"],
            "region_high": seen["observed_high"], "n_significant": seen["n_significant"], "n": seen["n"]}  # fmt: skip


def _outcome_problems(design: Design, kind: str) -> list[Problem]:
    y, name, problems = design.y, design.spec.outcome, []
    whole = np.array_equal(y, np.round(y))

    def add(what: str, remedy: str) -> None:
        problems.append(Problem("generalised", what, remedy, column=name))

    if kind == "binary" and not set(np.unique(y)) <= {0.0, 1.0}:
        add("is not 0 or 1 everywhere", "code the binary outcome as 0 and 1")
    if kind == "count" and (not whole or y.min() < 0):
        add("is not a count", "give whole numbers from 0 on")
    if kind == "ordered" and (not whole or not 3 <= len(np.unique(y)) <= 10):
        what = f"has {len(np.unique(y))} values, but an ordered outcome has 3 to 10 whole numbers"
        add(what, "code the categories 1, 2, 3, ...")
    return problems


class WeightedOrdered(OrderedModel):
    """statsmodels' proportional odds, each row's log likelihood times its weight ``w`` (n,); scores follow from it."""

    w: np.ndarray

    def loglikeobs(self, params: np.ndarray) -> np.ndarray:
        """Return each row's log likelihood, (n,)."""
        return self.w * super().loglikeobs(params)


def _fit_ordered(design: Design, w: np.ndarray) -> GeneralisedFit:
    """Proportional odds, errors from the sandwich of scores (HC0 times n / (n - k); clusters are summed first)."""
    codes = np.searchsorted(np.unique(design.y), design.y)
    model = WeightedOrdered(codes, design.X[:, 1:], distr="logit")
    model.w = w
    result = model.fit(method="bfgs", disp=False, maxiter=1000, gtol=1e-8)
    params = np.asarray(result.params)
    scores = model.score_obs(params)
    n, k = len(codes), len(params)
    df, kind = n - k, "HC1"
    if design.spec.cluster:
        groups = pd.factorize(design.data[design.spec.cluster])[0]
        scores = pd.DataFrame(scores).groupby(groups).sum().to_numpy()
        df, kind = len(scores) - 1, "CR1"
    bread = np.linalg.inv(-model.hessian(params))
    scale = len(scores) / (len(scores) - 1) if design.spec.cluster else n / df
    V = bread @ (scores.T @ scores) @ bread * scale
    values, slopes = np.unique(design.y), design.X.shape[1] - 1

    def expected(beta: np.ndarray, X: np.ndarray) -> np.ndarray:
        cuts = model.transform_threshold_params(beta)[1:-1]
        above = expit(X[:, 1:] @ beta[:slopes][:, None] - cuts[None, :])
        return values[0] + above @ np.diff(values)

    return GeneralisedFit(design, "ordered", params, Covariance(kind, V, df), expected)


def _padded(C: np.ndarray, fit: GeneralisedFit) -> np.ndarray:
    """Contrasts in the coefficients' own order: an ordered outcome has no intercept, and thresholds last."""
    if fit.kind != "ordered":
        return C
    return np.column_stack([C[:, 1:], np.zeros((len(C), len(fit.beta) - C.shape[1] + 1))])


def _rows(design: Design, arm: object, x: np.ndarray) -> np.ndarray:
    """The design's rows moved to an arm and to predictor values (n,)."""
    X = design.X.copy()
    code = design.moderator.code(arm)
    X[:, 1] = x
    X[:, design.moderator_columns] = code
    X[:, design.interactions] = x[:, None] * code
    return X


def _marginal_slope(fit: GeneralisedFit, beta: np.ndarray, arm: object) -> float:
    design = fit.design
    h = 1e-4 * design.x.std(ddof=1)
    up, down = (fit.expected(beta, _rows(design, arm, design.x + d)) for d in (h, -h))
    return float(np.average(up - down, weights=design.root**2) / (2 * h))


def _mean_at(fit: GeneralisedFit, beta: np.ndarray, arm: object, x: float) -> float:
    rows = _rows(fit.design, arm, np.full(fit.design.n, x))
    return float(np.average(fit.expected(beta, rows), weights=fit.design.root**2))


def _contrasts(fit: GeneralisedFit, C: np.ndarray, alpha: float) -> pd.DataFrame:
    return t_table(C @ fit.beta, np.sqrt(fit.cov.variance(C)), fit.cov.df(C), alpha)


def _delta(fit: GeneralisedFit, function: Callable[[np.ndarray], np.ndarray], alpha: float) -> pd.DataFrame:
    """Estimates of a function of the coefficients with delta-method errors."""
    J = _jacobian(fit, function)
    se = np.sqrt(np.einsum("ij,jk,ik->i", J, fit.cov.matrix, J))
    return t_table(function(fit.beta), se, fit.cov.df(J), alpha)


def _jacobian(fit: GeneralisedFit, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Derivatives (m, k) of a function of the coefficients, by central differences."""
    steps = 1e-5 * np.maximum(np.sqrt(np.diag(fit.cov.matrix)), 1e-8)
    return np.column_stack([
        (function(fit.beta + step) - function(fit.beta - step)) / (2 * step[i])
        for i, step in enumerate(np.diag(steps))
    ])  # fmt: skip


def dispersion(fit: GeneralisedFit) -> float:
    """Return Pearson's chi-squared over the residual degrees of freedom of a count model: 1 under Poisson.

    Rows count by their weights, whose mean is 1, as in the dispersion of R's glm with prior weights.
    """
    mean = fit.expected(fit.beta, fit.design.X)
    n, k = fit.design.X.shape
    return float((fit.design.root**2 * (fit.design.y - mean) ** 2 / mean).sum() / (n - k))
