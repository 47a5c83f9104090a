"""Baselines with a preference: moments by simulation, and decoders that are nothing else."""

import math

import numpy as np
import pytest
from _decoders import circle, normal, rotation

from scaling_theory.analysis import RandomDirections, anisotropic_directions, decoder_neighbours
from scaling_theory.analysis._projected import fit, moments
from scaling_theory.analysis.directions import ks_distance


def uneven(n, d, seed=0, offset=0.1):
    """Normal rows with a falling spectrum and an offset, rotated at random."""
    rows = normal(n, d, seed) * np.arange(1, d + 1) ** -0.5 + offset
    return rows @ rotation(d, seed + 1)


# ---- directions of normal vectors --------------------------------------------------------------


@pytest.mark.parametrize("dimension", [2, 5, 40])
def test_moments_by_simulation(dimension):
    variance = np.arange(1, dimension + 1) ** -1.5
    offset = np.linspace(-0.8, 0.5, dimension)
    drawn = normal(100_000, dimension) * np.sqrt(variance) + offset
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    mean, square = moments(offset, variance)
    for found, samples in ((mean, drawn), (square, drawn**2)):
        error = samples.std(axis=0) / math.sqrt(len(samples))
        assert (np.abs(found - samples.mean(axis=0)) < 4.5 * error).all()
    assert square.sum() == pytest.approx(1.0, abs=1e-12)


def test_moments_where_they_are_known():
    mean, square = moments(np.zeros(7), np.full(7, 3.0))
    np.testing.assert_allclose(square, 1 / 7, rtol=1e-13)
    np.testing.assert_allclose(mean, 0.0, atol=1e-15)
    a, b = 4.0, 0.25  # in the plane E x^2/(x^2 + y^2) = a/(a + b) for standard deviations a, b
    square = moments(np.zeros(2), np.array([a**2, b**2]))[1]
    np.testing.assert_allclose(square, [a / (a + b), b / (a + b)], rtol=1e-13)


@pytest.mark.parametrize("dimension", [2, 10, 300])
def test_the_fit_finds_the_law(dimension):
    variance = np.arange(1, dimension + 1) ** -1.2
    offset = np.where(np.arange(dimension) % 3 == 0, 0.3, 0.0)
    size = variance.sum() + offset @ offset
    found = fit(*moments(offset, variance))
    assert found.mismatch < 1e-7
    np.testing.assert_allclose(found.variance, variance / size, rtol=1e-4)
    np.testing.assert_allclose(found.offset, offset / math.sqrt(size), rtol=1e-4)


# ---- baselines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(1500, 24), (60, 60)])
def test_without_a_preference_it_is_the_closed_form(n, d):
    decoder = normal(n, d, seed=4)
    drawn = anisotropic_directions(decoder, samples=6000)
    assert (drawn.count, drawn.dimension) == (n, d)
    law = RandomDirections(n, d)
    # 1.95/sqrt(samples) is passed once in 1000; samples share neighbours and d is estimated
    assert ks_distance(drawn.cosine, law) < 1.5 * 1.95 / math.sqrt(6000)
    second = np.arange(1, 6001) / 6000 - law.cdf(drawn.second_cosine, second=True)
    assert np.abs(second).max() < 1.5 * 1.95 / math.sqrt(6000)


def test_few_rows_are_not_taken_for_a_preference():
    """The second moment of 100 even rows in 100 dimensions looks like one of 50 dimensions."""
    decoder = normal(100, 100, seed=1)
    unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    assert 1.0 / np.sum((unit.T @ unit / 100) ** 2) == pytest.approx(50.0, rel=0.05)
    drawn = anisotropic_directions(decoder, samples=10)
    # relative error of the mean of squared cosines, of n (n - 1)/2 pairs: 2/n
    assert drawn.effective_dimension == pytest.approx(100.0, rel=4 * 2 / 100)
    assert drawn.shrinkage > 0.7


@pytest.mark.parametrize(("n", "d"), [(3000, 32), (1000, 100)])
def test_uneven_rows_are_explained(n, d):
    found = decoder_neighbours(uneven(n, d), baseline_samples=4000)
    own, even = found.compare("anisotropic"), found.compare("isotropic")
    assert own.ks < 0.05
    assert even.ks > 0.6
    assert abs(own.excess) < 0.05 * even.excess
    assert own.share_above < 0.005
    assert even.share_above > 0.3
    assert found.anisotropic.mean_cosine > 0.05
    assert found.anisotropic.mismatch < 1e-6


def test_a_manifold_with_all_the_rows_passes_for_a_preference():
    """The limit that the documentation names."""
    found = decoder_neighbours(circle(200, 16), baseline_samples=2000)
    assert found.compare("isotropic").share_above == 1.0
    assert found.anisotropic.effective_dimension == pytest.approx(2.0, rel=0.02)
    assert found.compare("anisotropic").share_above == 0.0


def test_block_size_and_seed():
    decoder = uneven(300, 8)
    whole = anisotropic_directions(decoder, samples=700, seed=3)
    parts = anisotropic_directions(decoder, samples=700, seed=3, block=37)
    np.testing.assert_allclose(whole.cosine, parts.cosine, atol=1e-5)
    np.testing.assert_allclose(whole.second_cosine, parts.second_cosine, atol=1e-5)
    again = anisotropic_directions(decoder, samples=700, seed=3)
    assert (again.cosine == whole.cosine).all()
    assert (anisotropic_directions(decoder, samples=700, seed=4).cosine != whole.cosine).any()


def test_copies_of_one_row():
    drawn = anisotropic_directions(np.ones((5, 3)), samples=20)
    np.testing.assert_allclose(drawn.cosine, 1.0, atol=1e-5)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"^samples must be"):
        anisotropic_directions(np.eye(3), samples=0)
    with pytest.raises(ValueError, match=r"^decoder must have at most 16384 columns"):
        anisotropic_directions(np.ones((2, 20_000), dtype=np.float32))
