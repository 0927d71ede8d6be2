"""M-bias: counts by cycle made by hand, and a bias put into simulated reads and found."""

import jsonschema
import numpy as np
import pytest
import yaml

from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.counting.cycles import cycle_bias
from hpaxis.methylation.panels.panel import panel_folder, read_panel, reverse_complement
from hpaxis.simulation.reads import Library, ReadPairs, panel_amplicon, random_stream, simulate_reads, write_fastq

PANEL = read_panel(panel_folder("nr3c1_exon1f"))
AMPLICON = panel_amplicon(PANEL)
LENGTH = 150  # of the bench's amplicon


def cycles(bench, pairs, panel=None, **options):
    table = count_library(bench.write(pairs), panel or bench.panel(), "L1", **options).cycles
    return table.set_index(["mate", "cycle"])


def sites(bench, methylated=(), unconverted=()):
    """What a pair of 100 bases shows, mate 1 along the reference: (mate, cycle) -> (columns, which of two)."""
    shown = {}
    for offsets, kept, column in ((bench.cpgs, methylated, 0), (bench.others, unconverted, 1)):
        for o in offsets:
            state = (column, 0 if o in kept else 1)
            if o < 100:
                shown[1, o + 1] = state
            if LENGTH - o <= 100:
                shown[2, LENGTH - o] = state
    return shown


@pytest.mark.parametrize("turned", [False, True])
def test_each_mate_counts_at_its_own_cycles(bench, turned):
    kept, other = bench.cpgs[3], bench.others[1]
    table = cycles(bench, [bench.pair(bench.molecule((3,), [other]), turned=turned)] * 3)
    expected = sites(bench, {kept}, {other})
    expected = {(3 - mate if turned else mate, cycle): state for (mate, cycle), state in expected.items()}
    assert sorted(table.index) == sorted(expected)
    for key, (column, state) in expected.items():
        values = table.loc[key, ["methylated", "unmethylated", "unconverted", "converted"]].tolist()
        assert values == [3 if i == 2 * column + state else 0 for i in range(4)], key
    # Every cytosine shows the same at each of its cycles: what is expected is what is seen.
    assert np.allclose(table["methylated"], table["methylated_expected"])
    assert np.allclose(table["unconverted"], table["unconverted_expected"])


def test_the_bottom_strand_counts_its_own_cytosines(bench):
    molecule = reverse_complement(bench.convert(reverse_complement(bench.reference)))
    table = cycles(bench, [bench.pair(molecule)], bench.panel(primers=False))
    assert all((1, o + 2) in table.index for o in bench.cpgs if o + 2 <= 100)
    assert table["methylated"].sum() == table["unconverted"].sum() == 0
    assert table["unmethylated"].sum() == sum((o + 2 <= 100) + (LENGTH - o - 1 <= 100) for o in bench.cpgs)


def test_poor_bases_failed_molecules_and_adapters_are_left_out(bench):
    cpg = bench.cpgs[0]
    one, two = bench.pair(bench.molecule(), length=90)
    weak = (one[0], one[1][:cpg] + "+" + one[1][cpg + 1 :])
    failed = bench.pair(bench.molecule((), bench.others), length=90)
    assert (1, cpg + 1) not in cycles(bench, [(weak, two), failed]).index
    # A read through a short molecule shows adapter, whose C and T are nobody's.
    short = bench.convert(bench.reference)[25:100]
    tail = "AGATCGGAAGAGCACACGTCTGAACTCCAGTCAC"
    pair = tuple((s + tail, "I" * (75 + len(tail))) for s in (short, reverse_complement(short)))
    table = cycles(bench, [pair], bench.panel(primers=False))
    assert table.index.get_level_values("cycle").max() <= 75
    assert table["methylated"].sum() == table["unconverted"].sum() == 0


def test_reads_of_many_lengths_and_places_count_where_they_are(bench):
    panel, molecule = bench.panel(primers=False), bench.convert(bench.reference, {bench.cpgs[2]})
    pairs, expected = [], {}
    for start in range(0, 40, 3):
        for length in (60, 75):
            ends = molecule[start:], reverse_complement(molecule[: LENGTH - start])
            pairs.append(tuple((s[:length], "I" * len(s[:length])) for s in ends))
            for o in bench.cpgs:
                for mate, cycle in ((1, o - start + 1), (2, LENGTH - start - o)):
                    if 1 <= cycle <= length:
                        key = mate, cycle, "methylated" if o == bench.cpgs[2] else "unmethylated"
                        expected[key] = expected.get(key, 0) + 1
    table = cycles(bench, pairs, panel)
    found = table[["methylated", "unmethylated"]].stack()
    assert found[found > 0].to_dict() == expected
    assert table.equals(cycles(bench, pairs, panel, chunk_bytes=3_000))


def simulated(tmp_path, change=lambda block: block):
    rng = random_stream(7, "cycles")
    levels = np.linspace(0.01, 0.09, AMPLICON.offsets.size)
    library = Library("L1", levels, own=3000, dimer=100, off_target=100, non_conversion=0.006, failed=0.002)
    paths = [tmp_path / f"{mate}.fastq.gz" for mate in (1, 2)]
    write_fastq((change(block) for block in simulate_reads(AMPLICON, library, rng)), *paths)
    return count_library(paths, PANEL, "L1")


def test_reads_without_bias_are_not_told_of_though_levels_differ_along_the_amplicon(tmp_path):
    found = simulated(tmp_path)
    assert len(found.cycles) > 300 and cycle_bias(found.cycles) == []


def test_a_bias_put_into_the_last_cycles_of_read_2_is_found_there(tmp_path):
    """One converted base in twenty of the last 25 cycles reads as unconverted."""

    def change(block):
        rng = np.random.default_rng(1)
        end = block.bases_2[:, -25:]
        # In a read that shows C as T there are few C; in its complement few G.
        shows_t = (block.bases_2 == ord("C")).sum(axis=1) < (block.bases_2 == ord("G")).sum(axis=1)
        hit = rng.random(end.shape) < 0.05
        end[hit & (end == ord("T")) & shows_t[:, None]] = ord("C")
        end[hit & (end == ord("A")) & ~shows_t[:, None]] = ord("G")
        return ReadPairs(block.bases_1, block.qualities_1, block.bases_2, block.qualities_2)

    reasons = cycle_bias(simulated(tmp_path, change).cycles)
    assert reasons and all(r.startswith("read 2, cycles 226-250: ") for r in reasons)
    assert any("non-conversion" in r for r in reasons)


def test_the_cycles_table_is_as_its_schema_says(bench, root):
    schema = yaml.safe_load((root / "workflow" / "schemas" / "methylation_cycles.schema.yaml").read_text())
    for pairs in ([], [bench.pair(bench.molecule())]):
        table = count_library(bench.write(pairs), bench.panel(), "L1").cycles
        assert list(table.columns) == list(schema["properties"]) == schema["required"]
        for row in table.to_dict("records"):
            jsonschema.validate(row, schema)
