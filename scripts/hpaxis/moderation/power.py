"""What interaction would be found: power by simulation, at the data's own design or a planned one.

Effects are Cohen's f2 = dR2 / (1 - R2) of the product terms. The exact power under normal theory has the
noncentral F with noncentrality f2 n (Cohen, 1988; the convention of G*Power).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import optimize, stats

from hpaxis.moderation.batches import many_designs, t_and_f
from hpaxis.moderation.covariance import KINDS
from hpaxis.moderation.design import MINIMUM_PER_ARM
from hpaxis.moderation.seeds import generator
from hpaxis.problems import Problem, raise_if_any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.linear import LinearFit

F2 = (0.02, 0.05, 0.10, 0.15, 0.20, 0.25, 0.35, 0.50)
TARGET = 0.80


def exact_power(f2: float, n: int, terms: int, tested: int = 1, alpha: float = 0.05) -> float:
    """Return the power of the F test of ``tested`` of a model's ``terms`` (intercept included) at n rows."""
    df = n - terms
    return float(stats.ncf.sf(stats.f.isf(alpha, tested, df), tested, df, f2 * n))


def detectable_f2(n: int, terms: int, tested: int = 1, alpha: float = 0.05, power: float = TARGET) -> float:
    """Return the f2 that the F test finds with probability ``power``."""
    return float(optimize.brentq(lambda f2: exact_power(f2, n, terms, tested, alpha) - power, 1e-9, 100))


def power_table(
    fit: LinearFit, draws: int, seed: int, name: str = "", reliability: float = 1.0, effects: Sequence[float] = F2
) -> pd.DataFrame:
    """Return the simulated power of the interaction at the data's own n, arms, covariates and leverage.

    In each of ``draws`` samples per effect the data's own rows of X are kept, errors are drawn from its centred
    residuals (scaled to their unbiased variance), and the interaction is set to the effect. Where
    ``reliability`` is below 1 the predictor that is analysed carries that much error on top of the one that
    acts. Columns: f2, b3 (first product term on the model's scale), power, se (of the simulation), exact
    (normal theory, no error), covariance, n.
    """
    design = fit.design
    kind = "HC3" if fit.cov.kind == "CR2" else fit.cov.kind
    n, k = design.X.shape
    q = len(design.interactions)
    residuals = (fit.residuals - fit.residuals.mean()) * np.sqrt(n / (n - k))
    rng = generator(seed, name, "power")
    errors = rng.choice(residuals, (draws, n))
    noise = rng.standard_normal((draws, n)) * design.x.std(ddof=1) * np.sqrt((1 - reliability) / reliability)
    alpha = design.spec.alpha
    exact = [exact_power(f, n, k, q, alpha) for f in effects]
    terms = design.interactions, design.moderator_columns
    table = _curve(design.X, *terms, errors, noise, kind, effects, alpha, design.root)
    return table.assign(exact=exact, covariance=kind, n=n)


def design_power(
    n_per_arm: Sequence[int],
    draws: int,
    seed: int,
    skewed: bool = False,
    reliability: float = 1.0,
    covariates: int = 0,
    kind: str = "HC3",
    alpha: float = 0.05,
    effects: Sequence[float] = F2,
) -> pd.DataFrame:
    """Return the power of a planned study that has no data yet: as `power_table`.

    ``n_per_arm``: a number for each arm, the reference first. The predictor is normal, or log-normal
    (``skewed``), of one SD; covariates are normal and unrelated; errors normal.
    """
    raise_if_any(plan_problems(n_per_arm, draws, reliability, covariates, kind))
    n, q = sum(n_per_arm), len(n_per_arm) - 1
    arm = np.repeat(np.arange(len(n_per_arm)), n_per_arm)
    rng = generator(seed, "design", *n_per_arm, skewed, covariates)
    arms = (arm[:, None] == np.arange(1, q + 1)).astype(float)
    Z = rng.standard_normal((draws, n))
    x = (np.exp(Z) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e) if skewed else Z
    C = rng.standard_normal((draws, n, covariates))
    X = np.concatenate([
        np.ones((draws, n, 1)), x[..., None], np.broadcast_to(arms, (draws, n, q)), C, x[..., None] * arms,
    ], axis=2)  # fmt: skip
    columns, moderators = list(range(2 + q + covariates, 2 + 2 * q + covariates)), list(range(2, 2 + q))
    noise = rng.standard_normal((draws, n)) * np.sqrt((1 - reliability) / reliability)
    table = _curve(X, columns, moderators, rng.standard_normal((draws, n)), noise, kind, effects, alpha)
    exact = [exact_power(f, n, X.shape[2], q, alpha) for f in effects]
    return table.assign(exact=exact, covariance=kind, n=n)


def plan_problems(
    n_per_arm: Sequence[int], draws: int, reliability: float, covariates: int, kind: str
) -> list[Problem]:
    """Return the problems of a planned study: arms, people, reliability, draws, covariance."""
    problems = []

    def add(what: str, remedy: str, column: str, value: object) -> None:
        problems.append(Problem("power", what, remedy, column=column, value=value))

    if len(n_per_arm) < 2:
        add("is one arm", "give the people of each arm, such as 22 22", "n", n_per_arm[0])
    for n in dict.fromkeys(n for n in n_per_arm if n < MINIMUM_PER_ARM):
        add(f"is fewer than the {MINIMUM_PER_ARM} people an arm needs", "plan more people", "n", n)
    if covariates < 0:
        add("is no number of covariates", "give 0 or more", "covariates", covariates)
    elif covariates and sum(n_per_arm) <= 2 * len(n_per_arm) + covariates:
        add("are more covariates than these people can carry", "use fewer", "covariates", covariates)
    if not 0 < reliability <= 1:
        add("is no reliability", "give a number above 0 and up to 1", "reliability", reliability)
    if draws < 100:
        add("are too few draws", "use at least 100", "draws", draws)
    if kind not in KINDS or kind == "CR2":
        add("is no covariance of a plan", f"use one of {', '.join(k for k in KINDS if k != 'CR2')}", "covariance", kind)
    return problems


def _curve(
    X: NDArray[np.float64],
    columns: Sequence[int],
    moderators: Sequence[int],
    errors: NDArray[np.float64],
    noise: NDArray[np.float64],
    kind: str,
    effects: Sequence[float],
    alpha: float,
    root: NDArray[np.float64] | float = 1.0,
) -> pd.DataFrame:
    """Simulated power at each effect; ``X`` (n, k) or (draws, n, k), ``errors`` and ``noise`` (draws, n).

    ``root``: the root of each row's weight.
    """
    draws, n = errors.shape
    X = np.broadcast_to(X, (draws, n, X.shape[-1]))
    k, q = X.shape[-1], len(columns)
    seen = X.copy()
    seen[:, :, 1] += noise
    seen[:, :, columns] = seen[:, :, [1]] * X[:, :, moderators]
    each = np.broadcast_to(root, n)[:, None]
    X, seen, errors = X * each, seen * each, errors * each[:, 0]
    # What the products add beyond the rest, which f2 is a share of: its variance in each draw.
    rest = np.delete(X, columns, axis=2)
    product = X[:, :, columns].sum(axis=2)
    coefficients = np.linalg.solve(np.swapaxes(rest, 1, 2) @ rest, np.einsum("Nnk,Nn->Nk", rest, product)[..., None])
    left = product - (rest @ coefficients)[..., 0]
    unit = np.sqrt((errors**2).sum() / (left**2).sum())
    rows = []
    for f2 in effects:
        b3 = np.sqrt(f2) * unit
        b, V = many_designs(seen, errors + b3 * product, kind)
        _, F = t_and_f(b[:, columns], V[:, columns][:, :, columns])
        power = float((stats.f.sf(F, q, n - k) < alpha).mean())
        rows.append((f2, b3, power, np.sqrt(power * (1 - power) / draws)))
    return pd.DataFrame(rows, columns=["f2", "b3", "power", "se"])


def detectable_table(table: pd.DataFrame, n: int, terms: int, tested: int, alpha: float) -> pd.DataFrame:
    """Return the f2 found with 80 % power: on the simulated curve, and exact under normal theory."""
    power = np.maximum.accumulate(table["power"].to_numpy())
    reached = np.flatnonzero(power >= TARGET)
    simulated = np.nan
    if len(reached) and reached[0] > 0:
        i = reached[0]
        simulated = float(np.interp(TARGET, power[i - 1 : i + 1], table["f2"].to_numpy()[i - 1 : i + 1]))
    return pd.DataFrame({
        "power": [TARGET], "f2_simulated": [simulated], "f2_exact": [detectable_f2(n, terms, tested, alpha)],
    })  # fmt: skip
