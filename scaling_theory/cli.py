"""The command line, ``scaling-theory COMMAND``: thin wrappers around the library.

Bad input is one line on standard error and exit code 2. Numbers may be written as people write
them: 1e12, ranges 4:1024 (doubling) and 1e2:1e8:25 (25 points on a log scale).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import scaling_theory as st
from scaling_theory._cli_diagnose import diagnose
from scaling_theory._cli_fit import fit
from scaling_theory._cli_frequencies import frequencies
from scaling_theory._cli_output import finite, json_option, print_values
from scaling_theory._cli_problem import population_from, problem_options
from scaling_theory._cli_train import train
from scaling_theory._cli_types import Count, Counts
from scaling_theory._validate import MAX_LATENTS
from scaling_theory.figures import reproduce
from scaling_theory.scaling import scaling_rows


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(st.__version__, prog_name="scaling-theory")
def app() -> None:
    """How a model with N units of capacity spends them."""


@app.command()
@problem_options
@click.option("--latents", type=Counts(), help="Also predict excess loss and D at these budgets.")
@click.option(
    "--within",
    type=float,
    default=0.1,
    show_default=True,
    help="The crossover is where the slope of the loss is within this fraction of its limit.",
)
@json_option
def regime(latents: list[int] | None, within: float, as_json: bool, **problem: Any) -> None:
    """Regime, exponents and leading constants, in closed form.

    The laws with their constants are limits for large N: the local slope of the loss is within 10%
    of its limit from N = crossover on (inf: above 1e120); within_reach says whether that is at most
    1e12. With --latents the prediction itself is printed, which also holds before that. half: N
    from which on the manifolds hold more than half of the latents (inf: not in the limit; nan: no
    closed form, as where they do so from the start). With --features the laws hold before most
    features are found; saturation is the N at which the last one is; there is no crossover. For
    alpha <= 0 the loss is no power law: nan. In JSON, null stands for inf and nan.
    """
    population = population_from(**problem)
    said = st.predict(population=population)
    keys = (
        "regime", "alpha", "beta", "loss_exponent", "discovery_exponent", "loss_constant",
        "discovery_constant",
    )  # fmt: skip
    values = {key: getattr(said, key) for key in keys}
    if math.isfinite(said.saturation):
        values["saturation"] = said.saturation
    else:
        crossover = said.crossover_within(within)
        values["crossover"] = crossover
        values["within_reach"] = crossover <= st.theory.WITHIN_REACH
        if len(population.labels) > 1:
            (manifolds,) = (label for label in population.labels if label != "discrete")
            values["half"] = st.theory.takeover(population, manifolds)
    logs = said.regime == "critical"
    if math.isfinite(said.loss_exponent):
        values["loss_law"] = f"{said.loss_constant:.4g} N^-{said.loss_exponent:.4g}" + (
            f" (ln N)^{1.0 + said.alpha:.4g}" if logs else ""
        )
    values["discovery_law"] = f"{said.discovery_constant:.4g} N" + (
        " / ln N" if logs else f"^{said.discovery_exponent:.4g}"
    )
    if latents is not None:
        rows = zip(latents, said.loss(latents), said.discovered(latents), strict=True)
        values["predictions"] = [
            {"latents": n, "excess_loss": float(e), "discovered": float(d)} for n, e, d in rows
        ]
    print_values(values, as_json)


@app.command()
@problem_options
@click.option("--latents", type=Count(), help="Budget N, up to 1e15.")
@click.option("--to-loss", type=float, help="Instead: as many latents as this loss takes.")
@click.option("--to-discover", type=Count(), help="Instead: as many as so many features take.")
@json_option
def allocate(
    latents: int | None,
    to_loss: float | None,
    to_discover: int | None,
    as_json: bool,
    **problem: Any,
) -> None:
    """Solve one allocation exactly.

    discovered: features with at least one latent. price: gain of the last latent spent. gap: bound
    on the distance from the optimum. idle: latents that could buy nothing (status saturated).
    """
    if sum(v is not None for v in (latents, to_loss, to_discover)) != 1:
        raise click.UsageError("give exactly one of --latents, --to-loss and --to-discover")
    population = population_from(**problem)
    if latents is None:
        latents = st.latents_for(population, loss=to_loss, discovered=to_discover)
    if latents > 10**13 and sys.stderr.isatty():
        about = 5.0 * (latents / 1e15) ** 0.5  # seconds at alpha = beta, the slowest case
        click.echo(f"solving: a few seconds (up to about {about:.0f} s)", err=True)
    at = st.allocate(population, latents)
    keys = (
        "latents", "total", "idle", "discovered", "loss", "excess_loss", "price", "gap", "status",
        "seconds",
    )  # fmt: skip
    values = {key: getattr(at, key) for key in keys}
    if len(population.labels) > 1:
        values["groups"] = at.by_group().to_dict("records")
    print_values(values, as_json)


@app.command()
@problem_options
@click.option(
    "--latents",
    type=Counts(),
    default="1e2:1e8:25",
    show_default=True,
    help="Budgets: 100 or 1,10,100 or 4:1024 (doubling) or 1e2:1e8:25 (log scale).",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a CSV file here instead of a table.",
)
@json_option
def simulate(latents: list[int], output: Path | None, as_json: bool, **problem: Any) -> None:
    """Loss, discovery and local slopes over a range of budgets.

    efficiency: discovered / latents. loss_slope and discovery_slope: local slopes of ln excess loss
    and ln discovered against ln N. The other columns as in allocate. Ctrl-C prints or writes the
    rows that are done.
    """
    import pandas as pd

    if output is not None and as_json:
        raise click.UsageError("give at most one of --output and --json")
    population = population_from(**problem)
    if min(latents) < 1 or max(latents) > MAX_LATENTS:
        raise click.UsageError(f"--latents must be from 1 to {MAX_LATENTS:.0e}, got {latents}")
    if output is not None:
        with output.open("a"):  # fail before the work, not after it
            pass
    rows: list[dict[str, Any]] = []
    stopped = False
    try:
        for row in scaling_rows(population, latents, progress=sys.stderr.isatty()):
            rows.append(row)  # kept row by row, for Ctrl-C
    except KeyboardInterrupt:
        stopped = True
    table = pd.DataFrame(rows)
    if output is not None:
        table.to_csv(output, index=False)
        click.echo(f"{len(rows)} of {len(latents)} rows written to {output}")
    elif as_json:
        click.echo(json.dumps(finite(rows)))
    else:
        click.echo(table.to_string(index=False, float_format="{:.6g}".format))
    if stopped:
        raise KeyboardInterrupt


for command in (train, fit, frequencies, diagnose):
    app.add_command(command)


@app.command(name="reproduce")
@click.option("--only", multiple=True, help="Part of a figure's name; repeatable. [default: all]")
@click.option(
    "--preset",
    type=click.Choice(["quick", "paper"]),
    default="quick",
    show_default=True,
    help="Size of the runs that rest on training.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="figures",
    show_default=True,
    help="Folder to write to.",
)
def reproduce_figures(only: Sequence[str], preset: Any, output: Path) -> None:
    """Make every figure: SVG and PNG, the CSV it is drawn from, and a JSON that says how.

    Figures that rest on training carry the preset in the names of their files. They are drawn from
    the runs that are stored with the package; others are trained first, into runs/PRESET (or
    $SCALING_THEORY_RUNS/PRESET). Ctrl-C keeps what is done, and the same command goes on from
    there.

    Figures of real activations (real_*) are drawn from stored results too; `--only real`, just so,
    makes all of them from text: activations of a transformer, SAEs, laws, diagnoses, into
    runs/real_PRESET. With the quick preset that takes about an hour on 2 cores. It needs the
    extra: pip install 'scaling-theory[text]'.
    """
    command = " ".join(
        ["scaling-theory reproduce", *(f"--only {o}" for o in only), f"--preset {preset}"]
    )
    try:
        reproduce(
            output,
            only,
            preset,
            command,
            progress=sys.stderr.isatty(),
            on_done=lambda name, took: click.echo(f"{output / name}.*  {took:.1f} s", err=True),
            say=lambda line: click.echo(line, err=True),
        )
    except RuntimeError as error:
        from scaling_theory.sae.trainer import TrainingFailed

        if not isinstance(error, TrainingFailed):
            raise
        raise click.ClickException(str(error)) from error


def main() -> None:
    """Run the command line; errors are one line and exit code 2."""
    try:
        app.main(standalone_mode=False, prog_name="scaling-theory")
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message())
    except (ValueError, OSError, ImportError) as error:
        _fail(str(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("scaling-theory: stopped", err=True)
        sys.exit(130)


#: What the library calls an option's value -> the option.
_OPTIONS = {
    "count": "--features",
    "fraction": "--within",
    "ranks": "--manifold-ranks",
    "share of group 'manifold'": "--manifold-share",
    "only": "--only",
}


def _fail(message: str) -> None:
    for name, option in _OPTIONS.items():
        if message.startswith(f"{name} "):
            message = option + message[len(name) :]
    message = message.replace("; count= allows more", "; --features allows more")
    click.echo(f"scaling-theory: error: {' '.join(message.split())}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
