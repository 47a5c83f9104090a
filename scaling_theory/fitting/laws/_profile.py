"""Profile intervals: all values of one parameter that some law holding it fits well enough.

A value passes where the least objective over the other parameters is at most Q + tau F / 2, with
Q the least of all, F the quantile of the F distribution with (1, nu) degrees of freedom, nu =
points - parameters, and tau the scale of the objective. For squares tau = RSS / nu, which is the
usual region (Bates and Watts, Nonlinear Regression Analysis and Its Applications, 1988, chapter
6). For Huber's objective tau = E psi^2 / E psi', by which twice the gain of a free parameter is
distributed as tau times chi-squared (Huber and Ronchetti, Robust Statistics, 2nd ed., 2009,
section 7.6, likelihood-ratio-type tests).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._descent import descend
from scaling_theory.fitting.laws._problem import Problem, Sheared

_ROUNDS = 30
_AROUND = np.array([-0.1, -1e-2, -1e-4, -1e-6, 0.0, 1e-6, 1e-4, 1e-2, 0.1])
_FAR = 300.0  # how far a coordinate without a bound is followed

Interval = tuple[float, float]


class Spread(NamedTuple):
    """Scale of the objective: tau, and the residual variance of the linearised covariance."""

    tau: float
    variance: float


def spread(problem: Problem, residuals: Floats) -> Spread:
    """Estimate E psi^2 / E psi' and E psi^2 / (E psi')^2 from residuals.

    E psi' is the share of residuals within delta. Where too few lie there to count, it is taken
    from a wider window, as if the density were level: p residuals of a fit can be exactly 0.
    """
    m, p = residuals.size, problem.parameters
    psi = problem.influence(residuals)
    square = max(float(psi @ psi), 2.0 * problem.rounding) / (m - p)
    share = 1.0
    if math.isfinite(problem.huber):
        size = np.sort(np.abs(residuals))
        if size[-1] > problem.huber:
            window = max(problem.huber, float(size[min(p + math.isqrt(m), m - 1)]))
            inside = int(np.searchsorted(size, window, side="right"))
            share = problem.huber / window * max(inside - p, 1) / (m - p)
    return Spread(square / share, square / share**2)


def threshold(problem: Problem, least: float, tau: float, level: float) -> float:
    """Return the objective up to which values pass, ``least`` being the least."""
    from scipy.special import stdtrit

    nu = problem.y.size - problem.parameters
    f = float(stdtrit(nu, 0.5 * (1.0 + level))) ** 2  # F(1, nu) is the square of Student's t
    return max(least, problem.rounding) + 0.5 * tau * f


def unroofed(problem: Problem, limit: float) -> Problem:
    """Return the problem with the floor free up to where no law passes the limit.

    The smallest loss is a bound for the estimate only: noise may put a loss below the floor.
    """
    if not problem.floored:
        return problem
    slack = math.sqrt(2.0 * limit)
    if math.isfinite(problem.huber):
        slack = max(slack, limit / problem.huber + 0.5 * problem.huber)
    top = float(problem.y.max())
    if problem.root_weight is None:
        roof = top * math.exp(min(slack, 300.0))
    else:
        roof = top + slack / float(problem.root_weight.min())
    return replace(problem, high=np.append(problem.high[:-1], roof))


def interval(
    problem: Problem, laws: Floats, limit: float, index: int, row: Floats
) -> tuple[float, float]:
    """Return the ends between which a linear function of theta passes; -inf, inf where open.

    Parameters
    ----------
    problem : Problem
        As :func:`unroofed` gives it.
    laws : (r, p) floats
        The best law first, then others of many shapes.
    limit : float
        The objective up to which values pass.
    index : int
        The coordinate that makes room for the function.
    row : (p,) floats
        The function: its value is row @ theta. One at ``index``.
    """
    other = row.copy()
    other[index] = 0.0
    if other.any():
        to = np.eye(row.size)
        to[index] -= other
        q = row.size - int(problem.floored)
        model = Sheared(problem.model, to[:q, :q])
        low, high = problem.low.copy(), problem.high.copy()
        low[index], high[index] = -math.inf, math.inf
        problem = replace(problem, model=model, low=low, high=high)
        laws = laws.copy()
        laws[:, index] = laws @ row
    return _interval(problem, laws, limit, index)


def _interval(problem: Problem, laws: Floats, limit: float, index: int) -> Interval:
    """Scan each side from the estimate to the bound, and enclose the outermost crossing."""
    middle = float(laws[0, index])
    bounds = np.array([problem.low[index], problem.high[index]])
    far = np.where(np.isfinite(bounds), bounds, middle + np.array([-_FAR, _FAR]))
    steps = np.append(np.geomspace(1e-6, 0.5, 18), 1.0)
    sides = middle + (far - middle)[:, None] * steps
    sides[:, -1] = far
    best, value = _profiled(problem, index, sides, laws, limit)
    passes = np.insert(value <= limit, 0, True, axis=1)
    sides = np.insert(sides, 0, middle, axis=1)
    best = np.insert(best, 0, laws[0], axis=1)
    last = sides.shape[1] - 1 - np.argmax(passes[:, ::-1], axis=1)
    ends = np.where(np.isfinite(bounds), bounds, np.array([-math.inf, math.inf]))
    crossed = np.flatnonzero((last < sides.shape[1] - 1) & (far != middle))
    if crossed.size:
        at = np.stack([last, last + 1], axis=1)[crossed]
        rows = crossed[:, None]
        least = float(problem.objective(laws[:1])[0])
        ends[crossed] = _enclose(problem, index, limit, least, sides[rows, at], best[rows, at])
    return float(ends[0]), float(ends[1])


def _profiled(
    problem: Problem, index: int, values: Floats, laws: Floats, limit: float
) -> tuple[Floats, Floats]:
    """Return the best laws at each of ``values`` (2, v), and their objectives, best or passing.

    Starts are the law of the estimate, the best other shape at that value, and then the laws found
    at neighbouring values, so that a good shape spreads along the profile.
    """
    sides, steps = values.shape
    flat = values.reshape(-1)
    near = np.broadcast_to(laws[0], (flat.size, 1, laws.shape[1])).copy()
    near[:, :, index] = flat[:, None]
    starts = near
    if laws.shape[0] > 1:
        shapes = np.broadcast_to(laws[1:], (flat.size, *laws[1:].shape)).copy()
        shapes[:, :, index] = flat[:, None]
        rough = problem.objective(shapes.reshape(-1, laws.shape[1]))
        rough = rough.reshape(flat.size, laws.shape[0] - 1)
        few = min(8, laws.shape[0] - 1)
        pick = np.argpartition(rough, few - 1, axis=1)[:, :few]
        starts = np.concatenate([near, np.take_along_axis(shapes, pick[..., None], 1)], axis=1)
    best, value = _lowest(problem, index, starts, limit, steps=20)
    for _ in range(2):
        line = best.reshape(sides, steps, -1)
        before, after = np.roll(line, 1, axis=1), np.roll(line, -1, axis=1)
        before[:, 0], after[:, -1] = laws[0], line[:, -1]
        starts = np.stack([line, before, after], axis=2).reshape(flat.size, 3, -1)
        starts[:, :, index] = flat[:, None]
        best, value = _lowest(problem, index, starts, limit)
    return best.reshape(sides, steps, -1), value.reshape(sides, steps)


def _lowest(
    problem: Problem, index: int, starts: Floats, enough: float = 0.0, steps: int = 60
) -> tuple[Floats, Floats]:
    """Take the starts (v, r, p) down with one coordinate held; return the lowest of each v.

    Those that reach ``enough`` may stop.
    """
    held = np.arange(problem.parameters) == index
    low, high = problem.low.copy(), problem.high.copy()
    low[index], high[index] = -math.inf, math.inf
    laws, value = descend(
        problem, starts.reshape(-1, starts.shape[2]), held, low, high, steps=steps, enough=enough
    )
    value = value.reshape(starts.shape[:2])
    best = np.argmin(value, axis=1)
    rows = np.arange(starts.shape[0])
    return laws.reshape(starts.shape)[rows, best], value[rows, best]


def _enclose(
    problem: Problem, index: int, limit: float, least: float, ends: Floats, laws: Floats
) -> Floats:
    """Return where the profile crosses the limit, in brackets (b, 2) that pass and fail.

    The square root of the objective above its least is close to linear in the parameter, so
    values are tried at and around where its chord crosses.
    """

    def root(value: Floats) -> Floats:
        return np.sqrt(np.maximum(value - least, 0.0))

    level = math.sqrt(max(limit - least, 0.0))
    height = root(problem.objective(laws.reshape(-1, laws.shape[2])).reshape(ends.shape))
    rows = np.arange(ends.shape[0])[:, None]
    for _ in range(_ROUNDS):
        width = ends[:, 1:] - ends[:, :1]
        if (np.abs(width) <= 1e-8 * np.abs(ends[:, 1:]) + 1e-14).all():
            break
        with np.errstate(invalid="ignore"):
            rise = np.maximum(height[:, 1:] - height[:, :1], 1e-300)
            chord = np.clip(np.nan_to_num((level - height[:, :1]) / rise), 0.0, 1.0)
        parts = np.concatenate([chord + _AROUND, np.full_like(chord, 0.5)], axis=1)
        parts = np.sort(np.clip(parts, 1e-10, 1.0 - 1e-10), axis=1)
        values = ends[:, :1] + width * parts
        starts = np.repeat(laws, parts.shape[1], axis=0)
        starts[:, :, index] = values.reshape(-1, 1)
        tried, value = _lowest(problem, index, starts)
        value = value.reshape(parts.shape)
        fails = np.append(value > limit, np.ones_like(rows, dtype=bool), axis=1)
        pick = np.argmax(fails, axis=1)[:, None] + [0, 1]
        values = np.concatenate([ends[:, :1], values, ends[:, 1:]], axis=1)
        every = np.concatenate([laws[:, :1], tried.reshape(*parts.shape, -1), laws[:, 1:]], axis=1)
        heights = np.concatenate([height[:, :1], root(value), height[:, 1:]], axis=1)
        ends, laws, height = values[rows, pick], every[rows, pick], heights[rows, pick]
    middle: Floats = ends.mean(axis=1)
    return middle
