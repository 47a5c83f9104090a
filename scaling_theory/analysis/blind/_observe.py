"""What a measurement sees of the latents that were spent: losses, firing, directions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scaling_theory._validate import Floats, Ints
from scaling_theory.analysis.blind._draw import stream
from scaling_theory.analysis.blind._spend import Spent
from scaling_theory.analysis.blind.features import Features
from scaling_theory.analysis.blind.recipe import Measurement, Recipe
from scaling_theory.analysis.directions import RandomDirections

Singles = npt.NDArray[np.float32]

#: Nodes, in ln(-ln cdf), between which quantiles of nearest cosines are interpolated: they are
#: nearly straight there. Uniform numbers of 53 bits reach from -37 to 3.7; nodes from 1e-6.
_NODES = np.linspace(-14.0, 3.7, 40)
#: Range of the angles, in radians, between a latent and its copy.
_COPY_ANGLE = (0.02, 0.3)


def with_errors(
    expected: Floats, widths: Ints, measured: Measurement, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw measured losses, and the standard errors that are stated for them, both shape (k,).

    Stated errors are off by a lognormal factor of 10%, and say nothing of correlations.
    """
    x = np.log(widths)
    covariance = np.eye(x.size)
    if measured.length:
        covariance = np.exp(-np.abs(x[:, None] - x) / measured.length)
    own = np.linalg.cholesky(covariance) @ rng.standard_normal(x.size)
    error = measured.noise * own + measured.common * rng.standard_normal()
    size = np.hypot(measured.noise, measured.common)
    losses = expected * np.exp(error)
    return losses, losses * size * np.exp(0.1 * rng.standard_normal(x.size))


def firing_rates(
    spent: Spent, features: Features, theta: float, uneven: float, key: tuple[int, int]
) -> Floats:
    """Relative firing rates of all latents, shape (width,): own latents, then copies, then dead."""
    rng = stream(key, "rates", spent.width)
    n = np.repeat(spent.latents, spent.latents).astype(np.float64)
    rates = np.repeat(features.firing(spent.ranks.astype(np.float64)), spent.latents)
    rates *= n ** (theta - 1.0)
    # Between the latents of one feature; their mean is kept.
    spread = np.exp(uneven * rng.standard_normal(n.size) - 0.5 * uneven**2)
    rates = np.where(n > 1.0, rates * spread, rates)
    original = copied(spent, key)
    rates = rates / (1.0 + np.bincount(original, minlength=n.size))
    return np.concatenate([rates, rates[original], np.zeros(spent.dead)])


def counted(rates: Floats, tokens: float, rng: np.random.Generator) -> Singles:
    """Count firing over so many tokens and divide by them."""
    return np.asarray(rng.poisson(rates * tokens) / tokens, dtype=np.float32)


def nearest_cosines(spent: Spent, recipe: Recipe, key: tuple[int, int]) -> Singles:
    """Cosine of each latent with its nearest other, in the order of :func:`firing_rates`."""
    measured = recipe.measurement
    rng = stream(key, "cosines", spent.width)
    out = unrelated_cosines(spent.width, measured, rng)
    live = int(spent.latents.sum())
    angles = np.full(live, np.pi)
    n = np.repeat(spent.latents, spent.latents).astype(np.float64)
    part = np.repeat(spent.part, spent.latents)
    for k, kind in enumerate(recipe.features.parts):
        own = np.flatnonzero((part == k) & (n > 1.0))
        if kind.kind == "manifold":
            scatter = np.exp(measured.scatter * rng.standard_normal(own.size))
            angles[own] = kind.spacing * n[own] ** (-1.0 / kind.dimension) * scatter
        elif kind.kind == "discrete":  # two latents on one direction
            angles[own] = _copy_angles(own.size, rng)
    original = copied(spent, key)
    apart = _copy_angles(original.size, rng)
    np.minimum.at(angles, original, apart)
    angles = np.concatenate([angles, apart, np.full(spent.dead, np.pi)])
    near = angles < np.pi
    out[near] = np.maximum(out[near], np.cos(angles[near]))
    return out.astype(np.float32)


def unrelated_cosines(count: int, measured: Measurement, rng: np.random.Generator) -> Floats:
    """Nearest cosines of directions without manifolds: random ones, correlated, some related."""
    baseline = RandomDirections(count, measured.ambient)
    at_nodes = baseline.quantile(np.exp(-np.exp(_NODES)))
    uniform = np.maximum(rng.random(count), 1e-15)
    cosine = np.interp(np.log(-np.log(uniform)), _NODES, at_nodes)
    fisher = np.arctanh(cosine) + measured.correlation * np.abs(rng.standard_normal(count))
    cosine = np.tanh(fisher)
    related = rng.random(count) < measured.related
    return np.asarray(np.where(related, np.maximum(cosine, rng.uniform(0.2, 0.7, count)), cosine))


def copied(spent: Spent, key: tuple[int, int]) -> Ints:
    """Which of the own latents each copy is a copy of: a stream of its own, the same for all."""
    rng = stream(key, "copies", spent.width)
    return np.asarray(rng.integers(int(spent.latents.sum()), size=spent.copies))


def order(width: int, key: tuple[int, int]) -> Ints:
    """The order in which a width's latents are shown, the same for frequencies and cosines."""
    return stream(key, "order", width).permutation(width)


def _copy_angles(count: int, rng: np.random.Generator) -> Floats:
    low, high = _COPY_ANGLE
    return np.asarray(low * (high / low) ** rng.random(count))
