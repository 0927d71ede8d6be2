"""The sections on the arm's effect on methylation and on the moderation, model by model."""

from hpaxis.labels import column_label, contrast_label, model_title, population_label, term_label
from hpaxis.report.blocks import Figure, Heading, Items, Notice, Paragraph, Section, Table
from hpaxis.report.models import difference_sentence, in_order, pair_of
from hpaxis.report.numbers import bounded, count, digits_for, fixed, interval, p_value, significant, words
from hpaxis.report.scrutiny import scrutiny_blocks
from hpaxis.report.trial import trial_blocks

ESTIMATE = ("b", "SE", "CI", "t", "df", "p")
# Where an effect differs from zero, within the observed range.
REGIONS = {
    "inside": "where {on} is between {low} and {high}",
    "outside": "where {on} is below {low} or above {high}",
    "below": "where {on} is at most {high}",
    "above": "where {on} is at least {low}",
    "all": "everywhere in the observed range of {on}",
    "none": "nowhere in the observed range of {on}",
}


def predictor_section(results):
    """Return the section on T → M: whether the arm changed the predictor, asked before any moderation is read."""
    rows = []
    for result in in_order(results):
        if not result.refused:
            rows += _predictor_rows(result)
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
            )
        )
    else:
        blocks.append(Notice("No model could be fitted, so there is nothing to compare.", "warning"))
    return Section("predictor", "Did the arm change the predictor? (T → M)", tuple(blocks))


def _predictor_rows(result):
    table = result.tables["predictor_by_arm"]
    arms = table[table["mean"].notna()]
    means = "; ".join(
        f"{contrast_label(r['comparison'])} {significant(r['mean'])} ({significant(r['sd'])})"
        for _, r in arms.iterrows()
    )
    rows = []
    for _, row in table[table["mean"].isna()].iterrows():
        digits = digits_for(row["se"])
        first = row["test"] == "t"
        name = "F" if "F" in str(row["test"]) else "t"
        rows.append((
            f"{result.name} (n = {count(row['n'])})" if not rows else "",
            contrast_label(row["comparison"]),
            means if not rows else "",
            fixed(row["estimate"], digits) if first else "–",
            interval(row["low"], row["high"], digits) if first else "–",
            f"{name} = {fixed(row['t'])}",
            p_value(row["p"]),
        ))  # fmt: skip
    return rows


def moderation_section(results, smallest):
    """Return the section on the models: the interaction of every model at a glance, then each in full."""
    ordered = in_order(results)
    blocks = [
        Paragraph(
            "Every model of the config is shown, the primary first. All numbers of a model (coefficients, slopes, "
            "region) come from one covariance. The p values are two-sided and not adjusted for the number of models; "
            "only the primary model answers the question."
        ),
        overview_table(ordered),
    ]
    for result in ordered:
        blocks += model_blocks(result, smallest)
    return Section("moderation", "Moderation", tuple(b for b in blocks if b is not None))


def overview_table(results):
    """Return the table of the difference of slopes in every model, refused ones named."""
    rows = []
    for result in results:
        name = f"{result.name} (primary)" if result.entry["primary"] else result.name
        about = f"{column_label(result.entry['outcome'])} ({population_label(result.entry['population'])})"
        if result.refused:
            rows.append((name, about, "refused", *("–",) * 6))
            continue
        for _, row in result.differences.iterrows():
            several = len(result.differences) > 1
            rows.append((
                f"{name}: {contrast_label(row['contrast'])}" if several else name,
                about,
                result.method,
                count(result.n),
                *_numbers(row)[:3],
                p_value(row["p"]),
                bounded(result.fit("delta_r2")),
            ))  # fmt: skip
    return Table(
        "The interaction (b₃) in every model",
        ("Model", "Outcome", "Rows", "n", "b₃", "SE", "CI", "p", "ΔR²"),
        tuple(rows),
        frozenset({"Outcome", "Rows"}),
        "b₃ is the difference between slopes, outcome and predictor in SD where the model’s entry says so. ΔR² is what "
        "the product terms add to R² in complete cases.",
    )


def model_blocks(result, smallest):
    """Return the blocks of one model: what it says, its figures and its tables; or why it was refused."""
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
    text = f"Model {result.name}, {result.who()}: {'; '.join(said)}. {region_sentence(result, result.region)}"
    folded = not result.entry["primary"]
    return [
        heading,
        Paragraph(text),
        _treatment(result),
        _left_out(result, smallest),
        *_figures(result),
        coefficient_table(result, folded),
        slope_table(result, folded),
        region_table(result, folded),
        fit_table(result, folded),
        *scrutiny_blocks(result),
        *trial_blocks(result),
    ]


def _treatment(result):
    if result.reported is None:
        return None
    return Paragraph(
        f"These are the numbers of {result.method} ({result.reported['note']}), since some values of hair cortisol are "
        "only known to lie beyond a limit; so are the tables of slopes and region. Figures, coefficients and fit are "
        "of complete cases; both stand side by side in the table of other treatments."
    )


def _left_out(result, smallest):
    reasons = result.left_out()
    if not reasons:
        return Paragraph("Every row of this population is complete.")
    total = sum(reasons.values())
    few = smallest > 0 and any(n < smallest for n in reasons.values())
    if few:
        shown = words(_reason(r) for r in reasons)
        return Paragraph(
            f"Complete cases leave out {count(total)} {population_label(result.entry['population'])} "
            f"({shown}); the numbers for each reason are withheld."
        )
    shown = words(f"{_reason(r)} ({count(n)})" for r, n in reasons.items())
    return Paragraph(
        f"Complete cases leave out {count(total)} {population_label(result.entry['population'])}: {shown}."
    )


def _reason(reason):
    label, _, columns = reason.partition(": ")
    return f"{label} {words(column_label(c) for c in columns.split(', '))}" if columns else reason


def _figures(result):
    outcome, predictor = column_label(result.entry["outcome"]), column_label(result.entry["predictor"])
    said = "; ".join(
        f"slope {fixed(r['estimate'], digits_for(r['se']))} "
        f"{interval(r['low'], r['high'], digits_for(r['se']))} at {_place(r['moderator'])}"
        for _, r in result.tables["slopes"].iterrows()
    )
    where = region_sentence(result, result.tables["region"])
    figures = []
    if "slopes" in result.figures:
        figures.append(
            Figure(
                f"{result.name}-slopes",
                f"{outcome[0].upper()}{outcome[1:]} and {predictor} by {column_label(result.entry['moderator'])}",
                f"Points and fitted lines with bands: {said}. {where}",
                result.figures["slopes"],
                f"Lines are the model’s, covariates at their means, with pointwise {result.confidence} bands; each "
                "point is a person, its outcome moved to the means of the covariates. Shaded: the region of "
                "significance within the observed range.",
            )
        )
    if "effects" in result.figures:
        figures.append(
            Figure(
                f"{result.name}-effects",
                "Where the effect differs from zero (Johnson–Neyman)",
                f"The effect with its band over the observed range. {where}",
                result.figures["effects"],
                f"Band: pointwise {result.confidence} interval from the same covariance. Shaded: where it leaves out "
                "zero.",
            )
        )
    return figures


def region_sentence(result, region):
    """Return where the arms differ (or the slope differs from zero), from the unadjusted rows of a region table."""
    parts = []
    for _, row in region[region["adjustment"] == "none"].iterrows():
        if result.counts:
            arm, reference = pair_of(result, row["contrast"])
            what = f"The outcome differs between {arm} and {reference}"
        else:
            what = f"The {contrast_label(row['contrast'])} differs from zero"
        parts.append(f"{what} {_where(row)} ({count(row['n_significant'])} of {count(row['n'])} people).")
    return " ".join(parts)


def _where(row):
    low, high = significant(row["observed_low"]), significant(row["observed_high"])
    return REGIONS[row["observed_kind"]].format(low=low, high=high, on=column_label(str(row["across"])))


def coefficient_table(result, folded=False):
    """Return the coefficients in APA layout, OLS errors beside a robust covariance."""
    table = result.own_coefficients()
    beside = table["se_ols"].notna().any()
    rows = []
    for _, row in table.iterrows():
        cells = (term_label(row["term"]), *_numbers(row))
        rows.append(cells + ((fixed(row["se_ols"], digits_for(row["se"])), p_value(row["p_ols"])) if beside else ()))
    note = (
        f"{result.who()}. b on the model’s scale (standardised: {words(result.entry['standardise']) or 'nothing'}); "
        f"CI = {result.confidence} confidence interval; errors from {result.covariance} with t; p two-sided."
    )
    return Table(
        f"Coefficients of model {result.name}{_complete(result)}",
        ("Term", *ESTIMATE, *(("SE (OLS)", "p (OLS)") if beside else ())),
        tuple(rows),
        note=note,
        folded=folded,
    )


def _complete(result):
    return "" if result.reported is None else ", complete cases"


def slope_table(result, folded=False):
    """Return the simple slopes and, under them, their differences."""
    rows = [
        (f"Slope {'in' if result.counts else 'at'} {_place(row['moderator'])}", count(row["n"]), *_numbers(row))
        for _, row in result.slopes.iterrows()
    ]
    rows += [
        (f"Difference: {contrast_label(row['contrast'])}", "", *_numbers(row))
        for _, row in result.differences.iterrows()
    ]
    note = f"Slopes are in {result.unit}. Their errors take the covariance of both coefficients into account."
    if len(result.differences) > 1:
        adjusted = "; ".join(
            f"{contrast_label(r['contrast'])}: {p_value(r['p_holm'])}" for _, r in result.differences.iterrows()
        )
        note += f" Differences adjusted by Holm: {adjusted}."
    return Table(
        f"Simple slopes of model {result.name} and their difference",
        ("", "n", *ESTIMATE),
        tuple(rows),
        note=note,
        folded=folded,
    )


def region_table(result, folded=False):
    """Return the Johnson–Neyman region, unadjusted and with the false discovery rate held."""
    rows = []
    for _, row in result.region.iterrows():
        ends = "–" if row["low"] != row["low"] else f"{significant(row['low'])} and {significant(row['high'])}"
        if row["low"] == row["low"]:
            sides = f"{count(row['n_below'])} / {count(row['n_between'])} / {count(row['n_above'])}"
        else:
            sides = "–"
        rows.append((
            contrast_label(row["contrast"]),
            "FDR held" if row["adjustment"] == "fdr" else "none",
            fixed(row["critical_t"]),
            ends,
            _where(row),
            sides,
            f"{count(row['n_significant'])} of {count(row['n'])}",
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
            "n below / between / above",
            "n in region",
        ),
        tuple(rows),
        frozenset({"Adjustment", "Interval touches zero at", "Differs from zero"}),
        f"On {on}, on the model’s scale, from the covariance of the coefficients. The effect is the difference between "
        "arms, or the slope for a continuous moderator. FDR: Esarey and Sumner’s critical t.",
        folded,
    )


def fit_table(result, folded=False):
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
        degrees = f"{fixed(df1, 0)}, {fixed(df2, 0 if df2 == round(df2) else 1)}"
        rows.append((name, fixed(result.fit(statistic)), degrees, p_value(result.fit(statistic, "p"))))
    rows += [
        ("n", count(result.fit("n")), "", ""),
        ("Largest leverage", bounded(result.fit("max_leverage"), 2), "", ""),
    ]
    return Table(
        f"Fit of model {result.name}{_complete(result)}",
        ("Statistic", "Value", "df", "p"),
        tuple(rows),
        note="Each is recomputed from its parts; formulas stand in the model’s fit.tsv.",
        folded=folded,
    )


def _numbers(row):
    digits = digits_for(row["se"])
    df = float(row["df"])
    return (
        fixed(row["estimate"], digits), fixed(row["se"], digits), interval(row["low"], row["high"], digits),
        fixed(row["t"]), fixed(df, 0 if df.is_integer() else 1), p_value(row["p"]),
    )  # fmt: skip


def _place(value):
    return value if isinstance(value, str) else significant(value)
