"""Data as distinct values with counts: what all of a tail's kinds compute with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints

Kind = Literal["continuous", "discrete", "poisson", "binned"]
KINDS = ("continuous", "discrete", "poisson", "binned")

#: Of the kinds that the kernels know.
CODES = {"continuous": 0, "discrete": 1, "poisson": 2}


@final
@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """Distinct values in increasing order, and how often each occurs.

    Attributes
    ----------
    values : (m,) floats
        Distinct, increasing.
    counts : (m,) ints
        At least 1 each.
    above : (m + 1,) floats
        Number of data at or above each value; a last 0.
    excess : (m,) floats
        Sum of ln(x / values[j]) over the data x at or above values[j].
    """

    values: Floats
    counts: Ints
    above: Floats
    excess: Floats

    @classmethod
    def of(cls, values: Floats, counts: Ints | None = None) -> Sample:
        """Take positive values, in any order; with ``counts``, distinct ones in increasing order.

        ``excess`` is summed from its positive terms, n_j+1 ln(values[j+1] / values[j]), from the
        top down: a difference of sums of logarithms would cancel.
        """
        if counts is None:
            values, numbers = np.unique(values, return_counts=True)
            counts = numbers.astype(np.int64)
        above = np.append(np.cumsum(counts[::-1])[::-1], 0).astype(np.float64)
        low, high = values[:-1], values[1:]
        with np.errstate(over="ignore"):
            near = np.log1p((high - low) / low)
        rise = np.where(high < 2.0 * low, near, np.log(high) - np.log(low))
        terms = np.append(above[1:-1] * rise, 0.0)
        return cls(values, counts, above, np.cumsum(terms[::-1])[::-1].copy())

    @property
    def size(self) -> int:
        """Number of data."""
        return int(self.above[0])

    def from_index(self, k: int) -> tuple[Floats, Ints]:
        """Distinct values and counts from index k on."""
        return self.values[k:], self.counts[k:]

    def up_to(self, top: float) -> Sample:
        """The data at or below ``top``."""
        end = int(np.searchsorted(self.values, top, side="right"))
        return self if end == self.values.size else Sample.of(self.values[:end], self.counts[:end])

    def resampled(self, generator: np.random.Generator) -> Sample:
        """As many data, drawn from these with replacement."""
        counts = generator.multinomial(self.size, self.counts / self.size)
        kept = np.flatnonzero(counts)
        return Sample.of(self.values[kept], counts[kept].astype(np.int64))


def checked(values: Any, kind: str) -> Floats:
    """Return data of that kind as an array: positive, and whole where they count something."""
    if kind == "continuous":
        return _validate.reals("values", values, low=0.0, low_open=True)
    return _validate.wholes("values", values, low=1).astype(np.float64)


def generator_of(seed: Any) -> np.random.Generator:
    """Return the generator that a seed stands for."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(_validate.whole("seed", seed))
