# mypy: disable-error-code="assignment"
"""Fused BatchTopK and Matryoshka on the CPU, by Numba: as in TopK, only what is kept costs.

One pass over all pre-activations lists those above a bound: the candidates. If there are at least
as many as are to be kept, the smallest that is kept is among them, and is found exactly. Everything
after that works on what is kept. A good bound is the smallest kept of the step before, lowered: it
is remembered, and changes no result. Where there is none, or it was too high, a pass that counts
pre-activations by exponent and leading bits gives one.

All that equal the smallest are kept. Candidates come in the order of blocks of rows, latents and
rows, whatever the bound or the number of threads, and sums are taken in that order.
"""

from __future__ import annotations

from functools import cache
from typing import Any, final

import numba
import numpy as np
import torch

from scaling_theory.sae.architectures import Architecture, BatchTopK, Context, Matryoshka
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.compiled_topk import dead_latents, selection
from scaling_theory.sae.kernels.threads import share
from scaling_theory.sae.weights import Weights

_ROWS = 32
_GROUP = 16
#: Bits of a float32 below those that pre-activations are counted by: 4 of its mantissa are left.
_DROPPED = 19
_BINS = 2 ** (31 - _DROPPED)
#: Part of the smallest that was kept that is the next bound.
_LOWERED = 0.95

_F = np.float32
_fused = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


@final
class CompiledBatch(Gradients):
    """Candidates of a batch, those of them that are kept, and sums over these."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        assert isinstance(architecture, BatchTopK | Matryoshka)
        a = self._architecture = architecture
        ends = a.sizes(width) if isinstance(a, Matryoshka) else (width,)
        #: Which of the nested reconstructions is the first to have each latent.
        self._part = np.searchsorted(np.array(ends), np.arange(width), side="right")
        self._parts = len(ends)
        self._collect, self._count = _passes(dimension)
        self._select = selection(dimension)
        blocks = -(-batch_size // _ROWS)
        self._counts = np.zeros(blocks, np.int64)
        self._reserve(2 * _ROWS * a.k)
        self._bound: float | None = None

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        a, rows = self._architecture, x.numpy()
        (batch, d), n = rows.shape, weights.width
        own: list[Any] = [v.numpy() for v in weights.named().values()][:4]
        grads: list[Any] = [v.numpy() for v in out.named().values()][:4]
        self._find(own[0], own[1], rows, a.k * batch)
        values, places = _pack(self._values, self._places, self._counts)
        least = _smallest_kept(values, a.k * batch)
        self._bound = _LOWERED * least if np.isfinite(least) else None
        values, row, latent, offsets = _kept(values, places, self._counts, _F(least))
        pull = np.empty((self._parts, batch, d), np.float32)
        left, errors = np.empty_like(rows), np.empty(len(offsets) - 1)
        entries, work = (values, row, latent), float(values.size * d)
        share(
            _reconstruct, len(errors), work, *entries, offsets, self._part,
            own[2], own[3], rows, _F(2.0 / batch), pull, left, errors,
        )  # fmt: skip
        start, order = _by_latent(latent, n)
        share(
            _accumulate, n, 3.0 * work, own[2], rows, values, row, pull, self._part,
            start, order, *grads[:3],
        )  # fmt: skip
        grads[3][:] = pull[0].sum(0, dtype=np.float64)
        out.extra["threshold"].zero_()
        loss = float(errors.sum())
        loss += dead_latents(self._select, a, own, rows, left, context, grads)
        return Step(loss, torch.from_numpy(np.diff(start) > 0))

    def _reserve(self, room: int) -> None:
        self._values = np.empty((self._counts.size, room), np.float32)
        self._places = np.empty((self._counts.size, room), np.int32)

    def _find(self, encoder: Any, bias: Any, x: Any, count: int) -> None:
        """List candidates: at least ``count`` of them, or all that are positive."""
        if self._bound is not None and self._list(encoder, bias, x, self._bound) >= count:
            return
        counted = np.zeros((self._counts.size, _BINS), np.int32)
        share(
            self._count, self._counts.size, float(x.size * len(encoder)), encoder, bias, x, counted
        )
        above = counted.sum(0)[::-1].cumsum()[::-1]
        last = int((above >= count).sum()) - 1  # the smallest that is kept is in this bin
        for below in (1, 64, _BINS):  # pre-activations are computed again, and may round elsewhere
            bits = max(last - below, 0) << _DROPPED
            bound = float(np.array(bits, np.int32).view(np.float32))
            if self._list(encoder, bias, x, bound) >= count or bound == 0.0:
                return

    def _list(self, encoder: Any, bias: Any, x: Any, bound: float) -> int:
        """List what is above a bound: how much that is."""
        work = float(x.size * len(encoder))
        while True:
            args = (encoder, bias, x, _F(bound), self._values, self._places, self._counts)
            share(self._collect, self._counts.size, work, *args)
            most = int(self._counts.max())
            if most <= self._values.shape[1]:
                return int(self._counts.sum())
            self._reserve(most + most // 4)


def _smallest_kept(values: Any, count: int) -> float:
    """The ``count``-th largest; 0 where there are no more than that."""
    if values.size <= count:
        return 0.0
    return float(np.partition(values, values.size - count)[values.size - count])


@cache
def _passes(dimension: int) -> tuple[Any, Any]:
    """Compile both passes over pre-activations for a dimension."""
    D = dimension

    @_fused
    def collect(
        start: int, stop: int,
        encoder: Any, bias: Any, x: Any, bound: Any, values: Any, places: Any, counts: Any,
    ) -> None:  # fmt: skip
        rows, n, room = x.shape[0], encoder.shape[0], values.shape[1]
        for c in range(start, stop):
            low = c * _ROWS
            m = min(_ROWS, rows - low)
            xT = np.zeros((D, _ROWS), np.float32)
            z = np.empty(_ROWS, np.float32)
            least = np.full(_ROWS, _F(np.inf))
            least[:m] = bound
            for r in range(m):
                for i in range(D):
                    xT[i, r] = x[low + r, i]
            found = 0
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
                            if found < room:
                                values[c, found] = z[r]
                                places[c, found] = j * _ROWS + r
                            found += 1
            counts[c] = found

    @_fused
    def count(
        start: int, stop: int, encoder: Any, bias: Any, x: Any, counted: Any
    ) -> None:  # fmt: skip
        rows, n = x.shape[0], encoder.shape[0]
        for c in range(start, stop):
            low = c * _ROWS
            m = min(_ROWS, rows - low)
            xT = np.zeros((D, _ROWS), np.float32)
            z = np.empty(_ROWS, np.float32)
            bits = z.view(np.int32)
            for r in range(m):
                for i in range(D):
                    xT[i, r] = x[low + r, i]
            for j in range(n):
                w, b = encoder[j], bias[j]
                for r in range(_ROWS):
                    s = b
                    for i in range(D):
                        s += w[i] * xT[i, r]
                    z[r] = s
                for r in range(m):
                    if z[r] > _F(0.0):
                        counted[c, bits[r] >> _DROPPED] += 1

    return collect, count


@numba.njit(cache=True)
def _pack(values: Any, places: Any, counts: Any) -> Any:
    """Candidates of all blocks one after the other: values, and places in their block."""
    total = counts.sum()
    all_values, all_places, at = np.empty(total, np.float32), np.empty(total, np.int32), 0
    for c in range(counts.size):
        m = counts[c]
        all_values[at : at + m] = values[c, :m]
        all_places[at : at + m] = places[c, :m]
        at += m
    return all_values, all_places


@numba.njit(cache=True)
def _kept(values: Any, places: Any, counts: Any, least: Any) -> Any:
    """Entries that are kept: values, rows, latents, and where each block of rows begins."""
    size = 0
    for v in values:
        size += v >= least
    out, row, latent = (
        np.empty(size, np.float32),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
    )
    offsets = np.zeros(counts.size + 1, np.int64)
    at = e = 0
    for c in range(counts.size):
        for _ in range(counts[c]):
            if values[e] >= least:
                out[at] = values[e]
                row[at] = c * _ROWS + places[e] % _ROWS
                latent[at] = places[e] // _ROWS
                at += 1
            e += 1
        offsets[c + 1] = at
    return out, row, latent, offsets


@numba.njit(cache=True)
def _by_latent(latent: Any, n: int) -> Any:
    """Entries of each latent in the order they have: counting sort."""
    start = np.zeros(n + 1, np.int64)
    for j in latent:
        start[j + 1] += 1
    for j in range(n):
        start[j + 1] += start[j]
    free = start[:-1].copy()
    order = np.empty(latent.size, np.int32)
    for e in range(latent.size):
        order[free[latent[e]]] = e
        free[latent[e]] += 1
    return start, order


@_fused
def _reconstruct(
    first: int, last: int,
    values: Any, row: Any, latent: Any, offsets: Any, part: Any,
    decoder: Any, decoder_bias: Any, x: Any, scale: Any, pull: Any, left: Any, errors: Any,
) -> None:  # fmt: skip
    """Residuals of the nested reconstructions of some blocks of rows.

    ``pull[p]`` is the gradient that latents of part p see: ``scale`` times the sum of the errors of
    reconstructions p and longer. ``left`` is the residual of the longest.
    """
    parts, rows, D = pull.shape
    for c in range(first, last):
        low, high = c * _ROWS, min((c + 1) * _ROWS, rows)
        for p in range(parts):
            for r in range(low, high):
                for i in range(D):
                    pull[p, r, i] = decoder_bias[i] - x[r, i] if p == 0 else _F(0.0)
        for e in range(offsets[c], offsets[c + 1]):
            p, r, j, f = part[latent[e]], row[e], latent[e], values[e]
            for i in range(D):
                pull[p, r, i] += f * decoder[j, i]
        total = 0.0
        for p in range(parts):
            s = _F(0.0)
            for r in range(low, high):
                for i in range(D):
                    if p > 0:
                        pull[p, r, i] += pull[p - 1, r, i]
                    s += pull[p, r, i] * pull[p, r, i]
            total += s
        errors[c] = total / rows
        for r in range(low, high):
            for i in range(D):
                left[r, i] = -pull[parts - 1, r, i]
                longer = _F(0.0)
                for p in range(parts - 1, -1, -1):
                    longer += pull[p, r, i]
                    pull[p, r, i] = scale * longer


@_fused
def _accumulate(
    first: int, last: int,
    decoder: Any, x: Any, values: Any, row: Any, pull: Any, part: Any, start: Any, order: Any,
    g_encoder: Any, g_bias: Any, g_decoder: Any,
) -> None:  # fmt: skip
    D = decoder.shape[1]
    for j in range(first, last):
        v, a, c, error = decoder[j], g_decoder[j], g_encoder[j], pull[part[j]]
        total = _F(0.0)
        for i in range(D):
            a[i] = _F(0.0)
            c[i] = _F(0.0)
        for at in range(start[j], start[j + 1]):
            e = order[at]
            r, f = row[e], values[e]
            g = _F(0.0)
            for i in range(D):
                g += v[i] * error[r, i]
            for i in range(D):
                a[i] += f * error[r, i]
                c[i] += g * x[r, i]
            total += g
        g_bias[j] = total
