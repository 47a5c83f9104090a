"""Symmetric tilings of the circle: exact, best, and on their law."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize

import scaling_theory as sth
from scaling_theory.theory.geometry import (
    basis_loss,
    circle_curve,
    circle_ideal,
    circle_law,
    circle_sae_loss,
    circle_tiling,
    circle_tiling_at,
    covering_bounds,
    sphere_floor,
)
from scaling_theory.theory.geometry._ripple import means, ripple

L1 = st.floats(0.01, 1.9)
FEW = st.integers(1, 40)
THRESHOLDS = st.floats(-0.999, 0.999)


def sae(n, threshold, gain):
    angle = 2.0 * np.pi * np.arange(n) / n
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return gain * around, np.full(n, -gain * threshold), around, np.zeros(2)


def grid_error(n, gain, points):
    """Midpoint rule: a kink of the slope by J costs at most J h^2/8, and there are 2 n of them.

    J = gain (2 |x - xhat| + l1), and both are below 2.
    """
    return 2 * n * 6.0 * gain * (2.0 * np.pi / points) ** 2 / (8.0 * 2.0 * np.pi) + 1e-13


# ---- the closed form ---------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(FEW, THRESHOLDS, L1)
def test_loss_is_that_of_the_sae_point_by_point(n, threshold, l1):
    said = circle_tiling_at(n, threshold, l1)
    points = 2**14
    slow = circle_sae_loss(*sae(n, threshold, said.gain), l1, points)
    assert said.loss == pytest.approx(slow, abs=grid_error(n, said.gain, points))
    assert said.loss - said.excess == pytest.approx(sphere_floor(l1), abs=1e-14)
    assert said.overlap == pytest.approx(n * math.acos(threshold) / math.pi, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(FEW, THRESHOLDS, L1, st.floats(0.5, 1.5))
def test_no_other_gain_is_better(n, threshold, l1, factor):
    said = circle_tiling_at(n, threshold, l1)
    points = 2**13
    other = circle_sae_loss(*sae(n, threshold, factor * said.gain), l1, points)
    assert said.loss <= other + grid_error(n, factor * said.gain, points)


@pytest.mark.parametrize("l1", [1e-8, 1e-4, 1.99, 1.9999999])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 50, 10**4, 10**6])
def test_extreme_penalties(n, l1):
    said = circle_tiling(n, l1)
    narrow = np.cos(np.geomspace(1e-4, math.pi, 400)[:-1])
    assert said.excess <= min(circle_tiling_at(n, t, l1).excess for t in narrow) + 1e-15
    assert circle_ideal(n, l1).excess <= said.excess * (1.0 + 1e-6) + 1e-16
    assert covering_bounds(n, 2, l1).lower_excess <= circle_ideal(n, l1).excess * (1.0 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), THRESHOLDS, L1)
def test_no_other_threshold_is_better(n, threshold, l1):
    assert circle_tiling(n, l1).excess <= circle_tiling_at(n, threshold, l1).excess + 1e-15


@pytest.mark.parametrize("n", [9, 33, 257])
def test_search_misses_no_minimum(n):
    scan = [circle_tiling_at(n, t).excess for t in np.cos(np.linspace(1e-3, 3.14, 3000))]
    assert circle_tiling(n).excess <= min(scan)


@pytest.mark.parametrize(("n", "l1"), [(3, 0.1), (5, 0.1), (6, 0.6), (10, 0.1)])
def test_search_against_brute_force(n, l1):
    # threshold and gain by Nelder-Mead on the sampled loss, from many starts: no closed form
    points = 2**12
    found = min(
        minimize(
            lambda v: circle_sae_loss(*sae(n, v[0], v[1]), l1, points),
            [threshold, 1.0 / (1.1 - threshold)],
            method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-12},
        ).fun
        for threshold in (-0.7, 0.0, 0.4, 0.7)
    )
    assert circle_tiling(n, l1).loss == pytest.approx(found, abs=grid_error(n, 5.0, points))


@pytest.mark.parametrize(("n", "half_width"), [(3, 1.2), (7, 0.8), (64, 0.2), (1024, 0.03)])
def test_ripple_by_its_fourier_series(n, half_width):
    # E|y|^2 = n^2 sum over all whole m of k(n m + 1)^2, k the Fourier coefficients of the kernel
    last = 4000
    with mp.workdps(40):
        a = mp.mpf(half_width)

        def coefficient(p):
            return (mp.sin(p * a) * mp.cos(a) / p - mp.cos(p * a) * mp.sin(a)) / (
                mp.pi * (p * p - 1)
            )

        total = sum(
            (n * coefficient(mp.mpf(n * m + s))) ** 2 for m in range(1, last + 1) for s in (-1, 1)
        )
    said = float(ripple(np.array([float(n)]), np.array([half_width]))[0])
    # the terms left out are at most 2 n^2 (sin(a)/(pi (n m)^2))^2 (1 + 1/n..)^4 each
    left = 2.0 * math.sin(half_width) ** 2 / (math.pi**2 * n**2) / (3.0 * last**3)
    assert 0.0 <= said - float(total) + 1e-14 * said <= 1.1 * left + 2e-14 * said


def row_sums(n, half_width):
    """E|y - A x|^2 from the sums of rows, with all their cancellation."""
    h, a = 2 * mp.pi / n, mp.mpf(half_width)
    mean = (a - mp.sin(a) * mp.cos(a)) / h
    first, total = mp.floor(n * a / mp.pi), mp.mpf(0)
    for p in (first, first + 1):
        s1, s2 = mp.sin(p * h / 2) / mp.sin(h / 2), mp.sin(p * h) / mp.sin(h)
        along = (p + s2) / 2 - mean, mp.cos(a) * s1
        across = (p - s2) / 2 - mean
        total += mp.quad(
            lambda f, along=along, across=across: (
                (along[0] * mp.cos(f) - along[1]) ** 2 + (across * mp.sin(f)) ** 2
            ),
            [0, h / 2 - abs(a - p * h / 2)],
        )
    return total * 2 / h


@pytest.mark.parametrize(("n", "q"), [(64, 4.5), (1024, 8.2), (10**6, 79.5)])
def test_ripple_keeps_its_digits_where_it_is_tiny(n, q):
    a = float(np.pi * q / n)
    said = float(ripple(np.array([float(n)]), np.array([a]))[0])
    with mp.workdps(50):
        assert said == pytest.approx(float(row_sums(n, a)), rel=1e-12)


@pytest.mark.parametrize("half_width", [1e-3, 0.3, 1.7, 3.1])
def test_means_by_quadrature(half_width):
    mean, lost = means(np.array([7.0]), np.array([half_width]))
    kernel = lambda s: math.cos(s) - math.cos(half_width)  # noqa: E731
    for said, weight in ((mean, math.cos), (lost, lambda s: 1.0 - math.cos(s))):
        want = quad(lambda s, w=weight: kernel(s) * w(s), 0.0, half_width, epsrel=1e-10)[0]
        scale = 7.0 / math.pi
        # cancellation in the plain integrand, not in ours
        assert said[0] == pytest.approx(scale * want, rel=1e-9, abs=1e-16 * half_width)


# ---- special cases ------------------------------------------------------------------------------


@pytest.mark.parametrize("l1", [0.1, 0.8])
def test_one_latent_shrinks_what_it_sees(l1):
    said = circle_tiling(1, l1)
    explained = quad(lambda s: max(math.cos(s) - l1 / 2, 0.0) ** 2, 0.0, math.acos(l1 / 2))[0]
    assert said.loss == pytest.approx(1.0 - explained / math.pi, rel=1e-9)
    assert said.threshold == pytest.approx(l1 / 2, abs=1e-6)
    assert said.gain == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("l1", [0.05, 0.1, 0.5])
def test_four_latents_are_the_basis_solution(l1):
    assert circle_tiling(4, l1).loss == pytest.approx(basis_loss(2, l1), rel=1e-13)


def test_heavy_penalty_leaves_little_to_win():
    for n in (1, 3, 50):
        said = circle_tiling(n, 1.999)
        assert sphere_floor(1.999) <= said.loss <= 1.0


# ---- many latents -----------------------------------------------------------------------------


@pytest.mark.parametrize("l1", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("n", [10**3, 1024, 10**4, 10**5, 123_456, 10**6, 10**8])
def test_law_and_its_next_orders(n, l1):
    said, law, m = circle_tiling(n, l1), circle_law(l1), 1.0 - l1 / 2.0
    q, a = said.overlap, said.half_width
    assert n * a / math.pi == pytest.approx(q, rel=1e-14)
    # the overlap is next to a whole number and a half: tan(n a) = n a, and the slope of the arc
    assert abs(q % 1.0 - 0.5) < 0.3 / q
    # with the actual width: relative errors of order 1/q^2 (finite row) and a^2 (curvature)
    y = n * a
    width, rippled = l1 * m * y**2 / (10.0 * n**2), m**2 * math.pi**4 / (80.0 * y**4)
    assert said.excess == pytest.approx(width + rippled, rel=1.0 / q**2 + 6.0 * a**2)
    # with the best width: half a step of the overlap costs 1/q^2
    above = said.excess / law.excess(n)[0] - 1.0
    assert -0.2 / q**2 <= above <= 1.2 / q**2 + 6.0 * a**2
    assert abs(q / law.overlap(n)[0] - 1.0) < 0.5 / q + 1.0 / q**2


def test_published_numbers_at_l1_of_a_tenth():
    excess = {n: circle_tiling(n).excess for n in (64, 1024, 10**6)}
    assert excess[1024] == pytest.approx(8.6e-6, abs=0.05e-6)
    # 4/3 and what the 1/q^2 of the law adds between these n
    slope = math.log(excess[64] / excess[1024]) / math.log(16.0)
    assert slope == pytest.approx(4.0 / 3.0, abs=math.log(1.0 + 1.6 / 3.468**2) / math.log(16.0))
    assert math.log(excess[1024] / excess[10**6]) / math.log(10**6 / 1024) == pytest.approx(
        4.0 / 3.0, abs=1.2 / 7.485**2 / math.log(10**6 / 1024)
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 10**6), L1)
def test_bounds_from_below(n, l1):
    tiling, ideal = circle_tiling(n, l1), circle_ideal(n, l1)
    assert covering_bounds(n, 2, l1).lower_excess <= ideal.excess * (1.0 + 1e-12)
    assert ideal.excess <= tiling.excess * (1.0 + 1e-9)


def test_curve_is_the_tilings_one_by_one():
    curve = circle_curve(most=300)
    assert isinstance(curve, sth.TabulatedCurve)
    assert curve.losses[0] == 1.0
    for n in (1, 2, 3, 8, 9, 77, 255, 256, 257, 300):
        assert curve.losses[n] == pytest.approx(circle_tiling(n).loss, rel=1e-13)
    assert (np.diff(curve.losses) < 0.0).all()
    assert (curve.tail_exponent, curve.limit) == (4.0 / 3.0, sphere_floor(0.1))
    beyond = curve.excess(np.array([600.0]))[0]
    wobble = 1.2 / circle_tiling(300).overlap ** 2 + 0.01
    assert beyond == pytest.approx(circle_tiling(600).excess, rel=wobble)


def test_circles_among_discrete_features_are_benign():
    # excess n^(-4/3): beta = 4/3 is above the alpha of any published frequency law
    curve = circle_curve(most=64)
    population = sth.Population(sth.PowerLawFrequencies(0.5), curve)
    said = sth.predict(population=population)
    assert said.regime == "benign"
    assert said.discovered(10**6)[0] == pytest.approx(
        sth.allocate(population, 10**6).discovered, rel=1e-3
    )


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: circle_tiling(0), ["n", "[1, 1000000000]", "0"]),
        (lambda: circle_tiling(3, 2.0), ["l1", "(0, 2)", "2.0"]),
        (lambda: circle_tiling_at(3, 1.0), ["threshold", "[-1, 1)", "1.0"]),
        (lambda: circle_curve(most=0), ["most", "[1, 8192]", "0"]),
        (lambda: circle_curve(l1=0.0), ["l1", "(0, 2)", "0.0"]),
        (lambda: circle_law(-1.0), ["l1", "(0, 2)"]),
        (lambda: circle_law().excess([0.5]), ["n", "at least 1", "0.5"]),
    ],
)
def test_refusals(call, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)
