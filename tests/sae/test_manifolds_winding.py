"""Tori, Swiss rolls and ripples: their shape, their laws, and how much there is to tile."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from scipy.spatial import cKDTree

from scaling_theory.sae.manifolds import Circle, Ripple, SwissRoll, Torus

COUNT = 30_000
#: Standard errors that a mean may be off: chance 1e-8 a number, and seeds are fixed.
SIGMAS = 5.7
#: Rounding of a float32 norm, and of an angle.
ROUNDING = 1e-6
UNLIKELY = 1e-4


def drawn(manifold, count=COUNT, seed=0):
    return manifold.sample(count, torch.Generator().manual_seed(seed)).double().numpy()


def angles_of(pairs):
    return np.arctan2(pairs[:, 1], pairs[:, 0]) % (2 * math.pi)


def uniform_angle(angles):
    return stats.kstest(angles, stats.uniform(0, 2 * math.pi).cdf).pvalue > UNLIKELY


# ---- tori ---------------------------------------------------------------------------------------

TORI = [Torus(), Torus((0.5, 2.0, 0.125)), Torus((3.0,)), Torus((0.5,) * 4)]


@pytest.mark.parametrize("torus", TORI, ids=repr)
def test_each_pair_of_coordinates_of_a_torus_is_a_circle(torus):
    x = drawn(torus)
    for j, radius in enumerate(torus.radii):
        pair = x[:, 2 * j : 2 * j + 2]
        np.testing.assert_allclose(np.linalg.norm(pair, axis=1), radius, rtol=ROUNDING)
        assert uniform_angle(angles_of(pair))
    assert np.linalg.norm(x, axis=1) == pytest.approx(math.sqrt(torus.magnitude), rel=ROUNDING)


def test_the_circles_of_a_torus_are_independent():
    x = drawn(Torus((0.5, 2.0, 1.0)))
    turns = [angles_of(x[:, 2 * j : 2 * j + 2]) for j in range(3)]
    # Fourier coefficients of the joint density: cos and sin of a uniform angle have variance 1/2.
    error = SIGMAS * math.sqrt(0.5 / COUNT)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        for j in (1, 2):
            for k in (-2, -1, 1, 2):
                mean = np.exp(1j * (j * turns[a] + k * turns[b])).mean()
                assert abs(mean.real) < error
                assert abs(mean.imag) < error


def test_a_torus_of_one_circle_is_the_circle():
    np.testing.assert_array_equal(drawn(Torus((3.0,)), 500), drawn(Circle(3.0), 500))


def test_radii_are_kept_as_numbers():
    assert Torus([1, 2]) == Torus(np.array([1.0, 2.0])) == Torus((1.0, 2.0))
    assert Torus([1, 2]).radii == (1.0, 2.0)
    assert hash(Torus([1, 2])) == hash(Torus((1.0, 2.0)))
    assert Torus(5 * (5**-0.5,)).magnitude == pytest.approx(1.0, rel=1e-15)


# ---- Swiss rolls --------------------------------------------------------------------------------

ROLLS = [
    SwissRoll(),
    SwissRoll(0.0, 0.3, 0.0, 2.0),
    SwissRoll(2.0, 10.0, 0.1),
    SwissRoll(0.25, 1.0, 20.0, 0.1),
]


#: For integrals over at most 100 turns.
NODES = special.roots_legendre(800)


def written_out(roll):
    """Radius of the unrolled circle, ends of t, and height, from the definition."""
    low, high = 2 * math.pi * roll.start, 2 * math.pi * (roll.start + roll.turns)
    height = roll.height * math.sqrt(1 + high**2)
    square = 1 + (low**2 + high**2) / 2 + height**2 / 12
    unit = roll.radius / math.sqrt(square)
    return unit, low, high, height * unit


def along(roll, x):
    """The parameter t of points: |(x, y)|^2 = unit^2 (1 + t^2)."""
    unit = written_out(roll)[0]
    return np.sqrt(np.maximum((x[:, :2] ** 2).sum(axis=1) / unit**2 - 1.0, 0.0))


@pytest.mark.parametrize("roll", ROLLS, ids=repr)
def test_points_are_on_the_roll_and_uniform_in_area(roll):
    x = drawn(roll)
    unit, low, high, height = written_out(roll)
    t = along(roll, x)
    curve = np.stack((np.cos(t) + t * np.sin(t), np.sin(t) - t * np.cos(t)), axis=1)
    far = t > 0.1  # near the cusp the norm says little of t
    assert far.mean() > 0.9
    # Rounding moves t by ROUNDING (1 + t^2)/t, and points move along the curve at the speed t.
    error = ROUNDING * unit * (1 + t**2)
    assert (np.abs(x[:, :2] - unit * curve) <= error[:, None])[far].all()
    # Arc length is t^2/2.
    assert stats.kstest(t**2, stats.uniform(low**2, high**2 - low**2).cdf).pvalue > UNLIKELY
    if height == 0.0:
        assert not x[:, 2].any()
        return
    assert stats.kstest(x[:, 2], stats.uniform(-height / 2, height).cdf).pvalue > UNLIKELY
    assert abs(np.corrcoef(t**2, x[:, 2])[0, 1]) < SIGMAS / math.sqrt(COUNT)


@pytest.mark.parametrize("roll", ROLLS, ids=repr)
def test_the_sides_of_a_roll_are_its_lengths(roll):
    x = drawn(roll)
    length, height = roll.sides
    # Sorted along the spiral, chords add up to its length but for the ends, about 1/COUNT each.
    order = np.argsort(along(roll, x))
    chords = np.linalg.norm(np.diff(x[order, :2], axis=0), axis=1).sum()
    assert chords == pytest.approx(length, rel=20.0 / COUNT)
    assert np.ptp(x[:, 2]) == pytest.approx(height, rel=20.0 / COUNT)


def test_the_turns_of_a_roll_keep_one_distance():
    roll = SwissRoll(start=1.0, turns=2.0, height=0.0)
    unit, low, high, _ = written_out(roll)
    x, t = drawn(roll), along(roll, drawn(roll))
    inner, outer = x[t < high - 2 * math.pi], x[(t > low + 2 * math.pi + 1) & (t < high - 1)]
    nearest, _ = cKDTree(inner).query(outer)
    gap = 2 * math.pi * unit
    # The nearest sample is off sideways by a few spacings s: sqrt(gap^2 + s^2).
    spacing = 15.0 * roll.sides[0] / COUNT
    assert nearest.min() >= gap * (1 - ROUNDING * high)
    assert nearest.max() <= math.hypot(gap, spacing)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 100), st.floats(0.01, 100), st.floats(0, 1000), st.floats(0.1, 10))
def test_mean_and_magnitude_of_a_roll_are_integrals_over_its_area(start, turns, height, radius):
    roll = SwissRoll(start, turns, height, radius)
    unit, low, high, tall = written_out(roll)
    nodes, weights = NODES
    t = low + (high - low) * (nodes + 1) / 2
    density = weights * t / (weights @ t)
    x, y = np.cos(t) + t * np.sin(t), np.sin(t) - t * np.cos(t)
    mean = unit * np.array([density @ x, density @ y, 0.0])
    np.testing.assert_allclose(roll.mean, mean, atol=1e-10 * radius)
    square = unit**2 * (density @ (x * x + y * y)) + tall**2 / 12
    assert roll.magnitude == pytest.approx(square, rel=1e-10)


# ---- ripples ------------------------------------------------------------------------------------

RIPPLES = [
    Ripple(2),
    Ripple(6, 2.0),
    Ripple(16),
    Ripple(64, 0.0, radius=0.5),
    Ripple(10, 0.3, "exponential", 2.5),
]


def test_the_ripple_in_the_plane_is_the_circle():
    ripple = Ripple(2, radius=2.0)
    assert ripple.length == pytest.approx(4 * math.pi, rel=1e-15)
    assert uniform_angle(angles_of(drawn(ripple)))
    np.testing.assert_allclose(ripple.kernel([0.0, 1.0, 3.0]), 4 * np.cos([0.0, 1.0, 3.0]))


@pytest.mark.parametrize("ripple", RIPPLES, ids=repr)
def test_a_ripple_lies_on_a_sphere_uniform_in_its_angle(ripple):
    x = drawn(ripple)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), ripple.radius, rtol=ROUNDING)
    assert uniform_angle(angles_of(x))
    for k, amplitude in enumerate(ripple.amplitudes):
        norms = np.linalg.norm(x[:, 2 * k : 2 * k + 2], axis=1)
        np.testing.assert_allclose(norms, amplitude, rtol=ROUNDING)


@pytest.mark.parametrize("ripple", RIPPLES, ids=repr)
def test_inner_products_are_the_kernel_of_the_angles_difference(ripple):
    x, y = drawn(ripple, 2000, seed=1), drawn(ripple, 2000, seed=2)
    difference = angles_of(x) - angles_of(y)
    m = ripple.amplitudes.size
    # Angles are read off the first harmonic, to rounding; the m-th has m times their error.
    np.testing.assert_allclose(
        (x * y).sum(axis=1), ripple.kernel(difference), atol=m * ROUNDING * ripple.magnitude
    )
    assert ripple.kernel(0.0)[0] == pytest.approx(ripple.magnitude, rel=1e-14)


@pytest.mark.parametrize("ripple", RIPPLES, ids=repr)
def test_harmonics_are_uncorrelated(ripple):
    x = drawn(ripple)
    variances = np.repeat(ripple.amplitudes**2 / 2, 2)
    spread = np.sqrt((x * x).T @ (x * x) / COUNT)  # root mean square of the products
    error = SIGMAS * spread / math.sqrt(COUNT)
    assert (np.abs(x.T @ x / COUNT - np.diag(variances)) <= error).all()


@pytest.mark.parametrize("ripple", RIPPLES, ids=repr)
def test_the_length_of_a_ripple_is_that_of_the_curve(ripple):
    x = drawn(ripple)
    angles = angles_of(x)
    order = np.argsort(angles)
    chords = np.linalg.norm(x[order] - x[np.roll(order, -1)], axis=1).sum()
    # A chord over an angle g is shorter than its arc by at most (m g)^2/24 of it.
    gaps = np.diff(angles[order], append=angles[order][0] + 2 * math.pi)
    short = (ripple.amplitudes.size * gaps.max()) ** 2 / 24
    assert ripple.length * (1 - short) * (1 - ROUNDING) <= chords <= ripple.length * (1 + 1e-3)
    assert short < 1e-2


def test_lengths_in_the_limits():
    m = 2**12
    flat = 2 * math.pi * math.sqrt((m + 1) * (2 * m + 1) / 6)
    assert Ripple(2 * m, 0.0).length == pytest.approx(flat, rel=1e-12)
    # Tails of sum k^-2 and of sum k^-4 beyond m: 1/m and 1/(3 m^3).
    most = 2 * math.pi * math.sqrt(special.zeta(2) / special.zeta(4))
    assert Ripple(2 * m, 2.0).length == pytest.approx(most, rel=1 / m)
    assert Ripple(2 * m, 2.0).length < most


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 100), st.floats(0, 100), st.sampled_from(["power", "exponential"]))
def test_amplitudes_follow_their_law(m, decay, law):
    ripple = Ripple(2 * m, decay, law, radius=2.0)
    a = ripple.amplitudes
    assert a @ a == pytest.approx(4.0, rel=1e-13)
    k = np.arange(1, m + 1)
    log_ratio = -decay * (np.log(k) if law == "power" else k - 1)
    np.testing.assert_allclose(a, a[0] * np.exp(log_ratio), rtol=1e-11, atol=1e-300)


def test_high_harmonics_keep_their_phase():
    m, count = 2**12, 1000
    z = drawn(Ripple(2 * m, 0.0, radius=math.sqrt(m)), count).reshape(count, m, 2) @ [1, 1j]
    for k in (1, 100, m // 4, m // 2):  # of the harmonics k and 2k: (e^ikt)^2 = e^2ikt
        np.testing.assert_allclose(z[:, 2 * k - 1], z[:, k - 1] ** 2, atol=3 * ROUNDING)
    # Angles of 24 bits would leave the m-th harmonic 2^12 places, so some 110 of these on others'.
    assert len(np.unique(z[:, -1])) > count - 10
