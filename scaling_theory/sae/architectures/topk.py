"""TopK, with the auxiliary loss that keeps latents alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from scaling_theory import _validate
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
        object.__setattr__(self, "k", _validate.whole("k", self.k, low=1))
        object.__setattr__(self, "auxk", _validate.whole("auxk", self.auxk))
        weight = _validate.real("auxk_weight", self.auxk_weight, low=0.0)
        object.__setattr__(self, "auxk_weight", weight)

    @property
    def needs_dead(self) -> bool:
        """Whether there is an auxiliary loss."""
        return self.auxk > 0

    def check(self, width: int) -> None:
        """Refuse fewer latents than k."""
        if self.k > width:
            raise ValueError(f"k must be at most the width, got k={self.k} for width={width}")

    def encode(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Activations of shape (rows, n), at most k of them positive."""
        return _largest(pre_activations(weights, x), self.k)

    def penalty(
        self, weights: Weights, x: torch.Tensor, activations: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """Zero: k is the constraint."""
        return torch.zeros_like(x[:, 0])

    def auxiliary(
        self, weights: Weights, x: torch.Tensor, residual: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """Squared error of the dead latents' reconstruction of the residual (Gao et al. 2024)."""
        if not self.auxk or context.dead is None or not bool(context.dead.any()):
            return torch.zeros_like(x[:, 0])
        pre = pre_activations(weights, x).masked_fill(~context.dead, 0.0)
        f = _largest(pre, min(self.auxk, int(context.dead.sum())))
        missed = residual.detach() - f @ weights.decoder
        return missed.square().sum(1).mul(self.auxk_weight)


def _largest(pre: torch.Tensor, k: int) -> torch.Tensor:
    values, index = pre.relu().topk(k, dim=1)
    return torch.zeros_like(pre).scatter(1, index, values)
