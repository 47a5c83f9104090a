"""Do trained SAEs follow the theory? Features with known p_i, held against the solver."""

from scaling_theory.sae.studies.follow.compare import (
    allocations,
    comparison,
    discovery_exponents,
    verdicts,
)
from scaling_theory.sae.studies.follow.runs import train_follow
from scaling_theory.sae.studies.follow.settings import ARCHITECTURES, HELD_OUT, SETTINGS, Setting

__all__ = [
    "ARCHITECTURES",
    "HELD_OUT",
    "SETTINGS",
    "Setting",
    "allocations",
    "comparison",
    "discovery_exponents",
    "train_follow",
    "verdicts",
]
