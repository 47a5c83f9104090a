"""Studies of superposed features: what is exact, what a known case gives, what training reaches."""

import math
import sys

import numpy as np
import pytest
import torch

import scaling_theory as sth
from scaling_theory.sae.architectures import JumpReLU, ReLU, TopK
from scaling_theory.sae.manifolds import Circle, Points, Shell
from scaling_theory.sae.remedies import ResampleDuplicates
from scaling_theory.sae.studies import Decomposition, decompose, decomposition, discovery, table
from scaling_theory.sae.studies.__main__ import main
from scaling_theory.sae.studies.decomposition import by_hand
from scaling_theory.sae.studies.discovery import ARCHITECTURES, REMEDIES, recipes
from scaling_theory.sae.superposition import Superposition
from scaling_theory.sae.weights import Weights


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def superposition(p, default=None, ranks=None, **others):
    return Superposition(sth.EmpiricalFrequencies(p), default or Points(), ranks, **others)


# ---- discovery ------------------------------------------------------------------------------

SMALL = {"features": 24, "steps": 3000, "learning_rate": 2e-3, "batch_size": 256, "path": "blocked"}


def small(remedy, **options):
    chosen = {"ReLU": ARCHITECTURES["ReLU"]}
    return discovery((12,), 5, chosen, {remedy: REMEDIES[remedy]}, **{**SMALL, **options})


def test_every_latent_finds_a_feature_of_its_own_once_copies_start_anew():
    """Without the remedy two latents share a feature. (The runs differ in their starts too.)"""
    plain, helped = small("none"), small("duplicates")
    assert plain["discovered"].mean() < 11.5
    assert helped["discovered"].tolist() == [12] * 5
    # what is missed is rare: what was found is first, or nearly so
    assert (plain["mass"] > 0.95).all()
    assert (helped["mass"] > 0.95).all()


def test_the_table_is_that_of_its_rows():
    runs = discovery(
        (2, 3), (4, 5), {"a": ReLU(), "b": TopK(1)}, {"none": ()}, features=4, steps=20,
        path="blocked", evaluation=100,
    )  # fmt: skip
    assert runs[["architecture", "width", "seed"]].values.tolist() == [
        [a, n, s] for a in "ab" for n in (2, 3) for s in (4, 5)
    ]
    assert (runs["share"] == runs["discovered"] / runs["width"]).all()
    said = table(runs)
    assert said["architecture"].tolist() == ["a", "b"]
    part = runs[(runs["architecture"] == "b") & (runs["width"] == 3)]
    share = 100 * part["share"]
    assert said["N=3"][1] == f"{share.mean():.0f} ({share.min():.0f})"
    assert said["D(3)"][1] == " ".join(str(d) for d in part["discovered"])


def test_recipes_differ_in_start_and_remedy():
    runs = recipes((2,), 1, features=4, steps=10, evaluation=100)
    assert runs.groupby("architecture", sort=False)["remedy"].apply(list).to_dict() == {
        start: ["none", "by both rows", "by decoder rows"] for start in ("norm 0.1", "norm 1")
    }


@pytest.mark.slow
def test_some_remedy_finds_as_many_features_as_there_are_latents():
    """The headline: 64 features, N = 8, 16, 32, three seeds, 6,000 steps."""
    chosen = {k: REMEDIES[k] for k in ("none", "duplicates")}
    runs = discovery(architectures={"ReLU": ReLU(l1=0.1)}, remedies=chosen, path="blocked")
    share = runs.set_index(["remedy", "width"])["share"]
    assert share["duplicates"].min() >= 1.0
    assert (share["none"].groupby("width").mean().loc[[16, 32]] < 0.9).all()


# ---- remedy ---------------------------------------------------------------------------------


def pair(cosine_of_encoders):
    """Two latents on the first axis that fire in different company, and one on the second."""
    weights = Weights(3, 3)
    weights.decoder.copy_(torch.tensor([[1.0, 0.0, 0.1], [1.0, 0.0, -0.1], [0.0, 1.0, 0.0]]))
    weights.encoder.copy_(weights.decoder)
    tilt = math.tan(0.5 * math.acos(cosine_of_encoders))
    weights.encoder[0] = torch.tensor([1.0, 0.0, tilt])
    weights.encoder[1] = 0.9 * torch.tensor([1.0, 0.0, -tilt])
    return weights


def test_copies_in_different_company_are_copies():
    idle = torch.zeros(3, dtype=torch.int64)
    for cosine in (0.99, 0.5, -0.5):
        weights = pair(cosine)
        assert ResampleDuplicates().find(weights, idle, 1).tolist() == [1]
        both = ResampleDuplicates(encoders=True).find(weights, idle, 1)
        assert both.tolist() == [1] * (cosine > 0.7)


def test_latents_that_are_dead_do_not_drive_out_the_living():
    idle = torch.tensor([9, 0, 0])
    assert ResampleDuplicates().find(pair(0.9), idle, 5).tolist() == []
    assert ResampleDuplicates(encoders=True).find(pair(0.9), idle, 5).tolist() == []
    assert ResampleDuplicates().find(pair(0.9), idle, 10).tolist() == [1]


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_bad_encoders_are_refused(value):
    with pytest.raises(ValueError, match=r"^encoders must be True or False, got "):
        ResampleDuplicates(encoders=value)


# ---- decomposition --------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [ReLU(0.1), ReLU(0.0), JumpReLU(0.1)])
@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0])
def test_it_is_exact_for_specific_latents_and_any_bias(architecture, scale):
    """Points, a circle and a shell; co-active or not; with decoder biases."""
    ranks = {2: Circle(), 3: Shell(3)}
    data = superposition(scale * np.arange(1.0, 6.0) ** -0.5, ranks=ranks, dimension=9)
    weights = Weights(18, 9, architecture.extra)
    weights.flat[: by_hand(9).flat.numel()].copy_(by_hand(9).flat)
    for bias in (0.0, 0.3):
        weights.decoder_bias.fill_(bias)
        at = decompose(architecture, weights, data, 2000, seeded(0))
        assert at.empty == pytest.approx(9 * bias**2, rel=1e-6)
        assert at.gap == pytest.approx(0.0, abs=1e-14)
        assert at.geometry == pytest.approx(0.0, abs=1e-14 * max(1.0, at.total))
        p = at.frequencies
        formula = np.nansum(p * at.parts) + (1.0 - p.sum()) * at.empty
        assert formula == pytest.approx(at.total, rel=1e-12)
        alone = p @ at.parts
        assert (abs(alone - at.total) < 1e-12) == (bias == 0.0)  # the paper's: without the term


def test_parts_are_the_losses_of_single_features():
    """A point under L1: t^2 + l1 (1 - t); a feature that never fires has none."""
    data = superposition([0.4, 1e-12])
    weights = Weights(2, 2)
    weights.decoder.copy_(torch.eye(2))
    weights.encoder.copy_(torch.eye(2))
    weights.encoder_bias.fill_(-0.25)
    at = decompose(ReLU(0.1), weights, data, 5000, seeded(1))
    assert at.parts[0] == pytest.approx(0.25**2 + 0.1 * 0.75, rel=1e-7)
    assert math.isnan(at.parts[1])
    assert at.frequencies.tolist() == [pytest.approx(0.4, abs=0.03), 0.0]
    assert at.total == pytest.approx(at.frequencies[0] * at.parts[0], rel=1e-12)
    assert (at.together, at.stderr, at.rows) == (0.0, 0.0, 5000)


@pytest.mark.parametrize("p", [1.0, 0.3])
def test_two_features_at_an_angle_as_computed(p):
    r"""Cosine c below the threshold t: alone silent, together they add up.

    Alone, f = 1 - t and L = t^2 + l (1 - t). Together both fire at 1 + c - t and the residual is
    (t - c)(u_1 + u_2), so that L - L_1 - L_2 = 2 (1 + c)(t - c)^2 + 2 l (1 + c - t)
    - 2 t^2 - 2 l (1 - t), of which 2 c t^2 is geometry.
    """
    data = superposition([p, p], orientation="random", dimension=2, seed=1)
    u = torch.stack([frame[:, 0] for frame in data.frames])
    c, t, l1 = float(u[0].double() @ u[1].double()), 0.4, 0.1
    assert 0.1 < c < t
    weights = Weights(2, 2)
    weights.decoder.copy_(u)
    weights.encoder.copy_(u)
    weights.encoder_bias.fill_(-t)
    at = decompose(ReLU(l1), weights, data, 40_000, seeded(0))
    one = t**2 + l1 * (1.0 - t)
    assert at.parts == pytest.approx([one, one], rel=1e-6)
    extra = 2 * (1 + c) * (t - c) ** 2 + 2 * l1 * (1 + c - t) - 2 * one
    assert at.total - at.predicted == pytest.approx(at.together * extra, rel=1e-5)
    assert at.geometry == pytest.approx(at.together * 2 * c * t**2, rel=1e-5)
    assert at.geometry + at.firing == pytest.approx(at.total - at.predicted, rel=1e-9)
    spread = abs(extra) * math.sqrt(at.together * (1.0 - at.together) / 40_000)
    assert at.stderr == pytest.approx(spread, rel=1e-4, abs=1e-12)
    assert at.gap == pytest.approx((at.total - at.predicted) / at.total)


def test_a_shared_k_breaks_it_with_orthogonal_features():
    """TopK with k = 1: of two features that are active together one is not explained."""
    data = superposition([0.5, 0.5])
    weights = Weights(2, 2)
    weights.decoder.copy_(torch.eye(2))
    weights.encoder.copy_(torch.tensor([[1.1, 0.0], [0.0, 1.0]]))
    weights.decoder[0] /= 1.1
    at = decompose(TopK(1), weights, data, 10_000, seeded(0))
    assert at.parts == pytest.approx([0.0, 0.0], abs=1e-12)
    assert at.total == pytest.approx(at.together, rel=1e-6)
    assert at.gap == pytest.approx(1.0, abs=1e-6)
    free = decompose(TopK(2), weights, data, 10_000, seeded(0))
    assert abs(free.total) < 1e-12


def test_blocks_do_not_matter(monkeypatch):
    data = superposition([0.5, 0.4, 0.3], ranks={1: Circle()}, orientation="random", dimension=3)
    weights = Weights(5, 3)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=seeded(0)))
    one = decompose(ReLU(), weights, data, 500, seeded(1))
    monkeypatch.setattr(sys.modules[Decomposition.__module__], "_ROWS", 7)
    two = decompose(ReLU(), weights, data, 500, seeded(1))
    for name in ("total", "empty", "parts", "predicted", "geometry", "firing", "stderr"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-10)


def test_trained_latents_are_specific_enough_unless_k_is_shared():
    """Orthogonal features, few at once: ReLU's loss is a sum to a percent, that of TopK is not."""
    said = decomposition(
        (1.0,), (8,), {"ReLU": ReLU(), "TopK": TopK(2)}, count=20_000, path="blocked",
        steps=1000, batch_size=512, learning_rate=3e-3, evaluation=2000,
    ).set_index(["architecture", "subspaces"])  # fmt: skip
    assert abs(said.loc[("by hand", "orthogonal"), "gap"]) < 1e-14
    assert abs(said.loc[("ReLU", "orthogonal"), "gap"]) < 0.01
    assert said.loc[("ReLU", "random"), "gap"] < -0.01
    assert said.loc[("TopK", "orthogonal"), "gap"] > 0.3
    parts = said["geometry"] + said["firing"]
    np.testing.assert_allclose(parts, said["gap"], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1}, "count must be a whole number of at least 2"),
        ({"weights": Weights(2, 3)}, "weights must be of dimension 2, that of the superposition"),
    ],
)
def test_bad_comparisons_are_refused(change, message):
    given = {"weights": Weights(2, 2), "superposition": superposition([0.5, 0.5]), "count": 9}
    with pytest.raises(ValueError, match=rf"^{message}"):
        decompose(ReLU(), generator=seeded(0), **{**given, **change})


def test_the_command_refuses_unknown_topics(capsys):
    assert main(["discoveries"]) == 2
    assert "topics must be among" in capsys.readouterr().err
