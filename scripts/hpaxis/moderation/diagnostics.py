"""What the report warns about: each warning a row, with the number behind it and what to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.diagnostic import het_breuschpagan

from hpaxis.moderation.design import ALONE

if TYPE_CHECKING:
    from hpaxis.moderation.design import Design
    from hpaxis.moderation.model import Moderation
    from hpaxis.problems import Problem

COLUMNS = ["code", "value", "limit", "what", "remedy"]
# Leverage and skew from which the calibration table shows HC3 off its nominal level.
SKEW = 1.0
LEVERAGE = 0.5
UNEQUAL = 0.05
RELIABILITY_GAP = 0.10
LOWEST_RELIABILITY = 0.1
# Share of one value at the end of an outcome's range from which a straight line cannot hold.
AT_THE_END = 0.25
# Fewest values that a number must have to be read as one without a word.
FEW_VALUES = 6


def warning_table(
    result: Moderation,
    influence: pd.DataFrame | None = None,
    reliability: pd.DataFrame | None = None,
    postbaseline: bool = True,
    after: Collection[str] = (),
    refused: Sequence[tuple[str, Problem]] = (),
) -> pd.DataFrame:
    """Return the warnings of a fitted moderation, most important first. Empty where there are none.

    ``result``: `Moderation`; ``influence`` and ``reliability``: their tables, if made. ``postbaseline``:
    whether the predictor was measured after randomisation, so that it may be an effect of the arm. ``after``: columns
    that were measured after randomisation; ``refused``: parts that could not be computed, as (part, problem). Columns:
    COLUMNS.
    """
    design, alpha = result.design, result.design.spec.alpha
    rows = []

    def warn(code: str, value: float, limit: float, what: str, remedy: str) -> None:
        rows.append((code, float(value), float(limit), what, remedy))

    arms = design.moderator.levels is not None
    tests = result.predictor_by_arm[result.predictor_by_arm["test"].isin(["t", "Wald F"])]
    p = float(tests["p"].astype(float).min())
    if p < alpha:
        warn("predictor_depends_on_moderator", p, alpha,
             f"{design.spec.predictor} differs by {design.spec.moderator}: it may itself be an effect of it",
             "read the interaction as a description, not as effect modification by a baseline trait")  # fmt: skip
    elif postbaseline and arms:
        warn("predictor_after_randomisation", p, alpha,
             f"{design.spec.predictor} was measured after randomisation; no difference by arm was found, which does not"
             " show that there is none", "say so beside the claim")  # fmt: skip
    rows += [*_outcome_warnings(design), *_row_warnings(design), *_covariate_warnings(result, after if arms else ())]
    if not arms and len(np.unique(design.arm)) < FEW_VALUES:
        warn("few_values", len(np.unique(design.arm)), FEW_VALUES,
             f"{design.spec.moderator} has few values and is read as a number: one slope for all steps between them",
             "if they are groups, declare the column as category (in the command: --factor)")  # fmt: skip
    if not arms:
        low, high = design.arm.min(), design.arm.max()
        places = result.slopes["moderator"].astype(float)
        beyond = places[(places < low) | (places > high)]
        if len(beyond):
            warn("slopes_outside", beyond.iloc[0], low if beyond.iloc[0] < low else high,
                 f"slopes are given where {design.spec.moderator} has no values",
                 "choose slopes_at within that range, or percentiles")  # fmt: skip
    skew = float(stats.skew(design.x))
    p_variance = het_breuschpagan(result.linear.residuals, design.X)[1]
    if p_variance < UNEQUAL:
        classical = result.linear.cov.kind == "OLS"
        remedy = "use covariance HC3" if classical else "slopes' own intervals may be short: compare HC4"
        warn(
            "unequal_variance",
            p_variance,
            UNEQUAL,
            "the error variance depends on the model's terms (Breusch-Pagan)",
            f"{remedy}; docs/calibration_moderation.md",
        )
    if abs(skew) > SKEW:
        warn("skewed_predictor", skew, SKEW, f"{design.spec.predictor} is skewed: robust errors may reject too often",
             "compare the M value scale and the restricted wild bootstrap; docs/calibration_moderation.md")  # fmt: skip
    if result.linear.hat.max() > LEVERAGE:
        warn("high_leverage", result.linear.hat.max(), LEVERAGE, "one row weighs more than half of a fitted value",
             "see the influence table; read the interaction without that row")  # fmt: skip
    if influence is not None and influence["sign_flips"].any():
        warn("sign_flips", influence["sign_flips"].sum(), 0, "leaving out one row turns the interaction's sign",
             "do not claim a direction")  # fmt: skip
    if reliability is not None and len(reliability) > 1:
        by_arm = reliability.loc[reliability["arm"] != "all", "reliability"]
        if len(by_arm) and np.ptp(by_arm) > RELIABILITY_GAP:
            warn("reliability_by_arm", np.ptp(by_arm), RELIABILITY_GAP,
                 "the predictor is measured better in one arm than in another, which fakes moderation",
                 "read the slopes corrected for measurement error")  # fmt: skip
    if reliability is not None and len(reliability):
        low = reliability[reliability["reliability"] < LOWEST_RELIABILITY]
        for _, row in low.iterrows():
            where = "over all rows" if row["arm"] == "all" else f"in {row['arm']}"
            warn("reliability_near_zero", row["reliability"], LOWEST_RELIABILITY,
                 f"the predictor's own error is as large as its spread {where}: its differences are noise",
                 "do not read its slopes; measure it more precisely")  # fmt: skip
    lost = (~result.used["included"]).sum()
    if lost:
        warn(
            "rows_left_out",
            lost,
            0,
            f"{lost} rows lack a value of the model",
            "see used.tsv; compare multiple imputation",
        )
    for part, problem in refused:
        warn("part_refused", 1, 0, f"{part} was not computed: {problem.place_and_fault}", problem.remedy)
    return pd.DataFrame(rows, columns=COLUMNS)


def _outcome_warnings(design: Design) -> list[tuple[str, float, float, str, str]]:
    """Outcomes for which a straight line with errors of one spread is a poor description: two values, or an end."""
    y, name = design.y, design.spec.outcome
    values, counts = np.unique(y, return_counts=True)
    if len(values) == 2:
        what = f"{name} has two values: slopes are differences of a share, which the line does not keep within 0 and 1"
        return [("two_values", 2.0, 2.0, what, "compare a logistic model")]
    share, end = max((counts[0] / len(y), "lowest"), (counts[-1] / len(y), "highest"))
    if share < AT_THE_END:
        return []
    what = f"{name} has its {end} value in {share:.0%} of rows (floor or ceiling)"
    remedy = "slopes differ as soon as one arm lies nearer that end: say so, or model the share of that value"
    return [("bounded_outcome", float(share), AT_THE_END, what, remedy)]


def _row_warnings(design: Design) -> list[tuple[str, float, float, str, str]]:
    """Rows that belong together but are read as independent, and people without a cluster."""
    rows, data, cluster = [], design.data, design.spec.cluster
    if cluster is not None:
        alone = data[cluster].astype(str).str.startswith(ALONE).to_numpy()
        if alone.any():
            levels = design.moderator.levels or ()
            where = [f"of {a}" for a in levels if (design.arm == a)[alone].any()]
            what = f"rows {' and '.join(where)} without {cluster} are clusters of their own (partial nesting)"
            remedy = "say so beside the claim; where a cluster exists but was not recorded, fill it in"
            rows.append(("clusters_of_one", float(alone.sum()), 0.0, " ".join(what.split()), remedy))
        return rows
    if "dyad_id" in data and (together := int(data["dyad_id"].dropna().duplicated(keep=False).sum())):
        what = f"{together} rows share a dyad with another row but are read as independent"
        rows.append(("dependent_rows", float(together), 0.0, what, "use covariance CR2 with cluster dyad_id"))
    return rows


def _covariate_warnings(result: Moderation, after: Collection[str]) -> list[tuple[str, float, float, str, str]]:
    """Covariates that the arm may have changed: holding them constant removes part of its effect or invents one."""
    rows, design = [], result.design
    remedy = "compare the model without it; a covariate should be fixed before the arms are drawn"
    for name in design.spec.covariates:
        if name in after:
            what = f"the covariate {name} was measured after randomisation and may be an effect of the arm"
            rows.append(("covariate_after_randomisation", 1.0, 0.0, what, remedy))
    return rows
