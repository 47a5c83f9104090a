"""Samples a second in training SAEs as wide as those on real activations, beside peers, in one run.

- listed, blocked: paths of this package's ``Trainer``, with all that the runs on real activations
  have: AuxK (d/2 latents), unit norms, clipped gradients; dead latents are kept track of.
- loop: PyTorch as a researcher writes it (``sae_step.Loop``): none of that, ``torch.optim.Adam``.
- SAELens: ``SAETrainer.step`` on a ``TopKTrainingSAE`` as it comes, which has AuxK and clips; no
  log. Batches of 4,096 are its default (``train_batch_size_tokens``).
- autocast: the same with ``autocast=True``, its fastest setting on a CPU that multiplies bfloat16:
  what it trains is then rounded to 8 bits at every product. (``use_sparse_activations`` ends in an
  error of PyTorch's on a CPU unless decoder norms are left out of the activations, and is then
  slower than autocast.) Both live in an environment of their own:
  python -m venv /tmp/saelens && /tmp/saelens/bin/pip install sae-lens==6.54.12 -e .
  /tmp/saelens/bin/python benchmarks/sae_real.py

Dimension 384, width 3,072. Inputs are normal with a decaying spectrum: coordinate i has variance
proportional to 1/i, and their mean squared norm is 1. All take theirs at random from the same
number of them, drawn once, as from a store of activations. The listed path, whose time depends on
what fires, is warmed up for 100 steps; for ReLU the weight of the penalty is such that about 32
latents fire then, and the number that does is printed.

Each way has a process of its own, with the same number of threads, and of all processes one
computes at a time; turns are interleaved, medians are printed, and ratios are medians over turns.
``product`` is how long ``torch.mm`` takes for the pre-activations of a batch alone in float32, in
the same turns, as a share of the listed path's step. Where TopK is screened in bfloat16 (see
``kernels._screening``), a step has no such product.

On a machine with other work, ``--threads 1 --cpu`` takes processor time instead of time on the
clock: that of one core, whatever else runs, and with inputs that are drawn ahead counted in.

Run: python benchmarks/sae_real.py [--quick] [--shares] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import sae_step
from sae_step import RATE, Case

PROCESSES = ("listed", "blocked", "loop", "SAELens")
#: The last one is computed in the process of SAELens.
WAYS = (*PROCESSES, "autocast")
#: Least ratio to SAELens in samples a second that is asked for.
TARGET = 5.0
#: Weight of ReLU's penalty, and the bias that it begins with, for which about 32 latents fire.
L1, BIAS = 0.28, -0.1
K, POOL, WARM = 32, 65_536, 100


@cache
def pool(dimension: int) -> Any:
    """All inputs, (POOL, dimension)."""
    import torch

    variance = 1.0 / torch.arange(1.0, dimension + 1.0)
    x = torch.randn(POOL, dimension, generator=torch.Generator().manual_seed(0))
    return x * (variance / variance.sum()).sqrt()


def batch(case: Case, generator: Any = None) -> Any:
    import torch

    x = pool(case.dimension)
    return x[torch.randint(POOL, (case.batch_size,), generator=generator)]


def package(case: Case, path: str) -> Any:
    """Make a trainer of this package."""
    from scaling_theory import sae  # before torch: it tells OpenMP how to wait
    from scaling_theory.sae.data import Data

    @dataclass(frozen=True)
    class Drawn(Data):
        """Inputs of the pool, at random."""

        coordinates: int

        @property
        def dimension(self) -> int:
            return self.coordinates

        @property
        def magnitude(self) -> float:
            return 1.0

        def sample(self, count: int, generator: Any) -> Any:
            return batch(Case(self.coordinates, 0, count), generator)

    topk = case.architecture == "TopK"
    architecture = sae.TopK(min(K, case.width), auxk=case.dimension // 2) if topk else sae.ReLU(L1)
    spec = sae.RunSpec(
        Drawn(case.dimension),
        architecture,
        case.width,
        steps=10**9,
        batch_size=case.batch_size,
        learning_rate=RATE,
        encoder_bias=0.0 if topk else BIAS,
        clip=1.0,
        unit_norm=True,
    )
    return sae.Trainer(spec, path=path)


class Loop(sae_step.Loop):
    """The plain loop, on these inputs."""

    def sample(self, count: int) -> Any:
        """Draw inputs from the pool."""
        return batch(replace(self.case, batch_size=count))


def saelens(case: Case, autocast: bool) -> Callable[[int], object]:
    """``SAETrainer.step`` of SAELens."""
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    made = TopKTrainingSAE(
        TopKTrainingSAEConfig(d_in=case.dimension, d_sae=case.width, k=min(K, case.width))
    )
    config = SAETrainerConfig(
        total_training_samples=10**9 * case.batch_size,
        train_batch_size_samples=case.batch_size,
        lr=RATE,
        lr_end=RATE,
        autocast=autocast,
    )

    def batches() -> Iterable[Any]:
        while True:
            yield batch(case)

    trainer = SAETrainer(config, made, iter(batches()))

    def advance(steps: int) -> None:
        for _ in range(steps):  # what SAETrainer.fit does for each step, without its progress bar
            trainer.step(next(trainer.data_provider))
            trainer.n_training_steps += 1

    return advance


# ---- in the process of one way -------------------------------------------------------------------

_trainer: dict[Case, Any] = {}


def prepare(way: str, case: Case, seconds: float) -> int:
    """Make an SAE and warm it up; the number of steps that takes so many seconds."""
    if way != "autocast":  # which is beside SAELens
        sae_step._advance.clear()
    _trainer.clear()
    if way in ("SAELens", "autocast"):
        advance = saelens(case, way == "autocast")
    elif way == "loop":
        advance = Loop(case).advance
    else:
        _trainer[case] = package(case, way)
        advance = _trainer[case].advance
    sae_step._advance[case] = advance
    advance(max(int(WARM * min(1.0, seconds)), 2) if way == "listed" else 2)
    return max(round(seconds / sae_step.timed(case, 2)), 1)


def fires(case: Case) -> float:
    """How many latents fire on an input on average."""
    trainer = _trainer[case]
    f = trainer.spec.architecture.encode(trainer.weights, batch(case))
    return float((f > 0.0).sum(1).double().mean())


def cpu_timed(case: Case, steps: int) -> float:
    """Seconds of processor time per step, of all threads."""
    began = time.process_time()
    sae_step._advance[case](steps)
    return (time.process_time() - began) / steps


def product(case: Case, repeats: int, cpu: bool) -> float:
    """Seconds that the product for all pre-activations takes."""
    import torch

    clock = time.process_time if cpu else time.perf_counter
    x, encoder = batch(case), torch.randn(case.width, case.dimension)
    out = torch.empty(case.batch_size, case.width)
    torch.mm(x, encoder.T, out=out)
    began = clock()
    for _ in range(repeats):
        torch.mm(x, encoder.T, out=out)
    return (clock() - began) / repeats


def shares(dimension: int, width: int, batch_size: int, repeats: int) -> list[tuple[float, ...]]:
    """Milliseconds of ReLU's gradients by share of latents that fire: share, listed, dense."""
    import torch

    from scaling_theory import sae
    from scaling_theory.sae.architectures import Context
    from scaling_theory.sae.kernels import gradients_for, listed
    from scaling_theory.sae.weights import Weights

    listed.MOST_LISTED = 1.0
    case = Case(dimension, width, batch_size)
    weights, x, found = Weights(width, dimension), batch(case), []
    weights.flat.normal_(generator=torch.Generator().manual_seed(1))
    weights.encoder_bias.zero_()
    z = (x @ weights.encoder.T).flatten().sort(descending=True).values
    for share in (0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3):
        weights.encoder_bias.fill_(-float(z[int(share * z.numel())]))
        times: dict[str, list[float]] = {"listed": [], "blocked": []}
        ways = {p: gradients_for(p, sae.ReLU(L1), width, dimension, batch_size) for p in times}
        for turn in range(repeats + 1):
            for path, gradients in ways.items():
                began = time.perf_counter()
                gradients(weights, x, Context(), weights.like())
                if turn:
                    times[path].append(1e3 * (time.perf_counter() - began))
        found.append((share, *(statistics.median(t) for t in times.values())))
    return found


# ---- in the process that asks --------------------------------------------------------------------


def measure(
    processes: sae_step.Processes, case: Case, repeats: int, seconds: float, cpu: bool
) -> dict[str, Any]:
    """Samples a second of each way, turn by turn, and of the product alone."""
    ways = [w for w in processes.ways if w != "SAELens" or case.architecture == "TopK"]
    ways += ["autocast"] * ("SAELens" in ways)
    products = []
    timing = cpu_timed if cpu else sae_step.timed

    def also(way: str, *arguments: Any) -> Any:  # a turn of the product before each of `listed`
        if way == "listed" and arguments[0] is timing:
            products.append(processes(way, product, case, max(arguments[2] // 2, 1), cpu))
        if way == "autocast":
            at = arguments.index(case)
            other = replace(case, architecture="TopK autocast")
            return processes("SAELens", *arguments[:at], other, *arguments[at + 1 :])
        return processes(way, *arguments)

    times = sae_step.interleaved(also, ways, case, repeats, seconds, prepare, timing)
    rates = {way: [case.batch_size / t for t in each] for way, each in times.items()}
    own = rates["listed"]
    return {
        "architecture": case.architecture,
        "batch_size": case.batch_size,
        "fires": processes("listed", fires, case),
        "samples_per_second": {way: statistics.median(each) for way, each in rates.items()},
        "ratios": {
            way: statistics.median(a / b for a, b in zip(own, each, strict=True))
            for way, each in rates.items()
            if way != "listed"
        },
        "product_share": statistics.median(
            p / t for p, t in zip(products, times["listed"], strict=True)
        ),
        "product_flops": 2.0 * case.batch_size * case.width * case.dimension
        / statistics.median(products),
        "all": times,
    }  # fmt: skip


def main() -> None:
    options = _arguments()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of all processes
    quick = options.quick
    dimension, width = (32, 64) if quick else (384, 3072)
    sizes = [64] if quick else options.batches
    cases = [Case(dimension, width, size, architecture="TopK") for size in sizes]
    cases.append(Case(dimension, width, sizes[0], architecture="ReLU"))
    repeats, seconds = (2, 0.02) if quick else (options.repeats, options.seconds)
    processes = sae_step.Processes(PROCESSES, "cpu", options.spin)
    rows, by_share = [], []
    try:
        found = sae_step.machine(processes.versions)
        print(sae_step.describe(found))
        print(f"d = {dimension}, N = {width:,}, {options.threads} threads: medians of {repeats} "
              f"interleaved turns{', in processor time' * options.cpu}\n")  # fmt: skip
        heads = "".join(f"{way:>10}" for way in WAYS)
        against = "".join(f"{f'/{way}':>10}" for way in WAYS[1:])
        print(f"{'':>20}{'fire':>7}{heads}{against}{'product':>9}{'GFLOP/s':>9}")
        print(f"{'':>27}{'samples a second':^50}{'ratios to listed':^40}{'of step':>9}{'of mm':>9}")
        for case in cases:
            rows.append(measure(processes, case, repeats, seconds, options.cpu))
            print(_line(rows[-1]), flush=True)
        if options.shares:
            print("\nReLU, milliseconds of a batch's gradients\n   share    listed     dense")
            by_share = processes("listed", shares, dimension, width, sizes[0], repeats)
            for share, *times in by_share:
                print(f"{share:>8.0%}" + "".join(f"{t:>10.1f}" for t in times))
    finally:
        processes.close()
    for way, why in processes.absent.items():
        print(f"\n{way}: {why} ({sae_step.INSTALL})")
    for row in rows:
        if not quick and "SAELens" in row["ratios"]:
            got = row["ratios"]["SAELens"]
            said = "met" if got >= TARGET else "missed"
            print(f"TopK, batch {row['batch_size']:,}: at least {TARGET:g} times SAELens: "
                  f"{got:.1f}, {said}; with autocast {row['ratios']['autocast']:.1f}")  # fmt: skip
    if options.json:
        found["load_after"] = sae_step.load_average()
        result = {"machine": found, "threads": options.threads, "rows": rows, "shares": by_share}
        options.json.write_text(json.dumps({**result, "absent": processes.absent}, indent=1) + "\n")


def _line(row: dict[str, Any]) -> str:
    rates, ratios = row["samples_per_second"], row["ratios"]
    name = f"{row['architecture']}, batch {row['batch_size']:,}"
    return (
        f"{name:>20}{row['fires']:>7.1f}"
        + "".join(f"{rates[w]:>10,.0f}" if w in rates else f"{'-':>10}" for w in WAYS)
        + "".join(f"{ratios[w]:>10.1f}" if w in ratios else f"{'-':>10}" for w in WAYS[1:])
        + f"{row['product_share']:>9.0%}{row['product_flops'] / 1e9:>9.0f}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each process")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one turn")
    parser.add_argument("--batches", type=int, nargs="+", default=[1024, 4096], help="sizes")
    parser.add_argument("--cpu", action="store_true", help="processor time: for busy machines")
    parser.add_argument("--shares", action="store_true", help="ReLU by share of what fires, too")
    parser.add_argument("--spin", default=sae_step.SPIN, help="GOMP_SPINCOUNT of all processes")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--json", type=Path, help="write the result here too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
