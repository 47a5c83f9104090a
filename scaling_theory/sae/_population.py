"""A superposition as the solver's population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scaling_theory.curves import LossCurve
from scaling_theory.groups import Group
from scaling_theory.measured import MeasuredCurve
from scaling_theory.population import Population

if TYPE_CHECKING:
    from scaling_theory.sae.superposition import Superposition


def population_of(
    data: Superposition, curves: Mapping[str, LossCurve | MeasuredCurve], relative: bool
) -> Population:
    """See ``Superposition.population``."""
    if not isinstance(curves, Mapping):
        raise ValueError(f"curves must map labels to curves, got {curves!r}")
    for kind, wrong in {
        "must have a curve for every label, got none for": set(data.labels) - set(curves),
        "must have no other labels, got": set(curves) - set(data.labels),
    }.items():
        if wrong:
            raise ValueError(
                f"curves {kind} {sorted(wrong, key=str)}; the labels are {list(data.labels)}"
            )
    if not isinstance(relative, bool):
        raise ValueError(f"relative must be True or False, got {relative!r}")
    if data.scales is not None and not relative:
        raise ValueError(
            f"scales must be 1 for curves of features at their own size, got up to "
            f"{float(data.scales.max())!r}: a penalty does not scale with the feature. State "
            f"the size in the manifold (Circle(radius=2)) and measure there, or give curves "
            f"relative to the squared size and relative=True"
        )
    group = data.group_of(np.arange(1, data.features + 1))
    sizes = np.ones(data.features) if data.scales is None else data.scales
    groups = []
    for index, (label, manifold) in enumerate(zip(data.labels, data.manifolds, strict=True)):
        curve, unit = curves[label], 1.0 if relative else manifold.magnitude
        if isinstance(curve, MeasuredCurve):
            curve = curve.to_curve(at_zero=None if curve.n[0] == 0 else unit)
        at = np.flatnonzero(group == index)
        weight = manifold.magnitude * sizes[at] ** 2 if relative else 1.0
        groups.append(Group(label, curve, at + 1, weight))
    return Population.from_groups(data.frequencies, groups)
