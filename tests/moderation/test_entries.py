import jsonschema
import numpy as np
import pytest

from hpaxis.moderation.checks import check_model, check_settings
from hpaxis.moderation.entries import measured_after
from hpaxis.moderation.run import run_model
from hpaxis.schemas import load, with_defaults
from hpaxis.tables import read_table, write_table

ARMS = ["control", "treatment"]
SETTINGS = with_defaults(
    {
        "draws": 199,
        "power_draws": 200,
        "error_draws": 100,
        "multiverse": {"draws": 199, "scales": ["beta"], "covariances": ["HC3"]},
    },
    load("config/moderation"),
)
ENTRY = {"outcome": "competence", "predictor": "region_mean_beta", "standardise": ["outcome", "predictor"]}


def entry(**changes):
    return with_defaults({**ENTRY, **changes}, load("config/model"))


@pytest.fixture(scope="module")
def tables(dyads):
    return run_model("competence", dyads, entry(), SETTINGS, ARMS, seed=1)


def test_every_table_is_as_its_schema_says(tables, tmp_path):
    for name, table in tables.items():
        schema = load(f"moderation_{name}.schema")
        assert list(table.columns) == list(schema["properties"]), name
        write_table(table, tmp_path / f"{name}.tsv")
        again = read_table(tmp_path / f"{name}.tsv")
        validator = jsonschema.Draft202012Validator(schema)
        for row in again.astype(object).where(again.notna(), None).to_dict("records"):
            validator.validate(row)


def test_a_model_reads_its_population_and_lists_who_left(tables, dyads):
    used = tables["used"]
    children = dyads.loc[dyads["role"] == "child", "participant_id"]
    assert used["participant_id"].tolist() == sorted(children)
    assert used.loc[~used["included"], "reason"].tolist() == ["missing: competence"] * 2
    fit = tables["fit"].set_index("statistic")["value"]
    assert fit["n"] == 42
    assert fit["n[control]"] + fit["n[treatment]"] == 42


def test_coefficients_stand_beside_those_of_ols(tables):
    table = tables["coefficients"]
    assert table["covariance"].tolist() == ["HC3"] * 4 + ["OLS"] * 4
    assert table["estimate"].tolist()[:4] == table["estimate"].tolist()[4:]
    assert tables["region"]["adjustment"].tolist() == ["simultaneous", "none", "fdr"]


def test_the_reference_is_the_configs_first_arm(dyads):
    reverse = run_model("m", dyads, entry(), SETTINGS, ["treatment", "control"], seed=1)
    assert "region_mean_beta:arm[control]" in set(reverse["coefficients"]["term"])


def test_scale_and_rows_to_keep(dyads):
    m_value = run_model("m", dyads, entry(scale="m_value"), SETTINGS, ARMS, seed=1)
    logit = run_model("m", dyads, entry(scale="logit"), SETTINGS, ARMS, seed=1)
    raw = entry(scale="logit", standardise=[])
    assert m_value["slopes"]["estimate"].tolist() == pytest.approx(logit["slopes"]["estimate"].tolist())
    slope = run_model("m", dyads, raw, SETTINGS, ARMS, seed=1)["slopes"]["estimate"]
    child = dyads[(dyads["role"] == "child") & (dyads["arm"] == "control")].dropna(subset="competence")
    z = np.log(child["region_mean_beta"] / (1 - child["region_mean_beta"]))
    assert slope[0] == pytest.approx(np.polyfit(z, child["competence"], 1)[0])
    girls = run_model("m", dyads, entry(keep={"sex": ["f"]}), SETTINGS, ARMS, seed=1)["used"]
    assert (girls["reason"] == "not kept: sex").sum() == ((dyads["role"] == "child") & (dyads["sex"] == "m")).sum()


def check(columns, **changes):
    return [str(p) for p in check_model("m", {**ENTRY, **changes}, columns=columns, arms=ARMS, config_file="c.yaml")]


def test_an_entry_without_fault_has_no_problems(dyads):
    assert check(dyads.columns) == []
    assert check_model("m", ENTRY, table=dyads, arms=ARMS) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"outcome": "competense"}, "not a column of the analysis table; correct the name, or declare it under "
                                    "cohort.columns (did you mean 'competence'?)"),
        ({"covariates": ["competence"]}, "outcome and a covariate at once"),
        ({"outcome": "log_cortisol", "covariates": ["cortisol_pg_per_mg"]}, "the outcome log_cortisol in another form"),
        ({"covariates": ["region_mean_beta"]}, "predictor and a covariate at once"),
        ({"predictor": "competence"}, "outcome and predictor at once"),
        ({"moderator": "region_mean_beta"}, "predictor and moderator at once"),
        ({"covariance": "CR2"}, "no cluster is named"),
        ({"cluster": "dyad_id"}, "names clusters that the covariance ignores"),
        ({"reference": "treatmnt"}, "is not an arm of this study"),
        ({"keep": {"completed": [1]}}, "not a column of the analysis table"),
        ({"predictor": "age_months", "scale": "m_value"}, "has no scale m_value"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_entry_is_told_from_names_alone(dyads, changes, what):
    lines = check(dyads.columns, **changes)
    assert any(what in line for line in lines), lines
    assert all(line.startswith("c.yaml, models.m: ") for line in lines)


def test_the_grids_columns_and_the_number_of_primary_models_are_checked(dyads):
    settings = with_defaults(
        {
            "multiverse": {
                "predictors": ["ngfi_a_beta"],
                "covariates": [[], ["age_month"]],
                "rows": {"done": {"ended": [1]}},
            }
        },
        load("config/moderation"),
    )
    models = {"a": entry(primary=True), "b": entry(primary=True), "c": entry()}
    problems = check_settings(settings, models, list(dyads.columns), "c.yaml")
    assert [p.value for p in problems] == ["ngfi_a_beta", "age_month", "ended", "a, b"]
    assert "did you mean 'age_months'" in str(problems[1])
    assert check_settings(SETTINGS, {"a": entry(primary=True)}, list(dyads.columns)) == []


def refusal(table, **changes):
    tables = run_model("m", table, entry(**changes), SETTINGS, ARMS, seed=1)
    assert tables["coefficients"].empty
    assert len(tables["plan"]) == 1
    return "\n".join(tables["refused"]["problem"])


def test_a_mistake_that_only_data_show_refuses_the_model_before_a_fit(dyads):
    children = dyads[dyads["role"] == "child"]
    thin = children.assign(arm=["treatment"] * 3 + ["control"] * (len(children) - 3))
    assert "arm: treatment" in refusal(thin)
    assert "has 3 complete rows" in refusal(thin)
    leaked = children.assign(total=children["competence"] * 2 + 1)
    assert "total' orders the rows exactly as the outcome" in refusal(leaked, covariates=["total"])
    assert "is constant" in refusal(children.assign(region_mean_beta=0.02))
    lone = children.assign(site=["lone"] + ["main"] * (len(children) - 1))
    assert "hat value of 1.0000" in refusal(lone, covariates=["site"])


def test_what_was_measured_at_baseline_is_not_after_randomisation():
    settings = SETTINGS | {"predictor_after_randomisation": True}
    for column in ("region_mean_beta", "log_cortisol", "region_mean_beta_se"):
        assert measured_after(column, settings)
        assert not measured_after(column.replace("_se", "") + "_baseline", settings)
        assert measured_after(column.replace("_se", "") + "_change", settings)
    listed = settings | {"after_randomisation": ["log_cortisol_baseline"]}
    assert measured_after("log_cortisol_baseline", listed)
