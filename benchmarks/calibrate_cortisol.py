"""Do the intervals of hair cortisol hold the truth when runs differ? Writes docs/calibration_cortisol.md.

Studies are simulated from hair to reader file (one plate per run, 30 hair samples on each, a low and a high control in
duplicate), and evaluated by the stage itself. The simulator's errors are those of a bench: pipetting, weighing, a
gradient, wells that got half of their conjugate, standards that are stronger or weaker than their label; the estimator
knows none of their sizes. Plates are not selected by their controls, since that would select runs.
"""

import argparse
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from hpaxis import schemas
from hpaxis.cortisol.check import read_plate
from hpaxis.cortisol.kits import read_kits
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.samples import MEASUREMENT_COLUMNS, collect, no_plates
from hpaxis.simulation.plates import PlateDesign, simulate_plates
from hpaxis.tables import write_table

HAIR_PER_PLATE = 30
RUN_CVS = (0.0, 8.0, 15.0)  # %
RUNS = (2, 4)


def hair_samples(n: int, seed: int) -> pd.DataFrame:
    """Hair of children at usual concentrations, weighed in mg."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "hair_id": [f"H{i:04d}" for i in range(n)], "participant_id": [f"C{i:04d}" for i in range(n)], "timepoint": "m",
        "mass_mg": rng.uniform(5, 30, n).round(1), "segment_from_cm": 0.0, "segment_to_cm": 3.0,
        "methanol_added_ml": 1.5, "methanol_recovered_ml": 1.0, "reconstitution_ml": 0.2, "dilution": 1.0,
        "spike_pg": 0.0, "recovery": 1.0, "cortisol_pg_per_mg": np.exp(rng.normal(1.8, 0.5, n)),
        "arm": np.where(np.arange(n) % 2, "treatment", "control"),
    })  # fmt: skip


def study(runs: int, run_cv: float, seed: int, settings: dict, folder: Path) -> pd.DataFrame:
    """Simulate and evaluate one study; returns its samples with their true values."""
    kit = read_kits()["generic_competitive_elisa"]
    hair = hair_samples(HAIR_PER_PLATE * runs, seed)
    design = PlateDesign(samples_per_plate=HAIR_PER_PLATE, run_cv_percent=run_cv)
    parts: dict = {name: [] for name in ("summary", "wells", "estimates")}
    for plate in simulate_plates(hair, kit, seed, design):
        reader, layout = folder / f"{plate.plate_id}.txt", folder / f"{plate.plate_id}.tsv"
        reader.write_bytes(plate.reader_text.encode())
        write_table(plate.layout, layout)
        row = SimpleNamespace(plate_id=plate.plate_id, reader_file=str(reader), layout_file=str(layout))
        result = quantify_plate(plate.plate_id, *read_plate(row, hair, kit), kit, settings)
        # Intervals do not depend on a plate's checks, and no plate is left out here.
        parts["summary"].append(result.summary.assign(verdict="pass", reasons=None))
        parts["wells"].append(result.wells)
        parts["estimates"].append(result.estimates)
    tables = no_plates() | {name: pd.concat(found, ignore_index=True) for name, found in parts.items()}
    nothing = pd.DataFrame(columns=list(MEASUREMENT_COLUMNS))
    found = collect(tables, nothing, hair, hair[["participant_id", "arm"]], ["control", "treatment"], settings)
    truth = hair[["hair_id", "cortisol_pg_per_mg"]].rename(columns={"cortisol_pg_per_mg": "true"})
    return found.samples.merge(truth, on="hair_id")


def main() -> None:
    """Run all cells and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=100, help="of two runs; half as many of four")
    parser.add_argument("--out", type=Path, default=Path("docs/calibration_cortisol.md"))
    arguments = parser.parse_args()
    settings = schemas.with_defaults({}, schemas.load("config/cortisol"))
    # Plates stay whatever their controls read.
    settings |= {"failed_plates": "use", "recovery_low_percent": 0, "recovery_high_percent": 300}
    lines = [
        "# Do intervals of hair cortisol hold the truth?",
        "",
        f"Written by `make calibration-cortisol STUDIES={arguments.studies}`: so many simulated studies of",
        f"two runs, half as many of four. One plate per run, {HAIR_PER_PLATE} hair samples per plate, a low and a high",
        "control in duplicate on each.",
        "Samples without a number are not counted. The error in brackets is that of the share, over studies.",
        "",
        "| runs | CV between runs | 95 % intervals that hold the truth | without the part between runs |",
        "| --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as place:
        for runs in RUNS:
            for cv in RUN_CVS:
                hits, bare = [], []
                for seed in range(arguments.studies * RUNS[0] // runs):
                    table = study(runs, cv, 1000 * runs + seed, settings, Path(place))
                    known = table[table["cortisol_pg_per_mg"].notna()]
                    hits.append(known["true"].between(known["cortisol_low"], known["cortisol_high"]).mean())
                    off = np.abs(np.log(known["cortisol_pg_per_mg"] / known["true"]))
                    bare.append((off < 1.96 * known["log_se_within_run"]).mean())
                error = np.std(hits, ddof=1) / np.sqrt(len(hits))
                share = f"{100 * np.mean(hits):.1f} % ({100 * error:.1f})"
                line = f"| {runs} | {cv:g} % | {share} | {100 * np.mean(bare):.1f} % |"
                print(line, flush=True)
                lines.append(line)
    lines += [
        "",
        "All samples of a run are off by the same, so a study stands or falls as a whole where runs differ much, and",
        "the errors in brackets grow. With two runs the variance between them is estimated from a single contrast, so",
        "intervals are several times as wide as within a run.",
    ]
    arguments.out.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
