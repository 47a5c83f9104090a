"""Frequencies of latents against a list of every latent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.testing import any_curves, enough_features, populations
from scaling_theory.theory.latents import counts
from scaling_theory.theory.latents.frequencies import LatentFrequencies, latent_frequencies

M25 = sth.PowerLawFrequencies(0.5)
TILE, STEP = sth.PowerLawCurve(0.1), sth.DiscreteCurve()


def root(n):
    return np.sqrt(n)


OVERLAPS = {1.0: np.ones_like, 2.5: lambda n: np.minimum(n, 2.5), root: root, 1e9: lambda n: n}


def every_latent(alloc, overlap, features=None):
    """Frequency of each latent, one by one, in decreasing order."""
    population = alloc.population
    ranks = np.arange(1, (features or enough_features(population, alloc.latents)) + 1)
    n = alloc.latents_at(ranks)
    assert n.sum() == alloc.total
    some = n > 0
    x = n[some].astype(float)
    rates = population.frequencies.at(ranks[some]) * OVERLAPS[overlap](x) / x
    return np.sort(np.repeat(rates, n[some]))[::-1]


def check_all(alloc, overlap, want):
    seen = latent_frequencies(alloc, overlap)
    assert seen.total == alloc.total == want.size
    assert seen.at(np.arange(1, want.size + 1)).tolist() == want.tolist()
    values = np.unique(want)
    values = np.concatenate([[0.0], values, np.nextafter(values, 0.0), values / 3.0, 2.0 * values])
    assert seen.above(values).tolist() == [(want > v).sum() for v in values]


@settings(deadline=None, max_examples=150)
@given(
    populations(any_curves),
    st.integers(1, 60),
    st.sampled_from(list(OVERLAPS)),
    st.sampled_from([0, counts.LISTABLE]),
)
def test_every_latent_of_any_population(population, latents, overlap, listable):
    alloc = sth.allocate(population, latents)
    if not alloc.total:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "LISTABLE", listable)
        check_all(alloc, overlap, every_latent(alloc, overlap))


LARGE = {
    "tiles": (sth.Population(M25, TILE), 100_000, 5_000),
    "not convex": (sth.Population(M25, sth.PowerLawCurve(0.1, shift=0)), 100_000, 5_000),
    "one over n": (sth.Population(M25, sth.PowerLawCurve(1.0)), 100_000, 50_000),
    "exceptions": (sth.Population(M25, STEP, {(1, 77, 1500): TILE}), 100_000, 100_000),
    "mixture": (
        sth.Population.mixture(M25, {"a": (0.02, TILE), "b": (0.98, STEP)}, seed=1, head=100),
        30_000,
        30_000,
    ),
    "three magnitudes": (
        sth.Population.mixture(
            M25,
            {"a": (0.3, TILE, 4.0), "b": (0.5, sth.PlateauCurve(3)), "c": (0.2, STEP, 0.1)},
            head=0,
        ),
        30_000,
        10_000,
    ),
    "finite": (
        sth.Population(sth.PowerLawFrequencies(-0.3, count=30_000), sth.PowerLawCurve(0.7)),
        100_000,
        30_000,
    ),
    "flat head": (sth.Population(sth.ZipfMandelbrotFrequencies(0.5, 100.0), TILE), 100_000, 20_000),
    "saturated": (sth.Population(sth.PowerLawFrequencies(0.5, count=999), STEP), 5_000, 999),
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("listable", [0, counts.LISTABLE])
@pytest.mark.parametrize("overlap", [1.0, root])
def test_larger_budgets(name, listable, overlap, monkeypatch):
    population, latents, features = LARGE[name]
    alloc = sth.allocate(population, latents)
    want = every_latent(alloc, overlap, features)
    monkeypatch.setattr(counts, "LISTABLE", listable)
    seen = latent_frequencies(alloc, overlap)
    ranks = np.unique(np.geomspace(1, alloc.total, 500).astype(np.int64))
    assert seen.at(ranks).tolist() == want[ranks - 1].tolist()
    between = want[ranks - 1] * 0.9999
    assert seen.above(between).tolist() == np.searchsorted(-want, -between).tolist()
    assert seen.above(0.0).tolist() == [alloc.total]


@pytest.mark.parametrize("latents", [10**8, 10**12])
@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0])
def test_budgets_beyond_listing(beta, latents):
    alloc = sth.allocate(sth.Population(M25, sth.PowerLawCurve(beta)), latents)
    seen = latent_frequencies(alloc, root)
    assert seen.above(0.0).tolist() == [latents]
    ranks = sth.logspace(1, latents, 60)
    f = seen.at(ranks)
    assert (np.diff(f) <= 0.0).all()
    # rank and frequency are inverse to one another
    assert (seen.above(f) < ranks).all()
    assert (seen.above(np.nextafter(f, 0.0)) >= ranks).all()
    # all latents together fire as often as their features times the overlap
    first = alloc.latents_at(1)[0]
    assert seen.at(1)[0] == M25.at(1)[0] * np.sqrt(first) / first


@pytest.mark.parametrize("count", [2, 9])
def test_sum_over_latents_is_the_mean_number_that_fires(count):
    # with q = 1 and every feature found, one latent fires for each active feature
    law = sth.PowerLawFrequencies(0.5, count=count)
    alloc = sth.allocate(sth.Population(law, TILE), 1000)
    table = latent_frequencies(alloc).at(np.arange(1, 1001))
    assert table.sum() == pytest.approx(1.0, rel=1e-12)


# ---- slopes and tables -----------------------------------------------------------------------


def test_discrete_features_show_their_own_slope():
    for alpha in (0.1, 0.5, 1.0):
        alloc = sth.allocate(sth.Population(sth.PowerLawFrequencies(alpha), STEP), 10**6)
        seen = latent_frequencies(alloc)
        assert seen.slope() == pytest.approx(-(1.0 + alpha), abs=1e-12)
        assert seen.slope(1000, 10**6, points=7) == pytest.approx(-(1.0 + alpha), abs=1e-12)
        assert seen.at([1, 10**6]).tolist() == alloc.population.frequencies.at([1, 10**6]).tolist()


def test_slope_is_least_squares():
    alloc = sth.allocate(sth.Population(M25, sth.PowerLawCurve(0.7)), 20_000)
    seen = latent_frequencies(alloc)
    ranks = np.unique(np.rint(np.geomspace(50, 15_000, 401)).astype(int))
    want = np.polyfit(np.log(ranks), np.log(seen.at(ranks)), 1)[0]
    assert seen.slope(50, 15_000) == pytest.approx(want, rel=1e-12)


def test_table():
    alloc = sth.allocate(sth.Population(M25, TILE), 10**5)
    seen = latent_frequencies(alloc, overlap=2)
    table = seen.table(points=30)
    assert list(table.columns) == ["rank", "frequency"]
    assert table["rank"].iloc[0] == 1
    assert table["rank"].iloc[-1] == alloc.total
    assert table["frequency"].tolist() == seen.at(table["rank"].to_numpy()).tolist()
    assert repr(seen).startswith("LatentFrequencies(allocation=Allocation(")


# ---- refusals --------------------------------------------------------------------------------


def test_refusals():
    alloc = sth.allocate(sth.Population(M25, TILE), 1000)
    seen = latent_frequencies(alloc)
    assert isinstance(seen, LatentFrequencies)
    empty = sth.allocate(sth.Population(M25, TILE), 0)
    with pytest.raises(ValueError, match="alloc must hold at least one latent, got 0"):
        latent_frequencies(empty)
    with pytest.raises(ValueError, match="alloc must be an Allocation"):
        latent_frequencies(1000)
    for bad in (0.5, np.nan, "2", None):
        with pytest.raises(ValueError, match="overlap must be"):
            latent_frequencies(alloc, bad)
    for function in (lambda n: 2.0 * n, lambda n: 0.5 * n, lambda n: n * np.nan):
        with pytest.raises(ValueError, match=r"overlap must be in \[1, n\], got .* for n = "):
            latent_frequencies(alloc, function)
    with pytest.raises(ValueError, match="overlap must return one value per n"):
        latent_frequencies(alloc, lambda n: 1.0)
    for rank in (0, 1001, 1.5):
        with pytest.raises(ValueError, match="ranks must hold whole numbers in"):
            seen.at(rank)
    with pytest.raises(ValueError, match="frequency must hold"):
        seen.above(-1.0)
    with pytest.raises(ValueError, match="high must be a whole number in"):
        seen.slope()  # 1e4 is beyond 1000 latents
    with pytest.raises(ValueError, match="low must be a whole number in"):
        seen.slope(500, 500)


def test_an_overlap_function_cannot_change_the_numbers():
    def greedy(n):
        n *= 0.0
        return n + 1.0

    alloc = sth.allocate(sth.Population(M25, TILE), 1000)
    want = latent_frequencies(alloc).at(np.arange(1, 1001))
    assert latent_frequencies(alloc, greedy).at(np.arange(1, 1001)).tolist() == want.tolist()
