"""Sums, ratios of gamma functions, scores and draws, each against another way to get them."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling_theory.fitting.frequencies import _kernels, draw_tail, fit_tail
from scaling_theory.fitting.frequencies._model import Likelihood
from scaling_theory.fitting.frequencies._sample import Sample


@given(a=st.floats(1.001, 40.0), q=st.integers(1, 10**6))
@settings(max_examples=20, deadline=None)
def test_sum_without_end_is_the_hurwitz_zeta(a, q):
    total, slope = _kernels.power_sum(a, float(q), math.inf)
    with mpmath.workdps(40 + int(a * math.log10(q))):  # its precision is absolute
        scale = mpmath.mpf(q) ** mpmath.mpf(a)
        exact = mpmath.zeta(a, q) * scale
        change = mpmath.zeta(a, q, 1) * scale + mpmath.log(q) * exact
    assert total == pytest.approx(float(exact), rel=1e-13)
    assert slope == pytest.approx(float(change), rel=1e-11, abs=1e-300)


@given(
    a=st.one_of(st.floats(-4.0, 8.0), st.sampled_from([0.0, 1.0, 1.0 + 1e-9, -1.0, -2.0, 2.0])),
    q=st.integers(1, 200),
    terms=st.integers(0, 3000),
)
@example(a=1.0625, q=35, terms=0)  # the integral cancelled where (a - 1) ln(36/35) is small
@example(a=1.0625, q=120, terms=1)
@settings(max_examples=100, deadline=None)
def test_sum_with_an_end_is_the_sum(a, q, terms):
    x = np.arange(q, q + terms + 1)
    weights = (x / q) ** -a
    total, slope = _kernels.power_sum(a, float(q), float(x[-1]))
    exact = math.fsum(weights)
    assert total == pytest.approx(exact, rel=1e-12)
    change = -math.fsum(weights * np.log(x / q))
    assert slope == pytest.approx(change, rel=1e-10, abs=1e-12 * exact)


@given(a=st.floats(1.01, 6.0), log_x=st.floats(2.0, 20.0))
@settings(max_examples=50, deadline=None)
def test_ratio_of_gammas(a, log_x):
    x = float(math.floor(math.exp(log_x)))
    with mpmath.workdps(40):
        exact = mpmath.loggamma(mpmath.mpf(x) + 1 - mpmath.mpf(a)) - mpmath.loggamma(x)
    # differences of log-gammas are good to rounding of ln Gamma(5000) = 4e4
    assert _kernels.log_ratio(a, x) == pytest.approx(float(exact), abs=1e-10)


@pytest.mark.parametrize("k", [1, 2, 7, 40])
def test_poisson_weights_are_the_integral_over_rates(k):
    a = 1.7
    with mpmath.workdps(30):

        def joint(rate):
            return rate**-a * mpmath.exp(-rate) * rate**k / mpmath.factorial(k)

        exact = mpmath.quad(joint, [0, 1, k, 4 * k + 50, 400])
    weight = math.exp(_kernels.log_ratio(a, float(k)) - math.log(k))
    assert weight == pytest.approx(float(exact), rel=1e-8)


def test_poisson_weights_add_up():
    a, k = 2.3, np.arange(4.0, 20_000.0)
    weights = np.exp(_kernels.log_ratios(a, k)) / k
    first, last = np.exp(_kernels.log_ratios(a, np.array([4.0, 20_000.0])))
    assert weights.sum() == pytest.approx((first - last) / (a - 1.0), rel=1e-11)


@pytest.mark.parametrize(
    ("kind", "top"),
    [("continuous", math.inf), ("continuous", 60.0), ("discrete", math.inf), ("discrete", 60.0),
     ("poisson", math.inf)],
)  # fmt: skip
def test_score_is_the_slope_of_the_likelihood(kind, top):
    sample = Sample.of(np.array([4.0, 4.0, 5.0, 7.0, 8.0, 8.0, 30.0, 59.0]))
    likelihood = Likelihood(sample, kind, 1, 5.0, top)
    for a in (1.2, 2.0, 3.7):
        step = 1e-5
        change = (likelihood(a + step) - likelihood(a - step)) / (2.0 * step)
        assert likelihood.score(a) * 6 == pytest.approx(change, rel=1e-7, abs=1e-7)
    best = likelihood.exponent()
    assert abs(likelihood.score(best)) < 1e-12
    assert likelihood(best) > max(likelihood(best - 0.01), likelihood(best + 0.01))


@pytest.mark.parametrize(
    ("kind", "xmax"), [("discrete", None), ("discrete", 40), ("poisson", None)]
)
def test_draws_of_whole_numbers_have_their_probabilities(kind, xmax):
    law = fit_tail([3, 3, 4, 5, 5, 6, 9, 12, 30], kind=kind, xmin=3, xmax=xmax)
    size = 200_000
    drawn = draw_tail(law, size, np.random.default_rng(1))
    top = math.inf if xmax is None else float(xmax)
    code = {"discrete": 1, "poisson": 2}[kind]
    base = _kernels.log_mass(code, law.exponent, 3.0, 3.0, top)
    assert drawn.max() <= top
    for x in (4.0, 5.0, 17.0, 600.0, 5000.0):
        share = _kernels.survival(code, law.exponent, x, 3.0, top, base)
        error = math.sqrt(share * (1.0 - share) / size)
        assert abs(np.mean(drawn >= x) - share) <= 4.5 * error


def test_draws_beyond_the_table_are_found_by_bisection():
    law = fit_tail([1, 1, 2, 10, 1000, 10**6], kind="discrete", xmin=1)
    drawn = draw_tail(law, 20_000, np.random.default_rng(0))
    assert (drawn == np.floor(drawn)).all()
    for x in (513.0, 10_000.0, 1e7):
        share = float(mpmath.zeta(law.exponent, x) / mpmath.zeta(law.exponent, 1))
        assert abs(np.mean(drawn >= x) - share) < 4.5 * math.sqrt(share / 20_000)
