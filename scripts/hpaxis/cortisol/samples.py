"""All plates together: hair samples in pg/mg, with their intervals, limits and flags."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from hpaxis import schemas
from hpaxis.cortisol import assay, quality
from hpaxis.cortisol.finished import bridge, convert
from hpaxis.cortisol.kits import pg_per_ml
from hpaxis.cortisol.plate import ESTIMATE_COLUMNS
from hpaxis.cortisol.reliability import reliability_table
from hpaxis.cortisol.runs import run_variance
from hpaxis.cortisol.segments import months, trajectories
from hpaxis.problems import InputError, Problem

MEASUREMENT_COLUMNS = (
    "plate_id", "hair_id", "platform", "cortisol_pg_per_mg", "cortisol_low", "cortisol_high", "log_se", "cv_percent",
    "n_wells", "censored", "limit_pg_per_mg", "flags", "run",
)  # fmt: skip
SAMPLE_COLUMNS = (
    "hair_id", "participant_id", "timepoint", "segment", "segment_from_cm", "segment_to_cm", "month_from", "month_to",
    "platform", "plate_id", "measurements", "runs", "n_wells", "cortisol_pg_per_mg", "cortisol_low", "cortisol_high",
    "log_se", "log_se_within_run", "cv_percent", "censored", "limit_pg_per_mg", "flags",
)  # fmt: skip
VARIANCE_COLUMNS = ("platform", "level", "variance", "cv_percent", "df", "groups", "note")
BRIDGING_COLUMNS = (
    "source", "target", "n", "intercept", "intercept_se", "slope", "slope_se", "residual_sd", "source_log_se",
    "error_ratio", "lowest", "highest", "r", "note",
)  # fmt: skip
Z = stats.norm.ppf(0.975)
# A measurement with one of these is used for a sample's value only if the sample has no better one.
DOUBTFUL = ("cv_rerun", "discordant", "plate_failed", "replicate_off_curve", "not_parallel", "outside_binding")
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


def collect(plates, finished, hair, participants, arms, settings, others=None):
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
        people[f"month_{end}"] = months(people[f"segment_{end}_cm"], settings["hair_growth_cm_per_month"])
    people = people.merge(participants[["participant_id", "arm"]], on="participant_id", how="left")
    measurements = measurements.merge(people, on="hair_id", how="left")
    counts = quality.plate_by_arm(measurements[measurements["plate_id"].isin(plates["summary"]["plate_id"])], arms)
    if quality.aliased(counts):
        raise InputError(aliasing(counts))
    measurements, rest = _cortisol_only(measurements, plates["summary"], others, people)
    summary = plates["summary"]
    kits = set(summary.loc[summary["analyte"] == "cortisol", "kit"]) if "analyte" in summary else ()
    between = run_variances(measurements, plates["estimates"], summary, settings, kits)
    converted, bridging = bridge_platforms(measurements, settings["bridge_to"])
    controls = quality.control_table(plates["estimates"], settings)
    checks = pd.concat(
        [
            plates["quality"], quality.inter_assay(controls, settings), _between_runs(between),
            _absent(hair, measurements),
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
        rerun=rerun_list(plates["rerun"], samples, measurements),
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


def _cortisol_only(measurements, summary, others, people):
    """Split measurements into those of cortisol, and those of other analytes with a column analyte."""
    named = summary.set_index("kit")["analyte"].to_dict() if "analyte" in summary else {}
    analyte = pd.Series(
        [named.get(p) or "cortisol" for p in measurements["platform"]], index=measurements.index, dtype=str
    )
    rest = measurements.assign(analyte=analyte)[analyte != "cortisol"]
    if others is not None and len(others):
        rest = pd.concat([rest, others.merge(people, on="hair_id", how="left")], ignore_index=True)
    return measurements[analyte == "cortisol"].reset_index(drop=True), rest


def analyte_table(samples, rest, plates, settings) -> pd.DataFrame:
    """Return other analytes, combined over repeats as cortisol is, and the ratio of cortisol to each of them.

    ``samples``: `sample_table` of cortisol; ``rest``: measurements of other analytes, with a column analyte.
    The ratio's error takes the two errors as independent: what one extract's mass and volumes share cancels in truth,
    so the interval is a little wide. Returns DataFrame with `ANALYTE_COLUMNS`; a ratio has no unit.
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


def _ratio(samples, other, analyte):
    """Cortisol / analyte of each hair sample that has a number for both."""
    both = samples.merge(other[["hair_id", "platform", "pg_per_mg", "log_se"]], on="hair_id", suffixes=("", "_other"))
    both = both[both["cortisol_pg_per_mg"].notna() & both["pg_per_mg"].notna()]
    ratio = both["cortisol_pg_per_mg"] / both["pg_per_mg"]
    error = np.hypot(both["log_se"], both["log_se_other"])
    return both.assign(
        analyte=f"cortisol/{analyte}",
        platform=[a if a == b else f"{a}/{b}" for a, b in zip(both["platform"], both["platform_other"])],
        pg_per_mg=ratio, low=ratio * np.exp(-Z * error), high=ratio * np.exp(Z * error), log_se=error,
        censored="none", limit_pg_per_mg=np.nan, flags="",
    )  # fmt: skip


def run_variances(measurements, estimates, summary, settings, platforms=()) -> dict:
    """Return ``{platform: RunVariance}`` from controls, pools and hair samples that were measured in several runs.

    Of the platforms of ``measurements``, and of those in ``platforms`` beside. Plates that failed do not count where
    their samples are left out.
    """
    found = {}
    measurements = measurements if "run" in measurements else measurements.assign(run=measurements["plate_id"])
    use_failed = settings["failed_plates"] == "use"
    for platform in sorted({*measurements["platform"], *platforms}):
        group = measurements[measurements["platform"] == platform]
        doubtful = group["flags"].fillna("").str.split(";").map(lambda names: bool(set(names) & set(DOUBTFUL)))
        kind = group.get("kind", "hair")
        items = [
            _items(kind + " " + group["hair_id"], group["run"], group["cortisol_pg_per_mg"], group["log_se"])[~doubtful]
        ]
        if len(summary) and len(estimates):
            plates = summary[summary["kit"] == platform].set_index("plate_id")
            if not use_failed and "verdict" in plates:
                plates = plates[plates["verdict"] != "fail"]
            known = estimates[estimates["role"].isin(["control", "pool"]) & estimates["plate_id"].isin(plates.index)]
            known = known[(known["censored"] == "none") & (known["concentration"] > 0)]
            names = known["role"] + " " + known["sample"] + " " + known["dilution"].fillna(1).astype(str)
            runs = known["plate_id"].map(plates["run"]) if "run" in plates else known["plate_id"]
            items.append(_items(names, runs, known["concentration"], known["se"] / known["concentration"]))
        found[platform] = run_variance(pd.concat(items, ignore_index=True), settings["run_cv_percent"])
    return found


def _items(names, runs, values, log_se):
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values.astype(float))
    return pd.DataFrame({"item": names, "run": runs, "value": logs, "variance": log_se.astype(float) ** 2})


def _between_runs(between):
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


def variance_table(between, summary) -> pd.DataFrame:
    """Return the variance of ln(pg/mg) by platform and level, with `VARIANCE_COLUMNS`: wells, run, sample in run."""
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
        for level, variance, df in (("run", found.shared, found.runs - 1), ("sample in run", found.own, found.own_df)):
            value = variance if known else np.nan
            cv = 100 * np.sqrt(np.expm1(value))
            rows.append(
                (platform, level, value, cv, df if found.source == "runs" else np.nan, found.runs, words[found.source])
            )
    return pd.DataFrame(rows, columns=list(VARIANCE_COLUMNS))


def rerun_list(rerun, samples, measurements) -> pd.DataFrame:
    """Return all plates' rerun rows, less hair samples that another plate has settled, and repeats that disagree.

    A row has ``cortisol_pg_per_mg`` of its plate, where it is known.
    """
    good = samples[samples["cortisol_pg_per_mg"].notna() | (samples["censored"] != "none")]
    doubt = (
        good["flags"].fillna("").str.split(";").map(lambda names: bool(set(names) & {*DOUBTFUL, "repeats_disagree"}))
    )
    single = good["flags"].fillna("").str.contains("single_well")
    settled = set(good.loc[~doubt & ~single & (good["censored"] == "none"), "hair_id"])
    values = measurements[["plate_id", "hair_id", "cortisol_pg_per_mg"]].rename(columns={"hair_id": "sample"})
    table = rerun[~((rerun["role"] == "sample") & rerun["sample"].isin(settled))]
    table = table.merge(values, on=["plate_id", "sample"], how="left")
    rows = [
        (
            row.plate_id, "sample", row.hair_id, None, np.nan, row.cv_percent,
            "repeats differ beyond their errors and the runs'", "measure it once more; look for a swapped tube",
            row.cortisol_pg_per_mg,
        )
        for row in good[good["flags"].fillna("").str.contains("repeats_disagree")].itertuples()
    ]  # fmt: skip
    more = pd.DataFrame(rows, columns=[*quality.RERUN_COLUMNS, "cortisol_pg_per_mg"])
    return pd.concat([t for t in (table, more) if len(t)] or [table], ignore_index=True)


def no_plates():
    """Return the tables of `collect`'s ``plates``, without rows: a study of finished concentrations only."""
    columns = {
        "summary": schemas.load("cortisol_curves.schema")["properties"],
        "wells": schemas.load("cortisol_wells.schema")["properties"], "estimates": ESTIMATE_COLUMNS,
        "quality": quality.COLUMNS, "rerun": quality.RERUN_COLUMNS,
        "band": ("plate_id", "concentration", "response", "low", "high"),
    }  # fmt: skip
    return {part: pd.DataFrame(columns=list(names)) for part, names in columns.items()}


def segment_name(start, end):
    """Return a segment as 0-3cm, or NA when its end is not known."""
    return "NA" if np.isnan(end) else f"{start:g}-{end:g}cm"


def hair_measurements(estimates, summary, checks, hair, settings):
    """Turn well concentrations into pg/mg, one row per hair sample on a plate.

    Dilutions of one sample that lie within the standards are averaged on the log scale, weighted by their
    precision. The interval combines that of the concentration (curve and replicates) with weighing and pipetting.
    Returns DataFrame with `MEASUREMENT_COLUMNS`.
    """
    rows = []
    plates = summary.set_index("plate_id")
    sheet = hair.set_index("hair_id")
    failed = set(checks.loc[checks["verdict"] == "fail", "plate_id"])
    samples = estimates[(estimates["role"] == "sample") & estimates["sample"].isin(sheet.index)]
    blanks = extraction_blanks(estimates, plates)
    for (plate_id, hair_id), group in samples.groupby(["plate_id", "sample"], sort=True):
        extract = sheet.loc[hair_id]
        plate = plates.loc[plate_id]
        found = _neat(group, extract["dilution"], plate, settings)
        if settings["extraction_blank"] == "subtract" and plate_id in blanks:
            found = less_blank(found, *blanks[plate_id])
        row = {"plate_id": plate_id, "hair_id": hair_id, "platform": plate["kit"], **_in_hair(found, extract, settings)}
        row |= {"cv_percent": found["cv_percent"], "n_wells": found["n_wells"]}
        row["flags"] = ";".join(_flags(row, found, plate, plate_id in failed, settings))
        row["run"] = plate.get("run", plate_id)
        if extract["mass_mg"] < settings["low_mass_mg"]:
            row["flags"] = _joined(row["flags"], "low_mass")
        rows.append(row)
    numbers = [
        c for c in MEASUREMENT_COLUMNS if c not in ("plate_id", "hair_id", "platform", "censored", "flags", "run")
    ]
    words = [c for c in MEASUREMENT_COLUMNS if c not in numbers]
    table = pd.DataFrame(rows, columns=list(MEASUREMENT_COLUMNS)).astype(dict.fromkeys(numbers, float))
    return table if len(table) else table.astype(dict.fromkeys(words, "str"))


def extraction_blanks(estimates, plates):
    """Return ``{plate_id: (mean, standard error)}`` of extracts of no hair, in pg/mL of the undiluted extract.

    Only plates with such extracts above the LOD; one below it or below the standards counts as nothing. The error is
    that of the mean: of wells and curve, and of what blanks differ by where there are several. Both are NaN where a
    blank lies above the standards at every dilution, or none has a value: what to subtract is not known.
    """
    found = {}
    here = estimates[estimates["role"] == "extraction_blank"]
    for plate_id, group in here.groupby("plate_id", sort=True):
        plate = plates.loc[plate_id]
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


def less_blank(found, blank, error):
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
    return found | {"estimate": net, "low": low, "high": high, "log_se": log_se, "flags": flags}


def sample_table(measurements, settings, between=None):
    """Combine repeats: one row per hair sample and platform, with `SAMPLE_COLUMNS`.

    Measurements on plates that failed do not count, unless the settings say so. Those in doubt otherwise (wells that
    disagree, dilutions that are not parallel) count only where there is nothing better. Of the others, numbers come
    before censored ones, and several numbers give their geometric mean. Intervals hold what runs differ by.
    ``between``: dict of `RunVariance` by platform; from the repeats of ``measurements`` alone if None.
    """
    rows = []
    nothing = pd.DataFrame()
    between = run_variances(measurements, nothing, nothing, settings) if between is None else between
    for (hair_id, platform), group in measurements.groupby(["hair_id", "platform"], sort=True):
        flags = group["flags"].fillna("").str.split(";")
        doubtful = flags.map(lambda names: bool(set(names) & set(DOUBTFUL)))
        if settings["failed_plates"] != "use":
            on_failed = flags.map(lambda names: "plate_failed" in names)
            if on_failed.all():
                lost = group.assign(**dict.fromkeys(VALUES, np.nan), censored="none")
                rows.append({**_combined(lost, len(group), None), "hair_id": hair_id, "platform": platform})
                continue
            group, doubtful = group[~on_failed], doubtful[~on_failed]
        has_value = group["cortisol_pg_per_mg"].notna()
        usable = group[has_value | (group["censored"] != "none")]
        best = usable[~doubtful.loc[usable.index]]
        chosen = best if len(best) else (usable if len(usable) else group)
        if chosen["cortisol_pg_per_mg"].notna().any():
            chosen = chosen[chosen["cortisol_pg_per_mg"].notna()]
        rows.append({**_combined(chosen, len(group), between.get(platform)), "hair_id": hair_id, "platform": platform})
    table = pd.DataFrame(rows, columns=list(SAMPLE_COLUMNS))
    if table.empty:  # plates of saliva only
        return table.astype(dict.fromkeys(("hair_id", "participant_id", "platform", "censored", "flags"), "str"))
    unusual = ~table["cortisol_pg_per_mg"].between(settings["usual_low_pg_per_mg"], settings["usual_high_pg_per_mg"])
    unusual &= table["cortisol_pg_per_mg"].notna()
    table["flags"] = [_joined(f, "unusual" if odd else "") for f, odd in zip(table["flags"], unusual)]
    return table


VALUES = ("cortisol_pg_per_mg", "cortisol_low", "cortisol_high", "log_se", "limit_pg_per_mg")


def bridge_platforms(measurements, target):
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


def _neat(group, sheet_dilution, plate, settings):
    """One sample on one plate: concentration in the undiluted extract, in pg/mL, over its dilutions."""
    binding = group["flags"].fillna("").str.contains("outside_binding")
    if (~binding & (group["censored"] == "none")).any():
        group = group[~binding]
    factor = group["dilution"].fillna(sheet_dilution).to_numpy()
    scale = factor * pg_per_ml(plate["unit"], plate.get("analyte", "cortisol"))
    inside = (group["censored"] == "none").to_numpy() & group["concentration"].notna().to_numpy()
    out = {
        "factor": float(factor[0]), "n_wells": int(group["n_wells"].sum()), "censored": "none", "limit": np.nan,
        "estimate": np.nan, "low": np.nan, "high": np.nan, "log_se": np.nan, "cv_percent": np.nan,
        "flags": sorted({f for flags in group["flags"].fillna("") for f in flags.split(";") if f}),
    }  # fmt: skip
    if inside.any():
        part, scale = group[inside], scale[inside]
        log_se = (part["se"] / part["concentration"]).to_numpy()
        weight = log_se**-2.0 / np.sum(log_se**-2.0)
        logs = np.log(part["concentration"].to_numpy() * scale)
        estimate = float(np.exp(np.sum(weight * logs)))
        out |= {
            "estimate": estimate,
            "log_se": float(np.sum(log_se**-2.0) ** -0.5),
            "cv_percent": part["cv_percent"].max(),
        }
        if len(part) == 1:
            out |= {"low": part["low"].iloc[0] * scale[0], "high": part["high"].iloc[0] * scale[0]}
        else:
            out |= _combine_dilutions(logs, log_se, out, settings)
        out["factor"] = float(factor[inside][0])
        return out
    sides = set(group["censored"]) - {"none"}
    if len(sides) == 1:
        side = sides.pop()
        # Of several dilutions, the one that says most: the lowest upper limit, or the highest lower one.
        limits = np.where(group["censored"] == "below", group["high"], group["low"]) * scale
        limits = limits[(group["censored"] == side).to_numpy()]
        out["censored"], out["limit"] = side, float(limits.min() if side == "below" else limits.max())
    elif sides:
        out["flags"].append("contradictory_dilutions")
    return out


def _combine_dilutions(logs, log_se, found, settings):
    """The mean of several dilutions with its error and interval, and the flag not_parallel.

    Random effects by DerSimonian and Laird's moments: where dilutions agree within their errors, the weights are
    those of the errors alone. The interval of dilutions that are not parallel holds each of them.
    """
    weight = log_se**-2.0
    k, total = len(logs), weight.sum()
    q = float(np.sum(weight * (logs - np.sum(weight * logs) / total) ** 2))
    between = max(q - (k - 1), 0.0) / (total - np.sum(weight**2) / total)
    weight = 1 / (log_se**2 + between)
    mean, error = float(np.sum(weight * logs) / weight.sum()), float(weight.sum() ** -0.5)
    half, flags = Z * error, list(found["flags"])
    uneven = stats.chi2.sf(q, k - 1) < quality.NOT_PARALLEL_P
    if uneven and assay.cv_percent(np.exp(logs)) > settings["parallelism_max_percent"]:
        flags.append("not_parallel")
        half = max(half, float(np.abs(logs - mean).max()))
    low, high = float(np.exp(mean - half)), float(np.exp(mean + half))
    return {"estimate": float(np.exp(mean)), "log_se": error, "low": low, "high": high, "flags": flags}


def _in_hair(found, extract, settings):
    """pg/mg of one sample with its interval, or its limit."""
    chemistry = {c: extract[c] for c in ("methanol_added_ml", "methanol_recovered_ml", "reconstitution_ml")}
    spike, mass, recovery = extract["spike_pg"], extract["mass_mg"], extract["recovery"]

    def amount(concentration):
        """Cortisol of the whole extract in pg: pg/mg of 1 mg, before spike and recovery."""
        return assay.hair_cortisol(concentration, 1.0, **chemistry)

    nothing = dict.fromkeys(
        ("cortisol_pg_per_mg", "cortisol_low", "cortisol_high", "log_se", "limit_pg_per_mg"), np.nan
    )
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
    volume_cv = assay.volume_cv(settings["volume_cv_percent"], found["factor"] > 1, extract.get("volumes", 3))
    low, high = assay.widen(total, amount(found["low"]), amount(found["high"]), volume_cv)
    value = assay.hair_cortisol(found["estimate"], mass, **chemistry, spike_pg=spike, recovery=recovery)
    if value <= 0:
        # What was measured is no more than what was added: all that is known is an upper end.
        limit = max((high - spike) / (mass * recovery), 0.0)
        return nothing | {"censored": "below", "cortisol_low": 0.0, "cortisol_high": limit, "limit_pg_per_mg": limit}
    ends = [max((end - spike) / (mass * recovery), 0.0) for end in (low, high)]
    mass_cv = settings["mass_sd_mg"] / mass
    low, high = assay.widen(value, ends[0], ends[1], mass_cv)
    # The spike is known: what is left of the total carries all of the total's error.
    share = total / (total - spike)
    log_se = np.sqrt((share * np.hypot(found["log_se"], volume_cv)) ** 2 + mass_cv**2)
    return nothing | {
        "censored": "none", "cortisol_pg_per_mg": value, "cortisol_low": float(low), "cortisol_high": float(high),
        "log_se": float(log_se),
    }  # fmt: skip


def _flags(row, found, plate, failed, settings):
    flags = [f for f in found["flags"] if f not in ("blank",)]
    if row["censored"] != "none":
        flags.append("spike_exceeds_total" if found["censored"] == "none" else f"censored_{row['censored']}")
    elif np.isfinite(found["estimate"]):
        if found["cv_percent"] > settings["duplicate_cv_rerun_percent"]:
            flags.append("cv_rerun")
        elif found["cv_percent"] > settings["duplicate_cv_warn_percent"]:
            flags.append("cv_warn")
        in_well = found["estimate"] / (found["factor"] * pg_per_ml(plate["unit"], plate.get("analyte", "cortisol")))
        if in_well < plate["lloq"]:
            flags.append("below_lloq")
        if in_well < plate["lod"]:
            flags.append("below_lod")
    if failed:
        flags.append("plate_failed")
    return list(dict.fromkeys(flags))


def _combined(chosen, measured, between):
    """One hair sample from the measurements that count; ``between``: `RunVariance` of its platform, or None."""
    first = chosen.iloc[0]
    row = {c: first[c] for c in SAMPLE_COLUMNS if c in chosen}
    runs = chosen["run"].nunique() if "run" in chosen else len(chosen)
    row |= {
        "plate_id": ";".join(chosen["plate_id"]),
        "measurements": measured,
        "runs": runs,
        "n_wells": chosen["n_wells"].sum() if chosen["n_wells"].notna().any() else np.nan,
        "flags": _joined(*chosen["flags"].fillna(""), "repeats" if len(chosen) > 1 else ""),
        "log_se_within_run": first["log_se"],
    }
    if chosen["cortisol_pg_per_mg"].isna().all():
        return row | (_tightest(chosen) if len(chosen) > 1 and chosen["censored"].ne("none").all() else {})
    if len(chosen) == 1:
        return row | _with_runs(row, between, 1, 1)
    k = len(chosen)
    logs, variances = np.log(chosen["cortisol_pg_per_mg"].to_numpy()), chosen["log_se"].to_numpy() ** 2
    value, within = float(np.exp(logs.mean())), float(np.sqrt(np.sum(variances)) / k)
    row |= {
        "cortisol_pg_per_mg": value,
        "log_se": within,
        "log_se_within_run": within,
        "cortisol_low": value * np.exp(-Z * within),
        "cortisol_high": value * np.exp(Z * within),
        "cv_percent": assay.cv_percent(chosen["cortisol_pg_per_mg"]),
    }
    expected = variances + (between.total if between is not None else 0.0)
    p = stats.chi2.sf(np.sum((logs - logs.mean()) ** 2 / expected), k - 1)
    if not p < DISAGREE:
        return row | _with_runs(row, between, runs, k)
    # Beyond what curve, wells and runs explain: the repeats' own scatter is all that is known of the error.
    error = float(max(np.std(logs, ddof=1) / np.sqrt(k), np.sqrt(np.sum(expected)) / k))
    return row | {
        "log_se": error,
        "cortisol_low": value * np.exp(-Z * error),
        "cortisol_high": value * np.exp(Z * error),
        "flags": _joined(row["flags"], "repeats_disagree"),
    }


def _with_runs(row, between, runs, measurements):
    """The interval and the error of a value, with what runs differ by."""
    if between is None or between.total == 0 or np.isnan(row["log_se"]):
        return {}
    known = float(np.nan_to_num(row["log_se_within_run"])) ** 2
    extra = between.half_width(runs, measurements, known=known) / Z
    low, high = assay.widen(row["cortisol_pg_per_mg"], row["cortisol_low"], row["cortisol_high"], extra)
    error = float(np.sqrt(row["log_se"] ** 2 + between.variance(runs, measurements)))
    return {"cortisol_low": float(low), "cortisol_high": float(high), "log_se": error}


def _tightest(chosen):
    """Of several censored measurements, the one that says most."""
    below = chosen[chosen["censored"] == "below"]
    tightest = (
        below.loc[below["limit_pg_per_mg"].idxmin()] if len(below) else chosen.loc[chosen["limit_pg_per_mg"].idxmax()]
    )
    return {c: tightest[c] for c in ("censored", "limit_pg_per_mg", "cortisol_low", "cortisol_high")}


def _joined(*names):
    return ";".join(dict.fromkeys(n for part in names for n in str(part).split(";") if n))


def _copied_plates(wells):
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


def _unknown_samples(finished, hair):
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


def aliasing(counts):
    """The problem of arms that share no plate; ``counts``: DataFrame plate_id, arm, samples."""
    shown = "; ".join(
        f"{plate_id}: " + ", ".join(f"{row.samples} {row.arm}" for row in group.itertuples())
        for plate_id, group in counts.groupby("plate_id", sort=True)
    )
    what = f"arms cannot be told from plates ({shown})"
    return Problem("plates.tsv", what, "measure samples of every arm on common plates, and deal arms over plates")


def _absent(hair, measurements):
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
