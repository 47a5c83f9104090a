"""TopK, with the auxiliary loss that keeps latents alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from scaling_theory.sae.architectures._selection import (
    auxk,
    check_selection,
    check_width,
    largest,
)
from scaling_theory.sae.architectures.base import Architecture, Context, pre_activations
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True)
class TopK(Architecture):
    """f keeps the k largest of ReLU(W_e x + b_e); no penalty.

    Parameters
    ----------
    k
        Latents that fire on an input, at least 1 and at most the width.
    auxk
        AuxK: so many dead latents reconstruct the residual (all of them if there are fewer). 0, the
        default, is without.
    auxk_weight
        Weight of that reconstruction's squared error. Default 1/32: Gao et al. (2024); so O'Neill
        et al. (2024), A.1.
    """

    k: int
    auxk: int = 0
    auxk_weight: float = 1.0 / 32.0

    fused: ClassVar[str | None] = "topk"

    def __post_init__(self) -> None:
        check_selection(self)

    @property
    def needs_dead(self) -> bool:
        """Whether there is an auxiliary loss."""
        return self.auxk > 0

    def check(self, width: int) -> None:
        """Refuse fewer latents than k."""
        check_width(self.k, width)

    def encode(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Activations of shape (rows, n), at most k of them positive."""
        return largest(pre_activations(weights, x), self.k)

    def penalty(
        self, weights: Weights, x: torch.Tensor, activations: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """Zero: k is the constraint."""
        return torch.zeros_like(x[:, 0])

    def auxiliary(
        self,
        weights: Weights,
        x: torch.Tensor,
        activations: torch.Tensor,
        residual: torch.Tensor,
        context: Context,
    ) -> torch.Tensor:
        """Squared error of the dead latents' reconstruction of the residual (Gao et al. 2024)."""
        return auxk(self.auxk, self.auxk_weight, weights, x, residual, context)
