"""One model of the config, from the table of participants to all of its tables."""

from dataclasses import replace

import numpy as np
import pandas as pd

from hpaxis.moderation.checks import check_model
from hpaxis.moderation.compliance import complier_table, dose_table
from hpaxis.moderation.design import build_design
from hpaxis.moderation.diagnostics import warning_table
from hpaxis.moderation.entries import model_rows, spec_of
from hpaxis.moderation.influence import influence_table, region_without_table
from hpaxis.moderation.linear import coefficient_table, fit_linear
from hpaxis.moderation.lock import plan_table, shuffle_arms
from hpaxis.moderation.mediation import mediation_table
from hpaxis.moderation.model import fit_spec
from hpaxis.moderation.multiverse import multiverse
from hpaxis.moderation.power import detectable_table, power_table
from hpaxis.moderation.resample import family_table, resampling_table
from hpaxis.moderation.seeds import generator
from hpaxis.moderation.sensitivity import sensitivity
from hpaxis.moderation.trial import PARTS, trial_tables
from hpaxis.problems import InputError, raise_if_any
from hpaxis.schemas import load

TABLES = (
    *("refused", "plan", "used", "predictor_by_arm", "coefficients", "slopes", "slope_differences", "region", "fit"),
    *("lines", "points", "effects", "resampling", "influence", "region_without", "sensitivity", "sensitivity_region"),
    *("reliability", "imputations", "power", "detectable", "warnings", "family", "mediation", "dose", "complier"),
    *("multiverse", "multiverse_joint"),
    *PARTS,
)


def run_model(name, table, entry, settings, arms, seed, locked=None, context=None):
    """Return every table of the model ``name``: table name to data frame, columns as its schema lists them.

    ``table`` is cohort/analysis.tsv, ``entry`` the model's entry and ``settings`` the config's moderation
    section, both with defaults filled; ``arms`` the config's arms, reference first; ``locked`` the plan lock's
    hashes by model, None without a lock file; ``context`` facts of the study (panel, assay, timepoint, design) that
    the shareable summary carries. Where a lock is asked for and there is none, arms are shuffled
    before anything is looked at. A part that the entry does not ask for gives an empty table. A model whose
    rows cannot carry it is refused: ``refused`` has one row a problem, and all other tables but ``plan`` are
    empty, so that the study's other models still reach the report.
    """
    plan = plan_table(name, entry, settings, arms, locked)
    if plan.loc[0, "masked"]:
        table = shuffle_arms(table, seed)
    tables = {"plan": plan}
    try:
        tables |= _fitted(name, table, entry, settings, arms, seed, (context or {}) | {"plan": plan.loc[0, "status"]})
    except InputError as error:
        tables["refused"] = pd.DataFrame({"problem": [str(p) for p in error.problems]})
    return {name: _shaped(name, tables.get(name, pd.DataFrame())) for name in TABLES}


def _fitted(name, table, entry, settings, arms, seed, context):
    """Every table but plan and refused; raises `InputError`."""
    minimum = settings["minimum_per_arm"]
    raise_if_any(check_model(name, entry, table=table, arms=arms, minimum_per_arm=minimum))
    data, left_out = model_rows(table, entry, arms)
    spec = spec_of(entry, arms, settings["alpha"], minimum)
    result = fit_spec(data, spec, entry["covariance"], entry["slopes_at"], source=f"models.{name}")
    tables = _main(result, left_out)
    tables |= _scrutiny(name, result, data, entry, settings, seed)
    tables |= _questions(name, data, spec, entry, settings, seed)
    trial, refused = trial_tables(result, data, entry, context)
    tables |= trial
    tables["warnings"] = pd.concat([tables["warnings"], _refused_parts(refused)], ignore_index=True)
    grid = settings["multiverse"]
    curve, joint = multiverse(table, entry, grid, arms, settings, grid["draws"], seed, name)
    return {**tables, "multiverse": curve, "multiverse_joint": joint}


def _refused_parts(refused):
    """A warning for each optional part that could not be made: the model stands without it."""
    remedy = "the model stands; correct this part of its entry, or leave it out"
    rows = [("part_refused", np.nan, np.nan, text, remedy) for text in refused]
    return pd.DataFrame(rows, columns=["code", "value", "limit", "what", "remedy"])


def _main(result, left_out):
    """What the model says: the tables of one fit, with OLS coefficients beside those of its covariance."""
    beside = [] if result.linear.cov.kind == "OLS" else [coefficient_table(fit_linear(result.design, "OLS"))]
    return {
        "used": pd.concat([result.used, left_out]).sort_values("participant_id", ignore_index=True),
        "predictor_by_arm": result.predictor_by_arm,
        "coefficients": pd.concat([result.coefficients, *beside], ignore_index=True),
        "slopes": result.slopes,
        "slope_differences": result.slope_differences,
        "region": pd.concat([result.region, result.region_fdr], ignore_index=True),
        "fit": result.fit,
        "lines": result.lines,
        "points": result.points,
        "effects": result.effects,
    }


def _scrutiny(name, result, data, entry, settings, seed):
    """How far the model can be trusted: resampling, influence, other treatments of the data, power, warnings."""
    linear = result.linear
    influence = influence_table(linear)
    other, regions, reliability, imputations = sensitivity(linear, data, entry, settings, seed, name)
    measured = reliability.loc[reliability["arm"] == "all", "reliability"].iloc[0] if len(reliability) else 1.0
    power = power_table(linear, settings["power_draws"], seed, name, float(np.clip(measured, 0.1, 1.0)))
    n, k = linear.design.X.shape
    after = settings["predictor_after_randomisation"]
    return {
        "resampling": resampling_table(linear, settings["draws"], seed, name, entry["slopes_at"]),
        "influence": influence,
        "region_without": region_without_table(linear),
        "sensitivity": other,
        "sensitivity_region": regions,
        "reliability": reliability,
        "imputations": imputations,
        "power": power,
        "detectable": detectable_table(power, n, k, len(linear.design.interactions), settings["alpha"]),
        "warnings": warning_table(result, influence, reliability, after),
    }


def _questions(name, data, spec, entry, settings, seed):
    """Further questions that the entry asks: a family of predictors, a mediator, dose, compliers."""
    kind, draws = entry["covariance"], settings["draws"]
    tables = dict.fromkeys(("family", "mediation", "dose", "complier"), pd.DataFrame())
    if entry["family"]:
        complete = data.dropna(subset=[*spec.columns, *entry["family"]])
        fits = {p: fit_linear(build_design(complete, replace(spec, predictor=p)), kind) for p in entry["family"]}
        tables["family"] = family_table(fits, draws, seed, name)
    if entry["mediator"] is not None:
        design = build_design(data.dropna(subset=[entry["mediator"]]), spec)
        mediator = design.data[entry["mediator"]].to_numpy(float)
        rng = generator(seed, name, "mediation")
        found = mediation_table(design, mediator, entry["mediated_stage"], draws, rng)
        tables["mediation"] = found.assign(mediator=entry["mediator"], stage=entry["mediated_stage"], n=design.n)
    if entry["dose"] is not None:
        tables["dose"] = dose_table(data, spec, entry["dose"], "HC3" if kind == "CR2" else kind)
    if entry["received"] is not None:
        design = build_design(data.dropna(subset=[entry["received"]]), spec)
        received = design.data[entry["received"]].to_numpy(float)
        tables["complier"] = complier_table(design, received, "HC3" if kind == "CR2" else kind)
    return tables


def _shaped(name, table):
    """Return an empty table with its schema's columns; any other as it is."""
    columns = list(load(f"moderation_{name}.schema")["properties"])
    return pd.DataFrame(columns=columns) if table.empty else table
