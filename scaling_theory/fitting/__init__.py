"""Fits of laws to measured losses and frequencies.

- A power law with or without a floor, by squares or Huber's loss, with intervals that say when the
  data cannot tell the floor from the exponent: :func:`fit_power_law`. What it says of widths that
  it has not seen: :func:`leave_largest`.
- Other laws, which of them the points support, laws of two variables and of compute:
  :func:`fit_law`, :func:`compare_laws`, :func:`fit_joint`, :func:`fit_parameters_data`,
  :func:`fit_compute`.
- Slopes and tails of firing frequencies: :func:`fit_frequencies`, :func:`fit_tail`,
  :func:`goodness_of_fit`, :func:`compare_tails`.
"""

from scaling_theory.fitting.extrapolation import leave_largest
from scaling_theory.fitting.frequencies import (
    FrequencyFit,
    GoodnessOfFit,
    TailFit,
    compare_tails,
    fit_frequencies,
    fit_tail,
    goodness_of_fit,
)
from scaling_theory.fitting.laws import (
    LawFit,
    compare_laws,
    fit_compute,
    fit_joint,
    fit_law,
    fit_parameters_data,
    sae_training_flops,
)
from scaling_theory.fitting.power_law import PowerLawFit, fit_power_law

__all__ = [
    "FrequencyFit",
    "GoodnessOfFit",
    "LawFit",
    "PowerLawFit",
    "TailFit",
    "compare_laws",
    "compare_tails",
    "fit_compute",
    "fit_frequencies",
    "fit_joint",
    "fit_law",
    "fit_parameters_data",
    "fit_power_law",
    "fit_tail",
    "goodness_of_fit",
    "leave_largest",
    "sae_training_flops",
]
