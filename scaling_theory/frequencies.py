"""How often each feature is active.

- :class:`PowerLawFrequencies`: p_i = c i^-(1+alpha); the theory's case, finite or infinite.
- :class:`ZipfMandelbrotFrequencies`: p_i = c (i+offset)^-(1+alpha); a flattened head.
- :class:`EmpiricalFrequencies`: any finite list of positive numbers, in any order.

Ranks count from 1. The frequencies of a law sum to ``total``: 1 unless stated otherwise (a total of
L0 makes them expected numbers of active features per input); listed ones are kept as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._sums import power_sum_after
from scaling_theory._validate import Floats, Ints

#: Largest number of features of a finite law: ranks stay exact in float64.
MAX_COUNT = 10**15


class Frequencies(ABC):
    """Frequencies p_i of features i = 1, 2, ...; an abstract interface."""

    count: int | None
    """Number of features, or None for infinitely many."""

    @property
    @abstractmethod
    def tail_exponent(self) -> float:
        """The alpha of p_i ~ i^-(1+alpha) for large i; nan where no law is stated."""

    @property
    @abstractmethod
    def normaliser(self) -> float:
        """The constant c of p_i ~ c i^-(1+alpha); nan where no law is stated."""

    @abstractmethod
    def _at(self, ranks: Ints | Floats) -> Floats:
        """Frequency of each rank, unchecked: shape (k,) -> (k,)."""

    @abstractmethod
    def _mass_after(self, ranks: Ints | Floats) -> Floats:
        """Sum of p_i over i > rank, unchecked: shape (k,) -> (k,)."""

    @final
    def at(self, ranks: Any) -> Floats:
        """Frequency p_i of each rank, whole numbers from 1, shape (k,) or one number -> (k,)."""
        most = self.count or MAX_COUNT
        return self._at(
            _validate.wholes("ranks", np.atleast_1d(np.asarray(ranks)), low=1, high=most)
        )

    @final
    def mass_after(self, ranks: Any) -> Floats:
        """Sum of p_i over i > rank, for whole ranks from 0, shape (k,) or one number -> (k,)."""
        most = self.count or MAX_COUNT
        at = _validate.wholes("ranks", np.atleast_1d(np.asarray(ranks)), low=0, high=most)
        return self._mass_after(at)


class ShiftedPower(Frequencies):
    """A law that decays as a shifted power of the rank, so that level sets have closed forms."""

    alpha: float
    total: float

    @property
    @abstractmethod
    def shift(self) -> float:
        """What is added to each rank before the power is taken."""

    @property
    @final
    def tail_exponent(self) -> float:
        """The exponent alpha."""
        return self.alpha

    @cached_property
    def _unit_mass(self) -> float:
        zero = np.zeros(1)
        return float(power_sum_after(zero, 1.0 + self.alpha, self.shift, self.count)[0])

    @property
    @final
    def normaliser(self) -> float:
        """The constant c; 1/zeta(1+alpha) for infinitely many features that sum to 1."""
        return self.total / self._unit_mass

    @final
    def _at(self, ranks: Ints | Floats) -> Floats:
        """Frequency of each rank."""
        x = np.ascontiguousarray(ranks, dtype=np.float64) + self.shift
        return np.asarray(self.normaliser * np.power(x, -(1.0 + self.alpha)))

    @final
    def _mass_after(self, ranks: Ints | Floats) -> Floats:
        """Sum of p_i over i > rank, as a sum of positive terms (no cancellation)."""
        k = np.asarray(ranks, dtype=np.float64)
        return self.normaliser * power_sum_after(k, 1.0 + self.alpha, self.shift, self.count)

    @final
    def rank_of(self, frequency: Floats) -> Floats:
        """Return the real-valued rank x at which the law equals ``frequency`` (may be < 1)."""
        with np.errstate(over="ignore", divide="ignore"):
            x = np.power(self.normaliser / frequency, 1.0 / (1.0 + self.alpha))
        return np.asarray(x - self.shift)


@final
@dataclass(frozen=True)
class PowerLawFrequencies(ShiftedPower):
    """p_i = c i^-(1+alpha), with sum p_i = total.

    Parameters
    ----------
    alpha
        Tail exponent of the loss of undiscovered features; 1 + alpha is the Zipf exponent.
        Greater than 0 for infinitely many features, greater than -1 for finitely many.
    count
        Number of features, or None (default) for infinitely many.
    total
        What the frequencies sum to.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    References
    ----------
    Michaud, Gorton and McGrath (2025), section 2.3.
    """

    alpha: float
    count: int | None = None
    total: float = 1.0

    def __post_init__(self) -> None:
        _check_power(self)
        _check_mass(self)

    @property
    def shift(self) -> float:
        """Zero: ranks are taken as they are."""
        return 0.0


@final
@dataclass(frozen=True)
class ZipfMandelbrotFrequencies(ShiftedPower):
    """p_i = c (i + offset)^-(1+alpha), with sum p_i = total.

    Parameters
    ----------
    alpha, count, total
        As in :class:`PowerLawFrequencies`.
    offset
        Flattens the head: ranks below it have nearly equal frequencies. Greater than -1.
    """

    alpha: float
    offset: float
    count: int | None = None
    total: float = 1.0

    def __post_init__(self) -> None:
        _check_power(self)
        value = _validate.real("offset", self.offset, low=-1.0, low_open=True, high=1e12)
        object.__setattr__(self, "offset", value)
        _check_mass(self)

    @property
    def shift(self) -> float:
        """The offset."""
        return self.offset


@final
@dataclass(frozen=True, eq=False)
class EmpiricalFrequencies(Frequencies):
    """Measured frequencies: any finite list of positive numbers.

    Rank i is the i-th entry as given; the list need not be sorted, so that it can be read beside
    per-feature parameters in the same order.

    Parameters
    ----------
    values
        Frequencies, shape (count,), each greater than 0.
    total
        What to rescale their sum to; None (default) keeps the values as they are.
    """

    values: Floats = field(repr=False)
    total: float | None = None

    def __post_init__(self) -> None:
        values = _validate.reals("values", self.values, low=0.0, low_open=True)
        with np.errstate(over="ignore"):
            sum_of_values = values.sum()
        if not np.isfinite(sum_of_values):
            raise ValueError(f"values must have a finite sum, got a largest value {values.max()!r}")
        if self.total is not None:
            total = _validate.real("total", self.total, low=0.0, low_open=True)
            values = values * (total / values.sum())
            if not (values > 0.0).all():
                raise ValueError(
                    f"total must leave every frequency greater than 0, got {self.total!r}"
                )
            values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @property
    def count(self) -> int:  # type: ignore[override]
        """Number of features."""
        return int(self.values.size)

    @property
    def tail_exponent(self) -> float:
        """Not stated by a list of numbers: nan."""
        return float("nan")

    @property
    def normaliser(self) -> float:
        """Not stated by a list of numbers: nan."""
        return float("nan")

    def _at(self, ranks: Ints | Floats) -> Floats:
        """Frequency of each rank."""
        return self.values[np.asarray(ranks).astype(np.int64) - 1]

    def _mass_after(self, ranks: Ints | Floats) -> Floats:
        """Sum of the values listed after each rank."""
        return self._tails[np.asarray(ranks).astype(np.int64)]

    @cached_property
    def _tails(self) -> Floats:
        return np.append(np.cumsum(self.values[::-1])[::-1], 0.0)


def _check_power(law: PowerLawFrequencies | ZipfMandelbrotFrequencies) -> None:
    if law.count is None:
        name = "alpha (with infinitely many features; count= allows more)"
        alpha = _validate.real(name, law.alpha, low=0.0, low_open=True, high=100.0)
    else:
        count = _validate.whole("count", law.count, low=1, high=MAX_COUNT)
        object.__setattr__(law, "count", count)
        alpha = _validate.real("alpha", law.alpha, low=-1.0, low_open=True, high=100.0)
    object.__setattr__(law, "alpha", alpha)
    object.__setattr__(law, "total", _validate.real("total", law.total, low=0.0, low_open=True))


def _check_mass(law: PowerLawFrequencies | ZipfMandelbrotFrequencies) -> None:
    """Refuse laws that float64 cannot hold."""
    with np.errstate(all="ignore"):
        first = float(law._at(np.ones(1))[0]) if 0.0 < law._unit_mass < np.inf else np.nan
    if not 0.0 < first < np.inf:
        raise ValueError(
            f"alpha must leave the frequencies within floating-point range, got {law.alpha!r} "
            f"with ranks shifted by {law.shift!r} and total {law.total!r}"
        )
