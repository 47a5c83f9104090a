"""Checks of what a PublishedSAE is made of; shapes, types and devices go together or it is none."""

from __future__ import annotations

from typing import Any

import torch

from scaling_theory import _validate

ACTIVATIONS = ("relu", "topk", "jumprelu", "gated")
NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")
STATUSES = ("exact", "input_scale_unknown", "threshold_unset")

#: Activation that needs a field; no other may have it.
_NEEDED_BY = {
    "k": "topk",
    "threshold": "jumprelu",
    "magnitude_bias": "gated",
    "magnitude_log_scale": "gated",
}


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are to be set again, or raise ValueError."""
    for name, allowed in (
        ("activation", ACTIVATIONS),
        ("normalisation", NORMALISATIONS),
        ("status", STATUSES),
    ):
        if values[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {values[name]!r}")
    for name in ("apply_b_dec_to_input", "rescale_by_decoder_norm"):
        if type(values[name]) is not bool:
            raise ValueError(f"{name} must be True or False, got {values[name]!r}")
    for name, activation in _NEEDED_BY.items():
        if (values[name] is not None) != (values["activation"] == activation):
            raise ValueError(
                f"{name} must be given for activation={activation!r} and for no other, got "
                f"{kind(values[name])} for activation={values['activation']!r}"
            )
    decoder = values["decoder"]
    if not (isinstance(decoder, torch.Tensor) and decoder.ndim == 2 and 0 not in decoder.shape):
        raise ValueError(f"decoder must be a tensor of shape (n, d), got {kind(decoder)}")
    n, d = decoder.shape
    if values["normalisation"] == "layer_norm" and d < 2:
        raise ValueError(f"layer_norm needs a dimension of at least 2, got {d}")
    shapes = {
        "decoder": (n, d),
        "encoder": (n, d),
        "encoder_bias": (n,),
        "decoder_bias": (d,),
        "threshold": (n,),
        "magnitude_bias": (n,),
        "magnitude_log_scale": (n,),
        "skip": (d, d),
        "frequencies": (n,),
    }
    for name, shape in shapes.items():
        if values[name] is not None or name in ("encoder", "encoder_bias", "decoder_bias"):
            _check_tensor(name, values[name], shape, decoder)
    frequencies = values["frequencies"]
    if frequencies is not None and not bool(((frequencies >= 0) & (frequencies <= 1)).all()):
        raise ValueError(
            "frequencies must be in [0, 1], got values from "
            f"{float(frequencies.min()):g} to {float(frequencies.max()):g}"
        )
    out: dict[str, Any] = {"source": dict(values["source"])}
    for name in shapes:
        if values[name] is not None:
            # products round as memory lies: the same weights must give the same numbers
            out[name] = values[name].contiguous()
    if values["k"] is not None:
        out["k"] = _validate.whole("k", values["k"], low=1, high=n)
    return out


def _check_tensor(name: str, value: Any, shape: tuple[int, ...], beside: torch.Tensor) -> None:
    if not isinstance(value, torch.Tensor) or tuple(value.shape) != shape:
        raise ValueError(
            f"{name} must be a tensor of shape {shape} beside a decoder of shape "
            f"{tuple(beside.shape)}, got {kind(value)}"
        )
    if value.dtype not in (torch.float32, torch.float64) or value.dtype != beside.dtype:
        raise ValueError(
            f"{name} must be of float32 or float64, and of one dtype with the decoder "
            f"({beside.dtype}), got {kind(value)}"
        )
    if value.device != beside.device:
        raise ValueError(
            f"{name} must be on the device of the decoder, {beside.device}, got {value.device}"
        )
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name} must hold finite numbers only, got {kind(value)} with others")


def kind(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, torch.Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"
