"""Which further measurement would decide: expected information about the regime.

The posterior is asked: each of a few draws from it makes the measurement up, with its noise, and
the others are weighed by it. Mean loss of entropy about the
regime is what the measurement is worth, in nats; ln 2 would settle an even case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.analysis.diagnosis import likelihood
from scaling_theory.analysis.diagnosis.evidence import Close, Frequencies, Losses
from scaling_theory.analysis.diagnosis.model import MOST_LATENTS, Hypotheses
from scaling_theory.analysis.diagnosis.prior import shows
from scaling_theory.analysis.diagnosis.result import CALL

if TYPE_CHECKING:
    import pandas as pd

_JUDGED, _MADE = 1024, 96
#: Noise of a made-up loss (relative).
_NOISE = 0.01


def further(
    hypotheses: Hypotheses,
    weights: Floats,
    fit: likelihood.LossFit | None,
    losses: Losses | None,
    rates: list[Frequencies],
    close: list[Close],
    width: float,
) -> pd.DataFrame:
    """Rank the measurements that were not made by what they would tell."""
    import pandas as pd

    g = np.random.default_rng(0)
    some = g.choice(weights.size, _JUDGED, p=weights)
    made = g.choice(_JUDGED, _MADE, replace=False)
    kept = hypotheses.take(some)
    is_so = shows(kept, width)
    rows: list[tuple[str, float, float]] = []
    for name, predict in _measurements(kept, some, fit, losses, rates, close, width):
        seen, scale, free = predict()
        noise = scale * np.sqrt(seen.shape[1] / free) * g.standard_normal((_MADE, seen.shape[1]))
        error = seen[None, :, :] - (seen[made] + noise)[:, None, :]
        log = -0.5 * likelihood.POWER * free * np.mean(error**2, axis=2) / scale**2
        log[np.arange(_MADE), made] = -np.inf  # the truth is not among the hypotheses
        w = np.exp(log - log.max(axis=1, keepdims=True))
        now = float(is_so.mean())
        after = (w @ is_so) / w.sum(axis=1)
        gain = float(_entropy(now) - np.mean(_entropy(after)))
        decides = float(np.mean((after > CALL) | (after < 1.0 - CALL)))
        rows.append((name, max(gain, 0.0), decides))
    rows.sort(key=lambda row: -row[1])
    return pd.DataFrame(rows, columns=["measurement", "information", "decides"])


def _measurements(
    kept: Hypotheses,
    some: np.ndarray,
    fit: likelihood.LossFit | None,
    losses: Losses | None,
    rates: list[Frequencies],
    close: list[Close],
    width: float,
) -> list[tuple[str, Callable[[], tuple[Floats, float, float]]]]:
    """Name of each, and what the draws predict for it: (J, k), its noise, its free points."""
    fractions = np.geomspace(0.01, 0.9, 12)

    def frequencies(at: float) -> Callable[[], tuple[Floats, float, float]]:
        def predict() -> tuple[Floats, float, float]:
            log_f = kept.cells(at).log_frequencies(fractions)
            return log_f - log_f.mean(axis=1, keepdims=True), 0.25, likelihood.FREE

        return predict

    def neighbours(at: float) -> Callable[[], tuple[Floats, float, float]]:
        def predict() -> tuple[Floats, float, float]:
            cosines = np.array([0.8, 0.9, 0.95])
            share = kept.cells(at).share_closer(cosines)
            return share, 2.0 * likelihood.CLOSE, likelihood.FREE_CLOSE

        return predict

    def loss(at: float) -> Callable[[], tuple[Floats, float, float]]:
        def predict() -> tuple[Floats, float, float]:
            assert fit is not None
            log_e = kept.excess(np.array([at]))[:, 0] + fit.log_scale[some]
            return np.log(fit.floor[some] + np.exp(log_e))[:, None], _NOISE, 1.0

        return predict

    out: list[tuple[str, Callable[[], tuple[Floats, float, float]]]] = []
    text = f"{width:,.0f}"
    if all(seen.width < width for seen in rates):
        out.append((f"firing frequencies at N = {text}", frequencies(width)))
    if all(seen.width < width for seen in close):
        out.append((f"decoder at N = {text}", neighbours(width)))
    if fit is None and losses is None:
        return out
    for factor in (4.0, 16.0, 64.0):
        if width * factor <= MOST_LATENTS:
            out.append((f"loss at N = {width * factor:,.0f}", loss(width * factor)))
    wide = 16.0 * width
    if wide <= MOST_LATENTS:
        out.append((f"firing frequencies at N = {wide:,.0f}", frequencies(wide)))
    return out


def _entropy(p: Floats | float) -> Floats:
    p = np.clip(p, 1e-12, 1.0 - 1e-12)
    return np.asarray(-p * np.log(p) - (1.0 - p) * np.log1p(-p))
