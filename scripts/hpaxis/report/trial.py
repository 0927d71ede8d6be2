"""A model's further questions on the page: change, groups, other outcomes, priors. Each stands only where asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpaxis.labels import column_label, quantity_label
from hpaxis.report.blocks import Table
from hpaxis.report.numbers import MISSING, bounded, count, digits_for, fixed, interval, p_value, significant
from hpaxis.report.privacy import WITHHELD

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.report.models import ModelResult
    from hpaxis.report.privacy import Cells


def trial_blocks(result: ModelResult, cells: Cells) -> list[Table]:
    """Return the blocks of `hpaxis.moderation.trial` for one fitted model; none where nothing was asked.

    Where few people could be counted from a table (``cells``), the page offers its cells as shown, not its file's.
    """
    makers = {
        "change": _change, "generalised": _generalised, "generalised_verdict": _verdicts, "mixed": _mixed,
        "prior": _prior, "arms": _arms,
    }  # fmt: skip
    asked = [(name, maker, result.tables.get(name)) for name, maker in makers.items()]
    return [
        replace(
            maker(table, result, cells),
            source=(f"moderation/{result.name}/{name}.tsv",),
            data=table if cells.all_shown or name == "prior" else None,
        )
        for name, maker, table in asked
        if table is not None and len(table)
    ]


def _people(n: float, result: ModelResult, cells: Cells) -> str:
    """The n of complete cases, withheld where it would show how few people have a censored outcome."""
    return WITHHELD if result.hides_complete(cells) else count(n)


def _change(table: pd.DataFrame, result: ModelResult, cells: Cells) -> Table:
    # Who lacks a timepoint would follow from the n analysed; the n of one arm from that of all.
    both = table.loc[table["quantity"] == "mean change"]
    hidden = any(cells.small(abs(n - result.counts.get(arm, n))) or cells.small(n)
                 for arm, n in both[["arm", "n"]].itertuples(index=False))  # fmt: skip
    rows = []
    for row in table.to_dict("records"):
        difference = row["quantity"].startswith("difference")
        digits = digits_for(row["se"]) if difference else 4
        mean = f"{significant(row['estimate'])} ({significant(row['sd'])})"
        numbers = mean, MISSING, MISSING
        if difference:
            between = interval(row["low"], row["high"], digits)
            numbers = fixed(row["estimate"], digits), between, p_value(row["p"])
        n = WITHHELD if hidden else count(row["n"])
        names = column_label(row["measure"]), row["quantity"], result.contrast(row["arm"])
        rows.append((*names, n, *numbers, bounded(row["reliability"])))
    return Table(
        "From baseline to follow-up",
        ("Measure", "Quantity", "Arm", "n", "Mean (SD) or difference", "CI", "p", "Reliability"),
        tuple(rows),
        frozenset({"Quantity", "Arm"}),
        "Reliability is the share of the variance between people that is not measurement error: that of a change is "
        "lower than that of a level, and below zero errors exceed all differences between people. The difference "
        "adjusted for baseline is the effect of the arm on the measure (analysis of covariance). "
        + _plates(both, hidden, cells),
    )


def _plates(both: pd.DataFrame, hidden: bool, cells: Cells) -> str:
    """How many were measured on one plate at both timepoints, by arm."""
    said = {}
    for arm, note in both[["arm", "note"]].drop_duplicates().itertuples(index=False):
        numbers, places = zip(*(part.split(" ", 1) for part in note.split("; ")), strict=True)
        if not numbers[0].isdigit():
            said[arm] = note
        elif len(numbers) == 1:
            said[arm] = f"all {places[0]}"
        else:
            shown = [WITHHELD] * len(numbers) if hidden else cells.parts([int(n) for n in numbers])
            said[arm] = ", ".join(f"{n} {place}" for n, place in zip(shown, places, strict=True))
    return "The two timepoints of a person, by arm: " + "; ".join(f"{a}: {n}" for a, n in said.items()) + "."


def _estimates(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    digits = digits_for(row["se"])
    return (
        fixed(row["estimate"], digits),
        fixed(row["se"], digits),
        interval(row["low"], row["high"], digits),
        p_value(row["p"]),
    )


def _generalised(table: pd.DataFrame, result: ModelResult, cells: Cells) -> Table:
    kind = table["kind"].iloc[0]
    weighted = f"; rows weighted by {result.entry['weights']}" if result.entry["weights"] else ""
    notes = [n for n in table["note"].dropna().unique() if n]
    people = _people(table["n"].iloc[0], result, cells)
    return Table(
        f"The same question for a {kind} outcome",
        ("Scale", "Quantity", "Estimate", "SE", "CI", "p"),
        tuple(
            (r["scale"], quantity_label(r["quantity"], result.entry["moderator"]), *_estimates(r))
            for r in table.to_dict("records")
        ),
        frozenset({"Quantity"}),
        f"Robust errors ({table['covariance'].iloc[0]}), n = {people}{weighted}. Slopes on the scale people read are "
        "averages over everyone, moved to each arm; on that scale the product term is not the interaction, the "
        "difference of the averages is." + "".join(f" {n[:1].upper()}{n[1:]}." for n in notes),
    )


def _verdicts(table: pd.DataFrame, result: ModelResult, cells: Cells) -> Table:
    rows = []
    for r in table.to_dict("records"):
        digits = digits_for((r["difference_high"] - r["difference_low"]) / 4)
        ends = f"{significant(r['region_low'])} to {significant(r['region_high'])}"
        places = {"none": "nowhere", "all": "everywhere observed", "outside": f"outside {ends}"}
        kind = r["region_kind"] if isinstance(r["region_kind"], str) else MISSING
        rows.append(
            (
                r["scale"],
                result.contrast(r["contrast"]),
                r["verdict"],
                f"{fixed(r['difference'], digits)} {interval(r['difference_low'], r['difference_high'], digits)}",
                places.get(kind, MISSING if kind == MISSING else ends),
                MISSING if r["n_significant"] != r["n_significant"] else cells.part(r["n_significant"], r["n"]),
            )
        )
    margin = table["margin"].dropna()
    said = f" Smallest slope of interest: {significant(margin.iloc[0])}." if len(margin) else ""
    return Table(
        "What can be said on the link and on the scale people read",
        ("Scale", "Arms", "Verdict", "Difference of slopes", "Arms differ where the predictor is", "n there"),
        tuple(rows),
        frozenset({"Arms", "Verdict", "Arms differ where the predictor is"}),
        "Verdicts follow from the slopes on each scale; the regions hold over all observed values at once, on the "
        f"model’s scale of the predictor.{said}",
    )


def _mixed(table: pd.DataFrame, result: ModelResult, cells: Cells) -> Table:
    first = table.iloc[0]
    note = f" {first['note']}." if isinstance(first["note"], str) and first["note"] else ""
    inside = re.sub(r"(\d+) of (\d+)", lambda m: cells.part(int(m[1]), int(m[2])), first["nested_in"])
    return Table(
        f"A random effect of {column_label(first['group'])}",
        ("Quantity", "b", "SE", "CI", "p", "df"),
        tuple(
            (quantity_label(r["quantity"], result.entry["moderator"]), *_estimates(r), fixed(r["df"], 1))
            for r in table.to_dict("records")
        ),
        note=f"Mixed model (REML) with {count(first['groups'])} groups in {inside}, n = "
        f"{_people(first['n'], result, cells)}; degrees of freedom after Satterthwaite. Intraclass correlation "
        f"{bounded(first['icc'])} {interval(first['icc_low'], first['icc_high'])}.{note}",
    )


def _arms(table: pd.DataFrame, result: ModelResult, cells: Cells) -> Table:
    rows = []
    for r in table.to_dict("records"):
        digits = digits_for(r["se"])
        together = interval(r["low_simultaneous"], r["high_simultaneous"], digits)
        pair = r["p_simultaneous"] == r["p_simultaneous"]
        rows.append((f"{r['quantity'].capitalize()}: {result.contrast(r['arm'])}", *_estimates(r),
                     together if pair else "", p_value(r["p_simultaneous"]) if pair else ""))  # fmt: skip
    return Table(
        "The arms beside each other" + ("" if result.reported is None else ", complete cases"),
        ("Quantity", "Estimate", "SE", "CI", "p", "CI, all pairs at once", "p, all pairs at once"),
        tuple(rows),
        note="Levels are expected outcomes at the predictor’s mean, covariates at theirs. Intervals and p that hold "
        "for all pairs at once are those of the largest of all t (max-t), levels and slopes each by themselves.",
    )


def _prior(table: pd.DataFrame, result: ModelResult, cells: Cells) -> Table:
    rows = []
    for r in table.to_dict("records"):
        about = f"mean {significant(r['prior_mean'])}, SD {significant(r['prior_sd'])}"
        about = "the data alone" if r["prior"] == "none" else about
        overturns = "yes" if r["overturns"] else "no"
        name = f"{result.contrast(r['quantity'])}: {r['prior']}"
        rows.append((name, about, *_estimates({**r, "p": None})[:3], bounded(r["share_of_prior"]), overturns))
    sources = [
        f"{p}: {s}" for p, s in table[["prior", "source"]].drop_duplicates().itertuples(index=False) if p != "none"
    ]
    return Table(
        "What prior knowledge makes of the difference of slopes",
        ("Prior", "Distribution", "Estimate", "SD", "Interval", "Prior’s share", "Overturns"),
        tuple(rows),
        frozenset({"Distribution"}),
        "Normal prior and normal likelihood, in closed form. "
        + "; ".join(sources)
        + ". The critical sceptical prior is "
        "the widest prior about zero under which the interval just reaches zero: whoever holds a narrower one is not "
        "convinced by these data.",
    )
