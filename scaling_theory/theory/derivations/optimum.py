"""The optimum itself: its conditions, any convex curve, whole latents against real ones."""

from __future__ import annotations

from typing import Any

from scaling_theory.theory.derivations.steps import Step, equation, symbols

_HERE = "derived here"
_LAGRANGE = "Michaud et al. (2025) B.2, equation 2"


def lagrange() -> tuple[Step, ...]:
    """Conditions of the optimum, gamma, the price, and what changes nothing."""
    import sympy as sp

    s = symbols()
    al, be, a, c, lam, i, n_all = (
        s[name] for name in ("alpha", "beta", "a", "c", "lambda", "i", "N")
    )
    p, n, shift, floor, v, w, k = sp.symbols("p n s f v w K", positive=True)
    p1, p2, n1 = sp.symbols("p_1 p_2 n_1", positive=True)
    x = s["x"]  # free: what it multiplies is zero by itself
    one, two, split = (sp.Function(name) for name in ("L_1", "L_2", "n_1"))
    # All but one feature have their best latents for what they get: two stand for any number.
    loss = p1 * one(n1) + p2 * two(n_all - n1)
    slopes = p1 * one(n1).diff(n1), p2 * two(n_all - n1).diff(n_all)
    best = (a * be * p / lam) ** (1 / (1 + be))  # n + s
    marginal = -sp.diff(p * (floor + a * (n + shift) ** -be), n)
    # E(N) along the optimum; at it, both slopes are minus the price.
    at_optimum = p1 * one(split(n_all)) + p2 * two(n_all - split(n_all))
    along = sp.diff(at_optimum, n_all).doit()
    along = along.replace(
        lambda e: isinstance(e, sp.Subs) or (isinstance(e, sp.Derivative) and e.expr.func == one),
        lambda e: -lam / (p1 if e.has(one) else p2),
    )
    # K features with the curve of the third step: w = sum p_i^(1/(1+beta))
    kappa = (n_all + k * shift) / w
    total = a * w * kappa**-be
    price = a * be * kappa ** (-(1 + be))
    return (
        Step(
            "moving a latent changes nothing: p_1 L_1'(n_1) = p_2 L_2'(n_2) = -price",
            equation(sp.Derivative(loss, n1), slopes[0] - slopes[1]),
            sp.diff(loss, n1) - (slopes[0] - slopes[1]),
            _LAGRANGE,
        ),
        Step(
            "which is the minimum where the curves are convex: the second derivatives add up",
            equation(sp.Derivative(loss, (n1, 2)), slopes[0].diff(n1) + slopes[1].diff(n_all)),
            sp.diff(loss, n1, 2) - slopes[0].diff(n1) - slopes[1].diff(n_all),
            _HERE,
        ),
        Step(
            "for L(n) = f + a (n + s)^-beta: n + s = (a beta p / price)^(1/(1+beta))",
            equation(marginal, lam),
            sp.log(marginal.subs(n, best - shift)) - sp.log(lam),
            _LAGRANGE,
        ),
        Step(
            "n + s ~ p^(1/(1+beta))",
            equation(p * sp.Derivative(sp.log(best), p), 1 / (1 + be)),
            p * sp.diff(sp.log(best), p) - 1 / (1 + be),
            _LAGRANGE,
        ),
        Step(
            "with p = c i^-(1+alpha): n + s ~ i^-gamma, gamma = (1+alpha)/(1+beta)",
            equation(i * sp.Derivative(sp.log(best), i), -(1 + al) / (1 + be)),
            i * sp.diff(sp.log(best.subs(p, c * i ** (-(1 + al)))), i) + (1 + al) / (1 + be),
            _LAGRANGE,
        ),
        Step(
            "a floor changes no marginal gain and (beside a free x) no gain, so no allocation",
            equation(sp.Derivative(p * (floor + one(n)), n), sp.Derivative(p * one(n), n)),
            sp.diff(p * (floor + one(n)), n)
            - sp.diff(p * one(n), n)
            + x * ((one(n - 1) + floor) - (one(n) + floor) - (one(n - 1) - one(n))),
            _HERE,
        ),
        Step(
            "a magnitude v weighs p: a feature of v L(n) is one of frequency v p",
            equation(n + shift, best.subs(p, v * p)),
            sp.log((v * marginal).subs(n, best.subs(p, v * p) - shift)) - sp.log(lam),
            _HERE,
        ),
        Step(
            "the price is minus the slope of the loss, dE/dN (envelope theorem)",
            equation(sp.Derivative(sp.Function("E")(n_all), n_all), -lam),
            along + lam,
            _HERE,
        ),
        Step(
            "so for K features: E = a w ((N + K s)/w)^-beta, w = sum p^(1/(1+beta))",
            equation(-sp.Derivative(total, n_all), price),
            sp.log(-sp.diff(total, n_all)) - sp.log(price),
            _HERE,
        ),
    )


def convex() -> tuple[Step, ...]:
    """Any convex curve: the sum S of its gains, and the constants that it sets."""
    import sympy as sp

    s = symbols()
    al, be, a, c, lam, i, n, n_all, kappa = (
        s[name] for name in ("alpha", "beta", "a", "c", "lambda", "i", "n", "N", "kappa")
    )
    r, q, shift, v, floor = sp.symbols("r q s v f", positive=True)
    k = sp.Symbol("k", integer=True, nonnegative=True)
    dim = sp.Symbol("d", integer=True, positive=True)
    power = 1 / (1 + al)
    # Three gains stand for any number of them.
    gains = sp.symbols("m_1 m_2 m_3", positive=True)
    level_sum = sum((m / gains[0]) ** power for m in gains)
    ranks = [(c * m / lam) ** power for m in gains]
    lacking = sum(m * c * x**-al / al for m, x in zip(gains, ranks, strict=True))
    price = c * gains[0] * (n_all / level_sum) ** (-(1 + al))
    law = c * gains[0] / al * level_sum ** (1 + al) * n_all**-al
    discrete = [floor + (1 - floor) * sp.KroneckerDelta(j, 0) for j in range(4)]
    falls = [discrete[j] - discrete[j + 1] for j in range(3)]
    exponential = a * sp.exp(-r * n) + floor
    ratio = sp.exp(-r / (1 + al))
    geometric = sp.summation(q**k, (k, 0, sp.oo)).args[0][0]  # the branch |q| < 1
    straight = 1 - (1 - floor) * n / (2 * dim)
    same = (straight.subs(n, n - 1) - straight) / (straight.subs(n, 0) - straight.subs(n, 1))
    term = c * i ** (-(1 + al)) * a * (n + shift) ** -be
    placed = term.subs(n, kappa * i ** (-(1 + al) / (1 + be)) - shift)
    found = (gains[0] / (a * be)) ** power * kappa ** ((1 + be) / (1 + al))  # D, "pathological"
    taken = found * shift / kappa
    unshifted = floor + a * n**-be
    first, second = v - unshifted.subs(n, 1), unshifted.subs(n, 1) - unshifted.subs(n, 2)
    return (
        Step(
            "latents are spent on level sets: N = D S, S = sum (m_n/m_1)^(1/(1+alpha))",
            equation(n_all, s["D"] * s["S"]),
            sp.expand(sum(ranks) / ranks[0] - level_sum),
            _HERE,
        ),
        Step(
            "level n lacks m_n T(k_n): together price N / alpha",
            equation(sp.Symbol("excess"), lam * n_all / al),
            sp.powsimp(sp.expand_power_base(lacking - lam * sum(ranks) / al, force=True)),
            _HERE,
        ),
        Step(
            "excess loss with N latents, (c m_1/alpha) S^(1+alpha) N^-alpha",
            equation(price * n_all / al, law),
            sp.log(price * n_all / al) - sp.log(law),
            _HERE,
        ),
        Step(
            "a discrete feature gains once: S = 1",
            equation(s["S"], 1),
            sum((fall / falls[0]) ** power for fall in falls) - 1,
            _HERE,
        ),
        Step(
            "gains of f + a exp(-r n) fall by exp(-r)",
            equation(sp.Symbol("m_2") / gains[0], sp.exp(-r)),
            (exponential.subs(n, n + 1) - exponential.subs(n, n + 2))
            / (exponential - exponential.subs(n, n + 1))
            - sp.exp(-r),
            _HERE,
        ),
        Step(
            "so that S is geometric: 1/(1 - exp(-r/(1+alpha)))",
            equation(s["S"], 1 / (1 - ratio)),
            geometric.subs(q, ratio) - 1 / (1 - ratio),
            _HERE,
        ),
        Step(
            "a plateau after 2 d equal gains: S = 2 d",
            equation(s["S"], 2 * dim),
            sp.summation(sp.simplify(same) ** power, (k, 1, 2 * dim)) - 2 * dim,
            _HERE,
        ),
        Step(
            "the loss of discovered features does not depend on the shift, given kappa",
            equation(placed, a * c * kappa**-be * i ** (-(1 + al) / (1 + be))),
            sp.log(placed) - sp.log(a * c * kappa**-be * i ** (-(1 + al) / (1 + be))),
            _HERE,
        ),
        Step(
            "nor does kappa = N/Z: the shift takes D s of N, a part that falls as N^(1/gamma - 1)",
            equation(kappa * sp.Derivative(sp.log(taken), kappa), (be - al) / (1 + al)),
            kappa * sp.diff(sp.log(taken), kappa) - (be - al) / (1 + al),
            _HERE,
        ),
        Step(
            "n^-beta with v at 0: the first gain is the second where v - f = a (2 - 2^-beta)",
            equation(first - second, v - floor - a * (2 - 2**-be)),
            first - second - (v - floor - a * (2 - 2**-be)),
            _HERE,
        ),
        Step(
            "and from n = 1 on it is convex",
            equation(sp.Derivative(unshifted, (n, 2)), a * be * (1 + be) * n ** (-(2 + be))),
            sp.log(sp.diff(unshifted, n, 2)) - sp.log(a * be * (1 + be) * n ** (-(2 + be))),
            _HERE,
        ),
    )


def integer() -> tuple[Step, ...]:
    """Whole latents: midpoints, the mean of a floor, and the constant shift (1/2 + offset)."""
    import sympy as sp

    s = symbols()
    al, be, a, c, lam = (s[name] for name in ("alpha", "beta", "a", "c", "lambda"))
    m1, x, kappa, big_z = s["m_1"], s["x"], s["kappa"], sp.Symbol("Z", positive=True)
    h, u, y, t, z, shift, offset, k = sp.symbols("h u y t z s o k", positive=True)
    sigma = sp.Symbol("sigma", positive=True)
    half = sp.Rational(1, 2)
    # The gain over a unit step, in units of its middle y; h = 1/y.
    step = ((1 - h / 2) ** -be - (1 + h / 2) ** -be) / (be * h)
    series = [_coefficient(step * h, h, j + 1) for j in range(5)]
    second = (1 + be) * (2 + be) / 24
    fourth = second * (3 + be) * (4 + be) / 80
    inverse = 1 + (2 + be) / 24 * h**2  # y in units of y_0 = (a beta/g)^(1/(1+beta)), h = 1/y_0
    back = inverse ** (-(1 + be)) * (1 + second * (h / inverse) ** 2)
    y_0 = sp.Symbol("y_0", positive=True)
    mean_floor = sp.integrate(-u, (u, 0, 1))  # floor(x) - x, over the fraction u of x
    # Dirichlet series of the cells' gains, sum (p_i m_n)^sigma: poles by the zeta functions.
    ranks, levels = (1 + al) * sigma - 1, (1 + be) * sigma - 1
    at_ranks, at_levels = 1 / (1 + al), 1 / (1 + be)
    from_ranks = sp.residue(z**sigma / (sigma * ranks), sigma, at_ranks)
    from_levels = sp.residue(z**sigma / (sigma * levels), sigma, at_levels)
    price = c * m1 * x ** (-(1 + al))
    scale = (a * be * c / lam) ** at_levels
    at_zero = k + sp.zeta(0, k + half + shift)  # the first k gains by themselves
    steep = (1 + u / shift) ** (-t)
    return (
        Step(
            "gain of the latent with the middle y = n - 1/2 + s, to order y^-4",
            equation(s["m_n"], a * be * y ** (-(1 + be)) * (1 + second / y**2 + fourth / y**4)),
            sum(
                (got - want) * h**j
                for j, (got, want) in enumerate(zip(series, (1, 0, second, 0, fourth), strict=True))
            ),
            _HERE,
        ),
        Step(
            "so it is g at y_0 = (a beta/g)^(1/(1+beta)), but for a term in 1/y_0",
            equation(y, y_0 * inverse.subs(h, 1 / y_0)),
            sum(_coefficient(back - 1, h, j) * h**j for j in range(4)),
            _HERE,
        ),
        Step(
            "a floor takes 1/2 on average",
            equation(sp.Integral(-u, (u, 0, 1)), -half),
            mean_floor + half,
            _HERE,
        ),
        Step(
            "so whole n_i = floor(y_0 + 1/2 - s) are kappa i^-gamma - s on average, like real ones",
            equation(sp.Symbol("n_i"), kappa * s["i"] ** (-(1 + al) / (1 + be)) - shift),
            (y + half - shift + mean_floor) - (y - shift),
            _HERE,
        ),
        Step(
            "the number of ranks up to X - o is X + zeta(0, 1+o) on average",
            equation(sp.zeta(0, 1 + offset, evaluate=False), -half - offset),
            (x - offset + mean_floor) - (x + sp.zeta(0, 1 + offset)),
            _HERE,
        ),
        Step(
            "N by residues: the pole of zeta((1+alpha) sigma, 1+o) at 1/(1+alpha) counts S X",
            equation(x, ((c * m1) / lam) ** at_ranks),
            sp.log(from_ranks.subs(z, c * m1 / price)) - sp.log(x),
            _HERE,
        ),
        Step(
            "that of M(sigma) = sum m_n^sigma at 1/(1+beta) counts Z kappa",
            equation(kappa, scale),
            sp.log(from_levels.subs(z, a * be * c / lam)) - sp.log(scale),
            _HERE,
        ),
        Step(
            "that at 0 the constant M(0) zeta(0, 1+o), M(0) = -s, from whichever k on by midpoints",
            equation(-shift * sp.zeta(0, 1 + offset, evaluate=False), shift * (half + offset)),
            at_zero * sp.zeta(0, 1 + offset) - shift * (half + offset),
            _HERE,
        ),
        Step(
            "kappa in terms of X: (a beta X^(1+alpha) / m_1)^(1/(1+beta))",
            equation(kappa, (a * be * x ** (1 + al) / m1) ** at_levels),
            sp.log(scale.subs(lam, price)) - sp.log((a * be * x ** (1 + al) / m1) ** at_levels),
            _HERE,
        ),
        Step(
            "by dE = -price dN a term price^-sigma of N adds sigma/(1-sigma) price^(1-sigma) to E",
            equation(
                sp.Derivative(sigma / (1 - sigma) * lam ** (1 - sigma), lam),
                -lam * sp.Derivative(lam**-sigma, lam),
            ),
            sp.diff(sigma / (1 - sigma) * lam ** (1 - sigma), lam)
            + lam * sp.diff(lam**-sigma, lam),
            _HERE,
        ),
        Step(
            "which makes E = price (S X/alpha + Z kappa/beta), with nothing for the constant",
            equation(sp.Symbol("E"), lam * (s["S"] * x / al + big_z * kappa / be)),
            (sigma / (1 - sigma)).subs(sigma, at_ranks)
            - 1 / al
            + h * ((sigma / (1 - sigma)).subs(sigma, at_levels) - 1 / be),
            _HERE,
        ),
        Step(
            "real latents differ in S alone: the integral of (1 + u/s)^-t with t = 1/gamma",
            equation(sp.Integral(steep, (u, 0, sp.oo)), shift / (t - 1)),
            sp.diff(-shift / (t - 1) * (1 + u / shift) ** (1 - t), u) - steep,
            _HERE,
        ),
    )


def _coefficient(expression: Any, variable: Any, order: int) -> Any:
    """Coefficient of variable^order in the Taylor series about 0."""
    import sympy as sp

    return sp.diff(expression, variable, order).subs(variable, 0) / sp.factorial(order)
