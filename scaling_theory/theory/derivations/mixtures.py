"""Several curves over one law of frequencies, and finitely many features."""

from __future__ import annotations

from scaling_theory.theory.derivations.steps import Step, equation, symbols

_HERE = "derived here"


def mixtures() -> tuple[Step, ...]:
    """Two groups stand for any number: constants, and when one of them holds half of the budget."""
    import sympy as sp

    s = symbols()
    al, lam, n_all = s["alpha"], s["lambda"], s["N"]
    b = sp.Symbol("b", positive=True)  # the smallest exponent of all curves
    w1, w2, c1, c2 = sp.symbols("w_1 w_2 c_1 c_2", positive=True)
    gains = {1: sp.symbols("m_11 m_12", positive=True), 2: sp.symbols("m_21 m_22", positive=True)}
    p, q = 1 / (1 + al), 1 / (1 + b)
    groups = {1: (w1, c1), 2: (w2, c2)}
    # Two gains of each group stand for any number: the ranks that take an n-th latent, thinned out.
    cells = [(w, c, m, w * (c * m / lam) ** p) for g, (w, c) in groups.items() for m in gains[g]]
    big_s = sum(w * (c * m) ** p for w, c, m, _ in cells)
    count = sum(k for *_, k in cells)
    benign = big_s ** (1 + al) / al * n_all**-al
    # Features i with the smallest exponent: weights v_i, tails a_i n^-b.
    a1, a2, v1, v2, t = sp.symbols("a_1 a_2 v_1 v_2 T", positive=True)
    tiles = [(a, v, (a * b * v / lam) ** q) for a, v in ((a1, v1), (a2, v2))]
    big_t = sum((a * b * v) ** q for a, v, _ in tiles)
    pathological = t ** (1 + b) / b * n_all**-b
    group_found = w1 * (c1 * gains[1][0] / (t / n_all) ** (1 + b)) ** p
    # One half: S price^-p = T price^-q.
    half_price = (t / s["S"]) ** (1 / (q - p))
    n_half = 2 * s["S"] * half_price**-p
    rank, a, m = sp.symbols("r a m", positive=True)
    one_tile = (a * b * s["c"] * rank ** -(1 + al)) ** q
    one = 2 * (rank ** (1 + al) * m / (a * b)) ** (1 / (al - b))
    k, eps, h = sp.symbols("k epsilon H", positive=True)
    shifted = h * sp.exp(p * eps) + k - h * sp.exp(q * eps)  # at price e^-eps, H latents each
    return (
        Step(
            "with shares w_g of the ranks, N = S price^(-1/(1+alpha)), S = sum w_g (c_g m_n)^p",
            equation(count, big_s * lam**-p),
            sp.expand_power_base(sp.powsimp(count - big_s * lam**-p), force=True),
            _HERE,
        ),
        Step(
            "each level lacks its ranks times price/alpha, so the excess is price N/alpha",
            equation(sp.Symbol("excess"), lam / al * count),
            sum(
                sp.log(w * m * c * (k / w) ** -al / al) - sp.log(lam / al * k)
                for w, c, m, k in cells
            ),
            _HERE,
        ),
        Step(
            "benign: excess = S^(1+alpha)/alpha N^-alpha",
            equation(lam * n_all / al, benign),
            sp.log((lam * n_all / al).subs(lam, (big_s / n_all) ** (1 + al))) - sp.log(benign),
            _HERE,
        ),
        Step(
            "its slope is minus the price",
            equation(sp.Derivative(benign, n_all), -((big_s / n_all) ** (1 + al))),
            sp.log(-sp.diff(benign, n_all)) - sp.log((big_s / n_all) ** (1 + al)),
            _HERE,
        ),
        Step(
            "features with the smallest exponent b hold T price^(-1/(1+b)), T = sum (a b w_i)^q",
            equation(sum(n for *_, n in tiles), big_t * lam**-q),
            sp.expand_power_base(sum(n for *_, n in tiles) - big_t * lam**-q, force=True),
            _HERE,
        ),
        Step(
            "the loss of each is its latents times price/b",
            equation(a1 * v1 * tiles[0][2] ** -b, lam / b * tiles[0][2]),
            sp.log(a1 * v1 * tiles[0][2] ** -b) - sp.log(lam / b * tiles[0][2]),
            _HERE,
        ),
        Step(
            "pathological: excess = T^(1+b)/b N^-b",
            equation(lam * n_all / b, pathological),
            sp.log((lam * n_all / b).subs(lam, (t / n_all) ** (1 + b))) - sp.log(pathological),
            _HERE,
        ),
        Step(
            "discovery: each group has found w_g (c_g m_g1/price)^p, so D ~ N^((1+b)/(1+alpha))",
            equation(n_all * sp.Derivative(sp.log(group_found), n_all), (1 + b) * p),
            n_all * sp.diff(sp.log(group_found), n_all) - (1 + b) * p,
            _HERE,
        ),
        Step(
            "both hold the same where price = (T/S)^(1/(q-p)); then N = 2 S price^-p",
            equation(s["S"] * half_price**-p, t * half_price**-q),
            sp.log(s["S"] * half_price**-p) - sp.log(t * half_price**-q),
            _HERE,
        ),
        Step(
            "one manifold at rank r, others discrete: N* = 2 (r^(1+alpha) m/(a b))^(1/(alpha-b))",
            equation(n_half, one),
            sp.log(n_half.subs({t: one_tile, s["S"]: (s["c"] * m) ** p})) - sp.log(one),
            _HERE,
        ),
        Step(
            "k latents more for the others, with H each, lower ln price by k/((q-p) H) at first",
            equation(eps, k / ((q - p) * h)),
            sp.series(shifted, eps, 0, 2).removeO().subs(eps, k / ((q - p) * h)),
            _HERE,
        ),
    )


def finite() -> tuple[Step, ...]:
    """Finitely many features, any alpha above -1: what is lacking, and the end of discovery."""
    import sympy as sp

    s = symbols()
    c, lam, n_all, x = s["c"], s["lambda"], s["N"], s["x"]
    al = sp.Symbol("alpha", real=True)
    m, y, end, found, shift, a, b, big_t = sp.symbols("m y B D s a b T", positive=True)
    mass = (y**-al - end**-al) / al
    level = c * m * mass.subs(y, (c * m / lam) ** (1 / (1 + al)))
    k_n = (c * m / lam) ** (1 / (1 + al))
    discrete = c * (n_all**-al - end**-al) / al
    slope = n_all * sp.diff(discrete, n_all) / discrete
    count = sp.Symbol("K", positive=True)
    # K features with curves a (n + s)^-b, all found: N + K s = T price^(-1/(1+b)).
    price = (big_t / (n_all + count * shift)) ** (1 + b)
    after = big_t ** (1 + b) / b * (n_all + count * shift) ** -b
    marginal = a * b * c * (x + shift) ** -(1 + b)
    return (
        Step(
            "mass between ranks y and B, in units of c: t(y) = (y^-alpha - B^-alpha)/alpha",
            equation(sp.Integral(x ** -(1 + al), (x, y, end)), mass),
            sp.diff(mass, y) + y ** -(1 + al),
            _HERE,
        ),
        Step(
            "which at alpha = 0 is ln(B/y)",
            equation(sp.Limit(mass, al, 0), sp.log(end / y)),
            sp.limit(mass, al, 0) - sp.expand_log(sp.log(end / y)),
            _HERE,
        ),
        Step(
            "a level that is not full lowers the loss by the price for each rank it gains",
            equation(sp.Derivative(level, lam), -lam * sp.Derivative(k_n, lam)),
            sp.simplify(sp.diff(level, lam) + lam * sp.diff(k_n, lam)),
            _HERE,
        ),
        Step(
            "discrete features: D = N, and the excess is c t(N) until all are found",
            equation(-sp.Derivative(discrete, n_all), c * n_all ** -(1 + al)),
            sp.diff(discrete, n_all) + c * n_all ** -(1 + al),
            "Michaud et al. (2025) 2.3, for finitely many",
        ),
        Step(
            "at alpha = 0 the excess does not fall as a power: its local slope depends on B",
            equation(sp.Limit(slope, al, 0), -1 / sp.log(end / n_all)),
            sp.limit(slope, al, 0) + 1 / (sp.log(end) - sp.log(n_all)),
            _HERE,
        ),
        Step(
            "the last of K features is found where c m K^-(1+alpha) is the price",
            equation(found, end),
            sp.log(k_n.subs(lam, c * m * end ** -(1 + al))) - sp.log(end),
            _HERE,
        ),
        Step(
            "after that the loss falls by the curves: excess = T^(1+b)/b (N + K s)^-b",
            equation(-sp.Derivative(after, n_all), price),
            sp.log(-sp.diff(after, n_all)) - sp.log(price),
            _HERE,
        ),
        Step(
            "with T = sum (a b w_i)^(1/(1+b)): one feature holds (a b w/price)^(1/(1+b)) - s",
            equation(marginal, lam),
            sp.log(marginal.subs(x, (a * b * c / lam) ** (1 / (1 + b)) - shift)) - sp.log(lam),
            _HERE,
        ),
    )
