"""Features that depend on each other: marginals, joint frequencies, trees, texts, refusals."""

import json
import math
from dataclasses import field, make_dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import ndtr, ndtri

import scaling_theory as sth
from scaling_theory.sae import _forest, correlation
from scaling_theory.sae._moments import cross_terms
from scaling_theory.sae.canonical import LATER, digest, text_of
from scaling_theory.sae.correlation import Correlation, _quadrature, _series, _terms, excess
from scaling_theory.sae.manifolds import Circle, Points, Sphere
from scaling_theory.sae.superposition import Superposition

#: Standard errors that a mean may be off: chance 1e-8 a number, and seeds are fixed.
SIGMAS = 5.7
UNLIKELY = 1e-4

P = np.array([0.5, 0.4, 0.3, 0.2, 0.2, 0.15, 0.1, 0.1, 0.05, 0.02, 0.01, 5e-4])
#: Two trees, one of them three levels deep; ranks 3 and 10 are alone.
TREES = {(4, 5, 7): 1, (6, 8): 2, 9: 4, (11, 12): 9}
LOADED = Correlation(rank=2, strength=0.8, seed=3)


def made(**options):
    return Superposition(sth.EmpiricalFrequencies(P), Points(), **options)


CASES = {
    "trees": made(parents=TREES),
    "exclusive": made(parents=TREES, exclusive=True),
    "correlated": made(correlation=LOADED),
    "both": made(parents=TREES, correlation=LOADED),
    "all": made(parents=TREES, exclusive=True, correlation=LOADED),
}
each_case = pytest.mark.parametrize("data", CASES.values(), ids=CASES)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def parent_of(data):
    out = np.full(data.features, -1)
    for children, above in data.parents or ():
        out[np.array(children) - 1] = above - 1
    return out


def active(data, count=200_000, seed=0):
    return data.sample_parts(count, generator(seed)).active.numpy()


# ---- who is active --------------------------------------------------------------------------


@each_case
def test_features_are_active_as_often_as_stated(data):
    count = 400_000
    z = (active(data, count).mean(axis=0) - P) / np.sqrt(P * (1 - P) / count)
    assert np.abs(z).max() < SIGMAS
    assert stats.kstest(z, "norm").pvalue > UNLIKELY


@each_case
def test_pairs_are_active_together_as_often_as_stated(data):
    a = active(data, 400_000, 1).astype(float)
    ranks = np.arange(1, 13)
    first, second = (r.ravel() for r in np.meshgrid(ranks, ranks))
    stated = data.together(first, second).reshape(12, 12)
    assert np.array_equal(stated.diagonal(), P)
    np.testing.assert_allclose(stated, stated.T, rtol=1e-12, atol=1e-18)
    found = a.T @ a / len(a)
    assert not found[stated < 1e-15].any()
    error = np.sqrt(np.maximum(stated * (1 - stated), 1e-30) / len(a))
    assert (np.abs(found - stated) < SIGMAS * error + 6 / len(a)).all()


def test_correlated_pairs_are_not_independent_ones():
    pairs = {}
    for name in ("correlated", "both", "all"):
        pairs[name] = CASES[name].together([1, 1, 4], [2, 3, 7])
        assert np.abs(pairs[name][:2] / (P[0] * P[1:3]) - 1.0).min() > 0.01
    assert pairs["both"][2] != pytest.approx(P[3] * P[6] / P[0], rel=0.01)  # children of rank 1
    assert CASES["trees"].together([4], [7])[0] == pytest.approx(P[3] * P[6] / P[0], rel=1e-12)
    assert pairs["all"][2] == 0.0


@each_case
def test_children_are_active_only_where_their_parent_is(data):
    a, parent = active(data, 50_000), parent_of(data)
    for child in np.flatnonzero(parent >= 0):
        assert a[:, child].any()
        assert not (a[:, child] & ~a[:, parent[child]]).any()


@pytest.mark.parametrize("name", ["exclusive", "all"])
def test_exclusive_siblings_are_never_active_together(name):
    data = CASES[name]
    a, parent = active(data, 100_000), parent_of(data)
    for above in range(data.features):
        assert a[:, parent == above].sum(axis=1).max(initial=0) <= 1
    assert (active(CASES["trees"], 100_000)[:, parent == 0].sum(axis=1) > 1).any()


def test_triples_of_correlated_roots_follow_the_normal_distribution():
    p, loadings = np.array([0.5, 0.3, 0.1]), np.array([[0.9, 0.0], [0.6, 0.6], [-0.5, 0.7]])
    data = Superposition(sth.EmpiricalFrequencies(p), Points(), correlation=loadings)
    found = np.bincount(active(data, 200_000) @ np.array([1, 2, 4]), minlength=8)
    covariance = loadings @ loadings.T
    np.fill_diagonal(covariance, 1.0)
    all_below = {}
    for mask in range(8):
        at = [i for i in range(3) if mask >> i & 1]
        law = stats.multivariate_normal(np.zeros(len(at)), covariance[np.ix_(at, at)]) if at else 0
        all_below[mask] = float(law.cdf(ndtri(p[at]))) if at else 1.0
    expected = [
        sum((-1) ** (m ^ mask).bit_count() * all_below[m] for m in range(8) if m & mask == mask)
        for mask in range(8)
    ]
    assert sum(expected) == pytest.approx(1.0, abs=1e-6)  # Genz's integrals
    expected = found.sum() * np.array(expected) / sum(expected)
    assert stats.chisquare(found, expected).pvalue > UNLIKELY


def test_inputs_are_independent_of_each_other():
    a = active(CASES["both"], 200_000)[:, 0]
    found = np.bincount(a[::2] * 2 + a[1::2], minlength=4)
    assert stats.chisquare(found, 100_000 * np.full(4, 0.25)).pvalue > UNLIKELY


def test_rare_roots_with_loadings_have_their_probability():
    p, count, rows = 3e-6, 2000, 2000
    data = Superposition(
        sth.PowerLawFrequencies(-1e-9, count=count, total=count * p), Points(),
        correlation=np.full((count, 1), 0.3),
    )  # fmt: skip
    hits = sum(int(data.sample_parts(rows, generator(seed)).active.sum()) for seed in range(2))
    expected = 2 * count * rows * p  # 24, with a common factor: wider than Poisson
    pairs = data.together([1], [2])[0] - p * p
    spread = math.sqrt(expected + 2 * rows * count * (count - 1) * pairs)
    assert abs(hits - expected) < 4 * spread
    assert hits > 0


def test_rare_gates_are_drawn_in_float64(monkeypatch):
    """Tails of float32 normal numbers end at 6 standard deviations, and are coarse before."""
    drawn = []

    def randn(shape, **options):
        drawn.append((shape, options["dtype"]))
        return normal(shape, **options)

    normal = torch.randn
    monkeypatch.setattr(_forest.torch, "randn", randn)
    p = [0.3, 2.0**-9, 2.0**-10, 0.999 * 2.0**-10, 1e-6]
    data = Superposition(
        sth.EmpiricalFrequencies(p), Points(), correlation=np.full((5, 1), 0.5)
    )  # fmt: skip
    data.sample(7, generator())
    assert drawn == [((7, 1), torch.float64), ((3, 7), torch.float32), ((2, 7), torch.float64)]


@settings(deadline=None, max_examples=10)
@given(st.data())
def test_any_forest_keeps_its_probabilities(draws):
    size = draws.draw(st.integers(2, 8))
    p = draws.draw(st.lists(st.sampled_from([1.0, 0.5, 0.25]), min_size=size, max_size=size))
    links, room = {}, list(p)
    exclusive = draws.draw(st.booleans())
    for child in range(1, size):
        above = draws.draw(st.integers(-1, child - 1))
        p[child] = min(p[child], room[above] if exclusive else p[above]) if above >= 0 else p[child]
        if above >= 0 and p[child] > 0.0:
            links[child + 1] = above + 1
            room[above] -= p[child]
        p[child] = p[child] or 0.125
        room[child] = p[child]
    strength = draws.draw(st.sampled_from([None, 0.3, 0.95]))
    correlation = None if strength is None else Correlation(2, strength)
    data = Superposition(
        sth.EmpiricalFrequencies(p), Points(), {1: Circle()},
        parents=links, exclusive=exclusive and bool(links), correlation=correlation,
    )  # fmt: skip
    count = 5000
    parts = data.sample_parts(count, generator())
    a, q = parts.active.numpy(), np.array(p)
    assert (np.abs(a.mean(axis=0) - q) <= SIGMAS * np.sqrt(q * (1 - q) / count)).all()
    assert torch.equal(parts.x, data.sample(count, generator()))
    for child, above in links.items():
        assert not (a[:, child - 1] & ~a[:, above - 1]).any()
    for i in range(size):
        assert torch.equal(parts.own(i).any(dim=1), parts.active[:, i])
    total = sum(parts.part(i) for i in range(size))
    torch.testing.assert_close(total, parts.x)


# ---- probabilities --------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.02, -0.3, 0.5, 0.8, -0.9, 0.98])
@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.3, 0.01), (1e-4, 1e-3), (0.9, 0.6)])
def test_the_excess_is_that_of_the_bivariate_normal_distribution(p, q, rho):
    h, k = ndtri(p), ndtri(q)

    def conditional(x):
        density = math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return density * float(ndtr((k - rho * x) / math.sqrt(1 - rho * rho)))

    joint, _ = integrate.quad(conditional, -12, h, epsabs=1e-15, epsrel=1e-12, limit=200)
    tolerance = 1e-12 if abs(rho) <= 0.9 else 1e-10
    assert float(excess(h, k, rho)) == pytest.approx(joint - p * q, rel=1e-8, abs=tolerance)


def fine(h, k, rho):
    """Plackett's integral, by far more nodes than are needed."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    half = 0.5 * np.arcsin(rho)
    angle = half[..., None] * (1.0 + nodes)
    h, k = h[..., None], k[..., None]
    power = -0.5 * (h * h + k * k - 2.0 * h * k * np.sin(angle)) / np.cos(angle) ** 2
    return half / (2.0 * math.pi) * (np.exp(power) @ weights)


@pytest.mark.parametrize("rho", [1e-3, 0.05, 0.25, -0.1, -0.25])
def test_the_series_and_the_quadrature_are_one_function(rho):
    """At the seam too; relative to the excess and to the product of two rare events."""
    drawn = np.random.default_rng(0).uniform(-6.0, 6.0, (2, 4000))
    h, k = np.concatenate([drawn, [[6.0, 6.0, -6.0, 0.0], [6.0, -6.0, -6.0, 0.0]]], axis=1)
    size = np.full(h.shape, rho)
    exact = fine(h, k, size)
    scale = np.abs(exact) + ndtr(-np.abs(h)) * ndtr(-np.abs(k))
    for values in (_series(h, k, size), _quadrature(h, k, size), excess(h, k, size)):
        assert (np.abs(values - exact) / scale).max() < 1e-12
        assert np.abs(values - exact).max() < 1e-15


@pytest.mark.parametrize("rho", [0.02, -0.25])
@pytest.mark.parametrize("size", [0.0, 3.0, 6.0])
def test_the_series_is_as_long_as_its_remainder_asks_for(rho, size, monkeypatch):
    """More terms add nothing, a third fewer would be missed: relative to the first term."""
    h = np.linspace(-size, size, 41)
    first = abs(rho) * np.exp(-0.5 * (h**2 + h[:, None] ** 2)) / (2 * math.pi)
    count, found = _terms(size, size, abs(rho)), {}
    for terms in (2 * count // 3, count, 2 * count):
        monkeypatch.setattr(correlation, "_terms", lambda *_, terms=terms: terms)
        found[terms] = _series(h[:, None], h, np.full(first.shape, rho))
    fewer, enough, more = found.values()
    rounding = 2.0**-53 * np.exp(np.abs(rho * h * h[:, None])) * count
    assert (np.abs(enough - more) / first <= 2.0**-53 + rounding).all()
    assert (np.abs(enough - fewer) / first).max() > 2.0**-46


def test_the_excess_of_a_grid_takes_the_way_of_each_pair():
    """Weak and strong correlations, far and infinite thresholds, in one array."""
    h = np.array([-np.inf, -8.0, -6.0, -1.0, 0.5, np.inf])
    k = np.array([-7.0, -2.0, 0.0, 3.0])
    rho = np.linspace(-0.9, 0.9, 24).reshape(6, 4)
    rho[3] = [0.25, -0.25, 0.2500001, 0.0]
    grid = excess(h[:, None], k, rho)
    for i, j in np.ndindex(6, 4):
        alone = _quadrature(h[i : i + 1], k[j : j + 1], rho[i, j : j + 1])[0]
        assert grid[i, j] == pytest.approx(alone, rel=1e-9, abs=1e-16)


def test_pairs_stay_between_their_bounds():
    """Gates that exclude each other nearly: rounding would put some below 0."""
    p = np.array([0.5, 0.499, 0.1, 0.01, 1e-3, 0.5, 0.499, 0.1, 0.01, 1e-3])
    loadings = np.repeat([[0.9995], [-0.9995]], 5, axis=0)
    data = Superposition(sth.EmpiricalFrequencies(p), Points(), correlation=loadings)
    i, j = (r.ravel() for r in np.meshgrid(np.arange(1, 11), np.arange(1, 11)))
    both, first, second = data.together(i, j), p[i - 1], p[j - 1]
    assert (both >= np.maximum(first + second - 1.0, 0.0)).all()
    assert (both <= np.minimum(first, second)).all()
    assert (both[(i <= 5) & (j > 5) & (first < 0.2)] == 0.0).any()  # as rounding would not have it
    np.testing.assert_allclose(both, data.together(j, i), rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("told", [{}, {"parents": {range(70, 110): 2}}])
def test_the_cross_terms_are_the_sum_over_all_pairs(told, monkeypatch):
    """Half the pairs, block by block, against all pairs."""
    monkeypatch.setattr(_forest, "_PAIRS", 3000)
    size = 120
    data = Superposition(
        sth.PowerLawFrequencies(-0.5, count=size, total=6.0), Points([[1.0], [3.0]]),
        orientation="random", dimension=20, correlation=Correlation(2, 0.8), **told,
    )  # fmt: skip
    i, j = (r.ravel() for r in np.meshgrid(np.arange(1, size + 1), np.arange(1, size + 1)))
    p = data.probabilities
    more = (data.together(i, j) - p[i - 1] * p[j - 1]).reshape(size, size)
    np.fill_diagonal(more, 0.0)
    centres = 2.0 * np.concatenate([frame.double().numpy().T for frame in data.frames])
    assert [len(rows) for rows in data._forest.blocks()] == [24] * 5
    expected = np.sum(more * (centres @ centres.T))
    assert cross_terms(data, data._forest) == pytest.approx(expected, rel=1e-10)


def test_the_excess_ends_where_probabilities_do():
    assert excess(np.inf, 0.3, 0.5) == 0.0
    assert excess(0.3, -np.inf, 0.5) == 0.0
    assert excess(0.0, 0.0, 0.5) == pytest.approx(math.asin(0.5) / (2 * math.pi), rel=1e-14)
    assert excess(0.2, 0.1, 0.0) == 0.0


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dimension", [3, 8])
def test_magnitude_and_mean_are_those_of_the_samples(name, dimension):
    told = {k: getattr(CASES[name], k) for k in ("exclusive", "correlation")}
    data = Superposition(
        sth.EmpiricalFrequencies(P), Points(),
        {3: Sphere(3), (5, 6): Points([[1.0, 2.0], [3.0, 0.0]])},
        orientation="random", dimension=dimension, scales=np.linspace(0.5, 2.0, 12),
        parents=TREES if CASES[name].parents else None, **told,
    )  # fmt: skip
    x = data.sample(200_000, generator(2)).double().numpy()
    squared = (x * x).sum(axis=1)
    error = SIGMAS * squared.std() / math.sqrt(len(x))
    assert squared.mean() == pytest.approx(data.magnitude, abs=error)
    error = SIGMAS * x.std(axis=0) / math.sqrt(len(x))
    assert (np.abs(x.mean(axis=0) - data.mean) <= error).all()
    alone = Superposition(
        data.frequencies, data.default, dict(data.ranks), orientation="random",
        dimension=dimension, scales=data.scales,
    )  # fmt: skip
    assert abs(alone.magnitude - data.magnitude) > 1e-3
    np.testing.assert_array_equal(alone.mean, data.mean)


def test_in_orthogonal_subspaces_only_the_marginals_enter():
    for data in CASES.values():
        assert data.magnitude == pytest.approx(P.sum(), rel=1e-14)
        x = data.sample(100_000, generator(3)).double().numpy()
        squared = (x * x).sum(axis=1)
        error = SIGMAS * squared.std() / math.sqrt(len(x))
        assert squared.mean() == pytest.approx(P.sum(), abs=error)


def test_the_population_is_that_of_independent_features():
    curves = {"points": sth.DiscreteCurve(residual=0.1)}
    plain = made().population(curves)
    for data in CASES.values():
        for latents in (0, 4, 12):
            ours = sth.allocate(data.population(curves), latents)
            assert ours.loss == sth.allocate(plain, latents).loss


# ---- loadings -------------------------------------------------------------------------------


def test_random_loadings_have_their_length_and_all_directions():
    drawn = Correlation(3, 0.6, 1).loadings(5000)
    assert drawn.shape == (5000, 3)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 0.6, rtol=1e-12)
    for axis in range(3):  # Archimedes
        assert stats.kstest(drawn[:, axis], stats.uniform(-0.6, 1.2).cdf).pvalue > UNLIKELY
    np.testing.assert_array_equal(Correlation(3, 0.6, 1).loadings(5000), drawn)
    assert not np.array_equal(Correlation(3, 0.6, 2).loadings(5000), drawn)


def test_loadings_are_seen_and_zero_for_exclusive_siblings():
    assert made().loadings.shape == (12, 0)
    assert CASES["correlated"].loadings.shape == (12, 2)
    below = parent_of(CASES["all"]) >= 0
    assert not CASES["all"].loadings[below].any()
    assert CASES["all"].loadings[~below].all()
    given_ = Correlation(2, 0.5).loadings(12)
    same = [made(correlation=c) for c in (given_, Correlation(2, 0.5))]
    np.testing.assert_array_equal(same[0].loadings, same[1].loadings)
    assert torch.equal(*(d.sample(500, generator()) for d in same))


# ---- texts ----------------------------------------------------------------------------------


def test_texts_of_independent_features_are_what_they_were():
    """Hashes of stored runs rest on them."""
    first = made()
    assert "parents" not in text_of(first)
    assert digest(text_of(first)) == "27ce29693a4c711f"
    same = [
        made(parents={}), made(parents=None, exclusive=False), made(correlation=np.zeros((12, 3)))
    ]  # fmt: skip
    for data in same:
        assert data == first
        assert torch.equal(data.sample(2000, generator()), first.sample(2000, generator()))
    drawn = first.sample_parts(4000, generator()).active.sum(dim=0).tolist()
    assert drawn == [2030, 1561, 1159, 802, 769, 580, 427, 385, 189, 81, 35, 4]


def test_a_field_that_came_later_is_left_out_while_it_has_its_default():
    now = [("a", int), ("b", int, field(default=7, metadata=LATER))]
    old, new = make_dataclass("Made", [("a", int)]), make_dataclass("Made", now)
    assert text_of(new(1)) == text_of(new(1, 7)) == text_of(old(1))
    assert json.loads(text_of(new(1, 8))) == {"kind": "Made", "a": 1, "b": 8}


def test_texts_say_who_depends_on_whom():
    every = [
        made(), *CASES.values(), made(parents={4: 1}), made(parents={4: 2}),
        made(correlation=Correlation(2, 0.8)), made(correlation=Correlation(2, 0.7, 3)),
        made(correlation=LOADED.loadings(12)),
    ]  # fmt: skip
    assert len({text_of(data) for data in every}) == len(every)
    spelled = made(parents={4: 1, 7: 1, 5: 1, 9: 4, 12: 9, 11: 9, range(6, 9, 2): 2})
    assert spelled == CASES["trees"]
    assert hash(spelled) == hash(CASES["trees"])
    assert "parents=<8 children>, exclusive=True, correlation=Corr" in repr(CASES["all"])
    assert "correlation=<12x2 loadings>" in repr(made(correlation=LOADED.loadings(12)))


@each_case
def test_the_same_seed_gives_the_same_numbers(data):
    same = generator(8)
    first, second = data.sample(500, same), data.sample(500, same)
    assert torch.equal(first, data.sample(500, generator(8)))
    assert not torch.equal(first, second)
    assert data.sample(0, same).shape == (0, 12)


# ---- refusals -------------------------------------------------------------------------------

TOO_MANY = {(4, 5, 6): 1, (7, 8, 9, 10): 4}
LONG = np.full((12, 1), 0.5)
LONG[4] = -1.0
REFUSED = [
    (lambda: made(parents=[1]), "parents must map ranks to the rank of their parent, got [1]"),
    (lambda: made(parents={(): 1}), "parents must not have an empty key, got ()"),
    (
        lambda: made(parents={13: 1}),
        "parents (the child) must be a whole number in [1, 12], got 13",
    ),
    (lambda: made(parents={2: 0}), "parents (the parent) must be a whole number in [1, 12], got 0"),
    (lambda: made(parents={2: 1, (2, 3): 1}), "give each child one parent, got 2 twice"),
    (lambda: made(parents={2: 2}), "must not go round in a circle, got rank 2 below itself"),
    (lambda: made(parents={2: 3, 3: 4, 4: 2, 5: 2}), "must not go round in a circle, got rank"),
    (
        lambda: made(parents={1: 2}),
        "at least as likely as their children, got p = 0.4 for rank 2 and 0.5 for its child, rank",
    ),
    (
        lambda: made(parents={(2, 3): 1}, exclusive=True),
        "at most as likely as their parent, got 0.7 for the children of rank 1, which has 0.5",
    ),
    (lambda: made(exclusive=True), "exclusive must be False without parents, got True"),
    (lambda: made(parents=TREES, exclusive=1), "exclusive must be True or False, got 1"),
    (
        lambda: made(correlation=0.5),
        "with r from 1 to 1024, for example Correlation(rank=8, strength=0.5), got float",
    ),
    (lambda: made(correlation=np.ones((3, 2))), "got ndarray of shape (3, 2)"),
    (lambda: made(correlation=LONG), "length below 1, got 1.0 for rank 5"),
    (lambda: made(correlation=np.full((12, 1), np.nan)), "correlation (row by row) must hold"),
    (
        lambda: made(parents=TREES, exclusive=True, correlation=np.full((12, 1), 0.1)),
        "loadings of 0 for exclusive siblings, whose choice depends on nothing but their parent, "
        "got others for rank 4",
    ),
    (lambda: Correlation(0, 0.5), "rank must be a whole number in [1, 1024], got 0"),
    (lambda: Correlation(1, 1.0), "strength must be a number in (0, 1), got 1.0"),
    (lambda: Correlation(1, 0.5, -1), "seed must be a whole number of at least 0, got -1"),
    (lambda: CASES["all"].together([1, 2], [1]), "second must hold as many ranks as first, 2"),
    (lambda: CASES["all"].together([13], [1]), "first must hold whole numbers in [1, 12]"),
]


@pytest.mark.parametrize(("call", "said"), REFUSED)
def test_refusals_name_the_argument_what_is_allowed_and_the_value(call, said):
    with pytest.raises(
        ValueError, match=r"parents|exclusive|correl|rank|stren|seed|first"
    ) as error:
        call()
    assert said in str(error.value)
