"""The laws of one variable by name."""

from __future__ import annotations

from typing import Any

from scaling_theory.fitting.laws.curves import (
    BrokenPowerLaw,
    ExponentialLaw,
    PowerLaw,
)
from scaling_theory.fitting.laws.law import CurveLaw
from scaling_theory.fitting.laws.theory_law import LogCorrectedLaw, TheoryLaw

#: Every law of one variable, with fewer parameters first among its kind.
LAWS: tuple[CurveLaw, ...] = (
    PowerLaw(floor=False),
    PowerLaw(),
    BrokenPowerLaw(floor=False),
    BrokenPowerLaw(),
    ExponentialLaw(),
    LogCorrectedLaw(floor=False, critical=True),
    LogCorrectedLaw(critical=True),
    LogCorrectedLaw(floor=False),
    LogCorrectedLaw(),
    TheoryLaw(floor=False),
    TheoryLaw(),
)


def names() -> tuple[str, ...]:
    """Return the names that :func:`fit_law` and :func:`compare_laws` take."""
    return tuple(law.name for law in LAWS)


def law_of(argument: str, value: Any) -> CurveLaw:
    """Return a law given as itself or by its name."""
    if isinstance(value, CurveLaw):
        return value
    for law in LAWS:
        if value == law.name:
            return law
    raise ValueError(f"{argument} must be a CurveLaw or one of {', '.join(names())}, got {value!r}")
