"""One model of the config, from the table of participants to all of its tables."""

import pandas as pd

from hpaxis.moderation.checks import check_model
from hpaxis.moderation.entries import model_rows, spec_of
from hpaxis.moderation.linear import coefficient_table, fit_linear
from hpaxis.moderation.model import fit_spec
from hpaxis.problems import raise_if_any


def run_model(name, table, entry, settings, arms, seed):
    """Return every table of the model ``name``: table name to data frame.

    ``table`` is cohort/analysis.tsv, ``entry`` the model's entry and ``settings`` the config's moderation section, both
    with defaults filled; ``arms`` the config's arms, reference first. Raises `InputError` before anything is fitted.
    """
    minimum = settings["minimum_per_arm"]
    raise_if_any(check_model(name, entry, table=table, arms=arms, minimum_per_arm=minimum))
    data, left_out = model_rows(table, entry, arms)
    spec = spec_of(entry, arms, settings["alpha"], minimum)
    result = fit_spec(data, spec, entry["covariance"], entry["slopes_at"], source=f"models.{name}")
    beside = [] if entry["covariance"] == "OLS" else [coefficient_table(fit_linear(result.design, "OLS"))]
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
