"""One question over several studies: what can be pooled, the pooled slope difference, and how far studies differ.

Random effects by Paule & Mandel (1982) with the interval of Hartung & Knapp (2001) and Sidik & Jonkman (2002);
prediction interval with k - 1 degrees of freedom (IntHout, Ioannidis, Rovers & Goeman,
2016). A study enters by its
summaries (moderation/{model}/summary.tsv), which hold no person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, stats

from hpaxis.problems import InputError, Problem, raise_if_any

# What must agree before numbers are pooled, and what may differ but is said.
MUST_AGREE = (
    "quantity",
    "outcome",
    "predictor",
    "scale",
    "panel",
    "timepoint",
    "population",
    "standardise",
)
MAY_DIFFER = ("covariates", "covariance", "assay", "design", "outcome_sd", "predictor_sd", "plan")
COLUMNS = [
    "quantity", "study", "design", "estimate", "se", "low", "high", "weight", "n", "df", "p", "tau2", "i2", "q",
    "q_p", "prediction_low", "prediction_high", "note",
]  # fmt: skip


def pool_studies(
    summaries: Mapping[str, pd.DataFrame], alpha: float = 0.05, across_designs: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ``(pooled, differences)``: studies and their random-effects summary, and what the studies do not share.

    ``summaries``: study name to its summary (one row per quantity: b3 of each contrast and the arms' slopes; columns
    as workflow/schemas/moderation_summary.schema.yaml). A summary row has study ``pooled``; studies of different
    designs (randomised, pre-post, cohort) are pooled only with ``across_designs``, else per design.

    Raises `InputError` with everything that keeps two studies apart, one line each.
    """
    table = pd.concat([t.assign(study=name) for name, t in summaries.items()], ignore_index=True)
    problems = _incompatible(summaries)
    if len(summaries) < 2:
        problems.append(Problem("programme", "has one study", "name at least two", value=", ".join(summaries)))
    if problems:
        raise InputError(problems)
    parts = []
    for quantity in table["quantity"].drop_duplicates():
        rows = table[table["quantity"] == quantity]
        groups = [("all designs", rows)] if across_designs else list(rows.groupby("design", sort=True))
        for design, group in groups:
            parts.append(_pooled(quantity, str(design), group, alpha))
    return pd.concat(parts, ignore_index=True)[COLUMNS], _differences(summaries)


def _pooled(quantity: str, design: str, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
    rows = rows.sort_values("study")
    estimate, se = rows["estimate"].to_numpy(float), rows["se"].to_numpy(float)
    half = stats.t.isf(alpha / 2, rows["df"].to_numpy(float)) * se
    each = pd.DataFrame({
        "quantity": quantity, "study": rows["study"].to_numpy(), "design": rows["design"].to_numpy(),
        "estimate": estimate, "se": se, "low": estimate - half, "high": estimate + half, "n": rows["n"].to_numpy(),
        "df": rows["df"].to_numpy(float), "p": rows["p"].to_numpy(float), "note": "",
    })  # fmt: skip
    if len(rows) < 2:
        return each.assign(note=f"the only study of design {design}: nothing is pooled").reindex(columns=COLUMNS)
    summary, weights = random_effects(estimate, se, alpha)
    each["weight"] = weights
    total = pd.DataFrame([{"quantity": quantity, "study": "pooled", "design": design, "n": rows["n"].sum(), **summary}])
    return pd.concat([each.reindex(columns=COLUMNS), total.reindex(columns=COLUMNS)], ignore_index=True)


def random_effects(estimate: Sequence, se: Sequence, alpha: float = 0.05) -> tuple[dict, np.ndarray]:
    """Return ``(summary, weights)`` of k >= 2 estimates: Paule-Mandel tau2, Hartung-Knapp error on k - 1 df.

    ``weights`` (k,) add to 1. The Hartung-Knapp error is not truncated; where it is smaller than the fixed-effect
    error, which chance does with few studies, the note says so and gives the larger interval.
    """
    y, v = np.asarray(estimate, float), np.asarray(se, float) ** 2
    k = len(y)
    tau2 = _paule_mandel(y, v)
    w = 1 / (v + tau2)
    mean = (w * y).sum() / w.sum()
    hk = np.sqrt((w * (y - mean) ** 2).sum() / (k - 1) / w.sum())
    plain = np.sqrt(1 / w.sum())
    t = stats.t.isf(alpha / 2, k - 1)
    fixed = 1 / v
    q = (fixed * (y - (fixed * y).sum() / fixed.sum()) ** 2).sum()
    spread = t * np.sqrt(tau2 + hk**2)
    note = f"{k} studies: the heterogeneity is hardly known" if k < 5 else ""
    if hk < plain:
        z = stats.norm.isf(alpha / 2) * plain
        plainly = f"[{mean - z:.3g}, {mean + z:.3g}]"
        note += f"; the studies agree more closely than their errors suggest: without Hartung-Knapp {plainly}"
    return {
        "estimate": mean, "se": hk, "low": mean - t * hk, "high": mean + t * hk, "df": k - 1,
        "p": 2 * stats.t.sf(abs(mean / hk), k - 1), "weight": 1.0, "tau2": tau2,
        "i2": max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0, "q": q, "q_p": stats.chi2.sf(q, k - 1),
        "prediction_low": mean - spread if k > 2 else np.nan,
        "prediction_high": mean + spread if k > 2 else np.nan, "note": note.removeprefix("; "),
    }, w / w.sum()  # fmt: skip


def _paule_mandel(y: np.ndarray, v: np.ndarray) -> float:
    """The variance between studies at which Cochran's Q equals k - 1, or 0 where it is smaller without any.

    By bracketed search: statsmodels' iteration stops at 0 as soon as one step overshoots the root.
    """

    def excess(tau2: float) -> float:
        w = 1 / (v + tau2)
        return float((w * (y - (w * y).sum() / w.sum()) ** 2).sum() - (len(y) - 1))

    if excess(0.0) <= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, len(y) * np.ptp(y) ** 2, xtol=1e-14))


def one_stage(tables: Mapping[str, pd.DataFrame], spec, covariance: str = "HC3"):
    """Return the coefficients of one model over the rows of all studies, each with its own level.

    ``tables``: study name to its rows, as `hpaxis.moderation.entries.model_rows` gives them; only where rows may be
    together. The study enters as a covariate (fixed effects); the slope difference is taken as common.
    """
    from hpaxis.moderation.model import fit_spec

    rows = pd.concat([t.assign(study=name) for name, t in tables.items()])
    rows.index = pd.Index([f"{s}:{i}" for s, i in zip(rows["study"], rows.index, strict=True)], name="row")
    return fit_spec(rows, replace(spec, covariates=(*spec.covariates, "study")), covariance).coefficients


def _said(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _incompatible(summaries):
    problems, first = [], next(iter(summaries))
    known = summaries[first]
    for name, table in summaries.items():
        if table.empty:
            problems.append(Problem(name, "holds no estimate", "the model was refused there: see its refused.tsv"))
            continue
        for key in MUST_AGREE:
            here, there = (sorted(set(t[key].astype(str))) for t in (table, known))
            if here != there:
                what = f"has {key} {', '.join(here)}, but {first} has {', '.join(there)}"
                problems.append(Problem(name, what, "pool only what measures the same", column=key))
    return problems


def _differences(summaries):
    rows = []
    for key in MAY_DIFFER:
        values = {name: "; ".join(sorted({_said(v) for v in table[key]})) for name, table in summaries.items()}
        if len(set(values.values())) > 1:
            rows += [(key, name, value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["differs_in", "study", "value"])


def read_summary(path: str | Path) -> pd.DataFrame:
    """Read a study's summary.tsv, or raise `InputError`: not readable, or not a summary."""
    from hpaxis.schemas import load
    from hpaxis.tables import read_table

    wanted = list(load("moderation_summary.schema")["properties"])
    try:
        table = read_table(path)
    except (OSError, UnicodeDecodeError, ValueError):
        raise InputError(
            Problem(str(path), "cannot be read", "give a study's moderation/{model}/summary.tsv")
        ) from None
    missing = [c for c in wanted if c not in table]
    if missing:
        what = f"is not a summary: it lacks {', '.join(missing[:4])}"
        raise InputError(Problem(str(path), what, "give a study's moderation/{model}/summary.tsv"))
    return table


def pool_files(studies: Mapping[str, str], out: Path, alpha: float = 0.05, across_designs: bool = False) -> list[str]:
    """Pool the summaries of ``studies`` (name to path) into ``out``: pooled.tsv, differences.tsv, forest.svg.

    Returns lines that say what was found. Raises `InputError` with every problem of files and studies.
    """
    from hpaxis.figures import save
    from hpaxis.programme.figures import plot_forest
    from hpaxis.tables import write_table

    summaries, problems = {}, []
    for name, path in studies.items():
        try:
            summaries[name] = read_summary(path)
        except InputError as error:
            problems += error.problems
    raise_if_any(problems)
    pooled, differences = pool_studies(summaries, alpha, across_designs)
    write_table(pooled, out / "pooled.tsv")
    write_table(differences, out / "differences.tsv")
    save(plot_forest(pooled), out / "forest.svg")
    lines = [
        f"{row.quantity} ({row.design}): {row.estimate:.3g} [{row.low:.3g}, {row.high:.3g}], p {row.p:.3g}"
        for row in pooled[pooled["study"] == "pooled"].itertuples()
    ]
    unlike = differences["differs_in"].drop_duplicates()
    return [*lines, *([f"the studies differ in {', '.join(unlike)}"] if len(unlike) else []), f"tables in {out}"]
