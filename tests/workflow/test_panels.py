"""A study of two panels that are nothing but rows: multiplexed amplicons, single-end reads, both strands of the DNA."""

import subprocess
import sys
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import yaml

from hpaxis.methylation.panels.panel import make_panel, read_panel, write_panel
from hpaxis.simulation.reads import (
    COMPLEMENT,
    Amplicon,
    Chemistry,
    Library,
    panel_amplicon,
    random_stream,
    simulate_reads,
    write_fastq,
)
from hpaxis.tables import read_table, write_table

pytestmark = pytest.mark.workflow
PEOPLE, PAIRS = 8, 900


def sequence(rng, length, site=24):
    """Genomic bases with CpGs between the primer sites, none within them."""
    inner = "".join(rng.choice(list("ACGT"), length - 2 * site, p=[0.27, 0.22, 0.24, 0.27]))
    ends = ["".join(rng.choice(list("ACT" if i else "AGT"), site)) for i in range(2)]
    return ends[0] + "A" + inner[1:-1] + "A" + ends[1]


def other_strand(amplicon):
    """The same product as PCR makes it of the other strand."""
    offsets = np.sort(amplicon.sequence.size - 2 - amplicon.offsets)
    return Amplicon(amplicon.name, COMPLEMENT[amplicon.sequence][::-1], amplicon.cpg_ids[::-1], offsets, None)


@pytest.fixture(scope="module")
def measured(checkouts, tmp_path_factory):
    """Every person has a library of either panel; methylation has run."""
    checkout = checkouts(tmp_path_factory.mktemp("panels") / "checkout")
    folder, rng = checkout.folder / "study", np.random.default_rng(21)
    folder.mkdir()
    texts = {name: sequence(rng, length) for name, length in (("one", 230), ("two", 260), ("free", 200))}
    (folder / "multiplex.fa").write_text("".join(f">{n}\n{texts[n]}\n" for n in ("one", "two")))
    (folder / "free.fa").write_text(f">free\n{texts['free']}\n")
    primers = ["amplicon\tforward_primer\treverse_primer"]
    for name in ("one", "two"):
        converted = texts[name].replace("C", "T")
        last = converted[-24:].translate(str.maketrans("ACGT", "TGCA"))[::-1]
        primers.append(f"{name}\t{converted[:24]}\t{last}")
    (folder / "primers.tsv").write_text("\n".join(primers) + "\n")
    write_panel(make_panel(folder / "multiplex.fa", folder / "primers.tsv"), folder / "multiplex")
    write_panel(make_panel(folder / "free.fa"), folder / "free")
    for panel, index in (("multiplex", "region_mean"), ("free", "free_mean")):
        indices = read_table(folder / panel / "indices.tsv", text=("index",)).assign(index=index)
        write_table(indices, folder / panel / "indices.tsv")
    panels = {name: read_panel(folder / name) for name in ("multiplex", "free")}
    one, two = (panel_amplicon(panels["multiplex"], name) for name in ("one", "two"))
    free = panel_amplicon(panels["free"])
    rows, truth = [], []
    for i, level in enumerate(rng.uniform(0.05, 0.5, PEOPLE)):
        for name, parts in (("multiplex", (one, two)), ("free", (free, other_strand(free)))):
            library = f"{name}{i}"
            blocks = chain.from_iterable(
                simulate_reads(
                    part, Library(library, np.full(len(part.offsets), level), PAIRS, non_conversion=0.004),
                    random_stream(3, library, place), chemistry=Chemistry(indels=0, low_quality=0.02),
                ) for place, part in enumerate(parts)
            )  # fmt: skip
            files = [folder / f"{library}_R{mate}.fastq.gz" for mate in (1, 2)]
            write_fastq(blocks, *files)
            given = [f"study/{path.name}" for path in files[: 1 if name == "free" else 2]]
            rows.append((library, f"p{i}", "once", f"study/{name}", *given, *[None] * (2 - len(given)), 50.0))
        truth.append((f"p{i}", "child", "ab"[i % 2], level))
    columns = ["library_id", "participant_id", "timepoint", "panel", "fastq_1", "fastq_2", "input_ng"]
    write_table(pd.DataFrame(rows, columns=columns), folder / "libraries.tsv")
    write_table(pd.DataFrame(truth, columns=["participant_id", "role", "arm", "level"]), folder / "participants.tsv")
    config = {
        "sheets": {"libraries": "study/libraries.tsv", "participants": "study/participants.tsv"}, "arms": ["a", "b"],
        "cohort": {"columns": {"level": "number"}}, "methylation": {"second_caller_molecules": 500},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    checkout.snakemake("--configfile", "study/config.yaml", "--", "methylation", "cohort", in_process=True)
    return checkout


def test_both_panels_give_the_true_level_of_every_person(measured):
    table = read_table(measured.folder / "results" / "cohort" / "analysis.tsv")
    assert len(table) == PEOPLE
    for index in ("region_mean", "free_mean"):
        error = table[f"{index}_beta"] - table["level"]
        z = error / table[f"{index}_beta_se"]
        # Each lies within 4 standard errors, and they scatter about the truth as errors do.
        assert z.abs().max() < 4 and abs(z.mean()) < 1.3, (index, z.tolist())
        assert error.abs().max() < 0.03


def test_each_amplicon_and_strand_is_counted(measured):
    results = measured.folder / "results" / "methylation"
    for i in range(PEOPLE):
        counts = read_table(results / "counts" / f"multiplex{i}.tsv")
        depth = counts.groupby("amplicon")["depth"].median()
        assert depth.index.tolist() == ["one", "two"] and depth.between(0.85 * PAIRS, PAIRS).all()
        reads = read_table(results / "reads" / f"multiplex{i}.tsv").iloc[0]
        assert reads["pairs_in"] == 2 * PAIRS and min(reads["forward"], reads["reverse"]) > 0.4 * reads["passed"]
        reads = read_table(results / "reads" / f"free{i}.tsv").iloc[0]
        assert reads["pairs_in"] == 2 * PAIRS and reads["merged"] == 0
        # Single-end reads of both strands of the DNA, from either end: all count.
        assert reads["passed"] > 0.85 * reads["pairs_in"]
        assert min(reads["forward"], reads["reverse"]) > 0.4 * reads["passed"]


def test_the_second_caller_agrees_on_both_panels(measured):
    table = read_table(measured.folder / "results" / "methylation" / "concordance.tsv")
    assert len(table) == 2 * PEOPLE and table["difference"].abs().max() < 0.001
    # A sample of each library, to the call: what a molecule says does not depend on who else is in the sample.
    assert (table["compared"] == 500).all() and (table["passed"] > 700).all()
    assert (table["hpaxis_depth"].between(400, 500) | (table["library_id"].str.startswith("multiplex"))).all()
    assert table["discordant_calls"].sum() == 0


def test_a_folder_outside_the_repository_runs_through_the_same_rules(root, real_data, tmp_path):
    """Real amplicons of known methylation, overlapping, of unknown primers, with a panel made of their FASTA."""
    command = [
        sys.executable,
        "-m",
        "hpaxis",
        "real",
        str(real_data / "brca1_amplicons"),
        "--out",
        str(tmp_path / "real"),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    table = read_table(tmp_path / "real" / "estimates.tsv").set_index("library_id")
    # Eight other callers read .33 to .78 and 92.6 to 96.6 % of these two libraries.
    assert 0 <= table.loc["brca1_000pct", "weighted_percent"] <= 0.8
    assert 92.5 <= table.loc["brca1_100pct", "weighted_percent"] <= 96.7
    assert table["cpgs"].tolist() == [51, 51] and table["used_percent"].between(76, 82).all()
