"""Files made to exhaust the machine are refused before they are unpacked or taken into memory."""

import gzip
import tracemalloc
import zipfile

import openpyxl
import pytest

from hpaxis import workbooks
from hpaxis.cortisol.layout import read_layout
from hpaxis.cortisol.readers import read_reader_file
from hpaxis.methylation.assays.instrument_export import read_export
from hpaxis.methylation.counting.reads import check_read_files
from hpaxis.problems import InputError
from hpaxis.sheets import read_sheet, sheet_schema
from hpaxis.sizes import LARGEST, entity_problems, zip_problems

MB = 1_000_000
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
DOCTYPE = f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'


def changed(path, change):
    """A plain workbook at ``path``; ``change``: name of a part to its new content, or to a function of the old."""
    book = openpyxl.Workbook()
    book.active.append([None, 1, 2, 3])
    book.active.append(["A", 0.1, 0.2, 0.3])
    book.save(f"{path}.whole")
    with zipfile.ZipFile(f"{path}.whole") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in dict.fromkeys([*old.namelist(), *change]):
            content = change.get(name, lambda data: data)
            new.writestr(name, content(old.read(name)) if callable(content) else content)
    return path


def sheet(rows, dimension="A1:C3"):
    text = f'<worksheet xmlns="{MAIN}"><dimension ref="{dimension}"/><sheetData>{rows}</sheetData></worksheet>'
    return {"xl/worksheets/sheet1.xml": text}


def cell(at, text="1"):
    row = at.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return f'<row r="{row}"><c r="{at}"><v>{text}</v></c></row>'


KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
SHARED = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{KIND}"/></Types>'.encode()
LONG = f'<si><t xml:space="preserve"> {"A" * 900_000}</t></si>'
BOMBS = {
    "a thousandfold": ({"xl/media/image1.png": bytes(31 * MB)}, "holds a part that unpacks into more than 100 times"),
    "many parts": ({f"xl/media/image{i}.png": bytes(900_000) for i in range(40)}, "unpacks into 36 MB, and no such"),
    "entities": (
        {"xl/sharedStrings.xml": f'<?xml version="1.0"?>{DOCTYPE}<sst xmlns="{MAIN}"><si><t>&l9;</t></si></sst>'},
        "holds XML with a document type",
    ),
    "entities in UTF-16": (
        {"xl/workbook.xml": f'<?xml version="1.0" encoding="utf-16"?>{DOCTYPE}<x>&l9;</x>'.encode("utf-16")},
        "holds XML with a document type",
    ),
    "external entity": (
        {"docProps/core.xml": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'},
        "holds XML with a document type",
    ),
    "a cell in the last corner": (sheet(cell("A1") + cell("XFD1048576")), "spreads over more cells"),
    "wide rows": (sheet("".join(cell(f"XFD{i}") for i in range(1, 2000))), "spreads over more cells"),
    "a row beyond all rows": (sheet(cell("A1") + cell("A99999999999")), "spreads over more cells"),
    "one text in many cells": (
        sheet("".join(f'<row r="{i}"><c r="A{i}" t="s"><v>0</v></c></row>' for i in range(1, 9000)))
        | {"xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{LONG}</sst>'}
        | {"[Content_Types].xml": lambda data: data.replace(b"</Types>", SHARED)},
        "spreads over more cells",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_workbooks_that_would_grow_are_refused_in_little_memory(tmp_path, monkeypatch, bomb):
    monkeypatch.setattr(workbooks, "LARGEST", 3 * MB)  # as much as the sheets may take, so that the test is quick
    change, said = BOMBS[bomb]
    path = changed(tmp_path / "plate.xlsx", change)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=said) as refused:
            read_reader_file(path)
        assert tracemalloc.get_traced_memory()[1] < 60 * MB
    finally:
        tracemalloc.stop()
    assert len(refused.value.problems) == 1 and str(path) in str(refused.value)
    for other in (read_layout, read_export):
        with pytest.raises(InputError, match=said):
            other(path)


def test_what_a_sheet_says_of_its_size_is_not_believed(tmp_path):
    rows = '<row r="1"><c r="B1"><v>1</v></c><c r="C1"><v>2</v></c><c r="D1"><v>3</v></c></row>' + (
        '<row r="2"><c r="A2" t="inlineStr"><is><t>A</t></is></c><c r="B2"><v>0.1</v></c><c r="C2"><v>0.2</v></c>'
        '<c r="D2"><v>0.3</v></c></row>'
    )
    for dimension in ("A1", "A1:B1", "A1:XFD1048576"):
        path = changed(tmp_path / "plate.xlsx", sheet(rows, dimension))
        assert read_reader_file(path)[0].wells["value"].tolist() == [0.1, 0.2, 0.3]


def test_an_ordinary_workbook_has_no_problem(tmp_path):
    path = changed(tmp_path / "plate.xlsx", {})
    assert zip_problems(path) == entity_problems(path) == []
    assert zip_problems(tmp_path / "absent") == entity_problems(tmp_path / "absent") == []


def test_reads_that_unpack_into_one_endless_line_are_read_in_little_memory(tmp_path):
    path = tmp_path / "reads.fastq.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"@r\n")
        for _ in range(120):
            file.write(b"A" * MB)
    tracemalloc.start()
    try:
        problems = check_read_files([path])
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()
    assert len(problems) == 1 and problems[0].row == 2


def test_text_of_any_kind_has_a_largest_size(tmp_path):
    path = tmp_path / "hair.tsv"
    with open(path, "wb") as file:
        file.truncate(LARGEST + 1)
    table, problems = read_sheet(path, sheet_schema("hair"))
    assert len(table) == 0 and len(problems) == 1
    for read in (read_reader_file, read_layout, read_export):
        with pytest.raises(InputError, match="has 32 MB, and no such file has more than 32"):
            read(path)
