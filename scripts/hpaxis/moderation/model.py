"""`fit`: one call from a data frame to every table of a moderation, all from one covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from hpaxis.moderation.balance import predictor_table
from hpaxis.moderation.covariance import cluster_problems
from hpaxis.moderation.design import MINIMUM_PER_ARM, Spec, build_design
from hpaxis.moderation.linear import LinearFit, coefficient_table, fit_linear, fit_table
from hpaxis.moderation.region import region_table
from hpaxis.moderation.slopes import effect_table, line_table, point_table, slope_difference_table, slope_table
from hpaxis.moderation.verdict import verdict_table
from hpaxis.problems import Problem, raise_if_any

if TYPE_CHECKING:
    from hpaxis.moderation.design import Design


@dataclass(frozen=True)
class Moderation:
    """A fitted moderation. Every table's errors come from ``linear.cov``; docs/moderation.md lists the columns.

    ``predictor_by_arm`` is the test of the predictor on the moderator, to be read first. ``region`` is pointwise,
    ``region_fdr`` has Esarey and Sumner's critical t, ``region_simultaneous`` holds over the whole observed range.
    ``used`` has a row for every row given, ``verdict`` what the intervals allow to be said.
    """

    coefficients: pd.DataFrame
    slopes: pd.DataFrame
    slope_differences: pd.DataFrame
    region: pd.DataFrame
    region_fdr: pd.DataFrame
    region_simultaneous: pd.DataFrame
    fit: pd.DataFrame
    predictor_by_arm: pd.DataFrame
    used: pd.DataFrame
    lines: pd.DataFrame
    points: pd.DataFrame
    effects: pd.DataFrame
    verdict: pd.DataFrame
    linear: LinearFit

    @property
    def design(self) -> Design:
        """Design matrix, coding and complete cases behind the tables."""
        return self.linear.design

    @property
    def warnings(self) -> pd.DataFrame:
        """What the report warns about; whether the predictor was measured after randomisation is not asked."""
        from hpaxis.moderation.diagnostics import warning_table

        return warning_table(self, postbaseline=False)


def fit(
    data: pd.DataFrame,
    *,
    outcome: str,
    predictor: str,
    moderator: str,
    covariates: Sequence[str] = (),
    covariance: str = "HC3",
    reference: object = None,
    standardise: Sequence[str] = (),
    cluster: str | None = None,
    at: str | Sequence[float] = "mean_sd",
    alpha: float = 0.05,
    minimum_per_arm: int = MINIMUM_PER_ARM,
    factors: Sequence[str] = (),
    weights: str | None = None,
    margin: float | None = None,
    seed: int = 0,
    source: str = "data",
) -> Moderation:
    """Fit outcome on predictor x moderator by least squares, and ask every question of that one fit.

    data: data frame, one row per participant; rows with a missing value in a model column are left out and listed
    in ``.used``. outcome, predictor: numeric columns. moderator: arms (text, categorical, bool, or a number
    with two values) or a continuous number. covariates: column names, numbers or factors. covariance: OLS, HC0,
    HC1, HC2, HC3, HC4, or CR2 with ``cluster``. reference: the reference arm (default: first category, else
    first in sorted order). standardise: roles ("outcome", "predictor", "moderator", "covariates") turned into z
    scores. at: where slopes are taken on a continuous moderator: "mean_sd", "percentiles" or values. factors: columns
    of numbers that name groups, such as arms coded 1, 2, 3. weights: column of positive weights, such as the inverse
    probability of being seen; every number is then of the weighted rows. margin: the smallest slope of interest, for
    the verdict. seed: of the simulation behind the simultaneous region.

    Returns `Moderation`. Raises `hpaxis.problems.InputError` with every problem of names, rows and leverage.
    """
    problems = []
    if not 0 < alpha < 1:
        problems.append(Problem(source, "is not a level", "give a share such as 0.05", column="alpha", value=alpha))
    if margin is not None and not margin > 0:
        what, remedy = "is not a smallest slope of interest", "give a number above 0, or leave it out"
        problems.append(Problem(source, what, remedy, column="margin", value=margin))
    raise_if_any(problems)
    spec = Spec(
        outcome=outcome,
        predictor=predictor,
        moderator=moderator,
        covariates=tuple([covariates] if isinstance(covariates, str) else covariates),
        reference=reference,
        standardise=tuple([standardise] if isinstance(standardise, str) else standardise),
        cluster=cluster,
        alpha=alpha,
        minimum_per_arm=minimum_per_arm,
        factors=tuple([factors] if isinstance(factors, str) else factors),
        weights=weights,
    )
    return fit_spec(data, spec, covariance, at, source, margin, seed)


def fit_spec(
    data: pd.DataFrame,
    spec: Spec,
    covariance: str = "HC3",
    at: str | Sequence[float] = "mean_sd",
    source: str = "data",
    margin: float | None = None,
    seed: int = 0,
    name: str = "",
) -> Moderation:
    """Fit a `Spec`; see `fit`. ``name`` is what the random numbers are for, beside the seed."""
    raise_if_any(cluster_problems(covariance, spec.cluster, source))
    linear = fit_linear(build_design(data, spec, source), covariance, source)
    simultaneous = region_table(linear, "simultaneous", seed, name)
    return Moderation(
        coefficients=coefficient_table(linear),
        slopes=slope_table(linear, at),
        slope_differences=slope_difference_table(linear),
        region=region_table(linear),
        region_fdr=region_table(linear, adjustment="fdr"),
        region_simultaneous=simultaneous,
        fit=fit_table(linear),
        predictor_by_arm=predictor_table(linear.design, covariance),
        used=linear.design.used,
        lines=line_table(linear, at),
        points=point_table(linear),
        effects=effect_table(linear, simultaneous.set_index("contrast")["critical_t"]),
        verdict=verdict_table(linear, margin),
        linear=linear,
    )
