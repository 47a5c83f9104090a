"""Manifolds and architectures on the command line: their options, and what these make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scaling_theory._cli_types import Count

if TYPE_CHECKING:  # loads torch
    from scaling_theory.sae.architectures import Architecture
    from scaling_theory.sae.data import Data

#: Choice -> options that it takes; those that it can't do without.
MANIFOLDS = {
    "sphere": ("dimension", "radius"),
    "circle": ("radius",),
    "shell": ("dimension", "inner", "outer", "radius_law"),
    "points": (),
    "ball": ("dimension", "radius"),
    "torus": ("radii",),
    "swiss-roll": ("start", "turns", "height", "radius"),
    "segment": ("inner", "outer"),
    "ripple": ("dimension", "decay", "decay_law", "radius"),
}
#: Options that the library calls otherwise.
FIELDS = {"radius_law": "law", "decay_law": "law"}
ARCHITECTURES = {
    "relu": ("l1",),
    "topk": ("k", "auxk"),
    "batch-topk": ("k", "auxk"),
    "matryoshka": ("k", "prefixes", "auxk"),
    "gated": ("l1",),
    "jumprelu": ("l0", "bandwidth", "threshold"),
    "tanh-jumprelu": ("sparsity", "tanh_scale", "pre_activation", "bandwidth", "threshold"),
}
NEEDED = {
    "sphere": "dimension",
    "shell": "dimension",
    "ball": "dimension",
    "ripple": "dimension",
    "topk": "k",
    "batch-topk": "k",
    "matryoshka": "k",
    "jumprelu": "l0",
}


def _numbers(ctx: Any, param: Any, value: str | None) -> tuple[float, ...] | None:
    """Parse 1,0.5."""
    try:
        return None if value is None else tuple(float(v) for v in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not numbers such as 1,0.5", ctx, param) from None


OPTIONS = (
    click.option(
        "--manifold",
        type=click.Choice(list(MANIFOLDS)),
        required=True,
        help="What inputs are on. points: one point, a discrete feature. segment: one direction, "
        "with an intensity. torus: a product of circles. ripple: a closed curve that winds through "
        "all dimensions.",
    ),
    click.option(
        "--intensity",
        type=float,
        nargs=2,
        metavar="LOW HIGH",
        help="Of any manifold: multiply each input by a random number, uniform between these.",
    ),
    click.option(
        "--dimension",
        type=Count(),
        help="Sphere, shell, ball, ripple: d of the space around it; ripple: even.",
    ),
    click.option(
        "--radius",
        type=float,
        help="Sphere, circle, ball, ripple; Swiss roll: root mean squared norm. [default: 1]",
    ),
    click.option(
        "--inner", type=float, help="Shell, segment: least radius, intensity. [default: 0.5]"
    ),
    click.option(
        "--outer", type=float, help="Shell, segment: largest radius, intensity. [default: 2]"
    ),
    click.option(
        "--radius-law",
        type=click.Choice(["radius", "volume"]),
        help="Shell: uniform in the radius or in the volume. [default: radius]",
    ),
    click.option(
        "--radii",
        callback=_numbers,
        metavar="R,R,...",
        help="Torus: radii of its circles. [default: 1,1]",
    ),
    click.option("--start", type=float, help="Swiss roll: turns left out inside. [default: 0.75]"),
    click.option("--turns", type=float, help="Swiss roll: how often it goes round. [default: 1.5]"),
    click.option(
        "--height", type=float, help="Swiss roll: height over outermost radius. [default: 1.5]"
    ),
    click.option("--decay", type=float, help="Ripple: of its amplitudes. [default: 1]"),
    click.option(
        "--decay-law",
        type=click.Choice(["power", "exponential"]),
        help="Ripple: amplitudes as k^-decay or as exp(-decay k). [default: power]",
    ),
    click.option(
        "--architecture",
        type=click.Choice(list(ARCHITECTURES)),
        default="relu",
        show_default=True,
    ),
    click.option("--l1", type=float, help="relu, gated: weight of the penalty. [default: 0.1]"),
    click.option(
        "--k",
        type=Count(),
        help="topk: latents that fire; batch-topk, matryoshka: on average over a batch.",
    ),
    click.option(
        "--auxk",
        type=Count(),
        help="topk, batch-topk, matryoshka: dead latents in the auxiliary loss. [default: 0]",
    ),
    click.option(
        "--prefixes",
        callback=_numbers,
        metavar="SHARES",
        help="matryoshka: shares of the width that reconstruct by themselves, rising to 1. "
        "[default: 0.0625,0.125,0.25,0.5,1]",
    ),
    click.option("--l0", type=float, help="jumprelu: weight of the number of latents that fire."),
    click.option(
        "--sparsity", type=float, help="tanh-jumprelu: weight of the penalty. [default: 1]"
    ),
    click.option("--tanh-scale", type=float, help="tanh-jumprelu: c. [default: 0.1]"),
    click.option(
        "--pre-activation",
        type=float,
        help="tanh-jumprelu: weight of the pre-activation loss. [default: 3e-6]",
    ),
    click.option(
        "--bandwidth",
        type=float,
        help="Of the straight-through estimator. [default: jumprelu 0.05, tanh-jumprelu 0.1]",
    ),
    click.option(
        "--threshold",
        type=float,
        help="Initial threshold. [default: jumprelu 0.01, tanh-jumprelu 0.1]",
    ),
)


def taken(
    option: str, choice: str, choices: dict[str, tuple[str, ...]], given: dict[str, Any]
) -> dict[str, Any]:
    """Take the options of a choice out of those given; refuse those of other choices."""
    every = {name for names in choices.values() for name in names}
    values = {name: given.pop(name) for name in every}
    values = {name: value for name, value in values.items() if value is not None}
    for name in sorted(values):
        if name not in choices[choice]:
            takers = " or ".join(c for c, names in choices.items() if name in names)
            raise click.UsageError(f"{dashed(name)} is of {option} {takers}, got {option} {choice}")
    if choice in NEEDED and NEEDED[choice] not in values:
        raise click.UsageError(f"{option} {choice} needs {dashed(NEEDED[choice])}")
    return values


def manifold_of(name: str, values: dict[str, Any], intensity: tuple[float, float] | None) -> Data:
    from scaling_theory.sae import manifolds

    kinds: dict[str, type[Data]] = {
        "sphere": manifolds.Sphere,
        "circle": manifolds.Circle,
        "shell": manifolds.Shell,
        "points": manifolds.Points,
        "ball": manifolds.Ball,
        "torus": manifolds.Torus,
        "swiss-roll": manifolds.SwissRoll,
        "segment": manifolds.Segment,
        "ripple": manifolds.Ripple,
    }
    named = {FIELDS.get(option, option): value for option, value in values.items()}
    manifold = kinds[name](**named)
    if intensity is None:
        return manifold
    try:
        return manifolds.Intensity(manifold, *intensity)
    except ValueError as error:
        raise ValueError(f"--intensity: {error}") from error


def architecture_of(name: str, values: dict[str, Any]) -> Architecture:
    from scaling_theory.sae import architectures

    kinds: dict[str, type[Architecture]] = {
        "relu": architectures.ReLU,
        "topk": architectures.TopK,
        "batch-topk": architectures.BatchTopK,
        "matryoshka": architectures.Matryoshka,
        "gated": architectures.Gated,
        "jumprelu": architectures.JumpReLU,
        "tanh-jumprelu": architectures.TanhJumpReLU,
    }
    return kinds[name](**values)


def as_option(message: str, names: dict[str, Any]) -> str:
    """Say --batch-size where the library says batch_size."""
    name, space, rest = message.partition(" ")
    name = next((option for option in names if FIELDS.get(option) == name), name)
    return dashed(name) + space + rest if name in {*names, "widths", "store"} else message


def dashed(name: str) -> str:
    return "--" + name.replace("_", "-")
