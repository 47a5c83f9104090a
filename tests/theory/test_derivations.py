"""Every step of the derivations holds, by SymPy and in numbers, and gives predict's constants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp

import scaling_theory as st
from scaling_theory.theory import derive

REGIMES = ("benign", "pathological", "critical")
STEPS = [(regime, step) for regime in REGIMES for step in derive(regime)]
IDS = [f"{regime}: {step.name}" for regime, step in STEPS]


@pytest.mark.parametrize(("regime", "step"), STEPS, ids=IDS)
def test_step_holds(regime: str, step: Any) -> None:
    assert step.holds()
    assert isinstance(step.equation, sp.Eq)
    assert step.source


@pytest.mark.parametrize(("regime", "step"), STEPS, ids=IDS)
def test_a_wrong_step_does_not_hold(regime: str, step: Any) -> None:
    alpha = sp.Symbol("alpha", positive=True)
    assert not replace(step, residual=step.residual + alpha - 1).holds()


@pytest.mark.parametrize(("regime", "step"), STEPS, ids=IDS)
def test_residual_vanishes_in_numbers(regime: str, step: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        values = {s: sp.Float(rng.uniform(0.3, 3.0), 40) for s in step.residual.free_symbols}
        assert abs(sp.N(step.residual.subs(values), 40)) < 1e-25


def _right_side(regime: str, name: str, **values: float) -> float:
    (step,) = [s for s in derive(regime) if s.name.startswith(name)]
    substitutions = {s: values[str(s)] for s in step.equation.rhs.free_symbols}
    return float(step.equation.rhs.subs(substitutions))


def test_benign_constant_is_that_of_predict() -> None:
    curve = st.PowerLawCurve(beta=1.3)
    said = st.predict(alpha=0.4, curve=curve)
    law = st.PowerLawFrequencies(0.4)
    derived = _right_side(
        "benign",
        "excess loss",
        alpha=0.4,
        c=law.normaliser,
        m_1=float(curve.gain(1)[0]),
        S=st.theory.level_set_sum(curve, 0.4),
        N=1.0,
    )
    assert said.loss_constant == pytest.approx(derived, rel=1e-13)


def test_pathological_constants_are_those_of_predict() -> None:
    curve = st.PowerLawCurve(beta=0.3, scale=2.0)
    said = st.predict(alpha=0.8, curve=curve)
    zeta = float(sp.zeta(sp.Rational(18, 13)))
    values = {
        "alpha": 0.8,
        "beta": 0.3,
        "a": 2.0,
        "c": st.PowerLawFrequencies(0.8).normaliser,
        "m_1": float(curve.gain(1)[0]),
        "Z": zeta,
        "N": 1.0,
        "kappa": 1.0 / zeta,
    }
    loss = _right_side("pathological", "excess loss", **values)
    found = _right_side("pathological", "the last feature", **values)
    assert said.loss_constant == pytest.approx(loss, rel=1e-12)
    assert said.discovery_constant == pytest.approx(found, rel=1e-12)


def test_unknown_regime_is_refused() -> None:
    with pytest.raises(ValueError, match="regime must be one of"):
        derive("good")  # type: ignore[arg-type]
