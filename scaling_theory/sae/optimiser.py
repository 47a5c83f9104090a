"""Adam on one flat array."""

from __future__ import annotations

import math
from typing import final

import torch


@final
class Adam:
    """Adam as Kingma and Ba (2015) state it, with bias corrections.

    Parameters
    ----------
    like : (size,)
        Weights to be updated: the moments have their shape, type and device.
    betas, epsilon
        Decay of the moments, and what is added to the root of the second.
    """

    def __init__(self, like: torch.Tensor, betas: tuple[float, float], epsilon: float) -> None:
        self.first = torch.zeros_like(like)
        self.second = torch.zeros_like(like)
        self.steps = 0
        self._betas, self._epsilon = betas, epsilon

    def update(self, weights: torch.Tensor, grad: torch.Tensor, rate: float) -> None:
        """Take one step, in place."""
        a, b = self._betas
        self.steps += 1
        if weights.device.type == "cpu" and weights.dtype == torch.float32:
            from scaling_theory.sae.kernels.adam import adam_step

            w, g, m, v = (t.numpy() for t in (weights, grad, self.first, self.second))
            adam_step(w, g, m, v, a, b, self._epsilon, rate, self.steps)
            return
        self.first.lerp_(grad, 1.0 - a)
        self.second.mul_(b).addcmul_(grad, grad, value=1.0 - b)
        root = math.sqrt(1.0 - b**self.steps)
        below = self.second.sqrt().div_(root).add_(self._epsilon)
        weights.addcdiv_(self.first, below, value=-rate / (1.0 - a**self.steps))
