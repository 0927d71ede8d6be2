"""Tecan Magellan (and i-control) exports: a list of wells, or a matrix whose corner holds ``<>``.

In a list, ``Well positions`` stands beside ``Raw data``, in any order; below it come lines about the measurement.
A well that comes again begins the next plate. In a matrix, each reading has its own grid.
"""

import re

from hpaxis.cortisol.readers.cells import PlateRead, find_grids, holds_numbers, only_numbers, well_name, wells_table
from hpaxis.problems import InputError, Problem

NAME = "Magellan"
SIGN = "'Well positions' or '<>'"
WELLS = ("well positions", "well position")
ABOUT = ("plate", "layout", "replicate info", "dilution", "dilutions", "conc", "concentration", "sample ids", *WELLS)
WAVELENGTH = re.compile(r"^(?:measurement wavelength:?\s*)?(\d{3,4})\s*nm$", re.I)


def recognise(sheets):
    """Whether any sheet is a Magellan list or a Tecan matrix."""
    return any(cell.lower() in WELLS or cell == "<>" for sheet in sheets for row in sheet.rows for cell in row)


def parse(sheets, path):
    """Return one `PlateRead` for each plate and reading."""
    reads = []
    for sheet in sheets:
        heads = [i for i, row in enumerate(sheet.rows) if any(cell.lower() in WELLS for cell in row)]
        names = (sheet.name,) if sheet.name and len(sheets) > 1 else ()
        for head, end in zip(heads, [*heads[1:], len(sheet.rows)]):
            reads += _list(sheet, head, end, names, path)
        grids = (
            [g for g in find_grids(sheet, path) if g.corner == "<>" and holds_numbers(g.cells())] if not heads else []
        )
        for number, grid in enumerate(grids, start=1):
            label = _wavelength(sheet.rows[grid.end :]) if len(grids) == 1 else (grid.title or f"reading {number}")
            wells = wells_table(grid.cells(), path, label, sheet.comma_separated)
            reads.append(PlateRead(NAME, names, label, wells))
    if not reads:
        raise InputError(Problem(path, "is a Magellan export without values", "export the raw data again"))
    return reads


def _list(sheet, head, end, names, path):
    header = sheet.rows[head]
    at = next(j for j, cell in enumerate(header) if cell.lower() in WELLS)
    columns = [j for j, cell in enumerate(header) if cell and cell.lower() not in ABOUT]
    if not columns:
        raise InputError(Problem(path, "lists wells without a column of values", "export the raw data", head + 1))
    plates, last = [{}], head
    for i in range(head + 1, end):
        row = sheet.rows[i]
        well = well_name(row[at]) if at < len(row) else None
        if well is None:
            if any(row):
                break
            continue
        if well in plates[-1]:
            plates.append({})
        plates[-1][well], last = row, i
    label = _wavelength(sheet.rows[last + 1 : end])
    reads = []
    for number, rows in enumerate(plates, start=1):
        here = (*names, str(number)) if len(plates) > 1 else names
        for j in columns:
            reading = header[j] if len(columns) > 1 else label
            cells = {well: row[j] if j < len(row) else "" for well, row in rows.items()}
            derived = not header[j].lower().startswith("raw data")
            if derived and not only_numbers(cells):
                continue
            wells = wells_table(cells, path, header[j], sheet.comma_separated)
            reads.append(PlateRead(NAME, here, reading, wells, derived))
    return reads


def _wavelength(rows):
    """Name a single reading by its wavelength, where the lines about the measurement give one."""
    for row in rows:
        for cell in row:
            found = WAVELENGTH.match(cell)
            if found:
                return found[1]
    return "Raw data"
