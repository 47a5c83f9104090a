"""ReLU with an L1 penalty, weighted by decoder norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from scaling_theory import _validate
from scaling_theory.sae.architectures.base import Architecture, Context, pre_activations
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True)
class ReLU(Architecture):
    """f = ReLU(W_e x + b_e), penalty l1 sum_j f_j |w_j|.

    Parameters
    ----------
    l1
        Weight of the penalty, at least 0. Default 0.1: Michaud, Gorton and McGrath (2025),
        Figure 3; decoder norms weigh it as in their appendix C.
    """

    l1: float = 0.1

    fused: ClassVar[str | None] = "relu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "l1", _validate.real("l1", self.l1, low=0.0))

    def encode(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Activations of shape (rows, n)."""
        return pre_activations(weights, x).relu()

    def penalty(
        self, weights: Weights, x: torch.Tensor, activations: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """L1 norm of the activations, each times the norm of its decoder row."""
        return self.l1 * torch.mv(activations, weights.decoder.norm(dim=1))
