"""Training of one SAE: batches, gradients, Adam, remedies, and the final row of metrics.

The trainer knows no architecture and no manifold. Inputs are drawn in chunks of steps, each chunk
from a stream of random numbers of its own, so that a run does not depend on where it was stopped.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import Future
from typing import final

import torch

from scaling_theory.sae.architectures import Context
from scaling_theory.sae.centre import geometric_median
from scaling_theory.sae.history import History
from scaling_theory.sae.kernels import choose_path, gradients_for
from scaling_theory.sae.kernels.threads import aside, one_thread
from scaling_theory.sae.measure import Row, measure
from scaling_theory.sae.optimiser import Adam, clip, normalise, take_out_radial
from scaling_theory.sae.remedies import restart
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.weights import Weights

#: Most steps, and most numbers, drawn at once.
_CHUNK_STEPS = 50
_CHUNK_NUMBERS = 2**22
#: Inputs whose geometric median a decoder bias begins as.
_MEDIAN_SAMPLES = 4096


class TrainingFailed(RuntimeError):  # noqa: N818
    """A run that can't go on: its inputs or its loss are no longer finite numbers."""


@final
class Trainer:
    """One run, from its first step to its row.

    Parameters
    ----------
    spec
        What to train.
    device
        "cpu", "cuda", "cuda:1", ...
    path
        "auto", or a path of ``kernels``.

    Attributes
    ----------
    step
        Steps done.
    weights
        The SAE as it is now.

    Raises
    ------
    ValueError
        If the device or the path is unknown, or can't train the architecture.
    """

    def __init__(self, spec: RunSpec, device: str = "cpu", path: str = "auto") -> None:
        self.spec = spec
        self._device = device_of(device)
        data = spec.data
        self.path = choose_path(path, spec.architecture, data.dimension, self._device, data.density)
        self.step = 0
        self.seconds = 0.0
        self._measured: dict[str, torch.Tensor] = {}
        self.weights = initial(spec, self._device)
        width, dimension = spec.width, spec.data.dimension
        self._idle = torch.zeros(width, dtype=torch.int64, device=self._device)
        self._grad = self.weights.like()
        self._adam = Adam(self.weights.flat, spec.betas, spec.epsilon)
        self._gradients = gradients_for(
            self.path, spec.architecture, width, dimension, spec.batch_size
        )
        self._drawn = -1, torch.empty(0)
        self._ahead: tuple[int, Future[torch.Tensor]] | None = None
        self._history = History(spec, self._device)
        self._watch = spec.architecture.needs_dead or bool(spec.remedies) or spec.history > 0
        self._chunk = chunk_steps(spec)

    # ---- training -------------------------------------------------------------------------

    def advance(self, steps: int) -> None:
        """Do up to so many more steps, at most to the end of the run.

        Raises
        ------
        TrainingFailed
            If an input, the loss or a weight is not finite.
        """
        began = time.perf_counter()
        last = min(self.step + steps, self.spec.steps)
        while self.step < last:
            batches = self._batches()[self.step % self._chunk :]
            for x in batches[: last - self.step]:
                self._one(x)
        if not bool(torch.isfinite(self.weights.flat).all()):
            raise TrainingFailed(bad_weight(self.spec, self.step))
        self.seconds += time.perf_counter() - began

    def _batches(self) -> torch.Tensor:
        """Inputs of the chunk of steps that holds the next one: shape (steps, batch size, d).

        With a thread to spare, the chunk after it is drawn meanwhile.
        """
        chunk = self.step // self._chunk
        if self._drawn[0] != chunk:
            ahead, self._ahead = self._ahead, None
            ready = ahead is not None and ahead[0] == chunk
            self._drawn = chunk, ahead[1].result() if ahead and ready else self._draw(chunk)
        more = (chunk + 1) * self._chunk < self.spec.steps
        if self._ahead is None and more and self._device.type == "cpu":
            later = aside(self._draw, chunk + 1)
            self._ahead = None if later is None else (chunk + 1, later)
        return self._drawn[1]

    def _draw(self, chunk: int) -> torch.Tensor:
        with one_thread():  # OpenMP gains nothing here, and loses much on a busy machine
            x = draw(self.spec, chunk, self._device)
            finite = bool(torch.isfinite(x).all())
        if not finite:
            raise TrainingFailed(bad_input(self.spec, chunk))
        return x

    def _one(self, x: torch.Tensor) -> None:
        spec, weights, grad = self.spec, self.weights, self._grad
        dead = self._idle >= spec.dead_after if spec.architecture.needs_dead else None
        context = Context(spec.penalty_scale(self.step), dead)
        done = self._gradients(weights, x, context, grad)
        if not math.isfinite(done.loss):
            raise TrainingFailed(bad_loss(spec, done.loss, self.step))
        if self._watch:
            self._idle.add_(1).masked_fill_(done.fired, 0)
        if spec.unit_norm:
            take_out_radial(grad.decoder, weights.decoder)
        if spec.clip is not None:
            clip(grad.flat, spec.clip)
        self._adam.update(weights.flat, grad.flat, spec.rate(self.step))
        if spec.unit_norm:
            normalise(weights.decoder)
        spec.architecture.constrain(weights)
        self.step += 1
        for turn, remedy in enumerate(spec.remedies):
            if remedy.due(self.step, spec.steps):
                self._remedy(remedy.find(weights, self._idle, spec.dead_after), x, turn)
        self._history.look(self.step, weights, self._idle)

    def _remedy(self, index: torch.Tensor, x: torch.Tensor, turn: int) -> None:
        generator = self.spec.generator("restart", self.step, turn, device=self._device)
        index = restart(self.spec.architecture, self.weights, index, x, generator)
        for moments in (self.weights.like(self._adam.first), self.weights.like(self._adam.second)):
            for name, values in moments.named().items():
                if name != "decoder_bias":
                    values[index] = 0.0
        self._idle[index] = 0

    # ---- state ----------------------------------------------------------------------------

    def state(self) -> dict[str, torch.Tensor]:
        """All that is needed to go on, bit for bit."""
        return {
            "weights": self.weights.flat.clone(),
            "adam_first": self._adam.first.clone(),
            "adam_second": self._adam.second.clone(),
            "idle": self._idle.clone(),
            "step": torch.tensor([self.step]),
            "seconds": torch.tensor([self.seconds], dtype=torch.float64),
            **self._history.state(),
        }

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what :meth:`state` gave.

        Raises
        ------
        ValueError
            If it is not of this run: names, shapes or types differ.
        """
        own = self.state()
        if {k: (v.shape, v.dtype) for k, v in own.items()} != {
            k: (v.shape, v.dtype) for k, v in state.items()
        }:
            raise ValueError(
                f"state must hold {', '.join(sorted(own))} of width {self.spec.width}, "
                f"got { ({k: tuple(v.shape) for k, v in state.items()}) }"
            )
        self.weights.flat.copy_(state["weights"])
        self._adam.first.copy_(state["adam_first"])
        self._adam.second.copy_(state["adam_second"])
        self._idle.copy_(state["idle"])
        self._history.load_state(state)
        self.step = self._adam.steps = int(state["step"])
        self.seconds = float(state["seconds"])

    # ---- results --------------------------------------------------------------------------

    def row(self) -> Row:
        """Metrics on fresh samples (see :func:`measure`), and how the run was done."""
        self._finish()
        values, self._measured = measure(self.spec, self.weights)
        how: Row = {"seconds": self.seconds, "path": self.path, "device": str(self._device)}
        return {"width": self.spec.width, "seed": self.spec.seed, **values, **how}

    def _finish(self) -> None:
        """Let the architecture set what it sets after the last step; no later step sees it."""
        count = self.spec.architecture.finish_samples
        if count:
            generator = self.spec.generator("finish", device=self._device)
            self.spec.architecture.finish(self.weights, self.spec.data.sample(count, generator))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights by name, and after :meth:`row` what it measured one by one."""
        named = {**self.weights.named(), **self._measured, **self._history.state()}
        return {name: values.detach().clone().cpu() for name, values in named.items()}


def bad_input(spec: RunSpec, chunk: int) -> str:
    """Why a run failed: an input of a chunk is not finite."""
    first = chunk * chunk_steps(spec)
    return (
        f"run {spec.key}: data gave an input that is not finite at steps {first} to "
        f"{first + chunk_steps(spec) - 1}: {spec.data!r}"
    )


def bad_loss(spec: RunSpec, loss: float, step: int) -> str:
    """Why a run failed: its loss is not finite."""
    return f"run {spec.key}: the loss is {loss} at step {step}; {_may_help(spec)}"


def bad_weight(spec: RunSpec, step: int) -> str:
    """Why a run failed: one of its weights is not finite."""
    return f"run {spec.key}: a weight is no longer finite at step {step}; {_may_help(spec)}"


def _may_help(spec: RunSpec) -> str:
    return f"a smaller learning_rate than {spec.learning_rate:g} or a clip may help"


def device_of(name: str) -> torch.device:
    """Return the device of a name, if it is there."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
        torch.Generator(device=device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"device must be one that PyTorch has here (cpu{', cuda' * torch.cuda.is_available()}),"
            f" got {name!r}"
        ) from error
    return device


def chunk_steps(spec: RunSpec) -> int:
    """Number of steps whose inputs are drawn at once."""
    return max(1, min(_CHUNK_STEPS, _CHUNK_NUMBERS // (spec.batch_size * spec.data.dimension)))


def draw(spec: RunSpec, chunk: int, device: torch.device) -> torch.Tensor:
    """Inputs of a chunk of steps, float32 of shape (steps, batch size, d)."""
    count = chunk_steps(spec) * spec.batch_size
    x = spec.data.sample(count, spec.generator("batches", chunk, device=device))
    if x.shape != (count, spec.data.dimension) or x.dtype != torch.float32:
        raise ValueError(
            f"data must sample float32 of shape {(count, spec.data.dimension)}, got {x.dtype} "
            f"of shape {tuple(x.shape)} from {spec.data!r}"
        )
    return x.view(-1, spec.batch_size, spec.data.dimension)


def initial(spec: RunSpec, device: torch.device) -> Weights:
    """Weights before the first step."""
    n, d = spec.width, spec.data.dimension
    extra = spec.architecture.initial()
    weights = Weights(n, d, spec.architecture.extra)
    weights.decoder.copy_(torch.randn(n, d, generator=spec.generator("weights")))
    _normalise(weights.decoder)
    if not spec.unit_norm:
        norm = min(1.0, math.sqrt(2.0 * d / n)) if spec.decoder_norm is None else spec.decoder_norm
        weights.decoder.mul_(norm)
    weights.encoder.copy_(spec.encoder_scale * weights.decoder)
    weights.encoder_bias.fill_(spec.encoder_bias)
    if spec.decoder_bias == "median":
        x = spec.data.sample(_MEDIAN_SAMPLES, spec.generator("median"))
        weights.decoder_bias.copy_(geometric_median(x))
    for name, value in extra.items():
        weights.extra[name].fill_(value)
    return Weights(n, d, spec.architecture.extra, weights.flat.to(device))


def _normalise(decoder: torch.Tensor) -> None:
    decoder.div_(decoder.norm(dim=1, keepdim=True).clamp_min(1e-30))
