"""What an ideal encoder can reach on a sphere: bounds by the size of caps.

:func:`covering_bounds` encloses the least loss of sparse coding with n directions on the unit
sphere of d dimensions. Both bounds are floor + constant n^(-2/(d-1)) in the limit, so the exponent
of an ideal encoder is known. A one-layer ReLU encoder is slower: see
:func:`~scaling_theory.theory.geometry.tiling_exponents`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.theory.geometry.floor import sphere_floor

#: Largest dimension of a sphere that is taken.
MAX_DIMENSION = 10**4

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


@final
@dataclass(frozen=True)
class CoveringBounds:
    """Bounds on the least loss of an ideal encoder with n directions.

    Attributes
    ----------
    n, dimension, l1
        Number of latents, dimension d of the space (the sphere has d - 1), weight of the penalty.
    lower, upper
        Bounds on the loss of the best dictionary with its best nonnegative code.
    lower_excess, upper_excess
        The same minus ``sphere_floor(l1)``, computed without that subtraction.
    exponent
        2/(d-1): both excesses tend to constant n^-exponent.
    lower_constant, upper_constant
        The constants of these laws.
    """

    n: int
    dimension: int
    l1: float
    lower: float
    upper: float
    lower_excess: float
    upper_excess: float
    exponent: float
    lower_constant: float
    upper_constant: float


def covering_bounds(n: int, dimension: int, l1: float = 0.1) -> CoveringBounds:
    """Bound the loss of sparse coding with n unit directions on the unit sphere.

    The lower bound holds for any dictionary of n directions and any nonnegative code without
    decoder bias, so for any SAE; with a decoder bias it holds with 2 n for n. The upper bound is
    the mean over dictionaries of n random directions with one latent firing at a time, so some
    dictionary is at least as good; an ideal encoder reaches it, a ReLU encoder need not.

    Parameters
    ----------
    n
        Number of directions, 1 to 1e15.
    dimension
        Dimension d of the space, 2 (the circle) to 10,000.
    l1
        Weight of the L1 penalty, in (0, 2).

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Proved here. For any r with r.u_j <= l1/2 for all j, and any code,
    ``|x - xhat|^2 + l1 sum f >= 2 r.x - |r|^2``. Take r = c x with c = min(1, (l1/2)/cos(delta)),
    delta the angle from x to the nearest direction: the cost at x is at least 2 c - c^2, which
    grows with delta. The n caps of angle r cover at most n times the fraction cap(r) of the
    sphere, so the mean is least if P(delta < r) = min(1, n cap(r)).

    For random directions P(delta > r) = (1 - cap(r))^n, and one latent costs
    ``1 - max(cos(delta) - l1/2, 0)^2``.

    With a bias b the cost is that of x - b. The least cost is convex in the point and only falls
    when the mirrored directions are added; then the mean over x and -x is at least the cost at x
    without bias, with 2 n directions.
    """
    n = _validate.whole("n", n, low=1, high=10**15)
    d = _validate.whole("dimension", dimension, low=2, high=MAX_DIMENSION)
    l1 = _validate.real("l1", l1, low=0.0, high=2.0, low_open=True, high_open=True)
    m, floor, power = 1.0 - 0.5 * l1, sphere_floor(l1), 2.0 / (d - 1.0)
    lower, upper = _lower(float(n), d, l1), _upper(float(n), d, l1)
    low, high = _constants(d)
    return CoveringBounds(
        n=n, dimension=d, l1=l1, lower=floor + lower, upper=floor + upper, lower_excess=lower,
        upper_excess=upper, exponent=power, lower_constant=0.5 * l1 * m * low,
        upper_constant=m * high,
    )  # fmt: skip


def cap_fraction(angle: Floats, dimension: int) -> Floats:
    """Fraction of the unit sphere within an angle of a point.

    Parameters
    ----------
    angle
        Angles in [0, pi], any shape.
    dimension
        Dimension d of the space, at least 2.

    Notes
    -----
    Half the regularised incomplete beta function of (d-1)/2, 1/2 at sin(angle)^2, up to pi/2.
    """
    from scipy.special import betainc

    half = 0.5 * betainc(0.5 * (dimension - 1.0), 0.5, np.sin(angle) ** 2)
    return np.asarray(np.where(angle <= 0.5 * np.pi, half, 1.0 - half))


def cap_angle(fraction: float, dimension: int) -> float:
    """Angle of the cap that is a given fraction of the sphere: the inverse of cap_fraction."""
    from scipy.special import betaincinv

    small = min(fraction, 1.0 - fraction)
    angle = float(np.arcsin(np.sqrt(betaincinv(0.5 * (dimension - 1.0), 0.5, 2.0 * small))))
    return angle if fraction <= 0.5 else float(np.pi) - angle


def _constants(d: int) -> tuple[float, float]:
    """Mean squared angle to the nearest direction, times n^(2/(d-1)): ideal caps, random ones."""
    from scipy.special import gammaln

    dim = d - 1.0
    log_cap = gammaln(0.5 * d) - gammaln(0.5 * dim) - 0.5 * np.log(np.pi) - np.log(dim)
    scale = float(np.exp(-2.0 / dim * log_cap))  # cap(r) is exp(log_cap) r^(d-1) for small r
    return dim / (dim + 2.0) * scale, float(np.exp(gammaln(1.0 + 2.0 / dim))) * scale


def _lower(n: float, d: int, l1: float) -> float:
    """Mean of the dual bound's excess with caps that do not overlap.

    By parts: its value at the last angle minus the integral of n cap(r) over it. With
    c = (l1/2) exp(u^2) both are smooth, for small l1 too.
    """
    end = cap_angle(1.0 / n, d)
    silent = float(np.arccos(0.5 * l1))  # from there on nothing fires, at cost 1
    top = min(end, silent)
    low, high = _depth(min(_unseen(n, d), top)), _depth(top)
    u = 0.5 * (low + high) + 0.5 * (high - low) * _NODES
    c = 0.5 * l1 * np.exp(u * u)
    covered = n * cap_fraction(np.arcsin(np.sqrt(-np.expm1(-2.0 * u * u))), d)
    inside = 0.5 * (high - low) * _WEIGHTS @ (covered * 4.0 * u * c * (1.0 - c))
    return float(_dual(np.array([top]), l1)[0] - inside)


def _depth(r: float) -> float:
    """Return u with u^2 = -ln cos(r): then sin(r)^2 is 1 - exp(-2 u^2)."""
    near = r < 1.0
    return math.sqrt(-0.5 * math.log1p(-(math.sin(r) ** 2)) if near else -math.log(math.cos(r)))


def _unseen(n: float, d: int) -> float:
    """Angle at which n caps cover 1e-18 of the sphere: below it there is nothing to integrate."""
    return cap_angle(1e-18 / n, d)


def _dual(r: Floats, l1: float) -> Floats:
    """Excess of the dual bound at an angle r of at most arccos(l1/2) from the nearest direction."""
    more = l1 * np.sin(0.5 * r) ** 2 / np.cos(r)  # c - l1/2
    return np.asarray(more * (2.0 - l1 - more))


def _upper(n: float, d: int, l1: float) -> float:
    """Mean excess H of one latent at a time over random directions: integral of P(delta > r) dH."""
    silent = float(np.arccos(0.5 * l1))
    # P(delta > r) is below 1e-18 where n cap(r) exceeds 42, and 1 where it is below 1e-18.
    top = min(silent, cap_angle(min(42.0 / n, 1.0), d))
    low = min(_unseen(n, d), top)
    lost = 2.0 * np.sin(0.5 * low) ** 2
    r = 0.5 * (low + top) + 0.5 * (top - low) * _NODES
    missed = np.exp(n * np.log1p(-cap_fraction(r, d)))
    slope = 2.0 * np.sin(r) * (np.cos(r) - 0.5 * l1)
    return float(lost * (2.0 - l1 - lost) + 0.5 * (top - low) * _WEIGHTS @ (missed * slope))
