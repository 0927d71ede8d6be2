"""Reads of one bisulfite amplicon library, from molecules in the tube to the sequencer's FASTQ.

DNA templates carry methylation that is alike between neighbours; conversion misses some unmethylated
cytosines, takes some methylated ones, and fails on some molecules as a whole; PCR copies templates
unequally; dimers, off-target products and reads of other libraries come in; and the sequencer errs by
exactly what its base qualities say.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hpaxis.tables import whole_file

if TYPE_CHECKING:
    from hpaxis.methylation.panels.panel import Panel

# What is read when the insert is shorter than the read: TruSeq adapters, then dark cycles called as A.
ADAPTERS = (b"AGATCGGAAGAGCACACGTCTGAACTCCAGTCA", b"AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGT")
BLOCK = 16_384
A, C, G, T, N = (ord(b) for b in "ACGTN")
KINDS = ("own", "hopped", "dimer", "off_target")
COMPLEMENT = np.zeros(256, np.uint8)
COMPLEMENT[[A, C, G, T, N]] = [T, G, C, A, N]
CODE = np.zeros(256, np.uint8)
CODE[[A, C, G, T]] = range(4)
LETTER = np.array([A, C, G, T], np.uint8)
LOWEST_Q, HIGHEST_Q = 2, 38
# Chance of a wrong base at each quality (Ewing and Green, 1998), on the scale of 32 random bits.
ERROR_BELOW = np.round(10 ** (-np.arange(HIGHEST_Q + 1) / 10) * (2**32 - 1)).astype(np.uint32)
# Phred points lost by the last cycle of read 1 and of read 2; single bases dip to about 10, one in 500 at the first
# cycle and one in 35 at the last. Together they fall as real 2x250 amplicon reads do.
QUALITY_LOSS = (10.0, 14.0)
DIPS_BELOW = (np.float32(-2.9), np.float32(-1.9))


def random_stream(seed: int, *keys: int | str) -> np.random.Generator:
    """Return a generator that depends on the seed and the keys alone, whatever else was drawn before."""
    digest = blake2b("\x1f".join(map(str, keys)).encode(), digest_size=16).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


@dataclass(frozen=True)
class Amplicon:
    """A PCR product: genomic sequence (uint8 letters), CpG offsets (0-based), primers in bisulfite space.

    ``primers`` are bytes 5'→3' (forward, reverse), or None when they are not known: then nothing of the
    product is synthetic.
    """

    name: str
    sequence: np.ndarray
    cpg_ids: tuple
    offsets: np.ndarray
    primers: tuple | None

    @property
    def other_offsets(self) -> NDArray[np.int64]:
        """Offsets of the cytosines outside CpG and outside the primers."""
        at = np.flatnonzero(self.sequence == C)
        start, end = self.inner
        return np.setdiff1d(at[(at >= start) & (at < end)], self.offsets)

    @property
    def inner(self) -> tuple[int, int]:
        """Start and end of the part between the primers."""
        if self.primers is None:
            return 0, self.sequence.size
        return len(self.primers[0]), self.sequence.size - len(self.primers[1])

    @property
    def converted(self) -> NDArray[np.uint8]:
        """The product of a wholly unmethylated, wholly converted template."""
        product = np.where(self.sequence == C, T, self.sequence).astype(np.uint8)
        if self.primers is not None:
            start, end = self.inner
            product[:start] = letters(self.primers[0])
            product[end:] = reverse_complement(letters(self.primers[1]))
        return product


@dataclass(frozen=True)
class Chemistry:
    """What all libraries of a run share. Shares are fractions of molecules or of read pairs.

    ``umi``: bases of a random identifier of each template, at the start of read 1; 0 for none.
    """

    molecule_correlation_bp: float = 8.0
    amplification_cv: float = 0.7
    indels: float = 0.005
    low_quality: float = 0.03
    reverse_first: float = 0.5
    read_length: int = 250
    umi: int = 0


@dataclass(frozen=True)
class Library:
    """One library: methylation at each CpG (fraction), read pairs of each kind, templates and conversion.

    ``non_conversion``: chance that an unmethylated cytosine stays; ``over_conversion``: chance that a
    methylated one is converted; ``failed``: share of molecules on which conversion failed as a whole;
    ``pcr_bias``: by how much the odds of a methylated CpG grow in PCR.
    """

    library_id: str
    levels: np.ndarray
    own: int
    hopped: int = 0
    dimer: int = 0
    off_target: int = 0
    templates: int = 30_000
    non_conversion: float = 0.0
    failed: float = 0.0
    over_conversion: float = 0.0
    pcr_bias: float = 1.0

    @property
    def pairs(self) -> int:
        """Read pairs of every kind."""
        return self.own + self.hopped + self.dimer + self.off_target


@dataclass(frozen=True)
class ReadPairs:
    """Bases (ASCII) and qualities (Phred) of read 1 and read 2, each an array of pairs × cycles."""

    bases_1: np.ndarray
    qualities_1: np.ndarray
    bases_2: np.ndarray
    qualities_2: np.ndarray


def letters(sequence: bytes | str) -> NDArray[np.uint8]:
    """Turn a str or bytes into an array of ASCII codes."""
    return np.frombuffer(sequence.encode() if isinstance(sequence, str) else sequence, np.uint8).copy()


def reverse_complement(bases: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reverse complement along the last axis."""
    return COMPLEMENT[bases][..., ::-1]


def panel_amplicon(panel: Panel, name: str | None = None) -> Amplicon:
    """Take one amplicon (the first unless named) out of a `hpaxis.methylation.panels.panel.Panel`.

    A Y in the reference is read as T, as conversion leaves it in either case. Raises ValueError where the
    reference has any other base than A, C, G, T and Y.
    """
    table = panel.amplicons
    row = table.iloc[0] if name is None else table.set_index("amplicon", drop=False).loc[name]
    sequence = letters(str(panel.references[row["amplicon"]]).upper())
    sequence[sequence == ord("Y")] = T
    if not np.isin(sequence, LETTER).all():
        raise ValueError(f"the reference of {row['amplicon']} has bases that cannot be simulated")
    cpgs = panel.cpgs[panel.cpgs["amplicon"] == row["amplicon"]].sort_values("offset")
    known = [isinstance(row[p], str) and row[p] not in ("", "NA") for p in ("forward_primer", "reverse_primer")]
    primers = (row["forward_primer"].encode(), row["reverse_primer"].encode()) if all(known) else None
    return Amplicon(row["amplicon"], sequence, tuple(cpgs["cpg_id"]), cpgs["offset"].to_numpy(int), primers)


def simulate_methylation(
    levels: NDArray[np.float64], offsets: NDArray[np.int64], correlation_bp: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw which CpGs of which molecules are methylated.

    A normal copula with correlation exp(-distance / ``correlation_bp``) between neighbours: each CpG keeps
    its own level exactly. ``levels``: molecules × CpGs, fractions; returns a bool array of that shape.
    """
    methylated = np.empty(levels.shape, bool)
    threshold = ndtri(levels).astype(np.float32)
    state = rng.standard_normal(len(levels), dtype=np.float32)
    kept = np.exp(-np.diff(offsets) / correlation_bp)
    for j in range(levels.shape[1]):
        if j:
            fresh = rng.standard_normal(len(levels), dtype=np.float32)
            state = np.float32(kept[j - 1]) * state + np.float32(np.sqrt(1 - kept[j - 1] ** 2)) * fresh
        methylated[:, j] = state < threshold[:, j]
    return methylated


def simulate_products(
    amplicon: Amplicon,
    levels: NDArray[np.float64],
    non_conversion: NDArray[np.float64],
    failed: float | NDArray[np.float64],
    over_conversion: NDArray[np.float64],
    correlation_bp: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw templates and what PCR makes of them after conversion: molecules × bases, ASCII.

    ``levels``: molecules × CpGs; the three rates: one value a molecule. On a molecule that failed, each
    unmethylated cytosine stays with one chance for the molecule, between .3 and 1.
    """
    count = len(levels)
    methylated = simulate_methylation(levels, amplicon.offsets, correlation_bp, rng)
    has_failed = rng.random(count) < failed
    stays = np.where(has_failed, rng.uniform(0.3, 1.0, count), non_conversion).astype(np.float32)[:, None]
    products = np.repeat(amplicon.converted[None], count, axis=0)
    other = amplicon.other_offsets
    products[:, other] = np.where(rng.random((count, other.size), np.float32) < stays, C, T)
    lost = np.asarray(over_conversion, np.float32)[:, None]
    chance = np.where(methylated, np.float32(1) - lost, stays)
    inside = (amplicon.offsets >= amplicon.inner[0]) & (amplicon.offsets < amplicon.inner[1])
    read_as_c = rng.random(chance.shape, np.float32) < chance
    products[:, amplicon.offsets[inside]] = np.where(read_as_c, C, T)[:, inside]
    return products


def simulate_reads(
    amplicon: Amplicon,
    library: Library,
    rng: np.random.Generator,
    donors: Sequence[Library] = (),
    chemistry: Chemistry | None = None,
) -> Iterator[ReadPairs]:
    """Yield the library's read pairs in blocks of at most `BLOCK`, in random order.

    ``donors``: the other libraries of the run, from which hopped read pairs come. Raises ValueError when
    there are hopped pairs but no donors, or pairs of its own but no templates.
    """
    chemistry = chemistry or Chemistry()
    if library.hopped and not donors:
        raise ValueError(f"{library.library_id} has hopped read pairs but there is no other library")
    if library.own and not library.templates:
        raise ValueError(f"{library.library_id} has read pairs of its own but no templates")
    kind = rng.permutation(np.repeat(range(len(KINDS)), [getattr(library, k) for k in KINDS]))
    own = amplify_templates(amplicon, [library], library.templates, library.own, chemistry, rng)
    hopped = amplify_templates(amplicon, donors, 10 * library.hopped, library.hopped, chemistry, rng)
    if chemistry.umi:
        umis = [LETTER[rng.integers(4, size=(len(products), chemistry.umi))] for products, _ in (own, hopped)]
    place = np.zeros(kind.size, int)
    for k in range(len(KINDS)):
        place[kind == k] = np.arange((kind == k).sum())
    junk = [_dimers(amplicon), _off_target(amplicon)]
    for start in range(0, kind.size, BLOCK):
        block, at = kind[start : start + BLOCK], place[start : start + BLOCK]
        reads = np.empty((2, block.size, chemistry.read_length), np.uint8)
        turned = rng.random(block.size) < chemistry.reverse_first
        for k, (products, copy_of) in enumerate((own, hopped)):
            here = np.flatnonzero(block == k)
            _read_products(reads, here, products[copy_of[at[here]]], turned, amplicon, chemistry, rng)
        for k, fragments in enumerate(junk, start=2):
            here = np.flatnonzero(block == k)
            choice = rng.integers(len(fragments), size=here.size)
            for c, fragment in enumerate(fragments):
                of_this = here[choice == c]
                _read_fragments(reads, of_this, np.repeat(fragment[None], of_this.size, axis=0), turned)
        if chemistry.umi:
            reads[0, :, chemistry.umi :] = reads[0, :, : -chemistry.umi].copy()
            reads[0, :, : chemistry.umi] = LETTER[rng.integers(4, size=(block.size, chemistry.umi))]
            for k, (_, copy_of) in enumerate((own, hopped)):
                here = np.flatnonzero(block == k)
                reads[0, here, : chemistry.umi] = umis[k][copy_of[at[here]]]
        poor = rng.random(block.size) < chemistry.low_quality
        yield ReadPairs(*(part for mate in range(2) for part in sequence(reads[mate], mate, poor, rng)))


def sequence(
    bases: NDArray[np.uint8], mate: int, poor: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read ``bases`` on the sequencer: ``(bases with errors, Phred qualities)``.

    Quality falls with the cycle, more in mate 1 (read 2) than in mate 0, more in some reads than others;
    ``poor`` reads lose theirs early. A base is wrong with exactly the chance its quality states; where
    nothing could be told (quality 2) it is N.
    """
    count, cycles = bases.shape
    time = np.linspace(0, 1, cycles, dtype=np.float32)
    loss = np.float32(QUALITY_LOSS[mate]) * np.maximum(
        rng.standard_normal(count, dtype=np.float32) * np.float32(0.5) + 1, 0
    )
    noise = rng.standard_normal((count, cycles), dtype=np.float32)
    quality = (1 + 4 * time) * noise
    quality -= loss[:, None] * time**3
    quality += 39 - 5 * (time < 0.012)
    onset = np.asarray(rng.uniform(0.05, 0.5, count), dtype=np.float32)
    quality[poor] -= 22 * (time > onset[poor, None])
    dips = noise < DIPS_BELOW[0] + (DIPS_BELOW[1] - DIPS_BELOW[0]) * time
    quality[dips] = 12.5 + noise[dips]
    np.rint(quality, out=quality)
    quality = np.clip(quality, LOWEST_Q, HIGHEST_Q).astype(np.uint8)
    read = bases.copy()
    wrong = np.nonzero(rng.integers(2**32, size=bases.shape, dtype=np.uint32) < ERROR_BELOW[quality])
    shift = rng.integers(1, 4, wrong[0].size, dtype=np.uint8)
    read[wrong] = LETTER[(CODE[read[wrong]] + shift) & 3]
    read[quality == LOWEST_Q] = N
    return read, quality


def write_fastq(blocks: Iterable[ReadPairs], path_1: Path, path_2: Path) -> None:
    """Write blocks of read pairs to two gzip files, whole or not at all; the bytes hold no time and no name."""
    with ExitStack() as stack:
        files = []
        for path in (path_1, path_2):
            part = stack.enter_context(whole_file(path))
            raw = stack.enter_context(open(part, "wb"))
            files.append(stack.enter_context(gzip.GzipFile("", "wb", 1, raw, mtime=0)))
        first = 0
        for block in blocks:
            files[0].write(_records(block.bases_1, block.qualities_1, first, 1))
            files[1].write(_records(block.bases_2, block.qualities_2, first, 2))
            first += len(block.bases_1)


def amplify_templates(
    amplicon: Amplicon,
    sources: Sequence[Library],
    templates: int,
    reads: int,
    chemistry: Chemistry,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the products that were sequenced, and for each read the product it is a copy of.

    Templates come from the sources in equal parts. Each makes a gamma-distributed amount of copies.
    """
    if not reads:
        return np.empty((0, amplicon.sequence.size), np.uint8), np.empty(0, int)
    shape = chemistry.amplification_cv**-2
    copies = np.cumsum(rng.gamma(shape, 1 / shape, templates))
    template = np.searchsorted(copies, rng.random(reads) * copies[-1], side="right")
    sequenced, copy_of = np.unique(np.minimum(template, templates - 1), return_inverse=True)
    source = rng.integers(len(sources), size=sequenced.size)
    stay, failed, over = np.array([[s.non_conversion, s.failed, s.over_conversion] for s in sources])[source].T
    levels = np.stack([biased_levels(s.levels, s.pcr_bias) for s in sources])[source]
    return simulate_products(amplicon, levels, stay, failed, over, chemistry.molecule_correlation_bp, rng), copy_of


def biased_levels(levels: NDArray[np.float64], bias: float) -> NDArray[np.float64]:
    """What PCR makes of levels x when methylated templates grow ``bias`` times as much: bias x / (1 - x + bias x)."""
    return levels if bias == 1 else bias * levels / (1 - levels + bias * levels)


def _read_products(
    reads: NDArray[np.uint8],
    here: NDArray[np.int64],
    products: NDArray[np.uint8],
    turned: NDArray[np.bool_],
    amplicon: Amplicon,
    chemistry: Chemistry,
    rng: np.random.Generator,
) -> None:
    """Fill the reads of PCR products, a few of which slipped by a base in a run of equal bases."""
    length = products.shape[1]
    slipped = rng.random(here.size) < chemistry.indels
    _read_fragments(reads, here[~slipped], products[~slipped], turned)
    runs = _run_ends(amplicon.converted)
    where = runs[rng.integers(runs.size, size=here.size)]
    gained = rng.random(here.size) < 0.5
    for group, change in ((slipped & gained, 1), (slipped & ~gained, -1)):
        at = np.arange(length + change)
        source = at[None] - change * (at[None] > where[group, None])
        _read_fragments(reads, here[group], np.take_along_axis(products[group], source, axis=1), turned)


def _run_ends(bases: NDArray[np.uint8], shortest: int = 4) -> NDArray[np.int64]:
    """Offsets where a run of at least ``shortest`` equal bases ends, or all but the ends when there is none."""
    change = np.flatnonzero(np.diff(bases)) + 1
    starts, ends = np.r_[0, change], np.r_[change, bases.size]
    long = (ends - starts >= shortest) & (ends < bases.size)
    return ends[long] - 1 if long.any() else np.arange(1, bases.size - 1)


def _read_fragments(
    reads: NDArray[np.uint8], here: NDArray[np.int64], fragments: NDArray[np.uint8], turned: NDArray[np.bool_]
) -> None:
    """Fill ``reads[:, here]`` with both ends of fragments of one length, reading on into the adapters.

    Read 1 starts from the forward primer, or from the other end where ``turned``; read 1 always meets the
    first adapter.
    """
    cycles = reads.shape[2]
    tails = np.stack([letters(adapter + b"A" * cycles)[:cycles] for adapter in ADAPTERS])
    for end, bases in enumerate((fragments, reverse_complement(fragments))):
        mate = np.where(turned[here], 1 - end, end)
        if bases.shape[1] < cycles:
            bases = np.concatenate([bases, tails[mate]], axis=1)
        reads[mate, here] = bases[:, :cycles]


def _dimers(amplicon: Amplicon) -> list[NDArray[np.uint8]]:
    """Primer dimers: both primers, back to back or with a few bases between; without primers, nothing."""
    if amplicon.primers is None:
        return [np.empty(0, np.uint8)]
    forward, reverse = letters(amplicon.primers[0]), reverse_complement(letters(amplicon.primers[1]))
    joints = (b"", b"T", b"GA", b"TATT")
    return [np.concatenate([forward, letters(joint), reverse]) for joint in joints]


def _off_target(amplicon: Amplicon) -> list[NDArray[np.uint8]]:
    """Products of the same primers elsewhere in the converted genome: three places, three lengths."""
    rng = random_stream(0, "off target", amplicon.name)
    forward, reverse = amplicon.primers or (b"", b"")
    places = []
    for length in (160, 310, 470):
        body = LETTER[rng.choice(4, length, p=[0.28, 0.02, 0.22, 0.48])]
        places.append(np.concatenate([letters(forward), body, reverse_complement(letters(reverse))]))
    return places


def _records(bases: NDArray[np.uint8], qualities: NDArray[np.uint8], first: int, mate: int) -> bytes:
    """Lay out FASTQ records, all of one width, as bytes."""
    count, cycles = bases.shape
    before, after = letters("@hpaxis:1:demo:1:"), letters(f":1:1 {mate}:N:0:1\n")
    digits, middle = 10, letters("\n+\n")
    ends = np.cumsum([before.size, digits, after.size, cycles, middle.size, cycles, 1])
    records = np.empty((count, ends[-1]), np.uint8)
    serial = np.arange(first + 1, first + 1 + count)
    records[:, : ends[0]] = before
    records[:, ends[0] : ends[1]] = serial[:, None] // 10 ** np.arange(digits - 1, -1, -1) % 10 + ord("0")
    records[:, ends[1] : ends[2]] = after
    records[:, ends[2] : ends[3]] = bases
    records[:, ends[3] : ends[4]] = middle
    records[:, ends[4] : ends[5]] = qualities + 33
    records[:, ends[5]] = ord("\n")
    return records.tobytes()
