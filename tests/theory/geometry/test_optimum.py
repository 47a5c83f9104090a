"""The search with all parameters free: exact losses, never worse than symmetric, sometimes better.

Losses found are upper bounds on the optimum, and are held to as such: each is confirmed by
evaluating the SAE it belongs to, point by point.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from scaling_theory.theory.geometry import (
    circle_optimum,
    circle_sae_loss,
    covering_bounds,
    sphere_floor,
)
from scaling_theory.theory.geometry.optimum import _loss_and_gradient

POINTS = 2**15


def evaluated(found):
    """Loss point by point, and how far the sample can be off (see test_circle.grid_error)."""
    loss = circle_sae_loss(
        found.encoder, found.encoder_bias, found.decoder, found.decoder_bias, found.l1, POINTS
    )
    gains = np.hypot(*found.encoder.T).sum()
    return loss, 2.0 * 6.0 * gains * (2.0 * math.pi / POINTS) ** 2 / (16.0 * math.pi) + 1e-13


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.floats(0.01, 1.9))
def test_loss_and_gradient_of_any_sae(seed, n, l1):
    parameters = np.random.default_rng(seed).normal(size=4 * n + 2)
    loss, _ = _loss_and_gradient(parameters, n, l1)
    turn = parameters[3 * n : 4 * n]
    encoder = parameters[: 2 * n].reshape(n, 2)
    slow = circle_sae_loss(
        encoder,
        parameters[2 * n : 3 * n],
        np.stack([np.cos(turn), np.sin(turn)], axis=1),
        parameters[4 * n :],
        l1,
        POINTS,
    )
    # kinks of the slope: gain times (2 |x - xhat| + l1), 2 n of them; |x - xhat|^2 <= points loss
    kinks = 2.0 * np.hypot(*encoder.T).sum() * (2.0 * math.sqrt(max(slow, 1.0) * 40.0) + l1)
    assert loss == pytest.approx(slow, abs=kinks * (2 * math.pi / POINTS) ** 2 / (16 * math.pi))
    slip = check_grad(
        lambda p: _loss_and_gradient(p, n, l1)[0],
        lambda p: _loss_and_gradient(p, n, l1)[1],
        parameters,
    )
    assert slip < 1e-5 * (1.0 + slow)  # differences over 1.5e-8


@pytest.mark.parametrize(
    ("n", "at_most"), [(1, 0.58447), (2, 0.16886), (3, 0.14019), (4, 0.12238), (5, 0.11377)]
)
def test_few_latents(n, at_most):
    found = circle_optimum(n, starts=12)
    loss, tolerance = evaluated(found)
    assert found.loss == pytest.approx(loss, abs=tolerance)
    assert loss <= at_most
    assert found.loss <= found.symmetric + 1e-14
    assert found.hits >= 2
    better = found.symmetric - found.loss
    # a decoder bias stands in for a direction that costs nothing, which pays for up to three
    assert better > 0.02 if n <= 3 else better < 1e-9
    if n > 3:
        np.testing.assert_allclose(np.hypot(*found.decoder_bias), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.hypot(*found.decoder.T), 1.0, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "starts", "at_most"), [(7, 120, 0.110223), (8, 300, 0.108989)])
def test_unequal_arcs_beat_the_symmetric_tiling_at_seven_and_eight(n, starts, at_most):
    found = circle_optimum(n, seed=1, starts=starts)
    loss, tolerance = evaluated(found)
    assert found.loss == pytest.approx(loss, abs=tolerance)
    assert loss <= at_most
    assert found.symmetric - found.loss > 50.0 * tolerance
    assert np.ptp(found.firing) > 0.03


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.floats(0.05, 1.5), st.integers(0, 1000))
def test_bounds_from_below(n, l1, seed):
    found = circle_optimum(n, l1, seed=seed, starts=3)
    assert found.loss >= sphere_floor(l1)
    # a decoder bias is at most worth as many latents again
    assert found.loss >= covering_bounds(2 * n, 2, l1).lower
    assert found.loss <= found.symmetric + 1e-14


def test_the_same_seed_gives_the_same_sae():
    one, two = (circle_optimum(3, seed=5, starts=4) for _ in range(2))
    assert one.loss == two.loss
    np.testing.assert_array_equal(one.encoder, two.encoder)


def test_firing_fractions():
    found = circle_optimum(4, starts=1)
    theta = 2.0 * np.pi * (np.arange(20000) + 0.5) / 20000
    x = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    fires = (x @ found.encoder.T + found.encoder_bias > 0.0).mean(axis=0)
    np.testing.assert_allclose(found.firing, fires, atol=2.0 / 20000)


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: circle_optimum(0), ["n", "[1, 16]", "0"]),
        (lambda: circle_optimum(17), ["n", "[1, 16]", "17"]),
        (lambda: circle_optimum(2, 2.5), ["l1", "(0, 2)", "2.5"]),
        (lambda: circle_optimum(2, starts=0), ["starts", "0"]),
        (lambda: circle_optimum(2, seed=-1), ["seed", "-1"]),
        (
            lambda: circle_sae_loss([[1.0, 0.0]], [0.0, 0.0], [[1.0, 0.0]], [0.0, 0.0], 0.1),
            ["shapes (n, 2), (n,) and (n, 2)", "(2,)"],
        ),
        (
            lambda: circle_sae_loss([[1.0, 0.0]], [0.0], [[1.0, 0.0]], [0.0], 0.1),
            ["decoder_bias must have shape (2,)", "(1,)"],
        ),
        (
            lambda: circle_sae_loss([[1.0, 0.0]], [np.nan], [[1.0, 0.0]], [0.0, 0.0], 0.1),
            ["encoder_bias must hold finite numbers", "nan"],
        ),
    ],
)
def test_refusals(call, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)
