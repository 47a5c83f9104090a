"""Laws of loss against size, sparsity, data and compute: fits with intervals, and comparisons.

- One law of n: :func:`fit_law`, with the laws of :data:`LAWS`; for the plain power law with its
  bootstrap in one call there is also :func:`scaling_theory.fit_power_law`.
- Which law: :func:`compare_laws`.
- Two variables: :func:`fit_joint` (latents and active latents), :func:`fit_parameters_data`.
- Compute: :func:`fit_compute` on the frontier, :func:`sae_training_flops`.

``python -m scaling_theory.fitting.laws`` prints the tables that the documentation quotes.
"""

from scaling_theory.fitting.laws.catalogue import LAWS, names
from scaling_theory.fitting.laws.compare import compare_laws
from scaling_theory.fitting.laws.compute import ComputeFit, fit_compute, sae_training_flops
from scaling_theory.fitting.laws.curves import (
    BrokenPowerLaw,
    ExponentialLaw,
    PowerLaw,
)
from scaling_theory.fitting.laws.fit import Band, LawFit, fit_law
from scaling_theory.fitting.laws.joint import (
    ParametersDataLaw,
    SparsityLaw,
    fit_joint,
    fit_parameters_data,
)
from scaling_theory.fitting.laws.law import CurveLaw, Law
from scaling_theory.fitting.laws.theory_law import LogCorrectedLaw, TheoryLaw

__all__ = [
    "LAWS",
    "Band",
    "BrokenPowerLaw",
    "ComputeFit",
    "CurveLaw",
    "ExponentialLaw",
    "Law",
    "LawFit",
    "LogCorrectedLaw",
    "ParametersDataLaw",
    "PowerLaw",
    "SparsityLaw",
    "TheoryLaw",
    "compare_laws",
    "fit_compute",
    "fit_joint",
    "fit_law",
    "fit_parameters_data",
    "names",
    "sae_training_flops",
]
