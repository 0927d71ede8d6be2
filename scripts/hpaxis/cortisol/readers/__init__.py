"""Plate-reader exports, recognised from their content.

Each format is a module with ``NAME``, ``SIGN`` (what gives it away), ``recognise(sheets)`` and
``parse(sheets, path)``; `read_reader_file` asks them in order. A new format is a new module in ``FORMATS``.
"""

import re
from dataclasses import replace

import numpy as np

from hpaxis.cortisol.readers import gen5, grid, magellan, mars, softmax
from hpaxis.cortisol.readers.cells import PlateRead, load_sheets
from hpaxis.names import harmless
from hpaxis.problems import InputError, Problem
from hpaxis.sheets import closest

FORMATS = (gen5, softmax, mars, magellan, grid)  # the plain grid last: others hold grids too
GENERIC_NAME = re.compile(r"^(plate|sheet|platte|blatt)?[ _#-]*\d*$", re.I)


def read_reader_file(path):
    """Read a plate reader's export: a list of `PlateRead`, one for each plate and reading in the file.

    Names of plates and readings are as in the file, but for characters that may not stand in a table (`names`).
    Raises `InputError` when the format is unknown (saying what was tried) or the file is damaged.
    """
    sheets = load_sheets(path)
    for module in FORMATS:
        if module.recognise(sheets):
            if reads := module.parse(sheets, str(path)):
                return [_named_harmlessly(read) for read in reads]
            what = f"looks like an export of {module.NAME}, but holds no values of wells"
            raise InputError(Problem(str(path), what, "export the plate again"))
    tried = ", ".join(f"{module.NAME} ({module.SIGN})" for module in FORMATS)
    remedy = "export the plate as one of these, or copy its values into a plain grid"
    raise InputError(Problem(str(path), f"is no export of {tried}", remedy))


def _named_harmlessly(read):
    return replace(read, plates=tuple(map(harmless, read.plates)), reading=harmless(read.reading))


def choose_read(reads, path, plate_id, plate=None, reading=None):
    """Choose the one reading of the one plate that a row of plates.tsv means.

    ``plate``: the plate's name in the file, where it is not ``plate_id`` or the only one. ``reading``: the name of
    the reading, where there are several; ``"450-650"`` subtracts the second of two readings from the first.
    Raises `InputError` that lists the choices when the row does not settle it.
    """
    wanted = plate or plate_id
    plates = list(dict.fromkeys(r.plates for r in reads))
    matching = [r for r in reads if wanted.lower() in (name.lower() for name in r.plates)]
    if not matching:
        shown = ", ".join(repr(" / ".join(names)) for names in plates)
        if len(plates) > 1 or plate:
            what, remedy = "is not a plate of this file", f"name one in the column reader_plate: {shown}"
            raise InputError(
                Problem(path, what, remedy + closest(wanted, [n for p in plates for n in p]), value=wanted)
            )
        if reads[0].reader in ("Gen5", "SoftMax Pro") and any(not GENERIC_NAME.match(n) for n in plates[0]):
            what = f"names its plate {shown}, not {plate_id}"
            raise InputError(Problem(path, what, "correct reader_file, or give that name in the column reader_plate"))
        matching = reads
    if len({r.plates for r in matching}) > 1:
        shown = ", ".join(" / ".join(r) for r in dict.fromkeys(m.plates for m in matching))
        raise InputError(Problem(path, f"names more than one plate {wanted}: {shown}", "export the plates one by one"))
    return _choose_reading(matching, path, reading)


def _choose_reading(reads, path, reading):
    names = [r.reading for r in reads]
    if reading is None:
        measured = [r for r in reads if not r.derived]
        if len(measured) == 1:
            return measured[0]
        what = f"has {len(measured)} readings of this plate"
        shown = ", ".join(repr(n) for n in [r.reading for r in measured][:12])
        raise InputError(Problem(path, what, f"name one in the column reading of plates.tsv: {shown}"))
    exact = [r for r in reads if r.reading.lower() == reading.lower()]
    if len(exact) == 1:
        return exact[0]
    if not exact and reading.count("-") == 1:
        parts = [[r for r in reads if r.reading.lower() == half.strip().lower()] for half in reading.split("-")]
        if all(len(p) == 1 for p in parts):
            return _difference(parts[0][0], parts[1][0], reading)
    what = "comes more than once in this file" if exact else "is not a reading of this plate"
    shown = ", ".join(repr(n) for n in names[:12])
    raise InputError(
        Problem(path, what, f"use one of {shown}{closest(reading, names)}", column="reading", value=reading)
    )


def _difference(first, second, name):
    """Subtract a reference wavelength, well by well; a well without both values has none."""
    wells = first.wells.merge(second.wells, on="well", suffixes=("", "_reference"))
    wells["value"] = wells["value"] - wells["value_reference"]
    lost = (wells["status"] == "ok") & (wells["status_reference"] != "ok")
    wells["status"] = np.where(lost, wells["status_reference"], wells["status"])
    return PlateRead(first.reader, first.plates, name, wells[["well", "value", "status"]], False, first.declared)
