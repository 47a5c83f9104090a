"""Finitely many points; one of them is a discrete feature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds._draw import LEAST, MOST, check_draw


@final
@dataclass(frozen=True, eq=False, repr=False)
class Points(Data):
    """One of k points, each as likely as the others.

    Parameters
    ----------
    positions
        Array of shape (k, d), not all 0, none beyond 1e15. None (default) is the single point 1
        in R^1: the discrete feature of Michaud, Gorton and McGrath (2025), section 2.3. A list
        of k numbers is refused, since it could be k points on the line or one point in R^k.

    Raises
    ------
    ValueError
        If positions are not k points of the same dimension.
    """

    positions: Any = None
    dimension: int = field(init=False)

    def __post_init__(self) -> None:
        given = [[1.0]] if self.positions is None else self.positions
        try:
            shape = np.shape(given)
        except ValueError:
            raise ValueError(
                f"positions must hold k points with d numbers each, got rows of different "
                f"lengths: {given!r}"
            ) from None
        if len(shape) != 2 or 0 in shape:
            raise ValueError(
                f"positions must have shape (k, d), got {shape}: k points on the line are "
                f"[[a], [b], ...], one point is [[a, b, ...]]"
            )
        flat = given.reshape(-1) if isinstance(given, np.ndarray) else [v for p in given for v in p]
        values = _validate.reals("positions (point by point)", flat, low=-MOST, high=MOST)
        if np.abs(values).max() < LEAST:
            raise ValueError(
                f"positions must reach a distance of at least {LEAST:g} from 0, got a largest "
                f"coordinate of {float(np.abs(values).max())!r}"
            )
        positions = values.reshape(shape) + 0.0  # -0.0 becomes 0.0, so that equal ones hash alike
        positions.flags.writeable = False
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "dimension", int(shape[1]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Points) and np.array_equal(self.positions, other.positions)

    def __hash__(self) -> int:
        return hash((self.positions.shape, self.positions.tobytes()))

    def __repr__(self) -> str:
        if self.positions.tolist() == [[1.0]]:
            return "Points()"
        return f"Points(positions=<{' x '.join(map(str, self.positions.shape))} values>)"

    @property
    def magnitude(self) -> float:
        """Mean squared norm of the positions."""
        return float(np.mean(np.sum(self.positions**2, axis=1)))

    @property
    def mean(self) -> Floats:
        """Mean of the positions, shape (dimension,)."""
        return np.asarray(self.positions.mean(axis=0))

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, dimension)."""
        count, device = check_draw(count, generator), generator.device
        positions = torch.tensor(self.positions, dtype=torch.float32, device=device)
        if len(positions) == 1:  # nothing to draw
            return positions.repeat(count, 1)
        which = torch.randint(len(positions), (count,), generator=generator, device=device)
        return positions[which]
