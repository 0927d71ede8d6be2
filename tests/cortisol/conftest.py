"""A small study's plates, made once for all tests of the stage."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hpaxis import schemas
from hpaxis.cortisol.kits import read_kits
from hpaxis.cortisol.quality import check_quality, rerun_table, verdict
from hpaxis.simulation.plates import simulate_plates
from hpaxis.tables import write_table


def hair_samples(n, seed=1):
    """Hair samples as hair.tsv has them, with their true cortisol."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "hair_id": [f"H{i:04d}" for i in range(n)],
        "participant_id": [f"{i:05d}" for i in range(n)],
        "timepoint": "month12",
        "mass_mg": rng.uniform(5, 30, n).round(1),
        "segment_from_cm": 0.0,
        "segment_to_cm": 3.0,
        "methanol_added_ml": 1.5,
        "methanol_recovered_ml": 1.0,
        "reconstitution_ml": 0.2,
        "dilution": 1.0,
        "spike_pg": 0.0,
        "recovery": 1.0,
        "cortisol_pg_per_mg": np.exp(rng.normal(1.8, 0.5, n)),
        "arm": np.where(np.arange(n) % 2, "treatment", "control"),
        "row": np.arange(n) + 2,
    })  # fmt: skip


@pytest.fixture(scope="session")
def settings():
    """The cortisol section of the config, with its defaults."""
    return schemas.with_defaults({}, schemas.load("config/cortisol"))


@pytest.fixture(scope="session")
def kit():
    """The kit the simulator uses."""
    return read_kits()["generic_competitive_elisa"]


@pytest.fixture(scope="session")
def hair():
    """Forty hair samples."""
    return hair_samples(40)


@pytest.fixture(scope="session")
def simulated(hair, kit):
    """The plates that measure them."""
    return simulate_plates(hair, kit, seed=11)


def write_plate(folder, plate):
    """Write a simulated plate as the bench has it; returns its row of plates.tsv."""
    reader, layout = folder / f"{plate.plate_id}.txt", folder / f"{plate.plate_id}_layout.tsv"
    reader.write_bytes(plate.reader_text.encode())
    write_table(plate.layout, layout)
    return plate_row(plate.plate_id, reader, layout)


def plate_row(plate_id, reader, layout, kit="generic_competitive_elisa", **more):
    """A row of plates.tsv."""
    return SimpleNamespace(
        plate_id=plate_id, kit=kit, reader_file=str(reader), layout_file=None if layout is None else str(layout), **more
    )


def plate_tables(results, settings):
    """What the collecting job reads of several plates."""
    tables = {name: [] for name in ("summary", "wells", "estimates", "quality", "rerun")}
    for result in results:
        quality = check_quality(result, settings)
        state, reasons = verdict(quality)
        tables["summary"].append(result.summary.assign(verdict=state, reasons=reasons))
        tables["wells"].append(result.wells)
        tables["estimates"].append(result.estimates)
        tables["quality"].append(quality)
        tables["rerun"].append(rerun_table(result, settings))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
