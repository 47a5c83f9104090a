"""How near the nearest neighbour is among directions that have nothing to do with each other.

- :class:`RandomDirections`: independent directions spread evenly over the sphere; closed form.
- :class:`SampledDirections`: what a simulation drew; for directions that prefer some dimensions
  (:func:`~scaling_theory.analysis.anisotropic.anisotropic_directions`).

Both answer the same questions (``cdf``, ``survival``, ``quantile``, ``mean``), for the cosine with
the nearest other direction and, with ``second=True``, with the second nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._repr import compact
from scaling_theory._validate import Floats

#: Most directions, and largest dimension, that are taken.
MAX_COUNT, MAX_DIMENSION = 10**12, 10**6

#: Nodes of the trapezoidal rule for the mean, in y = ln(-ln cdf).
_NODES = np.arange(-42.0, 4.5, 0.05)


@final
@dataclass(frozen=True)
class RandomDirections:
    """Independent directions, each spread evenly over the sphere of R^d.

    Parameters
    ----------
    count
        Number n of directions, 2 to 1e12.
    dimension
        Dimension d of the space, 2 to 1e6.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Derived here. Given one direction, the cosines with the n - 1 others are independent, and one of
    them exceeds c with probability T(c) = I_{1 - c^2}((d-1)/2, 1/2)/2 for c >= 0 and 1 - T(-c) for
    c < 0, I the regularised incomplete beta function. So the largest is at most c with probability
    (1 - T)^(n-1) exactly, and the second largest with (1 - T)^(n-2) (1 + (n-2) T). Rows of one set
    depend on each other (mutual neighbours), so a set's share above c scatters about this value
    more than independent draws would.

    Examples
    --------
    >>> RandomDirections(count=3, dimension=3).quantile(0.25)  # ((1 + c)/2)^2 in three dimensions
    array(0.)
    """

    count: int
    dimension: int

    def __post_init__(self) -> None:
        n = _validate.whole("count", self.count, low=2, high=MAX_COUNT)
        d = _validate.whole("dimension", self.dimension, low=2, high=MAX_DIMENSION)
        object.__setattr__(self, "count", n)
        object.__setattr__(self, "dimension", d)

    def cdf(self, cosine: Any, *, second: bool = False) -> Floats:
        """Probability that the nearest cosine is at most ``cosine`` (in [-1, 1], any shape).

        With ``second=True`` the second nearest, which there is from three directions on.
        """
        return np.exp(self._log_cdf(_cosines(cosine), second))

    def survival(self, cosine: Any, *, second: bool = False) -> Floats:
        """One minus :meth:`cdf`, to full relative precision where it is small."""
        c = _cosines(cosine)
        if not second:
            return np.asarray(-np.expm1(self._log_cdf(c, second)))
        from scipy.special import betainc

        # Two or more of n - 1 exceed c: a binomial tail.
        self._has_second()
        return np.asarray(betainc(2.0, self.count - 2.0, tail(c, self.dimension)))

    def quantile(self, probability: Any) -> Floats:
        """Nearest cosine that is not exceeded with ``probability``, in (0, 1); any shape."""
        p = np.asarray(probability)
        flat = _validate.reals(
            "probability", p.reshape(-1), low=0.0, high=1.0, low_open=True, high_open=True
        )
        return self._at(np.log(flat)).reshape(p.shape)

    def mean(self) -> float:
        """Mean nearest cosine."""
        # -(n-1) ln(1 - T) is exponential, t = e^y; the integrand is analytic and decays at least
        # as e^y on the left and exp(-e^y) on the right, so the trapezoidal rule converges
        # geometrically.
        weight = np.exp(_NODES - np.exp(_NODES))
        return float(np.sum(weight * self._at(-np.exp(_NODES))) / np.sum(weight))

    def sample(self, size: int, seed: int | np.random.Generator = 0) -> Floats:
        """Draw independent nearest cosines, shape (size,)."""
        size = _validate.whole("size", size, low=1)
        uniform = np.random.default_rng(seed).random(size)
        return self._at(np.log1p(-uniform))

    def _log_cdf(self, c: Floats, second: bool) -> Floats:
        above = tail(c, self.dimension)
        with np.errstate(divide="ignore"):
            # 1 - T(c) is T(-c), which is small itself for cosines near -1
            each = np.where(c > 0.0, np.log1p(-above), np.log(tail(-c, self.dimension)))
            if not second:
                return np.asarray((self.count - 1) * each)
            self._has_second()
            return np.asarray((self.count - 2) * each + np.log1p((self.count - 2) * above))

    def _has_second(self) -> None:
        if self.count < 3:
            raise ValueError(
                f"second must be False for a count of {self.count}: there is one other direction"
            )

    def _at(self, log_cdf: Floats) -> Floats:
        return inverse_tail(-np.expm1(log_cdf / (self.count - 1)), self.dimension)


@final
@dataclass(frozen=True, eq=False, repr=False)
class SampledDirections:
    """Nearest cosines that a simulation drew.

    Attributes
    ----------
    count, dimension
        Number of directions, and dimension of the space.
    cosine, second_cosine : (samples,) floats
        Cosine with the nearest and the second nearest of the others, each in ascending order.
    effective_dimension : float
        1/(mean squared cosine of two directions): the dimension in which evenly spread directions
        would have the same; inf for rows that keep apart, so that it is not above 0.
    mean_cosine : float
        Mean cosine of two directions: above 0 where they share an offset.
    shrinkage : float
        Share of the covariance, in [0, 1], that was replaced by an even one because the rows
        are too few to tell their scatter from a preference.
    mismatch : float
        Sum over the principal axes of the differences of the mean squares that were drawn from
        those that were wanted; below 1e-7 where the fit converged.
    """

    count: int
    dimension: int
    cosine: Floats
    second_cosine: Floats
    effective_dimension: float
    mean_cosine: float
    shrinkage: float
    mismatch: float

    def cdf(self, cosine: Any, *, second: bool = False) -> Floats:
        """Share of the samples that are at most ``cosine`` (in [-1, 1], any shape)."""
        values = self.second_cosine if second else self.cosine
        return np.asarray(np.searchsorted(values, _cosines(cosine), side="right") / values.size)

    def survival(self, cosine: Any, *, second: bool = False) -> Floats:
        """Share of the samples above ``cosine``."""
        values = self.second_cosine if second else self.cosine
        above = values.size - np.searchsorted(values, _cosines(cosine), side="right")
        return np.asarray(above / values.size)

    def quantile(self, probability: Any) -> Floats:
        """Sample quantile, for ``probability`` in (0, 1): linear between order statistics."""
        p = np.asarray(probability)
        flat = _validate.reals(
            "probability", p.reshape(-1), low=0.0, high=1.0, low_open=True, high_open=True
        )
        return np.asarray(np.quantile(self.cosine, flat)).reshape(p.shape)

    def mean(self) -> float:
        """Mean nearest cosine of the samples."""
        return float(self.cosine.mean())

    def __repr__(self) -> str:
        return compact(self)


Directions = RandomDirections | SampledDirections


def tail(cosine: Floats, dimension: int) -> Floats:
    """Probability T that two random directions of R^d have a cosine above ``cosine``.

    Parameters
    ----------
    cosine
        In [-1, 1], any shape.
    dimension
        At least 2.
    """
    from scipy.special import betainc, betaincc

    c, b = np.abs(cosine), 0.5 * (dimension - 1.0)
    # Each form has full precision where its argument, a square, has none of the other's rounding.
    near = 0.5 * betainc(b, 0.5, (1.0 - c) * (1.0 + c))
    small = 0.5 * np.where(c * c < 0.5, betaincc(0.5, b, c * c), 2.0 * near)
    return np.asarray(np.where(cosine >= 0.0, small, 1.0 - small))


def inverse_tail(probability: Floats, dimension: int) -> Floats:
    """Cosine that two random directions of R^d exceed with a probability in [0, 1]."""
    from scipy.special import betainccinv, betaincinv

    b = 0.5 * (dimension - 1.0)
    small = 2.0 * np.minimum(probability, 1.0 - probability)
    square = betainccinv(0.5, b, small)  # of the cosine
    other = betaincinv(b, 0.5, small)  # of the sine
    size = np.where(square < 0.5, np.sqrt(square), np.sqrt(1.0 - np.minimum(other, 1.0)))
    return np.asarray(np.where(probability <= 0.5, size, -size))


def _cosines(values: Any) -> Floats:
    array = np.asarray(values)
    flat = _validate.reals("cosine", array.reshape(-1), low=-1.0, high=1.0)
    return flat.reshape(array.shape)


def ks_distance(values: Floats, directions: Directions) -> float:
    """Largest difference between the cdf of ascending ``values`` and that of ``directions``."""
    if isinstance(directions, RandomDirections):
        law = directions.cdf(np.clip(values, -1.0, 1.0))
        steps = np.arange(values.size + 1) / values.size
        return float(max((steps[1:] - law).max(), (law - steps[:-1]).max()))
    at = np.concatenate([values, directions.cosine])
    own = np.searchsorted(values, at, side="right") / values.size
    return float(np.abs(own - directions.cdf(at)).max())
