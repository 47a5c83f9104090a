"""Exponents read off a curve: the slope of a line on logarithmic axes, and that of the gains.

:func:`line_exponent` is the slope of a straight line, with a test of whether the points bend.
:func:`gain_exponent` is the g of -dL/dn = A n^-g, which knows no floor: least squares of the losses
with a free constant of either sign, which is generalised least squares of their differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting.power_law import PowerLawFit

if TYPE_CHECKING:
    import pandas as pd

Interval = tuple[float, float]

#: Significance at which points are said not to lie on a line, or gains not on a power law.
SIGNIFICANCE = 0.01
NO_EXPONENT = "gain exponent not identified"

_EPS = float(np.finfo(np.float64).eps)
_ROUNDING = 64.0 * _EPS


@final
@dataclass(frozen=True)
class ExponentEstimate:
    """An exponent read off points, what it may be, and whether to believe it.

    Attributes
    ----------
    value : float
        nan where the points have no such exponent (gains of a loss that does not fall).
    interval : (float, float)
        At the level asked for; infinite ends where the points leave it open.
    status : str
        "ok", or what is wrong.
    message : str
        The status in a sentence, with its numbers.
    """

    value: float
    interval: Interval
    status: str
    message: str


@final
@dataclass(frozen=True, eq=False)
class CurveExponents:
    """The three exponents of a measured curve; each positive where the loss falls.

    Attributes
    ----------
    raw : ExponentEstimate
        -d ln loss / d ln n, floor included, by unweighted least squares. Status "ok" or "curved".
    excess : ExponentEstimate
        b of loss = floor + C n^-b. Status of :class:`PowerLawFit`.
    gain : ExponentEstimate
        g of -dL/dn = A n^-g: 1 + b in a pure power law, whatever its floor. Status "ok", "gain
        exponent not identified" or "gains not a power law".
    fit : PowerLawFit
        The fit behind ``excess``.
    level : float
        Confidence level of the intervals.
    """

    raw: ExponentEstimate
    excess: ExponentEstimate
    gain: ExponentEstimate
    fit: PowerLawFit
    level: float

    def table(self) -> pd.DataFrame:
        """One row an exponent: exponent (its name), value, low, high, status, message."""
        import pandas as pd

        rows = [
            {"exponent": name, "value": e.value, "low": e.interval[0], "high": e.interval[1]}
            | {"status": e.status, "message": e.message}
            for name, e in (("raw", self.raw), ("excess", self.excess), ("gain", self.gain))
        ]
        return pd.DataFrame(rows)


def line_exponent(
    x: Floats, y: Floats, error: Floats | None, level: float, what: str
) -> ExponentEstimate:
    """Slope of y on x by unweighted least squares, and a test of whether the points bend.

    ``error`` holds standard errors of y; None takes one error for all from the scatter.
    """
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    m = x.size
    t = x - x.mean()
    linear = t / (t @ t)  # slope = linear @ y
    bow = t * t - np.mean(t * t) - t * (linear @ (t * t))
    bend = bow / (bow @ bow)  # quadratic term = bend @ y
    slope, curvature = float(linear @ y), float(bend @ y)
    tail = 0.5 * (1.0 - level)
    if error is None:
        residual = y - y.mean() - slope * t
        rounding = _ROUNDING * (1.0 + np.abs(y).max())
        scatter = max(math.sqrt(float(residual @ residual) / (m - 2)), rounding)
        half = -float(stdtrit(m - 2, tail)) * scatter * math.sqrt(linear @ linear)
        rest = residual - curvature * bow
        p = 1.0
        if m > 3:
            scatter = max(math.sqrt(float(rest @ rest) / (m - 3)), rounding)
            score = abs(curvature) / (scatter * math.sqrt(bend @ bend))
            p = 2.0 * float(stdtr(m - 3, -score))
    else:
        half = -float(ndtri(tail)) * math.sqrt(linear**2 @ error**2)
        score = abs(curvature) / math.sqrt(bend**2 @ error**2)
        p = 2.0 * float(ndtr(-score))
    interval = (slope - half, slope + half)
    bent = p < SIGNIFICANCE
    shape = "bends: its slope depends on the range" if bent else "shows no bend"
    return ExponentEstimate(
        slope,
        interval,
        "curved" if bent else "ok",
        f"{what} against ln n {shape} (quadratic term {curvature:.3g}, p = {p:.2g}).",
    )


def gain_exponent(
    n: Floats, loss: Floats, stderr: Floats | None, exact: bool, level: float
) -> ExponentEstimate:
    """Exponent g of -dL/dn = A n^-g: the least of a sum of squares over g, and its profile."""
    from scipy.optimize import minimize_scalar
    from scipy.special import chdtrc, ndtri, stdtrit

    log_n = np.log(n)
    if exact and (np.diff(loss) >= 0.0).any():
        return _no_gains("Some of the gains are 0 or negative", "gains not a power law")
    if exact:
        law: _LossLaw | _GainLaw = _GainLaw(log_n, np.log(-np.diff(loss)))
        rounding = (_ROUNDING * loss[1:] / np.diff(loss)) ** 2
    else:
        root = loss.max() / (loss if stderr is None else stderr)
        law = _LossLaw(log_n, loss / loss.max(), root)
        rounding = np.full(n.size, _ROUNDING**2)
    # exponent, amplitude and constant; gains are one fewer, and have no constant
    nu = n.size - 3

    # Beyond the ends the fall is one step between two points, to rounding.
    ends = -math.log(_EPS) / np.array([log_n[-1] - log_n[-2], log_n[1] - log_n[0]])
    flat = 1e-3 / (log_n[-1] - log_n[0])
    grid = np.concatenate(
        [-np.geomspace(flat, ends[0], 200)[::-1], [0.0], np.geomspace(flat, ends[1], 200)]
    )
    sums = law.squares(grid)
    at = int(np.argmin(sums))
    best, least = float(grid[at]), float(sums[at])
    bracket = (grid[max(at - 1, 0)], grid[min(at + 1, grid.size - 1)])
    refined = minimize_scalar(
        lambda b: float(law.squares(np.array([b]))[0]),
        bounds=bracket,
        method="bounded",
        options={"xatol": 1e-13},
    )
    if refined.fun <= least:
        best, least = float(refined.x), float(refined.fun)
    if not law.falls(best):
        return _no_gains("The loss does not fall with n", NO_EXPONENT)

    p = 1.0
    if stderr is None:
        quantile = float(stdtrit(nu, 0.5 * (1.0 + level))) ** 2
        limit = max(least, float(rounding.sum())) * (1.0 + quantile / nu)
    else:
        limit = least + float(ndtri(0.5 * (1.0 + level))) ** 2
        p = float(chdtrc(nu, least))
    low, high = (1.0 + b for b in _profile(law, grid, sums, best, limit))
    stated = f"at level {level:g} the gains fall as n^-g with g in [{low:.3g}, {high:.3g}]"
    status, message = "ok", f"Known to within a factor of 2: {stated}."
    if low <= 0.0 or high > 2.0 * low:
        status, message = NO_EXPONENT, f"Not within a factor of 2: {stated}."
    elif p < SIGNIFICANCE:
        status = "gains not a power law"
        message = f"Residuals are too large for the standard errors (p = {p:.2g}); {stated}."
    return ExponentEstimate(1.0 + best, (low, high), status, message)


def _no_gains(why: str, status: str) -> ExponentEstimate:
    return ExponentEstimate(
        math.nan, (-math.inf, math.inf), status, f"{why}: the gains have no exponent."
    )


def _profile(
    law: _LossLaw | _GainLaw, grid: Floats, sums: Floats, best: float, limit: float
) -> Interval:
    """Outermost values with a sum of squares of at most ``limit``; infinite where the grid ends."""
    from scipy.optimize import brentq

    def above(b: float) -> float:
        return float(law.squares(np.array([b]))[0]) - limit

    out = []
    for side in (-1, 1):
        values, passes = grid[::side], (sums <= limit)[::side]
        beyond = (values - best) * side > 0.0
        # from the far end inwards to the first that passes, or to the best
        values, passes = values[beyond][::-1], passes[beyond][::-1]
        if not values.size or passes[0]:
            out.append(side * math.inf)
            continue
        first = int(np.argmax(passes)) if passes.any() else values.size
        inner = float(values[first]) if passes.any() else best
        out.append(float(brentq(above, values[first - 1], inner, xtol=1e-14)))
    return out[0], out[1]


@dataclass(frozen=True, eq=False)
class _LossLaw:
    """Losses as c - A (n^-b falling), A >= 0, with a constant of either sign.

    Least squares of the losses up to a constant is generalised least squares of their differences,
    with the correlations of those.

    Parameters
    ----------
    log_n, loss, root : (k,) floats
        ``root``: square roots of the weights.
    """

    log_n: Floats
    loss: Floats
    root: Floats

    def squares(self, b: Floats) -> Floats:
        """Sums of squares at exponents b = g - 1, at the best constant and amplitude: (j,)."""
        return self._best(b)[1]

    def falls(self, b: float) -> bool:
        """Whether the best amplitude is not 0."""
        return bool(self._best(np.array([b]))[0][0] > 0.0)

    def _best(self, b: Floats) -> tuple[Floats, Floats]:
        # n^-b/b up to a constant and a factor that keep it finite; -ln n at b = 0
        reach = self.log_n - np.where(b > 0.0, self.log_n[0], self.log_n[-1])[:, None]
        size = np.maximum(np.abs(b), 1e-290)[:, None]
        sign = np.where(b < 0.0, -1.0, 1.0)[:, None]
        law = sign * np.expm1(-sign * size * reach) / size
        weight = self.root**2
        law = law - np.average(law, weights=weight, axis=1)[:, None]
        here = self.loss - np.average(self.loss, weights=weight)
        amplitude = np.maximum((law @ (weight * here)) / ((law * law) @ weight), 0.0)
        rest = self.root * (here - amplitude[:, None] * law)
        return amplitude, np.asarray((rest * rest).sum(axis=1))


@dataclass(frozen=True, eq=False)
class _GainLaw:
    """Logarithms of gains between points, ln A + ln of the integral of n^-(1+b), all alike.

    Parameters
    ----------
    log_n : (k,) floats
    log_gain : (k - 1,) floats
        Of the whole difference of neighbouring losses.
    """

    log_n: Floats
    log_gain: Floats

    def squares(self, b: Floats) -> Floats:
        """Sums of squares at exponents b = g - 1, at the best amplitude: (j,)."""
        size = np.maximum(np.abs(b), 1e-290)[:, None]
        # from the end of the interval where n^-b is larger
        start = np.where(b[:, None] < 0.0, self.log_n[1:], self.log_n[:-1])
        law = np.log(-np.expm1(-size * np.diff(self.log_n)) / size) - b[:, None] * start
        rest = self.log_gain - law
        rest = rest - rest.mean(axis=1, keepdims=True)
        return np.asarray((rest * rest).sum(axis=1))

    def falls(self, b: float) -> bool:  # noqa: ARG002
        """Always: gains with a logarithm are positive."""
        return True
