"""Fill a panel's SNP mask from a VCF or BCF: single-base variants in CpGs, other bases and primer sites.

Variants may be of dbSNP, gnomAD or own genotypes, on the genome build of the panel.
"""

import hashlib
import re
from pathlib import Path

import pandas as pd
import pysam

from hpaxis.methylation.panels.panel import COLUMNS
from hpaxis.methylation.panels.variants import check_mask, contig_key
from hpaxis.problems import InputError, Problem, raise_if_any

# What tells in a header which release a file is.
HEADER_IDS = ("source", "dbSNP_BUILD_ID", "fileDate", "reference")
BASES = set("ACGT")


def build_mask(panel, path, min_frequency=0.01, contigs=None):
    """Return the rows of snp_mask.tsv for a panel, and how many variants were left out and why.

    ``path``: VCF or BCF, indexed or not; ``min_frequency``: least frequency of the alternate allele, from INFO/AF, else
    INFO/FREQ (dbSNP: the highest of its studies), else counted in the genotypes; a variant without any stays in if
    the limit is 0. ``contigs``: contig of the panel → its name in the file, where they differ by more than ``chr``.
    Raises `InputError` when the file cannot be read, names no contig of the panel, or has other reference bases.
    """
    aliases = {theirs: ours for ours, theirs in (contigs or {}).items()}
    left_out = dict.fromkeys(("rare", "frequency unknown", "longer than a base"), 0)
    rows = {}
    try:
        with pysam.VariantFile(str(path)) as variants:
            source = _source(path, variants.header)
            for chrom, start, end in _regions(panel):
                for record in _records(variants, path, chrom, start, end, aliases):
                    for number, alt in enumerate(record.alts or ()):
                        if len(record.ref) != 1 or alt.upper() not in BASES:
                            left_out["longer than a base"] += 1
                            continue
                        frequency = _frequency(record, number)
                        if frequency is None and min_frequency > 0:
                            left_out["frequency unknown"] += 1
                        elif frequency is not None and frequency < min_frequency:
                            left_out["rare"] += 1
                        else:
                            key = (chrom, record.pos, record.ref.upper(), alt.upper())
                            rows[key] = (*key, frequency, source)
    except (OSError, ValueError) as error:
        raise InputError(Problem(str(path), f"cannot be read as VCF or BCF ({error})", "give such a file")) from None
    table = pd.DataFrame([rows[key] for key in sorted(rows)], columns=list(COLUMNS["snp_mask"]))
    table["allele_frequency"] = table["allele_frequency"].astype("Float64").round(6)
    raise_if_any(check_mask(table, panel.amplicons, panel.references, f"{path}, as snp_mask.tsv"))
    return table, left_out


def _regions(panel):
    placed = panel.amplicons.dropna(subset=["chrom", "start", "end"])
    if placed.empty:
        what, remedy = "no amplicon has coordinates", "give chrom, start and end in amplicons.tsv"
        raise InputError(Problem(f"{panel.name}/amplicons.tsv", what, remedy))
    return [(row.chrom, int(row.start), int(row.end)) for row in placed.itertuples()]


def _records(variants, path, chrom, start, end, aliases):
    wanted = contig_key(chrom, {})
    names = [name for name in variants.header.contigs if contig_key(name, aliases) == wanted]
    if variants.index is not None:
        if not names:
            known = ", ".join(list(variants.header.contigs)[:5])
            what, remedy = (
                f"has no contig {chrom}",
                f"name it with --contig {chrom}=NAME; the file's begin with {known}",
            )
            raise InputError(Problem(str(path), what, remedy))
        for name in names:
            yield from (r for r in variants.fetch(name, start - 1, end) if start <= r.pos <= end)
        return
    # Without an index the file is read through, once an amplicon.
    with pysam.VariantFile(str(path)) as whole:
        for record in whole:
            if contig_key(record.contig, aliases) == wanted and start <= record.pos <= end:
                yield record


def _frequency(record, number):
    """Frequency of one alternate allele of a record; None when nothing tells it."""
    info = record.info
    if "AF" in info:
        value = info["AF"][number] if isinstance(info["AF"], tuple) else info["AF"]
        return None if value is None else float(value)
    if "FREQ" in info:
        # dbSNP: study:reference,alternate,...|study:..., which commas have cut apart.
        text = info["FREQ"] if isinstance(info["FREQ"], str) else ",".join(str(v) for v in info["FREQ"])
        shares = [study.partition(":")[2].split(",") for study in text.split("|")]
        known = [
            float(s[number + 1]) for s in shares if len(s) > number + 1 and re.fullmatch(r"[\d.eE+-]*\d", s[number + 1])
        ]
        return max(known, default=None)
    alleles = [a for sample in record.samples.values() for a in (sample.get("GT") or ()) if a is not None]
    return alleles.count(number + 1) / len(alleles) if alleles else None


def _source(path, header):
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    said = {record.key: record.value for record in header.records if record.key in HEADER_IDS and record.value}
    told = "".join(f"; {key}={' '.join(said[key].split())}" for key in HEADER_IDS if key in said)
    return f"{Path(path).name} sha256:{digest}{told}"
