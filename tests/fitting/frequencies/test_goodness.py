"""p-values of tails: uniform under the law, small against it, repeatable."""

import math

import numpy as np
import pytest

from scaling_theory.fitting.frequencies import draw_tail, fit_tail, goodness_of_fit
from scaling_theory.fitting.frequencies.goodness import synthetic


def test_a_power_law_is_not_ruled_out_and_an_exponential_is():
    generator = np.random.default_rng(0)
    good = goodness_of_fit(fit_tail(generator.pareto(1.5, 1000) + 1.0), 200)
    assert good.status == "not ruled out"
    assert good.p_value == np.mean(good.distances >= good.distance)
    bad = goodness_of_fit(fit_tail(generator.exponential(1.0, 3000) + 1.0, xmin=1.0), 100)
    assert (bad.p_value, bad.status) == (0.0, "ruled out")
    assert bad.error == pytest.approx(math.sqrt(0.005 * 0.995 / 100))
    assert "0 of 100 synthetic" in bad.message


@pytest.mark.parametrize("kind", ["continuous", "discrete", "poisson", "binned"])
def test_synthetic_data_are_the_body_and_the_law(kind):
    generator = np.random.default_rng(1)
    values = np.concatenate(
        [generator.integers(1, 9, 500), np.floor(8.0 * (generator.pareto(1.2, 500) + 1))]
    )
    if kind == "binned":
        edges = np.append(2.0 ** np.arange(10), np.inf)
        tail = fit_tail(np.histogram(values, edges)[0], kind=kind, edges=edges, xmin=8.0)
        sets = [synthetic(tail, generator) for _ in range(200)]
        sizes = [s.counts[3:].sum() for s in sets]
    else:
        tail = fit_tail(values, kind=kind, xmin=8)
        sets = [synthetic(tail, generator) for _ in range(200)]
        sizes = [s.above[np.searchsorted(s.values, 8.0)] for s in sets]
        below = np.unique(values[values < 8])
        assert all(np.isin(s.values[s.values < 8.0], below).all() for s in sets)
    assert {s.size for s in sets} == {1000}
    share = tail.tail / 1000
    error = math.sqrt(1000 * share * (1.0 - share) / 200)
    assert abs(np.mean(sizes) - tail.tail) < 4.0 * error


def test_the_same_seed_gives_the_same_p_value():
    tail = fit_tail(np.random.default_rng(0).pareto(1.5, 200) + 1.0)
    one, same, other = (goodness_of_fit(tail, 50, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.distances, same.distances)
    assert (one.distances != other.distances).any()


def test_refusals():
    tail = fit_tail([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="replicates must be a whole number of at least 1"):
        goodness_of_fit(tail, 0)
    with pytest.raises(ValueError, match="tail must be a TailFit"):
        goodness_of_fit([1.0, 2.0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["continuous", "discrete", "poisson"])
def test_p_values_are_uniform_under_the_law(kind):
    shape = np.floor(5.0 * (np.random.default_rng(3).pareto(1.3, 400) + 1.0))
    law = fit_tail(shape, kind=kind, xmin=5)
    generator, p = np.random.default_rng(0), []
    for _ in range(200):
        tail = fit_tail(draw_tail(law, 300, generator), kind=kind)
        p.append(goodness_of_fit(tail, 60, generator).p_value)
    # Kolmogorov at 1 in 1000, and the step of p-values from 60 replicates
    gaps = np.abs(np.sort(p) - np.arange(1, 201) / 201)
    assert gaps.max() < 1.95 / math.sqrt(200) + 1.0 / 60
