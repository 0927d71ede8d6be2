"""BioTek (Agilent) Gen5 text exports, one plate or several, endpoint or kinetic.

The file opens with ``Software Version``; each plate has a block from ``Plate Number`` on, with a ``Layout`` grid
(lines Well ID, Conc/Dil, Name) and a ``Results`` grid whose every line is named behind its last column.
"""

import re

import pandas as pd

from hpaxis.cortisol.readers.cells import PlateRead, find_grids, only_numbers, well_name, wells_table
from hpaxis.problems import InputError, Problem

NAME = "Gen5"
SIGN = "'Software Version'"
# A reading is named by its wavelengths, alone or after its step; what Gen5 computes from it begins otherwise.
READING = re.compile(r"^([^\[\]]*:)?\s*\d{3,4}(\s*[,/]\s*\d{3,4})*$")
DERIVED = ("blank ", "[", "mean", "std dev", "cv", "conc", "corrected")


def recognise(sheets):
    """Whether the first sheet is a Gen5 export."""
    firsts = {row[0].rstrip(":").lower() for row in sheets[0].rows if row}
    return "software version" in firsts and bool(firsts & {"plate number", "results", "layout"})


def parse(sheets, path):
    """Return one `PlateRead` for each plate, reading and, for kinetic reads, time."""
    reads = []
    for sheet in sheets:
        rows = sheet.rows
        starts = [i for i, row in enumerate(rows) if row and row[0].lower() == "plate number"] or [0]
        for start, end in zip(starts, [*starts[1:], len(rows)]):
            reads += _plate(sheet, path, start, end)
    if not reads:
        what = "is a Gen5 export without a Results grid"
        raise InputError(Problem(path, what, "export it again with the Results matrix or the kinetic table"))
    return reads


def _plate(sheet, path, start, end):
    rows = sheet.rows
    first = rows[start]
    plate = first[1] if len(first) > 1 and first[0].lower() == "plate number" else ""
    names = (plate,) if plate else ()
    sections = [i for i in range(start, end) if rows[i] and rows[i][0].lower() in ("layout", "results")]
    declared, reads = None, []
    for i, j in zip(sections, [*sections[1:], end]):
        grids = find_grids(sheet, path, i, j)
        if rows[i][0].lower() == "layout":
            declared = _declared(grids)
        elif grids:
            reads += _results(grids[0], names, declared, sheet, path)
    reads += _kinetic(sheet, path, start, end, names, declared)
    return reads


def _results(grid, names, declared, sheet, path):
    lines = sorted({number for _, number, _, _, _ in grid.lines})
    labels = dict.fromkeys(lines, "Results") | grid.labels()
    plain = {line for line in lines if READING.match(labels[line]) and not labels[line].lower().startswith(DERIVED)}
    plain = plain or {line for line in lines if not labels[line].lower().startswith(DERIVED)}
    reads = []
    for line in lines:
        derived = line not in plain
        # Only readings must be optical densities; a computed line may hold any word of the software.
        if derived and not only_numbers(grid.cells(line)):
            continue
        wells = wells_table(grid.cells(line), path, labels[line], sheet.comma_separated)
        reads.append(PlateRead(NAME, names, labels[line], wells, derived, declared))
    return reads


def _declared(grids):
    if not grids:
        return None
    labels = {label.lower(): line for line, label in grids[0].labels().items()}
    names = grids[0].cells(labels.get("well id", 0))
    amounts = grids[0].cells(labels["conc/dil"]) if "conc/dil" in labels else {}
    table = pd.DataFrame({"well": list(names), "name": list(names.values())})
    table["concentration"] = pd.to_numeric(table["well"].map(amounts), errors="coerce")
    return table[table["name"] != ""].reset_index(drop=True)


def _kinetic(sheet, path, start, end, names, declared):
    reads = []
    for i in range(start, end):
        row = sheet.rows[i]
        if not row or row[0].lower() != "time":
            continue
        columns = {j: well_name(cell) for j, cell in enumerate(row) if well_name(cell)}
        if not columns:
            continue
        label = next((r[0] for r in reversed(sheet.rows[max(start, i - 3) : i]) if r and r[0]), "kinetic")
        for line in sheet.rows[i + 1 : end]:
            if not line or ":" not in line[0]:
                break
            cells = {well: line[j] if j < len(line) else "" for j, well in columns.items()}
            if not any(cells.values()):
                break
            wells = wells_table(cells, path, f"{label} at {line[0]}", sheet.comma_separated)
            reads.append(PlateRead(NAME, names, f"{label} at {line[0]}", wells, False, declared))
    return reads
