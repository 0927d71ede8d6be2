"""Which columns the analysis table has, known before any of it is computed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hpaxis.cohort.timepoints import timepoint_columns
from hpaxis.tables import read_table

KEYS = ("participant_id", "dyad_id", "role", "timepoint", "arm")
CORTISOL = (
    "cortisol_pg_per_mg",
    "cortisol_low",
    "cortisol_high",
    "cortisol_censored",
    "cortisol_limit_pg_per_mg",
    "log_cortisol",
    "log_cortisol_se",
    "log_cortisol_limit",
    "cortisol_samples",
)
# Of saliva cortisol series; the columns of cortisol/saliva_series.tsv without the prefix.
SERIES = (
    *(f"saliva_{name}{part}" for name in ("auc_g", "log_auc_g", "auc_i", "awakening", "rise") for part in ("", "_se")),
    "saliva_days",
)
# Of hair in several segments: change of log cortisol per month.
TRAJECTORY = ("log_cortisol_slope", "log_cortisol_slope_se")
INDEX_PARTS = ("beta", "beta_se", "beta_low", "beta_high", "m", "m_se")
METHYLATION_EXTRA = ("methylation_depth", "methylation_verdict")
CELL_PARTS = ("fraction", "fraction_se")
# What a member of a dyad lends to the other's row, under the lender's role.
ROLES = {"child": "parent", "parent": "child"}


def segmented(hair: pd.DataFrame) -> bool:
    """Whether somebody's hair of one timepoint was measured in several segments (rows of hair.tsv)."""
    if "segment_to_cm" not in hair:
        return False
    ends = hair.dropna(subset=["segment_to_cm"])
    return bool((ends.groupby(["participant_id", "timepoint"])["segment_to_cm"].nunique() > 1).any())


def index_columns(indices: Iterable[str]) -> list[str]:
    """Return the columns of each index: estimate, error and interval as beta, and as M value with error."""
    return [f"{index}_{part}" for index in indices for part in INDEX_PARTS]


def member_columns(
    own: Iterable[str],
    indices: Sequence[str],
    cell_types: Iterable[str] = (),
    baseline: bool = False,
    series: bool = False,
    segments: bool = False,
) -> list[str]:
    """Return the columns that describe one participant, ids and arm aside.

    ``baseline``: with those of a change; ``series``: with those of saliva cortisol series;
    ``segments``: with those of hair in several segments.
    """
    mix = [f"{name}_{part}" for name in cell_types for part in CELL_PARTS]
    more = [*(TRAJECTORY if segments else ()), *(SERIES if series else ())]
    changes = timepoint_columns(indices, series) if baseline else []
    return [*own, *index_columns(indices), *METHYLATION_EXTRA, *mix, *CORTISOL, *more, *changes]


def read_analysis(path: str | Path, own: Mapping[str, str]) -> pd.DataFrame:
    """Read cohort/analysis.tsv; ``own``: the config's cohort.columns, name to number or category.

    A column declared a category is text, whatever codes its groups: 1, 2, 3 stay three groups, and 01 is not 1.
    """
    categories = [name for name, kind in own.items() if kind == "category"]
    return read_table(path, text=[*categories, *(f"{role}_{name}" for role in ROLES for name in categories)])


def analysis_columns(study: Any) -> list[str] | None:
    """Return every column name of cohort/analysis.tsv for this study, in order.

    The panels give the names of their indices; a study without saliva has none. Returns None where a panel cannot be
    read: its own check says why, and no model should be blamed for it.
    """
    from hpaxis.methylation.panels.cell_types import cell_types
    from hpaxis.methylation.panels.panel import panel_folder

    indices = []
    for name in sorted(study.libraries.loc[study.libraries["kind"] == "study", "panel"].dropna().unique()):
        if not os.path.isdir(panel_folder(name)):
            continue
        try:
            found = read_table(panel_folder(name) / "indices.tsv", text=("index",))["index"]
        except (OSError, KeyError, ValueError):
            return None
        indices += [i for i in found.drop_duplicates() if i not in indices]
    if not indices and not study.libraries.empty:
        return None
    settings = study.config.cohort
    two = settings.baseline != "NA"
    series = study.config.sheets.saliva_cortisol is not None
    member = member_columns(settings.columns, indices, cell_types(study.libraries), two, series, segmented(study.hair))
    return [*KEYS, *member, *(f"{role}_{c}" for role in sorted(ROLES.values()) for c in member)]
