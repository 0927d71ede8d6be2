"""Indices of participants and timepoints from the libraries of each."""

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.bias import NONE
from hpaxis.methylation.levels.completion import Completion
from hpaxis.methylation.levels.measured import Measured, index_cpgs, index_members
from hpaxis.settings import MethylationSettings

INDEX_PARTS = ("beta", "beta_se", "beta_low", "beta_high", "m", "m_se")


def index_rows(
    sample: Measured, library_row: dict, over: estimate.Rate, settings: MethylationSettings, completion: Completion
) -> list[dict]:
    """One row per index: level, errors, floor of its logit, depth, and why it has none, or which CpGs it lacks."""
    rows, depth = [], sample.depth
    nothing = np.nan if np.isnan(depth).all() else 0.0
    for index, wanted in index_members(sample):
        used, reason = index_cpgs(sample, index, wanted, settings)
        if library_row["verdict"] == "fail":
            used, reason = np.zeros_like(used), library_row["reasons"]
        deep = wanted & sample.usable(settings)
        if reason is None and used.any() and (missing := completion.lacking(sample, used, wanted, index)):
            reason = missing
        found = completion.level(sample, used, wanted, over, settings, index)
        if reason is None and used.any() and np.isnan(found.beta[0]):
            reason = f"{index}: {sample.unknown}"
        curve = sample.curves.get(index, NONE)
        before = float(curve.at(found.beta[0]))
        scale = (1 - over.value - sample.conversion.value) * float(curve.slope(found.beta[0]))
        rows.append({
            "library_id": sample.row.library_id,
            "participant_id": sample.row.participant_id,
            "timepoint": sample.row.timepoint,
            "index": index,
            "beta": float(found.beta[0]),
            "se": float(found.se[0]),
            "low": float(found.low[0]),
            "high": float(found.high[0]),
            "depth": float(np.median(depth[deep])) if deep.any() else nothing,
            "from_over": before**2 * over.variance / scale**2,
            "reason": reason,
        })  # fmt: skip
    return rows


def participants(rows, library_rows, names, settings):
    """Indices by participant and timepoint; libraries of one sample are combined by effective depth, or by
    their errors where one has none.

    The error of over-conversion is the study's and shared by all libraries, the rest is each library's own.
    """
    columns = ["participant_id", "timepoint", *(f"{n}_{p}" for n in names for p in INDEX_PARTS), "depth", "n_libraries",
               "verdict", "reasons"]  # fmt: skip
    if rows.empty:
        return pd.DataFrame(columns=columns)
    verdicts = {r["library_id"]: (r["verdict"], r["reasons"]) for r in library_rows}
    table = []
    for (participant, timepoint), group in rows.groupby(["participant_id", "timepoint"], sort=True):
        out = {"participant_id": participant, "timepoint": timepoint}
        depths = []
        for name in names:
            mine = group[group["index"] == name]
            out |= {f"{name}_{part}": value for part, value in zip(INDEX_PARTS, _combine(mine))}
            depths.append(mine["depth"].where(mine["beta"].notna() | mine["depth"].isna(), 0).sum(skipna=False))
        used = group.loc[group["beta"].notna(), "library_id"].unique()
        out["depth"] = np.max(depths)
        out["n_libraries"] = len(used)
        out["verdict"], out["reasons"] = _participant_verdict(group, used, verdicts)
        table.append(out)
    return pd.DataFrame(table, columns=columns)


def _combine(rows):
    """Level, errors, interval, M value and its error of one index from the libraries that have it."""
    rows = rows[rows["beta"].notna()]
    if rows.empty:
        return (np.nan,) * len(INDEX_PARTS)
    depth = rows["depth"].sum(skipna=False)
    # Levels that were not counted have no depth: they are combined by their errors.
    weight = (rows["depth"] if depth == depth else 1 / rows["se"] ** 2).to_numpy()
    weight = weight / weight.sum()
    beta, se = rows["beta"].to_numpy(), rows["se"].to_numpy()
    level = weight @ beta
    own = np.maximum(se**2 - rows["from_over"].to_numpy(), 0)
    shared = weight @ np.sqrt(rows["from_over"].to_numpy())
    error = np.sqrt(weight**2 @ own + shared**2)
    low = level - np.sqrt(weight**2 @ (beta - rows["low"].to_numpy()) ** 2)
    high = level + np.sqrt(weight**2 @ (rows["high"].to_numpy() - beta) ** 2)
    m, m_se = estimate.m_value(level, error, 0.5 / depth if depth == depth else error / 2)
    return level, error, low, high, float(m), float(m_se)


def _participant_verdict(group, used, verdicts):
    names = sorted(group["library_id"].unique())
    reasons = [f"{n}: {verdicts[n][1]}" for n in names if verdicts[n][1] is not None]
    sound = group["library_id"].map(lambda name: verdicts[name][0] != "fail")
    partial = group.loc[group["reason"].notna() & sound, ["library_id", "reason"]]
    reasons += [f"{r.library_id}: {r.reason}" for r in partial.itertuples()]
    if not len(used):
        return "fail", "; ".join(reasons) or None
    warned = len(used) < len(names) or len(partial) or any(verdicts[n][0] == "warn" for n in used)
    return "warn" if warned else "pass", "; ".join(reasons) or None
