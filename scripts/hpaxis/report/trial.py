"""A model's further questions on the page: change, groups, other outcomes, priors. Each stands only where asked."""

from dataclasses import replace

from hpaxis.labels import column_label, contrast_label
from hpaxis.report.blocks import Table
from hpaxis.report.numbers import MISSING, bounded, count, digits_for, fixed, interval, p_value, significant


def trial_blocks(result):
    """Return the blocks of `hpaxis.moderation.trial` for one fitted model; none where nothing was asked."""
    makers = {"change": _change, "generalised": _generalised, "mixed": _mixed, "prior": _prior}
    asked = [(name, maker, result.tables.get(name)) for name, maker in makers.items()]
    return [
        replace(maker(table, result), source=(f"moderation/{result.name}/{name}.tsv",), data=table)
        for name, maker, table in asked
        if table is not None and len(table)
    ]


def _change(table, result):
    rows = []
    for row in table.to_dict("records"):
        difference = row["quantity"].startswith("difference")
        digits = digits_for(row["se"]) if difference else 4
        rows.append(
            (
                column_label(row["measure"]),
                row["quantity"],
                contrast_label(row["arm"]),
                count(row["n"]),
                fixed(row["estimate"], digits)
                if difference
                else f"{significant(row['estimate'])} ({significant(row['sd'])})",
                interval(row["low"], row["high"], digits) if difference else MISSING,
                p_value(row["p"]) if difference else MISSING,
                bounded(row["reliability"]),
            )
        )
    return Table(
        "From baseline to follow-up",
        ("Measure", "Quantity", "Arm", "n", "Mean (SD) or difference", "CI", "p", "Reliability"),
        tuple(rows),
        frozenset({"Quantity", "Arm"}),
        "Reliability is the share of the variance between people that is not measurement error: that of a change is "
        "lower than that of a level, and below zero errors exceed all differences between people. The difference "
        "adjusted for baseline is the effect of the arm on the measure (analysis of covariance). " + _plates(table),
    )


def _plates(table):
    notes = table.loc[table["quantity"] == "mean change", ["arm", "note"]].drop_duplicates()
    return "Both timepoints, by arm: " + "; ".join(f"{a}: {n}" for a, n in notes.itertuples(index=False)) + "."


def _estimates(row):
    digits = digits_for(row["se"])
    return (
        fixed(row["estimate"], digits),
        fixed(row["se"], digits),
        interval(row["low"], row["high"], digits),
        p_value(row["p"]),
    )


def _generalised(table, result):
    kind = table["kind"].iloc[0]
    weighted = f"; rows weighted by {result.entry['weights']}" if result.entry["weights"] else ""
    notes = [n for n in table["note"].dropna().unique() if n]
    return Table(
        f"The same question for a {kind} outcome" if kind != "continuous" else "The model with weighted rows",
        ("Scale", "Quantity", "Estimate", "SE", "CI", "p"),
        tuple((r["scale"], contrast_label(r["quantity"]), *_estimates(r)) for r in table.to_dict("records")),
        frozenset({"Quantity"}),
        f"Robust errors ({table['covariance'].iloc[0]}), n = {count(table['n'].iloc[0])}{weighted}. Slopes on the "
        f"scale "
        "people read are averages over everyone, moved to each arm; on that scale the product term is not the "
        "interaction, the difference of the averages is." + "".join(f" {n[:1].upper()}{n[1:]}." for n in notes),
    )


def _mixed(table, result):
    first = table.iloc[0]
    note = f" {first['note']}." if isinstance(first["note"], str) and first["note"] else ""
    return Table(
        f"A random effect of {column_label(first['group'])}",
        ("Quantity", "b", "SE", "CI", "p", "df"),
        tuple((contrast_label(r["quantity"]), *_estimates(r), fixed(r["df"], 1)) for r in table.to_dict("records")),
        note=f"Mixed model (REML) with {count(first['groups'])} groups in {first['nested_in']}, n = "
        f"{count(first['n'])}; "
        f"degrees of freedom after Satterthwaite. Intraclass correlation {bounded(first['icc'])} "
        f"{interval(first['icc_low'], first['icc_high'])}.{note}",
    )


def _prior(table, result):
    rows = []
    for r in table.to_dict("records"):
        about = (
            "the data alone"
            if r["prior"] == "none"
            else f"mean {significant(r['prior_mean'])}, SD {significant(r['prior_sd'])}"
        )
        rows.append(
            (
                f"{contrast_label(r['quantity'])}: {r['prior']}",
                about,
                *_estimates({**r, "p": None})[:3],
                bounded(r["share_of_prior"]),
                "yes" if r["overturns"] else "no",
            )
        )
    sources = [
        f"{p}: {s}" for p, s in table[["prior", "source"]].drop_duplicates().itertuples(index=False) if p != "none"
    ]
    return Table(
        "What prior knowledge makes of the difference of slopes",
        ("Prior", "Distribution", "Estimate", "SD", "Interval", "Prior’s share", "Overturns"),
        tuple(rows),
        frozenset({"Distribution"}),
        "Normal prior and normal likelihood, in closed form. "
        + "; ".join(sources)
        + ". The critical sceptical prior is "
        "the widest prior about zero under which the interval just reaches zero: whoever holds a narrower one is not "
        "convinced by these data.",
    )
