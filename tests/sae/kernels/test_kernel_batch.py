"""Kernels that select among the rows of a batch, or have several residuals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from _kernel_checks import (
    DENSE,
    FUSED,
    D,
    check_against_autograd,
    check_gradients,
    near_boundary,
    random_sae,
    seeded,
    smooth_rows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import BatchTopK, Context, Gated, Matryoshka
from scaling_theory.sae.kernels import gradients_for
from scaling_theory.sae.kernels.compiled import block_rows
from scaling_theory.sae.weights import Weights

BATCH = ["batch_topk", "matryoshka"]
NOBODY = torch.zeros(0, dtype=torch.bool)


def gradients(path, architecture, weights, x, context=None):
    out = weights.like(torch.full_like(weights.flat, math.nan))
    shape = (weights.width, weights.dimension, len(x))
    step = gradients_for(path, architecture, *shape)(weights, x, context or Context(), out)
    return step, out


def permuted(weights, order):
    """The same SAE with its latents in another order."""
    new = weights.like(weights.flat.clone())
    for name, value in new.named().items():
        if name != "decoder_bias":
            value.copy_(weights.named()[name][order])
    return new


# ---- the hint -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(
    before=st.sampled_from([1e-6, 1e-3, 0.5, 2.0, 1e3, 1e6]),
    shift=st.sampled_from([0.0, -100.0, 100.0]),
    k=st.integers(1, 19),
    seed=st.integers(0, 2**31),
)
@pytest.mark.parametrize("path", ["compiled", "blocked"])
@pytest.mark.parametrize("kind", BATCH)
def test_what_was_kept_before_changes_no_result(kind, path, before, shift, k, seed):
    """A bound from weights of quite another size: too high, too low, or of latents all dead."""
    architecture = replace(FUSED[kind], k=k)
    weights, other = (
        random_sae(architecture, 19, D, seed),
        random_sae(architecture, 19, D, seed + 1),
    )
    x = torch.randn(70, D, generator=seeded(seed))
    other.encoder.mul_(before)
    other.encoder_bias.mul_(before).add_(shift)
    context = Context(1.0, torch.arange(19) < 5)
    first, once = gradients(path, architecture, weights, x, context)
    used, again = gradients_for(path, architecture, 19, D, 70), weights.like()
    used(other, x, context, again)
    second = used(weights, x, context, again)
    assert first.loss == second.loss
    assert torch.equal(once.flat, again.flat)
    assert torch.equal(first.fired, second.fired)


@pytest.mark.parametrize("spread", [0.0, 1e-30, 1e-3, 1.0, 1e4])
def test_candidates_are_found_whatever_the_sizes(spread):
    """Pre-activations all in one bin, of all sizes, or subnormal: as many are kept as should be."""
    architecture = BatchTopK(3)
    weights = Weights(40, D, architecture.extra)
    weights.encoder_bias.copy_(1.0 + spread * torch.rand(40, generator=seeded(1)))
    weights.encoder_bias[:5] = torch.tensor([1e-39, 1e-30, 1e-20, 1e20, 1e30])
    weights.encoder[5:].normal_(generator=seeded(2)).mul_(1e-4)
    weights.decoder[5:].normal_(generator=seeded(3))
    x = torch.randn(90, D, generator=seeded(4))
    for path in DENSE:
        step, out = gradients(path, architecture, weights, x)
        assert step.fired[3:5].all()
        assert not step.fired[:3].any()
        assert math.isfinite(step.loss)
        assert torch.isfinite(out.flat).all()


def passes(architecture, weights, batches):
    """Passes over pre-activations that each of some batches takes, and the gradients."""
    compiled = gradients_for("compiled", architecture, weights.width, D, len(batches[0]))
    found, out, taken = compiled._candidates, weights.like(), []
    seen = {"_collect": found._collect, "_count": found._count}
    for name, own in seen.items():
        setattr(found, name, lambda *args, own=own: (taken.append(1), own(*args)))
    counts = []
    for x in batches:
        taken.clear()
        compiled(weights, x, Context(), out)
        counts.append(len(taken))
    return counts, out, found


@pytest.mark.parametrize("shift", [-9.0, 0.0])
def test_a_step_like_the_one_before_takes_one_pass(shift, set_threads):
    """Where fewer are positive than are to be kept, too, and where none is."""
    set_threads(1)
    architecture = BatchTopK(8)
    weights = random_sae(architecture, 12, D)
    weights.encoder_bias.add_(shift)
    x = torch.randn(70, D, generator=seeded(1))
    assert int((x @ weights.encoder.T + weights.encoder_bias > 0.0).sum()) < 8 * 70
    counts, out, _ = passes(architecture, weights, [x] * 4)
    assert counts[1:] == [1, 1, 1]
    torch.testing.assert_close(
        out.flat, gradients("reference", architecture, weights, x)[1].flat, rtol=1e-4, atol=1e-5
    )
    weights.encoder_bias.add_(30.0 - shift)  # all are positive: exactly as many as are to be kept
    counts, out, found = passes(BatchTopK(12), weights, [x] * 3)
    assert counts[1:] == [1, 1]
    assert found._bound > 0.0


def test_room_for_candidates_is_given_back(set_threads):
    """After a bound of 0 on inputs of which nearly all are positive."""
    set_threads(1)
    architecture = BatchTopK(1)
    weights = random_sae(architecture, 400, D)
    few, many = (weights.like(weights.flat.clone()) for _ in range(2))
    few.encoder_bias.sub_(50.0)
    many.encoder_bias.add_(50.0)
    x = torch.randn(70, D, generator=seeded(1))
    compiled, out = gradients_for("compiled", architecture, 400, D, 70), weights.like()
    rooms = []
    for each in (few, many, weights, weights, weights):
        compiled(each, x, Context(), out)
        rooms.append(compiled._candidates._values.shape[1])
    assert rooms[0] == 64
    assert rooms[1] > 32 * 400
    assert rooms[-1] < 1000
    assert torch.equal(out.flat, gradients("compiled", architecture, weights, x)[1].flat)


# ---- what is kept ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(k=st.integers(1, 9), rows=st.integers(1, 80), seed=st.integers(0, 2**31))
@pytest.mark.parametrize("path", DENSE)
def test_k_a_row_are_kept_of_all_rows(path, k, rows, seed):
    """With decoder rows of zeros and one bias, the gradient of the bias counts what is kept."""
    architecture = BatchTopK(k)
    weights = random_sae(architecture, 9, D, seed)
    weights.encoder_bias.add_(30.0)  # all are positive
    x = smooth_rows(architecture, weights, rows, NOBODY, seed)
    weights.decoder.fill_(1.0)
    weights.decoder_bias.fill_(1e4)  # every error is about the same: d/db_j counts rows
    _, out = gradients(path, architecture, weights, x)
    count = out.encoder_bias.double() * rows / (2.0 * D * 1e4)
    # activations of at most 9 latents of size 50 or so and inputs are left in the errors
    assert float(count.sum()) == pytest.approx(k * rows, rel=0.1)
    _, expected = gradients("reference", architecture, weights, x)
    torch.testing.assert_close(out.encoder_bias, expected.encoder_bias, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("path", DENSE)
@pytest.mark.parametrize("kind", BATCH)
def test_all_that_equal_the_smallest_are_kept(kind, path):
    """Two latents that are copies: both fire wherever one does, on every path."""
    architecture = replace(FUSED[kind], k=1, auxk=0)
    weights = random_sae(architecture, 8, D)
    for name, value in weights.named().items():
        if name != "decoder_bias":
            value[4:] = value[:4]
    x = torch.randn(71, D, generator=seeded(3))
    z = (
        (x @ weights.encoder[:4].T + weights.encoder_bias[:4])
        .flatten()
        .sort(descending=True)
        .values
    )
    assert z[35] > 0.0  # 71 entries of two copies each: the 36th pair is cut in two
    step, out = gradients(path, architecture, weights, x)
    assert torch.equal(step.fired[:4], step.fired[4:])
    if kind == "batch_topk":
        torch.testing.assert_close(out.encoder[:4], out.encoder[4:], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(out.decoder[:4], out.decoder[4:], rtol=1e-5, atol=1e-6)
    _, exact = gradients("reference", architecture, weights, x)
    torch.testing.assert_close(out.flat, exact.flat, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(n=st.integers(4, 40), rows=st.integers(1, 80), seed=st.integers(0, 2**31))
@pytest.mark.parametrize("path", DENSE)
@pytest.mark.parametrize("kind", [*BATCH, "gated"])
def test_latents_in_another_order_have_the_gradients_in_that_order(kind, path, n, rows, seed):
    """For Matryoshka where each stays in its part: there the order of latents says something."""
    architecture = FUSED[kind]
    weights = random_sae(architecture, n, D, seed)
    x = smooth_rows(architecture, weights, rows, torch.arange(n) % 3 == 0, seed)
    ends = (0, *architecture.sizes(n)) if kind == "matryoshka" else (0, n)
    parts = np.split(np.arange(n), ends[1:-1])
    generator = np.random.default_rng(seed)
    order = torch.from_numpy(np.concatenate([generator.permutation(part) for part in parts]))
    dead = torch.arange(n) % 3 == 0
    step, out = gradients(path, architecture, weights, x, Context(0.5, dead))
    moved = permuted(weights, order)
    other, found = gradients(path, architecture, moved, x, Context(0.5, dead[order]))
    assert other.loss == pytest.approx(step.loss, rel=1e-5)
    assert torch.equal(other.fired, step.fired[order])
    whole = float(out.flat.norm())
    assert float((found.flat - permuted(out, order).flat).norm()) <= 1e-5 * whole


@pytest.mark.parametrize("path", DENSE)
def test_matryoshka_sees_latents_that_change_places(path):
    architecture = Matryoshka(3, prefixes=(0.5, 1.0))
    weights = random_sae(architecture, 8, D)
    x = smooth_rows(architecture, weights, 70, NOBODY, 1)
    step, _ = gradients(path, architecture, weights, x)
    other, _ = gradients(path, architecture, permuted(weights, torch.arange(8).flip(0)), x)
    assert abs(other.loss - step.loss) > 1e-3 * step.loss


@pytest.mark.parametrize("path", DENSE)
def test_one_prefix_is_batch_topk(path):
    """Bit for bit."""
    one, two = BatchTopK(3, auxk=2), Matryoshka(3, prefixes=(1.0,), auxk=2)
    weights, x = random_sae(one, 19, D), torch.randn(70, D, generator=seeded(3))
    context = Context(1.0, torch.arange(19) < 5)
    step, out = gradients(path, one, weights, x, context)
    other, found = gradients(path, two, weights, x, context)
    assert step.loss == other.loss
    assert torch.equal(out.flat, found.flat)


@pytest.mark.parametrize("path", DENSE)
@pytest.mark.parametrize("kind", BATCH)
def test_thresholds_have_no_gradient_and_no_say(kind, path):
    architecture = FUSED[kind]
    weights, x = random_sae(architecture, 19, D), torch.randn(70, D, generator=seeded(3))
    step, out = gradients(path, architecture, weights, x)
    assert not out.extra["threshold"].any()
    weights.extra["threshold"].add_(5.0)
    other, found = gradients(path, architecture, weights, x)
    assert step.loss == other.loss
    assert torch.equal(out.flat, found.flat)


# ---- comparisons that can fail --------------------------------------------------------------


@pytest.mark.parametrize("path", DENSE)
@pytest.mark.parametrize(
    ("architecture", "other"),
    [
        (BatchTopK(3), BatchTopK(4)),
        (BatchTopK(3, auxk=2, auxk_weight=0.5), BatchTopK(3, auxk=2, auxk_weight=0.5005)),
        (Matryoshka(3, prefixes=(0.5, 1.0)), Matryoshka(3, prefixes=(0.55, 1.0))),
        (Gated(0.3), Gated(0.3003)),
    ],
    ids=repr,
)
def test_comparison_sees_another_architecture(path, architecture, other):
    weights = random_sae(architecture, 20, D)
    dead = torch.arange(20) % 2 == 0
    x = smooth_rows(architecture, weights, 70, dead, 1)
    assert not near_boundary(architecture, weights, x)
    check_against_autograd(path, architecture, weights, x, Context(1.0, dead))
    with pytest.raises(AssertionError, match=r" is off by |^assert "):
        check_against_autograd(path, architecture, weights, x, Context(1.0, dead), exactly=other)


# ---- Gated ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "length"), [(400, 64), (1023, 64), (1100, 128)])
def test_gated_with_blocks_of_every_length(rows, length):
    """Some end in the middle of a block, where rows that do not exist must count for nothing."""
    assert block_rows(2 * D, rows) == length
    check_gradients("compiled", "gated", 33, D, rows)


@pytest.mark.parametrize("path", DENSE)
def test_halves_of_gated_have_their_own_losses(path):
    """The decoder and the magnitude see the reconstruction alone, the gate's bias the other two."""
    architecture = Gated(0.3)
    weights = random_sae(architecture, 19, D)
    x = smooth_rows(architecture, weights, 70, NOBODY, 3)
    _, out = gradients(path, architecture, weights, x)
    flat = weights.flat.clone().requires_grad_(True)
    losses = architecture.losses(weights.like(flat), x, Context())
    (main,) = torch.autograd.grad(losses.reconstruction.mean(), flat, retain_graph=True)
    (gate,) = torch.autograd.grad((losses.penalty + losses.auxiliary).mean(), flat)
    main, gate = weights.like(main), weights.like(gate)
    for name in ("decoder", "decoder_bias", "log_scale", "magnitude_bias"):
        assert not gate.named()[name].any()
        torch.testing.assert_close(out.named()[name], main.named()[name], rtol=1e-4, atol=1e-5)
    assert not main.encoder_bias.any()
    torch.testing.assert_close(out.encoder_bias, gate.encoder_bias, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.encoder, main.encoder + gate.encoder, rtol=1e-4, atol=1e-5)
