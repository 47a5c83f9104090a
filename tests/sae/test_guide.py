"""The contributors' guide, followed: an architecture of one's own trains at once."""

import re
import textwrap
from pathlib import Path

import pytest
import torch

from scaling_theory import sae

LIMIT = 60  # lines, for a new manifold or architecture


def example(title):
    guide = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    section = guide.split(f"## {title}")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)\n *```", section, flags=re.DOTALL)
    return textwrap.dedent(code)


@pytest.mark.parametrize(
    "title", ["How do I add a manifold?", "How do I add an architecture?"], ids=str.split
)
def test_examples_are_short(title):
    assert len(example(title).splitlines()) < LIMIT


def test_the_architecture_of_the_guide_trains():
    names: dict = {"__name__": __name__}
    exec(example("How do I add an architecture?"), names)
    architecture = names["LogReLU"](0.1)
    runs = sae.train_widths(sae.Circle(), [8], architecture, steps=300, evaluation=4096)
    (row,) = runs.rows
    assert row["path"] == "reference"
    assert 0.0 < row["loss"] < 0.3 < row["magnitude"]  # 1 without latents
    weights = runs.weights(0)
    x = torch.tensor([[1.0, 0.0]])
    f = (x @ weights["encoder"].T + weights["encoder_bias"]).relu()
    sizes = f * weights["decoder"].norm(dim=1)
    own = sae.Weights(8, 2)
    for name, values in own.named().items():
        values.copy_(weights[name])
    said = architecture.losses(own, x, sae.architectures.Context()).penalty
    assert said.item() == pytest.approx(0.1 * torch.log1p(sizes).sum().item(), rel=1e-6)
