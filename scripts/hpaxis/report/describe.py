"""Who was in the study, in numbers that may be shown: Table 1, correlations, and what is missing.

What few people share is withheld here already (`hpaxis.report.privacy.Cells`), so that the tables can be published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpaxis.labels import column_label
from hpaxis.quantiles import normal_quantile
from hpaxis.report.privacy import WITHHELD, Cells, shown_flow

if TYPE_CHECKING:
    from hpaxis.report.models import ModelResult
    from hpaxis.settings import Config

TABLE1 = ["population", "arm", "measure", "level", "n", "withheld", "mean", "sd", "q25", "median", "q75", "share"]
CORRELATIONS = ["population", "first", "second", "n", "withheld", "r", "low", "high"]
ARM_DIFFERENCES = ["population", "measure", "arm", "reference", "n", "n_reference", "withheld", "difference", "se",
                   "person_error", "difference_error", "smallest", "larger"]  # fmt: skip
MISSING_MAP = ["population", "pattern", "people", "withheld"]


def describe_study(
    config: Config, attrition: pd.DataFrame, analysis: pd.DataFrame, results: Sequence[ModelResult]
) -> dict[str, pd.DataFrame]:
    """Return every descriptive table by name: flow, table1, correlations, missing, received, analysed, arm_differences.

    ``config`` has its defaults filled, ``attrition`` and ``analysis`` are the cohort stage's tables, ``results`` the
    models (`hpaxis.report.models.ModelResult`).
    """
    cells, models, arms = Cells(config.report.smallest_cell), config.models, config.arms
    columns = config.cohort.columns
    return {
        "flow": shown_flow(attrition, cells.smallest),
        "table1": table_one(analysis, models, columns, arms, cells),
        "correlations": correlations(analysis, models, columns, cells),
        "missing": missing_map(analysis, models, cells),
        "received": received(analysis, models, arms, cells),
        "analysed": analysed(results),
        "arm_differences": arm_differences(analysis, arms, cells),
    }


def arm_differences(analysis: pd.DataFrame, arms: Sequence[str], cells: Cells, level: float = 0.95) -> pd.DataFrame:
    """Return how far arms differ in each methylation index, beside what the measurement itself is off by.

    One row per population, index (its baseline and change too, where there are two timepoints) and pair of arms; in
    percentage points. ``se`` is Welch’s, of people; ``person_error`` the root mean square of the standard errors of
    measurement; ``difference_error`` what the difference of the two means is off by for that alone, √(Σ se² / n²) over
    both arms; ``smallest`` the least difference beyond it at the level given; ``larger`` whether the arms differ by
    more. What all libraries share (curve, over-conversion) moves both means alike and is left out.
    """
    rows, z = [], normal_quantile((1 + level) / 2)
    measures = [
        c for c in analysis if f"{c}_se" in analysis and str(c).endswith(("_beta", "_beta_baseline", "_beta_change"))
    ]
    for population in dict.fromkeys(analysis["role"].dropna()):
        people = analysis[analysis["role"] == population]
        for measure in measures:
            known = people[people[[measure, f"{measure}_se"]].notna().all(axis=1)]
            groups = {arm: known[known["arm"] == arm] for arm in arms}
            for reference, arm in combinations(arms, 2):
                one, other = groups[arm], groups[reference]
                if min(len(one), len(other)) < 2:
                    continue
                hidden = any(cells.small(n) for n in (len(one), len(other)))
                totals = [int((people["arm"] == name).sum()) for name in (arm, reference)]
                n_shown = not any(cells.known(len(g), total) == WITHHELD for g, total in zip((one, other), totals))
                row = (population, measure, arm, reference)
                if hidden:
                    rows.append((*row, np.nan, np.nan, "yes", *(np.nan,) * 5, None))
                    continue
                values = [100 * g[measure].astype(float) for g in (one, other)]
                errors = [100 * g[f"{measure}_se"].astype(float) for g in (one, other)]
                difference = values[0].mean() - values[1].mean()
                se = np.sqrt(sum(v.var(ddof=1) / len(v) for v in values))
                own = np.sqrt(sum((e**2).sum() / len(e) ** 2 for e in errors))
                person = np.sqrt((pd.concat(errors) ** 2).mean())
                n = (len(one), len(other)) if n_shown else (np.nan, np.nan)
                rows.append((*row, *n, None, difference, se, person, own, z * own,
                             "yes" if abs(difference) > z * own else "no"))  # fmt: skip
    return pd.DataFrame(rows, columns=ARM_DIFFERENCES)


def model_columns(models: Mapping[str, dict[str, Any]], population: str) -> list[str]:
    """Return the columns of a population’s models, outcomes first, each once, in the order of the config.

    ``models`` maps names to the config's entries.
    """
    entries = sorted(
        (e for e in models.values() if e["population"] in (population, "all")), key=lambda e: not e["primary"]
    )
    found = [e["outcome"] for e in entries] + [e["predictor"] for e in entries]
    found += [e["moderator"] for e in entries if e["moderator"] != "arm"]
    found += [c for e in entries for c in e["covariates"]]
    found += [e[k] for e in entries for k in ("mediator", "dose", "received") if e.get(k)]
    return list(dict.fromkeys(found))


def table_one(
    analysis: pd.DataFrame,
    models: Mapping[str, dict[str, Any]],
    columns: Mapping[str, str],
    arms: Sequence[str],
    cells: Cells,
) -> pd.DataFrame:
    """Return Table 1: one row per population, arm, measure, and level of a category.

    ``analysis`` is cohort/analysis.tsv, ``columns`` the study’s own columns (name to kind, as the config has them).
    Methylation is in percent. No test compares the arms: they were randomised (CONSORT). A measure that few people
    have, or few lack, has no n; one of fewer than ``cells.smallest`` people has no numbers at all.
    """
    rows = []
    for population in dict.fromkeys(analysis["role"].dropna()):
        people = analysis[analysis["role"] == population]
        wanted = list(dict.fromkeys([*columns, *model_columns(models, population), "cortisol_pg_per_mg"]))
        for measure in (c for c in wanted if c in people and people[c].notna().any() and c != "arm"):
            kind = columns.get(measure, "number")
            for arm in arms:
                group = people[people["arm"] == arm]
                if kind == "number" and pd.api.types.is_numeric_dtype(group[measure]):
                    rows.append(_number(population, arm, measure, group[measure], cells))
                else:
                    rows += _category(population, arm, measure, people[measure], group[measure], cells)
    return pd.DataFrame(rows, columns=TABLE1)


def _number(population: str, arm: str, measure: str, values: pd.Series, cells: Cells) -> tuple[float | str | None, ...]:
    total, values = len(values), values.dropna().astype(float)
    if measure.endswith("_beta"):
        values = 100 * values
    n = len(values)
    hidden = cells.known(n, total) == WITHHELD
    shown = n > 0 and not cells.small(n)
    low, middle, high = values.quantile([0.25, 0.5, 0.75]) if shown else (np.nan,) * 3
    mean, sd = (values.mean(), values.std(ddof=1)) if shown else (np.nan, np.nan)
    return (population, arm, measure, None, np.nan if hidden else n, "yes" if hidden else None, mean, sd,
            low, middle, high, np.nan)  # fmt: skip


def _category(
    population: str, arm: str, measure: str, everybody: pd.Series, values: pd.Series, cells: Cells
) -> Iterator[tuple[Any, ...]]:
    levels = sorted(everybody.dropna().astype(str).unique())
    counts = [int((values.astype("object").astype(str) == level).sum()) for level in levels]
    total = len(values)
    hidden = any(cells.small(n) for n in [*counts, total - sum(counts)])
    for level, n in zip(levels, counts, strict=True):
        share = np.nan if hidden or not total else n / sum(counts) if sum(counts) else np.nan
        yield (
            population,
            arm,
            measure,
            level,
            np.nan if hidden else n,
            "yes" if hidden else None,
            *(np.nan,) * 5,
            share,
        )


def correlations(
    analysis: pd.DataFrame,
    models: Mapping[str, dict[str, Any]],
    columns: Mapping[str, str],
    cells: Cells,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return Pearson’s r of each pair of a population’s model columns and numeric columns, with its interval.

    Interval by Fisher’s z. The n of a pair is withheld where few people lack one of the two.
    """
    rows = []
    for population in dict.fromkeys(analysis["role"].dropna()):
        people = analysis[analysis["role"] == population]
        numeric = [c for c, kind in columns.items() if kind == "number"]
        wanted = list(dict.fromkeys([*model_columns(models, population), *numeric]))
        kept = [
            c for c in wanted if c in people and pd.api.types.is_numeric_dtype(people[c]) and people[c].nunique() > 2
        ]
        for i, first in enumerate(kept):
            for second in kept[i + 1 :]:
                pair = people[[first, second]].dropna().astype(float)
                n = len(pair)
                if n < max(4, cells.smallest) or (pair.std() == 0).any():
                    continue
                r = float(np.corrcoef(pair[first], pair[second])[0, 1])
                half = normal_quantile((1 + level) / 2) / np.sqrt(n - 3)
                low, high = np.tanh(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)) + np.array([-half, half]))
                hidden = cells.known(n, len(people)) == WITHHELD
                rows.append(
                    (population, first, second, np.nan if hidden else n, "yes" if hidden else None, r, low, high)
                )
    return pd.DataFrame(rows, columns=CORRELATIONS)


def missing_map(analysis: pd.DataFrame, models: Mapping[str, dict[str, Any]], cells: Cells) -> pd.DataFrame:
    """Return which of a population’s model columns are missing together, and for how many people.

    ``pattern`` names what is missing, ``complete`` where nothing is. With few people in any pattern, the counts of all
    patterns are withheld but for the complete ones, whose number the models report.
    """
    rows = []
    for population in dict.fromkeys(analysis["role"].dropna()):
        people = analysis[analysis["role"] == population]
        kept = [c for c in model_columns(models, population) if c in people]
        if not kept:
            continue
        # Censored cortisol is known to lie beyond a limit: not missing, and not a value either.
        gone = people[kept].isna()
        if "log_cortisol" in gone:
            beyond = people["cortisol_censored"].isin(["below", "above"])
            gone = gone.assign(log_cortisol=gone["log_cortisol"] & ~beyond)
        patterns = pd.Series(
            [", ".join(column_label(c) for c in gone.columns[row]) or "complete" for row in gone.to_numpy()]
        )
        counts = patterns.value_counts()
        hidden = any(cells.small(n) for n in counts)
        if hidden:
            counts = counts[counts.index == "complete"]
            whole = counts.get("complete", 0)
            rows.append((population, "complete", np.nan if cells.small(len(people) - whole) else whole,
                         "yes" if cells.small(len(people) - whole) else None))  # fmt: skip
            rows.append((population, "something is missing", np.nan, "yes"))
            continue
        rows += [(population, pattern, n, None) for pattern, n in counts.items()]
    return pd.DataFrame(rows, columns=MISSING_MAP)


def analysed(results: Sequence[ModelResult]) -> pd.DataFrame:
    """Return the n of each fitted model by arm: model, title, population, arm, treatment, n.

    ``results`` are `hpaxis.report.models.ModelResult`. ``arm`` is ``all`` where the reported treatment of the data has
    one n only, or the moderator is continuous.
    """
    rows = []
    for result in results:
        if result.refused:
            continue
        about = (result.name, result.title, result.entry["population"])
        if result.counts and result.reported is None:
            rows += [(*about, arm, result.method, n) for arm, n in result.counts.items()]
        else:
            rows.append((*about, "all", result.method, result.n))
    return pd.DataFrame(rows, columns=["model", "title", "population", "arm", "treatment", "n"])


def received(
    analysis: pd.DataFrame, models: Mapping[str, dict[str, Any]], arms: Sequence[str], cells: Cells
) -> pd.DataFrame:
    """Return how many received the intervention: population, arm, column, n, withheld; empty where no model says how.

    ``received`` of a model names the column (1 where it was taken); a column of the dose counts where it is above 0.
    """
    named = {}
    for entry in models.values():
        for key in ("received", "dose"):
            if entry.get(key):
                named.setdefault(entry["population"], (entry[key], key))
    rows = []
    for population, (column, _) in named.items():
        people = analysis[analysis["role"] == population]
        if column not in people:
            continue
        for arm in arms:
            group = people[people["arm"] == arm]
            n = int((group[column] > 0).sum())
            hidden = cells.known(n, len(group)) == WITHHELD
            rows.append((population, arm, column, np.nan if hidden else n, "yes" if hidden else None))
    return pd.DataFrame(rows, columns=["population", "arm", "column", "n", "withheld"])
