"""What treatment does to those who take it, and dose: complier effects by two-stage least squares.

Complier average causal effect: Angrist, Imbens & Rubin (1996). A dose is chosen, not randomised: its table says
so.
"""

from dataclasses import replace

import numpy as np

from hpaxis.moderation.covariance import cross_inverse, hat_values, hc_weights
from hpaxis.moderation.design import build_design
from hpaxis.moderation.linear import coefficient_table, fit_linear, least_squares, t_table


def complier_table(design, received, kind="HC3"):
    """Return the effect of treatment received, and its product with the predictor, instrumented by the arm.

    ``received`` (n,): 1 where treatment was taken, else 0. Instruments: the arms and arms x predictor.
    ``kind``: OLS (classical) or HC0 to HC4 on the projected design. Columns: term, estimate, se, t, df, p, low,
    high, first_stage_f (F of the excluded instruments in the first stage; below 10 they are weak: Staiger &
    Stock, 1997), covariance, n.
    """
    arms, x = design.X[:, design.moderator_columns], design.x
    own = {*design.moderator_columns, *design.interactions}
    kept = [j for j in range(design.X.shape[1]) if j not in own]
    exogenous = design.X[:, kept]
    endogenous = np.column_stack([received, received * x])
    X = np.column_stack([exogenous, endogenous])
    Z = np.column_stack([exogenous, arms, arms * x[:, None]])
    projected = np.column_stack([Z @ least_squares(Z, column)[0] for column in X.T])
    bread = cross_inverse(projected)
    beta = bread @ projected.T @ design.y
    residuals = design.y - X @ beta
    n, k = X.shape
    if kind == "OLS":
        V = bread * (residuals @ residuals / (n - k))
    else:
        half = projected @ bread * (residuals * np.sqrt(hc_weights(kind, hat_values(projected))))[:, None]
        V = half.T @ half
    table = t_table(beta, np.sqrt(np.diag(V)), np.full(k, float(n - k)), design.spec.alpha)
    names = [*(design.terms[j] for j in kept), "received", f"{design.spec.predictor}:received"]
    table.insert(0, "term", names)
    strength = [np.nan] * len(kept) + [_first_stage(exogenous, Z, d) for d in endogenous.T]
    return table.assign(first_stage_f=strength, covariance=kind, n=n)


def _first_stage(exogenous, Z, d):
    """F of the instruments that are not in the outcome's equation."""
    _, full = least_squares(Z, d)
    _, less = least_squares(exogenous, d)
    q, df = Z.shape[1] - exogenous.shape[1], len(d) - Z.shape[1]
    rest = full @ full
    return np.inf if rest < 1e-12 * (less @ less) else float((less @ less - rest) / q / (rest / df))


def dose_table(data, spec, dose, kind="HC3"):
    """Return the coefficients of outcome on predictor x dose among those whose arm gives different doses.

    Columns as the coefficient table, then arms, n and randomised (always False: dose is chosen by families, so
    that no slope here is an effect of treatment).
    """
    varied = [a for a, d in data.groupby(spec.moderator, observed=True)[dose] if d.nunique() > 1]
    rows = data[data[spec.moderator].isin(varied)]
    design = build_design(rows, replace(spec, moderator=dose, reference=None))
    table = coefficient_table(fit_linear(design, kind))
    return table.assign(arms=", ".join(map(str, varied)), n=design.n, randomised=False)
