"""Sums of powers against the Hurwitz zeta function of mpmath and against direct sums."""

import mpmath as mp
import numpy as np
import pytest

from scaling_theory._sums import power_sum_after, regular_power_sum_after, relative_expm1

EXPONENTS = [0.1, 0.5, 1.0, 1.0 + 1e-7, 1.5, 3.5]
OFFSETS = [0.0, -0.9, 2.7, 1e6]
AFTER = [0, 1, 4, 31, 32, 33, 44, 500, 10**4, 10**9, 10**15 - 40]
# x^(1-s) is a power of numbers up to 1e15: half a unit in the last place, times ln 1e15 = 35.
ROUNDING = 4e-15


def reference(after, s, offset, count):
    """To 40 digits, so that differences of zetas keep more than 20."""
    s, a = mp.mpf(s), mp.mpf(offset)
    if count is None:
        return mp.zeta(s, after + 1 + a)
    if count - after <= 60:
        return mp.fsum((i + a) ** -s for i in range(after + 1, count + 1))
    if s == 1:
        return mp.digamma(count + 1 + a) - mp.digamma(after + 1 + a)
    return mp.zeta(s, after + 1 + a) - mp.zeta(s, count + 1 + a)


def cases(*counts):
    """(s, count) wherever the sum exists."""
    return [(s, k) for s in EXPONENTS for k in counts if k is not None or s > 1.0]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("s", "count"), cases(None, 1, 40, 1000, 10**6, 10**15))
def test_against_hurwitz_zeta(s, count, offset):
    after = [k for k in AFTER if count is None or k < count]
    got = power_sum_after(np.array(after, dtype=float), s, offset, count)
    with mp.workdps(40):
        error = [
            float(abs(g / reference(k, s, offset, count) - 1))
            for k, g in zip(after, got, strict=True)
        ]
    assert max(error) < ROUNDING


@pytest.mark.parametrize(("s", "count"), cases(None, 300))
def test_positive_falling_and_telescoping(s, count):
    # Across the rank at which direct terms hand over to the Euler-Maclaurin formula.
    k = np.arange(0.0, 300.0)
    sums = power_sum_after(k, s, 0.25, count)
    terms = (k[1:] + 0.25) ** -s
    assert (sums > 0.0).all()
    assert (np.diff(sums) < 0.0).all()
    np.testing.assert_allclose(-np.diff(sums), terms, atol=ROUNDING * sums[0], rtol=0.0)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("s", [0.1, 0.5, 0.9])
def test_diverging_sums_are_continued_analytically(s, offset):
    after = np.array([0.0, 3.0, 100.0, 1e6])
    got = power_sum_after(after, s, offset, None)
    with mp.workdps(40):
        want = [reference(int(k), s, offset, None) for k in after]
    # of the size of the terms that were continued: the integral up to there
    size = (after + 40.0 + abs(offset)) ** (1.0 - s) / (1.0 - s)
    assert (np.abs(got - np.array(want, dtype=float)) <= ROUNDING * size).all()


@pytest.mark.parametrize("offset", [0.0, -0.9, 2.7, 50.5])
@pytest.mark.parametrize("after", [0, 7, 1000, 100_000])
@pytest.mark.parametrize("excess", [-0.9, -0.5, -1e-3, -1e-9, -1e-15, 0.0, 1e-12, 1e-6, 0.3, 2.5])
def test_sums_without_their_pole(after, offset, excess):
    got = regular_power_sum_after(after, excess, offset)
    with mp.workdps(60):
        a = after + 1 + mp.mpf(offset)
        if excess == 0.0:
            want = -mp.digamma(a)
        else:
            want = mp.zeta(1 + mp.mpf(excess), a) - 1 / mp.mpf(excess)
        # of the size of what is summed: up to where direct terms end, and the first of those
        x = max(a, mp.mpf(60))
        size = float(mp.log(x) * max(1, x ** -mp.mpf(excess)) + a ** -(1 + mp.mpf(excess)))
    assert got == pytest.approx(float(want), abs=1e-15 * (4.0 + size))


def test_relative_expm1():
    x = np.array([-700.0, -1.0, -1e-9, -5e-324, 0.0, 1e-300, 1e-9, 1.0])
    with mp.workdps(40):
        want = [1.0 if v == 0.0 else float(mp.expm1(mp.mpf(v)) / mp.mpf(v)) for v in x.tolist()]
    np.testing.assert_allclose(relative_expm1(x), want, rtol=3e-16)


def test_nothing_is_left_after_the_last_rank():
    assert power_sum_after(np.array([7.0, 10.0]), 1.5, 0.0, 7)[0] == 0.0
    assert power_sum_after(np.array([1e9]), 0.5, 0.0, 10**9)[0] == 0.0


def test_shape_is_kept():
    after = np.array([[0.0, 1.0], [2.0, 1e6]])
    got = power_sum_after(after, 1.5, 0.0, None)
    assert got.shape == after.shape
    assert got[1, 1] == power_sum_after(np.array([1e6]), 1.5, 0.0, None)[0]
