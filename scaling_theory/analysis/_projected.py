"""Directions of normal vectors: their moments, and the normal law that has given ones.

Normalising a vector shortens it most where it is longest, so directions of normal vectors are more
even than the vectors. A baseline drawn with the covariance of a decoder's directions would be too
even; :func:`fit` undoes that.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from scaling_theory._validate import Floats

#: Trapezoidal rule in y = ln t: integrands are analytic for |Im y| < pi/2 at least, so the step
#: costs exp(-pi^2/step), and they fall off at least as exp(y/2) and exp(-y/2) at its ends.
_STEP = 0.25
_T = np.exp(np.arange(-60.0, 60.0, _STEP))
#: Most rounds, each of which leaves about a fifth of the difference, and where they end.
_ROUNDS, _CLOSE = 200, 1e-7


class Projected(NamedTuple):
    """Normal vectors with these means and variances along the axes, and no correlation.

    Attributes
    ----------
    offset, variance : (d,) floats
        Such that the mean squared length is 1.
    mismatch : float
        Sum of the differences of the directions' mean squares from those that were wanted.
    """

    offset: Floats
    variance: Floats
    mismatch: float


def moments(offset: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Mean of x_i/|x| and of x_i^2/|x|^2 for independent normal x_i, each (d,).

    Notes
    -----
    From 1/r^2 = int exp(-t r^2) dt and 1/r = int exp(-t r^2) t^(-1/2) dt / sqrt(pi), and the mean
    of exp(-t x^2), (1 + 2 t v)^(-1/2) exp(-t m^2/(1 + 2 t v)), factor by factor. The mean squares
    add up to 1 exactly; in two dimensions or more all of it converges.
    """
    spread = 1.0 + 2.0 * _T[:, None] * variance
    log_product = -0.5 * np.log(spread).sum(1) - _T * (offset**2 / spread).sum(1)
    heard = log_product + 0.5 * np.log(_T) > -60.0
    t, spread, product = _T[heard], spread[heard], np.exp(log_product[heard])
    mean = (_STEP / math.sqrt(math.pi)) * ((product * np.sqrt(t)) @ (offset / spread))
    square = _STEP * ((product * t) @ (variance / spread + (offset / spread) ** 2))
    return mean, square


def fit(mean: Floats, square: Floats) -> Projected:
    """Find the normal law whose directions have these means and mean squares along the axes.

    Parameters
    ----------
    mean, square : (d,)
        mean^2 <= square; the squares add up to 1.
    """
    offset, variance = mean.copy(), np.clip(square - mean**2, 0.0, None)
    wanted = variance.copy()
    mismatch = math.inf
    for _ in range(_ROUNDS):
        m, s = moments(offset, variance)
        mismatch = float(np.abs(s - square).sum())
        if mismatch < _CLOSE and float(np.abs(m - mean).max()) < _CLOSE:
            break
        # Each variance and offset in proportion to what its direction lacks.
        variance = variance * _ratio(wanted, s - m**2)
        offset = offset * _ratio(mean, m)
        size = float(variance.sum() + offset @ offset)
        variance, offset = variance / size, offset / math.sqrt(size)
    return Projected(offset, variance, mismatch)


def _ratio(wanted: Floats, found: Floats) -> Floats:
    """Quotient; 1 where nothing is wanted of nothing, which stays nothing."""
    ok = (found != 0.0) & (wanted * found > 0.0)
    return np.asarray(np.divide(wanted, found, out=np.ones_like(found), where=ok))
