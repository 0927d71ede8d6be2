"""Competitive ELISA plates as a laboratory makes them: reader files, layouts and the truth beside them.

A plate here has everything the `cortisol` stage must cope with: standards in duplicate, B0 and NSB
wells, a low and a high control, samples in duplicate in shuffled order, error that grows with the
signal, a gradient over the plate, pipetting and weighing error, and one well gone wrong.
"""

from dataclasses import dataclass

import pandas as pd


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


def simulate_plates(hair, kit, seed, design=None, prefix="P"):
    """Simulate the plates that measure a study's hair samples.

    Parameters
    ----------
    hair : DataFrame, one row a hair sample, with the columns of hair.tsv that the chemistry needs
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
    raise NotImplementedError
