"""BatchTopK and Matryoshka: what a batch keeps, what lone inputs keep, nested reconstructions."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import (
    BatchTopK,
    Context,
    Matryoshka,
    TopK,
    _selection,
    decode,
    pre_activations,
)
from scaling_theory.sae.manifolds import Circle, Sphere
from scaling_theory.sae.metrics import evaluate
from scaling_theory.sae.remedies import ResampleDead, restart
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import Trainer
from scaling_theory.sae.weights import Weights

BOTH = [BatchTopK(2), Matryoshka(2, prefixes=(0.25, 1.0))]
NAMES = ["BatchTopK", "Matryoshka"]
PLAIN = RunSpec(Circle(), BatchTopK(2), 12, steps=60, batch_size=32, evaluation=2000)


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
    """Float64 weights."""
    weights = Weights(n, d, architecture.extra, dtype=torch.float64)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=seeded(seed)))
    return weights


def inputs(rows, d, seed=1):
    return torch.randn(rows, d, generator=seeded(seed), dtype=torch.float64)


# ---- in a batch -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 8), st.data())
@pytest.mark.parametrize("architecture", BOTH, ids=NAMES)
def test_the_largest_of_all_rows_are_kept(architecture, n, data):
    """Pre-activations are small whole numbers, so that ties are common: all of them are kept."""
    k, rows = data.draw(st.integers(1, n)), data.draw(st.integers(1, 6))
    z = data.draw(st.lists(st.integers(-3, 4), min_size=n * rows, max_size=n * rows))
    z = torch.tensor(z, dtype=torch.float64).view(rows, n)
    weights = Weights(n, n, architecture.extra, dtype=torch.float64)
    weights.encoder.copy_(torch.eye(n))
    weights.extra["threshold"].fill_(100.0)  # has no say here
    f = replace(architecture, k=k).encode_batch(weights, z, Context()).numpy().ravel()
    ranked = np.sort(z.numpy().ravel())[::-1]
    least = max(ranked[k * rows - 1], 1.0)
    np.testing.assert_array_equal(f, np.where(z.numpy().ravel() >= least, z.numpy().ravel(), 0.0))
    assert (f > 0).sum() >= min(k * rows, (ranked > 0).sum())


@settings(deadline=None, max_examples=25)
@given(power=st.integers(-60, 60), rows=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_inputs_twice_as_large_fire_twice_as_much(power, rows, seed):
    """Without biases, exactly; so does the threshold."""
    architecture, factor = BatchTopK(3), 2.0**power
    weights, x = random_sae(architecture, 10, 4, seed), inputs(rows, 4, seed + 1)
    weights.encoder_bias.zero_()
    f = architecture.encode_batch(weights, x, Context())
    assert torch.equal(architecture.encode_batch(weights, factor * x, Context()), factor * f)
    architecture.finish(weights, x)
    once = float(weights.extra["threshold"][0])
    architecture.finish(weights, factor * x)
    assert float(weights.extra["threshold"][0]) == factor * once


def test_a_batch_of_one_row_is_topk():
    weights, x = random_sae(BatchTopK(3), 10, 4), inputs(1, 4)
    f = TopK(3).encode(weights, x)
    assert torch.equal(BatchTopK(3).encode_batch(weights, x, Context()), f)


def test_rows_share_what_a_batch_keeps():
    """An input ten times as large takes latents from the others, which TopK does not let it."""
    architecture = BatchTopK(3)
    weights, x = random_sae(architecture, 30, 4), inputs(20, 4)
    weights.encoder_bias.zero_()
    x[0] *= 10.0
    fires = (architecture.encode_batch(weights, x, Context()) > 0.0).sum(1)
    assert int(fires.sum()) == 60
    assert int(fires[0]) > 6
    assert int(fires.min()) < 3


# ---- lone inputs ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 30), rows=st.integers(1, 60), numbers=st.sampled_from([1, 50, 2**22]),
    seed=st.integers(0, 2**31), data=st.data(),
)  # fmt: skip
@pytest.mark.parametrize("architecture", BOTH, ids=NAMES)
def test_finish_makes_k_fire_on_average(architecture, n, rows, numbers, seed, data):
    """Exactly k on the inputs it is set on, if so many are positive; in blocks of any size."""
    architecture = replace(architecture, k=data.draw(st.integers(1, n)))
    weights, x = random_sae(architecture, n, 3, seed), inputs(rows, 3, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_selection, "_NUMBERS", numbers)
        architecture.finish(weights, x)
        theta = weights.extra["threshold"].clone()
        architecture.finish(weights, x)  # does not depend on the threshold that is there
    assert torch.equal(weights.extra["threshold"], theta)
    assert bool((theta == theta[0]).all())
    positive = int((pre_activations(weights, x) > 0.0).sum())
    fires = int((architecture.encode(weights, x) > 0.0).sum())
    assert fires == min(architecture.k * rows, positive)
    assert float(theta[0]) >= 0.0
    assert (float(theta[0]) == 0.0) == (positive <= architecture.k * rows)


@pytest.mark.parametrize("architecture", BOTH, ids=NAMES)
def test_lone_inputs_do_not_depend_on_one_another(architecture):
    weights, x = random_sae(architecture, 10, 4), inputs(20, 4)
    weights.extra["threshold"].fill_(0.7)
    f = architecture.encode(weights, x)
    z = pre_activations(weights, x)
    assert torch.equal(f, torch.where(z > 0.7, z, 0.0))
    for i in range(20):
        torch.testing.assert_close(architecture.encode(weights, x[i : i + 1])[0], f[i])


@pytest.mark.parametrize("architecture", BOTH, ids=NAMES)
def test_copies_of_a_latent_fire_together_or_not_at_all(architecture):
    """At the threshold there may be ties: at most k latents are above it."""
    weights, x = random_sae(architecture, 10, 4), inputs(21, 4)
    for name, value in weights.named().items():
        if name != "decoder_bias":
            value[5:] = value[:5]
    architecture = replace(architecture, k=1)
    architecture.finish(weights, x)
    fires = architecture.encode(weights, x) > 0.0
    assert torch.equal(fires[:, :5], fires[:, 5:])
    assert 21 - 2 <= int(fires.sum()) <= 21
    kept = architecture.encode_batch(weights, x, Context()) > 0.0
    assert 21 <= int(kept.sum()) <= 21 + 1


# ---- nested reconstructions -----------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 40), rows=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_losses_of_matryoshka_are_the_formulas(n, rows, seed):
    architecture = Matryoshka(min(2, n))
    weights, x = random_sae(architecture, n, 3, seed), inputs(rows, 3, seed + 1)
    w = {name: value.numpy() for name, value in weights.named().items()}
    f = architecture.encode_batch(weights, x, Context()).numpy()
    sizes = architecture.sizes(n)
    errors = [
        ((x.numpy() - f[:, :m] @ w["decoder"][:m] - w["decoder_bias"]) ** 2).sum(1) for m in sizes
    ]
    at = architecture.losses(weights, x, Context(0.25))
    np.testing.assert_allclose(at.reconstruction.numpy(), errors[-1], rtol=1e-10)
    np.testing.assert_allclose(at.auxiliary.numpy(), sum(errors[:-1], np.zeros(rows)), rtol=1e-10)
    assert not at.penalty.any()
    assert float(at.total()) == pytest.approx(sum(errors).mean(), rel=1e-10)


def test_reconstruction_does_not_depend_on_the_prefixes():
    weights, x = random_sae(BatchTopK(2), 16, 3), inputs(30, 3)
    plain = BatchTopK(2).losses(weights, x, Context())
    for prefixes in [(1.0,), (0.5, 1.0), (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)]:
        at = Matryoshka(2, prefixes).losses(weights, x, Context())
        assert torch.equal(at.reconstruction, plain.reconstruction)
        assert bool(at.auxiliary.any()) == (len(prefixes) > 1)


@pytest.mark.parametrize("architecture", [BatchTopK(2, auxk=3), Matryoshka(2, (1.0,), auxk=3)])
def test_dead_latents_reconstruct_the_residual(architecture):
    """That of the batch, as TopK's do."""
    weights, x = random_sae(architecture, 9, 4), inputs(30, 4)
    dead = torch.arange(9) % 3 == 0
    at = architecture.losses(weights, x, Context(dead=dead))
    residual = x - decode(weights, architecture.encode_batch(weights, x, Context()))
    own = pre_activations(weights, x).relu() * dead
    expected = (residual - own @ weights.decoder).square().sum(1) / 32.0
    torch.testing.assert_close(at.auxiliary, expected)
    assert architecture.needs_dead
    assert not replace(architecture, auxk=0).needs_dead


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 10**6),
    st.lists(st.floats(1e-6, 0.999), max_size=8, unique=True).map(lambda p: (*sorted(p), 1.0)),
)
@example(1, (1 / 16, 1.0))
@example(30, (0.1, 1.0))
def test_sizes_rise_to_the_width(width, prefixes):
    sizes = Matryoshka(1, prefixes).sizes(width)
    assert sizes[-1] == width
    assert all(a < b for a, b in pairwise(sizes))
    assert sizes[0] >= 1
    for p in prefixes:
        assert any(m == 1 > p * width or abs(m - p * width) <= 0.5 for m in sizes)


def test_sizes_of_small_widths():
    found = {n: Matryoshka(1).sizes(n) for n in (1, 2, 3, 8, 16, 100)}
    assert found == {
        1: (1,), 2: (1, 2), 3: (1, 2, 3), 8: (1, 2, 4, 8), 16: (1, 2, 4, 8, 16),
        100: (6, 13, 25, 50, 100),
    }  # fmt: skip


# ---- training -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["compiled", "blocked", "reference"])
@pytest.mark.parametrize("architecture", BOTH, ids=NAMES)
def test_threshold_is_set_when_training_ends_and_not_before(architecture, path):
    """Neither gradients nor Adam, clips, norms or restarts move it before."""
    spec = replace(
        PLAIN, architecture=architecture, clip=0.5, unit_norm=True, dead_after=5,
        remedies=(ResampleDead(10),),
    )  # fmt: skip
    trainer = Trainer(spec, path=path)
    trainer.advance(spec.steps)
    assert not trainer.weights.extra["threshold"].any()
    row = trainer.row()
    theta = trainer.tensors()["threshold"]
    assert bool((theta == theta[0]).all())
    assert float(theta[0]) > 0.0
    # firings of a latent on 2000 and on 16384 inputs: at most sqrt(12 latents) each of a binomial
    assert row["l0"] == pytest.approx(2.0, abs=4.0 * math.sqrt(12 * 2.0 / 2000))
    x = spec.data.sample(spec.evaluation, spec.generator("evaluation"))
    assert row["loss"] == evaluate(architecture, trainer.weights, x).loss


@pytest.mark.parametrize("architecture", BOTH, ids=NAMES)
def test_a_run_that_is_stopped_anywhere_ends_the_same(architecture):
    """After its last step too, and after its row was looked at on the way."""
    spec = replace(PLAIN, architecture=replace(architecture, auxk=3), dead_after=3)
    whole = Trainer(spec)
    whole.advance(spec.steps)
    expected = {**whole.row(), "seconds": 0.0}
    tensors = whole.tensors()
    for stop in (0, 1, 37, spec.steps):
        first = Trainer(spec)
        first.advance(stop)
        state = first.state()
        first.row()
        for start in (state, first.state()):
            second = Trainer(spec)
            second.load_state(start)
            second.advance(spec.steps)
            assert {**second.row(), "seconds": 0.0} == expected
            for name, value in second.tensors().items():
                assert torch.equal(value, tensors[name]), name


def test_lone_inputs_lose_about_what_a_batch_loses():
    """The threshold stands for the selection: on fresh batches nearly the same latents fire."""
    spec = RunSpec(Sphere(3), BatchTopK(3), 16, steps=400, batch_size=1024, evaluation=20_000)
    trainer = Trainer(spec)
    trainer.advance(spec.steps)
    row = trainer.row()
    x = spec.data.sample(20_000, spec.generator("evaluation"))
    batches = [
        spec.architecture.losses(trainer.weights, part, Context()).reconstruction.mean()
        for part in torch.split(x, 1000)
    ]
    assert row["loss"] < 0.2
    assert row["loss"] == pytest.approx(float(torch.stack(batches).mean()), rel=0.03)


@pytest.mark.parametrize("architecture", BOTH, ids=NAMES)
def test_latents_start_anew_on_what_the_batch_misses(architecture):
    """Not on what the threshold, which is not set yet, would miss."""
    weights, x = random_sae(architecture, 10, 4), inputs(20, 4)
    other = weights.like(weights.flat.clone())
    weights.extra["threshold"].fill_(0.0)
    other.extra["threshold"].fill_(1e9)
    index = torch.tensor([1, 4])
    for each in (weights, other):
        restart(architecture, each, index, x, seeded(3))
    assert torch.equal(weights.decoder, other.decoder)
    assert torch.equal(weights.encoder, other.encoder)


# ---- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1, 1.5, math.nan, "2", None, True])
@pytest.mark.parametrize(("name", "others"), [("k", {}), ("auxk", {"k": 1})])
@pytest.mark.parametrize("kind", [BatchTopK, Matryoshka])
def test_bad_counts_are_refused(kind, name, others, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a whole number "):
        kind(**others, **{name: value})


@pytest.mark.parametrize("kind", [BatchTopK, Matryoshka])
def test_k_must_fit_the_width(kind):
    with pytest.raises(ValueError, match=r"^k must be a whole number of at least 1, got 0"):
        kind(0)
    with pytest.raises(ValueError, match=r"^auxk_weight must be a number of at least 0, got -1"):
        kind(1, auxk_weight=-1)
    with pytest.raises(ValueError, match=r"^k must be at most the width, got k=13 for width=12"):
        replace(PLAIN, architecture=kind(13))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((), r"prefixes must be a tuple of shares of the width, got \(\)"),
        (1.0, r"prefixes must be a tuple of shares of the width, got 1.0"),
        ((0.0, 1.0), r"prefixes\[0\] must be a number in \(0, 1\], got 0.0"),
        ((0.5, math.nan), r"prefixes\[1\] must be a number in \(0, 1\], got nan"),
        ((0.5, 2.0), r"prefixes\[1\] must be a number in \(0, 1\], got 2.0"),
        ((0.5,), r"prefixes must rise to 1, got \(0.5,\)"),
        ((0.5, 0.5, 1.0), r"prefixes must rise to 1, got \(0.5, 0.5, 1.0\)"),
        ((0.5, 0.25, 1.0), r"prefixes must rise to 1, got \(0.5, 0.25, 1.0\)"),
    ],
)
def test_bad_prefixes_are_refused(value, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        Matryoshka(1, value)


def test_prefixes_are_part_of_the_specification():
    keys = {
        replace(PLAIN, architecture=a).key
        for a in (BatchTopK(2), BatchTopK(3), Matryoshka(2), Matryoshka(2, (0.5, 1.0)))
    }
    assert len(keys) == 4
    assert Matryoshka(2, [0.5, 1]) == Matryoshka(2, (0.5, 1.0))
    assert hash(Matryoshka(2, [0.5, 1])) == hash(Matryoshka(2, (0.5, 1.0)))
    assert Matryoshka(2).prefixes == (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
