"""Molecular Devices SoftMax Pro text exports: several plates, endpoint or kinetic, one wavelength or several.

The file opens with ``##BLOCKS=``; each plate is a block from a line ``Plate:`` to ``~End``. Its second line names
the columns: wells (TimeFormat) or the numbers 1, 2, 3, ... (PlateFormat); wavelengths stand side by side, and
times below each other. A block ``Group: Standards`` says which wells the operator called standards.
"""

import re

import pandas as pd

from hpaxis.cortisol.readers.cells import ROWS, PlateRead, well_name, wells_table
from hpaxis.problems import InputError, Problem

NAME = "SoftMax Pro"
SIGN = "'##BLOCKS=' or 'Plate:'"
FORMATS = ("plateformat", "timeformat")


def recognise(sheets):
    """Whether the first sheet is a SoftMax Pro text export."""
    return any(
        row and (row[0].startswith("##BLOCKS") or (row[0] == "Plate:" and len(row) > 3 and row[3].lower() in FORMATS))
        for row in sheets[0].rows
    )


def parse(sheets, path):
    """Return one `PlateRead` for each plate, wavelength and time."""
    rows = sheets[0].rows
    declared = _declared(rows)
    reads = []
    for start, end in _blocks(rows, path):
        reads += _plate(sheets[0], start, end, declared, path)
    if not reads:
        raise InputError(
            Problem(path, "is a SoftMax Pro export without a plate", "export it again with its Plate section")
        )
    return reads


def _blocks(rows, path):
    blocks = []
    for i, row in enumerate(rows):
        if row and row[0] == "Plate:":
            end = next((j for j in range(i + 1, len(rows)) if rows[j] and rows[j][0].startswith("~End")), None)
            if end is None:
                remedy = "the export is cut short: export it again"
                raise InputError(Problem(path, "has a plate without its end (~End)", remedy, i + 1))
            blocks.append((i, end))
    return blocks


def _plate(sheet, start, end, declared, path):
    head, columns = sheet.rows[start], sheet.rows[start + 1]
    name = head[1]
    layout = head[3].lower() if len(head) > 3 else ""
    if layout not in FORMATS:
        what = f"has plate {name} in a form that is not known"
        raise InputError(Problem(path, what, "export as PlateFormat or TimeFormat", start + 1, value=layout))
    wavelengths = next((f.split() for f in head[14:] if re.fullmatch(r"\d{3,4}( \d{3,4})* ?", f)), [])
    names = _spans(columns, layout)
    body = sheet.rows[start + 2 : end]
    times = _time_blocks(body) if layout == "plateformat" else [[row] for row in body if any(row)]
    if any(len(block) > len(ROWS) for block in times):
        raise InputError(Problem(path, f"has a plate of more than {len(ROWS)} rows", "export it again", start + 1))
    kinetic = len(times) > 1
    reads = []
    for block in times:
        for k, span in enumerate(names):
            cells = _cells(block, span, layout)
            if not any(cells.values()):
                continue
            # With a reference wavelength subtracted there is one span, and it is of both.
            wavelength = wavelengths[k] if k < len(wavelengths) == len(names) else "-".join(wavelengths) or str(k + 1)
            reading = f"{wavelength} at {block[0][0]}" if kinetic else wavelength
            wells = wells_table(cells, path, f"plate {name}, {reading}", sheet.comma_separated)
            reads.append(PlateRead(NAME, (name,), reading, wells, False, declared.get(name, declared.get(None))))
    return reads


def _spans(columns, layout):
    """Return one ``{column index: well or number}`` for each wavelength: names start anew where they repeat."""
    spans, current = [], {}
    for j, cell in enumerate(columns[2:], start=2):
        label = well_name(cell) if layout == "timeformat" else (int(cell) if cell.isdecimal() else None)
        if label is None:
            continue
        if label in current.values():
            spans.append(current)
            current = {}
        current[j] = label
    return [*spans, current] if current else spans


def _time_blocks(body):
    """Split the body of a PlateFormat block into plates: one a time, separated by empty lines."""
    blocks, current = [], []
    for row in body:
        if any(row[2:]):
            current.append(row)
        elif current and not any(row):
            blocks.append(current)
            current = []
    return [*blocks, current] if current else blocks


def _cells(block, span, layout):
    if layout == "timeformat":
        row = block[0]
        return {well: row[j] if j < len(row) else "" for j, well in span.items()}
    return {
        f"{ROWS[i]}{number}": row[j] if j < len(row) else ""
        for i, row in enumerate(block)
        for j, number in span.items()
    }


def _declared(rows):
    """Wells that the file's own groups call standards, by plate (None where wells are not named with a plate)."""
    records = {}
    for i, row in enumerate(rows):
        if not row or not re.match(r"group:\s*(std|standard)", row[0], re.I):
            continue
        header = [cell.lower() for row in rows[i + 1 : i + 2] for cell in row]
        at = next((j for j, cell in enumerate(header) if cell.startswith("well")), None)
        amount = next((j for j, cell in enumerate(header) if cell.startswith("conc")), None)
        if at is None:
            continue
        concentration = None
        for line in rows[i + 2 :]:
            if at >= len(line) or not line[at]:
                break
            if amount is not None and amount < len(line) and line[amount]:
                concentration = line[amount]
            plate, _, well = line[at].rpartition("@") if "@" in line[at] else ("", "", line[at])
            if well_name(well) is None:
                break
            records.setdefault(plate or None, []).append((well_name(well), "Standard", concentration))
    tables = {}
    for plate, found in records.items():
        table = pd.DataFrame(found, columns=["well", "name", "concentration"])
        table["concentration"] = pd.to_numeric(table["concentration"], errors="coerce")
        tables[plate] = table.drop_duplicates("well")
    return tables
