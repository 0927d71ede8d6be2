"""The section on hair cortisol: curves and plate verdicts, controls, censored samples, what to run again."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from hpaxis.report.blocks import Figure, Heading, Notice, Paragraph, Section, Table
from hpaxis.report.numbers import bounded, count, fixed, plural, significant, words
from hpaxis.report.privacy import shown_ids

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.report.privacy import Cells
    from hpaxis.rows import Row

VERDICTS = ("pass", "warn", "fail")
SAID = {"pass": "passed", "warn": "passed with a warning", "fail": "failed"}
TITLE = "Hair cortisol"
# What the cortisol stage calls its checks, in words.
CHECKS = {
    "curve": "standard curve",
    "standard_recovery": "standards read back",
    "curve_identified": "parameters identified",
    "standard_order": "order of standards",
    "standard_replicates": "replicates of standards",
    "b0_wells": "B0 wells",
    "nsb_wells": "NSB wells",
    "nsb_share": "NSB share of B0",
    "control_recovery": "control recovery",
    "spike_recovery": "spike recovery",
    "parallelism": "parallelism",
    "position": "position on the plate",
    "lot_expiry": "lot within its expiry",
    "duplicate_cv": "CV of replicate wells",
    "inter_assay_cv": "inter-assay CV",
    "sample_on_no_plate": "sample on no plate",
}
# Checks whose subject may be a hair sample, which belongs to a person.
OF_SAMPLES = ("duplicate_cv", "spike_recovery", "parallelism", "sample_on_no_plate")
FIGURES = {
    "curves": (
        "Standard curve of each plate",
        "The fitted curve with its 95% band, standard wells, and hair samples where they fall on it.",
    ),
    "plates": (
        "Wells by their place on the plate",
        "How far each well lies from the mean of its replicates: a pattern means that position matters.",
    ),
    "controls": (
        "Controls over plates (Levey–Jennings)",
        "Each control on each plate, with its mean, its nominal value, and the limits by which each plate was judged: "
        "those of recovery until there are enough other plates, then 3 SD of these.",
    ),
}

SOURCES = {
    "curves": ("cortisol/curves.tsv", "cortisol/band.tsv"),
    "plates": ("cortisol/wells.tsv",),
    "controls": ("cortisol/controls.tsv",),
}


def cortisol_section(
    tables: Mapping[str, pd.DataFrame], figures: Mapping[str, str], library_ids: bool, cells: Cells
) -> Section:
    """Return the section on cortisol.

    ``tables`` maps curves, quality, controls, samples and rerun to the cortisol stage's tables; ``figures`` maps
    names to SVG text. Ids of hair samples are shown only where ``library_ids``;
    ``cells`` is `hpaxis.report.privacy.Cells`.
    """
    curves, samples = tables["curves"], tables["samples"]
    checks = check_table(tables["quality"], samples, set(tables["controls"]["control"]), library_ids, cells)
    # Concentrations that were finished elsewhere bring no plate, no curve and no control.
    of_plates = [
        Heading("plates", "Plates and their curves"),
        *_drawn(figures, curves, tables["controls"]),
        curve_table(curves),
        checks,
        control_table(tables["controls"]),
    ]
    if samples.empty:  # plates of saliva only
        verdicts = Paragraph(f"Of {plural(len(curves), 'plate')} of saliva, {_verdicts(curves)}.")
        return Section("cortisol", "Plates of saliva cortisol", (verdicts, *(b for b in of_plates if b is not None)))
    of_plates.append(Heading("hair", "Hair samples"))
    blocks = [
        _opening(curves, samples, cells),
        _no_value(samples),
        _failed_plates(samples, cells),
        *(of_plates if len(curves) else [checks if len(tables["quality"]) else None]),
        sample_table(samples, library_ids, cells),
        rerun_table(tables["rerun"], library_ids) if library_ids else _rerun_sentence(tables["rerun"], cells),
    ]
    return Section("cortisol", TITLE, tuple(b for b in blocks if b is not None))


def _opening(curves: pd.DataFrame, samples: pd.DataFrame, cells: Cells) -> Paragraph:
    said = _verdicts(curves)
    below, above = (int((samples["censored"] == side).sum()) for side in ("below", "above"))
    known = int(samples["cortisol_pg_per_mg"].notna().sum())
    text = (
        f"Of {plural(len(curves), 'plate')}, {said}. "
        if len(curves)
        else "Concentrations were finished elsewhere: no plate was evaluated here. "
    )
    limits = "the standards cover" if len(curves) else "the laboratory’s limits allow"
    if any(cells.small(n) for n in (below, above, len(samples) - known)):
        text += (
            f"There are {plural(len(samples), 'hair sample')}; {cells.people(below)} lie below and "
            f"{cells.people(above)} "
            f"above what {limits}."
        )
    else:
        text += (
            f"Of {plural(len(samples), 'hair sample')}, {count(known)} {'has' if known == 1 else 'have'} a "
            "concentration; "
            f"{count(below)} {'lies' if below == 1 else 'lie'} below and {count(above)} above what {limits}."
        )
    return Paragraph(
        f"{text} Those are censored, not extrapolated. Concentrations are in pg of cortisol per mg of hair."
    )


def _verdicts(curves: pd.DataFrame) -> str:
    """How many plates have which verdict, in words."""
    verdicts = curves["verdict"].value_counts()
    return words(f"{count(verdicts.get(v, 0))} {SAID[v]}" for v in VERDICTS)


def _rerun_sentence(rerun: pd.DataFrame, cells: Cells) -> Paragraph:
    own = rerun[rerun["role"] != "control"] if len(rerun) else rerun
    if rerun.empty:
        return Paragraph("Nothing needs to be run again.")
    controls = len(rerun) - len(own)
    also = f" and {plural(controls, 'control')}" if controls else ""
    few = cells.people(len(own))
    return Paragraph(
        f"To be run again: {few} {'measurement' if few == '1' else 'measurements'} of hair samples{also}. "
        "The bench’s page (bench.html, not for sharing) and cortisol/rerun.tsv have each with its wells."
    )


def _failed_plates(samples: pd.DataFrame, cells: Cells) -> Notice | None:
    """What became of the hair samples whose plate failed; None where there are none."""
    flagged = samples["flags"].fillna("").str.split(";").map(lambda names: "plate_failed" in names)
    if not flagged.any():
        return None
    used = flagged & samples["cortisol_pg_per_mg"].notna()
    said = [
        (flagged & ~used, "left out because the plate failed"),
        (used, "used although the plate failed, as cortisol.failed_plates asks"),
    ]
    parts = [f"{cells.people(int(which.sum()))} {what}" for which, what in said if which.any()]
    return Notice(f"Hair samples of failed plates: {'; '.join(parts)}.", "warning")


def _no_value(samples: pd.DataFrame) -> Notice | None:
    if samples["cortisol_pg_per_mg"].notna().any():
        return None
    return Notice("No hair sample has a concentration.", "warning")


def _drawn(figures: Mapping[str, str], curves: pd.DataFrame, controls: pd.DataFrame) -> list[Figure]:
    said = "; ".join(f"{row.plate_id}: {row.verdict}" for row in curves.itertuples())
    return [
        Figure(
            f"cortisol-{name}",
            title,
            f"{title}. {said}.",
            figures[name],
            note,
            name == "plates",
            (f"report/figures/cortisol/{name}.svg", *SOURCES[name]),
        )
        for name, (title, note) in FIGURES.items()
        if name in figures and (name != "controls" or len(controls))
    ]


def curve_table(curves: pd.DataFrame) -> Table:
    """Return the curve of each plate: model, fit, limits, and the plate's verdict."""
    rows = tuple(
        (
            row.plate_id,
            row.kit,
            f"{row.model}, weights {row.weights}",
            count(row.n_standards),
            f"{fixed(row.recovery_min_percent, 0)}–{fixed(row.recovery_max_percent, 0)}",
            bounded(row.r_squared, 4),
            significant(row.lod),
            significant(row.lloq),
            significant(row.uloq),
            row.unit,
            row.verdict,
        )
        for row in curves.itertuples()
    )
    columns = ("Plate", "Kit", "Curve", "Standards", "Read back (%)", "R²", "LOD", "LLOQ", "ULOQ", "Unit", "Verdict")
    return Table(
        "Standard curves",
        columns,
        rows,
        frozenset({"Kit", "Curve", "Unit", "Verdict"}),
        "Read back: range of what the standards give when read from their own curve. LOD = limit of detection; LLOQ, "
        "ULOQ = lowest and highest standard read back within 80–120%. The parameters and their errors are "
        "in cortisol/curves.tsv.",
        source=("cortisol/curves.tsv",),
        data=curves,
        key="curves",
    )


def check_table(
    quality: pd.DataFrame, samples: pd.DataFrame, controls: Set[str], library_ids: bool, cells: Cells
) -> Paragraph | Table:
    """Return every check that did not pass, with its reason and remedy; checks of hair samples are counted together.

    ``controls``: the names of controls, which belong to nobody.
    """
    flagged = quality[quality["verdict"] != "pass"]
    if flagged.empty:
        return Paragraph("Every check of every plate passed.")
    of_people = flagged["check"].isin(OF_SAMPLES) | flagged["subject"].isin(samples["hair_id"])
    personal = of_people & ~flagged["subject"].isin(controls) & (not library_ids)
    rows = [
        (row.plate_id, _check(row.check), row.verdict, _text(row.reason), _text(row.remedy))
        for row in flagged[~personal].itertuples()
    ]
    for (plate, check, verdict), group in flagged[personal].groupby(["plate_id", "check", "verdict"], sort=False):
        remedies = "; ".join(dict.fromkeys(_text(r) for r in group["remedy"]))
        rows.append((plate, _check(check), verdict, f"{_samples(len(group), cells)} flagged", remedies))
    return Table(
        "Checks of plates that did not pass",
        ("Plate", "Check", "Verdict", "Reason", "Remedy"),
        tuple(sorted(rows, key=lambda row: (row[0], row[2]))),
        frozenset({"Check", "Verdict", "Reason", "Remedy"}),
        source=("cortisol/quality.tsv",),
        key="plate-checks",
    )


def control_table(controls: pd.DataFrame) -> Notice | Table:
    """Return each control on each plate, followed over the plates."""
    if controls.empty:
        return Notice("No plate has a control.", "warning")
    rows = tuple(
        (
            row.control,
            row.plate_id,
            significant(row.nominal),
            significant(row.concentration),
            fixed(row.cv_percent, 1),
            fixed(row.recovery_percent, 0),
            fixed(row.z),
            row.verdict,
            _text(row.reason),
        )
        for row in controls.itertuples()
    )
    return Table(
        "Controls over plates",
        ("Control", "Plate", "Nominal", "Found", "CV (%)", "Recovery (%)", "z", "Verdict", "Reason"),
        rows,
        frozenset({"Plate", "Verdict", "Reason"}),
        "In the kit’s unit. z compares a control with the other plates, where there are enough.",
        source=("cortisol/controls.tsv",),
        data=controls,
        key="plate-controls",
    )


def sample_table(samples: pd.DataFrame, library_ids: bool, cells: Cells) -> Paragraph | Table:
    """Return the hair samples, each by its id where allowed, else what flags they carry and how often."""
    if library_ids:
        rows = tuple(
            (row.hair_id, _value(row), fixed(row.cv_percent, 1), row.censored, _text(row.flags))
            for row in samples.sort_values("hair_id").itertuples()
        )
        return Table(
            "Every hair sample",
            ("Sample", "Cortisol (pg/mg) [95% CI]", "CV (%)", "Censored", "Flags"),
            rows,
            frozenset({"Censored", "Flags"}),
            folded=True,
            source=("cortisol/samples.tsv",),
        )
    flags = samples["flags"].dropna().str.split(";").explode()
    flags = flags[flags != ""].value_counts(sort=False).sort_index()
    if flags.empty:
        return Paragraph("No hair sample carries a flag.")
    return Table(
        "Flags of hair samples",
        ("Flag", "Samples"),
        tuple((str(flag).replace("_", " "), cells.people(n)) for flag, n in flags.items()),
        note=f"{plural(len(samples), 'sample')} in all; one may carry several flags, and keeps its value with them.",
        source=("cortisol/samples.tsv",),
    )


def rerun_table(rerun: pd.DataFrame, library_ids: bool) -> Paragraph | Table:
    """Return what the bench should run again: plate and wells, and the sample’s id where allowed."""
    if rerun.empty:
        return Paragraph("Nothing needs to be run again.")
    rerun = rerun.sort_values(["plate_id", "wells"])
    personal = (rerun["role"] != "control").to_numpy()
    names = rerun["sample"].to_numpy(dtype=object).copy()
    names[personal] = shown_ids(names[personal], "Sample", library_ids)
    rows = tuple(
        (name, row.plate_id, _text(row.wells).replace(";", ", "), row.reason, row.action)
        for name, row in zip(names, rerun.itertuples(), strict=True)
    )
    return Table(
        "To run again",
        ("Sample", "Plate", "Wells", "Reason", "Action"),
        rows,
        frozenset({"Plate", "Wells", "Reason", "Action"}),
        "Ready for the bench in cortisol/rerun.tsv.",
        source=("cortisol/rerun.tsv",),
    )


def _value(row: Row) -> str:
    if row.censored in ("below", "above"):
        return f"{'<' if row.censored == 'below' else '>'} {significant(row.limit_pg_per_mg)}"
    if row.cortisol_pg_per_mg != row.cortisol_pg_per_mg:
        return "–"
    return f"{significant(row.cortisol_pg_per_mg)} [{significant(row.cortisol_low)}, {significant(row.cortisol_high)}]"


def _check(name: str) -> str:
    return CHECKS.get(name, str(name).replace("_", " "))


def _text(value: object) -> str:
    return "–" if value is None or value != value or value == "" else str(value)


def _samples(n: int, cells: Cells) -> str:
    return plural(n, "hair sample") if not cells.small(n) else f"{cells.people(n)} hair samples"
