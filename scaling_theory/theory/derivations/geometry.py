"""Toy manifolds: floor, shrinkage, the basis solution, covering, capacity.

The statements are those of ``scaling_theory.theory.geometry``, with its symbols.
"""

from __future__ import annotations

from typing import Any

from scaling_theory.theory.derivations.steps import Step, equation

_HERE = "derived here"


def sphere_floor() -> tuple[Step, ...]:
    """No dictionary does better on a sphere of radius r; a decoder bias does not help."""
    import sympy as sp

    r, g, l1 = sp.symbols("r g l1", positive=True)
    cost = (r - g) ** 2 + l1 * g
    best = r - l1 / 2
    floor = l1 * r - l1**2 / 4
    return (
        Step(
            "|xhat| <= s = sum f_j |u_j|, so the cost is at least (r - g)^2 + l1 g with g = s, "
            "least at g = r - l1/2",
            equation(g, best),
            sp.diff(cost, g).subs(g, best),
            _HERE,
        ),
        Step("the floor", equation(cost, floor), cost.subs(g, best) - floor, _HERE),
        Step(
            "its slope is continuous where latents go silent, so it is convex in r and, growing, "
            "in the vector: the mean over x and -x shows that a bias cannot help",
            equation(sp.Derivative(r**2, r), l1),
            sp.diff(r**2 - floor, r).subs(r, l1 / 2),
            _HERE,
        ),
        Step("at l1 = 2 r it is r^2", equation(floor, r**2), (floor - r**2).subs(l1, 2 * r), _HERE),
        Step(
            "only l1/r matters",
            equation(floor, r**2 * (l1 / r - (l1 / r) ** 2 / 4)),
            floor - r**2 * (l1 / r - (l1 / r) ** 2 / 4),
            _HERE,
        ),
    )


def shrinkage() -> tuple[Step, ...]:
    """Orthonormal directions: what L1 takes from each latent, and what TopK and JumpReLU save."""
    import sympy as sp

    f, g, l1, l0 = sp.symbols("f g l1 l0", positive=True)
    cost = (f - g) ** 2 + l1 * g
    soft = f - l1 / 2
    source = "T26, the L1 SAE objective and the shrinkage problem"
    return (
        Step(
            "the objective splits by latents; each magnitude loses l1/2",
            equation(g, soft),
            sp.diff(cost, g).subs(g, soft),
            source,
        ),
        Step(
            "a minimum, not a maximum",
            equation(sp.Derivative(cost, g, 2), 2),
            sp.diff(cost, g, 2) - 2,
            _HERE,
        ),
        Step(
            "loss of a latent that fires",
            equation(cost, l1 * f - l1**2 / 4),
            cost.subs(g, soft) - (l1 * f - l1**2 / 4),
            _HERE,
        ),
        Step(
            "squared error, l1^2/4 whatever f: TopK and JumpReLU save it at equal support",
            equation((f - g) ** 2, l1**2 / 4),
            (f - soft) ** 2 - l1**2 / 4,
            "T26, shrinkage-elimination argument",
        ),
        Step(
            "under an L0 penalty a latent costs l0 if it fires and f^2 if not: threshold sqrt(l0)",
            equation(f**2, l0),
            (f**2 - l0).subs(f, sp.sqrt(l0)),
            "T26, JumpReLU; threshold derived here",
        ),
        Step(
            "l0 = l1^2/4 gives the support of L1",
            equation(sp.sqrt(l0), l1 / 2),
            (sp.sqrt(l0) - l1 / 2).subs(l0, l1**2 / 4),
            _HERE,
        ),
    )


def basis() -> tuple[Step, ...]:
    """The basis solution on spheres, and why L(n) is a straight line up to 2 d."""
    import sympy as sp

    r, l1, u, t, d, tau, e2, ephi, n = sp.symbols("r l1 u theta d tau E2 Ephi n", positive=True)
    shrunk = l1 * r * u - l1**2 / 4
    edge = l1 / (2 * r)
    three = sp.integrate((r * u) ** 2, (u, 0, edge)) + sp.integrate(shrunk, (u, edge, 1))
    start = sp.Symbol("theta_0", positive=True)  # arccos(tau)
    two = l1 * r * sp.sin(start) - l1**2 * start / 4
    two += r**2 * ((sp.pi / 2 - start) / 2 - sp.sin(2 * start) / 4)
    parts = sp.integrate(l1 * r * sp.cos(t) - l1**2 / 4, (t, 0, start))
    parts += sp.integrate((r * sp.cos(t)) ** 2, (t, start, sp.pi / 2))
    half = (d - 1) / 2
    tail = (1 - tau**2) ** half / (2 * half)  # integral of u (1-u^2)^((d-3)/2) over (tau, 1)
    loss = n * ephi / 2 + (2 * d - n) * e2 / 2
    return (
        Step(
            "d = 2: a coordinate is r cos(theta), shrunk below arccos(tau), tau = l1/(2 r)",
            equation(two, parts),
            sp.simplify(two - parts),
            _HERE,
        ),
        Step(
            "d = 3: a coordinate is uniform in (-r, r)",
            equation(three, l1 * r / 2 - l1**2 / 4 + l1**3 / (24 * r)),
            sp.expand(three - (l1 * r / 2 - l1**2 / 4 + l1**3 / (24 * r))),
            _HERE,
        ),
        Step(
            "any d: the mean of |u| beyond tau",
            equation(sp.Derivative(tail, tau), -tau * (1 - tau**2) ** ((d - 3) / 2)),
            sp.diff(tail, tau) / (1 - tau**2) ** ((d - 3) / 2) + tau,
            _HERE,
        ),
        Step(
            "and the mean square is 1/d: B(3/2, (d-1)/2) = B(1/2, (d-1)/2)/d",
            equation(
                sp.gamma(sp.Rational(3, 2)) / sp.gamma(d / 2 + 1),
                sp.gamma(sp.Rational(1, 2)) / sp.gamma(d / 2) / d,
            ),
            sp.gammasimp(
                sp.gamma(sp.Rational(3, 2)) / sp.gamma(d / 2 + 1)
                - sp.gamma(sp.Rational(1, 2)) / sp.gamma(d / 2) / d
            ),
            _HERE,
        ),
        Step(
            "each of the 2 d latents, of one coordinate and sign, buys the same",
            equation(sp.Derivative(loss, n), -(d * e2 - d * ephi) / (2 * d)),
            sp.diff(loss, n) + (d * e2 - d * ephi) / (2 * d),
            _HERE,
        ),
    )


def covering() -> tuple[Step, ...]:
    """A lower bound for any dictionary on a sphere, by the dual problem."""
    import sympy as sp

    x, y, r, s, l1, c, n, kappa, dim, t = sp.symbols("x y r s l1 c n kappa D t", positive=True)
    m, c0 = 1 - l1 / 2, l1 / 2
    delta = sp.Symbol("delta", positive=True)
    dual = 2 * c - c**2
    end = (n * kappa) ** (-1 / dim)
    square = dim / (dim + 2) * end**2
    return (
        Step(
            "for any r with r.u_j <= l1/2 the cost is at least 2 r.x - |r|^2: what is left is "
            "|x - y - r|^2 + sum f_j (l1 - 2 r.u_j), here with y = xhat, s = sum f_j and r.y = "
            "s l1/2",
            equation((x - y) ** 2 + l1 * s - (2 * r * x - r**2), (x - y - r) ** 2),
            sp.expand((x - y) ** 2 + l1 * s - (2 * r * x - r**2) - (x - y - r) ** 2).subs(
                s, 2 * r * y / l1
            ),
            _HERE,
        ),
        Step(
            "with r = c x and c cos(delta) = l1/2, minus the floor",
            equation(dual - (l1 - l1**2 / 4), (c - c0) * (2 - c - c0)),
            sp.expand(dual - (l1 - l1**2 / 4) - (c - c0) * (2 - c - c0)),
            _HERE,
        ),
        Step(
            "for small delta (l1/2) m delta^2",
            equation(sp.Symbol("excess"), l1 / 2 * m * delta**2),
            sp.expand(
                sp.series(dual.subs(c, c0 / sp.cos(delta)), delta, 0, 4).removeO()
                - (l1 - l1**2 / 4)
                - l1 / 2 * m * delta**2
            ),
            _HERE,
        ),
        Step(
            "caps of fraction kappa r^D that do not overlap: the mean of delta^2",
            equation(sp.Symbol("E[delta^2]"), square),
            sp.simplify(
                sp.integrate(n * kappa * dim * t ** (dim + 1), (t, 0, end), conds="none") / square
                - 1
            ),
            _HERE,
        ),
    )


def capacity() -> tuple[Step, ...]:
    """Welch's bound and its orders; the greedy bound; the asymptotic exponent."""
    import sympy as sp

    n, d, k, mu, p, s, x, eps = sp.symbols("N d k mu p s x epsilon", positive=True)
    bound = (1 - p) / (mu - p)
    welch = d * (1 - eps**2) / (1 - d * eps**2)
    w = sp.Symbol("w", positive=True)  # (d-1)/2

    def moment(j: Any) -> Any:  # up to a constant, j > -1/2
        return sp.gamma(j + sp.Rational(1, 2)) / sp.gamma(j + sp.Rational(1, 2) + w)

    weight = (1 - x * s) ** sp.Rational(-1, 2)
    v = sp.Symbol("v", positive=True)  # (1 - sin(phi))/(2 sin(phi)), cos(phi) = epsilon
    sine = sp.sqrt(1 - eps**2)
    exponent = (1 + v) * sp.log(1 + v) - v * sp.log(v)
    near = v * (1 + sp.log(1 / v))
    return (
        Step(
            "N^2 mu <= N + N (N-1) p, with p = epsilon^(2k): N at equality",
            equation(n, bound),
            sp.simplify((n**2 * mu - n - n * (n - 1) * p).subs(n, bound)),
            "Welch (1974), Sidelnikov (1974)",
        ),
        Step(
            "order 1, mu = 1/d",
            equation(bound, welch),
            sp.simplify(bound.subs({mu: 1 / d, p: eps**2}) - welch),
            "Welch (1974)",
        ),
        Step(
            "mean of (u.v)^(2k) over the sphere, from that of 2k - 2",
            equation(
                (moment(k) / moment(k - 1)).subs(w, (d - 1) / 2), (2 * k - 1) / (d + 2 * k - 2)
            ),
            (2 * x / (d + 2 * x - 1)).subs(d, 2 * w + 1)
            - sp.gammasimp((moment(k) / moment(k - 1)).subs(k, x + sp.Rational(1, 2))),
            _HERE,
        ),
        Step(
            "I_x(s, 1/2)/x^s is the mean of (1 - x t)^(-1/2) with weight t^(s-1), so it grows to 1 "
            "at x = 1: the greedy bound is at least (1 - epsilon^2)^(-(d-1)/2)",
            equation(sp.Derivative(weight, x), s / 2 / (1 - x * s) ** sp.Rational(3, 2)),
            sp.diff(weight, x) - s / 2 / (1 - x * s) ** sp.Rational(3, 2),
            _HERE,
        ),
        Step(
            "the Kabatyanskii-Levenshtein exponent for small epsilon, to leading order in v",
            equation(exponent, near),
            sp.limit(sp.expand_log((exponent - near) / v, force=True), v, 0),
            "Kabatyanskii and Levenshtein (1978)",
        ),
        Step(
            "where v is epsilon^2/4, so it is (epsilon^2/4)(1 + ln(4/epsilon^2))",
            equation(v, eps**2 / 4),
            sp.series((1 - sine) / (2 * sine) - eps**2 / 4, eps, 0, 4).removeO(),
            _HERE,
        ),
    )
