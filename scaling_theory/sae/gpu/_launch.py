"""Arrays of a group on the device, and the launches that make a step."""

from __future__ import annotations

from typing import Any, final

import torch

from scaling_theory.sae.gpu._layout import Layout, Shape
from scaling_theory.sae.gpu._loading import load
from scaling_theory.sae.gpu.units import KINDS
from scaling_theory.sae.spec import RunSpec


@final
class Launcher:
    """One step of all runs of a group, in place; nothing is allocated after the first.

    Parameters
    ----------
    spec
        Any run of the group.
    layout, shape
        Where numbers are, and the sizes of tiles.
    flat : (size,)
        Weights of all runs; updated.
    inputs : (runs, steps, d, batch size)
        Of a chunk of steps; threads read neighbouring rows.
    numbers : (steps, runs, 6)
        Of the same steps: ``units.Schedule``.
    most_k
        Largest k of the group, 0 where there is none.

    Attributes
    ----------
    clock : (1,) int32
        The step of the chunk that is next.
    losses : (steps, runs)
        Loss before each step that was taken.
    first, second : (size,)
        Adam's moments.
    """

    def __init__(
        self,
        spec: RunSpec,
        layout: Layout,
        shape: Shape,
        flat: torch.Tensor,
        inputs: torch.Tensor,
        numbers: torch.Tensor,
        most_k: int,
    ) -> None:
        device, sizes = flat.device, layout.sizes
        runs, chunk, d, batch = inputs.shape
        self._kernels, self._shape = load(), shape
        self._kind = KINDS[type(spec.architecture)]
        self._topk = most_k > 0
        self._d, self._batch, self._chunk, self._count, self._most = d, batch, chunk, runs, most_k
        self._sizes = sizes
        a, b = spec.betas
        self._adam = (a, 1.0 - a, b, 1.0 - b, spec.epsilon)
        self._options = {"num_warps": shape.warps, "enable_fp_fusion": True}
        self.flat, self._inputs, self._numbers = flat, inputs, numbers
        self._runs = torch.from_numpy(layout.runs).to(device)
        self._tasks = {k: torch.from_numpy(v).to(device) for k, v in layout.tasks.items()}

        def floats(*size: int) -> torch.Tensor:
            return torch.zeros(size, device=device)

        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)
        self.clock = torch.zeros(1, dtype=torch.int32, device=device)
        self.losses = floats(chunk, runs)
        self._sums = floats(sizes["parts"], d, batch)
        self._errors = floats(runs, d, batch)
        self._totals = floats(runs, sizes["row_blocks"], d + 1)
        self._grads = floats(sizes["row_parts"], 2 * d + 4, sizes["latents"])
        self._penalties = floats(sizes["blocks"])
        some = sizes["parts"] if self._topk else 0
        self._values = floats(some, most_k, batch)
        self._places = torch.zeros(some, most_k, batch, dtype=torch.int32, device=device)
        self._limits = floats(runs if self._topk else 1, batch)
        self._lasts = torch.zeros_like(self._limits, dtype=torch.int32)

    def step(self) -> None:
        """Take the step that the clock says, and set it to the next."""
        k, s, d, kind = self._kernels, self._shape, self._d, self._kind
        tile: dict[str, Any] = {"D": d, "BN": s.abreast, "BR": s.rows, "SIZE": s.part_latents}
        state = (self.flat, self.first, self.second)
        selected = (self._limits, self._lasts)
        if self._topk:
            self._launch(
                k.largest, "parts", self._runs, self.flat, self._inputs, self.clock, self._values,
                self._places, self._chunk, self._batch, self._most, **tile,
            )  # fmt: skip
            self._launch(
                k.threshold, "rows", self._runs, self._values, self._places, *selected,
                self._batch, self._most, BN=s.merged, BR=s.updated,
            )  # fmt: skip
        self._launch(
            k.forward, "parts", self._runs, self.flat, self._inputs, self.clock, *selected,
            self._sums, self._chunk, self._batch, KIND=kind, **tile,
        )  # fmt: skip
        self._launch(
            k.residual, "rows", self._runs, self.flat, self._inputs, self.clock, self._sums,
            self._errors, self._totals, self._chunk, self._batch, self._sizes["row_blocks"],
            2.0 / self._batch, D=d, BR=s.updated, AHEAD=s.ahead,
        )  # fmt: skip
        self._launch(
            k.backward, "latents", self._runs, self._numbers, self.flat, self._inputs, self.clock,
            *selected, self._errors, self._grads, self._chunk, self._batch, self._count,
            self._sizes["latents"],
            D=d, KIND=kind, BN=s.latents, BR=s.in_line_of(d), SIZE=s.part_rows,
        )  # fmt: skip
        self._launch(
            k.update, "updates", self._runs, self._numbers, *state, self.clock, self._grads,
            self._penalties, self._count, self._sizes["latents"], self._sizes["row_parts"],
            *self._adam, D=d, DP=1 << (d - 1).bit_length(), KIND=kind, BN=s.updated,
        )  # fmt: skip
        k.finish[(self._count,)](
            self._runs, self._numbers, *state, self.clock, self._totals, self._penalties,
            self.losses, self._count, self._sizes["row_blocks"], self._batch, *self._adam,
            D=d, DP=1 << d.bit_length(), BN=s.updated, **self._options,
        )  # fmt: skip
        self.clock.add_(1)

    def _launch(self, kernel: Any, tasks: str, *args: Any, **constants: Any) -> None:
        """One program a task."""
        of = self._tasks[tasks]
        kernel[(len(of),)](of, *args, **constants, **self._options)
