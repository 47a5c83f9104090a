# mypy: disable-error-code="assignment"
"""Which pre-activations of a batch may be among its k * rows largest, for :mod:`compiled_batch`.

One pass over all pre-activations lists those above a bound: the candidates. If there are at least
as many as are to be kept, the smallest that is kept is among them. A good bound is the smallest
kept of the step before, lowered: it is remembered, and changes no result. Where there is none, or
it was too high, a pass that counts pre-activations by exponent and leading bits gives one. Where
fewer are positive than are to be kept, the bound is 0, and one pass lists them all.
"""

from __future__ import annotations

from functools import cache
from typing import Any, final

import numba
import numpy as np

from scaling_theory.sae.kernels.threads import share

#: Rows of a block.
ROWS = 32
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
class Candidates:
    """Lists candidates of one batch after another, of at most ``batch_size`` rows."""

    def __init__(self, k: int, dimension: int, batch_size: int) -> None:
        self._k = k
        self._collect, self._count = _passes(dimension)
        self._counts = np.zeros(-(-batch_size // ROWS), np.int64)
        self._least_room = 2 * ROWS * k
        self._reserve(self._least_room)
        self._bound: float | None = None

    def find(self, encoder: Any, bias: Any, x: Any) -> tuple[Any, Any, Any, float]:
        """Return candidates in the order of blocks, latents and rows, and what decides among them.

        Returns
        -------
        values, places : (c,) float32, (c,) int32
            Pre-activations, and latent * 32 + row within its block.
        counts : (blocks,) int64
            Candidates of each block of rows; overwritten by the next call.
        least
            Smallest that is kept; 0 if all that are positive are.
        """
        count = self._k * len(x)
        self._search(encoder, bias, x, count)
        values, places = _pack(self._values, self._places, self._counts)
        least = _smallest_kept(values, count)
        self._bound = _LOWERED * least if np.isfinite(least) else None
        most = int(self._counts.max())
        if 4 * most < self._values.shape[1]:
            self._reserve(max(2 * most, self._least_room))
        return values, places, self._counts, least

    def _search(self, encoder: Any, bias: Any, x: Any, count: int) -> None:
        """List candidates: at least ``count`` of them, or all that are positive."""
        if self._bound is not None:
            listed = self._list(encoder, bias, x, self._bound)
            if listed >= count or self._bound == 0.0:  # above 0 there are no others
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

    def _reserve(self, room: int) -> None:
        self._values = np.empty((self._counts.size, room), np.float32)
        self._places = np.empty((self._counts.size, room), np.int32)


def _smallest_kept(values: Any, count: int) -> float:
    """The ``count``-th largest; 0 where there are fewer."""
    if values.size < count:
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
            low = c * ROWS
            m = min(ROWS, rows - low)
            xT = np.zeros((D, ROWS), np.float32)
            z = np.empty(ROWS, np.float32)
            least = np.full(ROWS, _F(np.inf))
            least[:m] = bound
            for r in range(m):
                for i in range(D):
                    xT[i, r] = x[low + r, i]
            found = 0
            for j in range(n):
                w, b = encoder[j], bias[j]
                for g in range(0, ROWS, _GROUP):
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
                                places[c, found] = j * ROWS + r
                            found += 1
            counts[c] = found

    @_fused
    def count(
        start: int, stop: int, encoder: Any, bias: Any, x: Any, counted: Any
    ) -> None:  # fmt: skip
        rows, n = x.shape[0], encoder.shape[0]
        for c in range(start, stop):
            low = c * ROWS
            m = min(ROWS, rows - low)
            xT = np.zeros((D, ROWS), np.float32)
            z = np.empty(ROWS, np.float32)
            bits = z.view(np.int32)
            for r in range(m):
                for i in range(D):
                    xT[i, r] = x[low + r, i]
            for j in range(n):
                w, b = encoder[j], bias[j]
                for r in range(ROWS):
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
