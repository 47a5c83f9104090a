# mypy: disable-error-code="assignment"
"""Fused gradients on the CPU, compiled by Numba: no array of batch size times width is held.

Two passes. The first, parallel over blocks of rows, computes activations and adds them up to the
residual at once. The second, parallel over latents, computes the activations again and adds each
latent's gradient up over all rows. Both vectorise over the rows of a block, which are kept
transposed, and take latents in pairs, so that each row that is loaded is used twice. Blocks are as
long as the first cache allows, since each ends in sums over its rows. Every sum is taken in the
same order whatever the number of threads.
"""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path
from typing import Any, final

import numba
import numpy as np
import torch

from scaling_theory.sae.architectures import Architecture, Context
from scaling_theory.sae.kernels import units
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.threads import share
from scaling_theory.sae.kernels.units import KINDS, activation, numbers_of, partials, totals
from scaling_theory.sae.weights import Weights

#: Latents that one thread takes at a time (even).
_LATENTS = 16

#: Stands for the text of the units.
_UNITS = zlib.crc32(Path(str(units.__file__)).read_bytes())

_F = np.float32
_fused = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


@final
class CompiledGradients(Gradients):
    """Two fused passes over a batch."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        self._architecture = architecture
        rows = block_rows(dimension, batch_size)
        self._forward, self._backward = _passes(KINDS[str(architecture.fused)], dimension, rows)
        blocks = -(-batch_size // rows)
        self._inputs = np.zeros((blocks, dimension, rows), np.float32)
        self._residuals = np.zeros_like(self._inputs)
        self._errors = np.zeros(blocks, np.float64)
        self._fired = np.zeros(width, np.bool_)
        self._sums = np.zeros(width, np.float64)
        self._zeros = np.zeros(width, np.float32)

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        numbers = numbers_of(self._architecture, context)
        own, grads = _arrays(weights, self._zeros), _arrays(out, self._zeros)
        b, g_b = weights.decoder_bias.numpy(), out.decoder_bias.numpy()
        blocks, work = (self._inputs, self._residuals), float(x.numel() * weights.width)
        share(
            self._forward, len(self._errors), 2.0 * work, *own, b, x.numpy(), *blocks, self._errors
        )
        groups = -(-weights.width // _LATENTS)
        rest = (*own, numbers, len(x), *blocks, *grads, self._sums, self._fired)
        share(self._backward, groups, 4.0 * work, *rest)
        loss = _finish(self._residuals, g_b, self._errors, self._sums)
        return Step(loss, torch.from_numpy(self._fired))


def block_rows(dimension: int, batch_size: int) -> int:
    """Rows of a block: 64, 128 or 256, so that there are 8 blocks and one fits the first cache."""
    most = min(256, 2048 // dimension, batch_size // 8)
    return 64 if most < 128 else 128 if most < 256 else 256


def _arrays(weights: Weights, instead: Any) -> tuple[Any, ...]:
    threshold = weights.extra.get("threshold")
    return (
        weights.encoder.numpy(),
        weights.encoder_bias.numpy(),
        weights.decoder.numpy(),
        instead if threshold is None else threshold.numpy(),
    )


@cache
def _passes(kind: int, dimension: int, rows: int) -> tuple[Any, Any]:
    """Compile both passes for a unit, a dimension and a block: constants, so that loops unroll.

    Numba stores compiled code by the text of this file and by the constants. The units are in
    another file, so a number that stands for its text is a constant too.
    """
    D, ROWS, text = dimension, rows, _UNITS
    quads = D - D % 4

    @_fused
    def forward(
        start: int, stop: int,
        encoder: Any, bias: Any, decoder: Any, threshold: Any, decoder_bias: Any,
        x: Any, inputs: Any, residuals: Any, errors: Any,
    ) -> None:  # fmt: skip
        batch, n = x.shape[0], encoder.shape[0]
        if text < 0:
            return
        for c in range(start, stop):
            low = c * ROWS
            m = min(ROWS, batch - low)
            # arrays of known shape: LLVM then sees that they do not overlap
            xT, rT = np.empty((D, ROWS), np.float32), np.empty((D, ROWS), np.float32)
            for k in range(D):
                for r in range(ROWS):
                    xT[k, r] = x[low + r, k] if r < m else _F(0.0)
                    rT[k, r] = decoder_bias[k] - xT[k, r]
            for j in range(0, n - 1, 2):
                w0, w1, v0, v1 = encoder[j], encoder[j + 1], decoder[j], decoder[j + 1]
                b0, b1, t0, t1 = bias[j], bias[j + 1], threshold[j], threshold[j + 1]
                for r in range(ROWS):
                    z0, z1 = b0, b1
                    for k in range(D):
                        z0 += w0[k] * xT[k, r]
                        z1 += w1[k] * xT[k, r]
                    f0, f1 = activation(kind, z0, t0), activation(kind, z1, t1)
                    for k in range(D):
                        rT[k, r] += f0 * v0[k] + f1 * v1[k]
            if n % 2:
                w0, v0, b0, t0 = encoder[n - 1], decoder[n - 1], bias[n - 1], threshold[n - 1]
                for r in range(ROWS):
                    z0 = b0
                    for k in range(D):
                        z0 += w0[k] * xT[k, r]
                    f0 = activation(kind, z0, t0)
                    for k in range(D):
                        rT[k, r] += f0 * v0[k]
            total = 0.0
            scale = _F(2.0 / batch)
            for k in range(D):
                s = _F(0.0)
                for r in range(ROWS):
                    e = rT[k, r] if r < m else _F(0.0)
                    s += e * e
                    residuals[c, k, r] = scale * e
                    inputs[c, k, r] = xT[k, r]
                total += s
            errors[c] = total / batch

    @_fused
    def backward(
        start: int, stop: int,
        encoder: Any, bias: Any, decoder: Any, threshold: Any,
        numbers: Any, batch: int, inputs: Any, residuals: Any,
        g_encoder: Any, g_bias: Any, g_decoder: Any, g_threshold: Any,
        sums: Any, fired: Any,
    ) -> None:  # fmt: skip
        n, blocks = encoder.shape[0], inputs.shape[0]
        p = (_F(numbers[0] / batch), numbers[1], numbers[2], _F(numbers[3] / batch))
        if text < 0:
            return
        for c in range(start, stop):
            f, dz = np.empty((2, ROWS), np.float32), np.empty((2, ROWS), np.float32)
            pad = np.zeros(ROWS, np.float32)  # far below any threshold where there is no row
            g_v = np.zeros((_LATENTS, D), np.float32)
            g_w = np.zeros((_LATENTS, D), np.float32)
            single = np.zeros((_LATENTS, 5))  # bias, threshold, and what totals takes
            norm = np.zeros(_LATENTS, np.float32)
            xT, rT = np.empty((D, ROWS), np.float32), np.empty((D, ROWS), np.float32)
            first = c * _LATENTS
            some = min(_LATENTS, n - first)
            for i in range(some):
                s = _F(0.0)
                for k in range(D):
                    s += decoder[first + i, k] * decoder[first + i, k]
                norm[i] = np.sqrt(s)
            for block in range(blocks):
                for k in range(D):
                    for r in range(ROWS):
                        xT[k, r] = inputs[block, k, r]
                        rT[k, r] = residuals[block, k, r]
                m = min(ROWS, batch - block * ROWS)
                if m < ROWS:
                    pad[m:] = _F(-1e30)
                for i in range(0, some, 2):
                    two = min(2, some - i)  # a second latent that does not exist repeats the first
                    j0, j1 = first + i, first + i + two - 1
                    w0, v0, p0, t0, l0 = encoder[j0], decoder[j0], bias[j0], threshold[j0], norm[i]
                    w1, v1, p1, t1 = encoder[j1], decoder[j1], bias[j1], threshold[j1]
                    l1 = norm[i + two - 1]
                    fa, fb, da, db = f[0], f[1], dz[0], dz[1]
                    s00 = s01 = s02 = s03 = s04 = s10 = s11 = s12 = s13 = s14 = _F(0.0)
                    for r in range(ROWS):
                        z0, z1, g0, g1 = p0, p1, _F(0.0), _F(0.0)
                        inside = r < m
                        if kind != 2:
                            z0, z1 = z0 + pad[r], z1 + pad[r]
                        for k in range(D):
                            z0 += w0[k] * xT[k, r]
                            z1 += w1[k] * xT[k, r]
                            g0 += v0[k] * rT[k, r]
                            g1 += v1[k] * rT[k, r]
                        a, d_z, d_t, u, v, w = partials(kind, z0, t0, l0, g0, p)
                        if kind == 2:
                            a, d_z = a if inside else _F(0.0), d_z if inside else _F(0.0)
                            d_t, u = d_t if inside else _F(0.0), u if inside else _F(0.0)
                            v, w = v if inside else _F(0.0), w if inside else _F(0.0)
                        fa[r] = a
                        da[r] = d_z
                        s00 += d_z
                        s01 += d_t
                        s02 += u
                        s03 += v
                        s04 += w
                        a, d_z, d_t, u, v, w = partials(kind, z1, t1, l1, g1, p)
                        if kind == 2:
                            a, d_z = a if inside else _F(0.0), d_z if inside else _F(0.0)
                            d_t, u = d_t if inside else _F(0.0), u if inside else _F(0.0)
                            v, w = v if inside else _F(0.0), w if inside else _F(0.0)
                        fb[r] = a
                        db[r] = d_z
                        s10 += d_z
                        s11 += d_t
                        s12 += u
                        s13 += v
                        s14 += w
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
                    for k in range(0, quads, 4):
                        r0, r1, r2, r3 = rT[k], rT[k + 1], rT[k + 2], rT[k + 3]
                        x0, x1, x2, x3 = xT[k], xT[k + 1], xT[k + 2], xT[k + 3]
                        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = _F(0.0)
                        c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = _F(0.0)
                        for r in range(ROWS):
                            fp, fq, dp, dq = fa[r], fb[r], da[r], db[r]
                            y0, y1, y2, y3 = r0[r], r1[r], r2[r], r3[r]
                            a0 += fp * y0
                            a1 += fp * y1
                            a2 += fp * y2
                            a3 += fp * y3
                            b0 += fq * y0
                            b1 += fq * y1
                            b2 += fq * y2
                            b3 += fq * y3
                            y0, y1, y2, y3 = x0[r], x1[r], x2[r], x3[r]
                            c0 += dp * y0
                            c1 += dp * y1
                            c2 += dp * y2
                            c3 += dp * y3
                            d0 += dq * y0
                            d1 += dq * y1
                            d2 += dq * y2
                            d3 += dq * y3
                        g_v[i, k] += a0
                        g_v[i, k + 1] += a1
                        g_v[i, k + 2] += a2
                        g_v[i, k + 3] += a3
                        g_v[i + 1, k] += b0
                        g_v[i + 1, k + 1] += b1
                        g_v[i + 1, k + 2] += b2
                        g_v[i + 1, k + 3] += b3
                        g_w[i, k] += c0
                        g_w[i, k + 1] += c1
                        g_w[i, k + 2] += c2
                        g_w[i, k + 3] += c3
                        g_w[i + 1, k] += d0
                        g_w[i + 1, k + 1] += d1
                        g_w[i + 1, k + 2] += d2
                        g_w[i + 1, k + 3] += d3
                    for k in range(quads, D):
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
                if kind != 0:
                    g_threshold[j] = single[i, 1]
                size = single[i, 2]
                d_norm, sums[j] = totals(kind, norm[i], p, size, single[i, 3], single[i, 4])
                fired[j] = size > 0.0
                along = d_norm / norm[i] if norm[i] > 0.0 else 0.0
                for k in range(D):
                    g_decoder[j, k] = g_v[i, k] + _F(along) * decoder[j, k]
                    g_encoder[j, k] = g_w[i, k]

    return forward, backward


@_fused
def _finish(residuals: Any, g_decoder_bias: Any, errors: Any, sums: Any) -> Any:
    """Add up what blocks of rows and latents have left, always in the same order."""
    for k in range(g_decoder_bias.size):
        total = 0.0
        for c in range(residuals.shape[0]):
            for r in range(residuals.shape[2]):
                total += residuals[c, k, r]
        g_decoder_bias[k] = total
    return errors.sum() + sums.sum()
