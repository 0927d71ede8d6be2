"""Methods and Results as a list of (heading, paragraphs), worded from a run's own facts, settings and versions.

A citation stands as ``[@key]`` in the text. What the run does not know is named in square brackets, for the authors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hpaxis.labels import column_label, level_label, population_label
from hpaxis.report.answer import sentence, verdict
from hpaxis.report.models import difference_sentence, in_order, plain_sentence
from hpaxis.report.moderation import region_sentence
from hpaxis.report.numbers import agreeing, count, p_phrase, percent, plural, significant, words
from hpaxis.report.privacy import Cells
from hpaxis.report.scrutiny import power_sentence, term_in_words, versions_sentence

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.report.models import ModelResult
    from hpaxis.report.run import Run

CITED = re.compile(r"\[@([a-z0-9@; ]+)\]")


def citations(sections: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Return the keys that the sections cite, in the order of first mention."""
    found = []
    for _, paragraphs in sections:
        for text in paragraphs:
            for group in CITED.findall(text):
                found += [key.strip().lstrip("@") for key in group.split(";")]
    return list(dict.fromkeys(found))


def methods(run: Run) -> list[tuple[str, list[str]]]:
    """Return the sections of the Methods of a run (`hpaxis.report.build.Run`)."""
    config, sections = run.config, []
    assays = set(run.sheet["assay"])
    if run.libraries is not None and len(run.libraries):
        sections.append(("DNA methylation", [_methylation(run, assays)]))
    if run.cortisol is not None:
        sections.append(("Hair cortisol", [_cortisol(run.cortisol)]))
    if run.results:
        sections.append(("Statistical analysis", _analysis(run)))
    version = dict(run.software)
    made = (
        f"All steps ran in hpaxis {version['hpaxis']}, a Snakemake workflow (version {version['snakemake']}) "
        "[@molder2021]"
    )
    sections.append(("Software and reproducibility", [
        f"{made}, on Python {next(v for n, v in run.software if n not in ('hpaxis',) and n.endswith('Python'))}. "
        "The seed "
        f"was {config.seed}. The same inputs, settings and versions give the same tables and figures byte for byte; "
        "checksums of the inputs and settings are in the run’s RO-Crate."
    ]))  # fmt: skip
    return sections


def _methylation(run: Run, assays: set[str]) -> str:
    settings = run.config.methylation
    study = run.libraries[run.libraries["kind"] == "study"]
    parts = [f"Methylation was measured in saliva, in {plural(len(study), 'library', 'libraries')} of participants."]
    if assays - {"pyrosequencing", "levels"}:
        parts.append(
            "Each read was placed on its amplicon by exact k-mers in a two-letter alphabet (purine, pyrimidine), which "
            "bisulfite conversion does not change. Both mates were aligned to the reference and merged into one "
            "molecule. Incomplete conversion was estimated from cytosines outside CpGs in each library, and per-CpG "
            "levels were corrected for it. Reads were not deduplicated by position."
        )
        parts.append(
            f"A library was excluded below {percent(settings.conversion_fail, 1)} "
            f"conversion or a median effective depth of {count(settings.depth_fail)} molecules. methylpy "
            "[@schultz2015] "
            "called the same molecules as a second opinion."
        )
    if "pyrosequencing" in assays:
        parts.append(
            "Pyrosequencing readings are the instrument’s percentages; their error came from libraries that were "
            "run in "
            "several wells or from the settings."
        )
    return " ".join(parts)


def _cortisol(tables: Mapping[str, pd.DataFrame]) -> str:
    curves = tables["curves"]
    if curves.empty:
        return (
            "Hair cortisol concentrations in pg/mg were finished by the laboratory; values beyond its limits were "
            "treated as censored. The natural logarithm was analysed."
        )
    models = words(dict.fromkeys(f"{m} curves" for m in curves["model"]))
    kits = words(dict.fromkeys(str(k).replace("_", " ") for k in curves["kit"]))
    return (
        f"Hair cortisol was measured on {plural(len(curves), 'plate')} ({kits}). {sentence(models)[:-1]} were "
        "fitted to the "
        "standards of each plate. Concentrations were converted to pg per mg of hair with the mass and volumes of each "
        "sample. Values beyond the standards were treated as censored, not extrapolated. The natural logarithm was "
        "analysed."
    )


def _analysis(run: Run) -> list[str]:
    config, results = run.config, in_order(run.results)
    primary, settings = results[0], config.moderation
    entry = primary.entry
    scaled = words(entry["standardise"])
    named = level_label(config.arms[0])
    reference = f"was {named}" if named != config.arms[0] else f"arm was {named}"
    model = (
        f"The primary model regressed {column_label(entry['outcome'])} on {column_label(entry['predictor'])}, "
        f"{column_label(entry['moderator'])} and their product in {population_label(entry['population'])}"
        + (f", adjusted for {words(column_label(c) for c in entry['covariates'])}" if entry["covariates"] else "")
        + (
            f"; {scaled} were standardised"
            if len(entry["standardise"]) > 1
            else f"; {scaled} was standardised"
            if scaled
            else ""
        )
        + f". The reference {reference}. Standard errors were {entry['covariance']}"
        + (" [@long2000]" if entry["covariance"].startswith("HC") else "")
        + " with Student’s t, and every p value is two-sided. Whether the treatment buffers the association was "
        "judged on "
        "the difference of slopes alone [@gelman2006]."
    )
    region = (
        "Regions of significance [@johnson1936; @bauer2005] hold over the whole observed range at once, by a simulated "
        "critical value; beside them stand the pointwise regions and those with the false discovery rate held "
        "[@esarey2018]."
    )
    parts = [model, region]
    tried = [r.tables["sensitivity"] for r in results if not r.refused]
    methods_used = {m for t in tried for m in t.loc[t["estimate"].notna(), "method"]}
    treated = []
    if any("Tobit" in m for m in methods_used):
        treated.append("censored (Tobit) regression where the outcome was censored [@tobin1958]")
    if any("imputation" in m for m in methods_used):
        treated.append("multiple imputation within the limits of the assay [@rubin1987]")
    if any("regression calibration" in m for m in methods_used):
        simex = " and SIMEX [@cook1994]" if any("SIMEX" in m for m in methods_used) else ""
        treated.append(f"regression calibration{simex} for the measurement error of the predictor")
    if treated:
        parts.append(f"Complete cases were compared with {words(treated)}.")
    draws = count(settings.draws)
    parts.append(
        "Robustness was examined by a BCa bootstrap within arms [@efron1987], a restricted wild bootstrap "
        "[@davidson2008] and "
        f"Freedman–Lane permutation [@freedman1983], with {draws} draws each; by leaving out each person in turn; "
        "by simulated "
        "power at the study’s own design; and by a multiverse of the model’s choices [@steegen2016] with joint "
        "tests over its versions [@simonsohn2020], by a restricted wild bootstrap."
    )
    status = {r.standing[0] for r in results if not r.refused}
    locked = [r.title for r in results if not r.refused and r.standing[0] == "confirmatory"]
    parts.append(
        f"The plan was locked before the arms were seen; the model{'s' if len(locked) > 1 else ''} {words(locked)} "
        f"{'are' if len(locked) > 1 else 'is'} confirmatory."
        if locked
        else "No plan was locked before the analysis: every result is exploratory."
    )
    if len(status) > 1:
        parts.append("The other models are exploratory.")
    return parts


def results_text(run: Run) -> list[tuple[str, list[str]]]:
    """Return the sections of the Results of a run, every number from its tables."""
    cells = Cells(run.config.report.smallest_cell)
    enrolled = run.attrition[run.attrition["step"] == "enrolled"]
    parts = [
        f"{count(rows['n_after'].sum())} {population_label(p)} "
        f"({words(f'{count(n)} {level_label(a)}' for a, n in zip(rows['arm'], rows['n_after'], strict=True))})"
        for p, rows in enrolled.groupby("population", sort=False)
    ]
    sections = [("Participants", [f"{words(parts)} were enrolled (Figure 1)." if parts else "[Nobody was enrolled.]"])]
    if run.libraries is not None and len(run.libraries):
        study = run.libraries[run.libraries["kind"] == "study"]
        good = study[study["verdict"] != "fail"]
        conversion = 1 - good["non_conversion"]
        failed = cells.part(len(study) - len(good), len(study))
        failed = f"{failed} libraries {agreeing(failed, 'was', 'were')} excluded for quality."
        sections.append(("Quality of the measurements", [
            f"Median bisulfite conversion was {percent(conversion.median())} (range {percent(conversion.min())} to "
            f"{percent(conversion.max())}). {failed}"
        ]))  # fmt: skip
    fitted = [r for r in in_order(run.results) if not r.refused] if run.results else []
    if fitted:
        sections.append(("Primary model", _primary(fitted[0], cells)))
        others = [
            f"Model {r.title}, {r.who()}: "
            f"{'; '.join(difference_sentence(r, row) for _, row in r.differences.iterrows())}."
            for r in fitted[1:]
        ]
        if others:
            sections.append(("Other models", others))
    return sections


def _primary(result: ModelResult, cells: Cells) -> list[str]:
    rows = [row for _, row in result.differences.iterrows()]
    parts = [f"In {result.who()}, {plain_sentence(result, rows[0])}."]
    parts += [sentence(difference_sentence(result, row)) for row in rows]
    raw = [result.raw(rows[0][c]) for c in ("estimate", "low", "high")]
    if raw[0] is not None:
        low, high = significant(raw[1]), significant(raw[2])
        parts.append(
            f"In raw units the difference is {significant(raw[0])} ({result.confidence} CI {low} to {high}) "
            f"{result.raw_unit}."
        )
    parts.append(" ".join(verdict(result, row) for row in rows))
    parts.append(region_sentence(result, result.region, cells))
    table = result.tables["resampling"]
    own = table[~table["quantity"].str.startswith("slope[") & table["p"].notna()]
    if len(own):
        several = own["quantity"].nunique() > 1
        for method, found in own.groupby("method", sort=False):
            said = words(
                f"{term_in_words(q, result.entry['moderator']) + ', ' if several else ''}p {p_phrase(p)}"
                for q, p in zip(found["quantity"], found["p"], strict=True)
            )
            parts.append(f"By resampling ({method}): {said}.")
    parts += [text for text in (versions_sentence(result), power_sentence(result)) if text]
    return parts
