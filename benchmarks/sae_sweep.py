"""Time of a whole sweep through ``scaling_theory.sae.train``, beside a loop of PyTorch runs.

One recipe at several widths, on the unit sphere: the loop trains the same objective from the same
initial weights in distribution, with the same steps, batches and learning rates, and measures the
final loss on as many fresh samples; the losses stand beside each other. The package's own time
holds what it does beyond that: further metrics, checks, and with a store the files. Each side has
a process of its own (see sae_step.py); turns are interleaved, medians are printed.

The overhead of the store is measured on the same sweep without steps, with and without a store.

With --figure3: all of a published figure on one GPU, many SAEs in one launch (sae_figure3.py).

Run: python benchmarks/sae_sweep.py [--device cuda] [--quick] [--json FILE]
     python benchmarks/sae_sweep.py --figure3 --store FOLDER [--interpret --tiny]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sae_figure3
from sae_step import (
    L1,
    RATE,
    SPIN,
    Case,
    Loop,
    Processes,
    describe,
    load_average,
    machine,
    synchronise,
)

EVALUATION = 65_536
#: The path on which many runs share launches.
PATH = "triton"
IN_MEMORY, STORED, LOOP = "train, in memory", "train, with a store", "PyTorch loop"


@dataclass(frozen=True)
class Sweep:
    """What is trained."""

    dimension: int
    widths: tuple[int, ...]
    seeds: int
    steps: int
    batch_size: int
    device: str
    evaluation: int = EVALUATION

    def cases(self) -> list[tuple[Case, int]]:
        """Each run and its seed, in the order in which they are trained."""
        case = (self.dimension, self.batch_size, self.device)
        return [(Case(case[0], n, *case[1:]), s) for n in self.widths for s in range(self.seeds)]


@dataclass(frozen=True)
class Done:
    """Seconds of the whole sweep, of training alone by run, final losses and paths by run."""

    total: float
    training: list[float]
    losses: list[float]
    paths: list[str]


# ---- in the process of each side -----------------------------------------------------------------


def package(sweep: Sweep, stored: bool) -> Done:
    from scaling_theory import sae

    specs = [
        sae.RunSpec(
            sae.Sphere(case.dimension),
            sae.ReLU(L1),
            case.width,
            seed,
            sweep.steps,
            case.batch_size,
            RATE,
            evaluation=sweep.evaluation,
        )
        for case, seed in sweep.cases()
    ]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        table = sae.train(specs, folder if stored else None, sweep.device, progress=False)
        total = time.perf_counter() - began
    columns = (table[name].tolist() for name in ("seconds", "loss", "path"))
    return Done(total, *columns)


def loop(sweep: Sweep) -> Done:
    import torch

    training, losses, began = [], [], time.perf_counter()
    for case, seed in sweep.cases():
        run, start = Loop(case, seed), time.perf_counter()
        for step in range(sweep.steps):
            for group in run.optimiser.param_groups:  # falls to 0 over the last fifth
                group["lr"] = RATE * min((sweep.steps - step) / (0.2 * sweep.steps), 1.0)
            run.advance(1)
        synchronise(case.device)
        training.append(time.perf_counter() - start)
        with torch.no_grad():
            batches = max(sweep.evaluation // case.batch_size, 1)
            each = [run.loss(run.sample(case.batch_size)) for _ in range(batches)]
            losses.append(float(torch.stack(each).mean()))
    return Done(time.perf_counter() - began, training, losses, ["loop"] * len(losses))


# ---- the table -----------------------------------------------------------------------------------


def main() -> None:
    arguments = _arguments()
    if arguments.figure3:
        sae_figure3.run(arguments)
        return
    quick = arguments.quick
    sweep = Sweep(
        arguments.dimension or (2 if quick else 4),
        tuple(arguments.widths or ([2, 4] if quick else [2**i for i in range(2, 11)])),
        arguments.seeds,
        arguments.steps or (20 if quick else 500),
        arguments.batch_size or (256 if quick else 2048),
        arguments.device,
        4096 if quick else EVALUATION,
    )
    repeats = arguments.repeats or (1 if quick else 3)
    runs = len(sweep.cases())
    own = "compiled" if sweep.device == "cpu" else "blocked"
    processes = Processes((own, "loop"), sweep.device, arguments.spin)
    try:
        found = machine(processes.versions)
        print(describe(found))
        short = Sweep(sweep.dimension, (4,), 1, 3, sweep.batch_size, sweep.device, 4096)
        first = processes(own, package, short, False).total
        processes("loop", loop, short)
        print(
            f"first run of the package in its process (compiles, or loads a cache): {first:.1f} s"
        )
        sides: dict[str, list[Done]] = {IN_MEMORY: [], STORED: [], LOOP: []}
        empty = Sweep(**{**asdict(sweep), "steps": 0, "evaluation": 2})
        overheads = []
        for _ in range(repeats):
            sides[IN_MEMORY].append(processes(own, package, sweep, False))
            sides[STORED].append(processes(own, package, sweep, True))
            sides[LOOP].append(processes("loop", loop, sweep))
            with_store = processes(own, package, empty, True).total
            overheads.append((with_store - processes(own, package, empty, False).total) / runs)
    finally:
        processes.close()

    path = ", ".join(sorted(set(sides[STORED][0].paths)))
    print(
        f"sphere in d = {sweep.dimension}, {runs} runs of {sweep.steps} steps of "
        f"{sweep.batch_size}, on {sweep.device}, path {path}: medians of {repeats} interleaved "
        "turns\n"
    )
    rows = by_width(sweep, sides)
    totals = in_total(sides, runs)
    overhead = statistics.median(overheads)
    share = overhead * runs / totals[STORED]["seconds"]
    print(f"\nthe store takes {1e3 * overhead:.1f} ms a run, {share:.1%} of this sweep")
    if arguments.json is not None:
        found["load_after"] = load_average()
        result = {
            "machine": found,
            "sweep": asdict(sweep),
            "repeats": repeats,
            "spin": arguments.spin,
            "path": path,
            "first_run_seconds": first,
            "widths": rows,
            "totals": totals,
            "store_seconds_per_run": overhead,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def by_width(sweep: Sweep, sides: dict[str, list[Done]]) -> list[dict[str, Any]]:
    """Print and return training seconds and losses of each width, over all its seeds.

    Where runs share launches, seconds of one are a share of the group's by its latents, and say
    nothing of a width: there are losses alone.
    """
    if PATH in sides[STORED][0].paths:
        return _losses_by_width(sweep, sides)
    print(f"{'':>8}{'seconds of training':^30}{'':>10}{'final loss':^24}".rstrip())
    print(f"{'width':>8}{'package':>15}{'loop':>15}{'ratio':>10}{'package':>12}{'loop':>12}")
    rows = []
    for i, width in enumerate(sweep.widths):
        at = slice(i * sweep.seeds, (i + 1) * sweep.seeds)
        took = [
            statistics.median(sum(done.training[at]) for done in sides[side])
            for side in (STORED, LOOP)
        ]
        losses = [statistics.mean(sides[side][0].losses[at]) for side in (STORED, LOOP)]
        rows.append(
            {
                "width": width,
                "package_seconds": took[0],
                "loop_seconds": took[1],
                "package_loss": losses[0],
                "loop_loss": losses[1],
            }
        )
        print(
            f"{width:>8}{took[0]:>15.3f}{took[1]:>15.3f}{took[1] / took[0]:>10.1f}"
            f"{losses[0]:>12.5f}{losses[1]:>12.5f}"
        )
    return rows


def _losses_by_width(sweep: Sweep, sides: dict[str, list[Done]]) -> list[dict[str, Any]]:
    """Print and return losses of each width, over all its seeds."""
    print(f"{'':>8}{'final loss':^24}".rstrip())
    print(f"{'width':>8}{'package':>12}{'loop':>12}")
    rows = []
    for i, width in enumerate(sweep.widths):
        at = slice(i * sweep.seeds, (i + 1) * sweep.seeds)
        ours, theirs = (statistics.mean(sides[side][0].losses[at]) for side in (STORED, LOOP))
        rows.append({"width": width, "package_loss": ours, "loop_loss": theirs})
        print(f"{width:>8}{ours:>12.5f}{theirs:>12.5f}")
    return rows


def in_total(sides: dict[str, list[Done]], runs: int) -> dict[str, dict[str, float]]:
    """Print and return seconds of the whole sweep for each side."""
    print(f"\n{'':>22}{'total seconds':>15}{'a run':>10}{'loop/this':>12}")
    seconds = {side: statistics.median(done.total for done in all_) for side, all_ in sides.items()}
    totals = {}
    for side, took in seconds.items():
        ratio = seconds[LOOP] / took
        totals[side] = {"seconds": took, "seconds_per_run": took / runs, "loop_ratio": ratio}
        print(f"{side:>22}{took:>15.3f}{took / runs:>10.3f}{ratio:>12.1f}")
    return totals


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--dimension", type=int)
    parser.add_argument("--widths", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each width")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--spin", default=SPIN, help="GOMP_SPINCOUNT of all processes")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--json", type=Path, help="write everything to a file")
    figure = parser.add_argument_group("one figure of a paper on one GPU")
    figure.add_argument("--figure3", action="store_true", help="Michaud et al. (2025), Figure 3")
    figure.add_argument("--store", type=Path, help="folder of what is done; --tiny has none")
    figure.add_argument("--minutes", type=float, default=7.5, help="most of one piece")
    figure.add_argument("--peer-steps", type=int, default=30, help="0: no loop beside it")
    figure.add_argument("--tiny", action="store_true", help="a few small SAEs: does it run?")
    figure.add_argument("--interpret", action="store_true", help="on the CPU; needs --tiny")
    return parser.parse_args()


if __name__ == "__main__":
    main()
