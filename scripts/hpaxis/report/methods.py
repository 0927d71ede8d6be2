"""The methods in short, worded from the config of the run."""

from hpaxis.report.blocks import Items, Section
from hpaxis.report.labels import column_label
from hpaxis.report.models import in_order
from hpaxis.report.numbers import words


def methods_section(config, results, with_hair):
    """Return the section on methods: one item a stage."""
    items = [
        "Methylation: reads are trimmed, mates merged so that a molecule counts once, assigned to an amplicon by their "
        "primers (whose bases never count), and aligned in three letters. Each read’s cytosines outside CpGs give its "
        "conversion. Per-CpG levels are corrected for incomplete conversion, with intervals that carry that "
        "correction. Nothing is removed by position and depth has no cap. methylpy calls the same alignments as a "
        "second opinion.",
    ]
    if with_hair:
        items.append(
            "Cortisol: each plate’s standards give a curve, by which wells become concentrations and, with the hair’s "
            "mass and volumes, pg/mg. Values beyond the standards are censored, never extrapolated. Models use the "
            "natural logarithm."
        )
    items += [
        "Cohort: stages are joined on participant and timepoint; every row of every sheet is accounted for.",
        _models(config, results),
        "Regions of significance are Johnson and Neyman’s, in closed form, from the covariance of the coefficients. "
        "Every p value is two-sided.",
    ]
    return Section("methods", "Methods in short", (Items(tuple(items)),))


def _models(config, results):
    parts = []
    for result in in_order(results):
        entry = result.entry
        text = (
            f"{result.name}: {column_label(entry['outcome'])} on {column_label(entry['predictor'])} × "
            f"{column_label(entry['moderator'])}"
        )
        if entry["covariates"]:
            text += f" with {words(column_label(c) for c in entry['covariates'])}"
        parts.append(f"{text}, errors {entry['covariance']}")
    return (
        f"Moderation: least squares on complete cases, {config['arms'][0]} the reference arm, errors with Student’s t "
        f"({'; '.join(parts)})."
    )
