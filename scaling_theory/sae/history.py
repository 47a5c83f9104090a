"""What a run looked like on the way: unexplained variance and dead latents at chosen steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
import torch

from scaling_theory.sae.metrics import evaluate
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.weights import Weights

#: Samples of each look, always the same ones.
_SAMPLES = 8192
#: The first look is after this share of the steps.
_FIRST = 1.0 / 256.0
#: Columns of a history: steps done; unexplained variance; latents that did not fire for
#: ``dead_after`` steps; the mean number that fire.
COLUMNS = ("step", "fvu", "idle", "l0")


def steps_of(spec: RunSpec) -> tuple[int, ...]:
    """Steps after which a run is looked at: evenly spaced logarithms, each once, the last one too.

    At most ``spec.history`` of them.
    """
    if not (spec.history and spec.steps):
        return ()
    first = max(1.0, _FIRST * spec.steps)
    points = np.geomspace(first, spec.steps, spec.history) if spec.history > 1 else [spec.steps]
    return tuple(sorted({round(float(p)) for p in points}))


@final
class History:
    """The looks so far; empty where the specification asks for none.

    Attributes
    ----------
    values : (looks, 4) float64
        ``COLUMNS`` by rows; nan where the run has not been yet.
    """

    def __init__(self, spec: RunSpec, device: torch.device) -> None:
        self._spec, self._device = spec, device
        self._steps = steps_of(spec)
        self.values = torch.full((len(self._steps), len(COLUMNS)), torch.nan, dtype=torch.float64)
        self._x: torch.Tensor | None = None

    def look(self, step: int, weights: Weights, idle: torch.Tensor) -> None:
        """Look at a run after a step, if it is one to look after."""
        if step not in self._steps:
            return
        if self._x is None:
            generator = self._spec.generator("history", device=self._device)
            self._x = self._spec.data.held_out(_SAMPLES, generator)
        at = evaluate(self._spec.architecture, weights, self._x)
        dead = int((idle >= self._spec.dead_after).sum())
        row = [float(step), at.fvu, float(dead), at.l0]
        self.values[self._steps.index(step)] = torch.tensor(row, dtype=torch.float64)

    def state(self) -> dict[str, torch.Tensor]:
        """What there is to keep: {"history": values}, or nothing."""
        return {"history": self.values.clone()} if self._steps else {}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        if self._steps:
            self.values.copy_(state["history"])
