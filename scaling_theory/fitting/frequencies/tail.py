"""The exponent of a power-law tail by maximum likelihood, and where the tail begins.

What to use when:

- ``kind="continuous"`` for frequencies, sizes, any positive numbers; ``"discrete"`` for whole
  numbers that are themselves the quantity (word counts), with exact sums, which small xmin need;
  ``"poisson"`` for counts of events whose unseen *rates* follow the law, such as how often latents
  fired in a sample of tokens: the noise of the counts is part of the likelihood; ``"binned"`` for a
  histogram.
- ``xmin=None`` looks for the beginning of the tail; a number when it is known.
- ``xmax`` when the law is known to end there, not to leave out data that one dislikes.
- ``interval`` holds the exponent for this xmin; ``bootstrap=`` adds intervals that include the
  choice of xmin, and are wider.

Whether a power law fits at all is another question: ``goodness_of_fit`` and ``compare_tails``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._progress import track
from scaling_theory.fitting.frequencies._binned import Bins
from scaling_theory.fitting.frequencies._model import Interval, Likelihood, Rule, search
from scaling_theory.fitting.frequencies._sample import (
    KINDS,
    Kind,
    Sample,
    checked,
    generator_of,
)

#: Tails with fewer data say little (Clauset, Shalizi and Newman, 2009, section 3.5).
FEW = 50
#: Candidates by default where the likelihood has no short form.
_POISSON_CANDIDATES = 200


@dataclass(frozen=True, eq=False, repr=False)
class TailFit:
    """A fitted tail, density p(x) ~ x^-exponent for x in [xmin, xmax].

    Attributes
    ----------
    kind : {"continuous", "discrete", "poisson", "binned"}
        What x is; for "poisson", the rate behind a count.
    exponent : float
        Of the density. Greater than 1 unless there is an xmax.
    error : float
        Its standard error, from the observed information, xmin held.
    interval : (float, float)
        Profile-likelihood interval at ``level``, xmin held.
    rank_exponent : float
        1 / (exponent - 1), the s of x ~ rank^-s; nan where the exponent is at most 1.
    rank_interval : (float, float)
        ``interval`` in terms of s; an end that belongs to an exponent of at most 1 is inf.
    bootstrap_intervals : dict of str to (float, float)
        Percentile intervals of "exponent", "xmin" and "tail" over resampled data, xmin chosen anew
        in each; empty without ``bootstrap``.
    xmin, xmax : float
        Where the tail begins and ends; xmax is ``inf`` for a tail without end. In units of x; for
        "poisson" they are counts.
    tail, total : int
        Number of data from xmin on; of all data (up to xmax).
    distance : float
        Kolmogorov-Smirnov: the largest gap between the cumulative shares of the tail's data and of
        the law.
    log_likelihood : float
        Of the tail's data. For "binned", less the multinomial constant.
    level : float
        Confidence level of the intervals.
    candidates : int
        Number of xmin that were tried.
    thinned : bool
        Whether some of the distinct values were not tried.
    status : str
        "small tail": fewer than 50 data in the tail. Otherwise "ok".
    message : str
        The status in a sentence, with its numbers.
    data : Sample or Bins
        What was fitted, sorted.
    rule : Rule
        How xmin was chosen.
    """

    kind: Kind
    exponent: float
    error: float
    interval: Interval
    rank_exponent: float
    rank_interval: Interval
    bootstrap_intervals: dict[str, Interval]
    xmin: float
    xmax: float
    tail: int
    total: int
    distance: float
    log_likelihood: float
    level: float
    candidates: int
    thinned: bool
    status: Literal["ok", "small tail"]
    message: str
    data: Sample | Bins
    rule: Rule

    def summary(self) -> dict[str, Any]:
        """Return the fit as one row of a table."""
        names = ("kind", "exponent", "error", "rank_exponent", "xmin", "xmax", "tail", "total",
                 "distance", "log_likelihood", "level", "candidates", "thinned")  # fmt: skip
        row = {name: getattr(self, name) for name in names}
        row["exponent_low"], row["exponent_high"] = self.interval
        row["rank_exponent_low"], row["rank_exponent_high"] = self.rank_interval
        return row | {"status": self.status, "message": self.message}

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"TailFit(exponent={self.exponent:.5g} [{low:.5g}, {high:.5g}], xmin={self.xmin:g}, "
            f"tail={self.tail} of {self.total}, distance={self.distance:.3g}, kind={self.kind!r}, "
            f"status={self.status!r})"
        )


def fit_tail(
    values: npt.ArrayLike,
    *,
    kind: Kind = "continuous",
    xmin: float | None = None,
    xmax: float | None = None,
    edges: npt.ArrayLike | None = None,
    candidates: int | npt.ArrayLike | None = None,
    level: float = 0.95,
    bootstrap: int = 0,
    seed: int | np.random.Generator = 0,
    progress: bool = False,
) -> TailFit:
    """Fit a power law to the tail of data by maximum likelihood.

    Parameters
    ----------
    values : (m,) array_like
        Positive numbers in any order; whole ones of at least 1 for "discrete" and "poisson". For
        "binned", the count in each of m bins, at least 0.
    kind : {"continuous", "discrete", "poisson", "binned"}
        See above. "poisson" takes the law to go on to rates well below xmin (by several square
        roots of it), of which the data below xmin say whether it is so.
    xmin : float, optional
        Where the tail begins. None (the default) takes the candidate with the smallest
        Kolmogorov-Smirnov distance.
    xmax : float, optional
        Where the law ends. Data above are not used. For "binned", the last edge; not for
        "poisson".
    edges : (m + 1,) array_like
        For "binned" only: positive, increasing; the last may be inf. Without xmax the law goes on
        beyond a finite last edge, and no datum lies there. xmin is the edge at or above the given
        one.
    candidates : int or array_like, optional
        At most so many distinct values, evenly spaced in the logarithm of the tail's size, or
        these xmin. None (the default) tries every distinct value that leaves two of them; for
        "poisson" at most 200. Not with xmin. Not for "binned", where every edge is tried.
    level : float
        Confidence level of the intervals, in (0, 1).
    bootstrap : int
        Number of resampled data for ``bootstrap_intervals``.
    seed : int or numpy.random.Generator
        Of the bootstrap.
    progress : bool
        Whether to show a bar for the bootstrap on standard error.

    Returns
    -------
    TailFit

    Raises
    ------
    ValueError
        For input outside the ranges above, or where no xmin leaves two distinct values (or bins).

    Notes
    -----
    Clauset, Shalizi and Newman, SIAM Review 51, 661 (2009): equation 3.1 (continuous), 3.5 without
    the approximation (discrete), section 3.3 (xmin). Virkar and Clauset, Annals of Applied
    Statistics 8, 89 (2014), equation 3.3 (binned). The distance is the supremum over all x, from
    either side of each datum. "poisson": counts of rates that follow rate^-a have probabilities
    Gamma(k + 1 - a) / Gamma(k + 1), whose sum from k on is Gamma(k + 1 - a) / Gamma(k) / (a - 1);
    derived here.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    level = _validate.real("level", level, low=0.0, high=1.0, low_open=True, high_open=True)
    replicates = _validate.whole("bootstrap", bootstrap, low=0)
    generator = generator_of(seed)
    data = _bins(values, edges, xmax) if kind == "binned" else _sample(values, kind, edges, xmax)
    top = math.inf if xmax is None else float(xmax)
    rule = _rule(kind, top, xmin, candidates)
    found = search(data, rule)
    if found is None:
        what = "bins that are not empty" if kind == "binned" else "distinct values"
        where = "" if rule.given is None else " at or above xmin"
        raise ValueError(f"values must hold at least two {what}{where}, got fewer")

    likelihood = Likelihood(data, kind, found.place, found.xmin, top)
    interval = likelihood.interval(found.exponent, level)
    laws = list(_resampled(data, rule, replicates, generator, progress))
    tail = likelihood.tail
    possible = found.tried if isinstance(data, Bins) else data.values.size - 1
    return TailFit(
        kind=kind,
        exponent=found.exponent,
        error=likelihood.error(found.exponent),
        interval=interval,
        rank_exponent=_rank(found.exponent, math.nan),
        rank_interval=(_rank(interval[1], math.inf), _rank(interval[0], math.inf)),
        bootstrap_intervals=_percentiles(laws, level),
        xmin=found.xmin,
        xmax=top,
        tail=tail,
        total=data.size,
        distance=found.distance,
        log_likelihood=likelihood(found.exponent),
        level=level,
        candidates=found.tried,
        thinned=xmin is None and found.tried < possible,
        status="small tail" if tail < FEW else "ok",
        message=_message(tail, data.size, found.xmin, found.tried, xmin is None),
        data=data,
        rule=rule,
    )


def _sample(values: Any, kind: str, edges: Any, xmax: Any) -> Sample:
    if edges is not None:
        raise ValueError(f'edges is for kind="binned" only, got kind={kind!r}')
    sample = Sample.of(checked(values, kind))
    if xmax is None:
        return sample
    if kind == "poisson":
        raise ValueError(f'xmax must not be given for kind="poisson", got {xmax!r}')
    top = _validate.real("xmax", xmax, low=0.0, low_open=True)
    if kind == "discrete":
        top = float(_validate.whole("xmax", xmax, low=2))
    sample = sample.up_to(top)
    if sample.values.size < 2:
        raise ValueError(f"xmax must leave at least two distinct values, got {xmax!r}")
    return sample


def _bins(values: Any, edges: Any, xmax: Any) -> Bins:
    counts = _validate.wholes("values", values, low=0)
    if edges is None:
        raise ValueError('edges must be given for kind="binned"')
    ends = np.array(edges, dtype=np.float64)
    last = ends[-1:] if ends.ndim == 1 else ends
    if ends.ndim == 1 and last.size and math.isinf(float(last[0])) and last[0] > 0.0:
        inner = _validate.reals("edges", ends[:-1], low=0.0, low_open=True)
    else:
        inner = _validate.reals("edges", ends, low=0.0, low_open=True)
    if ends.size != counts.size + 1 or (np.diff(inner) <= 0.0).any():
        raise ValueError(
            f"edges must increase, one more than the {counts.size} bins, got {ends.size} edges"
        )
    if xmax is not None and float(xmax) != float(last[0]):
        raise ValueError(f"xmax must be the last edge, {float(last[0]):g}, got {xmax!r}")
    if xmax is None and math.isfinite(float(last[0])):  # a law without end, and nothing beyond
        ends, counts = np.append(ends, math.inf), np.append(counts, 0)
    return Bins(ends, counts, math.inf if xmax is None else float(xmax))


def _rule(kind: str, top: float, xmin: Any, candidates: Any) -> Rule:
    if xmin is not None:
        if candidates is not None:
            raise ValueError("candidates must not be given together with xmin")
        start = _validate.real("xmin", xmin, low=0.0, low_open=True, high=top, high_open=True)
        if kind in ("discrete", "poisson"):
            start = float(_validate.whole("xmin", xmin, low=1))
        return Rule(kind, top, None, np.array([start]))
    if candidates is None:
        return Rule(kind, top, _POISSON_CANDIDATES if kind == "poisson" else None, None)
    if kind == "binned":
        raise ValueError('candidates must not be given for kind="binned": every edge is tried')
    if np.ndim(candidates) == 0:
        return Rule(kind, top, _validate.whole("candidates", candidates, low=1), None)
    if kind == "continuous":
        given = _validate.reals("candidates", candidates, low=0.0, low_open=True)
    else:
        given = _validate.wholes("candidates", candidates, low=1).astype(np.float64)
    return Rule(kind, top, None, np.unique(given))


def _resampled(
    data: Sample | Bins, rule: Rule, number: int, generator: np.random.Generator, progress: bool
) -> Iterator[tuple[float, float, float]]:
    """Fit resampled data; those with no candidate left (all equal) are drawn again."""
    for _ in track(range(number), "bootstrap", number, enabled=progress):
        found, again = None, data
        while found is None:
            if isinstance(data, Bins):
                counts = generator.multinomial(data.size, data.counts / data.size)
                again = Bins(data.edges, counts.astype(np.int64), data.top)
            else:
                again = data.resampled(generator)
            found = search(again, rule)
        tail = Likelihood(again, rule.kind, found.place, found.xmin, rule.top).tail
        yield found.exponent, found.xmin, float(tail)


def _percentiles(laws: list[tuple[float, float, float]], level: float) -> dict[str, Interval]:
    if not laws:
        return {}
    ends = np.quantile(np.array(laws), [0.5 - level / 2.0, 0.5 + level / 2.0], axis=0)
    return {
        name: (float(ends[0, i]), float(ends[1, i]))
        for i, name in enumerate(("exponent", "xmin", "tail"))
    }


def _rank(exponent: float, otherwise: float) -> float:
    return 1.0 / (exponent - 1.0) if exponent > 1.0 else otherwise


def _message(tail: int, total: int, xmin: float, tried: int, searched: bool) -> str:
    where = f"the best of {tried} candidates" if searched else "as given"
    begins = f"The tail begins at {xmin:g} ({where}) and holds {tail} of {total} data"
    return begins + (f": fewer than {FEW} say little." if tail < FEW else ".")
