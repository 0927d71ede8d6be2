"""Does a mediator carry the arm's effect, and does the predictor change how much? (Moderated) mediation.

Paths by least squares: mediator on arm (x predictor), outcome on arm, mediator (x predictor). Index of
moderated mediation: Hayes (2015). Intervals from a bootstrap within arm.
"""

from dataclasses import dataclass

import numpy as np

from hpaxis.moderation.batches import weighted_coefficients
from hpaxis.moderation.resample import bootstrap_counts, interval_rows, left_out_counts, units

STAGES = ("none", "first", "second")


@dataclass(frozen=True)
class Paths:
    """The two regressions of a mediation: designs ``A`` (of the mediator) and ``B`` (of the outcome)."""

    A: np.ndarray
    B: np.ndarray
    mediator: np.ndarray
    outcome: np.ndarray
    predictor: np.ndarray
    arms: int
    stage: str

    def effects(self, a, b, values):
        """Return effects (N, effects) from coefficients ``a`` (N, .) and ``b`` (N, .), in the order of `names`."""
        columns = [b[:, 1], *([b[:, -1]] if self.stage == "second" else [])]
        for j in range(self.arms):
            to_mediator, product = a[:, 1 + j], a[:, 2 + self.arms + j] if self.stage == "first" else 0.0
            columns += [to_mediator, *([product] if self.stage == "first" else [])]
            to_outcome = b[:, 1]
            b_product = b[:, -1] if self.stage == "second" else 0.0
            if self.stage == "none":
                columns.append(to_mediator * to_outcome)
            else:
                columns += [(to_mediator + product * w) * (to_outcome + b_product * w) for w in values]
                columns.append(product * to_outcome if self.stage == "first" else to_mediator * b_product)
            columns.append(b[:, 2 + j])
        return np.column_stack(columns)

    def names(self, arms, predictor):
        """Return the names of the effects: paths first, then for each arm indirect, index and direct."""
        names = ["mediator on outcome", *([f"mediator:{predictor} on outcome"] if self.stage == "second" else [])]
        for arm in arms:
            names.append(f"{arm} on mediator")
            if self.stage == "first":
                names.append(f"{arm}:{predictor} on mediator")
            if self.stage == "none":
                names.append(f"indirect[{arm}]")
            else:
                names += [f"indirect[{arm}] at {where}" for where in ("mean - 1 SD", "mean", "mean + 1 SD")]
                names.append(f"index of moderated mediation[{arm}]")
            names.append(f"direct[{arm}]")
        return names


def mediation_table(design, mediator, stage, draws, rng):
    """Return indirect, conditional indirect and direct effects of each arm, with percentile and BCa intervals.

    ``design``: the moderation's design with arms; ``mediator`` (n,) complete. ``stage``: "none" (the predictor
    is a covariate), "first" (it moderates arm -> mediator) or "second" (it moderates mediator -> outcome).
    Columns as `hpaxis.moderation.resample.COLUMNS`; conditional effects at the predictor's mean and one SD on
    either side.
    """
    paths = build_paths(design, mediator, stage)
    m, s = paths.predictor.mean(), paths.predictor.std(ddof=1)
    values = [m - s, m, m + s]
    names = paths.names(design.moderator.levels[1:], design.spec.predictor)
    unit, stratum = units(design)

    def effects(counts):
        a = weighted_coefficients(paths.A, paths.mediator, counts)
        return paths.effects(a, weighted_coefficients(paths.B, paths.outcome, counts), values)

    estimates = effects(np.ones((1, design.n)))[0]
    drawn, left_out = effects(bootstrap_counts(unit, stratum, draws, rng)), effects(left_out_counts(unit, stratum))
    return interval_rows(names, estimates, drawn, left_out, stratum, design.spec.alpha)


def build_paths(design, mediator, stage):
    """Return the `Paths` of a mediation: arms in indicator columns, covariates in both regressions.

    A: 1, arms, predictor, [arms x predictor if first], covariates. B: 1, mediator, arms, predictor, covariates,
    [mediator x predictor if second].
    """
    arms, x = design.X[:, design.moderator_columns], design.x
    own = {0, 1, *design.moderator_columns, *design.interactions}
    covariates = design.X[:, [j for j in range(design.X.shape[1]) if j not in own]]
    one = np.ones((design.n, 1))
    first = [arms * x[:, None]] if stage == "first" else []
    second = [(mediator * x)[:, None]] if stage == "second" else []
    A = np.column_stack([one, arms, x, *first, covariates])
    B = np.column_stack([one, mediator, arms, x, covariates, *second])
    return Paths(A, B, np.asarray(mediator, float), design.y, x, arms.shape[1], stage)
