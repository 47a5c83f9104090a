"""Could the data have come from the fitted tail? A p-value by simulation.

Clauset, Shalizi and Newman, SIAM Review 51, 661 (2009), section 4: synthetic data follow the fitted
law from xmin on and are resampled below it; each set is fitted like the data, xmin included, and
the p-value is the share of sets that lie further from their own fit than the data do from theirs.
A small p-value speaks against the law; a large one does not prove it, least of all for few data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaling_theory import _validate
from scaling_theory._progress import track
from scaling_theory._validate import Floats
from scaling_theory.fitting.frequencies._binned import Bins
from scaling_theory.fitting.frequencies._model import search
from scaling_theory.fitting.frequencies._sample import CODES, Sample, generator_of
from scaling_theory.fitting.frequencies.tail import TailFit

#: Below this p-value a law is taken to be ruled out (Clauset and others, section 4.1).
RULED_OUT = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class GoodnessOfFit:
    """How far synthetic data lie from their fits.

    Attributes
    ----------
    p_value : float
        Share of ``distances`` that are at least ``distance``.
    error : float
        Standard error of the p-value that comes from the number of replicates,
        sqrt(p (1 - p) / replicates), with p moved off 0 and 1 by half a replicate.
    distance : float
        Kolmogorov-Smirnov distance of the data.
    distances : (replicates,) floats
        Those of the synthetic data, in the order drawn.
    replicates : int
    status : str
        "ruled out" for a p-value below 0.1, otherwise "not ruled out".
    message : str
        The status in a sentence.
    """

    p_value: float
    error: float
    distance: float
    distances: Floats
    replicates: int
    status: Literal["ruled out", "not ruled out"]
    message: str

    def __repr__(self) -> str:
        return (
            f"GoodnessOfFit(p_value={self.p_value:.3g} +- {self.error:.2g}, "
            f"replicates={self.replicates}, status={self.status!r})"
        )


def goodness_of_fit(
    tail: TailFit,
    replicates: int = 1000,
    seed: int | np.random.Generator = 0,
    *,
    progress: bool = False,
) -> GoodnessOfFit:
    """Return the p-value of a fitted tail by semi-parametric bootstrap.

    Parameters
    ----------
    tail : TailFit
        What :func:`fit_tail` returned; synthetic data are fitted with the same rule for xmin.
    replicates : int
        Number of synthetic data sets: 1/4 e^-2 for a standard error of at most e.
    seed : int or numpy.random.Generator
        An int gives the same p-value every time.
    progress : bool
        Whether to show a bar on standard error.

    Returns
    -------
    GoodnessOfFit

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    if not isinstance(tail, TailFit):
        raise ValueError(f"tail must be a TailFit, as fit_tail returns it, got {tail!r}")
    number = _validate.whole("replicates", replicates, low=1)
    generator = generator_of(seed)
    distances = np.empty(number)
    for i in track(range(number), "goodness of fit", number, enabled=progress):
        found = None
        while found is None:  # all data equal, or none from a given xmin on: no law to compare
            found = search(synthetic(tail, generator), tail.rule)
        distances[i] = found.distance
    distances.flags.writeable = False
    p = float(np.mean(distances >= tail.distance))
    inner = min(max(p, 0.5 / number), 1.0 - 0.5 / number)
    error = math.sqrt(inner * (1.0 - inner) / number)
    out = p < RULED_OUT
    further = f"{p:.3g} of {number} synthetic data sets lie further from their fits than the data"
    verdict = "the law is not what made the data" if out else "the data do not speak against it"
    return GoodnessOfFit(
        p_value=p,
        error=error,
        distance=tail.distance,
        distances=distances,
        replicates=number,
        status="ruled out" if out else "not ruled out",
        message=f"{further}: {verdict}.",
    )


def draw_tail(tail: TailFit, size: int, generator: np.random.Generator) -> Floats:
    """Draw from the fitted law, (size,) floats; whole ones where the law is on whole numbers.

    By inversion, one uniform number a draw. Not for "binned" tails, whose draws are counts.
    """
    shares = 1.0 - generator.random(size)  # (0, 1]
    if tail.kind == "continuous":
        return _continuous(tail, shares)
    from scaling_theory.fitting.frequencies import _search

    out = np.empty(size)
    _search.draw(CODES[tail.kind], tail.exponent, tail.xmin, tail.xmax, shares, out)
    return out


def synthetic(tail: TailFit, generator: np.random.Generator) -> Sample | Bins:
    """Draw one data set: the law from xmin on, the data's own values below it."""
    data = tail.data
    if isinstance(data, Bins):
        return _synthetic_bins(data, tail, generator)
    begin = int(np.searchsorted(data.values, tail.xmin))
    size = int(generator.binomial(tail.total, tail.tail / tail.total))
    drawn = Sample.of(draw_tail(tail, size, generator)) if size else None
    body = _resampled(data.counts[:begin], tail.total - size, generator)
    kept = np.flatnonzero(body)
    values, counts = [data.values[:begin][kept]], [body[kept]]
    if drawn is not None:
        values, counts = [*values, drawn.values], [*counts, drawn.counts]
    return Sample.of(np.concatenate(values), np.concatenate(counts).astype(np.int64))


def _synthetic_bins(data: Bins, tail: TailFit, generator: np.random.Generator) -> Bins:
    begin = int(np.searchsorted(data.edges, tail.xmin))
    size = int(generator.binomial(tail.total, tail.tail / tail.total))
    shares = np.exp(data.masses(tail.exponent, begin)[0])
    drawn = generator.multinomial(size, shares / shares.sum())
    body = _resampled(data.counts[:begin], tail.total - size, generator)
    return Bins(data.edges, np.concatenate([body, drawn]).astype(np.int64), data.top)


def _resampled(counts: Any, size: int, generator: np.random.Generator) -> Any:
    """Counts of ``size`` data drawn with replacement from data with these counts."""
    if size == 0:
        return np.zeros(counts.size, dtype=np.int64)
    return generator.multinomial(size, counts / counts.sum())


def _continuous(tail: TailFit, shares: Floats) -> Floats:
    b = tail.exponent - 1.0
    if tail.xmax == math.inf:
        with np.errstate(over="ignore"):
            drawn = tail.xmin * shares ** (-1.0 / b)
    else:
        span = math.log(tail.xmax / tail.xmin)
        u = b * span
        if abs(u) < 1e-12:
            drawn = tail.xmin * np.exp(span * (1.0 - shares))
        else:
            drawn = tail.xmin * np.exp(-np.log1p((1.0 - shares) * math.expm1(-u)) / b)
    # neither rounding nor the range of floats may put a draw outside the law
    return np.asarray(np.clip(drawn, tail.xmin, min(tail.xmax, np.finfo(np.float64).max)))
