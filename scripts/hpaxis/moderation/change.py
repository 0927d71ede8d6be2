"""From baseline to follow-up: did treatment change a measure, and how reliable is a change?

Analysis of covariance beside change scores: Vickers & Altman (2001), Senn (2006). Reliability of a difference: Lord &
Novick (1968); here from the standard errors of both ends. Error in the baseline biases a product term towards 0:
regression calibration corrects it (Carroll, Ruppert, Stefanski & Crainiceanu, 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpaxis.moderation.covariance import covariance
from hpaxis.moderation.linear import STATISTICS, contrast_table, least_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = [
    "measure", "quantity", "arm", "n", "estimate", "sd", *STATISTICS[1:], "reliability", "correlation", "note",
]  # fmt: skip


def change_table(
    data: pd.DataFrame, measure: str, moderator: str = "arm", kind: str = "HC3", alpha: float = 0.05,
    weights: str | None = None, cluster: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Return what happened to ``measure`` between baseline and follow-up, by arm, and what treatment did to it.

    ``data``: one row per participant with ``measure``, ``{measure}_baseline``, ``{measure}_change`` and, where
    known, their standard errors (``_se``). Rows: baseline, follow-up and change in each arm (mean, SD, reliability:
    1 - mean error variance / variance); the arms' difference at follow-up adjusted for baseline (ANCOVA, baseline
    centred), unadjusted in change, and at baseline; where both occur, how changes across plates differ from changes on
    one plate. Columns: COLUMNS; errors from covariance ``kind`` (CR2: of
    ``cluster``, a person without one by itself); ``weights`` weigh the differences. Reliabilities below 0 are given as
    they are: errors are larger than all differences between people.
    """
    names = {"baseline": f"{measure}_baseline", "follow-up": measure, "change": f"{measure}_change"}
    rows = data.dropna(subset=[*names.values(), moderator, *([weights] if weights else [])])
    arms = [a for a in _levels(rows[moderator]) if (rows[moderator] == a).sum() >= 3]
    rows = rows[rows[moderator].isin(arms)]
    out = []
    for when, name in names.items():
        for arm in arms:
            here = rows[rows[moderator] == arm]
            out.append({"quantity": f"mean at {when}" if when != "change" else "mean change", "arm": str(arm),
                        "n": len(here), "estimate": here[name].mean(), "sd": here[name].std(ddof=1),
                        "reliability": _reliability(here, name),
                        "correlation": here[names["baseline"]].corr(here[measure]) if when == "change" else np.nan,
                        "note": _plates(here) if when == "change" else ""})  # fmt: skip
    if len(arms) > 1:
        root = np.ones(len(rows)) if weights is None else np.sqrt(rows[weights].to_numpy(float))
        own = None if cluster is None else rows[cluster].fillna(pd.Series(rows.index, rows.index)).to_numpy()
        base = rows[names["baseline"]].to_numpy(float)
        centred = base - base.mean()
        for title, y, extra in (
            ("difference at baseline", base, None),
            ("difference at follow-up, adjusted for baseline", rows[measure].to_numpy(float), centred),
            ("difference in change", rows[names["change"]].to_numpy(float), None),
        ):
            out += _differences(rows[moderator].to_numpy(), arms, y, extra, title, kind, alpha, root, own)
        out += _between_plates(rows, names["change"], moderator, arms, kind, alpha, root, own)
    return pd.DataFrame(out).assign(measure=measure).reindex(columns=COLUMNS)


def has_baseline(data: pd.DataFrame, measure: str) -> bool:
    """Return whether a measure has a baseline and a change in the analysis table."""
    return {f"{measure}_baseline", f"{measure}_change"} <= set(data.columns)


def _levels(column: pd.Series) -> list[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [c for c in column.cat.categories if (column == c).any()]
    return sorted(column.unique(), key=str)


def _differences(
    arm: NDArray[np.object_],
    arms: Sequence[Any],
    y: NDArray[np.float64],
    extra: NDArray[np.float64] | None,
    title: str,
    kind: str,
    alpha: float,
    root: NDArray[np.float64],
    clusters: np.ndarray | None,
) -> list[dict[str, Any]]:
    codes = np.column_stack([(arm == a).astype(float) for a in arms[1:]])
    X = np.column_stack([np.ones(len(y)), codes, *([] if extra is None else [extra])]) * root[:, None]
    beta, residuals = least_squares(X, y * root)
    cov = covariance(kind, X, residuals, clusters, labels=np.arange(len(y)), source="change")
    C = np.eye(X.shape[1])[1 : len(arms)]
    table = contrast_table(beta, cov, C, alpha)
    return [
        {
            "quantity": title,
            "arm": f"{a} - {arms[0]}",
            "n": len(y),
            **row,
            "note": _note(kind, root),
        }
        for a, row in zip(arms[1:], table.to_dict("records"), strict=True)
    ]


def _note(kind: str, root: NDArray[np.float64]) -> str:
    return kind if (root == 1).all() else f"{kind}, weighted"


def _between_plates(
    rows: pd.DataFrame,
    change: str,
    moderator: str,
    arms: Sequence[Any],
    kind: str,
    alpha: float,
    root: NDArray[np.float64],
    clusters: np.ndarray | None,
) -> list[dict[str, Any]]:
    """How far changes across plates differ from changes on one plate, given the arm, where both are three at least."""
    if "methylation_plates" not in rows or rows["methylation_plates"].isna().any():
        return []
    across = (rows["methylation_plates"] != "same").to_numpy(float)
    if min(across.sum(), (1 - across).sum()) < 3:
        return []
    X = np.column_stack([np.ones(len(rows)), across, *((rows[moderator] == a).to_numpy(float) for a in arms[1:])])
    if np.linalg.matrix_rank(X) < X.shape[1]:
        return []
    X = X * root[:, None]
    beta, residuals = least_squares(X, rows[change].to_numpy(float) * root)
    cov = covariance(kind, X, residuals, clusters, labels=np.arange(len(rows)), source="change")
    row = contrast_table(beta, cov, np.eye(X.shape[1])[[1]], alpha).to_dict("records")[0]
    return [{"quantity": "difference in change", "arm": "different plates - same plate", "n": len(rows), **row,
             "note": f"{_note(kind, root)}, given the arm"}]  # fmt: skip


def _reliability(rows: pd.DataFrame, name: str) -> float:
    error = f"{name}_se"
    if error not in rows or not np.isfinite(rows[error].astype(float)).all():
        return np.nan
    return float(1 - (rows[error].astype(float) ** 2).mean() / rows[name].var(ddof=1))


def _plates(rows: pd.DataFrame) -> str:
    if "methylation_plates" not in rows or rows["methylation_plates"].isna().all():
        return "plates of the two timepoints not known"
    counts = rows["methylation_plates"].value_counts()
    return "; ".join(f"{n} on {'the same plate' if p == 'same' else 'different plates'}" for p, n in counts.items())
