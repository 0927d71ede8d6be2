"""The question's answer in plain words, with its uncertainty, from the primary model alone: what fits on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hpaxis.labels import column_label
from hpaxis.moderation.entries import at_baseline
from hpaxis.report.blocks import Check, Items, Notice, Paragraph, Strip, Table
from hpaxis.report.models import (
    difference_sentence,
    excludes_zero,
    in_order,
    plain_sentence,
    shape_sentence,
)
from hpaxis.report.moderation import slopes_figure
from hpaxis.report.numbers import agreeing, count, degrees, digits_for, fixed, interval, p_phrase, significant, words

if TYPE_CHECKING:
    from hpaxis.report.blocks import Block
    from hpaxis.report.models import ModelResult
    from hpaxis.report.privacy import Cells

JUDGED = (
    "Whether a treatment buffers an effect is judged on this difference of slopes (b₃) alone. That one arm’s slope "
    "differs from zero and the other’s does not is no evidence that the two differ (Gelman & Stern)."
)


def answer(
    results: Sequence[ModelResult],
    after_randomisation: bool,
    cells: Cells,
    truth: pd.DataFrame | None = None,
    libraries: pd.DataFrame | None = None,
    curves: pd.DataFrame | None = None,
) -> tuple[Block, ...]:
    """Return the blocks of the answer.

    ``results`` are `ModelResult`; the primary one is read (the first where none is marked). ``after_randomisation``
    says whether the predictor was measured after randomisation. ``cells`` is `hpaxis.report.privacy.Cells`. ``truth``
    holds the true coefficients of a simulation (model, term, standardised, per_percent). ``libraries`` and ``curves``
    are the tables of libraries and plates, for the checks.
    """
    if not results:
        return (
            Paragraph("No model was planned: this page describes what was measured, and tests nothing.", lead=True),
        )
    primary = in_order(results)[0]
    if primary.refused:
        lead = Paragraph("The question cannot be answered from these data: the primary model was refused.", lead=True)
        return (lead, Items(primary.problems), Paragraph(standing(primary)))
    rows = [row for _, row in primary.differences.iterrows()]
    hidden = primary.hides_complete(cells)
    blocks = [
        *_masked(primary),
        Paragraph(f"In {primary.who()}, {plain_sentence(primary, rows[0])}.", lead=True),
        raw_paragraph(primary, rows),
        None if hidden else slopes_figure(primary, cells),
        lines_table(primary, truth),
        checks(primary, libraries, curves, cells),
        Paragraph(sentence(difference_sentence(primary, rows[0]))),
    ]
    if len(rows) > 1:
        others = tuple(sentence(difference_sentence(primary, row)) for row in rows[1:])
        F, df1, df2, p = (primary.fit("wald_interaction", part) for part in ("value", "df1", "df2", "p"))
        joint = f"F({degrees(df1)}, {degrees(df2)}) = {fixed(F)}, p {p_phrase(p)}"
        joint = joint if F == F else "not tested, there are too few clusters"  # NaN is not itself
        # Its degrees of freedom would show how many are complete cases.
        blocks += [Items(others), *([] if hidden else [Paragraph(f"All slopes at once: {joint}.")])]
    blocks.append(Paragraph(" ".join([*(verdict(primary, row) for row in rows), JUDGED])))
    blocks.append(Paragraph(standing(primary)))
    blocks.append(timing(primary, after_randomisation))
    return tuple(b for b in blocks if b is not None)


def raw_paragraph(result: ModelResult, rows: Sequence[pd.Series]) -> Paragraph | None:
    """The difference of slopes in raw units; None where the model has none."""
    parts = []
    for row in rows:
        values = [result.raw(row[c]) for c in ("estimate", "low", "high")]
        if values[0] is None:
            return None
        name = f"{result.contrast(row['contrast'])}: " if len(rows) > 1 else ""
        estimate, low, high = (significant(v) for v in values)
        parts.append(f"{name}{estimate} ({result.confidence} CI from {low} to {high})")
    return Paragraph(f"In raw units, the difference between slopes is {'; '.join(parts)} {result.raw_unit}.")


def lines_table(result: ModelResult, truth: pd.DataFrame | None) -> Table:
    """Return the slope of each line, and their differences, in SD and in raw units; the truth beside a simulation’s."""
    raw = result.raw(1.0) is not None
    known = _truth(result, truth)
    rows, data = [], []
    lines = []
    for _, r in result.slopes.iterrows():
        at = result.level(r["moderator"]) if result.counts else significant(float(r["moderator"]))
        lines.append((f"Slope {'in' if result.counts else 'at'} {at}", f"slope:{r['moderator']}", r))
    lines += [(f"Difference, {result.contrast(r['contrast'])}", f"interaction:{r['contrast'].split(' - ')[0]}", r)
              for _, r in result.differences.iterrows()]  # fmt: skip
    for name, term, row in lines:
        digits = digits_for(row["se"])
        cells = [name, f"{fixed(row['estimate'], digits)} {interval(row['low'], row['high'], digits)}"]
        entry = {"line": name, **{c: row[c] for c in ("estimate", "se", "low", "high", "p")}}
        if raw:
            ends = [result.raw(row[c]) for c in ("estimate", "low", "high")]
            cells.append(f"{significant(ends[0])} [{significant(ends[1])}, {significant(ends[2])}]")
            entry |= dict(zip(("raw_estimate", "raw_low", "raw_high"), ends, strict=True))
        if known is not None:
            cells.append(fixed(known.get(term, float("nan"))))
            entry["true"] = known.get(term, float("nan"))
        rows.append(tuple(cells))
        data.append(entry)
    standardised = "SD" if {"outcome", "predictor"} <= set(result.entry["standardise"]) else "Model’s unit"
    heads = ["Line", f"{standardised} [{result.confidence} CI]"]
    heads += [f"Raw [{result.confidence} CI]"] if raw else []
    heads += ["True value"] if known is not None else []
    note = f"{sentence(result.unit)[:-1]}." + (f" Raw: {result.raw_unit}." if raw else "")
    if known is not None:
        note += " The true value is that of the simulation, on the scale of the first column."
    return Table(
        "The lines in numbers",
        tuple(heads),
        tuple(rows),
        note=note,
        source=tuple(f"moderation/{result.name}/{name}.tsv" for name in ("slopes", "slope_differences", "fit"))
        + (("simulation/truth/coefficients.tsv",) if known is not None else ()),
        data=pd.DataFrame(data),
        key="lines",
    )


def _truth(result: ModelResult, truth: pd.DataFrame | None) -> dict[str, float] | None:
    if truth is None:
        return None
    own = truth[truth["model"] == result.name]
    return dict(zip(own["term"], own["standardised"], strict=True)) if len(own) else None


def checks(result: ModelResult, libraries: pd.DataFrame | None, curves: pd.DataFrame | None, cells: Cells) -> Strip:
    """Return the strip of checks: what speaks for and against the answer, each with the place of its numbers."""
    found = [_planned(result), _same_predictor(result), _treatments(result), _resampled(result), _family(result)]
    found += [_versions(result), _influence(result, cells) if "influence" in result.tables else None]
    found += [_region(result, cells), _power(result), _warned(result)]
    if libraries is not None and len(libraries):
        found.append(_libraries(libraries, cells))
    if curves is not None and len(curves):
        bad = curves.loc[curves["verdict"] != "pass", "verdict"]
        worst = "fail" if (bad == "fail").any() else "warn" if len(bad) else "pass"
        said = f"{count(len(curves) - len(bad))} of {count(len(curves))} passed"
        found.append(Check("Cortisol plates", worst, said, "plates"))
    return Strip(tuple(c for c in found if c is not None))


def _planned(result: ModelResult) -> Check:
    status, reason = result.standing
    verdict = {"confirmatory": "pass", "exploratory": "warn"}.get(status, "fail")
    return Check("Plan", verdict, f"{status}: {reason}", _place(result))


def _same_predictor(result: ModelResult) -> Check | None:
    table = result.tables["predictor_by_arm"]
    tests = table[table["test"] == "t"]
    if tests.empty:
        return None
    differs = any(excludes_zero(r) for _, r in tests.iterrows())
    said = f"p {words(p_phrase(p) for p in tests['p'])}: "
    said += "the arms differ in it" if differs else "no difference shown"
    return Check("Predictor by arm", "warn" if differs else "pass", said, "predictor-by-arm")


def _robust(result: ModelResult, check: str) -> pd.Series | None:
    """A check's row of the first difference of slopes in the table of robustness; None where the model has none."""
    table = result.tables.get("robustness", pd.DataFrame())
    if table.empty:
        return None
    rows = table[(table["check"] == check) & (table["contrast"] == result.differences.iloc[0]["contrast"])]
    return None if rows.empty else rows.iloc[0]


def _agrees(result: ModelResult, p: float) -> bool:
    """Whether a p value says of the first difference of slopes what its interval says."""
    return (p < float(result.tables["region"]["alpha"].iloc[0])) == excludes_zero(result.differences.iloc[0])


def _family(result: ModelResult) -> Check | None:
    row = _robust(result, "family_p")
    if row is None:
        return None
    said = f"p {p_phrase(row['p'])}, adjusted over {count(int(row['total']))} predictors"
    return Check("Family", "pass" if _agrees(result, row["p"]) else "warn", said, _place(result))


def _region(result: ModelResult, cells: Cells) -> Check | None:
    row = _robust(result, "region")
    if row is None:
        return None
    people = cells.part(row["count"], row["total"])
    where = f"{people} people {agreeing(people, 'lies', 'lie')} where the arms are shown to differ"
    said = where if row["count"] else "the arms are not shown to differ anywhere in the observed range"
    same = bool(row["count"]) == excludes_zero(result.differences.iloc[0])
    return Check("Region", "pass" if same else "warn", said, _place(result))


def _power(result: ModelResult) -> Check | None:
    row = _robust(result, "power")
    if row is None or not np.isfinite(row["value"]):
        return None
    own = result.fit("f2")
    said = f"80% for f\u00b2 = {fixed(row['value'])}; observed {fixed(own)}"
    return Check("Power", "pass" if own >= row["value"] else "warn", said, _place(result))


def _place(result: ModelResult) -> str:
    """The anchor of a model's own section."""
    return f"model-{result.name.replace('_', '-')}"


def _treatments(result: ModelResult) -> Check | None:
    """Whether every treatment of the data gives the interaction the same sign, and its interval the same side."""
    table = result.tables["sensitivity"]
    term = table.loc[~table["quantity"].fillna("slope[").str.startswith("slope["), "quantity"]
    if term.empty:
        return None
    rows = table[(table["quantity"] == term.iloc[0]) & table["estimate"].notna()]
    own = result.differences.iloc[0]
    same = [excludes_zero(r) == excludes_zero(own) and (r["estimate"] > 0) == (own["estimate"] > 0)
            for _, r in rows.iterrows()]  # fmt: skip
    said = f"{count(sum(same))} of {count(len(same))} say the same"
    return Check("Other treatments", "pass" if all(same) else "warn", said, f"{result.name}-treatments")


def _resampled(result: ModelResult) -> Check | None:
    table = result.tables["resampling"]
    term = table.loc[~table["quantity"].str.startswith("slope["), "quantity"]
    tests = table[(table["quantity"] == term.iloc[0]) & table["p"].notna()] if len(term) else table.iloc[:0]
    if tests.empty:
        return None
    same = [_agrees(result, p) for p in tests["p"]]
    said = words(f"p {p_phrase(p)}" for p in tests["p"])
    return Check("Resampling", "pass" if all(same) else "warn", said, f"{result.name}-resampling")


def _versions(result: ModelResult) -> Check | None:
    joint = result.tables["multiverse_joint"]
    median = joint[joint["statistic"] == "median estimate"]
    if median.empty:
        return None
    row = median.iloc[0]
    same = (row["observed"] > 0) == (result.differences.iloc[0]["estimate"] > 0) and _agrees(result, row["p"])
    said = f"median {fixed(row['observed'])}, joint p {p_phrase(row['p'])}"
    share = _robust(result, "multiverse_share")
    if share is not None:
        said += f"; {count(int(share['count']))} of {count(int(share['total']))} significant in its direction"
    return Check("All versions", "pass" if same else "warn", said, f"{result.name}-versions")


def _influence(result: ModelResult, cells: Cells) -> Check:
    table = result.tables["influence"]
    flips = int(table.loc[table["term"] == table["term"].iloc[0], "sign_flips"].sum()) if len(table) else 0
    said = "no one person turns the sign"
    if flips:
        few = cells.people(flips)
        said = "one person turns the sign" if few == "1" else f"{few} people turn the sign"
    row = _robust(result, "single_deletions")
    if row is not None:
        verb = "lose" if excludes_zero(result.differences.iloc[0]) else "gain"
        changed = cells.part(int(row["count"]), int(row["total"])) if row["count"] else "none of them"
        verb += "s" if changed.startswith(("1 ", "none")) else ""  # of a range, the verb must not say which
        said += f"; left out alone, {changed} {verb} significance"
    changed = bool(flips) or (row is not None and row["count"] > 0)
    return Check("Influence", "warn" if changed else "pass", said, f"{result.name}-influence")


def _warned(result: ModelResult) -> Check:
    rows = result.tables["warnings"]
    said = "none" if rows.empty else words(dict.fromkeys(str(c).replace("_", " ") for c in rows["code"]))
    return Check("Model warnings", "pass" if rows.empty else "warn", said, _place(result))


def _libraries(libraries: pd.DataFrame, cells: Cells) -> Check | None:
    study = libraries[libraries["kind"] == "study"]
    if study.empty:
        return None
    failed = int((study["verdict"] == "fail").sum())
    verdict = "pass" if not failed else "fail" if failed == len(study) else "warn"
    said = "none failed" if not failed else f"{cells.people(failed)} of {count(len(study))} failed"
    return Check("Saliva libraries", verdict, said, "quality")


def _masked(result: ModelResult) -> list[Notice]:
    if result.standing[0] != "masked":
        return []
    return [
        Notice(
            "This is a masked run: arms are shuffled until the plan is locked. No number here is a result.", "warning"
        )
    ]


def verdict(result: ModelResult, row: pd.Series) -> str:
    """Return what the interval of one difference of slopes allows to be said, and what it does not."""
    name = f" ({result.contrast(row['contrast'])})" if len(result.differences) > 1 else ""
    if not excludes_zero(row):
        digits = digits_for(row["se"])
        found = result.verdict_of(row["contrast"])
        if found.get("verdict") == "alike within the margin":
            return f"The slopes{name} are shown to differ by less than the margin of {fixed(found['margin'], digits)}."
        return (
            f"The interval{name} includes zero: these data do not show that the slopes differ. Nor do they show that "
            f"the slopes are alike: differences from {fixed(row['low'], digits)} to {fixed(row['high'], digits)} "
            "remain compatible with them."
        )
    text = f"The interval{name} excludes zero: in these data the slopes differ, which is moderation."
    return f"{text} {shape_sentence(result, row)}" if result.counts else text


def standing(result: ModelResult) -> str:
    """Return whether the result confirms or explores, by the plan lock alone."""
    sides = f"Every test here is two-sided; intervals are at {result.confidence}. " if not result.refused else ""
    chosen = (
        f"The model {result.name} is the study’s primary one. "
        if result.entry["primary"]
        else f"No model is marked as primary; {result.name}, the first of the config, stands here. "
    )
    status, reason = result.standing
    return f"{sides}{chosen}Its result is {status}: {reason}."


def timing(result: ModelResult, after_randomisation: bool) -> Notice | Paragraph:
    """Return what the predictor can stand for, given when it was measured and whether the arms differ in it."""
    predictor = column_label(result.entry["predictor"])
    differs = _arm_difference(result, predictor)
    named = predictor[0].upper() + predictor[1:]
    if not after_randomisation or at_baseline(result.entry["predictor"]):
        return Paragraph(f"{named} was measured before randomisation: the arm cannot have changed it. {differs}")
    return Notice(
        f"{named} was measured after randomisation, so it may itself be an effect of the arm. The result shows how an "
        f"association differs between arms, not what the treatment does to an effect of {predictor}. {differs}",
        "warning",
    )


def _arm_difference(result: ModelResult, predictor: str) -> str:
    table = result.tables["predictor_by_arm"]
    tests = table[table["test"].isin(["t"])]
    if tests.empty:
        return ""
    ps = ", ".join(f"{result.contrast(r['comparison'])}: p {p_phrase(r['p'])}" for _, r in tests.iterrows())
    shown = any(excludes_zero(r) for _, r in tests.iterrows())
    said = "The arms differ in" if shown else "A difference between the arms was not shown in"
    return (
        f"{said} {predictor} ({ps}); see below." if result.counts else sentence(f"{predictor} on the moderator: {ps}")
    )


def sentence(text: str) -> str:
    """Return the text with a capital and a full stop."""
    return text[0].upper() + text[1:] + "."
