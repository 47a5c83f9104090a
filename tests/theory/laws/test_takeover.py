"""The N at which manifolds hold half of the latents: closed form against the exact solver."""

import math

import numpy as np
import pytest
import sympy as sp

import scaling_theory as sth
from scaling_theory import theory

M25 = sth.PowerLawFrequencies(0.5)
UNSHIFTED, TILE, STEP = sth.PowerLawCurve(0.1, shift=0), sth.PowerLawCurve(0.1), sth.DiscreteCurve()
GROUPS = {"tile": (0.01, TILE), "step": (0.99, STEP)}


def exact(population, label, guess):
    """Smallest N at which the group holds half, from the exact solver, to 0.01%."""

    def share(n):
        return sth.allocate(population, n).by_group().set_index("group")["share"][label]

    low, high = int(guess / 3), int(guess * 3) + 1
    assert share(low) < 0.5 < share(high)
    while high - low > 1 and high / low > 1.0001:
        middle = math.isqrt(low * high)
        low, high = (middle, high) if share(middle) < 0.5 else (low, middle)
    return high


@pytest.mark.parametrize(("rank", "leading"), [(1, 632.46), (10, 3.5566e6)])
def test_one_manifold_among_discrete_features(rank, leading):
    population = sth.Population(M25, STEP, ranks={rank: UNSHIFTED}, label="discrete")
    closed = theory.takeover(population, f"rank {rank}")
    # N* = 2 (r^(1+alpha) / (a beta))^(1/(alpha-beta)), less a few latents: the discrete features
    # are those up to X - 1/2 without one rank, and 2 (3/2) q/(q-p) = 11.25 with q = 1/1.1, p = 2/3
    assert 2.0 * (rank**1.5 / 0.1) ** 2.5 == pytest.approx(leading, rel=1e-4)
    assert closed == pytest.approx(leading - 11.25, abs=1e-4 * leading)
    n = exact(population, f"rank {rank}", leading)
    assert n == pytest.approx(closed, rel=2e-4, abs=2.0)


def test_leading_form_symbolically():
    # a manifold at rank r holds (a beta c r^-(1+alpha) / price)^(1/(1+beta)), the discrete
    # features (c m / price)^(1/(1+alpha))
    al, be, a, c, m, r, x = sp.symbols("alpha beta a c m r x", positive=True)
    price = c * m * x ** -(1 + al)  # x discrete features
    tiled = (a * be * c * r ** -(1 + al) / price) ** (1 / (1 + be))
    at = (r ** (1 + al) * m / (a * be)) ** (1 / (al - be))
    gap = sp.expand_log(sp.log(tiled.subs(x, at)) - sp.log(at), force=True)
    assert sp.simplify(gap) == 0


@pytest.mark.parametrize("seed", range(6))
def test_random_groups(seed):
    population = sth.Population.mixture(M25, GROUPS, seed)
    closed = theory.takeover(population, "tile")
    assert closed > 1e5
    assert exact(population, "tile", closed) == pytest.approx(closed, rel=1e-3)


def test_quartiles_over_draws_are_those_of_drawn_populations():
    drawn = theory.takeover_draws(M25, GROUPS, "tile", 4000, seed=1)
    assert drawn.shape == (4000,)
    populations = [
        theory.takeover(sth.Population.mixture(M25, GROUPS, seed), "tile") for seed in range(300)
    ]
    # a quantile of 300 draws has a standard error of sqrt(q (1 - q) / 300) in probability
    for q in (0.25, 0.5, 0.75):
        below = np.mean(np.array(populations) < np.quantile(drawn, q))
        assert abs(below - q) < 4.0 * math.sqrt(q * (1.0 - q) * (1 / 300 + 1 / 4000))


def test_luck_decides():
    # the lowest rank of the group dominates: N* spreads over orders of magnitude
    quartiles = np.quantile(theory.takeover_draws(M25, GROUPS, "tile", 2000), [0.25, 0.75])
    assert quartiles[1] > 10.0 * quartiles[0]


def test_groups_that_never_take_over():
    for beta in (0.5, 0.7, 3.0):
        groups = {"tile": (0.1, sth.PowerLawCurve(beta)), "step": (0.9, STEP)}
        assert theory.takeover(sth.Population.mixture(M25, groups), "tile") == math.inf
        assert (theory.takeover_draws(M25, groups, "tile", 3) == math.inf).all()


@pytest.mark.parametrize("last", [20, 2000])
def test_groups_that_hold_half_from_the_start_have_no_takeover(last):
    # the formula for large N would give -99 and 26 latents; the exact share is never below one half
    ranks = {tuple(range(1, last + 1)): UNSHIFTED}
    population = sth.Population(M25, STEP, ranks=ranks, label="discrete")
    (label,) = (name for name in population.labels if name != "discrete")
    assert math.isnan(theory.takeover(population, label))
    for n in (10, 100, 1000, 10**5):
        assert sth.allocate(population, n).by_group().set_index("group")["share"][label] > 0.5


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: theory.takeover("x", "tile"), ["population must be a Population", "'x'"]),
        (
            lambda: theory.takeover(sth.Population(M25, STEP), "tile"),
            ["group must be one of", "'default'", "'tile'"],
        ),
        (
            lambda: theory.takeover(
                sth.Population(sth.PowerLawFrequencies(0.5, count=9), STEP), "default"
            ),
            ["infinitely many", "count=9"],
        ),
        (
            lambda: theory.takeover(
                sth.Population.mixture(M25, {"a": (0.5, TILE), "b": (0.5, sth.PowerLawCurve(0.2))}),
                "a",
            ),
            ["groups other than the one asked for", "beta > alpha"],
        ),
        (lambda: theory.takeover_draws(M25, GROUPS, "tile", 0), ["draws", "[1, 100000]", "0"]),
        (lambda: theory.takeover_draws(M25, GROUPS, "x"), ["group must be one of", "'x'"]),
    ],
)
def test_refusals(call, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)
