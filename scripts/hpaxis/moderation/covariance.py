"""The covariance of coefficients: one object that every number of a model takes its errors from.

HC0 to HC3: MacKinnon & White (1985), Long & Ervin (2000); HC4: Cribari-Neto (2004); CR2 with Satterthwaite
degrees of freedom: Bell & McCaffrey (2002), Pustejovsky & Tipton (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpaxis.problems import InputError, Problem
from hpaxis.quantiles import student_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("OLS", "HC0", "HC1", "HC2", "HC3", "HC4", "CR2")
# Beyond this hat value one row alone decides a coefficient: its residual says nothing about its error.
LEVERAGE_LIMIT = 0.99


@dataclass(frozen=True)
class Covariance:
    """Covariance ``matrix`` (k, k) of the coefficients, its ``kind``, and degrees of freedom for any contrast."""

    kind: str
    matrix: np.ndarray
    df_residual: int
    clusters: int | None = None
    _parts: np.ndarray | None = None

    def variance(self, C: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance of each contrast in ``C`` (m, k), shape (m,)."""
        return np.einsum("ij,jk,ik->i", C, self.matrix, C)

    def df(self, C: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the degrees of freedom of each contrast in ``C`` (m, k), shape (m,).

        Residual for all kinds but CR2, where they are Satterthwaite's for the contrast itself.
        """
        if self._parts is None:
            return np.full(len(C), float(self.df_residual))
        return _satterthwaite(self._parts, C)

    def joint_test(self, C: NDArray[np.float64], estimates: NDArray[np.float64]) -> tuple[float, int, float]:
        """Return (F, df1, df2) that the contrasts ``C`` (q, k) with these estimates (q,) are all zero.

        Under CR2 it is Hotelling's approximation with the degrees of freedom of Pustejovsky & Tipton (2018), called
        HTZ there; Satterthwaite's where q is 1. F and df2 are NaN where there are too few clusters for q contrasts.
        """
        q = len(C)
        eta = float(self.df_residual) + q - 1 if self._parts is None else _hotelling(self._parts, C)
        df2, V = eta - q + 1, C @ self.matrix @ C.T
        scale = 1 / np.sqrt(np.diag(V))
        if df2 <= 0 or np.linalg.matrix_rank(V * np.outer(scale, scale), hermitian=True) < q:
            return np.nan, q, np.nan
        Q = estimates @ np.linalg.solve(V, estimates)
        return Q / q * (1.0 if self._parts is None else df2 / eta), q, df2

    @property
    def df_is_constant(self) -> bool:
        """Whether every contrast has the same degrees of freedom, so that the region has a closed form."""
        return self._parts is None

    def critical(self, C: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
        """Return the two-sided critical t of each contrast, shape (m,)."""
        return -student_quantile(alpha / 2, self.df(C))


def cluster_problems(kind: str, cluster: str | None, source: str = "data") -> list[Problem]:
    """Return the problems of a covariance and a column of clusters that do not go together."""
    if kind == "CR2" and cluster is None:
        what, remedy = "is CR2, but no cluster is named", "name the column of clusters in cluster"
        return [Problem(source, what, remedy, column="covariance")]
    if kind != "CR2" and cluster is not None:
        what, remedy = (
            "names clusters that the covariance ignores",
            f"use CR2 in place of {kind}, or take the cluster out",
        )
        return [Problem(source, what, remedy, column="cluster", value=cluster)]
    return []


def hat_values(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the leverage of each row, shape (n,), from a QR decomposition."""
    Q, _ = np.linalg.qr(X)
    return np.einsum("ij,ij->i", Q, Q)


def cross_inverse(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (X'X)^-1, shape (k, k), from a QR decomposition."""
    _, R = np.linalg.qr(X)
    inverse = np.linalg.inv(R)
    return inverse @ inverse.T


def hc_weights(kind: str, hat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each squared residual is multiplied with, shape as ``hat`` (rows last), for n x k designs.

    ``hat`` may have leading batch dimensions; the sum over the last axis is the number of coefficients.
    """
    n, k = hat.shape[-1], hat.sum(axis=-1, keepdims=True)
    if kind == "HC0":
        return np.ones_like(hat)
    if kind == "HC1":
        return np.broadcast_to(n / (n - k), hat.shape)
    power = {"HC2": 1.0, "HC3": 2.0}.get(kind)
    if power is None:
        power = np.minimum(4.0, n * hat / k)
    return (1 - hat) ** -power


def covariance(
    kind: str,
    X: NDArray[np.float64],
    residuals: NDArray[np.float64],
    clusters: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    source: str = "data",
) -> Covariance:
    """Return the `Covariance` of OLS coefficients.

    ``kind`` is one of KINDS; ``clusters`` (n,) is needed for CR2. Raises `InputError` for an unknown kind, and
    where a hat value is so near 1 that HC2, HC3 or HC4 would divide by nothing; ``labels`` name the rows.
    """
    if kind not in KINDS:
        raise InputError(Problem(source, "is no covariance", f"use one of {', '.join(KINDS)}", value=kind))
    n, k = X.shape
    df = n - k
    bread = cross_inverse(X)
    if kind == "CR2":
        if clusters is None:
            raise InputError(Problem(source, "CR2 needs the column of clusters", "name it in cluster"))
        return _cr2(X, residuals, np.asarray(clusters), bread, df, source)
    if kind == "OLS":
        return Covariance(kind, bread * (residuals @ residuals / df), df)
    hat = hat_values(X)
    if kind in ("HC2", "HC3", "HC4"):
        refuse_leverage(kind, hat, labels, source)
    half = X @ bread * (residuals * np.sqrt(hc_weights(kind, hat)))[:, None]
    return Covariance(kind, half.T @ half, df)


def refuse_leverage(
    kind: str, hat: NDArray[np.float64], labels: np.ndarray | None = None, source: str = "data"
) -> None:
    """Raise `InputError` naming every row whose hat value makes ``kind`` meaningless."""
    labels = np.arange(len(hat)) if labels is None else labels
    rows = np.flatnonzero(hat > LEVERAGE_LIMIT)
    if len(rows):
        raise InputError([
            Problem(
                source,
                f"has a hat value of {hat[i]:.4f}: it decides a coefficient alone, so {kind} says nothing of its error",
                "drop the covariate level or row that isolates it, or use covariance OLS and say so",
                value=str(labels[i]),
            )
            for i in rows
        ])  # fmt: skip


def _cr2(
    X: NDArray[np.float64],
    residuals: NDArray[np.float64],
    clusters: np.ndarray,
    bread: NDArray[np.float64],
    df: int,
    source: str,
) -> Covariance:
    groups = _groups(clusters)
    if len(groups) < 3:
        what = f"CR2 has {len(groups)} clusters to estimate from"
        raise InputError(Problem(source, what, "use HC3, or cluster on a column with more values"))
    adjusted = cr2_scores(X, clusters, bread)
    scores = np.einsum("n,gnk->gk", residuals, adjusted)
    # For the Satterthwaite df: s_g = (I - H)_g' A_g X_g (X'X)^-1 c; only their products are needed.
    parts = adjusted - X @ (bread @ (X.T @ adjusted))
    products = np.einsum("gnk,hnl->ghkl", parts, parts, optimize=True)
    return Covariance("CR2", scores.T @ scores, df, len(groups), products)


def cr2_scores(X: NDArray[np.float64], clusters: np.ndarray, bread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return A_g X_g (X'X)^-1 of each cluster in the rows of the cluster, zero elsewhere: (groups, n, k).

    A_g is the symmetric square root of the generalised inverse of I - H_gg.
    """
    groups = _groups(clusters)
    adjusted = np.zeros((len(groups), *X.shape))
    sizes = np.array([len(rows) for rows in groups])
    for size in np.unique(sizes):
        # All clusters of one size at once: (m, size) rows, (m, size, k) of the design.
        same = np.flatnonzero(sizes == size)
        rows = np.array([groups[g] for g in same])
        Xg = X[rows]
        weighted = Xg @ bread
        values, vectors = np.linalg.eigh(np.eye(size) - weighted @ np.swapaxes(Xg, 1, 2))
        kept = values > 1e-10
        roots = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
        A = (vectors * roots[:, None, :]) @ np.swapaxes(vectors, 1, 2)
        adjusted[same[:, None], rows] = A @ weighted
    return adjusted


def _groups(clusters: np.ndarray) -> list[NDArray[np.int64]]:
    members = {}
    for i, name in enumerate(clusters.tolist()):
        members.setdefault(name, []).append(i)
    return [np.array(members[name]) for name in sorted(members, key=str)]


def _satterthwaite(products: NDArray[np.float64], C: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (trace G)^2 / trace(G^2) of each contrast, G_gh = c' products_gh c; products (groups, groups, k, k)."""
    G = np.einsum("mk,ghkl,ml->mgh", C, products, C, optimize=True)
    return np.einsum("mgg->m", G) ** 2 / (G**2).sum(axis=(1, 2))


def _hotelling(products: NDArray[np.float64], C: NDArray[np.float64]) -> float:
    """Return eta, for which the covariance of C is nearest a Wishart: q (q + 1) over the variance of its entries.

    D = sum of u_g u_g', u_g the score of a cluster scaled so that E(D) = I; ``products`` as in `_satterthwaite`.
    """
    K = np.einsum("sk,ghkl,tl->ghst", C, products, C, optimize=True)
    values, vectors = np.linalg.eigh(np.einsum("ggst->st", K))
    root = vectors / np.sqrt(values) @ vectors.T
    K = root @ K @ root
    own = np.einsum("ghss->gh", K)
    return len(C) * (len(C) + 1) / ((own**2).sum() + np.einsum("ghst,ghts->", K, K))
