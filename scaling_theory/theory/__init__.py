"""Closed forms: regimes, exponents, constants and the uniform law, with their derivations."""

from scaling_theory.theory import geometry
from scaling_theory.theory.derivations import CHAPTERS, Step, derive
from scaling_theory.theory.latents.inference import (
    CompatibleExponents,
    compatible_exponents,
    joint_exponents,
)
from scaling_theory.theory.latents.laws import LatentLaw, latent_law, latent_slope
from scaling_theory.theory.latents.readings import (
    ParameterScalingReading,
    alpha_from_parameter_scaling,
    gemma_scope_readings,
)
from scaling_theory.theory.laws.level_sums import level_set_sum, regular_level_sum
from scaling_theory.theory.laws.mean_field import mean_field
from scaling_theory.theory.laws.prediction import WITHIN_REACH, Prediction, predict
from scaling_theory.theory.laws.takeover import takeover, takeover_draws
from scaling_theory.theory.laws.uniform import UniformLaw, uniform_law
from scaling_theory.theory.norms import (
    FeatureWeights,
    NormProbe,
    norm_correlation,
    norm_probe,
)

__all__ = [
    "CHAPTERS",
    "WITHIN_REACH",
    "CompatibleExponents",
    "FeatureWeights",
    "LatentLaw",
    "NormProbe",
    "ParameterScalingReading",
    "Prediction",
    "Step",
    "UniformLaw",
    "alpha_from_parameter_scaling",
    "compatible_exponents",
    "derive",
    "gemma_scope_readings",
    "geometry",
    "joint_exponents",
    "latent_law",
    "latent_slope",
    "level_set_sum",
    "mean_field",
    "norm_correlation",
    "norm_probe",
    "predict",
    "regular_level_sum",
    "takeover",
    "takeover_draws",
    "uniform_law",
]
