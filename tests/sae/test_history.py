"""What a run writes down on the way."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from scaling_theory.sae import ResampleDead, RunSpec, Sphere, TopK, Trainer, evaluate
from scaling_theory.sae.history import steps_of


def spec(**options):
    plain = {"steps": 60, "batch_size": 32, "history": 7, "dead_after": 10, "evaluation": 64}
    return RunSpec(Sphere(4), TopK(2, auxk=4), 64, **plain | options)


@given(steps=some.integers(1, 10**6), points=some.integers(1, 1000))
def test_looks_are_distinct_steps_up_to_the_last(steps, points):
    found = steps_of(spec(steps=steps, history=points))
    assert list(found) == sorted(set(found))
    assert found[0] >= 1
    assert found[-1] == steps
    assert len(found) <= points
    if points <= 24 and steps >= 10**5:
        assert len(found) == points


def test_no_looks_where_none_are_asked_for():
    assert steps_of(spec(history=0)) == ()
    assert steps_of(spec(steps=0)) == ()
    trainer = Trainer(spec(history=0))
    assert "history" not in trainer.state()
    trainer.advance(60)
    assert "history" not in trainer.tensors()


def test_a_look_is_what_the_weights_show_at_that_step():
    trainer = Trainer(spec())
    at = steps_of(trainer.spec)[3]
    trainer.advance(at)
    x = trainer.spec.data.held_out(8192, trainer.spec.generator("history"))
    seen = evaluate(trainer.spec.architecture, trainer.weights, x)
    idle = int((trainer.state()["idle"] >= 10).sum())
    trainer.advance(60)
    history = trainer.tensors()["history"]
    assert history[3].tolist() == [at, seen.fvu, idle, seen.l0]
    assert history[-1, 0] == 60
    assert bool(torch.isfinite(history).all())
    assert history[-1, 1] < history[0, 1]


@pytest.mark.parametrize("stop", [1, 29, 59])
def test_a_history_goes_on_where_a_run_was_stopped(stop):
    whole, first = Trainer(spec()), Trainer(spec())
    whole.advance(60)
    first.advance(stop)
    second = Trainer(spec())
    second.load_state(first.state())
    second.advance(60)
    torch.testing.assert_close(
        second.tensors()["history"], whole.tensors()["history"], rtol=0.0, atol=0.0
    )


def test_looking_changes_no_weight():
    """The looks see the weights; a run without any is another run, of other random numbers."""
    a, b = (Trainer(spec(remedies=(ResampleDead(20),))) for _ in range(2))
    b._history.look = lambda *_: None
    for trainer in (a, b):
        trainer.advance(60)
    torch.testing.assert_close(a.weights.flat, b.weights.flat, rtol=0.0, atol=0.0)
