"""Fit loss = scale * n^-exponent + floor, with intervals that mean something.

What to use when:

- ``floor="free"`` when the loss may level off at something above zero, which losses of
  autoencoders do (see :attr:`PowerLawFit.status`: few points over a decade of n seldom tell a
  floor from a slower law, and then the fit says so); ``floor="zero"`` for a straight line on a
  log-log plot, to compare with published laws; a number when the floor is known.
- ``weights=None`` when errors are proportional to the loss: least squares on log-loss. Weights
  (inverse variances of the losses, up to a common factor) when they are not: weighted least
  squares on the loss. ``weights=np.ones(m)`` is the textbook fit.
- Profile intervals (``intervals``) by default; the bootstrap (``bootstrap_intervals``) as a
  check that does not assume normal errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting import _statistics
from scaling_theory.fitting._bootstrap import replicates
from scaling_theory.fitting._optimum import optimum
from scaling_theory.fitting._problem import AMPLITUDE, EXPONENT, FLOOR, Problem
from scaling_theory.fitting._profile import Interval, profile_intervals, threshold, unroofed
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
        What was squared: errors of log-loss, or weighted errors of the loss.
    residuals : (m,) floats
        log(loss / law), or sqrt(weight) * (loss - law), in the order of the points.
    rss : float
        Sum of the squared residuals.
    aic, bic : float
        Information criteria of the normal likelihood of the residuals, as a likelihood of the
        loss (the Jacobian of the logarithm included), with the variance counted as a parameter.
        They compare fits to the same losses, across floors and objectives. ``-inf`` for
        residuals that are all exactly 0.
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

    def predict(self, n: npt.ArrayLike) -> Floats:
        """Return the law at ``n`` (positive, any shape), in units of the loss."""
        n = np.asarray(n)
        flat = _validate.reals("n", n.reshape(-1), low=0.0, low_open=True)
        with np.errstate(over="ignore"):
            law = np.exp(self.log_scale - self.exponent * np.log(flat)) + self.floor
        return law.reshape(n.shape)

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


def fit_power_law(
    n: npt.ArrayLike,
    loss: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    floor: str | float = "free",
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> PowerLawFit:
    """Fit loss = scale * n^-exponent + floor by least squares.

    Parameters
    ----------
    n : (m,) array_like
        Positive sizes (widths, latents, …), not all equal.
    loss : (m,) array_like
        Positive losses.
    weights : (m,) array_like, optional
        Positive inverse variances of the losses, up to a common factor: the sum of
        weight * (loss - law)^2 is minimised. None (the default) takes errors as proportional
        to the loss: the sum of (log loss - log law)^2 is minimised.
    floor : "free", "zero" or float
        "free": in [0, smallest loss), and the exponent at least 0. "zero" or a number: held
        there (at least 0, below every loss), and the exponent may have either sign.
    level : float
        Confidence level of the intervals, in (0, 1).
    seed : int or numpy.random.Generator
        Of the bootstrap; an int gives the same intervals every time.

    Returns
    -------
    PowerLawFit

    Raises
    ------
    ValueError
        For input outside the ranges above, lengths that differ, or no more points than
        parameters (3 with a free floor, otherwise 2).

    Notes
    -----
    The optimum is global: amplitudes are eliminated (variable projection; Golub and Pereyra,
    Inverse Problems 19, R1, 2003), all shapes on a grid are taken downhill, the best is
    polished. Results do not depend on the units of n and loss. A law through all points to
    rounding has intervals as narrow as rounding.
    """
    n = _validate.reals("n", n, low=0.0, low_open=True)
    loss = _validate.reals("loss", loss, low=0.0, low_open=True)
    _same_length("loss", loss, n)
    if weights is not None:
        weights = _validate.reals("weights", weights, low=0.0, low_open=True)
        _same_length("weights", weights, n)
    held = _held_floor(floor, float(loss.min()))
    level = _validate.real("level", level, low=0.0, high=1.0, low_open=True, high_open=True)
    generator = _generator(seed)
    parameters = 3 if held is None else 2
    if n.size <= parameters:
        raise ValueError(
            f"n must have more points than the law has parameters ({parameters} with floor="
            f"{floor!r}), got {n.size}"
        )
    log_n = np.log(n)
    if log_n.max() == log_n.min():
        raise ValueError(f"n must hold at least two different values, got only {n[0]:g}")

    unit = math.exp(float(np.mean(np.log(loss))))
    log_first = float(log_n.min())
    scaled_weights = None if weights is None else np.sqrt(weights / weights.max())
    problem = Problem(
        t=log_n - log_first,
        y=loss / unit,
        root_weight=scaled_weights,
        floor=None if held is None else held / unit,
        roof=float(loss.min()) / unit,
    )
    theta, sse = optimum(problem)
    best_floor = held
    if best_floor is None:
        best_floor = min(float(theta[FLOOR]) * unit, math.nextafter(float(loss.min()), 0.0))

    # The roof is for the estimate: noise may put a loss below the floor, so intervals ignore it.
    limit = threshold(problem, sse, level)
    wide = unroofed(problem, limit)
    centre = optimum(wide)[0] if held is None and theta[FLOOR] >= problem.roof else theta
    profiled = profile_intervals(wide, theta, limit, log_first)
    laws = replicates(wide, centre, generator)
    bootstrap = _statistics.percentiles(problem, laws, level, log_first)

    factor = 1.0 if weights is None else unit * math.sqrt(weights.max())
    residuals = (problem.z - problem.predict(theta)) * factor
    residuals.flags.writeable = False
    log_scale = float(theta[AMPLITUDE] + theta[EXPONENT] * log_first) + math.log(unit)
    intervals = _in_units(profiled, unit, held)
    aic, bic = _statistics.information(problem, sse, unit)
    status, message = _statistics.status_of(
        float(theta[EXPONENT]), best_floor, intervals, level, held, float(loss.min())
    )
    return PowerLawFit(
        exponent=float(theta[EXPONENT]),
        scale=_statistics.exp(log_scale),
        floor=best_floor,
        intervals=intervals,
        bootstrap_intervals=_in_units(bootstrap, unit, held),
        covariance=_statistics.covariance(problem, theta, sse, unit, log_first),
        level=level,
        objective="log" if weights is None else "linear",
        residuals=residuals,
        rss=sse * factor * factor,
        aic=aic,
        bic=bic,
        n_points=int(n.size),
        status=status,
        message=message,
        log_scale=log_scale,
    )


def _held_floor(floor: str | float, smallest: float) -> float | None:
    """Return the floor to hold, or None where it is free."""
    if isinstance(floor, str):
        if floor == "free":
            return None
        if floor == "zero":
            return 0.0
        raise ValueError(f'floor must be "free", "zero" or a number, got {floor!r}')
    held = _validate.real("floor", floor, low=0.0)
    if held >= smallest:
        raise ValueError(
            f"floor must be below every loss, whose smallest is {smallest:g}, got {floor!r}"
        )
    return held


def _same_length(name: str, values: Floats, n: Floats) -> None:
    if values.size != n.size:
        raise ValueError(f"{name} must have one value for each n, got {values.size} for {n.size}")


def _generator(seed: int | np.random.Generator) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(_validate.whole("seed", seed))


def _in_units(found: dict[str, Interval], unit: float, held: float | None) -> dict[str, Interval]:
    """Turn intervals of a problem into intervals of the user's parameters."""
    log_low, log_high = (end + math.log(unit) for end in found["log_scale"])
    low, high = found["floor"]
    return {
        "exponent": found["exponent"],
        "scale": (_statistics.exp(log_low), _statistics.exp(log_high)),
        "floor": (low * unit, high * unit) if held is None else (held, held),
    }
