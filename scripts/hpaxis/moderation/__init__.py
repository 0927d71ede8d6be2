"""Does the moderator change what the predictor does? One covariance carried through every number.

>>> import hpaxis.moderation as moderation
>>> result = moderation.fit(data, outcome="y", predictor="x", moderator="arm", covariance="HC3")
>>> result.coefficients, result.slopes, result.region
"""

from hpaxis.moderation.covariance import KINDS
from hpaxis.moderation.design import Spec
from hpaxis.moderation.model import Moderation, fit, fit_spec

__all__ = ["KINDS", "Moderation", "Spec", "fit", "fit_spec"]
