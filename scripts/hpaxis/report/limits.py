"""What this page cannot say, each limit only where the study's own tables and config show that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hpaxis.labels import column_label
from hpaxis.moderation.entries import at_baseline
from hpaxis.report.blocks import Items, Paragraph, Section
from hpaxis.report.models import in_order
from hpaxis.report.numbers import agreeing, count, plural, words
from hpaxis.report.scrutiny import power_sentence

if TYPE_CHECKING:
    import pandas as pd

    from hpaxis.report.models import ModelResult
    from hpaxis.report.privacy import Cells
    from hpaxis.settings import Config


def limits_section(
    config: Config,
    results: Sequence[ModelResult],
    libraries: pd.DataFrame | None,
    samples: pd.DataFrame | None,
    sheet: pd.DataFrame,
    snps: int,
    genome: str,
    cells: Cells,
) -> Section:
    """Return the section on limits.

    ``results`` are the models, ``libraries`` the methylation stage's libraries (None without saliva), ``samples`` the
    hair samples (None without hair), ``sheet`` the sheet of libraries, ``snps`` the number of positions in the panels'
    SNP masks, ``genome`` whether the panels agree with a genome: same, differs, probes or unchecked, ``cells`` is
    `hpaxis.report.privacy.Cells`.
    """
    of_models = (_size, _warnings, partial(_missing, cells=cells), _many) if results else ()
    of_saliva = (
        []
        if libraries is None
        else [_panel(genome, snps), _cell_mix(config, results), _controls(libraries), _replicates(sheet)]
    )
    limits = [
        _simulated(config),
        _timing(config, results),
        *(limit(results) for limit in of_models),
        *of_saliva,
        _not_measured(libraries, samples),
        _cortisol(samples, cells),
        _observational(results, libraries, samples),
    ]
    if not any(limits):
        return Section("limits", "Limits", (Paragraph("No model was fitted, so there is no estimate to qualify."),))
    return Section(
        "limits",
        "Limits",
        (
            Paragraph("What these data and this page cannot say:"),
            Items(tuple(limit for limit in limits if limit)),
        ),
    )


def _simulated(config: Config) -> bool | str:
    return "simulation" in config and (
        "These people do not exist: the data are simulated with a known truth, to show what hpaxis does."
    )


def _timing(config: Config, results: Sequence[ModelResult]) -> str | None:
    if not results or not config.moderation.predictor_after_randomisation:
        return None
    names = [r.entry["predictor"] for r in in_order(results)]
    predictors = dict.fromkeys(_measure(name) for name in names if not at_baseline(name))
    if not predictors:
        return None
    named = words(predictors)
    what = f"{named} {'was' if len(predictors) == 1 else 'were'} measured after randomisation and may be changed by "
    return (
        f"{what[0].upper()}{what[1:]}the arm, so a moderation by arm is a difference between associations; it does not "
        f"show that treatment acts on an effect of {named}."
    )


def _measure(column: str) -> str:
    """A predictor by what it measures: every index of methylation is methylation."""
    return "methylation" if column.endswith(("_beta", "_m", "_logit")) else column_label(column)


def _size(results: Sequence[ModelResult]) -> str | None:
    primary = in_order(results)[0]
    if primary.refused:
        return None
    power = power_sentence(primary)
    caution = "Smaller effects are likely missed, and one that is found is likely overestimated." if power else ""
    return " ".join(part for part in (f"The primary model rests on {primary.who()}.", power, caution) if part)


def _warnings(results: Sequence[ModelResult]) -> str | None:
    primary = in_order(results)[0]
    if primary.refused:
        return None
    # Time and missing rows are covered above, for every model.
    told = ("predictor_after_randomisation", "rows_left_out")
    rows = primary.tables["warnings"]
    said = [f"{r['what']} ({r['remedy']})" for _, r in rows[~rows["code"].isin(told)].iterrows()]
    return f"The primary model warns: {'; '.join(said)}." if said else None


def _missing(results: Sequence[ModelResult], cells: Cells) -> bool | str:
    short = [r for r in in_order(results) if not r.refused and r.left_out() and not r.hides_complete(cells)]
    shown = words(f"{r.name}: {count(r.fit('n'))} of {count(r.fit('n') + sum(r.left_out().values()))}" for r in short)
    return bool(short) and (
        f"Models use complete cases; people with a missing value are left out (used, {shown}). If what is missing "
        "depends on the outcome, estimates are biased."
    )


def _many(results: Sequence[ModelResult]) -> bool | str:
    explored = [r.name for r in in_order(results) if r.standing[0] != "confirmatory"]
    told = f" Exploratory by the plan lock: {words(explored)}." if explored else ""
    fitted = [r for r in results if not r.refused]
    terms = sum(_interactions(r) for r in fitted)
    versions = sum(int(r.tables["multiverse"]["estimate"].notna().sum()) for r in fitted)
    told = (f" They were also fitted in {count(versions)} versions of their choices." if versions else "") + told
    return terms > 1 and (
        f"{plural(terms, 'interaction')} are tested on this page, in {plural(len(fitted), 'model')} and their families "
        f"of predictors. Only the primary one answers the question; families are adjusted within a model, nothing is "
        f"adjusted across models.{told}"
    )


def _interactions(result: ModelResult) -> int:
    """How many interactions a model tests: those of its family of predictors, or its own."""
    family = result.tables.get("family")
    own = len(result.differences)
    return own if family is None or family.empty else max(own, len(family))


def _panel(genome: str, snps: int) -> str:
    parts = []
    if genome == "unchecked":
        parts.append(
            "The panel’s reference and coordinates were not compared with a genome: what its provenance calls "
            "unchecked stays so until that is done."
        )
    elif genome == "probes":
        parts.append(
            "The panel’s reference agrees with an array’s manifest around its probes; the rest was not compared with a "
            "genome, and stays as its provenance says until that is done."
        )
    elif genome == "differs":
        parts.append(
            "The panel differs from the genome or manifest it was compared with: see genome_check.tsv and "
            "manifest_check.tsv in its folder."
        )
    if not snps:
        parts.append(
            "The panel’s SNP mask is empty: a C-to-T variant at a CpG reads as unmethylated, and one under a primer "
            "can hide an allele."
        )
    return " ".join(parts)


def _cell_mix(config: Config, results: Sequence[ModelResult]) -> bool | str:
    column = config.report.cell_mix
    if column is None:
        return (
            "The cell mix of the saliva was not measured: a difference in the share of epithelium and leukocytes can "
            "look like a difference in methylation."
        )
    without = [r.name for r in in_order(results) if column not in r.entry["covariates"]]
    return bool(without) and (
        f"Cell mix was measured ({column_label(column)}), but {words(without)} "
        f"{'does' if len(without) == 1 else 'do'} not adjust for it."
    )


def _controls(libraries: pd.DataFrame) -> bool | str:
    kinds = set(libraries["kind"])
    absent = [
        name
        for kind, name in (
            ("control_0", "0% control (the blank)"),
            ("control_100", "100% control (over-conversion)"),
            ("standard", "standard of known methylation (PCR bias)"),
            ("no_template", "library without template (contamination)"),
        )
        if kind not in kinds
    ]
    return bool(absent) and f"Not sequenced, and so not known: {words(absent)}."


def _replicates(sheet: pd.DataFrame) -> bool | str:
    study = sheet[sheet["kind"] == "study"]
    return not study.duplicated(["participant_id", "timepoint"]).any() and (
        "Nobody’s saliva was prepared twice: intervals of methylation carry the sampling of reads and the errors of "
        "conversion, not the variation from one preparation to the next."
    )


def _not_measured(libraries: pd.DataFrame | None, samples: pd.DataFrame | None) -> bool | str:
    absent = [name for name, table in (("methylation", libraries), ("hair cortisol", samples)) if table is None]
    text = f"{words(absent)} {'was' if len(absent) == 1 else 'were'} not measured."
    return bool(absent) and text[0].upper() + text[1:]


def _cortisol(samples: pd.DataFrame | None, cells: Cells) -> bool | str | None:
    if samples is None or samples.empty:
        return None
    censored = samples["censored"].isin(["below", "above"]).sum()
    beyond = cells.part(censored, len(samples))
    return bool(censored) and (
        f"{beyond} hair samples {agreeing(beyond, 'lies', 'lie')} beyond the assay’s limits. Such a value is not "
        "known: a "
        "model that needs it fits a censored regression or imputes it, and says so."
    )


def _observational(
    results: Sequence[ModelResult], libraries: pd.DataFrame | None, samples: pd.DataFrame | None
) -> str | None:
    if not results:
        return None
    observed = [name for name, table in (("methylation", libraries), ("cortisol", samples)) if table is not None]
    what = f"{words(observed)} were" if len(observed) > 1 else f"{observed[0]} was" if observed else "predictors were"
    text = f"{what} observed, not assigned: associations with {'it' if what.endswith('was') else 'them'} may be due to "
    text = f"{text[0].upper()}{text[1:]}something else."
    return text + (" Saliva stands for saliva, not for other tissues." if libraries is not None else "")
