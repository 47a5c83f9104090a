"""How often latents fire, by rank: slope, tail, noise, and what a slope would say of features.

What to use when:

- The slope between two ranks (``slope``, ``interval``) to compare with published ones or with the
  theory's ``LatentFrequencies.slope``. It says nothing of ranks outside.
- ``tail`` for the exponent of the most frequent latents by maximum likelihood, from an xmin that
  the data choose; ``goodness`` for whether they follow a power law at all.
- ``samples=``, the number of tokens that frequencies were counted on, whenever it is known:
  ``corrected`` is the slope without the noise of counting, and the tail is fitted to rates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting.frequencies._model import Interval
from scaling_theory.fitting.frequencies._sample import Kind, generator_of
from scaling_theory.fitting.frequencies.goodness import GoodnessOfFit, goodness_of_fit
from scaling_theory.fitting.frequencies.noise import CorrectedSlope, corrected_slope
from scaling_theory.fitting.frequencies.slope import RankSlope, rank_slope
from scaling_theory.fitting.frequencies.tail import TailFit, fit_tail

if TYPE_CHECKING:
    import pandas as pd

#: Ranks of the slope by default (Michaud, Gorton and McGrath 2025, Figure 4).
RANKS = (100, 10_000)
#: Below this p-value a curve is called bent.
BENT = 0.01

Status = Literal["ok", "flat", "bent", "noisy"]


@dataclass(frozen=True, eq=False, repr=False)
class FrequencyFit:
    """What the firing frequencies of latents say.

    Attributes
    ----------
    slope, interval : float, (float, float)
        d ln frequency / d ln rank between ``ranks`` by least squares on logarithmic axes, and its
        interval; see ``RankSlope``.
    by_rank : RankSlope
        The same by maximum likelihood, slopes of four stretches, and a test of straightness.
    corrected : CorrectedSlope or None
        The slope of the unseen rates; None without ``samples``, and where counts are too small or
        follow no power law.
    tail : TailFit
        Tail of the most frequent latents: of frequencies, or of counts if ``samples`` is given.
    goodness : GoodnessOfFit or None
        Of the tail; None for ``replicates=0``.
    ranks : (int, int)
        First and last rank of the slope.
    latents, alive, dead : int
        Number of frequencies; those above 0; those equal to 0.
    ties : float
        Share of the latents between ``ranks`` that share their frequency with another one.
    samples : int or None
    level : float
        Confidence level of the intervals.
    status : str
        "flat": the frequencies at both ranks are the same. Otherwise "noisy": the noise of counting
        moves the slope by more than half of the width of its interval, both by maximum likelihood
        (and bends the curve, so that a test of straightness says nothing); take ``corrected``.
        Otherwise "bent": a straight line is rejected at 0.01 (the interval holds for the slope of a
        straight law; other ranks have other slopes). Otherwise "ok".
    message : str
        The status in a sentence, with its numbers.
    """

    slope: float
    interval: Interval
    by_rank: RankSlope
    corrected: CorrectedSlope | None
    tail: TailFit
    goodness: GoodnessOfFit | None
    ranks: tuple[int, int]
    latents: int
    alive: int
    dead: int
    ties: float
    samples: int | None
    level: float
    status: Status
    message: str

    @property
    def p_value(self) -> float:
        """Of the tail's power law; nan for ``replicates=0``."""
        return math.nan if self.goodness is None else self.goodness.p_value

    @property
    def tail_begins(self) -> float:
        """The tail's xmin as a frequency."""
        return self.tail.xmin if self.tail.kind == "continuous" else self.tail.xmin / self._tokens

    @property
    def _tokens(self) -> int:
        return 1 if self.samples is None else self.samples

    def readings(self) -> pd.DataFrame:
        """State what the slope -s would say of features, read in two ways.

        - "one latent per feature": features have frequencies i^-(1+alpha), and latents are
          features: 1 + alpha = s.
        - "alpha = s": as Michaud, Gorton and McGrath (2025), appendix A.1, read it. Then the
          features' Zipf exponent is 1 + s, and latents, which are shallower, must share features.

        The corrected slope is read where there is one.

        Returns
        -------
        DataFrame
            reading, alpha, low, high (interval), zipf_exponent (1 + alpha), pathological_below (the
            beta below which an SAE on such features scales pathologically: alpha, or 0, that is
            never, for alpha <= 0).

        Notes
        -----
        ``theory.latents.gemma_scope_readings`` and ``compatible_exponents`` say which (alpha, beta)
        would make the latents of an optimal SAE look so.
        """
        import pandas as pd

        slope, (low, high) = self.slope, self.interval
        if self.corrected is not None:
            slope, (low, high) = self.corrected.slope, self.corrected.interval
        rows = []
        for reading, less in (("one latent per feature", 1.0), ("alpha = s", 0.0)):
            alpha = -slope - less
            row = {"reading": reading, "alpha": alpha, "low": -high - less, "high": -low - less}
            rows.append(row | {"zipf_exponent": 1.0 + alpha, "pathological_below": max(alpha, 0.0)})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"FrequencyFit(slope={self.slope:.4g} [{low:.4g}, {high:.4g}], ranks={self.ranks}, "
            f"tail exponent={self.tail.exponent:.4g}, p_value={self.p_value:.3g}, "
            f"dead={self.dead} of {self.latents}, status={self.status!r})"
        )


def fit_frequencies(
    freq: npt.ArrayLike,
    ranks: tuple[int, int] | None = None,
    *,
    kind: Kind | Literal["auto"] = "auto",
    samples: int | None = None,
    xmin: float | None = None,
    level: float = 0.95,
    replicates: int = 100,
    seed: int | np.random.Generator = 0,
    progress: bool = False,
) -> FrequencyFit:
    """Fit the rank-frequency curve of latents, and the tail of their frequencies.

    Parameters
    ----------
    freq : (m,) array_like
        Share of tokens on which each latent fires, in [0, 1], in any order. 0 is a dead latent.
    ranks : (int, int), optional
        First and last rank of the slope, 1 for the most frequent latent; the last one has to be
        alive. By default 100 to 10,000, as Michaud, Gorton and McGrath (2025), Figure 4, or to the
        last that is alive; from a tenth of the live latents if fewer than 1,000 are alive. The
        message says so where it is not 100 to 10,000.
    kind : {"auto", "continuous", "discrete", "poisson"}
        How the tail is fitted, see :func:`fit_tail`. "auto" takes "poisson" with ``samples`` and
        "continuous" without; the other two need ``samples``.
    samples : int, optional
        Number of tokens on which firing was counted: freq * samples are whole numbers.
    xmin : float, optional
        Frequency from which on the tail is fitted; None (the default) lets the data choose.
    level : float
        Confidence level of the intervals, in (0, 1).
    replicates : int
        Synthetic data sets for the tail's p-value; 0 for none.
    seed : int or numpy.random.Generator
        Of the p-value.
    progress : bool
        Whether to show a bar on standard error.

    Returns
    -------
    FrequencyFit

    Raises
    ------
    ValueError
        For frequencies outside [0, 1], fewer than two above 0, ranks beyond the latents that are
        alive, or frequencies that are not counts out of ``samples``.

    Notes
    -----
    Intervals take the frequencies as drawn from a law: they hold for another SAE of the kind. What
    one SAE's curve is between two ranks is known exactly, but for the noise of counting.
    """
    if samples is not None:
        samples = _validate.whole("samples", samples, low=1)
    freq = _validate.reals("freq", freq, low=0.0, high=1.0)
    level = _validate.real("level", level, low=0.0, high=1.0, low_open=True, high_open=True)
    number = _validate.whole("replicates", replicates, low=0)
    generator = generator_of(seed)
    if kind not in ("auto", "continuous", "discrete", "poisson"):
        raise ValueError(f"kind must be auto, continuous, discrete or poisson, got {kind!r}")
    chosen: Any = kind
    if kind == "auto":
        chosen = "continuous" if samples is None else "poisson"
    alive = np.sort(freq[freq > 0.0])[::-1]
    # counts first: a wrong number of samples is no matter of ranks
    counts = None if samples is None else _counts(alive, samples)
    if alive.size < 2:
        raise ValueError(
            f"freq must have at least 2 latents that fire, got {alive.size} of {freq.size}"
        )
    first, last = _default(int(alive.size)) if ranks is None else _window(ranks, int(alive.size))
    if chosen != "continuous" and counts is None:
        raise ValueError(f"samples must be given for kind={chosen!r}")

    by_rank = rank_slope(alive, first, last, level)
    corrected = None if counts is None else corrected_slope(counts, first, last, level)
    start = xmin
    if xmin is not None:
        start = _validate.real("xmin", xmin, low=0.0, low_open=True, high=1.0)
        if chosen != "continuous" and samples is not None:
            start = math.ceil(start * samples)
    values = alive if chosen == "continuous" or counts is None else counts
    tail = fit_tail(values, kind=chosen, xmin=start, level=level)
    goodness = goodness_of_fit(tail, number, generator, progress=progress) if number else None
    window = alive[first - 1 : last]
    _, sizes = np.unique(window, return_counts=True)
    status, message = _status(by_rank, corrected, (first, last))
    if ranks is None and (first, last) != RANKS:
        message += f" Ranks {first} to {last} are the default where {alive.size} latents fire."
    return FrequencyFit(
        slope=by_rank.slope,
        interval=by_rank.interval,
        by_rank=by_rank,
        corrected=corrected,
        tail=tail,
        goodness=goodness,
        ranks=(first, last),
        latents=int(freq.size),
        alive=int(alive.size),
        dead=int(freq.size - alive.size),
        ties=float(sizes[sizes > 1].sum() / window.size),
        samples=samples,
        level=level,
        status=status,
        message=message,
    )


def _default(alive: int) -> tuple[int, int]:
    """Return the ranks of the default: the last is alive, and the first well before it."""
    first, last = RANKS
    if alive < 10 * first:
        first = max(1, alive // 10)
    return first, min(last, alive)


def _window(ranks: Any, alive: int) -> tuple[int, int]:
    try:
        first, last = ranks
    except (TypeError, ValueError):
        raise ValueError(f"ranks must be a first and a last rank, got {ranks!r}") from None
    first = _validate.whole("ranks", first, low=1)
    last = _validate.whole("ranks", last, low=1)
    if not first < last <= alive:
        raise ValueError(
            f"ranks must rise and end at or before {alive}, the number of latents with a frequency "
            f"above 0, got ({first}, {last})"
        )
    return first, last


def _counts(alive: Floats, tokens: int) -> Floats:
    counts = alive * tokens
    whole = np.rint(counts)
    # room for frequencies in single precision, or with 1e-10 added before a logarithm
    bad = (np.abs(counts - whole) > 1e-2 + 1e-6 * counts) | (whole < 1.0)
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(
            "samples must make every frequency a whole count of at least 1, got "
            f"{float(alive[where]):.6g} * {tokens} = {float(counts[where]):.6g}"
        )
    return whole


def _status(
    by_rank: RankSlope, corrected: CorrectedSlope | None, ranks: tuple[int, int]
) -> tuple[Status, str]:
    low, high = by_rank.spacing_interval
    between = f"between ranks {ranks[0]} and {ranks[1]}"
    if by_rank.slope == 0.0:
        return "flat", f"The frequencies at both ranks are the same {between}."
    if corrected is not None and abs(corrected.bias) > 0.5 * (high - low):
        return (
            "noisy",
            f"Counting noise moves the slope {between} by {corrected.bias:.3g}; without it the "
            f"slope is {corrected.slope:.3g}.",
        )
    if by_rank.p_straight < BENT:
        steps = ", ".join(f"{slope:.3g}" for slope in by_rank.stretches["slope"])
        return (
            "bent",
            f"The curve is not straight {between}: its slopes are {steps} over stretches equal in "
            f"ln rank (p = {by_rank.p_straight:.2g}).",
        )
    return "ok", f"The curve is straight {between} as far as its frequencies tell."
