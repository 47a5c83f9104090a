"""Metrics of an SAE: what it loses, how its latents point, which features they serve or recover."""

from scaling_theory.sae.metrics.decoders import (
    Neighbours,
    duplicates,
    find_duplicates,
    mean_max_cosine,
    neighbour_cosines,
)
from scaling_theory.sae.metrics.evaluation import Evaluation, empty_loss, evaluate, magnitude
from scaling_theory.sae.metrics.ownership import Ownership, ownership
from scaling_theory.sae.metrics.recovery import Recovery, recovery

__all__ = [
    "Evaluation",
    "Neighbours",
    "Ownership",
    "Recovery",
    "duplicates",
    "empty_loss",
    "evaluate",
    "find_duplicates",
    "magnitude",
    "mean_max_cosine",
    "neighbour_cosines",
    "ownership",
    "recovery",
]
