"""Evaluate the four real hair plates of PalomaContreras25/HairCort-Evaluation-Nist2020 and compare well by well.

usage: python check_haircort.py FOLDER

FOLDER: a checkout (commit e9468c2). Plates T7 to T10 are ELISAs whose published values come from an unweighted 4PL on
percent bound; pg/mg = concentration x 1.4 x reconstitution x dilution / mg. Nothing of it is committed here. Prints the
share of wells within 0.5 and 2 %, and the samples whose dilutions are not parallel. The exit status is 1 if a well is
off by more than 2 %.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from hpaxis import schemas
from hpaxis.cortisol.kits import Kit
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.quality import check_quality, verdict
from hpaxis.cortisol.readers.cells import PlateRead
from hpaxis.cortisol.samples import hair_measurements

STANDARDS = (3200.0, 1600.0, 800.0, 400.0, 200.0, 100.0, 50.0)
KIT = Kit("published", "competitive_elisa", "pg/mL", STANDARDS, "raw", "4PL", "none", False)
TOLERANCE = 0.02


def read(path: Path) -> list[dict]:
    """Rows of one of the published tables."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [{k.strip(): v for k, v in row.items()} for row in csv.DictReader(lines)]


def number(text: str) -> float:
    """A number, NaN for anything else."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return np.nan


def plate(folder: Path, name: str) -> tuple[PlateRead, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The reading (percent bound), the layout, hair.tsv and the published values of one plate."""
    wells, layout, level = [], [], np.nan
    for row in read(folder / f"ResultsMyAssaysIndiv_{name}_st.csv"):
        level = number(row["Conc."]) if row["Conc."] else level
        well = row["Wells"].strip()
        wells.append((well, number(row["Raw"]), "ok" if np.isfinite(number(row["Raw"])) else "masked"))
        layout.append((well, "standard", None, np.nan, level))
    published, hair, seen = [], {}, {}
    for row in read(next(folder.glob("Merged_ELISA_results_*.csv"))):
        bound, mass, factor = (number(row[c]) for c in ("Binding_perc", "Weight_mg", "Dilution_factor_sample"))
        if not (np.isfinite(bound) and mass > 0 and factor > 0) or row["Sample"] in ("NSB", "TA", "B0"):
            continue
        buffer, spike = number(row["Reconst_buffer_ml"]), number(row["Dilution_factor_spike"])
        factor *= spike if spike > 0 else 1.0
        sample = f"{row['Category']}_{mass:g}_{row['Spike']}_{buffer:g}".replace(" ", "").replace("/", "-")
        if row["Well"] in seen or not np.isfinite(number(row["OD"])):
            continue
        seen[row["Well"]] = (number(row["OD"]), bound)
        layout.append((row["Well"], "sample", sample, factor, np.nan))
        published.append((row["Well"], number(row["Conc_pg_ml"]), number(row["Final_pg_mg"]), factor, mass, buffer))
        hair[sample] = (mass, buffer)
    # Percent bound is printed to three digits; the optical densities give it in full, being a straight line of it.
    od, bound = np.array(list(seen.values())).T
    wells += [(well, value, "ok") for well, value in zip(seen, np.polyval(np.polyfit(od, bound, 1), od))]
    sheet = pd.DataFrame({
        "hair_id": list(hair), "mass_mg": [mass for mass, _ in hair.values()], "methanol_added_ml": 1.4,
        "methanol_recovered_ml": 1.0,
        "reconstitution_ml": [buffer for _, buffer in hair.values()], "dilution": 1.0, "spike_pg": 0.0, "recovery": 1.0,
    })  # fmt: skip
    reading = PlateRead("published", (), "percent bound", pd.DataFrame(wells, columns=["well", "value", "status"]))
    columns = ["well", "role", "sample", "dilution", "nominal"]
    names = ["well", "concentration", "pg_per_mg", "dilution", "mass", "buffer"]
    return reading, pd.DataFrame(layout, columns=columns), sheet, pd.DataFrame(published, columns=names)


def main() -> int:
    """Compare all four plates; returns the exit status."""
    settings = schemas.with_defaults({}, schemas.load("config/cortisol"))
    counts: dict = defaultdict(int)
    for name in ("T7", "T8", "T9", "T10"):
        folder = Path(sys.argv[1]) / "data" / f"Test{name[1:]}"
        reading, layout, hair, published = plate(folder, name)
        result = quantify_plate(name, reading, layout, KIT, settings)
        conc = result.curve.invert(published["well"].map(reading.wells.set_index("well")["value"]).to_numpy())
        found = conc * 1.4 * published["buffer"] * published["dilution"] / published["mass"]
        off = (found / published["pg_per_mg"] - 1).abs()
        usable = published["concentration"].between(result.curve.lowest, result.curve.highest)
        quality = check_quality(result, settings)
        state, _ = verdict(quality)
        table = hair_measurements(result.estimates, result.summary.assign(verdict=state), quality, hair, settings)
        uneven = table.loc[table["flags"].str.contains("not_parallel"), "hair_id"].tolist()
        limits = result.summary[["lloq", "uloq"]].iloc[0]
        counts["wells"] += int(usable.sum())
        for key, most in (("within .5 %", 0.005), ("within 2 %", TOLERANCE)):
            counts[key] += int((usable & (off <= most)).sum())
        print(
            f"{name}: {usable.sum()} wells within the standards, {(off[usable] <= TOLERANCE).sum()} within 2 %, "
            f"largest difference {100 * off[usable].max():.2f} %; verdict {state}; LLOQ {limits['lloq']:.0f}, ULOQ "
            f"{limits['uloq']:.0f} pg/mL"
        )
        print(f"   not parallel: {', '.join(uneven) or 'none'}")
    print(", ".join(f"{n} {key}" for key, n in counts.items()))
    return 0 if counts["wells"] and counts["within 2 %"] == counts["wells"] else 1


if __name__ == "__main__":
    sys.exit(main())
