"""Amplicons that overlap, lie on both strands or are alike: told apart, or refused when planning."""

import random

import pytest
from tests.methylation.conftest import convert

from hpaxis.methylation.counting.apart import confused_amplicons
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.panels.panel import find_cpgs, make_panel, reverse_complement


def genome(seed=5, length=260):
    rng = random.Random(seed)
    bases = list("".join(rng.choice("ACGTTA") for _ in range(length)).replace("CG", "CA"))
    for i in range(30, length - 30, 14):
        bases[i : i + 2] = "CG"
    return "".join(bases)


def panel_of(records, folder):
    """Panel of named genomic pieces, each with primers of 20 bases at its ends."""
    primers = {n: (convert(t[:20]), reverse_complement(convert(t[-20:]))) for n, t in records.items()}
    (folder / "reference.fa").write_text("".join(f">{n}\n{t}\n" for n, t in records.items()))
    rows = "".join(f"{n}\t{f}\t{r}\n" for n, (f, r) in primers.items())
    (folder / "primers.tsv").write_text("amplicon\tforward_primer\treverse_primer\n" + rows)
    return make_panel(folder / "reference.fa", folder / "primers.tsv"), primers


def methylated_product(text, primers):
    inner = convert(text, find_cpgs(text))[20:-20]
    return primers[0] + inner + reverse_complement(primers[1])


@pytest.mark.parametrize("length", [60, 100, 150])
@pytest.mark.parametrize("kind", ["overlap 80", "overlap 100", "both strands", "inside"])
def test_every_call_is_made_on_the_amplicon_that_was_read(bench, kind, length):
    text = genome()
    other = {"overlap 80": text[70:220], "overlap 100": text[50:200], "inside": text[30:130],
             "both strands": reverse_complement(text[:150])}[kind]  # fmt: skip
    records = {"A": text[:150], "B": other}
    panel, primers = panel_of(records, bench.folder)
    for name, reference in records.items():
        product = methylated_product(reference, primers[name])
        reads = count_library(
            bench.write([bench.pair(product, length, turned) for turned in (False, True)] * 5), panel, "L"
        )
        assert reads.reads["passed"].iloc[0] == 10
        calls = reads.counts.groupby("amplicon")[["methylated", "unmethylated"]].sum()
        mine = calls.loc[name]
        assert mine["methylated"] > 0 and mine["unmethylated"] == 0
        # No base of this product counts on the other amplicon, its primers included.
        assert calls.drop(name).to_numpy().sum() == 0
    assert confused_amplicons(panel, length, paired=True) == {}


def test_amplicons_that_reads_cannot_tell_apart_are_named(bench):
    text = genome()
    twin = text[:100] + "".join({"A": "T", "T": "A"}.get(b, b) for b in text[100:130]) + text[130:150]
    panel, _ = panel_of({"A": text[:150], "B": twin}, bench.folder)
    short, long = (confused_amplicons(panel, length, paired=False) for length in (60, 150))
    assert set(short) == {"A", "B"} and long == {}
    assert "more than one amplicon" in short["A"]


def test_one_amplicon_is_never_confused(bench):
    assert confused_amplicons(bench.panel(), 30, paired=True) == {}
