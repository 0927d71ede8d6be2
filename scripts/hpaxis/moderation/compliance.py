"""What treatment does to those who take it, and dose: complier effects by two-stage least squares.

Complier average causal effect: Angrist, Imbens & Rubin (1996). A dose is chosen, not randomised: its table says
so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpaxis.moderation.covariance import covariance
from hpaxis.moderation.design import build_design, is_factor
from hpaxis.moderation.linear import coefficient_table, contrast_table, fit_linear, least_squares
from hpaxis.problems import InputError, Problem, raise_if_any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Design, Spec


def complier_table(design: Design, received: NDArray[np.float64], kind: str = "HC3") -> pd.DataFrame:
    """Return the effect of treatment received, and its product with the predictor, instrumented by the arm.

    ``received`` (n,): 1 where treatment was taken, else 0. Instruments: the arms and arms x predictor.
    ``kind``: OLS (classical), HC0 to HC4 or CR2 (the design's clusters) on the projected design. Raises `InputError`
    where treatment received is not 0 and 1 or does not vary. Columns: term, estimate, se, t, df, p, low,
    high, first_stage_f (F of the excluded instruments in the first stage; below 10 they are weak: Staiger &
    Stock, 1997), covariance, n.
    """
    raise_if_any(received_problems(received, design.moderator.levels))
    own_rows, y = design.weighted
    arms, x = own_rows[:, design.moderator_columns], design.x
    own = {*design.moderator_columns, *design.interactions}
    kept = [j for j in range(design.X.shape[1]) if j not in own]
    exogenous = own_rows[:, kept]
    endogenous = np.column_stack([received, received * x]) * design.root[:, None]
    X = np.column_stack([exogenous, endogenous])
    Z = np.column_stack([exogenous, arms, arms * x[:, None]])
    projected = np.column_stack([Z @ least_squares(Z, column)[0] for column in X.T])
    beta, _ = least_squares(projected, y)
    residuals = y - X @ beta
    k = X.shape[1]
    clusters = design.data[design.spec.cluster].to_numpy() if design.spec.cluster else None
    cov = covariance(kind, projected, residuals, clusters, design.data.index.to_numpy())
    table = contrast_table(beta, cov, np.eye(k), design.spec.alpha)
    names = [*(design.terms[j] for j in kept), "received", f"{design.spec.predictor}:received"]
    table.insert(0, "term", names)
    strength = [np.nan] * len(kept) + [_first_stage(exogenous, Z, d) for d in endogenous.T]
    return table.assign(first_stage_f=strength, covariance=kind, n=design.n)


def received_problems(received: NDArray[np.float64], levels: Sequence[Any] | None) -> list[Problem]:
    """Return the problems of a column of treatment received (n,): no arms, other values than 0 and 1, or only one."""
    if levels is None:
        return [
            Problem("data", "treatment received needs arms as the moderator", "leave received out", column="received")
        ]
    values = set(np.unique(received).tolist())
    if not values <= {0.0, 1.0}:
        return [
            Problem(
                "data",
                "holds other values than 0 and 1",
                "code it 1 where treatment was taken, else 0",
                column="received",
            )
        ]
    if len(values) < 2:
        what = "is the same for everybody, so that no arm was taken more than another"
        return [Problem("data", what, "leave received out", column="received")]
    return []


def _first_stage(exogenous: NDArray[np.float64], Z: NDArray[np.float64], d: NDArray[np.float64]) -> float:
    """F of the instruments that are not in the outcome's equation."""
    _, full = least_squares(Z, d)
    _, less = least_squares(exogenous, d)
    q, df = Z.shape[1] - exogenous.shape[1], len(d) - Z.shape[1]
    rest = full @ full
    return np.inf if rest < 1e-12 * (less @ less) else float((less @ less - rest) / q / (rest / df))


def dose_table(data: pd.DataFrame, spec: Spec, dose: str, kind: str = "HC3") -> pd.DataFrame:
    """Return the coefficients of outcome on predictor x dose within each arm that gives different doses.

    One model per arm: over several arms together dose would stand for the arm too. Columns as the coefficient table,
    then arms, n and randomised (always False: dose is chosen by families, so that no slope here is an effect of
    treatment).
    """
    if is_factor(data[dose]):
        raise InputError(Problem("data", "is text, but a dose must be a number", "give a numeric column", column=dose))
    varied = [a for a, d in data.groupby(spec.moderator, observed=True)[dose] if d.nunique() > 1]
    if not varied:
        raise InputError(Problem("data", "does not vary within any arm", "leave dose out", column=dose))
    tables = []
    for arm in varied:
        design = build_design(data[data[spec.moderator] == arm], replace(spec, moderator=dose, reference=None))
        table = coefficient_table(fit_linear(design, kind))
        tables.append(table.assign(arms=str(arm), n=design.n, randomised=False))
    return pd.concat(tables, ignore_index=True)
