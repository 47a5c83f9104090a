"""The obvious path: autograd through the architecture's own pure functions. Any architecture."""

from __future__ import annotations

from typing import final

import torch

from scaling_theory.sae.architectures import Architecture, Context, decode
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.weights import Weights


@final
class ReferenceGradients(Gradients):
    """Autograd; holds several arrays of batch size times width."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        self._architecture = architecture

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        flat = weights.flat.detach().requires_grad_(True)
        own = weights.like(flat)
        with torch.enable_grad():
            activations = self._architecture.encode_batch(own, x, context)
            residual = x - decode(own, activations)
            penalty = self._architecture.penalty(own, x, activations, context)
            auxiliary = self._architecture.auxiliary(own, x, activations, residual, context)
            loss = (residual.square().sum(1) + context.scale * penalty + auxiliary).mean()
        (grad,) = torch.autograd.grad(loss, flat)
        out.flat.copy_(grad)
        return Step(float(loss.detach()), (activations > 0).any(0))
