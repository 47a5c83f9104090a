"""Architectures: an encoder and the penalty it is trained with."""

from scaling_theory.sae.architectures.base import (
    Architecture,
    Context,
    Losses,
    decode,
    pre_activations,
)
from scaling_theory.sae.architectures.batchtopk import BatchTopK
from scaling_theory.sae.architectures.gated import Gated
from scaling_theory.sae.architectures.jumprelu import JumpReLU, TanhJumpReLU
from scaling_theory.sae.architectures.matryoshka import Matryoshka
from scaling_theory.sae.architectures.relu import ReLU
from scaling_theory.sae.architectures.topk import TopK

__all__ = [
    "Architecture",
    "BatchTopK",
    "Context",
    "Gated",
    "JumpReLU",
    "Losses",
    "Matryoshka",
    "ReLU",
    "TanhJumpReLU",
    "TopK",
    "decode",
    "pre_activations",
]
