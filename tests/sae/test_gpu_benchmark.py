"""The benchmark of a published figure on one GPU says what it measured, or that it could not."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sae_sweep.py"


def run(*arguments):
    """Output of the script, which must succeed without a word on standard error."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, SCRIPT, "--figure3", *map(str, arguments)]
    options = {"capture_output": True, "text": True, "timeout": 300, "env": environment}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_unmeasured():
    out = run()
    assert "unmeasured: no CUDA device here" in out
    assert "python benchmarks/sae_sweep.py --figure3 --store FOLDER" in out


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_pieces_of_it_by_the_interpreter(tmp_path):
    """A piece that is cut short, and the one that ends it."""
    tiny = ("--interpret", "--tiny", "--store", tmp_path / "runs", "--peer-steps", 1)
    assert "the same command goes on from there" in run(*tiny, "--minutes", 0.0)
    (first,) = json.loads((tmp_path / "runs" / "pieces.json").read_text())
    out = run(*tiny, "--json", tmp_path / "said.json")
    assert run(*tiny).count("in 2 pieces") == 1  # nothing was left: no piece
    said = json.loads((tmp_path / "said.json").read_text())
    assert "path triton, 12 SAEs of 4 steps" in out
    assert "in 2 pieces" in out
    assert said["seconds"] == sum(said["pieces"])
    assert said["pieces"][0] == first["seconds"]
    assert said["training"] < said["seconds"]
    assert said["training"] == pytest.approx(sum(row["seconds"] for row in said["rows"]))
    assert len(said["rows"]) == 4
    for row in said["rows"]:
        assert sorted(map(int, row["losses"])) == [2, 4, 8]
        for loss in row["losses"].values():
            assert f"{loss:.5f}" in out


def test_a_piece_that_is_killed_counts(tmp_path, monkeypatch):
    """Its last note is there, whatever ended it; what trained nothing is no piece."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import sae_figure3

    monkeypatch.setattr(sae_figure3, "NOTED", 0.01)
    file = tmp_path / "pieces.json"
    first = sae_figure3.Clock(tmp_path, works=True)
    with first.running():
        noted = [json.loads(file.read_text())[0]["seconds"]]
        while noted[-1] == noted[0]:
            noted.append(json.loads(file.read_text())[0]["seconds"])
    assert noted[-1] > noted[0]
    with sae_figure3.Clock(tmp_path, works=False).running():
        pass
    assert json.loads(file.read_text()) == first.pieces
    second = sae_figure3.Clock(tmp_path, works=True)
    assert second.pieces[:1] == first.pieces
    assert len(json.loads(file.read_text())) == 2


def test_where_runs_share_launches_there_is_no_ratio_by_width(monkeypatch, capsys):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import sae_sweep

    sweep = sae_sweep.Sweep(2, (2, 4), 1, 10, 16, "cuda")
    for path, shown in (("blocked", True), ("triton", False)):
        done = sae_sweep.Done(3.0, [1.0, 2.0], [0.5, 0.25], [path] * 2)
        rows = sae_sweep.by_width(sweep, {sae_sweep.STORED: [done], sae_sweep.LOOP: [done]})
        out = capsys.readouterr().out
        assert ("ratio" in out) == shown
        assert ("package_seconds" in rows[0]) == shown
        assert [row["package_loss"] for row in rows] == [0.5, 0.25]
