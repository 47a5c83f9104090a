"""The search for xmin the slow and obvious way: what the compiled one is held to in tests.

For each candidate the likelihood is maximised by a general optimiser, and both gaps are taken at
every datum: quadratic in the number of data, with sums from SciPy. No xmax.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting.frequencies._sample import checked


def distances(values: Any, kind: str) -> tuple[Floats, Floats, Floats]:
    """Return every xmin, the exponent from there on, and the Kolmogorov-Smirnov distance.

    Parameters
    ----------
    values : (m,) array_like
        As in ``fit_tail``.
    kind : {"continuous", "discrete", "poisson"}

    Returns
    -------
    xmin, exponent, distance : (distinct values - 1,) floats
    """
    data = np.sort(checked(values, kind))
    xmins = np.unique(data)[:-1]
    exponents, found = np.empty(xmins.size), np.empty(xmins.size)
    for i, xmin in enumerate(xmins):
        tail = data[data >= xmin]
        exponents[i] = _exponent(tail, float(xmin), kind)
        found[i] = _distance(tail, float(xmin), float(exponents[i]), kind)
    return xmins, exponents, found


def log_likelihood(tail: Floats, xmin: float, a: float, kind: str) -> float:
    """Log-likelihood of data at or above xmin under the law with exponent a."""
    from scipy.special import gammaln, zeta

    n = tail.size
    if kind == "continuous":
        return n * math.log((a - 1.0) / xmin) - a * float(np.log(tail / xmin).sum())
    if kind == "discrete":
        return -a * float(np.log(tail).sum()) - n * math.log(float(zeta(a, xmin)))
    whole = gammaln(xmin + 1.0 - a) - gammaln(xmin) - math.log(a - 1.0)
    return float((gammaln(tail + 1.0 - a) - gammaln(tail + 1.0)).sum() - n * whole)


def _exponent(tail: Floats, xmin: float, kind: str) -> float:
    from scipy.optimize import minimize_scalar

    most = xmin + 1.0 - 1e-9 if kind == "poisson" else 200.0
    found = minimize_scalar(
        lambda a: -log_likelihood(tail, xmin, a, kind),
        bounds=(1.0 + 1e-9, most), method="bounded", options={"xatol": 1e-12},
    )  # fmt: skip
    return float(found.x)


def _survival(x: Floats, xmin: float, a: float, kind: str) -> Floats:
    from scipy.special import gammaln, zeta

    if kind == "continuous":
        return np.asarray((x / xmin) ** (1.0 - a))
    if kind == "discrete":
        return np.asarray(zeta(a, x) / zeta(a, xmin))
    logs = gammaln(x + 1.0 - a) - gammaln(x)
    return np.asarray(np.exp(logs - gammaln(xmin + 1.0 - a) + gammaln(xmin)))


def _distance(tail: Floats, xmin: float, a: float, kind: str) -> float:
    largest = 0.0
    for x in np.unique(tail):
        at = float(_survival(np.array([x]), xmin, a, kind)[0])
        beyond = at if kind == "continuous" else float(_survival(x + np.ones(1), xmin, a, kind)[0])
        largest = max(largest, abs(at - float(np.mean(tail >= x))))
        largest = max(largest, abs(beyond - float(np.mean(tail > x))))
    return largest
