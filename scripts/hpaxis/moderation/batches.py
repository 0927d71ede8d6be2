"""Many fits at once in numpy: new outcomes on one design, or new designs, with the model's covariance."""

from dataclasses import dataclass

import numpy as np

from hpaxis.moderation.covariance import cr2_scores, cross_inverse, hat_values, hc_weights


@dataclass(frozen=True)
class Studentiser:
    """A fixed design on which many outcomes are fitted; ``columns`` are the coefficients asked about.

    ``influence`` (q, n) turns an outcome into those coefficients, ``annihilator`` (n, n) into residuals.
    """

    kind: str
    columns: tuple
    influence: np.ndarray
    annihilator: np.ndarray
    weights: np.ndarray
    bread: np.ndarray
    df: int
    scores: np.ndarray | None

    def __call__(self, Y):
        """Return ``(b, V)`` for outcomes ``Y`` (N, n): coefficients (N, q) and their covariance (N, q, q)."""
        b = Y @ self.influence.T
        E = Y @ self.annihilator
        if self.kind == "OLS":
            return b, (E**2).sum(axis=1)[:, None, None] / self.df * self.bread
        if self.kind == "CR2":
            S = np.einsum("Nn,gnq->Ngq", E, self.scores)
            return b, np.einsum("Ngq,Ngr->Nqr", S, S)
        q = len(self.columns)
        products = np.einsum("qn,rn,n->nqr", self.influence, self.influence, self.weights).reshape(-1, q * q)
        return b, (E**2 @ products).reshape(-1, q, q)


def studentiser(design, kind, columns):
    """Return the `Studentiser` of a design's ``columns`` under covariance ``kind``."""
    X = design.X
    n, k = X.shape
    bread = cross_inverse(X)
    scores = None
    if kind == "CR2":
        scores = cr2_scores(X, design.data[design.spec.cluster].to_numpy(), bread)[..., columns]
    return Studentiser(
        kind=kind,
        columns=tuple(columns),
        influence=(bread @ X.T)[columns],
        annihilator=np.eye(n) - X @ bread @ X.T,
        weights=np.ones(n) if kind in ("OLS", "CR2") else hc_weights(kind, hat_values(X)),
        bread=bread[np.ix_(columns, columns)],
        df=n - k,
        scores=scores,
    )


def t_and_f(b, V):
    """Return ``(t, F)``: t of each coefficient (N, q) and the Wald F of all of them (N,)."""
    t = b / np.sqrt(np.einsum("Nqq->Nq", V))
    F = np.einsum("Nq,Nq->N", b, np.linalg.solve(V, b[..., None])[..., 0]) / b.shape[1]
    return t, F


def weighted_coefficients(X, y, counts):
    """Return coefficients (N, k) of fits with row ``counts`` (N, n): bootstrap draws without copying rows.

    A draw whose rows cannot carry the model gives NaN.
    """
    n, k = X.shape
    outer = np.einsum("ij,ik->ijk", X, X).reshape(n, k * k)
    XtX = (counts @ outer).reshape(-1, k, k)
    Xty = counts @ (X * y[:, None])
    scale = np.sqrt(np.einsum("Njj->Nj", XtX))
    scale[scale == 0] = 1
    scaled = XtX / (scale[:, :, None] * scale[:, None, :])
    values = np.linalg.eigvalsh(scaled)
    good = values[:, 0] > 1e-12 * values[:, -1]
    b = np.full((len(counts), k), np.nan)
    b[good] = np.linalg.solve(scaled[good], (Xty[good] / scale[good])[..., None])[..., 0] / scale[good]
    return b


def many_designs(X, y, kind):
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
