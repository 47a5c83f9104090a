"""Of trained SAEs: how their latents point, and what that says of the regime.

- :func:`decoder_neighbours`: nearest-neighbour cosines beside what unrelated rows would have.
- :func:`tiling_share`: the share of rows that unrelated rows can't explain, with an interval;
  :func:`expected_neighbour_cosine`: what m latents on one sphere would show.
- :func:`near_duplicates`: pairs that point the same way, and which of them are dead.
- Baselines by themselves: :class:`RandomDirections` (closed form), :func:`anisotropic_directions`.
- :func:`draw_neighbours`: the histogram, with its baselines.
"""

from scaling_theory.analysis._draw import draw_neighbours
from scaling_theory.analysis.anisotropic import anisotropic_directions
from scaling_theory.analysis.decoders import Comparison, DecoderNeighbours, decoder_neighbours
from scaling_theory.analysis.directions import RandomDirections, SampledDirections
from scaling_theory.analysis.duplicates import NearDuplicates, near_duplicates
from scaling_theory.analysis.tiling import (
    ExpectedCosine,
    TilingShare,
    expected_neighbour_cosine,
    tiling_share,
)

__all__ = [
    "Comparison",
    "DecoderNeighbours",
    "ExpectedCosine",
    "NearDuplicates",
    "RandomDirections",
    "SampledDirections",
    "TilingShare",
    "anisotropic_directions",
    "decoder_neighbours",
    "draw_neighbours",
    "expected_neighbour_cosine",
    "near_duplicates",
    "tiling_share",
]
