"""Where other tools lose or invent methylation without a word, one test each: what is read here is what was put in.

The second caller's part in these (depth beyond 8,000, lower-case references, an empty library) is in
test_methylpy.py.
"""

import shutil

import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.assays.methylpy import call_methylpy
from hpaxis.methylation.counting.bam import BamWriter
from hpaxis.methylation.counting.calls import count_library
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.panels.panel import make_panel, read_panel, reverse_complement, write_panel
from hpaxis.schemas import load, with_defaults

SETTINGS = with_defaults({}, load("config/methylation")) | {"depth_fail": 5}


def estimates(panel, tables, **kinds):
    """The whole estimate of libraries that are the study's unless ``kinds`` says otherwise."""
    rows = []
    for name in tables:
        kind = kinds.get(name, "study")
        mine = {"participant_id": name, "timepoint": "t"} if kind == "study" else {}
        rows.append({
            "library_id": name, "participant_id": np.nan, "timepoint": np.nan, "kind": kind, "panel": "toy",
            "expected_percent": np.nan, "plate": None, "well": None, "input_ng": 1000.0,
        } | mine)  # fmt: skip
    return estimate_study(pd.DataFrame(rows), {"toy": panel}, tables, SETTINGS)


def test_sparse_cytosines_in_a_read_are_all_called(bench):
    """A gap of 94 and more bases between Cs is where methylpy's own mapping loses them."""
    spacer = "TGATTGTTAAGTTGGATAGATTTTAGGTATTGATAAGTTAGAATGTAGGTTATGATGGAATTTGTTGTAAAGGTATAGTTTGAATGGATTATGTAGATG"
    reference = spacer + "CG" + spacer[::-1].replace("GA", "AG") + "ACGA" + spacer[:60]
    assert reference.rindex("CG") - reference.index("CG") > 94
    (bench.folder / "r.fa").write_text(f">sparse\n{reference}\n")
    calls = bench.count([((reference, "I" * len(reference)),)] * 3, make_panel(bench.folder / "r.fa"))
    assert list(calls.counts["methylated"]) == [3, 3]


def test_depth_of_20000_is_counted_whole_and_copies_are_not_removed(bench):
    """In file order, so that a cap at 8,000 or 2,000 would read 0 % here."""
    methylated, plain = bench.pair(bench.molecule((0,))), bench.pair(bench.molecule())
    pairs = [plain] * 10_000 + [methylated] * 10_000
    calls = bench.count(pairs)
    assert bench.levels(calls)[0] == (10_000, 10_000, 0)
    assert list(calls.counts["depth"]) == [20_000] * 7


def test_a_lower_case_reference_is_the_same_reference(bench):
    pairs = [bench.pair(bench.molecule((2,)))]
    upper = bench.count(pairs, bench.panel())
    lower = bench.count(pairs, bench.panel(reference=bench.reference.lower(), name="toy"))
    assert upper.counts.equals(lower.counts) and bench.levels(upper)[2] == (1, 0, 0)


def test_overlapping_mates_count_a_molecule_once(bench):
    assert len(bench.cpgs) == 7 and len(bench.reference) == 150
    pairs = [bench.pair(bench.molecule(m)) for m in [(), (0,), (0, 3), (6,)]]
    calls = bench.count(pairs)
    assert bench.levels(calls) == [(2, 2, 0), (0, 4, 0), (0, 4, 0), (1, 3, 0), (0, 4, 0), (0, 4, 0), (1, 3, 0)]
    assert list(calls.counts["depth"]) == [4] * 7
    assert list(calls.counts["pos"]) == [1001 + o for o in bench.cpgs]
    assert bench.fates(calls) == {"passed": 4}
    assert int(calls.reads["merged"].iloc[0]) == 4


def test_primer_bases_never_count_however_they_read(bench):
    """Primers are synthetic: an amplicon whose primer sites hold Cs shows none of them as conversion or methylation."""
    molecule = bench.molecule()
    wrong = bench.reference[:20] + molecule[20:130] + bench.reference[130:]
    assert wrong[:20].count("C") > 3
    calls = bench.count([bench.pair(wrong)])
    assert bench.levels(calls) == [(0, 1, 0)] * 7
    assert calls.reads["non_cpg_unconverted"].iloc[0] == 0
    assert calls.reads["non_cpg_converted"].iloc[0] == len(bench.others)


def test_primers_in_a_negative_control_are_no_molecules(bench):
    """A control without template holds dimers, and primers run into adapter: none is a molecule, no base of theirs
    counts, and the control passes."""
    adapter = "AGATCGGAAGAGCACACGTCTGAACTCCAGTCAC" + "A" * 80
    forward, reverse = bench.forward_primer, bench.reverse_primer
    dimer = forward + reverse_complement(reverse)
    pairs = [tuple((s[:100], "I" * 100) for s in (dimer + adapter, reverse_complement(dimer) + adapter))] * 30
    pairs += [tuple((s[:100], "I" * 100) for s in (forward + adapter, reverse + adapter))] * 20
    control = bench.count(pairs, name="N1")
    assert bench.levels(control) == [(0, 0, 0)] * 7 and control.patterns.empty
    assert control.reads[["passed", "on_target", "non_cpg_unconverted", "non_cpg_converted"]].eq(0).all(axis=None)
    sample = bench.count([bench.pair(bench.molecule())] * 40, name="L1")
    found = estimates(bench.panel(), {"L1": sample, "N1": control}, N1="no_template").libraries.set_index("library_id")
    assert found.loc["N1", "verdict"] == "pass"


def test_a_c_to_t_variant_at_a_cpg_does_not_lower_an_index(bench):
    """One allele has lost the first CpG, which reads 25 % where the person's is 50 %; a mask leaves it out. What else a
    mask does is in test_variants.py."""
    pairs = [bench.pair(bench.molecule((0, 1) if i % 4 == 0 else (1,) if i % 4 == 1 else ())) for i in range(80)]
    write_panel(bench.panel(), bench.folder / "toy")
    (bench.folder / "toy" / "snp_mask.tsv").write_text(
        f"chrom\tpos\tref\talt\tallele_frequency\tsource\nchr1\t{1001 + bench.cpgs[0]}\tC\tT\t0.3\tmade up\n"
    )
    indices = {}
    for name, panel in (("plain", bench.panel()), ("masked", read_panel(bench.folder / "toy"))):
        found = estimates(panel, {"L1": bench.count(pairs, panel)})
        indices[name] = found.indices["first_two_beta"].iloc[0]
    assert indices == {"plain": pytest.approx(0.375), "masked": pytest.approx(0.5)}


def test_both_orientations_give_the_same_counts(bench):
    molecules = [bench.molecule(m) for m in [(), (0, 1), (5,)]]
    plain = bench.count([bench.pair(m) for m in molecules])
    turned = bench.count([bench.pair(m, turned=True) for m in molecules])
    assert plain.counts.equals(turned.counts)
    assert (plain.reads["forward"].iloc[0], turned.reads["reverse"].iloc[0]) == (3, 3)


def test_one_library_alone_is_a_study(bench):
    calls = bench.count([bench.pair(bench.molecule((0,) if i % 5 == 0 else ())) for i in range(50)])
    found = estimates(bench.panel(), {"L1": calls})
    assert found.libraries["library_id"].tolist() == ["L1"] and found.calls["L1"]["beta"].iloc[0] == pytest.approx(0.2)
    assert found.indices["region_mean_beta"].iloc[0] == pytest.approx(0.2 / 7)
    assert found.limits["n_blanks"].tolist() == [0, 0]


def test_a_library_without_reads_gives_zeros_and_fails_alone(bench):
    calls = bench.count([])
    assert bench.levels(calls) == [(0, 0, 0)] * 7
    assert calls.patterns.empty
    assert bench.fates(calls) == {} and calls.reads["pairs_in"].iloc[0] == 0
    other = bench.count([bench.pair(bench.molecule((0,)))] * 2000, name="L2")
    found = estimates(bench.panel(), {"L1": calls, "L2": other})
    verdicts = found.libraries.set_index("library_id")["verdict"]
    assert verdicts["L1"] == "fail" and verdicts["L2"] != "fail"
    indices = found.indices.set_index("participant_id")["region_mean_beta"]
    assert np.isnan(indices["L1"]) and indices["L2"] == pytest.approx(1 / 7)


def test_files_of_one_name_in_two_runs_do_not_collide(bench):
    """Both runs call their files S1_R1.fastq.gz: tables, BAM and the second caller go by the library's id."""
    panel, tables, paths = bench.panel(), {}, {}
    for library, methylated in (("run1_S1", ()), ("run2_S1", (0, 4))):
        folder = bench.folder / library
        folder.mkdir()
        made = bench.write([bench.pair(bench.molecule(methylated))] * 20, "S1")
        fastq = [shutil.move(path, folder / path.name) for path in made]
        assert fastq[0].name == "S1_R1.fastq.gz"
        paths[library] = bench.folder / f"{library}.bam"
        with BamWriter(paths[library], panel.references, library) as bam:
            tables[library] = count_library(fastq, panel, library, sink=bam.add)
    assert bench.levels(tables["run1_S1"]) == [(0, 20, 0)] * 7
    assert bench.levels(tables["run2_S1"]) == [(20, 0, 0) if i in (0, 4) else (0, 20, 0) for i in range(7)]
    second = call_methylpy({name: str(path) for name, path in paths.items()}, panel, 20)
    assert {name: int(table["methylated"].sum()) for name, table in second.items()} == {"run1_S1": 0, "run2_S1": 40}
    found = estimates(panel, tables).indices.set_index("participant_id")["region_mean_beta"]
    assert found.to_dict() == {"run1_S1": 0, "run2_S1": pytest.approx(2 / 7)}


def test_a_control_at_100_percent_reads_full_and_corrects_nothing(bench):
    calls = bench.count([bench.pair(bench.molecule(range(7)))] * 50, name="C1")
    assert bench.levels(calls) == [(50, 0, 0)] * 7
    assert bench.fates(calls) == {"passed": 50}
    sample = bench.count([bench.pair(bench.molecule((0,)))] * 50, name="L1")
    found = estimates(bench.panel(), {"C1": calls, "L1": sample}, C1="control_100")
    rows = found.libraries.set_index("library_id")
    assert rows.loc["C1", "region_mean_beta"] == pytest.approx(1) and rows.loc[
        "L1", "over_conversion"
    ] == pytest.approx(0, abs=1e-12)
    assert found.calls["L1"]["beta"].tolist() == pytest.approx([1, 0, 0, 0, 0, 0, 0])
