"""The programme's estimators against R on ten simulated trials: glm with sandwich, polr, lme4 and metafor.

Average marginal slopes, their difference and the arms' difference at one predictor value are R's own predictions, with
errors by the delta method from R's covariance.

`make crosscheck` runs it. Tolerances are those of R's optimisers: 5e-6 for generalised models (glm stops at 1e-8 of
the deviance), 1e-4 for ordered ones (polr), 1e-6 for mixed ones, 2e-3 for intervals that rest on Paule and Mandel's
variance (metafor stops at 1e-5 of its equation, and a prediction interval magnifies it). Satterthwaite's degrees of
freedom rest on the expected information here and on the observed one in lmerTest: a fifth.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.generalised import fit_generalised, generalised_effects, generalised_table
from hpaxis.moderation.influence import influence_table
from hpaxis.moderation.linear import fit_linear
from hpaxis.moderation.mixed import mixed_table
from hpaxis.programme.pooling import random_effects

SCRIPT = Path(__file__).with_name("programme.R")
TERMS = [0, 1, 2, 3, 4]


def trial(seed):
    """A trial with outcomes of every kind, weights, and therapists in the treatment arm."""
    rng = np.random.default_rng([21, seed])
    n = 240
    x, age, arm = rng.normal(size=n), rng.normal(size=n), np.arange(n) % 2
    eta = -0.3 - 0.7 * x + 0.2 * arm + 0.7 * x * arm + 0.2 * age
    seen = rng.integers(0, 10, n)
    return pd.DataFrame({
        "x": x, "age": age, "arm": pd.Categorical(np.where(arm, "treatment", "control"), ["control", "treatment"]),
        "binary": (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0, "count": rng.poisson(np.exp(0.5 * eta + 1)) * 1.0,
        "ordered": np.digitize(eta + rng.logistic(size=n), [-1.5, 0, 1.2]) + 1.0, "w": rng.uniform(0.5, 2, n),
        "score": eta + arm * (rng.normal(size=10) * 0.7)[seen] + rng.normal(size=n),
        "therapist": np.where(arm, [f"t{k}" for k in seen], None),
    })  # fmt: skip


def ours(data, studies):
    """The same numbers as the R script prints, by name."""
    found = {}

    def design(outcome, weights="w"):
        return build_design(data, Spec(outcome, "x", "arm", ("age",), weights=weights))

    # R puts the covariate before the product term, as hpaxis does.
    for kind, kinds in (("binary", ("HC0", "HC3")), ("count", ("HC0", "HC3")), ("continuous", ("HC3",))):
        outcome = "score" if kind == "continuous" else kind
        for cov in kinds:
            fit = fit_generalised(design(outcome), kind, cov)
            found[f"{kind}.b"], found[f"{kind}.{cov}"] = fit.beta, np.sqrt(np.diag(fit.cov.matrix))
        if kind != "continuous":
            read = generalised_table(fit).query("scale in ['probability', 'rate']")
            effects = generalised_effects(fit)
            at = effects.iloc[[len(effects) // 4]]
            found[f"{kind}.read"] = [*read["estimate"], *at["estimate"]]
            found[f"{kind}.read_se"] = [*read["se"], *at["se"]]
            data[f"at_{kind}"] = at["value"].iloc[0]
    for how, weights in (("ordered", None), ("ordered_weighted", "w")):
        fit = fit_generalised(design("ordered", weights), "ordered")
        found[f"{how}.b"], found[f"{how}.HC1"] = fit.beta[:4], np.sqrt(np.diag(fit.cov.matrix))[:4]
    fit = fit_linear(design("score"), "HC3")
    found["linear.b"], found["linear.HC3"] = fit.beta, np.sqrt(np.diag(fit.cov.matrix))
    table = influence_table(fit)
    found["linear.influence"] = table[["cooks_d", "dfbetas", "studentised"]].iloc[:20].to_numpy().T.ravel()
    found["linear.without"] = table.loc[0, ["estimate_without", "se_without"]].to_numpy(float)
    table = mixed_table(design("score", None), data["therapist"]).set_index("quantity")
    found["mixed"] = table
    for k in (3, len(studies)):
        r, _ = random_effects(studies["estimate"][:k], studies["se"][:k])
        names = ("estimate", "se", "tau2", "p", "low", "high", "prediction_low", "prediction_high")
        found[f"pooled{k}"] = [r[name] for name in names]
    return found


def compare(seed, folder):
    """Return the largest difference of each kind of number."""
    data = trial(seed)
    rng = np.random.default_rng([22, seed])
    studies = pd.DataFrame({"estimate": rng.normal(0.4, 0.4, 6), "se": rng.uniform(0.1, 0.3, 6)})
    own = ours(data, studies)
    data.to_csv(folder / "trial.csv", index=False)
    studies.to_csv(folder / "studies.csv", index=False)
    said = subprocess.run(
        ["Rscript", str(SCRIPT), str(folder / "trial.csv"), str(folder / "studies.csv")],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    theirs: dict[str, list[float]] = {}
    for line in said.splitlines():
        name, value = line.split("\t")
        theirs.setdefault(name.rsplit(".", 1)[0], []).append(float(value))
    mixed = own.pop("mixed")
    worst = {name: np.abs(np.array(own[name]) - theirs[name]).max() for name in own}
    for term, place in (("arm[treatment]", 2), ("x:arm[treatment]", 4)):
        row = mixed.loc[term]
        worst[f"mixed {term}"] = max(
            abs(row["estimate"] - theirs["mixed.b"][place]), abs(row["se"] - theirs["mixed.se"][place])
        )
        worst[f"mixed df {term}"] = abs(row["df"] / theirs["mixed.df"][place] - 1)
    worst["mixed variances"] = np.abs(
        mixed[["group_variance", "residual_variance"]].iloc[0] - theirs["mixed.variances"]
    ).max()
    return worst


def tolerance(name):
    """How far a number may be from R's."""
    limits = {
        "mixed df": 0.2,
        "linear": 1e-9,
        "binary": 5e-6,
        "count": 5e-6,
        "continuous": 1e-9,
        "ordered": 1e-4,
        "pooled": 2e-3,
    }
    return next((limit for start, limit in limits.items() if name.startswith(start)), 1e-6)


def main():
    """Compare ten trials; print the worst difference of each kind, and exit 1 beyond a tolerance."""
    with tempfile.TemporaryDirectory() as folder:
        rows = pd.DataFrame([compare(seed, Path(folder)) for seed in range(10)])
    worst = rows.max()
    for name, value in worst.items():
        print(f"{name:28} {value:.2e}  (tolerance {tolerance(name):g})")
    sys.exit(int(any(value > tolerance(name) for name, value in worst.items())))


if __name__ == "__main__":
    main()
