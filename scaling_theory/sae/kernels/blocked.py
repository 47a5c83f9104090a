"""Gradients by PyTorch in blocks of latents, on any device; batch size times block is held."""

from __future__ import annotations

from typing import final

import torch

from scaling_theory.sae.architectures import (
    Architecture,
    BatchTopK,
    Context,
    Gated,
    JumpReLU,
    Matryoshka,
    ReLU,
    TanhJumpReLU,
    TopK,
)
from scaling_theory.sae.kernels import blocked_batch, blocked_gated, blocked_topk
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.weights import Weights

#: Numbers in one array of batch size times block.
_NUMBERS = {"cpu": 2**18, "cuda": 2**26}


@final
class BlockedGradients(Gradients):
    """Two or three passes over blocks of latents, without autograd."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        self._architecture = architecture
        self._batch_size = batch_size
        self._memory = blocked_batch.Memory()

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        block = block_of(x.device, self._batch_size)
        rest = (weights, x, context, out, block)
        match self._architecture:
            case TopK() as a:
                return blocked_topk.gradients(a, *rest)
            case BatchTopK() | Matryoshka() as a:
                return blocked_batch.gradients(a, *rest, self._memory)
            case Gated() as a:
                return blocked_gated.gradients(a, *rest)
            case a:
                return entrywise(a, *rest)[0]


def block_of(device: torch.device, batch_size: int) -> int:
    """Latents that are worked on at once."""
    return max(_NUMBERS.get(device.type, 2**22) // batch_size, 1)


def entrywise(
    a: Architecture, weights: Weights, x: torch.Tensor, context: Context, out: Weights, block: int,
    margin: float = 0.0, counting: bool = False,
) -> tuple[Step, int]:  # fmt: skip
    """Write the gradients of an architecture with a unit for each entry.

    Returns the step and, if asked, how many entries fire or are less than a margin below.
    """
    theta = weights.extra.get("threshold", weights.encoder_bias)
    slices = [slice(s, s + block) for s in range(0, weights.width, block)]
    residual = weights.decoder_bias - x
    for s in slices:
        z = torch.addmm(weights.encoder_bias[s], x, weights.encoder[s].T)
        residual.addmm_(_activation(a, z, theta[s]), weights.decoder[s])
    loss = residual.square().sum().double() / len(x)
    residual.mul_(2.0 / len(x))
    out.decoder_bias.copy_(residual.sum(0))
    fired = torch.zeros(weights.width, dtype=torch.bool, device=x.device)
    count = 0
    for s in slices:
        decoder = weights.decoder[s]
        norm = decoder.norm(dim=1)
        z = torch.addmm(weights.encoder_bias[s], x, weights.encoder[s].T)
        f = _activation(a, z, theta[s])
        g = residual @ decoder.T
        d_z, d_theta, d_norm, penalty = _partials(
            a, context.scale / len(x), z, f, theta[s], norm, g
        )
        out.encoder[s] = d_z.T @ x
        out.encoder_bias[s] = d_z.sum(0)
        unit = decoder / norm.clamp_min(1e-30)[:, None]
        out.decoder[s] = f.T @ residual + d_norm[:, None] * unit
        if d_theta is not None:
            out.extra["threshold"][s] = d_theta
        loss += penalty
        fired[s] = (f > 0).any(0)
        if counting:
            near = f if isinstance(a, ReLU) else z > theta[s] - margin
            count += int(torch.count_nonzero(near))
    return Step(float(loss), fired), count


def _activation(a: Architecture, z: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    return z.relu() if isinstance(a, ReLU) else torch.where(z > theta, z, 0.0)


def _partials(
    a: Architecture, scale: float, z: torch.Tensor, f: torch.Tensor, theta: torch.Tensor,
    norm: torch.Tensor, g: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor]:  # fmt: skip
    """d/dz of each entry; d/dtheta and d/dnorm, summed over rows; the penalty, summed over all."""
    on = z > theta
    match a:
        case ReLU():
            sums = scale * a.l1 * f.sum(0)
            return (g + scale * a.l1 * norm) * (z > 0), None, sums, (sums * norm).sum()
        case JumpReLU():
            near = (z - theta).abs() < 0.5 * a.bandwidth
            d_theta = -(near * (g * theta + scale * a.l0)).sum(0) / a.bandwidth
            return g * on, d_theta, torch.zeros_like(norm), scale * a.l0 * on.sum()
        case TanhJumpReLU():
            u = torch.tanh(a.tanh_scale * f * norm)
            slope = scale * a.sparsity * a.tanh_scale * (1.0 - u * u)
            below, out = (theta - z).relu(), scale * a.pre_activation * (z < theta)
            g = g + slope * norm
            near = (z - theta).abs() < 0.5 * a.bandwidth
            d_theta = (out * norm - near * g * theta / a.bandwidth).sum(0)
            d_norm = (slope * f + scale * a.pre_activation * below).sum(0)
            penalty = scale * (a.sparsity * u + a.pre_activation * below * norm).sum()
            return g * on - out * norm, d_theta, d_norm, penalty
    raise ValueError(f"architecture must have a fused unit, got {a!r}")
