"""Array parameters equal so many scalar curves; claims about tails are measured."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.testing import any_curves

CURVES = {
    "discrete": (sth.DiscreteCurve, {"residual": [0.0, 0.1, 0.7]}),
    "power": (sth.PowerLawCurve, {"beta": [0.1, 0.5, 2.0], "scale": [1.0, 3.0, 0.2]}),
    "power, one shift": (sth.PowerLawCurve, {"beta": 0.4, "shift": [1.0, 0.0, 30.0]}),
    "power, from 0": (
        sth.PowerLawCurve,
        {"beta": [0.1, 1.0, 1.0], "shift": 0.0, "at_zero": [1.0, 1.2, 2.5], "floor": 0.0},
    ),
    "exponential": (sth.ExponentialCurve, {"rate": [0.1, 1.0, 5.0], "floor": [0.0, 0.2, 0.4]}),
    "plateau": (sth.PlateauCurve, {"dimension": [1, 2, 5], "floor": [0.0, 0.2, 0.4]}),
}


@pytest.mark.parametrize("name", CURVES)
def test_arrays_equal_scalars_feature_by_feature(name):
    kind, parameters = CURVES[name]
    arrays = {k: np.array(v) if isinstance(v, list) else v for k, v in parameters.items()}
    together = kind(**arrays)
    assert together.size == 3
    for j in range(3):
        alone = kind(**{k: v[j] if isinstance(v, list) else v for k, v in parameters.items()})
        taken = together.take(np.array([j]))
        assert taken.size == 1
        assert alone.size is None
        for n in (1, 2, 3, 50, 5000):
            here = np.full(3, float(n))
            for method in ("excess", "envelope_excess", "envelope_gain"):
                want = getattr(alone, method)(np.array([float(n)]))[0]
                assert getattr(together, method)(here)[j] == pytest.approx(want, rel=1e-15)
                assert getattr(taken, method)(np.array([float(n)]))[0] == pytest.approx(
                    want, rel=1e-15
                )
            for ends, want in zip(
                together.segment(here), alone.segment(np.array([float(n)])), strict=True
            ):
                assert ends[j] == want[0]
        assert together.loss(0)[j] == alone.loss(0)[0]
        for gain in (1e-12, 1e-3, 0.05, 0.4, 3.0):
            assert together.latents_for_gain(gain)[j] == alone.latents_for_gain(gain)[0]
        assert np.broadcast_to(together.tail_exponent, 3)[j] == alone.tail_exponent
        assert np.broadcast_to(together.limit, 3)[j] == alone.limit


def test_convex_only_if_every_feature_is():
    at_zero = np.array([2.0, 1.0])
    assert not sth.PowerLawCurve(1.0, shift=0.0, at_zero=at_zero).convex
    assert sth.PowerLawCurve(1.0, shift=0.0, at_zero=at_zero[:1]).convex


def test_take_selects_and_repeats_and_leaves_a_shared_curve_alone():
    curve = sth.PowerLawCurve(np.array([0.1, 0.5, 2.0]), scale=3.0)
    assert curve.take(np.array([2, 0, 0])).beta.tolist() == [2.0, 0.1, 0.1]
    assert curve.take(slice(1, 3)).beta.tolist() == [0.5, 2.0]
    assert curve.take(np.array([2])).scale == 3.0
    shared = sth.PowerLawCurve(0.5)
    assert shared.take(np.array([7])) is shared


@pytest.mark.parametrize(
    "curve",
    [
        sth.PowerLawCurve(0.1),
        sth.PowerLawCurve(2.0, scale=5.0, floor=0.4, shift=30.0),
        sth.PowerLawCurve(0.5, shift=0.0),
        sth.TabulatedCurve([0, 3, 9], [1.0, 0.9, 0.2], "power", exponent=0.7, floor=0.1),
    ],
    ids=["0.1", "2", "shift 0", "table"],
)
def test_tail_exponent_is_the_measured_slope(curve):
    n = np.array([1e9, 1e10])
    excess = curve.excess(n)
    # the shift moves the slope by beta shift / n
    assert -np.diff(np.log(excess))[0] / np.log(10.0) == pytest.approx(
        curve.tail_exponent, rel=1e-7
    )
    gains = curve.envelope_gain(n)
    assert -np.diff(np.log(gains))[0] / np.log(10.0) == pytest.approx(
        1.0 + curve.tail_exponent, rel=1e-7
    )


@settings(deadline=None, max_examples=150)
@given(any_curves(), st.integers(1, 10**6))
def test_loss_falls_to_its_limit(curve, n):
    before, at, after = curve.loss([n - 1, n, n + 1])
    assert before >= at >= after >= curve.limit
    # gain is the difference of losses, without its cancellation
    assert curve.gain(n)[0] == pytest.approx(before - at, abs=4e-16 * (curve.loss(0)[0] + 1.0))


@pytest.mark.parametrize("name", CURVES)
def test_frozen_and_independent_of_the_arrays_given(name):
    kind, parameters = CURVES[name]
    arrays = {k: np.array(v, dtype=float) for k, v in parameters.items() if isinstance(v, list)}
    curve = kind(**{**parameters, **arrays})
    before = curve.loss(3).tolist()
    for value in arrays.values():
        assert value.flags.writeable
        value[:] = 77.0
    assert curve.loss(3).tolist() == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(curve, next(iter(parameters)), 1.0)
