"""A group of runs within a sweep: from their checkpoints to their rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, final

import torch

from scaling_theory.sae._files import Row, damaged
from scaling_theory.sae._watch import Bar, _work
from scaling_theory.sae.gpu.group import PATH, GroupTrainer, Member, check_state
from scaling_theory.sae.spec import RunSpec

#: Seconds between two looks at the clock: of the bar, of Ctrl-C, of the checkpoints.
_SLICE = 0.2


class Keeper(Protocol):
    """What a sweep keeps its runs in."""

    def checkpoint(self, spec: RunSpec) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """State and notes of a run that was stopped."""

    def checkpoint_file(self, spec: RunSpec) -> Any:
        """Where that is."""

    def save_checkpoint(
        self, spec: RunSpec, state: dict[str, torch.Tensor], notes: dict[str, Any]
    ) -> None:
        """Keep it."""

    def drop_checkpoint(self, spec: RunSpec) -> None:
        """Forget it."""

    def finish(
        self, spec: RunSpec, row: Row, tensors: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Keep the row and the weights."""


class Asked(Protocol):
    """Whether to stop."""

    asked: bool


def train_together(
    specs: Sequence[RunSpec],
    device: str,
    keeper: Keeper,
    every: float,
    keep_weights: bool,
    bar: Bar,
    interrupt: Asked,
    have: Callable[[Row], None],
    failed: Callable[[RunSpec, str], None],
    row_of: Callable[[RunSpec, Member, int], Row],
) -> None:
    """Train a group that ``plan`` gave to its end, from where it was stopped.

    Parameters
    ----------
    every
        Seconds between two checkpoints.
    have, failed
        Called with each row, and with each run that failed and why.
    row_of
        Makes the whole row of a run, given how often it was resumed.

    Raises
    ------
    KeyboardInterrupt
        Once ``interrupt`` asks for it, after what is not finished is saved.
    """
    group = GroupTrainer(specs, device)
    notes = _resume(group, device, keeper)
    told, dropped = _Told(bar, specs, group.step), set[int]()

    def save(runs: Sequence[int]) -> None:
        for run in runs:
            if run not in group.failures:
                keeper.save_checkpoint(specs[run], group.state(run), notes[run])

    saved, steps, last = time.perf_counter(), 1, specs[0].steps
    while group.step < last and len(group.failures) < len(specs):
        began = time.perf_counter()
        group.advance(steps)
        told.tell(group.step)
        for run, why in group.failures.items():
            if run not in dropped:
                dropped.add(run)
                failed(specs[run], why)
        now = time.perf_counter()
        if interrupt.asked or (now - saved >= every and group.step < last):
            save(range(len(specs)))
            saved = now
        if interrupt.asked:
            raise KeyboardInterrupt
        # at most eight times as many at once: the first step may be slow for other reasons
        steps = max(1, min(8 * steps, int(_SLICE * steps / max(now - began, 1e-9))))
    for run, spec in enumerate(specs):
        if run in group.failures:
            continue
        member = group.member(run)
        row = row_of(spec, member, int(notes[run]["resumed"]))
        keeper.finish(spec, row, member.tensors() if keep_weights else None)
        have(row)
        if interrupt.asked:
            save(range(run + 1, len(specs)))
            raise KeyboardInterrupt


def step_of(keeper: Keeper, spec: RunSpec) -> int | None:
    """Step at which a run goes on, None where it begins; -1 if its checkpoint does not say."""
    found = keeper.checkpoint(spec)
    if found is None:
        return None
    step = found[0].get("step")
    return -1 if step is None or step.numel() != 1 else int(step)


def _resume(group: GroupTrainer, device: str, keeper: Keeper) -> list[dict[str, Any]]:
    """Load the checkpoints, if there are any; notes for those to come."""
    how = {"device": torch.device(device).type, "path": PATH}
    found = [keeper.checkpoint(spec) for spec in group.specs]
    states = []
    notes: list[dict[str, Any]] = []
    for spec, known in zip(group.specs, found, strict=True):
        if known is None:
            notes.append({**how, "resumed": 0})
            continue
        state, was = known
        try:
            check_state(spec, state)
        except ValueError as error:
            raise damaged(keeper.checkpoint_file(spec), str(error)) from error
        states.append(state)
        notes.append({**how, "resumed": was["resumed"] + 1})
    if states:
        group.load_states(states)
    return notes


@final
class _Told:
    """Tells a bar, which knows one run at a time, of runs that go on together.

    The same share of the work is shown as done, as if one run came after the other.
    """

    def __init__(self, bar: Bar, specs: Sequence[RunSpec], step: int) -> None:
        self._bar, self._specs, self._first = bar, specs, step
        self._left = specs[0].steps - step
        self._told = [-1] * len(specs)
        self.tell(step)

    def tell(self, step: int) -> None:
        """So many steps of all runs are done."""
        works = [_work(spec) for spec in self._specs]
        share = (step - self._first) / self._left if self._left else 1.0
        left = share * sum(works)
        for run, (spec, work) in enumerate(zip(self._specs, works, strict=True)):
            done = self._left if share == 1.0 else int(min(left / work, 1.0) * self._left)
            left = max(left - work, 0.0)
            if done == 0 and share < 1.0:
                return
            if self._told[run] < 0:
                self._bar.begin(spec)
                self._bar.skip(self._first)
                self._told[run] = 0
            self._bar.advance(done - self._told[run])
            self._told[run] = done
