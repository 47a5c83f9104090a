"""How often latents fire: from n_i and p_i to the rank-frequency curve.

Sums over ranks are taken between half-integers, where they are integrals to next order; what the
first ranks add to that is kept as g = zeta(gamma) - 1/(gamma - 1).
"""

from __future__ import annotations

from typing import Any

from scaling_theory.theory.derivations.steps import Step, equation, symbols

_HERE = "derived here"


def _letters() -> dict[str, Any]:
    """Symbols of the problem, and those of the latents."""
    import sympy as sp

    s = symbols()
    s |= {str(v): v for v in sp.symbols("theta r f f_1 q", positive=True)}
    s["gamma"] = sp.Symbol("gamma", positive=True)
    s["g"] = sp.Symbol("g", real=True)
    return s


def latent_slopes() -> tuple[Step, ...]:
    """One rank-frequency law for all regimes, and its slope in the benign one."""
    import sympy as sp

    s = _letters()
    al, be, th, c, kappa = s["alpha"], s["beta"], s["theta"], s["c"], s["kappa"]
    i, n, r, x, gm, g = s["i"], s["n"], s["r"], s["x"], s["gamma"], s["g"]
    gamma = (1 + al) / (1 + be)
    latents = kappa * i**-gamma
    rate = c * i ** (-(1 + al)) * n**th / n
    first = c * kappa ** (th - 1)
    ranks = kappa * (g + (x ** (1 - gm) - 1) / (1 - gm))
    base = 1 + (1 - gm) * (r / kappa - g)
    feature = base ** (1 / (1 - gm))
    law = first * feature ** (-gm * (be + th))
    local = -gm * (be + th) * (r / kappa) / base
    zeta = sp.Symbol("zeta", real=True)  # zeta(gamma)
    continued = local.subs(g, zeta - 1 / (gm - 1))
    slope = -(1 + al) * (be + th) * r / ((be - al) * (r - kappa * zeta))
    steep = (1 + al) * (be + th) / (be - al)
    return (
        Step(
            "each of the n latents of feature i fires with frequency p_i q(n)/n, q = n^theta; "
            "with n = kappa i^-gamma it falls with i",
            equation(s["f"], first * i ** (-gamma * (be + th))),
            sp.log(rate.subs(n, latents)) - sp.log(first * i ** (-gamma * (be + th))),
            _HERE,
        ),
        Step(
            "so the latents of the features up to x are the r(x) most frequent ones: "
            "each feature adds kappa x^-gamma",
            equation(r, ranks),
            sp.diff(ranks, x) - kappa * x**-gm,
            _HERE,
        ),
        Step(
            "solved for the feature at rank r",
            equation(x, feature),
            ranks.subs(x, feature) - r,
            _HERE,
        ),
        Step(
            "local slope of the rank-frequency curve",
            equation(sp.Symbol("slope"), local),
            r * sp.diff(sp.log(law), r) - local,
            _HERE,
        ),
        Step(
            "the same with zeta(gamma) = g + 1/(gamma - 1)",
            equation(sp.Symbol("slope"), slope),
            continued.subs(gm, gamma) - slope,
            _HERE,
        ),
        Step(
            "benign, beta > alpha: past the first feature's latents, r >> kappa",
            equation(sp.Symbol("slope"), -steep),
            sp.limit(slope.subs(r, r / kappa).subs(kappa, 1), r, sp.oo) + steep,
            _HERE,
        ),
        Step(
            "which for beta > alpha is steeper than the features' own 1 + alpha if alpha > -theta",
            equation(steep - (1 + al), (1 + al) * (al + th) / (be - al)),
            steep - (1 + al) - (1 + al) * (al + th) / (be - al),
            _HERE,
        ),
        Step(
            "discrete features, beta to infinity: the latents are the features",
            equation(sp.Limit(steep, be, sp.oo), 1 + al),
            sp.limit(steep, be, sp.oo) - (1 + al),
            _HERE,
        ),
        _end_step(s),
    )


def _end_step(s: dict[str, Any]) -> Step:
    """The last D features have one latent each; rank N - D + x is that of feature x."""
    import sympy as sp

    al, c, x, n_all, d = s["alpha"], s["c"], s["x"], s["N"], s["D"]
    local = (n_all - d + x) * sp.diff(sp.log(c * x ** (-(1 + al))), x)
    return Step(
        "in any regime the curve ends on features with one latent, with the slope",
        equation(sp.Symbol("slope"), -(1 + al) * n_all / d),
        local.subs(x, d) + (1 + al) * n_all / d,
        _HERE,
    )


def latent_plateaus() -> tuple[Step, ...]:
    """The pathological and the critical regime: a plateau, and a fall at the end."""
    import sympy as sp

    s = _letters()
    al, be, th, a, c, m1 = s["alpha"], s["beta"], s["theta"], s["a"], s["c"], s["m_1"]
    kappa, n_all, n, r, g, lam = s["kappa"], s["N"], s["n"], s["r"], s["g"], s["lambda"]
    eps = sp.Symbol("epsilon", positive=True)  # gamma - 1
    gamma = (1 + al) / (1 + be)
    base = 1 - eps * (r / kappa - g)
    zeta = g + 1 / eps
    left = eps * zeta * (1 - r / n_all)
    power = (1 + al) * (be + th) / (al - be)
    rate = c * s["i"] ** (-(1 + al)) * n ** (th - 1)
    first = c * n ** (th - 1)
    edge = lam * n ** (1 + be) / (a * be)  # p_1, the first feature's frequency, at the price
    return (
        Step(
            "gamma > 1: with N = kappa zeta(gamma), the law depends on the ranks that are left",
            equation(base, left),
            (base - left).subs(n_all, kappa * zeta),
            _HERE,
        ),
        Step(
            "so f falls as a power of 1 - r/N",
            equation(s["f"], s["f_1"] * left**power),
            gamma * (be + th) / (gamma - 1) - power,
            _HERE,
        ),
        Step(
            "after a plateau of n_1 = kappa ranks, a share 1/zeta(gamma)",
            equation(kappa / n_all, 1 / zeta),
            (kappa / n_all).subs(n_all, kappa * zeta) - 1 / zeta,
            _HERE,
        ),
        Step(
            "critical, gamma = 1: f falls exponentially, with g = EulerGamma",
            equation(s["f"], s["f_1"] * sp.exp(-(be + th) * (r / kappa - g))),
            sp.limit((1 + eps) * sp.log(base) / eps, eps, 0) + (r / kappa - g),
            _HERE,
        ),
        Step(
            "features with n latents end where p_i m_n = price, with the frequency",
            equation(s["f"], lam * n ** (th - 1) / s["m_n"]),
            sp.log(rate.subs(s["i"], (c * s["m_n"] / lam) ** (1 / (1 + al))))
            - sp.log(lam * n ** (th - 1) / s["m_n"]),
            _HERE,
        ),
        Step(
            "from the first feature, n = n_1 and p_1 = price n^(1+beta)/(a beta), to the last, "
            "n = 1, the fall is n_1^(beta+theta) m_1/(a beta)",
            equation(first / (lam / m1), n ** (be + th) * m1 / (a * be)),
            sp.log((first / (lam / m1)).subs(c, edge)) - sp.log(n ** (be + th) * m1 / (a * be)),
            _HERE,
        ),
    )
