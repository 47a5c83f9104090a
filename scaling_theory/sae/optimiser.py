"""Adam on one flat array, and what is done to a gradient or a decoder beside it."""

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
        if _compiled(weights):
            from scaling_theory.sae.kernels.adam import adam_step

            w, g, m, v = (t.numpy() for t in (weights, grad, self.first, self.second))
            adam_step(w, g, m, v, a, b, self._epsilon, rate, self.steps)
            return
        self.first.lerp_(grad, 1.0 - a)
        self.second.mul_(b).addcmul_(grad, grad, value=1.0 - b)
        root = math.sqrt(1.0 - b**self.steps)
        below = self.second.sqrt().div_(root).add_(self._epsilon)
        weights.addcdiv_(self.first, below, value=-rate / (1.0 - a**self.steps))


def clip(grad: torch.Tensor, most: float) -> None:
    """Scale a gradient of shape (size,) to a norm, in place, if its own is larger."""
    if _compiled(grad):
        from scaling_theory.sae.kernels import adam

        size = adam.norm(grad.numpy())
        if size > most:
            adam.scale(grad.numpy(), most / size)
        return
    size = float(grad.norm())
    if size > most:
        grad.mul_(most / size)


def take_out_radial(grad: torch.Tensor, decoder: torch.Tensor) -> None:
    """Take the part along each row of a decoder, (n, d), out of its gradient, in place.

    Rows have norm 1: Bricken et al. (2023), "Advice for training sparse autoencoders".
    """
    if _compiled(grad):
        from scaling_theory.sae.kernels import adam

        adam.take_out_radial(grad.numpy(), decoder.numpy())
        return
    grad.sub_((grad * decoder).sum(1, keepdim=True) * decoder)


def normalise(decoder: torch.Tensor) -> None:
    """Scale each row of a decoder, (n, d), to norm 1, in place; rows of zeros stay."""
    if _compiled(decoder):
        from scaling_theory.sae.kernels import adam

        adam.normalise(decoder.numpy())
        return
    decoder.div_(decoder.norm(dim=1, keepdim=True).clamp_min(1e-30))


def _compiled(values: torch.Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.float32
