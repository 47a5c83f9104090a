"""JumpReLU: a threshold per latent, learned through a straight-through estimator.

What to use when:

- :class:`JumpReLU`: the step (L0) penalty of Rajamanoharan et al. (2024).
- :class:`TanhJumpReLU`: the tanh penalty and pre-activation loss of Anthropic's January 2025
  update, as in Michaud, Gorton and McGrath (2025), Figure 6.

Thresholds are learned themselves, not their logarithms, and kept at 0 or more: with Adam a
logarithm needs the factor theta of the chain rule, and float32 thresholds move better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch

from scaling_theory import _validate
from scaling_theory.sae.architectures.base import Architecture, Context, pre_activations
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True)
class JumpReLU(Architecture):
    """f = z where z = W_e x + b_e is above theta, else 0; penalty l0 times the latents that fire.

    Parameters
    ----------
    l0
        Weight of the number of latents that fire, at least 0.
    bandwidth
        Width eps of the rectangle that stands for the derivative of the step. Default 0.05; public
        trainers have 0.001 to 2.
    threshold
        Initial theta, at least 0. Default 0.01; public trainers have 0.001 to 0.1.

    Notes
    -----
    Rajamanoharan et al. (2024): df/dtheta = -(theta/eps) K((z - theta)/eps) and
    dH/dtheta = -(1/eps) K((z - theta)/eps), K the rectangle on [-1/2, 1/2]. The penalty moves
    thresholds only.
    """

    l0: float
    bandwidth: float = 0.05
    threshold: float = 0.01

    fused: ClassVar[str | None] = "jumprelu"
    extra: ClassVar[tuple[str, ...]] = ("threshold",)

    def __post_init__(self) -> None:
        _set(self, l0=0.0, threshold=0.0)
        _set(self, open_=True, bandwidth=0.0)

    def initial(self) -> Mapping[str, float]:
        """The same threshold for all latents."""
        return {"threshold": self.threshold}

    def constrain(self, weights: Weights) -> None:
        """Keep thresholds at 0 or more."""
        weights.extra["threshold"].clamp_(min=0.0)

    def encode(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Activations of shape (rows, n)."""
        return _jump(pre_activations(weights, x), weights.extra["threshold"], self.bandwidth)

    def penalty(
        self, weights: Weights, x: torch.Tensor, activations: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """l0 times the number of latents that fire."""
        z, theta = pre_activations(weights, x), weights.extra["threshold"]
        return self.l0 * _step(z, theta, self.bandwidth).sum(1)


@final
@dataclass(frozen=True)
class TanhJumpReLU(Architecture):
    """JumpReLU with penalty sparsity sum_j tanh(tanh_scale f_j |w_j|) and pre-activation loss.

    Parameters
    ----------
    sparsity
        lambda_S, at least 0. Default 1.0: Michaud, Gorton and McGrath (2025), Figure 6.
    tanh_scale
        c, greater than 0. Default 0.1: the same. The January 2025 update has 4.
    pre_activation
        lambda_P of sum_j max(theta_j - z_j, 0) |w_j|, which moves latents that do not fire. Default
        3e-6, on all latents: the January 2025 update.
    bandwidth
        Width of the rectangle. Default 0.1; the January 2025 update has 2.0, for inputs of norm
        sqrt(d). On unit spheres that is wider than all pre-activations, and kills most latents
        (``python -m scaling_theory.sae bandwidth``).
    threshold
        Initial theta, default 0.1: as in the update.

    Notes
    -----
    Michaud, Gorton and McGrath do not state the last three. At c = 0.1 the penalty is close to
    0.1 f |w| while that is small against 1: nearly the L1 penalty of weight 0.1.
    """

    sparsity: float = 1.0
    tanh_scale: float = 0.1
    pre_activation: float = 3e-6
    bandwidth: float = 0.1
    threshold: float = 0.1

    fused: ClassVar[str | None] = "tanh_jumprelu"
    extra: ClassVar[tuple[str, ...]] = ("threshold",)

    def __post_init__(self) -> None:
        _set(self, sparsity=0.0, pre_activation=0.0, threshold=0.0)
        _set(self, open_=True, tanh_scale=0.0, bandwidth=0.0)

    def initial(self) -> Mapping[str, float]:
        """The same threshold for all latents."""
        return {"threshold": self.threshold}

    def constrain(self, weights: Weights) -> None:
        """Keep thresholds at 0 or more."""
        weights.extra["threshold"].clamp_(min=0.0)

    def encode(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Activations of shape (rows, n)."""
        return _jump(pre_activations(weights, x), weights.extra["threshold"], self.bandwidth)

    def penalty(
        self, weights: Weights, x: torch.Tensor, activations: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """Tanh of scaled activations, and the pre-activation loss."""
        norms = weights.decoder.norm(dim=1)
        out = self.sparsity * torch.tanh(self.tanh_scale * activations * norms).sum(1)
        if self.pre_activation:
            below = (weights.extra["threshold"] - pre_activations(weights, x)).relu()
            out = out + self.pre_activation * (below @ norms)
        return out


def _set(architecture: Any, open_: bool = False, **low: float) -> None:
    for name, bound in low.items():
        value = _validate.real(name, getattr(architecture, name), low=bound, low_open=open_)
        object.__setattr__(architecture, name, value)


def _jump(z: torch.Tensor, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
    out: torch.Tensor = _Jump.apply(z, theta, bandwidth)  # type: ignore[no-untyped-call]
    return out


def _step(z: torch.Tensor, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
    out: torch.Tensor = _Step.apply(z, theta, bandwidth)  # type: ignore[no-untyped-call]
    return out


def _rectangle(z: torch.Tensor, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
    return ((z - theta).abs() < 0.5 * bandwidth).to(z.dtype)


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        ctx.save_for_backward(z, theta)
        ctx.bandwidth = bandwidth
        return torch.where(z > theta, z, 0.0)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        z, theta = ctx.saved_tensors
        near = _rectangle(z, theta, ctx.bandwidth)
        return grad * (z > theta), -(grad * near * theta / ctx.bandwidth).sum(0), None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, theta: torch.Tensor, bandwidth: float) -> torch.Tensor:
        ctx.save_for_backward(z, theta)
        ctx.bandwidth = bandwidth
        return (z > theta).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        z, theta = ctx.saved_tensors
        near = _rectangle(z, theta, ctx.bandwidth)
        return torch.zeros_like(z), -(grad * near / ctx.bandwidth).sum(0), None
