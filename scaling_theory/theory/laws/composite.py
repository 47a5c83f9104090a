"""A law made of parts at one common price: solve it for N, ask for shares and the crossover."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.theory.laws.parts import ListedPart, Part

_STEPS = 200
#: More latents are not told from infinitely many.
_FURTHEST = 1e120


class Solution(NamedTuple):
    """What a law says at some N: shape (k,) each; nan where it does not hold."""

    discovered: Floats
    excess: Floats
    price: Floats


@final
@dataclass(frozen=True, eq=False)
class CompositeLaw:
    """Parts with weights; (label, weight, part) each.

    Weights are 1 in a concrete population, and the share of the ranks in a mean field.
    """

    parts: tuple[tuple[str, float, Part], ...]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels of the groups, in order."""
        return tuple(dict.fromkeys(label for label, *_ in self.parts))

    @cached_property
    def start(self) -> float:
        """Excess loss without latents."""
        return sum(weight * part.start for _, weight, part in self.parts)

    @cached_property
    def _range(self) -> tuple[float, float]:
        ranges = [part.log_price_range for *_, part in self.parts]
        return max(low for low, _ in ranges), max(high for _, high in ranges)

    @cached_property
    def _whole(self) -> bool:
        """Whether some features are counted in whole latents."""
        return any(isinstance(part, ListedPart) for *_, part in self.parts)

    def at(self, log_price: Floats) -> tuple[Floats, Floats, Floats]:
        """(latents, discovered, excess) of all parts together, shape (k,) each."""
        total = [np.zeros(log_price.shape) for _ in range(3)]
        for _, weight, part in self.parts:
            with np.errstate(over="ignore", under="ignore"):
                values = part.at(log_price)
            for sum_, value in zip(total, values, strict=True):
                sum_ += weight * value
        return total[0], total[1], total[2]

    def solve(self, latents: Floats) -> Solution:
        """D, excess and price at N latents, shape (k,) each."""
        log_price, _, near = self._solve(latents)
        count, found, excess = self.at(log_price)
        price = np.exp(log_price)
        excess = excess + price * (count - latents)  # what whole features have too many, or lack
        good = near & (excess > 0.0) & (excess <= self.start * (1.0 + 1e-12))
        found, excess, price = (np.where(good, v, np.nan) for v in (found, excess, price))
        said = (found, excess, price)
        spare = latents >= self._most[0]
        ends = (self._most[1], self._most[2], 0.0)
        return Solution(*(np.where(spare, e, v) for v, e in zip(said, ends, strict=True)))

    @cached_property
    def _most(self) -> tuple[float, float, float]:
        """(latents, discovered, excess) when everything is bought; latents inf if that can't be."""
        n, found, excess = (float(v[0]) for v in self.at(np.array([self._range[0]])))
        return (n, found, excess) if excess <= 1e-13 * self.start else (math.inf, found, excess)

    def shares(self, latents: Floats) -> dict[str, Floats]:
        """Share of the latents that each group holds at N, shape (k,) each."""
        log_price, n, near = self._solve(latents)
        n = np.where(near & (n > 0.0), n, np.nan)
        out = {label: np.zeros(latents.shape) for label in self.labels}
        for label, weight, part in self.parts:
            out[label] += weight * part.at(log_price)[0] / n
        return out

    def _solve(self, latents: Floats) -> tuple[Floats, Floats, Any]:
        """Logarithm of the price at which the parts hold N latents, what they hold, if they do.

        N falls with the price: a secant on logarithms, kept inside a bracket that is halved
        whenever the secant is slow. Whole features make N a staircase; half a latent is near
        enough.
        """
        low, high = (np.full(latents.shape, end) for end in self._range)
        n_low, n_high = (self.at(end)[0] for end in (low, high))
        enough = np.maximum(0.5 if self._whole else 0.0, 1e-14 * latents)
        best, n_best = high.copy(), n_high.copy()
        for step in range(_STEPS):
            middle = 0.5 * (low + high)
            if step % 3:
                with np.errstate(divide="ignore", invalid="ignore"):
                    ratio = (np.log(latents) - np.log(n_low)) / (np.log(n_high) - np.log(n_low))
                    secant = low + (high - low) * ratio
                inside = (ratio > 0.0) & (ratio < 1.0)
                middle = np.where(inside, secant, middle)
            n = self.at(middle)[0]
            more = n >= latents
            closer = np.abs(n - latents) <= np.abs(n_best - latents)
            best, n_best = np.where(closer, middle, best), np.where(closer, n, n_best)
            low, n_low = np.where(more, middle, low), np.where(more, n, n_low)
            high, n_high = np.where(more, high, middle), np.where(more, n_high, n)
            off = np.abs(n_best - latents)
            step_at = high - low < 1e-15 * np.abs(high)  # many latents at one price
            if ((off <= enough) | step_at).all():
                break
        near = off <= np.maximum(enough, 1e-9 * latents)
        if self._whole:
            step_at &= ~near
            best, n_best = np.where(step_at, low, best), np.where(step_at, n_low, n_best)
            near |= step_at
        return best, n_best, near

    @property
    def saturation(self) -> float:
        """N at which the last feature is found."""
        last = min(part.log_price_end for *_, part in self.parts)
        return float(self.at(np.array([last - 1e-12]))[0][0])  # with the last one, after rounding

    def crossover(self, limit: float, within: float) -> float:
        """N from which the local slope price N / excess stays within a fraction of its limit.

        Infinity stands for more than can be asked for.
        """

        def outside(log_price: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
            n, _, excess = self.at(log_price)
            with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
                slope = np.exp(log_price + np.log(n) - np.log(excess))
                near = np.abs(slope / limit - 1.0) <= within
            return np.asarray(~near & (n < _FURTHEST) | (n < 1.0))

        bottom, top = self._range
        size = 200 if self._whole else 4000
        grid = np.linspace(top, max(bottom, top - 700.0), size)
        wrong = np.flatnonzero(outside(grid))
        if not wrong.size:
            return 1.0
        if wrong[-1] == grid.size - 1 or self.at(grid[wrong[-1] + 1 :][:1])[0][0] >= _FURTHEST:
            return math.inf
        high, low = grid[wrong[-1]], grid[wrong[-1] + 1]
        for _ in range(50):
            middle = 0.5 * (low + high)
            if outside(np.array([middle]))[0]:
                high = middle
            else:
                low = middle
        return max(float(self.at(np.array([low]))[0][0]), 1.0)
