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

#: Oldest compute capability, and oldest Triton, that the kernels are meant for.
_CAPABILITY = (8, 0)
_TRITON = (3, 7)
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
        return _unloadable("interpreted")
    if device.type != "cuda":
        return (
            f"the device is {device}, not cuda (TRITON_INTERPRET=1 in the environment runs them "
            "anywhere, slowly)"
        )
    if not torch.cuda.is_available() or torch.version.hip is not None:
        return "PyTorch has no GPU of NVIDIA's here"
    if device.index is not None and device.index >= (count := torch.cuda.device_count()):
        return f"the device is {device}, and PyTorch has {count} of NVIDIA's GPUs here, from 0 on"
    if torch.cuda.get_device_capability(device) < _CAPABILITY:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    return _unloadable("compiled") or _asleep()


@cache
def _unloadable(how: str) -> str | None:
    """What keeps the installed Triton from loading the kernels; asked once a process."""
    try:
        _import_triton()
        version = str(importlib.import_module("triton").__version__)
        if tuple(int(part) for part in version.split(".")[:2]) < _TRITON:
            return (
                f"Triton {version} is older than 3.7 (a PyTorch that comes with a newer one, or "
                "pip install 'triton>=3.7,<3.8')"
            )
        _load(how)
    except Exception as error:  # of an installation all kinds of things may be broken
        return f"Triton can't load the kernels (pip install 'triton>=3.7,<3.8'): {error!r}"
    return None


@cache
def _asleep() -> str | None:
    """What keeps Triton from starting on a GPU; asked once a process.

    It compiles a small extension of Python for that, when first used on a machine.
    """
    try:
        importlib.import_module("triton.runtime").driver.active.utils  # noqa: B018
    except Exception as error:  # no compiler, no headers, no driver: each of its own kind
        return (
            "Triton can't start; it needs a C compiler (gcc, clang, or CC=...) and Python.h "
            f"(package python3-dev): {error!r}"
        )
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
