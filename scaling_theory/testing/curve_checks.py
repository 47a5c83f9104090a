"""Check that a loss curve keeps its word: each method is held to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve
from scaling_theory.testing._require import require

#: Every number of latents up to here is looked at, larger ones on a logarithmic grid.
_EACH = 200
#: Of array parameters, so many features are looked at one by one.
_FEATURES = 6
#: Relative rounding of losses and of gains: some tens of units in the last place.
_LOSS, _GAIN = 1e-12, 4e-15
_EPS = 2.0**-52
#: From y = _MIDPOINT (4 + beta) on, gains of a power tail are compared with its midpoint series.
_MIDPOINT = 64.0


def check_curve(curve: LossCurve, most: Any = 10**12) -> None:
    """Check that a curve honours the interface of ``LossCurve``.

    - The loss never rises, and ends at ``limit``; its differences are the gains.
    - The envelope is convex, below the curve, touches it at the ends of its pieces, and its
      differences are ``envelope_gain``; it is the curve itself if ``convex``.
    - ``latents_for_gain`` and ``count_at`` invert the gains exactly, also at ties and one unit in
      the last place beside them: so ``_invert`` is honest about its error.
    - ``tail_exponent`` is the decay of the excess: with ``power_tail`` = (a, beta, s) it is
      a (n + s)^-beta to rounding from ``tail_from`` on, and the gains are its gains (no
      cancellation); if infinite, the excess falls faster than any power.
    - A ``smooth`` curve's ``continuous_latents`` minimise ``continuous_excess`` + slope n.
    - Parameters that are arrays mean so many curves, and arguments are not changed.

    Parameters
    ----------
    curve
        Shared, or with one parameter per feature (then some features are looked at in turn).
    most
        Largest number of latents to look at, a whole number from 2 to 1e15.

    Raises
    ------
    AssertionError
        Saying which claim fails, and where.
    ValueError
        If ``curve`` is no LossCurve.
    """
    if not isinstance(curve, LossCurve):
        raise ValueError(f"curve must be a LossCurve, got {curve!r}")
    upto = _validate.whole("most", most, low=2, high=_validate.MAX_LATENTS)
    settings = getattr(type(curve), "__dataclass_params__", None)
    require(
        settings is not None and settings.frozen, "a curve must be a frozen dataclass", curve=curve
    )
    for name in curve.per_feature:
        require(hasattr(curve, name), f"per_feature names {name!r}, which must be a field")
    if curve.size is None:
        features = [_Feature(curve, None)]
    else:
        features = [_Feature(curve, j) for j in range(min(curve.size, _FEATURES))]
        _check_arrays(curve)
    for feature in features:
        n = _grid(upto)
        _check_losses(feature, n)
        _check_envelope(feature, n)
        _check_counts(feature, n)
        _check_tail(feature, upto)
        if curve.smooth:
            _check_smooth(feature, n)


@dataclass(frozen=True)
class _Feature:
    """One feature of a curve, evaluated at many n."""

    whole: LossCurve
    index: int | None

    def curve(self, k: int) -> LossCurve:
        """Return the curve for arguments of shape (k,)."""
        return self.whole if self.index is None else self.whole.take(np.full(k, self.index))

    def at(self, method: str, n: Floats) -> Floats:
        """Return the values of a method, after checking shape and type."""
        given = n.copy()
        out = getattr(self.curve(n.size), method)(n)
        require((n == given).all(), f"{method} must not change its argument", curve=self.whole)
        right = isinstance(out, np.ndarray) and out.shape == n.shape and out.dtype == np.float64
        require(right, f"{method} must return float64 of its argument's shape", value=out)
        require(~np.isnan(out), f"{method} must not be nan", n=n, curve=self.whole)
        return np.asarray(out)

    def number(self, name: str) -> float:
        """Return the value of a property."""
        return float(np.ravel(getattr(self.curve(1), name))[0])

    @property
    def rounding(self) -> float:
        """Rounding of losses next to n = 0."""
        zero = np.zeros(1)
        return 8.0 * _EPS * (abs(self.number("limit")) + float(self.at("excess", zero)[0]))


def _grid(most: int) -> Floats:
    """Whole numbers 0 .. most: all of the first, then pairs of neighbours."""
    far = np.rint(np.geomspace(1.0, float(most), 240))
    every = np.concatenate([np.arange(min(most, _EACH) + 1.0), far, far + 1.0])
    return np.unique(every[every <= most])


def _check_losses(f: _Feature, n: Floats) -> None:
    limit, excess, tiny = f.number("limit"), f.at("excess", n), f.rounding
    require(np.isfinite(limit), "limit must be finite", limit=limit)
    require(np.isfinite(excess), "excess must be finite", n=n, excess=excess)
    require(excess >= 0.0, "excess must be at least 0: L(n) >= limit", n=n, excess=excess)
    rise = np.diff(excess) <= _LOSS * excess[1:] + tiny
    require(rise, "the loss must never rise", n=n[1:], before=excess[:-1], excess=excess[1:])
    later = n[n >= 1.0]
    gain = f.curve(later.size).gain(later)
    before, after = f.at("excess", later - 1.0), f.at("excess", later)
    close = np.abs(gain - (before - after)) <= _LOSS * before + tiny
    require(close, "gain(n) must be L(n-1) - L(n)", n=later, gain=gain, fall=before - after)


def _check_envelope(f: _Feature, n: Floats) -> None:
    tiny, later = f.rounding, n[n >= 1.0]
    excess, envelope = f.at("excess", n), f.at("envelope_excess", n)
    below = envelope <= excess * (1.0 + _LOSS) + tiny
    require(below, "the envelope must not lie above the curve", n=n, envelope=envelope, loss=excess)
    gain = f.at("envelope_gain", later)
    require(gain >= 0.0, "envelope_gain must be at least 0", n=later, gain=gain)
    falls = gain[1:] <= gain[:-1] * (1.0 + _GAIN)
    require(falls, "envelope_gain must not grow", n=later[1:], before=gain[:-1], gain=gain[1:])
    before, after = f.at("envelope_excess", later - 1.0), f.at("envelope_excess", later)
    close = np.abs(gain - (before - after)) <= _LOSS * before + tiny
    require(
        close, "envelope_gain must be the envelope's fall", n=later, gain=gain, fall=before - after
    )
    start, end = f.curve(later.size).segment(later)
    inside = (start >= 0.0) & (start < later) & (later <= end)
    require(inside, "segment(n) must hold latent n", n=later, start=start, end=end)
    for edge in (start, end):
        curve, hull = f.at("excess", edge), f.at("envelope_excess", edge)
        touch = np.abs(curve - hull) <= _LOSS * hull + tiny
        require(touch, "the envelope must touch the curve at the ends of segments", n=edge,
                envelope=hull, loss=curve)  # fmt: skip
    for edge in (start + 1.0, end):
        other = f.at("envelope_gain", edge)
        same = np.abs(other - gain) <= _GAIN * gain
        require(same, "envelope_gain must be equal within a segment", n=later, gain=gain, end=other)
    if f.curve(1).convex:
        straight = np.abs(envelope - excess) <= _LOSS * excess + tiny
        require(straight, "a convex curve is its envelope", n=n, envelope=envelope, loss=excess)
        each = (start == later - 1.0) & (end == later)
        require(each, "segments of a convex curve are (n - 1, n)", n=later, start=start, end=end)


def _check_counts(f: _Feature, n: Floats) -> None:
    gain = np.unique(f.at("envelope_gain", n[n >= 1.0]))
    gain = gain[gain > 0.0]
    if not gain.size:
        return
    between = np.sqrt(gain[1:]) * np.sqrt(gain[:-1])
    beside = [np.nextafter(gain, 0.0), np.nextafter(gain, np.inf), between, gain[-1:] * 2.0]
    with np.errstate(over="ignore", under="ignore"):
        asked = np.concatenate([gain, *beside])
        for weight in (1.0, 0.3, 7.0, 1e-7):
            price = weight * asked
            price = price[(price > 0.0) & np.isfinite(price)]
            _check_count(f, weight, price)
    price = gain[gain > 0.0]
    counts = f.curve(price.size).latents_for_gain(price)
    want = f.curve(price.size).count_at(np.ones_like(price), 1.0, gain=price)
    require(counts == want, "latents_for_gain must count as count_at", gain=price, counts=counts)


def _check_count(f: _Feature, weight: float, price: Floats) -> None:
    weights = np.full(price.size, weight)
    count = f.curve(price.size).count_at(weights, 1.0, gain=price)
    some, few = count >= 1.0, count < 2.0**53 - 1.0
    seen: dict[str, Any] = {"price": price, "weight": weights, "count": count}
    last = np.where(some, weight * f.at("envelope_gain", np.maximum(count, 1.0)), np.inf)
    require(last >= price, "the last latent counted must be worth the price", last=last, **seen)
    left = np.where(few, weight * f.at("envelope_gain", np.where(few, count + 1.0, 1.0)), 0.0)
    require(left < price, "the next latent must not be worth the price", next=left, **seen)


def _check_tail(f: _Feature, most: int) -> None:
    curve, beta = f.curve(1), f.number("tail_exponent")
    require(beta > 0.0, "tail_exponent must be greater than 0", tail_exponent=beta)
    tail = f.whole.power_tail
    if np.isinf(beta):
        require(tail is None, "power_tail must be None without a power tail", power_tail=tail)
        _check_fast_tail(f)
        return
    if tail is None:
        told = f.index is not None
        require(told, "power_tail must be stated beside a finite tail_exponent", beta=beta)
        _check_slope(f, beta)
        return
    scale, exponent, shift = tail
    require(exponent == beta, "power_tail and tail_exponent must agree", tail=exponent, beta=beta)
    start = float(max(curve.tail_from, 1))
    n = np.unique(np.rint(np.geomspace(start, max(float(most), 2.0 * start), 100)))
    with np.errstate(over="ignore", under="ignore"):
        want, excess = scale * np.power(n + shift, -beta), f.at("excess", n)
        seen = want > 1e-290
        close = ~seen | (np.abs(excess - want) <= _LOSS * want)
        require(close, "excess must be scale (n + shift)^-beta from tail_from on", n=n,
                excess=excess, want=want)  # fmt: skip
        n = n[n - 0.5 + shift > np.maximum(start + 1.0, _MIDPOINT * (4.0 + beta))]
        y = n - 0.5 + shift
        second = (1.0 + beta) * (2.0 + beta) / 24.0 / (y * y)
        fourth = second * (3.0 + beta) * (4.0 + beta) / 80.0 / (y * y)
        want = scale * beta * np.power(y, -(1.0 + beta)) * (1.0 + second + fourth)
        gain = f.at("envelope_gain", n) if n.size else n
        close = (want <= 1e-290) | (np.abs(gain - want) <= _LOSS * want)
    require(close, "envelope_gain must not lose digits in the tail", n=n, gain=gain, want=want)


def _check_slope(f: _Feature, beta: float) -> None:
    """The slope on logarithmic axes approaches -beta as a power tail's does, with 1/n."""
    n = np.array([1e12, 2e12])
    excess = f.at("excess", n)
    if excess[1] > 1e-290:
        slope = -float(np.diff(np.log(excess))[0] / np.log(2.0))
        close = abs(slope - beta) <= 1e-6 * (1.0 + beta)
        require(close, "tail_exponent must be the slope of the excess", slope=slope, beta=beta)


def _check_fast_tail(f: _Feature) -> None:
    n = 10.0 ** np.arange(16.0)
    excess = f.at("excess", n)
    if excess[-1] > 1e-290:
        slopes = -np.diff(np.log(excess))
        steeper = slopes[-1] > 1.02 * slopes[-2] > 0.0
        require(steeper, "with an infinite tail_exponent the excess must fall faster than any "
                "power, to 0", slope_at_1e15=slopes[-1], slope_at_1e14=slopes[-2])  # fmt: skip


def _check_smooth(f: _Feature, n: Floats) -> None:
    tiny, at = f.rounding, f.at("continuous_excess", n)
    envelope = f.at("envelope_excess", n)
    low = at <= envelope * (1.0 + _LOSS) + tiny
    require(low, "continuous_excess must not exceed the envelope at whole n", n=n, real=at,
            envelope=envelope)  # fmt: skip
    same = abs(at[0] - envelope[0]) <= _LOSS * envelope[0]
    require(same, "continuous_excess must be the excess at 0", real=at[0], whole=envelope[0])
    gain = f.at("envelope_gain", n[n >= 1.0])
    slope = gain[gain > 1e-290]
    if not slope.size:
        return
    best = f.at("continuous_latents", slope)
    good = np.isfinite(best) & (best >= 0.0)
    require(good, "continuous_latents must be finite and at least 0", slope=slope, n=best)
    least = f.at("continuous_excess", best) + slope * best
    for other in (0.0 * best, 0.5 * best, 0.99 * best, 1.01 * best + 0.01, 2.0 * best + 1.0):
        value = f.at("continuous_excess", other) + slope * other
        better = least <= value * (1.0 + _LOSS) + tiny
        require(better, "continuous_latents must minimise the loss plus slope n", slope=slope,
                n=best, value=least, other_n=other, other_value=value)  # fmt: skip


def _check_arrays(curve: LossCurve) -> None:
    """Every method treats features apart, and ``take`` selects them."""
    assert curve.size is not None
    reverse = np.arange(curve.size)[::-1]
    for n in (1.0, 2.0, 3.0, 50.0):
        at = np.full(curve.size, n)
        for method in ("excess", "envelope_excess", "envelope_gain"):
            together = getattr(curve, method)(at)
            turned = getattr(curve.take(reverse), method)(at)[::-1]
            same = np.abs(together - turned) <= _GAIN * np.abs(together)
            require(same, f"{method} must treat each feature by itself", n=at, value=together,
                    by_take=turned)  # fmt: skip
