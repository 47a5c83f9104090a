"""Which runs are trained together, and sweeps through the interpreted kernels."""

import importlib
import importlib.util
import math
import signal

import pandas as pd
import pytest
import torch

from scaling_theory.sae import sweep
from scaling_theory.sae.architectures import Gated, JumpReLU, ReLU, TanhJumpReLU, TopK
from scaling_theory.sae.gpu import GroupTrainer, Shape, _loading, group, plan, together
from scaling_theory.sae.gpu._layout import lay_out
from scaling_theory.sae.gpu.units import unfit
from scaling_theory.sae.manifolds import Shell, Sphere
from scaling_theory.sae.remedies import ResampleDead
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import RUN_COLUMNS, Store, StoreDamaged
from scaling_theory.sae.sweep import SweepFailed, train

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
CPU, GPU = torch.device("cpu"), torch.device("cuda")
QUIET = {"device": "cpu", "path": "triton", "progress": False}


def spec_of(architecture, width, seed=0, steps=3, rows=24, d=2, **options):
    return RunSpec(Sphere(d), architecture, width, seed, steps, rows, evaluation=64, **options)


@pytest.fixture
def interpreted(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture
def gpu(monkeypatch):
    """As on a machine with a GPU on which the kernels run; nothing is trained."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(plan, "missing", lambda device: None)


# ---- who is trained with whom -------------------------------------------------------------------


def test_runs_that_may_share_launches_do(gpu):
    """Widths, seeds, manifolds, penalties, rates and k may differ; the rest may not."""
    together = [
        spec_of(ReLU(), 4),
        spec_of(ReLU(0.3), 8, seed=1, learning_rate=0.1, warmup=0.1),
        RunSpec(Shell(2), ReLU(), 4, 0, 3, 24, evaluation=64),
    ]
    topk = [spec_of(TopK(1), 4), spec_of(TopK(3), 4)]
    others = [
        spec_of(ReLU(), 4, d=3),
        spec_of(ReLU(), 4, steps=4),
        spec_of(ReLU(), 4, rows=25),
        spec_of(ReLU(), 4, betas=(0.9, 0.99)),
        spec_of(ReLU(), 4, epsilon=1e-6),
        spec_of(JumpReLU(0.1), 4),
        spec_of(TanhJumpReLU(), 4),
    ]
    single = [spec_of(ReLU(), 4, clip=1.0), spec_of(ReLU(), 4, d=17)]
    pending = [together[0], *others, *single, *topk, *together[1:]]
    groups, alone = plan.plan(pending, GPU)
    assert [set(g) for g in groups] == [{*together}, *({s} for s in others), {*topk}]
    assert alone == single


def test_runs_at_different_steps_are_apart(gpu):
    specs = [spec_of(ReLU(), n) for n in (4, 5, 6, 7)]
    steps = dict(zip(specs, (None, 2, None, 2), strict=True))
    groups, _ = plan.plan(specs, GPU, "auto", steps.get)
    assert groups == [(specs[0], specs[2]), (specs[1], specs[3])]


def test_groups_are_cut_by_memory_and_by_work(gpu, monkeypatch):
    specs = [spec_of(ReLU(), n) for n in (8, 8, 8, 64, 8)]
    size, work = plan.bytes_of(specs[0]), plan.work_of(specs[0])
    monkeypatch.setattr(plan, "MOST_BYTES", 2.5 * size)
    assert plan.bytes_of(specs[3]) > 1.1 * size
    assert [len(g) for g in plan.plan(specs, GPU)[0]] == [2, 2, 1]
    monkeypatch.setattr(plan, "MOST_BYTES", 2**33)
    monkeypatch.setattr(plan, "MOST_WORK", 3.5 * work)
    assert [len(g) for g in plan.plan(specs, GPU)[0]] == [3, 1, 1]


def test_figure_3_is_a_group_for_each_dimension(gpu):
    specs = [
        RunSpec(data(d), ReLU(), 2**i)
        for data in (Sphere, Shell)
        for d in range(2, 9)
        for i in range(1, 15)
    ]
    groups, alone = plan.plan(specs, GPU)
    assert alone == []
    assert [len(g) for g in groups] == [28] * 7
    for specs in groups:
        assert sum(plan.bytes_of(s) for s in specs) < plan.MOST_BYTES
        assert sum(plan.work_of(s) for s in specs) < plan.MOST_WORK


@needs_triton
@pytest.mark.parametrize("architecture", [ReLU(), TanhJumpReLU(), TopK(3)])
def test_memory_is_what_the_planner_says(architecture, interpreted):
    """Within 5%: what is left out are tables and losses. Inputs are there twice, once as drawn."""
    specs = [spec_of(architecture, n, steps=50, rows=1100, d=5) for n in (1500, 40)]
    trainer = GroupTrainer(specs, "cpu")
    held = [v for v in vars(trainer._launcher).values() if isinstance(v, torch.Tensor)]
    size = sum(v.numel() * v.element_size() for v in [*held, trainer._inputs])
    assert sum(map(plan.bytes_of, specs)) == pytest.approx(size, rel=0.05)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (spec_of(ReLU(), 4, clip=1.0), "clip=1.0"),
        (spec_of(ReLU(), 4, unit_norm=True), "unit_norm=True"),
        (spec_of(ReLU(), 4, remedies=(ResampleDead(2),)), "remedies="),
        (spec_of(ReLU(), 4, d=17), "dimension is 17, above 16"),
        (spec_of(TopK(33), 40), "k is 33, above 32"),
        (spec_of(TopK(3, auxk=2), 4), "auxiliary loss"),
    ],
)
def test_what_the_kernels_can_not_train(spec, why, monkeypatch):
    assert why in unfit(spec)
    monkeypatch.setattr(plan, "missing", lambda device: None)
    assert not plan.takes(spec, GPU, "auto")
    with pytest.raises(ValueError, match=rf"^path 'triton' can't train run {spec.key}: .*{why}"):
        plan.takes(spec, GPU, "triton")


def test_other_architectures_are_not_taken():
    spec = spec_of(Gated(), 4)
    assert unfit(spec).startswith("its architecture is none of ReLU, JumpReLU, TanhJumpReLU, TopK")


@pytest.fixture
def anew():
    """What a process asks once is asked again, and not remembered."""
    asked = (_loading._unloadable, _loading._asleep, plan._tell)
    for function in asked:
        function.cache_clear()
    yield
    for function in asked:
        function.cache_clear()


@pytest.fixture
def installed(monkeypatch, anew):
    """As where Triton is, and the environment asks for nothing."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(_loading, "_unloadable", lambda how: None)


@pytest.fixture
def hopper(monkeypatch, installed):
    """As on a machine with two new GPUs; what starts Triton there is left to the test."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


def test_where_the_kernels_can_run(installed, monkeypatch):
    spec = spec_of(ReLU(), 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not plan.takes(spec, CPU, "auto")
    assert not plan.takes(spec, GPU, "blocked")
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ValueError, match=r"^path 'triton' .*not installed \(pip install 'scal"):
            plan.takes(spec, GPU, "triton")
    with pytest.raises(ValueError, match=r"device is cpu, not cuda \(TRITON_INTERPRET=1 in "):
        plan.takes(spec, CPU, "triton")
    with pytest.raises(ValueError, match="PyTorch has no GPU of NVIDIA's here"):
        plan.takes(spec, GPU, "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert plan.takes(spec, CPU, "triton")
    assert not plan.takes(spec, CPU, "auto")  # slow: only where it is asked for
    assert not plan.takes(spec, GPU, "auto")


def test_old_gpus_are_left_to_pytorch(hopper, monkeypatch):
    monkeypatch.setattr(_loading, "_asleep", lambda: None)
    assert _loading.missing(GPU) is None
    assert plan.takes(spec_of(ReLU(), 4), GPU, "auto")
    assert not plan.takes(spec_of(ReLU(), 4, clip=1.0), GPU, "auto")  # not for what is missing
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert _loading.missing(GPU) == "Old is older than compute capability 8.0"
    assert not plan.takes(spec_of(ReLU(), 4, clip=1.0), GPU, "auto")
    with pytest.warns(RuntimeWarning, match=r"one by one on cuda, .* path 'triton': Old is older"):
        assert not plan.takes(spec_of(ReLU(), 4), GPU, "auto")
    assert not plan.takes(spec_of(ReLU(), 8), GPU, "auto")  # it is said once


def test_a_gpu_that_is_not_there(hopper, monkeypatch):
    """One line, whoever asks."""
    monkeypatch.setattr(_loading, "_asleep", lambda: None)
    assert _loading.missing(torch.device("cuda:1")) is None
    lack = _loading.missing(torch.device("cuda:7"))
    assert lack == "the device is cuda:7, and PyTorch has 2 of NVIDIA's GPUs here, from 0 on"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there are some")
@pytest.mark.parametrize("path", ["auto", "triton", "blocked"])
def test_a_device_that_is_not_there_is_said_first(monkeypatch, path):
    monkeypatch.setattr(sweep, "takes", lambda *a: pytest.fail("must not be asked"))
    with pytest.raises(ValueError, match=r"^device must be one that .*, got 'cuda:7'$"):
        train(SPECS[:1], device="cuda:7", path=path, progress=False)


@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton starts")
def test_triton_that_can_not_start(hopper):
    """Here it is for want of a driver; without a compiler the same is raised at the same place."""
    with pytest.raises(
        ValueError, match=r"Triton can't start; it needs a C compiler .*python3-dev"
    ):
        plan.takes(spec_of(ReLU(), 4), GPU, "triton")


@needs_triton
@pytest.mark.parametrize(
    ("version", "lack"),
    [
        ("3.6.0", "Triton 3.6.0 is older than 3.7"),
        ("3.7.0+git1", None),
        ("3.10.1", None),
        ("odd", r"Triton can't load the kernels"),
    ],
)
def test_versions_of_triton(monkeypatch, anew, version, lack):
    monkeypatch.setattr(importlib.import_module("triton"), "__version__", version)
    said = _loading._unloadable("compiled")
    assert said is None if lack is None else said.startswith(lack)


@pytest.mark.parametrize(
    ("free", "kept", "most"), [(2**40, 0, 2**33), (2**30, 0, 2**29), (2**30, 2**30, 2**30)]
)
def test_groups_leave_half_of_what_is_free(gpu, monkeypatch, free, kept, most):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**40))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: kept + 7)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 7)
    assert plan.most_bytes(GPU) == most
    assert plan.most_bytes(CPU) == 2**33
    specs = [spec_of(ReLU(), n) for n in (8, 8, 8)]
    monkeypatch.setattr(plan, "MOST_BYTES", 1)
    assert [len(g) for g in plan.plan(specs, GPU)[0]] == [1, 1, 1]  # a run is never too large


# ---- where numbers lie --------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 16, 17, 40])
def test_tasks_are_everything_once(batch):
    widths, shape = [3, 40, 16, 1], Shape(rows=16, latents=8, part_latents=16, part_rows=8)
    layout = lay_out(widths, [0] * 4, 5, 1, batch, shape)
    starts = layout.runs[:, 0].tolist()
    sizes = [n * 12 + 5 for n in widths]
    assert starts == [0, sizes[0], sum(sizes[:2]), sum(sizes[:3])]
    assert layout.sizes["weights"] == sum(sizes)
    rows, parts = -(-batch // 16), -(-batch // 8)
    runs = range(4)

    def each(size, others, swapped=False):
        """(run, block of latents, other), or with the two swapped."""
        blocks = [(run, block) for run in runs for block in range(-(-widths[run] // size))]
        every = [(run, block, other) for run, block in blocks for other in range(others)]
        return {(run, b, a) if swapped else (run, a, b) for run, a, b in every}

    expected = {
        "parts": each(16, rows, swapped=True),
        "rows": {(run, b, 0) for run in runs for b in range(-(-batch // shape.updated))},
        "latents": each(8, parts),
        "updates": each(shape.updated, 1),
    }
    for name, tasks in layout.tasks.items():
        assert len(tasks) == len(expected[name])
        assert set(map(tuple, tasks.tolist())) == expected[name]

    # long ones first: no program of few latents is begun before one of many
    lengths = [min(16, widths[run] - 16 * p) for run, _, p in layout.tasks["parts"].tolist()]
    assert lengths == sorted(lengths, reverse=True)


# ---- sweeps -------------------------------------------------------------------------------------

SPECS = [spec_of(ReLU(), n, seed, rows=16) for n in (8, 4) for seed in (1, 0)]


def results(table):
    return table.drop(columns=list(RUN_COLUMNS))


@needs_triton
def test_a_sweep_is_that_of_the_other_paths(interpreted, tmp_path):
    """Groups and runs alone in one sweep; rows in the order given, weights in the store."""
    specs = [*SPECS[:2], spec_of(ReLU(), 4, d=3, rows=16), SPECS[2]]
    seen = []
    table = train(specs, tmp_path, **QUIET, on_row=seen.append)
    assert table["key"].tolist() == [s.key for s in specs]
    assert len(seen) == 4
    assert set(table["path"]) == {"triton"}
    assert set(table["device"]) == {"cpu"}
    expected = train(specs, device="cpu", path="reference", progress=False)
    for name in ("loss", "reconstruction", "penalty", "l0"):
        assert table[name].to_numpy() == pytest.approx(expected[name].to_numpy(), rel=1e-4)
    alone = GroupTrainer(specs[3:], "cpu")
    alone.advance(3)
    stored = Store(tmp_path).weights(specs[3])
    assert torch.equal(stored["encoder"], alone.weights(0).encoder)
    assert "frequencies" in stored
    seen.clear()
    again = train(specs, tmp_path, **QUIET, on_row=seen.append)
    pd.testing.assert_frame_equal(again, table)


@needs_triton
def test_ctrl_c_keeps_all_runs_of_a_group(interpreted, tmp_path, monkeypatch):
    """They go on where they were stopped, though some by themselves; other steps are apart."""
    whole = train(SPECS, **QUIET)
    real = GroupTrainer.advance

    def press(trainer, steps):
        done = real(trainer, 1)
        if trainer.step == 2:
            signal.raise_signal(signal.SIGINT)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(GroupTrainer, "advance", press)
        with pytest.raises(KeyboardInterrupt):
            train(SPECS[:3], tmp_path, **QUIET)
    for spec in SPECS[:3]:
        state, notes = Store(tmp_path).checkpoint(spec)
        assert int(state["step"]) == 2
        assert notes == {"device": "cpu", "path": "triton", "resumed": 0}
    with pytest.raises(ValueError, match=r"^path must be 'triton', on which run .* was stopped"):
        train(SPECS, tmp_path, "cpu", "reference", progress=False)
    first = train(SPECS[:1], tmp_path, **QUIET)
    assert first["resumed"].tolist() == [1]
    table = train(SPECS, tmp_path, **QUIET)
    assert table["resumed"].tolist() == [1, 1, 1, 0]
    pd.testing.assert_frame_equal(results(table), results(whole), check_exact=True)
    assert not list((tmp_path / "checkpoints").iterdir())


@needs_triton
def test_ctrl_c_during_the_evaluation_keeps_the_rest(interpreted, tmp_path):
    seen = []

    def press(row):
        seen.append(row)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(SPECS[:2], tmp_path, **QUIET, on_row=press)
    assert [row["key"] for row in seen] == [SPECS[0].key]
    assert int(Store(tmp_path).checkpoint(SPECS[1])[0]["step"]) == 3
    table = train(SPECS[:2], tmp_path, **QUIET)
    assert table["resumed"].tolist() == [0, 1]


@needs_triton
def test_checkpoints_come_by_the_clock(interpreted, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(together, "_SLICE", 0.0)  # one step at a time
    monkeypatch.setattr(
        Store, "save_checkpoint", lambda _, spec, state, notes: saved.append(int(state["step"]))
    )
    train(SPECS[:2], tmp_path, **QUIET, checkpoint_seconds=0.0)
    assert saved == [1, 1, 2, 2]


@needs_triton
def test_a_run_that_fails_does_not_stop_its_group(interpreted, tmp_path, monkeypatch):
    draw = group.draw

    def drawn(spec, chunk, device):
        x = draw(spec, chunk, device)
        return x * math.inf if spec is SPECS[1] else x

    monkeypatch.setattr(group, "draw", drawn)
    with pytest.raises(
        SweepFailed, match="1 of 3 runs failed; the others are done and stored"
    ) as e:
        train(SPECS[:3], tmp_path, **QUIET, checkpoint_seconds=0.0)
    assert [spec for spec, _ in e.value.failures] == [SPECS[1]]
    assert "data gave an input that is not finite at steps 0 to 49" in str(e.value)
    assert e.value.runs.table["key"].tolist() == [SPECS[0].key, SPECS[2].key]
    assert not list((tmp_path / "checkpoints").iterdir())


@needs_triton
def test_a_checkpoint_of_something_else_is_damage(interpreted, tmp_path):
    store = Store(tmp_path)
    notes = {"device": "cpu", "path": "triton", "resumed": 0}
    with store.writing():
        store.save_checkpoint(SPECS[0], {"other": torch.zeros(1)}, notes)
    with pytest.raises(StoreDamaged, match=rf"{SPECS[0].key}.safetensors is damaged: state must"):
        train(SPECS[:1], store, **QUIET)


class Told:
    """A bar that adds up what it is told."""

    def __init__(self):
        self.begun, self.done, self.skipped = [], {}, {}

    def begin(self, spec):
        self.begun.append(spec)

    def advance(self, steps):
        assert steps >= 0
        self.done[self.begun[-1]] = self.done.get(self.begun[-1], 0) + steps

    def skip(self, steps):
        self.skipped[self.begun[-1]] = steps


@pytest.mark.parametrize("first", [0, 40, 100])
def test_a_bar_is_told_all_steps_of_all_runs(first):
    """In proportion to what is done, as if one run came after the other."""
    specs = [spec_of(ReLU(), n, steps=100) for n in (4, 400, 40)]
    bar, last = Told(), 0
    told = together._Told(bar, specs, first)
    for step in (first, (first + 100) // 2, 100):
        told.tell(step)
        share = sum(bar.done.values()) / (3 * (100 - first) or 1)
        assert last <= share <= 1.0
        last = share
    assert bar.begun == specs
    assert bar.done == dict.fromkeys(specs, 100 - first)
    assert bar.skipped == dict.fromkeys(specs, first)


def test_a_cluster_takes_runs_alone(monkeypatch):
    """With a backend each run is a task of its own, on a path of its own."""
    monkeypatch.setattr(sweep, "takes", lambda *a: pytest.fail("must not be asked"))
    with pytest.raises(ValueError, match=r"^path must be auto or one of .* got 'triton'"):
        train(SPECS[:1], backend="loky", **QUIET)


def test_a_run_stopped_in_a_group_goes_on_without_backend(tmp_path):
    """What a backend would be told to do, it refuses."""
    store = Store(tmp_path)
    with store.writing():
        notes = {"device": "cpu", "path": "triton", "resumed": 0}
        store.save_checkpoint(SPECS[0], {"step": torch.zeros(1)}, notes)
    said = r"^path must be 'triton', .* got 'compiled'; train it without backend; deleting .* over$"
    with pytest.raises(ValueError, match=said):
        train(SPECS[:1], store, "cpu", backend="sequential", progress=False)
