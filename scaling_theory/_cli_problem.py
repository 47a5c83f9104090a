"""The options that state a population on the command line."""

from __future__ import annotations

from typing import Any

import click

from scaling_theory._cli_types import Count, Ranks
from scaling_theory.curves import DiscreteCurve, LossCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population

_PROBLEM_OPTIONS = (
    click.option(
        "--alpha",
        type=float,
        required=True,
        help="Frequencies p_i ~ i^-(1+alpha); greater than 0, or than -1 with --features.",
    ),
    click.option(
        "--beta",
        type=float,
        help="Manifolds: loss (n+shift)^-beta. [default: no manifolds, all features discrete]",
    ),
    click.option(
        "--shift",
        type=float,
        help="Shift of the manifolds' law; 0 for the paper's n^-beta. [default: 1]",
    ),
    click.option("--features", type=Count(), help="Number of features. [default: infinitely many]"),
    click.option(
        "--manifold-ranks",
        type=Ranks(),
        help="Only these ranks are manifolds (1 or 1,5 or 1-20); the others are discrete.",
    ),
    click.option(
        "--manifold-share",
        type=float,
        help="Only this share of the features are manifolds, drawn once at random; the lowest "
        "ranks decide most, so compare several seeds. A multiple of 1/Q for a Q of at most 1000.",
    ),
    click.option(
        "--residual", type=float, help="Loss of a discovered discrete feature. [default: 0]"
    ),
    click.option(
        "--seed",
        type=Count(),
        help="Of the draw with --manifold-share. [default: 0]",
    ),
)


def problem_options(command: Any) -> Any:
    """Attach the options that state a population."""
    for option in reversed(_PROBLEM_OPTIONS):
        command = option(command)
    return command


def population_from(
    alpha: float,
    beta: float | None,
    shift: float | None,
    features: int | None,
    manifold_ranks: list[int] | None,
    manifold_share: float | None,
    residual: float | None,
    seed: int | None,
) -> Population:
    frequencies = PowerLawFrequencies(alpha, count=features)
    if manifold_ranks is not None and manifold_share is not None:
        raise click.UsageError("give at most one of --manifold-ranks and --manifold-share")
    if shift is not None and beta is None:
        raise click.UsageError("--shift is of manifolds: it needs --beta")
    if seed is not None and manifold_share is None:
        raise click.UsageError("--seed is of the draw with --manifold-share")
    some = manifold_ranks is not None or manifold_share is not None
    if some and beta is None:
        raise click.UsageError("--manifold-ranks and --manifold-share need --beta")
    if residual is not None and beta is not None and not some:
        raise click.UsageError(
            "--residual is of discrete features, but with --beta alone all are manifolds"
        )
    discrete = DiscreteCurve(residual or 0.0)
    if beta is None:
        return Population(frequencies, discrete, label="discrete")
    manifold = PowerLawCurve(beta=beta, shift=1.0 if shift is None else shift)
    if manifold_ranks is not None:
        return Population(
            frequencies, discrete, ranks={tuple(manifold_ranks): manifold}, label="discrete"
        )
    if manifold_share is not None:
        if not 0.0 < manifold_share < 1.0:
            raise click.UsageError(
                f"--manifold-share must be a number in (0, 1), got {manifold_share!r}"
            )
        groups: dict[str, tuple[float, LossCurve]] = {
            "manifold": (manifold_share, manifold),
            "discrete": (1.0 - manifold_share, discrete),
        }
        return Population.mixture(frequencies, groups, seed or 0)
    return Population(frequencies, manifold, label="manifold")
