"""The unit circle with n evenly spaced directions and the best possible encoder.

Sparse coding: for each point the nonnegative code that minimises ``|x - xhat|^2 + l1 sum_j f_j``.
No encoder, of one layer or many, does better with these directions and no decoder bias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.theory.geometry.floor import sphere_floor

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)


@final
@dataclass(frozen=True)
class CircleIdeal:
    """What an ideal encoder reaches with n evenly spaced directions on the unit circle.

    Attributes
    ----------
    n, l1
        Number of latents, and weight of the L1 penalty.
    loss
        Mean squared error plus penalty.
    excess
        Loss minus ``sphere_floor(l1)``, computed without that subtraction.
    leading
        Leading term of the excess for many latents, (l1/12)(1 - l1/2)(1 - l1/4)(2 pi/n)^2.
    pairs
        Fraction of the circle on which two latents fire.
    """

    n: int
    l1: float
    loss: float
    excess: float
    leading: float
    pairs: float


def circle_ideal(n: int, l1: float = 0.1) -> CircleIdeal:
    """Return the loss of sparse coding with n evenly spaced directions on the unit circle.

    Parameters
    ----------
    n
        Number of latents, from 1 to 1e9.
    l1
        Weight of the L1 penalty, in (0, 2).

    Raises
    ------
    ValueError
        If n or l1 is out of range.

    Notes
    -----
    Derived here (``derive("circle")``), h = 2 pi/n. At an angle delta of at most
    arcsin((l1/2) tan(h/2)) from a direction, that latent alone fires and the cost is
    ``1 - max(cos(delta) - l1/2, 0)^2``. Between these arcs the two neighbours fire: the residual is
    (l1/2) v with v.u = 1 for both, so with theta the angle from their middle the cost is
    ``l1 cos(theta)/cos(h/2) - l1^2/(4 cos(h/2)^2)``. Other latents see v.u_k <= 1 and stay silent.
    Both costs are integrated by Gauss-Legendre to rounding.
    """
    n = _validate.whole("n", n, low=1, high=10**9)
    l1 = _validate.real("l1", l1, low=0.0, high=2.0, low_open=True, high_open=True)
    half = np.pi / n
    single = half
    if n >= 3 and 0.5 * l1 < np.cos(half):
        single = float(np.arcsin(0.5 * l1 * np.tan(half)))
    heard = min(single, float(np.arccos(0.5 * l1)))  # beyond it nothing fires, at cost 1
    total = _integral(0.0, heard, lambda delta: _one(delta, l1))
    total += (single - heard) * (1.0 - 0.5 * l1) ** 2
    if single < half:
        total += _integral(0.0, half - single, lambda theta: _two(theta, half, l1))
    excess = total / half
    leading = l1 / 12.0 * (1.0 - 0.5 * l1) * (1.0 - 0.25 * l1) * (2.0 * half) ** 2
    return CircleIdeal(n, l1, sphere_floor(l1) + excess, excess, leading, 1.0 - single / half)


def _one(delta: Floats, l1: float) -> Floats:
    """Excess cost of one latent at angle delta."""
    lost = 2.0 * np.sin(0.5 * delta) ** 2
    return np.asarray(lost * (2.0 - l1 - lost))


def _two(theta: Floats, half: float, l1: float) -> Floats:
    """Excess cost of two latents at angle theta from their middle, each half an h away."""
    gain = 2.0 * np.sin(0.5 * (half + theta)) * np.sin(0.5 * (half - theta)) / np.cos(half)
    return np.asarray(l1 * gain - 0.25 * l1 * l1 * np.tan(half) ** 2)


def _integral(low: float, high: float, function: Callable[[Floats], Floats]) -> float:
    middle, radius = 0.5 * (low + high), 0.5 * (high - low)
    return float(radius * (function(middle + radius * _NODES) @ _WEIGHTS))
