"""Sweeps on other processes: whichever of them die, the table is that of this process alone."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import cache

import distributed
import pandas as pd
import pytest
import torch
from distributed import Client, LocalCluster
from joblib.externals import loky

from scaling_theory import PowerLawFrequencies, sae
from scaling_theory.sae import (
    Circle,
    Points,
    ReLU,
    RunSpec,
    Sphere,
    Store,
    Superposition,
    TopK,
    _cluster,
    train,
    train_widths,
)
from scaling_theory.sae.data import Data
from scaling_theory.sae.store import RUN_COLUMNS
from scaling_theory.sae.sweep import SweepFailed

SMALL = {"batch_size": 64, "evaluation": 256}
MIX = Superposition(
    PowerLawFrequencies(0.5, count=6, total=1.5), default=Points(), ranks={1: Circle()}
)
#: What a sweep is of: as many runs as the cluster's acceptance asks for.
SPECS = [
    RunSpec(data, architecture, width, seed, steps=30 + 10 * seed, **SMALL)
    for data in (Sphere(2), Points(), MIX)
    for architecture in (ReLU(), TopK(1))
    for width in (4, 8, 16)
    for seed in range(4)
][:64]
#: Autograd: nothing is compiled.
REFERENCE = {"path": "reference", "progress": False}
#: Seconds that a test may take, on a busy machine.
DEADLINE = 300
ENDLESS = RunSpec(Sphere(2), ReLU(), 4, steps=10**9, **SMALL)


@pytest.fixture(autouse=True)
def _one_thread():
    """As many as workers have: then repeats are exact."""
    with _cluster.limited(1):
        yield


@pytest.fixture(autouse=True)
def _deadline():
    """What waits for ever fails: some runs here have no end of their own."""

    def late(*_):
        raise TimeoutError(f"not done after {DEADLINE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of one thread each."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def client(cluster):
    """Its client; both workers are there, whoever died before."""
    cluster.wait_for_workers(2, timeout=60)
    return cluster


@cache
def alone(specs):
    """The table of a serial run."""
    with _cluster.limited(1):
        return train(specs, progress=False)


def equal(one, other):
    how = list(RUN_COLUMNS)
    pd.testing.assert_frame_equal(one.drop(columns=how), other.drop(columns=how), check_exact=True)


# ---- workers that die ---------------------------------------------------------------------------


def test_a_sweep_outlives_a_killed_worker(client, tmp_path, monkeypatch):
    assert len({spec.key for spec in SPECS}) == 64
    whole = alone(tuple(SPECS))
    processes = client.run(os.getpid)
    seen, killed = [], []

    def kill(row):
        seen.append(row["key"])
        if not killed:
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            killed.append(processes[busy[0]])
            os.kill(killed[0], signal.SIGKILL)

    table = train(SPECS, tmp_path, backend="dask", on_row=kill, progress=False)
    equal(table, whole)
    assert table["key"].tolist() == [spec.key for spec in SPECS]
    assert sorted(seen) == sorted(table["key"])
    # it was at something: the scheduler holds that against what it had to give to another worker
    assert sum(kind.suspicious for kind in client.cluster.scheduler.task_prefixes.values()) > 0
    # and what is stored is the same
    equal(Store(tmp_path).table(SPECS), table)
    monkeypatch.setattr(_cluster, "spread", None)  # all is there: nothing is trained again
    equal(train(SPECS, tmp_path, backend="dask", progress=False), table)
    last = SPECS[-1]
    here = train_widths(MIX, [last.width], TopK(1), seeds=[last.seed], steps=last.steps, **SMALL)
    there = Store(tmp_path).weights(last)
    torch.testing.assert_close(there, here.weights(0), rtol=0.0, atol=0.0, equal_nan=True)


@dataclass(frozen=True)
class Deadly(Data):
    """Whose inputs kill the process that draws them, unless it is this one."""

    spared: int
    dimension: int = field(default=2, init=False)

    @property
    def magnitude(self):
        return 1.0

    def sample(self, count, generator):
        if os.getpid() != self.spared:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(count, 2)


def dead_run_among(specs, **options):
    """Train with a run among them that kills its worker; what it says."""
    deadly = RunSpec(Deadly(os.getpid()), ReLU(), 64, steps=100, **SMALL)  # it is begun first
    with pytest.raises(SweepFailed, match=r"1 of .* runs failed; the others are done") as caught:
        train([*specs, deadly], progress=False, **options)
    ((spec, why),) = caught.value.failures
    assert spec == deadly
    assert why.startswith(f"run {deadly.key}: the ")
    equal(caught.value.runs.table, alone(tuple(specs)))
    return why


def test_a_run_that_kills_its_workers_fails_alone(client, monkeypatch):
    # One death is enough here to give a task up, innocent ones beside it too: those are tried again
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    assert "the workers that ran it died" in dead_run_among(SPECS[:8], backend="dask")


@pytest.mark.slow
def test_a_run_that_kills_its_process_fails_alone():
    try:
        why = dead_run_among(SPECS[:8], backend="loky", workers=2)
    finally:
        loky.get_reusable_executor().shutdown(wait=True)
    assert "the process that ran it died" in why


# ---- what is stopped ----------------------------------------------------------------------------


def test_ctrl_c_cancels_what_runs(client, tmp_path):
    short, seen, busy = SPECS[:3], [], []

    def press(row):
        seen.append(row["key"])
        if len(seen) == len(short):  # the endless one, begun first, is all that is left
            busy.extend(worker for worker, tasks in client.processing().items() if tasks)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        train([*short, ENDLESS], tmp_path, backend="dask", on_row=press, progress=False)
    equal(Store(tmp_path).table(short), alone(tuple(short)))
    assert Store(tmp_path).row(ENDLESS) is None
    assert len(busy) == 1
    # its worker is free for others
    assert client.submit(abs, -3, workers=busy).result(timeout=60) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_errors_come_at_once(client):
    broken = RunSpec(Sphere(2), Broken(), 8, steps=50, **SMALL)
    with pytest.raises(ArithmeticError, match="not today"):
        train([broken, ENDLESS], backend="dask", progress=False)
    assert client.submit(abs, -3).result(timeout=60) == 3


@dataclass(frozen=True)
class Broken(ReLU):
    fused = None

    def encode(self, weights, x):
        raise ArithmeticError("not today")


def test_a_client_that_is_closed(client):
    def leave(_):
        threading.Thread(target=other.close).start()

    with (
        Client(client.cluster) as other,
        pytest.raises(ConnectionError, match="client was closed"),
    ):
        train([SPECS[0], ENDLESS], backend="dask", on_row=leave, progress=False)
    assert client.submit(abs, -3).result(timeout=60) == 3


def test_a_scheduler_that_dies(client, tmp_path):
    """It is said at once, and not when the client has given up to find it again."""
    file, rows = tmp_path / "scheduler.json", []
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    command += ["--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as scheduler:
        try:
            with Client(scheduler_file=str(file), timeout=20, set_as_default=False) as other:
                threading.Timer(1.0, scheduler.kill).start()  # nobody works there
                with other.as_current(), pytest.raises(ConnectionError, match="lost its scheduler"):
                    train([ENDLESS], backend="dask", on_row=rows.append, progress=False)
        finally:
            scheduler.kill()
    assert rows == []


def test_ctrl_c_while_a_row_is_stored(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(
            SPECS[:3],
            tmp_path,
            backend="sequential",
            on_row=lambda _: signal.raise_signal(signal.SIGINT),
            **REFERENCE,
        )
    longest = max(SPECS[:3], key=lambda spec: spec.steps)
    equal(Store(tmp_path).table(), train([longest], **REFERENCE))


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(Store, "finish", full)
    with pytest.raises(OSError, match="no space left"):
        train(SPECS[:3], tmp_path, backend="threading", workers=2, **REFERENCE)


# ---- any backend --------------------------------------------------------------------------------


def test_longest_first_and_rows_as_given(tmp_path):
    specs = [*SPECS[:5], SPECS[2]]
    seen = []
    table = train(
        specs, tmp_path, backend="sequential", on_row=lambda r: seen.append(r["steps"]), **REFERENCE
    )
    assert table["key"].tolist() == [spec.key for spec in specs]
    assert seen == sorted((spec.steps for spec in specs[:5]), reverse=True)
    equal(table, train(specs, **REFERENCE))


def test_runs_that_were_stopped_go_on(tmp_path):
    store, trainer = Store(tmp_path), sae.Trainer(SPECS[3], path="reference")
    trainer.advance(20)
    with store.writing():
        notes = {"device": "cpu", "path": "reference", "resumed": 4}
        store.save_checkpoint(SPECS[3], trainer.state(), notes)
        broken = {name: values for name, values in trainer.state().items() if name != "step"}
        store.save_checkpoint(SPECS[2], broken, notes)
    with pytest.raises(sae.StoreDamaged, match=f"{SPECS[2].key}.safetensors is damaged"):
        train(SPECS[2:3], store, backend="sequential", **REFERENCE)
    with pytest.raises(ValueError, match="path must be 'reference', on which run"):
        train(SPECS[3:5], store, backend="sequential", path="blocked", progress=False)
    table = train(SPECS[3:5], store, backend="sequential", **REFERENCE)
    assert table["resumed"].tolist() == [5, 0]
    assert not store.checkpoint_file(SPECS[3]).exists()
    equal(table, train(SPECS[3:5], **REFERENCE))


def test_a_run_that_fails_does_not_stop_the_others(tmp_path):
    wild = RunSpec(Sphere(2), ReLU(), 8, steps=60, learning_rate=1e30, **SMALL)
    with pytest.raises(SweepFailed, match=r"1 of 4 runs failed; the others are done and stored"):
        train([*SPECS[:3], wild], tmp_path, backend="sequential", **REFERENCE)
    try:
        train([wild], backend="sequential", **REFERENCE)
    except SweepFailed as error:
        there = error.failures
    with pytest.raises(SweepFailed) as here:
        train([wild], **REFERENCE)
    assert there == here.value.failures
    equal(Store(tmp_path).table(SPECS[:3]), train(SPECS[:3], **REFERENCE))


@dataclass(frozen=True)
class Counting(Data):
    """Its magnitude is the number of threads."""

    dimension: int = field(default=2, init=False)

    @property
    def magnitude(self):
        return float(torch.get_num_threads())

    def sample(self, count, generator):
        return torch.rand(count, 2, generator=generator)


def test_threads_of_a_run():
    spec = RunSpec(Counting(), ReLU(), 4, steps=5, **SMALL)
    with _cluster.limited(3):
        assert train([spec], **REFERENCE)["magnitude"].item() == 3.0
        assert train([spec], backend="sequential", **REFERENCE)["magnitude"].item() == 1.0
        table = train([spec], backend="sequential", threads=2, **REFERENCE)
        assert table["magnitude"].item() == 2.0
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize("backend", ["dask", pytest.param("loky", marks=pytest.mark.slow)])
def test_what_a_script_defines_goes_with_it(client, backend):
    names = {"__name__": "__main__"}
    exec(SCRIPT, names)
    mine = RunSpec(names["Square"](1.5), names["Half"](), 8, steps=20, **SMALL)
    with pytest.raises(pickle.PicklingError):  # by name, as it would be without joblib
        pickle.dumps(mine)
    try:
        workers = None if backend == "dask" else 2
        table = train([mine, *SPECS[:3]], backend=backend, workers=workers, **REFERENCE)
    finally:
        if backend == "loky":
            loky.get_reusable_executor().shutdown(wait=True)
    equal(table, train([mine, *SPECS[:3]], **REFERENCE))


SCRIPT = """
import torch
from dataclasses import dataclass, field
from scaling_theory.sae.data import Data
from scaling_theory.sae.architectures import Architecture, decode, pre_activations

@dataclass(frozen=True)
class Square(Data):
    side: float
    dimension: int = field(default=2, init=False)

    @property
    def magnitude(self):
        return self.side**2 / 6.0

    def sample(self, count, generator):
        return self.side * (torch.rand(count, 2, generator=generator) - 0.5)

@dataclass(frozen=True)
class Half(Architecture):
    def encode(self, weights, x):
        return pre_activations(weights, x).relu()

    def penalty(self, weights, x, activations, context):
        return 0.05 * activations.square().sum(1)
"""


@dataclass(frozen=True)
class Locked(Data):
    """What its class uses can't be sent."""

    dimension: int = field(default=2, init=False)
    _lock: object = field(default_factory=threading.Lock, compare=False, repr=False)

    @property
    def magnitude(self):
        return 1.0

    def sample(self, count, generator):
        return torch.rand(count, 2, generator=generator)


@pytest.mark.parametrize("backend", ["dask", "loky"])
def test_what_cannot_be_sent_is_said_at_once(client, backend):
    locked = RunSpec(Locked(), ReLU(), 4, steps=5, **SMALL)
    said = rf"^specs must be picklable, .*{backend!r}; run {locked.key} of Locked\(.* can.*pickle"
    with pytest.raises(ValueError, match=said):
        train([SPECS[0], locked], backend=backend, **REFERENCE)
    table = train([locked], backend="threading", **REFERENCE)  # nothing has to be sent
    assert table["key"].tolist() == [locked.key]


def test_a_large_checkpoint_is_sent_without_a_word(client, tmp_path):
    """Dask warns of tasks above 10 MB; warnings are errors here."""
    spec = RunSpec(Sphere(512), ReLU(), 1500, steps=2, batch_size=4, evaluation=16)
    store, trainer = Store(tmp_path), sae.Trainer(spec, path="reference")
    trainer.advance(1)
    with store.writing():
        notes = {"device": "cpu", "path": "reference", "resumed": 0}
        store.save_checkpoint(spec, trainer.state(), notes)
    assert store.checkpoint_file(spec).stat().st_size > 11e6
    table = train([spec], store, backend="dask", keep_weights=False, **REFERENCE)
    assert table["resumed"].tolist() == [1]


def test_what_dask_says_while_tasks_are_submitted_is_raised(client, monkeypatch):
    submit = Client.submit

    def failing(self, function, parcel, **named):
        if self.futures:  # not the first
            raise RuntimeError("not today")
        return submit(self, function, parcel, **named)

    monkeypatch.setattr(Client, "submit", failing)
    with pytest.raises(RuntimeError, match="not today"):
        train([ENDLESS, SPECS[0]], backend="dask", progress=False)
    monkeypatch.undo()
    futures = [client.submit(abs, n, workers=[who]) for n, who in enumerate(client.nthreads())]
    for n, future in enumerate(futures):  # the first was cancelled
        assert future.result(timeout=60) == n


def test_the_command_line_has_dask_too(client, ask):
    options = ["train", "--manifold", "circle", "--widths", "2,4", "--steps", 10]
    options += ["--batch-size", 64]
    there = ask(*options, "--backend", "dask", "--scheduler", client.scheduler.address)
    here = ask(*options)
    for one, other in zip(there["runs"], here["runs"], strict=True):
        assert {k: v for k, v in one.items() if k not in RUN_COLUMNS} == {
            k: v for k, v in other.items() if k not in RUN_COLUMNS
        }


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--backend", "dask"], "--backend dask and --scheduler ADDRESS go together"),
        (
            ["--backend", "loky", "--scheduler", "tcp://localhost:1"],
            "--backend dask and --scheduler",
        ),
        (["--backend", "magic"], "--backend must be None, 'loky', 'dask'"),
        (["--workers", "2"], "--workers must be None without a backend"),
        (["--backend", "dask", "--scheduler", "nonsense://x"], "--scheduler nonsense://x can't be"),
    ],
)
def test_refused_command_lines(check_refused, options, fragment):
    check_refused(["train", "--manifold", "circle", "--widths", "4", *options], fragment)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"backend": "magic"}, "backend must be None, 'loky', 'dask' or another .*got 'magic'"),
        ({"backend": 3}, "backend must be None or the name of a joblib backend, got 3"),
        ({"backend": "loky", "workers": 0}, "workers must be a whole number .*got 0"),
        ({"backend": "loky", "threads": 1.5}, "threads must be a whole number .*got 1.5"),
        ({"backend": "dask", "workers": 2}, "workers must be None with backend='dask'.*got 2"),
        ({"workers": 2}, "workers must be None without a backend, got 2"),
        ({"threads": 2}, "threads must be None without a backend, got 2"),
        ({"backend": "sequential", "path": "triton"}, "path must be auto or one of"),
    ],
)
def test_refusals(named, message):
    with pytest.raises(ValueError, match=message):
        train(SPECS[:1], progress=False, **named)


def test_dask_needs_a_client(monkeypatch):
    def none(*_, **__):
        raise ValueError("no client")

    monkeypatch.setattr(distributed, "get_client", none)
    with pytest.raises(ValueError, match=r"needs a client: .* client = distributed.Client\(\)"):
        train(SPECS[:1], backend="dask")


@pytest.mark.parametrize(
    ("missing", "backend"), [("joblib", "loky"), ("joblib", "dask"), ("distributed", "dask")]
)
def test_what_is_not_installed(monkeypatch, missing, backend):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'scaling-theory\[cluster\]'"):
        train(SPECS[:1], backend=backend)


def test_nothing_is_given_up_here():
    assert not _cluster.GivenUp().asked
