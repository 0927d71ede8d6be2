"""What hair.tsv, plates.tsv and the files of plates say, before anything runs: all problems at once, none raised.

Does a plate's reader file agree with its layout, its kit and the hair sheet?
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis.cortisol.finished import UNUSUAL_REMEDY, outside_usual, read_finished
from hpaxis.cortisol.inputs import extracts, read_plate, unknown_hair
from hpaxis.cortisol.kits import Kit, kit_named, read_kits
from hpaxis.problems import InputError, Problem, closest
from hpaxis.rows import Row, rows_of
from hpaxis.settings import CortisolSettings

if TYPE_CHECKING:
    from hpaxis.study.checked import Elsewhere
    from hpaxis.study.study import Study

# Hair grows about 1 cm in a month. A segment stands for a time, so that none is longer than a year; and what is ten
# times as long as the others (a fifth less, for ends that are rounded) is in mm.
LONGEST_CM, TENFOLD = 12.0, 8.0
# What readers' own layouts call the wells whose role can be told from the name.


def check_sheets(study: Study) -> list[Problem]:
    """Return the problems of hair.tsv, saliva_cortisol.tsv and plates.tsv, alone and against the other sheets."""
    return [*_check_hair(study), *_check_saliva(study), *_check_plates(study)]


def _check_saliva(study: Study) -> list[Problem]:
    path, table = study.config.sheets.saliva_cortisol, study.saliva_cortisol
    people, hair = set(study.participants["participant_id"]), set(study.hair["hair_id"].dropna())
    problems, seen = [], {}
    minutes = table["minutes"].dropna()
    if len(minutes) and 0 < minutes.max() <= 24 and (minutes % 1 > 0).any():
        what = f"lies between {minutes.min():g} and {minutes.max():g}, with fractions"
        problems.append(Problem(path, what, "give minutes; these are probably hours", None, "minutes"))
    for row in rows_of(table):
        if pd.notna(row.participant_id) and row.participant_id not in people:
            remedy = f"add the participant or correct the id{closest(row.participant_id, people)}"
            problems.append(
                Problem(path, "is not in participants.tsv", remedy, row.row, "participant_id", row.participant_id)
            )
        if row.saliva_id in hair:
            remedy = "give the tube an id of its own: layouts name both"
            problems.append(Problem(path, "is a hair sample's id too", remedy, row.row, "saliva_id", row.saliva_id))
        key = (row.participant_id, row.timepoint, row.day, row.minutes)
        if key in seen:
            what = f"is the time of row {seen[key]} already, of the same participant, timepoint and day"
            remedy = "correct minutes or day; a tube that was measured twice is one row"
            problems.append(Problem(path, what, remedy, row.row, "minutes", f"{row.minutes:g}"))
        seen.setdefault(key, row.row)
        number = pd.to_numeric(str(row.cortisol_nmol_per_l or "x").strip("<> "), errors="coerce")
        if number <= 0 or (number > 2000 and "<" not in str(row.cortisol_nmol_per_l)):
            remedy = "write <limit below the limit" if number <= 0 else "give nmol/L; saliva holds well below 2000"
            what = "is not above zero" if number <= 0 else "is no concentration of saliva in nmol/L"
            problems.append(Problem(path, what, remedy, row.row, "cortisol_nmol_per_l", row.cortisol_nmol_per_l))
        if row.day % 1:
            problems.append(Problem(path, "is no whole number", "number the days 1, 2, ...", row.row, "day", row.day))
    return problems


def _check_hair(study: Study) -> list[Problem]:
    path, table = study.config.sheets.hair, study.hair
    people = set(study.participants["participant_id"])
    problems = []
    for row in rows_of(table):
        if pd.notna(row.participant_id) and row.participant_id not in people:
            remedy = f"add the participant or correct the id{closest(row.participant_id, people)}"
            problems.append(
                Problem(path, "is not in participants.tsv", remedy, row.row, "participant_id", row.participant_id)
            )
        if row.methanol_recovered_ml > row.methanol_added_ml:
            what = f"is more than the {row.methanol_added_ml:g} mL added"
            remedy = "correct methanol_added_ml or methanol_recovered_ml"
            problems.append(Problem(path, what, remedy, row.row, "methanol_recovered_ml", row.methanol_recovered_ml))
        if row.segment_to_cm <= row.segment_from_cm:
            remedy = "give the segment from the scalp outwards"
            problems.append(
                Problem(path, "is not beyond segment_from_cm", remedy, row.row, "segment_to_cm", row.segment_to_cm)
            )
    return problems + _long_segments(path, table)


def _long_segments(path: str, table: pd.DataFrame) -> list[Problem]:
    """Segments longer than a year of hair (`LONGEST_CM`), or ten times as long as the study's usual one."""
    length = table["segment_to_cm"] - table["segment_from_cm"]
    usual = length[length > 0].median()
    problems = []
    for row, cm in zip(table.itertuples(), length, strict=True):
        if cm > LONGEST_CM or cm > TENFOLD * usual:
            others = "" if cm > LONGEST_CM else f", ten times the usual {usual:g} cm"
            what = f"makes a segment of {cm:g} cm{others}"
            remedy = "give cm from the scalp (this is probably in mm), or divide the segment"
            problems.append(Problem(path, what, remedy, row.row, "segment_to_cm", row.segment_to_cm))
    return problems


def _check_plates(study: Study) -> list[Problem]:
    sheets, problems = study.config.sheets, []
    series = sheets["saliva_cortisol"] is not None
    alone = sheets["hair"] is None and (series or sheets["participants"] is None)
    if (sheets["hair"] is None) != (sheets["plates"] is None) and not alone:
        given, other = ("plates", "hair") if sheets["hair"] is None else ("hair", "plates")
        problems.append(
            Problem(
                str(sheets[given]),
                f"is given without {other}.tsv",
                f"give both, or neither: sheets.{other} in the config",
            )
        )
    try:
        kits = read_kits(study.config.cortisol.kits)
    except InputError as error:
        return [*problems, *error.problems]
    for row in rows_of(study.plates):
        for column in ("date", "expiry"):
            value = getattr(row, column)
            if isinstance(value, str) and not _is_day(value):
                problems.append(
                    Problem(sheets["plates"], "is no day of the calendar", "correct it", row.row, column, value)
                )
        if pd.notna(row.kit) and row.kit not in kits:
            remedy = f"use a row of the kit table ({', '.join(sorted(kits))}) or add one{closest(row.kit, kits)}"
            problems.append(Problem(sheets["plates"], "is not a known kit", remedy, row.row, "kit", row.kit))
    return problems


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def check_files(study: Study, elsewhere: Elsewhere, checked: object = None) -> list[Problem]:
    """Return the problems of the files that plates.tsv names: missing, damaged, or at odds with layout, kit and hair.

    ``elsewhere``: the `Elsewhere` of files that are not asked for; ``checked`` is not used, these files are small.
    """
    unknown_kits, problems = {p.row for p in _check_plates(study)}, []
    known = None if study.laboratory else extracts(study.hair, study.saliva_cortisol)
    try:
        kits = read_kits(study.config.cortisol.kits)
    except InputError:
        kits = None  # said already; each plate is then left out
    for row in rows_of(study.plates):
        names = [n for n in (row.reader_file, row.layout_file) if pd.notna(n) and not elsewhere.holds(n)]
        absent = [n for n in names if not os.path.isfile(n)]
        for name in absent:
            problems.append(
                Problem(
                    study.config.sheets.plates,
                    "does not exist",
                    "correct the path",
                    row.row,
                    value=name,
                )
            )
        if names and not absent and row.row not in unknown_kits:
            problems += check_plate(row, known, study.config.cortisol, kits)
    return problems


def check_plate(
    row: Row, hair: pd.DataFrame, settings: CortisolSettings, kits: Mapping[str, Kit] | None = None
) -> list[Problem]:
    """Return every problem of one row of plates.tsv that its files show.

    ``row``: has plate_id, kit, reader_file, layout_file and, where given, reader_plate, reading. ``hair``: DataFrame
    of `extracts`, or None for the validation of an assay, whose samples are names in layouts.
    ``kits``: those of the settings, where they were read already. Never raises for a fault of the inputs.
    """
    try:
        kit = kit_named(row.kit, settings.kits, kits)
        if kit.finished and hair is None:
            remedy = "an assay is validated by its plates: leave the row out"
            return [Problem("plates.tsv", "is a table of finished values", remedy, getattr(row, "row", None), "kit")]
        if kit.finished:
            hair = hair[hair["sheet"] == "hair.tsv"] if "sheet" in hair else hair
            table = read_finished(row.reader_file, kit, row.plate_id, hair, settings)
            found = outside_usual(table["cortisol_pg_per_mg"], settings)
            odd = [Problem(str(row.reader_file), found[0], UNUSUAL_REMEDY)] if found and found[1] else []
            return unknown_hair(table["hair_id"], hair, str(row.reader_file), "hair_id") + odd
        read_plate(row, hair, kit)
    except InputError as error:
        return error.problems
    return []
