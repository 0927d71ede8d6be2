"""Single-base variants of a panel's amplicons: where they lie, what they do to a call, and whether reads show them.

A variant is written on the plus strand, as in a VCF; here it is turned onto the strand of the amplicon's reference.
Conversion hides C from T on the strand that was amplified, and G from A on the other.
"""

import re

import numpy as np
import pandas as pd

from hpaxis.methylation.panels.nucleotides import IUPAC, reverse_complement
from hpaxis.problems import Problem

COLUMNS = ("panel", "amplicon", "chrom", "pos", "ref", "alt", "allele_frequency", "site", "cpg_id", "effect")


def check_mask(snps, amplicons, references, path):
    """Problems of a panel's SNP mask: outside the amplicons, other reference bases, no single bases, no frequencies."""
    problems = []
    for i, row in snps.iterrows():

        def add(what, remedy, column, value, line=i + 2):
            problems.append(Problem(str(path), what, remedy, line, column, value))

        for column in ("ref", "alt"):
            if row[column] not in ("A", "C", "G", "T"):
                add("is not one base", "use A, C, G or T; longer variants are not read", column, row[column])
        if row["alt"] == row["ref"]:
            add("is the reference's base", "give the other allele", "alt", row["alt"])
        frequency = pd.to_numeric(row["allele_frequency"], errors="coerce")
        if pd.notna(row["allele_frequency"]) and not 0 <= frequency <= 1:
            add("is no frequency", "give the alternate allele's, from 0 to 1, or NA", "allele_frequency",
                row["allele_frequency"])  # fmt: skip
        places = list(_places(row["chrom"], row["pos"], amplicons))
        if not places:
            add("lies in no amplicon", "remove the row, or correct chrom and pos", "pos", _whole(row["pos"]))
        for amplicon, offset, strand in places:
            base = references.get(amplicon, "")[offset : offset + 1]
            base = reverse_complement(base) if strand == "-" else base
            if row["ref"] in IUPAC and base and row["ref"] not in IUPAC[base]:
                what = f"differs from the base of {amplicon} there, {base} on the plus strand"
                add(what, "use variants of the panel's genome build", "ref", row["ref"])
    return problems


def _whole(value):
    return None if pd.isna(value) else int(value)


def _places(chrom, pos, amplicons):
    """Amplicons that hold a position: name, offset and strand of each."""
    if pd.isna(pos):
        return
    for row in amplicons.itertuples():
        if row.chrom == chrom and pd.notna(row.start) and pd.notna(row.end) and row.start <= pos <= row.end:
            yield row.amplicon, int(pos - row.start if row.strand == "+" else row.end - pos), row.strand


def place_variants(panel):
    """Each variant of a panel's mask in each amplicon that holds it, along the amplicon's reference.

    Returns a table: amplicon, offset (0-based), ref and alt (on the reference's strand), allele_frequency, chrom, pos,
    plus_ref and plus_alt (as in the mask), ``site``: ``cpg`` (its C or G), ``primer``, ``cytosine`` (one outside CpGs),
    ``new_cpg`` (the alternate base makes one) or ``other``; and ``cpg_id`` of a CpG it destroys.
    """
    rows = []
    for row in panel.snps.itertuples():
        for amplicon, offset, strand in _places(row.chrom, row.pos, panel.amplicons):
            ref, alt = (reverse_complement(b) if strand == "-" else b for b in (row.ref, row.alt))
            site, cpg = _site(panel, amplicon, offset, alt)
            rows.append((amplicon, offset, ref, alt, _number(row.allele_frequency), row.chrom, int(row.pos),
                         row.ref, row.alt, site, cpg))  # fmt: skip
    names = [
        "amplicon",
        "offset",
        "ref",
        "alt",
        "allele_frequency",
        "chrom",
        "pos",
        "plus_ref",
        "plus_alt",
        "site",
        "cpg_id",
    ]
    table = pd.DataFrame(rows, columns=names).astype({"allele_frequency": float})
    return table.sort_values(["amplicon", "offset", "alt"], ignore_index=True)


def _number(value):
    return np.nan if pd.isna(value) else float(value)


def _site(panel, amplicon, offset, alt):
    first, last = panel.insert_bounds(amplicon)
    if not first <= offset < last:
        return "primer", None
    cpgs = panel.cpgs[panel.cpgs["amplicon"] == amplicon]
    hit = cpgs.loc[cpgs["offset"].isin((offset, offset - 1)), "cpg_id"]
    if len(hit):
        return "cpg", hit.iloc[0]
    reference = panel.references[amplicon]
    around = reference[max(offset - 1, 0) : offset] + alt + reference[offset + 1 : offset + 2]
    if "CG" in around:
        return "new_cpg", None
    return ("cytosine" if reference[offset] in "CG" else "other"), None


def allowed_bases(panel, amplicon):
    """The bases of each offset of a reference, as sets, with those that the mask's variants add."""
    sets = [set(IUPAC[base]) for base in panel.references[amplicon]]
    if len(panel.snps):
        found = place_variants(panel)
        for row in found[found["amplicon"] == amplicon].itertuples():
            sets[row.offset].add(row.alt)
    return sets


def is_visible(ref, alt, strand):
    """Whether two alleles can be told apart in converted reads of one strand (``top``: the reference's own)."""
    hidden = {"C", "T"} if strand == "top" else {"G", "A"}
    return {ref, alt} != hidden


def masked_cpgs(panel, threshold):
    """Boolean array over the panel's CpGs: destroyed by a variant with that allele frequency or more.

    A frequency that is not known counts as high enough: the variant stands in the mask.
    """
    ids = panel.cpgs["cpg_id"].to_numpy()
    if panel.snps.empty:
        return np.zeros(len(ids), dtype=bool)
    found = place_variants(panel)
    common = found[(found["site"] == "cpg") & ~(found["allele_frequency"] < threshold)]
    return np.isin(ids, common["cpg_id"])


def variants_table(panels, settings):
    """What the masked variants of all panels do to the calls, one row per variant and amplicon, in words."""
    rows = []
    for name, panel in panels.items():
        for row in place_variants(panel).itertuples():
            effect = _effect(row, settings)
            rows.append((name, row.amplicon, row.chrom, row.pos, row.plus_ref, row.plus_alt, row.allele_frequency,
                         row.site, row.cpg_id, effect))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _effect(row, settings):
    rare = row.allele_frequency < settings.snp_frequency
    if row.site == "cpg":
        if rare:
            return "rarer than snp_frequency: the CpG counts"
        if settings.snp_action == "flag":
            return "the CpG is flagged, and counts"
        return "the CpG is left out of indices and region means"
    if row.site == "primer":
        return "an allele may drop out, and what is read be that of the other"
    if row.site == "other":
        return "none"
    return "cytosines it touches tell nothing of conversion"


def mask_notes(panel, settings):
    """Notes for the libraries of a panel: how many CpGs are left out or flagged, and variants under primers."""
    notes = []
    masked = panel.cpgs["cpg_id"][masked_cpgs(panel, settings.snp_frequency)].tolist()
    if masked:
        done = "left out of indices" if settings.snp_action == "exclude" else "flagged"
        notes.append(f"{', '.join(masked)} {done}: a variant of the SNP mask destroys the CpG")
    if len(panel.snps):
        found = place_variants(panel)
        primer = found[(found["site"] == "primer") & ~(found["allele_frequency"] < settings.snp_frequency)]
        places = ", ".join(f"{row.chrom}:{row.pos}" for row in primer.itertuples())
        if places:
            notes.append(f"variant under a primer ({places}): an allele may drop out")
    return notes


def contig_key(name, aliases):
    """A contig's name without ``chr``; ``aliases`` maps names of a file to those of the panel."""
    name = aliases.get(name, name)
    return re.sub(r"^chr", "", name)
