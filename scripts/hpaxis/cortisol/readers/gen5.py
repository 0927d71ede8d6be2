"""BioTek (Agilent) Gen5 text exports: several plates, endpoint, kinetic or spectrum.

The file opens with ``Software Version``; each plate has a block from ``Plate Number`` on. A grid under ``Layout``
(lines Well ID, Conc/Dil, Name) says what the wells hold. Every other grid holds readings, each line named behind its
last column, under ``Results`` or under the reading's own name. Tables with wells in their header are kinetic
(``Time``) or spectra (``Wavelength``).
"""

import re
from collections.abc import Sequence

import pandas as pd

from hpaxis.cortisol.readers.cells import Grid, PlateRead, Sheet, find_grids, find_well_tables, holds_numbers, make_read
from hpaxis.problems import InputError, Problem

NAME = "Gen5"
SIGN = "'Software Version'"
# A reading is named by its wavelengths, alone or after its step; what Gen5 computes from it begins otherwise.
READING = re.compile(r"^([^\[\]]*:)?\s*\d{3,4}(\s*[,/]\s*\d{3,4})*(\s*\[(test|ref)\])?$", re.I)
DERIVED = (
    "blank ",
    "[",
    "mean",
    "std dev",
    "cv",
    "conc",
    "corrected",
    "max ",
    "t at ",
    "lagtime",
    "r-squared",
    "ratio",
)
AVERAGED = re.compile(r"^(mean|average)\b(?!.*\[)", re.I)


def recognise(sheets: Sequence[Sheet]) -> bool:
    """Whether the first sheet is a Gen5 export."""
    firsts = {row[0].rstrip(":").lower() for row in sheets[0].rows if row}
    return "software version" in firsts and bool(firsts & {"plate number", "results", "layout"})


def parse(sheets: Sequence[Sheet], path: str) -> list[PlateRead]:
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


def _plate(sheet: Sheet, path: str, start: int, end: int) -> list[PlateRead]:
    rows = sheet.rows
    first = rows[start]
    plate = first[1] if len(first) > 1 and first[0].lower() == "plate number" else ""
    names = (plate,) if plate else ()
    declared, reads = None, []
    for grid in find_grids(sheet, path, start, end):
        if grid.title.lower() == "layout":
            declared = _declared(grid)
        else:
            reads += _results(grid, names, declared, sheet, path)
    return reads + _tables(sheet, path, start, end, names, declared)


def _results(
    grid: Grid, names: tuple[str, ...], declared: pd.DataFrame | None, sheet: Sheet, path: str
) -> list[PlateRead]:
    own = "Results" if grid.title.lower() == "results" or not grid.title else grid.title
    by_label = grid.by_label(own)
    plain = {label for label in by_label if _is_reading(label)}
    plain = plain or {label for label in by_label if not _is_derived(label)}
    reads = []
    for label, cells in by_label.items():
        if holds_numbers(cells):
            reads.append(
                make_read(
                    NAME, names, label, cells, path, sheet, derived=label not in plain,
                    averaged=bool(AVERAGED.match(label)), declared=declared, faults=grid.problems,
                )
            )  # fmt: skip
    return reads


def _is_reading(label: str) -> bool:
    return bool(READING.match(label)) and not _is_derived(label)


def _is_derived(label: str) -> bool:
    return label.lower().startswith(DERIVED) or ("[" in label and not READING.match(label))


def _declared(grid: Grid) -> pd.DataFrame:
    labels = {label.lower(): line for line, label in grid.labels().items()}
    names = grid.cells(labels.get("well id", 0))
    amounts = grid.cells(labels["conc/dil"]) if "conc/dil" in labels else {}
    table = pd.DataFrame({"well": list(names), "name": list(names.values())})
    table["concentration"] = pd.to_numeric(table["well"].map(amounts), errors="coerce")
    return table[table["name"] != ""].reset_index(drop=True)


def _tables(
    sheet: Sheet, path: str, start: int, end: int, names: tuple[str, ...], declared: pd.DataFrame | None
) -> list[PlateRead]:
    """Kinetic readings and spectra. An area scan has several values per well at once, and none of them is the OD."""
    reads = []
    for table in find_well_tables(sheet, start, end):
        title, kind = table.title or "reading", table.first.lower()
        if kind not in ("time", "wavelength"):
            continue
        for number, (before, cells) in enumerate(table.rows):
            if kind == "time" and number == 0 and before and not before[0] and any(before[1:]):
                before = ["0:00:00", *before[1:]]  # midnight is an empty cell in a workbook
            if not any(cells.values()) or not before or not before[0]:
                continue
            if kind == "time":
                label, about = f"{title} at {before[0]}", {"time": before[0], "wavelength": None}
                about["wavelength"] = _wavelength(title)
            else:
                label, about = f"{title} {before[0]}", {"wavelength": before[0]}
            reads.append(
                make_read(
                    NAME, names, label, cells, path, sheet, derived=_is_derived(title), declared=declared, **about
                )
            )
    return reads


def _wavelength(title: str) -> str:
    found = re.search(r"(\d{3,4})\s*$", title)
    return found[1] if found else ""
