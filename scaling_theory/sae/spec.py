"""A training run as a frozen specification: everything that decides its result, and its hash."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, final

import torch

from scaling_theory import _validate
from scaling_theory.sae.architectures import Architecture
from scaling_theory.sae.canonical import canonical, digest, seed_of, text_of
from scaling_theory.sae.data import Data
from scaling_theory.sae.remedies import Remedy

#: Largest width of one trained SAE.
MAX_WIDTH = 2**22
#: Most points of a history.
MAX_HISTORY = 1000
#: Raised when the same specification no longer gives the same numbers; rounding, which differs
#: between kernels and processors, is no reason.
_VERSION = 1
#: What the text of a specification leaves out where it has its default.
_OPTIONS = {
    "decoder_norm", "encoder_scale", "encoder_bias", "warmup", "decay", "penalty_warmup", "clip",
    "unit_norm", "betas", "epsilon", "remedies", "dead_after", "evaluation", "decoder_bias",
    "history",
}  # fmt: skip


@final
@dataclass(frozen=True)
class RunSpec:
    """One SAE to train.

    Parameters
    ----------
    data
        A manifold or a superposition.
    architecture
        ``ReLU``, ``TopK``, ``BatchTopK``, ``Matryoshka``, ``Gated``, ``JumpReLU`` or
        ``TanhJumpReLU``.
    width
        Number of latents n, at least 1.
    seed
        Runs that differ in anything at all, so in the seed too, share no random numbers.
    steps, batch_size, learning_rate
        Of Adam. Defaults 12,000, 2048 and 1e-3: Michaud, Gorton and McGrath (2025), appendix C.
    decoder_norm
        Initial norm of the decoder rows, greater than 0, in random directions. None, the default,
        is sqrt(2 d/n), at most 1: the reconstruction of a unit vector by the n/2 latents that fire
        at first then has norm 1, where unit norms overshoot in proportion to n. Anthropic's April
        2024 recipe has 0.1.
    encoder_scale
        The encoder starts as so many times the decoder: 1.0 (April 2024 recipe, and Gao et al.
        2024).
    encoder_bias
        Initial encoder bias: 0.0 (the same).
    decoder_bias
        Initial decoder bias: "zero" (default), or "median", the geometric median of 4096 inputs
        (Bricken et al. 2023; so O'Neill et al. 2024, A.1).
    warmup, decay
        Shares of the steps, at the beginning and at the end, over which the learning rate rises
        from and falls to 0, linearly. Defaults 0.0 and 0.2 (April 2024 recipe).
    penalty_warmup
        Share of the steps over which the penalty rises to its size, linearly. Default 0.0; the
        April 2024 recipe has 0.05, the January 2025 recipe 1.0.
    clip
        Largest norm of the gradient, or None (the default). The April 2024 recipe has 1.0.
    unit_norm
        Keep decoder rows at norm 1 and take the part of the gradient along them out (Bricken et
        al. 2023). Default False: with norms in the penalty there is no need.
    betas, epsilon
        Of Adam: (0.9, 0.999) and 1e-8, as in Kingma and Ba (2015); epsilon is at least 1e-30.
    remedies
        What is done about dead or duplicate latents, in this order: ``ResampleDead``,
        ``ResampleDuplicates``. None by default. (AuxK is an argument of ``TopK``.)
    dead_after
        A latent is dead if it did not fire for so many steps. Default 200.
    evaluation
        Number of fresh samples that the final metrics are measured on. Default 65,536.
    history
        How many times on the way unexplained variance and dead latents are looked at: steps as
        powers, the last one at the end. Default 0. Stored beside the weights (``history``).

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    data: Data
    architecture: Architecture
    width: int
    seed: int = 0
    steps: int = 12_000
    batch_size: int = 2048
    learning_rate: float = 1e-3
    decoder_norm: float | None = None
    encoder_scale: float = 1.0
    encoder_bias: float = 0.0
    warmup: float = 0.0
    decay: float = 0.2
    penalty_warmup: float = 0.0
    clip: float | None = None
    unit_norm: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    remedies: tuple[Remedy, ...] = ()
    dead_after: int = 200
    evaluation: int = 65_536
    decoder_bias: Literal["zero", "median"] = "zero"
    history: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.data, Data):
            raise ValueError(
                "data must be a manifold, a Superposition or Activations(shards), got "
                f"{self.data!r}"
            )
        if not isinstance(self.architecture, Architecture):
            raise ValueError(f"architecture must be an Architecture, got {self.architecture!r}")
        real, whole = _validate.real, _validate.whole
        share: dict[str, Any] = {"low": 0.0, "high": 1.0}
        positive: dict[str, Any] = {"low": 0.0, "low_open": True}
        checked: dict[str, Any] = {
            "width": whole("width", self.width, low=1, high=MAX_WIDTH),
            "seed": whole("seed", self.seed),
            "steps": whole("steps", self.steps),
            "batch_size": whole("batch_size", self.batch_size, low=1),
            "learning_rate": real("learning_rate", self.learning_rate, **positive),
            "encoder_scale": real("encoder_scale", self.encoder_scale),
            "encoder_bias": real("encoder_bias", self.encoder_bias),
            "warmup": real("warmup", self.warmup, **share),
            "decay": real("decay", self.decay, **share),
            "penalty_warmup": real("penalty_warmup", self.penalty_warmup, **share),
            "epsilon": real("epsilon", self.epsilon, low=1e-30),
            "dead_after": whole("dead_after", self.dead_after, low=1),
            "evaluation": whole("evaluation", self.evaluation, low=2),
            "history": whole("history", self.history, high=MAX_HISTORY),
        }
        if self.warmup + self.decay > 1.0:
            raise ValueError(
                f"warmup + decay must be at most 1, got {self.warmup!r} + {self.decay!r}"
            )
        for name in ("decoder_norm", "clip"):
            if getattr(self, name) is not None:
                checked[name] = real(name, getattr(self, name), **positive)
        if self.unit_norm and self.decoder_norm is not None:
            raise ValueError(
                f"decoder_norm must be None with unit_norm=True, got {self.decoder_norm!r}"
            )
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas!r}")
        checked["betas"] = tuple(
            real(f"betas[{i}]", b, low=0.0, high=1.0, high_open=True)
            for i, b in enumerate(self.betas)
        )
        if self.decoder_bias not in ("zero", "median"):
            raise ValueError(f"decoder_bias must be 'zero' or 'median', got {self.decoder_bias!r}")
        if not isinstance(self.unit_norm, bool):
            raise ValueError(f"unit_norm must be True or False, got {self.unit_norm!r}")
        if not isinstance(self.remedies, tuple | list) or not all(
            isinstance(r, Remedy) for r in self.remedies
        ):
            raise ValueError(f"remedies must be a tuple of Remedy objects, got {self.remedies!r}")
        checked["remedies"] = tuple(self.remedies)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self.architecture.check(self.width)

    @cached_property
    def text(self) -> str:
        """Canonical JSON of the specification; options that have their default are left out.

        So an option that is added later changes no hash. A default, or what a specification means,
        may change only together with ``_VERSION``.
        """
        own = canonical(self)
        for option in fields(self):
            if option.name in _OPTIONS and own[option.name] == canonical(option.default):
                del own[option.name]
        return text_of({"version": _VERSION, "spec": own})

    @cached_property
    def key(self) -> str:
        """Hash of the specification: 16 hexadecimal digits."""
        return digest(self.text)

    def generator(self, *stream: Any, device: torch.device | str = "cpu") -> torch.Generator:
        """Return a generator of random numbers for one purpose, the same at every call."""
        generator = torch.Generator(device=device)
        generator.manual_seed(seed_of(self.text, *stream))
        return generator

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        up, down = self.warmup * self.steps, self.decay * self.steps
        rise = min((step + 1) / up, 1.0) if up else 1.0
        fall = min((self.steps - step) / down, 1.0) if down else 1.0
        return self.learning_rate * min(rise, fall)

    def penalty_scale(self, step: int) -> float:
        """Warm-up factor of the penalty at a step, counted from 0."""
        up = self.penalty_warmup * self.steps
        return min((step + 1) / up, 1.0) if up else 1.0
