"""Columns and terms in words, as a reader of the page meets them."""

import re
from collections.abc import Mapping
from typing import Any

WORDS = {
    "log_cortisol": "log hair cortisol",
    "log_cortisol_slope": "change of log hair cortisol per month",
    "cortisol_pg_per_mg": "hair cortisol (pg/mg)",
    "saliva_auc_g": "area under saliva cortisol (ground)",
    "saliva_log_auc_g": "log area under saliva cortisol (ground)",
    "saliva_auc_i": "area under saliva cortisol (increase)",
    "saliva_awakening": "awakening response (area)",
    "saliva_rise": "awakening response (mean rise)",
    "arm": "arm",
}
# Names of sites, genes and authors within the name of an index.
SPELT = (
    (r"\bcpg (\d+) (\d+)\b", r"CpG \1–\2"),
    (r"\bcpg\b", "CpG"),
    (r"\bngfi a\b", "NGFI-A"),
    (r"\bnr3c1\b", "NR3C1"),
    (r"\bfkbp5\b", "FKBP5"),
    (r"\boberlander\b", "Oberlander"),
)
# Abbreviations that are written with capitals where they are a word of a column's name.
CAPITALS = {name.lower(): name for name in ("PTSD", "ACE", "ACEs", "BMI", "IQ", "SES", "DNA", "HPA", "ADHD")}
PARTNERS = ("child", "parent")
POPULATIONS = {"child": "children", "parent": "parents"}


def column_label(name: str) -> str:
    """Return a column of the analysis table in words: ``region_mean_beta`` is ``region mean methylation``."""
    if name in WORDS:
        return WORDS[name]
    for partner in PARTNERS:
        if name.startswith(f"{partner}_"):
            return f"{partner}’s {column_label(name.removeprefix(f'{partner}_'))}"
    for suffix, scale in (
        ("_beta", ""),
        ("_beta_baseline", " at baseline"),
        ("_beta_change", ", change"),
        ("_m", " (M value)"),
        ("_logit", " (logit)"),
    ):
        if name.endswith(suffix):
            return f"{index_label(name.removesuffix(suffix))} methylation{scale}"
    return " ".join(CAPITALS.get(word, word) for word in name.split("_"))


def index_label(name: str) -> str:
    """Return an index of methylation in words: ``cpg_1_4`` is ``CpG 1–4``, ``ngfi_a`` is ``NGFI-A``."""
    words = name.replace("_", " ")
    for pattern, spelt in SPELT:
        words = re.sub(pattern, spelt, words)
    return words


def term_label(term: str) -> str:
    """Return a model term in words: ``x:arm[treatment]`` is ``x × treatment``."""
    if term == "(Intercept)":
        return "Intercept"
    return " × ".join(_factor_label(part) for part in factors(term))


def level_label(level: str, column: str = "arm") -> str:
    """Return a level of a column in words: itself, or ``arm 1`` where it is a bare number."""
    return f"{column_label(column)} {level}" if re.fullmatch(r"-?[\d.]+", str(level)) else str(level)


def quantity_label(quantity: str, column: str = "arm") -> str:
    """Return a quantity in words: a contrast of arms, a term, or ``slope[a]`` (also a difference of such) of an arm.

    ``column`` is the moderator, whose levels stand in it.
    """
    if " - " in quantity:
        said = re.sub(r"slope\[(.*?)\]", lambda m: f"slope in {level_label(m[1], column)}", quantity)
        return contrast_label(said, column)
    if quantity.startswith("slope["):
        return f"slope in {level_label(quantity[6:-1], column)}"
    return term_label(quantity)


def population_label(name: str) -> str:
    """Return a population in words: ``child`` is ``children``."""
    return POPULATIONS.get(name, f"{name}s" if name else "participants")


def model_title(entry: Mapping[str, Any]) -> str:
    """Return what a model asks, as a title: outcome on predictor × moderator, its covariates and whose data."""
    title = (
        f"{column_label(entry['outcome'])} on {column_label(entry['predictor'])} × {column_label(entry['moderator'])}"
    )
    if entry.get("covariates"):
        title += ", with " + ", ".join(column_label(c) for c in entry["covariates"])
    title = title[0].upper() + title[1:]
    return f"{title} ({population_label(entry['population'])})" if entry.get("population") else title


def contrast_label(contrast: str, column: str = "arm") -> str:
    """Return a contrast in words, with a true minus sign and in one piece: ``a - b`` is ``a − b``.

    ``column`` is what the two are levels of: ``2 - 1`` is ``arm 2 − arm 1``.
    """
    for start in ("per unit of ", "slope of ", "slope on "):
        if contrast.startswith(start):
            return start + column_label(contrast.removeprefix(start))
    return "\u00a0−\u00a0".join(level_label(part, column) for part in contrast.split(" - "))


def factors(term: str) -> list[str]:
    """Return the factors of a model term: a colon joins them; one inside brackets belongs to a level's name."""
    return re.split(r":(?![^\[]*\])", term)


def _factor_label(part: str) -> str:
    match = re.fullmatch(r"([^\[]+)\[(.*)\]", part)
    if match is None:
        return column_label(part)
    column, level = match.groups()
    return level_label(level) if column == "arm" else f"{column_label(column)}: {level}"
