"""What is done to each input before encoding, and undone after decoding."""

from __future__ import annotations

import torch

#: Added to the standard deviation in encoding, not in decoding: as in OpenAI's code and SAELens.
_EPS = 1e-5

#: Normalised inputs, and the scale and shift that undo it; None where nothing is to be undone.
Normalised = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]


def normalised(x: torch.Tensor, how: str) -> Normalised:
    """Normalise inputs of shape (..., d)."""
    match how:
        case "layer_norm":
            mean = x.mean(-1, keepdim=True)
            centred = x - mean
            deviation = centred.std(-1, keepdim=True)
            return centred / (deviation + _EPS), deviation, mean
        case "constant_norm_rescale":
            norms = x.norm(dim=-1, keepdim=True)
            if bool((norms == 0.0).any()):
                raise ValueError(
                    "x must have no rows of zeros: normalisation='constant_norm_rescale' divides "
                    "by their norms"
                )
            scale = norms / x.shape[-1] ** 0.5
            return x / scale, scale, None
        case _:
            return x, None, None


def decoded(y: torch.Tensor, of: Normalised) -> torch.Tensor:
    """Undo in reconstructions what was done to the inputs."""
    _, scale, shift = of
    if scale is not None:
        y = y * scale
    return y if shift is None else y + shift
