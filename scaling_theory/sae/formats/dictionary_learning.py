"""dictionary_learning (Marks, Karvonen and Mueller): ``ae.pt``, with ``config.json`` beside it.

JumpReLU and gated SAEs multiply activations by decoder norms; BatchTopK and Matryoshka SAEs fire
above one threshold; TopK ignores its own. A file that was saved during training may be a dictionary
``{step, ae, optimizer, config, norm_factor}``: its weights are for inputs divided by
``norm_factor``, and biases and thresholds are multiplied by it here, as the project does at the
end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scaling_theory.sae.formats import _dictionaries
from scaling_theory.sae.formats._errors import FormatError, names_shown, shown
from scaling_theory.sae.formats._reading import (
    Entries,
    entries_of,
    read_json,
    setting,
    torch_entries,
)
from scaling_theory.sae.formats.published import PublishedSAE

WEIGHTS, CONFIG = "ae.pt", "config.json"

#: Entries of a file that holds more than the weights.
_RUN = ("step", "ae", "optimizer", "config", "norm_factor")


def read(path: Path) -> PublishedSAE:
    """Read a folder, or a ``.pt`` file with the configuration beside it or one folder up."""
    return read_entries(torch_entries(path / WEIGHTS if path.is_dir() else path))


def read_entries(entries: Entries) -> PublishedSAE:
    """Read the entries of a ``.pt`` file."""
    file, run = entries.file, None
    if "ae" in entries:
        entries.check(("ae",), _RUN)
        run = entries
        entries = entries_of(file, run.value("ae"), "ae")
    where, config = _config(file, run)
    trainer = config.get("trainer", config)
    if not isinstance(trainer, Mapping):
        raise FormatError(f"{where}: trainer must be an object, got a {type(trainer).__name__}")
    if "dict_class" not in trainer:
        raise FormatError(
            f"{where} must say in trainer.dict_class what {file.name} holds, "
            f"got {names_shown(map(repr, trainer)) or 'nothing'}"
        )
    dict_class = setting(where, trainer, "dict_class", *_dictionaries.CLASSES)
    factor, message = _factor(file, run)
    fields = _dictionaries.read(dict_class, entries, where, trainer)
    if factor != 1.0:
        for name in ("encoder_bias", "decoder_bias", "threshold", "magnitude_bias"):
            value = fields.get(name)
            if isinstance(value, torch.Tensor):
                # an unset threshold, -1, stays below 0
                fields[name] = value * factor
    if fields["activation"] == "jumprelu" and bool((fields["threshold"] < 0.0).all()):
        fields["status"] = "threshold_unset"
        unset = "no threshold was estimated yet: every positive pre-activation fires"
        message = f"{message}; {unset}" if message else unset
    return PublishedSAE(
        **fields,
        frequencies_note="dictionary_learning files hold no frequencies",
        name=file.absolute().parent.name,
        format="dictionary_learning",
        source={"file": file.name, "config": dict(config)},
        message=message,
    )


def _config(file: Path, run: Entries | None) -> tuple[Path, Mapping[str, Any]]:
    """The configuration, and the file that it is in."""
    if run is not None and "config" in run:
        config = run.value("config")
        if isinstance(config, Mapping):
            return file, config
    for folder in (file.parent, file.absolute().parent.parent):
        if (folder / CONFIG).is_file():
            return folder / CONFIG, read_json(folder / CONFIG)
    raise FormatError(
        f"{file} needs {CONFIG} beside it: the weights alone do not tell TopK from BatchTopK"
    )


def _factor(file: Path, run: Entries | None) -> tuple[float, str]:
    """What biases are to be multiplied by, and what to say about it."""
    if run is None:
        return 1.0, ""
    if "norm_factor" not in run or run.value("norm_factor") is None:
        return 1.0, "saved during training" if "optimizer" in run else ""
    value = run.value("norm_factor")
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if type(value) not in (int, float) or not 0.0 < value < math.inf:
        got = shown(value)
        raise FormatError(f"{file}: norm_factor must be a number greater than 0, got {got}")
    factor = float(value)
    if "optimizer" not in run:
        return 1.0, f"norm_factor {factor:g} was folded in when the file was saved"
    return factor, f"saved during training; norm_factor {factor:g} is folded into the biases"
