"""Forty damaged reader files and layouts: each gives the right answer or an error that says what to do.

``DAMAGE`` is the table: what happened to the files, and ``RIGHT`` or the words of the error. Where the answer is
right, the plate's concentrations are those of the undamaged files (of the wells that are left).
"""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from hpaxis.cortisol.inputs import read_plate
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.quality import check_quality, verdict
from hpaxis.problems import InputError

_spec = importlib.util.spec_from_file_location("cortisol_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
plate_row, write_plate = _conftest.plate_row, _conftest.write_plate

RIGHT = "the right answer"
ROWS = "ABCDEFGH"


class Files:
    """The two files of a plate, as text, and ways to spoil them."""

    def __init__(self, reader, layout):
        self.reader, self.layout = reader, layout
        self.encoding, self.reader_bytes, self.layout_bytes, self.suffix = "utf-8", None, None, ".txt"

    @property
    def lines(self):
        return self.reader.split("\r\n")

    @lines.setter
    def lines(self, lines):
        self.reader = "\r\n".join(lines)

    def results(self):
        """Line numbers of rows A to H of the Results grid."""
        start = self.lines.index("Results")
        return list(range(start + 2, start + 10))

    def map_results(self, change):
        lines = self.lines
        for i, row in zip(self.results(), ROWS):
            lines[i] = "\t".join(change(row, lines[i].split("\t")))
        self.lines = lines

    def well(self, well, text):
        row, column = well[0], int(well[1:])
        self.map_results(lambda r, cells: [*cells[:column], text, *cells[column + 1 :]] if r == row else cells)

    def drop_reader_layout(self):
        """Take out the reader's own layout, so that only the layout file says what the wells hold."""
        lines = self.lines
        start, end = lines.index("Layout"), lines.index("Results")
        self.lines = [*lines[:start], *lines[end:]]

    def rows(self):
        return [line.split("\t") for line in self.layout.strip().split("\n")]

    def set_rows(self, rows, separator="\t"):
        self.layout = "\n".join(separator.join(row) for row in rows) + "\n"

    def relabel(self, change):
        rows = self.rows()
        self.set_rows([rows[0], *([change(row[0]), *row[1:]] for row in rows[1:])])


def _swap_labels(f):
    lines = f.lines
    a, b = f.results()[2], f.results()[5]
    lines[a], lines[b] = lines[b], lines[a]
    f.lines = lines


def _swap_data(f):
    """The first two standards' rows change places, labels do not."""
    lines = f.lines
    at = f.results()
    one, two = lines[at[2]].split("\t"), lines[at[5]].split("\t")
    lines[at[2]], lines[at[5]] = "\t".join([one[0], *two[1:]]), "\t".join([two[0], *one[1:]])
    f.lines = lines


def _turn(f):
    """The plate went into the reader the wrong way round: H12 stands where A1 belongs."""
    f.drop_reader_layout()
    lines, at = f.lines, f.results()
    cells = [lines[i].split("\t")[1:13] for i in at]
    for i, row, turned in zip(at, ROWS, [c[::-1] for c in cells[::-1]]):
        lines[i] = "\t".join([row, *turned, "450"])
    f.lines = lines


def _shift_right(f):
    f.map_results(lambda _, c: [c[0], "", *c[1:]])


def _shift_down(f):
    lines, at = f.lines, f.results()
    cells = [lines[i].split("\t")[1:] for i in at]
    empty = [""] * 12 + ["450"]
    for i, row, moved in zip(at, ROWS, [empty, *cells[:-1]]):
        lines[i] = "\t".join([row, *moved])
    f.lines = lines


def _glue(f):
    lines, at = f.lines, f.results()
    f.lines = [*lines[: at[-1] + 1], *(lines[i] for i in at), *lines[at[-1] + 1 :]]


def _second_plate(f):
    f.reader += "\r\n" + f.reader.split("3.12.08", 1)[1].replace("P01", "P09")


def _decimal_commas(f):
    f.map_results(lambda _, c: [x.replace(".", ",") for x in c])


def _comma_file(f):
    """Saved as a comma-separated grid with decimal commas: every value became two cells."""
    lines = [f.lines[i] for i in f.results()]
    grid = ["," + ",".join(map(str, range(1, 13)))]
    grid += [",".join(x.replace(".", ",") for x in line.split("\t")[:13]) for line in lines]
    f.reader = "\n".join(grid)


def _plain_csv(f):
    lines = [f.lines[i] for i in f.results()]
    f.reader = "\n".join(["," + ",".join(map(str, range(1, 13))), *(",".join(x.split("\t")[:13]) for x in lines)])


def _mixed_commas(f):
    f.map_results(lambda r, c: [x.replace(".", ",") for x in c] if r in "AB" else c)


def _thousands(f):
    f.map_results(lambda _, c: [c[0], *(f"1,{x[-3:]}" if "." in x else x for x in c[1:13]), c[13]])


def _cut_rows(f):
    lines = f.lines
    f.lines = lines[: f.results()[4]]


def _grid_layout(f):
    """The same layout as plater-style grids."""
    rows = f.rows()
    blocks = []
    for name in ("role", "sample", "nominal"):
        at = rows[0].index(name)
        cells = {r[0]: "" if r[at] == "NA" else r[at] for r in rows[1:]}
        blocks.append(",".join([name, *map(str, range(1, 13))]))
        blocks += [",".join([r, *(cells.get(f"{r}{c}", "") for c in range(1, 13))]) for r in ROWS]
        blocks.append("")
    f.layout = "\n".join(blocks)


def _grid_layout_twice(f):
    _grid_layout(f)
    f.layout += "\n" + f.layout.split("\n\n")[0]


def _grid_without_role(f):
    _grid_layout(f)
    f.layout = f.layout.replace("role,1", "type,1")


def _in_layout(old, new, count=1):
    def damage(f):
        assert old in f.layout
        f.layout = f.layout.replace(old, new, count)

    return damage


def _binary(f):
    f.reader_bytes = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"


def _old_excel(f):
    f.reader_bytes = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600


def _broken_workbook(f):
    f.reader_bytes = b"PK\x03\x04" + b"truncated" * 40


def _empty(f):
    f.reader_bytes = b" \r\n"


def _with_plate_ids(name):
    def damage(f):
        rows = f.rows()
        f.set_rows([[*rows[0], "plate_id"], *([*row, name] for row in rows[1:])])

    return damage


def _other_unit(f):
    """The reader's own layout gives the standards in ng/mL."""
    lines = f.lines
    for i, line in enumerate(lines):
        if line.endswith("Conc/Dil"):
            cells = line.split("\t")
            lines[i] = "\t".join(f"{float(c) / 1000:g}" if c and c != "Conc/Dil" else c for c in cells)
    f.lines = lines


def _other_series(f):
    """The layout has the standards upside down."""
    rows = f.rows()
    nominal = {row[2]: row[4] for row in rows if row[1] == "standard"}
    names = sorted(nominal)
    turned = dict(zip(names, [nominal[n] for n in names[::-1]]))
    f.set_rows([[*row[:4], turned[row[2]]] if row[1] == "standard" else row for row in rows])


def _degree_sign(f):
    f.encoding, f.reader = "cp1252", f.reader.replace("Full Plate", "37 °C")


def _shift_row_d(f):
    f.map_results(lambda r, c: [c[0], "0.123", *c[1:]] if r == "D" else c)


def _letter(f):
    f.reader = "Dear colleague,\nplease find the plate.\n"


def _text_in_two(f):
    f.well("C5", "x")
    f.well("D5", "y")


def _only_header(f):
    f.layout = f.layout.split("\n")[0] + "\n"


def _standards(name):
    """Standards without a nominal concentration, under their number in the kit or another name."""

    def damage(f):
        f.set_rows([[*r[:2], name or r[2], r[3], "NA"] if r[1] == "standard" else r for r in f.rows()])

    return damage


def _sample_row(column, text):
    """Change one cell of the first row of a sample."""

    def damage(f):
        rows = f.rows()
        at = next(i for i, row in enumerate(rows) if row[1] == "sample")
        rows[at][column] = text
        f.set_rows(rows)

    return damage


def _in_reader(old, new):
    return lambda f: setattr(f, "reader", f.reader.replace(old, new))


def _cut_after(share):
    return lambda f: setattr(f, "reader", f.reader[: int(len(f.reader) * share)])


DAMAGE = {
    # reader files: encodings, separators, decimals
    "as Windows-1252 with a degree sign": (_degree_sign, RIGHT),
    "as UTF-16": (lambda f: setattr(f, "encoding", "utf-16"), RIGHT),
    "as UTF-8 with a byte-order mark": (lambda f: setattr(f, "encoding", "utf-8-sig"), RIGHT),
    "Unix line ends": (_in_reader("\r\n", "\n"), RIGHT),
    "named .csv": (lambda f: setattr(f, "suffix", ".csv"), RIGHT),
    "decimal commas": (_decimal_commas, RIGHT),
    "copied to a plain CSV": (_plain_csv, RIGHT),
    "decimal commas in a CSV": (_comma_file, "16 values under 12 columns; decimal commas in a comma-separated file"),
    "decimal commas in two rows": (_mixed_commas, "mixes decimal commas and decimal points; export with one style"),
    "commas that may mean thousands": (_thousands, "may hold thousands or decimals: the comma could be either"),
    # reader files: shape
    "rows in another order, with their letters": (_swap_labels, RIGHT),
    "two rows of standards swapped": (_swap_data, "standards"),
    "plate turned round": (_turn, "has no values in column 1, which the layout uses"),
    "grid shifted by a column": (_shift_right, "values under 12 columns; a shifted row|has no values in column 1"),
    "grid shifted by a row": (_shift_down, "has no values in row A, which the layout uses; the grid is shifted"),
    "a row shifted by a cell": (_shift_row_d, "control high reads .* standards read back outside"),
    "two plates glued together": (_glue, "is a row letter that comes twice; the file holds two plates glued together"),
    "another plate below, under its own name": (_second_plate, RIGHT),
    "cut off after a tenth": (_cut_after(0.1), "is no export of Gen5|without a Results grid"),
    "cut off before the results": (_cut_after(0.6), "is a Gen5 export without a Results grid|cut short"),
    "cut off after row D": (_cut_rows, "has no well .*E1.*the export is cut short"),
    "empty": (_empty, "is empty; export the plate again"),
    "a picture": (_binary, "is a binary file; export the plate as text or XLSX"),
    "an old Excel file": (_old_excel, r"is a damaged old Excel file \(.xls\) or has a password; save it as .xlsx"),
    "a damaged workbook": (_broken_workbook, "is a damaged XLSX file"),
    "a letter of the laboratory": (_letter, "is no export of Gen5, SoftMax Pro, .*MARS, .*Magellan, plain grid"),
    # reader files: wells
    "text in a well": (lambda f: f.well("C5", "see note"), "well C5: 'see note' is no optical density"),
    "text in two wells": (_text_in_two, "well C5: 'x' .*\n.*well D5: 'y'"),
    "OVRFLW in a sample's well": (lambda f: f.well("A5", "OVRFLW"), RIGHT),
    "a sample's well left blank": (lambda f: f.well("A5", ""), RIGHT),
    "the wrong plate's file": (_in_reader("P01", "P07"), "names its plate 'P07', not P01; correct reader_file"),
    # layouts
    "layout as grids": (_grid_layout, RIGHT),
    "layout with a grid twice": (_grid_layout_twice, "is a grid that comes twice"),
    "layout grids without roles": (_grid_without_role, "'type' is a grid that names no column of a layout; write one"),
    "layout as CSV": (_in_layout("\t", ",", -1), RIGHT),
    "wells written a01": (lambda f: f.relabel(lambda w: f"{w[0].lower()}{int(w[1:]):02d}"), RIGHT),
    "a well used twice": (_sample_row(0, "A1"), "'A1' is used in row 2 already; a well holds one thing"),
    "a well that no plate has": (_sample_row(0, "Z1"), "'Z1' is no well; use A1 to H12"),
    "a misspelt role": (_sample_row(1, "sampel"), "'sampel' is not a known role; use one of .*did you mean 'sample'"),
    "a sample that hair.tsv lacks": (_sample_row(2, "H9999"), "'H9999' is not in hair.tsv; add the sample"),
    "a sample without a name": (_sample_row(2, "NA"), "is missing for a sample well; name the hair sample"),
    "a standard without its value": (_standards("top"), "'top' is missing for a standard well; give the standard's"),
    "standards left to the kit": (_standards(None), RIGHT),
    "a concentration with a unit": (_in_layout("\t4000", "\t4000 pg/mL"), "'4000 pg/mL' is no such number"),
    "standards upside down": (_other_series, "is the nominal of another standard of the kit"),
    "another plate's layout": (_with_plate_ids("P02"), "is the layout of P02, not of P01"),
    "layout with plate ids": (_with_plate_ids("P01"), RIGHT),
    "layout with a column twice": (_in_layout("role\tsample", "role\trole"), "'role' stands twice in the header"),
    "layout with an unknown column": (_in_layout("nominal", "nominl"), "not a known column; .*did you mean 'nominal'"),
    "layout without wells": (_only_header, "has a header and no wells"),
    "reader's own layout in another unit": (_other_unit, RIGHT),
    "reader's own layout of other wells": (_in_reader("STD1", "BLK"), "disagrees with the layout inside"),
    "dilution said twice": (_sample_row(3, "4"), "has dilution 4 here and 2 in hair.tsv; say the total dilution"),
}  # fmt: skip


def test_the_table_has_at_least_forty_rows():
    assert len(DAMAGE) >= 40


@pytest.fixture(scope="module")
def whole(simulated, hair, kit, tmp_path_factory):
    """The undamaged plate: its texts and its estimates."""
    folder = tmp_path_factory.mktemp("whole")
    row = write_plate(folder, simulated[0])
    layout = Path(row.layout_file).read_text(encoding="utf-8")
    read, table = read_plate(row, hair, kit)
    return simulated[0].reader_text, layout, quantify_plate("P01", read, table, kit)


@pytest.mark.long
@pytest.mark.parametrize("name", DAMAGE, ids=[n.replace(" ", "_") for n in DAMAGE])
def test_damage(name, whole, hair, kit, settings, tmp_path):
    damage, expected = DAMAGE[name]
    files = Files(whole[0], whole[1])
    damage(files)
    reader, layout = tmp_path / f"plate{files.suffix}", tmp_path / "layout.tsv"
    reader.write_bytes(files.reader_bytes if files.reader_bytes is not None else files.reader.encode(files.encoding))
    layout.write_text(files.layout, encoding="utf-8")
    if name == "dilution said twice":
        hair = hair.assign(dilution=2.0)
    row = plate_row("P01", reader, layout)
    if expected == RIGHT:
        result = quantify_plate("P01", *read_plate(row, hair, kit), kit)
        assert_same_answer(result, whole[2], name)
    else:
        said = error_or_verdict(row, hair, kit, settings)
        assert re.search(expected, said, re.S), said


def error_or_verdict(row, hair, kit, settings):
    """What is said of the plate: the error, or the reasons for which it fails."""
    try:
        inputs = read_plate(row, hair, kit)
    except InputError as error:
        for problem in error.problems:
            assert problem.file and problem.what and problem.remedy
        return str(error)
    state, reasons = verdict(check_quality(quantify_plate("P01", *inputs, kit), settings))
    assert state == "fail"
    return reasons


def assert_same_answer(result, whole, name):
    lost = "A5" if "well" in name and "sample" in name else None
    found, expected = result.wells.set_index("well"), whole.wells.set_index("well")
    assert list(found.index) == list(expected.index)
    keep = [w for w in expected.index if w != lost]
    np.testing.assert_allclose(found.loc[keep, "signal"], expected.loc[keep, "signal"])
    if lost is None:
        np.testing.assert_allclose(result.estimates["concentration"], whole.estimates["concentration"])
        assert result.estimates["sample"].tolist() == whole.estimates["sample"].tolist()
    else:
        estimates = result.estimates.set_index("wells")
        single = estimates.loc[[w for w in estimates.index if lost in w.split(";")]].iloc[0]
        assert single["n_wells"] == 1 and "single_well" in single["flags"]
        other = next(w for w in single.name.split(";") if w != lost)
        # The pooled variance has one pair less; an unweighted curve is the same.
        assert single["concentration"] == pytest.approx(expected.loc[other, "concentration"], rel=1e-9)
