"""How well the squared norm of a sum of features is predicted linearly from the sum.

For x = sum_i w_i y_i with orthonormal y_i and independent weights w_i >= 0, a linear probe a.x
sees b.w with b_i = a.y_i, and the squared norm is w.w. Which function to use:

- :func:`norm_correlation`: the correlation between b.w and w.w, one number;
- :func:`norm_probe`: the probe too, its coefficients b and intercept.

The weights are stated by :meth:`FeatureWeights.poisson`, :meth:`FeatureWeights.bernoulli`, or
:meth:`FeatureWeights.from_moments` for any other distribution.

The question and the first two cases are those of Engels et al. (2024), appendices B.1 and C.1. Some
lines differ from what is derived here (``derive("poisson_norms")``):

- Var(w^2) of a Poisson weight is 4 r^3 + 6 r^2 + r (printed with 6 r^3), and at r = 1 the variances
  of w.w and b.w are 11 and 4 per feature, so that rho = 6/sqrt(44) = 3/sqrt(11) = 0.9045 where
  6/sqrt(66) = 0.73 is printed.
- b_i = E w_i^2 / E w_i makes every term of b.w right on average. It is not a least-squares fit:
  with an intercept that is b_i = Cov(w_i, w_i^2) / Var(w_i), 2 r + 1 for Poisson weights. Equal
  rates give both the same correlation; unequal ones do not.
- Appendix B.1 describes the probe as the sum of y_i weighted by their averages E w_i; the b_i of
  C.1 are averages over activity, s_i for Bernoulli weights where E w_i = p_i s_i.

Their Eq. 15 prints the nonlinear error as SaeError(x) - b*, where b* x is meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Self, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats

#: "means": b_i = E w_i^2 / E w_i, no intercept; "least squares": with an intercept.
Fit = Literal["means", "least squares"]

#: Sizes of weights whose fourth powers, and sums of many, are floats.
_LARGEST = 1e60
#: Relative rounding that moments may carry.
_ROUNDING = Fraction(1, 10**14)


@final
@dataclass(frozen=True, eq=False)
class FeatureWeights:
    """What matters of independent weights w_i >= 0, one entry per feature, shape (k,) each.

    Made by one of the three constructors. The square of a weight is split into what is linear in
    the weight and what is not, w^2 = slope w + constant + rest, with the rest uncorrelated with w:
    sums over features are then sums of positive terms, and lose no digits.

    Attributes
    ----------
    mean, variance
        Of w_i.
    ratio
        E w_i^2 / E w_i.
    slope
        Cov(w_i, w_i^2) / Var(w_i).
    unexplained
        Variance of the rest, Var(w_i^2) - slope^2 Var(w_i); 0 for weights with two values.
    """

    mean: Floats
    variance: Floats
    ratio: Floats
    slope: Floats
    unexplained: Floats

    @classmethod
    def poisson(cls, rates: Any) -> Self:
        """Poisson weights: numbers of events at the given rates, each in (0, 1e60]; shape (k,)."""
        r = _validate.reals("rates", rates, low=0.0, low_open=True, high=_LARGEST)
        return cls(mean=r, variance=r, ratio=r + 1.0, slope=2.0 * r + 1.0, unexplained=2.0 * r * r)

    @classmethod
    def bernoulli(cls, probabilities: Any, scales: Any = 1.0) -> Self:
        """Scaled Bernoulli weights: s_i with probability p_i, else 0.

        Parameters
        ----------
        probabilities
            p_i in (0, 1], shape (k,).
        scales
            s_i in (0, 1e60], shape (k,) or one number for all.

        Notes
        -----
        w_i^2 = s_i w_i whatever happens, so that b_i = s_i is a perfect probe.
        """
        bounds: dict[str, Any] = {"low": 0.0, "low_open": True}
        p = _validate.reals("probabilities", probabilities, high=1.0, **bounds)
        if np.ndim(scales) == 0:
            scales = np.full(p.size, _validate.real("scales", scales, high=_LARGEST, **bounds))
        s = _validate.reals("scales", scales, high=_LARGEST, **bounds)
        if s.size != p.size:
            raise ValueError(
                f"scales must be one number, or one for each of {p.size} probabilities, "
                f"got {s.size}"
            )
        return cls(
            mean=p * s,
            variance=s * s * (p * (1.0 - p)),
            ratio=s,
            slope=s,
            unexplained=np.zeros(p.size),
        )

    @classmethod
    def from_moments(cls, first: Any, second: Any, third: Any, fourth: Any) -> Self:
        """Weights of any distribution, from their raw moments E w_i^k; shape (k,) each.

        The moments are taken as they are, in exact arithmetic, since variances are their small
        differences: give all the digits there are.

        Raises
        ------
        ValueError
            If the moments of a feature belong to no distribution, by more than their rounding.
        """
        named = {"first": first, "second": second, "third": third, "fourth": fourth}
        moments = [
            _validate.reals(name, values, low=0.0, low_open=True, high=_LARGEST**4)
            for name, values in named.items()
        ]
        sizes = [m.size for m in moments]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"first, second, third and fourth must have one value per feature each, "
                f"got {sizes} values"
            )
        rows = [_split([Fraction(float(m[j])) for m in moments], j) for j in range(sizes[0])]
        return cls(*(np.array(column) for column in zip(*rows, strict=True)))


@final
@dataclass(frozen=True, eq=False)
class NormProbe:
    """A linear probe of the squared norm.

    Attributes
    ----------
    coefficients
        b_i, shape (k,): the probe is the vector sum_i b_i y_i.
    intercept
        What is added to b.w; 0 without one.
    correlation
        Between b.w and w.w; with least squares its square is the explained share R^2.
    """

    coefficients: Floats
    intercept: float
    correlation: float


def norm_correlation(weights: FeatureWeights, fit: Fit = "means") -> float:
    """Correlation rho between the probe b.w and the squared norm w.w, as :func:`norm_probe`.

    >>> round(norm_correlation(FeatureWeights.poisson([1.0])), 4)
    0.9045
    """
    return norm_probe(weights, fit).correlation


def norm_probe(weights: FeatureWeights, fit: Fit = "means") -> NormProbe:
    """Linear probe of the squared norm of x = sum_i w_i y_i, for orthonormal y_i.

    Parameters
    ----------
    weights
        Independent weights w_i.
    fit
        "means" (default, as Engels et al. 2024): b_i = E w_i^2 / E w_i, no intercept.
        "least squares": the best linear fit, b_i = Cov(w_i, w_i^2) / Var(w_i), with an intercept.

    Returns
    -------
    NormProbe
        The correlation is exactly 1.0 for Bernoulli weights, and else right to rounding.

    Raises
    ------
    ValueError
        If no weight varies: then there is nothing to correlate.

    Notes
    -----
    Engels et al. (2024), appendix C.1. With v = Var w_i, u the unexplained part of Var w_i^2, and
    s the slope, all per feature: Var(w.w) = sum s^2 v + u, Cov(b.w, w.w) = sum b s v,
    Var(b.w) = sum b^2 v.
    """
    if not isinstance(weights, FeatureWeights):
        raise ValueError(f"weights must be FeatureWeights, got {weights!r}")
    if fit not in ("means", "least squares"):
        raise ValueError(f"fit must be 'means' or 'least squares', got {fit!r}")
    b = weights.ratio if fit == "means" else weights.slope
    explained = weights.slope * weights.slope * weights.variance
    of_norm = float((explained + weights.unexplained).sum())
    of_probe = float((b * b * weights.variance).sum())
    both = float((b * weights.slope * weights.variance).sum())
    if of_norm == 0.0 or of_probe == 0.0:
        raise ValueError("weights must vary: at least one of them must not be constant")
    # The quotient is 1 where the three sums are equal; and at most 1 but for its rounding.
    correlation = min(both / of_norm * math.sqrt(of_norm / of_probe), 1.0)
    second = weights.ratio * weights.mean
    intercept = 0.0 if fit == "means" else float((second - b * weights.mean).sum())
    return NormProbe(b, intercept, correlation)


def _split(moments: list[Fraction], feature: int) -> tuple[float, ...]:
    """(mean, variance, ratio, slope, unexplained) of one weight."""
    first, second, third, fourth = moments
    ratio, variance = second / first, second - first * first
    if abs(variance) <= _ROUNDING * second:  # a constant
        return float(first), 0.0, float(ratio), float(ratio), 0.0
    covariance = third - first * second
    slope = covariance / variance
    unexplained = fourth - second * second - slope * covariance
    # What relative errors of the moments can make of the last line, to first order.
    size = fourth + second * second + 2 * abs(slope) * (third + first * second)
    size += slope * slope * (second + first * first)
    if variance < 0 or unexplained < -_ROUNDING * size:
        stated = [float(moment) for moment in moments]
        raise ValueError(
            f"moments of feature {feature} must be those of a distribution, got {stated}"
        )
    parts = (first, variance, ratio, slope, max(unexplained, Fraction(0)))
    return tuple(float(part) for part in parts)
