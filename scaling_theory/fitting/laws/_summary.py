"""What a fit says of itself: covariance, flat directions, information criteria, status."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._problem import Problem

Status = Literal["ok", "floor at boundary", "not identified"]
Interval = tuple[float, float]

#: An exponent whose interval has ends further apart than this factor is not identified.
FACTOR = 2.0
#: A direction in which the law moves this much less than in others, columns at unit size, is flat.
FLAT = 1e-7


class Criteria(NamedTuple):
    """Information criteria."""

    aic: float
    aicc: float
    bic: float


def covariance(problem: Problem, theta: Floats, variance: float) -> tuple[Floats, tuple[int, ...]]:
    """Return the linearised covariance of theta, (p, p), and the columns in flat directions.

    Columns on a bound have zeros. With a flat direction all is inf.
    """
    used = np.flatnonzero((theta > problem.low) & (theta < problem.high))
    slopes = problem.jacobian(theta[None, :])[1][0][:, used]
    norms = np.linalg.norm(slopes, axis=0)
    p = problem.parameters
    out = np.zeros((p, p))
    if not used.size:
        return out, ()
    still = norms <= 1e-13 * norms.max()
    units = slopes / np.where(still, 1.0, norms)
    values, vectors = np.linalg.svd(units, full_matrices=False)[1:]
    flat = values <= FLAT * values[0]
    moved = (np.abs(vectors[flat]) > 0.1).any(axis=0) | still
    if moved.any():
        out[:] = math.inf
        return out, tuple(int(i) for i in used[moved])
    half = vectors.T / values / norms[:, None]
    out[np.ix_(used, used)] = variance * half @ half.T
    return out, ()


def criteria(problem: Problem, residuals: Floats, least: float, unit: float) -> Criteria:
    """Return Akaike's criterion, its small-sample form, and the Bayesian one.

    They are of the losses: the likelihood of residuals has density proportional to
    exp(-rho(r)/tau), normal for squares, with tau at its own best and counted as a parameter. In
    log-loss the Jacobian is the product of the losses. AICc: Hurvich and Tsai, Biometrika 76, 297
    (1989); inf where there are too few points for it.
    """
    m, k = residuals.size, problem.parameters + 1
    if least == 0.0:
        return Criteria(-math.inf, -math.inf, -math.inf)
    if math.isinf(problem.huber):
        deviance = m * (math.log(2.0 * math.pi * 2.0 * least / m) + 1.0)
    else:
        deviance = _huber_deviance(least, problem.huber, m)
    deviance += 2.0 * m * math.log(unit)
    if problem.root_weight is not None:
        deviance -= 2.0 * float(np.log(problem.root_weight).sum())
    aic = deviance + 2.0 * k
    aicc = aic + 2.0 * k * (k + 1.0) / (m - k - 1.0) if m > k + 1 else math.inf
    return Criteria(aic, aicc, deviance + k * math.log(m))


def _huber_deviance(least: float, delta: float, m: int) -> float:
    """Minus twice the largest log-likelihood under densities exp(-rho(r)/tau) / Z(tau)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import erf

    def deviance(log_tau: float) -> float:
        tau = math.exp(log_tau)
        x = delta / math.sqrt(2.0 * tau)
        # Z = integral of exp(-rho/tau): a normal middle and exponential tails
        middle = math.sqrt(2.0 * math.pi * tau) * float(erf(x))
        tails = 2.0 * tau / delta * math.exp(-x * x)
        return 2.0 * least / tau + 2.0 * m * math.log(middle + tails)

    # normal: tau = 2 least / m; Laplace: tau = least / m
    centre = math.log(least / m)
    found = minimize_scalar(
        deviance, bounds=(centre - 5.0, centre + 5.0), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.fun)


def status_of(
    names: tuple[str, ...],
    linear: tuple[str, ...],
    floor: str | None,
    exponents: tuple[str, ...],
    estimates: dict[str, float],
    intervals: dict[str, Interval],
    opened: dict[str, tuple[bool, bool]],
    flat: tuple[str, ...],
    undecided: str,
    level: float,
    smallest: float,
) -> tuple[Status, str]:
    """Return the status of a fit, and a sentence that explains it."""
    ranges = "; ".join(
        f"{name} {estimates[name]:.4g} in [{intervals[name][0]:.4g}, {intervals[name][1]:.4g}]"
        for name in names
    )
    ranges = f"at level {level:g}: {ranges}"
    loose = [name for name in names if name not in linear and any(opened[name])]
    loose += [name for name in exponents if name not in loose and _wide(intervals[name])]
    reasons = []
    if loose:
        reasons.append(f"these points do not bound {_list(loose)}")
    if flat:
        reasons.append(f"a change of {_list(list(flat))} together leaves the law as it is")
    if undecided:
        reasons.append(undecided)
    if reasons:
        return "not identified", f"Not identified: {' and '.join(reasons)}; {ranges}."
    if floor is not None and estimates[floor] == 0.0:
        return "floor at boundary", f"The best floor is 0; {ranges}."
    if floor is not None and estimates[floor] >= smallest * (1.0 - 1e-12):
        return (
            "floor at boundary",
            f"The best floor is above the smallest loss, where it is held; {ranges}.",
        )
    return "ok", f"All parameters are bounded; {ranges}."


def _wide(ends: Interval) -> bool:
    low, high = ends
    return low <= 0.0 or high > FACTOR * low


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
