"""Whether a library can be used, with every reason in words."""

import numpy as np
import pandas as pd

from hpaxis.methylation.levels.bias import NONE
from hpaxis.methylation.levels.contexts import context_reasons
from hpaxis.methylation.levels.samples import ALL, umi_families
from hpaxis.methylation.levels.standards import extrapolated

CROWDED = 0.1  # then about one template in twenty has its UMI in common with another
RANK = ("pass", "warn", "fail")


def verdict(sample, row, over, typical, settings, suspicions=()):
    """Verdict (pass, warn, fail) and every reason, in words; a pass may carry notes. ``suspicions`` warn."""
    if sample.row.kind == "no_template":
        return _no_template_verdict(row["passed"], typical, settings)
    found = []
    if row["passed"] == 0:
        return "fail", f"none of {row['pairs_in']} read pairs passed"
    conversion = 1 - row["non_conversion"]
    if np.isnan(conversion):
        found.append(("fail", "no cytosine outside CpGs was read, so conversion is unknown"))
    else:
        found += _gate(conversion, "conversion", settings, lambda v: f"{100 * v:.4g} %")
    for rank in ("fail", "warn"):
        if row["failed_molecules"] > settings[f"failed_molecules_{rank}"]:
            what = f"conversion failed on {100 * row['failed_molecules']:.3g} % of the molecules"
            found.append((rank, f"{what}, above {100 * settings[f'failed_molecules_{rank}']:.3g} %"))
            break
    found += _gate(row["effective_depth"], "depth", settings, lambda v: f"{v:.4g} molecules")
    if np.isnan(sample.templates) and sample.row.kind == "study":
        found.append(("pass", "template copies unknown (no input_ng): the interval assumes every molecule is its own"))
    elif row["effective_depth"] < 0.5 * row["median_depth"]:
        found.append(("warn", f"{row['median_depth']:.4g} molecules are copies of {sample.templates:.4g} templates"))
    if over.trials == np.inf and over.variance == 0 and over.value == 0:
        found.append(("pass", "no 100 % control of this panel: over-conversion taken as 0"))
    found += [("warn", reason) for reason in [*sample.bias, *_crowded_umis(sample), *suspicions]]
    found += [("pass", note) for note in sample.notes]
    found += [("warn", reason) for reason in context_reasons(sample)]
    if sample.row.kind == "study":
        found += extrapolated(sample.curves.get(ALL, NONE), row["region_mean_beta"])
    if row["carry_over"]:
        number, expected = row["fully_methylated"], row["fully_methylated_expected"]
        what = f"{number} molecules methylated at every CpG, {expected:.3g} expected"
        found.append(("warn", f"{what}: carry-over of a 100 % control, or an allele"))
    found += _control_reasons(sample, row, over, settings)
    worst = max((rank for rank, _ in found), key=RANK.index, default="pass")
    return worst, "; ".join(reason for _, reason in found) or None


def _crowded_umis(sample):
    """What short UMIs lose: templates that have theirs by chance in common, of so many that there can be."""
    pattern = getattr(sample.row, "umi", None)
    if pd.isna(pattern) or pattern == "name":
        return []
    kinds, families = 4.0 ** pattern.count("N"), umi_families(sample.reads)
    if families <= CROWDED * kinds:
        return []
    return [f"{families} families of molecules, where there are {kinds:.0f} UMIs: templates share UMIs by chance"]


def _gate(value, name, settings, show):
    for level, verdict in (("fail", "fail"), ("warn", "warn"), ("target", "pass")):
        limit = settings[f"{name}_{level}"]
        if value < limit:
            what = "median effective depth" if name == "depth" else name
            return [(verdict, f"{what} {show(value)}, below {show(limit)}{' (target)' if level == 'target' else ''}")]
    return []


def _control_reasons(sample, row, over, settings):
    kind, known = sample.row.kind, sample.row.expected_percent
    expected = {"control_0": 0.0, "control_100": 1.0}.get(kind, np.nan) if pd.isna(known) else float(known) / 100
    if kind == "control_100" and over.value > settings["over_conversion_warn"]:
        return [("warn", f"100 % controls lose {100 * over.value:.3g} % of their methylation")]
    if kind in ("control_0", "standard") and not np.isnan(expected):
        low, high = row["region_mean_beta_low"], row["region_mean_beta_high"]
        if not low <= expected <= high:
            rank = "warn" if kind == "control_0" else "pass"
            return [
                (
                    rank,
                    f"known level {100 * expected:.4g} % is outside {100 * low:.3g} to {100 * high:.3g} %",
                )
            ]
    return []


def _no_template_verdict(passed, typical, settings):
    if typical == 0:
        return ("warn", f"{passed} molecules passed in a control without template") if passed else ("pass", None)
    share = passed / typical
    reason = f"{passed} molecules passed, {100 * share:.3g} % of the median study library's"
    for rank in ("fail", "warn"):
        if share > settings[f"no_template_{rank}"]:
            return rank, reason
    return "pass", None
