"""What a study's folders hold of earlier sheets: everything of a person, results that no sheet names, stale inputs.

A person is followed by ids: their own, and those of their libraries and hair samples, as the sheets name them or as
the tables of earlier runs do.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hpaxis.problems import InputError, Problem
from hpaxis.study.study import Study
from hpaxis.tables import read_table

# Folders of results in which each file, or folder, is named after a library, a plate or a model.
BY_LIBRARY = ("counts", "patterns", "reads", "conversion", "cycles", "sites", "lanes", "bam", "sample", "calls",
              "private/alleles", "aligned", "genome", "methylpy", "all_cpgs")  # fmt: skip
SUFFIXES = (".cpg.tsv", ".tsv.gz", ".bam.bai", ".tsv", ".bam", ".log")
ARCHIVES = (".zip", ".xlsx", ".docx")
LARGEST_TEXT = 64_000_000


@dataclass(frozen=True)
class Traces:
    """What is left of a person: the ``ids`` they go by, the ``sheets`` that name them, and the ``files`` that do."""

    ids: tuple[str, ...]
    sheets: tuple[str, ...]
    files: tuple[Path, ...]


def find_traces(study: Study, participant: str, results: Path = Path("results"), logs: Path = Path("logs")) -> Traces:
    """Return everything of a participant: rows of the sheets, and files of results, logs and Snakemake's own notes.

    Raises `InputError` for a participant whom neither the sheets nor any result knows.
    """
    ids = {participant}
    sheets = []
    keys = {"participants": "participant_id", "libraries": "library_id", "hair": "hair_id"}
    for name, key in (keys | {"saliva_cortisol": "saliva_id"}).items():
        table = getattr(study, name)
        mine = table[table["participant_id"] == participant]
        ids |= set(mine[key].dropna())
        sheets += [f"{study.config.sheets[name]}, row {row}" for row in mine["row"]]
    ids |= _earlier_ids(participant, results)
    files = _found(ids, results, logs)
    if not sheets and not files:
        remedy = "give an id as participants.tsv has or had it; nothing of it is left otherwise"
        raise InputError(Problem("hpaxis forget", "is in no sheet and in no result", remedy, value=participant))
    # An archive is not looked into: one that was made while the person was in the study holds their rows.
    files += [path for folder in (results, logs) for path in _files(folder) if path.suffix in ARCHIVES]
    return Traces(tuple(sorted(ids)), tuple(sheets), tuple(sorted(set(files))))


def remove_traces(study: Study, participant: str, results: Path = Path("results"), logs: Path = Path("logs")) -> Traces:
    """Delete the files of a participant whom no sheet names any more, and return what was deleted.

    Tables of several people go as a whole: the next run makes them again, without the person. Raises `InputError`
    while a sheet still names the person, or where something is left afterwards.
    """
    found = find_traces(study, participant, results, logs)
    if found.sheets:
        remedy = "take the row out, then run this again"
        raise InputError([Problem(place, "still names the participant", remedy) for place in found.sheets])
    for path in found.files:
        path.unlink()
    left = _found(found.ids, results, logs)
    if left:
        raise InputError([Problem(str(path), "still names the participant", "delete it by hand") for path in left])
    return found


def _earlier_ids(participant: str, results: Path) -> set[str]:
    """Ids of libraries and hair samples that tables of an earlier run name beside the participant."""
    ids: set[str] = set()
    for name, key in (
        ("cohort/join_audit.tsv", "key"),
        ("methylation/libraries.tsv", "library_id"),
        ("cortisol/samples.tsv", "hair_id"),
        ("cortisol/saliva_tubes.tsv", "saliva_id"),
    ):
        path = results / name
        if path.is_file():
            table = read_table(path, text=("key",))
            if {"participant_id", key} <= set(table.columns):
                ids |= set(table.loc[table["participant_id"] == participant, key].dropna())
    return ids


def _found(ids: Iterable[str], results: Path, logs: Path) -> list[Path]:
    """Return the files whose name or text has one of the ids."""
    either = "|".join(map(re.escape, sorted(ids)))
    # In a table an id is a cell, or a part of a list or path in one: 1 is not in 0.1.
    cell = re.compile(rf"(?:^|[\t;,/ ])(?:{either})(?=$|[\t;,/ _])", re.MULTILINE)
    word = re.compile(rf"(?<![A-Za-z0-9.])(?:{either})(?![A-Za-z0-9])")
    files = [path for folder in (results, logs) for path in _files(folder) if _names(path, folder, word, cell)]
    return files + [path for path in _files(Path(".snakemake")) if _noted(path, word)]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def _names(path: Path, folder: Path, word: re.Pattern[str], cell: re.Pattern[str]) -> bool:
    """Whether a file's name, or its text, has one of the ids."""
    if word.search(path.relative_to(folder).as_posix()):
        return True
    if path.suffix in (*ARCHIVES, ".bam", ".bai", ".gz", ".png") or path.stat().st_size > LARGEST_TEXT:
        return False
    token = cell if path.suffix == ".tsv" else word
    return token.search(path.read_text(encoding="utf-8", errors="replace")) is not None


def _noted(path: Path, token: re.Pattern[str]) -> bool:
    """Whether a note of Snakemake is about a file that has one of the ids in its name, or holds one."""
    if path.suffix == ".lock":
        return False
    try:
        told = base64.b64decode(path.name, altchars=b"-_").decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        told = ""
    if token.search(told):
        return True
    if path.stat().st_size > LARGEST_TEXT:
        return False
    return token.search(path.read_text(encoding="utf-8", errors="replace")) is not None


def left_over(study: Study, results: Path = Path("results")) -> list[Path]:
    """Return files and folders of results that belong to a library, plate or model which no sheet or config names."""
    known = set(study.library_ids())
    found = []
    for name in BY_LIBRARY:
        for path in sorted((results / "methylation" / name).glob("*")):
            stem = next((path.name.removesuffix(s) for s in SUFFIXES if path.name.endswith(s)), path.name)
            if stem not in known and path.is_file():
                found.append(path)
    for folder, names in (("cortisol/plates", set(study.plate_ids())), ("moderation", set(study.models))):
        found += [p for p in sorted((results / folder).glob("*")) if p.is_dir() and p.name not in names]
    return found


def stale_inputs(results: Path = Path("results")) -> list[tuple[str, str]]:
    """Return (file, why) for each input that is not what it was when the report's checksums were taken.

    Small files are compared by their whole content, large ones by size and, where that agrees, by the date. Empty
    where there was no run.
    """
    table_file = results / "report" / "checksums.tsv"
    if not table_file.is_file():
        return []
    written = table_file.stat().st_mtime
    return [(row.file, why) for row in _inputs(table_file) if (why := _changed(row, written))]


def _inputs(table_file: Path) -> Iterable:
    table: pd.DataFrame = read_table(table_file, text=("file", "sha256", "role"))
    return table[table["role"] != "panels"].itertuples()


def _changed(row: Any, written: float, small: int = 4_000_000) -> str | None:
    from hpaxis.report.provenance import sha256

    path = Path(row.file)
    if not path.is_file():
        return "is gone"
    if path.stat().st_size != row.bytes:
        return f"has {path.stat().st_size:,} bytes, and had {row.bytes:,}"
    if row.bytes <= small:
        return None if sha256(path) == row.sha256 else "has another content"
    return "is newer than the report" if path.stat().st_mtime > written else None
