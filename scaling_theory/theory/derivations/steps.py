"""What a derivation is made of: equations with a residual that SymPy simplifies to zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    import sympy as sp


@final
@dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes
    ----------
    name
        What the step states, in a few words.
    equation
        The statement, a SymPy equation.
    residual
        An expression that is zero if the statement follows from the steps before. This is what is
        checked; the equation states it for the reader.
    source
        Paper and section, or "derived here".
    """

    name: str
    equation: sp.Eq
    residual: sp.Expr
    source: str

    def holds(self) -> bool:
        """Whether SymPy simplifies the residual to zero."""
        import sympy as sp

        logs = sp.expand_log(sp.powdenest(self.residual, force=True), force=True)
        return bool(sp.simplify(self.residual) == 0 or sp.simplify(logs) == 0)


def equation(left: Any, right: Any) -> sp.Eq:
    """Return an equation that is stated, not decided on the spot."""
    import sympy as sp

    return sp.Eq(left, right, evaluate=False)


def symbols() -> dict[str, Any]:
    """Return the symbols of the allocation problem, all positive, by name."""
    import sympy as sp

    names = "alpha beta a c m_1 m_n lambda kappa i n x k N D S W"
    return {str(s): s for s in sp.symbols(names, positive=True)}
