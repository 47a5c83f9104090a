"""Gated: which latents fire, how much, and which half of the encoder learns from what."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import Context, Gated, ReLU
from scaling_theory.sae.manifolds import Circle, Sphere
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import Trainer
from scaling_theory.sae.weights import Weights


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_sae(n, d, seed=0):
    """Float64 weights."""
    weights = Weights(n, d, Gated().extra, dtype=torch.float64)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=seeded(seed)))
    return weights


def inputs(rows, d, seed=1):
    return torch.randn(rows, d, generator=seeded(seed), dtype=torch.float64)


def gradient(architecture, weights, x, of):
    flat = weights.flat.clone().requires_grad_(True)
    losses = architecture.losses(weights.like(flat), x, Context())
    (grad,) = torch.autograd.grad(sum(getattr(losses, name).mean() for name in of), flat)
    return weights.like(grad)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 30), d=st.integers(1, 6), rows=st.integers(1, 20), seed=st.integers(0, 99))
def test_losses_are_the_formulas(n, d, rows, seed):
    architecture = Gated(0.3)
    weights, x = random_sae(n, d, seed), inputs(rows, d, seed + 1)
    w = {name: value.numpy() for name, value in weights.named().items()}
    gate = x.numpy() @ w["encoder"].T + w["encoder_bias"]
    size = x.numpy() @ (np.exp(w["log_scale"])[:, None] * w["encoder"]).T + w["magnitude_bias"]
    f = np.where(gate > 0.0, np.maximum(size, 0.0), 0.0)
    np.testing.assert_allclose(architecture.encode(weights, x).numpy(), f, rtol=1e-10, atol=1e-12)
    on = np.maximum(gate, 0.0)
    at = architecture.losses(weights, x, Context(0.25))
    for found, activations in ((at.reconstruction, f), (at.auxiliary, on)):
        missed = x.numpy() - activations @ w["decoder"] - w["decoder_bias"]
        np.testing.assert_allclose(found.numpy(), (missed**2).sum(1), rtol=1e-9)
    norms = np.sqrt((w["decoder"] ** 2).sum(1))
    np.testing.assert_allclose(at.penalty.numpy(), 0.25 * 0.3 * (on * norms).sum(1), rtol=1e-10)


def test_it_starts_as_a_relu():
    weights, x = random_sae(9, 4), inputs(30, 4)
    for name, value in Gated().initial().items():
        weights.extra[name].fill_(value)
    weights.encoder_bias.zero_()
    assert torch.equal(Gated().encode(weights, x), ReLU().encode(weights, x))
    assert Gated().l1 == ReLU().l1 == 0.1
    assert set(Gated().initial()) == set(Gated().extra)


def test_penalty_trains_the_gate_alone():
    """Not the decoder, whose norms weigh it, nor what measures how much a latent fires."""
    weights, x = random_sae(9, 4), inputs(30, 4)
    grad = gradient(Gated(0.3), weights, x, ["penalty"])
    on = ((x @ weights.encoder.T + weights.encoder_bias) > 0.0).double()
    norms = weights.decoder.norm(dim=1)
    torch.testing.assert_close(grad.encoder_bias, 0.3 * on.mean(0) * norms)
    torch.testing.assert_close(grad.encoder, 0.3 / 30 * norms[:, None] * (on.T @ x))
    for name in ("decoder", "decoder_bias", "log_scale", "magnitude_bias"):
        assert not grad.named()[name].any()


def test_auxiliary_takes_the_decoder_as_given():
    weights, x = random_sae(9, 4), inputs(30, 4)
    grad = gradient(Gated(0.3), weights, x, ["auxiliary"])
    assert grad.encoder.any()
    assert grad.encoder_bias.any()
    for name in ("decoder", "decoder_bias", "log_scale", "magnitude_bias"):
        assert not grad.named()[name].any()


@settings(deadline=None, max_examples=25)
@given(factor=st.floats(0.1, 10.0), seed=st.integers(0, 2**31))
def test_losses_do_not_depend_on_how_large_decoder_rows_are(factor, seed):
    """Rows c times as large with an encoder 1/c times as large are the same SAE."""
    weights, x = random_sae(9, 4, seed), inputs(30, 4, seed + 1)
    other = weights.like(weights.flat.clone())
    other.decoder.mul_(factor)
    for value in (other.encoder, other.encoder_bias, other.extra["magnitude_bias"]):
        value.div_(factor)
    at, found = (Gated(0.3).losses(w, x, Context()) for w in (weights, other))
    for a, b in zip(at, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_decoder_rows_neither_grow_nor_shrink_by_the_way_they_are_counted():
    """Along that direction the decoder's gradient is that of the activations, as without penalty.

    The reconstruction is the same for rows c times and magnitudes 1/c times as large, so what it
    does to the two is opposite; the penalty and the auxiliary loss add nothing to the decoder's.
    """
    weights, x = random_sae(9, 4), inputs(200, 4)
    grad = gradient(Gated(0.3), weights, x, ["reconstruction", "penalty", "auxiliary"])
    size = gradient(Gated(0.3), weights, x, ["reconstruction"])
    rows = (grad.decoder * weights.decoder).sum(1)
    # d/dr and d/db_m together scale the magnitudes
    magnitudes = (
        size.extra["log_scale"] + size.extra["magnitude_bias"] * weights.extra["magnitude_bias"]
    )
    torch.testing.assert_close(rows, magnitudes)


@pytest.mark.parametrize("path", ["compiled", "blocked", "reference"])
def test_a_run_goes_on_where_it_was_stopped(path):
    spec = RunSpec(Circle(), Gated(), 12, steps=60, batch_size=32, evaluation=500)
    whole, first, second = (Trainer(spec, path=path) for _ in range(3))
    whole.advance(60)
    first.advance(31)
    second.load_state(first.state())
    second.advance(60)
    assert torch.equal(whole.weights.flat, second.weights.flat)
    assert {**whole.row(), "seconds": 0} == {**second.row(), "seconds": 0}
    for name, start in spec.architecture.initial().items():
        assert bool((whole.weights.extra[name] != start).any())


def test_activations_are_not_shrunk():
    """The reconstruction of ReLU is scaled down by its penalty, that of Gated is not.

    One latent for each of two opposite ends of a line: with x = +-v the ReLU's best activation is
    1 - l1/2 at unit norms, and its squared error is l1^2/4, where Gated has none.
    """
    spec = RunSpec(
        Sphere(1), ReLU(0.4), 2, steps=1500, batch_size=64, learning_rate=3e-3, evaluation=500
    )
    rows = []
    for architecture in (ReLU(0.4), Gated(0.4)):
        trainer = Trainer(
            replace(spec, architecture=architecture, unit_norm=True, seed=1), path="blocked"
        )
        trainer.advance(spec.steps)
        rows.append(trainer.row())
    assert rows[0]["reconstruction"] == pytest.approx(0.04, rel=0.02)
    assert rows[1]["reconstruction"] < 1e-4


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, "0.1", None, True])
def test_bad_weights_are_refused(value):
    with pytest.raises(ValueError, match=r"^l1 must be a number of at least 0, got "):
        Gated(value)
