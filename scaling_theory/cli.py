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
import numpy as np

import scaling_theory as st
from scaling_theory._cli_types import Count, Counts, Ranks
from scaling_theory.figures import reproduce
from scaling_theory.scaling import scaling_rows

_PROBLEM_OPTIONS = (
    click.option("--alpha", type=float, required=True, help="Frequencies p_i ~ i^-(1+alpha)."),
    click.option(
        "--beta",
        type=float,
        help="Manifolds: loss (n+shift)^-beta. [default: no manifolds, all features discrete]",
    ),
    click.option(
        "--shift",
        type=float,
        default=1.0,
        show_default=True,
        help="Shift of the manifolds' law; 0 for the paper's n^-beta.",
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
        help="Only this share of the features, drawn at random, are manifolds.",
    ),
    click.option(
        "--residual", type=float, help="Loss of a discovered discrete feature. [default: 0]"
    ),
    click.option(
        "--seed",
        type=Count(),
        default=0,
        show_default=True,
        help="Of the draw with --manifold-share.",
    ),
)


def _problem(command: Any) -> Any:
    """Attach the options that state a population."""
    for option in reversed(_PROBLEM_OPTIONS):
        command = option(command)
    return command


def _population(
    alpha: float,
    beta: float | None,
    shift: float,
    features: int | None,
    manifold_ranks: list[int] | None,
    manifold_share: float | None,
    residual: float | None,
    seed: int,
) -> st.Population:
    frequencies = st.PowerLawFrequencies(alpha, count=features)
    if manifold_ranks is not None and manifold_share is not None:
        raise click.UsageError("give at most one of --manifold-ranks and --manifold-share")
    some = manifold_ranks is not None or manifold_share is not None
    if some and beta is None:
        raise click.UsageError("--manifold-ranks and --manifold-share need --beta")
    if residual is not None and beta is not None and not some:
        raise click.UsageError(
            "--residual is of discrete features, but with --beta alone all are manifolds"
        )
    discrete = st.DiscreteCurve(residual or 0.0)
    if beta is None:
        return st.Population(frequencies, discrete, label="discrete")
    manifold = st.PowerLawCurve(beta=beta, shift=shift)
    if manifold_ranks is not None:
        return st.Population(
            frequencies, discrete, ranks={tuple(manifold_ranks): manifold}, label="discrete"
        )
    if manifold_share is not None:
        groups = {
            "manifold": (manifold_share, manifold),
            "discrete": (1.0 - manifold_share, discrete),
        }
        return st.Population.mixture(frequencies, groups, seed)
    return st.Population(frequencies, manifold, label="manifold")


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(st.__version__, prog_name="scaling-theory")
def app() -> None:
    """How a model with N units of capacity spends them."""


@app.command()
@click.option(
    "--alpha", type=float, required=True, help="Frequencies p_i ~ i^-(1+alpha), greater than 0."
)
@click.option(
    "--beta", type=float, required=True, help="Every feature: loss (1+n)^-beta, greater than 0."
)
@_JSON
def regime(alpha: float, beta: float, as_json: bool) -> None:
    """Regime, exponents and leading constants, in closed form."""
    said = st.predict(alpha=alpha, beta=beta)
    keys = (
        "regime", "alpha", "beta", "loss_exponent", "discovery_exponent", "loss_constant",
        "discovery_constant",
    )  # fmt: skip
    _print({key: getattr(said, key) for key in keys}, as_json)


@app.command()
@_problem
@click.option("--latents", type=Count(), required=True, help="Budget N, up to 1e15.")
@_JSON
def allocate(latents: int, as_json: bool, **problem: Any) -> None:
    """Solve one allocation exactly."""
    if latents > 10**13 and sys.stderr.isatty():
        about = 5.0 * (latents / 1e15) ** 0.5  # seconds at alpha = beta, the slowest case
        click.echo(f"solving: a few seconds (up to about {about:.0f} s)", err=True)
    at = st.allocate(_population(**problem), latents)
    keys = (
        "latents", "total", "idle", "discovered", "loss", "excess_loss", "price", "gap", "status",
        "seconds",
    )  # fmt: skip
    _print({key: getattr(at, key) for key in keys}, as_json)
    if not as_json and len(at.population.labels) > 1:
        groups = at.by_group().to_string(index=False, float_format="{:.6g}".format)
        click.echo(f"\n{groups}")


@app.command()
@_problem
@click.option(
    "--latents",
    type=Counts(),
    default="1e2:1e8:25",
    show_default=True,
    help="Budgets: 100 or 4:1024 (doubling) or 1e2:1e8:25 (log scale).",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a CSV file here instead of a table.",
)
@_JSON
def simulate(latents: list[int], output: Path | None, as_json: bool, **problem: Any) -> None:
    """Loss, discovery and local slopes over a range of budgets.

    Ctrl-C prints or writes the rows that are done.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    population = _population(**problem)
    stopped = False
    try:
        for row in scaling_rows(population, latents, progress=sys.stderr.isatty()):
            rows.append(row)
    except KeyboardInterrupt:
        stopped = True
    table = pd.DataFrame(rows)
    if output is not None:
        table.to_csv(output, index=False)
        click.echo(f"{len(rows)} rows written to {output}")
    elif as_json:
        click.echo(json.dumps(rows))
    else:
        click.echo(table.to_string(index=False, float_format="{:.6g}".format))
    if stopped:
        raise KeyboardInterrupt


@app.command()
@click.argument("data")
@click.option("--n", "n_column", default="n", show_default=True, help="Column of the widths.")
@click.option(
    "--loss", "loss_column", default="loss", show_default=True, help="Column of the losses."
)
@click.option(
    "--where", multiple=True, metavar="COLUMN=VALUE", help="Keep matching rows only; repeatable."
)
@click.option("--floor", default="free", show_default=True, help="free, zero, or a number.")
@click.option("--level", type=float, default=0.95, show_default=True, help="Of the intervals.")
@click.option("--seed", type=Count(), default=0, show_default=True, help="Of the bootstrap.")
@_JSON
def fit(
    data: str,
    n_column: str,
    loss_column: str,
    where: Sequence[str],
    floor: str,
    level: float,
    seed: int,
    as_json: bool,
) -> None:
    """Fit loss = scale n^-exponent + floor to DATA: a CSV file or a built-in data set.

    Built-in: oneill2024_table2 (with --loss normalised_mse --where corpus=astro-ph --where k=16).
    """
    table = _table(data)
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals or column not in table:
            raise click.UsageError(
                f"--where takes COLUMN=VALUE with a column among {list(table.columns)}, "
                f"got {condition!r}"
            )
        table = table[table[column].map(lambda cell, v=value: _same(cell, v))]
    for option, column in (("--n", n_column), ("--loss", loss_column)):
        if column not in table:
            raise click.UsageError(
                f"{option} must name a column among {list(table.columns)}, got {column!r}"
            )
    given: Any = floor
    if floor not in ("free", "zero"):
        try:
            given = float(floor)
        except ValueError:
            raise click.UsageError(
                f"--floor must be free, zero or a number, got {floor!r}"
            ) from None
    found = st.fit_power_law(
        _numbers(table, n_column), _numbers(table, loss_column), floor=given, level=level, seed=seed
    )
    _print(
        {
            "exponent": found.exponent,
            "scale": found.scale,
            "floor": found.floor,
            "intervals": {name: list(ends) for name, ends in found.intervals.items()},
            "status": found.status,
        },
        as_json,
    )


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
    """Make every figure: SVG and PNG, the CSV it is drawn from, and a JSON that says how."""
    command = " ".join(
        ["scaling-theory reproduce", *(f"--only {o}" for o in only), f"--preset {preset}"]
    )
    reproduce(
        output,
        only,
        preset,
        command,
        progress=sys.stderr.isatty(),
        on_done=lambda name, seconds: click.echo(f"{output / name}.*  {seconds:.1f} s", err=True),
    )


def main() -> None:
    """Run the command line; errors are one line and exit code 2."""
    try:
        app.main(standalone_mode=False, prog_name="scaling-theory")
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message())
    except (ValueError, OSError) as error:
        _fail(str(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("scaling-theory: stopped", err=True)
        sys.exit(130)


def _fail(message: str) -> None:
    click.echo(f"scaling-theory: error: {' '.join(message.split())}", err=True)
    sys.exit(2)


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({key: _finite(value) for key, value in values.items()}))
        return
    for key, value in values.items():
        if isinstance(value, dict):
            for name, ends in value.items():
                click.echo(f"{name} interval".ljust(20) + "  ".join(f"{e:.6g}" for e in ends))
        elif isinstance(value, float):
            click.echo(key.ljust(20) + f"{value:.10g}")
        else:
            click.echo(key.ljust(20) + (f"{value:,}" if isinstance(value, int) else str(value)))


def _finite(value: Any) -> Any:
    """JSON has no infinity: null stands for an open end."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(data: str) -> Any:
    import pandas as pd

    if data in st.datasets.names():
        return st.datasets.load(data)
    path = Path(data)
    if not path.is_file():
        raise click.UsageError(
            f"DATA must be a CSV file or one of {', '.join(st.datasets.names())}, got {data!r}"
        )
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{data} is not a readable CSV file: {error}") from None


def _numbers(table: Any, column: str) -> Any:
    import pandas as pd

    try:
        return pd.to_numeric(table[column]).to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"column {column!r} must hold numbers: {error}") from None


def _same(cell: Any, value: str) -> bool:
    try:
        return float(cell) == float(value)
    except ValueError:
        return str(cell) == value


if __name__ == "__main__":
    main()
