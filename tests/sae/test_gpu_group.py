"""The Triton kernels, interpreted on the CPU, against float64 autograd and the ordinary trainer."""

import contextlib
import importlib.util
import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import (
    Context,
    JumpReLU,
    ReLU,
    TanhJumpReLU,
    TopK,
    pre_activations,
)
from scaling_theory.sae.gpu import GroupTrainer, Shape, group
from scaling_theory.sae.gpu.units import Schedule
from scaling_theory.sae.kernels import gradients_for
from scaling_theory.sae.manifolds import Shell, Sphere
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import Trainer
from scaling_theory.sae.weights import Weights

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)

#: Small tiles, so that tiny runs have several of each; every operation of the interpreter is slow.
SMALL = Shape(
    rows=16, abreast=8, latents=16, in_line=8, part_latents=16, part_rows=16, updated=16,
    merged=4, ahead=2,
)  # fmt: skip
FUSED = {
    "relu": ReLU(0.3),
    "jumprelu": JumpReLU(0.1, bandwidth=0.3),
    "tanh_jumprelu": TanhJumpReLU(0.7, tanh_scale=2.0, pre_activation=0.05, bandwidth=0.3),
    "topk": TopK(3),
}
#: Rows this near to a kink are left out: float32 and float64 may be on different sides.
NEAR = 1e-5


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch):
    """Triton may have been imported before, by PyTorch: the kernels must not mind."""
    importlib.import_module("triton.language")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec_of(architecture, width, seed=0, steps=3, rows=24, d=2, **options):
    return RunSpec(Sphere(d), architecture, width, seed, steps, rows, evaluation=64, **options)


def trained(specs, steps, shape=SMALL):
    trainer = GroupTrainer(specs, "cpu", shape)
    trainer.advance(steps)
    assert not trainer.failures
    return trainer


def same_state(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert name == "seconds" or torch.equal(value, other[name]), name


# ---- gradients ----------------------------------------------------------------------------------


def random_weights(weights, seed, zero_rows):
    generator = torch.Generator().manual_seed(seed)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=generator))
    weights.decoder.mul_(1.0 / math.sqrt(weights.width))
    for value in weights.extra.values():
        value.copy_(torch.rand(weights.width, generator=generator))
    if zero_rows:
        weights.decoder[::2] = 0.0


def double(weights):
    return Weights(weights.width, weights.dimension, tuple(weights.extra), weights.flat.double())


def near_kinks(architecture, weights, x):
    """Rows on which some derivative may jump within rounding, bool of shape (rows,)."""
    z = pre_activations(double(weights), x.double())
    if isinstance(architecture, ReLU):
        return (z.abs() < NEAR).any(1)
    if isinstance(architecture, TopK):
        most = z.sort(1, descending=True).values
        near = (most[:, : architecture.k].abs() < NEAR).any(1)
        if architecture.k < z.shape[1]:
            near |= (most[:, architecture.k - 1] - most[:, architecture.k]).abs() < NEAR
        return near
    off = (z - weights.extra["threshold"].double()).abs()
    return ((off < NEAR) | ((off - 0.5 * architecture.bandwidth).abs() < NEAR)).any(1)


def smooth_rows(architecture, weights, rows, seed):
    x = torch.randn(2 * rows + 8, weights.dimension, generator=torch.Generator().manual_seed(seed))
    near = near_kinks(architecture, weights, x)
    assert int(near.sum()) <= 2 + 0.02 * len(x)
    return x[~near][:rows].contiguous()


def check_gradients(kind, widths, rows, d, scale=1.0, seed=0, zero_rows=False, exactly=None):
    """One step of a group, from given weights on given inputs, against float64 autograd.

    With betas (0, ...) the first moment after a step is the gradient. The penalty's warm-up is as
    long as 1/scale steps.
    """
    a = FUSED[kind]
    options = {"betas": (0.0, 0.5), "learning_rate": 1e-9}
    if scale < 1.0:
        options["penalty_warmup"] = 1.0
    steps = round(1.0 / scale)
    specs = [
        spec_of(TopK(min(3, n)) if kind == "topk" else a, n, seed, steps, rows, d, **options)
        for n in widths
    ]
    trainer = GroupTrainer(specs, "cpu", SMALL)
    inputs = {}
    for run, spec in enumerate(specs):
        random_weights(trainer.weights(run), seed + run, zero_rows)
        x = smooth_rows(spec.architecture, trainer.weights(run), rows, seed + 1 + run)
        inputs[spec.key] = x.expand(trainer.chunk, rows, d)
    before = [double(trainer.weights(run)) for run in range(len(specs))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "draw", lambda spec, chunk, device: inputs[spec.key])
        trainer.advance(1)
    for run, spec in enumerate(specs):
        exact = before[run].like()
        shape = (spec.width, d, rows)
        reference = gradients_for("reference", exactly or spec.architecture, *shape)
        x = inputs[spec.key][0].double()
        expected = reference(before[run], x, Context(1.0 / steps), exact)
        moment = trainer.weights(run).like(trainer.state(run)["adam_first"])
        for name, value in moment.named().items():
            error = float((value.double() - exact.named()[name]).norm())
            # of sums of both signs little may be left: errors are also held against the whole
            allowed = 1e-5 * float(exact.named()[name].norm()) + 1e-7 * float(exact.flat.norm())
            assert error <= allowed, f"{name} is off by {error}, allowed is {allowed}"
        loss = float(trainer._launcher.losses[0, run])
        assert loss == pytest.approx(expected.loss, rel=1e-5)


@settings(deadline=None, max_examples=3)
@given(
    n=st.integers(1, 24),
    rows=st.integers(1, 32),
    scale=st.sampled_from([1.0, 0.5]),
    seed=st.integers(0, 2**31),
    zero_rows=st.booleans(),
)
@example(n=1, rows=1, scale=1.0, seed=0, zero_rows=False)
@example(n=33, rows=33, scale=0.5, seed=0, zero_rows=True)
@pytest.mark.parametrize("kind", FUSED)
def test_gradients_are_those_of_autograd(kind, n, rows, scale, seed, zero_rows):
    check_gradients(kind, [n], rows, 2, scale, seed, zero_rows)


@pytest.mark.parametrize("kind", FUSED)
def test_gradients_of_widths_side_by_side(kind):
    check_gradients(kind, [17, 1, 16], 17, 3)


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 5, 16])
@pytest.mark.parametrize("kind", FUSED)
def test_gradients_in_other_dimensions(kind, d):
    check_gradients(kind, [40, 3], 70, d)


def test_comparison_sees_a_thousandth_of_the_penalty():
    with pytest.raises(AssertionError, match=r"^encoder is off by "):
        check_gradients("relu", [20], 17, 2, exactly=ReLU(0.3003))


def test_exact_ties_of_topk_go_to_the_first():
    """Of two equal latents the first fires, and no more than k: the gradient is that of one."""
    specs = [spec_of(TopK(1), n, steps=1, betas=(0.0, 0.5)) for n in (5, 20)]
    trainer = GroupTrainer(specs, "cpu", SMALL)
    one, two = trainer.weights(0), trainer.weights(1)
    random_weights(one, 1, False)
    for name, value in one.named().items():
        # copies in the same tile, and in another part of the latents
        two.named()[name].copy_(value if name == "decoder_bias" else torch.cat([value] * 4))
    x = torch.randn(50, 24, 2, generator=torch.Generator().manual_seed(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "draw", lambda spec, chunk, device: x)
        trainer.advance(1)
    single, copies = (trainer.weights(run).like(trainer.state(run)["adam_first"]) for run in (0, 1))
    torch.testing.assert_close(copies.encoder[:5], single.encoder)
    torch.testing.assert_close(copies.decoder[:5], single.decoder)
    assert single.decoder.any()
    assert not copies.encoder[5:].any()
    assert not copies.decoder[5:].any()


# ---- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FUSED)
def test_steps_are_those_of_the_trainer(kind):
    """Same inputs, schedules and updates; what differs is the order of float32 sums."""
    options = {"warmup": 0.4, "decay": 0.4, "penalty_warmup": 0.8, "learning_rate": 0.01}
    spec = spec_of(FUSED[kind], 7, steps=5, **options)
    ours = trained([spec], 4)
    theirs = Trainer(spec, "cpu", "reference")
    theirs.advance(4)
    state, expected = ours.state(0), theirs.state()
    assert state.keys() == expected.keys()
    assert int(state["step"]) == 4
    assert torch.equal(state["idle"], expected["idle"])
    for name in ("weights", "adam_first", "adam_second"):
        torch.testing.assert_close(state[name], expected[name], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", ["relu", "topk"])
def test_a_run_does_not_depend_on_its_group(kind):
    """Bit for bit: alone, and among others with other widths, numbers and manifolds."""
    a = TopK(2) if kind == "topk" else FUSED[kind]
    other = TopK(1) if kind == "topk" else ReLU(0.05)
    spec = spec_of(a, 19, seed=1, steps=2)
    alone = trained([spec], 2).state(0)
    beside = [
        spec_of(other, 5, steps=2, learning_rate=0.1, penalty_warmup=1.0),
        RunSpec(Shell(2), a, 21, 2, 2, 24, evaluation=64),
    ]
    same_state(trained([beside[0], spec, beside[1]], 2).state(1), alone)


def test_a_run_goes_on_in_another_group(monkeypatch):
    """Stopped in the middle of a chunk, and of a group, at the step from which others go on."""
    monkeypatch.setattr("scaling_theory.sae.trainer._CHUNK_STEPS", 2)
    specs = [spec_of(ReLU(), n, steps=5) for n in (5, 19)]
    whole = trained(specs, 5)
    assert whole.chunk == 2
    first = trained(specs[::-1], 3)
    states = [first.state(1), first.state(0)]
    for run, spec in enumerate(specs):
        again = GroupTrainer([spec], "cpu", SMALL)
        again.load_states([states[run]])
        assert again.step == 3
        assert again.advance(100) == 2
        same_state(again.state(0), whole.state(run))
        assert again.run_seconds(0) > float(states[run]["seconds"])


def test_seconds_are_dealt_by_latents():
    trainer = trained([spec_of(ReLU(), n, steps=1) for n in (5, 15)], 1)
    one, two = (trainer.run_seconds(run) for run in (0, 1))
    assert two == pytest.approx(3.0 * one)
    assert one + two == pytest.approx(trainer.seconds)


def test_numbers_of_a_schedule():
    """Those of the specification, at any step; the penalty is divided by the batch."""
    a = TanhJumpReLU(0.7, tanh_scale=2.0, pre_activation=0.05, bandwidth=0.3)
    options = {"warmup": 0.25, "decay": 0.5, "penalty_warmup": 1.0, "betas": (0.8, 0.9)}
    spec = spec_of(a, 4, steps=8, rows=10, **options)
    found = Schedule((spec, spec_of(TopK(1), 4, steps=8, rows=10, **options))).numbers(2, 8)
    for step, (own, topk) in zip(range(2, 8), found, strict=True):
        scale, t = spec.penalty_scale(step), step + 1
        rate, root = spec.rate(step) / (1 - 0.8**t), 1 / math.sqrt(1 - 0.9**t)
        expected = [scale * 0.07, 0.3, 2.0, scale * 0.005, rate, root]
        assert own.tolist() == pytest.approx(expected, rel=1e-6)
        assert topk.tolist() == pytest.approx([0, 0, 0, 0, rate, root], rel=1e-6)


def test_the_first_step_is_plain_and_the_others_are_replayed(monkeypatch):
    """The order in which a GPU is told: what is recorded is not done, what is replayed is."""
    specs = [spec_of(ReLU(), 5, steps=4)]
    whole = trained(specs, 4)
    trainer = GroupTrainer(specs, "cpu", SMALL)
    launch, said = trainer._launcher.step, []

    class Graph:
        def replay(self):
            said.append("replay")
            launch()

    class Recording(contextlib.nullcontext):
        def __init__(self, graph, stream):
            assert stream == ("stream of", torch.device("cpu"))  # not the default of some device

        def __enter__(self):
            monkeypatch.setattr(trainer._launcher, "step", lambda: said.append("record"))

    def plain():
        said.append("plain")
        launch()

    monkeypatch.setattr(trainer._launcher, "step", plain)
    monkeypatch.setattr(GroupTrainer, "_cuda", True)
    monkeypatch.setattr(group, "interpreting", lambda: False)
    for name, value in {
        "CUDAGraph": Graph,
        "graph": Recording,
        "Stream": lambda device: ("stream of", device),
        "synchronize": lambda: None,
        "device": contextlib.nullcontext,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    trainer.advance(1)
    trainer.advance(3)
    assert said == ["plain", "record", "replay", "replay", "replay"]
    same_state(trainer.state(0), whole.state(0))


# ---- what goes wrong ----------------------------------------------------------------------------


def test_runs_that_fail_are_noted_and_the_others_go_on(monkeypatch):
    specs = [
        spec_of(ReLU(), 5, steps=2),
        spec_of(ReLU(), 6, steps=2, learning_rate=1e30),
        spec_of(ReLU(), 7, steps=2),
        spec_of(ReLU(), 8, steps=2),
    ]
    alone = trained(specs[3:], 2)
    trainer, draw = GroupTrainer(specs, "cpu", SMALL), group.draw

    def drawn(spec, chunk, device):
        x = draw(spec, chunk, device)
        if spec is specs[0]:
            x[0, 3, 1] = math.inf
        return x

    monkeypatch.setattr(group, "draw", drawn)
    trainer.advance(1)
    assert list(trainer.failures) == [0]
    assert f"run {specs[0].key}: data gave an input that is not finite" in trainer.failures[0]
    trainer.weights(2).decoder[3] = math.nan
    trainer.weights(2).encoder_bias[3] = 5.0
    trainer.advance(1)
    assert sorted(trainer.failures) == [0, 1, 2]
    for run in (1, 2):
        said = trainer.failures[run]
        assert f"run {specs[run].key}: the loss is" in said
        assert "at step 1; a smaller learning_rate" in said
    same_state(trainer.state(3), alone.state(0))


def test_a_weight_that_is_not_finite_is_noted():
    trainer = GroupTrainer([spec_of(ReLU(), n, steps=1) for n in (5, 6)], "cpu", SMALL)
    trainer.weights(1).encoder[2] = math.nan  # looks like a latent that never fires
    trainer.advance(1)
    assert list(trainer.failures) == [1]
    assert "a weight is no longer finite at step 1" in trainer.failures[1]


@pytest.mark.parametrize(
    ("specs", "match"),
    [
        ([], "^specs must be at least one, each once, got 0$"),
        ([spec_of(ReLU(), 4)] * 2, "^specs must be at least one, each once, got 2$"),
        ([spec_of(ReLU(), 4), spec_of(TopK(1), 4)], "^specs of one group must share .*'relu'"),
        ([spec_of(ReLU(), 4), spec_of(ReLU(), 4, d=3)], "^specs of one group must share "),
        ([spec_of(ReLU(), 4, clip=1.0)], "^specs must be runs that path 'triton' can .*clip=1.0$"),
    ],
)
def test_bad_groups_are_refused(specs, match):
    with pytest.raises(ValueError, match=match):
        GroupTrainer(specs, "cpu")


def test_bad_states_are_refused():
    specs = [spec_of(ReLU(), n) for n in (4, 5)]
    trainer = GroupTrainer(specs, "cpu", SMALL)
    states = [trainer.state(run) for run in (0, 1)]
    with pytest.raises(ValueError, match=r"^states must be 2, at one step, got 1$"):
        trainer.load_states(states[:1])
    with pytest.raises(ValueError, match=r"^states must be 2, at one step, got 2$"):
        trainer.load_states([states[0], {**states[1], "step": torch.tensor([1])}])
    with pytest.raises(ValueError, match=r"^state must hold .* of width 4, got \{'weights': \(27"):
        trainer.load_states(states[::-1])
    late = [{**state, "step": torch.tensor([4])} for state in states]
    with pytest.raises(ValueError, match=r"^step must be in \[0, 3\], got 4$"):
        trainer.load_states(late)
