"""Which latents start anew, when, on what, and that it helps."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from scaling_theory.sae.architectures import JumpReLU, ReLU, TopK
from scaling_theory.sae.manifolds import Points
from scaling_theory.sae.remedies import Remedy, ResampleDead, ResampleDuplicates, restart
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import Trainer
from scaling_theory.sae.weights import Weights

CROSS = Points([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
KINDS = [ResampleDead, ResampleDuplicates]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_sae(architecture, n, d, seed=0):
    weights = Weights(n, d, architecture.extra)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=seeded(seed)))
    return weights


# ---- which and when -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_remedies_are_due_every_so_often_until_their_share_of_the_run(kind):
    remedy = kind(every=10, until=0.5)
    assert [s for s in range(101) if remedy.due(s, 100)] == [10, 20, 30, 40, 50]
    assert [s for s in range(101) if kind(every=30, until=1.0).due(s, 100)] == [30, 60, 90]
    assert not any(kind(every=1, until=0.0).due(s, 100) for s in range(101))


def test_latents_are_dead_after_so_many_steps_without_firing():
    idle = torch.tensor([0, 9, 10, 11, 3, 500])
    assert ResampleDead().find(Weights(6, 2), idle, 10).tolist() == [2, 3, 5]
    assert ResampleDead().find(Weights(6, 2), idle, 501).tolist() == []


def cross():
    """Three latents to the right, the largest at 1; one up; one to the left."""
    weights = Weights(5, 2)
    weights.decoder.copy_(torch.tensor([[1.0, 0], [3, 0.1], [0, 1], [2, 0], [-1, 0]]))
    weights.encoder.copy_(weights.decoder)
    return weights


ALIVE = torch.zeros(5, dtype=torch.int64)


@pytest.mark.parametrize("encoders", [False, True])
def test_duplicates_are_all_copies_but_the_largest(encoders):
    weights, remedy = cross(), ResampleDuplicates(cosine=0.95, encoders=encoders)
    assert remedy.find(weights, ALIVE, 1).tolist() == [0, 3]
    assert replace(remedy, cosine=1.0).find(weights, ALIVE, 1).tolist() == []
    weights.encoder[3] = torch.tensor([0.0, 2.0])  # reads something else
    assert remedy.find(weights, ALIVE, 1).tolist() == [0]


def test_encoders_of_duplicates_may_differ_where_they_are_not_asked():
    weights = cross()
    weights.encoder[3] = torch.tensor([1.0, 4.0])  # a cosine of 0.24 with what 1 writes
    before = weights.flat.clone()
    assert ResampleDuplicates(encoders=False).find(weights, ALIVE, 1).tolist() == [0, 3]
    assert ResampleDuplicates(encoders=True).find(weights, ALIVE, 1).tolist() == [0]
    assert torch.equal(weights.flat, before)


@pytest.mark.parametrize("encoders", [False, True])
def test_dead_latents_have_no_duplicates(encoders):
    """Nor are they any: with the largest dead, the next one is what the others copy."""
    remedy = ResampleDuplicates(cosine=0.95, encoders=encoders)
    assert remedy.find(cross(), torch.tensor([0, 10, 0, 0, 0]), 10).tolist() == [0]
    assert remedy.find(cross(), torch.tensor([0, 0, 0, 10, 0]), 10).tolist() == [0]
    assert remedy.find(cross(), torch.full((5,), 10), 10).tolist() == []


# ---- how ------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [ReLU(), TopK(2), JumpReLU(0.1, threshold=0.25)])
def test_restart_is_the_recipe(architecture):
    """Residual's direction, mean decoder norm of the others, a fifth of that of their encoders."""
    weights, x = random_sae(architecture, 7, 3), torch.randn(40, 3, generator=seeded(1))
    before = {name: value.clone() for name, value in weights.named().items()}
    index, others = torch.tensor([1, 4]), torch.tensor([0, 2, 3, 5, 6])
    residual = x - architecture.encode(weights, x) @ weights.decoder - weights.decoder_bias
    restart(architecture, weights, index, x, seeded(2))
    for name, value in weights.named().items():
        kept = slice(None) if name == "decoder_bias" else others
        assert torch.equal(value[kept], before[name][kept])
    norms = before["decoder"][others].norm(dim=1).mean(), before["encoder"][others].norm(dim=1)
    torch.testing.assert_close(weights.decoder[index].norm(dim=1), norms[0].repeat(2))
    torch.testing.assert_close(weights.encoder[index].norm(dim=1), 0.2 * norms[1].mean().repeat(2))
    units = torch.nn.functional.normalize(residual, dim=1)
    for rows in (weights.decoder[index], weights.encoder[index]):
        cosines = torch.nn.functional.normalize(rows, dim=1) @ units.T
        assert bool((cosines.max(1).values > 1.0 - 1e-6).all())
    found = (weights.decoder[index] @ units.T).argmax(1)
    assert found[0] != found[1]  # drawn without repeats
    assert torch.equal((weights.encoder[index] @ units.T).argmax(1), found)
    assert weights.encoder_bias[index].tolist() == [0.0, 0.0]
    for value in weights.extra.values():
        assert value[index].tolist() == [0.25, 0.25]


def test_inputs_are_drawn_in_proportion_to_their_squared_loss():
    """Losses 1 and 4, so that the second is drawn 16 times of 17."""
    x, generator, second = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), seeded(0), 0
    for _ in range(2000):
        weights = Weights(2, 2)
        weights.decoder[1] = weights.encoder[1] = torch.tensor([-1.0, -1.0])
        restart(ReLU(), weights, torch.tensor([0]), x, generator)
        second += int(weights.decoder[0, 1] > 0.0)
    # the standard deviation is 10.5
    assert second == pytest.approx(2000 * 16 / 17, abs=40)


def test_restart_of_all_latents_keeps_their_mean_norms():
    weights, x = random_sae(ReLU(), 6, 3), torch.randn(4, 3, generator=seeded(1))
    norms = weights.decoder.norm(dim=1).mean(), weights.encoder.norm(dim=1).mean()
    before = weights.flat.clone()
    done = restart(ReLU(), weights, torch.arange(6), x, seeded(2))  # more latents than inputs
    assert done.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(weights.decoder[:4].norm(dim=1), norms[0].repeat(4))
    torch.testing.assert_close(weights.encoder[:4].norm(dim=1), 0.2 * norms[1].repeat(4))
    assert torch.equal(weights.decoder[4:], weights.like(before).decoder[4:])


def test_no_two_latents_start_in_one_direction_and_none_on_a_reconstructed_input():
    # Found in review: latents that started on the same input stayed the same for good.
    weights = Weights(6, 2)
    weights.encoder[0, 0] = weights.decoder[0, 0] = 1.0
    weights.encoder_bias[1:] = -9.0
    x = torch.tensor([[1.0, 0.0]] * 8 + [[0.0, -1.0]] * 2)
    done = restart(ReLU(), weights, torch.arange(1, 6), x, seeded(0))
    assert done.tolist() == [1]
    assert weights.decoder[1].tolist() == [0.0, -1.0]
    assert not weights.decoder[2:].any()


def test_nothing_happens_without_latents_or_without_a_residual():
    weights = Weights(2, 2)
    weights.encoder.copy_(torch.eye(2))
    weights.decoder.copy_(torch.eye(2))
    before = weights.flat.clone()
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    restart(ReLU(), weights, torch.tensor([0]), x, seeded(0))
    restart(ReLU(), weights, torch.zeros(0, dtype=torch.int64), -x, seeded(0))
    assert torch.equal(weights.flat, before)


# ---- in training ----------------------------------------------------------------------------

SILENT = RunSpec(
    CROSS, ReLU(0.1), 8, steps=600, batch_size=32, learning_rate=0.03, encoder_bias=-9.0,
    dead_after=20, evaluation=4000,
)  # fmt: skip


def test_dead_latents_come_alive_and_reach_the_best_loss():
    """Without a remedy a ReLU latent that is silent stays so; one latent a point is the floor."""
    dead = Trainer(SILENT, path="blocked")
    dead.advance(600)
    assert dead.row()["dead"] == 8
    assert dead.row()["loss"] == pytest.approx(1.0, abs=0.01)
    helped = Trainer(replace(SILENT, remedies=(ResampleDead(every=25),)), path="blocked")
    helped.advance(600)
    row = helped.row()
    assert row["dead"] <= 4  # four points need four
    assert row["loss"] == pytest.approx(0.1 - 0.1**2 / 4, rel=0.01)


@dataclass(frozen=True)
class Named(Remedy):
    """Starts one latent anew, and notes what it saw."""

    latent: int
    every: int = 30
    until: float = 1.0
    seen: ClassVar[list] = []

    def find(self, weights, idle, dead_after):
        self.seen.append((self.latent, weights.decoder.clone(), idle.tolist()))
        return torch.tensor([self.latent])


def test_remedies_take_turns():
    """The second sees what the first one did."""
    Named.seen.clear()
    Trainer(replace(SILENT, remedies=(Named(3), Named(1))), path="blocked").advance(60)
    assert [latent for latent, _, _ in Named.seen] == [3, 1, 3, 1]
    (_, before, idle), (_, after, later) = Named.seen[:2]
    assert idle == [30] * 8
    assert later == [30, 30, 30, 0, 30, 30, 30, 30]
    assert (before != after).any(1).tolist() == [j == 3 for j in range(8)]


def test_restarted_latents_lose_their_moments_and_their_age():
    spec = replace(SILENT, encoder_bias=0.0, steps=60, remedies=(Named(3),))
    trainer = Trainer(spec, path="blocked")
    trainer.advance(29)
    assert bool(trainer.weights.like(trainer.state()["adam_second"]).encoder.all())
    trainer.advance(1)
    state = trainer.state()
    assert state["idle"].tolist() == [0] * 8
    for name in ("adam_first", "adam_second"):
        moments = trainer.weights.like(state[name])
        assert bool(moments.decoder_bias.all())
        for values in (moments.encoder, moments.decoder, moments.encoder_bias[:, None]):
            assert values.any(1).tolist() == [j != 3 for j in range(8)]


# ---- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("every", 0, "a whole number of at least 1"),
        ("every", 1.5, "a whole number of at least 1"),
        ("every", None, "a whole number of at least 1"),
        ("until", -0.1, r"a number in \[0, 1\]"),
        ("until", 1.1, r"a number in \[0, 1\]"),
        ("until", math.nan, r"a number in \[0, 1\]"),
        ("until", "all", r"a number in \[0, 1\]"),
    ],
)
def test_bad_times_are_refused(kind, name, value, allowed):
    with pytest.raises(ValueError, match=rf"^{name} must be {allowed}, got "):
        kind(**{name: value})


@pytest.mark.parametrize("value", [0.0, -0.5, 1.1, math.nan, None])
def test_bad_cosines_are_refused(value):
    with pytest.raises(ValueError, match=r"^cosine must be a number in \(0, 1\], got "):
        ResampleDuplicates(cosine=value)


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_encoders_are_asked_or_not(value):
    with pytest.raises(ValueError, match=r"^encoders must be True or False, got "):
        ResampleDuplicates(encoders=value)
