"""What this page cannot say, each limit only where the study's own tables and config show that it holds."""

from scipy import optimize, stats

from hpaxis.report.blocks import Items, Paragraph, Section
from hpaxis.report.labels import column_label
from hpaxis.report.models import in_order
from hpaxis.report.numbers import bounded, count, plural, words

POWER = 0.80


def limits_section(config, results, libraries, samples, sheet, snps, panel_checked):
    """Return the section on limits.

    ``results`` are the models, ``libraries`` the methylation stage's libraries, ``samples`` the hair samples (None
    without hair), ``sheet`` the sheet of libraries, ``snps`` the number of positions in the panels' SNP masks,
    ``panel_checked`` whether the panel was compared with a genome.
    """
    limits = [
        _simulated(config),
        _timing(config["report"]),
        _size(results),
        _missing(results),
        _many(results),
        _panel(panel_checked, snps),
        _cell_mix(config, results),
        _controls(libraries),
        _replicates(sheet),
        _cortisol(samples),
        _observational(results),
    ]
    return Section(
        "limits",
        "Limits",
        (
            Paragraph("What these data and this page cannot say:"),
            Items(tuple(limit for limit in limits if limit)),
        ),
    )


def detectable_f2(n, terms, alpha, tested=1, power=POWER):
    """Return the f² of ``tested`` product terms that an F test finds with ``power`` at n rows and ``terms`` columns.

    The noncentrality is f² · n (Cohen's convention as G*Power has it); normal errors of equal variance, fixed design.
    """
    df2 = n - terms
    critical = stats.f.isf(alpha, tested, df2)
    return float(optimize.brentq(lambda f2: stats.ncf.sf(critical, tested, df2, f2 * n) - power, 1e-6, 1e3))


def _simulated(config):
    return "simulation" in config and (
        "These people do not exist: the data are simulated with a known truth, to show what hpaxis does."
    )


def _timing(report):
    return report["saliva_taken"] != "before_randomisation" and (
        "Methylation was not known to be measured before randomisation. It may be changed by the arm, so a moderation "
        "by arm is a difference between associations; it does not show that treatment acts on an effect of methylation."
    )


def _size(results):
    parts = []
    for result in in_order(results)[:1]:
        if result.refused:
            continue
        n, terms = int(result.fit("n")), int(result.fit("terms"))
        df1 = int(result.fit("wald_interaction", "df1"))
        alpha = float(result.tables["region"]["alpha"].iloc[0])
        f2 = detectable_f2(n, terms, alpha, df1)
        parts.append(
            f"The primary model rests on {count(n)} people. With so many, and normal errors of equal variance, an "
            f"interaction is found with {POWER:.0%} power only if it is at least f² = {bounded(f2, 2)} (a partial R² "
            f"of {bounded(f2 / (1 + f2), 2)}): smaller ones are likely missed, and one that is found is likely "
            "overestimated."
        )
        leverage = result.fit("max_leverage")
        if leverage > 3 * terms / n:
            parts.append(
                f"One person’s leverage is {bounded(leverage)}, above three times the mean ({bounded(terms / n)}): the "
                "interaction leans on few points."
            )
    return " ".join(parts)


def _missing(results):
    short = [r for r in in_order(results) if not r.refused and r.left_out()]
    shown = words(f"{r.name}: {sum(r.left_out().values())}" for r in short)
    return bool(short) and (
        f"Models use complete cases: people with a missing value are left out ({shown}). If what is missing depends "
        "on the outcome, estimates are biased."
    )


def _many(results):
    explored = [r.name for r in in_order(results) if r.standing[0] != "confirmatory"]
    told = f" Exploratory by the plan lock: {words(explored)}." if explored else ""
    return len(results) > 1 and (
        f"{plural(len(results), 'interaction').capitalize()} are tested on this page, one a model, without adjusting "
        f"for their number; only the primary one answers the question.{told}"
    )


def _panel(checked, snps):
    parts = []
    if not checked:
        parts.append(
            "The panel’s reference and coordinates were not compared with a genome: what its provenance calls "
            "unchecked stays so until that is done."
        )
    if not snps:
        parts.append(
            "The panel’s SNP mask is empty: a C-to-T variant at a CpG reads as unmethylated, and one under a primer "
            "can hide an allele."
        )
    return " ".join(parts)


def _cell_mix(config, results):
    column = config["report"]["cell_mix"]
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


def _controls(libraries):
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


def _replicates(sheet):
    study = sheet[sheet["kind"] == "study"]
    return not study.duplicated(["participant_id", "timepoint"]).any() and (
        "Nobody’s saliva was prepared twice: intervals of methylation carry the sampling of reads and the errors of "
        "conversion, not the variation from one preparation to the next."
    )


def _cortisol(samples):
    if samples is None:
        return "Hair cortisol was not measured."
    censored = samples["censored"].isin(["below", "above"]).sum()
    return bool(censored) and (
        f"{plural(censored, 'hair sample')} of {count(len(samples))} lie beyond the assay’s limits. Their value is not "
        "known, and models that need one leave those people out unless they say otherwise."
    )


def _observational(results):
    return bool(results) and (
        "Methylation and cortisol were observed, not assigned: what goes with them may be due to something else. "
        "Saliva stands for saliva, not for other tissues."
    )
