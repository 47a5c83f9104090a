"""The floor of the sphere is never undercut; shrinkage is what minimising says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaling_theory.theory.geometry import (
    l1_bias,
    shrink_jump,
    shrink_l1,
    shrink_topk,
    sphere_floor,
)

L1 = st.floats(0.0, 3.0)
SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(L1, st.floats(0.05, 5.0))
def test_floor_is_the_least_of_one_latent_a_point(l1, radius):
    found = minimize_scalar(
        lambda g: (radius - g) ** 2 + l1 * g, bounds=(0.0, radius), method="bounded"
    )
    edge = radius**2  # silent
    assert sphere_floor(l1, radius) <= min(found.fun, edge) + 1e-14
    # the search stops within 1e-5 of the minimum of a parabola
    assert sphere_floor(l1, radius) == pytest.approx(min(found.fun, edge), abs=2e-10)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 6), st.integers(0, 12), L1, st.floats(0.1, 4.0), st.booleans())
def test_no_sae_undercuts_the_floor(seed, d, n, l1, radius, biased):
    # The proof needs a distribution that is symmetric about 0, so it holds for this sample exactly.
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, d))
    x *= radius / np.linalg.norm(x, axis=1, keepdims=True)
    x = np.concatenate([x, -x])
    encoder, decoder = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    f = np.maximum(x @ encoder.T + rng.normal(size=n), 0.0) * rng.uniform(0.0, 1.0)
    bias = rng.normal(size=d) * biased
    error = ((x - f @ decoder - bias) ** 2).sum(axis=1)
    loss = (error + l1 * f @ np.linalg.norm(decoder, axis=1)).mean()
    assert loss >= sphere_floor(l1, radius) - 1e-12 * (1.0 + loss)


@settings(deadline=None)
@given(L1, st.floats(0.05, 5.0))
def test_only_the_ratio_of_penalty_and_radius_matters(l1, radius):
    assert sphere_floor(l1, radius) == pytest.approx(
        radius**2 * sphere_floor(l1 / radius), rel=1e-13
    )


def test_floor_beyond_which_nothing_fires():
    assert sphere_floor(0.1) == pytest.approx(0.0975, rel=1e-15)
    assert sphere_floor(2.0) == sphere_floor(7.0) == 1.0
    assert sphere_floor(7.0, radius=2.0) == 4.0
    assert sphere_floor(0.0) == 0.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=6), st.floats(0.0, 2.0))
def test_shrinkage_minimises_each_objective(magnitudes, l1):
    f = np.array(magnitudes)
    grid = np.linspace(0.0, 3.0, 3001)[:, None]
    said = shrink_l1(f, l1)
    least = ((f - grid) ** 2 + l1 * grid).min(axis=0)
    assert (said.loss <= least + 1e-14).all()
    np.testing.assert_allclose(said.loss, least, atol=1e-6 / 3)  # half a grid step, squared
    l0 = l1**2 / 4.0
    jump = shrink_jump(f, l0)
    np.testing.assert_allclose(jump.loss, np.minimum(f**2, l0), atol=1e-15)
    # at equal support TopK and JumpReLU save l1^2/4 of the squared error on each active latent
    active = said.coefficient > 1e-9
    saved = said.squared_error - jump.squared_error
    np.testing.assert_allclose(saved[active], l1_bias(l1), atol=1e-14)
    top = shrink_topk(f, int(active.sum()))
    assert said.squared_error.sum() - top.squared_error.sum() >= active.sum() * l1_bias(l1) - 1e-13


def test_orthonormal_directions_by_brute_force():
    # a LASSO with a rotated dictionary, solved by projected gradients, knows no closed form
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    f = np.array([0.0, 0.03, 0.2, 1.0, 2.5])
    x, code, l1 = rotation @ f, np.zeros(5), 0.3
    for _ in range(200):
        code = np.maximum(code + 0.3 * (rotation.T @ (x - rotation @ code) - 0.5 * l1), 0.0)
    np.testing.assert_allclose(shrink_l1(f, l1).coefficient, code, atol=1e-13)
    loss = ((x - rotation @ code) ** 2).sum() + l1 * code.sum()
    assert shrink_l1(f, l1).loss.sum() == pytest.approx(loss, rel=1e-12)


def test_topk_keeps_the_largest():
    f = np.array([[3.0, 1.0, 2.0], [0.5, 0.5, 0.1]])
    said = shrink_topk(f, 1)
    np.testing.assert_array_equal(said.coefficient, [[3.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    np.testing.assert_array_equal(said.loss.sum(axis=1), [5.0, 0.25 + 0.1**2])
    assert shrink_topk(f, 7).loss.sum() == 0.0
    assert shrink_topk(f, 0).loss.sum() == (f**2).sum()


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: sphere_floor(-0.1), ["l1", "at least 0", "-0.1"]),
        (lambda: sphere_floor(0.1, 0.0), ["radius", "greater than 0", "0.0"]),
        (lambda: shrink_l1([-1.0], 0.1), ["f", "at least 0", "-1.0"]),
        (lambda: shrink_l1("x", 0.1), ["f must hold numbers", "'x'"]),
        (lambda: shrink_l1([], 0.1), ["f must not be empty"]),
        (lambda: shrink_topk(1.0, 1), ["f must have an axis of latents"]),
        (lambda: shrink_topk([1.0], -1), ["k", "at least 0"]),
        (lambda: shrink_jump([1.0], np.nan), ["l0", "nan"]),
        (lambda: l1_bias(-1.0), ["l1", "-1.0"]),
    ],
)
def test_refusals(call, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)
