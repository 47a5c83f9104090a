"""How well a squared norm is predicted linearly: moments from generating functions."""

from __future__ import annotations

from typing import Any

from scaling_theory.theory.derivations.steps import Step, equation

_SOURCE = "Engels et al. (2024) C.1"
_HERE = "derived here"


def poisson_norms() -> tuple[Step, ...]:
    """Poisson weights of rate r: the probes b = r + 1 and b = 2 r + 1, and their correlation."""
    import sympy as sp

    r, t = sp.symbols("r t", positive=True)
    x = sp.Symbol("x", real=True)
    k = sp.Symbol("k", integer=True, nonnegative=True)
    b, rho, w = sp.symbols("b rho w")
    mean, var, cov = (sp.Function(name) for name in ("E", "Var", "Cov"))
    generating = sp.exp(r * (sp.exp(x) - 1))
    m = _moments(generating, x)
    mean_fit, best_fit = m[2] / m[1], _covariance(m) / _variance(m)
    of_norm, of_probe = _square_variance(m), mean_fit**2 * _variance(m)
    both = mean_fit * _covariance(m)
    correlation = both / sp.sqrt(of_norm * of_probe)
    # two features with rates r and t, each with the least-squares coefficient
    other = [moment.subs(r, t) for moment in m]
    explained = _explained(m) + _explained(other)
    whole = _square_variance(m) + _square_variance(other)
    exponential = sp.summation(r**k / sp.factorial(k), (k, 0, sp.oo))
    return (
        Step(
            "moment generating function: the sum of P(k) e^(k x), with r e^x for r in sum r^k/k!",
            equation(sp.Function("M")(x), generating),
            sp.exp(-r) * exponential.subs(r, r * sp.exp(x)) - generating,
            "definition",
        ),
        Step(
            "its derivatives at 0: the fourth moment, and the third (beside a free x)",
            equation(mean(w**4), r**4 + 6 * r**3 + 7 * r**2 + r),
            m[4] - (r**4 + 6 * r**3 + 7 * r**2 + r) + x * (m[3] - (r**3 + 3 * r**2 + r)),
            _SOURCE,
        ),
        Step(
            "the probe that is right on average, E(b w) = E(w^2)",
            equation(b, r + 1),
            mean_fit - (r + 1),
            _SOURCE,
        ),
        Step(
            "covariance of b w and w^2",
            equation(cov(b * w, w**2), 2 * r**3 + 3 * r**2 + r),
            both - (2 * r**3 + 3 * r**2 + r),
            _SOURCE,
        ),
        Step(
            "variance of w^2, printed as 4 r^3 + 6 r^3 + r",
            equation(var(w**2), 4 * r**3 + 6 * r**2 + r),
            of_norm - (4 * r**3 + 6 * r**2 + r),
            f"{_SOURCE}, corrected",
        ),
        Step(
            "variance of b w",
            equation(var(b * w), r**3 + 2 * r**2 + r),
            of_probe - (r**3 + 2 * r**2 + r),
            _SOURCE,
        ),
        Step(
            "correlation at r = 1, printed as 6/sqrt(66): 11 * 4 is meant under the root",
            equation(rho, 3 / sp.sqrt(11)),
            correlation.subs(r, 1) - 3 / sp.sqrt(11),
            f"{_SOURCE}, corrected",
        ),
        Step(
            "least squares with an intercept: b = Cov(w, w^2) / Var(w)",
            equation(b, 2 * r + 1),
            best_fit - (2 * r + 1),
            _HERE,
        ),
        Step(
            "least squares through the origin is neither: b = E(w^3) / E(w^2) for one feature",
            equation(m[3] / m[2], (r**2 + 3 * r + 1) / (r + 1)),
            m[3] / m[2] - (r**2 + 3 * r + 1) / (r + 1),
            _HERE,
        ),
        Step(
            "what no probe explains: Var(w^2) - (2 r + 1)^2 Var(w)",
            equation(of_norm - (2 * r + 1) ** 2 * r, 2 * r**2),
            of_norm - best_fit**2 * _variance(m) - 2 * r**2,
            _HERE,
        ),
        Step(
            "equal rates: both probes have one correlation, rho^2 = 1 - 2 r / (4 r^2 + 6 r + 1)",
            equation(rho**2, 1 - 2 * r / (4 * r**2 + 6 * r + 1)),
            correlation**2 - (1 - 2 * r / (4 * r**2 + 6 * r + 1)),
            _HERE,
        ),
        Step(
            "rates r and t: the best rho^2 lacks 2 (r^2 + t^2) of the variance of the norm",
            equation(
                rho**2,
                1 - 2 * (r**2 + t**2) / sum(4 * v**3 + 6 * v**2 + v for v in (r, t)),
            ),
            explained / whole
            - (1 - 2 * (r**2 + t**2) / sum(4 * v**3 + 6 * v**2 + v for v in (r, t))),
            _HERE,
        ),
    )


def bernoulli_norms() -> tuple[Step, ...]:
    """Weights that are s with probability p, else 0: a perfect probe, b = s."""
    import sympy as sp

    s, p, other_s, other_p = sp.symbols("s p s_2 p_2", positive=True)
    x = sp.Symbol("x", real=True)
    b, rho, w = sp.symbols("b rho w")
    mean, var = (sp.Function(name) for name in ("E", "Var"))
    m = _moments(1 - p + p * sp.exp(s * x), x)
    other = [moment.subs({s: other_s, p: other_p}, simultaneous=True) for moment in m]
    both = s * _covariance(m) + other_s * _covariance(other)
    of_norm = _square_variance(m) + _square_variance(other)
    of_probe = s**2 * _variance(m) + other_s**2 * _variance(other)
    return (
        Step(
            "moments from 1 - p + p e^(s x): the fourth, and the third (beside a free x)",
            equation(mean(w**4), p * s**4),
            m[4] - p * s**4 + x * (m[3] - p * s**3),
            _SOURCE,
        ),
        Step(
            "w^2 = s w at both values of w",
            equation(w**2, s * w),
            sum((w**2 - s * w).subs(w, value) ** 2 for value in (0, s)),
            _HERE,
        ),
        Step(
            "the probe that is right on average",
            equation(b, s),
            m[2] / m[1] - s,
            _SOURCE,
        ),
        Step(
            "is the least-squares probe as well",
            equation(b, s),
            _covariance(m) / _variance(m) - s,
            _HERE,
        ),
        Step(
            "variance of w^2",
            equation(var(w**2), s**4 * (p - p**2)),
            _square_variance(m) - s**4 * (p - p**2),
            _SOURCE,
        ),
        Step(
            "correlation of unequal features: Cov(b.w, w.w)^2 = Var(b.w) Var(w.w), rho = 1",
            equation(rho, 1),
            both**2 / (of_norm * of_probe) - 1,
            _SOURCE,
        ),
    )


def _moments(generating: Any, x: Any) -> list[Any]:
    """Raw moments 0 .. 4 from a moment generating function."""
    import sympy as sp

    return [sp.expand(sp.diff(generating, x, k).subs(x, 0)) for k in range(5)]


def _variance(m: list[Any]) -> Any:
    return m[2] - m[1] ** 2


def _covariance(m: list[Any]) -> Any:
    """Of w and w^2."""
    return m[3] - m[1] * m[2]


def _square_variance(m: list[Any]) -> Any:
    return m[4] - m[2] ** 2


def _explained(m: list[Any]) -> Any:
    return _covariance(m) ** 2 / _variance(m)
