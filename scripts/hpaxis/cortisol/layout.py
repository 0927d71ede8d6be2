"""Layouts: which well holds what, as a long table or as plater-style grids.

A long table has the columns well, role, sample and, where they say something, dilution, nominal, unit (of the
nominal) and mask (why the well is not to be used). Its well may be a range (A1:H2), columns 1-2 or rows A-B, and its
sample a series (S1..S8), which runs down the rows, replicates side by side. A grid layout has one 8 × 12 block for
each of those names (the name stands in the block's corner or above it).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpaxis.cortisol.kits import PG_PER_ML, Kit, pg_per_ml
from hpaxis.cortisol.readers.cells import NUMBER, Sheet, find_grids, load_sheets, well_name, well_sort_key
from hpaxis.names import REMEDY, WHAT, harmless, is_name
from hpaxis.problems import Problem, closest, raise_if_any

# spiked: a sample to which ``nominal`` (in the kit's unit, in the well) was added, for spike recovery. pool: an extract
# of pooled hair that comes again on every plate. extraction_blank: an extract of no hair.
ROLES = ("standard", "b0", "nsb", "blank", "control", "pool", "sample", "spiked", "extraction_blank", "empty")
COLUMNS = ("well", "role", "sample", "dilution", "nominal")
# mask: why a well is not to be used; unit: of the nominal, where it is not the kit's.
OPTIONAL = ("mask", "unit")
NAMED = ("control", "pool", "sample", "spiked", "extraction_blank")
STANDARD_NAME = re.compile(r"^(?:s|st|std|standard|cal)?[ _-]*0*(\d+)$", re.I)
SERIES = re.compile(r"^([A-Za-z_-]*?)(\d+)\s*(?:\.\.|to)\s*([A-Za-z_-]*?)(\d+)$")
SAME = 0.01  # of a concentration: nominals that differ by less are one level


def read_layout(path: Path | str, plate_id: str | None = None, kit: Kit | None = None) -> pd.DataFrame:
    """Read a layout file (TSV, CSV or XLSX).

    Returns a DataFrame with one row per used well, sorted by row and column: well, role, sample (text or None),
    dilution, nominal (numbers in the kit's unit, NaN where not given), mask (why the well is not to be used, or None).
    A standard's nominal may be left to the kit when its sample is the standard's name or number there (``S1``, or
    from ``S0`` on). A standard of concentration 0 is a b0 well. With a column plate_id, only the rows of ``plate_id``
    are used. A well may be a range or a list: ``A1:H2``, ``columns 1-2``, ``A1;A2``.
    Raises `InputError` with every problem: unknown column or role, a well used twice, a nominal that is missing or
    contradicts the kit.
    """
    path = str(path)
    sheets = load_sheets(path)
    head = _long_header(sheets[0])
    table, problems = _long(sheets[0], head, path, plate_id) if head is not None else _grid(sheets, path)
    raise_if_any(problems)
    table, problems = _typed(table, path, kit)
    raise_if_any(problems)
    table = table[table["role"] != "empty"]
    order = sorted(table.index, key=lambda i: well_sort_key(table.loc[i, "well"]))
    return table.loc[order, [*COLUMNS, "mask"]].reset_index(drop=True)


def _long_header(sheet: Sheet) -> int | None:
    for i, row in enumerate(sheet.rows[:20]):
        words = {cell.lower() for cell in row}
        if "well" in words and "role" in words:
            return i
    return None


def _long(sheet: Sheet, head: int, path: str, plate_id: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    header = [cell.lower() for cell in sheet.rows[head]]
    known = (*COLUMNS, *OPTIONAL, "plate_id")
    problems = [
        Problem(path, "is not a known column", f"use {', '.join(known)}{closest(name, known)}", head + 1, value=name)
        for name in header
        if name and name not in known
    ]
    problems += [
        Problem(path, "stands twice in the header", "remove one", head + 1, value=name)
        for name in known
        if header.count(name) > 1
    ]
    records = []
    for i, row in enumerate(sheet.rows[head + 1 :], start=head + 2):
        if not any(row):
            continue
        record = {"row": i, **{name: row[j] if j < len(row) else "" for j, name in enumerate(header) if name}}
        records.append(record)
    if "plate_id" in header:
        mine = [r for r in records if r["plate_id"] == plate_id]
        if records and not mine:
            found = ", ".join(sorted({r["plate_id"] for r in records}))
            remedy = "correct layout_file or plate_id"
            problems.append(Problem(path, f"is the layout of {found}, not of {plate_id}", remedy, column="plate_id"))
        records = mine
    if not records and not problems:
        problems.append(Problem(path, "has a header and no wells", "list the wells of the plate"))
    return pd.DataFrame(records), problems


def _grid(sheets: Sequence[Sheet], path: str) -> tuple[pd.DataFrame, list[Problem]]:
    blocks, problems = {}, []
    for sheet in sheets:
        for grid in find_grids(sheet, path):
            problems += grid.problems
            names = [n.strip().lower() for n in (grid.corner, grid.title, sheet.name or "")]
            name = next((n for n in names if n in (*COLUMNS[1:], *OPTIONAL)), None)
            if name is None:
                what = "is a grid that names no column of a layout"
                remedy = f"write one of {', '.join(COLUMNS[1:])} in its corner"
                problems.append(Problem(path, what, remedy, grid.start + 1, value=grid.corner or grid.title))
            elif name in blocks:
                problems.append(Problem(path, "is a grid that comes twice", "remove one", grid.start + 1, value=name))
            else:
                blocks[name] = grid
    if not problems and "role" not in blocks:
        what = "is no layout: neither a table with columns well and role, nor a grid named role"
        problems.append(Problem(path, what, "see docs/cortisol.md for both forms"))
    records = {}
    for name, grid in blocks.items():
        for letter, number, values, _, line in grid.lines:
            if number:
                problems.append(Problem(path, "is a line without a row letter", "label every row", line + 1))
            for column, text in values.items():
                record = records.setdefault(f"{letter}{column}", {"well": f"{letter}{column}", "row": line + 1})
                record[name] = text
    table = pd.DataFrame(list(records.values()))
    if "role" in table:
        # A cell that is empty in the role grid is a well that is not used.
        unused = table["role"].fillna("") == ""
        named = table.reindex(columns=["sample", "nominal"]).astype(object).fillna("").ne("").any(axis=1)
        for row in table[unused & named].itertuples():
            well = f"well {row.well}"
            problems.append(Problem(path, "is named, but has no role", "fill the role grid", row.row, well))
        table = table[~unused]
    return table, problems


def _typed(table: pd.DataFrame, path: str, kit: Kit | None) -> tuple[pd.DataFrame, list[Problem]]:
    problems, records, used = [], [], {}
    for row in [one for line in table.astype(object).fillna("").to_dict("records") for one in _spread(line)]:
        at = row["row"]
        well, role = well_name(row.get("well", "")), row["role"].strip().lower()
        if well is None:
            remedy = "use A1 to H12, a range such as A1:H2, or columns 1-2"
            problems.append(Problem(path, "is no well", remedy, at, "well", row.get("well", "")))
            continue
        if well in used:
            remedy = "a well holds one thing: correct one of the rows"
            problems.append(Problem(path, f"is used in row {used[well]} already", remedy, at, "well", well))
        used.setdefault(well, at)
        if role not in ROLES:
            remedy = f"use one of {', '.join(ROLES)}{closest(role, ROLES)}"
            problems.append(Problem(path, "is not a known role", remedy, at, "role", row["role"]))
            continue
        sample = str(row.get("sample", "")).strip()
        sample = None if sample in ("", "NA", "-") else sample
        if sample is not None and not is_name(sample):
            problems.append(Problem(path, WHAT, REMEDY, at, "sample", sample))
        numbers = {}
        for column, least in (("dilution", 0.0), ("nominal", None)):
            text = str(row.get(column, "")).strip()
            numbers[column] = np.nan
            if text in ("", "NA"):
                continue
            if not NUMBER.match(text) or float(text) < 0 or (least is not None and float(text) <= least):
                problems.append(
                    Problem(path, "is no such number", "give a positive number, with a decimal point", at, column, text)
                )
            else:
                numbers[column] = float(text)
        factor, fault = _unit_factor(str(row.get("unit", "")).strip(), kit, path, at)
        problems += fault
        numbers["nominal"] *= factor
        if role in NAMED and sample is None:
            what = f"is missing for a {role} well"
            problems.append(Problem(path, what, "name the hair sample or the control", at, "sample"))
        if role == "spiked" and np.isnan(numbers["nominal"]):
            remedy = "give the concentration that was added, in the kit's unit"
            problems.append(Problem(path, "is missing for a spiked well", remedy, at, "nominal"))
        mask = str(row.get("mask", "")).strip()
        mask = None if mask in ("", "NA", "-") else harmless(mask)[:100]
        records.append({"row": at, "well": well, "role": role, "sample": sample, **numbers, "mask": mask})
    found = pd.DataFrame(records, columns=["row", *COLUMNS, "mask"])
    problems += _name_standards(found, kit, path)
    return zero_as_b0(found), problems


def zero_as_b0(layout: pd.DataFrame) -> pd.DataFrame:
    """Return the layout with zero standards in the role b0: one thing, whatever a layout calls it."""
    zero = (layout["role"] == "standard") & (layout["nominal"] == 0)
    if not zero.any():
        return layout
    return layout.assign(role=layout["role"].mask(zero, "b0"), nominal=layout["nominal"].mask(zero))


def _spread(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each well that its cell names: one, a range (A1:H2), whole columns or rows, or a list."""
    wells, blocks = [], 0
    for part in re.split(r"[;,]", str(row.get("well", ""))):
        part = part.strip()
        block = re.match(r"^([A-Pa-p]0*\d+)\s*[:-]\s*([A-Pa-p]0*\d+)$", part)
        lines = re.match(r"^(columns?|rows?)\s+(\w+)(?:\s*[-:]\s*(\w+))?$", part, re.I)
        if block and well_name(block[1]) and well_name(block[2]):
            (first, last), letters = (well_name(block[1]), well_name(block[2])), "ABCDEFGHIJKLMNOP"
            rows = letters[letters.index(first[0]) : letters.index(last[0]) + 1]
            wells += [f"{r}{c}" for r in rows for c in range(int(first[1:]), int(last[1:]) + 1)]
        elif lines and lines[1].lower().startswith("column") and lines[2].isdecimal():
            last = lines[3] if lines[3] and lines[3].isdecimal() else lines[2]
            wells += [f"{r}{c}" for r in "ABCDEFGH" for c in range(int(lines[2]), int(last) + 1)]
        elif lines and lines[1].lower().startswith("row") and re.fullmatch(r"[A-Ha-h]", lines[2]):
            last = lines[3] if lines[3] and re.fullmatch(r"[A-Ha-h]", lines[3]) else lines[2]
            rows = "ABCDEFGH"["ABCDEFGH".index(lines[2].upper()) : "ABCDEFGH".index(last.upper()) + 1]
            wells += [f"{r}{c}" for r in rows for c in range(1, 13)]
        else:
            wells.append(part)
            blocks += 1
    series = SERIES.match(str(row.get("sample", "")).strip())
    if series and not blocks and series[1] == (series[3] or series[1]):
        return _series(row, wells, series[1], int(series[2]), int(series[4]), len(series[2]))
    return [{**row, "well": well} for well in wells]


def _series(
    row: Mapping[str, Any], wells: Sequence[str], stem: str, first: int, last: int, width: int
) -> list[dict[str, Any]]:
    """Spread names down the rows of a block, replicates side by side; rows as they are where the numbers do not fit."""
    n, columns = last - first + 1, sorted({int(w[1:]) for w in wells})
    rows = sorted({w[0] for w in wells})
    side = len(wells) // n if n > 0 and len(wells) % n == 0 else 0
    if not side or len(columns) % side or len(rows) * len(columns) != len(wells):
        return [{**row, "well": well} for well in wells]
    named = []
    for well in wells:
        k = columns.index(int(well[1:])) // side * len(rows) + rows.index(well[0])
        named.append(
            {**row, "well": well, "sample": f"{stem}{first + k:0{width}d}" if width > 1 else f"{stem}{first + k}"}
        )
    return named


def _unit_factor(unit: str, kit: Kit | None, path: str, at: int) -> tuple[float, list[Problem]]:
    """By what a nominal in ``unit`` is to be multiplied to be in the kit's."""
    if not unit or unit == "NA" or kit is None or unit == kit.unit:
        return 1.0, []
    if unit not in PG_PER_ML:
        remedy = f"use one of {', '.join(PG_PER_ML)}{closest(unit, PG_PER_ML)}"
        return 1.0, [Problem(path, "is not a known unit", remedy, at, "unit", unit)]
    return pg_per_ml(unit, kit.analyte) / kit.in_pg_per_ml, []


def _name_standards(table: pd.DataFrame, kit: Kit | None, path: str) -> list[Problem]:
    """Fill the nominals that are left to the kit, and compare the others with it. Changes ``table``."""
    standards = table[table["role"] == "standard"]
    by_name, problems = _kit_levels(standards, kit, path)
    for row in standards.itertuples():
        level = by_name.get(str(row.sample or "").lower())
        if np.isnan(row.nominal):
            if level is None:
                remedy = "give the standard's concentration, or its number in the kit (S1, S2, ...)"
                what = "is missing for a standard well"
                if not any(p.column == "sample" for p in problems):
                    problems.append(Problem(path, what, remedy, row.row, "nominal", row.sample))
            else:
                table.loc[row.Index, "nominal"] = level
        elif (
            level is not None and not _same(row.nominal, level) and any(_same(row.nominal, x) for x in by_name.values())
        ):
            what = f"is the nominal of another standard of the kit ({row.sample} is {level:g} {kit.unit} there)"
            remedy = "correct the nominal or the name; standards are numbered in the kit table's order"
            problems.append(Problem(path, what, remedy, row.row, "nominal", f"{row.nominal:g}"))
    if kit is not None and not problems:
        problems += _other_unit(table.loc[table["role"] == "standard", "nominal"], kit, path)
    return problems


def _same(first: float, second: float) -> bool:
    return abs(first - second) <= SAME * abs(second)


def _kit_levels(standards: pd.DataFrame, kit: Kit | None, path: str) -> tuple[dict[str, float], list[Problem]]:
    """Return ``{name in lower case: concentration}`` of the standards that the layout names, and why there is none.

    Numbers are from 1, or from 0 where the layout has a standard 0: then 0 is the kit's zero standard, or its first
    where it has none. What the layout's own nominals say of the numbering must agree.
    """
    if kit is None or not kit.standards:
        return {}, []
    if kit.standard_names:
        return {name.lower(): level for name, level in zip(kit.standard_names, kit.standards)}, []
    names = {s: int(m[1]) for s in standards["sample"].dropna() for m in [STANDARD_NAME.match(s)] if m}
    if not names:
        return {}, []
    numbers, levels = set(names.values()), kit.standards
    if 0 in numbers:
        if 0 in levels and levels[0] != 0:
            by_number = None  # standard 0 can't be both the kit's first and its zero
        elif 0 not in levels and max(numbers) == len(levels):
            by_number = {0: 0.0, **dict(enumerate(levels, start=1))}
        else:
            by_number = dict(enumerate(levels))
    elif levels[0] == 0 and max(numbers) == len(levels) - 1:
        by_number = None  # standard 1 may be the kit's first, 0, or the first above it
    else:
        by_number = dict(enumerate(levels, start=1))
    if by_number is None:
        left = standards.loc[standards["nominal"].isna()]
        if left.empty:
            return {}, []
        what = f"is left to the kit, whose {len(levels)} standards can be numbered in two ways"
        remedy = "give the nominals in the layout, or the names in the kit table's column standard_names"
        row = left.iloc[0]
        return {}, [Problem(path, what, remedy, int(row["row"]), "sample", row["sample"])]
    return {name.lower(): by_number[n] for name, n in names.items() if n in by_number}, []


def _other_unit(nominals: pd.Series, kit: Kit, path: str) -> list[Problem]:
    """The problem of nominals that are the kit's own times the factor of another unit."""
    found = sorted({x for x in nominals.dropna() if x > 0})
    levels = sorted(x for x in kit.standards if x > 0)
    if len(found) < 3 or any(_same(x, level) for x in found for level in levels):
        return []
    factors = {unit: pg_per_ml(unit, kit.analyte) / kit.in_pg_per_ml for unit in PG_PER_ML if unit != kit.unit}
    for unit, factor in factors.items():
        if all(any(_same(x * factor, level) for level in levels) for x in found):
            what = f"are the kit's own standards in {unit} ({found[0]:g} to {found[-1]:g}), and its unit is {kit.unit}"
            remedy = f"multiply them by {factor:g}, or add a column unit with {unit}"
            return [Problem(path, what, remedy, column="nominal")]
    ratios = [level / x for x, level in zip(found, levels)] if len(found) == len(levels) else []
    if ratios and max(ratios) / min(ratios) < 1 + SAME and not 0.5 < ratios[0] < 2:
        what = f"are the kit's own standards divided by {ratios[0]:g}"
        return [Problem(path, what, f"give them in {kit.unit}, or correct the kit table", column="nominal")]
    return []
