"""Periodic rank sets against brute force over their members."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.ranks import TailRanks
from scaling_theory.testing import numbers

TOP = 90


@st.composite
def tails(draw):
    """A set, and its members up to TOP (or its last rank) found one by one."""
    period = draw(st.integers(1, 9))
    residues = sorted(draw(st.sets(st.integers(1, period), min_size=1)))
    start = draw(st.integers(0, 25))
    count = draw(st.one_of(st.none(), st.integers(start + 1, TOP)))
    every = [i for i in range(start + 1, (count or TOP) + 1) if (i - 1) % period + 1 in residues]
    left_out = sorted(draw(st.sets(st.sampled_from(every), max_size=6))) if every else []
    tail = TailRanks(start, count, period, np.array(residues), np.array(left_out, dtype=np.int64))
    return tail, np.array([i for i in every if i not in left_out], dtype=np.int64)


@settings(deadline=None, max_examples=200)
@given(tails(), st.integers(0, TOP), st.integers(0, TOP))
def test_members_counts_and_membership(case, low, high):
    tail, members = case
    top = tail.count or TOP
    ranks = np.arange(0, top + 1)
    assert tail.members(0, top).tolist() == members.tolist()
    low, high = sorted((min(low, top), min(high, top)))
    inside = members[(members > low) & (members <= high)]
    assert tail.members(low, high).tolist() == inside.tolist()
    assert tail.contains(ranks).tolist() == np.isin(ranks, members).tolist()
    assert tail.count_upto(ranks).tolist() == np.searchsorted(members, ranks, "right").tolist()


@settings(deadline=None, max_examples=200)
@given(tails(), numbers(0.05, 2.0), st.sampled_from([0.0, -0.5, 3.3]))
def test_masses(case, alpha, offset):
    tail, members = case
    top = tail.count or TOP
    law = sth.ZipfMandelbrotFrequencies(alpha, offset, count=tail.count)
    ranks = np.arange(0, top + 1)
    mass = tail.mass_after(law, ranks)
    p = law.at(ranks[1:])[members - 1]
    expected = np.array([p[members > k].sum() for k in ranks]) + (0.0 if tail.count else mass[-1])
    # Exclusions and the rarer residues are taken off the whole: rounding is of that.
    whole = law.mass_after(np.maximum(ranks, tail.start))
    assert (np.abs(mass - expected) <= 4e-15 * whole).all()


@pytest.mark.parametrize(
    ("residues", "period"), [([2], 3), ([1, 2, 3, 5, 7], 7), ([1, 3, 4, 6, 7, 8], 9)]
)
def test_mass_of_an_infinite_progression_is_a_hurwitz_zeta(residues, period):
    law = sth.PowerLawFrequencies(0.5)
    none = np.empty(0, dtype=np.int64)
    tail = TailRanks(0, None, period, np.array(residues), none)
    start = 10**9 * period
    got = tail.mass_after(law, np.array([0, start]))
    with mp.workdps(30):
        q, s = mp.mpf(period), mp.mpf("1.5")
        c = 1 / mp.zeta(s)
        want = [
            c * mp.fsum(q**-s * mp.zeta(s, first + mp.mpf(r) / q) for r in residues)
            for first in (0, 10**9)
        ]
    # a few units in the last place of each of the progressions
    assert got[0] == pytest.approx(float(want[0]), rel=4e-15)
    assert got[1] == pytest.approx(float(want[1]), rel=4e-15)


def test_all_but_a_few_equals_the_sum_of_its_parts():
    law = sth.ZipfMandelbrotFrequencies(0.4, 1.5)
    ranks = np.array([0, 3, 17, 10**6, 10**12])
    none = np.empty(0, dtype=np.int64)
    parts = [
        TailRanks(5, None, 4, np.array(r), none).mass_after(law, ranks) for r in ([1, 2, 4], [3])
    ]
    whole = law.mass_after(np.maximum(ranks, 5))
    np.testing.assert_allclose(parts[0] + parts[1], whole, rtol=4e-15)


def test_counts_are_exact_far_out():
    tail = TailRanks(20, None, 3, np.array([1, 3]), np.array([22, 10**15]))
    assert tail.count_upto(np.array([10**15]))[0] == 2 * (10**15 // 3) + 1 - 13 - 2
    assert tail.members(10**15 - 4, 10**15 + 3).tolist() == [
        i for i in range(10**15 - 3, 10**15 + 4) if i % 3 in (0, 1) and i != 10**15
    ]


def test_share():
    none = np.empty(0, dtype=np.int64)
    assert TailRanks(0, None, 4, np.array([1, 2, 3]), none).share == 0.75
