"""Gemma Scope: ``params.npz`` (or ``params.safetensors``), JumpReLU, decoder bias not subtracted.

Lieberum et al. (2024), section 2: f = z where z = W_enc x + b_enc is above the threshold, else 0.
Files of the residual stream's embedding take embeddings times sqrt(d), which no file says.
"""

from __future__ import annotations

from pathlib import Path

import torch

from scaling_theory.sae.formats._errors import FormatError
from scaling_theory.sae.formats._reading import (
    Entries,
    npz_entries,
    one_dtype,
    safetensors_entries,
)
from scaling_theory.sae.formats.published import PublishedSAE

FILES = ("params.npz", "params.safetensors")

_LOWER = {"w_enc": "W_enc", "w_dec": "W_dec"}
_NEEDED = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")


def read(path: Path) -> PublishedSAE:
    """Read ``params.npz``, or a folder that holds it."""
    file = path
    if path.is_dir():
        there = [path / name for name in FILES if (path / name).is_file()]
        if len(there) != 1:
            raise FormatError(f"{path} must hold one of {', '.join(FILES)}, got {len(there)}")
        file = there[0]
    opened = safetensors_entries if file.suffix == ".safetensors" else npz_entries
    with opened(file) as entries:
        return _read(entries.renamed(_LOWER), file)


def _read(entries: Entries, file: Path) -> PublishedSAE:
    entries.check(_NEEDED, ("scaling_factor",))
    decoder = entries.matrix("W_dec", "(latents, dimension)")
    n, d = decoder.shape
    if "scaling_factor" in entries:
        factor = entries.value("scaling_factor")
        if not (isinstance(factor, torch.Tensor) and bool((factor == 1).all())):
            raise FormatError(
                f"{file}: scaling_factor must be 1 everywhere: what others scale is not known"
            )
    tensors = one_dtype(
        {
            "encoder": entries.tensor("W_enc", (d, n)).T,
            "encoder_bias": entries.tensor("b_enc", (n,)),
            "decoder": decoder,
            "decoder_bias": entries.tensor("b_dec", (d,)),
            "threshold": entries.tensor("threshold", (n,)),
        }
    )
    return PublishedSAE(
        **tensors,  # type: ignore[arg-type]
        activation="jumprelu",
        name=_name(file.absolute().parent),
        format="gemma_scope",
        frequencies_note="Gemma Scope files hold no frequencies",
        source={"file": file.name},
    )


def _name(folder: Path) -> str:
    """Such as layer_20/width_16k/average_l0_71, where folders have that layout."""
    laid_out = folder.parent.name.startswith("width_")
    return "/".join(folder.parts[-3:]) if laid_out else folder.name
