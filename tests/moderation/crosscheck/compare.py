"""Compare hpaxis with what R said: every quantity of reference.R within 1e-8 (iterated fits: more). Prints all."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.moderation import fit
from hpaxis.moderation.batches import weighted_coefficients
from hpaxis.moderation.censored import fit_tobit
from hpaxis.moderation.compliance import complier_table
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.imputation import PooledCovariance
from hpaxis.moderation.influence import influence_table
from hpaxis.moderation.mediation import PROCESS, build_paths

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data" / "moderation"
KINDS = ("OLS", "HC0", "HC1", "HC2", "HC3", "HC4")
# survreg stops at its own tolerance; all else is closed form, or (lavaan) driven to its end.
TOLERANCE = {"tobit": 1e-6}


def quantities():
    """Return every quantity of reference.R as hpaxis gives it: name to list of values."""
    states = pd.read_csv(DATA / "state_x77.tsv", sep="\t").rename(columns={"HS Grad": "HS"})
    cars = pd.read_csv(DATA / "mtcars.tsv", sep="\t")
    anorexia = pd.read_csv(DATA / "anorexia.tsv", sep="\t")
    cars["arm"] = np.where(cars["cyl"] == 4, "four", "more")
    found = {}
    found |= continuous("states", states, "Income", "Illiteracy", "Murder", (), [3, 7, 11])
    found |= continuous("states+HS", states, "Income", "Illiteracy", "Murder", ("HS",), [3, 7, 11])
    found |= continuous("cars", cars, "mpg", "hp", "wt", (), [2, 3, 4])
    found |= arms(anorexia) | clustered(cars) | special(cars)
    found |= mediations(cars) | equivalence(cars)
    return found


def continuous(name, data, outcome, predictor, moderator, covariates, at):
    """A continuous moderator under every covariance."""
    found = {}
    for kind in KINDS:
        r = fit(
            data,
            outcome=outcome,
            predictor=predictor,
            moderator=moderator,
            covariates=covariates,
            covariance=kind,
            at=at,
        )
        # R puts the product last and covariates before it, as hpaxis does.
        found[f"{name} estimate"] = r.coefficients["estimate"]
        found[f"{name} {kind} se"] = r.coefficients["se"]
        found[f"{name} {kind} region"] = r.region.loc[0, ["low", "high"]]
        for column, label in (("estimate", "slope"), ("se", "slope se"), ("low", "slope low"), ("p", "slope p")):
            found[f"{name} {kind} {label}"] = r.slopes[column]
        s = r.fit.set_index("statistic")["value"]
        found[f"{name} {kind} wald"] = [s["wald_interaction"]]
    found |= {f"{name} r2": [s["r2"]], f"{name} adjusted r2": [s["r2_adjusted"]], f"{name} F": [s["f_omnibus"]]}
    return found


def arms(anorexia):
    """Three arms under every covariance."""
    found = {}
    for kind in KINDS:
        r = fit(anorexia, outcome="Postwt", predictor="Prewt", moderator="Treat", covariance=kind)
        found["anorexia estimate"] = r.coefficients["estimate"]
        found[f"anorexia {kind} se"] = r.coefficients["se"]
        found[f"anorexia {kind} slope"], found[f"anorexia {kind} slope se"] = r.slopes["estimate"], r.slopes["se"]
        for column, label in (("estimate", "difference"), ("se", "difference se"), ("p", "difference p")):
            found[f"anorexia {kind} {label}"] = r.slope_differences[column]
        found[f"anorexia {kind} wald"] = [r.fit.set_index("statistic").loc["wald_interaction", "value"]]
        means = r.linear.contrasts(np.array([r.design.mean_contrast(a, 80) for a in r.design.moderator.levels]))
        found[f"anorexia {kind} mean at 80"], found[f"anorexia {kind} mean se"] = means["estimate"], means["se"]
    return found


def clustered(cars):
    """CR2 with Satterthwaite's degrees of freedom, and influence."""
    r = fit(cars, outcome="mpg", predictor="hp", moderator="wt", covariance="CR2", cluster="carb", at=[3])
    slope = r.slopes.iloc[0]
    joint = r.fit.set_index("statistic").loc["wald_omnibus"]
    # Partially nested: cars without a cluster where am is 0.
    nested = cars.assign(carb=cars["carb"].where(cars["am"] == 1))
    n = fit(nested, outcome="mpg", predictor="hp", moderator="am", covariance="CR2", cluster="carb").coefficients
    i = influence_table(fit(cars, outcome="mpg", predictor="hp", moderator="wt").linear)
    return {
        "CR2 se": r.coefficients["se"], "CR2 df": r.coefficients["df"], "CR2 p": r.coefficients["p"],
        "CR2 nested se": n["se"], "CR2 nested df": n["df"], "CR2 nested p": n["p"],
        "CR2 joint": joint[["value", "df2", "p"]],
        "CR2 slope": slope[["estimate", "se", "df", "low", "high"]],
        "influence dfbetas": i["dfbetas"], "influence cook": i["cooks_d"], "influence hat": i["leverage"],
        "influence studentised": i["studentised"],
    }  # fmt: skip


def special(cars):
    """Censored outcome, complier effect, Rubin's rules."""
    limited = cars.assign(mpg=cars["mpg"].clip(upper=24))
    design = build_design(limited, Spec("mpg", "hp", "wt"))
    tobit = fit_tobit(design, np.where(cars["mpg"] < 24, 0, 1), "OLS")
    design = build_design(cars, Spec("mpg", "hp", "arm"))
    received = cars["am"].to_numpy(float)
    two_stage = {kind: complier_table(design, received, kind) for kind in ("OLS", "HC1")}
    q, u = np.array([1.1, 0.9, 1.4, 1.2, 0.7]), np.array([0.20, 0.25, 0.22, 0.18, 0.24])
    pooled = PooledCovariance("OLS", np.array([[u.mean()]]), np.array([[q.var(ddof=1)]]), 5, 40)
    return {
        "tobit estimate": tobit.beta, "tobit se": np.sqrt(np.diag(tobit.cov.matrix)),
        "complier estimate": two_stage["OLS"]["estimate"], "complier se": two_stage["OLS"]["se"],
        "complier HC1 se": two_stage["HC1"]["se"],
        "rubin": [q.mean(), pooled.matrix[0, 0], pooled.df(np.eye(1))[0]],
    }  # fmt: skip


def mediations(cars):
    """PROCESS 4, 5, 7, 8, 14, 15, 58 and 59, the arm as cause and the predictor as cause."""
    design = build_design(cars.assign(h=cars["hp"] / 100), Spec("mpg", "h", "arm", reference="four"))
    one, found = np.ones((1, len(cars))), {}
    for question, cause in (("arm", "moderator"), ("predictor", "predictor")):
        for (stage, direct), model in PROCESS.items():
            paths = build_paths(design, cars["wt"].to_numpy(), stage, direct, cause)
            a = weighted_coefficients(paths.A, paths.mediator, one)
            names, values = paths.effects(a, weighted_coefficients(paths.B, paths.outcome, one))
            value = dict(zip(names, values[0], strict=True))
            parts = {
                "paths": [v for k, v in value.items() if " on " in k or (k.startswith("direct") and not direct)],
                "indirect": [v for k, v in value.items() if k.startswith("indirect")],
                "direct": [v for k, v in value.items() if k.startswith("direct")] if direct else [],
                "index": [v for k, v in value.items() if k.startswith("index")],
            }
            found |= {f"mediation {question} {model} {part}": v for part, v in parts.items() if v}
    return found


def equivalence(cars):
    """Two one-sided tests of both slopes and of their difference."""
    found = {}
    for kind in ("OLS", "HC3"):
        for margin in (2, 6):
            data = cars.assign(hundreds=cars["hp"] / 100)
            r = fit(
                data, outcome="mpg", predictor="hundreds", moderator="arm", reference="four", covariance=kind,
                margin=margin,
            )  # fmt: skip
            found[f"tost {kind} {margin}"] = r.verdict.loc[0, ["tost_reference_p", "tost_arm_p", "tost_difference_p"]]
    return found


def main():
    """Run R, compare, print the largest relative difference of each quantity; exit 1 where one is beyond tolerance."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.tsv"
        subprocess.run(["Rscript", "--vanilla", str(HERE / "reference.R"), str(DATA), str(path)], check=True)
        reference = pd.read_csv(path, sep="\t")
    reference["name"] = reference["quantity"].str.rsplit("|", n=1).str[0]
    ours, failed = quantities(), 0
    for name, group in reference.groupby("name", sort=False):
        theirs, own = group["value"].to_numpy(float), np.asarray(ours.pop(name), float)
        limit = TOLERANCE.get(name.split()[0], 1e-8)
        scale = np.maximum(np.abs(theirs), 1e-3)
        difference = np.max(np.where(np.isnan(theirs) & np.isnan(own), 0, np.abs(own - theirs) / scale))
        failed += not difference <= limit
        print(f"{name}\t{len(theirs)}\t{difference:.1e}\t{limit:.0e}\t{'agrees' if difference <= limit else 'DIFFERS'}")
    print(f"{len(reference)} values, {failed} quantities differ; not in R's list: {', '.join(ours) or 'none'}")
    sys.exit(1 if failed or ours else 0)


if __name__ == "__main__":
    main()
