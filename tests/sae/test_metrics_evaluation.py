"""Losses and firing of SAEs made by hand, against float64 formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import Context, JumpReLU, ReLU, TanhJumpReLU, TopK
from scaling_theory.sae.manifolds import Points, Sphere
from scaling_theory.sae.metrics import empty_loss, evaluate, magnitude
from scaling_theory.sae.weights import Weights

ARCHITECTURES = [ReLU(0.1), TopK(3, auxk=2), JumpReLU(0.02, threshold=0.3), TanhJumpReLU()]
KINDS = [type(a).__name__ for a in ARCHITECTURES]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_sae(architecture, n, d, seed=0):
    weights = Weights(n, d, architecture.extra)
    weights.flat.copy_(0.5 * torch.randn(weights.flat.shape, generator=seeded(seed)))
    for name, value in architecture.initial().items():
        weights.extra[name].fill_(value)
    return weights


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def double(weights):
    return {name: value.double().numpy() for name, value in weights.named().items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=KINDS)
def test_evaluation_is_the_formulas_in_float64(architecture):
    n, d = 11, 4
    weights, x = random_sae(architecture, n, d), torch.randn(500, d, generator=seeded(1)) + 2.0
    w, rows = double(weights), x.double().numpy()
    z = rows @ w["encoder"].T + w["encoder_bias"]
    norms = np.sqrt((w["decoder"] ** 2).sum(1))
    if isinstance(architecture, TopK):
        f = np.maximum(z, 0.0)
        f[f < np.sort(f, axis=1)[:, [-3]]] = 0.0
        penalty = np.zeros(500)
    elif isinstance(architecture, ReLU):
        f = np.maximum(z, 0.0)
        penalty = 0.1 * f @ norms
    else:
        theta = w["threshold"]
        f = np.where(z > theta, z, 0.0)
        if isinstance(architecture, JumpReLU):
            penalty = 0.02 * (f > 0.0).sum(1)
        else:
            penalty = np.tanh(0.1 * f * norms).sum(1) + 3e-6 * np.maximum(theta - z, 0.0) @ norms
    error = ((rows - f @ w["decoder"] - w["decoder_bias"]) ** 2).sum(1)
    found = evaluate(architecture, weights, x)
    assert found.reconstruction == pytest.approx(error.mean(), rel=1e-6)
    assert found.penalty == pytest.approx(penalty.mean(), rel=1e-6)
    assert found.loss == pytest.approx((error + penalty).mean(), rel=1e-6)
    assert found.stderr == pytest.approx((error + penalty).std(ddof=1) / math.sqrt(500), rel=1e-6)
    assert found.fvu == pytest.approx(error.sum() / ((rows - rows.mean(0)) ** 2).sum(), rel=1e-6)
    np.testing.assert_array_equal(found.frequencies.numpy(), (f > 0).mean(0))
    assert found.l0 == found.overlap == pytest.approx((f > 0).sum(1).mean(), rel=1e-12)
    assert found.rows == 500


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=KINDS)
def test_loss_is_that_of_training_without_the_auxiliary(architecture):
    weights, x = random_sae(architecture, 20, 5), torch.randn(100, 5, generator=seeded(2))
    dead = torch.arange(20) < 10
    losses = architecture.losses(weights, x, Context(1.0, dead))
    found = evaluate(architecture, weights, x)
    expected = (losses.reconstruction + losses.penalty).mean()
    assert found.loss == pytest.approx(float(expected), rel=1e-6)
    assert (losses.auxiliary.mean() > 1e-3) == (isinstance(architecture, TopK))


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 70), st.integers(1, 70), st.sampled_from(ARCHITECTURES))
def test_blocks_do_not_matter(rows, block, architecture):
    weights, x = random_sae(architecture, 6, 3), torch.randn(rows, 3, generator=seeded(rows))
    one, many = (evaluate(architecture, weights, x, b) for b in (None, block))
    for name in ("loss", "stderr", "reconstruction", "penalty", "fvu"):
        assert getattr(one, name) == pytest.approx(getattr(many, name), rel=1e-5, abs=1e-12)
    assert torch.equal(one.frequencies, many.frequencies)


def test_identity_has_only_its_penalty():
    """Latents +e_i and -e_i reconstruct everything, at the cost of the L1 norm."""
    weights = Weights(6, 3)
    weights.encoder.copy_(torch.cat([torch.eye(3), -torch.eye(3)]))
    weights.decoder.copy_(2.0 * weights.encoder)
    weights.encoder.div_(2.0)
    x = torch.tensor([[1.0, -2.0, 0.0], [0.5, 0.5, 0.0], [4.0, 0.0, 0.0], [-3.0, 1.0, 0.0]])
    found = evaluate(ReLU(0.25), weights, x)
    assert found.reconstruction == 0.0
    assert found.fvu == 0.0
    assert found.loss == found.penalty == 0.25 * (3 + 1 + 4 + 4) / 4
    assert found.frequencies.tolist() == [0.75, 0.5, 0.0, 0.25, 0.25, 0.0]
    assert found.l0 == 1.75
    assert found.dead == 2
    assert found.alive.tolist() == [True, True, False, True, True, False]


def test_overlap_counts_silent_rows():
    """The manifold is active where no latent fires, too: three rows, one firing of both latents."""
    weights = Weights(2, 1)
    weights.encoder.fill_(1.0)
    found = evaluate(ReLU(), weights, torch.tensor([[1.0], [-1.0], [-2.0]]))
    assert found.overlap == pytest.approx(2 / 3, rel=1e-12)


def test_standard_error_is_the_spread_of_repeats():
    weights = random_sae(ReLU(), 8, 2)
    generator = seeded(3)
    repeats = [
        evaluate(ReLU(), weights, torch.randn(200, 2, generator=generator)) for _ in range(200)
    ]
    spread = np.std([r.loss for r in repeats], ddof=1)
    stated = math.sqrt(np.mean([r.stderr**2 for r in repeats]))
    # the spread of 200 repeats is known to 1/sqrt(400) = 5%
    assert stated == pytest.approx(spread, rel=0.15)


def test_sums_do_not_lose_what_float32_would():
    """A million equal losses: their mean is the loss, to rounding of float64."""
    x = torch.full((2**20, 1), math.sqrt(0.1))
    found = evaluate(ReLU(), Weights(1, 1), x)
    exact = float(x[0].square())
    assert found.loss == pytest.approx(exact, rel=1e-12)
    assert found.reconstruction == pytest.approx(exact, rel=1e-12)
    assert magnitude(x) == pytest.approx(float(x[0].double() ** 2), rel=1e-12)
    assert found.stderr < 1e-12


def test_one_point_has_no_variance():
    x = torch.tensor([[0.1, 0.7]]).expand(1000, 2)
    assert empty_loss(x) == 0.0
    assert math.isnan(evaluate(ReLU(), Weights(1, 2), x).fvu)


def test_losses_without_latents():
    """Far from 0 the magnitude is that of the mean; the variance must not drown in it."""
    x = torch.randn(5000, 3, generator=seeded(4)) + torch.tensor([1000.0, 0.0, 0.0])
    rows = x.double().numpy()
    assert empty_loss(x) == pytest.approx(((rows - rows.mean(0)) ** 2).sum(1).mean(), rel=1e-10)
    assert magnitude(x) == pytest.approx((rows**2).sum(1).mean(), rel=1e-12)
    # an SAE whose latents are silent, with the best bias, and with none
    silent = Weights(1, 3)
    assert evaluate(ReLU(), silent, x).loss == pytest.approx(magnitude(x), rel=1e-6)
    silent.decoder_bias.copy_(x.double().mean(0))
    assert evaluate(ReLU(), silent, x).loss == pytest.approx(empty_loss(x), rel=1e-3)


@pytest.mark.parametrize(
    ("data", "variance"),
    [(Points(), 0.0), (Points([[3.0, 0.0], [1.0, 0.0]]), 1.0), (Sphere(3, radius=2.0), 4.0)],
)
def test_losses_without_latents_of_manifolds(data, variance):
    """Exact and sampled: two points at 1 and 3 have magnitude 5 and variance 1."""
    assert empty_loss(data) == variance
    x = data.sample(20_000, seeded(5))
    assert empty_loss(x) == pytest.approx(variance, abs=0.01)
    assert magnitude(x) == pytest.approx(data.magnitude, rel=0.03)


@pytest.mark.parametrize("x", [
    torch.zeros(1, 3), torch.zeros(5, 2), torch.zeros(3), torch.zeros(5, 3, dtype=torch.int64),
    torch.full((5, 3), math.nan), np.zeros((5, 3)),
])  # fmt: skip
def test_bad_samples_are_refused(x):
    with pytest.raises(ValueError, match=r"^x must "):
        evaluate(ReLU(), Weights(2, 3), x)


def test_bad_blocks_are_refused():
    with pytest.raises(ValueError, match=r"^block must "):
        evaluate(ReLU(), Weights(2, 3), torch.zeros(5, 3), block=0)
