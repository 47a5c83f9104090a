"""Time of one training step on superposed features, path by path, beside a plain PyTorch loop.

K features in orthogonal subspaces, p_i = 0.3 i^-1.5, so that most coordinates of an input are zero:
the case for which the ``sparse`` path is made. A step is data, gradients and Adam; it is timed
after a warm-up, because more latents fire at first. All ways train the same objective from the same
specification, one thread each, in one process; turns are interleaved, medians are printed.

Run: python benchmarks/sae_superposed.py [--repeats 5] [--warm 1000] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scaling_theory import sae
from scaling_theory.frequencies import EmpiricalFrequencies

PATHS = ("sparse", "blocked")
CASES = (
    ("points, K = 128", sae.Points(), 128),
    ("circles, K = 48", sae.Circle(), 48),
    ("spheres of d = 4, K = 40", sae.Sphere(4), 40),
)


def loop(spec: sae.RunSpec) -> Callable[[int], None]:
    """Train as a researcher writes it: parameters, autograd, torch.optim.Adam."""
    generator = torch.Generator().manual_seed(1)
    parameters = [torch.nn.Parameter(v.clone()) for v in sae.Trainer(spec).weights.named().values()]
    encoder, encoder_bias, decoder, decoder_bias, *threshold = parameters
    a = spec.architecture
    jump, step = straight_through(a.bandwidth) if isinstance(a, sae.JumpReLU) else (None, None)
    adam = torch.optim.Adam(parameters, lr=spec.learning_rate)

    def advance(steps: int) -> None:
        for _ in range(steps):
            x = spec.data.sample(spec.batch_size, generator)
            z = x @ encoder.T + encoder_bias
            if isinstance(a, sae.ReLU):
                f = torch.relu(z)
                penalty = a.l1 * (f * decoder.norm(dim=1)).sum(1).mean()
            elif isinstance(a, sae.JumpReLU):
                f = jump(z, *threshold)
                penalty = a.l0 * step(z, *threshold).sum(1).mean()
            else:
                values, at = torch.relu(z).topk(a.k, dim=1)
                f = torch.zeros_like(z).scatter(1, at, values)
                penalty = 0.0
            loss = (x - f @ decoder - decoder_bias).square().sum(1).mean() + penalty
            adam.zero_grad()
            loss.backward()
            adam.step()
            for theta in threshold:
                theta.data.clamp_(min=0.0)

    return advance


def straight_through(bandwidth: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """JumpReLU and step with the pseudo-derivatives of Rajamanoharan et al. (2024)."""

    def near(z: Any, theta: Any) -> Any:
        return ((z - theta).abs() < bandwidth / 2).float() / bandwidth

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


def measure(spec: sae.RunSpec, warm: int, steps: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds a step of each way, turn by turn."""
    ways = {path: sae.Trainer(spec, path=path).advance for path in PATHS}
    ways["loop"] = loop(spec)
    for advance in ways.values():
        advance(warm)
    out: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, advance in ways.items():
            began = time.perf_counter()
            advance(steps)
            out[name].append(1e3 * (time.perf_counter() - began) / steps)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm", type=int, default=1000, help="steps before the clock starts")
    parser.add_argument("--quick", action="store_true", help="one small case, to see that it runs")
    parser.add_argument("--json", type=Path, help="write the medians here too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warm, steps = (5, 2) if options.quick else (options.warm, 100)
    cases, widths = (CASES[:1], (16,)) if options.quick else (CASES, (64, 256))
    rows: list[dict[str, Any]] = []
    print(f"{'case':26}{'':10}{'N':>5}{'sparse':>9}{'blocked':>9}{'loop':>9}  ms; ratios to sparse")
    for name, manifold, count in cases:
        p = 0.3 * np.arange(1.0, count + 1.0) ** -1.5
        data = sae.Superposition(EmpiricalFrequencies(p), manifold)
        for architecture in (sae.ReLU(0.1), sae.JumpReLU(l0=0.1, bandwidth=0.2), sae.TopK(2)):
            for width in widths:
                spec = sae.RunSpec(data, architecture, width, steps=10**6, batch_size=1024)
                times = measure(spec, warm, steps, options.repeats)
                mid = {way: statistics.median(values) for way, values in times.items()}
                ratio = {
                    way: statistics.median(
                        a / b for a, b in zip(times[way], times["sparse"], strict=True)
                    )
                    for way in ("blocked", "loop")
                }
                kind = type(architecture).__name__
                print(
                    f"{name:26}{kind:10}{width:5}{mid['sparse']:9.3f}{mid['blocked']:9.3f}"
                    f"{mid['loop']:9.3f}  {ratio['blocked']:.1f}, {ratio['loop']:.1f}",
                    flush=True,
                )
                row = {"case": name, "architecture": kind, "width": width}
                rows.append({**row, "milliseconds": mid, "ratios": ratio})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
