"""Reading a study's sheets: every cell as text first, then checked against the sheet's schema."""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd

from hpaxis import schemas
from hpaxis.identifying import tellable
from hpaxis.problems import InputError, Problem, closest
from hpaxis.sheet_files import SPSS, read_rows

Schema = dict[str, Any]
MISSING = ("", "NA")
# What may stand in a cell is said by pattern; these words say it to a person.
REMEDIES = {
    "pattern": "use the form that config/README.md gives for this column",
    "enum": "use one of: {choices}",
    "minimum": "give a value of at least {limit}",
    "maximum": "give a value of at most {limit}",
    "exclusiveMinimum": "give a value above {limit}",
    "type": "give a {type}",
}


def sheet_schema(name: str, columns: Mapping[str, str] | None = None, missing: Collection[float] = ()) -> Schema:
    """Return the schema of a sheet, with the study's own ``columns`` (name to number or category) added.

    ``missing``: numbers that stand for a missing value in those columns.
    """
    schema = dict(schemas.load(f"sheets/{name}"))
    schema["properties"] = dict(schema["properties"])
    for column, kind in (columns or {}).items():
        schema["properties"].setdefault(column, {**DECLARED[kind], "missing": tuple(missing)})
    return schema


def participants_schema(cohort: Mapping[str, Any]) -> Schema:
    """Return the schema of participants.tsv for a study: ``cohort`` is the config's section with its defaults."""
    schema = sheet_schema("participants", cohort["columns"], cohort["missing"])
    return {**schema, "names": cohort["names"], "dictionary": cohort["dictionary"]}


DECLARED = {
    "number": {"type": "number", "description": "A number the models may use."},
    "category": {
        "type": "string",
        "pattern": r"^\w[\w+./-]{0,19}$",
        "remedy": "give one word of up to 20 letters, digits and + . / - that begins with a letter or a digit",
        "description": "A category the models may use: one word, up to 20 characters.",
    },
}


def read_sheet(path: str | Path, schema: Schema) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a sheet.

    Returns ``(table, problems)``. The table has every column of the schema, typed (text, or float with NaN),
    defaults filled where a cell or a whole column is missing, and a column ``row``: the line in the file; what was done
    to read it stands in its ``attrs["read"]``, the columns that the file lacks in ``attrs["absent"]``, and in
    ``attrs["unread"]`` whether nothing can be joined with it.
    Rows are kept even when they have problems, so that checks across sheets can go on.
    """
    path = str(path)
    rows, problems, said = _rows(path, schema)
    if rows is None:
        table = empty_sheet(schema)
        table.attrs["unread"] = True
        return table, problems
    validator = jsonschema.Draft202012Validator(
        {"type": "object", "properties": {k: _cell_schema(v) for k, v in schema["properties"].items()}}
    )
    records = []
    for number, cells in rows:
        record: dict[str, Any] = {"row": number}
        for column, part in schema["properties"].items():
            text = cells.get(column, "")
            if text in MISSING or _is_code(text, part.get("missing", ())):
                record[column] = part.get("default")
                if column in schema["required"]:
                    problems.append(Problem(path, "is missing", "fill the cell", number, column))
                continue
            value, fault = _parse(text, part)
            if fault:
                problems.append(Problem(path, *fault, number, column, tellable(text)))
            record[column] = value
        errors = validator.iter_errors({k: v for k, v in record.items() if k != "row" and v is not None})
        for error in sorted(errors, key=lambda e: list(e.path)):
            column = error.path[0]
            part = schema["properties"][column]
            problems.append(Problem(path, *_in_words(error, part), number, column, tellable(cells.get(column))))
        records.append(record)
    key: Any = schema.get("key")
    seen: dict[str, int] = {}
    for record in records if key else ():
        if record[key] is not None and record[key] in seen:
            problems.append(
                Problem(
                    path,
                    f"duplicates row {seen[record[key]]}",
                    schema.get("duplicate_remedy", "give every row its own id, or delete one"),
                    record["row"],
                    key,
                    tellable(record[key]),
                )
            )
        seen.setdefault(record[key], record["row"])
    if not records:
        problems.append(Problem(path, "has a header and no rows", "add the study's rows"))
    table = _typed(records, schema)
    table.attrs["read"] = said
    given = set().union(*(cells for _, cells in rows))
    absent = [column for column in schema["properties"] if rows and column not in given]
    table.attrs["absent"] = absent
    table.attrs["unread"] = any(column in absent for column in schema["required"])
    return table, problems


def _is_code(text: str, codes: Collection[float]) -> bool:
    """Whether a cell holds one of the numbers that stand for a missing value."""
    try:
        return bool(codes) and float(text) in codes
    except ValueError:
        return False


def paths_of(cell: str) -> list[str]:
    """Return the paths of a cell that may name several, separated by semicolons."""
    return [path.strip() for path in cell.split(";") if path.strip()]


def empty_sheet(schema: Schema) -> pd.DataFrame:
    """Return the table of a sheet that the study does not have: its columns, no rows."""
    return _typed([], schema)


def _rows(path: str, schema: Schema) -> tuple[list[tuple[int, dict[str, str]]] | None, list[Problem], list[str]]:
    """Return ``([(line number, {column: text})], problems, what was read)``; None for rows when nothing can be."""
    theirs, dictionary = schema.get("names", {}), schema.get("dictionary")
    texts = [theirs.get(c, c) for c, part in schema["properties"].items() if part["type"] == "string"]
    if not Path(path).is_file() and not Path(path).is_dir():
        return None, [Problem(path, "does not exist", "give the sheet's path under `sheets` in the config")], []
    try:
        lines, said = read_rows(path, texts, dictionary, schema["title"].removesuffix(".tsv"))
    except InputError as error:
        return None, error.problems, []
    if not lines:
        return None, [Problem(path, "is empty", "write the header row and the study's rows")], said
    ours = {name: column for column, name in theirs.items()}
    header = [ours.get(name.strip(), name.strip()) for name in lines[0]]
    problems = []
    if dictionary is not None or Path(path).suffix.lower() in SPSS:
        # An export of a whole database: what is not declared is not taken in.
        left = [name for name in header if name not in schema["properties"]]
        said += [f"left out, since the config does not declare them: {', '.join(left)}"] if left else []
        kept = [i for i, name in enumerate(header) if name in schema["properties"]]
        lines = [[row[i] for i in kept if i < len(row)] for row in lines]
        header = [header[i] for i in kept]
    if len(header) == 1 and any(mark in header[0] for mark in ",;"):
        return None, [Problem(path, "is not tab-separated", "save the sheet with tabs between its columns")], said
    for name in header:
        if name not in schema["properties"]:
            hint = closest(name, schema["properties"])
            remedy = f"rename or remove the column{hint}"
            if schema["title"] == "participants.tsv":
                remedy += ", or declare it under cohort.columns in the config"
            problems.append(Problem(path, "is not a known column", remedy, 1, value=name))
        if header.count(name) > 1:
            problems.append(Problem(path, "stands twice in the header", "remove one", 1, value=name))
    for name in schema["required"]:
        if name not in header:
            problems.append(Problem(path, "has no such column", "add the column", 1, name))
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            what = f"has {len(cells)} cells where the header has {len(header)}"
            problems.append(Problem(path, what, "give the row one cell for each column", number))
        rows.append((number, dict(zip(header, (cell.strip() for cell in cells), strict=False))))
    return rows, problems, said


def _parse(text: str, part: Schema) -> tuple[Any, tuple[str, str] | None]:
    """Turn a cell into a value of its schema's type; return ``(value, None)`` or ``(None, (what, remedy))``."""
    if part["type"] == "string":
        return text, None
    try:
        value = float(text)
    except ValueError:
        unit = re.fullmatch(r"[<>~]?\s*[-+]?[\d.,]+\s*[A-Za-zµμ%/]+", text)
        hint = " without its unit or sign" if unit else " with a decimal point" if "," in text else ""
        return None, ("is not a number", f"give a number{hint}, or NA")
    if not math.isfinite(value):
        return None, ("is not a finite number", "give a number, or NA")
    return value, None


def _cell_schema(part: Schema) -> Schema:
    return {k: v for k, v in part.items() if k not in ("default", "description", "remedy", "missing")}


def _in_words(error: Any, part: Schema) -> tuple[str, str]:
    """Return ``(what, remedy)`` for one schema error."""
    rule, limit = error.validator, error.validator_value
    what = {
        "pattern": "has a form that is not allowed",
        "enum": "is not a known word",
        "minimum": f"is below {limit}",
        "maximum": f"is above {limit}",
        "exclusiveMinimum": f"is not above {limit}",
    }.get(rule, "is not allowed")
    if "remedy" in part:
        return what, part["remedy"]
    choices = ", ".join(map(str, part.get("enum", [])))
    remedy = REMEDIES.get(rule, "see config/README.md").format(choices=choices, limit=limit, type=part["type"])
    if rule == "enum":
        remedy += closest(error.instance, part["enum"])
    return what, remedy


def _typed(records: list[dict[str, Any]], schema: Schema) -> pd.DataFrame:
    table = pd.DataFrame(records, columns=["row", *schema["properties"]])
    for column, part in schema["properties"].items():
        table[column] = table[column].astype("float64" if part["type"] == "number" else "str")
    return table
