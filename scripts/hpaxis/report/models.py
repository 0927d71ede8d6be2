"""A model's tables as the page needs them: which numbers answer the question, and how they are worded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy import stats

from hpaxis.labels import column_label, contrast_label, level_label, population_label
from hpaxis.report.numbers import count, digits_for, fixed, interval, p_phrase, significant, words

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.report.privacy import Cells

COMPLETE = "complete cases"
STATISTICS = ["estimate", "se", "t", "df", "p", "low", "high"]


@dataclass(frozen=True)
class ModelResult:
    """One model of the config with its ``entry`` and ``tables`` (name to data frame), or why it was refused.

    ``figures`` maps the figure's name to SVG text. ``problems`` holds the lines of a refusal; then there are no tables.
    """

    name: str
    entry: dict
    tables: dict
    figures: dict
    problems: tuple = ()

    @property
    def refused(self) -> bool:
        """Whether there is nothing fitted to show."""
        return bool(self.problems)

    def fit(self, statistic: str, column: str = "value") -> float:
        """Return one number of fit.tsv, NaN where the model has no such statistic."""
        rows = self.tables["fit"]
        rows = rows.loc[rows["statistic"] == statistic, column]
        return float(rows.iloc[0]) if len(rows) else float("nan")

    @property
    def standing(self) -> tuple[str, str]:
        """(status, reason) of the model against the plan lock: confirmatory, exploratory or masked."""
        plan = self.tables.get("plan")
        if plan is None or plan.empty:
            return "exploratory", "the study has no plan lock"
        return plan["status"].iloc[0], plan["reason"].iloc[0]

    @property
    def counts(self) -> dict[str, int]:
        """Complete cases by arm (empty for a continuous moderator), in the order of the fit."""
        rows = self.tables["fit"]
        rows = rows[rows["statistic"].str.startswith("n[")]
        return {s[2:-1]: int(v) for s, v in zip(rows["statistic"], rows["value"], strict=True)}

    @property
    def confidence(self) -> str:
        """Level of the intervals in percent, as text."""
        if "region" in self.tables:
            alpha = float(self.tables["region"]["alpha"].iloc[0])
        else:  # withheld: by how many standard errors an interval reaches to either side
            row = self.tables["slopes"].iloc[0]
            alpha = 2 * stats.t.sf((row["high"] - row["low"]) / 2 / row["se"], row["df"])
        return f"{100 * (1 - alpha):.6g}%"

    @property
    def covariance(self) -> str:
        """Name of the covariance that all of the model's own numbers come from."""
        return self.tables["slopes"]["covariance"].iloc[0]

    @property
    def errors(self) -> str:
        """Name of what the errors of the reported numbers come from: the treatment's own, else `covariance`."""
        if self.reported is None:
            return self.covariance
        pooled = " pooled by Rubin’s rules" if "imputation" in self.method else ""
        return f"{self.reported['covariance']}{pooled}"

    @property
    def reported(self) -> pd.Series | None:
        """The row of sensitivity.tsv that names the treatment of the data to report; None for complete cases.

        Where cortisol is censored, that treatment is not the fit of complete cases.
        """
        rows = self.tables["sensitivity"]
        rows = rows[(rows["role"] == "primary") & (rows["method"] != COMPLETE)]
        return None if rows.empty else rows.iloc[0]

    @property
    def method(self) -> str:
        """Name of the treatment of the data whose numbers are reported."""
        return COMPLETE if self.reported is None else self.reported["method"]

    @property
    def n(self) -> int:
        """Rows behind the reported numbers."""
        return int(self.fit("n") if self.reported is None else self.reported["n"])

    @property
    def differences(self) -> pd.DataFrame:
        """Differences of slopes as reported: what b3 is, one row per pair of arms or one per unit of the moderator.

        Under another treatment than complete cases, the pairs with the reference arm, which the product terms are.
        """
        table = self.tables["slope_differences"]
        if self.reported is None:
            return table
        terms = self.tables["sensitivity"]
        terms = terms[(terms["method"] == self.method) & ~terms["quantity"].str.startswith("slope[")]
        return table.iloc[: len(terms)].drop(columns="p_holm").assign(**{c: terms[c].to_numpy() for c in STATISTICS})

    @property
    def slopes(self) -> pd.DataFrame:
        """Slopes in each arm, or at moderator values, as reported."""
        table = self.tables["slopes"]
        if self.reported is None:
            return table
        rows = self.tables["sensitivity"]
        rows = rows[(rows["method"] == self.method) & rows["quantity"].str.startswith("slope[")]
        # How many of each arm stand behind it is not known from the table of treatments.
        return table.assign(n=float("nan"), **{c: rows[c].to_numpy() for c in STATISTICS})

    @property
    def region(self) -> pd.DataFrame:
        """Regions of significance as reported."""
        if self.reported is None:
            return self.tables["region"]
        regions = self.tables["sensitivity_region"]
        return regions[regions["method"] == self.method]

    @property
    def unit(self) -> str:
        """Unit of a slope in words."""
        standardised = self.entry["standardise"]
        up = "SD" if "outcome" in standardised else "units"
        across = "SD" if "predictor" in standardised else "unit"
        return f"{up} of {column_label(self.entry['outcome'])} per {across} of {column_label(self.entry['predictor'])}"

    def raw(self, value: float) -> float | None:
        """Return a slope or difference of slopes in raw units: of the outcome, per percentage point of methylation.

        ``value`` is on the model's scale. None where the predictor is not a share of methylation on its own scale, or
        where the moderator is continuous and in SD. With the SDs of fit.tsv, from which the model standardised.
        """
        entry = self.entry
        if not entry["predictor"].endswith("_beta") or entry["scale"] != "beta":
            return None
        if not self.counts and "moderator" in entry["standardise"]:
            return None
        sds = {role: self.fit(f"sd[{entry[role]}]") for role in ("outcome", "predictor")}
        up = sds["outcome"] if "outcome" in entry["standardise"] else 1.0
        across = sds["predictor"] if "predictor" in entry["standardise"] else 1.0
        raw = value * up / (100 * across)
        return None if raw != raw else raw

    @property
    def raw_unit(self) -> str:
        """Unit of `raw` in words."""
        outcome = self.entry["outcome"]
        points = "points" if outcome not in ("log_cortisol",) else "log units"
        return f"{points} of {column_label(outcome)} per percentage point of {column_label(self.entry['predictor'])}"

    def on_predictor(self, value: float) -> str:
        """Return a place on the predictor's axis in words: in SD from the mean, and in percent where it is a share."""
        scale = self.entry["predictor"]
        standardised = "predictor" in self.entry["standardise"]
        text = significant(value) + (" SD" if standardised else "")
        if scale.endswith("_beta") and self.entry["scale"] == "beta":
            mean, sd = (self.fit(f"{k}[{scale}]") for k in ("mean", "sd"))
            share = mean + value * sd if standardised else value
            if share == share:
                return f"{text} ({fixed(100 * share)}%)" if standardised else f"{fixed(100 * share)}%"
        return text

    def verdict_of(self, contrast: str) -> dict[str, Any]:
        """The row of verdict.tsv of one contrast as a mapping; empty where the model has none."""
        table = self.tables.get("verdict")
        rows = table[table["contrast"] == contrast] if table is not None and len(table) else None
        return {} if rows is None or rows.empty else rows.iloc[0].to_dict()

    def own_coefficients(self) -> pd.DataFrame:
        """Return the coefficients under the model's covariance, with OLS errors beside where that differs."""
        table = self.tables["coefficients"]
        own = table[table["covariance"] == self.covariance]
        classical = table[table["covariance"] == "OLS"].set_index("term")
        if self.covariance == "OLS" or classical.empty:
            return own.assign(se_ols=float("nan"), p_ols=float("nan"))
        return own.assign(se_ols=own["term"].map(classical["se"]), p_ols=own["term"].map(classical["p"]))

    def left_out(self) -> dict[str, int]:
        """Return reason to number of the population's rows that are not among the complete cases."""
        used = self.tables["used"]
        reasons = used.loc[~used["included"].astype(bool), "reason"]
        return {str(k): int(v) for k, v in reasons.value_counts(sort=False).sort_index().items()}

    def who(self) -> str:
        """Return who is in the model: ``41 children (20 control, 21 treatment)``."""
        arms = self._groups()
        text = f"{count(self.n)} {population_label(self.entry['population'])}"
        if self.n != self.fit("n"):
            return f"{text} ({self.method})"
        return f"{text} ({arms})" if arms else text

    def who_complete(self) -> str:
        """Return who is among the complete cases, whatever treatment is reported."""
        arms = self._groups()
        text = f"{count(self.fit('n'))} {population_label(self.entry['population'])}"
        return f"{text} ({arms})" if arms else text

    def _groups(self) -> str:
        """People in each group of the moderator; groups named by bare numbers are named with their column."""
        column = self.entry["moderator"].replace("_", " ")
        bare = any(str(arm).strip("-.0123456789") == "" for arm in self.counts)
        said = f"with {column} " if bare else ""
        return words(f"{count(n)} {said}{arm}" for arm, n in self.counts.items())

    def level(self, name: str) -> str:
        """A level of the moderator as people read it: ``arm 1`` for a bare number."""
        return level_label(name, self.entry["moderator"])

    def contrast(self, name: str) -> str:
        """A contrast of levels of the moderator as people read it."""
        return contrast_label(name, self.entry["moderator"])

    def hides_complete(self, cells: Cells) -> bool:
        """Whether the n of complete cases, beside the n reported, would show that few people have a censored value."""
        return self.reported is not None and cells.small(abs(self.n - self.fit("n")))

    @property
    def title(self) -> str:
        """What a reader meets the model as: its title, else its name in words."""
        return self.entry["title"] or self.name.replace("_", " ")


def in_order(results: Sequence[ModelResult]) -> list[ModelResult]:
    """Return the models with the primary first, the others as the config has them."""
    return sorted(results, key=lambda r: not r.entry["primary"])


def excludes_zero(row: pd.Series) -> bool:
    """Whether the interval of an estimate leaves zero out."""
    return bool(row["low"] > 0 or row["high"] < 0)


def statistics(row: pd.Series, confidence: str) -> str:
    """Return ``0.70, 95% CI [0.16, 1.24], t(36.0) = 2.61, p = .013`` for a row of estimates."""
    digits = digits_for(row["se"])
    df = fixed(row["df"], 0 if float(row["df"]).is_integer() else 1)
    return (
        f"{fixed(row['estimate'], digits)}, {confidence} CI {interval(row['low'], row['high'], digits)}, "
        f"t({df}) = {fixed(row['t'])}, p {p_phrase(row['p'])}"
    )


def plain_sentence(result: ModelResult, row: pd.Series) -> str:
    """Return one difference of slopes in plain words, with its interval and what it means."""
    outcome, predictor = column_label(result.entry["outcome"]), column_label(result.entry["predictor"])
    standardised = result.entry["standardise"]
    one = "SD of" if "predictor" in standardised else "unit of"
    unit = " SD" if "outcome" in standardised else ""
    digits = digits_for(row["se"])
    if result.counts:
        arm, reference = map(result.level, pair_of(result, row["contrast"]))
        where = f"in {arm} than in {reference}"
    else:
        where = f"for each further unit of {column_label(result.entry['moderator'])}"
    higher = "higher" if row["estimate"] > 0 else "lower"
    change = f"the change in {outcome} per {one} {predictor}"
    size = f"{fixed(abs(row['estimate']), digits)}{unit} {higher} {where}"
    ends = f"{result.confidence} CI of this difference from {fixed(row['low'], digits)} to {fixed(row['high'], digits)}"
    if excludes_zero(row):
        return f"{change} is {size} ({ends}, without zero)"
    differs = "differs between the arms" if result.counts else f"varies with {column_label(result.entry['moderator'])}"
    return f"these data do not show that {change} {differs}: it is estimated to be {size} ({ends}, zero included)"


def difference_sentence(result: ModelResult, row: pd.Series) -> str:
    """Return what one difference of slopes says, with its interval, in plain words."""
    outcome, predictor = column_label(result.entry["outcome"]), column_label(result.entry["predictor"])
    numbers = f"b₃ = {statistics(row, result.confidence)}, two-sided, {result.errors}"
    shown = "" if excludes_zero(row) else "; the interval includes zero, so that a difference is not shown"
    if not result.counts:
        moderator = column_label(result.entry["moderator"])
        return f"the slope of {outcome} on {predictor} changes with {moderator} ({numbers}){shown}"
    arm, reference = map(result.level, pair_of(result, row["contrast"]))
    where = "higher" if row["estimate"] > 0 else "lower"
    return (
        f"the slope of {outcome} on {predictor} is estimated {where} in {arm} than in {reference} ({numbers}, in "
        f"{result.unit}){shown}"
    )


def pair_of(result: ModelResult, contrast: str) -> tuple[str, str]:
    """Return (arm, reference) of a contrast ``a - b``; names of arms may hold dashes themselves."""
    arms = [str(a) for a in result.slopes["moderator"]]
    return next((a, b) for a in arms for b in arms if f"{a} - {b}" == contrast)


def slope_of(result: ModelResult, arm: str) -> pd.Series:
    """Return the row of the slope in one arm."""
    slopes = result.slopes
    return slopes[slopes["moderator"].astype(str) == arm].iloc[0]


def shape_sentence(result: ModelResult, row: pd.Series) -> str:
    """Return what the intervals show of the form of a difference: buffered, weaker, reversed, or nothing of it.

    The verdict is the model's own (verdict.tsv); without that table no form is claimed.
    """
    arm, reference = pair_of(result, row["contrast"])
    here, there = slope_of(result, arm), slope_of(result, reference)
    arm, reference = result.level(arm), result.level(reference)
    slopes = (
        f"The slope is {fixed(there['estimate'], digits_for(there['se']))} "
        f"{interval(there['low'], there['high'], digits_for(there['se']))} in {reference} and "
        f"{fixed(here['estimate'], digits_for(here['se']))} "
        f"{interval(here['low'], here['high'], digits_for(here['se']))} in {arm}"
    )
    digits = digits_for(here["se"])
    most = fixed(max(abs(here["low"]), abs(here["high"])), digits)
    margin = result.verdict_of(row["contrast"]).get("margin")
    within = "" if margin is None or margin != margin else f" ±{fixed(margin, digits)}"
    shown = {
        "buffered": f"the slope of {reference} is shown, and that of {arm} is shown to lie within{within}: buffered",
        "weaker with treatment": f"the slope is shown to be weaker in {arm}, as buffering would make it; slopes up to "
        f"{most} in size remain compatible with it there",
        "stronger with treatment": f"the slope is shown to be steeper in {arm}, the opposite of buffering",
        "reversed": f"in {arm} the slope is shown to point the other way, which is more than buffering it",
        "alike within the margin": f"the two slopes are shown to differ by less than{within}",
    }
    open_form = f"which form the difference takes is not shown: in {arm} slopes up to {most} in size remain compatible"
    return f"{slopes}: {shown.get(result.verdict_of(row['contrast']).get('verdict'), open_form)}."
