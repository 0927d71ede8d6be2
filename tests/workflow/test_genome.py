"""Genome libraries end to end: two aligners' BAMs of one small simulated genome, from the sheets to the cohort."""

import gzip
import os
import shutil

import numpy as np
import pandas as pd
import pysam
import pytest
import yaml
from scipy.stats import binom

from hpaxis.methylation.panels.panel import make_panel, write_panel
from hpaxis.tables import read_table, write_table

pytestmark = pytest.mark.workflow
CONFIG = ("--configfile", "study/config.yaml")
LENGTH, PEOPLE, E = 100, 16, 0.006


def write_genome(folder, rng):
    """Two contigs, soft-masked, and the panel of a part of the first; returns the sequences."""
    text = {"chr1": "".join(rng.choice(list("ACGT"), 4000)), "lambda": "".join(rng.choice(list("ACGT"), 3000))}
    (folder / "genome.fa").write_text("".join(f">{n}\n{t[:900].lower()}{t[900:]}\n" for n, t in text.items()))
    (folder / "region.fa").write_text(f">toy_chr1_1501_1900\n{text['chr1'][1500:1900]}\n")
    write_panel(make_panel(folder / "region.fa"), folder / "panel")
    return text


def mate_bases(text, place, strand, level, rng):
    """A read of converted DNA along the plus strand; CpGs methylated with ``level``."""
    out = list(text[place : place + LENGTH])
    for i, base in enumerate(out):
        at = place + i
        if strand == "+" and base == "C":
            stays = rng.random() < (level if text[at : at + 2] == "CG" else 0) or rng.random() < E
            out[i] = "C" if stays else "T"
        if strand == "-" and base == "G":
            stays = rng.random() < (level if text[at - 1 : at + 1] == "CG" else 0) or rng.random() < E
            out[i] = "G" if stays else "A"
    return "".join(out)


def write_bam(path, text, level, rng, tagged):
    """Pairs that do not overlap, every CpG of a molecule drawn alone; a twentieth are duplicates."""
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": n, "LN": len(t)} for n, t in text.items()]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        spots = [("chr1", int(s)) for s in rng.integers(1250, 1900, 900)]
        spots += [("lambda", int(s)) for s in rng.integers(0, 2700, 200)]
        for i, (contig, start) in enumerate(spots):
            strand = "+" if rng.random() < 0.5 else "-"
            other = start + LENGTH + int(rng.integers(0, 60))
            here = level if contig == "chr1" else 0
            bases = [mate_bases(text[contig], p, strand, here, rng) for p in (start, other)]
            for copy in range(2 if i % 20 == 0 else 1):
                for place, seen, flag in zip((start, other), bases, (99, 147) if strand == "+" else (163, 83)):
                    read = pysam.AlignedSegment(bam.header)
                    read.query_name, read.flag, read.query_sequence = f"r{i}_{copy}", flag, seen
                    read.reference_id, read.reference_start = bam.get_tid(contig), place
                    read.mapping_quality, read.cigar = 60, [(0, LENGTH)]
                    read.query_qualities = pysam.qualitystring_to_array("I" * LENGTH)
                    read.next_reference_id = read.reference_id
                    read.next_reference_start = other if place == start else start
                    read.template_length = (other + LENGTH - start) * (1 if place == start else -1)
                    if tagged:
                        read.set_tag("XG", "CT" if strand == "+" else "GA")
                        read.set_tag("XR", "CT" if flag & 64 else "GA")
                    bam.write(read)


@pytest.fixture(scope="module")
def genomic(checkouts, tmp_path_factory):
    """A checkout with the study of ``PEOPLE`` genome libraries; nothing has run."""
    checkout = checkouts(tmp_path_factory.mktemp("genomic") / "checkout")
    folder, rng = checkout.folder / "study", np.random.default_rng(11)
    folder.mkdir()
    text = write_genome(folder, rng)
    levels = rng.uniform(0.05, 0.6, PEOPLE)
    rows = []
    for i, level in enumerate(levels, 1):
        write_bam(folder / f"G{i:02d}.bam", text, level, rng, tagged=i % 2 == 0)
        rows.append({"library_id": f"G{i:02d}", "participant_id": f"p{i:02d}", "timepoint": "once",
                     "assay": "genome", "panel": "study/panel", "bam": f"study/G{i:02d}.bam"})  # fmt: skip
    write_table(pd.DataFrame(rows), folder / "libraries.tsv")
    people = [{"participant_id": r["participant_id"], "role": "child", "arm": "ab"[i % 2], "level": level}
              for i, (r, level) in enumerate(zip(rows, levels))]  # fmt: skip
    write_table(pd.DataFrame(people), folder / "participants.tsv")
    config = {
        "sheets": {"libraries": "study/libraries.tsv", "participants": "study/participants.tsv"},
        "arms": ["a", "b"],
        "cohort": {"columns": {"level": "number"}},
        "methylation": {
            "depth_fail": 20, "depth_warn": 20, "depth_target": 20,
            "genome": {"fasta": "study/genome.fa", "spike_in": "lambda", "all_cpgs": True},
        },
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return checkout


@pytest.fixture(scope="module")
def called(genomic):
    """The same after methylation and cohort have run."""
    genomic.snakemake(*CONFIG, "--", "methylation", "cohort", in_process=True)
    return genomic


def test_truth_lies_in_the_intervals_as_often_as_they_say(called):
    table = read_table(called.folder / "results" / "cohort" / "analysis.tsv")
    inside = (table["region_mean_beta_low"] <= table["level"]) & (table["level"] <= table["region_mean_beta_high"])
    assert len(table) == PEOPLE and inside.sum() >= binom.ppf(0.001, PEOPLE, 0.95)
    error = table["region_mean_beta"] - table["level"]
    assert error.abs().max() < 0.05 and abs(error.mean()) < 0.01
    assert table["methylation_verdict"].ne("fail").all()


def test_conversion_comes_from_the_spike_in_and_duplicates_are_gone(called):
    for path in sorted((called.folder / "results" / "methylation" / "genome").glob("*.tsv")):
        row = read_table(path).iloc[0]
        # 55 pairs stand twice; a few more begin and end alike by chance.
        assert row["control"] == "lambda" and 2 * 55 <= row["duplicates"] <= 2 * 80
        assert row["conversion_percent"] == pytest.approx(100 * (1 - E), abs=0.2)
        assert row["passed"] + row["duplicates"] == row["reads_in"] == 2 * 1155
        with gzip.open(called.folder / "results" / "methylation" / "all_cpgs" / f"{path.stem}.tsv.gz", "rt") as handle:
            every = pd.read_csv(handle, sep="\t")
        assert set(every["chrom"]) == {"chr1"} and len(every) == row["cpgs"]
    libraries = read_table(called.folder / "results" / "methylation" / "libraries.tsv")
    assert libraries["non_conversion"].mean() == pytest.approx(E, abs=0.001)


def test_tables_are_as_their_schemas_say(called, root):
    import jsonschema

    for name, path in (("genome", "genome/G01"), ("reads", "reads/G01"), ("counts", "counts/G01")):
        schema = yaml.safe_load((root / "workflow" / "schemas" / f"methylation_{name}.schema.yaml").read_text())
        table = read_table(called.folder / "results" / "methylation" / f"{path}.tsv")
        assert list(table.columns) == list(schema["properties"]), name
        for row in table.astype(object).where(table.notna(), None).to_dict("records"):
            jsonschema.validate(row, schema)


def test_what_is_wrong_is_said_before_anything_starts(genomic, tmp_path):
    checkout = genomic.copy_to(tmp_path / "checkout")
    folder = checkout.folder / "study"
    (folder / "G03.bam").write_bytes((folder / "G03.bam").read_bytes()[:5000])
    sheet = read_table(folder / "libraries.tsv")
    sheet["fastq_1"] = None
    sheet.loc[4, ["bam", "fastq_1"]] = [None, "study/reads.fastq.gz"]
    with gzip.open(folder / "reads.fastq.gz", "wt") as handle:
        handle.write("@r\nACGT\n+\nIIII\n")
    write_table(sheet, folder / "libraries.tsv")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["methylation"]["genome"]["spike_in"] = "phage"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    plain = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not shutil.which("bsbolt", path=p))
    done = checkout.snakemake(*CONFIG, "--dry-run", ok=False, PATH=plain)
    said = done.stdout + done.stderr
    assert "study/G03.bam: cannot be read as BAM or CRAM: it is none, or damaged or cut short" in said
    assert "the program bsbolt is not installed; install bsbolt" in said
    assert "methylation.genome.spike_in: 'phage' is no contig of the genome" in said
    (folder / "genome.fa").write_text(">chr1\n" + "ACGT" * 1000 + "\n>lambda\n" + "A" * 3000 + "\n")
    (folder / "genome.fa.fai").unlink(missing_ok=True)
    done = checkout.snakemake(*CONFIG, "--dry-run", ok=False, PATH=plain)
    assert "give a genome of the panel's build" in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("bsbolt") is None, reason="the aligner bsbolt is not installed")
def test_fastq_are_aligned_here_where_the_aligner_is_installed(genomic, tmp_path):
    checkout = genomic.copy_to(tmp_path / "checkout")
    folder = checkout.folder / "study"
    with pysam.AlignmentFile(str(folder / "G01.bam")) as bam:
        mates = {64: [], 128: []}
        for read in bam:
            mates[read.flag & 192].append(read)
    for number, reads in enumerate(mates.values(), 1):
        with gzip.open(folder / f"G01_R{number}.fastq.gz", "wt") as handle:
            for read in sorted(reads, key=lambda r: r.query_name):
                # As a sequencer reads on through a molecule that is shorter than the read.
                bases = read.get_forward_sequence() + "AGATCGGAAGAGCACACGTCTG"
                handle.write(f"@{read.query_name}\n{bases}\n+\n{'I' * len(bases)}\n")
    sheet = read_table(folder / "libraries.tsv").iloc[:1].assign(
        bam=None, fastq_1="study/G01_R1.fastq.gz", fastq_2="study/G01_R2.fastq.gz"
    )  # fmt: skip
    write_table(sheet, folder / "libraries.tsv")
    write_table(read_table(folder / "participants.tsv").iloc[:1], folder / "participants.tsv")
    checkout.snakemake(*CONFIG, "--", "results/methylation/indices.tsv", in_process=True)
    row = read_table(checkout.folder / "results" / "methylation" / "indices.tsv").iloc[0]
    true = read_table(folder / "participants.tsv")["level"].iloc[0]
    assert row["region_mean_beta_low"] <= true <= row["region_mean_beta_high"]
    told = read_table(checkout.folder / "results" / "methylation" / "aligned" / "G01.tsv").iloc[0]
    assert told["with_adapter_1"] == told["with_adapter_2"] == told["reads_in"] and told["too_short"] == 0
