"""The strip beside the answer: each check of a model in one line, from the model's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpaxis.labels import factors

COLUMNS = ["contrast", "check", "value", "count", "total", "p", "detail"]
WILD = "restricted wild bootstrap"
CHECKS = (
    "family_p", "resampling_p", "single_deletions", "multiverse_share", "multiverse_p", "region", "power",
    "predictor_by_arm",
)  # fmt: skip


def robustness_table(tables: dict, alpha: float) -> pd.DataFrame:
    """Return one row per contrast and check (COLUMNS): what stands beside the difference of slopes.

    ``tables`` are the model's, by name (one that is not there counts as empty). family_p: p adjusted over the family of
    predictors (max-T). resampling_p: the restricted wild bootstrap's. single_deletions: how many of ``total`` rows,
    left out alone, change whether p is below alpha. multiverse_share: versions significant in the model's direction.
    multiverse_p: the joint p of their median. region: people within the simultaneous region. power: the f2 found with
    80 % power. predictor_by_arm: T to M. A check that the model does not have is left out.
    """
    rows = []
    tables = dict.fromkeys(_READ, pd.DataFrame()) | tables
    terms = contrast_terms(tables)
    for contrast, own in tables["slope_differences"].set_index("contrast").iterrows():
        for check in CHECKS:
            found = _FOUND[check](tables, contrast, terms.get(contrast), own, alpha)
            if found is not None:
                rows.append({"contrast": contrast, "check": check, **found})
    return pd.DataFrame(rows, columns=COLUMNS)


def contrast_terms(tables: dict) -> dict:
    """Return the product term of each difference of slopes that is one, from a model's tables.

    Differences from the reference come first, in the order of the terms; two arms of which neither is the reference
    have none.
    """
    rows = tables["coefficients"]
    terms = [t for t in dict.fromkeys(rows["term"]) if len(factors(t)) > 1] if len(rows) else []
    return dict(zip(tables["slope_differences"]["contrast"], terms, strict=False))


def _family(
    tables: Mapping[str, pd.DataFrame], contrast: str, term: str | None, own: pd.Series, alpha: float
) -> dict[str, Any] | None:
    rows = tables["family"]
    if rows.empty or term is None:
        return None
    rows = rows[rows["term"] == term]
    if rows.empty:
        return None
    row = rows.iloc[0]
    count = int(tables["family"]["predictor"].nunique())
    return {"p": row["p_max_t"], "total": count, "detail": f"adjusted over a family of {count} predictors (max-T)"}


def _resampling(
    tables: Mapping[str, pd.DataFrame], contrast: str, term: str | None, own: pd.Series, alpha: float
) -> dict[str, Any] | None:
    rows = tables["resampling"]
    rows = rows[(rows["method"] == WILD) & (rows["quantity"] == term)] if len(rows) else rows
    return None if rows.empty else {"p": rows["p"].iloc[0], "detail": WILD}


def _deletions(
    tables: Mapping[str, pd.DataFrame], contrast: str, term: str | None, own: pd.Series, alpha: float
) -> dict[str, Any] | None:
    rows = tables["influence"]
    rows = rows[rows["term"] == term] if len(rows) else rows
    if rows.empty:
        return None
    shown = own["p"] < alpha
    changed = (rows["p_without"] >= alpha) if shown else (rows["p_without"] < alpha)
    verb = "lose" if shown else "gain"
    p = rows["p_without"]
    return {
        "count": int(changed.sum()), "total": len(rows), "p": p.max() if shown else p.min(),
        "detail": f"single deletions that {verb} significance at {alpha:g}; p is the most extreme",
    }  # fmt: skip


def _share(
    tables: Mapping[str, pd.DataFrame], contrast: str, term: str | None, own: pd.Series, alpha: float
) -> dict[str, Any] | None:
    rows = tables["multiverse"]
    rows = rows[(rows["contrast"] == contrast) & rows["estimate"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    along = (rows["p"] < alpha) & (np.sign(rows["estimate"]) == np.sign(own["estimate"]))
    return {
        "value": float(along.mean()), "count": int(along.sum()), "total": len(rows),
        "detail": "versions significant in the model's direction, outcome and predictor standardised in each",
    }  # fmt: skip


def _joint(
    tables: Mapping[str, pd.DataFrame], contrast: str, term: str | None, own: pd.Series, alpha: float
) -> dict[str, Any] | None:
    rows = tables["multiverse_joint"]
    rows = rows[(rows["contrast"] == contrast) & (rows["statistic"] == "median estimate")] if len(rows) else rows
    if rows.empty:
        return None
    row = rows.iloc[0]
    return {
        "value": row["observed"],
        "total": int(row["versions"]),
        "p": row["p"],
        "detail": "median over all versions",
    }


def _region(
    tables: Mapping[str, pd.DataFrame], contrast: str, term: str | None, own: pd.Series, alpha: float
) -> dict[str, Any] | None:
    rows = tables["region"]
    rows = rows if rows.empty else rows[(rows["contrast"] == contrast) & (rows["adjustment"] == "simultaneous")]
    if rows.empty:
        return None
    row = rows.iloc[0]
    return {
        "count": int(row["n_significant"]), "total": int(row["n"]),
        "detail": f"people where the arms are shown to differ, simultaneous region: {row['observed_kind']}",
    }  # fmt: skip


def _power(
    tables: Mapping[str, pd.DataFrame], contrast: str, term: str | None, own: pd.Series, alpha: float
) -> dict[str, Any] | None:
    rows = tables["detectable"]
    if rows.empty:
        return None
    return {"value": rows["f2_simulated"].iloc[0], "detail": "f2 of the interaction that is found with 80 % power"}


def _predictor(
    tables: Mapping[str, pd.DataFrame], contrast: str, term: str | None, own: pd.Series, alpha: float
) -> dict[str, Any] | None:
    rows = tables["predictor_by_arm"]
    if len(rows):
        rows = rows[(rows["test"] == "t") & rows["comparison"].isin([contrast, *_slope_name(rows)])]
    if rows.empty:
        return None
    row = rows.iloc[0]
    return {"value": float(row["estimate"]), "p": float(row["p"]), "detail": "T -> M: difference of the predictor"}


def _slope_name(rows: pd.DataFrame) -> list[str]:
    return [c for c in rows["comparison"].astype(str) if c.startswith("slope on ")]


_FOUND = {
    "family_p": _family, "resampling_p": _resampling, "single_deletions": _deletions, "multiverse_share": _share,
    "multiverse_p": _joint, "region": _region, "power": _power, "predictor_by_arm": _predictor,
}  # fmt: skip
_READ = (
    "slope_differences", "coefficients", "resampling", "family", "influence", "multiverse", "multiverse_joint",
    "region", "detectable", "predictor_by_arm",
)  # fmt: skip
