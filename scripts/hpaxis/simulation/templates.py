"""A second simulator of amplicon libraries, from templates: of another build than `reads`, and with other assumptions.

`reads` draws methylation from a normal copula, copies from a gamma distribution and failures of conversion alike
everywhere; it was written beside the caller. Here a CpG repeats its left neighbour or is drawn anew, copies are
log-normal, failures depend on the molecule and on the place along the amplicon, some molecules keep a stretch
unconverted, PCR joins halves of two templates (chimeras) and slips by a base, and qualities come in bins. Nothing is
shared with `reads` but the amplicon itself.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpaxis.methylation.counting.calls import (
    FATES,
    MISSING,
    OTHER,
    UNMETHYLATED,
    LibraryCalls,
    conversion_table,
    counts_table,
    patterns_table,
)
from hpaxis.methylation.counting.sites import has_stretch

if TYPE_CHECKING:
    from hpaxis.methylation.panels.panel import Panel
    from hpaxis.simulation.reads import Amplicon

ADAPTERS = (b"AGATCGGAAGAGCACACGTCTGAACTCCAGTCA", b"AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGT")
# Binned qualities, and how often each is given; a base is wrong at the rate that its quality says.
BINS, BIN_SHARES = (37, 23, 12), (0.9, 0.07, 0.03)
COMPLEMENT = bytes.maketrans(b"ACGTN", b"TGCAN")


@dataclass(frozen=True)
class Tube:
    """One library as a number of templates and what PCR and conversion make of them.

    ``levels``: methylation of each CpG (fraction); ``clump``: how much a CpG is like its left neighbour (0 to 1);
    ``copies_cv``: coefficient of variation of the templates' numbers of copies; ``non_conversion``: mean failure of an
    unmethylated cytosine over the amplicon's cytosines, ``molecule_cv``: how it differs between molecules, ``slope``:
    how many times as high it is at the start of the amplicon as at its end, falling off within a fifth of it;
    ``stretches``: share of molecules that keep ``stretch`` bases; ``chimeras``, ``indels``: shares of reads; ``error``:
    chance of a wrong base, for counts without reads; ``lacks_c``, ``lacks_g``: the CpG (its number) whose C is a T, or
    whose G is an A, on one of the two alleles.
    """

    levels: np.ndarray
    templates: int = 300
    reads: int = 1500
    clump: float = 0.5
    copies_cv: float = 0.7
    non_conversion: float = 0.01
    molecule_cv: float = 0.5
    slope: float = 1.0
    stretches: float = 0.0
    stretch: int = 60
    chimeras: float = 0.0
    indels: float = 0.0
    error: float = 1e-3
    over_conversion: float = 0.0
    lacks_c: int | None = None
    lacks_g: int | None = None


def failure_shape(length: int, slope: float) -> np.ndarray:
    """How failure of conversion changes along an amplicon: ``slope`` at its start, falling to 1 within a fifth."""
    return 1 + (slope - 1) * np.exp(-np.arange(length) / (0.2 * length))


def draw_templates(
    amplicon: Amplicon, tube: Tube, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Templates after conversion: ``(stays, methylated)``.

    ``stays``: templates × bases, whether a cytosine reads as C; ``methylated``: templates × CpGs, the truth.
    """
    n, size = tube.templates, amplicon.sequence.size
    methylated = _draw_methylation(np.clip(tube.levels, 0, 1), tube.clump, n, rng)
    start, end = amplicon.inner
    cytosine = np.zeros(size, bool)
    cytosine[amplicon.offsets] = cytosine[amplicon.other_offsets] = True
    cytosine[:start] = cytosine[end:] = False
    shape = failure_shape(size, tube.slope)
    shape = shape / shape[amplicon.other_offsets].mean()
    each = np.ones(n) if tube.molecule_cv == 0 else rng.gamma(tube.molecule_cv**-2, tube.molecule_cv**2, n)
    chance = np.minimum(tube.non_conversion * each[:, None] * shape, 1)
    stays = cytosine & (rng.random((n, size), np.float32) < chance)
    kept = np.flatnonzero(rng.random(n) < tube.stretches)
    for row in kept:
        first = rng.integers(start, end - tube.stretch)
        stays[row, first : first + tube.stretch] |= cytosine[first : first + tube.stretch]
    truth = methylated & (rng.random(methylated.shape) >= tube.over_conversion)
    stays[:, amplicon.offsets] |= truth & cytosine[amplicon.offsets]
    if tube.lacks_c is not None:
        stays[variant_alleles(tube), amplicon.offsets[tube.lacks_c]] = False
    return stays, methylated


def variant_alleles(tube: Tube) -> np.ndarray:
    """Which templates carry the variant: every second one, as alleles come in equal parts and in no order."""
    return np.arange(tube.templates) % 2 == 1


def _draw_methylation(levels: NDArray[np.float64], clump: float, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Templates × CpGs: a chain of two states that keeps each CpG's level, alike by ``clump`` where levels allow."""
    drawn = np.empty((n, len(levels)), bool)
    drawn[:, 0] = rng.random(n) < levels[0]
    for j in range(1, len(levels)):
        before, p = levels[j - 1], levels[j]
        odds = np.sqrt(p * (1 - before) / max(before * (1 - p), 1e-12))
        c = clump * min(odds, 1 / max(odds, 1e-12))
        up = c * np.sqrt(p * (1 - p) * (1 - before) / max(before, 1e-12))
        down = c * np.sqrt(p * (1 - p) * before / max(1 - before, 1e-12))
        drawn[:, j] = rng.random(n) < np.where(drawn[:, j - 1], p + up, p - down)
    return drawn


def draw_reads(stays: np.ndarray, tube: Tube, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which templates the reads are copies of, with chimeras: cytosines that stay, reads × bases, and the templates."""
    spread = np.sqrt(np.log1p(tube.copies_cv**2))
    copies = rng.lognormal(0, spread, tube.templates)
    chosen = rng.choice(tube.templates, tube.reads, p=copies / copies.sum())
    reads = stays[chosen]
    joined = np.flatnonzero(rng.random(tube.reads) < tube.chimeras)
    other = rng.choice(tube.templates, len(joined), p=copies / copies.sum())
    at = rng.integers(1, stays.shape[1], len(joined))
    right = np.arange(stays.shape[1]) >= at[:, None]
    reads[joined] = np.where(right, stays[other], reads[joined])
    return reads, chosen


def simulate_calls(
    amplicon: Amplicon,
    panel: Panel,
    library_id: str,
    tube: Tube,
    rng: np.random.Generator,
    max_unconverted: float = 0.25,
) -> tuple[LibraryCalls, float]:
    """`LibraryCalls` of a library straight from its molecules, without a sequencer or caller, and the truth.

    The truth is the mean methylation of the templates (fraction). Fast: for studies of the estimate alone.
    """
    stays, methylated = draw_templates(amplicon, tube, rng)
    reads, chosen = draw_reads(stays, tube, rng)
    lacking = None
    if tube.lacks_g is not None:
        lacking = np.zeros((len(reads), amplicon.offsets.size), bool)
        lacking[:, tube.lacks_g] = variant_alleles(tube)[chosen]
    calls = calls_of(reads, amplicon, panel, library_id, tube.error, rng, max_unconverted, lacking)
    return calls, float(methylated.mean())


def calls_of(
    reads: NDArray[np.bool_],
    amplicon: Amplicon,
    panel: Panel,
    library_id: str,
    error: float,
    rng: np.random.Generator,
    max_unconverted: float = 0.25,
    lacking: NDArray[np.bool_] | None = None,
    shown: NDArray[np.bool_] | None = None,
) -> LibraryCalls:
    """`LibraryCalls` of molecules as a caller counts them: those that keep a stretch, or too much, left out.

    ``reads``: molecules × bases, whether a cytosine stays; ``error``: chance of a wrong base; ``lacking``: molecules ×
    CpGs, whether another base than G stands beside it; ``shown``: which bases the reads reach, all without.
    """
    reads = reads ^ (rng.random(reads.shape, np.float32) < error / 3)
    others, name = amplicon.other_offsets, amplicon.name
    others = others if shown is None else others[shown[others]]
    unconverted = np.count_nonzero(reads[:, others], axis=1)
    whole = ~has_stretch(reads[:, others].astype(np.uint8), (~reads[:, others]).astype(np.uint8))
    kept = whole & (unconverted <= max_unconverted * others.size)
    passed, states = int(kept.sum()), (reads[:, amplicon.offsets] + np.uint8(UNMETHYLATED))[kept]
    if lacking is not None:
        states[lacking[kept]] = OTHER
    if shown is not None:
        states[:, ~shown[amplicon.offsets]] = MISSING
    names = [row.tobytes().decode() for row in states]
    cells = Counter(zip(names, unconverted[kept].tolist()))
    patterns = patterns_table([(name, p, u, others.size, n) for (p, u), n in cells.items()], [name])
    conversion = conversion_table([(name, u, others.size, n) for u, n in Counter(unconverted[whole].tolist()).items()],
                                  [name])  # fmt: skip
    counts = counts_table(patterns, panel, library_id)
    x = reads[:, others][kept].sum(axis=0)
    sites = pd.DataFrame({"amplicon": name, "strand": "top", "offset": others, "context": "CHH", "unconverted": x,
                          "converted": passed - x, "clone": 0})  # fmt: skip
    row = {"library_id": library_id, "pairs_in": len(reads), **dict.fromkeys(FATES, 0), "passed": passed}
    row |= {"unconverted": len(reads) - passed, "stretches": int((~whole).sum()), "on_target": len(reads),
            "merged": passed, "t_bases": 100_000, "t_read_as_c": round(100_000 * error / 3)}  # fmt: skip
    return LibraryCalls(counts, patterns, pd.DataFrame([row]), conversion, sites=sites)


def simulate_files(
    amplicon: Amplicon, tube: Tube, paths: Mapping[str, str | Path], rng: np.random.Generator, length: int = 250
) -> float:
    """Write a library's FASTQ files (two paths, gzip); returns the mean methylation of its templates."""
    stays, methylated = draw_templates(amplicon, tube, rng)
    reads, chosen = draw_reads(stays, tube, rng)
    base = np.where(reads, amplicon.sequence, amplicon.converted).astype(np.uint8)
    if tube.lacks_g is not None:
        base[variant_alleles(tube)[chosen], amplicon.offsets[tube.lacks_g] + 1] = ord("A")
    texts = [row.tobytes() for row in base]
    for i in np.flatnonzero(rng.random(len(texts)) < tube.indels):
        at = int(rng.integers(30, len(texts[i]) - 30))
        texts[i] = texts[i][:at] + (texts[i][at + 1 :] if rng.random() < 0.5 else texts[i][at - 1 :])
    with gzip.GzipFile(paths[0], "wb", 1, mtime=0) as one, gzip.GzipFile(paths[1], "wb", 1, mtime=0) as two:
        for i, text in enumerate(texts):
            ends = [text, text.translate(COMPLEMENT)[::-1]]
            if rng.random() < 0.5:
                ends.reverse()
            for mate, (handle, end) in enumerate(zip((one, two), ends)):
                handle.write(_record(end + ADAPTERS[mate] + b"A" * length, i, mate, length, rng))
    return float(methylated.mean())


def _record(text: bytes, number: int, mate: int, length: int, rng: np.random.Generator) -> bytes:
    quality = rng.choice(BINS, length, p=BIN_SHARES)
    bases = np.frombuffer(text[:length], np.uint8).copy()
    wrong = np.flatnonzero(rng.random(length) < 10.0 ** (-quality / 10))
    bases[wrong] = rng.choice(np.frombuffer(b"ACGT", np.uint8), wrong.size)
    header = f"@tube:1:1:1:{number + 1}:1:1 {mate + 1}:N:0:1\n".encode()
    return header + bases.tobytes() + b"\n+\n" + (quality + 33).astype(np.uint8).tobytes() + b"\n"


def files_of(folder: Path, name: str) -> list[str]:
    """The two paths of a library's reads in a folder."""
    return [str(Path(folder) / f"{name}_R{mate}.fastq.gz") for mate in (1, 2)]
