"""Drawing the features of a family, and the streams of random numbers that all draws come from."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from scaling_theory.analysis.blind.features import Features, Part

Structure = Literal["manifolds", "mixture", "two manifolds", "discrete", "plateau"]

#: Share of the families whose |alpha - beta| is uniform in NEAR_GAP; for others it is at least 0.1.
NEAR = 0.15
NEAR_GAP = (0.02, 0.1)
#: The one-layer law at D = 1; there is no dimension below it.
_CIRCLE_BETA = 4.0 / 3.0

#: What is drawn independently of one another, in an order that seeds depend on.
_STREAMS = (
    "regime", "recipe", "spend", "losses", "rates", "copies", "counts", "cosines", "order",
)  # fmt: skip


def stream(key: tuple[int, ...], name: str, *more: int) -> np.random.Generator:
    """Random numbers of a family (seed, index) that no other name, or number after it, has."""
    return np.random.default_rng([*key, _STREAMS.index(name), *more])


def draw_parts(
    rng: np.random.Generator,
    structure: Structure,
    regime: str,
    alpha: float,
    departures: tuple[str, ...],
) -> tuple[Part, ...]:
    """Draw the kinds of features, their shares and their curves."""
    if structure == "discrete":
        return (_simple(rng, "discrete", 1.0),)
    if structure == "plateau":
        return (_simple(rng, "plateau", 1.0),)
    first = _manifold(rng, regime, alpha, departures)
    if structure == "manifolds":
        return (first,)
    share = round(log_uniform(rng, 0.02, 0.9), 2)
    others: list[Part] = []
    left = round(1.0 - share, 2)
    if structure == "two manifolds":
        other = "benign" if regime == "benign" or rng.random() < 0.5 else "pathological"
        second = _manifold(rng, other, alpha, departures)
        # In half of these families nothing but manifolds.
        own = left if rng.random() < 0.5 else round(left * rng.uniform(0.2, 0.8), 2)
        others.append(replace(second, share=own))
        left = round(left - own, 2)
    if left > 0.0:
        others.append(_simple(rng, "discrete" if rng.random() < 0.6 else "plateau", left))
    return (replace(first, share=share), *others)


def _simple(rng: np.random.Generator, kind: Literal["discrete", "plateau"], share: float) -> Part:
    basis = int(rng.integers(2, 9)) if kind == "plateau" else 0
    return Part(kind, share, scale=rng.uniform(0.6, 1.0), basis=basis)


def _manifold(
    rng: np.random.Generator, regime: str, alpha: float, departures: tuple[str, ...]
) -> Part:
    beta = draw_beta(rng, regime, alpha)
    if "unrelated dimension" in departures:
        dimension = log_uniform(rng, 1.0, 20.0)
    elif rng.random() < 0.5 or beta > _CIRCLE_BETA:
        dimension = 2.0 / beta  # what an ideal encoder reaches: beta = 2/D
    else:
        dimension = one_layer_dimension(beta)
    # Random points have a mean factor of Gamma(1 + 1/D), 0.89 to 1; even ones up to 2, on a circle.
    spacing = _sphere_spacing(dimension) * rng.uniform(0.8, 1.6)
    part = Part("manifold", 1.0, rng.uniform(0.5, 1.0), beta, dimension=dimension, spacing=spacing)
    if "convention" in departures:
        if rng.random() < 0.5:
            return replace(part, convention="step", shift=0.0)
        return replace(part, shift=log_uniform(rng, 0.2, 20.0))
    if "measured curve" in departures:
        factors = np.exp(0.3 * beta * rng.standard_normal(rng.integers(5, 11)))
        return replace(part, convention="table", table=tuple(factors.tolist()))
    return part


def draw_beta(rng: np.random.Generator, regime: str, alpha: float) -> float:
    """Draw beta in 0.05 to 2: pathological uniform below alpha, benign log-uniform above it."""
    near = rng.random() < NEAR
    gap = rng.uniform(*NEAR_GAP)
    if regime == "pathological":
        return float(alpha - gap if near else rng.uniform(0.05, alpha - NEAR_GAP[1]))
    return float(alpha + gap if near else log_uniform(rng, alpha + NEAR_GAP[1], 2.0))


def one_layer_dimension(beta: float) -> float:
    """Dimension D of the sphere on which a one-layer encoder is conjectured to reach beta.

    2(d+2)/((d-1)(d+4)) for the sphere in R^d is 2(D+3)/(D(D+5)) in D = d - 1: a quadratic in D.
    """
    b = 5.0 * beta - 2.0
    return (-b + math.sqrt(b * b + 24.0 * beta)) / (2.0 * beta)


def _sphere_spacing(dimension: float) -> float:
    """(area of the unit D-sphere / volume of the unit D-ball)^(1/D): the scale of its gaps."""
    half = 0.5 * dimension
    log_ratio = math.lgamma(half + 1.0) - math.lgamma(half + 0.5) + 0.5 * math.log(4.0 * math.pi)
    return math.exp(log_ratio / dimension)


def draw_features(
    rng: np.random.Generator,
    parts: tuple[Part, ...],
    alpha: float,
    largest: int,
    departures: tuple[str, ...],
) -> Features:
    """Draw the law of frequencies and magnitudes; ``largest`` is the largest width."""
    out = Features(parts, alpha, alpha, seed=int(rng.integers(2**32)))
    if "shifted law" in departures:
        out = replace(out, offset=log_uniform(rng, 3.0, max(largest / 30.0, 10.0)))
    if "finite features" in departures:
        out = replace(out, count=round(largest * log_uniform(rng, 10.0, 1000.0)))
    if "magnitudes by rank" in departures:
        # Above 0, so that the p_i have a finite sum.
        below, above = (max(alpha - 0.4, 0.05), alpha - 0.1), (alpha + 0.1, alpha + 0.4)
        out = replace(out, firing_alpha=rng.uniform(*(below if rng.random() < 0.5 else above)))
    if "magnitudes at random" in departures:
        out = replace(out, spread=rng.uniform(0.3, 1.2), listed=8 * largest)
    if "bent law" in departures:
        change = rng.uniform(0.2, 0.6) * (1.0 if rng.random() < 0.5 else -1.0)
        bend = round(log_uniform(rng, 10.0, max(largest / 30.0, 20.0)))
        out = replace(out, bend=bend, head_alpha=alpha + change, listed=8 * largest)
    return out


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))
