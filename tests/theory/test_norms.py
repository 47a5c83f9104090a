"""Squared norms predicted linearly: moments, enumeration and simulation against the closed form."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling_theory.theory.derivations.norms import bernoulli_norms, poisson_norms
from scaling_theory.theory.norms import FeatureWeights, norm_correlation, norm_probe

FITS = ["means", "least squares"]

few = settings(deadline=None, max_examples=60)
sizes = st.floats(1e-3, 30.0)
probabilities = st.floats(1e-9, 1.0, exclude_max=True)


def poisson_table(rate):
    """Values and probabilities, cut off where what is left is below 1e-20."""
    k = np.arange(int(rate + 14.0 * math.sqrt(rate) + 40.0), dtype=np.float64)
    log_p = k * math.log(rate) - rate - np.array([math.lgamma(j + 1.0) for j in k])
    return k, np.exp(log_p)


def enumerated(tables, b):
    """Correlation of b.w and w.w over every combination of values."""
    values = np.meshgrid(*(v for v, _ in tables), indexing="ij")
    weight = np.ones([v.size for v, _ in tables])
    for axis, (_, p) in enumerate(tables):
        weight = weight * np.expand_dims(p, [j for j in range(len(tables)) if j != axis])
    probe = sum(c * v for c, v in zip(b, values, strict=True))
    norm = sum(v * v for v in values)
    probe, norm = (z - (weight * z).sum() for z in (probe, norm))
    return (weight * probe * norm).sum() / math.sqrt(
        (weight * probe**2).sum() * (weight * norm**2).sum()
    )


def covariances(tables):
    """Matrix of covariances of (w_1, ..., w_m, w.w) by enumeration, and their means."""
    values = np.meshgrid(*(v for v, _ in tables), indexing="ij")
    weight = np.ones(values[0].shape)
    for axis, (_, p) in enumerate(tables):
        weight = weight * np.expand_dims(p, [j for j in range(len(tables)) if j != axis])
    rows = np.array([*(v.ravel() for v in values), sum(v * v for v in values).ravel()])
    return np.cov(rows, aweights=weight.ravel(), ddof=0), rows @ weight.ravel()


# ---- the printed numbers ---------------------------------------------------------------------


def test_unit_rates_are_correlated_by_three_over_the_root_of_eleven():
    for fit in FITS:
        for count in (1, 2, 1000):
            rho = norm_correlation(FeatureWeights.poisson(np.ones(count)), fit)
            assert rho == pytest.approx(3.0 / math.sqrt(11.0), rel=1e-14)
    assert 3.0 / math.sqrt(11.0) == pytest.approx(0.9045, abs=5e-5)
    # what is printed has 66 = 11 * 6 under the root, and is smaller
    assert norm_correlation(FeatureWeights.poisson([1.0])) > 6.0 / math.sqrt(66.0) + 0.16


def test_probes_of_poisson_weights():
    rates = np.array([0.2, 1.0, 7.0])
    weights = FeatureWeights.poisson(rates)
    by_means, best = (norm_probe(weights, fit) for fit in FITS)
    assert by_means.coefficients.tolist() == (rates + 1.0).tolist()
    assert by_means.intercept == 0.0
    assert best.coefficients.tolist() == (2.0 * rates + 1.0).tolist()
    # E w.w = sum r^2 + r, E b.w = sum 2 r^2 + r
    assert best.intercept == pytest.approx(-(rates**2).sum(), rel=1e-15)
    assert best.correlation > by_means.correlation


@few
@given(st.lists(sizes, min_size=1, max_size=6))
@example([1.0])
def test_the_formula_of_the_paper_with_its_power_mended(rates):
    r = np.array(rates)
    want = (2 * r**3 + 3 * r**2 + r).sum() / math.sqrt(
        (4 * r**3 + 6 * r**2 + r).sum() * (r**3 + 2 * r**2 + r).sum()
    )
    assert norm_correlation(FeatureWeights.poisson(rates)) == pytest.approx(want, rel=1e-13)


# ---- Bernoulli weights: a perfect probe --------------------------------------------------------


@few
@given(st.lists(st.tuples(probabilities, st.floats(1e-50, 1e50)), min_size=1, max_size=40))
@example([(0.3, 1.0)] * 7)  # equal features
@example([(1e-9, 1e-50), (1.0 - 2**-53, 1e50)])
def test_bernoulli_weights_are_perfectly_predicted(features):
    p, s = (np.array(v) for v in zip(*features, strict=True))
    weights = FeatureWeights.bernoulli(p, s)
    for fit in FITS:
        probe = norm_probe(weights, fit)
        assert probe.correlation == 1.0
        assert probe.coefficients.tolist() == s.tolist()
        assert abs(probe.intercept) <= 1e-15 * (s * s * p).sum()


def test_one_scale_for_all():
    p = [0.1, 0.5, 1.0]
    one, each = FeatureWeights.bernoulli(p, 3.0), FeatureWeights.bernoulli(p, [3.0] * 3)
    for field in dataclasses.fields(one):
        assert getattr(one, field.name).tolist() == getattr(each, field.name).tolist()
    assert norm_correlation(one) == 1.0


def test_bernoulli_beside_poisson_weights_by_moments():
    # m_k = p s^k, exact in binary, and Poisson moments at a whole rate
    p, s, r = 0.25, 2.0, 3.0
    first, second = [p * s, r], [p * s**2, r**2 + r]
    third = [p * s**3, r**3 + 3 * r**2 + r]
    fourth = [p * s**4, r**4 + 6 * r**3 + 7 * r**2 + r]
    weights = FeatureWeights.from_moments(first, second, third, fourth)
    assert weights.unexplained.tolist() == [0.0, 2 * r**2]
    assert weights.slope.tolist() == [s, 2 * r + 1]
    assert weights.ratio.tolist() == [s, r + 1]
    assert weights.variance.tolist() == [s**2 * p * (1 - p), r]
    tables = [(np.array([0.0, s]), np.array([1 - p, p])), poisson_table(r)]
    for fit in FITS:
        probe = norm_probe(weights, fit)
        assert probe.correlation == pytest.approx(enumerated(tables, probe.coefficients), rel=1e-12)


# ---- brute force -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.01, 6.0), min_size=1, max_size=2))
@example([1.0])
@example([0.1, 6.0])
def test_enumeration_of_poisson_weights(rates):
    weights, tables = FeatureWeights.poisson(rates), [poisson_table(r) for r in rates]
    for fit in FITS:
        probe = norm_probe(weights, fit)
        # the sums of the enumeration are rounded relative to their largest terms
        assert probe.correlation == pytest.approx(enumerated(tables, probe.coefficients), rel=1e-10)


@few
@given(
    st.lists(
        st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.05, 1.0)), min_size=2, max_size=5),
        min_size=1,
        max_size=3,
    )
)
def test_any_weights_against_linear_regression(features):
    tables = []
    for pairs in features:
        v, p = (np.array(column) for column in zip(*pairs, strict=True))
        if np.ptp(v) < 0.1 * v.max() or v.max() < 1e-3:
            v = v + np.arange(v.size)  # nearly constant weights: no digits left
        tables.append((v, p / p.sum()))
    moments = np.array([[(p * v**k).sum() for v, p in tables] for k in (1, 2, 3, 4)])
    weights = FeatureWeights.from_moments(*moments)
    cov, mean = covariances(tables)
    best = norm_probe(weights, "least squares")
    solved = np.linalg.solve(cov[:-1, :-1], cov[:-1, -1])
    # variances are at least 1e-4 of the second moments, which costs that many digits
    np.testing.assert_allclose(best.coefficients, solved, rtol=1e-9)
    explained = solved @ cov[:-1, -1] / cov[-1, -1]
    assert best.correlation**2 == pytest.approx(explained, rel=1e-9)
    assert best.intercept == pytest.approx(mean[-1] - solved @ mean[:-1], abs=1e-8 * mean[-1])
    by_means = norm_probe(weights)
    np.testing.assert_allclose(by_means.coefficients * moments[0], moments[1], rtol=1e-14)
    assert by_means.correlation == pytest.approx(
        enumerated(tables, by_means.coefficients), rel=1e-9
    )
    assert by_means.correlation <= best.correlation * (1.0 + 1e-12)


def test_large_rates_lose_no_digits():
    # rho^2 = 1 - 2 r / (4 r^2 + 6 r + 1): raw moments would lose 1e16 * r of it
    for rate in (1e-12, 1e-3, 1e3, 1e9):
        want = -2.0 * rate / (4.0 * rate**2 + 6.0 * rate + 1.0)
        rho = norm_correlation(FeatureWeights.poisson([rate, rate]), "least squares")
        assert rho == pytest.approx(math.exp(0.5 * math.log1p(want)), rel=1e-15)


def test_rare_features_are_like_bernoulli_ones():
    # a rare Poisson weight is 0 or 1 but for events of order r^2: 1 - rho^2 = 2 sum r^2 / sum r
    rho = norm_correlation(FeatureWeights.poisson([1e-6, 3e-6]), "least squares")
    assert 1.0 - rho == pytest.approx(2.5e-6, rel=2e-5)


@pytest.mark.parametrize("rates", [[1.0], [0.05, 0.3, 2.0]], ids=["unit", "unequal"])
def test_simulation(rates):
    """Ten million samples; the standard error from the scatter of chunks."""
    rng = np.random.default_rng(20240613)
    weights = FeatureWeights.poisson(rates)
    chunks, size = 100, 100_000
    found = {fit: [] for fit in FITS}
    probes = {fit: norm_probe(weights, fit) for fit in FITS}
    for _ in range(chunks):
        w = rng.poisson(rates, size=(size, len(rates))).astype(np.float64)
        norm = (w * w).sum(axis=1)
        for fit in FITS:
            found[fit].append(np.corrcoef(w @ probes[fit].coefficients, norm)[0, 1])
    for fit in FITS:
        error = np.std(found[fit], ddof=1) / math.sqrt(chunks)
        # a chunk's correlation is biased by about 1/size, far less than the error
        assert error < 2e-4
        assert abs(np.mean(found[fit]) - probes[fit].correlation) <= 4.0 * error


# ---- symbols -----------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", [poisson_norms, bernoulli_norms])
def test_every_step_holds_and_none_by_default(chapter):
    import sympy as sp

    steps = chapter()
    assert len(steps) >= 6
    for step in steps:
        assert step.holds(), step.name
        spoiled = step.residual + sp.Symbol("r", positive=True) / 7
        assert not dataclasses.replace(step, residual=spoiled).holds()


def test_the_printed_variance_does_not_hold():
    import sympy as sp

    r = sp.Symbol("r", positive=True)
    (step,) = [s for s in poisson_norms() if s.name.startswith("variance of w^2")]
    printed = step.residual + (4 * r**3 + 6 * r**2 + r) - (4 * r**3 + 6 * r**3 + r)
    assert not dataclasses.replace(step, residual=printed).holds()


@pytest.mark.parametrize("rate", [0.3, 1.0, 4.0])
def test_symbols_and_numbers_agree(rate):
    import sympy as sp

    r = sp.Symbol("r", positive=True)
    said = {s.name.split(":")[0]: s.equation.rhs for s in poisson_norms()}
    weights = FeatureWeights.poisson([rate])
    square = float(said["equal rates"].subs(r, rate))
    for fit in FITS:
        assert norm_correlation(weights, fit) ** 2 == pytest.approx(square, rel=1e-14)
    unexplained = float(said["what no probe explains"].subs(r, rate))
    assert weights.unexplained[0] == pytest.approx(unexplained, rel=1e-15)


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: FeatureWeights.poisson([1.0, 0.0]), ["rates[1] = 0.0", "(0, 1e+60]"]),
        (lambda: FeatureWeights.poisson([]), ["rates must not be empty"]),
        (lambda: FeatureWeights.bernoulli([0.5, 1.1]), ["probabilities[1] = 1.1", "(0, 1]"]),
        (lambda: FeatureWeights.bernoulli([0.5], -1.0), ["scales", "-1.0"]),
        (lambda: FeatureWeights.bernoulli([0.5], [1.0, 2.0]), ["scales", "2"]),
        (lambda: FeatureWeights.from_moments([1.0], [2.0], [5.0], [1.0]), ["feature 0", "5.0"]),
        (lambda: FeatureWeights.from_moments([2.0], [1.0], [5.0], [9.0]), ["feature 0"]),
        (lambda: FeatureWeights.from_moments([1.0], [2.0, 3.0], [5.0], [15.0]), ["[1, 2, 1, 1]"]),
        (lambda: norm_correlation([1.0]), ["weights must be FeatureWeights"]),
        (lambda: norm_correlation(FeatureWeights.poisson([1.0]), "best"), ["'means'", "'best'"]),
        (lambda: norm_correlation(FeatureWeights.bernoulli([1.0, 1.0])), ["weights must vary"]),
    ],
)
def test_refusals(call, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)


def test_constant_weights_are_allowed_among_others():
    constant = FeatureWeights.from_moments([3.0, 1.0], [9.0, 2.0], [27.0, 5.0], [81.0, 15.0])
    assert constant.variance[0] == 0.0
    alone = FeatureWeights.poisson([1.0])
    assert norm_correlation(constant) == pytest.approx(norm_correlation(alone), rel=1e-14)
