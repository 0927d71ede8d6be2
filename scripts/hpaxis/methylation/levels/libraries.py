"""All libraries of a study together: correction by its controls, calls, verdicts, and indices of participants."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.bias import COLUMNS as CALIBRATION_COLUMNS
from hpaxis.methylation.levels.contexts import CONTEXT_COLUMNS, context_columns
from hpaxis.methylation.levels.crosstalk import carry_over, find_leaks
from hpaxis.methylation.levels.indices import index_rows, participants
from hpaxis.methylation.levels.limits import LIMIT_COLUMNS, limit, limit_rows, note_undetected
from hpaxis.methylation.levels.replicates import estimate_overdispersion, replicate_groups
from hpaxis.methylation.levels.samples import corrected, level, read_sample, shares_of, umi_families
from hpaxis.methylation.levels.standards import STANDARD_COLUMNS, calibration, counted_points
from hpaxis.methylation.levels.suspicion import suspected_variants, suspicions
from hpaxis.methylation.levels.verdicts import verdict
from hpaxis.problems import Problem, raise_if_any

LIBRARY_COLUMNS = (
    "library_id", "participant_id", "timepoint", "kind", "panel", "plate", "well", *estimate.LIBRARY_COLUMNS,
    "non_conversion", "non_conversion_low", "non_conversion_high", "over_conversion", "over_conversion_se",
    "template_copies", "median_depth", "effective_depth", "failed_molecules", "failed_molecules_low",
    "failed_molecules_high", "overdispersion", *CONTEXT_COLUMNS, "leaked_share", "leaked_share_low",
    "leaked_share_high", "fully_methylated",
    "fully_methylated_expected", "n_cpgs", "expected_percent", "region_mean_beta_raw", "region_mean_beta",
    "region_mean_beta_se", "region_mean_beta_low", "region_mean_beta_high", "verdict", "reasons",
)  # fmt: skip


@dataclass(frozen=True)
class StudyEstimates:
    """All results: ``calls`` is a table a library (a row a CpG); rows of the others are what their names say.

    ``limits`` has a row an index: the limits of blank and of detection that the study's controls show; ``suspected``
    one a CpG of a library that looks as if an allele lacked it (private, see `suspicion.suspected_variants`).
    ``crosstalk`` has a row a plate: what its no-template controls say of molecules that leak between libraries.
    ``calibration`` has a row an index and kind of curve: how the standards' observed levels follow the known ones;
    ``standards`` one an index and standard: those levels, before any curve.
    """

    calls: dict
    libraries: pd.DataFrame
    indices: pd.DataFrame
    limits: pd.DataFrame
    suspected: pd.DataFrame
    crosstalk: pd.DataFrame
    calibration: pd.DataFrame
    standards: pd.DataFrame


def estimate_study(sheet, panels, tables, settings, others=(), warnings=None):
    """Turn counts into corrected levels for every library, and into indices for every participant and timepoint.

    Parameters: ``sheet``, the libraries sheet (columns library_id, participant_id, timepoint, kind, panel,
    expected_percent, plate, well, input_ng); ``panels``, panel name → `Panel`; ``tables``, library_id →
    `calls.LibraryCalls`; ``settings``, the config's methylation section; ``others``, what libraries
    without molecules were measured to be (`pyrosequencing_levels.Measured`); ``warnings``, library_id → reasons that
    are known from elsewhere. Returns `StudyEstimates`. A library that
    fails keeps its calls; its index is NA with the reason. Raises `InputError` when two panels name an index alike.
    """
    _check_index_names(panels)
    samples = [
        read_sample(row, panels[row.panel], tables[row.library_id], settings)
        for row in sheet.sort_values("library_id").itertuples()
    ]
    # Among people only: on molecules of a 100 % control every CpG is methylated.
    suspected = suspected_variants({
        s.row.library_id: (s.row.panel, _cpg_ids(s.panel), s.parts) for s in samples if s.row.kind == "study"
    })  # fmt: skip
    typical = np.median([s.reads["passed"] for s in samples if s.row.kind == "study"] or [0])
    samples, crosstalk = find_leaks(samples, typical, settings)
    full = carry_over(samples)
    over = {name: _over_conversion(samples, panel, settings) for name, panel in panels.items()}
    rho = {name: _overdispersion(samples, panel, over[name], settings) for name, panel in panels.items()}
    samples = [replace(s, rho=rho[s.row.panel].rho) for s in samples]
    elsewhere = {name for other in others for name, *_ in other.limit_rows} - set(sheet["panel"])
    own = [n for n in panels if n not in elsewhere]
    curves, curve_rows, standard_rows = {}, [], []
    for name in own:
        points_of = counted_points(samples, panels[name], over[name], settings)
        curves[name], found, known = calibration(name, panels[name], "reads", points_of, settings)
        curve_rows += found
        standard_rows += known
    samples = [replace(s, curves=curves[s.row.panel]) for s in samples]
    calls, library_rows, by_index = {}, [], []
    for sample in samples:
        g = over[sample.row.panel]
        calls[sample.row.library_id] = _calls(sample, g, settings)
        row = _library_row(sample, g, settings)
        row["fully_methylated"], row["fully_methylated_expected"], row["carry_over"] = full[sample.row.library_id]
        found = [*(warnings or {}).get(sample.row.library_id, []), *suspicions(sample, suspected)]
        row["verdict"], row["reasons"] = verdict(sample, row, g, typical, settings, found)
        library_rows.append(row)
        if sample.row.kind == "study":
            by_index += index_rows(sample, row, g, settings)
    limits = [row for name in own for row in limit_rows(samples, name, panels[name], over[name], rho[name], settings)]
    note_undetected(library_rows, limits)
    for other in others:
        found = [{"panel": n, "index": i} | limit(blank, low) for n, i, blank, low in other.limit_rows]
        note_undetected(other.library_rows, found)
        calls, limits = calls | other.calls, limits + found
        library_rows, by_index = library_rows + other.library_rows, by_index + other.index_rows
        curve_rows, standard_rows = curve_rows + other.curve_rows, standard_rows + other.standard_rows
    library_rows.sort(key=lambda row: row["library_id"])
    indices = [dict.fromkeys(p.indices["index"]) for p in panels.values()]
    names = list(dict.fromkeys(name for panel in indices for name in panel))
    return StudyEstimates(
        calls=calls,
        libraries=pd.DataFrame(library_rows, columns=list(LIBRARY_COLUMNS)),
        indices=participants(pd.DataFrame(by_index), library_rows, names, settings),
        limits=pd.DataFrame(limits, columns=list(LIMIT_COLUMNS)),
        suspected=suspected,
        crosstalk=crosstalk,
        calibration=pd.DataFrame(curve_rows, columns=list(CALIBRATION_COLUMNS)),
        standards=pd.DataFrame(standard_rows, columns=list(STANDARD_COLUMNS)),
    )


def _cpg_ids(panel):
    return [panel.cpgs.loc[panel.cpgs["amplicon"] == name, "cpg_id"].tolist() for name in panel.references]


def _check_index_names(panels):
    seen, problems = {}, []
    for name, panel in panels.items():
        for index in dict.fromkeys(panel.indices["index"]):
            if index in seen:
                what = f"is an index of panel {seen[index]} too"
                problems.append(
                    Problem(f"{name}/indices.tsv", what, "rename it in one of them", column="index", value=index)
                )
            seen[index] = name
    raise_if_any(problems)


def _over_conversion(samples, panel, settings):
    """g of a panel from its 100 % controls that are deep enough; 0 without one."""
    rates = []
    for sample in samples:
        if sample.panel is not panel or sample.row.kind != "control_100":
            continue
        deep = (sample.depth >= settings["depth_fail"]) & ~sample.excluded
        if not deep.any() or np.isnan(sample.conversion.value):
            continue
        known = sample.row.expected_percent
        expected = 1.0 if pd.isna(known) else float(known) / 100
        shares = shares_of(sample, sample.weights(deep), settings)
        rates.append(estimate.over_conversion(shares, sample.conversion, expected))
    return estimate.pool_over_conversion(rates)


def _overdispersion(samples, panel, over, settings):
    """Of a panel, from the mean over all CpGs that are deep enough."""
    levels = {}
    for sample in samples:
        deep = (sample.depth >= settings["depth_fail"]) & ~sample.excluded
        usable = sample.panel is panel and 1 - sample.conversion.value >= settings["conversion_fail"]
        found = level(sample, deep if usable else np.zeros_like(deep), over, settings)
        levels[sample.row.library_id] = float(found.beta[0]), float(found.se[0])
    groups = replicate_groups(samples, levels, panel)
    return estimate_overdispersion(groups, settings["overdispersion"], settings["confidence"])


def _calls(sample, over, settings):
    """The library's CpG table: counts, levels with intervals, and flags that say what is wrong with a row."""
    table = sample.counts.copy()
    found = corrected(sample, sample.split(np.eye(len(table))), over, settings)
    depth = sample.depth
    usable = depth >= settings["depth_fail"]
    table["effective_depth"] = depth
    table["beta_raw"] = found.raw
    values = {
        "beta": np.clip(found.beta, 0, 1),
        "beta_unclipped": found.beta,
        "beta_se": found.se,
        "beta_low": np.clip(found.low, 0, 1),
        "beta_high": np.clip(found.high, 0, 1),
    }
    for column, value in values.items():
        table[column] = np.where(usable, value, np.nan)
    flags = np.select([~usable, depth < settings["depth_warn"]], ["depth_fail", "depth_low"], default="").astype(object)
    outside = usable & ((found.beta < 0) | (found.beta > 1))
    for where, name in ((outside, "clipped"), (sample.masked, "variant")):
        flags = np.where(where, [f"{f};{name}".lstrip(";") for f in flags], flags)
    table["flags"] = pd.Series(flags, dtype="str").replace("", pd.NA)
    return table


def _library_row(sample, over, settings):
    z_low, z_high = sample.conversion.limits(settings["confidence"])
    failed = sample.failed
    failed_limits = failed.limits(settings["confidence"])
    depth = sample.depth
    region = level(sample, (depth >= settings["depth_fail"]) & ~sample.excluded, over, settings)
    row = {
        c: getattr(sample.row, c)
        for c in ("library_id", "participant_id", "timepoint", "kind", "panel", "plate", "well")
    }
    row |= {c: int(sample.reads[c]) for c in estimate.LIBRARY_COLUMNS}
    row |= {
        "non_conversion": sample.conversion.value,
        "non_conversion_low": float(z_low),
        "non_conversion_high": float(z_high),
        "over_conversion": over.value,
        "over_conversion_se": np.sqrt(over.variance),
        "template_copies": umi_families(sample.reads) if np.isinf(sample.templates) else sample.templates,
        "median_depth": float(np.median(sample.counts["depth"])),
        "effective_depth": float(np.median(depth)),
        "failed_molecules": failed.value,
        "failed_molecules_low": float(failed_limits[0]),
        "failed_molecules_high": float(failed_limits[1]),
        "overdispersion": sample.rho,
        **context_columns(sample, settings["confidence"]),
        "leaked_share": np.nan if sample.leak is None else sample.leak.share,
        "leaked_share_low": np.nan if sample.leak is None else sample.leak.low,
        "leaked_share_high": np.nan if sample.leak is None else sample.leak.high,
        "n_cpgs": int(np.count_nonzero(depth >= settings["depth_fail"])),
        "expected_percent": sample.row.expected_percent,
        "region_mean_beta_raw": float(region.raw[0]),
    }
    for part, value in (("", region.beta), ("_se", region.se), ("_low", region.low), ("_high", region.high)):
        row[f"region_mean_beta{part}"] = float(value[0])
    return row
