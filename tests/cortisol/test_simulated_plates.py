import importlib.util
from pathlib import Path

import numpy as np
import pytest

from hpaxis.cortisol import assay
from hpaxis.simulation.plates import PlateDesign, simulate_plates, well_concentration

_spec = importlib.util.spec_from_file_location("cortisol_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)


def test_a_plate_has_what_a_laboratory_puts_on_it(simulated, hair, kit):
    assert [p.plate_id for p in simulated] == ["P01", "P02"]
    for plate in simulated:
        counts = plate.layout["role"].value_counts()
        assert counts[["nsb", "b0", "standard", "control"]].tolist() == [2, 2, 16, 4]
        assert plate.layout["well"].is_unique
        assert (plate.layout.loc[plate.layout["role"] == "sample", "sample"].value_counts() == 2).all()
        assert (plate.truth["bad"] == "yes").sum() == 1
        assert set(plate.layout.loc[plate.layout["role"] == "standard", "nominal"]) == set(kit.standards)
    samples = [s for p in simulated for s in p.layout.loc[p.layout["role"] == "sample", "sample"].unique()]
    assert sorted(samples) == sorted(hair["hair_id"])


def test_arms_are_dealt_evenly(simulated, hair):
    arm = hair.set_index("hair_id")["arm"]
    for plate in simulated:
        counts = arm[plate.layout.loc[plate.layout["role"] == "sample", "sample"].unique()].value_counts()
        assert abs(counts["control"] - counts["treatment"]) <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(hair, kit, simulated):
    again = simulate_plates(hair.sample(frac=1, random_state=3), kit, seed=11)
    assert [p.reader_text for p in again] == [p.reader_text for p in simulated]
    assert again[0].layout.equals(simulated[0].layout)
    assert simulate_plates(hair, kit, seed=12)[0].reader_text != simulated[0].reader_text


def test_without_error_the_chemistry_inverts(hair, kit):
    exact = PlateDesign(volume_cv_percent=0, mass_sd_mg=0)
    odd = hair.assign(dilution=2.0, spike_pg=30.0, recovery=0.9)
    found = well_concentration(odd, kit, exact, np.random.default_rng(1))
    chemistry = odd[["mass_mg", "methanol_added_ml", "methanol_recovered_ml", "reconstitution_ml"]]
    back = assay.hair_cortisol(found, *chemistry.to_numpy().T, dilution=2.0, spike_pg=30.0, recovery=0.9)
    np.testing.assert_allclose(back, odd["cortisol_pg_per_mg"])


def test_faults_are_refused(hair, kit):
    with pytest.raises(ValueError, match="lacks the columns mass_mg"):
        simulate_plates(hair.drop(columns="mass_mg"), kit, 1)
    with pytest.raises(ValueError, match="listed twice"):
        simulate_plates(hair.assign(hair_id="H1"), kit, 1)
    with pytest.raises(ValueError, match="do not fit on a plate"):
        simulate_plates(_conftest.hair_samples(60), kit, 1, PlateDesign(samples_per_plate=60))
