# mypy: disable-error-code="assignment"
"""Lists of what fires, block by block of rows, and the gradients as sums over them.

An entry is a pair (row, latent) with its pre-activation. The lists of the ``sparse`` and ``listed``
paths have one layout: 32 rows of a batch share a list, so that a place, latent * 32 + row within
the block, fits 32 bits. Sorted by latent, in the order of rows, each latent's gradients are sums
over its own entries, whatever the number of threads.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

from scaling_theory.sae.kernels.units import partials, totals

#: Architectures whose gradients are sums over what fires, or nearly.
KINDS: Final = {"relu": 0, "jumprelu": 1, "topk": 3}
#: Rows that share a list, and entries that are compared at once.
ROWS: Final = 32
GROUP: Final = 16

_F = np.float32
_fused = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


def room_for(blocks: int, size: int) -> tuple[Any, Any]:
    """Place of entries, latent * 32 + row within the block, and pre-activation, block by block."""
    shape = (blocks, size)
    return np.empty(shape, np.int32), np.empty(shape, np.float32)


@numba.njit(cache=True)
def replace_least(values: Any, index: Any, value: Any, latent: int) -> None:
    """Replace the root of a heap whose smallest entry is first."""
    k, at = values.size, 0
    while True:
        child = 2 * at + 1
        if child >= k:
            break
        if child + 1 < k and values[child + 1] < values[child]:
            child += 1
        if values[child] >= value:
            break
        values[at] = values[child]
        index[at] = index[child]
        at = child
    values[at] = value
    index[at] = latent


@numba.njit(cache=True)
def make_heap(values: Any, places: Any) -> None:
    """Make a heap of entries, the smallest of them first."""
    for root in range(values.size // 2 - 1, -1, -1):
        value, place, at = values[root], places[root], root
        while True:
            child = 2 * at + 1
            if child >= values.size:
                break
            if child + 1 < values.size and values[child + 1] < values[child]:
                child += 1
            if values[child] >= value:
                break
            values[at], places[at] = values[child], places[child]
            at = child
        values[at], places[at] = value, place


@numba.njit(cache=True)
def by_latent(places: Any, counts: Any, n: int) -> Any:
    """Where the entries of each latent are, in the order of rows: counting sort."""
    start = np.zeros(n + 1, np.int64)
    for c in range(places.shape[0]):
        for at in range(counts[c, 0]):
            start[places[c, at] // ROWS + 1] += 1
    for j in range(n):
        start[j + 1] += start[j]
    free = start[:-1].copy()
    order = np.empty(start[n], np.int64)
    for c in range(places.shape[0]):
        for at in range(counts[c, 0]):
            j = places[c, at] // ROWS
            order[free[j]] = c * places.shape[1] + at
            free[j] += 1
    return start, order


@_fused
def sum_up(
    first: int, last: int, kind: int,
    decoder: Any, threshold: Any, numbers: Any, x: Any, error: Any, empty: Any,
    places: Any, values: Any, start: Any, order: Any,
    g_encoder: Any, g_bias: Any, g_decoder: Any, g_threshold: Any, sums: Any, fired: Any,
) -> None:  # fmt: skip
    """Gradients of each latent: sums over its entries."""
    D, batch = decoder.shape[1], x.shape[0]
    p = (_F(numbers[0] / batch), numbers[1], numbers[2], _F(numbers[3] / batch))
    room, every_place, every_value = places.shape[1], places.ravel(), values.ravel()
    for j in range(first, last):
        v, a, w = decoder[j], g_decoder[j], g_encoder[j]
        square = _F(0.0)
        for i in range(D):
            a[i] = _F(0.0)
            w[i] = _F(0.0)
            square += v[i] * v[i]
        norm = np.sqrt(square)
        s_z = s_t = s_2 = s_3 = s_4 = 0.0
        for at in range(start[j], start[j + 1]):
            entry = order[at]
            row = entry // room * ROWS + every_place[entry] % ROWS
            z = every_value[entry]
            e = error[row]
            g = _F(0.0)
            for i in range(D):
                g += v[i] * e[i]
            if kind == 3:
                f, d_z, d_t, size, third, fourth = z, g, _F(0.0), z, _F(0.0), _F(0.0)
            elif kind == 0:
                f, d_z, d_t, size, third, fourth = partials(0, z, threshold[j], norm, g, p)
            else:
                f, d_z, d_t, size, third, fourth = partials(1, z, threshold[j], norm, g, p)
            if f != _F(0.0):
                for i in range(D):
                    a[i] += f * e[i]
            if d_z != _F(0.0) and not empty[row]:
                xr = x[row]
                for i in range(D):
                    w[i] += d_z * xr[i]
            s_z += d_z
            s_t += d_t
            s_2 += size
            s_3 += third
            s_4 += fourth
        g_bias[j] = s_z
        d_norm, penalty = 0.0, 0.0
        if kind == 0:
            d_norm, penalty = totals(0, norm, p, s_2, s_3, s_4)
        elif kind == 1:
            g_threshold[j] = s_t
            d_norm, penalty = totals(1, norm, p, s_2, s_3, s_4)
        sums[j] = penalty
        fired[j] = s_2 > 0.0
        if d_norm != 0.0 and norm > 0.0:
            along = _F(d_norm / norm)
            for i in range(D):
                a[i] += along * v[i]
