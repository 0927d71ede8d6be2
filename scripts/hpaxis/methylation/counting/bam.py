"""Write passing molecules as a BAM that other callers read: Bismark's XM, XR and XG tags, one record a molecule."""

from pathlib import Path

import numpy as np
import pysam

from hpaxis.methylation.counting import planes
from hpaxis.methylation.counting.umis import consensus_text

# Above every caller's threshold; methylpy counts letters of the pileup, where a read's start shows its mapping
# quality as a character: 60 shows as "]", which is no base.
MAPPING_QUALITY = 60
# Level 6 takes three times as long and saves an eighth of the size.
COMPRESSION = "3"
SORT_MEMORY = "256M"  # deeper libraries are sorted in parts, in files beside the BAM, in the same order
FAMILY_QUALITY = "I"  # Phred 40: what most of a family's molecules read
DOT, LOWER_TO_UPPER = ord("."), ord("a") - ord("A")


class BamWriter:
    """Collect molecules as compressed SAM text beside ``path``; leaving the ``with`` block sorts and indexes them.

    A record is one molecule: both mates merged, primers and adapters left out, an offset between mates that no read
    covers as a skip (N), inserted bases left out. Same reads, same bytes: the order is that of the input.
    """

    def __init__(self, path, references, sample):
        self.path = Path(path)
        self.sam = self.path.with_name(f".{self.path.name}.sam.gz")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.handle = pysam.BGZFile(str(self.sam), "w1")  # a fifth of the text, in little time
        self._write("@HD\tVN:1.6\tSO:unsorted\n")
        for name, sequence in references.items():
            self._write(f"@SQ\tSN:{name}\tLN:{len(sequence)}\n")
        self._write(f"@RG\tID:{sample}\tSM:{sample}\n")
        self.sample = sample

    def add(self, reads, batches):
        """Take one chunk: mate 1's `Reads` (for the names), and for each batch target, rows, molecules, passing."""
        lines = {}
        for target, rows, molecules, passing in batches:
            lines.update(_records(reads, target, rows, molecules, np.flatnonzero(passing), self.sample))
        self._write("".join(lines[row] for row in sorted(lines)))

    def _write(self, text):
        self.handle.write(text.encode("ascii"))

    def add_families(self, target, states):
        """Take families of molecules with one UMI each (see `umis.FamilyTally`): a record is a family's consensus."""
        bases, calls, first, last = consensus_text(target, states)
        flag, genome = (0, "CT") if target.strand == "top" else (16, "GA")
        for i, (a, b) in enumerate(zip(first.tolist(), last.tolist())):
            if a == b:
                continue
            sequence, letters = (text[i, a:b].tobytes().decode("ascii") for text in (bases, calls))
            name = f"{target.amplicon}_{target.strand}_family{i + 1}"
            fields = (
                name, flag, target.amplicon, a + 1, MAPPING_QUALITY, f"{b - a}M", "*", 0, 0, sequence,
                FAMILY_QUALITY * (b - a), f"XM:Z:{letters}", "XR:Z:CT", f"XG:Z:{genome}", f"RG:Z:{self.sample}",
            )  # fmt: skip
            self._write("\t".join(map(str, fields)) + "\n")

    def __enter__(self):
        """Begin."""
        return self

    def __exit__(self, kind, error, trace):
        """Sort and index; the BAM appears whole, with its index, or not at all."""
        self.handle.close()
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            if kind is None:
                pysam.sort("--no-PG", "-l", COMPRESSION, "-m", SORT_MEMORY, "-o", str(part), str(self.sam))
                pysam.index(str(part))
                part.with_name(part.name + ".bai").replace(f"{self.path}.bai")
                part.replace(self.path)
        finally:
            self.sam.unlink(missing_ok=True)
            part.unlink(missing_ok=True)


def _records(reads, target, rows, molecules, passing, sample):
    """SAM lines of the passing molecules, by the pair's row in the chunk."""
    base = molecules.letters(passing)
    columns = {
        "sequence": base,
        "quality": molecules.qualities(passing) + np.uint8(33),
        "calls": _call_letters(base, target),
    }
    covered, deleted = (planes.unpack(flags[passing], len(target)) for flags in (molecules.covered, molecules.deleted))
    first = covered.argmax(axis=1)
    last = covered.shape[1] - covered[:, ::-1].argmax(axis=1)
    whole = (np.count_nonzero(covered, axis=1) == last - first) & ~deleted.any(axis=1)
    texts = {name: column.tobytes().decode("ascii") for name, column in columns.items()}
    width = base.shape[1]
    flag, genome = (0, "CT") if target.strand == "top" else (16, "GA")
    lines = {}
    for i, row in enumerate(rows[passing]):
        a, b = int(first[i]), int(last[i])
        parts = {name: text[i * width + a : i * width + b] for name, text in texts.items()}
        cigar = f"{b - a}M"
        if not whole[i]:
            cigar, kept = _cigar(covered[i, a:b], deleted[i, a:b])
            parts = {name: "".join(np.array(list(part))[kept]) for name, part in parts.items()}
        name = reads.text(reads.name[row], reads.name_length[row]).decode("ascii", "replace")
        lines[int(row)] = (
            f"{name}\t{flag}\t{target.amplicon}\t{a + 1}\t{MAPPING_QUALITY}\t{cigar}\t*\t0\t0\t{parts['sequence']}\t"
            f"{parts['quality']}\tXM:Z:{parts['calls']}\tXR:Z:CT\tXG:Z:{genome}\tRG:Z:{sample}\n"
        )
    return lines


def _call_letters(base, target):
    """Bismark's letters: upper case methylated, lower case converted, by context; a dot elsewhere."""
    lower = np.where(base == ord(target.converted), target.context, DOT)
    upper = target.context - np.uint8(LOWER_TO_UPPER) * (target.context != DOT)
    return np.where(base == ord(target.methylated), upper, lower).astype(np.uint8)


def _cigar(covered, deleted):
    """CIGAR text of a molecule with gaps, and which of its offsets the record's sequence holds."""
    codes = np.where(deleted, "D", np.where(covered, "M", "N"))
    change = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    starts, ends = np.r_[0, change], np.r_[change, len(codes)]
    return "".join(f"{e - s}{codes[s]}" for s, e in zip(starts, ends)), codes == "M"
