"""Superposition capacity: bounds against known sets of lines, sampling and brute force."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.theory.geometry import (
    asymptotic_bound,
    capacity,
    greedy_bound,
    welch_bound,
)

DIMENSIONS = st.integers(2, 10_000)
EPSILONS = st.floats(0.01, 0.99)


@pytest.mark.parametrize(
    ("d", "epsilon", "lines"),
    [(2, 0.5, 3), (3, 1 / 3, 4), (3, 5**-0.5, 6), (7, 1 / 3, 28), (23, 0.2, 276)],
)
def test_equiangular_lines_meet_welchs_bound(d, epsilon, lines):
    assert math.exp(welch_bound(d, epsilon)) == pytest.approx(lines, rel=1e-12)
    assert math.exp(capacity(d, epsilon).log_upper) == pytest.approx(lines, rel=1e-12)
    assert capacity(d, epsilon).log_lower <= math.log(lines)


def test_the_icosahedron_is_a_design_and_meets_order_two_as_well():
    golden = (1.0 + math.sqrt(5.0)) / 2.0
    lines = np.array([[0, 1, golden], [0, 1, -golden], [1, golden, 0], [1, -golden, 0],
                      [golden, 0, 1], [-golden, 0, 1]])  # fmt: skip
    lines = lines / np.linalg.norm(lines, axis=1, keepdims=True)
    cosines = np.abs(lines @ lines.T)[np.triu_indices(6, 1)]
    np.testing.assert_allclose(cosines, 5**-0.5, rtol=1e-13)
    assert math.exp(welch_bound(3, 5**-0.5, order=2)) == pytest.approx(6.0, rel=1e-12)


@pytest.mark.parametrize("angle", [0.3, 0.9, 1.2, 1.5])
def test_lines_in_the_plane(angle):
    # floor(pi / arccos(epsilon)) lines, exactly
    epsilon = math.cos(angle)
    exact, said = math.floor(math.pi / angle), capacity(2, epsilon)
    assert said.log_lower <= math.log(exact) <= said.log_upper


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0.3, 0.9))
def test_greedy_sets_lie_between(seed, d, epsilon):
    rng = np.random.default_rng(seed)
    chosen = np.empty((0, d))
    for _ in range(3000):
        v = rng.normal(size=d)
        v /= np.linalg.norm(v)
        if (np.abs(chosen @ v) <= epsilon).all():
            chosen = np.vstack([chosen, v])
    said = capacity(d, epsilon)
    assert math.log(len(chosen)) <= said.log_upper + 1e-12
    # 3000 trials see every gap larger than 1e-2 of the sphere
    assert len(chosen) >= (1.0 - 1e-2) * math.exp(said.log_greedy)


@settings(deadline=None)
@given(st.integers(2, 300), EPSILONS, st.integers(1, 6))
def test_higher_orders_by_arbitrary_precision(d, epsilon, order):
    with mp.workdps(30):
        mean = mp.fprod(mp.mpf(2 * j + 1) / (d + 2 * j) for j in range(order))
        power = mp.mpf(epsilon) ** (2 * order)
        want = float(mp.log((1 - power) / (mean - power))) if power < mean else math.inf
        # Welch's own mean, for complex vectors, is never the tighter one
        assert mean >= 1 / mp.binomial(d + order - 1, order) * (1 - mp.mpf(10) ** -25)
    said = welch_bound(d, epsilon, order)
    if math.isinf(want) or math.isinf(said):
        assert (math.isinf(want) and math.isinf(said)) or abs(float(power / mean) - 1.0) < 1e-12
    else:
        near = 1.0 / abs(float(1 - power / mean))
        assert said == pytest.approx(want, rel=1e-12, abs=1e-13 * near)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 200), st.floats(0.05, 0.95))
def test_best_order_by_brute_force(d, epsilon):
    said = capacity(d, epsilon)
    every = [welch_bound(d, epsilon, k) for k in range(1, 3 * said.order + 40)]
    assert said.log_upper == pytest.approx(min(every), rel=1e-12)


@settings(deadline=None)
@given(DIMENSIONS, EPSILONS)
def test_greedy_bound_by_arbitrary_precision_and_from_below(d, epsilon):
    said = greedy_bound(d, epsilon)
    if d <= 300:
        with mp.workdps(40):
            x = (1 - mp.mpf(epsilon)) * (1 + mp.mpf(epsilon))
            outside = mp.betainc(mp.mpf(d - 1) / 2, 0.5, 0, x, regularized=True)
            assert said == pytest.approx(float(-mp.log(outside)), rel=1e-10, abs=1e-13)
    assert said >= -0.5 * (d - 1) * math.log1p(-(epsilon**2)) * (1.0 - 1e-12)
    assert said >= 0.5 * (d - 1) * epsilon**2 * (1.0 - 1e-12)


def test_greedy_bound_beyond_the_range_of_floats():
    with mp.workdps(30):
        x = (1 - mp.mpf(0.9)) * (1 + mp.mpf(0.9))
        outside = mp.betainc(mp.mpf(4095) / 2, 0.5, 0, x, regularized=True)
    assert greedy_bound(4096, 0.9) == pytest.approx(float(-mp.log(outside)), rel=1e-12)


def test_greedy_bound_by_sampling():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200_000, 6))
    cosine = np.abs(x[:, 0]) / np.linalg.norm(x, axis=1)
    share = (cosine > 0.6).mean()
    assert math.exp(-greedy_bound(6, 0.6)) == pytest.approx(
        share, abs=4.0 * math.sqrt(share / len(x))
    )


@settings(deadline=None)
@given(DIMENSIONS, EPSILONS)
def test_bounds_are_in_order(d, epsilon):
    said = capacity(d, epsilon)
    assert said.log_lower <= said.log_upper * (1.0 + 1e-12)
    assert said.log_reading <= said.log_upper
    assert said.log_upper <= said.log_welch
    assert math.isinf(said.log_welch) == (d * epsilon**2 >= 1.0) or abs(d * epsilon**2 - 1) < 1e-12


@pytest.mark.parametrize("epsilon", [1e-4, 0.01, 0.1])
def test_asymptotic_exponent(epsilon):
    small = epsilon**2 / 4.0 * (1.0 + math.log(4.0 / epsilon**2))
    # next order: epsilon^4 with a logarithm
    assert asymptotic_bound(epsilon) == pytest.approx(small, rel=2.0 * epsilon**2)
    # in the limit it lies between the greedy bound and the best Welch bound
    d = 10**9
    upper = capacity(d, epsilon).log_upper / d if epsilon > 1e-3 else math.inf
    assert greedy_bound(d, epsilon) / d < asymptotic_bound(epsilon) < upper


def test_asymptotic_exponent_is_no_bound_at_small_dimensions():
    said = capacity(23, 0.2)  # 276 lines
    assert said.asymptotic < math.log(276) <= said.log_upper * (1.0 + 1e-12)


def test_the_numbers_quoted_for_a_residual_stream():
    # d = 4096: exp(d epsilon^2/2) is what is sure to fit, and Welch's bound is silent
    tenth, twentieth = capacity(4096, 0.1), capacity(4096, 0.05)
    assert math.isinf(tenth.log_welch)
    assert math.isinf(twentieth.log_welch)
    assert tenth.log_reading < tenth.log_greedy < tenth.log_upper
    # at 0.05 it is exp(5.12) = 167, less than the 4096 orthogonal directions
    assert math.exp(twentieth.log_reading) < 168 < math.exp(twentieth.log_lower)
    assert math.exp(twentieth.log_lower) == pytest.approx(4096, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: capacity(1, 0.1), ["dimension", "[2, 1000000000]", "1"]),
        (lambda: capacity(3, 1.0), ["epsilon", "(0, 1)", "1.0"]),
        (lambda: welch_bound(3, 0.1, 0), ["order", "0"]),
        (lambda: greedy_bound(3, 0.0), ["epsilon", "(0, 1)"]),
        (lambda: asymptotic_bound(math.nan), ["epsilon", "nan"]),
    ],
)
def test_refusals(call, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)
