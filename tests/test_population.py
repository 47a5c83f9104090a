"""Populations: every rank in one group, with its own curve, parameter and magnitude."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

import scaling_theory as sth
from scaling_theory.allocation.counts import weights_at
from scaling_theory.groups import ListedBlock, TailBlock, locate
from scaling_theory.testing import any_curves, populations

STEP = sth.DiscreteCurve()
TILE = sth.PowerLawCurve(0.1)


def one_by_one(population, upto):
    """(weight, L(0), L(1), L(2)) of each rank, and how many blocks hold it."""
    ranks = np.arange(1, upto + 1)
    values, held = np.full((upto, 4), np.nan), np.zeros(upto, dtype=int)
    for block in population.blocks:
        inside, index = locate(block, ranks)
        if not inside.size:
            continue
        held[inside] += 1
        weight, curve = weights_at(block, ranks[inside], index)
        values[inside, 0] = weight
        for n in range(3):
            values[inside, 1 + n] = curve.loss(np.full(inside.size, n))
    return values, held


@settings(deadline=None, max_examples=150)
@given(populations(any_curves))
def test_every_rank_is_in_exactly_one_block_of_the_group_that_says_so(population):
    upto = population.count or 300
    _, held = one_by_one(population, upto)
    assert (held == 1).all()
    ranks = np.arange(1, upto + 1)
    group = population.group_of(ranks)
    for index, stated in enumerate(population.groups):
        if stated.ranks is not None:
            assert (group[stated.ranks - 1] == index).all()
            assert np.count_nonzero(group == index) == stated.ranks.size


def test_exceptions_by_rank_tuple_and_range():
    other = sth.PowerLawCurve(0.5)
    population = sth.Population(
        sth.PowerLawFrequencies(0.5), STEP, ranks={2: TILE, (4, 9): TILE, range(5, 8): other}
    )
    group = [population.labels[g] for g in population.group_of(np.arange(1, 11))]
    tile, between = "3 ranks from 2", "3 ranks from 5"
    d = "default"
    assert group == [d, tile, d, tile, between, between, between, d, tile, d]
    values, _ = one_by_one(population, 10)
    assert values[:, 2].tolist() == [
        {d: STEP, tile: TILE, between: other}[name].loss(1)[0] for name in group
    ]


def test_an_exception_far_out_is_not_listed_rank_by_rank():
    population = sth.Population(sth.PowerLawFrequencies(0.5), STEP, ranks={10**12: TILE})
    listed = [b for b in population.blocks if isinstance(b, ListedBlock)]
    (tail,) = [b for b in population.blocks if isinstance(b, TailBlock)]
    assert [b.ranks.tolist() for b in listed] == [[10**12]]
    assert tail.ranks.contains(np.array([10**12 - 1, 10**12, 10**12 + 1])).tolist() == [
        True,
        False,
        True,
    ]


def test_every_rank_may_be_an_exception():
    law = sth.PowerLawFrequencies(0.5, count=3)
    population = sth.Population(law, STEP, ranks={(1, 2, 3): TILE})
    assert population.group_of([1, 2, 3]).tolist() == [0, 0, 0]


def test_per_feature_values_follow_their_ranks():
    law = sth.EmpiricalFrequencies([0.1, 0.4, 0.2, 0.3])
    magnitude = np.array([1.0, 2.0, 3.0, 4.0])
    curve = sth.DiscreteCurve(np.array([0.1, 0.2, 0.3, 0.4]))
    population = sth.Population(law, curve, {3: sth.DiscreteCurve(0.9)}, magnitude=magnitude)
    values, _ = one_by_one(population, 4)
    np.testing.assert_allclose(values[:, 0], [0.1, 0.8, 0.6, 1.2], rtol=1e-15)
    assert values[:, 2].tolist() == [0.1, 0.2, 0.9, 0.4]


def test_a_group_may_list_its_ranks_in_any_order():
    law = sth.EmpiricalFrequencies([0.1, 0.4, 0.2, 0.3])
    listed = sth.Group("a", sth.DiscreteCurve([0.5, 0.6, 0.7]), [4, 1, 3], [40.0, 10.0, 30.0])
    assert listed.ranks.tolist() == [1, 3, 4]
    population = sth.Population.from_groups(law, [listed, sth.Group("b", STEP)])
    values, _ = one_by_one(population, 4)
    np.testing.assert_allclose(values[:, 0], [1.0, 0.4, 6.0, 12.0], rtol=1e-15)
    assert values[:, 2].tolist() == [0.6, 0.0, 0.7, 0.5]


def test_per_feature_values_of_the_rest_are_indexed_by_rank():
    law = sth.PowerLawFrequencies(0.5, count=4)
    rest = sth.Group("rest", sth.DiscreteCurve([0.1, 0.2, 0.3, 0.4]), None, [1.0, 2.0, 3.0, 4.0])
    population = sth.Population.from_groups(law, [sth.Group("one", TILE, [2]), rest])
    values, _ = one_by_one(population, 4)
    p = law.at(np.arange(1, 5))
    assert values[:, 0].tolist() == (p * [1.0, 1.0, 3.0, 4.0]).tolist()
    assert values[[0, 2, 3], 2].tolist() == [0.1, 0.3, 0.4]


# ---- mixtures ------------------------------------------------------------------------------

GROUPS = {"tile": (0.3, TILE), "step": (0.5, STEP), "flat": (0.2, sth.PlateauCurve(2))}


def test_a_mixture_is_the_same_for_the_same_seed():
    law, ranks = sth.PowerLawFrequencies(0.5), np.arange(1, 400)

    def drawn(seed):
        return sth.Population.mixture(law, GROUPS, seed, head=100).group_of(ranks).tolist()

    assert drawn(3) == drawn(3) == drawn(np.random.default_rng(3))
    assert drawn(3) != drawn(4)


@pytest.mark.parametrize("head", [0, 5, 20])
def test_shares_are_exact_in_each_period_of_the_tail(head):
    population = sth.Population.mixture(sth.PowerLawFrequencies(0.5), GROUPS, 1, head=head)
    assert population.labels == ("tile", "step", "flat")
    for start in (head, head + 10, 10**12 + 3):
        group = population.group_of(np.arange(start + 1, start + 11))
        assert np.bincount(group, minlength=3).tolist() == [3, 5, 2]


def test_shares_of_the_head_are_drawn():
    population = sth.Population.mixture(sth.PowerLawFrequencies(0.5), GROUPS, 0, head=100_000)
    found = np.bincount(population.group_of(np.arange(1, 100_001)), minlength=3) / 100_000
    for share, want in zip(found, (0.3, 0.5, 0.2), strict=True):
        # five standard errors of a binomial share; the seed is fixed
        assert share == pytest.approx(want, abs=5 * (want * (1 - want) / 100_000) ** 0.5)
        assert share != want


def test_a_mixture_over_a_list_is_drawn_feature_by_feature():
    law = sth.EmpiricalFrequencies(np.full(50, 0.02))
    population = sth.Population.mixture(law, {"a": (0.5, STEP, 3.0), "b": (0.5, TILE)}, 0, head=5)
    assert all(isinstance(b, ListedBlock) for b in population.blocks)
    values, held = one_by_one(population, 50)
    assert (held == 1).all()
    np.testing.assert_allclose(values[:, 0], np.where(values[:, 2] == 0.0, 0.06, 0.02), rtol=1e-15)


def test_one_third_is_a_share():
    thirds = {
        name: (1 / 3, sth.DiscreteCurve(r)) for name, r in zip("abc", (0.0, 0.1, 0.2), strict=True)
    }
    population = sth.Population.mixture(sth.PowerLawFrequencies(0.5), thirds, head=0)
    assert sorted(population.group_of([1, 2, 3]).tolist()) == [0, 1, 2]


# ---- what stays as it is -------------------------------------------------------------------


def test_inputs_are_not_mutated_and_results_are_frozen():
    frequencies = np.array([0.5, 0.2, 0.3])
    residual, magnitude = np.array([0.3, 0.1, 0.2]), np.array([1.0, 2.0, 3.0])
    ranks = {2: TILE}
    copies = [frequencies.copy(), residual.copy(), magnitude.copy(), dict(ranks)]
    population = sth.Population(
        sth.EmpiricalFrequencies(frequencies),
        sth.DiscreteCurve(residual),
        ranks,
        magnitude=magnitude,
    )
    sth.allocate(population, 10)
    for given_value, copy in zip((frequencies, residual, magnitude), copies, strict=False):
        assert given_value.tolist() == copy.tolist()
        assert given_value.flags.writeable
    assert ranks == copies[3]
    frequencies[0], residual[0], magnitude[0] = 7.0, 0.9, 7.0
    assert population.groups[-1].curve.residual[0] == 0.3
    assert population.groups[-1].magnitude[0] == 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        population.labels = ("x",)
    with pytest.raises(dataclasses.FrozenInstanceError):
        population.groups[0].label = "x"


def test_group_of_refuses_ranks_that_do_not_exist():
    population = sth.Population(sth.PowerLawFrequencies(0.5, count=3), STEP)
    with pytest.raises(ValueError, match=r"ranks\[1\] = .*4"):
        population.group_of([1, 4])
