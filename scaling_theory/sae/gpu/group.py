"""Training of many SAEs at once: a step of all of them is a handful of kernel launches.

The runs of a group share dimension, batch size, number of steps, kind of architecture and Adam's
constants; widths, seeds, data, penalties and schedules are each run's own. A run draws its own
inputs from its own streams, as ``Trainer`` does, and its sums are taken in an order that its
neighbours do not change: it gives the same numbers, bit for bit, alone or in any group, stopped
and resumed at any step.

On a GPU one step is captured as a CUDA graph after the first, and replayed. Whether inputs and
losses are finite is looked at once a chunk of steps, and whether weights are at the end of each
:meth:`GroupTrainer.advance`. Within a chunk nothing waits for the device, and the next one is drawn
while it works, unless the data's own ``sample`` waits, as where it looks at what it drew.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch

from scaling_theory.sae.architectures import TopK
from scaling_theory.sae.gpu._launch import Launcher
from scaling_theory.sae.gpu._layout import Shape, lay_out
from scaling_theory.sae.gpu._loading import interpreting, missing
from scaling_theory.sae.gpu.units import NUMBERS, Schedule, unfit
from scaling_theory.sae.measure import Row, measure
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import (
    bad_input,
    bad_loss,
    bad_weight,
    chunk_steps,
    device_of,
    draw,
    initial,
)
from scaling_theory.sae.weights import Weights

PATH = "triton"


def shared(spec: RunSpec) -> tuple[Any, ...]:
    """Return what the runs of one group have in common."""
    return (
        spec.architecture.fused,
        spec.data.dimension,
        spec.batch_size,
        spec.steps,
        spec.betas,
        spec.epsilon,
    )


@final
class GroupTrainer:
    """Some runs, from their first step to their rows.

    Parameters
    ----------
    specs
        At least one, each once, alike in what :func:`shared` gives.
    device
        "cuda", "cuda:1", ...; "cpu" where TRITON_INTERPRET=1.
    shape
        Sizes of tiles; another shape gives other roundings.

    Attributes
    ----------
    step
        Steps done.
    chunk
        Steps whose inputs are drawn at once.
    failures : dict of int, str
        Why runs failed, by their place in ``specs``; their numbers mean nothing any more.

    Raises
    ------
    ValueError
        If the kernels can't run here, can't train a run, or can't train the runs together.
    """

    def __init__(
        self, specs: Sequence[RunSpec], device: str = "cuda", shape: Shape | None = None
    ) -> None:
        specs = tuple(specs)
        if not specs or len({spec.key for spec in specs}) < len(specs):
            raise ValueError(f"specs must be at least one, each once, got {len(specs)}")
        self._device = device_of(device)
        if (lack := missing(self._device)) is not None:
            raise ValueError(f"path {PATH!r} can't be taken here: {lack}")
        for spec in specs:
            if (why := unfit(spec)) is not None:
                raise ValueError(f"specs must be runs that path {PATH!r} can train, got one: {why}")
            if shared(spec) != shared(specs[0]):
                raise ValueError(
                    f"specs of one group must share {shared(specs[0])}, got {shared(spec)}"
                )
        self.specs, self.step, self.seconds = specs, 0, 0.0
        self.chunk = chunk_steps(specs[0])
        self.failures: dict[int, str] = {}
        self._schedule = Schedule(specs)
        self._drawn, self._finite = -1, torch.empty(0)
        self._ahead: tuple[int, list[torch.Tensor], torch.Tensor] | None = None
        one, widths = specs[0], [spec.width for spec in specs]
        self.seconds_before = [0.0] * len(specs)
        self._shares = [width / sum(widths) for width in widths]
        ks = [s.architecture.k if isinstance(s.architecture, TopK) else 0 for s in specs]
        layout = lay_out(
            widths,
            ks,
            one.data.dimension,
            len(one.architecture.extra),
            one.batch_size,
            shape or Shape(),
        )
        flat = torch.cat([initial(spec, self._device).flat for spec in specs])
        steps = min(self.chunk, max(one.steps, 1))
        self._inputs = torch.empty(
            len(specs), steps, one.data.dimension, one.batch_size, device=self._device
        )
        self._numbers = torch.zeros(steps, len(specs), NUMBERS, device=self._device)
        self._launcher = Launcher(
            one, layout, shape or Shape(), flat, self._inputs, self._numbers, max(ks)
        )
        self._starts = layout.runs[:, 0].tolist()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = False

    # ---- training -------------------------------------------------------------------------

    def advance(self, steps: int) -> int:
        """Do up to so many more steps, at most to the end; return how many.

        Runs that failed are noted in ``failures``; the others go on.
        """
        began, before = time.perf_counter(), self.step
        last = min(self.step + steps, self.specs[0].steps)
        on = torch.cuda.device(self._device) if self._cuda else contextlib.nullcontext()
        # the interpreter computes with NumPy, which would warn of what is noted below
        with on, torch.no_grad(), np.errstate(all="ignore"):
            while self.step < last:
                chunk, at = divmod(self.step, self.chunk)
                self._prepare(chunk)
                until = min(last - self.step, self.chunk - at)
                self._launcher.clock.fill_(at)
                for _ in range(until):
                    self._one()
                if at + until == self.chunk and self.step + until < self.specs[0].steps:
                    self._ahead = self._draw(chunk + 1)  # while the device is still at the steps
                self._check(chunk, at, until)
                self.step += until
            self._check_weights()
        self.seconds += time.perf_counter() - began
        return self.step - before

    @property
    def _cuda(self) -> bool:
        return self._device.type == "cuda"

    def _prepare(self, chunk: int) -> None:
        """Draw the inputs of a chunk, and note the numbers of its steps."""
        if self._drawn == chunk:
            return
        first = chunk * self.chunk
        last = min(first + self.chunk, self.specs[0].steps)
        ahead, self._ahead = self._ahead, None
        _, drawn, self._finite = ahead if ahead and ahead[0] == chunk else self._draw(chunk)
        for own, x in zip(self._inputs, drawn, strict=True):
            own.copy_(x[: len(own)].transpose(1, 2))
        numbers = torch.from_numpy(self._schedule.numbers(first, last))
        self._numbers[: last - first].copy_(numbers)
        self._drawn = chunk

    def _draw(self, chunk: int) -> tuple[int, list[torch.Tensor], torch.Tensor]:
        """Inputs of a chunk by run, and whether they are finite; waits where ``sample`` does."""
        drawn = [draw(spec, chunk, self._device) for spec in self.specs]
        return chunk, drawn, torch.stack([torch.isfinite(x).all() for x in drawn])

    def _one(self) -> None:
        """Take a step: plainly the first time, which compiles the kernels, then as a graph."""
        if self._graph is not None:
            self._graph.replay()
            return
        if self._warm and self._cuda and not interpreting():
            torch.cuda.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            # a stream of this device: PyTorch's default one is of whichever was first
            stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            with torch.cuda.graph(self._graph, stream=stream):  # records, and does nothing
                self._launcher.step()
            self._graph.replay()
            return
        self._launcher.step()
        self._warm = True

    def _check(self, chunk: int, at: int, steps: int) -> None:
        """Note the runs whose inputs or losses were not finite."""
        losses = self._launcher.losses[at : at + steps]
        good = torch.isfinite(losses)
        if bool(good.all() & self._finite.all()):
            return
        finite = self._finite.tolist()
        for run, spec in enumerate(self.specs):
            if run in self.failures:
                continue
            if not finite[run]:
                self.failures[run] = bad_input(spec, chunk)
            elif not bool(good[:, run].all()):
                where = int(torch.nonzero(~good[:, run])[0])
                value = float(losses[where, run])
                self.failures[run] = bad_loss(spec, value, chunk * self.chunk + at + where)

    def _check_weights(self) -> None:
        if bool(torch.isfinite(self._launcher.flat).all()):
            return
        for run, spec in enumerate(self.specs):
            if run not in self.failures and not bool(torch.isfinite(self.weights(run).flat).all()):
                self.failures[run] = bad_weight(spec, self.step)

    # ---- of one run -----------------------------------------------------------------------

    def weights(self, run: int) -> Weights:
        """Weights of a run as they are now; views."""
        return self._view(self._launcher.flat, run)

    def _view(self, flat: torch.Tensor, run: int) -> Weights:
        spec, start = self.specs[run], self._starts[run]
        n, d, extra = spec.width, spec.data.dimension, spec.architecture.extra
        size = n * (2 * d + 1 + len(extra)) + d
        return Weights(n, d, extra, flat[start : start + size])

    def run_seconds(self, run: int) -> float:
        """Seconds of a run: of the group's, the part that its latents are of all latents."""
        return self.seconds_before[run] + self.seconds * self._shares[run]

    def state(self, run: int) -> dict[str, torch.Tensor]:
        """All that a run needs to go on, bit for bit, as ``Trainer.state`` has it."""
        launcher, width = self._launcher, self.specs[run].width
        return {
            "weights": self.weights(run).flat.clone(),
            "adam_first": self._view(launcher.first, run).flat.clone(),
            "adam_second": self._view(launcher.second, run).flat.clone(),
            "idle": torch.zeros(width, dtype=torch.int64, device=self._device),
            "step": torch.tensor([self.step]),
            "seconds": torch.tensor([self.run_seconds(run)], dtype=torch.float64),
        }

    def load_states(self, states: Sequence[dict[str, torch.Tensor]]) -> None:
        """Go on from what :meth:`state` gave, one for each run, all at the same step.

        Raises
        ------
        ValueError
            If they are not of these runs, or not at one step.
        """
        if len(states) != len(self.specs) or len({int(s["step"]) for s in states}) != 1:
            raise ValueError(f"states must be {len(self.specs)}, at one step, got {len(states)}")
        for run, state in enumerate(states):
            check_state(self.specs[run], state)
            for name, own in (
                ("weights", self._launcher.flat),
                ("adam_first", self._launcher.first),
                ("adam_second", self._launcher.second),
            ):
                self._view(own, run).flat.copy_(state[name])
            self.seconds_before[run] = float(state["seconds"])
        self.step, self.seconds = int(states[0]["step"]), 0.0

    def member(self, run: int) -> Member:
        """One of the runs."""
        return Member(self, run)


@final
class Member:
    """A run of a group, as far as a sweep has to know it."""

    path = PATH

    def __init__(self, group: GroupTrainer, run: int) -> None:
        self.spec = group.specs[run]
        self._group, self._run = group, run
        self._measured: dict[str, torch.Tensor] = {}

    def state(self) -> dict[str, torch.Tensor]:
        """All that is needed to go on."""
        return self._group.state(self._run)

    def row(self) -> Row:
        """Metrics on fresh samples, and how the run was done."""
        values, self._measured = measure(self.spec, self._group.weights(self._run))
        seconds = self._group.run_seconds(self._run)
        how: Row = {"seconds": seconds, "path": PATH, "device": str(self._group._device)}
        return {"width": self.spec.width, "seed": self.spec.seed, **values, **how}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights by name, and after :meth:`row` what it measured one by one."""
        named = {**self._group.weights(self._run).named(), **self._measured}
        return {name: values.detach().clone().cpu() for name, values in named.items()}


def check_state(spec: RunSpec, state: dict[str, torch.Tensor]) -> None:
    """Refuse what is no state of a run: names, shapes or types differ."""
    n, d = spec.width, spec.data.dimension
    size = n * (2 * d + 1 + len(spec.architecture.extra)) + d
    values = dict.fromkeys(("weights", "adam_first", "adam_second"), ((size,), torch.float32))
    own = {
        **values,
        "idle": ((n,), torch.int64),
        "step": ((1,), torch.int64),
        "seconds": ((1,), torch.float64),
    }
    got = {name: (tuple(value.shape), value.dtype) for name, value in state.items()}
    if got != own:
        raise ValueError(
            f"state must hold {', '.join(sorted(own))} of width {n}, "
            f"got { ({name: shape for name, (shape, _) in got.items()}) }"
        )
    if not 0 <= int(state["step"]) <= spec.steps or not math.isfinite(float(state["seconds"])):
        raise ValueError(f"step must be in [0, {spec.steps}], got {int(state['step'])}")
