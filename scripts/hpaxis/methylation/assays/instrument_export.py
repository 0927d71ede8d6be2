"""Reading what a pyrosequencer exports, as text or XLSX: one row per well with columns per position, or per reading."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hpaxis.identifying import tellable
from hpaxis.names import harmless
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.sizes import size_problems
from hpaxis.workbooks import read_workbook

READING_COLUMNS = ("row", "column", "sample", "well", "assay", "label", "percent", "quality", "below")
# Headers as people and instruments write them, in lower case without spaces, dots, units and brackets.
NAMES = {
    "sample": {"sample", "sampleid", "samplename", "name", "libraryid", "library"},
    "well": {"well", "wellid", "wellposition"},
    "assay": {"assay", "assayname", "assayid"},
    "label": {"cpg", "cpgid", "position", "pos", "site"},
    "percent": {"percent", "meth", "methylation", "percentmethylation", "methylationpercent", "value"},
    "quality": {"quality", "qualityassessment", "qc"},
    "below": {"below"},
}
QUALITIES = {
    "passed": {"passed", "pass", "ok", "blue"},
    "check": {"check", "checked", "warning", "yellow"},
    "failed": {"failed", "fail", "bad", "red"},
}
NUMBERED = re.compile(r"(?:pos(?:ition)?\.?|cpg)\s*_?\s*(\d+)", re.IGNORECASE)
CONTROL = re.compile(r"bisul(?:f|ph)ite|conversion|^\s*control\s*$", re.IGNORECASE)
# What follows the position's name in a header: what the column holds.
HOLDS_QUALITY = re.compile(r"[\s:,_-]*\bqual(?:ity|\.)?(?:\s+assessment)?\s*$", re.IGNORECASE)
HOLDS_PERCENT = re.compile(
    r"[\s:,_-]*(?:\b(?:meth(?:ylation|\.)?|percent|C)\b\.?)?\s*(?:[(\[]?\s*%\s*[)\]]?)?\s*$", re.IGNORECASE
)
HEADER_WITHIN = 60
CONTROL_LABEL = "control"


@dataclass(frozen=True)
class _Grid:
    """The cells of a file by line number, and whether numbers may have a decimal comma."""

    rows: list
    comma: bool


def read_export(path, known=()):
    """Read an export; returns one row per reading: `READING_COLUMNS`.

    ``row`` and ``column``: where it stands; ``sample``, ``well``, ``assay``: text, the latter two NA where there is no
    such column; ``label``: the position as the export names it, ``control`` for a bisulfite conversion control;
    ``percent``: 0 to 100, NaN where the instrument gave none; ``quality``: passed, check, failed or NA; ``below``: yes
    where the instrument says "< 1" or the like, and ``percent`` is that limit.

    Text may be separated by tabs, semicolons or commas, be UTF-8, UTF-16 or Latin-1, and have decimal commas. A
    header row is looked for in the first 60 lines. A column is a position when its name is "Pos. 3 Meth. (%)" or the
    like, a name in ``known`` (of CpGs), or names the conversion control; other columns are left alone. Raises
    `InputError` with every problem.
    """
    grid = _read_grid(Path(path))
    at, columns = _find_header(grid, known, path)
    header = grid.rows[at][1]
    wide = {i: label for i, label in _positions(header, known).items() if i not in columns.values()}
    problems = _doubled(header, columns, grid.rows[at][0], path)
    long = "label" in columns and "percent" in columns
    if not long and not wide:
        problems.append(
            Problem(str(path), "has no column of a position", "name columns like 'Pos. 1 Meth. (%)' and 'Pos. 1 "
                    "Quality', or give the columns sample, CpG, percent and quality", grid.rows[at][0])
        )  # fmt: skip
    raise_if_any(problems)
    readings = []
    for number, cells in grid.rows[at + 1 :]:
        if not any(cells):
            continue
        if len(cells) > len(header) and any(cells[len(header) :]):
            what = f"has {len(cells)} cells where the header has {len(header)}"
            problems.append(Problem(str(path), what, "give the row one cell for each column", number))
            continue
        cells = cells + [""] * (len(header) - len(cells))
        fixed = {name: cells[i] or None for name, i in columns.items() if name in ("sample", "well", "assay")}
        if fixed.get("assay"):
            fixed["assay"] = harmless(fixed["assay"])
        if fixed["sample"] is None:
            continue  # a well without a sample, or a footer
        if long:
            spots = [(cells[columns["label"]], columns["percent"], columns.get("quality"))]
        else:
            spots = [(label, i, _quality_column(header, label)) for i, label in wide.items()]
        for label, value_at, quality_at in spots:
            said = long and "below" in columns and cells[columns["below"]].strip().lower() == "yes"
            found = _reading(cells, header, label, value_at, quality_at, grid.comma, number, path, problems, said)
            readings.append({"row": number, "column": header[value_at], **fixed, **found})
    raise_if_any(problems)
    if not readings:
        raise InputError(Problem(str(path), "holds no reading", "export the results, not the set-up of the run"))
    return pd.DataFrame(readings).reindex(columns=list(READING_COLUMNS)).astype(
        dict.fromkeys(set(READING_COLUMNS) - {"row", "percent"}, "str") | {"percent": "float64"}
    ).assign(well=lambda t: t["well"].map(plain_well, na_action="ignore"))  # fmt: skip


def plain_well(name):
    """A well without padding: A01 and a1 are A1."""
    found = re.fullmatch(r"([A-Pa-p])0*(\d{1,2})", str(name).strip())
    return f"{found[1].upper()}{found[2]}" if found else harmless(str(name).strip())


def position_number(label):
    """The number in "Pos. 3", "CpG 3" or "3"; None for any other name."""
    text = str(label).strip()
    found = NUMBERED.fullmatch(text)
    return int(found[1]) if found else int(text) if text.isdecimal() else None


def _reading(cells, header, label, value_at, quality_at, comma, number, path, problems, said_below=False):
    quality = None
    if quality_at is not None and cells[quality_at]:
        quality = next((q for q, words in QUALITIES.items() if cells[quality_at].strip().lower() in words), None)
        if quality is None:
            problems.append(
                Problem(str(path), "is no quality", "use Passed, Check or Failed", number, header[quality_at],
                        tellable(cells[quality_at]))
            )  # fmt: skip
    text, percent = cells[value_at].removesuffix("%").strip(), float("nan")
    # A minus of a typesetter or a spreadsheet is one too.
    text = text.replace("\u2212", "-").removesuffix("%").strip()
    below = "yes" if text.startswith(("<", "\u2264")) or said_below else None
    text = text.lstrip("<=\u2264 ") if below else text
    if text and text.upper() not in ("NA", "N/A", "-", "NAN"):
        try:
            percent = float(text.replace(",", ".") if comma else text)
        except ValueError:
            remedy = "give a percentage, or leave the cell empty"
            problems.append(Problem(str(path), "is no number", remedy, number, header[value_at], tellable(text)))
        percent = abs(percent) if percent == 0 else percent
        if percent < 0 or percent > 100:
            problems.append(
                Problem(str(path), "is no percentage", "give 0 to 100", number, header[value_at], text)
            )  # fmt: skip
    if CONTROL.search(label):
        label = CONTROL_LABEL
    return {"label": label.strip(), "percent": percent, "quality": quality, "below": below}


def _find_header(grid, known, path):
    """The header's place in ``grid.rows`` and the columns it names, by what they are."""
    for at, (_, cells) in enumerate(grid.rows[:HEADER_WITHIN]):
        plain = [re.sub(r"[\s._%()\[\]-]+", "", cell).lower() for cell in cells]
        columns = {}
        for what, words in NAMES.items():
            found = [i for i, word in enumerate(plain) if word in words]
            if found:
                columns[what] = found[0]
        if "sample" in columns and (("label" in columns and "percent" in columns) or len([c for c in cells if c]) > 2):
            if "label" not in columns or "percent" not in columns:
                columns.pop("label", None)
                columns.pop("percent", None)
                columns.pop("quality", None)
                columns.pop("below", None)
            return at, columns
    remedy = "give a table whose header names the sample and the positions; see docs/methylation.md"
    raise InputError(Problem(str(path), "has no header row with a column of samples", remedy))


def _positions(header, known):
    """Columns that hold a percentage of a position: their place and the position's label."""
    found = {}
    for i, name in enumerate(header):
        if not name or HOLDS_QUALITY.search(name):
            continue
        label = HOLDS_PERCENT.sub("", name).strip() or name
        if NUMBERED.fullmatch(label) or name in known or label in known or CONTROL.search(label):
            found[i] = name if name in known else label
    return found


def _quality_column(header, label):
    for i, name in enumerate(header):
        if HOLDS_QUALITY.search(name) and HOLDS_QUALITY.sub("", name).strip().lower() == label.lower():
            return i
    return None


def _doubled(header, columns, number, path):
    return [
        Problem(str(path), "stands twice in the header", "remove one", number, value=tellable(name))
        for name in dict.fromkeys(n for n in header if n and header.count(n) > 1)
    ]


def _read_grid(path):
    try:
        raise_if_any(size_problems(path))
        data = path.read_bytes()
    except OSError:
        raise InputError(Problem(str(path), "cannot be read", "correct the path or its permissions")) from None
    if data[:4] == b"PK\x03\x04":
        return _Grid(list(enumerate(read_workbook(path)[0][1], start=1)), comma=True)
    text = _decoded(data, path)
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise InputError(Problem(str(path), "is empty", "export the results again"))
    separator = max("\t;,", key=lambda mark: (sum(line.count(mark) for line in lines[:HEADER_WITHIN]), mark == "\t"))
    # A decimal comma outnumbers its separator in short tables: semicolons and tabs win wherever they make columns.
    for mark in "\t;":
        if sum(line.count(mark) >= 2 for line in lines) >= 2:
            separator = mark
            break
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        grid = [(rows.line_num, [cell.strip() for cell in cells]) for cells in rows]
    except csv.Error:
        raise InputError(
            Problem(str(path), "has a broken line", "save the table as text again", rows.line_num)
        ) from None
    return _Grid(grid, comma=separator != ",")


def _decoded(data, path):
    if b"\x00" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(Problem(str(path), "is no text and no XLSX file", "export the results as text or XLSX"))
    encodings = ("utf-16",) if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "latin-1")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(Problem(str(path), "is damaged: its text cannot be decoded", "export the results again"))
