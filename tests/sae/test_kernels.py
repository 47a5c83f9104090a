"""Fast gradients against float64 autograd, Adam against PyTorch's, and what they need."""

import math
import os
import signal
import subprocess
import sys
import time

import numba
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import (
    Architecture,
    Context,
    JumpReLU,
    ReLU,
    TanhJumpReLU,
    TopK,
    pre_activations,
)
from scaling_theory.sae.kernels import PATHS, blocked, choose_path, gradients_for, threads
from scaling_theory.sae.kernels.compiled import block_rows
from scaling_theory.sae.kernels.units import KINDS, numbers_of, tanh
from scaling_theory.sae.optimiser import Adam
from scaling_theory.sae.weights import Weights

CPU = torch.device("cpu")
FUSED = {
    "relu": ReLU(0.3),
    "jumprelu": JumpReLU(0.1, bandwidth=0.3),
    "tanh_jumprelu": TanhJumpReLU(0.7, tanh_scale=2.0, pre_activation=0.05, bandwidth=0.3),
    "topk": TopK(3, auxk=2, auxk_weight=0.5),
}
#: Dimension of the compiled path, which takes seconds to compile for each: four together, and one.
D = 5
#: Rows this near to a kink are left out: float32 and float64 may be on different sides.
NEAR = 1e-5


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_sae(architecture, n, d, seed=0):
    generator = seeded(seed)
    weights = Weights(n, d, architecture.extra)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=generator))
    weights.decoder.mul_(1.0 / math.sqrt(n))
    for value in weights.extra.values():
        value.copy_(torch.rand(n, generator=generator))
    return weights


def double(weights):
    return Weights(weights.width, weights.dimension, tuple(weights.extra), weights.flat.double())


def near_kinks(architecture, weights, x, dead):
    """Rows on which some derivative may jump within rounding, bool of shape (rows,)."""
    z = pre_activations(double(weights), x.double())
    if isinstance(architecture, ReLU):
        return (z.abs() < NEAR).any(1)
    if isinstance(architecture, TopK):
        near = _near_ties(z, architecture.k)
        if architecture.auxk and bool(dead.any()):
            near |= _near_ties(z[:, dead], min(architecture.auxk, int(dead.sum())))
        return near
    off = (z - weights.extra["threshold"].double()).abs()
    return ((off < NEAR) | ((off - 0.5 * architecture.bandwidth).abs() < NEAR)).any(1)


def _near_ties(z, k):
    """The k-th largest is as large as the next one, or one of the k is nearly 0."""
    most = z.sort(1, descending=True).values
    near = (most[:, :k].abs() < NEAR).any(1)
    if k < z.shape[1]:
        near |= (most[:, k - 1] - most[:, k]).abs() < NEAR
    return near


def smooth_rows(architecture, weights, rows, dead, seed):
    """Exactly so many inputs that are not near to a kink, and there are hardly any others."""
    x = torch.randn(2 * rows + 8, weights.dimension, generator=seeded(seed))
    near = near_kinks(architecture, weights, x, dead)
    assert int(near.sum()) <= 2 + 0.02 * len(x)
    return x[~near][:rows].contiguous()


def check_against_autograd(path, architecture, weights, x, context, exactly=None):
    """Gradients of a path against float64 autograd, by norm, each tensor for itself."""
    shape = (weights.width, weights.dimension, len(x))
    out = weights.like(torch.full_like(weights.flat, math.nan))
    exact = double(weights).like()
    step = gradients_for(path, architecture, *shape)(weights, x, context, out)
    reference = gradients_for("reference", exactly or architecture, *shape)
    expected = reference(double(weights), x.double(), context, exact)
    for name, value in out.named().items():
        error = float((value.double() - exact.named()[name]).norm())
        # of sums of both signs little may be left, so that errors are also held against the whole
        allowed = 1e-5 * float(exact.named()[name].norm()) + 1e-7 * float(exact.flat.norm())
        assert error <= allowed, f"{name} is off by {error}, allowed is {allowed}"
    assert step.loss == pytest.approx(expected.loss, rel=1e-5)
    assert torch.equal(step.fired, expected.fired)
    return out


def check_gradients(path, kind, n, d, rows, scale=1.0, seed=0, zero_rows=False, dead="some"):
    architecture = FUSED[kind]
    if isinstance(architecture, TopK):
        architecture = TopK(min(3, n), auxk=2, auxk_weight=0.5)
    weights = random_sae(architecture, n, d, seed)
    if zero_rows:
        weights.decoder[::2] = 0.0
    if dead == "all":
        weights.encoder_bias.fill_(-100.0)
    idle = torch.arange(n) % 2 == 0 if dead == "some" else torch.full((n,), dead == "all")
    x = smooth_rows(architecture, weights, rows, idle, seed + 1)
    context = Context(scale, idle)
    out = check_against_autograd(path, architecture, weights, x, context)
    if dead == "all" and getattr(architecture, "pre_activation", 0.0) * scale == 0.0:
        assert not out.encoder.any()
        assert not out.decoder.any()


# ---- gradients ------------------------------------------------------------------------------

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


@pytest.mark.parametrize("path", PATHS)
def test_comparison_sees_a_thousandth_of_the_penalty(path):
    weights = random_sae(ReLU(), 20, D)
    x = smooth_rows(ReLU(), weights, 70, torch.zeros(20, dtype=torch.bool), 1)
    check_against_autograd(path, ReLU(0.3), weights, x, Context())
    with pytest.raises(AssertionError, match=r"^encoder is off by "):
        check_against_autograd(path, ReLU(0.3), weights, x, Context(), exactly=ReLU(0.3003))


@pytest.mark.parametrize("path", PATHS)
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
    for path in PATHS:
        context = Context(1.0, torch.arange(19) < 5)
        gradients_for(path, architecture, 19, D, 70)(weights, x, context, weights.like())
        assert torch.equal(weights.flat, before)
        assert torch.equal(x, rows)
        assert not weights.flat.requires_grad


@pytest.mark.parametrize("path", PATHS)
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
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", FUSED)
def test_loss_is_not_finite_where_an_input_or_the_decoder_is_not(kind, path, value):
    architecture = FUSED[kind]
    for name in ("x", "decoder", "decoder_bias"):
        weights, x = random_sae(architecture, 7, D), torch.randn(70, D, generator=seeded(3))
        {**weights.named(), "x": x}[name].view(-1)[3] = value
        weights.encoder_bias[0] = 50.0  # the latent of the decoder row fires
        step = gradients_for(path, architecture, 7, D, 70)(weights, x, Context(), weights.like())
        assert not math.isfinite(step.loss), name


# ---- threads --------------------------------------------------------------------------------


@pytest.fixture
def set_threads(monkeypatch):
    """Any number of threads, which take part however small a step is."""
    monkeypatch.setattr(threads, "WORTH", 1)
    yield torch.set_num_threads
    torch.set_num_threads(1)


@pytest.mark.parametrize("kind", FUSED)
def test_gradients_do_not_depend_on_the_number_of_threads(kind, set_threads, monkeypatch):
    """Bit for bit, and several did take part."""
    architecture, names = FUSED[kind], set()
    weights, x = random_sae(architecture, 301, D), torch.randn(1000, D, generator=seeded(3))
    context, found, pool = Context(0.5, torch.arange(301) < 100), [], threads._pool

    def noted(size):
        names.add(size + 1)
        return pool(size)

    monkeypatch.setattr(threads, "_pool", noted)
    for count in (1, 2, 3, 8, 1):
        set_threads(count)
        out = weights.like()
        step = gradients_for("compiled", architecture, 301, D, 1000)(weights, x, context, out)
        found.append((step.loss, step.fired.clone(), out.flat))
    assert names == {2, 3, 8}
    for loss, fired, flat in found[1:]:
        assert loss == found[0][0]
        assert torch.equal(fired, found[0][1])
        assert torch.equal(flat, found[0][2])


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("total", [0, 1, 2, 7, 100])
def test_shares_are_every_item_once(count, total, set_threads):
    set_threads(count)
    parts = []
    threads.share(lambda start, stop, *more: parts.append((start, stop, more)), total, 1e9, "a", 2)
    assert len(parts) == max(1, min(count, total))
    assert sorted(i for start, stop, _ in parts for i in range(start, stop)) == list(range(total))
    assert {more for _, _, more in parts} == {("a", 2)}


def test_small_steps_wake_nobody():
    callers = []
    torch.set_num_threads(4)
    try:
        for work in (0.0, 1.9 * threads.WORTH, 2.1 * threads.WORTH, 1e3 * threads.WORTH):
            callers.append(0)
            threads.share(lambda start, stop: callers.append(callers.pop() + 1), 100, work)
    finally:
        torch.set_num_threads(1)
    assert callers == [1, 1, 2, 4]


@pytest.mark.parametrize("where", [0, 60])
def test_what_one_thread_raises_is_raised(where, set_threads):
    """Whichever it is, and not before the others are done."""
    set_threads(3)
    done = []

    def work(start, stop):
        if start <= where < stop:
            raise ZeroDivisionError
        time.sleep(0.02)
        done.append(start)

    with pytest.raises(ZeroDivisionError):
        threads.share(work, 99, 1e9)
    assert len(done) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_processes_have_threads_of_their_own(set_threads):
    """A pool's threads do not live on in a child, which must not wait for them."""
    set_threads(2)
    threads.share(lambda start, stop: None, 2, 1e9)
    child = os.fork()
    if child == 0:
        parts = []
        threads.share(lambda start, stop: parts.append(start), 2, 1e9)
        os._exit(0 if sorted(parts) == [0, 1] else 1)
    deadline, done = time.monotonic() + 20.0, 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done, "the child waits for a thread that does not exist"
    assert status == 0


# ---- parts ----------------------------------------------------------------------------------


def test_tanh_is_accurate_to_3e_7():
    x = np.concatenate([np.linspace(0.0, 20.0, 200_001), np.geomspace(1e-30, 1.0, 1001)])
    x = x.astype(np.float32)
    found = _tanh_of(x)
    assert found.dtype == np.float32
    assert np.abs(found - np.tanh(x.astype(np.float64))).max() < 3e-7
    small = x < 1e-3
    np.testing.assert_allclose(found[small], x[small], rtol=5e-7)
    assert found[x == 0.0].tolist() == [0.0] * int((x == 0.0).sum())
    assert found.max() <= 1.0
    assert _tanh_of(np.array([1e30, np.inf], np.float32)).tolist() == [1.0, 1.0]


@numba.njit
def _tanh_of(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = tanh(x[i])
    return out


def test_numbers_are_warmed_up():
    """The penalties are, bandwidth and tanh_scale are not."""
    np.testing.assert_allclose(numbers_of(ReLU(0.3), Context(0.5)), [0.15, 0, 0, 0], rtol=1e-7)
    jump = numbers_of(JumpReLU(0.1, bandwidth=0.3), Context(0.5))
    np.testing.assert_allclose(jump, [0.05, 0.3, 0, 0], rtol=1e-7)
    values = numbers_of(TanhJumpReLU(0.7, 2.0, 0.05, 0.3), Context(0.5))
    np.testing.assert_allclose(values, [0.35, 0.3, 2.0, 0.025], rtol=1e-7)
    assert values.dtype == np.float32
    with pytest.raises(ValueError, match=r"^architecture must have a fused unit, got TopK\(k=1"):
        numbers_of(TopK(1), Context())
    assert {*KINDS, "topk"} == {a.fused for a in FUSED.values()}


class Plain(Architecture):
    """An architecture that no fused unit computes."""

    encode = ReLU.encode

    def penalty(self, weights, x, activations, context):
        return 0.1 * activations.sum(1)


def test_the_fastest_possible_path_is_chosen():
    assert PATHS == ("compiled", "blocked", "reference")
    cuda = torch.device("cuda")
    for architecture in FUSED.values():
        assert choose_path("auto", architecture, 16, CPU) == "compiled"
        assert choose_path("auto", architecture, 17, CPU) == "blocked"
        assert choose_path("auto", architecture, 65, CPU) == "blocked"
        assert choose_path("auto", architecture, 2, cuda) == "blocked"
        for path in PATHS:
            assert choose_path(path, architecture, 64, CPU) == path
    assert choose_path("auto", Plain(), 2, CPU) == "reference"


def test_a_unit_that_is_not_there_is_no_silent_fallback():
    class Eager(Plain):
        fused = "eager"

    with pytest.raises(ValueError, match="fused of an architecture must be None or one of relu"):
        choose_path("auto", Eager(), 2, CPU)


@pytest.mark.parametrize(
    ("path", "architecture", "dimension", "device", "possible"),
    [
        ("fast", ReLU(), 2, "cpu", "compiled, blocked, reference"),
        (None, ReLU(), 2, "cpu", "compiled, blocked, reference"),
        ("compiled", ReLU(), 65, "cpu", "blocked, reference"),
        ("compiled", TopK(1), 2, "cuda", "blocked, reference"),
        ("blocked", Plain(), 2, "cpu", "reference"),
    ],
)
def test_impossible_paths_are_refused(path, architecture, dimension, device, possible):
    match = rf"^path must be auto or one of {possible} for .* in dimension {dimension} on {device}"
    with pytest.raises(ValueError, match=rf"{match}, got {path!r}$"):
        choose_path(path, architecture, dimension, torch.device(device))


def test_reference_path_takes_any_architecture():
    weights, x = random_sae(Plain(), 6, 2), torch.randn(30, 2, generator=seeded(3))
    check_against_autograd("reference", Plain(), weights, x, Context())
    with pytest.raises(ValueError, match=r"^architecture must have a fused unit, got "):
        gradients_for("blocked", Plain(), 6, 2, 30)(weights, x, Context(), weights.like())


# ---- Adam -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["compiled", "torch"])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.99, 0.0)])
@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
def test_adam_is_that_of_torch(dtype, betas, epsilon):
    """50 steps with a learning rate that changes, gradients over many sizes, some of them 0."""
    generator = seeded(0)
    start = torch.randn(999, generator=generator, dtype=dtype)
    sizes = torch.logspace(-12, 6, 999, dtype=dtype)
    ours, theirs = start.clone(), start.clone().requires_grad_(True)
    adam = Adam(ours, betas, epsilon)
    other = torch.optim.Adam([theirs], lr=1.0, betas=betas, eps=epsilon)
    for step in range(50):
        grad = sizes * torch.randn(999, generator=generator, dtype=dtype)
        grad[::7] = 0.0
        rate = 0.01 * (1.0 + 0.5 * math.sin(step))
        adam.update(ours, grad, rate)
        other.param_groups[0]["lr"] = rate
        theirs.grad = grad.clone()
        other.step()
    moved = float((ours - start).abs().max())
    assert moved > 0.01
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(ours, theirs.detach(), rtol=tolerance, atol=tolerance)
    assert torch.equal(ours[::7], start[::7])
    assert adam.steps == 50


def test_compiled_adam_is_the_torch_branch():
    generator = seeded(0)
    ours = torch.randn(999, generator=generator)
    wide = ours.double()
    adam, other = Adam(ours, (0.9, 0.999), 1e-8), Adam(wide, (0.9, 0.999), 1e-8)
    for _ in range(50):
        grad = torch.randn(999, generator=generator)
        adam.update(ours, grad, 0.01)
        other.update(wide, grad.double(), 0.01)
    for a, b in ((ours, wide), (adam.first, other.first), (adam.second, other.second)):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=2e-6)


def test_first_step_of_adam_is_the_learning_rate():
    """Bias corrections: at first each weight moves by the rate, against its gradient's sign."""
    weights, grad = torch.zeros(4), torch.tensor([1e-3, -5.0, 1e3, 0.0])
    Adam(weights, (0.9, 0.999), 1e-12).update(weights, grad, 0.25)
    torch.testing.assert_close(weights, torch.tensor([-0.25, 0.25, -0.25, 0.0]))


# ---- memory ---------------------------------------------------------------------------------

_PEAK = """
import sys, torch
from scaling_theory.sae.architectures import Context, ReLU, TopK
from scaling_theory.sae.kernels import gradients_for
from scaling_theory.sae.weights import Weights

def kilobytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

def step(n, rows):
    weights = Weights(n, 8)
    weights.flat.normal_(generator=torch.Generator().manual_seed(0))
    x = torch.randn(rows, 8, generator=torch.Generator().manual_seed(1))
    out = weights.like()
    before = kilobytes("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the largest size so far, which compilation may have reached
    gradients_for(path, architecture, n, 8, rows)(weights, x, Context(), out)
    return kilobytes("VmHWM") - before

path, kind = sys.argv[1:]
architecture = {"relu": ReLU(), "topk": TopK(8)}[kind]
step(32, 64)
print(step(16384, 2048) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["relu", "topk"])
@pytest.mark.parametrize("path", PATHS)
def test_memory_of_a_wide_sae(path, kind):
    """Width 16384, batch 2048: one array of both is 128 MiB, and only the reference holds one."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, path, kind], capture_output=True, text=True, check=True,
        timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    mebibytes = float(done.stdout)
    if path == "reference":
        assert mebibytes > 128.0
    else:
        assert mebibytes < 64.0
