"""Reads made base by base, and the exact counts they must give."""

import random

import pytest

from hpaxis.methylation.counting.calls import ReadFilters
from hpaxis.methylation.panels.panel import find_cpgs, make_panel, reverse_complement


def at(sequence, offset, base):
    return sequence[:offset] + base + sequence[offset + 1 :]


def test_patterns_and_conversion_are_those_of_the_molecules(bench):
    unconverted = bench.others[:2]
    pairs = [bench.pair(bench.molecule((1,)))] * 3 + [bench.pair(bench.molecule((), unconverted))]
    calls = bench.count(pairs)
    sites = len(bench.others)
    assert calls.patterns.values.tolist() == [["toy", "0100000", 0, sites, 3], ["toy", "0000000", 2, sites, 1]]
    row = calls.reads.iloc[0]
    assert (row["non_cpg_unconverted"], row["non_cpg_converted"]) == (2, 4 * sites - 2)


@pytest.mark.parametrize("strand", ["top", "bottom"])
@pytest.mark.parametrize("turned", [False, True])
def test_without_primers_either_strand_and_direction_is_called(bench, strand, turned):
    panel = bench.panel(primers=False)
    if strand == "top":
        molecule = bench.convert(bench.reference, {bench.cpgs[2]})
    else:
        # The complement's C of the third CpG lies under the G, one base on; its own conversion shows as G to A here.
        opposite = reverse_complement(bench.reference)
        kept = len(bench.reference) - 1 - (bench.cpgs[2] + 1)
        molecule = reverse_complement(bench.convert(opposite, {kept}))
    calls = bench.count([bench.pair(molecule, turned=turned)], panel)
    assert bench.levels(calls) == [(0, 1, 0)] * 2 + [(1, 0, 0)] + [(0, 1, 0)] * 4
    assert calls.reads["non_cpg_unconverted"].iloc[0] == 0


def test_where_mates_disagree_the_clearly_better_base_counts_and_a_near_tie_does_not(bench):
    molecule, cpg = bench.molecule(), bench.cpgs[3]
    (one, q1), (two, _) = bench.pair(molecule)
    one = at(one, cpg, "C")
    weak = q1[:cpg] + "+" + q1[cpg + 1 :]  # Phred 10 against 40: mate 2 wins
    assert bench.levels(bench.count([((one, weak), (two, q1))]))[3] == (0, 1, 0)
    assert bench.levels(bench.count([((one, q1), (two, q1))]))[3] == (0, 0, 0)
    back = len(molecule) - 1 - cpg
    strong = q1[:back] + "+" + q1[back + 1 :]  # now mate 2 is the weak one
    assert bench.levels(bench.count([((one, q1), (two, strong))]))[3] == (1, 0, 0)


def test_a_base_below_the_quality_tells_nothing(bench):
    cpg = bench.cpgs[0]
    (one, q), mate = bench.pair(bench.molecule((0,)), length=90)
    below = q[:cpg] + chr(33 + 19) + q[cpg + 1 :]
    at_limit = q[:cpg] + chr(33 + 20) + q[cpg + 1 :]
    assert bench.levels(bench.count([((one, below), mate)]))[0] == (0, 0, 0)
    assert bench.levels(bench.count([((one, at_limit), mate)]))[0] == (1, 0, 0)


def test_a_third_base_at_a_cpg_is_other_and_n_is_nothing(bench):
    cpg = bench.cpgs[0]
    for base, expected in (("A", (0, 0, 1)), ("G", (0, 0, 1)), ("N", (0, 0, 0))):
        one, mate = bench.pair(bench.molecule(), length=90)
        calls = bench.count([((at(one[0], cpg, base), one[1]), mate)])
        assert bench.levels(calls)[0] == expected
        assert calls.counts["depth"].iloc[0] == 0


def test_an_ambiguous_reference_base_is_no_cytosine(bench):
    """A Y reads T after conversion whichever base it is: it tells nothing of conversion."""
    other = bench.others[0]
    panel = bench.panel(reference=at(bench.reference, other, "Y"), name="ambiguous")
    calls = bench.count([bench.pair(bench.molecule((), [other]))], panel)
    assert calls.reads["non_cpg_unconverted"].iloc[0] == 0
    assert calls.reads["non_cpg_converted"].iloc[0] == len(bench.others) - 1
    shipped_c = [i for i, base in enumerate(bench.reference) if base == "C" and bench.reference[i + 1] != "G"]
    assert other in shipped_c


def test_chunks_and_order_change_nothing(bench):
    rng = random.Random(1)
    molecules = [
        bench.molecule(rng.sample(range(7), rng.randrange(3)), rng.sample(bench.others, 1)) for _ in range(400)
    ]
    pairs = [bench.pair(m, turned=rng.random() < 0.5) for m in molecules]
    whole = bench.count(pairs)
    small = bench.count(pairs, chunk_bytes=2_000)
    rng.shuffle(pairs)
    shuffled = bench.count(pairs)
    for other in (small, shuffled):
        assert whole.counts.equals(other.counts)
        assert whole.patterns.equals(other.patterns)
        assert whole.reads.equals(other.reads)


def test_reads_with_indels_are_aligned_with_gaps_and_kept(bench):
    molecule = bench.molecule((5,))
    middle = bench.cpgs[3] + 6
    for changed in (molecule[:middle] + molecule[middle + 2 :], molecule[:middle] + "GG" + molecule[middle:]):
        calls = bench.count([bench.pair(changed, length=120)])
        assert bench.fates(calls) == {"passed": 1}
        assert bench.levels(calls) == [(0, 1, 0)] * 5 + [(1, 0, 0), (0, 1, 0)]
        assert calls.reads["gapped"].iloc[0] == 1
        assert calls.reads["non_cpg_unconverted"].iloc[0] == 0


@pytest.mark.parametrize("inserted", [3, 12])
def test_mates_that_do_not_meet_keep_a_molecule_with_an_insertion(bench, inserted):
    """The read ends earlier on the reference by what it has more: nothing there was cut."""
    more = "TTAGCATGACTTGGATCAAGTCTTAGACCATGTTGCAAGATTCATGGTAACTGGATTACACTTGAGCATTGTACCTAGGATTTCAACTGTGAAGTCTATG"
    bench.reference = bench.reference[:75] + more + bench.reference[75:]
    bench.cpgs = find_cpgs(bench.reference)
    molecule = bench.molecule((1,))
    changed = molecule[:60] + "GATTGAGTTGAT"[:inserted] + molecule[60:]
    calls = bench.count([bench.pair(changed, length=100)], filters=ReadFilters(min_identity=0.99))
    assert bench.fates(calls) == {"passed": 1} and calls.reads["gapped"].iloc[0] == 1


def test_adapter_behind_a_short_molecule_is_not_read_as_sequence(bench):
    adapter = "AGATCGGAAGAGCACACGTCTGAACTCCAGTCACAAAAAAAAAAAAAAAAAAAAAAA"
    molecule = bench.molecule((1,))
    read = tuple((s, "I" * len(s)) for s in (molecule + adapter, reverse_complement(molecule) + adapter))
    calls = bench.count([read])
    assert bench.levels(calls) == [(0, 1, 0), (1, 0, 0)] + [(0, 1, 0)] * 5
    # Without primers the mates' own ends say where the molecule ends.
    inner = bench.convert(bench.reference, {bench.cpgs[1]})[25:100]
    read = tuple((s, "I" * len(s)) for s in (inner + adapter, reverse_complement(inner) + adapter))
    panel = bench.panel(primers=False)
    calls = bench.count([read], panel)
    inside = [25 <= o < 100 for o in bench.cpgs]
    assert list(calls.counts["depth"]) == [int(i) for i in inside]
    assert calls.counts["methylated"].sum() == int(inside[1])
    assert calls.reads["non_cpg_unconverted"].iloc[0] == 0


def test_every_pair_that_does_not_count_says_why(bench):
    molecule = bench.molecule()
    adapter = "AGATCGGAAGAGCACACGTCTGAACTCCAGTCACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    dimer = bench.forward_primer + "GA" + reverse_complement(bench.reverse_primer)
    dimer_pair = tuple((s[:100], "I" * 100) for s in (dimer + adapter, reverse_complement(dimer) + adapter))
    elsewhere = (
        bench.forward_primer + "TGATTGTTAAGTTGGATAGATTTTAGGTATTGATAAG" * 3 + reverse_complement(bench.reverse_primer)
    )
    good = bench.pair(molecule)
    poor = tuple((bases, "I" * 45 + "#" * 55) for bases, _ in good)
    junk = tuple((bases, "#" * 100) for bases in ("ACGT" * 25, "TTGA" * 25))
    same_way = (good[0], good[0])
    noisy = list(molecule)
    for i in range(48, 126, 6):
        noisy[i] = "G" if noisy[i] == "A" else "A"
    calls = bench.count([good, dimer_pair, bench.pair(elsewhere), poor, junk, same_way,
                          bench.pair(bench.molecule((), bench.others)), bench.pair("".join(noisy))])  # fmt: skip
    assert bench.fates(calls) == {
        "dimers": 1, "off_target": 1, "discordant": 1, "low_quality": 2, "low_identity": 1, "unconverted": 1,
        "passed": 1,
    }  # fmt: skip
    assert calls.reads["on_target"].iloc[0] == 6


def test_a_pair_whose_inside_is_from_elsewhere_is_left_out(bench):
    """Both mates show the amplicon's ends, as its primers make of another place: what lies between is foreign."""
    molecule = bench.molecule()
    foreign = "GTTGATTAGGAATTTGATGTAAGGTTTATGAGATTAGTGA"
    first, last = 52, 52 + len(foreign)
    pair = bench.pair(molecule[:first] + foreign + molecule[last:], length=100)
    assert bench.fates(bench.count([pair])) == {"low_identity": 1}
    # Its ends alone match well, and would count; the foreign bases never do.
    loose = bench.count([pair], filters=ReadFilters(min_identity=0.5))
    assert bench.fates(loose) == {"passed": 1}
    inside = [first <= o < last for o in bench.cpgs]
    assert any(inside) and [d == 0 for d in loose.counts["depth"]] == inside
    # Of a lone read nobody can tell whether what follows is adapter.
    assert bench.fates(bench.count([pair[:1]])) == {"passed": 1}


def test_a_stretch_of_failed_cytosines_leaves_its_molecule_out(bench):
    """Three cytosines outside CpGs running: neither the molecule nor its conversion counts."""
    stretch, spread = (bench.pair(bench.molecule((0,), kept)) for kept in (bench.others[4:7], bench.others[:5:2]))
    calls = bench.count([stretch, spread, stretch], filters=ReadFilters(max_unconverted=0.5))
    assert bench.fates(calls) == {"unconverted": 2, "passed": 1} and calls.reads["stretches"].iloc[0] == 2
    assert calls.conversion["count"].sum() == 1 and calls.counts["methylated"].sum() == 1
    shown = calls.sites.set_index("offset")["unconverted"]
    assert shown[shown > 0].index.tolist() == bench.others[:5:2]
    assert calls.reads["clone_molecules"].iloc[0] == 0
    # Who asks for every molecule gets it.
    assert bench.count([stretch], filters=ReadFilters(max_unconverted=1.0)).reads["passed"].iloc[0] == 1


@pytest.mark.parametrize("length", [60, 100])
def test_a_molecule_without_the_g_of_a_cpg_has_no_call_there(bench, length):
    """TA or CA at the third CpG: no methylation and no conversion, on either mate; other CpGs count."""
    product = bench.molecule((2, 3))
    at = bench.cpgs[2]
    for base in ("C", "T"):
        changed = product[:at] + base + "A" + product[at + 2 :]
        row = bench.count([bench.pair(changed, length), bench.pair(product, length, True)]).counts.iloc[2]
        assert (row["methylated"], row["unmethylated"], row["other"]) == (1, 0, 1)


def test_a_single_read_with_a_gap_is_covered_from_its_own_first_base(bench):
    """A local alignment may open with one long deletion up to the read, which is no part of it."""
    product = bench.molecule((0, 6))
    for at in (60, 75, 90):
        gapped = product[:at] + product[at + 1 :]
        for text in (gapped, reverse_complement(gapped)):
            calls = bench.count([((text[:90], "I" * 90),)])
            assert bench.fates(calls) == {"passed": 1}


def test_conversion_filter_is_a_share_of_the_molecules_own_sites(bench):
    sites = len(bench.others)
    allowed = int(0.25 * sites)
    kept, dropped = (bench.pair(bench.molecule((), bench.others[::3][:n])) for n in (allowed, allowed + 1))
    calls = bench.count([kept, dropped, dropped])
    assert bench.fates(calls) == {"unconverted": 2, "passed": 1}
    # The molecules that are dropped stay known by their conversion.
    assert calls.conversion.values.tolist() == [["toy", allowed, sites, 1], ["toy", allowed + 1, sites, 2]]
    assert calls.patterns["count"].sum() == 1
    loose = ReadFilters(max_unconverted=1.0)
    assert bench.fates(bench.count([kept, dropped], filters=loose)) == {"passed": 2}


def test_single_end_reads_and_mates_that_do_not_meet_are_called(bench):
    molecule = bench.molecule((0, 6))
    one, two = bench.pair(molecule, length=60)
    single = bench.count([(one,)])
    covered = [o < 60 for o in bench.cpgs]
    assert list(single.counts["depth"]) == [int(c) for c in covered]
    apart = bench.count([(one, two)])
    assert [d for d, o in zip(apart.counts["depth"], bench.cpgs) if o < 60 or o >= 90] == [1] * sum(
        o < 60 or o >= 90 for o in bench.cpgs
    )
    assert (apart.counts["methylated"].iloc[0], apart.counts["methylated"].iloc[6]) == (1, 1)
    assert bench.fates(apart) == {"passed": 1}


def test_a_pair_with_one_unreadable_mate_still_counts_by_the_other(bench):
    one, _ = bench.pair(bench.molecule((0,)), length=110)
    calls = bench.count([(one, ("A" * 110, "I" * 110))])
    assert bench.fates(calls) == {"passed": 1}
    assert calls.reads["merged"].iloc[0] == 0
    assert bench.levels(calls)[0] == (1, 0, 0)


def test_several_amplicons_share_a_library(bench):
    rng = random.Random(5)
    other = "".join(rng.choice("ACGT") for _ in range(160))
    (bench.folder / "two.fa").write_text(f">one\n{bench.reference}\n>two\n{other}\n")
    panel = make_panel(bench.folder / "two.fa")
    pairs = [bench.pair(bench.convert(bench.reference))] * 2 + [bench.pair(bench.convert(other))] * 3
    calls = bench.count(pairs, panel)
    depth = calls.counts.groupby("amplicon", sort=False)["depth"].unique()
    assert [list(d) for d in depth] == [[2], [3]]
    assert set(calls.patterns["amplicon"]) == {"one", "two"}
