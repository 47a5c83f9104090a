"""Encoders and penalties against NumPy; straight-through gradients against what they stand for."""

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import (
    Context,
    JumpReLU,
    ReLU,
    TanhJumpReLU,
    TopK,
    decode,
    pre_activations,
)
from scaling_theory.sae.weights import Weights

ARCHITECTURES = [
    ReLU(0.3),
    TopK(3, auxk=2),
    JumpReLU(0.02, bandwidth=0.4, threshold=0.3),
    TanhJumpReLU(0.7, tanh_scale=2.0, pre_activation=0.05, bandwidth=0.3, threshold=0.2),
]
KINDS = [type(a).__name__ for a in ARCHITECTURES]
JUMPS = [JumpReLU(0.0, bandwidth=0.1), TanhJumpReLU(0.0, pre_activation=0.0, bandwidth=0.1)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_sae(architecture, n, d, seed=0):
    """Float64 weights; thresholds differ between latents."""
    weights = Weights(n, d, architecture.extra, dtype=torch.float64)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=seeded(seed)))
    for value in weights.extra.values():
        value.abs_()
    return weights


def inputs(rows, d, seed=1):
    return torch.randn(rows, d, generator=seeded(seed), dtype=torch.float64)


def numpy_activations(architecture, w, x):
    z = x @ w["encoder"].T + w["encoder_bias"]
    if isinstance(architecture, ReLU):
        return np.maximum(z, 0.0)
    if isinstance(architecture, TopK):
        f = np.maximum(z, 0.0)
        order = np.argsort(-f, axis=1)
        np.put_along_axis(f, order[:, architecture.k :], 0.0, axis=1)
        return f
    return np.where(z > w["threshold"], z, 0.0)


def numpy_penalty(architecture, w, x):
    f = numpy_activations(architecture, w, x)
    norms = np.sqrt((w["decoder"] ** 2).sum(1))
    match architecture:
        case ReLU():
            return architecture.l1 * (f * norms).sum(1)
        case TopK():
            return np.zeros(len(x))
        case JumpReLU():
            return architecture.l0 * (f > 0.0).sum(1)
    z = x @ w["encoder"].T + w["encoder_bias"]
    sparsity = architecture.sparsity * np.tanh(architecture.tanh_scale * f * norms).sum(1)
    below = np.maximum(w["threshold"] - z, 0.0)
    return sparsity + architecture.pre_activation * (below * norms).sum(1)


# ---- formulas -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(
    n=st.integers(3, 30), d=st.integers(1, 6), rows=st.integers(1, 20), seed=st.integers(0, 2**31)
)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=KINDS)
def test_losses_are_the_formulas(architecture, n, d, rows, seed):
    weights, x = random_sae(architecture, n, d, seed), inputs(rows, d, seed + 1)
    w = {name: value.numpy() for name, value in weights.named().items()}
    f = numpy_activations(architecture, w, x.numpy())
    activations = architecture.encode(weights, x)
    np.testing.assert_allclose(activations.numpy(), f, rtol=1e-12, atol=1e-13)
    reconstruction = f @ w["decoder"] + w["decoder_bias"]
    np.testing.assert_allclose(
        decode(weights, activations).numpy(), reconstruction, rtol=1e-11, atol=1e-11
    )
    penalty = numpy_penalty(architecture, w, x.numpy())
    at = architecture.losses(weights, x, Context(0.25))
    np.testing.assert_allclose(
        at.reconstruction.numpy(), ((x.numpy() - reconstruction) ** 2).sum(1), rtol=1e-10
    )
    np.testing.assert_allclose(at.penalty.numpy(), 0.25 * penalty, rtol=1e-10, atol=1e-13)
    assert not at.auxiliary.any()
    assert float(at.total()) == pytest.approx(float((at.reconstruction + at.penalty).mean()))


def test_defaults_are_those_of_the_literature():
    assert ReLU().l1 == 0.1
    assert TopK(1).auxk == 0
    assert TopK(1).auxk_weight == 1.0 / 32.0
    assert (TanhJumpReLU().sparsity, TanhJumpReLU().tanh_scale) == (1.0, 0.1)
    assert TanhJumpReLU().pre_activation == 3e-6


def test_tanh_of_small_activations_is_the_l1_penalty():
    """The note in TanhJumpReLU: at c = 0.1 nearly the L1 penalty of weight 0.1, from below."""
    tanh = TanhJumpReLU(pre_activation=0.0, threshold=0.0)
    weights, x = random_sae(tanh, 9, 3), inputs(50, 3)
    weights.extra["threshold"].zero_()
    f = 0.1 * tanh.encode(weights, x)
    small, l1 = tanh.penalty(weights, x, f, Context()), ReLU(0.1).penalty(weights, x, f, Context())
    u = 0.1 * f * weights.decoder.norm(dim=1)
    assert bool((small <= l1).all())
    assert bool((l1 - small <= (u**3).sum(1) / 3.0 + 1e-15).all())
    assert float(small.sum()) == pytest.approx(float(l1.sum()), rel=3e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=KINDS)
def test_extras_start_where_the_architecture_says(architecture):
    assert set(architecture.initial()) == set(architecture.extra)
    for value in architecture.initial().values():
        assert value == architecture.threshold


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=KINDS)
def test_constrain_moves_negative_thresholds_to_zero_and_nothing_else(architecture):
    weights = random_sae(architecture, 6, 2)
    weights.flat.sub_(0.5)
    before = weights.flat.clone()
    architecture.constrain(weights)
    expected = weights.like(before)
    for value in expected.extra.values():
        assert bool((value < 0.0).any())
        value.clamp_(min=0.0)
    assert torch.equal(weights.flat, expected.flat)


# ---- straight-through gradients -------------------------------------------------------------


def test_gradients_of_the_jump_are_the_formula():
    """df/dtheta = -(theta/eps) K, df/dz = 1 above theta, entry by entry."""
    eps = 0.4
    architecture = JumpReLU(0.02, bandwidth=eps)
    weights, x = random_sae(architecture, 12, 3), inputs(300, 3)
    z, theta = pre_activations(weights, x), weights.extra["threshold"]
    near = ((z - theta).abs() < eps / 2).double()
    assert 0.02 < float(near.mean()) < 0.5
    pull = inputs(300, 12, seed=2)
    flat = weights.flat.clone().requires_grad_(True)
    own = weights.like(flat)
    (pull * architecture.encode(own, x)).sum().backward()
    grad = weights.like(flat.grad)
    torch.testing.assert_close(grad.extra["threshold"], -(pull * near * theta / eps).sum(0))
    on = pull * (z > theta)
    torch.testing.assert_close(grad.encoder_bias, on.sum(0))
    torch.testing.assert_close(grad.encoder, on.T @ x)
    assert not grad.decoder.any()


def test_gradients_of_the_step_are_the_formula():
    """dH/dtheta = -(1/eps) K; the penalty moves thresholds only."""
    eps, l0 = 0.4, 0.02
    architecture = JumpReLU(l0, bandwidth=eps)
    weights, x = random_sae(architecture, 12, 3), inputs(300, 3)
    pull = inputs(300, 1, seed=2)[:, 0]
    near = ((pre_activations(weights, x) - weights.extra["threshold"]).abs() < eps / 2).double()
    flat = weights.flat.clone().requires_grad_(True)
    own = weights.like(flat)
    f = architecture.encode(own, x)
    (pull * architecture.penalty(own, x, f, Context())).sum().backward()
    grad = weights.like(flat.grad)
    torch.testing.assert_close(grad.extra["threshold"], -l0 / eps * (pull @ near))
    for name, value in grad.named().items():
        assert name == "threshold" or not value.any()


def one_latent(architecture, theta, decoder):
    """z = x, reconstruction decoder * f: what the derivatives below are worked out for."""
    weights = Weights(1, 1, architecture.extra, dtype=torch.float64)
    weights.encoder.fill_(1.0)
    weights.decoder.fill_(decoder)
    weights.extra["threshold"].fill_(theta)
    return weights


def threshold_gradient(architecture, theta, decoder, x):
    weights = one_latent(architecture, theta, decoder)
    flat = weights.flat.clone().requires_grad_(True)
    architecture.losses(weights.like(flat), x, Context()).total().backward()
    return float(weights.like(flat.grad).extra["threshold"][0])


@pytest.mark.parametrize("decoder", [0.0, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("theta", [0.25, 0.6])
@pytest.mark.parametrize("eps", [0.2, 0.02])
@pytest.mark.parametrize("architecture", JUMPS, ids=["JumpReLU", "TanhJumpReLU"])
def test_threshold_gradient_is_the_slope_of_the_expected_loss(architecture, eps, theta, decoder):
    """For z uniform on [0, 1] and x = z everything is known.

    E loss = theta^3/3 + (1 - v)^2 (1 - theta^3)/3 has the slope theta^2 (2v - v^2). The rectangle
    averages the derivative by f around theta, which gives that less v^2 theta eps/4.
    """
    architecture = replace(architecture, bandwidth=eps)
    x = (torch.arange(10_000, dtype=torch.float64)[:, None] + 0.5) / 10_000
    found = threshold_gradient(architecture, theta, decoder, x)
    v = decoder
    exact = theta**2 * (2 * v - v * v)
    assert found == pytest.approx(exact - v * v * theta * eps / 4, abs=1e-6)
    losses = [
        float(architecture.losses(one_latent(architecture, t, v), x, Context()).total())
        for t in (theta - eps / 2, theta + eps / 2)
    ]
    smoothed = (losses[1] - losses[0]) / eps
    # the loss is cubic in theta: its difference quotient is off by (2v - v^2) eps^2/12
    assert smoothed == pytest.approx(exact + (2 * v - v * v) * eps**2 / 12, abs=1e-6)
    assert abs(found - smoothed) <= v * v * theta * eps / 4 + eps**2 / 6 + 1e-6


@pytest.mark.parametrize("eps", [0.2, 0.02])
def test_threshold_gradient_of_the_step_penalty(eps):
    """The share of z above theta falls as theta rises: slope -l0 times the density, exactly."""
    x = (torch.arange(10_000, dtype=torch.float64)[:, None] + 0.5) / 10_000
    found = threshold_gradient(JumpReLU(0.3, bandwidth=eps), 0.4, 0.0, x)
    assert found == pytest.approx(-0.3, abs=1e-9)


def test_threshold_gradient_of_the_tanh_penalty():
    """Slope of E tanh(c v z H(z - theta)) is -tanh(c v theta); the rectangle sees c v theta/2.

    tanh has no jump in its argument, so its derivative is taken on both sides of theta: 1 below,
    where f = 0, and 1 - tanh^2 above. For small c v the two slopes agree.
    """
    x = (torch.arange(20_000, dtype=torch.float64)[:, None] + 0.5) / 20_000
    for scale in (0.01, 0.5):
        tanh = TanhJumpReLU(1.0, tanh_scale=scale, pre_activation=0.0, bandwidth=0.01)
        silent = TanhJumpReLU(0.0, tanh_scale=scale, pre_activation=0.0, bandwidth=0.01)
        theta, v = 0.4, 1.3
        found = threshold_gradient(tanh, theta, v, x) - threshold_gradient(silent, theta, v, x)
        a = scale * v
        inside = 0.5 * a * theta * (2.0 - math.tanh(a * theta) ** 2)
        assert found == pytest.approx(-inside, rel=2e-3)
        assert found == pytest.approx(-math.tanh(a * theta), rel=1e-4 + a * a * theta**2)


def test_pre_activation_loss_has_ordinary_gradients():
    """Below threshold the loss is smooth: central differences, in every parameter."""
    architecture = TanhJumpReLU(0.0, pre_activation=0.3)
    weights, x = random_sae(architecture, 5, 3), inputs(40, 3)
    weights.encoder_bias.sub_(20.0)
    flat = weights.flat.clone().requires_grad_(True)

    def penalty(values):
        own = weights.like(values)
        return architecture.penalty(own, x, architecture.encode(own, x), Context()).sum()

    assert float(penalty(weights.flat)) > 100.0
    assert torch.autograd.gradcheck(penalty, (flat,), eps=1e-6, rtol=1e-7)


def test_dead_latents_of_a_jumprelu_move_by_the_pre_activation_loss_only():
    weights, x = random_sae(TanhJumpReLU(), 5, 3), inputs(40, 3)
    weights.encoder_bias.fill_(-50.0)
    for architecture in (JumpReLU(0.1), TanhJumpReLU(pre_activation=0.0), TanhJumpReLU()):
        flat = weights.flat.clone().requires_grad_(True)
        architecture.losses(weights.like(flat), x, Context()).total().backward()
        grad = weights.like(flat.grad)
        moved = bool(grad.encoder_bias.any())
        assert moved == (getattr(architecture, "pre_activation", 0.0) > 0.0)
        if moved:  # a step against the gradient raises the bias and lowers the threshold
            assert bool((grad.encoder_bias < 0.0).all())
            assert bool((grad.extra["threshold"] > 0.0).all())


# ---- TopK -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.data())
def test_topk_keeps_the_largest_and_at_most_k(n, data):
    """Pre-activations are small whole numbers, so that ties are common."""
    k, rows = data.draw(st.integers(1, n)), data.draw(st.integers(1, 5))
    z = data.draw(st.lists(st.integers(-3, 3), min_size=n * rows, max_size=n * rows))
    z = torch.tensor(z, dtype=torch.float64).view(rows, n)
    weights = Weights(n, n, dtype=torch.float64)
    weights.encoder.copy_(torch.eye(n))
    f = TopK(k).encode(weights, z)
    assert bool(((f > 0).sum(1) == (z > 0).sum(1).clamp(max=k)).all())
    assert bool(((f == 0) | (f == z)).all())
    largest = z.relu().sort(1, descending=True).values[:, :k]
    assert torch.equal(f.sort(1, descending=True).values[:, :k], largest)


@pytest.mark.parametrize("auxk", [1, 3, 10])
def test_auxiliary_loss_is_the_formula(auxk):
    """The largest of the dead latents, without the decoder bias, on what the others miss."""
    architecture = TopK(2, auxk=auxk, auxk_weight=0.3)
    weights, x = random_sae(architecture, 9, 4), inputs(30, 4)
    dead = torch.tensor([True, False] * 4 + [True])
    at = architecture.losses(weights, x, Context(dead=dead))
    w = {name: value.numpy() for name, value in weights.named().items()}
    f = numpy_activations(architecture, w, x.numpy())
    residual = x.numpy() - f @ w["decoder"] - w["decoder_bias"]
    own = np.maximum(x.numpy() @ w["encoder"].T + w["encoder_bias"], 0.0) * dead.numpy()
    np.put_along_axis(own, np.argsort(-own, axis=1)[:, auxk:], 0.0, axis=1)
    expected = 0.3 * ((residual - own @ w["decoder"]) ** 2).sum(1)
    np.testing.assert_allclose(at.auxiliary.numpy(), expected, rtol=1e-10)
    assert float(at.total()) == pytest.approx(float((at.reconstruction + at.auxiliary).mean()))


def test_auxiliary_gradient_goes_to_dead_latents_only():
    architecture = TopK(2, auxk=2)
    weights, x = random_sae(architecture, 9, 4), inputs(30, 4)
    dead = torch.arange(9) % 3 == 0
    flat = weights.flat.clone().requires_grad_(True)
    architecture.losses(weights.like(flat), x, Context(dead=dead)).auxiliary.sum().backward()
    grad = weights.like(flat.grad)
    assert not grad.decoder_bias.any()
    for values in (grad.encoder, grad.decoder, grad.encoder_bias[:, None]):
        assert not values[~dead].any()
        assert bool(values[dead].any(1).all())


def test_no_auxiliary_loss_without_dead_latents():
    weights, x = random_sae(TopK(2), 9, 4), inputs(30, 4)
    for architecture, dead in [
        (TopK(2, auxk=3), None),
        (TopK(2, auxk=3), torch.zeros(9, dtype=torch.bool)),
        (TopK(2), torch.ones(9, dtype=torch.bool)),
    ]:
        assert not architecture.losses(weights, x, Context(dead=dead)).auxiliary.any()
    assert TopK(2, auxk=3).needs_dead
    assert not any(a.needs_dead for a in (TopK(2), ReLU(), JumpReLU(0.1), TanhJumpReLU()))


# ---- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, "0.1", None, True])
@pytest.mark.parametrize(
    ("kind", "name", "others"),
    [
        (ReLU, "l1", {}),
        (TopK, "auxk_weight", {"k": 1}),
        (JumpReLU, "l0", {}),
        (JumpReLU, "threshold", {"l0": 0.1}),
        (JumpReLU, "bandwidth", {"l0": 0.1}),
        (TanhJumpReLU, "sparsity", {}),
        (TanhJumpReLU, "tanh_scale", {}),
        (TanhJumpReLU, "pre_activation", {}),
        (TanhJumpReLU, "bandwidth", {}),
        (TanhJumpReLU, "threshold", {}),
    ],
)
def test_bad_numbers_are_refused(kind, name, others, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a number "):
        kind(**others, **{name: value})


@pytest.mark.parametrize(
    ("kind", "name", "others"),
    [
        (JumpReLU, "bandwidth", {"l0": 0.1}),
        (TanhJumpReLU, "tanh_scale", {}),
        (TanhJumpReLU, "bandwidth", {}),
    ],
)
def test_numbers_that_are_divided_by_must_not_be_zero(kind, name, others):
    with pytest.raises(ValueError, match=rf"^{name} must be a number greater than 0, got 0.0"):
        kind(**others, **{name: 0.0})


@pytest.mark.parametrize("value", [-1, 1.5, math.nan, "2", None, True])
@pytest.mark.parametrize(("name", "others"), [("k", {}), ("auxk", {"k": 1})])
def test_bad_counts_are_refused(name, others, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a whole number "):
        TopK(**others, **{name: value})


def test_topk_needs_as_many_latents():
    with pytest.raises(ValueError, match=r"^k must be a whole number of at least 1, got 0"):
        TopK(0)
    TopK(4).check(4)
    with pytest.raises(ValueError, match=r"^k must be at most the width, got k=4 for width=3"):
        TopK(4).check(3)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=KINDS)
def test_architectures_are_frozen_values(architecture):
    assert architecture == replace(architecture)
    assert hash(architecture) == hash(replace(architecture))
    with pytest.raises(FrozenInstanceError):
        architecture.l1 = 2.0


def test_weights_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"^flat must have shape \(20,\) for width 3 and dimensi"):
        Weights(3, 2, ("threshold",), torch.zeros(19))
    assert Weights(3, 2, ("threshold",)).flat.shape == (20,)


def test_weights_are_views_of_one_array():
    weights = Weights(3, 2, ("threshold",), torch.arange(20.0))
    for value in weights.named().values():
        value.add_(100.0)
    assert torch.equal(weights.flat, torch.arange(20.0) + 100.0)
    assert weights.like().flat.sum() == 0.0
    assert list(weights.named())[-1] == "threshold"
