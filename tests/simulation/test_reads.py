"""The read simulator does what it was asked to: levels, conversion, copies, errors and files."""

import gzip
from pathlib import Path

import dnaio
import numpy as np
import pytest

from hpaxis.methylation.panels.panel import read_panel
from hpaxis.simulation import reads
from hpaxis.simulation.reads import Amplicon, Chemistry, Library, random_stream

PANEL = Path(__file__).parents[2] / "resources" / "panels" / "nr3c1_exon1f"
C, T = ord("C"), ord("T")


@pytest.fixture(scope="module")
def amplicon():
    return reads.panel_amplicon(read_panel(PANEL))


def within(observed, expected, trials, z=4.5):
    """Whether a share is within ``z`` binomial standard errors: one in 150,000 checks fails by chance at 4.5."""
    return np.all(np.abs(observed - expected) <= z * np.sqrt(expected * (1 - expected) / trials) + 1e-12)


def read_all(amplicon, library, seed=1, donors=(), **chemistry):
    """All blocks of a library as one array per part."""
    blocks = list(reads.simulate_reads(amplicon, library, random_stream(seed, "t"), donors, Chemistry(**chemistry)))
    return [np.concatenate([getattr(b, part) for b in blocks]) for part in ("bases_1", "qualities_1", "bases_2")]


def starts_with(bases, sequence, mismatches=4):
    wanted = reads.letters(sequence)
    return (bases[:, : wanted.size] != wanted).sum(axis=1) <= mismatches


def test_the_panel_s_ambiguous_base_reads_as_t_and_counts_as_no_cytosine(amplicon):
    reference = read_panel(PANEL).references["nr3c1_exon1f"]
    at = reference.index("Y")
    assert amplicon.sequence[at] == T and at not in amplicon.other_offsets
    # 99 other Cs stand in the reference (data README); 10 of them lie under the primers.
    assert reference.count("C") - len(amplicon.offsets) == 99
    assert amplicon.other_offsets.size == 89


def test_a_reference_with_other_ambiguity_is_refused(amplicon):
    panel = read_panel(PANEL)
    panel.references["nr3c1_exon1f"] = panel.references["nr3c1_exon1f"].replace("Y", "N")
    with pytest.raises(ValueError, match="cannot be simulated"):
        reads.panel_amplicon(panel)


def test_each_cpg_keeps_its_level_and_neighbours_are_alike():
    offsets = np.array([20, 24, 64, 400])
    levels = np.array([0.005, 0.02, 0.08, 0.5])
    count = 200_000
    drawn = reads.simulate_methylation(np.tile(levels, (count, 1)), offsets, 40.0, random_stream(1, "levels"))
    assert within(drawn.mean(axis=0), levels, count)
    both = (drawn[:, 1] & drawn[:, 2]).mean()
    # Bivariate normal with correlation exp(-40/40): P(both) at thresholds of 2 % and 8 %, by numerical integration.
    from scipy.stats import multivariate_normal, norm

    cuts = norm.ppf(levels[1:3])
    expected = multivariate_normal([0, 0], [[1, np.exp(-1)], [np.exp(-1), 1]]).cdf(cuts)
    assert within(both, expected, count)
    assert within((drawn[:, 2] & drawn[:, 3]).mean(), levels[2] * levels[3], count)  # 336 bases apart: independent


def test_levels_of_0_and_1_are_exact():
    levels = np.tile([0.0, 1.0, 0.0, 1.0], (5000, 1))
    drawn = reads.simulate_methylation(levels, np.array([0, 2, 4, 6]), 40.0, random_stream(1, "ends"))
    assert (drawn == levels.astype(bool)).all()


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.015, 0.03])
def test_non_conversion_keeps_its_rate_at_cpgs_and_elsewhere(amplicon, rate):
    count, cpgs = 20_000, amplicon.offsets.size
    products = reads.simulate_products(
        amplicon, np.zeros((count, cpgs)), np.full(count, rate), 0.0, np.zeros(count), 40.0, random_stream(2, rate)
    )
    for offsets in (amplicon.other_offsets, amplicon.offsets):
        assert within((products[:, offsets] == C).mean(), rate, count * offsets.size)
        assert within((products[:, offsets] == C).mean(axis=0), rate, count)
    changed = products != amplicon.converted
    assert not np.delete(changed, [*amplicon.other_offsets, *amplicon.offsets], axis=1).any()


def test_failed_molecules_fail_as_a_whole(amplicon):
    count = 20_000
    products = reads.simulate_products(
        amplicon, np.zeros((count, 47)), np.full(count, 0.005), 0.02, np.zeros(count), 40.0, random_stream(3, "f")
    )
    share = (products[:, amplicon.other_offsets] == C).mean(axis=1)
    assert within((share > 0.15).mean(), 0.02, count)
    assert abs(share[share > 0.15].mean() - 0.65) < 0.05  # uniform from .3 to 1
    assert within(share[share <= 0.15].mean(), 0.005, count * 89)


def test_over_conversion_takes_its_share_of_methylated_cytosines(amplicon):
    count = 20_000
    products = reads.simulate_products(
        amplicon, np.ones((count, 47)), np.zeros(count), 0.0, np.full(count, 0.012), 40.0, random_stream(4, "g")
    )
    assert within((products[:, amplicon.offsets] == T).mean(), 0.012, count * 47)
    assert (products[:, amplicon.other_offsets] == T).all()


def test_primer_bases_are_synthetic(amplicon):
    products = reads.simulate_products(
        amplicon, np.ones((50, 47)), np.ones(50), 0.0, np.zeros(50), 40.0, random_stream(5, "p")
    )
    forward, reverse = amplicon.primers
    assert {bytes(p[: len(forward)]) for p in products} == {forward}
    assert {bytes(reads.reverse_complement(p)[: len(reverse)]) for p in products} == {reverse}


@pytest.mark.parametrize("cv", [0.3, 1.5])
def test_two_reads_share_a_template_as_often_as_unequal_copies_say(amplicon, cv):
    templates, count = 2000, 4000
    same = []
    for k in range(10):
        library = Library("x", np.zeros(47), own=count, templates=templates)
        chemistry = Chemistry(amplification_cv=cv)
        products, copy_of = reads.amplify_templates(
            amplicon, [library], templates, count, chemistry, random_stream(6, cv, k)
        )
        family = np.bincount(copy_of)
        assert len(products) == family.size and family.min() > 0
        same.append((family * (family - 1)).sum() / (count * (count - 1)))
    # E[sum of w^2] of gamma shares with this coefficient of variation is (1 + cv^2) / T, near enough for T = 2000.
    assert np.mean(same) == pytest.approx((1 + cv**2) / templates, rel=0.05)


def test_every_kind_of_read_comes_in_its_number(amplicon):
    forward, reverse = amplicon.primers
    library = Library("x", np.zeros(47), own=600, dimer=150, off_target=90, templates=9000)
    first, _, second = read_all(amplicon, library, indels=0.0, low_quality=0.0)
    assert len(first) == library.pairs == 840
    ends_first = starts_with(first, forward)
    assert within(ends_first.mean(), 0.5, 840)
    assert (ends_first ^ starts_with(first, reverse)).all()  # every product is flanked by both primers
    assert (starts_with(second, reverse) == ends_first).all()
    wanted = amplicon.converted[:250]
    close = ((first == wanted).mean(axis=1) > 0.95) | ((second == wanted).mean(axis=1) > 0.95)
    assert close.sum() == 600
    adapter = reads.letters(reads.ADAPTERS[0])
    with_adapter = np.zeros(840, bool)
    for start in range(37, 44):  # two primers of 38 bases and up to 4 between
        with_adapter |= (first[:, start : start + adapter.size] == adapter).mean(axis=1) > 0.85
    assert with_adapter.sum() == 150


def test_hopped_reads_come_from_the_other_libraries(amplicon):
    empty = Library("x", np.zeros(47), own=0, hopped=400, templates=0)
    donors = [Library("a", np.zeros(47), own=10), Library("b", np.ones(47), own=10)]
    first, _, second = read_all(amplicon, empty, donors=donors, low_quality=0.0, indels=0.0)
    turned = starts_with(first, amplicon.primers[1])
    forward = np.where(turned[:, None], second, first)
    offsets = amplicon.offsets[amplicon.offsets < 200]
    methylated = (forward[:, offsets] == C).mean(axis=1) > 0.5
    assert within(methylated.mean(), 0.5, 400)
    with pytest.raises(ValueError, match="no other library"):
        next(reads.simulate_reads(amplicon, empty, random_stream(1)))


def test_a_library_without_templates_cannot_have_reads_of_its_own(amplicon):
    with pytest.raises(ValueError, match="no templates"):
        next(reads.simulate_reads(amplicon, Library("x", np.zeros(47), own=5, templates=0), random_stream(1)))


def test_slips_move_the_rest_of_the_read_by_one_base(amplicon):
    library = Library("x", np.zeros(47), own=400)
    first, _, second = read_all(amplicon, library, indels=1.0, low_quality=0.0, reverse_first=0.0)
    reference = amplicon.converted
    shift = []
    for read, other in zip(first, second, strict=True):
        # The end of read 1 lies on the reference moved by -1, 0 or 1; the start of read 2 is unmoved from its end.
        same = [(read[200:] == reference[200 + s : 250 + s]).mean() for s in (-1, 0, 1)]
        shift.append(int(np.argmax(same)) - 1)
        assert (other[:10] == reads.reverse_complement(reference)[:10]).mean() > 0.6
    counts = np.bincount(np.array(shift) + 1, minlength=3)
    assert counts[0] > 60 and counts[2] > 60  # gained and lost bases both, before cycle 200
    assert counts.sum() == 400


@pytest.fixture(scope="module")
def sequenced():
    bases = np.tile(reads.letters("ACGT" * 62 + "AC"), (20_000, 1))
    poor = np.zeros(20_000, bool)
    return bases, [reads.sequence(bases, mate, poor, random_stream(7, mate)) for mate in (0, 1)]


def test_a_base_is_wrong_as_often_as_its_quality_says(sequenced):
    bases, mates = sequenced
    for read, quality in mates:
        wrong = read != bases
        for q in range(reads.LOWEST_Q + 1, reads.HIGHEST_Q + 1):
            at = quality == q
            if at.sum() > 1000:
                assert within(wrong[at].mean(), 10 ** (-q / 10), at.sum()), q
        assert (read[quality == reads.LOWEST_Q] == ord("N")).all()
        assert (read[quality > reads.LOWEST_Q] != ord("N")).all()


def test_errors_rise_by_cycle_and_more_in_read_2(sequenced):
    bases, mates = sequenced
    rate = np.stack([(read != bases).mean(axis=0).reshape(10, 25).mean(axis=1) for read, _ in mates])
    assert (np.diff(rate[:, 1:], axis=1) > -2e-5).all() and (rate[:, -1] > 5 * rate[:, 1]).all()
    assert rate[1, -1] > 1.3 * rate[0, -1]
    assert 2e-4 < rate[0, 1] < 1e-3 and 0.002 < rate[0, -1] < 0.02  # about Q30-37 early on, Q17-27 at the end


def test_wrong_bases_are_any_of_the_three_others(sequenced):
    bases, mates = sequenced
    read = mates[1][0]
    was_c = read[(bases == C) & (read != bases) & (read != ord("N"))]
    shares = np.array([(was_c == ord(b)).mean() for b in "AGT"])
    assert was_c.size > 2000 and within(shares, 1 / 3, was_c.size)


def test_poor_reads_lose_their_quality_early():
    bases = np.tile(reads.letters("ACGTA" * 50), (2000, 1))
    poor = np.arange(2000) < 60
    _, quality = reads.sequence(bases, 0, poor, random_stream(8))
    assert quality[poor, 130:].mean() < 18 < 30 < quality[~poor, 130:].mean()


def test_fastq_is_whole_paired_and_the_same_every_time(amplicon, tmp_path):
    library = Library("x", np.full(47, 0.03), own=300, dimer=20)
    for folder in ("one", "two"):
        blocks = reads.simulate_reads(amplicon, library, random_stream(9, "x"))
        reads.write_fastq(blocks, tmp_path / folder / "1.fastq.gz", tmp_path / folder / "2.fastq.gz")
    for name in ("1.fastq.gz", "2.fastq.gz"):
        raw = (tmp_path / "one" / name).read_bytes()
        assert raw == (tmp_path / "two" / name).read_bytes()
        assert raw[4:8] == b"\0\0\0\0" and not raw[3] & 8  # no time and no file name in the gzip header
    with dnaio.open(tmp_path / "one" / "1.fastq.gz", tmp_path / "one" / "2.fastq.gz") as pairs:
        records = list(pairs)  # dnaio raises where mates are out of step
    assert len(records) == 320 and {len(r) for pair in records for r in pair} == {250}
    assert len({pair[0].name for pair in records}) == 320
    other = reads.simulate_reads(amplicon, library, random_stream(10, "x"))
    reads.write_fastq(other, tmp_path / "other_1.gz", tmp_path / "other_2.gz")
    texts = [gzip.decompress(p.read_bytes()) for p in (tmp_path / "other_1.gz", tmp_path / "one" / "1.fastq.gz")]
    assert texts[0] != texts[1]


def test_blocks_do_not_show(amplicon, monkeypatch):
    monkeypatch.setattr(reads, "BLOCK", 64)
    library = Library("x", np.full(47, 0.5), own=150, dimer=20, off_target=10)
    blocks = list(reads.simulate_reads(amplicon, library, random_stream(11)))
    assert [len(b.bases_1) for b in blocks] == [64, 64, 52]


def test_an_amplicon_without_primers_is_all_genomic(amplicon):
    bare = Amplicon("bare", reads.letters("ACGTTCGACCA" * 30), ("1",), np.array([1]), None)
    assert bare.inner == (0, 330)
    library = Library("x", np.ones(1), own=100, dimer=5, off_target=5)
    first, _, second = read_all(bare, library, low_quality=0.0, indels=0.0, reverse_first=0.0)
    at_cpg = first[starts_with(first, bytes(bare.converted[:1]) + b"C" + bytes(bare.converted[2:12]), 1), 1]
    assert (at_cpg == C).mean() > 0.98
    assert starts_with(first, reads.ADAPTERS[0]).sum() == starts_with(second, reads.ADAPTERS[1]).sum() == 5


def test_streams_depend_on_seed_and_keys_alone():
    draw = random_stream(1, "reads", "L00101").integers(2**32, size=4)
    assert (draw == random_stream(1, "reads", "L00101").integers(2**32, size=4)).all()
    for other in (random_stream(2, "reads", "L00101"), random_stream(1, "reads", "L00102"), random_stream(1, "reads")):
        assert (draw != other.integers(2**32, size=4)).any()
