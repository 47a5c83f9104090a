# mypy: disable-error-code="assignment"
"""Fused gradients on the CPU for inputs that are mostly zeros: superpositions of many features.

With orthogonal features an input has the coordinates of the few features that are active, and a
trained SAE answers with a few latents. Pre-activations take a row of the transposed encoder for
each coordinate that is not zero; what fires (or is near its threshold) is listed, and all else is
sums over that list, sorted by latent. A step costs rows times latents times active coordinates,
plus three times the dimension for each entry of the list, where dense paths take rows times latents
times six times the dimension. Every sum is taken in the same order whatever the number of threads.

The result is exact for any input and any weights; where inputs are dense or most latents fire it is
slower than the dense paths. Early in training half of all may fire: the list grows up to 8 bytes
for each row and latent, and 8 more for each entry sort it, and shrinks as fewer fire.
"""

from __future__ import annotations

from typing import Any, final

import numba
import numpy as np
import torch

from scaling_theory.sae.architectures import Architecture, Context, TopK
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.entries import (
    GROUP,
    KINDS,
    ROWS,
    by_latent,
    replace_least,
    room_for,
    sum_up,
)
from scaling_theory.sae.kernels.threads import share
from scaling_theory.sae.kernels.units import numbers_of
from scaling_theory.sae.weights import Weights

_F = np.float32
_fused = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


@final
class SparseGradients(Gradients):
    """Lists what fires, then sums over it."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        self._architecture = architecture
        self._kind = KINDS[str(architecture.fused)]
        self._k = architecture.k if isinstance(architecture, TopK) else 0
        self._blocks = -(-batch_size // ROWS)
        self._error = np.empty((batch_size, dimension), np.float32)
        self._empty = np.zeros(batch_size, np.bool_)
        self._counts = np.zeros((self._blocks, 2), np.int64)
        self._zeros = np.zeros(width, np.float32)
        self._sums = np.zeros(width, np.float64)
        self._fired = np.zeros(width, np.bool_)
        # entries of each block of rows; more as they are needed, and fewer again
        self._least_room = ROWS * min(max(self._k, 8), width)
        self._listed = room_for(self._blocks, self._least_room)

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        rows, n = x.numpy(), weights.width
        threshold, numbers = self._zeros, np.zeros(4, np.float32)
        if self._kind != KINDS["topk"]:
            numbers = numbers_of(self._architecture, context)
        if "threshold" in weights.extra:
            threshold = weights.extra["threshold"].numpy()
        decoder, bias = weights.decoder.numpy(), weights.encoder_bias.numpy()
        encoder = np.ascontiguousarray(weights.encoder.numpy().T)
        margin = _F(0.5) * numbers[1] if self._kind == KINDS["jumprelu"] else _F(0.0)
        while True:
            share(
                _list, self._blocks, float(rows.size * n), self._kind, self._k, encoder, bias,
                decoder, weights.decoder_bias.numpy(), threshold, margin, rows, self._error,
                self._empty, *self._listed, self._counts,
            )  # fmt: skip
            most = int(self._counts[:, 1].max())
            if most <= self._listed[0].shape[1]:
                break
            self._listed = room_for(self._blocks, min(2 * most, ROWS * n))
        start, order = by_latent(self._listed[0], self._counts, n)
        share(
            sum_up, n, float(3 * order.size * weights.dimension), self._kind, decoder, threshold,
            numbers, rows, self._error, self._empty, *self._listed, start, order,
            out.encoder.numpy(), out.encoder_bias.numpy(), out.decoder.numpy(),
            out.extra["threshold"].numpy() if "threshold" in out.extra else self._zeros,
            self._sums, self._fired,
        )  # fmt: skip
        if 4 * most < self._listed[0].shape[1]:
            self._listed = room_for(self._blocks, max(2 * most, self._least_room))
        loss = _finish(self._error, out.decoder_bias.numpy(), self._sums)
        return Step(float(loss), torch.from_numpy(self._fired))


@_fused
def _list(
    first: int, last: int, kind: int, k: int,
    encoder: Any, bias: Any, decoder: Any, decoder_bias: Any, threshold: Any, margin: Any,
    x: Any, error: Any, empty: Any, places: Any, values: Any, counts: Any,
) -> None:  # fmt: skip
    """List what fires or nearly does, and what is left of each input, scaled by 2/rows."""
    (D, n), batch, room = encoder.shape, x.shape[0], places.shape[1]
    z, least = np.empty(n, np.float32), np.empty(n, np.float32)
    best, which = np.empty(max(k, 1), np.float32), np.empty(max(k, 1), np.int32)
    scale = _F(2.0 / batch)
    for j in range(n):
        least[j] = threshold[j] - margin if kind == 1 else _F(0.0)
    for c in range(first, last):
        found = 0
        for r in range(c * ROWS, min((c + 1) * ROWS, batch)):
            xr, e = x[r], error[r]
            nothing = True
            for j in range(n):
                z[j] = bias[j]
            for i in range(D):
                e[i] = decoder_bias[i] - xr[i]
                if xr[i] != _F(0.0):
                    nothing = False
                    w, s = encoder[i], xr[i]
                    for j in range(n):
                        z[j] += s * w[j]
            empty[r] = nothing
            begin = found
            if kind == 3:
                best[:] = _F(0.0)
                which[:] = -1
                for j in range(n):
                    if z[j] > best[0]:
                        replace_least(best, which, z[j], j)
                for at in range(k):
                    if which[at] >= 0:
                        if found < room:
                            places[c, found] = which[at] * ROWS + r % ROWS
                            values[c, found] = best[at]
                        found += 1
            else:
                for low in range(0, n, GROUP):
                    high = min(low + GROUP, n)
                    above = 0
                    for j in range(low, high):
                        above += np.int32(z[j] > least[j])
                    if above == 0:
                        continue
                    for j in range(low, high):
                        if z[j] > least[j]:
                            if found < room:
                                places[c, found] = j * ROWS + r % ROWS
                                values[c, found] = z[j]
                            found += 1
            for at in range(begin, min(found, room)):
                j, f = places[c, at] // ROWS, values[c, at]
                if kind != 1 or f > threshold[j]:
                    v = decoder[j]
                    for i in range(D):
                        e[i] += f * v[i]
            for i in range(D):
                e[i] *= scale
        counts[c, 0], counts[c, 1] = min(found, room), found


@_fused
def _finish(error: Any, g_decoder_bias: Any, sums: Any) -> Any:
    """Gradient of the decoder bias, and the loss, always in the same order."""
    batch, D = error.shape
    total = 0.0
    columns = np.zeros(D, np.float64)
    for r in range(batch):
        s = _F(0.0)
        for i in range(D):
            s += error[r, i] * error[r, i]
            columns[i] += error[r, i]
        total += s
    for i in range(D):
        g_decoder_bias[i] = columns[i]
    return 0.25 * batch * total + sums.sum()
