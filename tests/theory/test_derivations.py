"""The regimes derived once more, from the Lagrange condition to what predict says."""

import math

import pytest
import sympy as sp

import scaling_theory as sth
from scaling_theory.theory import derive


def test_another_chapter_is_refused():
    with pytest.raises(ValueError, match=r"chapter must be one of .*'pathological'.*'banana'"):
        derive("banana")


# ---- the same once more, written out here: from the Lagrange condition to both exponents ----

al, be, a, c, price, i, n, N, m1, u, S = sp.symbols(
    "alpha beta a c lambda i n N m_1 u S", positive=True
)
Z = sp.Symbol("Z", positive=True)  # zeta(gamma)
GAMMA = (1 + al) / (1 + be)


def at(expression, alpha, beta, latents):
    """Put numbers in: (1 + n)^-beta on frequencies that sum to 1."""
    said = sth.predict(alpha=alpha, beta=beta)
    gamma = (1 + alpha) / (1 + beta)
    values = {
        al: alpha,
        be: beta,
        a: 1,
        c: 1 / sp.zeta(1 + alpha),
        m1: 1 - 2**-beta,
        N: latents,
        Z: sp.zeta(gamma),
        S: 1 / said.discovery_constant,
    }
    return float(expression.subs(values))


def test_lagrange_condition_gives_gamma():
    weighted_loss = c * i ** -(1 + al) * a * n**-be
    (best,) = sp.solve(sp.Eq(-sp.diff(weighted_loss, n), price), n)
    exponent = sp.simplify(i * sp.diff(sp.log(best), i))
    assert sp.simplify(exponent + GAMMA) == 0


def test_pathological_exponents_and_constants():
    # sum of n_i = N i^-gamma / Z over all ranks is N; put it into the loss
    spent = N * i**-GAMMA / Z
    term = sp.powsimp(sp.expand_power_base(c * i ** -(1 + al) * a * spent**-be, force=True))
    over_ranks = sp.simplify(term / (i**-GAMMA))  # the rest of each term: the same for every rank
    assert sp.simplify(sp.diff(over_ranks, i)) == 0
    loss = over_ranks * Z
    assert sp.simplify(N * sp.diff(sp.log(loss), N) + be) == 0
    # the last feature is found where its first gain is the price -dE/dN
    found = (c * m1 / -sp.diff(loss, N)) ** (1 / (1 + al))
    assert sp.simplify(N * sp.diff(sp.log(found), N) - 1 / GAMMA) == 0
    for alpha, beta in ((0.5, 0.1), (1.0, 0.3)):
        said = sth.predict(alpha=alpha, beta=beta)
        assert at(loss, alpha, beta, 1000) == pytest.approx(
            said.loss_constant * 1000**-said.loss_exponent, rel=1e-12
        )
        assert at(found, alpha, beta, 1000) == pytest.approx(
            said.discovery_constant * 1000**said.discovery_exponent, rel=1e-12
        )


def test_benign_exponents_and_constants():
    # level n holds the ranks up to D u with u = (m_n/m_1)^(1/(1+alpha)); the sum of u is S
    found = N / S
    mass_after = sp.integrate(c * i ** -(1 + al), i)
    mass_after = -mass_after.subs(i, found * u)  # it vanishes at infinity
    lacking = sp.simplify(m1 * u ** (1 + al) * mass_after / u)  # of a level, in units of u
    assert sp.simplify(sp.diff(lacking, u)) == 0
    loss = lacking * S
    assert sp.simplify(N * sp.diff(sp.log(loss), N) + al) == 0
    for alpha, beta in ((0.5, 2.0), (0.3, 1.0)):
        said = sth.predict(alpha=alpha, beta=beta)
        assert at(loss, alpha, beta, 1000) == pytest.approx(
            said.loss_constant * 1000**-said.loss_exponent, rel=1e-12
        )
        assert said.discovery_exponent == 1.0


def test_convexity_rule_of_the_unshifted_power_law():
    # convex from 0 iff the first gain v - a is at least the second a (1 - 2^-beta)
    v = sp.Symbol("v", positive=True)
    (edge,) = sp.solve(sp.Eq(v - a, a - a * 2**-be), v)
    assert sp.simplify(edge - a * (2 - 2**-be)) == 0
    at_edge = float(edge.subs({a: 0.3, be: 0.7}))
    above, below = (
        sth.PowerLawCurve(0.7, scale=0.3, shift=0.0, at_zero=at_edge * f).convex
        for f in (1 + 1e-12, 1 - 1e-12)
    )
    assert above
    assert not below


def test_first_piece_of_the_envelope_ends_before_e():
    # the n that maximises (1 - n^-beta)/n is (1 + beta)^(1/beta), which rises to e as beta falls
    (best,) = sp.solve(sp.diff((1 - n**-be) / n, n), n)
    assert sp.simplify(best - (1 + be) ** (1 / be)) == 0
    assert sp.limit(best, be, 0) == sp.E
    assert sp.limit(best, be, sp.oo) == 1
    assert float(best.subs(be, 1)) == 2.0
    assert math.floor(float(best.subs(be, sp.Rational(1, 10)))) == 2  # 2.59: 2 or 3, here 3
