"""The benchmark of training on real activations runs, and its ratios are those of its rates."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sae_real.py"


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path):
    file = tmp_path / "real.json"
    command = [sys.executable, SCRIPT, "--quick", "--threads", "1", "--shares", "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = json.loads(file.read_text())
    assert [row["architecture"] for row in said["rows"]] == ["TopK", "ReLU"]
    for row in said["rows"]:
        assert f"{row['architecture']}, batch {row['batch_size']}" in done.stdout
        assert {"listed", "blocked", "loop"} <= set(row["samples_per_second"])
        own, peer = row["all"]["listed"], row["all"]["loop"]
        ratios = [b / a for a, b in zip(own, peer, strict=True)]
        assert min(ratios) <= row["ratios"]["loop"] <= max(ratios)
        assert row["fires"] > 0.0
        assert row["product_share"] > 0.0
    assert [share for share, *_ in said["shares"]] == sorted(share for share, *_ in said["shares"])
    if "SAELens" in said["absent"]:  # said, and how to get it
        assert "pip install sae-lens" in done.stdout
