"""BatchTopK and Matryoshka in blocks of latents.

Once the smallest activation that is kept is known, an entry is kept or not by itself. So there are
three passes: one that looks for the k * rows largest, and two like those of any entrywise
architecture. All of them compute pre-activations by the same calls on the same blocks, so that an
entry that equals the smallest does so in each of them.

Blocks do not cross the end of a prefix. A latent's activation enters the reconstructions of all
prefixes that are long enough, so its gradient is that of one residual: the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from scaling_theory.sae.architectures import BatchTopK, Context, Matryoshka
from scaling_theory.sae.kernels.base import Step
from scaling_theory.sae.kernels.blocked_topk import dead_latents
from scaling_theory.sae.weights import Weights

#: Part of the smallest that was kept that is the next bound.
_LOWERED = 0.95


@dataclass
class Memory:
    """A bound above which the k * rows largest are looked for first; it changes no result."""

    bound: float = 0.0


def gradients(
    a: BatchTopK | Matryoshka, weights: Weights, x: torch.Tensor, context: Context, out: Weights,
    block: int, memory: Memory,
) -> Step:  # fmt: skip
    """Write the gradients into ``out``."""
    n = weights.width
    ends = (0, *(a.sizes(n) if isinstance(a, Matryoshka) else (n,)))
    parts = [
        [slice(s, min(s + block, stop)) for s in range(start, stop, block)]
        for start, stop in pairwise(ends)
    ]
    slices = [s for part in parts for s in part]
    least = _least(weights, x, slices, a.k * len(x), memory.bound)
    memory.bound = _LOWERED * float(least)
    out.flat.zero_()
    missed = x.new_empty(len(parts), *x.shape)
    residual = x - weights.decoder_bias
    for i, part in enumerate(parts):
        for s in part:
            residual.addmm_(_kept(weights, x, s, least), weights.decoder[s], alpha=-1.0)
        missed[i] = residual
    loss = missed.square().sum().double() / len(x)
    fired = torch.zeros(n, dtype=torch.bool, device=x.device)
    # the gradient that a latent of each part sees: of its own prefix and of all longer ones
    pull = missed.flip(0).cumsum(0).flip(0).mul_(-2.0 / len(x))
    out.decoder_bias.copy_(pull[0].sum(0))
    for part, g in zip(parts, pull, strict=True):
        for s in part:
            f = _kept(weights, x, s, least)
            d_z = (g @ weights.decoder[s].T) * (f > 0)
            out.encoder[s] = d_z.T @ x
            out.encoder_bias[s] = d_z.sum(0)
            out.decoder[s] = f.T @ g
            fired[s] = (f > 0).any(0)
    loss = loss + dead_latents(a, weights, x, residual, context, out, block)
    return Step(float(loss), fired)


def _least(
    weights: Weights, x: torch.Tensor, slices: list[slice], count: int, bound: float
) -> torch.Tensor:
    """The ``count``-th largest activation of all; 0 where fewer are positive."""
    if count >= len(x) * weights.width:
        return x.new_zeros(())
    if bound > 0.0:
        found = torch.cat([z[z > bound] for z in _pre_activations(weights, x, slices)])
        if len(found) >= count:
            return found.topk(count, sorted=False).values.min()
    most = x.new_zeros(count)  # zeros stand for what is not positive
    for z in _pre_activations(weights, x, slices):
        most = torch.cat([most, z[z > most.min()]]).topk(count, sorted=False).values
    return most.min()


def _pre_activations(
    weights: Weights, x: torch.Tensor, slices: list[slice]
) -> Iterator[torch.Tensor]:
    for s in slices:
        yield torch.addmm(weights.encoder_bias[s], x, weights.encoder[s].T)


def _kept(weights: Weights, x: torch.Tensor, s: slice, least: torch.Tensor) -> torch.Tensor:
    (z,) = _pre_activations(weights, x, [s])
    return torch.where((z >= least) & (z > 0.0), z, 0.0)
