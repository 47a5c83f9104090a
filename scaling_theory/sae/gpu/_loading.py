"""Whether the kernels can run here, and the kernels."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

#: Oldest compute capability that the kernels are meant for.
_CAPABILITY = (8, 0)
_KERNELS = {
    "selection": ("largest", "threshold"),
    "forward": ("forward", "residual"),
    "backward": ("backward",),
    "update": ("update", "finish"),
}


def interpreting() -> bool:
    """Whether TRITON_INTERPRET asks for Triton's interpreter, which needs no GPU and is slow."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def missing(device: torch.device) -> str | None:
    """Return what the kernels lack to run on a device, or None if nothing."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install 'scaling-theory[gpu]', on Linux)"
    if interpreting():
        return None
    if device.type != "cuda":
        return (
            f"the device is {device}, not cuda (TRITON_INTERPRET=1 in the environment runs them "
            "anywhere, slowly)"
        )
    if not torch.cuda.is_available() or torch.version.hip is not None:
        return "PyTorch has no GPU of NVIDIA's here"
    if torch.cuda.get_device_capability(device) < _CAPABILITY:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    return None


def load() -> Any:
    """Return the kernels by name, compiled, or interpreted if the environment asks for that now."""
    return _load("interpreted" if interpreting() else "compiled")


def _import_triton() -> None:
    """Import Triton as for a GPU: what it holds itself would else be of no use to compile with."""
    asked = os.environ.pop("TRITON_INTERPRET", None)
    try:
        importlib.import_module("triton.language")
    finally:
        if asked is not None:
            os.environ["TRITON_INTERPRET"] = asked


@cache
def _load(how: str) -> Any:
    """Import the kernels once for each way: a decorator makes a function one or the other."""
    _import_triton()
    folder, all_ = Path(__file__).with_name("kernels"), {}
    for name, functions in _KERNELS.items():
        full = f"{__package__}.kernels.{name}_{how}"
        found = importlib.util.spec_from_file_location(full, folder / f"{name}.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[full] = module  # where Triton looks a function's module up
        found.loader.exec_module(module)
        all_.update({function: getattr(module, function) for function in functions})
    return SimpleNamespace(**all_)
