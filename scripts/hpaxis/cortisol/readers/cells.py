"""What all reader formats share: files as sheets of text cells, values of wells, and 8 × 12 grids."""

from __future__ import annotations

import csv
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.sizes import size_problems
from hpaxis.workbooks import read_old_workbook, read_workbook

ROWS = string.ascii_uppercase[:16]
WELL = re.compile(r"^([A-Pa-p])0*([1-9]|1\d|2[0-4])$")
NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
COMMA_NUMBER = re.compile(r"^[+-]?\d+,\d+([eE][+-]?\d+)?$")
BLANK = frozenset({"", "-", "--", "na", "n/a", "nan", "?????", "empty", "undefined"})
# What readers write instead of a number, and what it means: the status of the well.
WORDS = (
    ("overflow", re.compile(
        r"^(ovr?flw|over(flow|range)?|saturated|#?sat|\*{2,}|\+{2,}|>\s*(max|[\d.,]+)|inf(inity)?)$", re.I)),
    ("underflow", re.compile(r"^(un?d?rflw|under(flow|range)?|#?low|<\s*(min|[\d.,]+)|-inf(inity)?)$", re.I)),
    ("masked", re.compile(
        r"^(#?masked|excluded|\*\s*[-+]?[\d.,]+\s*\*|\(\s*[-+]?[\d.,]+\s*\)|#\s*[-+]?[\d.,]+\s*#)$", re.I)),
    ("out_of_range", re.compile(r"^#?(range\?|path\?|out ?of ?range|invalid)$", re.I)),
    ("read_error", re.compile(r"^#?(missed|err(or)?|fail(ed)?|n/d|no ?read|#n/a|#value!|#div/0!)$", re.I)),
)  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """One sheet of a file: its name, rows of text cells, and whether a comma separates its cells."""

    name: str | None
    rows: list
    comma_separated: bool = False


@dataclass(frozen=True)
class PlateRead:
    """One reading of one plate: (plate, wavelength, time, raw or derived).

    ``wells``: DataFrame well, value, status (ok, or why there is none). ``plates``: names the file gives the plate.
    ``reading``: the file's name of this reading, unique for its plate. ``derived``: computed by the reader's software
    from another reading. ``averaged``: a mean over replicate wells, which hides their scatter. ``declared``: what
    the file itself says the wells hold (well, name, concentration), or None. ``wavelength``: in nm, as text; empty
    where the file does not say. ``time``: of a kinetic reading, as in the file. ``problems``: why the reading cannot
    be used; raised when it is chosen. ``sheet``: of the workbook, by which a plate may be named too.
    """

    reader: str
    plates: tuple
    reading: str
    wells: pd.DataFrame
    derived: bool = False
    declared: pd.DataFrame | None = field(default=None, repr=False)
    averaged: bool = False
    wavelength: str = ""
    time: str = ""
    problems: tuple = field(default=(), repr=False)
    sheet: str | None = None

    @property
    def kind(self) -> str:
        """Raw, derived, or average."""
        return "average" if self.averaged else "derived" if self.derived else "raw"


def make_read(
    reader: str,
    plates: tuple,
    reading: str,
    cells: dict,
    path: str,
    sheet: Sheet,
    *,
    derived: bool = False,
    averaged: bool = False,
    declared: pd.DataFrame | None = None,
    wavelength: str | None = None,
    time: str = "",
    faults: Sequence[Problem] = (),
) -> PlateRead:
    """Return the `PlateRead` of ``{well: text}``; text that is no value becomes a problem of the reading."""
    wells, problems = read_wells(cells, path, reading, sheet.comma_separated)
    found = wavelength_of(reading) if wavelength is None else wavelength
    return PlateRead(
        reader,
        plates,
        reading,
        wells,
        derived or averaged,
        declared,
        averaged,
        found,
        time,
        (*faults, *problems),
        sheet.name,
    )


def wavelength_of(label: str) -> str:
    """Return the wavelengths (nm) that a label names, joined by -, such as 450 or 450-620; empty if there are none.

    Behind a colon, as Gen5 writes them (``step:450``), only what follows it counts.
    """
    numbers = re.findall(r"(?<![\d.])(\d{3,4})(?![\d.])", label.rpartition(":")[2] or label)
    return "-".join(n for n in numbers if 190 <= int(n) <= 1100)


def load_sheets(path: Path | str) -> list[Sheet]:
    """Read a text, XLSX or XLS file as sheets of text cells.

    Text may be UTF-8, UTF-16 or Windows-1252; cells may be separated by tabs, semicolons or commas.
    Raises `InputError` if the file is absent, empty, binary, damaged or larger than any export.
    """
    path = Path(path)
    try:
        raise_if_any(size_problems(path))
        data = path.read_bytes()
    except OSError as error:
        raise InputError(Problem(str(path), "cannot be read", "correct the path or its permissions")) from error
    if not data.strip():
        raise InputError(Problem(str(path), "is empty", "export the plate again"))
    if data[:4] == b"PK\x03\x04":
        return [Sheet(title, rows) for title, rows in read_workbook(path)]
    if data[:4] == b"\xd0\xcf\x11\xe0":
        return [Sheet(title, rows) for title, rows in read_old_workbook(path)]
    text = _decode(data, path)
    lines = text.splitlines()
    delimiter = _delimiter(lines)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error as error:
        raise InputError(Problem(str(path), f"is no table ({error})", "export the plate again")) from None
    return [Sheet(None, rows, comma_separated=delimiter == ",")]


def well_name(text: str) -> str | None:
    """Return a well's name as A1 ... P24 from spellings such as a01, or None."""
    found = WELL.match(str(text).strip())
    return f"{found[1].upper()}{int(found[2])}" if found else None


def well_sort_key(well: str) -> tuple[str, int]:
    """Sort wells by row, then column."""
    return well[0], int(well[1:])


def read_wells(cells: dict, path: str, where: str, comma_separated: bool = False) -> tuple[pd.DataFrame, list]:
    """Turn ``{well: text}`` into the table well, value, status, and the problems of the texts.

    A decimal comma is read as such; a file whose numbers could be either thousands or decimals, or that mixes both
    styles, is a problem. So is text that is neither a number nor a reader's word for a well without a value.
    """
    texts = {well: str(text).strip() for well, text in cells.items()}
    commas = [t for t in texts.values() if COMMA_NUMBER.match(t)]
    points = [t for t in texts.values() if NUMBER.match(t) and "." in t]
    problems = []
    if commas and points:
        remedy = "export with one style"
        problems.append(Problem(path, f"{where} mixes decimal commas and decimal points", remedy, value=commas[0]))
    elif commas and not any(re.match(r"^[+-]?0,", t) or len(re.split("[,eE]", t)[1]) != 3 for t in commas):
        what = f"{where} may hold thousands or decimals: the comma could be either"
        problems.append(Problem(path, what, "export with a decimal point", value=commas[0]))
    rows = []
    for well in sorted(texts, key=well_sort_key):
        text = texts[well].replace(",", ".") if COMMA_NUMBER.match(texts[well]) else texts[well]
        value, status = np.nan, "ok"
        if NUMBER.match(text):
            value = float(text)
        elif text.lower() in BLANK:
            status = "blank"
        else:
            status = next((name for name, word in WORDS if word.match(text)), None)
            if status is None:
                remedy = "export the plate again, or clear the cell if the well has no value"
                problems.append(
                    Problem(path, f"is no optical density ({where})", remedy, column=f"well {well}", value=text)
                )
                status = "blank"
        rows.append((well, value, status))
    return pd.DataFrame(rows, columns=["well", "value", "status"]), problems


def holds_numbers(cells: Mapping[str, str]) -> bool:
    """Whether any of ``{well: text}`` is a number: a grid of names is a layout, not a reading."""
    return any(NUMBER.match(text) or COMMA_NUMBER.match(text) for text in cells.values())


TITLE_OF_WAVELENGTH = re.compile(r"^(wavelengths?|lambda|filter|od|abs(orbance)?|read(ing)?)\b", re.I)


def title_of(cells: list[str]) -> str:
    """Return the title that a line of cells gives: its first text, with the wavelength in the cell beside it."""
    first, *rest = [c for c in cells if c]
    if rest and TITLE_OF_WAVELENGTH.match(first) and re.fullmatch(r"\d{3,4}(\.0)?\s*(nm)?", rest[0], re.I):
        return f"{first.rstrip(': ')} {rest[0].removesuffix('.0')}"
    return first


@dataclass(frozen=True)
class Grid:
    """A block of rows A, B, ... under columns 1, 2, ...

    ``corner``: the cell left of the column numbers. ``title``: the nearest text above. ``lines``: a list of
    (row letter, line of that row from 0, cells by column number, label after the last column, line in the sheet).
    """

    corner: str
    title: str
    columns: tuple
    lines: list
    start: int
    end: int
    problems: tuple = ()

    def cells(self, line: int = 0) -> dict[str, str]:
        """Return ``{well: text}`` of one line of every row."""
        found = {}
        for letter, number, values, _, _ in self.lines:
            if number == line:
                found.update({f"{letter}{c}": v for c, v in values.items()})
        return found

    def labels(self) -> dict[int, str]:
        """Return the label of each line, from the first row that has it."""
        labels = {}
        for _, number, _, label, _ in self.lines:
            if label:
                labels.setdefault(number, label)
        return labels

    def by_label(self, otherwise: str) -> dict:
        """Return ``{label: {well: text}}``, by the label behind each line; ``otherwise`` where there is none.

        Lines of one name may come in another order from row to row; a name that comes twice in a row is numbered.
        """
        found: dict = {}
        seen: set = set()
        for letter, _, values, label, _ in self.lines:
            name, number = label or otherwise, 1
            while (letter, name) in seen:
                number += 1
                name = f"{label or otherwise} #{number}"
            seen.add((letter, name))
            found.setdefault(name, {}).update({f"{letter}{c}": v for c, v in values.items()})
        return found


def find_grids(sheet: Sheet, path: str, start: int = 0, end: int | None = None) -> list[Grid]:
    """Find every grid in rows ``start`` to ``end`` of a sheet.

    A row of column numbers 1, 2, 3, ... with row letters below them, to the left. Lines below a lettered row with no
    letter of their own are further lines of that row. A row letter that comes twice and values outside the numbered
    columns are ``problems`` of the grid.
    """
    end = len(sheet.rows) if end is None else end
    grids, i = [], start
    while i < end:
        header = grid_header(sheet.rows[i])
        if header is None:
            i += 1
            continue
        grid = _read_grid(sheet, path, i, end, *header)
        if grid.lines:
            grids.append(grid)
        i = max(grid.end, i + 1)
    return grids


def grid_header(row: Sequence[str]) -> tuple[int, int, int] | None:
    """Return (index of the first column, its number, how many) where a row holds consecutive numbers, else None.

    At least 3 of 1, 2, 3, ...; a part of a plate may begin at another column.
    """
    for j in range(1, len(row)):
        first = _integer(row[j])
        if first is None or not 1 <= first <= 22 or _integer(row[j - 1]) is not None:
            continue
        n = 1
        while j + n < len(row) and _integer(row[j + n]) == first + n:
            n += 1
        if n >= 3 and first + n <= 25:
            return j, first, n
    return None


def _integer(cell: str) -> int | None:
    found = re.match(r"^0*(\d{1,2})(\.0)?$", cell)
    return int(found[1]) if found else None


def _read_grid(sheet: Sheet, path: str, head: int, end: int, first: int, number_of_first: int, n: int) -> Grid:
    rows = sheet.rows
    lines, problems, seen, letter, number = [], [], set(), None, 0
    i = head + 1
    while i < end:
        row = rows[i]
        label = row[first - 1] if len(row) >= first else ""
        values = {number_of_first + c: (row[first + c] if first + c < len(row) else "") for c in range(n)}
        if len(label) == 1 and label.upper() in ROWS:
            letter, number = label.upper(), 0
            if letter in seen:
                remedy = "the file holds two plates glued together, or rows that are labelled wrongly: export it again"
                problems.append(Problem(path, "is a row letter that comes twice", remedy, i + 1, value=letter))
            seen.add(letter)
        elif label == "" and letter is not None and any(values.values()):
            number += 1
        elif not any(row) and _continues(rows[i + 1 : end], first, letter):
            i += 1
            continue
        else:
            break
        lines.append((letter, number, values, [cell for cell in row[first + n :] if cell], i))
        i += 1
    problems += _strays(lines, n, sheet.comma_separated, path)
    lines = [(letter, number, values, beyond[0] if beyond else "", at) for letter, number, values, beyond, at in lines]
    title = next((title_of(rows[k]) for k in range(head - 1, max(head - 4, -1), -1) if any(rows[k])), "")
    columns = tuple(range(number_of_first, number_of_first + n))
    return Grid(rows[head][first - 1], title, columns, lines, head, i, tuple(problems))


def _continues(rows: Sequence[list[str]], first: int, letter: str) -> bool:
    """Whether, after an empty line, the next row of the grid follows (exports with an empty line after every line)."""
    following = next((row for row in rows if any(row)), [])
    expected = "A" if letter is None else chr(ord(letter) + 1)
    return len(following) >= first and following[first - 1].upper() == expected


def _strays(
    lines: Sequence[tuple[str, int, dict[int, str], list[str], int]], n: int, comma_separated: bool, path: str
) -> list[Problem]:
    """Problems of rows with values outside the numbered columns. A word, the same behind every row, is a label."""
    problems = []
    by_letter: dict = {}
    for letter, _, _, beyond, _ in lines:
        by_letter.setdefault(letter, []).append(tuple(beyond))
    names = {tuple(sorted(found)) for found in by_letter.values()}
    if len(by_letter) > 1 and len(names) == 1 and all(len(beyond) == 1 for *_, beyond, _ in lines):
        return []
    for number in {number for _, number, _, _, _ in lines}:
        mine = [line for line in lines if line[1] == number]
        label = {tuple(beyond) for *_, beyond, _ in mine}
        if len(label) == 1 and len(mine) > 1 and len(next(iter(label))) <= 1:
            continue
        for letter, _, values, beyond, at in mine:
            stray = [cell for cell in beyond if NUMBER.match(cell) or COMMA_NUMBER.match(cell)]
            if stray:
                what = f"has {sum(1 for c in values.values() if c) + len(stray)} values under {n} columns"
                hint = (
                    "decimal commas in a comma-separated file, or a shifted row" if comma_separated else "a shifted row"
                )
                problems.append(Problem(path, what, f"{hint}: export the plate again", at + 1, value=f"row {letter}"))
    return problems


@dataclass(frozen=True)
class WellTable:
    """A table whose header names wells: one row per time, wavelength or quantity.

    ``head``: the header's line. ``columns``: ``{column index: well}``. ``title``: the nearest text above.
    ``rows``: list of (the cells before the first well, ``{well: text}``).
    """

    head: int
    first: str
    columns: dict
    title: str
    rows: list


def find_well_tables(sheet: Sheet, start: int = 0, end: int | None = None) -> list[WellTable]:
    """Find tables with at least 3 wells in their header, in rows ``start`` to ``end``; each ends with an empty line."""
    end = len(sheet.rows) if end is None else end
    tables, i = [], start
    while i < end:
        row = sheet.rows[i]
        columns = {j: well for j, cell in enumerate(row) if (well := well_name(cell))}
        begin = min(columns, default=0)
        if len(columns) < 3 or len(set(columns.values())) < len(columns) or begin == 0:
            i += 1
            continue
        above = (sheet.rows[k] for k in range(i - 1, max(start - 1, i - 5), -1))
        title = next((title_of(cells) for cells in above if any(cells)), "")
        # A workbook may leave the first columns empty.
        at = next((k for k in range(begin) if row[k]), 0)
        body, j = [], i + 1
        while j < end and any(sheet.rows[j]):
            line = sheet.rows[j]
            body.append((line[at:begin], {well: line[k] if k < len(line) else "" for k, well in columns.items()}))
            j += 1
        tables.append(WellTable(i, row[at], columns, title, body))
        i = j
    return tables


def _decode(data: bytes, path: Path) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            return _strict(data, encoding, path)
    if data[1:2000:2].count(0) > 100 or data[1:60:2].count(0) > 20:
        return _strict(data, "utf-16-le", path)
    if b"\x00" in data:
        raise InputError(Problem(str(path), "is a binary file", "export the plate as text or XLSX"))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _strict(data: bytes, encoding: str, path: Path) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(Problem(str(path), f"is damaged {encoding} text", "export the plate again")) from error


def _delimiter(lines: Sequence[str]) -> str:
    """Tabs, else semicolons, else commas: a tab- or semicolon-separated file may use decimal commas."""
    most = {mark: max((line.count(mark) for line in lines), default=0) for mark in "\t;,"}
    return next((mark for mark in "\t;," if most[mark] >= 2), "\t" if most["\t"] else ",")
