"""Every defensible version of a model, all shown: the specification curve and one joint permutation p.

Specification curve: Simonsohn, Simmons & Nelson (2020). No version's p is singled out.
"""

from itertools import product

import numpy as np
import pandas as pd

from hpaxis.moderation.batches import studentiser, t_and_f
from hpaxis.moderation.design import build_design
from hpaxis.moderation.entries import model_rows, scaled_name, spec_of
from hpaxis.moderation.linear import fit_linear
from hpaxis.moderation.resample import restricted, share_reaching
from hpaxis.moderation.seeds import generator
from hpaxis.problems import InputError

OUTLIERS = ("none", "drop_3sd", "winsorise")
CHOICES = ["predictor", "scale", "covariates", "covariance", "outliers", "rows"]


def versions(entry, grid):
    """Return the entries of all versions: a list of ``(choices, entry)``, the config's own version first.

    ``grid`` holds lists for predictors, scales, covariates (a list of sets), covariances, outliers, and
    ``rows`` (name to the ``keep`` of a population, such as per_protocol); an empty list keeps the entry's own. A
    predictor that is not an index of methylation has no other scale than its own.
    """
    own_rows = {"all": entry["keep"]}
    axes = [
        grid["predictors"] or [entry["predictor"]],
        grid["scales"] or [entry["scale"]],
        grid["covariates"] or [entry["covariates"]],
        grid["covariances"] or [entry["covariance"]],
        grid["outliers"] or ["none"],
        list({**own_rows, **grid["rows"]}),
    ]
    found = []
    for predictor, scale, covariates, covariance, outliers, rows in product(*axes):
        if scale != "beta" and not predictor.endswith("_beta"):
            continue  # only an index of methylation has M values and logits
        changed = {
            **entry, "predictor": predictor, "scale": scale, "covariates": covariates, "covariance": covariance,
            "keep": {**own_rows, **grid["rows"]}[rows], "standardise": ["outcome", "predictor"],
        }  # fmt: skip
        choices = (predictor, scale, ", ".join(covariates) or "none", covariance, outliers, rows)
        found.append((dict(zip(CHOICES, choices, strict=True)), changed))
    return found


def without_outliers(data, columns, rule):
    """Return the data with values beyond 3 SD of a column's mean dropped (as missing) or pulled in to 3 SD."""
    if rule == "none":
        return data
    changed = {}
    for name in columns:
        values = data[name].astype(float)
        low, high = values.mean() - 3 * values.std(ddof=1), values.mean() + 3 * values.std(ddof=1)
        changed[name] = values.clip(low, high) if rule == "winsorise" else values.where(values.between(low, high))
    return data.assign(**changed)


def multiverse(table, entry, grid, arms, settings, draws, seed, name=""):
    """Return ``(curve, joint)``: every version's interaction, and the joint tests over all of them.

    Outcome and predictor are standardised in every version so that estimates compare. ``curve`` has one row a
    version and product term: version, the choices, term, estimate, se, t, df, p, low, high, n, covariance, own
    (whether it is the config's own version), problem (why it could not be fitted). ``joint`` has one row a
    statistic: median estimate, share significant with the median's sign, mean t; observed, p (two-sided
    permutation, rows shuffled alike in every version), draws, versions.
    """
    rows, fits = [], []
    own = (scaled_name(entry["predictor"], entry["scale"]), tuple(entry["covariates"]), entry["covariance"])
    for i, (choices, changed) in enumerate(versions(entry, grid), start=1):
        spec = spec_of(changed, arms, settings["alpha"], settings["minimum_per_arm"])
        data, _ = model_rows(table, changed, arms)
        data = without_outliers(data, (spec.outcome, spec.predictor), choices["outliers"])
        try:
            fit = fit_linear(build_design(data, spec), changed["covariance"])
        except InputError as error:
            rows.append(pd.DataFrame([{"version": i, **choices, "problem": error.problems[0].what}]))
            continue
        is_own = (spec.predictor, spec.covariates, changed["covariance"]) == own and changed["keep"] == entry["keep"]
        estimates = fit.contrasts(np.eye(len(fit.beta))[fit.design.interactions])
        estimates = estimates.assign(
            version=i, **choices, term=fit.design.interaction_terms, n=fit.design.n,
            own=is_own and choices["outliers"] == "none",
        )  # fmt: skip
        rows.append(estimates)
        fits.append(fit)
    columns = ["version", *CHOICES, "term", "estimate", "se", "t", "df", "p", "low", "high", "n", "own", "problem"]
    curve = pd.concat(rows, ignore_index=True).reindex(columns=columns)
    return curve, joint_tests(fits, draws, generator(seed, name, "multiverse"), settings["alpha"])


def joint_tests(fits, draws, rng, alpha):
    """Return the joint tests of versions: Freedman-Lane with one shuffle of the participants each draw.

    Each participant draws one random key; in every version its restricted residuals are put in the order of the
    keys of the rows it uses. Needs at least one fit; several product terms of a version count as several
    estimates.
    """
    people = sorted(set().union(*(f.design.data.index for f in fits)))
    position = {p: i for i, p in enumerate(people)}
    keys = rng.random((draws, len(people)))
    t, estimates, critical, observed_t, observed = [], [], [], [], []
    for fit in fits:
        design = fit.design
        student = studentiser(design, fit.cov.kind, design.interactions)
        fitted, residuals, _ = restricted(design)
        order = keys[:, [position[p] for p in design.data.index]].argsort(axis=1)
        b, V = student(fitted + residuals[order])
        t.append(t_and_f(b, V)[0])
        estimates.append(b)
        table = fit.contrasts(np.eye(len(fit.beta))[design.interactions])
        observed_t.append(table["t"].to_numpy())
        observed.append(table["estimate"].to_numpy())
        critical.append(fit.cov.critical(np.eye(len(fit.beta))[design.interactions], alpha))
    critical = np.concatenate(critical)
    drawn = _summaries(np.concatenate(estimates, axis=1), np.concatenate(t, axis=1), critical)
    seen = _summaries(np.concatenate(observed)[None], np.concatenate(observed_t)[None], critical)
    rows = [
        (name, seen[name][0], share_reaching(np.abs(drawn[name]), abs(seen[name][0])), draws, len(fits))
        for name in drawn
    ]
    return pd.DataFrame(rows, columns=["statistic", "observed", "p", "draws", "versions"])


def _summaries(estimates, t, critical):
    """Median estimate, share of versions significant in its direction, and mean t, of each draw (N, versions)."""
    median = np.median(estimates, axis=1)
    along = t * np.sign(median)[:, None] > critical
    return {"median estimate": median, "share significant": along.mean(axis=1), "mean t": t.mean(axis=1)}
