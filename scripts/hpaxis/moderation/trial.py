"""What a trial statistician asks beside the model: change from baseline, groups, other outcomes, prior knowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpaxis.moderation.change import change_table, has_baseline
from hpaxis.moderation.design import build_design
from hpaxis.moderation.generalised import (
    fit_generalised,
    generalised_effects,
    generalised_table,
    generalised_verdicts,
)
from hpaxis.moderation.linear import STATISTICS
from hpaxis.moderation.mixed import mixed_table
from hpaxis.moderation.model import Moderation
from hpaxis.moderation.prior import prior_table
from hpaxis.moderation.slopes import simultaneous
from hpaxis.problems import InputError

if TYPE_CHECKING:
    from hpaxis.moderation.design import Spec

ARMS = ["quantity", "arm", *STATISTICS, "p_simultaneous", "low_simultaneous", "high_simultaneous", "n"]
CONTEXT = ("panel", "assay", "timepoint", "design", "plan")
PARTS = ("change", "mixed", "generalised", "generalised_effects", "generalised_verdict", "prior", "arms", "summary")


def trial_tables(
    result: Moderation, data: pd.DataFrame, entry: Mapping, context: Mapping[str, str]
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Return ``(tables, refused)``: the tables of PARTS that ``entry`` asks for, and why a part could not be made.

    ``result``: the model's fit; ``data``: its rows, indexed by participant; ``context``: facts of the study that a
    summary carries (panel, assay, timepoint, design, plan). A part that fails leaves the others and the model alone.
    """
    tables = dict.fromkeys(PARTS, pd.DataFrame())
    refused: list[str] = []
    spec, kind = result.design.spec, entry["covariance"]

    def part(name: str, make: Callable[..., Any]) -> None:
        try:
            tables.update(make())
        except InputError as error:
            refused.extend(f"{name}: {problem}" for problem in error.problems)

    measures = [m for m in dict.fromkeys((spec.outcome, spec.predictor)) if has_baseline(data, m)]
    if measures and result.design.moderator.levels is not None:
        part("change", lambda: {"change": _changes(data, measures, spec, kind)})
    if entry["group"] is not None:
        part("group", lambda: {"mixed": _mixed(result, data, entry)})
    if entry["outcome_kind"] != "continuous":
        part("outcome_kind", lambda: _generalised(data, spec, entry))
    if entry["priors"]:
        part("priors", lambda: {"prior": prior_table(result.slope_differences, entry["priors"], spec.alpha)})
    if len(result.design.moderator.levels or ()) > 2:
        tables["arms"] = arms_table(result)
    tables["summary"] = summary_table(result, entry, context)
    return tables, refused


def arms_table(result: Moderation) -> pd.DataFrame:
    """Return three or more arms beside each other: level and slope of each, and all differences, simultaneously.

    Levels are expected outcomes at the predictor's mean, covariates at theirs. p and intervals that hold for all pairs
    at once are max-t's (Hothorn, Bretz & Westfall, 2008). Columns: ARMS.
    """
    design, cov, alpha = result.design, result.linear.cov, result.design.spec.alpha
    levels, pairs, middle = design.moderator.levels, design.moderator.pairs, design.x.mean()
    level = {a: design.mean_contrast(a, middle) for a in levels}
    slope = {a: design.slope_contrast(a) for a in levels}
    tables = []
    for name, own in (("level", level), ("slope", slope)):
        each = result.linear.contrasts(np.array(list(own.values())))
        tables.append(each.assign(quantity=name, arm=[str(a) for a in levels],
                                  n=[int((design.arm == a).sum()) for a in levels]))  # fmt: skip
        C = np.array([own[a] - own[b] for a, b in pairs])
        between = result.linear.contrasts(C)
        p, critical = simultaneous(C @ cov.matrix @ C.T, between["t"].to_numpy(), between["df"].min(), alpha)
        half = critical * between["se"]
        tables.append(between.assign(
            quantity=f"difference of {name}s", arm=[f"{a} - {b}" for a, b in pairs], p_simultaneous=p,
            low_simultaneous=between["estimate"] - half, high_simultaneous=between["estimate"] + half, n=design.n,
        ))  # fmt: skip
    return pd.concat(tables, ignore_index=True).reindex(columns=ARMS)


def summary_table(result: Moderation, entry: Mapping, context: Mapping[str, str]) -> pd.DataFrame:
    """Return what another study needs to pool this one: estimates with their errors and what they measure, no person.

    One row per quantity: slope differences of each pair of arms and each arm's slope.
    """
    differences = result.slope_differences.rename(columns={"contrast": "quantity"})
    arms = result.design.moderator.levels is not None
    slopes = result.slopes[result.slopes["at"] == result.slopes["moderator"].astype(str)] if arms else result.slopes[:0]
    slopes = slopes.assign(quantity=[f"slope[{m}]" for m in slopes["moderator"]])
    columns = ["quantity", "estimate", "se", "df", "p", "low", "high"]
    table = pd.concat([differences[columns], slopes[columns]], ignore_index=True)
    scales, spec = result.design.scales, result.design.spec
    return table.assign(
        n=result.design.n, outcome=spec.outcome, predictor=entry["predictor"], scale=entry["scale"],
        moderator=spec.moderator, population=entry["population"], covariates="; ".join(spec.covariates) or "none",
        covariance=result.linear.cov.kind + (", weighted" if spec.weights else ""),
        standardise="; ".join(sorted(spec.standardise)) or "none",
        outcome_sd=scales.loc[spec.outcome, "sd"], predictor_sd=scales.loc[spec.predictor, "sd"],
        **{key: context.get(key, "not stated") for key in CONTEXT},
    )  # fmt: skip


def _changes(data: pd.DataFrame, measures: Sequence[str], spec: Spec, kind: str) -> pd.DataFrame:
    tables = [change_table(data, m, spec.moderator, kind, spec.alpha, spec.weights, spec.cluster) for m in measures]
    return pd.concat(tables, ignore_index=True)


def _mixed(result: Moderation, data: pd.DataFrame, entry: Mapping[str, Any]) -> pd.DataFrame:
    design = result.design
    return mixed_table(design, data.loc[design.data.index, entry["group"]], entry["slopes_at"])


def _generalised(data: pd.DataFrame, spec: Spec, entry: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The model without standardising its outcome, since a count or a category has its own unit."""
    design = build_design(data, replace(spec, standardise=tuple(r for r in spec.standardise if r != "outcome")))
    fit = fit_generalised(design, entry["outcome_kind"], entry["covariance"])
    margin, own = entry["smallest_slope"], "outcome" in spec.standardise
    if margin is not None and own:  # in SD of the outcome: here in its own unit
        margin *= design.y.std(ddof=1)
    return {
        "generalised": generalised_table(fit, entry["slopes_at"]),
        "generalised_effects": generalised_effects(fit),
        "generalised_verdict": generalised_verdicts(fit, margin),
    }
