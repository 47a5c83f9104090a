"""A law with parameters ``theta`` against points: residuals, objective, derivatives.

Every law is part + floor, where the logarithm of the part is a smooth function of the other
parameters. The objective is a sum, never a mean, of rho(residual): rho(r) = r^2/2, or Huber's,
which goes on as delta (|r| - delta/2) beyond delta. Many laws, rows of ``theta``, are computed at
once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, final

import numpy as np

from scaling_theory._validate import Floats

_EPS = float(np.finfo(np.float64).eps)
_HUGE = 300.0  # a cap on logarithms, so that no square overflows


class Model(Protocol):
    """The logarithm of a law without its floor, at points (m,)."""

    def log_part(self, theta: Floats) -> Floats:
        """Logarithms (r, m) for parameters (r, q)."""

    def log_slopes(self, theta: Floats) -> tuple[Floats, Floats]:
        """Logarithms (r, m) and their derivatives by theta (r, m, q)."""


@final
@dataclass(frozen=True)
class Sheared:
    """A model in other coordinates: theta = basis @ phi.

    A linear function of theta becomes a coordinate, so that it can be held like any parameter.
    """

    model: Model
    basis: Floats

    def log_part(self, theta: Floats) -> Floats:
        """As the model."""
        return self.model.log_part(theta @ self.basis.T)

    def log_slopes(self, theta: Floats) -> tuple[Floats, Floats]:
        """As the model; derivatives by phi."""
        value, slopes = self.model.log_slopes(theta @ self.basis.T)
        return value, slopes @ self.basis


@final
@dataclass(frozen=True)
class Problem:
    """Points, the law without its numbers, and how distance is measured.

    Parameters
    ----------
    model : Model
        The part, bound to the points.
    y : (m,) floats
        Losses over their geometric mean.
    root_weight : (m,) floats or None
        Square roots of the weights; None measures distance in log-loss.
    huber : float
        Where squares end and straight lines begin, in the residual's units; inf for squares.
    floored : bool
        Whether the last column of theta is a floor, in units of y.
    low, high : (p,) floats
        Bounds of theta.
    """

    model: Model
    y: Floats
    root_weight: Floats | None
    huber: float
    floored: bool
    low: Floats
    high: Floats

    @cached_property
    def z(self) -> Floats:
        """The points as the objective sees them, (m,)."""
        return np.log(self.y) if self.root_weight is None else self.root_weight * self.y

    @property
    def parameters(self) -> int:
        """How many parameters the data choose, p."""
        return self.low.size

    @cached_property
    def rounding(self) -> float:
        """Objective below which a law meets the points up to floating-point rounding."""
        size = np.ones_like(self.y) if self.root_weight is None else self.root_weight * self.y
        return 0.5 * float(np.sum((64.0 * _EPS * size) ** 2))

    def predict(self, theta: Floats) -> Floats:
        """Laws (r, p) as the objective sees them at the points, (r, m)."""
        if not self.floored:
            return self._seen(self.model.log_part(theta), None)
        return self._seen(self.model.log_part(theta[:, :-1]), theta[:, -1:])

    def _seen(self, log_part: Floats, floor: Floats | None) -> Floats:
        if self.root_weight is None:
            return log_part if floor is None else np.logaddexp(log_part, _log(floor))
        part = np.exp(np.minimum(log_part, _HUGE))
        return self.root_weight * (part if floor is None else part + floor)

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return :meth:`predict` (r, m) and its derivatives by theta (r, m, p)."""
        shapes = theta[:, :-1] if self.floored else theta
        log_part, by_shape = self.model.log_slopes(shapes)
        value = self._seen(log_part, theta[:, -1:] if self.floored else None)
        if self.root_weight is None:
            share = np.exp(log_part - value)
            by_floor = np.exp(np.minimum(-value, _HUGE / 2))
        else:
            share = self.root_weight * np.exp(np.minimum(log_part, _HUGE))
            by_floor = np.broadcast_to(self.root_weight, value.shape)
        slopes = by_shape * share[..., None]
        if self.floored:
            slopes = np.concatenate([slopes, by_floor[..., None]], axis=-1)
        return value, slopes

    def rho(self, residuals: Floats) -> Floats:
        """Sum of rho over the last axis."""
        size = np.abs(residuals)
        inner = np.minimum(size, self.huber)
        with np.errstate(over="ignore", invalid="ignore"):
            out: Floats = np.sum(inner * (size - 0.5 * inner), axis=-1)
        return out

    def objective(self, theta: Floats, z: Floats | None = None) -> Floats:
        """Objective of the laws (r, p): (r,); inf where a law has no value."""
        with np.errstate(over="ignore", invalid="ignore"):
            out = self.rho((self.z if z is None else z) - self.predict(theta))
        return np.where(np.isnan(out), np.inf, out)

    def influence(self, residuals: Floats) -> Floats:
        """Derivative psi of rho."""
        return np.clip(residuals, -self.huber, self.huber)


def _log(values: Floats) -> Floats:
    """Logarithm with log 0 = -inf, silently."""
    with np.errstate(divide="ignore"):
        return np.log(values)
