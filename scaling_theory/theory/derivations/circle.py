"""Tilings of the circle: the exact loss, its limit, and the ideal encoder.

The statements are those of ``scaling_theory.theory.geometry``, with its symbols.
"""

from __future__ import annotations

from typing import Any

from scaling_theory.theory.derivations.steps import Step, equation

_HERE = "derived here"


def circle() -> tuple[Step, ...]:
    """Symmetric tilings of the circle, and the ideal encoder, exactly."""
    import sympy as sp

    a, h, e, phi, s, p = sp.symbols("a h epsilon phi s p", positive=True)
    mean, lost, power, l1, gain = sp.symbols("A W P l1 g", positive=True)
    theta = sp.Symbol("theta", positive=True)
    kernel = sp.cos(s) - sp.cos(a)
    m = 1 - l1 / 2
    best = (m * mean - l1 * lost / 2) / (mean**2 + power)
    loss = 1 - 2 * gain * mean + gain**2 * (mean**2 + power) + l1 * gain * (mean + lost)
    excess = (m**2 * power + l1 * lost * (m * mean - l1 * lost / 4)) / (mean**2 + power)
    one, two = sp.sin(p * h / 2) / sp.sin(h / 2), sp.sin(p * h) / sp.sin(h)
    row = 2 * a - 2 * e  # p h
    radial = (row + sp.sin(row) * sp.cos(2 * phi)) / 2
    radial += -2 * sp.cos(a) * sp.sin(row / 2) * sp.cos(phi) - (2 * a - sp.sin(2 * a)) / 2
    stable = -e + sp.sin(e) * sp.cos(phi) + sp.sin(2 * a - e) * (sp.cos(e) - sp.cos(phi))
    stable += -sp.sin(row) * sp.sin(phi) ** 2
    across = 2 * sp.cos(a) * sp.sin(row / 2) - sp.sin(row) * sp.cos(phi)
    steady = -4 * sp.sin(e / 2) * sp.sin(a - e / 2) * sp.sin(a - e)
    steady += sp.sin(row) * (1 - sp.cos(phi))
    half = h / 2
    shrink = l1 / (2 * sp.cos(half))  # |(l1/2) v|
    cost = shrink**2 + l1 * (sp.cos(theta) / sp.cos(half) - l1 / (2 * sp.cos(half) ** 2))
    edge = half - sp.asin(l1 / 2 * sp.tan(half))
    inside = sp.tan(half) * (sp.cos(theta) - shrink) - sp.sin(theta)

    def waves(expression: Any) -> Any:
        return sp.expand(expression.rewrite(sp.exp))

    return (
        Step(
            "h E[x.y] at gain 1",
            equation(sp.Integral(kernel * sp.cos(s), (s, -a, a)), a - sp.sin(a) * sp.cos(a)),
            sp.integrate(sp.expand(kernel * sp.cos(s)), (s, -a, a)) - (a - sp.sin(a) * sp.cos(a)),
            _HERE,
        ),
        Step(
            "h E[sum of latents] at gain 1",
            equation(sp.Integral(kernel, (s, -a, a)), 2 * (sp.sin(a) - a * sp.cos(a))),
            sp.integrate(kernel, (s, -a, a)) - 2 * (sp.sin(a) - a * sp.cos(a)),
            _HERE,
        ),
        Step(
            "best gain",
            equation(gain, best),
            sp.diff(loss, gain).subs(gain, best),
            _HERE,
        ),
        Step(
            "excess loss, a sum of positive terms; P = E|y - A x|^2",
            equation(loss - (l1 - l1**2 / 4), excess),
            sp.together(loss.subs(gain, best) - (l1 - l1**2 / 4) - excess),
            _HERE,
        ),
        Step(
            "a row of p + 2 latents has two more cosines than one of p",
            equation(one.subs(p, p + 2) - one, 2 * sp.cos((p + 1) * h / 2)),
            waves((one.subs(p, p + 2) - one - 2 * sp.cos((p + 1) * h / 2)) * sp.sin(h / 2)),
            _HERE,
        ),
        Step(
            "and so for the doubled angles",
            equation(two.subs(p, p + 2) - two, 2 * sp.cos((p + 1) * h)),
            waves((two.subs(p, p + 2) - two - 2 * sp.cos((p + 1) * h)) * sp.sin(h)),
            _HERE,
        ),
        Step(
            "radial ripple with sums as integrals, without cancellation, p h = 2 a - 2 epsilon",
            equation(radial, stable),
            waves(radial - stable),
            _HERE,
        ),
        Step(
            "tangential ripple over sin(phi), likewise",
            equation(across, steady),
            waves(across - steady),
            _HERE,
        ),
        Step(
            "ideal encoder, two latents: residual (l1/2) v with v.u = 1 for both",
            equation(cost, l1 * sp.cos(theta) / sp.cos(half) - shrink**2),
            cost - (l1 * sp.cos(theta) / sp.cos(half) - shrink**2),
            _HERE,
        ),
        Step(
            "one of them goes silent at (l1/2) tan(h/2) = sin(h/2 - theta)",
            equation(theta, edge),
            sp.expand_trig(sp.expand(inside * sp.cos(half))).subs(theta, edge)
            - (sp.sin(half - theta) - l1 / 2 * sp.tan(half)).subs(theta, edge),
            _HERE,
        ),
        Step(
            "and both costs agree there",
            equation(cost, 1 - (sp.cos(half - theta) - l1 / 2) ** 2),
            _agree(half, l1),
            _HERE,
        ),
    )


def _agree(half: Any, l1: Any) -> Any:
    """Cost of two latents minus that of one, where the second goes silent."""
    import sympy as sp

    sine = l1 / 2 * sp.tan(half)  # of delta
    cosine = sp.Symbol("kappa", positive=True)  # cos(delta), kappa^2 = 1 - sine^2
    middle = sp.cos(half) * cosine + sp.sin(half) * sine  # cos(theta) = cos(h/2 - delta)
    pair = l1 * middle / sp.cos(half) - l1**2 / (4 * sp.cos(half) ** 2)
    alone = 1 - (cosine**2 - l1 * cosine + l1**2 / 4)
    return sp.simplify(sp.expand(pair - alone).subs(cosine**2, 1 - sine**2))


def circle_tiling() -> tuple[Step, ...]:
    """Many latents on the circle: excess n^(-4/3), overlap n^(1/3); ideal n^-2; dimension d."""
    import sympy as sp

    a, h, m, l1, n, y, x, q = sp.symbols("a h m l1 n y x q", positive=True)
    u, v, f, d, c1, c2 = sp.symbols("u v f d c_1 c_2", positive=True)
    kernel = a**2 - x**2
    width = sp.integrate(kernel * x**2, (x, -a, a)) / sp.integrate(kernel, (x, -a, a))
    # h (R - A) at phi = h u, epsilon = h v, with p h = 2 a - 2 epsilon
    row = 2 * a - 2 * h * v
    exact = (row + h / sp.sin(h) * sp.sin(row) * sp.cos(2 * h * u)) / 2
    exact += -h / sp.sin(h / 2) * sp.cos(a) * sp.sin(row / 2) * sp.cos(h * u)
    exact += -(2 * a - sp.sin(2 * a)) / 2
    leading = sp.sin(2 * a) / 2 * (sp.Rational(1, 12) - u**2 - v**2)
    term = sp.series(exact, h, 0, 3).removeO().coeff(h, 2)
    # f of a period has one latent more: |u| < f/2, |v| = (1-f)/2; the rest |u| < (1-f)/2, |v| = f/2
    rest = 1 - f

    def mean(power: int) -> Any:
        more = sp.integrate((u**2 + (rest / 2) ** 2) ** power, (u, -f / 2, f / 2))
        less = sp.integrate((u**2 + (f / 2) ** 2) ** power, (u, -rest / 2, rest / 2))
        return sp.expand(more + less)

    variance = sp.Rational(1, 180) - f**2 * rest**2 / 12
    relative = (a**2 * h**2 / 2880) / (2 * a**3 / (3 * h)) ** 2
    excess = l1 * m * y**2 / (10 * n**2) + m**2 * sp.pi**4 / (80 * y**4)
    y6 = m * sp.pi**4 * n**2 / (4 * l1)
    law = sp.Rational(3, 20) * l1 * m * y**2 / n**2
    curved = y**2 * sp.diff(excess, y, 2) / (2 * excess)
    big = (d - 1 + 3) * c2 / (2 * c1) * n ** (2 / (d - 1))  # y^(d+4) in dimension d
    general = c1 * y**2 * n ** (-2 / (d - 1)) + c2 * y ** (-(d + 2))
    return (
        Step(
            "a parabolic kernel of half-width a has mean square a^2/5, so W/A = a^2/10",
            equation(width, a**2 / 5),
            width - a**2 / 5,
            _HERE,
        ),
        Step(
            "radial ripple for h << a << 1: a (h^2/12 - phi^2 - epsilon^2)",
            equation(term, leading),
            sp.expand(sp.expand_trig(term - leading)),
            _HERE,
        ),
        Step(
            "its mean over a period vanishes",
            equation(sp.Symbol("E[u^2 + v^2]"), sp.Rational(1, 12)),
            mean(1) - sp.Rational(1, 12),
            _HERE,
        ),
        Step(
            "its variance, f the fractional part of the overlap",
            equation(sp.Symbol("Var[u^2 + v^2]"), variance),
            mean(2) - sp.Rational(1, 144) - variance,
            _HERE,
        ),
        Step(
            "least at f = 1/2, sixteen times less than at f = 0",
            equation(variance.subs(f, sp.Rational(1, 2)), sp.Rational(1, 2880)),
            variance.subs(f, sp.Rational(1, 2)) * 16 - variance.subs(f, 0),
            _HERE,
        ),
        Step(
            "relative to A = 2 a^3/(3 h), with y = n a = 2 pi a/h",
            equation(relative, sp.pi**4 / (80 * y**4)),
            relative.subs(h, 2 * sp.pi * a / y) - sp.pi**4 / (80 * y**4),
            _HERE,
        ),
        Step(
            "the best y, m = 1 - l1/2",
            equation(y**6, y6),
            sp.numer(sp.together(sp.diff(excess, y))).subs(l1, m * sp.pi**4 * n**2 / (4 * y**6)),
            _HERE,
        ),
        Step(
            "excess loss at the best y: (3/20) l1 m y^2/n^2, as n^(-4/3)",
            equation(excess, law),
            (excess - law).subs(l1, m * sp.pi**4 * n**2 / (4 * y**6)),
            _HERE,
        ),
        Step(
            "half a step of the overlap, pi/2 in y, costs the fraction 1/q^2 more, q = y/pi",
            equation(4 * (sp.pi / (2 * y)) ** 2, 1 / q**2),
            (curved.subs(l1, m * sp.pi**4 * n**2 / (4 * y**6)) * (sp.pi / (2 * y)) ** 2).subs(
                y, sp.pi * q
            )
            - 1 / q**2,
            _HERE,
        ),
        Step(
            "if the ripple falls as y^-(d+2) in dimension d, y^(d+4) ~ n^(2/(d-1)) [conjecture]",
            equation(y ** (d + 4), big),
            sp.simplify(
                (y * sp.diff(general, y)).subs(
                    n, (2 * c1 * y ** (d + 4) / (c2 * (d + 2))) ** ((d - 1) / 2)
                )
            ),
            _HERE,
        ),
        Step(
            "so the excess falls as n^(-2 (d+2)/((d-1)(d+4)))",
            equation(2 / (d - 1) - 4 / ((d - 1) * (d + 4)), 2 * (d + 2) / ((d - 1) * (d + 4))),
            2 / (d - 1) - 4 / ((d - 1) * (d + 4)) - 2 * (d + 2) / ((d - 1) * (d + 4)),
            _HERE,
        ),
        _ideal_law(),
    )


def _ideal_law() -> Step:
    """Leading term of the ideal encoder's excess on the circle."""
    import sympy as sp

    h, l1, s = sp.symbols("h l1 s", positive=True)
    m = 1 - l1 / 2
    edge = l1 * h / 4  # of the arc of one latent
    two = l1 * (h**2 / 4 - s**2) / 2 - l1**2 * h**2 / 16
    mean = sp.integrate(two, (s, 0, h / 2 - edge)) + sp.integrate(m * s**2, (s, 0, edge))
    law = l1 / 12 * m * (1 - l1 / 4) * h**2
    return Step(
        "the ideal encoder's excess, (l1/12)(1 - l1/2)(1 - l1/4) h^2",
        equation(sp.Symbol("excess"), law),
        sp.expand(2 * mean / h - law),
        _HERE,
    )
