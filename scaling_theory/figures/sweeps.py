"""The training runs behind figures: one function a sweep, which says its runs at each preset.

A figure names the sweeps that it rests on. Their rows come from ``figures.stored``: those that are
stored with the package are not trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from scaling_theory.sae import Circle, ReLU, RunSpec, Shell, Sphere, TanhJumpReLU
from scaling_theory.sae.architectures import Architecture
from scaling_theory.sae.data import Data

Preset = Literal["quick", "paper"]

#: Steps of a run (Michaud, Gorton and McGrath 2025, appendix C, for the paper).
STEPS = {"quick": 4_000, "paper": 12_000}
#: The same of JumpReLU, whose steps take about four times as long.
JUMP_STEPS = {"quick": 2_000, "paper": 12_000}
SPHERES = (2, 3, 4, 5, 6, 7, 8)
FEW_SPHERES = (2, 3, 4, 6, 8)
SHELLS = (2, 3, 4, 6)
JUMP = (2, 3, 4, 6)
#: Widths of the circles that figure 1 draws: of these, weights are stored too.
DRAWN = (4, 8, 24)


def spheres(preset: Preset) -> list[RunSpec]:
    """Figures 3 (left) and 5: ReLU with l1 = 0.1 on unit spheres."""
    if preset == "quick":
        return [s for d in FEW_SPHERES for s in _runs(Sphere(d), ReLU(), _quick(1024, d), preset)]
    out = [s for d in SPHERES for s in _runs(Sphere(d), ReLU(), _widths(8192), preset)]
    few = (128, 512, 2048, 8192)
    return out + [
        s for seed in (1, 2) for d in (6, 7, 8) for s in _runs(Sphere(d), ReLU(), few, preset, seed)
    ]


def shells(preset: Preset) -> list[RunSpec]:
    """Figure 3 (right): ReLU with l1 = 0.1 where 0.5 < |x| < 2."""
    return [
        s
        for d in SHELLS
        for s in _runs(
            Shell(d), ReLU(), _quick(512, d) if preset == "quick" else _widths(2048), preset
        )
    ]


def jump_spheres(preset: Preset) -> list[RunSpec]:
    """Figure 6 (left): JumpReLU with a tanh penalty on unit spheres."""
    return [s for d in JUMP for s in _jumps(Sphere(d), d, preset)]


def jump_shells(preset: Preset) -> list[RunSpec]:
    """Figure 6 (right): JumpReLU with a tanh penalty where 0.5 < |x| < 2."""
    return [s for d in JUMP for s in _jumps(Shell(d), d, preset)]


def circles(preset: Preset) -> list[RunSpec]:
    """Figure 1: ReLU with l1 = 0.1 on the circle, widths 1 to 128, at the paper's steps always.

    After 4,000 steps two of three seeds with 4 latents are still unevenly arranged.
    """
    seeds = range(3 if preset == "quick" else 5)
    widths = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
    return [s for seed in seeds for s in _runs(Circle(), ReLU(), widths, "paper", seed)]


#: Name of a sweep -> its runs at a preset.
SWEEPS: Mapping[str, Callable[[Preset], list[RunSpec]]] = {
    "circles": circles,
    "spheres": spheres,
    "shells": shells,
    "jump_spheres": jump_spheres,
    "jump_shells": jump_shells,
}


def drawn(spec: RunSpec) -> bool:
    """Whether the weights of a run are stored beside its row."""
    return isinstance(spec.data, Circle) and spec.width in DRAWN


def _widths(most: int) -> tuple[int, ...]:
    return tuple(2**k for k in range(most.bit_length()))


def _quick(most: int, dimension: int) -> list[int]:
    """Powers of two, and the widths 4 d and 64 d between which plateaus are measured."""
    return sorted({*_widths(most), 4 * dimension, 64 * dimension})


def _jumps(data: Data, dimension: int, preset: Preset) -> list[RunSpec]:
    widths = _quick(256, dimension) if preset == "quick" else _widths(2048)
    return [RunSpec(data, TanhJumpReLU(), n, steps=JUMP_STEPS[preset]) for n in widths]


def _runs(
    data: Data, architecture: Architecture, widths: Sequence[int], preset: Preset, seed: int = 0
) -> list[RunSpec]:
    return [RunSpec(data, architecture, n, seed, steps=STEPS[preset]) for n in widths]
