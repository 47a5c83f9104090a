"""Fits of laws to measured losses.

- A power law with or without a floor, with intervals that say when the data cannot tell the
  floor from the exponent: :func:`fit_power_law`.
"""

from scaling_theory.fitting.power_law import PowerLawFit, fit_power_law

__all__ = ["PowerLawFit", "fit_power_law"]
