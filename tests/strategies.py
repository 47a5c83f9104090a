"""Hypothesis strategies for frequencies, loss curves and populations.

- :func:`frequencies`: finite or infinite, power laws and lists, with many exact ties or none.
- :func:`convex_curves`, :func:`stepped_curves`: gains that fall; gains that need not.
- :func:`populations`: shared curves, exceptions by rank, mixtures, one curve parameter per
  feature, magnitudes.

All are small: a budget of 60 latents can be held against the heap greedy and the dynamic
programme. :func:`enough_features` says how many ranks those have to look at.
"""

from __future__ import annotations

from math import lcm
from typing import Any

import numpy as np
from hypothesis import strategies as st

import scaling_theory as sth

#: Pattern lengths of the mixtures' shares; their least common multiple is the longest period.
_DENOMINATORS = (1, 2, 3, 4, 5, 10)
_LONGEST_PERIOD = lcm(*_DENOMINATORS)
#: Highest rank that an exception may have.
MAX_EXCEPTION = 30
#: Longest head of a mixture.
MAX_HEAD = 20


def number(low: float, high: float) -> st.SearchStrategy[float]:
    """Floats in [low, high], with no subnormal numbers."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)


# ---- frequencies ---------------------------------------------------------------------------


def alphas(low: float = 0.1, high: float = 3.0) -> st.SearchStrategy[float]:
    """Tail exponents, the round ones often."""
    return st.one_of(st.sampled_from([0.25, 0.5, 1.0, 1.5]), number(low, high))


@st.composite
def lists_of_frequencies(draw: st.DrawFn, count: int | None = None) -> sth.EmpiricalFrequencies:
    """Lists in any order: all different, all equal, or few distinct values (exact ties)."""
    size = draw(st.integers(1, 12)) if count is None else count
    kind = draw(st.sampled_from(["free", "equal", "few", "halves"]))
    if kind == "free":
        values = draw(st.lists(number(1e-6, 1.0), min_size=size, max_size=size))
    elif kind == "equal":
        values = [draw(number(1e-3, 1.0))] * size
    elif kind == "few":
        some = draw(st.lists(number(1e-3, 1.0), min_size=1, max_size=3))
        values = draw(st.lists(st.sampled_from(some), min_size=size, max_size=size))
    else:  # powers of two: ties between different numbers of latents too
        values = [2.0**-k for k in draw(st.lists(st.integers(0, 6), min_size=size, max_size=size))]
    total = draw(st.sampled_from([None, None, 1.0, 20.0]))
    return sth.EmpiricalFrequencies(values, total)


@st.composite
def power_laws(draw: st.DrawFn, *, infinite: bool | None = None) -> Any:
    """PowerLawFrequencies and ZipfMandelbrotFrequencies."""
    endless = draw(st.booleans()) if infinite is None else infinite
    count = None if endless else draw(st.integers(1, 40))
    alpha = draw(alphas() if endless else alphas(-0.95, 3.0))
    total = draw(st.sampled_from([1.0, 1.0, 0.3, 17.0]))
    if draw(st.booleans()):
        return sth.PowerLawFrequencies(alpha, count=count, total=total)
    offset = draw(st.one_of(st.sampled_from([-0.5, 0.0, 2.7]), number(-0.9, 100.0)))
    return sth.ZipfMandelbrotFrequencies(alpha, offset, count=count, total=total)


def frequencies(*, infinite: bool | None = None) -> st.SearchStrategy[Any]:
    """Any frequencies; only finite ones with ``infinite=False``."""
    if infinite:
        return power_laws(infinite=True)
    return st.one_of(lists_of_frequencies(), power_laws(infinite=infinite))


# ---- curves --------------------------------------------------------------------------------


@st.composite
def convex_tables(draw: st.DrawFn) -> sth.TabulatedCurve:
    """Tables at 0, 1, 2, ... whose falls never grow, flat beyond."""
    # Multiples of 1/64: their sums and differences are exact, and so is the convexity.
    falls = draw(st.lists(st.integers(0, 64), min_size=1, max_size=8))
    falls = sorted(falls, reverse=True)
    floor = draw(st.integers(0, 8))
    losses = [(floor + sum(falls[k:])) / 64.0 for k in range(len(falls) + 1)]
    return sth.TabulatedCurve(range(len(losses)), losses)


def _parameter(draw: st.DrawFn, strategy: st.SearchStrategy[float], size: int | None) -> Any:
    """One number, or sometimes an array with one value per feature."""
    if size is None or draw(st.booleans()):
        return draw(strategy)
    return np.array(draw(st.lists(strategy, min_size=size, max_size=size)))


@st.composite
def smooth_convex_curves(draw: st.DrawFn, size: int | None = None) -> Any:
    """Curves with a meaning at real numbers of latents: power laws with a shift, exponentials."""
    scale = _parameter(draw, number(0.01, 4.0), size)
    floor = _parameter(draw, number(0.0, 0.5), size)
    if draw(st.booleans()):
        rate = _parameter(draw, number(0.05, 3.0), size)
        return sth.ExponentialCurve(rate, scale=scale, floor=floor)
    beta = _parameter(draw, st.one_of(st.sampled_from([0.1, 0.5, 1.0]), number(0.05, 4.0)), size)
    shift = _parameter(draw, st.one_of(st.just(1.0), number(0.2, 50.0)), size)
    return sth.PowerLawCurve(beta, scale=scale, floor=floor, shift=shift)


@st.composite
def _flat_ended_curves(draw: st.DrawFn, size: int | None = None) -> Any:
    if draw(st.booleans()):
        return sth.DiscreteCurve(_parameter(draw, number(0.0, 0.9), size))
    dimension = _parameter(draw, st.integers(1, 4).map(float), size)
    return sth.PlateauCurve(dimension, _parameter(draw, number(0.0, 0.9), size))


@st.composite
def _high_start_curves(draw: st.DrawFn) -> sth.PowerLawCurve:
    """shift = 0 with L(0) high enough for convexity."""
    beta, scale = draw(number(0.1, 2.0)), draw(number(0.1, 2.0))
    floor, extra = draw(number(0.0, 0.5)), draw(number(1e-3, 1.0))
    at_zero = floor + scale * (2.0 - 2.0**-beta) + extra
    return sth.PowerLawCurve(beta, scale=scale, floor=floor, shift=0.0, at_zero=at_zero)


def convex_curves(size: int | None = None) -> st.SearchStrategy[Any]:
    """Convex curves; with ``size``, parameters may be arrays of that length."""
    kinds = [smooth_convex_curves(size), _flat_ended_curves(size)]
    if size is None:
        kinds += [_high_start_curves(), convex_tables()]
    return st.one_of(kinds)


@st.composite
def stepped_tables(draw: st.DrawFn) -> sth.TabulatedCurve:
    """Tables that fall in steps, with gaps between the points; flat beyond, or a power law."""
    gaps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    n = np.concatenate([[0], np.cumsum(gaps)])
    falls = draw(st.lists(st.integers(0, 32), min_size=len(gaps), max_size=len(gaps)))
    floor = draw(st.integers(0, 8))
    losses = (floor + np.sum(falls) - np.concatenate([[0], np.cumsum(falls)])) / 64.0
    if draw(st.booleans()):
        return sth.TabulatedCurve(n, losses)
    return sth.TabulatedCurve(
        n, losses + 1.0 / 64.0, beyond="power", exponent=draw(number(0.1, 2.0)), floor=floor / 128.0
    )


@st.composite
def _low_start_curves(draw: st.DrawFn, size: int | None = None) -> sth.PowerLawCurve:
    """shift = 0, with L(0) = L(1) or a little above."""
    beta = _parameter(draw, st.one_of(st.sampled_from([0.1, 1.0]), number(0.05, 4.0)), size)
    scale = _parameter(draw, number(0.05, 4.0), size)
    at_zero = None
    if size is None and draw(st.booleans()):
        at_zero = scale * (1.0 + draw(number(0.0, 1.0)) * (1.0 - 2.0**-beta))
    return sth.PowerLawCurve(beta, scale=scale, shift=0.0, at_zero=at_zero)


def stepped_curves(size: int | None = None) -> st.SearchStrategy[Any]:
    """Curves that need not be convex."""
    kinds: list[Any] = [_low_start_curves(size)]
    if size is None:
        kinds.append(stepped_tables())
    return st.one_of(kinds)


def any_curves(size: int | None = None) -> st.SearchStrategy[Any]:
    """Convex or stepped."""
    return st.one_of(convex_curves(size), stepped_curves(size))


# ---- populations ---------------------------------------------------------------------------


@st.composite
def populations(
    draw: st.DrawFn,
    curves: Any = convex_curves,
    *,
    infinite: bool | None = None,
    max_period: int = _LONGEST_PERIOD,
) -> sth.Population:
    """Populations of any shape.

    Parameters
    ----------
    curves
        size or None -> strategy of curves.
    infinite
        Whether ranks are infinitely many; either by default.
    max_period
        Longest pattern of a mixture.
    """
    law = draw(frequencies(infinite=infinite))
    shape = draw(st.sampled_from(["shared", "exceptions", "mixture", "per feature", "groups"]))
    if shape == "mixture":
        return draw(mixtures(law, curves, max_period=max_period))
    finite = law.count is not None
    size = law.count if finite and shape == "per feature" else None
    if finite and draw(st.integers(0, 3)) == 0:
        magnitude: Any = np.array(
            draw(st.lists(number(0.1, 9.0), min_size=law.count, max_size=law.count))
        )
    else:
        magnitude = draw(st.sampled_from([1.0, 1.0, 2.5]))
    default = draw(curves(size))
    if shape in ("shared", "per feature"):
        return sth.Population(law, default, magnitude=magnitude)
    most = min(law.count or MAX_EXCEPTION, MAX_EXCEPTION)
    some = draw(st.lists(st.integers(1, most), min_size=1, max_size=4, unique=True))
    if shape == "exceptions":
        if draw(st.booleans()):
            other = draw(curves(None))
            return sth.Population(law, default, {tuple(some): other}, magnitude=magnitude)
        return sth.Population(
            law, default, {r: draw(curves(None)) for r in some}, magnitude=magnitude
        )
    listed = draw(curves(len(some)))
    own = np.array(draw(st.lists(number(0.1, 9.0), min_size=len(some), max_size=len(some))))
    rest = [sth.Group("rest", default, None, magnitude)]
    if law.count is not None and len(some) == law.count:
        rest = []
    return sth.Population.from_groups(law, [sth.Group("listed", listed, some, own), *rest])


@st.composite
def mixtures(
    draw: st.DrawFn, law: Any, curves: Any = convex_curves, *, max_period: int = _LONGEST_PERIOD
) -> sth.Population:
    """Two or three curves drawn over the ranks, with a head of 0, 5 or 20 ranks."""
    whole = draw(st.sampled_from([q for q in _DENOMINATORS if 3 <= q <= max_period]))
    first = draw(st.integers(1, whole - 2))
    second = draw(st.integers(1, whole - 1 - first))
    parts = [first, second, whole - first - second]
    if draw(st.booleans()):
        parts = [first, whole - first]
    groups: dict[str, Any] = {}
    for k, part in enumerate(parts):
        entry = (part / whole, draw(curves(None)))
        groups["abc"[k]] = (*entry, draw(number(0.2, 5.0))) if draw(st.booleans()) else entry
    head = draw(st.sampled_from([0, 5, MAX_HEAD]))
    return sth.Population.mixture(law, groups, draw(st.integers(0, 2**32 - 1)), head=head)


def enough_features(population: sth.Population, latents: int) -> int:
    """Count the first ranks outside which an optimum of so few latents has nothing; all if finite.

    Among the ranks of one group with one curve a lower rank always comes first, so that the
    discovered ranks of a group are among its first ``latents``.
    """
    if population.count is not None:
        return population.count
    longest = max(b.ranks.period for b in population.blocks if hasattr(b.ranks, "period"))
    return max(MAX_HEAD, MAX_EXCEPTION) + longest * (latents + 1)
