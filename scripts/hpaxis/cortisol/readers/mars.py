"""BMG Labtech MARS and Smart Control exports: the microplate view (a grid per reading) and the table view.

The file opens with ``User: ...`` and ``Test name: ...`` (or ``Test ID: ...``); ``ID1``-``ID3`` name the plate; a
reading is titled ``Raw Data (450)``. Several plates stand below each other, each with its own head. Everything that
is not raw data is computed; averages over replicates are a third kind, since they hide what replicates differ by.
"""

import re
from collections.abc import Mapping, Sequence

from hpaxis.cortisol.readers.cells import (
    PlateRead,
    Sheet,
    find_grids,
    find_well_tables,
    holds_numbers,
    make_read,
    well_name,
)
from hpaxis.problems import InputError, Problem

NAME = "BMG MARS"
SIGN = "'User:' and 'Test name:'"
RAW = re.compile(r"^(\d+\.\s*)?raw data\b", re.I)
AVERAGE = re.compile(r"\b(average|mean)\b", re.I)


def recognise(sheets: Sequence[Sheet]) -> bool:
    """Whether a sheet has the head of a MARS export."""
    return any(_starts(sheet) for sheet in sheets)


def parse(sheets: Sequence[Sheet], path: str) -> list[PlateRead]:
    """Return one `PlateRead` for each plate, reading and, for kinetic reads, time."""
    reads = []
    for sheet in sheets:
        starts = _starts(sheet)
        for start, end in zip(starts, [*starts[1:], len(sheet.rows)]):
            names = _names(sheet.rows[start:end])
            for grid in find_grids(sheet, path, start, end):
                if holds_numbers(grid.cells()):
                    label = grid.corner or grid.title
                    reads.append(_read(names, label, grid.cells(), path, sheet, faults=grid.problems))
            reads += _table(sheet, start, end, names, path)
            for table in find_well_tables(sheet, start, end):
                for before, cells in table.rows:
                    if holds_numbers(cells) and before[0]:
                        reads.append(_read(names, before[0], cells, path, sheet))
    if not reads:
        raise InputError(Problem(path, "is a MARS export without data", "export the microplate or the table view"))
    return reads


def _read(
    names: tuple[str, ...],
    label: str,
    cells: Mapping[str, str],
    path: str,
    sheet: Sheet,
    time: str = "",
    faults: Sequence[Problem] = (),
) -> PlateRead:
    reading = f"{label} at {time}" if time else label
    raw = bool(RAW.match(label))
    averaged = not raw and bool(AVERAGE.search(label))
    bracket = re.search(r"\(([^()]*)\)", label)
    numbers = re.findall(r"(?<![\d-])(\d{3,4})(?!\d)", bracket[1]) if bracket else []
    return make_read(
        NAME, names, reading, cells, path, sheet, derived=not raw, averaged=averaged,
        wavelength="-".join(numbers), time=time, faults=faults,
    )  # fmt: skip


def _starts(sheet: Sheet) -> list[int]:
    rows = [next((cell for cell in row if cell), "") for row in sheet.rows]
    users = [i for i, text in enumerate(rows) if text.lower().startswith("user:")]
    named = any(text.lower().startswith(("test name:", "test id:")) for text in rows)
    return users if named else []


def _names(rows: Sequence[list[str]]) -> tuple[str, ...]:
    text = [cell for row in rows for cell in row]
    found = [m[1].strip() for cell in text for m in [re.match(r"ID[123]:(.*)$", cell)] if m]
    return tuple(dict.fromkeys(name for name in found if name))


def _table(sheet: Sheet, start: int, end: int, names: tuple[str, ...], path: str) -> list[PlateRead]:
    """Readings of a table view: columns Well (or Well Row and Well Col), Content, and one or more of data."""
    head = next((i for i in range(start, end) if _is_head(sheet.rows[i])), None)
    if head is None:
        return []
    header = [cell.lower() for cell in sheet.rows[head]]
    split = "well row" in header and "well col" in header
    if not split and "well" not in header:
        remedy = "export the table view with both columns"
        raise InputError(Problem(path, "has Well Row without Well Col, or the other way about", remedy, head + 1))
    at = header.index("well row") if split else header.index("well")
    content = header.index("content") if "content" in header else at
    first = max(at + split, content) + 1
    body = [row for row in sheet.rows[head + 1 : end] if any(row)]
    times = {}
    if body and any(cell.lower() == "time" for cell in body[0]):
        times = {j: cell for j, cell in enumerate(body[0]) if j >= first}
        body = body[1:]
    reads = []
    for j in range(first, len(header)):
        if not header[j]:
            continue
        cells, faults = {}, []
        for row in body:
            text = row[at] + (row[at + 1] if split else "") if len(row) > at + split else ""
            well = well_name(text)
            if well is None:
                continue
            if well in cells:
                remedy = "export every plate on its own"
                faults.append(Problem(path, "comes twice in the table", remedy, column="Well", value=well))
            cells[well] = row[j] if j < len(row) else ""
        if holds_numbers(cells):
            label = sheet.rows[head][j]
            reads.append(_read(names, label, cells, path, sheet, times.get(j, ""), tuple(faults)))
    return reads


def _is_head(row: Sequence[str]) -> bool:
    words = [cell.lower() for cell in row]
    return ("well" in words or "well row" in words) and sum(1 for cell in row if well_name(cell)) < 3
