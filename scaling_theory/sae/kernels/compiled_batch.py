# mypy: disable-error-code="assignment"
"""Fused BatchTopK and Matryoshka on the CPU, by Numba: as in TopK, only what is kept costs.

One pass over all pre-activations lists candidates, and finds the smallest that is kept exactly:
see :mod:`scaling_theory.sae.kernels.candidates`. Everything after that works on what is kept.

All that equal the smallest are kept. Sums are taken in the order of the candidates, which is that
of blocks of rows, latents and rows, whatever the number of threads.
"""

from __future__ import annotations

from typing import Any, final

import numba
import numpy as np
import torch

from scaling_theory.sae.architectures import Architecture, BatchTopK, Context, Matryoshka
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.candidates import ROWS, Candidates
from scaling_theory.sae.kernels.compiled_topk import dead_latents, selection
from scaling_theory.sae.kernels.threads import share
from scaling_theory.sae.weights import Weights

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
        self._select = selection(dimension)
        self._candidates = Candidates(a.k, dimension, batch_size)

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        a, rows = self._architecture, x.numpy()
        (batch, d), n = rows.shape, weights.width
        own: list[Any] = [v.numpy() for v in weights.named().values()][:4]
        grads: list[Any] = [v.numpy() for v in out.named().values()][:4]
        values, places, counts, least = self._candidates.find(own[0], own[1], rows)
        values, row, latent, offsets = _kept(values, places, counts, _F(least))
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
                row[at] = c * ROWS + places[e] % ROWS
                latent[at] = places[e] // ROWS
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
        low, high = c * ROWS, min((c + 1) * ROWS, rows)
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
