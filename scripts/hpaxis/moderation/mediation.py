"""Does a mediator carry an effect, and does something change how much? (Moderated) mediation.

Two questions share one calculation: the arm's effect through a mediator, moderated by the predictor; and the
predictor's effect through a mediator, moderated by the arm (methylation, cortisol, outcome). Models are those of
Hayes's PROCESS (Hayes, 2018); the index of moderated mediation is Hayes (2015). Leaving the moderated direct effect
out of the outcome's equation when there is one biases the index (Muller, Judd & Yzerbyt, 2005), so the default keeps
it. Intervals come from a bootstrap within arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from hpaxis.moderation.batches import weighted_coefficients
from hpaxis.moderation.covariance import cross_inverse
from hpaxis.moderation.design import NEARLY, Design
from hpaxis.moderation.linear import least_squares
from hpaxis.moderation.resample import COLUMNS, bootstrap_counts, interval_rows, left_out_counts
from hpaxis.moderation.units import units
from hpaxis.problems import Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAGES = ("none", "first", "second", "both")
# PROCESS's number of (stage that is moderated, whether the direct effect is moderated too).
PROCESS = {
    ("none", False): 4, ("none", True): 5, ("first", False): 7, ("first", True): 8, ("second", False): 14,
    ("second", True): 15, ("both", False): 58, ("both", True): 59,
}  # fmt: skip
ARM_THROUGH = "the arm through the mediator, by the predictor"
PREDICTOR_THROUGH = "the predictor through the mediator, by the arm"
SENSITIVITY = "confounding of mediator and outcome"


@dataclass(frozen=True)
class Paths:
    """The two regressions of a mediation, of ``mediator`` (n,) on ``A`` and of ``outcome`` (n,) on ``B``.

    ``causes`` names the p columns of the cause, ``places`` maps where effects are taken to the moderator's q columns
    there. ``first`` and ``second`` say which path is moderated, ``direct`` whether the direct effect is.
    """

    A: np.ndarray
    B: np.ndarray
    mediator: np.ndarray
    outcome: np.ndarray
    causes: tuple
    moderators: tuple
    places: dict
    first: bool
    second: bool
    direct: bool

    def parts(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return the paths of coefficients ``a`` (N, .), ``b`` (N, .): a, a x W, b, b x W, direct, direct x W."""
        p, q = len(self.causes), len(self.moderators)
        N = len(a)
        path_a = a[:, 1 : 1 + p]
        path_aw = a[:, 1 + p + q : 1 + p + q + p * q].reshape(N, p, q) if self.first else np.zeros((N, p, q))
        path_b, direct = b[:, 1], b[:, 2 : 2 + p]
        at = 2 + p + (q if self._moderator_in_outcome else 0)
        direct_w = b[:, at : at + p * q].reshape(N, p, q) if self.direct else np.zeros((N, p, q))
        at += p * q if self.direct else 0
        path_bw = b[:, at : at + q] if self.second else np.zeros((N, q))
        return path_a, path_aw, path_b, path_bw, direct, direct_w

    @property
    def _moderator_in_outcome(self) -> bool:
        return self.second or self.direct or not self.first

    def effects(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[list[str], NDArray[np.float64]]:
        """Return ``(names, values)``: every path and effect, values (N, effects)."""
        path_a, path_aw, path_b, path_bw, direct, direct_w = self.parts(a, b)
        moderated = self.first or self.second
        found = {"mediator on outcome": path_b}
        for k, w in enumerate(self.moderators):
            if self.second:
                found[f"mediator:{w} on outcome"] = path_bw[:, k]
        for j, cause in enumerate(self.causes):
            found[f"{cause} on mediator"] = path_a[:, j]
            for k, w in enumerate(self.moderators):
                if self.first:
                    found[f"{cause}:{w} on mediator"] = path_aw[:, j, k]
            indirect = {
                where: (path_a[:, j] + path_aw[:, j] @ z) * (path_b + path_bw @ z) for where, z in self.places.items()
            }
            if moderated:
                found |= {f"indirect[{cause}] at {where}": values for where, values in indirect.items()}
                found |= self._index(cause, j, path_a, path_aw, path_b, path_bw)
                start, *others = indirect
                last = others[-1:] if len(self.moderators) == 1 else others
                found |= {
                    f"difference of indirect effects[{cause}]: {other} - {start}": indirect[other] - indirect[start]
                    for other in last
                }
            else:
                found[f"indirect[{cause}]"] = indirect[next(iter(indirect))]
            if self.direct:
                found |= {
                    f"direct[{cause}] at {where}": direct[:, j] + direct_w[:, j] @ z for where, z in self.places.items()
                }
            else:
                found[f"direct[{cause}]"] = direct[:, j]
        return list(found), np.column_stack(list(found.values()))

    def _index(
        self,
        cause: str,
        j: int,
        path_a: NDArray[np.float64],
        path_aw: NDArray[np.float64],
        path_b: NDArray[np.float64],
        path_bw: NDArray[np.float64],
    ) -> dict[str, NDArray[np.float64]]:
        """Hayes's index for each column of the moderator; there is none where both stages are moderated."""
        if self.first and self.second:
            return {}
        return {
            f"index of moderated mediation[{cause}{'' if len(self.moderators) == 1 else f' by {w}'}]": (
                path_aw[:, j, k] * path_b if self.first else path_a[:, j] * path_bw[:, k]
            )
            for k, w in enumerate(self.moderators)
        }

    def outcome_contrast(self, z: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the contrast (columns of B,) of the mediator's effect on the outcome where the moderator is ``z``."""
        c = np.zeros(self.B.shape[1])
        c[1] = 1
        if self.second:
            at = 2 + len(self.causes) + len(self.moderators) + (len(self.causes) * len(self.moderators) * self.direct)
            c[at : at + len(self.moderators)] = z
        return c


def process_model(stage: str, direct: bool) -> int:
    """Return the number that PROCESS gives to a mediation."""
    return PROCESS[stage, direct]


def mediator_problems(design: Design, mediator: np.ndarray, name: str = "mediator") -> list[Problem]:
    """Return the problems of a mediator (n,): constant, a copy of the model's terms, or the outcome in another form."""
    centred = mediator - mediator.mean()
    spread = centred @ centred
    if spread <= (NEARLY * np.abs(mediator).max()) ** 2:
        return [Problem("data", "is constant, so it cannot mediate", "choose another mediator", column=name)]
    _, beyond = least_squares(design.X, mediator)
    if beyond @ beyond < NEARLY**2 * spread:
        what = "follows from the arm, the predictor and the covariates, so that it has no effect of its own"
        return [Problem("data", what, "choose another mediator, or leave that covariate out", column=name)]
    if len(np.unique(design.x)) > 2 and abs(stats.spearmanr(mediator, design.x).statistic) > 1 - 1e-12:
        what = f"orders the rows exactly as the predictor {design.spec.predictor}: the same quantity in another form"
        return [Problem("data", what, "choose another mediator", column=name)]
    _, left = least_squares(np.column_stack([design.X, mediator]), design.y)
    outcome = design.y - design.y.mean()
    ordered = len(np.unique(design.y)) > 2 and abs(stats.spearmanr(mediator, design.y).statistic) > 1 - 1e-12
    if ordered or left @ left < NEARLY**2 * (outcome @ outcome):
        what = f"determines the outcome {design.spec.outcome}: the same quantity in another form"
        return [Problem("data", what, "choose another mediator", column=name)]
    return []


def mediation_table(
    design: Design,
    mediator: np.ndarray,
    stage: str | int,
    draws: int,
    rng: np.random.Generator,
    direct: bool = True,
    cause: str = "moderator",
) -> pd.DataFrame:
    """Return paths, conditional indirect and direct effects with their intervals, and what confounding undoes them.

    ``mediator`` (n,) complete. ``stage``: the path that is moderated (STAGES), or a number of PROCESS, which says of
    ``direct`` too: whether the direct effect is moderated. ``cause``: "moderator" (the arm acts, the predictor
    moderates) or "predictor" (the predictor acts, the arm moderates). Effects are taken at the predictor's mean and
    one SD on either side, or in each arm. Columns as `hpaxis.moderation.resample.COLUMNS`; rows of the method
    "confounding of mediator and outcome" hold, as the estimate, the correlation of the two equations' errors at which
    the mediator's effect is zero (Imai, Keele & Yamamoto, 2010), and the robustness value of Cinelli & Hazlett (2020).
    """
    if isinstance(stage, int):
        stage, direct = next(key for key, number in PROCESS.items() if number == stage)
    paths = build_paths(design, mediator, stage, direct, cause)
    unit, stratum = units(design)

    def effects(counts: NDArray[np.float64]) -> tuple[list[str], NDArray[np.float64]]:
        a = weighted_coefficients(paths.A, paths.mediator, counts)
        return paths.effects(a, weighted_coefficients(paths.B, paths.outcome, counts))

    w = design.root**2
    names, estimates = effects(w[None])
    _, drawn = effects(bootstrap_counts(unit, stratum, draws, rng) * w)
    _, left_out = effects(left_out_counts(unit, stratum) * w)
    rows = interval_rows(names, estimates[0], drawn, left_out, stratum, design.spec.alpha)
    return pd.concat([rows, confounding_rows(paths, design.root)], ignore_index=True)


def build_paths(
    design: Design, mediator: np.ndarray, stage: str, direct: bool = True, cause: str = "moderator"
) -> Paths:
    """Return the `Paths` of a mediation; covariates are in both equations.

    Mediator: 1, cause, [moderator, cause x moderator where the first stage is moderated]. Outcome: 1, mediator, cause,
    [moderator where the second stage or the direct effect is moderated, or nothing is], [cause x moderator where the
    direct effect is], [mediator x moderator where the second stage is]. These are the equations of PROCESS; with no
    stage moderated the moderator is a covariate of the outcome alone.
    """
    arms, x = design.X[:, design.moderator_columns], design.x[:, None]
    own = {0, 1, *design.moderator_columns, *design.interactions}
    covariates = design.X[:, [j for j in range(design.X.shape[1]) if j not in own]]
    levels = design.moderator.levels
    arm_names = levels[1:] if levels is not None else (design.spec.moderator,)
    mean, sd = x.mean(), x.std(ddof=1)
    spread = {"mean - 1 SD": mean - sd, "mean": mean, "mean + 1 SD": mean + sd}
    if cause == "moderator":
        C, W = arms, x
        causes, moderators = tuple(str(a) for a in arm_names), (design.spec.predictor,)
        places = {where: np.array([value]) for where, value in spread.items()}
    else:
        C, W = x, arms
        causes, moderators = (design.spec.predictor,), tuple(str(a) for a in arm_names)
        places = _arm_places(design)
    one = np.ones((design.n, 1))
    mediator = np.asarray(mediator, float)
    products = np.column_stack([C[:, [j]] * W for j in range(C.shape[1])])
    first, second = stage in ("first", "both"), stage in ("second", "both")
    A = np.column_stack([one, C, *([W, products] if first else []), covariates])
    with_moderator = second or direct or not first
    B = np.column_stack([
        one, mediator, C, *([W] if with_moderator else []), *([products] if direct else []),
        *([mediator[:, None] * W] if second else []), covariates,
    ])  # fmt: skip
    return Paths(A, B, mediator, design.y, causes, moderators, places, first, second, direct)


def _arm_places(design: Design) -> dict[str, NDArray[np.float64]]:
    """The moderator's columns in each arm, or at the mean and one SD on either side where it is continuous."""
    if design.moderator.levels is not None:
        return {str(a): design.moderator.code(a) for a in design.moderator.levels}
    z = design.arm.astype(float)
    m, s = z.mean(), z.std(ddof=1)
    return {"mean - 1 SD": np.array([m - s]), "mean": np.array([m]), "mean + 1 SD": np.array([m + s])}


def confounding_rows(paths: Paths, root: np.ndarray | float = 1.0) -> pd.DataFrame:
    """Return what an unmeasured cause of mediator and outcome would have to be for the mediator to do nothing.

    For the mediator's effect at each place: the correlation of the two equations' errors at which it is zero, which is
    the partial correlation t / sqrt(t2 + df), and the robustness value (sqrt(f4 + 4 f2) - f2) / 2, f = |t| / sqrt(df):
    the share of either's remaining variance that such a cause must explain. ``root``: of the rows' weights.
    """
    B = paths.B * np.reshape(root, (-1, 1))
    beta, residuals = least_squares(B, paths.outcome * root)
    df = len(residuals) - B.shape[1]
    V = cross_inverse(B) * (residuals @ residuals / df)
    rows = []
    for where, z in paths.places.items() if paths.second else [("", None)]:
        c = paths.outcome_contrast(z)
        t = c @ beta / np.sqrt(c @ V @ c)
        f2 = t**2 / df
        at = f" at {where}" if where else ""
        rows += [
            (SENSITIVITY, f"error correlation that undoes mediator on outcome{at}", t / np.sqrt(t**2 + df), t),
            (SENSITIVITY, f"robustness value of mediator on outcome{at}", (np.sqrt(f2**2 + 4 * f2) - f2) / 2, t),
        ]
    table = pd.DataFrame(rows, columns=["method", "quantity", "estimate", "statistic"])
    return table.assign(draws=0, failed=0).reindex(columns=COLUMNS)
