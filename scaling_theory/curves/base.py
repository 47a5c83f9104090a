"""The interface of a loss curve, and the one predicate by which latents are counted.

A curve is mostly data. Its parameters may be numbers, or arrays with one value per feature; then
every method is vectorised over features and :meth:`LossCurve.take` selects some of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, Self, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._repr import compact
from scaling_theory._validate import Floats, Ints

#: Larger counts are never asked for; the price search treats them as "too many".
MANY = 2.0**62


class LossCurve(ABC):
    """L(n), the expected loss on a feature when it is active and has n latents; non-increasing.

    Subclasses are final, frozen dataclasses. They state the curve (:meth:`excess`,
    ``limit``), its lower convex envelope (:meth:`envelope_gain`, :meth:`envelope_excess`) and a
    real-valued inverse of the envelope's gain (:meth:`_invert`). For a convex curve the envelope
    is the curve.
    """

    #: Names of the parameters that may be arrays, one value per feature.
    per_feature: ClassVar[tuple[str, ...]] = ()
    #: Whether real numbers of latents have a meaning of their own; otherwise whole numbers are
    #: joined by straight lines.
    smooth: ClassVar[bool] = False

    # ---- what a curve says about itself -------------------------------------------------

    @property
    @abstractmethod
    def limit(self) -> Any:
        """L(infinity): a number, or one per feature."""

    @property
    @abstractmethod
    def tail_exponent(self) -> Any:
        """The beta of L(n) - L(inf) ~ n^-beta; inf for curves that end or fall exponentially."""

    @property
    def power_tail(self) -> tuple[float, float, float] | None:
        """(scale, beta, shift) with excess = scale (n + shift)^-beta for all large n, or None."""
        return None

    @property
    def tail_from(self) -> int:
        """Latents after which the power tail, if any, holds."""
        return 0

    @property
    @abstractmethod
    def convex(self) -> bool:
        """Whether L(0), L(1), ... is convex, for every feature."""

    @abstractmethod
    def excess(self, n: Floats) -> Floats:
        """L(n) - L(inf), without cancellation, for n >= 0 as floats."""

    @abstractmethod
    def envelope_excess(self, n: Floats) -> Floats:
        """Lower convex envelope of L minus L(inf), for n >= 0 as floats."""

    @abstractmethod
    def envelope_gain(self, n: Floats) -> Floats:
        """Envelope's gain of the n-th latent, n >= 1 as floats; equal within a linear piece."""

    @abstractmethod
    def segment(self, n: Floats) -> tuple[Floats, Floats]:
        """Ends of the envelope's linear piece that holds latent n: (vertex before, vertex after).

        A piece is a stretch inside which the curve may lie above its envelope; where the curve
        is convex every whole number is a vertex, and the ends are n - 1 and n.
        """

    @abstractmethod
    def _invert(self, gain: Floats) -> tuple[Floats, Floats]:
        """Estimate x with floor(x) = #{n >= 1: envelope_gain(n) >= gain}, and its error.

        The floor is right unless x is within the stated error of a whole number.
        """

    def continuous_latents(self, slope: Floats) -> Floats:
        """Return the real n that minimises L(n) + slope n; for smooth curves.

        Where the smooth curve is not convex, its tangent from n = 0 takes its place.
        """
        raise NotImplementedError

    def continuous_excess(self, n: Floats) -> Floats:
        """L(n) - L(inf) at real n >= 0; for smooth curves."""
        raise NotImplementedError

    # ---- what follows from that ---------------------------------------------------------

    @property
    @final
    def size(self) -> int | None:
        """Number of features that the parameters are given for; None for one shared curve."""
        for name in self.per_feature:
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                return int(value.size)
        return None

    @final
    def __repr__(self) -> str:
        return compact(self)

    @final
    def take(self, index: Any) -> Self:
        """Return the curve with its per-feature parameters selected by ``index``."""
        if self.size is None:
            return self
        changes = {
            name: value[index]
            for name in self.per_feature
            if isinstance(value := getattr(self, name), np.ndarray)
        }
        new = object.__new__(type(self))
        for item in fields(self):  # type: ignore[arg-type]
            object.__setattr__(new, item.name, changes.get(item.name, getattr(self, item.name)))
        return new

    @final
    def loss(self, n: Any) -> Floats:
        """L(n) for whole n >= 0, shape (k,) or a number -> shape (k,).

        With per-feature parameters, n holds one value per feature or one for all.
        """
        return np.asarray(self.limit + self.excess(self._checked(n, 0)))

    @final
    def gain(self, n: Any) -> Floats:
        """m(n) = L(n-1) - L(n) for whole n >= 1: what the n-th latent buys."""
        x = self._checked(n, 1)
        if self.convex:
            return self.envelope_gain(x)
        before, after = self.segment(x)
        own = after - before == 1.0
        difference = self.excess(x - 1.0) - self.excess(x)
        return np.asarray(np.where(own, self.envelope_gain(x), np.maximum(difference, 0.0)))

    @final
    def envelope_loss(self, n: Any) -> Floats:
        """Lower convex envelope of L at whole n >= 0; L itself where L is convex."""
        return np.asarray(self.limit + self.envelope_excess(self._checked(n, 0)))

    @final
    def latents_for_gain(self, gain: Any) -> Ints:
        """Inverse of the envelope's gain: #{n >= 1: gain of the n-th latent >= ``gain``}.

        Parameters
        ----------
        gain
            Positive numbers, shape (k,), or one number.
        """
        values = gain if np.ndim(gain) else [_validate.real("gain", gain, low=0.0, low_open=True)]
        g = _validate.reals("gain", values, low=0.0, low_open=True)
        if self.size is not None:
            g = np.ascontiguousarray(np.broadcast_to(g, (self.size,)))
        return self.count_at(np.ones_like(g), 1.0, gain=g).astype(np.int64)

    @final
    def count_at(self, weight: Floats, price: float, gain: Floats | None = None) -> Floats:
        """Count the latents that are worth the price: #{n: weight * envelope_gain(n) >= price}.

        The product is taken in float64 and compared as it comes out: this predicate, the same
        for every way of counting, is what "worth the price" means throughout the package.

        Parameters
        ----------
        weight
            p_i times magnitude, shape (k,).
        price
            Positive.
        gain
            If given, one price per feature instead of ``price``, shape (k,).

        Returns
        -------
        Floats
            Whole numbers as floats, shape (k,); at most 2^62, which stands for "more".
        """
        threshold: Any = price if gain is None else gain
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            x, error = self._invert(np.asarray(threshold / weight, dtype=np.float64))
        # Where the inverse overflows, gains may have run out: let the predicate decide there too.
        x = np.clip(np.where(np.isnan(x), MANY, x), 0.0, MANY)
        n = np.floor(x)
        unsure = np.flatnonzero((np.abs(x - np.rint(x)) <= error) | (x >= 2.0**53))
        if unsure.size:
            part = self.take(unsure)
            limit = threshold if gain is None else gain[unsure]
            n[unsure] = part._settle(np.rint(x[unsure]), weight[unsure], limit)
        return n

    @final
    def _settle(self, n: Floats, weight: Floats, price: Any) -> Floats:
        """Largest n with weight * envelope_gain(n) >= price, from a first guess."""

        def worth(at: Floats, index: Ints) -> Any:
            p = price if np.ndim(price) == 0 else price[index]
            gain = self.take(index).envelope_gain(np.maximum(at, 1.0))
            return (weight[index] * gain >= p) | (at < 1.0)

        return last_worth(n, worth, MANY)

    @final
    def _checked(self, n: Any, low: int) -> Floats:
        x = np.atleast_1d(np.asarray(n))
        counts = _validate.wholes("n", x.ravel(), low=low, high=_validate.MAX_LATENTS)
        if self.size not in (None, 1) and x.size not in (1, self.size):
            raise ValueError(
                f"n must hold one number for all {self.size} features or one for each, got {x.size}"
            )
        return np.ascontiguousarray(counts, dtype=np.float64).reshape(x.shape)

    @final
    def _freeze(self, **values: Any) -> None:
        """Store checked parameters; arrays among them must have one common length."""
        self._same_length(**values)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @staticmethod
    def _same_length(**values: Any) -> None:
        lengths = {k: v.size for k, v in values.items() if isinstance(v, np.ndarray)}
        if len(set(lengths.values())) > 1:
            stated = ", ".join(f"{k} has {v}" for k, v in lengths.items())
            raise ValueError(f"per-feature parameters must have one common length, got: {stated}")

    @staticmethod
    def _parameter(name: str, value: Any, **bounds: Any) -> Any:
        """Check a parameter that is a number or an array with one value per feature."""
        if np.ndim(value) == 0:
            return _validate.real(name, value, **bounds)
        return _validate.reals(name, value, **bounds)


def last_worth(guess: Floats, worth: Callable[[Floats, Ints], Any], most: float) -> Floats:
    """Largest whole number that is worth it, galloping from a guess; 0 always is.

    Parameters
    ----------
    guess
        Whole numbers from 0 to ``most``, shape (k,).
    worth
        (numbers, their places in ``guess``) -> bool; once false, false for all larger numbers.
    most
        Numbers beyond are not tried.
    """
    low = guess.copy()  # becomes a number that is worth it
    high = low + 1.0  # becomes one that is not, or is beyond the last
    good = np.asarray(worth(low, np.arange(low.size)))
    step = 1.0
    active = np.flatnonzero(~good)
    high[active] = low[active]
    while active.size:
        low[active] = np.maximum(low[active] - step, 0.0)
        active = active[~worth(low[active], active)]
        high[active] = low[active]
        step *= 2.0
    step = 1.0
    active = np.flatnonzero(good)
    while active.size:
        active = active[high[active] <= most]
        active = active[np.asarray(worth(high[active], active), dtype=bool)]
        low[active] = high[active]
        high[active] = np.minimum(high[active] + step, most + 1.0)
        active = active[high[active] > low[active]]  # beyond 2^53 there is no next number
        step *= 2.0
    active = np.flatnonzero(high - low > 1.0)
    while active.size:
        middle = np.floor(0.5 * (low[active] + high[active]))
        good = np.asarray(worth(middle, active))
        low[active[good]] = middle[good]
        high[active[~good]] = middle[~good]
        inside = (high[active] - low[active] > 1.0) & (middle > low[active] - 1.0)
        active = active[inside & (np.floor(0.5 * (low[active] + high[active])) > low[active])]
    return low


class ConvexCurve(LossCurve):
    """A curve that is convex for all its parameters, and so is its own envelope."""

    @property
    @final
    def convex(self) -> bool:
        """Always."""
        return True

    @final
    def envelope_excess(self, n: Floats) -> Floats:
        """Return the excess."""
        return self.excess(n)

    @final
    def segment(self, n: Floats) -> tuple[Floats, Floats]:
        """Every whole number is a vertex."""
        return n - 1.0, n
