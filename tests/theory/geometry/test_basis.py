"""The basis solution: closed form, Monte Carlo, brute force, and its straight line."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize

import scaling_theory as sth
from scaling_theory.theory.geometry import basis_curve, basis_loss, shell_floor, sphere_floor

DIMENSIONS = st.integers(2, 40)
L1 = st.just(0.0) | st.floats(1e-6, 3.0)
RADII = st.tuples(st.floats(0.0, 3.0), st.floats(0.05, 3.0)).map(lambda r: (r[0], r[0] + r[1]))
LAWS = st.sampled_from(["radius", "volume"])


def huber(x, l1):
    return np.where(np.abs(x) < l1 / 2.0, x * x, l1 * np.abs(x) - l1 * l1 / 4.0)


def by_quadrature(d, l1, radius):
    """The definition: d times the mean of phi(r cos t) with density sin(t)^(d-2)."""
    cut = math.acos(min(l1 / (2.0 * radius), 1.0))
    edges = [0.0, cut, math.pi / 2.0]
    total = mass = 0.0
    for low, high in pairwise(edges):
        total += quad(
            lambda t: float(huber(radius * math.cos(t), l1)) * math.sin(t) ** (d - 2), low, high
        )[0]
        mass += quad(lambda t: math.sin(t) ** (d - 2), low, high)[0]
    return d * total / mass


@settings(max_examples=40, deadline=None)
@given(DIMENSIONS, L1, st.floats(0.05, 5.0))
def test_spheres_by_quadrature(d, l1, radius):
    want = by_quadrature(d, l1, radius)
    assert basis_loss(d, l1, radius, radius) == pytest.approx(want, rel=1e-7, abs=1e-9)


@settings(deadline=None)
@given(L1, st.floats(0.05, 5.0))
def test_spheres_in_two_and_three_dimensions(l1, r):
    tau = l1 / (2.0 * r)
    if tau >= 1.0:
        two = three = r * r
    else:
        t = math.acos(tau)
        two = l1 * r * math.sin(t) - l1**2 * t / 4.0
        two = 2.0 * (two + r * r * ((math.pi / 2.0 - t) / 2.0 - math.sin(2.0 * t) / 4.0))
        two *= 2.0 / math.pi
        three = 3.0 * (l1 * r / 2.0 - l1**2 / 4.0 + l1**3 / (24.0 * r))
    assert basis_loss(2, l1, r, r) == pytest.approx(two, rel=1e-12, abs=1e-13)
    assert basis_loss(3, l1, r, r) == pytest.approx(three, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize(("d", "loss"), [(2, 0.1542), (3, 0.1801), (4, 0.2024), (6, 0.2400)])
def test_shells_of_michaud_et_al(d, loss):
    assert basis_loss(d, 0.1, 0.5, 2.0) == pytest.approx(loss, abs=0.00005)


@pytest.mark.parametrize("law", ["radius", "volume"])
@pytest.mark.parametrize(("d", "l1"), [(1, 0.3), (2, 0.1), (3, 2.0), (6, 0.1)])
def test_shells_by_sampling(d, l1, law):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(200_000, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    u = rng.uniform(size=(len(x), 1))
    low, high = 0.5, 2.0
    x *= low + (high - low) * u if law == "radius" else (low**d + (high**d - low**d) * u) ** (1 / d)
    sample = huber(x, l1).sum(axis=1)
    error = sample.std() / math.sqrt(len(x))
    assert basis_loss(d, l1, low, high, law) == pytest.approx(sample.mean(), abs=4.0 * error)


@settings(max_examples=25, deadline=None)
@given(DIMENSIONS, L1, RADII, LAWS)
def test_shells_are_means_of_spheres(d, l1, radii, law):
    low, high = radii
    power = d - 1 if law == "volume" else 0
    kink = [l1 / 2.0] if low < l1 / 2.0 < high else None
    weight = lambda r: (r / high) ** power  # noqa: E731
    total = quad(
        lambda r: weight(r) * (basis_loss(d, l1, r, r) if r > 0 else 0.0),
        low, high, points=kink, epsrel=1e-8, limit=200,
    )[0]  # fmt: skip
    mass = quad(weight, low, high, points=kink, epsrel=1e-10, limit=200)[0]
    assert basis_loss(d, l1, low, high, law) == pytest.approx(total / mass, rel=1e-6)


@settings(deadline=None)
@given(DIMENSIONS, L1, st.floats(0.05, 20.0), RADII, LAWS)
def test_only_the_ratio_of_penalty_and_radius_matters(d, l1, factor, radii, law):
    low, high = radii
    scaled = basis_loss(d, l1 * factor, low * factor, high * factor, law)
    assert scaled == pytest.approx(factor**2 * basis_loss(d, l1, low, high, law), rel=1e-9)


@settings(deadline=None)
@given(DIMENSIONS, L1, RADII, LAWS)
def test_bounds(d, l1, radii, law):
    floor, loss = shell_floor(d, l1, *radii, law), basis_loss(d, l1, *radii, law)
    silent = basis_curve(d, l1, *radii, law).losses[0]
    assert floor * (1.0 - 1e-12) <= loss <= silent * (1.0 + 1e-12)
    low, high = (sphere_floor(l1, r) if r > 0.0 else 0.0 for r in radii)
    assert low * (1.0 - 1e-12) <= floor <= high * (1.0 + 1e-12)


def test_no_other_threshold_or_gain_is_better():
    # brute force over the encoder of one coordinate, radius even in 0.5..2, d = 3
    rng = np.random.default_rng(3)
    x = rng.uniform(0.0, 1.0, 20_000) * rng.uniform(0.5, 2.0, 20_000)

    def cost(v):
        f = v[0] * np.maximum(x - v[1], 0.0)
        return ((x - f) ** 2 + 0.4 * f).mean()

    found = minimize(
        cost, [0.7, 0.5], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14}
    )
    np.testing.assert_allclose(found.x, [1.0, 0.2], atol=1e-5)
    assert cost([1.0, 0.2]) == pytest.approx(huber(x, 0.4).mean(), rel=1e-13)
    assert found.fun >= cost([1.0, 0.2]) - 1e-15


# ---- the curve --------------------------------------------------------------------------------


def test_curve_point_by_point():
    # an SAE that has only some of the 2 d latents, on a sample
    d, l1 = 3, 0.5
    rng = np.random.default_rng(11)
    x = rng.normal(size=(100_000, d))
    x *= rng.uniform(0.5, 2.0, (len(x), 1)) / np.linalg.norm(x, axis=1, keepdims=True)
    around = np.concatenate([np.eye(d), -np.eye(d)])
    curve = basis_curve(d, l1, 0.5, 2.0)
    for n in range(2 * d + 1):
        f = np.maximum(x @ around[:n].T - l1 / 2.0, 0.0)
        sample = ((x - f @ around[:n]) ** 2).sum(axis=1) + l1 * f.sum(axis=1)
        error = sample.std() / math.sqrt(len(x))
        assert curve.losses[n] == pytest.approx(sample.mean(), abs=4.0 * error)


@settings(max_examples=30, deadline=None)
@given(DIMENSIONS, st.floats(0.01, 1.0), RADII, LAWS)
def test_curve_is_the_plateau_curve_of_the_same_magnitude(d, l1, radii, law):
    curve = basis_curve(d, l1, *radii, law)
    start, end = curve.losses[0], basis_loss(d, l1, *radii, law)
    n = np.arange(2.0 * d + 3.0)
    plateau = sth.PlateauCurve(d, floor=min(end / start, 1.0 - 1e-16))
    np.testing.assert_allclose(
        curve.excess(n), start * plateau.excess(n), rtol=1e-9, atol=1e-14 * start
    )
    assert curve.tail_exponent == np.inf


def test_curve_can_be_allocated():
    curve = basis_curve(2, 0.1, 0.5, 2.0)
    population = sth.Population(sth.PowerLawFrequencies(0.5), curve)
    # four latents a feature, or none: each gains the same
    assert 1.0 / sth.predict(population=population).discovery_constant == pytest.approx(4.0)


def test_high_dimensions_are_silent():
    # every coordinate is below l1/2: nothing fires
    assert basis_loss(10**6, 0.1) == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(ValueError, match=r"dimension .*\[1, 100000\].*1000000"):
        basis_curve(10**6, 0.1)


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: basis_loss(0), ["dimension", "0"]),
        (lambda: basis_loss(2, -0.1), ["l1", "-0.1"]),
        (lambda: basis_loss(2, 0.1, 2.0, 1.0), ["low", "[0, 1]", "2.0"]),
        (lambda: basis_loss(2, 0.1, 0.0, 0.0), ["high", "greater than 0", "0.0"]),
        (lambda: basis_curve(2, 0.1, 0.5, 2.0, "area"), ["law", "'radius' or 'volume'", "'area'"]),
        (lambda: shell_floor(2, 0.1, -1.0, 2.0), ["low", "-1.0"]),
    ],
)
def test_refusals(call, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)
