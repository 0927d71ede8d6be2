"""The same slopes under other ways to treat missing, censored, imprecise and extreme values, beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
from hpaxis.problems import InputError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Design, Spec
    from hpaxis.settings import ModerationSettings

# From this share of tied lowest values on, a predictor has a point mass there.
MANY_LOWEST = 0.2
# A scale this small beside the residuals is rounding.
ROUNDING = 1e-8
COLUMNS = ["method", "role", "quantity", *STATISTICS, "n", "covariance", "note"]


def censoring_limits(data: pd.DataFrame, column: str) -> pd.DataFrame | None:
    """Return the bounds (low, high) of a log cortisol column's censored values; None for other columns."""
    if not column.endswith("log_cortisol"):
        return None
    lender = column.removesuffix("log_cortisol")
    names = [f"{lender}cortisol_censored", f"{lender}log_cortisol_limit"]
    if not set(names) <= set(data.columns):
        return None
    side, limit = (data[name] for name in names)
    return pd.DataFrame({"low": limit.where(side == "above"), "high": limit.where(side == "below")}).astype(float)


def quantity_table(fit: LinearFit, at: str | Sequence[float] = "mean_sd") -> pd.DataFrame:
    """Return the product terms and slopes of any fit with a covariance: quantity, estimate ... high."""
    names, C = quantities(fit.design, at)
    table = fit.contrasts(C)
    table.insert(0, "quantity", names)
    return table


def censored_cases(data: pd.DataFrame, spec: Spec) -> tuple[pd.DataFrame, pd.Series] | None:
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


def tobit_fit(data: pd.DataFrame, spec: Spec, kind: str) -> LinearFit:
    """Fit the censored regression of ``spec``, standardised by the uncensored complete cases."""
    filled, side = censored_cases(data, spec)
    scales = build_design(data, spec).scales
    for name in scales.index[scales["standardised"]]:
        filled = filled.assign(**{name: (filled[name] - scales.loc[name, "mean"]) / scales.loc[name, "sd"]})
    design = build_design(filled, replace(spec, standardise=()))
    return fit_tobit(replace(design, spec=spec, scales=scales), side[design.data.index].to_numpy(), kind)


def robust_fit(design: Design, kind: str) -> LinearFit:
    """Fit Huber's M estimator (statsmodels RLM, its H1 covariance); t on the residual degrees of freedom."""
    if design.spec.weights is not None:
        raise InputError(Problem("data", "is not available with weights", "leave weights out"))
    result = RLM(design.y, design.X, M=HuberT()).fit()
    spread = np.std(design.y - design.X @ result.params)
    if not result.scale > ROUNDING * spread:
        what = "more than half of the residuals are zero, so that robust regression has no scale"
        raise InputError(
            Problem("data", what, "the outcome is mostly one value: describe it by the share of that value")
        )
    cov = Covariance("Huber H1", np.asarray(result.cov_params()), design.n - design.X.shape[1])
    return LinearFit(design, np.asarray(result.params), design.y - design.X @ result.params, np.zeros(design.n), cov)


def lowest_apart(data: pd.DataFrame, spec: Spec, kind: str) -> LinearFit:
    """Fit ``spec`` with an indicator of the predictor's lowest value: the slope is then that of all others.

    For a predictor of which many values are zero, as low methylation by a pyrosequencer.
    """
    indicator = f"{spec.predictor}_lowest"
    at_lowest = (data[spec.predictor] == data[spec.predictor].min()).astype(float)
    changed = data.assign(**{indicator: at_lowest.where(data[spec.predictor].notna())})
    return fit_linear(build_design(changed, replace(spec, covariates=(*spec.covariates, indicator))), kind)


@dataclass(frozen=True)
class Treatment:
    """One treatment of missing, censored, imprecise or extreme values: its ``fit``, or the ``problem`` it met.

    ``role`` is "primary" for the one to report, else "sensitivity".
    """

    method: str
    role: str
    fit: LinearFit | None
    note: str = ""
    problem: str = ""


def treatments(
    fit: LinearFit,
    data: pd.DataFrame,
    entry: Mapping[str, Any],
    settings: ModerationSettings,
    seed: int,
    name: str = "",
) -> tuple[list[Treatment], pd.DataFrame]:
    """Return ``([Treatment], imputations)``: the model under every treatment of its values.

    ``fit``: the model on complete cases; ``data``: all its rows; ``imputations``: their diagnostics, empty where none
    were made. One that cannot be fitted is there with its problem.
    """
    spec, kind = fit.design.spec, fit.cov.kind
    censored = censored_cases(data, spec)
    limits = {c: f for c in spec.covariates if (f := censoring_limits(data, c)) is not None}
    limits = {c: f for c, f in limits.items() if f.notna().any(axis=None)}
    covariates_censored = bool(limits)
    plain = censored is None and not covariates_censored
    found, made = [], []

    def add(method: str, role: str, note: str, make: Callable[..., Any]) -> None:
        try:
            found.append(Treatment(method, role, make(), note))
        except InputError as error:
            found.append(Treatment(method, "sensitivity", None, note, error.problems[0].what))
        except np.linalg.LinAlgError:
            found.append(Treatment(method, "sensitivity", None, note, "its equations have no single solution"))

    weighted = f"rows weighted by {spec.weights}" if spec.weights else ""
    note = weighted if plain else f"censored values left out{'; ' * bool(weighted)}{weighted}"
    add("complete cases", "primary" if plain else "sensitivity", note, lambda: fit)
    if censored is not None:
        limits[spec.outcome] = censoring_limits(data, spec.outcome)
        count = int((censored[1] != 0).sum())
        note = f"{count} outcome values known only as beyond a limit"
        add("Tobit", "primary", note, lambda: tobit_fit(data, spec, kind))
    if entry["impute"] or covariates_censored:
        m = settings.imputations

        def imputed() -> LinearFit:
            rng = generator(seed, name, "impute")
            pooled, imputations = fit_imputed(data, spec, kind, m, rng, entry["auxiliary"], limits)
            made.append(imputations.diagnostics)
            return pooled

        role = "primary" if covariates_censored and censored is None else "sensitivity"
        add("multiple imputation", role, f"{m} imputations within arm", imputed)
    if limits:
        substituted = substitute_limits(data, limits)
        add("limit / sqrt(2)", "sensitivity", "censored values set to it",
            lambda: fit_linear(build_design(substituted, spec), kind))  # fmt: skip
    columns = [spec.outcome, spec.predictor]
    for rule, method in (("drop_3sd", "beyond 3 SD left out"), ("winsorise", "pulled in to 3 SD")):
        changed = without_outliers(data, columns, rule)
        if not changed[columns].equals(data[columns].astype(float)):
            add(method, "sensitivity", "outcome and predictor",
                lambda changed=changed: fit_linear(build_design(changed, spec), kind))  # fmt: skip
    if spec.weights is not None:
        add("unweighted rows", "sensitivity", f"without the weights {spec.weights}",
            lambda: fit_linear(build_design(data, replace(spec, weights=None)), kind))  # fmt: skip
    lowest = (fit.design.x == fit.design.x.min()).mean()
    if MANY_LOWEST <= lowest <= 1 - MANY_LOWEST:
        add("lowest values apart", "sensitivity",
            f"{100 * lowest:.0f} % of the predictor's values are the lowest, which have a level of their own",
            lambda: lowest_apart(data, spec, kind))  # fmt: skip
    add("robust regression", "sensitivity", "Huber", lambda: robust_fit(fit.design, kind))
    if not any(t.role == "primary" for t in found):
        found[0] = replace(found[0], role="primary")
    return found, made[0] if made else pd.DataFrame()


def sensitivity(
    fit: LinearFit,
    data: pd.DataFrame,
    entry: Mapping[str, Any],
    settings: ModerationSettings,
    seed: int,
    name: str = "",
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return ``(table, regions, reliability, imputations)``: a model under all other treatments.

    As `treatments`. ``table`` has one row per method and quantity (COLUMNS), role primary (the one to report) or
    sensitivity; ``regions`` the regions of the methods that have one; ``reliability`` by arm, empty where the predictor
    has no column of errors; ``imputations`` diagnostics, empty where none were made.
    """
    found, imputations = treatments(fit, data, entry, settings, seed, name)
    table, regions, reliability = sensitivity_tables(found, fit, data, entry, settings, seed, name)
    return table, regions, reliability, imputations


def sensitivity_tables(
    found: Sequence[Treatment],
    fit: LinearFit,
    data: pd.DataFrame,
    entry: Mapping[str, Any],
    settings: ModerationSettings,
    seed: int,
    name: str = "",
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return ``(table, regions, reliability)`` of `treatments`; see `sensitivity`."""
    at, kind = entry["slopes_at"], fit.cov.kind
    names, _ = quantities(fit.design, at)
    # A continuous moderator's values are those of the complete cases in every method.
    places = at if fit.design.moderator.levels is not None else moderator_values(fit.design, at)[0]
    tables, regions = [], []
    for one in found:
        shared = {"method": one.method, "role": one.role, "note": one.note}
        if one.fit is None:
            tables.append(pd.DataFrame([shared | {"note": f"{one.note}: not fitted, {one.problem}"}]))
            continue
        rows = quantity_table(one.fit, places)
        tables.append(rows.assign(quantity=names, n=one.fit.design.n, covariance=one.fit.cov.kind, **shared))
        regions += [region_table(one.fit, a).assign(method=one.method) for a in ("simultaneous", "none")]
    reliability = pd.DataFrame()
    error = predictor_errors(fit.design, data, entry)
    if error is not None:
        reliability = reliability_table(fit.design, error)
        draws = settings.error_draws
        corrected = corrected_table(fit, error, draws, generator(seed, name, "error"), at)
        tables.append(corrected[corrected["method"] != "naive"].assign(
            role="sensitivity", n=fit.design.n, covariance=kind,
        ))  # fmt: skip
    return (
        pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS),
        pd.concat(regions, ignore_index=True),
        reliability,
    )


def predictor_errors(design: Design, data: pd.DataFrame, entry: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """Return the standard error of each complete case's predictor, (n,), or None where the data do not hold it."""
    column = f"{entry['predictor']}_se" if entry["scale"] == "beta" else f"{design.spec.predictor}_se"
    if column not in data.columns or entry["scale"] == "logit":
        return None
    error = data.loc[design.data.index, column].to_numpy(float)
    return error if np.isfinite(error).all() else None


def substitute_limits(data: pd.DataFrame, limits: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the data with each censored log value at log(limit / sqrt 2) if below, at log(limit) if above."""
    for column, bounds in limits.items():
        value = (bounds["high"] - np.log(2) / 2).fillna(bounds["low"])
        data = data.assign(**{column: data[column].where(value.isna(), value)})
    return data
