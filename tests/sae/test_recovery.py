"""Recovery of true features: dictionaries whose scores are known, matching, invariances."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.sae import ReLU, TopK, Weights, evaluate
from scaling_theory.sae.manifolds import Circle, Points, Sphere
from scaling_theory.sae.metrics import Recovery, recovery
from scaling_theory.sae.superposition import Superposition

ROWS = 4000
P = sth.EmpiricalFrequencies([0.3, 0.25, 0.2, 0.15, 0.1])
DATA = Superposition(P, Points(), dimension=6)
RANDOM = Superposition(P, Points(), orientation="random", dimension=4)


def parts_of(data=DATA, rows=ROWS, seed=0):
    return data.sample_parts(rows, torch.Generator().manual_seed(seed))


def sae(rows, bias=-0.5):
    """An SAE that reads and writes unit directions, and fires above half of one."""
    decoder = torch.as_tensor(rows, dtype=torch.float32)
    out = Weights(*decoder.shape)
    out.decoder.copy_(decoder)
    out.encoder.copy_(decoder)
    out.encoder_bias.fill_(bias)
    return out


def axes(*which, dimension=6):
    """Decoder rows: sums of axes, normalised."""
    rows = torch.zeros(len(which), dimension)
    for row, axis in enumerate(which):
        rows[row, list(axis) if isinstance(axis, tuple) else axis] = 1.0
    return rows / rows.norm(dim=1, keepdim=True)


# ---- dictionaries whose scores are known ----------------------------------------------------


def test_a_perfect_dictionary_recovers_everything():
    found = recovery(ReLU(), sae(axes(0, 1, 2, 3, 4)), parts_of())
    assert found.matched.tolist() == found.nearest.tolist() == [0, 1, 2, 3, 4]
    for scores in (found.cosine, found.precision, found.recall, found.f1, found.latent_f1):
        assert scores.tolist() == [1.0] * 5
    assert found.mcc == found.mcc_pairs == found.uniqueness == 1.0
    assert found.mean("f1") == found.mean("f1", "firing") == 1.0
    assert found.dead == 0.0
    assert found.l0 == found.true_l0 == pytest.approx(1.0, abs=0.1)
    assert found.status == "complete"
    assert found.message == "all 5 features are active on some of 4000 samples"


def test_the_order_of_latents_and_their_norms_do_not_matter():
    order = [3, 0, 4, 2, 1]
    weights = sae(axes(*order))
    weights.decoder *= torch.tensor([1.0, 2.0, 0.1, 5.0, 1e-3])[:, None]
    found = recovery(ReLU(), weights, parts_of())
    assert found.matched.tolist() == [order.index(i) for i in range(5)]
    assert found.nearest.tolist() == order
    torch.testing.assert_close(found.cosine, torch.ones(5, dtype=torch.float64))
    assert found.mean("f1") == 1.0


def test_features_that_are_merged_share_a_latent():
    found = recovery(ReLU(), sae(axes((0, 1), 2, 3, 4), bias=-0.5), parts_of())
    parts = parts_of()
    assert sorted(found.matched[:2].tolist()) == [-1, 0]
    at = int(torch.argmax(found.matched[:2]))
    other = 1 - at
    assert float(found.cosine[at]) == pytest.approx(math.sqrt(0.5), rel=1e-6)
    assert float(found.cosine[other]) == 0.0
    assert found.mcc == pytest.approx((3 + math.sqrt(0.5)) / 5, rel=1e-6)
    assert found.mcc_pairs == pytest.approx((3 + math.sqrt(0.5)) / 4, rel=1e-6)
    either = (parts.active[:, 0] | parts.active[:, 1]).sum()
    times = parts.active[:, at].sum()
    assert float(found.precision[at]) == pytest.approx(float(times / either), rel=1e-6)
    assert float(found.recall[at]) == 1.0
    assert float(found.f1[at]) == pytest.approx(float(2 * times / (times + either)), rel=1e-6)
    assert [float(s[other]) for s in (found.precision, found.recall, found.f1)] == [0.0] * 3
    assert found.uniqueness == 1.0


def test_a_feature_that_is_split_is_recalled_in_part():
    """Two latents for feature 0: one also needs feature 1, as by absorption."""
    weights = sae(axes(0, 1, 2, 3, 4, 0))
    weights.encoder[0, 1] = -1.0  # silent where feature 1 is active
    weights.encoder[5, 1], weights.encoder_bias[5] = 1.0, -1.5  # fires where both are
    parts = parts_of()
    found = recovery(ReLU(), weights, parts)
    alone, all_ = (parts.active[:, 0] & ~parts.active[:, 1]).sum(), parts.active[:, 0].sum()
    assert int(found.matched[0]) in (0, 5)  # the same cosine
    by_firing = recovery(ReLU(), weights, parts, matching="firing")
    assert int(by_firing.matched[0]) == 0
    assert float(by_firing.recall[0]) == pytest.approx(float(alone / all_), rel=1e-6)
    assert float(by_firing.precision[0]) == 1.0
    assert found.uniqueness == 5 / 6
    assert float(found.latent_recall[0] + found.latent_recall[5]) == pytest.approx(1.0, rel=1e-6)
    assert found.latent_precision.tolist() == [1.0] * 6


def test_dead_latents_match_by_direction_and_recover_no_firing():
    weights = sae(axes(0, 1, 2, 3, 4))
    weights.encoder_bias[2] = -9.0
    found = recovery(ReLU(), weights, parts_of())
    assert found.mcc == 1.0
    assert found.dead == 0.2
    assert [float(s[2]) for s in (found.precision, found.recall, found.f1)] == [0.0] * 3
    assert found.mean("f1") == pytest.approx(0.8)
    share = found.firing[2] / found.firing.sum()
    assert found.mean("f1", "firing") == pytest.approx(1.0 - float(share), rel=1e-12)
    assert found.mean("recall", among=torch.tensor([0, 0, 1, 0, 0]).bool()) == 0.0
    assert found.mean("recall", among=torch.tensor([1, 0, 1, 0, 0]).bool()) == 0.5


def test_a_latent_against_a_feature_does_not_stand_for_it():
    weights = sae(axes(0, 1, 2, 3, 4))
    weights.decoder[1] *= -1.0
    found = recovery(ReLU(), weights, parts_of())
    assert float(found.cosine[1]) <= 0.0  # -1, or 0 by another's at the same total
    assert found.mcc == pytest.approx(0.6)


def test_a_row_of_zeros_has_no_direction():
    weights = sae(axes(0, 1, 2, 3, 4))
    weights.decoder[4] = 0.0
    found = recovery(ReLU(), weights, parts_of())
    assert float(found.cosine[4]) == 0.0
    assert found.mcc == pytest.approx(0.8)
    assert found.uniqueness == 0.8
    weights.decoder[0] = 0.0  # nearest to nothing, not to the feature that comes first
    assert recovery(ReLU(), weights, parts_of()).uniqueness == 0.6


def test_more_latents_than_features_leave_some_unmatched():
    found = recovery(ReLU(), sae(axes(5, 0, 1, 2, 3, 4, 5)), parts_of())
    assert found.matched.tolist() == [1, 2, 3, 4, 5]
    assert found.mcc == found.mcc_pairs == 1.0
    assert found.dead == pytest.approx(2 / 7)
    assert found.latent_f1.tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]


def test_features_that_are_never_seen_are_not_judged():
    data = Superposition(sth.EmpiricalFrequencies([0.5, 1e-12]), Points())
    found = recovery(ReLU(), sae(axes(0, 1, dimension=2)), parts_of(data))
    assert found.status == "partial"
    assert "1 of 2 features are never active in 4000 samples" in found.message
    assert math.isnan(found.f1[1])
    assert found.mean("f1") == found.mean("f1", "firing") == 1.0
    assert math.isnan(found.mean("f1", among=torch.tensor([False, True])))
    assert found.mcc == 1.0


def test_firing_and_error_are_those_of_the_evaluation():
    parts = parts_of(RANDOM)
    weights = sae(parts.basis.T, bias=-0.3)
    found, at = recovery(TopK(2), weights, parts), evaluate(TopK(2), weights, parts.x)
    assert found.fvu == pytest.approx(at.fvu, rel=1e-5)
    torch.testing.assert_close(found.latent_firing, at.frequencies)
    assert found.l0 == at.l0
    torch.testing.assert_close(found.firing, parts.active.double().mean(dim=0))
    assert found.true_l0 == pytest.approx(float(parts.active.sum()) / ROWS)
    assert found.rows == ROWS


# ---- matching -------------------------------------------------------------------------------


def confusion(parts, weights, architecture, feature, latent):
    fired = architecture.encode(weights, parts.x)[:, latent] > 0
    on = parts.active[:, feature]
    return (int(v.sum()) for v in (fired & on, fired & ~on, ~fired & on))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from(["cosine", "firing"]))
def test_matching_is_the_best_of_all_assignments(seed, n, matching):
    draw = np.random.default_rng(seed)
    weights = sae(draw.normal(size=(n, 4)), bias=-0.2)
    weights.encoder.copy_(torch.tensor(draw.normal(size=(n, 4))))
    parts = parts_of(RANDOM, 300, seed)
    found = recovery(ReLU(), weights, parts, matching)
    basis = parts.basis.double().numpy()
    decoder = weights.decoder.double().numpy()
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    value = basis.T @ decoder.T / np.linalg.norm(basis, axis=0)[:, None]
    if matching == "firing":
        fired = (ReLU().encode(weights, parts.x) > 0).double().numpy()
        active = parts.active.double().numpy()
        with np.errstate(invalid="ignore"):
            own = np.corrcoef(active.T, fired.T)[:5, 5:]
        score = np.nan_to_num(own)
    else:
        score = value
    best = -np.inf
    for chosen in itertools.permutations([*range(n), *[-1] * max(0, 5 - n)], 5):
        best = max(best, sum(score[i, j] for i, j in enumerate(chosen) if j >= 0))
    matched = found.matched.tolist()
    assert sorted(j for j in matched if j >= 0) == sorted(set(matched) - {-1})
    assert sum(j >= 0 for j in matched) == min(n, 5)
    reached = sum(score[i, j] for i, j in enumerate(matched) if j >= 0)
    assert reached == pytest.approx(best, abs=1e-6)
    for i, j in enumerate(matched):
        if j < 0:
            continue
        assert float(found.cosine[i]) == pytest.approx(value[i, j], abs=1e-6)
        hit, wrong, missed = confusion(parts, weights, ReLU(), i, j)
        assert float(found.precision[i]) == pytest.approx(hit / max(hit + wrong, 1))
        assert float(found.recall[i]) == pytest.approx(hit / (hit + missed))
        assert float(found.f1[i]) == pytest.approx(2 * hit / (2 * hit + wrong + missed))
    for j in range(n):
        i = int(found.nearest[j])
        assert i == int(np.argmax(value[:, j]))
        assert float(found.nearest_cosine[j]) == pytest.approx(value[i, j], abs=1e-6)
        hit, wrong, missed = confusion(parts, weights, ReLU(), i, j)
        assert float(found.latent_precision[j]) == pytest.approx(hit / max(hit + wrong, 1))
        assert float(found.latent_recall[j]) == pytest.approx(hit / (hit + missed))
        assert float(found.latent_f1[j]) == pytest.approx(2 * hit / (2 * hit + wrong + missed))


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(7)), st.integers(0, 1000), st.sampled_from(["cosine", "firing"]))
def test_scores_do_not_depend_on_the_order_of_latents(order, seed, matching):
    parts = parts_of(RANDOM, 500)
    rows = torch.randn(7, 4, generator=torch.Generator().manual_seed(seed))
    one = recovery(ReLU(), sae(rows), parts, matching)
    two = recovery(ReLU(), sae(rows[list(order)]), parts, matching)
    torch.testing.assert_close(one.latent_f1[list(order)], two.latent_f1)
    if matching == "cosine":  # without ties, which latents that never fire make
        assert one.mcc == pytest.approx(two.mcc, abs=1e-9)
        assert [order[j] for j in two.matched.tolist()] == one.matched.tolist()
        torch.testing.assert_close(one.f1, two.f1)


@pytest.mark.parametrize("matching", ["cosine", "firing"])
@pytest.mark.parametrize("block", [1, 7, 300, 10**6])
def test_blocks_change_nothing(matching, block):
    parts = parts_of(RANDOM, 300)
    weights = sae(parts.basis.T + 0.3)
    one, two = recovery(ReLU(), weights, parts, matching), recovery(
        ReLU(), weights, parts, matching, block
    )  # fmt: skip
    for name in ("matched", "nearest", "precision", "recall", "f1", "latent_f1", "latent_firing"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert one.fvu == pytest.approx(two.fvu, rel=1e-6)


# ---- refusals -------------------------------------------------------------------------------

GOOD = recovery(ReLU(), sae(axes(0, 1, 2, 3, 4)), parts_of())
FIVE = sae(axes(0, 1, 2, 3, 4))
REFUSED = [
    (lambda: recovery(ReLU(), FIVE, parts_of().x), "parts must be what Superposition.sample_parts"),
    (lambda: recovery(ReLU(), FIVE, parts_of(), "greedy"), "'cosine' or 'firing', got 'greedy'"),
    (lambda: recovery(ReLU(), FIVE, parts_of(rows=1)), "x must be a floating-point tensor of sha"),
    (lambda: recovery(ReLU(), FIVE, parts_of(RANDOM)), "(rows >= 2, 6), got"),
    (lambda: recovery(ReLU(), FIVE, parts_of(), block=0), "block must be a whole number"),
    (
        lambda: recovery(ReLU(), FIVE, parts_of(Superposition(P, Points(), {2: Circle()}))),
        "parts must be of features with one dimension each, which have a direction, got feature 1 "
        "with 2",
    ),
    (
        lambda: recovery(
            ReLU(), FIVE, parts_of(Superposition(P, Points(), {3: Sphere(1)}, dimension=6))
        ),
        "never negative, got -1.0 of feature 2",
    ),
    (lambda: GOOD.mean("accuracy"), "score must be 'precision', 'recall', 'f1' or 'cosine', got"),
    (lambda: GOOD.mean("f1", "rows"), "weights must be 'features' or 'firing', got 'rows'"),
    (lambda: GOOD.mean("f1", among=torch.ones(4).bool()), "bool tensor of shape (5,) or None"),
    (lambda: GOOD.mean("f1", among=[True] * 5), "bool tensor of shape (5,) or None, got [True"),
]


@pytest.mark.parametrize(("call", "said"), REFUSED)
def test_refusals_name_the_argument_what_is_allowed_and_the_value(call, said):
    with pytest.raises(
        ValueError, match=r"parts|matching|block|score|weights|among|x must"
    ) as error:
        call()
    assert said in str(error.value)


def test_results_are_frozen():
    assert isinstance(GOOD, Recovery)
    with pytest.raises(AttributeError):
        GOOD.fvu = 0.0  # type: ignore[misc]
