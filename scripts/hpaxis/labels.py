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
PARTNERS = ("child", "parent")
POPULATIONS = {"child": "children", "parent": "parents"}


def column_label(name: str) -> str:
    """Return a column of the analysis table in words: ``region_mean_beta`` is ``region mean methylation``."""
    if name in WORDS:
        return WORDS[name]
    for partner in PARTNERS:
        if name.startswith(f"{partner}_"):
            return f"{partner}’s {column_label(name.removeprefix(f'{partner}_'))}"
    for suffix, scale in (("_beta", ""), ("_m", " (M value)"), ("_logit", " (logit)")):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix).replace('_', ' ')} methylation{scale}"
    return name.replace("_", " ")


def term_label(term: str) -> str:
    """Return a model term in words: ``x:arm[treatment]`` is ``x × treatment``."""
    if term == "(Intercept)":
        return "Intercept"
    return " × ".join(_factor_label(part) for part in _parts(term))


def quantity_label(quantity: str) -> str:
    """Return a quantity in words: a contrast of arms, a term, or ``slope[a]`` (also a difference of such) of an arm."""
    if " - " in quantity:
        return contrast_label(re.sub(r"slope\[(.*?)\]", r"slope in \1", quantity))
    if quantity.startswith("slope["):
        return f"slope in {quantity[6:-1]}"
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


def contrast_label(contrast: str) -> str:
    """Return a contrast in words, with a true minus sign and in one piece: ``a - b`` is ``a − b``."""
    for start in ("per unit of ", "slope of ", "slope on "):
        if contrast.startswith(start):
            return start + column_label(contrast.removeprefix(start))
    return contrast.replace(" - ", "\u00a0−\u00a0")


def _parts(term: str) -> list[str]:
    # A colon joins the factors of a product; one inside brackets belongs to a level's name.
    return re.split(r":(?![^\[]*\])", term)


def _factor_label(part: str) -> str:
    match = re.fullmatch(r"([^\[]+)\[(.*)\]", part)
    if match is None:
        return column_label(part)
    column, level = match.groups()
    return level if column == "arm" else f"{column_label(column)}: {level}"
