"""The page on the quality of the libraries, and what MultiQC is given."""

import json
import shutil
import subprocess

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hpaxis.methylation.counting.calls import FATES
from hpaxis.methylation.figures.calibration import plot_calibration
from hpaxis.methylation.figures.cycles import plot_cycles
from hpaxis.methylation.figures.multiqc import multiqc_sections
from hpaxis.report.quality import Quality, plate_by_arm, quality_page

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72"><g id="a"><path d="M 0 0 L 9 9"/></g></svg>'


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.fixture
def reads(libraries):
    """A hundred pairs a library: 90 passed, 6 dimers, 4 off target; 1 of 100 CHH and 2 of 100 CHG left unconverted."""
    table = pd.DataFrame({"library_id": libraries["library_id"], "pairs_in": 100, **dict.fromkeys(FATES, 0)})
    return table.assign(
        passed=90, dimers=6, off_target=4, non_cpg_unconverted=3, non_cpg_converted=197, chg_unconverted=2,
        chg_converted=98, chh_unconverted=1, chh_converted=99, t_bases=1000, t_mismatches=4, t_read_as_c=1,
        t_error_by_quality=0.003,
    )  # fmt: skip


@pytest.fixture
def cycles(libraries):
    """Two cycles a mate and library; at cycle 30 of read 2 three times the non-conversion that is expected."""
    rows = [(library, mate, cycle, 2, 98, 2.0, 3 if (mate, cycle) == (2, 30) else 1, 99, 1.0)
            for library in libraries["library_id"] for mate in (1, 2) for cycle in (25, 30)]  # fmt: skip
    return pd.DataFrame(rows, columns=[
        "library_id", "mate", "cycle", "methylated", "unmethylated", "methylated_expected", "unconverted", "converted",
        "unconverted_expected"])  # fmt: skip


@pytest.fixture
def known(libraries):
    """The libraries with plates and what controls are known to hold."""
    return libraries.assign(
        failed_molecules=0.0021, plate=["P1"] * 11 + ["P2"] * 13, expected_percent=[np.nan] * 22 + [3.0, np.nan]
    )


@pytest.fixture
def quality(config, sheet, known, concordance, reads, cycles):
    limits = pd.DataFrame({"panel": ["p"], "index": ["region_mean"], "n_blanks": [2], "n_low": [1],
                           "blank_mean": [0.0001], "blank_sd": [0.0004], "lob": [0.0008], "lod": [0.0015]})  # fmt: skip
    leak = pd.DataFrame({"plate": ["P1"], "n_no_template": [1], "molecules": [3], "leaked": [3.0], "leaked_low": [0.62],
                         "leaked_high": [8.77], "level": [0.031], "corrected": ["yes"], "reason": [None]})  # fmt: skip
    curves = pd.DataFrame({"panel": ["p"], "index": ["all CpGs"], "assay": ["reads"], "method": ["none"],
                           "n": [7], "chosen": ["yes"],
                           "reason": ["no curve is better by AICc"]})  # fmt: skip
    level = pd.DataFrame({"library_id": known["library_id"], "amplicon": "a", "n_windows": 3, "pdr": 0.1234})
    for column in ("epipolymorphism", "entropy", "mhl", "share_many", "share_many_by_chance"):
        level[column] = 0.01
    people = pd.DataFrame({"participant_id": [f"1{i:04d}" for i in range(20)], "arm": ["control", "treatment"] * 10})
    figures = dict.fromkeys(("conversion", "cycles", "concordance", "calibration"), SVG)
    return Quality(config, sheet, known, limits, leak, curves, level, concordance, reads, cycles, people, figures)


def test_the_page_tells_what_was_measured(quality):
    page = quality_page(quality)
    for text in (
        "90.00%",
        "6.00%",
        "1.500%",
        "2.000%",
        "0.400%",
        "0.1000%",
        "0.300%",
        "0.15%",
        "0.1234",
        "P1",
        "NTC-1",
    ):
        assert text in page, text
    assert "median depth 60 is below 100" in page
    assert quality_page(quality) == page


def test_no_library_of_a_person_is_named(quality):
    page = quality_page(quality)
    study = quality.libraries.loc[quality.libraries["kind"] == "study", "library_id"]
    assert not [name for name in study if name in page]


def test_small_cells_are_withheld_by_the_plate(quality):
    table = plate_by_arm(quality.libraries, quality.people, ["control", "treatment"], 5)
    assert table.rows == (("P1", "6", "5"), ("P2", "withheld", "withheld"))
    assert plate_by_arm(quality.libraries, quality.people, ["control", "treatment"], 0).rows[1] == ("P2", "4", "5")


def test_without_reads_there_is_still_a_page(quality):
    empty = {name: pd.DataFrame() for name in ("reads", "cycles")}
    page = quality_page(Quality(**{**vars(quality), **empty}))
    assert "Where read pairs went" not in page and "Controls and standards" in page


def test_cycles_that_few_reads_show_are_not_drawn(cycles):
    rare = cycles.assign(cycle=200, methylated=0, unmethylated=1, unconverted=0, converted=1).head(1)
    axes = plot_cycles(pd.concat([cycles, rare])).axes
    drawn = axes[0].collections[1].get_offsets()
    assert sorted(set(drawn[:, 0].tolist())) == [25, 30]
    assert drawn[:, 1].tolist() == pytest.approx([2, 2])
    assert plot_cycles(cycles.head(0)).axes[0].texts


def test_standards_are_drawn_by_how_far_they_read_from_what_is_known():
    standards = pd.DataFrame({"panel": "p", "index": ["all CpGs"] * 3 + ["first"], "assay": "reads",
                              "library_id": list("abca"),
                              "known": [0.0, 0.1, 1.0, 0.0],
                              "observed": [0.001, 0.08, 0.99, 0.5], "se": 0.001})  # fmt: skip
    curves = pd.DataFrame({"panel": "p", "index": "all CpGs", "assay": "reads",
                           "method": ["minmax", "none"], "a": [0.8, np.nan],
                           "b": [0.001, np.nan], "c": np.nan, "d": np.nan, "chosen": ["yes", "no"]})  # fmt: skip
    low, high = plot_calibration(standards, curves, 0.95).axes
    points, line = low.lines[0].get_xydata(), low.lines[1].get_xydata()
    assert points == pytest.approx(np.array([[0, 0.1], [10, -2]])) and high.lines[0].get_xydata()[0, 0] == 100
    assert line[-1] == pytest.approx([10, 100 * (0.08 + 0.001 - 0.1)])
    assert plot_calibration(standards.head(0), curves.head(0), 0.95).axes[0].texts


def test_multiqc_is_told_the_same_numbers(known, reads, cycles):
    sections = multiqc_sections(known, reads, cycles)
    assert json.loads(json.dumps(sections, allow_nan=False)) == sections
    general = sections["hpaxis_general_mqc"]["data"]
    assert general["L10001"]["verdict"] == "fail" and set(general) == set(known["library_id"])
    assert "level" not in general["NTC-1"]
    assert sections["hpaxis_fates_mqc"]["data"]["L10000"]["passed"] == 90
    assert sections["hpaxis_controls_mqc"]["data"]["S03-1"]["expected"] == 3
    assert sections["hpaxis_cycles_mqc"]["data"]["L10000 read 2"] == {
        "25": 0.0,
        "30": pytest.approx(200 / 102, abs=1e-3),
    }
    assert multiqc_sections(known, pd.DataFrame(), pd.DataFrame())["hpaxis_cycles_mqc"]["data"] == {}


@pytest.mark.skipif(shutil.which("multiqc") is None, reason="MultiQC is not installed")
def test_multiqc_reads_them(known, reads, cycles, tmp_path):
    for name, section in multiqc_sections(known, reads, cycles).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(section))
    subprocess.run(["multiqc", "-o", tmp_path / "out", tmp_path], check=True, capture_output=True)
    table = pd.read_csv(tmp_path / "out" / "multiqc_data" / "multiqc_general_stats.txt", sep="\t")
    assert set(table["Sample"]) == set(known["library_id"])
