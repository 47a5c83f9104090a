"""A repr that names the parameters and does not print arrays."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np


def compact(value: Any) -> str:
    """Repr of a dataclass, with arrays as their length and without private fields."""
    parts = []
    for item in fields(value):
        entry = getattr(value, item.name)
        if item.name.startswith("_") or entry is None:
            continue
        shown = f"<{entry.size} values>" if isinstance(entry, np.ndarray) else repr(entry)
        parts.append(f"{item.name}={shown}")
    return f"{type(value).__name__}({', '.join(parts)})"
