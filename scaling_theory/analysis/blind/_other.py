"""Families that no optimal allocation has: what the verdict "not described" is tested on."""

from __future__ import annotations

import numpy as np

from scaling_theory._validate import Floats, Ints

#: Kinds of losses and of frequencies, taken in turn.
LOSSES = ("losses rise", "losses turn", "losses sigmoid")
FREQUENCIES = ("frequencies lognormal", "frequencies bimodal")


def strange_losses(kind: str, widths: Ints, rng: np.random.Generator) -> Floats:
    """Losses without errors that rise, fall and then rise, or fall in one step in ln N."""
    x = np.log(widths / widths[0])
    span = x[-1]
    if kind == "losses rise":
        return np.asarray(np.exp(rng.uniform(0.05, 0.3) * x))
    if kind == "losses turn":
        turn, slope = rng.uniform(0.3, 0.7) * span, rng.uniform(0.1, 0.4)
        return np.asarray(np.exp(slope * np.abs(x - turn)))
    middle, width = rng.uniform(0.4, 0.6) * span, rng.uniform(0.05, 0.1) * span
    low = rng.uniform(0.1, 0.5)
    return np.asarray(low + (1.0 - low) / (1.0 + np.exp((x - middle) / width)))


def strange_rates(kind: str, widths: Ints, rng: np.random.Generator) -> dict[int, Floats]:
    """Relative firing rates of each width's latents: lognormal, or of two kinds far apart.

    Their medians fall as a power of the width between 0 and 1.
    """
    fall, spread = rng.uniform(0.0, 1.0), rng.uniform(1.0, 2.5)
    share, apart, narrow = rng.uniform(0.2, 0.8), rng.uniform(4.0, 8.0), rng.uniform(0.2, 0.6)
    out = {}
    for n in widths.tolist():
        z = rng.standard_normal(n)
        log_rate = spread * z
        if kind == "frequencies bimodal":
            log_rate = narrow * z + apart * (rng.random(n) < share)
        out[n] = np.exp(log_rate) * n**-fall
    return out
