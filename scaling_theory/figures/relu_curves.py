"""Loss curves of ReLU SAEs on spheres and shells, trained (Michaud et al. 2025, Figure 3).

Left: unit spheres in d dimensions, whose losses can't fall below l1 - l1^2/4. Right: the radius
varies from 0.5 to 2, and 2 d latents on the axes reach almost all that can be had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaling_theory.figures.toy_curves import curve_table, draw_curves
from scaling_theory.theory.geometry import basis_loss, shell_floor

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.runs import Runs

SIZE = (10.4, 4.6)
AXES = (1, 2)
SWEEPS = ("spheres", "shells")

L1 = 0.1
#: Sweep -> least and largest radius.
RADII = {"spheres": (1.0, 1.0), "shells": (0.5, 2.0)}


def data(runs: Mapping[str, Runs]) -> pd.DataFrame:
    """One row per manifold, dimension and width; floor and loss of the basis solution beside it."""
    return curve_table(
        {sweep: runs[sweep] for sweep in SWEEPS},
        lambda sweep, d: shell_floor(d, L1, *RADII[sweep]),
        lambda sweep, d: basis_loss(d, L1, *RADII[sweep]),
    )


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Spheres on the left, shells on the right."""
    left, right = axes
    spheres, shells = (data[data["manifold"] == sweep] for sweep in SWEEPS)
    floor = spheres["floor"].iloc[0]
    draw_curves(
        spheres, left, {"floor": rf"floor $\lambda - \lambda^2/4 = {floor:g}$"}, (0.09, 1.3)
    )
    left.set_title(rf"ReLU, $\lambda = {L1:g}$, unit spheres in $d$ dimensions")
    guides = {"basis": "one latent a half axis: $2d$ latents", "floor": "floor of any SAE"}
    draw_curves(shells, right, guides, (0.115, 2.0))
    right.set_title(rf"ReLU, $\lambda = {L1:g}$, radius from 0.5 to 2")
    for panel in axes:
        panel.legend(fontsize=8, loc="upper right")
