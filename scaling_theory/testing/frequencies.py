"""Strategies for numbers, budgets and frequencies."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from scaling_theory import _validate
from scaling_theory.frequencies import (
    EmpiricalFrequencies,
    Frequencies,
    PowerLawFrequencies,
    ZipfMandelbrotFrequencies,
)

#: Budgets up to here are drawn evenly, larger ones by their logarithm.
_SMALL_BUDGET = 60


def frequencies(*, infinite: bool | None = None) -> st.SearchStrategy[Frequencies]:
    """Frequencies of any kind: lists, and power laws with and without an offset.

    Parameters
    ----------
    infinite
        True or False for infinitely or finitely many features only; None (default) for either.

    Notes
    -----
    Shrinks to a list of one frequency 1, or with ``infinite=True`` as :func:`power_laws`.
    """
    if infinite:
        return power_laws(infinite=True)
    return st.one_of(lists_of_frequencies(), power_laws(infinite=infinite))


@st.composite
def power_laws(
    draw: st.DrawFn, *, infinite: bool | None = None, most: int = 40
) -> PowerLawFrequencies | ZipfMandelbrotFrequencies:
    """PowerLawFrequencies and ZipfMandelbrotFrequencies, with totals other than 1 too.

    Parameters
    ----------
    infinite
        As for :func:`frequencies`. Infinite laws have alpha in [0.1, 3], finite ones in
        [-0.95, 3]; offsets are in [-0.9, 100].
    most
        Largest number of features of a finite law.

    Notes
    -----
    Shrinks to PowerLawFrequencies(alpha=0.25), with count=1 for ``infinite=False``.
    """
    endless = draw(st.booleans()) if infinite is None else infinite
    count = None if endless else draw(st.integers(1, most))
    alpha = draw(alphas() if endless else alphas(-0.95, 3.0))
    total = draw(st.sampled_from([1.0, 1.0, 0.3, 17.0]))
    if not draw(st.booleans()):
        return PowerLawFrequencies(alpha, count=count, total=total)
    offset = draw(st.one_of(st.sampled_from([0.0, -0.5, 2.7]), numbers(-0.9, 100.0)))
    return ZipfMandelbrotFrequencies(alpha, offset, count=count, total=total)


@st.composite
def lists_of_frequencies(
    draw: st.DrawFn, count: int | None = None, *, most: int = 12
) -> EmpiricalFrequencies:
    """Lists in any order: all different, all equal, or few distinct values (exact ties).

    Parameters
    ----------
    count
        Length of the list; None (default) for 1 to ``most``.
    most
        Largest length.

    Notes
    -----
    Shrinks to one frequency of 1.
    """
    size = draw(st.integers(1, most)) if count is None else count
    kind = draw(st.sampled_from(["free", "equal", "few", "halves"]))
    if kind == "free":
        values = draw(st.lists(numbers(1e-6, 1.0), min_size=size, max_size=size))
    elif kind == "equal":
        values = [draw(numbers(1e-3, 1.0))] * size
    elif kind == "few":
        some = draw(st.lists(numbers(1e-3, 1.0), min_size=1, max_size=3))
        values = draw(st.lists(st.sampled_from(some), min_size=size, max_size=size))
    else:  # powers of two: ties between different numbers of latents too
        values = [2.0**-k for k in draw(st.lists(st.integers(0, 6), min_size=size, max_size=size))]
    total = draw(st.sampled_from([None, None, 1.0, 20.0]))
    return EmpiricalFrequencies(np.array(values), total)


def alphas(low: float = 0.1, high: float = 3.0) -> st.SearchStrategy[float]:
    """Tail exponents in [low, high]; the round ones among 0.25, 0.5, 1, 1.5 often.

    Shrinks to the first round one in range.
    """
    often = [alpha for alpha in (0.25, 0.5, 1.0, 1.5) if low <= alpha <= high]
    some = [st.sampled_from(often)] if often else []
    return st.one_of(*some, numbers(low, high))


def budgets(least: int = 0, most: int = 60) -> st.SearchStrategy[int]:
    """Numbers of latents in [least, most]: evenly up to 60, and by their logarithm beyond.

    The slow solvers need budgets below about 1,000; the exact solver takes up to 1e15. Shrinks to
    ``least``.
    """
    low = _validate.latents(least, "least")
    high = _validate.whole("most", most, low=low, high=_validate.MAX_LATENTS)
    if high <= max(low, _SMALL_BUDGET):
        return st.integers(low, high)
    start = max(low, 1)

    def from_logarithm(x: float) -> int:
        return min(max(round(float(10.0**x)), low), high)

    small = [st.integers(low, _SMALL_BUDGET)] if low <= _SMALL_BUDGET else []
    spread = numbers(math.log10(start), math.log10(high)).map(from_logarithm)
    return st.one_of(*small, spread)


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Floats in [low, high], with no subnormal numbers; shrink to the simplest, often whole."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)
