"""The inverse question: how many latents reach a loss, or discover so many features."""

from __future__ import annotations

import math
from typing import Any

from scaling_theory import _validate
from scaling_theory._validate import MAX_LATENTS
from scaling_theory.allocation.exact import Allocation, allocate, floor_loss
from scaling_theory.allocation.search import find_cut
from scaling_theory.allocation.solvers import solver_for
from scaling_theory.population import Population


def latents_for(
    population: Population,
    *,
    loss: Any = None,
    excess_loss: Any = None,
    discovered: Any = None,
) -> int:
    """Smallest number of latents with which the optimal allocation reaches a target.

    Give exactly one target.

    Parameters
    ----------
    population
        Features with their frequencies and loss curves.
    loss, excess_loss
        Loss to come down to, in total or above its limit for infinitely many latents.
    discovered
        Number of features to discover.

    Returns
    -------
    int
        N: the target holds with N latents and not with N - 1.

    Raises
    ------
    ValueError
        If not exactly one target is given, or it is out of reach of 1e15 latents.

    Notes
    -----
    The optimal loss is convex in N with slope -price, so Newton's method on it needs a handful of
    allocations. With curves that are not convex the answer holds for the allocations that
    ``allocate`` returns.
    """
    given = {
        name: value
        for name, value in (
            ("loss", loss),
            ("excess_loss", excess_loss),
            ("discovered", discovered),
        )
        if value is not None
    }
    if len(given) != 1:
        raise ValueError(
            f"exactly one of loss, excess_loss and discovered must be given, got "
            f"{', '.join(given) or 'none'}"
        )
    if not isinstance(population, Population):
        raise ValueError(f"population must be a Population, got {population!r}")
    if discovered is not None:
        return _for_discovered(population, discovered)
    floor = floor_loss(population)
    name, value = next(iter(given.items()))
    target = _validate.real(name, value, low=0.0)
    above = target - floor if name == "loss" else target
    if above < 0.0:
        raise ValueError(
            f"{name} must be at least {floor!r}, the loss with infinitely many latents, "
            f"got {target!r}"
        )
    return _for_excess(population, name, target, above)


def _for_discovered(population: Population, discovered: Any) -> int:
    most = MAX_LATENTS if population.count is None else min(population.count, MAX_LATENTS)
    target = _validate.whole("discovered", discovered, low=0, high=most)
    if target == 0:
        return 0
    if all(block.curve.convex for block in population.blocks):
        low, high = _bracket_at_price(population, target)
    else:
        low, high = _bracket_by_steps(population, target)
    while high - low > 1:
        middle = (low + high) // 2
        if allocate(population, middle).discovered >= target:
            high = middle
        else:
            low = middle
    return high


def _bracket_at_price(population: Population, target: int) -> tuple[int, int]:
    """Budgets on both sides of the price at which the feature is found."""
    solvers = [solver_for(block) for block in population.blocks]
    cut = find_cut(solvers, target, "discovered", finite=population.count is not None)
    if cut.saturated:
        raise _unreachable(sum(level.discovered for level in cut.taken), target)
    high = sum(level.count for level in cut.worth)
    if high > MAX_LATENTS:
        raise _out_of_reach(target)
    return sum(level.count for level in cut.taken), high


def _bracket_by_steps(population: Population, target: int) -> tuple[int, int]:
    """Budgets of which the first misses the target and the second reaches it."""
    low, high, steps = 0, target, 0
    while True:
        at = allocate(population, high)
        if at.discovered >= target:
            return low, high
        if at.status == "saturated":
            raise _unreachable(at.discovered, target)
        if high == MAX_LATENTS:
            raise _out_of_reach(target)
        # D may fall again where a late step of a curve is bought: small steps near the target.
        steps += 1
        further = high + max(high // 16, 1) if steps < 50 else 2 * high
        low, high = high, min(further, MAX_LATENTS)


def _unreachable(found: int, target: int) -> ValueError:
    return ValueError(
        f"discovered must be at most {found}, the features on which a latent gains anything, "
        f"got {target}"
    )


def _out_of_reach(target: int) -> ValueError:
    return ValueError(f"discovered must be within reach of {MAX_LATENTS:.0e} latents, got {target}")


def _for_excess(population: Population, name: str, target: float, above: float) -> int:
    at = allocate(population, 0)
    low, high = 0, MAX_LATENTS + 1  # not reached with low (or it is 0); reached with high
    if getattr(at, name) <= target:
        return 0
    n, back = 1, 1
    while high - low > 1:
        at = allocate(population, n)
        if getattr(at, name) <= target:
            high = n
            # The tangent leads to the left of the answer, or on to it: look a little below.
            tangent = math.floor((at.excess_loss - above) / at.price) if at.price > 0.0 else 0
            n, back = (
                max(high + tangent - back, (low + 1 + high) // 2 if back > 64 else 0),
                8 * back,
            )
            n = min(max(n, low + 1), high - 1)
            continue
        low = n
        if at.status == "saturated":
            reached = at.loss if name == "loss" else at.excess_loss
            raise ValueError(
                f"{name} must be at least {reached!r}, which {at.total} latents reach and no "
                f"more can lower, got {target!r}"
            )
        if low == MAX_LATENTS:
            reached = at.loss if name == "loss" else at.excess_loss
            raise ValueError(
                f"{name} must be at least {reached!r}, which {MAX_LATENTS:.0e} latents reach, "
                f"got {target!r}"
            )
        n = min(max(low + 1, _newton(at, above)), high - 1)
    return high


def _newton(at: Allocation, above: float) -> int:
    """Next trial from one that is too small: along the tangent, or the local power law."""
    n = at.latents
    step = math.ceil((at.excess_loss - above) / at.price)
    if above > 0.0:
        # The local power law leads further from far away; it is cut short, as slopes change.
        slope = at.price * n / at.excess_loss
        ratio = math.log(at.excess_loss / above) / slope
        step = max(step, int(0.98 * n * math.expm1(min(ratio, 7.0))))
    return n + step
