import pandas as pd
import pytest

from hpaxis.moderation import fit
from hpaxis.moderation.apa import apa_files, apa_note, apa_table
from hpaxis.moderation.linear import coefficient_table, fit_linear


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


def test_note_states_n_and_the_share_explained(tables, anorexia):
    note = apa_note(tables["fit"], "HC3")
    assert note.startswith(
        "N = 50. R² = .49, F(4, 45) = 10.65, p < .001; interaction ΔR² = .08, F(1, 45) = 7.32, p = .010."
    )
    arms = fit(anorexia, outcome="Postwt", predictor="Prewt", moderator="Treat").fit
    assert "N = 72 (n = 29 CBT, n = 26 Cont, n = 17 FT)" in apa_note(arms, "HC3")


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
