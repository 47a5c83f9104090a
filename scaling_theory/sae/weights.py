"""Weights of one SAE: named views of one flat array, which is what optimisers and stores handle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch


@final
class Weights:
    """Encoder, decoder, biases and per-latent extras of an SAE with n latents on d dimensions.

    Parameters
    ----------
    width
        Number of latents n.
    dimension
        Input dimension d.
    extra
        Names of further parameters, one value a latent (``threshold`` of JumpReLU).
    flat
        Values to use, of shape (n (2 d + 1 + len(extra)) + d,); zeros by default.
    device, dtype
        Of the zeros.

    Attributes
    ----------
    flat : (size,)
        All values; the others are views of it.
    encoder : (n, d)
    encoder_bias : (n,)
    decoder : (n, d)
    decoder_bias : (d,)
    extra : dict of (n,)
    """

    def __init__(
        self,
        width: int,
        dimension: int,
        extra: Sequence[str] = (),
        flat: torch.Tensor | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        n, d = width, dimension
        shapes: list[tuple[int, ...]] = [(n, d), (n,), (n, d), (d,), *((n,) for _ in extra)]
        sizes = [torch.Size(s).numel() for s in shapes]
        if flat is None:
            flat = torch.zeros(sum(sizes), device=device, dtype=dtype)
        elif flat.shape != (sum(sizes),):
            raise ValueError(
                f"flat must have shape ({sum(sizes)},) for width {n} and dimension {d}, "
                f"got {tuple(flat.shape)}"
            )
        parts = torch.split(flat, sizes)
        views = [v.view(s) for v, s in zip(parts, shapes, strict=True)]
        self.width, self.dimension, self.flat = n, d, flat
        self.encoder, self.encoder_bias, self.decoder, self.decoder_bias = views[:4]
        self.extra = dict(zip(extra, views[4:], strict=True))

    @classmethod
    def from_named(cls, named: Mapping[str, torch.Tensor]) -> Weights:
        """Weights from tensors by name, as a store keeps them (copied).

        Parameters
        ----------
        named
            ``encoder``, ``encoder_bias``, ``decoder``, ``decoder_bias``, and ``threshold``,
            ``log_scale`` and ``magnitude_bias`` if there are such. What else a store keeps, such as
            ``frequencies``, is left out.

        Raises
        ------
        ValueError
            If one is missing, or shapes do not go together.
        """
        for name in ("encoder", "encoder_bias", "decoder", "decoder_bias"):
            if name not in named:
                raise ValueError(f"named must hold {name!r}, got {sorted(named)}")
        width, dimension = named["decoder"].shape
        extra = tuple(n for n in ("threshold", "log_scale", "magnitude_bias") if n in named)
        new = cls(width, dimension, extra, dtype=named["decoder"].dtype)
        for name, values in new.named().items():
            if values.shape != named[name].shape:
                raise ValueError(
                    f"{name} must have shape {tuple(values.shape)} beside a decoder of shape "
                    f"{(width, dimension)}, got {tuple(named[name].shape)}"
                )
            values.copy_(named[name])
        return new

    def like(self, flat: torch.Tensor | None = None) -> Weights:
        """Weights of the same shape over other values, zeros by default."""
        if flat is None:
            flat = torch.zeros_like(self.flat)
        return Weights(self.width, self.dimension, tuple(self.extra), flat)

    def named(self) -> dict[str, torch.Tensor]:
        """Each parameter under its name; views."""
        return {
            "encoder": self.encoder,
            "encoder_bias": self.encoder_bias,
            "decoder": self.decoder,
            "decoder_bias": self.decoder_bias,
            **self.extra,
        }
