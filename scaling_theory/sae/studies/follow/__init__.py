"""Do trained SAEs follow the theory? Features with known p_i, held against the solver."""

from scaling_theory.sae.studies.follow.compare import (
    allocations,
    comparison,
    exponents,
    verdicts,
)
from scaling_theory.sae.studies.follow.curves import betas
from scaling_theory.sae.studies.follow.runs import train_follow
from scaling_theory.sae.studies.follow.settings import ARCHITECTURES, HELD_OUT, SETTINGS, Setting

__all__ = [
    "ARCHITECTURES",
    "HELD_OUT",
    "SETTINGS",
    "Setting",
    "allocations",
    "betas",
    "comparison",
    "exponents",
    "train_follow",
    "verdicts",
]
