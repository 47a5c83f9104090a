"""Which runs the Triton kernels can train, and the numbers that they are told of each step."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from scaling_theory.sae.architectures import Context, JumpReLU, ReLU, TanhJumpReLU, TopK
from scaling_theory.sae.kernels.units import numbers_of
from scaling_theory.sae.spec import RunSpec

#: Kind of an architecture -> its number in the kernels. Subclasses can't be: all are final.
KINDS: Final[dict[type, int]] = {ReLU: 0, JumpReLU: 1, TanhJumpReLU: 2, TopK: 3}

#: Largest dimension: a thread keeps several numbers for each in registers.
MAX_DIMENSION = 16
#: Largest k of TopK, which costs k passes over the latents.
MAX_K = 32
#: Numbers of a step: four of the unit, the rate of Adam and the root of its second correction.
NUMBERS = 6


def unfit(spec: RunSpec) -> str | None:
    """Return why the kernels can't train a run, or None if they can."""
    a = spec.architecture
    if type(a) not in KINDS:
        names = ", ".join(kind.__name__ for kind in KINDS)
        return f"its architecture is none of {names}: {a!r}"
    if spec.data.dimension > MAX_DIMENSION:
        return f"its dimension is {spec.data.dimension}, above {MAX_DIMENSION}"
    if isinstance(a, TopK) and a.k > MAX_K:
        return f"its k is {a.k}, above {MAX_K}"
    if a.needs_dead:
        return f"its architecture has an auxiliary loss: {a!r}"
    for name, value, plain in (
        ("remedies", spec.remedies, ()),
        ("clip", spec.clip, None),
        ("unit_norm", spec.unit_norm, False),
        ("history", spec.history, 0),
    ):
        if value != plain:
            return f"it has {name}={value!r}"
    return None


class Schedule:
    """Numbers of each step for the runs of a group.

    Parameters
    ----------
    specs
        With as many steps, and the same ``betas``.
    """

    def __init__(self, specs: tuple[RunSpec, ...]) -> None:
        base = np.zeros((len(specs), 4))
        scaled = np.zeros((len(specs), 4), dtype=bool)
        for run, spec in enumerate(specs):
            if not isinstance(spec.architecture, TopK):
                base[run] = numbers_of(spec.architecture, Context(1.0))
                # what a warm-up of the penalty changes is the penalty: a mean over the batch
                scaled[run] = base[run] != numbers_of(spec.architecture, Context(0.0))
        self._base = np.where(scaled, base / np.array([[s.batch_size] for s in specs]), base)
        self._scaled = scaled
        self._specs = specs

    def numbers(self, first: int, last: int) -> Any:
        """Return float32 of shape (steps, runs, ``NUMBERS``) for steps first to last - 1."""
        moments = range(first, last)
        out = np.empty((len(moments), len(self._specs), NUMBERS), dtype=np.float32)
        a, b = self._specs[0].betas
        done = np.arange(first, last, dtype=np.float64) + 1.0
        one, two = 1.0 - a**done, np.sqrt(1.0 - b**done)
        known: dict[tuple[float, ...], tuple[Any, Any]] = {}
        for run, spec in enumerate(self._specs):
            recipe = (spec.learning_rate, spec.warmup, spec.decay, spec.penalty_warmup)
            if recipe not in known:
                rates = np.array([spec.rate(step) for step in moments])
                scales = np.array([spec.penalty_scale(step) for step in moments])
                known[recipe] = rates / one, scales[:, None]
            rates, scales = known[recipe]
            out[:, run, :4] = np.where(self._scaled[run], scales * self._base[run], self._base[run])
            out[:, run, 4] = rates
            out[:, run, 5] = 1.0 / two
        return out
