"""Tabulated curves: what lies between and beyond the points, and the lower convex envelope."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

import scaling_theory as sth
from scaling_theory.testing import any_curves, convex_curves, convex_tables, stepped_tables

WIDTHS = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])


def test_the_curve_goes_through_its_points():
    losses = 0.1 + 0.9 * (1.0 + WIDTHS) ** -0.3
    curve = sth.TabulatedCurve(WIDTHS, losses)
    assert curve.loss(WIDTHS).tolist() == losses.tolist()
    assert curve.loss(10**15)[0] == losses[-1] == curve.limit


def test_straight_in_log_one_plus_n_between_points():
    curve = sth.TabulatedCurve([0, 9, 99], [1.0, 0.6, 0.2])
    # log(1 + n) runs over 0, 1, 2 decades
    for n in (1, 4, 9, 30, 98):
        assert curve.loss(n)[0] == pytest.approx(1.0 - 0.4 * math.log10(1 + n), rel=1e-14)


@pytest.mark.parametrize("beta", [0.05, 0.3, 1.0])
def test_a_power_law_at_doubling_widths_stays_convex(beta):
    curve = sth.TabulatedCurve(WIDTHS, (1.0 + WIDTHS) ** -beta)
    assert curve.convex


def test_the_law_beyond():
    curve = sth.TabulatedCurve([0, 2, 8], [1.0, 0.5, 0.3], "power", exponent=0.5, floor=0.1)
    assert curve.limit == 0.1
    assert curve.tail_exponent == 0.5
    n = np.array([8, 32, 800])
    np.testing.assert_allclose(curve.loss(n), 0.1 + 0.2 * (n / 8.0) ** -0.5, rtol=1e-15)
    scale, beta, shift = curve.power_tail
    np.testing.assert_allclose(curve.excess(n * 1.0), scale * (n + shift) ** -beta, rtol=1e-15)
    assert sth.TabulatedCurve([0, 2], [1.0, 0.5]).power_tail is None
    assert sth.TabulatedCurve([0, 2], [1.0, 0.5]).tail_exponent == math.inf


def lower_hull(losses):
    """Vertices and values of the lower convex hull, by scipy's Qhull."""
    n = np.arange(losses.size)
    if np.ptp(losses) == 0.0:
        return np.full(losses.size, losses[0])
    # A point far above closes the hull from the top.
    points = np.vstack([np.column_stack([n, losses]), [[0.5 * n[-1], losses[0] + 10.0]]])
    vertices = np.sort(ConvexHull(points).vertices)
    vertices = vertices[vertices < n.size]
    return np.interp(n, vertices, losses[vertices])


@settings(deadline=None, max_examples=150)
@given(stepped_tables())
def test_envelope_equals_the_convex_hull(table):
    # Far enough for a tail that goes on: the envelope reaches it within a few times the table.
    reach = int(table.n[-1]) + 1 if table.exponent is None else 40 * int(table.n[-1]) + 400
    losses = table.loss(np.arange(reach))
    hull = lower_hull(losses)
    inner = reach if table.exponent is None else reach // 4  # a tangent may end beyond the reach
    # Qhull merges points within rounding of a facet: a few units of the largest loss.
    np.testing.assert_allclose(
        table.envelope_loss(np.arange(inner)), hull[:inner], atol=1e-13 * (losses[0] + 1.0), rtol=0
    )


def check_envelope(curve, upto):
    """Below the curve, convex, touching at the ends of its pieces, and one with its gains."""
    n = np.arange(0, upto)
    loss, envelope = curve.loss(n), curve.envelope_loss(n)
    rounding = 4e-16 * (abs(loss[0]) + 1.0)
    assert (envelope <= loss + rounding).all()
    falls = -np.diff(envelope)
    assert (np.diff(falls) <= 4 * rounding).all()
    gains = curve.envelope_gain(np.arange(1.0, upto))
    np.testing.assert_allclose(gains, falls, atol=4 * rounding, rtol=0)
    assert (np.diff(gains) <= 0.0).all()
    before, after = curve.segment(np.arange(1.0, upto))
    ends = np.unique(np.concatenate([before, after]))
    ends = ends[ends < upto].astype(int)
    np.testing.assert_allclose(envelope[ends], loss[ends], atol=rounding, rtol=0)


@settings(deadline=None, max_examples=200)
@given(any_curves())
def test_envelope_is_below_convex_and_touches(curve):
    check_envelope(curve, 60)


@settings(deadline=None, max_examples=200)
@given(any_curves())
def test_convex_flag_agrees_with_second_differences(curve):
    loss = curve.loss(np.arange(0, 60))
    bends = np.diff(loss, 2)
    rounding = 1e-15 * (loss[0] + 1.0)
    if curve.convex:
        assert (bends >= -rounding).all()
    else:
        assert bends.min() < 0.0


@settings(deadline=None, max_examples=100)
@given(convex_curves())
def test_strategies_for_convex_curves_keep_their_word(curve):
    assert curve.convex


@settings(deadline=None, max_examples=150)
@given(st.one_of(convex_tables(), stepped_tables()), st.integers(1, 5000))
def test_counts_invert_the_envelopes_gains_exactly(table, n):
    gain = table.envelope_gain(np.array([float(n)]))[0]
    if gain == 0.0:
        return
    for at in (gain, np.nextafter(gain, 0.0), np.nextafter(gain, 9.0)):
        k = int(table.latents_for_gain(at)[0])
        assert k == 0 or table.envelope_gain(np.array([float(k)]))[0] >= at
        assert table.envelope_gain(np.array([k + 1.0]))[0] < at
    assert int(table.latents_for_gain(gain)[0]) >= n


def test_envelope_of_a_step_reaches_into_the_law_beyond():
    # Nothing is gained up to 10 latents; the best chord from 0 goes past the table.
    curve = sth.TabulatedCurve([0, 9, 10], [1.0, 1.0, 0.9], "power", exponent=2.0)
    _, after = curve.segment(np.array([1.0]))
    n = np.arange(1, 200)
    slopes = (1.0 - curve.loss(n)) / n
    assert after[0] == n[np.argmax(slopes)]
    assert after[0] > 10
    assert curve.envelope_gain(np.ones(1))[0] == pytest.approx(slopes.max(), rel=1e-15)
    check_envelope(curve, 100)


def test_a_table_that_never_falls_gains_nothing():
    curve = sth.TabulatedCurve([0, 5], [0.4, 0.4])
    assert curve.latents_for_gain(1e-300)[0] == 0
    assert curve.loss([0, 3, 9]).tolist() == [0.4, 0.4, 0.4]
    assert curve.convex


def test_the_table_is_copied_and_protected():
    n, loss = np.array([0, 1, 2]), np.array([1.0, 0.5, 0.4])
    curve = sth.TabulatedCurve(n, loss)
    n[1], loss[1] = 7, 9.0
    assert curve.loss([0, 1, 2]).tolist() == [1.0, 0.5, 0.4]
    with pytest.raises(ValueError, match="read-only"):
        curve.losses[0] = 3.0
