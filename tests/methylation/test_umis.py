"""Unique molecular identifiers: families made by hand, errors in UMIs, and intervals that hold at few templates."""

from collections import Counter
from dataclasses import replace

import jsonschema
import numpy as np
import pandas as pd
import pysam
import pytest
import yaml
from scipy.stats import binomtest

from hpaxis.methylation.counting.bam import BamWriter
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.counting.umis import CODE, group_umis
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.panels.panel import panel_folder, read_panel
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults
from hpaxis.simulation.reads import Chemistry, Library, panel_amplicon, random_stream, simulate_reads, write_fastq

PANEL = read_panel(panel_folder("nr3c1_exon1f"))
AMPLICON = panel_amplicon(PANEL)
SETTINGS = with_defaults({}, load("config/methylation")) | {"depth_fail": 20}


def tagged(pair, umi, second=""):
    """The pair with a UMI at the start of read 1, and perhaps of read 2."""
    return tuple((u + bases, "I" * len(u) + quality) for u, (bases, quality) in zip((umi, second), pair, strict=True))


def levels(calls):
    return list(zip(calls.counts["methylated"], calls.counts["unmethylated"], calls.counts["other"], strict=True))


def code(text):
    return sum(int(CODE[ord(base)]) << 2 * i for i, base in enumerate(reversed(text)))


def families_of(*counted):
    umis = [umi for umi, n in counted for _ in range(n)]
    found = group_umis(np.array([code(u) for u in umis], dtype=np.uint64))
    return {frozenset(u for u, f in zip(umis, found, strict=True) if f == family) for family in set(found.tolist())}


def test_a_rare_umi_next_to_a_common_one_is_its_copy_and_so_on_down():
    found = families_of(("AAAAAA", 10), ("AAAAAT", 3), ("AAAATT", 2), ("GGGGGG", 5), ("GGGGGC", 5), ("CCCCCC", 1))
    assert found == {
        frozenset({"AAAAAA", "AAAAAT", "AAAATT"}),  # 10 >= 2 * 3 - 1 and 3 >= 2 * 2 - 1
        frozenset({"GGGGGG"}),  # 5 < 2 * 5 - 1: two templates that happen to be near
        frozenset({"GGGGGC"}),
        frozenset({"CCCCCC"}),
    }


def test_families_are_those_of_the_directional_network_written_out():
    """Against the rule applied pair by pair (Smith, Heger and Sudbery, 2017), on crowded random UMIs."""
    rng = np.random.default_rng(0)
    text = ["".join(rng.choice(list("ACGT"), 4)) for _ in range(60)]
    counts = {umi: int(n) for umi, n in zip(text, rng.geometric(0.15, 60), strict=True)}
    order = sorted(counts, key=lambda umi: (-counts[umi], code(umi)))
    near = {a: [b for b in counts if sum(x != y for x, y in zip(a, b, strict=True)) == 1
                and counts[a] >= 2 * counts[b] - 1] for a in counts}  # fmt: skip
    expected, taken = set(), set()
    for umi in order:
        if umi in taken:
            continue
        family, front = {umi}, [umi]
        while front:
            fresh = [b for b in near[front.pop()] if b not in family and b not in taken]
            family.update(fresh)
            front += fresh
        taken |= family
        expected.add(frozenset(family))
    assert families_of(*counts.items()) == expected
    assert max(map(len, expected)) > 2


@pytest.mark.parametrize("pattern", ["NNNNNN", "NNNN,NNNN", ",NNNNN", "name"])
def test_molecules_with_one_umi_count_once_by_their_majority(bench, pattern):
    """Two templates: one read five times, with a PCR error in two copies, one read once."""
    other = bench.others[0]
    true, wrong, lone = bench.molecule((0, 3)), bench.molecule((0, 2), [other]), bench.molecule((6,), [other])
    umis = [("ACGTAC", "GTCA")] * 5 + [("TTGCAT", "CCAG")]
    molecules = [true, true, wrong, true, wrong, lone]
    pairs, names = [], []
    for i, (molecule, (one, two)) in enumerate(zip(molecules, umis, strict=True)):
        pair = bench.pair(molecule, length=90)
        if pattern == "name":
            names.append(f"read{i}:1_{one}+{two}")
        else:
            first, _, second = pattern.partition(",")
            pair = tagged(pair, one[: len(first)], (two + "A")[: len(second)])
        pairs.append(pair)
    calls = count_library(bench.write(pairs, names=names or None), bench.panel(), "L1", umi=pattern)
    states = [(1, 1, 0), (0, 2, 0), (0, 2, 0), (1, 1, 0), (0, 2, 0), (0, 2, 0), (1, 1, 0)]
    assert levels(calls) == states
    row = calls.reads.iloc[0]
    assert (row["passed"], row["umi_families"], row["umi_single"], row["umi_unknown"]) == (6, 2, 1, 0)
    n = len(bench.others)
    assert sorted(calls.patterns[["pattern", "unconverted", "sites", "count"]].values.tolist()) == [
        ["0000001", 1, n, 1], ["1001000", 0, n, 1]
    ]  # fmt: skip
    assert sorted(calls.conversion[["unconverted", "sites", "count"]].values.tolist()) == [[0, n, 1], [1, n, 1]]


def test_without_umis_the_same_reads_are_as_many_molecules(bench):
    pairs = [bench.pair(bench.molecule((0,)))] * 4
    plain = count_library(bench.write(pairs), bench.panel(), "L1")
    assert levels(plain)[0] == (4, 0, 0)
    assert plain.reads[["umi_families", "umi_single", "umi_unknown"]].isna().all(axis=None)


def test_a_tie_tells_nothing(bench):
    pairs = [tagged(bench.pair(bench.molecule(m)), "ACGTACGT") for m in ((0,), ())]
    calls = count_library(bench.write(pairs), bench.panel(), "L1", umi="NNNNNNNN")
    assert levels(calls) == [(0, 0, 0)] + [(0, 1, 0)] * 6


def test_a_umi_with_a_poor_or_unknown_base_is_left_out(bench):
    pair = bench.pair(bench.molecule())
    (one, q), mate = tagged(pair, "ACGTAC")
    poor = ((one, "I#" + q[2:]), mate)
    calls = count_library(bench.write([tagged(pair, "ACGTNC"), poor, tagged(pair, "ACGTAC")]), bench.panel(), "L1",
                          umi="NNNNNN")  # fmt: skip
    row = calls.reads.iloc[0]
    assert (row["passed"], row["umi_families"], row["umi_unknown"]) == (3, 1, 2)


def test_reads_shorter_than_their_umi_do_no_harm(bench):
    short = (("AC", "II"), bench.pair(bench.molecule())[1])
    calls = count_library(bench.write([short, tagged(bench.pair(bench.molecule()), "ACGTAC")]), bench.panel(), "L1",
                          umi="NNNNNN")  # fmt: skip
    assert (calls.reads["umi_families"].iloc[0], calls.reads["umi_unknown"].iloc[0]) == (1, 1)


def test_families_on_two_strands_or_amplicons_are_apart(bench):
    panel = bench.panel(primers=False)
    opposite = bench.reverse_complement(bench.convert(bench.reverse_complement(bench.reference)))
    pairs = [tagged(bench.pair(m), "ACGTAC") for m in (bench.convert(bench.reference), opposite)]
    calls = count_library(bench.write(pairs), panel, "L1", umi="NNNNNN")
    assert calls.reads["umi_families"].iloc[0] == 2 and levels(calls) == [(0, 2, 0)] * 7


def test_failed_conversion_is_judged_of_the_family(bench):
    """One copy in three is past the limit by chance of PCR; the family is not. A family that failed is left out."""
    kept, failed = bench.molecule(), bench.molecule((), bench.others)
    pairs = [tagged(bench.pair(m), "ACGTAC") for m in (kept, kept, failed)]
    pairs += [tagged(bench.pair(failed), "TTGGCC")]
    calls = count_library(bench.write(pairs), bench.panel(), "L1", umi="NNNNNN")
    row = calls.reads.iloc[0]
    assert (row["unconverted"], row["passed"], row["umi_families"]) == (2, 2, 1)
    assert levels(calls) == [(0, 1, 0)] * 7
    assert calls.patterns["unconverted"].tolist() == [0]


def test_names_without_umis_are_refused(bench):
    pairs = [bench.pair(bench.molecule())] * 2
    for names in (["read_ACGTACGT", "read_ACGT"], ["read1", "read2"]):
        with pytest.raises(InputError, match="does not end in a UMI"):
            count_library(bench.write(pairs, names=names), bench.panel(), "L1", umi="name")


def test_cycles_count_from_before_the_umi(bench):
    pairs = [bench.pair(bench.molecule())]
    plain = count_library(bench.write(pairs), bench.panel(), "L1").cycles
    shifted = count_library(bench.write([tagged(pairs[0], "ACGTAC")]), bench.panel(), "L1", umi="NNNNNN").cycles
    mine = plain["mate"] == 1
    assert (shifted.loc[mine, "cycle"] == plain.loc[mine, "cycle"] + 6).all()
    assert (shifted.loc[~mine, "cycle"] == plain.loc[~mine, "cycle"]).all()


def simulated(folder, name, own, templates, level, umi=10, seed=0):
    library = Library(name, np.full(AMPLICON.offsets.size, level), own=own, templates=templates, non_conversion=0.006)
    paths = [folder / f"{name}_{mate}.fastq.gz" for mate in (1, 2)]
    rng = random_stream(seed, "umis", name)
    write_fastq(simulate_reads(AMPLICON, library, rng, chemistry=Chemistry(umi=umi)), *paths)
    return paths


def test_families_are_as_many_as_templates_were_sequenced(tmp_path):
    """150 templates copied unequally, 4,000 pairs: nearly every template is read, and sequencing errors in UMIs make no
    families of their own."""
    paths = simulated(tmp_path, "L1", 4000, 150, 0.03)
    row = count_library(paths, PANEL, "L1", umi="N" * 10).reads.iloc[0]
    assert 140 <= row["umi_families"] <= 153
    raw = count_library(paths, PANEL, "L1", umi="N" * 10).patterns["count"].sum()
    assert raw == row["umi_families"]


def test_the_bam_says_what_the_counts_say(tmp_path):
    paths = simulated(tmp_path, "L1", 800, 60, 0.2)
    with BamWriter(tmp_path / "L1.bam", PANEL.references, "L1") as bam:
        calls = count_library(paths, PANEL, "L1", sink=bam.add_families, umi="N" * 10)
    found = Counter()
    with pysam.AlignmentFile(tmp_path / "L1.bam") as reader:
        for record in reader:
            assert len(record.get_tag("XM")) == record.query_length
            for i, letter in enumerate(record.get_tag("XM")):
                if letter in "Zz":
                    found[record.reference_start + i, letter] += 1
                    assert record.query_sequence[i] == ("C" if letter == "Z" else "T")
    offsets = PANEL.cpg_offsets("nr3c1_exon1f").tolist()
    assert [(found[o, "Z"], found[o, "z"]) for o in offsets] == [(m, u) for m, u, _ in levels(calls)]
    assert sum(found.values()) > 60 * 40


@pytest.mark.long
def test_intervals_hold_the_truth_at_few_templates_only_where_templates_are_counted(tmp_path):
    """Libraries of 60 templates read 300 times each: what is known of a share is known from 60, not from 300.

    UMIs tell the templates; without them they are counted from the failures of conversion, less sharply, so intervals
    are wider, but no wider than they must be. Where neither is known they are far too short. 95 % within what 80
    libraries can tell (p > .001), from either side.
    """
    level, n = 0.25, 80
    covered, width = (dict.fromkeys(("UMIs", "failures", "nothing"), 0.0) for _ in range(2))
    for i in range(n):
        paths = simulated(tmp_path, "L1", 300, 60, level, seed=i + 1)
        # Without, the ten bases are an overhang that falls away like a primer's.
        without = count_library(paths, PANEL, "L1")
        for kind, calls in (
            ("UMIs", count_library(paths, PANEL, "L1", umi="N" * 10)),
            ("failures", without),
            ("nothing", replace(without, sites=None)),
        ):
            sheet = pd.DataFrame([{
                "library_id": "L1", "participant_id": "p1", "timepoint": "t", "kind": "study", "panel": "p",
                "expected_percent": np.nan, "plate": None, "well": None, "input_ng": np.nan,
            }])  # fmt: skip
            row = estimate_study(sheet, {"p": PANEL}, {"L1": calls}, SETTINGS).libraries.iloc[0]
            covered[kind] += row["region_mean_beta_low"] <= level <= row["region_mean_beta_high"]
            width[kind] += row["region_mean_beta_high"] - row["region_mean_beta_low"]
            assert ("template copies unknown" in (row["reasons"] or "")) == (kind == "nothing")
            if kind == "UMIs":
                assert row["template_copies"] == calls.reads["umi_families"].iloc[0]
    for kind in ("UMIs", "failures"):
        assert binomtest(int(covered[kind]), n, 0.95).pvalue > 0.001, covered
    assert covered["nothing"] < 0.75 * n, covered
    # Copies with a CV of .7 make 60 templates worth 40: 1.2 times as wide, and what is not known of their number.
    assert 1.1 < width["failures"] / width["UMIs"] < 1.6, width


def test_input_does_not_make_families_worth_less(bench):
    """Families are the templates: what input_ng says of copies is not applied to them again."""
    panel = bench.panel()
    umis = ["".join("ACGT"[(i >> 2 * k) & 3] for k in range(6)) for i in range(0, 4096, 21)]
    pairs = [tagged(bench.pair(bench.molecule((0,) if i % 4 == 0 else ())), umi) for i, umi in enumerate(umis)]
    calls = count_library(bench.write(pairs), panel, "L1", umi="NNNNNN")
    rows = {}
    for input_ng in (np.nan, 0.1):
        sheet = pd.DataFrame([{
            "library_id": "L1", "participant_id": "p1", "timepoint": "t", "kind": "study", "panel": "toy",
            "expected_percent": np.nan, "plate": None, "well": None, "input_ng": input_ng, "umi": "NNNN",
        }])  # fmt: skip
        rows[input_ng] = estimate_study(sheet, {"toy": panel}, {"L1": calls}, SETTINGS).libraries.iloc[0]
    one, two = rows.values()
    assert one["region_mean_beta_se"] == two["region_mean_beta_se"] > 0
    assert one["effective_depth"] == calls.reads["umi_families"].iloc[0] == two["template_copies"]
    # Of 256 UMIs of four bases, so many are in use that templates must share them.
    assert "templates share UMIs by chance" in one["reasons"]


def test_the_reads_table_is_as_its_schema_says(bench, root):
    schema = yaml.safe_load((root / "workflow" / "schemas" / "methylation_reads.schema.yaml").read_text())
    calls = count_library(bench.write([tagged(bench.pair(bench.molecule()), "ACGTAC")]), bench.panel(), "L1",
                          umi="NNNNNN")  # fmt: skip
    assert list(calls.reads.columns) == list(schema["properties"])
    jsonschema.validate({k: v.item() if hasattr(v, "item") else v for k, v in calls.reads.iloc[0].items()}, schema)
