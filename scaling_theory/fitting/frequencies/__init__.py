"""Frequencies of latents, and power-law tails of any data.

- Frequencies of the latents of an SAE: :func:`fit_frequencies` (slope between two ranks, tail,
  noise of counting, dead latents).
- Any data: :func:`fit_tail` for the exponent and where the tail begins, :func:`goodness_of_fit` for
  whether a power law fits at all, :func:`compare_tails` for whether something else fits better.
- :func:`draw_tail` draws from a fitted law.
"""

from scaling_theory.fitting.frequencies.compare import compare_tails
from scaling_theory.fitting.frequencies.fit import FrequencyFit, fit_frequencies
from scaling_theory.fitting.frequencies.goodness import (
    GoodnessOfFit,
    draw_tail,
    goodness_of_fit,
)
from scaling_theory.fitting.frequencies.noise import CorrectedSlope
from scaling_theory.fitting.frequencies.slope import RankSlope
from scaling_theory.fitting.frequencies.tail import TailFit, fit_tail

__all__ = [
    "CorrectedSlope",
    "FrequencyFit",
    "GoodnessOfFit",
    "RankSlope",
    "TailFit",
    "compare_tails",
    "draw_tail",
    "fit_frequencies",
    "fit_tail",
    "goodness_of_fit",
]
