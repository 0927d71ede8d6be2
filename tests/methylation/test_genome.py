"""Genome libraries: BAMs as aligners write them, made by hand here, called to the read; and real ones at hand."""

import gzip
import shutil
import sys
from dataclasses import dataclass

import jsonschema
import numpy as np
import pandas as pd
import pysam
import pytest

from hpaxis.cli import main
from hpaxis.methylation.assays.aligner import align_reads, index_genome, run_program, trim_reads
from hpaxis.methylation.assays.genome import call_genome, open_genome, place_panel
from hpaxis.methylation.assays.genome_bam import check_bam
from hpaxis.methylation.panels.panel import make_panel, reverse_complement
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults

SETTINGS = with_defaults({}, load("config/methylation")["properties"]["genome"])
START, END = 401, 1000  # the panel on chr1, 1-based
LENGTH = 100


def random_bases(rng, length, cytosine=0.2):
    rest = (1 - cytosine) / 3
    return "".join(rng.choice(list("ACGT"), length, p=[rest, cytosine, rest, rest]))


@dataclass
class Genome:
    """Two contigs in a FASTA, half of it lower case, and a panel of part of the first."""

    folder: object
    text: dict
    path: object
    panel: object

    def cpgs(self, contig="chr1", start=0, end=None):
        text = self.text[contig]
        return [i for i in range(start, (end or len(text)) - 1) if text[i : i + 2] == "CG"]

    def read(self, contig, start, strand, methylated=(), length=LENGTH, unconverted=()):
        """Bases of a read along the plus strand, converted on ``strand``."""
        text, kept = self.text[contig], set(methylated) | set(unconverted)
        out = []
        for i in range(start, start + length):
            base = text[i]
            if strand == "+" and base == "C" and i not in kept:
                base = "T"
            if strand == "-" and base == "G" and i - 1 not in kept:
                base = "A"
            out.append(base)
        return "".join(out)

    def pair(self, name, start, strand="+", insert=150, contig="chr1", methylated=(), quality=60, tags=None, **how):
        """Both mates of a fragment, as a directional library has them."""
        other = start + insert - LENGTH
        mates = []
        for place, flag in zip((start, other), {"+": (99, 147), "-": (163, 83)}[strand]):
            mates.append(
                (name, flag, contig, place, self.read(contig, place, strand, methylated, **how), quality, tags)
            )
        first, second = mates
        return [(*first, second[3]), (*second, first[3])]

    def write(self, reads, name="reads.bam", names=None):
        header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": n, "LN": len(t)} for n, t in (names or self.text).items()]}
        path = self.folder / name
        with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
            for title, flag, contig, start, bases, quality, tags, mate in reads:
                read = pysam.AlignedSegment(bam.header)
                read.query_name, read.flag, read.query_sequence = title, flag, bases
                read.reference_id, read.reference_start = bam.get_tid(contig), start
                read.mapping_quality, read.cigar = quality, [(0, len(bases))]
                read.query_qualities = pysam.qualitystring_to_array("I" * len(bases))
                if mate is not None:
                    read.next_reference_id, read.next_reference_start = read.reference_id, mate
                    read.template_length = (max(start, mate) + LENGTH - min(start, mate)) * (1 if start <= mate else -1)
                for tag, value in (tags or {}).items():
                    read.set_tag(tag, *value) if isinstance(value, tuple) else read.set_tag(tag, value)
                bam.write(read)
        return path

    def call(self, reads, all_cpgs=None, **settings):
        path = reads if hasattr(reads, "name") else self.write(reads)
        return call_genome(path, self.panel, self.path, "G1", SETTINGS | settings, 20, all_cpgs)


@pytest.fixture
def genome(tmp_path):
    rng = np.random.default_rng(4)
    text = {"chr1": random_bases(rng, 2000), "lambda": random_bases(rng, 1500)}
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{n}\n{t[:700]}{t[700:].lower()}\n" for n, t in text.items()))
    region = tmp_path / "region.fa"
    region.write_text(f">toy_chr1_{START}_{END}\n{text['chr1'][START - 1 : END]}\n")
    return Genome(tmp_path, text, path, make_panel(region))


def expected(genome, reads, strands):
    """Calls at the panel's CpGs by hand: a fragment counts once a CpG, on the strand that was converted."""
    counts = {pos - 1: [0, 0] for pos in genome.panel.cpgs["pos"].astype(int)}
    for (start, insert, methylated), strand in zip(reads, strands):
        for cpg in counts:
            place = cpg if strand == "+" else cpg + 1
            if start <= place < start + insert:
                counts[cpg][0 if cpg in methylated else 1] += 1
    return list(counts.values())


def fragments(genome, number, seed=1):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        start = int(rng.integers(300, 1000))
        found.append((start, 150, {c for c in genome.cpgs() if rng.random() < 0.3}))
    return found, rng.choice(["+", "-"], number)


def plus(strand, one, other):
    return one if strand == "+" else other


STYLES = {
    "flags only": lambda strand: None,
    "bwa-meth": lambda strand: {"YD": plus(strand, "f", "r")},
    "Bismark": lambda strand: {"XG": plus(strand, "CT", "GA"), "XR": "CT", "XM": "." * LENGTH},
    "BISCUIT": lambda strand: {"YD": ("u", "A")},
    "HISAT-3N": lambda strand: {"XG": 0, "XM": 0, "YS": -3, "YZ": (strand, "A")},
    "BS-Seeker2": lambda strand: {"XO": f"{strand}FW", "XG": f"AC_{'G' * LENGTH}_TT"},
    "BSBolt": lambda strand: {"YS": plus(strand, "W_C2T", "C_C2T")},
    "gem3": lambda strand: {"XB": (plus(strand, "C", "G"), "A")},
    "BSMAP": lambda strand: {"ZS": f"{strand}+"},
}


@pytest.mark.parametrize("style", STYLES)
def test_every_aligners_bam_is_called_to_the_read(genome, style):
    """Unsorted, without index, mates that overlap by 50 bases, names with /1 and /2, a lower-case FASTA."""
    made, strands = fragments(genome, 120)
    reads = []
    for i, ((start, insert, methylated), strand) in enumerate(zip(made, strands)):
        mates = genome.pair(f"r{i}", start, strand, insert, methylated=methylated, tags=STYLES[style](strand))
        reads += [(f"{m[0]}/{1 if m[1] & 64 else 2}", *m[1:]) for m in mates]
    calls, summary = genome.call(reads, remove_duplicates=False)
    assert calls.counts[["methylated", "unmethylated"]].to_numpy().tolist() == expected(genome, made, strands)
    assert summary["passed"].iloc[0] == summary["reads_in"].iloc[0] == 240
    row = calls.reads.iloc[0]
    assert row["pairs_in"] == 240 and row["non_cpg_unconverted"] == 0 and row["non_cpg_converted"] > 1000


def test_all_cpgs_stand_in_the_table_beside(genome):
    made, strands = fragments(genome, 80, seed=2)
    reads = [
        m for i, ((s, n, k), t) in enumerate(zip(made, strands)) for m in genome.pair(f"r{i}", s, t, n, methylated=k)
    ]
    out = genome.folder / "all.tsv.gz"
    calls, summary = genome.call(reads, all_cpgs=out, remove_duplicates=False)
    table = pd.read_csv(out, sep="\t")
    assert table["pos"].is_monotonic_increasing and not table["pos"].duplicated().any()
    assert all(genome.text["chr1"][p - 1 : p + 1] == "CG" for p in table["pos"])
    assert summary["cpg_calls"].iloc[0] == table[["methylated", "unmethylated"]].sum().sum()
    inside = table[table["pos"].between(START, END)]
    assert inside["methylated"].sum() == calls.counts["methylated"].sum()
    first = out.read_bytes()
    genome.call(reads, all_cpgs=out, remove_duplicates=False)
    assert out.read_bytes() == first and gzip.decompress(first).startswith(b"chrom\tpos\t")


def test_duplicates_go_by_strand_and_only_where_they_are_to(genome):
    reads = [m for i in range(5) for m in genome.pair(f"p{i}", 500, "+")]
    reads += [m for i in range(3) for m in genome.pair(f"m{i}", 500, "-")]
    calls, summary = genome.call(reads)
    assert calls.counts["depth"].max() == 2
    assert summary["duplicates"].iloc[0] == 12 and summary["passed"].iloc[0] == 4
    assert calls.reads["duplicates"].iloc[0] == 12 and calls.reads["passed"].iloc[0] == 4
    calls, summary = genome.call(reads, remove_duplicates=False)
    assert calls.counts["depth"].max() == 8 and summary["duplicates"].iloc[0] == 0


def test_depth_has_no_cap(genome):
    """20,000 reads at one place, where mpileup's default stops at 8,000."""
    inside = genome.cpgs(start=START)[5]
    one = genome.read("chr1", inside - 50, "+", {inside})
    none = genome.read("chr1", inside - 50, "+")
    reads = [(f"r{i}", 0, "chr1", inside - 50, one if i < 10_000 else none, 60, None, None) for i in range(20_000)]
    calls, _ = genome.call(reads, remove_duplicates=False)
    row = calls.counts.set_index("pos").loc[inside + 1]
    assert (row["methylated"], row["unmethylated"]) == (10_000, 10_000)


def test_reads_with_few_cytosines_keep_their_calls(genome):
    """A gap of 120 bases without a cytosine, beyond the 93 at which methylpy's own mapping loses calls."""
    text = genome.text["chr1"]
    gap = text[:600] + text[600:720].replace("C", "T").replace("G", "A") + text[720:]
    genome.text["chr1"] = gap
    genome.path.write_text("".join(f">{n}\n{t}\n" for n, t in genome.text.items()))
    region = genome.folder / "region.fa"
    region.write_text(f">toy_chr1_{START}_{END}\n{gap[START - 1 : END]}\n")
    genome.panel = make_panel(region)
    sites = list(genome.cpgs(start=560, end=770))
    bases = genome.read("chr1", 560, "+", sites, length=210)
    reads = [(f"r{i}", 0, "chr1", 560, bases, 60, None, None) for i in range(20)]
    calls, _ = genome.call(reads, remove_duplicates=False)
    found = calls.counts[calls.counts["depth"] > 0]
    assert len(found) == len(sites) and found["methylated"].eq(20).all()


@pytest.mark.parametrize("quality", [43, 51, 64])
def test_no_mapping_quality_is_taken_for_a_base(genome, quality):
    """mpileup writes a read's mapping quality as a letter; 51 is T, which methylpy alone would count as converted."""
    cpg = genome.cpgs(start=START)[3]
    reads = [(f"r{i}", 0, "chr1", cpg, genome.read("chr1", cpg, "+", {cpg}), quality, None, None) for i in range(10)]
    calls, _ = genome.call(reads, remove_duplicates=False)
    row = calls.counts.set_index("pos").loc[cpg + 1]
    assert (row["methylated"], row["depth"]) == (10, 10)


def test_doubtful_reads_are_counted_out(genome):
    good = genome.pair("good", 500)
    poor = genome.pair("poor", 520, quality=10)
    apart = [(m[0], m[1] & ~2, *m[2:]) for m in genome.pair("apart", 540)]
    lost = genome.pair("lost", 560)
    lost = [(lost[0][0], 73, *lost[0][2:7], None)]  # its mate is not aligned
    secondary = [(m[0], m[1] | 256, *m[2:]) for m in genome.pair("other", 500)]
    calls, summary = genome.call(good + poor + apart + lost + secondary)
    row = summary.iloc[0]
    assert (row["passed"], row["low_quality"], row["discordant"], row["reads_in"]) == (3, 2, 2, 7)
    assert calls.counts["depth"].max() == 2


def test_a_spike_in_tells_conversion_and_lets_the_rest_of_the_genome_rest(genome):
    text = genome.text["lambda"]
    kept = [i for i, b in enumerate(text) if b == "C"][:50:10]
    spike = [
        (f"s{i}", 0, "lambda", 0, genome.read("lambda", 0, "+", length=len(text), unconverted=kept if i else ()), 60,
         None, None) for i in range(10)
    ]  # fmt: skip
    reads = [m for i in range(4) for m in genome.pair(f"r{i}", 500 + 7 * i)] + genome.pair("far", 1800)
    _, summary = genome.call(reads + spike, spike_in="lambda", remove_duplicates=False)
    row = summary.iloc[0]
    # methylpy leaves out a cytosine whose context runs over the contig's end.
    sites = len([i for i, b in enumerate(text) if b == "C" and i + 2 < len(text)])
    assert row["control_unconverted"] == 9 * 5 and row["control_unconverted"] + row["control_converted"] == 10 * sites
    assert row["reads_in"] == 8 + 10 and row["control"] == "lambda"


def test_chromosomes_with_and_without_chr_are_the_same(genome):
    genome.text = {"1": genome.text["chr1"], "lambda": genome.text["lambda"]}
    genome.path.write_text("".join(f">{n}\n{t}\n" for n, t in genome.text.items()))
    calls, _ = genome.call(genome.pair("r", 500, contig="1"))
    assert calls.counts["depth"].max() == 1 and set(calls.counts["chrom"]) == {"chr1"}


def test_a_library_of_no_reads_has_no_depth(genome):
    calls, summary = genome.call(genome.write([]))
    assert calls.counts["depth"].eq(0).all() and summary["reads_in"].iloc[0] == 0


def test_another_genome_is_refused_at_planning_or_at_the_reads(genome):
    path = genome.write(genome.pair("r", 500))
    with open_genome(genome.path) as own:
        assert check_bam(path, own) == []
        other = genome.write([], "other.bam", {"chrZ": "A" * 50})
        assert "has no contig of the genome" in check_bam(other, own)[0].what
        longer = genome.write([], "longer.bam", {"chr1": "A" * 2001})
        assert "2001 bases of a contig that is 2000" in check_bam(longer, own)[0].what
        cut = genome.folder / "cut.bam"
        cut.write_bytes(path.read_bytes()[:-28])
        assert "cut short" in check_bam(cut, own)[0].what and check_bam(cut, own)[0].file == str(cut)
        cut.write_bytes(b"no BAM at all" * 10)
        assert "cannot be read" in check_bam(cut, own)[0].what
    text = genome.text["chr1"]
    genome.path.write_text(f">chr1\n{text[1:]}A\n>lambda\n{genome.text['lambda']}\n")
    (genome.folder / "genome.fa.fai").unlink()
    with open_genome(genome.path) as shifted, pytest.raises(InputError, match="give a genome of the panel's build"):
        place_panel(genome.panel, shifted, genome.path)


def test_reads_that_do_not_fit_the_genome_are_refused(genome):
    rng = np.random.default_rng(9)
    reads = [(f"r{i}", 0, "chr1", 500, random_bases(rng, LENGTH), 60, None, None) for i in range(50)]
    with pytest.raises(InputError, match="does not fit the genome"):
        genome.call(reads)


def test_a_library_of_either_strand_is_read_by_its_tags_or_by_its_own_conversions(genome):
    """Non-directional: half the fragments are read from the strand that PCR made, so flags tell the wrong one."""
    made, strands = fragments(genome, 60, seed=3)
    turned = {99: 163, 147: 83, 163: 99, 83: 147}
    plain, tagged = [], []
    for i, ((start, insert, methylated), strand) in enumerate(zip(made, strands)):
        for mate in genome.pair(f"r{i}", start, strand, insert, methylated=methylated):
            flag = turned[mate[1]] if i % 2 else mate[1]
            plain.append((mate[0], flag, *mate[2:]))
            tagged.append((*plain[-1][:6], {"XG": "CT" if strand == "+" else "GA"}, plain[-1][7]))
    calls, summary = genome.call(plain, remove_duplicates=False)
    assert calls.counts[["methylated", "unmethylated"]].to_numpy().tolist() == expected(genome, made, strands)
    row = summary.iloc[0]
    assert row["strand_source"] == "flags" and row["strand_by_reads"] == "yes" and row["no_strand"] == 0
    assert row["strand_agreement_percent"] == pytest.approx(50, abs=1)
    calls, summary = genome.call(tagged, remove_duplicates=False)
    assert summary["strand_source"].iloc[0] == "XG" and summary["strand_agreement_percent"].iloc[0] == 100
    assert calls.counts[["methylated", "unmethylated"]].to_numpy().tolist() == expected(genome, made, strands)


def test_a_panel_without_coordinates_is_refused(genome):
    (genome.folder / "plain.fa").write_text(">toy\nTTCGATACGTTAACGTTT\n")
    with open_genome(genome.path) as own, pytest.raises(InputError, match="without coordinates"):
        place_panel(make_panel(genome.folder / "plain.fa"), own, genome.path)


@pytest.mark.parametrize("mates", [1, 2])
def test_adapters_are_taken_off_and_what_is_left_too_short_is_counted(tmp_path, mates):
    adapter, insert = "AGATCGGAAGAGC", "TTGATGGTTAAGTGGATTTGTGTAATTAGGATTGTTATG"
    other = reverse_complement(insert)
    made = {
        "whole": (insert + insert, other + other),
        "read_through": (insert + adapter + "ACACGTCTG", other + adapter + "GTCGTGTAG"),
        "dimer": (insert[:5] + adapter, other[:5] + adapter),
    }
    paths = [tmp_path / f"x_R{n}.fastq.gz" for n in range(1, mates + 1)]
    for n, path in enumerate(paths):
        with gzip.open(path, "wt") as handle:
            handle.writelines(f"@{name}\n{r[n]}\n+\n{'I' * len(r[n])}\n" for name, r in made.items())
    trimmed, told = trim_reads(paths, adapter, tmp_path)
    for n, path in enumerate(trimmed):
        with gzip.open(path, "rt") as handle:
            lines = handle.read().splitlines()
        assert dict(zip((name[1:] for name in lines[::4]), lines[1::4], strict=True)) == {
            "whole": made["whole"][n], "read_through": (insert, other)[n]
        }  # fmt: skip
        assert [len(line) for line in lines[3::4]] == [len(line) for line in lines[1::4]]
    if mates == 2:
        both = tmp_path / "both.fastq"
        both.write_text("".join(f"@{n}\n{b}\n+\n{'I' * len(b)}\n" for n, r in made.items() for b in r))
        (tmp_path / "again").mkdir()
        again, same = trim_reads([both], adapter, tmp_path / "again", interleaved=True)
        assert [gzip.decompress(p.read_bytes()) for p in again] == [gzip.decompress(p.read_bytes()) for p in trimmed]
        assert same.equals(told)
    second = 2 if mates == 2 else None
    jsonschema.validate(told.to_dict("records")[0], load("methylation_trimmed.schema"))
    assert told.to_dict("records") == [
        {"reads_in": 3, "with_adapter_1": 2, "with_adapter_2": second, "too_short": 1}
    ]  # fmt: skip


def test_a_program_that_fails_quotes_no_read(tmp_path):
    paths = [tmp_path / f"x_R{n}.fastq" for n in (1, 2)]
    paths[0].write_text("@Zebulon first\nACGTACGTACGT\n+\nIIIIIIIIIIII\n")
    for bad in ("@Quackenbush\nACGTACGTACGT\n+\nIIIIIIIIIIII\n", "@Zebulon\nACGTACGTACGT\nTTGGTTGGTTGG\nIIII\n",
                "@O'Quackenbush\nACGTACGTACGT\n+Zebulon\nIIIIIIIIIIII\n"):  # fmt: skip
        paths[1].write_text(bad)
        with pytest.raises(RuntimeError, match=r"cutadapt ended with 1: .*(paired|line 3|second)") as raised:
            trim_reads(paths, "AGATCGGAAGAGC", tmp_path)
        assert not any(text in str(raised.value) for text in ("Zebulon", "Quackenbush", "ACGTACGT", "TTGGTTGG"))
    told = [r"print('[E] paired reads have different names: \"Zebulon\", \"O\'Quackenbush\"')",
            r"import sys; sys.stdout.buffer.write(b'\xff no such index\n'); raise KeyError('Zebulon')"]  # fmt: skip
    for program, kept in zip((told[0] + "; raise SystemExit(1)", told[1]), ("different names", "no such index")):
        with pytest.raises(RuntimeError, match=f"x ended with 1: .*{kept}") as raised:
            run_program("x", [sys.executable, "-c", program])
        assert not any(text in str(raised.value) for text in ("Zebulon", "Quackenbush", "File"))


@pytest.mark.skipif(shutil.which("bsbolt") is None, reason="the aligner bsbolt is not installed")
def test_real_genome_reads_agree_with_other_callers(real_data, tmp_path):
    """46,363 pairs: bwa-meth + MethylDackel, BSBolt and abismal read about 61.0 % over 80,600 calls."""
    folder = real_data / "wgbs_101bp"
    fasta = tmp_path / "reference.fa"
    fasta.write_bytes(gzip.decompress((folder / "reference.fa.gz").read_bytes()))
    index_genome(fasta, tmp_path / "index")
    align_reads([folder / "R1.fastq.gz", folder / "R2.fastq.gz"], tmp_path / "index", tmp_path / "out.bam")
    with open_genome(fasta) as genome:
        text = genome.fetch("chrREF").upper()
    region = tmp_path / "region.fa"
    region.write_text(f">r_chrREF_300001_303000\n{text[300000:303000]}\n")
    panel = make_panel(region)
    _, summary = call_genome(tmp_path / "out.bam", panel, fasta, "W", SETTINGS | {"remove_duplicates": False}, 5)
    row = summary.iloc[0]
    assert row["cpg_percent"] == pytest.approx(61.0, abs=0.5)
    assert row["cpg_calls"] == pytest.approx(80_600, rel=0.03)
    assert row["mapped_percent"] > 99


def simple(genome, number=60, seed=5, **how):
    made, strands = fragments(genome, number, seed=seed)
    reads = [
        m
        for i, ((s, n, k), t) in enumerate(zip(made, strands))
        for m in genome.pair(f"r{i}", s, t, n, methylated=k, **how)
    ]
    return reads, expected(genome, made, strands)


def counted(calls):
    return calls.counts[["methylated", "unmethylated"]].to_numpy().tolist()


def test_abismals_tag_says_what_a_read_is_rich_in(genome):
    """T of read 1 and A of read 2, on either strand: the flag says the rest."""
    reads, counts = simple(genome)
    reads = [(*r[:6], {"CV": ("T" if r[1] & 64 else "A", "A")}, r[7]) for r in reads]
    calls, summary = genome.call(reads, remove_duplicates=False)
    assert counted(calls) == counts and summary["strand_source"].iloc[0] == "CV"


def test_contigs_that_the_fasta_lacks_are_left_aside_and_counted(genome):
    reads, counts = simple(genome)
    rng = np.random.default_rng(1)
    genome.text["virus"] = random_bases(rng, 1200)
    extra = [m for i in range(2) for m in genome.pair(f"v{i}", 300 + i, "+", 150, contig="virus")]
    calls, summary = genome.call(reads + extra, remove_duplicates=False)
    assert counted(calls) == counts and summary["off_genome"].iloc[0] == 4
    assert calls.reads["off_target"].iloc[0] == 4


def test_a_cram_is_decoded_with_the_genome_given_or_refused_when_planning(genome):
    reads, counts = simple(genome)
    moved = genome.folder / "moved.fa"
    moved.write_bytes(genome.path.read_bytes())
    path = genome.folder / "reads.cram"
    plain = genome.write(reads)
    pysam.sort("-o", str(genome.folder / "sorted.bam"), str(plain))
    pysam.view("-C", "-T", str(moved), "-o", str(path), str(genome.folder / "sorted.bam"), catch_stdout=False)
    moved.unlink()
    (genome.folder / "moved.fa.fai").unlink(missing_ok=True)
    assert check_bam(path, open_genome(genome.path)) == []
    assert counted(genome.call(path, remove_duplicates=False)[0]) == counts


def test_umis_tell_copies_from_molecules_that_lie_alike(genome):
    """Two molecules at one place with their own UMIs, each twice: RX keeps two of the four."""
    reads = []
    for i, umi in enumerate(["ACGT", "ACGT", "GGTT", "GGTT"]):
        reads += genome.pair(f"r{i}", 500, "+", 150, tags={"RX": umi})
    assert genome.call(reads)[1]["passed"].iloc[0] == 4
    assert genome.call([(*r[:6], None, r[7]) for r in reads])[1]["passed"].iloc[0] == 2


def test_ignored_cycles_do_not_count(genome):
    """A read of a CpG in its first two cycles: without these no call is left there."""
    cpg = genome.cpgs(start=500)[0]
    reads = [m for i in range(5) for m in genome.pair(f"r{i}", cpg, "+", 100, methylated={cpg})]
    place = genome.panel.cpgs["pos"].astype(int).tolist().index(cpg + 1)
    first = [r for r in reads if r[1] & 64]
    alone = [(r[0], r[1] & ~(1 | 2 | 32 | 64), *r[2:7], None) for r in first]
    assert counted(genome.call(alone, remove_duplicates=False)[0])[place] == [5, 0]
    left = genome.call(alone, remove_duplicates=False, ignored_cycles=[2, 0, 0, 0])[0]
    assert counted(left)[place] == [0, 0] and sum(map(sum, counted(left))) > 0


def test_a_whole_genome_library_needs_no_panel(genome, tmp_path, capsys):
    """The command's figures are those of the same reads with a panel, and every CpG is written."""
    bam = genome.write(simple(genome)[0])
    _, summary = call_genome(bam, genome.panel, genome.path, "L1", SETTINGS | {"remove_duplicates": True}, 20)
    table = tmp_path / "cpgs.tsv.gz"
    assert main(["genome", str(bam), str(genome.path), "--all-cpgs", str(table)]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    for column in ("reads_in", "passed", "cpgs", "cpg_calls", "cpg_methylated", "control_converted"):
        assert int(shown[column]) == summary[column].iloc[0] > 0
    with gzip.open(table, "rt") as file:
        assert len(file.readlines()) == int(shown["cpgs"]) + 1
    assert main(["genome", str(bam), str(genome.path), "--chemistry", "native"]) == 1
    assert "cannot be counted over a whole genome" in capsys.readouterr().err
