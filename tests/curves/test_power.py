"""Power-law curves: accurate gains, exact counts, the convexity rule."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.testing import numbers

# Around n + shift = 64 (4 + beta) the gain changes from a difference to a series.
COUNTS = [1, 3, 255, *range(256, 301, 4), 10**6, 3 * 10**11, 3 * 10**14]


def exact_gain(n, beta, shift):
    y = mp.mpf(n) - 1 + mp.mpf(shift)
    return y ** -mp.mpf(beta) - (y + 1) ** -mp.mpf(beta)


@pytest.mark.parametrize("shift", [1.0, 0.3, 12.5, 0.0])
@pytest.mark.parametrize("beta", [0.05, 0.1, 0.5, 1.0, 2.0, 7.0])
def test_gains_to_fourteen_digits(beta, shift):
    at_zero = 2.0 if shift == 0.0 else None  # convex from 0 on
    curve = sth.PowerLawCurve(beta, shift=shift, at_zero=at_zero)
    n = np.array([k for k in COUNTS if k > 1 or shift > 0.0])
    with mp.workdps(60):
        want = np.array([float(exact_gain(int(k), beta, shift)) for k in n])
    np.testing.assert_allclose(curve.gain(n), want, rtol=1e-14)


def test_the_difference_as_written_loses_17_percent_at_3e14():
    n = 3e14
    gain = sth.PowerLawCurve(0.1).gain(n)[0]
    as_written = n**-0.1 - (n + 1.0) ** -0.1
    with mp.workdps(60):
        exact = float(exact_gain(3 * 10**14, 0.1, 1.0))
    assert gain == pytest.approx(exact, rel=1e-14)
    assert as_written / exact - 1.0 == pytest.approx(0.17, abs=0.005)


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_gains_sum_to_the_loss(beta):
    curve = sth.PowerLawCurve(beta, scale=3.0, floor=0.2)
    n = np.arange(1, 2001)
    assert curve.loss(0)[0] == pytest.approx(3.2, rel=1e-15)
    np.testing.assert_allclose(
        curve.loss(n), 3.2 - np.cumsum(curve.gain(n)), rtol=2000 * 1.2e-16 * 3.2
    )


@pytest.mark.parametrize("shift", [1.0, 0.3, 12.5])
@pytest.mark.parametrize("beta", [0.05, 0.5, 1.0, 7.0])
def test_counts_invert_gains_exactly(beta, shift):
    curve = sth.PowerLawCurve(beta, scale=0.7, shift=shift)
    n = np.unique([*COUNTS, 2, 10, 10**9, 10**12, *(2**k for k in range(3, 45, 3))])
    gain = curve.gain(n)
    n, gain = n[gain > 1e-300], gain[gain > 1e-300]
    for at in (gain, np.nextafter(gain, 0.0), np.nextafter(gain, 9.0)):
        k = curve.latents_for_gain(at)
        taken = curve.gain(np.maximum(k, 1)) >= at
        assert (taken | (k == 0)).all()
        assert (curve.gain(k + 1) < at).all()
    # at the gain itself: n, unless the next gains are the same float
    far = curve.latents_for_gain(gain)
    assert (far >= n).all()
    assert (curve.gain(far) == gain).all()
    assert (far[n < 10**6] == n[n < 10**6]).all()


@settings(deadline=None, max_examples=200)
@given(numbers(0.05, 5.0), numbers(0.01, 100.0), numbers(0.05, 300.0), numbers(1e-12, 1.0))
def test_counts_satisfy_the_predicate(beta, scale, shift, part):
    curve = sth.PowerLawCurve(beta, scale=scale, shift=shift)
    at = part * curve.gain(1)[0]
    if at < 1e-280:
        return  # no gain there is told from zero
    k = int(curve.latents_for_gain(at)[0])
    assert k >= 1
    assert curve.gain(k)[0] >= at
    assert curve.gain(k + 1)[0] < at


@pytest.mark.parametrize("shift", [1e3, 1e6, 1e12])
def test_nothing_is_worth_more_than_the_first_gain(shift):
    curve = sth.PowerLawCurve(1.0, shift=shift)
    first = curve.gain(1)[0]
    gains = np.append(first * np.geomspace(1.001, 1e6, 40), np.nextafter(first, 1.0))
    assert (curve.latents_for_gain(gains) == 0).all()
    assert curve.latents_for_gain(first)[0] >= 1


# ---- shift = 0 -----------------------------------------------------------------------------


def test_at_zero_is_the_loss_at_one_unless_stated():
    curve = sth.PowerLawCurve(0.5, scale=2.0, floor=0.1, shift=0.0)
    assert curve.loss([0, 1]).tolist() == [2.1, 2.1]
    assert curve.gain(1)[0] == 0.0
    assert not curve.convex
    stated = sth.PowerLawCurve(0.5, scale=2.0, floor=0.1, shift=0.0, at_zero=9.0)
    assert stated.loss([0, 1]).tolist() == [9.0, 2.1]


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("floor", [0.0, 0.2])
@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0, 3.0])
def test_convex_if_and_only_if_l0_lies_high_enough(beta, floor, scale):
    edge = floor + scale * (2.0 - 2.0**-beta)

    def curve(at_zero):
        return sth.PowerLawCurve(beta, scale=scale, floor=floor, shift=0.0, at_zero=at_zero)

    for at_zero, convex in ((edge * (1 + 1e-9), True), (edge * (1 - 1e-9), False)):
        found = curve(at_zero)
        assert found.convex is convex
        losses = found.loss(np.arange(0, 40))
        assert (np.diff(losses, 2) >= 0.0).all() == convex


@pytest.mark.parametrize("beta", [0.05, 0.1, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("scale", [1.0, 0.375, 0.1])
def test_gains_at_the_edge_of_convexity_are_in_order(beta, scale):
    # The first two gains are equal there: rounding must not put the second before the first.
    curve = sth.PowerLawCurve(beta, scale=scale, shift=0.0, at_zero=scale * (2.0 - 2.0**-beta))
    gains = curve.envelope_gain(np.arange(1.0, 9.0))
    assert (np.diff(gains) <= 0.0).all()
    assert gains[0] == pytest.approx(gains[1], rel=1e-14)
    population = sth.Population(sth.EmpiricalFrequencies([1.0, 0.7]), curve)
    assert [sth.allocate(population, n).total for n in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("beta", "length"), [(1.0, 2), (0.1, 3), (0.9, 2), (50.0, 2)])
def test_length_of_the_first_piece_of_the_envelope(beta, length):
    curve = sth.PowerLawCurve(beta, shift=0.0)
    before, after = curve.segment(np.arange(1.0, 6.0))
    assert after[:length].tolist() == [length] * length
    assert before[:length].tolist() == [0.0] * length
    assert after[length:].tolist() == list(range(length + 1, 6))
    chord = (curve.loss(0) - curve.loss(length))[0] / length
    np.testing.assert_allclose(curve.envelope_gain(np.arange(1.0, length + 1)), chord, rtol=1e-15)


def test_limit_and_tail():
    curve = sth.PowerLawCurve(0.3, scale=2.0, floor=0.1)
    assert curve.limit == 0.1
    assert curve.tail_exponent == 0.3
    assert curve.power_tail == (2.0, 0.3, 1.0)
    assert sth.PowerLawCurve(np.array([0.3, 0.4])).power_tail is None


# ---- real numbers of latents -----------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(
    numbers(0.05, 4.0),
    numbers(0.1, 3.0),
    st.one_of(st.just(0.0), numbers(0.2, 30.0)),
    numbers(0, 1),
)
def test_continuous_latents_minimise(beta, scale, shift, part):
    curve = sth.PowerLawCurve(beta, scale=scale, shift=shift)
    start = max(shift, 1.0)
    slope = np.array([scale * beta * start ** -(1.0 + beta) * 10.0 ** (1.0 - 6.0 * part)])
    n = curve.continuous_latents(slope)[0]

    def cost(x):
        return curve.continuous_excess(np.atleast_1d(np.float64(x)))[0] + slope[0] * x

    grid = np.concatenate([np.linspace(0.0, 5.0, 41), n * np.geomspace(0.5, 2.0, 41)])
    best = cost(n)
    assert all(best <= cost(x) * (1.0 + 1e-14) for x in grid)
