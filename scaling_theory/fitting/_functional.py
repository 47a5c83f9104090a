"""Intervals of what depends on a law: its value, or its local slope, at some n.

The best law for each value v of a function g(theta) is the minimum of cost(theta) + penalty of
g(theta) - v. Whatever the penalty, that law is the best of all that share its own g(theta), so
(g, cost) is a point on the profile of g: the penalty is one more point to fit, strong enough to
keep g near v, and never too stiff for the descent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting._descent import descend
from scaling_theory.fitting._problem import AMPLITUDE, EXPONENT, FLOOR, Problem, bounds, surface
from scaling_theory.fitting._profile import Interval, interval, unroofed

_STARTS = 3
_ON_BOUND = 0.95  # from this part of its bound on, an exponent gives the same points to 1e-14
#: How much stiffer than the points together the added one is: more where that leaves it behind.
_STRENGTHS = (10.0, 300.0, 10_000.0)


@dataclass(frozen=True)
class LogValue:
    """The logarithm of the law at t = ``at``."""

    at: float

    def __call__(self, theta: Floats) -> Floats:
        """Return the values at laws (..., 3): (...)."""
        value, _ = _parts(theta, self.at)
        return value

    def slopes(self, theta: Floats) -> Floats:
        """Return the derivatives by theta, (..., 3)."""
        value, share = _parts(theta, self.at)
        return np.stack([share, -self.at * share, np.exp(np.minimum(-value, 150.0))], axis=-1)


@dataclass(frozen=True)
class LocalSlope:
    """-d ln(law) / d ln(n) at t = ``at``: the exponent times the power term's share of the law."""

    at: float

    def __call__(self, theta: Floats) -> Floats:
        """Return the values at laws (..., 3): (...)."""
        _, share = _parts(theta, self.at)
        return np.asarray(theta[..., EXPONENT] * share)

    def slopes(self, theta: Floats) -> Floats:
        """Return the derivatives by theta, (..., 3)."""
        value, share = _parts(theta, self.at)
        exponent = theta[..., EXPONENT]
        change = exponent * share * (1.0 - share)
        floor = -exponent * share * np.exp(np.minimum(-value, 150.0))
        return np.stack([change, share - self.at * change, floor], axis=-1)


Functional = LogValue | LocalSlope


def functional_interval(
    problem: Problem,
    theta: Floats,
    functional: Functional,
    limit: float,
) -> Interval:
    """Return the hull of the functional's values at laws that pass.

    Parameters
    ----------
    problem : Problem
        As :func:`unroofed` gives it.
    theta : (3,) floats
        The law of least cost, under the bound on its floor if there was one.
    limit : float
        The cost up to which laws pass.

    Returns
    -------
    (float, float)
        Infinite where the laws that pass go as far as the bounds of the parameters.
    """
    low, high = bounds(problem)
    free = (AMPLITUDE, EXPONENT) if problem.floor is not None else (AMPLITUDE, EXPONENT, FLOOR)
    strength = _strength(problem, theta, functional)
    grid = np.concatenate([surface(problem).reshape(-1, 3), theta[None, :]])
    costs, values = problem.cost(grid), functional(grid)

    def solve(targets: Floats, near: Floats, shapes: bool) -> tuple[Floats, Floats]:
        starts = np.broadcast_to(near, (targets.size, *near.shape[-2:]))
        if shapes:
            misfit = costs + (strength * (values - targets[:, None])) ** 2
            best = np.argpartition(misfit, _STARTS, axis=1)[:, :_STARTS]
            starts = np.concatenate([starts, grid[best]], axis=1)
        found = starts[:, 0].copy()
        rows = np.arange(targets.size)
        for stiffer in _STRENGTHS:
            model = _Pinned(problem, functional, strength * stiffer)
            found[rows] = _best(model, targets[rows], starts[rows], free, low, high)
            behind = np.abs(functional(found) - targets) > 0.1 * np.abs(targets - middle)
            rows = np.flatnonzero(behind)
            if rows.size == 0:
                break
        # what is still behind: no law of those within the bounds has a value near v
        return found, np.where(behind, np.inf, problem.cost(found))

    middle = float(functional(theta))
    if isinstance(functional, LogValue):
        slack = math.log(unroofed(problem, limit).roof / float(problem.y.max())) + 5.0
        reach = min(float(values.min()), middle) - slack, max(float(values.max()), middle) + slack
    else:
        reach = float(low[EXPONENT]), float(high[EXPONENT])
    ends = interval(problem, solve, middle, theta, limit, reach)
    laws, _ = solve(np.array(ends), theta[None, :], True)
    bottom, top = (float(value) for value in functional(laws))
    below, above = _open(problem, functional, laws)
    if below and isinstance(functional, LogValue):  # the power term is gone
        bottom = math.log(laws[0, FLOOR]) if laws[0, FLOOR] > 0.0 else -math.inf
    elif below:
        bottom = -math.inf
    return bottom, math.inf if above else top


def _open(problem: Problem, functional: Functional, laws: Floats) -> tuple[bool, bool]:
    """Return whether the functional goes on below and above laws (2, 3) at its two ends.

    It does where the law's exponent is on its bound: whatever lies beyond is the same law at the
    points, but not elsewhere.
    """
    low, high = bounds(problem)
    first, last, at = float(problem.t.min()), float(problem.t.max()), functional.at
    falls = laws[:, EXPONENT] >= high[EXPONENT] * _ON_BOUND
    rises = (laws[:, EXPONENT] <= low[EXPONENT] * _ON_BOUND) & (low[EXPONENT] < 0.0)
    if isinstance(functional, LogValue):
        roofed = problem.floor is None and laws[1, FLOOR] >= high[FLOOR]
        below = (falls[0] and at > first) or (rises[0] and at < last)
        above = (falls[1] and at < first) or (rises[1] and at > last) or roofed
    else:
        bare = laws[:, FLOOR] == 0.0
        below = rises[0] and (bare[0] or at >= last)
        above = falls[1] and (bare[1] or at <= first)
    return bool(below), bool(above)


def _best(
    model: _Pinned,
    targets: Floats,
    starts: Floats,
    free: tuple[int, ...],
    low: Floats,
    high: Floats,
) -> Floats:
    """Return the best of the laws reached from the starts (v, r, 3) for each target: (v, 3)."""
    m = model.problem.t.size
    z = np.empty((*starts.shape[:2], m + 1))
    z[..., :m] = model.problem.z
    z[..., m] = model.strength * targets[:, None]
    laws, total = descend(model, starts.reshape(-1, 3), free, low, high, z=z.reshape(-1, m + 1))
    best = np.argmin(total.reshape(starts.shape[:2]), axis=1)
    return np.asarray(laws.reshape(starts.shape)[np.arange(targets.size), best])


def _strength(problem: Problem, theta: Floats, functional: Functional) -> float:
    """Return how steep a point would be that says of the functional as much as all points do.

    In the linear model at theta, they hold it like one point with an error of
    sqrt(g^T (J^T J)^-1 g), g the functional's derivatives.
    """
    used = slice(problem.parameters)
    inverse = np.linalg.pinv(problem.jacobian(theta)[1][:, used], rcond=1e-8)
    error = float(np.linalg.norm(functional.slopes(theta)[used] @ inverse))
    return 1.0 / error if error > 0.0 else 1.0


@dataclass(frozen=True)
class _Pinned:
    """A problem with one more point: the functional, ``strength`` times as steep."""

    problem: Problem
    functional: Functional
    strength: float

    @property
    def z(self) -> Floats:
        return np.append(self.problem.z, 0.0)

    @property
    def huber(self) -> Floats | None:
        if self.problem.huber is None:
            return None
        # the added point is squared whatever its distance, so that it always prevails
        return np.append(np.full(self.problem.t.size, self.problem.huber), np.inf)

    @property
    def rounding(self) -> float:
        return self.problem.rounding

    def predict(self, theta: Floats) -> Floats:
        return np.concatenate(
            [self.problem.predict(theta), self.strength * self.functional(theta)[..., None]],
            axis=-1,
        )

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        value, slopes = self.problem.jacobian(theta)
        more = self.strength * self.functional(theta)[..., None]
        steeper = self.strength * self.functional.slopes(theta)[..., None, :]
        return np.concatenate([value, more], axis=-1), np.concatenate([slopes, steeper], axis=-2)


def _parts(theta: Floats, at: float) -> tuple[Floats, Floats]:
    """Return the logarithm of the law at t = ``at`` and the power term's share of it."""
    power = theta[..., AMPLITUDE] - theta[..., EXPONENT] * at
    with np.errstate(divide="ignore"):
        value = np.logaddexp(power, np.log(theta[..., FLOOR]))
    return value, np.exp(power - value)
