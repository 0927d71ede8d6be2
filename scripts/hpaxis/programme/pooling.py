"""One question over several studies: what can be pooled, the pooled slope difference, and how far studies differ.

Random effects by Paule & Mandel (1982) with the interval of Hartung & Knapp (2001) and Sidik & Jonkman (2002);
prediction interval with k - 1 degrees of freedom (IntHout, Ioannidis, Rovers & Goeman, 2016). A study enters by its
summaries (moderation/{model}/summary.tsv), which hold no person.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import linalg, optimize, stats

from hpaxis.moderation.covariance import covariance
from hpaxis.moderation.design import Spec, build_design
from hpaxis.moderation.linear import STATISTICS, contrast_table, least_squares
from hpaxis.problems import InputError, Problem, raise_if_any

# What must agree before numbers are pooled, and what may differ but is said.
MUST_AGREE = ("quantity", "outcome", "predictor", "scale", "panel", "timepoint", "population", "standardise")
MAY_DIFFER = ("covariates", "covariance", "assay", "design", "outcome_sd", "predictor_sd", "plan")
COLUMNS = [
    "quantity", "study", "design", "estimate", "se", "low", "high", "weight", "n", "df", "p", "tau2", "i2", "q",
    "q_p", "prediction_low", "prediction_high", "note",
]  # fmt: skip
ONE_STAGE = ["study", "quantity", *STATISTICS, "n", "covariance"]


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


def one_stage(tables: Mapping[str, pd.DataFrame], spec: Spec, kind: str = "HC3") -> pd.DataFrame:
    """Return the slope differences of one model over the rows of all studies, and of each study by itself.

    ``tables``: study name to its rows, one a person; only where rows may be together. Every study keeps its own level,
    slope, arm effects, covariates and, where the spec standardises, scale: only the product terms are common, so that
    differences between studies cannot pass for moderation (Riley, Lambert & Abo-Zaid, 2010; Fisher and others, 2011).
    Errors: covariance ``kind`` of all rows, clusters within their study. Columns: ONE_STAGE; study "all" is the common
    value, "equal in all" the Wald F that studies do not differ in it, with k - 1 degrees of freedom.

    Raises `InputError` with the problems of every study's rows, and where arms are not the same.
    """
    if len(tables) < 2:
        raise InputError(Problem("studies", "is one study", "name at least two", value=", ".join(tables)))
    designs, problems = {}, []
    for name, table in tables.items():
        try:
            designs[name] = build_design(table, spec, name)
        except InputError as error:
            problems += error.problems
    raise_if_any(problems)
    first = next(iter(designs.values()))
    raise_if_any([
        Problem(name, f"has {', '.join(d.interaction_terms)}, but {next(iter(designs))} has "
                f"{', '.join(first.interaction_terms)}", "name the same arms and reference", column=spec.moderator)
        for name, d in designs.items() if d.interaction_terms != first.interaction_terms
    ])  # fmt: skip
    # The same terms in every study, so the products stand in the same columns; covariates may differ in levels.
    matrices, outcomes = zip(*(d.weighted for d in designs.values()), strict=True)
    at = [d.interactions for d in designs.values()]
    own = linalg.block_diag(*(np.delete(X, k, axis=1) for X, k in zip(matrices, at, strict=True)))
    products = [X[:, k] for X, k in zip(matrices, at, strict=True)]
    y = np.concatenate(outcomes)
    labels = np.concatenate([[f"{name} {i}" for i in d.data.index] for name, d in designs.items()])
    clusters = None
    if spec.cluster is not None:
        clusters = np.concatenate([[f"{name} {c}" for c in d.data[spec.cluster]] for name, d in designs.items()])
    q, parts = len(first.interactions), []
    for how, block in (("all", np.vstack(products)), ("own", linalg.block_diag(*products))):
        X = np.column_stack([own, block])
        beta, residuals = least_squares(X, y)
        cov = covariance(kind, X, residuals, clusters, labels, "one stage")
        C = np.eye(X.shape[1])[own.shape[1] :]
        table = contrast_table(beta, cov, C, spec.alpha)
        studies = ["all"] if how == "all" else list(designs)
        sizes = [len(y)] if how == "all" else [d.n for d in designs.values()]
        names = [(s, term, n) for s, n in zip(studies, sizes, strict=True) for term in first.interaction_terms]
        parts.append(pd.concat([pd.DataFrame(names, columns=["study", "quantity", "n"]), table], axis=1))
    for k, term in enumerate(first.interaction_terms):
        D = np.array([C[q * i + k] - C[k] for i in range(1, len(designs))])
        F = D @ beta @ np.linalg.solve(D @ cov.matrix @ D.T, D @ beta) / len(D)
        df = float(cov.df_residual if cov.clusters is None else cov.clusters - 1)
        parts.append(pd.DataFrame([{"study": "equal in all", "quantity": term, "n": len(y), "t": F, "df": df,
                                    "p": stats.f.sf(F, len(D), df)}]))  # fmt: skip
    return pd.concat(parts, ignore_index=True).assign(covariance=kind)[ONE_STAGE]


def one_stage_files(
    studies: Mapping[str, str], out: Path, population: str = "child", kind: str = "HC3", **model: object
) -> list[str]:
    """Fit `one_stage` to the tables of ``studies`` (name to path) and write one_stage.tsv to ``out``; returns lines.

    ``population``: the rows whose ``role`` it is, where a table has that column (cohort/analysis.tsv has); "all" keeps
    every row. ``model``: the fields of `hpaxis.moderation.Spec`.
    """
    from hpaxis.tables import read_given, write_table

    spec = Spec(**model)
    tables = {name: read_given(path, text=[spec.cluster] if spec.cluster else []) for name, path in studies.items()}
    if population != "all":
        tables = {name: t[t["role"] == population] if "role" in t else t for name, t in tables.items()}
    table = one_stage(tables, spec, kind)
    write_table(table, out / "one_stage.tsv")
    return [table.to_string(index=False), f"table in {out}"]


def _said(value: float | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _incompatible(summaries: Mapping[str, pd.DataFrame]) -> list[Problem]:
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


def _differences(summaries: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
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
