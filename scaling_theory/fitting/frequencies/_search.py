"""Kolmogorov-Smirnov distances of power-law tails, and the xmin that minimises them.

One candidate xmin costs little, for two reasons.

- Between two data, theory and data both fall: from the ends of a stretch of data follows a bound on
  every gap within, so that most of a tail is never looked at. The distance is exact all the same.
- A gap at any one point is a lower bound on the distance. Points that ruled a candidate out are
  asked first about the next (they usually rule it out too), and the distance of a candidate is
  given up as soon as one gap exceeds the smallest distance so far.

Compiled by Numba; the slow obvious way is in ``reference``.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numba
import numpy as np

from scaling_theory.fitting.frequencies import _kernels
from scaling_theory.fitting.frequencies._kernels import CONTINUOUS, exponent, log_mass, survival

_COARSE = 64  # stretches into which a tail is cut first
_WITNESSES = 8
_TABLE = 512  # of survival functions, for drawing

#: In the closure of each compiled function, and so in the key of Numba's cache: they are compiled
#: anew when the kernels change, which are in another file.
_STAMP = zlib.crc32(Path(_kernels.__file__).read_bytes())


_jit = numba.njit(cache=True, error_model="numpy", nogil=True)


def _gap(stamp: int) -> Any:
    @_jit
    def gap(
        kind: int,
        a: float,
        j: int,
        base: float,
        start: float,
        top: float,
        n: float,
        values: Any,
        above: Any,
    ) -> tuple[float, float, float]:
        """Larger gap at a datum, and the theory's shares at or above it and just beyond it."""
        at = survival(kind, a, values[j], start, top, base)
        beyond = at + 0 * stamp
        if kind != CONTINUOUS:
            beyond = survival(kind, a, values[j] + 1.0, start, top, base)
        return max(abs(at - above[j] / n), abs(beyond - above[j + 1] / n)), at, beyond

    return gap


gap = _gap(_STAMP)


def _distance(stamp: int) -> Any:
    @_jit
    def distance(
        kind: int,
        a: float,
        k: int,
        start: float,
        top: float,
        values: Any,
        above: Any,
        enough: float,
    ) -> tuple[float, int]:
        """Largest gap from index k on, and where; or the first one found above ``enough``."""
        m, n = values.size, above[k]
        base = log_mass(kind, a, start, start, top)
        pieces = min(_COARSE, m - k - 1) + 0 * stamp
        ends = np.empty(pieces + 1, np.int64)
        at = np.empty(pieces + 1)
        beyond = np.empty(pieces + 1)
        worst, where = -1.0, k
        for i in range(pieces + 1):
            ends[i] = k + (m - 1 - k) * i // max(pieces, 1)
            g, at[i], beyond[i] = gap(kind, a, ends[i], base, start, top, n, values, above)
            if g > worst:
                worst, where = g, ends[i]
                if worst > enough:
                    return worst, where
        lows = np.empty(64, np.int64)
        highs = np.empty(64, np.int64)
        before = np.empty(64)
        after = np.empty(64)
        for i in range(pieces):
            lows[0], highs[0], before[0], after[0] = ends[i], ends[i + 1], beyond[i], at[i + 1]
            size = 1
            while size:
                size -= 1
                low, high, first, last = lows[size], highs[size], before[size], after[size]
                if high - low < 2:
                    continue
                most = max(first - above[high] / n, above[low + 1] / n - last)
                if most <= worst:
                    continue
                middle = (low + high) // 2
                g, here, past = gap(kind, a, middle, base, start, top, n, values, above)
                if g > worst:
                    worst, where = g, middle
                    if worst > enough:
                        return worst, where
                lows[size], highs[size], before[size], after[size] = middle, high, past, last
                lows[size + 1], highs[size + 1] = low, middle
                before[size + 1], after[size + 1] = first, here
                size += 2
        return worst, where

    return distance


distance = _distance(_STAMP)


def _search(stamp: int) -> Any:
    @_jit
    def search(
        kind: int,
        places: Any,
        starts: Any,
        top: float,
        values: Any,
        above: Any,
        excess: Any,
        every: bool,
        found: Any,
        exponents: Any,
    ) -> int:
        """Number of the best candidate; ``found`` and ``exponents`` are filled in.

        Candidate c starts at ``starts[c]``, and ``places[c]`` is the first datum from there on.
        A distance that was given up is nan, unless ``every`` asks for all of them. Of equal
        distances the smallest xmin is best.
        """
        best, place = math.inf, -1
        guess = 2.0
        witnesses = np.full(_WITNESSES, -1, np.int64)
        stride = max(places.size // 50, 1) + 0 * stamp
        for sweep in range(2):
            step = stride if sweep == 0 else 1
            for c in range(0, places.size, step):
                if sweep == 1 and c % stride == 0:
                    continue
                k, start = places[c], starts[c]
                n = above[k]
                a = exponent(kind, guess, k, start, top, values, above, excess)
                guess = exponents[c] = a
                enough = math.inf if every else best
                base = log_mass(kind, a, start, start, top)
                out = False
                for w in range(_WITNESSES):
                    j = witnesses[w]
                    if j >= k and enough < math.inf:
                        g, _, _ = gap(kind, a, j, base, start, top, n, values, above)
                        if g > enough:
                            out = True
                            for i in range(w, 0, -1):
                                witnesses[i] = witnesses[i - 1]
                            witnesses[0] = j
                            break
                if out:
                    found[c] = math.nan
                    continue
                d, where = distance(kind, a, k, start, top, values, above, enough)
                for i in range(_WITNESSES - 1, 0, -1):
                    witnesses[i] = witnesses[i - 1]
                witnesses[0] = where
                found[c] = d if d <= enough else math.nan
                if d < best or (d == best and c < place):
                    best, place = d, c
        return place

    return search


search = _search(_STAMP)


def _draw(stamp: int) -> Any:
    @_jit
    def draw(kind: int, a: float, start: float, top: float, shares: Any, out: Any) -> None:
        """Fill ``out`` with the largest whole x whose survival is at least the given share.

        A table for the first values, bisection beyond it.
        """
        base = log_mass(kind, a, start, start, top)
        table = np.empty(_TABLE + 0 * stamp)
        for i in range(_TABLE):  # turned round, to rise
            x = start + (_TABLE - 1 - i)
            table[i] = survival(kind, a, x, start, top, base) if x <= top else 0.0
        for i in range(shares.size):
            u = shares[i]
            if u > table[0]:
                out[i] = start + (_TABLE - 1 - np.searchsorted(table, u))
                continue
            low = start + (_TABLE - 1)
            high = 2.0 * low
            while survival(kind, a, high, start, top, base) >= u:
                low, high = high, 2.0 * high
            while high - low > 1.0:
                middle = math.floor(0.5 * (low + high))
                if middle <= low or middle >= high:  # whole numbers beyond 2^53
                    break
                if survival(kind, a, middle, start, top, base) >= u:
                    low = middle
                else:
                    high = middle
            out[i] = low

    return draw


draw = _draw(_STAMP)
