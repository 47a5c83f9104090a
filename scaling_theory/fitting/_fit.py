"""What a fitted power law is and says: parameters, intervals, and bands at any n."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting._calibration import Calibration, deviation
from scaling_theory.fitting._functional import (
    Functional,
    LocalSlope,
    LogValue,
    functional_interval,
)
from scaling_theory.fitting._problem import Problem
from scaling_theory.fitting._profile import Interval, unroofed
from scaling_theory.fitting._statistics import Status


@dataclass(frozen=True, eq=False, repr=False)
class PowerLawFit:
    """A fitted law, loss = scale * n^-exponent + floor.

    Attributes
    ----------
    exponent : float
        Positive where the loss falls with n. With a free floor at least 0.
    scale : float
        The power term at n = 1, in units of the loss. ``inf`` or 0 where it exceeds the range
        of floats; ``log_scale``, its natural logarithm, is always finite.
    floor : float
        The loss as n grows without limit. A free floor is in [0, smallest loss), so that
        loss - floor is positive at every point.
    intervals : dict of str to (float, float)
        Profile intervals of "exponent", "scale" and "floor" at ``level``: the hull of the values
        whose best law has a sum of squares of at most rss * (1 + F/nu), F the quantile of the F
        distribution with (1, nu) degrees of freedom, nu = points - parameters. An end that the
        data leave open is the bound of the parameter: 0 for the floor, 0 (``-inf`` with a floor
        that is not free) or ``inf`` for the exponent, 0 or ``inf`` for the scale. Noise may put
        a loss below the floor, so these laws may have floors above the smallest loss. A floor
        that is not free has both ends at its value.
    bootstrap_intervals : dict of str to (float, float)
        Percentile intervals of 999 residual bootstraps, without an upper bound on the floor. A
        replicate that falls to its floor at one step has an infinite exponent.
    covariance : (3, 3) floats
        Linearised covariance, in the order exponent, scale, floor. Rows and columns of a floor
        that is held or at a bound are 0; ``inf`` throughout where the data do not determine it.
    level : float
        Confidence level of the intervals.
    objective : {"log", "linear"}
        What errors are of: the log-loss, or the loss (weighted).
    huber : float or None
        The size of an error of log-loss from which it counts by its size; None squares all.
    cost : float
        What was minimised: ``rss``, or the sum of Huber losses, r^2/2 up to |r| = huber and
        huber * (|r| - huber/2) beyond.
    residuals : (m,) floats
        log(loss / law), or sqrt(weight) * (loss - law), in the order of the points.
    rss : float
        Sum of the squared residuals.
    aic, bic : float
        Information criteria of the normal likelihood of the residuals, as a likelihood of the
        loss (the Jacobian of the logarithm included), with the variance counted as a parameter.
        They compare fits to the same losses, across floors and objectives. ``-inf`` for
        residuals that are all exactly 0; ``nan`` for a Huber fit, which has no likelihood.
    n_points : int
        Number of points, m.
    status : str
        "floor and exponent not identified": the floor is free and the profile interval of the
        exponent is open or its ends differ by more than a factor of 2. Otherwise "floor at
        boundary": the floor is free and the best one is 0 (or, for a curve that has levelled
        off, would be above the smallest loss, where it is held). Otherwise "ok".
    message : str
        The status in a sentence, with its numbers.
    """

    exponent: float
    scale: float
    floor: float
    intervals: dict[str, Interval]
    bootstrap_intervals: dict[str, Interval]
    covariance: Floats
    level: float
    objective: Literal["log", "linear"]
    residuals: Floats
    rss: float
    aic: float
    bic: float
    n_points: int
    status: Status
    message: str
    log_scale: float
    huber: float | None
    cost: float
    _region: Region

    def predict(self, n: npt.ArrayLike) -> Floats:
        """Return the law at ``n`` (positive, any shape), in units of the loss."""
        n, flat = _sizes(n)
        with np.errstate(over="ignore"):
            law = np.exp(self.log_scale - self.exponent * np.log(flat)) + self.floor
        return law.reshape(n.shape)

    def band(self, n: npt.ArrayLike, level: float | None = None) -> tuple[Floats, Floats]:
        """Return the confidence band of the law at ``n``: its lower and upper edge, like ``n``.

        At each n, the hull of the values of all laws that fit well enough (as for
        ``intervals``, by the profile): it holds the true law at that n with probability
        ``level``. It is not simultaneous over n. Like the intervals it knows no upper bound on
        the floor, and an end is 0 or ``inf`` where the data leave it open.

        Parameters
        ----------
        n : array_like
            Positive, any shape; beyond the data too.
        level : float, optional
            In (0, 1); the fit's own by default.

        Raises
        ------
        ValueError
            For input outside these ranges.
        """
        n, flat = _sizes(n)
        logs = self._region.log_values(flat, self._level(level))
        with np.errstate(over="ignore"):
            low, high = np.exp(logs)
        return low.reshape(n.shape), high.reshape(n.shape)

    def prediction(
        self, n: npt.ArrayLike, level: float | None = None, weight: npt.ArrayLike | None = None
    ) -> tuple[Floats, Floats]:
        """Return the band of a new measurement at ``n``: its lower and upper edge, like ``n``.

        The distance of either edge from the law is that of :meth:`band` and the noise of one
        measurement (Student's t times the standard deviation of the residuals), added in squares:
        exact where the law is linear in its parameters. In log-loss for ``objective`` "log",
        else in loss. For a Huber fit the noise is taken as normal, with the standard deviation
        that the cost implies: the band is not for outliers.

        Parameters
        ----------
        n : array_like
            Positive, any shape.
        level : float, optional
            In (0, 1); the fit's own by default.
        weight : array_like, optional
            Of the new measurement, in the units of the fit's weights; as many as ``n`` or one.
            Must be given if and only if the fit had weights.

        Raises
        ------
        ValueError
            For input outside these ranges.
        """
        n, flat = _sizes(n)
        level = self._level(level)
        given = "with" if self.objective == "linear" else "without"
        if (weight is None) == (self.objective == "linear"):
            raise ValueError(
                f"weight must be given if and only if the fit had weights: this one "
                f"was made {given} weights, got weight={weight!r}"
            )
        low, high = self._region.log_values(flat, level)
        noise = self._region.noise(level)
        law = self.predict(flat)
        if weight is None:
            log_law = np.log(law)
            ends = (
                log_law - np.hypot(log_law - low, noise),
                log_law + np.hypot(high - log_law, noise),
            )
            with np.errstate(over="ignore"):
                low, high = np.exp(ends)
        else:
            weights = _validate.reals("weight", np.reshape(weight, -1), low=0.0, low_open=True)
            if weights.size not in (1, flat.size):
                raise ValueError(
                    f"weight must be one number or one for each n, got {weights.size} "
                    f"for {flat.size}"
                )
            with np.errstate(over="ignore"):
                low, high = np.exp(low), np.exp(high)
            errors = noise / np.sqrt(weights)
            low, high = law - np.hypot(law - low, errors), law + np.hypot(high - law, errors)
        return low.reshape(n.shape), high.reshape(n.shape)

    def local_slope(
        self, n: npt.ArrayLike, level: float | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """Return -d ln(law) / d ln(n) at ``n`` with its interval: value, lower and upper end.

        The exponent times the power term's share of the law. It needs no knowledge of how floor
        and exponent share the curve, so it is known (inside the data) where those are not. The
        interval is the hull over all laws that fit well enough, as for ``intervals``.

        Parameters
        ----------
        n : array_like
            Positive, any shape; the three results have it too.
        level : float, optional
            In (0, 1); the fit's own by default.

        Raises
        ------
        ValueError
            For input outside these ranges.
        """
        n, flat = _sizes(n)
        value, low, high = self._region.slopes(flat, self._level(level))
        return value.reshape(n.shape), low.reshape(n.shape), high.reshape(n.shape)

    def summary(self) -> dict[str, float | str]:
        """Return the fit as one row of a table: estimates, profile intervals, status."""
        row: dict[str, float | str] = {}
        for name in ("exponent", "scale", "floor"):
            row[name] = float(getattr(self, name))
            row[f"{name}_low"], row[f"{name}_high"] = self.intervals[name]
        row |= {"rss": self.rss, "aic": self.aic, "bic": self.bic, "n_points": self.n_points}
        return row | {"level": self.level, "status": self.status, "message": self.message}

    def __repr__(self) -> str:
        values = ", ".join(
            f"{name}={getattr(self, name):.5g} [{low:.5g}, {high:.5g}]"
            for name, (low, high) in self.intervals.items()
        )
        return f"PowerLawFit({values}, level={self.level:g}, status={self.status!r})"

    def _level(self, level: float | None) -> float:
        if level is None:
            return self.level
        return _validate.real("level", level, low=0.0, high=1.0, low_open=True, high_open=True)


@dataclass(frozen=True, eq=False)
class Region:
    """The laws that fit well enough at any level, and what they say at some n.

    Parameters
    ----------
    problem : Problem
        With the bound on a free floor that the estimate had.
    theta : (3,) floats
        The estimate.
    calibration : Calibration
    log_first : float
        log of the n at which the problem's t is 0.
    unit : float
        The problem's unit of loss, in units of the user's.
    factor : float
        What turns residuals of the problem into the user's.
    """

    problem: Problem
    theta: Floats
    calibration: Calibration
    log_first: float
    unit: float
    factor: float

    def log_values(self, n: Floats, level: float) -> Floats:
        """Return the ends of the log of the law at each n, (2, n)."""
        return self._intervals(LogValue, n, level) + math.log(self.unit)

    def slopes(self, n: Floats, level: float) -> Floats:
        """Return the local slope at each n and its ends, (3, n)."""
        at = np.log(n) - self.log_first
        value = [float(LocalSlope(float(t))(self.theta)) for t in at]
        return np.vstack([value, self._intervals(LocalSlope, n, level)])

    def noise(self, level: float) -> float:
        """Return how far a measurement of weight 1 (or its log) may be from the true law."""
        from scipy.special import stdtrit

        sigma = deviation(self.problem, self.calibration.cost) * self.factor
        return sigma * float(stdtrit(self.calibration.nu, 0.5 * (1.0 + level)))

    def _intervals(self, kind: type[Functional], n: Floats, level: float) -> Floats:
        limit = self.calibration.limit(level)
        wide = unroofed(self.problem, limit)
        at = np.log(n) - self.log_first
        ends = [functional_interval(wide, self.theta, kind(float(t)), limit) for t in at]
        return np.array(ends).T


def _sizes(n: npt.ArrayLike) -> tuple[npt.NDArray[Any], Floats]:
    """Return sizes as they came and as a flat array of positive floats."""
    n = np.asarray(n)
    return n, _validate.reals("n", n.reshape(-1), low=0.0, low_open=True)
