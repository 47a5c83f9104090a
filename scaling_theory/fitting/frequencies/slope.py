"""Slope of a rank-frequency curve between two ranks, with errors that know about ranking.

Ranked frequencies are not independent: each is the one below it plus something. Least squares on
logarithms takes their scatter for independent errors and states errors that are many times too
small. For frequencies drawn from f ~ rank^-s, the scaled spacings j ln(f_j / f_j+1) are independent
and exponential with mean s (Renyi, 1953). Everything here follows from that:

- :attr:`RankSlope.spacing_exponent` is the mean of the spacings: maximum likelihood for those
  ranks, with an exact interval (Hill's estimator, with the ranks above the first left out too).
- :attr:`RankSlope.slope` is least squares as one reads it off a plot: a weighted sum of spacings,
  so its error is known too. It is larger: the few first ranks weigh as much on a logarithmic axis
  as the many last ones. (For least squares on every rank from 1 to n, less 1/2,
  the same sum gives the s sqrt(2/n) of Gabaix and Ibragimov, 2011.)
- Spacings of stretches with different means say that the curve is bent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, final

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.fitting.frequencies._model import Interval

if TYPE_CHECKING:
    import pandas as pd

#: As in ``LatentFrequencies.slope``: what a slope means must not differ.
_POINTS = 401
_STRETCHES = 4


@final
@dataclass(frozen=True, eq=False)
class RankSlope:
    """Slope between two ranks.

    Attributes
    ----------
    slope : float
        d ln f / d ln rank by least squares over whole ranks evenly spaced in ln rank (up to 401).
    interval : (float, float)
        Of the law's slope -s, from ``slope``: its quantiles are those of a gamma distribution with
        the mean and variance of the sum of spacings.
    spacing_exponent : float
        s by maximum likelihood, positive.
    spacing_interval : (float, float)
        Of s, exact: spacings add up to a gamma distribution.
    p_straight : float
        p-value of the hypothesis that four stretches, equal in ln rank, have one slope
        (likelihood ratio, chi-square with 3 degrees of freedom); nan where a stretch is empty.
    stretches : DataFrame
        One row a stretch: first, last (ranks), slope (-s by maximum likelihood), low, high.
    """

    slope: float
    interval: Interval
    spacing_exponent: float
    spacing_interval: Interval
    p_straight: float
    stretches: pd.DataFrame


def rank_slope(frequencies: Floats, first: int, last: int, level: float) -> RankSlope:
    """Fit the slope of positive, decreasing frequencies between two ranks, 1 <= first < last."""
    logs = np.log(frequencies[first - 1 : last])
    ranks = grid(first, last)
    slope = least_squares(ranks, logs[ranks - first])
    mean, variance = spacing_weights(ranks, first, last)
    low, high = _gamma_interval(slope / mean, mean * mean / variance, level)
    spacings = np.arange(float(first), float(last)) * -np.diff(logs)
    own = float(spacings.mean())
    p_straight, stretches = _stretches(spacings, first, last, level)
    return RankSlope(
        slope=slope,
        interval=(-high, -low),
        spacing_exponent=own,
        spacing_interval=_gamma_interval(own, float(spacings.size), level),
        p_straight=p_straight,
        stretches=stretches,
    )


def grid(first: int, last: int) -> Ints:
    """Whole ranks evenly spaced in ln rank."""
    return np.unique(np.rint(np.geomspace(first, last, _POINTS)).astype(np.int64))


def least_squares(ranks: Ints, logs: Floats) -> float:
    """Slope of logs against ln rank; exactly 0 for a flat curve."""
    if logs[0] == logs[-1]:
        return 0.0
    x = np.log(ranks)
    x = x - x.mean()
    return float((x * (logs - logs.mean())).sum() / (x * x).sum())


def spacing_weights(ranks: Ints, first: int, last: int) -> tuple[float, float]:
    """Mean and variance, for s = 1, of the least-squares slope over ``ranks``.

    ln f_r - ln f_last is the sum of E_j / j over j from r to last - 1, with E_j exponential and
    independent; so the slope is the sum over j of E_j / j times the weights of all ranks up to j.
    The mean is -1 but for terms of the order of one over the number of ranks.
    """
    x = np.log(ranks)
    x = x - x.mean()
    weights = np.zeros(last - first + 1)
    weights[ranks - first] = x / (x * x).sum()
    shares = np.cumsum(weights)[:-1] / np.arange(first, last)
    return float(shares.sum()), float((shares * shares).sum())


def _gamma_interval(estimate: float, shape: float, level: float) -> Interval:
    """Interval of a scale whose estimate is gamma distributed around it, with that shape."""
    from scipy.special import gammaincinv

    high, low = gammaincinv(shape, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return estimate * shape / float(low), estimate * shape / float(high)


def _stretches(spacings: Floats, first: int, last: int, level: float) -> tuple[float, pd.DataFrame]:
    import pandas as pd
    from scipy.special import chdtrc

    ends = np.unique(np.rint(np.geomspace(first, last, _STRETCHES + 1)).astype(np.int64))
    pairs = list(pairwise(ends.tolist()))
    parts = [spacings[a - first : b - first] for a, b in pairs]
    means = [float(part.mean()) for part in parts]
    rows = []
    for (a, b), part, mean in zip(pairs, parts, means, strict=True):
        low, high = _gamma_interval(mean, float(part.size), level)
        rows.append({"first": a, "last": b, "slope": -mean, "low": -high, "high": -low})
    table = pd.DataFrame(rows)
    whole = float(spacings.mean())
    if len(parts) < 2 or whole == 0.0:
        return math.nan, table
    if min(means) == 0.0:
        return 0.0, table
    ratio = 2.0 * sum(part.size * math.log(whole / m) for part, m in zip(parts, means, strict=True))
    return float(chdtrc(len(parts) - 1.0, max(ratio, 0.0))), table
