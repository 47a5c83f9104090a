"""Closed forms for the firing frequencies of latents: one law, three regimes.

Feature i has n_i = kappa i^-gamma latents, gamma = (1+alpha)/(1+beta), and shares them with overlap
q = n^theta. Its latents fire with f_i = p_i q(n_i)/n_i, which falls with i as i^-(gamma (beta +
theta)), and those of the features up to i are r(i) = kappa (zeta(gamma) - zeta(gamma, i + 1)) many.
With g = zeta(gamma) - 1/(gamma - 1), which is Euler's constant at gamma = 1, the two make

    f(r) = f_1 [1 + (1 - gamma)(r/kappa - g)]^(-gamma (beta + theta)/(1 - gamma)),

    d ln f / d ln r = -(1+alpha)(beta+theta) r / [(beta - alpha)(r - kappa zeta(gamma))].

- benign, beta > alpha: f is flat up to rank n_1, then falls as r^-s for n_1 << r << N, with
  s = (1+alpha)(beta+theta)/(beta-alpha). Since s - (1+alpha) = (1+alpha)(alpha+theta)/(beta-alpha),
  no slope shallower than -(1+alpha) is possible there for alpha > 0.
- pathological, beta < alpha: kappa zeta(gamma) = N, f is flat over the first 1/zeta(gamma) of the
  ranks, then falls as (1 - r/N)^((1+alpha)(beta+theta)/(alpha-beta)).
- critical, alpha = beta: f falls as exp(-(beta+theta) r/kappa).

Whatever the regime, f ends where features have one latent, with slope -(1+alpha) N/D. Derived here,
step by step in ``derive("latent_slopes")`` and ``derive("latent_plateaus")``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._sums import regular_power_sum_after, relative_expm1
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.theory.laws.prediction import predict

#: Features whose number of latents is summed one by one.
_DIRECT = 4096


@final
@dataclass(frozen=True, eq=False)
class LatentLaw:
    """What the latents of one population look like, in closed form.

    Attributes
    ----------
    regime
        "benign", "critical" or "pathological".
    alpha, beta, theta, gamma
        Exponents of frequencies, curve and overlap; gamma = (1+alpha)/(1+beta).
    latents, discovered
        N, and D by the uniform law.
    kappa
        n_i = kappa i^-gamma - shift for features with many latents.
    top, bottom
        Largest and smallest frequency of a latent. Features with n latents begin where
        p_i m(n+1) is the price and end where p_i m(n) is: ``bottom`` is the least of
        price q(n)/(n m(n)). ``top`` is that of the first feature, or, where the whole fall is
        small, the largest of price q(n)/(n m(n+1)).
    """

    regime: str
    alpha: float
    beta: float
    theta: float
    gamma: float
    latents: float
    discovered: float
    kappa: float
    top: float
    bottom: float
    _normaliser: float = field(repr=False)
    _shift: float = field(repr=False)
    _regular: float = field(repr=False)  # zeta(gamma) without its pole

    @property
    def plateau(self) -> float:
        """n_1: the ranks up to here belong to the first feature, and f is flat."""
        return self.kappa - self._shift

    @property
    def fall(self) -> float:
        """Largest over smallest frequency."""
        return self.top / self.bottom

    @property
    def end_slope(self) -> float:
        """Slope d ln f / d ln r at r = N, where the last features have one latent each.

        For curves on which n m(n)/q(n) is largest at n = 1.
        """
        return -(1.0 + self.alpha) * self.latents / self.discovered

    def at(self, ranks: Any) -> Floats:
        """Frequency of the latent of each rank, 1 to N, shape (k,) or one number -> (k,).

        Off by about 1/n on the ranks of features with n latents: exact but for whole numbers on
        the plateau and the fall of the pathological regime; in the benign regime good up to a
        rank of about a tenth of N, and beyond too high, by up to a factor of 3 at alpha = 0.5.
        """
        feature = self._feature(self._ranks(ranks))
        return np.asarray(self._rate(np.maximum(np.ceil(feature - 0.5), 1.0)))

    def slope(self, ranks: Any) -> Floats:
        """Local slope d ln f / d ln r of the smooth law at each rank; below the plateau, 0.

        The steps of the first few features, each flat, are smoothed over.
        """
        r = self._ranks(ranks)
        base = 1.0 + (1.0 - self.gamma) * (r / self.kappa - self._regular)
        with np.errstate(divide="ignore"):
            slope = -self.gamma * (self.beta + self.theta) * (r / self.kappa) / base
        return np.asarray(np.where(base > 0.0, np.where(r < self.plateau, 0.0, slope), -np.inf))

    def parametric(self, features: Any) -> tuple[Floats, Floats]:
        """(r(i), f(i)): the last rank of feature i's latents and their frequency.

        Parameters
        ----------
        features
            Whole ranks i from 1, shape (k,) or one number; up to about ``discovered``.
        """
        i = _validate.wholes("features", np.atleast_1d(np.asarray(features)), low=1).astype(float)
        direct = np.cumsum(np.arange(1.0, _DIRECT + 1.0) ** -self.gamma)
        small = np.minimum(i, _DIRECT).astype(np.int64)
        u = np.log(i + 0.5)
        beyond = self._regular + u * relative_expm1((1.0 - self.gamma) * u)
        sums = np.where(i <= _DIRECT, direct[small - 1], beyond)
        return np.asarray(self.kappa * sums - self._shift * i), self._rate(i)

    def _rate(self, i: Floats) -> Floats:
        n = np.maximum(self.kappa * i**-self.gamma - self._shift, 1.0)
        return np.asarray(self._normaliser * i ** -(1.0 + self.alpha) * n ** (self.theta - 1.0))

    def _feature(self, r: Floats) -> Floats:
        """Real i + 1/2 at which kappa (zeta(gamma) - zeta(gamma, i + 1)) is the rank."""
        y = r / self.kappa - self._regular
        base = (1.0 - self.gamma) * y
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            log = np.where(base == 0.0, y, y * np.log1p(base) / np.where(base == 0.0, 1.0, base))
        # Where the sum over ranks converges, the last latents may come out beyond its limit.
        last = math.log(self.discovered + 0.5)
        return np.asarray(np.exp(np.minimum(np.where(base > -1.0, log, last), last)))

    def _ranks(self, ranks: Any) -> Floats:
        at = np.atleast_1d(np.asarray(ranks))
        return _validate.reals("ranks", at, low=1.0, high=self.latents)


def latent_law(
    alpha: Any,
    beta: Any = None,
    *,
    latents: Any,
    theta: Any = 0.0,
    curve: LossCurve | None = None,
) -> LatentLaw:
    """State the law of the latents' frequencies for N latents.

    Parameters
    ----------
    alpha
        Exponent of infinitely many frequencies that sum to 1; greater than 0.
    beta
        Exponent of the curve (1+n)^-beta on every feature; greater than 0.
    latents
        Budget N, at least 1 and large enough for the uniform law.
    theta
        Exponent of the overlap q = n^theta, from 0 (each activation fires one latent) to 1 (all).
    curve
        Instead of ``beta``: any shared curve with a power tail.

    Notes
    -----
    kappa is (a beta c / price)^(1/(1+beta)), with the price of the uniform law at N, see
    :func:`predict`. Derived here.

    Raises
    ------
    ValueError
        If an argument is out of range, the curve has no power tail (then latents fire as the
        few kinds of features do: use ``latent_frequencies``), or N is too small.
    """
    theta = _validate.real("theta", theta, low=0.0, high=1.0)
    n_all = _validate.real("latents", latents, low=1.0, high=1e200)
    said = predict(alpha=alpha, beta=beta, curve=curve)
    shared = PowerLawCurve(beta=said.beta) if curve is None else curve
    if shared.power_tail is None:
        raise ValueError(f"curve must have a power tail, got {curve!r}")
    scale, _, shift = shared.power_tail
    price = float(said.price(n_all)[0])
    if math.isnan(price):
        raise ValueError(f"latents must be enough for the uniform law, got {latents!r}")
    c = PowerLawFrequencies(said.alpha).normaliser
    kappa = (scale * said.beta * c / price) ** (1.0 / (1.0 + said.beta))
    first = max(kappa - shift, 1.0)
    n = np.unique(np.rint(np.geomspace(1.0, max(first, 2.0), 4000)))
    shared_by = n ** (1.0 - theta)
    bottom = price / float((shared_by * shared.envelope_gain(n)).max())
    top = price / float((shared_by * shared.envelope_gain(n + 1.0))[n < first].min(initial=np.inf))
    return LatentLaw(
        said.regime, said.alpha, said.beta, theta, said.gamma, n_all,
        float(said.discovered(n_all)[0]), kappa, max(top, c * first ** (theta - 1.0)), bottom,
        c, shift, regular_power_sum_after(0, said.gamma - 1.0, 0.0),
    )  # fmt: skip


def latent_slope(alpha: Any, beta: Any = math.inf, theta: Any = 0.0) -> float:
    """Slope of ln f against ln rank in the benign regime, for ranks n_1 << r << N.

    -(1+alpha)(beta+theta)/(beta-alpha); for beta = inf, discrete features, -(1+alpha).

    Parameters
    ----------
    alpha
        Exponent of the frequencies, greater than -1.
    beta
        Exponent of the curve, greater than 0 and than alpha; inf for discrete features.
    theta
        Exponent of the overlap n^theta, from 0 to 1.

    Raises
    ------
    ValueError
        If an argument is out of range; with beta <= alpha the latents follow no power law, see
        :func:`latent_law`.

    Notes
    -----
    Derived here. Steeper than the features' own -(1+alpha) if alpha + theta > 0.
    """
    alpha = _validate.real("alpha", alpha, low=-1.0, low_open=True, high=100.0)
    theta = _validate.real("theta", theta, low=0.0, high=1.0)
    if isinstance(beta, float | np.floating) and beta == math.inf:
        return float(-(1.0 + alpha))
    beta = _validate.real("beta (inf is allowed)", beta, low=max(alpha, 0.0), low_open=True)
    return float(-(1.0 + alpha) * (beta + theta) / (beta - alpha))
