"""The exact optimum: published and derived numbers, certificates, ties, edges of the range."""

import dataclasses
import math

import numpy as np
import pytest

import scaling_theory as sth
from scaling_theory.allocation.reference import bisection, greedy

STEP = sth.DiscreteCurve()
M25 = sth.PowerLawFrequencies(0.5)


def check_certificate(at, upto):
    """Prove the optimum from its latents alone: no gain left out exceeds a gain taken.

    For a shared power law (1 + n)^-beta, with gains written out here.
    """
    ranks = np.arange(1, upto + 1)
    n = at.latents_at(ranks)
    beta = at.population.groups[0].curve.beta
    p = at.population.frequencies.at(ranks)

    def gain(k):
        return k**-beta * -np.expm1(-beta * np.log1p(1.0 / k))

    assert (n >= 0).all()
    assert n.sum() == at.total
    assert np.count_nonzero(n) == at.discovered < upto
    taken = (p * gain(np.maximum(n, 1.0)))[n > 0].min()
    left = (p * gain(n + 1.0)).max()
    # both gains are rounded: a few units in the last place
    assert taken >= left * (1.0 - 4e-15)
    assert at.price == pytest.approx(taken, rel=4e-15)
    excess = (p * (1.0 + n) ** -beta).sum() + at.population.frequencies.mass_after([upto])[0]
    assert at.excess_loss == pytest.approx(excess, rel=1e-12)


# ---- numbers to hit ------------------------------------------------------------------------


def test_every_feature_a_slow_power_law_at_1e12():
    at = sth.allocate(sth.Population(M25, sth.PowerLawCurve(0.1)), 1e12)
    assert at.discovered == pytest.approx(1.9902e8, rel=1e-4)
    assert at.total == 10**12
    assert at.idle == 0
    assert at.gap <= 1e-9 * at.loss
    assert at.status == "optimal"


@pytest.mark.parametrize(("residual", "discovered"), [(0.0, 3_330_771), (0.1, 3.110e6)])
def test_figure_2_one_manifold_among_discrete_features(residual, discovered):
    # Michaud, Gorton and McGrath (2025), Figure 2: "3 million" of 1e8 latents
    manifold = sth.PowerLawCurve(0.1, shift=0.0)
    population = sth.Population(M25, sth.DiscreteCurve(residual), ranks={1: manifold})
    at = sth.allocate(population, 1e8)
    assert at.discovered == pytest.approx(discovered, rel=1e-4)
    assert at.total == 10**8
    assert at.latents_at(1)[0] == 10**8 - at.discovered + 1


def test_every_feature_one_over_n():
    population = sth.Population(M25, sth.PowerLawCurve(1.0))
    found = {n: sth.allocate(population, n) for n in (1e9, 1e12)}
    assert round(found[1e9].efficiency, 4) == 0.2108
    assert round(found[1e12].efficiency, 4) == 0.2093
    said = sth.predict(alpha=0.5, beta=1.0)
    assert round(said.discovery_constant, 4) == 0.2090
    ratio = {n: at.excess_loss / (said.loss_constant * n**-0.5) for n, at in found.items()}
    assert round(ratio[1e9], 4) == 0.9916
    assert round(ratio[1e12], 4) == 0.9985
    assert abs(ratio[1e12] - 1.0) < 0.01


# ---- certificates --------------------------------------------------------------------------


@pytest.mark.parametrize("latents", [1, 2, 10, 1000, 123_457])
@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.1), (0.5, 0.5), (0.5, 2.0), (0.1, 1.0)])
def test_optimum_is_proved_from_its_latents(alpha, beta, latents):
    population = sth.Population(sth.PowerLawFrequencies(alpha), sth.PowerLawCurve(beta))
    at = sth.allocate(population, latents)
    assert at.total == latents
    assert at.gap == 0.0
    assert at.smallest_taken >= at.largest_left
    check_certificate(at, at.discovered + 10)


@pytest.mark.parametrize(
    ("alpha", "beta", "latents"),
    [
        (0.5, 0.1, 10**12),
        (0.5, 0.5, 10**10),
        (0.5, 2.0, 10**12),
        (3.0, 0.2, 10**12),
        (0.5, 2.0, 10**15),
        pytest.param(0.5, 0.1, 10**15, marks=pytest.mark.slow),
        pytest.param(0.5, 0.5, 10**15, marks=pytest.mark.slow),
    ],
)
def test_edge_of_large_allocations(alpha, beta, latents):
    population = sth.Population(sth.PowerLawFrequencies(alpha), sth.PowerLawCurve(beta))
    at = sth.allocate(population, latents)
    assert at.total == latents
    assert at.gap <= 1e-9 * at.loss
    # neighbouring gains at 1e15 are a few units in the last place apart
    assert at.smallest_taken >= at.largest_left * (1.0 - 1e-15)
    last = at.discovered
    ranks = np.unique(np.geomspace(1, last, 300).astype(np.int64))
    assert at.latents_at([last + 1, last + 2, 10**15]).tolist() == [0, 0, 0]
    n = at.latents_at(ranks).astype(float)
    assert (n >= 1.0).all()
    assert (np.diff(n) <= 0.0).all()
    p, curve = population.frequencies.at(ranks), population.groups[0].curve
    assert (p * curve.gain(n) >= at.price * (1.0 - 1e-15)).all()
    assert (p * curve.gain(n + 1.0) <= at.price * (1.0 + 1e-15)).all()


def test_latents_of_every_rank_sum_to_the_total_at_a_million():
    for beta in (0.1, 1.0):
        at = sth.allocate(sth.Population(M25, sth.PowerLawCurve(beta)), 10**6)
        check_certificate(at, at.discovered + 1)


def test_against_the_plain_bisection_on_truncated_features():
    # 100,000 features are more than the optimum discovers; its frequencies sum to 1 over them.
    features, latents = 100_000, 30_000
    peer = bisection(0.5, 1.0, latents, features)
    law = sth.PowerLawFrequencies(0.5, count=features)
    at = sth.allocate(sth.Population(law, sth.PowerLawCurve(1.0)), int(peer.latents.sum()))
    assert at.latents_at(np.arange(1, features + 1)).tolist() == peer.latents.tolist()
    assert at.excess_loss == pytest.approx(peer.excess_loss, rel=1e-12)


# ---- nothing, one, and more than enough ------------------------------------------------------


@pytest.mark.parametrize(
    "curve",
    [sth.PowerLawCurve(0.5, floor=0.2), sth.DiscreteCurve(0.2), sth.ExponentialCurve(1.0)],
    ids=["power", "discrete", "exponential"],
)
def test_no_latents(curve):
    at = sth.allocate(sth.Population(M25, curve, magnitude=3.0), 0)
    assert (at.total, at.idle, at.discovered, at.gap) == (0, 0, 0, 0.0)
    assert at.loss == pytest.approx(3.0 * curve.loss(0)[0], rel=4e-15)
    assert at.excess_loss == pytest.approx(3.0 * (curve.loss(0)[0] - curve.limit), rel=4e-15)
    assert at.price == pytest.approx(3.0 * M25.at([1])[0] * curve.gain(1)[0], rel=4e-15)
    assert math.isnan(at.efficiency)
    assert at.latents_at([1, 5]).tolist() == [0, 0]
    assert at.by_group()["latents"].tolist() == [0]
    assert at.by_group()["share"].tolist() == [0.0]


@pytest.mark.parametrize("latents", [0, 1, 7, 10**6, 10**15])
@pytest.mark.parametrize("law", [sth.EmpiricalFrequencies([0.3]), sth.PowerLawFrequencies(2, 1)])
def test_a_single_feature_takes_everything(law, latents):
    curve = sth.PowerLawCurve(0.5, scale=2.0, floor=0.1)
    at = sth.allocate(sth.Population(law, curve), latents)
    assert at.total == latents
    assert at.latents_at(1).tolist() == [latents]
    assert at.loss == pytest.approx(law.at([1])[0] * curve.loss(latents)[0], rel=1e-14)


@pytest.mark.parametrize("latents", [13, 10**6, 10**15])
@pytest.mark.parametrize(
    ("curve", "useful"),
    [
        (sth.DiscreteCurve(0.1), 3),
        (sth.PlateauCurve(2, floor=0.1), 12),
        (sth.TabulatedCurve([0, 1, 4, 9], [1.0, 0.4, 0.1, 0.1]), 12),
    ],
    ids=["discrete", "plateau", "table"],
)
@pytest.mark.parametrize(
    "law", [sth.PowerLawFrequencies(0.5, count=3), sth.EmpiricalFrequencies([0.1, 0.2, 0.7])]
)
def test_saturation(law, curve, useful, latents):
    at = sth.allocate(sth.Population(law, curve), latents)
    assert at.status == "saturated"
    assert at.total == useful
    assert at.idle == latents - useful > 0
    assert at.price == 0.0
    assert at.gap == 0.0
    assert at.excess_loss == pytest.approx(0.0, abs=1e-16)
    assert at.loss == pytest.approx(0.1, rel=1e-14)
    assert at.latents_at([1, 2, 3]).sum() == useful


@pytest.mark.parametrize("latents", [10_000, 10**15])
@pytest.mark.parametrize(
    "law", [sth.PowerLawFrequencies(0.5, count=3), sth.EmpiricalFrequencies([0.1, 0.2, 0.7])]
)
def test_exponentials_saturate_where_gains_run_out_of_numbers(law, latents):
    curve = sth.ExponentialCurve(0.5, floor=0.1)
    at = sth.allocate(sth.Population(law, curve), latents)
    assert at.status == "saturated"
    assert at.idle == latents - at.total > 0
    assert at.price == 0.0
    assert 0.0 <= at.excess_loss < 1e-300
    n = at.latents_at([1, 2, 3])
    assert (law.at([1, 2, 3]) * curve.gain(n) > 0.0).all()
    assert (law.at([1, 2, 3]) * curve.gain(n + 1) == 0.0).all()


def test_a_budget_that_is_just_enough_is_not_saturated():
    at = sth.allocate(sth.Population(sth.PowerLawFrequencies(0.5, count=3), STEP), 3)
    assert (at.status, at.idle, at.total) == ("optimal", 0, 3)
    assert at.excess_loss == 0.0


def test_curves_that_never_fall_leave_everything_idle():
    population = sth.Population(M25, sth.TabulatedCurve([0], [0.7]))
    at = sth.allocate(population, 10)
    assert (at.status, at.total, at.idle, at.price) == ("saturated", 0, 10, 0.0)
    assert at.loss == pytest.approx(0.7, rel=1e-14)
    assert sth.allocate(population, 0).status == "saturated"


def test_frequencies_with_a_heavy_tail_over_finitely_many_features():
    for alpha in (-0.9, -0.5, 0.0):
        law = sth.PowerLawFrequencies(alpha, count=1000)
        at = sth.allocate(sth.Population(law, sth.PowerLawCurve(0.5)), 5000)
        want = greedy(sth.Population(law, sth.PowerLawCurve(0.5)), 5000)
        assert at.latents_at(np.arange(1, 1001)).tolist() == want.latents.tolist()


def test_a_thousand_million_million_features():
    law = sth.PowerLawFrequencies(0.0, count=10**15)
    at = sth.allocate(sth.Population(law, STEP), 10**12)
    assert at.discovered == 10**12
    # ln is the antiderivative of 1/x; the midpoint rule's error is 1/(24 N^2)
    expected = math.log((1e15 + 0.5) / (1e12 + 0.5)) * law.normaliser
    assert at.loss == pytest.approx(expected, rel=1e-14)


# ---- ties ------------------------------------------------------------------------------------


def test_ties_go_to_the_lower_ranks():
    law = sth.EmpiricalFrequencies(np.full(8, 0.125))
    at = sth.allocate(sth.Population(law, STEP), 3)
    assert at.latents_at(np.arange(1, 9)).tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert at.smallest_taken == at.largest_left == 0.125
    tiles = sth.allocate(sth.Population(law, sth.PowerLawCurve(1.0)), 19)
    assert tiles.latents_at(np.arange(1, 9)).tolist() == [3, 3, 3, 2, 2, 2, 2, 2]


def test_ties_within_a_straight_stretch_fill_one_feature_after_the_other():
    law = sth.EmpiricalFrequencies(np.full(4, 0.25))
    at = sth.allocate(sth.Population(law, sth.PlateauCurve(2)), 6)
    assert at.latents_at([1, 2, 3, 4]).tolist() == [4, 2, 0, 0]


def test_ties_across_groups_and_blocks():
    # Halves: many gains are equal to the last bit, in a listed block and in a regular tail.
    table = sth.TabulatedCurve([0, 1, 2, 3], [1.0, 0.5, 0.25, 0.125])
    law = sth.PowerLawFrequencies(1.0, count=64, total=1.0)
    population = sth.Population(law, table, ranks={(2, 8, 32): STEP}, magnitude=0.5)
    ranks = np.arange(1, 65)
    for latents in range(0, 190, 3):
        at = sth.allocate(population, latents)
        want = greedy(population, latents)
        assert at.latents_at(ranks).tolist() == want.latents.tolist()
        assert at.discovered == want.discovered


@pytest.mark.parametrize("latents", [1, 50_000, 99_999])
def test_very_many_equal_features(latents):
    law = sth.EmpiricalFrequencies(np.full(10**5, 1e-5))
    at = sth.allocate(sth.Population(law, STEP), latents)
    assert at.total == at.discovered == latents
    assert at.latents_at([latents, latents + 1]).tolist() == [1, 0]
    assert at.excess_loss == pytest.approx(1.0 - 1e-5 * latents, abs=1e-12)


# ---- features that wait ----------------------------------------------------------------------


def test_a_feature_whose_gains_are_too_small_gets_nothing():
    # a large shift: gains of about 1e-12, among discrete features of 1e-9
    slow = sth.PowerLawCurve(1.0, shift=1e6)
    population = sth.Population(M25, STEP, {1: slow})
    at = sth.allocate(population, 10**6)
    assert at.discovered == at.total == 10**6
    assert at.latents_at([1, 2, 3]).tolist() == [0, 1, 1]
    later = sth.allocate(population, 10**9)
    assert later.total == 10**9
    assert later.latents_at(1)[0] == 10**9 - (later.discovered - 1) > 0


def test_slow_features_on_a_list():
    law = sth.EmpiricalFrequencies(np.geomspace(1.0, 1e-6, 50))
    population = sth.Population(law, sth.PowerLawCurve(1.0, shift=1000.0))
    for latents in (1, 300, 3000):
        at, want = sth.allocate(population, latents), greedy(population, latents)
        assert at.latents_at(np.arange(1, 51)).tolist() == want.latents.tolist()


# ---- weights ---------------------------------------------------------------------------------


def test_allocation_weighs_frequency_times_magnitude():
    p, magnitude = np.array([0.5, 0.3, 0.2]), np.array([1.0, 10.0, 0.1])
    curve = sth.PowerLawCurve(0.5)
    weighed = sth.allocate(
        sth.Population(sth.EmpiricalFrequencies(p), curve, magnitude=magnitude), 50
    )
    plain = sth.allocate(sth.Population(sth.EmpiricalFrequencies(p * magnitude), curve), 50)
    assert weighed.latents_at([1, 2, 3]).tolist() == plain.latents_at([1, 2, 3]).tolist()
    assert weighed.excess_loss == plain.excess_loss
    assert weighed.loss == plain.loss


def test_a_floor_changes_the_loss_and_nothing_else():
    ranks = np.arange(1, 200)
    plain = sth.allocate(sth.Population(M25, sth.PowerLawCurve(0.3)), 1000)
    lifted = sth.allocate(sth.Population(M25, sth.PowerLawCurve(0.3, floor=0.2)), 1000)
    assert plain.latents_at(ranks).tolist() == lifted.latents_at(ranks).tolist()
    assert lifted.excess_loss == plain.excess_loss
    assert lifted.loss == pytest.approx(plain.loss + 0.2, rel=1e-14)


# ---- the result ------------------------------------------------------------------------------


def test_by_group_sums_to_the_whole():
    groups = {"tile": (0.3, sth.PowerLawCurve(0.1)), "step": (0.7, STEP)}
    population = sth.Population.mixture(M25, groups, 0, head=100)
    at = sth.allocate(population, 10_000)
    table = at.by_group()
    assert table.columns.tolist() == ["group", "latents", "discovered", "excess_loss", "share"]
    assert table["group"].tolist() == ["tile", "step"]
    assert table["latents"].sum() == at.total
    assert table["discovered"].sum() == at.discovered
    assert table["excess_loss"].sum() == pytest.approx(at.excess_loss, rel=1e-14)
    assert table["share"].sum() == pytest.approx(1.0, rel=1e-15)
    ranks = np.arange(1, 40_000)
    n, group = at.latents_at(ranks), population.group_of(ranks)
    assert [n[group == g].sum() for g in (0, 1)] == table["latents"].tolist()
    assert [np.count_nonzero(n[group == g]) for g in (0, 1)] == table["discovered"].tolist()


def test_a_solved_allocation_is_frozen():
    at = sth.allocate(sth.Population(M25, STEP), 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        at.loss = 0.0
    assert at.seconds >= 0.0


@pytest.mark.parametrize("latents", [1e6, np.float64(1e6), np.int32(10**6), np.array(10**6)])
def test_budgets_of_any_numeric_type(latents):
    at = sth.allocate(sth.Population(M25, STEP), latents)
    assert type(at.latents) is int
    assert at.latents == at.total == 10**6


def test_the_same_twice():
    population = sth.Population(M25, sth.PowerLawCurve(0.1))
    one, two = (sth.allocate(population, 10**7) for _ in range(2))
    assert (one.loss, one.price, one.discovered) == (two.loss, two.price, two.discovered)
