"""Loss curves that were measured: the bridge between experiment and theory.

What to use when:

- :meth:`MeasuredCurve.exponents` for what the points say of the curve: the slope of the raw loss
  (to compare with papers), the exponent of the excess over a floor (for the law beyond the last
  point), and the exponent of the gains (for theory: only gains decide an allocation, and beta is
  that exponent minus 1).
- :meth:`MeasuredCurve.to_curve` to allocate on it, :meth:`MeasuredCurve.violations` for the points
  that were moved to make that possible, ``latent_frequencies(alloc, measured.overlap_at)`` for what
  its latents would look like.
- :meth:`MeasuredCurve.from_curve` to read a derived curve with the same eyes as a trained one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._repr import compact
from scaling_theory._validate import Floats, Ints
from scaling_theory.curves import LossCurve, TabulatedCurve
from scaling_theory.fitting import fit_power_law
from scaling_theory.fitting.exponents import (
    CurveExponents,
    ExponentEstimate,
    gain_exponent,
    line_exponent,
)
from scaling_theory.fitting.isotonic import pool_adjacent

if TYPE_CHECKING:
    import pandas as pd

Provenance = Literal["optimal", "trained"]

#: Points with n >= 1 that :meth:`MeasuredCurve.exponents` needs: one more than its parameters.
FEWEST = 4

_NOT_IDENTIFIED = "floor and exponent not identified"
_EPS = float(np.finfo(np.float64).eps)
_ROUNDING = 64.0 * _EPS
_FORMAT = "scaling_theory.MeasuredCurve/1"


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class MeasuredCurve:
    """L(n) of one feature as measured: losses, their errors, overlaps, and where they come from.

    Parameters
    ----------
    n : (k,) whole numbers
        Numbers of latents, strictly increasing, from 0 up; they need not begin at 0 or 1.
    loss : (k,) floats
        Mean loss when the feature is active, at least 0. It may rise: noise does that.
    stderr : (k,) floats, optional
        Standard error of each loss, greater than 0 (0 is allowed at n = 0, where the loss may be
        known exactly). None where no errors are known.
    overlap : (k,) floats, optional
        q, the mean number of the feature's latents that fire together when it is active, in [0, n].
    provenance : "optimal" or "trained"
        Derived, or reached by an optimiser: then the curve measures the optimiser too.
    source : str or mapping
        Recipe, seeds, citation: text, or a mapping from text to what JSON can hold.

    Raises
    ------
    ValueError
        If an argument is out of range, or lengths differ.

    Examples
    --------
    The best symmetric tilings of the circle: an excess of n^(-4/3), gains of n^(-7/3), overlaps of
    n^(1/3), all approached slowly and in steps.

    >>> import numpy as np
    >>> from scaling_theory.theory.geometry import circle_tiling
    >>> tilings = [circle_tiling(int(n)) for n in np.geomspace(256, 16384, 25)]
    >>> circle = MeasuredCurve(
    ...     [t.n for t in tilings],
    ...     [t.loss for t in tilings],
    ...     overlap=[t.overlap for t in tilings],
    ...     provenance="optimal",
    ...     source="best symmetric tilings, l1 = 0.1",
    ... )
    >>> found = circle.exponents()
    >>> round(found.excess.value, 2), round(found.gain.value, 2)
    (1.34, 2.35)
    >>> round(circle.overlap_exponent().value, 2)
    0.32
    """

    n: Ints
    loss: Floats
    stderr: Floats | None
    overlap: Floats | None
    provenance: Provenance
    _source: str

    def __init__(
        self,
        n: Any,
        loss: Any,
        stderr: Any = None,
        overlap: Any = None,
        *,
        provenance: Provenance,
        source: str | Mapping[str, Any] = "",
    ) -> None:
        n = _validate.wholes("n", n, low=0, high=_validate.MAX_LATENTS)
        if (np.diff(n) <= 0).any():
            at = int(np.argmax(np.diff(n) <= 0)) + 1
            raise ValueError(
                f"n must be strictly increasing, got n[{at}] = {n[at]} after {n[at - 1]}"
            )
        loss = _one_each("loss", loss, n)
        if stderr is not None:
            stderr = _one_each("stderr", stderr, n)
            _refuse(
                "stderr", stderr, (stderr == 0.0) & (n > 0), n, "greater than 0 where n is, or None"
            )
        if overlap is not None:
            overlap = _one_each("overlap", overlap, n)
            _refuse("overlap", overlap, overlap > n * (1.0 + 1e-12), n, "in [0, n]")
        if provenance not in ("optimal", "trained"):
            raise ValueError(f"provenance must be 'optimal' or 'trained', got {provenance!r}")
        values = {"n": n, "loss": loss, "stderr": stderr, "overlap": overlap}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "provenance", provenance)
        object.__setattr__(self, "_source", _as_json(source))

    @classmethod
    def from_curve(
        cls,
        curve: LossCurve,
        n: Any,
        overlap: Any = None,
        source: str | Mapping[str, Any] | None = None,
    ) -> Self:
        """Take points off a derived curve: a MeasuredCurve of provenance "optimal".

        Parameters
        ----------
        curve
            Any curve with one set of parameters (not an array of them).
        n
            Numbers of latents, strictly increasing.
        overlap
            q at each n, or a function of n.
        source
            By default the repr of the curve.

        Raises
        ------
        ValueError
            If an argument is out of range.

        Examples
        --------
        >>> from scaling_theory import PowerLawCurve
        >>> curve = PowerLawCurve(beta=0.5, floor=0.1, shift=0)
        >>> found = MeasuredCurve.from_curve(curve, [1, 2, 4, 8, 16, 32, 64]).exponents()
        >>> [round(e.value, 6) for e in (found.raw, found.excess, found.gain)]
        [0.383364, 0.5, 1.5]
        """
        if not isinstance(curve, LossCurve) or curve.size is not None:
            raise ValueError(f"curve must be a LossCurve of one feature, got {curve!r}")
        n = _validate.wholes("n", n, low=0, high=_validate.MAX_LATENTS)
        return cls(
            n,
            curve.loss(n),
            overlap=overlap(n.astype(np.float64)) if callable(overlap) else overlap,
            provenance="optimal",
            source=repr(curve) if source is None else source,
        )

    @property
    def source(self) -> Any:
        """Where the curve comes from: text, or a new dict."""
        return json.loads(self._source)

    def __repr__(self) -> str:
        return compact(self)

    # ---- exponents ------------------------------------------------------------------------

    def exponents(
        self,
        level: float = 0.95,
        between: tuple[Any, Any] | None = None,
        floor: str | float = "free",
    ) -> CurveExponents:
        """Read three exponents off the points.

        Parameters
        ----------
        level
            Confidence level of the intervals, in (0, 1).
        between
            (low, high): only points with low <= n <= high. By default all with n >= 1.
        floor
            Of the excess: "free", "zero" or a number, as for :func:`fit_power_law`. The gain
            exponent does not know of it.

        Returns
        -------
        CurveExponents

        Raises
        ------
        ValueError
            If an argument is out of range, there are fewer than 4 points, or a loss is 0.

        Notes
        -----
        *Raw.* Unweighted, as papers read slopes off log-log plots. With standard errors the
        interval is for the slope that exact losses would give (normal, by propagation); without, it
        is Student's, from the scatter about the line, so a bend widens it. "curved": a quadratic
        term differs from 0 at a significance of 0.01.

        *Excess.* :func:`fit_power_law` with weights 1/stderr^2, or on log-loss if there are none.
        It takes the size of the errors from the residuals, so stderr only says which are larger.

        *Gain.* Neighbouring gains share a loss, so their errors are correlated; generalised least
        squares with those correlations is least squares of the losses themselves, with a constant
        of either sign: L = c - A (n^(1-g) - 1)/(1-g), also where g <= 1 and there is no floor.
        Nothing is made isotonic first: that would bias it. The interval is a profile in g: all
        values whose sum of squares exceeds the least by at most the quantile of chi-square(1).
        Without standard errors, errors are taken as proportional to the loss and their size from
        the residuals: F(1, k - 3). "gain exponent not identified": an open interval, or ends that
        differ by more than a factor of 2. "gains not a power law": residuals too large for the
        standard errors, at a significance of 0.01 (the interval then knows nothing of that misfit),
        or, in a derived curve, gains that are not positive.

        *Derived curves* (provenance "optimal", no standard errors) have no noise: what keeps them
        off a power law is in proportion to the gains and the excess, not to the loss. There the
        gain exponent is the least squares of the logarithms of the gains between points, and the
        excess has weights n^(2(g - 1)). Intervals are from the scatter, and say how well the law
        fits this range of n, not where it tends.
        """
        level = _validate.real("level", level, low=0.0, high=1.0, low_open=True, high_open=True)
        n, loss, stderr = self._between(between)
        if n.size < FEWEST:
            raise ValueError(
                f"between must leave at least {FEWEST} points with n >= 1, got {n.size} "
                f"with between={between!r}"
            )
        _refuse("loss", loss, loss == 0.0, n, "greater than 0 for exponents")
        if stderr is not None:
            stderr = np.maximum(stderr, _EPS * loss)  # no float is known better than that
        exact = stderr is None and self.provenance == "optimal"
        gain = gain_exponent(n, loss, stderr, exact, level)
        weights = None if stderr is None else stderr**-2.0
        if exact and gain.value > 1.0:
            weights = (n / n[0]) ** (2.0 * (gain.value - 1.0))
        fit = fit_power_law(n, loss, weights=weights, floor=floor, level=level)
        relative = None if stderr is None else stderr / loss
        return CurveExponents(
            raw=line_exponent(np.log(n), -np.log(loss), relative, level, "ln loss"),
            excess=ExponentEstimate(
                fit.exponent, fit.intervals["exponent"], fit.status, fit.message
            ),
            gain=gain,
            fit=fit,
            level=level,
        )

    def gains(self) -> pd.DataFrame:
        """Mean gains per latent between neighbouring points, as they are: noise may turn the sign.

        Returns
        -------
        DataFrame
            ``n``: geometric mean of the neighbours; ``gain``: -(L(n2) - L(n1))/(n2 - n1);
            ``stderr``: its standard error, or nan. Neighbouring rows share one loss, so their
            errors are correlated (by -1/2 where all are equal). n = 0 is left out.
        """
        import pandas as pd

        n, loss, stderr = self._between(None)
        steps = np.diff(n)
        error = np.full(steps.size, np.nan) if stderr is None else np.hypot(stderr[1:], stderr[:-1])
        return pd.DataFrame(
            {
                "n": np.sqrt(n[1:] * n[:-1]),
                "gain": -np.diff(loss) / steps,
                "stderr": error / steps,
            }
        )

    # ---- overlap --------------------------------------------------------------------------

    def overlap_exponent(
        self, level: float = 0.95, between: tuple[Any, Any] | None = None
    ) -> ExponentEstimate:
        """Return theta of q ~ n^theta, by least squares of ln q on ln n.

        Points with n = 1 say nothing (one latent overlaps with none) and silent ones (q = 0) have
        no logarithm; both are left out. The interval is Student's, from the scatter about the line.

        Parameters
        ----------
        level, between
            As for :meth:`exponents`.

        Raises
        ------
        ValueError
            If there are no overlaps, or fewer than 3 points that say something.
        """
        level = _validate.real("level", level, low=0.0, high=1.0, low_open=True, high_open=True)
        q = self._overlap()
        low, high = self._range(between)
        use = (self.n >= max(low, 2)) & (self.n <= high) & (q > 0.0)
        if use.sum() < 3:
            raise ValueError(
                f"between must leave at least 3 points with n >= 2 and overlap > 0, got "
                f"{int(use.sum())} with between={between!r}"
            )
        return line_exponent(np.log(self.n[use]), np.log(q[use]), None, level, "ln overlap")

    def overlap_at(self, n: Any, exponent: float | None = None) -> Floats:
        """Return q(n), for ``latent_frequencies(alloc, overlap=measured.overlap_at)``.

        Parameters
        ----------
        n
            Numbers of latents of at least 1, any shape.
        exponent
            theta beyond the last point; by default that of :meth:`overlap_exponent`, over all
            points.

        Returns
        -------
        Floats
            ln q is linear in ln n between points, from q(1) = 1 on, and goes on from the last point
            as n^theta. Clipped to [1, n]: a measured q below 1 (some activations are missed) is 1.

        Raises
        ------
        ValueError
            If there are no overlaps, an argument is out of range, or theta is needed and there are
            too few points for it.
        """
        q = self._overlap()
        shape = np.shape(n)
        x = _validate.reals("n", np.reshape(n, -1), low=1.0)
        if exponent is not None:
            exponent = _validate.real("exponent", exponent)
        log_n, log_q = np.zeros(1), np.zeros(1)  # q(1) = 1: it is at least 1 and at most n
        use = self.n >= 2
        log_n = np.append(log_n, np.log(self.n[use]))
        log_q = np.append(log_q, np.log(np.clip(q[use], 1.0, self.n[use])))
        at = np.log(x)
        out = np.interp(at, log_n, log_q)
        beyond = at > log_n[-1]
        if beyond.any():
            theta = self.overlap_exponent().value if exponent is None else exponent
            out[beyond] = log_q[-1] + theta * (at[beyond] - log_n[-1])
        return np.clip(np.exp(np.minimum(out, at)), 1.0, x).reshape(shape)

    # ---- to a curve for allocate ----------------------------------------------------------

    def to_curve(
        self,
        beyond: Literal["power", "flat"] = "power",
        at_zero: float | None = None,
        exponent: float | None = None,
        floor: float | None = None,
        between: tuple[Any, Any] | None = None,
    ) -> TabulatedCurve:
        """Return a curve for ``allocate`` through the isotonic points.

        The losses become the closest ones that never rise, in squares weighted by 1/stderr^2 (or
        equally): runs that rise are pooled. :meth:`violations` lists the points this moves, and by
        how much.

        Parameters
        ----------
        beyond
            "flat": nothing is gained after the last point. "power": the excess over ``floor`` goes
            on as n^-exponent from the last (isotonic) point.
        at_zero
            L(0), taken as exact; to be given unless n = 0 was measured.
        exponent, floor
            The law beyond. By default both are fitted, with the floor free, and refused unless
            identified; with ``floor`` alone the exponent is fitted over it.
        between
            Points to fit the law to, as for :meth:`exponents`. All points are in the curve.

        Raises
        ------
        ValueError
            If L(0) is not stated (or twice), the law beyond is not identified, or an argument is
            out of range.
        """
        n, isotonic = self._isotonic(at_zero)[:2]
        if beyond == "flat" and not (exponent is None and floor is None):
            raise ValueError(
                f"exponent and floor must be None with beyond='flat', got exponent={exponent!r}, "
                f"floor={floor!r}"
            )
        if beyond == "power" and exponent is None:
            fit = self.exponents(between=between, floor="free" if floor is None else floor).fit
            if fit.status == _NOT_IDENTIFIED:
                raise ValueError(
                    f"beyond='power' needs an exponent and a floor that are identified, got: "
                    f"{fit.message} Give beyond='flat', or floor, or exponent and floor"
                )
            exponent, floor = fit.exponent, fit.floor
        elif between is not None:
            raise ValueError(
                f"between must be None where no law is fitted, got {between!r} with "
                f"beyond={beyond!r}, exponent={exponent!r}"
            )
        elif beyond == "power" and floor is None:
            raise ValueError(f"floor must be given with exponent={exponent!r}, got None")
        return TabulatedCurve(n, isotonic, beyond, exponent, 0.0 if floor is None else floor)

    def violations(self, at_zero: float | None = None) -> pd.DataFrame:
        """List the points that :meth:`to_curve` moves because the losses rise.

        Parameters
        ----------
        at_zero
            As for :meth:`to_curve`; here it may be left out.

        Returns
        -------
        DataFrame
            ``n``; ``loss`` as measured; ``isotonic``; ``moved`` = isotonic - loss;
            ``standard_errors`` = moved/stderr, nan without errors. Empty if nothing rises.
        """
        import pandas as pd

        n, isotonic, loss, error = self._isotonic(at_zero, optional=True)
        changed = isotonic != loss
        moved = (isotonic - loss)[changed]
        with np.errstate(divide="ignore"):
            in_errors = moved / error[changed]
        return pd.DataFrame(
            {
                "n": n[changed],
                "loss": loss[changed],
                "isotonic": isotonic[changed],
                "moved": moved,
                "standard_errors": in_errors,
            }
        )

    # ---- storage --------------------------------------------------------------------------

    def to_json(self) -> str:
        """Return the curve as JSON; :meth:`from_json` gives back every bit of it."""
        record: dict[str, Any] = {"format": _FORMAT}
        for name in ("n", "loss", "stderr", "overlap"):
            value = getattr(self, name)
            record[name] = None if value is None else value.tolist()
        record |= {"provenance": self.provenance, "source": self.source}
        return json.dumps(record, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the curve that :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is anything else.
        """
        try:
            record = json.loads(text)
        except (TypeError, ValueError) as error:
            raise ValueError(f"text must be the JSON of a MeasuredCurve, got {error}") from None
        names = {"format", "n", "loss", "stderr", "overlap", "provenance", "source"}
        if not isinstance(record, dict) or set(record) != names or record["format"] != _FORMAT:
            raise ValueError(
                f"text must be the JSON of a MeasuredCurve: an object with format {_FORMAT!r} and "
                f"{', '.join(sorted(names - {'format'}))}, got {text[:60]!r}"
            )
        del record["format"]
        return cls(**record)

    # ---- helpers --------------------------------------------------------------------------

    def _overlap(self) -> Floats:
        if self.overlap is None:
            raise ValueError("overlap must be given to the MeasuredCurve for this, got None")
        return self.overlap

    def _range(self, between: tuple[Any, Any] | None) -> tuple[float, float]:
        """Bounds of n, at least 1."""
        if between is None:
            return 1.0, math.inf
        if not isinstance(between, (tuple, list)) or len(between) != 2:
            raise ValueError(f"between must be two numbers (low, high), got {between!r}")
        low = _validate.real("between[0]", between[0], low=1.0)
        return low, _validate.real("between[1]", between[1], low=low)

    def _between(self, between: tuple[Any, Any] | None) -> tuple[Floats, Floats, Floats | None]:
        """Points in a range of n: n as floats, losses, standard errors."""
        low, high = self._range(between)
        use = (self.n >= low) & (self.n <= high)
        error = None if self.stderr is None else self.stderr[use]
        return self.n[use].astype(np.float64), self.loss[use], error

    def _isotonic(
        self, at_zero: float | None, optional: bool = False
    ) -> tuple[Ints, Floats, Floats, Floats]:
        """Points from n = 0 on: n, isotonic losses, losses, standard errors (nan if unknown)."""
        n, loss = self.n, self.loss
        error = np.full(n.size, np.nan) if self.stderr is None else self.stderr
        weight = np.ones(n.size) if self.stderr is None else _inverse_squares(self.stderr)
        if at_zero is None:
            if n[0] > 0 and not optional:
                raise ValueError(
                    "at_zero must be given where n = 0 was not measured (the loss with no latents "
                    "decides what the first one buys), got None"
                )
        elif n[0] == 0:
            raise ValueError(
                f"at_zero must be None where n = 0 was measured, got {at_zero!r} beside "
                f"loss[0] = {float(loss[0])!r}"
            )
        else:
            exact = _validate.real("at_zero", at_zero, low=0.0)
            if exact < loss.min():
                raise ValueError(
                    f"at_zero must be at least the smallest loss, {float(loss.min())!r}: latents "
                    f"may be left unused, got {at_zero!r}"
                )
            n, loss, error = np.append(0, n), np.append(exact, loss), np.append(0.0, error)
            weight = np.append(math.inf, weight)
        return n, pool_adjacent(loss, weight), loss, error


def _one_each(name: str, values: Any, n: Ints) -> Floats:
    array = _validate.reals(name, values, low=0.0)
    if array.size != n.size:
        raise ValueError(f"{name} must have one value per n, got {array.size} for {n.size}")
    return array


def _refuse(name: str, values: Floats, bad: Any, n: Any, allowed: str) -> None:
    if bad.any():
        at = int(np.argmax(bad))
        value = float(values[at])
        raise ValueError(f"{name} must be {allowed}, got {name}[{at}] = {value!r} at n = {n[at]:g}")


def _as_json(source: Any) -> str:
    """Text of a source that comes back as it went in."""
    value = dict(source) if isinstance(source, Mapping) else source
    try:
        text = json.dumps(value, allow_nan=False)
        same = isinstance(value, (str, dict)) and json.loads(text) == value
    except (TypeError, ValueError, RecursionError):
        same = False
    if not same:
        raise ValueError(
            "source must be text, or a mapping from text to what JSON can hold (text, finite "
            f"numbers, true, false, null, lists and mappings), got {source!r}"
        )
    return text


def _inverse_squares(stderr: Floats) -> Floats:
    """Weights of losses, up to a factor; infinite where a loss is exact."""
    known = stderr > 0.0
    weight = np.full(stderr.size, math.inf)
    if known.any():
        weight[known] = (stderr[known] / stderr[known].min()) ** -2.0
    return weight
