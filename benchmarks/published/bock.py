"""Bock et al. 2016: do titrations mix linearly, assay by assay, within the error that replicates show?"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from page import Section, absent, table

from hpaxis.config import checked_config
from hpaxis.methylation.assays.instrument import instrument_error

FRACTIONS = ("AmpliconBS_3", "AmpliconBS_4", "EpiTyper_2", "EpiTyper_3")
TITRATIONS = {
    "1": ([f"IVM_{i}" for i in range(1, 7)], np.array([0, 1, 10, 50, 75, 100]) / 100),
    "2": (
        ["B_96050", "B_83366", "B_39141", "B_77007", "B_14129", "B_33773"],
        np.array([0, 0.01, 0.1, 1, 10, 100]) / 100,
    ),
}  # fmt: skip
# Loci whose ends differ by less say nothing about mixing.
SPAN = 20
LEVELS = (0, 5, 20, 80, 100)


def section(folder: Path) -> Section:
    """Titrations by every assay, and the error of a pyrosequencer by level."""
    here = folder / "bock2016"
    files = sorted(here.glob("results_main_study_*.txt"))
    found = Section(
        "Bock et al. 2016: titrations by pyrosequencing, EpiTYPER and amplicons",
        "public repository epigen/methylation-biomarker-benchmark, commit 535b8985 (MIT), `results_main_study_*.txt`, "
        "to be put in `bock2016/`. Published: Bock et al. 2016, the BLUEPRINT benchmark of DNA methylation assays.",
        missing=[] if files else absent([here / "results_main_study_Pyroseq_1.txt"]),
    )
    if found.missing:
        return found
    tables = {path.stem.removeprefix("results_main_study_"): pd.read_csv(path, sep="\t") for path in files}
    steps = repeat_sd(tables["Pyroseq_1"], tables["Pyroseq_1_replicate"])
    own = route_error(tables)
    found.lines += [
        "Known: samples of either titration are mixtures of its two ends, so each reading in between is expected at "
        "low + share × (high - low). No absolute level is known. Loci whose ends differ by less than "
        f"{SPAN} points are left out.", "", "Error of one pyrosequencing reading, from one assay and its "
                                            "replicate run:", "",
        *table(["level, %", "pairs", "SD, points"], [(label, n, f"{sd:.2f}") for label, n, sd in steps]),
        "hpaxis' own estimate from the same two runs (a sample is a library, a run a well), split into the error of a "
        "position and one that a run shares; a band holds the samples whose mean lies there, where the table above "
        "sorts readings:", "",
        *table(["level, %", "degrees of freedom", "SD of a position, points", "SD a run shares"], own),
        "Deviation from linear mixing; held: share of readings whose expected value lies within 1.96 SD of the "
        "reading, "
        "with the error by level of the table above for reading and ends (stated for pyrosequencing only, which "
        "has the "
        "replicate).", "",
    ]  # fmt: skip
    rows = []
    for name, frame in tables.items():
        for titration in TITRATIONS:
            d, variance = deviations(frame, name, titration, steps)
            if len(d) < 4:
                continue
            held = f"{np.mean(np.abs(d) < 1.96 * np.sqrt(variance)):.2f}" if name.startswith("Pyroseq") else ""
            rows.append(
                (name, titration, len(d), f"{d.mean():+.2f}", f"{d.std(ddof=1):.2f}", f"{np.abs(d).max():.1f}", held)
            )
    found.lines += table(["assay", "titration", "readings", "mean, points", "SD", "largest", "held"], rows)
    found.lines += [
        "Why they differ: a replicate of the run shares its PCR, so its SD holds the instrument and not the bias of "
        "amplification; deviations of one sign in the middle of a titration are that bias, which standards of known "
        "percentage take out (calibration) and repeats do not show.",
    ]
    return found


def values_of(frame: pd.DataFrame, name: str, samples: list[str]) -> np.ndarray:
    """Loci × samples, in percent."""
    columns = [f"{s}_meth" for s in samples]
    if not set(columns) <= set(frame):
        return np.empty((0, len(samples)))
    return frame[columns].apply(pd.to_numeric, errors="coerce").to_numpy() * (100 if name in FRACTIONS else 1)


def repeat_sd(one: pd.DataFrame, two: pd.DataFrame) -> list[tuple[str, int, float]]:
    """SD of one reading by level, from pairs of a run and its replicate."""
    columns = [c for c in one if c.endswith("_meth") and c in two]
    merged = one.merge(two, on="locus_identifier", suffixes=("", "_again"))
    a, b = (
        merged[[f"{c}{end}" for c in columns]].apply(pd.to_numeric, errors="coerce").to_numpy()
        for end in ("", "_again")
    )
    mean, difference = (a + b)[~np.isnan(a + b)] / 2, (a - b)[~np.isnan(a - b)]
    rows = []
    for low, high in pairwise(LEVELS):
        mine = difference[(mean >= low) & (mean < high + (high == LEVELS[-1]))]
        rows.append((f"{low} to {high}", len(mine), float(np.sqrt((mine**2).mean() / 2))))
    return rows


def route_error(tables: dict[str, pd.DataFrame]) -> list[tuple[str, ...]]:
    """The error that hpaxis' pyrosequencing route estimates, each sample a library and either run a well."""
    parts = []
    for well, name in (("A1", "Pyroseq_1"), ("A2", "Pyroseq_1_replicate")):
        frame = tables[name]
        for column in (c for c in frame if c.endswith("_meth")):
            percent = pd.to_numeric(frame[column], errors="coerce")
            parts.append(pd.DataFrame({
                "library_id": column, "assay": "one", "well": well, "cpg_id": frame["locus_identifier"],
                "percent": percent, "quality": "passed",
            }))  # fmt: skip
    config = checked_config({"sheets": {"participants": "x.tsv"}, "arms": ["a", "b"]})
    found = instrument_error(pd.concat(parts, ignore_index=True), config["methylation"]["pyrosequencing"]).table()
    return [(f"{100 * row['level_low']:.0f} to {100 * row['level_high']:.0f}", f"{row['df']:.0f}",
             f"{100 * row['position_sd']:.2f}", f"{100 * row['shared_sd']:.2f}") for row in found]  # fmt: skip


def deviations(frame, name, titration, steps):
    """Reading less expected, and its variance, of every locus and inner sample of a titration, in points."""
    samples, shares = TITRATIONS[titration]
    values = values_of(frame, name, samples)
    values = values[np.abs(values[:, -1] - values[:, 0]) >= SPAN] if len(values) else values
    if not len(values):
        return np.empty(0), np.empty(0)
    inner = shares[1:-1]
    expected = values[:, :1] + inner * (values[:, -1:] - values[:, :1])
    sds = np.array([sd for *_, sd in steps])
    variance = np.square(sds[np.clip(np.searchsorted(LEVELS, values, side="right") - 1, 0, len(sds) - 1)])
    total = variance[:, 1:-1] + (1 - inner) ** 2 * variance[:, :1] + inner**2 * variance[:, -1:]
    d = values[:, 1:-1] - expected
    return d[~np.isnan(d)], total[~np.isnan(d)]
