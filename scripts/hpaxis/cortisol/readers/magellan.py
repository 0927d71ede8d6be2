"""Tecan Magellan, i-control and Spark exports: lists of wells, matrices with ``<>`` in the corner, kinetic tables.

In a list, ``Well positions`` (or ``<>``) stands beside the readings, in any order; lines about the measurement come
below, and in Magellan lines with the time and the temperature above. A well that comes again begins the next plate.
In a matrix, each reading has its own grid; its label and wavelength are named above, or below for a single one. In a
kinetic table, ``Cycle Nr.`` stands beside the cycles, and wells below it.
"""

import re
from collections.abc import Mapping, Sequence

from hpaxis.cortisol.readers.cells import Grid, PlateRead, Sheet, find_grids, holds_numbers, make_read, well_name
from hpaxis.problems import InputError, Problem

NAME = "Magellan"
SIGN = "'Well positions' or '<>'"
WELLS = ("well positions", "well position")
ABOUT = (
    "plate", "layout", "replicate info", "dilution", "dilutions", "conc", "concentration", "sample ids", "<>", *WELLS,
)  # fmt: skip
RAW = re.compile(r"^(raw data|label ?\d+|value|od|\d{3,4} ?(nm)?)\b", re.I)
WAVELENGTH = re.compile(r"^(?:measurement wavelength:?\s*)?(\d{3,4})\s*nm$", re.I)
PER_LABEL = re.compile(r"^(label ?\d+)\s*[=:]\s*(\d{3,4})(?!\d)", re.I)


def recognise(sheets: Sequence[Sheet]) -> bool:
    """Whether any sheet is a Magellan list or a Tecan matrix."""
    return any(
        cell.lower() in (*WELLS, "<>") or cell.lower().startswith("cycle nr")
        for sheet in sheets for row in sheet.rows for cell in row
    )  # fmt: skip


def parse(sheets: Sequence[Sheet], path: str) -> list[PlateRead]:
    """Return one `PlateRead` for each plate, reading and, for kinetic reads, time."""
    reads = []
    holding = [sheet for sheet in sheets if _heads(sheet) or _matrices(sheet, path) or _cycles(sheet)]
    for sheet in holding:
        heads = _heads(sheet)
        names = (sheet.name,) if sheet.name and len(holding) > 1 else ()
        for head, end in zip(heads, [*heads[1:], len(sheet.rows)]):
            reads += _list(sheet, head, end, names, path)
        grids = [] if heads else _matrices(sheet, path)
        previous = 0
        for number, grid in enumerate(grids, start=1):
            label, nm = _named_above(sheet.rows[previous : grid.start])
            if len(grids) == 1:
                nm = nm or _wavelength(sheet.rows[grid.end :])
            label = label or nm or ("Raw data" if len(grids) == 1 else grid.title or f"reading {number}")
            cells = grid.cells()
            reads.append(make_read(NAME, names, label, cells, path, sheet, wavelength=nm or None, faults=grid.problems))
            previous = grid.end
        for start in _cycles(sheet):
            reads += _kinetic(sheet, start, names, path)
    if not reads:
        raise InputError(Problem(path, "is a Tecan export without values", "export the raw data again"))
    return reads


def _heads(sheet: Sheet) -> list[int]:
    rows = sheet.rows
    return [
        i for i, row in enumerate(rows)
        if any(c.lower() in WELLS for c in row) or ("<>" in row and _well_below(rows[i + 1 : i + 4], row.index("<>")))
    ]  # fmt: skip


def _well_below(rows: Sequence[list[str]], j: int) -> bool:
    return any(j < len(row) and well_name(row[j]) for row in rows)


def _matrices(sheet: Sheet, path: str) -> list[Grid]:
    return [g for g in find_grids(sheet, path) if g.corner == "<>" and holds_numbers(g.cells())]


def _cycles(sheet: Sheet) -> list[int]:
    return [i for i, row in enumerate(sheet.rows) if row and row[0].lower().startswith("cycle nr")]


def _list(sheet: Sheet, head: int, end: int, names: Sequence[Problem], path: str) -> list[PlateRead]:
    header = sheet.rows[head]
    at = next(j for j, cell in enumerate(header) if cell.lower() in WELLS or cell == "<>")
    plates, last, seen = [{}], head, False
    for i in range(head + 1, end):
        row = sheet.rows[i]
        well = well_name(row[at]) if at < len(row) else None
        if well is None:
            # Lines above the first well say the time and the temperature of each reading.
            if any(row) and (seen or i - head > 4):
                break
            continue
        seen = True
        if well in plates[-1]:
            plates.append({})
        plates[-1][well], last = row, i
    columns = [
        j for j, cell in enumerate(header)
        if cell and cell.lower() not in ABOUT and not PER_LABEL.match(cell) and j != at
        and any(holds_numbers({w: r[j] if j < len(r) else "" for w, r in rows.items()}) for rows in plates)
    ]  # fmt: skip
    if not seen:
        raise InputError(Problem(path, "names a column of wells and lists none", "export the raw data again", head + 1))
    if not columns:
        raise InputError(Problem(path, "lists wells without a column of values", "export the raw data", head + 1))
    about = sheet.rows[last + 1 : end]
    waves = _label_wavelengths([*sheet.rows[head : last + 1], *about], [header[j] for j in columns], about)
    raw = [j for j in columns if RAW.match(header[j])] or columns[:1]
    single = len(columns) == 1
    reads = []
    for number, rows in enumerate(plates, start=1):
        here = (*names, str(number)) if len(plates) > 1 else names
        for j in columns:
            nm = waves.get(header[j].lower(), "")
            nm = nm or (_wavelength(about) if single else "")
            reading = (nm or "Raw data") if single else header[j]
            cells = {well: row[j] if j < len(row) else "" for well, row in rows.items()}
            reads.append(
                make_read(NAME, here, reading, cells, path, sheet, derived=j not in raw, wavelength=nm or None)
            )
    return reads


def _label_wavelengths(rows: Sequence[list[str]], labels: Sequence[str], about: Sequence[list[str]]) -> dict[str, str]:
    """Wavelengths of Label1, Label2, ...: as ``Label1=535``, or listed in order below (``Measurement 1:`` ...)."""
    found = {}
    for row in rows:
        for cell in row:
            named = PER_LABEL.match(cell)
            if named and "°" not in cell:
                found.setdefault(named[1].lower(), named[2])
    if not found:
        listed = [
            m[1]
            for row in about
            for c in row
            for m in [re.match(r"^measurement wavelength:?\s*(\d{3,4})", c, re.I)]
            if m
        ]
        numbered = [label for label in labels if re.match(r"^label ?\d+$", label, re.I)]
        if len(listed) == len(numbered):
            found = {label.lower(): nm for label, nm in zip(numbered, listed)}
    return found


def _named_above(rows: Sequence[list[str]]) -> tuple[str, str]:
    """The label and the wavelength that the lines above a matrix give."""
    label = nm = ""
    for row in rows:
        filled = [cell for cell in row if cell]
        if not filled:
            continue
        first = filled[0].lower().rstrip(":")
        if first == "label" and len(filled) > 1:
            label, nm = filled[1], ""
        elif first.startswith("label:"):
            label, nm = filled[0].partition(":")[2].strip(), ""
        elif re.match(r"^(measurement )?wavelength", first):
            numbers = re.findall(r"(?<!\d)\d{3,4}(?!\d)", " ".join(filled))
            nm = numbers[0] if numbers else nm
    return label, nm


def _wavelength(rows: Sequence[list[str]]) -> str:
    """Name a single reading by its wavelength, where the lines about the measurement give one."""
    for row in rows:
        for cell in row:
            found = WAVELENGTH.match(cell)
            if found:
                return found[1]
    return ""


def _cycles_below(
    sheet: Sheet, start: int, names: Sequence[Problem], path: str, across: Mapping[int, str], label: str
) -> list[PlateRead]:
    """Wells as columns, and each cycle a line of its own, with its time where there is one."""
    header, reads = [cell.lower() for cell in sheet.rows[start]], []
    at = next((j for j, cell in enumerate(header) if cell.startswith("time")), None)
    above = next((r[0] for r in sheet.rows[start - 1 : max(start - 4, -1) : -1] if r and r[0]), "")
    nm = _wavelength([[cell, ""] for row in sheet.rows[max(0, start - 12) : start] for cell in row])
    for row in sheet.rows[start + 1 :]:
        if not any(row) or not re.fullmatch(r"\d+([.,]0)?", row[0]):
            break
        cells = {well: row[j] if j < len(row) else "" for j, well in across.items()}
        time = f"{row[at]} s" if at is not None and row[at] else f"cycle {row[0]}"
        if any(cells.values()):
            reading = f"{label or above or nm or 'Raw data'} at {time}"
            reads.append(make_read(NAME, names, reading, cells, path, sheet, wavelength=nm or None, time=time))
    return reads


def _kinetic(sheet: Sheet, start: int, names: Sequence[Problem], path: str) -> list[PlateRead]:
    """Cycles as columns, and wells (below lines of time and temperature) as rows; or the other way round."""
    rows, times, wells = sheet.rows, {}, {}
    label, nm = _named_above(rows[max(0, start - 12) : start])
    across = {j: well for j, cell in enumerate(rows[start]) if (well := well_name(cell))}
    if across:
        return _cycles_below(sheet, start, names, path, across, label or nm)
    for row in rows[start + 1 :]:
        if not any(row):
            break
        well = well_name(row[0])
        if well:
            wells[well] = row
        elif row[0].lower().startswith("time"):
            times = dict(enumerate(row))
    reads = []
    for j, cycle in enumerate(rows[start][1:], start=1):
        if not cycle or not wells:
            continue
        time = f"{times[j]} s" if times.get(j) else f"cycle {cycle}"
        cells = {well: row[j] if j < len(row) else "" for well, row in wells.items()}
        if any(cells.values()):
            reading = f"{label or nm or 'Raw data'} at {time}"
            reads.append(make_read(NAME, names, reading, cells, path, sheet, wavelength=nm, time=time))
    return reads
