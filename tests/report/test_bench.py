import re

import pandas as pd

from hpaxis.report.bench import Bench, bench_page, repeat_rows, saliva_maps

LIBRARIES = pd.DataFrame({
    "library_id": ["L2", "L1", "C0", "L3"], "kind": ["study", "study", "control_0", "study"], "plate": "B01",
    "well": ["A01", "B02", "H12", "C03"], "pairs_in": 2000, "on_target": 1900, "merged": 1800, "passed": 1700,
    "non_conversion": 0.01, "median_depth": 900.0, "effective_depth": 62.0, "region_mean_beta": 0.03,
    "verdict": ["fail", "warn", "fail", "pass"],
    "reasons": ["conversion 99.17 %, below 99.5 % (target); median effective depth 62 molecules, below 100 molecules",
                "conversion 98.8 %, below 99 %", "conversion 97 %, below 98 %", None],
})  # fmt: skip
RERUN = pd.DataFrame([{"plate_id": "P1", "role": "sample", "sample": "H7", "wells": "A1;A2", "reason": "wells differ",
                       "action": "repeat in duplicate"}])  # fmt: skip
LIMITS = ("98 %", "100 ")


def test_what_to_repeat_stands_in_order_with_what_failed_it_first():
    table = repeat_rows(LIBRARIES, RERUN, LIMITS)
    assert table["id"].tolist() == ["C0", "L2", "H7", "L1"]
    failed = table[table["id"] == "L2"].iloc[0]
    assert failed["first"].startswith("median effective depth") and failed["others"].endswith("(target)")
    assert "input" in failed["action"] and "bisulfite" in table.iloc[0]["action"]


def test_plate_maps_have_each_library_in_its_well():
    plate = next(saliva_maps(LIBRARIES))
    cells = {(row[0], i): cell for row in plate.rows for i, cell in enumerate(row[1:], start=1)}
    assert cells["A", 1] == "✕ L2" and cells["B", 2] == "! L1" and cells["C", 3] == "✓ L3" and cells["H", 12] == "✕ C0"
    assert sum(bool(c) for c in cells.values()) == 4


def test_the_page_says_that_it_must_not_be_shared_and_names_everything(config):
    page = bench_page(Bench(config, LIBRARIES, None))
    assert "Not for sharing" in page and page.index("Not for sharing") < page.index("At a glance")
    for name in ("L1", "L2", "L3", "C0"):
        assert page.count(name) >= 2
    assert len(set(ids := re.findall(r' id="([^"]+)"', page))) == len(ids)


def test_limits_that_cannot_warn_are_said(config):
    curves = pd.DataFrame({"plate_id": ["P1", "P2", "P3"], "kit": "k", "model": "4PL", "weights": "none",
                           "n_standards": 8, "recovery_min_percent": 90.0, "recovery_max_percent": 110.0,
                           "r_squared": 0.99, "lod": 1.0, "lloq": 2.0, "uloq": 3.0, "unit": "pg/mL",
                           "verdict": "pass"})  # fmt: skip
    controls = pd.DataFrame(columns=["control", "plate_id", "nominal", "concentration", "cv_percent",
                                     "recovery_percent", "z", "verdict", "reason"])  # fmt: skip
    quality = pd.DataFrame(columns=["plate_id", "check", "subject", "verdict", "reason", "remedy"])
    samples = pd.DataFrame({"hair_id": ["H7"]})
    tables = {"curves": curves, "controls": controls, "quality": quality, "samples": samples, "rerun": RERUN}
    page = re.sub(r"</?i>", "", bench_page(Bench(config, None, tables)))
    assert "With 3 plates no control can lie 2 SD" in page and "1.15 SD" in page and "H7" in page
