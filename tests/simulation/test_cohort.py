"""The simulated cohort holds what was asked for: people, effects, levels, gaps and plates without a bias."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from hpaxis.methylation.panels.panel import read_panel
from hpaxis.problems import InputError
from hpaxis.simulation import cohort as cohorts
from hpaxis.simulation.reads import panel_amplicon

PANEL = Path(__file__).parents[2] / "resources" / "panels" / "nr3c1_exon1f"
AMPLICON = panel_amplicon(read_panel(PANEL))
# With 9,999 dyads a standardised coefficient has a standard error of .01-.015; .05 is more than 3 of the largest.
WITHIN = 0.05


@pytest.fixture(scope="module")
def demo():
    return cohorts.simulate_cohort(cohorts.default_settings(), 20240112, AMPLICON)


@pytest.fixture(scope="module")
def many():
    return cohorts.simulate_cohort(cohorts.default_settings(dyads=9999), 5, AMPLICON)


@pytest.fixture(scope="module")
def children(many):
    """One row per child with what the models need, standardised on the sample."""
    table = many.participants.merge(many.people.drop(columns=["arm", "role", "dyad_id"]), on="participant_id")
    parent = table[table["role"] == "parent"].set_index("dyad_id")
    child = table[table["role"] == "child"].assign(
        sensitivity=lambda t: t["dyad_id"].map(parent["caregiver_sensitivity"]),
        x_parent=lambda t: t["dyad_id"].map(parent["region_mean"]),
        log_cortisol=lambda t: np.log(t["cortisol_pg_per_mg"]),
    )
    for name, source in (
        ("y", "competence"), ("x", "region_mean"), ("h", "log_cortisol"), ("xp", "x_parent"), ("s", "sensitivity")
    ):  # fmt: skip
        child[name] = (child[source] - child[source].mean()) / child[source].std()
    return child.dropna(subset=["competence"])


@pytest.mark.long
def test_slopes_are_those_the_study_printed(children):
    fit = smf.ols("y ~ x * arm", children).fit()
    assert fit.params["x"] == pytest.approx(-0.37, abs=WITHIN)
    assert fit.params["x"] + fit.params["x:arm[T.treatment]"] == pytest.approx(0.33, abs=WITHIN)
    assert fit.rsquared == pytest.approx(0.17, abs=0.02)


def test_true_coefficients_are_what_large_samples_give(children):
    truth = cohorts.true_coefficients(cohorts.default_settings(), ["control", "treatment"])
    truth = truth.set_index(["model", "term"])["standardised"]
    formulas = {
        "competence": ("y ~ x * arm", "x"),
        "competence_cortisol": ("y ~ x * arm + h", "x"),
        "cortisol": ("h ~ x * arm", "x"),
        "parent_competence": ("y ~ xp * arm", "xp"),
    }
    for model, (formula, x) in formulas.items():
        found = smf.ols(formula, children).fit().params
        assert found[x] == pytest.approx(truth[model, "slope:control"], abs=WITHIN), model
        assert found[f"{x}:arm[T.treatment]"] == pytest.approx(truth[model, "interaction:treatment"], abs=WITHIN), model
        assert found["arm[T.treatment]"] == pytest.approx(truth[model, "arm:treatment"], abs=WITHIN), model
    assert smf.ols("y ~ x * arm + h", children).fit().params["h"] == pytest.approx(
        truth["competence_cortisol", "log_cortisol"], abs=WITHIN
    )


def test_the_treatment_works_in_part_through_sensitivity(children):
    fit = smf.ols("s ~ arm", children).fit()
    assert 0.3 < fit.params["arm[T.treatment]"] < 0.7
    with_it = smf.ols("y ~ x * arm + s", children).fit()
    assert with_it.params["s"] == pytest.approx(cohorts.COMPETENCE_BY_SENSITIVITY, abs=WITHIN)
    assert with_it.params["arm[T.treatment]"] < smf.ols("y ~ x * arm", children).fit().params["arm[T.treatment]"]


def test_people_are_as_asked(many):
    child = many.people[many.people["role"] == "child"]
    assert 100 * child["region_mean"].mean() == pytest.approx(2.8, abs=0.03)
    assert 100 * child["region_mean"].std() == pytest.approx(0.6, abs=0.03)
    by_dyad = many.people.pivot(index="dyad_id", columns="role", values=["region_mean", "log_cortisol_z"])
    for name in ("region_mean", "log_cortisol_z"):
        assert by_dyad[name].corr().iloc[0, 1] == pytest.approx(0.3, abs=WITHIN)
    by_arm = child.groupby("arm")["region_mean"].mean()
    assert abs(by_arm.diff().iloc[-1]) < 0.0005  # the arm does nothing to methylation
    assert np.log(many.people["cortisol_pg_per_mg"]).mean() == pytest.approx(np.log(6), abs=0.02)
    assert many.people["dyad_id"].str.len().eq(4).all()


def test_the_demo_s_people(demo):
    sheet = demo.participants
    assert len(sheet) == 88 and sheet["participant_id"].str.fullmatch(r"\d{5}").all()
    assert list(sheet["participant_id"][:2]) == ["00101", "00102"]
    child = sheet[sheet["role"] == "child"]
    assert child.groupby("arm").size().to_dict() == {"control": 22, "treatment": 22}
    assert (sheet.groupby("dyad_id")["arm"].nunique() == 1).all()
    score = child["competence"].dropna()
    assert (score == score.round()).all() and score.between(0, 22).all() and score.nunique() > 8
    assert sheet.loc[sheet["role"] == "parent", "competence"].isna().all()
    assert (sheet.loc[sheet["arm"] == "control", "sessions"] == 0).all()
    assert (sheet.loc[sheet["arm"] == "treatment", "sessions"] >= 4).all()
    assert child["age_months"].between(18, 42).all() and set(child["sex"]) == {"female", "male"}
    assert child["caregiver_sensitivity"].isna().all()
    assert sheet.loc[sheet["role"] == "parent", "caregiver_sensitivity"].between(1, 7).all()


def test_what_the_demo_lacks_is_said(demo):
    sheet, dyads = demo.participants, []
    said = sheet.set_index("participant_id")["missing"]
    saliva, hair = set(demo.libraries["participant_id"].dropna()), set(demo.hair["participant_id"])
    for person, words in said.items():
        words = words.split(";") if isinstance(words, str) else []
        assert (person not in saliva) == ("saliva" in words)
        assert (person not in hair) == ("hair" in words)
    for role in ("child", "parent"):
        for sample in ("saliva", "hair"):
            here = sheet[(sheet["role"] == role) & (sheet["missing"] == sample)]
            assert len(here) == 1
            dyads += list(here["dyad_id"])
    dyads += list(sheet.loc[(sheet["role"] == "child") & sheet["competence"].isna(), "dyad_id"])
    faulty = demo.tubes.dropna(subset=["fault"])
    assert sorted(faulty["fault"]) == ["shallow", "starved", "unconverted"]
    dyads += list(faulty["participant_id"].str[:3])
    dyads += list(demo.hair.loc[demo.hair["mass_mg"] < 2, "participant_id"].str[:3])
    assert len(dyads) == len(set(dyads)) == 9  # no dyad has two troubles
    arm = sheet.drop_duplicates("dyad_id").set_index("dyad_id")["arm"]
    assert sorted(arm[dyads].value_counts()) == [4, 5]  # and no arm has more of them


def test_faulty_tubes_are_faulty_and_others_are_not(demo):
    tubes = demo.tubes.set_index("fault")
    assert tubes.loc["shallow", "own"] < 100
    assert tubes.loc["unconverted", "non_conversion"] + 0.65 * tubes.loc["unconverted", "failed"] > 0.02
    assert tubes.loc["starved", "templates"] < 3000
    sound = demo.tubes[demo.tubes["fault"].isna() & (demo.tubes["templates"] > 0)]
    assert sound["own"].between(800, 4000).all()
    assert sound["non_conversion"].between(0.002, 0.012).all() and sound["non_conversion"].std() > 0.002
    assert sound["templates"].min() > 10_000


def test_levels(demo):
    study = demo.levels[demo.levels["library_id"].str.startswith("L")]
    assert study["level"].between(0, 0.08).all() and study["level"].min() < 0.01 and study["level"].max() > 0.07
    region = study.groupby("library_id")["level"].mean()
    people = demo.people.assign(library_id="L" + demo.people["participant_id"]).set_index("library_id")["region_mean"]
    assert np.allclose(region, people[region.index], atol=1e-12)
    profile = study.groupby("cpg_id", sort=False)["level"].mean()
    assert profile.max() > 2 * profile.min()
    for stem, level in (("C0", 0), ("C100", 1), ("S03", 0.03), ("S05", 0.05), ("S07", 0.07), ("S10", 0.1)):
        assert (demo.levels.loc[demo.levels["library_id"].str.startswith(f"{stem}-"), "level"] == level).all()


def test_libraries_are_spread_over_the_plate(demo):
    sheet = demo.libraries
    assert not sheet.duplicated(["plate", "well"]).any()
    assert sheet["kind"].value_counts().to_dict() == {
        "study": 86, "standard": 4, "control_0": 2, "control_100": 1, "no_template": 1
    }  # fmt: skip
    no_template = sheet.set_index("kind").loc["no_template"]
    assert pd.isna(no_template["input_ng"]) and demo.tubes.set_index("library_id").loc["NTC-1", "own"] == 0


def test_many_plates_carry_their_own_controls_and_no_arm(many):
    sheet = many.libraries
    plates = sheet.groupby("plate")
    assert (plates.size() <= 96).all() and not sheet.duplicated(["plate", "well"]).any()
    kinds = sheet.groupby(["plate", "kind"]).size().unstack(fill_value=0)
    assert (kinds["control_0"] == 2).all() and (kinds[["control_100", "no_template"]] == 1).all(axis=None)
    arm = sheet["participant_id"].map(many.people.set_index("participant_id")["arm"])
    share = (arm == "treatment")[sheet["kind"] == "study"].groupby(sheet["plate"]).mean()
    # About 88 libraries a plate: the binomial standard error is .053; 4.5 of them over 225 plates.
    assert (share - 0.5).abs().max() < 4.5 * 0.053


def test_a_small_hair_sample_is_below_the_lowest_standard(demo):
    hair = demo.hair.merge(demo.samples, on=["hair_id", "participant_id"])
    taken = hair["methanol_recovered_ml"] / hair["methanol_added_ml"]
    in_well = hair["cortisol_pg_per_mg"] * hair["mass_mg"] * taken / hair["reconstitution_ml"]
    small = hair["mass_mg"] < 2
    assert small.sum() == 1 and (in_well[small] < 31.25).all() and (in_well[~small] > 31.25).all()


def test_the_same_seed_gives_the_same_cohort_and_another_does_not(demo):
    again = cohorts.simulate_cohort(cohorts.default_settings(), 20240112, AMPLICON)
    other = cohorts.simulate_cohort(cohorts.default_settings(), 20240113, AMPLICON)
    for name in ("participants", "hair", "libraries", "people", "levels", "tubes"):
        pd.testing.assert_frame_equal(getattr(demo, name), getattr(again, name))
        assert not getattr(demo, name).equals(getattr(other, name)), name


def test_the_number_of_pairs_changes_only_the_reads(demo):
    deep = cohorts.simulate_cohort(cohorts.default_settings(pairs_per_library=20_000), 20240112, AMPLICON)
    for name in ("participants", "hair", "libraries", "people", "levels"):
        pd.testing.assert_frame_equal(getattr(demo, name), getattr(deep, name))
    study = demo.tubes["templates"] > 0
    assert (deep.tubes["own"] / demo.tubes["own"])[study].median() == pytest.approx(10, rel=0.02)


def test_nothing_is_missing_when_nothing_is_asked_to_be():
    settings = cohorts.default_settings(missing_percent=0, failing_libraries=False)
    made = cohorts.simulate_cohort(settings, 1, AMPLICON)
    assert made.participants["missing"].isna().all() and made.tubes["fault"].isna().all()
    assert len(made.hair) == 88 and (made.libraries["kind"] == "study").sum() == 88


def test_three_arms_and_an_odd_number_of_dyads():
    settings = cohorts.default_settings(dyads=31, slopes=[-0.3, 0, 0.3], cortisol_slopes=[0.2, 0, -0.2], r_squared=0.1)
    made = cohorts.simulate_cohort(settings, 1, AMPLICON, arms=("control", "a", "b"))
    sizes = made.participants[made.participants["role"] == "child"].groupby("arm").size()
    assert set(sizes.index) == {"control", "a", "b"} and sizes.max() - sizes.min() <= 2
    effects = cohorts.arm_effects(settings, ("control", "a", "b"))
    assert np.mean(effects**2) == pytest.approx(0.1 - 0.06) and effects.sum() == pytest.approx(0)
    assert cohorts.arm_effects(cohorts.default_settings(slopes=[0.1]), ("only",)).tolist() == [0]


def test_settings_that_contradict_each_other_are_all_named():
    settings = cohorts.default_settings(
        slopes=[0.5, 0.6], cortisol_slopes=[0.1], r_squared=0.1, non_conversion_percent=[2, 1]
    )
    with pytest.raises(InputError) as caught:
        cohorts.simulate_cohort(settings, 1, AMPLICON)
    columns = [p.column for p in caught.value.problems]
    assert columns == ["simulation.cortisol_slopes", "simulation.r_squared", "simulation.non_conversion_percent"]
    assert "0.305" in str(caught.value)  # the mean of .25 and .36
