"""Conversion by context and sequencing error, from reads made by hand and from simulated ones of known error."""

import jsonschema
import numpy as np
import pytest
import yaml

from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.panels.panel import panel_folder, read_panel, reverse_complement
from hpaxis.simulation.reads import ERROR_BELOW, Library, panel_amplicon, random_stream, simulate_reads, write_fastq

PANEL = read_panel(panel_folder("nr3c1_exon1f"))
AMPLICON = panel_amplicon(PANEL)


def reads_row(bench, pairs, panel=None):
    return count_library(bench.write(pairs), panel or bench.panel(), "L1").reads.iloc[0]


def contexts(bench):
    """Offsets of the bench's cytosines outside CpGs, by context, read off the reference."""
    found = {"chg": [], "chh": []}
    for i in bench.others:
        found["chg" if bench.reference[i + 2] == "G" else "chh"].append(i)
    return found


def test_conversion_is_told_by_context(bench):
    known = contexts(bench)
    assert len(known["chg"]) > 2 and len(known["chh"]) > 2
    kept = [*known["chg"][:2], known["chh"][0]]
    row = reads_row(bench, [bench.pair(bench.molecule((0, 3), kept)), bench.pair(bench.molecule())])
    assert (row["chg_unconverted"], row["chh_unconverted"]) == (2, 1)
    assert row["chg_converted"] == 2 * len(known["chg"]) - 2
    assert row["chh_converted"] == 2 * len(known["chh"]) - 1


def test_contexts_of_the_bottom_strand_are_those_of_its_own_cytosines(bench):
    opposite = reverse_complement(bench.reference)
    chg = [
        i for i in range(len(opposite) - 2) if opposite[i] == "C" and opposite[i + 1] != "G" and opposite[i + 2] == "G"
    ]
    molecule = reverse_complement(bench.convert(opposite, chg[:2]))
    row = reads_row(bench, [bench.pair(molecule)], bench.panel(primers=False))
    assert (row["chg_unconverted"], row["chg_converted"]) == (2, len(chg) - 2)
    assert row["chh_unconverted"] == 0
    assert row["t_bases"] == bench.reference[: len(molecule)].count("A") and row["t_mismatches"] == 0


def test_a_cytosine_whose_context_varies_counts_in_the_total_only(bench):
    i = contexts(bench)["chg"][0]
    reference = bench.reference[: i + 2] + "R" + bench.reference[i + 3 :]
    row = reads_row(bench, [bench.pair(bench.molecule((), [i]))], bench.panel(reference=reference, name="varies"))
    assert row["non_cpg_unconverted"] == 1
    assert row["chg_unconverted"] == row["chh_unconverted"] == 0
    assert row["non_cpg_converted"] == row["chg_converted"] + row["chh_converted"]


def test_errors_are_counted_where_the_reference_has_t(bench):
    """Both mates read each change alike, so that none is lost to disagreement."""
    molecule = list(bench.molecule())
    at_t = [i for i in range(20, 130) if bench.reference[i] == "T"]
    for i, base in zip(at_t[3::9], "CAG", strict=False):
        molecule[i] = base
    at_a = next(i for i in range(60, 130) if bench.reference[i] == "A")
    molecule[at_a] = "G"
    row = reads_row(bench, [bench.pair("".join(molecule), length=130)] * 2)
    assert (row["t_bases"], row["t_mismatches"], row["t_read_as_c"]) == (2 * len(at_t), 6, 2)
    assert (row["known_bases"], row["mismatches"]) == (2 * 110, 8)
    assert row["t_error_by_quality"] == pytest.approx(1e-4)


def test_molecules_that_do_not_pass_and_poor_bases_are_left_out(bench):
    good = bench.pair(bench.molecule())
    failed = bench.pair(bench.molecule((), bench.others))
    alone, both = reads_row(bench, [good]), reads_row(bench, [good, failed])
    names = [c for c in alone.index if c.startswith(("chg", "chh", "t_", "known", "mismatch"))]
    assert len(names) == 10 and alone[names].equals(both[names])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """5,000 pairs whose sequencer errs as its qualities say, at a known non-conversion and nothing methylated."""
    folder = tmp_path_factory.mktemp("tallies")
    rng = random_stream(5, "tallies")
    library = Library("L1", np.zeros(AMPLICON.offsets.size), own=5000, non_conversion=0.01)
    paths = [folder / f"{mate}.fastq.gz" for mate in (1, 2)]
    write_fastq(simulate_reads(AMPLICON, library, rng), *paths)
    return count_library(paths, PANEL, "L1").reads.iloc[0]


def test_each_context_shows_the_non_conversion_put_in(simulated):
    for context in ("chg", "chh"):
        unconverted, converted = simulated[f"{context}_unconverted"], simulated[f"{context}_converted"]
        n = unconverted + converted
        assert n > 50_000
        # Templates are copied, so that about half as many sites are independent: four standard errors of those.
        assert unconverted / n == pytest.approx(0.01, abs=4 * (0.01 * 0.99 / (n / 2)) ** 0.5 + 1e-4)
    total = simulated["chg_unconverted"] + simulated["chh_unconverted"]
    assert total <= simulated["non_cpg_unconverted"] <= 1.1 * total


def test_errors_seen_are_those_that_qualities_state(simulated):
    """Where one mate reads alone, errors come as its quality says; where both agree, they are far rarer than the better
    quality says, so the share seen lies below the share stated, and a third of it reads C."""
    n, wrong = simulated["t_bases"], simulated["t_mismatches"]
    assert n > 200_000 and wrong > 20
    assert 0.1 * simulated["t_error_by_quality"] < wrong / n <= 1.2 * simulated["t_error_by_quality"]
    assert simulated["t_read_as_c"] / wrong == pytest.approx(1 / 3, abs=4 * (2 / 9 / wrong) ** 0.5)
    assert ERROR_BELOW[20] / 2**32 == pytest.approx(0.01, rel=1e-6)


def test_single_reads_show_the_error_their_qualities_state(tmp_path):
    """Without a second mate nothing is merged: seen and stated agree within four standard errors."""
    library = Library("L1", np.zeros(AMPLICON.offsets.size), own=4000)
    paths = [tmp_path / f"{mate}.fastq.gz" for mate in (1, 2)]
    write_fastq(simulate_reads(AMPLICON, library, random_stream(6, "tallies")), *paths)
    row = count_library(paths[:1], PANEL, "L1").reads.iloc[0]
    share, stated = row["t_mismatches"] / row["t_bases"], row["t_error_by_quality"]
    assert stated == pytest.approx(share, abs=4 * (stated / row["t_bases"]) ** 0.5 + 0.1 * stated)


def test_the_reads_table_is_as_its_schema_says(bench, root):
    schema = yaml.safe_load((root / "workflow" / "schemas" / "methylation_reads.schema.yaml").read_text())
    for pairs in ([], [bench.pair(bench.molecule())]):
        row = reads_row(bench, pairs)
        assert list(row.index) == list(schema["properties"]) == schema["required"]
        plain = {k: v.item() if hasattr(v, "item") else v for k, v in row.items()}
        jsonschema.validate({k: None if v is None or v != v else v for k, v in plain.items()}, schema)
