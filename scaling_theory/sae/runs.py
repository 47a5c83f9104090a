"""What a sweep gives back: its rows, its weights, and the loss curve they measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, final

import numpy as np

from scaling_theory import _validate
from scaling_theory.measured import MeasuredCurve
from scaling_theory.sae._files import Row
from scaling_theory.sae.canonical import canonical
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import tabulate

if TYPE_CHECKING:
    import pandas as pd
    import torch

#: Relative error of one number in float32, which losses are computed in.
_FLOAT32 = float(np.finfo(np.float32).eps)


class HasWeights(Protocol):
    """Where the weights of finished runs are."""

    def weights(self, spec: RunSpec) -> dict[str, torch.Tensor]:
        """Weights of a run by name, and "frequencies"."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Runs:
    """Finished runs, in the order in which they were asked for.

    Attributes
    ----------
    specs : tuple of RunSpec
        What was trained.
    rows : tuple of dict
        What came of it, one row a spec.
    """

    specs: tuple[RunSpec, ...]
    rows: tuple[Row, ...]
    _keeper: HasWeights

    def __len__(self) -> int:
        return len(self.specs)

    def __repr__(self) -> str:
        return f"Runs(<{len(self)} runs>)"

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a new DataFrame."""
        return tabulate(self.rows)

    def weights(self, run: RunSpec | int) -> dict[str, torch.Tensor]:
        """Return the weights of a run by name, and the "frequencies" of its latents.

        Parameters
        ----------
        run
            Its specification, or its place in ``specs``.

        Raises
        ------
        ValueError
            If it is no run of these.
        FileNotFoundError
            If weights were not kept.
        """
        if isinstance(run, RunSpec):
            if run.key not in {spec.key for spec in self.specs}:
                raise ValueError(f"run must be one of these {len(self)} runs, got {run!r}")
            return self._keeper.weights(run)
        at = _validate.whole("run", run, low=-len(self), high=len(self) - 1)
        return self._keeper.weights(self.specs[at])

    def curve(self, loss: Literal["loss", "reconstruction"] = "loss") -> MeasuredCurve:
        """Return the measured curve L(n): one point a width, and n = 0.

        Parameters
        ----------
        loss
            "loss", or "reconstruction" for its part without the penalty; then two or more seeds of
            each width are needed, for the errors.

        Returns
        -------
        MeasuredCurve
            Provenance "trained"; ``loss`` and ``overlap`` are means over seeds; ``source`` has the
            specification without width and seed, the seeds of each width, and the keys of the runs.
            The loss at n = 0 is that of the best constant, taken as exact.

        Raises
        ------
        ValueError
            If runs differ in more than width and seed, ``loss`` is unknown, or there are no errors
            for it.

        Notes
        -----
        Each seed is evaluated on samples of its own, so the spread of k >= 2 seeds, sd/sqrt(k),
        holds the sampling error already. A spread of few seeds is small by chance now and then, so
        ``stderr`` is the larger of it and the sampling error alone, sqrt(sum stderr_i^2)/k, and at
        least the rounding of float32. With one seed there is the sampling error only: it says
        nothing of what the optimiser would reach from another start.
        """
        if loss not in ("loss", "reconstruction"):
            raise ValueError(f"loss must be 'loss' or 'reconstruction', got {loss!r}")
        if not self.specs:
            raise ValueError("runs must hold at least one run for a curve, got none")
        _check_recipe(self.specs)
        by_width: dict[int, dict[str, Mapping[str, Any]]] = {}
        for spec, row in zip(self.specs, self.rows, strict=True):
            by_width.setdefault(spec.width, {})[spec.key] = row
        widths = sorted(by_width)
        points = [_point(width, list(by_width[width].values()), loss) for width in widths]
        empty = [float(row["empty_loss"]) for row in self.rows]
        recipe = canonical(self.specs[0])
        del recipe["width"], recipe["seed"]
        return MeasuredCurve(
            [0, *widths],
            [math.fsum(empty) / len(empty), *(p[0] for p in points)],
            [0.0, *(p[1] for p in points)],
            [0.0, *(p[2] for p in points)],
            provenance="trained",
            source={
                "loss": loss,
                "recipe": recipe,
                "seeds": [[int(row["seed"]) for row in by_width[w].values()] for w in widths],
                "runs": [key for w in widths for key in by_width[w]],
            },
        )


def _point(width: int, rows: list[Mapping[str, Any]], loss: str) -> tuple[float, float, float]:
    """Mean loss, its standard error, mean overlap of the runs of one width."""
    losses = np.array([row[loss] for row in rows], dtype=np.float64)
    mean = float(losses.mean())
    spread = float(losses.std(ddof=1)) / math.sqrt(losses.size) if losses.size > 1 else 0.0
    sampling = 0.0
    if loss == "loss":
        sampling = math.hypot(*(float(row["stderr"]) for row in rows)) / losses.size
    elif losses.size < 2:
        raise ValueError(
            f"loss={loss!r} needs two or more seeds of each width for its errors, got one of width "
            f"{width}"
        )
    rounding = max(_FLOAT32 * mean, float(np.finfo(np.float64).tiny))
    overlap = float(np.mean([float(row["overlap"]) for row in rows]))
    return mean, max(spread, sampling, rounding), overlap


def _check_recipe(specs: tuple[RunSpec, ...]) -> None:
    for field in fields(RunSpec):
        if field.name in ("width", "seed"):
            continue
        first = getattr(specs[0], field.name)
        for spec in specs:
            own = getattr(spec, field.name)
            if own is not first and canonical(own) != canonical(first):
                raise ValueError(
                    f"runs of a curve must differ in width and seed only, got {field.name}="
                    f"{first!r} and {own!r}"
                )
