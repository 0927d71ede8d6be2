"""A pyrosequencer's export of simulated tubes: percentages by position with the instrument's error."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis.methylation.panels.panel import Panel
from hpaxis.rows import rows_of
from hpaxis.simulation.reads import random_stream
from hpaxis.tables import whole_file, write_table

# Error of a reading, in percentage points: of a position alone, and shared by the positions of a run. Chosen for the
# simulation, of no instrument.
POSITION_SD, SHARED_SD = 0.8, 0.3
RUNS = 2
LIBRARIES_A_PLATE = 96 // RUNS
CHECKED, FAILED = 0.01, 0.003


def export_assays(panel: Panel) -> dict[str, list[str]]:
    """Assays of the simulated instrument: name → CpGs. The 13 CpGs of Oberlander in two, else the panel's first ten."""
    thirteen = panel.aliases[panel.aliases["scheme"] == "oberlander_2008"]
    if len(thirteen):
        ids = list(thirteen.sort_values("alias", key=lambda a: a.astype(int))["cpg_id"])
        return {"first": ids[:5], "second": ids[5:]}
    return {"first": list(panel.cpgs["cpg_id"][:10])}


def simulate_readings(
    levels: pd.DataFrame,
    tubes: pd.DataFrame,
    assays: Mapping[str, Sequence[str]],
    seed: int,
    position_sd: float = POSITION_SD,
    shared_sd: float = SHARED_SD,
) -> pd.DataFrame:
    """Draw every run: one row per library, assay and run with the columns sample, assay, run, readings, qualities.

    ``levels`` (library_id, cpg_id, level) and ``tubes`` (library_id, non_conversion, over_conversion, templates) are
    the simulated truth; a tube without template gives no reading. The last reading is the conversion control. Readings
    are percentages, never below 0 or above 100, rounded as the instrument prints them.
    """
    known = levels.pivot(index="library_id", columns="cpg_id", values="level")
    rows = []
    for tube in rows_of(tubes):
        for assay, cpgs in assays.items():
            true = np.append(known.loc[tube.library_id, cpgs].to_numpy(float), 0.0)
            seen = true * (1 - tube.over_conversion) + (1 - true) * tube.non_conversion
            for run in range(1, RUNS + 1):
                rng = random_stream(seed, "run", tube.library_id, assay, run)
                error = rng.normal(0, shared_sd) + rng.normal(0, position_sd, seen.size)
                values = np.clip(100 * seen + error, 0, 100).round(2)
                fate = rng.random(seen.size)
                quality = np.where(fate < FAILED, "Failed", np.where(fate < FAILED + CHECKED, "Check", "Passed"))
                values = np.where(quality == "Failed", rng.uniform(0, 100, seen.size).round(2), values)
                if tube.templates == 0:
                    values, quality = np.full(seen.size, np.nan), np.full(seen.size, "Failed")
                rows.append((tube.library_id, assay, run, values, quality))
    return pd.DataFrame(rows, columns=["sample", "assay", "run", "readings", "qualities"])


def write_exports(
    levels: pd.DataFrame, tubes: pd.DataFrame, panel: Panel, seed: int, folder: str | Path, **errors: float
) -> dict[str, list[str]]:
    """Write one export a plate and assay, and ``positions.tsv``; returns library_id → its exports' paths."""
    folder, assays = Path(folder), export_assays(panel)
    runs = simulate_readings(levels, tubes, assays, seed, **errors)
    order = {name: i for i, name in enumerate(tubes["library_id"])}
    found = {name: [] for name in order}
    for assay, cpgs in assays.items():
        mine = runs[runs["assay"] == assay]
        plate = mine["sample"].map(order) // LIBRARIES_A_PLATE
        for number, rows in mine.groupby(plate):
            path = folder / f"{assay}_{number + 1}.txt"
            with whole_file(path) as part:
                part.write_text(_export_text(rows, len(cpgs)), encoding="utf-8", newline="")
            for name in rows["sample"].unique():
                found[name].append(path.as_posix())
    table = [(a, f"Pos. {i}", cpg) for a, cpgs in assays.items() for i, cpg in enumerate(cpgs, 1)]
    write_table(pd.DataFrame(table, columns=["assay", "position", "cpg_id"]), folder / "positions.tsv")
    return found


def _export_text(rows: pd.DataFrame, positions: int) -> str:
    """Semicolons, decimal commas and a few lines above the header, as an instrument set to a European locale writes."""
    names = [f"Pos. {i}" for i in range(1, positions + 1)] + ["Bisulfite control"]
    header = ["Well", "Assay", "Sample ID", "Note"]
    header += [cell for name in names for cell in (f"{name} Meth. (%)", f"{name} Quality")]
    lines = ["Run Name;simulated", "Instrument;simulated", "", ";".join(header)]
    for place, row in enumerate(rows.itertuples()):
        cells = [f"{'ABCDEFGH'[place % 8]}{place // 8 + 1}", row.assay, row.sample, ""]
        for value, quality in zip(row.readings, row.qualities, strict=True):
            cells += ["" if np.isnan(value) else f"{value:.2f}".replace(".", ","), quality]
        lines.append(";".join(cells))
    return "\r\n".join(lines) + "\r\n"
