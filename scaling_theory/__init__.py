"""How a model with N units of capacity spends them: theory, simulation and measurement.

Frequencies, curves and populations state a problem; :func:`allocate` solves it exactly;
:func:`scaling_curve` and :func:`predict` say how the solution scales. ``fitting``, ``analysis``
and ``datasets`` hold it against real sparse autoencoders; :func:`diagnose` says which regime they
are in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaling_theory import analysis, datasets, fitting, theory
from scaling_theory.allocation import (
    Allocation,
    ContinuousAllocation,
    allocate,
    allocate_continuous,
    latents_for,
)
from scaling_theory.analysis.diagnosis import Diagnosis, diagnose
from scaling_theory.curves import (
    DiscreteCurve,
    ExponentialCurve,
    LossCurve,
    PlateauCurve,
    PowerLawCurve,
    TabulatedCurve,
)
from scaling_theory.fitting import (
    FrequencyFit,
    GoodnessOfFit,
    LawFit,
    PowerLawFit,
    TailFit,
    compare_laws,
    compare_tails,
    fit_compute,
    fit_frequencies,
    fit_joint,
    fit_law,
    fit_parameters_data,
    fit_power_law,
    fit_tail,
    goodness_of_fit,
    leave_largest,
    sae_training_flops,
)
from scaling_theory.frequencies import (
    EmpiricalFrequencies,
    Frequencies,
    PowerLawFrequencies,
    ZipfMandelbrotFrequencies,
)
from scaling_theory.groups import Group
from scaling_theory.measured import MeasuredCurve
from scaling_theory.population import Population
from scaling_theory.scaling import logspace, scaling_curve
from scaling_theory.theory import Prediction, predict
from scaling_theory.theory.latents.frequencies import LatentFrequencies, latent_frequencies

if TYPE_CHECKING:
    from scaling_theory.sae.formats import PublishedSAE

__version__ = "0.1.0"

__all__ = [
    "Allocation",
    "ContinuousAllocation",
    "Diagnosis",
    "DiscreteCurve",
    "EmpiricalFrequencies",
    "ExponentialCurve",
    "Frequencies",
    "FrequencyFit",
    "GoodnessOfFit",
    "Group",
    "LatentFrequencies",
    "LawFit",
    "LossCurve",
    "MeasuredCurve",
    "PlateauCurve",
    "Population",
    "PowerLawCurve",
    "PowerLawFit",
    "PowerLawFrequencies",
    "Prediction",
    "TabulatedCurve",
    "TailFit",
    "ZipfMandelbrotFrequencies",
    "allocate",
    "allocate_continuous",
    "analysis",
    "compare_laws",
    "compare_tails",
    "datasets",
    "diagnose",
    "fit_compute",
    "fit_frequencies",
    "fit_joint",
    "fit_law",
    "fit_parameters_data",
    "fit_power_law",
    "fit_tail",
    "fitting",
    "goodness_of_fit",
    "latent_frequencies",
    "latents_for",
    "leave_largest",
    "load_sae",
    "logspace",
    "predict",
    "sae_training_flops",
    "scaling_curve",
    "theory",
]


def load_sae(path: Any, *, format: str = "auto") -> PublishedSAE:  # noqa: A002
    """Read a published SAE (Gemma Scope, SAELens, dictionary_learning, OpenAI, sparsify).

    See :func:`scaling_theory.sae.load_sae`; PyTorch is loaded by the call.
    """
    from scaling_theory.sae.formats import load_sae as load

    return load(path, format=format)
