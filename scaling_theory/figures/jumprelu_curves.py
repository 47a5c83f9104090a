"""Loss curves of JumpReLU SAEs on spheres and shells, trained (Michaud et al. 2025, Figure 6).

The penalty is sum_j tanh(0.1 f_j |w_j|). As tanh is concave, spreading activation over latents only
adds to it: no code of x costs less than the least of (|x| - g)^2 + tanh(0.1 g) over g, whose mean
is the floor. One latent a half axis pays that least for each coordinate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.figures.toy_curves import curve_table, draw_curves

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.runs import Runs

SIZE = (10.4, 4.6)
AXES = (1, 2)
SWEEPS = ("jump_spheres", "jump_shells")

SCALE = 0.1
#: Sweep -> least and largest radius.
RADII = {"jump_spheres": (1.0, 1.0), "jump_shells": (0.5, 2.0)}


def data(runs: Mapping[str, Runs]) -> pd.DataFrame:
    """One row per manifold, dimension and width; floor and loss of the basis solution beside it."""
    return curve_table(
        {sweep: runs[sweep] for sweep in SWEEPS},
        lambda sweep, _: tanh_floor(*RADII[sweep]),
        lambda sweep, d: tanh_basis_loss(d, *RADII[sweep]),
    )


def tanh_cost(x: Floats) -> Floats:
    """Least of (x - g)^2 + tanh(SCALE g) over g >= 0: what an amount x costs, at best.

    Fixed point of the condition 2 (x - g) = SCALE (1 - tanh^2), which contracts by SCALE^2.
    """
    g = np.maximum(x - 0.5 * SCALE, 0.0)
    for _ in range(12):
        g = np.maximum(x - 0.5 * SCALE * (1.0 - np.tanh(SCALE * g) ** 2), 0.0)
    return np.asarray((x - g) ** 2 + np.tanh(SCALE * g))


def tanh_floor(low: float, high: float) -> float:
    """Mean of the least cost of |x| over radii from low to high: no SAE has a lower loss.

    For SAEs without a decoder bias; one does not help, as the cost is subharmonic in x where these
    data are (2 c |x| tanh(c |x|) < d - 1 with c = SCALE).
    """
    return _mean_over_radius(tanh_cost, low, high)


def tanh_basis_loss(dimension: int, low: float, high: float) -> float:
    """Loss of one latent a half axis, 2 d of them, each with the best code: d E[cost(|x_1|)]."""
    angle = (np.arange(4096) + 0.5) * (0.5 * np.pi / 4096)
    weight = np.sin(angle) ** (dimension - 2)
    weight /= weight.sum()

    def on_spheres(radius: Floats) -> Floats:
        return np.asarray(tanh_cost(radius[:, None] * np.cos(angle)) @ weight)

    return dimension * _mean_over_radius(on_spheres, low, high)


def _mean_over_radius(cost: Callable[[Floats], Floats], low: float, high: float) -> float:
    nodes, weights = np.polynomial.legendre.leggauss(48)
    return float(0.5 * weights @ cost(low + (high - low) * 0.5 * (nodes + 1.0)))


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Spheres on the left, shells on the right."""
    left, right = axes
    spheres, shells = (data[data["manifold"] == sweep] for sweep in SWEEPS)
    name = rf"JumpReLU, $\tanh({SCALE:g} f)$"
    draw_curves(spheres, left, {"floor": f"floor {spheres['floor'].iloc[0]:.4f}"}, (0.09, 1.3))
    left.set_title(f"{name}, unit spheres in $d$ dimensions")
    guides = {"basis": "one latent a half axis: $2d$ latents", "floor": "floor of any SAE"}
    draw_curves(shells, right, guides, (0.115, 2.0))
    right.set_title(f"{name}, radius from 0.5 to 2")
    for panel in axes:
        panel.legend(fontsize=8, loc="upper right")
