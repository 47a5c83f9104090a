"""Limits for large N: regime, exponents and leading constants, for any groups of features.

With weights w_i = p_i magnitude_i, c the normaliser times the magnitude of a group that holds a
share of all ranks, and b the smallest exponent of all curves:

- benign, b > alpha: N = S price^(-1/(1+alpha)) with S = sum over groups and latents n of
  share (c m(n))^(1/(1+alpha)); excess = S^(1+alpha)/alpha N^-alpha;
- pathological, b < alpha: N = T price^(-1/(1+b)) with T = sum over the features with exponent b of
  (a b w_i)^(1/(1+b)); excess = T^(1+b)/b N^-b;
- critical, b = alpha on a share of all ranks: with K = sum over those groups of
  share (c a alpha)^(1/(1+alpha)), excess = K^(1+alpha)/alpha N^-alpha (ln N)^(1+alpha).

In each, D = sum over groups of share (c m(1) / price)^(1/(1+alpha)). For one group these are the
familiar ones: (c m(1)/alpha) S^(1+alpha) and a c zeta(gamma)^(1+beta). Exponents:
Michaud, Gorton and McGrath (2025), B.3 and B.4; constants, mixtures and the critical case: derived
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.curves import ExponentialCurve, LossCurve
from scaling_theory.frequencies import ShiftedPower
from scaling_theory.groups import ListedBlock
from scaling_theory.population import Population
from scaling_theory.theory.laws.level_sums import level_set_sum

Regime = Literal["benign", "critical", "pathological"]

#: Logarithm of the n at which the power tail of a listed feature is read off, and of its excess.
_FAR, _LEAST = math.log(1e15), 500.0


@final
@dataclass(frozen=True, eq=False)
class Many:
    """A share of all ranks of a law, with one curve.

    Attributes
    ----------
    share
        Fraction of the ranks.
    scale
        Normaliser of the frequencies times the magnitude.
    curve
        Shared curve.
    power_sum
        s -> sum of (i + offset)^-s over the ranks.
    regular_count
        What the number of ranks with i + offset <= y exceeds share y by, on average: the sum of
        (i + offset)^0, continued analytically; -1/2 - offset for all ranks.
    begins
        The rank after which its ranks come, with the offset added.
    """

    share: float
    scale: float
    curve: LossCurve
    power_sum: Callable[[float], float]
    regular_count: float
    begins: float


@final
@dataclass(frozen=True, eq=False)
class Few:
    """Features listed one by one: weights of shape (k,), and their curve."""

    weights: Floats
    curve: LossCurve


class Limits(NamedTuple):
    """Regime, exponents and leading constants; nan where there is no power law."""

    regime: Regime
    beta: float
    loss_exponent: float
    discovery_exponent: float
    loss_constant: float
    discovery_constant: float


def same_exponent(alpha: float, beta: float) -> bool:
    """Whether beta counts as alpha: the critical case, to rounding."""
    return math.isclose(alpha, beta, rel_tol=1e-12)


def regime_of(alpha: float, beta: float) -> Regime:
    """Regime of one shared curve."""
    if same_exponent(alpha, beta):
        return "critical"
    return "benign" if beta > alpha else "pathological"


def members_of(population: Population) -> list[Many | Few]:
    """What the limits depend on, of each block of a population over a power law."""
    out: list[Many | Few] = []
    for block in population.blocks:
        if isinstance(block, ListedBlock):
            out.append(Few(block.weights, block.curve))
        else:
            scale, tail = block.law.normaliser * block.magnitude, block.ranks
            power_sum = partial(tail.power_sum, offset=block.law.shift)
            count = tail.regular_count - tail.share * block.law.shift
            begins = tail.start + block.law.shift
            out.append(Many(tail.share, scale, block.curve, power_sum, count, begins))
    return out


def limits(law: ShiftedPower, members: Sequence[Many | Few]) -> Limits:
    """State the limits for frequencies with one exponent alpha."""
    alpha = law.alpha
    many = [m for m in members if isinstance(m, Many)]
    beta = min(float(np.min(m.curve.tail_exponent)) for m in members)
    power = 1.0 / (1.0 + alpha)
    # Powers of 1/(1+alpha) are taken relative to the largest first gain: near -1 they underflow.
    unit = max((m.scale * _first_gain(m.curve) for m in many), default=1.0)
    found = sum(m.share * (m.scale * _first_gain(m.curve) / unit) ** power for m in many)
    at_edge = same_exponent(alpha, beta)
    if beta < alpha and not at_edge:
        t = sum(tiling_sum(m, alpha, beta) for m in members) ** (1.0 + beta)
        constants = t / beta, found * (unit / t) ** power
        return Limits("pathological", beta, beta, (1.0 + beta) * power, *constants)
    logs = [m for m in many if at_edge and same_exponent(alpha, float(m.curve.tail_exponent))]
    if logs:
        k = sum(m.share * (m.scale * _tail_scale(m.curve) * alpha / unit) ** power for m in logs)
        constants = unit * k ** (1.0 + alpha) / alpha, found / k
        return Limits("critical", beta, alpha, 1.0, *constants)
    if not many:
        return Limits("benign", beta, alpha if alpha > 0.0 else math.nan, 1.0, math.nan, math.nan)
    s = discovery_sum(alpha, members, unit)
    if at_edge:  # single features that keep up with the discovery of the others
        s += sum(tiling_sum(m, alpha, beta) for m in members if isinstance(m, Few)) * unit**-power
    if alpha <= 0.0:
        return Limits("benign", beta, math.nan, 1.0, math.nan, found / s)
    return Limits("benign", beta, alpha, 1.0, unit * s ** (1.0 + alpha) / alpha, found / s)


def discovery_sum(alpha: float, members: Sequence[Many | Few], unit: float = 1.0) -> float:
    """S: sum over groups and latents of share (c m(n)/unit)^(1/(1+alpha)), beyond its pole too.

    Features listed one by one add nothing to it.
    """
    return sum(
        m.share
        * math.pow(m.scale * _first_gain(m.curve) / unit, 1.0 / (1.0 + alpha))
        * level_set_sum(m.curve, alpha)
        for m in members
        if isinstance(m, Many)
    )


def tiling_sum(members: Many | Few, alpha: float, beta: float) -> float:
    """Sum of (a beta w_i)^(1/(1+beta)) over the features whose curve has the exponent beta."""
    curve, power = members.curve, 1.0 / (1.0 + beta)
    if isinstance(members, Many):
        if not same_exponent(beta, float(curve.tail_exponent)):
            return 0.0
        z = members.power_sum((1.0 + alpha) * power)
        return float((members.scale * _tail_scale(curve) * beta) ** power * z)
    exponents = np.broadcast_to(np.asarray(curve.tail_exponent), members.weights.shape)
    some = np.flatnonzero(np.isclose(exponents, beta, rtol=1e-12, atol=0.0))
    if not some.size:
        return 0.0
    far = min(_FAR, _LEAST / beta)
    scale = curve.take(some).excess(np.full(some.size, math.exp(far))) * math.exp(far * beta)
    return float(((scale * beta * members.weights[some]) ** power).sum())


def begun(members: Many | Few, log_price: Floats, alpha: float) -> Floats:
    """Whether the first ranks are found at a price, so that the regular count means something."""
    if isinstance(members, Few):
        return np.ones(log_price.shape, dtype=bool)
    first = math.log(members.scale * _first_gain(members.curve))
    lowest = first - (1.0 + alpha) * math.log(members.begins + 1.0)
    return np.asarray(log_price < lowest)


def constant_of(members: Many | Few) -> float:
    """Latents that do not depend on the price, to leading order.

    Whole latents of a power tail are kappa (i + offset)^-gamma - shift each, those of a curve that
    ends its end. Summed over infinitely many ranks, these constants multiply their regular count.
    """
    curve = members.curve
    if isinstance(members, Few):
        if curve.power_tail is not None:
            return -curve.power_tail[2] * members.weights.size
        return float(np.sum(_end(curve, members.weights.size)))
    if curve.power_tail is not None:
        return -curve.power_tail[2] * members.regular_count
    if isinstance(curve, ExponentialCurve):
        return 0.0  # of order ln N
    return float(_end(curve, 1)[0]) * members.regular_count


def _end(curve: LossCurve, size: int) -> Floats:
    """Latents after which nothing is gained, at most 1e15."""
    gain = np.broadcast_to(curve.envelope_gain(np.ones(curve.size or 1)) * 1e-290, (size,))
    return np.asarray(np.minimum(curve.count_at(np.ones(size), 1.0, gain=gain.copy()), 1e15))


def _first_gain(curve: LossCurve) -> float:
    return float(curve.envelope_gain(np.ones(1))[0])


def _tail_scale(curve: LossCurve) -> float:
    assert curve.power_tail is not None  # a finite exponent
    return curve.power_tail[0]
