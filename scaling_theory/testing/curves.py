"""Strategies for loss curves.

With ``size``, parameters may be arrays with that many values, one per feature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from scaling_theory.curves import (
    DiscreteCurve,
    ExponentialCurve,
    LossCurve,
    PlateauCurve,
    PowerLawCurve,
    TabulatedCurve,
)
from scaling_theory.testing.frequencies import numbers


def any_curves(size: int | None = None) -> st.SearchStrategy[LossCurve]:
    """Curves of any kind, convex or not.

    Parameters
    ----------
    size
        If given, parameters may be arrays of that length; None (default) for shared curves.

    Notes
    -----
    Shrinks towards DiscreteCurve(0), with ``size`` too.
    """
    return st.one_of(convex_curves(size), stepped_curves(size))


def convex_curves(size: int | None = None) -> st.SearchStrategy[LossCurve]:
    """Curves whose gains never grow: power laws, exponentials, steps, plateaus, tables.

    Shrinks towards DiscreteCurve(0); ``size`` as for :func:`any_curves`.
    """
    kinds: list[Any] = [smooth_convex_curves(size), _flat_ended_curves(size)]
    if size is None:
        kinds += [_high_start_curves(), convex_tables()]
    return st.one_of(kinds)


@st.composite
def smooth_convex_curves(
    draw: st.DrawFn, size: int | None = None
) -> PowerLawCurve | ExponentialCurve:
    """Curves with a meaning at real numbers of latents: power laws with a shift, exponentials.

    beta in [0.05, 4], shift in [0.2, 50], rate in [0.05, 3], scale in [0.01, 4], floor in [0, 0.5].
    Shrinks towards ExponentialCurve(1), and ``size`` is as for :func:`any_curves`.
    """
    scale = _parameter(draw, numbers(0.01, 4.0), size)
    floor = _parameter(draw, numbers(0.0, 0.5), size)
    if draw(st.booleans()):
        rate = _parameter(draw, numbers(0.05, 3.0), size)
        return ExponentialCurve(rate, scale=scale, floor=floor)
    beta = _parameter(draw, st.one_of(st.sampled_from([0.1, 0.5, 1.0]), numbers(0.05, 4.0)), size)
    shift = _parameter(draw, st.one_of(st.just(1.0), numbers(0.2, 50.0)), size)
    return PowerLawCurve(beta, scale=scale, floor=floor, shift=shift)


def stepped_curves(size: int | None = None) -> st.SearchStrategy[LossCurve]:
    """Curves that need not be convex: n^-beta with L(0) near L(1), and tables with steps.

    Shrinks towards PowerLawCurve(0.1, shift=0); ``size`` as for :func:`any_curves`.
    """
    kinds: list[Any] = [_low_start_curves(size)]
    if size is None:
        kinds.append(stepped_tables())
    return st.one_of(kinds)


@st.composite
def convex_tables(draw: st.DrawFn, *, most: int = 8) -> TabulatedCurve:
    """Tables at 0, 1, 2, ... whose falls never grow, flat beyond.

    Losses are multiples of 1/64, so that their sums and differences are exact. Shrinks to a table
    that is 0 at 0 and 1; ``most`` is the largest n.
    """
    falls = sorted(draw(st.lists(st.integers(0, 64), min_size=1, max_size=most)), reverse=True)
    floor = draw(st.integers(0, 8))
    losses = [(floor + sum(falls[k:])) / 64.0 for k in range(len(falls) + 1)]
    return TabulatedCurve(range(len(losses)), losses)


@st.composite
def stepped_tables(draw: st.DrawFn, *, most: int = 6) -> TabulatedCurve:
    """Tables that fall in steps, with gaps between the points; flat beyond, or a power law.

    Losses at the points are multiples of 1/64 (power law beyond: plus 1/64, with a floor). Shrinks
    to a table that is 0 at 0 and 1; ``most`` is the largest number of points after the first.
    """
    gaps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=most))
    n = np.concatenate([[0], np.cumsum(gaps)])
    falls = draw(st.lists(st.integers(0, 32), min_size=len(gaps), max_size=len(gaps)))
    floor = draw(st.integers(0, 8))
    losses = (floor + np.sum(falls) - np.concatenate([[0], np.cumsum(falls)])) / 64.0
    if not draw(st.booleans()):
        return TabulatedCurve(n, losses)
    exponent = draw(numbers(0.1, 2.0))
    return TabulatedCurve(
        n, losses + 1.0 / 64.0, beyond="power", exponent=exponent, floor=floor / 128.0
    )


@st.composite
def _flat_ended_curves(draw: st.DrawFn, size: int | None) -> DiscreteCurve | PlateauCurve:
    if not draw(st.booleans()):
        return DiscreteCurve(_parameter(draw, numbers(0.0, 0.9), size))
    dimension = _parameter(draw, st.integers(1, 4).map(float), size)
    return PlateauCurve(dimension, _parameter(draw, numbers(0.0, 0.9), size))


@st.composite
def _high_start_curves(draw: st.DrawFn) -> PowerLawCurve:
    """Shift = 0 with L(0) high enough for convexity."""
    beta, scale = draw(numbers(0.1, 2.0)), draw(numbers(0.1, 2.0))
    floor, extra = draw(numbers(0.0, 0.5)), draw(numbers(1e-3, 1.0))
    at_zero = floor + scale * (2.0 - 2.0**-beta) + extra
    return PowerLawCurve(beta, scale=scale, floor=floor, shift=0.0, at_zero=at_zero)


@st.composite
def _low_start_curves(draw: st.DrawFn, size: int | None) -> PowerLawCurve:
    """Shift = 0, with L(0) = L(1) or a little above."""
    beta = _parameter(draw, st.one_of(st.sampled_from([0.1, 1.0]), numbers(0.05, 4.0)), size)
    scale = _parameter(draw, numbers(0.05, 4.0), size)
    at_zero = None
    if size is None and draw(st.booleans()):
        at_zero = scale * (1.0 + draw(numbers(0.0, 1.0)) * (1.0 - 2.0**-beta))
    return PowerLawCurve(beta, scale=scale, shift=0.0, at_zero=at_zero)


def _parameter(draw: st.DrawFn, strategy: st.SearchStrategy[float], size: int | None) -> Any:
    """One number, or sometimes an array with one value per feature."""
    if size is None or not draw(st.booleans()):
        return draw(strategy)
    return np.array(draw(st.lists(strategy, min_size=size, max_size=size)))
