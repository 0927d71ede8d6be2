"""What is drawn as one (a row or a cluster), and fits in which contrasts are held at zero."""

import numpy as np

from hpaxis.moderation.covariance import cross_inverse, hat_values
from hpaxis.moderation.linear import least_squares


def units(design):
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


def unit_labels(design):
    """Return the name of each row's unit as text, (n,): its cluster where the model has clusters, else its own."""
    cluster = design.spec.cluster
    return (design.data.index if cluster is None else design.data[cluster]).astype(str).to_numpy()


def restricted(design):
    """Return ``(fitted, residuals, hat)`` of the model without its product terms, each (n,)."""
    X, y = design.weighted
    X = np.delete(X, design.interactions, axis=1)
    _, residuals = least_squares(X, y)
    return (y - residuals) / design.root, residuals / design.root, hat_values(X)


def restricted_to(design, C):
    """Return ``(residuals, hat)`` of the fit in which contrasts ``C``, (k,) or (q, k), are 0, each (n,)."""
    C = np.atleast_2d(C)
    X, y = design.weighted
    beta, residuals = least_squares(X, y)
    bread = cross_inverse(X)
    W, inner = X @ (bread @ C.T), C @ bread @ C.T
    return (
        (residuals + W @ np.linalg.solve(inner, C @ beta)) / design.root,
        hat_values(X) - np.einsum("nq,qn->n", W, np.linalg.solve(inner, W.T)),
    )
