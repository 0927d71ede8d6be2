"""The dossier of an assay's validation: curves, limits, precision, parallelism, recovery, position, control charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hpaxis.report.blocks import Figure, Heading, Notice, Paragraph, Section, Table
from hpaxis.report.cortisol import FIGURES, SAID, VERDICTS, check_table, control_table, curve_table
from hpaxis.report.numbers import count, fixed, plural, significant, words
from hpaxis.report.page import render
from hpaxis.report.privacy import Cells
from hpaxis.report.provenance import versions

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.report.blocks import Block
    from hpaxis.settings import Config, CortisolSettings

FOLDER = "validation"


def validation_page(config: Config, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, str]) -> str:
    """Return the page as text.

    ``config`` has its defaults filled; ``tables`` maps the names of `hpaxis.cortisol.validation.validate` to its
    tables; ``figures`` maps curves, plates and controls to SVG text.
    """
    curves = tables["curves"]
    sections = [
        Section("cortisol", "Plates and their curves", tuple(_plates(tables, figures))),
        Section("limits-of-the-assay", "Standards and limits",
                (standards(tables["standards"]), limits(tables["limits"]))),
        Section("precision", "Precision", tuple(_precision(tables["precision"], config.cortisol))),
        Section("trueness", "Parallelism and recovery", tuple(_trueness(tables))),
        Section("position", "Position on the plate", (position(tables["position"]),)),
        Section("controls", "Controls over plates", tuple(_controls(tables, figures))),
        Section("made", "Methods and versions", tuple(_made(curves, config))),
    ]  # fmt: skip
    return render(
        config.study.title, None, tuple(_opening(tables)), sections, heading="At a glance",
        maker="hpaxis: validation of an assay",
    )  # fmt: skip


def _opening(tables: Mapping[str, pd.DataFrame]) -> Iterator[Notice | Paragraph]:
    curves, precision = tables["curves"], tables["precision"]
    verdicts = curves["verdict"].value_counts()
    said = words(f"{count(verdicts.get(v, 0))} {SAID[v]}" for v in VERDICTS)
    yield Paragraph(
        f"{plural(len(curves), 'plate')} of {plural(curves['kit'].nunique(), 'kit')} in "
        f"{plural(curves['run'].nunique(), 'run')}: {said}.",
        lead=True,
    )
    for row in precision[precision["role"] != "sample"].itertuples():
        inter = f"{fixed(row.inter_cv_percent, 1)}%" if row.inter_cv_percent == row.inter_cv_percent else "not known"
        yield Paragraph(
            f"{row.role.capitalize()} {row.sample} ({significant(row.mean)} {row.unit}): intra-assay CV "
            f"{fixed(row.intra_cv_percent, 1)}%, inter-assay CV {inter}."
        )
    if curves["run"].nunique() < 2:
        yield Notice("All plates are of one run: what runs differ by is not known.", "warning")


def _plates(tables: Mapping[str, pd.DataFrame], figures: Mapping[str, str]) -> Iterator[Block]:
    curves = tables["curves"]
    yield _figure("curves", figures, curves)
    yield curve_table(curves)
    yield check_table(tables["quality"], tables["rerun"].rename(columns={"sample": "hair_id"}),
                      set(tables["controls"]["control"]), True, Cells(0))  # fmt: skip
    yield _figure("plates", figures, curves)


def _figure(name: str, figures: Mapping[str, str], curves: pd.DataFrame) -> Figure:
    title, note = FIGURES[name]
    said = "; ".join(f"{row.plate_id}: {row.verdict}" for row in curves.itertuples())
    return Figure(
        f"validation-{name}", title, f"{title}. {said}.", figures[name], note.replace("hair samples", "samples"),
        source=(f"report/figures/validation/{name}.svg",),
    )  # fmt: skip


def standards(table: pd.DataFrame) -> Table:
    """Return each standard over the plates."""
    rows = tuple(
        (significant(r.nominal), r.kit, r.unit, count(r.n_plates), count(r.n_wells), fixed(r.recovery_percent, 1),
         f"{fixed(r.recovery_min_percent, 0)}–{fixed(r.recovery_max_percent, 0)}", fixed(r.intra_cv_percent, 1),
         fixed(r.inter_cv_percent, 1))
        for r in table.itertuples()
    )  # fmt: skip
    return Table(
        "Standards read back", ("Nominal", "Kit", "Unit", "Plates", "Wells", "Mean recovery (%)", "Range (%)",
                                "CV on a plate (%)", "CV over plates (%)"),
        rows, frozenset({"Kit", "Unit"}),
        "Each standard read from its own plate's curve. CV on a plate: of its wells, root mean square over plates.",
        source=(f"{FOLDER}/standards.tsv",), data=table, key="standards",
    )  # fmt: skip


def limits(table: pd.DataFrame) -> Table:
    """Return LOD, LLOQ and ULOQ over the plates."""
    rows = tuple(
        (r.limit.upper(), r.kit, r.unit, count(r.n_plates), significant(r.lowest), significant(r.median),
         significant(r.highest))
        for r in table.itertuples()
    )  # fmt: skip
    return Table(
        "Limits of detection and quantification", ("Limit", "Kit", "Unit", "Plates", "Lowest", "Median", "Highest"),
        rows, frozenset({"Kit", "Unit"}),
        "LOD: 3 SD from B0, with the SD of all replicates of a plate. LLOQ and ULOQ: lowest and highest standard, not "
        "below the LOD, that reads back within 80–120% with a CV of at most cortisol.lloq_cv_max_percent. For a "
        "validated range, the highest LLOQ and the lowest ULOQ of the plates are the safe ends.",
        source=(f"{FOLDER}/limits.tsv", f"{FOLDER}/curves.tsv"), data=table, key="limits",
    )  # fmt: skip


def _precision(table: pd.DataFrame, settings: CortisolSettings) -> Iterator[Notice | Table]:
    if table.empty:
        yield Notice(
            "No control, pool or sample was measured in replicate: nothing is known of the precision.", "warning"
        )
        return
    rows = tuple(
        (f"{r.role} {r.sample}" if isinstance(r.sample, str) else "samples' replicates", r.kit, count(r.n_runs),
         count(r.n_plates), count(r.n_wells), significant(r.mean), _with(r.intra_cv_percent, r.intra_low, r.intra_high),
         fixed(r.plate_cv_percent, 1), fixed(r.run_cv_percent, 1),
         _with(r.inter_cv_percent, r.inter_low, r.inter_high), fixed(r.total_cv_percent, 1),
         r.note if isinstance(r.note, str) else "–")
        for r in table.itertuples()
    )  # fmt: skip
    yield Table(
        "Precision by level", ("What", "Kit", "Runs", "Plates", "Wells", "Mean", "Intra-assay CV (%) [95% CI]",
                               "Plate in run (%)", "Run (%)", "Inter-assay CV (%) [95% CI]", "Total (%)", "Note"),
        rows, frozenset({"Kit", "Note"}),
        "Components of variance of single wells, by nested analysis of variance: wells on a plate (intra-assay), "
        "plates in a run, runs; inter-assay is plates and runs together, total is all of them. Where a run is one "
        "plate, the two are one level, in the column of the plate.",
        source=(f"{FOLDER}/precision.tsv",), data=table, key="precision-table",
    )  # fmt: skip
    limit = settings.inter_assay_cv_max_percent
    high = table[table["inter_cv_percent"] > limit]
    if len(high):
        named = words(f"{r.role} {r.sample}" for r in high.itertuples())
        yield Notice(f"Inter-assay CV above {limit:g}%: {named}.", "warning")


def _with(value: float, low: float, high: float) -> str:
    if value != value:
        return "–"
    return f"{fixed(value, 1)} [{fixed(low, 1)}, {fixed(high, 1)}]" if low == low else fixed(value, 1)


def _trueness(tables: Mapping[str, pd.DataFrame]) -> Iterator[Paragraph | Table]:
    table = tables["parallelism"]
    if table.empty:
        yield Paragraph("No sample, pool or control was measured in two dilutions: parallelism is not judged.")
    else:
        yield Table(
            "Parallelism", ("Sample", "Plate", "Dilutions", "CV (%)", "Change per doubling (%)", "p", "Verdict"),
            tuple((f"{r.role} {r.sample}", r.plate_id, r.dilutions.replace(";", ", "), fixed(r.cv_percent, 1),
                   fixed(r.change_percent_per_doubling, 1), significant(r.p), r.verdict) for r in table.itertuples()),
            frozenset({"Plate", "Dilutions", "Verdict"}),
            "Concentrations of one sample, each times its dilution. p: whether they differ beyond the error of curve "
            "and wells.",
            source=(f"{FOLDER}/parallelism.tsv",), data=table, key="parallelism",
        )  # fmt: skip
    table = tables["recovery"]
    if table.empty:
        yield Paragraph("There is no control with a nominal value and no spiked well: recovery is not judged.")
        return
    yield Table(
        "Recovery", ("Sample", "What", "Plate", "Recovery (%)", "Concentration", "Verdict", "Reason"),
        tuple((r.sample, r.what, r.plate_id, fixed(r.recovery_percent, 0),
               f"{significant(r.concentration)} {r.unit}" if r.concentration == r.concentration else "–", r.verdict,
               r.reason if isinstance(r.reason, str) else "–") for r in table.itertuples()),
        frozenset({"What", "Plate", "Verdict", "Reason"}),
        "Of a control: found by nominal. Of a spike: (with − without) by added. Of an extraction blank, which should "
        "hold nothing: its concentration.",
        source=(f"{FOLDER}/recovery.tsv",), data=table, key="recovery",
    )  # fmt: skip


def position(table: pd.DataFrame) -> Paragraph | Table:
    """Return the effects of edge, rows and columns on each plate."""
    if table.empty:
        return Paragraph("No plate has enough replicates in different places to show an effect of position.")
    rows = tuple(
        (r.plate_id, r.subject, fixed(r.value, 1), fixed(r.limit, 1), r.verdict,
         r.reason if isinstance(r.reason, str) else "–")
        for r in table.itertuples()
    )  # fmt: skip
    return Table(
        "Effects of position", ("Plate", "Over", "Effect (%)", "Limit (%)", "Verdict", "Reason"), rows,
        frozenset({"Over", "Verdict", "Reason"}),
        "Edge against inside, first against last row, first against last column, from replicates of one content in "
        "different places.",
        source=(f"{FOLDER}/position.tsv",), data=table, key="positions",
    )  # fmt: skip


def _controls(tables: Mapping[str, pd.DataFrame], figures: Mapping[str, str]) -> Iterator[Block]:
    if len(tables["controls"]):
        yield _figure("controls", figures, tables["curves"])
    yield control_table(tables["controls"])


def _made(curves: pd.DataFrame, config: Config) -> Iterator[Block]:
    kits = "; ".join(
        f"{r.kit}: {r.model}, weights {r.weights}, {r.signal.replace('_', ' ')}, zero in fit: {r.zero_in_fit}"
        for r in curves.drop_duplicates("kit").itertuples()
    )
    yield Paragraph(f"Curves by kit: {kits}.")
    settings = config.cortisol
    yield Paragraph(
        f"Limits: recovery {settings.recovery_low_percent:g}–{settings.recovery_high_percent:g}%, CV of "
        f"replicates {settings.duplicate_cv_warn_percent:g}% (warning) and "
        f"{settings.duplicate_cv_rerun_percent:g}% (repeat), inter-assay CV "
        f"{settings.inter_assay_cv_max_percent:g}%, dilutions {settings.parallelism_max_percent:g}%."
    )
    readers = "; ".join(f"{r.plate_id}: {r.reader}, {r.reading}" for r in curves.itertuples())
    yield Paragraph(f"Readings: {readers}.")
    yield Heading("versions", "Versions")
    yield Table("Software", ("Package", "Version"), tuple(tuple(map(str, row)) for row in versions()), folded=True)
