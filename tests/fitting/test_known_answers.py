"""Answers certified by others: NIST Statistical Reference Datasets (public domain)."""

import math

import numpy as np
import pytest

from scaling_theory.fitting import fit_power_law

# DanWood: y = b1 * x^b2
DANWOOD_X = [1.309, 1.471, 1.490, 1.565, 1.611, 1.680]
DANWOOD_Y = [2.138, 3.421, 3.597, 4.340, 4.882, 5.660]


def test_danwood_to_eight_digits():
    fit = fit_power_law(DANWOOD_X, DANWOOD_Y, weights=np.ones(6), floor="zero")
    assert fit.scale == pytest.approx(0.76886226176, rel=1e-8)
    assert fit.exponent == pytest.approx(-3.8604055871, rel=1e-8)
    assert fit.rss == pytest.approx(4.3173084083e-3, rel=1e-8)
    # NIST certifies the standard deviations too
    assert math.sqrt(fit.covariance[0, 0]) == pytest.approx(5.1726610913e-2, rel=1e-8)
    assert math.sqrt(fit.covariance[1, 1]) == pytest.approx(1.8281973860e-2, rel=1e-8)
    assert fit.floor == 0.0
    assert fit.status == "ok"
