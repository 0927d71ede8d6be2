"""Weights of rows go through every number: against R, doubled rows and a population of which only some were seen."""

import numpy as np
import pandas as pd
import pytest

from hpaxis.moderation import Spec, fit
from hpaxis.moderation.batches import studentiser
from hpaxis.moderation.censored import fit_tobit
from hpaxis.moderation.design import build_design
from hpaxis.moderation.generalised import (
    fit_generalised,
    generalised_effects,
    generalised_table,
    generalised_verdicts,
)
from hpaxis.moderation.influence import influence_table
from hpaxis.moderation.linear import fit_linear
from hpaxis.moderation.mediation import mediation_table
from hpaxis.moderation.mixed import mixed_table
from hpaxis.moderation.resample import resampling_table
from hpaxis.moderation.units import restricted_residuals
from hpaxis.problems import InputError


def study(n=80, seed=3):
    rng = np.random.default_rng(seed)
    arm = np.where(np.arange(n) % 2, "treatment", "control")
    x = rng.normal(size=n)
    y = 0.5 * x + (arm == "treatment") * (0.2 - 0.5 * x) + rng.normal(size=n)
    return pd.DataFrame({"x": x, "arm": arm, "y": y, "w": np.where(np.arange(n) % 4 == 0, 2.0, 1.0)})


def weighted_fit(data, **changes):
    return fit(data, **{"outcome": "y", "predictor": "x", "moderator": "arm", "weights": "w"} | changes)


def test_a_weighted_fit_and_its_influence_equal_r():
    """R 4.2.2: lm(y ~ x * arm, weights = w), sandwich vcovHC "HC3", hatvalues, cooks.distance, dfbetas, rstudent."""
    result = weighted_fit(study())
    found = result.coefficients.set_index("term")
    np.testing.assert_allclose(found["estimate"], [0.07684064, 0.65955452, 0.14317879, -0.59886971], atol=1e-8)
    np.testing.assert_allclose(found["se"], [0.1964652, 0.2293048, 0.2554264, 0.3079346], atol=1e-7)
    assert result.fit.set_index("statistic").loc["r2", "value"] == pytest.approx(0.2525334, abs=1e-7)
    rows = influence_table(result.linear).iloc[:3]
    np.testing.assert_allclose(rows["leverage"], [0.15006217, 0.14910904, 0.01997817], atol=1e-8)
    np.testing.assert_allclose(rows["cooks_d"], [0.125062175, 0.029857739, 0.001423593], atol=1e-8)
    np.testing.assert_allclose(rows["dfbetas"], [-0.38870899, -0.24797298, -0.01881851], atol=1e-8)
    np.testing.assert_allclose(rows["studentised"], [1.7042176, 0.8238029, 0.5260006], atol=1e-7)
    assert rows.loc[0, "estimate_without"] == pytest.approx(-0.5163893, abs=1e-7)
    assert rows.loc[0, "se_without"] == pytest.approx(0.3266508, abs=1e-7)


def test_equal_weights_change_nothing():
    data = study().assign(w=3.0)
    with_weights, without = weighted_fit(data), weighted_fit(data, weights=None)
    for name in ("coefficients", "slopes", "region_simultaneous", "effects", "verdict", "predictor_by_arm", "fit"):
        pd.testing.assert_frame_equal(getattr(with_weights, name), getattr(without, name))
    pd.testing.assert_frame_equal(resampling_table(with_weights.linear, 99, 1), resampling_table(without.linear, 99, 1))


@pytest.mark.parametrize("kind", ["HC3", "CR2"])
def test_redrawn_outcomes_are_fitted_with_the_weights(kind):
    """The studentised statistic of a new outcome is that of a weighted fit to it; the restricted fit has b3 = 0."""
    data = study().assign(family=np.arange(80) // 4)
    changes = {"covariance": kind, "cluster": "family"} if kind == "CR2" else {}
    one = weighted_fit(data, **changes).linear
    c = np.eye(4)[3]
    residuals = restricted_residuals(one.design, c, 0.0)
    b, V = studentiser(one.design, kind, C=c)(np.vstack([residuals, one.design.y]))
    X, root = one.design.X[:, :3], np.sqrt(data["w"].to_numpy())
    without = np.linalg.lstsq(X * root[:, None], data["y"] * root, rcond=None)[0]
    np.testing.assert_allclose(residuals, data["y"] - X @ without, atol=1e-12)
    assert b[1, 0] == pytest.approx(one.beta[3], abs=1e-12)
    again = weighted_fit(data.assign(y=residuals + 2 * data["x"]), **changes).linear
    fitted = studentiser(one.design, kind, C=c)((residuals + 2 * data["x"].to_numpy())[None])
    assert fitted[0][0, 0] == pytest.approx(again.beta[3], abs=1e-12)
    assert fitted[1][0, 0, 0] == pytest.approx(again.cov.matrix[3, 3], rel=1e-9)
    assert V[1, 0, 0] == pytest.approx(one.cov.matrix[3, 3], rel=1e-9)


def test_a_weight_of_two_is_two_rows_in_tobit_mediation_and_generalised_models():
    data = study()
    twice = pd.concat([data, data[data["w"] == 2]], ignore_index=True).assign(w=1.0)
    found = []
    for rows in (data, twice):
        design = build_design(rows, Spec("y", "x", "arm", weights="w"))
        side = np.where(rows["y"] < -1, -1, 0)
        mediation = mediation_table(
            design, rows["x"].to_numpy() ** 2, "both", 20, np.random.default_rng(1), cause="predictor"
        )
        paths = mediation[mediation["method"] == "percentile bootstrap"]["estimate"].to_numpy()
        ordered = np.digitize(rows["y"], [-1, 0, 1]) + 1.0
        design_of = lambda y, rows=rows: build_design(rows.assign(y=y), Spec("y", "x", "arm", weights="w"))  # noqa: E731
        outcomes = {"binary": (rows["y"] > 0) * 1.0, "count": np.round(np.exp(rows["y"] / 2)), "ordered": ordered}
        models = [fit_generalised(design_of(y), kind) for kind, y in outcomes.items()]
        # Slopes and effects on the scale people read are averages over the rows, which count by their weights too.
        tables = [make(model) for model in models for make in (generalised_table, generalised_effects)]
        read = [table["estimate"].to_numpy() for table in tables]
        found.append(np.concatenate([fit_tobit(design, side, "OLS").beta, paths, *(m.beta for m in models), *read]))
    np.testing.assert_allclose(found[0], found[1], atol=2e-6)


def test_weights_undo_that_not_everybody_was_seen():
    """People with more of z are seen less, and z carries part of the interaction: known truth of the whole population.

    150 studies of 300 enrolled: the weighted b3 is that of everybody; unweighted it is not. A weighted 95 % interval
    holds the truth within three standard errors (.053) of .95.
    """
    rng = np.random.default_rng([41, 7])
    estimates, held = [], []
    for _ in range(150):
        n = 300
        t, x, z = np.arange(n) % 2.0, rng.normal(size=n), rng.normal(size=n) > 0
        y = -0.3 * x + (0.6 * z) * x * t + rng.normal(size=n)  # b3 is .6 with z and 0 without: .3 over everybody
        seen_p = np.where(z, 0.35, 0.9)
        seen = rng.random(n) < seen_p
        arm = np.where(t, "treatment", "control")
        data = pd.DataFrame({"x": x, "arm": arm, "y": y, "w": 1 / seen_p})[seen]
        row = []
        for weights in ("w", None):
            design = build_design(data, Spec("y", "x", "arm", weights=weights))

            found = fit_linear(design).contrasts(np.eye(4)[3]).iloc[0]
            row.append(found["estimate"])
            if weights:
                held.append(found["low"] <= 0.3 <= found["high"])
        estimates.append(row)
    weighted, plain = np.mean(estimates, axis=0)
    assert weighted == pytest.approx(0.3, abs=0.03)
    assert plain < 0.25
    assert np.mean(held) == pytest.approx(0.95, abs=0.053)


def test_what_cannot_be_weighted_is_refused_by_name():
    data = study().assign(therapist=lambda d: np.where(d["arm"] == "treatment", "t" + (d.index % 5).astype(str), None))
    design = build_design(data, Spec("y", "x", "arm", weights="w"))
    with pytest.raises(InputError, match="therapist: has no weights here"):
        mixed_table(design, data["therapist"])
    with pytest.raises(InputError, match="w: is not a positive number in every row"):
        weighted_fit(data.assign(w=0.0))
    with pytest.raises(InputError, match="its weights at once"):
        weighted_fit(data, covariates=["w"])


def test_a_row_without_a_weight_is_left_out_with_its_reason():
    data = study()
    data.loc[5, "w"] = np.nan
    used = weighted_fit(data).used
    assert used.loc[5, "reason"] == "missing: w"


@pytest.mark.parametrize("kind", ["binary", "count"])
def test_verdict_and_region_on_both_scales(kind):
    """Strong moderation, covariate-free: on the scale people read too; the region's ends are zeros of its own band."""
    rng = np.random.default_rng([42, 5])
    n = 1500
    t, x = np.arange(n) % 2.0, rng.normal(size=n)
    eta = -0.9 * x + 0.8 * x * t
    y = rng.poisson(np.exp(eta)) if kind == "count" else rng.random(n) < 1 / (1 + np.exp(-eta))
    data = pd.DataFrame({"x": x, "arm": np.where(t, "treatment", "control"), "y": y * 1.0})
    found = fit_generalised(build_design(data, Spec("y", "x", "arm")), kind)
    link, read = generalised_verdicts(found, 0.08).to_dict("records")
    # By the truths below: the treatment's slope is inside the margin of .08 on the probability scale alone (-.024).
    assert link["verdict"] == "weaker with treatment"
    assert read["verdict"] == {"count": "weaker with treatment", "binary": "buffered"}[kind]
    assert read["region_kind"] == link["region_kind"] == "outside"
    # Zero is where the arms are alike on either scale; the band on the read scale is the delta method's.
    assert read["region_low"] == pytest.approx(link["region_low"], abs=0.12)
    assert read["region_high"] == pytest.approx(link["region_high"], abs=0.12)
    assert read["region_low"] < 0 < read["region_high"]
    inside = generalised_effects(found).set_index("value")["inside"]
    assert not inside[(inside.index > read["region_low"] / 3) & (inside.index < read["region_high"] / 3)].any()
    # True average slopes, by quadrature over the normal predictor.
    z, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()
    for part, b in (("reference", -0.9), ("arm", -0.1)):
        p = 1 / (1 + np.exp(-b * z))
        truth = (w * b * (np.exp(b * z) if kind == "count" else p * (1 - p))).sum()
        assert read[f"{part}_low"] < truth < read[f"{part}_high"]
