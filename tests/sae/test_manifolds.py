"""Manifolds: closed forms against samples, uniformity, laws of the radius, repeats, refusals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

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
    _draw,
)

COUNT = 30_000
#: Standard errors that a mean may be off: chance 1e-8 a number, and seeds are fixed.
SIGMAS = 5.7
#: Rounding of a float32 norm.
ROUNDING = 1e-6

SPHERES = [Sphere(1), Sphere(2), Sphere(3), Sphere(4, radius=2.5), Sphere(17), Circle(), Circle(3)]
SHELLS = [
    Shell(1),
    Shell(2),
    Shell(3, law="volume"),
    Shell(4, 0.0, 1.0, "volume"),
    Shell(6, 0.9, 1.0),
    Shell(40, 500.0, 2000.0, "volume"),  # 2000^40 is beyond float32
]
POINTS = [
    Points(),
    Points([[2.0], [-2.0], [1.0]]),
    Points(np.arange(12.0).reshape(4, 3)),
    Points([[1, 0], [0, 1]]),
]
BALLS = [Ball(1), Ball(2, 0.5), Ball(3), Ball(30, radius=100.0)]
WINDING = [
    Torus(),
    Torus((3.0,)),
    Torus((0.5, 2.0, 0.125)),
    SwissRoll(),
    SwissRoll(start=0.0, turns=0.3, height=0.0, radius=2.0),
    SwissRoll(start=2.0, turns=10.0, height=0.1),
    Ripple(2, radius=3.0),
    Ripple(16),
    Ripple(64, decay=0.0),
    Ripple(10, 0.3, "exponential", 2.5),
]
VARYING = [
    Segment(),
    Segment(0.0, 3.0),
    Intensity(Torus()),
    Intensity(SwissRoll(), 0.0, 1.0),
    Intensity(Points([[1.0, 2.0], [3.0, 4.0]]), 1.0, 3.0),
    Intensity(Intensity(Ripple(6)), 0.1, 0.2),
]
ALL = SPHERES + SHELLS + POINTS + BALLS + WINDING + VARYING


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(manifold, count=COUNT, seed=0):
    return manifold.sample(count, generator(seed)).double().numpy()


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_samples_have_the_stated_shape_magnitude_and_mean(manifold):
    x = manifold.sample(COUNT, generator())
    assert x.shape == (COUNT, manifold.dimension)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    x = x.double().numpy()
    squared = (x * x).sum(axis=1)
    error = SIGMAS * squared.std() / math.sqrt(COUNT)
    assert squared.mean() == pytest.approx(manifold.magnitude, abs=error, rel=ROUNDING)
    assert manifold.mean.shape == (manifold.dimension,)
    error = SIGMAS * x.std(axis=0) / math.sqrt(COUNT)
    assert (np.abs(x.mean(axis=0) - manifold.mean) <= error + ROUNDING).all()


@pytest.mark.parametrize("manifold", SPHERES, ids=repr)
def test_points_of_spheres_have_their_radius(manifold):
    norms = np.linalg.norm(drawn(manifold), axis=1)
    np.testing.assert_allclose(norms, manifold.radius, rtol=ROUNDING)


@pytest.mark.parametrize("manifold", SPHERES + SHELLS + BALLS, ids=repr)
def test_directions_are_uniform(manifold):
    x, d = drawn(manifold), manifold.dimension
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    # Covariance 1/d: variances of the products follow from the moments of a uniform direction.
    covariance = x.T @ x / COUNT
    variance = np.full((d, d), 1.0 / (d * (d + 2)))
    np.fill_diagonal(variance, 2.0 * (d - 1) / (d * d * (d + 2)))
    assert (np.abs(covariance - np.eye(d) / d) <= SIGMAS * np.sqrt(variance / COUNT) + 1e-7).all()
    if d > 1:  # one coordinate t: (1 + t)/2 has a beta distribution
        law = stats.beta((d - 1) / 2, (d - 1) / 2)
        for axis in (0, d - 1):
            assert stats.kstest((1.0 + x[:, axis]) / 2.0, law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("shell", SHELLS, ids=repr)
def test_radii_of_shells_follow_their_law(shell):
    radii = np.linalg.norm(drawn(shell), axis=1)
    assert radii.min() >= shell.inner * (1 - ROUNDING)
    assert radii.max() <= shell.outer * (1 + ROUNDING)
    power = 1 if shell.law == "radius" else shell.dimension

    def cdf(r):
        low, high = shell.inner**power, shell.outer**power
        return np.clip((r**power - low) / (high - low), 0.0, 1.0)

    assert stats.kstest(radii, cdf).pvalue > 1e-4


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 40),
    st.floats(0.0, 0.999),
    st.floats(0.1, 10.0),
    st.sampled_from(["radius", "volume"]),
)
def test_magnitude_of_a_shell_is_the_integral_over_its_radii(d, ratio, outer, law):
    inner = ratio * outer
    nodes, weights = np.polynomial.legendre.leggauss(64)
    r = inner + (outer - inner) * (nodes + 1.0) / 2.0
    density = weights * (r / outer) ** (0 if law == "radius" else d - 1)
    expected = (density * r * r).sum() / density.sum()
    assert Shell(d, inner, outer, law).magnitude == pytest.approx(expected, rel=1e-10)


def test_magnitude_of_a_thin_shell_does_not_cancel():
    assert Shell(3, 1.0 - 1e-12, 1.0, "volume").magnitude == pytest.approx(1.0, abs=2e-12)


def test_each_point_is_as_likely_as_the_others():
    positions = np.array([[1.0, 2.0], [3.0, 4.0], [-1.0, 0.0]])
    x = drawn(Points(positions))
    found = np.array([(x == p).all(axis=1).sum() for p in positions])
    assert found.sum() == COUNT
    assert stats.chisquare(found).pvalue > 1e-4


def test_the_default_point_is_a_discrete_feature():
    assert (Points().dimension, Points().magnitude) == (1, 1.0)
    assert (drawn(Points(), 7) == 1.0).all()


def test_positions_are_a_copy_that_cannot_be_written():
    given_positions = np.array([[1.0, -0.0]])
    points = Points(given_positions)
    given_positions[0, 0] = 5.0
    assert points.positions.tolist() == [[1.0, 0.0]]
    with pytest.raises(ValueError, match="read-only"):
        points.positions[0, 0] = 2.0


def test_equal_manifolds_are_equal_and_hash_alike():
    assert Points([[1, -0.0]]) == Points(np.array([[1.0, 0.0]]))
    assert hash(Points([[1, -0.0]])) == hash(Points([[1, 0]]))
    assert text_of(Points([[1, -0.0]])) == text_of(Points([[1, 0]]))
    assert Points([[1.0, 2.0]]) != Points([[1.0], [2.0]])
    assert Points() != Circle()
    assert len({Circle(), Circle(1), Circle(2), Points(), Points([[1]])}) == 3


def test_texts_say_everything_that_decides_the_samples():
    assert len({text_of(m) for m in ALL}) == len(ALL)
    assert text_of(Shell(2)) == (
        '{"dimension":2,"inner":0.5,"kind":"Shell","law":"radius","outer":2.0}'
    )


def test_reprs_are_short():
    assert repr(Points()) == "Points()"
    assert repr(Points(np.ones((100, 7)))) == "Points(positions=<100 x 7 values>)"
    assert repr(Circle()) == "Circle(radius=1.0)"


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_the_same_seed_gives_the_same_numbers(manifold):
    same = generator(3)
    first, second = manifold.sample(100, same), manifold.sample(100, same)
    assert torch.equal(first, manifold.sample(100, generator(3)))
    if manifold != Points():
        assert not torch.equal(first, second)
    assert manifold.sample(0, generator()).shape == (0, manifold.dimension)


def test_directions_of_zero_norm_are_unit_vectors_all_the_same():
    x = torch.zeros(3, 4)
    x[1] = torch.tensor([0.0, 3.0, 0.0, 4.0])
    expected = torch.tensor([[1.0, 0, 0, 0], [0, 0.6, 0, 0.8], [1, 0, 0, 0]])
    torch.testing.assert_close(_draw.normalised(x), expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 40), st.floats(1e-15, 1e15), st.integers(0, 2**63 - 1))
def test_samples_are_finite_at_any_size(d, count, size, seed):
    spread = Shell(d, size / 2, size, "volume") if size > 1e-14 else Sphere(d, size)
    lying = (Sphere(d, size), spread, Points(np.full((2, d), size)))
    winding = (Torus((size,) * d), SwissRoll(radius=size), Ripple(2 * d, radius=size))
    for manifold in lying + winding:
        x = drawn(manifold, count, seed)
        assert np.isfinite(x).all()
        assert (np.abs(x).max(axis=1) > 0.0).all()
    assert np.isfinite(drawn(Ball(d, size), count, seed)).all()  # a ball holds 0


MANY = st.integers(0, 2**63 - 1)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 30),
    st.floats(0.0, 3.0),
    st.sampled_from(["power", "exponential"]),
    st.floats(1e-15, 1e15),
    MANY,
)
def test_the_radius_multiplies_the_same_points_exactly(d, decay, law, radius, seed):
    for make in (
        lambda r: Sphere(d, r),
        lambda r: Circle(r),
        lambda r: Ball(d, r),
        lambda r: SwissRoll(decay, 0.5 + decay, decay, r),
        lambda r: Ripple(2 * d, decay, law, r),
    ):
        unit = make(1.0).sample(20, generator(seed))
        assert torch.equal(make(radius).sample(20, generator(seed)), unit * radius)
    unit = Torus((1.0,) * d).sample(20, generator(seed))
    assert torch.equal(Torus((radius,) * d).sample(20, generator(seed)), unit * radius)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.floats(0.0, 0.99), st.integers(-40, 40), MANY)
def test_a_power_of_two_multiplies_the_same_points_exactly(d, inner, power, seed):
    for make in (
        lambda r: Shell(d, inner * r, r),
        lambda r: Shell(d, inner * r, r, "volume"),
        lambda r: Segment(inner * r, r),
        lambda r: Intensity(Sphere(d), inner * r, r),
        lambda r: Torus(tuple(r * k for k in range(1, d + 1))),
    ):
        x = make(2.0**power).sample(20, generator(seed))
        assert torch.equal(x, make(1.0).sample(20, generator(seed)) * 2.0**power)


REFUSED = [
    (lambda: Sphere(0), "dimension", "[1, 1048576]", "got 0"),
    (lambda: Sphere(2.5), "dimension", "whole number", "got 2.5"),
    (lambda: Sphere(2**21), "dimension", "[1, 1048576]", "got 2097152"),
    (lambda: Sphere(True), "dimension", "whole number", "got True"),
    (lambda: Sphere(2, 0.0), "radius", "[1e-15, 1e+15]", "got 0.0"),
    (lambda: Circle(-1), "radius", "[1e-15, 1e+15]", "got -1"),
    (lambda: Circle(math.nan), "radius", "[1e-15, 1e+15]", "got nan"),
    (lambda: Circle("1"), "radius", "number", "got '1'"),
    (lambda: Shell(2, -0.1), "inner", "[0, 2)", "got -0.1"),
    (lambda: Shell(2, 2.0, 2.0), "inner", "[0, 2)", "got 2.0"),
    (lambda: Shell(2, 0.5, math.inf), "outer", "[1e-15, 1e+15]", "got inf"),
    (lambda: Shell(2, law="area"), "law", "'radius' or 'volume'", "got 'area'"),
    (lambda: Points([1.0, -1.0]), "positions", "(k, d)", "got (2,)"),
    (lambda: Points(1.0), "positions", "(k, d)", "got ()"),
    (lambda: Points([]), "positions", "(k, d)", "got (0,)"),
    (lambda: Points([[]]), "positions", "(k, d)", "got (1, 0)"),
    (lambda: Points([[1.0], [1.0, 2.0]]), "positions", "k points", "different lengths"),
    (lambda: Points([[1.0, math.nan]]), "positions", "[-1e+15, 1e+15]", "nan"),
    (lambda: Points([["a"]]), "positions", "numbers", "'a'"),
    (lambda: Points([[0.0, 0.0]]), "positions", "at least 1e-15", "0.0"),
    (lambda: Ball(0), "dimension", "[1, 1048576]", "got 0"),
    (lambda: Ball(2, 1e16), "radius", "[1e-15, 1e+15]", "got 1e+16"),
    (lambda: Torus(()), "radii", "not be empty", ""),
    (lambda: Torus((1.0, 0.0)), "radii", "[1e-15, 1e+15]", "radii[1] = 0.0"),
    (lambda: Torus((1.0, math.nan)), "radii", "[1e-15, 1e+15]", "radii[1] = nan"),
    (lambda: Torus(2), "radii", "numbers", "2"),
    (lambda: Torus("ab"), "radii", "numbers", "'ab'"),
    (lambda: Torus([[1.0, 1.0]]), "radii", "one-dimensional", "[1.0, 1.0]"),
    (lambda: Torus(np.ones(2**19 + 1)), "radii", "at most 524288", "got 524289"),
    (lambda: SwissRoll(-0.1), "start", "[0, 100]", "got -0.1"),
    (lambda: SwissRoll(turns=0), "turns", "[0.01, 100]", "got 0"),
    (lambda: SwissRoll(height=math.inf), "height", "[0, 1000]", "got inf"),
    (lambda: SwissRoll(radius=0), "radius", "[1e-15, 1e+15]", "got 0"),
    (lambda: Ripple(1), "dimension", "[2, 1048576]", "got 1"),
    (lambda: Ripple(7), "dimension", "even", "got 7"),
    (lambda: Ripple(8, -1.0), "decay", "[0, 100]", "got -1.0"),
    (lambda: Ripple(8, law="linear"), "law", "'power' or 'exponential'", "got 'linear'"),
    (lambda: Ripple(8, radius=-1), "radius", "[1e-15, 1e+15]", "got -1"),
    (lambda: Ripple(8).kernel(math.nan), "angles", "number", "nan"),
    (lambda: Segment(1.0, 1.0), "inner", "[0, 1)", "got 1.0"),
    (lambda: Segment(0.0, 0.0), "outer", "[1e-15, 1e+15]", "got 0.0"),
    (lambda: Intensity(3.0), "manifold", "Circle()", "got 3.0"),
    (lambda: Intensity(Circle), "manifold", "Circle()", "got <class"),
    (lambda: Intensity(Circle(), -1.0), "inner", "[0, 2)", "got -1.0"),
    (lambda: Intensity(Circle(), 0.0, math.nan), "outer", "[1e-15, 1e+15]", "got nan"),
    (lambda: Intensity(Circle(1e10), 0.0, 1e6), "outer times", "[1e-15, 1e+15]", "got 1e+16"),
    (lambda: Circle().sample(-1, generator()), "count", "at least 0", "got -1"),
    (lambda: Points().sample(1, 0), "generator", "torch.Generator", "got 0"),
    (lambda: Sphere(3).sample(1, np.random.default_rng(0)), "generator", "torch.Generator", ""),
    (lambda: Shell(3).sample(1.5, generator()), "count", "whole number", "got 1.5"),
]


@pytest.mark.parametrize(("call", "name", "allowed", "value"), REFUSED)
def test_refusals_name_the_argument_what_is_allowed_and_the_value(call, name, allowed, value):
    with pytest.raises(ValueError, match=name) as error:
        call()
    assert allowed in str(error.value)
    assert value in str(error.value)
