"""Frequencies: totals, masses, inverses, conventions."""

import dataclasses
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.testing import frequencies

LAWS = [
    sth.PowerLawFrequencies(0.5),
    sth.PowerLawFrequencies(1.0, total=20.0),
    sth.PowerLawFrequencies(-0.9, count=1000),
    sth.PowerLawFrequencies(0.0, count=1000),
    sth.PowerLawFrequencies(0.5, count=7, total=3.0),
    sth.ZipfMandelbrotFrequencies(0.5, 2.7),
    sth.ZipfMandelbrotFrequencies(0.3, -0.9, count=50),
    sth.ZipfMandelbrotFrequencies(-0.5, 100.0, count=50),
]


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 3.0])
def test_normaliser_of_infinitely_many_features_is_one_over_zeta(alpha):
    law = sth.PowerLawFrequencies(alpha)
    assert law.normaliser == pytest.approx(float(1 / mp.zeta(1 + mp.mpf(alpha))), rel=1e-14)
    assert law.tail_exponent == alpha
    assert law.count is None


def test_normaliser_of_a_shifted_law_is_one_over_hurwitz_zeta():
    law = sth.ZipfMandelbrotFrequencies(0.5, 2.7, total=4.0)
    assert law.normaliser == pytest.approx(float(4 / mp.zeta(1.5, mp.mpf(3.7))), rel=1e-14)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_formula_total_and_telescoping(law):
    last = law.count or 2000
    ranks = np.arange(1, last + 1)
    shift = getattr(law, "offset", 0.0)
    p = law.at(ranks)
    # rank + offset may lose a unit in the last place, which the power multiplies by 1 + alpha
    expected = law.normaliser * (ranks + shift) ** -(1.0 + law.alpha)
    np.testing.assert_allclose(p, expected, rtol=4e-16 * (2.0 + law.alpha))
    mass = law.mass_after(np.arange(last + 1))
    assert mass[0] == pytest.approx(law.total, rel=4e-15)
    np.testing.assert_allclose(-np.diff(mass), p, atol=4e-15 * law.total, rtol=0.0)
    beyond = 0.0 if law.count else law.mass_after([last])[0]
    assert p.sum() + beyond == pytest.approx(law.total, rel=1e-14)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_rank_of_is_the_inverse(law):
    ranks = np.arange(1.0, (law.count or 1000) + 1.0)
    # the rank moves by 1/(1+alpha) of a relative rounding of the frequency
    rounding = 1e-15 * (2.0 + 1.0 / (1.0 + law.alpha))
    shift = getattr(law, "offset", 0.0)
    error = np.abs(law.rank_of(law.at(ranks)) - ranks)
    assert (error <= rounding * (ranks + abs(shift))).all()
    # between ranks it stays between them, beyond the first it goes below 1
    assert 1.0 < law.rank_of(np.array([0.5 * (law.at([1])[0] + law.at([2])[0])]))[0] < 2.0
    assert law.rank_of(2.0 * law.at([1]))[0] < 1.0


def test_a_list_keeps_its_order_and_its_values():
    values = [0.2, 0.5, 0.1, 0.5]
    law = sth.EmpiricalFrequencies(values)
    assert law.count == 4
    assert law.at([1, 2, 3, 4]).tolist() == values
    np.testing.assert_allclose(law.mass_after([0, 1, 2, 3, 4]), [1.3, 1.1, 0.6, 0.5, 0.0])
    assert math.isnan(law.tail_exponent)
    assert math.isnan(law.normaliser)


def test_a_list_is_rescaled_to_a_total_only_if_asked():
    law = sth.EmpiricalFrequencies([1.0, 3.0], total=20.0)
    assert law.at([1, 2]).tolist() == [5.0, 15.0]


@settings(deadline=None, max_examples=60)
@given(frequencies(infinite=False))
def test_masses_of_any_finite_frequencies(law):
    p = law.at(np.arange(1, law.count + 1))
    mass = law.mass_after(np.arange(law.count + 1))
    assert mass[-1] == 0.0
    np.testing.assert_allclose(mass[:-1], np.cumsum(p[::-1])[::-1], rtol=1e-13)


@settings(deadline=None, max_examples=60)
@given(frequencies(infinite=True), st.integers(1, 10**12))
def test_masses_of_any_infinite_frequencies(law, rank):
    here, after = law.mass_after(np.array([rank, rank + 1]))
    assert here > after > 0.0
    # p falls and is convex: its sum lies between its integrals from rank + 1 and from rank + 1/2
    x = rank + np.array([0.5, 1.0]) + law.shift
    upper, lower = law.normaliser / law.alpha * x**-law.alpha
    assert lower * (1.0 - 1e-14) < here < upper * (1.0 + 1e-14)


def test_values_are_copied_and_protected():
    values = np.array([0.3, 0.7])
    law = sth.EmpiricalFrequencies(values)
    values[0] = 9.0
    assert law.at([1])[0] == 0.3
    with pytest.raises(ValueError, match="read-only"):
        law.values[0] = 1.0
    assert values.flags.writeable


@pytest.mark.parametrize("law", [*LAWS, sth.EmpiricalFrequencies([1.0])], ids=str)
def test_frozen(law):
    with pytest.raises(dataclasses.FrozenInstanceError):
        law.total = 2.0


def test_numbers_of_other_types_are_taken():
    assert sth.PowerLawFrequencies(1, count=1e6).count == 10**6
    assert isinstance(sth.PowerLawFrequencies(np.float32(0.5), count=np.int32(5)).count, int)
    assert sth.PowerLawFrequencies(0.5) == sth.PowerLawFrequencies(np.float64(0.5))
