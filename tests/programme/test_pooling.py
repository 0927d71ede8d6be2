"""Pooling of studies: against metafor, known truth, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.cli import main
from hpaxis.moderation import Spec, fit
from hpaxis.problems import InputError
from hpaxis.programme.pooling import one_stage, pool_studies, random_effects


def summary(estimate, se, **changes):
    facts = {
        "outcome": "competence", "predictor": "region_mean_beta", "scale": "beta", "moderator": "arm",
        "population": "child", "covariates": "none", "covariance": "HC3", "standardise": "outcome; predictor",
        "outcome_sd": 4.0, "predictor_sd": 0.01, "panel": "nr3c1_exon1f", "assay": "amplicon", "timepoint": "month12",
        "design": "randomised", "plan": "confirmatory",
    } | changes  # fmt: skip
    row = {"quantity": "treatment - control", "estimate": estimate, "se": se, "df": 40, "p": 0.5, "n": 44}
    return pd.DataFrame([row | facts])


# metafor 3.8-1: rma(y, sei = s, method = "PM", test = "knha"), whose tau2 is iterated to about 1e-5.
METAFOR = [
    ([0.7, 0.3, 0.45], [0.27, 0.2, 0.15], (0.4461443299, 0.09235347769, 0, 0.04027924572, 0.048779387, 0.8435092728)),
    (
        [0.7, 0.3, 0.45, -0.2, 0.9],
        [0.27, 0.2, 0.15, 0.1, 0.3],
        (0.3752950942, 0.1901312054, 0.1384492762, 0.1196375179, -0.1525937606, 0.9031839489),
    ),
]


def test_the_variance_between_studies_solves_its_equation():
    """Cochran's Q at the estimate is k - 1, also where a first Newton step overshoots the root."""
    rng = np.random.default_rng([22, 1])
    y, s = rng.normal(0.4, 0.4, 6), rng.uniform(0.1, 0.3, 6)
    found, _ = random_effects(y, s)
    w = 1 / (s**2 + found["tau2"])
    assert (w * (y - found["estimate"]) ** 2).sum() == pytest.approx(5, rel=1e-9)
    assert found["tau2"] == pytest.approx(0.2561433906, abs=1e-4)  # metafor


@pytest.mark.parametrize(("y", "s", "expected"), METAFOR)
def test_random_effects_equal_metafor(y, s, expected):
    found, weights = random_effects(y, s)
    values = [found[k] for k in ("estimate", "se", "tau2", "p", "low", "high")]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert weights.sum() == pytest.approx(1)


def test_studies_and_their_summary_stand_together():
    pooled, differences = pool_studies({"a": summary(0.7, 0.27), "b": summary(0.3, 0.2, assay="pyrosequencing")})
    assert pooled["study"].tolist() == ["a", "b", "pooled"]
    assert pooled.loc[2, "n"] == 88
    assert differences.to_records(index=False).tolist() == [
        ("assay", "a", "amplicon"), ("assay", "b", "pyrosequencing"),
    ]  # fmt: skip


def test_what_measures_something_else_is_refused_all_at_once():
    with pytest.raises(InputError) as error:
        pool_studies({"a": summary(0.7, 0.27), "b": summary(0.3, 0.2, outcome="language", timepoint="month24")})
    text = " ".join(str(p) for p in error.value.problems)
    assert "has outcome language, but a has competence" in text
    assert "has timepoint month24, but a has month12" in text


def test_designs_are_not_pooled_across_unless_asked():
    studies = {"a": summary(0.7, 0.27), "b": summary(0.3, 0.2), "c": summary(0.1, 0.2, design="cohort")}
    apart, _ = pool_studies(studies)
    assert apart.loc[apart["study"] == "pooled", "design"].tolist() == ["randomised"]
    assert "nothing is pooled" in apart.loc[apart["study"] == "c", "note"].iloc[0]
    together, _ = pool_studies(studies, across_designs=True)
    assert together.loc[together["study"] == "pooled", "n"].tolist() == [132]


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_three_studies_cover_the_truth(spread):
    """1,000 programmes of three studies, true mean .4: 95 % within three standard errors (.021) of nominal."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(1000):
        true = 0.4 + spread * rng.standard_normal(3)
        se = rng.uniform(0.2, 0.3, 3)
        found, _ = random_effects(true + se * rng.standard_normal(3), se)
        held += found["low"] <= 0.4 <= found["high"]
    assert held / 1000 == pytest.approx(0.95, abs=0.021)


def rows_of(studies, n=60, b3=0.5, seed=3, confounded=0.0):
    """Studies of one true b3; with ``confounded`` their mean predictor goes along with their effect of the arm."""
    rng = np.random.default_rng([31, seed])
    tables = {}
    for k in range(studies):
        arm = np.tile(["control", "treatment"], n // 2)
        t, level = (arm == "treatment") * 1.0, k - (studies - 1) / 2
        x = rng.normal(size=n) + 2 * level
        y = level + (0.2 * k - 0.4) * x + confounded * level * t + b3 * (x - 2 * level) * t + rng.normal(size=n)
        tables[f"s{k}"] = pd.DataFrame({"x": x, "arm": arm, "y": y, "family": [f"f{i // 3}" for i in range(n)]})
    return tables


def test_one_stage_is_the_regression_with_every_study_its_own_slope_and_arm():
    """R's lm(y ~ study * x + study * arm + x:arm) is this design: here by dummies, in another order, through `fit`."""
    tables = rows_of(3)
    found = one_stage(tables, Spec("y", "x", "arm")).set_index("study")
    rows = pd.concat([t.assign(study=s) for s, t in tables.items()], ignore_index=True)
    t = (rows["arm"] == "treatment") * 1.0
    for s in ("s1", "s2"):
        here = (rows["study"] == s) * 1.0
        rows = rows.assign(**{f"{s}_level": here, f"{s}_x": here * rows["x"], f"{s}_t": here * t})
    by_hand = fit(rows, outcome="y", predictor="x", moderator="arm",
                  covariates=[c for c in rows if c.startswith(("s1_", "s2_"))])  # fmt: skip
    own = by_hand.coefficients.set_index("term").loc["x:arm[treatment]"]
    for column in ("estimate", "se", "df", "p", "low", "high"):
        assert found.loc["all", column] == pytest.approx(own[column], rel=1e-8)
    alone = fit(tables["s1"], outcome="y", predictor="x", moderator="arm").coefficients.set_index("term")
    assert found.loc["s1", "estimate"] == pytest.approx(alone.loc["x:arm[treatment]", "estimate"], rel=1e-9)
    assert found.loc["s1", "se"] == pytest.approx(alone.loc["x:arm[treatment]", "se"], rel=1e-9)


@pytest.mark.long
def test_differences_between_studies_do_not_pass_for_moderation():
    """100 programmes: the arm's effect goes along with a study's mean predictor, b3 within studies is .5.

    One model with a level per study is pulled away; the one-stage intervals hold .5 within three standard errors
    (.065) of .95, and the test that studies agree rejects at its rate.
    """
    found, held, unequal = [], 0, 0
    for seed in range(100):
        tables = rows_of(3, seed=seed, confounded=4.0)
        table = one_stage(tables, Spec("y", "x", "arm")).set_index("study")
        held += table.loc["all", "low"] <= 0.5 <= table.loc["all", "high"]
        unequal += table.loc["equal in all", "p"] < 0.05
        if seed < 10:
            rows = pd.concat([t.assign(study=s) for s, t in tables.items()], ignore_index=True)
            naive = fit(rows, outcome="y", predictor="x", moderator="arm", covariates=["study"]).coefficients
            found.append((table.loc["all", "estimate"], naive.set_index("term").loc["x:arm[treatment]", "estimate"]))
    ours, naive = np.mean(found, axis=0)
    assert ours == pytest.approx(0.5, abs=0.15)
    assert naive > 0.8
    assert held / 100 == pytest.approx(0.95, abs=0.065)
    assert unequal / 100 == pytest.approx(0.05, abs=0.065)


def test_pool_rows_runs_from_its_command(tmp_path, capsys):
    tables = rows_of(2)
    tables["s0"] = tables["s0"].assign(role="child")
    tables["s0"].loc[tables["s0"].index[-5:], "role"] = "parent"
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
    studies = [f"{name}={tmp_path / name}.tsv" for name in tables]
    options = ["--outcome", "y", "--predictor", "x", "--covariance", "CR2", "--cluster", "family"]
    main(["pool-rows", *studies, *options, "--out", str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out" / "one_stage.tsv", sep="\t").set_index("study")
    assert table["n"].to_dict() == {"all": 115, "s0": 55, "s1": 60, "equal in all": 115}
    assert table.loc["all", "df"] < 40
    assert "equal in all" in capsys.readouterr().out


def test_pool_rows_takes_arms_coded_by_numbers_as_groups_where_told(tmp_path):
    """1 and 2 for control and treatment: by themselves numbers, with --factor the same answer as in words."""
    found = []
    for name, codes in (("words", None), ("numbers", {"control": 1, "treatment": 2})):
        tables = rows_of(2)
        for study, table in tables.items():
            given = table if codes is None else table.replace({"arm": codes})
            given.to_csv(tmp_path / f"{name}_{study}.tsv", sep="\t", index=False)
        studies = [f"{study}={tmp_path / name}_{study}.tsv" for study in tables]
        options = ["--outcome", "y", "--predictor", "x", *(["--factor", "arm"] if codes else [])]
        assert main(["pool-rows", *studies, *options, "--out", str(tmp_path / name)]) == 0
        found.append(pd.read_csv(tmp_path / name / "one_stage.tsv", sep="\t"))
    assert found[1]["quantity"].iloc[0] == "x:arm[2]"
    np.testing.assert_allclose(found[1]["estimate"], found[0]["estimate"], rtol=1e-9)


def test_studies_that_cannot_be_one_model_are_refused_all_at_once():
    tables = rows_of(3)
    tables["s1"] = tables["s1"].replace({"arm": {"treatment": "group"}})
    with pytest.raises(InputError, match=r"s1, arm: has x:arm\[group\], but s0 has x:arm\[treatment\]"):
        one_stage(tables, Spec("y", "x", "arm", reference="control"))
    with pytest.raises(InputError) as error:
        one_stage({k: t.drop(columns=c) for (k, t), c in zip(tables.items(), ("x", "y", "family"), strict=True)},
                  Spec("y", "x", "arm"))  # fmt: skip
    said = [str(p) for p in error.value.problems]
    assert len(said) == 2 and said[0].startswith("s0, x:") and said[1].startswith("s1, y:")
