"""Every defensible version of a model, all shown: the specification curve and joint tests over all of it.

Specification curve: Simonsohn, Simmons & Nelson (2020). The grid is crossed with the model's own choices, so that the
model itself is one of its versions; no other version's p is singled out. The joint tests redraw every version at once
by a restricted wild bootstrap: each person (or cluster) draws one sign for all versions, so that the versions stay as
dependent as they are, and the error variance stays where it is (Davidson & Flachaire, 2008; by cluster: Cameron,
Gelbach & Miller, 2008). Shuffled residuals would not keep either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from hpaxis.moderation.batches import studentiser, t_and_f
from hpaxis.moderation.design import build_design
from hpaxis.moderation.entries import model_rows, spec_of
from hpaxis.moderation.linear import fit_linear
from hpaxis.moderation.resample import share_reaching
from hpaxis.moderation.seeds import generator
from hpaxis.moderation.slopes import slope_differences
from hpaxis.moderation.units import restricted_residuals, unit_labels
from hpaxis.problems import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpaxis.moderation.design import Design
    from hpaxis.moderation.linear import LinearFit
    from hpaxis.settings import ModerationSettings, MultiverseSettings

OUTLIERS = ("none", "drop_3sd", "winsorise")
CHOICES = ["predictor", "scale", "covariates", "covariance", "outliers", "rows"]
COLUMNS = ["version", *CHOICES, "contrast", "estimate", "se", "t", "df", "p", "low", "high", "n", "own", "problem"]
JOINT = ["contrast", "statistic", "observed", "p", "draws", "versions"]


def versions(entry: Mapping[str, Any], grid: MultiverseSettings) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Return the entries of all versions: a list of ``(choices, entry)``, the model's own version first.

    ``grid`` holds lists for predictors, scales, covariates (a list of sets, each added to the model's own covariates),
    covariances, outliers, and ``rows`` (name to the ``keep`` of a population, such as per_protocol). The model's own
    choice is first on every axis, whatever the grid lists. A model with clusters keeps them: its versions are all CR2.
    Choices that an index does not have (a scale of a column that is no share) are left out.
    """
    rows = {"all": entry["keep"], **grid.rows}
    own_set = tuple(entry["covariates"])
    sets = [own_set, *(tuple(dict.fromkeys([*own_set, *more])) for more in grid.covariates)]
    axes = [
        dict.fromkeys([entry["predictor"], *grid.predictors]),
        dict.fromkeys([entry["scale"], *grid.scales]),
        dict.fromkeys(sets),
        ["CR2"] if entry["cluster"] is not None else dict.fromkeys([entry["covariance"], *grid.covariances]),
        dict.fromkeys(["none", *grid.outliers]),
        rows,
    ]
    found = []
    for predictor, scale, covariates, covariance, outliers, population in product(*axes):
        if scale != "beta" and not predictor.endswith("_beta"):
            continue
        changed = {
            **entry, "predictor": predictor, "scale": scale, "covariates": list(covariates), "covariance": covariance,
            "keep": rows[population], "standardise": ["outcome", "predictor"],
        }  # fmt: skip
        choices = (predictor, scale, ", ".join(covariates) or "none", covariance, outliers, population)
        found.append((dict(zip(CHOICES, choices, strict=True)), changed))
    return found


def without_outliers(data: pd.DataFrame, columns: Sequence[str], rule: str) -> pd.DataFrame:
    """Return the data with values beyond 3 SD of a column's mean dropped (as missing) or pulled in to 3 SD."""
    if rule == "none":
        return data
    return data.assign(**{name: tamed(data[name].to_numpy(float), rule) for name in columns})


def tamed(values: np.ndarray, rule: str) -> np.ndarray:
    """Return values (n,) without outliers: beyond 3 SD of their mean NaN (drop_3sd), or at 3 SD (winsorise)."""
    if rule == "none":
        return values
    middle, reach = np.nanmean(values), 3 * np.nanstd(values, ddof=1)
    low, high = middle - reach, middle + reach
    if rule == "winsorise":
        return np.clip(values, low, high)
    return np.where((values >= low) & (values <= high), values, np.nan)


def multiverse(
    table: pd.DataFrame,
    entry: Mapping[str, Any],
    grid: MultiverseSettings,
    arms: Sequence[str],
    settings: ModerationSettings,
    draws: int,
    seed: int,
    name: str = "",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ``(curve, joint)``: every version's difference of slopes, and the joint tests over all of them.

    Outcome and predictor are standardised in every version so that estimates compare. ``curve`` has one row per version
    and contrast (each pair of arms, or the product with a continuous moderator): COLUMNS; ``own`` marks the model
    itself, ``problem`` says why a version could not be fitted. ``joint`` has one row per contrast and statistic: median
    estimate, share significant with the median's sign, mean t; observed, p (two-sided, restricted wild bootstrap),
    draws, versions.
    """
    rows, fits, designs, sources = [], [], {}, {}
    for i, (choices, changed) in enumerate(versions(entry, grid), start=1):
        key = tuple(v for k, v in choices.items() if k != "covariance")
        try:
            if key not in designs:
                source = (choices["rows"], choices["predictor"], choices["scale"])
                if source not in sources:
                    sources[source] = model_rows(table, changed, arms)[0]
                designs[key] = _design(sources[source], changed, choices["outliers"], arms, settings)
            design = designs[key]
            if isinstance(design, InputError):
                raise design
            fit = fit_linear(design, changed["covariance"])
        except InputError as error:
            designs.setdefault(key, error)
            rows.append({"version": i, **choices, "problem": error.problems[0].what})
            continue
        names, C = slope_differences(design)
        found = fit.contrasts(C).to_dict("records")
        shared = {"version": i, **choices, "n": design.n, "own": i == 1}
        rows += [shared | {"contrast": name} | row for name, row in zip(names, found, strict=True)]
        fits.append(fit)
    curve = pd.DataFrame(rows).reindex(columns=COLUMNS)
    return curve, joint_tests(fits, draws, generator(seed, name, "multiverse"), settings.alpha)


def _design(
    data: pd.DataFrame, entry: Mapping[str, Any], outliers: str, arms: Sequence[str], settings: ModerationSettings
) -> Design:
    """The design of one version, whatever its covariance."""
    spec = spec_of(entry, arms, settings.alpha, settings.minimum_per_arm)
    columns = list(dict.fromkeys(c for c in (*spec.columns, "dyad_id") if c in data))
    return build_design(without_outliers(data[columns], (spec.outcome, spec.predictor), outliers), spec)


def joint_tests(fits: Sequence[LinearFit], draws: int, rng: np.random.Generator, alpha: float) -> pd.DataFrame:
    """Return the joint tests of versions (JOINT), each contrast by itself; no rows where no version was fitted.

    In every draw each person (or cluster, where the model has them) has one sign in all versions. A version's outcome
    is then its fit without the contrast plus its restricted residuals, divided by sqrt(1 - h) of that fit, with these
    signs. The statistics are refitted with the version's own covariance; under CR2 the draws of each version are put at
    their ranks on its own t distribution.
    """
    if not fits:
        return pd.DataFrame(columns=JOINT)
    versions_of = {}
    for fit in fits:
        versions_of.setdefault(id(fit.design), (fit.design, []))[1].append(fit)
    labels = {key: unit_labels(design) for key, (design, _) in versions_of.items()}
    people = sorted(set().union(*labels.values()))
    position = {p: i for i, p in enumerate(people)}
    signs = rng.integers(0, 2, (draws, len(people))) * 2.0 - 1
    found = {}
    for key, (design, same) in versions_of.items():
        own_signs = signs[:, [position[u] for u in labels[key]]]
        for name, c in zip(*slope_differences(design), strict=True):
            redrawn = own_signs * restricted_residuals(design, c, 0.5)
            outcomes, done = np.vstack([design.y, redrawn]), {}
            for fit in same:
                # Versions may share a fit, where a rule on outliers finds none.
                if id(fit) not in done:
                    b, V = studentiser(design, fit.cov.kind, C=c)(outcomes)
                    t, df = t_and_f(b, V)[0][:, 0], fit.cov.df(c[None])[0]
                    t = _student(t, df) if fit.cov.kind == "CR2" else t
                    done[id(fit)] = (b[:, 0], t, stats.t.isf(alpha / 2, df))
                found.setdefault(name, []).append(done[id(fit)])
    rows = []
    for name, drawn in found.items():
        estimates, t, critical = (np.array(part).T for part in zip(*drawn, strict=True))
        rows += [
            (name, statistic, observed, share_reaching(null[1:], null[0]), draws, t.shape[1])
            for statistic, (observed, null) in _summaries(estimates, t, critical).items()
        ]
    return pd.DataFrame(rows, columns=JOINT)


def _student(t: NDArray[np.float64], df: float) -> NDArray[np.float64]:
    """Return redrawn t values (all but the first) at their ranks on Student's t: few clusters have few sign patterns.

    With them a version by itself has the p of its own Satterthwaite test; the draws show how versions go together.
    """
    redrawn = t[1:]
    rank = stats.rankdata(-np.abs(redrawn)) / (len(redrawn) + 1)
    return np.r_[t[0], np.sign(redrawn) * stats.t.isf(rank / 2, df)]


def _summaries(
    estimates: NDArray[np.float64], t: NDArray[np.float64], critical: NDArray[np.float64]
) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """Each statistic's observed value, and what its p compares, from estimates and t (N, versions), the data first.

    The median estimate is compared by the median t: without a standard error it does not hold its level. Equal shares
    of significant versions are told apart by the mean t.
    """
    share = (t * np.sign(np.median(estimates, axis=1))[:, None] > critical).mean(axis=1)
    mean = np.abs(t.mean(axis=1))
    return {
        "median estimate": (np.median(estimates[0]), np.abs(np.median(t, axis=1))),
        "share significant": (share[0], share + mean / (1 + mean) / (2 * t.shape[1])),
        "mean t": (t[0].mean(), mean),
    }
