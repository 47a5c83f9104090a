"""Power-law loss curves: floor + scale (n + shift)^-beta."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.curves.base import LossCurve

#: From n + shift = _SERIES_FROM (4 + beta) on, gains and their inverse are midpoint series, whose
#: first neglected term is then below 1e-20 of the sum.
_SERIES_FROM = 64.0


@final
@dataclass(frozen=True, eq=False, repr=False)
class PowerLawCurve(LossCurve):
    """L(n) = floor + scale (n + shift)^-beta.

    Parameters
    ----------
    beta
        Exponent of the excess loss, greater than 0 (at most 1000).
    scale, floor
        Amplitude (greater than 0) and limit (at least 0) of the loss.
    shift
        1 (default) makes the curve convex from n = 0 with L(0) = floor + scale. 0 gives the
        paper's n^-beta, which says nothing about L(0); then ``at_zero`` does.
    at_zero
        Only with ``shift=0``: L(0), at least L(1) = floor + scale, which is the default. By that
        default the first latent buys nothing and the curve is not convex: allocation then works
        on its lower convex envelope. It is convex if at_zero - floor >= scale (2 - 2^-beta).

    Each parameter may be an array with one value per feature.

    Raises
    ------
    ValueError
        If a parameter is out of range, or ``at_zero`` is below L(1) or given with a shift.

    Notes
    -----
    Michaud, Gorton and McGrath (2025), section 2.5, write L(n) = n^-beta. The gain
    (n-1+shift)^-beta - (n+shift)^-beta is evaluated with expm1 and log1p, and as a series in the
    midpoint for large n: the difference as written is wrong by 17% at n = 3e14 for beta = 0.1.
    """

    beta: Any
    scale: Any = 1.0
    floor: Any = 0.0
    shift: Any = 1.0
    at_zero: Any = None

    smooth: ClassVar[bool] = True
    per_feature: ClassVar[tuple[str, ...]] = ("beta", "scale", "floor", "shift", "at_zero")

    def __post_init__(self) -> None:
        check = self._parameter
        beta = check("beta", self.beta, low=0.0, low_open=True, high=1000.0)
        scale = check("scale", self.scale, low=0.0, low_open=True)
        floor = check("floor", self.floor, low=0.0)
        shift = check("shift", self.shift, low=0.0, high=1e12)
        at_zero = None if self.at_zero is None else check("at_zero", self.at_zero, low=0.0)
        self._same_length(beta=beta, scale=scale, floor=floor, shift=shift, at_zero=at_zero)
        unshifted = np.asarray(shift) == 0.0
        if at_zero is not None:
            if not unshifted.all():
                raise ValueError(
                    f"at_zero is only meaningful with shift=0 (else L(0) = floor + scale * "
                    f"shift^-beta), got at_zero={self.at_zero!r} with shift={self.shift!r}"
                )
            if (np.asarray(at_zero) < np.asarray(floor) + np.asarray(scale)).any():
                raise ValueError(
                    f"at_zero must be at least L(1) = floor + scale, since a loss curve never "
                    f"rises, got {self.at_zero!r}"
                )
        with np.errstate(divide="ignore", over="ignore"):
            at_start = np.where(unshifted, 0.0, scale * np.power(np.asarray(shift), -beta))
        if not np.isfinite(at_start + floor + scale).all():
            raise ValueError(
                f"shift must leave L(0) = floor + scale * shift^-beta finite, got "
                f"shift={self.shift!r} with beta={self.beta!r}, scale={self.scale!r}"
            )
        self._freeze(beta=beta, scale=scale, floor=floor, shift=shift, at_zero=at_zero)

    @property
    def limit(self) -> Any:
        """The floor."""
        return self.floor

    @property
    def tail_exponent(self) -> Any:
        """The exponent beta."""
        return self.beta

    @property
    def power_tail(self) -> tuple[float, float, float] | None:
        """Return the curve itself, if it is one for all features."""
        return None if self.size is not None else (self.scale, self.beta, self.shift)

    @property
    def convex(self) -> bool:
        """True for shift > 0; for shift = 0 if L(0) lies high enough."""
        return bool(np.all(self._bridge <= 1.0))

    @cached_property
    def _unshifted(self) -> Any:
        return np.asarray(self.shift) == 0.0

    @cached_property
    def _zero_excess(self) -> Any:
        """L(0) - floor."""
        if self.at_zero is not None:
            return self.at_zero - np.asarray(self.floor)
        with np.errstate(divide="ignore"):
            shifted = self.scale * np.power(np.asarray(self.shift, dtype=np.float64), -self.beta)
        return np.where(self._unshifted, self.scale, shifted)

    @cached_property
    def _bridge(self) -> Any:
        """Length of the envelope's first piece: 1, 2 or 3.

        It is the n that maximises (L(0) - L(n)) / n; L(0) >= L(1) keeps it at 3 or below, since
        the maximiser of (1 - x^-beta)/x is (1+beta)^(1/beta) < e.
        """
        if not np.any(self._unshifted):
            return np.ones(1)
        slopes = [self._chord(float(n)) for n in (1, 2, 3)]
        best = 1.0 + np.argmax(np.stack(np.broadcast_arrays(*slopes)), axis=0)
        return np.where(self._unshifted, best, 1.0)

    def _chord(self, n: Any) -> Any:
        below_one = -np.expm1(-np.asarray(self.beta) * np.log(n))  # 1 - n^-beta
        return (self._zero_excess - self.scale + self.scale * below_one) / n

    @cached_property
    def _bridge_gain(self) -> Any:
        return self._chord(np.asarray(self._bridge, dtype=np.float64))

    def excess(self, n: Floats) -> Floats:
        """Scale (n + shift)^-beta, and the stated value at n = 0."""
        with np.errstate(divide="ignore"):
            out = self.scale * np.power(n + self.shift, -np.asarray(self.beta))
        return np.asarray(np.where(n == 0.0, self._zero_excess, out))

    def envelope_excess(self, n: Floats) -> Floats:
        """Excess, with the first ``bridge`` latents on a straight line."""
        out = self.excess(n)
        if self.convex:
            return out
        line = self._zero_excess - n * self._bridge_gain
        return np.asarray(np.where((n > 0.0) & (n < self._bridge), line, out))

    def envelope_gain(self, n: Floats) -> Floats:
        """Return the gain of the n-th latent on the envelope."""
        y = n - 1.0 + self.shift
        beta, scale, shift = self.beta, self.scale, self.shift
        large = y >= _SERIES_FROM * (4.0 + beta)
        if large.all():
            out = _series_gain(y + 0.5, beta, scale)
        elif not large.any():
            out = _direct_gain(y, beta, scale)
        else:
            spread = [np.broadcast_to(np.asarray(v), y.shape) for v in (beta, scale)]
            out = np.empty(y.shape)
            small = ~large
            out[large] = _series_gain(y[large] + 0.5, spread[0][large], spread[1][large])
            out[small] = _direct_gain(y[small], spread[0][small], spread[1][small])
        if np.any(np.asarray(shift) == 0.0):
            out = np.where(self._unshifted & (n <= self._bridge), self._bridge_gain, out)
        return np.asarray(out)

    def segment(self, n: Floats) -> tuple[Floats, Floats]:
        """Return 0 and ``bridge`` for the first piece; n - 1 and n beyond."""
        bridged = n <= self._bridge
        return (
            np.asarray(np.where(bridged, 0.0, n - 1.0)),
            np.asarray(np.where(bridged, self._bridge, n)),
        )

    def _invert(self, gain: Floats) -> tuple[Floats, Floats]:
        beta, shift = self.beta, self.shift
        power = 1.0 / (1.0 + beta)
        first = np.power(self.scale * beta / gain, power)  # leading order of the midpoint
        square = 1.0 / (first * first)
        step = np.minimum((2.0 + beta) / 24.0 * square, 0.5)
        z = first * (1.0 + step)
        inverse = 1.0 / (z * z)
        tail = inverse * (_C1(beta) + inverse * _C2(beta))
        z = np.where(
            step < 1e-3, first * (1.0 + power * tail * (1.0 - 0.5 * beta * power * tail)), z
        )
        x = z + 0.5 - shift
        # Rounding of the powers and what the series leaves out; no certainty where it is not used.
        error = 4e-14 * z + np.where(z < _SERIES_FROM * (5.0 + beta), 1.0, 0.0)
        if np.any(np.asarray(shift) != 0.0):
            error = error + 4e-16 * shift
        return np.asarray(x), np.asarray(error)

    def continuous_latents(self, slope: Floats) -> Floats:
        """Return (scale beta / slope)^(1/(1+beta)) - shift, and 0 before the tangent from n = 0."""
        with np.errstate(over="ignore", divide="ignore"):
            x = np.power(self.scale * self.beta / slope, 1.0 / (1.0 + self.beta))
        smallest = np.where(self._unshifted, self._tangent, np.asarray(self.shift))
        reached = np.where(x >= smallest, x - self.shift, 0.0)
        return np.asarray(np.maximum(reached, 0.0))

    @cached_property
    def _tangent(self) -> Any:
        """Where the tangent from (0, L(0)) touches the unshifted curve.

        With r = (L(0) - floor) / scale, L(0) - L(n) = n (-L'(n)) reads r - n^-beta = beta n^-beta.
        """
        ratio = self._zero_excess / self.scale
        return np.power((1.0 + np.asarray(self.beta)) / ratio, 1.0 / np.asarray(self.beta))

    def continuous_excess(self, n: Floats) -> Floats:
        """Excess at real n, on the tangent from n = 0 where that lies below the curve."""
        with np.errstate(divide="ignore"):
            out = self.scale * np.power(n + self.shift, -np.asarray(self.beta))
        touch = self._tangent
        at_touch = self.scale * np.power(touch, -np.asarray(self.beta))
        line = self._zero_excess - n * (self._zero_excess - at_touch) / touch
        return np.asarray(np.where(self._unshifted & (n < touch), line, out))


def _direct_gain(y: Floats, beta: Any, scale: Any) -> Floats:
    """Scale (y^-beta - (y+1)^-beta) for y >= 0; inf at y = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = scale * np.power(y, -np.asarray(beta)) * -np.expm1(-beta * np.log1p(1.0 / y))
    return np.asarray(gain)


def _series_gain(z: Floats, beta: Any, scale: Any) -> Floats:
    """Return the same as a series in the midpoint z = y + 1/2, for z above 256."""
    inverse = 1.0 / (z * z)
    series = 1.0 + inverse * (_C1(beta) + inverse * (_C2(beta) + inverse * _C3(beta)))
    return np.asarray(scale * beta * np.power(z, -(1.0 + np.asarray(beta))) * series)


def _C1(beta: Any) -> Any:
    return (1.0 + beta) * (2.0 + beta) / 24.0


def _C2(beta: Any) -> Any:
    return _C1(beta) * (3.0 + beta) * (4.0 + beta) / 80.0


def _C3(beta: Any) -> Any:
    return _C2(beta) * (5.0 + beta) * (6.0 + beta) / 168.0
