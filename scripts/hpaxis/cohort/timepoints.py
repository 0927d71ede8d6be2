"""Baseline beside follow-up: each measure at both timepoints, its change, and the error of all three."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

SUFFIXES = ("baseline", "baseline_se", "change", "change_se")
PLATES = "methylation_plates"


OF_SERIES = ("saliva_log_auc_g", "saliva_auc_g", "saliva_auc_i", "saliva_awakening", "saliva_rise")


def measures(indices: Iterable[str], series: bool = False) -> dict[str, str]:
    """Return the measures that have a change, with the column of their standard error (None: not known).

    ``indices``: names of methylation indices. Beta and M value of each, log cortisol, and with ``series`` those of
    saliva cortisol.
    """
    scales = [f"{index}_{scale}" for index in indices for scale in ("beta", "m")]
    return {name: f"{name}_se" for name in [*scales, "log_cortisol", *(OF_SERIES if series else ())]}


def timepoint_columns(indices: Iterable[str], series: bool = False) -> list[str]:
    """Return the columns that a baseline adds to one participant's row, in order."""
    return [*(f"{name}_{suffix}" for name in measures(indices, series) for suffix in SUFFIXES), PLATES]


def with_baseline(
    table: pd.DataFrame,
    saliva: pd.DataFrame,
    cortisol: pd.DataFrame,
    indices: Iterable[str],
    plates: Mapping[str, str],
    series: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Add the baseline columns to the follow-up's ``table`` (one row per participant).

    ``saliva``, ``cortisol`` and ``series`` (None without) hold the baseline's measures, one row per participant;
    ``plates`` says by
    participant whether both libraries were on the ``same`` plate or on ``different`` ones. A change is follow-up
    minus baseline. Its standard error is the root of the sum of both squared errors: the errors of two libraries
    are independent but for what a shared plate does to both.
    """
    before = saliva.merge(cortisol, on="participant_id", how="outer")
    if series is not None:
        before = before.merge(series, on="participant_id", how="outer")
    before = before.set_index("participant_id")
    before = before.reindex(table["participant_id"])
    added: dict[str, np.ndarray] = {}
    for name, error in measures(indices, series is not None).items():
        now, then = (_numbers(frame, name) for frame in (table, before))
        now_se, then_se = (_numbers(frame, error) for frame in (table, before))
        added |= {
            f"{name}_baseline": then,
            f"{name}_baseline_se": then_se,
            f"{name}_change": now - then,
            f"{name}_change_se": np.hypot(now_se, then_se),
        }
    added[PLATES] = table["participant_id"].map(plates).to_numpy()
    return pd.concat([table, pd.DataFrame(added, index=table.index)], axis=1)


def shared_plates(libraries: pd.DataFrame, timepoint: str, baseline: str) -> dict[str, str]:
    """Return, by participant, ``same`` or ``different``: the plates of the libraries of both timepoints.

    A participant with no plate named at either end is not in the result.
    """
    study = libraries[libraries["kind"] == "study"].dropna(subset=["plate", "participant_id"])
    at = {t: study[study["timepoint"] == t].groupby("participant_id")["plate"].agg(set) for t in (timepoint, baseline)}
    both = at[timepoint].index.intersection(at[baseline].index)
    return {p: "same" if at[timepoint][p] == at[baseline][p] else "different" for p in both}


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    return frame[name].to_numpy(float) if name in frame else np.full(len(frame), np.nan)
