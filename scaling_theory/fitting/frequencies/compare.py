"""Is the tail a power law or something else? Likelihood-ratio tests.

- Against a law that contains the power law (a cutoff; lognormal and stretched exponential, of which
  it is a limit): ``p_nested``. The power law is at the edge of what the parameter may be, so twice
  the log-ratio is 0 half of the time and chi-square with one degree of freedom otherwise (Self and
  Liang, 1987). Such a law never has the smaller likelihood.
- Against any law: ``p_vuong``, for the sign of the ratio (Vuong, 1989; Clauset, Shalizi and Newman,
  2009, appendix C). This is what is usually quoted. It is for laws of which neither contains the
  other; where one nearly does, it is timid.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting.frequencies import _alternatives as laws
from scaling_theory.fitting.frequencies._alternatives import Shape, TailData
from scaling_theory.fitting.frequencies._binned import Bins
from scaling_theory.fitting.frequencies.tail import TailFit

if TYPE_CHECKING:
    import pandas as pd

#: Name, log-density, names of the parameters; whether the power law is among them.
_LAWS: tuple[tuple[str, Shape, tuple[str, ...], bool], ...] = (
    ("lognormal", laws.lognormal, ("mu", "sigma"), True),
    ("exponential", laws.exponential, ("rate",), False),
    ("stretched exponential", laws.stretched, ("beta", "rate"), True),
    ("power law with cutoff", laws.cutoff, ("exponent", "rate"), True),
)


def compare_tails(tail: TailFit, *, threshold: float = 0.1) -> pd.DataFrame:
    """Compare a fitted tail with four other laws on the same data x >= xmin.

    Parameters
    ----------
    tail : TailFit
        Of kind "continuous" or "discrete", without xmax.
    threshold : float
        p-value below which a verdict is given, in (0, 1).

    Returns
    -------
    DataFrame
        One row a law: law; parameters (a dict, rates in 1/x and mu in ln x; beta is the exponent of
        the stretched exponential exp(-(rate x)^beta)); log_likelihood; ratio (that of the power law
        less that: positive speaks for the power law); normalised (ratio over its standard error);
        p_vuong; nested (whether the power law is a member or a limit); p_nested (nan if not); aic
        (of the law less that of the power law: negative speaks for the law); verdict: "power law",
        the law's name, or "undecided". Where nested, p_nested decides, and "power law" then means
        that nothing is gained by the second parameter.

    Raises
    ------
    ValueError
        For other kinds of tails, or fewer than three distinct values.

    Notes
    -----
    Clauset, Shalizi and Newman (2009), section 5 and appendix C. A law whose best member is the
    power law itself has ratio 0, p-values 1, and parameters at that limit (nan where they have
    none).
    """
    if not isinstance(tail, TailFit) or isinstance(tail.data, Bins) or tail.kind == "poisson":
        raise ValueError(f'tail must be a TailFit of kind "continuous" or "discrete", got {tail!r}')
    if tail.xmax != math.inf:
        raise ValueError(f"tail must have no xmax: alternatives have none, got {tail.xmax:g}")
    level = _validate.real("threshold", threshold, low=0.0, high=1.0, low_open=True, high_open=True)
    begin = int(np.searchsorted(tail.data.values, tail.xmin))
    values, counts = tail.data.from_index(begin)
    if values.size < 3:
        raise ValueError(
            "tail must hold at least three distinct values: two fit any law of two "
            f"parameters, got {values.size}"
        )
    data = TailData(values, counts, tail.xmin, tail.kind == "discrete")
    power = _power(tail, data)
    rows = [_row(law, data, power, tail, level) for law in _LAWS]
    import pandas as pd

    return pd.DataFrame(rows)


def _power(tail: TailFit, data: TailData) -> Floats:
    """Log-probability (density) of each distinct value under the fitted power law."""
    from scaling_theory.fitting.frequencies import _kernels

    code = _kernels.DISCRETE if data.discrete else _kernels.CONTINUOUS
    constant = _kernels.log_mass(code, tail.exponent, tail.xmin, tail.xmin, math.inf)
    return np.asarray(-tail.exponent * data.t - constant)


def _row(
    law: tuple[str, Shape, tuple[str, ...], bool],
    data: TailData,
    power: Floats,
    tail: TailFit,
    threshold: float,
) -> dict[str, Any]:
    from scipy.special import chdtrc, erfc

    name, shape, names, nested = law
    total = float(data.counts @ power)
    fitted = _fitted(shape, data, tail.exponent - 1.0) if nested else _exponential(data)
    logs = data.log_densities(shape, *fitted)
    # less than rounding, or not a number where the law is out of the range of floats
    if nested and not float(data.counts @ logs) > total + 1e-9 + 1e-11 * abs(total):
        fitted, logs = (tail.exponent - 1.0, 0.0), power
    n = int(data.counts.sum())
    ratio = total - float(data.counts @ logs)
    each = power - logs
    spread = math.sqrt(max(float(data.counts @ (each - ratio / n) ** 2), 0.0))
    normalised = ratio / spread if spread > 0.0 else 0.0
    p_vuong = float(erfc(abs(normalised) / math.sqrt(2.0)))
    p_nested = math.nan
    if nested:
        p_nested = 0.5 * float(chdtrc(1.0, -2.0 * ratio)) if ratio < 0.0 else 1.0
        verdict = name if p_nested < threshold else "power law"
    else:
        verdict = "undecided"
        if p_vuong < threshold:
            verdict = "power law" if ratio > 0.0 else name
    return {
        "law": name,
        "parameters": dict(zip(names, _named(name, data, fitted), strict=True)),
        "log_likelihood": total - ratio,
        "ratio": ratio,
        "normalised": normalised,
        "p_vuong": p_vuong,
        "nested": nested,
        "p_nested": p_nested,
        "aic": 2.0 * ratio + 2.0 * (len(names) - 1),
        "verdict": verdict,
    }


def _fitted(shape: Shape, data: TailData, b: float) -> tuple[float, float]:
    """Maximum-likelihood parameters; the second one positive."""
    if shape is laws.stretched:
        return _stretched(data, b)
    from scipy.optimize import minimize

    # Exponential families: two means are all they need of the data, and there is one maximum.
    t = data.t
    statistics = (data.mean(t), data.mean(t * t if shape is laws.lognormal else np.expm1(t)))

    def misfit(theta: Floats) -> float:
        first, second = float(theta[0]), math.exp(min(float(theta[1]), 50.0))
        with np.errstate(over="ignore", invalid="ignore"):
            constant = data.log_constant(shape, first, second)
        total = first * statistics[0] + second * statistics[1] + constant
        return total if math.isfinite(total) else 1e300

    best: Any = None
    for second in (1e-2, 1.0):
        begin = np.array([b, math.log(second / statistics[1])])
        simplex = begin + np.array([[0.0, 0.0], [0.3 * b, 0.0], [0.0, 1.0]])
        options: Any = {"initial_simplex": simplex, "xatol": 1e-8, "fatol": 1e-14, "maxiter": 1000}
        found = minimize(misfit, begin, method="Nelder-Mead", options=options)
        if best is None or found.fun < best.fun:
            best = found
    return float(best.x[0]), math.exp(min(float(best.x[1]), 50.0))


def _stretched(data: TailData, b: float) -> tuple[float, float]:
    """The best first parameter for each second one, and the best second one.

    In closed form for continuous data. The data are gone through once for each second parameter.
    """
    from scipy.optimize import minimize_scalar

    t = data.t
    mean = data.mean(t)

    def first_of(beta: float) -> tuple[float, float]:
        with np.errstate(over="ignore"):
            rise = data.mean(np.expm1(beta * t)) / beta
        if not math.isfinite(rise):
            return b, 1e300
        if not data.discrete:
            return 1.0 / rise, 1.0 + math.log(rise) - beta * mean

        def misfit(log_b: float) -> float:
            with np.errstate(over="ignore", invalid="ignore"):
                constant = data.log_constant(laws.stretched, math.exp(log_b), beta)
            return math.exp(log_b) * rise - beta * mean + constant

        middle = -math.log(rise)  # that of continuous data
        found = minimize_scalar(misfit, bracket=(middle - 0.5, middle), tol=1e-9)
        return math.exp(float(found.x)), float(found.fun)

    logs = np.linspace(math.log(1e-4), math.log(20.0), 20) - math.log(max(mean, 1e-300))
    heights = [first_of(math.exp(v))[1] for v in logs]
    best = int(np.argmin(heights))
    ends = (float(logs[max(best - 1, 0)]), float(logs[min(best + 1, logs.size - 1)]))
    found = minimize_scalar(
        lambda v: first_of(math.exp(v))[1], bounds=ends, method="bounded", options={"xatol": 1e-8}
    )
    beta = math.exp(float(found.x))
    return first_of(beta)[0], beta


def _exponential(data: TailData) -> tuple[float, float]:
    """Maximum-likelihood rate, in units of 1 / xmin."""
    mean = data.mean(data.x - data.xmin)
    rate = math.log1p(1.0 / mean) if data.discrete else 1.0 / mean
    return rate * data.xmin, 0.0


def _named(name: str, data: TailData, fitted: tuple[float, float]) -> tuple[float, ...]:
    """Parameters as they are usually written."""
    first, second = fitted
    if name == "exponential":
        return (first / data.xmin,)
    if name == "power law with cutoff":
        return first + 1.0, second / data.xmin
    if second == 0.0:
        return (-math.inf, math.inf) if name == "lognormal" else (0.0, math.nan)
    if name == "lognormal":
        return math.log(data.xmin) - first / (2.0 * second), math.sqrt(0.5 / second)
    # b/beta (x/xmin)^beta = (rate x)^beta
    log_rate = math.log(first / second) / second - math.log(data.xmin)
    return second, math.exp(log_rate) if log_rate < 709.0 else math.inf
