"""XLSX and XLS workbooks as text cells, read without trust in what they say of themselves."""

from pathlib import Path

import openpyxl

from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.sizes import LARGEST, entity_problems, zip_problems


def read_workbook(path: str | Path) -> list[tuple[str, list[list[str]]]]:
    """Return the sheets that hold anything, each as its name and its rows of text cells.

    Raises `InputError` for a workbook that is damaged or empty, would unpack into too much, defines XML entities, or
    spreads over more cells than any export.
    """
    raise_if_any(zip_problems(path) or entity_problems(path))
    room = LARGEST  # bytes of memory, about
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what the sheet says its size is may be too little, or all of a spreadsheet
            rows = []
            for cells in sheet.iter_rows(values_only=True):
                # A cell far out makes rows and cells up to it; one text may be named by many cells.
                room -= 64 + 8 * len(cells) + sum(len(cell) for cell in cells if isinstance(cell, str))
                if room < 0:
                    break
                rows.append([_cell_text(cell) for cell in cells])
            while rows and not any(rows[-1]):
                rows.pop()
            if rows:
                sheets.append((sheet.title, rows))
        book.close()
    except Exception as error:  # a damaged archive fails in many ways, all of them the file's fault
        raise InputError(Problem(str(path), "is a damaged XLSX file", "export it again")) from error
    if room < 0:
        remedy = "delete what stands far away from the table, or export it again"
        raise InputError(Problem(str(path), "spreads over more cells than any export", remedy))
    if not sheets:
        raise InputError(Problem(str(path), "holds no cells", "export it again"))
    return sheets


def read_old_workbook(path: str | Path) -> list[tuple[str, list[list[str]]]]:
    """Return the sheets of an XLS workbook that hold anything, each as its name and its rows of text cells.

    Rows and columns keep their place, also where a sheet begins further down or to the right.
    Raises `InputError` for a workbook that is damaged, empty or has a password.
    """
    from python_calamine import CalamineWorkbook  # a compiled module, and old workbooks are rare

    sheets = []
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            for name in book.sheet_names:
                rows = [
                    [_cell_text(c) for c in row]
                    for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False)
                ]
                while rows and not any(rows[-1]):
                    rows.pop()
                if rows:
                    sheets.append((name, rows))
    except Exception as error:  # a damaged file fails in many ways, all of them the file's fault
        what, remedy = (
            "is a damaged old Excel file (.xls) or has a password",
            "save it as .xlsx without one, or as text",
        )
        raise InputError(Problem(str(path), what, remedy)) from error
    if not sheets:
        raise InputError(Problem(str(path), "holds no cells", "export it again"))
    return sheets


def _cell_text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return repr(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    return str(cell).strip()
