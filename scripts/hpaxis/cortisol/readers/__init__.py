"""Plate-reader exports, recognised from their content.

Each format is a module with ``NAME``, ``SIGN`` (what gives it away), ``recognise(sheets)`` and
``parse(sheets, path)``; `read_reader_file` asks them in order. A new format is a new module in ``FORMATS``. Every
reading is (plate, wavelength, time, raw or derived), and its name is unique for its plate.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.cortisol.readers import envision, gen5, grid, magellan, mars, multiskan, skanit, softmax
from hpaxis.cortisol.readers.cells import PlateRead, load_sheets
from hpaxis.names import harmless
from hpaxis.problems import InputError, Problem, closest, raise_if_any

# The plain grid last: others hold grids too.
FORMATS = (gen5, softmax, mars, envision, skanit, multiskan, magellan, grid)
GENERIC_NAME = re.compile(r"^(plate|sheet|platte|blatt)?[ _#-]*\d*$", re.I)
SHOWN = 12  # readings that an error line lists


def read_reader_file(path: Path | str) -> list[PlateRead]:
    """Read a plate reader's export: a list of `PlateRead`, one for each plate and reading in the file.

    Names of plates and readings are as in the file, but for characters that may not stand in a table (`names`), and
    a number where a plate has two readings of one name. The same reading written twice is listed once.
    Raises `InputError` when the format is unknown (saying what was tried), the file is damaged, or none of its raw
    readings can be used.
    """
    sheets = load_sheets(path)
    for module in FORMATS:
        if module.recognise(sheets):
            if reads := module.parse(sheets, str(path)):
                reads = _unique([_named_harmlessly(read) for read in reads])
                raw = [r for r in reads if not r.derived]
                if raw and all(r.problems for r in raw):
                    raise_if_any(list(dict.fromkeys(p for r in raw for p in r.problems)))
                return reads
            what = f"looks like an export of {module.NAME}, but holds no values of wells"
            raise InputError(Problem(str(path), what, "export the plate again"))
    tried = ", ".join(module.NAME for module in FORMATS)
    remedy = "export the plate as one of these, or copy its values into a plain grid"
    raise InputError(Problem(str(path), f"is no export of {tried}", remedy))


def _named_harmlessly(read: PlateRead) -> PlateRead:
    return replace(read, plates=tuple(map(harmless, read.plates)), reading=harmless(read.reading))


def _unique(reads: Sequence[PlateRead]) -> list[PlateRead]:
    """Leave out a reading that comes again with the same values, and number others of one name."""
    kept: list = []
    for read in reads:
        same = [r for r in kept if r.plates == read.plates and r.reading.split(" #")[0] == read.reading]
        if any(r.derived == read.derived and _alike(r, read) for r in same):
            continue
        kept.append(replace(read, reading=f"{read.reading} #{len(same) + 1}") if same else read)
    return kept


def _alike(first: PlateRead, second: PlateRead) -> bool:
    wells = [r.wells.dropna(subset=["value"]).set_index("well")["value"] for r in (first, second)]
    return wells[0].equals(wells[1])


def choose_read(
    reads: Sequence[PlateRead], path: str, plate_id: str, plate: str | None = None, reading: str | None = None
) -> PlateRead:
    """Choose the one reading of the one plate that a row of plates.tsv means.

    ``plate``: the plate's name in the file, where it is not ``plate_id`` or the only one. ``reading``: the name of
    the reading, where there are several; ``"450-650"`` subtracts the second of two readings from the first.
    Raises `InputError` that lists the choices when the row does not settle it, and with the problems of the reading
    that was chosen.
    """
    wanted = plate or plate_id
    plates = list(dict.fromkeys(r.plates for r in reads))
    matching = [r for r in reads if wanted.lower() in (name.lower() for name in r.plates)]
    matching = matching or [r for r in reads if r.sheet and wanted.lower() == r.sheet.lower()]
    if not matching:
        shown = ", ".join(repr(" / ".join(names)) for names in plates if names)
        if plate and not shown:
            what = "names no plate, so that reader_plate cannot choose one"
            raise InputError(
                Problem(path, what, "leave the column reader_plate empty", column="reader_plate", value=plate)
            )
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
    chosen = _choose_reading(matching, path, reading)
    raise_if_any(list(chosen.problems))
    if chosen.averaged:
        what = f"has {chosen.reading!r}, a mean over replicate wells: their scatter is hidden, and so is the error"
        raise InputError(Problem(path, what, "export the raw data of the single wells", column="reading"))
    return chosen


def choices(reads: Sequence[PlateRead]) -> list[str]:
    """Return what the column ``reading`` may name for the readings of one plate: raw ones, differences, derived."""
    raw = [r for r in reads if not r.derived]
    single = [r for r in raw if r.wavelength and "-" not in r.wavelength and not r.time]
    pairs = [
        f"{a.reading}-{b.reading}" for a in single for b in single
        if a.wavelength < b.wavelength and "-" not in a.reading + b.reading
    ]  # fmt: skip
    return [r.reading for r in raw] + pairs + [r.reading for r in reads if r.derived and not r.averaged]


def reading_table(path: Path, plate_id: str = "", plate: str | None = None, reading: str | None = None) -> pd.DataFrame:
    """Return what a reader file holds: DataFrame, one row per reading.

    Columns: format, plate, reading, wavelength_nm, time, kind (raw, derived, average), wells (with a value),
    no_value (such as ``3 overflow``), chosen (yes for what a row of plates.tsv with these three cells would take),
    note. Raises `InputError` for a file that cannot be read.
    """
    reads = read_reader_file(path)
    try:
        chosen, refused = choose_read(reads, str(path), plate_id, plate, reading), ""
    except InputError as error:
        chosen, refused = None, str(error.problems[0]).removeprefix(f"{path}: ")
    rows = []
    for read in reads:
        words = read.wells.loc[read.wells["status"] != "ok", "status"].value_counts().sort_index()
        rows.append({
            "format": read.reader, "plate": " / ".join(read.plates), "reading": read.reading,
            "wavelength_nm": read.wavelength, "time": read.time, "kind": read.kind,
            "wells": int(read.wells["value"].notna().sum()),
            "no_value": ", ".join(f"{n} {word}" for word, n in words.items()),
            "chosen": "yes" if read is chosen else "",
            "note": str(read.problems[0]).removeprefix(f"{path}: ") if read.problems else "",
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table.attrs["chosen"] = chosen.reading if chosen is not None else ""
    table.attrs["refused"] = refused
    return table


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more (hpaxis readers FILE lists them)" if len(names) > SHOWN else ""
    return ", ".join(repr(n) for n in names[:SHOWN]) + more


def _choose_reading(reads: Sequence[PlateRead], path: str, reading: str | None) -> PlateRead:
    raw = [r for r in reads if not r.derived]
    if reading is None:
        if len(raw) == 1:
            return raw[0]
        if raw:
            what = f"has {len(raw)} readings of this plate"
            names = choices(raw)
        else:
            averages = [r for r in reads if r.averaged]
            if averages and len(averages) == len(reads):
                return averages[0]
            what = "has no raw reading of this plate, only values that the reader's software computed"
            names = choices(reads)
        raise InputError(Problem(path, what, f"name one in the column reading of plates.tsv: {_listed(names)}"))
    exact = [r for r in reads if r.reading.lower() == reading.lower()]
    if len(exact) == 1:
        return exact[0]
    for at in [i for i, c in enumerate(reading) if c == "-"]:
        parts = [
            [
                r
                for r in reads
                if half.strip().lower() in (r.reading.lower(), r.wavelength) and not (r.derived or r.time)
            ]
            for half in (reading[:at], reading[at + 1 :])
        ]
        if all(len(p) == 1 for p in parts):
            return _difference(parts[0][0], parts[1][0], reading)
    same = [r for r in raw if reading == r.wavelength and not r.time]
    if len(same) == 1:
        return same[0]
    remedy = f"use one of {_listed(choices(reads))}{closest(reading, [r.reading for r in reads])}"
    raise InputError(Problem(path, "is not a reading of this plate", remedy, column="reading", value=reading))


def _difference(first: PlateRead, second: PlateRead, name: str) -> PlateRead:
    """Subtract a reference wavelength, well by well; a well without both values has none."""
    wells = first.wells.merge(second.wells, on="well", suffixes=("", "_reference"))
    wells["value"] = wells["value"] - wells["value_reference"]
    lost = (wells["status"] == "ok") & (wells["status_reference"] != "ok")
    wells["status"] = np.where(lost, wells["status_reference"], wells["status"])
    return replace(
        first, reading=name, wells=wells[["well", "value", "status"]],
        wavelength=f"{first.wavelength}-{second.wavelength}", problems=(*first.problems, *second.problems),
    )  # fmt: skip
