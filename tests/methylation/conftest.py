"""A toy amplicon and a bench to make its reads by hand: every base of every read is chosen by the test."""

import gzip

import pytest

from hpaxis.methylation.counting.calls import FATES, count_library
from hpaxis.methylation.panels.panel import find_cpgs, read_panel, reverse_complement

FORWARD_SITE, REVERSE_SITE = "GACCTGAAGCATTCCAGAGG", "GGAGTTGACATCAGGTTAGG"
INSERT = (
    "ACGTTAGCCATGGACGATTACTGCATTAGGACGCTTAAGCATTCAGGATACCGTTGACATGCATTAACGGATCATTGCAAGGTCAATGACGTAGCTTGGATACGTGCAAT"
)
REFERENCE = FORWARD_SITE + INSERT + REVERSE_SITE
QUALITY = "I"


def convert(text, kept=()):
    """Bisulfite: every C becomes T unless its offset is in ``kept``."""
    return "".join("T" if base == "C" and i not in kept else base for i, base in enumerate(text))


class Bench:
    """Writes panels and reads into a folder of the test's own."""

    forward_primer = convert(FORWARD_SITE)
    reverse_primer = reverse_complement(convert(REVERSE_SITE))
    reference = REFERENCE
    cpgs = find_cpgs(REFERENCE)
    convert = staticmethod(convert)
    reverse_complement = staticmethod(reverse_complement)

    def __init__(self, folder):
        self.folder = folder

    @property
    def others(self):
        """Offsets of cytosines between the primers and outside CpGs."""
        last = len(self.reference) - len(REVERSE_SITE)
        return [i for i in range(len(FORWARD_SITE), last) if self.reference[i] == "C" and self.reference[i + 1] != "G"]

    def panel(self, primers=True, reference=None, name="toy"):
        """Write and read a panel of the one amplicon."""
        folder = self.folder / f"panel_{name}_{primers}"
        folder.mkdir(exist_ok=True)
        text = reference or self.reference
        pair = (self.forward_primer, self.reverse_primer) if primers else ("NA", "NA")
        (folder / "reference.fa").write_text(f">{name}\n{text}\n")
        rows = {
            "amplicons": [
                "amplicon\tchrom\tstart\tend\tstrand\tforward_primer\treverse_primer\tsource",
                f"{name}\tchr1\t1001\t{1000 + len(text)}\t+\t{pair[0]}\t{pair[1]}\tmade up",
            ],
            "cpgs": ["cpg_id\tamplicon\toffset\tchrom\tpos\tstrand\tsource"]
            + [f"CpG{i}\t{name}\t{o}\tchr1\t{1001 + o}\t+\tmade up" for i, o in enumerate(find_cpgs(text.upper()), 1)],
            "aliases": ["cpg_id\tscheme\talias\tsource"],
            "indices": ["index\tcpg_id\tsource"]
            + [f"region_mean\tCpG{i}\tmade up" for i in range(1, len(find_cpgs(text.upper())) + 1)]
            + ["first_two\tCpG1\tmade up", "first_two\tCpG2\tmade up"],
            "snp_mask": ["chrom\tpos\tref\talt\tallele_frequency\tsource"],
        }
        for table, lines in rows.items():
            (folder / f"{table}.tsv").write_text("\n".join(lines) + "\n")
        return read_panel(folder)

    def molecule(self, methylated=(), unconverted=()):
        """The PCR product of a molecule: primers as synthesised, CpGs (by number from 0) and other Cs as asked."""
        kept = {self.cpgs[i] for i in methylated} | set(unconverted)
        inner = convert(self.reference, kept)[len(FORWARD_SITE) : -len(REVERSE_SITE)]
        return self.forward_primer + inner + reverse_complement(self.reverse_primer)

    def pair(self, molecule, length=100, turned=False, quality=None):
        """Both mates of a molecule, read from its ends; ``turned``: mate 1 from the other end."""
        ends = [molecule[:length], reverse_complement(molecule)[:length]]
        ends = ends[::-1] if turned else ends
        return tuple(
            (bases, (quality or QUALITY) * len(bases) if len(quality or QUALITY) == 1 else quality) for bases in ends
        )

    def write(self, pairs, name="reads", names=None, ending="\n"):
        """Write pairs of (bases, qualities) to gzip files; returns their paths."""
        paths = []
        for mate in range(len(pairs[0]) if pairs else 2):
            path = self.folder / f"{name}_R{mate + 1}.fastq.gz"
            with gzip.open(path, "wt", newline="") as handle:
                for i, pair in enumerate(pairs):
                    title = names[i] if names else f"read{i}"
                    bases, qualities = pair[mate]
                    handle.write(ending.join((f"@{title} {mate + 1}:N:0:1", bases, "+", qualities)) + ending)
            paths.append(path)
        return paths

    def count(self, pairs, panel=None, name="L1", **options):
        """Write pairs and call them."""
        return count_library(self.write(pairs, name), panel or self.panel(), name, **options)

    @staticmethod
    def levels(calls):
        """Methylated, unmethylated and other of each CpG."""
        return list(zip(calls.counts["methylated"], calls.counts["unmethylated"], calls.counts["other"], strict=True))

    @staticmethod
    def fates(calls):
        """Fates that occurred, with their numbers, which add up to the pairs."""
        row = calls.reads.iloc[0]
        assert row[list(FATES)].sum() == row["pairs_in"]
        return {fate: int(row[fate]) for fate in FATES if row[fate]}


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)
