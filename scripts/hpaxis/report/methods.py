"""The methods in short, worded from the config of the run."""

from hpaxis.report.blocks import Items, Section
from hpaxis.report.numbers import count

READS = (
    "Methylation: a read finds its amplicon by words of its sequence in three letters; both mates are laid over "
    "the reference and become one molecule, so that no base counts twice and primers and adapters, outside the "
    "insert, count not at all. Cytosines outside CpGs give each library’s conversion. Per-CpG levels are corrected "
    "for incomplete conversion, with intervals that carry that correction and how many templates the molecules can "
    "stand for. Nothing is removed by position, and depth has no cap. methylpy calls the same molecules as a "
    "second opinion."
)
PYROSEQUENCING = (
    "Methylation by pyrosequencing: readings are the instrument’s own percentages. The error of a position, and the "
    "part that all positions of a run share, come from libraries run in several wells or from the config; conversion "
    "comes from the control position, drawn towards the study’s mean by as much as a reading is noise."
)


CURVES = (
    "Cortisol: each plate’s standards give a curve, by which wells become concentrations and, with the hair’s "
    "mass and volumes, pg/mg. Values beyond the standards are censored, never extrapolated. Models use the "
    "natural logarithm."
)
FINISHED = (
    "Cortisol: concentrations in pg/mg as the laboratory finished them; values beyond its limits are censored. Models "
    "use the natural logarithm."
)


def methods_section(config, cortisol, assays=("amplicon",)):
    """Return the section on methods: one item a stage that this study has.

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
        "Cohort: stages are joined on participant and timepoint; every row of every sheet is accounted for."
        if assays or cortisol is not None
        else "Cohort: every row of the sheet of participants is accounted for."
    )
    if not config["models"]:
        return Section("methods", "Methods in short", (Items(tuple(items)),))
    censored = (
        " Where hair cortisol is censored, a censored (Tobit) regression if it is the outcome, multiple imputation "
        "under its limits if it is a covariate."
        if cortisol is not None
        else ""
    )
    items += [
        f"Moderation: least squares on complete cases, {config['arms'][0]} the reference arm, one covariance for every "
        f"number of a model, Student’s t.{censored} Regions of significance are Johnson and Neyman’s, in closed form. "
        "Every p value is two-sided.",
        f"Scrutiny: BCa bootstrap within arm, restricted wild bootstrap and Freedman–Lane permutation "
        f"({count(config['moderation']['draws'])} draws each), leaving out each person, correction for measurement "
        "error, power by simulation, and every version of the model’s choices with joint permutation tests.",
    ]
    return Section("methods", "Methods in short", (Items(tuple(items)),))
