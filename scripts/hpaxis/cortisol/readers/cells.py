"""What all reader formats share: files as sheets of text cells, values of wells, and 8 × 12 grids."""

import csv
import re
import string
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.sizes import size_problems
from hpaxis.workbooks import read_workbook

ROWS = string.ascii_uppercase[:16]
WELL = re.compile(r"^([A-Pa-p])0*([1-9]|1\d|2[0-4])$")
NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
COMMA_NUMBER = re.compile(r"^[+-]?\d+,\d+([eE][+-]?\d+)?$")
OVERFLOW = re.compile(r"^(ovr?flw|over(flow|range)?|saturated|#?sat|\*{2,}|\+{2,}|>\s*[\d.,]+|inf(inity)?)$", re.I)
BLANK = frozenset({"", "-", "--", "na", "n/a", "nan", "?????", "empty"})


@dataclass(frozen=True)
class Sheet:
    """One sheet of a file: its name, rows of text cells, and whether a comma separates its cells."""

    name: str | None
    rows: list
    comma_separated: bool = False


@dataclass(frozen=True)
class PlateRead:
    """One reading of one plate.

    ``wells``: DataFrame well, value, status (ok, blank, overflow). ``plates``: names the file gives the plate.
    ``reading``: the file's name of this reading (wavelength, step, time). ``derived``: computed by the reader's
    software from another reading. ``declared``: what the file itself says the wells hold (well, name,
    concentration), or None.
    """

    reader: str
    plates: tuple
    reading: str
    wells: pd.DataFrame
    derived: bool = False
    declared: pd.DataFrame | None = field(default=None, repr=False)


def load_sheets(path):
    """Read a text or XLSX file as sheets of text cells.

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
        what, remedy = "is an old Excel file (.xls) or has a password", "save it as .xlsx without one, or as text"
        raise InputError(Problem(str(path), what, remedy))
    text = _decode(data, path)
    lines = text.splitlines()
    delimiter = _delimiter(lines)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error as error:
        raise InputError(Problem(str(path), f"is no table ({error})", "export the plate again")) from None
    return [Sheet(None, rows, comma_separated=delimiter == ",")]


def well_name(text):
    """Return a well's name as A1 ... P24 from spellings such as a01, or None."""
    found = WELL.match(str(text).strip())
    return f"{found[1].upper()}{int(found[2])}" if found else None


def well_sort_key(well):
    """Sort wells by row, then column."""
    return well[0], int(well[1:])


def wells_table(cells, path, where, comma_separated=False):
    """Turn ``{well: text}`` into the table well, value, status.

    A decimal comma is read as such where the file's own cells are not separated by commas; a file whose numbers
    could be either thousands or decimals, or that mixes both styles, is an error. So is text that is neither a
    number nor a reader's word for a well without a value. Raises `InputError` with every such well.
    """
    texts = {well: str(text).strip() for well, text in cells.items()}
    commas = [t for t in texts.values() if COMMA_NUMBER.match(t)]
    points = [t for t in texts.values() if NUMBER.match(t) and "." in t]
    if commas and points:
        raise InputError(
            Problem(path, f"{where} mixes decimal commas and decimal points", "export with one style", value=commas[0])
        )
    if commas and not any(re.match(r"^[+-]?0,", t) or len(re.split("[,eE]", t)[1]) != 3 for t in commas):
        what = f"{where} may hold thousands or decimals: the comma could be either"
        raise InputError(Problem(path, what, "export with a decimal point", value=commas[0]))
    rows, problems = [], []
    for well in sorted(texts, key=well_sort_key):
        text = texts[well].replace(",", ".") if COMMA_NUMBER.match(texts[well]) else texts[well]
        value, status = np.nan, "ok"
        if NUMBER.match(text):
            value = float(text)
        elif text.lower() in BLANK:
            status = "blank"
        elif OVERFLOW.match(text):
            status = "overflow"
        else:
            remedy = "export the plate again, or clear the cell if the well has no value"
            problems.append(
                Problem(path, f"is no optical density ({where})", remedy, column=f"well {well}", value=text)
            )
        rows.append((well, value, status))
    if problems:
        raise InputError(problems)
    return pd.DataFrame(rows, columns=["well", "value", "status"])


def holds_numbers(cells):
    """Whether any of ``{well: text}`` is a number: a grid of names is a layout, not a reading."""
    return any(NUMBER.match(text) or COMMA_NUMBER.match(text) for text in cells.values())


def only_numbers(cells):
    """Whether every filled cell of ``{well: text}`` is a number."""
    return holds_numbers(cells) and all(NUMBER.match(t) or COMMA_NUMBER.match(t) or t == "" for t in cells.values())


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

    def cells(self, line=0):
        """Return ``{well: text}`` of one line of every row."""
        found = {}
        for letter, number, values, _, _ in self.lines:
            if number == line:
                found.update({f"{letter}{c}": v for c, v in values.items()})
        return found

    def labels(self):
        """Return the label of each line, from the first row that has it."""
        labels = {}
        for _, number, _, label, _ in self.lines:
            if label:
                labels.setdefault(number, label)
        return labels


def find_grids(sheet, path, start=0, end=None):
    """Find every grid in rows ``start`` to ``end`` of a sheet.

    A row of column numbers 1, 2, 3, ... with row letters below them, to the left. Lines below a lettered row with no
    letter of their own are further lines of that row. Raises `InputError` for a row letter that comes twice and for
    values outside the numbered columns.
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


def grid_header(row):
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


def _integer(cell):
    found = re.match(r"^0*(\d{1,2})(\.0)?$", cell)
    return int(found[1]) if found else None


def _read_grid(sheet, path, head, end, first, number_of_first, n):
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
    if problems:
        raise InputError(problems)
    lines = [(letter, number, values, beyond[0] if beyond else "", at) for letter, number, values, beyond, at in lines]
    title = next((next(c for c in rows[k] if c) for k in range(head - 1, max(head - 4, -1), -1) if any(rows[k])), "")
    return Grid(rows[head][first - 1], title, tuple(range(number_of_first, number_of_first + n)), lines, head, i)


def _continues(rows, first, letter):
    """Whether, after an empty line, the next row of the grid follows (exports with an empty line after every line)."""
    following = next((row for row in rows if any(row)), [])
    expected = "A" if letter is None else chr(ord(letter) + 1)
    return len(following) >= first and following[first - 1].upper() == expected


def _strays(lines, n, comma_separated, path):
    """Problems of rows with values outside the numbered columns. A word, the same behind every row, is a label."""
    problems = []
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


def _decode(data, path):
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


def _strict(data, encoding, path):
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(Problem(str(path), f"is damaged {encoding} text", "export the plate again")) from error


def _delimiter(lines):
    """Tabs, else semicolons, else commas: a tab- or semicolon-separated file may use decimal commas."""
    most = {mark: max((line.count(mark) for line in lines), default=0) for mark in "\t;,"}
    return next((mark for mark in "\t;," if most[mark] >= 2), "\t" if most["\t"] else ",")
