"""Settings of the study of real activations: data, families of SAEs, and how they are trained.

The recipe is that of O'Neill et al. (2024), A.1 and A.2: TopK with AuxK (2k dead latents, weight
1/32), decoder rows of norm 1, the encoder as its transpose, the decoder bias at the geometric
median, Adam, batches of 1024, clipped gradients. Not theirs are the number of steps, the learning
rate and its fall, when AuxK takes a latent for dead (after an eighth of a run, or an epoch where
that is shorter; theirs: an epoch), and the data. They do not state at which norm gradients are
clipped: here it is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

from scaling_theory.sae.activations import Activations
from scaling_theory.sae.architectures import Architecture, TopK
from scaling_theory.sae.spec import RunSpec

Kind = Literal["tokens", "embeddings"]
KINDS: Final[tuple[Kind, ...]] = ("tokens", "embeddings")

#: Seeds at the smallest width; the others have the first.
SEEDS: Final = (0, 1, 2)
BATCH: Final = 1024


@final
@dataclass(frozen=True)
class Preset:
    """How much is done.

    Attributes
    ----------
    name
        "quick" or "paper".
    tokens, texts
        Rows of token activations, and of sentence embeddings.
    context
        Tokens of a text that its embedding sees, at most.
    multiples
        Widths in units of the dimension.
    ks
        Active latents of the TopK families.
    matched
        L0 of the ReLU family.
    steps
        By kind of data.
    learning_rate
        O'Neill et al. have 1e-4, constant, for 13,200 steps, and found that it matters little; so
        few steps want more, and the end settles: it falls over the last fifth.
    l1
        By kind of data: the first weight of the ReLU family's penalty to be tried at each width;
        others follow until ``matched`` lies between two values of L0 (see ``match``).
    frequency_rows
        Most rows that firing is counted on.
    """

    name: str
    tokens: int
    texts: int
    context: int
    multiples: tuple[int, ...]
    ks: tuple[int, ...]
    matched: int
    steps: Mapping[Kind, int]
    learning_rate: float
    l1: Mapping[Kind, float]
    frequency_rows: int


PRESETS: Final = {
    "quick": Preset(
        name="quick",
        tokens=1_200_000,
        texts=30_000,
        context=128,
        multiples=(1, 2, 4, 8),
        ks=(16, 32, 64),
        matched=32,
        steps={"tokens": 2400, "embeddings": 1200},
        learning_rate=2e-3,
        l1={"tokens": 0.1, "embeddings": 0.1},
        frequency_rows=2**18,
    ),
    "paper": Preset(
        name="paper",
        tokens=4_000_000,
        texts=45_000,
        context=256,
        multiples=(1, 2, 4, 8, 16, 32),
        ks=(16, 32, 64),
        matched=32,
        steps={"tokens": 13_200, "embeddings": 13_200},
        learning_rate=5e-4,
        l1={"tokens": 0.03, "embeddings": 0.03},
        frequency_rows=2**20,
    ),
}


def family_of(architecture: Architecture) -> str:
    """Name of a family: "TopK 32", or "ReLU"."""
    return f"TopK {architecture.k}" if isinstance(architecture, TopK) else "ReLU"


def specs(preset: Preset, kind: Kind, data: Activations) -> list[RunSpec]:
    """Return the TopK runs on one kind of data, narrow ones first."""
    return [
        spec_of(preset, kind, data, TopK(k, auxk=2 * k), width, seed)
        for width, seeds in places(preset, data)
        for k in preset.ks
        for seed in seeds
    ]


def places(preset: Preset, data: Activations) -> list[tuple[int, tuple[int, ...]]]:
    """Widths, and the seeds that each is trained with."""
    return [
        (multiple * data.dimension, SEEDS if multiple == preset.multiples[0] else SEEDS[:1])
        for multiple in preset.multiples
    ]


def spec_of(
    preset: Preset, kind: Kind, data: Activations, architecture: Architecture, width: int, seed: int
) -> RunSpec:
    """Return one run."""
    steps = preset.steps[kind]
    return RunSpec(
        data,
        architecture,
        width,
        seed,
        steps=steps,
        batch_size=BATCH,
        learning_rate=preset.learning_rate,
        clip=1.0,
        unit_norm=True,
        decoder_bias="median",
        dead_after=min(steps // 8, data.rows // BATCH),
        history=24,
    )
