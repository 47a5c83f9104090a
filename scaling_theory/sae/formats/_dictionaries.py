"""The classes of dictionary_learning: which entries they have, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scaling_theory.sae.formats._errors import FormatError, shown
from scaling_theory.sae.formats._reading import Entries, one_dtype, setting, whole

_STANDARD = ("AutoEncoder", "AutoEncoderNew")
_BATCH, _MATRYOSHKA = "BatchTopKSAE", "MatryoshkaBatchTopKSAE"
_TOPK, _JUMPRELU, _GATED = "AutoEncoderTopK", "JumpReluAutoEncoder", "GatedAutoEncoder"

#: Names that ``trainer.dict_class`` may have.
CLASSES = (*_STANDARD, _TOPK, _BATCH, _MATRYOSHKA, _JUMPRELU, _GATED)

_LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight")
_PLAIN = ("W_enc", "b_enc", "W_dec", "b_dec")


def read(
    dict_class: str, entries: Entries, where: Path, trainer: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of a PublishedSAE, from the entries of a class and its configuration."""
    match dict_class:
        case "AutoEncoder" | "AutoEncoderNew":
            # the newer class, with a bias in its decoder, does not subtract it; names vary
            old = "bias" in entries
            bias = "bias" if old else "decoder.bias"
            entries.check((*_LINEAR, bias))
            tensors = _linear(entries, bias)
            rest: dict[str, Any] = {"activation": "relu", "apply_b_dec_to_input": old}
        case "AutoEncoderTopK":
            entries.check((*_LINEAR, "b_dec"), ("k", "threshold"))
            tensors = _linear(entries, "b_dec")
            k = entries.count("k") if "k" in entries else whole(where, "k", _k(where, trainer))
            rest = {"activation": "topk", "k": k, "apply_b_dec_to_input": True}
        case "BatchTopKSAE":
            entries.check((*_LINEAR, "b_dec", "threshold"), ("k",))
            tensors = _linear(entries, "b_dec")
            tensors["threshold"] = _one_threshold(entries, tensors["decoder"])
            rest = {"activation": "jumprelu", "apply_b_dec_to_input": True}
        case "MatryoshkaBatchTopKSAE":
            entries.check((*_PLAIN, "threshold"), ("k", "group_sizes"))
            tensors = _plain(entries)
            tensors["threshold"] = _one_threshold(entries, tensors["decoder"])
            _check_groups(entries, tensors["decoder"].shape[0])
            rest = {"activation": "jumprelu", "apply_b_dec_to_input": True}
        case "JumpReluAutoEncoder":
            entries.check((*_PLAIN, "threshold"))
            tensors = _plain(entries)
            tensors["threshold"] = entries.tensor("threshold", (tensors["decoder"].shape[0],))
            rest = {"activation": "jumprelu", "rescale_by_decoder_norm": True}
        case _:
            names = ("r_mag", "gate_bias", "mag_bias")
            entries.check(("decoder_bias", "encoder.weight", "decoder.weight", *names))
            tensors = _gated(entries)
            rest = {
                "activation": "gated",
                "apply_b_dec_to_input": True,
                "rescale_by_decoder_norm": True,
            }
    return {**one_dtype(tensors), **rest}


def _linear(entries: Entries, bias: str) -> dict[str, torch.Tensor]:
    encoder = entries.matrix("encoder.weight", "(latents, dimension)")
    n, d = encoder.shape
    return {
        "encoder": encoder,
        "encoder_bias": entries.tensor("encoder.bias", (n,)),
        "decoder": entries.tensor("decoder.weight", (d, n)).T,
        "decoder_bias": entries.tensor(bias, (d,)),
    }


def _plain(entries: Entries) -> dict[str, torch.Tensor]:
    decoder = entries.matrix("W_dec", "(latents, dimension)")
    n, d = decoder.shape
    return {
        "encoder": entries.tensor("W_enc", (d, n)).T,
        "encoder_bias": entries.tensor("b_enc", (n,)),
        "decoder": decoder,
        "decoder_bias": entries.tensor("b_dec", (d,)),
    }


def _gated(entries: Entries) -> dict[str, torch.Tensor]:
    encoder = entries.matrix("encoder.weight", "(latents, dimension)")
    n, d = encoder.shape
    return {
        "encoder": encoder,
        "encoder_bias": entries.tensor("gate_bias", (n,)),
        "decoder": entries.tensor("decoder.weight", (d, n)).T,
        "decoder_bias": entries.tensor("decoder_bias", (d,)),
        "magnitude_bias": entries.tensor("mag_bias", (n,)),
        "magnitude_log_scale": entries.tensor("r_mag", (n,)),
    }


def _one_threshold(entries: Entries, decoder: torch.Tensor) -> torch.Tensor:
    """One threshold for all latents; -1, the initial value, is without effect after the ReLU."""
    return entries.tensor("threshold", ()).expand(decoder.shape[0]).clone()


def _check_groups(entries: Entries, n: int) -> None:
    if "group_sizes" not in entries:
        return
    sizes = entries.value("group_sizes")
    found = sizes.tolist() if isinstance(sizes, torch.Tensor) else sizes
    whole_sizes = isinstance(found, list) and all(type(size) is int for size in found)
    if not whole_sizes or sum(found) != n:
        raise FormatError(f"{entries.file}: group_sizes must sum to {n}, got {shown(found)}")


def _k(where: Path, trainer: Mapping[str, Any]) -> Any:
    return setting(where, trainer, "k")
