"""How a model with N units of capacity spends them: theory, simulation and measurement.

Frequencies, curves and populations state a problem; :func:`allocate` solves it exactly;
:func:`scaling_curve` and :func:`predict` say how the solution scales; :func:`fit_power_law` and
``datasets`` hold it against real sparse autoencoders.
"""

from typing import TYPE_CHECKING, Any

from scaling_theory import analysis, datasets, fitting, theory
from scaling_theory.allocation import (
    Allocation,
    ContinuousAllocation,
    allocate,
    allocate_continuous,
    latents_for,
)
from scaling_theory.curves import (
    DiscreteCurve,
    ExponentialCurve,
    LossCurve,
    PlateauCurve,
    PowerLawCurve,
    TabulatedCurve,
)
from scaling_theory.fitting import PowerLawFit, fit_power_law
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
    "DiscreteCurve",
    "EmpiricalFrequencies",
    "ExponentialCurve",
    "Frequencies",
    "Group",
    "LatentFrequencies",
    "LossCurve",
    "MeasuredCurve",
    "PlateauCurve",
    "Population",
    "PowerLawCurve",
    "PowerLawFit",
    "PowerLawFrequencies",
    "Prediction",
    "TabulatedCurve",
    "ZipfMandelbrotFrequencies",
    "allocate",
    "allocate_continuous",
    "analysis",
    "datasets",
    "fit_power_law",
    "fitting",
    "latent_frequencies",
    "latents_for",
    "load_sae",
    "logspace",
    "predict",
    "scaling_curve",
    "theory",
]


def load_sae(path: Any, *, format: str = "auto") -> PublishedSAE:
    """Read a published SAE (Gemma Scope, SAELens, dictionary_learning, OpenAI, sparsify).

    See :func:`scaling_theory.sae.load_sae`; PyTorch is loaded by the call.
    """
    from scaling_theory.sae.formats import load_sae as load

    return load(path, format=format)
