"""BMG Labtech MARS exports: the microplate view (a grid a reading) and the table view (a line a well).

The file opens with ``User: ...`` and ``Test name: ...``; ``ID1``-``ID3`` name the plate; a reading is titled
``Raw Data (450)``. Several plates stand below each other, each with its own head.
"""

import re

from hpaxis.cortisol.readers.cells import PlateRead, find_grids, holds_numbers, only_numbers, well_name, wells_table
from hpaxis.problems import InputError, Problem

NAME = "BMG MARS"
SIGN = "'User:' and 'Test name:'"


def recognise(sheets):
    """Whether a sheet has the head of a MARS export."""
    return any(_starts(sheet) for sheet in sheets)


def parse(sheets, path):
    """Return one `PlateRead` for each plate, reading and, for kinetic reads, time."""
    reads = []
    for sheet in sheets:
        starts = _starts(sheet)
        for start, end in zip(starts, [*starts[1:], len(sheet.rows)]):
            names = _names(sheet.rows[start:end])
            for grid in find_grids(sheet, path, start, end):
                label = grid.corner or grid.title
                if not holds_numbers(grid.cells()):
                    continue
                wells = wells_table(grid.cells(), path, label, sheet.comma_separated)
                reads.append(PlateRead(NAME, names, label, wells, not _raw(label)))
            reads += _table(sheet, start, end, names, path)
    if not reads:
        raise InputError(Problem(path, "is a MARS export without data", "export the microplate or the table view"))
    return reads


def _starts(sheet):
    rows = [next((cell for cell in row if cell), "") for row in sheet.rows]
    users = [i for i, text in enumerate(rows) if text.lower().startswith("user:")]
    named = any(text.lower().startswith("test name:") for text in rows)
    return users if named else []


def _names(rows):
    text = [cell for row in rows for cell in row]
    found = [m[1].strip() for cell in text for m in [re.match(r"ID[123]:(.*)$", cell)] if m]
    return tuple(dict.fromkeys(name for name in found if name))


def _raw(label):
    return "raw data" in label.lower()


def _table(sheet, start, end, names, path):
    """Readings of a table view: columns Well (or Well Row and Well Col), Content, and one or more of data."""
    head = next(
        (i for i in range(start, end) if any(c.lower() in ("well", "well row") for c in sheet.rows[i])), None
    )  # fmt: skip
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
        cells = {}
        for row in body:
            text = row[at] + (row[at + 1] if split else "") if len(row) > at + split else ""
            well = well_name(text)
            if well is not None:
                cells[well] = row[j] if j < len(row) else ""
        label = sheet.rows[head][j]
        reading = f"{label} at {times[j]}" if times.get(j) else label
        if cells and (_raw(label) or only_numbers(cells)):
            wells = wells_table(cells, path, reading, sheet.comma_separated)
            reads.append(PlateRead(NAME, names, reading, wells, not _raw(label)))
    return reads
