# mypy: disable-error-code="assignment"
"""Fused gradients of Gated on the CPU, compiled by Numba: two passes, as in ``compiled``.

There are two residuals, that of the activations and that of the gate. What both passes need of a
pre-activation, they compute again.
"""

from __future__ import annotations

from functools import cache
from typing import Any, final

import numba
import numpy as np
import torch

from scaling_theory.sae.architectures import Architecture, Context, Gated
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.compiled import block_rows
from scaling_theory.sae.kernels.threads import share
from scaling_theory.sae.weights import Weights

#: Latents that one thread takes at a time.
_LATENTS = 16

_F = np.float32
_fused = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


@final
class CompiledGated(Gradients):
    """Two fused passes over a batch."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        assert isinstance(architecture, Gated)
        self._architecture = architecture
        rows = block_rows(2 * dimension, batch_size)
        self._forward, self._backward = _passes(dimension, rows)
        blocks = -(-batch_size // rows)
        self._inputs = np.zeros((blocks, dimension, rows), np.float32)
        self._main, self._gated = np.zeros_like(self._inputs), np.zeros_like(self._inputs)
        self._errors = np.zeros(blocks, np.float64)
        self._fired = np.zeros(width, np.bool_)
        self._sums = np.zeros(width, np.float64)

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        batch, work = len(x), float(x.numel() * weights.width)
        *own, b = _arrays(weights)
        *grads, g_b = _arrays(out)
        own[3] = np.exp(own[3])
        blocks = (self._inputs, self._main, self._gated)
        share(
            self._forward, len(self._errors), 3.0 * work, *own, b, x.numpy(), *blocks, self._errors
        )
        l1 = _F(context.scale * self._architecture.l1 / batch)
        groups = -(-weights.width // _LATENTS)
        rest = (*own, l1, batch, *blocks, *grads, self._sums, self._fired)
        share(self._backward, groups, 5.0 * work, *rest)
        g_b[:] = self._main.sum((0, 2), dtype=np.float64)
        loss = float(self._errors.sum() + self._sums.sum())
        return Step(loss, torch.from_numpy(self._fired))


def _arrays(weights: Weights) -> list[Any]:
    extra = weights.extra
    named = (weights.encoder, weights.encoder_bias, weights.decoder, extra["log_scale"])
    return [v.numpy() for v in (*named, extra["magnitude_bias"], weights.decoder_bias)]


@numba.njit(inline="always", fastmath={"contract", "nsz"})
def entry(gate: Any, along: Any, bias: Any, weight: Any, g: Any, h: Any) -> Any:
    """One activation and one gate, their derivatives, and that by the logarithm of the scale.

    ``along`` is exp(r) W_e x; ``weight`` that of the gate in the penalty; ``g`` and ``h`` are the
    derivatives of the reconstruction errors by the activation and by the gate.
    """
    zero = _F(0.0)
    is_open = gate > zero
    size = max(along + bias, zero) if is_open else zero
    d_size = g if size > zero else zero
    d_gate = h + weight if is_open else zero
    return size, max(gate, zero), d_size, d_gate, d_size * along


@cache
def _passes(dimension: int, rows: int) -> tuple[Any, Any]:
    """Compile both passes for a dimension and a block: constants, so that loops unroll."""
    D, ROWS = dimension, rows
    pairs = D - D % 2
    zero = _F(0.0)

    @_fused
    def forward(
        start: int, stop: int,
        encoder: Any, bias: Any, decoder: Any, scale: Any, size_bias: Any, decoder_bias: Any,
        x: Any, inputs: Any, main: Any, gated: Any, errors: Any,
    ) -> None:  # fmt: skip
        batch, n = x.shape[0], encoder.shape[0]
        for c in range(start, stop):
            low = c * ROWS
            m = min(ROWS, batch - low)
            none = np.zeros(D, np.float32)
            xT, rT = np.empty((D, ROWS), np.float32), np.empty((D, ROWS), np.float32)
            qT = np.empty((D, ROWS), np.float32)
            for k in range(D):
                for r in range(ROWS):
                    xT[k, r] = x[low + r, k] if r < m else _F(0.0)
                    rT[k, r] = decoder_bias[k] - xT[k, r]
                    qT[k, r] = rT[k, r]
            for j in range(0, n, 2):
                two = j + 1 if j + 1 < n else j  # a second latent that does not exist writes zeros
                w0, b0, e0, t0, v0 = encoder[j], bias[j], scale[j], size_bias[j], decoder[j]
                w1, b1, e1, t1 = encoder[two], bias[two], scale[two], size_bias[two]
                v1 = decoder[two] if two > j else none
                for r in range(ROWS):
                    z0, z1 = _F(0.0), _F(0.0)
                    for k in range(D):
                        z0 += w0[k] * xT[k, r]
                        z1 += w1[k] * xT[k, r]
                    g0, g1 = z0 + b0, z1 + b1
                    f0 = max(e0 * z0 + t0, _F(0.0)) if g0 > _F(0.0) else _F(0.0)
                    f1 = max(e1 * z1 + t1, _F(0.0)) if g1 > _F(0.0) else _F(0.0)
                    g0, g1 = max(g0, _F(0.0)), max(g1, _F(0.0))
                    for k in range(D):
                        rT[k, r] += f0 * v0[k] + f1 * v1[k]
                        qT[k, r] += g0 * v0[k] + g1 * v1[k]
            total, twice = 0.0, _F(2.0 / batch)
            for k in range(D):
                s = _F(0.0)
                for r in range(ROWS):
                    p = rT[k, r] if r < m else _F(0.0)
                    q = qT[k, r] if r < m else _F(0.0)
                    s += p * p + q * q
                    main[c, k, r] = twice * p
                    gated[c, k, r] = twice * q
                    inputs[c, k, r] = xT[k, r]
                total += s
            errors[c] = total / batch

    @_fused
    def backward(
        start: int, stop: int,
        encoder: Any, bias: Any, decoder: Any, scale: Any, size_bias: Any,
        l1: Any, batch: int, inputs: Any, main: Any, gated: Any,
        g_encoder: Any, g_bias: Any, g_decoder: Any, g_scale: Any, g_size_bias: Any,
        sums: Any, fired: Any,
    ) -> None:  # fmt: skip
        n, blocks = encoder.shape[0], inputs.shape[0]
        for c in range(start, stop):
            f, dz = np.empty((2, ROWS), np.float32), np.empty((2, ROWS), np.float32)
            pad = np.zeros(ROWS, np.float32)  # closes every gate where there is no row
            g_v = np.zeros((_LATENTS, D), np.float32)
            g_w = np.zeros((_LATENTS, D), np.float32)
            single = np.zeros((_LATENTS, 5))  # biases and scale, sizes of activations and of gates
            weight = np.zeros(_LATENTS, np.float32)
            xT, rT = np.empty((D, ROWS), np.float32), np.empty((D, ROWS), np.float32)
            qT = np.empty((D, ROWS), np.float32)
            first = c * _LATENTS
            some = min(_LATENTS, n - first)
            for i in range(some):
                s = _F(0.0)
                for k in range(D):
                    s += decoder[first + i, k] * decoder[first + i, k]
                weight[i] = l1 * np.sqrt(s)
            for block in range(blocks):
                for k in range(D):
                    for r in range(ROWS):
                        xT[k, r] = inputs[block, k, r]
                        rT[k, r] = main[block, k, r]
                        qT[k, r] = gated[block, k, r]
                m = min(ROWS, batch - block * ROWS)
                if m < ROWS:
                    pad[m:] = _F(-1e30)
                for i in range(0, some, 2):
                    j0, j1 = first + i, first + min(i + 1, some - 1)
                    w0, v0, b0, e0, t0 = (
                        encoder[j0],
                        decoder[j0],
                        bias[j0],
                        scale[j0],
                        size_bias[j0],
                    )
                    w1, v1, b1, e1, t1 = (
                        encoder[j1],
                        decoder[j1],
                        bias[j1],
                        scale[j1],
                        size_bias[j1],
                    )
                    p0, p1 = weight[i], weight[min(i + 1, some - 1)]
                    fa, fb, da, db = f[0], f[1], dz[0], dz[1]
                    s00 = s01 = s02 = s03 = s04 = s10 = s11 = s12 = s13 = s14 = _F(0.0)
                    for r in range(ROWS):
                        z0, g0, h0, z1, g1, h1 = zero, zero, zero, zero, zero, zero
                        for k in range(D):
                            z0 += w0[k] * xT[k, r]
                            z1 += w1[k] * xT[k, r]
                            g0 += v0[k] * rT[k, r]
                            g1 += v1[k] * rT[k, r]
                            h0 += v0[k] * qT[k, r]
                            h1 += v1[k] * qT[k, r]
                        size, gate, d_size, d_gate, d_scale = entry(
                            z0 + (b0 + pad[r]), e0 * z0, t0, p0, g0, h0
                        )
                        fa[r] = size
                        da[r] = d_gate + e0 * d_size
                        s00 += d_gate
                        s01 += d_size
                        s02 += d_scale
                        s03 += size
                        s04 += gate
                        size, gate, d_size, d_gate, d_scale = entry(
                            z1 + (b1 + pad[r]), e1 * z1, t1, p1, g1, h1
                        )
                        fb[r] = size
                        db[r] = d_gate + e1 * d_size
                        s10 += d_gate
                        s11 += d_size
                        s12 += d_scale
                        s13 += size
                        s14 += gate
                    single[i, 0] += s00
                    single[i, 1] += s01
                    single[i, 2] += s02
                    single[i, 3] += s03
                    single[i, 4] += s04
                    single[i + 1, 0] += s10
                    single[i + 1, 1] += s11
                    single[i + 1, 2] += s12
                    single[i + 1, 3] += s13
                    single[i + 1, 4] += s14
                    for k in range(0, pairs, 2):
                        r0, r1, x0, x1 = rT[k], rT[k + 1], xT[k], xT[k + 1]
                        a0 = a1 = b0 = b1 = c0 = c1 = d0 = d1 = _F(0.0)
                        for r in range(ROWS):
                            a0 += fa[r] * r0[r]
                            a1 += fa[r] * r1[r]
                            b0 += fb[r] * r0[r]
                            b1 += fb[r] * r1[r]
                            c0 += da[r] * x0[r]
                            c1 += da[r] * x1[r]
                            d0 += db[r] * x0[r]
                            d1 += db[r] * x1[r]
                        g_v[i, k] += a0
                        g_v[i, k + 1] += a1
                        g_v[i + 1, k] += b0
                        g_v[i + 1, k + 1] += b1
                        g_w[i, k] += c0
                        g_w[i, k + 1] += c1
                        g_w[i + 1, k] += d0
                        g_w[i + 1, k + 1] += d1
                    for k in range(pairs, D):
                        rk, xk = rT[k], xT[k]
                        a0 = b0 = c0 = d0 = _F(0.0)
                        for r in range(ROWS):
                            a0 += fa[r] * rk[r]
                            b0 += fb[r] * rk[r]
                            c0 += da[r] * xk[r]
                            d0 += db[r] * xk[r]
                        g_v[i, k] += a0
                        g_v[i + 1, k] += b0
                        g_w[i, k] += c0
                        g_w[i + 1, k] += d0
            for i in range(some):
                j = first + i
                g_bias[j] = single[i, 0]
                g_size_bias[j] = single[i, 1]
                g_scale[j] = single[i, 2]
                fired[j] = single[i, 3] > 0.0
                sums[j] = weight[i] * single[i, 4]
                for k in range(D):
                    g_decoder[j, k] = g_v[i, k]
                    g_encoder[j, k] = g_w[i, k]

    return forward, backward
