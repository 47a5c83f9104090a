"""The Triton kernels compiled, on a GPU: skipped where there is none."""

import importlib.util

import pytest
import torch

from scaling_theory import sae
from scaling_theory.sae.architectures import JumpReLU, ReLU, TanhJumpReLU, TopK
from scaling_theory.sae.gpu import GroupTrainer
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import Trainer

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or importlib.util.find_spec("triton") is None,
    reason="needs a GPU and Triton",
)

FUSED = {
    "relu": ReLU(0.1),
    "jumprelu": JumpReLU(0.02, bandwidth=0.3),
    "tanh_jumprelu": TanhJumpReLU(0.7, tanh_scale=2.0, pre_activation=0.05, bandwidth=0.3),
    "topk": TopK(3),
}


@pytest.fixture(autouse=True)
def _compiled(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


def spec_of(architecture, width, d=4, seed=0, steps=60, **options):
    return RunSpec(sae.Shell(d), architecture, width, seed, steps, 1000, **options)


def trained(specs, steps):
    trainer = GroupTrainer(specs, "cuda")
    trainer.advance(steps)
    assert not trainer.failures
    return trainer


def same_state(one, other):
    for name, value in one.items():
        assert name == "seconds" or torch.equal(value, other[name]), name


@pytest.mark.parametrize(
    ("kind", "d"),
    # in one dimension all latents are alike but for a sign: TopK then is a matter of roundings
    [(kind, d) for kind in FUSED for d in (1, 2, 5, 8, 16) if (kind, d) != ("topk", 1)],
)
def test_first_gradients_are_those_of_autograd(kind, d):
    """With betas (0, ...) the first moment after a step is the gradient.

    Rows near a kink may fall on its other side in float32: of 1000 rows, a few.
    """
    spec = spec_of(FUSED[kind], 700, d, steps=1, betas=(0.0, 0.5))
    ours = trained([spec_of(FUSED[kind], 40, d, steps=1, betas=(0.0, 0.5)), spec], 1)
    theirs = Trainer(spec, "cuda", "reference")
    theirs.advance(1)
    expected = theirs.state()["adam_first"]
    error = (ours.state(1)["adam_first"] - expected).norm()
    assert float(error) <= 1e-3 * float(expected.norm())


@pytest.mark.parametrize("kind", FUSED)
def test_a_run_does_not_depend_on_its_group(kind):
    """Bit for bit, over steps that are launched, captured and replayed, and chunks."""
    spec = spec_of(FUSED[kind], 300, seed=1)
    alone = trained([spec], 60).state(0)
    others = [spec_of(FUSED[kind], n, seed=2) for n in (5, 2000, 64)]
    same_state(trained([others[0], spec, *others[1:]], 60).state(1), alone)
    same_state(trained([spec], 60).state(0), alone)


def test_a_run_goes_on_where_it_was_stopped():
    spec = spec_of(ReLU(), 300)
    first = trained([spec], 17)
    again = GroupTrainer([spec], "cuda")
    again.load_states([first.state(0)])
    again.advance(100)
    same_state(again.state(0), trained([spec], 60).state(0))


def test_training_takes_the_kernels_by_itself(tmp_path):
    """And falls to the same losses as the path of single runs, which clips keep a run on."""
    specs = [spec_of(ReLU(), n, steps=400) for n in (16, 64)]
    clipped = spec_of(ReLU(), 16, steps=400, clip=1e9)
    table = sae.train([*specs, clipped], tmp_path, device="cuda", progress=False)
    assert table["path"].tolist() == ["triton", "triton", "blocked"]
    other = sae.train(specs, device="cuda", path="blocked", progress=False)
    assert table["loss"][:2].tolist() == pytest.approx(other["loss"].tolist(), rel=1e-3)
