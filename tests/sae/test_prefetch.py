"""Inputs drawn ahead on a second thread: the same numbers, the same errors, at the same steps."""

import threading
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from scaling_theory.sae.architectures import ReLU
from scaling_theory.sae.data import Data
from scaling_theory.sae.kernels import threads
from scaling_theory.sae.manifolds import Circle
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import Trainer, TrainingFailed

SPEC = RunSpec(Circle(), ReLU(), 12, steps=170, batch_size=16, evaluation=500)
#: Chunks of inputs of these runs: 50 steps, the last one cut short.
CHUNKS = 4


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Watched(Data):
    """A circle that notes who draws, and gives nan in the draw ``bad``, counted from 0."""

    bad: int | None = None
    dimension: ClassVar[int] = 2
    magnitude: ClassVar[float] = 1.0
    drawn: ClassVar[list] = []

    def sample(self, count, generator):
        """Draw points."""
        self.drawn.append((threading.current_thread().name, torch.get_num_threads()))
        x = Circle().sample(count, generator)
        return x * float("nan") if self.bad == len(self.drawn) - 1 else x


@pytest.fixture(autouse=True)
def _nothing_drawn():
    Watched.drawn.clear()


@pytest.mark.parametrize("path", ["compiled", "blocked"])
@pytest.mark.parametrize("cuts", [(170,), (7, 43, 1, 60, 100)])
def test_a_second_thread_changes_no_bit(path, cuts):
    states = []
    for count in (1, 2):
        torch.set_num_threads(count)
        trainer = Trainer(SPEC, path=path)
        for steps in cuts:
            trainer.advance(steps)
        states.append(trainer.state())
    states[0].pop("seconds"), states[1].pop("seconds")
    assert states[0].keys() == states[1].keys()
    for name, values in states[0].items():
        assert torch.equal(values, states[1][name]), name


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_chunk_is_drawn_once_and_ahead_only_with_a_thread_to_spare(count):
    torch.set_num_threads(count)
    Trainer(replace(SPEC, data=Watched())).advance(SPEC.steps)
    ahead = [name.startswith("scaling_theory_aside") for name, _ in Watched.drawn]
    assert ahead == [False] + [count > 1] * (CHUNKS - 1)
    assert all(used == 1 for _, used in Watched.drawn)
    assert torch.get_num_threads() == count


@pytest.mark.parametrize("bad", range(CHUNKS))
@pytest.mark.parametrize("count", [1, 2])
def test_an_input_that_is_not_finite_ends_a_run_where_it_is_used(bad, count):
    torch.set_num_threads(count)
    trainer = Trainer(replace(SPEC, data=Watched(bad)))
    with pytest.raises(TrainingFailed, match=f"at steps {50 * bad} to {50 * bad + 49}"):
        trainer.advance(SPEC.steps)
    assert trainer.step == 50 * bad


def test_a_state_of_another_step_does_not_use_what_was_drawn_ahead():
    torch.set_num_threads(2)
    first, second = Trainer(SPEC), Trainer(SPEC)
    first.advance(120)
    second.advance(10)  # has drawn for steps 50 to 99
    second.load_state(first.state())
    for trainer in (first, second):
        trainer.advance(SPEC.steps)
    assert torch.equal(first.weights.flat, second.weights.flat)


def test_nothing_is_started_where_one_thread_is_all():
    torch.set_num_threads(1)
    assert threads.aside(max, 1, 2) is None
    torch.set_num_threads(2)
    later = threads.aside(max, 1, 2)
    assert later is not None
    assert later.result() == 2
