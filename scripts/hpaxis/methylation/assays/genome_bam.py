"""An aligned bisulfite BAM made ready for methylpy: one strand flag a molecule, duplicates and doubtful reads out.

Read as they are: BAM of Bismark, bwa-meth, BSBolt and others, sorted in any order, with or without an index. Which
strand of the genome was converted stands in a tag (XG of Bismark, YD of bwa-meth, YS of BSBolt); without one it follows
from the flags, as in a directional library. Either way it is held against what the reads show.
"""

import re
from collections import Counter
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
FATES = ("unmapped", "low_quality", "discordant", "duplicates", "passed")


def check_bam(path, genome):
    """Problems of a BAM as far as its header tells: no alignments, contigs that are not the genome's."""
    try:
        with pysam.AlignmentFile(str(path), check_sq=False) as bam:
            names, lengths = bam.references, bam.lengths
    except (OSError, ValueError):
        return [Problem(str(path), "cannot be read as BAM: it is none, or damaged or cut short", "copy it again")]
    if not names:
        return [Problem(str(path), "names no contig: its reads are not aligned", "give the aligned BAM")]
    known = dict(zip(genome.references, genome.lengths))
    shared = [(name, length) for name, length in zip(names, lengths) if name in known]
    if not shared:
        what = f"has no contig of the genome ({names[0]} and others, where the genome has {genome.references[0]})"
        return [Problem(str(path), what, "give the genome FASTA that the reads were aligned to, names included")]
    return [
        Problem(str(path), f"has {length} bases of a contig that is {known[name]} in the genome",
                "give the genome FASTA that the reads were aligned to", value=name)
        for name, length in shared if length != known[name]
    ][:3]  # fmt: skip


def prepare_bam(path, genome, out, min_mapping_quality, remove_duplicates, regions=None, threads=1):
    """Write a sorted, indexed BAM of the reads that count, all flagged by the strand that was converted.

    ``genome``: `pysam.FastaFile`; ``regions``: contig → list of (start, end), 0-based, outside of which reads are left
    out (None: none are). Secondary and supplementary alignments are left out. Duplicates are those of samtools
    markdup, told apart by strand; of amplicons they must never be removed, of RRBS they should not. Returns the number
    of reads by fate (`FATES`; mates count each). Raises `InputError` for another genome or strands that cannot be told.
    """
    work = Path(f"{out}.work")
    work.mkdir(parents=True, exist_ok=True)
    try:
        fates = _tag(path, genome, work / "tagged.bam", regions)
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
    return {fate: fates[fate] for fate in FATES}


def _tag(path, genome, out, regions):
    """Keep primary alignments, with the converted strand as a tag and names without /1 and /2."""
    fates, seen = Counter(), _Evidence(genome)
    bam = pysam.AlignmentFile(str(path), check_sq=False)
    with bam, pysam.AlignmentFile(str(out), "wb0", header=bam.header) as kept:
        for read in bam.fetch(until_eof=True):
            if read.is_secondary or read.is_supplementary:
                continue
            if read.is_unmapped or read.query_sequence is None:
                fates["unmapped"] += 1
                continue
            if regions is not None and not _inside(read, regions):
                continue
            strand = converted_strand(read)
            seen.add(read, strand)
            read.query_name = MATE_SUFFIX.sub("", read.query_name)
            read.set_tag(STRAND_TAG, strand)
            read.is_duplicate = False
            kept.write(read)
    seen.judge(path)
    return fates


def _inside(read, regions):
    return any(
        read.reference_start < end and read.reference_end > start for start, end in regions.get(read.reference_name, ())
    )


def converted_strand(read):
    """Which strand's conversion a read shows, + or -: by its tag, or as flags tell it of a directional library."""
    for tag, plus in (("XG", "CT"), ("YD", "f"), ("YS", "W")):
        if read.has_tag(tag):
            return "+" if str(read.get_tag(tag)).startswith(plus) else "-"
    return "+" if read.is_reverse == read.is_read2 else "-"


class _Evidence:
    """What the first reads show: conversions on either strand, and bases that fit neither."""

    def __init__(self, genome):
        self.genome, self.contig, self.text = genome, None, None
        self.reads = self.turned = self.telling = self.bases = self.mismatches = 0

    def add(self, read, strand):
        if self.reads >= LOOKED_AT or read.reference_name not in self.genome.references:
            return
        pairs = [(q, r) for q, r in read.get_aligned_pairs(matches_only=True)]
        if not pairs:
            return
        query, place = (np.array(p) for p in zip(*pairs))
        start = read.reference_start
        reference = np.frombuffer(
            self.genome.fetch(read.reference_name, start, read.reference_end).upper().encode("ascii"), "S1"
        )
        seen = np.frombuffer(read.query_sequence.upper().encode("ascii"), "S1")[query]
        reference = reference[place - start]
        known = (reference != b"N") & (seen != b"N")
        seen, reference = seen[known], reference[known]
        top = np.count_nonzero((reference == b"C") & (seen == b"T"))
        bottom = np.count_nonzero((reference == b"G") & (seen == b"A"))
        self.reads += 1
        self.bases += len(seen)
        self.mismatches += np.count_nonzero(seen != reference) - max(top, bottom)
        if abs(top - bottom) >= TELLING:
            self.telling += 1
            self.turned += (top > bottom) != (strand == "+")

    def judge(self, path):
        if self.bases and self.mismatches > MOST_MISMATCHED * self.bases:
            what = f"does not fit the genome: {100 * self.mismatches / self.bases:.3g} % of its bases differ"
            raise InputError(Problem(str(path), what, "give the genome FASTA that the reads were aligned to"))
        if self.telling and self.turned > MOST_TURNED * self.telling:
            what = (
                f"has {100 * self.turned / self.telling:.3g} % of reads whose conversions are on the other strand than "
                "flags or tags say"
            )
            remedy = (
                "give a BAM with Bismark's XG, bwa-meth's YD or BSBolt's YS tags; without them only directional ones"
            )
            raise InputError(Problem(str(path), what, remedy))


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
                strand = read.get_tag(STRAND_TAG)
                if alone:
                    read.is_paired = read.is_proper_pair = read.is_read1 = read.is_read2 = False
                    read.mate_is_unmapped = False
                read.is_reverse = strand == "-"
                read.mapping_quality = HARMLESS_MAPQ
                kept.write(read)
    return fates
