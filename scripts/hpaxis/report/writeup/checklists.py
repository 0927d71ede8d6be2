"""Reporting checklists, filled from a run: what it gives, and what is missing and has to be written by the authors.

Topics in our own words, by item number, after CONSORT 2025 (Hopewell et al., 2025) with the extension for social and
psychological interventions (Montgomery et al., 2018), STROBE-ME (Gallo et al., 2011), and two lists of our own for
DNA methylation and for hair cortisol. A checklist is a table of item, topic, where and status (given or missing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpaxis.report.run import Run

GIVEN, MISSING = "given", "missing: to be written by the authors"
# Item, topic, and what in a run answers it (a key of `facts`, None where no run can).
CONSORT = (
    ("1a", "Identification as a randomised trial in the title", None),
    ("1b", "Structured summary", None),
    ("2", "Registration: registry, number, date", None),
    ("3", "Access to protocol and statistical analysis plan", "plan"),
    ("4", "Sharing of data, code and materials", "provenance"),
    ("5", "Funding and conflicts of interest", None),
    ("6", "Background and rationale", None),
    ("7", "Objectives on benefits and harms", "question"),
    ("8", "Patient or public involvement", None),
    ("9", "Trial design and allocation ratio", None),
    ("10", "Changes after the trial began", "plan"),
    ("11", "Setting and locations", None),
    ("12", "Eligibility of participants, sites and those who deliver", None),
    ("13", "Intervention and comparator in detail; who delivered it, how well (SPI)", None),
    ("14", "Outcomes: measure, time, how aggregated", "models"),
    ("15", "Harms: definition and assessment", None),
    ("16", "Sample size: how determined; interim analyses", "power"),
    ("17", "Randomisation: who, how, restriction", None),
    ("18", "Concealment of allocation", None),
    ("19", "Implementation of the allocation", None),
    ("20", "Blinding: who and how", None),
    ("21a", "Statistical methods for the outcomes", "models"),
    ("21b", "Who is in each analysis, and in which group", "flow"),
    ("21c", "Handling of missing data", "treatments"),
    ("21d", "Additional analyses, planned or not", "plan"),
    ("22a", "Flow: randomised, received, analysed, by group", "flow"),
    ("22b", "Losses and exclusions with reasons, by group", "flow"),
    ("23", "Dates of recruitment and follow-up; why it ended", None),
    ("24", "Intervention as delivered; receipt, fidelity (SPI)", "received"),
    ("25", "Baseline characteristics by group", "table1"),
    ("26", "Numbers analysed, estimates and precision of each outcome", "models"),
    ("27", "Harms observed", None),
    ("28", "Ancillary analyses, which were planned", "models"),
    ("29", "Interpretation consistent with results", None),
    ("30", "Limitations", "limits"),
)
STROBE_ME = (
    ("ME-1", "Biomarkers named in title or abstract", None),
    ("ME-2", "Why these biomarkers: scientific background", None),
    ("ME-3", "Hypothesis stated in advance where a biomarker stands for something else", "plan"),
    ("ME-4", "Special designs of molecular epidemiology, such as nested case-control", None),
    ("ME-4.1", "Collection of samples: place, amount, procedure, state of the participant, time", None),
    ("ME-4.2", "Storage of samples until the assay", None),
    ("ME-4.3", "Processing of samples: additives, timing, extraction", None),
    ("ME-4.4", "Half-life and chemical nature of the biomarkers", None),
    ("ME-6", "Habits, conditions and circumstances that change the biomarkers", None),
    ("ME-8", "Assay: type, detection limits, quantity used, outliers, calibration, standards", "quality"),
    ("ME-12", "How the biomarkers enter the statistical models", "models"),
    ("ME-12.1", "Validity and reliability of the measurement", "quality"),
    ("ME-13", "Samples lost at each stage, with reasons", "flow"),
    ("ME-14", "Distribution of the biomarkers: mean, median, range, variance", "table1"),
    ("ME-19", "Limitations of the laboratory procedures", "limits"),
    ("ME-20", "Interpretation: biological plausibility", None),
    ("ME-22", "Consent, ethical approval, and whether samples were anonymous", None),
)
METHYLATION = (
    ("M1", "Tissue, and the cell mix or its adjustment", "cell_mix"),
    ("M2", "Genome assembly, amplicon coordinates and CpG numbering", "panel"),
    ("M3", "Primers and polymerase", None),
    ("M4", "Bisulfite kit, input DNA, conversion measured in each library", "quality"),
    ("M5", "Controls: unmethylated, methylated, standards, no template", "controls"),
    ("M6", "Depth, number of templates, exclusion rules and exclusions", "quality"),
    ("M7", "Variants at CpGs and primers", "panel"),
    ("M8", "Calling, correction for conversion and for PCR bias", "quality"),
    ("M9", "Agreement with a second caller or method", "concordance"),
    ("M10", "Batches and their balance between arms", "plates"),
    ("M11", "Scale of the analysis (beta or M values) and size in percentage points", "models"),
)
CORTISOL = (
    ("H1", "Hair: site, length, segment and the months it stands for", None),
    ("H2", "Wash, grinding or cutting, extraction; mass of each sample", None),
    ("H3", "Assay: kit, antibody’s cross-reactivity, or LC-MS/MS", "kits"),
    ("H4", "Standard curve: model, weights, limits of detection and quantification", "curves"),
    ("H5", "Intra- and inter-assay CV; controls and recovery", "plates_hair"),
    ("H6", "Parallelism and spike recovery", "plates_hair"),
    ("H7", "Values beyond the limits: how many and how handled", "treatments"),
    ("H8", "Covariates: washing frequency, treatment, colour, steroids, season", None),
    ("H9", "Transformation and unit (pg/mg)", "curves"),
    ("H10", "Plates and their balance between arms", "plates_hair"),
)
LISTS = {
    "consort_2025": ("CONSORT 2025 with CONSORT-SPI", CONSORT),
    "strobe_me": ("STROBE-ME", STROBE_ME),
    "dna_methylation": ("Reporting of DNA methylation", METHYLATION),
    "hair_cortisol": ("Reporting of hair cortisol", CORTISOL),
}


def facts(run: Run) -> dict[str, str]:
    """Return where a run (`hpaxis.report.build.Run`) answers an item: key to a place; absent where it does not."""
    places = {
        "question": "report: the answer",
        "provenance": "report: Versions and checksums; crate",
        "limits": "report: Limits",
    }
    places |= {"flow": "Figure 1; report/tables/flow.tsv", "table1": "Table 1; report/tables/table1.tsv"}
    fitted = [r for r in run.results if not r.refused]
    if fitted:
        places |= {"models": "report: Moderation; Results", "treatments": "moderation/*/sensitivity.tsv; Methods",
                   "power": "report: power at this design (not an a priori sample size)"}  # fmt: skip
    if any(r.standing[0] == "confirmatory" for r in fitted):
        places["plan"] = "plan lock; preregistration.md"
    if any(r.entry.get("received") or r.entry.get("dose") for r in fitted):
        places["received"] = "report/tables/received.tsv"
    if run.libraries is not None and len(run.libraries):
        places |= {
            "quality": "methylation_quality.html; methylation/libraries.tsv",
            "panel": "the panel’s provenance.md",
        }
        if (run.libraries["kind"] != "study").any():
            places["controls"] = "report: Controls and standards"
        if run.libraries["plate"].notna().any() if "plate" in run.libraries else False:
            places["plates"] = "methylation_quality.html: Plates"
        if run.concordance is not None and run.concordance["difference"].notna().any():
            places["concordance"] = "report: Agreement with a second caller"
        if run.config.report.cell_mix:
            places["cell_mix"] = f"column {run.config.report.cell_mix}; report: Limits"
    if run.cortisol is not None:
        places["curves"] = "cortisol/curves.tsv" if len(run.cortisol["curves"]) else "finished concentrations"
        if len(run.cortisol["curves"]):
            places |= {"kits": "cortisol/curves.tsv", "plates_hair": "report: Plates and their curves"}
    return places


def filled(items: Sequence[tuple[str, str, str | None]], places: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Return rows item, topic, where, status of a checklist."""
    return [(item, topic, places.get(key, "–"), GIVEN if key in places else MISSING) for item, topic, key in items]
