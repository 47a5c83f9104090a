"""One text for one specification: its hash, its random numbers and its row rest on it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

#: Metadata of a field that came later: left out of the text while it has its default, so that
#: texts and hashes from before stay what they were.
LATER: Final = MappingProxyType({"later": True})


def canonical(value: Any) -> Any:
    """Return a value as what JSON holds: dataclasses by class name and public fields.

    A field with the metadata :data:`LATER` is left out where it is its default.

    Raises
    ------
    ValueError
        If it holds anything else than dataclasses, numbers, text, None, arrays and tuples.
    """
    if is_dataclass(value) and not isinstance(value, type):
        named = {"kind": type(value).__name__}
        for field in fields(value):
            if not field.name.startswith("_"):
                own = canonical(getattr(value, field.name))
                if not (field.metadata.get("later") and own == canonical(field.default)):
                    named[field.name] = own
        return named
    if isinstance(value, np.ndarray):
        return canonical(value.tolist())  # a number, if it has no dimensions
    if isinstance(value, np.generic):
        return canonical(value.item())
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [canonical(v) for v in value]
    if isinstance(value, float):
        return value + 0.0  # one zero
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ValueError(
        f"a specification must hold dataclasses, numbers, text, None, arrays and tuples only, "
        f"got {value!r}"
    )


def text_of(value: Any) -> str:
    """Return the canonical JSON text of a value; floats are written so that they come back."""
    return json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def seed_of(*parts: Any) -> int:
    """Return a seed in [0, 2^63) from the SHA-256 of the parts."""
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
