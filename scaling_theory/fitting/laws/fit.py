"""Fit one law to losses: :func:`fit_law`, and what it returns, :class:`LawFit`.

What to use when:

- ``weights=None, huber=None`` when errors are proportional to the loss: least squares on log-loss.
- ``huber=1e-3`` (Hoffmann et al. 2022) when some points are far off: Huber's loss on log-loss,
  summed. A number well below the noise makes it the sum of absolute errors.
- ``weights`` when errors of the loss are known: weighted least squares on the loss.
- Profile intervals (``intervals``) come with the fit; :meth:`LawFit.bootstrap` is the check that
  assumes no shape of the errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting.laws import _bootstrap, _profile, _summary
from scaling_theory.fitting.laws._profile import Interval
from scaling_theory.fitting.laws._solve import (
    Solved,
    checked,
    exponent_of,
    parameters_of,
    reported,
    same_length,
    solve,
    undecided,
)
from scaling_theory.fitting.laws._summary import Status
from scaling_theory.fitting.laws.catalogue import law_of
from scaling_theory.fitting.laws.law import CurveLaw, Law


class Band(NamedTuple):
    """A value at each point with an interval, shape (k,) each."""

    value: Floats
    low: Floats
    high: Floats


@final
@dataclass(frozen=True, eq=False, repr=False)
class LawFit:
    """A fitted law.

    Attributes
    ----------
    law : Law
        What was fitted.
    estimates : dict of str to float
        One for each of ``law.parameters``; ``inf`` or 0 where a scale exceeds the range of floats.
    intervals : dict of str to (float, float)
        Profile intervals at ``level``, see ``_profile.py``. An end that the points leave open is
        the parameter's bound, or inf. Noise may put a loss below the floor, so floors may reach
        above the smallest loss.
    exponent : (float, float, float) or None
        Exponent with which the excess falls in the end, and its interval; None for laws without
        one. Where it is the smaller of two parameters, the upper end is a cautious one.
    level : float
        Confidence level.
    objective : float
        The least sum of rho(residual): half of ``rss``, or Huber's.
    rss : float
        Sum of squared residuals.
    aic, aicc, bic : float
        Information criteria as likelihoods of the losses, one variance included in the count.
        They compare fits to the same losses with the same weights and the same ``huber``.
    residuals : (m,) floats
        log(loss / law), or sqrt(weight) * (loss - law), in the order of the points.
    n_points : int
        Number of points, m.
    huber : float or None
        As given.
    flat : tuple of str
        Parameters that can change together without a change of the law at the points.
    status : str
        "not identified": an interval (other than of scale and floor) is open, the ends of that of
        an exponent that can't be negative differ by more than a factor of 2, there is a flat
        direction, or laws pass that differ in which of two exponents is the smaller. Otherwise
        "floor at boundary": the best floor is 0, or held at the smallest loss. Otherwise "ok".
    message : str
        The status in a sentence, with its numbers.
    """

    law: Law
    estimates: dict[str, float]
    intervals: dict[str, Interval]
    exponent: tuple[float, float, float] | None
    level: float
    objective: float
    rss: float
    aic: float
    aicc: float
    bic: float
    residuals: Floats
    n_points: int
    huber: float | None
    flat: tuple[str, ...]
    status: Status
    message: str
    _solved: Solved = field(repr=False)
    _covariance: Floats = field(repr=False)
    _generator: np.random.Generator = field(repr=False)

    @property
    def parameters(self) -> int:
        """How many parameters the points chose."""
        return len(self.law.parameters)

    def predict(self, *variables: npt.ArrayLike) -> Floats:
        """Return the law at positive values of its variables (equal shapes), in their shape."""
        points, shape = self._points(variables)
        law = np.exp(self._log_law(points, self._solved.theta[None, :])[0])
        return np.asarray(law.reshape(shape))

    def band(self, *variables: npt.ArrayLike) -> Band:
        """Return the law with its pointwise interval at ``level``, shape (k,) each.

        Linearised: the errors of the log-law that the parameters' covariance implies, times
        Student's t. inf (from 0) where there is a flat direction.
        """
        points, _ = self._points(variables)
        value, half = self._linearised(lambda theta: self._log_law(points, theta))
        with np.errstate(over="ignore"):
            return Band(np.exp(value), np.exp(value - half), np.exp(value + half))

    def local_slope(self, n: npt.ArrayLike) -> Band:
        """Return d ln loss / d ln n of the law, floor included, with its interval, (k,) each.

        Linearised, as :meth:`band`. For laws of one variable.
        """
        law = self.law
        if not isinstance(law, CurveLaw):
            raise ValueError(f"law must be of one variable for a local slope, got {law.name}")
        points, _ = self._points((n,))
        t = points[0] - self._solved.origin[0]

        def slope(theta: Floats) -> Floats:
            q = theta.shape[1] - int(law.floor)
            log_g, falls = law.log_g(theta[:, 1:q], t)
            part = theta[:, :1] + log_g
            if not law.floor:
                return np.asarray(falls)
            with np.errstate(divide="ignore"):
                log_floor = np.log(np.maximum(theta[:, -1:], 0.0))
            return np.asarray(falls * np.exp(part - np.logaddexp(part, log_floor)))

        value, half = self._linearised(slope)
        return Band(value, value - half, value + half)

    def bootstrap(self, replicates: int = 999) -> dict[str, Interval]:
        """Return percentile intervals of residual bootstraps.

        Residuals are centred, inflated by sqrt(m / (m - p)) and drawn with replacement (Davison
        and Hinkley, Bootstrap Methods and their Application, 1997, chapter 7); each replicate is
        fitted from the best of all shapes. Drawn from the fit's seed: a second call draws anew.
        """
        count = _validate.whole("replicates", replicates, low=19)
        laws = _bootstrap.replicates(
            self._solved.problem, self._solved.theta, self._solved.found, self._generator, count
        )
        return _bootstrap.percentiles(self._reported(laws), self.law.parameters, self.level)

    def summary(self) -> dict[str, float | str]:
        """Return the fit as one row of a table: estimates, intervals, criteria, status."""
        row: dict[str, float | str] = {"law": self.law.name}
        for name, value in self.estimates.items():
            row[name] = value
            row[f"{name}_low"], row[f"{name}_high"] = self.intervals[name]
        row |= {"objective": self.objective, "rss": self.rss, "aic": self.aic, "aicc": self.aicc}
        row |= {"bic": self.bic, "n_points": self.n_points, "level": self.level}
        return row | {"status": self.status, "message": self.message}

    def __repr__(self) -> str:
        values = ", ".join(
            f"{name}={self.estimates[name]:.5g} [{low:.5g}, {high:.5g}]"
            for name, (low, high) in self.intervals.items()
        )
        return f"LawFit({self.law.name!r}: {values}, level={self.level:g}, status={self.status!r})"

    def _points(self, variables: Sequence[npt.ArrayLike]) -> tuple[Floats, tuple[int, ...]]:
        names = self.law.variables
        if len(variables) != len(names):
            raise ValueError(f"variables must be {', '.join(names)}, got {len(variables)} of them")
        shape = np.shape(variables[0])
        rows = [
            _validate.reals(name, np.asarray(values).reshape(-1), low=0.0, low_open=True)
            for name, values in zip(names, variables, strict=True)
        ]
        for name, row in zip(names, rows, strict=True):
            same_length(name, row, rows[0], names[0])
        return np.log(np.stack(rows)), shape

    def _log_law(self, points: Floats, theta: Floats) -> Floats:
        return self._solved.log_law(self.law, points, theta)

    def _linearised(self, function: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
        """Return a function of theta at the estimate, and the half-width of its interval."""
        from scipy.special import stdtrit

        theta = self._solved.theta
        value = function(theta[None, :])[0]
        if not np.isfinite(self._covariance).all():
            return value, np.full_like(value, math.inf)
        steps = np.diag(1e-6 * np.maximum(np.abs(theta), 1e-3))
        slopes = (function(theta + steps) - function(theta - steps)) / (
            2.0 * np.diag(steps)[:, None]
        )
        on_bound = np.diag(self._covariance) == 0.0
        slopes[on_bound] = 0.0  # one-sided, and without error
        variance = np.einsum("ik,ij,jk->k", slopes, self._covariance, slopes)
        t = float(stdtrit(self.n_points - self.parameters, 0.5 * (1.0 + self.level)))
        return value, t * np.sqrt(np.maximum(variance, 0.0))

    def _reported(self, theta: Floats) -> Floats:
        """Turn laws (r, p) into the parameters that the formula names, (r, p)."""
        return reported(self.law, self._solved, theta)


def fit_law(
    n: npt.ArrayLike,
    loss: npt.ArrayLike,
    law: str | Law,
    *,
    weights: npt.ArrayLike | None = None,
    huber: float | None = None,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> LawFit:
    """Fit a law of one variable.

    Parameters
    ----------
    n : (m,) array_like
        Positive sizes (latents, widths, compute), not all equal; numbers of latents above 1 for
        the laws that hold for those only.
    loss : (m,) array_like
        Positive losses.
    law : CurveLaw or str
        The law, or its name: see ``laws.names()``.
    weights : (m,) array_like, optional
        Positive inverse variances of the losses, up to a common factor: half the sum of
        weight * (loss - law)^2 is minimised. None: half the sum of (log loss - log law)^2.
    huber : float, optional
        Without ``weights``: the sum (not the mean) of Huber's loss of log loss - log law is
        minimised, r^2/2 up to ``huber`` and huber (|r| - huber/2) beyond.
    level : float
        Confidence level of the intervals, in (0, 1).
    seed : int or numpy.random.Generator
        Of the bootstrap.

    Returns
    -------
    LawFit

    Raises
    ------
    ValueError
        For input outside the ranges above, lengths that differ, both ``weights`` and ``huber``, or
        no more points, or values of n, than parameters.

    Notes
    -----
    The search is global: the amplitude is eliminated (variable projection; Golub and Pereyra,
    Inverse Problems 19, R1, 2003) at all shapes and floors on a grid, the best are taken downhill
    together, together with the best simpler laws that this one contains, and the lowest is
    polished. Results do not depend on the units of loss and n.
    """
    found = law_of("law", law)
    n = _validate.reals("n", n, low=0.0, low_open=True)
    return fit_points(found, (n,), loss, weights=weights, huber=huber, level=level, seed=seed)


def fit_points(
    law: Law,
    variables: tuple[Floats, ...],
    loss: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None,
    huber: float | None,
    level: float,
    seed: int | np.random.Generator,
) -> LawFit:
    """Fit any law; the variables are checked already."""
    level = _validate.real("level", level, low=0.0, high=1.0, low_open=True, high_open=True)
    generator = _generator(seed)
    loss, root, delta = checked(law, variables, loss, weights, huber)
    solved = solve(law, np.log(np.stack(variables)), loss, root, delta)
    problem, theta = solved.problem, solved.theta
    errors = problem.z - problem.predict(theta[None, :])[0]
    spread = _profile.spread(problem, errors)
    limit = _profile.threshold(problem, solved.least, spread.tau, level)
    wide = _profile.unroofed(problem, limit)
    estimates, intervals, opened = parameters_of(law, solved, wide, limit)

    covariance, flat = _summary.covariance(problem, theta, spread.variance)
    names = law.parameters
    flat_names = tuple(names[i] for i in flat)
    bounded = law.exponents if law.floor or len(law.exponents) > 1 else ()
    floor = names[-1] if law.floor else None
    doubt = undecided(law, solved, limit)
    status, message = _summary.status_of(
        names, law.linear, floor, bounded, estimates, intervals, opened, flat_names, doubt,
        level, float(loss.min()),
    )  # fmt: skip
    exponent = exponent_of(law, estimates, intervals)
    if exponent is not None and exponent[0] < 0.0:
        message += " In the end this law rises with n: it describes these points and no others."
    if weights is None:
        factor = 1.0
    else:
        factor = solved.unit * math.sqrt(float(np.max(np.asarray(weights, dtype=np.float64))))
    residuals = errors * factor
    residuals.flags.writeable = False
    information = _summary.criteria(problem, errors, solved.least, solved.unit)
    return LawFit(
        law=law,
        estimates=estimates,
        intervals=intervals,
        exponent=exponent,
        level=level,
        objective=solved.least * factor * factor,
        rss=float(residuals @ residuals),
        aic=information.aic,
        aicc=information.aicc,
        bic=information.bic,
        residuals=residuals,
        n_points=int(loss.size),
        huber=None if huber is None else float(huber),
        flat=flat_names,
        status=status,
        message=message,
        _solved=solved,
        _covariance=covariance,
        _generator=generator,
    )


def _generator(seed: int | np.random.Generator) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(_validate.whole("seed", seed))
