"""Architectures: an encoder and the penalty it is trained with."""

from scaling_theory.sae.architectures.base import (
    Architecture,
    Context,
    Losses,
    decode,
    pre_activations,
)
from scaling_theory.sae.architectures.jumprelu import JumpReLU, TanhJumpReLU
from scaling_theory.sae.architectures.relu import ReLU
from scaling_theory.sae.architectures.topk import TopK

__all__ = [
    "Architecture",
    "Context",
    "JumpReLU",
    "Losses",
    "ReLU",
    "TanhJumpReLU",
    "TopK",
    "decode",
    "pre_activations",
]
