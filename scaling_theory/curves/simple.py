"""Curves that end: a discrete feature, an exponential approach, a basis solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.curves.base import ConvexCurve


@final
@dataclass(frozen=True, eq=False, repr=False)
class DiscreteCurve(ConvexCurve):
    """L(0) = 1 and L(n) = residual from n = 1 on: a feature that one latent explains.

    Parameters
    ----------
    residual
        Loss of a discovered feature, in [0, 1): the sparsity cost, lambda in Michaud, Gorton and
        McGrath (2025), section 2.3. A number or one value per feature.
    """

    residual: Any = 0.0

    per_feature: ClassVar[tuple[str, ...]] = ("residual",)

    def __post_init__(self) -> None:
        check = self._parameter
        self._freeze(residual=check("residual", self.residual, low=0.0, high=1.0, high_open=True))

    @property
    def limit(self) -> Any:
        """The residual."""
        return self.residual

    @property
    def tail_exponent(self) -> Any:
        """Infinite: nothing is gained after the first latent."""
        return np.inf if self.size is None else np.full(self.size, np.inf)

    def excess(self, n: Floats) -> Floats:
        """1 - residual before the first latent, 0 after it."""
        return np.asarray(np.where(n < 1.0, 1.0 - self.residual, 0.0))

    def envelope_gain(self, n: Floats) -> Floats:
        """1 - residual for the first latent, 0 for others."""
        return np.asarray(np.where(n == 1.0, 1.0 - self.residual, 0.0))

    def _invert(self, gain: Floats) -> tuple[Floats, Floats]:
        # Rounding of price / weight can hide a tie at the edge: let the predicate decide there.
        ratio = (1.0 - self.residual) / gain
        x = np.where(ratio >= 1.0, 1.0, 0.0)
        return x, np.where(np.abs(ratio - 1.0) < 1e-14, 0.0, -1.0)


@final
@dataclass(frozen=True, eq=False, repr=False)
class ExponentialCurve(ConvexCurve):
    """L(n) = floor + scale exp(-rate n).

    Parameters
    ----------
    rate
        Decay per latent, greater than 0 (at most 700).
    scale, floor
        Amplitude (greater than 0) and limit (at least 0) of the loss.

    Each may be an array with one value per feature.
    """

    rate: Any
    scale: Any = 1.0
    floor: Any = 0.0

    smooth: ClassVar[bool] = True
    per_feature: ClassVar[tuple[str, ...]] = ("rate", "scale", "floor")

    def __post_init__(self) -> None:
        check = self._parameter
        self._freeze(
            rate=check("rate", self.rate, low=0.0, low_open=True, high=700.0),
            scale=check("scale", self.scale, low=0.0, low_open=True),
            floor=check("floor", self.floor, low=0.0),
        )

    @property
    def limit(self) -> Any:
        """The floor."""
        return self.floor

    @property
    def tail_exponent(self) -> Any:
        """Infinite: faster than any power."""
        return np.inf if self.size is None else np.full(self.size, np.inf)

    def excess(self, n: Floats) -> Floats:
        """Scale exp(-rate n)."""
        return np.asarray(self.scale * np.exp(-self.rate * n))

    def envelope_gain(self, n: Floats) -> Floats:
        """Scale exp(-rate (n-1)) (1 - exp(-rate)); underflows to 0 near n = 745 / rate."""
        return np.asarray(self.scale * -np.expm1(-self.rate) * np.exp(-self.rate * (n - 1.0)))

    def _invert(self, gain: Floats) -> tuple[Floats, Floats]:
        ratio = self.scale * -np.expm1(-self.rate) / gain
        x = np.maximum(1.0 + np.log(ratio) / self.rate, 0.0)
        # A logarithm carries an absolute error, so divide it by the rate as well. Gains below
        # 1e-290 lose digits and then underflow: the predicate decides there.
        error = (1e-14 + 4e-16 * np.abs(np.log(ratio))) / self.rate + 1e-14 * x
        # subnormal numbers are rounded to a factor of up to 3
        return x, np.where(gain < 1e-290, 1.0 + 1.2 / self.rate, error)

    def continuous_latents(self, slope: Floats) -> Floats:
        """log(scale rate / slope) / rate, and 0 below 0."""
        return np.asarray(np.maximum(np.log(self.scale * self.rate / slope) / self.rate, 0.0))

    def continuous_excess(self, n: Floats) -> Floats:
        """Scale exp(-rate n)."""
        return self.excess(n)


@final
@dataclass(frozen=True, eq=False, repr=False)
class PlateauCurve(ConvexCurve):
    """A basis solution: from L(0) = 1 in a straight line to the floor at 2 dimension, then flat.

    Parameters
    ----------
    dimension
        Dimension d of the feature's subspace, a whole number of at least 1; the plateau begins
        at 2 d latents, one for each direction and sign.
    floor
        Loss of the basis solution, in [0, 1).

    Each may be an array with one value per feature.

    Notes
    -----
    Michaud, Gorton and McGrath (2025), Figure 3 right and appendix A.1: with radial variation
    the loss plateaus at about 2 d latents. The straight line is this package's simplification.
    """

    dimension: Any
    floor: Any = 0.0

    per_feature: ClassVar[tuple[str, ...]] = ("dimension", "floor")

    def __post_init__(self) -> None:
        check = self._parameter
        dimension = check("dimension", self.dimension, low=1.0, high=1e9)
        if (np.asarray(dimension) != np.floor(dimension)).any():
            raise ValueError(
                f"dimension must be a whole number of at least 1, got {self.dimension!r}"
            )
        floor = check("floor", self.floor, low=0.0, high=1.0, high_open=True)
        self._freeze(dimension=dimension, floor=floor)

    @property
    def limit(self) -> Any:
        """The floor."""
        return self.floor

    @property
    def tail_exponent(self) -> Any:
        """Infinite: flat from 2 d on."""
        return np.inf if self.size is None else np.full(self.size, np.inf)

    def excess(self, n: Floats) -> Floats:
        """(1 - floor) (1 - n / 2d), and 0 from 2d on."""
        left = np.maximum(2.0 * self.dimension - n, 0.0)
        return np.asarray((1.0 - self.floor) * (left / (2.0 * self.dimension)))

    def envelope_gain(self, n: Floats) -> Floats:
        """(1 - floor) / 2d up to n = 2d, then 0."""
        slope = (1.0 - self.floor) / (2.0 * self.dimension)
        return np.asarray(np.where(n <= 2.0 * self.dimension, slope, 0.0))

    def _invert(self, gain: Floats) -> tuple[Floats, Floats]:
        ratio = (1.0 - self.floor) / (2.0 * self.dimension) / gain
        x = np.where(ratio >= 1.0, 2.0 * self.dimension, 0.0)
        return x, np.where(np.abs(ratio - 1.0) < 1e-14, 0.0, -1.0)
