"""The bench's page: every library and plate by its own id, what to repeat first, and plate maps. Not for sharing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis.report.blocks import Heading, Notice, Paragraph, Section, Table
from hpaxis.report.cortisol import check_table, control_table, curve_table
from hpaxis.report.methylation import KINDS, reason_kind
from hpaxis.report.numbers import count, fixed, percent, plural, significant
from hpaxis.report.page import render
from hpaxis.report.privacy import Cells
from hpaxis.settings import Config

if TYPE_CHECKING:
    from hpaxis.report.blocks import Block

SIGNS = {"pass": "✓", "warn": "!", "fail": "✕"}
INSIDE = Cells(0)
# What the bench does about a reason, by what it is about; the first that fits.
ACTIONS = (
    ("conversion", "convert and amplify again from DNA; check the age of the bisulfite reagent"),
    ("depth", "sequence again, or amplify again with more input"),
    ("template", "amplify again with more input DNA"),
    ("contamination", "find the source on the plate map, then prepare again"),
    ("no-template", "find the source on the plate map, then prepare again"),
    ("same person", "check the labels of tube and well"),
    ("cycles", "sequence again; look at the quality by cycle in methylation_quality.html"),
    ("reads", "check loading and index, then sequence again"),
)
OTHERWISE = "look at the reason in methylation_quality.html, then prepare again"


@dataclass(frozen=True)
class Bench:
    """What the page is made of.

    ``config`` has its defaults filled; ``libraries`` is methylation/libraries.tsv (None without saliva); ``cortisol``
    maps curves, quality, controls, samples, rerun and wells to the cortisol stage's tables (None without hair).
    """

    config: Config
    libraries: pd.DataFrame | None
    cortisol: dict | None


def bench_page(bench: Bench) -> str:
    """Return the page as text."""
    config = bench.config
    sections = [Section("repeat", "What to repeat, in order", tuple(_repeat(bench)))]
    if bench.libraries is not None and len(bench.libraries):
        sections.append(Section("libraries", "Every library", (library_table(bench.libraries),)))
        maps = tuple(saliva_maps(bench.libraries))
        sections.append(Section("saliva-plates", "Saliva plates", maps or (Paragraph("The sheet names no plate."),)))
    if bench.cortisol is not None:
        sections.append(Section("hair-plates", "Hair plates", tuple(_hair(bench.cortisol))))
    notice = Notice("Not for sharing: this page names libraries, samples and wells, which belong to people.", "warning")
    return render(
        config.study.title, None, tuple(_opening(bench)), sections, (notice,), heading="At a glance",
        maker="hpaxis: the bench’s page",
    )  # fmt: skip


def _opening(bench: Bench) -> Iterator[Paragraph]:
    if bench.libraries is not None and len(bench.libraries):
        verdicts = bench.libraries["verdict"].value_counts()
        said = ", ".join(f"{SIGNS[v]} {count(verdicts.get(v, 0))} {v}" for v in SIGNS)
        yield Paragraph(f"{plural(len(bench.libraries), 'library', 'libraries')}: {said}.", lead=True)
    if bench.cortisol is not None and len(bench.cortisol["curves"]):
        verdicts = bench.cortisol["curves"]["verdict"].value_counts()
        said = ", ".join(f"{SIGNS[v]} {count(verdicts.get(v, 0))} {v}" for v in SIGNS)
        yield Paragraph(f"{plural(len(bench.cortisol['curves']), 'hair plate')}: {said}.", lead=True)


def _repeat(bench: Bench) -> Iterator[Paragraph | Table]:
    settings = bench.config.methylation
    limits = (f"{100 * settings.conversion_fail:g} %", f"{settings.depth_fail:g} ")
    table = repeat_rows(bench.libraries, None if bench.cortisol is None else bench.cortisol["rerun"], limits)
    if table.empty:
        yield Paragraph("Nothing needs to be repeated.")
        return
    rows = tuple(
        (count(i), r.what, r.id, r.plate, r.wells, r.verdict, r.first, r.others, r.action)
        for i, r in enumerate(table.itertuples(index=False), start=1)
    )
    yield Table(
        "To repeat",
        ("Order", "What", "Id", "Plate", "Wells", "Verdict", "First reason", "Other reasons", "Action"),
        rows,
        frozenset({"What", "Id", "Plate", "Wells", "Verdict", "First reason", "Other reasons", "Action"}),
        "Controls come before samples, since a failed control may explain them; what failed comes before what "
        "carries a "
        "warning. The first reason is the one that failed the library.",
        source=("methylation/libraries.tsv", "cortisol/rerun.tsv"),
        data=table,
        key="repeat-table",
    )


def repeat_rows(
    libraries: pd.DataFrame | None, rerun: pd.DataFrame | None, limits: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return what to repeat, in order: what, id, plate, wells, verdict, first, others, action.

    Libraries that failed, controls first, then measurements of hair; a library that only carries a warning is listed
    after those. ``limits``: (conversion, depth) below which a library fails, so that the reason that failed it stands
    first.
    """
    rows = []
    if libraries is not None:
        for r in libraries[libraries["verdict"].isin(["fail", "warn"])].itertuples():
            reasons = sorted(_split(r.reasons), key=lambda reason: _weight(reason, limits))
            first = reasons[0] if reasons else "–"
            rank = (r.verdict != "fail", r.kind == "study", str(r.library_id))
            what = f"library ({KINDS.get(r.kind, r.kind).lower()})"
            place = (_text(r.plate), _text(r.well))
            others = "; ".join(reasons[1:]) or "–"
            rows.append((rank, what, r.library_id, *place, r.verdict, first, others, action_for(first)))
    if rerun is not None:
        for r in rerun.itertuples():
            rank = (False, r.role != "control", f"~{r.sample}")
            rows.append((rank, "control (hair plate)" if r.role == "control" else "hair sample", r.sample, r.plate_id,
                         _text(r.wells).replace(";", ", "), "fail" if r.role == "control" else "warn", r.reason, "–",
                         r.action))  # fmt: skip
    rows.sort(key=lambda row: row[0])
    columns = ["what", "id", "plate", "wells", "verdict", "first", "others", "action"]
    return pd.DataFrame([row[1:] for row in rows], columns=columns)


def _weight(reason: str, limits: tuple[str, ...]) -> int:
    """0 for a reason that fails a library, 2 for a target that was missed, 1 for what is between."""
    if "(target)" in reason:
        return 2
    return 0 if any(f"below {limit}" in reason for limit in limits) else 1


def action_for(reason: str) -> str:
    """Return what the bench does about a reason."""
    about = f"{reason_kind(reason)} {reason}".lower()
    return next((action for word, action in ACTIONS if word in about), OTHERWISE)


def library_table(libraries: pd.DataFrame) -> Table:
    """Return every library by its id: what was counted at each step, and the verdict."""
    steps = [c for c in ("pairs_in", "on_target", "merged", "passed") if c in libraries and libraries[c].notna().any()]
    names = {"pairs_in": "Read pairs", "on_target": "On target", "merged": "Merged", "passed": "Passed"}
    rows = tuple(
        (
            r["library_id"], KINDS.get(r["kind"], r["kind"]), _text(r["plate"]), _text(r["well"]),
            *(count(r[c]) for c in steps), percent(1 - r["non_conversion"]), count(r["median_depth"]),
            count(r["effective_depth"]), percent(r["region_mean_beta"]), r["verdict"],
            "; ".join(_split(r["reasons"])) or "–",
        )
        for r in libraries.sort_values(["plate", "library_id"]).to_dict("records")
    )  # fmt: skip
    return Table(
        "Every library",
        ("Library", "Kind", "Plate", "Well", *(names[c] for c in steps), "Conversion", "Depth", "Effective depth",
         "Region mean", "Verdict", "Reasons"),
        rows,
        frozenset({"Kind", "Plate", "Well", "Verdict", "Reasons"}),
        "Depth: molecules per CpG, median. Effective depth: the molecules that the interval of a level corresponds to, "
        "once copies of one template are counted once.",
        source=("methylation/libraries.tsv",),
        key="all-libraries",
    )  # fmt: skip


def saliva_maps(libraries: pd.DataFrame) -> Iterator[Table]:
    """Yield a map of each plate of libraries: the sign of the verdict and the id in each well."""
    placed = libraries[libraries["plate"].notna() & libraries["well"].notna()]
    for plate, here in placed.groupby("plate"):
        wells = {_place(r.well): f"{SIGNS.get(r.verdict, '')} {r.library_id}" for r in here.itertuples()}
        yield _map(f"Plate {plate}", wells, "✓ passed, ! warning, ✕ failed.", "methylation/libraries.tsv")


def _hair(tables: Mapping[str, pd.DataFrame]) -> Iterator[Block]:
    curves, samples = tables["curves"], tables["samples"]
    if len(curves):
        n = len(curves)
        reach = (n - 1) / math.sqrt(n)
        if reach < 2:
            yield Notice(
                f"With {plural(n, 'plate')} no control can lie 2 SD from the mean of its plates (the largest "
                "possible is "
                f"{fixed(reach)} SD), so these limits cannot warn yet: judge controls by their nominal value."
            )
        yield curve_table(curves)
        yield control_table(tables["controls"])
        yield check_table(tables["quality"], samples, set(tables["controls"]["control"]), True, INSIDE)
    wells = tables.get("wells")
    if wells is None or wells.empty:
        return
    yield Heading("hair-maps", "Maps of the hair plates")
    names = [c for c in ("sample", "name", "role") if c in wells]
    for plate, here in wells.groupby("plate_id"):
        cells = {}
        for r in here.to_dict("records"):
            label = next((str(r[c]) for c in names if isinstance(r.get(c), str) and r[c]), "")
            value = next((r[c] for c in ("signal", "absorbance", "value") if c in r and r[c] == r[c]), None)
            cells[_place(r["well"])] = f"{label}{'' if value is None else f' {significant(value)}'}"
        yield _map(f"Plate {plate}", cells, "What each well holds, with its signal.", "cortisol/wells.tsv")


def _map(title: str, wells: Mapping[tuple[str, int], str], note: str, source: str) -> Table:
    letters = sorted({row for row, _ in wells}) or ["A"]
    rows = [chr(c) for c in range(ord("A"), max(ord("H"), ord(letters[-1])) + 1)]
    columns = range(1, max(12, *(column for _, column in wells), 12) + 1)
    return Table(
        title,
        ("Row", *map(str, columns)),
        tuple((row, *(wells.get((row, column), "") for column in columns)) for row in rows),
        frozenset(map(str, columns)),
        note,
        source=(source,),
    )


def _place(well: str) -> tuple[str, int]:
    """Row and column of a well: ``A01`` is (A, 1)."""
    found = re.fullmatch(r"([A-Za-z])0*(\d+)", str(well))
    return (found[1].upper(), int(found[2])) if found else ("A", 0)


def _split(text: object) -> list[str]:
    return [part.strip() for part in str(text).split(";") if part.strip()] if isinstance(text, str) else []


def _text(value: object) -> str:
    return "–" if value is None or value != value or value in ("", "NA") else str(value)
