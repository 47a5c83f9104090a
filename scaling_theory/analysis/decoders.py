"""Nearest neighbours of the rows of a decoder, beside what unrelated directions would show.

- :func:`decoder_neighbours`: the distribution of nearest-neighbour cosines (Michaud, Gorton and
  McGrath 2025, Figures 7 and 8) and two baselines: even directions, in closed form, and directions
  with the decoder's own offset and covariance, drawn.
- Which baseline: the second. Rows of real decoders share dimensions, so that nearly all of them
  exceed the first. The first is right for toy decoders, and where a manifold holds nearly all of
  the rows, because the second then takes the manifold for a preference.
- :func:`~scaling_theory.analysis.tiling.tiling_share` makes a number with an interval of it,
  :func:`~scaling_theory.analysis.duplicates.near_duplicates` a table of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._repr import compact
from scaling_theory._validate import Floats, Ints
from scaling_theory.analysis._rows import UnitRows, long_track, nearest_two, pieces, rates
from scaling_theory.analysis.anisotropic import draw_directions
from scaling_theory.analysis.directions import (
    Directions,
    RandomDirections,
    SampledDirections,
    ks_distance,
)

if TYPE_CHECKING:
    import pandas as pd

Baseline = Literal["isotropic", "anisotropic"]
Status = Literal["all rows", "sampled", "interrupted"]


@final
@dataclass(frozen=True)
class Comparison:
    """Nearest-neighbour cosines of a decoder against a baseline.

    Attributes
    ----------
    baseline : str
        "isotropic" or "anisotropic".
    quantile : float
        Of the baseline, at which rows are counted.
    threshold : float
        Cosine at that quantile.
    share_above, expected_above : float
        Share of the rows above it, and of the baseline.
    ks : float
        Kolmogorov-Smirnov distance: the largest difference of the two cumulative distributions.
        Rows are each other's neighbours, so no p-value goes with it.
    excess : float
        Mean cosine of the rows minus that of the baseline.
    """

    baseline: Baseline
    quantile: float
    threshold: float
    share_above: float
    expected_above: float
    ks: float
    excess: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class DecoderNeighbours:
    """Nearest other row of the rows of a decoder.

    Attributes
    ----------
    rows : (q,) int64
        The rows that were asked after, ascending.
    cosine : (q,) floats
        Cosine with the nearest other row that counts, in [-1, 1].
    nearest : (q,) int64
        Index of that row.
    second_cosine : (q,) floats
        Cosine with the second nearest; nan where only two rows count. A duplicate has one near
        neighbour, a latent on a tiled manifold has at least two.
    count, dimension : int
        Number of rows that count, among which neighbours were looked for, and columns.
    isotropic : RandomDirections
        As many directions, spread evenly.
    anisotropic : SampledDirections or None
        As many, with the decoder's offset and covariance; None where it was not asked for, or
        Ctrl-C came before it was there.
    frequencies : (n,) floats or None
        How often each row of the decoder fires, as given.
    status : str
        "all rows"; "sampled": ``rows`` is a random part of the rows that count; "interrupted": so
        it is because of Ctrl-C, or the anisotropic baseline is missing for that reason.
    message : str
        The status in a sentence, with its numbers.
    """

    rows: Ints
    cosine: Floats
    nearest: Ints
    second_cosine: Floats
    count: int
    dimension: int
    isotropic: RandomDirections
    anisotropic: SampledDirections | None
    frequencies: Floats | None
    status: Status
    message: str

    def baseline(self, name: Baseline) -> Directions:
        """Return one of the two baselines, or raise ValueError where it is not there."""
        if name not in ("isotropic", "anisotropic"):
            raise ValueError(f'baseline must be "isotropic" or "anisotropic", got {name!r}')
        if name == "isotropic":
            return self.isotropic
        if self.anisotropic is None:
            raise ValueError(
                'baseline must be "isotropic" for neighbours without baseline_samples, '
                f"got {name!r}"
            )
        return self.anisotropic

    def compare(self, baseline: Baseline = "anisotropic", quantile: float = 0.999) -> Comparison:
        """Hold the cosines against a baseline, counting rows above its ``quantile``, in (0, 1)."""
        law = self.baseline(baseline)
        quantile = _validate.real(
            "quantile", quantile, low=0.0, high=1.0, low_open=True, high_open=True
        )
        threshold = float(law.quantile(quantile))
        return Comparison(
            baseline=baseline,
            quantile=quantile,
            threshold=threshold,
            share_above=float(np.mean(self.cosine > threshold)),
            expected_above=float(law.survival(threshold)),
            ks=ks_distance(np.sort(self.cosine), law),
            excess=float(self.cosine.mean()) - law.mean(),
        )

    def quantiles(self, probabilities: Any = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)) -> Floats:
        """Quantiles of the nearest cosine, for probabilities in [0, 1]."""
        p = _validate.reals("probabilities", probabilities, low=0.0, high=1.0)
        return np.asarray(np.quantile(self.cosine, p))

    def histogram(self, bins: int = 100) -> pd.DataFrame:
        """Count rows by cosine, beside what the baselines expect.

        Parameters
        ----------
        bins
            Number of bins of equal width, from the smallest cosine (of the rows, or the isotropic
            baseline's 0.001 quantile) to 1.

        Returns
        -------
        DataFrame
            low and high (edges), rows, isotropic and, where it is there, anisotropic (expected
            rows).
        """
        import pandas as pd

        bins = _validate.whole("bins", bins, low=1)
        low = min(float(self.cosine.min()), float(self.isotropic.quantile(0.001)))
        edges = np.linspace(low, 1.0, bins + 1)
        counts, _ = np.histogram(self.cosine, edges)
        table = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "rows": counts})
        for name in ("isotropic", "anisotropic"):
            law: Directions | None = getattr(self, name)
            if law is not None:
                table[name] = np.diff(law.cdf(edges)) * self.rows.size
        return table

    def table(self) -> pd.DataFrame:
        """One row a row asked after: row, nearest, cosine, second_cosine, and frequencies."""
        import pandas as pd

        columns = {
            "row": self.rows,
            "nearest": self.nearest,
            "cosine": self.cosine,
            "second_cosine": self.second_cosine,
        }
        if self.frequencies is not None:
            columns["frequency"] = self.frequencies[self.rows]
            columns["nearest_frequency"] = self.frequencies[self.nearest]
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        return compact(self)


def decoder_neighbours(
    decoder: Any,
    *,
    frequencies: Any = None,
    alive: Any = None,
    samples: int | None = None,
    baseline_samples: int = 10_000,
    seed: int | np.random.Generator = 0,
    block: int | None = None,
    progress: bool = False,
) -> DecoderNeighbours:
    """Find the nearest neighbours of a decoder's rows, and what unrelated rows would have.

    Time is that of 2 q n d operations for q rows of n in d dimensions, and as many for q baseline
    samples. Memory is that of blocks, whatever n is; half precision and memory maps are widened
    block by block. On Ctrl-C the rows done so far, a random part, are returned, and the status
    says so; before the first block is done, and between rows and baseline, Ctrl-C ends all.

    Parameters
    ----------
    decoder : (n, d)
        NumPy array or tensor, half precision or wider, one row a latent; d at least 2. Norms do
        not matter; rows of zeros are left out, as neighbours too. A tensor stays on its device.
    frequencies : (n,), optional
        How often each latent fires, in [0, 1]: kept beside the rows, without effect on neighbours.
    alive : (n,) bool, optional
        Rows that count; the others are left out, as neighbours too. All by default: neighbours
        that are dead are of interest (M25, E.1).
    samples
        Number of rows to ask after, drawn at random, against all rows that count. None, the
        default, or as many as there are: every row.
    baseline_samples
        Number of draws from the anisotropic baseline; 0 for none.
    seed
        Seed or generator, of the rows asked after and of the baseline.
    block
        Rows at once. None, the default: as suits memory.
    progress
        Show a bar with the time left on standard error where it takes over two seconds.

    Raises
    ------
    ValueError
        If an argument is out of range or of another shape or type, fewer than two rows count, the
        decoder has numbers that are not finite, or an anisotropic baseline is asked for in more
        than 16,384 dimensions.
    """
    rows = UnitRows(decoder, alive, block)
    fires = rates(frequencies, rows.total)
    if samples is not None:
        samples = min(_validate.whole("samples", samples, low=1), rows.count)
    draws = _validate.whole("baseline_samples", baseline_samples)
    rng = np.random.default_rng(seed)
    # At random, so that what is there when it is interrupted is a random part; always drawn, so
    # that the baseline is the same however many rows are asked after.
    order = rng.permutation(rows.count)[:samples]
    steps = list(pieces(order.size, rows.queries))
    found = []
    stopped = ""
    try:
        for start, stop in long_track(steps, "nearest neighbours", enabled=progress):
            # sorted, so that rows are read in the order in which they lie
            at = np.sort(order[start:stop])
            found.append((at, *nearest_two(rows, at)))
    except KeyboardInterrupt:
        if not found:
            raise
        stopped = "Ctrl-C while neighbours were looked for; "
    anisotropic = None
    if draws and not stopped:
        try:
            anisotropic = draw_directions(rows, draws, rng, progress)
        except KeyboardInterrupt:
            stopped = "Ctrl-C while the anisotropic baseline was drawn; "
    at, first, second, near = (np.concatenate(part) for part in zip(*found, strict=True))
    by_row = np.argsort(at)
    status: Status = "sampled" if at.size < rows.count else "all rows"
    scope = "every row that counts" if status == "all rows" else "rows drawn at random"
    return DecoderNeighbours(
        rows=_frozen(rows.index[at[by_row]]),
        cosine=_frozen(first[by_row]),
        nearest=_frozen(rows.index[near[by_row]]),
        second_cosine=_frozen(second[by_row]),
        count=rows.count,
        dimension=rows.dimension,
        isotropic=RandomDirections(rows.count, rows.dimension),
        anisotropic=anisotropic,
        frequencies=fires,
        status="interrupted" if stopped else status,
        message=f"{stopped}{at.size} of {rows.count} rows ({scope}), among {rows.count}",
    )


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array
