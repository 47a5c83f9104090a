"""Blind families: drawn as stated, solved exactly, measured as stated."""

import math
from collections import Counter
from dataclasses import replace

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

OTHER = ("losses rise", "losses turn", "losses sigmoid", "frequencies lognormal",
         "frequencies bimodal")  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    return blind_families(36, seed=3)


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


@given(
    st.integers(0, 2**40), st.integers(0, 99_999), st.sampled_from(["benign", "pathological"])
)
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
    assert 64 <= widths[0]
    assert widths[-1] <= 262_144
    assert 16.0 <= widths[-1] / widths[0] <= 1024.0
    assert set(drawn.departures) <= set(DEPARTURES)
    assert set(drawn.withheld) <= set(WITHHELD)
    assert features.firing_alpha > 0.0
    assert all(p.dimension >= 1.0 for p in features.parts if p.kind == "manifold")
    for part in features.parts:
        curve = part.curve()
        assert curve.limit == pytest.approx(0.0, abs=1e-15)
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


def test_optimum_is_the_exact_solver_s(drawn):
    checked = 0
    for family in drawn:
        if family.recipe is None:
            continue
        features, measured = family.recipe.features, family.recipe.measurement
        population = features.population()
        width = int(family.widths[0])
        assert sum(family.recipe.features.parts[k].share for k in range(len(population.groups)))
        # excesses at two widths, without the floor: from greedy, latent by latent
        ends = [sth.allocate(population, n).excess_loss for n in (width, int(family.widths[-1]))]
        ends = measured.scale * (np.array(ends) + features.never_found())
        constant = family.optimum[[0, -1]] - ends
        assert constant[0] == pytest.approx(constant[1], rel=1e-9, abs=1e-9 * family.optimum[0])
        assert constant[0] >= -1e-12 * family.optimum[0]
        # the share of the floor is of what training reached, not of the optimum
        floor = measured.floor * family.expected.min()
        assert constant[0] == pytest.approx(floor, rel=1e-9, abs=1e-9 * family.optimum[0])
        if width <= 300 and all(p.convention != "step" for p in features.parts):
            by_heap = greedy(population, width, min(population.count or 20_000, 20_000))
            if by_heap.latents[-1000:].any():
                continue
            want = _excess_beyond(population, by_heap, features)
            assert ends[0] == pytest.approx(measured.scale * want, rel=1e-9)
            checked += 1
    assert checked >= 3


def _excess_beyond(population, by_heap, features):
    """Excess of all features, given the latents of the first ones."""
    listed = by_heap.latents.size
    beyond = np.arange(listed + 1, 2_000_001) if population.count is None else np.arange(
        listed + 1, population.count + 1)  # fmt: skip
    del beyond
    none = sth.allocate(population, 0).excess_loss
    ranks = np.arange(1, listed + 1)
    weights = population.frequencies.at(ranks)
    part = population.group_of(ranks)
    bought = 0.0
    for k, p in enumerate(features.parts):
        own = part == k
        curve = p.curve()
        n = by_heap.latents[own].astype(float)
        bought += (weights[own] * (p.scale - curve.excess(n))).sum()
    return none - bought + features.never_found()
