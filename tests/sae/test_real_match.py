"""ReLU runs on either side of an L0."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from scaling_theory.sae import RunSpec, Sphere, TrainingFailed
from scaling_theory.sae.studies.real.match import MOST, WIDEST, match


def spec(architecture):
    return RunSpec(Sphere(4), architecture, 16)


@given(
    scale=some.floats(1e-4, 1.0), power=some.floats(-3.0, -0.5), bend=some.floats(-0.1, 0.1),
    off=some.floats(0.2, 5.0), wanted=some.floats(4.0, 100.0),
)  # fmt: skip
def test_two_runs_on_either_side_and_not_far(scale, power, bend, off, wanted):
    """L0 = wanted (l1/scale)^power, bent: whatever the first weight, within a factor of 5."""
    asked = []

    def l0(run):
        x = math.log(run.architecture.l1 / scale)
        asked.append(run)
        return wanted * math.exp(power * x + bend * x * abs(x))

    found = match(wanted, [scale * off], spec, l0)
    above, below = (l0(run) for run in found)
    assert wanted / WIDEST <= below < wanted <= above <= wanted * WIDEST
    assert len(set(asked)) <= MOST


def test_a_search_that_was_stopped_goes_on_with_the_same_runs():
    """It depends on results alone."""
    first, again = [], []
    for asked in (first, again):
        match(
            32.0,
            [0.3, 0.2],
            spec,
            lambda run, a=asked: a.append(run.key) or 2.0 / run.architecture.l1,
        )
    assert first == again
    assert len(first) >= 2


def test_it_gives_up_with_what_it_saw():
    with pytest.raises(TrainingFailed, match=rf"either side of an L0 of 32 after {MOST}: l1, L0"):
        match(32.0, [0.1], spec, lambda run: 5.0)


def test_where_nothing_fires_the_weight_is_halved():
    found = match(8.0, [1.0], spec, lambda run: max(0.0, np.log(0.5 / run.architecture.l1)) * 10.0)
    assert [run.architecture.l1 < 0.5 for run in found] == [True, True]


def test_a_good_pair_is_all_that_is_run():
    asked = []
    found = match(
        32.0, [0.05, 0.08], spec, lambda run: asked.append(run) or 2.0 / run.architecture.l1
    )
    assert [run.architecture.l1 for run in found] == [0.05, 0.08]
    assert asked == found


def test_a_plateau_does_not_stop_it():
    """L0 does not fall, or rises a little, until the penalty is large."""

    def l0(run):
        l1 = run.architecture.l1
        return 500.0 if l1 < 0.2 else 505.0 if l1 < 0.6 else 505.0 * (0.6 / l1) ** 2

    above, below = match(32.0, [0.1], spec, l0)
    assert l0(below) < 32.0 <= l0(above)


def test_no_weight_is_tried_twice():
    asked = []
    with pytest.raises(TrainingFailed):
        match(32.0, [0.1, 0.1], spec, lambda run: asked.append(run.architecture.l1) or 40.0)
    assert len(set(asked)) == len(asked) == MOST
