"""What is drawn as one (a row or a cluster), and fits in which contrasts are held at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpaxis.moderation.covariance import cross_inverse
from hpaxis.moderation.linear import least_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Design


def units(design: Design) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``(unit, stratum)``: what is drawn and left out as one, (n,), and the stratum of each unit.

    Units are rows, or clusters where the model names them. Strata are the arms; one stratum where the moderator
    is continuous or a cluster has members in several arms.
    """
    unit = np.arange(design.n)
    if design.spec.cluster is not None:
        unit = np.unique(unit_labels(design), return_inverse=True)[1]
    if design.moderator.levels is None:
        return unit, np.zeros(unit.max() + 1, dtype=int)
    arm = np.array([design.moderator.levels.index(a) for a in design.arm])
    stratum = np.zeros(unit.max() + 1, dtype=int)
    stratum[unit] = arm
    return unit, stratum if (stratum[unit] == arm).all() else np.zeros_like(stratum)


def unit_labels(design: Design) -> NDArray[np.object_]:
    """Return the name of each row's unit as text, (n,): its cluster where the model has clusters, else its own."""
    cluster = design.spec.cluster
    return (design.data.index if cluster is None else design.data[cluster]).astype(str).to_numpy()


def restricted(design: Design) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``(fitted, residuals)`` of the model without its product terms, each (n,)."""
    X, y = design.weighted
    _, residuals = least_squares(np.delete(X, design.interactions, axis=1), y)
    return (y - residuals) / design.root, residuals / design.root


def restricted_residuals(design: Design, C: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Return residuals (n,) of the fit in which contrasts ``C``, (k,) or (q, k), are 0, as large as errors are.

    Each is divided by (1 - h) ** ``power``, h its leverage in that fit; with clusters each cluster's are multiplied by
    (I - H_gg) ** -power (power 1: what the cluster would have were it left out; MacKinnon, Nielsen & Webb, 2023).
    """
    C = np.atleast_2d(C)
    X, y = design.weighted
    beta, residuals = least_squares(X, y)
    bread = cross_inverse(X)
    inner = C @ bread @ C.T
    W = X @ (bread @ C.T)
    restricted = residuals + W @ np.linalg.solve(inner, C @ beta)
    half = np.linalg.cholesky(inner)
    # The hat matrix without the contrasts is Q Q' - P P'.
    Q, P = np.linalg.qr(X)[0], np.linalg.solve(half, W.T).T
    if design.spec.cluster is None:
        hat = (Q**2).sum(axis=1) - (P**2).sum(axis=1)
        return restricted / (1 - np.minimum(hat, 1 - 1e-9)) ** power / design.root
    scaled = np.empty_like(restricted)
    for rows in clusters(design):
        hat = Q[rows] @ Q[rows].T - P[rows] @ P[rows].T
        values, vectors = np.linalg.eigh(np.eye(len(rows)) - hat)
        kept = values > 1e-9
        scaled[rows] = (vectors[:, kept] * values[kept] ** -power) @ (vectors[:, kept].T @ restricted[rows])
    return scaled / design.root


def clusters(design: Design) -> list[NDArray[np.int64]]:
    """Return the rows of each cluster, in the order of its first."""
    members = {}
    for i, name in enumerate(unit_labels(design)):
        members.setdefault(name, []).append(i)
    return [np.array(rows) for rows in members.values()]
