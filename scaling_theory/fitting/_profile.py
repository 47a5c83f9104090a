"""Profile intervals: all values of one parameter that some law holding it fits well enough.

A value passes where the least cost over the other parameters is at most a limit, which
:mod:`._calibration` sets. For a sum of squares that is SSE_min * (1 + F/nu), with nu = m - p
degrees of freedom and F the quantile of the F distribution with (1, nu) (Bates and Watts,
Nonlinear Regression Analysis and Its Applications, 1988, chapter 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting._descent import descend
from scaling_theory.fitting._problem import (
    AMPLITUDE,
    EXPONENT,
    FLOOR,
    Problem,
    bounds,
    exponent_grid,
    floor_grid,
)

_ROUNDS = 30
_AROUND = np.array([-0.1, -1e-2, -1e-4, -1e-7, 0.0, 1e-7, 1e-4, 1e-2, 0.1])

Interval = tuple[float, float]

#: Takes values (v,), starts (r, 3) or (v, r, 3), and whether to try all shapes as starts too.
Solve = Callable[[Floats, Floats, bool], tuple[Floats, Floats]]


def unroofed(problem: Problem, limit: float) -> Problem:
    """Return the problem with the floor free up to where no law passes the limit.

    A law is above its floor everywhere, so its largest residual is at least the distance from
    the floor to the largest loss. (Or as far as floats go, for the widest of limits.)
    """
    slack = math.sqrt(limit)
    if problem.huber is not None and slack > problem.huber:
        slack = 0.5 * (limit / problem.huber + problem.huber)
    top = float(problem.y.max())
    if problem.root_weight is None:
        return replace(problem, roof=top * math.exp(min(slack, 300.0)))
    return replace(problem, roof=top + slack / float(problem.root_weight.min()))


def profile_intervals(
    problem: Problem, theta: Floats, limit: float, log_first: float
) -> dict[str, Interval]:
    """Return the intervals of the exponent, of the log of the scale (at n = 1), and of the floor.

    Parameters
    ----------
    problem : Problem
        As :func:`unroofed` gives it.
    theta : (3,) floats
        A law that passes: that of least cost.
    limit : float
        The cost up to which values pass.
    log_first : float
        log of the n at which the problem's t is 0, its smallest.
    """
    low, high = bounds(problem)

    def found(problem: Problem, index: int, theta: Floats, reach: Interval) -> Interval:
        solve = partial(profile, problem, index)
        return interval(problem, solve, float(theta[index]), theta, limit, reach)

    exponent = found(problem, EXPONENT, theta, (low[EXPONENT], high[EXPONENT]))
    floor = (low[FLOOR], high[FLOOR])
    if problem.floor is None:
        floor = found(problem, FLOOR, theta, floor)
        floor = (floor[0], math.inf if floor[1] >= high[FLOOR] else floor[1])

    # The scale is the amplitude of the same problem with t = log n.
    at_one = replace(problem, t=problem.t + log_first)
    start = theta.copy()
    start[AMPLITUDE] += theta[EXPONENT] * log_first
    reach = _scale_reach(at_one, exponent, limit)
    scale = found(at_one, AMPLITUDE, start, reach)

    # Beyond the bounds of the exponent nothing changes but the scale, which goes to 0 or inf.
    falls, rises = exponent[1] >= high[EXPONENT], exponent[0] <= low[EXPONENT] < 0.0
    log_last = log_first + float(problem.t.max())
    if (falls and log_first > 0.0) or (rises and log_last < 0.0) or scale[1] >= reach[1]:
        scale = (scale[0], math.inf)
    if (falls and log_first < 0.0) or (rises and log_last > 0.0) or scale[0] <= reach[0]:
        scale = (-math.inf, scale[1])
    exponent = (-math.inf if rises else exponent[0], math.inf if falls else exponent[1])
    return {"exponent": exponent, "log_scale": scale, "floor": floor}


def profile(
    problem: Problem, index: int, values: Floats, near: Floats, shapes: bool = True
) -> tuple[Floats, Floats]:
    """Return the best laws with ``theta[index]`` held at each of ``values``, and their cost.

    Parameters
    ----------
    values : (v,) floats
    near : (r, 3) or (v, r, 3) floats
        Laws known to be good, tried as starts.
    shapes : bool
        Whether to try laws of all shapes as starts too.
    """
    low, high = bounds(problem)
    if index == AMPLITUDE:
        high = np.where(np.arange(3) == EXPONENT, np.inf, high)
        low = np.where((np.arange(3) == EXPONENT) & (low < 0.0), -np.inf, low)
    starts = np.broadcast_to(near, (values.size, *near.shape[-2:])).copy()
    starts[:, :, index] = values[:, None]
    if shapes:
        grid = np.clip(_shapes(problem, index, values), low, high)
        best = np.argmin(problem.cost(grid), axis=1)
        starts = np.concatenate([starts, grid[np.arange(values.size), best][:, None]], axis=1)
    free = tuple(
        column
        for column in (AMPLITUDE, EXPONENT, FLOOR)
        if column != index and not (column == FLOOR and problem.floor is not None)
    )
    laws, costs = descend(problem, starts.reshape(-1, 3), free, low, high)
    laws, costs = laws.reshape(starts.shape), costs.reshape(starts.shape[:2])
    best = np.argmin(costs, axis=1)
    rows = np.arange(values.size)
    return laws[rows, best], costs[rows, best]


def _shapes(problem: Problem, index: int, values: Floats) -> Floats:
    """Spread laws over all shapes that have ``theta[index]`` at each value: (v, shapes, 3)."""
    held = values[:, None]
    if index == EXPONENT:
        return problem.levelled(held, floor_grid(problem)[None, :])
    if index == FLOOR:
        return problem.levelled(exponent_grid(problem)[None, :], held)
    # An amplitude and a floor leave the exponent: by regression through the amplitude, or so
    # that the law meets the first point.
    floors = floor_grid(problem)
    excess = np.log(np.maximum(problem.y - floors[:, None], 1e-6 * problem.y))
    slopes = [((held[..., None] - excess) @ problem.t) / (problem.t @ problem.t)]
    first = int(np.argmin(problem.t))
    if problem.t[first] != 0.0:
        slopes.append((held - excess[:, first]) / problem.t[first])
    exponents = np.concatenate(slopes, axis=1)
    shape = exponents.shape
    return np.stack(
        [
            np.broadcast_to(held, shape),
            exponents,
            np.broadcast_to(np.tile(floors, len(slopes)), shape),
        ],
        axis=-1,
    )


def interval(
    problem: Problem, solve: Solve, middle: float, theta: Floats, limit: float, reach: Interval
) -> Interval:
    """Return the least and the greatest value that pass; an end of ``reach`` that passes is it.

    Each side is scanned from the estimate to the end in growing steps, so that an outer part of
    a region in several parts is seen, and the outermost change from pass to fail is then enclosed.

    Parameters
    ----------
    solve : callable
        The best laws for given values, and their cost: :func:`profile` of a parameter, or what
        stands for it.
    middle : float
        The value at ``theta``, a law that passes.
    """
    ends = np.array(reach)
    values = middle + (ends - middle)[:, None] * np.append(np.geomspace(1e-6, 0.5, 22), 1.0)
    values[:, -1] = ends
    laws, costs = solve(values.reshape(-1), theta[None, :], True)
    # the estimate, which passes, comes first on either side
    passes = np.insert((costs <= limit).reshape(values.shape), 0, True, axis=1)
    values = np.insert(values, 0, middle, axis=1)
    laws = np.insert(laws.reshape(2, -1, 3), 0, theta, axis=1)
    last = values.shape[1] - 1 - np.argmax(passes[:, ::-1], axis=1)
    sides = np.flatnonzero((last < values.shape[1] - 1) & (ends != middle))
    if sides.size:
        at = np.stack([last, last + 1], axis=1)[sides]
        rows = sides[:, None]
        lowest = float(problem.cost(theta))
        ends[sides] = _enclose(problem, solve, limit, lowest, values[rows, at], laws[rows, at])
    return float(ends[0]), float(ends[1])


def _enclose(
    problem: Problem, solve: Solve, limit: float, lowest: float, ends: Floats, laws: Floats
) -> Floats:
    """Return where the profile crosses the limit, in each of several brackets.

    The square root of the cost's rise is close to linear in the parameter, so values are tried at
    and around where its chord crosses: a bracket shrinks to 1e-10 in a few rounds, and at
    least by half in each.

    Parameters
    ----------
    ends : (brackets, 2) floats
        A value that passes and one that fails.
    laws : (brackets, 2, 3) floats
        The best laws there.
    """

    def root(costs: Floats) -> Floats:
        return np.sqrt(np.maximum(costs - lowest, 0.0))

    level = math.sqrt(max(limit - lowest, 0.0))
    height = root(problem.cost(laws))
    rows = np.arange(ends.shape[0])[:, None]
    for _ in range(_ROUNDS):
        width = ends[:, 1:] - ends[:, :1]
        if (np.abs(width) <= 1e-10 * np.abs(ends[:, 1:])).all():
            break
        rise = np.maximum(height[:, 1:] - height[:, :1], 1e-300)
        chord = np.clip((level - height[:, :1]) / rise, 0.0, 1.0)
        parts = np.concatenate([chord + _AROUND, np.full_like(chord, 0.5)], axis=1)
        parts = np.sort(np.clip(parts, 1e-10, 1.0 - 1e-10), axis=1)
        values = ends[:, :1] + width * parts
        near = np.repeat(laws, parts.shape[1], axis=0)
        tried, costs = solve(values.reshape(-1), near, False)
        costs = costs.reshape(parts.shape)
        fails = np.append(costs > limit, np.ones_like(rows, dtype=bool), axis=1)
        pick = np.argmax(fails, axis=1)[:, None] + [0, 1]
        values = np.concatenate([ends[:, :1], values, ends[:, 1:]], axis=1)
        found = tried.reshape(*parts.shape, 3)
        every = np.concatenate([laws[:, :1], found, laws[:, 1:]], axis=1)
        heights = np.concatenate([height[:, :1], root(costs), height[:, 1:]], axis=1)
        ends, laws, height = values[rows, pick], every[rows, pick], heights[rows, pick]
    middle: Floats = ends.mean(axis=1)
    return middle


def _scale_reach(problem: Problem, exponent: Interval, limit: float) -> Interval:
    """Return log scales that no law that passes reaches, given the exponent's interval.

    The power term is largest at the first point (at the last for negative exponents), where it
    cannot exceed the loss by more than the whole limit; 45 below, it is rounding.
    """
    first, last = float(problem.t.min()), float(problem.t.max())
    top = math.log(unroofed(problem, limit).roof)
    ends = [b * (first if b >= 0.0 else last) for b in (*exponent, 0.0)]
    return min(ends) - 45.0, max(ends) + top + 5.0
