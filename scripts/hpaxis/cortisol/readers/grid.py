"""Plain grids: rows A-H under columns 1-12, in CSV, TSV or XLSX, each with an optional title above.

In a workbook every sheet with a grid is a plate (or a reading) of its own. A long table with the columns
``well`` and one value column is read too.
"""

from hpaxis.cortisol.readers.cells import PlateRead, find_grids, grid_header, holds_numbers, well_name, wells_table
from hpaxis.problems import InputError, Problem

NAME = "plain grid"
SIGN = "1, 2, 3 over A, B, C"


def recognise(sheets):
    """Whether any sheet holds a grid or a table of wells; the last format to be tried."""
    return any(_has_grid(sheet) or _long_header(sheet) is not None for sheet in sheets)


def parse(sheets, path):
    """Return one `PlateRead` for each grid, named by its title or, in a workbook, by its sheet."""
    reads = []
    for sheet in sheets:
        grids = [grid for grid in find_grids(sheet, path) if holds_numbers(grid.cells())]
        head = _long_header(sheet)
        if not grids and head is not None:
            reads += _long(sheet, head, path)
        for grid in grids:
            title = grid.corner or grid.title
            names = tuple(dict.fromkeys(n for n in (sheet.name if len(sheets) > 1 else None, title) if n))
            wells = wells_table(grid.cells(), path, title or "the grid", sheet.comma_separated)
            reads.append(PlateRead(NAME, names, title or sheet.name or "signal", wells))
    if not reads:
        raise InputError(Problem(path, "is a grid or table without optical densities", "give the values of the wells"))
    return reads


def _has_grid(sheet):
    return any(grid_header(row) for row in sheet.rows)


def _long_header(sheet):
    for i, row in enumerate(sheet.rows):
        words = [cell.lower() for cell in row]
        if "well" in words and sum(1 for w in words if w) == 2:
            return i
    return None


def _long(sheet, head, path):
    words = [cell.lower() for cell in sheet.rows[head]]
    at = words.index("well")
    value = next(i for i, word in enumerate(words) if word and i != at)
    cells = {}
    for row in sheet.rows[head + 1 :]:
        well = well_name(row[at]) if at < len(row) else None
        if well is not None:
            cells[well] = row[value] if value < len(row) else ""
    if not holds_numbers(cells):
        return []
    return [PlateRead(NAME, (), sheet.rows[head][value], wells_table(cells, path, "the table"))]
