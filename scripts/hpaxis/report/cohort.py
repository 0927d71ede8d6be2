"""The section on who is in the study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hpaxis.labels import column_label, level_label, population_label
from hpaxis.report.blocks import Figure, Fold, Notice, Paragraph, Section, Table
from hpaxis.report.numbers import bounded, count, percent, plural, significant, words
from hpaxis.report.privacy import WITHHELD, shown_flow

if TYPE_CHECKING:
    from hpaxis.report.privacy import Cells

STEPS = {
    "enrolled": "enrolled",
    "saliva": "with a saliva library",
    "methylation": "library passed quality",
    "hair": "with a hair sample",
    "cortisol": "cortisol measured",
    "tubes": "with tubes of saliva cortisol",
    "series": "with a complete series",
}
APART = "{} are counted separately, each from everybody enrolled."
CENSORED = (
    " Open triangles are values beyond the assay’s limits, drawn at the limit and pointing to where the "
    "true value lies."
)


def cohort_section(
    arms: Sequence[str],
    attrition: pd.DataFrame,
    audit: pd.DataFrame,
    analysis: pd.DataFrame,
    described: Mapping[str, pd.DataFrame],
    figures: Mapping[str, str],
    cells: Cells,
) -> Section:
    """Return the section: flow by arm, Table 1, what is missing, and what became of every row.

    ``attrition``, ``audit`` and ``analysis`` are the cohort stage's tables; ``described`` maps table1, correlations,
    missing, analysed and received to the tables of `hpaxis.report.describe`; ``figures`` maps ``flow`` and
    ``distributions`` to SVG text; ``cells`` is `hpaxis.report.privacy.Cells`.
    """
    flow = shown_flow(attrition, cells.smallest)
    hair = analysis["cortisol_censored"].notna().any()
    saliva = (attrition["chain"] == "methylation").any()
    measured = [name for name, there in (("methylation", saliva), ("hair cortisol", hair)) if there]
    withheld = (flow["left"] == WITHHELD).any()
    note = (
        f"Where a step loses from 1 to {cells.smallest - 1} people of an arm, that chain is withheld in every arm "
        "(report.smallest_cell). The numbers enrolled and analysed are always shown."
        if withheld
        else None
    )
    roles = words(population_label(r) for r in dict.fromkeys(analysis["role"].dropna()))
    blocks = [
        _opening(arms, attrition, described["received"]),
        _missing_arms(arms, attrition),
        Figure(
            "flow",
            "Flow of participants (CONSORT)",
            f"Boxes for each arm, from enrolment to the number analysed. {_flow_in_words(flow, described)}",
            figures["flow"],
            note,
            source=("report/figures/cohort/flow.svg", "report/tables/flow.tsv", "report/tables/analysed.tsv"),
            data=pd.concat([flow, described["analysed"].rename(columns={"n": "stays", "title": "step"})]),
        ),
        _flow_table(flow, note, described),
        table_one(described["table1"], arms, cells),
        "distributions" in figures
        and bool(measured)
        and Figure(
            "distributions",
            f"{words(measured)} by arm".capitalize(),
            f"Values by arm for {roles}; Table 1 of the participants has the numbers.",
            figures["distributions"],
            "One point per person; the thick line is the median of the known values, the thin one their middle half."
            + (CENSORED if hair else "")
            + (" Where fewer values than may be shown lie beyond a limit, only median and quartiles are drawn."
               if not cells.all_shown else ""),
            source=("report/figures/cohort/distributions.svg",),
        ),
        cortisol_table(arms, analysis, cells) if hair else None,
        *_more(described),
        _audit_table(audit, cells),
    ]  # fmt: skip
    return Section("participants", "Participants", tuple(b for b in blocks if b))


def _tissues(flow: pd.DataFrame) -> list[str]:
    names = {"methylation": "saliva", "cortisol": "hair", "series": "saliva cortisol"}
    return [name for chain, name in names.items() if (flow["chain"] == chain).any()]


def _opening(arms: Sequence[str], attrition: pd.DataFrame, received: pd.DataFrame) -> Paragraph:
    enrolled = attrition[attrition["step"] == "enrolled"]
    if enrolled.empty:
        return Paragraph("The participants sheet names nobody in the arms of this study.")
    parts, total = [], 0
    for population, rows in enrolled.groupby("population", sort=False):
        by_arm = words(f"{count(n)} {level_label(arm)}" for arm, n in zip(rows["arm"], rows["n_after"], strict=True))
        parts.append(f"{count(rows['n_after'].sum())} {population_label(population)} ({by_arm})")
        total += rows["n_after"].sum()
    receipt = (
        f" Receipt of the intervention is read from the column {received['column'].iloc[0]}."
        if len(received)
        else " Whether an arm received its intervention is not recorded: no model names a column for it."
    )
    return Paragraph(
        f"{words(parts)} {'was' if total == 1 else 'were'} enrolled. Each participant keeps a row in the analysis "
        "table, with gaps for what is missing; a model uses the rows that are complete for it. The reference arm is "
        f"{level_label(arms[0])}.{receipt}"
    )


def _missing_arms(arms: Sequence[str], attrition: pd.DataFrame) -> Notice | None:
    enrolled = attrition[attrition["step"] == "enrolled"].groupby("arm")["n_after"].sum()
    empty = [arm for arm in arms if not enrolled.get(arm, 0)]
    if not empty:
        return None
    return Notice(f"Nobody is in {'arm' if len(empty) == 1 else 'the arms'} {words(empty)}.", "warning")


def _flow_in_words(flow: pd.DataFrame, described: Mapping[str, pd.DataFrame]) -> str:
    parts = [f"{r.population}, {r.arm}, {STEPS.get(r.step, r.step)}: {r.stays}" for r in flow.itertuples(index=False)]
    parts += [f"analysed in {r.title}, {r.arm}: {count(r.n)}" for r in described["analysed"].itertuples()]
    return "; ".join(parts) + "."


def _flow_table(flow: pd.DataFrame, note: str | None, described: Mapping[str, pd.DataFrame]) -> Table:
    rows = [
        (
            population_label(r.population).capitalize(),
            r.arm,
            STEPS.get(r.step, r.step),
            "–" if r.chain == "enrolment" else r.left,
            r.stays,
            "–" if r.reason in ("NA", "") or r.reason != r.reason else r.reason,
        )
        for r in flow.itertuples(index=False)
    ]
    for r in described["received"].itertuples():
        n = WITHHELD if r.withheld == "yes" else count(r.n)
        who = population_label(r.population).capitalize()
        rows.append((who, r.arm, f"received ({column_label(r.column)} above 0)", "–", n, "–"))
    for r in described["analysed"].itertuples():
        who = population_label(r.population).capitalize()
        rows.append((who, r.arm, f"analysed in {r.title}", "–", count(r.n), r.treatment))
    return Table(
        "Flow of participants",
        ("Population", "Arm", "Step", "Left out", "n after", "Why"),
        tuple(rows),
        frozenset({"Arm", "Step", "Why"}),
        note or (APART.format(words(_tissues(flow))).capitalize() if len(_tissues(flow)) > 1 else None),
        folded=True,
        source=("report/tables/flow.tsv", "report/tables/analysed.tsv", "report/tables/received.tsv"),
        key="flow-table",
    )


def table_one(table: pd.DataFrame, arms: Sequence[str], cells: Cells) -> Table:
    """Return Table 1 as the page shows it: one row per measure, a column per arm."""
    rows = []
    for (population, measure), here in table.groupby(["population", "measure"], sort=False):
        who = population_label(population).capitalize()
        if here["level"].isna().all():
            name = f"{column_label(measure)}{' (%)' if str(measure).endswith('_beta') else ''}, mean (SD)"
            rows.append((who, name, *(_mean(here[here["arm"] == arm]) for arm in arms)))
        else:
            for level, one in here.groupby("level", sort=False):
                rows.append(
                    (who, f"{column_label(measure)}: {level}", *(_share(one[one["arm"] == arm]) for arm in arms))
                )
    return Table(
        "Participants by arm",
        ("Population", "Measure", *map(level_label, arms)),
        tuple(rows),
        frozenset({"Measure"}),
        "Means with SD and n, or counts with percentages of the known. Arms are not compared by tests, since they were "
        "randomised (CONSORT)."
        + ("" if cells.all_shown else " An n that would show from 1 to "
           f"{cells.smallest - 1} people is withheld."),
        source=("report/tables/table1.tsv",),
        data=table,
        key="table-1",
    )  # fmt: skip


def _mean(row: pd.DataFrame) -> str:
    if row.empty or row["mean"].isna().all():
        return WITHHELD if len(row) and row["withheld"].iloc[0] == "yes" else "–"
    r = row.iloc[0]
    n = WITHHELD if r["withheld"] == "yes" else count(r["n"])
    return f"{significant(r['mean'])} ({significant(r['sd'])}), n {'=' if n != WITHHELD else ''} {n}".replace(
        "n  ", "n "
    )


def _share(row: pd.DataFrame) -> str:
    if row.empty:
        return "–"
    r = row.iloc[0]
    return WITHHELD if r["withheld"] == "yes" else f"{count(r['n'])} ({percent(r['share'], 0)})"


def _more(described: Mapping[str, pd.DataFrame]) -> list[Fold]:
    """Correlations and what is missing, folded."""
    blocks = []
    for population, table in described["correlations"].groupby("population", sort=False):
        rows = tuple(
            (column_label(r.first), column_label(r.second), WITHHELD if r.withheld == "yes" else count(r.n),
             bounded(r.r), f"[{bounded(r.low)}, {bounded(r.high)}]")
            for r in table.itertuples()
        )  # fmt: skip
        blocks.append(
            Table(
                f"Correlations, {population_label(population)}",
                ("First", "Second", "n", "r", "95% CI"),
                rows,
                frozenset({"Second"}),
                "Pearson’s r over both arms, with Fisher’s interval.",
                folded=True,
                source=("report/tables/correlations.tsv",),
                data=table,
            )
        )
    table = described["missing"]
    rows = tuple(
        (population_label(r.population).capitalize(), r.pattern, WITHHELD if r.withheld == "yes" else count(r.people))
        for r in table.itertuples()
    )
    if rows:
        blocks.append(
            Table(
                "What is missing together",
                ("Population", "Missing", "People"),
                rows,
                frozenset({"Missing"}),
                "Over the columns that the models of a population use. Cortisol beyond a limit is not missing.",
                folded=True,
                source=("report/tables/missing.tsv",),
                data=table,
                key="missing",
            )
        )
    return [Fold("more-participants", "Correlations and missing data", tuple(blocks))] if blocks else []


def cortisol_table(arms: Sequence[str], analysis: pd.DataFrame, cells: Cells) -> Table:
    """Return the table of hair cortisol by population and arm."""
    rows = tuple((*who, *_cortisol_cells(group, cells)) for who, group in _groups(arms, analysis))
    return Table(
        "Hair cortisol by arm",
        ("Population", "Arm", "n", "Below / above limits", "Geometric mean", "Median [quartiles]"),
        rows,
        frozenset({"Arm"}),
        "In pg/mg. The geometric mean is of values within the assay’s limits; quartiles count the others at their "
        "limit. "
        "n: values within the limits and beyond.",
        source=("report/tables/table1.tsv",),
    )


def _groups(arms: Sequence[str], analysis: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    for role in dict.fromkeys(analysis["role"].dropna()):
        for arm in arms:
            group = analysis[(analysis["role"] == role) & (analysis["arm"] == arm)]
            yield (population_label(role).capitalize(), arm), group


def _cortisol_cells(group: pd.DataFrame, cells: Cells) -> tuple[str, str, str, str]:
    known = group["cortisol_pg_per_mg"].dropna()
    censored = group["cortisol_censored"].fillna("none")
    below, above = (int((censored == side).sum()) for side in ("below", "above"))
    n = len(known) + below + above
    if n == 0:
        return "0", "–", "–", "–"
    if cells.small(n):
        return cells.people(n), WITHHELD, WITHHELD, WITHHELD
    beyond = f"{cells.people(below)} / {cells.people(above)}"
    mean = significant(np.exp(np.log(known).mean())) if len(known) else "–"
    return cells.known(n, len(group)), beyond, mean, quartiles(group, known)


def quartiles(group: pd.DataFrame, known: pd.Series) -> str:
    """Return median and quartiles as text, censored values counted at their limit.

    Between two values, the quantile lies on the line that joins them (type 7 of Hyndman and Fan, as pandas has it). A
    quantile that rests on a limit is marked ``<`` or ``>``; one between a lower and an upper limit is not known.
    """
    limits = group["cortisol_limit_pg_per_mg"][group["cortisol_pg_per_mg"].isna()].dropna()
    sides = group["cortisol_censored"].reindex(limits.index)
    values = np.concatenate([known, limits])
    marks = np.concatenate([np.full(len(known), ""), np.where(sides == "below", "<", ">")])
    if not len(values):
        return "–"
    order = np.argsort(values, kind="stable")
    shown = []
    for q in (0.25, 0.5, 0.75):
        place = q * (len(values) - 1)
        first = math.floor(place)
        share = place - first
        ends = [order[first], *([order[first + 1]] if share > 0 else [])]
        value = (1 - share) * values[ends[0]] + (share * values[ends[1]] if share > 0 else 0)
        found = {str(marks[e]) for e in ends} - {""}
        shown.append("–" if len(found) > 1 else f"{''.join(found)}{significant(value)}")
    return f"{shown[1]} [{shown[0]}, {shown[2]}]"


def _audit_table(audit: pd.DataFrame, cells: Cells) -> Table:
    rows = []
    for sheet, entries in audit.groupby("sheet", sort=False):
        status = entries["status"].value_counts()
        reasons = entries.loc[entries["reason"].notna() & (entries["status"] == "left out"), "reason"]
        counted = reasons.str.split(":").str[0].value_counts(sort=False)
        left = status.get("left out", 0)
        hidden = cells.small(left) or any(cells.small(n) for n in counted)
        why = "; ".join(reason if hidden else f"{reason} ({count(n)})" for reason, n in sorted(counted.items()))
        rows.append((
            f"{sheet}.tsv", count(len(entries)), WITHHELD if cells.small(left) else count(status.get("used", 0)),
            count(status.get("control", 0)), cells.people(left), (WITHHELD if hidden else why) or "–",
        ))  # fmt: skip
    return Table(
        "What became of every row of the study’s sheets",
        ("Sheet", "Rows", "Used", "Controls", "Left out", "Why"),
        tuple(rows),
        frozenset({"Why"}),
        f"{plural(len(audit), 'row')} in all. cohort/join_audit.tsv has each with its reason (not for sharing).",
        folded=True,
        source=("cohort/join_audit.tsv",),
        key="rows",
    )
