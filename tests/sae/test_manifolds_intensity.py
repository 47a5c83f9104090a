"""Intensities that vary: balls, segments, and any manifold times a random number."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import scaling_theory as sth
from scaling_theory.sae import ReLU, RunSpec, Superposition
from scaling_theory.sae.canonical import text_of
from scaling_theory.sae.manifolds import (
    Ball,
    Circle,
    Intensity,
    Points,
    Ripple,
    Segment,
    Shell,
    Sphere,
    SwissRoll,
    Torus,
)

COUNT = 30_000
#: Standard errors that a mean may be off: chance 1e-8 a number, and seeds are fixed.
SIGMAS = 5.7
ROUNDING = 1e-6
UNLIKELY = 1e-4
FEW = sth.PowerLawFrequencies(0.5, count=5, total=1.5)


def drawn(manifold, count=COUNT, seed=0):
    return manifold.sample(count, torch.Generator().manual_seed(seed)).double().numpy()


def alike(a, b):
    """Norms and first coordinates of separate samples have one distribution."""
    a, b = drawn(a, seed=1), drawn(b, seed=2)
    norms = [np.linalg.norm(x, axis=1) for x in (a, b)]
    return min(stats.ks_2samp(*norms).pvalue, stats.ks_2samp(a[:, 0], b[:, 0]).pvalue) > UNLIKELY


# ---- balls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ball", [Ball(1), Ball(2, 0.5), Ball(3), Ball(12, 100.0)], ids=repr)
def test_balls_are_uniform_in_volume(ball):
    radii = np.linalg.norm(drawn(ball), axis=1)
    assert radii.max() <= ball.radius * (1 + ROUNDING)
    d = ball.dimension
    assert stats.kstest((radii / ball.radius) ** d, stats.uniform.cdf).pvalue > UNLIKELY


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.floats(0.01, 100))
def test_a_ball_is_the_shell_without_a_hole(d, radius):
    shell = Shell(d, 0.0, radius, "volume")
    assert Ball(d, radius).magnitude == pytest.approx(shell.magnitude, rel=1e-14)
    np.testing.assert_allclose(drawn(Ball(d, radius), 50), drawn(shell, 50), rtol=ROUNDING)
    assert Ball(d, radius) != shell


def test_a_ball_and_a_shell_by_radius_differ():
    assert alike(Ball(3, 2.0), Shell(3, 0.0, 2.0, "volume"))
    assert not alike(Ball(3, 2.0), Shell(3, 0.0, 2.0, "radius"))


# ---- segments and intensities -------------------------------------------------------------------


@pytest.mark.parametrize("segment", [Segment(), Segment(0.0, 1e-3), Segment(5.0, 6.0)], ids=repr)
def test_segments_are_uniform(segment):
    x = drawn(segment)
    a, b = segment.inner, segment.outer
    assert stats.kstest(x[:, 0], stats.uniform(a, b - a).cdf).pvalue > UNLIKELY
    assert x.min() >= a * (1 - ROUNDING)
    assert x.max() <= b * (1 + ROUNDING)


def test_a_segment_is_a_point_with_an_intensity():
    np.testing.assert_array_equal(
        drawn(Segment(0.2, 3.0), 99), drawn(Intensity(Points(), 0.2, 3.0), 99)
    )
    assert Segment().magnitude == Intensity(Points()).magnitude
    assert (Segment().mean == Intensity(Points()).mean).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.floats(0.0, 0.99), st.floats(0.1, 10.0))
def test_a_shell_is_a_sphere_with_an_intensity(d, ratio, outer):
    shell, product = Shell(d, ratio * outer, outer), Intensity(Sphere(d), ratio * outer, outer)
    assert product.dimension == d
    assert product.magnitude == shell.magnitude
    assert (product.mean == shell.mean).all()
    np.testing.assert_array_equal(drawn(product, 50), drawn(shell, 50))


def test_a_shell_and_a_sphere_with_an_intensity_have_one_distribution():
    assert alike(Shell(4, 0.5, 2.0), Intensity(Sphere(4), 0.5, 2.0))
    assert not alike(Shell(4, 0.5, 2.0), Intensity(Sphere(4), 0.5, 2.1))


@pytest.mark.parametrize("manifold", [Torus((0.5, 2.0)), Ripple(12), SwissRoll()], ids=repr)
def test_the_intensity_is_uniform_and_independent_of_the_point(manifold):
    inner, outer = 0.25, 1.5
    x, y = drawn(Intensity(manifold, inner, outer)), drawn(manifold)  # the same points y
    intensity = np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(x, intensity[:, None] * y, atol=3 * ROUNDING)
    assert stats.kstest(intensity, stats.uniform(inner, outer - inner).cdf).pvalue > UNLIKELY
    for coordinate in y.T:
        assert abs(np.corrcoef(intensity, coordinate)[0, 1]) < SIGMAS / math.sqrt(COUNT)


def test_intensities_change_no_tensor_that_a_manifold_keeps():
    class Kept(sth.sae.Data):
        dimension, magnitude = 2, 1.0
        kept = torch.ones(5, 2)

        def sample(self, count, generator):
            return self.kept

    assert not torch.equal(Intensity(Kept()).sample(5, torch.Generator().manual_seed(0)), Kept.kept)
    assert (Kept.kept == 1.0).all()


# ---- nested data in specifications and superpositions -------------------------------------------


def test_texts_of_nested_data_say_everything():
    assert text_of(Intensity(Torus((1.0, 2.0)), 0.0, 1.0)) == (
        '{"dimension":4,"inner":0.0,"kind":"Intensity","manifold":'
        '{"dimension":4,"kind":"Torus","radii":[1.0,2.0]},"outer":1.0}'
    )
    every = [
        Intensity(Ripple(8)), Intensity(Ripple(8, 2.0)), Intensity(Ripple(8), 0.1),
        Intensity(Intensity(Ripple(8))), Intensity(Points([[1, 2]])), Intensity(Points([[2, 1]])),
        Ripple(8), Ripple(8, law="exponential"), Intensity(Superposition(FEW, Circle())),
        Intensity(Superposition(FEW, Points())),
    ]  # fmt: skip
    assert len({text_of(m) for m in every}) == len(every) == len(set(every))


def test_specifications_hold_nested_data():
    def spec(data):
        return RunSpec(data, ReLU(), 4, steps=10, batch_size=8)

    assert spec(Intensity(Torus([1, 1]))).key == spec(Intensity(Torus())).key
    assert spec(Intensity(Torus())).key != spec(Intensity(Torus(), 0.4)).key
    assert spec(Intensity(Torus())).key != spec(Intensity(Torus((1.0, 1.1)))).key
    again = pickle.loads(pickle.dumps(spec(Intensity(SwissRoll()))))  # as a worker gets it
    assert again == spec(Intensity(SwissRoll()))
    assert again.key == spec(Intensity(SwissRoll())).key


def test_superpositions_hold_nested_data():
    ring, wave = Intensity(Circle()), Intensity(Ripple(6), 0.0, 1.0)
    data = Superposition(FEW, Segment(), {1: wave, (2, 3): ring, 4: Intensity(Circle())})
    assert data.labels == ("intensity 1", "intensity 2", "segment")
    assert data.group_of(range(1, 6)).tolist() == [0, 1, 1, 1, 2]
    assert data.dimension == 6 + 3 * 2 + 1
    named = Superposition(FEW, Segment(), {1: wave}, labels={"intensity": "wave"})
    assert named.labels == ("wave", "segment")
    x = drawn(data)
    squared = (x * x).sum(axis=1)
    error = SIGMAS * squared.std() / math.sqrt(COUNT)
    assert squared.mean() == pytest.approx(data.magnitude, abs=error)
    error = SIGMAS * x.std(axis=0) / math.sqrt(COUNT)
    assert (np.abs(x.mean(axis=0) - data.mean) <= error + ROUNDING).all()
    curves = dict.fromkeys(data.labels, sth.DiscreteCurve())
    wanted = {"intensity 1": wave.magnitude, "intensity 2": ring.magnitude, "segment": 1.75}
    for group in data.population(curves, relative=True).groups:
        np.testing.assert_array_equal(group.magnitude, wanted.pop(group.label))
    assert not wanted


def test_a_whole_superposition_takes_an_intensity():
    data = Intensity(Superposition(FEW, Circle(), {1: Points()}), 1.0, 2.0)
    x = drawn(data)
    squared = (x * x).sum(axis=1)
    error = SIGMAS * squared.std() / math.sqrt(COUNT)
    assert squared.mean() == pytest.approx(data.magnitude, abs=error)
    error = SIGMAS * x.std(axis=0) / math.sqrt(COUNT)
    assert (np.abs(x.mean(axis=0) - data.mean) <= error + ROUNDING).all()
