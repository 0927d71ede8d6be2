import html
import re
from io import BytesIO

import pandas as pd
import pytest
from docx import Document

from hpaxis.moderation import fit
from hpaxis.moderation.apa import apa_files, apa_note, apa_table
from hpaxis.moderation.linear import coefficient_table, fit_linear
from hpaxis.moderation.statistics_check import check_statistics


@pytest.fixture(scope="module")
def tables(states):
    result = fit(states, outcome="Income", predictor="Illiteracy", moderator="Murder", covariates=["HS Grad"])
    beside = coefficient_table(fit_linear(result.design, "OLS"))
    return {
        "refused": pd.DataFrame(), "coefficients": pd.concat([result.coefficients, beside]), "slopes": result.slopes,
        "slope_differences": result.slope_differences, "fit": result.fit, "region": result.region,
    }  # fmt: skip


def test_table_has_the_models_own_covariance_in_the_layout_of_a_paper(tables):
    table = apa_table(tables["coefficients"], tables["slopes"], tables["slope_differences"])
    assert table.columns.tolist() == ["part", "Term", "b", "SE", "95% CI", "t", "df", "p"]
    assert len(table) == 5 + 3 + 1
    row = table[table["Term"] == "Illiteracy:Murder"].iloc[0]
    assert row.tolist()[2:] == ["−97.04", "28.83", "[−155.12, −38.96]", "−3.37", "45", ".002"]
    assert table["Term"].iloc[5] == "mean - 1 SD (3.69)"


def test_note_states_n_the_share_explained_and_f_of_the_tables_own_covariance(tables, anorexia):
    note = apa_note(tables["fit"], "HC3")
    assert note.startswith(
        "N = 50. R² = .49; the interaction adds ΔR² = .08. Wald tests with HC3 errors: whole model F(4,"
    )
    # The robust interaction's F is its t squared: -3.37^2, with the same p as in the table.
    assert "interaction F(1, 45) = 11.33, p = .002" in note
    arms = fit(anorexia, outcome="Postwt", predictor="Prewt", moderator="Treat").fit
    assert "N = 72 (n = 29 CBT, n = 26 Cont, n = 17 FT)" in apa_note(arms, "HC3")


COLUMNS = ("b", "SE", "95% CI", "t", "df", "p")


def rows_of(kind, content):
    """The rows of a table as a reader sees them, from the file of a layout: their last six cells; and its text."""
    if kind == "tsv":
        lines = [line.split("\t") for line in content.splitlines() if not line.startswith("#")]
        assert tuple(lines[0][-6:]) == COLUMNS
        return [line[-6:] for line in lines[1:]], content
    if kind == "docx":
        document = Document(BytesIO(content))
        lines = [[cell.text for cell in row.cells] for row in document.tables[0].rows]
        return [line[-6:] for line in lines[1:] if line[1]], document.paragraphs[-1].text
    if kind == "html":
        lines = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in content.split("<tr")]
        text = html.unescape(re.sub(r"<[^>]+>", "", content))
        return [[html.unescape(cell).strip() for cell in line[-6:]] for line in lines if len(line) >= 6], text
    # Of LaTeX's commands those that print a sign; the rest of a row is its cells.
    for command, sign in ((r"$-$", "−"), (r"\textless{}", "<"), (r"\%", "%")):
        content = content.replace(command, sign)
    lines = [line.rstrip("\\ ").split(" & ") for line in content.splitlines() if line.count(" & ") == 6]
    assert tuple(cell.strip() for cell in lines[0][-6:]) == COLUMNS
    return [[cell.strip() for cell in line[-6:]] for line in lines[1:]], content


def claims_of(kind, content):
    """The statistics of a table as it would be pasted, and the F values of its note, as claims."""
    claims = []
    rows, text = rows_of(kind, content)
    for cells in rows:
        row = dict(zip(COLUMNS, cells, strict=True))
        low, high = row.pop("95% CI").strip("[]").split(", ")
        claims.append(row | {"low": low, "high": high})
    for df1, df2, F, p in re.findall(r"F\((\d+), ([\d.]+)\) = ([\d.]+), p ((?:< |= )\.\d+)", text):
        claims.append({"F": F, "df1": df1, "df2": df2, "p": p})
    return claims


@pytest.mark.parametrize(("kind", "cluster"), [("OLS", None), ("HC3", None), ("HC4", None), ("CR2", "family")])
@pytest.mark.parametrize("size", [3, 8])
def test_what_is_pasted_passes_the_claims_check_under_every_covariance(dyads, kind, cluster, size):
    """With few clusters Satterthwaite's degrees of freedom are small, and print as 2.9."""
    children = dyads[dyads["role"] == "child"].assign(family=lambda d: [f"f{i // size}" for i in range(len(d))])
    result = fit(children, outcome="competence", predictor="region_mean_beta", moderator="arm", covariance=kind,
                 cluster=cluster, standardise=["outcome", "predictor"])  # fmt: skip
    own = {"refused": pd.DataFrame(), "coefficients": result.coefficients, "slopes": result.slopes,
           "slope_differences": result.slope_differences, "fit": result.fit, "region": result.region}  # fmt: skip
    claims = {layout: claims_of(layout, content) for layout, content in apa_files(own, "m").items()}
    assert claims.keys() == {"tsv", "html", "tex", "docx"} and len(claims["tsv"]) == 4 + 2 + 1 + 2
    assert all(found == claims["tsv"] for found in claims.values())
    verdicts = check_statistics(claims["tsv"])["verdict"]
    assert set(verdicts) <= {"agrees", "implied"}


def test_a_fit_that_is_reported_in_place_of_complete_cases_is_what_is_pasted(tables):
    names = [*tables["slope_differences"]["contrast"], *(f"slope[{a}]" for a in tables["slopes"]["at"])]
    other = pd.DataFrame({"quantity": ["Illiteracy:Murder", *names[1:]], "method": "Tobit", "role": "primary",
                          "estimate": -5.0, "se": 2.0, "t": -2.5, "df": 45.0, "p": 0.016, "low": -9.03, "high": -0.97,
                          "n": 52, "covariance": "Tobit jackknife", "note": "2 values beyond a limit"})  # fmt: skip
    text = apa_files({**tables, "sensitivity": other}, "m")["tsv"]
    assert "−97.04" not in text and "−5.00\t2.00\t[−9.03, −0.97]" in text
    assert "N = 52, by Tobit (2 values beyond a limit)" in text and "Tobit jackknife" in text


def test_the_word_file_holds_the_same_cells(tables):
    files = apa_files(tables, "Income")
    document = Document(BytesIO(files["docx"]))
    cells = [[cell.text for cell in row.cells] for row in document.tables[0].rows]
    pasted = apa_table(tables["coefficients"], tables["slopes"], tables["slope_differences"])
    assert cells[0] == pasted.columns[1:].tolist()
    assert [row for row in cells[1:] if row[1]] == pasted.iloc[:, 1:].to_numpy().tolist()
    assert document.paragraphs[-1].text.startswith("Note. N = 50.")


def test_each_layout_holds_the_same_numbers(tables):
    files = apa_files(tables, "Income")
    assert "Illiteracy:Murder\t−97.04\t28.83" in files["tsv"]
    assert "<td" in files["html"]
    assert ">−97.04<" in files["html"]
    assert "Illiteracy:Murder & $-$97.04 & 28.83 & [$-$155.12, $-$38.96]" in files["tex"]
    assert "R$^2$ = .49" in files["tex"]
    assert files == apa_files(tables, "Income")


def test_small_numbers_keep_two_digits_and_a_refused_model_says_so(tables):
    small = tables["coefficients"].assign(estimate=0.00123, p=0.0004)
    table = apa_table(small, tables["slopes"], tables["slope_differences"], alpha=0.1)
    assert table.loc[0, ["b", "p"]].tolist() == ["0.0012", "< .001"]
    assert "90% CI" in table
    assert "refused" in apa_files({"refused": pd.DataFrame({"problem": ["x"]})}, "m")["tsv"]
