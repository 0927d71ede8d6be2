"""The section on saliva cortisol: tubes, areas under the curve and the awakening response by arm, days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis.labels import population_label
from hpaxis.report.blocks import Notice, Paragraph, Section, Table
from hpaxis.report.numbers import count, fixed, plural, significant

if TYPE_CHECKING:
    from hpaxis.report.privacy import Cells

WORDS = {
    "auc_g": "AUCg (nmol/L × h)",
    "auc_i": "AUCi (nmol/L × h)",
    "awakening": "Awakening response, area (nmol/L × h)",
    "rise": "Awakening response, mean rise (nmol/L)",
}
TABLES = ("saliva_tubes", "saliva_days", "saliva_series", "saliva_reliability")


def series_section(
    tables: Mapping[str, pd.DataFrame], analysis: pd.DataFrame, arms: Sequence[str], cells: Cells
) -> Section:
    """Return the section.

    ``tables`` maps `TABLES` to the cortisol stage's; ``analysis`` is the cohort's table, ``arms`` the config's list,
    ``cells`` `hpaxis.report.privacy.Cells`.
    """
    tubes, days, series = tables["saliva_tubes"], tables["saliva_days"], tables["saliva_series"]
    blocks = [
        _opening(tubes, series, cells),
        _lost(tubes, cells),
        by_arm(analysis, arms, cells),
        _flags(days, cells),
        _days(tables["saliva_reliability"], cells),
    ]
    return Section("series", "Saliva cortisol", tuple(b for b in blocks if b is not None))


def _opening(tubes: pd.DataFrame, series: pd.DataFrame, cells: Cells) -> Paragraph:
    below = int((tubes["censored"] == "below").sum())
    text = f"{plural(len(tubes), 'tube')} of saliva make {plural(len(series), 'series')}. ".replace("seriess", "series")
    if below:
        text += (
            f"Below the limit: {cells.people(below)}; such a tube counts as half of its limit, with an error to match. "
        )
    return Paragraph(
        f"{text}AUCg and AUCi are areas under the concentrations with respect to ground and to increase, by Pruessner "
        "and others (2003), over all tubes of a day; days are averaged. Errors are of measurement: between tubes, a "
        "straight line is assumed."
    )


def _lost(tubes: pd.DataFrame, cells: Cells) -> Notice | None:
    reasons = tubes.loc[tubes["used"] == "no", "reason"].value_counts(sort=False).sort_index()
    if reasons.empty:
        return None
    said = "; ".join(f"{cells.people(int(n))} {reason}" for reason, n in reasons.items())
    return Notice(f"Tubes without a concentration: {said}.", "warning")


def by_arm(analysis: pd.DataFrame, arms: Sequence[str], cells: Cells) -> Notice | Table:
    """Return the measures by population and arm: n, median and quartiles, and the median standard error."""
    rows = []
    for role in dict.fromkeys(analysis["role"].dropna()):
        for arm in arms:
            here = analysis[(analysis["role"] == role) & (analysis["arm"] == arm)]
            for name, words in WORDS.items():
                known = here[f"saliva_{name}"].dropna()
                if known.empty:
                    continue
                if cells.small(len(known)):
                    rows.append((population_label(role).capitalize(), arm, words, cells.people(len(known)), "–", "–"))
                    continue
                quartiles = [significant(known.quantile(q)) for q in (0.5, 0.25, 0.75)]
                error = here[f"saliva_{name}_se"].median()
                rows.append((
                    population_label(role).capitalize(), arm, words, cells.known(len(known), len(here)),
                    f"{quartiles[0]} [{quartiles[1]}, {quartiles[2]}]",
                    significant(error) if pd.notna(error) else "–",
                ))  # fmt: skip
    if not rows:
        return Notice("No series allows an area or an awakening response.", "warning")
    return Table(
        "Saliva cortisol by arm", ("Population", "Arm", "Measure", "n", "Median [quartiles]", "Median SE"),
        tuple(rows), frozenset({"Arm", "Measure"}),
        "SE: what measurement adds to one person's value.",
        source=("cohort/analysis.tsv", "cortisol/saliva_series.tsv"), key="series-by-arm",
    )  # fmt: skip


def _flags(days: pd.DataFrame, cells: Cells) -> Paragraph | Table:
    flags = days["flags"].dropna().str.split(";").explode()
    flags = flags[flags != ""].value_counts(sort=False).sort_index()
    if flags.empty:
        return Paragraph("No day carries a flag.")
    return Table(
        "Flags of days", ("Flag", "Days"),
        tuple((str(flag).replace("_", " "), cells.people(int(n))) for flag, n in flags.items()),
        note=f"{plural(len(days), 'day')} in all. What each means: docs/cortisol.md.",
        source=("cortisol/saliva_days.tsv",),
    )  # fmt: skip


def _days(reliability: pd.DataFrame, cells: Cells) -> Paragraph | Table:
    known = reliability[reliability["icc"].notna()]
    if known.empty:
        return Paragraph(
            "Fewer than three people have two days: how much a person differs from day to day is not known, and is in "
            "no error here."
        )
    return Table(
        "Reliability over days", ("Measure", "People", "Days", "ICC(1,1)", "95% CI", "ICC(1,k)"),
        tuple(
            (WORDS[r.measure], cells.people(int(r.subjects)), count(r.measurements), fixed(r.icc),
             f"[{fixed(r.icc_low)}, {fixed(r.icc_high)}]", fixed(r.icc_mean))
            for r in known.itertuples()
        ),
        note="ICC(1,1) is the reliability of one day, ICC(1,k) of the mean over days.",
        source=("cortisol/saliva_reliability.tsv",), key="series-reliability",
    )  # fmt: skip
