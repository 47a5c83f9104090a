"""Three regimes: from the Lagrange condition to the scaling laws.

Sums over n and i are kept as S and as zeta functions.
"""

from __future__ import annotations

from typing import Any

from scaling_theory.theory.derivations.steps import Step, equation, symbols


def benign() -> tuple[Step, ...]:
    """The case beta > alpha: level sets of gains, the constant S."""
    import sympy as sp

    s = symbols()
    al, be, c, m1, mn = s["alpha"], s["beta"], s["c"], s["m_1"], s["m_n"]
    lam, x, k, n_all, d, big_s = s["lambda"], s["x"], s["k"], s["N"], s["D"], s["S"]
    power = 1 / (1 + al)
    last = (c * mn / lam) ** power  # last rank that takes an n-th latent
    found = (c * m1 / lam) ** power
    price = c * m1 * d ** (-(1 + al))
    tail = c * k**-al / al
    excess = price * big_s * d / al
    law = c * m1 / al * big_s ** (1 + al) * n_all**-al
    here = "derived here"
    return (
        Step(
            "an n-th latent is worth the price up to rank k_n",
            equation(k, last),
            (c * x ** (-(1 + al)) * mn).subs(x, last) - lam,
            here,
        ),
        Step(
            "level sets are scaled copies of the first one, k_n = D (m_n/m_1)^(1/(1+alpha))",
            equation(last, found * (mn / m1) ** power),
            sp.log(last) - sp.log(found * (mn / m1) ** power),
            here,
        ),
        Step(
            "so N = S D, and the terms of S fall as n^-t with t > 1 just if beta > alpha",
            equation((1 + be) / (1 + al) - 1, (be - al) / (1 + al)),
            (1 + be) / (1 + al) - 1 - (be - al) / (1 + al),
            "Michaud et al. (2025) B.4, generalised",
        ),
        Step(
            "mass of the ranks after k",
            equation(sp.Integral(c * x ** (-(1 + al)), (x, k, sp.oo)), tail),
            sp.diff(tail, k) + c * k ** (-(1 + al)),
            "Michaud et al. (2025) 2.3",
        ),
        Step(
            "each level lacks m_n T(k_n) = price k_n / alpha",
            equation(mn * tail, lam * k / al),
            sp.log(mn * tail.subs(k, last)) - sp.log(lam * last / al),
            here,
        ),
        Step(
            "excess loss with N latents",
            equation(excess.subs(d, n_all / big_s), law),
            sp.log(excess.subs(d, n_all / big_s)) - sp.log(law),
            here,
        ),
        Step(
            "its slope is minus the price",
            equation(sp.Derivative(law, n_all), -price.subs(d, n_all / big_s)),
            sp.log(-sp.diff(law, n_all)) - sp.log(price.subs(d, n_all / big_s)),
            here,
        ),
    )


def _allocation(s: dict[str, Any]) -> tuple[Any, Step, Step]:
    """The Lagrange condition and gamma, common to the two other regimes."""
    import sympy as sp

    al, be, a, c, lam = s["alpha"], s["beta"], s["a"], s["c"], s["lambda"]
    i, n = s["i"], s["n"]
    gamma = (1 + al) / (1 + be)
    weighted = c * i ** (-(1 + al)) * a * n**-be
    best = (a * be * c / lam) ** (1 / (1 + be)) * i**-gamma
    slope = -sp.diff(weighted, n)
    source = "Michaud et al. (2025) B.2, equation 2"
    lagrange = Step(
        "Lagrange condition p_i L'(n_i) + price = 0",
        equation(slope, lam),
        sp.log(slope.subs(n, best)) - sp.log(lam),
        source,
    )
    exponent = Step(
        "n_i = kappa i^-gamma with gamma = (1+alpha)/(1+beta)",
        equation(i * sp.diff(sp.log(best), i), -gamma),
        i * sp.diff(sp.log(best), i) + gamma,
        source,
    )
    return gamma, lagrange, exponent


def pathological() -> tuple[Step, ...]:
    """The case beta < alpha: the sum over ranks converges."""
    import sympy as sp

    s = symbols()
    al, be, a, c, m1 = s["alpha"], s["beta"], s["a"], s["c"], s["m_1"]
    i, kappa, n_all, lam = s["i"], s["kappa"], s["N"], s["lambda"]
    gamma, lagrange, exponent = _allocation(s)
    g = sp.Symbol("gamma", positive=True)
    z = sp.Symbol("Z", positive=True)  # zeta(gamma)
    spent = sp.summation(i**-g, (i, 1, sp.oo)).args[0][0]  # the branch gamma > 1
    price = a * be * c * kappa ** (-(1 + be))
    law = a * c * z ** (1 + be) * n_all**-be
    term = c * i ** (-(1 + al)) * a * (kappa * i**-gamma) ** -be
    found = (m1 / (a * be)) ** (1 / (1 + al)) * kappa ** (1 / gamma)
    here = "derived here"
    return (
        lagrange,
        exponent,
        Step(
            "for gamma > 1 the latents sum to N = kappa zeta(gamma)",
            equation(sp.Sum(i**-g, (i, 1, sp.oo)), sp.zeta(g)),
            spent - sp.zeta(g),
            "Michaud et al. (2025) B.3",
        ),
        Step(
            "the discovered features' losses fall with the rank as their latents do",
            equation(term, a * c * kappa**-be * i**-gamma),
            sp.log(term) - sp.log(a * c * kappa**-be * i**-gamma),
            "Michaud et al. (2025) B.3",
        ),
        Step(
            "excess loss with N latents, kappa = N/Z and Z = zeta(gamma)",
            equation(a * c * kappa**-be * z, law),
            sp.log((a * c * kappa**-be * z).subs(kappa, n_all / z)) - sp.log(law),
            here,
        ),
        Step(
            "its slope is minus the price",
            equation(sp.Derivative(law, n_all), -price.subs(kappa, n_all / z)),
            sp.log(-sp.diff(law, n_all)) - sp.log(price.subs(kappa, n_all / z)),
            here,
        ),
        Step(
            "the last feature is found where c m_1 D^-(1+alpha) is the price",
            equation(s["D"], found),
            sp.log(c * m1 * found ** (-(1 + al))) - sp.log(price),
            here,
        ),
        Step(
            "discovery grows as N^(1/gamma) = N^((1+beta)/(1+alpha))",
            equation(kappa * sp.diff(sp.log(found), kappa), (1 + be) / (1 + al)),
            kappa * sp.diff(sp.log(found), kappa) - (1 + be) / (1 + al),
            "Michaud et al. (2025) B.3, equation 3",
        ),
        Step(
            "what is undiscovered falls faster: alpha/gamma > beta just if alpha > beta",
            equation(al / gamma - be, (al - be) / (1 + al)),
            al / gamma - be - (al - be) / (1 + al),
            "Michaud et al. (2025) B.3",
        ),
        Step(
            "price of the Lagrange condition in terms of kappa",
            equation(lam, price),
            sp.log(((a * be * c / lam) ** (1 / (1 + be))).subs(lam, price)) - sp.log(kappa),
            here,
        ),
    )


def critical() -> tuple[Step, ...]:
    """The case alpha = beta: the poles of both sums cancel, and leave a logarithm."""
    import sympy as sp

    s = symbols()
    al, a, c, kappa, n_all, w = s["alpha"], s["a"], s["c"], s["kappa"], s["N"], s["W"]
    _, lagrange, exponent = _allocation(s)
    eps = sp.Symbol("epsilon", real=True)
    log_kappa, gm, big_g = sp.symbols("ell gamma_m G", real=True)
    gamma, euler = 1 + eps, sp.EulerGamma
    # Near gamma = 1 the two sums are poles and constants: zeta(gamma) = 1/(gamma-1) + EulerGamma,
    # and S X = kappa^(1/gamma) (1/(1/gamma - 1) + gamma_m).
    rows = sp.exp(log_kappa) * (1 / eps + euler)
    columns = sp.exp(log_kappa / gamma) * (1 / (1 / gamma - 1) + gm)
    limit = sp.exp(log_kappa) * (log_kappa + euler + gm - 1)
    expansion = sp.series(sp.simplify(columns + rows), eps, 0, 1).removeO()
    kappa_of_w = sp.exp(w - big_g)
    excess = c * a * kappa_of_w**-al * (w + 1 + 1 / al)
    price = a * al * c * kappa_of_w ** (-(1 + al))
    latents = w * kappa_of_w
    here = "derived here"
    return (
        lagrange,
        exponent,
        Step(
            "the poles of the two sums cancel: N = kappa (ln kappa + G), "
            "G = EulerGamma + gamma_m - 1",
            equation(n_all, kappa * (sp.log(kappa) + euler + gm - 1)),
            sp.expand(expansion - limit),
            here,
        ),
        Step(
            "solved by the Lambert function: kappa = N/W with W e^W = N e^G",
            equation(kappa, n_all / sp.LambertW(n_all * sp.exp(big_g))),
            sp.expand_log(sp.log(kappa_of_w), force=True) + big_g - w,
            here,
        ),
        Step(
            "excess loss, by the price: d excess / d N = -price",
            equation(sp.Symbol("excess"), c * a * kappa**-al * (w + 1 + 1 / al)),
            sp.diff(excess, w) / sp.diff(latents, w) + price,
            here,
        ),
        Step(
            "local slope of the loss, price N / excess",
            equation(s["lambda"] * n_all / sp.Symbol("excess"), al * w / (w + 1 + 1 / al)),
            price * latents / excess - al * w / (w + 1 + 1 / al),
            here,
        ),
    )
