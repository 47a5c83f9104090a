"""Time of one training step of an SAE (data, gradients, Adam), beside its peers, in one run.

- compiled, blocked, reference: paths of this package's ``Trainer``.
- loop: PyTorch as a researcher writes it: parameters, autograd, ``torch.optim.Adam``.
- SAELens: ``SAETrainer.step`` on a ``StandardTrainingSAE``; no log, no autocast. It also clips
  gradients and counts firings, as it does for all its users. It lives in an environment of its own:
  python -m venv /tmp/saelens && /tmp/saelens/bin/pip install sae-lens==6.54.12 -e .
  /tmp/saelens/bin/python benchmarks/sae_step.py

All train float32 on the unit sphere of R^d, at the same batch size, with the same objective. Each
has a process of its own, so that none runs with another's threads or allocator; of all processes
one computes at a time. On a machine with other work, OpenMP threads that spin while they wait make
PyTorch many times slower; ``--spin 2000`` lets them sleep. Turns are interleaved, medians are
printed. Extra memory is the growth of the process's peak memory (on a GPU, of the peak of PyTorch's
allocations) while an SAE is made and takes three steps, imports and compilation excluded.

The compiled path does 12 B N d floating point operations a step: pre-activations (2 B N d),
reconstruction (2), and backward pre-activations again (2), gradients of the activations (2), the
decoder (2) and the encoder (2). Its rate stands beside the largest rate of multiply-adds that
Numba reaches here, on all its threads.

Run: python benchmarks/sae_step.py [--device cuda] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

INSTALL = "pip install sae-lens==6.54.12"
PACKAGE = ("compiled", "blocked", "reference")
PEERS = ("loop", "SAELens")
WAYS = (*PACKAGE, *PEERS)
#: GOMP_SPINCOUNT of all processes.
SPIN = "default"

L1, L0, BANDWIDTH, THRESHOLD, K = 0.1, 0.01, 0.05, 0.01, 32
RATE = 1e-3


@dataclass(frozen=True)
class Case:
    """What is trained."""

    dimension: int
    width: int
    batch_size: int = 2048
    device: str = "cpu"
    architecture: str = "ReLU"

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return f"{self.architecture} d = {self.dimension}, N = {self.width:,}"


@dataclass(frozen=True)
class Target:
    """Least ratio (of times) or largest size (of memory, MB) that is asked for."""

    row: str
    against: str
    least: float | None = None
    most: float | None = None


# ---- ways to train: each returns a function that takes so many steps -----------------------------


def package(case: Case, path: str) -> Callable[[int], object]:
    from scaling_theory import sae  # before torch: it tells OpenMP how to wait

    architecture = {
        "ReLU": sae.ReLU(L1),
        "JumpReLU": sae.JumpReLU(L0, BANDWIDTH, THRESHOLD),
        "TopK": sae.TopK(min(K, case.width)),
    }[case.architecture]
    spec = sae.RunSpec(
        sae.Sphere(case.dimension),
        architecture,
        case.width,
        steps=10**9,
        batch_size=case.batch_size,
        learning_rate=RATE,
    )
    return sae.Trainer(spec, case.device, path).advance


class Loop:
    """One SAE in plain PyTorch, with the initial weights that ``RunSpec`` has by default."""

    def __init__(self, case: Case, seed: int = 0) -> None:
        import torch

        torch.manual_seed(seed)
        n, d, device = case.width, case.dimension, case.device
        decoder = torch.randn(n, d, device=device)
        decoder *= math.sqrt(2 * d / n) / decoder.norm(dim=1, keepdim=True)
        self.encoder = torch.nn.Parameter(decoder.clone())
        self.encoder_bias = torch.nn.Parameter(torch.zeros(n, device=device))
        self.decoder = torch.nn.Parameter(decoder)
        self.decoder_bias = torch.nn.Parameter(torch.zeros(d, device=device))
        self.threshold = torch.nn.Parameter(torch.full((n,), THRESHOLD, device=device))
        parameters = [self.encoder, self.encoder_bias, self.decoder, self.decoder_bias]
        if case.architecture == "JumpReLU":
            parameters.append(self.threshold)
            self._jump, self._step = _straight_through()
        self.case = case
        self.optimiser = torch.optim.Adam(parameters, lr=RATE)

    def advance(self, steps: int) -> None:
        """Take so many steps."""
        for _ in range(steps):
            loss = self.loss(self.sample(self.case.batch_size))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            if self.case.architecture == "JumpReLU":
                self.threshold.data.clamp_(min=0.0)

    def sample(self, count: int) -> Any:
        """Points on the unit sphere."""
        import torch

        x = torch.randn(count, self.case.dimension, device=self.case.device)
        return x / x.norm(dim=1, keepdim=True)

    def loss(self, x: Any) -> Any:
        """Mean of what is minimised."""
        import torch

        z = x @ self.encoder.T + self.encoder_bias
        match self.case.architecture:
            case "ReLU":
                f = torch.relu(z)
                penalty = L1 * (f * self.decoder.norm(dim=1)).sum(1).mean()
            case "JumpReLU":
                f = self._jump(z, self.threshold)
                penalty = L0 * self._step(z, self.threshold).sum(1).mean()
            case _:
                values, index = torch.relu(z).topk(min(K, self.case.width), dim=1)
                f = torch.zeros_like(z).scatter(1, index, values)
                penalty = 0.0
        return (f @ self.decoder + self.decoder_bias - x).square().sum(1).mean() + penalty


def _straight_through() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """JumpReLU and step with the pseudo-derivatives of Rajamanoharan et al. (2024)."""
    import torch

    def near(z: Any, theta: Any) -> Any:
        return ((z - theta).abs() < BANDWIDTH / 2).float() / BANDWIDTH

    class Jump(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any, theta: Any) -> Any:
            ctx.save_for_backward(z, theta)
            return z * (z > theta)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            z, theta = ctx.saved_tensors
            return grad * (z > theta), -(theta * near(z, theta) * grad).sum(0)

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any, theta: Any) -> Any:
            ctx.save_for_backward(z, theta)
            return (z > theta).float()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            z, theta = ctx.saved_tensors
            return None, -(near(z, theta) * grad).sum(0)

    return Jump.apply, Step.apply


def loop(case: Case) -> Callable[[int], object]:
    return Loop(case).advance


def saelens(case: Case) -> Callable[[int], object]:
    os.environ.setdefault("WANDB_MODE", "disabled")
    import torch
    from sae_lens import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    made = StandardTrainingSAE(
        StandardTrainingSAEConfig(
            d_in=case.dimension,
            d_sae=case.width,
            device=case.device,
            apply_b_dec_to_input=False,
            l1_coefficient=L1,
        )
    )
    config = SAETrainerConfig(
        total_training_samples=10**9 * case.batch_size,
        train_batch_size_samples=case.batch_size,
        lr=RATE,
        lr_end=RATE,
        device=case.device,
    )

    def batches() -> Iterable[Any]:
        while True:
            x = torch.randn(case.batch_size, case.dimension, device=case.device)
            yield x / x.norm(dim=1, keepdim=True)

    trainer = SAETrainer(config, made, iter(batches()))

    def advance(steps: int) -> None:
        for _ in range(steps):  # what SAETrainer.fit does for each step, without its progress bar
            trainer.step(next(trainer.data_provider))
            trainer.n_training_steps += 1

    return advance


# ---- in the process of one way -------------------------------------------------------------------

_advance: dict[Case, Callable[[int], object]] = {}


def make(way: str, case: Case) -> Callable[[int], object]:
    if way in PACKAGE:
        return package(case, way)
    return loop(case) if way == "loop" else saelens(case)


def prepare(way: str, case: Case, seconds: float) -> int:
    """Make and warm up an SAE; the number of steps that takes so many seconds."""
    _advance.clear()
    gc.collect()
    _advance[case] = make(way, case)
    timed(case, 2)
    steps = round(seconds / timed(case, 3))
    if steps < 25:
        return max(steps, 1)
    # the trainer draws inputs for 50 steps at once: take whole chunks
    timed(case, 45)
    return min(50 * max(round(steps / 50), 1), 5000)


def timed(case: Case, steps: int) -> float:
    """Seconds per step."""
    synchronise(case.device)
    began = time.perf_counter()
    _advance[case](steps)
    synchronise(case.device)
    return (time.perf_counter() - began) / steps


def synchronise(device: str) -> None:
    if device != "cpu":
        import torch

        torch.cuda.synchronize(device)


def extra_memory(way: str, case: Case) -> float | None:
    """Peak memory that an SAE takes, MB, or None where the system does not tell."""
    make(way, Case(case.dimension, 64, case.batch_size, case.device, case.architecture))(3)
    gc.collect()
    if case.device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats(case.device)
        before = torch.cuda.memory_allocated(case.device)
        make(way, case)(3)
        return (torch.cuda.max_memory_allocated(case.device) - before) / 1e6
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
    except OSError:
        return None
    before = _status("VmRSS")
    make(way, case)(3)
    return (_status("VmHWM") - before) / 1e6


def _status(name: str) -> int:
    """Bytes, from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def peak_rate(seconds: float) -> float:
    """Largest rate of float32 multiply-adds on all of Numba's threads, operations a second.

    Eight independent chains on each of 1024 numbers in the first cache: nothing to wait for.
    """
    import numba
    import numpy as np

    one = np.float32

    @numba.njit(parallel=True, fastmath={"contract", "nsz"}, error_model="numpy", cache=True)
    def chains(numbers: Any, turns: int) -> None:
        for t in numba.prange(numbers.shape[0]):
            x = numbers[t]
            for _ in range(turns):
                for r in range(x.size):
                    v = x[r]
                    a, b, c, d, e, f, g, h = v, v, v, v, v, v, v, v
                    for _ in range(12):
                        a, b = a * v + one(0.01), b * v + one(0.02)
                        c, d = c * v + one(0.03), d * v + one(0.04)
                        e, f = e * v + one(0.05), f * v + one(0.06)
                        g, h = g * v + one(0.07), h * v + one(0.08)
                    x[r] = one(0.1) * (((a + b) + (c + d)) + ((e + f) + (g + h)))

    numbers = np.full((numba.get_num_threads(), 1024), 0.1, np.float32)
    chains(numbers, 1)
    turns, best, began = 3000, 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        chains(numbers, turns)
        best = max(best, 2 * 8 * 12 * numbers.size * turns / (time.perf_counter() - start))
    return best


def start(way: str, device: str, spin: str) -> dict[str, Any]:
    """Import what the way needs; versions, or why it can't run."""
    if spin != "default":
        os.environ["GOMP_SPINCOUNT"] = spin  # read when torch is imported
    try:
        if way not in PEERS:
            import scaling_theory.sae
        if way == "SAELens":
            os.environ.setdefault("WANDB_MODE", "disabled")
            import sae_lens
            from sae_lens.training.sae_trainer import SAETrainer

            if not hasattr(SAETrainer, "step"):
                return {"error": f"SAELens {sae_lens.__version__} is too old"}
        import torch
    except ImportError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if device != "cpu" and not torch.cuda.is_available():
        return {"error": f"no CUDA device here, for PyTorch {torch.__version__}"}
    said: dict[str, Any] = {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
    if way not in PEERS:
        import numba

        said |= {"scaling_theory": scaling_theory.__version__, "numba": numba.__version__}
        said["numba_threads"] = numba.get_num_threads()
    if way == "SAELens":
        said["sae_lens"] = sae_lens.__version__
    if device != "cpu":
        said["gpu"] = torch.cuda.get_device_name(device)
    return said


# ---- in the process that asks --------------------------------------------------------------------


class Processes:
    """One process for each way, and what is known about the ways that have none."""

    def __init__(self, ways: Iterable[str], device: str, spin: str = SPIN) -> None:
        context = multiprocessing.get_context("spawn")
        self.absent: dict[str, str] = {}
        self.versions: dict[str, Any] = {}
        self._pools: dict[str, ProcessPoolExecutor] = {}
        for way in ways:
            if way == "compiled" and device != "cpu":
                self.absent[way] = "CPU only"
            elif way == "SAELens" and importlib.util.find_spec("sae_lens") is None:
                self.absent[way] = "not installed"
            else:
                self._pools[way] = ProcessPoolExecutor(1, mp_context=context)
        for way, said in {
            w: p.submit(start, w, device, spin) for w, p in self._pools.items()
        }.items():
            found = said.result()
            if way != "SAELens" and "error" in found:
                self.close()
                raise SystemExit(f"{Path(sys.argv[0]).name}: error: {found['error']}")
            if "error" in found:
                self._pools.pop(way).shutdown()
                self.absent[way] = found["error"]
            else:
                self.versions |= found

    @property
    def ways(self) -> tuple[str, ...]:
        """Ways that can run."""
        return tuple(self._pools)

    def __call__(self, way: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the process of a way."""
        return self._pools[way].submit(function, *arguments).result()

    def close(self) -> None:
        """End all processes."""
        for pool in self._pools.values():
            pool.shutdown()


def interleaved(
    processes: Processes,
    ways: Iterable[str],
    case: Case,
    repeats: int,
    seconds: float,
    preparing: Callable[[str, Case, float], int] = prepare,
    timing: Callable[[Case, int], float] | None = None,
) -> dict[str, list[float]]:
    """Seconds per step of each way, at each repeat."""
    steps = {way: processes(way, preparing, way, case, seconds) for way in ways}
    times: dict[str, list[float]] = {way: [] for way in steps}
    for _ in range(repeats):
        for way, count in steps.items():
            times[way].append(processes(way, timing or timed, case, count))
    return times


def machine(versions: dict[str, Any]) -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        named = [s for s in info.read_text().splitlines() if s.startswith("model name")]
        model = named[0].split(":")[1].strip() if named else model
    known = {"processor": model, "cores": os.cpu_count(), "load_before": load_average()}
    return {**known, "python": platform.python_version(), **versions}


def load_average() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe(found: dict[str, Any]) -> str:
    text = ", ".join(f"{name} {value}" for name, value in found.items())
    if (found["load_before"] or 0.0) > 0.5:
        text += "\nOther work runs here, or ran a minute ago: these times are too long."
    return text


# ---- the table -----------------------------------------------------------------------------------

_COLUMN = 14


class Table:
    """Rows of results, printed as they come."""

    def __init__(self, processes: Processes, peak: float | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self._processes, self._peak = processes, peak
        self._own = next(way for way in PACKAGE if way in processes.ways)

    def head(self) -> None:
        """Print the head."""
        own = self._own
        ratios = (f"loop/{own}", f"SAELens/{own}")
        print(f"{'':>26}{'milliseconds a step':^{_COLUMN * len(WAYS)}}".rstrip())
        line = f"{'':>26}" + "".join(f"{way:>{_COLUMN}}" for way in WAYS)
        print(line + "".join(f"{r:>18}" for r in ratios) + f"{'GFLOP/s':>10}{'of peak':>9}")

    def add(
        self,
        name: str,
        times: dict[str, list[float]],
        operations: float | None = None,
        unit: str = "s",
        **about: Any,
    ) -> None:
        """Keep and print one row; for memory, unit MB, the values are not times."""
        medians = {way: statistics.median(t) for way, t in times.items()}
        own = medians[self._own]
        ratios = {way: medians[way] / own for way in ("loop", "SAELens") if way in medians}
        row = {"name": name, "unit": unit, "medians": medians, "all": times, "ratios": ratios}
        rate = operations / own if operations and self._own == "compiled" else None
        self.rows.append({**about, **row, "operations": operations, "flops": rate})
        scale = 1.0 if unit == "MB" else 1e3
        line = f"{name:>26}"
        for way in WAYS:
            absent = self._processes.absent.get(way, "-")
            short = absent if len(absent) < _COLUMN else "can't run"
            line += f"{_number(scale * medians[way]) if way in medians else short:>{_COLUMN}}"
        for way in ("loop", "SAELens"):
            line += f"{f'{ratios[way]:.1f}' if way in ratios else '-':>18}"
        if rate is not None:
            line += f"{rate / 1e9:>10.1f}"
            line += f"{rate / self._peak:>9.0%}" if self._peak else ""
        print(line, flush=True)

    def judge(self, targets: Iterable[Target]) -> list[dict[str, Any]]:
        """Print the targets beside what was measured."""
        rows = {row["name"]: row for row in self.rows}
        said = []
        for target in targets:
            if target.row not in rows:
                continue
            row = rows[target.row]
            if target.most is not None:
                got = row["medians"].get(self._own)
                met = None if got is None else got < target.most
                text = f"less than {target.most:g} MB"
            else:
                got = row["ratios"].get(target.against)
                met = None if got is None else got >= target.least
                text = f"at least {target.least:g} times {target.against}"
            said.append({**asdict(target), "measured": got, "met": met})
            verdict = {None: "not measured", True: "met", False: "missed"}[met]
            measured = "" if got is None else f"{got:.1f}"
            print(f"{target.row:>26}: {text:<28}{measured:>8}  {verdict}")
        return said


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def total(name: str, table: Table) -> None:
    """Add the row of the sum over the rows so far: of times, repeat by repeat, and operations."""
    rows = list(table.rows)
    each = {
        way: [sum(many) for many in zip(*(row["all"][way] for row in rows), strict=True)]
        for way in rows[0]["all"]
    }
    table.add(name, each, sum(row["operations"] for row in rows))


def add_case(table: Table, processes: Processes, case: Case, repeats: int, seconds: float) -> None:
    dense = case.architecture != "TopK"
    operations = 12 * case.batch_size * case.width * case.dimension if dense else None
    ways = [w for w in processes.ways if w != "SAELens" or case.architecture == "ReLU"]
    times = interleaved(processes, ways, case, repeats, seconds)
    table.add(case.name, times, operations, **asdict(case))


def main() -> None:
    arguments = _arguments()
    quick, device = arguments.quick, arguments.device
    batch_size = arguments.batch_size or (256 if quick else 2048)
    dimension = arguments.dimension or (2 if quick else 8)
    widths = arguments.widths or ([2, 4] if quick else [2**i for i in range(1, 13)])
    repeats = arguments.repeats or (2 if quick else 7)
    seconds = 0.02 if quick else 0.3
    wide = Case(dimension, 64 if quick else 16_384, batch_size, device)
    others = [Case(2, 32 if quick else 1024, batch_size, device)]
    if not quick:
        others += [Case(8, 4096, batch_size, device, a) for a in ("JumpReLU", "TopK")]
    own_sizes = bool(arguments.dimension or arguments.widths)
    total_name = f"sum over {len(widths)} widths"
    memory_name = "memory of the last, MB" if own_sizes else f"N = {wide.width:,}: memory, MB"

    processes = Processes(arguments.ways, device, arguments.spin)
    try:
        found = machine(processes.versions)
        print(describe(found))
        memory = wide if not own_sizes else Case(dimension, max(widths), batch_size, device)
        taken = {way: processes(way, extra_memory, way, memory) for way in processes.ways}
        compiled = "compiled" in processes.ways
        peak = processes("compiled", peak_rate, 0.1 if quick else 3.0) if compiled else None
        if peak:
            print(f"multiply-adds of Numba on {found['numba_threads']} threads reach "
                  f"{peak / 1e9:.0f} GFLOP/s")  # fmt: skip
        table = Table(processes, peak)
        print(f"batch {batch_size}, on {device}: medians of {repeats} interleaved turns\n")
        table.head()
        for width in widths:
            case = Case(dimension, width, batch_size, device)
            add_case(table, processes, case, repeats, seconds)
        total(total_name, table)
        if not own_sizes:
            for case in (wide, *others):
                add_case(table, processes, case, repeats, seconds)
        table.add(memory_name, {w: [mb] for w, mb in taken.items() if mb is not None}, unit="MB")
    finally:
        processes.close()

    for way, why in processes.absent.items():
        print(f"\n{way}: {why}" + (f" ({INSTALL})" if way == "SAELens" else ""))
    found["load_after"] = load_average()
    targets = []
    if not quick and not own_sizes and batch_size == 2048 and device == "cpu":
        print("\ntargets")
        targets = table.judge(
            [
                Target(total_name, "loop", 8),
                Target(total_name, "SAELens", 20),
                Target(wide.name, "loop", 12),
                Target(others[0].name, "loop", 10),
                Target(memory_name, "", most=100),
            ]
        )
    if arguments.json is not None:
        result = {
            "machine": found,
            "device": device,
            "batch_size": batch_size,
            "repeats": repeats,
            "spin": arguments.spin,
            "peak_flops": peak,
            "absent": processes.absent,
            "rows": table.rows,
            "targets": targets,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--dimension", type=int, help="only the ReLU rows, for this dimension")
    parser.add_argument("--widths", type=int, nargs="+", help="only the ReLU rows, these widths")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="default: all")
    parser.add_argument("--spin", default=SPIN, help="GOMP_SPINCOUNT of all processes")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--json", type=Path, help="write everything to a file")
    arguments = parser.parse_args()
    if not set(arguments.ways) & set(PACKAGE):
        parser.error("--ways must name a path of this package")
    return arguments


if __name__ == "__main__":
    main()
