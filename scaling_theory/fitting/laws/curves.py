"""Laws of one variable in closed form.

- :class:`PowerLaw`: one exponent, with or without a floor. Start here.
- :class:`BrokenPowerLaw`: one smooth change of exponent; needs points on either side.
- :class:`ExponentialLaw`: an approach to a floor without a power tail; what a floor with a power
  law should be held against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting.laws.law import STEEPEST, CurveLaw, Law


def check_flag(name: str, value: bool) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def floor_text(floor: bool) -> str:
    """How names and formulas mention a floor."""
    return " + floor" if floor else ""


def slopes(t: Floats, floor: bool) -> tuple[float, float]:
    """Bounds of an exponent.

    At a bound the term is down to rounding at all points but the first (or the last): whatever
    lies beyond is the same law on these points.
    """
    t = np.unique(t)
    return (0.0 if floor else float(-STEEPEST / (t[-1] - t[-2]))), float(STEEPEST / (t[1] - t[0]))


def slope_grid(t: Floats, floor: bool, size: int) -> Floats:
    """Exponents from 0 and too flat to matter to the bounds, evenly in the logarithm."""
    low, high = slopes(t, floor)
    flat = 0.02 / (t.max() - t.min())
    falling = np.append(0.0, np.geomspace(flat, high, size))
    return falling if floor else np.concatenate([-np.geomspace(flat, -low, size)[::-1], falling])


@final
@dataclass(frozen=True)
class PowerLaw(CurveLaw):
    """scale * n^-exponent (+ floor)."""

    floor: bool = True

    source = "Hestness et al. (2017), arXiv:1712.00409, section 3"
    logs = ("scale",)
    exponents = ("exponent",)
    shape = ("exponent",)
    counts = False
    least = 0.0

    def __post_init__(self) -> None:
        check_flag("floor", self.floor)

    @property
    def name(self) -> str:  # type: ignore[override]
        """Its name."""
        return f"power law{floor_text(self.floor)}"

    @property
    def formula(self) -> str:  # type: ignore[override]
        """Its formula."""
        return f"scale n^-exponent{floor_text(self.floor)}"

    def log_g(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """A straight line."""
        return -shape * t, np.broadcast_to(-shape, (shape.shape[0], t.size))

    def by_shape(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """Minus t."""
        return -shape * t, np.broadcast_to(-t[None, :, None], (shape.shape[0], t.size, 1))

    def shape_bounds(self, t: Floats) -> tuple[Floats, Floats]:
        """As far as exponents differ on these points; at least 0 with a floor."""
        low, high = slopes(t, self.floor)
        return np.array([low]), np.array([high])

    def grid(self, t: Floats) -> Floats:
        """Exponents evenly in the logarithm."""
        return slope_grid(t, self.floor, 40)[:, None]

    def shift(self, origin: Floats) -> Floats:
        """The scale is that at n = 1."""
        return np.array([[1.0, origin[0]], [0.0, 1.0]])

    def offset(self, origin: Floats) -> Floats:  # noqa: ARG002
        """None."""
        return np.zeros(2)

    def contains(self, logs: Floats) -> list[tuple[Law, Floats, Floats]]:  # noqa: ARG002
        """Nothing simpler."""
        return []


@final
@dataclass(frozen=True)
class BrokenPowerLaw(CurveLaw):
    """scale * n^-early_exponent * (1 + (n/break)^(1/width))^(-width (exponent - early_exponent)).

    The local exponent goes from ``early_exponent`` far below the break to ``exponent`` far above
    it, within a factor of about exp(width) on either side. In the source's letters early_exponent
    = c_0, exponent = c_0 + c_1, break = d_1, width = f_1.
    """

    floor: bool = True

    source = "Caballero et al. (2023), arXiv:2210.14891, equation 1, one break"
    logs = ("scale", "break", "width")
    exponents = ("exponent",)
    shape = ("early_exponent", "exponent", "break", "width")
    counts = False
    least = 0.0

    def __post_init__(self) -> None:
        check_flag("floor", self.floor)

    @property
    def name(self) -> str:  # type: ignore[override]
        """Its name."""
        return f"broken power law{floor_text(self.floor)}"

    @property
    def formula(self) -> str:  # type: ignore[override]
        """Its formula."""
        return (
            "scale n^-early_exponent (1 + (n/break)^(1/width))^(-width (exponent - "
            f"early_exponent)){floor_text(self.floor)}"
        )

    def log_g(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """A line that bends."""
        early, late, log_break, log_width = (shape[:, i : i + 1] for i in range(4))
        width = np.exp(log_width)
        x = (t - log_break) / width
        bend = late - early
        past = _sigmoid(x)
        return -early * t - bend * width * np.logaddexp(0.0, x), -early - bend * past

    def by_shape(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """The derivatives."""
        early, late, log_break, log_width = (shape[:, i : i + 1] for i in range(4))
        width = np.exp(log_width)
        x = (t - log_break) / width
        bend, past = late - early, _sigmoid(x)
        soft = width * np.logaddexp(0.0, x)
        by_width = -bend * (soft - width * x * past)
        slopes = np.stack([soft - t, -soft, bend * past, by_width], axis=2)
        return -early * t - bend * soft, slopes

    def shape_bounds(self, t: Floats) -> tuple[Floats, Floats]:
        """A break within the points, of a width from a tenth of their closest two to twice all."""
        low, high = slopes(t, self.floor)
        first, last = float(t.min()), float(t.max())
        gap = float(np.diff(np.unique(t)).min())
        widths = np.log([0.1 * gap, 2.0 * (last - first)])
        return (
            np.array([low, low, first, widths[0]]),
            np.array([high, high, last, widths[1]]),
        )

    def grid(self, t: Floats) -> Floats:
        """Two exponents, breaks between the points, three widths."""
        span = float(t.max() - t.min())
        steep = [0.0, *np.geomspace(0.1, 30.0, 8) / span]
        if not self.floor:
            steep = [-0.5 / span, -3.0 / span, *steep]
        breaks = t.min() + span * np.array([0.15, 0.35, 0.5, 0.65, 0.85])
        widths = np.log(span * np.array([0.02, 0.1, 0.4]))
        mesh = np.meshgrid(steep, steep, breaks, widths, indexing="ij")
        low, high = self.shape_bounds(t)
        return np.asarray(np.clip(np.stack([part.ravel() for part in mesh], axis=1), low, high))

    def shift(self, origin: Floats) -> Floats:
        """The scale is that at n = 1, were the early law to go on."""
        out = np.eye(5)
        out[0, 1] = origin[0]
        return out

    def offset(self, origin: Floats) -> Floats:
        """The break is a size."""
        return np.array([0.0, 0.0, 0.0, origin[0], 0.0])

    def contains(self, logs: Floats) -> list[tuple[Law, Floats, Floats]]:
        """The power law: two equal exponents."""
        low, high = self.shape_bounds(logs[0])
        matrix = np.zeros((5, 2))
        matrix[0, 0] = matrix[1, 1] = matrix[2, 1] = 1.0
        middle = 0.5 * (low + high)
        return [(PowerLaw(self.floor), matrix, np.array([0.0, 0.0, 0.0, *middle[2:]]))]


@final
@dataclass(frozen=True)
class ExponentialLaw(CurveLaw):
    """floor + scale * exp(-n / length)."""

    floor = True
    source = "the approach to a floor without a power tail; the usual alternative"
    name = "exponential + floor"
    formula = "scale exp(-n/length) + floor"
    logs = ("scale", "length")
    exponents = ()
    shape = ("length",)
    counts = False
    least = 0.0

    def log_g(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """Minus n over the length."""
        with np.errstate(over="ignore"):
            ratio = np.exp(t - shape)
        return -ratio, -ratio

    def by_shape(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """The derivative by the logarithm of the length."""
        with np.errstate(over="ignore"):
            ratio = np.exp(t - shape)
        return -ratio, ratio[..., None]

    def shape_bounds(self, t: Floats) -> tuple[Floats, Floats]:
        """From a fall that is over at the second point to one that has hardly begun at the last."""
        n = np.exp(np.unique(t))
        return np.array([np.log((n[1] - n[0]) / STEEPEST)]), np.array([np.log(1e3 * n[-1])])

    def grid(self, t: Floats) -> Floats:
        """Lengths evenly in the logarithm."""
        low, high = self.shape_bounds(t)
        return np.linspace(low, high, 60)

    def shift(self, origin: Floats) -> Floats:  # noqa: ARG002
        """The scale is that at n = 0."""
        return np.eye(2)

    def offset(self, origin: Floats) -> Floats:
        """The length is a size."""
        return np.array([0.0, origin[0]])

    def contains(self, logs: Floats) -> list[tuple[Law, Floats, Floats]]:  # noqa: ARG002
        """Nothing simpler."""
        return []


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))
