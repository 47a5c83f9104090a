"""Parts of a population, each with its latents, discovered features and loss at a price.

- :class:`~scaling_theory.theory.laws.uniform.UniformLaw`: all ranks of an infinite law, one curve.
- :class:`ListedPart`: features listed one by one, counted exactly.
- :class:`ColumnPart`: a regular tail of ranks after the first thousand or so, finite or infinite,
  for any alpha above -1; sums over ranks are integrals, sums over latents partial sums.

The level set of a tail holds, at each n, the ranks up to y_n = Y u_n with Y = (c m(1) /
price)^(1/(1+alpha)) (ranks with their offset added). With A and B the ends of the tail, n_A and n_B
the latents on its first and last rank, w the share of the ranks that belong to it and
t(y) = (y^-alpha - B^-alpha)/alpha the mass beyond y in units of c w,

    N = w [(B - A) n_B + sum over n_B < n <= n_A of (y_n - A)],
    excess = c w [sum over n_B < n <= n_A of m(n) t(y_n) + (L(n_A) - L(inf)) t(A)].

Derived here. The midpoint rule over ranks leaves 1/(24 A^2) of the terms at A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, final

import numpy as np

from scaling_theory._sums import relative_expm1
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve
from scaling_theory.groups import ListedBlock, TailBlock
from scaling_theory.population import Population
from scaling_theory.theory.laws.level_sums import StretchSums
from scaling_theory.theory.laws.uniform import UniformLaw, uniform_law

#: Ranks up to here are listed, so that sums over the others may be integrals.
LISTED = 1024
#: And so many periods of a pattern.
_PERIODS = 32
#: Up to so many latents a listed feature's count is exact.
_COUNTED = 1e6
_MOST = 1e140


class Part(Protocol):
    """Some features: what they hold at a price."""

    @property
    def log_price_range(self) -> tuple[float, float]:
        """Logarithms of the prices below which not to ask and above which there is nothing."""

    @property
    def log_price_end(self) -> float:
        """Logarithm of the price at which its last feature is found; -inf if there is none."""

    @property
    def start(self) -> float:
        """Excess loss without latents."""

    def at(self, log_price: Floats) -> tuple[Floats, Floats, Floats]:
        """(latents, discovered, excess) at the logarithm of the price, shape (k,) each."""


def parts_of(population: Population) -> list[tuple[int, float, Part]]:
    """(group, sign, part) of every block; the sign is -1 for what a tail leaves out."""
    out: list[tuple[int, float, Part]] = []
    single = len(population.blocks) == 1
    for block in population.blocks:
        if isinstance(block, ListedBlock):
            out.append((block.group, 1.0, ListedPart(block)))
            continue
        tail = block.ranks
        if single and tail.start == 0 and tail.count is None and tail.period == 1:
            out.append((block.group, 1.0, uniform_law(block.law, block.curve, block.magnitude)))
            continue
        cut = max(tail.start, LISTED, _PERIODS * tail.period)
        if tail.count is not None:
            cut = min(cut, tail.count)
        head = tail.members(tail.start, cut)
        if head.size:
            out.append((block.group, 1.0, ListedPart(_listed(block, head))))
        if tail.count is None or cut < tail.count:
            rest = replace(tail, start=cut, excluded=tail.excluded[tail.excluded > cut])
            out.append((block.group, 1.0, ColumnPart(replace(block, ranks=rest))))
            if rest.excluded.size:
                out.append((block.group, -1.0, ListedPart(_listed(block, rest.excluded))))
    return out


def _listed(block: TailBlock, ranks: np.ndarray[tuple[int], np.dtype[np.int64]]) -> ListedBlock:
    p = block.law._at(ranks)
    return ListedBlock(block.group, block.curve, ranks, p, p * block.magnitude)


def _counts(curve: LossCurve, weight: Floats, price: float) -> Floats:
    """Latents worth a price, shape (k,): exact up to a million, the inverse's floor beyond."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        x = curve._invert(price / weight)[0]
    n = np.asarray(np.floor(np.clip(np.where(np.isnan(x), _MOST, x), 0.0, _MOST)))
    few = np.flatnonzero(n < _COUNTED)
    if few.size:
        n[few] = curve.take(few).count_at(weight[few], price)
    return n


@final
@dataclass(frozen=True, eq=False)
class ListedPart:
    """Features listed one by one, in whole latents.

    Up to a million latents a feature they are counted by the exact solver's predicate.
    """

    block: ListedBlock
    multiplicity: Floats | None = None  # each feature counts so often; once by default

    @cached_property
    def _first_gains(self) -> Floats:
        ones = np.ones(self.block.weights.size)
        return np.asarray(self.block.weights * self.block.curve.envelope_gain(ones))

    @property
    def log_price_range(self) -> tuple[float, float]:
        """Down to what float64 holds."""
        return -700.0, math.log(self._first_gains.max())

    @property
    def log_price_end(self) -> float:
        """Logarithm of the smallest gain of a first latent."""
        return math.log(self._first_gains.min())

    @property
    def start(self) -> float:
        """Excess loss without latents."""
        zero = np.zeros(self.block.weights.size)
        return float(
            (self.block.weights * self._often * self.block.curve.envelope_excess(zero)).sum()
        )

    @property
    def _often(self) -> Any:
        return 1.0 if self.multiplicity is None else self.multiplicity

    def at(self, log_price: Floats) -> tuple[Floats, Floats, Floats]:
        """Count at each price in turn."""
        curve, weights, often = self.block.curve, self.block.weights, self._often
        rows = []
        for price in np.exp(log_price).tolist():
            n = _counts(curve, weights, price)
            lacking = weights * curve.envelope_excess(n)
            rows.append([float((often * v).sum()) for v in (n, n > 0.0, lacking)])
        latents, found, excess = np.array(rows).T
        return latents, found, excess


@final
class ColumnPart:
    """A regular tail of ranks with one shared curve, see the module's text."""

    def __init__(self, block: TailBlock) -> None:
        tail, law = block.ranks, block.law
        self.block = block
        self._alpha = law.alpha
        self._scale = law.normaliser * block.magnitude
        self._first = float(block.curve.envelope_gain(np.ones(1))[0])
        self._share = tail.share
        left_out = float(tail.excluded.size)  # a part of its own
        self._low = law.shift - (tail.regular_count + left_out) / self._share
        self._high = self._last = math.inf
        if tail.count is not None:
            self._last = float(tail.members(tail.count - tail.period, tail.count)[-1]) + law.shift
            members = float(tail.count_upto(np.array([tail.count]))[0]) + left_out
            self._high = self._low + members / self._share
        log_end = math.log(self._high) if math.isfinite(self._high) else math.inf
        self._sums = StretchSums(block.curve, law.alpha, log_end)

    @property
    def log_price_range(self) -> tuple[float, float]:
        """From the price at rank e^600, or what float64 holds, to the first rank's."""
        top = math.log(self._scale * self._first)
        if math.isfinite(self._high):
            return -700.0, top - (1.0 + self._alpha) * math.log(self._low)
        return (
            max(top - (1.0 + self._alpha) * 600.0, -700.0),
            top - (1.0 + self._alpha) * math.log(self._low),
        )

    @property
    def log_price_end(self) -> float:
        """Logarithm of the last rank's first gain."""
        if math.isinf(self._high):
            return -math.inf
        top = math.log(self._scale * self._first)
        return top - (1.0 + self._alpha) * math.log(self._last)

    @property
    def start(self) -> float:
        """Excess loss without latents."""
        loss = float(self.block.curve.envelope_excess(np.zeros(1))[0])
        return self._scale * self._share * self._beyond(self._low) * loss

    def _beyond(self, y: float) -> float:
        """t(y) = (y^-alpha - B^-alpha)/alpha."""
        a = self._alpha
        if math.isinf(self._high):
            return float(y**-a / a)
        x = np.array([math.log(self._high / y)])
        return float(self._high**-a * x[0] * relative_expm1(a * x)[0])

    def _count(self, log_price: Floats, y: float) -> Floats:
        """Latents of the rank at y."""
        if math.isinf(y):
            return np.zeros_like(log_price)
        log_weight = math.log(self._scale) - (1.0 + self._alpha) * math.log(y)
        price = np.exp(np.clip(log_price - log_weight, -690.0, 690.0))
        return _counts(self.block.curve, 1.0 / price, 1.0)

    def at(self, log_price: Floats) -> tuple[Floats, Floats, Floats]:
        """(latents, discovered, excess), real numbers."""
        a, share, low, high = self._alpha, self._share, self._low, self._high
        log_y = (math.log(self._scale * self._first) - log_price) / (1.0 + a)
        most, least = self._count(log_price, low), self._count(log_price, high)
        y, lacking = self._sums.between(least, most, log_y)
        n = share * (y - low * (most - least))
        if math.isfinite(high):
            n += share * (high - low) * least
        lacking = lacking + self._beyond(low) * self.block.curve.envelope_excess(most)
        found = share * np.maximum(np.minimum(np.exp(log_y), high) - low, 0.0)
        return np.maximum(n, 0.0), found, self._scale * share * lacking


__all__ = ["ColumnPart", "ListedPart", "Part", "UniformLaw", "parts_of"]
