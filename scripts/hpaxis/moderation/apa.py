"""A model's coefficients, slopes and fit as one table in APA layout, as text cells, HTML or LaTeX."""

import great_tables as gt
import numpy as np
import pandas as pd

COLUMNS = ["Term", "b", "SE", "CI", "t", "df", "p"]


def apa_files(tables, title):
    """Return the table of a model as the text of a file in each layout: tsv, html, tex.

    ``tables`` are the model's, by name. A refused model has files that say so.
    """
    if len(tables["refused"]):
        return dict.fromkeys(("tsv", "html", "tex"), f"{title}: the model was refused.\n")
    table = apa_table(
        tables["coefficients"], tables["slopes"], tables["slope_differences"], float(tables["region"]["alpha"].iloc[0])
    )
    note = apa_note(tables["fit"], tables["slopes"]["covariance"].iloc[0])
    return {
        "tsv": table.to_csv(sep="\t", index=False, lineterminator="\n") + f"# {note}\n",
        "html": apa_html(table, title, note) + "\n",
        "tex": apa_latex(table, title, note),
    }


def apa_table(coefficients, slopes, slope_differences, alpha=0.05):
    """Return the table as text: coefficients, then simple slopes and their differences, one row each.

    The inputs are the model's tables; of the coefficients the model's own covariance is shown. Columns: part,
    Term, b, SE, "95% CI" (by ``alpha``), t, df, p. Numbers have two decimals and p three, without a leading
    zero where a number cannot exceed one.
    """
    kind = slopes["covariance"].iloc[0]
    own = coefficients[coefficients["covariance"] == kind]
    parts = [
        ("Coefficients", own, own["term"]),
        ("Simple slopes", slopes, [_place(v, a) for v, a in zip(slopes["moderator"], slopes["at"], strict=True)]),
        ("Differences of slopes", slope_differences, slope_differences["contrast"]),
    ]
    rows = [
        (part, str(name), *_cells(row))
        for part, table, names in parts
        for name, (_, row) in zip(names, table.iterrows(), strict=True)
    ]
    interval = f"{100 * (1 - alpha):g}% CI"
    return pd.DataFrame(rows, columns=["part", *COLUMNS]).rename(columns={"CI": interval})


def apa_note(fit, kind):
    """Return the note under the table: N, R2 with its F, the rise by the interaction, and the covariance."""
    s = fit.set_index("statistic")
    omnibus, interaction = s.loc["f_omnibus"], s.loc["f_interaction"]
    groups = [f"n = {int(v)} {k[2:-1]}" for k, v in s["value"].items() if k.startswith("n[")]
    return (
        f"N = {int(s.loc['n', 'value'])}{' (' + ', '.join(groups) + ')' if groups else ''}. "
        f"R² = {_bounded(s.loc['r2', 'value'])}, {_f(omnibus)}; "
        f"interaction ΔR² = {_bounded(s.loc['delta_r2', 'value'])}, {_f(interaction)}. "
        f"Standard errors: {kind}; F values from R². CI = confidence interval. p values are two-sided."
    )


def apa_html(table, title, note):
    """Return the table as an HTML fragment."""
    return _styled(table, title, note).as_raw_html()


def apa_latex(table, title, note):
    """Return the table as LaTeX."""
    text = _styled(table, title, note).as_latex()
    for sign, command in (("−", "$-$"), ("²", "$^2$"), ("Δ", "$\\Delta$")):
        text = text.replace(sign, command)
    return text


def _styled(table, title, note):
    numbers = [c for c in table.columns if c not in ("part", "Term")]
    return (
        gt.GT(table, rowname_col="Term", groupname_col="part", id="apa")
        .tab_header(title=title)
        .tab_source_note(note)
        .cols_align("right", columns=numbers)
    )


def _cells(row):
    interval = f"[{_number(row['low'])}, {_number(row['high'])}]"
    df = float(row["df"])
    degrees = f"{df:.0f}" if df % 1 == 0 else f"{df:.1f}"
    return _number(row["estimate"]), _number(row["se"]), interval, _number(row["t"]), degrees, _p(row["p"])


def _number(value):
    """Two decimals, three significant digits where that shows nothing; a true minus sign."""
    text = f"{value:.2f}" if abs(value) >= 0.095 or value == 0 else np.format_float_positional(
        float(f"{value:.2g}"), trim="-"
    )  # fmt: skip
    return text.replace("-", "−")


def _bounded(value, digits=2):
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def _p(value):
    return "< .001" if value < 0.001 else _bounded(value, 3)


def _f(row):
    p = _p(row["p"])
    return f"F({int(row['df1'])}, {int(row['df2'])}) = {row['value']:.2f}, p {p if p.startswith('<') else '= ' + p}"


def _place(value, at):
    """The arm, or how a moderator value was chosen with the value; a table read back has it as text."""
    return str(value) if str(at) == str(value) else f"{at} ({_number(float(value))})"
