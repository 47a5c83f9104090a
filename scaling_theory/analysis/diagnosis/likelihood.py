"""How well hypotheses explain what was seen: one log-likelihood for each kind of evidence.

Real SAEs differ from the model in ways that no noise describes. So each likelihood has a
discrepancy that it never believes to be smaller (``LOSS``, ``FREQUENCY``, ``CLOSE``), the size of
errors beyond that is unknown (Student's t, not normal), and points that err together count as
few (``FREE``). These numbers, ``POWER``, the prior and the definition of the regimes were
settled on families of ``analysis.blind`` of seeds 1000 and 0 to 3; what they are worth is judged
on those of seed 4 (``python -m scaling_theory.analysis blind``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.analysis.diagnosis.evidence import Close, Frequencies, Losses
from scaling_theory.analysis.diagnosis.model import Hypotheses

#: Errors of log loss, of log frequency and of shares of close neighbours that are never excluded.
LOSS, FREQUENCY, CLOSE = 0.01, 0.2, 0.12
#: Power with which evidence counts: less than 1, since the model leaves much out.
POWER = 0.6
#: Independent points that losses of many widths are worth at most.
FREE_LOSS = 10
#: Independent points that one curve of frequencies, one set of shares, is worth.
FREE, FREE_CLOSE = 4.0, 2.0

_FLOORS = np.geomspace(1.0, 4e-3, 18)  # 1 - floor/smallest loss


class Fitted(NamedTuple):
    """Log-likelihood of hypotheses, (J,), and their root mean square misfit, (J,)."""

    log_likelihood: Floats
    rms: Floats


class LossFit(NamedTuple):
    """As :class:`Fitted`, with the best floor and log scale of each hypothesis, (J,)."""

    log_likelihood: Floats
    rms: Floats
    floor: Floats
    log_scale: Floats


def of_losses(hypotheses: Hypotheses, seen: Losses) -> LossFit:
    """Loss = floor + scale * excess, floor and scale unknown; floors are equally likely."""
    log_e = hypotheses.excess(seen.widths)
    log_e = log_e - log_e[:, -1:]
    y = np.log(seen.losses)
    unit = float(seen.losses.min())
    m, free = y.size, min(y.size, FREE_LOSS)
    variance = LOSS**2 + (np.zeros(m) if seen.errors is None else seen.errors**2)
    weight = np.mean(variance) / variance
    density = -np.gradient(_FLOORS)
    logs, rss, scales = [], [], []
    for gap in _FLOORS:
        floor = unit * (1.0 - gap)
        scale = np.average(np.log(np.maximum(seen.losses - floor, 1e-9 * unit)) - log_e,
                           axis=1, weights=weight)  # fmt: skip
        for _ in range(4):
            term = np.exp(scale[:, None] + log_e)
            value = floor + term
            slope = term / value
            error = y - np.log(value)
            step = np.sum(weight * slope * error, axis=1)
            step /= np.maximum(np.sum(weight * slope**2, axis=1), 1e-12)
            scale = scale + np.clip(step, -3.0, 3.0)
        error = y - np.log(floor + np.exp(scale[:, None] + log_e))
        rss.append(np.sum(weight * error**2, axis=1))
        scales.append(scale)
        if seen.errors is None:  # size of the errors unknown, at least LOSS
            log = -0.5 * (free - 1) * np.log(rss[-1] / m + LOSS**2)
        else:  # known, but for a factor that may be larger than 1
            mean = rss[-1] / np.mean(variance) * free / m
            log = -0.5 * (free - 1 + 4.0) * np.log1p(mean / (4.0 + free))
        logs.append(log)
    table, squares = np.stack(logs), np.stack(rss)
    best = np.argmax(table, axis=0)
    rows = np.arange(best.size)
    top = table.max(axis=0)
    total = top + np.log(np.sum(density[:, None] * np.exp(table - top), axis=0))
    return LossFit(
        total,
        np.sqrt(squares[best, rows] / m),
        unit * (1.0 - _FLOORS[best]),
        np.stack(scales)[best, rows] - hypotheses.excess(seen.widths)[:, -1],
    )


def of_frequencies(hypotheses: Hypotheses, seen: Frequencies, curves: int = 1) -> Fitted:
    """Rank-frequency curve of one SAE, up to a constant factor; ``curves`` err together.

    Dead latents were never spent: the SAE is one of as many latents as fire.
    """
    log_f = hypotheses.cells(float(seen.alive)).log_frequencies(seen.fractions)
    error = seen.log_frequencies - log_f
    error = error - error.mean(axis=1, keepdims=True)
    mean = np.mean(error**2, axis=1)
    free = FREE / np.sqrt(curves)
    return Fitted(-0.5 * free * np.log(mean + FREQUENCY**2), np.sqrt(mean))


def of_close(hypotheses: Hypotheses, seen: Close, sets: int = 1) -> Fitted:
    """Shares of latents with a close neighbour at one width."""
    share = hypotheses.cells(float(seen.width)).share_closer(seen.cosines)
    mean = np.mean((share - seen.shares) ** 2, axis=1)
    free = FREE_CLOSE / np.sqrt(sets)
    return Fitted(-0.5 * free * (4.0 + 1.0) * np.log1p(mean / CLOSE**2 / 4.0), np.sqrt(mean))
