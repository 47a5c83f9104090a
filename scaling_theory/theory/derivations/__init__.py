"""The derivations behind the closed forms, as SymPy expressions that are checked.

``derive(chapter)`` returns the steps of a chapter, for one of :data:`CHAPTERS`. A step is an
equation and a residual that must simplify to zero; :meth:`Step.holds` does so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from scaling_theory.theory.derivations.steps import Step

#: Chapter -> module in this folder and function that states its steps.
CHAPTERS: dict[str, tuple[str, str]] = {
    "lagrange": ("optimum", "lagrange"),
    "benign": ("regimes", "benign"),
    "pathological": ("regimes", "pathological"),
    "critical": ("regimes", "critical"),
    "convex": ("optimum", "convex"),
    "integer": ("optimum", "integer"),
    "mixtures": ("mixtures", "mixtures"),
    "finite": ("mixtures", "finite"),
    "latent_slopes": ("latents", "latent_slopes"),
    "latent_plateaus": ("latents", "latent_plateaus"),
    "sphere_floor": ("geometry", "sphere_floor"),
    "shrinkage": ("geometry", "shrinkage"),
    "circle": ("circle", "circle"),
    "circle_tiling": ("circle", "circle_tiling"),
    "basis": ("geometry", "basis"),
    "covering": ("geometry", "covering"),
    "capacity": ("geometry", "capacity"),
    "poisson_norms": ("norms", "poisson_norms"),
    "bernoulli_norms": ("norms", "bernoulli_norms"),
}


def derive(chapter: str) -> tuple[Step, ...]:
    """Derive a result, step by step.

    Parameters
    ----------
    chapter
        "benign" (beta > alpha), "pathological" (beta < alpha), "critical" (equal), or another of
        :data:`CHAPTERS`.

    Raises
    ------
    ValueError
        If there is no such chapter.
    """
    if chapter not in CHAPTERS:
        raise ValueError(f"chapter must be one of {sorted(CHAPTERS)}, got {chapter!r}")
    module, function = CHAPTERS[chapter]
    steps: Callable[[], tuple[Step, ...]] = getattr(
        importlib.import_module(f"{__name__}.{module}"), function
    )
    return steps()


__all__ = ["CHAPTERS", "Step", "derive"]
