"""The page on the quality of the libraries: for whoever ran them, with all that was measured of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from hpaxis.labels import index_label
from hpaxis.methylation.counting.calls import FATES
from hpaxis.methylation.figures.multiqc import NAMES
from hpaxis.report.blocks import Figure, Notice, Paragraph, Section, Table
from hpaxis.report.methylation import (
    KINDS,
    concordance_blocks,
    control_table,
    conversion_figure,
    flagged_table,
    funnel_table,
    verdict_words,
)
from hpaxis.report.numbers import count, fixed, percent, plural, significant
from hpaxis.report.page import render
from hpaxis.report.privacy import Cells
from hpaxis.report.settings import gates
from hpaxis.settings import Config

CONTEXTS = (
    ("All outside CpGs", "non_cpg_unconverted", "non_cpg_converted"),
    ("CHG", "chg_unconverted", "chg_converted"),
    ("CHH", "chh_unconverted", "chh_converted"),
)

# This page stays in the laboratory: every count is shown.
INSIDE = Cells(0)


@dataclass(frozen=True)
class Quality:
    """What the page is made of.

    ``config`` has its defaults filled; ``sheet`` is the sheet of libraries; ``libraries``, ``limits``, ``crosstalk``,
    ``calibration``, ``read_level`` and ``concordance`` are the methylation stage's tables, ``reads`` and ``cycles`` the
    rows of all libraries' tables of these names; ``people`` maps participants to arms (participant_id, arm);
    ``figures`` maps names to SVG text.
    """

    config: Config
    sheet: pd.DataFrame
    libraries: pd.DataFrame
    limits: pd.DataFrame
    crosstalk: pd.DataFrame
    calibration: pd.DataFrame
    read_level: pd.DataFrame
    concordance: pd.DataFrame
    reads: pd.DataFrame
    cycles: pd.DataFrame
    people: pd.DataFrame
    figures: dict


def quality_page(quality: Quality) -> str:
    """Return the page as text."""
    config, libraries = quality.config, quality.libraries
    ids = config.report.library_ids
    sections = [
        *(_read_sections(quality) if len(quality.reads) else ()),
        Section("flagged", "Flagged libraries", (flagged_table(libraries, ids),)),
        Section("controls", "Controls, standards and limits", (
            control_table(libraries, quality.sheet),
            Figure(
                "calibration",
                "Standards of known percentage, and the calibration",
                "Observed less known methylation of each standard with its interval, and the chosen curve.",
                quality.figures["calibration"],
                "The mean over all CpGs, corrected for conversion, before calibration. The line is the curve that "
                "levels go through, flat at zero where no curve is better than none.",
            ),
            calibration_table(quality.calibration),
            limit_table(quality.limits),
            crosstalk_table(quality.crosstalk),
        )),
        Section("callers", "Agreement with a second caller", tuple(
            concordance_blocks(quality.concordance, libraries, quality.figures, ids),
        )),
        Section("plates", "Plates", (
            plate_table(libraries), plate_by_arm(libraries, quality.people, config.arms,
                                                 config.report.smallest_cell),
        )),
        Section("molecules", "Methylation on molecules", tuple(_molecule_blocks(quality))),
    ]  # fmt: skip
    return render(config.study.title, None, _opening(libraries), sections, (), heading="The libraries at a glance")


def _read_sections(quality: Quality) -> list[Section]:
    """Sections on what only reads and counts show."""
    libraries, reads = quality.libraries, quality.reads
    conversion = (
        conversion_figure(libraries, gates(quality.config.methylation), quality.figures, INSIDE),
        context_table(libraries, reads),
        error_paragraph(reads),
        failed_table(libraries),
    )
    return [
        Section("reads", "Where read pairs went", (funnel_table(libraries, INSIDE), fate_table(libraries, reads))),
        Section("conversion", "Conversion and depth", conversion),
        Section("cycles", "Bias by cycle", tuple(_cycle_blocks(quality))),
    ]


def _opening(libraries: pd.DataFrame) -> Iterator[Notice | Paragraph]:
    study = libraries[libraries["kind"] == "study"]
    failed = int((study["verdict"] == "fail").sum())
    yield Paragraph(
        f"Of {plural(len(study), 'study library', 'study libraries')}, {verdict_words(study, INSIDE)}.", lead=True
    )
    if failed:
        yield Notice(f"{plural(failed, 'study library', 'study libraries')} failed and are used nowhere.", "warning")
    controls = libraries[libraries["kind"] != "study"]
    yield Paragraph(f"Of {plural(len(controls), 'control or standard', 'controls and standards')}, "
                    f"{verdict_words(controls, INSIDE)}.")  # fmt: skip


def fate_table(libraries: pd.DataFrame, reads: pd.DataFrame) -> Table:
    """Return the share of read pairs that ended in each fate, by kind of library."""
    merged = reads.merge(libraries[["library_id", "kind"]], on="library_id")
    rows = []
    for kind, name in KINDS.items():
        here = merged[merged["kind"] == kind]
        pairs = here["pairs_in"].sum()
        if pairs:
            rows.append((name, count(len(here)), count(pairs), *(percent(here[f].sum() / pairs) for f in FATES)))
    return Table(
        "Fate of read pairs, all libraries of a kind together",
        ("Kind", "Libraries", "Pairs", *(NAMES[fate] for fate in FATES)),
        tuple(rows),
        note="Every pair has one fate. A primer dimer is nothing but both primers; off target, nothing of the panel "
        "was found in it.",
    )


def context_table(libraries: pd.DataFrame, reads: pd.DataFrame) -> Table:
    """Return unconverted cytosines by context, by kind of library."""
    merged = reads.merge(libraries[["library_id", "kind"]], on="library_id")
    rows = []
    for kind, name in KINDS.items():
        here = merged[merged["kind"] == kind]
        for context, yes, no in CONTEXTS:
            total = here[yes].sum() + here[no].sum()
            if total:
                share = here[yes] / (here[yes] + here[no])
                rows.append((name, context, count(total), percent(here[yes].sum() / total, 3),
                             percent(share.median(), 3), percent(share.max(), 3)))  # fmt: skip
    return Table(
        "Cytosines left unconverted, by context",
        ("Kind", "Context", "Cytosines read", "All together", "Median library", "Highest library"),
        tuple(rows),
        frozenset({"Context"}),
        "H is A, C or T. Conversion works alike in all contexts: a difference points to methylation outside CpGs, to "
        "strand bias or to a variant.",
    )


def failed_table(libraries: pd.DataFrame) -> Table:
    """Return the share of molecules on which conversion failed as a whole, by kind of library."""
    rows = []
    for kind, name in KINDS.items():
        share = libraries.loc[libraries["kind"] == kind, "failed_molecules"].dropna()
        if len(share):
            rows.append((name, count(len(share)), percent(share.median(), 3), percent(share.max(), 3)))
    return Table(
        "Molecules on which conversion failed as a whole",
        ("Kind", "Libraries", "Median library", "Highest library"),
        tuple(rows),
        note="Separated from ordinary molecules by a mixture of two kinds, fitted to each library; each molecule "
        "counts by the probability that it is ordinary. Libraries with too few molecules or cytosines are left out.",
    )


def error_paragraph(reads: pd.DataFrame) -> Paragraph | None:
    """Return how often the sequencer erred, where conversion has no part in it."""
    bases = reads["t_bases"].sum()
    if not bases:
        return None
    stated = (reads["t_error_by_quality"] * reads["t_bases"]).sum() / bases
    return Paragraph(
        f"Where the reference has T, {percent(reads['t_mismatches'].sum() / bases, 3)} of {count(bases)} good bases "
        f"read something else, {percent(reads['t_read_as_c'].sum() / bases, 4)} a C; their qualities state "
        f"{percent(stated, 3)}. What reads as C by such an error is part of the measured non-conversion, "
        "and so corrected."
    )


def _cycle_blocks(quality: Quality) -> Iterator[Figure | Notice | Paragraph]:
    if quality.cycles.empty:
        yield Notice("No library came as reads, so nothing is known by cycle.")
        return
    yield Figure(
        "cycles",
        "Methylation and non-conversion by cycle",
        "Share of methylated CpGs and of unconverted other cytosines at each cycle of each read, and what the same "
        "cytosines show over all cycles.",
        quality.figures["cycles"],
        "Good bases of passing molecules before mates are merged, all study libraries together. A cycle shows the same "
        "few cytosines each time, so the dashes are at different heights; bias is a departure from them.",
    )
    flagged = quality.libraries["reasons"].fillna("").str.contains(r"cycles \d+-\d+:")
    yield Paragraph(
        f"{plural(int(flagged.sum()), 'library', 'libraries')} of {count(len(flagged))} departed from that by "
        "more than error somewhere; the reason stands beside its verdict."
    )


def limit_table(limits: pd.DataFrame) -> Table:
    """Return the limits of blank and of detection of each index."""
    rows = tuple(
        (index_label(row.index_name), row.panel,
         count(row.n_blanks), count(row.n_low), percent(row.blank_mean), percent(row.lob),
         percent(row.lod))
        for row in limits.rename(columns={"index": "index_name"}).itertuples()
    )  # fmt: skip
    return Table(
        "Limits of blank and of detection",
        ("Index", "Panel", "0% controls", "Low standards", "Mean of blanks", "Limit of blank", "Limit of detection"),
        rows,
        frozenset({"Panel"}),
        "From the study's own controls (Armbruster and Pry, 2008). A level below the limit of detection cannot be "
        "distinguished from none.",
    )


def calibration_table(calibration: pd.DataFrame) -> Table | None:
    """Return the curve that each index goes through, and why."""
    chosen = calibration[calibration["chosen"] == "yes"].rename(columns={"index": "index_name"})
    if chosen.empty:
        return None
    columns = ("index_name", "panel", "assay", "n", "method", "reason")
    rows = tuple(
        (index_label(index), panel, assay, count(n), method, reason if isinstance(reason, str) else "–")
        for index, panel, assay, n, method, reason in chosen[list(columns)].itertuples(index=False)
    )
    return Table(
        "Calibration for PCR bias",
        ("Index", "Panel", "Measured by", "Standards", "Curve", "Why"),
        rows,
        frozenset({"Panel", "Measured by", "Curve", "Why"}),
    )


def crosstalk_table(crosstalk: pd.DataFrame) -> Table | None:
    """Return what leaks from library to library, by the no-template controls of each plate."""
    if crosstalk.empty:
        return None
    rows = tuple(
        (row.plate, count(row.n_no_template), count(row.molecules), significant(row.leaked),
         f"{significant(row.leaked_low)} to {significant(row.leaked_high)}", percent(row.level), row.corrected,
         "–" if row.reason != row.reason or row.reason is None else row.reason)
        for row in crosstalk.itertuples()
    )  # fmt: skip
    return Table(
        "Molecules of other libraries, by the no-template controls",
        (
            "Plate",
            "Controls",
            "Molecules in them",
            "A library holds",
            "95% CI",
            "Their methylation",
            "Corrected",
            "Reason",
        ),
        rows,
        frozenset({"Corrected", "Reason"}),
        "What hops or spills from library to library appears in a control without template too.",
    )


def plate_table(libraries: pd.DataFrame) -> Notice | Table:
    """Return what each plate's study libraries show."""
    study = libraries[(libraries["kind"] == "study") & libraries["plate"].notna()]
    rows = []
    for plate, here in study.groupby("plate"):
        good = here[here["verdict"] != "fail"]
        rows.append((
            plate,
            count(len(here)),
            count((here["verdict"] == "fail").sum()),
            percent(1 - good["non_conversion"].median()),
            count(good["median_depth"].median()),
            percent(good["region_mean_beta"].mean()),
            fixed(100 * good["region_mean_beta"].std(ddof=1)),
        ))  # fmt: skip
    if not rows:
        return Notice("The sheet of libraries names no plate.")
    return Table(
        "Study libraries by plate",
        ("Plate", "Libraries", "Failed", "Conversion (median)", "Depth (median)", "Region mean", "SD (points)"),
        tuple(rows),
        note="Medians and means are of libraries that did not fail.",
    )


def plate_by_arm(libraries: pd.DataFrame, people: pd.DataFrame, arms: Sequence[str], smallest: int) -> Table | None:
    """Return how many study libraries of each arm stand on each plate; counts below ``smallest`` are withheld."""
    study = libraries[(libraries["kind"] == "study") & libraries["plate"].notna()].merge(people, on="participant_id")
    if study.empty:
        return None
    rows = []
    for plate, here in study.groupby("plate"):
        counts = [int((here["arm"] == arm).sum()) for arm in arms]
        # One withheld count could be told from the plate's total.
        withheld = any(0 < n < smallest for n in counts)
        rows.append((plate, *("withheld" if withheld else count(n) for n in counts)))
    return Table(
        "Study libraries by plate and arm",
        ("Plate", *arms),
        tuple(rows),
        note=f"A plate with an arm of fewer than {smallest} libraries is withheld. An arm that stands on plates of its "
        "own cannot be distinguished from its plates.",
    )


def _molecule_blocks(quality: Quality) -> Iterator[Notice | Table]:
    study = quality.libraries.loc[quality.libraries["kind"] == "study", ["library_id"]]
    table = quality.read_level.merge(study, on="library_id")
    if table.empty or not table["n_windows"].sum():
        yield Notice("No library shows molecules deep enough for their arrangement.")
        return
    names = {
        "pdr": "Discordant molecules (PDR)", "epipolymorphism": "Epipolymorphism", "entropy": "Entropy (bits a CpG)",
        "mhl": "Methylation haplotype load", "share_many": "3 or more methylated CpGs",
        "share_many_by_chance": "… expected from non-conversion alone",
    }  # fmt: skip
    rows = []
    for amplicon, here in table.groupby("amplicon"):
        for column, name in names.items():
            values = here[column].dropna()
            if len(values):
                low, mid, high = values.quantile([0.25, 0.5, 0.75])
                rows.append((name, amplicon, count(len(values)), fixed(mid, 4), f"{fixed(low, 4)} to {fixed(high, 4)}"))
    yield Table(
        "How methylation is arranged on molecules, study libraries",
        ("Measure", "Amplicon", "Libraries", "Median", "Quartiles"),
        tuple(rows),
        frozenset({"Amplicon"}),
        "Windows of four neighbouring CpGs; each measure's estimate does not depend on depth.",
    )
