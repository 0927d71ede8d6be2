"""Kits: what a manufacturer prescribes, one row per kit, so that a new kit is never a new script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis import schemas
from hpaxis.problems import Problem, closest, raise_if_any
from hpaxis.sheets import read_sheet
from hpaxis.shipped import KITS

if TYPE_CHECKING:
    from hpaxis.rows import Row

# One of each unit, in pg/mL. 27.59 nmol/L is 1 ug/dL of cortisol.
PG_PER_ML = {"pg/mL": 1.0, "ng/mL": 1e3, "ug/dL": 1e4, "nmol/L": 1e4 / 27.59}


# Molar masses in g/mol (pg per pmol) from formulas and standard atomic weights (C 12.011, H 1.008, O 15.999). That of
# cortisol is the one that the factor 27.59 implies.
MOLAR_MASS = {
    name: c * 12.011 + h * 1.008 + o * 15.999
    for name, (c, h, o) in {
        "cortisone": (21, 28, 5), "corticosterone": (21, 30, 4), "DHEA": (19, 28, 2), "testosterone": (19, 28, 2),
        "progesterone": (21, 30, 2),
    }.items()
} | {"cortisol": 1e4 / 27.59}  # fmt: skip


def pg_per_ml(unit: str, analyte: str = "cortisol") -> float:
    """Return how many pg/mL one ``unit`` (pg/mL, ng/mL, ug/dL or nmol/L) of the analyte is."""
    return MOLAR_MASS[analyte] if unit == "nmol/L" else PG_PER_ML[unit]


@dataclass(frozen=True)
class Kit:
    """A row of the kit table.

    ``standards``: nominal concentrations in ``unit``, in the booklet's order; ``standard_names``: what layouts call
    them, or an empty tuple where they are numbered. ``analyte``: what the kit measures.
    """

    kit: str
    method: str
    unit: str
    standards: tuple
    signal: str
    model: str
    weights: str
    zero_in_fit: bool
    standard_names: tuple = ()
    analyte: str = "cortisol"

    @property
    def rising(self) -> bool:
        """Whether the signal rises with the concentration (sandwich assays)."""
        return self.method == "sandwich_elisa"

    @property
    def in_pg_per_ml(self) -> float:
        """How many pg/mL one unit of the kit is."""
        return pg_per_ml(self.unit, self.analyte)

    @property
    def finished(self) -> bool:
        """Whether its tables hold finished concentrations, so that there is no plate to evaluate."""
        return self.method == "finished"


def read_kits(path: str | Path | None = None) -> dict[str, Kit]:
    """Read a kit table (the shipped one by default) as a dict of `Kit`.

    Raises `InputError` for an unknown column or word, and for standards that are no list of numbers.
    """
    path = KITS if path is None else Path(path)
    table, problems = read_sheet(path, schemas.load("cortisol_kits"))
    kits = {}
    for row in table.itertuples():
        numbers, fault = _standards(row, path)
        names, more = _standard_names(row, numbers, path)
        problems += [*fault, *more, *_contradictions(row, path)]
        kits[row.kit] = Kit(
            row.kit, row.method, row.unit, numbers, row.signal, row.model, row.weights, row.zero_in_fit == "yes",
            names, row.analyte,
        )  # fmt: skip
    raise_if_any(problems)
    return kits


def kit_named(name: str, path: Path | None = None, kits: Mapping[str, Kit] | None = None) -> Kit:
    """Return the kit of that name, or raise `InputError` that says which there are."""
    kits = read_kits(path) if kits is None else kits
    if name not in kits:
        remedy = (
            f"use a row of {path or 'resources/kits.tsv'} or add one: {', '.join(sorted(kits))}{closest(name, kits)}"
        )
        raise_if_any([Problem("plates.tsv", "is not a known kit", remedy, column="kit", value=name)])
    return kits[name]


def split_plates(plates: pd.DataFrame, kits_path: Path | None = None) -> tuple[list[str], list[str]]:
    """Return plate ids ``(measured, finished)``: those with a plate to evaluate, and tables of finished values."""
    kits = read_kits(kits_path)
    finished = [row.plate_id for row in plates.itertuples() if row.kit in kits and kits[row.kit].finished]
    return sorted(set(plates["plate_id"]) - set(finished)), sorted(finished)


def _standards(row: Row, path: Path) -> tuple[tuple[float, ...], list[Problem]]:
    if row.method == "finished":
        return (), []
    faults = [
        Problem(str(path), "is missing", "a kit that is measured on plates needs it", row.row, column)
        for column in ("signal", "model", "weights", "zero_in_fit", "standards")
        if not isinstance(getattr(row, column), str)
    ]
    if faults:
        return (), faults
    try:
        numbers = tuple(float(part) for part in row.standards.split(";"))
    except ValueError:
        numbers = ()
    if len(numbers) < 4 or min(numbers) < 0 or len(set(numbers)) != len(numbers):
        what = "is no list of at least 4 different concentrations"
        return (), [Problem(str(path), what, "write them as 3200;1600;800;...", row.row, "standards", row.standards)]
    return numbers, []


def _standard_names(row: Row, numbers: Sequence[float], path: Path) -> tuple[tuple[str, ...], list[Problem]]:
    text = row.standard_names if isinstance(row.standard_names, str) else ""
    names = tuple(part.strip() for part in text.split(";")) if text else ()
    lower = {name.lower() for name in names}
    if names and (len(names) != len(numbers) or len(lower) < len(names) or "" in lower):
        what = f"names {len(names)} standards, and there are {len(numbers)}, each with its own name"
        remedy = "give one name for each standard, in the same order"
        return (), [Problem(str(path), what, remedy, row.row, "standard_names", text)]
    return names, []


def _contradictions(row: Row, path: Path) -> list[Problem]:
    """Combinations of words that no assay has."""
    problems = []
    if row.method == "sandwich_elisa" and row.signal == "percent_bound":
        remedy = "percent bound is of competitive assays: write raw"
        problems.append(Problem(str(path), "does not go with sandwich_elisa", remedy, row.row, "signal", row.signal))
    if row.unit == "pg/mg" and row.method != "finished":
        remedy = "plates measure a concentration: write pg/mL, ng/mL, ug/dL or nmol/L"
        problems.append(Problem(str(path), "is no unit of a plate", remedy, row.row, "unit", row.unit))
    return problems


def read_ranges(path: str | None) -> pd.DataFrame:
    """Read the table of control ranges (workflow/schemas/cortisol_control_ranges.yaml); without rows where None.

    Raises `InputError` for unknown columns and for a range whose low is not below its high.
    """
    if path is None:
        return pd.DataFrame(columns=["kit", "lot", "control", "low", "high"])
    table, problems = read_sheet(Path(path), schemas.load("cortisol_control_ranges"))
    for row in table[table["low"] >= table["high"]].itertuples():
        problems.append(Problem(str(path), "is not below high", "correct the range", row.row, "low", row.low))
    raise_if_any(problems)
    return table


def ranges_of(plate: pd.Series, ranges: pd.DataFrame) -> pd.DataFrame:
    """Return the ranges that hold for a row of plates.tsv: of its kit, and of its lot or of every lot."""
    lot = getattr(plate, "lot", None)
    mine = ranges[ranges["kit"] == plate.kit]
    exact = mine[mine["lot"].notna() & (mine["lot"] == lot)]
    general = mine[mine["lot"].isna() & ~mine["control"].isin(exact["control"])]
    return pd.concat([exact, general]) if len(exact) else general
