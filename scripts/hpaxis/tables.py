"""Tables between stages: TSV, UTF-8, one header row, ``NA`` for missing, written whole or not at all."""

from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from hpaxis.problems import InputError, Problem

FLOAT_FORMAT = "%.10g"
# Columns that name things are text in every table: an id keeps its leading zeros.
TEXT_SUFFIXES = ("_id", "_file")
TEXT_COLUMNS = frozenset({
    "timepoint", "arm", "role", "kind", "flags", "verdict", "reasons", "reason", "panel", "plate", "well", "pattern",
    "amplicon", "strand", "chrom", "library", "kit", "model", "term", "censored", "segment", "step", "sheet",
    "sample", "subject", "wells", "platform", "reading", "reader_plate", "notes",
})  # fmt: skip


@contextmanager
def whole_file(path):
    """Give a path beside ``path`` that becomes ``path`` only if the block succeeds.

    The name depends on ``path`` alone: what a killed job leaves behind is written over when it runs again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_table(table, path):
    """Write a data frame as TSV with 10 significant digits, atomically; the same frame gives the same bytes."""
    with whole_file(path) as part:
        table.to_csv(
            part,
            sep="\t",
            index=False,
            na_rep="NA",
            float_format=FLOAT_FORMAT,
            lineterminator="\n",
            encoding="utf-8",
        )


def read_table(path, text=()):
    """Read a table that a stage wrote. Columns that name things (ids, flags, arms, ...) and ``text`` stay text."""
    header = pd.read_csv(path, sep="\t", nrows=0).columns
    kept = TEXT_COLUMNS | set(text)
    dtypes = {c: "str" for c in header if c in kept or c.endswith(TEXT_SUFFIXES)}
    return pd.read_csv(path, sep="\t", dtype=dtypes, na_values=["NA"], keep_default_na=False)


def read_given(path, text=()):
    """Read a table that a person names on the command line; raises `InputError` where there is no such table."""
    remedy = "give a tab-separated table in UTF-8 with one header row"
    try:
        return read_table(path, text)
    except OSError as error:
        raise InputError(Problem(str(path), "cannot be read", "correct the path")) from error
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(Problem(str(path), "is not a table", remedy)) from error


def write_folder(tables, folder, ending=".tsv"):
    """Write tables, name → data frame, as files of a folder, which is made."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, Path(folder) / f"{name}{ending}")


def read_folder(folder, ending=".tsv"):
    """Read what `write_folder` wrote: name → data frame."""
    paths = sorted(Path(folder).glob(f"*{ending}"))
    return {path.name.removesuffix(ending): read_table(path) for path in paths}


def read_each(paths):
    """Read tables that come one a library and put them together, with a column ``library_id``: the file's name."""
    tables = [read_table(path).assign(library_id=Path(path).stem) for path in paths]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
