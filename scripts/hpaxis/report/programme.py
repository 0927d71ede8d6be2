"""The section on the programme: studies pooled, and what the treatment is worth. It stands only where asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpaxis.labels import contrast_label, quantity_label, term_label
from hpaxis.moderation.design import INTERCEPT
from hpaxis.programme.worth import SHARES
from hpaxis.report.blocks import Figure, Heading, Notice, Paragraph, Section, Table
from hpaxis.report.numbers import bounded, count, digits_for, fixed, interval, p_phrase, p_value, percent, significant
from hpaxis.report.privacy import WITHHELD

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.report.privacy import Cells


def programme_section(tables: Mapping[str, pd.DataFrame], figures: Mapping[str, str], cells: Cells) -> Section | None:
    """Return the section of the programme's tables (name to data frame) and figures (name to SVG); None without.

    Counts of few people are withheld by ``cells``; the page offers its tables as shown.
    """
    blocks = []
    if "pooled" in tables:
        blocks += _pooled(tables["pooled"], tables["differences"], figures)
    if "cost_effectiveness" in tables:
        blocks += _worth(tables, figures, cells)
    if "social_return" in tables:
        blocks += _social(tables, figures, cells)
    return Section("programme", "The programme", tuple(blocks)) if blocks else None


FIGURE = "report/figures/programme/{}.svg"


def _from(*names: str) -> tuple[str, ...]:
    """The files that a block's numbers come from."""
    return tuple(f"programme/{name}.tsv" for name in names)


def _pooled(
    pooled: pd.DataFrame, differences: pd.DataFrame, figures: Mapping[str, str]
) -> list[Figure | Heading | Paragraph | Table]:
    rows = []
    for r in pooled.to_dict("records"):
        digits = digits_for(r["se"])
        numbers = fixed(r["estimate"], digits), interval(r["low"], r["high"], digits), p_value(r["p"])
        name = f"{quantity_label(r['quantity'])}: {r['study']}"
        rows.append((name, r["design"], count(r["n"]), *numbers, bounded(r["weight"])))
    blocks = [
        Heading("pooled", "Several studies"),
        *[
            Paragraph(_summary_sentence(r), lead=True)
            for r in pooled[pooled["study"] == "pooled"].to_dict("records")
            if not r["quantity"].startswith("slope[")
        ],
        Figure(
            "forest",
            "Studies side by side",
            "Each study's difference of slopes with its interval, and the pooled one.",
            figures["forest"],
            "The diamond is the random-effects summary, the thin line the interval for a new study.",
            source=(FIGURE.format("forest"), *_from("pooled")),
        ),
        Table(
            "Studies and their summary",
            ("Estimate", "Design", "n", "b₃ or slope", "CI", "p", "Weight"),
            tuple(rows),
            frozenset({"Design"}),
            "Random effects after Paule and Mandel, interval after Hartung and Knapp. Studies of "
            "different designs are pooled only where the config asks for it.",
            source=_from("pooled"),
        ),
    ]
    if len(differences):
        said = differences.groupby("differs_in", sort=False).apply(
            lambda g: "; ".join(f"{s}: {v}" for s, v in zip(g["study"], g["value"], strict=True)), include_groups=False
        )
        names = {"outcome_sd": "SD of the outcome", "predictor_sd": "SD of the predictor"}
        rows = tuple((names.get(k, str(k).capitalize()), v) for k, v in said.items())
        title, columns = "In what the studies differ", ("What", "By study")
        blocks.append(Table(title, columns, rows, frozenset({"By study"}), source=_from("differences")))
    return blocks


def _summary_sentence(row: Mapping[str, Any]) -> str:
    digits = digits_for(row["se"])
    text = (
        f"The pooled difference of slopes, {quantity_label(row['quantity'])} ({row['design'].replace('_', '-')}), is "
        f"{fixed(row['estimate'], digits)} {interval(row['low'], row['high'], digits)}, p {p_phrase(row['p'])}, over "
        f"{count(row['n'])} people; τ² = {significant(row['tau2'])}, I² = {percent(row['i2'], 0)}."
    )
    if row["prediction_low"] == row["prediction_low"]:
        text += f" A new study is expected in {interval(row['prediction_low'], row['prediction_high'], digits)}."
    note = row["note"] if isinstance(row["note"], str) else ""
    return f"{text} {note[:1].upper()}{note[1:]}." if note else text


def _worth(
    tables: Mapping[str, pd.DataFrame], figures: Mapping[str, str], cells: Cells
) -> list[Figure | Heading | Notice | Table]:
    table, draws = tables["cost_effectiveness"], tables["plane"]
    people = table["quantity"] == "people with cost and effect"
    counted = [
        f"{contrast_label(a)}: {cells.part(int(n), int(note.removeprefix('of ')))}"
        for a, n, note in table.loc[people, ["contrast", "estimate", "note"]].itertuples(index=False)
    ]
    rows = tuple(
        (
            f"{contrast_label(r['contrast'])}: {r['quantity']}",
            percent(r["estimate"], 0) if r["quantity"].startswith("share") else significant(r["estimate"]),
            "–"
            if r["quantity"].startswith("share") or r["low"] != r["low"]
            else f"[{significant(r['low'])}, {significant(r['high'])}]",
            r["note"] if isinstance(r["note"], str) else "",
        )
        for r in table[~people].to_dict("records")
    )
    regression = tables["net_benefit"]
    benefit = tuple(
        (significant(r["willingness"]), term_label(r["term"]), significant(r["estimate"]),
         f"[{significant(r['low'])}, {significant(r['high'])}]", p_value(r["p"]))
        for r in regression[regression["term"] != INTERCEPT].to_dict("records")
    )  # fmt: skip
    return [
        Heading("worth", "What the treatment is worth"),
        Notice("Prices are those of the study’s own table, with its year and sources; none comes with hpaxis."),
        Figure(
            "plane",
            "Cost and effect",
            "Bootstrap draws of incremental cost and effect, and the probability that the treatment is worth its cost.",
            figures["plane"],
            f"{count(draws['draw'].max())} draws within arm; the cross is the data themselves.",
            source=(FIGURE.format("plane"), *_from("plane", "acceptability")),
        ),
        Table(
            "Cost and effect",
            ("Quantity", "Estimate", "Interval", "Note"),
            rows,
            frozenset({"Note"}),
            f"Percentile intervals of the bootstrap. People with cost and effect: {'; '.join(counted)}.",
            source=_from("cost_effectiveness"),
        ),
        Table(
            "Net-benefit regression",
            ("Willingness to pay", "Term", "Estimate", "CI", "p"),
            benefit,
            frozenset({"Term"}),
            "Net benefit is willingness to pay times effect, minus cost. A product term says that the treatment "
            "is worth "
            "more, or less, for those with more of the predictor.",
            folded=True,
            source=_from("net_benefit"),
        ),
    ]


def _social(
    tables: Mapping[str, pd.DataFrame], figures: Mapping[str, str], cells: Cells
) -> list[Figure | Heading | Paragraph | Table]:
    # A quantity is often a number of people: a small one also follows from its present value, that from the others and
    # from the ratio. So present values are withheld, and the value of one unit beside a small quantity.
    account = tables["social_return"]
    hidden = any(cells.small(q) for q in account["quantity"])
    ratio = tables["social_ratio"].iloc[0]
    rows = tuple(
        (
            r["outcome"],
            cells.people(r["quantity"]) if r["quantity"] == int(r["quantity"]) else significant(r["quantity"]),
            WITHHELD if cells.small(r["quantity"]) else significant(r["value"]),
            count(r["years"]),
            *(percent(r[s], 0) for s in SHARES),
            WITHHELD if hidden else significant(r["present_value"]),
            r["source"],
        )
        for r in account.to_dict("records")
    )
    return [
        Heading("social-return", "Social return"),
        Paragraph(
            f"Each unit of money invested is estimated to return {fixed(ratio['ratio'])} "
            f"{interval(ratio['low'], ratio['high'])} in social value, at a discount rate of "
            f"{percent(ratio['discount'], 1)} per year. The interval spans the ranges that the account gives to "
            f"its own "
            "inputs; it holds nothing that the account leaves out.",
            lead=True,
        ),
        Figure(
            "tornado",
            "What the return rests on",
            "The ratio when one input alone goes to its low and to its high.",
            figures["tornado"],
            "The widest bar is the input on which the answer rests most.",
            source=(FIGURE.format("tornado"), *_from("tornado")),
        ),
        Table(
            "The account",
            (
                "Outcome",
                "Quantity",
                "Value",
                "Years",
                *(c.replace("_", "-").capitalize() for c in SHARES),
                "Present value",
                "Source",
            ),
            rows,
            frozenset({"Source"}),
            "Deadweight would have happened anyway, attribution was brought about by others, displacement moved "
            "elsewhere, drop-off is lost each year after the first.",
            folded=True,
            source=_from("social_return"),
        ),
    ]
