"""Rows in memory that stand for shards on disk."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Held:
    """Stands for shards: rows in memory, of which the first are held out."""

    x: np.ndarray
    held_out: int = 20
    digest: str = "0123456789abcdef"
    path: str = "somewhere"
    manifest: dict = field(default_factory=lambda: {"recipe": {"site": "sum"}})
    mean: np.ndarray = field(init=False)
    scale: float = field(init=False)

    def __post_init__(self):
        train = self.x[self.held_out :].astype(np.float64)
        self.rows, self.dimension = self.x.shape
        self.mean = train.mean(0)
        self.scale = float(np.sqrt(((train - self.mean) ** 2).mean()))

    def read(self, index):
        return self.x[index].astype(np.float32)
