"""Strategies for populations."""

from __future__ import annotations

from collections.abc import Callable
from math import lcm
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import Frequencies
from scaling_theory.groups import Group
from scaling_theory.population import Population
from scaling_theory.testing.curves import convex_curves
from scaling_theory.testing.frequencies import frequencies, numbers

#: size or None -> strategy of curves, such as ``convex_curves``.
Curves = Callable[[int | None], st.SearchStrategy[LossCurve]]

#: Pattern lengths of the mixtures' shares; their least common multiple is the longest period.
_DENOMINATORS = (1, 2, 3, 4, 5, 10)
LONGEST_PERIOD = lcm(*_DENOMINATORS)
#: Highest rank that an exception may have.
MAX_EXCEPTION = 30
#: Longest head of a mixture.
MAX_HEAD = 20


@st.composite
def populations(
    draw: st.DrawFn,
    curves: Curves = convex_curves,
    *,
    infinite: bool | None = None,
    max_period: int = LONGEST_PERIOD,
) -> Population:
    """Populations of any shape.

    One shared curve, exceptions by rank, mixtures, one curve parameter per feature, lists of
    groups; with magnitudes shared, per group or per feature.

    Parameters
    ----------
    curves
        Which curves: a function of size or None, such as :func:`convex_curves` (default) or
        :func:`any_curves`. For one strategy ``s`` of shared curves: ``lambda size: s``.
    infinite
        True or False for infinitely or finitely many features only; None (default) for either.
    max_period
        Longest pattern of a mixture, from 3 to 60.

    Notes
    -----
    Shrinks towards one feature of frequency 1 (infinitely many with ``infinite=True``) with the
    simplest of the curves.
    """
    law = draw(frequencies(infinite=infinite))
    shape = draw(st.sampled_from(["shared", "exceptions", "mixture", "per feature", "groups"]))
    if shape == "mixture":
        return draw(mixtures(law, curves, max_period=max_period))
    count = law.count
    magnitude: Any = draw(st.sampled_from([1.0, 1.0, 2.5]))
    if count is not None and draw(st.integers(0, 3)) == 3:
        magnitude = np.array(draw(st.lists(numbers(0.1, 9.0), min_size=count, max_size=count)))
    default = draw(curves(count if shape == "per feature" else None))
    if shape in ("shared", "per feature"):
        return Population(law, default, magnitude=magnitude)
    most = min(count or MAX_EXCEPTION, MAX_EXCEPTION)
    some = draw(st.lists(st.integers(1, most), min_size=1, max_size=4, unique=True))
    if shape == "exceptions":
        if draw(st.booleans()):
            other = draw(curves(None))
            return Population(law, default, {tuple(some): other}, magnitude=magnitude)
        return Population(law, default, {r: draw(curves(None)) for r in some}, magnitude=magnitude)
    listed = draw(curves(len(some)))
    own = np.array(draw(st.lists(numbers(0.1, 9.0), min_size=len(some), max_size=len(some))))
    rest = [] if len(some) == count else [Group("rest", default, None, magnitude)]
    return Population.from_groups(law, [Group("listed", listed, some, own), *rest])


@st.composite
def mixtures(
    draw: st.DrawFn,
    law: Frequencies | None = None,
    curves: Curves = convex_curves,
    *,
    max_period: int = LONGEST_PERIOD,
) -> Population:
    """Two or three curves drawn over the ranks, with a head of 0, 5 or 20 ranks.

    Parameters
    ----------
    law
        Frequencies; None (default) for any.
    curves, max_period
        As for :func:`populations`.

    Notes
    -----
    Shrinks towards two groups without a head, with shares 1/3 and 2/3 and the simplest curves.
    """
    if law is None:
        law = draw(frequencies())
    whole = draw(st.sampled_from([q for q in _DENOMINATORS if 3 <= q <= max_period]))
    first = draw(st.integers(1, whole - 2))
    parts = [first, whole - first]
    if draw(st.booleans()):
        second = draw(st.integers(1, whole - 1 - first))
        parts = [first, second, whole - first - second]
    groups: dict[str, tuple[Any, ...]] = {}
    for name, part in zip("abc", parts, strict=False):
        entry = (part / whole, draw(curves(None)))
        groups[name] = (*entry, draw(numbers(0.2, 5.0))) if draw(st.booleans()) else entry
    head = draw(st.sampled_from([0, 5, MAX_HEAD]))
    return Population.mixture(law, groups, draw(st.integers(0, 2**32 - 1)), head=head)
