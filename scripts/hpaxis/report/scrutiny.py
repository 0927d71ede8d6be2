"""How far a model can be trusted: other treatments of the data, resampling, influence, error, power, all versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from hpaxis.labels import column_label, level_label, term_label
from hpaxis.report.blocks import Figure, Items, Paragraph, Table
from hpaxis.report.numbers import (
    bounded,
    count,
    digits_for,
    fixed,
    interval,
    p_phrase,
    p_value,
    plural,
    significant,
    words,
)
from hpaxis.report.privacy import WITHHELD

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.report.models import ModelResult
    from hpaxis.report.privacy import Cells

# Tables that a model has only where its entry asks for them.
ASKED = {
    "family": "Family of predictors",
    "mediation": "Mediation",
    "dose": "Dose received (not randomised)",
    "complier": "Effect among compliers",
}
NOTES = {"mediation": "Percentile intervals. BCa intervals of a product are slightly too short; they are in the file."}
# Columns of those tables as a reader meets them.
HEADS = {
    "p_holm": "p (Holm)",
    "p_bh": "p (BH)",
    "p_max_t": "p (max t)",
    "p_effective": "p (effective tests)",
    "effective_tests": "Effective tests",
    "se": "SE",
    "estimate": "b",
    "low": "CI low",
    "high": "CI high",
    "first_stage_f": "First-stage F",
    "predictor": "Predictor",
    "term": "Term",
    "quantity": "Quantity",
    "method": "Method",
    "covariance": "Covariance",
}
FIGURES = {
    "versions": (
        "The interaction in every version",
        "Versions in the order of their estimate, with intervals; the marks below say what each version chose.",
    ),
    "influence": (
        "Influence of individual participants",
        "The interaction with each person left out, in order, and Cook’s distance against leverage. Nobody is named.",
    ),
    "power": (
        "Power at this study’s own n, leverage and reliability",
        "Simulated power over the size of the interaction, with normal theory beside it.",
    ),
}


def scrutiny_blocks(
    result: ModelResult, cells: Cells, whole: bool = True
) -> list[Figure | Items | Paragraph | Table | None]:
    """Return the blocks that put one model to the test, tables and figures folded; nobody is named in them."""
    influence, power = _influence(result, cells), power_sentence(result)
    versions = versions_sentence(result)
    return [
        _warnings(result),
        Paragraph(" ".join(part for part in (influence, reliability_sentence(result), power, versions) if part)),
        *(
            [
                *_figure(result, "versions", versions),
                *_figure(result, "influence", influence),
                *_figure(result, "power", power),
            ]
            if whole and not result.hides_complete(cells)
            else []
        ),
        sensitivity_table(result, cells),
        resampling_table(result),
        power_table(result) if whole else None,
        *(asked_table(result, name, cells) for name in ASKED if len(result.tables.get(name, ()))),
    ]


def _warnings(result: ModelResult) -> Items | None:
    rows = result.tables["warnings"]
    rows = rows[rows["code"] != "rows_left_out"]  # said above, with its numbers
    if rows.empty:
        return None
    return Items(tuple(f"Warning: {in_words(result, r['what'])}; {r['remedy']}." for _, r in rows.iterrows()))


def in_words(result: ModelResult, text: str) -> str:
    """A sentence of the models with the columns that it names in words."""
    entry = result.entry
    named = [entry[k] for k in ("outcome", "predictor", "moderator", "cluster", "mediator", "dose", "received")
             if entry.get(k)]  # fmt: skip
    named = sorted({*named, *entry["covariates"]} - {"arm"}, key=len, reverse=True)
    if not named:
        return text
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, named))})(?!\w)", lambda m: column_label(m[0]), text)


def _influence(result: ModelResult, cells: Cells) -> str:
    parts = []
    if result.tables["influence"].empty or result.tables["region_without"].empty:
        return ""
    for term, rows in result.tables["influence"].groupby("term", sort=False):
        without = rows["estimate_without"]
        digits = digits_for(rows["se_without"].median())
        low, high = fixed(without.min(), digits), fixed(without.max(), digits)
        parts.append(
            f"Leaving out one person at a time, the interaction {term_in_words(term, result.entry['moderator'])} "
            f"ranges from {low} to {high}; its sign {_times('turns', rows['sign_flips'].sum(), cells)}."
        )
    regions = result.tables["region_without"]
    usual = result.tables["region"]
    usual = usual[usual["adjustment"] == "none"].set_index("contrast")["observed_kind"]
    moved = regions["observed_kind"].to_numpy() != regions["contrast"].map(usual).to_numpy()
    parts.append(f"The shape of the region of significance {_times('changes', moved.sum(), cells)}.")
    return " ".join(parts)


def _times(verb: str, n: int, cells: Cells) -> str:
    if cells.small(n):
        return f"{verb} {cells.people(n)} times"
    return f"never {verb}" if n == 0 else f"{verb} once" if n == 1 else f"{verb} {count(n)} times"


def reliability_sentence(result: ModelResult) -> str:
    """Return how reliably the predictor was measured, by arm; empty where that is not known."""
    rows = result.tables["reliability"]
    if rows.empty:
        return ""
    shown = words(
        f"{bounded(r['reliability'])} {'over all' if r['arm'] == 'all' else 'in ' + str(r['arm'])}"
        for _, r in rows.iterrows()
    )
    return f"The reliability of the predictor, from its own measurement error, is {shown}."


def power_sentence(result: ModelResult) -> str:
    """Return what interaction this design finds, by the simulation alone; what it does not reach is said."""
    rows, curve = result.tables["detectable"], result.tables["power"]
    if rows.empty or curve.empty:
        return ""
    row, found = rows.iloc[0], rows.iloc[0]["f2_simulated"]
    if found != found:
        last = curve.iloc[-1]
        return (
            f"At this n, leverage and reliability no simulated interaction reaches {row['power']:.0%} power: the "
            "largest, "
            f"f² = {fixed(last['f2'])}, is found with {last['power']:.0%} power."
        )
    return (
        f"At this n, leverage and reliability an interaction of f² = {fixed(found)} is found with {row['power']:.0%} "
        "power."
    )


def power_table(result: ModelResult) -> Table | None:
    """Return the simulated power over the size of the interaction, with its error; normal theory beside it."""
    curve = result.tables["power"]
    if curve.empty:
        return None
    rows = tuple(
        (fixed(r.f2), fixed(r.b3), bounded(r.power), bounded(r.se, 3), bounded(r.exact)) for r in curve.itertuples()
    )
    return Table(
        f"Power of model {result.name}",
        ("f²", "b₃", "Power", "SE", "Normal theory"),
        rows,
        note=(
            "Power: simulated with this design’s n, leverage, covariance and reliability; SE is that of the "
            "simulation. Normal theory knows no measurement error."
        ),
        folded=True,
        source=(f"moderation/{result.name}/power.tsv",),
        data=curve,
    )


def versions_sentence(result: ModelResult) -> str:
    """Return how the interaction varies over the versions of the model’s choices; empty without versions."""
    versions, joint = result.tables["multiverse"], result.tables["multiverse_joint"]
    if versions.empty:
        return ""
    several = joint["contrast"].nunique() > 1
    tests = words(
        f"{result.contrast(r['contrast']) + ': ' if several else ''}{r['statistic']} {significant(r['observed'])}, "
        f"p {p_phrase(r['p'])}"
        for _, r in joint.iterrows()
    )
    estimates = versions["estimate"].dropna()
    low, middle, high = (fixed(v) for v in (estimates.min(), estimates.median(), estimates.max()))
    spread = f"is {middle} in all of them" if low == high else f"ranges from {low} to {high}, median {middle}"
    return (
        f"The model was fitted in {plural(len(estimates), 'version')} of its choices. Its interaction {spread}, "
        f"outcome and predictor standardised in each. Joint tests over all versions (restricted wild bootstrap): "
        f"{tests}."
    )


def _figure(result: ModelResult, name: str, alt: str) -> list[Figure]:
    if name not in result.figures:
        return []
    title, note = FIGURES[name]
    key = f"{result.name}-{name}"
    table = {"versions": "multiverse", "power": "power"}.get(name)  # influence has a row for each participant
    source = [f"report/figures/models/{result.name}/{name}.svg"]
    source += [f"moderation/{result.name}/{table}.tsv"] if table else []
    data = result.tables[table] if table else None
    title = f"{title}, model {result.name}"
    return [Figure(key, title, alt, result.figures[name], note, name != "versions", tuple(source), data)]


def sensitivity_table(result: ModelResult, cells: Cells) -> Table:
    """Return the interaction under every treatment of missing, censored, imprecise or extreme values."""
    rows = result.tables["sensitivity"]
    rows = rows[~rows["quantity"].fillna("").str.startswith("slope[")]
    hidden = result.hides_complete(cells)
    shown = tuple(
        (
            f"{r['method']} (reported)" if r["role"] == "primary" else r["method"],
            term_in_words(r["quantity"], result.entry["moderator"]),
            count(r["n"]) if not hidden or r["n"] == result.n else WITHHELD,
            *_estimate(r),
            p_value(r["p"]),
            cells.note(_text(r["note"])),
        )
        for _, r in rows.iterrows()
    )
    return Table(
        f"Interaction of model {result.name} under other treatments of the data",
        ("Treatment", "Term", "n", "b", "SE", "CI", "p", "Note"),
        shown,
        frozenset({"Term", "Note"}),
        folded=True,
        source=(f"moderation/{result.name}/sensitivity.tsv",),
        key=f"{result.name}-treatments",
        data=None if not cells.all_shown else rows,
    )


def resampling_table(result: ModelResult) -> Table:
    """Return the interaction and slopes by resampling."""
    cells = tuple(
        (
            r["method"],
            term_in_words(r["quantity"], result.entry["moderator"]),
            fixed(r["estimate"], digits_for(r["se"])),
            fixed(r["statistic"]),
            interval(r["low"], r["high"], digits_for(r["se"])),
            p_value(r["p"]),
            count(r["draws"]),
        )
        for _, r in result.tables["resampling"].iterrows()
    )
    return Table(
        f"Resampling of model {result.name}",
        ("Method", "Quantity", "Estimate", "Statistic", "CI", "p", "Draws"),
        cells,
        frozenset({"Quantity"}),
        "Drawn within arm; statistics are studentised with the model’s covariance; p = (k + 1) / (N + 1), two-sided.",
        folded=True,
        source=(f"moderation/{result.name}/resampling.tsv",),
        key=f"{result.name}-resampling",
        data=result.tables["resampling"],
    )


def asked_table(result: ModelResult, name: str, cells: Cells) -> Table:
    """Return a table that the model's entry asks for, as it is; of mediations, the intervals that hold their level.

    Without n and df where they would show few people.
    """
    table = result.tables[name]
    if name == "mediation":
        table = table[table["method"] != "BCa bootstrap"]
    if result.hides_complete(cells):
        table = table.drop(columns=["n", "df"], errors="ignore")
    columns = [c for c in table.columns if table[c].notna().any()]
    rows = tuple(tuple(_cell(c, row[c], result.entry["moderator"]) for c in columns) for _, row in table.iterrows())
    text = frozenset(c.replace("_", " ") for c in columns if table[c].dtype.kind not in "fi")
    return Table(
        f"{ASKED[name]}, model {result.name}",
        tuple(HEADS.get(c, c.replace("_", " ")) for c in columns),
        rows,
        frozenset(HEADS.get(c, c) for c in columns if table[c].dtype.kind not in "fi") | text,
        NOTES.get(name),
        folded=True,
        source=(f"moderation/{result.name}/{name}.tsv",),
        data=table,
    )


def _cell(column: str, value: object, moderator: str) -> str:
    if isinstance(value, float | int | np.number) and not isinstance(value, bool):
        if column == "p" or column.startswith("p_"):
            return p_value(value)
        return count(value) if column in ("n", "draws", "failed") else significant(value)
    if column == "predictor":
        return column_label(str(value))
    return term_in_words(value, moderator) if column in ("term", "quantity") else _text(value)


def _estimate(row: pd.Series) -> tuple[str, str, str]:
    digits = digits_for(row["se"])
    return fixed(row["estimate"], digits), fixed(row["se"], digits), interval(row["low"], row["high"], digits)


def term_in_words(quantity: object, moderator: str) -> str:
    """Return a term or slope of a model in words; ``moderator`` is the column whose levels stand in it."""
    if quantity is None or quantity != quantity:
        return "–"
    quantity = str(quantity)
    if quantity.startswith("slope["):
        return f"slope in {level_label(quantity[6:-1], moderator)}"
    return "all product terms" if quantity == "interaction" else term_label(quantity)


def _text(value: object) -> str:
    return "–" if value is None or value != value or value == "" else str(value)
