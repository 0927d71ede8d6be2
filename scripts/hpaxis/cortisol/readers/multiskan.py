"""Thermo Multiskan text exports: grids of numbers without row letters, below a line of plate and wavelength.

A line ``Plate:1 - Wavelength:450`` begins a plate's reading; ``Iteration: 2`` begins its next reading in time. The
lines below are the rows A, B, C, ..., with one cell per column; a row or a well that was not read is empty.
"""

import re
from collections.abc import Sequence

from hpaxis.cortisol.readers.cells import ROWS, PlateRead, Sheet, make_read
from hpaxis.problems import InputError, Problem

NAME = "Multiskan"
SIGN = "'Plate:1 - Wavelength:450'"
HEAD = re.compile(r"^plate\s*:\s*(\S.*?)\s*-\s*wavelength\s*:\s*(\d{3,4})", re.I)
TURN = re.compile(r"^iteration\s*:\s*(\d+)", re.I)
SHAPES = {(8, 12), (16, 24), (4, 6), (6, 8)}


def recognise(sheets: Sequence[Sheet]) -> bool:
    """Whether the first sheet has a line of plate and wavelength."""
    return any(HEAD.match(_text(row)) for row in sheets[0].rows)


def parse(sheets: Sequence[Sheet], path: str) -> list[PlateRead]:
    """Return one `PlateRead` for each plate, wavelength and iteration."""
    sheet, plate, wavelength, turn, reads = sheets[0], "", "", "", []
    turns = {m[1] for row in sheet.rows for m in [TURN.match(_text(row))] if m}
    block: list = []

    def finish(line: int) -> None:
        if not any(any(row) for row in block):
            block.clear()
            return
        rows = [row[1:] if not any(r[0] for r in block if r) else row for row in block]
        while rows and not any(rows[-1]) and len(rows) not in {n for n, _ in SHAPES}:
            rows.pop()
        width = max(len(row) for row in rows)
        faults = ()
        if (len(rows), width) not in SHAPES:
            what = (
                f"has a plate of {len(rows)} rows and {width} columns before this line: which are missing is not known"
            )
            faults = (Problem(path, what, "export the whole plate, with the empty rows", line + 1),)
        cells = {f"{ROWS[i]}{j + 1}": text for i, row in enumerate(rows[:16]) for j, text in enumerate(row)}
        time = f"iteration {turn}" if len(turns) > 1 else ""
        reading = wavelength + (f" at {time}" if time else "")
        reads.append(
            make_read(NAME, (plate,), reading, cells, path, sheet, wavelength=wavelength, time=time, faults=faults)
        )
        block.clear()

    for i, row in enumerate(sheet.rows):
        text = _text(row)
        head, iteration = HEAD.match(text), TURN.match(text)
        if head or iteration:
            finish(i)
            if head:
                plate, wavelength, turn = head[1], head[2], ""
            else:
                turn = iteration[1]
        elif plate and (len(row) > 1 or any(row)):
            block.append(list(row))
        elif block:
            finish(i)
    finish(len(sheet.rows))
    if not reads:
        raise InputError(Problem(path, "is a Multiskan export without values", "read the plate, then export it"))
    return reads


def _text(row: Sequence[str]) -> str:
    """The first filled cell of a line."""
    return next((cell for cell in row if cell), "")
