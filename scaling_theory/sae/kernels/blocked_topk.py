"""TopK in blocks of latents: the k largest of each row are carried along, then worked on alone."""

from __future__ import annotations

import torch

from scaling_theory.sae.architectures import BatchTopK, Context, Matryoshka, TopK
from scaling_theory.sae.kernels.base import Step
from scaling_theory.sae.weights import Weights


def gradients(
    a: TopK, weights: Weights, x: torch.Tensor, context: Context, out: Weights, block: int
) -> Step:
    """Write the gradients into ``out``."""
    out.flat.zero_()
    every = torch.arange(weights.width, device=x.device)
    target = x - weights.decoder_bias
    values, index = _largest(weights, x, every, a.k, block)
    loss, residual = _sparse(weights, x, target, values, index, 1.0, out)
    out.decoder_bias.copy_(residual.sum(0).mul_(-2.0 / len(x)))
    fired = torch.zeros(weights.width, dtype=torch.bool, device=x.device)
    fired[index[values > 0]] = True
    loss = loss + dead_latents(a, weights, x, residual, context, out, block)
    return Step(float(loss), fired)


def dead_latents(
    a: TopK | BatchTopK | Matryoshka, weights: Weights, x: torch.Tensor, residual: torch.Tensor,
    context: Context, out: Weights, block: int,
) -> torch.Tensor:  # fmt: skip
    """Add the gradients of the dead latents' loss on a residual; the loss."""
    if not (a.auxk and a.auxk_weight) or context.dead is None or not bool(context.dead.any()):
        return torch.zeros((), dtype=torch.float64, device=x.device)
    dead = torch.nonzero(context.dead).flatten()
    values, index = _largest(weights, x, dead, min(a.auxk, dead.numel()), block)
    return _sparse(weights, x, residual, values, index, a.auxk_weight, out)[0]


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
