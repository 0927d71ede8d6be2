"""Every reading has its plate, wavelength, time and kind; nothing that was not asked for stands in its way."""

import importlib.util
from pathlib import Path

import pytest

from hpaxis.cli import main
from hpaxis.cortisol.readers import choose_read, read_reader_file
from hpaxis.cortisol.readers.cells import wavelength_of
from hpaxis.problems import InputError

_spec = importlib.util.spec_from_file_location("exports", Path(__file__).with_name("exports.py"))
exports = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exports)

ONE = exports.signals()
TWO = exports.signals(1.0, 0.003)
ROWS, COLUMNS = "ABCDEFGH", range(1, 13)


def put(tmp_path, text, name="p.txt"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def values(read):
    return dict(zip(read.wells["well"], read.wells["value"]))


def named(path):
    return {(r.plates[:1], r.reading, r.wavelength, r.time, r.kind) for r in read_reader_file(path)}


def refusal(path, **wanted):
    with pytest.raises(InputError) as caught:
        choose_read(read_reader_file(path), str(path), wanted.pop("plate_id", "P01"), **wanted)
    return str(caught.value)


def reduced(text):
    """The same SoftMax Pro export with the reduced values below the raw ones, as SoftMax writes them."""
    lines = text.split("\r\n")
    end = lines.index("~End")
    block = ["\t".join(["", "", *map(str, COLUMNS), ""])]
    block += ["\t".join(["", "", *["Range?"] * 12, ""]) for _ in ROWS]
    return "\r\n".join([*lines[:end], *block, *lines[end:]])


def test_softmax_raw_and_reduced_are_two_readings(tmp_path):
    path = put(tmp_path, reduced(exports.softmax({"P01": [[ONE]]})))
    reads = read_reader_file(path)
    assert values(choose_read(reads, str(path), "P01")) == ONE
    assert [(r.reading, r.kind) for r in reads] == [("450", "raw"), ("reduced 450", "derived")]
    path = put(tmp_path, reduced(exports.softmax({"P01": [[ONE]]})).replace("Range?", "0.5", 3))
    found = {r.reading: r for r in read_reader_file(path)}
    assert set(found) == {"450", "reduced 450"} and found["reduced 450"].kind == "derived"
    assert found["reduced 450"].wells["status"].value_counts().to_dict() == {"out_of_range": 93, "ok": 3}


@pytest.mark.parametrize("row", ["A", "E", "H"])
@pytest.mark.parametrize("stripped", [False, True])
def test_softmax_rows_that_were_not_read_keep_the_others_in_place(tmp_path, row, stripped):
    lines = exports.softmax({"P01": [[ONE]]}).split("\r\n")
    at = 3 + ROWS.index(row)
    lines[at] = "" if stripped else "\t" * lines[at].count("\t")
    found = values(choose_read(read_reader_file(put(tmp_path, "\r\n".join(lines))), "p", "P01"))
    assert {w: v for w, v in found.items() if w[0] != row} == {w: v for w, v in ONE.items() if w[0] != row}
    assert all(v != v for w, v in found.items() if w[0] == row)


def test_softmax_with_a_line_too_few_is_refused(tmp_path):
    lines = exports.softmax({"P01": [[ONE], [TWO]]}, kinetic=("0:00", "0:30")).split("\r\n")
    del lines[3]
    assert "which are missing cannot be known" in refusal(put(tmp_path, "\r\n".join(lines)), reading="450 at 0:00")


def test_softmax_timeformat_gives_wavelengths_lines_of_their_own(tmp_path):
    wells = [f"{r}{c}" for r in ROWS for c in COLUMNS]
    head = "Plate:\tP01\t1.3\tTimeFormat\tEndpoint\tAbsorbance\tRaw\tFALSE\t1\t\t\t\t\t\t2\t450 620 \t1\t12\t96\t1\t8"
    lines = ["##BLOCKS= 1", head, "\t".join(["", "Temperature", *wells])]
    for number, table in enumerate((ONE, TWO)):
        lines += ["\t".join(["", "24", *(str(table[w]) for w in wells)]), *[""] * (1 + number)]
    path = put(tmp_path, "\n".join([*lines, "~End"]))
    assert named(path) == {(("P01",), nm, nm, "", "raw") for nm in ("450", "620")}
    found = values(choose_read(read_reader_file(path), str(path), "P01", reading="450-620"))
    assert found["C7"] == pytest.approx(ONE["C7"] - TWO["C7"])


def test_gen5_kinetic_offers_its_times_whatever_was_computed_from_them(tmp_path):
    text = exports.gen5_kinetic({"0:00:00": ONE, "0:02:00": TWO})
    lines = [*text.split("\r\n"), "\t".join(["", *map(str, COLUMNS)])]
    for row in ROWS:
        lines += [
            "\t".join([row, *["12.3"] * 12, "Max V [450]"]),
            "\t".join(["", *["0:02:00"] * 12, "t at Max V [450]"]),
        ]
    path = put(tmp_path, "\r\n".join(lines))
    said = refusal(path)
    assert "'Read 1:450 at 0:00:00', 'Read 1:450 at 0:02:00'" in said and "Max V" not in said
    assert values(choose_read(read_reader_file(path), "p", "P01", reading="Read 1:450 at 0:02:00")) == TWO


def test_gen5_lines_in_another_order_and_masked_wells(tmp_path):
    lines = ["Software Version\t3", "Plate Number\tPlate 1", "Results", "\t".join(["", *map(str, COLUMNS)])]
    for i, row in enumerate(ROWS):
        pair = [("450", ONE), ("630", TWO)]
        for k, (label, table) in enumerate(pair if i % 2 else pair[::-1]):
            lines.append("\t".join(["" if k else row, *(str(table[f"{row}{c}"]) for c in COLUMNS), label]))
    path = put(tmp_path, "\n".join(lines).replace(f"\t{ONE['D4']}\t", f"\t*{ONE['D4']}*\t"))
    reads = {r.reading: r for r in read_reader_file(path)}
    assert values(reads["630"]) == TWO
    assert {w: v for w, v in values(reads["450"]).items() if w != "D4"} == {w: v for w, v in ONE.items() if w != "D4"}
    assert reads["450"].wells.set_index("well").loc["D4", "status"] == "masked"
    assert "'630', '450', '450-630'" in refusal(path)


def test_only_computed_values_are_offered_as_such(tmp_path):
    path = put(tmp_path, exports.gen5(ONE, label="Blank 450"))
    assert "no raw reading of this plate" in refusal(path) and "'Blank 450'" in refusal(path)
    assert values(choose_read(read_reader_file(path), "p", "P01", reading="Blank 450")) == ONE


def test_averages_over_replicates_are_refused_even_by_name(tmp_path):
    title = "Average over replicates based on Raw Data (450)"
    path = put(tmp_path, exports.mars({title: ONE}))
    for reading in (None, title):
        said = refusal(path, reading=reading, plate="Plate 7")
        assert "mean over replicate wells" in said and "export the raw data of the single wells" in said
    path = put(tmp_path, exports.mars({"Raw Data (450)": TWO, title: ONE}))
    assert values(choose_read(read_reader_file(path), "p", "P01")) == TWO


def test_a_computed_sheet_does_not_block_the_raw_one(tmp_path):
    def sheet(corner, table):
        return [["Measurement results"], ["Wavelength: 450 nm"], [], ["Plate 1"], *exports.grid_rows(table, corner)]

    path = exports.workbook(
        tmp_path / "p.xlsx",
        {"Absorbance 1_01": sheet("Abs", ONE), "Quantification_02": sheet("Conc.", {**TWO, "A1": "see"})},
    )
    reads = read_reader_file(path)
    assert (reads[0].reader, values(choose_read(reads, str(path), "P01"))) == ("SkanIt", ONE)
    assert "well A1: 'see' is no optical density" in refusal(path, reading="Quantification 450")


def test_envision_names_plates_by_their_number(tmp_path):
    blocks = []
    for number, table in ((1, ONE), (2, TWO)):
        blocks += ["Plate information", "Plate,Repeat,Barcode", f'{number},1,"=""B{number}"""', ""]
        blocks += ["Results for A450(1) - channel 1 (A)", *exports.grid_lines(table), ""]
    path = put(tmp_path, "\n".join(blocks), "p.csv")
    for wanted, table in (("1", ONE), ("Plate 2", TWO), ("B2", TWO)):
        assert values(choose_read(read_reader_file(path), "p", "P01", plate=wanted)) == table
    assert "'Plate 1 / 1 / B1', 'Plate 2 / 2 / B2'" in refusal(path)


def test_tecan_lists_with_labels_and_kinetic_cycles(tmp_path):
    wells = list(ONE)
    head = ["Well positions\tLabel1\tLabel2", "\t0s\t0s", "\t24.8 °C\t25.1 °C"]
    lines = [
        *head,
        *(f"{w}\t{ONE[w]}\t{TWO[w]}" for w in wells),
        "",
        "Measurement wavelength: 450 nm",
        "Measurement wavelength: 620 nm",
    ]
    path = put(tmp_path, "\n".join(lines))
    assert named(path) == {((), "Label1", "450", "", "raw"), ((), "Label2", "620", "", "raw")}
    assert values(choose_read(read_reader_file(path), "p", "P01", reading="Label2")) == TWO
    assert "reader_plate cannot choose" in refusal(path, plate="P9", reading="Label2")
    lines = ["Cycle Nr.\t1\t2", "Time [s]\t0\t30", "Temp. [°C]\t25\t25", *(f"{w}\t{ONE[w]}\t{TWO[w]}" for w in wells)]
    path = put(tmp_path, "\n".join(lines))
    assert values(choose_read(read_reader_file(path), "p", "P01", reading="Raw data at 30 s")) == TWO
    path = put(tmp_path, "\n".join(["Method: x", "<>\tValue", *(f"{w}\t{ONE[w]}" for w in wells)]))
    assert values(choose_read(read_reader_file(path), "p", "P01")) == ONE


def test_long_tables_with_plates_and_wells_once(tmp_path):
    head = "Plate,Repeat,Well,Type,Time,450nm (A)"
    lines = [
        head,
        *(f"{p},1,{w[0]}{int(w[1:]):02},M,00:00:0{ord(w[0]) - 65},{t[w]}" for p, t in ((1, ONE), (2, TWO)) for w in t),
    ]
    path = put(tmp_path, "\n".join(lines), "p.csv")
    assert named(path) == {((p,), "450nm (A)", "450", "", "raw") for p in ("1", "2")}
    assert values(choose_read(read_reader_file(path), "p", "P01", plate="2")) == TWO
    table = [f"{w},{v}" for t in (ONE, TWO) for w, v in t.items()]
    with pytest.raises(InputError) as caught:
        read_reader_file(put(tmp_path, "\n".join(["well,od", *table]), "p.csv"))
    assert len(caught.value.problems) == 96 and "row 98, well: 'A1' comes twice (row 2 too)" in str(caught.value)


def test_titles_that_are_wavelengths_name_readings_of_one_plate(tmp_path):
    text = "\n".join(
        ["450", *exports.grid_lines(ONE), "", "620 nm", *exports.grid_lines(TWO), "", "Mean", *exports.grid_lines(ONE)]
    )
    path = put(tmp_path, text, "p.csv")
    assert named(path) == {
        ((), "450", "450", "", "raw"),
        ((), "620", "620", "", "raw"),
        ((), "Mean", "", "", "average"),
    }
    assert values(choose_read(read_reader_file(path), "p", "P01", reading="450-620"))["B2"] == pytest.approx(
        ONE["B2"] - TWO["B2"]
    )


def test_old_excel_files(tmp_path):
    path = exports.old_workbook(
        tmp_path / "sunrise.xls", {"S": [["Sunrise"], [None], *exports.grid_rows(ONE, "<>"), ["450nm"]]}
    )
    assert values(read_reader_file(path)[0]) == ONE


def test_words_have_a_meaning(tmp_path):
    words = {
        "A1": "<0.000",
        "A2": "Masked",
        "A3": "Range?",
        "A4": "> Max",
        "A5": "MISSED",
        "A6": "#N/A",
        "A7": "UNDRFLW",
    }
    read = read_reader_file(put(tmp_path, "\n".join(exports.grid_lines({**ONE, **words}, "\t"))))[0]
    status = read.wells.set_index("well")["status"]
    assert [status[w] for w in words] == [
        "underflow", "masked", "out_of_range", "overflow", "read_error", "read_error", "underflow"
    ]  # fmt: skip
    assert read.wells.set_index("well").loc[list(words), "value"].isna().all()


def test_wavelengths_in_names():
    for label, nm in {
        "Raw Data (450 1)": "450", "260:977 [Test]": "977", "BCA Absorbance @ 562(1)": "562", "450-630": "450-630",
        "fluor:579,616": "579-616", "Label1": "", "0.450": "", "2450": "",
    }.items():  # fmt: skip
        assert wavelength_of(label) == nm


def test_the_command_lists_every_reading_and_what_would_be_taken(tmp_path, capsys):
    path = put(tmp_path, exports.mars({"Raw Data (450)": ONE, "Raw Data (620)": TWO}))
    assert main(["readers", str(path)]) == 0
    said = capsys.readouterr().out
    assert "Raw Data (450)" in said and "'Raw Data (450)-Raw Data (620)'" in said
    assert main(["readers", str(path), "--reading", "450"]) == 0
    assert "takes: Raw Data (450)" in capsys.readouterr().out
    assert main(["readers", str(tmp_path / "absent.txt")]) == 1


def test_multiskan_text_has_no_row_letters_and_empty_rows_stay(tmp_path):
    lines = ["Results of Photometric1", ""]
    for nm, shift in ((450, 0.0), (620, -0.05)):
        lines += [f"\tPlate:1 - Wavelength:{nm}", "", "\tIteration: 1"]
        for i in range(8):
            cells = ["" if i == 2 else f"{0.1 * (i + 1) + 0.01 * j + shift:.4f}" for j in range(12)]
            lines.append("\t" + "\t".join(cells))
        lines.append("")
    path = put(tmp_path, "\r\n".join(lines))
    assert {(r.reading, r.wavelength) for r in read_reader_file(path)} == {("450", "450"), ("620", "620")}
    read = choose_read(read_reader_file(path), str(path), "1", reading="450-620")
    found = values(read)
    assert found["A1"] == pytest.approx(0.05) and found["H12"] == pytest.approx(0.05)
    assert dict(zip(read.wells["well"], read.wells["status"]))["C5"] == "blank"
    short = put(tmp_path, "\r\n".join(lines[:9]), "short.txt")
    assert "which are missing is not known" in refusal(short, plate_id="1")


def test_tecan_cycles_below_each_other_with_wells_beside(tmp_path):
    text = "Application: SparkControl\n\nMeasurement wavelength\t420\tnm\n\nLabel 1\n"
    text += "Cycle Nr.\tTime [s]\tTemp. [°C]\tA1\tA2\tB7\n1\t0\t24.7\t0.10\t0.20\t0.70\n"
    text += "2\t30.5\t24.6\t0.11\t0.21\t0.71\n\nEnd Time\t12:00\n"
    reads = read_reader_file(put(tmp_path, text))
    assert [r.time for r in reads] == ["0 s", "30.5 s"]
    assert values(reads[1]) == {"A1": 0.11, "A2": 0.21, "B7": 0.71}


def test_softmax_kinetic_with_its_columns_named_again_before_the_reduced_rows(tmp_path):
    def block(time, shift):
        rows = []
        for i in range(8):
            cells = [f"{0.1 * (i + 1) + shift + 0.001 * j:.3f}" for j in range(12)]
            rows.append("\t".join([time if i == 0 else "", "37.0" if i == 0 else "", *cells]))
        return rows

    header = "\t".join(["Time(hh:mm:ss)", "Temperature(C)", *map(str, range(1, 13))])
    first = "Plate:\tP1\t1.1\tPlateFormat\tKinetic\tAbsorbance\tRaw\tFALSE\t2\t20\t20\t\t\t\t1\t450\t1\t12\t96"
    lines = ["##BLOCKS= 1", first, header, *block("0:00", 0.0), "\t\t", *block("0:20", 0.5), "\t\t", header]
    lines += [*block("", 9.0), "~End"]
    reads = [r for r in read_reader_file(put(tmp_path, "\n".join(lines))) if not r.derived]
    assert [r.reading for r in reads] == ["450 at 0:00", "450 at 0:20"]
    assert values(reads[1])["H1"] == pytest.approx(1.3)


def test_a_gen5_workbook_may_leave_its_first_column_empty(tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    for row in (
        ["Software Version", "3.08.01"], ["Plate Number", "Plate 1"], ["630"], [],
        [None, "Time", "T° 630", "A1", "A2", "A3", "A4"], [None, None, 36.9, 0.1, 0.2, 0.3, 0.4],
        [None, "0:15:00", 36.9, 0.5, 0.6, 0.7, 0.8], [], ["Results"],
    ):  # fmt: skip
        sheet.append(row)
    book.save(tmp_path / "k.xlsx")
    reads = read_reader_file(tmp_path / "k.xlsx")
    # Excel keeps midnight as 0, which comes back as an empty cell.
    assert [(r.wavelength, r.time) for r in reads] == [("630", "0:00:00"), ("630", "0:15:00")]
    assert values(reads[1])["A4"] == 0.8


def test_a_long_table_in_which_each_well_has_its_own_times(tmp_path):
    text = "Well\tWavelength(s) [nm]\tRaw absorbance\tMeasurement time(s)\n"
    for k, well in enumerate(("A 1", "A 2", "B 1")):
        for turn in range(3):
            text += f"{well}\t450\t{0.1 * (k + 1) + 0.01 * turn:.2f}\t{turn * 30 + k * 0.4:.1f}\n"
    reads = read_reader_file(put(tmp_path, text))
    assert [r.reading for r in reads] == [f"450 at cycle {n}" for n in (1, 2, 3)]
    assert values(reads[1]) == {"A1": 0.11, "A2": 0.21, "B1": 0.31}


def test_columns_about_the_plate_are_no_readings(tmp_path):
    text = "readerfile_name,geometry,absorbance_wavelength_nm,well_name,reader_temperature,absorbance_value\n"
    text += "".join(f"a.txt,96,450,{r}{c:02d},23.1,0.{c:02d}\n" for r in ROWS for c in COLUMNS)
    (read,) = read_reader_file(put(tmp_path, text, "p.csv"))
    assert read.wavelength == "450" and values(read)["H12"] == 0.12


def test_a_plate_may_be_named_by_its_sheet(tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    for name, shift in (("Absorbance 1_01", 0.0), ("Absorbance 1_02", 1.0)):
        sheet = book.create_sheet(name)
        sheet.append(["Measurement results"])
        sheet.append(["Wavelength: 450 nm"])
        sheet.append(["Plate 1" if shift == 0 else "Plate 2"])
        sheet.append(["Abs", *COLUMNS])
        for i, row in enumerate(ROWS):
            sheet.append([row, *(0.1 * (i + 1) + 0.01 * c + shift for c in COLUMNS)])
    del book["Sheet"]
    book.save(tmp_path / "s.xlsx")
    reads = read_reader_file(tmp_path / "s.xlsx")
    for wanted in ("Absorbance 1_02", "Plate 2"):
        assert values(choose_read(reads, "s.xlsx", "P01", plate=wanted))["A1"] == pytest.approx(1.11)


@pytest.mark.parametrize(
    ("first", "second"),
    [("Read 1:450", "Read 2:630"), ("Wavelength\t450", "Wavelength\t630"), ("Filter: 450 nm", "Filter: 630 nm")],
)
def test_titles_with_a_wavelength_after_a_word_or_in_the_next_cell(tmp_path, first, second):
    grid = ["\t" + "\t".join(map(str, COLUMNS))]
    parts = [
        "\n".join([title, *grid, *("\t".join([r, *(f"{level + c / 100:.2f}" for c in COLUMNS)]) for r in ROWS)])
        for title, level in ((first, 1), (second, 0))
    ]
    path = put(tmp_path, "\n\n".join(parts))
    read = choose_read(read_reader_file(path), str(path), "P01", reading="450-630")
    assert values(read)["H12"] == pytest.approx(1.0) and "'450-630'" in refusal(path)
