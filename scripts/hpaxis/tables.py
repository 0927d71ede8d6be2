"""Tables between stages: TSV, UTF-8, one header row, ``NA`` for missing, written whole or not at all."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from hpaxis import schemas
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
def whole_file(path: str | Path) -> Iterator[Path]:
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


class ContractError(TypeError):
    """A table that a stage would write is not what its schema says: a fault of the code, not of an input."""


def columns(contract: str) -> list[str]:
    """Return the columns of a table, in order, as its schema has them; ``contract`` as in `methylation_limits`."""
    return list(schemas.load(f"{contract}.schema")["properties"])


def check_contract(table: pd.DataFrame, contract: str) -> None:
    """Raise `ContractError` unless a table's columns, their order and types are those of its schema.

    Columns that fit a pattern of the schema may stand anywhere. A column without any value has no type.
    """
    schema = schemas.load(f"{contract}.schema")
    properties, patterns = schema["properties"], schema.get("patternProperties", {})
    names = [c for c in table.columns if c in properties or not any(re.search(p, c) for p in patterns)]
    if names != list(properties):
        unknown, absent = [c for c in names if c not in properties], [c for c in properties if c not in names]
        raise ContractError(f"{contract}: unknown columns {unknown}, absent columns {absent}, or another order")
    for name, part in properties.items():
        kinds = part.get("type", ())
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        values = table[name].dropna().infer_objects()
        if kinds and not values.empty and not kinds & _kinds(values):
            wanted = " or ".join(sorted(kinds))
            raise ContractError(f"{contract}: {name} holds {values.dtype}, and should hold {wanted}")


def _kinds(values: pd.Series) -> set[str]:
    """Return the schema's words for what a column holds."""
    if pd.api.types.is_bool_dtype(values):
        return {"boolean"}
    if pd.api.types.is_numeric_dtype(values):
        return {"number", "integer"} if (values % 1 == 0).all() else {"number"}
    return {"string", "boolean"} if set(values) <= {True, False} else {"string"}


def write_table(table: pd.DataFrame, path: str | Path, contract: str | None = None) -> None:
    """Write a data frame as TSV with 10 significant digits, atomically; the same frame gives the same bytes.

    ``contract``: the table's schema, which the frame is checked against first; raises `ContractError`.
    """
    if contract is not None:
        check_contract(table, contract)
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


def read_table(path: str | Path, text: Iterable[str] = ()) -> pd.DataFrame:
    """Read a table that a stage wrote. Columns that name things (ids, flags, arms, ...) and ``text`` stay text."""
    header = pd.read_csv(path, sep="\t", nrows=0).columns
    kept = TEXT_COLUMNS | set(text)
    dtypes = {c: "str" for c in header if c in kept or c.endswith(TEXT_SUFFIXES)}
    return pd.read_csv(path, sep="\t", dtype=dtypes, na_values=["NA"], keep_default_na=False)


def read_given(path: str | Path, text: Iterable[str] = ()) -> pd.DataFrame:
    """Read a table that a person names on the command line; raises `InputError` where there is no such table."""
    remedy = "give a tab-separated table in UTF-8 with one header row"
    try:
        return read_table(path, text)
    except OSError as error:
        raise InputError(Problem(str(path), "cannot be read", "correct the path")) from error
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(Problem(str(path), "is not a table", remedy)) from error


def write_folder(
    tables: Mapping[str, pd.DataFrame], folder: str | Path, ending: str = ".tsv", contract: str | None = None
) -> None:
    """Write tables, name → data frame, as files of a folder, which is made; ``contract`` as in `write_table`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, Path(folder) / f"{name}{ending}", contract)


def read_folder(folder: str | Path, ending: str = ".tsv") -> dict[str, pd.DataFrame]:
    """Read what `write_folder` wrote: name → data frame."""
    paths = sorted(Path(folder).glob(f"*{ending}"))
    return {path.name.removesuffix(ending): read_table(path) for path in paths}


def read_each(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read tables that come one a library and put them together, with a column ``library_id``: the file's name."""
    tables = [read_table(path).assign(library_id=Path(path).stem) for path in paths]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
