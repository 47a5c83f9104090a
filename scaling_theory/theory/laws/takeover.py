"""When a group of manifolds begins to eat the budget: the N at which it holds half of the latents.

At a price, features with exponent b < alpha hold T price^(-1/(1+b)) + S_own price^(-1/(1+alpha))
+ k_own latents and all others S price^(-1/(1+alpha)) + k, with the sums of ``limits.py``
continued analytically and constants k of the order of a latent. Without the constants both are
equal where N = 2 S price^(-1/(1+alpha)), in closed form; the constants are taken to first order,
unless N* lies among the ranks of a mixture that are drawn one by one. Derived here. For one
manifold a n^-beta at rank r among discrete features of gain m it leads with

    N* = 2 (r^(1+alpha) m / (a beta))^(1/(alpha-beta)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._sums import power_sum_after
from scaling_theory._validate import Floats
from scaling_theory.frequencies import ShiftedPower
from scaling_theory.population import Population
from scaling_theory.theory.laws.limits import (
    Few,
    Many,
    begun,
    constant_of,
    discovery_sum,
    members_of,
    tiling_sum,
)
from scaling_theory.theory.laws.mean_field import mixture_members
from scaling_theory.theory.laws.prediction import predict

#: Ranks of a draw that are drawn one by one; the others are replaced by their mean.
_HEAD = 10_000
_CHUNK = 100
#: How far from one half the share at N* may be, for the formula to be taken as valid.
_NEAR = 0.05


def takeover(population: Population, group: str) -> float:
    """Number of latents at which a group of manifolds holds half of them.

    Parameters
    ----------
    population
        Infinitely many features with power-law frequencies; all groups but one with beta > alpha.
    group
        Label of the group; all its features have one exponent beta.

    Returns
    -------
    float
        N*, from which on the group holds more than half; inf if its beta is not below alpha, so
        that its share does not grow in the limit; nan where the formula, which is for large N, does
        not hold, as where a group with the lowest ranks holds half from the first latents on.

    Raises
    ------
    ValueError
        If there is no such group, or another one has beta <= alpha too.

    Notes
    -----
    An asymptotic formula: what it leaves out is of order 1/N*^2, and for a random group the
    irregular ranks at which its last features are found.
    """
    if not isinstance(population, Population):
        raise ValueError(f"population must be a Population, got {population!r}")
    law = population.frequencies
    if not isinstance(law, ShiftedPower) or law.count is not None:
        raise ValueError(f"population must have infinitely many power-law features, got {law!r}")
    if group not in population.labels:
        raise ValueError(f"group must be one of {list(population.labels)}, got {group!r}")
    inside = population.labels.index(group)
    members = members_of(population)
    own = [m for m, b in zip(members, population.blocks, strict=True) if b.group == inside]
    rest = [m for m, b in zip(members, population.blocks, strict=True) if b.group != inside]
    beta = _exponent(own)
    if not beta < law.alpha:
        return math.inf
    t = np.array([sum(tiling_sum(m, law.alpha, beta) for m in own)])
    half = float(_half(law.alpha, beta, t, own, rest)[0])
    if not half >= 1.0:
        return math.nan
    held = predict(population=population).shares(half)[group][0]
    return half if abs(held - 0.5) <= _NEAR + 1.0 / half else math.nan


def takeover_draws(
    frequencies: ShiftedPower,
    groups: Mapping[str, tuple[Any, ...]],
    group: str,
    draws: int = 1000,
    seed: int | np.random.Generator = 0,
) -> Floats:
    """Draw which ranks belong to a group of manifolds, and return N* of each draw.

    The sum over the group's ranks is dominated by its lowest ranks, so that N* varies by orders of
    magnitude between draws; quote its median and quartiles.

    Parameters
    ----------
    frequencies, groups
        As in :func:`scaling_theory.theory.mean_field`.
    group
        Label of the group of manifolds.
    draws
        Number of draws, 1 to 100,000.
    seed
        Whole number or numpy Generator.

    Returns
    -------
    Floats
        Shape (draws,); nan where the formula gives less than one latent.
    """
    number = _validate.whole("draws", draws, low=1, high=100_000)
    members = mixture_members(frequencies, groups)
    if group not in members:
        raise ValueError(f"group must be one of {list(members)}, got {group!r}")
    own, rest = members[group], [m for label, m in members.items() if label != group]
    alpha = frequencies.alpha
    beta = _exponent([own])
    if not beta < alpha:
        return np.full(number, np.inf)
    gamma = (1.0 + alpha) / (1.0 + beta)
    rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(
        _validate.whole("seed", seed)
    )  # fmt: skip
    offset = frequencies.shift
    head = (np.arange(1.0, _HEAD + 1.0) + offset) ** -gamma
    beyond = own.share * float(power_sum_after(np.array([float(_HEAD)]), gamma, offset, None)[0])
    starts = range(0, number, _CHUNK)
    sizes = [min(_CHUNK, number - start) for start in starts]
    ranks = [(rng.random((size, _HEAD)) < own.share) @ head for size in sizes]
    mean = own.power_sum(gamma)
    t = tiling_sum(own, alpha, beta) / mean * (np.concatenate(ranks) + beyond)
    half = _half(alpha, beta, t, [own], rest)
    return np.where(half >= 1.0, half, np.nan)


def _exponent(own: Sequence[Many | Few]) -> float:
    betas = {float(b) for m in own for b in np.unique(np.asarray(m.curve.tail_exponent))}
    if len(betas) != 1:
        raise ValueError(f"group must have one exponent beta, got {sorted(betas)}")
    return betas.pop()


def _half(
    alpha: float, beta: float, t: Floats, own: Sequence[Many | Few], rest: Sequence[Many | Few]
) -> Floats:
    """Solve for the price at which the group and all others hold the same; shape of t."""
    slow = [m for m in rest if float(np.min(m.curve.tail_exponent)) <= alpha]
    if slow:
        raise ValueError(
            f"groups other than the one asked for must have beta > alpha = {alpha!r}, got "
            f"{slow[0].curve!r}"
        )
    s, s_own = discovery_sum(alpha, rest), discovery_sum(alpha, own)
    k, k_own = (sum(constant_of(m) for m in members) for members in (rest, own))
    p, q = 1.0 / (1.0 + alpha), 1.0 / (1.0 + beta)
    log_price = np.log(t / (s - s_own)) / (q - p)
    others, tiled = s * np.exp(-p * log_price), t * np.exp(-q * log_price)
    # To first order in the constants: (s - s_own) price^-p + k - k_own = t price^-q.
    shift = (k - k_own) / ((q - p) * tiled)  # of -ln price
    regular = np.all([begun(m, log_price, alpha) for m in (*own, *rest)], axis=0)
    return np.asarray(2.0 * np.where(regular, others * (1.0 + p * shift) + k, others))
