"""Join what the stages measured to who was measured, and account for every row of every sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpaxis.cohort.columns import (
    CELL_PARTS,
    CORTISOL,
    KEYS,
    METHYLATION_EXTRA,
    ROLES,
    SERIES,
    TRAJECTORY,
    member_columns,
    segmented,
)
from hpaxis.cohort.timepoints import shared_plates, with_baseline
from hpaxis.problems import InputError, Problem
from hpaxis.rows import rows_of
from hpaxis.settings import CohortSettings

PLATE_FAILED = "hair plate failed quality"


@dataclass(frozen=True)
class Cohort:
    """The tables that leave the stage: ``analysis``, ``attrition`` and ``join_audit``."""

    analysis: pd.DataFrame
    attrition: pd.DataFrame
    join_audit: pd.DataFrame


def build_cohort(
    participants: pd.DataFrame,
    libraries: pd.DataFrame,
    hair: pd.DataFrame,
    plates: pd.DataFrame,
    quality: pd.DataFrame | None,
    indices: pd.DataFrame | None,
    samples: pd.DataFrame | None,
    settings: CohortSettings,
    arms: Sequence[str],
    cell_mix: pd.DataFrame | None = None,
    saliva_cortisol: pd.DataFrame | None = None,
    tubes: pd.DataFrame | None = None,
    series: Any = None,
    trajectories: pd.DataFrame | None = None,
) -> Cohort:
    """Join the stages' tables on participant and timepoint.

    ``participants``, ``libraries``, ``hair`` and ``plates`` are the sheets as `hpaxis.sheets.read_sheet` gives
    them (one row per line, with the column ``row``); ``quality`` is methylation/libraries.tsv and ``indices``
    methylation/indices.tsv (both None in a study without saliva), ``samples`` cortisol/samples.tsv (None in a study
    without hair). ``settings`` is the config's cohort section and ``arms`` its list of arms; ``cell_mix`` is
    methylation/cell_mix.tsv, None without. ``saliva_cortisol`` is the sheet of tubes, ``tubes`` and ``series`` are
    cortisol/saliva_tubes.tsv and saliva_series.tsv (both None in a study without saliva cortisol), ``trajectories``
    cortisol/trajectories.tsv, which is used where hair has segments.

    Every participant keeps a row in ``analysis``; what is missing is NA, and why is in ``join_audit``.
    Raises `InputError` when a key does not match or cortisol of two platforms would be pooled.
    """
    timepoint = _timepoint(settings, libraries, hair, tubes)
    _check_keys(participants, indices, samples)
    series, tube_audit = _series(saliva_cortisol, tubes, series, timepoint, settings)
    baseline = settings.baseline
    saliva, saliva_audit = _saliva(libraries, quality, indices, timepoint)
    cortisol, hair_audit = _cortisol(hair, samples, timepoint, settings)

    own = list(settings.columns)
    measured = [] if indices is None else list(indices.columns)
    names = list(dict.fromkeys(c.removesuffix("_beta") for c in measured if c.endswith("_beta")))
    table = participants.assign(timepoint=timepoint)
    table = table.merge(saliva, on="participant_id", how="left", validate="one_to_one")
    table = table.merge(cortisol, on="participant_id", how="left", validate="one_to_one")
    with_segments = trajectories is not None and segmented(hair)
    if with_segments:
        table = table.merge(_slopes(trajectories, timepoint, settings), on="participant_id", how="left",
                            validate="one_to_one")  # fmt: skip
    with_series = tubes is not None
    if with_series:
        table = table.merge(_at(series, timepoint), on="participant_id", how="left", validate="one_to_one")
    if baseline != "NA":
        before, before_audit = _saliva(libraries, quality, indices, baseline)
        hair_before, hair_before_audit = _cortisol(hair, samples, baseline, settings)
        shared = shared_plates(libraries, timepoint, baseline)
        series_before = _at(series, baseline) if with_series else None
        table = with_baseline(table, before, hair_before, names, shared, series_before)
        saliva_audit = _two_timepoints(saliva_audit, before_audit)
        hair_audit = _two_timepoints(hair_audit, hair_before_audit)
    mix, kinds = _cell_mix(cell_mix, timepoint)
    table = table.merge(mix, on="participant_id", how="left", validate="one_to_one")
    member = member_columns(own, names, kinds, baseline=baseline != "NA", series=with_series,
                            segments=with_segments)  # fmt: skip
    analysis = _with_partner(table.reindex(columns=[*KEYS, *member]), member)
    analysis = analysis.sort_values("participant_id", ignore_index=True)

    chains = _chains(with_saliva=quality is not None, with_hair=samples is not None, with_series=with_series)
    left = _left_out(participants, saliva, cortisol, libraries, hair, timepoint, chains)
    if with_series:
        left = _left_by_series(left, tubes[tubes["timepoint"] == timepoint], _at(series, timepoint))
    audits = [
        _participant_audit(participants, left), saliva_audit, hair_audit, tube_audit, _plate_audit(plates, samples),
    ]  # fmt: skip
    audit = pd.concat(audits, ignore_index=True)
    return Cohort(analysis, _attrition(participants, left, arms, chains), audit)


def _chains(with_saliva: bool, with_hair: bool, with_series: bool = False) -> dict[str, tuple[str, ...]]:
    """Return the steps at which people may leave, by chain, for what this study collects."""
    chains: dict[str, tuple[str, ...]] = {"methylation": ("saliva", "methylation")} if with_saliva else {}
    chains |= {"cortisol": ("hair", "cortisol")} if with_hair else {}
    return chains | ({"series": ("tubes", "series")} if with_series else {})


def _series(
    sheet: pd.DataFrame, tubes: pd.DataFrame | None, series: Any, timepoint: str, settings: CohortSettings
) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """Return the series of saliva cortisol of the platform that is analysed, and what became of every tube."""
    if tubes is None:
        return None, _audit([])
    asked = settings.platform
    found = sorted(series["platform"].dropna().unique())
    if asked in found:
        series = series[series["platform"] == asked]
    elif len(found) > 1:
        remedy = "choose one under cohort.platform in the config"
        raise InputError(Problem("cortisol/saliva_series.tsv", "would pool platforms", remedy, value=", ".join(found)))
    timepoints = {timepoint, settings.baseline}
    rows, lines = [], sheet.set_index("saliva_id")["row"]
    for row in rows_of(tubes):
        reason = row.reason if isinstance(row.reason, str) and row.reason else "NA"
        if row.timepoint not in timepoints:
            status, reason = "left out", f"timepoint {row.timepoint} is not the analysis timepoint {timepoint}"
        elif asked in found and isinstance(row.platform, str) and row.platform != asked:
            status, reason = "left out", f"platform {row.platform} is not the one the config asks for"
        else:
            status = "used" if row.used == "yes" else "left out"
        rows.append(("saliva_cortisol", lines[row.saliva_id], row.saliva_id, row.participant_id, status, reason))
    return series, _audit(rows)


def _slopes(trajectories: pd.DataFrame, timepoint: str, settings: CohortSettings) -> pd.DataFrame:
    """Each participant's slope of log cortisol over segments, of the platform that is analysed."""
    here = trajectories[trajectories["timepoint"] == timepoint]
    if settings.platform != "NA":
        here = here[here["platform"] == settings.platform]
    named = {"slope": "log_cortisol_slope", "slope_se": "log_cortisol_slope_se"}
    return here.rename(columns=named)[["participant_id", *TRAJECTORY]]


def _at(series: Any, timepoint: str) -> pd.DataFrame:
    """The columns of one timepoint's series, by participant."""
    here = series[series["timepoint"] == timepoint]
    named = here.rename(columns={name.removeprefix("saliva_"): name for name in SERIES})
    return named[["participant_id", *SERIES]]


def _left_by_series(left: pd.DataFrame, tubes: pd.DataFrame | None, series: Any) -> pd.DataFrame:
    """Add the steps of saliva cortisol: whether somebody has tubes, and a measure of them."""
    have = set(tubes["participant_id"])
    measures = series.set_index("participant_id")[["saliva_auc_g", "saliva_awakening"]].notna().any(axis=1)
    known = set(measures.index[measures])
    people = left["participant_id"]
    return left.assign(
        tubes=["" if p in have else "no saliva cortisol tube" for p in people],
        series=["no complete series of saliva cortisol" if p in have and p not in known else "" for p in people],
    )


def _two_timepoints(follow_up: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """Return one audit of two timepoints: a row that the baseline uses is used."""
    used = baseline["status"].eq("used").to_numpy()
    audit = follow_up.copy()
    audit.loc[used, "status"] = "used"
    audit.loc[used, "reason"] = "baseline"
    refused = ~used & ~follow_up["status"].eq("used") & ~baseline["reason"].str.startswith("timepoint ")
    audit.loc[refused, "reason"] = baseline.loc[refused, "reason"]
    return audit


def _cell_mix(cell_mix: pd.DataFrame | None, timepoint: str) -> tuple[pd.DataFrame, list[str]]:
    """Return a column a cell type and part, by participant; and the types."""
    if cell_mix is None:
        return pd.DataFrame(columns=["participant_id"]).astype("str"), []
    here, kinds = cell_mix[cell_mix["timepoint"] == timepoint], sorted(cell_mix["cell_type"].unique())
    wide = here.pivot(index="participant_id", columns="cell_type", values=list(CELL_PARTS))
    wide.columns = ["_".join(reversed(pair)) for pair in wide.columns.to_list()]
    return wide.reset_index(), kinds


def _timepoint(
    settings: CohortSettings, libraries: pd.DataFrame, hair: pd.DataFrame, tubes: pd.DataFrame | None = None
) -> str:
    found = sorted(
        set(libraries.loc[libraries["kind"] == "study", "timepoint"].dropna())
        | set(hair["timepoint"].dropna())
        | (set() if tubes is None else set(tubes["timepoint"].dropna()))
    )
    if settings.timepoint != "NA":
        return settings.timepoint
    return found[0] if len(found) == 1 else "NA"


def _check_keys(participants: pd.DataFrame, indices: pd.DataFrame | None, samples: pd.DataFrame | None) -> None:
    known = set(participants["participant_id"])
    problems = []
    for name, table in (("methylation/indices.tsv", indices), ("cortisol/samples.tsv", samples)):
        if table is None:
            continue
        for key in sorted(set(table["participant_id"].dropna()) - known):
            remedy = "the sheets changed after this stage ran: run the workflow again"
            problems.append(Problem(name, "is not in participants.tsv", remedy, column="participant_id", value=key))
    if problems:
        raise InputError(problems)


def _saliva(
    libraries: pd.DataFrame, quality: pd.DataFrame | None, indices: pd.DataFrame | None, timepoint: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return index columns by participant, and what became of every library."""
    if quality is None:
        columns = ["participant_id", *METHYLATION_EXTRA, "methylation_reasons"]
        return pd.DataFrame(columns=columns).astype({"participant_id": "str"}), _audit([])
    verdict = quality.set_index("library_id")
    audit = []
    for row in rows_of(libraries):
        outcome = verdict.loc[row.library_id] if row.library_id in verdict.index else None
        if row.kind != "study":
            status, reason = "control", f"{row.kind}: used for correction and quality, not joined"
        elif row.timepoint != timepoint:
            status, reason = (
                "left out",
                f"timepoint {row.timepoint} is not the analysis timepoint {timepoint}",
            )
        elif outcome is None:
            status, reason = "left out", "the methylation stage has no result for it"
        elif outcome["verdict"] == "fail":
            status, reason = "left out", f"failed quality: {outcome['reasons']}"
        else:
            status, reason = "used", "NA"
        audit.append(("libraries", row.row, row.library_id, row.participant_id, status, reason))
    at_time = indices[indices["timepoint"] == timepoint]
    renamed = at_time.rename(
        columns=dict(zip(("depth", "verdict", "reasons"), (*METHYLATION_EXTRA, "methylation_reasons"), strict=True))
    )
    return renamed.drop(columns="timepoint"), _audit(audit)


def _cortisol(
    hair: pd.DataFrame, samples: pd.DataFrame | None, timepoint: str, settings: CohortSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one cortisol value a participant, and what became of every hair sample.

    Of several segments the one nearest the scalp counts; several samples of that segment are averaged on the log
    scale (their geometric mean).
    """
    columns = ["participant_id", *CORTISOL, "cortisol_reason"]
    if samples is None:
        return pd.DataFrame(columns=columns).astype({"participant_id": "str"}), _audit([])
    wide = samples.merge(hair[["hair_id", "row", "segment_from_cm"]], on="hair_id", how="left", suffixes=("", "_hair"))
    _check_platforms(wide[wide["timepoint"] == timepoint], settings)
    audit, used = [], []
    measured = set(samples["hair_id"])
    for row in rows_of(hair):
        if row.hair_id not in measured:
            reason = "on no plate"
            audit.append(("hair", row.row, row.hair_id, row.participant_id, "left out", reason))
    for participant, group in wide.groupby("participant_id", sort=True):
        group = group.sort_values(["segment_from_cm", "hair_id"])
        at_time = group[group["timepoint"] == timepoint]
        if settings.platform != "NA":
            at_time = at_time[at_time["platform"] == settings.platform]
        good = at_time[at_time["cortisol_pg_per_mg"].notna() | (at_time["censored"].fillna("none") != "none")]
        nearest = good[good["segment_from_cm"] == good["segment_from_cm"].min()]
        for row in rows_of(group):
            if row.hair_id in set(nearest["hair_id"]):
                status, reason = (
                    "used",
                    "NA" if len(nearest) == 1 else f"one of {len(nearest)} samples, averaged",
                )
                if "plate_failed" in str(row.flags):
                    failed = f"plate {_plate(row)} failed quality, and cortisol.failed_plates is use"
                    reason = failed if reason == "NA" else f"{reason}; {failed}"
            elif row.timepoint != timepoint:
                status, reason = (
                    "left out",
                    f"timepoint {row.timepoint} is not the analysis timepoint {timepoint}",
                )
            elif row.hair_id in set(good["hair_id"]):
                status, reason = "left out", "a segment nearer the scalp is used"
            elif row.hair_id not in set(at_time["hair_id"]):
                status, reason = "left out", f"platform {row.platform} is not the one the config asks for"
            else:
                status, reason = "left out", _why_none(row)
            audit.append(("hair", row.row, row.hair_id, participant, status, reason))
        on_failed = at_time["flags"].fillna("").str.split(";").map(lambda names: "plate_failed" in names)
        none = "plate failed" if len(at_time) and on_failed.all() else "no concentration"
        reason = "NA" if len(nearest) else (none if len(at_time) else "no hair at this timepoint")
        used.append((participant, *_combine(nearest), reason))
    return pd.DataFrame(used, columns=columns), _audit(audit)


def _plate(sample: Any) -> str:
    return getattr(sample, "plate_id", "of the sample")


def _why_none(sample: Any) -> str:
    """Why a hair sample has no concentration."""
    if "plate_failed" in str(sample.flags):
        return f"plate {_plate(sample)} failed quality (cortisol.failed_plates is leave_out)"
    return f"no concentration: {sample.flags}"


def _combine(samples: pd.DataFrame) -> tuple:
    """Return the cortisol columns of one participant from the samples that count."""
    if samples.empty:
        return (np.nan, np.nan, np.nan, None, np.nan, np.nan, np.nan, np.nan, 0)
    known = samples[samples["censored"].fillna("none") == "none"]
    if known.empty:
        first = samples.iloc[0]
        limit = first["limit_pg_per_mg"]
        return (np.nan, np.nan, np.nan, first["censored"], limit, np.nan, np.nan, np.log(limit), len(samples))
    value, low, high = (_geometric_mean(known[c]) for c in ("cortisol_pg_per_mg", "cortisol_low", "cortisol_high"))
    errors = known["log_se"] if "log_se" in known else pd.Series(np.nan, index=known.index)
    error = float(np.sqrt((errors**2).sum(min_count=len(known))) / len(known))
    return (value, low, high, "none", np.nan, np.log(value), error, np.nan, len(known))


def _geometric_mean(values: pd.Series) -> float:
    if len(values) == 1 or (values <= 0).any():
        return float(values.min())
    return float(np.exp(np.log(values).mean()))


def _check_platforms(samples: pd.DataFrame, settings: CohortSettings) -> None:
    if "platform" not in samples or settings.platform != "NA":
        return
    found = sorted(samples["platform"].dropna().unique())
    if len(found) > 1:
        remedy = "choose one under cohort.platform in the config, or bridge them"
        raise InputError(Problem("cortisol/samples.tsv", "would pool platforms", remedy, value=", ".join(found)))


def _with_partner(table: pd.DataFrame, member: list[str]) -> pd.DataFrame:
    """Add the other member's columns to each row: parent_* on children's rows, child_* on parents'."""
    paired = table.dropna(subset=["dyad_id"])
    for role, other in sorted(ROLES.items(), key=lambda item: item[1]):
        partner = paired.loc[paired["role"] == other, ["dyad_id", *member]]
        partner = partner.rename(columns={c: f"{other}_{c}" for c in member})
        lent = table[["participant_id", "dyad_id", "role"]].merge(partner, on="dyad_id", how="left")
        lent.loc[lent["role"] != role, [f"{other}_{c}" for c in member]] = np.nan
        table = table.merge(lent.drop(columns=["dyad_id", "role"]), on="participant_id", validate="one_to_one")
    return table


def _left_out(
    participants: pd.DataFrame,
    saliva: pd.DataFrame,
    cortisol: pd.DataFrame,
    libraries: pd.DataFrame,
    hair: pd.DataFrame,
    timepoint: str,
    chains: dict[str, tuple[str, ...]],
) -> pd.DataFrame:
    """Return, by participant, the first step of each chain at which they leave, and why ('' where they stay)."""
    study = libraries[(libraries["kind"] == "study") & (libraries["timepoint"] == timepoint)]
    have_saliva = set(study["participant_id"])
    have_hair = set(hair.loc[hair["timepoint"] == timepoint, "participant_id"])
    passed = saliva.set_index("participant_id")["methylation_verdict"].fillna("fail").ne("fail")
    reasons = saliva.set_index("participant_id")["methylation_reasons"]
    why = cortisol.set_index("participant_id")["cortisol_reason"].fillna("NA")
    known = why.eq("NA")
    rows = []
    for person in participants["participant_id"]:
        steps = {"participant_id": person, "saliva": "", "methylation": "", "hair": "", "cortisol": ""}
        if "methylation" in chains and person not in have_saliva:
            steps["saliva"] = "no saliva library"
        elif "methylation" in chains and not passed.get(person, False):
            steps["methylation"] = f"library failed quality: {reasons.get(person, 'no result')}"
        if "cortisol" in chains and person not in have_hair:
            steps["hair"] = "no hair sample"
        elif "cortisol" in chains and not known.get(person, False):
            steps["cortisol"] = PLATE_FAILED if why.get(person) == "plate failed" else "no cortisol concentration"
        rows.append(steps)
    return pd.DataFrame(rows)


def _participant_audit(participants: pd.DataFrame, left: pd.DataFrame) -> pd.DataFrame:
    merged = participants.merge(left, on="participant_id")
    rows = []
    for row in rows_of(merged):
        steps = (getattr(row, step, "") for step in ("saliva", "methylation", "hair", "cortisol", "tubes", "series"))
        reasons = [r for r in steps if r]
        reason = "; ".join(reasons) if reasons else "NA"
        rows.append(("participants", row.row, row.participant_id, row.participant_id, "used", reason))
    return _audit(rows)


def _plate_audit(plates: pd.DataFrame, samples: pd.DataFrame | None) -> pd.DataFrame:
    """Which plates are used: not those that failed, unless the config says so."""
    lost = set()
    if samples is not None and {"plate_id", "flags"} <= set(samples.columns):
        flagged = samples["flags"].fillna("").str.split(";").map(lambda names: "plate_failed" in names)
        lost = {
            p for ids in samples.loc[flagged & samples["cortisol_pg_per_mg"].isna(), "plate_id"] for p in ids.split(";")
        }
    why = "failed quality (cortisol.failed_plates is leave_out)"
    return _audit([
        ("plates", r.row, r.plate_id, None, *(("left out", why) if r.plate_id in lost else ("used", "NA")))
        for r in rows_of(plates)
    ])  # fmt: skip


def _attrition(
    participants: pd.DataFrame, left: pd.DataFrame, arms: Sequence[str], chains: dict[str, tuple[str, ...]]
) -> pd.DataFrame:
    """Count by role and arm who is left after each step; the hair chain starts again from everybody enrolled."""
    merged = participants.merge(left, on="participant_id")
    said = {
        "saliva": "no saliva library",
        "methylation": "library failed quality",
        "hair": "no hair sample",
        "cortisol": "no cortisol concentration",
        "tubes": "no saliva cortisol tube",
        "series": "no complete series of saliva cortisol",
    }
    rows = []
    for role in [r for r in ROLES if (merged["role"] == r).any()]:
        for arm in arms:
            people = merged[(merged["role"] == role) & (merged["arm"] == arm)]
            rows.append((role, "enrolment", "enrolled", arm, len(people), len(people), "NA"))
            for chain, steps in chains.items():
                here = people
                for step in steps:
                    stay = here[here[step] == ""]
                    lost = set(here.loc[here[step] != "", step])
                    reason = said[step] if lost else "NA"
                    if PLATE_FAILED in lost:
                        reason = "; ".join(sorted(lost))
                    rows.append((role, chain, step, arm, len(here), len(stay), reason))
                    here = stay
    return pd.DataFrame(rows, columns=["population", "chain", "step", "arm", "n_before", "n_after", "reason"])


def _audit(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sheet", "row", "key", "participant_id", "status", "reason"]).astype(
        {"participant_id": "str", "key": "str"}
    )
