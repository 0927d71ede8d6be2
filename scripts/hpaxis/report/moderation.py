"""The sections on the arm's effect on methylation and on the moderation, model by model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import pandas as pd

from hpaxis.labels import column_label, model_title, population_label, term_label
from hpaxis.report.blocks import Figure, Fold, Heading, Items, Notice, Paragraph, Section, Table
from hpaxis.report.models import difference_sentence, in_order, pair_of
from hpaxis.report.numbers import (
    MISSING,
    agreeing,
    bounded,
    count,
    degrees,
    digits_for,
    fixed,
    interval,
    p_phrase,
    p_value,
    significant,
    words,
)
from hpaxis.report.privacy import few_beside
from hpaxis.report.scrutiny import scrutiny_blocks
from hpaxis.report.trial import trial_blocks

if TYPE_CHECKING:
    from hpaxis.report.blocks import Block
    from hpaxis.report.models import ModelResult
    from hpaxis.report.privacy import Cells

ESTIMATE = ("b", "SE", "CI", "t", "df", "p")
ADJUSTMENTS = {"simultaneous": "whole range", "none": "pointwise", "fdr": "FDR held"}
# Where an effect differs from zero, within the observed range.
REGIONS = {
    "inside": "where {on} is between {low} and {high}",
    "outside": "where {on} is below {low} or above {high}",
    "below": "where {on} is at most {high}",
    "above": "where {on} is at least {low}",
    "all": "everywhere in the observed range of {on}",
    "none": "nowhere in the observed range of {on}",
}


def predictor_section(results: Sequence[ModelResult], cells: Cells) -> Section:
    """Return the section on T → M: whether the arm changed the predictor, asked before any moderation is read."""
    rows = []
    for result in in_order(results):
        if not result.refused:
            rows += _predictor_rows(result, cells)
    blocks = [
        Paragraph(
            "A moderation is read differently if the arm has changed the predictor itself, so this is asked first. "
            "Means are on each model’s own scale and over its own complete cases."
        )
    ]
    if rows:
        blocks.append(
            Table(
                "Predictor by arm, in every model",
                ("Model", "Comparison", "Mean (SD) by arm", "Difference", "CI", "Test", "p"),
                tuple(rows),
                frozenset({"Comparison", "Mean (SD) by arm"}),
                "CI = confidence interval of the difference of means, with the model’s covariance; p values are "
                "two-sided and not adjusted for the number of models. The last test of each model asks whether the "
                "predictor spreads alike in the arms (Brown and Forsythe).",
                source=("moderation/*/predictor_by_arm.tsv",),
                key="predictor-by-arm",
                data=pd.concat([_offered(r, cells) for r in results if not r.refused]),
            )
        )
    else:
        blocks.append(Notice("No model could be fitted, so there is nothing to compare.", "warning"))
    return Section("predictor", "Did the arm change the predictor? (T → M)", tuple(blocks))


def _offered(result: ModelResult, cells: Cells) -> pd.DataFrame:
    """The table of the predictor as the page offers it: without n and df where few people lack a value."""
    table = result.tables["predictor_by_arm"].assign(model=result.name)
    return table.drop(columns=["n", "df"]) if result.hides_complete(cells) else table


def _predictor_rows(result: ModelResult, cells: Cells) -> list[tuple[str, ...]]:
    table = result.tables["predictor_by_arm"]
    arms = table[table["mean"].notna()]
    means = "; ".join(
        f"{result.contrast(r['comparison'])} {significant(r['mean'])} ({significant(r['sd'])})"
        for _, r in arms.iterrows()
    )
    rows = []
    for _, row in table[table["mean"].isna()].iterrows():
        digits = digits_for(row["se"])
        first = row["test"] == "t"
        name = "F" if "F" in str(row["test"]) else "t"
        rows.append((
            result.name if result.hides_complete(cells) else f"{result.name} (n = {count(row['n'])})",
            result.contrast(row["comparison"]),
            means if not rows else "",
            fixed(row["estimate"], digits) if first else "–",
            interval(row["low"], row["high"], digits) if first else "–",
            f"{name} = {fixed(row['t'])}",
            p_value(row["p"]),
        ))  # fmt: skip
    return rows


def moderation_section(results: Sequence[ModelResult], cells: Cells, figures: Mapping[str, str]) -> Section:
    """Return the section on the models: the primary one whole, the others one row each, unfolding.

    ``cells`` is `hpaxis.report.privacy.Cells`; ``figures`` maps ``forest`` to SVG text (absent without a model).
    """
    ordered = in_order(results)
    blocks = [
        Paragraph(
            "All numbers of a model (coefficients, slopes, region) come from one covariance. Every p value is "
            "two-sided "
            "and not adjusted for the number of models. Only the primary model answers the question."
        ),
        *_forest(ordered, figures),
        overview_table(ordered, cells),
        *model_blocks(ordered[0], cells, whole=True),
    ]
    for result in ordered[1:]:
        heading, *rest = model_blocks(result, cells, whole=False)
        kept = tuple(b for b in rest if b is not None)
        blocks.append(Fold(heading.key, f"Model {result.name}: {heading.title}", kept))
    return Section("moderation", "Moderation", tuple(b for b in blocks if b is not None))


def _forest(results: Sequence[ModelResult], figures: Mapping[str, str]) -> list[Figure]:
    fitted = [r for r in results if not r.refused]
    if "forest" not in figures or not fitted:
        return []
    said = "; ".join(
        f"{r.title}: {fixed(row['estimate'], digits_for(row['se']))} "
        f"{interval(row['low'], row['high'], digits_for(row['se']))}"
        for r in fitted
        for _, row in r.differences.iterrows()
    )
    return [
        Figure(
            "all-models",
            "The interaction (b₃) in every model, under each treatment of the data",
            f"Estimates with their intervals, one row for each model and treatment. Reported: {said}.",
            figures["forest"],
            "Filled: the treatment that is reported. Open: the same model under another treatment of missing, censored "
            "or imprecisely measured values. The line at zero is no difference between slopes.",
            source=("report/figures/moderation/forest.svg", "moderation/*/sensitivity.tsv"),
            data=forest_data(fitted),
        )
    ]


def forest_data(results: Sequence[ModelResult]) -> pd.DataFrame:
    """Return what the forest plot draws: model, treatment, reported, term, estimate, se, low, high, p."""
    rows = []
    for result in results:
        table = result.tables["sensitivity"]
        table = table[~table["quantity"].fillna("").str.startswith("slope[") & table["estimate"].notna()]
        for _, row in table.iterrows():
            reported = row["method"] == result.method
            rows.append((result.name, row["method"], reported, row["quantity"],
                         *(row[c] for c in ("estimate", "se", "low", "high", "p"))))  # fmt: skip
    columns = ["model", "treatment", "reported", "term", "estimate", "se", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns)


def overview_table(results: Sequence[ModelResult], cells: Cells) -> Table:
    """Return the table of the difference of slopes in every model, refused ones named."""
    rows, data = [], []
    for result in results:
        name = f"{result.name} (primary)" if result.entry["primary"] else result.name
        about = f"{column_label(result.entry['outcome'])} ({population_label(result.entry['population'])})"
        if result.refused:
            rows.append((name, about, "refused", *("–",) * 6))
            continue
        for _, row in result.differences.iterrows():
            several = len(result.differences) > 1
            data.append({"model": result.name, "treatment": result.method, "n": result.n, **row})
            rows.append((
                f"{name}: {result.contrast(row['contrast'])}" if several else name,
                about,
                result.method,
                count(result.n),
                *_numbers(row)[:3],
                p_value(row["p"]),
                MISSING if result.hides_complete(cells) else bounded(result.fit("delta_r2")),
            ))  # fmt: skip
    return Table(
        "The interaction (b₃) in every model",
        ("Model", "Outcome", "Treatment of the data", "n", "b₃", "SE", "CI", "p", "ΔR²"),
        tuple(rows),
        frozenset({"Outcome", "Treatment of the data"}),
        "b₃ is the difference between slopes, outcome and predictor in SD where the model’s entry says so. ΔR² is what "
        "the product terms add to R² in complete cases.",
        source=("moderation/*/slope_differences.tsv", "moderation/*/sensitivity.tsv", "moderation/*/fit.tsv"),
        data=pd.DataFrame(data),
    )


def model_blocks(result: ModelResult, cells: Cells, whole: bool) -> list[Block | None]:
    """Return the blocks of one model: what it says, its tables, and with ``whole`` its figures; or why it was refused.

    The heading comes first.
    """
    key = f"model-{result.name.replace('_', '-')}"
    title = result.entry["title"] or model_title(result.entry)
    primary = " (primary)" if result.entry["primary"] else ""
    heading = Heading(key, f"{title}{primary}", f"{result.name}{primary}")
    if result.refused:
        return [
            heading,
            Notice("This model was refused before anything was fitted.", "warning"),
            Items(result.problems),
        ]
    said = [difference_sentence(result, row) for _, row in result.differences.iterrows()]
    text = f"Model {result.name}, {result.who()}: {'; '.join(said)}. {region_sentence(result, result.region, cells)}"
    hidden = result.hides_complete(cells)
    return [
        heading,
        Paragraph(text),
        _bounds(result, cells),
        _treatment(result, hidden),
        _left_out(result, cells),
        *(_figures(result, cells) if whole and not hidden else ()),
        None if hidden else coefficient_table(result),
        slope_table(result),
        region_table(result, cells),
        None if hidden else fit_table(result, folded=whole),
        *scrutiny_blocks(result, cells, whole),
        *trial_blocks(result, cells),
    ]


def _bounds(result: ModelResult, cells: Cells) -> Paragraph | None:
    """The largest slopes that the data do not exclude, and where the lines cross; None without arms."""
    parts = []
    for _, row in result.differences.iterrows():
        found = result.verdict_of(row["contrast"])
        if not result.counts or not found:
            continue
        arm, reference = map(result.level, pair_of(result, row["contrast"]))
        digits = digits_for(row["se"])
        largest = {part: fixed(found[f"largest_{part}"], digits) for part in ("arm", "reference", "difference")}
        parts.append(
            f"The largest slopes, up or down, that these data do not exclude are {largest['arm']} in {arm} and "
            f"{largest['reference']} in {reference}; the largest difference between these two is "
            f"{largest['difference']}."
        )
        if declared := found["margin"] == found["margin"]:
            margin = fixed(found["margin"], digits)
            tests = ", ".join(
                f"{who} p {p_phrase(found[f'tost_{part}_p'])}"
                for part, who in (("arm", arm), ("reference", reference), ("difference", "difference"))
            )
            parts.append(f"Within the smallest slope of interest, {margin}, by two one-sided tests: {tests}.")
        parts.append(_crossing(result, found, cells))
    if parts and not declared:
        parts.append("No smallest slope of interest was declared, so that no slope can be called absent.")
    return Paragraph(" ".join(parts)) if parts else None


def _crossing(result: ModelResult, found: Mapping[str, Any], cells: Cells) -> str:
    """Where two arms' lines cross, with the interval, and the people below."""
    if found["crossing_kind"] != "bounded":
        return "These data do not show where the two lines cross: the interval of the crossing point is not bounded."
    place, low, high = (result.on_predictor(found[c]) for c in ("crossing", "crossing_low", "crossing_high"))
    below = cells.part(int(found["n_below"]), int(found["n"]))
    return (
        f"The lines cross at {place} ({result.confidence} CI from {low} to {high}); {below} people "
        f"{agreeing(below, 'lies', 'lie')} below."
    )


def _treatment(result: ModelResult, hidden: bool) -> Paragraph | None:
    weights = result.entry["weights"]
    weighted = f"Rows are weighted by {weights} in every number of this model." if weights is not None else ""
    if result.reported is None:
        return Paragraph(weighted) if weighted else None
    why = "some values of hair cortisol are only known to lie beyond a limit"
    text = f"These are the numbers of {result.method}, since {why}; so are the tables of slopes and region."
    text = f"{weighted} {text}".strip()
    if hidden:
        return Paragraph(
            f"{text} Coefficients, fit and figures of complete cases are withheld: beside the n reported, their n "
            "would "
            "show how few people have such a value (report.smallest_cell). The table of other treatments has no n "
            "either."
        )
    return Paragraph(
        f"{text} Figures, coefficients and fit are of complete cases; the table of other treatments shows both."
    )


def _left_out(result: ModelResult, cells: Cells) -> Paragraph | None:
    reasons = result.left_out()
    who = population_label(result.entry["population"])
    if not reasons:
        return Paragraph(f"Every row of this population ({who}) is complete.")
    total, used = sum(reasons.values()), int(result.fit("n"))
    if result.hides_complete(cells):
        return None
    text = f"{count(used)} of {count(used + total)} {who} are complete cases."
    if any(cells.small(n) for n in reasons.values()):
        return Paragraph(f"{text} Why the others are not is withheld, since few share a reason (report.smallest_cell).")
    shown = words(f"{_reason(r)} ({count(n)})" for r, n in reasons.items())
    return Paragraph(f"{text} The others: {shown}.")


def _reason(reason: str) -> str:
    label, _, columns = reason.partition(": ")
    return f"{label} {words(column_label(c) for c in columns.split(', '))}" if columns else reason


def _figures(result: ModelResult, cells: Cells) -> list[Figure]:
    """The figure of the region; that of the slopes stands beside the answer."""
    drawn = _effects_figure(result, cells)
    return [] if drawn is None else [drawn]


def slopes_figure(result: ModelResult, cells: Cells) -> Figure | None:
    """Return the figure of each arm’s line with the people behind it, of complete cases; None where it is absent."""
    if "slopes" not in result.figures:
        return None
    outcome, predictor = column_label(result.entry["outcome"]), column_label(result.entry["predictor"])
    said = "; ".join(
        f"slope {fixed(r['estimate'], digits_for(r['se']))} "
        f"{interval(r['low'], r['high'], digits_for(r['se']))} at {_place(r['moderator'], result)}"
        for _, r in result.tables["slopes"].iterrows()
    )
    return Figure(
        f"{result.name}-slopes",
        f"{outcome[0].upper()}{outcome[1:]} and {predictor} by {column_label(result.entry['moderator'])}"
        f"{_complete(result)}",
        f"Points and fitted lines with bands: {said}. {region_sentence(result, result.tables['region'], cells)}",
        result.figures["slopes"],
        f"Lines: fitted, covariates at their means, with pointwise {result.confidence} bands. "
        + (
            "Points are left out: few people lie on one side of a place that this page gives (report.smallest_cell). "
            if few_beside(result.tables, cells)
            else "Points: one person each, the outcome moved to the means of the covariates. "
        )
        + (
            "Shaded: the region of significance over the whole observed range at once."
            if (_simultaneous(result)["observed_kind"] != "none").any()
            else "No region is shaded: the effect is shown nowhere over the whole observed range at once."
        ),
        source=(f"report/figures/models/{result.name}/slopes.svg", f"moderation/{result.name}/lines.tsv"),
        data=result.tables["lines"],
    )


def _effects_figure(result: ModelResult, cells: Cells) -> Figure | None:
    if "effects" not in result.figures:
        return None
    return Figure(
        f"{result.name}-effects",
        f"Where the effect differs from zero (Johnson–Neyman){_complete(result)}",
        f"The effect with its band over the observed range. {region_sentence(result, result.tables['region'], cells)}",
        result.figures["effects"],
        f"Band: {result.confidence} over the whole range at once, from the same covariance. Dotted: pointwise, with "
        "the ends of its region, if any. Dashed: the ends with the false discovery rate held, if any. Shaded darker: "
        "where the band excludes zero, if anywhere.",
        source=(f"report/figures/models/{result.name}/effects.svg", f"moderation/{result.name}/effects.tsv"),
        data=result.tables["effects"],
    )


def _simultaneous(result: ModelResult) -> pd.DataFrame:
    region = result.tables["region"]
    return region[region["adjustment"] == "simultaneous"]


def region_sentence(result: ModelResult, region: pd.DataFrame, cells: Cells) -> str:
    """Return where the arms differ (or the slope differs from zero): over the whole range at once, and pointwise.

    ``region`` has one row for each contrast and adjustment.
    """
    parts = []
    for _, row in region[region["adjustment"] == "simultaneous"].iterrows():
        if result.counts:
            arm, reference = map(result.level, pair_of(result, row["contrast"]))
            subject, differs = "the outcome", f"between {arm} and {reference}"
        else:
            subject, differs = f"the {result.contrast(row['contrast'])}", "from zero"
        who = f" ({cells.part(row['n_significant'], row['n'])} people)" if row["n_significant"] else ""
        none = row["observed_kind"] == "none"
        verb, where = "is not shown to differ" if none else "differs", _where(result, row)
        where = where.replace("nowhere", "anywhere") if none else where
        parts.append(f"Over the whole range at once, {subject} {verb} {differs} {where}{who}.")
        for _, other in region[(region["adjustment"] == "none") & (region["contrast"] == row["contrast"])].iterrows():
            who = f" ({cells.part(other['n_significant'], other['n'])} people)" if other["n_significant"] else ""
            parts.append(f"Each value by itself (pointwise): {_where(result, other)}{who}.")
    return " ".join(parts)


def _ends(result: ModelResult, row: pd.Series) -> str:
    """The intervals of a region's ends within the data, in the units in which the ends are given."""
    place = _placed(result, row)
    sides = [(row[f"{end}_from"], row[f"{end}_to"]) for end in ("low", "high")]
    return ", ".join(
        "[" + "; ".join(place(v) if isfinite(v) else "∞" if v > 0 else "−∞" for v in ends) + "]"
        for ends in sides
        if ends[0] == ends[0]
    ) or MISSING  # fmt: skip


def _placed(result: ModelResult, row: pd.Series) -> Callable[[float], str]:
    """Return what writes a value of the column that a region lies across."""
    return result.on_predictor if str(row["across"]) == result.entry["predictor"] else significant


def _where(result: ModelResult, row: pd.Series) -> str:
    across = str(row["across"])
    ends = (row["observed_low"], row["observed_high"])
    place = _placed(result, row)
    low, high = (MISSING if end != end else place(end) for end in ends)
    return REGIONS[row["observed_kind"]].format(low=low, high=high, on=column_label(across))


def coefficient_table(result: ModelResult, folded: bool = False) -> Table:
    """Return the coefficients in APA layout, OLS errors beside a robust covariance."""
    table = result.own_coefficients()
    beside = table["se_ols"].notna().any()
    rows = []
    for _, row in table.iterrows():
        cells = (term_label(row["term"]), *_numbers(row))
        rows.append(cells + ((fixed(row["se_ols"], digits_for(row["se"])), p_value(row["p_ols"])) if beside else ()))
    note = (
        f"{result.who_complete()}. b on the model’s scale ("
        f"{words(result.entry['standardise']) or 'nothing'} standardised); "
        f"CI = {result.confidence} confidence interval; errors from {result.covariance} with t; p two-sided."
    )
    return Table(
        f"Coefficients of model {result.name}{_complete(result)}",
        ("Term", *ESTIMATE, *(("SE (OLS)", "p (OLS)") if beside else ())),
        tuple(rows),
        note=note,
        folded=folded,
        source=(f"moderation/{result.name}/coefficients.tsv",),
        data=table,
    )


def _complete(result: ModelResult) -> str:
    return "" if result.reported is None else ", complete cases"


def slope_table(result: ModelResult, folded: bool = False) -> Table:
    """Return the simple slopes and, under them, their differences."""
    rows = [
        (f"Slope {'in' if result.counts else 'at'} {_place(row['moderator'], result)}", count(row["n"]), *_numbers(row))
        for _, row in result.slopes.iterrows()
    ]
    rows += [
        (f"Difference: {result.contrast(row['contrast'])}", "", *_numbers(row))
        for _, row in result.differences.iterrows()
    ]
    # The n by arm is that of complete cases: under another treatment the table has none.
    columns: tuple = ("Slope", "n", *ESTIMATE)
    if result.reported is not None:
        columns, rows = (columns[0], *columns[2:]), [(row[0], *row[2:]) for row in rows]
    note = f"Slopes are in {result.unit}. Errors: {result.errors}, with the covariance of both coefficients."
    if result.reported is not None:
        note += f" {result.method}, n = {count(result.n)} in all."
    if len(result.differences) > 1:
        adjusted = "; ".join(
            f"{result.contrast(r['contrast'])}: {p_value(r['p_holm'])}" for _, r in result.differences.iterrows()
        )
        note += f" Differences adjusted by Holm: {adjusted}."
    return Table(
        f"Simple slopes of model {result.name} and their difference",
        columns,
        tuple(rows),
        note=note,
        folded=folded,
        source=tuple(
            f"moderation/{result.name}/{name}.tsv"
            for name in (("slopes", "slope_differences") if result.reported is None else ("sensitivity",))
        ),
        key=f"{result.name}-slopes-table",
        data=pd.concat([result.slopes, result.differences.rename(columns={"contrast": "moderator"})]),
    )


def region_table(result: ModelResult, cells: Cells, folded: bool = False) -> Table:
    """Return the Johnson–Neyman region, unadjusted and with the false discovery rate held."""
    rows = []
    for _, row in result.region.iterrows():
        ends = "–" if row["low"] != row["low"] else f"{significant(row['low'])} and {significant(row['high'])}"
        if row["low"] == row["low"]:
            sides = " / ".join(cells.parts([row["n_below"], row["n_between"], row["n_above"]]))
        else:
            sides = "–"
        rows.append((
            result.contrast(row["contrast"]),
            ADJUSTMENTS[row["adjustment"]],
            fixed(row["critical_t"]),
            ends,
            _where(result, row),
            _ends(result, row),
            sides,
            cells.part(row["n_significant"], row["n"]),
        ))  # fmt: skip
    on = column_label(str(result.region["across"].iloc[0]))
    return Table(
        f"Region of significance of model {result.name}",
        (
            "Effect",
            "Adjustment",
            "Critical t",
            "Interval touches zero at",
            "Differs from zero",
            "CI of the ends",
            "n below / between / above",
            "n in region",
        ),
        tuple(rows),
        frozenset({"Adjustment", "Interval touches zero at", "Differs from zero", "CI of the ends"}),
        f"On {on}, on the model’s scale, from the covariance of the coefficients. The effect is the difference "
        "between "
        f"arms, or the slope for a continuous moderator. Treatment of the data: {result.method}; "
        f"errors: {result.region['covariance'].iloc[0]}. "
        "FDR: Esarey and Sumner’s critical t. An end that is the data’s own has no interval; ∞: beyond any value.",
        folded,
        source=(f"moderation/{result.name}/{'region' if result.reported is None else 'sensitivity_region'}.tsv",),
        data=result.region,
    )


def fit_table(result: ModelResult, folded: bool = False) -> Table:
    """Return the statistics of the whole model."""
    rows = [
        ("R²", bounded(result.fit("r2"), 3), "", ""),
        ("Adjusted R²", bounded(result.fit("r2_adjusted"), 3), "", ""),
        ("ΔR² of the interaction", bounded(result.fit("delta_r2"), 3), "", ""),
        ("f² of the interaction", fixed(result.fit("f2"), 3), "", ""),
    ]
    names = {
        "f_omnibus": "F, whole model, from R²",
        "wald_omnibus": f"F, whole model, {result.covariance}",
        "f_interaction": "F, interaction, from ΔR²",
        "wald_interaction": f"F, interaction, {result.covariance}",
    }
    for statistic, name in names.items():
        df1, df2 = result.fit(statistic, "df1"), result.fit(statistic, "df2")
        both = f"{degrees(df1)}, {degrees(df2)}"
        rows.append((name, fixed(result.fit(statistic)), both, p_value(result.fit(statistic, "p"))))
    rows += [
        ("n", count(result.fit("n")), "", ""),
        ("Largest leverage", bounded(result.fit("max_leverage"), 2), "", ""),
    ]
    return Table(
        f"Fit of model {result.name}{_complete(result)}",
        ("Statistic", "Value", "df", "p"),
        tuple(rows),
        note="Each is recomputed from its parts; fit.tsv has the formulas.",
        folded=folded,
        source=(f"moderation/{result.name}/fit.tsv",),
        data=result.tables["fit"],
    )


def _numbers(row: pd.Series) -> tuple[str, str, str, str, str, str]:
    digits = digits_for(row["se"])
    df = float(row["df"])
    return (
        fixed(row["estimate"], digits), fixed(row["se"], digits), interval(row["low"], row["high"], digits),
        fixed(row["t"]), fixed(df, 0 if df.is_integer() else 1), p_value(row["p"]),
    )  # fmt: skip


def _place(value: float | str, result: ModelResult) -> str:
    return result.level(value) if isinstance(value, str) else significant(value)
