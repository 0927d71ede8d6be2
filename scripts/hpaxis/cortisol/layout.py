"""Layouts: which well holds what, as a long table or as plater-style grids.

A long table has the columns well, role, sample and, where they say something, dilution and nominal. A grid
layout has one 8 × 12 block for each of those names (the name stands in the block's corner or above it).
"""

import re

import numpy as np
import pandas as pd

from hpaxis.cortisol.readers.cells import NUMBER, find_grids, load_sheets, well_name, well_sort_key
from hpaxis.names import REMEDY, WHAT, is_name
from hpaxis.problems import Problem, closest, raise_if_any

# spiked: a sample to which ``nominal`` (in the kit's unit, in the well) was added, for spike recovery.
ROLES = ("standard", "b0", "nsb", "blank", "control", "sample", "spiked", "empty")
COLUMNS = ("well", "role", "sample", "dilution", "nominal")
NAMED = ("control", "sample", "spiked")
STANDARD_NAME = re.compile(r"^(?:s|st|std|standard)?[ _-]*0*(\d+)$", re.I)


def read_layout(path, plate_id=None, kit=None):
    """Read a layout file (TSV, CSV or XLSX).

    Returns a DataFrame with one row a used well, sorted by row and column: well, role, sample (text or None),
    dilution, nominal (numbers, NaN where not given). A standard's nominal may be left to the kit when its sample is
    the standard's number (``S1``). With a column plate_id, only the rows of ``plate_id`` are used.
    Raises `InputError` with every problem: unknown column or role, a well used twice, a nominal that is missing.
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
    return table.loc[order, list(COLUMNS)].reset_index(drop=True)


def _long_header(sheet):
    for i, row in enumerate(sheet.rows[:20]):
        words = {cell.lower() for cell in row}
        if "well" in words and "role" in words:
            return i
    return None


def _long(sheet, head, path, plate_id):
    header = [cell.lower() for cell in sheet.rows[head]]
    known = (*COLUMNS, "plate_id")
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


def _grid(sheets, path):
    blocks, problems = {}, []
    for sheet in sheets:
        for grid in find_grids(sheet, path):
            names = [n.strip().lower() for n in (grid.corner, grid.title, sheet.name or "")]
            name = next((n for n in names if n in COLUMNS[1:]), None)
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


def _typed(table, path, kit):
    problems, records, used = [], [], {}
    for row in table.astype(object).fillna("").to_dict("records"):
        at = row["row"]
        well, role = well_name(row.get("well", "")), row["role"].strip().lower()
        if well is None:
            problems.append(Problem(path, "is no well", "use A1 to H12", at, "well", row.get("well", "")))
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
        if role in NAMED and sample is None:
            what = f"is missing for a {role} well"
            problems.append(Problem(path, what, "name the hair sample or the control", at, "sample"))
        if role == "standard" and np.isnan(numbers["nominal"]):
            numbers["nominal"], fault = _kit_nominal(sample, kit, path, at)
            problems += fault
        if role == "spiked" and np.isnan(numbers["nominal"]):
            remedy = "give the concentration that was added, in the kit's unit"
            problems.append(Problem(path, "is missing for a spiked well", remedy, at, "nominal"))
        records.append({"row": at, "well": well, "role": role, "sample": sample, **numbers})
    return pd.DataFrame(records, columns=["row", *COLUMNS]), problems


def _kit_nominal(sample, kit, path, at):
    number = STANDARD_NAME.match(sample or "")
    if kit is not None and number and 1 <= int(number[1]) <= len(kit.standards):
        return kit.standards[int(number[1]) - 1], []
    remedy = "give the standard's concentration, or its number in the kit (S1, S2, ...)"
    return np.nan, [Problem(path, "is missing for a standard well", remedy, at, "nominal", sample)]
