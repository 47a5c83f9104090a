"""What a sweep gives back: its rows, its weights, and the loss curve they measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
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
            "loss", or "reconstruction" for its part without the penalty.

        Returns
        -------
        MeasuredCurve
            Provenance "trained"; ``loss`` and ``overlap`` are means over seeds; ``source`` has the
            specification without width and seed, the seeds of each width, and the keys of the runs.
            The loss at n = 0 is E|x|^2, the column ``magnitude`` of the rows: without latents and
            without a bias; its error is 0. ``stderr`` is None if no width has two or more seeds.

        Raises
        ------
        ValueError
            If runs differ in more than width and seed, or ``loss`` is unknown.

        Notes
        -----
        What another seed would reach is most of the error, and few seeds of one width say little of
        it. So the variance of ln loss over seeds is pooled over the widths that have two or more,
        sd^2 = sum of (ln loss - its mean)^2 / sum of (k - 1), and ``stderr`` of a mean of k losses
        is sd loss/sqrt(k), also where k = 1. Each seed is evaluated on samples of its own, so this
        holds the sampling error already; ``stderr`` is at least that error alone,
        sqrt(sum stderr_i^2)/k (not known of "reconstruction"), and the rounding of float32. One sd
        for all widths is too small far above a floor, and too large near it.

        With one seed of each width nothing says what another one would reach, and the sampling
        error alone is far too small: ``stderr`` is None. Then
        :meth:`~scaling_theory.MeasuredCurve.exponents` takes errors from the scatter about the law,
        and :meth:`~scaling_theory.MeasuredCurve.to_curve` weighs all points alike, n = 0 too.
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
        points = [list(by_width[width].values()) for width in widths]
        losses = [np.array([row[loss] for row in rows], dtype=np.float64) for rows in points]
        means = [float(values.mean()) for values in losses]
        overlaps = [float(np.mean([float(row["overlap"]) for row in rows])) for rows in points]
        sd, stderr = _seed_sd(losses), None
        if sd is not None:
            sampling = [_sampling(rows) if loss == "loss" else 0.0 for rows in points]
            stderr = [0.0]
            for mean, values, least in zip(means, losses, sampling, strict=True):
                stderr.append(max(sd * mean / math.sqrt(values.size), least, _rounding(mean)))
        recipe = canonical(self.specs[0])
        del recipe["width"], recipe["seed"]
        return MeasuredCurve(
            [0, *widths],
            [float(self.rows[0]["magnitude"]), *means],
            stderr,
            [0.0, *overlaps],
            provenance="trained",
            source={
                "loss": loss,
                "recipe": recipe,
                "seeds": [[int(row["seed"]) for row in by_width[w].values()] for w in widths],
                "runs": [key for w in widths for key in by_width[w]],
            },
        )


def _seed_sd(losses: list[Floats]) -> float | None:
    """Standard deviation of ln loss over seeds, pooled over widths; None without replicates."""
    squares, free = 0.0, 0
    for values in losses:
        logs = np.log(values[values > 0.0])
        if logs.size > 1:
            squares += float(((logs - logs.mean()) ** 2).sum())
            free += logs.size - 1
    return math.sqrt(squares / free) if free else None


def _sampling(rows: list[Mapping[str, Any]]) -> float:
    """Standard error of a mean loss of which only the samples are random."""
    return math.hypot(*(float(row["stderr"]) for row in rows)) / len(rows)


def _rounding(loss: float) -> float:
    return max(_FLOAT32 * loss, float(np.finfo(np.float64).tiny))


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
