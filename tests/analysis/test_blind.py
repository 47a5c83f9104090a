"""Blind families: drawn as stated, solved exactly, measured as stated."""

import math
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import scaling_theory as sth
from scaling_theory.allocation.reference import greedy
from scaling_theory.analysis import RandomDirections
from scaling_theory.analysis.blind import (
    DEPARTURES,
    WITHHELD,
    Features,
    Part,
    Training,
    _draw,
    _other,
    blind_families,
    blind_family,
    draw_recipe,
    families,
    observe,
    recipe,
)


@pytest.fixture(scope="module")
def drawn():
    return blind_families(12, seed=3)


@pytest.fixture(scope="module")
def recipes():
    """Recipes of families of two seeds, unsolved."""
    out = []
    for seed in (0, 1):
        for index in range(1200):
            regime = families._regime(index, seed)
            if regime != "other":
                out.append(draw_recipe(seed, index, regime))
    return out


def exact(parts, widths, **changes):
    """A recipe without errors of any kind, of given features."""
    base = draw_recipe(0, 0, "benign")
    features = changes.pop("features", None) or Features(parts, 0.6, 0.6, seed=5)
    quiet = replace(
        base.measurement, floor=0.0, scale=1.0, noise=0.0, common=0.0, length=0.0, tokens=1e18,
        peak=0.5, uneven=0.0, ambient=512, scatter=0.0, correlation=0.0, related=0.0,
    )  # fmt: skip
    return replace(
        base, features=features, training=changes.pop("training", Training()), measurement=quiet,
        widths=np.array(widths), departures=(), withheld=(), **changes,
    )  # fmt: skip


TILE = Part("manifold", 1.0, beta=0.3, dimension=3.0, spacing=1.5)
STEP = Part("discrete", 1.0, scale=0.8)
FLAT = Part("plateau", 1.0, scale=0.9, basis=3)
MIXED = (replace(TILE, share=0.2), replace(STEP, share=0.5), replace(FLAT, share=0.3))


# ---- what is drawn ---------------------------------------------------------------------------


def test_regimes_are_balanced():
    for seed in range(5):
        found = Counter(families._regime(k, seed) for k in range(240))
        assert found == {"benign": 110, "pathological": 110, "other": 20}
        # at every length, so that a short list is balanced too
        short = Counter(families._regime(k, seed) for k in range(50))
        assert 0.4 <= short["benign"] / (short["benign"] + short["pathological"]) <= 0.6
    # and no pattern of the index tells them
    by_parity = Counter(
        (k % 2, families._regime(k, s)) for s in range(20) for k in range(0, 240) if k % 12 != 11
    )
    even = by_parity[0, "benign"] / (by_parity[0, "benign"] + by_parity[0, "pathological"])
    assert abs(even - 0.5) < 5.0 * 0.5 / math.sqrt(20 * 110)


@given(st.integers(0, 2**40), st.integers(0, 99_999), st.sampled_from(["benign", "pathological"]))
@settings(deadline=None)
def test_recipes_are_within_what_is_stated(seed, index, regime):
    drawn = draw_recipe(seed, index, regime)
    features, widths = drawn.features, drawn.widths
    assert features.regime == regime
    assert 0.2 <= features.alpha <= 1.2
    betas = [p.beta for p in features.parts if p.kind == "manifold"]
    assert all(0.05 <= b <= 2.0 for b in betas)
    assert all(abs(b - features.alpha) >= 0.02 for b in betas)
    assert (regime == "pathological") == any(b < features.alpha for b in betas)
    if betas:
        assert features.beta == min(betas)
        assert 0.02 <= features.share <= 1.0
    else:
        assert math.isnan(features.beta)
        assert features.share == 0.0
    assert sum(round(100 * p.share) for p in features.parts) == 100
    assert all(p.share > 0.0 for p in features.parts)
    assert 5 <= widths.size <= 10
    assert (np.diff(widths) > 0).all()
    assert widths[0] >= 64
    assert widths[-1] <= 262_144
    assert 16.0 <= widths[-1] / widths[0] <= 1024.0
    assert set(drawn.departures) <= set(DEPARTURES)
    assert set(drawn.withheld) <= set(WITHHELD)
    assert features.firing_alpha > 0.0
    assert all(p.dimension >= 1.0 for p in features.parts if p.kind == "manifold")
    for part in features.parts:
        curve = part.curve()
        assert curve.excess(np.zeros(1))[0] == pytest.approx(part.scale, rel=1e-12)
        if part.kind == "manifold":
            assert curve.tail_exponent == part.beta


def test_departures_have_their_shares(recipes):
    with_manifolds = [r for r in recipes if r.features.share > 0.0]
    for name, share in DEPARTURES.items():
        among = with_manifolds if name in recipe._NEED_MANIFOLDS else recipes
        share *= 1.0 - recipe.CLEAN
        found = sum(name in r.departures for r in among)
        assert abs(found - share * len(among)) < 5.0 * math.sqrt(share * len(among)), name
    assert not any(set(r.departures) & set(recipe._NEED_MANIFOLDS) for r in recipes if not
                   r.features.share)  # fmt: skip


def test_evidence_is_withheld_as_often_as_stated(recipes):
    seen = [r for r in recipes if "losses only" not in r.withheld]
    for name in ("frequencies but one", "cosines"):
        found = sum(name in r.withheld for r in seen)
        share = WITHHELD[name]
        assert abs(found - share * len(seen)) < 5.0 * math.sqrt(share * len(seen))
    for name in ("losses only", "standard errors"):
        found = sum(name in r.withheld for r in recipes)
        share = WITHHELD[name]
        assert abs(found - share * len(recipes)) < 5.0 * math.sqrt(share * len(recipes))


def test_every_departure_is_among_the_families_of_a_seed():
    for seed in range(3):
        kinds = Counter()
        for index in range(240):
            regime = families._regime(index, seed)
            if regime != "other":
                one = draw_recipe(seed, index, regime)
                kinds.update(one.departures + one.withheld + (one.structure,))
        assert set(kinds) == {*DEPARTURES, *WITHHELD, *recipe.STRUCTURES["benign"]}
        assert min(kinds.values()) >= 3


def test_near_the_diagonal(recipes):
    one = [r.features for r in recipes if len(r.features.parts) == 1 and r.features.share]
    near = sum(abs(f.alpha - f.beta) < 0.1 for f in one) / len(one)
    assert abs(near - _draw.NEAR) < 5.0 * math.sqrt(_draw.NEAR / len(one))


def test_dimension_of_the_one_layer_law():
    for d in range(2, 12):
        beta = 2.0 * (d + 2.0) / ((d - 1.0) * (d + 4.0))
        assert _draw.one_layer_dimension(beta) == pytest.approx(d - 1.0, rel=1e-12)


# ---- the truth -------------------------------------------------------------------------------


def bought(population, parts, latents):
    """Loss that the latents of ranks 1, 2, ... take away, feature by feature."""
    ranks = np.arange(1, latents.size + 1)
    weights, part = population.frequencies.at(ranks), population.group_of(ranks)
    taken = np.zeros(latents.size)
    for k, p in enumerate(parts):
        own = part == k
        taken[own] = p.scale - p.curve().excess(latents[own].astype(float))
    return float((weights * taken).sum())


def test_losses_are_the_exact_solver_s(drawn):
    for family in drawn:
        if family.recipe is None:
            continue
        features, measured = family.recipe.features, family.recipe.measurement
        population = features.population()
        solved = [sth.allocate(population, int(n)).excess_loss for n in family.widths]
        excess = measured.scale * (np.array(solved) + features.never_found())
        # one floor for all widths, the stated share of the smallest loss
        floor = measured.floor * family.expected.min()
        assert family.optimum == pytest.approx(excess + floor, rel=1e-12)
        # training only loses, and loses nothing where it departs in nothing
        if family.recipe.training in (Training(), Training(theta=family.recipe.training.theta)):
            assert family.expected == pytest.approx(family.optimum, rel=1e-12)
        else:
            # where a share of latents rounds to none, nothing is lost
            assert (family.expected >= family.optimum * (1.0 - 1e-12)).all()
            assert family.expected[-1] > family.optimum[-1]


def test_losses_are_those_of_a_heap(drawn):
    checked = 0
    for family in drawn[:8]:
        width = int(family.widths[0])
        convex = family.recipe and "convention" not in family.departures
        if not convex or width > 400 or "measured curve" in family.departures:
            continue
        features, measured = family.recipe.features, family.recipe.measurement
        population = features.population()
        by_heap = greedy(population, width, 8_000).latents
        assert not by_heap[-1_000:].any()
        none = sth.allocate(population, 0).excess_loss + features.never_found()
        want = measured.scale * (none - bought(population, features.parts, by_heap))
        want += measured.floor * family.expected.min()
        assert family.optimum[0] == pytest.approx(want, rel=1e-9)
        checked += 1
    assert checked >= 3


def test_regime_is_that_of_the_closed_form(recipes):
    checked = Counter()
    for one in recipes:
        f = one.features
        pure = not f.listed and f.count is None and not f.offset and len(f.parts) == 1
        if not pure or "measured curve" in one.departures or checked[f.regime] == 20:
            continue
        found = sth.predict(f.alpha, curve=f.parts[0].curve())
        assert found.regime == f.regime
        checked[f.regime] += 1
    assert checked == {"benign": 20, "pathological": 20}


def test_slopes_and_takeover_tell_the_regimes_apart():
    widths = [1000, 100_000]
    benign = observe(exact((replace(TILE, beta=1.5),), widths))
    sick = observe(exact((replace(TILE, beta=0.1),), widths))
    # the price times N over the excess against the slope between neighbours
    for family in (benign, sick):
        near = observe(replace(family.recipe, widths=np.array([99_000, 100_000, 101_000])))
        slope = -np.diff(np.log(near.expected[[0, 2]])) / np.log(101 / 99)
        assert family.slopes[1] == pytest.approx(slope[0], rel=1e-3)
    assert benign.slopes[1] == pytest.approx(0.6, abs=0.06)
    assert sick.slopes[1] == pytest.approx(0.1, abs=0.01)
    mixed = observe(exact((replace(TILE, share=0.5, beta=0.1), replace(STEP, share=0.5)), widths))
    assert mixed.taken_over.tolist() == mixed.manifold_latents.tolist()
    assert 0.0 < mixed.taken_over[0] < mixed.taken_over[1] < 1.0
    assert benign.manifold_latents.tolist() == [1.0, 1.0]
    assert benign.taken_over.tolist() == [0.0, 0.0]
    table = sth.allocate(mixed.recipe.features.population(), 100_000).by_group()
    assert mixed.taken_over[1] == pytest.approx(table["share"][0], rel=1e-12)


def test_listed_features_stand_for_infinitely_many():
    tail = Features(MIXED, 0.4, 0.4, seed=9)
    listed = replace(tail, listed=40_000)
    budgets = [100, 1000, 5000]

    def excess(f):
        population = f.population()
        found = [sth.allocate(population, n).excess_loss for n in budgets]
        return np.array(found) + f.never_found()

    # beyond the drawn head of a mixture ranks differ, so: one part
    one = (replace(TILE, beta=0.7),)
    ratio = excess(replace(listed, parts=one)) / excess(replace(tail, parts=one))
    assert ratio == pytest.approx(float(np.sum(np.arange(1.0, 1e6) ** -1.4)) + 2.5 * 1e6**-0.4,
                                  rel=1e-5)  # fmt: skip
    shifted, listed_too = (replace(f, parts=one, offset=30.0) for f in (tail, listed))
    ratio = excess(listed_too) / excess(shifted)
    assert ratio == pytest.approx(ratio[0], rel=1e-9)
    # a bend without a change of exponent is none; with one, both sides have their exponents
    straight = replace(listed, parts=one, bend=50, head_alpha=0.4)
    assert excess(straight) == pytest.approx(excess(replace(listed, parts=one)), rel=1e-9)
    bent = replace(listed, parts=one, bend=64, head_alpha=0.1)
    p = bent.firing(np.array([8.0, 32.0, 64.0, 128.0, 8192.0]))
    assert np.log2(p[:3]) - np.log2(p[0]) == pytest.approx([0.0, -2.2, -3.3])
    assert np.log2(p[2:]) - np.log2(p[2]) == pytest.approx([0.0, -1.4, -9.8])
    # and what is never found goes on as if it were listed
    longer = replace(bent, listed=80_000)
    assert excess(longer) == pytest.approx(excess(bent), rel=1e-9)


def test_magnitudes_weigh_in_the_allocation_and_not_in_the_firing():
    f = Features((STEP,), 0.6, 0.9, seed=2)
    # features of rank i: weights fall as i^-1.6, firing as i^-1.9
    family = observe(exact((STEP,), [64, 2048], features=f))
    seen = np.sort(family.frequencies[2048])[::-1]
    assert np.log(seen[0] / seen[1000]) == pytest.approx(1.9 * np.log(1001), rel=1e-4)
    assert family.slopes[1] == pytest.approx(0.6, rel=2e-3)
    spread = replace(f, spread=1.0, listed=20_000)
    family = observe(exact((STEP,), [64, 2048], features=spread))
    weights = spread.population().frequencies.at(np.arange(1, 20_001))
    found = np.sort(np.argsort(-weights)[:2048]) + 1.0
    want = spread.firing(found) / spread.firing(found).max()
    seen = np.sort(family.frequencies[2048])[::-1]
    assert seen / seen[0] == pytest.approx(np.sort(want)[::-1], rel=1e-3)
    law = np.log(weights) - np.log(Features((STEP,), 0.6, 0.6).firing(np.arange(1.0, 20_001.0)))
    assert law.std() == pytest.approx(1.0, abs=5.0 / math.sqrt(2 * 20_000))
    assert law.mean() == pytest.approx(-0.5, abs=5.0 / math.sqrt(20_000))


# ---- what is measured ------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.0, 0.5])
@pytest.mark.parametrize("parts", [(TILE,), MIXED], ids=["tiles", "mixture"])
def test_firing_is_that_of_the_theory(parts, theta):
    one = exact(parts, [100, 3000], training=Training(theta=theta))
    family = observe(one)
    scales = []
    for width in (100, 3000):
        alloc = sth.allocate(one.features.population(), width)
        want = sth.latent_frequencies(alloc, lambda n: n**theta).at(np.arange(1, width + 1))
        seen = np.sort(family.frequencies[width].astype(float))[::-1]
        scales.append(seen / want)
    # one constant for all widths; 1e-4: counts of more than 1e10, and single precision
    assert np.concatenate(scales) == pytest.approx(scales[0][0], rel=1e-4)
    assert max(f.max() for f in family.frequencies.values()) == pytest.approx(0.5, rel=1e-5)


def test_copies_share_firing_and_the_dead_have_none():
    widths, sums = [500, 1000, 2000], []
    training = Training(dead=(0.1, 0.3), duplicates=0.25)
    family = observe(exact((STEP,), widths, training=training))
    for width, dead in zip(widths, (50, 200, 600), strict=True):
        seen = family.frequencies[width]
        assert int((seen == 0.0).sum()) == dead
        own = width - dead - round(0.25 * (width - dead))
        want = Features((STEP,), 0.6, 0.6).firing(np.arange(1.0, own + 1.0))
        # copies split their original's: the sum is that of the features
        sums.append(seen.astype(float).sum() / want.sum())
        close = family.cosines[width] > math.cos(0.3) - 1e-6
        copies = width - dead - own
        assert copies < close.sum() <= 2 * copies
        assert not (close & (seen == 0.0)).any()
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-5)
    # losses are those of the latents that are left
    population = family.recipe.features.population()
    left = [450 - 112, 800 - 200, 1400 - 350]
    want = [sth.allocate(population, n).excess_loss for n in left]
    assert family.expected == pytest.approx(want, rel=1e-12)


def test_disturbed_allocations_lose_and_keep_their_number():
    for parts in ((TILE,), (STEP,), MIXED):
        quiet = exact(parts, [200, 2000])
        best = observe(quiet)
        before = best.expected
        for displaced, blur in ((0.02, 0.0), (0.2, 0.0), (0.2, 0.6)):
            training = Training(displaced=displaced, blur=blur)
            family = observe(replace(quiet, training=training))
            # blur finds nothing to do where there are no manifolds
            assert (family.expected > (before if blur == 0.0 else best.expected)).all()
            assert (family.expected < 1.5 * best.expected).all()
            before = family.expected
            for spent in families.spend(family.recipe):
                assert spent.latents.sum() == spent.width
                assert (np.diff(spent.ranks) > 0).all()
                n = np.zeros(int(spent.ranks.max()), dtype=np.int64)
                n[spent.ranks - 1] = spent.latents
                population = family.recipe.features.population()
                none = sth.allocate(population, 0).excess_loss
                want = none - bought(population, parts, n)
                assert spent.excess == pytest.approx(want, rel=1e-9)


def test_errors_of_losses_are_as_stated(drawn):
    base = drawn[0].recipe
    draws = {}
    for name, change in {
        "own": {"noise": 0.02, "common": 0.0, "length": 0.0},
        "common": {"noise": 0.01, "common": 0.03, "length": 0.0},
        "correlated": {"noise": 0.02, "common": 0.0, "length": 2.0},
    }.items():
        measured = replace(base.measurement, **change)
        rng = np.random.default_rng(1)
        widths, one = np.array([100, 200, 400, 6400]), np.ones(4)
        both = [families._observe.with_errors(one, widths, measured, rng) for _ in range(4000)]
        losses, stderr = (np.array(column) for column in zip(*both, strict=True))
        draws[name] = np.log(losses)
        size = math.hypot(measured.noise, measured.common)
        assert draws[name].std(axis=0) == pytest.approx(size, rel=5.0 / math.sqrt(8000))
        assert np.median(stderr) == pytest.approx(size, rel=0.01)
    # five standard errors of a correlation from 4000 draws
    close = 5.0 / math.sqrt(4000)
    x = np.log([100, 200, 400, 6400])
    wanted = {
        "own": np.eye(4),
        "common": 0.1 * np.eye(4) + 0.9,
        "correlated": np.exp(-np.abs(x[:, None] - x) / 2.0),
    }
    for name, want in wanted.items():
        assert np.corrcoef(draws[name].T) == pytest.approx(want, abs=close)


def test_losses_scatter_about_what_is_expected(drawn):
    z = [
        np.log(f.losses / f.expected) / f.recipe.measurement.noise
        for f in drawn
        if f.recipe and not f.recipe.measurement.common and not f.recipe.measurement.length
    ]
    z = np.concatenate(z)
    assert z.size > 40
    assert (z * z).mean() == pytest.approx(1.0, abs=5.0 * math.sqrt(2.0 / z.size))


def test_cosines_on_manifolds():
    family = observe(exact((TILE,), [100, 3000]))
    for width in (100, 3000):
        n = sth.allocate(family.recipe.features.population(), width).latents_at(
            np.arange(1, width + 1)
        )
        n = np.repeat(n, n).astype(float)
        want = np.cos(np.where(n > 1.0, 1.5 * n ** (-1.0 / 3.0), np.pi))
        seen = np.sort(family.cosines[width])
        above = want > 0.5  # far above what 512 dimensions have by chance
        assert seen[-above.sum() :] == pytest.approx(np.sort(want[above]), abs=1e-6)
        assert (seen[: -above.sum()] < 0.5).all()


def test_cosines_of_discrete_features_are_random():
    family = observe(exact((STEP,), [5000, 80_000]))
    for width in (5000, 80_000):
        law = RandomDirections(width, 512).cdf
        assert stats.kstest(family.cosines[width].astype(float), law).pvalue > 1e-3
    measured = replace(family.recipe.measurement, correlation=0.1, related=0.1)
    raised = observe(replace(family.recipe, measurement=measured)).cosines[5000]
    assert np.median(raised) > np.median(family.cosines[5000])
    # related ones have 0.2 to 0.7: those above 0.45 are half of a tenth
    assert abs((raised > 0.45).mean() - 0.05) < 5.0 * math.sqrt(0.05 / 5000)


def test_shapes_and_ranges(drawn):
    for family in drawn:
        k = family.widths.size
        for values in (family.losses, family.expected, family.optimum, family.slopes):
            assert values.shape == (k,)
        assert np.isfinite(family.losses).all()
        assert (family.losses > 0.0).all()
        assert (family.stderr is None) == ("standard errors" in family.withheld)
        hidden = "losses only" in family.withheld
        assert (family.frequencies is None) == hidden
        assert (family.cosines is None) == (hidden or "cosines" in family.withheld)
        for values, low in ((family.frequencies, 0.0), (family.cosines, -1.0)):
            for width, array in (values or {}).items():
                assert width in family.widths
                assert array.shape == (width,)
                assert array.dtype == np.float32
                assert (array >= low).all()
                assert (array <= 1.0).all()
        if family.frequencies is not None:
            some = len(family.frequencies)
            if "frequencies but one" in family.withheld:
                assert some == 1
            elif "some frequencies" in family.withheld:
                assert 2 <= some < k
            else:
                assert list(family.frequencies) == family.widths.tolist()
            assert max(f.max() for f in family.frequencies.values()) < 1.0
        if family.cosines is not None:
            assert list(family.cosines) == family.widths.tolist()
        assert family.regime in repr(family)
        assert family.regime not in family.name


# ---- families that are not described ---------------------------------------------------------


def test_other_families():
    others = [blind_family(k, seed=3) for k in (11, 23, 35, 47, 59, 71)]
    assert {f.regime for f in others} == {"other"}
    assert {f.departures for f in others} == set(product(_other.LOSSES, _other.FREQUENCIES))
    for family in others:
        assert math.isnan(family.alpha)
        assert math.isnan(family.beta)
        assert family.recipe is None
        x, y = np.log(family.widths), family.expected
        kind = family.departures[0]
        if kind == "losses rise":
            assert (np.diff(y) > 0.0).all()
        elif kind == "losses turn":
            assert 0 < int(np.argmin(y)) < y.size - 1
        else:
            # no convex curve: flat, a fall, flat
            steepness = -np.diff(y) / np.diff(x)
            assert steepness.max() > 3.0 * max(steepness[0], steepness[-1])


def test_strange_frequencies():
    widths = np.array([1000, 100_000])
    for seed in range(8):
        rates = _other.strange_rates("frequencies lognormal", widths, np.random.default_rng(seed))
        for n, values in rates.items():
            assert abs(stats.skew(np.log(values))) < 5.0 * math.sqrt(6.0 / n)
        rates = _other.strange_rates("frequencies bimodal", widths, np.random.default_rng(seed))
        values = np.sort(np.log(rates[100_000]))
        # two lumps: the bimodality coefficient of two normals this far apart is above 5/9
        skew, kurtosis = stats.skew(values), stats.kurtosis(values, fisher=False)
        assert (skew**2 + 1.0) / kurtosis > 5.0 / 9.0


# ---- seeds and refusals ----------------------------------------------------------------------


def same(a, b):
    for name in ("frequencies", "cosines"):
        one, two = getattr(a, name), getattr(b, name)
        assert (one is None) == (two is None)
        for width in one or {}:
            assert one[width].tobytes() == two[width].tobytes()
    assert a.losses.tobytes() == b.losses.tobytes()
    assert repr(a) == repr(b)
    return True


def test_the_same_seed_gives_the_same_numbers(drawn):
    assert same(blind_family(11, seed=3), drawn[11])
    assert all(same(a, b) for a, b in zip(blind_families(3, seed=3), drawn, strict=False))


def test_other_seeds_give_other_families(drawn):
    other = blind_families(2, seed=5)
    for a, b in zip([*other, blind_family(11, seed=5)], [*drawn[:2], drawn[11]], strict=True):
        assert a.losses[0] != b.losses[0]
        assert a.widths.tolist() != b.widths.tolist()
    losses = [f.losses[0] for f in drawn]
    assert len(set(losses)) == len(losses)


def test_latents_are_in_the_same_order():
    # the rate of a latent alone on its feature, beside its cosine: tiles are the near ones
    family = observe(exact((replace(TILE, share=0.3), replace(STEP, share=0.7)), [2000]))
    alloc = sth.allocate(family.recipe.features.population(), 2000)
    first = alloc.latents_at(np.arange(1, 2001))
    top = int(first.max())
    rank = int(np.argmax(first)) + 1
    near = family.cosines[2000] > np.float32(math.cos(1.5 * top ** (-1.0 / 3.0))) - 1e-6
    assert near.sum() == top
    p = family.recipe.features.firing(np.array([float(rank)])) / top
    constant = 0.5 / max(alloc_rates(family, first))
    assert family.frequencies[2000][near] == pytest.approx(constant * p[0], rel=1e-4)


def alloc_rates(family, n):
    ranks = np.flatnonzero(n) + 1.0
    return family.recipe.features.firing(ranks) / n[n > 0]


def test_refusals():
    for bad in (0, 1.5, -1, True, "3", 100_001):
        with pytest.raises(ValueError, match="count must be a whole number in"):
            blind_families(bad)
    for bad in (-1, 1.5, None):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            blind_families(1, seed=bad)
        with pytest.raises(ValueError, match="seed must be a whole number"):
            blind_family(1, seed=bad)
        with pytest.raises(ValueError, match="index must be a whole number"):
            blind_family(bad)
