"""Gated: one half of the encoder says which latents fire, the other how much.

Both halves share their directions. The L1 penalty and an auxiliary reconstruction train the half
that decides; the half that measures sees the reconstruction alone, and so is not shrunk.

Where decoder rows may have any norm, as here by default, the penalty weighs each latent by its
norm, as ``ReLU`` does. That norm is a constant to the gradient: the penalty is for the gate. (With
unit norms, as in the paper, there is no such question.) Were it no constant, nothing would hold the
decoder against it, since the auxiliary reconstruction, which would, takes the decoder as given:
rows would shrink and gates grow without end while the loss stayed the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from scaling_theory import _validate
from scaling_theory.sae.architectures.base import Architecture, Context, pre_activations
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True)
class Gated(Architecture):
    """f = ReLU(exp(r) W_e x + b_m) where W_e x + b_e is above 0, else 0.

    Parameters
    ----------
    l1
        Weight of the penalty l1 sum_j ReLU(W_e x + b_e)_j |w_j|, at least 0. Default 0.1: that of
        ``ReLU`` (Michaud, Gorton and McGrath 2025, Figure 3), so that the two can be compared.

    Notes
    -----
    Rajamanoharan et al. (2024), arXiv:2404.16014: the objective is |x - xhat(f)|^2, the
    penalty, and the auxiliary |x - xhat(ReLU(W_e x + b_e))|^2, in which decoder and decoder bias
    are constants. L(n) is reconstruction and penalty; the auxiliary is trained, but no part of it.
    ``log_scale`` is r and ``magnitude_bias`` is b_m; both start at 0, so that f starts as a ReLU,
    as in the public trainers. The paper subtracts the decoder bias from inputs; here that is
    absorbed in b_e and b_m.
    """

    l1: float = 0.1

    fused: ClassVar[str | None] = "gated"
    extra: ClassVar[tuple[str, ...]] = ("log_scale", "magnitude_bias")

    def __post_init__(self) -> None:
        object.__setattr__(self, "l1", _validate.real("l1", self.l1, low=0.0))

    def initial(self) -> Mapping[str, float]:
        """Both halves of the encoder the same."""
        return {"log_scale": 0.0, "magnitude_bias": 0.0}

    def encode(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Activations of shape (rows, n)."""
        gate = pre_activations(weights, x)
        scale = weights.extra["log_scale"].exp()
        size = torch.addmm(weights.extra["magnitude_bias"], x, (scale[:, None] * weights.encoder).T)
        return torch.where(gate > 0.0, size.relu(), 0.0)

    def penalty(
        self, weights: Weights, x: torch.Tensor, activations: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """L1 norm of the gate's ReLU, each times the norm of its decoder row, taken as given."""
        gate = pre_activations(weights, x).relu()
        return self.l1 * torch.mv(gate, weights.decoder.detach().norm(dim=1))

    def auxiliary(
        self,
        weights: Weights,
        x: torch.Tensor,
        activations: torch.Tensor,
        residual: torch.Tensor,
        context: Context,
    ) -> torch.Tensor:
        """Squared error of what the gate's ReLU reconstructs, with the decoder taken as given."""
        gate = pre_activations(weights, x).relu()
        found = torch.addmm(weights.decoder_bias.detach(), gate, weights.decoder.detach())
        return (x - found).square().sum(1)
