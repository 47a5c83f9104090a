"""An assertion that python -O keeps, and that says what was seen."""

from __future__ import annotations

from typing import Any

import numpy as np


def require(condition: Any, claim: str, **seen: Any) -> None:
    """Raise AssertionError with the claim and the values seen, unless the condition holds.

    Of arrays, all conditions must hold, and the values at the first that does not are shown.
    """
    holds = np.atleast_1d(np.asarray(condition, dtype=bool))
    if holds.all():
        return
    at = int(np.argmin(holds.ravel()))
    shown = []
    for name, value in seen.items():
        values = np.asarray(value)
        one = values.ravel()[at] if values.size == holds.size else value
        shown.append(f"{name}={one.item() if isinstance(one, np.generic) else one!r}")
    raise AssertionError(f"{claim}; got {', '.join(shown)}" if shown else claim)
