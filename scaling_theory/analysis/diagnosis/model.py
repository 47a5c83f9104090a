"""The forward model of the diagnosis: many hypotheses at once, from parameters to what is seen.

Features i = 1 ... count weigh (i + offset)^-(1+alpha) in the loss: frequency times magnitude. A
share of them are manifolds with the curve L(n) = (1+n)^-beta, spread evenly over the ranks from
``first`` on; the others are discrete. An SAE with N latents spends them optimally. From that
follow, without a free choice,

- the excess loss E(N), up to a scale (and the loss up to a floor);
- the firing frequencies p_i n^(theta - 1) of the n latents of feature i, p_i the weight over the
  magnitude, up to a scale;
- the angles between neighbouring latents of a manifold, angle * n^(-1/D), in the manifold's
  dimension D.

Sums over ranks are exact for the first few and integrals over cells of ranks after that. For losses
counts of latents are real numbers of at least 1; for frequencies, which halve from one latent to
two, small counts are whole. Tests hold all of it to the exact solver within a few percent from
N = 30 on: what real SAEs do differs by more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from scaling_theory._validate import Floats

#: Largest number of latents for which predictions are tabulated.
MOST_LATENTS = 1e9

_EXACT, _CELLS = 16, 28  # ranks one by one, and cells after them
_GRID = 40  # prices
_FEW, _TALL, _SPLIT = 8, 16, 3  # counts taken as whole numbers; cells of larger ones; of each count
_COLUMNS = np.arange(_FEW, 0, -1)


@final
@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Parameters of J hypotheses, arrays of shape (J,).

    Attributes
    ----------
    alpha, offset
        Frequencies, times magnitudes, are (i + offset)^-(1+alpha): Zipf's law, or Mandelbrot's.
    tilt
        Magnitudes, which count in the loss and not in firing, are (i + offset)^-tilt.
    beta
        Curves of manifolds are (1+n)^-beta.
    share
        Share of the features that are manifolds, in [0, 1].
    first
        Rank of the first manifold, at least 1; the k-th has rank first + (k - 1)/share.
    count
        Number of features.
    theta
        Of the n latents of a feature n^theta fire together.
    dimension, angle
        Neighbours among n latents of a manifold are angle * n^(-1/dimension) apart, in radians.
    copies
        Share of latents that copy another one.
    """

    alpha: Floats
    offset: Floats
    tilt: Floats
    beta: Floats
    share: Floats
    first: Floats
    count: Floats
    theta: Floats
    dimension: Floats
    angle: Floats
    copies: Floats

    @property
    def size(self) -> int:
        """Number of hypotheses, J."""
        return int(self.alpha.size)

    @property
    def pathological(self) -> Floats:
        """1 where latents pile up in the limit, beta < alpha on some features; otherwise 0."""
        return ((self.share > 0.0) & (self.beta < self.alpha)).astype(np.float64)

    def taken_over(self, latents: float) -> Floats:
        """Share of the latents that are on manifolds with beta < alpha, (J,)."""
        return self.pathological * self.cells(latents).on_manifolds

    def take(self, index: np.ndarray) -> Hypotheses:
        """Some of them, in this order."""
        return Hypotheses(**{name: values[index] for name, values in vars(self).items()
                             if isinstance(values, np.ndarray) and values.shape == self.alpha.shape
                             and name in _NAMES})  # fmt: skip

    # ---- manifolds: ranks one by one, then cells -------------------------------------------------

    @cached_property
    def _manifolds(self) -> tuple[Floats, Floats]:
        """Logs of p of representative manifolds, and how many each stands for: (J, cells)."""
        share, most = np.maximum(self.share, 1e-300), self._manifold_count
        k = np.arange(1.0, _EXACT + 1.0)
        exact = np.clip(most[:, None] - k + 1.0, 0.0, 1.0)  # the last may be there in part
        edges = np.exp(
            np.linspace(0.0, 1.0, _CELLS + 1)
            * np.log(np.maximum(most, _EXACT + 1.0) / (_EXACT + 0.5))[:, None]
        ) * (_EXACT + 0.5)
        middle = np.sqrt(edges[:, 1:] * edges[:, :-1])
        many = np.diff(edges, axis=1) * (most > _EXACT + 1.0)[:, None]
        k = np.concatenate([np.broadcast_to(k, exact.shape), middle], axis=1)
        rank = self.first[:, None] + (k - 1.0) / share[:, None]
        return self._log_p(rank), np.concatenate([exact, many], axis=1)

    def _log_p(self, rank: Floats) -> Floats:
        """Logs of the frequencies at ranks (J, m)."""
        return np.asarray(-(1.0 + self.alpha)[:, None] * np.log(rank + self.offset[:, None]))

    @cached_property
    def _manifold_count(self) -> Floats:
        most = np.maximum((self.count - self.first) * self.share + 1.0, 0.0)
        return np.where(self.share > 0.0, most, 0.0)

    def _latents(self, log_p: Floats, log_price: Floats) -> Floats:
        """Latents of manifolds of these frequencies at a price: real, 0 or at least 1."""
        worth = log_p - log_price
        beta = self.beta[:, None]
        n = np.exp((np.log(beta) + worth) / (1.0 + beta)) - 1.0  # -1/2, and whole on average
        return np.where(worth + self._log_first_gain[:, None] >= 0.0, np.maximum(n, 1.0), 0.0)

    @cached_property
    def _log_first_gain(self) -> Floats:
        return np.log(-np.expm1(-self.beta * math.log(2.0)))

    # ---- discrete features: closed form ----------------------------------------------------------

    def _discrete_upto(self, rank: Floats) -> Floats:
        """Discrete features of ranks up to ``rank`` (capped at the last): (J, prices)."""
        rank = np.minimum(rank, self.count[:, None])
        return np.maximum(np.floor(rank) - self._manifolds_upto(rank), 0.0)

    def _manifolds_upto(self, rank: Floats) -> Floats:
        """Manifolds of ranks up to ``rank`` (capped at the last): (J, prices)."""
        first, share = self.first[:, None], self.share[:, None]
        rank = np.minimum(rank, self.count[:, None])
        some = (share > 0.0) & (rank >= first)
        return np.where(some, np.floor((rank - first) * share + 1.0 + 1e-9), 0.0)

    def _mass_beyond(self, rank: Floats) -> Floats:
        """Sum of i^-(1+alpha) over rank < i <= count: integral from half a rank on."""
        low = np.floor(rank) + 0.5 + self.offset[:, None]
        high = (self.count + 0.5 + self.offset)[:, None]
        alpha = self.alpha[:, None]
        span = np.log(np.maximum(high / low, 1.0))
        small = np.abs(alpha) < 1e-9
        safe = np.where(small, 1.0, alpha)
        return np.where(small, span, -np.exp(-alpha * np.log(low)) * np.expm1(-safe * span) / safe)

    # ---- tables over prices ----------------------------------------------------------------------

    @cached_property
    def table(self) -> Table:
        """N, excess and discovery over a grid of prices."""
        share = self.share
        rho = share * np.exp(self._log_first_gain / (1.0 + self.alpha)) + (1.0 - share)
        low, top = np.log1p(self.offset), np.log(MOST_LATENTS / rho + self.offset)
        part = np.linspace(0.0, 1.0, _GRID)  # X: price^-(1/(1+alpha)), last rank + offset
        log_x = low[:, None] + part * (top - low)[:, None]
        log_p, many = self._manifolds
        latents, excess = np.empty_like(log_x), np.empty_like(log_x)
        beta = self.beta[:, None]
        for g in range(_GRID):
            log_price = -(1.0 + self.alpha)[:, None] * log_x[:, g : g + 1]
            n = self._latents(log_p, log_price)
            weight = many * np.exp(log_p)
            latents[:, g] = np.sum(many * n, axis=1)
            excess[:, g] = np.sum(weight * np.exp(-beta * np.log1p(n)), axis=1)
        offset = self.offset[:, None]
        rank = np.exp(log_x) - offset * (1.0 - 1e-12)  # the first rank is in at the first price
        discrete = self._discrete_upto(rank)
        latents += discrete
        excess += self._discrete_mass_beyond(rank)
        worth = np.exp(log_x + (self._log_first_gain / (1.0 + self.alpha))[:, None]) - offset
        found = discrete + self._manifolds_upto(worth)
        return Table(log_x, np.log(np.maximum(latents, 1e-3)), np.log(np.maximum(excess, 1e-300)),
                     np.log(np.maximum(found, 1e-3)))  # fmt: skip

    def _discrete_mass_beyond(self, rank: Floats) -> Floats:
        """Loss of the discrete features that are not found."""
        return (1.0 - self.share)[:, None] * self._mass_beyond(
            np.minimum(rank, self.count[:, None])
        )

    # ---- predictions -----------------------------------------------------------------------------

    def excess(self, latents: Floats) -> Floats:
        """Log of the excess loss at budgets (m,), up to a constant for each: (J, m)."""
        return self.table.at(np.log(latents), self.table.log_excess)

    def discovered(self, latents: Floats) -> Floats:
        """Log of the number of features with a latent, at budgets (m,): (J, m)."""
        return self.table.at(np.log(latents), self.table.log_found)

    def cells(self, latents: float) -> Cells:
        """What the latents of an SAE are spent on."""
        if latents not in self._kept:
            self._kept[latents] = self._cells(latents)
        return self._kept[latents]

    @cached_property
    def _kept(self) -> dict[float, Cells]:
        return {}

    def forget(self) -> None:
        """Give up the memory of :meth:`cells`."""
        self._kept.clear()

    def _cells(self, latents: float) -> Cells:
        log_x = self.table.at(np.log(np.array([latents])), self.table.log_x)
        slope = (1.0 + self.alpha)[:, None]
        share = np.maximum(self.share, 1e-300)[:, None]
        first, most = self.first[:, None], self._manifold_count[:, None]
        # the last manifold with at least 1, 2, ..., FEW + 1 latents
        cut = np.exp(log_x + self._log_gains(_FEW + 1) / slope) - self.offset[:, None]
        upto = np.minimum((cut - first) * share + 1.0, most)
        upto = np.where(self.share[:, None] > 0.0, np.maximum(upto, _EXACT + 0.5), _EXACT + 0.5)
        edges = _between(np.full_like(log_x, _EXACT + 0.5), upto[:, -1:], _TALL)
        tall = np.sqrt(edges[:, 1:] * edges[:, :-1])
        columns = [_between(upto[:, n : n + 1], upto[:, n - 1 : n], _SPLIT) for n in _COLUMNS]
        low = [np.sqrt(e[:, 1:] * e[:, :-1]) for e in columns]
        k = np.arange(1.0, _EXACT + 1.0)
        ranks = np.concatenate([np.broadcast_to(k, (self.size, _EXACT)), tall, *low], axis=1)
        many = np.concatenate(
            [
                np.clip(most - k + 1.0, 0.0, 1.0),
                np.diff(edges, axis=1),
                *(np.diff(e, axis=1) for e in columns),
            ],
            axis=1,
        )
        log_p = self._log_p(first + (ranks - 1.0) / share)
        n = self._latents(log_p, -slope * log_x)
        worth = log_p[:, :_EXACT] + slope * log_x
        few = np.sum(worth[:, :, None] + self._log_gains(_FEW)[:, None, :] >= 0.0, axis=2)
        n[:, :_EXACT] = np.where(few < _FEW, few, np.maximum(n[:, :_EXACT], _FEW))
        n[:, _EXACT : _EXACT + _TALL] = np.maximum(n[:, _EXACT : _EXACT + _TALL], _FEW + 1.0)
        n[:, _EXACT + _TALL :] = np.repeat(_COLUMNS, _SPLIT)

        rank = np.minimum(np.exp(log_x) - self.offset[:, None], self.count[:, None])
        start = np.full_like(rank, _EXACT + 0.5)
        edges = np.concatenate(
            [
                np.broadcast_to(k - 0.5, (self.size, _EXACT)),
                _between(start, np.maximum(rank, start), _CELLS),
            ],
            axis=1,
        )
        edges = np.minimum(edges, rank + 0.5)
        discrete = np.diff(edges, axis=1) * (1.0 - self.share)[:, None]
        middle = np.sqrt(edges[:, 1:] * edges[:, :-1])
        return Cells(self, log_p, many, n, self._log_p(middle), discrete)

    def _log_gains(self, most: int) -> Floats:
        """Logs of the gains of the first latents: (J, most)."""
        n, beta = np.arange(1.0, most + 1.0), self.beta[:, None]
        gains = -beta * np.log(n) + np.log(-np.expm1(-beta * np.log1p(1.0 / n)))
        return np.asarray(gains)


_NAMES = frozenset(Hypotheses.__dataclass_fields__)


@final
@dataclass(frozen=True, eq=False)
class Table:
    """Logarithms of latents, excess and discovery over prices, each of shape (J, prices)."""

    log_x: Floats
    log_latents: Floats
    log_excess: Floats
    log_found: Floats

    def at(self, log_n: Floats, values: Floats) -> Floats:
        """Interpolate between prices: (J, m) at log budgets (m,); constant beyond the ends."""
        rows = np.arange(values.shape[0])[:, None]
        above = np.sum(self.log_latents[:, :, None] < log_n[None, None, :], axis=1)
        high = np.clip(above, 1, values.shape[1] - 1)
        x0, x1 = self.log_latents[rows, high - 1], self.log_latents[rows, high]
        y0, y1 = values[rows, high - 1], values[rows, high]
        part = np.where(x1 > x0, (log_n - x0) / np.where(x1 > x0, x1 - x0, 1.0), 1.0)
        return np.asarray(y0 + np.clip(part, 0.0, 1.0) * (y1 - y0))


@final
@dataclass(frozen=True, eq=False)
class Cells:
    """Latents of an SAE in groups: manifolds with n latents each, and discrete features."""

    of: Hypotheses
    log_p: Floats
    many: Floats
    n: Floats
    log_p_discrete: Floats
    discrete: Floats

    @cached_property
    def manifold_share(self) -> Floats:
        """Share of the latents on manifolds that have at least two: (J,)."""
        piled = np.sum(self.many * self.n * (self.n >= 2.0), axis=1)
        return np.asarray(piled / np.maximum(self.total, 1e-300))

    @cached_property
    def on_manifolds(self) -> Floats:
        """Share of the latents that are on manifolds: (J,)."""
        return np.asarray(np.sum(self.many * self.n, axis=1) / np.maximum(self.total, 1e-300))

    @cached_property
    def total(self) -> Floats:
        """Latents in all: (J,)."""
        return np.asarray(np.sum(self.many * self.n, axis=1) + np.sum(self.discrete, axis=1))

    def log_frequencies(self, fractions: Floats) -> Floats:
        """Log firing frequency, up to a constant, at fractions of the ranks of latents: (J, m)."""
        of = self.of
        fires = ((1.0 + of.alpha - of.tilt) / (1.0 + of.alpha))[:, None]  # of a weight, its firing
        with np.errstate(divide="ignore"):
            shared = self.log_p * fires + (self.of.theta[:, None] - 1.0) * np.log(
                np.maximum(self.n, 1.0)
            )
        log_f = np.concatenate([shared, self.log_p_discrete * fires], axis=1)
        latents = np.concatenate([self.many * self.n, self.discrete], axis=1)
        order = np.argsort(-log_f, axis=1)
        log_f = np.take_along_axis(log_f, order, axis=1)
        upto = np.cumsum(np.take_along_axis(latents, order, axis=1), axis=1)
        middle = upto - 0.5 * np.take_along_axis(latents, order, axis=1)
        middle /= np.maximum(upto[:, -1:], 1e-300)
        return _interpolate(middle, log_f, fractions)

    def share_closer(self, cosines: Floats) -> Floats:
        """Share of the latents with a neighbour of at least these cosines, copies too: (J, m)."""
        of = self.of
        with np.errstate(divide="ignore"):
            log_n = np.log(np.maximum(self.n, 1.0))
        angle = of.angle[:, None] * np.exp(-log_n / of.dimension[:, None])
        cosine = np.where(self.n >= 2.0, np.cos(np.minimum(angle, 0.5 * math.pi)), 0.0)
        weight = self.many * self.n / np.maximum(self.total, 1e-300)[:, None]
        close = np.stack([np.sum(weight * (cosine >= c), axis=1) for c in cosines], axis=1)
        copies = of.copies[:, None]
        return np.asarray(copies + (1.0 - copies) * close)


def _between(low: Floats, high: Floats, cells: int) -> Floats:
    """Edges of cells that are even on a logarithmic axis: (J, cells + 1) for ends (J, 1)."""
    return np.asarray(low * (high / low) ** np.linspace(0.0, 1.0, cells + 1))


def _interpolate(x: Floats, y: Floats, at: Floats) -> Floats:
    """Rows of y over increasing rows of x, at the same points (m,) for all; linear in log x."""
    high = np.sum(x[:, :, None] < at[None, None, :], axis=1)
    high = np.clip(high, 1, x.shape[1] - 1)
    rows = np.arange(x.shape[0])[:, None]
    with np.errstate(divide="ignore"):
        x0, x1 = np.log(x[rows, high - 1]), np.log(x[rows, high])
    y0, y1 = y[rows, high - 1], y[rows, high]
    wide = np.isfinite(x0) & (x1 > x0)
    part = np.where(wide, (np.log(at) - x0) / np.where(wide, x1 - x0, 1.0), 1.0)
    return np.asarray(y0 + np.clip(part, 0.0, 1.0) * (y1 - y0))
