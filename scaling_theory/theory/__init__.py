"""Closed forms: regimes, exponents and constants."""

from scaling_theory.theory.regimes import Prediction, level_set_sum, predict

__all__ = ["Prediction", "level_set_sum", "predict"]
