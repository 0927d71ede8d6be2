"""How well repeats and segments agree: intraclass correlation with its interval."""

import numpy as np
import pandas as pd
from scipy import stats


def icc(values: pd.Series, subjects: pd.Series, level: float = 0.95) -> dict[str, float]:
    """One-way random intraclass correlation, ICC(1,1) of Shrout and Fleiss (1979), with its F interval.

    ``values``: array of n measurements; ``subjects``: array of n labels; a subject with one measurement does not
    count. With unequal numbers a subject, k is n0 = (N - sum(k_i^2)/N) / (subjects - 1) and the interval is
    approximate. Returns dict: subjects, measurements, per_subject (k), icc, low, high, icc_mean (of a subject's
    mean of k), between_variance, within_variance. Raises ValueError with fewer than 3 such subjects.
    """
    table = pd.DataFrame({"value": np.asarray(values, dtype=float), "subject": np.asarray(subjects)}).dropna()
    sizes = table.groupby("subject")["value"].transform("size")
    table = table[sizes > 1]
    groups = table.groupby("subject")["value"]
    k_i, means = groups.size().to_numpy(), groups.mean().to_numpy()
    n, total = len(k_i), int(k_i.sum())
    if n < 3:
        raise ValueError(f"{n} subjects were measured more than once, and an ICC needs 3")
    k = (total - np.sum(k_i**2) / total) / (n - 1)
    grand = np.sum(k_i * means) / total
    df_between, df_within = n - 1, total - n
    ms_between = np.sum(k_i * (means - grand) ** 2) / df_between
    ms_within = float(np.sum((table["value"] - groups.transform("mean")) ** 2)) / df_within
    if ms_within == 0:
        raise ValueError("repeats are identical: they are copies, not measurements")
    f = ms_between / ms_within
    low_f = f / stats.f.ppf((1 + level) / 2, df_between, df_within)
    high_f = f * stats.f.ppf((1 + level) / 2, df_within, df_between)
    single = (f - 1) / (f + k - 1)
    return {
        "subjects": n,
        "measurements": total,
        "per_subject": k,
        "icc": single,
        "low": (low_f - 1) / (low_f + k - 1),
        "high": (high_f - 1) / (high_f + k - 1),
        "icc_mean": 1 - 1 / f,
        "between_variance": (ms_between - ms_within) / k,
        "within_variance": ms_within,
    }


def reliability_table(measurements: pd.DataFrame) -> pd.DataFrame:
    """Reliability of ln(cortisol) by platform, from repeats and from segments.

    ``measurements``: DataFrame plate_id, hair_id, participant_id, timepoint, segment, platform, cortisol_pg_per_mg.
    ``repeats``: the same hair sample measured more than once. ``segments``: segments of one person's hair at one
    timepoint (a sample's repeats averaged). Returns DataFrame kind, platform, scale, subjects, measurements,
    per_subject, icc, icc_low, icc_high, icc_mean, within_cv_percent, note; a kind that cannot be judged has its note.
    """
    known = measurements.dropna(subset=["cortisol_pg_per_mg"]).copy()
    known["log"] = np.log(known["cortisol_pg_per_mg"])
    rows = []
    for platform, group in known.groupby("platform", sort=True):
        rows.append(_row("repeats", platform, group["log"], group["hair_id"]))
        keys = ["participant_id", "timepoint", "segment", "hair_id"]
        samples = group.groupby(keys, dropna=False, sort=True)["log"].mean().reset_index()
        samples = samples.drop_duplicates(["participant_id", "timepoint", "segment"])
        person = samples["participant_id"] + " " + samples["timepoint"].fillna("")
        rows.append(_row("segments", platform, samples["log"], person))
    return pd.DataFrame(rows, columns=[
        "kind", "platform", "scale", "subjects", "measurements", "per_subject", "icc", "icc_low", "icc_high",
        "icc_mean", "within_cv_percent", "note",
    ])  # fmt: skip


def _row(kind: str, platform: str, values: pd.Series, subjects: pd.Series) -> dict[str, str]:
    row = {"kind": kind, "platform": platform, "scale": "ln pg/mg"}
    try:
        found = icc(values, subjects)
    except ValueError as error:
        return row | {"note": str(error)}
    return row | {
        "subjects": found["subjects"],
        "measurements": found["measurements"],
        "per_subject": found["per_subject"],
        "icc": found["icc"],
        "icc_low": found["low"],
        "icc_high": found["high"],
        "icc_mean": found["icc_mean"],
        # The CV of a log-normal quantity whose log has this variance.
        "within_cv_percent": 100 * np.sqrt(np.expm1(found["within_variance"])),
    }
