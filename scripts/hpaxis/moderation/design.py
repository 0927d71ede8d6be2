"""From a data frame and the names of a model to its design matrix, with every left-out row accounted for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import linalg

from hpaxis.problems import Problem, closest, raise_if_any

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTERCEPT = "(Intercept)"
MINIMUM_PER_ARM = 5
# Share of a column that must be its own: R drops a column below the same limit.
NEARLY = 1e-7
# What a person without a cluster is called as a cluster of their own.
ALONE = "(alone) "
ROLES = ("outcome", "predictor", "moderator", "covariates")


@dataclass(frozen=True)
class Spec:
    """The names of a model: outcome on predictor x moderator, with covariates.

    ``reference`` is the moderator's reference arm (default: first category, else first in sorted order),
    ``standardise`` the roles turned into z scores over the complete cases (SD with n - 1).
    ``cluster`` names the column of clusters, ``alpha`` the level of every interval and region. ``factors`` are
    columns of numbers that name groups (arms coded 1, 2, 3). ``weights`` names a column of positive weights.
    """

    outcome: str
    predictor: str
    moderator: str
    covariates: tuple = ()
    reference: object = None
    standardise: tuple = ()
    cluster: str | None = None
    alpha: float = 0.05
    minimum_per_arm: int = MINIMUM_PER_ARM
    factors: tuple = ()
    weights: str | None = None

    @property
    def columns(self) -> list[str]:
        """Every column that the model reads, each once."""
        names = [self.outcome, self.predictor, self.moderator, *self.covariates]
        return list(dict.fromkeys([*names, *(c for c in (self.cluster, self.weights) if c)]))


@dataclass(frozen=True)
class Moderator:
    """How the moderator enters: ``levels`` are its arms (None where it is continuous).

    ``codes`` maps an arm to its row of moderator columns; a continuous value codes as itself.
    """

    name: str
    terms: tuple
    levels: tuple | None
    codes: dict = field(default_factory=dict)

    def code(self, value: Any) -> NDArray[np.float64]:
        """Return the moderator columns of one arm or value, shape (number of moderator terms,)."""
        return self.codes[value] if self.levels is not None else np.array([float(value)])

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """Pairs of arms as (arm, compared with), earlier arm second, so that a difference is arm - reference."""
        return [(b, a) for a, b in combinations(self.levels, 2)] if self.levels is not None else []


@dataclass(frozen=True)
class Design:
    """Outcome ``y`` (n,), matrix ``X`` (n, k) with names ``terms``, and what led to them.

    ``data`` holds the complete cases on the model's scale (after standardising), ``used`` every row given
    with why it was left out, ``scales`` the mean and SD of each numeric model column before standardising.
    """

    spec: Spec
    y: np.ndarray
    X: np.ndarray
    terms: tuple
    moderator: Moderator
    data: pd.DataFrame
    used: pd.DataFrame
    scales: pd.DataFrame

    @property
    def n(self) -> int:
        """Number of complete cases."""
        return len(self.y)

    @property
    def root(self) -> NDArray[np.float64]:
        """Root of each row's weight, (n,), weights divided by their mean; ones without weights."""
        if self.spec.weights is None:
            return np.ones(self.n)
        w = self.data[self.spec.weights].to_numpy(float)
        return np.sqrt(w / w.mean())

    @property
    def weighted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(X, y)`` with rows times the root of their weight: what least squares sees."""
        root = self.root
        return self.X * root[:, None], self.y * root

    @property
    def x(self) -> NDArray[np.float64]:
        """Predictor on the model's scale, shape (n,)."""
        return self.X[:, 1]

    @property
    def interaction_terms(self) -> tuple[str, ...]:
        """Names of the product terms."""
        return tuple(f"{self.spec.predictor}:{t}" for t in self.moderator.terms)

    @property
    def interactions(self) -> list[int]:
        """Columns of the product terms in X."""
        return [self.terms.index(t) for t in self.interaction_terms]

    @property
    def moderator_columns(self) -> list[int]:
        """Columns of the moderator's own terms in X."""
        return [self.terms.index(t) for t in self.moderator.terms]

    @property
    def arm(self) -> np.ndarray:
        """Arm (or moderator value) of each complete case, shape (n,)."""
        return self.data[self.spec.moderator].to_numpy()

    def slope_contrast(self, value: Any) -> NDArray[np.float64]:
        """Return the contrast (k,) that gives the predictor's slope at a moderator value or in an arm."""
        c = np.zeros(self.X.shape[1])
        c[1] = 1
        c[self.interactions] = self.moderator.code(value)
        return c

    def arm_contrast(self, arm: Any, reference: Any, at: float) -> NDArray[np.float64]:
        """Return the contrast (k,) that gives the difference arm - reference at a predictor value."""
        c = np.zeros(self.X.shape[1])
        code = self.moderator.code(arm) - self.moderator.code(reference)
        c[self.moderator_columns] = code
        c[self.interactions] = code * at
        return c

    def mean_contrast(self, value: Any, at: float) -> NDArray[np.float64]:
        """Return the contrast (k,) of the expected outcome at a moderator value and a predictor value.

        Covariates are at their means (factors: at the sample's proportions).
        """
        c = self.X.mean(axis=0)
        c[0], c[1] = 1, at
        code = self.moderator.code(value)
        c[self.moderator_columns] = code
        c[self.interactions] = code * at
        return c


def is_factor(column: pd.Series) -> bool:
    """Whether a column holds names of groups rather than numbers."""
    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def factor_levels(column: pd.Series, reference: object = None) -> list[Any]:
    """Return the levels present in a factor, the reference first.

    Order: the categories of a categorical, else sorted as text.
    """
    present = list(column.dropna().unique())
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = [c for c in column.cat.categories if c in present]
    else:
        levels = sorted(present, key=lambda v: (str(type(v)), v) if isinstance(v, bool | np.bool_) else ("", str(v)))
    if reference is not None:
        levels = [v for v in levels if _same(v, reference)] + [v for v in levels if not _same(v, reference)]
    return levels


def _same(level: object, reference: object) -> bool:
    """Whether a level is the reference, compared as text: a command line and a YAML file give 1 in different types."""
    return level == reference or label(level) == label(reference)


def label(value: object) -> str:
    """Return a level as people write it: whole numbers without decimals."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def prepared(data: pd.DataFrame, spec: Spec) -> pd.DataFrame:
    """Return the data as the model reads them: declared factors as groups, people without a cluster on their own.

    Therapists of the treatment arm only, or seen by some: each person without one is a cluster of one (Bauer, Sterba &
    Hallfors, 2008). Where nobody has one, the column stays empty.
    """
    changed = {name: _groups_of(data[name]) for name in spec.factors if name in data and not is_factor(data[name])}
    if spec.cluster in data and data[spec.cluster].notna().any():
        alone = data[spec.cluster].isna().to_numpy()
        if alone.any():
            column = data[spec.cluster].astype(object).map(label, na_action="ignore")
            column[alone] = [f"{ALONE}{name}" for name in data.index[alone]]
            changed[spec.cluster] = column
    return data.assign(**changed) if changed else data


def _groups_of(column: pd.Series) -> pd.Categorical:
    """Return a column of numbers as a categorical of their labels, in the numbers' order."""
    levels = [label(v) for v in np.sort(column.dropna().unique())]
    return pd.Categorical(column.map(label, na_action="ignore"), categories=levels)


def complete_cases(
    data: pd.DataFrame, columns: Sequence[str], source: str = "data"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows into complete cases and the rest.

    Returns ``(cases, used)``: the rows of ``data`` with no missing or infinite value in ``columns``, and a
    table with one row for each row given: its label, included (bool) and reason ("missing: a, b").
    """
    absent, endless = {}, {}
    for c in columns:
        column = data[c]
        absent[c] = column.isna().to_numpy()
        factor = is_factor(column)
        endless[c] = np.zeros(len(data), bool) if factor else np.isinf(column.to_numpy(float, na_value=np.nan))
    lacking = np.logical_or.reduce([*absent.values(), *endless.values()])
    reasons = [""] * len(data)
    for i in np.flatnonzero(lacking):
        texts = (
            _listed("missing", [c for c in columns if absent[c][i]]),
            _listed("not finite", [c for c in columns if endless[c][i]]),
        )
        reasons[i] = "; ".join(text for text in texts if text)
    label = data.index.name or "row"
    used = pd.DataFrame({label: data.index, "included": ~lacking, "reason": reasons})
    return data[~lacking] if lacking.any() else data, used


def _listed(what: str, names: Sequence[str]) -> str:
    return f"{what}: {', '.join(names)}" if names else ""


def build_design(data: pd.DataFrame, spec: Spec, source: str = "data") -> Design:
    """Build the design of ``spec`` on the complete cases of ``data``.

    Raises `InputError` with every problem found: unknown column, outcome among the covariates, constant
    predictor, arm with too few people, collinear columns, and more.
    """
    raise_if_any(name_problems(spec, list(data.columns), source))
    cases, used = complete_cases(prepared(data, spec), spec.columns, source)
    raise_if_any(data_problems(cases, spec, source, data))
    cases = cases.copy()
    scales = _scales(cases, spec)
    for name in _standardised(spec):
        if not is_factor(cases[name]):
            cases[name] = (cases[name] - scales.loc[name, "mean"]) / scales.loc[name, "sd"]
    moderator, blocks = code_moderator(cases[spec.moderator], spec.reference)
    x = cases[spec.predictor].to_numpy(float)
    columns = {INTERCEPT: np.ones(len(cases)), spec.predictor: x}
    columns |= dict(zip(moderator.terms, blocks.T, strict=True))
    products = {f"{spec.predictor}:{t}": x * b for t, b in zip(moderator.terms, blocks.T, strict=True)}
    for name in spec.covariates:
        own = _columns(cases[name])
        raise_if_any(_taken(own, [*columns, *products], name, source))
        columns |= own
    columns |= products
    X = np.column_stack(list(columns.values()))
    raise_if_any(matrix_problems(X, list(columns), source))
    return Design(
        spec=spec,
        y=cases[spec.outcome].to_numpy(float),
        X=X,
        terms=tuple(columns),
        moderator=moderator,
        data=cases,
        used=used,
        scales=scales,
    )


def _taken(own: Mapping[str, NDArray[np.float64]], terms: Sequence[str], name: str, source: str) -> list[Problem]:
    """Problems of a covariate whose columns are called what a term of the model is called."""
    return [
        Problem(source, f"is called what the model's own term {term} is called", "rename the column", column=name)
        for term in own
        if term in terms
    ]


def code_moderator(column: pd.Series, reference: object = None) -> tuple[Moderator, NDArray[np.float64]]:
    """Return ``(Moderator, block)``: the coding, and its columns for the cases, shape (n, number of terms).

    Factors get indicator columns against the reference. A numeric moderator with two values keeps its
    numbers as code and is read as two arms; any other numeric moderator is continuous.
    """
    name = str(column.name)
    if is_factor(column):
        levels = factor_levels(column, reference)
        terms = tuple(f"{name}[{v}]" for v in levels[1:])
        codes = {v: np.array([float(v == other) for other in levels[1:]]) for v in levels}
        return Moderator(name, terms, tuple(levels), codes), np.array([codes[v] for v in column])
    values = column.to_numpy(float)
    distinct = np.unique(values)
    block = values[:, None]
    if len(distinct) == 2:
        low, high = (int(v) if float(v).is_integer() else float(v) for v in distinct)
        levels = (high, low) if reference is not None and _same(high, reference) else (low, high)
        return Moderator(name, (name,), levels, {v: np.array([float(v)]) for v in levels}), block
    return Moderator(name, (name,), None), block


def _columns(column: pd.Series) -> dict[str, NDArray[np.float64]]:
    """Columns of a covariate: itself, or indicators against its first level."""
    if not is_factor(column):
        return {column.name: column.to_numpy(float)}
    return {f"{column.name}[{v}]": (column == v).to_numpy(float) for v in factor_levels(column)[1:]}


def _standardised(spec: Spec) -> list[str]:
    named = {
        "outcome": [spec.outcome],
        "predictor": [spec.predictor],
        "moderator": [spec.moderator],
        "covariates": list(spec.covariates),
    }
    return [name for role in ROLES if role in spec.standardise for name in named[role]]


def _scales(cases: pd.DataFrame, spec: Spec) -> pd.DataFrame:
    standardised, rows = set(_standardised(spec)), {}
    for c in spec.columns:
        if c != spec.weights and not is_factor(cases[c]):
            values = cases[c].to_numpy(float)
            rows[c] = (values.mean(), values.std(ddof=1), values.min(), values.max(), c in standardised)
    columns = ["mean", "sd", "minimum", "maximum", "standardised"]
    return pd.DataFrame(rows.values(), columns=columns, index=pd.Index(rows, name="column"))


# What can be told from names alone: two forms of one quantity, such as x_beta and x_m, or cortisol and its logarithm.
_METHYLATION = re.compile(r"(.+)_(beta|m|logit)")
_CORTISOL = re.compile(r"(.*?)(?:log_)?cortisol(?:_pg_per_mg|_low|_high|_censored|_limit)?")


def same_quantity(name: str, other: str) -> bool:
    """Whether two column names are forms of one quantity of the pipeline: scales of an index, or of cortisol."""
    for pattern in (_METHYLATION, _CORTISOL):
        first, second = pattern.fullmatch(name), pattern.fullmatch(other)
        if first and second and first[1] == second[1]:
            return True
    return False


def name_problems(spec: Spec, columns: Sequence[str], source: str = "data") -> list[Problem]:
    """Return the problems of a model's names: unknown columns, one column in two roles, a leaked outcome."""
    problems = []

    def add(what: str, remedy: str, column: str) -> None:
        problems.append(Problem(source, what, remedy, column=column))

    for name in spec.columns:
        if name not in columns:
            add("is not a column of the data", f"correct the name{closest(name, columns)}", name)
    if spec.weights in (spec.outcome, spec.predictor, spec.moderator, *spec.covariates):
        add("is a term of the model and its weights at once", "name two different columns", spec.weights)
    for role in spec.standardise:
        if role not in ROLES:
            add("cannot be standardised", f"use some of {', '.join(ROLES)}", str(role))
    roles = {"predictor": spec.predictor, "moderator": spec.moderator}
    if spec.predictor == spec.moderator:
        add("is predictor and moderator at once", "name two different columns", spec.predictor)
    for role, name in roles.items():
        if name == spec.outcome:
            add(f"is outcome and {role} at once", "name two different columns", name)
        elif same_quantity(name, spec.outcome):
            add(f"is the outcome {spec.outcome} in another form", f"choose another {role}", name)
    for name, count in pd.Series(spec.covariates, dtype=object).value_counts(sort=False).items():
        if count > 1:
            add("is a covariate twice", "name it once", name)
        if name == spec.outcome:
            add("is the outcome and a covariate at once", "take it out of the covariates", name)
        elif same_quantity(name, spec.outcome):
            add(f"is the outcome {spec.outcome} in another form", "take it out of the covariates", name)
        for role, other in roles.items():
            if name == other:
                add(f"is the {role} and a covariate at once", "take it out of the covariates", name)
    return problems


def data_problems(
    cases: pd.DataFrame, spec: Spec, source: str = "data", rows: pd.DataFrame | None = None
) -> list[Problem]:
    """Return the problems of the complete cases: too few, constant columns, thin arms, a leaked outcome.

    ``rows`` are all rows, complete or not: with them, columns without values are named where cases are too few.
    """
    problems = []

    def add(what: str, remedy: str, column: str | None = None, value: object = None) -> None:
        problems.append(Problem(source, what, remedy, column=column, value=value))

    if len(cases) < spec.minimum_per_arm:
        if rows is not None and not len(rows):
            add("has no row left to be modelled", "correct population or keep, or the values they name", spec.outcome)
            return problems
        for name in spec.columns if rows is not None else ():
            if (n := int(rows[name].notna().sum())) < spec.minimum_per_arm:
                add(
                    f"has {n or 'no'} values in {len(rows)} rows", "fill the column, or leave it out of the model", name
                )
        if problems:
            return problems
        add(f"has {len(cases)} complete rows for the model's columns", "see which values are missing", spec.outcome)
        return problems
    if spec.weights is not None and (is_factor(cases[spec.weights]) or not (cases[spec.weights] > 0).all()):
        add("is not a positive number in every row", "correct the column of weights", spec.weights)
    for role in ("outcome", "predictor"):
        name = getattr(spec, role)
        if is_factor(cases[name]):
            remedy = "give a numeric column"
            if role == "predictor":
                remedy += ", or exchange predictor and moderator"
            add(f"is text, but the {role} must be a number", remedy, name)
        elif _constant(cases[name]):
            add(f"is constant, so it cannot be the {role}", "choose another column or population", name)
    for name in (spec.moderator, *spec.covariates):
        if _constant(cases[name]):
            role = "moderator" if name == spec.moderator else "covariate"
            add(f"is constant, so it cannot be a {role}", "choose another column or population", name)
    problems += _arm_problems(cases, spec, source)
    if problems:
        return problems
    for name in spec.covariates:
        if is_factor(cases[name]) or cases[name].nunique() < 3:
            continue
        # A square of the predictor is a covariate like any other; what orders the rows as the outcome does has leaked.
        other = cases[spec.outcome]
        if other.nunique() > 2 and abs(cases[name].rank().corr(other.rank())) > 1 - 1e-12:
            what = f"orders the rows exactly as the outcome {other.name} does: the same quantity in another form"
            add(what, "take it out of the covariates", name)
    return problems


def _constant(column: pd.Series) -> bool:
    """Whether a column without missing values has one value."""
    values = column.to_numpy()
    return bool((values == values[0]).all())


def _arm_problems(cases: pd.DataFrame, spec: Spec, source: str) -> list[Problem]:
    column = cases[spec.moderator]
    if not (is_factor(column) or column.nunique() == 2):
        if spec.reference is not None:
            remedy = "leave the reference out"
            return [Problem(source, "is continuous and has no reference arm", remedy, column=spec.moderator)]
        return []
    problems = []
    levels = factor_levels(column)
    if spec.reference is not None and not any(_same(v, spec.reference) for v in levels):
        remedy = f"use one of {', '.join(map(label, levels))}"
        problems.append(Problem(source, "is the reference, but no row has it", remedy, column=spec.moderator,
                                value=spec.reference))  # fmt: skip
    arm = column.to_numpy()
    for level in levels:
        here = arm == level
        if (count := int(here.sum())) < spec.minimum_per_arm:
            what = f"has {count} complete rows, fewer than the {spec.minimum_per_arm} an arm needs"
            remedy = "leave the arm out or pool it; see the table of rows used"
            problems.append(Problem(source, what, remedy, column=spec.moderator, value=level))
            continue
        if spec.cluster is not None and cases[spec.cluster][here].nunique() == 1:
            # The scores of an arm's own terms add up to 0 over the arm, so over its only cluster.
            what = f"has one cluster in {spec.moderator} {level}, so that a slope there has no error between clusters"
            remedy = "name a column with more clusters, or take the cluster out and say what that assumes"
            problems.append(Problem(source, what, remedy, column=spec.cluster))
        for role, name in (("predictor", spec.predictor), ("outcome", spec.outcome)):
            values = cases[name].to_numpy()[here]
            if (values == values[0]).all():
                what = f"is constant in {spec.moderator} {level}, so " + (
                    "it has no slope there" if role == "predictor" else "a slope there has no error"
                )
                problems.append(Problem(source, what, f"choose another {role} or population", column=name))
    return problems


def matrix_problems(X: NDArray[np.float64], terms: Sequence[str], source: str = "data") -> list[Problem]:
    """Return the problems of a design matrix: as many terms as rows, or columns that determine each other."""
    n, k = X.shape
    if n <= k:
        what = f"{n} complete rows cannot carry {k} terms"
        return [Problem(source, what, "use fewer covariates or more rows")]
    scaled = X / np.linalg.norm(X, axis=0)
    bad = _dependent(scaled, terms, 1e-10)
    what = "follows exactly from the other terms of the model"
    if not bad:
        # Around their means: what is left of a column beyond the others is below the precision of any measurement.
        centred = X[:, 1:] - X[:, 1:].mean(axis=0)
        bad = _dependent(centred / np.linalg.norm(centred, axis=0), terms[1:], NEARLY)
        what = "is nearly the same as other terms of the model together"
    return [Problem(source, what, "take it out", column=name) for name in sorted(bad)]


def _dependent(scaled: NDArray[np.float64], terms: Sequence[str], limit: float) -> list[str]:
    """Return the names of columns of which less than ``limit`` is left beyond those before them (pivoted QR)."""
    _, R, order = linalg.qr(scaled, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(R))
    return [terms[order[i]] for i in range(len(diagonal)) if diagonal[i] < limit * diagonal[0]]
