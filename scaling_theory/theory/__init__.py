"""Closed forms: regimes, exponents, constants and the uniform law, with their derivations."""

from scaling_theory.theory.derivations import Step, derive
from scaling_theory.theory.regimes import Prediction, predict
from scaling_theory.theory.uniform import UniformLaw, level_set_sum, uniform_law

__all__ = [
    "Prediction",
    "Step",
    "UniformLaw",
    "derive",
    "level_set_sum",
    "predict",
    "uniform_law",
]
