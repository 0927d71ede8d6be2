"""Levels that another laboratory finished: arrays, EpiTYPER units, regions, replicates, and every damage its line."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from hpaxis.methylation.assays.finished_levels import check_levels, read_levels
from hpaxis.methylation.levels.finished import read_finished
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.panels.panel import make_panel, read_panel
from hpaxis.schemas import load, with_defaults
from hpaxis.shipped import PANELS

SETTINGS = with_defaults({}, load("config/methylation"))
OPEN = SETTINGS.levels
CPGS = [f"amp_CpG{i}" for i in range(1, 5)]


@pytest.fixture
def panel(tmp_path):
    """Four CpGs of one amplicon."""
    (tmp_path / "reference.fa").write_text(">amp\nTTCGATACGTTAACGTTTCGTAATTCAATT\n")
    return make_panel(tmp_path / "reference.fa")


def sheet_of(path, *names, **columns):
    rows = pd.DataFrame({"library_id": names, "participant_id": names, "timepoint": "t", "kind": "study"})
    rows = rows.assign(panel="toy", expected_percent=np.nan, plate=None, well=None, levels=str(path), assay="levels")
    return rows.assign(row=range(2, len(rows) + 2), **columns)


def written(path, rows):
    path.write_text("\n".join("\t".join(map(str, r)) for r in rows) + "\n")
    return path


def measure(sheet, panel, table):
    return estimate_study(
        sheet.iloc[:0], {"toy": panel}, {}, SETTINGS, read_finished(sheet, {"toy": panel}, table, SETTINGS)
    )


def test_each_unit_of_measurement_gives_the_same_level(panel, tmp_path):
    """4 % is .04 is an M value of log2(.04 / .96); errors follow by the delta method."""
    m, slope = np.log2(0.04 / 0.96), np.log(2) * 0.04 * 0.96
    for unit, level, se in (("percent", 4, 1), ("fraction", 0.04, 0.01), ("m_value", m, 0.01 / slope)):
        rows = [("library_id", "cpg_id", unit, f"se_{unit}"), *[("L1", c, level, se) for c in CPGS]]
        sheet = sheet_of(written(tmp_path / "t.tsv", rows), "L1")
        found = read_levels(sheet, {"toy": panel}, OPEN, "s")
        assert found["level"].tolist() == pytest.approx([0.04] * 4) and found["se"].tolist() == pytest.approx(
            [0.01] * 4
        )
        row = measure(sheet, panel, found).libraries.iloc[0]
        assert row["region_mean_beta"] == pytest.approx(0.04) and row["region_mean_beta_se"] == pytest.approx(0.005)
        assert row["region_mean_beta_high"] == pytest.approx(0.04 + 1.959964 * 0.005)
        assert row["verdict"] == "pass" and "not corrected for conversion" in row["reasons"]


def test_a_unit_of_several_cpgs_stands_for_each_and_its_error_is_not_divided(panel, tmp_path):
    """CpG 1 and 2 are one EpiTYPER unit: the mean of four is half of it and a quarter of each other."""
    rows = [("library_id", "cpg_id", "percent", "se_percent"), ("L1", f"{CPGS[0]};{CPGS[1]}", 8, 2),
            ("L1", CPGS[2], 4, 1), ("L1", CPGS[3], 2, 1)]  # fmt: skip
    sheet = sheet_of(written(tmp_path / "t.tsv", rows), "L1")
    found = measure(sheet, panel, read_levels(sheet, {"toy": panel}, OPEN, "s"))
    row, calls = found.libraries.iloc[0], found.calls["L1"]
    assert row["region_mean_beta"] == pytest.approx((8 + 8 + 4 + 2) / 400)
    assert row["region_mean_beta_se"] == pytest.approx(np.sqrt(2**2 / 4 + 1 / 16 + 1 / 16) / 100)
    assert calls["beta"].tolist() == pytest.approx([0.08, 0.08, 0.04, 0.02])
    assert calls["flags"].fillna("").tolist() == ["unit_mean", "unit_mean", "", ""]
    assert "1 of 3 levels are means of several CpGs" in row["reasons"]


def test_a_region_is_named_by_an_index(panel, tmp_path):
    rows = [("library_id", "cpg_id", "percent", "se_percent"), ("L1", "region_mean", 5, 1.5)]
    sheet = sheet_of(written(tmp_path / "t.tsv", rows), "L1")
    found = measure(sheet, panel, read_levels(sheet, {"toy": panel}, OPEN, "s")).indices.iloc[0]
    assert found["region_mean_beta"] == pytest.approx(0.05) and found["region_mean_beta_se"] == pytest.approx(0.015)


def test_a_matrix_of_an_array_is_read_by_its_probes(tmp_path):
    """450K and EPIC v2 names of the shipped panel's probes, other probes beside them; its unit must be said."""
    panel = read_panel(PANELS / "nr3c1_exon1f")
    probes = panel.aliases.loc[panel.aliases["alias"].str.startswith("cg"), ["alias", "cpg_id"]]
    assert len(probes) == 5
    rows = [("", "L1", "L2"), ("cg00000029", 0.5, 0.6)]
    rows += [(f"{p}_BC21" if i % 2 else p, 0.02 + 0.01 * i, 0.03) for i, p in enumerate(probes["alias"])]
    path = written(tmp_path / "betas.tsv", rows)
    sheet = sheet_of(path, "L1", "L2")
    assert "whose unit nothing says" in check_levels(sheet, {"toy": panel}, OPEN, "s")[0].what
    assert "without an error" in check_levels(sheet, {"toy": panel}, OPEN | {"unit": "fraction"}, "s")[0].what
    found = read_levels(sheet, {"toy": panel}, OPEN | {"unit": "fraction", "sd": 1.0}, "s")
    mine = found[found["library_id"] == "L1"].set_index("cpg_ids")["level"]
    assert mine.to_dict() == pytest.approx({c: 0.02 + 0.01 * i for i, c in enumerate(probes["cpg_id"])})
    calls = measure(sheet, panel, found).calls["L1"]
    assert calls["beta"].notna().sum() == 5 and (calls["flags"] == "not_measured").sum() == len(calls) - 5


def test_replicates_tell_the_error_and_intervals_hold_the_truth(panel, tmp_path):
    """60 libraries, each CpG twice, error .8 points: the SD within 15 % (240 d.f.), 95 % intervals of the mean."""
    rng, rows, truth = np.random.default_rng(6), [("library_id", "cpg_id", "percent")], {}
    for i in range(60):
        true = rng.uniform(2, 4.5, 4)
        truth[f"L{i}"] = true.mean() / 100
        rows += [(f"L{i}", c, max(v + rng.normal(0, 0.8), 0)) for c, v in zip(CPGS, true) for _ in range(2)]
    sheet = sheet_of(written(tmp_path / "t.tsv", rows), *truth)
    table = read_levels(sheet, {"toy": panel}, OPEN, "s")
    assert 100 * table["se"].iloc[0] * np.sqrt(2) == pytest.approx(0.8, rel=0.15)
    found = measure(sheet, panel, table).libraries.set_index("library_id")
    held = [
        found.loc[i, "region_mean_beta_low"] <= t <= found.loc[i, "region_mean_beta_high"] for i, t in truth.items()
    ]
    assert sum(held) >= binom.ppf(0.001, 60, 0.95)


DAMAGE = {
    "no unit": ([("library_id", "cpg_id", "beta"), ("L1", CPGS[0], 3)], "has 0 columns of levels"),
    "two units": ([("library_id", "cpg_id", "percent", "fraction"), ("L1", CPGS[0], 3, 0.03)], "has 2 columns"),
    "percent as fraction": (
        [("library_id", "cpg_id", "fraction", "se_fraction"), ("L1", CPGS[0], 3, 0.1)],
        "is no level",
    ),
    "text": ([("library_id", "cpg_id", "percent", "se_percent"), ("L1", CPGS[0], "low", 1)], "is no level"),
    "unknown CpG": (
        [("library_id", "cpg_id", "percent", "se_percent"), ("L1", "CpG 77", 3, 1)],
        "is no CpG of the panel",
    ),
    "other library": ([("library_id", "cpg_id", "percent", "se_percent"), ("L9", CPGS[0], 3, 1)], "has no level in"),
    "no error": ([("library_id", "cpg_id", "percent"), ("L1", CPGS[0], 3)], "without an error"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_a_line(panel, tmp_path, damage):
    rows, what = DAMAGE[damage]
    found = check_levels(sheet_of(written(tmp_path / "t.tsv", rows), "L1"), {"toy": panel}, OPEN, "s")
    assert found and what in found[0].what and found[0].remedy
