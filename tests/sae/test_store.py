"""A store: what goes in comes out, at whatever moment it is killed, and damage is named."""

import errno
import math
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys

import pytest
import torch

from scaling_theory.sae import _files
from scaling_theory.sae._files import StoreDamaged
from scaling_theory.sae.architectures import ReLU
from scaling_theory.sae.manifolds import Sphere
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import Store, StoreInUse

SPECS = [RunSpec(Sphere(2), ReLU(), n, seed) for n in (8, 4) for seed in (1, 0)]
SPEC = SPECS[0]
TENSORS = {
    "weights": torch.tensor([[1.0, -0.0], [math.pi, 1e-40]]),
    "idle": torch.tensor([0, 2**62]),
    "seconds": torch.tensor(1.5, dtype=torch.float64),
    "none": torch.zeros(0),
}


class Killed(BaseException):
    """The process ends here: nobody cleans up."""


def row(spec=SPEC, loss=0.1):
    what = {"key": spec.key, "data": repr(spec.data), "architecture": repr(spec.architecture)}
    return {**what, "width": spec.width, "seed": spec.seed, "loss": loss, "spec": spec.text}


def files(store):
    return sorted(
        str(f.relative_to(store.path)) for f in store.path.rglob("*") if f.is_file()
    )  # fmt: skip


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert torch.equal(a[name], b[name])


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "deep" / "store")


@pytest.fixture
def full(store):
    """A store with one finished run, and another in progress."""
    with store.writing():
        store.finish(SPEC, row(), TENSORS)
        store.save_checkpoint(SPECS[1], TENSORS, {"resumed": 3})
    return store


# ---- what goes in comes out ---------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.1 + 0.2, 5e-324, -0.0, math.inf, math.nan])
def test_a_row_comes_back_bit_for_bit(store, loss):
    given = row(loss=loss) | {"count": 2**53 + 1, "text": "β \n\x00 '", "empty": ""}
    with store.writing():
        store.finish(SPEC, given)
    found = store.row(SPEC)
    assert repr(found) == repr(given)  # nan too
    assert list(found) == list(given)


def test_weights_and_checkpoints_come_back(full):
    same(full.weights(SPEC), TENSORS)
    state, notes = full.checkpoint(SPECS[1])
    same(state, TENSORS)
    assert notes == {"resumed": 3}


def test_equal_content_makes_equal_files(full, tmp_path):
    other = Store(tmp_path / "other")
    with other.writing():
        other.finish(SPEC, row(), dict(reversed(TENSORS.items())))
    for name in (f"rows/{SPEC.key}.parquet", f"weights/{SPEC.key}.safetensors"):
        assert (full.path / name).read_bytes() == (other.path / name).read_bytes()


def test_a_finished_run_has_no_checkpoint(store):
    with store.writing():
        store.save_checkpoint(SPEC, TENSORS, {})
        store.finish(SPEC, row())
    assert store.checkpoint(SPEC) is None
    with pytest.raises(FileNotFoundError, match="keep_weights=False"):
        store.weights(SPEC)


def test_tables_have_an_order(store):
    with pytest.raises(FileNotFoundError, match=r"no store at .*deep/store"):
        store.table()
    with store.writing():
        for spec in SPECS[1:]:
            store.finish(spec, row(spec))
    assert len(store.table([SPEC])) == 0
    assert store.table(SPECS)["key"].tolist() == [s.key for s in SPECS[1:]]
    assert store.table()[["width", "seed"]].to_numpy().tolist() == [[4, 0], [4, 1], [8, 0]]


def test_rows_hold_plain_values(store):
    with store.writing(), pytest.raises(ValueError, match=r"must hold floats.* loss = tensor"):
        store.finish(SPEC, row(loss=torch.tensor(1.0)))
    assert store.row(SPEC) is None


# ---- one writer ---------------------------------------------------------------------------------


def test_writing_needs_the_lock(store):
    with pytest.raises(RuntimeError, match=r"store\.writing"):
        store.finish(SPEC, row())
    with store.writing():
        pass
    with pytest.raises(RuntimeError, match=r"store\.writing"):
        store.save_checkpoint(SPEC, TENSORS, {})


def test_one_writer_at_a_time(full):
    other = Store(full.path)
    with full.writing():
        with (
            pytest.raises(StoreInUse, match=f"in use by process {os.getpid()} on "),
            other.writing(),
        ):
            pass
        assert other.row(SPEC) == row()  # reading goes on
    with other.writing():
        pass


def test_the_lock_of_a_killed_process_is_free(full):
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'a');"
        "fcntl.flock(f, fcntl.LOCK_EX); print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-S", "-c", code, full.path / "lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(StoreInUse, match=r"wait until it is done"), full.writing():
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
        holder.wait()
    with full.writing():
        pass


# ---- killed, and full disks ---------------------------------------------------------------------


def breaking(monkeypatch, at, error):
    """Let the at-th call to the system that matters raise; returns how many there were."""
    calls = []

    def wrap(module, name):
        real = getattr(module, name)

        def call(*arguments, **named):
            calls.append(name)
            if len(calls) == at:
                raise error
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, call)

    wrap(os, "fsync")
    wrap(os, "replace")
    wrap(pathlib.Path, "unlink")
    return calls


def test_killed_between_any_two_calls(tmp_path):
    moments = 0
    for at in range(1, 100):
        store = Store(tmp_path / str(at))
        with store.writing():
            store.finish(SPECS[1], row(SPECS[1]), TENSORS)
            store.save_checkpoint(SPEC, TENSORS, {"resumed": 0})
        with pytest.MonkeyPatch.context() as patch:
            breaking(patch, at, Killed())
            try:
                with store.writing():
                    store.save_checkpoint(SPEC, TENSORS, {"resumed": 1})
                    store.finish(SPEC, row(), TENSORS)
                killed = False
            except Killed:
                killed = True
        if not killed:
            break
        moments += 1
        done, stopped = store.row(SPEC), store.checkpoint(SPEC)
        assert done is not None or stopped is not None  # finished, or goes on
        with store.writing():
            assert not [name for name in files(store) if name.endswith(".tmp")]
            assert store.row(SPEC) == done
            assert (store.checkpoint(SPEC) is None) == (done is not None)
            if done is None:
                store.finish(SPEC, row(), TENSORS)
        assert store.row(SPEC) == row()
        assert store.row(SPECS[1]) == row(SPECS[1])
        same(store.weights(SPEC), TENSORS)
        assert len(files(store)) == 5  # two rows, two weights, the lock
    assert moments == 10  # three files of three calls each, and the checkpoint goes


@pytest.mark.parametrize("what", ["checkpoint", "row"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_full_disk(full, monkeypatch, what, at):
    before = files(full)
    with full.writing():
        with monkeypatch.context() as patch:
            breaking(patch, at, OSError(errno.ENOSPC, "No space left on device"))
            save = {
                "row": lambda: full.finish(SPECS[1], row(SPECS[1])),
                "checkpoint": lambda: full.save_checkpoint(SPECS[1], TENSORS, {"resumed": 4}),
            }[what]
            with pytest.raises(OSError, match=r"could not be written .*No space left") as caught:
                save()
        assert caught.value.errno == errno.ENOSPC
        assert SPECS[1].key in str(caught.value)
        if at < 3:  # the third is after the file is in place
            assert files(full) == before
            assert full.checkpoint(SPECS[1])[1] == {"resumed": 3}
        full.finish(SPECS[1], row(SPECS[1]))
    assert full.row(SPECS[1]) == row(SPECS[1])
    assert full.checkpoint(SPECS[1]) is None


def test_a_write_that_stops_in_the_middle(full):
    before = files(full)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = {"weights": torch.zeros(100_000)}
    with full.writing():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with pytest.raises(OSError, match="could not be written") as caught:
                full.save_checkpoint(SPECS[1], large, {})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.errno == errno.EFBIG
        assert files(full) == before
        same(full.checkpoint(SPECS[1])[0], TENSORS)


def test_what_a_killed_process_left_is_cleared(full):
    left = [
        full.path / "rows" / f"{SPEC.key}.parquet.tmp",
        full.path / "weights" / f"{SPEC.key}.safetensors.tmp",
        full.path / "checkpoints" / f"{SPEC.key}.safetensors",
    ]
    foreign = [full.path / "rows" / "notes.tmp", full.path / "rows" / "mine.parquet"]
    for file in left + foreign:
        file.write_bytes(b"half")
    with full.writing():
        pass
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in foreign)
    assert len(full.table()) == 1
    assert full.checkpoint(SPECS[1]) is not None


# ---- damage -------------------------------------------------------------------------------------


def read(store, folder):
    if folder == "rows":
        store.table()
        return store.row(SPEC)
    if folder == "weights":
        return store.weights(SPEC)
    return store.checkpoint(SPECS[1])


FOLDERS = {
    "rows": (f"rows/{SPEC.key}.parquet", "trains that run again"),
    "weights": (f"weights/{SPEC.key}.safetensors", r"\(with .*parquet\) trains that run again"),
    "checkpoints": (f"checkpoints/{SPECS[1].key}.safetensors", "starts that run over"),
}
GARBAGE = {
    "empty": lambda b: b"",
    "one byte": lambda b: b"x",
    "garbage": lambda b: random.Random(0).randbytes(len(b)),
    "zeros": lambda b: bytes(len(b)),
    "text": lambda b: b"<html>404</html>" * 100,
    "beginning": lambda b: b[: len(b) // 2],
    "all but the last byte": lambda b: b[:-1],
    "end": lambda b: b[len(b) // 2 :],
    "one byte more": lambda b: b + b"\x00",
    "a pickle": lambda b: b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR.",
}


@pytest.mark.parametrize("how", GARBAGE)
@pytest.mark.parametrize("folder", FOLDERS)
def test_damage_is_named(full, folder, how):
    name, advice = FOLDERS[folder]
    file = full.path / name
    file.write_bytes(GARBAGE[how](file.read_bytes()))
    with pytest.raises(StoreDamaged, match=rf"{name} is damaged: .* deleting it.*{advice}"):
        read(full, folder)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_flipped_bit_is_believed(full, folder):
    file = full.path / FOLDERS[folder][0]
    content, good = file.read_bytes(), repr(read(full, folder))
    draw = random.Random(1)
    refused = 0
    for _ in range(300):
        changed = bytearray(content)
        changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        file.write_bytes(changed)
        try:
            assert repr(read(full, folder)) == good  # bits that say nothing
        except StoreDamaged:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_file_of_another_run(full, folder):
    with full.writing():
        full.finish(SPECS[2], row(SPECS[2]), TENSORS)
        full.save_checkpoint(SPECS[3], TENSORS, {})
    mine = full.path / FOLDERS[folder][0]
    other = SPECS[3] if folder == "checkpoints" else SPECS[2]
    (mine.with_name(other.key + mine.suffix)).replace(mine)
    with pytest.raises(StoreDamaged, match=f"{mine.name} is damaged: it holds another run"):
        read(full, folder)


@pytest.mark.parametrize("folder", FOLDERS)
def test_another_format(full, folder, monkeypatch):
    monkeypatch.setattr(_files, "_FORMAT", 2)
    with pytest.raises(StoreDamaged, match="its format is 1, not 2"):
        read(full, folder)


# ---- folders ------------------------------------------------------------------------------------


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"store must be a folder, got the file .*/file"):
        Store(tmp_path / "file")
    with (
        pytest.raises(OSError, match=r"file/below can't be used as a store: Not a directory"),
        Store(tmp_path / "file" / "below").writing(),
    ):
        pass


def test_no_permission(store, monkeypatch):
    def refuse(*arguments, **named):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with (
        pytest.raises(PermissionError, match=r"store can't be used as a store: Permission denied"),
        store.writing(),
    ):
        pass
