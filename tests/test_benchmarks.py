"""Benchmarks of training run, say what they measured, and their peers minimise the same thing."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scaling_theory import sae
from scaling_theory.sae.architectures import Context
from scaling_theory.sae.kernels import gradients_for

FOLDER = Path(__file__).parents[1] / "benchmarks"


def run(script, *arguments):
    """Output of a script that must succeed without a word on standard error."""
    command = [sys.executable, FOLDER / script, "--quick", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("sae_step")


def test_step(tmp_path):
    file = tmp_path / "step.json"
    out = run("sae_step.py", "--ways", "compiled", "loop", "SAELens", "--json", file)
    said = json.loads(file.read_text())
    assert {"machine", "device", "batch_size", "repeats", "peak_flops", "targets"} <= set(said)
    assert said["peak_flops"] > 1e8
    assert said["machine"]["torch"] == torch.__version__
    rows = {row["name"]: row for row in said["rows"]}
    names = ["ReLU d = 2, N = 2", "ReLU d = 2, N = 4", "sum over 2 widths"]
    assert list(rows)[:3] == names
    for name, row in rows.items():
        assert name in out
        if row["unit"] == "MB":
            continue
        assert all(min(t) > 0 and len(t) == said["repeats"] for t in row["all"].values())
        medians = row["medians"]
        assert row["ratios"]["loop"] == medians["loop"] / medians["compiled"]
        assert row["flops"] == pytest.approx(row["operations"] / medians["compiled"])
    first, second, total = (rows[name] for name in names)
    assert first["operations"] == 12 * said["batch_size"] * 2 * 2
    assert total["operations"] == first["operations"] + second["operations"]
    assert total["all"]["loop"] == pytest.approx(
        [a + b for a, b in zip(first["all"]["loop"], second["all"]["loop"], strict=True)]
    )
    if "SAELens" in said["absent"]:  # said in the table, and how to get it
        assert "not installed" in out
        assert "pip install sae-lens" in out


def test_sweep(tmp_path):
    file = tmp_path / "sweep.json"
    out = run("sae_sweep.py", "--seeds", 2, "--json", file)
    said = json.loads(file.read_text())
    assert {"machine", "sweep", "path", "widths", "totals", "store_seconds_per_run"} <= set(said)
    assert [row["width"] for row in said["widths"]] == said["sweep"]["widths"] == [2, 4]
    for side, total in said["totals"].items():
        assert side in out
        assert total["seconds_per_run"] == total["seconds"] / 4
        assert total["seconds"] > 0
    training = sum(row["loop_seconds"] for row in said["widths"])
    assert training < said["totals"]["PyTorch loop"]["seconds"]
    assert "the store takes" in out


def numbers(line):
    """What a line of a table says in numbers."""
    cells = (cell.replace(",", "").rstrip("%") for cell in line.split())
    return [float(cell) for cell in cells if re.fullmatch(r"-?[0-9.]+(e[+-]?[0-9]+)?", cell)]


def test_decoders():
    out = run("decoders.py", "--threads", 1)
    assert "1,024 x 128 in float32" in out
    assert "1 threads" in out
    rows = {line[:20].strip(): line[20:] for line in out.splitlines()[2:]}
    assert list(rows) == ["decoder_neighbours", "tiling_share", "near_duplicates", "whole matrix"]
    for line in rows.values():
        seconds, cpu, added, peak = numbers(line)[:4]
        assert seconds > 0
        assert cpu > 0
        assert 0 <= added < peak
    # the peer finds the same neighbours
    own, peer = (
        re.search(r"mean cosine ([0-9.]+)", rows[way])[1]
        for way in ("decoder_neighbours", "whole matrix")
    )
    assert own == peer
    assert "100 bins of 1024 rows" in rows["decoder_neighbours"]


def test_fits():
    lines = run("fits.py").splitlines()
    said = {line[:58].strip(): numbers(line[58:]) for line in lines}
    own, peer, ratio = (
        next(values for name, values in said.items() if name.startswith(start))
        for start in ("batched, median seconds", "least_squares one at a time", "ratio")
    )
    assert min(*own, *peer, *ratio) > 0
    assert ratio[0] == pytest.approx(peer[0] / own[0], rel=0.05, abs=1.0)
    assert "200 bootstraps of a Huber fit" in lines[0]
    # of ten curves, all
    assert said["fit_power_law"] == [10.0]
    assert said["curve_fit"][0] <= 10.0


def test_frequencies():
    out = run("frequencies.py", "--repeats", 1)
    head, _, *rows = out.splitlines()
    assert head.startswith("peer: powerlaw")
    assert [row.split()[0] for row in rows] == ["pareto", "lognormal", "counts"] * 2
    for row in rows:
        first, distinct, seconds, *rest = numbers(row)
        assert 0 < distinct <= first
        assert seconds > 0
        assert all(value > 0 for value in rest)
    if "not installed" in head:  # then there is nothing beside it
        assert all(len(numbers(row)) == 5 for row in rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(steps):
    assert steps.start("loop", "cuda", "default")["error"].startswith("no CUDA device here")


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("ReLU", sae.ReLU(0.1)),
        ("JumpReLU", sae.JumpReLU(0.01, bandwidth=0.05, threshold=0.01)),
        ("TopK", sae.TopK(32)),
    ],
)
def test_loop_minimises_the_same(steps, name, architecture):
    case = steps.Case(3, 100, 512, architecture=name)
    peer = steps.Loop(case)
    peer.advance(3)
    x = peer.sample(512)
    assert x.norm(dim=1).numpy() == pytest.approx(1.0, abs=1e-6)
    own = sae.Weights(100, 3, architecture.extra)
    for parameter, values in own.named().items():
        values.copy_(getattr(peer, parameter).detach())
    grad = own.like()
    step = gradients_for("reference", architecture, 100, 3, 512)(own, x, Context(), grad)
    peer.optimiser.zero_grad()
    loss = peer.loss(x)
    loss.backward()
    assert step.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    for parameter, values in grad.named().items():
        got = getattr(peer, parameter).grad
        assert float(values.abs().max()) > 0
        torch.testing.assert_close(got, values, rtol=1e-3, atol=1e-6)


def test_superposed(tmp_path):
    file = tmp_path / "superposed.json"
    out = run("sae_superposed.py", "--json", file)
    rows = json.loads(file.read_text())
    assert [row["architecture"] for row in rows] == ["ReLU", "JumpReLU", "TopK"]
    for row in rows:
        assert set(row["milliseconds"]) == {"sparse", "blocked", "loop"}
        assert min(row["milliseconds"].values()) > 0.0
        assert f"{row['milliseconds']['sparse']:.3f}" in out
