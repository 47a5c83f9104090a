"""OpenAI's ``.pt`` files (Gao et al. 2024): ReLU, or TopK of inputs with layer normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scaling_theory.sae.formats._errors import FormatError
from scaling_theory.sae.formats._reading import (
    Entries,
    entries_of,
    one_dtype,
    setting,
    torch_entries,
)
from scaling_theory.sae.formats.published import PublishedSAE

#: An entry that no other ``.pt`` format has.
MARK = "pre_bias"

_NEEDED = ("pre_bias", "latent_bias", "encoder.weight", "decoder.weight")
_STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
_OPTIONAL = (*_STATISTICS, "activation", "activation_state_dict")


def read(path: Path) -> PublishedSAE:
    """Read a ``.pt`` file."""
    if path.is_dir():
        raise FormatError(f"{path} must be a .pt file, got a folder")
    return read_entries(torch_entries(path))


def read_entries(entries: Entries) -> PublishedSAE:
    """Read the entries of a ``.pt`` file."""
    entries.check(_NEEDED, _OPTIONAL)
    file = entries.file
    encoder = entries.matrix("encoder.weight", "(latents, dimension)")
    n, d = encoder.shape
    frequencies, note = _frequencies(entries, n)
    tensors = one_dtype(
        {
            "encoder": encoder,
            "encoder_bias": entries.tensor("latent_bias", (n,)),
            "decoder": entries.tensor("decoder.weight", (d, n)).T,
            "decoder_bias": entries.tensor("pre_bias", (d,)),
            "frequencies": frequencies,
        }
    )
    said = {"activation": entries.value("activation") if "activation" in entries else "ReLU"}
    kind = setting(file, said, "activation", "ReLU", "TopK")
    k = _k(entries, file) if kind == "TopK" else None
    return PublishedSAE(
        **tensors,  # type: ignore[arg-type]
        activation="relu" if k is None else "topk",
        k=k,
        apply_b_dec_to_input=True,
        # the released code ties the two: TopK files are of normalised inputs, ReLU files are not
        normalisation="none" if k is None else "layer_norm",
        frequencies_note=note,
        name=file.stem,
        format="openai",
        source={"file": file.name, **said},
    )


def _k(entries: Entries, file: Path) -> int:
    stored: Any = (
        entries.value("activation_state_dict") if "activation_state_dict" in entries else None
    )
    state = entries_of(file, stored, "activation_state_dict")
    state.check(("k", "postact_fn"))
    content: Mapping[str, Any] = {"postact_fn": state.value("postact_fn")}
    setting(file, content, "postact_fn", "ReLU")
    return state.count("k")


def _frequencies(entries: Entries, n: int) -> tuple[torch.Tensor | None, str]:
    """The statistic of training, unless it was never updated or is no frequency."""
    name = "latents_activation_frequency"
    if name not in entries:
        return None, f"the file has no {name}"
    found = entries.tensor(name, (n,))
    low, high = float(found.min()), float(found.max())
    if low == high == 1.0:
        return None, f"{name} is 1 everywhere: its initial value, never updated"
    if low < 0.0 or high > 1.0:
        return None, f"{name} is from {low:g} to {high:g}: not a share of inputs"
    return found, f"{name}, a statistic of OpenAI's training code"
