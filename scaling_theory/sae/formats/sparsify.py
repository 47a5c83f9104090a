"""sparsify (EleutherAI): ``sae.safetensors`` and ``cfg.json``; TopK SAEs and transcoders.

The decoder bias is subtracted from inputs, unless it is a transcoder's, whose decoder is of another
place in the model. A skip adds W_skip x, of the input as it came.
"""

from __future__ import annotations

from pathlib import Path

from scaling_theory.sae.formats._errors import FormatError
from scaling_theory.sae.formats._reading import (
    Entries,
    one_dtype,
    read_json,
    safetensors_entries,
    same_size,
    setting,
    whole,
)
from scaling_theory.sae.formats.published import PublishedSAE

WEIGHTS, CONFIG = "sae.safetensors", "cfg.json"

_NEEDED = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")


def read(path: Path) -> PublishedSAE:
    """Read a folder, or its weights with the configuration beside them."""
    folder = path if path.is_dir() else path.parent
    with safetensors_entries(folder / WEIGHTS) as entries:
        return _read(entries, folder)


def _read(entries: Entries, folder: Path) -> PublishedSAE:
    entries.check(_NEEDED, ("W_skip",))
    encoder = entries.matrix("encoder.weight", "(latents, dimension)")
    n, d = encoder.shape
    file = folder / CONFIG
    config = read_json(file)
    same_size(file, "d_in", setting(file, config, "d_in"), d, entries.file)
    if config.get("num_latents"):  # 0 where the width follows from expansion_factor
        same_size(file, "num_latents", config["num_latents"], n, entries.file)
    defaults = {"activation": "topk", "signed": False, "transcode": False, "skip_connection": False}
    said = {**defaults, **config}
    # groupmax takes the largest of each of k groups, signed the largest in absolute value
    setting(file, said, "activation", "topk")
    setting(file, said, "signed", False)
    transcode = setting(file, said, "transcode", False, True)
    skip = setting(file, said, "skip_connection", False, True)
    if skip != ("W_skip" in entries):
        raise FormatError(
            f"{file}: skip_connection must say whether {WEIGHTS} holds W_skip, got {skip!r}"
        )
    tensors = one_dtype(
        {
            "encoder": encoder,
            "encoder_bias": entries.tensor("encoder.bias", (n,)),
            "decoder": entries.tensor("W_dec", (n, d)),
            "decoder_bias": entries.tensor("b_dec", (d,)),
            "skip": entries.tensor("W_skip", (d, d)) if skip else None,
        }
    )
    return PublishedSAE(
        **tensors,  # type: ignore[arg-type]
        activation="topk",
        k=whole(file, "k", setting(file, config, "k")),
        apply_b_dec_to_input=not transcode,
        frequencies_note="sparsify files hold no frequencies",
        name=folder.absolute().name,
        format="sparsify",
        source={"config": config},
        message="a transcoder: reconstructs another place of the model" if transcode else "",
    )
