"""Every registered figure has the parts that ``reproduce`` needs, and its files say how."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from scaling_theory.figures import FIGURES, reproduce, sweeps
from scaling_theory.figures.registry import is_trained
from scaling_theory.figures.stored import files, rows
from scaling_theory.sae import ReLU, RunSpec, Shell, Sphere


@pytest.mark.parametrize("name", FIGURES)
def test_module_states_its_parts(name: str) -> None:
    module = importlib.import_module(FIGURES[name])
    assert callable(module.data)
    assert callable(module.draw)
    assert len(module.SIZE) == 2
    assert len(module.AXES) == 2
    if is_trained(module):
        assert module.SWEEPS
        assert set(module.SWEEPS) <= set(sweeps.SWEEPS)


def test_reproduce_writes_four_files_and_the_same_csv_twice(tmp_path: Path) -> None:
    first = reproduce(tmp_path / "a", only=["figure2_right"], command="test")
    second = reproduce(tmp_path / "b", only=["figure2_right"], command="test")
    assert [p.name for p in first] == ["michaud2025_figure2_right.png"]
    stem = "michaud2025_figure2_right"
    assert {p.name for p in (tmp_path / "a").iterdir()} == {
        f"{stem}.{ending}" for ending in ("png", "svg", "csv", "json")
    }
    assert (tmp_path / "a" / f"{stem}.csv").read_bytes() == (
        tmp_path / "b" / f"{stem}.csv"
    ).read_bytes()
    assert first[0].read_bytes() == second[0].read_bytes()
    assert json.loads((tmp_path / "a" / f"{stem}.json").read_text())["command"] == "test"
    table = pd.read_csv(tmp_path / "a" / f"{stem}.csv")
    worst = table[(table["beta"] == 0.1) & (table["latents"] == 10**8)].iloc[0]
    assert worst["discovered"] == pytest.approx(3_330_771, rel=1e-4)


def test_regime_table_converges_to_the_formulas() -> None:
    module = importlib.import_module(FIGURES["michaud2025_figure2_left"])
    table = module.data()
    for kind in ("loss", "discovery"):
        error = (table[f"measured_{kind}_exponent"] - table[f"{kind}_exponent"]).abs()
        largest = table["latents"] == table["latents"].max()
        limit = table["regime"] != "critical"
        assert error[largest & limit].max() < 0.003  # the next order at N = 1e12, see the figure
        assert (error[largest].to_numpy() <= error[table["latents"] == 10**4].to_numpy()).all()


def test_a_stopped_run_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module(FIGURES["crossover"]), "data", stop)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path, only=["crossover"])
    assert not list(tmp_path.iterdir())


def test_figures_that_rest_on_training_carry_their_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {"quick": 10, "paper": 20}

    def some(data: Sphere | Shell) -> Callable[[str], list[RunSpec]]:
        return lambda p: [RunSpec(data, ReLU(), n, steps=steps[p], evaluation=256) for n in (1, 2)]

    monkeypatch.setattr(rows, "SWEEPS", {"spheres": some(Sphere(2)), "shells": some(Shell(2))})
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    monkeypatch.setenv("SCALING_THEORY_RUNS", str(tmp_path / "runs"))
    said: list[str] = []
    for preset in ("quick", "paper"):
        name = f"michaud2025_figure3_{preset}"
        only = ["michaud2025_figure3", "figure2_right"]
        written = reproduce(tmp_path / "out", only, preset, command="test", say=said.append)
        assert [p.name for p in written] == ["michaud2025_figure2_right.png", f"{name}.png"]
        assert f"training 4 of 4 runs (spheres 2, shells 2) into {tmp_path}" in said[-1]
        made = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        made = {key: made[key] for key in ("preset", "seeds", "steps", "runs", "command")}
        assert made == {
            "preset": preset, "seeds": [0], "steps": [steps[preset]], "runs": 4, "command": "test"
        }  # fmt: skip
    assert len(said) == 2
    names = [p.name for p in (tmp_path / "out").glob("michaud2025_figure3*.csv")]
    assert sorted(names) == ["michaud2025_figure3_paper.csv", "michaud2025_figure3_quick.csv"]
    once = pd.read_csv(tmp_path / "out" / names[0])["loss"].tolist()
    assert once != pd.read_csv(tmp_path / "out" / names[1])["loss"].tolist()


def test_unknown_figure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only must name figures among"):
        reproduce(tmp_path, only=["nothing"])
    with pytest.raises(ValueError, match="preset must be"):
        reproduce(tmp_path, preset="huge")  # type: ignore[arg-type]
