"""Training of the study's runs, and what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scaling_theory.sae.architectures import Architecture, TopK
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import Points
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.studies._kept import FOLDER, train_and_keep
from scaling_theory.sae.studies.follow.settings import (
    ARCHITECTURES,
    HELD_OUT,
    RARE,
    SETTINGS,
    singles,
)
from scaling_theory.sae.superposition import Superposition


def groups() -> list[tuple[dict[str, str], list[RunSpec]]]:
    """(labels, runs): every setting with every architecture, and every manifold alone."""
    out = []
    alone: dict[tuple[str, str], tuple[Data, Architecture]] = {}
    for setting in (*SETTINGS, *HELD_OUT):
        for name in setting.architectures:
            architecture = ARCHITECTURES[name]
            out.append(({"setting": setting.name, "architecture": name}, setting.specs(name)))
            for manifold in setting.data.manifolds:
                if not isinstance(manifold, Points):
                    alone[repr(manifold), type(architecture).__name__] = (manifold, architecture)
                    if isinstance(architecture, TopK):
                        alone[repr(manifold), "TopK k=1"] = (manifold, TopK(1))
    for (what, name), (manifold, architecture) in alone.items():
        for how, rate in (("alone", 1.0), ("alone, rare", RARE)):
            labels = {"setting": f"{what} {how}", "architecture": name}
            out.append((labels, singles(manifold, architecture, rate)))
    return out


def train_follow(stores: Sequence[Path] = (), folder: Path = FOLDER, **how: Any) -> Path:
    """Train all runs of the study, and write its file; arguments as for ``train``.

    Runs that one of ``stores`` holds are not trained again.
    """
    return train_and_keep("follow", groups(), _lists, stores, folder, **how)


def _lists(spec: RunSpec, tensors: Mapping[str, torch.Tensor]) -> dict[str, list[float]]:
    """Latents and explained share by feature, latents of a purity below 0.9, and firing."""
    if not isinstance(spec.data, Superposition):
        return {}
    owner = tensors["owner"]
    latents = np.bincount(owner[owner >= 0].numpy(), minlength=spec.data.features)
    fires = (tensors["frequencies"] * spec.evaluation).round().to(torch.int64)
    explained = tensors["explained"].nan_to_num(0.0).double().numpy()
    mixed = (tensors["purity"].numpy() < 0.9) & (owner.numpy() >= 0)
    return {
        "latents": latents.tolist(),
        "mixed": [int(mixed.sum())],
        "explained": [float(f"{v:.3f}") for v in explained],
        "fires": sorted(fires.tolist(), reverse=True),
    }
