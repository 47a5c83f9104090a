"""The same SAE with other weights: decoder norms or a constant of the inputs folded in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from scaling_theory import _validate

if TYPE_CHECKING:
    from scaling_theory.sae.formats.published import PublishedSAE

#: Norms of decoder rows that differ by less than this share are equal to rounding.
_EQUAL_NORMS = 1e-6


def folded(sae: PublishedSAE) -> PublishedSAE:
    """Return the SAE with decoder rows of norm 1: see :meth:`PublishedSAE.folded`."""
    norms = sae.decoder_norms
    if sae.activation == "topk" and not sae.rescale_by_decoder_norm:
        low, high = float(norms.min()), float(norms.max())
        if high - low > _EQUAL_NORMS * high:
            raise ValueError(
                "a topk SAE can be folded only where decoder norms are equal (or activations "
                f"are rescaled by them), got norms from {low:g} to {high:g}: other latents "
                "would be among the k largest"
            )
        # one factor for all: the order of pre-activations must not change
        norms = norms.mean().expand(sae.width)
    divisor = nonzero(norms)
    # a row of zeros has activations of 0 if they are rescaled, and keeps them if they are not
    factor = norms if sae.rescale_by_decoder_norm else divisor
    changed: dict[str, Any] = {
        name: getattr(sae, name) * factor
        for name in ("encoder_bias", "threshold", "magnitude_bias")
        if getattr(sae, name) is not None
    }
    return replace(
        sae,
        encoder=sae.encoder * factor[:, None],
        decoder=sae.decoder / divisor[:, None],
        rescale_by_decoder_norm=False,
        **changed,
    )


def scaled(sae: PublishedSAE, factor: float) -> PublishedSAE:
    """Return the SAE for inputs that are not scaled: see :meth:`PublishedSAE.scaled`."""
    factor = _validate.real("factor", factor, low=0.0, low_open=True)
    if sae.normalisation != "none":
        raise ValueError(
            f"an SAE with normalisation={sae.normalisation!r} can't be scaled: its inputs "
            "are normalised one by one"
        )
    known = sae.status == "input_scale_unknown"
    return replace(
        sae,
        encoder=sae.encoder * factor,
        decoder=sae.decoder / factor,
        decoder_bias=sae.decoder_bias / factor,
        status="exact" if known else sae.status,
        message=f"folded for inputs times {factor:g}" if known else sae.message,
    )


def nonzero(norms: torch.Tensor) -> torch.Tensor:
    """Norms to divide by: a row of zeros is not changed."""
    return torch.where(norms > 0.0, norms, 1.0)
