"""PCR bias between methylated and unmethylated templates: curves from standards of known percentage, and their inverse.

The observed level y of a standard of known level x follows y = x (``none``); a straight line through the lowest and the
highest standard (``minmax``); (a x + b) / (c x + 1) (``hyperbolic``; Warnecke et al., 1997, for PCR bias); or a cubic
(``cubic``; Moskalev et al., 2011). All are fractions. Curves are fitted by least squares with the standards' errors as
weights, and compared by AICc; one that costs more than it explains is not used.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq, curve_fit

from hpaxis.quantiles import chi2_quantile, normal_quantile

METHODS = ("none", "minmax", "hyperbolic", "cubic")
COLUMNS = (
    "panel", "index", "assay", "method", "a", "b", "c", "d", "a_se", "b_se", "c_se", "d_se", "chi_square", "aicc", "n",
    "lowest", "highest", "scatter", "scatter_df", "chosen", "reason",
)  # fmt: skip
LEAST_POINTS = 4
# A curve must be this much better than none (difference of AICc) to be believed.
BETTER = 2.0
FLATTEST = 0.05
# Standards scatter beyond their errors where χ² is that improbable; then levels do too (see `with_scatter`).
IMPROBABLE = 0.05
LEAST_INNER, LARGEST_SCATTER = 3, 0.5
GRID = np.linspace(0, 1, 1001)


def _minmax(x, a, b):
    return a * x + b


def _hyperbolic(x, a, b, c):
    return (a * x + b) / (c * x + 1)


def _cubic(x, a, b, c, d):
    return a * x + b + c * x**2 + d * x**3


CURVES = {"minmax": (_minmax, (1.0, 0.0)), "hyperbolic": (_hyperbolic, (1.0, 0.0, 0.0)),
          "cubic": (_cubic, (1.0, 0.0, 0.0, 0.0))}  # fmt: skip


@dataclass(frozen=True)
class CalibrationCurve:
    """A fitted curve: parameters with their covariance, χ², AICc, the standards' range, and why it cannot be used.

    ``scatter``: what standards, and so levels, differ by beyond their errors, as a share of p (1 - p) (see
    `with_scatter`), known from ``scatter_df`` degrees of freedom.
    """

    method: str
    values: np.ndarray
    covariance: np.ndarray
    chi_square: float
    aicc: float
    n: int
    lowest: float
    highest: float
    fault: str | None = None
    scatter: float = 0.0
    scatter_df: float = np.inf

    def at(self, x):
        """Observed level for a true one."""
        x = np.asarray(x, dtype=float)
        return x if self.method == "none" else CURVES[self.method][0](x, *self.values)

    def slope(self, x):
        """Derivative of `at`."""
        if self.method == "none":
            return np.ones_like(np.asarray(x, dtype=float))
        step = 1e-6
        return (self.at(x + step) - self.at(x - step)) / (2 * step)

    def variance(self, x):
        """Variance of `at` from that of the parameters (delta method)."""
        if self.method == "none":
            return 0.0
        steps = np.diag(1e-6 * np.maximum(np.abs(self.values), 1e-2))
        curve = CURVES[self.method][0]
        gradient = np.array([
            (curve(x, *(self.values + s)) - curve(x, *(self.values - s))) / (2 * s.sum()) for s in steps
        ])  # fmt: skip
        return float(gradient @ self.covariance @ gradient)

    def invert(self, y):
        """True level for an observed one; beyond 0 and 1 the curve goes on as a straight line."""
        if self.method == "none" or not np.isfinite(y):
            return float(y)
        for end, beyond in ((0.0, y < self.at(0.0)), (1.0, y > self.at(1.0))):
            if beyond:
                return float(end + (y - self.at(end)) / self.slope(end))
        return float(brentq(lambda x: float(self.at(x)) - y, 0.0, 1.0, xtol=1e-12))


NONE = CalibrationCurve("none", np.empty(0), np.empty((0, 0)), np.nan, np.nan, 0, np.nan, np.nan)


def fit_curves(known, observed, errors):
    """Fit every method: list of `CalibrationCurve`, ``none`` first.

    ``known``, ``observed``, ``errors``: fractions, one a standard.
    """
    x, y, error = (np.asarray(v, dtype=float) for v in (known, observed, errors))
    found = []
    for method in METHODS:
        found.append(_fit(method, x, y, error))
    return found


def _fit(method, x, y, error):
    n, k = len(x), len(CURVES[method][1]) if method != "none" else 0
    ends = (n, float(x.min()), float(x.max()))
    blank = np.full(k, np.nan), np.full((k, k), np.nan), np.nan, np.nan
    if k and (n < k + 2 or len(np.unique(x)) < k):
        return CalibrationCurve(method, *blank, *ends, f"{n} standards are too few for {k} parameters")
    values, covariance = np.empty(0), np.empty((0, 0))
    if method == "minmax":
        values, covariance = _line(x, y, error)
    elif k:
        curve, start = CURVES[method]
        try:
            values, covariance = curve_fit(curve, x, y, p0=start, sigma=error, absolute_sigma=True, maxfev=20_000)
        except RuntimeError:
            return CalibrationCurve(method, *blank, *ends, "the fit does not converge")
    fitted = CalibrationCurve(method, values, covariance, np.nan, np.nan, *ends)
    chi_square = float((((y - fitted.at(x)) / error) ** 2).sum())
    aicc = chi_square + 2 * k + 2 * k * (k + 1) / (n - k - 1)
    fault = None
    if not np.isfinite(covariance).all():
        fault = "the standards do not determine its parameters"
    elif k and (np.diff(fitted.at(GRID)) <= FLATTEST * np.diff(GRID)).any():
        fault = "does not rise everywhere between 0 and 100 %"
    return CalibrationCurve(method, values, covariance, chi_square, aicc, *ends, fault)


def _line(x, y, error):
    """Line through the weighted means of the lowest and of the highest standards: values and covariance."""
    (low, v_low), (high, v_high) = (_mean(y[x == end], error[x == end]) for end in (x.min(), x.max()))
    width = x.max() - x.min()
    # slope = (high - low) / width, intercept = low - slope * lowest
    to_low = np.array([-1 / width, 1 + x.min() / width])
    to_high = np.array([1 / width, -x.min() / width])
    values = to_low * low + to_high * high
    return values, v_low * np.outer(to_low, to_low) + v_high * np.outer(to_high, to_high)


def _mean(values, errors):
    weight = 1 / errors**2
    return weight @ values / weight.sum(), 1 / weight.sum()


def choose(curves, setting):
    """The curve to use and the reason: the one asked for, or by AICc; ``none`` where that one cannot be used."""
    by_name = {c.method: c for c in curves}
    if setting != "auto":
        asked = by_name[setting]
        if asked.fault is None:
            return asked, "asked for"
        return by_name["none"], f"{setting} was asked for, but {asked.fault}"
    sound = [c for c in curves if c.fault is None]
    best = min(sound, key=lambda c: c.aicc)
    gain = by_name["none"].aicc - best.aicc
    if best.method == "none" or gain < BETTER:
        return by_name["none"], "no curve is better by AICc: no bias beyond the standards' error"
    return best, f"AICc lower by {gain:.3g} than without a curve"


def excess_scatter(deviations, variances, weights, df):
    """Kappa for which Σ d² / (v + kappa w) equals ``df`` (Paule and Mandel, 1982); 0 where it is no larger at 0."""
    d, v, w = (np.asarray(a, dtype=float) for a in (deviations, variances, weights))

    def cost(kappa):
        return float((d**2 / (v + kappa * w)).sum()) - df

    if cost(0.0) <= 0:
        return 0.0
    return LARGEST_SCATTER if cost(LARGEST_SCATTER) >= 0 else float(brentq(cost, 0.0, LARGEST_SCATTER))


def with_scatter(curve, known, observed, errors):
    """The curve with what its standards scatter by beyond their errors: the accuracy that repeats cannot show.

    A standard goes through conversion and PCR of its own, as every library does. Where χ² of those between 0 and 100 %
    is improbable, variance kappa p (1 - p) makes up for it. Without enough of them, or where their errors suffice,
    there is none.
    """
    x, y, error = (np.asarray(v, dtype=float) for v in (known, observed, errors))
    inner = (x > 0) & (x < 1)
    df = inner.sum() * (1 - len(curve.values) / len(x))
    if inner.sum() < LEAST_INNER or df < 1:
        return curve
    d, v = (y - curve.at(x))[inner], error[inner] ** 2
    if (d**2 / v).sum() <= chi2_quantile(1 - IMPROBABLE, df):
        return curve
    weights = x[inner] * (1 - x[inner])
    return replace(curve, scatter=excess_scatter(d, v, weights, df), scatter_df=float(df))


def calibrate(found, curve, confidence):
    """An `estimate.Estimate` through the inverse of a curve.

    The error is that of the observed level and of the fit (delta method); the interval's ends are mapped, and widened
    by the fit's part.
    """
    if curve.method == "none":
        return found
    z = normal_quantile(0.5 + confidence / 2)
    rows = []
    for y, se, low, high in zip(found.beta, found.se, found.low, found.high):
        if not np.isfinite(y):
            rows.append((np.nan,) * 4)
            continue
        x, ends = curve.invert(y), (curve.invert(low), curve.invert(high))
        slope, fit = float(curve.slope(x)), curve.variance(x)
        reach = z**2 * fit / slope**2
        error = np.sqrt(se**2 + fit) / slope
        rows.append((x, error, x - np.sqrt((x - ends[0]) ** 2 + reach), x + np.sqrt((ends[1] - x) ** 2 + reach)))
    beta, se, low, high = np.transpose(rows)
    return type(found)(raw=found.raw, beta=beta, se=se, low=low, high=high)


def table_rows(panel, index, curves, chosen, reason):
    """Rows of calibration.tsv, one a method."""
    rows = []
    for curve in curves:
        errors = np.sqrt(np.diag(curve.covariance))
        row = {"panel": panel, "index": index, "method": curve.method}
        row |= dict(zip("abcd", curve.values)) | {f"{n}_se": e for n, e in zip("abcd", errors)}
        row |= {"chi_square": curve.chi_square, "aicc": curve.aicc, "n": curve.n, "lowest": curve.lowest,
                "highest": curve.highest, "chosen": "yes" if curve.method == chosen.method else "no"}  # fmt: skip
        if curve.method == chosen.method and chosen.scatter:
            row |= {"scatter": chosen.scatter, "scatter_df": chosen.scatter_df}
        rows.append(row | {"reason": reason if curve.method == chosen.method else curve.fault})
    return rows


def scatter_note(curve):
    """A note where standards scatter beyond their errors, which intervals then hold."""
    if not curve.scatter:
        return []
    what = "standards scatter beyond their errors: what preparations differ by"
    return [("pass", f"{what} is in every interval ({100 * np.sqrt(curve.scatter) / 2:.2g} points at 50 %)")]


def extrapolated(curve, value):
    """A reason where a calibrated level lies outside the standards."""
    if curve.method == "none" or not np.isfinite(value) or curve.lowest <= value <= curve.highest:
        return []
    low, high = 100 * curve.lowest, 100 * curve.highest
    return [("warn", f"calibrated level {100 * value:.3g} % is outside the standards, {low:.3g} to {high:.3g} %")]
