"""SAELens folders: ``sae_weights.safetensors``, ``cfg.json``, perhaps ``sparsity.safetensors``.

Configurations of version 6 and of earlier ones are read. Activations are those of SAELens's
inference classes; BatchTopK and Matryoshka SAEs are saved by it as JumpReLU. With
``reshape_activations="hook_z"`` inputs are the heads' outputs side by side, (..., heads * d_head).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scaling_theory.sae.formats._errors import FormatError, shown
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

WEIGHTS, CONFIG, SPARSITY = "sae_weights.safetensors", "cfg.json", "sparsity.safetensors"

#: Activation of a PublishedSAE for each architecture of SAELens that is read.
ACTIVATIONS = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu", "gated": "gated"}

#: What is added to a frequency before its logarithm is stored.
EPS = 1e-10

_ENTRIES: dict[str, tuple[str, ...]] = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
#: Training on inputs times a constant, which SAELens keeps elsewhere.
_SCALED = "expected_average_only_in"
_NOTE = "SAELens's sparsity.safetensors: over the last window of training only, so dead is noisy"


def read(path: Path) -> PublishedSAE:
    """Read a folder, or its weights with the configuration beside them."""
    folder = path if path.is_dir() else path.parent
    file = folder / CONFIG
    stored = read_json(file)
    config = _of_version_6(file, stored)
    architecture = setting(file, config, "architecture", *ACTIVATIONS)
    with safetensors_entries(folder / WEIGHTS) as entries:
        fields = _tensors(entries, file, config, architecture)
    n = fields["decoder"].shape[0]
    metadata = config["metadata"]
    frequencies, note = _frequencies(folder / SPARSITY, n, metadata)
    how = setting(
        file, config, "normalize_activations",
        "none", "layer_norm", "constant_norm_rescale", _SCALED,
    )  # fmt: skip
    scaled = how == _SCALED
    name = metadata.get("name") or metadata.get("hook_name") or folder.absolute().name
    return PublishedSAE(
        **one_dtype({**fields, "frequencies": frequencies}),  # type: ignore[arg-type]
        activation=ACTIVATIONS[architecture],
        k=whole(file, "k", setting(file, config, "k")) if architecture == "topk" else None,
        apply_b_dec_to_input=setting(file, config, "apply_b_dec_to_input", True, False),
        normalisation="none" if scaled else how,
        rescale_by_decoder_norm=architecture == "topk"
        and setting(file, config, "rescale_acts_by_decoder_norm", True, False),
        frequencies_note=note,
        name=str(name),
        format="saelens",
        source={"config": stored},
        status="input_scale_unknown" if scaled else "exact",
        message=_message(file, config, scaled),
    )


def _of_version_6(file: Path, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration under the names and with the defaults of version 6."""
    metadata = stored.get("metadata", {})
    if not isinstance(metadata, Mapping):
        raise FormatError(f"{file}: metadata must be an object, got {shown(metadata)}")
    version = str(stored.get("sae_lens_version") or metadata.get("sae_lens_version") or "0")
    major = re.match(r"v?([0-9]{1,6})(?![0-9])", version)
    if major is None:
        got = shown(version)
        raise FormatError(f"{file}: sae_lens_version must begin with a number, got {got}")
    config = {
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "rescale_acts_by_decoder_norm": False,
        **stored,
    }
    if int(major[1]) >= 6:
        return {"reshape_activations": "none", **config, "metadata": metadata}
    hook = stored.get("hook_name", stored.get("hook_point", ""))
    activation = stored.get("activation_fn", stored.get("activation_fn_str", "relu"))
    said = {"activation_fn": activation}
    setting(file, said, "activation_fn", "relu", "topk")
    config = {
        "architecture": "standard",
        "reshape_activations": "hook_z" if "hook_z" in str(hook) else "none",
        **config,
        "metadata": {**metadata, "hook_name": hook, "sae_lens_version": version},
    }
    if activation == "topk":
        arguments = stored.get("activation_fn_kwargs") or {}
        if not isinstance(arguments, Mapping):
            got = shown(arguments)
            raise FormatError(f"{file}: activation_fn_kwargs must be an object, got {got}")
        config |= {"architecture": "topk", **({"k": arguments["k"]} if "k" in arguments else {})}
    # a flag in early versions
    normalise = config["normalize_activations"]
    if normalise is None or isinstance(normalise, bool):
        config["normalize_activations"] = _SCALED if normalise else "none"
    return config


def _tensors(
    entries: Entries, file: Path, config: Mapping[str, Any], architecture: str
) -> dict[str, torch.Tensor]:
    own = _ENTRIES[architecture]
    entries.check(("W_enc", "W_dec", "b_dec", *own), ("scaling_factor",))
    decoder = entries.matrix("W_dec", "(d_sae, d_in)")
    n, d = decoder.shape
    same_size(file, "d_in", setting(file, config, "d_in"), d, entries.file)
    same_size(file, "d_sae", setting(file, config, "d_sae"), n, entries.file)
    each = {name: entries.tensor(name, (n,)) for name in own}
    out = {
        "encoder": entries.tensor("W_enc", (d, n)).T,
        "encoder_bias": each["b_gate" if architecture == "gated" else "b_enc"],
        "decoder": _scaled(entries, config, decoder),
        "decoder_bias": entries.tensor("b_dec", (d,)),
    }
    if architecture == "jumprelu":
        out["threshold"] = each["threshold"]
    if architecture == "gated":
        out |= {"magnitude_bias": each["b_mag"], "magnitude_log_scale": each["r_mag"]}
    return out


def _scaled(entries: Entries, config: Mapping[str, Any], decoder: torch.Tensor) -> torch.Tensor:
    """Fold the factors of fine-tuned activations, of versions before 6, into the decoder."""
    if "scaling_factor" not in entries:
        return decoder
    factor = entries.tensor("scaling_factor", (decoder.shape[0],))
    if bool((factor == 1.0).all()):
        return decoder
    if config.get("finetuning_scaling_factor") is not True:
        raise FormatError(
            f"{entries.file}: scaling_factor must be 1 everywhere unless finetuning_scaling_factor "
            f"is true in {CONFIG}, got {shown(config.get('finetuning_scaling_factor'))}"
        )
    return decoder * factor[:, None]


def _frequencies(
    file: Path, n: int, metadata: Mapping[str, Any]
) -> tuple[torch.Tensor | None, str]:
    """Frequencies of their stored logarithms, log10(f + 1e-10)."""
    if not file.is_file():
        return None, f"there is no {SPARSITY}"
    with safetensors_entries(file) as entries:
        entries.check(("sparsity",))
        log = entries.tensor("sparsity", (n,)).double()
        eps = torch.finfo(entries.value("sparsity").dtype).eps
    shifted = 10.0**log
    # rounding of the logarithm as it was stored
    error = shifted * 2.3026 * log.abs().clamp(min=1.0) * eps
    frequencies = shifted - EPS
    wrong = (frequencies < -error) | (frequencies > 1.0 + error)
    if bool(wrong.any()):
        where = int(wrong.nonzero()[0])
        raise FormatError(
            f"{file}: sparsity must be log10(frequency + 1e-10), from -10 to 0, "
            f"got sparsity[{where}] = {float(log[where]):g}"
        )
    frequencies[frequencies <= error] = 0.0
    note = metadata.get("frequencies_note")
    return frequencies.clamp(max=1.0).float(), str(note) if note else _NOTE


def _message(file: Path, config: Mapping[str, Any], scaled: bool) -> str:
    shape = setting(file, config, "reshape_activations", "none", "hook_z")
    said = []
    if scaled:
        said.append(
            "trained on inputs times a constant, which the files do not hold: give inputs times "
            "it, or fold it in with scaled(factor)"
        )
    if shape == "hook_z":
        said.append("inputs are heads side by side, (..., heads * d_head)")
    return "; ".join(said)
