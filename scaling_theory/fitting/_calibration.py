"""How far the cost of a Huber fit may rise before a value of a parameter is ruled out.

For squares, the rise of the cost over its minimum, with one parameter at its true value, follows
the F distribution: (C - C_min) / C_min ~ F/nu. For Huber errors the same ratio has no closed law:
it depends on the design and on how much of the noise is beyond ``huber``. (The first-order
correction of Huber's pseudo-likelihood, E psi^2 / E psi', needs the density of the noise at 0, of
which ten points say next to nothing.) So its quantile is simulated: normal errors on the linear
model tangent to the fitted law, with the standard deviation that the cost implies, fitted in
batch with and without each parameter at its true value. Dividing by C_min makes the ratio free of
the scale of the noise both for squares and for absolute errors, and lets an outlier widen the
intervals.

Squares of the same draws are fitted too, and the quantile of F is multiplied by the ratio of the
two simulated ones: where no residual reaches ``huber``, the F distribution is what remains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting._descent import cost, descend
from scaling_theory.fitting._problem import Problem

#: Number of simulated fits. A 95% quantile of so many has 95% +- 0.5% below it.
DRAWS = 1999

_SEED = 20_240_601  # fixed: profile intervals do not depend on the seed of the bootstrap
_RESOLVED = (0.5, 0.99)  # levels at which the ratio of quantiles is taken
_BEYOND = 8.0  # a residual of so many standard deviations does not occur


@dataclass(frozen=True)
class Calibration:
    """The threshold of profiles as a function of the level.

    Parameters
    ----------
    cost : float
        The least cost, C_min, not below rounding.
    nu : int
        Degrees of freedom.
    rises : (2, k, draws) floats or None
        Simulated (C - C_min) / C_min of k parameters, for Huber errors and for squares, sorted;
        None for squares, which need none.
    """

    cost: float
    nu: int
    rises: Floats | None = None

    def limit(self, level: float) -> float:
        """Return the cost up to which values pass.

        The largest over the parameters, so that one number serves for them and for whatever
        depends on them. Beyond the levels that the draws resolve, F with the ratio found there.
        """
        from scipy.special import stdtrit

        # F(1, nu) is the square of Student's t
        rise = float(stdtrit(self.nu, 0.5 * (1.0 + level))) ** 2 / self.nu
        if self.rises is not None:
            at = min(max(level, _RESOLVED[0]), _RESOLVED[1])
            huber, square = np.quantile(self.rises, at, axis=-1)
            rise *= float(np.max(huber / square))
        return self.cost * (1.0 + rise)


def calibrate(problem: Problem, theta: Floats, least: float) -> Calibration:
    """Return the calibration at the fitted law ``theta`` of cost ``least``."""
    nu = problem.t.size - problem.parameters
    least = max(least, problem.rounding)
    if problem.huber is None:
        return Calibration(least, nu)
    ratio = problem.huber / deviation(problem, least)
    if ratio > _BEYOND:
        return Calibration(least, nu)
    # by size, so that the order of the points changes no draw
    order = np.argsort(problem.t)
    slopes = problem.jacobian(theta)[1][order, : problem.parameters]
    norms = np.linalg.norm(slopes, axis=0)
    return Calibration(least, nu, _simulate(slopes[:, norms > 0.0] / norms[norms > 0.0], ratio))


def deviation(problem: Problem, least: float) -> float:
    """Return the standard deviation of normal errors whose expected cost is the least one.

    As for squares, each degree of freedom counts as one error.
    """
    nu = problem.t.size - problem.parameters
    mean = max(least, problem.rounding) / nu
    if problem.huber is None:
        return math.sqrt(mean)
    from scipy.optimize import brentq

    # The expected cost in units of huber^2 grows with sigma from sigma^2 to about sigma.
    target = mean / problem.huber**2
    if target < 1.0 / (2.0 * _BEYOND**2):
        return math.sqrt(mean)
    top = 1.0 + target
    return problem.huber * float(
        brentq(lambda sigma: sigma**2 * moments(1.0 / sigma)[0] - target, 1e-3, 2.0 * top)
    )


def moments(c: float) -> tuple[float, float, float]:
    """Return E 2 rho(e), E psi(e)^2 and E psi'(e) of standard normal e for huber = c.

    rho is Huber's loss, psi its derivative.
    """
    inside = math.erf(c / math.sqrt(2.0))
    density = math.exp(-0.5 * c * c) / math.sqrt(2.0 * math.pi)
    outside = math.erfc(c / math.sqrt(2.0))
    loss = inside + 2.0 * c * density - c * c * outside
    score = inside - 2.0 * c * density + c * c * outside
    return loss, score, inside


def efficient_variance(problem: Problem, least: float) -> float:
    """Return the variance to put before (J^T J)^-1 for the linearised covariance.

    For Huber errors, E psi^2 / (E psi')^2 under normal errors (Huber and Ronchetti, Robust
    Statistics, 2009, section 7.6).
    """
    if problem.huber is None:
        return least / (problem.t.size - problem.parameters)
    sigma = deviation(problem, least)
    if problem.huber > _BEYOND * sigma:
        return sigma * sigma
    _, score, inside = moments(problem.huber / sigma)
    return sigma * sigma * score / inside**2


@dataclass(frozen=True)
class _Linear:
    """Values slopes @ theta at the points; all of the points are 0."""

    slopes: Floats
    huber: float | None

    rounding: float = 0.0

    @property
    def z(self) -> Floats:
        return np.zeros(self.slopes.shape[0])

    def predict(self, theta: Floats) -> Floats:
        found: Floats = theta[..., : self.slopes.shape[1]] @ self.slopes.T
        return found

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        value = self.predict(theta)
        slopes = np.zeros((*value.shape, 3))
        slopes[..., : self.slopes.shape[1]] = self.slopes
        return value, slopes


def _simulate(slopes: Floats, huber: float) -> Floats:
    """Return the sorted relative rises of cost, (2, k, DRAWS), for standard normal errors."""
    m, k = slopes.shape
    errors = np.random.default_rng(_SEED).standard_normal((DRAWS, m))
    model = _Linear(slopes, huber)
    anywhere = np.full(3, np.inf)
    found = np.empty((2, k + 1, DRAWS))
    for held in (None, *range(k)):
        free = [column for column in range(k) if column != held]
        start = np.zeros((DRAWS, 3))
        start[:, free] = errors @ np.linalg.pinv(slopes[:, free]).T
        row = k if held is None else held
        found[1, row] = cost(errors - model.predict(start), None)
        _, found[0, row] = descend(
            model, start, tuple(free), -anywhere, anywhere, z=errors, tolerance=1e-6
        )
    rises = (found[:, :k] - found[:, k:]) / found[:, k:]
    return np.sort(np.maximum(rises, 0.0), axis=-1)
