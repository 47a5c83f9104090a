"""Fast gradients of every architecture against float64 autograd."""

import math

import pytest
import torch
from _kernel_checks import (
    DENSE,
    FUSED,
    D,
    check_against_autograd,
    check_gradients,
    random_sae,
    seeded,
    smooth_rows,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import Context, ReLU, TopK
from scaling_theory.sae.kernels import blocked, gradients_for
from scaling_theory.sae.kernels.compiled import block_rows
from scaling_theory.sae.weights import Weights

SHAPES = {
    "n": st.integers(1, 40) | st.sampled_from([64, 65, 130]),
    "rows": st.integers(1, 130) | st.sampled_from([64, 128, 200]),
    "scale": st.sampled_from([1.0, 0.3, 0.0]),
    "seed": st.integers(0, 2**31),
    "zero_rows": st.booleans(),
    "dead": st.sampled_from(["some", "none", "all"]),
}
PLAIN = {"scale": 1.0, "seed": 0, "zero_rows": False, "dead": "some"}


@settings(deadline=None, max_examples=25)
@given(**SHAPES)
@example(n=1, rows=1, **PLAIN)
@example(n=17, rows=65, **{**PLAIN, "zero_rows": True})
@example(n=33, rows=64, **{**PLAIN, "dead": "all"})
@example(n=16, rows=63, **{**PLAIN, "scale": 0.0})
@pytest.mark.parametrize("kind", FUSED)
def test_compiled_gradients_are_those_of_autograd(kind, n, rows, scale, seed, zero_rows, dead):
    check_gradients("compiled", kind, n, D, rows, scale, seed, zero_rows, dead)


@settings(deadline=None, max_examples=25)
@given(**SHAPES)
@pytest.mark.parametrize(("kind", "d"), [("relu", 2), ("topk", 1)])
def test_compiled_gradients_in_few_dimensions(kind, d, n, rows, scale, seed, zero_rows, dead):
    """No four are taken together. Other units and dimensions are among the slow tests."""
    check_gradients("compiled", kind, n, d, rows, scale, seed, zero_rows, dead)


@settings(deadline=None, max_examples=25)
@given(d=st.sampled_from([1, 2, 3, 5, 8]), numbers=st.sampled_from([1, 500, 2**18]), **SHAPES)
@example(d=5, numbers=500, n=1, rows=1, **PLAIN)
@example(d=5, numbers=500, n=17, rows=65, **{**PLAIN, "zero_rows": True})
@example(d=5, numbers=500, n=33, rows=64, **{**PLAIN, "dead": "all"})
@pytest.mark.parametrize("kind", FUSED)
def test_blocked_gradients_are_those_of_autograd(
    kind, d, numbers, n, rows, scale, seed, zero_rows, dead
):
    """Whatever the size of the blocks: of one latent, of some, of all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(blocked._NUMBERS, "cpu", numbers)
        check_gradients("blocked", kind, n, d, rows, scale, seed, zero_rows, dead)


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 4, 8, 11, 64])
@pytest.mark.parametrize("kind", FUSED)
def test_compiled_gradients_in_other_dimensions(kind, d):
    for seed, (n, rows) in enumerate([(1, 1), (7, 100), (64, 64), (129, 300)]):
        check_gradients("compiled", kind, n, d, rows, seed=seed)


@pytest.mark.parametrize(
    ("kind", "rows", "length"),
    [
        ("relu", 1023, 64),
        ("relu", 1100, 128),
        ("relu", 2085, 256),
        ("jumprelu", 2085, 256),
        ("tanh_jumprelu", 2085, 256),
    ],
)
def test_compiled_gradients_with_blocks_of_every_length(kind, rows, length):
    """Some end in the middle of a block, where rows that do not exist must count for nothing."""
    assert block_rows(D, rows) == length
    check_gradients("compiled", kind, 33, D, rows)


def test_blocks_fit_the_first_cache():
    for dimension in range(1, 65):
        for batch_size in (1, 63, 1024, 2048, 10**6):
            rows = block_rows(dimension, batch_size)
            assert rows in (64, 128, 256)
            assert rows == 64 or 2 * 4 * rows * dimension <= 16_384  # inputs and residuals
            assert rows == 64 or batch_size // rows >= 8


@pytest.mark.parametrize("path", ["compiled", "blocked"])
@pytest.mark.parametrize("kind", FUSED)
def test_gradients_of_a_large_batch(kind, path):
    """Many rows and latents: float32 sums must not lose more than a single one does."""
    check_gradients(path, kind, 300, D, 2048, seed=3)


@pytest.mark.parametrize("path", DENSE)
def test_comparison_sees_a_thousandth_of_the_penalty(path):
    weights = random_sae(ReLU(), 20, D)
    x = smooth_rows(ReLU(), weights, 70, torch.zeros(20, dtype=torch.bool), 1)
    check_against_autograd(path, ReLU(0.3), weights, x, Context())
    with pytest.raises(AssertionError, match=r"^encoder is off by "):
        check_against_autograd(path, ReLU(0.3), weights, x, Context(), exactly=ReLU(0.3003))


@pytest.mark.parametrize("path", DENSE)
@pytest.mark.parametrize("kind", FUSED)
def test_gradients_object_can_be_used_again(kind, path):
    """Buffers and outputs hold nothing of an earlier batch."""
    architecture = FUSED[kind]
    weights, other = random_sae(architecture, 19, D, 1), random_sae(architecture, 19, D, 2)
    x, y = torch.randn(70, D, generator=seeded(3)), torch.randn(70, D, generator=seeded(4))
    context = Context(0.5, torch.arange(19) < 5)
    once, again = weights.like(), weights.like()
    first = gradients_for(path, architecture, 19, D, 70)(weights, x, context, once)
    fired = first.fired.clone()
    used = gradients_for(path, architecture, 19, D, 70)
    other.encoder_bias.fill_(-100.0)
    used(other, y, Context(1.0, torch.ones(19, dtype=torch.bool)), again)
    second = used(weights, x, context, again)
    assert torch.equal(once.flat, again.flat)
    assert first.loss == second.loss
    assert torch.equal(fired, second.fired)


@pytest.mark.parametrize("kind", FUSED)
def test_inputs_and_weights_are_left_alone(kind):
    architecture = FUSED[kind]
    weights, x = random_sae(architecture, 19, D), torch.randn(70, D, generator=seeded(3))
    before, rows = weights.flat.clone(), x.clone()
    for path in DENSE:
        context = Context(1.0, torch.arange(19) < 5)
        gradients_for(path, architecture, 19, D, 70)(weights, x, context, weights.like())
        assert torch.equal(weights.flat, before)
        assert torch.equal(x, rows)
        assert not weights.flat.requires_grad


@pytest.mark.parametrize("path", DENSE)
def test_exact_ties_of_topk_give_a_gradient_of_some_choice(path):
    """Two equal latents, one may fire: the loss is the same whichever it is, so is their sum."""
    weights = random_sae(TopK(1), 1, D)
    twice = Weights(2, D)
    for name, value in weights.named().items():
        twice.named()[name].copy_(value if name == "decoder_bias" else torch.cat([value, value]))
    x = torch.randn(70, D, generator=seeded(3))
    one, two = weights.like(), twice.like()
    single = gradients_for(path, TopK(1), 1, D, 70)(weights, x, Context(), one)
    both = gradients_for(path, TopK(1), 2, D, 70)(twice, x, Context(), two)
    assert both.loss == pytest.approx(single.loss, rel=1e-6)
    torch.testing.assert_close(two.decoder.sum(0), one.decoder[0])
    torch.testing.assert_close(two.encoder.sum(0), one.encoder[0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("path", DENSE)
@pytest.mark.parametrize("kind", FUSED)
def test_loss_is_not_finite_where_an_input_or_the_decoder_is_not(kind, path, value):
    architecture = FUSED[kind]
    for name in ("x", "decoder", "decoder_bias"):
        weights, x = random_sae(architecture, 7, D), torch.randn(70, D, generator=seeded(3))
        {**weights.named(), "x": x}[name].view(-1)[3] = value
        weights.encoder_bias[0] = 50.0  # the latent of the decoder row fires
        step = gradients_for(path, architecture, 7, D, 70)(weights, x, Context(), weights.like())
        assert not math.isfinite(step.loss), name
