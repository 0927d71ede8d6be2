"""Standard curves: bounded 4PL and 5PL fits, their standard errors, and inverse prediction with intervals.

    4PL  y = d + (a - d) / (1 + (x/c)^b)
    5PL  y = d + (a - d) / (1 + (x/c)^b)^g

``a`` is the response at concentration zero, ``d`` at infinite concentration, ``b`` > 0 the slope, ``c`` > 0
the concentration half way between (4PL), ``g`` > 0 the asymmetry. A falling curve has a > d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

MODELS = {"4PL": ("a", "b", "c", "d"), "5PL": ("a", "b", "c", "d", "g")}
WEIGHTS = ("none", "1/y", "1/y2", "variance")
# Bounds that no working assay comes near; a fit that ends on one is reported as such.
SLOPE_BOUNDS = (0.05, 20.0)
ASYMMETRY_BOUNDS = (0.05, 20.0)
CENTRE_FOLD = 1e3  # c may lie this many fold outside the standards
ASYMPTOTE_SPANS = 5.0  # a and d may lie this many response spans outside the responses
UNIDENTIFIED = 0.5  # a slope, centre or asymmetry with a larger relative standard error is not determined
TOLERANCE = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12, "max_nfev": 400}
GRID = 4001  # points of ln(concentration) on which intervals are found


class CurveError(ValueError):
    """A curve cannot be fitted to these standards; the message says why."""


@dataclass(frozen=True)
class Variance:
    """Variance of one well's response: ``constant + linear * |y| + quadratic * y^2``, known with ``df``."""

    constant: float
    linear: float
    quadratic: float
    df: float

    def __call__(self, response: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Return the variance at each mean response."""
        y = np.abs(np.asarray(response, dtype=float))
        return self.constant + self.linear * y + self.quadratic * y**2


@dataclass(frozen=True)
class Curve:
    """A fitted standard curve.

    ``parameters``: DataFrame name, estimate, se. ``covariance``: of the estimates, in the same order.
    ``points``: DataFrame, one row per standard well: concentration, response, fitted, residual, weight.
    ``lowest``, ``highest``: the range of the standards above zero, outside which nothing is estimated.
    ``variance``: of one well. ``notes``: what a reader must know of the fit, in words; empty if nothing.
    """

    model: str
    weights: str
    parameters: pd.DataFrame
    covariance: np.ndarray
    points: pd.DataFrame
    lowest: float
    highest: float
    variance: Variance
    residual_sd: float
    df: int
    aicc: float
    notes: tuple

    @property
    def theta(self) -> NDArray[np.float64]:
        """Estimates as an array, in the order of ``parameters``."""
        return self.parameters["estimate"].to_numpy()

    @property
    def identified(self) -> bool:
        """Whether every parameter is determined by the standards."""
        return not self.notes

    def response(self, concentration: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Return the fitted response at each concentration (zero allowed)."""
        return respond(np.asarray(concentration, dtype=float), self.theta)

    def invert(self, response: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the concentration at each response, with no regard to the range of the standards.

        A response beyond an asymptote gives 0 or infinity. For back-calculation and figures only.
        """
        return invert(np.asarray(response, dtype=float), self.theta)

    def concentration(self, response: NDArray[np.float64], replicates: int = 1, level: float = 0.95) -> pd.DataFrame:
        """Estimate concentrations from responses, with intervals; outside the standards they are censored.

        Parameters
        ----------
        response : number, or array of n (one row each, the mean of ``replicates`` wells), or array of n × k
            (one row each, k replicate wells; NaN where a well has no value).
        replicates : wells behind each response, an integer or n of them; from the array when it is n × k.
        level : confidence level.

        Returns
        -------
        DataFrame with n rows: estimate, low, high, se (units of the standards), censored (none, below,
        above). A censored row has estimate NaN, and low and high say on which side of the standards it
        lies. An interval that leaves the standards ends at 0 or infinity: the curve says no more.

        The interval holds every concentration x at which |response - f(x)| is within t standard errors,
        the variance being that of the mean of the wells plus that of the fitted curve at x (inverse
        prediction by inversion of the prediction interval); so it is not symmetric. Replicates that
        disagree beyond the variance function (chi-square, p < .001) carry their own variance instead.
        """
        y = np.asarray(response, dtype=float)
        inflation = 1.0
        if y.ndim == 2:
            inflation = self.discordance(y)
            m = np.isfinite(y).sum(axis=1)
            y = np.where(m > 0, np.nansum(y, axis=1), np.nan) / np.maximum(m, 1)
        else:
            y = np.atleast_1d(y)
            m = np.broadcast_to(np.asarray(replicates), y.shape)
        m = m / inflation  # as many wells' worth of information as their agreement leaves
        x = self.invert(y)
        # Rounding must not censor a response that lies on the curve at an end of the standards.
        below, above = x < self.lowest * (1 - 1e-9), x > self.highest * (1 + 1e-9)
        inside = np.isfinite(y) & ~below & ~above
        low, high = np.full(y.shape, np.nan), np.full(y.shape, np.nan)
        low[inside], high[inside] = self._interval(y[inside], x[inside], m[inside], level)
        low[below], high[below] = 0.0, self.lowest
        low[above], high[above] = self.highest, np.inf
        se = np.full(y.shape, np.nan)
        se[inside] = np.sqrt(self.prediction_variance(x[inside], m[inside])) / np.abs(slope(x[inside], self.theta))
        return pd.DataFrame({
            "estimate": np.where(inside, x, np.nan),
            "low": low,
            "high": high,
            "se": se,
            "censored": np.select([below, above], ["below", "above"], "none"),
        })  # fmt: skip

    def discordance(self, responses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return, for each row of replicate responses (n × k), by what factor to inflate a well's variance.

        1 where the replicates agree within the variance function; where they do not (chi-square, p < .001), the
        ratio of their own variance to the expected one.
        """
        y = np.asarray(responses, dtype=float)
        df = np.isfinite(y).sum(axis=1) - 1
        usable = df > 0
        factor = np.ones(len(y))
        if usable.any():
            expected = self.variance(np.nanmean(y[usable], axis=1))
            ratio = np.nanvar(y[usable], axis=1, ddof=1) / expected
            bad = stats.chi2.sf(df[usable] * ratio, df[usable]) < 0.001
            factor[usable] = np.where(bad, ratio, 1.0)
        return factor

    def band(self, concentration: NDArray[np.float64] | pd.Series, level: float = 0.95) -> pd.DataFrame:
        """Return the fitted curve with its confidence band: concentration, response, low, high."""
        x = np.asarray(concentration, dtype=float)
        half = stats.t.ppf((1 + level) / 2, self.variance.df) * np.sqrt(self._curve_variance(x))
        y = self.response(x)
        return pd.DataFrame({"concentration": x, "response": y, "low": y - half, "high": y + half})

    def back_calculated(self) -> pd.DataFrame:
        """Return the standards above zero, one row per level: concentration, n, back_calculated, recovery_percent."""
        points = self.points[self.points["concentration"] > 0]
        found = points.assign(back_calculated=self.invert(points["response"].to_numpy()))
        levels = found.groupby("concentration")["back_calculated"].agg(n="size", back_calculated="mean").reset_index()
        levels["recovery_percent"] = 100 * levels["back_calculated"] / levels["concentration"]
        return levels

    def _curve_variance(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        g = gradient(x, self.theta)
        return np.einsum("ij,jk,ik->i", g, self.covariance, g)

    def prediction_variance(self, x: NDArray[np.float64], replicates: int | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance of the mean response of ``replicates`` wells at each x: wells and fitted curve."""
        return self.variance(self.response(x)) / replicates + self._curve_variance(x)

    def shared_error(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the curve's part of the error of ln x: n × 5 (one column a parameter, 0 for a 4PL's fifth).

        What is read from one curve shares its error: the covariance of ln x_i and ln x_j is the product of rows i and
        j, and the sum of a row's squares its variance. Columns are those of the symmetric root of the covariance.
        """
        x = np.asarray(x, dtype=float)
        sd = np.sqrt(np.diag(self.covariance))
        scale = np.where(sd > 0, sd, 1.0)
        values, vectors = np.linalg.eigh(self.covariance / np.outer(scale, scale))
        root = scale[:, None] * (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        found = np.zeros((len(x), len(MODELS["5PL"])))
        found[:, : len(sd)] = -gradient(x, self.theta) / (slope(x, self.theta) * x)[:, None] @ root
        return found

    def _interval(
        self, y: NDArray[np.float64], x: NDArray[np.float64], replicates: NDArray[np.float64], level: float
    ) -> NDArray[np.float64]:
        """Ends of the set around x where the response is compatible with the curve; 0 or inf past the standards."""
        grid = np.linspace(np.log(self.lowest), np.log(self.highest), GRID)
        fitted, curve_variance = self.response(np.exp(grid)), self._curve_variance(np.exp(grid))
        well_variance = self.variance(fitted)
        t = stats.t.ppf((1 + level) / 2, self.variance.df)
        ends = np.empty((2, len(y)))
        for i, (response, centre, m) in enumerate(zip(y, np.log(x), replicates)):
            excess = np.abs(response - fitted) - t * np.sqrt(well_variance / m + curve_variance)
            outside = np.flatnonzero(excess > 0)
            left, right = outside[grid[outside] < centre], outside[grid[outside] > centre]
            ends[0, i] = np.exp(_crossing(grid, excess, left[-1], left[-1] + 1)) if left.size else 0.0
            ends[1, i] = np.exp(_crossing(grid, excess, right[0] - 1, right[0])) if right.size else np.inf
        return ends


def fit_curve(
    concentration: NDArray[np.float64] | pd.Series,
    response: NDArray[np.float64] | pd.Series | Sequence[float],
    model: str = "4PL",
    weights: str = "none",
    variance: Variance | None = None,
) -> Curve:
    """Fit a standard curve by bounded weighted least squares.

    Parameters
    ----------
    concentration : array of n, the standards' nominal concentrations, >= 0, one entry a well.
    response : array of n (optical density, percent bound or counts), rising or falling.
    model : "4PL" or "5PL".
    weights : "none"; "1/y" or "1/y2" by the observed response, which must then be positive; or "variance",
        by a variance function constant + quadratic * y^2 that is estimated with the curve, or given.
    variance : Variance of a well, where it is known from more than these standards (a plate's duplicates).
        Without it, the residuals of the fit give it, in the form that the weights assume.

    Returns
    -------
    Curve; standard errors from the covariance (J'WJ)^-1 J'WVWJ (J'WJ)^-1 with V the variance function.

    Raises
    ------
    CurveError if the standards cannot carry the model: too few, not finite, flat, or no convergence.
    """
    if model not in MODELS:
        raise CurveError(f"model {model!r} is not one of {', '.join(MODELS)}")
    if weights not in WEIGHTS:
        raise CurveError(f"weights {weights!r} are not one of {', '.join(WEIGHTS)}")
    x, y = _standards(concentration, response, len(MODELS[model]))
    if weights == "variance":
        w, theta = _fit_with_variance(x, y, model, variance)
    else:
        w = _fixed_weights(y, weights)
        theta = _minimise(x, y, w, model)
    fitted = respond(x, theta)
    residual = y - fitted
    df = len(x) - len(theta)
    residual_sd = np.sqrt(np.sum(w * residual**2) / df)
    if variance is None:
        variance = _variance_of(weights, w, fitted, residual_sd, df)
    covariance, condition = _covariance(x, theta, w, variance(fitted))
    positive = x[x > 0]
    return Curve(
        model=model,
        weights=weights,
        parameters=pd.DataFrame({
            "name": MODELS[model],
            "estimate": theta,
            "se": np.sqrt(np.diag(covariance)),
        }),
        covariance=covariance,
        points=pd.DataFrame({
            "concentration": x,
            "response": y,
            "fitted": fitted,
            "residual": residual,
            "weight": w,
        }),
        lowest=positive.min(),
        highest=positive.max(),
        variance=variance,
        residual_sd=residual_sd,
        df=df,
        aicc=_aicc(residual, w, len(theta)),
        notes=_notes(x, y, theta, covariance, condition),
    )  # fmt: skip


def compare_models(
    concentration: NDArray[np.float64],
    response: NDArray[np.float64],
    weights: str = "none",
    variance: Variance | None = None,
    fitted: Curve | None = None,
) -> pd.DataFrame:
    """Compare the 4PL with the 5PL on the same standards.

    ``fitted``: a `Curve` of one of them on these standards, which is not fitted again; or None.

    Returns DataFrame, one row per model: model, aicc, residual_sd, identified, f, p (of the 5PL's extra
    parameter; F test of nested least-squares fits), note. A model that cannot be fitted has NaN and its reason.
    """
    rows, fits = [], {}
    for model in MODELS:
        try:
            known = fitted is not None and fitted.model == model
            fit = fits[model] = fitted if known else fit_curve(concentration, response, model, weights, variance)
        except CurveError as error:
            rows.append(
                {"model": model, "aicc": np.nan, "residual_sd": np.nan, "identified": False, "note": str(error)}
            )
            continue
        rows.append({
            "model": model,
            "aicc": fit.aicc,
            "residual_sd": fit.residual_sd,
            "identified": fit.identified,
            "note": "; ".join(fit.notes),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    f = p = np.nan
    if len(fits) == len(MODELS) and weights != "variance":
        # With an estimated variance function the two fits have different weights, and no F test holds.
        small, large = fits["4PL"], fits["5PL"]
        rss_small, rss_large = small.residual_sd**2 * small.df, large.residual_sd**2 * large.df
        if rss_large > 0:
            f = max(rss_small - rss_large, 0.0) / (rss_large / large.df)
            p = stats.f.sf(f, 1, large.df)
    table["f"] = np.where(table["model"] == "5PL", f, np.nan)
    table["p"] = np.where(table["model"] == "5PL", p, np.nan)
    return table[["model", "aicc", "residual_sd", "identified", "f", "p", "note"]]


def respond(
    x: NDArray[np.float64], theta: NDArray[np.float64] | tuple[float, float, float, float]
) -> float | NDArray[np.float64]:
    """Response at concentrations ``x`` >= 0 under parameters a, b, c, d and, for a 5PL, g."""
    a, b, c, d, *rest = theta
    g = rest[0] if rest else 1.0
    return d + (a - d) * (1 + (x / c) ** b) ** -g


def invert(y: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Concentration at responses ``y``: 0 at or beyond the zero asymptote, infinity at or beyond the other."""
    a, b, c, d, *rest = theta
    g = rest[0] if rest else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (y - d) / (a - d)  # 1 at zero concentration, 0 at infinity
        x = c * (share ** (-1 / g) - 1) ** (1 / b)
    x = np.where(share >= 1, 0.0, np.where(share <= 0, np.inf, x))
    return np.where(np.isnan(y), np.nan, x)


def slope(x: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of the response by concentration, at ``x`` > 0."""
    a, b, c, d, *rest = theta
    g = rest[0] if rest else 1.0
    u = (x / c) ** b
    return -(a - d) * g * (1 + u) ** (-g - 1) * u * b / x


def gradient(x: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivatives of the response by each parameter: array n × p."""
    a, b, c, d, *rest = theta
    g = rest[0] if rest else 1.0
    u = (x / c) ** b
    s = (1 + u) ** -g
    log_ratio = np.log(np.where(x > 0, x / c, 1.0))  # u is 0 at x = 0, and so is the term
    common = (a - d) * g * s * u / (1 + u)
    columns = [s, -common * log_ratio, common * b / c, 1 - s]
    if rest:
        columns.append(-(a - d) * s * np.log1p(u))
    return np.stack(columns, axis=1)


def pooled_variance(
    means: pd.Series, variances: pd.Series, dfs: pd.Series, relative_floor: float = 1e-4
) -> Variance | None:
    """Estimate a plate's variance function, constant + quadratic * y^2, from its replicate groups.

    ``means``, ``variances``, ``dfs``: arrays, one entry a group of replicate wells. Groups whose variance
    is out of all proportion (one bad well, chi-square p < .001) are left out, starting from a median-based
    guess, so that one bad well does not widen every interval of the plate. Gamma likelihood.
    Returns None with fewer than 6 usable degrees of freedom.
    """
    m, s2, df = (np.asarray(v, dtype=float) for v in (means, variances, dfs))
    ok = np.isfinite(m) & np.isfinite(s2) & (df > 0)
    m, s2, df = np.abs(m[ok]), s2[ok], df[ok]
    if df.sum() < 6:
        return None
    floor = (relative_floor * m.max()) ** 2  # what a reader's last digit hides
    ratio = np.median(s2 / np.maximum(m**2, floor)) / stats.chi2.ppf(0.5, 1)
    expected = np.maximum(ratio * m**2, np.median(s2)) + floor
    for _ in range(3):
        kept = stats.chi2.sf(df * s2 / expected, df) > 0.001
        if df[kept].sum() < 6:
            return None
        constant, quadratic = _gamma_fit(m[kept], s2[kept], df[kept], floor)
        expected = constant + quadratic * m**2
    return Variance(constant, 0.0, quadratic, float(df[kept].sum()))


def _gamma_fit(
    m: NDArray[np.float64], s2: NDArray[np.float64], df: NDArray[np.float64], floor: float
) -> tuple[float, float]:
    """Maximum gamma likelihood of E[s2] = constant + quadratic m^2, both >= 0, each s2 with its df.

    The scale has a closed form for each share of the constant part, so one number is searched.
    """
    square = np.maximum(m**2, 1e-300) / max(float(np.mean(m**2)), 1e-300)
    total = df.sum()

    def scale(share: float) -> float:
        return np.sum(df * s2 / (share + (1 - share) * square)) / total

    def loss(share: float) -> float:
        return np.sum(df * np.log(share + (1 - share) * square)) + total * np.log(max(scale(share), floor))

    grid = 1 / (1 + np.exp(-np.linspace(-14, 14, 57)))
    best = int(np.argmin([loss(share) for share in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    share = float(optimize.minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-10}).x)
    level = max(float(scale(share)), floor)
    return max(level * share, floor / 100), level * (1 - share) / max(float(np.mean(m**2)), 1e-300)


def _standards(
    concentration: NDArray[np.float64] | pd.Series,
    response: NDArray[np.float64] | pd.Series | Sequence[float],
    n_parameters: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(concentration, dtype=float).ravel(), np.asarray(response, dtype=float).ravel()
    if x.shape != y.shape:
        raise CurveError(f"{x.size} concentrations but {y.size} responses")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise CurveError("a concentration or response is not a finite number: leave that well out")
    if (x < 0).any():
        raise CurveError("a concentration is negative")
    levels = np.unique(x)
    if levels.size < n_parameters or x.size <= n_parameters:
        raise CurveError(
            f"{x.size} standard wells at {levels.size} concentrations cannot carry {n_parameters} parameters"
        )
    means = np.array([y[x == level].mean() for level in levels])
    if np.ptp(means) <= 1e-9 * max(np.abs(y).max(), 1e-300):
        raise CurveError("the standards all have the same response")
    return x, y


def _fixed_weights(y: NDArray[np.float64], weights: str) -> NDArray[np.float64]:
    if weights == "none":
        return np.ones_like(y)
    if (y <= 0).any():
        raise CurveError(f"weights {weights} need positive responses, and a standard's is {y.min():.6g}")
    return 1 / y if weights == "1/y" else 1 / y**2


def _minimise(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    w: NDArray[np.float64],
    model: str,
    near: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Best bounded least-squares solution over a few starts (or from ``near``), polished to machine precision."""
    levels = np.unique(x)
    means = np.array([y[x == level].mean() for level in levels])
    positive = levels[levels > 0]
    span = np.ptp(y)
    top, bottom = y.max() + ASYMPTOTE_SPANS * span, y.min() - ASYMPTOTE_SPANS * span
    lower = [bottom, SLOPE_BOUNDS[0], np.log(positive[0] / CENTRE_FOLD), bottom]
    upper = [top, SLOPE_BOUNDS[1], np.log(positive[-1] * CENTRE_FOLD), top]
    if model == "5PL":
        lower.append(np.log(ASYMMETRY_BOUNDS[0]))
        upper.append(np.log(ASYMMETRY_BOUNDS[1]))
    root = np.sqrt(w / w.mean()) / span

    def natural(p: NDArray[np.float64]) -> NDArray[np.float64]:
        theta = np.array(p)
        theta[2] = np.exp(theta[2])
        if len(p) == 5:
            theta[4] = np.exp(theta[4])
        return theta

    def residuals(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return root * (respond(x, natural(p)) - y)

    def jacobian(p: NDArray[np.float64]) -> NDArray[np.float64]:
        theta = natural(p)
        g = gradient(x, theta) * root[:, None]
        g[:, 2] *= theta[2]
        if len(p) == 5:
            g[:, 4] *= theta[4]
        return g

    middle = (means[0] + means[-1]) / 2
    nearest = positive[np.argmin(np.abs(means[levels > 0] - middle))]
    best, agreeing = None, 0
    asymmetries = (1.0,) if model == "4PL" else (1.0, 0.5, 2.0)
    starts = [
        [means[0], b, np.log(nearest * fold), means[-1]] + ([np.log(g)] if model == "5PL" else [])
        for b, fold, g in product((1.5, 0.7, 4.0), (1.0, 1 / 3, 3.0), asymmetries)
    ]
    if near is not None:
        starts = [[near[0], near[1], np.log(near[2]), near[3], *np.log(near[4:])]]
    for start in starts:
        start = np.clip(start, np.array(lower) + 1e-9, np.array(upper) - 1e-9)
        found = optimize.least_squares(residuals, start, jacobian, bounds=(lower, upper), x_scale="jac", **TOLERANCE)
        if best is not None and abs(found.cost - best.cost) <= 1e-9 * best.cost + 1e-24:
            agreeing += 1
        elif best is None or (found.status > 0, -found.cost) > (best.status > 0, -best.cost):
            best, agreeing = found, 0
        # Further starts are for fits whose minimum is in doubt.
        if agreeing and best.status > 0:
            break
    if best.status <= 0:
        raise CurveError(f"the {model} fit did not converge")
    return natural(_polish(best.x, residuals, jacobian, np.array(lower), np.array(upper)))


def _polish(
    p: NDArray[np.float64],
    residuals: Callable[..., Any],
    jacobian: Callable[..., Any],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Gauss-Newton steps while they lower the sum of squares and stay inside the bounds."""
    cost = np.sum(residuals(p) ** 2)
    for _ in range(20):
        step = np.linalg.lstsq(jacobian(p), -residuals(p), rcond=None)[0]
        trial = p + step
        if not ((trial > lower) & (trial < upper)).all():
            break
        trial_cost = np.sum(residuals(trial) ** 2)
        if trial_cost >= cost:
            break
        p, cost = trial, trial_cost
    return p


def _fit_with_variance(
    x: NDArray[np.float64], y: NDArray[np.float64], model: str, variance: Variance
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Alternate between the curve and its variance function until the weights stand still."""
    theta = _minimise(x, y, np.ones_like(y), model)
    df, log_v = len(x) - len(theta), None
    for step in range(40):
        fitted = respond(x, theta)
        v = variance if variance is not None else _residual_variance(fitted, y - fitted, df)
        new = np.log(v(fitted))
        # Half steps after a while: whole ones may swing between two solutions.
        new = new if step < 4 else (log_v + new) / 2
        settled = log_v is not None and np.abs(new - log_v).max() < 1e-3
        log_v = new
        w = np.exp(log_v.mean() - log_v)
        theta = _minimise(x, y, w, model, near=theta)
        if settled:
            return w, theta
    raise CurveError("the variance function and the curve did not settle; use fixed weights")


def _residual_variance(fitted: NDArray[np.float64], residual: NDArray[np.float64], df: float) -> Variance:
    """Variance constant + quadratic y^2 from the residuals of a curve, corrected for its parameters."""
    n = len(fitted)
    scale = np.abs(fitted).max()
    constant, quadratic = _gamma_fit(np.abs(fitted), residual**2 * n / df, np.ones(n), (1e-4 * scale) ** 2)
    return Variance(constant, 0.0, quadratic, df)


def _variance_of(
    weights: str, w: NDArray[np.float64], fitted: NDArray[np.float64], residual_sd: float, df: int
) -> Variance:
    s2 = residual_sd**2
    if weights == "none":
        return Variance(s2, 0.0, 0.0, df)
    if weights == "1/y":
        return Variance(0.0, s2, 0.0, df)
    if weights == "1/y2":
        return Variance(0.0, 0.0, s2, df)
    # The weights are 1/v up to a constant: recover v by the same form.
    basis = np.stack([np.ones_like(fitted), fitted**2], axis=1)
    constant, quadratic = np.linalg.lstsq(basis, s2 / w, rcond=None)[0]
    return Variance(max(constant, 0.0), 0.0, max(quadratic, 0.0), df)


def _covariance(
    x: NDArray[np.float64], theta: NDArray[np.float64], w: NDArray[np.float64], v: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    g = gradient(x, theta)
    information = g.T @ (w[:, None] * g)
    scale = np.sqrt(np.diag(information))
    scale[scale == 0] = 1.0
    condition = np.linalg.cond(information / np.outer(scale, scale))
    inverse = np.linalg.pinv(information / np.outer(scale, scale), rcond=1e-14) / np.outer(scale, scale)
    return inverse @ (g.T @ ((w**2 * v)[:, None] * g)) @ inverse, condition


def _aicc(residual: NDArray[np.float64], w: NDArray[np.float64], p: int) -> float:
    n, k = len(residual), p + 1
    rss = max(float(np.sum(w * residual**2)), 1e-300)
    log_likelihood = -n / 2 * (np.log(2 * np.pi * rss / n) + 1) + np.sum(np.log(w)) / 2
    aic = 2 * k - 2 * log_likelihood
    return aic + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.nan


def _notes(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    theta: NDArray[np.float64],
    covariance: NDArray[np.float64],
    condition: float,
) -> tuple[str, ...]:
    """Say in words which parameters the standards do not determine."""
    se = np.sqrt(np.diag(covariance))
    positive, span, notes = x[x > 0], np.ptp(y), []
    margin = ASYMPTOTE_SPANS * span * 0.999
    for name, value in (("a", theta[0]), ("d", theta[3])):
        if value >= y.max() + margin or value <= y.min() - margin:
            notes.append(f"asymptote {name} ended at its bound")
    for name, value, (low, high) in (
        ("slope b", theta[1], SLOPE_BOUNDS),
        ("centre c", theta[2], (positive.min() / CENTRE_FOLD, positive.max() * CENTRE_FOLD)),
        *((("asymmetry g", theta[4], ASYMMETRY_BOUNDS),) if len(theta) == 5 else ()),
    ):
        if not low * 1.001 < value < high * 0.999:
            notes.append(f"{name} ended at its bound")
    relative = np.max(se[[1, 2]] / theta[[1, 2]])
    if not notes and len(theta) == 5 and max(relative, se[4] / theta[4]) > UNIDENTIFIED:
        notes.append("the asymmetry is not identified by these standards: use the 4PL")
    elif not notes and (condition > 1e12 or relative > UNIDENTIFIED):
        notes.append("slope and centre are not identified by these standards")
    return tuple(notes)


def _crossing(grid: NDArray[np.float64], excess: NDArray[np.float64], i: int, j: int) -> float:
    """Where ``excess`` changes sign between neighbours i and j, by linear interpolation."""
    if not 0 <= i < len(grid) or not 0 <= j < len(grid):
        return grid[min(max(i, 0), len(grid) - 1)]
    share = excess[i] / (excess[i] - excess[j])
    return grid[i] + share * (grid[j] - grid[i])
