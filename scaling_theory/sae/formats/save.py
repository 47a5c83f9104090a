"""``save_sae``: a folder in SAELens's layout of version 6."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from scaling_theory.sae.formats.published import PublishedSAE
from scaling_theory.sae.formats.saelens import ACTIVATIONS, CONFIG, EPS, SPARSITY, WEIGHTS

#: The layout that is written: the first version that has it.
_VERSION = "6.0.0"


def save_sae(sae: PublishedSAE, folder: str | os.PathLike[str]) -> Path:
    """Write an SAE as SAELens does, for it and :func:`load_sae` to read.

    What is read back encodes and decodes bit for bit as ``sae``; frequencies come back to the
    rounding of their float32 logarithms.

    Parameters
    ----------
    sae
        Any that SAELens has: without skip, and with activations rescaled by decoder norms only for
        topk (:meth:`PublishedSAE.folded` gives others without).
    folder
        Is made if it is not there; must not hold an SAE.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If SAELens has no such SAE.
    FileExistsError
        If the folder holds one of the files.
    """
    config = _config(sae)
    folder = Path(folder)
    there = [name for name in (WEIGHTS, CONFIG, SPARSITY) if (folder / name).exists()]
    if there:
        raise FileExistsError(f"folder must not hold an SAE, got {', '.join(there)} in {folder}")
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(_tensors(sae), folder / WEIGHTS)
    if sae.frequencies is not None:
        log = torch.log10(sae.frequencies.detach().cpu().double() + EPS).float()
        save_file({"sparsity": log}, folder / SPARSITY)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def _config(sae: PublishedSAE) -> dict[str, Any]:
    if sae.skip is not None:
        raise ValueError("sae must have no skip: a SAELens SAE has none")
    if sae.rescale_by_decoder_norm and sae.activation != "topk":
        raise ValueError(
            f"sae must not rescale activations by decoder norms: a SAELens {sae.activation} SAE "
            "does not; save sae.folded(), which has the same activations"
        )
    architecture = next(a for a, activation in ACTIVATIONS.items() if activation == sae.activation)
    unknown = sae.status == "input_scale_unknown"
    config: dict[str, Any] = {
        "architecture": architecture,
        "d_in": sae.dimension,
        "d_sae": sae.width,
        "dtype": str(sae.decoder.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "normalize_activations": "expected_average_only_in" if unknown else sae.normalisation,
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": _VERSION,
            "name": sae.name,
            "original_format": sae.format,
            "frequencies_note": sae.frequencies_note,
        },
    }
    if sae.activation == "topk":
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": sae.rescale_by_decoder_norm}
    return config


def _tensors(sae: PublishedSAE) -> dict[str, torch.Tensor]:
    named: dict[str, torch.Tensor | None] = {
        "W_enc": sae.encoder.T,
        "W_dec": sae.decoder,
        "b_gate" if sae.activation == "gated" else "b_enc": sae.encoder_bias,
        "b_dec": sae.decoder_bias,
        "threshold": sae.threshold,
        "b_mag": sae.magnitude_bias,
        "r_mag": sae.magnitude_log_scale,
    }
    # tensors that share memory are refused by safetensors
    return {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in named.items()
        if tensor is not None
    }
