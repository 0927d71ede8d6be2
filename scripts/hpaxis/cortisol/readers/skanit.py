"""Thermo SkanIt workbooks: one sheet per step, each with grids per plate and wavelength.

A sheet opens with ``Measurement results``; above a grid stand ``Wavelength: 450 nm`` and the plate's name, and its
corner says what it holds: ``Abs``, ``RFU`` and ``RLU`` are measured, everything else is computed from them.
"""

import re
from collections.abc import Sequence

from hpaxis.cortisol.readers.cells import PlateRead, Sheet, find_grids, holds_numbers, make_read
from hpaxis.problems import InputError, Problem

NAME = "SkanIt"
SIGN = "'Measurement results'"
RAW = ("abs", "od", "rfu", "rlu", "counts")
ABOUT = ("sample", "dilution factor", "group")


def recognise(sheets: Sequence[Sheet]) -> bool:
    """Whether a sheet holds SkanIt's measurement results."""
    return any(
        row and row[0].lower() == "measurement results" for sheet in sheets for row in sheet.rows[:3]
    )  # fmt: skip


def parse(sheets: Sequence[Sheet], path: str) -> list[PlateRead]:
    """Return one `PlateRead` for each plate, step and wavelength."""
    reads = []
    for sheet in sheets:
        plate = nm = ""
        previous = 0
        for grid in find_grids(sheet, path):
            for row in sheet.rows[previous : grid.start]:
                text = next((cell for cell in row if cell), "")
                if found := re.match(r"wavelength:?\s*(\d+)", text, re.I):
                    nm = found[1]
                elif text and re.match(r"^(?!wavelength|measurement|fit|saved|result)", text, re.I):
                    plate = text
            previous = grid.end
            if grid.corner.lower() in ABOUT or not grid.corner or not holds_numbers(grid.cells()):
                continue
            raw = grid.corner.lower() in RAW
            step = re.sub(r"_\d+$", "", sheet.name or "")
            reading = (nm or step or grid.corner) if raw else f"{step} {nm}".strip()
            reads.append(
                make_read(
                    NAME, (plate,) if plate else (), reading, grid.cells(), path, sheet, derived=not raw,
                    wavelength=nm, faults=grid.problems,
                )
            )  # fmt: skip
    if not reads:
        raise InputError(Problem(path, "is a SkanIt workbook without results of wells", "export the plate layout view"))
    return reads
