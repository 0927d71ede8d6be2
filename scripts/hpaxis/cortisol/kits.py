"""Kits: what a manufacturer prescribes, one row a kit, so that a new kit is never a new script."""

from dataclasses import dataclass
from pathlib import Path

from hpaxis import schemas
from hpaxis.problems import Problem, closest, raise_if_any
from hpaxis.sheets import read_sheet
from hpaxis.shipped import KITS

# One of each unit, in pg/mL. 27.59 nmol/L is 1 ug/dL of cortisol.
PG_PER_ML = {"pg/mL": 1.0, "ng/mL": 1e3, "ug/dL": 1e4, "nmol/L": 1e4 / 27.59}


@dataclass(frozen=True)
class Kit:
    """A row of the kit table. ``standards``: nominal concentrations in ``unit``, from standard 1 on."""

    kit: str
    method: str
    unit: str
    standards: tuple
    signal: str
    model: str
    weights: str
    zero_in_fit: bool

    @property
    def finished(self):
        """Whether its tables hold finished concentrations, so that there is no plate to evaluate."""
        return self.method == "finished"


def read_kits(path=None):
    """Read a kit table (the shipped one by default) as a dict of `Kit`.

    Raises `InputError` for an unknown column or word, and for standards that are no list of numbers.
    """
    path = KITS if path is None else Path(path)
    table, problems = read_sheet(path, schemas.load("cortisol_kits"))
    kits = {}
    for row in table.itertuples():
        numbers, fault = _standards(row, path)
        problems += fault
        kits[row.kit] = Kit(
            row.kit, row.method, row.unit, numbers, row.signal, row.model, row.weights, row.zero_in_fit == "yes"
        )
    raise_if_any(problems)
    return kits


def kit_named(name, path=None, kits=None):
    """Return the kit of that name, or raise `InputError` that says which there are."""
    kits = read_kits(path) if kits is None else kits
    if name not in kits:
        remedy = (
            f"use a row of {path or 'resources/kits.tsv'} or add one: {', '.join(sorted(kits))}{closest(name, kits)}"
        )
        raise_if_any([Problem("plates.tsv", "is not a known kit", remedy, column="kit", value=name)])
    return kits[name]


def split_plates(plates, kits_path=None):
    """Return plate ids ``(measured, finished)``: those with a plate to evaluate, and tables of finished values."""
    kits = read_kits(kits_path)
    finished = [row.plate_id for row in plates.itertuples() if row.kit in kits and kits[row.kit].finished]
    return sorted(set(plates["plate_id"]) - set(finished)), sorted(finished)


def _standards(row, path):
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
