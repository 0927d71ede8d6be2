"""Segments of hair as months of growth, and the course of cortisol over a person's segments."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from hpaxis.cortisol.runs import RunVariance, run_of

TRAJECTORY_COLUMNS = (
    "participant_id", "timepoint", "platform", "segments", "censored", "months_from", "months_to", "slope", "slope_se",
    "slope_low", "slope_high", "at_scalp", "at_scalp_se", "chi2", "df", "p", "flags",
)  # fmt: skip
UNEVEN_P = 0.01  # of segments that scatter about the line beyond their errors


def months(cm: npt.ArrayLike, cm_per_month: float) -> npt.NDArray[np.float64]:
    """Return how many months ago hair at ``cm`` from the scalp grew."""
    return np.asarray(cm, dtype=float) / cm_per_month


def line(x: npt.ArrayLike, y: npt.ArrayLike, variance: npt.ArrayLike) -> dict[str, float]:
    """Fit a weighted straight line with known variances.

    Parameters
    ----------
    x, y, variance : (n,), n of at least 2 with different x; ``variance`` is that of each y.

    Returns
    -------
    dict: intercept, slope, their standard errors, chi2 (weighted sum of squares about the line), df (n - 2), p. Where
    points scatter beyond their errors (chi2 > df), standard errors are multiplied by the root of chi2/df (Birge's
    ratio), since then the errors alone do not describe them.
    """
    x, y, weight = (np.asarray(v, dtype=float) for v in (x, y, 1 / np.asarray(variance, dtype=float)))
    design = np.column_stack([np.ones_like(x), x])
    covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
    intercept, slope = covariance @ design.T @ (weight * y)
    df = len(x) - 2
    chi2 = float(np.sum(weight * (y - intercept - slope * x) ** 2))
    birge = max(chi2 / df, 1.0) if df > 0 else 1.0
    return {
        "intercept": float(intercept), "intercept_se": float(np.sqrt(covariance[0, 0] * birge)),
        "slope": float(slope), "slope_se": float(np.sqrt(covariance[1, 1] * birge)),
        "chi2": chi2 if df > 0 else np.nan, "df": float(df),
        "p": float(stats.chi2.sf(chi2, df)) if df > 0 else np.nan,
    }  # fmt: skip


def trajectories(samples: pd.DataFrame, between: Mapping[str, RunVariance], runs: Mapping[str, str]) -> pd.DataFrame:
    """Return the course of ln(pg/mg) over the segments of each person's hair at each timepoint.

    ``samples``: the stage's table, with ``month_from`` and ``month_to``; ``between``: variance between runs by
    platform; ``runs``: run of each plate.
    The slope is per month of growth, positive where hair nearer the scalp holds more (cortisol rose). What a run (or a
    plate of it) shares shifts all its segments alike, and is in the slope only where they were measured in
    different runs. The mean of repeats in several runs holds the variance that a run shares divided by the number
    of runs. Censored segments are counted, not used. Returns DataFrame with `TRAJECTORY_COLUMNS`, one row per person,
    timepoint and platform with at least two segments.
    """
    rows = []
    keys = ["participant_id", "timepoint", "platform"]
    known = samples[samples["month_to"].notna()]
    ends = known.groupby(keys)[["month_from", "month_to"]].agg(["min", "max"])
    several = ends.index[(ends.xs("min", axis=1, level=1) < ends.xs("max", axis=1, level=1)).any(axis=1)]
    for key, group in known[pd.MultiIndex.from_frame(known[keys]).isin(several)].groupby(keys, sort=True):
        used = group[group["cortisol_pg_per_mg"].notna() & group["log_se"].notna()].sort_values(
            ["month_from", "hair_id"]
        )
        row = {
            **dict(zip(keys, key)), "segments": len(used), "censored": int((group["censored"] != "none").sum()),
            "months_from": group["month_from"].min(), "months_to": group["month_to"].max(), "flags": "",
        }  # fmt: skip
        middle = ((used["month_from"] + used["month_to"]) / 2).to_numpy()
        if len(np.unique(middle)) < 2:
            rows.append({**row, "flags": "too_few_segments"})
            continue
        variance = used["log_se"].to_numpy() ** 2
        within = used["log_se_within_run"].to_numpy() ** 2
        state = between.get(key[2])
        shared = 0.0
        names = {run_of(plates, runs) for plates in used["plate_id"]}
        name = names.pop()
        if state is not None and name is not None and not names:
            shared = state.shared / len(name.split(";"))
            if used["plate_id"].nunique() == 1:
                shared += state.plate / len(used["plate_id"].iloc[0].split(";"))
            variance = np.maximum(variance - shared, within)
        # Months run back in time: a fall with age of the hair is a rise in time.
        found = line(-middle, np.log(used["cortisol_pg_per_mg"].to_numpy()), variance)
        half = float(stats.norm.ppf(0.975)) * found["slope_se"]
        overlap = (used["month_from"].to_numpy()[1:] < used["month_to"].to_numpy()[:-1] - 1e-9).any()
        flags = ["overlapping_segments"] * bool(overlap) + ["not_straight"] * bool(found["p"] < UNEVEN_P)
        rows.append({
            **row, "slope": found["slope"], "slope_se": found["slope_se"], "slope_low": found["slope"] - half,
            "slope_high": found["slope"] + half, "at_scalp": found["intercept"],
            "at_scalp_se": np.sqrt(found["intercept_se"] ** 2 + shared), "chi2": found["chi2"], "df": found["df"],
            "p": found["p"], "flags": ";".join(flags),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(TRAJECTORY_COLUMNS))
