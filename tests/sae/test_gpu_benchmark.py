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
    out = run(*tiny, "--json", tmp_path / "said.json")
    said = json.loads((tmp_path / "said.json").read_text())
    assert "path triton, 12 SAEs of 4 steps" in out
    assert "in 2 pieces" in out
    assert said["seconds"] == sum(said["pieces"])
    assert said["training"] < said["seconds"]
    assert said["training"] == pytest.approx(sum(row["seconds"] for row in said["rows"]))
    assert len(said["rows"]) == 4
    for row in said["rows"]:
        assert sorted(map(int, row["losses"])) == [2, 4, 8]
        for loss in row["losses"].values():
            assert f"{loss:.5f}" in out
