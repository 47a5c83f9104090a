"""Families of SAEs whose regime is known, for judging diagnoses that do not know it.

- :func:`blind_families`: a list of :class:`Family`, benign, pathological, or not described by the
  model at all; :func:`blind_family` draws one of them alone.
- :data:`DEPARTURES` and :data:`WITHHELD`: which assumptions are broken and which evidence is kept
  back, in which share of the families.
- :func:`draw_recipe` and :func:`observe`: the two steps behind a family, for variants of one.

The truth is the exact solver's optimum for a stated population, with whatever training and
measurement did to it drawn on top. Nothing here knows how a diagnosis is made.
"""

from scaling_theory.analysis.blind.families import (
    Family,
    Regime,
    blind_families,
    blind_family,
    observe,
)
from scaling_theory.analysis.blind.features import Features, Part
from scaling_theory.analysis.blind.recipe import (
    DEPARTURES,
    WITHHELD,
    Measurement,
    Recipe,
    Training,
    draw_recipe,
)

__all__ = [
    "DEPARTURES",
    "WITHHELD",
    "Family",
    "Features",
    "Measurement",
    "Part",
    "Recipe",
    "Regime",
    "Training",
    "blind_families",
    "blind_family",
    "draw_recipe",
    "observe",
]
