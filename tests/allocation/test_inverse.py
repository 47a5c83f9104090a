"""How many latents for a loss, or for so many features: the inverse of allocate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.testing import any_curves, numbers, populations

M25 = sth.PowerLawFrequencies(0.5)
STEP_CURVE = sth.DiscreteCurve()
TILES = sth.Population(M25, sth.PowerLawCurve(0.1, floor=0.2))
STEPS = sth.Population(M25, sth.DiscreteCurve(0.1))
FEW = sth.Population(sth.PowerLawFrequencies(0.5, count=5), sth.DiscreteCurve(0.1))


@settings(deadline=None, max_examples=50)
@given(populations(), st.integers(1, 200), st.data())
def test_discovered(population, latents, data):
    most = sth.allocate(population, latents).discovered
    target = data.draw(st.integers(0, most))
    n = sth.latents_for(population, discovered=target)
    assert n <= latents
    assert sth.allocate(population, n).discovered >= target
    assert n == 0 or sth.allocate(population, n - 1).discovered < target


@settings(deadline=None, max_examples=40)
@given(populations(any_curves), st.integers(1, 80), numbers(0.0, 1.0))
def test_excess_loss(population, latents, part):
    low, high = (sth.allocate(population, n).excess_loss for n in (latents, 0))
    target = low + (high - low) * part
    n = sth.latents_for(population, excess_loss=target)
    assert n <= latents
    assert sth.allocate(population, n).excess_loss <= target
    assert n == 0 or sth.allocate(population, n - 1).excess_loss > target


@pytest.mark.parametrize("latents", [1, 2, 1000, 10**6, 10**9])
@pytest.mark.parametrize("population", [TILES, STEPS], ids=["tiles", "steps"])
def test_round_trip(population, latents):
    # at 1e9 one latent changes the excess by 1e-10 of it: far above rounding
    at = sth.allocate(population, latents)
    assert sth.latents_for(population, excess_loss=at.excess_loss) == latents
    again = sth.latents_for(population, excess_loss=np.nextafter(at.excess_loss, 0.0))
    assert again == latents + 1


@pytest.mark.parametrize("target", [0.9, 0.6, 0.4, 0.32])
def test_loss_counts_the_floor(target):
    n = sth.latents_for(TILES, loss=target)
    assert sth.allocate(TILES, n).loss <= target
    assert sth.allocate(TILES, n - 1).loss > target


def test_discovered_at_scale():
    n = sth.latents_for(TILES, discovered=10**6)
    assert sth.allocate(TILES, n).discovered == 10**6
    assert sth.allocate(TILES, n - 1).discovered == 10**6 - 1
    assert sth.latents_for(STEPS, discovered=1e12) == 10**12


def test_ties_are_discovered_one_after_another():
    # Three equal features on a plateau take four latents each.
    law = sth.EmpiricalFrequencies([1.0, 1.0, 1.0])
    population = sth.Population(law, sth.PlateauCurve(2))
    assert [sth.latents_for(population, discovered=d) for d in (0, 1, 2, 3)] == [0, 1, 5, 9]


def test_targets_that_are_met_with_nothing():
    assert sth.latents_for(TILES, loss=1.3) == 0
    assert sth.latents_for(TILES, discovered=0) == 0


def test_everything_found():
    assert sth.latents_for(FEW, loss=0.1 * (1 + 1e-15)) == 5
    assert sth.latents_for(FEW, discovered=5) == 5


@pytest.mark.parametrize(
    ("population", "target", "fragments"),
    [
        (TILES, {"loss": 0.19}, ["loss must be at least 0.2", "infinitely many", "0.19"]),
        (FEW, {"loss": 0.05}, ["loss must be at least 0.1", "infinitely many", "0.05"]),
        (FEW, {"discovered": 6}, ["discovered", "[0, 5]", "6"]),
        (STEPS, {"excess_loss": 0.0}, ["excess_loss must be at least", "1e+15", "0.0"]),
        (STEPS, {"loss": 0.1}, ["loss must be at least", "1e+15", "0.1"]),
        (
            sth.Population(M25, sth.TabulatedCurve([0, 3], [0.5, 0.5])),
            {"discovered": 1},
            ["discovered must be at most 0", "1"],
        ),
        (TILES, {"discovered": 1e15}, ["discovered must be", "1e+15 latents", "1000000000000000"]),
        ("x", {"loss": 0.5}, ["population must be a Population", "'x'"]),
        (STEPS, {}, ["exactly one of loss, excess_loss and discovered", "none"]),
        (STEPS, {"loss": 0.5, "discovered": 3}, ["exactly one", "loss, discovered"]),
    ],
)
def test_targets_out_of_reach(population, target, fragments):
    with pytest.raises(ValueError, match="must be") as error:
        sth.latents_for(population, **target)
    for fragment in fragments:
        assert fragment in str(error.value)


def test_some_features_that_no_latent_helps():
    flat = sth.TabulatedCurve([0, 1], [0.5, 0.5])
    population = sth.Population(sth.EmpiricalFrequencies([0.5, 0.3, 0.2]), flat, {2: STEP_CURVE})
    assert sth.latents_for(population, discovered=1) == 1
    with pytest.raises(ValueError, match="discovered must be at most 1"):
        sth.latents_for(population, discovered=2)
