"""Sweeps: whatever stops them, what comes out is what an undisturbed one gives."""

import errno
import math
import multiprocessing
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

import scaling_theory
from scaling_theory.sae import _watch, sweep
from scaling_theory.sae.architectures import ReLU, TopK
from scaling_theory.sae.manifolds import Circle, Points, Sphere
from scaling_theory.sae.runs import Runs
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import RUN_COLUMNS, Store, StoreDamaged, StoreInUse
from scaling_theory.sae.sweep import SweepFailed, train, train_widths
from scaling_theory.sae.trainer import Trainer, TrainingFailed

SPECS = [RunSpec(Sphere(2), ReLU(), n, seed, steps=40) for n in (8, 4) for seed in (1, 0)]
QUIET = {"progress": False}


class Killed(BaseException):
    """The process ends here: nobody cleans up."""


class Fake:
    """A trainer whose numbers depend on every step, and that costs nothing."""

    path = "fake"
    made: list[str] = []  # noqa: RUF012
    before_step = staticmethod(lambda trainer: None)

    def __init__(self, spec, device="cpu", path="auto"):
        self.spec, self.device, self.step = spec, device, 0
        self.value = torch.tensor([spec.seed + 0.5, spec.width], dtype=torch.float64)
        Fake.made.append(spec.key)

    def advance(self, steps):
        for _ in range(min(steps, self.spec.steps - self.step)):
            self.value *= 1.37  # between these two, nothing is whole
            Fake.before_step(self)
            self.value %= 1.0
            self.step += 1

    def state(self):
        return {"value": self.value.clone(), "step": torch.tensor([self.step])}

    def load_state(self, state):
        if state.keys() != {"value", "step"}:
            raise ValueError("state must hold value, step")
        self.value.copy_(state["value"])
        self.step = int(state["step"])

    def row(self):
        loss = 0.05 + 1.0 / self.spec.width + 1e-3 * float(self.value[0])
        named = {"width": self.spec.width, "seed": self.spec.seed, "loss": loss, "stderr": 1e-4}
        how = {"seconds": time.perf_counter(), "path": self.path, "device": self.device}
        more = {"reconstruction": 0.8 * loss, "magnitude": 1.0, "overlap": self.spec.width / 2}
        return named | {"l0": 1.0, "fvu": 0.1, "dead": 0, "duplicates": 0} | more | how

    def tensors(self):
        return {"encoder": self.value.clone(), "frequencies": torch.zeros(self.spec.width)}


@pytest.fixture(autouse=True)
def _one_thread():
    """Small runs on busy cores: threads that wait for each other take most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(Fake, "made", [])
    monkeypatch.setattr(sweep, "Trainer", Fake)
    monkeypatch.setattr(sweep, "choose_path", lambda *a, **k: "fake")
    return Fake


def results(table):
    return table.drop(columns=list(RUN_COLUMNS))


def equal(one, other):
    pd.testing.assert_frame_equal(results(one), results(other), check_exact=True)


def equal_weights(specs, one, other):
    for spec in specs:
        a, b = one.weights(spec), other.weights(spec)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


# ---- tables -------------------------------------------------------------------------------------


def test_rows_are_in_the_order_given_and_say_what_they_are(fake):
    table = train(SPECS)
    assert table["key"].tolist() == [s.key for s in SPECS]
    assert table[["width", "seed"]].to_numpy().tolist() == [[8, 1], [8, 0], [4, 1], [4, 0]]
    assert set(table["data"]) == {"Sphere(dimension=2, radius=1.0)"}
    assert table["spec"].tolist() == [s.text for s in SPECS]
    assert table["steps"].tolist() == [40] * 4
    assert table.columns[-6:].tolist() == [*RUN_COLUMNS, "spec"]
    assert set(table["version"]) == {scaling_theory.__version__}
    assert set(table["resumed"]) == {0}
    assert not table.columns.duplicated().any()


def test_a_specification_that_is_there_twice_is_trained_once(fake, tmp_path):
    table = train([SPECS[0], SPECS[1], SPECS[0]], store=tmp_path)
    assert fake.made == [SPECS[0].key, SPECS[1].key]
    assert table["key"].tolist() == [s.key for s in (SPECS[0], SPECS[1], SPECS[0])]
    assert len(Store(tmp_path).table()) == 2


def test_stored_runs_are_not_trained_again(fake, tmp_path):
    whole = train(SPECS)
    fake.made.clear()
    first = train(SPECS[2:], store=tmp_path)
    seen = []
    table = train(SPECS, store=Store(tmp_path), on_row=seen.append)
    assert fake.made == [SPECS[i].key for i in (2, 3, 0, 1)]
    assert [row["key"] for row in seen] == [SPECS[i].key for i in (2, 3, 0, 1)]
    equal(table, whole)
    pd.testing.assert_frame_equal(table.iloc[2:].reset_index(drop=True), first)
    with Store(tmp_path).writing():  # all is done: nothing is written
        pd.testing.assert_frame_equal(train(SPECS, store=tmp_path), table)
    assert len(fake.made) == 4


def test_an_empty_sweep(fake, tmp_path):
    assert len(train([])) == 0
    assert len(train([], store=tmp_path / "new")) == 0


# ---- stopped and started again ------------------------------------------------------------------


def interrupted_often(specs, store, draw, monkeypatch):
    """Kill a sweep at random moments until it is done; returns the table and how often."""
    kills = 0
    while True:
        left = draw.randrange(1, 60)

        def count(*_):
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        def wrapped(name, real):
            def call(*arguments):
                if draw.random() < 0.5:
                    count()
                    return real(*arguments)
                result = real(*arguments)
                count()
                return result

            monkeypatch.setattr(os, name, call)

        with monkeypatch.context() as patch:
            patch.setattr(Fake, "before_step", count)
            real = {name: getattr(os, name) for name in ("replace", "fsync")}
            try:
                for name, function in real.items():
                    wrapped(name, function)
                return train(specs, store=store, checkpoint_seconds=0.0), kills
            except Killed:
                kills += 1
            finally:
                for name, function in real.items():
                    setattr(os, name, function)


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_moments(fake, tmp_path, monkeypatch, seed):
    whole = train(SPECS, store=tmp_path / "whole")
    kept = tmp_path / "killed"
    table, kills = interrupted_often(SPECS, kept, random.Random(seed), monkeypatch)
    equal(table, whole)
    equal(Store(kept).table(), Store(tmp_path / "whole").table())
    equal_weights(SPECS, Store(kept), Store(tmp_path / "whole"))
    assert 0 < table["resumed"].sum() <= kills
    with Store(kept).writing():
        assert not list((kept / "checkpoints").iterdir())
        assert len(list((kept / "rows").iterdir())) == len(SPECS)


def test_ctrl_c_waits_for_a_whole_step(fake, tmp_path, monkeypatch):
    whole = train(SPECS)

    def press(trainer):
        if (trainer.spec, trainer.step) == (SPECS[1], 17):
            signal.raise_signal(signal.SIGINT)

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(Fake, "before_step", press)
        with pytest.raises(KeyboardInterrupt):
            train(SPECS, store=tmp_path, on_row=seen.append)
    assert [row["key"] for row in seen] == [SPECS[0].key]
    state, notes = Store(tmp_path).checkpoint(SPECS[1])
    assert int(state["step"]) > 17
    assert notes == {"device": "cpu", "path": "fake", "resumed": 0}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    table = train(SPECS, store=tmp_path)
    equal(table, whole)
    assert table["resumed"].tolist() == [0, 1, 0, 0]


def test_a_second_ctrl_c_does_not_wait(fake, tmp_path, monkeypatch):
    whole = train(SPECS)

    def press(trainer):
        if trainer.step == 17:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Fake, "before_step", press)
        with pytest.raises(KeyboardInterrupt):
            train(SPECS, store=tmp_path, checkpoint_seconds=0.0)
    assert int(Store(tmp_path).checkpoint(SPECS[0])[0]["step"]) <= 17
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    equal(train(SPECS, store=tmp_path), whole)


def test_ctrl_c_during_the_evaluation_keeps_the_row(fake, tmp_path, monkeypatch):
    def press(trainer):
        signal.raise_signal(signal.SIGINT)
        return {"encoder": trainer.value}

    with monkeypatch.context() as patch:
        patch.setattr(Fake, "tensors", press)
        with pytest.raises(KeyboardInterrupt):
            train(SPECS, store=tmp_path)
    assert Store(tmp_path).table()["key"].tolist() == [SPECS[0].key]


def test_ctrl_c_without_a_store(fake, monkeypatch):
    monkeypatch.setattr(Fake, "before_step", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(SPECS)


def test_other_handlers_and_other_threads_are_left_alone(fake, monkeypatch):
    tables, pressed = [], []
    thread = threading.Thread(target=lambda: tables.append(train(SPECS)))
    thread.start()
    thread.join()
    equal(tables[0], train(SPECS))

    def own(*_):
        pressed.append(1)

    before = signal.signal(signal.SIGINT, own)
    try:
        monkeypatch.setattr(
            Fake, "before_step", lambda t: t.step or signal.raise_signal(signal.SIGINT)
        )
        train(SPECS)
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(pressed) == 4


def test_checkpoints_come_by_the_clock(fake, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        Store, "save_checkpoint", lambda _, spec, state, notes: saved.append(int(state["step"]))
    )
    monkeypatch.setattr(sweep, "_SLICE", 0.0)  # one step at a time
    train(SPECS[:1], store=tmp_path / "a", checkpoint_seconds=0.0)
    assert saved == list(range(1, 40))
    saved.clear()
    train(SPECS[:1], store=tmp_path / "b")
    assert saved == []


def test_a_stopped_run_goes_on_where_it_was_begun(fake, tmp_path):
    begun = Fake(SPECS[1])
    begun.advance(10)
    store = Store(tmp_path)
    with store.writing():
        notes = {"device": "cuda", "path": "fake", "resumed": 0}
        store.save_checkpoint(SPECS[1], begun.state(), notes)
    fake.made.clear()
    with pytest.raises(
        ValueError, match=rf"device must be 'cuda'.*{SPECS[1].key} .*got 'cpu'.*{SPECS[1].key}.safe"
    ):
        train(SPECS, store=store)
    assert fake.made == []  # before the work
    with store.writing():
        store.save_checkpoint(SPECS[1], {"other": torch.zeros(1)}, {**notes, "device": "cpu"})
    with pytest.raises(StoreDamaged, match=rf"{SPECS[1].key}.safetensors is damaged: state must"):
        train(SPECS, store=store)
    assert store.row(SPECS[0]) is not None


# ---- what goes wrong ----------------------------------------------------------------------------


def failing(monkeypatch, error, at=None):
    def fail(trainer):
        if trainer.step == 20 and (at is None or trainer.spec in at):
            raise error(f"run {trainer.spec.key}: the loss is nan")

    monkeypatch.setattr(Fake, "before_step", fail)


def test_a_run_that_fails_does_not_stop_the_others(fake, tmp_path, monkeypatch):
    failing(monkeypatch, TrainingFailed, SPECS[:2])
    with pytest.raises(
        SweepFailed, match="2 of 4 runs failed; the others are done and stored"
    ) as e:
        train(SPECS, store=tmp_path, checkpoint_seconds=0.0)
    assert [spec for spec, _ in e.value.failures] == SPECS[:2]
    for spec in SPECS[:2]:
        assert f"run {spec.key}: the loss is nan" in str(e.value)
    assert e.value.runs.table["key"].tolist() == [s.key for s in SPECS[2:]]
    assert Store(tmp_path).table()["width"].tolist() == [4, 4]
    assert not list((tmp_path / "checkpoints").iterdir())


def test_all_runs_fail(fake, monkeypatch):
    failing(monkeypatch, TrainingFailed)
    with pytest.raises(SweepFailed, match="1 of 1 runs failed") as caught:
        train(SPECS[:1])
    assert len(caught.value.runs.table) == 0
    with pytest.raises(ValueError, match="at least one run"):
        caught.value.runs.curve()


def test_other_errors_come_at_once(fake, tmp_path, monkeypatch):
    failing(monkeypatch, MemoryError, SPECS[1:2])
    with pytest.raises(MemoryError):
        train(SPECS, store=tmp_path, checkpoint_seconds=0.0)
    assert len(Store(tmp_path).table()) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_full_disk_keeps_what_is_done(fake, tmp_path, monkeypatch):
    whole, real = train(SPECS), os.replace

    def full(a, b):
        if SPECS[2].key in str(b):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=r"goes on from there: No space left"):
            train(SPECS, store=tmp_path)
    assert len(Store(tmp_path).table()) == 2
    equal(train(SPECS, store=tmp_path), whole)


def test_damage_is_found_before_the_work(fake, tmp_path):
    train(SPECS[3:], store=tmp_path)
    row = tmp_path / "rows" / f"{SPECS[3].key}.parquet"
    content = row.read_bytes()
    fake.made.clear()
    row.write_bytes(content[:-10])
    with pytest.raises(StoreDamaged, match=row.name):
        train(SPECS, store=tmp_path)
    row.write_bytes(content)
    stopped = tmp_path / "checkpoints" / f"{SPECS[2].key}.safetensors"
    stopped.write_bytes(b"garbage")
    with pytest.raises(StoreDamaged, match=stopped.name):
        train(SPECS, store=tmp_path)
    assert fake.made == []
    stopped.unlink()
    row.unlink()
    equal(train(SPECS, store=tmp_path), train(SPECS))


def test_a_store_in_use(fake, tmp_path):
    with Store(tmp_path).writing(), pytest.raises(StoreInUse, match="in use by process"):
        train(SPECS, store=tmp_path)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"device": "gpu"}, r"device must be auto, cpu.*got 'gpu'"),
        ({"device": 3.5}, r"device must be auto, cpu.*got 3.5"),
        ({"path": "magic"}, r"path must be auto.*got 'magic'"),
        ({"checkpoint_seconds": -1.0}, r"checkpoint_seconds must be .*got -1.0"),
        ({"checkpoint_seconds": math.nan}, r"checkpoint_seconds must be .*got nan"),
    ],
)
def test_refusals(named, message):
    with pytest.raises(ValueError, match=message):
        train(SPECS, **named)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_no_such_device():
    with pytest.raises(ValueError, match=r"device must be .*got 'cuda'"):
        train(SPECS, device="cuda")


def test_refused_specifications():
    with pytest.raises(ValueError, match=r"specs must hold RunSpecs, got specs\[1\] = 3"):
        train([SPECS[0], 3])


def test_refused_widths():
    for widths in ([0, 4], [4.5], [], 4):
        with pytest.raises(ValueError, match="widths must"):
            train_widths(Circle(), widths, ReLU())
    for seeds in (0, 1.5, [], [-1], True):
        with pytest.raises(ValueError, match="seeds must"):
            train_widths(Circle(), [4], ReLU(), seeds=seeds)
    for name in ("step", "width", "seed"):
        with pytest.raises(TypeError, match=f"options of train_widths must be among .*'{name}'"):
            train_widths(Circle(), [4], ReLU(), **{name: 3})


# ---- the curve ----------------------------------------------------------------------------------


def test_widths_by_seeds(fake, tmp_path):
    runs = train_widths(Circle(), [8, 4], ReLU(), seeds=[5, 3], steps=10, store=tmp_path)
    assert [(s.width, s.seed, s.steps) for s in runs.specs] == [
        (8, 5, 10), (8, 3, 10), (4, 5, 10), (4, 3, 10)
    ]  # fmt: skip
    assert len(runs) == 4
    equal(runs.table, train(runs.specs))
    table = runs.table
    table.loc[0, "loss"] = 7.0  # a copy
    assert runs.table.loc[0, "loss"] < 1.0
    equal_weights(runs.specs, runs, Store(tmp_path))
    assert torch.equal(runs.weights(1)["encoder"], runs.weights(runs.specs[1])["encoder"])
    assert torch.equal(runs.weights(-1)["encoder"], runs.weights(3)["encoder"])
    with pytest.raises(ValueError, match=r"run must be a whole number in \[-4, 3\], got 4"):
        runs.weights(4)
    with pytest.raises(ValueError, match="run must be one of these 4 runs"):
        runs.weights(SPECS[0])


def test_weights_without_a_store(fake):
    runs = train_widths(Circle(), np.array([4]), ReLU(), seeds=np.int64(2), steps=10)
    runs.weights(0)["encoder"][:] = 7.0  # a copy
    assert not torch.equal(runs.weights(0)["encoder"], torch.full((2,), 7.0, dtype=torch.float64))
    few = train_widths(Circle(), [4], ReLU(), keep_weights=False, steps=10)
    with pytest.raises(FileNotFoundError, match="keep_weights=True"):
        few.weights(0)


def made(rows):
    """Runs with rows as given: (width, seed, loss, stderr)."""
    specs = tuple(RunSpec(Circle(), ReLU(), n, s, steps=10) for n, s, *_ in rows)
    more = {"overlap": 0.5, "magnitude": 1.0}
    said = tuple(
        {"width": n, "seed": s, "loss": loss, "stderr": e, "reconstruction": loss / 2, **more}
        for n, s, loss, e in rows
    )
    return Runs(specs, said, None)


def test_the_curve_is_the_mean_over_seeds():
    rows = [(8, 0, 0.2, 1e-3), (8, 1, 0.3, 2e-3), (4, 0, 0.5, 0.3), (4, 1, 0.5, 0.4)]
    rows += [(16, 7, 0.2, 1e-3)]
    curve = made(rows).curve()
    assert curve.n.tolist() == [0, 4, 8, 16]
    assert curve.loss.tolist() == pytest.approx([1.0, 0.5, 0.25, 0.2], rel=1e-15)
    # squares of ln(0.3/0.2)/2, twice, over one degree of freedom each of the widths 4 and 8
    sd = math.log(1.5) / 2.0
    # width 4: the sampling error, hypot(0.3, 0.4)/2, is larger
    said = [0.0, 0.25, 0.25 * sd / math.sqrt(2.0), 0.2 * sd]
    assert curve.stderr.tolist() == pytest.approx(said, rel=1e-12)
    assert curve.overlap.tolist() == [0.0, 0.5, 0.5, 0.5]
    assert curve.provenance == "trained"
    assert curve.source["seeds"] == [[0, 1], [0, 1], [7]]
    assert curve.source["recipe"]["architecture"] == {"kind": "ReLU", "l1": 0.1}
    assert curve.source["recipe"]["steps"] == 10
    assert not {"width", "seed"} & curve.source["recipe"].keys()
    assert curve.source["runs"] == [s.key for s in made(rows[2:4] + rows[:2] + rows[4:]).specs]
    half = made(rows).curve("reconstruction")
    assert half.loss.tolist() == pytest.approx([1.0, 0.25, 0.125, 0.1], rel=1e-15)
    said = [0.0, 0.25 * sd / math.sqrt(2.0), 0.125 * sd / math.sqrt(2.0), 0.1 * sd]
    assert half.stderr.tolist() == pytest.approx(said, rel=1e-12)


def test_errors_of_the_curve_are_never_zero():
    curve = made([(1, 0, 0.5, 0.0), (2, 0, 0.0, 0.0), (3, 0, 0.25, 0.0), (3, 1, 0.25, 0.0)]).curve()
    assert (curve.stderr[1:] > 0.0).all()
    assert (curve.stderr <= 1.2e-7 * np.maximum(curve.loss, 1e-300)).all()


@pytest.mark.parametrize("loss", ["loss", "reconstruction"])
def test_one_seed_says_nothing_of_others(loss):
    rows = [(n, 0, n**-0.8, 1e-5) for n in (2, 4, 8, 16, 32)]
    rows[2:4] = [(8, 0, rows[3][2], 1e-5), (16, 0, rows[2][2], 1e-5)]  # it rises
    again = made(rows + rows[:2])  # the same runs twice are no two seeds
    curve = again.curve(loss)
    assert curve.stderr is None
    assert curve.violations()["n"].tolist() == [8, 16]
    derived = curve.to_curve(beyond="flat").loss(curve.n)
    assert derived[0] == 1.0
    assert (np.diff(derived) <= 0.0).all()
    low, high = curve.exponents(floor="zero").excess.interval
    assert low < 0.8 < high


@pytest.mark.parametrize("seeds", [(1,), (2,), (3,), (3, 1)], ids=["1", "2", "3", "3,1,3,1"])
def test_the_errors_of_the_curve_cover(seeds):
    # Intervals of 95% hold the truth in 85 of 100 cases at least: normal quantiles with errors from
    # 7 degrees of freedom (two seeds) hold it in 91, and two standard deviations of that are 6.
    draw = np.random.default_rng(0)
    widths, b, repeats = np.array([4, 8, 16, 32, 64, 128, 256]), 0.8, 100
    each = np.resize(seeds, widths.size)
    z, held = [], []
    for _ in range(repeats):
        rows = [
            (int(n), s, float(n**-b * (1.0 + 0.05 * draw.standard_normal())), 1e-5)
            for n, k in zip(widths, each, strict=True)
            for s in range(k)
        ]
        curve = made(rows).curve()
        assert (curve.stderr is None) == (seeds == (1,))
        if curve.stderr is not None:
            z.append((curve.loss - curve.n.clip(1) ** -b)[1:] / curve.stderr[1:])
        found = curve.exponents()
        held.append(
            [
                one.interval[0] <= b + more <= one.interval[1]
                for one, more in ((found.excess, 0.0), (found.gain, 1.0))
            ]
        )
    excess, gain = np.mean(held, axis=0)
    assert excess >= 0.85
    assert gain >= 0.85
    assert not z or 0.6 < np.median(np.abs(z)) < 0.8  # normal: 0.674; Student's t of 7: 0.711


def test_refused_curves():
    runs = made([(4, 0, 0.5, 0.1), (8, 0, 0.5, 0.1)])
    with pytest.raises(ValueError, match="loss must be 'loss' or 'reconstruction', got 'fvu'"):
        runs.curve("fvu")
    other = RunSpec(Circle(), ReLU(0.2), 4, steps=10)
    mixed = Runs((*runs.specs, other), (*runs.rows, runs.rows[0]), None)
    with pytest.raises(ValueError, match=r"width and seed only.*ReLU\(l1=0.1\) and ReLU\(l1=0.2\)"):
        mixed.curve()


# ---- the bar ------------------------------------------------------------------------------------


class Screen:
    def __init__(self):
        self.done = self.total = 0.0
        self.text = ""

    def add_task(self, _, total):
        self.total = total

    def update(self, _, advance=0.0, total=None, description=None):
        self.done += advance
        self.total = self.total if total is None else total
        self.text = description or self.text


def test_the_bar_counts_work():
    screen = Screen()
    small, large = (RunSpec(Sphere(4), ReLU(), n, 3, steps=100) for n in (4, 4096))
    bar = _watch._RichBar(screen, [small, small, large])
    bar.begin(small)
    assert screen.text == "run 1/3: width 4, seed 3"
    bar.advance(100)
    assert screen.done < 0.1 * screen.total
    bar.begin(small)
    bar.advance(1)  # and fails
    bar.begin(large)
    bar.skip(40)  # done before: no part of what is to be done
    bar.advance(60)
    assert screen.done == pytest.approx(screen.total, rel=1e-12)


def test_nothing_is_shown_unless_asked_for(fake, capsys, monkeypatch):
    train(SPECS)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr(Fake, "before_step", lambda _: time.sleep(0.005))
    train(SPECS, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "width 4, seed 0" in err


# ---- the real trainer ---------------------------------------------------------------------------

REAL = [
    RunSpec(Circle(), ReLU(), 8, steps=400, batch_size=64, evaluation=512),
    RunSpec(Points(), ReLU(), 3, steps=300, batch_size=64, evaluation=512),
    RunSpec(Sphere(3), TopK(2, auxk=2), 16, steps=400, batch_size=64, evaluation=512),
]


def test_the_real_trainer_stopped_at_every_slice(tmp_path, monkeypatch):
    whole = train(REAL, store=tmp_path / "whole", path="reference")
    store, draw, real = Store(tmp_path / "stopped"), random.Random(3), Trainer.advance
    stops = 0

    def press(trainer, steps):
        real(trainer, draw.randrange(1, 200))
        if draw.random() < 0.5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "advance", press)
    while True:
        try:
            table = train(REAL, store=store, path="reference")
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 3
    assert table["resumed"].sum() == stops
    equal(table, whole)
    equal_weights(REAL, store, Store(tmp_path / "whole"))


def test_training_to_a_curve(tmp_path):
    runs = train_widths(
        Circle(), [2, 4, 8, 16], ReLU(), seeds=2, steps=200, batch_size=128, evaluation=2048,
        path="reference",
    )  # fmt: skip
    curve = runs.curve()
    assert curve.n.tolist() == [0, 2, 4, 8, 16]
    assert curve.loss[0] == pytest.approx(1.0, abs=0.01)
    assert curve.loss[-1] < 0.3
    assert (np.diff(curve.loss) < 0.0).all()
    assert (curve.overlap <= curve.n).all()
    assert curve.exponents().raw.value > 0.0
    assert curve.to_curve(beyond="flat").loss(np.array([16]))[0] == curve.loss[-1]
    assert set(runs.weights(0)) >= {"encoder", "decoder", "frequencies"}


def long_specs(steps):
    named = {"steps": steps, "batch_size": 64, "evaluation": 512}
    return [RunSpec(Circle(), ReLU(), n, seed, **named) for n in (8, 4) for seed in (0, 1)]


def sweep_in_a_process(folder, steps, hold):
    """What is killed below; held, it never ends by itself: its last run stays at half its steps."""
    torch.set_num_threads(1)
    sweep._SLICE = 0.01
    specs, real = long_specs(steps), Trainer.advance

    def advance(trainer, count):
        left = steps // 2 - trainer.step if hold and trainer.spec == specs[-1] else count
        if left > 0:
            real(trainer, min(count, left))
        else:
            time.sleep(2.0 * sweep._SLICE)  # slow steps are not asked for in ever larger numbers

    Trainer.advance = advance
    train(specs, store=folder, checkpoint_seconds=0.02)


def check_kills(tmp_path, kills, steps, seed):
    """Really kill a sweep so many times, and hold what comes out to an undisturbed one."""
    context = multiprocessing.get_context("forkserver")  # imports all of this once
    own = ["sweep", "metrics", "manifolds", "kernels.compiled"]
    others = ["pandas", "pyarrow.parquet", "pytest", "safetensors.torch"]
    context.set_forkserver_preload([*(f"scaling_theory.sae.{name}" for name in own), *others])

    def start(name, hold=False):
        folder = tmp_path / name
        process = context.Process(target=sweep_in_a_process, args=(str(folder), steps, hold))
        process.start()
        lock = folder / "lock"
        while process.is_alive() and not (
            lock.exists() and lock.read_text().startswith(f"process {process.pid} ")
        ):
            time.sleep(0.002)
        return process

    whole = start("whole")
    began = time.perf_counter()
    whole.join()
    took = time.perf_counter() - began
    assert whole.exitcode == 0
    specs, draw = long_specs(steps), random.Random(seed)
    one, other = Store(tmp_path / "killed"), Store(tmp_path / "whole")
    for kill in range(kills):
        process = start("killed", hold=True)
        time.sleep(draw.uniform(0.0, 1.5 * took / kills))
        while kill == kills - 1 and process.is_alive() and one.checkpoint(specs[-1]) is None:
            time.sleep(0.002)  # so that at least one run is resumed
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    final = start("killed")
    final.join()
    assert final.exitcode == 0
    equal(one.table(), other.table())
    assert len(one.table()) == len(specs)
    assert set(one.table()["path"]) == {"compiled"}
    equal_weights(specs, one, other)
    assert not list(one.path.rglob("*.tmp"))
    assert 1 <= one.table()["resumed"].sum() <= kills


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_two_kills(tmp_path):
    check_kills(tmp_path, 2, steps=1000, seed=0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("seed", range(3))
def test_ten_kills(tmp_path, seed):
    check_kills(tmp_path, 10, steps=20_000, seed=seed)
