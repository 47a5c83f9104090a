"""The price at which exactly so many cells are worth taking.

The count of cells falls with the price, in steps. A secant search on logarithms closes in on the
target from both sides until few enough cells lie between two prices; those are listed, and the
price is the gain of the one that brings the count to the target. Where too many cells share a
gain, the search goes down to neighbouring floating-point numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling_theory._validate import MAX_LATENTS
from scaling_theory.allocation.levels import BlockSolver, Level

Measure = Literal["latents", "discovered"]

#: Below this price no gain is told from zero.
_TINY = 5e-324


@dataclass(frozen=True, eq=False)
class Cut:
    """Levels on both sides of the price at which a count reaches its target.

    ``taken`` holds the cells with gain > price, ``worth`` those with gain >= price. The price is
    0 and both are equal where there are fewer cells with any gain than asked for.
    """

    price: float
    taken: list[Level]
    worth: list[Level]
    saturated: bool


@dataclass(frozen=True, eq=False)
class _Point:
    price: float
    count: int
    levels: list[Level]


def find_cut(
    solvers: Sequence[BlockSolver],
    target: int,
    measure: Measure = "latents",
    finite: bool = True,
) -> Cut:
    """Find the price at which ``target`` cells (or features) are worth taking.

    Parameters
    ----------
    solvers
        One for each block of the population.
    target
        At least 1.
    measure
        What is counted: cells ("latents") or features with at least one ("discovered").
    finite
        Whether there are finitely many features, so that gains can run out.
    """
    search = _Search(solvers, target, measure)
    top = max(solver.top_gain() for solver in solvers)
    if top <= 0.0:
        levels = [s.level(math.inf) for s in solvers]
        return Cut(0.0, levels, levels, True)
    high = _Point(math.nextafter(top, math.inf), 0, search.levels(math.nextafter(top, math.inf)))
    bracket = search.descend(high, top, finite)
    if isinstance(bracket, _Point):
        return Cut(0.0, bracket.levels, bracket.levels, True)
    return search.close(*bracket)


class _Search:
    def __init__(self, solvers: Sequence[BlockSolver], target: int, measure: Measure) -> None:
        self.solvers = solvers
        self.target = target
        self.measure = measure

    def levels(self, price: float, like: list[Level] | None = None) -> list[Level]:
        if like is None:
            return [s.level(price) for s in self.solvers]
        return [s.level(price, old) for s, old in zip(self.solvers, like, strict=True)]

    def count(self, levels: list[Level]) -> int:
        if self.measure == "latents":
            return sum(level.count for level in levels)
        return sum(level.discovered for level in levels)

    def point(self, price: float, like: list[Level] | None = None) -> _Point:
        levels = self.levels(price, like)
        if self.measure == "discovered" and self.count(levels) < self.target:
            spent = sum(level.count for level in levels)
            if spent > 4 * MAX_LATENTS:
                reach = f"within reach of {MAX_LATENTS:.0e} latents"
                raise ValueError(f"discovered must be {reach}, got {self.target}")
        return _Point(price, self.count(levels), levels)

    def descend(self, high: _Point, top: float, finite: bool) -> tuple[_Point, _Point] | _Point:
        """Lower the price until the target is reached: (low, high), or all cells if it is not."""
        price = 0.5 * top
        while True:
            point = self.point(price)
            if point.count >= self.target:
                return point, high
            if price <= _TINY or (finite and point.count == high.count and high.price > 2 * price):
                last = point if price <= _TINY else self.point(_TINY)
                return last if last.count < self.target else (last, point)
            step = 0.25  # of the price; further where the last two counts tell the slope
            if high.count > 0 and point.count > high.count:
                slope = math.log(point.count / high.count) / (
                    math.log(high.price) - math.log(point.price)
                )
                wanted = math.log(self.target / point.count) / slope
                # Features are found slowly where latents pile up: then look at smaller steps.
                most = 14.0 if self.measure == "latents" else 2.3
                step = math.exp(-min(1.05 * wanted + 1e-3, most))
            high = point
            price = max(price * step, _TINY)

    def close(self, low: _Point, high: _Point) -> Cut:
        """Narrow the bracket until its cells can be listed, then pick the price among them."""
        margin, previous_side, stuck = 0.25, 0, 0
        nearest = [low, high]
        while True:
            between = low.count - high.count
            if between <= self._listable(low):
                return self._pick(low, high)
            middle = _middle_price(low.price, high.price)
            if not high.price > middle > low.price:
                return self._at(low.price, low.levels)
            price = middle
            if high.count > 0 and stuck < 4:
                # Aim beyond the target, away from the side that was hit last.
                shift = margin * self._listable(low) * (1.0 if previous_side < 0 else -1.0)
                aim = min(max(self.target + shift, high.count + 0.25), low.count - 0.25)
                price = _secant(nearest[0], nearest[1], aim)
                if not high.price > price > low.price:
                    price = _secant(low, high, aim)
                if not high.price > price > low.price:
                    price = middle
            # The same split on both sides, so that their cells can be told apart.
            point = self.point(price, low.levels if low.count < 4 * self.target else None)
            nearest = sorted((*nearest, point), key=lambda p: abs(p.count - self.target))[:2]
            side = 1 if point.count >= self.target else -1
            left = (point.count - high.count) if side > 0 else (low.count - point.count)
            stuck = stuck + 1 if left > 0.5 * between and price != middle else 0
            margin = margin * 8.0 if side == previous_side else 0.25
            previous_side = side
            low, high = (point, high) if side > 0 else (low, point)

    def _listable(self, low: _Point) -> int:
        work = sum(level.columns.size + level.rows.size for level in low.levels)
        return max(4096, work // 2)

    def _pick(self, low: _Point, high: _Point) -> Cut:
        at_high = high.levels
        if any(a.columns.size != b.columns.size for a, b in zip(low.levels, at_high, strict=True)):
            at_high = self.levels(high.price, low.levels)
        first_only = self.measure == "discovered"
        gains = np.concatenate(
            [
                s.cells_between(a, b, first_only)
                for s, a, b in zip(self.solvers, low.levels, at_high, strict=True)
            ]
        )
        place = self.target - self.count(at_high)
        if not 1 <= place <= gains.size:
            raise AssertionError(f"the cells between two prices were miscounted: {place}")
        price = float(np.partition(gains, gains.size - place)[gains.size - place])
        return self._at(price, low.levels)

    def _at(self, price: float, like: list[Level]) -> Cut:
        """Make the cut at a price, or at a neighbour if rounding has blurred the order there."""
        for _ in range(64):
            worth = self.levels(price, like)
            if self.count(worth) < self.target:
                price = math.nextafter(price, 0.0)
                continue
            taken = self.levels(math.nextafter(price, math.inf), worth)
            if self.count(taken) < self.target:
                return Cut(price, taken, worth, False)
            price = math.nextafter(price, math.inf)
        raise AssertionError(f"no price separates {self.target} cells near {price!r}")


def _secant(a: _Point, b: _Point, count: float) -> float:
    """Price at which the line through two points on logarithmic axes has a count."""
    if a.count == b.count or min(a.count, b.count) <= 0:
        return math.nan
    slope = (math.log(a.price) - math.log(b.price)) / math.log(a.count / b.count)
    return a.price * math.exp(max(min(slope * math.log(count / a.count), 500.0), -500.0))


def _middle_price(low: float, high: float) -> float:
    """Halfway between two positive floats in the order of their bit patterns."""
    bits = np.array([low, high]).view(np.int64)
    return float(np.array([(int(bits[0]) + int(bits[1])) // 2], dtype=np.int64).view(np.float64)[0])
