"""Where a panel's CpGs lie, and what is known of these places: indices, names of the literature, probes, the gene."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hpaxis.labels import column_label
from hpaxis.methylation.panels.panel import Panel
from hpaxis.tables import read_table

BY_ORDER = re.compile(r"amplicon_\d+")  # a scheme that counts along the amplicon: the axis does so already
COORDINATE = re.compile(r"[\w.]+:\d+")
SITES = ["track", "name", "first", "last"]


@dataclass(frozen=True)
class AmpliconMap:
    """One amplicon to draw along: ``places`` of its CpGs by id, in the panel's order, and ``sites`` (``SITES``).

    Places are 1-based positions of a genome, or bases of the amplicon where the panel has no positions; ``where``
    says which. ``minus``: the sense strand runs from higher positions to lower ones.
    """

    name: str
    places: dict[str, int]
    sites: pd.DataFrame
    where: str
    minus: bool


def read_features(folder: Path) -> pd.DataFrame | None:
    """Return the places of the gene that a panel's features.tsv names (amplicon, name, start, end, source), or None.

    Positions are 1-based, in the genome of the panel. The file is for figures alone: no call depends on it.
    """
    path = Path(folder) / "features.tsv"
    return read_table(path, text=("amplicon", "name", "source")) if path.is_file() else None


def amplicon_maps(panel: Panel, features: pd.DataFrame | None = None) -> list[AmpliconMap]:
    """Return a map for each amplicon of a panel, in its order; ``features`` is from `read_features`.

    The tracks of ``sites`` are the panel's indices, other than those that hold every CpG of an amplicon; the names of
    other schemes in ``aliases`` (coordinates and the amplicon's own order aside); and the gene's ``features``.
    """
    placed = bool(len(panel.cpgs)) and bool(panel.cpgs["pos"].notna().all())
    found = []
    for row in panel.amplicons.itertuples(index=False):
        own = panel.cpgs[panel.cpgs["amplicon"] == row.amplicon]
        at = dict(zip(own["cpg_id"], (own["pos"] if placed else own["offset"] + 1).astype(int), strict=True))
        sites = _indices(panel, at) + _names(panel, at)
        if features is not None and placed:
            mine = features[features["amplicon"] == row.amplicon]
            sites += [("gene", r.name, r.start, r.end) for r in mine.itertuples(index=False)]
        minus = placed and row.strand == "-"
        where = f"Position on {row.chrom}{' (minus strand, sense to the right)' if minus else ''}"
        table = pd.DataFrame(sites, columns=SITES)
        found.append(AmpliconMap(row.amplicon, at, table, where if placed else "Base of the amplicon", minus))
    return found


def _indices(panel: Panel, at: dict[str, int]) -> list[tuple]:
    """The indices that hold some of an amplicon's CpGs, from their first to their last."""
    rows = []
    for index, members in panel.indices.groupby("index", sort=False):
        inside = [at[c] for c in members["cpg_id"] if c in at]
        if inside and len(inside) < len(at):
            rows.append((column_label(f"{index}_beta"), "", min(inside), max(inside)))
    return rows


def _names(panel: Panel, at: dict[str, int]) -> list[tuple]:
    """What other schemes call an amplicon's CpGs."""
    rows = []
    for scheme, named in panel.aliases.groupby("scheme", sort=False):
        coordinates = named["alias"].astype(str).map(lambda text: bool(COORDINATE.fullmatch(text))).all()
        if not (BY_ORDER.fullmatch(scheme) or coordinates):
            rows += [(scheme, str(r.alias), at[r.cpg_id], at[r.cpg_id]) for r in named.itertuples() if r.cpg_id in at]
    return rows
