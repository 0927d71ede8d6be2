"""PerkinElmer EnVision and Revvity Kaleido exports: a block per plate and label, with its grid.

EnVision heads each block with ``Plate information`` (the columns Plate, Repeat, Barcode, Measinfo ...) and ``Results
for LABEL``; without the latter, the grid has neither letters nor numbers and holds the whole plate. Kaleido heads it
with ``Results for LABEL`` and ``Barcode: ...``. Grids under ``Platemap`` say what was to be measured.
"""

import re
from collections.abc import Sequence

from hpaxis.cortisol.readers.cells import (
    NUMBER,
    ROWS,
    PlateRead,
    Sheet,
    find_grids,
    holds_numbers,
    make_read,
    wavelength_of,
)
from hpaxis.problems import InputError, Problem

NAME = "EnVision"
SIGN = "'Plate information' or 'Results for'"
LABEL = re.compile(r"^results for[\s\xa0]+(.+?)(\s*-\s*channel.*)?$", re.I)


def recognise(sheets: Sequence[Sheet]) -> bool:
    """Whether the first sheet is an EnVision or Kaleido export."""
    return any(row and (row[0].strip().lower() == "plate information" or LABEL.match(row[0])) for row in sheets[0].rows)


def parse(sheets: Sequence[Sheet], path: str) -> list[PlateRead]:
    """Return one `PlateRead` for each plate and label."""
    sheet, reads = sheets[0], []
    rows = sheet.rows
    firsts = [row[0].strip().lower() if row else "" for row in rows]
    kaleido = "plate information" not in firsts
    starts = [i for i, text in enumerate(firsts) if (LABEL.match(text) if kaleido else text == "plate information")]
    end = next(
        (
            i
            for i, t in enumerate(firsts)
            if i > starts[-1] and t.startswith(("basic assay", "analysis result", "measurement basic"))
        ),
        len(rows),
    )
    for start, stop in zip(starts, [*starts[1:], end]):
        if kaleido:
            names, label = _kaleido_plate(rows[start:stop]), LABEL.match(rows[start][0])[1]
            measured, nm = True, _kaleido_wavelength(rows, label)
        else:
            names, label, measured = _plate(rows[start:stop])
            nm = None
        grids = find_grids(sheet, path, start, stop)
        cells, faults = (grids[0].cells(), grids[0].problems) if grids else (_bare(rows[start + 3 : stop]), ())
        if cells and holds_numbers(cells):
            reading = next((m[1] for r in rows[start:stop] if r for m in [LABEL.match(r[0])] if m), label)
            reads.append(
                make_read(
                    "Kaleido" if kaleido else NAME, names, reading, cells, path, sheet, derived=not measured,
                    wavelength=wavelength_of(reading) if nm is None else nm, faults=faults,
                )
            )  # fmt: skip
    if not reads:
        raise InputError(Problem(path, "is an EnVision export without results", "export it again with its results"))
    return reads


def _plate(rows: Sequence[list[str]]) -> tuple[tuple[str, ...], str, bool]:
    """Names of the plate, label of the reading, and whether it was measured (and not calculated)."""
    header = [cell.strip().lower() for cell in rows[1]] if len(rows) > 1 else []
    values = rows[2] if len(rows) > 2 else []
    found = dict(zip(header, values))
    number = found.get("plate", "")
    barcode = found.get("barcode", "").strip('="')
    label = next((v for k, v in found.items() if k.startswith(("measinfo", "label", "meas"))), "")
    label = next((v for v in values if re.search(r"\(\d+\)$", v) or v.lower().startswith("calc")), label)
    names = tuple(dict.fromkeys(n for n in (f"Plate {number}" if number else "", number, barcode) if n))
    return names, label or "reading", not label.lower().startswith("calc")


def _kaleido_plate(rows: Sequence[list[str]]) -> tuple[str, ...]:
    text = " ".join(cell for row in rows[:6] for cell in row).replace("\xa0", " ")
    found = re.search(r"Barcode:\s*(.*?)(\s+PlateRepeat|\s*$|,)", text)
    return (found[1].strip().rstrip(","),) if found and found[1].strip() else ()


def _kaleido_wavelength(rows: Sequence[list[str]], label: str) -> str:
    """The wavelength of a label, from the section on measurements."""
    at = next(
        (
            i
            for i, r in enumerate(rows)
            if len(r) > 1 and r[0].lower() == "tech" and r[-1].replace("\xa0", " ") == label
        ),
        None,
    )
    if at is None:
        return wavelength_of(label)
    for row in rows[at : at + 8]:
        if row and "wavelength" in row[0].lower():
            return wavelength_of(row[-1])
    return wavelength_of(label)


def _bare(rows: Sequence[list[str]]) -> dict[str, str]:
    """A whole plate without letters and numbers; nothing where the lines are not exactly 8 of 12 or 16 of 24 values."""
    lines = [[c for c in row if c] for row in rows if row and NUMBER.match(row[0])]
    lines = [line for line in lines if len(line) in (12, 24)]
    for height, width in ((8, 12), (16, 24)):
        if len(lines) == height and all(len(line) == width for line in lines):
            return {f"{ROWS[i]}{j}": v for i, line in enumerate(lines) for j, v in enumerate(line, start=1)}
    return {}
