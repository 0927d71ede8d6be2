"""Hair cortisol: from a plate reader's file to pg/mg with its interval.

`fit_curve` works on arrays; `quantify_plate` on one plate; `collect` brings a study's plates together.

>>> from hpaxis.cortisol import fit_curve
>>> curve = fit_curve([0, 1, 2, 4, 8, 16], [100, 90, 75, 50, 25, 11])
>>> curve.concentration([60, 40]).round(2)["estimate"].tolist()
[3.09, 5.15]
"""

from hpaxis.cortisol.assay import hair_cortisol, percent_bound
from hpaxis.cortisol.check import check_plate
from hpaxis.cortisol.curve import Curve, CurveError, Variance, compare_models, fit_curve
from hpaxis.cortisol.kits import Kit, read_kits
from hpaxis.cortisol.layout import read_layout
from hpaxis.cortisol.plate import quantify_plate
from hpaxis.cortisol.readers import read_reader_file
from hpaxis.cortisol.reliability import icc
from hpaxis.cortisol.samples import collect

__all__ = [
    "Curve",
    "CurveError",
    "Kit",
    "Variance",
    "check_plate",
    "collect",
    "compare_models",
    "fit_curve",
    "hair_cortisol",
    "icc",
    "percent_bound",
    "quantify_plate",
    "read_kits",
    "read_layout",
    "read_reader_file",
]
