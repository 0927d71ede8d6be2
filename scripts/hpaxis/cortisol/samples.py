"""All plates together: hair samples in pg/mg, with their intervals, limits and flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from hpaxis import schemas
from hpaxis.cortisol import assay, quality
from hpaxis.cortisol.finished import UNUSUAL_REMEDY, bridge, convert, outside_usual
from hpaxis.cortisol.kits import pg_per_ml
from hpaxis.cortisol.plate import ESTIMATE_COLUMNS
from hpaxis.cortisol.reliability import reliability_table
from hpaxis.cortisol.runs import RunVariance, run_variance
from hpaxis.cortisol.segments import months, trajectories
from hpaxis.cortisol.series import measured_tubes
from hpaxis.problems import InputError, Problem
from hpaxis.settings import CortisolSettings

MEASUREMENT_COLUMNS = (
    "plate_id", "hair_id", "platform", "cortisol_pg_per_mg", "cortisol_low", "cortisol_high", "log_se", "cv_percent",
    "n_wells", "censored", "limit_pg_per_mg", "flags", "run", "log_se_extract", *assay.CURVE_COLUMNS,
)  # fmt: skip
SAMPLE_COLUMNS = (
    "hair_id", "participant_id", "timepoint", "segment", "segment_from_cm", "segment_to_cm", "month_from", "month_to",
    "platform", "plate_id", "measurements", "runs", "n_wells", "cortisol_pg_per_mg", "cortisol_low", "cortisol_high",
    "log_se", "log_se_within_run", "log_se_extract", "cv_percent", "censored", "limit_pg_per_mg", "flags",
)  # fmt: skip
VARIANCE_COLUMNS = ("platform", "level", "variance", "cv_percent", "df", "groups", "note")
BRIDGING_COLUMNS = (
    "source", "target", "n", "intercept", "intercept_se", "slope", "slope_se", "residual_sd", "source_log_se",
    "error_ratio", "lowest", "highest", "r", "note",
)  # fmt: skip
Z = float(special.ndtri(0.975))
# A measurement with one of these is used for a sample's value only if the sample has no better one.
DOUBTFUL = ("cv_rerun", "discordant", "plate_failed", "replicate_off_curve", "not_parallel", "outside_binding")
_DOUBTFUL = frozenset(DOUBTFUL)
DISAGREE = 0.01  # repeats that differ beyond their errors with a smaller p are flagged


@dataclass(frozen=True)
class CortisolTables:
    """The stage's tables; see docs/cortisol.md and the schemas for their columns."""

    samples: pd.DataFrame
    measurements: pd.DataFrame
    curves: pd.DataFrame
    wells: pd.DataFrame
    controls: pd.DataFrame
    quality: pd.DataFrame
    rerun: pd.DataFrame
    reliability: pd.DataFrame
    bridging: pd.DataFrame
    plate_by_arm: pd.DataFrame
    variance: pd.DataFrame
    analytes: pd.DataFrame
    trajectories: pd.DataFrame


def collect(
    plates: Mapping[str, pd.DataFrame],
    finished: pd.DataFrame,
    hair: pd.DataFrame,
    participants: pd.DataFrame,
    arms: Sequence[str],
    settings: CortisolSettings,
    others: pd.DataFrame | None = None,
    saliva: pd.DataFrame | None = None,
) -> CortisolTables:
    """Bring all plates together.

    Parameters
    ----------
    plates : dict of DataFrames, each all plates' rows: summary, wells, estimates, quality, rerun.
    finished : DataFrame of `MEASUREMENT_COLUMNS` from tables of finished concentrations; may be empty.
    hair : DataFrame of hair.tsv, defaults filled in.
    participants : DataFrame with participant_id and arm.
    arms : list of str, in the config's order.
    settings : dict, the config's cortisol section.
    others : DataFrame of `finished.read_other_analytes`, all tables' rows; or None.
    saliva : DataFrame of saliva_cortisol.tsv, whose tubes may stand on the plates too; or None.

    Returns
    -------
    CortisolTables.

    Raises
    ------
    InputError if arms are aliased with plates, a plate was read twice under two names, a finished table names a
    sample that hair.tsv lacks, or platforms are to be bridged and cannot be.
    """
    problems = [*_copied_plates(plates["wells"]), *_unknown_samples(finished, hair)]
    if problems:
        raise InputError(problems)
    measured = hair_measurements(plates["estimates"], plates["summary"], plates["quality"], hair, settings)
    measurements = pd.concat([t for t in (measured, finished) if len(t)] or [measured], ignore_index=True)
    people = hair[["hair_id", "participant_id", "timepoint", "segment_from_cm", "segment_to_cm"]].copy()
    people["segment"] = [segment_name(a, b) for a, b in zip(people["segment_from_cm"], people["segment_to_cm"])]
    for end in ("from", "to"):
        people[f"month_{end}"] = months(people[f"segment_{end}_cm"], settings.hair_growth_cm_per_month)
    people = people.merge(participants[["participant_id", "arm"]], on="participant_id", how="left")
    measurements = measurements.merge(people, on="hair_id", how="left")
    counts = quality.plate_by_arm(measurements[measurements["plate_id"].isin(plates["summary"]["plate_id"])], arms)
    if quality.aliased(counts):
        raise InputError(aliasing(counts))
    measurements, rest = _cortisol_only(measurements, plates["summary"], others, people)
    summary = plates["summary"]
    kits = set(summary.loc[summary["analyte"] == "cortisol", "kit"]) if "analyte" in summary else ()
    between = run_variances(measurements, plates["estimates"], summary, settings, kits)
    converted, bridging = bridge_platforms(measurements, settings.bridge_to)
    controls = quality.control_table(plates["estimates"], settings)
    checks = pd.concat(
        [
            plates["quality"], quality.inter_assay(controls, settings), _between_runs(between),
            _absent(hair, measurements), _outside_usual(measurements, settings),
        ],
        ignore_index=True,
    )  # fmt: skip
    samples = sample_table(converted, settings, between)
    return CortisolTables(
        samples=samples,
        measurements=measurements,
        curves=plates["summary"],
        wells=plates["wells"],
        controls=controls,
        quality=checks,
        rerun=rerun_list(plates["rerun"], samples, measurements, _tubes(plates, saliva, settings)),
        reliability=reliability_table(measurements),
        bridging=bridging,
        plate_by_arm=counts,
        variance=variance_table(between, plates["summary"]),
        analytes=analyte_table(samples, rest, plates, settings),
        trajectories=trajectories(samples, between, dict(zip(measurements["plate_id"], measurements["run"]))),
    )


ANALYTE_COLUMNS = (
    "hair_id", "participant_id", "timepoint", "segment", "analyte", "platform", "pg_per_mg", "low", "high", "log_se",
    "censored", "limit_pg_per_mg", "flags",
)  # fmt: skip


def _cortisol_only(
    measurements: pd.DataFrame, summary: pd.DataFrame, others: pd.DataFrame | None, people: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split measurements into those of cortisol, and those of other analytes with a column analyte."""
    named = summary.set_index("kit")["analyte"].to_dict() if "analyte" in summary else {}
    analyte = pd.Series(
        [named.get(p) or "cortisol" for p in measurements["platform"]], index=measurements.index, dtype=str
    )
    rest = measurements.assign(analyte=analyte)[analyte != "cortisol"]
    if others is not None and len(others):
        rest = pd.concat([rest, others.merge(people, on="hair_id", how="left")], ignore_index=True)
    return measurements[analyte == "cortisol"].reset_index(drop=True), rest


def analyte_table(
    samples: pd.DataFrame, rest: pd.DataFrame, plates: Mapping[str, pd.DataFrame], settings: CortisolSettings
) -> pd.DataFrame:
    """Return other analytes, combined over repeats as cortisol is, and the ratio of cortisol to each of them.

    ``samples``: `sample_table` of cortisol; ``rest``: measurements of other analytes, with a column analyte.
    In the ratio what one extract's mass and volumes share cancels, where both come from plates or from concentrations
    of the extract; finished values per mg say nothing of it, and their errors are taken as independent. Returns
    DataFrame with `ANALYTE_COLUMNS`; a ratio has no unit.
    """
    parts = []
    for analyte, group in rest.groupby("analyte", sort=True) if len(rest) else ():
        between = run_variances(group, plates["estimates"], plates["summary"], settings)
        table = sample_table(group.drop(columns="analyte"), settings, between)
        renamed = table.rename(
            columns={"cortisol_pg_per_mg": "pg_per_mg", "cortisol_low": "low", "cortisol_high": "high"}
        )
        # What is usual for cortisol says nothing of another analyte.
        flags = renamed["flags"].fillna("").str.split(";").map(lambda f: ";".join(x for x in f if x and x != "unusual"))
        parts.append(renamed.assign(analyte=analyte, flags=flags))
        parts.append(_ratio(samples, renamed, analyte))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(ANALYTE_COLUMNS))
    return found.reindex(columns=list(ANALYTE_COLUMNS)).sort_values(
        ["analyte", "hair_id", "platform"], ignore_index=True
    )


def _ratio(samples: pd.DataFrame, other: pd.DataFrame, analyte: str) -> pd.DataFrame:
    """Cortisol / analyte of each hair sample that has a number for both.

    The hair was weighed and extracted once for both, so that part of the two errors cancels. The interval is from the
    two intervals without that part, each end by the ends that move it (Zou and Donner 2008, Statistics in Medicine
    27:1693-1702).
    """
    theirs = ["hair_id", "platform", "pg_per_mg", "low", "high", "log_se", "log_se_extract"]
    both = samples.merge(other[theirs], on="hair_id", suffixes=("", "_other"))
    both = both[both["cortisol_pg_per_mg"].notna() & both["pg_per_mg"].notna()]
    once = both[["log_se_extract", "log_se_extract_other"]].astype(float).min(axis=1, skipna=False).fillna(0.0) ** 2
    ratio = both["cortisol_pg_per_mg"] / both["pg_per_mg"]
    error = np.sqrt(np.maximum(both["log_se"] ** 2 + both["log_se_other"] ** 2 - 2 * once, 0.0))
    with np.errstate(divide="ignore"):
        down, up, down_other, up_other = (
            np.maximum(np.log(a / b) ** 2 - Z**2 * once, 0.0)
            for a, b in (
                (both["cortisol_pg_per_mg"], both["cortisol_low"]), (both["cortisol_high"], both["cortisol_pg_per_mg"]),
                (both["pg_per_mg"], both["low"]), (both["high"], both["pg_per_mg"]),
            )
        )  # fmt: skip
    return both.assign(
        analyte=f"cortisol/{analyte}",
        platform=[a if a == b else f"{a}/{b}" for a, b in zip(both["platform"], both["platform_other"])],
        pg_per_mg=ratio, low=ratio * np.exp(-np.sqrt(down + up_other)), high=ratio * np.exp(np.sqrt(up + down_other)),
        log_se=error, censored="none", limit_pg_per_mg=np.nan, flags="",
    )  # fmt: skip


def run_variances(
    measurements: pd.DataFrame,
    estimates: pd.DataFrame,
    summary: pd.DataFrame,
    settings: CortisolSettings,
    platforms: Set[str] = (),
) -> dict:
    """Return ``{platform: RunVariance}`` from controls, pools and hair samples that were measured in several runs.

    Of the platforms of ``measurements``, and of those in ``platforms`` beside. Plates that failed do not count where
    their samples are left out.
    """
    found = {}
    measurements = measurements if "run" in measurements else measurements.assign(run=measurements["plate_id"])
    use_failed = settings.failed_plates == "use"
    for platform in sorted({*measurements["platform"], *platforms}):
        group = measurements[measurements["platform"] == platform]
        doubtful = group["flags"].fillna("").str.split(";").map(lambda names: bool(set(names) & set(DOUBTFUL)))
        kind = group.get("kind", "hair")
        own = group["log_se"].astype(float) ** 2
        if "log_se_extract" in group:  # weighed and extracted once: no part of what measurements differ by
            own = np.maximum(own - group["log_se_extract"].astype(float).fillna(0.0) ** 2, 0.0)
        items = [_items(kind + " " + group["hair_id"], group, group["cortisol_pg_per_mg"], own)[~doubtful]]
        if len(summary) and len(estimates):
            plates = summary[summary["kit"] == platform].set_index("plate_id")
            if not use_failed and "verdict" in plates:
                plates = plates[plates["verdict"] != "fail"]
            known = estimates[estimates["role"].isin(["control", "pool"]) & estimates["plate_id"].isin(plates.index)]
            known = known[(known["censored"] == "none") & (known["concentration"] > 0)]
            names = known["role"] + " " + known["sample"] + " " + known["dilution"].fillna(1).astype(str)
            runs = known["plate_id"].map(plates["run"]) if "run" in plates else known["plate_id"]
            own = (known["se"] / known["concentration"]) ** 2
            items.append(_items(names, known.assign(run=runs), known["concentration"], own))
        found[platform] = run_variance(pd.concat(items, ignore_index=True), settings.run_cv_percent)
    return found


def _items(names: pd.Series, group: pd.DataFrame, values: pd.Series, variance: pd.Series) -> pd.DataFrame:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values.astype(float))
    found = pd.DataFrame({
        "item": names, "run": group["run"], "value": logs, "variance": variance.astype(float),
        "plate": group["plate_id"],
    })  # fmt: skip
    return found.join(group.reindex(columns=list(assay.CURVE_COLUMNS)).astype(float).fillna(0.0))


def _between_runs(between: Mapping[str, RunVariance]) -> pd.DataFrame:
    """One row of quality.tsv per platform: whether intervals hold what runs differ by."""
    rows = []
    for platform, found in between.items():
        reason = f"{platform}: nothing was measured in two runs, so that the intervals leave out what runs differ by"
        remedy = "measure controls, a pool or some hair samples in every run, or set cortisol.run_cv_percent"
        rows.append((
            "all", "between_runs", platform, 100 * np.sqrt(np.expm1(found.total)), np.nan,
            *(("warn", reason, remedy) if found.source == "none" else ("pass", None, None)), None,
        ))  # fmt: skip
        for item in found.left_out:
            kind, _, name = item.partition(" ")
            # The name stands in the subject alone: the report counts rows whose subject is a hair sample.
            rows.append((
                "all", "between_runs", name if kind == "hair" else item, np.nan, np.nan, "warn",
                f"{platform}: a {kind} differs between runs far more than everything else",
                "it is left out of the variance between runs: look for a swapped tube", None,
            ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(quality.COLUMNS))


def _outside_usual(measurements: pd.DataFrame, settings: CortisolSettings) -> pd.DataFrame:
    """One row of quality.tsv for each platform whose samples all lie outside the usual range."""
    rows = []
    for platform, group in measurements.groupby("platform"):
        found = outside_usual(group["cortisol_pg_per_mg"], settings)
        if found is not None:
            median = group["cortisol_pg_per_mg"].median()
            limit = settings["usual_low_pg_per_mg" if median < settings.usual_low_pg_per_mg else "usual_high_pg_per_mg"]
            verdict = "fail" if found[1] else "warn"
            reason = f"{platform}: {found[0]}"
            rows.append(("all", "usual_range", platform, median, limit, verdict, reason, UNUSUAL_REMEDY, None))
    return pd.DataFrame(rows, columns=list(quality.COLUMNS))


def variance_table(between: Mapping[str, RunVariance], summary: pd.DataFrame) -> pd.DataFrame:
    """Return the variance of ln(pg/mg) by platform and level, with `VARIANCE_COLUMNS`.

    Levels: well, run, plate in run, sample in run; what is not known at a level, and why, stands in its note.
    """
    rows = []
    for platform, found in between.items():
        plates = summary[summary["kit"] == platform] if len(summary) else summary
        well = plates["well_cv_percent"].median() if "well_cv_percent" in plates and len(plates) else np.nan
        note = "a well's CV at a large response, the plates' median"
        rows.append((platform, "well", np.log1p((well / 100) ** 2), well, np.nan, len(plates), note))
        words = {
            "none": "not known: nothing was measured in two runs, and intervals leave it out",
            "setting": "cortisol.run_cv_percent, not this study's own measurements",
            "runs": f"from {found.items} controls, pools and hair samples in {found.runs} runs",
        }
        known = found.source != "none"
        levels = [("run", found.shared, found.runs - 1, found.runs, words[found.source])]
        apart = found.source == "runs" and found.plates > found.runs
        if apart and found.plate_df > 0:
            note = f"what all samples of a plate share beside its curve, in {found.plates} plates of {found.runs} runs"
            levels.append(("plate in run", found.plate, found.plate_df, found.plates, note))
        elif apart:
            note = "not known apart from runs and samples: no two plates of a run have an item in common with others"
            levels.append(("plate in run", np.nan, np.nan, found.plates, note))
        elif known:
            note = "every plate is a run of its own: what plates differ by is what runs differ by"
            levels.append(("plate in run", np.nan, np.nan, found.runs, note))
        levels.append(("sample in run", found.own, found.own_df, found.runs, words[found.source]))
        for level, variance, df, groups, note in levels:
            value = variance if known else np.nan
            cv = 100 * np.sqrt(np.expm1(value))
            rows.append((platform, level, value, cv, df if found.source == "runs" else np.nan, groups, note))
    return pd.DataFrame(rows, columns=list(VARIANCE_COLUMNS))


def _tubes(plates: Mapping[str, pd.DataFrame], saliva: pd.DataFrame | None, settings: CortisolSettings) -> pd.DataFrame:
    """`sample_table` of the tubes of saliva on these plates; without rows where there are none."""
    nothing = pd.DataFrame(columns=list(SAMPLE_COLUMNS))
    if saliva is None or saliva.empty:
        return nothing
    measured, own = measured_tubes(plates, saliva, settings)
    if measured.empty:
        return nothing
    between = run_variances(measured.assign(kind="saliva"), plates["estimates"], plates["summary"], own)
    return sample_table(measured, own, between)


def rerun_list(
    rerun: pd.DataFrame, samples: pd.DataFrame, measurements: pd.DataFrame, tubes: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return all plates' rerun rows, less what another plate has settled, and repeats that disagree.

    ``samples``: of hair; ``tubes``: of saliva, by the same columns, or None. A row has ``cortisol_pg_per_mg`` of its
    plate, where it is known (hair only).
    """
    samples = samples if tubes is None or tubes.empty else pd.concat([samples, tubes], ignore_index=True)
    good = samples[samples["cortisol_pg_per_mg"].notna() | (samples["censored"] != "none")]
    flags = good["flags"].fillna("").str.split(";").map(set)
    doubt = flags.map(lambda names: bool(names & {*DOUBTFUL, "repeats_disagree", "single_well"}))
    settled = set(good.loc[~doubt & (good["censored"] == "none"), "hair_id"])
    values = measurements[["plate_id", "hair_id", "cortisol_pg_per_mg"]].rename(columns={"hair_id": "sample"})
    table = rerun[~((rerun["role"] == "sample") & rerun["sample"].isin(settled))]
    table = table.merge(values, on=["plate_id", "sample"], how="left")
    rows = [
        (
            row.plate_id, "sample", row.hair_id, None, np.nan, row.cv_percent,
            "repeats differ beyond their errors and the runs'", "measure it once more; look for a swapped tube",
            row.cortisol_pg_per_mg if tubes is None or row.hair_id not in set(tubes["hair_id"]) else np.nan,
        )
        for row in good[good["flags"].fillna("").str.contains("repeats_disagree")].itertuples()
    ]  # fmt: skip
    more = pd.DataFrame(rows, columns=[*quality.RERUN_COLUMNS, "cortisol_pg_per_mg"])
    return pd.concat([t for t in (table, more) if len(t)] or [table], ignore_index=True)


def no_plates() -> dict[str, pd.DataFrame]:
    """Return the tables of `collect`'s ``plates``, without rows: a study of finished concentrations only."""
    columns = {
        "summary": schemas.load("cortisol_curves.schema")["properties"],
        "wells": schemas.load("cortisol_wells.schema")["properties"], "estimates": ESTIMATE_COLUMNS,
        "quality": quality.COLUMNS, "rerun": quality.RERUN_COLUMNS,
        "band": ("plate_id", "concentration", "response", "low", "high"),
    }  # fmt: skip
    return {part: pd.DataFrame(columns=list(names)) for part, names in columns.items()}


def segment_name(start: float, end: float) -> str:
    """Return a segment as 0-3cm, or NA when its end is not known."""
    return "NA" if np.isnan(end) else f"{start:g}-{end:g}cm"


def hair_measurements(
    estimates: pd.DataFrame,
    summary: pd.DataFrame,
    checks: pd.DataFrame,
    hair: pd.DataFrame,
    settings: CortisolSettings,
) -> pd.DataFrame:
    """Turn well concentrations into pg/mg, one row per hair sample on a plate.

    Dilutions of one sample that lie within the standards are averaged on the log scale, weighted by their
    precision. The interval combines that of the concentration (curve and replicates) with weighing and pipetting.
    Returns DataFrame with `MEASUREMENT_COLUMNS`.
    """
    rows = []
    plates = summary.set_index("plate_id")
    sheet, of_plate = hair.set_index("hair_id").to_dict("index"), plates.to_dict("index")
    failed = set(checks.loc[checks["verdict"] == "fail", "plate_id"])
    samples = estimates[(estimates["role"] == "sample") & estimates["sample"].isin(sheet)]
    blanks = extraction_blanks(estimates, plates) if settings.extraction_blank == "subtract" else {}
    for (plate_id, hair_id), group in _groups(samples, ["plate_id", "sample"], ESTIMATED):
        extract, plate = sheet[hair_id], of_plate[plate_id]
        found = _neat(group, extract["dilution"], plate, settings)
        if plate_id in blanks:
            found = less_blank(found, *blanks[plate_id])
        row = {"plate_id": plate_id, "hair_id": hair_id, "platform": plate["kit"], **_in_hair(found, extract, settings)}
        row |= {"cv_percent": found["cv_percent"], "n_wells": found["n_wells"]}
        row["flags"] = ";".join(_flags(row, found, plate, plate_id in failed, settings))
        row["run"] = plate.get("run", plate_id)
        if extract["mass_mg"] < settings.low_mass_mg:
            row["flags"] = _joined(row["flags"], "low_mass")
        rows.append(row)
    words = ["plate_id", "hair_id", "platform", "censored", "flags", "run"]
    numbers = [c for c in MEASUREMENT_COLUMNS if c not in words]
    table = pd.DataFrame(rows, columns=list(MEASUREMENT_COLUMNS)).astype(dict.fromkeys(numbers, float))
    return table if len(table) else table.astype(dict.fromkeys(words, "str"))


ESTIMATED = ("dilution", "concentration", "low", "high", "se", "cv_percent", "n_wells", "censored", "flags")


def _groups(
    table: pd.DataFrame, keys: Sequence[str], columns: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], dict[str, np.ndarray]]]:
    """Yield ``(key, {column: array})`` of each group in the order of its keys; rows of a group keep theirs.

    `CURVE_COLUMNS` come as one array under ``curve``, 0 where they are not known.
    """
    order = np.lexsort([table[key].to_numpy(dtype=object).astype(str) for key in reversed(keys)])
    names = list(zip(*(table[key].to_numpy(dtype=object)[order] for key in keys)))
    arrays = {}
    for column in columns:
        values = table[column]
        if column in ("flags", "censored"):
            values = values.fillna("").to_numpy(dtype=object)
        arrays[column] = (values if isinstance(values, np.ndarray) else values.to_numpy())[order]
    arrays["curve"] = table.reindex(columns=list(assay.CURVE_COLUMNS)).fillna(0.0).to_numpy(dtype=float)[order]
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    for start, end in zip(starts, [*starts[1:], len(names)]):
        yield names[start], {column: values[start:end] for column, values in arrays.items()}


def extraction_blanks(estimates: pd.DataFrame, plates: pd.DataFrame) -> dict[Any, Any]:
    """Return ``{plate_id: (mean, standard error)}`` of extracts of no hair, in pg/mL of the undiluted extract.

    Only plates with such extracts above the LOD; one below it or below the standards counts as nothing. The error is
    that of the mean: of wells and curve, and of what blanks differ by where there are several. Both are NaN where a
    blank lies above the standards at every dilution, or none has a value: what to subtract is not known.
    """
    found = {}
    here = estimates[estimates["role"] == "extraction_blank"]
    for plate_id, group in here.groupby("plate_id", sort=True):
        plate = plates.loc[str(plate_id)]
        measured = group[(group["censored"] == "none") & group["concentration"].notna()]
        above = group["censored"] == "above"
        beyond = above & ~group["sample"].isin(measured["sample"])
        group = group[~above & (group["concentration"].notna() | (group["censored"] == "below"))]
        if beyond.any() or group.empty:
            found[plate_id] = (np.nan, np.nan)
            continue
        scale = (group["dilution"].fillna(1) * pg_per_ml(plate["unit"], plate.get("analyte", "cortisol"))).to_numpy()
        inside = (group["censored"] == "none").to_numpy() & (group["concentration"] > plate["lod"]).to_numpy()
        values = np.where(inside, group["concentration"].to_numpy() * scale, 0.0)
        errors = np.where(inside, group["se"].to_numpy() * scale, 0.0)
        n = len(values)
        scatter = np.var(values, ddof=1) / n if n > 1 else 0.0
        if values.mean() > 0:
            found[plate_id] = (float(values.mean()), float(np.sqrt(max(np.sum(errors**2) / n**2, scatter))))
    return found


def less_blank(found: dict[str, Any], blank: float, error: float) -> dict[str, Any]:
    """Return what `_neat` gives less the blank of its plate (pg/mL), with the blank's error; flag blank_subtracted.

    A blank that is NaN cannot be subtracted: the value stays, with the flag blank_not_subtracted.
    """
    if np.isnan(found["estimate"]):
        return found
    if np.isnan(blank):
        return found | {"flags": [*found["flags"], "blank_not_subtracted"]}
    net = found["estimate"] - blank
    flags = [*found["flags"], "blank_subtracted"]
    down, up = found["estimate"] - found["low"], found["high"] - found["estimate"]
    low, high = max(net - np.hypot(down, Z * error), 0.0), net + np.hypot(up, Z * error)
    if net <= 0:
        nothing = dict.fromkeys(("estimate", "low", "high", "log_se"), np.nan)
        return found | nothing | {"censored": "below", "limit": max(high, 0.0), "flags": flags}
    log_se = float(np.hypot(found["log_se"] * found["estimate"], error)) / net
    curve = found.get("curve", 0.0) * found["estimate"] / net
    return found | {"estimate": net, "low": low, "high": high, "log_se": log_se, "curve": curve, "flags": flags}


def sample_table(
    measurements: pd.DataFrame, settings: CortisolSettings, between: Mapping[str, RunVariance] | None = None
) -> pd.DataFrame:
    """Combine repeats: one row per hair sample and platform, with `SAMPLE_COLUMNS`.

    Measurements on plates that failed do not count, unless the settings say so. Those in doubt otherwise (wells that
    disagree, dilutions that are not parallel) count only where there is nothing better. Of the others, numbers come
    before censored ones, and several numbers give their geometric mean. Intervals hold what runs differ by.
    ``between``: dict of `RunVariance` by platform; from the repeats of ``measurements`` alone if None.
    """
    rows = []
    nothing = pd.DataFrame()
    between = run_variances(measurements, nothing, nothing, settings) if between is None else between
    leave_out = settings.failed_plates != "use"
    records = measurements.assign(flags=measurements["flags"].fillna("")).to_dict("records")
    for key, places in measurements.groupby(["hair_id", "platform"], sort=True).indices.items():
        group = [records[i] for i in places]
        names = [set(row["flags"].split(";")) for row in group]
        of = dict(zip(("hair_id", "platform"), key, strict=True))
        here = [i for i, flags in enumerate(names) if not (leave_out and "plate_failed" in flags)]
        if not here:
            lost = [{**row, **dict.fromkeys(VALUES, np.nan), "censored": "none"} for row in group]
            rows.append({**_combined(lost, len(group), None), **of})
            continue
        usable = [i for i in here if _known(group[i]) or group[i]["censored"] != "none"]
        best = [i for i in usable if not names[i] & _DOUBTFUL]
        chosen = [group[i] for i in best or usable or here]
        if any(_known(row) for row in chosen):
            chosen = [row for row in chosen if _known(row)]
        rows.append({**_combined(chosen, len(here), between.get(of["platform"])), **of})
    table = pd.DataFrame(rows, columns=list(SAMPLE_COLUMNS))
    if table.empty:  # plates of saliva only
        return table.astype(dict.fromkeys(("hair_id", "participant_id", "platform", "censored", "flags"), "str"))
    unusual = ~table["cortisol_pg_per_mg"].between(settings.usual_low_pg_per_mg, settings.usual_high_pg_per_mg)
    unusual &= table["cortisol_pg_per_mg"].notna()
    table["flags"] = [_joined(f, "unusual" if odd else "") for f, odd in zip(table["flags"], unusual)]
    return table


VALUES = ("cortisol_pg_per_mg", "cortisol_low", "cortisol_high", "log_se", "limit_pg_per_mg")


def bridge_platforms(measurements: pd.DataFrame, target: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Convert every other platform to ``target`` over samples measured on both; None converts nothing.

    Returns ``(measurements, bridging)``, the second with one row per pair of platforms, converted or not.
    Raises `InputError` if ``target`` is not a platform of this study or a bridge cannot be built.
    """
    platforms = sorted(measurements["platform"].unique())
    known = measurements.dropna(subset=["cortisol_pg_per_mg"])
    means = known.assign(log=np.log(known["cortisol_pg_per_mg"])).groupby(["hair_id", "platform"])
    values, errors = np.exp(means["log"].mean()).unstack(), means["log_se"].mean().unstack()
    rows, lines, problems = [], {}, []
    if target is not None and target not in platforms:
        remedy = f"use one of {', '.join(platforms)}, or null"
        problems.append(
            Problem("config", "is no platform of this study", remedy, column="cortisol.bridge_to", value=target)
        )
    for source in platforms:
        for other in [target] if target in platforms else [p for p in platforms if p > source]:
            if source == other:
                continue
            row = {"source": source, "target": other}
            both = values.reindex(columns=[source, other]).dropna()
            pair = errors.reindex(index=both.index, columns=[source, other])
            try:
                lines[source] = bridge(both[source], both[other], pair[source], pair[other])
                rows.append(row | lines[source])
            except ValueError as error:
                rows.append(row | {"n": len(both), "note": str(error)})
                if other == target:
                    remedy = "measure more samples on both platforms, or set cortisol.bridge_to to null"
                    problems.append(
                        Problem("config", f"{source}: {error}", remedy, column="cortisol.bridge_to", value=target)
                    )
    if problems:
        raise InputError(problems)
    table = pd.DataFrame(rows, columns=list(BRIDGING_COLUMNS))
    if target is None or not lines:
        return measurements, table
    # A sample that was measured on the target itself keeps that value.
    own = set(measurements.loc[measurements["platform"] == target, "hair_id"])
    parts = [measurements[measurements["platform"] == target]]
    for source, line in sorted(lines.items()):
        rest = measurements[(measurements["platform"] == source) & ~measurements["hair_id"].isin(own)]
        parts.append(convert(rest, line, target))
    return pd.concat(parts, ignore_index=True), table


def _neat(
    group: Mapping[str, np.ndarray], sheet_dilution: float, plate: Mapping[str, Any], settings: CortisolSettings
) -> dict[str, Any]:
    """One sample on one plate: concentration in the undiluted extract, in pg/mL, over its dilutions.

    ``group``: arrays of `_groups`; ``curve`` of the result is what its error shares with the plate's other samples.
    """
    within = np.array(["outside_binding" not in flags for flags in group["flags"]])
    if not within.all() and (within & (group["censored"] == "none")).any():
        group = {name: values[within] for name, values in group.items()}
    factor = np.where(np.isnan(group["dilution"].astype(float)), sheet_dilution, group["dilution"].astype(float))
    scale = factor * pg_per_ml(plate["unit"], plate.get("analyte", "cortisol"))
    inside = (group["censored"] == "none") & ~np.isnan(group["concentration"])
    out: dict[str, Any] = {
        "factor": float(factor[0]), "n_wells": int(group["n_wells"].sum()), "censored": "none", "limit": np.nan,
        "estimate": np.nan, "low": np.nan, "high": np.nan, "log_se": np.nan, "cv_percent": np.nan,
        "flags": sorted({f for flags in group["flags"] for f in flags.split(";") if f}),
        "curve": np.zeros(len(assay.CURVE_COLUMNS)),
    }  # fmt: skip
    if inside.any():
        part, scale = {name: values[inside] for name, values in group.items()}, scale[inside]
        log_se = part["se"] / part["concentration"]
        weight = log_se**-2.0 / np.sum(log_se**-2.0)
        logs = np.log(part["concentration"] * scale)
        cvs = part["cv_percent"][~np.isnan(part["cv_percent"])]
        out |= {
            "estimate": float(np.exp(np.sum(weight * logs))),
            "log_se": float(np.sum(log_se**-2.0) ** -0.5),
            "cv_percent": cvs.max() if len(cvs) else np.nan,
            "curve": weight @ part["curve"],
        }
        if len(logs) == 1:
            out |= {"low": part["low"][0] * scale[0], "high": part["high"][0] * scale[0]}
        else:
            out |= _combine_dilutions(logs, log_se, part["curve"], out, settings)
        out["factor"] = float(factor[inside][0])
        return out
    sides = set(group["censored"]) - {"none"}
    if len(sides) == 1:
        side = sides.pop()
        # Of several dilutions, the one that says most: the lowest upper limit, or the highest lower one.
        limits = np.where(group["censored"] == "below", group["high"], group["low"]) * scale
        limits = limits[group["censored"] == side]
        out["censored"], out["limit"] = side, float(limits.min() if side == "below" else limits.max())
    elif sides:
        out["flags"].append("contradictory_dilutions")
    return out


def _combine_dilutions(
    logs: NDArray[np.float64],
    log_se: NDArray[np.float64],
    curve: NDArray[np.float64],
    found: Mapping[str, Any],
    settings: CortisolSettings,
) -> dict[str, float]:
    """The mean of several dilutions with its error and interval, and the flag not_parallel.

    Random effects by DerSimonian and Laird's moments, with the curve's error shared: where dilutions agree within their
    errors, the weights are those of the errors alone. The interval of dilutions that are not parallel holds each of
    them.
    """
    k = len(logs)
    q, trace, covariance = assay.disagreement(logs, log_se, curve)
    between = max(q - (k - 1), 0.0) / trace
    weight = 1 / (log_se**2 + between)
    weight = weight / weight.sum()
    mean = float(np.sum(weight * logs))
    error = float(np.sqrt(weight @ (covariance + between * np.eye(k)) @ weight))
    half, flags = Z * error, list(found["flags"])
    uneven = special.chdtrc(k - 1, q) < quality.NOT_PARALLEL_P
    if uneven and assay.cv_percent(np.exp(logs)) > settings.parallelism_max_percent:
        flags.append("not_parallel")
        half = max(half, float(np.abs(logs - mean).max()))
    low, high = float(np.exp(mean - half)), float(np.exp(mean + half))
    return {
        "estimate": float(np.exp(mean)), "log_se": error, "low": low, "high": high, "flags": flags,
        "curve": weight @ curve,
    }  # fmt: skip


def _in_hair(found: Mapping[str, Any], extract: Mapping[str, Any], settings: CortisolSettings) -> dict[str, Any]:
    """pg/mg of one sample with its interval, or its limit."""
    chemistry = {c: extract[c] for c in ("methanol_added_ml", "methanol_recovered_ml", "reconstitution_ml")}
    spike, mass, recovery = extract["spike_pg"], extract["mass_mg"], extract["recovery"]

    def amount(concentration: float) -> float:
        """Cortisol of the whole extract in pg: pg/mg of 1 mg, before spike and recovery."""
        return assay.hair_cortisol(concentration, 1.0, **chemistry)

    nothing = dict.fromkeys((*VALUES, "log_se_extract", *assay.CURVE_COLUMNS), np.nan)
    if found["censored"] != "none":
        limit = max((amount(found["limit"]) - spike) / (mass * recovery), 0.0)
        low, high = (0.0, limit) if found["censored"] == "below" else (limit, np.inf)
        return nothing | {
            "censored": found["censored"],
            "cortisol_low": low,
            "cortisol_high": high,
            "limit_pg_per_mg": limit,
        }
    if np.isnan(found["estimate"]):
        return nothing | {"censored": "none"}
    total = amount(found["estimate"])
    volumes = extract.get("volumes", 3)
    volume_cv = assay.volume_cv(settings.volume_cv_percent, found["factor"] > 1, volumes)
    low, high = assay.widen(total, amount(found["low"]), amount(found["high"]), volume_cv)
    value = assay.hair_cortisol(found["estimate"], mass, **chemistry, spike_pg=spike, recovery=recovery)
    if value <= 0:
        # What was measured is no more than what was added: all that is known is an upper end.
        limit = max((high - spike) / (mass * recovery), 0.0)
        return nothing | {"censored": "below", "cortisol_low": 0.0, "cortisol_high": limit, "limit_pg_per_mg": limit}
    ends = [max((end - spike) / (mass * recovery), 0.0) for end in (low, high)]
    mass_cv = settings.mass_sd_mg / mass
    low, high = assay.widen(value, ends[0], ends[1], mass_cv)
    # The spike is known: what is left of the total carries all of the total's error.
    share = total / (total - spike)
    log_se = np.sqrt((share * np.hypot(found["log_se"], volume_cv)) ** 2 + mass_cv**2)
    # Weighed, taken up and recovered once: the same in every measurement of the extract. Diluted once a measurement.
    once = np.hypot(share * assay.volume_cv(settings.volume_cv_percent, False, volumes), mass_cv)
    return nothing | {
        "censored": "none", "cortisol_pg_per_mg": value, "cortisol_low": float(low), "cortisol_high": float(high),
        "log_se": float(log_se), "log_se_extract": float(once),
        **dict(zip(assay.CURVE_COLUMNS, share * found["curve"])),
    }  # fmt: skip


def _flags(
    row: Mapping[str, Any],
    found: Mapping[str, Any],
    plate: Mapping[str, Any],
    failed: bool,
    settings: CortisolSettings,
) -> list[str]:
    flags = [f for f in found["flags"] if f not in ("blank",)]
    if row["censored"] != "none":
        flags.append("spike_exceeds_total" if found["censored"] == "none" else f"censored_{row['censored']}")
    elif np.isfinite(found["estimate"]):
        if found["cv_percent"] > settings.duplicate_cv_rerun_percent:
            flags.append("cv_rerun")
        elif found["cv_percent"] > settings.duplicate_cv_warn_percent:
            flags.append("cv_warn")
        in_well = found["estimate"] / (found["factor"] * pg_per_ml(plate["unit"], plate.get("analyte", "cortisol")))
        if in_well < plate["lloq"]:
            flags.append("below_lloq")
        if in_well < plate["lod"]:
            flags.append("below_lod")
    if failed:
        flags.append("plate_failed")
    return list(dict.fromkeys(flags))


def _known(row: Mapping[str, Any]) -> bool:
    """Whether a measurement has a number."""
    return row["cortisol_pg_per_mg"] == row["cortisol_pg_per_mg"]


def _combined(chosen: Sequence[Mapping[str, Any]], measured: int, between: RunVariance | None) -> dict[str, Any]:
    """One hair sample from the measurements that count (dicts); ``between``: `RunVariance` of its platform, or None."""
    first = chosen[0]
    row = {c: first[c] for c in SAMPLE_COLUMNS if c in first}
    runs = len({m["run"] for m in chosen}) if "run" in first else len(chosen)
    plates = len({m["plate_id"] for m in chosen})
    wells = [m["n_wells"] for m in chosen if m["n_wells"] == m["n_wells"]]
    row |= {
        "plate_id": ";".join(m["plate_id"] for m in chosen),
        "measurements": measured,
        "runs": runs,
        "n_wells": sum(wells) if wells else np.nan,
        "flags": _joined(*(m["flags"] for m in chosen), "repeats" if len(chosen) > 1 else ""),
        "log_se_within_run": first["log_se"],
    }
    if not any(_known(m) for m in chosen):
        censored = all(m["censored"] != "none" for m in chosen)
        return row | (_tightest(chosen) if len(chosen) > 1 and censored else {})
    if len(chosen) == 1:
        return row | _with_runs(row, between, 1, 1, 1)
    k = len(chosen)
    logs = np.log(np.array([m["cortisol_pg_per_mg"] for m in chosen]))
    # The hair was weighed and extracted once, whatever the number of measurements.
    once = np.mean(np.nan_to_num([m.get("log_se_extract", np.nan) for m in chosen]) ** 2)
    variances = np.maximum(np.array([m["log_se"] for m in chosen]) ** 2 - once, 0.0)
    value, within = float(np.exp(logs.mean())), float(np.sqrt(np.sum(variances) / k**2 + once))
    row |= {
        "cortisol_pg_per_mg": value,
        "log_se": within,
        "log_se_within_run": within,
        "log_se_extract": float(np.sqrt(once)),
        "cortisol_low": value * np.exp(-Z * within),
        "cortisol_high": value * np.exp(Z * within),
        "cv_percent": assay.cv_percent([m["cortisol_pg_per_mg"] for m in chosen]),
    }
    expected = variances + (between.total if between is not None else 0.0)
    p = special.chdtrc(k - 1, np.sum((logs - logs.mean()) ** 2 / expected))
    if not p < DISAGREE:
        return row | _with_runs(row, between, runs, k, plates)
    # Beyond what curve, wells and runs explain: the repeats' own scatter is all that is known of the error.
    scatter = max(np.var(logs, ddof=1) / k, np.sum(expected) / k**2)
    error = float(np.sqrt(scatter + once))
    return row | {
        "log_se": error,
        "cortisol_low": value * np.exp(-Z * error),
        "cortisol_high": value * np.exp(Z * error),
        "flags": _joined(row["flags"], "repeats_disagree"),
    }


def _with_runs(
    row: Mapping[str, Any], between: RunVariance, runs: int, measurements: int, plates: int
) -> dict[str, float]:
    """The interval and the error of a value, with what runs and plates differ by."""
    if between is None or between.total == 0 or np.isnan(row["log_se"]):
        return {}
    known = float(np.nan_to_num(row["log_se_within_run"])) ** 2
    extra = between.half_width(runs, measurements, known=known, plates=plates) / Z
    low, high = assay.widen(row["cortisol_pg_per_mg"], row["cortisol_low"], row["cortisol_high"], extra)
    error = float(np.sqrt(row["log_se"] ** 2 + between.variance(runs, measurements, plates)))
    return {"cortisol_low": float(low), "cortisol_high": float(high), "log_se": error}


def _tightest(chosen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of several censored measurements, the one that says most."""
    below = [m for m in chosen if m["censored"] == "below"]
    pick, among = (min, below) if below else (max, chosen)
    tightest = pick(among, key=lambda m: m["limit_pg_per_mg"])
    return {c: tightest[c] for c in ("censored", "limit_pg_per_mg", "cortisol_low", "cortisol_high")}


def _joined(*names: str) -> str:
    return ";".join(dict.fromkeys(n for part in names for n in str(part).split(";") if n))


def _copied_plates(wells: pd.DataFrame) -> list[Problem]:
    """The same optical densities under two plate ids are one plate read twice."""
    problems, seen = [], {}
    for plate_id, group in wells.groupby("plate_id", sort=True):
        known = group.dropna(subset=["signal"]).sort_values("well")
        content = tuple(zip(known["well"], known["signal"]))
        if len(content) > 10 and content in seen:
            what = f"has the same optical densities as plate {seen[content]}, well for well"
            problems.append(
                Problem("plates.tsv", what, "correct reader_file of one of them", column="plate_id", value=plate_id)
            )
        seen.setdefault(content, plate_id)
    return problems


def _unknown_samples(finished: pd.DataFrame, hair: pd.DataFrame) -> list[Problem]:
    unknown = finished[~finished["hair_id"].isin(set(hair["hair_id"]))]
    remedy = "add the sample to hair.tsv, or correct the id"
    return [
        Problem(
            f"the finished concentrations {row.plate_id}",
            "is not in hair.tsv",
            remedy,
            column="hair_id",
            value=row.hair_id,
        )
        for row in unknown.itertuples()
    ]


def aliasing(counts: pd.DataFrame) -> Problem:
    """The problem of arms that share no plate; ``counts``: DataFrame plate_id, arm, samples."""
    shown = "; ".join(
        f"{plate_id}: " + ", ".join(f"{row.samples} {row.arm}" for row in group.itertuples())
        for plate_id, group in counts.groupby("plate_id", sort=True)
    )
    what = f"arms cannot be distinguished from plates ({shown})"
    return Problem("plates.tsv", what, "measure samples of every arm on common plates, and deal arms over plates")


def _absent(hair: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    """Hair samples that stand on no plate."""
    absent = hair[~hair["hair_id"].isin(set(measurements["hair_id"]))]
    rows = [
        (
            "all", "sample_on_no_plate", row.hair_id, np.nan, np.nan, "warn", f"{row.hair_id} stands on no plate",
            "add it to a layout, or take it out of hair.tsv", None,
        )
        for row in absent.itertuples()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(quality.COLUMNS))
