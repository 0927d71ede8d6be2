"""methylpy on our molecules: to the read, at any depth, whatever the reference's case; and what a flag takes."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.assays.methylpy import call_methylpy, compare_callers
from hpaxis.methylation.counting.bam import BamWriter
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.panels.panel import reverse_complement


def both(bench, pairs, panel):
    path = bench.folder / "L1.bam"
    with BamWriter(path, panel.references, "L1") as bam:
        calls = count_library(bench.write(pairs), panel, "L1", sink=bam.add)
    return calls.counts, call_methylpy({"L1": path}, panel, 20)["L1"]


def test_methylpy_agrees_to_the_read_beyond_its_usual_depth_cap(bench):
    pairs = [bench.pair(bench.molecule())] * 5_000 + [bench.pair(bench.molecule((0, 3)))] * 5_000
    own, other = both(bench, pairs, bench.panel())
    assert other["methylated"].tolist() == own["methylated"].tolist() == [5_000, 0, 0, 5_000, 0, 0, 0]
    assert other["depth"].tolist() == own["depth"].tolist() == [10_000] * 7
    assert other["beta_raw"].tolist() == [0.5, 0, 0, 0.5, 0, 0, 0]


def test_methylpy_reads_a_lower_case_reference_both_strands_and_low_quality_as_we_do(bench):
    panel = bench.panel(primers=False, reference=bench.reference.lower())
    top = bench.pair(bench.convert(bench.reference, {bench.cpgs[1]}))
    bottom = bench.pair(reverse_complement(bench.convert(reverse_complement(bench.reference))))
    cpg = bench.cpgs[4]
    (one, q), _ = bench.pair(bench.convert(bench.reference), length=110)
    weak = (one, q[:cpg] + "+" + q[cpg + 1 :]), ("A" * 110, "#" * 110)
    own, other = both(bench, [top, bottom, weak], panel)
    assert own["depth"].tolist() == other["depth"].tolist()
    assert own["depth"].iloc[4] == 2
    assert own["methylated"].tolist() == other["methylated"].tolist() == [0, 1, 0, 0, 0, 0, 0]


def test_an_empty_library_has_no_calls(bench):
    own, other = both(bench, [], bench.panel())
    assert other["depth"].tolist() == [0] * 7 and other["beta_raw"].isna().all()
    table = compare_callers({"L1": own}, {"L1": other}, {"L1": 0}, 0.95)
    assert table["n_cpgs"].tolist() == [0] and table["difference"].isna().all() and table["flag"].isna().all()


def table(methylated, unmethylated):
    return pd.DataFrame({"cpg_id": ["a", "b"], "methylated": methylated, "unmethylated": unmethylated})


def test_differences_by_hand():
    """Two CpGs at depth 100: two calls swap at one, one at the other; the mean differs by 1.5 points."""
    own, other = table([10, 20], [90, 80]), table([12, 21], [88, 79])
    row = compare_callers({"L": own}, {"L": other}, {"L": 5_000}, 0.95, 100).iloc[0]
    assert (row["passed"], row["compared"]) == (5_000, 100)
    assert row["hpaxis_mean"] == pytest.approx(0.15)
    assert row["difference"] == pytest.approx(0.015)
    assert row["difference_se"] == pytest.approx(np.sqrt(4 / 100**2 + 2 / 100**2) / 2)
    assert row["largest_difference"] == pytest.approx(0.02)
    assert row["discordant_calls"] == 6
    assert row["flag"] is None


def test_a_one_sided_difference_is_flagged_and_an_even_one_is_not():
    own = table([500, 500], [500, 500])
    even, one_sided = table([520, 480], [480, 520]), table([520, 520], [480, 480])
    flags = compare_callers(dict.fromkeys("xy", own), {"x": even, "y": one_sided}, dict.fromkeys("xy", 1_000), 0.95)[
        "flag"
    ]
    assert list(flags.isna()) == [True, False] and flags[1] == "differs"


def test_lost_molecules_are_flagged_though_the_mean_is_the_same():
    own, capped = table([5000, 5000], [45000, 45000]), table([800, 800], [7200, 7200])
    assert compare_callers({"x": own}, {"x": capped}, {"x": 50_000}, 0.95)["flag"].tolist() == ["depth"]


def test_tables_of_different_cpgs_are_refused():
    own = table([1, 1], [1, 1])
    with pytest.raises(ValueError, match="different CpGs"):
        compare_callers({"x": own}, {"x": own.iloc[::-1]}, {"x": 2}, 0.95)
