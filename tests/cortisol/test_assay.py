import numpy as np
import pytest

from hpaxis.cortisol import assay
from hpaxis.cortisol.kits import PG_PER_ML


def test_the_hand_calculation_of_meyer_and_novak_is_36_exactly():
    # .12 ug/dL, 10 mg, 1.5 mL added, 1.0 mL recovered, .2 mL buffer.
    found = assay.hair_cortisol(assay.to_pg_per_ml(0.12, "ug/dL"), 10, 1.5, 1.0, 0.2)
    assert found == 36.0


def test_units_agree():
    assert PG_PER_ML["ug/dL"] == 10_000
    assert assay.to_pg_per_ml(27.59, "nmol/L") == pytest.approx(10_000)
    assert assay.to_pg_per_ml(1.5, "ng/mL") == 1500
    assert assay.to_pg_per_ml([1, 2], "pg/mL").tolist() == [1, 2]


def test_percent_bound():
    np.testing.assert_allclose(assay.percent_bound([0.1, 1.1, 2.1], b0=2.1, nsb=0.1), [0, 50, 100])
    assert assay.percent_bound(0.5, b0=1.0) == 50


def test_dilution_spike_and_recovery():
    # 100 pg/mL diluted 1:4, of .25 mL from half of the methanol: 200 pg; less 80 of spike, over 6 mg at 80 %.
    found = assay.hair_cortisol(100, 6, 2.0, 1.0, 0.25, dilution=4, spike_pg=80, recovery=0.8)
    assert found == pytest.approx(120 / 4.8)
    np.testing.assert_allclose(assay.hair_cortisol(np.array([100, 200]), np.array([10, 20]), 1, 1, 1), 10)


def test_pipetting_adds_in_quadrature():
    assert assay.volume_cv(1.0, False) == pytest.approx(np.sqrt(3) / 100)
    np.testing.assert_allclose(assay.volume_cv(2.0, np.array([False, True])), [0.02 * np.sqrt(3), 0.04])


def test_widening_an_interval():
    low, high = assay.widen(10.0, 8.0, 12.5, 0.0)
    assert (low, high) == (pytest.approx(8.0), pytest.approx(12.5))
    low, high = assay.widen(10.0, 10.0, 10.0, 0.1)
    assert (low, high) == (
        pytest.approx(10 * np.exp(-0.195996), rel=1e-5),
        pytest.approx(10 * np.exp(0.195996), rel=1e-5),
    )
    assert assay.widen(10.0, 0.0, np.inf, 0.1) == (0.0, np.inf)


def test_cv():
    assert assay.cv_percent([9, 11]) == pytest.approx(100 * np.sqrt(2) / 10)
    assert assay.cv_percent([9, np.nan, 11]) == assay.cv_percent([9, 11])
    assert np.isnan(assay.cv_percent([5.0]))
