"""Pictures of what this package finds; matplotlib is loaded when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_theory.analysis.decoders import DecoderNeighbours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"isotropic": "#0072B2", "anisotropic": "#D55E00"}
_LABELS = {"isotropic": "even directions", "anisotropic": "same offset and covariance"}


def draw_neighbours(result: DecoderNeighbours, ax: Axes | None = None, bins: int = 100) -> Axes:
    """Draw nearest-neighbour cosines as a histogram, with the baselines' expected counts.

    Counts are on a logarithmic scale: ten rows near a cosine of 1 among 10^5 matter (M25 E.1).

    Parameters
    ----------
    result
        Of :func:`~scaling_theory.analysis.decoders.decoder_neighbours`.
    ax
        Axes to draw on; None makes a figure.
    bins
        Number of bins, at least 1.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If ``bins`` is out of range.
    """
    table = result.histogram(bins)
    if ax is None:
        from matplotlib import pyplot as plt

        ax = plt.subplots(figsize=(5.0, 3.8), layout="constrained")[1]
    edges = [*table["low"], table["high"].iloc[-1]]
    label = f"{result.rows.size:,} of {result.count:,} rows"
    ax.stairs(table["rows"], edges, fill=True, color="#BBBBBB", label=label)
    for name in ("isotropic", "anisotropic"):
        if name in table:
            ax.stairs(table[name], edges, color=_COLOURS[name], label=_LABELS[name], linewidth=1.2)
    top = max(float(table[name].max()) for name in table.columns[2:])
    ax.set(
        xlabel="cosine with the nearest other row",
        ylabel="rows",
        yscale="log",
        xlim=(edges[0], edges[-1]),
        ylim=(0.5, 30.0 * top),  # room for the legend: what counts may be on either side
    )
    ax.legend(fontsize=8, loc="upper center")
    return ax
