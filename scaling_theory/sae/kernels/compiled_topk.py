# mypy: disable-error-code="assignment"
"""TopK on the CPU, compiled by Numba: pre-activations are compared at once and never stored.

Each row keeps the k largest so far in a heap. Rows of a block go through the latents together, so
that pre-activations vectorise, and only one that beats the smallest of its row's heap is looked at
on its own: about k (1 + ln(n/k)) of n. Gradients are then sums over the few entries that fire,
sorted by latent. Every sum is taken in the same order whatever the number of threads.
"""

from __future__ import annotations

from functools import cache
from typing import Any, final

import numba
import numpy as np
import torch

from scaling_theory.sae.architectures import Architecture, Context, TopK
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.entries import replace_least
from scaling_theory.sae.kernels.threads import share
from scaling_theory.sae.weights import Weights

_ROWS = 32
_GROUP = 16

_F = np.float32
_fused = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


@final
class CompiledTopK(Gradients):
    """Selection of the k largest, and sums over what was selected."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        assert isinstance(architecture, TopK)
        self._architecture = architecture
        self._select = selection(dimension)

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        a, rows = self._architecture, x.numpy()
        own: list[Any] = [v.numpy() for v in weights.named().values()]
        grads: list[Any] = [v.numpy() for v in out.named().values()]
        loss, residual, fired = _fit(self._select, own, rows, rows, a.k, 1.0, grads)
        loss += dead_latents(self._select, a, own, rows, residual, context, grads)
        return Step(loss, torch.from_numpy(fired))


def dead_latents(
    select: Any, a: Any, own: list[Any], x: Any, residual: Any, context: Context, out: list[Any]
) -> float:
    """Add the gradients of the dead latents' loss (``auxk``) on a residual; return the loss."""
    if not (a.auxk and a.auxk_weight) or context.dead is None or not bool(context.dead.any()):
        return 0.0
    dead = np.flatnonzero(context.dead.numpy())
    some = [own[0][dead], own[1][dead], own[2][dead], np.zeros_like(own[3])]
    new = [np.empty_like(v) for v in some]
    size = min(a.auxk, dead.size)
    loss, _, _ = _fit(select, some, x, residual, size, a.auxk_weight, new)
    for g, add in zip(out[:3], new[:3], strict=True):
        g[dead] += add
    return loss


def _fit(
    select: Any, own: list[Any], x: Any, target: Any, k: int, weight: float, out: list[Any]
) -> tuple[float, Any, Any]:
    """Reconstruct a target from the k largest: loss, what is left of it, who fired."""
    (rows, d), n = x.shape, len(own[0])
    index = np.full((rows, k), -1, np.int32)
    values, error = np.zeros((rows, k), np.float32), np.empty((rows, d), np.float32)
    scale, blocks = _F(2.0 * weight / rows), -(-rows // _ROWS)
    work = float(rows * n * d)
    share(select, blocks, work, *own, x, target, scale, index, values, error)
    start, order = _by_latent(index, n)
    work = float(3 * rows * k * d)
    share(_accumulate, n, work, own[2], x, values.ravel(), error, start, order, k, *out[:3])
    out[3][:] = error.sum(0, dtype=np.float64)
    left = error * _F(-0.5 * rows / weight)
    loss = float(weight * np.square(left, dtype=np.float64).sum() / rows)
    return loss, left, np.diff(start) > 0


@cache
def selection(dimension: int) -> Any:
    """Compile the pass that finds the k largest of each row, for a dimension."""
    D = dimension

    @_fused
    def select(
        start: int, stop: int,
        encoder: Any, bias: Any, decoder: Any, decoder_bias: Any, x: Any, target: Any, scale: Any,
        index: Any, values: Any, error: Any,
    ) -> None:  # fmt: skip
        rows, n, k = x.shape[0], encoder.shape[0], index.shape[1]
        for c in range(start, stop):
            low = c * _ROWS
            m = min(_ROWS, rows - low)
            xT = np.zeros((D, _ROWS), np.float32)
            z = np.empty(_ROWS, np.float32)
            least = np.zeros(_ROWS, np.float32)
            least[m:] = _F(np.inf)
            for r in range(m):
                for i in range(D):
                    xT[i, r] = x[low + r, i]
            for j in range(n):
                w, b = encoder[j], bias[j]
                for g in range(0, _ROWS, _GROUP):
                    above = 0
                    for r in range(g, g + _GROUP):
                        s = b
                        for i in range(D):
                            s += w[i] * xT[i, r]
                        z[r] = s
                        above += np.int32(s > least[r])
                    if above == 0:
                        continue
                    for r in range(g, g + _GROUP):
                        if z[r] > least[r]:
                            replace_least(values[low + r], index[low + r], z[r], j)
                            least[r] = values[low + r, 0]
            for r in range(low, low + m):
                for i in range(D):
                    error[r, i] = decoder_bias[i] - target[r, i]
                for e in range(k):
                    j = index[r, e]
                    if j >= 0:
                        for i in range(D):
                            error[r, i] += values[r, e] * decoder[j, i]
                for i in range(D):
                    error[r, i] *= scale

    return select


@numba.njit(cache=True)
def _by_latent(index: Any, n: int) -> Any:
    """Entries (row, place) of each latent in the order of rows: counting sort."""
    flat = index.ravel()
    start = np.zeros(n + 1, np.int64)
    for j in flat:
        if j >= 0:
            start[j + 1] += 1
    for j in range(n):
        start[j + 1] += start[j]
    free = start[:-1].copy()
    order = np.empty(start[n], np.int32)
    for e in range(flat.size):
        j = flat[e]
        if j >= 0:
            order[free[j]] = e
            free[j] += 1
    return start, order


@_fused
def _accumulate(
    first: int, last: int,
    decoder: Any, x: Any, values: Any, error: Any, start: Any, order: Any, k: int,
    g_encoder: Any, g_bias: Any, g_decoder: Any,
) -> None:  # fmt: skip
    D = decoder.shape[1]
    for j in range(first, last):
        v, a, c = decoder[j], g_decoder[j], g_encoder[j]
        total = _F(0.0)
        for i in range(D):
            a[i] = _F(0.0)
            c[i] = _F(0.0)
        for at in range(start[j], start[j + 1]):
            e = order[at]
            row = e // k
            g = _F(0.0)
            for i in range(D):
                g += v[i] * error[row, i]
            for i in range(D):
                a[i] += values[e] * error[row, i]
                c[i] += g * x[row, i]
            total += g
        g_bias[j] = total
