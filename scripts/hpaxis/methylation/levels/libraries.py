"""All libraries of a study together: correction by its controls, calls, verdicts, and indices of participants."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.bias import COLUMNS as CALIBRATION_COLUMNS
from hpaxis.methylation.levels.completion import Completion
from hpaxis.methylation.levels.contexts import CONTEXT_COLUMNS
from hpaxis.methylation.levels.controls import control_faults, exchanged_columns, exchanged_controls, levels_of_study
from hpaxis.methylation.levels.counted import read_sample, spike_over_conversion
from hpaxis.methylation.levels.crosstalk import carry_over, find_leaks
from hpaxis.methylation.levels.dropout import dropout_notes, suspected_variants
from hpaxis.methylation.levels.indices import index_rows, participants
from hpaxis.methylation.levels.intact import copied_reasons, same_molecules
from hpaxis.methylation.levels.limits import LIMIT_COLUMNS, limit_rows, note_undetected
from hpaxis.methylation.levels.measured import Measured, corrected, level, mean_of
from hpaxis.methylation.levels.pooling import draw_conversion
from hpaxis.methylation.levels.replicates import estimate_overdispersion, replicate_groups
from hpaxis.methylation.levels.standards import STANDARD_COLUMNS, calibration, standard_points
from hpaxis.methylation.levels.templates import count_study
from hpaxis.methylation.levels.verdicts import verdict
from hpaxis.problems import Problem, raise_if_any
from hpaxis.settings import MethylationSettings

LIBRARY_COLUMNS = (
    "library_id", "participant_id", "timepoint", "kind", "panel", "plate", "well", *estimate.LIBRARY_COLUMNS,
    "non_conversion", "non_conversion_low", "non_conversion_high", "non_conversion_drawn",
    "over_conversion", "over_conversion_se",
    "template_copies", "template_copies_low", "template_copies_high", "template_source", "median_depth",
    "effective_depth", "failed_molecules", "failed_molecules_low", "failed_molecules_high", "overdispersion",
    *CONTEXT_COLUMNS, "leaked_share", "leaked_share_low", "leaked_share_high", "fully_methylated",
    "fully_methylated_expected", "n_cpgs", "expected_percent", "region_mean_beta_raw", "region_mean_beta",
    "region_mean_beta_se", "region_mean_beta_low", "region_mean_beta_high", "verdict", "reasons",
)  # fmt: skip


@dataclass(frozen=True)
class StudyEstimates:
    """All results: ``calls`` is one table per library (one row per CpG); rows of the others are what their names say.

    ``limits`` has one row per index: the limits of blank and of detection that the study's controls show; ``suspected``
    one a CpG of a library that looks as if an allele lacked it (private, see `dropout.suspected_variants`).
    ``crosstalk`` has one row per plate: what its no-template controls say of molecules that leak between libraries.
    ``calibration`` has one row per index and kind of curve: how the standards' observed levels follow the known ones;
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


def estimate_study(
    sheet: pd.DataFrame,
    panels: dict,
    tables: dict,
    settings: MethylationSettings,
    others: list[Measured] | tuple = (),
    warnings: dict | None = None,
    notes: dict | None = None,
) -> StudyEstimates:
    """Turn what was measured into corrected levels for every library, and indices for every participant and timepoint.

    Parameters: ``sheet``, the rows of the libraries sheet whose molecules were counted (columns library_id,
    participant_id, timepoint, kind, panel, expected_percent, plate, well, input_ng); ``panels``, panel name → `Panel`;
    ``tables``, library_id → `calls.LibraryCalls`; ``settings``, the config's methylation section; ``others``,
    libraries that were measured without molecules (`measured.Measured`); ``warnings``, library_id → reasons that are
    known from elsewhere; ``notes``, library_id → what is to be said of how it was read. A library that fails keeps its
    calls; its index is NA with the reason. Raises `InputError` when two panels name an index alike.
    """
    _check_index_names(panels)
    rows = list(sheet.sort_values("library_id").itertuples())
    seen, counted = count_study(rows, panels, tables, settings)
    samples = [
        read_sample(
            row,
            panels[row.panel],
            tables[row.library_id],
            settings,
            counted[row.library_id],
            seen[row.library_id],
            (notes or {}).get(row.library_id, ()),
        )
        for row in rows
    ]
    # Among people only: on molecules of a 100 % control every CpG is methylated.
    suspected = suspected_variants({
        s.row.library_id: (
            s.row.panel, _cpg_ids(s.panel), s.parts, s.lost(tables[s.row.library_id].patterns),
            max(estimate.duplication(m, s.templates) for m in s.parts),
        )
        for s in samples if s.row.kind == "study"
    })  # fmt: skip
    typical = np.median([s.reads["passed"] for s in samples if s.row.kind == "study"] or [0])
    samples, crosstalk = find_leaks(samples, typical, settings)
    samples, full = carry_over(samples, settings.confidence)
    samples = draw_conversion(samples)
    known, copied = warnings or {}, same_molecules(tables)
    found = {i: [*known.get(i, []), *dropout_notes(s, suspected)] for s in samples for i in [s.row.library_id]}
    calls, library_rows, by_index, limits, curve_rows, standard_rows = {}, [], [], [], [], []
    for (name, assay), group in _groups(panels, [*samples, *others]).items():
        panel, faults = panels[name], exchanged_controls(group, settings)
        over = _over_conversion([s for s in group if s.row.library_id not in faults], settings)
        rho = _overdispersion(group, panel, over, settings)
        group = [replace(s, rho=rho.rho) for s in group]
        points_of = standard_points(group, over, settings)
        curves, rows, points = calibration(name, panel, assay, points_of, settings)
        curve_rows, standard_rows = curve_rows + rows, standard_rows + points
        group, summaries = [replace(s, curves=curves) for s in group], []
        calls |= {s.row.library_id: _calls(s, over, settings) for s in group}
        typical_level = levels_of_study(group, over, settings)
        completion = Completion.of({s.row.library_id: calls[s.row.library_id] for s in group if s.row.kind == "study"})
        for sample in group:
            library = sample.row.library_id
            row = _library_row(sample, over, settings, completion)
            if library in full:
                row["fully_methylated"], row["fully_methylated_expected"] = full[library]
            doubts = [*found.get(library, ()), *control_faults(sample, over, faults)]
            doubts += completion.doubts(sample, settings) + copied_reasons(copied.get(library))
            doubts += exchanged_columns(sample, typical_level)
            row["verdict"], row["reasons"] = verdict(sample, row, over, typical, settings, doubts)
            summaries.append(row)
            if sample.row.kind == "study":
                by_index += index_rows(sample, row, over, settings, completion)
        sound = [s for s in group if s.row.library_id not in faults]
        own_limits = limit_rows(sound, name, panel, over, rho, settings)
        note_undetected(summaries, own_limits)
        library_rows, limits = library_rows + summaries, limits + own_limits
    library_rows.sort(key=lambda row: row["library_id"])
    by_index.sort(key=lambda row: row["library_id"])
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


def _groups(panels, samples):
    """(panel's name, assay) → its libraries: those whose controls, standards and replicates speak for each other.

    A panel that no library is of stands as one of reads without any.
    """
    found = {}
    for sample in samples:
        found.setdefault((sample.row.panel, sample.assay), []).append(sample)
    empty = {(name, "reads") for name in panels} - {(name, "reads") for name, _ in found}
    ranks = {name: i for i, name in enumerate(panels)}
    order = sorted(empty.union(found), key=lambda key: (key[1] != "reads", ranks[key[0]], key[1]))
    return {key: found.get(key, []) for key in order}


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


def _over_conversion(samples, settings):
    """g from 100 % controls and methylated spike-ins of one panel and assay; `estimate.ASSUMED` without any."""
    rates = []
    for sample in samples:
        used = sample.usable(settings) & ~sample.excluded
        spike = spike_over_conversion(getattr(sample, "reads", None))
        if spike is not None and sample.row.kind != "no_template":
            rates.append(spike)
        if sample.row.kind != "control_100" or not used.any() or np.isnan(sample.conversion.value):
            continue
        known = sample.row.expected_percent
        expected = 1.0 if pd.isna(known) else float(known) / 100
        shares = sample.shares(mean_of(used), settings.confidence)
        rates.append(estimate.over_conversion(shares, sample.conversion, expected))
    return estimate.pool_over_conversion(rates)


def _overdispersion(samples, panel, over, settings):
    """Of libraries of one panel, from the mean over all CpGs that are deep enough."""
    levels = {}
    for sample in samples:
        used = sample.usable(settings) & ~sample.excluded
        sound = 1 - sample.conversion.value >= settings.conversion_fail
        found = level(sample, used if sound else np.zeros_like(used), over, settings)
        levels[sample.row.library_id] = float(found.beta[0]), float(found.se[0])
    groups = replicate_groups(samples, levels, panel)
    return estimate_overdispersion(groups, settings.overdispersion, settings.confidence)


def _calls(sample, over, settings):
    """The library's CpG table: counts, levels with intervals, and flags that say what is wrong with a row."""
    table, usable = sample.table(), sample.usable(settings)
    found = corrected(sample, np.eye(len(table)), over, settings)
    table["effective_depth"] = sample.depth
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
    flags = np.array(sample.flags(settings), dtype=object)
    outside = usable & ((found.beta < 0) | (found.beta > 1))
    for where, name in ((outside, "clipped"), (sample.masked, "variant")):
        flags = np.where(where, [f"{f};{name}".lstrip(";") for f in flags], flags)
    table["flags"] = pd.Series(flags, dtype="str", index=table.index).replace("", pd.NA)
    return table


def _library_row(sample, over, settings, completion):
    wanted = ~sample.excluded & sample.covered
    used = sample.usable(settings) & wanted
    region = completion.level(sample, used, wanted, over, settings)
    rate = estimate.Rate(np.nan, np.nan, np.nan) if sample.conversion.assumed else sample.conversion
    z_low, z_high = rate.limits(settings.confidence)
    row = {
        c: getattr(sample.row, c)
        for c in ("library_id", "participant_id", "timepoint", "kind", "panel", "plate", "well")
    }
    row |= sample.summary(settings)
    row |= {
        "non_conversion": rate.value,
        "non_conversion_low": float(z_low),
        "non_conversion_high": float(z_high),
        "over_conversion": over.value,
        "over_conversion_se": np.sqrt(over.variance),
        "n_cpgs": int(np.count_nonzero(sample.usable(settings))),
        "expected_percent": sample.row.expected_percent,
        "region_mean_beta_raw": float(region.raw[0]),
    }
    for part, value in (("", region.beta), ("_se", region.se), ("_low", region.low), ("_high", region.high)):
        row[f"region_mean_beta{part}"] = float(value[0])
    return row
