# mypy: disable-error-code="assignment"
"""What of a tile of pre-activations is listed, and decoding of lists: the loops of ``listed``.

A tile is (rows, latents), without the bias, of rows from the beginning of a list. ``low`` and
``first`` are its first latent and its first list; with ``low = 0`` lists begin anew.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

from scaling_theory.sae.kernels.entries import ROWS, make_heap, replace_least

#: Latents of a group, and groups whose maxima are taken at once.
STEPS: Final = 16
LANES: Final = 16
#: Steps towards the k-th largest of the groups' maxima: a few entries too many cost less than more.
_HALVINGS = 10

_F = np.float32
_exact = numba.njit(nogil=True, cache=True, error_model="numpy")
_fused = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


@_exact
def keep_largest(
    k: int, low: int, first: int, z: Any, bias: Any, places: Any, values: Any, counts: Any
) -> None:
    """Put the positive entries among the k largest of each row so far into a heap in its list.

    The bias is added to ``z``.
    """
    latents = z.shape[1]
    groups = latents // STEPS
    whole = groups * STEPS if 4 * k <= groups else 0
    b, most = bias[low : low + latents], np.empty(groups, np.float32)
    chosen, found = np.empty(groups + 1, np.int64), np.empty(latents + 1, np.int64)
    large = np.empty(latents + 1, np.float32)
    for r in range(z.shape[0]):
        c, at, row, count = first + r // ROWS, r % ROWS, z[r], 0
        value, place = begin(k, c, at, low, places, values, counts)
        for j in range(latents):
            row[j] += b[j]
        if whole:
            most[:] = _F(-np.inf)
            for start in range(0, whole, groups):
                part = row[start : start + groups]
                for g in range(groups):
                    most[g] = part[g] if part[g] > most[g] else most[g]
            bound, some = reached(most, value[0], k), 0
            for g in range(groups):  # branches that nobody can foresee would cost more than stores
                chosen[some] = g
                some += np.int64(most[g] >= bound)
            for i in range(some):
                for j in range(chosen[i], whole, groups):
                    found[count], large[count] = j, row[j]
                    count += np.int64(row[j] >= bound)
        else:
            bound = reached(row, value[0], k)
        for j in range(whole, latents):
            found[count], large[count] = j, row[j]
            count += np.int64(row[j] >= bound)
        take(k, low, at, found[:count], large[:count], value, place)


@_exact
def begin(k: int, c: int, at: int, low: int, places: Any, values: Any, counts: Any) -> Any:
    """Return the heap of a row, values and places; empty it before the first tile."""
    value, place = values[c, at * k : (at + 1) * k], places[c, at * k : (at + 1) * k]
    if low == 0:
        value[:] = _F(0.0)
        place[:] = -1
        counts[c, 0] = counts[c, 1] = (at + 1) * k
    return value, place


@_exact
def take(k: int, low: int, at: int, found: Any, numbers: Any, value: Any, place: Any) -> None:
    """Put positive numbers among the k largest into a heap."""
    above, filled, heap = value[0], 0, True
    if low:
        filled = k
    bound = reached(numbers, above, k)  # nearly all that reach it are kept
    for i in range(found.size):
        s, p = numbers[i], (low + found[i]) * ROWS + at
        if not (s >= bound and s > above):
            continue
        if filled < k:
            value[filled], place[filled] = s, p
            filled += 1
            heap = False
            continue
        if not heap:
            make_heap(value, place)
            heap = True
        if s > value[0]:
            replace_least(value, place, s, p)
    if not heap:
        make_heap(value, place)


@_exact
def keep_above(
    least: Any, most: Any, low: int, first: int, z: Any, bias: Any,
    places: Any, values: Any, counts: Any,
) -> None:  # fmt: skip
    """List entries above a number for each latent; count them also where there is no room."""
    latents, room = z.shape[1], places.shape[1]
    whole = latents // (STEPS * LANES) * (STEPS * LANES)
    b, t = bias[low : low + latents], least[low : low + latents]
    for r in range(z.shape[0]):
        c, at, row = first + r // ROWS, r % ROWS, z[r]
        found = 0 if low == 0 and at == 0 else counts[c, 1]
        groups = _largest_of_groups(row, b, t, most)
        for g in range(groups):
            if most[g] > _F(0.0):
                start = g // LANES * (STEPS * LANES) + g % LANES
                for j in range(start, start + STEPS * LANES, LANES):
                    s = row[j] + b[j]
                    if s > t[j]:
                        if found < room:
                            places[c, found] = (low + j) * ROWS + at
                            values[c, found] = s
                        found += 1
        for j in range(whole, latents):
            s = row[j] + b[j]
            if s > t[j]:
                if found < room:
                    places[c, found] = (low + j) * ROWS + at
                    values[c, found] = s
                found += 1
        counts[c, 0], counts[c, 1] = min(found, room), found


@_exact
def _largest_of_groups(row: Any, bias: Any, least: Any, most: Any) -> Any:
    """Largest excess over ``least`` in each group of a row; the number of groups.

    A group is every 16th of 256 latents, so that 16 maxima are taken at once.
    """
    groups, size = row.size // (STEPS * LANES) * LANES, STEPS * LANES
    for g in range(0, groups, LANES):
        # slices begin at 0: an index that might be negative keeps loops from vectorising
        m, start = most[g : g + LANES], g * STEPS
        z, b, t = row[start : start + size], bias[start : start + size], least[start : start + size]
        for lane in range(LANES):
            m[lane] = z[lane] + b[lane] - t[lane]
        for j in range(LANES, size, LANES):
            for lane in range(LANES):
                s = z[j + lane] + b[j + lane] - t[j + lane]
                m[lane] = s if s > m[lane] else m[lane]
    return groups


@_exact
def reached(numbers: Any, low: Any, k: int) -> Any:
    """Return ``low``, or more if k of the numbers reach that: nearly as much as k of them reach.

    ``low`` is not negative.
    """
    count = _count(numbers, low)
    if count <= k:
        return low
    largest = np.int32(0)  # of the bits, which are ordered as positive numbers are, and vectorise
    bits = numbers.view(np.int32)
    for i in range(bits.size):
        largest = bits[i] if bits[i] > largest else largest
    one = np.empty(1, np.int32)
    one[0] = largest
    high = one.view(np.float32)[0]
    if not np.isfinite(high):
        return low
    for _ in range(_HALVINGS):
        middle = _F(0.5) * (low + high)
        count = _count(numbers, middle)
        if count >= k:
            low = middle
            if count == k:
                break
        else:
            high = middle
    return low


@_fused
def _count(numbers: Any, low: Any) -> Any:
    """How many numbers are at least that: as float32, exact up to 2^24, of which 16 add at once."""
    count = _F(0.0)
    for i in range(numbers.size):
        count += _F(1.0) if numbers[i] >= low else _F(0.0)
    return count


@_fused
def decode(
    first: int, last: int, kind: int,
    decoder: Any, decoder_bias: Any, threshold: Any, target: Any, scale: Any,
    places: Any, values: Any, counts: Any, error: Any, columns: Any, squares: Any,
) -> None:  # fmt: skip
    """Reconstruction minus target, times a scale; its sums over the rows of a list, and squares."""
    batch, D = error.shape
    for c in range(first, last):
        begin, end = c * ROWS, min((c + 1) * ROWS, batch)
        for r in range(begin, end):
            e, x = error[r], target[r]
            for i in range(D):
                e[i] = decoder_bias[i] - x[i]
        kept = 0
        for at in range(counts[c, 0]):
            p, f = places[c, at], values[c, at]
            if p < 0:
                continue
            places[c, kept], values[c, kept] = p, f  # without the places that nothing took
            kept += 1
            j = p // ROWS
            if kind != 1 or f > threshold[j]:
                v, e = decoder[j], error[begin + p % ROWS]
                for i in range(D):
                    e[i] += f * v[i]
        counts[c, 0] = kept
        column, square = columns[c], 0.0
        column[:] = 0.0
        for r in range(begin, end):
            e, s = error[r], _F(0.0)
            for i in range(D):
                e[i] *= scale
                s += e[i] * e[i]
                column[i] += e[i]
            square += s
        squares[c] = square
