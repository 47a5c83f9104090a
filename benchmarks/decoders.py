"""Nearest neighbours of a decoder's rows: seconds and memory, beside the whole n x n matrix.

- ``decoder_neighbours``: nearest and second nearest of every row, both baselines (10,000 draws of
  the anisotropic one), and the histogram.
- ``tiling_share`` of a decoder: the same once more, and the share; of neighbours that are there
  it takes no time.
- ``near_duplicates`` at 0.97.
- The peer: unit rows, one product with their transpose, and the largest two of each row, as a few
  lines of PyTorch. It has no baselines; it is left out where its matrix does not fit.

The decoder is random, in float32. Each way runs in a process of its own. CPU seconds are summed
over threads: where others use the cores too, they say more than seconds do. Memory is the largest
resident size of the process, and how much of it came after the decoder was there.

Run: python benchmarks/decoders.py [--rows 16384] [--columns 2304] [--threads N] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from scaling_theory.analysis import decoder_neighbours, near_duplicates, tiling_share

WAYS = ("decoder_neighbours", "tiling_share", "near_duplicates", "whole matrix")
FORMAT = "{:<20}{:>10}{:>10}{:>12}{:>12}  {}"


def decoder(rows: int, columns: int) -> torch.Tensor:
    generator = np.random.default_rng(0)
    return torch.from_numpy(generator.standard_normal((rows, columns), dtype=np.float32))


def neighbours(weights: torch.Tensor) -> str:
    found = decoder_neighbours(weights)
    table = found.histogram()
    return f"mean cosine {found.cosine.mean():.4f}, {len(table)} bins of {table.rows.sum()} rows"


def tiling(weights: torch.Tensor) -> str:
    share = tiling_share(weights)
    return f"share {share.share:.4f}, {share.low:.4f} to {share.high:.4f}"


def duplicates(weights: torch.Tensor) -> str:
    return f"{near_duplicates(weights).pair_count} pairs"


def whole(weights: torch.Tensor) -> str:
    unit = torch.nn.functional.normalize(weights, dim=1)
    product = unit @ unit.T
    product.fill_diagonal_(-torch.inf)
    best = product.topk(2, dim=1).values
    return f"mean cosine {float(best[:, 0].mean()):.4f}, no baselines"


RUNS: dict[str, Callable[[torch.Tensor], str]] = dict(
    zip(WAYS, (neighbours, tiling, duplicates, whole), strict=True)
)


def peak() -> int:
    """The most bytes that this process had in memory so far."""
    status = Path("/proc/self/status")
    if status.exists():  # of this programme alone; getrusage counts the one that started it too
        line = next(v for v in status.read_text().splitlines() if v.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def measure(way: str, rows: int, columns: int, threads: int) -> None:
    """Run one way and print what it took, as JSON."""
    torch.set_num_threads(threads)
    RUNS[way](decoder(256, 64))  # what is loaded on first use
    weights = decoder(rows, columns)
    before = peak()
    began, began_cpu = time.perf_counter(), time.process_time()
    said = RUNS[way](weights)
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    most = peak()
    print(json.dumps({"seconds": seconds, "cpu": cpu, "added": most - before, "peak": most,
                      "said": said}))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=16_384)
    parser.add_argument("--columns", type=int, default=2304)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="1,024 rows of 128")
    parser.add_argument("--way", choices=WAYS, help="run one and print JSON")
    given = parser.parse_args()
    rows, columns = (1024, 128) if given.quick else (given.rows, given.columns)
    if given.way:
        measure(given.way, rows, columns, given.threads)
        return
    print(
        f"{rows:,} x {columns:,} in float32 ({4 * rows * columns / 2**20:.1f} MiB), "
        f"{given.threads} threads, torch {torch.__version__}"
    )
    print(FORMAT.format("way", "seconds", "CPU s", "added MiB", "peak MiB", "result"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for way in WAYS:
        needs = 4 * rows**2 + 8 * rows * columns
        if way == "whole matrix" and needs > 0.8 * memory:
            print(FORMAT.format(way, "-", "-", "-", "-", f"needs {needs / 2**30:.0f} GiB"))
            continue
        command = [sys.executable, __file__, "--way", way, "--rows", str(rows)]
        command += ["--columns", str(columns), "--threads", str(given.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout)
        added, most = row["added"] / 2**20, row["peak"] / 2**20
        cells = (
            f"{row['seconds']:.2f}",
            f"{row['cpu']:.2f}",
            f"{added:.0f}",
            f"{most:.0f}",
            row["said"],
        )
        print(FORMAT.format(way, *cells), flush=True)


if __name__ == "__main__":
    main()
