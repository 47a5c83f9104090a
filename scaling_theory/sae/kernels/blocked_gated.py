"""Gated in blocks of latents: two residuals, that of the activations and that of the gate."""

from __future__ import annotations

import torch

from scaling_theory.sae.architectures import Context, Gated
from scaling_theory.sae.kernels.base import Step
from scaling_theory.sae.weights import Weights


def gradients(
    a: Gated, weights: Weights, x: torch.Tensor, context: Context, out: Weights, block: int
) -> Step:
    """Write the gradients into ``out``."""
    slices = [slice(s, s + block) for s in range(0, weights.width, block)]
    main = weights.decoder_bias - x
    gated = main.clone()
    for s in slices:
        gate, _, size = _encode(weights, x, s)
        main.addmm_(_where_open(gate, size), weights.decoder[s])
        gated.addmm_(gate.relu(), weights.decoder[s])
    loss = (main.square().sum().double() + gated.square().sum().double()) / len(x)
    main.mul_(2.0 / len(x))
    gated.mul_(2.0 / len(x))
    out.decoder_bias.copy_(main.sum(0))
    fired = torch.zeros(weights.width, dtype=torch.bool, device=x.device)
    for s in slices:
        decoder = weights.decoder[s]
        gate, scaled, size = _encode(weights, x, s)
        f, norm = _where_open(gate, size), decoder.norm(dim=1)
        weight = context.scale * a.l1 / len(x) * norm
        d_size = (main @ decoder.T) * (f > 0.0)
        d_gate = (gated @ decoder.T + weight) * (gate > 0.0)
        scale = weights.extra["log_scale"][s].exp()
        out.encoder[s] = (d_gate + d_size * scale).T @ x
        out.encoder_bias[s] = d_gate.sum(0)
        out.decoder[s] = f.T @ main
        out.extra["log_scale"][s] = (d_size * scaled).sum(0)
        out.extra["magnitude_bias"][s] = d_size.sum(0)
        loss += (gate.relu().sum(0) * weight).sum()
        fired[s] = (f > 0.0).any(0)
    return Step(float(loss), fired)


def _encode(
    weights: Weights, x: torch.Tensor, s: slice
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of some latents: the gate, exp(r) W_e x, and the size before its ReLU; each (rows, some)."""
    along = x @ weights.encoder[s].T
    scaled = along * weights.extra["log_scale"][s].exp()
    return along + weights.encoder_bias[s], scaled, scaled + weights.extra["magnitude_bias"][s]


def _where_open(gate: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    return torch.where(gate > 0.0, size.relu(), 0.0)
