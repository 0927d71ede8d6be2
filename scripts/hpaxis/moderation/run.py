"""One model of the config, from the table of participants to all of its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpaxis.moderation.checks import check_model
from hpaxis.moderation.compliance import complier_table, dose_table
from hpaxis.moderation.design import build_design, is_factor
from hpaxis.moderation.diagnostics import warning_table
from hpaxis.moderation.entries import at_baseline, measured_after, model_rows, spec_of
from hpaxis.moderation.influence import influence_table, region_without_table
from hpaxis.moderation.linear import coefficient_table, fit_linear
from hpaxis.moderation.lock import plan_table, shuffle_arms
from hpaxis.moderation.mediation import (
    ARM_THROUGH,
    PREDICTOR_THROUGH,
    mediation_table,
    mediator_problems,
    process_model,
)
from hpaxis.moderation.model import fit_spec
from hpaxis.moderation.multiverse import multiverse
from hpaxis.moderation.power import detectable_table, power_table
from hpaxis.moderation.resample import family_table, resampling_table
from hpaxis.moderation.robustness import robustness_table
from hpaxis.moderation.seeds import generator
from hpaxis.moderation.sensitivity import sensitivity_tables, treatments
from hpaxis.moderation.trial import PARTS, trial_tables
from hpaxis.moderation.verdict import verdict_table
from hpaxis.problems import InputError, Problem, raise_if_any
from hpaxis.schemas import load

if TYPE_CHECKING:
    from hpaxis.moderation.design import Spec
    from hpaxis.moderation.model import Moderation
    from hpaxis.settings import ModerationSettings

TABLES = (
    *("refused", "plan", "used", "predictor_by_arm", "coefficients", "slopes", "slope_differences", "region", "fit"),
    *("lines", "points", "effects", "resampling", "influence", "region_without", "sensitivity", "sensitivity_region"),
    *("reliability", "imputations", "power", "detectable", "warnings", "family", "mediation", "dose", "complier"),
    *("multiverse", "multiverse_joint", "verdict", "robustness"),
    *PARTS,
)
QUESTIONS = ("family", "mediation", "dose", "complier")


def run_model(
    name: str,
    table: pd.DataFrame,
    entry: Mapping[str, Any],
    settings: ModerationSettings,
    arms: Sequence[str],
    seed: int,
    locked: Mapping[str, Any] | None = None,
    context: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, pd.DataFrame]:
    """Return every table of the model ``name``: table name to data frame, columns as its schema lists them.

    ``facts``: what the lock binds beside the models (see `hpaxis.study.plan.facts`), as it is now.
    ``table`` is cohort/analysis.tsv, ``entry`` the model's entry and ``settings`` the config's moderation
    section, both with defaults filled; ``arms`` the config's arms, reference first; ``locked`` the plan lock's
    hashes by model, None without a lock file; ``context`` facts of the study (panel, assay, timepoint, design) that
    the shareable summary carries. Where a lock is asked for and there is none, arms are shuffled
    before anything is looked at. A part that the entry does not ask for gives an empty table. A model whose
    rows cannot carry it is refused: ``refused`` has one row per problem, and all other tables but ``plan`` are
    empty, so that the study's other models still reach the report.
    """
    plan = plan_table(name, entry, settings, arms, locked, facts)
    if plan.loc[0, "masked"]:
        table = shuffle_arms(table, seed, entry)
    tables = {"plan": plan}
    try:
        tables |= _fitted(name, table, entry, settings, arms, seed, (context or {}) | {"plan": plan.loc[0, "status"]})
    except InputError as error:
        tables["refused"] = pd.DataFrame({"problem": [str(p) for p in error.problems]})
    return {name: _shaped(name, tables.get(name, pd.DataFrame())) for name in TABLES}


class Parts:
    """The parts of a model that may fail alone: each that did is listed in ``refused`` as (part, problem)."""

    def __init__(self) -> None:
        self.refused = []

    def get(self, part: str, make: Callable[..., Any], otherwise: Any) -> Any:
        """Return what ``make()`` gives, or ``otherwise`` where this part cannot be computed from these data."""
        try:
            return make()
        except InputError as error:
            self.refused += [(part, problem) for problem in error.problems]
        except np.linalg.LinAlgError:
            what, remedy = "its equations have no single solution", "use fewer covariates"
            self.refused.append((part, Problem("data", what, remedy)))
        return otherwise


def _fitted(
    name: str,
    table: pd.DataFrame,
    entry: Mapping[str, Any],
    settings: ModerationSettings,
    arms: Sequence[str],
    seed: int,
    context: Mapping[str, str],
) -> dict[str, pd.DataFrame]:
    """Every table but plan and refused; raises `InputError` where the model itself cannot be fitted."""
    minimum = settings.minimum_per_arm
    raise_if_any(check_model(name, entry, table=table, arms=arms, minimum_per_arm=minimum))
    data, left_out = model_rows(table, entry, arms)
    spec = spec_of(entry, arms, settings.alpha, minimum)
    margin = entry["smallest_slope"]
    result = fit_spec(
        data, spec, entry["covariance"], entry["slopes_at"], f"models.{name}", margin=margin, seed=seed, name=name
    )
    parts = Parts()
    tables = _main(result, left_out)
    tables |= _scrutiny(name, result, data, entry, settings, seed, parts)
    tables |= _questions(name, data, spec, entry, settings, seed, parts)
    grid, none = settings.multiverse, (pd.DataFrame(), pd.DataFrame())
    curve, joint = parts.get(
        "multiverse", lambda: multiverse(table, entry, grid, arms, settings, grid.draws, seed, name), none
    )
    tables |= {"multiverse": curve, "multiverse_joint": joint}
    trial, refused = parts.get("trial questions", lambda: trial_tables(result, data, entry, context), ({}, []))
    tables |= trial
    after = {c for c in spec.covariates if measured_after(c, settings, data.columns)}
    postbaseline = settings.predictor_after_randomisation and not at_baseline(entry["predictor"])
    warned = warning_table(result, tables["influence"], tables["reliability"], postbaseline, after, parts.refused)
    tables["warnings"] = pd.concat([warned, _refused_parts(refused)], ignore_index=True) if refused else warned
    return {**tables, "robustness": robustness_table(tables, settings.alpha)}


def _refused_parts(refused: Sequence[str]) -> pd.DataFrame:
    """A warning for each optional part that could not be made: the model stands without it."""
    remedy = "the model stands; correct this part of its entry, or leave it out"
    rows = [("part_refused", np.nan, np.nan, text, remedy) for text in refused]
    return pd.DataFrame(rows, columns=["code", "value", "limit", "what", "remedy"])


def _main(result: Moderation, left_out: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What the model says: the tables of one fit, with OLS coefficients beside those of its covariance."""
    beside = [] if result.linear.cov.kind == "OLS" else [coefficient_table(fit_linear(result.design, "OLS"))]
    return {
        "used": pd.concat([result.used, left_out]).sort_values("participant_id", ignore_index=True),
        "predictor_by_arm": result.predictor_by_arm,
        "coefficients": pd.concat([result.coefficients, *beside], ignore_index=True),
        "slopes": result.slopes,
        "slope_differences": result.slope_differences,
        "fit": result.fit,
        "lines": result.lines,
        "points": result.points,
        "effects": result.effects,
        "verdict": result.verdict,
    }


def _scrutiny(
    name: str,
    result: Moderation,
    data: pd.DataFrame,
    entry: Mapping[str, Any],
    settings: ModerationSettings,
    seed: int,
    parts: Parts,
) -> dict[str, pd.DataFrame]:
    """How far the model can be trusted: resampling, influence, other treatments of the data, power; the verdict."""
    linear, draws, none = result.linear, settings.draws, pd.DataFrame()
    tables = {}

    def add(table: str, part: str, make: Callable[..., Any]) -> None:
        tables[table] = parts.get(part, make, none)

    add("resampling", "resampling", lambda: resampling_table(linear, draws, seed, name, entry["slopes_at"]))
    add("influence", "influence", lambda: influence_table(linear))
    add("region_without", "regions with single rows left out", lambda: region_without_table(linear))
    found, tables["imputations"] = treatments(linear, data, entry, settings, seed, name)
    reported = next(t for t in found if t.role == "primary")
    tables["sensitivity"], tables["sensitivity_region"], tables["reliability"] = parts.get(
        "other treatments of the data",
        lambda: sensitivity_tables(found, linear, data, entry, settings, seed, name),
        (none, none, none),
    )
    if reported.fit is not linear:
        tables["verdict"] = verdict_table(reported.fit, entry["smallest_slope"], reported.method)
    tables["region"] = pd.concat([result.region_simultaneous, result.region, result.region_fdr], ignore_index=True)
    reliability = tables["reliability"]
    measured = reliability.loc[reliability["arm"] == "all", "reliability"].iloc[0] if len(reliability) else 1.0
    measured = float(np.clip(measured, 0.1, 1.0))
    add("power", "power", lambda: power_table(linear, settings.power_draws, seed, name, measured))
    if len(tables["power"]):
        n, k = linear.design.X.shape
        tests = len(linear.design.interactions)
        tables["detectable"] = detectable_table(tables["power"], n, k, tests, settings.alpha)
    return tables


def _questions(
    name: str,
    data: pd.DataFrame,
    spec: Spec,
    entry: Mapping[str, Any],
    settings: ModerationSettings,
    seed: int,
    parts: Parts,
) -> dict[str, pd.DataFrame]:
    """Further questions that the entry asks: a family of predictors, mediators, dose, compliers."""
    kind, draws = entry["covariance"], settings.draws
    tables = dict.fromkeys(QUESTIONS, pd.DataFrame())
    if entry["family"]:
        tables["family"] = _family(name, data, spec, entry, draws, seed, parts)
    mediations = [
        parts.get(
            question, lambda args=args: _mediation(name, data, spec, *args, draws=draws, seed=seed), pd.DataFrame()
        )
        for question, args in _mediation_questions(entry).items()
    ]
    if mediations:
        tables["mediation"] = pd.concat(mediations, ignore_index=True)
    if entry["dose"] is not None:
        tables["dose"] = parts.get("dose", lambda: dose_table(data, spec, entry["dose"], kind), tables["dose"])
    if entry["received"] is not None:
        tables["complier"] = parts.get(
            "effect among compliers", lambda: _complier(data, spec, entry["received"], kind), tables["complier"]
        )
    return tables


def _family(
    name: str, data: pd.DataFrame, spec: Spec, entry: Mapping[str, Any], draws: int, seed: int, parts: Parts
) -> pd.DataFrame:
    """The family's table. A member that cannot be fitted is left out by itself, and said to be."""
    members = {}
    for predictor in entry["family"]:
        own = replace(spec, predictor=predictor)
        part = f"family member {predictor}"
        fit = parts.get(part, lambda own=own: build_design(_measured(data, spec, own.predictor), own), None)
        if fit is not None:
            members[predictor] = own
    complete = data.dropna(subset=[*(c for c in spec.columns if c != spec.cluster), *members])
    fits = {
        p: parts.get("the family on its common rows", lambda own=own: fit_linear(build_design(complete, own),
            entry["covariance"]), None)
        for p, own in members.items()
    }  # fmt: skip
    fits = {p: f for p, f in fits.items() if f is not None}
    return family_table(fits, draws, seed, name) if fits else pd.DataFrame()


def _mediation_questions(entry: Mapping[str, Any]) -> dict[str, tuple[str, str, bool, str, str]]:
    """The mediations that an entry asks for: what it is called to (mediator, stage, direct, cause, question)."""
    asked = {}
    if entry["mediator"] is not None:
        chosen = entry["mediated_stage"], entry["mediated_direct"]
        asked[f"mediation by {entry['mediator']}"] = (entry["mediator"], *chosen, "moderator", ARM_THROUGH)
    if entry["mechanism"] is not None:
        chosen = entry["mechanism"], "both", True, "predictor", PREDICTOR_THROUGH
        asked[f"the mechanism through {entry['mechanism']}"] = chosen
    return asked


def _mediation(
    name: str,
    data: pd.DataFrame,
    spec: Spec,
    column: str,
    stage: str,
    direct: bool,
    cause: str,
    question: str,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    if is_factor(data[column]):
        raise InputError(
            Problem("data", "is text, but a mediator must be a number", "give a numeric column", column=column)
        )
    design = build_design(_measured(data, spec, column), spec)
    mediator = design.data[column].to_numpy(float)
    raise_if_any(mediator_problems(design, mediator, column))
    rng = generator(seed, name, "mediation" if cause == "moderator" else "mechanism")
    found = mediation_table(design, mediator, stage, draws, rng, direct, cause)
    return found.assign(
        mediator=column, stage=stage, n=design.n, question=question, process_model=process_model(stage, direct)
    )


def _measured(data: pd.DataFrame, spec: Spec, column: str) -> pd.DataFrame:
    """The rows that have a column of an optional part; refused in its own name where an arm has too few of them."""
    values = data[column]
    here = values.notna() if is_factor(values) else np.isfinite(values.to_numpy(float, na_value=np.nan))
    complete = data[here].dropna(subset=[c for c in spec.columns if c != spec.cluster])
    arms = is_factor(data[spec.moderator]) or spec.moderator in spec.factors
    counts = {f" in {spec.moderator} {a}": int((complete[spec.moderator] == a).sum())
              for a in data[spec.moderator].dropna().unique()} if arms else {"": len(complete)}  # fmt: skip
    raise_if_any([
        Problem("data", f"has a value for {f'fewer than {spec.minimum_per_arm}' if n else 'none'} of the model's rows"
                f"{where}", "see which values are missing, or leave it out", column=column)
        for where, n in counts.items() if n < spec.minimum_per_arm
    ])  # fmt: skip
    return data[here]


def _complier(data: pd.DataFrame, spec: Spec, column: str, kind: str) -> pd.DataFrame:
    if is_factor(data[column]) and not pd.api.types.is_bool_dtype(data[column].dropna().infer_objects()):
        raise InputError(
            Problem("data", "is text, but treatment received must be 0 or 1", "code it 0 and 1", column=column)
        )
    design = build_design(_measured(data, spec, column), spec)
    received = design.data[column].to_numpy(float)
    shares = [received[design.arm == a].mean() for a in design.moderator.levels or ()]
    if shares and max(shares[1:]) < shares[0]:
        what = f"is more common in the reference arm {design.moderator.levels[0]} than in any other"
        raise InputError(Problem("data", what, "code 1 where treatment was taken, not 0", column=column))
    return complier_table(design, received, kind)


def _shaped(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return an empty table with its schema's columns; any other as it is."""
    columns = list(load(f"moderation_{name}.schema")["properties"])
    return pd.DataFrame(columns=columns) if table.empty else table
