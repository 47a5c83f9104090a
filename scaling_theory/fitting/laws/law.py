"""What a law is: its names, its part as a function of parameters, where to look for them.

A :class:`Law` is mostly data. Fits work with ``theta``: the parameters with logarithms for those
in ``logs``, and logarithms of the variables measured from an origin near the points; ``report``
says how those become the parameters that the formula names. The floor, if any, comes last and is
a linear parameter. Laws of one variable share :class:`CurveLaw`; they are in ``curves.py`` and
``theory_law.py``, those of two variables in ``joint.py``.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._problem import Model, Problem

EPS = float(np.finfo(np.float64).eps)
#: A power term that falls by this exponent from one point to the next is down to rounding.
STEEPEST = float(-np.log(EPS))


class Law(abc.ABC):
    """A law that :func:`fit_law` fits.

    Attributes
    ----------
    name : str
        What tables call it.
    formula : str
        The law in the names of its variables and parameters.
    variables : tuple of str
        What it is a function of.
    parameters : tuple of str
        In the order of the formula's estimates; a floor comes last.
    linear : tuple of str
        The parameters in which the law is linear.
    logs : tuple of str
        Positive parameters that are fitted by their logarithm.
    in_loss : tuple of str
        Those of ``logs`` that have the unit of the loss.
    floor : bool
        Whether the last parameter is a floor.
    exponents : tuple of str
        Parameters whose smallest is the exponent with which the excess falls in the end; empty
        where the law has no such exponent.
    source : str
        Where it is from.
    """

    name: str
    formula: str
    variables: tuple[str, ...]
    parameters: tuple[str, ...]
    linear: tuple[str, ...]
    logs: tuple[str, ...]
    in_loss: tuple[str, ...]
    floor: bool
    exponents: tuple[str, ...]
    source: str

    @abc.abstractmethod
    def origin(self, logs: Floats) -> Floats:
        """Where logarithms of the variables (v, m) are measured from, (v,)."""

    @abc.abstractmethod
    def model(self, logs: Floats) -> Model:
        """The part at points whose logarithms, from the origin, are ``logs`` (v, m)."""

    @abc.abstractmethod
    def shift(self, origin: Floats) -> Floats:
        """Matrix (q, q) that turns theta without the floor into the parameters (or their logs).

        It has ones on its diagonal.
        """

    @abc.abstractmethod
    def offset(self, origin: Floats) -> Floats:
        """What is added to that, (q,)."""

    @abc.abstractmethod
    def bounds(self, logs: Floats) -> tuple[Floats, Floats]:
        """Lower and upper bounds of theta without the floor, (q,) each."""

    @abc.abstractmethod
    def starts(self, problem: Problem, logs: Floats) -> Floats:
        """Spread laws over all shapes, each at its best linear parameters: (s, p)."""

    @abc.abstractmethod
    def contains(self, logs: Floats) -> list[tuple[Law, Floats, Floats]]:
        """Simpler laws of which this one is an extension, and how to read them as this one.

        Each comes with a matrix and a vector: theta here = matrix @ theta there + vector, floors
        left out.
        """


class CurveLaw(Law):
    """A law of n: scale * g(n; shape) + floor, with g given by its logarithm."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[str, ...]:
        """Names of the parameters of g."""

    @property
    @abc.abstractmethod
    def counts(self) -> bool:
        """Whether n is a number of units (latents), so that its unit can't be changed."""

    @property
    @abc.abstractmethod
    def least(self) -> float:
        """Where n is a count: the least n at which the law can be asked."""

    @abc.abstractmethod
    def log_g(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """Return ln g (r, m) and d ln g / dt at shapes (r, s) and t (m,) = ln n - origin."""

    @abc.abstractmethod
    def by_shape(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """Return ln g (r, m) and its derivatives by the shape, (r, m, s)."""

    @abc.abstractmethod
    def shape_bounds(self, t: Floats) -> tuple[Floats, Floats]:
        """Bounds of the shape, (s,) each."""

    @abc.abstractmethod
    def grid(self, t: Floats) -> Floats:
        """Shapes (k, s), coarsely all."""

    @property
    def variables(self) -> tuple[str, ...]:  # type: ignore[override]
        """One: n."""
        return ("n",)

    @property
    def parameters(self) -> tuple[str, ...]:  # type: ignore[override]
        """Scale, shape, floor."""
        return ("scale", *self.shape, *(("floor",) if self.floor else ()))

    @property
    def in_loss(self) -> tuple[str, ...]:  # type: ignore[override]
        """The scale."""
        return ("scale",)

    @property
    def linear(self) -> tuple[str, ...]:  # type: ignore[override]
        """Scale and floor."""
        return ("scale", "floor") if self.floor else ("scale",)

    def origin(self, logs: Floats) -> Floats:
        """The mean logarithm, or 0 where n is a count."""
        return np.zeros(1) if self.counts else np.asarray(logs.mean(axis=1))

    def model(self, logs: Floats) -> Model:
        """The part: scale * g."""
        return _Part(self, logs[0])

    def bounds(self, logs: Floats) -> tuple[Floats, Floats]:
        """Any scale, and the bounds of the shape."""
        low, high = self.shape_bounds(logs[0])
        return np.append(-np.inf, low), np.append(np.inf, high)

    def starts(self, problem: Problem, logs: Floats) -> Floats:
        """Return all shapes with the best of a few floors each, and the amplitude that suits."""
        shapes = self.grid(logs[0])
        log_g = self.log_g(shapes, logs[0])[0]
        laws = []
        for floor in _floors(problem):
            level = _levels(problem, log_g, floor)
            parts = [level[:, None], shapes]
            if self.floor:
                parts.append(np.full((shapes.shape[0], 1), floor))
            laws.append(np.concatenate(parts, axis=1))
        every = np.stack(laws, axis=1)  # (shapes, floors, p)
        value = problem.objective(every.reshape(-1, every.shape[2])).reshape(every.shape[:2])
        return np.asarray(every[np.arange(every.shape[0]), np.argmin(value, axis=1)])

    def __call__(self, n: Floats, *values: float) -> Floats:
        """Return the law at ``n`` for parameters in the order of ``parameters``."""
        if len(values) != len(self.parameters):
            raise ValueError(
                f"values must be {len(self.parameters)}, for {', '.join(self.parameters)}, "
                f"got {len(values)}"
            )
        shape = dict(zip(self.parameters, values, strict=True))
        x = _validate.reals("n", np.asarray(n).reshape(-1), low=0.0, low_open=True)
        theta = np.array(
            [[np.log(shape[name]) if name in self.logs else shape[name] for name in self.shape]]
        )
        part = shape["scale"] * np.exp(self.log_g(theta, np.log(x))[0][0])
        return np.asarray((part + shape.get("floor", 0.0)).reshape(np.shape(n)))


@final
@dataclass(frozen=True)
class _Part:
    """The part of a :class:`CurveLaw` at given t."""

    law: CurveLaw
    t: Floats

    def log_part(self, theta: Floats) -> Floats:
        return np.asarray(theta[:, :1] + self.law.log_g(theta[:, 1:], self.t)[0])

    def log_slopes(self, theta: Floats) -> tuple[Floats, Floats]:
        log_g, slopes = self.law.by_shape(theta[:, 1:], self.t)
        ones = np.ones((*slopes.shape[:2], 1))
        return np.asarray(theta[:, :1] + log_g), np.concatenate([ones, slopes], axis=2)


def _floors(problem: Problem) -> Floats:
    """Floors from 0 to just below the smallest loss, denser towards it, and some above it."""
    if not problem.floored:
        return np.zeros(1)
    short = np.array([1.0, 0.8, 0.6, 0.4, 0.25, 0.15, 0.08, 0.04, 0.02, 0.01, 3e-3, 1e-3])
    smallest = float(problem.y.min())
    floors = (1.0 - short) * smallest
    if problem.high[-1] > smallest:
        floors = np.append(floors, np.quantile(problem.y, [0.1, 0.25, 0.4, 0.6]))
    return floors


def _levels(problem: Problem, log_g: Floats, floor: float) -> Floats:
    """Amplitudes (logarithms) that suit shapes best above a floor, in least squares.

    Exact where the amplitude is a linear parameter; with a floor in log-loss, a few
    Gauss-Newton steps from the mean of log(y - floor).
    """
    if problem.root_weight is None:
        excess = np.log(np.maximum(problem.y - floor, 1e-6 * problem.y))
        level = np.mean(excess - log_g, axis=1, keepdims=True)
        if floor > 0.0:
            for _ in range(3):
                value = np.logaddexp(level + log_g, np.log(floor))
                share = np.exp(level + log_g - value)
                curvature = np.maximum(np.sum(share**2, axis=1), 1e-280)
                step = np.sum((problem.z - value) * share, axis=1) / curvature
                level = level + np.clip(step, -5.0, 5.0)[:, None]
        return np.asarray(np.nan_to_num(level[:, 0]))
    top = log_g.max(axis=1, keepdims=True)
    basis = problem.root_weight * np.exp(log_g - top)
    above = problem.root_weight * (problem.y - floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = np.sum(basis * above, axis=1) / np.sum(basis**2, axis=1)
        return np.asarray(np.nan_to_num(np.log(np.maximum(best, 1e-6)) - top[:, 0]))
