"""Alleles, genotypes and what they say of samples, against simulated truth; and that genotypes stay where they are."""

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import binomtest

from hpaxis.methylation.assays.release import release_tables
from hpaxis.methylation.counting import alleles as alleles_module
from hpaxis.methylation.counting.bam import BamWriter
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.levels.genotypes import (
    COLUMNS,
    IDENTITY,
    VARIANT,
    call_genotypes,
    identity_table,
    identity_warnings,
    phased_methylation,
)
from hpaxis.methylation.panels.panel import read_panel, write_panel
from hpaxis.tables import read_table, write_table

KEYS = [("a", "chr1", pos, "A", "G") for pos in (101, 202, 303, 404, 505)]


def masked(bench, *rows, primers=True):
    folder = bench.folder / f"masked_{primers}"
    write_panel(bench.panel(primers=primers), folder)
    lines = [f"chr1\t{1001 + offset}\t{bench.reference[offset]}\t{alt}\t0.3\tmade up" for offset, alt in rows]
    header = "chrom\tpos\tref\talt\tallele_frequency\tsource"
    (folder / "snp_mask.tsv").write_text("\n".join([header, *lines]) + "\n")
    return read_panel(folder)


def put(text, offset, base):
    return text[:offset] + base + text[offset + 1 :]


def plain_a(bench):
    """An A in no CpG and beside none."""
    return next(
        i for i in range(50, 110)
        if bench.reference[i] == "A" and bench.reference[i - 1] != "C" and bench.reference[i + 1] != "G"
    )  # fmt: skip


def counts(calls):
    table = calls.alleles
    return table[table["cpg_id"].isna()].set_index(["pos", "allele"])["molecules"].to_dict()


def test_methylation_is_told_apart_by_allele(bench):
    at = plain_a(bench)
    panel = masked(bench, (at, "G"))
    pairs = [bench.pair(bench.molecule((0, 3)))] * 30 + [bench.pair(put(bench.molecule(), at, "G"))] * 25
    pairs += [bench.pair(put(bench.molecule(), at, "T"))] * 2
    pairs.append(bench.pair(bench.molecule((), bench.others)))  # not converted: it tells of nothing
    calls = count_library(bench.write(pairs), panel, "L1")
    assert counts(calls) == {(1001 + at, "ref"): 30, (1001 + at, "alt"): 25, (1001 + at, "other"): 2}
    genotypes = call_genotypes(calls.alleles)
    assert genotypes["genotype"].tolist() == ["0/1"] and genotypes["error"].iloc[0] < 1e-6
    phased = phased_methylation(calls.alleles, genotypes).set_index(["allele", "cpg_id"])
    for i in range(7):
        one, two = phased.loc[("ref", f"CpG{i + 1}")], phased.loc[("alt", f"CpG{i + 1}")]
        assert (one["methylated"], one["unmethylated"]) == ((30, 0) if i in (0, 3) else (0, 30))
        assert (two["methylated"], two["unmethylated"]) == (0, 25)
    homozygous = count_library(bench.write(pairs[:30]), panel, "L1").alleles
    assert phased_methylation(homozygous, call_genotypes(homozygous)).empty


def test_alleles_are_counted_by_family_where_there_are_umis(bench):
    """A family shows the allele of most of its molecules, and its own majority of CpGs; a tie shows none."""
    at = next(i for i in range(60, 90) if bench.reference[i] == "A")
    panel = masked(bench, (at, "G"))
    plain, other = bench.molecule((0,)), put(bench.molecule(), at, "G")
    families = {"AAAAAAAA": [plain] * 5 + [put(plain, at, "G")], "CCCCCCCC": [other] * 3, "GGGGGGGG": [plain, other],
                "TTTTTTTT": [put(plain, at, "T")], "ACACACAC": [bench.molecule((), bench.others)]}  # fmt: skip
    pairs = [bench.pair(m) for molecules in families.values() for m in molecules]
    umis = [umi for umi, molecules in families.items() for _ in molecules]
    pairs = [((umi + a, "I" * 8 + q), mate) for umi, ((a, q), mate) in zip(umis, pairs, strict=True)]
    with BamWriter(bench.folder / "families.bam", panel.references, "L1") as bam:
        calls = count_library(bench.write(pairs), panel, "L1", umi="NNNNNNNN", sink=bam.add_families)
    assert calls.reads["umi_families"].iloc[0] == 4  # one failed to convert
    assert counts(calls) == {(1001 + at, "ref"): 1, (1001 + at, "alt"): 1, (1001 + at, "other"): 1}
    first = calls.alleles[calls.alleles["cpg_id"] == "CpG1"].set_index("allele")
    assert first["methylated"].to_dict() == {"ref": 1, "alt": 0, "other": 1}
    assert first["unmethylated"].to_dict() == {"ref": 0, "alt": 1, "other": 0}


def test_a_cytosine_allele_is_told_converted_or_not_and_c_from_t_is_not(bench):
    """C>A is seen, whether the C was converted or stayed; C>T is hidden, and stays out."""
    c_to_a, c_to_t = bench.others[2], bench.others[5]
    panel = masked(bench, (c_to_a, "A"), (c_to_t, "T"))
    pairs = [bench.pair(bench.molecule()), bench.pair(bench.molecule((), [c_to_a])),
             bench.pair(put(bench.molecule(), c_to_a, "A"))]  # fmt: skip
    calls = count_library(bench.write(pairs), panel, "L1")
    assert counts(calls) == {(1001 + c_to_a, "ref"): 2, (1001 + c_to_a, "alt"): 1, (1001 + c_to_a, "other"): 0}
    assert calls.alleles.groupby("allele")["bases"].first().to_dict() == {"ref": 2, "alt": 1, "other": 1}


def test_on_the_bottom_strand_c_from_t_is_seen(bench):
    at = bench.others[5]
    panel = masked(bench, (at, "T"), primers=False)
    opposite = bench.reverse_complement(bench.reference)
    molecules = [opposite, bench.reverse_complement(put(bench.reference, at, "T"))]
    pairs = [bench.pair(bench.reverse_complement(bench.convert(m))) for m in molecules]
    calls = count_library(bench.write(pairs), panel, "L1")
    assert counts(calls) == {(1001 + at, "ref"): 1, (1001 + at, "alt"): 1, (1001 + at, "other"): 0}


def test_the_order_of_strands_changes_nothing(bench):
    """A C reads as C or T on the top strand, and as C on the bottom."""
    panel = masked(bench, (plain_a(bench), "C"), primers=False)
    opposite = bench.reverse_complement(bench.reference)
    pairs = [bench.pair(bench.convert(bench.reference)), bench.pair(bench.reverse_complement(bench.convert(opposite)))]
    one, two = (count_library(bench.write(p), panel, "L1", chunk_bytes=300).alleles for p in (pairs, pairs[::-1]))
    assert one.equals(two) and one["bases"].unique().tolist() == [1, 2]


def test_without_a_mask_there_is_an_empty_table(bench):
    calls = count_library(bench.write([bench.pair(bench.molecule())]), bench.panel(), "L1")
    assert list(calls.alleles.columns) == list(alleles_module.COLUMNS) and calls.alleles.empty
    assert call_genotypes(calls.alleles).empty


def library(dosage, rng, depth=300, carried=0.0, pool=0.5, error=0.001, imbalance=0.04):
    """Allele counts at `KEYS` of a genotype (alternate alleles each), with carry-over from a pool and errors."""
    rows = []
    for key, alt in zip(KEYS, dosage, strict=True):
        share = {0: 0.0, 2: 1.0}.get(alt, np.clip(rng.normal(0.5, imbalance), 0, 1))
        share = (1 - carried) * share + carried * pool
        # A wrong base is one of three; one of them is the other allele.
        shown = rng.multinomial(depth, [(1 - share) * (1 - error) + share * error / 3,
                                        share * (1 - error) + (1 - share) * error / 3, error * 2 / 3])  # fmt: skip
        rows += [(*key, allele, bases, None, int(n), None, None)
                 for allele, bases, n in zip(alleles_module.ALLELES, (1, 1, 2), shown, strict=True)]  # fmt: skip
    return pd.DataFrame(rows, columns=list(alleles_module.COLUMNS))


@pytest.mark.long
def test_genotypes_are_right_as_often_as_they_say():
    rng = np.random.default_rng(1)
    wrong = called = total = 0
    for _ in range(400):
        dosage = rng.binomial(2, 0.4, len(KEYS))
        found = call_genotypes(library(dosage, rng, depth=int(rng.integers(20, 400)), carried=0.01))
        genotype = found["genotype"].map({"0/0": 0, "0/1": 1, "1/1": 2})
        wrong += int((genotype.dropna().to_numpy() != dosage[genotype.notna()]).sum())
        called, total = called + int(genotype.notna().sum()), total + len(KEYS)
    assert called > 0.98 * total
    assert wrong <= 0.002 * called
    shallow = call_genotypes(library([0, 1, 2, 0, 1], rng, depth=15))
    assert shallow["genotype"].isna().all() and shallow["depth"].max() <= 15


def dyads(rng, number, swap=()):
    """Parents and their children, frequency .4 at five unlinked variants; those in ``swap`` have a stranger's child."""
    alleles, people = {}, {}
    for i in range(number):
        parent = rng.binomial(1, 0.4, (2, len(KEYS)))
        child = rng.binomial(1, 0.4, (2, len(KEYS)))
        if i not in swap:
            child[0] = np.where(rng.random(len(KEYS)) < 0.5, parent[0], parent[1])
        for role, genotype in (("parent", parent), ("child", child)):
            name = f"{role}{i:03d}"
            alleles[name], people[name] = library(genotype.sum(axis=0), rng), (name, f"d{i}", role)
    return alleles, people


def flags_of(alleles, people):
    genotypes = {name: call_genotypes(table) for name, table in alleles.items()}
    return identity_table(genotypes, alleles, people).set_index("library_id")


@pytest.mark.long
def test_parents_and_children_are_not_flagged_and_strangers_are_as_often_as_can_be():
    """A stranger is the opposite homozygote at one of five variants with chance 1 - (1 - 2 q² p²)^5, p = .4: .45."""
    rng = np.random.default_rng(2)
    alleles, people = dyads(rng, 150, swap=range(75))
    found = flags_of(alleles, people)
    flagged = found["flags"].notna()
    assert not flagged[[f"{role}{i:03d}" for role in ("parent", "child") for i in range(75, 150)]].any()
    strangers = int(flagged[[f"child{i:03d}" for i in range(75)]].sum())
    expected = 1 - (1 - 2 * 0.6**2 * 0.4**2) ** 5
    assert binomtest(strangers, 75, expected).pvalue > 0.001
    assert set(found["flags"].dropna()) == {"not_parent_and_child"} and (found["n_compared"] == 5).all()
    reasons = identity_warnings(found.reset_index())
    assert set(reasons) == set(found.index[flagged])
    assert "not parent and child, or swapped samples" in next(iter(reasons.values()))[0]


def test_two_libraries_of_one_person_must_agree():
    rng = np.random.default_rng(3)
    tables = {"A1": library([0, 1, 2, 0, 1], rng), "A2": library([0, 1, 2, 0, 1], rng, depth=60),
              "B1": library([0, 1, 2, 0, 1], rng), "B2": library([0, 1, 1, 0, 2], rng),
              "C": library([2] * 5, rng)}  # fmt: skip
    people = {name: (name[0], None, None) for name in tables}
    found = flags_of(tables, people)["flags"]
    assert found.dropna().to_dict() == {"B1": "another_person", "B2": "another_person"}


@pytest.mark.parametrize("carried", [0.0, 0.01, 0.05])
def test_carry_over_is_what_was_carried_over(carried):
    """Mean over 60 libraries within four standard errors; the interval holds the truth at about its rate."""
    rng = np.random.default_rng(4)
    dosage = [rng.binomial(2, 0.5, len(KEYS)) for _ in range(60)]
    tables = {f"L{i:02d}": library(d, rng, depth=1000, carried=carried, pool=0.5) for i, d in enumerate(dosage)}
    found = flags_of(tables, {})
    share = found["carry_over"].dropna()
    assert len(share) > 50
    # The pool's frequency is itself estimated from the other libraries.
    assert share.mean() == pytest.approx(carried, abs=4 * share.std() / len(share) ** 0.5 + 0.05 * carried + 2e-4)
    held = found["carry_over_low"].le(carried + 0.1 * carried) & found["carry_over_high"].ge(carried - 0.1 * carried)
    assert held[share.index].mean() > 0.85


def test_genotypes_leave_neither_the_release_nor_the_identity_table(bench):
    at = plain_a(bench)
    panel = masked(bench, (at, "G"))
    pairs = [bench.pair(bench.molecule())] * 30 + [bench.pair(put(bench.molecule(), at, "G"))] * 30
    calls = count_library(bench.write(pairs), panel, "L1")
    genotypes = {"L1": call_genotypes(calls.alleles)}
    shared = [*release_tables({"L1": calls}).values(), identity_table(genotypes, {"L1": calls.alleles}, {})]
    text = "\n".join(table.to_csv(sep="\t") for table in shared)
    # The search does find them where they are.
    private = calls.alleles.to_csv(sep="\t") + genotypes["L1"].to_csv(sep="\t")
    for word in (f"\t{1001 + at}\t", "0/1", "alt"):
        assert word in private and word not in text, word


def test_no_rule_takes_from_the_private_folder_but_those_that_make_it(root):
    """Report, crate, bundle, release and cohort never name it; what enters the estimate is the table of flags."""
    for path in sorted((root / "workflow" / "rules").glob("*.smk")):
        for rule in path.read_text(encoding="utf-8").split("\nrule ")[1:]:
            name, _, body = rule.partition(":")
            body = "\n".join(line for line in body.splitlines() if not line.startswith("#"))
            inputs = body.split("    output:")[0] if "    output:" in body else body
            if name != "call_genotypes":
                assert "private" not in inputs and "output.genotypes" not in body and "output.phased" not in body, name
            if name not in ("count_amplicon_reads", "call_genotypes", "estimate_methylation"):
                assert "private" not in body, name
    for module in sorted((root / "scripts" / "hpaxis" / "report").glob("*.py")):
        text = module.read_text(encoding="utf-8")
        assert "methylation/private" not in text and "genotypes" not in text, module.name


@pytest.mark.parametrize("name", ["alleles", "genotypes", "phased", "identity"])
def test_tables_are_as_their_schemas_say(bench, root, name):
    schema = yaml.safe_load((root / "workflow" / "schemas" / f"methylation_{name}.schema.yaml").read_text())
    at = plain_a(bench)
    panel = masked(bench, (at, "G"))
    pairs = [bench.pair(bench.molecule())] * 30 + [bench.pair(put(bench.molecule(), at, "G"))] * 30
    calls = count_library(bench.write(pairs), panel, "L1")
    genotypes = call_genotypes(calls.alleles)
    table = {
        "alleles": calls.alleles,
        "genotypes": genotypes.assign(library_id="L1")[list(COLUMNS)],
        "phased": phased_methylation(calls.alleles, genotypes).assign(library_id="L1")[
            ["library_id", *alleles_module.COLUMNS]
        ],
        "identity": identity_table({"L1": genotypes}, {"L1": calls.alleles}, {})[list(IDENTITY)],
    }[name]
    assert len(table) and list(table.columns) == list(schema["properties"])
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        jsonschema.validate({k: v.item() if hasattr(v, "item") else v for k, v in row.items()}, schema)
    assert set(VARIANT) <= set(calls.alleles.columns)


def test_tables_on_disk_give_the_same_genotypes(bench, tmp_path):
    at = plain_a(bench)
    panel = masked(bench, (at, "G"))
    pairs = [bench.pair(bench.molecule())] * 30 + [bench.pair(put(bench.molecule((1,)), at, "G"))] * 30
    calls = count_library(bench.write(pairs), panel, "L1")
    write_table(calls.alleles, tmp_path / "L1.tsv")
    again = read_table(tmp_path / "L1.tsv", text=("ref", "alt", "allele"))
    genotypes = call_genotypes(again)
    pd.testing.assert_frame_equal(genotypes, call_genotypes(calls.alleles), check_dtype=False)
    assert genotypes["genotype"].tolist() == ["0/1"]
    phased = phased_methylation(again, genotypes).set_index(["allele", "cpg_id"])["methylated"]
    assert phased["alt", "CpG2"] == 30 and phased.sum() == 30
    empty = count_library(bench.write(pairs), bench.panel(), "L1").alleles
    write_table(empty, tmp_path / "L2.tsv")
    nothing = call_genotypes(read_table(tmp_path / "L2.tsv", text=("ref", "alt", "allele")))
    both = {"L1": genotypes, "L2": nothing}
    found = identity_table(both, {"L1": again, "L2": empty}, {"L1": ("p", None, None), "L2": ("p", None, None)})
    assert found["n_variants"].tolist() == [1, 0] and found["flags"].isna().all()
