"""A mixed model beside CR2: a random effect of therapists, families or sites, also where only one arm has them.

Partially nested trials: Roberts & Roberts (2005), Bauer, Sterba & Hallfors (2008). Fit by REML;
degrees of freedom after Satterthwaite, as Giesbrecht & Burns (1985) derive them from the expected information; the
interval of the intraclass correlation from the one-way F (Searle, 1971; Donner, 1979).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import optimize, stats

from hpaxis.moderation.design import Design
from hpaxis.moderation.linear import STATISTICS, least_squares, t_table
from hpaxis.moderation.slopes import quantities
from hpaxis.problems import InputError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = [
    "quantity", *STATISTICS, "group", "groups", "nested_in", "n", "group_variance", "residual_variance", "icc",
    "icc_low", "icc_high", "note",
]  # fmt: skip
# Below this many groups neither REML's variance nor CR2 says much (McNeish & Stapleton, 2016).
FEW_GROUPS = 10
# The largest ratio of the standard deviations between groups and within that is searched.
LARGEST_RATIO = 20.0


def mixed_table(design: Design, group: pd.Series, at: str | list = "mean_sd") -> pd.DataFrame:
    """Return product terms, slopes and the moderator's own terms of a model with a random effect of ``group``.

    ``group`` (n,): the therapist, family or site of each complete case; missing where a row belongs to none, as in a
    control arm without therapists: there the effect does not enter, so that the design is partially nested. Columns:
    COLUMNS. ``icc`` is the share of the variance of rows with a group that lies between groups.
    """
    if design.spec.weights is not None:
        what = "has no weights here: a weight of rows and one of groups are not the same"
        raise InputError(Problem("mixed", what, "leave group or weights out", column=str(group.name)))
    labels = group.to_numpy()
    member = pd.notna(labels)
    codes = pd.factorize(labels)[0]
    sizes = np.bincount(codes[member])
    if len(sizes) < 2 or sizes.max() < 2:
        what = "has a group of its own for each row" if len(sizes) > 1 else f"has {len(sizes)} groups"
        remedy = "name a column of groups, of which some have several rows"
        raise InputError(
            Problem("mixed", f"{what}: nothing says how much groups differ", remedy, column=str(group.name))
        )
    own = np.where(member, codes, codes.max() + 1 + np.arange(design.n))
    Z = (own[:, None] == np.unique(own[member])[None, :]).astype(float)
    between, residual = _variances(design, Z)
    names, C = quantities(design, at)
    arms = [design.terms[j] for j in design.moderator_columns]
    C = np.vstack([C, np.eye(design.X.shape[1])[design.moderator_columns]])
    beta, table_cov, df = _fixed(design, Z, between, residual, C)
    table = t_table(C @ beta, np.sqrt(table_cov), df, design.spec.alpha)
    table.insert(0, "quantity", [*names, *arms])
    icc, low, high = intraclass(design, codes, member, design.spec.alpha)
    groups = len(np.unique(codes[member]))
    return table.assign(
        group=group.name, groups=groups, nested_in=_nested_in(design, member), n=design.n, group_variance=between,
        residual_variance=residual, icc=icc, icc_low=low, icc_high=high, note=_note(groups, between),
    )[COLUMNS]  # fmt: skip


def intraclass(
    design: Design, codes: np.ndarray, member: np.ndarray, alpha: float = 0.05
) -> tuple[float, float, float]:
    """Return the intraclass correlation of the outcome given the model's terms, with its 1 - alpha interval.

    One-way analysis of variance of the residuals of rows with a group (``member``), ``codes`` their groups; k0 of
    unequal groups as Donner (1979). A negative estimate is kept: it says that groups differ less than chance.
    """
    _, residuals = least_squares(design.X, design.y)
    e, g = residuals[member], codes[member]
    counts = np.bincount(g)
    counts = counts[counts > 0]
    k, N = len(counts), len(e)
    if k < 2 or k >= N:
        return np.nan, np.nan, np.nan
    means = pd.Series(e).groupby(g).transform("mean").to_numpy()
    msb = ((means - e.mean()) ** 2).sum() / (k - 1)
    msw = ((e - means) ** 2).sum() / (N - k)
    n0 = (N - (counts**2).sum() / N) / (k - 1)
    F = msb / msw
    ends = F / stats.f.isf(alpha / 2, k - 1, N - k), F / stats.f.isf(1 - alpha / 2, k - 1, N - k)
    return tuple(float((f - 1) / (f + n0 - 1)) for f in (F, *ends))


def _variances(design: Design, Z: NDArray[np.float64]) -> tuple[float, float]:
    """REML estimates of the variance between groups and of the residuals.

    Profiled to the ratio of both, one bounded search: statsmodels' MixedLM meets a singular matrix where an arm has
    no groups.
    """
    n, k = design.X.shape
    A = np.column_stack([design.X, design.y])
    sizes, sums, cross = Z.sum(axis=0), Z.T @ A, A.T @ A

    def parts(ratio: float) -> tuple[float, float]:
        # Woodbury: the inverse of I + ratio ZZ' takes ratio / (1 + ratio m) of each group's sums away.
        shrink = ratio / (1 + ratio * sizes)
        M = cross - sums.T @ (shrink[:, None] * sums)
        XtX, Xty = M[:k, :k], M[:k, k]
        scale = (M[k, k] - Xty @ np.linalg.solve(XtX, Xty)) / (n - k)
        return scale, np.log1p(ratio * sizes).sum() + np.linalg.slogdet(XtX)[1]

    def deviance(root: float) -> float:
        scale, determinants = parts(root**2)
        return (n - k) * np.log(scale) + determinants

    found = optimize.minimize_scalar(deviance, bounds=(0, LARGEST_RATIO), method="bounded", options={"xatol": 1e-10})
    ratio = found.x**2 if found.fun < deviance(0.0) - 1e-9 else 0.0
    scale, _ = parts(ratio)
    return ratio * scale, scale


def _fixed(
    design: Design, Z: NDArray[np.float64], between: float, residual: float, C: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients, the variance of contrasts and their degrees of freedom, given both variances."""
    X, y = design.X, design.y
    ZZ = Z @ Z.T
    inverse = np.linalg.inv(between * ZZ + residual * np.eye(design.n))
    phi = np.linalg.inv(X.T @ inverse @ X)
    beta = phi @ X.T @ inverse @ y
    variance = np.einsum("ij,jk,ik->i", C, phi, C)
    if between < 1e-8 * residual:
        return beta, variance, np.full(len(C), float(design.n - X.shape[1]))
    P = inverse - inverse @ X @ phi @ X.T @ inverse
    parts = (ZZ, np.eye(design.n))
    PV = [P @ V for V in parts]
    information = np.array([[0.5 * (a * b.T).sum() for b in PV] for a in PV])
    half = C @ phi @ X.T @ inverse
    gradient = np.column_stack([np.einsum("ij,jk,ik->i", half, V, half) for V in parts])
    spread = np.einsum("ij,jk,ik->i", gradient, np.linalg.inv(information), gradient)
    return beta, variance, np.minimum(2 * variance**2 / spread, design.n - X.shape[1])


def _nested_in(design: Design, member: NDArray[np.bool_]) -> str:
    if member.all():
        return "all rows"
    if design.moderator.levels is None:
        return f"{int(member.sum())} of {design.n} rows"
    inside = [str(a) for a in design.moderator.levels if member[design.arm == a].any()]
    return ", ".join(inside)


def _note(groups: int, between: float) -> str:
    notes = []
    if groups < FEW_GROUPS:
        notes.append(f"{groups} groups: the variance between them is hardly known")
    if between == 0 or between < 1e-8:
        notes.append("the variance between groups is estimated as 0")
    return "; ".join(notes)
