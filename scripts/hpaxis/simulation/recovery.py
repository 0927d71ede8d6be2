"""Does the caller give back what was put in? Libraries of chosen levels and conversion, simulated and measured."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpaxis.methylation.counting.calls import (
    FATES,
    LibraryCalls,
    ReadFilters,
    conversion_table,
    count_library,
    patterns_table,
)
from hpaxis.methylation.levels.libraries import StudyEstimates, estimate_study
from hpaxis.settings import MethylationSettings
from hpaxis.simulation.cohort import HAPLOID_COPIES_PER_NG
from hpaxis.simulation.reads import (
    Amplicon,
    Chemistry,
    Library,
    amplify_templates,
    random_stream,
    simulate_reads,
    write_fastq,
)

if TYPE_CHECKING:
    from hpaxis.methylation.panels.panel import Panel

INPUT_NG, RECOVERY = 200, 0.5
OVER_CONVERSION, FAILED = 0.006, 0.002
PARTS = {"_raw": "raw", "": "estimate", "_se": "se", "_low": "low", "_high": "high"}


def simulate_run(
    region_percent: NDArray[np.float64] | Sequence[float],
    non_conversion_percent: NDArray[np.float64] | Sequence[float],
    amplicon: Amplicon,
    seed: int,
    pairs: int = 1000,
    hopped: float = 0.002,
) -> tuple[list[Library], pd.DataFrame]:
    """Plan one run: a library for each pair of the two arrays (region mean and background non-conversion, percent).

    Levels of the CpGs differ by a profile and by library, at the given mean. Over-conversion, failed molecules,
    dimers, off-target and hopped reads are as in the demo. Two 0 %, two 100 % and two no-template controls
    come with it. Returns ``(libraries, sheet)``: list of `reads.Library` and the columns of libraries.tsv that the
    estimate needs.
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
        junk = rng.multinomial(pairs, [hopped, 0.06, 0.04, 0.9 - hopped])
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
    for k in range(2):
        # Nothing but what hops in from other libraries, as much as into any, and dimers.
        library_id, foreign = f"N{k:05d}", int(rng.binomial(pairs, hopped))
        libraries.append(Library(library_id, np.zeros(n_cpgs), own=0, hopped=foreign, dimer=30, off_target=5))
        rows.append({"library_id": library_id, "kind": "no_template", "plate": "B01"})
    return libraries, pd.DataFrame(rows)


def measure_run(
    libraries: Sequence[Library],
    sheet: pd.DataFrame,
    amplicon: Amplicon,
    panel: Panel,
    settings: MethylationSettings,
    seed: int,
    filters: ReadFilters,
    cores: int = 1,
) -> StudyEstimates:
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


def _measure(
    library: Library, amplicon: Amplicon, panel: Panel, seed: int, donors: Sequence[Library], filters: ReadFilters
) -> LibraryCalls:
    rng = random_stream(seed, "recovery", library.library_id)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{mate}.fastq.gz" for mate in (1, 2)]
        write_fastq(simulate_reads(amplicon, library, rng, donors, Chemistry()), *paths)
        return count_library([str(p) for p in paths], panel, library.library_id, filters)


def sequence_free(
    libraries: Sequence[Library], amplicon: Amplicon, panel: Panel, seed: int, error: float = 1e-4
) -> dict[str, LibraryCalls]:
    """`LibraryCalls` of each library straight from its molecules: no sequencer, no caller, so much faster.

    A base is misread with chance ``error``; what is off target is left out. For tests of the estimate alone.
    """
    donors = [d for d in libraries if d.own]
    return {d.library_id: _molecules(d, donors, amplicon, panel, seed, error) for d in libraries}


def _molecules(
    library: Library, donors: Sequence[Library], amplicon: Amplicon, panel: Panel, seed: int, error: float
) -> LibraryCalls:
    rng, chemistry = random_stream(seed, "molecules", library.library_id), Chemistry()
    products, copy_of = amplify_templates(amplicon, [library], library.templates, library.own, chemistry, rng)
    rest, copies = amplify_templates(amplicon, donors, 10 * library.hopped, library.hopped, chemistry, rng)
    molecules = np.concatenate([products[copy_of], rest[copies]]) == ord("C")
    molecules ^= rng.random(molecules.shape, np.float32) < error
    unconverted = np.count_nonzero(molecules[:, amplicon.other_offsets], axis=1)
    sites = amplicon.other_offsets.size
    kept = unconverted <= ReadFilters.max_unconverted * sites
    states = molecules[:, amplicon.offsets][kept]
    names = [row.tobytes().decode() for row in (states + ord("0")).astype(np.uint8)]
    cells = Counter(zip(names, unconverted[kept].tolist()))
    patterns = patterns_table([(amplicon.name, p, u, sites, n) for (p, u), n in cells.items()], [amplicon.name])
    conversion = Counter(unconverted.tolist())
    counts = panel.cpgs[["amplicon", "cpg_id", "chrom", "pos", "strand"]].copy()
    counts.insert(0, "library_id", library.library_id)
    methylated, n = states.sum(axis=0), len(states)
    counts = counts.assign(methylated=methylated, unmethylated=n - methylated, other=0, depth=n)
    reads = {"library_id": library.library_id, "pairs_in": library.pairs} | dict.fromkeys(FATES, 0)
    reads |= {"unconverted": int((~kept).sum()), "passed": n, "on_target": len(molecules), "merged": n}
    return LibraryCalls(
        counts=counts,
        patterns=patterns,
        reads=pd.DataFrame([reads]),
        conversion=conversion_table([(amplicon.name, u, sites, n) for u, n in conversion.items()], [amplicon.name]),
    )


def compare_run(libraries: Sequence[Library], estimates: StudyEstimates) -> pd.DataFrame:
    """Set estimates against the truth, one row per study library, all as fractions.

    Columns: true, raw, estimate, se, low, high, non_conversion, covered (whether the interval holds the truth).
    """
    found = estimates.libraries.set_index("library_id")
    names = {f"region_mean_beta{end}": name for end, name in PARTS.items()} | {"non_conversion": "non_conversion"}
    table = found.loc[found["kind"] == "study", list(names)].rename(columns=names)
    truth = pd.Series({library.library_id: library.levels.mean() for library in libraries}, name="true")
    table = table.join(truth)
    return table.assign(covered=table["true"].between(table["low"], table["high"]))
