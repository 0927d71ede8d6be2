"""What MultiQC shows of the libraries: its custom content, a JSON file a section.

The names are those of the libraries, so that MultiQC joins them with what other tools say of the same reads: for the
laboratory, not for sharing.
"""

import math

import pandas as pd

from hpaxis.methylation.counting.calls import FATES
from hpaxis.methylation.figures.cycles import SELDOM

COLOURS = dict(zip(FATES, (
    "#d55e00", "#e69f00", "#f0e442", "#0072b2", "#cc79a7", "#999999", "#56b4e9", "#000000", "#009e73",
), strict=True))  # fmt: skip
NAMES = {
    "dimers": "Primer dimer", "off_target": "Off target", "discordant": "Mates disagree", "duplicates": "Duplicate",
    "too_short": "Too short",
    "low_quality": "Low quality", "low_identity": "Unlike the amplicon", "unconverted": "Failed conversion",
    "passed": "Passed",
}  # fmt: skip
VERDICTS = [{"pass": [{"s_eq": "pass"}]}, {"warn": [{"s_eq": "warn"}]}, {"fail": [{"s_eq": "fail"}]}]


def multiqc_sections(libraries, reads, cycles):
    """Content of each file by its name without suffix.

    ``libraries``: methylation/libraries.tsv; ``reads``: the rows of all libraries' methylation/reads; ``cycles``: those
    of methylation/cycles with ``library_id``; either is empty where no reads were called.
    """
    return {
        "hpaxis_general_mqc": _general(libraries),
        "hpaxis_fates_mqc": _fates(reads),
        "hpaxis_controls_mqc": _controls(libraries),
        "hpaxis_cycles_mqc": _cycles(cycles),
    }


def _general(libraries):
    data = {
        row.library_id: _known({
            "verdict": row.verdict,
            "conversion": 100 * (1 - row.non_conversion),
            "depth": row.median_depth,
            "level": 100 * row.region_mean_beta,
        })
        for row in libraries.itertuples()
    }  # fmt: skip
    headers = {
        "verdict": {"title": "Verdict", "description": "hpaxis' verdict on the library", "cond_formatting_rules": {
            key: value for rule in VERDICTS for key, value in rule.items()}},
        "conversion": {"title": "Conversion", "description": "Cytosines outside CpGs that were converted",
                       "suffix": " %", "format": "{:,.2f}", "max": 100},
        "depth": {"title": "Depth", "description": "Median molecules per CpG", "format": "{:,.0f}", "min": 0},
        "level": {"title": "Methylation", "description": "Mean over the CpGs, corrected for conversion",
                  "suffix": " %", "format": "{:,.2f}"},
    }  # fmt: skip
    return {"id": "hpaxis_general", "plot_type": "generalstats", "headers": headers, "data": data}


def _fates(reads):
    data = {row["library_id"]: {fate: int(row[fate]) for fate in FATES} for row in reads.to_dict("records")}
    return {
        "id": "hpaxis_fates",
        "section_name": "hpaxis: where read pairs went",
        "description": "Every pair has one fate; those that passed are counted as molecules.",
        "plot_type": "bargraph",
        "categories": {fate: {"name": NAMES[fate], "color": COLOURS[fate]} for fate in reversed(FATES)},
        "pconfig": {"id": "hpaxis_fates_plot", "title": "hpaxis: read pairs", "ylab": "Read pairs"},
        "data": data,
    }


def _controls(libraries):
    controls = libraries[libraries["kind"] != "study"]
    data = {
        row.library_id: _known({
            "kind": row.kind,
            "expected": row.expected_percent,
            "found": 100 * row.region_mean_beta,
            "low": 100 * row.region_mean_beta_low,
            "high": 100 * row.region_mean_beta_high,
            "passed": row.passed,
            "verdict": row.verdict,
        })
        for row in controls.itertuples()
    }  # fmt: skip
    number = {"suffix": " %", "format": "{:,.2f}", "scale": False}
    return {
        "id": "hpaxis_controls",
        "section_name": "hpaxis: controls and standards",
        "description": "Known methylation, and the corrected region mean with its interval.",
        "plot_type": "table",
        "pconfig": {"id": "hpaxis_controls_table", "title": "hpaxis: controls and standards", "col1_header": "Library"},
        "headers": {
            "kind": {"title": "Kind"}, "expected": {"title": "Known", **number}, "found": {"title": "Found", **number},
            "low": {"title": "Low", **number}, "high": {"title": "High", **number},
            "passed": {"title": "Molecules", "format": "{:,.0f}", "scale": False}, "verdict": {"title": "Verdict"},
        },
        "data": data,
    }  # fmt: skip


def _cycles(cycles):
    data = {}
    if len(cycles):
        for (library, mate), rows in cycles.groupby(["library_id", "mate"]):
            n = rows["unconverted"] + rows["converted"]
            rows = rows[n > SELDOM * n.max()]
            excess = 100 * (rows["unconverted"] - rows["unconverted_expected"])
            share = excess / (rows["unconverted"] + rows["converted"])
            data[f"{library} read {mate}"] = dict(zip(rows["cycle"].astype(int).astype(str), share.round(4).tolist()))
    return {
        "id": "hpaxis_cycles",
        "section_name": "hpaxis: non-conversion by cycle",
        "description": "Unconverted cytosines outside CpGs at each cycle, beyond what the same cytosines show over all "
        "cycles; a flat line at 0 is what a run without bias shows.",
        "plot_type": "linegraph",
        "pconfig": {
            "id": "hpaxis_cycles_plot",
            "title": "hpaxis: non-conversion by cycle",
            "xlab": "Cycle",
            "ylab": "Excess (percentage points)",
        },
        "data": data,
    }


def _known(values):
    return {
        name: value.item() if hasattr(value, "item") else value
        for name, value in values.items()
        if not (pd.isna(value) or (isinstance(value, float) and math.isinf(value)))
    }
