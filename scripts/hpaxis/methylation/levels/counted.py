"""One library of which molecules were counted: conversion, templates, depth. It fulfils `measured.Measured`."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from hpaxis.methylation.counting.calls import OTHER
from hpaxis.methylation.counting.chemistry import NATIVE, is_turned
from hpaxis.methylation.counting.cycles import cycle_bias
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.contexts import context_columns, context_reasons
from hpaxis.methylation.levels.conversion import Mixture, fit_mixture
from hpaxis.methylation.levels.crosstalk import Carried, Leak, subtract_leak
from hpaxis.methylation.levels.gates import gate
from hpaxis.methylation.levels.intact import copy_reasons, pair_reasons
from hpaxis.methylation.levels.pooling import Drawn
from hpaxis.methylation.levels.profile import Seen
from hpaxis.methylation.levels.templates import UNKNOWN, TemplateCount, rounded, sequencing_error, umi_families
from hpaxis.methylation.panels.panel import Panel
from hpaxis.methylation.panels.variants import mask_notes, masked_cpgs

CROWDED = 0.1  # then about one template in twenty has its UMI in common with another


@dataclass(frozen=True)
class Counted:
    """One library of molecules: what `measured.Measured` asks for, its tables, molecules by amplicon and templates.

    ``templates``: how many its molecules are copies of (`templates.TemplateCount`); ``seen``: of each amplicon, how
    its failures of conversion change along it (`profile.Seen`), and ``error``, what the sequencer adds to e;
    ``mixture``: its kinds of molecules, None where they are too few to tell failed ones; ``bias``: what its M-bias
    says; ``carried``: what a fully methylated DNA carried over (`crosstalk.Carried`), if anything; ``leak``: what it
    holds of other libraries (`crosstalk.find_leaks`), None where that is not known; ``drawn``: e drawn towards that of
    its panel (`pooling.draw_conversion`), None where levels are corrected by its own.
    """

    row: object
    panel: Panel
    counts: pd.DataFrame
    reads: pd.Series
    parts: list
    counted: TemplateCount
    seen: list
    error: float
    conversion: estimate.Rate
    mixture: Mixture | None
    bias: list
    masked: np.ndarray
    excluded: np.ndarray
    notes: list
    leak: Leak | None = None
    carried: Carried | None = None
    drawn: Drawn | None = None
    rho: float = 0.0
    curves: dict = field(default_factory=dict)
    assay: str = "reads"
    lacking: str = "deep enough"
    unknown: str = "its conversion is unknown"

    @property
    def templates(self):
        """Templates of even copies that the molecules are as good as; NaN where not known, infinite with UMIs."""
        return np.inf if self.counted.source == "UMIs" else self.counted.effective

    @property
    def depth(self):
        """Effective depth of each CpG, n T / (n + T): n molecules tell no more than the T templates they copy."""
        depth = self.counts["depth"].to_numpy(dtype=float)
        per_part = [np.full(len(m.known.T), estimate.duplication(m, self.templates)) for m in self.parts]
        return depth / np.concatenate(per_part)

    def lost(self, patterns):
        """Of each amplicon, which of its molecules show another base at which CpGs: molecules × CpGs, boolean."""
        found = []
        for name, part in zip(self.panel.references, self.parts):
            texts = "".join(patterns.loc[patterns["amplicon"] == name, "pattern"]).encode("ascii")
            found.append(np.frombuffer(texts, dtype=np.uint8).reshape(part.known.shape) == OTHER)
        return found

    def split(self, matrix):
        """Rows of a matrix, one a CpG of the panel, by amplicon."""
        return np.split(matrix, np.cumsum([m.known.shape[1] for m in self.parts])[:-1])

    @property
    def covered(self):
        """Reads may show every CpG."""
        return np.ones(len(self.counts), dtype=bool)

    def usable(self, settings):
        """CpGs that molecules enough show; whether these stand for templates enough is judged of the library."""
        return self.counts["depth"].to_numpy(dtype=float) >= settings.depth_fail

    def shares(self, weights, confidence):
        """`estimate.Shares` of weighted sets of CpGs, less what molecules of other libraries add."""
        split = self.split(weights)
        reach = _reach(self.counted, self.parts, confidence)
        shares = estimate.observed_shares(self.parts, split, self.conversion, self.templates, reach)
        if self.drawn is not None:
            shares = replace(shares, covariance=self.drawn.kept * shares.covariance)
        shares = subtract_leak(self._along(shares, split, confidence), self, split, confidence)
        return shares if self.carried is None else self.carried.add_error(shares, confidence)

    def _along(self, shares, weights, confidence):
        """`estimate.Shares` with non-conversion as it is at the CpGs, not as on average over the amplicon."""
        if np.isnan(self.conversion.value):
            return shares
        failure = max(self.correcting.value - self.error, 0.0)
        beyond = failure * (sum(w.T @ p.cpgs for w, p in zip(weights, self.seen)) - 1)
        variance = failure**2 * sum(np.einsum("is,ij,js->s", w, p.covariance, w) for w, p in zip(weights, self.seen))
        return shares.widened(np.clip(1 - shares.p, 0, 1) ** 2 * variance, confidence, beyond)

    def levels(self, weights, over, confidence):
        """`estimate.Estimate` of weighted sets of CpGs."""
        return estimate.correct(self.shares(weights, confidence), self.correcting, over, confidence)

    @property
    def placed(self) -> float:
        """Failure expected at the cytosines that the molecules show, relative to those that the study's show."""
        sites = np.array([estimate.weighted_sites([m]) for m in self.parts])
        return float(sites @ [s.mean for s in self.seen] / sites.sum()) if sites.sum() else 1.0

    @property
    def correcting(self) -> estimate.Rate:
        """Non-conversion as levels are corrected by it."""
        return self.conversion if self.drawn is None else self.drawn.rate

    def table(self):
        """One row per CpG with its counts."""
        return self.counts.copy()

    def flags(self, settings):
        """Which CpGs are not deep enough."""
        low = self.depth < settings.depth_warn
        return list(np.select([~self.usable(settings), low], ["depth_fail", "depth_low"], default=""))

    @property
    def failed(self):
        """Share of molecules whose conversion failed: `estimate.Rate`; NaN where it is not known."""
        if self.mixture is None:
            return estimate.Rate(np.nan, np.nan, np.nan)
        share = self.mixture.failed
        trials = self.mixture.trials / max(estimate.duplication(m, self.templates) for m in self.parts)
        return estimate.Rate(share, share * (1 - share) / trials, trials)

    def summary(self, settings):
        """Reads, templates, depths, failed molecules and leaks."""
        failed, confidence = self.failed, settings.confidence
        failed_limits = failed.limits(confidence)
        return {
            **{c: int(self.reads[c]) for c in estimate.LIBRARY_COLUMNS},
            "template_copies": self.counted.effective,
            "template_copies_low": self.counted.low,
            "template_copies_high": self.counted.high,
            "template_source": self.counted.source,
            "non_conversion_drawn": np.nan if self.conversion.assumed else self.correcting.value,
            "median_depth": float(np.median(self.counts["depth"])),
            "effective_depth": float(np.median(self.depth)),
            "failed_molecules": failed.value,
            "failed_molecules_low": float(failed_limits[0]),
            "failed_molecules_high": float(failed_limits[1]),
            "overdispersion": self.rho,
            **context_columns(self, confidence),
            "leaked_share": np.nan if self.leak is None else self.leak.share,
            "leaked_share_low": np.nan if self.leak is None else self.leak.low,
            "leaked_share_high": np.nan if self.leak is None else self.leak.high,
        }

    def blank(self, typical, settings):
        """A control without template is judged by its molecules beside those of the study's libraries."""
        passed = int(self.reads["passed"])
        if typical == 0:
            return ("warn", f"{passed} molecules passed in a control without template") if passed else ("pass", None)
        share = passed / typical
        reason = f"{passed} molecules passed, {100 * share:.3g} % of the median study library's"
        for rank in ("fail", "warn"):
            if share > settings[f"no_template_{rank}"]:
                return rank, reason
        return "pass", None

    def stop(self, summary):
        """No molecule passed."""
        if summary["passed"]:
            return None
        stop = f"none of {summary['pairs_in']} read pairs passed"
        turned = self.reads["unconverted"] > 0.5 * self.reads["on_target"]
        return f"{stop}; {self._other_chemistry()}" if turned else stop

    def _other_chemistry(self):
        """What cytosines outside CpGs say of the chemistry that the sheet names."""
        chemistry = self.row_chemistry
        seen, other = ("T", "bisulfite or em-seq") if is_turned(chemistry) else ("C", "taps, 5-base, or not converted")
        return f"cytosines outside CpGs read {seen}: the chemistry is not {chemistry} but {other}"

    @property
    def row_chemistry(self):
        """The chemistry that the sheet names."""
        named = getattr(self.row, "chemistry", None)
        return "bisulfite" if pd.isna(named) else named

    def doubts(self, summary, settings):
        """Failed molecules, depth and templates."""
        found = []
        if self.conversion.assumed and self.row_chemistry == NATIVE:
            what = "native reads: what the basecaller falsely calls methylated is not taken off; 0 % controls tell it"
            found.append(("pass", f"{what} (limits.tsv), or state conversion_percent"))
        elif self.conversion.assumed:
            what = "its counts hold no cytosine outside CpGs: conversion taken as complete; state conversion_percent"
            found.append(("warn", what))
        if self.conversion.value > 0.5:
            found.append(("fail", self._other_chemistry()))
        for rank in ("fail", "warn"):
            if summary["failed_molecules"] > settings[f"failed_molecules_{rank}"]:
                what = f"conversion failed on {100 * summary['failed_molecules']:.3g} % of the molecules"
                found.append((rank, f"{what}, above {100 * settings[f'failed_molecules_{rank}']:.3g} %"))
                break
        found += gate(self._judged_depth(summary), "depth", settings, lambda v: f"{v:.4g} molecules")
        return found + self._template_reasons(summary)

    def _judged_depth(self, summary):
        """The effective depth; where templates cannot be counted, that of a number as likely too small as too large.

        The mean of q is then all but that of what is believed beforehand. It widens the interval; it is no verdict.
        """
        if not self.counted.thin:
            return summary["effective_depth"]
        factors = [np.full(len(m.known.T), estimate.duplication(m, self.counted.middle)) for m in self.parts]
        return float(np.median(self.counts["depth"] / np.concatenate(factors)))

    def _template_reasons(self, summary):
        """What the molecules stand for, in words."""
        # Where most CpGs are not read, those of the deepest one.
        number = summary["median_depth"] or max(m.total for m in self.parts)
        counted, molecules = self.counted, f"{number:,.0f} molecules"
        if counted.held is not None:
            what = (
                f"input_ng holds {counted.held:.3g} templates at most, but these {molecules} stand for some "
                f"{rounded(counted.low)} to {rounded(counted.high)}: is it in nanograms? It is not used"
            )
            return [("warn", what)]
        if counted.source == "unknown":
            if self.row.kind != "study":
                return []
            what = "template copies unknown (no input_ng): the interval assumes every molecule is its own"
            return [("pass", what)]
        if counted.source == "UMIs":
            return []
        between = f"{rounded(counted.low)} to {rounded(counted.high)}"
        about = f"{rounded(counted.effective)} templates"
        about += f" ({between})" if counted.low < counted.high else ", by the input given"
        if counted.thin:
            what = (
                f"the templates behind {molecules} cannot be counted ({between}): too few cytosines stayed unconverted "
                "to tell copies; input_ng would tell"
            )
            return [("pass", what)]
        few = summary["effective_depth"] < 0.5 * summary["median_depth"]
        what = f"these {molecules} stand for about {about}"
        return [("warn" if few else "pass", what)] if few or counted.source != "input" else []

    def signs(self):
        """Broken pairs, stretches, clones, carry-over, M-bias, crowded UMIs, conversion that differs by context."""
        found = pair_reasons(self) + copy_reasons(self)
        if is_turned(self.row_chemistry):
            what = f"chemistry {self.row_chemistry}: a methylated cytosine reads T"
            found.append(("pass", f"{what}; non_conversion is the share of unmethylated ones that do"))
        found += [] if self.carried is None else self.carried.reasons()
        return found + [("warn", reason) for reason in [*self.bias, *self._crowded(), *context_reasons(self)]]

    def _crowded(self):
        """What short UMIs lose: templates that have theirs by chance in common, of so many that there can be."""
        pattern = getattr(self.row, "umi", None)
        if pd.isna(pattern) or pattern == "name":
            return []
        kinds, families = 4.0 ** pattern.count("N"), umi_families(self.reads)
        if families <= CROWDED * kinds:
            return []
        return [f"{families} families of molecules, where there are {kinds:.0f} UMIs: templates share UMIs by chance"]


def spike_over_conversion(reads):
    """g and its variance from a library's fully methylated spike-in; None without one.

    ``reads``: its row of the reads table. The variance is binomial, with half a count: none lost is no certainty.
    """
    if reads is None or pd.isna(reads.get("spike_methylated", np.nan)):
        return None
    m, u = float(reads["spike_methylated"]), float(reads["spike_unmethylated"])
    if m + u == 0:
        return None
    g = u / (m + u)
    smooth = (u + 0.5) / (m + u + 1)
    return g, smooth * (1 - smooth) / (m + u)


def read_sample(row, panel, tables, settings, counted=UNKNOWN, seen=None, notes=()):
    """`Counted` of a row of the sheet and its `calls.LibraryCalls`.

    ``counted``: its templates (`templates.TemplateCount`); ``seen``: amplicon → `profile.Seen`, flat without;
    ``notes``: what is to be said of how it was read.
    """
    sizes = {name: len(panel.cpg_offsets(name)) for name in panel.references}
    cells = tables.conversion
    mixture = fit_mixture(cells["unconverted"], cells["sites"], cells["count"])
    parts = [estimate.read_molecules(tables.patterns, name, size, mixture) for name, size in sizes.items()]
    whole = parts if mixture is None else [
        _all_molecules(cells[cells["amplicon"] == name], part, mixture) for name, part in zip(sizes, parts)
    ]  # fmt: skip
    # With UMIs every family is a template of its own: nothing is counted twice.
    copies = np.inf if counted.source == "UMIs" else counted.effective
    conversion = estimate.non_conversion(whole, copies, _reach(counted, parts, settings.confidence))
    untold = getattr(row, "assay", None) == "counts" or getattr(row, "chemistry", None) == NATIVE
    if np.isnan(conversion.value) and untold:
        stated = getattr(row, "conversion_percent", np.nan)
        conversion = estimate.ASSUMED if pd.isna(stated) else estimate.Rate(1 - float(stated) / 100, 0.0, np.inf)
    masked = masked_cpgs(panel, settings.snp_frequency)
    return Counted(
        row=row,
        panel=panel,
        counts=tables.counts,
        reads=tables.reads.iloc[0],
        parts=parts,
        counted=counted,
        seen=[seen[name] if seen else Seen(np.ones(size), np.zeros((size, size))) for name, size in sizes.items()],
        error=sequencing_error(tables.reads.iloc[0]),
        conversion=conversion,
        mixture=mixture,
        bias=[] if tables.cycles is None else cycle_bias(tables.cycles),
        masked=masked,
        excluded=masked & (settings.snp_action == "exclude"),
        notes=[*mask_notes(panel, settings), *notes],
    )


def _reach(counted, parts, confidence):
    """`TemplateCount.reach` of a library's deepest amplicon."""
    return counted.reach(max((m.total for m in parts), default=0), confidence)


def _all_molecules(cells, part, mixture):
    """The amplicon's molecules by their conversion alone, those left out for it included; as deep as its CpGs."""
    unconverted, sites, count = (cells[c].to_numpy(dtype=float) for c in ("unconverted", "sites", "count"))
    empty = np.zeros((len(cells), 1))
    known = np.full((len(cells), 1), part.total / max(count.sum(), 1))
    weight = mixture.weight(unconverted, sites)
    return replace(part, methylated=empty, known=known, unconverted=unconverted, sites=sites, count=count,
                   weight=weight, excess=0.0)  # fmt: skip
