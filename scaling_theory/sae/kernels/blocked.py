"""Gradients by PyTorch in blocks of latents, on any device; batch size times block is held."""

from __future__ import annotations

from typing import final

import torch

from scaling_theory.sae.architectures import (
    Architecture,
    Context,
    JumpReLU,
    ReLU,
    TanhJumpReLU,
    TopK,
)
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.weights import Weights

#: Numbers in one array of batch size times block.
_NUMBERS = {"cpu": 2**18, "cuda": 2**26}


@final
class BlockedGradients(Gradients):
    """Two passes over blocks of latents, without autograd."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        self._architecture = architecture
        self._batch_size = batch_size

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        block = max(_NUMBERS.get(x.device.type, 2**22) // self._batch_size, 1)
        if isinstance(self._architecture, TopK):
            return _topk(self._architecture, weights, x, context, out, block)
        return _entrywise(self._architecture, weights, x, context, out, block)


def _entrywise(
    a: Architecture, weights: Weights, x: torch.Tensor, context: Context, out: Weights, block: int
) -> Step:
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
    return Step(float(loss), fired)


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


def _topk(
    a: TopK, weights: Weights, x: torch.Tensor, context: Context, out: Weights, block: int
) -> Step:
    out.flat.zero_()
    every = torch.arange(weights.width, device=x.device)
    target = x - weights.decoder_bias
    values, index = _largest(weights, x, every, a.k, block)
    loss, residual = _sparse(weights, x, target, values, index, 1.0, out)
    out.decoder_bias.copy_(residual.sum(0).mul_(-2.0 / len(x)))
    fired = torch.zeros(weights.width, dtype=torch.bool, device=x.device)
    fired[index[values > 0]] = True
    if a.auxk and a.auxk_weight and context.dead is not None and bool(context.dead.any()):
        dead = torch.nonzero(context.dead).flatten()
        values, index = _largest(weights, x, dead, min(a.auxk, dead.numel()), block)
        loss = loss + _sparse(weights, x, residual, values, index, a.auxk_weight, out)[0]
    return Step(float(loss), fired)


def _largest(
    weights: Weights, x: torch.Tensor, among: torch.Tensor, k: int, block: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest activations of each row among some latents: values and indices, (rows, k)."""
    values = x.new_zeros(len(x), 0)
    index = torch.zeros(len(x), 0, dtype=torch.int64, device=x.device)
    for some in torch.split(among, max(block, k)):
        z = torch.addmm(weights.encoder_bias[some], x, weights.encoder[some].T).relu_()
        new, at = z.topk(min(k, some.numel()), dim=1)
        values = torch.cat([values, new], 1)
        index = torch.cat([index, some[at]], 1)
        if values.shape[1] > k:
            values, at = values.topk(k, dim=1)
            index = index.gather(1, at)
    return values, index


def _sparse(
    weights: Weights, x: torch.Tensor, target: torch.Tensor, values: torch.Tensor,
    index: torch.Tensor, weight: float, out: Weights,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Add the gradients of weight |target - reconstruction|^2; the loss, and what is left."""
    residual = target.clone()
    for e in range(values.shape[1]):  # k is small; (rows, k, d) need not be held
        residual.sub_(values[:, e, None] * weights.decoder[index[:, e]])
    g = residual * (-2.0 * weight / len(x))
    for e in range(values.shape[1]):
        at, value = index[:, e], values[:, e, None]
        d_z = (g * weights.decoder[at]).sum(1, keepdim=True) * (value > 0)
        out.decoder.index_add_(0, at, value * g)
        out.encoder.index_add_(0, at, d_z * x)
        out.encoder_bias.index_add_(0, at, d_z[:, 0])
    return weight * residual.square().sum().double() / len(x), residual
