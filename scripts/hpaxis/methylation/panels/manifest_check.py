"""Compare a panel's reference with the bases around array probes, as an Illumina manifest lists them.

A manifest (450K, EPIC v1 and v2) holds for each probe the 122 bases around its CpG, ``Forward_Sequence``, with the CpG
in brackets, and its coordinate. A probe belongs to a CpG of the panel by its name among the aliases, or by coordinate.
Which strand the bases are of is found from them. Where the bases on one side fit better shifted, the panel's reference
has a base too many or too few there.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from xopen import xopen

from hpaxis.methylation.panels.gaps import gap_words, one_gap
from hpaxis.methylation.panels.nucleotides import IUPAC, reverse_complement
from hpaxis.methylation.panels.panel import Panel
from hpaxis.problems import InputError, Problem

COLUMNS = ("probe", "cpg_id", "amplicon", "build", "place", "place_agrees", "compared", "differences", "where",
           "gap", "verdict")  # fmt: skip
LARGEST_SHIFT = 3


def is_manifest(path: Path | str) -> bool:
    """Return whether a file looks like an Illumina manifest: CSV with a column IlmnID, not FASTA."""
    try:
        with xopen(path, "rt", encoding="latin-1", threads=0) as file:
            return any(line.startswith(("IlmnID", '"IlmnID"')) for line, _ in zip(file, range(50)))
    except (OSError, EOFError):
        return False


def check_manifest(panel: Panel, path: Path | str) -> pd.DataFrame:
    """Return one row per probe of the panel's CpGs (`COLUMNS`).

    ``where``: offset in the amplicon:panel>manifest, at most ten; ``gap``: offset:bases that the panel has more (+) or
    fewer (-) there; ``verdict``: same, or what is wrong. Raises `InputError` for a manifest without forward sequences,
    or without a probe of the panel.
    """
    names = dict(zip(panel.aliases["alias"], panel.aliases["cpg_id"]))
    places = _places(panel)
    cpgs = panel.cpgs.set_index("cpg_id")
    rows = []
    for row in _rows(path):
        name, build = row.get("Name") or row["IlmnID"], _build(row)
        place = (build, row.get("CHR", "").removeprefix("chr"), row.get("MAPINFO", ""))
        cpg = names.get(row["IlmnID"].split("_")[0]) or names.get(name) or places.get(place)
        if cpg is not None and cpg in cpgs.index:
            agrees = None if place[:2] not in {p[:2] for p in places} else "yes" if places.get(place) == cpg else "no"
            rows.append(_compare(row, cpg, cpgs.loc[cpg], panel, f"chr{place[1]}:{place[2]}", build, agrees))
    if not rows:
        remedy = "give the manifest of an array with probes at the panel's CpGs, or add their names to aliases.tsv"
        raise InputError(Problem(str(path), "has no probe of the panel's CpGs", remedy))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {cpg: i for i, cpg in enumerate(cpgs.index)}
    return table.sort_values("cpg_id", key=lambda c: c.map(order), kind="stable", ignore_index=True)


def _rows(path) -> Iterator[dict]:
    """Rows of the manifest's probes, as dicts; the sections before and behind them are left aside."""
    with xopen(path, "rt", encoding="latin-1", threads=0, newline="") as file:
        header = None
        for cells in csv.reader(file):
            if header is None:
                if cells and cells[0] == "IlmnID":
                    header = cells
                    if "Forward_Sequence" not in header:
                        remedy = "give the manifest with forward sequences"
                        raise InputError(Problem(str(path), "has no column Forward_Sequence", remedy))
            elif cells and cells[0].startswith("["):
                return  # the controls
            elif len(cells) > 1:
                yield dict(zip(header, cells))


def _build(row):
    text = row.get("Genome_Build", "")
    return {"37": "hg19", "36": "hg18", "38": "hg38"}.get(text[-2:], text or "unknown")


def _places(panel):
    """(build, contig, position) → CpG: hg38 from the registry, hg19 from the aliases where the panel has them."""
    found = {}
    for row in panel.cpgs.dropna(subset=["pos"]).itertuples():
        found["hg38", str(row.chrom).removeprefix("chr"), str(int(row.pos))] = row.cpg_id
    for row in panel.aliases[panel.aliases["scheme"] == "hg19_plus_c"].itertuples():
        chrom, _, pos = row.alias.partition(":")
        found["hg19", chrom.removeprefix("chr"), pos] = row.cpg_id
    return found


def _compare(row, cpg, place, panel, where, build, agrees):
    found = {"probe": row["IlmnID"], "cpg_id": cpg, "amplicon": place["amplicon"], "build": build, "place": where,
             "place_agrees": agrees}  # fmt: skip
    left, bracket, rest = row["Forward_Sequence"].upper().partition("[")
    inside, _, right = rest.partition("]")
    if not bracket or inside != "CG":
        return found | dict.fromkeys(COLUMNS[6:-1]) | {"verdict": "no sequence around a CpG"}
    reference, at = panel.references[place["amplicon"]].upper(), int(place["offset"])
    strands = [left + "CG" + right, reverse_complement(left + "CG" + right)]
    starts = at - len(left), at - len(right)
    texts = [(text, start, _differ(reference, text, start)) for text, start in zip(strands, starts)]
    text, start, differ = min(texts, key=lambda t: t[2][0].sum())
    gaps = [
        one_gap({shift: values[part] for shift, values in differ.items()}, anchored)
        for part, anchored in ((slice(0, at), "after"), (slice(at + 2, None), "before"))
    ]
    gaps = [(g[0], g[1] + first, g[2]) for g, first in zip(gaps, (0, at + 2)) if g]
    compared = min(start + len(text), len(reference)) - max(start, 0)
    different = [(i, reference[i], text[i - start]) for i in np.flatnonzero(differ[0])]
    found |= {
        "compared": compared, "differences": len(different),
        "where": "; ".join(f"{i}:{a}>{b}" for i, a, b in different[:10]) or None,
        "gap": "; ".join(f"{offset}:{more:+d}" for more, offset, _ in gaps) or None,
    }  # fmt: skip
    problems = [gap_words(more, offset, "manifest") for more, offset, _ in gaps]
    if (different and sum(left for *_, left in gaps) > 0) or (different and not gaps):
        problems.append("bases differ")
    if agrees == "no":
        problems.append("the manifest places the probe elsewhere")
    return found | {"verdict": "; ".join(problems) or "same"}


def _differ(reference, text, start):
    """Shift → for each base of the reference, whether it differs from the text laid ``start`` on, moved so far."""
    found = {}
    for shift in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1):
        places = np.arange(len(reference)) - start + shift
        inside = (places >= 0) & (places < len(text))
        found[shift] = np.array([
            bool(known) and not set(IUPAC.get(text[p], "ACGT")) & set(IUPAC[base])
            for base, p, known in zip(reference, places, inside)
        ])  # fmt: skip
    return found
