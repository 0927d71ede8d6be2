"""The section on methylation: how good the libraries are, what controls show, each CpG by arm, the second caller."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis.labels import column_label, level_label, population_label
from hpaxis.report.blocks import Figure, Heading, Notice, Paragraph, Section, Table
from hpaxis.report.numbers import (
    count,
    fixed,
    interval,
    percent,
    percent_interval,
    plural,
    words,
)
from hpaxis.report.privacy import WITHHELD, Cells, shown_ids

if TYPE_CHECKING:
    from hpaxis.report.blocks import Block
    from hpaxis.rows import Row

KINDS = {
    "study": "Study",
    "standard": "Standard",
    "control_0": "0% control",
    "control_100": "100% control",
    "no_template": "No template",
}
EXPECTED = {"control_0": 0.0, "control_100": 100.0}
FUNNEL = ("pairs_in", "merged", "on_target", "passed")
VERDICTS = ("pass", "warn", "fail")


def methylation_section(
    libraries: pd.DataFrame,
    sheet: pd.DataFrame,
    levels: pd.DataFrame,
    concordance: pd.DataFrame,
    gates: Mapping[str, tuple[float, float]],
    figures: Mapping[str, str],
    cells: Cells,
    library_ids: bool,
    instrument: pd.DataFrame | None = None,
    differences: pd.DataFrame | None = None,
    effects: pd.DataFrame | None = None,
) -> Section:
    """Return the section on methylation.

    ``libraries`` is methylation/libraries.tsv, ``sheet`` the sheet of libraries, ``levels`` the CpG levels by arm
    (`hpaxis.methylation.figures.levels.cpg_levels`), ``concordance`` the table of both callers, ``gates`` maps
    ``conversion`` and ``depth`` to (fail, warn), ``figures`` maps ``conversion``, ``cpgs`` and ``concordance``
    to SVG text, ``instrument`` is methylation/instrument.tsv where a pyrosequencer was used,
    ``differences`` the arms’ differences beside the error of measurement (`hpaxis.report.describe.arm_differences`),
    ``effects`` report/cpg_effects.tsv (what the arms differ by at each CpG). Ids of study libraries
    are shown only where ``library_ids``; ``cells`` is `hpaxis.report.privacy.Cells`.
    """
    study = libraries[libraries["kind"] == "study"]
    counted = libraries["passed"].notna().any()  # reads or counts; a pyrosequencer has neither
    blocks = [
        _opening(libraries, study, cells),
        _failed_all(study),
        instrument_table(instrument),
        Heading("quality", "Quality of the libraries"),
        conversion_figure(libraries, gates, figures, cells) if counted else None,
        funnel_table(libraries, cells) if counted else None,
        flagged_table(libraries, library_ids) if library_ids else reason_table(study, cells),
        control_table(libraries, sheet),
        Heading("cpgs", "Methylation of each CpG"),
        _level_figure(figures, _shown(levels, cells), effects),
        *_level_tables(levels, cells),
        difference_table(differences),
        *(_molecule_figures(figures) if counted else ()),
        *(_callers(concordance, libraries, figures, library_ids) if counted else ()),
    ]
    if library_ids:
        blocks.insert(7, library_table(study))
    return Section("methylation", "Methylation", tuple(b for b in blocks if b is not None))


def _level_figure(figures: Mapping[str, str], levels: pd.DataFrame, effects: pd.DataFrame | None) -> Figure:
    """CpGs on the gene; in their order along the amplicon where that figure has not been drawn."""
    if "gene" not in figures:
        return Figure(
            "levels",
            "Methylation of each CpG by arm",
            "Mean methylation of each CpG by arm with its interval; the numbers are in the tables below.",
            figures["cpgs"],
            "Means over people with a 95% t interval, from libraries that did not fail, corrected for incomplete "
            "conversion; a corrected value may fall below zero.",
            source=("report/figures/methylation/cpgs.svg", "report/cpg_levels.tsv"),
            data=levels,
        )
    differs = effects[(effects["low"] > 0) | (effects["high"] < 0)] if effects is not None else []
    said = (
        "At no CpG does a simultaneous interval of the difference between arms exclude zero."
        if not len(differs)
        else f"Simultaneous intervals of the difference between arms exclude zero at {words(differs['cpg_id'])}."
    )
    return Figure(
        "gene",
        "Methylation of each CpG on the gene, and what the arms differ by",
        "Mean methylation of each CpG by arm and differences between arms, over the place of each CpG; below them the "
        f"sites of the indices, the array’s probes and names from the literature. {said}",
        figures["gene"],
        f"Means over people, from libraries that did not fail, corrected for incomplete conversion. Intervals hold for "
        f"all CpGs together at 95% (Bonferroni; Welch for differences). {said} Names are those of the panel’s files.",
        source=("report/figures/methylation/gene.svg", "report/cpg_levels.tsv", "report/cpg_effects.tsv"),
        data=levels
        if effects is None
        else pd.concat([levels, effects[[c for c in effects if c in levels or c != "n"]]]),
    )


def _shown(table: pd.DataFrame, cells: Cells) -> pd.DataFrame:
    """A table of levels without its n, from which it would follow how few people lack a level."""
    return table if cells.all_shown else table.drop(columns="n")


def _molecule_figures(figures: Mapping[str, str]) -> list[Figure]:
    """Molecules pooled by arm; nothing where no library has molecules."""
    if "molecules" not in figures:
        return []
    return [
        Figure(
            "molecules",
            "Molecules by arm",
            "Molecules as rows and CpGs as columns, by population and arm; shares stand above each panel.",
            figures["molecules"],
            "150 molecules in each panel, drawn evenly from all of its libraries, each with equal weight, the most "
            "methylated on top. They are pooled: no row can be traced to a person. Not corrected for conversion.",
            folded=True,
            source=("report/figures/methylation/molecules.svg",),
        )
    ]


def conversion_figure(
    libraries: pd.DataFrame, gates: Mapping[str, tuple[float, float]], figures: Mapping[str, str], cells: Cells
) -> Figure:
    """Return the figure of conversion and depth of every library."""
    return Figure(
        "conversion",
        "Bisulfite conversion and depth of every library",
        f"Conversion and depth of {plural(len(libraries), 'library', 'libraries')}, "
        f"{verdict_words(libraries, cells)}; the next table has medians.",
        figures["conversion"],
        f"Conversion is measured on each library’s own cytosines outside CpGs, with its interval. A library fails "
        f"below {percent(gates['conversion'][0], 1)} conversion or a median depth of {count(gates['depth'][0])}, "
        f"and gets a warning below {percent(gates['conversion'][1], 1)} or {count(gates['depth'][1])}.",
        source=("report/figures/methylation/conversion.svg", "methylation/libraries.tsv"),
    )


def _callers(
    concordance: pd.DataFrame, libraries: pd.DataFrame, figures: Mapping[str, str], library_ids: bool
) -> list[Block]:
    heading = Heading("callers", "Agreement with a second caller")
    return [heading, *concordance_blocks(concordance, libraries, figures, library_ids)]


def _opening(libraries: pd.DataFrame, study: pd.DataFrame, cells: Cells) -> Notice | Paragraph:
    if study.empty:
        return Notice("There is no study library.", "warning")
    passed = study[study["verdict"] != "fail"]
    text = (
        f"Of {plural(len(study), 'study library', 'study libraries')}, {verdict_words(study, cells)}. Failed libraries "
        "are left out of everything that follows; the reasons are below."
    )
    if len(passed):
        conversion = 1 - passed["non_conversion"]
        text += (
            f" Those that did not fail have a median conversion of {percent(conversion.median())} "
            f"(from {percent(conversion.min())} to {percent(conversion.max())})"
        )
        depth = passed["median_depth"].dropna()
        if len(depth):
            text += (
                f" and a median depth of {count(depth.median())} molecules per CpG (from {count(depth.min())} to "
                f"{count(depth.max())})"
            )
        text += "."
    controls = len(libraries) - len(study)
    return Paragraph(f"{text} {plural(controls, 'library', 'libraries')} served as controls and standards.")


def _failed_all(study: pd.DataFrame) -> Notice | None:
    if len(study) and (study["verdict"] == "fail").all():
        return Notice("No study library passed: there is no methylation to analyse.", "warning")
    return None


def verdict_words(table: pd.DataFrame, cells: Cells) -> str:
    """Return how many libraries passed, passed with a warning, and failed; the largest count hides a small one."""
    said = {"pass": "passed", "warn": "passed with a warning", "fail": "failed"}
    counts = {v: int((table["verdict"] == v).sum()) for v in VERDICTS}
    if any(cells.small(n) for n in counts.values()):
        most = max(counts, key=counts.get)
        parts = [f"{cells.people(n)} {said[v]}" for v, n in counts.items() if v != most]
        return f"{words(parts)}; the others {said[most]}"
    return words(f"{count(n)} {said[v]}" for v, n in counts.items())


def funnel_table(libraries: pd.DataFrame, cells: Cells) -> Table:
    """Return medians by kind of library: the reads at each step, conversion, depth, and the verdicts."""
    rows = []
    for kind, name in KINDS.items():
        here = libraries[libraries["kind"] == kind]
        if here.empty:
            continue
        verdicts = here["verdict"].value_counts()
        rows.append((
            name,
            count(len(here)),
            *(count(here[column].median()) for column in FUNNEL),
            percent(1 - here["non_conversion"].median()),
            count(here["median_depth"].median()),
            " / ".join((cells.parts if kind == "study" else Cells(0).parts)([verdicts.get(v, 0) for v in VERDICTS])),
        ))  # fmt: skip
    return Table(
        "Libraries by kind (medians)",
        (
            "Kind",
            "Libraries",
            "Read pairs",
            "Merged",
            "On target",
            "Passed",
            "Conversion",
            "Depth",
            "Pass / warn / fail",
        ),
        tuple(rows),
        note="Mates are merged, so a molecule is counted once; reads are not deduplicated by position.",
        source=("methylation/libraries.tsv",),
        key="libraries-by-kind",
    )


def flagged_table(libraries: pd.DataFrame, library_ids: bool) -> Paragraph | Table:
    """Return every study library that failed or got a warning, with its reasons."""
    flagged = libraries[(libraries["kind"] == "study") & libraries["verdict"].isin(["fail", "warn"])]
    if flagged.empty:
        return Paragraph("No study library was flagged.")
    flagged = flagged.sort_values(["verdict", "library_id"])
    names = shown_ids(flagged["library_id"], "Library", library_ids)
    rows = tuple(
        (
            name,
            row.verdict,
            percent(1 - row.non_conversion),
            count(row.median_depth),
            _reasons(row.reasons),
        )
        for name, row in zip(names, flagged.itertuples(), strict=True)
    )
    note = None if library_ids else "Numbered, not named, since a library belongs to a person (report.library_ids)."
    return Table(
        "Study libraries that failed or carry a warning",
        ("Library", "Verdict", "Conversion", "Depth", "Reasons"),
        rows,
        frozenset({"Verdict", "Reasons"}),
        note,
        source=("methylation/libraries.tsv",),
        key="flagged",
    )


def reason_table(study: pd.DataFrame, cells: Cells) -> Paragraph | Table:
    """Return how many study libraries failed or got a warning, by what was measured; a library may have several."""
    flagged = study[study["verdict"].isin(["fail", "warn"])]
    if flagged.empty:
        return Paragraph("No study library was flagged.")
    said = (
        flagged[["verdict", "reasons"]].assign(reasons=flagged["reasons"].fillna("").str.split("; ")).explode("reasons")
    )
    said["reasons"] = said["reasons"].map(reason_kind)
    said = said[said["reasons"] != ""]
    # A library with two reasons of one kind counts once.
    said = said.reset_index(names="library").drop_duplicates(["library", "reasons"])
    counts = said.groupby(["reasons", "verdict"]).size().unstack(fill_value=0)
    rows = tuple(
        (reason, cells.people(row.get("fail", 0)), cells.people(row.get("warn", 0)))
        for reason, row in counts.iterrows()
    )
    return Table(
        "Study libraries that failed or carry a warning, by reason",
        ("Reason", "Failed", "With a warning"),
        rows,
        note="A library may have several reasons. The bench’s page (bench.html, not for sharing) has each by its id.",
        source=("methylation/libraries.tsv",),
        key="flagged",
    )


def reason_kind(reason: str) -> str:
    """Return what a reason is about, without its numbers: ``conversion 98.77 %, below 99 %`` is ``conversion``."""
    if re.match(r"(?:these|its) [\d,]+ molecules stand for", str(reason)):
        return "few templates behind the molecules"
    whole = re.sub(r"\([^)]*\)", "", str(reason))
    for text in (re.split(r"[:,]| is | lies | at | of ", whole, maxsplit=1)[0], whole.split(",")[0]):
        text = " ".join(re.sub(r"[~<>≥≤]?\s*[\d.,]+\s*%?(?:-\d+)?", " ", text).split())
        if text:
            return text.removesuffix(" molecules")[:60]
    return whole[:60]


def instrument_table(instrument: pd.DataFrame | None) -> Table | None:
    """Return the error of a pyrosequencer's readings and what its conversion controls show; None without one."""
    if instrument is None:
        return None
    rows = tuple(
        (
            row.panel,
            f"{100 * row.level_low:g}–{100 * row.level_high:g} %",
            fixed(100 * row.position_sd),
            fixed(100 * row.shared_sd),
            fixed(row.df, 0),
            count(row.n_replicated),
            row.source,
            percent(row.floor),
            percent(row.censored_share),
            count(row.n_controls),
            percent(row.conversion_mean),
        )
        for row in instrument.itertuples()
    )
    return Table(
        "Readings of the pyrosequencer",
        ("Panel", "Level", "SD of a position", "SD shared by a run", "df", "Replicated", "Source", "Floor",
         "Readings below it", "Conversion controls", "Mean conversion"),
        rows,
        frozenset({"Source"}),
        "SDs in percentage points. Libraries of the pyrosequencer have no molecules and so no depth; their intervals "
        "include these errors and that of conversion, from their control position. Readings below the instrument’s "
        "floor are censored: they count as below it, not as 0.",
        source=("methylation/instrument.tsv",),
        data=instrument,
    )  # fmt: skip


def difference_table(differences: pd.DataFrame | None) -> Table | None:
    """Return whether arms differ by more than the measurement itself is off by; None without two arms."""
    if differences is None or differences.empty:
        return None
    rows = tuple(
        (
            population_label(row.population).capitalize(),
            column_label(row.measure),
            f"{level_label(row.arm)} − {level_label(row.reference)}",
            *((WITHHELD,) * 7 if row.withheld == "yes" else (
                WITHHELD if pd.isna(row.n) else f"{count(row.n)}, {count(row.n_reference)}",
                fixed(row.difference), fixed(row.se),
                fixed(row.person_error), fixed(row.difference_error, 3), fixed(row.smallest), row.larger,
            )),
        )
        for row in differences.itertuples()
    )  # fmt: skip
    return Table(
        "Is a difference between arms larger than the error of measurement?",
        ("Population", "Index", "Arms", "n", "Difference", "SE, people", "Error, one person", "Error, difference",
         "Smallest visible", "Larger"),
        rows,
        frozenset({"Population", "Index", "Arms", "Larger"}),
        "Percentage points. The error of one person is what the instrument or the molecules leave unknown of a level, "
        "conversion included; that of the difference is the same for the two arms’ means. A difference above the "
        "smallest visible one (95 %) is larger than the measurement’s own error. Whether it is more than chance among "
        "people is judged by the SE of people, which holds both. What all libraries share moves both arms alike.",
        source=("report/tables/arm_differences.tsv",),
        data=differences,
    )  # fmt: skip


def library_table(study: pd.DataFrame) -> Table:
    """Return every study library with its id."""
    rows = tuple(
        (
            row.library_id,
            row.verdict,
            count(row.pairs_in),
            count(row.passed),
            percent(1 - row.non_conversion),
            count(row.median_depth),
            percent(row.region_mean_beta),
            percent_interval(row.region_mean_beta_low, row.region_mean_beta_high),
        )
        for row in study.sort_values("library_id").itertuples()
    )
    return Table(
        "Every study library",
        ("Library", "Verdict", "Read pairs", "Passed", "Conversion", "Depth", "Region mean", "95% CI"),
        rows,
        frozenset({"Verdict"}),
        folded=True,
        source=("methylation/libraries.tsv",),
    )


def control_table(libraries: pd.DataFrame, sheet: pd.DataFrame) -> Notice | Table:
    """Return the controls and standards: what was expected of each and what was measured."""
    controls = libraries[libraries["kind"] != "study"]
    if controls.empty:
        return Notice(
            "No control library was sequenced: over-conversion, the blank and contamination were not measured.",
            "warning",
        )
    known = dict(zip(sheet["library_id"], sheet["expected_percent"], strict=True))
    rows = []
    for kind in (k for k in KINDS if k != "study"):
        here = controls[controls["kind"] == kind].assign(expected=lambda t: t["library_id"].map(known))
        for row in here.sort_values(["expected", "library_id"]).itertuples():
            expected = EXPECTED.get(kind, row.expected)
            rows.append((
                row.library_id, KINDS[kind], "–" if expected != expected else f"{expected:g}%",
                _found(row),
                percent(1 - row.non_conversion), count(row.passed), row.verdict, _reasons(row.reasons),
            ))  # fmt: skip
    return Table(
        "Controls and standards",
        ("Library", "Kind", "Expected", "Found [95% CI]", "Conversion", "Passed", "Verdict", "Reasons"),
        tuple(rows),
        frozenset({"Kind", "Verdict", "Reasons"}),
        "Found: the region mean, corrected for conversion. Passed: molecules that passed. Libraries that pass may "
        "still "
        "carry notes.",
        source=("methylation/libraries.tsv",),
        key="controls",
    )


def _level_tables(levels: pd.DataFrame, cells: Cells) -> list[Notice | Table]:
    if levels.empty:
        return [Notice("No library passed, so no CpG has a level.", "warning")]
    return [level_table(rows, population, cells) for population, rows in levels.groupby("population", sort=False)]


def level_table(levels: pd.DataFrame, population: str, cells: Cells) -> Table:
    """Return the mean methylation of each CpG of one population by arm."""
    arms = list(dict.fromkeys(levels["arm"]))
    rows = []
    for place, (cpg, here) in enumerate(levels.groupby("cpg_id", sort=False), start=1):
        cells_of = []
        for arm in arms:
            one = here[here["arm"] == arm]
            if one.empty:
                cells_of += ["0", "–", "–"]
            else:
                row = one.iloc[0]
                n = count(row["n"]) if cells.all_shown else WITHHELD
                cells_of += [n, percent(row["mean"]), percent_interval(row["low"], row["high"])]
        rows.append((f"{place}: {cpg}", *cells_of))
    columns = ["CpG"]
    for arm in arms:
        columns += [f"n ({arm})", f"Mean ({arm})", f"95% CI ({arm})"]
    title = f"Methylation of each CpG by arm, {population_label(population)}"
    note = None if cells.all_shown else "n is withheld: few people may lack a level (report.smallest_cell)."
    data = _shown(levels, cells)
    source = ("report/cpg_levels.tsv",)
    return Table(title, tuple(columns), tuple(rows), note=note, folded=True, source=source, data=data)


def concordance_blocks(
    concordance: pd.DataFrame, libraries: pd.DataFrame, figures: Mapping[str, str], library_ids: bool
) -> list[Block]:
    """Return what the second caller says, with its figure and the libraries on which the callers differ."""
    known = concordance.dropna(subset=["difference"])
    if known.empty:
        return [Notice("The second caller (methylpy) has no call to compare with.", "warning")]
    flagged = known[known["flag"].notna()]
    bias, spread = 100 * known["difference"].mean(), 100 * known["difference"].std(ddof=1)
    sampled = known[known["compared"] < known["passed"]]
    sample = ""
    if len(sampled):
        sample = (
            f" (a random sample of {count(sampled['compared'].iloc[0])} molecules in each of the "
            f"{plural(len(sampled), 'library', 'libraries')} that have more)"
        )
    blocks = [
        Paragraph(
            f"methylpy called the same molecules of {plural(len(known), 'library', 'libraries')} on its own{sample}; "
            f"{plural(known['discordant_calls'].sum(), 'single call')} of all differ. The mean difference of the "
            f"uncorrected region mean (methylpy − hpaxis) is {fixed(bias, 3)} percentage points "
            f"(SD {fixed(spread, 3)}). "
            f"{plural(len(flagged), 'library is', 'libraries are')} flagged: a difference beyond sampling error, or "
            "molecules that methylpy did not see."
        ),
        Figure(
            "concordance",
            "Difference between hpaxis and methylpy",
            f"Difference of both callers against their mean, {plural(len(known), 'library', 'libraries')}, "
            f"{count(len(flagged))} flagged.",
            figures["concordance"],
            "Bars are 95% intervals of the sampling error of the difference, from the calls on which the two differ. "
            "Uncorrected calls on both sides.",
            folded=True,
            source=("report/figures/methylation/concordance.svg", "methylation/concordance.tsv"),
        ),
    ]
    if len(flagged):
        kinds = dict(zip(libraries["library_id"], libraries["kind"], strict=True))
        study = flagged["library_id"].map(kinds).eq("study").to_numpy()
        names = flagged["library_id"].to_numpy(dtype=object).copy()
        names[study] = shown_ids(names[study], "Study library", library_ids)
        rows = tuple(
            (name, percent(r.hpaxis_mean), percent(r.methylpy_mean), fixed(100 * r.difference), str(r.flag))
            for name, r in zip(names, flagged.itertuples(), strict=True)
        )
        blocks.append(
            Table(
                "Libraries on which the callers differ",
                ("Library", "hpaxis", "methylpy", "Difference (points)", "Flag"),
                rows,
                frozenset({"Flag"}),
                source=("methylation/concordance.tsv",),
            )
        )
    return blocks


def _found(row: Row) -> str:
    if row.region_mean_beta != row.region_mean_beta:
        return "–"
    low, high = 100 * row.region_mean_beta_low, 100 * row.region_mean_beta_high
    return f"{percent(row.region_mean_beta)} {interval(low, high)}"


def _reasons(text: object) -> str:
    return "–" if text is None or text != text or text in ("", "NA") else str(text)
