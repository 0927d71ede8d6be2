"""Molecular Devices SoftMax Pro text exports: several plates, endpoint, kinetic or spectrum, one wavelength or several.

The file opens with ``##BLOCKS=``; each plate is a block from a line ``Plate:`` to ``~End``. Its first line says what
the block holds: form, kind of read, wavelengths, number of wells. Its second line names the columns: wells
(TimeFormat) or the numbers 1, 2, 3, ... (PlateFormat). In PlateFormat wavelengths stand side by side, and times or
wavelengths of a spectrum below each other, each with one line for every row of the plate, whether it was read or
not. In TimeFormat each wavelength has its own lines. A second line of column names begins the reduced values, which
SoftMax computes. A block ``Group: Standards`` says which wells the operator called standards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hpaxis.cortisol.readers.cells import ROWS, PlateRead, Sheet, make_read, well_name
from hpaxis.problems import InputError, Problem

NAME = "SoftMax Pro"
SIGN = "'##BLOCKS=' or 'Plate:'"
FORMATS = ("plateformat", "timeformat")
SHAPES = {6: (2, 3), 12: (3, 4), 24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24)}


def recognise(sheets: Sequence[Sheet]) -> bool:
    """Whether the first sheet is a SoftMax Pro text export."""
    return any(
        row and (row[0].startswith("##BLOCKS") or (row[0] == "Plate:" and len(row) > 3 and row[3].lower() in FORMATS))
        for row in sheets[0].rows
    )


def parse(sheets: Sequence[Sheet], path: str) -> list[PlateRead]:
    """Return one `PlateRead` for each plate, wavelength and time, raw and reduced."""
    rows = sheets[0].rows
    declared = _declared(rows)
    reads = []
    for start, end in _blocks(rows, path):
        reads += _plate(sheets[0], start, end, declared, path)
    if not reads:
        raise InputError(
            Problem(path, "is a SoftMax Pro export without a plate that was read", "read the plate, then export it")
        )
    return reads


# Lines of one plate below its header; a TimeFormat block has the number of the run of lines before them.
Part = list[list[str]] | tuple[int, list[list[str]]]


@dataclass(frozen=True)
class _Head:
    """The first line of a plate's block."""

    name: str
    layout: str
    kind: str
    reduced: bool
    wavelengths: list
    wells: int | None
    spectrum: list


def _head(row: Sequence[str], path: str, line: int) -> _Head:
    layout = row[3].lower() if len(row) > 3 else ""
    if layout not in FORMATS:
        what = f"has plate {row[1] if len(row) > 1 else ''} in a form that is not known"
        raise InputError(Problem(path, what, "export as PlateFormat or TimeFormat", line, value=layout))
    at = next((i for i in (6, 7, 5, 8) if i < len(row) and row[i].lower() in ("raw", "reduced", "both")), 6)

    def number(i: int) -> int | None:
        return int(row[at + i]) if at + i < len(row) and row[at + i].isdecimal() else None

    wavelengths = next((f.split() for f in row[at + 8 :] if re.fullmatch(r"\d{3,4}( \d{3,4})* ?", f)), [])
    first, last, step = number(5), number(6), number(7)
    spectrum = []
    if row[4].lower() == "spectrum" and first and last and step:
        spectrum, wavelengths = [str(n) for n in range(first, last + 1, step)], []
    wells = number(12)
    return _Head(
        row[1], layout, row[4].lower(), len(row) > at and row[at].lower() == "reduced", wavelengths,
        wells if wells in SHAPES else None, spectrum,
    )  # fmt: skip


def _blocks(rows: Sequence[list[str]], path: str) -> list[tuple[int, int]]:
    blocks = []
    for i, row in enumerate(rows):
        if row and row[0] == "Plate:":
            end = next((j for j in range(i + 1, len(rows)) if rows[j] and rows[j][0].startswith("~End")), None)
            if end is None or any(r and r[0] == "Plate:" for r in rows[i + 1 : end]):
                remedy = "the export is cut short: export it again"
                raise InputError(Problem(path, "has a plate without its end (~End)", remedy, i + 1))
            blocks.append((i, end))
    return blocks


def _plate(sheet: Sheet, start: int, end: int, declared: Mapping[None, pd.DataFrame], path: str) -> list[PlateRead]:
    rows = sheet.rows
    head = _head(rows[start], path, start + 1)
    columns = next((i for i in range(start + 1, end) if _spans(rows[i], head.layout)), None)
    if columns is None:
        if any(any(cells) for cells in rows[start + 1 : end]):
            raise InputError(
                Problem(path, f"has plate {head.name} without its line of columns", "export it again", start + 1)
            )
        return []
    spans = _spans(rows[columns], head.layout)
    second = next((i for i in range(columns + 1, end) if _is_header(rows[i], spans[0], rows[columns][:2])), None)
    body, faults = rows[columns + 1 : second or end], []
    sections = [(body, head.reduced)]
    if second is not None:
        sections.append((rows[second + 1 : end], True))
    reads = []
    known = declared.get(head.name, declared.get(None))
    for lines, reduced in sections:
        here = spans if not reduced or second is None else _spans(rows[second], head.layout)
        shape = _shape(head, here)
        parts = _plates_below(lines, shape) if head.layout == "plateformat" else _lines_below(lines)
        if parts is None:
            what = f"has plate {head.name} with {_filled(lines)} of {shape} rows: which are missing cannot be known"
            faults = (
                Problem(path, what, "export it again, with the empty lines of rows that were not read", start + 1),
            )
            parts = [lines]
        reads += _readings(parts, here, head, reduced, sheet, path, known, faults)
    return reads


def _readings(
    parts: Sequence[Part],
    spans: Sequence[dict[int, Any]],
    head: _Head,
    reduced: bool,
    sheet: Sheet,
    path: str,
    declared: pd.DataFrame | None,
    faults: Sequence[Problem],
) -> list[PlateRead]:
    """One reading for each part (time, or wavelength) and span (wavelengths side by side)."""
    reads = []
    timed = head.kind == "kinetic" or any(_time(part) for part in parts)
    groups = _groups(parts, spans, head)
    for part, wavelength in groups:
        for k, span in enumerate(spans):
            cells = _cells(part, span, head.layout)
            if not any(cells.values()):
                continue
            if wavelength is None and len(spans) == len(head.wavelengths):
                nm = head.wavelengths[k]
            else:
                nm = wavelength or "-".join(head.wavelengths)
            time = _time(part) if timed and not head.spectrum else ""
            label = (f"reduced {nm}".strip() if reduced else nm or str(k + 1)) + (f" at {time}" if time else "")
            reads.append(
                make_read(
                    NAME, (head.name,), label, cells, path, sheet, derived=reduced, declared=declared,
                    wavelength=nm, time=time, faults=tuple(faults),
                )
            )  # fmt: skip
    return reads


def _groups(
    parts: Sequence[Part], spans: Sequence[dict[int, Any]], head: _Head
) -> list[tuple[list[list[str]], str | None]]:
    """Pair each part with its wavelength, where parts below each other are wavelengths; else with None."""
    if head.spectrum:
        named = [(part, _first(part)) for part in parts]
        if all(name in head.spectrum for _, name in named):
            return named
        return list(zip(parts, head.spectrum)) if len(parts) == len(head.spectrum) else named
    if head.layout == "timeformat" and len(spans) == 1 and len(head.wavelengths) > 1:
        blocks = _by_block(parts)
        if len(blocks) == len(head.wavelengths):
            return [(part, nm) for block, nm in zip(blocks, head.wavelengths) for part in block]
    return [(part[1] if isinstance(part, tuple) else part, None) for part in parts]


def _by_block(parts: Sequence[Part]) -> list[list[list[list[str]]]]:
    blocks: dict = {}
    for number, part in parts:
        blocks.setdefault(number, []).append(part)
    return list(blocks.values())


def _shape(head: _Head, spans: Sequence[dict[int, Any]]) -> int:
    """The number of rows of the plate: from its number of wells, or of its columns."""
    if head.wells:
        return SHAPES[head.wells][0]
    width = max(n for span in spans for n in span.values()) if head.layout == "plateformat" else 12
    return 16 if width > 12 else 8


def _plates_below(lines: Sequence[list[str]], shape: int) -> list[list[list[str]]] | None:
    """Split lines of a PlateFormat block into plates of ``shape`` rows; None where they do not fit.

    Between plates stands an empty line. A row that was not read is a line of its own too.
    """
    lines, parts, i = list(lines), [], 0
    while i < len(lines):
        part = lines[i : i + shape]
        if any(any(row[2:]) for row in part):
            following = lines[i + shape] if i + shape < len(lines) else []
            if len(part) < shape or any(following):
                return None
            parts.append(part)
        i += shape
        while i < len(lines) and not any(lines[i]) and len(lines[i]) <= 3:
            i += 1
    return parts


def _lines_below(lines: Sequence[list[str]]) -> list[tuple[int, list[list[str]]]]:
    """Lines of a TimeFormat block as (number of the run of lines, [line])."""
    parts, number, empty = [], 0, False
    for row in lines:
        if not any(row):
            empty = True
            continue
        if empty and parts:
            number += 1
        empty = False
        parts.append((number, [row]))
    return parts


def _first(part: Part) -> str:
    rows = part[1] if isinstance(part, tuple) else part
    return next((row[0] for row in rows if row and row[0]), "")


def _time(part: Part) -> str:
    first = _first(part)
    return first if ":" in first else ""


def _filled(lines: Sequence[list[str]]) -> int:
    return sum(1 for row in lines if any(row))


def _is_header(row: Sequence[str], span: Mapping[int, Any], before: Sequence[str]) -> bool:
    """Whether a line names the columns again: all of them, with nothing before, or what stood before them above."""
    return (
        (not any(row[:2]) or row[:2] == before)
        and any(row[2:])
        and all(j < len(row) and (well_name(row[j]) or row[j]) == (str(label)) for j, label in span.items())
    )


def _spans(columns: Sequence[str], layout: str) -> list[dict[int, Any]]:
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


def _cells(part: Sequence[list[str]], span: Mapping[int, Any], layout: str) -> dict[str, str]:
    rows = part[1] if isinstance(part, tuple) else part
    if layout == "timeformat":
        row = rows[0]
        return {well: row[j] if j < len(row) else "" for j, well in span.items()}
    return {
        f"{ROWS[i]}{number}": row[j] if j < len(row) else ""
        for i, row in enumerate(rows)
        for j, number in span.items()
        if i < len(ROWS)
    }


def _declared(rows: Sequence[list[str]]) -> dict[None, pd.DataFrame]:
    """Wells that the file's own groups call standards, by plate (None where wells are not named with a plate)."""
    records = {}
    for i, row in enumerate(rows):
        if not row or not re.match(r"group:\s*(std|standard)", row[0], re.I):
            continue
        header = [cell.lower() for row in rows[i + 1 : i + 2] for cell in row]
        at = next((j for j, cell in enumerate(header) if cell in ("well", "wells")), None)
        at = next((j for j, cell in enumerate(header) if cell.startswith("well")), None) if at is None else at
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
