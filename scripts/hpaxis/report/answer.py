"""The question's answer in plain words, with its uncertainty, from the primary model alone."""

from hpaxis.labels import column_label, contrast_label
from hpaxis.report.blocks import Items, Notice, Paragraph
from hpaxis.report.models import difference_sentence, excludes_zero, in_order, plain_sentence, shape_sentence
from hpaxis.report.numbers import digits_for, fixed, p_phrase

JUDGED = (
    "Whether a treatment buffers an effect is judged on this difference of slopes (b₃) alone. That one arm’s slope "
    "differs from zero and the other’s does not is no evidence that the two differ (Gelman & Stern)."
)


def answer(results, after_randomisation):
    """Return the blocks of the answer.

    ``results`` are `ModelResult`; the primary one is read (the first where none is marked).
    ``after_randomisation`` says whether the predictor was measured after randomisation.
    """
    if not results:
        said = "No model was planned: this page describes what was measured, and tests nothing."
        return (Paragraph(said, lead=True),)
    primary = in_order(results)[0]
    if primary.refused:
        lead = Paragraph("The question cannot be answered from these data: the primary model was refused.", lead=True)
        return (lead, Items(primary.problems), Paragraph(standing(primary)))
    rows = [row for _, row in primary.differences.iterrows()]
    blocks = [
        *_masked(primary),
        Paragraph(f"In {primary.who()}, {plain_sentence(primary, rows[0])}.", lead=True),
        Paragraph(sentence(difference_sentence(primary, rows[0]))),
    ]
    if len(rows) > 1:
        others = tuple(sentence(difference_sentence(primary, row)) for row in rows[1:])
        joint = f"F({fixed(primary.fit('wald_interaction', 'df1'), 0)}, "
        joint += f"{fixed(primary.fit('wald_interaction', 'df2'), 0)}) = {fixed(primary.fit('wald_interaction'))}"
        joint += f", p {p_phrase(primary.fit('wald_interaction', 'p'))}"
        blocks += [Items(others), Paragraph(f"All slopes at once: {joint}.")]
    blocks.append(Paragraph(" ".join([*(verdict(primary, row) for row in rows), JUDGED])))
    blocks.append(Paragraph(standing(primary)))
    blocks.append(timing(primary, after_randomisation))
    return tuple(blocks)


def _masked(result):
    if result.standing[0] != "masked":
        return []
    return [
        Notice(
            "This is a masked run: arms are shuffled until the plan is locked. No number here is a result.", "warning"
        )
    ]


def verdict(result, row):
    """Return what the interval of one difference of slopes allows to be said, and what it does not."""
    name = f" ({contrast_label(row['contrast'])})" if len(result.differences) > 1 else ""
    if not excludes_zero(row):
        digits = digits_for(row["se"])
        return (
            f"The interval{name} includes zero: these data do not show that the slopes differ. Nor do they show that "
            f"the slopes are alike, since differences from {fixed(row['low'], digits)} to {fixed(row['high'], digits)} "
            "remain compatible with them."
        )
    text = f"The interval{name} excludes zero: in these data the slopes differ, which is moderation."
    return f"{text} {shape_sentence(result, row)}" if result.counts else text


def standing(result):
    """Return whether the result confirms or explores, by the plan lock alone."""
    sides = f"Every test here is two-sided; intervals are at {result.confidence}. " if not result.refused else ""
    chosen = (
        f"The model {result.name} is the study’s primary one. "
        if result.entry["primary"]
        else f"No model is marked as primary; {result.name}, the first of the config, stands here. "
    )
    status, reason = result.standing
    return f"{sides}{chosen}Its result is {status}: {reason}."


def timing(result, after_randomisation):
    """Return what methylation can stand for, given when it was measured and whether the arms differ in it."""
    predictor = column_label(result.entry["predictor"])
    differs = _arm_difference(result, predictor)
    named = predictor[0].upper() + predictor[1:]
    if not after_randomisation:
        return Paragraph(f"{named} was measured before randomisation: the arm cannot have changed it. {differs}")
    return Notice(
        f"{named} was measured after randomisation, so it may itself be an effect of the arm. What is shown is how an "
        f"association differs between arms, not what the treatment does to an effect of methylation. {differs}",
        "warning",
    )


def _arm_difference(result, predictor):
    table = result.tables["predictor_by_arm"]
    tests = table[table["test"].isin(["t"])]
    if tests.empty:
        return ""
    ps = ", ".join(f"{contrast_label(r['comparison'])}: p {p_phrase(r['p'])}" for _, r in tests.iterrows())
    shown = any(excludes_zero(r) for _, r in tests.iterrows())
    said = "The arms differ in" if shown else "A difference between the arms was not shown in"
    return (
        f"{said} {predictor} ({ps}); see below." if result.counts else sentence(f"{predictor} on the moderator: {ps}")
    )


def sentence(text):
    """Return the text with a capital and a full stop."""
    return text[0].upper() + text[1:] + "."
