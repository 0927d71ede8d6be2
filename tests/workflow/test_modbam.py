"""Native reads (MM and ML tags) from the sheet to the report: a small study with unmethylated controls."""

from array import array

import numpy as np
import pandas as pd
import pysam
import pytest
import yaml

from hpaxis.methylation.panels.panel import make_panel, write_panel
from hpaxis.tables import read_table, write_table

pytestmark = pytest.mark.workflow
PEOPLE, CONTROLS, READS = 8, 3, 70
# The basecaller: what it falsely calls methylated, and misses; both with high probabilities, as they do.
FALSE, MISSED = 0.03, 0.05
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def write_native(path, text, level, rng):
    """Long reads of either strand with a deletion each; every CpG drawn alone, called 5mC with errors.

    MM counts cytosines along the molecule as it was sequenced, so backwards for reads of the minus strand.
    """
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": len(text)}]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for i in range(READS):
            start, end = int(rng.integers(0, 1400)), int(rng.integers(2000, 3900))
            cut = int(rng.integers(start + 50, end - 50))
            minus = rng.random() < 0.5
            bases = text[start:cut] + text[cut + 3 : end]
            seen = bases.translate(COMPLEMENT)[::-1] if minus else bases
            skips, chances, skipped = [], [], 0
            for at, base in enumerate(seen):
                if base != "C":
                    continue
                if seen[at + 1 : at + 2] != "G":
                    skipped += 1
                    continue
                called = rng.random() < (1 - MISSED if rng.random() < level else FALSE)
                skips.append(skipped)
                chances.append(int(rng.integers(235, 256) if called else rng.integers(0, 15)))
                skipped = 0
            read = pysam.AlignedSegment(bam.header)
            read.query_name, read.flag, read.query_sequence = f"r{i}", 16 if minus else 0, bases
            read.reference_id, read.reference_start, read.mapping_quality = 0, start, 60
            read.cigar = [(0, cut - start), (2, 3), (0, end - cut - 3)]
            read.query_qualities = pysam.qualitystring_to_array("5" * len(bases))
            read.set_tag("MM", "C+m?" + "".join(f",{s}" for s in skips) + ";")
            read.set_tag("ML", array("B", chances))
            bam.write(read)


@pytest.fixture(scope="module")
def native(checkouts, tmp_path_factory):
    checkout = checkouts(tmp_path_factory.mktemp("native") / "checkout")
    folder, rng = checkout.folder / "study", np.random.default_rng(5)
    folder.mkdir()
    text = "".join(rng.choice(list("ACGT"), 4000))
    (folder / "genome.fa").write_text(f">chr1\n{text}\n")
    (folder / "region.fa").write_text(f">toy_chr1_1501_1900\n{text[1500:1900]}\n")
    write_panel(make_panel(folder / "region.fa"), folder / "panel")
    levels, rows, people = rng.uniform(0.1, 0.6, PEOPLE), [], []
    for i, level in enumerate([*levels, *[0.0] * CONTROLS]):
        name, person = f"N{i:02d}", f"p{i:02d}" if i < PEOPLE else None
        write_native(folder / f"{name}.bam", text, level, rng)
        rows.append({"library_id": name, "participant_id": person, "timepoint": "once" if person else None,
                     "assay": "genome", "chemistry": "native", "kind": "study" if person else "control_0",
                     "panel": "study/panel", "bam": f"study/{name}.bam"})  # fmt: skip
        if person:
            people.append({"participant_id": person, "role": "child", "arm": "ab"[i % 2], "level": level})
    write_table(pd.DataFrame(rows), folder / "libraries.tsv")
    write_table(pd.DataFrame(people), folder / "participants.tsv")
    config = {
        "sheets": {"libraries": "study/libraries.tsv", "participants": "study/participants.tsv"},
        "arms": ["a", "b"],
        "cohort": {"columns": {"level": "number"}},
        "methylation": {"depth_fail": 20, "depth_warn": 20, "depth_target": 20,
                        "genome": {"fasta": "study/genome.fa"}},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    checkout.snakemake("--configfile", "study/config.yaml", "--", "results/report/report.html", in_process=True)
    return checkout, levels


def test_levels_are_those_drawn_and_what_the_basecaller_adds_is_the_limit_of_blank(native):
    checkout, levels = native
    results = checkout.folder / "results"
    libraries = read_table(results / "methylation" / "libraries.tsv").set_index("library_id")
    people = libraries[libraries["kind"] == "study"]
    # Without a 100 % control nothing is taken off: what is called is level × (1 - missed) + (1 - level) × false.
    called = levels * (1 - MISSED) + (1 - levels) * FALSE
    z = (people["region_mean_beta"].to_numpy() - called) / people["region_mean_beta_se"].to_numpy()
    assert np.abs(z).max() < 4 and abs(z.mean()) < 1.1 and (people["passed"] == READS).all()
    limits = read_table(results / "methylation" / "limits.tsv").set_index("index")
    blanks = libraries.loc[libraries["kind"] == "control_0", "region_mean_beta"]
    assert blanks.mean() == pytest.approx(FALSE, abs=0.01)
    row = limits.loc["region_mean"]
    assert row["n_blanks"] == CONTROLS and row["blank_mean"] == pytest.approx(blanks.mean())
    assert row["lob"] == pytest.approx(row["blank_mean"] + 1.645 * row["blank_sd"]) and row["blank_sd"] >= blanks.std()
    page = (results / "report" / "report.html").read_text()
    assert "what the basecaller falsely calls methylated is not taken off" in page
