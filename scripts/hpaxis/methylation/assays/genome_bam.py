"""An aligned bisulfite BAM or CRAM made ready for methylpy: one strand flag per molecule, doubtful reads left out.

Any aligner's alignments are read, sorted in any order, with or without an index. Which strand of the genome was
converted stands in a tag (`TAGS`); without one it follows from the flags, as in a directional library. Either way it
is held against what the reads show: where they disagree, each read's own conversions decide, and reads that show too
few are left out.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from hpaxis.problems import InputError, Problem

STRAND_TAG = "ZS"
# Reads looked at to tell whether strands and genome are what they should be.
LOOKED_AT = 20_000
# Conversions that a read must show for its strand to be told from it; shares above which the library is refused.
TELLING = 4
MOST_TURNED, MOST_MISMATCHED = 0.05, 0.1
MATE_SUFFIX = re.compile(r"/[12]$")
# A mapping quality that methylpy, which counts letters of mpileup's lines, does not take for a base: "^]".
HARMLESS_MAPQ = 60
FATES = ("unmapped", "off_genome", "no_strand", "low_quality", "discordant", "duplicates", "passed")
# Tags that say which strand was converted: name, type as SAM writes it, what stands for plus and what for minus.
# A letter of another type or with another value is no strand tag: HISAT-3N and bowtie2 count with XG and YS, BS-Seeker2
# writes the genome's bases into XG.
TAGS = (
    ("XG", "Z", ("CT",), ("GA",)),  # Bismark
    ("YD", "ZA", ("f",), ("r",)),  # bwa-meth, BISCUIT (u: not known)
    ("YZ", "A", ("+",), ("-",)),  # HISAT-3N
    ("XO", "Z", ("+FW", "+RC"), ("-FW", "-RC")),  # BS-Seeker2
    ("YS", "Z", ("W",), ("C",)),  # BSBolt
    ("XB", "A", ("C",), ("G",)),  # gem3
    ("ZS", "Z", ("+",), ("-",)),  # BSMAP
)
# abismal says whether the read is rich in T or in A, as sequenced: with the flag that tells the strand.
RICH = "CV"


def open_alignments(path, genome):
    """A BAM, or a CRAM that is decoded with the genome given, wherever its own reference has gone."""
    return pysam.AlignmentFile(str(path), check_sq=False, reference_filename=genome.filename.decode())


def check_bam(path, genome):
    """Problems of a BAM or CRAM as its header and first read tell: no alignments, contigs that are not the genome's."""
    try:
        with open_alignments(path, genome) as bam:
            names, lengths = bam.references, bam.lengths
    except (OSError, ValueError):
        what = "cannot be read as BAM or CRAM: it is none, or damaged or cut short"
        return [Problem(str(path), what, "copy it again")]
    if not names:
        return [Problem(str(path), "names no contig: its reads are not aligned", "give the aligned BAM")]
    known = dict(zip(genome.references, genome.lengths))
    shared = [(name, length) for name, length in zip(names, lengths) if name in known]
    if not shared:
        what = f"has no contig of the genome ({names[0]} and others, where the genome has {genome.references[0]})"
        return [Problem(str(path), what, "give the genome FASTA that the reads were aligned to, names included")]
    problems = [
        Problem(str(path), f"has {length} bases of a contig that is {known[name]} in the genome",
                "give the genome FASTA that the reads were aligned to", value=name)
        for name, length in shared if length != known[name]
    ][:3]  # fmt: skip
    try:
        with open_alignments(path, genome) as bam:
            next(bam.fetch(until_eof=True), None)
    except (OSError, ValueError):
        problems = problems or [_undecodable(path)]
    return problems


def _undecodable(path):
    what = "cannot be decoded with the genome given: it is cut short, or its contigs have other bases there"
    return Problem(str(path), what, "give the genome FASTA that the CRAM was written with, or convert it to BAM")


def prepare_bam(
    path, genome, out, min_mapping_quality, remove_duplicates, regions=None, threads=1, ignored=(0, 0, 0, 0)
):
    """Write a sorted, indexed BAM of the reads that count, all flagged by the strand that was converted.

    ``genome``: `pysam.FastaFile`; ``regions``: contig → list of (start, end), 0-based, outside of which reads are left
    out (None: none are). Secondary and supplementary alignments are left out. Duplicates are those of samtools
    markdup, separately by strand and by UMI (tag RX); of amplicons they must never be removed, of RRBS they should not.
    ``ignored``: cycles at the start and the end of read 1 and of read 2 that do not count. Returns the number of reads
    by fate (`FATES`; mates count each), and the `Strands`. Raises `InputError` for another genome.
    """
    work = Path(f"{out}.work")
    work.mkdir(parents=True, exist_ok=True)
    try:
        try:
            strands = find_strands(path, genome)
            fates = _tag(path, genome, work / "tagged.bam", regions, strands, ignored)
        except OSError:
            raise InputError(_undecodable(path)) from None
        # -n keeps mates together whatever order the aligner left them in.
        pysam.sort(
            "-n", "-@", str(threads), "-T", str(work / "names"), "-o", str(work / "named.bam"), str(work / "tagged.bam")
        )
        pysam.fixmate("-m", "-p", str(work / "named.bam"), str(work / "fixed.bam"))
        pysam.sort(
            "-@", str(threads), "-T", str(work / "places"), "-o", str(work / "sorted.bam"), str(work / "fixed.bam")
        )
        marked = work / "sorted.bam"
        if remove_duplicates:
            marked = work / "marked.bam"
            pysam.markdup("--barcode-tag", STRAND_TAG, "-T", str(work / "marks"), str(work / "sorted.bam"), str(marked))
        fates += _select(marked, out, min_mapping_quality)
    finally:
        for file in work.iterdir():
            file.unlink()
        work.rmdir()
    pysam.index(str(out))
    return {fate: fates[fate] for fate in FATES}, strands


@dataclass(frozen=True)
class Strands:
    """Where strands are known from: ``source`` (tags and flags found); ``telling`` reads show their strand by their
    conversions, ``agreeing`` of them the one that tag or flags say."""

    source: str
    telling: int
    agreeing: int

    @property
    def own(self):
        """Whether reads decide for themselves."""
        return self.telling > 0 and self.telling - self.agreeing > MOST_TURNED * self.telling


def find_strands(path, genome):
    """`Strands` of the first reads; raises `InputError` where these do not fit the genome."""
    seen = _Evidence(genome)
    with open_alignments(path, genome) as bam:
        for read in bam.fetch(until_eof=True):
            if not (read.is_secondary or read.is_supplementary or read.is_unmapped or read.query_sequence is None):
                seen.add(read)
            if seen.reads >= LOOKED_AT:
                break
    seen.judge(path)
    return Strands(", ".join(sorted(seen.sources)) or "flags", seen.telling, seen.telling - seen.turned)


def _tag(path, genome, out, regions, strands, ignored):
    """Keep primary alignments, with the converted strand (and UMI) as a tag and names without /1 and /2."""
    fates, known = Counter(), set(genome.references)
    bam = open_alignments(path, genome)
    with bam, pysam.AlignmentFile(str(out), "wb0", header=bam.header) as kept:
        for read in bam.fetch(until_eof=True):
            if read.is_secondary or read.is_supplementary:
                continue
            if read.is_unmapped or read.query_sequence is None:
                fates["unmapped"] += 1
                continue
            if read.reference_name not in known:
                fates["off_genome"] += 1
                continue
            if regions is not None and not _inside(read, regions):
                continue
            strand = converted_strand(read)[0]
            if strand is None or strands.own:
                strand = _own_strand(read, genome)
            if strand is None:
                fates["no_strand"] += 1
                continue
            if any(ignored):
                _ignore(read, ignored)
            read.query_name = MATE_SUFFIX.sub("", read.query_name)
            umi = str(read.get_tag("RX")) if read.has_tag("RX") else ""
            read.set_tag(STRAND_TAG, strand + umi)
            read.is_duplicate = False
            kept.write(read)
    return fates


def _ignore(read, ignored):
    """Give the ignored cycles a quality at which no base counts."""
    if read.query_qualities is None:
        return
    start, end = ignored[2:] if read.is_read2 else ignored[:2]
    if read.is_reverse:
        start, end = end, start
    qualities, n = read.query_qualities, len(read.query_qualities)
    for i in [*range(min(start, n)), *range(max(n - end, 0), n)]:
        qualities[i] = 0
    read.query_qualities = qualities


def _inside(read, regions):
    return any(
        read.reference_start < end and read.reference_end > start for start, end in regions.get(read.reference_name, ())
    )


def converted_strand(read):
    """Which strand's conversion a read shows (+ or -; None where a tag does not know), and the tag, or flags."""
    for tag, types, plus, minus in TAGS:
        if not read.has_tag(tag):
            continue
        value, kind = read.get_tag(tag, with_value_type=True)
        if kind not in types:
            continue
        if any(str(value).startswith(p) for p in plus):
            return "+", tag
        if any(str(value).startswith(m) for m in minus):
            return "-", tag
        if (tag, value) == ("YD", "u"):
            return None, tag
    if read.has_tag(RICH) and read.get_tag(RICH) in ("T", "A"):
        return ("+" if (read.get_tag(RICH) == "T") != read.is_reverse else "-"), RICH
    return ("+" if read.is_reverse == read.is_read2 else "-"), "flags"


def _conversions(read, genome):
    """C read as T, G read as A, bases compared, and those of them that differ."""
    pairs = read.get_aligned_pairs(matches_only=True)
    if not pairs:
        return 0, 0, 0, 0
    query, place = (np.array(p) for p in zip(*pairs))
    start = read.reference_start
    text = genome.fetch(read.reference_name, start, read.reference_end).upper()
    reference = np.frombuffer(text.encode("ascii"), "S1")[place - start]
    seen = np.frombuffer(read.query_sequence.upper().encode("ascii"), "S1")[query]
    known = (reference != b"N") & (seen != b"N")
    seen, reference = seen[known], reference[known]
    top = np.count_nonzero((reference == b"C") & (seen == b"T"))
    bottom = np.count_nonzero((reference == b"G") & (seen == b"A"))
    return top, bottom, len(seen), np.count_nonzero(seen != reference)


def _own_strand(read, genome):
    """The strand that a read's own conversions show; None where they are too few."""
    top, bottom, _, _ = _conversions(read, genome)
    return None if abs(top - bottom) < TELLING else "+" if top > bottom else "-"


class _Evidence:
    """What the first reads show: conversions on either strand, and bases that fit neither."""

    def __init__(self, genome):
        self.genome, self.known, self.sources = genome, set(genome.references), set()
        self.reads = self.turned = self.telling = self.bases = self.mismatches = 0

    def add(self, read):
        if read.reference_name not in self.known:
            return
        strand, source = converted_strand(read)
        top, bottom, bases, differ = _conversions(read, self.genome)
        self.sources.add(source)
        self.reads += 1
        self.bases += bases
        self.mismatches += differ - max(top, bottom)
        if abs(top - bottom) >= TELLING and strand is not None:
            self.telling += 1
            self.turned += (top > bottom) != (strand == "+")

    def judge(self, path):
        if self.bases and self.mismatches > MOST_MISMATCHED * self.bases:
            what = f"does not fit the genome: {100 * self.mismatches / self.bases:.3g} % of its bases differ"
            raise InputError(Problem(str(path), what, "give the genome FASTA that the reads were aligned to"))


def _select(path, out, min_mapping_quality):
    """Keep what counts; flags then say the strand, and mates that stand alone are single reads."""
    fates = Counter()
    with pysam.AlignmentFile(str(path)) as bam, pysam.AlignmentFile(str(out), "wb", header=bam.header) as kept:
        for read in bam:
            mate_quality = read.get_tag("MQ") if read.has_tag("MQ") else 0
            alone = not read.is_paired or read.mate_is_unmapped or mate_quality < min_mapping_quality
            if read.is_duplicate:
                fates["duplicates"] += 1
            elif read.is_qcfail or read.mapping_quality < min_mapping_quality:
                fates["low_quality"] += 1
            elif not alone and not read.is_proper_pair:
                fates["discordant"] += 1
            else:
                fates["passed"] += 1
                strand = read.get_tag(STRAND_TAG)[0]
                if alone:
                    read.is_paired = read.is_proper_pair = read.is_read1 = read.is_read2 = False
                    read.mate_is_unmapped = False
                read.is_reverse = strand == "-"
                read.mapping_quality = HARMLESS_MAPQ
                kept.write(read)
    return fates
