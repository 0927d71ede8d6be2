"""Many cohorts of the published size, without reads: error rates, coverage, power, and confounding that misleads."""

import numpy as np
import pandas as pd
import second
from lines import Line, within
from scipy import stats

from hpaxis.moderation.batches import many_designs
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.linear import least_squares
from hpaxis.moderation.power import design_power
from hpaxis.moderation.reliability import calibrate, with_predictor
from hpaxis.simulation.cohort import default_settings, simulate_people

N = 44
FIRST, SECOND = "simulator", "second generator"
STEP = 0.7  # difference of slopes where there is one


def first_cohort(n: int, seed: int, slopes: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Arm, predictor and outcome by the shipped simulator's people, with normal errors."""
    people = simulate_people(default_settings(dyads=n), seed, ("control", "treatment")).query("role == 'child'")
    arm, x = people["arm_index"].to_numpy(), people["methylation_z"].to_numpy()
    return arm, x, np.array(slopes)[arm] * x + 0.3 * arm + np.random.default_rng([seed, 5]).standard_normal(n)


def interactions(
    studies: list[tuple[np.ndarray, ...]], covariates: list | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Interaction and its HC3 standard error in each study, by the code that every model's resampling uses."""
    designs, outcomes = [], []
    for i, (arm, x, y) in enumerate(studies):
        columns = [np.ones(len(x)), x, arm, x * arm]
        designs.append(np.column_stack([*columns, covariates[i]] if covariates else columns))
        outcomes.append(y)
    b, V = many_designs(np.array(designs), np.array(outcomes), "HC3")
    return b[:, 3], np.sqrt(V[:, 3, 3])


def rejected(b: np.ndarray, se: np.ndarray, terms: int = 4, truth: float = 0.0) -> float:
    """Share of studies in which the truth is rejected at 5 %."""
    return float(np.mean(np.abs(b - truth) / se > stats.t.isf(0.025, N - terms)))


def rates(number: int) -> list[Line]:
    """Type-I error, coverage and power by both generators."""
    lines = []
    slack = 3 * np.sqrt(0.05 * 0.95 / number)
    makers = {
        FIRST: lambda i, slopes: first_cohort(N, 1000 + i, slopes),
        SECOND: lambda i, slopes: second.cohort(N, np.random.default_rng([i, 9]), slopes),
    }
    for name, make in makers.items():
        null = rejected(*interactions([make(i, (-0.2, -0.2)) for i in range(number)]))
        lines.append(within("type-I error of the interaction, n 44, HC3", name, null, 0.0, 0.06 + slack))
        b, se = interactions([make(i, (-0.37, 0.33)) for i in range(number)])
        covered = 1 - rejected(b, se, truth=STEP)
        lines.append(within("95 % interval of the interaction holds it", name, covered, 0.94 - slack, 1.0))
        error = (b - STEP).std() / np.sqrt(number)
        lines.append(within("mean error of the interaction", name, (b - STEP).mean(), -3 * error, 3 * error))
        found = rejected(b, se)
        planned = planned_power(skewed=name == SECOND)
        room = 3 * np.sqrt(planned * (1 - planned) / number) + 0.05
        lines.append(
            within("power at the published size, against `hpaxis power`", name, found, planned - room, planned + room)
        )
    return lines


def planned_power(skewed: bool) -> float:
    """What `hpaxis power` says at the effect simulated: f² is that of the product where the error's SD is 1."""
    table = design_power([N // 2, N // 2], 2000, 1, skewed, 1.0, 0, "HC3")
    f2 = STEP**2 / 4 * (N - 1) / N  # a product of x and a balanced arm has a quarter of x' variance left
    return float(np.interp(f2, table["f2"], table["power"]))


def confounded(number: int) -> list[Line]:
    """Studies without any moderation in which something differs with the arm, naive and as hpaxis analyses them."""
    batch, cells = [], []
    for i in range(number):
        rng = np.random.default_rng([i, 31])
        arm, x, y = second.cohort(N, rng, (0.0, 0.0))
        # Only treated children were seen in a second batch, where readings and scores both are higher.
        other = (arm == 1) & (rng.random(N) < 0.5)
        batch.append(((arm, x + 2.0 * other, y + 2.0 * other), other.astype(float)))
        # Treated children's saliva varies more in its cells, which move both readings and scores.
        mix = rng.standard_normal(N) * np.where(arm == 1, 1.5, 0.3)
        cells.append(((arm, x + mix, y + mix), mix))
    lines = []
    for what, studies in (("batch", batch), ("cell mix", cells)):
        data, known = [s for s, _ in studies], [c[:, None] for _, c in studies]
        wrong = rejected(*interactions(data))
        right = rejected(*interactions(data, known), terms=5)
        lines.append(Line(f"{what} confounded with the arm: false moderation, naive", SECOND, f"{wrong:.3f}",
                          "above .15, or the check could not fail", wrong > 0.15))  # fmt: skip
        limit = 0.07 + 3 * np.sqrt(0.07 * 0.93 / number)
        lines.append(within(f"{what} as a covariate: false moderation", SECOND, right, 0.0, limit))
    return [*lines, *mismeasured(number)]


def mismeasured(number: int, n: int = 200) -> list[Line]:
    """The same slope in both arms; the treated arm's methylation is measured much worse."""
    naive, corrected = [], []
    for i in range(number):
        rng = np.random.default_rng([i, 41])
        arm, x, y = second.cohort(n, rng, (-0.6, -0.6))
        error = np.where(arm == 1, 1.0, 0.2)
        frame = pd.DataFrame({"y": y, "x": x + error * rng.standard_normal(n), "arm": np.array(["c", "t"])[arm]})
        design = build_design(frame, Spec("y", "x", "arm", reference="c"))
        naive.append(least_squares(design.X, design.y)[0][3])
        expected = calibrate(design, error)
        if expected is not None:
            corrected.append(least_squares(with_predictor(design, expected).X, design.y)[0][3])
    lines = []
    bias, se = np.mean(naive), np.std(naive) / np.sqrt(number)
    lines.append(Line("measurement error by arm: mean false interaction, naive", SECOND, f"{bias:.3f}",
                      "beyond 3 standard errors of 0, or the check could not fail", abs(bias) > 3 * se))  # fmt: skip
    bias, se = np.mean(corrected), np.std(corrected) / np.sqrt(len(corrected))
    lines.append(within("the same after regression calibration", SECOND, bias, -3 * se - 0.02, 3 * se + 0.02))
    return lines
