"""A pyrosequencer's exports: every form gives the same readings, every damage its own line, and truth its interval."""

from types import SimpleNamespace

import numpy as np
import openpyxl
import pandas as pd
import pytest
from scipy.stats import binom, chi2

from hpaxis.methylation.assays.instrument import instrument_error, usable
from hpaxis.methylation.assays.instrument_export import read_export
from hpaxis.methylation.assays.pyrosequencing import check_exports, read_exports
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.libraries import estimate_study
from hpaxis.methylation.levels.readings import Readings, read_pyrosequenced
from hpaxis.methylation.panels.panel import make_panel
from hpaxis.problems import InputError
from hpaxis.schemas import load, with_defaults
from hpaxis.simulation.exports import simulate_readings
from hpaxis.simulation.reads import biased_levels, random_stream

SETTINGS = with_defaults({}, load("config/methylation"))
NONE = SETTINGS.pyrosequencing | {"position_sd": 1.0, "shared_sd": 0.0}
CPGS = [f"amp_CpG{i}" for i in range(1, 5)]
HEADER = ["Well", "Assay", "Sample ID", "Note"]
HEADER += [h for i in range(1, 5) for h in (f"Pos. {i} Meth. (%)", f"Pos. {i} Quality")]
HEADER += ["Bisulfite control Meth. (%)", "Bisulfite control Quality"]
LINES = [
    ["A01", "one", "L1", "", "2.50", "Passed", "3.00", "Check", "4.25", "Passed", "80", "Failed", "0.5", "Passed"],
    ["B01", "one", "L2", "x", "1.50", "Passed", "", "Failed", "2.25", "Passed", "3", "Passed", "1.5", "Passed"],
]

ACCENTED = [[*LINES[0][:3], "é", *LINES[0][4:]], LINES[1]]


@pytest.fixture
def panel(tmp_path):
    """Four CpGs of one amplicon."""
    (tmp_path / "reference.fa").write_text(">amp\nTTCGATACGTTAACGTTTCGTAATTCAATT\n")
    return make_panel(tmp_path / "reference.fa")


def sheet_of(export, *libraries, **columns):
    rows = pd.DataFrame({"library_id": libraries, "participant_id": libraries, "timepoint": "t", "kind": "study"})
    rows = rows.assign(panel="toy", expected_percent=float("nan"), plate=None, well=None, export=str(export))
    return rows.assign(row=range(2, len(rows) + 2), assay="pyrosequencing", **columns)


def text_export(path, mark, comma=False, encoding="utf-8", lines=LINES, header=HEADER):
    rows = ["Run;no table".replace(";", mark), "", mark.join(header)]
    for line in lines:
        cells = [c.replace(".", ",") if comma and c[:1].isdigit() else c for c in line]
        rows.append(mark.join(cells))
    path.write_bytes("\r\n".join(rows).encode(encoding))
    return path


def long_export(path):
    rows = ["library_id\twell\tassay\tcpg_id\tpercent\tquality"]
    for line in LINES:
        values = line[4::2]
        qualities = line[5::2]
        for label, value, quality in zip([*CPGS, "control"], values, qualities):
            rows.append("\t".join([line[2], line[0], line[1], label, value or "NA", quality]))
    path.write_text("\n".join(rows) + "\n")
    return path


def xlsx_export(path):
    book = openpyxl.Workbook()
    book.active.append(["Run", "no table"])
    book.active.append(HEADER)
    for line in LINES:
        book.active.append([float(c) if c[:1].isdigit() else c or None for c in line])
    book.save(path)
    return path


FORMS = {
    "tabs": lambda p: text_export(p / "e.txt", "\t"),
    "semicolons, decimal commas": lambda p: text_export(p / "e.csv", ";", comma=True),
    "commas": lambda p: text_export(p / "e.csv", ","),
    "tabs, decimal commas, UTF-16": lambda p: text_export(p / "e.txt", "\t", comma=True, encoding="utf-16"),
    "Latin-1": lambda p: text_export(p / "e.txt", "\t", encoding="latin-1", lines=ACCENTED),
    "long": lambda p: long_export(p / "long.tsv"),
    "workbook": lambda p: xlsx_export(p / "e.xlsx"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_readings(panel, tmp_path, form):
    path = FORMS[form](tmp_path)
    readings, rows = read_exports(sheet_of(path, "L1", "L2"), {"toy": panel}, NONE, "libraries.tsv")
    table = readings.set_index(["library_id", "cpg_id"])
    assert table["percent"].xs("L1").to_dict() == dict(zip([*CPGS, "control"], [2.5, 3.0, 4.25, 80.0, 0.5]))
    assert table["quality"].xs("L1").to_dict() == dict(
        zip([*CPGS, "control"], ["passed", "check", "passed", "failed", "passed"])
    )
    assert pd.isna(table.loc[("L2", "amp_CpG2"), "percent"])
    assert set(table["well"]) == {"A1", "B1"} and set(table["assay"]) == {"one"}
    assert set(rows["status"]) == {"used"}


def damaged(change):
    lines = [list(line) for line in LINES]
    header = list(HEADER)
    change(header, lines)
    return lambda p: text_export(p / "e.txt", "\t", lines=lines, header=header)


def put(row, column, value):
    def change(header, lines):
        lines[row][column] = value

    return damaged(change)


def rename(column, value):
    def change(header, lines):
        header[column] = value

    return damaged(change)


def raw(data):
    def write(folder):
        (folder / "e.txt").write_bytes(data)
        return folder / "e.txt"

    return write


DAMAGE = {
    "text": (put(0, 4, "n.d."), "is no number", 4, "Pos. 1 Meth. (%)", "n.d."),
    "above 100": (put(1, 6, "230"), "is no percentage", 5, "Pos. 2 Meth. (%)", "230"),
    "negative": (put(1, 6, "-3"), "is no percentage", 5, "Pos. 2 Meth. (%)", "-3"),
    "quality": (put(0, 5, "Perhaps"), "is no quality", 4, "Pos. 1 Quality", "Perhaps"),
    "no sample column": (rename(2, "Probe"), "has no header row", None, None, None),
    "column twice": (rename(6, "Pos. 1 Meth. (%)"), "stands twice in the header", 3, None, "Pos. 1 Meth. (%)"),
    "position unknown": (rename(4, "Pos. 9 Meth. (%)"), "may be any CpG", 4, "Pos. 9 Meth. (%)", "Pos. 9"),
    "well twice": (damaged(lambda h, ls: ls.append(list(ls[0]))), "duplicates row 4", 6, "well", "A1"),
    "cut line": (damaged(lambda h, ls: ls[1].extend(["9", "9"])), "has 16 cells", 5, None, None),
    "binary": (raw(b"\x00\x01\x02" * 50), "is no text", None, None, None),
    "empty": (raw(b"\n\n"), "is empty", None, None, None),
    "broken workbook": (raw(b"PK\x03\x04" + b"x" * 100), "is a damaged XLSX file", None, None, None),
    "sample missing": (put(1, 2, "L9"), "is no sample of", 3, "library_id", "L2"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_said_with_its_place(panel, tmp_path, damage):
    write, what, row, column, value = DAMAGE[damage]
    found = check_exports(sheet_of(write(tmp_path), "L1", "L2"), {"toy": panel}, NONE, "libraries.tsv")
    told = [p for p in found if what in p.what and (p.row, p.column, p.value) == (row, column, value)]
    assert told and told[0].remedy and told[0].file, [str(p) for p in found]


def test_two_damages_are_told_at_once(panel, tmp_path):
    def change(header, lines):
        lines[0][4], lines[1][8] = "x", "y"

    found = check_exports(sheet_of(damaged(change)(tmp_path), "L1", "L2"), {"toy": panel}, NONE, "libraries.tsv")
    assert [(p.row, p.value) for p in found] == [(4, "x"), (5, "y")]


def test_a_name_in_a_cell_is_not_repeated(panel, tmp_path):
    path = put(0, 4, "Zebulon Quackenbush")(tmp_path)
    found = check_exports(sheet_of(path, "L1", "L2"), {"toy": panel}, NONE, "libraries.tsv")
    assert found and "Zebulon" not in "".join(map(str, found))


def test_positions_of_two_assays_need_a_table_and_follow_it(panel, tmp_path):
    lines = [line[:8] for line in LINES] + [["C1", "two", "L1", "", "7", "Passed", "9", "Check"]]
    path = text_export(tmp_path / "e.txt", "\t", lines=lines, header=HEADER[:8])
    sheet = sheet_of(path, "L1", "L2")
    found = check_exports(sheet, {"toy": panel}, NONE, "libraries.tsv")
    assert {(p.value, p.row) for p in found} == {("Pos. 1", 4), ("Pos. 2", 4), ("Pos. 1", 6), ("Pos. 2", 6)}
    positions = tmp_path / "positions.tsv"
    rows = [("one", "1", CPGS[0]), ("one", "Pos. 2", CPGS[1]), ("two", "1", CPGS[3]), ("two", "2", "NA")]
    positions.write_text("\n".join("\t".join(r) for r in [("assay", "position", "cpg_id"), *rows]) + "\n")
    readings, _ = read_exports(sheet, {"toy": panel}, NONE | {"positions": str(positions)}, "libraries.tsv")
    mine = readings[readings["library_id"] == "L1"].set_index("cpg_id")["percent"]
    assert mine.to_dict() == {CPGS[0]: 2.5, CPGS[1]: 3.0, CPGS[3]: 7.0}
    positions.write_text("assay\tposition\tcpg_id\none\t1\tnowhere\n")
    found = check_exports(sheet, {"toy": panel}, NONE | {"positions": str(positions)}, "libraries.tsv")
    assert ("is no CpG of the panels", 2, "nowhere") in {(p.what, p.row, p.value) for p in found}


def test_a_scheme_of_the_panel_numbers_positions(panel, tmp_path):
    aliases = pd.DataFrame({"cpg_id": CPGS[:2], "scheme": "paper", "alias": ["7", "8"], "source": "made up"})
    other = pd.DataFrame({"cpg_id": CPGS[2:], "scheme": "other", "alias": ["7", "8"], "source": "made up"})
    named = type(panel)(**{**vars(panel), "aliases": pd.concat([aliases, other], ignore_index=True)})
    header = ["Sample", "CpG 7 (%)", "CpG 8 (%)"]
    path = text_export(tmp_path / "e.txt", "\t", lines=[["L1", "2", "3"]], header=header)
    assert check_exports(sheet_of(path, "L1"), {"toy": named}, NONE, "s")
    readings, _ = read_exports(sheet_of(path, "L1"), {"toy": named}, NONE | {"alias_scheme": "paper"}, "s")
    assert readings.set_index("cpg_id")["percent"].to_dict() == {CPGS[0]: 2.0, CPGS[1]: 3.0}


def test_the_well_of_the_sheet_chooses_a_row_and_others_are_accounted_for(panel, tmp_path):
    lines = [*LINES, ["C1", "one", "L1", "", *["50", "Passed"] * 5]]
    path = text_export(tmp_path / "e.txt", "\t", lines=lines)
    readings, rows = read_exports(sheet_of(path, "L1", well="A1"), {"toy": panel}, NONE, "s")
    assert set(readings["well"]) == {"A1"}
    assert rows.set_index("row")["status"].to_dict() == {4: "used", 5: "left out", 6: "left out"}
    found = check_exports(sheet_of(path, "L1", well="H9"), {"toy": panel}, NONE, "s")
    assert [(p.column, p.value) for p in found] == [("well", "H9")]


def measure(readings, sheet, panel, overdispersion="auto", **settings):
    settings = SETTINGS | {"overdispersion": overdispersion, "pyrosequencing": NONE | settings}
    samples, _ = read_pyrosequenced(sheet, {"toy": panel}, readings, settings)
    return estimate_study(sheet.iloc[:0], {"toy": panel}, {}, settings, samples)


def test_levels_errors_and_verdicts_by_hand(panel, tmp_path):
    """No conversion correction without a control: each position as it was read, with the SD of 1 point."""
    lines = [line[:12] for line in LINES]
    path = text_export(tmp_path / "e.txt", "\t", lines=lines, header=HEADER[:12])
    sheet = sheet_of(path, "L1", "L2")
    readings, _ = read_exports(sheet, {"toy": panel}, NONE, "s")
    found = measure(readings, sheet, panel)
    calls = found.calls["L1"].set_index("cpg_id")
    assert calls.loc[CPGS[0], "beta"] == pytest.approx(0.025)
    assert calls.loc[CPGS[0], "beta_se"] == pytest.approx(0.01)
    assert calls.loc[CPGS[3], "flags"] == "quality_failed" and pd.isna(calls.loc[CPGS[3], "beta"])
    assert calls.loc[CPGS[1], "flags"] == "quality_check" and calls["depth"].isna().all()
    row = found.libraries.set_index("library_id").loc["L1"]
    # The mean of three CpGs is not that of four, and two libraries cannot tell what the fourth would add.
    assert pd.isna(row["region_mean_beta"]) and "1 CpGs of its assays have no reading" in row["reasons"]
    assert row["verdict"] == "warn" and "Failed: 1" in row["reasons"] and "conversion" in row["reasons"]
    index = found.indices.set_index("participant_id").loc["L1"]
    # Three of four CpGs are less than the share asked for.
    assert pd.isna(index["region_mean_beta"]) and "3 of 4 CpGs have a reading" in index["reasons"]
    assert pd.isna(index["depth"])


def test_a_part_that_a_run_shares_does_not_average_out_over_positions(panel, tmp_path):
    path = text_export(tmp_path / "e.txt", "\t", lines=[[*LINES[0][:10], "5", "Passed"]], header=HEADER[:12])
    sheet = sheet_of(path, "L1")
    readings, _ = read_exports(sheet, {"toy": panel}, NONE, "s")
    found = measure(readings, sheet, panel, shared_sd=0.5)
    assert found.libraries["region_mean_beta_se"].iloc[0] == pytest.approx((0.01**2 / 4 + 0.005**2) ** 0.5)


def test_no_error_of_the_instrument_is_made_up(panel, tmp_path):
    path = text_export(tmp_path / "e.txt", "\t")
    unknown = NONE | {"position_sd": None, "shared_sd": None}
    found = check_exports(sheet_of(path, "L1", "L2"), {"toy": panel}, unknown, "s")
    assert [p.column for p in found] == ["methylation.pyrosequencing.position_sd"]


def simulated(panel, number, position_sd, shared_sd, seed=5, bias=1.0, known=(), unconverted=(0.02, 0.03)):
    """``number`` tubes of the panel's CpGs, run twice: readings as `read_exports` gives them, truth, sheet.

    The last of them have ``known`` percentages at every CpG. ``bias``: what PCR makes of the odds of methylation.
    """
    rng = random_stream(seed, "levels")
    names = [f"L{i:03d}" for i in range(number)]
    truth = pd.DataFrame({
        "library_id": [n for n in names for _ in CPGS], "cpg_id": CPGS * number,
        "level": rng.uniform(0.02, 0.15, number * len(CPGS)),
    })  # fmt: skip
    if known:
        truth.loc[truth.index[-len(known) * len(CPGS) :], "level"] = np.repeat(known, len(CPGS)) / 100
    tubes = pd.DataFrame({
        "library_id": names, "non_conversion": rng.uniform(*unconverted, number), "over_conversion": 0.0,
        "templates": 1,
    })  # fmt: skip
    amplified = truth.assign(level=biased_levels(truth["level"].to_numpy(), bias))
    runs = simulate_readings(amplified, tubes, {"one": CPGS}, seed, position_sd, shared_sd)
    rows = [
        (r.sample, str(r.run), "one", cpg, value, quality.lower())
        for r in runs.itertuples()
        for cpg, value, quality in zip([*CPGS, "control"], r.readings, r.qualities)
    ]
    readings = pd.DataFrame(rows, columns=["library_id", "well", "assay", "cpg_id", "percent", "quality"])
    return readings, truth, tubes, sheet_of("e", *names)


@pytest.mark.long
@pytest.mark.parametrize(("position_sd", "shared_sd"), [(0.6, 0.0), (0.5, 0.4)])
def test_the_instruments_error_is_recovered_from_replicates(panel, position_sd, shared_sd):
    """400 libraries run twice: 1,200 d.f. of a position tell its SD to 2 %, 400 that of a run to 5-10 %."""
    readings, *_ = simulated(panel, 400, position_sd, shared_sd)
    found = instrument_error(readings, NONE | {"position_sd": None, "shared_sd": None})
    assert found.position_sd[:2] == pytest.approx(position_sd / 100, rel=0.08)
    assert found.shared_sd[:2] == pytest.approx(shared_sd / 100, abs=0.0012)
    assert found.n_replicated.max() > 350


@pytest.mark.long
def test_truth_lies_in_the_intervals_as_often_as_they_say(panel):
    """300 libraries, conversion differing between them: 95 % intervals of levels and of the mean cover the truth."""
    readings, truth, tubes, sheet = simulated(panel, 300, 0.6, 0.4, seed=8)
    found = measure(readings, sheet, panel, position_sd=None, shared_sd=None)
    mean = truth.groupby("library_id")["level"].mean()
    table = found.libraries.set_index("library_id").join(mean).dropna(subset=["region_mean_beta"])
    table = table[table["n_cpgs"] == 4]
    true = table["level"]
    hits = ((table["region_mean_beta_low"] <= true) & (true <= table["region_mean_beta_high"])).sum()
    low, high = binom.ppf([0.0005, 0.9995], len(table), 0.95)
    assert low <= hits <= high
    calls = pd.concat(found.calls.values()).merge(truth, on=["library_id", "cpg_id"]).dropna(subset=["beta"])
    share = ((calls["beta_low"] <= calls["level"]) & (calls["level"] <= calls["beta_high"])).mean()
    assert share == pytest.approx(0.95, abs=0.03)  # errors of a library's CpGs are correlated
    assert (table["region_mean_beta"] - table["level"]).mean() == pytest.approx(0, abs=0.001)
    error = (table["non_conversion"] - tubes.set_index("library_id")["non_conversion"]).dropna()
    assert error.std() < 0.003  # the true spread; one reading alone would add .005


def test_an_export_of_no_library_has_a_header_and_readings_for_nobody(tmp_path):
    path = text_export(tmp_path / "e.txt", "\t", lines=[["A1", "one", "", "", *[""] * 10]])
    with pytest.raises(InputError, match="holds no reading"):
        read_export(path)


def test_a_cpg_that_a_variant_destroys_leaves_the_indices_as_it_does_for_reads(panel, tmp_path):
    path = text_export(tmp_path / "e.txt", "\t", lines=[[*LINES[0][:10], "5", "Passed"]], header=HEADER[:12])
    sheet = sheet_of(path, "L1")
    readings, _ = read_exports(sheet, {"toy": panel}, NONE, "s")
    cpgs = panel.cpgs.assign(chrom="chr1", pos=1001 + panel.cpgs["offset"].astype("int64"))
    amplicons = panel.amplicons.assign(chrom="chr1", start=1001, end=1030)
    first = {
        "chrom": "chr1",
        "pos": cpgs["pos"].iloc[0],
        "ref": "C",
        "alt": "T",
        "allele_frequency": "0.2",
        "source": "x",
    }
    masked = type(panel)(**{**vars(panel), "cpgs": cpgs, "amplicons": amplicons, "snps": pd.DataFrame([first])})
    found = measure(readings, sheet, masked)
    assert found.calls["L1"]["flags"].iloc[0] == "variant"
    row = found.libraries.iloc[0]
    assert row["n_cpgs"] == 4 and row["region_mean_beta"] == pytest.approx((0.03 + 0.0425 + 0.05) / 3)
    assert found.indices["region_mean_beta"].iloc[0] == pytest.approx((0.03 + 0.0425 + 0.05) / 3)


@pytest.mark.long
@pytest.mark.parametrize("bias", [1.0, 0.6])
def test_standards_take_pcr_bias_out_of_its_levels(panel, bias):
    """Eight standards, each in two wells, and 60 people: with bias a hyperbola, and levels within their intervals."""
    known = [0, 0, 2, 5, 10, 25, 50, 100]
    readings, truth, _, sheet = simulated(
        panel, 60 + len(known), 0.4, 0.2, bias=bias, known=known, unconverted=(0.002, 0.01)
    )
    kinds = ["study"] * 60 + ["control_0" if k == 0 else "control_100" if k == 100 else "standard" for k in known]
    sheet = sheet.assign(kind=kinds, expected_percent=[float("nan")] * 60 + [float(k) for k in known])
    found = measure(readings, sheet, panel, position_sd=None, shared_sd=None)
    chosen = found.calibration[found.calibration["chosen"] == "yes"].set_index("index")
    assert (chosen["assay"] == "pyrosequencing").all() and chosen.index.is_unique and (chosen["n"] == len(known)).all()
    assert set(chosen["method"]) == ({"hyperbolic"} if bias < 1 else {"none"})
    mean = truth.groupby("library_id")["level"].mean()
    table = found.libraries.set_index("library_id").join(mean)
    table = table[(table["kind"] == "study") & (table["n_cpgs"] == 4)]
    # Noise of the standards shifts the curve that all share: SD .11 points over 16 seeds, of which this is 2.2.
    assert 100 * (table["region_mean_beta"] - table["level"]).mean() == pytest.approx(0, abs=0.25)
    held = table["level"].between(table["region_mean_beta_low"], table["region_mean_beta_high"]).sum()
    # The shared shift makes coverage vary more than a binomial: over 16 seeds .93 to .95 on average, .83 at least.
    assert held >= binom.ppf(0.001, len(table), 0.95)
    seen = found.standards[found.standards["index"] == "all CpGs"].set_index("known")["observed"]
    if bias < 1:
        # Odds × .6 in PCR: 50 % reads .375. SD .0023 over 16 seeds; this is 5 of them.
        assert seen[0.5] == pytest.approx(0.375, abs=0.012)
    people = found.indices.set_index("participant_id")["region_mean_beta"].dropna()
    assert 100 * (people - mean[people.index]).mean() == pytest.approx(0, abs=0.25)


@pytest.mark.long
@pytest.mark.parametrize("rho", ["none", 0.004])
def test_what_preparations_differ_by_is_in_the_intervals_of_readings(panel, rho):
    """Each library's conversion and PCR are its own, which wells of one preparation do not show: standards do.

    By their scatter about the curve, or where the config says how much it is, by that alone.
    """
    known = [2, 2, 5, 5, 10, 10, 25, 25, 50, 50]
    readings, truth, _, sheet = simulated(panel, 60 + len(known), 0.4, 0.2, known=known, unconverted=(0.002, 0.01))
    rng = np.random.default_rng(12)
    mean = truth.groupby("library_id")["level"].mean()
    off = {name: 100 * np.sqrt(0.004 * p * (1 - p)) * rng.normal() for name, p in mean.items()}
    moved = (readings["percent"] + readings["library_id"].map(off)).where(
        readings["cpg_id"] != "control", readings["percent"]
    )
    kinds = ["study"] * 60 + ["standard"] * len(known)
    sheet = sheet.assign(kind=kinds, expected_percent=[float("nan")] * 60 + [float(k) for k in known])
    found = measure(
        readings.assign(percent=moved.clip(lower=0)), sheet, panel, rho, position_sd=None, shared_sd=None
    )  # fmt: skip
    table = found.libraries.set_index("library_id").join(mean)
    table = table[(table["kind"] == "study") & table["region_mean_beta"].notna()]
    assert len(table) > 50
    held = table["level"].between(table["region_mean_beta_low"], table["region_mean_beta_high"]).sum()
    assert held >= binom.ppf(0.005, len(table), 0.95)
    # The shared curve makes it vary: over three seeds of 150 libraries, .96 to 1.22 by scatter, .97 to 1.05 by rho.
    z = (table["region_mean_beta"] - table["level"]) / table["region_mean_beta_se"]
    assert 0.7 < z.std() < 1.35
    told = table["reasons"].str.contains("preparations differ")
    chosen = found.calibration.query("chosen == 'yes' and index == 'region_mean'").iloc[0]
    if rho == "none":
        assert (table["overdispersion"] == 0).all() and told.all()
        # 99 % of a variance of .004 b (1 - b) with its degrees of freedom.
        low, high = 0.004 * chi2.ppf([0.005, 0.995], chosen["scatter_df"]) / chosen["scatter_df"]
        assert low < chosen["scatter"] < high
    else:
        assert (table["overdispersion"] == rho).all() and not told.any() and pd.isna(chosen["scatter"])


def test_what_is_said_of_reads_is_said_of_readings(panel, tmp_path):
    """No 100 % control is a note; an index that the study's assays never read is one too, and no warning."""
    sheet = sheet_of(tmp_path / "e.txt", "L1")
    values = {**dict.fromkeys(CPGS[:2], 2.0), "control": 0.2}
    rows = [("L1", "A1", "one", cpg, value, "passed") for cpg, value in values.items()]
    readings = pd.DataFrame(rows, columns=["library_id", "well", "assay", "cpg_id", "percent", "quality"])
    own = pd.DataFrame({"index": ["first", "first"], "cpg_id": CPGS[:2]})
    named = type(panel)(**{**vars(panel), "indices": pd.concat([panel.indices, own], ignore_index=True)})
    found = measure(readings, sheet, named)
    row = found.libraries.iloc[0]
    assert "no 100 % control of this panel: over-conversion taken as 0" in row["reasons"]
    assert "not measured by its assays: region_mean" in row["reasons"] and row["verdict"] == "pass"
    index = found.indices.iloc[0]
    assert pd.notna(index["first_beta"]) and pd.isna(index["region_mean_beta"]) and index["verdict"] == "pass"


def exported(panel, tmp_path, lines, header, **settings):
    path = text_export(tmp_path / "e.txt", "\t", lines=lines, header=header)
    sheet = sheet_of(path, *(line[0] for line in lines))
    return read_exports(sheet, {"toy": panel}, NONE | settings, "s")[0]


def test_less_than_and_negative_zero_are_read_as_what_they_are(panel, tmp_path):
    found = exported(panel, tmp_path, [["L1", "< 1", "-0.00", "2.5", "≤0.5%"]], ["Sample", *CPGS])
    table = found.set_index("cpg_id")
    assert table["percent"].tolist() == [1.0, 0.0, 2.5, 0.5]
    assert np.signbit(table["percent"]).sum() == 0
    assert table["below"].eq("yes").tolist() == [True, False, False, True]
    assert usable(found, 0.002)["censored"].tolist() == [True, True, False, True]
    assert usable(found, 0.002)["level"].tolist() == [0.01, 0.002, 0.025, 0.005]


def test_fractions_are_refused_or_declared(panel, tmp_path):
    lines = [["L1", "0.023", "0.011", "0.4", "0.05"]]
    with pytest.raises(InputError, match="percentages, or fractions of 1"):
        exported(panel, tmp_path, lines, ["Sample", *CPGS])
    found = exported(panel, tmp_path, lines, ["Sample", *CPGS], unit="fraction")
    assert found.set_index("cpg_id")["percent"].tolist() == pytest.approx([2.3, 1.1, 40.0, 5.0])
    found = exported(panel, tmp_path, lines, ["Sample", *CPGS], unit="percent")
    assert found.set_index("cpg_id")["percent"].max() == 0.4


def test_positions_of_two_files_are_of_two_assays_unless_said(panel, tmp_path):
    """Pos. 1-2 of two assays, one export each: the second is not taken for the first two CpGs of the scheme."""
    aliases = pd.DataFrame({"cpg_id": CPGS, "scheme": "paper", "alias": list("1234"), "source": "made up"})
    named = type(panel)(**{**vars(panel), "aliases": aliases})
    header = ["Sample", "Pos. 1 (%)", "Pos. 2 (%)"]
    one = text_export(tmp_path / "one.txt", "\t", lines=[["L1", "2", "3"]], header=header)
    two = text_export(tmp_path / "two.txt", "\t", lines=[["L1", "5", "7"]], header=header)
    sheet = sheet_of(f"{one};{two}", "L1")
    found = check_exports(sheet, {"toy": named}, NONE | {"alias_scheme": "paper"}, "s")
    assert len(found) == 4 and all("may start anywhere" in p.what for p in found)
    positions = tmp_path / "positions.tsv"
    rows = [("one", "1", CPGS[0]), ("one", "2", CPGS[1]), ("two", "1", CPGS[2]), ("two", "2", CPGS[3])]
    positions.write_text("\n".join("\t".join(r) for r in [("assay", "position", "cpg_id"), *rows]) + "\n")
    readings, _ = read_exports(sheet, {"toy": named}, NONE | {"positions": str(positions)}, "s")
    assert readings.set_index("cpg_id")["percent"].to_dict() == dict(zip(CPGS, [2.0, 3.0, 5.0, 7.0]))


def floored(levels, seed=3, sd=lambda p: 0.76 if p < 5 else 2.81, n_cpgs=8):
    """Two runs of samples at each level, readings below 0 written as 0: readings, and the truth of each sample."""
    rng, rows, truth = np.random.default_rng(seed), [], {}
    for i, percent in enumerate(levels):
        truth[f"S{i:03d}"] = percent
        for well in ("A1", "B1"):
            seen = np.clip(percent + rng.normal(0, sd(percent), n_cpgs), 0, 100).round(2)
            rows += [(f"S{i:03d}", well, "a", f"c{c}", value, "passed") for c, value in enumerate(seen)]
    return pd.DataFrame(rows, columns=["library_id", "well", "assay", "cpg_id", "percent", "quality"]), truth


def test_the_error_of_a_reading_grows_with_the_level():
    """Standards in several wells tell their own band's error, not that of people at 3 %: SD of 240 d.f. within 15 %."""
    found = instrument_error(floored([3] * 30 + [50] * 30)[0], NONE | {"position_sd": None, "shared_sd": None})
    assert 100 * found.position_sd[[0, 2]] == pytest.approx([0.76, 2.81], rel=0.15)
    assert found.sources == ["replicates", "scaled from replicates at 0-5 %", "replicates",
                             "scaled from replicates at 20-80 %"]  # fmt: skip
    assert found.floor == 0
    stated = instrument_error(floored([3] * 2)[0], NONE | {"position_sd": [0.7, 1.8, 2.8, 2.5]})
    assert 100 * stated.sd([0.01, 0.1, 0.5, 0.95]) == pytest.approx([0.7, 1.8, 2.8, 2.5])


def test_zeros_are_below_the_floor_and_bias_neither_mean_nor_error():
    """60 samples at .4 %, SD .76: a third of the readings are 0. Means taken as they stand are .14 points too high."""
    readings, _ = floored([0.4] * 60)
    error = instrument_error(readings, NONE | {"position_sd": None, "shared_sd": None})
    assert 100 * error.position_sd[0] == pytest.approx(0.76, rel=0.08)
    panel = SimpleNamespace(cpgs=pd.DataFrame({"cpg_id": [f"c{i}" for i in range(8)]}))
    held, off = [], []
    for _, rows in usable(readings, error.floor).groupby("library_id"):
        sample = Readings(
            row=None,
            panel=panel,
            rows=rows,
            qualities=[],
            error=error,
            conversion=estimate.ASSUMED,
            covered=None,
            masked=None,
            excluded=None,
            notes=[],
        )
        found = sample.levels(np.full((8, 1), 1 / 8), estimate.ASSUMED, 0.95)
        off.append(100 * found.beta[0] - 0.4)
        held.append(found.low[0] <= 0.004 <= found.high[0])
    assert readings["percent"].mean() - 0.4 > 0.1
    # Standard error of the mean of 960 readings: .03 points.
    assert np.mean(off) == pytest.approx(0, abs=0.08)
    assert binom.ppf(0.001, 60, 0.95) <= sum(held)


def test_where_too_few_readings_stand_above_the_floor_there_is_no_level(panel, tmp_path):
    lines = [["L1", "0", "0", "0", "4.1"], ["L2", "3.9", "5", "7", "0"]]
    readings = exported(panel, tmp_path, lines, ["Sample", *CPGS])
    found = measure(readings, sheet_of(tmp_path / "e.txt", "L1", "L2"), panel)
    table = found.indices.set_index("participant_id")
    assert pd.isna(table.loc["L1", "region_mean_beta"]) and "above the instrument's floor" in table.loc["L1", "reasons"]
    assert (
        table.loc["L2", "region_mean_beta"] > 0.03
        and "below the instrument's floor, 3.9 %" in table.loc["L2", "reasons"]
    )
    assert (
        found.calls["L1"]["flags"].tolist()[:2] == ["below_floor"] * 2 and found.calls["L1"]["beta"].isna().sum() == 3
    )
