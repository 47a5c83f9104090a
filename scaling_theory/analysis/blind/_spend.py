"""How the latents of one SAE are spent: the exact optimum, and what training made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from scaling_theory._validate import Ints
from scaling_theory.allocation import Allocation, allocate
from scaling_theory.analysis.blind._draw import stream
from scaling_theory.analysis.blind.features import Part
from scaling_theory.analysis.blind.recipe import Recipe, Training
from scaling_theory.frequencies import MAX_COUNT
from scaling_theory.population import Population


@final
@dataclass(frozen=True, eq=False)
class Spent:
    """The latents of one width.

    Attributes
    ----------
    width, copies, dead
        All latents, those that copy another, those that never fire.
    ranks, latents, part : (k,) int64
        Features with a latent of their own, how many, and which part they belong to; ``copies``
        and ``dead`` are not counted.
    excess
        Excess loss with these latents.
    optimum, slope
        Excess loss and -d ln excess / d ln N of the exact optimum with as many latents as the
        whole width.
    """

    width: int
    copies: int
    dead: int
    ranks: Ints
    latents: Ints
    part: Ints
    excess: float
    optimum: float
    slope: float


def spend(recipe: Recipe) -> list[Spent]:
    """Solve every width, exactly, and apply what training does."""
    features, training = recipe.features, recipe.training
    population = features.population()
    never = features.never_found()
    rng = stream((recipe.seed, recipe.index), "spend")
    x = np.log(recipe.widths / recipe.widths[0])
    dead_shares = np.interp(x, [0.0, x[-1]], training.dead)
    out = []
    for width, dead_share in zip(recipe.widths.tolist(), dead_shares.tolist(), strict=True):
        dead = round(width * dead_share)
        copies = round((width - dead) * training.duplicates)
        best = allocate(population, width)
        live = width - dead - copies
        alloc = best if live == width else allocate(population, live)
        spent = _of(alloc, width, copies)
        if training.displaced or training.blur:
            spent = _disturbed(spent, alloc.price, population, features.parts, training, rng)
        optimum = best.excess_loss + never
        slope = best.price * width / optimum
        out.append(replace(spent, excess=spent.excess + never, optimum=optimum, slope=slope))
    return out


def _of(alloc: Allocation, width: int, copies: int) -> Spent:
    """List the features of an allocation that have latents; idle latents are dead."""
    most = alloc.population.count or MAX_COUNT
    start, stop = 0, min(max(alloc.discovered, 1), most)
    found: list[tuple[Ints, Ints]] = []
    seen = 0
    while seen < alloc.total:  # groups reach different ranks
        ranks = np.arange(start + 1, stop + 1, dtype=np.int64)
        n = alloc.latents_at(ranks)
        some = n > 0
        found.append((ranks[some], n[some]))
        seen += int(n.sum())
        start, stop = stop, min(2 * stop, most)
    ranks, latents = (np.concatenate(column) for column in zip(*found, strict=True))
    part = alloc.population.group_of(ranks)
    dead = width - copies - alloc.total
    return Spent(width, copies, dead, ranks, latents, part, alloc.excess_loss, np.nan, np.nan)


def _disturbed(
    spent: Spent,
    price: float,
    population: Population,
    parts: tuple[Part, ...],
    training: Training,
    rng: np.random.Generator,
) -> Spent:
    """Blur the counts on manifolds, keep their sum, and move latents that matter least."""
    gains = np.zeros(spent.ranks.size)
    blurs = np.zeros(spent.ranks.size, dtype=np.bool_)
    for k, part in enumerate(parts):
        own = spent.part == k
        n = spent.latents[own].astype(np.float64)
        gains[own] = part.curve().excess(n - 1.0) - part.curve().excess(n)
        blurs[own] = part.kind == "manifold"
    surplus = np.where(blurs, spent.latents - 1, 0)
    total = int(surplus.sum())
    index = np.arange(spent.ranks.size)
    wanted = surplus * np.exp(training.blur * rng.standard_normal(surplus.size))
    blurred = np.floor(wanted + rng.random(wanted.size)).astype(np.int64)  # unbiased rounding
    extra = rng.permutation(np.repeat(index, blurred))[:total]
    if extra.size < total:
        more = rng.choice(np.repeat(index, surplus), size=total - extra.size)
        extra = np.append(extra, more)
    owners = np.append(np.repeat(index, spent.latents - surplus), extra)
    # What the last latent of each feature buys, at least the price but for rounding and envelopes.
    worth = np.maximum(population.frequencies.at(spent.ranks) * gains, price)
    chance = training.displaced * price / worth
    moved = rng.random(owners.size) < chance[owners]
    owners = spent.ranks[owners]
    where = np.ceil(owners * np.exp(rng.standard_normal(owners.size)))
    moved &= where <= (population.count or MAX_COUNT)
    owners = np.where(moved, where, owners).astype(np.int64)
    ranks, latents = np.unique(owners, return_counts=True)
    after = replace(
        spent, ranks=ranks, latents=latents.astype(np.int64), part=population.group_of(ranks)
    )
    change = _bought(spent, population, parts) - _bought(after, population, parts)
    return replace(after, excess=spent.excess + change)


def _bought(spent: Spent, population: Population, parts: tuple[Part, ...]) -> float:
    """Loss that the latents take away: sum of weights times L(0) - L(n)."""
    weights = population.frequencies.at(spent.ranks)
    out = 0.0
    for k, part in enumerate(parts):
        own = spent.part == k
        n = spent.latents[own].astype(np.float64)
        left = part.curve().excess(n)
        out += float((weights[own] * (part.scale - left)).sum())
    return out
