"""A study whose panel has an SNP mask, from reads to flags: genotypes, swapped samples, methylation by allele."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd
import pytest
import yaml

from hpaxis.methylation.panels.panel import make_panel, read_panel, write_panel
from hpaxis.simulation.reads import Chemistry, Library, panel_amplicon, random_stream, simulate_reads, write_fastq
from hpaxis.tables import read_table, write_table

pytestmark = pytest.mark.workflow
PAIRS = 400  # of each allele
START = 1001
# Both alleles of each person at three variants. The child of dyad 3 shares no allele with its parent at the first; the
# second library of p1 is of somebody else.
PEOPLE = {
    "c1": ("d1", "child", ("000", "010")), "p1": ("d1", "parent", ("000", "100")),
    "c2": ("d2", "child", ("110", "001")), "p2": ("d2", "parent", ("110", "000")),
    "c3": ("d3", "child", ("110", "100")), "p3": ("d3", "parent", ("000", "011")),
}  # fmt: skip
SOMEBODY = ("111", "111")
# Methylation of c2's alleles; everyone else has the first on both.
LEVELS = (0.05, 0.40)


def amplicon_text():
    """250 bases with a CpG in each stretch of 25, and three bases whose change neither makes nor breaks a CpG."""
    rng = np.random.default_rng(5)
    stretch = ["TTAACGTATCTAGATTCATGAGTAA"[:20] + "".join(rng.choice(list("AT"), 5)) for _ in range(10)]
    return "".join(stretch)


@pytest.fixture(scope="module")
def measured(checkouts, tmp_path_factory):
    """Each person's library holds both alleles; methylation has run."""
    checkout = checkouts(tmp_path_factory.mktemp("variants") / "checkout")
    folder, text = checkout.folder / "study", amplicon_text()
    folder.mkdir()
    (folder / "gene.fa").write_text(f">gene_chr9_{START}_{START + len(text) - 1}\n{text}\n")
    plain = make_panel(folder / "gene.fa")
    # A that nothing changes to G, T or G; conversion of the strand that is seen hides none of them.
    places = [text.index("ATTCATG", after) for after in (50, 100, 175)]
    mask = pd.DataFrame({
        "chrom": "chr9", "pos": [START + i for i in places], "ref": "A", "alt": list("GTG"), "allele_frequency": 0.3,
        "source": "made for a test",
    })  # fmt: skip
    write_panel(replace(plain, snps=mask), folder / "gene")
    panel = read_panel(folder / "gene")
    amplicon = panel_amplicon(panel)
    rows = []
    libraries = [(name, name, PEOPLE[name][2]) for name in PEOPLE] + [("p1_again", "p1", SOMEBODY)]
    for library, person, alleles in libraries:
        blocks = []
        for i, allele in enumerate(alleles):
            sequence = amplicon.sequence.copy()
            for place, alt, has in zip(places, mask["alt"], allele):
                sequence[place] = ord(alt) if has == "1" else sequence[place]
            level = LEVELS[i if library == "c2" else 0]
            template = Library(library, np.full(len(amplicon.offsets), level), PAIRS, non_conversion=0.004)
            stream = random_stream(3, library, i)
            blocks.append(simulate_reads(replace(amplicon, sequence=sequence), template, stream,
                                         chemistry=Chemistry(indels=0, low_quality=0.02)))  # fmt: skip
        files = [folder / f"{library}_R{mate}.fastq.gz" for mate in (1, 2)]
        write_fastq(chain.from_iterable(blocks), *files)
        rows.append((library, person, "once", "study/gene", *(f"study/{path.name}" for path in files)))
    columns = ["library_id", "participant_id", "timepoint", "panel", "fastq_1", "fastq_2"]
    write_table(pd.DataFrame(rows, columns=columns), folder / "libraries.tsv")
    people = [(name, dyad, role, "ab"[i // 2 % 2]) for i, (name, (dyad, role, _)) in enumerate(PEOPLE.items())]
    columns = ["participant_id", "dyad_id", "role", "arm"]
    write_table(pd.DataFrame(people, columns=columns), folder / "participants.tsv")
    config = {
        "sheets": {"libraries": "study/libraries.tsv", "participants": "study/participants.tsv"}, "arms": ["a", "b"],
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    checkout.snakemake("--configfile", "study/config.yaml", "--", "methylation", in_process=True)
    return checkout.folder / "results" / "methylation"


def test_every_genotype_is_called(measured):
    table = read_table(measured / "private" / "genotypes.tsv", text=("genotype",))
    names = {0: "0/0", 1: "0/1", 2: "1/1"}
    known = {name: alleles for name, (_, _, alleles) in PEOPLE.items()} | {"p1_again": SOMEBODY}
    for library, alleles in known.items():
        found = table[table["library_id"] == library].sort_values("pos")["genotype"].tolist()
        assert found == [names[sum(int(a[i]) for a in alleles)] for i in range(3)], library


def test_those_who_cannot_be_kin_or_the_same_are_flagged_and_nobody_else(measured):
    flags = read_table(measured / "identity.tsv").set_index("library_id")["flags"]
    # p1_again is neither p1 nor a parent of c1.
    expected = {"p1": "another_person", "c1": "not_parent_and_child", "c3": "not_parent_and_child"}
    expected |= {"p3": "not_parent_and_child", "p1_again": "another_person;not_parent_and_child"}
    assert flags.dropna().to_dict() == expected
    libraries = read_table(measured / "libraries.tsv").set_index("library_id")
    assert "samples may be swapped" in libraries.loc["p1_again", "reasons"]
    assert "swapped" not in str(libraries.loc["c2", "reasons"])


def test_methylation_is_told_by_allele_where_it_differs(measured):
    table = read_table(measured / "private" / "phased.tsv")
    mine = table[(table["library_id"] == "c2") & (table["ref"] == "A")]
    first = mine[mine["pos"] == mine["pos"].min()]  # its first allele has the variant, its second the reference
    share = first.groupby("allele")[["methylated", "unmethylated"]].sum()
    level = share["methylated"] / share.sum(axis=1)
    # Some 390 molecules an allele at 10 CpGs: binomial errors of .0035 and .008, and what is left unconverted (.004).
    assert level["alt"] == pytest.approx(LEVELS[0], abs=0.02) and level["ref"] == pytest.approx(LEVELS[1], abs=0.03)


def test_genotypes_stay_in_the_private_folder(measured):
    public = [p for p in measured.rglob("*.tsv") if p.parent.name != "private" and "private" not in p.parts]
    assert public
    for path in public:
        text = path.read_text(encoding="utf-8")
        assert "0/1" not in text and "1/1" not in text, path.name
