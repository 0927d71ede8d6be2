"""How far a model can be trusted: other treatments of the data, resampling, influence, error, power, all versions."""

import numpy as np

from hpaxis.labels import term_label
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

# Tables that a model has only where its entry asks for them.
ASKED = {
    "family": "Family of predictors",
    "mediation": "Mediation",
    "dose": "Dose received (not randomised)",
    "complier": "Effect among compliers",
}
FIGURES = {
    "versions": (
        "The interaction in every version",
        "Versions in the order of their estimate, with intervals; the marks below say what each version chose.",
    ),
    "influence": (
        "What single people do to the interaction",
        "The interaction with each person left out, in order, and Cook’s distance against leverage. Nobody is named.",
    ),
    "power": (
        "Power at this study’s own n, leverage and reliability",
        "Simulated power over the size of the interaction, with normal theory beside it.",
    ),
}


def scrutiny_blocks(result):
    """Return the blocks that put one model to the test, tables and figures folded; nobody is named in them."""
    influence, power = _influence(result), _power(result)
    return [
        _warnings(result),
        Paragraph(" ".join(part for part in (influence, _reliability(result), power) if part)),
        *_versions(result),
        *_figure(result, "influence", influence),
        *_figure(result, "power", power),
        sensitivity_table(result),
        resampling_table(result),
        *(asked_table(result, name) for name in ASKED if len(result.tables[name])),
    ]


def _warnings(result):
    rows = result.tables["warnings"]
    if rows.empty:
        return None
    return Items(tuple(f"Warning: {r['what']}; {r['remedy']}." for _, r in rows.iterrows()))


def _influence(result):
    parts = []
    for term, rows in result.tables["influence"].groupby("term", sort=False):
        without = rows["estimate_without"]
        digits = digits_for(rows["se_without"].median())
        low, high = fixed(without.min(), digits), fixed(without.max(), digits)
        parts.append(
            f"Leaving out one person at a time, the interaction {_term(term)} ranges from {low} to {high}; its sign "
            f"{_times('turns', rows['sign_flips'].sum())}."
        )
    regions = result.tables["region_without"]
    usual = result.tables["region"]
    usual = usual[usual["adjustment"] == "none"].set_index("contrast")["observed_kind"]
    moved = regions["observed_kind"].to_numpy() != regions["contrast"].map(usual).to_numpy()
    parts.append(f"The shape of the region of significance {_times('changes', moved.sum())}.")
    return " ".join(parts)


def _times(verb, n):
    return f"never {verb}" if n == 0 else f"{verb} once" if n == 1 else f"{verb} {count(n)} times"


def _reliability(result):
    rows = result.tables["reliability"]
    if rows.empty:
        return ""
    shown = words(
        f"{bounded(r['reliability'])} {'over all' if r['arm'] == 'all' else 'in ' + str(r['arm'])}"
        for _, r in rows.iterrows()
    )
    return f"The reliability of the predictor, from its own measurement error, is {shown}."


def _power(result):
    rows = result.tables["detectable"]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    found = row["f2_simulated"]
    if found != found:
        return f"No effect of the simulated range reaches {row['power']:.0%} power."
    return (
        f"At this n, leverage and reliability an interaction of f² = {fixed(found)} is found with {row['power']:.0%} "
        "power."
    )


def _versions(result):
    versions, joint = result.tables["multiverse"], result.tables["multiverse_joint"]
    if versions.empty:
        return []
    tests = words(f"{r['statistic']} {significant(r['observed'])}, p {p_phrase(r['p'])}" for _, r in joint.iterrows())
    estimates = versions["estimate"].dropna()
    text = (
        f"The model was fitted in {plural(len(estimates), 'version')} of its choices. Its interaction ranges from "
        f"{fixed(estimates.min())} to {fixed(estimates.max())} over them, median {fixed(estimates.median())}. Joint "
        f"permutation tests over all versions: {tests}."
    )
    return [Paragraph(text), *_figure(result, "versions", text)]


def _figure(result, name, alt):
    if name not in result.figures:
        return []
    title, note = FIGURES[name]
    key = f"{result.name}-{name}"
    return [Figure(key, f"{title}, model {result.name}", alt, result.figures[name], note, folded=True)]


def sensitivity_table(result):
    """Return the interaction under every treatment of missing, censored, imprecise or extreme values."""
    rows = result.tables["sensitivity"]
    rows = rows[~rows["quantity"].fillna("").str.startswith("slope[")]
    cells = tuple(
        (
            f"{r['method']} (reported)" if r["role"] == "primary" else r["method"],
            _term(r["quantity"]),
            count(r["n"]),
            *_estimate(r),
            p_value(r["p"]),
            _text(r["note"]),
        )
        for _, r in rows.iterrows()
    )
    return Table(
        f"Interaction of model {result.name} under other treatments of the data",
        ("Treatment", "Term", "n", "b", "SE", "CI", "p", "Note"),
        cells,
        frozenset({"Term", "Note"}),
        folded=True,
    )


def resampling_table(result):
    """Return the interaction and slopes by resampling."""
    cells = tuple(
        (
            r["method"],
            _term(r["quantity"]),
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
    )


def asked_table(result, name):
    """Return a table that the model's entry asks for, as it is."""
    table = result.tables[name]
    columns = [c for c in table.columns if table[c].notna().any()]
    cells = tuple(tuple(_cell(c, row[c]) for c in columns) for _, row in table.iterrows())
    text = frozenset(c.replace("_", " ") for c in columns if table[c].dtype.kind not in "fi")
    return Table(
        f"{ASKED[name]}, model {result.name}", tuple(c.replace("_", " ") for c in columns), cells, text, folded=True
    )


def _cell(column, value):
    if isinstance(value, float | int | np.number) and not isinstance(value, bool):
        if column == "p" or column.startswith("p_"):
            return p_value(value)
        return count(value) if column in ("n", "draws", "failed") else significant(value)
    return _term(value) if column in ("term", "quantity") else _text(value)


def _estimate(row):
    digits = digits_for(row["se"])
    return fixed(row["estimate"], digits), fixed(row["se"], digits), interval(row["low"], row["high"], digits)


def _term(quantity):
    if quantity is None or quantity != quantity:
        return "–"
    quantity = str(quantity)
    if quantity.startswith("slope["):
        return f"slope in {quantity[6:-1]}"
    return "all product terms" if quantity == "interaction" else term_label(quantity)


def _text(value):
    return "–" if value is None or value != value or value == "" else str(value)
