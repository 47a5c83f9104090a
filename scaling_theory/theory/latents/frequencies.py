"""How often the latents of an optimal model fire: what an SAE shows from outside.

An SAE shows how often each latent fires, not which feature it serves. If the n latents of feature
i share its activations with overlap q(n), the mean number that fire together, each fires with
frequency p_i q(n) / n. :func:`latent_frequencies` sorts them, for any allocation, without listing
them: on a regular tail the features with exactly n latents are the ranks between two level sets,
so that those that fire more often than f are counted by one inverse of the frequency law.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.allocation.exact import Allocation
from scaling_theory.groups import TailBlock
from scaling_theory.theory.latents.counts import Columns, Listed, Overlap, Tail

if TYPE_CHECKING:
    import pandas as pd


@final
@dataclass(frozen=True, eq=False)
class LatentFrequencies:
    """Firing frequencies of the latents of an allocation, in decreasing order.

    Attributes
    ----------
    allocation
        What was spent on which feature.
    """

    allocation: Allocation
    _listed: Listed = field(repr=False)
    _columns: tuple[Columns, ...] = field(repr=False)

    @property
    def total(self) -> int:
        """Number of latents."""
        return self.allocation.total

    def above(self, frequency: Any) -> Ints:
        """Count the latents that fire more often than each frequency; exact.

        Parameters
        ----------
        frequency
            At least 0, shape (k,) or one number.

        Returns
        -------
        Ints
            Shape (k,); ``total`` at frequency 0.
        """
        f = _validate.reals("frequency", np.atleast_1d(np.asarray(frequency)), low=0.0)
        return self._above(f)

    def at(self, ranks: Any) -> Floats:
        """Return the frequency of the latent of each rank, 1 for the most frequent.

        Parameters
        ----------
        ranks
            Whole numbers from 1 to ``total``, shape (k,) or one number.

        Returns
        -------
        Floats
            p_i q(n_i) / n_i in float64, as multiplied and divided in this order; shape (k,).
        """
        wanted = np.atleast_1d(np.asarray(ranks))
        at = _validate.wholes("ranks", wanted, low=1, high=self.total)
        if not self._columns:
            return self._listed.at(at)
        # The smallest float that fewer than ``rank`` latents exceed, by bisection on bit patterns.
        top = max([self._listed.top, *(float(c.high.max()) for c in self._columns)])
        low = np.zeros(at.shape, dtype=np.int64)
        high = np.full(at.shape, np.array(top).view(np.int64))
        while (high - low > 1).any():
            middle = low + (high - low) // 2
            fewer = self._above(middle.view(np.float64)) < at
            low, high = np.where(fewer, low, middle), np.where(fewer, middle, high)
        return high.view(np.float64)

    def slope(self, low: Any = 100, high: Any = 10_000, points: Any = 401) -> float:
        """Slope of ln frequency against ln rank between two ranks.

        Least squares over whole ranks evenly spaced in ln rank, as one reads a slope off a
        plot with two logarithmic axes.

        Parameters
        ----------
        low, high
            Ranks, 1 <= low < high <= ``total``. The defaults are those of Michaud, Gorton and
            McGrath (2025), Figure 4.
        points
            Number of ranks before duplicates are dropped, at least 2.
        """
        high = _validate.whole("high", high, low=2, high=self.total)
        low = _validate.whole("low", low, low=1, high=high - 1)
        ranks = _spaced(low, high, _validate.whole("points", points, low=2, high=1_000_000))
        x, y = np.log(ranks), np.log(self.at(ranks))
        if y[0] == y[-1]:
            return 0.0  # flat, without rounding
        x = x - x.mean()
        return float((x * (y - y.mean())).sum() / (x * x).sum())

    def table(self, points: Any = 200) -> pd.DataFrame:
        """Rank-frequency curve as a table: rank, frequency.

        Parameters
        ----------
        points
            Number of ranks from 1 to ``total``, evenly spaced in ln rank, before duplicates are
            dropped.
        """
        import pandas as pd

        number = _validate.whole("points", points, low=1, high=10_000_000)
        ranks = _spaced(1, self.total, number)
        return pd.DataFrame({"rank": ranks, "frequency": self.at(ranks)})

    def _above(self, f: Floats) -> Ints:
        found = self._listed.above(f)
        for columns in self._columns:
            found = found + columns.above(f)
        return found


def latent_frequencies(alloc: Allocation, overlap: Any = 1.0) -> LatentFrequencies:
    """State the firing frequencies p_i q(n_i) / n_i of the latents of an allocation.

    Parameters
    ----------
    alloc
        An allocation with at least one latent.
    overlap
        q(n), the mean number of a feature's n latents that fire together when it is active,
        1 <= q <= n: every activation is seen by some latent, and none fires more often than its
        feature. A number q0, at least 1, stands for min(q0, n): all n fire where there are no more
        than q0. A function is called with a float array of numbers n >= 1 and returns q(n) in the
        same shape; values out of range are refused.

    Returns
    -------
    LatentFrequencies

    Notes
    -----
    p_i is how often the feature is active; its magnitude weighs in the allocation only. The
    latents of one feature are taken to share its activations evenly. Michaud, Gorton and McGrath
    (2025), appendix A.1 and Figure 4, name tiling as one of the things that can separate the
    frequencies of latents from those of features; the formula is derived here.

    Raises
    ------
    ValueError
        If there are no latents, or the overlap is out of range.
    """
    if not isinstance(alloc, Allocation):
        raise ValueError(f"alloc must be an Allocation, got {alloc!r}")
    if not alloc.total:
        raise ValueError(f"alloc must hold at least one latent, got {alloc.total}")
    shared = _overlap(overlap)
    entries: list[tuple[Floats, Ints]] = []
    columns = []

    def enter(p: Floats, n: Ints) -> None:
        some = n != 0
        if some.any():
            x = np.abs(n[some]).astype(np.float64)
            entries.append((p[some] * shared(x) / x, n[some]))

    for block in alloc.population.blocks:
        if not isinstance(block, TailBlock):
            enter(block.frequencies, alloc.latents_at(block.ranks))
            continue
        tail = Tail(alloc, block)
        for p, n in tail.listed():
            enter(p, n)
        part = tail.columns(shared)
        if part is not None:
            columns.append(part)
    return LatentFrequencies(alloc, Listed.of(entries), tuple(columns))


def _overlap(overlap: Any) -> Overlap:
    """Return q as a function that is checked wherever it is called."""
    if not callable(overlap):
        most = _validate.real("overlap", overlap, low=1.0)
        return lambda n: np.minimum(most, n)

    def checked(n: Floats) -> Floats:
        q = np.asarray(overlap(n.copy()), dtype=np.float64)
        if q.shape != n.shape:
            raise ValueError(
                f"overlap must return one value per n, got shape {q.shape} for {n.size} values"
            )
        bad = ~((q >= 1.0 - 1e-12) & (q <= n * (1.0 + 1e-12)))  # nan is bad too
        if bad.any():
            k = int(np.argmax(bad))
            raise ValueError(f"overlap must be in [1, n], got {float(q[k])!r} for n = {n[k]:.0f}")
        return q

    return checked


def _spaced(low: int, high: int, points: int) -> Ints:
    return np.unique(np.rint(np.geomspace(low, high, points)).astype(np.int64))
