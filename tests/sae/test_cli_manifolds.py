"""The command ``train``: manifolds by name, their options, and intensities."""

import json
from dataclasses import MISSING, fields

import pytest
import torch

from scaling_theory import _cli_kinds
from scaling_theory.cli import app
from scaling_theory.sae import manifolds, sweep
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import (
    Ball,
    Circle,
    Intensity,
    Points,
    Ripple,
    Segment,
    Shell,
    SwissRoll,
    Torus,
)
from scaling_theory.sae.trainer import Trainer

QUICK = ["--widths", 4, "--steps", 3, "--batch-size", 16]


@pytest.fixture
def _quick(monkeypatch):
    real, threads = Trainer, torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(sweep, "choose_path", lambda *a, **k: "reference")
    monkeypatch.setattr(sweep, "Trainer", lambda spec, device, _: real(spec, device, "reference"))
    yield
    torch.set_num_threads(threads)


CHOICES = {
    "ball": (["ball", "--dimension", 3], Ball(3)),
    "large ball": (["ball", "--dimension", 3, "--radius", 2], Ball(3, 2.0)),
    "torus": (["torus"], Torus()),
    "torus set": (["torus", "--radii", "1,0.5,2e-1"], Torus((1.0, 0.5, 0.2))),
    "torus of one": (["torus", "--radii", "3"], Torus((3.0,))),
    "swiss-roll": (["swiss-roll"], SwissRoll()),
    "swiss-roll set": (
        ["swiss-roll", "--start", 0, "--turns", 3, "--height", 2, "--radius", 4],
        SwissRoll(0.0, 3.0, 2.0, 4.0),
    ),
    "segment": (["segment"], Segment()),
    "segment set": (["segment", "--inner", 0, "--outer", 3], Segment(0.0, 3.0)),
    "ripple": (["ripple", "--dimension", 8], Ripple(8)),
    "ripple set": (
        ["ripple", "--dimension", 6, "--decay", 0.5, "--decay-law", "exponential", "--radius", 2],
        Ripple(6, 0.5, "exponential", 2.0),
    ),
    "ring with intensities": (["circle", "--intensity", 0, 2], Intensity(Circle(), 0.0, 2.0)),
    "points with intensities": (["points", "--intensity", 1, 2], Intensity(Points(), 1.0, 2.0)),
    "torus with intensities": (
        ["torus", "--radii", "2,2", "--intensity", 0.5, 2], Intensity(Torus((2.0, 2.0)))
    ),
    "shell with intensities": (
        ["shell", "--dimension", 3, "--inner", 1, "--intensity", 0.1, 0.2],
        Intensity(Shell(3, 1.0), 0.1, 0.2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.usefixtures("_quick")
def test_what_is_trained_on(ask, name):
    arguments, manifold = CHOICES[name]
    (row,) = ask("train", "--manifold", *arguments, *QUICK)["runs"]
    assert row["data"] == repr(manifold)
    spec = json.loads(row["spec"])["spec"]["data"]
    assert spec["kind"] == type(manifold).__name__
    assert spec["dimension"] == manifold.dimension


REFUSED = {
    "ball without dimension": (["ball"], "--manifold ball needs --dimension"),
    "ripple without dimension": (["ripple"], "--manifold ripple needs --dimension"),
    "dimension of a torus": (
        ["torus", "--dimension", 4],
        "--dimension is of --manifold sphere or shell or ball or ripple, got --manifold torus",
    ),
    "radii of a ball": (
        ["ball", "--dimension", 3, "--radii", "1,1"],
        "--radii is of --manifold torus, got --manifold ball",
    ),
    "radius of a segment": (["segment", "--radius", 2], "--radius is of --manifold sphere"),
    "decay law of a circle": (
        ["circle", "--decay-law", "power"], "--decay-law is of --manifold ripple"
    ),
    "radius law of a ripple": (
        ["ripple", "--dimension", 4, "--radius-law", "volume"],
        "--radius-law is of --manifold shell, got --manifold ripple",
    ),
    "radii that are none": (["torus", "--radii", "1,x"], "'1,x' is not numbers such as 1,0.5"),
    "no radii": (["torus", "--radii", ""], "'' is not numbers such as 1,0.5"),
    "radii of 0": (["torus", "--radii", "1,0"], "--radii must hold numbers in [1e-15, 1e+15]"),
    "radii of nan": (["torus", "--radii", "nan"], "--radii must hold numbers"),
    "odd ripple": (["ripple", "--dimension", 5], "--dimension must be even"),
    "decay below 0": (
        ["ripple", "--dimension", 4, "--decay", -1], "--decay must be a number in [0, 100], got -1"
    ),
    "unknown decay law": (["ripple", "--dimension", 4, "--decay-law", "flat"], "'flat'"),
    "start": (["swiss-roll", "--start", -1], "--start must be a number in [0, 100]"),
    "turns": (["swiss-roll", "--turns", 0], "--turns must be a number in [0.01, 100]"),
    "height": (["swiss-roll", "--height", "inf"], "--height must be a number in [0, 1000]"),
    "inner of a segment": (["segment", "--inner", 2], "--inner must be a number in [0, 2)"),
    "intensities in the wrong order": (
        ["circle", "--intensity", 2, 1],
        "--intensity: inner must be a number in [0, 1), got 2.0",
    ),
    "intensities, not radii": (
        ["shell", "--dimension", 2, "--inner", 1, "--intensity", -1, 1], "--intensity: inner must"
    ),
    "intensities of nan": (["circle", "--intensity", 1, "nan"], "--intensity: outer must"),
    "intensities beyond float32": (
        ["circle", "--radius", "1e10", "--intensity", 0, "1e9"], "--intensity: outer times"
    ),
    "intensity of one number": (["circle", "--intensity", 1], "--intensity"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(check_refused, name):
    arguments, message = REFUSED[name]
    check_refused(["train", *QUICK, "--manifold", *arguments], message)


def test_every_manifold_has_a_name_and_every_option_its_default():
    kinds = {
        kind.__name__.lower(): kind
        for kind in map(vars(manifolds).get, manifolds.__all__)
        if isinstance(kind, type) and issubclass(kind, Data) and kind is not Intensity
    }
    assert {name.replace("-", "") for name in _cli_kinds.MANIFOLDS} == set(kinds)
    helps = {p.name: p.help or "" for p in app.commands["train"].params}
    for choice, options in _cli_kinds.MANIFOLDS.items():
        named = {f.name: f for f in fields(kinds[choice.replace("-", "")]) if f.init}
        taken = {_cli_kinds.FIELDS.get(option, option) for option in options}
        assert taken == set(named) - {"positions"}
        for option in options:
            default = named[_cli_kinds.FIELDS.get(option, option)].default
            if default is MISSING:
                assert _cli_kinds.NEEDED[choice] == option
                continue
            said = helps[option].split("[default: ")[1].rstrip("]")
            if isinstance(default, tuple):
                assert tuple(float(v) for v in said.split(",")) == default
            else:
                assert type(default)(said) == default
