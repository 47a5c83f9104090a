"""Laws that the theory of allocation suggests, for n a number of latents.

- :class:`TheoryLaw`: the excess loss in closed form, with its two exponents free. It asks which
  alpha and beta would give these losses if every feature had the curve (1+n)^-beta. The local
  slope lies between the two and moves from one to the other over many decades, much the same
  whichever is which: short curves do not tell (alpha, beta) from (beta, alpha), and fits say so.
- :class:`LogCorrectedLaw`: a power law times a power of ln n; ``critical=True`` ties the two as
  the leading term does at alpha = beta.

As n is a count, its unit is part of these laws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._uniform import log_excess, log_excess_slopes
from scaling_theory.fitting.laws.curves import PowerLaw, check_flag, floor_text, slope_grid, slopes
from scaling_theory.fitting.laws.law import CurveLaw, Law

#: Exponents that are tried, from slopes too small to be seen to ones that no SAE shows.
LOWEST, HIGHEST = 0.01, 5.0


@final
@dataclass(frozen=True)
class LogCorrectedLaw(CurveLaw):
    """scale * n^-exponent * (ln n)^log_exponent (+ floor), n > 1 a number of latents.

    With ``critical=True``, log_exponent = 1 + exponent: the leading term of the theory at
    alpha = beta, where the excess is of order N^-alpha (ln N)^(1+alpha).
    """

    floor: bool = True
    critical: bool = False

    source = "Michaud, Gorton and McGrath (2025), appendix B; alpha = beta: derived in theory/laws"
    logs = ("scale",)
    exponents = ("exponent",)
    counts = True
    least = math.nextafter(1.0, 2.0)

    def __post_init__(self) -> None:
        check_flag("floor", self.floor)
        check_flag("critical", self.critical)

    @property
    def shape(self) -> tuple[str, ...]:
        """One exponent, or two."""
        return ("exponent",) if self.critical else ("exponent", "log_exponent")

    @property
    def name(self) -> str:  # type: ignore[override]
        """Its name."""
        kind = "critical" if self.critical else "log-corrected"
        return f"{kind} power law{floor_text(self.floor)}"

    @property
    def formula(self) -> str:  # type: ignore[override]
        """Its formula."""
        power = "(1 + exponent)" if self.critical else "log_exponent"
        return f"scale n^-exponent (ln n)^{power}{floor_text(self.floor)}"

    def log_g(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """A line and a logarithm."""
        b, c = shape[:, :1], (1.0 + shape[:, :1] if self.critical else shape[:, 1:])
        return -b * t + c * np.log(t), -b + c / t

    def by_shape(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """The derivatives."""
        columns = [np.log(t) - t] if self.critical else [-t, np.log(t)]
        out = np.stack(columns, axis=1)
        return self.log_g(shape, t)[0], np.broadcast_to(out, (shape.shape[0], *out.shape))

    def shape_bounds(self, t: Floats) -> tuple[Floats, Floats]:
        """Exponents as of a power law; up to 50 powers of the logarithm either way."""
        if float(t.min()) <= 0.0:
            raise ValueError(
                f"n must hold numbers greater than 1 for the {self.name}, got {np.exp(t.min()):g}"
            )
        low, high = slopes(t, self.floor)
        if self.critical:
            return np.array([low]), np.array([high])
        return np.array([low, -50.0]), np.array([high, 50.0])

    def grid(self, t: Floats) -> Floats:
        """Exponents evenly in the logarithm, a few powers of the logarithm each."""
        exponents = slope_grid(t, self.floor, 40)
        if self.critical:
            return exponents[:, None]
        powers = [-20.0, -5.0, -1.0, 0.0, 1.0, 2.0, 5.0, 20.0]
        mesh = np.meshgrid(exponents, powers, indexing="ij")
        return np.stack([part.ravel() for part in mesh], axis=1)

    def shift(self, origin: Floats) -> Floats:  # noqa: ARG002
        """None: n is a count."""
        return np.eye(1 + len(self.shape))

    def offset(self, origin: Floats) -> Floats:  # noqa: ARG002
        """None."""
        return np.zeros(1 + len(self.shape))

    def contains(self, logs: Floats) -> list[tuple[Law, Floats, Floats]]:
        """The power law, and the critical one."""
        if self.critical:
            return []
        origin = PowerLaw(self.floor).origin(logs)[0]
        power = np.array([[1.0, origin], [0.0, 1.0], [0.0, 0.0]])
        critical = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        return [
            (PowerLaw(self.floor), power, np.zeros(3)),
            (LogCorrectedLaw(self.floor, critical=True), critical, np.array([0.0, 0.0, 1.0])),
        ]


@final
@dataclass(frozen=True)
class TheoryLaw(CurveLaw):
    """scale * E(n; alpha, beta) (+ floor), with E the excess of ``predict(alpha=, beta=)``.

    n is a number of latents. Fitted by the logarithms of alpha and beta.
    """

    floor: bool = True

    source = "the uniform law, derived in scaling_theory.theory.laws.uniform"
    logs = ("scale", "alpha", "beta")
    exponents = ("alpha", "beta")
    shape = ("alpha", "beta")
    counts = True
    least = 1.0

    def __post_init__(self) -> None:
        check_flag("floor", self.floor)

    @property
    def name(self) -> str:  # type: ignore[override]
        """Its name."""
        return f"uniform law{floor_text(self.floor)}"

    @property
    def formula(self) -> str:  # type: ignore[override]
        """Its formula."""
        return f"scale E(n; alpha, beta){floor_text(self.floor)}"

    def log_g(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """The closed form."""
        alpha, beta = np.exp(shape).T
        return log_excess(alpha, beta, t)

    def by_shape(self, shape: Floats, t: Floats) -> tuple[Floats, Floats]:
        """In closed form but for central differences, whose error is of order 1e-8."""
        alpha, beta = np.exp(shape).T
        log_e, by_alpha, by_beta = log_excess_slopes(alpha, beta, t)
        return log_e, np.stack([by_alpha, by_beta], axis=2)

    def shape_bounds(self, t: Floats) -> tuple[Floats, Floats]:
        """Exponents from 0.01 to 5."""
        if float(t.min()) < 0.0:
            raise ValueError(
                f"n must hold numbers of at least 1 for the {self.name}, got {np.exp(t.min()):g}"
            )
        return np.full(2, np.log(LOWEST)), np.full(2, np.log(HIGHEST))

    def grid(self, t: Floats) -> Floats:  # noqa: ARG002
        """Both exponents evenly in the logarithm."""
        each = np.linspace(np.log(LOWEST), np.log(HIGHEST), 16)
        mesh = np.meshgrid(each, each, indexing="ij")
        return np.stack([part.ravel() for part in mesh], axis=1)

    def shift(self, origin: Floats) -> Floats:  # noqa: ARG002
        """None: n is a count."""
        return np.eye(3)

    def offset(self, origin: Floats) -> Floats:  # noqa: ARG002
        """None."""
        return np.zeros(3)

    def contains(self, logs: Floats) -> list[tuple[Law, Floats, Floats]]:  # noqa: ARG002
        """Nothing simpler within the bounds."""
        return []
