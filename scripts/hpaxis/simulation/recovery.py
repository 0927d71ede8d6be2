"""Does the caller give back what was put in? Libraries of chosen levels and conversion, simulated and measured."""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.calls import count_library
from hpaxis.methylation.libraries import estimate_study
from hpaxis.simulation.cohort import HAPLOID_COPIES_PER_NG
from hpaxis.simulation.reads import Chemistry, Library, random_stream, simulate_reads, write_fastq

INPUT_NG, RECOVERY = 200, 0.5
OVER_CONVERSION, FAILED = 0.006, 0.002
PARTS = {"_raw": "raw", "": "estimate", "_se": "se", "_low": "low", "_high": "high"}


def simulate_run(region_percent, non_conversion_percent, amplicon, seed, pairs=1000):
    """Plan one run: a library for each pair of the two arrays (region mean and background non-conversion, percent).

    Levels of the CpGs differ by a profile and by library, at the given mean. Over-conversion, failed molecules,
    dimers, off-target and hopped reads are as in the demo. Two 0 % and two 100 % controls come with it.
    Returns ``(libraries, sheet)``: list of `reads.Library` and the columns of libraries.tsv that the estimate needs.
    """
    rng = random_stream(seed, "run")
    n_cpgs = amplicon.offsets.size
    profile = np.exp(rng.normal(0, 0.4, n_cpgs))
    wanted = np.concatenate([np.asarray(region_percent, float) / 100, [0, 0, 1, 1]])
    background = np.concatenate([
        np.asarray(non_conversion_percent, float) / 100, rng.permutation(non_conversion_percent)[:4] / 100
    ])  # fmt: skip
    libraries, rows = [], []
    for k, (region, e) in enumerate(zip(wanted, background, strict=True)):
        shape = profile * np.exp(rng.normal(0, 0.15, n_cpgs))
        control = region == 1 or k >= len(wanted) - 4
        levels = np.full(n_cpgs, region) if control else np.clip(region * shape / shape.mean(), 0, 1)
        kind = "study" if not control else "control_100" if region == 1 else "control_0"
        library_id = f"L{k:05d}" if kind == "study" else f"C{k:05d}"
        junk = rng.multinomial(pairs, [0.002, 0.06, 0.04, 0.898])
        libraries.append(
            Library(
                library_id=library_id,
                levels=levels,
                own=int(junk[3]),
                hopped=int(junk[0]),
                dimer=int(junk[1]),
                off_target=int(junk[2]),
                templates=int(rng.binomial(INPUT_NG * HAPLOID_COPIES_PER_NG, RECOVERY)),
                non_conversion=e,
                failed=FAILED * rng.gamma(2, 0.5),
                over_conversion=OVER_CONVERSION,
            )
        )
        rows.append({
            "library_id": library_id, "participant_id": f"{k:05d}" if kind == "study" else np.nan, "kind": kind,
            "timepoint": "t" if kind == "study" else np.nan, "input_ng": INPUT_NG,
            "expected_percent": np.nan, "plate": "B01", "well": np.nan,
        })  # fmt: skip
    return libraries, pd.DataFrame(rows)


def measure_run(libraries, sheet, amplicon, panel, settings, seed, filters, cores=1):
    """Write each library's reads, count them, and estimate the run: `methylation.libraries.StudyEstimates`."""
    donors = [d for d in libraries if d.own]
    measure = partial(_measure, amplicon=amplicon, panel=panel, seed=seed, donors=donors, filters=filters)
    if cores == 1:
        tables = [measure(library) for library in libraries]
    else:
        with ProcessPoolExecutor(cores) as pool:
            tables = list(pool.map(measure, libraries, chunksize=8))
    by_id = {library.library_id: table for library, table in zip(libraries, tables, strict=True)}
    return estimate_study(sheet.assign(panel=panel.name), {panel.name: panel}, by_id, settings)


def _measure(library, amplicon, panel, seed, donors, filters):
    rng = random_stream(seed, "recovery", library.library_id)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{mate}.fastq.gz" for mate in (1, 2)]
        write_fastq(simulate_reads(amplicon, library, rng, donors, Chemistry()), *paths)
        return count_library([str(p) for p in paths], panel, library.library_id, filters)


def compare_run(libraries, estimates):
    """Set estimates against the truth, one row a study library, all as fractions.

    Columns: true, raw, estimate, se, low, high, non_conversion, covered (whether the interval holds the truth).
    """
    found = estimates.libraries.set_index("library_id")
    names = {f"region_mean_beta{end}": name for end, name in PARTS.items()} | {"non_conversion": "non_conversion"}
    table = found.loc[found["kind"] == "study", list(names)].rename(columns=names)
    truth = pd.Series({library.library_id: library.levels.mean() for library in libraries}, name="true")
    table = table.join(truth)
    return table.assign(covered=table["true"].between(table["low"], table["high"]))
