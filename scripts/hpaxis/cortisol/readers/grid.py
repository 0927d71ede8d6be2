"""Plain grids and long tables, in CSV, TSV or a workbook.

A grid is rows A-H under columns 1-12, with an optional title above or in the corner. A title that is a wavelength
names a reading; any other title, or the sheet of a workbook, names a plate. A long table has a column of wells, one
or more of values, and may have columns of plate, wavelength and time.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hpaxis.cortisol.readers.cells import (
    Grid,
    PlateRead,
    Sheet,
    find_grids,
    grid_header,
    holds_numbers,
    make_read,
    wavelength_of,
    well_name,
)
from hpaxis.problems import InputError, Problem

NAME = "plain grid"
SIGN = "1, 2, 3 over A, B, C, or a column 'well'"
MICROPLATE_MANAGER = "Microplate Manager"
WAVELENGTH = re.compile(
    r"^(\d+\.\s*)?(raw( data)?|signal|od|abs(orbance)?|wavelength|lambda|filter"
    r"|read(?:ing)?\s*\d{0,2}(?=[\s:@(=_-])|lm\d*)?[\s:@(=_-]*(\d{3,4})\s*(nm)?[\s)]*$",
    re.I,
)
DERIVED = re.compile(
    r"\b(conc(entrations?|\.)?|mean|average|avg|s\.?d\.?|std\.? ?dev\w*|cv|%cv|blank(ed| corrected| subtracted)"
    r"|corrected|calc\w*|percent|% ?b|b/b0|recovery|result|dilution|dil|unknowns?|pg/ml|ng/ml)\b", re.I,
)  # fmt: skip
AVERAGED = re.compile(r"\b(mean|average|avg)\b", re.I)
WELLS = (
    "well", "wells", "well id", "well_id", "well name", "well_name", "wellname", "well position", "well_position",
    "well no.", "position", "wellid",
)  # fmt: skip
PLATE = ("plate", "plate id", "plate_id", "plateid", "plate name", "plate number", "barcode")
REPEAT = ("repeat",)
WAVE = (
    "wavelength", "wavelength [nm]", "wavelength (nm)", "wavelength_nm", "wavelength(s)", "wavelength(s) [nm]",
    "wavelength(s) (nm)", "absorbance_wavelength_nm", "lambda", "filter",
)  # fmt: skip
TIME = (
    "kinetic_step", "time", "time [s]", "time (s)", "time_s", "cycle", "kinetic_sec", "measurement time",
    "measurement time (s)", "measurement time(s)", "measurement time [s]",
)  # fmt: skip
# Where a column has such a name, other columns of numbers are about the plate.
VALUE = re.compile(
    r"^(raw |mean |average )?(od|abs|absorbance|optical density|signal|value|raw data)"
    r"([ _](value|\d+)| ?\(.*\))?$", re.I,
)  # fmt: skip
ABOUT = (
    "type", "sample", "sample id", "sample name", "content", "role", "name", "group", "row", "column", "col", "nominal",
    "temperature", "temp", "replicate", "dilution", "no", "no.", "number", "index",
    *WELLS, *PLATE, *REPEAT, *WAVE, *TIME,
)  # fmt: skip


def recognise(sheets: Sequence[Sheet]) -> bool:
    """Whether any sheet holds a grid or a table of wells; the last format to be tried."""
    return any(_has_grid(sheet) or _long_header(sheet) is not None for sheet in sheets)


def parse(sheets: Sequence[Sheet], path: str) -> list[PlateRead]:
    """Return one `PlateRead` for each grid or column of values, named by its title or, in a workbook, by its sheet."""
    reads = []
    name = MICROPLATE_MANAGER if _is_microplate_manager(sheets) else NAME
    holding = [sheet for sheet in sheets if _has_grid(sheet) or _long_header(sheet) is not None]
    for sheet in holding:
        grids = [grid for grid in find_grids(sheet, path) if holds_numbers(grid.cells())]
        head = _long_header(sheet)
        if head is not None and not grids:
            reads += _long(sheet, head, path)
        for grid in grids:
            reads.append(_grid(grid, sheet, len(holding) > 1, name, path))
    if not reads:
        raise InputError(Problem(path, "is a grid or table without optical densities", "give the values of the wells"))
    return reads


def _grid(grid: Grid, sheet: Sheet, many: bool, name: str, path: str) -> PlateRead:
    title = grid.corner or grid.title
    named = sheet.name if many and sheet.name else None
    nm = next((m[5] for text in (title, named) if text for m in [WAVELENGTH.match(text)] if m), "")
    derived = bool(DERIVED.search(title) or (named and DERIVED.search(named)))
    averaged = derived and bool(AVERAGED.search(f"{title} {named or ''}"))
    plates = tuple(dict.fromkeys(n for n in (named, title) if n and not WAVELENGTH.match(n)))
    if derived:
        plates = tuple(n for n in plates if not DERIVED.search(n))
    reading = (nm if nm and WAVELENGTH.match(title or "") else title) or nm or sheet.name or "signal"
    return make_read(
        name, plates, reading, grid.cells(), path, sheet, derived=derived, averaged=averaged, wavelength=nm,
        faults=grid.problems,
    )  # fmt: skip


def _is_microplate_manager(sheets: Sequence[Sheet]) -> bool:
    return any("microplate manager" in cell.lower() for sheet in sheets for row in sheet.rows[:20] for cell in row)


def _has_grid(sheet: Sheet) -> bool:
    return any(grid_header(row) for row in sheet.rows)


def _long_header(sheet: Sheet) -> int | None:
    """The line of a header with a column of wells (or of rows and columns) and something else, wells below it."""
    for i, row in enumerate(sheet.rows):
        words = [cell.lower() for cell in row]
        at = _well_column(words)
        if at is None or sum(1 for w in words if w) < 2:
            continue
        if sum(1 for w in words if w) == 2 or any(_well(line, at) for line in sheet.rows[i + 1 : i + 4]):
            return i
    return None


def _well_column(words: Sequence[str]) -> tuple[int, ...] | None:
    """The column (or the columns of row and column) that gives the well."""
    at = next((words.index(name) for name in WELLS if name in words), None)
    if at is not None:
        return (at,)
    column = next((name for name in ("column", "col") if name in words), None)
    return (words.index("row"), words.index(column)) if "row" in words and column else None


def _well(row: Sequence[str], at: tuple[int, ...]) -> str:
    return well_name("".join(row[j] for j in at).replace(" ", "")) if max(at) < len(row) else None


def _long(sheet: Sheet, head: int, path: str) -> list[PlateRead]:
    header = sheet.rows[head]
    words = [cell.lower() for cell in header]
    at = _well_column(words)
    keys = {
        kind: next((words.index(n) for n in names if n in words), None)
        for kind, names in (("plate", PLATE), ("repeat", REPEAT), ("wave", WAVE), ("time", TIME))
    }
    body = [(i, row, _well(row, at)) for i, row in enumerate(sheet.rows[head + 1 :], start=head + 2) if any(row)]
    remedy = "use A1 to H12, or delete the line"
    problems = [
        Problem(path, "is no well", remedy, i, header[at[0]], row[at[0]] if at[0] < len(row) else "")
        for i, row, well in body
        if well is None and any(c for j, c in enumerate(row) if j not in at)
    ]
    body = [line for line in body if line[2]]

    def holds_values(j: int) -> bool:
        return holds_numbers({well: row[j] if j < len(row) else "" for _, row, well in body})

    columns = [j for j, word in enumerate(words) if word and j not in at and word not in ABOUT and holds_values(j)]
    columns = [j for j in columns if VALUE.match(words[j])] or columns
    # The time of a single well is no time of a reading: only a time that all wells of a reading share is one.
    if keys["time"] is not None:
        wells = [w for _, _, w in body]
        if len(set(wells)) == len(wells) or _times_differ(body, keys):
            keys["time"] = None
    turns = _turns(body, keys)
    reads = []
    for j in columns:
        parts: dict = {}
        for i, row, well in body:
            key = tuple((row[k] if k is not None and k < len(row) else "") for k in keys.values())
            key = (*key[:-1], turns.get(i, key[-1]))
            cells = parts.setdefault(key, {})
            if well in cells:
                what = f"comes twice (row {cells[well][0]} too)"
                remedy = (
                    "one table holds each well of a plate once: split it, or add a column plate, wavelength or time"
                )
                problems.append(Problem(path, what, remedy, i, header[at[0]], well))
            cells.setdefault(well, (i, row[j] if j < len(row) else ""))
        derived = bool(DERIVED.search(header[j]))
        for (plate, repeat, wave, time), cells in parts.items():
            names = (plate,) if plate and len({k[0] for k in parts}) > 0 else ()
            nm = wavelength_of(wave) or wavelength_of(header[j])
            label = (wave if wave else header[j]) + (f" repeat {repeat}" if len({k[1] for k in parts}) > 1 else "")
            read = make_read(
                NAME, names, label + (f" at {time}" if time else ""), {w: text for w, (_, text) in cells.items()}, path,
                sheet, derived=derived, averaged=derived and bool(AVERAGED.search(header[j])), wavelength=nm, time=time,
            )  # fmt: skip
            reads.append(replace(read, problems=(*problems, *read.problems)))
    return reads


def _turns(body: Sequence[tuple[int, list[str], str]], keys: Mapping[str, int | None]) -> dict[int, str]:
    """Where a reader goes from well to well and notes each well's own time: which reading a line belongs to.

    Returns ``{line: "cycle 1", ...}``, empty where most wells share the times.
    """
    if keys["time"] is None:
        return {}
    shared: dict = {}
    seen: dict = {}
    turns = {}
    for i, row, well in body:
        key = tuple(row[k] for name, k in keys.items() if k is not None and name != "time" and k < len(row))
        seen[(key, well)] = seen.get((key, well), 0) + 1
        turns[i] = f"cycle {seen[(key, well)]}"
        shared.setdefault((key, row[keys["time"]] if keys["time"] < len(row) else ""), set()).add(well)
    wells = len({well for _, _, well in body})
    sizes = sorted(len(found) for found in shared.values())
    return turns if sizes and sizes[len(sizes) // 2] < wells / 2 else {}


def _times_differ(body: Sequence[tuple[int, list[str], str]], keys: Mapping[str, int | None]) -> bool:
    """Whether wells of one plate and repeat have times of their own, as a reader that goes from well to well notes."""
    seen: dict = {}
    for _, row, well in body:
        key = tuple(row[k] for name, k in keys.items() if k is not None and name != "time")
        if (key, well) in seen:
            return False
        seen[(key, well)] = True
    return True
