"""Chemistries other than bisulfite: reads made here base by base, with known molecules."""

from array import array
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pysam
import pytest

from hpaxis.methylation.assays.genome import call_genome, open_genome
from hpaxis.methylation.assays.methylpy import call_methylpy
from hpaxis.methylation.assays.modbam import check_modified
from hpaxis.methylation.check import check_sheets
from hpaxis.methylation.counting.bam import BamWriter
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.levels.counted import spike_over_conversion
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.panels.panel import make_panel, reverse_complement
from hpaxis.problems import InputError
from hpaxis.schemas import config_schema, load, with_defaults

SETTINGS = with_defaults({"remove_duplicates": False}, load("config/methylation")["properties"]["genome"])


def taps(bench, methylated=(), false=()):
    """The product of a molecule whose methylated cytosines became T: CpGs by number, others by offset."""
    turned = {bench.cpgs[i] for i in methylated} | set(false)
    text = "".join("T" if i in turned else b for i, b in enumerate(bench.reference))
    return text


def molecules(bench, number, seed=1, level=0.3, error=0.02):
    """Methylated CpGs and falsely converted other cytosines of each molecule."""
    rng = np.random.default_rng(seed)
    cpgs, others = len(bench.cpgs), np.array(bench.others)
    return [
        (np.flatnonzero(rng.random(cpgs) < level).tolist(), others[rng.random(len(others)) < error].tolist())
        for _ in range(number)
    ]


@pytest.mark.parametrize("chemistry", ["taps", "5-base"])
@pytest.mark.parametrize("primers", [True, False])
def test_a_methylated_cytosine_that_reads_t_is_counted_as_methylated(bench, chemistry, primers):
    known = molecules(bench, 60)
    pairs = [bench.pair(taps(bench, *m), turned=bool(i % 2)) for i, m in enumerate(known)]
    calls = bench.count(pairs, bench.panel(primers), chemistry=chemistry)
    methylated = [sum(i in m for m, _ in known) for i in range(len(bench.cpgs))]
    assert bench.levels(calls) == [(n, 60 - n, 0) for n in methylated]
    row = calls.reads.iloc[0]
    assert row["passed"] == 60
    if primers:
        assert row["non_cpg_unconverted"] == sum(len(f) for _, f in known)
        assert row["non_cpg_unconverted"] + row["non_cpg_converted"] == 60 * len(bench.others)


def test_the_other_strand_of_an_unprimed_amplicon_is_told_by_its_methylated_cpgs(bench):
    """On the bottom strand a methylated cytosine shows as A where the reference has G."""
    known = molecules(bench, 40, level=0.5, error=0)
    texts = []
    for m, _ in known:
        turned = {bench.cpgs[i] + 1 for i in m}
        texts.append("".join("A" if i in turned else b for i, b in enumerate(bench.reference)))
    calls = bench.count([bench.pair(t) for t in texts], bench.panel(False), chemistry="taps")
    assert bench.levels(calls) == [
        (n, 40 - n, 0) for n in (sum(i in m for m, _ in known) for i in range(len(bench.cpgs)))
    ]


def test_em_seq_is_counted_as_bisulfite(bench):
    pairs = [bench.pair(bench.molecule((i % len(bench.cpgs),))) for i in range(30)]
    plain, enzymatic = (bench.count(pairs, chemistry=c) for c in ("bisulfite", "em-seq"))
    assert plain.counts.equals(enzymatic.counts) and plain.patterns.equals(enzymatic.patterns)


def test_reads_of_the_other_chemistry_do_not_pass(bench):
    pairs = [bench.pair(taps(bench, *m)) for m in molecules(bench, 20)]
    assert bench.fates(bench.count(pairs)) == {"unconverted": 20}
    pairs = [bench.pair(bench.molecule()) for _ in range(20)]
    assert bench.fates(bench.count(pairs, chemistry="taps")) == {"unconverted": 20}


@pytest.mark.parametrize("umi", [None, "NNNNNN"])
def test_bam_letters_and_the_second_caller_follow_the_chemistry(bench, tmp_path, umi):
    known, rng = molecules(bench, 40, seed=3), np.random.default_rng(0)
    pairs = []
    for m in known:
        one, two = bench.pair(taps(bench, *m))
        tag = "".join(rng.choice(list("ACGT"), 6)) if umi else ""
        pairs.append(((tag + one[0], "I" * len(tag) + one[1]), two))
    panel, path = bench.panel(), tmp_path / "L1.bam"
    with BamWriter(path, panel.references, "L1") as bam:
        sink = bam.add_families if umi else bam.add
        calls = count_library(bench.write(pairs), panel, "L1", sink=sink, umi=umi, chemistry="taps")
    with pysam.AlignmentFile(str(path)) as reads:
        letters = "".join(read.get_tag("XM") for read in reads)
    assert (letters.count("Z"), letters.count("z")) == tuple(calls.counts[["methylated", "unmethylated"]].sum())
    second = call_methylpy({"L1": path}, panel, 20, turned=["L1"])["L1"]
    for column in ("methylated", "unmethylated"):
        assert second[column].tolist() == calls.counts[column].tolist()


class Contigs:
    """A genome with a panel on chr1, an unmethylated and a fully methylated spike-in."""

    def __init__(self, folder):
        rng = np.random.default_rng(4)
        names = ("chr1", "lambda", "pUC19")
        self.text = {n: "".join(rng.choice(list("ACGT"), 1200, p=[0.25, 0.25, 0.25, 0.25])) for n in names}
        self.path = folder / "genome.fa"
        self.path.write_text("".join(f">{n}\n{t}\n" for n, t in self.text.items()))
        piece = folder / "piece.fa"
        piece.write_text(f">chr1:401-900\n{self.text['chr1'][400:900]}\n")
        self.panel = make_panel(piece)
        self.folder = folder
        self.rng = np.random.default_rng(9)

    def cpgs(self, contig):
        return [i for i in range(len(self.text[contig]) - 1) if self.text[contig][i : i + 2] == "CG"]

    def write(self, reads, name="reads.bam"):
        """Reads as (contig, start, bases, reverse, tags)."""
        names = list(self.text)
        header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": n, "LN": len(t)} for n, t in self.text.items()]}
        path = self.folder / name
        with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
            for i, (contig, start, bases, reverse, tags) in enumerate(reads):
                read = pysam.AlignedSegment(bam.header)
                read.query_name, read.reference_id, read.reference_start = f"r{i}", names.index(contig), start
                read.mapping_quality, read.cigartuples, read.is_reverse = 60, [(0, len(bases))], reverse
                read.query_sequence = bases
                read.query_qualities = pysam.qualitystring_to_array("I" * len(bases))
                for tag, value in tags.items():
                    read.set_tag(tag, value)
                bam.write(read)
        return path


@pytest.fixture
def contigs(tmp_path):
    return Contigs(tmp_path)


def taps_read(contigs, contig, start, reverse, level, false, length=100):
    """A read of either strand of a TAPS library, and the plus-strand C of its CpGs that are methylated, and not."""
    text = contigs.text[contig]
    base, turned = ("G", "A") if reverse else ("C", "T")
    out, found = [], {True: [], False: []}
    cpgs = set(contigs.cpgs(contig))
    for i in range(start, start + length):
        letter = text[i]
        if letter == base:
            here = i - 1 if reverse else i
            is_cpg = here in cpgs
            hit = contigs.rng.random() < (level if is_cpg else false)
            if is_cpg:
                found[hit].append(here)
            letter = turned if hit else letter
        out.append(letter)
    return (contig, start, "".join(out), reverse, {}), found


def test_a_genome_library_of_taps_is_turned_with_both_its_spike_ins(contigs):
    reads, truth = [], {}
    for contig, level in (("chr1", 0.3), ("lambda", 0.0), ("pUC19", 0.9)):
        for i in range(120):
            start = int(contigs.rng.integers(0, 1100))
            read, found = taps_read(contigs, contig, start, bool(i % 2), level, 0.01)
            reads.append(read)
            for hit, places in found.items():
                for place in places:
                    truth.setdefault((contig, place), {True: 0, False: 0})[hit] += 1
    path = contigs.write(reads)
    settings = SETTINGS | {"spike_in": "lambda", "methylated_spike_in": "pUC19"}
    calls, summary = call_genome(path, contigs.panel, contigs.path, "L1", settings, 20, chemistry="taps")
    for row in calls.counts.itertuples():
        known = truth.get(("chr1", row.pos - 1), {True: 0, False: 0})
        assert (row.methylated, row.unmethylated) == (known[True], known[False])
    spike = [sum(n[hit] for (contig, _), n in truth.items() if contig == "pUC19") for hit in (True, False)]
    assert calls.reads[["spike_methylated", "spike_unmethylated"]].iloc[0].tolist() == spike
    assert 0 < summary["control_unconverted"].iloc[0] < 0.03 * summary["control_converted"].iloc[0]
    g, variance = spike_over_conversion(calls.reads.iloc[0])
    assert g == spike[1] / sum(spike) and abs(g - 0.1) < 4 * np.sqrt(variance)
    # The study takes it for its over-conversion, beside 100 % controls, and says which chemistry it was.
    row = {"library_id": "L1", "participant_id": "P", "timepoint": "t", "kind": "study", "panel": "p", "plate": None,
           "well": None, "expected_percent": np.nan, "input_ng": 50, "assay": "genome",
           "chemistry": "taps"}  # fmt: skip
    settings = with_defaults({}, load("config/methylation"))
    found = estimate_study(pd.DataFrame([row]), {"p": contigs.panel}, {"L1": calls}, settings).libraries.iloc[0]
    assert found["over_conversion"] == pytest.approx(g) and found["over_conversion_se"] == pytest.approx(variance**0.5)
    assert "a methylated cytosine reads T" in found["reasons"] and "no 100 % control" not in found["reasons"]


def test_counts_of_a_library_without_a_methylated_spike_in_tell_no_over_conversion(bench):
    assert spike_over_conversion(bench.count([bench.pair(bench.molecule())] * 3).reads.iloc[0]) is None


def native_read(contigs, start, reverse, chances, listed="?", length=150, code="m"):
    """A native read: MM and ML as a basecaller writes them; ``chances``: plus-strand C → probability, or None."""
    text = contigs.text["chr1"][start : start + length]
    sequenced = reverse_complement(text) if reverse else text
    skips, chance, run = [], [], 0
    for i, base in enumerate(sequenced):
        if base != "C":
            continue
        place = start + (length - 1 - i) - 1 if reverse else start + i
        if chances.get(place) is not None:
            skips.append(run)
            chance.append(min(int(256 * chances[place]), 255))
            run = 0
        else:
            run += 1

    tags = {"MM": f"C+{code}{listed}" + "".join(f",{s}" for s in skips) + ";", "ML": array("B", chance)}
    return ("chr1", start, text, reverse, tags)


@pytest.mark.parametrize("code", ["m", "h", "27551"])
def test_native_reads_are_molecules_with_probabilities(contigs, code):
    cpgs = [c for c in contigs.cpgs("chr1") if 420 <= c < 520]
    assert len(cpgs) >= 4
    chances = dict(zip(cpgs, [0.95, 0.02, 0.5, 0.1]))
    reads = [native_read(contigs, 400, reverse, chances, code=code) for reverse in (False, True)]
    calls, summary = call_genome(contigs.write(reads), contigs.panel, contigs.path, "L1", SETTINGS, 20,
                                 chemistry="native")  # fmt: skip
    found = {r.pos - 1: (r.methylated, r.unmethylated) for r in calls.counts.itertuples()}
    assert [found[c] for c in cpgs[:4]] == [(2, 0), (0, 2), (0, 0), (0, 2)]
    assert summary["uncertain_calls"].iloc[0] == 2 and 0.03 < summary["stated_error"].iloc[0] < 0.08
    assert calls.patterns["count"].sum() == 2 and calls.reads["passed"].iloc[0] == 2


def test_cytosines_that_a_tag_does_not_list_are_unmethylated_only_where_it_says_so(contigs):
    cpgs = [c for c in contigs.cpgs("chr1") if 401 <= c < 540]
    for listed, level in (("?", (0, 0)), (".", (0, 2)), ("", (0, 2))):
        reads = [native_read(contigs, 400, reverse, {cpgs[0]: 0.97}, listed) for reverse in (False, True)]
        calls, _ = call_genome(contigs.write(reads), contigs.panel, contigs.path, "L1", SETTINGS, 20,
                               chemistry="native")  # fmt: skip
        found = {r.pos - 1: (r.methylated, r.unmethylated) for r in calls.counts.itertuples()}
        assert found[cpgs[0]] == (2, 0) and {found[c] for c in cpgs[1:]} == {level}


def test_a_native_bam_without_tags_is_refused_when_planned_and_when_read(contigs):
    bare = contigs.write([("chr1", 400, contigs.text["chr1"][400:550], False, {})])
    assert "MM and ML tags are missing" in check_modified(bare, open_genome(contigs.path))[0].what
    with pytest.raises(InputError, match="MM and ML"):
        call_genome(bare, contigs.panel, contigs.path, "L1", SETTINGS, 20, chemistry="native")


def problems_of(rows):
    """What `check_sheets` says of rows of libraries.tsv: (row, column, what)."""
    columns = ("library_id", "participant_id", "timepoint", "kind", "assay", "chemistry", "panel", "fastq_1", "fastq_2",
               "counts", "export", "levels", "bam", "umi", "interleaved", "expected_percent", "plate", "well",
               "input_ng")  # fmt: skip
    table = pd.DataFrame([dict.fromkeys(columns) | {"kind": "control_0", "panel": "p"} | r for r in rows])
    table = table.assign(row=range(2, len(rows) + 2), library_id=[f"L{i}" for i in range(len(rows))])
    table = table.astype({"input_ng": float, "expected_percent": float})
    study = SimpleNamespace(
        config=with_defaults({"sheets": {"libraries": "libraries.tsv"}}, config_schema()),
        libraries=table,
        participants=pd.DataFrame({"participant_id": []}),
    )
    return [(p.row, p.column, p.what) for p in check_sheets(study)]


def test_a_chemistry_that_cannot_be_is_refused_in_its_row():
    reads = {"assay": "amplicon", "chemistry": "taps", "fastq_1": "a.fq.gz"}
    assert problems_of([reads, reads | {"fastq_1": "b.fq.gz"}]) == []
    native = {"assay": "genome", "chemistry": "native", "bam": "a.bam"}
    assert problems_of([native]) == []
    ((row, column, what),) = problems_of([reads, reads | {"chemistry": "bisulfite", "fastq_1": "b.fq.gz"}])
    assert (row, column) == (3, "chemistry") and "differs from taps in row 2" in what
    for wrong in (native | {"assay": "amplicon", "bam": None, "fastq_1": "a.fq.gz"},
                  {"assay": "levels", "chemistry": "taps", "levels": "x.tsv"}):  # fmt: skip
        assert [(r, c) for r, c, _ in problems_of([wrong])] == [(2, "chemistry")]
