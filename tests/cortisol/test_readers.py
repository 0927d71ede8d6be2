import importlib.util
from pathlib import Path

import numpy as np
import pytest

from hpaxis.cortisol.readers import choose_read, read_reader_file
from hpaxis.problems import InputError

_spec = importlib.util.spec_from_file_location("exports", Path(__file__).with_name("exports.py"))
exports = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exports)

ONE = exports.signals()
TWO = exports.signals(1.0, 0.003)


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def values(read):
    return dict(zip(read.wells["well"], read.wells["value"]))


def only(path):
    reads = read_reader_file(path)
    assert len(reads) == 1
    return reads[0]


@pytest.mark.parametrize(
    ("reader", "reading", "text"),
    [
        ("Gen5", "450", exports.gen5(ONE)),
        ("Gen5", "450", exports.gen5(ONE, decimal=",")),
        ("SoftMax Pro", "450", exports.softmax({"Plate1": [[ONE]]})),
        ("SoftMax Pro", "450", exports.softmax({"Plate1": [[ONE]]}, form="TimeFormat")),
        ("BMG MARS", "Raw Data (450)", exports.mars({"Raw Data (450)": ONE})),
        ("BMG MARS", "Raw Data (450)", exports.mars({"Raw Data (450)": ONE}, separator=";", decimal=",")),
        ("BMG MARS", "Raw Data (450)", exports.mars_table([("Raw Data (450)", ONE)])),
        ("Magellan", "Raw data", "\r\n".join(exports.grid_lines(ONE, "\t", corner="<>"))),
        ("plain grid", "signal", "\n".join(exports.grid_lines(ONE))),
        ("plain grid", "signal", "\n".join(exports.grid_lines(ONE, "\t", ","))),
        ("plain grid", "signal", "\n".join(exports.grid_lines(ONE, ";", ","))),
        ("plain grid", "od450", "well,od450\n" + "\n".join(f"{w},{v}" for w, v in ONE.items())),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_format_gives_every_well_in_every_encoding(tmp_path, reader, reading, text, encoding):
    read = only(write(tmp_path / "plate.any", text, encoding))
    assert (read.reader, read.reading, read.derived) == (reader, reading, False)
    assert values(read) == ONE
    assert set(read.wells["status"]) == {"ok"}


def test_workbooks_hold_magellan_lists_matrices_and_plain_grids(tmp_path):
    path = exports.workbook(tmp_path / "a.xlsx", {"Magellan Sheet 1": exports.magellan_rows(ONE)})
    read = only(path)
    assert (read.reader, read.reading, values(read)) == ("Magellan", "450", ONE)
    read = only(
        exports.workbook(tmp_path / "b.xlsx", {"S": [["Method"], [], *exports.grid_rows(ONE, "<>"), ["450nm"]]})
    )
    assert (read.reader, read.reading, values(read)) == ("Magellan", "450", ONE)
    path = exports.workbook(tmp_path / "c.xlsx", {"P01": exports.grid_rows(ONE), "P02": exports.grid_rows(TWO)})
    reads = read_reader_file(path)
    assert [r.plates for r in reads] == [("P01",), ("P02",)]
    assert values(choose_read(reads, str(path), "p02")) == TWO


def test_words_for_wells_without_a_value(tmp_path):
    odd = {
        **ONE,
        "A1": "OVRFLW",
        "A2": "",
        "A3": ">4.000",
        "A4": "*****",
        "A5": "?????",
        "A6": "NaN",
        "A7": "OVER",
        "A8": "#Sat",
    }
    read = only(write(tmp_path / "p.txt", exports.gen5(odd)))
    status = dict(zip(read.wells["well"], read.wells["status"]))
    assert [status[f"A{c}"] for c in range(1, 10)] == [
        "overflow", "blank", "overflow", "overflow", "blank", "blank", "overflow", "overflow", "ok",
    ]  # fmt: skip
    assert read.wells.loc[read.wells["status"] != "ok", "value"].isna().all()


def test_several_plates_in_a_gen5_file_are_told_by_name(tmp_path):
    text = exports.gen5(ONE, "P01") + exports.gen5(TWO, "P02").split("3.12.08", 1)[1]
    reads = read_reader_file(write(tmp_path / "p.txt", text))
    assert [r.plates for r in reads] == [("P01",), ("P02",)]
    assert values(choose_read(reads, "p.txt", "P02")) == TWO
    with pytest.raises(
        InputError, match="'P03' is not a plate of this file; name one in the column reader_plate: 'P01', 'P02'"
    ):
        choose_read(reads, "p.txt", "P03")
    assert values(choose_read(reads, "p.txt", "P03", plate="P01")) == ONE


def test_a_single_plate_of_another_name_is_refused_and_a_generic_name_is_not(tmp_path):
    reads = read_reader_file(write(tmp_path / "p.txt", exports.gen5(ONE, "P02")))
    with pytest.raises(InputError, match="names its plate 'P02', not P01"):
        choose_read(reads, "p.txt", "P01")
    reads = read_reader_file(write(tmp_path / "p.txt", exports.gen5(ONE, "Plate 1")))
    assert values(choose_read(reads, "p.txt", "P01")) == ONE


def test_kinetic_reads_have_a_reading_for_each_time(tmp_path):
    series = {"0:00:00": ONE, "0:05:00": TWO}
    for text in (
        exports.gen5_kinetic(series),
        exports.softmax({"Plate1": [[ONE], [TWO]]}, kinetic=("0:00:00", "0:05:00")),
        exports.softmax({"Plate1": [[ONE], [TWO]]}, form="TimeFormat", kinetic=("0:00:00", "0:05:00")),
        exports.mars_table([("Raw Data (450)", ONE), ("Raw Data (450)", TWO)], times=["0:00:00", "0:05:00"]),
    ):
        reads = read_reader_file(write(tmp_path / "p.txt", text))
        assert len(reads) == 2
        assert [values(r) for r in reads] == [ONE, TWO]
        assert [r.reading.split(" at ")[1] for r in reads] == ["0:00:00", "0:05:00"]
        with pytest.raises(InputError, match="has 2 readings of this plate; name one in the column reading"):
            choose_read(reads, "p.txt", "P01")
        assert values(choose_read(reads, "p.txt", "P01", reading=reads[1].reading)) == TWO


def test_wavelengths_are_chosen_or_subtracted(tmp_path):
    for text in (
        exports.softmax({"Plate1": [[TWO, ONE]]}, wavelengths=("450", "650")),
        exports.softmax({"Plate1": [[TWO, ONE]]}, wavelengths=("450", "650"), form="TimeFormat"),
        exports.gen5(TWO, label="450") + "\r\n".join(["", "Results", *exports.grid_lines(ONE, "\t", label="650")]),
        exports.mars({"450": TWO, "650": ONE})
        .replace("450\r\n", "Raw Data (450 1)\r\n")
        .replace("650\r\n", "Raw Data (650 2)\r\n"),
    ):
        reads = read_reader_file(write(tmp_path / "p.txt", text))
        names = [r.reading for r in reads]
        assert len(names) == 2
        assert values(choose_read(reads, "p", "P01", reading=names[0])) == TWO
        both = choose_read(reads, "p", "P01", reading=f"{names[0]}-{names[1]}")
        assert values(both)["B3"] == pytest.approx(TWO["B3"] - ONE["B3"])
        with pytest.raises(InputError, match="'540' is not a reading of this plate"):
            choose_read(reads, "p", "P01", reading="540")


def test_a_subtracted_well_without_a_reference_has_no_value(tmp_path):
    text = exports.softmax({"Plate1": [[TWO, {**ONE, "A1": "OVRFLW"}]]}, wavelengths=("450", "650"))
    reads = read_reader_file(write(tmp_path / "p.txt", text))
    wells = choose_read(reads, "p", "P01", reading="450-650").wells.set_index("well")
    assert wells.loc["A1", "status"] == "overflow" and np.isnan(wells.loc["A1", "value"])


def test_what_gen5_computes_is_not_taken_for_a_reading(tmp_path):
    lines = exports.gen5(ONE, label="450").split("\r\n")
    head = next(i for i, line in enumerate(lines) if line.startswith("A\t"))
    for i, row in reversed(list(enumerate("ABCDEFGH"))):
        blanked = "\t".join(["", *(f"{ONE[f'{row}{c}'] - 0.05:.3f}" for c in range(1, 13)), "Blank 450"])
        concentration = "\t".join(["", *["<0.000"] * 12, "[Concentration]"])
        lines[head + i + 1 : head + i + 1] = [blanked, concentration]
    reads = read_reader_file(write(tmp_path / "p.txt", "\r\n".join(lines)))
    assert [(r.reading, r.derived) for r in reads] == [("450", False), ("Blank 450", True)]
    assert values(choose_read(reads, "p", "P01")) == ONE
    assert values(choose_read(reads, "p", "P01", reading="blank 450"))["A1"] == 0.05


def test_gen5_and_softmax_say_what_they_think_the_wells_hold(tmp_path):
    layout = {"A1": "STD1", "A2": "STD1", "B1": "BLK"}
    read = only(write(tmp_path / "p.txt", exports.gen5(ONE, layout=layout)))
    assert dict(zip(read.declared["well"], read.declared["name"])) == layout
    text = exports.softmax({"Plate1": [[ONE]]}, group=[("A1", "100.0"), ("A2", ""), ("B1", "40.0")])
    declared = only(write(tmp_path / "p.txt", text)).declared
    assert declared["concentration"].tolist() == [100.0, 100.0, 40.0]


def test_two_magellan_plates_in_one_list(tmp_path):
    reads = read_reader_file(exports.workbook(tmp_path / "p.xlsx", {"S": exports.magellan_rows(ONE, plates=2)}))
    assert [r.plates for r in reads] == [("1",), ("2",)]
    assert values(choose_read(reads, "p", "P01", plate="2")) == ONE


def test_several_mars_plates_are_told_by_their_ids(tmp_path):
    text = exports.mars({"Raw Data (450)": ONE}, "P01") + "\r\n" + exports.mars({"Raw Data (450)": TWO}, "P02")
    reads = read_reader_file(write(tmp_path / "p.csv", text))
    assert values(choose_read(reads, "p", "P02")) == TWO


def test_the_real_exports(real_data):
    folder = real_data / "plate_readers"
    gen5 = {r.reading: r for r in read_reader_file(folder / "gen5_endpoint_stdcurve.txt")}
    assert list(gen5) == ["630nmAbsRead:630", "Blank 630nmAbsRead:630", "[Concentration]"]
    read = choose_read(list(gen5.values()), "gen5", "P01")
    assert (read.reader, values(read)["A1"], values(read)["H12"]) == ("Gen5", 3.337, 0.194)
    standards = read.declared[read.declared["name"] == "STD2"]
    assert standards["concentration"].tolist() == [666.67] * 3
    softmax = only(folder / "softmax_example.txt")
    assert (softmax.reader, softmax.plates, softmax.reading) == ("SoftMax Pro", ("Plate1",), "450-650")
    assert values(softmax)["B3"] == pytest.approx(2.0092)
    assert softmax.declared["concentration"].tolist() == [100, 100, 40, 40, 12, 12, 3, 3, 1, 1, 0, 0]
    magellan = only(folder / "magellan_od.xlsx")
    assert (magellan.reader, magellan.reading, values(magellan)["D4"]) == ("Magellan", "595", 0.1309)
    mars = only(folder / "mars.csv")
    assert (mars.reader, mars.plates[1], values(mars)["D10"]) == ("BMG MARS", "Plate 1", 0.836)
    assert all(len(r.wells) == 96 for r in (read, softmax, magellan, mars))


def test_grids_and_columns_of_words_are_not_readings(tmp_path):
    names = dict.fromkeys(ONE, "Sample X1")
    read = only(write(tmp_path / "p.csv", exports.mars({"Content": names, "Raw Data (450)": ONE})))
    assert (read.reading, values(read)) == ("Raw Data (450)", ONE)
    rows = exports.magellan_rows(ONE)
    rows = [[*rows[0], "Single conc.", "Layout"], *([*r, "<Min", "SM1_1"] if len(r) > 1 else r for r in rows[1:])]
    read = only(exports.workbook(tmp_path / "p.xlsx", {"S": rows}))
    assert values(read) == ONE
    text = "\n".join([*exports.grid_lines(names, corner="layout"), "", *exports.grid_lines(ONE, corner="OD")])
    read = only(write(tmp_path / "p.csv", text))
    assert (read.reading, values(read)) == ("OD", ONE)
    with pytest.raises(InputError, match="is a grid or table without optical densities"):
        read_reader_file(write(tmp_path / "p.csv", "\n".join(exports.grid_lines(names))))


def test_what_gen5_computes_from_a_kinetic_read_is_left_aside(tmp_path):
    lines = exports.gen5(ONE, label="Step 1:450").split("\r\n")
    head = next(i for i, line in enumerate(lines) if line.startswith("A\t"))
    for i in range(7, -1, -1):
        lines[head + i + 1 : head + i + 1] = ["\t".join(["", *["0:05:00"] * 12, "Lagtime [450]"])]
    assert values(only(write(tmp_path / "p.txt", "\r\n".join(lines)))) == ONE


def test_a_part_of_a_plate_keeps_its_column_numbers(tmp_path):
    text = "\n".join([",7,8,9", *(f"{r},{ONE[r + '7']},{ONE[r + '8']},{ONE[r + '9']}" for r in "BCD")])
    read = only(write(tmp_path / "p.csv", text))
    assert values(read) == {f"{r}{c}": ONE[f"{r}{c}"] for r in "BCD" for c in (7, 8, 9)}


def test_files_that_hold_no_plate(tmp_path):
    for text, said in (
        ("Software Version\t3.12.08\nPlate Number\tPlate 1\n", "is a Gen5 export without a Results grid"),
        ("##BLOCKS= 1\nNote: \n~End\n", "is a SoftMax Pro export without a plate"),
        (exports.softmax({"Plate1": [[ONE]]}).split("~End")[0], "has a plate without its end"),
        (exports.softmax({"Plate1": [[ONE]]}).replace("PlateFormat", "OtherFormat"), "in a form that is not known"),
        ("User: x\nTest name: y\n", "is a MARS export without data"),
        ("Well positions,Plate,Layout\nA1,P,x\n", "lists wells without a column of values"),
        ("<>,a,b\n", "is a Tecan export without values"),
        ("well,od\nX1,2\n", "is a grid or table without optical densities"),
    ):
        with pytest.raises(InputError, match=said):
            read_reader_file(write(tmp_path / "p.txt", text))
    for data, said in ((b"\xff\xfea", "is damaged utf-16 text"), (b"A\x00\x01\x02BCDEFG", "is a binary file")):
        (tmp_path / "p.txt").write_bytes(data)
        with pytest.raises(InputError, match=said):
            read_reader_file(tmp_path / "p.txt")


def test_utf16_without_a_mark_and_an_empty_workbook(tmp_path):
    assert values(only(write(tmp_path / "p.txt", exports.gen5(ONE), "utf-16-le"))) == ONE
    with pytest.raises(InputError, match="holds no cells"):
        read_reader_file(exports.workbook(tmp_path / "p.xlsx", {"S": []}))
