"""What is shown of a sweep while it trains, and how it is stopped."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, final

from scaling_theory.sae.spec import RunSpec

#: A row of a batch costs as much as so many products of a latent and a dimension, a step as many
#: as so many; for the time left only.
_PER_ROW, _PER_STEP = 500, 500_000


@final
class Interrupt:
    """Let the first Ctrl-C wait until it is asked for: in the middle of a step nothing is whole."""

    def __init__(self) -> None:
        self.asked = False
        self._installed = False

    def __enter__(self) -> Interrupt:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.asked and kind is None:
            raise KeyboardInterrupt  # nobody asked after it

    def _note(self, number: int, frame: Any) -> None:
        if self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True


class Bar(ABC):
    """What is told how far a sweep is."""

    @abstractmethod
    def begin(self, spec: RunSpec) -> None:
        """Say which run it is."""

    @abstractmethod
    def advance(self, steps: int) -> None:
        """So many steps were done."""

    @abstractmethod
    def skip(self, steps: int) -> None:
        """So many steps were done before."""


@final
class _NoBar(Bar):
    """Where nothing is shown."""

    def begin(self, spec: RunSpec) -> None:
        pass

    def advance(self, steps: int) -> None:
        pass

    def skip(self, steps: int) -> None:
        pass


@final
class _RichBar(Bar):
    """One bar over all runs, which counts work rather than runs."""

    def __init__(self, progress: Any, specs: Sequence[RunSpec]) -> None:
        self._progress, self._step, self._left = progress, 0.0, 0
        self._total = math.fsum(_work(spec) * spec.steps for spec in specs)
        self._runs, self._begun = len(specs), 0
        self._task = progress.add_task("", total=self._total)

    def begin(self, spec: RunSpec) -> None:
        self.skip(self._left)  # of a run that failed
        self._begun += 1
        self._step, self._left = _work(spec), spec.steps
        what = f"run {self._begun}/{self._runs}: width {spec.width}, seed {spec.seed}"
        self._progress.update(self._task, description=what)

    def advance(self, steps: int) -> None:
        self._left -= steps
        self._progress.update(self._task, advance=steps * self._step)

    def skip(self, steps: int) -> None:
        self._left -= steps
        self._total -= steps * self._step
        self._progress.update(self._task, total=self._total)


def _work(spec: RunSpec) -> float:
    """Cost of a step, up to a factor."""
    return spec.batch_size * (spec.width * spec.data.dimension + _PER_ROW) + _PER_STEP


@contextlib.contextmanager
def progress_bar(specs: Sequence[RunSpec], enabled: bool) -> Iterator[Bar]:
    if not enabled:
        yield _NoBar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=300.0,
    ) as progress:
        yield _RichBar(progress, specs)
