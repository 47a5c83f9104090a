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
- :meth:`PowerLawFit.band` for the law at some n, :meth:`PowerLawFit.prediction` for a measurement
  there, :meth:`PowerLawFit.local_slope` for the slope of the curve, which stays known where floor
  and exponent are not; :func:`scaling_theory.fitting.extrapolation.leave_largest` for how well
  such a law predicted the largest n at hand.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting import _bootstrap, _statistics
from scaling_theory.fitting._calibration import calibrate, efficient_variance
from scaling_theory.fitting._fit import PowerLawFit, Region
from scaling_theory.fitting._optimum import optimum
from scaling_theory.fitting._problem import AMPLITUDE, EXPONENT, FLOOR, Problem
from scaling_theory.fitting._profile import Interval, profile_intervals, unroofed

__all__ = ["PowerLawFit", "fit_power_law"]


def fit_power_law(
    n: npt.ArrayLike,
    loss: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    floor: str | float = "free",
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
    *,
    huber: float | None = None,
    replicates: int = _bootstrap.REPLICATES,
) -> PowerLawFit:
    """Fit loss = scale * n^-exponent + floor by least squares, or robustly.

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
    huber : float, optional
        Positive: minimise the sum of Huber losses of log loss - log law, which are squares up to
        this size and grow linearly beyond. Without weights only. None squares all. A free floor
        is below every loss here too, so a single loss that is far too low does bound it.
    replicates : int
        Of the bootstrap; 0 leaves it out.

    Returns
    -------
    PowerLawFit

    Raises
    ------
    ValueError
        For input outside the ranges above, lengths that differ, no more points than
        parameters (3 with a free floor, otherwise 2), or ``huber`` with ``weights``.

    Notes
    -----
    The optimum is global: amplitudes are eliminated (variable projection; Golub and Pereyra,
    Inverse Problems 19, R1, 2003), all shapes on a grid are taken downhill, the best is
    polished. Results do not depend on the units of n and loss. A law through all points to
    rounding has intervals as narrow as rounding.

    For Huber losses the optimum is found the same way, from starts levelled at medians, by batched
    steps between reweighted squares and Newton's method. Intervals are profiles of the Huber cost,
    whose threshold is simulated for the points and the ``huber`` at hand.
    """
    n = _validate.reals("n", n, low=0.0, low_open=True)
    loss = _validate.reals("loss", loss, low=0.0, low_open=True)
    _same_length("loss", loss, n)
    if weights is not None:
        weights = _validate.reals("weights", weights, low=0.0, low_open=True)
        _same_length("weights", weights, n)
    if huber is not None:
        huber = _validate.real("huber", huber, low=0.0, low_open=True)
        if weights is not None:
            raise ValueError(
                f"huber must be None where weights are given: it is a size of errors of log-loss, "
                f"got {huber:g} with weights"
            )
    replicates = _validate.whole("replicates", replicates)
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
        huber=huber,
    )
    theta, least = optimum(problem)
    best_floor = held
    if best_floor is None:
        best_floor = min(float(theta[FLOOR]) * unit, math.nextafter(float(loss.min()), 0.0))

    # The roof is for the estimate: noise may put a loss below the floor, so intervals ignore it.
    calibration = calibrate(problem, theta, least)
    limit = calibration.limit(level)
    wide = unroofed(problem, limit)
    centre = optimum(wide)[0] if held is None and theta[FLOOR] >= problem.roof else theta
    profiled = profile_intervals(wide, theta, limit, log_first)
    bootstrap = {}
    if replicates:
        laws = _bootstrap.replicates(wide, centre, replicates, generator)
        bootstrap = _in_units(_statistics.percentiles(problem, laws, level, log_first), unit, held)

    factor = 1.0 if weights is None else unit * math.sqrt(weights.max())
    residuals = (problem.z - problem.predict(theta)) * factor
    residuals.flags.writeable = False
    rss = least * factor * factor if huber is None else float(residuals @ residuals)
    log_scale = float(theta[AMPLITUDE] + theta[EXPONENT] * log_first) + math.log(unit)
    intervals = _in_units(profiled, unit, held)
    aic, bic = _statistics.information(problem, least, unit)
    status, message = _statistics.status_of(
        float(theta[EXPONENT]), best_floor, intervals, level, held, float(loss.min())
    )
    return PowerLawFit(
        exponent=float(theta[EXPONENT]),
        scale=_statistics.exp(log_scale),
        floor=best_floor,
        intervals=intervals,
        bootstrap_intervals=bootstrap,
        covariance=_statistics.covariance(
            problem, theta, efficient_variance(problem, least), unit, log_first
        ),
        level=level,
        objective="log" if weights is None else "linear",
        residuals=residuals,
        rss=rss,
        aic=aic,
        bic=bic,
        n_points=int(n.size),
        status=status,
        message=message,
        log_scale=log_scale,
        huber=huber,
        cost=rss if huber is None else 0.5 * least,
        _region=Region(problem, theta, calibration, log_first, unit, factor),
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
