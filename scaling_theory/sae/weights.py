"""Weights of one SAE: named views of one flat array, which is what optimisers and stores handle."""

from __future__ import annotations

from collections.abc import Sequence
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
