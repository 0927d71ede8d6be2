"""One library of a study as the estimates see it: molecules, conversion, templates, depth."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from hpaxis.methylation.counting.cycles import cycle_bias
from hpaxis.methylation.levels import estimate
from hpaxis.methylation.levels.bias import NONE, calibrate
from hpaxis.methylation.levels.conversion import Mixture, fit_mixture
from hpaxis.methylation.levels.crosstalk import Leak, subtract_leak
from hpaxis.methylation.levels.replicates import widen
from hpaxis.methylation.panels.variants import mask_notes, masked_cpgs

ALL = "all CpGs"


@dataclass(frozen=True)
class Sample:
    """One library: its sheet row, panel, tables, molecules by amplicon, templates and non-conversion.

    ``mixture``: its kinds of molecules, None where they are too few to tell failed ones; ``bias``: what its M-bias
    says; ``masked``: CpGs that a variant destroys, ``excluded``: those of them that are left out, ``notes`` on them;
    ``leak``: what it holds of other libraries (`crosstalk.find_leaks`), None where that is not known;
    ``rho``: overdispersion of libraries of one sample (`replicates.Overdispersion`); ``curves``: of each index, and
    of `ALL`, the `bias.Curve` that its level goes through.
    """

    row: object
    panel: object
    counts: pd.DataFrame
    reads: pd.Series
    parts: list
    templates: float
    conversion: estimate.Rate
    mixture: Mixture | None
    bias: list
    masked: np.ndarray
    excluded: np.ndarray
    notes: list
    leak: Leak | None = None
    rho: float = 0.0
    curves: dict = field(default_factory=dict)

    @property
    def depth(self):
        """Effective depth of each CpG, n T / (n + T): n molecules tell no more than the T templates they copy."""
        depth = self.counts["depth"].to_numpy(dtype=float)
        per_part = [np.full(len(m.known.T), estimate.duplication(m, self.templates)) for m in self.parts]
        return depth / np.concatenate(per_part)

    def weights(self, members):
        """Weights of the mean over a boolean set of the panel's CpGs, split by amplicon: CpGs × 1."""
        return self.split((members / members.sum())[:, None])

    def split(self, matrix):
        """Rows of a matrix, one a CpG of the panel, by amplicon."""
        return np.split(matrix, np.cumsum([m.known.shape[1] for m in self.parts])[:-1])

    @property
    def failed(self):
        """Share of molecules whose conversion failed: `estimate.Rate`; NaN where it is not known."""
        if self.mixture is None:
            return estimate.Rate(np.nan, np.nan, np.nan)
        share = self.mixture.failed
        trials = self.mixture.trials / max(estimate.duplication(m, self.templates) for m in self.parts)
        return estimate.Rate(share, share * (1 - share) / trials, trials)


def read_sample(row, panel, tables, settings):
    """`Sample` of a row of the sheet and its `calls.LibraryCalls`."""
    sizes = {name: len(panel.cpg_offsets(name)) for name in panel.references}
    cells = tables.conversion
    mixture = fit_mixture(cells["unconverted"], cells["sites"], cells["count"])
    parts = [estimate.read_molecules(tables.patterns, name, size, mixture) for name, size in sizes.items()]
    if umi_families(tables.reads.iloc[0]) is None:
        templates = estimate.template_copies(
            float(row.input_ng), settings["copies_per_ng"], settings["template_recovery"], settings["amplification_cv"]
        )
    else:
        # Every family is a template of its own: nothing is counted twice.
        templates = np.inf
    whole = parts if mixture is None else [
        _all_molecules(cells[cells["amplicon"] == name], part, mixture) for name, part in zip(sizes, parts)
    ]  # fmt: skip
    conversion = estimate.non_conversion(whole, templates)
    masked = masked_cpgs(panel, settings["snp_frequency"])
    return Sample(
        row=row,
        panel=panel,
        counts=tables.counts,
        reads=tables.reads.iloc[0],
        parts=parts,
        templates=templates,
        conversion=conversion,
        mixture=mixture,
        bias=[] if tables.cycles is None else cycle_bias(tables.cycles),
        masked=masked,
        excluded=masked & (settings["snp_action"] == "exclude"),
        notes=mask_notes(panel, settings),
    )


def umi_families(reads):
    """Templates that UMIs tell apart; None without UMIs."""
    found = reads.get("umi_families")
    return None if found is None or pd.isna(found) else int(found)


def _all_molecules(cells, part, mixture):
    """The amplicon's molecules by their conversion alone, those left out for it included; as deep as its CpGs."""
    unconverted, sites, count = (cells[c].to_numpy(dtype=float) for c in ("unconverted", "sites", "count"))
    empty = np.zeros((len(cells), 1))
    known = np.full((len(cells), 1), part.total / max(count.sum(), 1))
    weight = mixture.weight(unconverted, sites)
    return replace(part, methylated=empty, known=known, unconverted=unconverted, sites=sites, count=count,
                   weight=weight, excess=0.0)  # fmt: skip


def level(sample, members, over, settings, name=ALL):
    """`Estimate` of the mean over a set of CpGs, each an array of one value; NaN for an empty set.

    ``name``: the index, whose calibration is used.
    """
    if not members.any() or np.isnan(sample.conversion.value):
        return estimate.Estimate(*(np.array([np.nan]) for _ in range(5)))
    return corrected(sample, sample.weights(members), over, settings, name)


def shares_of(sample, weights, settings):
    """`estimate.Shares` of weighted sets of CpGs, less what molecules of other libraries add."""
    shares = estimate.observed_shares(sample.parts, weights, sample.conversion, sample.templates)
    return subtract_leak(shares, sample, weights, settings["confidence"])


def corrected(sample, weights, over, settings, name=ALL):
    """`Estimate` of weighted sets of CpGs: corrected, calibrated, with what replicates differ by in its errors."""
    confidence = settings["confidence"]
    found = estimate.correct(shares_of(sample, weights, settings), sample.conversion, over, confidence)
    return calibrate(widen(found, sample.rho, confidence), sample.curves.get(name, NONE), confidence)
