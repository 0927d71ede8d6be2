"""Measurement error of the predictor: reliability by arm, and slopes corrected for it.

Regression calibration and SIMEX: Carroll, Ruppert, Stefanski & Crainiceanu (2006); SIMEX variance: Stefanski &
Cook (1995). A reliability that differs by arm makes slopes differ where none do: it fakes moderation.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from hpaxis.moderation.batches import many_designs, weighted_coefficients
from hpaxis.moderation.linear import STATISTICS, least_squares, t_table
from hpaxis.moderation.resample import bootstrap_counts, units
from hpaxis.moderation.slopes import quantities

# Error added, in units of the error there is; the fit in these is carried to -1 (no error).
SIMEX_STEPS = np.array([0.5, 1.0, 1.5, 2.0])
LOWEST_RELIABILITY = 0.1


def reliability_table(design, error):
    """Return the reliability of the predictor in all rows and in each arm.

    ``error`` (n,): standard error of each predictor value, in the predictor's own unit before standardising
    (from read counts and conversion, or replicates). Reliability = 1 - mean error variance / variance. Columns:
    arm, n, variance, error_variance, reliability.
    """
    scaled = error / predictor_sd(design)
    groups = {"all": np.ones(design.n, dtype=bool)}
    if design.moderator.levels is not None:
        groups |= {str(a): design.arm == a for a in design.moderator.levels}
    rows = [
        (name, int(g.sum()), design.x[g].var(ddof=1), (scaled[g] ** 2).mean(), _reliability(design.x[g], scaled[g]))
        for name, g in groups.items()
    ]
    return pd.DataFrame(rows, columns=["arm", "n", "variance", "error_variance", "reliability"])


def reliability_from_replicates(values, participant):
    """Return ``(reliability, error SE)`` of one measurement from replicates: one-way ANOVA, ICC(1,1).

    ``values`` (m,) measured on ``participant`` (m,); participants with one value are left out. Shrout & Fleiss
    (1979).
    """
    table = pd.DataFrame({"value": values, "participant": participant}).dropna()
    table = table[table.groupby("participant")["value"].transform("size") > 1]
    groups = table.groupby("participant")["value"]
    counts, n, N = groups.size(), groups.ngroups, len(table)
    within = ((table["value"] - groups.transform("mean")) ** 2).sum() / (N - n)
    between = (counts * (groups.mean() - table["value"].mean()) ** 2).sum() / (n - 1)
    k = (N - (counts**2).sum() / N) / (n - 1)
    return float((between - within) / (between + (k - 1) * within)), float(np.sqrt(within))


def predictor_sd(design):
    """Return what the predictor was divided by: its SD where it is standardised, else 1."""
    scale = design.scales.loc[design.spec.predictor]
    return scale["sd"] if scale["standardised"] else 1.0


def _reliability(x, error):
    return 1 - (error**2).mean() / x.var(ddof=1)


def corrected_table(fit, error, draws, rng, at="mean_sd"):
    """Return naive and corrected slopes and product terms beside each other.

    ``error`` (n,) as in `reliability_table`; ``draws`` of the bootstrap for regression calibration, and of each
    SIMEX step. Columns: method, quantity, estimate, se, t, df, p, low, high. A method is left out where the
    error leaves less than a tenth of the predictor's variance in an arm.
    """
    design = fit.design
    scaled = error / predictor_sd(design)
    names, C = quantities(design, at)
    tables = [fit.contrasts(C).assign(method="naive")]
    calibrated = calibrate(design, scaled)
    if calibrated is not None:
        tables.append(_calibration(fit, scaled, C, draws, rng).assign(method="regression calibration"))
        tables.append(_simex(fit, scaled, C, draws, rng).assign(method="SIMEX"))
    for table in tables:
        table.insert(0, "quantity", names)
    return pd.concat(tables, ignore_index=True)[["method", "quantity", *STATISTICS]]


def calibrate(design, error, counts=None):
    """Return the predictor's expected true value (n,) given what was measured, covariates and moderator.

    Within each arm E(X | W, Z) = m(Z) + r_i (W - m(Z)), r_i = s2 / (s2 + error_i^2), s2 the residual variance
    of W on Z less the mean error variance. ``counts`` (n,) weigh the rows (a bootstrap draw). None where s2 is
    less than a tenth of the residual variance.
    """
    counts = np.ones(design.n) if counts is None else counts
    x, result = design.x, np.empty(design.n)
    other = [j for j in range(design.X.shape[1]) if j not in (1, *design.interactions, *design.moderator_columns)]
    arms = design.moderator.levels is not None
    Z = design.X[:, other] if arms else np.column_stack([design.X[:, other], design.X[:, design.moderator_columns]])
    for g in [design.arm == a for a in design.moderator.levels] if arms else [np.ones(design.n, dtype=bool)]:
        w = np.sqrt(counts[g])
        mean = Z[g] @ np.linalg.lstsq(Z[g] * w[:, None], x[g] * w, rcond=None)[0]
        df = max(counts[g].sum() - Z.shape[1], 1)
        total = (counts[g] * (x[g] - mean) ** 2).sum() / df
        true = total - (counts[g] * error[g] ** 2).sum() / counts[g].sum()
        if true < LOWEST_RELIABILITY * total:
            return None
        result[g] = mean + true / (true + error[g] ** 2) * (x[g] - mean)
    return result


def with_predictor(design, x):
    """Return the design with its predictor, and the products, replaced by ``x`` (n,)."""
    X = design.X.copy()
    X[:, 1] = x
    X[:, design.interactions] = x[:, None] * X[:, design.moderator_columns]
    return replace(design, X=X)


def _calibration(fit, error, C, draws, rng):
    """Estimates on the calibrated predictor; errors from a bootstrap that calibrates anew in every draw."""
    design = fit.design
    beta, _ = least_squares(with_predictor(design, calibrate(design, error)).X, design.y)
    unit, stratum = units(design)
    drawn = []
    for counts in bootstrap_counts(unit, stratum, draws, rng):
        x = calibrate(design, error, counts)
        if x is not None:
            drawn.append(weighted_coefficients(with_predictor(design, x).X, design.y, counts[None])[0] @ C.T)
    se = np.nanstd(drawn, axis=0, ddof=1)
    return t_table(C @ beta, se, fit.cov.df(C), design.spec.alpha)


def _simex(fit, error, C, draws, rng):
    """Quadratic extrapolation of estimates and of their variance to no measurement error."""
    design = fit.design
    kind = "HC3" if fit.cov.kind == "CR2" else fit.cov.kind
    steps, estimates, variances = [0.0], [C @ fit.beta], [fit.cov.variance(C)]
    noise = rng.standard_normal((draws, design.n)) * error
    for step in SIMEX_STEPS:
        X = np.repeat(design.X[None], draws, axis=0)
        X[:, :, 1] = design.x + np.sqrt(step) * noise
        X[:, :, design.interactions] = X[:, :, [1]] * design.X[:, design.moderator_columns]
        b, V = many_designs(X, design.y, kind)
        b = b @ C.T
        steps.append(step)
        estimates.append(b.mean(axis=0))
        variances.append(np.einsum("ij,Njk,ik->Ni", C, V, C).mean(axis=0) - b.var(axis=0, ddof=1))
    at_none = np.array([1.0, -1.0, 1.0])
    basis = np.vander(steps, 3, increasing=True)
    estimate = at_none @ np.linalg.lstsq(basis, np.array(estimates), rcond=None)[0]
    variance = at_none @ np.linalg.lstsq(basis, np.array(variances), rcond=None)[0]
    se = np.sqrt(np.where(variance > 0, variance, np.nan))
    return t_table(estimate, se, fit.cov.df(C), design.spec.alpha)
