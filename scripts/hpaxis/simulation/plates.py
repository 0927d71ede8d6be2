"""Competitive ELISA plates as a laboratory makes them: reader files, layouts and the truth beside them.

A plate here has everything the `cortisol` stage must cope with: standards in duplicate, B0 and NSB
wells, a low and a high control, samples in duplicate in shuffled order, error that grows with the
signal, a gradient over the plate, pipetting and weighing error, and one well gone wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpaxis.cortisol.kits import PG_PER_ML, Kit

ROWS, COLUMNS = "ABCDEFGH", range(1, 13)
CONTENTS = ("role", "sample", "nominal", "concentration")


@dataclass(frozen=True)
class PlateDesign:
    """How the simulated plates behave; every field has the unit in its name.

    ``c`` is the concentration at half of the specific binding, in the kit's own unit.
    """

    samples_per_plate: int = 30
    b0_od: float = 1.6
    nsb_od: float = 0.07
    slope: float = 1.1
    c: float = 300.0
    proportional_cv_percent: float = 2.5
    additive_sd_od: float = 0.004
    gradient_percent: float = 1.5
    volume_cv_percent: float = 1.0
    mass_sd_mg: float = 0.1
    plate_cv_percent: float = 4.0
    low_control_percent_bound: float = 75.0
    high_control_percent_bound: float = 30.0
    bad_wells: int = 1
    run_cv_percent: float = 0.0


@dataclass(frozen=True)
class SimulatedPlate:
    """One plate: the text of its reader file, its layout as a long table, and the truth of each well.

    ``layout`` has columns well, role, sample, dilution, nominal; ``truth`` has plate_id, well, role,
    sample, concentration (in the kit's unit) and bad (yes/no).
    """

    plate_id: str
    kit: str
    reader_text: str
    layout: pd.DataFrame
    truth: pd.DataFrame


def simulate_plates(
    hair: pd.DataFrame, kit: Kit, seed: int, design: PlateDesign | None = None, prefix: str = "P"
) -> list[SimulatedPlate]:
    """Simulate the plates that measure a study's hair samples.

    Parameters
    ----------
    hair : DataFrame, one row per hair sample, with the columns of hair.tsv that the chemistry needs
        (hair_id, mass_mg, methanol_added_ml, methanol_recovered_ml, reconstitution_ml, and dilution,
        spike_pg, recovery where they are not 1, 0 and 1) and the truth, ``cortisol_pg_per_mg``.
        With a column ``arm``, arms are dealt evenly over the plates.
    kit : hpaxis.cortisol.kits.Kit, whose standards the plates carry.
    seed : int; each plate has its own stream, so that plates stay the same when others are added.
    design : PlateDesign or None for its defaults.
    prefix : plates are named ``{prefix}01``, ``{prefix}02``, ...

    Returns
    -------
    list of SimulatedPlate. Write ``reader_text`` (a Gen5 text export) to ``{plate_id}.txt`` and
    ``layout`` with `hpaxis.tables.write_table` to ``{plate_id}_layout.tsv``.

    Raises
    ------
    ValueError if a hair sample is listed twice or a needed column is absent.
    """
    design = design or PlateDesign()
    hair = _checked(hair)
    root = np.random.SeedSequence(seed)
    deal = np.random.default_rng(root.spawn(1)[0])
    n_plates = -(-len(hair) // design.samples_per_plate)
    numbers = _deal(hair, n_plates, deal)
    return [
        _plate(f"{prefix}{k + 1:02d}", hair[numbers == k], kit, design, np.random.default_rng([seed, k + 1]))
        for k in range(n_plates)
    ]


def _checked(hair: pd.DataFrame) -> pd.DataFrame:
    needed = [
        "hair_id",
        "mass_mg",
        "methanol_added_ml",
        "methanol_recovered_ml",
        "reconstitution_ml",
        "cortisol_pg_per_mg",
    ]
    absent = [c for c in needed if c not in hair]
    if absent:
        raise ValueError(f"hair lacks the columns {', '.join(absent)}")
    if hair["hair_id"].duplicated().any():
        raise ValueError("a hair sample is listed twice")
    hair = hair.sort_values("hair_id").reset_index(drop=True)
    for column, value in (("dilution", 1.0), ("spike_pg", 0.0), ("recovery", 1.0)):
        hair[column] = hair[column].fillna(value) if column in hair else value
    return hair


def _deal(hair: pd.DataFrame, n_plates: int, rng: np.random.Generator) -> np.ndarray:
    """Number of each sample's plate: every arm is shuffled, and the arms are dealt like cards."""
    arms = hair["arm"].astype(str) if "arm" in hair else pd.Series("", index=hair.index)
    order = np.concatenate([rng.permutation(np.flatnonzero(arms == arm)) for arm in sorted(arms.unique())])
    numbers = np.empty(len(hair), dtype=int)
    numbers[order] = np.arange(len(hair)) % n_plates
    return numbers


def _plate(
    plate_id: str, hair: pd.DataFrame, kit: Kit, design: PlateDesign, rng: np.random.Generator
) -> SimulatedPlate:
    contents = _contents(hair.sample(frac=1, random_state=rng), kit, design, rng)
    return simulate_plate(plate_id, pd.DataFrame(contents, columns=list(CONTENTS)), kit, design, rng)


def simulate_plate(
    plate_id: str,
    contents: pd.DataFrame,
    kit: Kit,
    design: PlateDesign,
    rng: np.random.Generator,
    effect: Any = None,
) -> SimulatedPlate:
    """Simulate the readings of one plate whose wells hold what is given.

    ``contents``: DataFrame of `CONTENTS`, one row per well in pipetting order, and ``dilution`` where some have one;
    concentrations are those in the well, in the kit's unit. ``effect``: ln of how much stronger everything but the
    standards reads; drawn from ``design.run_cv_percent`` if None. Returns SimulatedPlate.
    """
    wells = contents.copy()
    apparent = wells["concentration"].to_numpy(dtype=float)
    if effect is not None:
        apparent = np.where(wells["role"] == "standard", apparent, apparent * np.exp(effect))
    elif design.run_cv_percent:
        # The standards of a run are a little stronger or weaker than their label, so everything else reads otherwise.
        effect = rng.spawn(1)[0].normal(0, np.sqrt(np.log1p((design.run_cv_percent / 100) ** 2)))
        apparent = np.where(wells["role"] == "standard", apparent, apparent * np.exp(effect))
    # Duplicates stand side by side, filled down the columns in pairs: A1 A2, B1 B2, ..., A3 A4, ...
    places = [(row, column + side) for column in COLUMNS[::2] for row in ROWS for side in (0, 1)]
    wells["well"] = [f"{row}{column}" for row, column in places[: len(wells)]]
    bound = 1 / (1 + (apparent / design.c) ** design.slope)
    b0 = design.b0_od * np.exp(rng.normal(0, design.plate_cv_percent / 100))
    signal = design.nsb_od + (b0 - design.nsb_od) * np.where(wells["role"] == "nsb", 0.0, bound)
    direction = rng.uniform(0, 2 * np.pi)
    x = wells["well"].str[1:].astype(int).to_numpy() / 11 - 6.5 / 11
    y = wells["well"].str[0].map(ROWS.index).to_numpy() / 7 - 0.5
    signal = signal * (1 + design.gradient_percent / 100 * (x * np.cos(direction) + y * np.sin(direction)))
    signal = signal * (1 + rng.normal(0, design.proportional_cv_percent / 100, len(wells)))
    signal = signal + rng.normal(0, design.additive_sd_od, len(wells))
    samples = np.flatnonzero(wells["role"] == "sample")
    bad = rng.choice(samples, min(design.bad_wells, len(samples)), replace=False)
    # A well that got half of its conjugate.
    signal[bad] = design.nsb_od + 0.5 * (signal[bad] - design.nsb_od)
    wells["signal"] = np.round(np.clip(signal, 0, None), 3)
    wells["bad"] = np.where(wells.index.isin(bad), "yes", "no")
    if "dilution" not in wells:
        wells["dilution"] = np.nan
    wells["plate_id"] = plate_id
    return SimulatedPlate(
        plate_id=plate_id,
        kit=kit.kit,
        reader_text=gen5_export(plate_id, wells, kit),
        layout=wells[["well", "role", "sample", "dilution", "nominal"]],
        truth=wells[["plate_id", "well", "role", "sample", "concentration", "bad"]],
    )


def _contents(hair: pd.DataFrame, kit: Kit, design: PlateDesign, rng: np.random.Generator) -> list[tuple]:
    """What stands in each well, in pipetting order: role, sample, nominal, true concentration (kit's unit)."""
    rows = [("nsb", None, np.nan, 0.0)] * 2 + [("b0", None, np.nan, 0.0)] * 2
    for number, nominal in enumerate(kit.standards, start=1):
        rows += [("standard", f"S{number}", nominal, nominal)] * 2
    for name, percent in (("low", design.low_control_percent_bound), ("high", design.high_control_percent_bound)):
        level = design.c * (100 / percent - 1) ** (1 / design.slope)
        rows += [("control", name, round(level, 1), round(level, 1))] * 2
    concentrations = well_concentration(hair, kit, design, rng)
    for hair_id, concentration in zip(hair["hair_id"], concentrations):
        rows += [("sample", hair_id, np.nan, concentration)] * 2
    if len(rows) > len(ROWS) * len(COLUMNS):
        raise ValueError(f"{len(rows)} wells do not fit on a plate: lower samples_per_plate")
    return rows


def well_concentration(hair: pd.DataFrame, kit: Kit, design: PlateDesign, rng: np.random.Generator) -> np.ndarray:
    """Return the true concentration in the wells of each hair sample, in the kit's unit.

    The chemistry of `hpaxis.cortisol.assay.hair_cortisol` backwards, with the laboratory's errors: what was weighed
    and pipetted differs from what the sheet says.
    """
    volume = design.volume_cv_percent / 100
    mass = hair["mass_mg"] + rng.normal(0, design.mass_sd_mg, len(hair))
    pipetted = {
        column: hair[column] * (1 + rng.normal(0, volume, len(hair)))
        for column in ("methanol_added_ml", "methanol_recovered_ml", "reconstitution_ml")
    }
    extract_pg = hair["cortisol_pg_per_mg"] * mass * hair["recovery"] + hair["spike_pg"]
    in_buffer = extract_pg * pipetted["methanol_recovered_ml"] / pipetted["methanol_added_ml"]
    pg_per_ml = in_buffer / pipetted["reconstitution_ml"] / hair["dilution"]
    return (pg_per_ml / PG_PER_ML[kit.unit]).to_numpy()


def gen5_export(plate_id: str, wells: pd.DataFrame, kit: Kit) -> str:
    """Write wells (well, role, sample, nominal, signal) as the text that BioTek's Gen5 exports for one plate."""
    by_well = wells.set_index("well")

    def line(label: str, text: Iterable[str]) -> str:
        return "\t".join([label, *text])

    header = line("", [str(c) for c in COLUMNS])
    layout, results = ["Layout", header], ["Results", header]
    for row in ROWS:
        names, amounts, signals = [], [], []
        for column in COLUMNS:
            well = f"{row}{column}"
            here = by_well.loc[well] if well in by_well.index else None
            names.append("" if here is None else _gen5_name(here))
            amounts.append(f"{here.nominal:g}" if here is not None and here.role == "standard" else "")
            signals.append("" if here is None else f"{here.signal:.3f}")
        layout += [line(row, [*names, "Well ID"]), line("", [*amounts, "Conc/Dil"])]
        results.append(line(row, [*signals, "450"]))
    head = [
        "", "", "Software Version\t3.12.08", "", "", "",
        "Experiment File Path:\tsimulated", "Protocol File Path:\tsimulated", "", "", "",
        f"Plate Number\t{plate_id}", "Reader Type:\tsimulated", "Reading Type\tReader", "",
        "Procedure Details", "", "Plate Type\t96 WELL PLATE", "Read\tAbsorbance Endpoint",
        "\tFull Plate", "\tWavelengths:  450", "",
    ]  # fmt: skip
    return "\r\n".join([*head, *layout, "", *results, ""])


def _gen5_name(well: Any) -> str:
    if well.role == "standard":
        return f"STD{well['sample'][1:]}"
    if well.role in ("b0", "nsb"):
        return well.role.upper()
    return f"CTL_{well['sample']}" if well.role == "control" else str(well["sample"])
