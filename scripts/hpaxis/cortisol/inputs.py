"""What a plate's job reads: the reader's file, its layout and its kit, checked against each other and the sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hpaxis.cortisol.kits import Kit, kit_named
from hpaxis.cortisol.layout import read_layout
from hpaxis.cortisol.readers import choose_read, read_reader_file
from hpaxis.problems import InputError, Problem, closest, raise_if_any
from hpaxis.rows import Row, rows_of
from hpaxis.settings import CortisolSettings

if TYPE_CHECKING:
    from hpaxis.cortisol.readers.cells import PlateRead

DECLARED = {"standard": ("std", "standard", "cal"), "blank": ("blk", "blank"), "nsb": ("nsb",), "b0": ("b0", "zero")}


def extracts(hair: pd.DataFrame, saliva: pd.DataFrame) -> pd.DataFrame:
    """Return what layouts may name: hair.tsv's rows, then tubes of saliva under their id as ``hair_id``.

    ``finished``: the concentration of a tube stands in its sheet, so that it belongs on no plate; ``sheet``: its name.
    """
    tubes = saliva.rename(columns={"saliva_id": "hair_id"})[["hair_id", "dilution"]]
    tubes = tubes.assign(finished=saliva["cortisol_nmol_per_l"].notna(), sheet="saliva_cortisol.tsv")
    own = hair.assign(finished=False, sheet="hair.tsv")
    parts = [part for part in (own, tubes) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else own


def read_plate(row: Row, hair: pd.DataFrame, kit: Kit) -> tuple[PlateRead, pd.DataFrame]:
    """Read and cross-check the files of one row of plates.tsv: ``(PlateRead, layout)``.

    Raises `InputError` with the problems of both files and between them.
    """
    problems, read, layout = [], None, None
    layout_file = _given(row.layout_file)
    try:
        read = choose_read(
            read_reader_file(row.reader_file),
            str(row.reader_file),
            row.plate_id,
            plate=_given(getattr(row, "reader_plate", None)),
            reading=_given(getattr(row, "reading", None)),
        )
    except InputError as error:
        problems += error.problems
    if layout_file is None:
        remedy = f"kit {kit.kit} is measured on plates: give the layout"
        problems.append(Problem("plates.tsv", "is missing", remedy, getattr(row, "row", None), "layout_file"))
    else:
        try:
            layout = read_layout(layout_file, row.plate_id, kit)
            problems += check_layout(layout, hair, layout_file)
        except InputError as error:
            problems += error.problems
    if read is not None and layout is not None:
        problems += compare(read, layout, str(row.reader_file), str(layout_file), kit)
    raise_if_any(problems)
    return read, layout


def check_layout(layout: pd.DataFrame, hair: pd.DataFrame, path: str) -> list[Problem]:
    """Return the problems between a layout and hair.tsv: unknown samples, dilutions said twice."""
    standards = (layout["role"] == "standard").any()
    what, remedy = "has no standard wells", "give the standards their role and nominal"
    problems = [] if standards else [Problem(path, what, remedy)]
    if hair is None:
        return problems
    named = layout[layout["role"].isin(["sample", "spiked"])]
    problems += unknown_hair(named["sample"], hair, path, "sample")
    if "finished" in hair:
        done = set(hair.loc[hair["finished"], "hair_id"])
        problems += [
            Problem(path, "has its concentration in saliva_cortisol.tsv, and stands on a plate",
                    "keep one of the two", column="sample", value=sample)
            for sample in dict.fromkeys(named["sample"]) if sample in done
        ]  # fmt: skip
    sheet = dict(zip(hair["hair_id"], hair["dilution"], strict=True))
    sheets = dict(zip(hair["hair_id"], hair["sheet"], strict=True)) if "sheet" in hair else {}
    plain = layout[(layout["role"] == "sample") & layout["dilution"].notna()]
    dilutions: dict[str, set] = {}
    for sample, dilution in zip(plain["sample"], plain["dilution"], strict=True):
        dilutions.setdefault(sample, set()).add(dilution)
    for sample, said in sorted(dilutions.items()):
        if len(said) == 1 and sample in sheet and sheet[sample] not in (1.0, *said):
            what = f"has dilution {min(said):g} here and {sheet[sample]:g} in {sheets.get(sample, 'hair.tsv')}"
            remedy = "say the total dilution of the extract in one of them"
            problems.append(Problem(path, what, remedy, column="dilution", value=sample))
    return problems


def compare(read: PlateRead, layout: pd.DataFrame, path: str, layout_path: str, kit: Kit) -> list[Problem]:
    """Return the problems between a reading and the layout it is said to have."""
    values = read.wells.set_index("well")
    used = layout.loc[layout["mask"].isna(), "well"] if "mask" in layout else layout["well"]
    layout = layout[layout["well"].isin(used)].reset_index(drop=True)
    used = layout["well"]
    absent = [w for w in used if w not in values.index]
    if absent:
        what = f"has no well {', '.join(absent[:12])}{' ...' if len(absent) > 12 else ''}, which the layout uses"
        return [
            Problem(
                path, what, "the export is cut short or of another plate type: export it again, or correct the layout"
            )
        ]
    problems = [*_blank_lines(values, used, path), *_declared_otherwise(read, layout, path, layout_path)]
    problems += _signal_order(layout.assign(signal=values["value"].reindex(used).to_numpy()), path, kit)
    return problems


def load_inputs(row: Row, hair: pd.DataFrame, settings: CortisolSettings) -> tuple[Kit, PlateRead, pd.DataFrame]:
    """Return ``(kit, read, layout)`` of a row, or raise `InputError`; what the quantifying job starts from."""
    kit = kit_named(row.kit, settings.kits)
    return (kit, *read_plate(row, hair, kit))


def _given(value: str | None) -> str | None:
    return None if value is None or pd.isna(value) or value == "NA" else value


def unknown_hair(samples: pd.Series, hair: pd.DataFrame, path: str, column: str) -> list[Problem]:
    """Return the problems of samples that hair.tsv, or the sheet of tubes, does not have."""
    known = set(hair["hair_id"])
    sheets = " or ".join(dict.fromkeys(hair["sheet"])) if "sheet" in hair and len(hair) else "hair.tsv"
    return [
        Problem(
            path, f"is not in {sheets}", f"add the sample or correct the id{closest(s, known)}", column=column, value=s
        )
        for s in dict.fromkeys(samples)
        if s not in known
    ]


def _blank_lines(values: pd.DataFrame, used: pd.Series, path: str) -> list[Problem]:
    """A whole row or column without values where the layout expects some: the grid was shifted."""
    problems = []
    status = values["status"].to_dict()
    blank = {w for w in used if status[w] == "blank"}
    for what, key in (("row", lambda w: w[0]), ("column", lambda w: w[1:])):
        lines: dict[str, list[str]] = {}
        for well in used:
            lines.setdefault(key(well), []).append(well)
        for name, wells in sorted(lines.items()):
            if len(wells) >= 3 and blank.issuperset(wells):
                remedy = "the grid is shifted, or the layout is of another plate"
                problems.append(Problem(path, f"has no values in {what} {name}, which the layout uses", remedy))
    if not problems and len(blank) > len(used) / 2:
        what = f"has no value in {len(blank)} of the {len(used)} wells that the layout uses"
        problems.append(Problem(path, what, "correct the layout or the file"))
    return problems


def _declared_otherwise(read: PlateRead, layout: pd.DataFrame, path: str, layout_path: str) -> list[Problem]:
    """Wells that the reader's own file names differently."""
    if read.declared is None:
        return []
    merged = layout.merge(read.declared, on="well", how="inner")
    # The reader's file may use another unit: its standards must be the layout's times one factor.
    ratio = merged.loc[(merged["role"] == "standard") & (merged["concentration"] > 0), ["nominal", "concentration"]]
    factor = (ratio["nominal"] / ratio["concentration"]).median()
    different = []
    for row in rows_of(merged):
        said = _declared_role(row.name)
        zero = said == "standard" and row.role == "b0" and not row.concentration > 0
        if said is not None and said != row.role and not zero and not {said, row.role} <= {"blank", "nsb"}:
            different.append(f"{row.well} is {row.name} there and {row.role} here")
        elif said == "standard" and row.concentration > 0 and abs(row.nominal / row.concentration / factor - 1) > 0.01:
            different.append(f"{row.well} is {row.concentration:g} there and {row.nominal:g} here")
    if not different:
        return []
    shown = ", ".join(different[:3]) + (f" and {len(different) - 3} more" if len(different) > 3 else "")
    what = f"disagrees with the layout inside {path}: {shown}"
    return [Problem(layout_path, what, "correct the layout, or layout_file in plates.tsv")]


def _declared_role(name: str) -> str | None:
    """The role that a reader's own name for a well gives away, or None."""
    name = str(name).lower().replace("_", "").replace(" ", "")
    return next((role for role, starts in DECLARED.items() if name.startswith(starts)), None)


def _signal_order(wells: pd.DataFrame, path: str, kit: Kit) -> list[Problem]:
    """Standards that do not fall, or B0 that is not above NSB, mean a layout of another plate or a turned one."""
    standards = wells[(wells["role"] == "standard")].dropna(subset=["signal"])
    levels = standards.groupby("nominal")["signal"].mean()
    problems = []
    if len(levels) >= 4 and levels.nunique() > 1:
        rho = np.corrcoef(levels.index.to_series().rank(), levels.rank())[0, 1]
        if (-rho if kit.rising else rho) > -0.5:
            way = "rise" if kit.rising else "fall"
            what = f"does not {way} over the standards as the layout places them (rank correlation {rho:+.2f})"
            remedy = "the plate or the layout is turned, its rows are swapped, or it is another plate's"
            problems.append(Problem(path, what, remedy))
    b0, nsb = (wells.loc[wells["role"] == role, "signal"].mean() for role in ("b0", "nsb"))
    if kit.signal == "percent_bound" and np.isfinite(b0) and np.isfinite(nsb) and b0 <= nsb and not problems:
        what = f"has B0 ({b0:.4g}) not above NSB ({nsb:.4g}) as the layout places them"
        problems.append(Problem(path, what, "correct the layout"))
    return problems
