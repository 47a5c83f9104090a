"""What n latents buy on one feature: loss curves L(n).

- :class:`DiscreteCurve`: one latent explains the feature.
- :class:`PowerLawCurve`: floor + scale (n + shift)^-beta, a manifold that can be tiled for ever.
- :class:`ExponentialCurve`: an exponential approach to the floor.
- :class:`PlateauCurve`: a basis solution, flat from twice the dimension on.
- :class:`ConvexCurve`, :class:`LossCurve`: the interfaces, for a curve of your own.
- :class:`TabulatedCurve`: points, measured or computed, with a stated law beyond them.
"""

from scaling_theory.curves.base import ConvexCurve, LossCurve
from scaling_theory.curves.power import PowerLawCurve
from scaling_theory.curves.simple import DiscreteCurve, ExponentialCurve, PlateauCurve
from scaling_theory.curves.tabulated import TabulatedCurve

__all__ = [
    "ConvexCurve",
    "DiscreteCurve",
    "ExponentialCurve",
    "LossCurve",
    "PlateauCurve",
    "PowerLawCurve",
    "TabulatedCurve",
]
