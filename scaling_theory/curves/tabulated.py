"""A curve given by a table: measured, or from anybody's formula."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.curves.base import LossCurve

#: Largest n of a table: the curve is held at every whole number up to it.
MAX_TABLE = 2**22


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class TabulatedCurve(LossCurve):
    """L(n) through given points, non-increasing, with a stated law beyond the last.

    Parameters
    ----------
    n
        Whole numbers, strictly increasing, from 0 to at most 4,194,304; shape (k,).
    loss
        Losses there, at least 0 and never rising (flats allowed); shape (k,).
    beyond
        "flat" (default): no gain after the last point. "power": the excess over ``floor`` goes on
        as n^-exponent from the last point.
    exponent, floor
        For ``beyond="power"``: the exponent, greater than 0, and the limit, below the last loss.

    Raises
    ------
    ValueError
        If the table is unsorted, rises (the error names the offending index), does not begin at
        n = 0, or the law beyond is not fully stated.

    Notes
    -----
    Between points the loss is linear in log(1 + n): a power law sampled at doubling widths stays
    convex. Where the table is not convex, allocation uses its lower convex envelope, and says how
    far that is from the best integer allocation.
    """

    n: Ints
    losses: Floats
    beyond: Literal["flat", "power"]
    exponent: float | None
    floor: float
    _table: Floats = field(repr=False)

    per_feature: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        n: Any,
        loss: Any,
        beyond: Literal["flat", "power"] = "flat",
        exponent: float | None = None,
        floor: float = 0.0,
    ) -> None:
        n = _validate.wholes("n", n, low=0, high=MAX_TABLE)
        losses = _validate.reals("loss", loss, low=0.0)
        if n.size != losses.size:
            raise ValueError(
                f"loss must have one value per n, got {losses.size} losses for {n.size} values of n"
            )
        if (np.diff(n) <= 0).any():
            at = int(np.argmax(np.diff(n) <= 0)) + 1
            raise ValueError(
                f"n must be strictly increasing, got n[{at}] = {n[at]} after {n[at - 1]}"
            )
        if n[0] != 0:
            raise ValueError(
                f"n must begin at 0 (the loss with no latents decides what the first one buys), "
                f"got n[0] = {n[0]}"
            )
        if (np.diff(losses) > 0.0).any():
            at = int(np.argmax(np.diff(losses) > 0.0)) + 1
            raise ValueError(
                f"loss must never increase with n, got loss[{at}] = {float(losses[at])!r} after "
                f"loss[{at - 1}] = {float(losses[at - 1])!r}"
            )
        if beyond not in ("flat", "power"):
            raise ValueError(f"beyond must be 'flat' or 'power', got {beyond!r}")
        if beyond == "power":
            if exponent is None:
                raise ValueError("exponent must be given with beyond='power', got None")
            exponent = _validate.real("exponent", exponent, low=0.0, low_open=True, high=1000.0)
            floor = _validate.real("floor", floor, low=0.0)
            if n[-1] == 0 or floor >= losses[-1]:
                raise ValueError(
                    f"floor must be below the last loss of a table that goes past n = 0, got "
                    f"floor={floor!r} with loss[-1] = {float(losses[-1])!r} at n = {n[-1]}"
                )
        elif exponent is not None or floor != 0.0:
            raise ValueError(
                f"exponent and floor are only meaningful with beyond='power', got "
                f"exponent={exponent!r}, floor={floor!r} with beyond='flat'"
            )
        every = np.arange(n[-1] + 1, dtype=np.float64)
        table = np.interp(np.log1p(every), np.log1p(n), losses)
        table[n] = losses
        values = {"n": n, "losses": losses, "beyond": beyond, "exponent": exponent, "floor": floor}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_table", np.minimum.accumulate(table))

    @property
    def limit(self) -> float:
        """Last loss of the table, or the floor of the power law beyond."""
        return float(self.losses[-1]) if self.beyond == "flat" else self.floor

    @property
    def tail_exponent(self) -> float:
        """Exponent of the law beyond the table; inf if that is flat."""
        return np.inf if self.exponent is None else self.exponent

    @property
    def power_tail(self) -> tuple[float, float, float] | None:
        """Return the law beyond the table."""
        if self.exponent is None:
            return None
        at_last = float(self.losses[-1]) - self.floor
        return at_last * float(self.n[-1]) ** self.exponent, self.exponent, 0.0

    @property
    def tail_from(self) -> int:
        """Last vertex of the envelope that the table decides."""
        return int(self._vertices[-1])

    @cached_property
    def _is_convex(self) -> bool:
        """Whether every whole number is a vertex of the envelope, or lies on it to rounding."""
        n = np.arange(self._vertices[-1] + 1, dtype=np.float64)
        above = self.excess(n) - self.envelope_excess(n)
        return bool(above.max(initial=0.0) <= 4e-16 * (self._table[0] + 1e-300))

    @property
    def convex(self) -> bool:
        """Whether the curve lies on its envelope, to rounding."""
        return self._is_convex

    def _tail(self, n: Floats) -> Floats:
        """Excess after the last point."""
        if self.exponent is None:
            return np.zeros_like(n)
        last = float(self.n[-1])
        at_last = float(self.losses[-1]) - self.floor
        return np.asarray(at_last * np.power(n / last, -self.exponent))

    def excess(self, n: Floats) -> Floats:
        """Table minus the limit, and the law beyond."""
        inside = n < self._table.size
        index = np.where(inside, n, 0.0).astype(np.int64)
        return np.asarray(np.where(inside, self._table[index] - self.limit, 0.0)) + np.where(
            inside, 0.0, self._tail(np.where(inside, max(float(self.n[-1]), 1.0), n))
        )

    @cached_property
    def _vertices(self) -> Ints:
        """Vertices of the envelope up to where the law beyond takes over."""
        length = self._table.size
        if self.exponent is None:
            return _lower_hull(self._table)
        while True:
            length *= 2
            points = self.excess(np.arange(length, dtype=np.float64))
            hull = _lower_hull(points)
            if hull[-1] < length - 1:
                return hull  # the law beyond has underflowed: nothing is gained after this
            # The hull has reached the convex tail when its last piece but one is of length 1
            # and lies beyond the table.
            if hull.size >= 3 and hull[-3] >= self._table.size - 1 and hull[-1] - hull[-3] == 2:
                first = int(np.argmax(hull >= self._table.size - 1))
                steps = np.flatnonzero(np.diff(hull[first:]) == 1)
                return hull[: first + int(steps[0]) + 1]
            if length > 4 * MAX_TABLE:
                raise ValueError(
                    f"exponent must let the envelope of the table reach the law beyond it within "
                    f"{4 * MAX_TABLE} latents, got {self.exponent!r}"
                )

    @cached_property
    def _head(self) -> tuple[Floats, Floats]:
        """Envelope's excess and gain at 0 .. last vertex (gain[0] is unused)."""
        vertices = self._vertices
        at = self.excess(vertices.astype(np.float64))
        n = np.arange(vertices[-1] + 1, dtype=np.float64)
        envelope = np.interp(n, vertices, at)
        envelope[vertices] = at
        slopes = -np.diff(at) / np.diff(vertices)
        slopes = np.minimum.accumulate(slopes)  # rounding must not break the order
        gain = np.append(np.inf, np.repeat(slopes, np.diff(vertices)))
        return envelope, gain

    def envelope_excess(self, n: Floats) -> Floats:
        """Straight lines between the vertices, then the law beyond."""
        envelope = self._head[0]
        inside = n < envelope.size
        index = np.where(inside, n, 0.0).astype(np.int64)
        return np.asarray(np.where(inside, envelope[index], self.excess(n)))

    def envelope_gain(self, n: Floats) -> Floats:
        """Slope of the piece that holds latent n."""
        gain = self._head[1]
        inside = n < gain.size
        index = np.where(inside, n, 0.0).astype(np.int64)
        out = np.where(inside, gain[index], 0.0)
        if self.exponent is not None and not inside.all():
            y = np.where(inside, float(gain.size), n) - 1.0
            step = -np.expm1(-self.exponent * np.log1p(1.0 / y))
            out = np.where(inside, out, self._tail(y) * step)
        return np.asarray(out)

    def segment(self, n: Floats) -> tuple[Floats, Floats]:
        """Vertices on both sides of latent n."""
        vertices = self._vertices
        after = np.searchsorted(vertices, n, side="left")
        inside = after < vertices.size
        after = np.where(inside, after, vertices.size - 1)
        before = vertices[np.maximum(after - 1, 0)].astype(np.float64)
        return (
            np.asarray(np.where(inside, before, n - 1.0)),
            np.asarray(np.where(inside, vertices[after].astype(np.float64), n)),
        )

    def _invert(self, gain: Floats) -> tuple[Floats, Floats]:
        table = self._head[1][1:]
        low = np.searchsorted(-table, -(gain * (1.0 + 1e-14)), side="right").astype(np.float64)
        high = np.searchsorted(-table, -(gain * (1.0 - 1e-14)), side="right").astype(np.float64)
        # Where a rounding of price / weight could matter, the predicate decides.
        x, error = high, np.where(low == high, -1.0, 1.0)
        beyond = high == table.size
        if self.exponent is not None and beyond.any():
            assert self.power_tail is not None
            scale, beta, _ = self.power_tail
            guess = np.power(scale * beta / gain, 1.0 / (1.0 + beta)) + 0.5
            x = np.where(beyond, np.maximum(guess, table.size), x)
            error = np.where(beyond, 1.0, error)
        return x, error


def _lower_hull(values: Floats) -> Ints:
    """Indices of the lower convex hull of (i, values[i]); the last piece may be flat."""
    drops = np.diff(values)
    if drops.size == 0:
        return np.zeros(1, dtype=np.int64)
    if (np.diff(drops) >= 0.0).all():
        falling = np.flatnonzero(drops < 0.0)
        last = int(falling[-1]) + 1 if falling.size else 0
        return np.arange(last + 1, dtype=np.int64)
    hull: list[int] = []
    points = values.tolist()
    for i, y in enumerate(points):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (points[b] - points[a]) * (i - b) < (y - points[b]) * (b - a):
                break
            hull.pop()
        hull.append(i)
    while len(hull) >= 2 and points[hull[-1]] >= points[hull[-2]]:
        hull.pop()  # a flat end buys nothing
    return np.array(hull, dtype=np.int64)
