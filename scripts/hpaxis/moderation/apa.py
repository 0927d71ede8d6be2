"""A model's coefficients, slopes and fit as one table in APA layout, as text cells, HTML, LaTeX or Word."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO

import great_tables as gt
import numpy as np
import pandas as pd
from docx import Document

COLUMNS = ["Term", "b", "SE", "CI", "t", "df", "p"]


def apa_files(tables: Mapping[str, pd.DataFrame], title: str) -> dict[str, str | bytes]:
    """Return the table of a model as the content of a file in each layout: tsv, html, tex (text) and docx (bytes).

    ``tables`` are the model's, by name. The numbers are those of the fit that is reported, with its covariance: where
    that is not the fit of complete cases (Tobit, multiple imputation), the table holds its slopes and differences.
    A refused model has files that say so.
    """
    if len(tables["refused"]):
        said = f"{title}: the model was refused."
        return {**dict.fromkeys(("tsv", "html", "tex"), f"{said}\n"), "docx": apa_docx(None, said, "")}
    alpha = float(tables["region"]["alpha"].iloc[0])
    method, slopes, differences = reported(tables)
    own = tables["coefficients"] if method is None else tables["coefficients"].iloc[:0]
    table = apa_table(own, slopes, differences, alpha)
    kind = slopes["covariance"].iloc[0]
    note = apa_note(tables["fit"], kind) if method is None else other_note(tables["fit"], method, kind)
    return {
        "tsv": table.to_csv(sep="\t", index=False, lineterminator="\n") + f"# {note}\n",
        "html": apa_html(table, title, note) + "\n",
        "tex": apa_latex(table, title, note),
        "docx": apa_docx(table, title, note),
    }


def reported(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.Series | None, pd.DataFrame, pd.DataFrame]:
    """Return ``(method, slopes, differences)`` of the fit that is reported; method is a row of sensitivity, or None."""
    slopes, differences = tables["slopes"], tables["slope_differences"]
    rows = tables.get("sensitivity")
    if rows is None or rows.empty:
        return None, slopes, differences
    rows = rows[(rows["role"] == "primary") & (rows["method"] != "complete cases")]
    if rows.empty:
        return None, slopes, differences
    shared = ["estimate", "se", "t", "df", "p", "low", "high", "covariance"]
    own = rows["quantity"].str.startswith("slope[")
    slopes = slopes.assign(**{c: rows.loc[own, c].to_numpy() for c in shared})
    terms = rows[~own]
    differences = differences.iloc[: len(terms)].assign(**{c: terms[c].to_numpy() for c in shared})
    return rows.iloc[0], slopes, differences


def apa_table(
    coefficients: pd.DataFrame, slopes: pd.DataFrame, slope_differences: pd.DataFrame, alpha: float = 0.05
) -> pd.DataFrame:
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


def apa_note(fit: pd.DataFrame, kind: str) -> str:
    """Return the note under the table: N, R2, the rise by the interaction, and Wald F with the table's covariance."""
    s = fit.set_index("statistic")
    omnibus, interaction = s.loc["wald_omnibus"], s.loc["wald_interaction"]
    return (
        f"{_who(s)} R² = {_bounded(s.loc['r2', 'value'])}; the interaction adds ΔR² = "
        f"{_bounded(s.loc['delta_r2', 'value'])}. Wald tests with {kind} errors: whole model {_f(omnibus)}; "
        f"interaction {_f(interaction)}. Standard errors, intervals, t and F: {kind}. CI = confidence interval. p "
        "values are two-sided."
    )


def other_note(fit: pd.DataFrame, method: pd.Series, kind: str) -> str:
    """Return the note of a table whose numbers are not those of complete cases; ``method``: its row of sensitivity."""
    s = fit.set_index("statistic")
    return (
        f"N = {int(method['n'])}, by {method['method']} ({method['note']}); complete cases: {_who(s)} Standard errors, "
        f"intervals and t: {kind}. CI = confidence interval. p values are two-sided."
    )


def _who(s: pd.DataFrame) -> str:
    groups = [f"n = {int(v)} {str(k)[2:-1]}" for k, v in s["value"].items() if str(k).startswith("n[")]
    return f"N = {int(s.loc['n', 'value'])}{' (' + ', '.join(groups) + ')' if groups else ''}."


def apa_docx(table: pd.DataFrame | None, title: str, note: str) -> bytes:
    """Return the table as the bytes of a Word file; the same table gives the same bytes. Without a table, the title."""
    document = Document()
    document.core_properties.author = "hpaxis"
    document.add_paragraph().add_run(title).italic = True
    if table is not None:
        columns = [c for c in table.columns if c != "part"]
        grid = document.add_table(rows=1, cols=len(columns))
        for cell, name in zip(grid.rows[0].cells, columns, strict=True):
            cell.text = name
        part = None
        for row in table.to_dict("records"):
            if row["part"] != part:
                part = row["part"]
                grid.add_row().cells[0].paragraphs[0].add_run(part).italic = True
            for cell, name in zip(grid.add_row().cells, columns, strict=True):
                cell.text = row[name]
        document.add_paragraph().add_run("Note. ").italic = True
        document.paragraphs[-1].add_run(note)
    written, fixed = BytesIO(), BytesIO()
    document.save(written)
    # A zip holds the time of writing: packed again without it.
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), source.read(name), zipfile.ZIP_DEFLATED)
    return fixed.getvalue()


def apa_html(table: pd.DataFrame, title: str, note: str) -> str:
    """Return the table as an HTML fragment."""
    return _styled(table, title, note).as_raw_html()


def apa_latex(table: pd.DataFrame, title: str, note: str) -> str:
    """Return the table as LaTeX."""
    text = _styled(table, title, note).as_latex()
    for sign, command in (("−", "$-$"), ("²", "$^2$"), ("Δ", "$\\Delta$")):
        text = text.replace(sign, command)
    return text


def _styled(table: pd.DataFrame, title: str, note: str) -> gt.GT:
    numbers = [c for c in table.columns if c not in ("part", "Term")]
    return (
        gt.GT(table, rowname_col="Term", groupname_col="part", id="apa")
        .tab_header(title=title)
        .tab_source_note(note)
        .cols_align("right", columns=numbers)
    )


def _cells(row: pd.Series) -> tuple[str, ...]:
    interval = f"[{_number(row['low'])}, {_number(row['high'])}]"
    df = float(row["df"])
    degrees = f"{df:.0f}" if df % 1 == 0 else f"{df:.1f}"
    return _number(row["estimate"]), _number(row["se"]), interval, _number(row["t"]), degrees, _p(row["p"])


def _number(value: float) -> str:
    """Two decimals, three significant digits where that shows nothing; a true minus sign."""
    text = f"{value:.2f}" if abs(value) >= 0.095 or value == 0 else np.format_float_positional(
        float(f"{value:.2g}"), trim="-"
    )  # fmt: skip
    return text.replace("-", "−")


def _bounded(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else _bounded(value, 3)


def _f(row: pd.Series) -> str:
    if np.isnan(row["value"]):
        return f"not tested: too few clusters for {int(row['df1'])} coefficients"
    p = _p(row["p"])
    df2 = f"{row['df2']:.0f}" if row["df2"] % 1 == 0 else f"{row['df2']:.1f}"
    return f"F({int(row['df1'])}, {df2}) = {row['value']:.2f}, p {p if p.startswith('<') else '= ' + p}"


def _place(value: object, at: object) -> str:
    """The arm, or how a moderator value was chosen with the value; a table read back has it as text."""
    return str(value) if str(at) == str(value) else f"{at} ({_number(float(value))})"
