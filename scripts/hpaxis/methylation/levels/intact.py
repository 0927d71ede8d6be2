"""Whether a library is what the sheet says: its own reads, mates of one molecule, no hidden UMI, stretch or clone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpaxis.quantiles import binomial_tail

# Share of pairs whose mates are of two molecules: by how much mates disagree at CpGs. Told when as sure as this.
BROKEN, SURE = 0.2, 1e-6
LEAST_CPGS = 50
DISCORDANT_WARN, DISCORDANT_FAIL = 0.05, 0.25
# Bases before the amplicon: so many, on so many reads, with so many letters in use, look like a UMI.
LEAST_LEAD, LEAD_SHARE, LEAD_LETTERS = 4, 0.5, 2.5
STRETCHES_WARN = 0.01
CLONE_SHARE, CLONE_COMPARED = 0.1, 100
# Two libraries never have as many kinds of molecules, each read as often, in common.
FEWEST_KINDS = 30


def same_molecules(tables: dict) -> dict[str, list[str]]:
    """library_id → the other libraries that have the same molecules, each read as often: copies, in whatever order.

    ``tables``: library_id → `calls.LibraryCalls`.
    """
    groups: dict = {}
    for library, table in tables.items():
        if len(table.patterns) >= FEWEST_KINDS:
            # In the order of `calls.patterns_table`, which is not that of the reads.
            kinds = pd.util.hash_pandas_object(table.patterns, index=False).to_numpy().tobytes()
            groups.setdefault(kinds, []).append(library)
    alike = [group for group in groups.values() if len(group) > 1]
    return {library: [other for other in group if other != library] for group in alike for library in group}


def copied_reasons(others: list[str] | None) -> list[tuple[str, str]]:
    """A library that fails since it has the molecules of others: (verdict, reason)."""
    if not others:
        return []
    what = f"its molecules are those of {', '.join(others)}, each read as often: one file under two names"
    return [("fail", f"{what}; give each library its own reads")]


def pair_reasons(sample) -> list[tuple[str, str]]:
    """What the pairs of a library say of how its files were made: (verdict, reason)."""
    reads, found = sample.reads, []
    if broken := broken_pairs(sample):
        what = (
            f"mates disagree at {100 * broken[0]:.2g} % of the CpGs that both read, as where {100 * broken[1]:.0f} % "
            "of the pairs are mates of two molecules: the two files are out of step; give them as they were sequenced"
        )
        found.append(("fail", what))
    pairs, discordant = _number(reads, "on_target"), _number(reads, "discordant")
    if pairs and discordant > DISCORDANT_WARN * pairs:
        rank = "fail" if discordant > DISCORDANT_FAIL * pairs else "warn"
        what = (
            f"mates of {100 * discordant / pairs:.2g} % of the pairs lie apart or face away: mixed files, or chimeras"
        )
        found.append((rank, what))
    declared = getattr(sample.row, "umi", None)
    if sample.panel.amplicons["forward_primer"].notna().all() and pd.isna(declared):
        for mate in (1, 2):
            lead, share, letters = (_number(reads, f"lead_{part}{mate}") for part in ("", "share_", "letters_"))
            if lead >= LEAST_LEAD and share >= LEAD_SHARE and letters >= LEAD_LETTERS:
                what = f"read {mate} shows {lead:.0f} varied bases before the amplicon"
                found.append(("warn", f"{what}: a UMI that the sheet does not declare (column umi)"))
    return found


def broken_pairs(sample) -> tuple[float, float] | None:
    """Share of CpGs at which mates disagree, and the share of broken pairs that it means; None where none is sure.

    Mates of one molecule differ by sequencing error alone, as they do at T of the reference. Mates of two molecules
    disagree where one is methylated and the other is not: 2 b (1 - b), b the level.
    """
    reads = sample.reads
    both, differ = _number(reads, "overlap_cpgs"), _number(reads, "overlap_cpgs_differ")
    other, wrong = _number(reads, "overlap_t"), _number(reads, "overlap_t_differ")
    if both < LEAST_CPGS:
        return None
    level = sample.counts["methylated"] / sample.counts["depth"].where(sample.counts["depth"] > 0)
    by_chance = float((2 * level * (1 - level)).mean())
    error = (wrong + 1) / (other + 1) if other else 0.005
    if not by_chance > 0:
        return None
    share = (differ / both - error) / by_chance
    # CpGs of a pair are not independent: as sure as a fifth of their number makes it.
    if share < BROKEN or binomial_tail(differ / 5 - 1, both / 5, min(error + BROKEN * by_chance / 2, 1)) > SURE:
        return None
    return differ / both, min(share, 1.0)


def copy_reasons(sample) -> list[tuple[str, str]]:
    """Molecules that keep a stretch unconverted, and templates that take a large share of the reads."""
    reads, found = sample.reads, []
    stretches, passed = _number(reads, "stretches"), _number(reads, "passed")
    if passed and stretches > STRETCHES_WARN * (passed + stretches):
        share = 100 * stretches / (passed + stretches)
        found.append(("warn", f"{share:.2g} % of the molecules keep a stretch unconverted; they are left out"))
    clone, compared = _number(reads, "clone_molecules"), _number(reads, "clone_compared")
    if compared >= CLONE_COMPARED and clone >= CLONE_SHARE * compared and sample.row.kind != "no_template":
        what = (
            f"{100 * clone / compared:.0f} % of the molecules share their unconverted cytosines: copies of one template"
        )
        found.append(("warn", what))
    return found


def _number(reads, column) -> float:
    value = reads.get(column)
    return 0.0 if value is None or pd.isna(value) else float(np.asarray(value))
