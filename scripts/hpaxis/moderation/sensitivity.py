"""The same slopes under other ways to treat missing, censored, imprecise and extreme values, beside each other."""

from dataclasses import replace

import numpy as np
import pandas as pd
from statsmodels.robust.norms import HuberT
from statsmodels.robust.robust_linear_model import RLM

from hpaxis.moderation.censored import fit_tobit
from hpaxis.moderation.covariance import Covariance
from hpaxis.moderation.design import build_design
from hpaxis.moderation.imputation import fit_imputed
from hpaxis.moderation.linear import STATISTICS, LinearFit, fit_linear
from hpaxis.moderation.multiverse import without_outliers
from hpaxis.moderation.region import region_table
from hpaxis.moderation.reliability import corrected_table, reliability_table
from hpaxis.moderation.seeds import generator
from hpaxis.moderation.slopes import moderator_values, quantities
from hpaxis.problems import InputError

COLUMNS = ["method", "role", "quantity", *STATISTICS, "n", "covariance", "note"]


def censoring_limits(data, column):
    """Return the bounds (low, high) of a log cortisol column's censored values; None for other columns."""
    if not column.endswith("log_cortisol"):
        return None
    lender = column.removesuffix("log_cortisol")
    names = [f"{lender}cortisol_censored", f"{lender}log_cortisol_limit"]
    if not set(names) <= set(data.columns):
        return None
    side, limit = (data[name] for name in names)
    return pd.DataFrame({"low": limit.where(side == "above"), "high": limit.where(side == "below")}).astype(float)


def quantity_table(fit, at="mean_sd"):
    """Return the product terms and slopes of any fit with a covariance: quantity, estimate ... high."""
    names, C = quantities(fit.design, at)
    table = fit.contrasts(C)
    table.insert(0, "quantity", names)
    return table


def censored_cases(data, spec):
    """Return ``(data, side)`` with a censored outcome at its limit (side -1 below, 1 above), or None.

    Only rows that are complete but for the outcome count.
    """
    limits = censoring_limits(data, spec.outcome)
    others = [c for c in spec.columns if c != spec.outcome]
    if limits is None or not (limits.notna().any(axis=1) & data[others].notna().all(axis=1)).any():
        return None
    bound = limits["high"].fillna(limits["low"])
    side = pd.Series(0, index=data.index).mask(limits["high"].notna(), -1).mask(limits["low"].notna(), 1)
    filled = data.assign(**{spec.outcome: data[spec.outcome].where(side == 0, bound)})
    return filled, side


def tobit_fit(data, spec, kind):
    """Fit the censored regression of ``spec``, standardised by the uncensored complete cases."""
    filled, side = censored_cases(data, spec)
    scales = build_design(data, spec).scales
    for name in scales.index[scales["standardised"]]:
        filled = filled.assign(**{name: (filled[name] - scales.loc[name, "mean"]) / scales.loc[name, "sd"]})
    design = build_design(filled, replace(spec, standardise=()))
    return fit_tobit(replace(design, spec=spec, scales=scales), side[design.data.index].to_numpy(), kind)


def robust_fit(design, kind):
    """Fit Huber's M estimator (statsmodels RLM, its H1 covariance); t on the residual degrees of freedom."""
    result = RLM(design.y, design.X, M=HuberT()).fit()
    cov = Covariance("Huber H1", np.asarray(result.cov_params()), design.n - design.X.shape[1])
    return LinearFit(design, np.asarray(result.params), design.y - design.X @ result.params, np.zeros(design.n), cov)


def sensitivity(fit, data, entry, settings, seed, name=""):
    """Return ``(table, regions, reliability, imputations)``: a model under all other treatments.

    ``fit``: the model on complete cases; ``data``: all its rows. ``table`` has one row a method and quantity
    (COLUMNS), role primary (the one to report) or sensitivity; ``regions`` the regions of the methods that have
    one; ``reliability`` by arm, empty where the predictor has no column of errors; ``imputations`` diagnostics,
    empty where none were made.
    """
    spec, kind, at = fit.design.spec, fit.cov.kind, entry["slopes_at"]
    tables, regions = [], []

    names, _ = quantities(fit.design, at)
    # A continuous moderator's values are those of the complete cases in every method.
    places = at if fit.design.moderator.levels is not None else moderator_values(fit.design, at)[0]

    def add(method, role, one, note=""):
        table = quantity_table(one, places)
        tables.append(
            table.assign(quantity=names, method=method, role=role, n=one.design.n, covariance=one.cov.kind, note=note)
        )
        regions.append(region_table(one).assign(method=method))

    censored = censored_cases(data, spec)
    covariate_limits = {c: f for c in spec.covariates if (f := censoring_limits(data, c)) is not None}
    covariate_limits = {c: f for c, f in covariate_limits.items() if f.notna().any(axis=None)}
    plain = censored is None and not covariate_limits
    add("complete cases", "primary" if plain else "sensitivity", fit, "" if plain else "censored values left out")
    if censored is not None:
        count = int((censored[1] != 0).sum())
        add("Tobit", "primary", tobit_fit(data, spec, kind), f"{count} outcome values known only as beyond a limit")
    limits = dict(covariate_limits)
    if censored is not None:
        limits[spec.outcome] = censoring_limits(data, spec.outcome)
    empty = pd.DataFrame()
    imputations = empty
    if entry["impute"] or covariate_limits:
        m = settings["imputations"]
        pooled, made = fit_imputed(data, spec, kind, m, generator(seed, name, "impute"), entry["auxiliary"], limits)
        add("multiple imputation", "primary" if covariate_limits and censored is None else "sensitivity", pooled,
            f"{m} imputations within arm")  # fmt: skip
        imputations = made.diagnostics
    if censored is not None or covariate_limits:
        substituted = substitute_limits(data, limits)
        add(
            "limit / sqrt(2)",
            "sensitivity",
            fit_linear(build_design(substituted, spec), kind),
            "censored values set to it",
        )
    for rule, method in (("drop_3sd", "beyond 3 SD left out"), ("winsorise", "pulled in to 3 SD")):
        changed = without_outliers(data, (spec.outcome, spec.predictor), rule)
        if not changed[[spec.outcome, spec.predictor]].equals(data[[spec.outcome, spec.predictor]].astype(float)):
            try:
                add(method, "sensitivity", fit_linear(build_design(changed, spec), kind), "outcome and predictor")
            except InputError as error:
                tables.append(pd.DataFrame([{"method": method, "role": "sensitivity", "note": error.problems[0].what}]))
    add("robust regression", "sensitivity", robust_fit(fit.design, kind), "Huber")
    reliability = empty
    error_column = f"{entry['predictor']}_se" if entry["scale"] == "beta" else f"{spec.predictor}_se"
    if error_column in data.columns and entry["scale"] != "logit":
        error = data.loc[fit.design.data.index, error_column].to_numpy(float)
        if np.isfinite(error).all():
            reliability = reliability_table(fit.design, error)
            draws = settings["error_draws"]
            corrected = corrected_table(fit, error, draws, generator(seed, name, "error"), at)
            tables.append(corrected[corrected["method"] != "naive"].assign(
                role="sensitivity", n=fit.design.n, covariance=kind, note="measurement error of the predictor",
            ))  # fmt: skip
    return (
        pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS),
        pd.concat(regions, ignore_index=True),
        reliability,
        imputations,
    )


def substitute_limits(data, limits):
    """Return the data with each censored log value at log(limit / sqrt 2) if below, at log(limit) if above."""
    for column, bounds in limits.items():
        value = (bounds["high"] - np.log(2) / 2).fillna(bounds["low"])
        data = data.assign(**{column: data[column].where(value.isna(), value)})
    return data
