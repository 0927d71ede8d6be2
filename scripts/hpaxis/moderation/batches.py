"""Many fits at once in numpy: new outcomes on one design, or new designs, with the model's covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpaxis.moderation.covariance import cr2_scores, hc_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Design

# Cross products in the basis have a mean eigenvalue near 1: above this determinant none of them is near zero.
CERTAIN = 1e-10


@dataclass(frozen=True)
class Studentiser:
    """A fixed design on which many outcomes are fitted; contrasts of its coefficients are asked about.

    ``root`` (n,) is the root of each row's weight; all else is of the weighted rows. ``influence`` (q, n) turns an
    outcome into those contrasts; ``basis`` (n, k) is orthonormal and spans the design.
    ``variance`` (n, q * q) turns squared residuals into their covariance; under CR2 ``scores`` (q, n) and ``member``
    (n, groups) do.
    """

    kind: str
    root: np.ndarray
    influence: np.ndarray
    basis: np.ndarray
    bread: np.ndarray
    df: int
    variance: np.ndarray | None = None
    scores: np.ndarray | None = None
    member: np.ndarray | None = None

    def __call__(self, Y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``(b, V)`` for outcomes ``Y`` (N, n): contrasts (N, q) and their covariance (N, q, q)."""
        Y = Y * self.root
        b = Y @ self.influence.T
        E = Y - (Y @ self.basis) @ self.basis.T
        q = len(self.influence)
        if self.kind == "OLS":
            return b, np.einsum("Nn,Nn->N", E, E)[:, None, None] / self.df * self.bread
        if self.kind == "CR2":
            S = np.stack([(E * row) @ self.member for row in self.scores], axis=2)
            return b, np.swapaxes(S, 1, 2) @ S
        return b, (np.square(E) @ self.variance).reshape(-1, q, q)


def studentiser(
    design: Design, kind: str, columns: Sequence[int] | None = None, C: NDArray[np.float64] | None = None
) -> Studentiser:
    """Return the `Studentiser` of a design's ``columns``, or of contrasts ``C`` (q, k), under covariance ``kind``."""
    X, _ = design.weighted
    n, k = X.shape
    C = np.eye(k)[columns] if C is None else np.atleast_2d(C)
    basis, R = np.linalg.qr(X)
    half = np.linalg.inv(R)
    bread = half @ half.T
    influence = C @ bread @ X.T
    parts = {}
    if kind == "CR2":
        clusters = design.data[design.spec.cluster].to_numpy()
        adjusted = cr2_scores(X, clusters, bread)
        groups = np.unique(clusters.astype(str), return_inverse=True)[1]
        member = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
        parts = {"scores": C @ adjusted.sum(axis=0).T, "member": member}
    elif kind != "OLS":
        weights = hc_weights(kind, np.einsum("nk,nk->n", basis, basis))
        parts = {"variance": np.einsum("qn,rn,n->nqr", influence, influence, weights).reshape(n, -1)}
    return Studentiser(kind, design.root, influence, basis, C @ bread @ C.T, n - k, **parts)


def t_and_f(b: NDArray[np.float64], V: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``(t, F)``: t of each coefficient (N, q) and the Wald F of all of them (N,)."""
    t = b / np.sqrt(np.einsum("Nqq->Nq", V))
    if b.shape[1] == 1:
        return t, t[:, 0] ** 2
    return t, np.einsum("Nq,Nq->N", b, np.linalg.solve(V, b[..., None])[..., 0]) / b.shape[1]


def weighted_coefficients(
    X: NDArray[np.float64], y: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return coefficients (N, k) of fits with row ``counts`` (N, n): bootstrap draws without copying rows.

    A draw whose rows cannot carry the model gives NaN.
    """
    n, k = X.shape
    # In an orthonormal basis of all rows the cross products of a draw are near the unit matrix.
    Q, R = np.linalg.qr(X)
    outer = np.einsum("ij,ik->ijk", Q, Q).reshape(n, k * k)
    QtQ = (counts @ outer).reshape(-1, k, k)
    Qty = counts @ (Q * y[:, None])
    good = np.linalg.det(QtQ) > CERTAIN
    doubtful = np.flatnonzero(~good)
    values = np.linalg.eigvalsh(QtQ[doubtful])
    good[doubtful] = values[:, 0] > 1e-12 * values[:, -1]
    b = np.full((len(counts), k), np.nan)
    b[good] = np.linalg.solve(QtQ[good], Qty[good][..., None])[..., 0]
    return np.linalg.solve(R, b.T).T


def weighted_fits(X: NDArray[np.float64], y: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coefficients (N, k) of fits on designs ``X`` (N, n, k) with row ``counts`` (N, n); NaN where singular."""
    weighted = np.swapaxes(X * counts[:, :, None], 1, 2)
    XtX, Xty = weighted @ X, weighted @ y
    scale = np.sqrt(np.einsum("Njj->Nj", XtX))
    scale[scale == 0] = 1
    scaled = XtX / (scale[:, :, None] * scale[:, None, :])
    values = np.linalg.eigvalsh(scaled)
    good = values[:, 0] > 1e-12 * values[:, -1]
    b = np.full(Xty.shape, np.nan)
    b[good] = np.linalg.solve(scaled[good], (Xty[good] / scale[good])[..., None])[..., 0] / scale[good]
    return b


def many_designs(
    X: NDArray[np.float64], y: NDArray[np.float64], kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``(b, V)`` of fits on designs ``X`` (N, n, k) and outcomes ``y`` (n,) or (N, n); not for CR2."""
    y = np.broadcast_to(y, X.shape[:2])
    XtX = np.swapaxes(X, 1, 2) @ X
    bread = np.linalg.inv(XtX)
    half = X @ bread
    b = np.einsum("Nnk,Nn->Nk", half, y)
    e = y - np.einsum("Nnk,Nk->Nn", X, b)
    n, k = X.shape[1:]
    if kind == "OLS":
        return b, bread * ((e**2).sum(axis=1) / (n - k))[:, None, None]
    hat = np.einsum("Nnk,Nnk->Nn", half, X)
    scores = half * (e * np.sqrt(hc_weights(kind, np.clip(hat, 0, 1 - 1e-9))))[..., None]
    return b, np.swapaxes(scores, 1, 2) @ scores
