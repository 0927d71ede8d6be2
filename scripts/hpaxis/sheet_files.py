"""A sheet's file as rows of text cells, whatever program wrote it.

TSV is the form that hpaxis writes; CSV, XLSX and XLS are read as they are. A sheet of participants may also be an SPSS
file (value labels stand for the codes of a category, user-missing values are missing) or a REDCap export with its data
dictionary (choices stand for the codes).
"""

import csv
import io
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from hpaxis.problems import InputError, Problem
from hpaxis.sizes import size_problems

WORKBOOKS = (".xlsx", ".xlsm", ".xls")
SPSS = (".sav", ".zsav", ".por")
CHOICES = ("radio", "dropdown", "yesno", "truefalse", "checkbox")
YES_NO = {"yesno": {"1": "yes", "0": "no"}, "truefalse": {"1": "true", "0": "false"}}


def read_rows(
    path: str, texts: Collection[str] = (), dictionary: str | None = None, stem: str = ""
) -> tuple[list[list[str]], list[str]]:
    """Return a sheet's file as rows of text cells, header first, and what was done to read it, as lines.

    ``texts``: columns, as the file names them, in which a label stands for its code; ``dictionary``: path of the REDCap
    data dictionary of a CSV; ``stem``: the sheet's own name, which chooses among the tables of a workbook. Raises
    `InputError` for a file that cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix in WORKBOOKS:
        return _workbook(path, stem)
    if suffix in SPSS:
        return _spss(path, texts)
    rows, said = _text(path, suffix)
    if dictionary is not None:
        rows, more = _labelled(rows, _choices(dictionary, path, rows), texts)
        said += [f"codes become the labels of {dictionary}: {', '.join(more)}"] if more else []
    return rows, said


def _text(path: str, suffix: str) -> tuple[list[list[str]], list[str]]:
    problems = size_problems(path)
    if problems:
        raise InputError(problems)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        remedy = "save the sheet as tab-separated UTF-8 text, or as CSV"
        raise InputError(Problem(path, "is not UTF-8 text", remedy)) from None
    except OSError:
        raise InputError(Problem(path, "cannot be read", "save the sheet as tab-separated UTF-8 text")) from None
    if suffix != ".csv":
        return [line.split("\t") if line else [] for line in text.splitlines()], []
    mark = max(",;\t", key=lambda m: text.partition("\n")[0].count(m))
    try:
        lines = csv.reader(io.StringIO(text), delimiter=mark, strict=True)
        rows = [[" ".join(cell.split()) for cell in row] for row in lines]
    except csv.Error as error:
        raise InputError(Problem(path, f"is a damaged CSV file ({error})", "export it again")) from None
    return rows, [f"read as CSV, separated by {'tabs' if mark == chr(9) else mark!r}"]


def _workbook(path: str, stem: str) -> tuple[list[list[str]], list[str]]:
    from hpaxis.workbooks import read_workbook

    tables = read_workbook(path)
    named = [table for table in tables if table[0].strip().lower() == stem]
    if len(tables) > 1 and len(named) != 1:
        what = f"has {len(tables)} tables: {', '.join(name for name, _ in tables)}"
        raise InputError(Problem(path, what, f"keep one, or call the one to read {stem}"))
    name, rows = (named or tables)[0]
    width = max(len(row) for row in rows)
    while width and not any(row[width - 1] for row in rows if len(row) >= width):
        width -= 1
    return [(row + [""] * width)[:width] for row in rows], [f"read the table {name} of the workbook"]


def _spss(path: str, texts: Collection[str]) -> tuple[list[list[str]], list[str]]:
    import pyreadstat

    problems = size_problems(path)
    if problems:
        raise InputError(problems)
    try:
        if path.lower().endswith(".por"):
            table, about = pyreadstat.read_por(path, apply_value_formats=False)
        else:
            table, about = pyreadstat.read_sav(path, apply_value_formats=False, user_missing=False)
    except (pyreadstat.ReadstatError, OSError, ValueError) as error:
        raise InputError(Problem(path, f"is a damaged SPSS file ({error})", "save it again")) from None
    labels = {
        column: {_cell(code): label for code, label in values.items()}
        for column, values in about.variable_value_labels.items()
    }
    rows = [[str(name) for name in table.columns]]
    rows += [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    ranges = [column for column, values in about.missing_ranges.items() if values]
    rows, labelled = _labelled(rows, labels, texts)
    said = ["read as an SPSS file"]
    said += [f"value labels stand for the codes of {', '.join(labelled)}"] if labelled else []
    said += [f"user-missing values are missing in {', '.join(ranges)}"] if ranges else []
    return rows, said


def _cell(value: object) -> str:
    """A value as a sheet would hold it: whole numbers without a point, nothing for a missing one."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value).strip()


def _choices(dictionary: str, path: str, rows: list[list[str]]) -> dict[str, dict[str, str]]:
    """Return the labels of each field's codes; refuses fields that the dictionary marks as identifiers."""
    table, _ = _text(dictionary, ".csv")
    header = [name.strip().lower() for name in (table[0] if table else [])]

    def place(start: str) -> int:
        found = [i for i, name in enumerate(header) if name.startswith(start)]
        if not found:
            what = f"has no column that begins with {start!r}"
            raise InputError(Problem(dictionary, what, "export the data dictionary from REDCap as it is"))
        return found[0]

    field, kind, choices = place("variable / field name"), place("field type"), place("choices")
    marks = [i for i, name in enumerate(header) if name.startswith("identifier")]
    fields = [row for row in table[1:] if len(row) == len(header)]
    present = set(rows[0]) if rows else set()
    marked = [r[field] for r in fields if marks and r[marks[0]].strip().lower() == "y" and r[field] in present]
    if marked:
        remedy = "export again without identifiers"
        raise InputError([Problem(path, "is marked as an identifier", remedy, 1, None, name) for name in marked])
    found = {}
    for row in fields:
        if row[kind] in YES_NO:
            found[row[field]] = YES_NO[row[kind]]
        elif row[kind] in CHOICES:
            pairs = [part.split(",", 1) for part in row[choices].split("|") if "," in part]
            found[row[field]] = {code.strip(): label.strip() for code, label in pairs}
    return found


def _labelled(
    rows: list[list[str]], labels: Mapping[str, Mapping[str, str]], texts: Collection[str]
) -> tuple[list[list[str]], list[str]]:
    """Return the rows with labels, as single words, for the codes of text columns that have them; and these columns."""
    if not rows:
        return rows, []
    told = [name for name in rows[0] if labels.get(name) and name in texts]
    of = [labels[name] if name in told else {} for name in rows[0]]
    body = [[re.sub(r"\s+", "_", at.get(cell, cell)) for cell, at in zip(row, of)] for row in rows[1:]]
    return [rows[0], *body], told
