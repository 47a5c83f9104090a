"""Which ranks a group holds: an explicit list, or the periodic rest of a tail.

:class:`TailRanks` holds every rank after ``start`` whose residue modulo ``period`` (1 .. period)
is listed, except some. Its counts are integers and its masses are sums of positive terms over
arithmetic progressions of ranks (Hurwitz zeta functions at r/period), so that a mixture over an
infinite tail is one concrete population.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scaling_theory._sums import power_sum_after
from scaling_theory._validate import Floats, Ints
from scaling_theory.frequencies import ShiftedPower


@dataclass(frozen=True, eq=False)
class TailRanks:
    """Ranks i = r + period j, r in residues, j >= 0, with start < i <= count, some excluded.

    Parameters
    ----------
    start
        Last rank before the tail, at least 0.
    count
        Last rank of the population, or None.
    period
        Length Q of the pattern.
    residues
        Sorted residues in 1 .. Q, shape (r,).
    excluded
        Sorted ranks after start that are left out, shape (e,); each has a listed residue.
    """

    start: int
    count: int | None
    period: int
    residues: Ints
    excluded: Ints

    @cached_property
    def _pattern(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        pattern = np.zeros(self.period, dtype=bool)
        pattern[self.residues - 1] = True
        return pattern

    @property
    def share(self) -> float:
        """Fraction of the tail's ranks that belong to the set."""
        return self.residues.size / self.period

    def count_upto(self, ranks: Ints) -> Ints:
        """Count the members <= each rank."""
        k = np.asarray(ranks, dtype=np.int64)
        if self.count is not None:
            k = np.minimum(k, self.count)
        k = np.maximum(k, self.start)
        if self.period == 1:
            found = k - self.start
        else:
            found = self._below(k) - self._below(np.asarray(self.start, dtype=np.int64))
        if self.excluded.size:
            found = found - np.searchsorted(self.excluded, k, side="right")
        return np.asarray(found, dtype=np.int64)

    def _below(self, k: Ints) -> Ints:
        whole, part = np.divmod(k, self.period)
        return np.asarray(
            whole * self.residues.size + np.searchsorted(self.residues, part, side="right")
        )

    def members(self, low: int, high: int) -> Ints:
        """Return the members in (low, high], in increasing order."""
        low = max(low, self.start)
        if self.count is not None:
            high = min(high, self.count)
        if high <= low:
            return np.empty(0, dtype=np.int64)
        if self.period == 1:
            out = np.arange(low + 1, high + 1, dtype=np.int64)
        else:
            blocks = np.arange(
                max(low - 1, 0) // self.period, high // self.period + 1, dtype=np.int64
            )
            out = (blocks[:, None] * self.period + self.residues[None, :]).ravel()
            out = out[np.searchsorted(out, low, "right") : np.searchsorted(out, high, "right")]
        if self.excluded.size:
            at = np.searchsorted(self.excluded, out)
            at = np.minimum(at, self.excluded.size - 1)
            out = out[self.excluded[at] != out]
        return out

    def edges(self, ranks: Ints) -> tuple[Ints, Ints]:
        """Return the last member <= each rank and the first one after it; 0 where there is none.

        Beyond 64 excluded ranks in a row there counts as none.
        """
        k = np.maximum(np.asarray(ranks, dtype=np.int64), self.start)
        back, ahead = self._steps
        last = k - back[(k - 1) % self.period]
        first = k + 1 + ahead[k % self.period]
        for _ in range(64 if self.excluded.size else 0):
            out = np.isin(last, self.excluded)
            last = np.where(out, last - 1 - back[(last - 2) % self.period], last)
            out = np.isin(first, self.excluded)
            first = np.where(out, first + 1 + ahead[first % self.period], first)
        last = np.where(self.contains(last), last, 0)
        return last, np.where(self.contains(first), first, 0)

    @cached_property
    def _steps(self) -> tuple[Ints, Ints]:
        """Steps back and ahead from each place of the pattern to a listed residue."""
        twice = np.tile(self._pattern, 2)
        at = np.arange(twice.size)
        before = np.maximum.accumulate(np.where(twice, at, -1))
        after = np.minimum.accumulate(np.where(twice, at, 2 * at.size)[::-1])[::-1]
        return (at - before)[self.period :], (after - at)[: self.period]

    def contains(self, ranks: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether each rank is a member."""
        r = np.asarray(ranks, dtype=np.int64)
        inside = r > self.start
        if self.period > 1:
            inside &= self._pattern[(r - 1) % self.period]
        if self.count is not None:
            inside &= r <= self.count
        if self.excluded.size:
            inside &= ~np.isin(r, self.excluded)
        return np.asarray(inside)

    def mass_after(self, law: ShiftedPower, ranks: Ints) -> Floats:
        """Sum of p_i over the members with i > rank."""
        k = np.maximum(np.asarray(ranks, dtype=np.int64), self.start)
        if self.count is not None:
            k = np.minimum(k, self.count)
        if self.period == 1:
            mass = law._mass_after(k)
        elif 2 * self.residues.size > self.period:
            others = np.setdiff1d(np.arange(1, self.period + 1), self.residues)
            left_out = self._progressions(1.0 + law.alpha, law.shift, k, others)
            mass = law._mass_after(k) - law.normaliser * left_out
        else:
            mass = law.normaliser * self._progressions(1.0 + law.alpha, law.shift, k, self.residues)
        if self.excluded.size:
            tails = np.append(np.cumsum(law._at(self.excluded)[::-1])[::-1], 0.0)
            mass = mass - tails[np.searchsorted(self.excluded, k, side="right")]
        return np.asarray(mass)

    @property
    def regular_count(self) -> float:
        """What the number of members up to x exceeds share x by, averaged over the pattern."""
        lag = self.residues.size / 2.0 - float(self.residues.sum()) / self.period
        return lag - float(self._below(np.asarray(self.start))) - float(self.excluded.size)

    def power_sum(self, s: float, offset: float) -> float:
        """Sum of (i + offset)^-s over all members; s > 1 if they are infinitely many."""
        start = np.array([self.start], dtype=np.int64)
        members = float(self._progressions(s, offset, start, self.residues)[0])
        return members - float(((self.excluded + offset) ** -s).sum())

    def _progressions(self, s: float, offset: float, k: Ints, residues: Ints) -> Floats:
        """Sum over i = r + Q j > k, for each residue r: Q^-s sum_j (j + (r + offset)/Q)^-s."""
        period = float(self.period)
        out = np.zeros(k.shape)
        for r in residues.tolist():
            after = (k - r) // self.period  # largest j with r + Q j <= k, at least -1
            last = None if self.count is None else (self.count - r) // self.period
            # Terms j >= 0 are written as ranks j + 1, so that "after" counts from 0.
            upto = None if last is None else last + 1
            if upto is not None and upto <= 0:
                continue
            out += power_sum_after(
                (after + 1).astype(np.float64), s, (r + offset) / period - 1.0, upto
            )
        return np.asarray(period**-s * out)
