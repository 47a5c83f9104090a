"""The forward model of the diagnosis: many hypotheses at once, from parameters to what is seen.

Features i = 1 ... count weigh (i + offset)^-(1+alpha) in the loss: frequency times magnitude. Up
to two shares of them are manifolds with curves L(n) = (1+n)^-beta, each share with a beta of its
own and spread evenly over the ranks from ``first`` on; the others are discrete. An SAE with N
latents spends them optimally. From that follow, without a free choice,

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
from dataclasses import dataclass, fields
from functools import cached_property
from typing import final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.analysis.diagnosis.manifolds import EXACT, Manifolds, between

#: Largest number of latents for which predictions are tabulated.
MOST_LATENTS = 1e9

_CELLS = 28  # of ranks of discrete features, after the first few
_GRID = 40  # prices


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
    count
        Number of features.
    beta, share, first
        A share of the features, in [0, 1], are manifolds with the curve (1+n)^-beta. The first of
        them has rank ``first``, at least 1, the k-th first + (k - 1)/share.
    other_beta, other_share, other_first
        The same of other manifolds.
    theta
        Of the n latents of a feature n^theta fire together.
    stretch, angle
        Neighbours among n latents of a manifold are angle * n^(-1/D) apart, in radians;
        D = stretch * 2/beta.
    copies
        Share of latents that copy another one.
    """

    alpha: Floats
    offset: Floats
    tilt: Floats
    count: Floats
    beta: Floats
    share: Floats
    first: Floats
    other_beta: Floats
    other_share: Floats
    other_first: Floats
    theta: Floats
    stretch: Floats
    angle: Floats
    copies: Floats

    @property
    def size(self) -> int:
        """Number of hypotheses, J."""
        return int(self.alpha.size)

    @property
    def pathological(self) -> Floats:
        """1 where latents pile up in the limit, beta < alpha on some features; otherwise 0."""
        piles = (self.share > 0.0) & (self.beta < self.alpha)
        piles |= (self.other_share > 0.0) & (self.other_beta < self.alpha)
        return piles.astype(np.float64)

    def take(self, index: np.ndarray) -> Hypotheses:
        """Some of them, in this order."""
        return Hypotheses(
            **{field.name: getattr(self, field.name)[index] for field in fields(self)}
        )

    @cached_property
    def _manifolds(self) -> tuple[Manifolds, Manifolds]:
        law = self.alpha, self.offset, self.count
        return (
            Manifolds(*law, self.beta, self.share, self.first),
            Manifolds(*law, self.other_beta, self.other_share, self.other_first),
        )

    @property
    def _discrete_share(self) -> Floats:
        return np.maximum(1.0 - self.share - self.other_share, 0.0)

    # ---- discrete features: closed form ----------------------------------------------------------

    def _discrete_upto(self, rank: Floats) -> Floats:
        """Discrete features of ranks up to ``rank`` (capped at the last): (J, prices)."""
        rank = np.minimum(rank, self.count[:, None])
        others = sum(part.upto(rank) for part in self._manifolds)
        some = self._discrete_share[:, None] > 1e-9
        return np.where(some, np.maximum(np.floor(rank) - others, 0.0), 0.0)

    def _discrete_mass_beyond(self, rank: Floats) -> Floats:
        """Loss of the discrete features of higher ranks: an integral from half a rank on."""
        low = np.floor(np.minimum(rank, self.count[:, None])) + 0.5 + self.offset[:, None]
        high = (self.count + 0.5 + self.offset)[:, None]
        alpha = self.alpha[:, None]
        span = np.log(np.maximum(high / low, 1.0))
        small = np.abs(alpha) < 1e-9
        safe = np.where(small, 1.0, alpha)
        mass = np.where(small, span, -np.exp(-alpha * np.log(low)) * np.expm1(-safe * span) / safe)
        return np.asarray(self._discrete_share[:, None] * mass)

    # ---- tables over prices ----------------------------------------------------------------------

    @cached_property
    def table(self) -> Table:
        """N, excess and discovery over a grid of prices."""
        rho = self._discrete_share + sum(part.density for part in self._manifolds)
        low, top = np.log1p(self.offset), np.log(MOST_LATENTS / rho + self.offset)
        steps = np.linspace(0.0, 1.0, _GRID)  # X: price^-(1/(1+alpha)), last rank + offset
        log_x = low[:, None] + steps * (top - low)[:, None]
        rank = np.exp(log_x) - self.offset[:, None] * (1.0 - 1e-12)  # the first rank is in at once
        discrete = self._discrete_upto(rank)
        latents, excess, found = discrete.copy(), self._discrete_mass_beyond(rank), discrete.copy()
        for part in self._manifolds:
            n, loss = part.spent(log_x)
            latents += n
            excess += loss
            found += part.found(log_x)
        return Table(
            log_x,
            np.log(np.maximum(latents, 1e-3)),
            np.log(np.maximum(excess, 1e-300)),
            np.log(np.maximum(found, 1e-3)),
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
        groups = [part.columns(log_x) for part in self._manifolds]
        if not self.other_share.any():
            groups = groups[:1]
        log_p, many, n = (np.concatenate(parts, axis=1) for parts in zip(*groups, strict=True))
        dimensions = [self.stretch * 2.0 / part.beta for part in self._manifolds[: len(groups)]]
        dimension = np.repeat(np.stack(dimensions, axis=1), n.shape[1] // len(groups), axis=1)
        rank = np.minimum(np.exp(log_x) - self.offset[:, None], self.count[:, None])
        start = np.full_like(rank, EXACT + 0.5)
        k = np.arange(1.0, EXACT + 1.0)
        edges = np.concatenate(
            [
                np.broadcast_to(k - 0.5, (self.size, EXACT)),
                between(start, np.maximum(rank, start), _CELLS),
            ],
            axis=1,
        )
        edges = np.minimum(edges, rank + 0.5)
        discrete = np.diff(edges, axis=1) * self._discrete_share[:, None]
        middle = np.sqrt(edges[:, 1:] * edges[:, :-1])
        log_middle = -(1.0 + self.alpha)[:, None] * np.log(middle + self.offset[:, None])
        return Cells(self, log_p, many, n, dimension, log_middle, discrete)


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
    dimension: Floats
    log_p_discrete: Floats
    discrete: Floats

    @cached_property
    def manifold_share(self) -> Floats:
        """Share of the latents on manifolds that have at least two: (J,)."""
        piled = np.sum(self.many * self.n * (self.n >= 2.0), axis=1)
        return np.asarray(piled / np.maximum(self.total, 1e-300))

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
        angle = of.angle[:, None] * np.exp(-log_n / self.dimension)
        cosine = np.where(self.n >= 2.0, np.cos(np.minimum(angle, 0.5 * math.pi)), 0.0)
        weight = self.many * self.n / np.maximum(self.total, 1e-300)[:, None]
        close = np.stack([np.sum(weight * (cosine >= c), axis=1) for c in cosines], axis=1)
        copies = of.copies[:, None]
        return np.asarray(copies + (1.0 - copies) * close)


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
