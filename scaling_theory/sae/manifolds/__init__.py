"""Toy manifolds: what one feature looks like when it is active.

One intensity, so that nothing varies but the place on the manifold:

- :class:`Points`: finitely many points; one of them, the default, is a discrete feature.
- :class:`Sphere`: the case whose theory is known best; ``Sphere(1)`` is plus or minus one point.
- :class:`Circle`: the sphere in two dimensions, whose optimum has been computed.
- :class:`Torus`: a product of circles, flat; independent cyclic properties of one feature.
- :class:`Ripple`: a closed curve that winds through many dimensions.
- :class:`SwissRoll`: a rolled-up flat sheet with edges, near to itself but not along the sheet.

The intensity varies, which is where thresholds fail to tile:

- :class:`Segment`: one direction; a discrete feature with an intensity.
- :class:`Shell`: a sphere with a radius that varies. :class:`Ball`: down to 0, uniform in volume.
- :class:`Intensity`: any of the others, times a random intensity.

Several features at once: ``Superposition``. Sizes are in [1e-15, 1e15], so that their squares are
ordinary float32 numbers.
"""

from scaling_theory.sae.manifolds._draw import MAX_DIMENSION, check_draw
from scaling_theory.sae.manifolds.intensity import Intensity, Segment
from scaling_theory.sae.manifolds.points import Points
from scaling_theory.sae.manifolds.spheres import Ball, Circle, Shell, Sphere
from scaling_theory.sae.manifolds.winding import Ripple, SwissRoll, Torus

__all__ = [
    "MAX_DIMENSION",
    "Ball",
    "Circle",
    "Intensity",
    "Points",
    "Ripple",
    "Segment",
    "Shell",
    "Sphere",
    "SwissRoll",
    "Torus",
    "check_draw",
]
