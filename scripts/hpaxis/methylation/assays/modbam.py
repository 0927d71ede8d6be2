"""Native reads with modified bases (nanopore, PacBio): MM and ML tags as molecules at the panel's CpGs.

A read is a molecule. At each CpG the basecaller states how likely its cytosine is 5mC or 5hmC, which count together, as
bisulfite reads them. A call needs a probability of ``min_probability`` either way; those between are left out and
counted. Cytosines that a tag does not list are unmethylated where it says so (``.``, or nothing), and unknown where it
says ``?`` (SAM optional fields, section 1.7). Nothing was converted, so the reads tell no non-conversion: what the
basecaller falsely calls methylated shows in unmethylated controls.
"""

import re
from collections import Counter
from itertools import islice

import numpy as np

from hpaxis.methylation.assays.genome_bam import open_alignments
from hpaxis.methylation.assays.release import calls_of_patterns
from hpaxis.methylation.counting.calls import patterns_table
from hpaxis.problems import InputError, Problem

# 5mC and 5hmC, as letters and as ChEBI numbers.
METHYLATION = ("m", "h", 27551, 76792)
MM_ENTRY = re.compile(r"([ACGTUN])([+-])([a-z]+|\d+)([.?]?)(?=[,;])")
STATED = 256  # ML holds the probability in 256ths, rounded down


# Reads looked at, when a run is planned, for one with tags.
LOOKED_AT = 1000


def check_modified(path, genome):
    """Return the problem of a BAM none of whose first aligned reads has MM and ML tags."""
    with open_alignments(path, genome) as bam:
        looked = [r.has_tag("MM") or r.has_tag("Mm") for r in islice(_primary(bam), LOOKED_AT)]
    return [_untagged(path)] if looked and not any(looked) else []


def _primary(bam):
    for read in bam.fetch(until_eof=True):
        if not (read.is_secondary or read.is_supplementary or read.is_unmapped):
            yield read


def _untagged(path):
    what = "has no read with modified bases: MM and ML tags are missing"
    remedy = "call modified bases (5mC in CpG) and keep the tags when aligning; or correct the chemistry"
    return Problem(str(path), what, remedy)


def call_modified(path, panel, places, genome, library_id, settings):
    """Return ``(LibraryCalls, fates, told)`` of native reads at the panel's CpGs.

    ``places``: see `genome.place_panel`; ``told``: ``uncertain`` calls left out, ``calls``, and ``stated_error``, the
    mean chance of a wrong call that the probabilities state. Raises `InputError` where no read has MM and ML tags.
    """
    fates, patterns, told, tagged = Counter(), Counter(), Counter(), 0
    by_chrom = _places(panel, places)
    with open_alignments(path, genome) as bam:
        for read in bam.fetch(until_eof=True):
            if read.is_secondary or read.is_supplementary:
                continue
            fate = _fate(read, genome, settings.min_mapping_quality)
            fates[fate] += 1
            if fate != "passed":
                continue
            has = read.has_tag("MM") or read.has_tag("Mm")
            tagged += has
            if has:
                _add(read, by_chrom, settings.min_probability, patterns, told)
    if fates["passed"] and not tagged:
        raise InputError(_untagged(path))
    rows = [(amplicon, text, 0, 0, n) for (amplicon, text), n in sorted(patterns.items())]
    found = calls_of_patterns(patterns_table(rows, list(panel.references)), library_id, panel)
    error = told["error"] / told["calls"] if told["calls"] else np.nan
    return found, fates, {"uncertain": told["uncertain"], "calls": told["calls"], "stated_error": error}


def _fate(read, genome, least):
    if read.is_unmapped or read.query_sequence is None:
        return "unmapped"
    if read.reference_name not in genome.references:
        return "off_genome"
    if read.is_duplicate:
        return "duplicates"
    return "low_quality" if read.is_qcfail or read.mapping_quality < least else "passed"


def _places(panel, places):
    """Contig → amplicons: name, first and last base (0-based), and the C of each CpG in the panel's order."""
    found = {}
    merged = panel.cpgs[["cpg_id", "amplicon"]].merge(places, on="cpg_id", how="left", sort=False)
    for (chrom, amplicon), rows in merged.groupby(["chrom", "amplicon"], sort=False):
        cytosines = rows["pos"].to_numpy() - 1
        found.setdefault(chrom, []).append((amplicon, int(cytosines.min()), int(cytosines.max()) + 2, cytosines))
    return found


def _add(read, by_chrom, least, patterns, told):
    amplicons = [a for a in by_chrom.get(read.reference_name, ())
                 if read.reference_start < a[2] and read.reference_end > a[1]]  # fmt: skip
    if not amplicons:
        return
    to_reference = dict(read.get_aligned_pairs(matches_only=True))
    to_query = {place: at for at, place in to_reference.items()}
    chance = _chances(read, to_reference)
    implicit = _is_implicit(read)
    own, letter = (1, "G") if read.is_reverse else (0, "C")
    for amplicon, _, _, cytosines in amplicons:
        pattern = []
        for place in cytosines:
            listed = [chance[p] for p in (place, place + 1) if p in chance]
            at = to_query.get(place + own)
            if at is not None and read.query_sequence[at].upper() != letter:
                pattern.append("x")
            elif listed and np.isfinite(listed).all():
                pattern.append(_call(float(np.mean(listed)), least, told))
            else:
                pattern.append(_call(0.0, least, told) if not listed and implicit and at is not None else ".")
        text = "".join(pattern)
        if text.strip("."):
            patterns[amplicon, text] += 1


def _call(chance, least, told):
    if least > chance > 1 - least:
        told["uncertain"] += 1
        return "."
    told["calls"] += 1
    told["error"] += min(chance, 1 - chance)
    return "1" if chance > 0.5 else "0"


def _chances(read, to_reference):
    """Place on the reference → chance that the cytosine there, on either strand, is methylated; NaN: not stated."""
    found = {}
    for (_, _, code), values in (read.modified_bases or {}).items():
        if code not in METHYLATION:
            continue
        for at, stated in values:
            place = to_reference.get(at)
            if place is not None:
                chance = np.nan if stated < 0 else (stated + 0.5) / STATED
                found[place] = found.get(place, 0.0) + chance
    return found


def _is_implicit(read):
    """Whether cytosines that the tag does not list are unmethylated: it says ``.`` or nothing for each methylation."""
    entries = MM_ENTRY.findall(str(read.get_tag("MM" if read.has_tag("MM") else "Mm")).replace(";", ",;"))
    flags = [flag for _, _, code, flag in entries if code.isdecimal() or set(code) & set("mh")]
    return bool(flags) and "?" not in flags
