"""Who tiles what: how a curve is read, and what the stored ones say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaling_theory.sae import RunSpec, TopK
from scaling_theory.sae.studies import _kept
from scaling_theory.sae.studies.tiling import designs, table

MANIFOLD, ARCHITECTURE = "shell 3", "ReLU"


def made(folder, loss, dead=0.0, noise=1e-4, manifold=MANIFOLD):
    """A stored file in which the loss of a pair is a function of n."""
    rng = np.random.default_rng(0)
    size = designs.MANIFOLDS[manifold].magnitude
    rows = []
    for spec in [*designs.specs(manifold, ARCHITECTURE), *designs.longer(manifold, ARCHITECTURE)]:
        value = size * loss(spec.width) * (1.0 + noise * rng.normal())
        row = {"manifold": manifold, "architecture": ARCHITECTURE, "key": spec.key}
        row |= {"width": spec.width, "seed": spec.seed, "loss": value, "stderr": noise * value}
        rows.append({**row, "overlap": 1.0, "magnitude": size, "dead": int(dead * spec.width)})
    pd.DataFrame(rows).to_csv(folder / "tiling.csv", index=False)
    return _kept.Kept("tiling", folder)


def read(kept):
    (row,) = table.tiling_table(kept).to_dict("records")
    return row


def test_a_power_law_falls_with_its_exponent(tmp_path):
    row = read(made(tmp_path, lambda n: 0.1 + n**-0.5))
    assert row["shape"] == "falls"
    assert row["low"] < 0.5 < row["high"]
    assert row["high"] - row["low"] < 0.1
    assert row["fall"] == pytest.approx(1.0 - (0.1 + 192**-0.5) / (0.1 + 12**-0.5), abs=1e-3)
    assert row["fall_low"] < row["fall"] < row["fall_high"]
    assert abs(row["longer"]) < 1e-3  # of the same loss


@pytest.mark.parametrize(
    ("loss", "dead", "shape", "flat_from"),
    [
        (lambda n: 0.3 if n > 6 else 0.6, 0.0, "plateau", 12),
        (lambda n: 0.3 if n > 6 else 0.6, 0.9, "plateau, dead", 12),
        (lambda n: 1e-4, 0.9, "explained", 6),
        (lambda n: 0.3 * (1.0 if n < 192 else 0.95), 0.0, "unclear", 192),
        (lambda n: 1.0 / n, 0.6, "falls, dead", 96),
    ],
)
def test_shapes(tmp_path, loss, dead, shape, flat_from):
    row = read(made(tmp_path, loss, dead))
    assert row["shape"] == shape
    assert row["flat_from"] == flat_from
    assert np.isnan(row["fall"]) == (shape == "explained")


def test_noise_leaves_the_shape_open(tmp_path):
    assert read(made(tmp_path, lambda n: 0.3, noise=0.3))["shape"] == "unclear"


def test_the_design_has_what_the_question_names():
    names = set(designs.MANIFOLDS)
    assert {f"shell {d}" for d in (2, 3, 4, 6)} <= names
    assert len(set(designs.pairs())) == len(designs.pairs())
    keys = [s.key for _, specs in table.groups() for s in specs]
    assert len(set(keys)) == len(keys)
    for manifold in designs.MANIFOLDS:
        kinds = designs.architectures(designs.MANIFOLDS[manifold].dimension)
        assert set(designs.REMEDIES) <= set(kinds)
        assert [s.width for s in designs.specs(manifold, "ReLU")] == [
            m * designs.MANIFOLDS[manifold].dimension for m in designs.MULTIPLES for _ in range(3)
        ]
    assert designs.longer("torus", "ReLU") == []
    (longer,) = designs.longer("shell 4", "TopK k=2")
    assert isinstance(longer, RunSpec)
    assert isinstance(longer.architecture, TopK)
    assert longer.steps == designs.LONGER * designs.RECIPE["steps"]


# ---- what is stored -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept():
    return _kept.Kept("tiling")


@pytest.fixture(scope="module")
def found(kept):
    return table.tiling_table(kept).set_index(["manifold", "architecture"])


def test_every_run_of_the_study_is_stored(kept):
    for _, specs in table.groups():
        assert kept.has(specs)
    assert len(kept.table) == sum(len(specs) for _, specs in table.groups())


@pytest.mark.parametrize("d", [2, 3, 4, 6])
def test_shells_are_plateaus_for_relu(found, d):
    row = found.loc[(f"shell {d}", "ReLU")]
    assert row["shape"] == "plateau"
    assert row["dead"] == 0.0


@pytest.mark.parametrize("d", [3, 4, 6])
def test_topk_goes_on_where_relu_stops(found, d):
    row = found.loc[(f"shell {d}", "TopK k=2")]
    assert row["shape"] == "falls, dead"
    assert row["fall_low"] > 0.3
    assert found.loc[(f"shell {d}", "TopK k=d"), "shape"] == "explained"


@pytest.mark.parametrize("name", ["torus", "ripple 8"])
def test_an_intensity_that_varies_stops_relu(found, name):
    assert found.loc[(name, "ReLU"), "shape"] == "falls"
    assert found.loc[(f"{name}, intensity varies", "ReLU"), "shape"] == "plateau"


def test_plateaus_of_jumprelu_are_of_dead_latents(found):
    """On the sphere too, where other architectures tile: they say nothing of manifolds."""
    rows = found.xs("JumpReLU", level="architecture")
    assert (rows["dead"] > 0.8).all()
    assert "plateau" in rows.loc["sphere 3", "shape"]
