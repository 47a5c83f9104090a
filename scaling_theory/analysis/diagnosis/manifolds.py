"""Manifolds with one exponent among the features of many hypotheses: ranks, latents, losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from scaling_theory._validate import Floats

EXACT = 16  # ranks that are taken one by one
_CELLS = 28  # cells of ranks after them
_FEW, _TALL, _SPLIT = 8, 16, 3  # counts taken as whole numbers; cells of larger ones; of each count
_COLUMNS = np.arange(_FEW, 0, -1)


@final
@dataclass(frozen=True, eq=False)
class Manifolds:
    """Arrays (J,): see ``Hypotheses``. Prices are given as log X = -log price/(1+alpha)."""

    alpha: Floats
    offset: Floats
    features: Floats
    beta: Floats
    share: Floats
    first: Floats

    @cached_property
    def count(self) -> Floats:
        """How many there are, real, (J,)."""
        most = np.maximum((self.features - self.first) * self.share + 1.0, 0.0)
        return np.where(self.share > 0.0, most, 0.0)

    @cached_property
    def _log_first_gain(self) -> Floats:
        return np.log(-np.expm1(-self.beta * math.log(2.0)))

    @property
    def density(self) -> Floats:
        """Manifolds with a latent per rank X, in the limit, (J,)."""
        return np.asarray(self.share * np.exp(self._log_first_gain / (1.0 + self.alpha)))

    def upto(self, rank: Floats) -> Floats:
        """Manifolds of ranks up to ``rank`` (capped at the last feature): (J, prices)."""
        first, share = self.first[:, None], self.share[:, None]
        rank = np.minimum(rank, self.features[:, None])
        some = (share > 0.0) & (rank >= first)
        return np.where(some, np.floor((rank - first) * share + 1.0 + 1e-9), 0.0)

    def found(self, log_x: Floats) -> Floats:
        """Manifolds with a latent: (J, prices)."""
        worth = np.exp(log_x + (self._log_first_gain / (1.0 + self.alpha))[:, None])
        return self.upto(worth - self.offset[:, None])

    def spent(self, log_x: Floats) -> tuple[Floats, Floats]:
        """Latents, and the loss that is left: (J, prices) each."""
        log_p, many = self._cells
        latents, excess = np.zeros_like(log_x), np.zeros_like(log_x)
        weight, beta = many * np.exp(log_p), self.beta[:, None]
        if not many.any():
            return latents, excess
        for g in range(log_x.shape[1]):
            n = self._latents(log_p, log_x[:, g : g + 1])
            latents[:, g] = np.sum(many * n, axis=1)
            excess[:, g] = np.sum(weight * np.exp(-beta * np.log1p(n)), axis=1)
        return latents, excess

    def columns(self, log_x: Floats) -> tuple[Floats, Floats, Floats]:
        """Log weights, numbers and latents of manifolds by cells of counts: (J, cells) each."""
        slope = (1.0 + self.alpha)[:, None]
        share = np.maximum(self.share, 1e-300)[:, None]
        first, most = self.first[:, None], self.count[:, None]
        # the last manifold with at least 1, 2, ..., FEW + 1 latents
        cut = np.exp(log_x + self._log_gains(_FEW + 1) / slope) - self.offset[:, None]
        upto = np.minimum((cut - first) * share + 1.0, most)
        upto = np.where(self.share[:, None] > 0.0, np.maximum(upto, EXACT + 0.5), EXACT + 0.5)
        edges = between(np.full_like(log_x, EXACT + 0.5), upto[:, -1:], _TALL)
        tall = np.sqrt(edges[:, 1:] * edges[:, :-1])
        columns = [between(upto[:, n : n + 1], upto[:, n - 1 : n], _SPLIT) for n in _COLUMNS]
        low = [np.sqrt(e[:, 1:] * e[:, :-1]) for e in columns]
        k = np.arange(1.0, EXACT + 1.0)
        ranks = np.concatenate([np.broadcast_to(k, (first.size, EXACT)), tall, *low], axis=1)
        many = np.concatenate(
            [
                np.clip(most - k + 1.0, 0.0, 1.0),
                np.diff(edges, axis=1),
                *(np.diff(e, axis=1) for e in columns),
            ],
            axis=1,
        )
        log_p = self._log_p(first + (ranks - 1.0) / share)
        n = self._latents(log_p, log_x)
        worth = log_p[:, :EXACT] + slope * log_x
        few = np.sum(worth[:, :, None] + self._log_gains(_FEW)[:, None, :] >= 0.0, axis=2)
        n[:, :EXACT] = np.where(few < _FEW, few, np.maximum(n[:, :EXACT], _FEW))
        n[:, EXACT : EXACT + _TALL] = np.maximum(n[:, EXACT : EXACT + _TALL], _FEW + 1.0)
        n[:, EXACT + _TALL :] = np.repeat(_COLUMNS, _SPLIT)
        return log_p, many, n

    @cached_property
    def _cells(self) -> tuple[Floats, Floats]:
        """Logs of weights of representative manifolds, and how many each stands for: (J, cells)."""
        share, most = np.maximum(self.share, 1e-300), self.count
        k = np.arange(1.0, EXACT + 1.0)
        exact = np.clip(most[:, None] - k + 1.0, 0.0, 1.0)  # the last may be there in part
        edges = between(
            np.full((most.size, 1), EXACT + 0.5), np.maximum(most, EXACT + 1.0)[:, None], _CELLS
        )
        middle = np.sqrt(edges[:, 1:] * edges[:, :-1])
        many = np.diff(edges, axis=1) * (most > EXACT + 1.0)[:, None]
        k = np.concatenate([np.broadcast_to(k, exact.shape), middle], axis=1)
        rank = self.first[:, None] + (k - 1.0) / share[:, None]
        return self._log_p(rank), np.concatenate([exact, many], axis=1)

    def _log_p(self, rank: Floats) -> Floats:
        """Logs of the weights at ranks (J, m)."""
        return np.asarray(-(1.0 + self.alpha)[:, None] * np.log(rank + self.offset[:, None]))

    def _latents(self, log_p: Floats, log_x: Floats) -> Floats:
        """Latents of manifolds of these weights at a price: real, 0 or at least 1."""
        worth = log_p + (1.0 + self.alpha)[:, None] * log_x
        beta = self.beta[:, None]
        n = np.exp((np.log(beta) + worth) / (1.0 + beta)) - 1.0  # -1/2, and whole on average
        return np.where(worth + self._log_first_gain[:, None] >= 0.0, np.maximum(n, 1.0), 0.0)

    def _log_gains(self, most: int) -> Floats:
        """Logs of the gains of the first latents: (J, most)."""
        n, beta = np.arange(1.0, most + 1.0), self.beta[:, None]
        gains = -beta * np.log(n) + np.log(-np.expm1(-beta * np.log1p(1.0 / n)))
        return np.asarray(gains)


def between(low: Floats, high: Floats, cells: int) -> Floats:
    """Edges of cells that are even on a logarithmic axis: (J, cells + 1) for ends (J, 1)."""
    return np.asarray(low * (high / low) ** np.linspace(0.0, 1.0, cells + 1))
