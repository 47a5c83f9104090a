"""Stored rows of training runs: they come back exactly, and only what is missing is trained."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

from scaling_theory.figures import registry, stored, sweeps
from scaling_theory.figures.stored import __main__ as command
from scaling_theory.figures.stored import files, rows
from scaling_theory.figures.stored.files import Kept
from scaling_theory.sae import Circle, ReLU, RunSpec, Shell, Sphere, Store, train

TINY = [RunSpec(Sphere(3), ReLU(), n, steps=20, evaluation=256) for n in (1, 2, 4)]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A sweep of three runs, stored rows in one folder, runs in another."""
    monkeypatch.setattr(rows, "SWEEPS", {"tiny": lambda preset: TINY})
    monkeypatch.setattr(command, "SWEEPS", {"tiny": lambda preset: TINY})
    (tmp_path / "stored").mkdir()
    monkeypatch.setattr(files, "FOLDER", tmp_path / "stored")
    monkeypatch.setenv("SCALING_THEORY_RUNS", str(tmp_path / "runs"))
    return tmp_path


def refuse_to_train(*_: object, **__: object) -> None:
    raise AssertionError("nothing is to be trained")


# ---- the files ----------------------------------------------------------------------------------


def row_of(spec: RunSpec, **values: float | int | str) -> dict[str, float | int | str]:
    return {"key": spec.key, "data": repr(spec.data), **values, "version": "1", "spec": spec.text}


def test_every_number_comes_back_as_it_was(tmp_path: Path) -> None:
    kept = [
        Kept(row_of(TINY[0], a=0.1 + 0.2, b=1.0, c=7, d=5e-324, e=float("inf"))),
        Kept(
            row_of(TINY[1], a=1 / 3, b=1e300, c=-(2**60), d=-0.0, e=float("nan")),
            {"decoder": [[0.1, 2.0]], "bias": [1e-7]},
        ),
    ]
    file = stored.write("some", "quick", kept, tmp_path)
    assert file.name == "some_quick.csv"
    back = stored.read("some", "quick", tmp_path)
    assert list(back) == [TINY[0].key, TINY[1].key]
    for one in kept:
        again = back[str(one.row["key"])]
        assert again.weights == one.weights
        assert list(again.row) == list(one.row)
        for name, value in one.row.items():
            assert type(again.row[name]) is type(value)
            if isinstance(value, float) and math.isnan(value):
                assert math.isnan(float(again.row[name]))
            else:
                assert repr(again.row[name]) == repr(value)
    content = file.read_bytes()
    assert stored.write("some", "quick", list(back.values()), tmp_path).read_bytes() == content


def test_a_sweep_without_a_file_has_no_rows(tmp_path: Path) -> None:
    assert stored.read("some", "quick", tmp_path) == {}


def test_weights_come_back_in_every_bit() -> None:
    values = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * 1e-3
    assert torch.equal(torch.tensor(files.as_lists({"w": values})["w"]), values)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda cells: cells | {"spec": cells["spec"].replace('"seed":0', '"seed":1')}, "digest"),
        (lambda cells: cells | {"key": "0" * 16}, "digest"),
        (lambda cells: cells | {"loss": "low"}, "loss must be a number, got 'low'"),
        (lambda cells: cells | {"weights": "[1"}, "damaged row"),
        (lambda cells: None, "its key is there twice"),
    ],
)
def test_a_damaged_row_is_refused_by_its_key(change, what, tmp_path: Path) -> None:
    file = stored.write("some", "quick", [Kept(row_of(TINY[0], loss=0.5))], tmp_path)
    with file.open(newline="") as lines:
        (cells,) = csv.DictReader(lines)
    changed = change(cells)
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(cells))
        writer.writeheader()
        writer.writerows([cells, cells] if changed is None else [changed])
    with pytest.raises(ValueError, match=what) as caught:
        stored.read("some", "quick", tmp_path)
    assert str((changed or cells)["key"]) in str(caught.value)
    assert "deleting it trains that run again" in str(caught.value)


def test_rows_of_other_columns_are_refused(tmp_path: Path) -> None:
    kept = [Kept(row_of(TINY[0], loss=0.5)), Kept(row_of(TINY[1], mse=0.5))]
    with pytest.raises(ValueError, match="rows of the same columns"):
        stored.write("some", "quick", kept, tmp_path)
    with pytest.raises(ValueError, match="at least one row of some"):
        stored.write("some", "quick", [], tmp_path)
    assert not list(tmp_path.iterdir())


# ---- the runs -----------------------------------------------------------------------------------


def test_what_is_missing_is_trained_once_and_kept(tiny: Path, monkeypatch) -> None:
    assert len(stored.runs(["tiny"], "quick", missing="leave")["tiny"]) == 0
    assert not (tiny / "runs").exists()
    said: list[str] = []
    first = stored.runs(["tiny"], "quick", say=said.append)["tiny"]
    assert [spec.width for spec in first.specs] == [1, 2, 4]
    assert len(said) == 1
    assert said[0].startswith(f"training 3 of 3 runs (tiny 3) into {tiny / 'runs' / 'quick'}: ")
    assert "about" in said[0]
    assert first.curve().n.tolist() == [0, 1, 2, 4]

    monkeypatch.setattr(rows, "train", refuse_to_train)
    again = stored.runs(["tiny"], "quick", say=said.append)["tiny"]
    assert again.rows == first.rows
    assert len(said) == 1


def test_stored_rows_come_first_and_the_rest_is_trained(tiny: Path, capsys, monkeypatch) -> None:
    store = tiny / "elsewhere"
    train(TINY[:2], store)
    assert command.main(["tiny", "--preset", "paper", "--store", str(store)]) == 0
    assert "tiny_paper.csv: 2 rows, 1 are missing" in capsys.readouterr().out
    part = stored.runs(["tiny"], "paper", missing="leave")
    assert [spec.width for spec in part["tiny"].specs] == [1, 2]
    assert stored.missing(part, "paper") == "1 of 3 runs of tiny are missing (d = 3: 1)"
    assert stored.runs_folder("paper") == tiny / "runs" / "paper"

    trained = []
    whole = stored.runs(["tiny"], "paper", say=trained.append)
    assert "training 1 of 3 runs (tiny 1)" in trained[0]
    assert stored.missing(whole, "paper") == ""
    assert whole["tiny"].rows[:2] == part["tiny"].rows
    assert [p.stem for p in (tiny / "runs/paper/rows").iterdir()] == [TINY[2].key]
    with pytest.raises(FileNotFoundError, match="are not stored"):
        whole["tiny"].weights(TINY[0])

    assert command.main(["tiny", "--preset", "paper"]) == 0
    assert "tiny_paper.csv: 3 rows\n" in capsys.readouterr().out
    monkeypatch.setattr(rows, "train", refuse_to_train)
    assert stored.runs(["tiny"], "paper")["tiny"].rows == whole["tiny"].rows


def test_a_sweep_of_which_nothing_is_there_is_not_written(tiny: Path, capsys) -> None:
    assert command.main(["tiny", "--store", str(tiny / "none")]) == 0
    assert "not written, all 3 runs are missing" in capsys.readouterr().out
    assert not list((tiny / "stored").iterdir())


def test_a_row_of_another_run_is_refused(tiny: Path, monkeypatch) -> None:
    train(TINY, tiny / "runs" / "quick")
    command.main(["tiny"])
    held = files.read("tiny", "quick")
    (other,) = Store(tiny / "runs" / "quick").table([TINY[1]]).to_dict("records")
    monkeypatch.setattr(rows, "read", lambda *_: held | {TINY[0].key: Kept(other)})
    with pytest.raises(ValueError, match=f"row {TINY[0].key} of tiny_quick is of another run"):
        stored.runs(["tiny"], "quick")


@pytest.mark.parametrize("keep", [True, False])
def test_weights_of_drawn_runs_are_stored(keep: bool, tiny: Path, monkeypatch) -> None:
    circle = RunSpec(Circle(), ReLU(), 4, steps=20, evaluation=256)
    assert sweeps.drawn(circle)
    monkeypatch.setattr(rows, "SWEEPS", {"tiny": lambda preset: [circle]})
    train([circle], tiny / "runs" / "quick", keep_weights=keep)
    part = stored.runs(["tiny"], "quick", missing="leave")["tiny"]
    if not keep:
        with pytest.raises(FileNotFoundError):
            part.weights(circle)
    command.main(["tiny"])
    monkeypatch.setattr(rows, "train", refuse_to_train)
    weights = stored.runs(["tiny"], "quick")["tiny"].weights(circle)
    train([circle], tiny / "again")
    for name, values in Store(tiny / "again").weights(circle).items():
        if name in weights:
            assert torch.equal(weights[name], values)
    assert sorted(weights) == ["decoder", "decoder_bias", "encoder", "encoder_bias"]


def test_unknown_names_are_refused(tiny: Path, capsys) -> None:
    with pytest.raises(ValueError, match=r"names must be sweeps among \['tiny'\], got 'huge'"):
        stored.runs(["huge"], "quick")
    with pytest.raises(SystemExit):
        command.main(["uniform_law"])
    assert "NAME must be among michaud2025_figure1" in capsys.readouterr().err


def test_a_preview_says_what_is_missing(tmp_path: Path, monkeypatch, capsys) -> None:
    spheres = [RunSpec(Sphere(d), ReLU(), n, steps=20) for d in (2, 3) for n in (1, 2, 4)]
    shells = [RunSpec(Shell(2), ReLU(), n, steps=20) for n in (1, 2)]
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    monkeypatch.setattr(
        rows, "SWEEPS", {"spheres": lambda preset: spheres, "shells": lambda preset: shells}
    )
    with pytest.raises(ValueError, match="needs runs of the sweep spheres, got none"):
        registry.preview("michaud2025_figure3", tmp_path, "quick", tmp_path / "store")
    train([*spheres[:4], *shells], tmp_path / "store")
    where = ["--store", str(tmp_path / "store"), "--draw", str(tmp_path / "out")]
    assert command.main(["michaud2025_figure3", *where]) == 0
    out = capsys.readouterr().out
    assert "2 of 6 runs of spheres are missing (d = 3: 2)" in out
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert "michaud2025_figure3_quick_preview.png" in names
    said = (tmp_path / "out" / "michaud2025_figure3_quick_preview.svg").read_text()
    assert "2 of 6 runs of spheres are missing" in said


# ---- what is stored with the package ------------------------------------------------------------


@pytest.mark.parametrize("name", sweeps.SWEEPS)
def test_quick_rows_are_all_there_and_no_others(name: str) -> None:
    specs = sweeps.SWEEPS[name]("quick")
    held = stored.read(name, "quick")
    assert list(held) == [spec.key for spec in specs]
    for spec in specs:
        assert held[spec.key].row["spec"] == spec.text
        assert (held[spec.key].weights is not None) == sweeps.drawn(spec)


@pytest.mark.parametrize("name", sweeps.SWEEPS)
def test_stored_files_belong_to_the_sweeps(name: str) -> None:
    wanted = {f"{sweep}_{preset}.csv" for sweep in sweeps.SWEEPS for preset in ("quick", "paper")}
    wanted |= {f"diagnosis_{judged}.csv" for judged in ("blind", "trained")}
    assert {file.name for file in stored.FOLDER.glob("*.csv")} <= wanted
    keys = {spec.key for spec in sweeps.SWEEPS[name]("paper")}
    assert set(stored.read(name, "paper")) <= keys
