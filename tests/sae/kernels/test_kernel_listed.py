"""The path for dense inputs in many dimensions: exact for any, dense or listed, on any threads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from _kernel_checks import (
    FUSED,
    check_against_autograd,
    check_gradients,
    double,
    random_sae,
    seeded,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling_theory.sae import RunSpec, Sphere
from scaling_theory.sae.architectures import Context, ReLU, TopK, pre_activations
from scaling_theory.sae.kernels import _listing, gradients_for, listed
from scaling_theory.sae.trainer import Trainer

KINDS = ("relu", "jumprelu", "topk")


def listed_whatever_fires(patch):
    patch.setattr(listed, "MOST_LISTED", 1.0)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 60) | st.sampled_from([255, 256, 300, 700]),
    d=st.integers(1, 70),
    rows=st.integers(1, 100) | st.sampled_from([256, 300]),
    tile=st.sampled_from([1, 40, 256, 2048]),
    most=st.sampled_from([0.0, 0.3, 1.0]),
    scale=st.sampled_from([0.0, 0.5, 1.0]),
    zero_rows=st.booleans(),
    dead=st.sampled_from(["some", "none", "all"]),
    seed=st.integers(0, 2**20),
)
@example(1, 1, 1, 1, 1.0, 1.0, False, "some", 0)
@example(700, 33, 300, 256, 1.0, 0.5, True, "some", 1)
@example(300, 17, 257, 40, 1.0, 1.0, False, "all", 2)
@pytest.mark.parametrize("kind", KINDS)
def test_listed_gradients_are_those_of_autograd(
    kind, n, d, rows, tile, most, scale, zero_rows, dead, seed
):
    """Whatever the tiles, and whether a step is listed or dense."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed, "_TILE", tile)
        patch.setattr(listed, "MOST_LISTED", most)
        check_gradients("listed", kind, n, d, rows, scale, seed, zero_rows, dead)


@pytest.mark.parametrize(("k", "auxk"), [(1, 40), (19, 3), (19, 19), (64, 200), (300, 1)])
def test_many_are_kept(k, auxk):
    """All of them; more than are dead; more than groups have maxima to bound the k-th by."""
    for n in (max(k, 20), 300):
        weights = random_sae(TopK(k), n, 24, seed=k)
        x = torch.randn(70, 24, generator=seeded(4))
        context = Context(1.0, torch.arange(n) % 3 == 0)
        check_against_autograd("listed", TopK(k, auxk, 0.5), weights, x, context)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 1100),
    k=st.integers(1, 70),
    shift=st.sampled_from([-9.0, -2.0, 0.0, 5.0]),
    levels=st.sampled_from([0, 1, 4]),
    tile=st.sampled_from([100, 256, 1100]),
    seed=st.integers(0, 2**20),
)
def test_a_row_keeps_its_largest(n, k, shift, levels, tile, seed):
    """Values of what is listed are the positive ones among the k largest, whatever the ties."""
    k = min(k, n)
    z = torch.randn(40, n, generator=seeded(seed)) + shift
    z[3] = 0.0
    if levels:
        z = (levels * z).round() / levels
    bias = torch.zeros(n).numpy()
    places, values = np.empty((2, 32 * k), np.int32), np.empty((2, 32 * k), np.float32)
    counts = np.zeros((2, 2), np.int64)
    for low in range(0, n, tile):
        part = z[:, low : low + tile].contiguous().numpy()
        _listing.keep_largest(k, low, 0, part, bias, places, values, counts)
    place, value = places.reshape(-1)[: 40 * k], values.reshape(-1)[: 40 * k].reshape(40, k)
    np.testing.assert_array_equal(np.sort(value, 1), z.relu().topk(k, 1).values.numpy()[:, ::-1])
    kept = place.reshape(40, k) >= 0
    np.testing.assert_array_equal(kept, value > 0.0)
    for row in range(40):
        mine = place.reshape(40, k)[row][kept[row]]
        assert len(set(mine)) == len(mine)
        assert set(mine % 32) <= {row % 32}
        np.testing.assert_array_equal(z[row, mine // 32].numpy(), value[row][kept[row]])


@pytest.mark.parametrize("kind", ["relu", "jumprelu"])
def test_what_decides_is_the_share_and_not_the_step_before(kind, monkeypatch):
    """From many that fire to few and back: each step has the bits of a fresh object's."""
    architecture, done = FUSED[kind], []
    dense = listed.entrywise

    def noted(*arguments, **more):
        done[-1] += "dense "
        return dense(*arguments, **more)

    monkeypatch.setattr(listed, "entrywise", noted)
    used = gradients_for("listed", architecture, 200, 30, 100)
    x = torch.randn(100, 30, generator=seeded(1))
    for shift in (0.0, 0.0, -9.0, -9.0, 3.0, -9.0):
        weights = random_sae(architecture, 200, 30)
        weights.encoder_bias.add_(shift)
        margin = 0.5 * getattr(architecture, "bandwidth", 0.0)
        least = weights.extra.get("threshold", torch.zeros(200)) - margin
        many = float((pre_activations(weights, x) > least).double().mean()) > listed.MOST_LISTED
        steps, outs = [], []
        for gradients in (used, gradients_for("listed", architecture, 200, 30, 100)):
            done.append("")
            outs.append(weights.like())
            steps.append(gradients(weights, x, Context(0.7), outs[-1]))
            assert done[-1].startswith("dense") or not many
        assert many == (shift >= 0.0)
        assert steps[0].loss == steps[1].loss
        assert torch.equal(steps[0].fired, steps[1].fired)
        assert torch.equal(outs[0].flat, outs[1].flat)
    # the object that goes on tries the other way once, where it changes
    assert done[::2] == ["dense ", "dense ", "dense ", "", "dense ", "dense "]
    assert done[1::2] == ["dense ", "dense ", "", "", "dense ", ""]


@pytest.mark.parametrize("kind", ["relu", "jumprelu"])
def test_lists_grow_and_shrink(kind, monkeypatch):
    listed_whatever_fires(monkeypatch)
    architecture = FUSED[kind]
    used, rooms = gradients_for("listed", architecture, 200, 30, 100), []
    x = torch.randn(100, 30, generator=seeded(1))
    for shift in (6.0, -9.0, -9.0):
        weights = random_sae(architecture, 200, 30)
        weights.encoder_bias.add_(shift)
        used(weights, x, Context(), weights.like())
        rooms.append(used._lists.room)
    assert rooms[0] == rooms[1] > 32 * 100
    assert rooms[2] < rooms[0] / 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_whatever_the_number_of_threads(kind, set_threads, monkeypatch):
    """Bit for bit: products too are of blocks that do not depend on it."""
    listed_whatever_fires(monkeypatch)
    architecture = FUSED[kind]
    weights = random_sae(architecture, 301, 40)
    x = torch.randn(1000, 40, generator=seeded(3))
    found = []
    for count in (1, 2, 3, 1):
        set_threads(count)
        out, context = weights.like(), Context(0.7, torch.arange(301) < 100)
        step = gradients_for("listed", architecture, 301, 40, len(x))(weights, x, context, out)
        found.append((step.loss, step.fired.clone(), out.flat))
        assert torch.get_num_threads() == count
    for loss, fired, flat in found[1:]:
        assert loss == found[0][0]
        assert torch.equal(fired, found[0][1])
        assert torch.equal(flat, found[0][2])


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_used_again(kind, monkeypatch):
    """Buffers and outputs hold nothing of an earlier batch, nor of another number of dead."""
    listed_whatever_fires(monkeypatch)
    architecture = FUSED[kind]
    weights, other = random_sae(architecture, 300, 20, 1), random_sae(architecture, 300, 20, 2)
    x, y = torch.randn(70, 20, generator=seeded(3)), torch.randn(70, 20, generator=seeded(4))
    other.encoder_bias.fill_(-100.0)
    context, once, again = Context(0.5, torch.arange(300) < 1), weights.like(), weights.like()
    first = gradients_for("listed", architecture, 300, 20, 70)(weights, x, context, once)
    used = gradients_for("listed", architecture, 300, 20, 70)
    used(other, y, Context(1.0, torch.ones(300, dtype=torch.bool)), again)
    before = weights.flat.clone()
    second = used(weights, x, context, again)
    assert torch.equal(once.flat, again.flat)
    assert torch.equal(weights.flat, before)
    assert first.loss == second.loss
    assert torch.equal(first.fired, second.fired)


@pytest.mark.parametrize("tile", [40, 4096])
def test_dead_latents_may_grow_in_number(tile, monkeypatch):
    """Buffers made for few of them are too small for more; one tile and several."""
    monkeypatch.setattr(listed, "_TILE", tile)
    architecture = TopK(3, auxk=4, auxk_weight=0.5)
    weights = random_sae(architecture, 300, 20)
    x = torch.randn(300, 20, generator=seeded(3))
    used = gradients_for("listed", architecture, 300, 20, 300)
    for dead in (5, 6, 39, 41, 90, 300, 10, 200):
        context, steps, outs = Context(1.0, torch.arange(300) < dead), [], []
        for gradients in (used, gradients_for("listed", architecture, 300, 20, 300)):
            outs.append(weights.like())
            steps.append(gradients(weights, x, context, outs[-1]))
        assert steps[0].loss == steps[1].loss
        assert torch.equal(outs[0].flat, outs[1].flat)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_not_finite_where_an_input_or_the_decoder_is_not(kind, value):
    for name in ("x", "decoder", "decoder_bias"):
        weights, x = random_sae(FUSED[kind], 300, 20), torch.randn(70, 20, generator=seeded(3))
        {**weights.named(), "x": x}[name].view(-1)[3] = value
        weights.encoder_bias[0] = 50.0  # the latent of the decoder row fires
        step = gradients_for("listed", FUSED[kind], 300, 20, 70)(
            weights, x, Context(), weights.like()
        )
        assert not np.isfinite(step.loss), name


@pytest.mark.parametrize("architecture", [TopK(4, auxk=8), ReLU(0.4)], ids=["topk", "relu"])
def test_a_run_is_that_of_the_blocked_path_up_to_rounding(architecture):
    spec = RunSpec(Sphere(70), architecture, 150, batch_size=128, dead_after=5, clip=0.5,
                   unit_norm=True)  # fmt: skip
    assert Trainer(spec).path == "listed"
    flats = []
    for path in ("listed", "blocked"):
        trainer = Trainer(replace(spec), path=path)
        trainer.advance(20)
        flats.append(double(trainer.weights).flat)
    # Adam's first steps are signs of gradients: one of rounding's size may differ by 2 rates
    off = (flats[0] - flats[1]).abs()
    assert float(off.quantile(0.98)) < 1e-6
    assert float(off.median()) < 1e-7
