"""Properties of the optimum on random populations, against the obvious ways of finding it."""

import dataclasses

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.allocation.reference import greedy
from scaling_theory.testing import (
    alphas,
    any_curves,
    budgets,
    check_allocation,
    convex_curves,
    enough_features,
    frequencies,
    lists_of_frequencies,
    numbers,
    populations,
    stepped_curves,
)

BUDGETS = budgets()

few = settings(deadline=None, max_examples=40)
many = settings(deadline=None, max_examples=120)


def without_latents(population):
    """Loss with no latents, above the limit: rounding of sums over features is relative to it."""
    return sth.allocate(population, 0).excess_loss


# ---- the optimum -----------------------------------------------------------------------------


@many
@given(populations(), BUDGETS)
def test_equals_the_heap_greedy(population, latents):
    at = sth.allocate(population, latents)
    check_allocation(population, at)
    # the same, tie by tie
    want = greedy(population, latents, enough_features(population, latents))
    n = at.latents_at(np.arange(1, want.latents.size + 1))
    assert n.tolist() == want.latents.tolist()
    assert at.discovered == want.discovered
    # the certificate
    assert at.gap == 0.0
    assert at.smallest_taken >= at.largest_left
    assert at.status in ("optimal", "saturated")
    if 0 < at.total == latents:
        assert at.smallest_taken == at.price


@many
@given(populations(any_curves, infinite=False), budgets(most=30))
def test_equals_the_dynamic_programme_to_within_the_gap(population, latents):
    check_allocation(population, sth.allocate(population, latents))


@few
@given(populations(stepped_curves, infinite=True, max_period=5), budgets(most=25))
def test_stepped_curves_on_infinite_tails(population, latents):
    check_allocation(population, sth.allocate(population, latents))


@few
@given(st.integers(1, 12), convex_curves(), st.integers(0, 80))
@example(3, sth.ExponentialCurve(1.0), 7)
@example(12, sth.PlateauCurve(3), 40)
def test_equal_features_are_served_in_turn(count, curve, latents):
    law = sth.EmpiricalFrequencies(np.full(count, 1.0 / count))
    population = sth.Population(law, curve)
    at = sth.allocate(population, latents)
    check_allocation(population, at)
    n = at.latents_at(np.arange(1, count + 1))
    assert (np.diff(n) <= 0).all()
    assert n.tolist() == greedy(population, latents).latents.tolist()


# ---- as N grows ------------------------------------------------------------------------------


@few
@given(populations(), BUDGETS)
def test_one_more_latent_goes_to_one_feature(population, latents):
    ranks = np.arange(1, enough_features(population, latents + 1) + 1)
    before, after = (sth.allocate(population, n) for n in (latents, latents + 1))
    more = after.latents_at(ranks) - before.latents_at(ranks)
    assert (more >= 0).all()
    assert more.sum() == after.total - before.total <= 1
    if after.total > before.total:
        # the loss falls by the price of the last latent
        fall = before.excess_loss - after.excess_loss
        assert abs(fall - after.price) <= 1e-13 * without_latents(population)
        # which was the largest gain left
        assert before.largest_left == after.price


@few
@given(populations(), st.integers(2, 20))
def test_loss_is_convex_and_never_rises(population, most):
    loss = np.array([sth.allocate(population, n).excess_loss for n in range(most + 1)])
    rounding = 1e-13 * loss[0]
    assert (np.diff(loss) <= rounding).all()
    assert (np.diff(loss, 2) >= -2 * rounding).all()


@few
@given(populations(any_curves), st.integers(0, 40))
def test_loss_of_stepped_curves_never_rises_by_more_than_the_gap(population, latents):
    before, after = (sth.allocate(population, n) for n in (latents, latents + 1))
    rounding = 1e-13 * without_latents(population)
    assert after.excess_loss <= before.excess_loss + after.gap + rounding


@few
@given(populations(infinite=True), st.integers(1, 9), numbers(1.0, 10.0))
def test_large_budgets_on_infinite_tails(population, power, first):
    latents = int(first * 10**power)
    at, after = (sth.allocate(population, n) for n in (latents, latents + 1))
    check_allocation(population, at, effort=0)
    assert at.total == latents or at.status == "saturated"
    # Neighbouring gains may differ by less than their rounding: then the gap says so.
    assert at.gap <= 1e-14 * at.excess_loss
    assert at.smallest_taken >= at.largest_left * (1.0 - 4e-15)
    assert at.excess_loss - after.excess_loss + 1e-14 * at.excess_loss >= 0.0
    assert 0 <= after.discovered - at.discovered <= 1
    ranks = np.unique(np.geomspace(1, 2 * at.discovered + 100, 200).astype(np.int64))
    more = after.latents_at(ranks) - at.latents_at(ranks)
    assert (more >= 0).all()
    assert more.sum() <= 1


# ---- invariances -----------------------------------------------------------------------------


@st.composite
def shuffled(draw):
    """(law, curve, magnitude) with one value per feature, and a permutation."""
    law = draw(lists_of_frequencies())
    curve = draw(any_curves(law.count))
    magnitude = np.array(draw(st.lists(numbers(0.1, 9.0), min_size=law.count, max_size=law.count)))
    return law, curve, magnitude, np.array(draw(st.permutations(range(law.count))))


@few
@given(shuffled(), BUDGETS)
def test_order_of_features_does_not_matter(case, latents):
    law, curve, magnitude, order = case
    plain = sth.Population(law, curve, magnitude=magnitude)
    moved = sth.Population(
        sth.EmpiricalFrequencies(law.values[order]), curve.take(order), magnitude=magnitude[order]
    )
    one, two = sth.allocate(plain, latents), sth.allocate(moved, latents)
    assert one.total == two.total
    rounding = 1e-13 * without_latents(plain)
    if curve.convex:
        assert abs(one.excess_loss - two.excess_loss) <= rounding
        if one.smallest_taken > one.largest_left:  # no ties: only one optimum
            ranks = np.arange(1, law.count + 1)
            assert two.latents_at(ranks).tolist() == one.latents_at(ranks)[order].tolist()
            assert one.discovered == two.discovered
    else:
        assert abs(one.excess_loss - two.excess_loss) <= max(one.gap, two.gap) + rounding


@few
@given(shuffled(), BUDGETS, st.integers(-40, 40))
@example(  # the loss is below the normal floats
    (
        sth.EmpiricalFrequencies([1e-6]), sth.DiscreteCurve(np.array([2.0**-1022])), np.ones(1),
        np.zeros(1, dtype=int),
    ),
    1,
    1,
)  # fmt: skip
def test_rescaling_by_a_power_of_two_is_exact(case, latents, power):
    law, curve, magnitude, _ = case
    factor = 2.0**power
    one = sth.allocate(sth.Population(law, curve, magnitude=magnitude), latents)
    scaled = sth.EmpiricalFrequencies(law.values * factor)
    two = sth.allocate(sth.Population(scaled, curve, magnitude=magnitude), latents)
    ranks = np.arange(1, law.count + 1)
    assert two.latents_at(ranks).tolist() == one.latents_at(ranks).tolist()
    for name in ("loss", "excess_loss", "price", "gap"):
        small = 1e-323 * max(factor, 1.0)  # one or two units of what is below the normal floats
        assert abs(getattr(two, name) - factor * getattr(one, name)) <= small
    assert (two.total, two.discovered, two.status) == (one.total, one.discovered, one.status)


@few
@given(frequencies(), convex_curves(), BUDGETS, numbers(1e-3, 1e3))
def test_rescaling_by_any_factor(law, curve, latents, factor):
    if isinstance(law, sth.EmpiricalFrequencies):
        scaled = sth.EmpiricalFrequencies(law.values * factor)
    else:
        scaled = dataclasses.replace(law, total=law.total * factor)
    one, two = (sth.allocate(sth.Population(f, curve), latents) for f in (law, scaled))
    assert one.total == two.total
    zero = factor * without_latents(one.population)
    assert abs(two.excess_loss - factor * one.excess_loss) <= 1e-13 * zero


@few
@given(alphas(), convex_curves(), BUDGETS, st.integers(0, 10**6))
def test_the_undiscovered_tail_only_adds_its_mass(alpha, curve, latents, extra):
    law = sth.PowerLawFrequencies(alpha)
    at = sth.allocate(sth.Population(law, curve), latents)
    # the same frequencies, cut off beyond what is discovered: their total is less by what is cut
    count = at.discovered + 1 + extra
    beyond = law.mass_after(count)[0]
    cut = sth.PowerLawFrequencies(alpha, count, 1.0 - beyond)
    part = sth.allocate(sth.Population(cut, curve), latents)
    assert part.total == at.total or part.status == "saturated"
    if part.total == at.total:
        at_zero = curve.excess(np.zeros(1))[0]
        assert abs(at.excess_loss - part.excess_loss - beyond * at_zero) <= 1e-13 * at_zero


@few
@given(populations(any_curves), BUDGETS)
def test_asking_changes_nothing(population, latents):
    at = sth.allocate(population, latents)
    ranks = np.arange(1, enough_features(population, latents) + 1)
    kept = ranks.copy()
    first = at.latents_at(ranks)
    again = sth.allocate(population, latents)
    assert ranks.tolist() == kept.tolist()
    assert again.latents_at(ranks).tolist() == first.tolist()
    assert (again.loss, again.price, again.gap) == (at.loss, at.price, at.gap)
