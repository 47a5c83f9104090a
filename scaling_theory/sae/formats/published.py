"""One SAE with what its project does around the matrices: norms, gates, thresholds, skips.

Which activation has which parameters:

- ``relu``: f = ReLU(z), with z = W_e x + b_e.
- ``topk``: f keeps the k largest z, then ReLU; equal ones by index, lowest first.
- ``jumprelu``: f = ReLU(z) where z > threshold, else 0.
- ``gated``: fires where z > 0; f = ReLU(exp(``magnitude_log_scale``) W_e x + ``magnitude_bias``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch

from scaling_theory.sae.architectures import (
    Architecture,
    BatchTopK,
    Gated,
    JumpReLU,
    Matryoshka,
    ReLU,
    TanhJumpReLU,
    TopK,
)
from scaling_theory.sae.formats import _fields
from scaling_theory.sae.formats import _folding as folding
from scaling_theory.sae.formats._normalise import decoded, normalised
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True, eq=False, repr=False)
class PublishedSAE:
    """A sparse autoencoder (or transcoder) of n latents on d dimensions, ready to use.

    All tensors have one dtype (float32, or float64 where a file has that) and one device.

    Attributes
    ----------
    encoder : (n, d)
    encoder_bias : (n,)
        Of a gated SAE: the bias of the gate.
    decoder : (n, d)
        One row a latent.
    decoder_bias : (d,)
    activation
        "relu", "topk", "jumprelu" or "gated": see the module.
    k
        Latents that fire, of topk; None otherwise.
    threshold : (n,) or None
        Of jumprelu. Below 0 it is without effect.
    magnitude_bias, magnitude_log_scale : (n,) or None
        Of gated (Rajamanoharan et al. 2024, b_mag and r_mag).
    apply_b_dec_to_input
        Whether ``decoder_bias`` is subtracted from inputs.
    normalisation
        What is done to each input and undone in its reconstruction: "none"; "layer_norm", mean 0
        and unbiased standard deviation 1, eps 1e-5 (Gao et al. 2024);
        "constant_norm_rescale", norm sqrt(d) (SAELens).
    rescale_by_decoder_norm
        Whether activations are multiplied by the norms of decoder rows, before the k largest are
        looked for, and divided by them in decoding (SAELens TopK, dictionary_learning JumpReLU and
        gated). Rows of zeros contribute nothing.
    skip : (d, d) or None
        A transcoder's linear path: ``skip @ x`` is added to the reconstruction (sparsify).
    frequencies : (n,) or None
        Share of inputs on which each latent fires, where the file tells.
    frequencies_note
        What these are, and how far to trust them; or why there are none.
    name, format
        Name of the SAE and of the file format.
    source
        What else the files say: configuration, version.
    status
        "exact": encodes as its project does. "input_scale_unknown": it was trained on inputs times
        a constant that the files do not hold (see :meth:`scaled`). "threshold_unset": saved before
        the threshold was first estimated.
    message
        What a reader should know; empty if there is nothing.
    """

    encoder: torch.Tensor
    encoder_bias: torch.Tensor
    decoder: torch.Tensor
    decoder_bias: torch.Tensor
    activation: str
    k: int | None = None
    threshold: torch.Tensor | None = None
    magnitude_bias: torch.Tensor | None = None
    magnitude_log_scale: torch.Tensor | None = None
    apply_b_dec_to_input: bool = False
    normalisation: str = "none"
    rescale_by_decoder_norm: bool = False
    skip: torch.Tensor | None = None
    frequencies: torch.Tensor | None = None
    frequencies_note: str = ""
    name: str = ""
    format: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    status: str = "exact"
    message: str = ""

    ACTIVATIONS: ClassVar[tuple[str, ...]] = _fields.ACTIVATIONS
    NORMALISATIONS: ClassVar[tuple[str, ...]] = _fields.NORMALISATIONS
    STATUSES: ClassVar[tuple[str, ...]] = _fields.STATUSES

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, value in _fields.checked(values).items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        k = f", k={self.k}" if self.k is not None else ""
        return (
            f"PublishedSAE(name={self.name!r}, format={self.format!r}, width={self.width}, "
            f"dimension={self.dimension}, activation={self.activation!r}{k}, "
            f"status={self.status!r})"
        )

    @classmethod
    def from_weights(
        cls, weights: Weights, architecture: Architecture, name: str = ""
    ) -> PublishedSAE:
        """Return an SAE of this package (its weights are copied).

        Parameters
        ----------
        weights
            Of n latents. Those of an SAE trained on ``Activations`` are of centred and scaled rows:
            ``Activations.fold`` makes them of rows as they are.
        architecture
            ReLU, TopK, JumpReLU, TanhJumpReLU, Gated, or BatchTopK or Matryoshka, which become a
            JumpReLU with their one threshold.
        name
            Of the SAE.

        Raises
        ------
        ValueError
            If the architecture is another, or does not go with the weights.
        """
        arguments: dict[str, Any]
        match architecture:
            case ReLU():
                arguments = {"activation": "relu"}
            case TopK():
                arguments = {"activation": "topk", "k": architecture.k}
            case Gated():
                arguments = {
                    "activation": "gated",
                    "magnitude_log_scale": weights.extra["log_scale"].detach().clone(),
                    "magnitude_bias": weights.extra["magnitude_bias"].detach().clone(),
                }
            case JumpReLU() | TanhJumpReLU() | BatchTopK() | Matryoshka():
                if "threshold" not in weights.extra:
                    raise ValueError(
                        f"weights must have a threshold for {type(architecture).__name__}, "
                        f"got {sorted(weights.named())}"
                    )
                threshold = weights.extra["threshold"].detach().clone()
                arguments = {"activation": "jumprelu", "threshold": threshold}
            case _:
                raise ValueError(
                    "architecture must be ReLU, TopK, JumpReLU, TanhJumpReLU, Gated, BatchTopK or "
                    f"Matryoshka, got {architecture!r}"
                )
        return cls(
            weights.encoder.detach().clone(),
            weights.encoder_bias.detach().clone(),
            weights.decoder.detach().clone(),
            weights.decoder_bias.detach().clone(),
            name=name,
            format="scaling_theory",
            source={"architecture": repr(architecture)},
            **arguments,
        )

    @property
    def width(self) -> int:
        """Number of latents n."""
        return self.decoder.shape[0]

    @property
    def dimension(self) -> int:
        """Input dimension d."""
        return self.decoder.shape[1]

    @property
    def decoder_norms(self) -> torch.Tensor:
        """Norms of the decoder's rows, shape (n,)."""
        norms: torch.Tensor = torch.linalg.vector_norm(self.decoder, dim=1)
        return norms

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Activations of the latents, shape (..., n).

        Parameters
        ----------
        x : (..., d)
            Inputs, finite; computed with in the dtype of the weights.

        Raises
        ------
        ValueError
            If x has another shape, type or device, or numbers that are not finite.
        """
        x = self._inputs("x", x, self.dimension)
        x = normalised(x, self.normalisation)[0]
        if self.apply_b_dec_to_input:
            x = x - self.decoder_bias
        if self.activation == "gated":
            f = self._gated(x)
        else:
            z = torch.nn.functional.linear(x, self.encoder, self.encoder_bias)
            if self.activation == "topk":
                return self._largest(z)
            f = z.relu()
            if self.threshold is not None:
                f = f * (z > self.threshold)
        return f * self.decoder_norms if self.rescale_by_decoder_norm else f

    def decode(self, f: torch.Tensor, x: torch.Tensor | None = None) -> torch.Tensor:
        """Reconstructions, shape (..., d).

        Parameters
        ----------
        f : (..., n)
            Activations as :meth:`encode` gives them.
        x : (..., d), optional
            The inputs they are of; needed where ``normalisation`` is not "none" or there is a
            ``skip``.

        Raises
        ------
        ValueError
            If an argument has another shape, type or device, or x is needed and not given.
        """
        f = self._inputs("f", f, self.width)
        if x is not None:
            x = self._inputs("x", x, self.dimension)
            if x.shape[:-1] != f.shape[:-1]:
                raise ValueError(
                    f"x must have the leading shape of f, {tuple(f.shape[:-1])}, "
                    f"got {tuple(x.shape[:-1])}"
                )
        elif self.normalisation != "none" or self.skip is not None:
            why = "a skip" if self.normalisation == "none" else f"{self.normalisation} of inputs"
            raise ValueError(f"x must be given: the reconstruction depends on it ({why})")
        if self.rescale_by_decoder_norm:
            f = f / folding.nonzero(self.decoder_norms)
        y = f @ self.decoder + self.decoder_bias
        if x is None:
            return y
        y = decoded(y, normalised(x, self.normalisation))
        return y if self.skip is None else y + x @ self.skip.T

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstructions of inputs of shape (..., d): ``decode(encode(x), x)``."""
        return self.decode(self.encode(x), x)

    def folded(self) -> PublishedSAE:
        """Return the same SAE with decoder rows of norm 1; reconstructions are unchanged.

        Encoder rows, biases and thresholds are multiplied by the norms, and so are activations
        (they stay what they are where ``rescale_by_decoder_norm`` is set, which ends). Rows of
        zeros stay as they are.

        Raises
        ------
        ValueError
            If the k largest are looked for among activations that are not rescaled, and the norms
            differ: other latents would be among the largest.
        """
        return folding.folded(self)

    def scaled(self, factor: float) -> PublishedSAE:
        """Return the SAE for raw inputs, given the constant its training multiplied them by.

        Activations of the new one on x are those of this one on factor * x (divided by factor where
        ``rescale_by_decoder_norm`` is set), and its reconstructions those divided by factor.

        Parameters
        ----------
        factor
            Greater than 0, such as SAELens's ``norm_scaling_factor``.

        Raises
        ------
        ValueError
            If the factor is out of range, or inputs are normalised one by one.
        """
        return folding.scaled(self, factor)

    def to(self, device: torch.device | str) -> PublishedSAE:
        """Return the SAE with all tensors on a device."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name in self.__dataclass_fields__
            if isinstance(value := getattr(self, name), torch.Tensor)
        }
        return replace(self, **moved)

    # ---- helpers --------------------------------------------------------------------------

    def _gated(self, x: torch.Tensor) -> torch.Tensor:
        assert self.magnitude_log_scale is not None  # checked when it was made
        assert self.magnitude_bias is not None
        z = x @ self.encoder.T
        magnitude = (z * self.magnitude_log_scale.exp() + self.magnitude_bias).relu()
        return magnitude * (z + self.encoder_bias > 0.0)

    def _largest(self, z: torch.Tensor) -> torch.Tensor:
        assert self.k is not None  # checked when it was made
        if self.rescale_by_decoder_norm:
            z = z * self.decoder_norms
        least = z.detach().topk(self.k, dim=-1).values[..., -1:]
        above, tied = z > least, z == least
        room = self.k - above.sum(-1, keepdim=True)
        if bool((tied.sum(-1, keepdim=True) > room).any()):
            tied = tied & (tied.cumsum(-1) <= room)
        return z.relu() * (above | tied)

    def _inputs(self, name: str, value: Any, last: int) -> torch.Tensor:
        """Return a tensor in the dtype of the weights, if it can be worked with."""
        if not (
            isinstance(value, torch.Tensor)
            and value.is_floating_point()
            and value.ndim >= 1
            and value.shape[-1] == last
        ):
            got = _fields.kind(value)
            raise ValueError(
                f"{name} must be a floating-point tensor of shape (..., {last}), got {got}"
            )
        if value.device != self.decoder.device:
            raise ValueError(
                f"{name} must be on the device of the SAE, {self.decoder.device}, "
                f"got {value.device}"
            )
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{name} must hold finite numbers only, got {_fields.kind(value)} with others"
            )
        return value.to(self.decoder.dtype)
