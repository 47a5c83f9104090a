"""Discrete features, basis solutions and exponentials: shapes, gains, counts."""

import math

import mpmath as mp
import numpy as np
import pytest

import scaling_theory as sth


def test_discrete():
    curve = sth.DiscreteCurve(0.1)
    assert curve.loss([0, 1, 2, 100]).tolist() == [1.0, 0.1, 0.1, 0.1]
    assert curve.gain([1, 2, 10**15]).tolist() == [0.9, 0.0, 0.0]
    assert curve.limit == 0.1
    assert curve.tail_exponent == math.inf
    assert curve.convex


@pytest.mark.parametrize("residual", [0.0, 0.1, 0.3, 0.9])
def test_a_discrete_feature_takes_one_latent_up_to_its_gain(residual):
    curve = sth.DiscreteCurve(residual)
    gain = curve.gain(1)[0]
    prices = [gain * 1e-9, np.nextafter(gain, 0.0), gain, np.nextafter(gain, 2.0), 1e9]
    assert curve.latents_for_gain(prices).tolist() == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("dimension", [1, 3, 4])
def test_plateau(dimension):
    curve = sth.PlateauCurve(dimension, floor=0.2)
    n = np.arange(0, 4 * dimension)
    straight = np.maximum(1.0 - 0.8 * n / (2 * dimension), 0.2)
    np.testing.assert_allclose(curve.loss(n), straight, rtol=1e-15)
    assert (curve.loss(n[2 * dimension :]) == 0.2).all()
    assert curve.tail_exponent == math.inf
    assert curve.convex


@pytest.mark.parametrize("dimension", [1, 3, 7, 10**9])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_a_plateau_takes_all_its_latents_at_one_price(dimension, floor):
    curve = sth.PlateauCurve(dimension, floor)
    gain = curve.gain(1)[0]
    assert gain == curve.gain(2 * dimension)[0]
    assert curve.gain(2 * dimension + 1)[0] == 0.0
    prices = [gain * 1e-9, np.nextafter(gain, 0.0), gain, np.nextafter(gain, 2.0), 1e9]
    d = dimension
    assert curve.latents_for_gain(prices).tolist() == [2 * d, 2 * d, 2 * d, 0, 0]


@pytest.mark.parametrize("rate", [1e-3, 0.1, 1.0, 5.0])
def test_exponential_gains(rate):
    curve = sth.ExponentialCurve(rate, scale=2.0, floor=0.3)
    n = np.array([1, 2, 3, 10, 50])
    with mp.workdps(40):
        want = [float(2 * mp.exp(-mp.mpf(rate) * int(k - 1)) * -mp.expm1(-mp.mpf(rate))) for k in n]
    # the exponent rate (n - 1) is rounded once, which exp multiplies by its size
    np.testing.assert_allclose(curve.gain(n), want, rtol=4e-16 + 2.3e-16 * rate * 50)
    np.testing.assert_allclose(curve.loss(n), 0.3 + 2.0 * np.exp(-rate * n), rtol=1e-15)
    assert curve.loss(0)[0] == 2.3
    assert curve.convex
    assert curve.tail_exponent == math.inf


@pytest.mark.parametrize("rate", [1e-5, 1e-3, 0.1, 1.0, 5.0])
def test_exponential_counts_invert_gains_exactly(rate):
    curve = sth.ExponentialCurve(rate, scale=0.7)
    n = np.unique(np.geomspace(1, 600.0 / rate, 60).astype(np.int64))
    gain = curve.gain(n)
    for at in (gain, np.nextafter(gain, 0.0), np.nextafter(gain, 9.0)):
        k = curve.latents_for_gain(at)
        assert ((curve.gain(np.maximum(k, 1)) >= at) | (k == 0)).all()
        assert (curve.gain(k + 1) < at).all()
    assert curve.latents_for_gain(gain).tolist() == n.tolist()


@pytest.mark.parametrize("rate", [0.01, 0.5, 3.0])
def test_exponential_gains_run_out_of_numbers(rate):
    # The smallest float is 5e-324: gains are subnormal numbers, then zero.
    curve = sth.ExponentialCurve(rate)
    for gain in (1e-290, 1e-305, 1e-309, 1e-320, 5e-324):
        k = curve.latents_for_gain(gain)
        assert curve.gain(k)[0] >= gain > curve.gain(k + 1)[0]
    assert k[0] < 750 / rate


def test_an_exponential_is_minimised_at_real_numbers():
    curve = sth.ExponentialCurve(0.7, scale=2.0)
    slope = np.array([1e-3, 0.1, 1.39, 1.41])
    n = curve.continuous_latents(slope)
    np.testing.assert_allclose(0.7 * 2.0 * np.exp(-0.7 * n[:3]), slope[:3], rtol=1e-14)
    assert n[3] == 0.0  # steeper than the curve at 0
