"""What a fitted law says of itself: bootstrap percentiles, covariance, criteria, status."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting._problem import AMPLITUDE, EXPONENT, FLOOR, Problem, bounds
from scaling_theory.fitting._profile import Interval

Status = Literal["ok", "floor at boundary", "floor and exponent not identified"]

#: An exponent whose interval has ends further apart than this factor is not identified.
FACTOR = 2.0

_STEP = 1e-8  # a power term that falls this far from the first point to the second is a step


def percentiles(
    problem: Problem, laws: Floats, level: float, log_first: float
) -> dict[str, Interval]:
    """Return percentile intervals of the exponent, the log of the scale, and the floor.

    Laws (r, 3) that are a step, so that any larger exponent would give the same values at the
    points, count as having an infinite exponent.
    """
    exponent = laws[:, EXPONENT].copy()
    log_scale = laws[:, AMPLITUDE] + exponent * log_first
    t = np.unique(problem.t)
    step = exponent * (t[1] - t[0]) > -math.log(_STEP)
    exponent[step] = math.inf
    if log_first != 0.0:
        log_scale[step] = math.copysign(math.inf, log_first)
    tail = 0.5 * (1.0 - level)
    found = {"exponent": exponent, "log_scale": log_scale, "floor": laws[:, FLOOR]}
    intervals = {}
    for name, values in found.items():
        # no interpolation: values may be infinite
        low, high = np.quantile(values, [tail, 1.0 - tail], method="inverted_cdf")
        intervals[name] = (float(low), float(high))
    return intervals


def covariance(
    problem: Problem, theta: Floats, variance: float, unit: float, log_first: float
) -> Floats:
    """Return the linearised covariance of (exponent, scale, floor) in units of the loss, (3, 3).

    It is ``variance`` times (J^T J)^-1, J the derivatives of the values at the points.
    """
    low, high = bounds(problem)
    used = [EXPONENT, AMPLITUDE]
    if low[FLOOR] < theta[FLOOR] < high[FLOOR]:
        used.append(FLOOR)
    slopes = problem.jacobian(theta)[1]
    # at a fixed scale, the exponent also moves the amplitude at the first point
    slopes[:, EXPONENT] -= log_first * slopes[:, AMPLITUDE]
    with np.errstate(over="ignore"):
        scale = float(np.exp(theta[AMPLITUDE] + theta[EXPONENT] * log_first)) * unit
    slopes = slopes[:, used]
    norms = np.linalg.norm(slopes, axis=0)
    out = np.full((3, 3), math.inf)
    if norms.min() > 0.0 and math.isfinite(scale) and scale > 0.0:
        values, vectors = np.linalg.svd(slopes / norms, full_matrices=False)[1:]
        if values[-1] > 1e-12 * values[0]:
            factors = np.array([1.0, scale, unit])[: len(used)] / norms
            half = math.sqrt(variance) * factors[:, None] * vectors.T / values
            out[:] = 0.0
            with np.errstate(over="ignore", under="ignore"):
                out[: len(used), : len(used)] = half @ half.T
    out.flags.writeable = False
    return out


def information(problem: Problem, sse: float, unit: float) -> tuple[float, float]:
    """Return Akaike's and the Bayesian information criterion of the losses.

    The residuals are normal with one variance, estimated by sse / m and counted as a parameter.
    In log-loss the losses are log-normal: the Jacobian is the product of the losses, unit^m.
    Huber errors have no such likelihood, and no criteria: nan.
    """
    if problem.huber is not None:
        return math.nan, math.nan
    m, k = problem.t.size, problem.parameters + 1
    if sse == 0.0:
        return -math.inf, -math.inf
    deviance = m * (math.log(2.0 * math.pi * sse / m) + 1.0 + 2.0 * math.log(unit))
    if problem.root_weight is not None:
        deviance -= 2.0 * float(np.log(problem.root_weight).sum())
    return deviance + 2.0 * k, deviance + k * math.log(m)


def status_of(
    exponent: float,
    floor: float,
    intervals: dict[str, Interval],
    level: float,
    held: float | None,
    smallest: float,
) -> tuple[Status, str]:
    """Return the status of a fit, and a sentence that explains it."""
    if held is not None:
        return "ok", f"The floor was held at {held:g}; exponent and scale were fitted."
    low, high = intervals["exponent"]
    bottom, top = intervals["floor"]
    ranges = (
        f"at level {level:g} the exponent is in [{low:.3g}, {high:.3g}] and the floor in "
        f"[{bottom:.3g}, {top:.3g}]"
    )
    at_zero = floor == 0.0
    at_top = floor >= math.nextafter(smallest, 0.0)
    if exponent == 0.0:
        return (
            "floor and exponent not identified",
            f"The loss does not fall with n, so a floor means nothing: {ranges}.",
        )
    if low <= 0.0 or high > FACTOR * low:
        best = " (the best floor is 0)" if at_zero else ""
        return (
            "floor and exponent not identified",
            f"These points cannot tell a floor from another exponent{best}: {ranges}.",
        )
    if at_zero:
        return (
            "floor at boundary",
            f"The best floor is 0: the points show no levelling off; {ranges}.",
        )
    if at_top:
        return (
            "floor at boundary",
            "The points have levelled off: the best floor is above the smallest loss, where it is "
            f"held; without that bound, {ranges}.",
        )
    return "ok", f"The exponent is known to within a factor of {FACTOR:g}: {ranges}."


def exp(log_value: float) -> float:
    """Exponential that returns inf or 0 outside the range of floats."""
    try:
        return math.exp(log_value)
    except OverflowError:
        return math.inf
