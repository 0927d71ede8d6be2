"""The plan as text that a person can read and a registry can hold, from the config alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpaxis.labels import column_label, population_label
from hpaxis.moderation.entries import at_baseline
from hpaxis.moderation.lock import plan_hash
from hpaxis.report.numbers import words

if TYPE_CHECKING:
    from hpaxis.settings import Config


def preregistration(config: Config) -> str:
    """Return the plan of a study as Markdown: question, arms, each model as it will be fitted, and its hash."""
    settings, arms = config.moderation, config.arms
    lines = [f"# Analysis plan: {config.study.title}", "", config.study.question, "",
             f"Arms: {words(arms)}; the reference is {arms[0]}.", "",
             f"Intervals and tests are two-sided at alpha = {settings.alpha:g}. A model needs at least "
             f"{settings.minimum_per_arm} complete rows in each arm.", ""]  # fmt: skip
    after = settings.predictor_after_randomisation
    timing = f"The predictor is measured {'after' if after else 'before'} randomisation"
    early = after and any(at_baseline(entry["predictor"]) for entry in config.models.values())
    lines += [f"{timing}{'; columns that end in _baseline before' if early else ''}.", ""]
    for name, entry in sorted(config.models.items(), key=lambda m: not m[1]["primary"]):
        lines += [f"## {name}{' (primary)' if entry['primary'] else ''}", ""]
        lines += [
            f"- Outcome: {column_label(entry['outcome'])} (`{entry['outcome']}`)",
            f"- Predictor: {column_label(entry['predictor'])} (`{entry['predictor']}`), scale {entry['scale']}",
            f"- Moderator: {column_label(entry['moderator'])}",
            f"- Covariates: {words(column_label(c) for c in entry['covariates']) or 'none'}",
            f"- Rows: {population_label(entry['population'])}"
            + "".join(f"; {column_label(c)} is {words(v)}" for c, v in entry["keep"].items()),
            f"- Standardised: {words(entry['standardise']) or 'nothing'}",
            f"- Standard errors: {entry['covariance']}"
            + (f", clustered by {column_label(entry['cluster'])}" if entry["cluster"] else ""),
            "- Test: the product of predictor and moderator (b3), two-sided; the slopes by arm describe it.",
            f"- SHA-256 of this entry: `{plan_hash(entry, settings, arms)}`",
            "",
        ]
    lines += ["Written by hpaxis from the config; `hpaxis lock` writes the same hashes to the plan lock.", ""]
    return "\n".join(lines)
