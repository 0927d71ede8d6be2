"""The section on who is in the study."""

import numpy as np

from hpaxis.labels import population_label
from hpaxis.report.blocks import Figure, Notice, Paragraph, Section, Table
from hpaxis.report.numbers import count, fixed, interval, people, percent, plural, significant, words
from hpaxis.report.privacy import WITHHELD, shown_flow

STEPS = {
    "enrolled": "enrolled",
    "saliva": "with a saliva library",
    "methylation": "library passed quality",
    "hair": "with a hair sample",
    "cortisol": "cortisol known",
}
CENSORED = " Open triangles are censored values, drawn at their limit and pointing to where the true value lies."


def cohort_section(arms, attrition, audit, analysis, index, figures, smallest):
    """Return the section: flow by arm, what became of every row, and the measures by arm.

    ``attrition``, ``audit`` and ``analysis`` are the cohort stage's tables, ``index`` the name of the methylation
    index that the primary model uses, ``figures`` maps ``flow`` and ``distributions`` to SVG text, ``smallest`` is
    the smallest count of people that may be told.
    """
    flow = shown_flow(attrition, smallest)
    hair = analysis["cortisol_censored"].notna().any()
    saliva = f"{index}_beta" in analysis
    measured = [name for name, there in (("methylation", saliva), ("hair cortisol", hair)) if there]
    title = f"{words(measured)} by arm".capitalize()
    blocks = [_opening(arms, attrition), _missing_arms(arms, attrition)]
    withheld = (flow["left"] == WITHHELD).any()
    note = (
        f"Steps that lose from 1 to {smallest - 1} people of an arm are withheld (report.smallest_cell); "
        "the numbers before and after stand."
        if withheld
        else None
    )
    blocks += [
        Figure(
            "flow",
            "Flow of participants by arm",
            f"Boxes from enrolment to the last step{_lanes(flow)}. " + _flow_in_words(flow),
            figures["flow"],
            note,
        ),
        _flow_table(flow, note),
        measured
        and Figure(
            "distributions",
            title,
            f"Points by arm for {words(population_label(r) for r in dict.fromkeys(analysis['role'].dropna()))}; "
            "the numbers stand in the tables below.",
            figures.get("distributions"),
            "Each point is a person; the thick line is the median of the known values, "
            "the thin one their middle half." + (CENSORED if hair else ""),
        ),
        methylation_table(arms, analysis, index) if saliva else None,
        cortisol_table(arms, analysis, smallest) if hair else None,
        _audit_table(audit, smallest),
    ]
    return Section("participants", "Who is in it", tuple(b for b in blocks if b))


def _lanes(flow):
    tissues = [t for chain, t in (("methylation", "saliva"), ("cortisol", "hair")) if (flow["chain"] == chain).any()]
    return f", {words(f'one lane for {t}' for t in tissues)} in each arm" if tissues else ""


def _opening(arms, attrition):
    enrolled = attrition[attrition["step"] == "enrolled"]
    if enrolled.empty:
        return Paragraph("The participants sheet names nobody in the arms of this study.")
    parts = []
    for population, rows in enrolled.groupby("population", sort=False):
        by_arm = words(f"{count(n)} {arm}" for arm, n in zip(rows["arm"], rows["n_after"], strict=True))
        parts.append(f"{count(rows['n_after'].sum())} {population_label(population)} ({by_arm})")
    return Paragraph(
        f"Enrolled were {words(parts)}. Every participant keeps a row in the analysis table; what one lacks is "
        f"missing there, and each model uses the rows that are complete for it. The reference arm is {arms[0]}."
    )


def _missing_arms(arms, attrition):
    enrolled = attrition[attrition["step"] == "enrolled"].groupby("arm")["n_after"].sum()
    empty = [arm for arm in arms if not enrolled.get(arm, 0)]
    if not empty:
        return None
    return Notice(f"Nobody is in {'arm' if len(empty) == 1 else 'the arms'} {words(empty)}.", "warning")


def _flow_in_words(flow):
    parts = [f"{r.population}, {r.arm}, {STEPS.get(r.step, r.step)}: {r.stays}" for r in flow.itertuples(index=False)]
    return "; ".join(parts) + "."


def _flow_table(flow, note):
    rows = tuple(
        (
            population_label(r.population).capitalize(),
            r.arm,
            STEPS.get(r.step, r.step),
            "–" if r.chain == "enrolment" else r.left,
            r.stays,
            "–" if r.reason in ("NA", "") or r.reason != r.reason else r.reason,
        )
        for r in flow.itertuples(index=False)
    )
    return Table(
        "Flow of participants",
        ("Population", "Arm", "Step", "Left out", "n after", "Why"),
        rows,
        frozenset({"Arm", "Step", "Why"}),
        note or ("Saliva and hair are counted separately, each from everybody enrolled." if _lanes(flow) else None),
        folded=True,
    )


def methylation_table(arms, analysis, index):
    """Return the table of the methylation index by population and arm.

    Quartiles, not extremes: the largest value of an arm is one person's.
    """
    rows = tuple((*who, *_methylation_cells(group, index)) for who, group in _groups(arms, analysis))
    return Table(
        "Methylation by arm",
        ("Population", "Arm", "n", "Mean (SD)", "Median [quartiles]"),
        rows,
        frozenset({"Arm"}),
        f"The index {index}, in percent, of libraries that did not fail.",
    )


def cortisol_table(arms, analysis, smallest):
    """Return the table of hair cortisol by population and arm."""
    rows = tuple((*who, *_cortisol_cells(group, smallest)) for who, group in _groups(arms, analysis))
    return Table(
        "Hair cortisol by arm",
        ("Population", "Arm", "n", "Below / above limits", "Geometric mean", "Median [quartiles]"),
        rows,
        frozenset({"Arm"}),
        "In pg/mg. Values beyond the assay’s limits are counted as such and left out of the geometric mean; quartiles "
        "count them at their limit.",
    )


def _groups(arms, analysis):
    for role in dict.fromkeys(analysis["role"].dropna()):
        for arm in arms:
            group = analysis[(analysis["role"] == role) & (analysis["arm"] == arm)]
            yield (population_label(role).capitalize(), arm), group


def _methylation_cells(group, index):
    values = group[f"{index}_beta"].dropna()
    if not len(values):
        return "0", "–", "–"
    low, middle, high = (100 * values.quantile(q) for q in (0.25, 0.5, 0.75))
    sd = values.std(ddof=1)
    mean_sd = f"{percent(values.mean())} ({fixed(100 * sd)})" if len(values) > 1 else percent(values.mean())
    return count(len(values)), mean_sd, f"{fixed(middle)}% {interval(low, high)}"


def _cortisol_cells(group, smallest):
    known = group["cortisol_pg_per_mg"].dropna()
    censored = group["cortisol_censored"].fillna("none")
    below, above = (int((censored == side).sum()) for side in ("below", "above"))
    n = len(known) + below + above
    if n == 0:
        return "0", "–", "–", "–"
    beyond = f"{people(below, smallest)} / {people(above, smallest)}"
    mean = significant(np.exp(np.log(known).mean())) if len(known) else "–"
    return count(n), beyond, mean, _quartiles(group, known)


def _quartiles(group, known):
    """Quartiles that count censored values at their limit; one that would be such a limit says so."""
    limits = group["cortisol_limit_pg_per_mg"][group["cortisol_pg_per_mg"].isna()].dropna()
    sides = group["cortisol_censored"].reindex(limits.index)
    values = np.concatenate([known, limits])
    marks = np.concatenate([np.full(len(known), ""), np.where(sides == "below", "<", ">")])
    if not len(values):
        return "–"
    order = np.argsort(values, kind="stable")
    cells = []
    for q in (0.25, 0.5, 0.75):
        at = order[round(q * (len(values) - 1))]
        cells.append(f"{marks[at]}{significant(values[at])}")
    return f"{cells[1]} [{cells[0]}, {cells[2]}]"


def _audit_table(audit, smallest):
    rows = []
    for sheet, entries in audit.groupby("sheet", sort=False):
        status = entries["status"].value_counts()
        reasons = entries.loc[entries["reason"].notna() & (entries["status"] == "left out"), "reason"]
        counted = reasons.str.split(":").str[0].value_counts(sort=False)
        why = "; ".join(f"{reason} ({people(n, smallest)})" for reason, n in sorted(counted.items()))
        rows.append((
            f"{sheet}.tsv", count(len(entries)), count(status.get("used", 0)), count(status.get("control", 0)),
            people(status.get("left out", 0), smallest), why or "–",
        ))  # fmt: skip
    return Table(
        "What became of every row of the study’s sheets",
        ("Sheet", "Rows", "Used", "Controls", "Left out", "Why"),
        tuple(rows),
        frozenset({"Why"}),
        "Row by row, with reasons, in cohort/join_audit.tsv beside this page’s folder (not for sharing). "
        f"{plural(len(audit), 'row')} in all.",
        folded=True,
    )
