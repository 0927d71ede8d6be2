"""What the report's rules need to know of a study when the workflow is planned; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpaxis.methylation.panels.panel import panel_folder

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from hpaxis.settings import MethylationSettings


def primary_index(models: Mapping[str, dict[str, Any]]) -> str:
    """Return the methylation index of the primary model (else the first), ``region_mean`` where it has none.

    ``models`` maps names to the config's entries.
    """
    entries = sorted(models.values(), key=lambda entry: not entry["primary"])
    predictor = entries[0]["predictor"] if entries else ""
    return predictor.removesuffix("_beta") if predictor.endswith("_beta") else "region_mean"


def gates(settings: MethylationSettings) -> dict[str, tuple[float, float]]:
    """Return the limits of conversion (fractions) and depth (molecules), each as (fail, warn)."""
    return {name: (settings[f"{name}_fail"], settings[f"{name}_warn"]) for name in ("conversion", "depth")}


def panel_folders(libraries: pd.DataFrame) -> list[Path]:
    """Return the folders of the panels that a sheet of libraries names, sorted, each once."""
    return sorted({panel_folder(name) for name in libraries["panel"].dropna().unique()})


def masked_positions(libraries: pd.DataFrame) -> int:
    """Return how many positions the SNP masks of those panels hold."""
    from hpaxis.methylation.panels.panel import read_panel

    return sum(len(read_panel(folder).snps) for folder in panel_folders(libraries))


def genome_check(libraries: pd.DataFrame) -> str:
    """Return whether panels agree with a genome: ``same``, ``differs``, ``probes`` (array probes do) or ``unchecked``.

    Reads genome_check.tsv of each panel's folder, as `hpaxis.methylation.panels.genome_check` writes it, and
    manifest_check.tsv (`hpaxis.methylation.panels.manifest_check`), which covers only the bases around probes.
    """
    from hpaxis.tables import read_table

    probes = [folder / "manifest_check.tsv" for folder in panel_folders(libraries)]
    probes = [(read_table(path)["verdict"] == "same").all() for path in probes if path.is_file()]
    if not all(probes):
        return "differs"
    paths = [folder / "genome_check.tsv" for folder in panel_folders(libraries)]
    if not all(path.is_file() for path in paths):
        return "probes" if probes else "unchecked"
    return "same" if all((read_table(path)["verdict"] == "same").all() for path in paths) else "differs"
