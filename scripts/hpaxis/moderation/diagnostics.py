"""What a reader must be warned of: each warning a row, with the number behind it and what to do."""

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.diagnostic import het_breuschpagan

COLUMNS = ["code", "value", "limit", "what", "remedy"]
# Leverage and skew from which the calibration table shows HC3 off its nominal level.
SKEW = 1.0
LEVERAGE = 0.5
UNEQUAL = 0.05
RELIABILITY_GAP = 0.10


def warning_table(result, influence=None, reliability=None, postbaseline=True):
    """Return the warnings of a fitted moderation, most important first. Empty where there are none.

    ``result``: `Moderation`; ``influence`` and ``reliability``: their tables, if made. ``postbaseline``:
    whether the predictor was measured after randomisation, so that it may be an effect of the arm. Columns:
    COLUMNS.
    """
    design, alpha = result.design, result.design.spec.alpha
    rows = []

    def warn(code, value, limit, what, remedy):
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
    lost = (~result.used["included"]).sum()
    if lost:
        warn(
            "rows_left_out",
            lost,
            0,
            f"{lost} rows lack a value of the model",
            "see used.tsv; compare multiple imputation",
        )
    return pd.DataFrame(rows, columns=COLUMNS)
