"""SAEs on toy data: manifolds, architectures, trainers, and the loss curves they measure.

And SAEs that others have published: :func:`load_sae`.
"""

from scaling_theory.sae.activations import Activations
from scaling_theory.sae.architectures import (
    Architecture,
    BatchTopK,
    Gated,
    JumpReLU,
    Matryoshka,
    ReLU,
    TanhJumpReLU,
    TopK,
)
from scaling_theory.sae.correlation import Correlation
from scaling_theory.sae.data import Data
from scaling_theory.sae.formats import FormatError, PublishedSAE, fetch_sae, load_sae, save_sae
from scaling_theory.sae.manifolds import (
    Ball,
    Circle,
    Intensity,
    Points,
    Ripple,
    Segment,
    Shell,
    Sphere,
    SwissRoll,
    Torus,
)
from scaling_theory.sae.metrics import (
    Evaluation,
    Ownership,
    Recovery,
    evaluate,
    mean_max_cosine,
    neighbour_cosines,
    ownership,
    recovery,
)
from scaling_theory.sae.remedies import Remedy, ResampleDead, ResampleDuplicates
from scaling_theory.sae.runs import Runs
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import Store, StoreDamaged, StoreInUse
from scaling_theory.sae.superposition import Superposition
from scaling_theory.sae.sweep import SweepFailed, train, train_widths
from scaling_theory.sae.trainer import Trainer, TrainingFailed
from scaling_theory.sae.weights import Weights

__all__ = [
    "Activations",
    "Architecture",
    "Ball",
    "BatchTopK",
    "Circle",
    "Correlation",
    "Data",
    "Evaluation",
    "FormatError",
    "Gated",
    "Intensity",
    "JumpReLU",
    "Matryoshka",
    "Ownership",
    "Points",
    "PublishedSAE",
    "ReLU",
    "Recovery",
    "Remedy",
    "ResampleDead",
    "ResampleDuplicates",
    "Ripple",
    "RunSpec",
    "Runs",
    "Segment",
    "Shell",
    "Sphere",
    "Store",
    "StoreDamaged",
    "StoreInUse",
    "Superposition",
    "SweepFailed",
    "SwissRoll",
    "TanhJumpReLU",
    "TopK",
    "Torus",
    "Trainer",
    "TrainingFailed",
    "Weights",
    "evaluate",
    "fetch_sae",
    "load_sae",
    "mean_max_cosine",
    "neighbour_cosines",
    "ownership",
    "recovery",
    "save_sae",
    "train",
    "train_widths",
]
