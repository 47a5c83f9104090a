"""Toy manifolds solved: what n latents buy on a circle, a sphere, a shell.

Objective throughout: the mean of ``|x - xhat|^2 + l1 * sum_j f_j |decoder_j|``, ReLU latents f_j.

- The least any SAE can reach: :func:`sphere_floor`, :func:`shell_floor`; what L1, TopK and
  JumpReLU lose on orthogonal features: :func:`shrink_l1`, :func:`shrink_topk`,
  :func:`shrink_jump`, :func:`l1_bias`.
- Circle: the best symmetric tiling, :func:`circle_tiling` (:func:`circle_curve` for ``allocate``,
  :func:`circle_law` for its limit); the ideal encoder, :func:`circle_ideal`; no symmetry, few
  latents, :func:`circle_optimum`; any SAE, the slow way, :func:`circle_sae_loss`.
- Spheres: bounds for an ideal encoder, :func:`covering_bounds`; ReLU tilings of given points,
  :func:`sphere_tiling`, with :func:`spread_points` and :func:`relax_points`; their exponents,
  :func:`tiling_exponents` (conjectured) and :func:`measure_exponents`.
- Data that vary in radius: the basis solution, :func:`basis_loss` and :func:`basis_curve`.
- How many nearly orthogonal directions there are: :func:`capacity`, :func:`welch_bound`,
  :func:`greedy_bound`, :func:`asymptotic_bound`.

``python -m scaling_theory.theory.geometry`` prints the tables that the documentation quotes; the
derivations are chapters of ``scaling_theory.theory.derive``.
"""

from scaling_theory.theory.geometry.basis import basis_curve, basis_loss, shell_floor
from scaling_theory.theory.geometry.circle import (
    CircleLaw,
    CircleTiling,
    circle_curve,
    circle_law,
    circle_tiling,
    circle_tiling_at,
)
from scaling_theory.theory.geometry.covering import CoveringBounds, covering_bounds
from scaling_theory.theory.geometry.floor import (
    Shrinkage,
    l1_bias,
    shrink_jump,
    shrink_l1,
    shrink_topk,
    sphere_floor,
)
from scaling_theory.theory.geometry.ideal import CircleIdeal, circle_ideal
from scaling_theory.theory.geometry.optimum import CircleOptimum, circle_optimum, circle_sae_loss
from scaling_theory.theory.geometry.packing import (
    Capacity,
    asymptotic_bound,
    capacity,
    greedy_bound,
    welch_bound,
)
from scaling_theory.theory.geometry.points import relax_points, spread_points
from scaling_theory.theory.geometry.sphere import (
    SphereTiling,
    TilingExponents,
    measure_exponents,
    sphere_tiling,
    tiling_exponents,
)

__all__ = [
    "Capacity",
    "CircleIdeal",
    "CircleLaw",
    "CircleOptimum",
    "CircleTiling",
    "CoveringBounds",
    "Shrinkage",
    "SphereTiling",
    "TilingExponents",
    "asymptotic_bound",
    "basis_curve",
    "basis_loss",
    "capacity",
    "circle_curve",
    "circle_ideal",
    "circle_law",
    "circle_optimum",
    "circle_sae_loss",
    "circle_tiling",
    "circle_tiling_at",
    "covering_bounds",
    "greedy_bound",
    "l1_bias",
    "measure_exponents",
    "relax_points",
    "shell_floor",
    "shrink_jump",
    "shrink_l1",
    "shrink_topk",
    "sphere_floor",
    "sphere_tiling",
    "spread_points",
    "tiling_exponents",
    "welch_bound",
]
