"""The Lagrangian solution: its conditions, brute force, and the bound it is for whole numbers."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import scaling_theory as sth
from scaling_theory.testing import any_curves, numbers, populations, smooth_convex_curves

M25 = sth.PowerLawFrequencies(0.5)


@pytest.mark.parametrize("latents", [10, 10**4, 10**9, 10**15])
@pytest.mark.parametrize(
    ("alpha", "beta", "shift"), [(0.5, 0.1, 1.0), (0.5, 0.5, 0.3), (0.5, 2.0, 1.0), (2.0, 0.2, 40)]
)
def test_conditions_of_the_optimum(alpha, beta, shift, latents):
    law = sth.PowerLawFrequencies(alpha)
    curve = sth.PowerLawCurve(beta, scale=0.7, shift=shift)
    at = sth.allocate_continuous(sth.Population(law, curve), latents)
    assert at.status == "optimal"
    assert at.total == pytest.approx(latents, rel=1e-14)
    last = min(at.discovered, 10**15 - 2)
    ranks = np.unique(np.geomspace(1, last, 50).astype(np.int64).clip(max=last))
    n, p = at.latents_at(ranks), law.at(ranks)
    assert (n > 0.0).all()
    # n_i + shift ~ p_i^(1/(1+beta)): Michaud, Gorton and McGrath (2025), appendix B.2, equation 2
    ratio = (n + shift) * p ** (-1.0 / (1.0 + beta))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-13)
    # p_i (-L'(n_i)) = price above the cutoff, and less than it at n = 0 below
    slope = p * 0.7 * beta * (n + shift) ** -(1.0 + beta)
    np.testing.assert_allclose(slope, at.price, rtol=1e-13)
    if at.discovered > last:
        return  # ranks are known up to 1e15
    beyond = np.array([last + 1, last + 2])
    assert at.latents_at(beyond).tolist() == [0.0, 0.0]
    at_zero = law.at(beyond) * 0.7 * beta * shift ** -(1.0 + beta)
    assert (at_zero <= at.price * (1.0 + 1e-13)).all()


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_sums_over_an_infinite_tail_against_direct_ones(beta):
    curve = sth.PowerLawCurve(beta, floor=0.1)
    at = sth.allocate_continuous(sth.Population(M25, curve), 200_000)
    ranks = np.arange(1, at.discovered + 1)
    n, p = at.latents_at(ranks), M25.at(ranks)
    assert ranks.size > 2000  # more than are summed one by one
    # the first neglected term of Euler-Maclaurin is 1e-3 rank^-4 of the terms, from rank 512 on
    assert n.sum() == pytest.approx(200_000, rel=1e-12)
    excess = (p * (n + 1.0) ** -beta).sum() + M25.mass_after([ranks[-1]])[0]
    assert at.excess_loss == pytest.approx(excess, rel=1e-12)
    assert at.loss == pytest.approx(excess + 0.1, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(numbers(0.05, 1.0), min_size=3, max_size=3),
    st.lists(smooth_convex_curves(), min_size=3, max_size=3),
    st.integers(1, 50),
)
def test_brute_force_on_three_features(p, curves, latents):
    law = sth.EmpiricalFrequencies(p)
    population = sth.Population(law, curves[0], {2: curves[1], 3: curves[2]})
    at = sth.allocate_continuous(population, latents)

    def excess(n):
        return sum(
            w * c.continuous_excess(np.array([x]))[0] for w, c, x in zip(p, curves, n, strict=True)
        )

    n = at.latents_at([1, 2, 3])
    assert at.excess_loss == pytest.approx(excess(n), rel=1e-9, abs=1e-13)

    def least(function, high):
        return minimize_scalar(
            function, bounds=(0.0, high), method="bounded", options={"xatol": 1e-10}
        ).fun

    brute = least(
        lambda a: least(lambda b: excess([a, b, latents - a - b]), latents - a), float(latents)
    )
    # Nothing that brute force finds is better, and it comes close: its search stops within 1.5e-8
    # of the end of an interval, where the loss falls by up to 20 of itself per latent.
    zero = excess(np.zeros(3))
    assert at.excess_loss <= brute + 1e-12 * zero
    assert brute <= at.excess_loss + 2 * 1.5e-8 * latents * 20.0 * zero


@settings(deadline=None, max_examples=40)
@given(
    st.lists(numbers(0.05, 1.0), min_size=1, max_size=3),
    numbers(0.1, 3.0),
    numbers(0.0, 1.0),
    st.integers(1, 50),
)
def test_unshifted_power_laws_meet_their_dual_bound(p, beta, above, latents):
    # L jumps from L(0) to n^-beta: at a price a feature is left at 0, or sits where the slope is
    # the price. The maximum of the dual function over prices is the optimum of the envelope.
    curve = sth.PowerLawCurve(beta, shift=0.0, at_zero=1.0 + above)
    at = sth.allocate_continuous(sth.Population(sth.EmpiricalFrequencies(p), curve), latents)
    weights = np.array(p)

    def negative_dual(log_price):
        price = np.exp(log_price)
        n = (weights * beta / price) ** (1.0 / (1.0 + beta))
        least = np.minimum(weights * (1.0 + above), weights * n**-beta + price * n)
        return latents * price - least.sum()

    bound = minimize_scalar(
        negative_dual, bounds=(np.log(at.price) - 2.0, np.log(at.price) + 2.0), method="bounded"
    )
    # the search over prices ends at about the root of the rounding, squared by flatness or not
    assert at.excess_loss >= -bound.fun - 1e-12
    assert at.excess_loss == pytest.approx(-bound.fun, abs=1e-5)
    assert at.total == pytest.approx(latents, rel=1e-9)


@settings(deadline=None, max_examples=80)
@given(populations(any_curves), st.integers(0, 200))
def test_whole_numbers_do_no_better(population, latents):
    exact = sth.allocate(population, latents)
    at = sth.allocate_continuous(population, latents)
    zero = sth.allocate(population, 0).excess_loss
    assert at.excess_loss <= exact.excess_loss * (1.0 + 1e-9) + 1e-13 * zero
    assert at.total <= latents * (1.0 + 1e-9)
    if at.status == "optimal":
        assert at.total == pytest.approx(latents, rel=1e-9)
    if population.count is not None:
        n = at.latents_at(np.arange(1, population.count + 1))
        assert n.sum() == pytest.approx(at.total, rel=1e-9, abs=1e-12)


JOINED = {
    "discrete": sth.DiscreteCurve(0.1),
    "plateau": sth.PlateauCurve(3, floor=0.2),
    "table": sth.TabulatedCurve([0, 1, 2, 5], [1.0, 0.5, 0.3, 0.1], "power", exponent=0.5),
}


@pytest.mark.parametrize("name", JOINED)
@pytest.mark.parametrize("latents", [1, 10, 12_345])
def test_joined_curves_are_the_whole_number_problem(name, latents):
    population = sth.Population(M25, JOINED[name])
    exact, at = sth.allocate(population, latents), sth.allocate_continuous(population, latents)
    assert at.excess_loss == pytest.approx(exact.excess_loss, rel=1e-12)
    assert at.loss == pytest.approx(exact.loss, rel=1e-12)
    assert at.total == pytest.approx(latents, rel=1e-12)
    # any price between the last gain taken and the first one left is a multiplier
    assert exact.largest_left * (1.0 - 1e-12) <= at.price <= exact.price * (1.0 + 1e-12)
    ranks = np.arange(1, exact.discovered + 1)
    n = exact.latents_at(ranks)
    if exact.smallest_taken > exact.largest_left:
        np.testing.assert_allclose(at.latents_at(ranks), n, rtol=1e-12)


def test_close_to_whole_numbers_where_latents_are_many():
    population = sth.Population(sth.PowerLawFrequencies(0.5, count=10), sth.PowerLawCurve(0.5))
    exact, at = sth.allocate(population, 10**6), sth.allocate_continuous(population, 10**6)
    ranks = np.arange(1, 11)
    assert np.abs(at.latents_at(ranks) - exact.latents_at(ranks)).max() <= 1.0
    # the loss is flat at the optimum: rounding n changes it by (beta + 1) beta / 2 n^-2 at most
    n = at.latents_at(ranks).min()
    assert exact.excess_loss == pytest.approx(at.excess_loss, rel=0.5 * 1.5 * n**-2)


def test_no_latents():
    at = sth.allocate_continuous(sth.Population(M25, sth.PowerLawCurve(0.5, floor=0.2)), 0)
    assert (at.total, at.discovered, at.status) == (0.0, 0, "optimal")
    assert at.loss == pytest.approx(1.2, rel=1e-14)
    assert at.latents_at([1, 2]).tolist() == [0.0, 0.0]


def test_saturation():
    law = sth.PowerLawFrequencies(0.5, count=4)
    at = sth.allocate_continuous(sth.Population(law, sth.DiscreteCurve(0.1)), 10**15)
    assert (at.total, at.discovered, at.price, at.status) == (4.0, 4, 0.0, "saturated")
    assert at.excess_loss == 0.0
    assert at.loss == pytest.approx(0.1, rel=1e-14)
    assert at.latents_at([1, 4]).tolist() == [1.0, 1.0]


def test_mixtures_sum_their_progressions():
    groups = {"tile": (0.3, sth.PowerLawCurve(0.1)), "fast": (0.7, sth.PowerLawCurve(2.0))}
    population = sth.Population.mixture(M25, groups, 0, head=5)
    at = sth.allocate_continuous(population, 10**5)
    ranks = np.arange(1, 200_001)
    n = at.latents_at(ranks)
    assert np.flatnonzero(n).max() < 150_000
    assert n.sum() == pytest.approx(10**5, rel=1e-11)
    assert np.count_nonzero(n) == at.discovered
    p, curves = M25.at(ranks), [g.curve for g in population.groups]
    group = population.group_of(ranks)
    excess = sum((p * curves[g].continuous_excess(n))[group == g].sum() for g in (0, 1))
    assert at.excess_loss == pytest.approx(excess + M25.mass_after([ranks[-1]])[0], rel=1e-11)


def test_frozen():
    at = sth.allocate_continuous(sth.Population(M25, sth.PowerLawCurve(0.5)), 1e3)
    assert at.latents == 1000
    with pytest.raises(dataclasses.FrozenInstanceError):
        at.price = 0.0
