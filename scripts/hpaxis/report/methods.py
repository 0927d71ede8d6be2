"""The methods in short, worded from the config of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hpaxis.report.blocks import Items, Section
from hpaxis.report.numbers import count

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.settings import Config

READS = (
    "Methylation: each read is placed on its amplicon by exact k-mers in a two-letter alphabet (purine, pyrimidine), "
    "which bisulfite conversion does not change. Both mates are aligned to the reference and merged into one molecule, "
    "so no base is counted twice; primers and adapters are not counted. Cytosines outside CpGs give each library’s "
    "conversion. Per-CpG levels are corrected for incomplete conversion; their intervals include the error of that "
    "correction and the number of templates. Reads are not deduplicated by position, and depth is not capped. methylpy "
    "calls the same molecules as a second opinion."
)
PYROSEQUENCING = (
    "Methylation by pyrosequencing: readings are the instrument’s own percentages. The error of a position, and the "
    "error that all positions of a run share, come from libraries run in several wells or from the config. Conversion "
    "comes from the control position, shrunk towards the study’s mean according to the noise of a reading."
)


CURVES = (
    "Cortisol: a curve is fitted to each plate’s standards. It turns wells into concentrations and, with the mass and "
    "volumes of the hair, into pg/mg. Values beyond the standards are censored, not extrapolated. Models use the "
    "natural logarithm."
)
FINISHED = (
    "Cortisol: concentrations in pg/mg as the laboratory finished them; values beyond its limits are censored. Models "
    "use the natural logarithm."
)


def methods_section(
    config: Config, cortisol: Mapping[str, pd.DataFrame] | None, assays: Sequence[str] = ("amplicon",)
) -> Section:
    """Return the section on methods: one item for each stage that this study has.

    ``cortisol``: the cortisol stage's tables, None without hair. ``assays``: those of the study's libraries, none
    without saliva.
    """
    items = []
    if set(assays) - {"pyrosequencing"}:
        items.append(READS)
    if "pyrosequencing" in assays:
        items.append(PYROSEQUENCING)
    if cortisol is not None:
        items.append(FINISHED if cortisol["curves"].empty else CURVES)
    items.append(
        "Cohort: the stages are joined on participant and timepoint. Every row of every sheet is accounted for."
        if assays or cortisol is not None
        else "Cohort: every row of the sheet of participants is accounted for."
    )
    if not config.models:
        return Section("methods", "Methods in short", (Items(tuple(items)),))
    censored = (
        " Censored hair cortisol is handled by censored (Tobit) regression as an outcome and by multiple imputation "
        "within its limits as a covariate."
        if cortisol is not None
        else ""
    )
    items += [
        f"Moderation: least squares on complete cases, with {config.arms[0]} as the reference arm, one covariance "
        f"for every number of a model, and Student’s t.{censored} Johnson–Neyman regions are in closed form. Every p "
        "value is two-sided.",
        f"Robustness: BCa bootstrap within arm, restricted wild bootstrap and Freedman–Lane permutation "
        f"({count(config.moderation.draws)} draws each), leaving out each person in turn, correction for "
        "measurement error, power by simulation, and a multiverse of the model’s choices with joint tests by the "
        "wild bootstrap.",
    ]
    return Section("methods", "Methods in short", (Items(tuple(items)),))
