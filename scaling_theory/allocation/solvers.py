"""The solver of each kind of block."""

from __future__ import annotations

from scaling_theory.allocation.levels import BlockSolver
from scaling_theory.allocation.listed import ListedSolver
from scaling_theory.allocation.tail import TailSolver
from scaling_theory.groups import Block, ListedBlock


def solver_for(block: Block) -> BlockSolver:
    """Return the solver of a block."""
    return ListedSolver(block) if isinstance(block, ListedBlock) else TailSolver(block)
