"""The command ``train``: SAEs of several widths on one manifold, and their loss curve."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling_theory._cli_kinds import (
    ARCHITECTURES,
    MANIFOLDS,
    OPTIONS,
    architecture_of,
    as_option,
    manifold_of,
    taken,
)
from scaling_theory._cli_output import finite, json_option
from scaling_theory._cli_types import Count, Counts
from scaling_theory.measured import FEWEST

if TYPE_CHECKING:  # loads torch
    from scaling_theory.measured import MeasuredCurve

_COLUMNS = ["width", "seed", "loss", "stderr", "l0", "fvu", "dead", "duplicates", "seconds"]


_OPTIONS = (
    *OPTIONS,
    click.option(
        "--widths",
        type=Counts(),
        required=True,
        help="Numbers of latents: 64 or 1,10,100 or 4:1024 (doubling) or 4:1024:5 (log scale).",
    ),
    click.option("--seeds", type=Count(), default=1, show_default=True, help="Runs of each width."),
    click.option("--steps", type=Count(), default=12_000, show_default=True),
    click.option("--batch-size", type=Count(), default=2048, show_default=True),
    click.option("--learning-rate", type=float, default=1e-3, show_default=True, help="Of Adam."),
    click.option(
        "--store",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder that keeps rows, weights and runs in progress: the same command goes on.",
    ),
    click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ..."
    ),
    click.option(
        "--backend",
        metavar="NAME",
        help="Train in other processes: loky for some of this machine, dask for the workers of "
        "--scheduler, or another that joblib knows. Needs the extra cluster.",
    ),
    click.option("--workers", type=Count(), help="loky: processes. [default: one a core]"),
    click.option("--scheduler", metavar="ADDRESS", help="dask: its scheduler, tcp://host:8786."),
    click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write a CSV file here instead of a table.",
    ),
)


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_options
@json_option
def train(
    manifold: str,
    intensity: tuple[float, float] | None,
    architecture: str,
    widths: list[int],
    store: Path | None,
    output: Path | None,
    as_json: bool,
    scheduler: str | None,
    **given: Any,
) -> None:
    """Train SAEs of several widths on a manifold, and read their loss curve.

    loss: reconstruction and penalty on fresh samples, with its standard error. l0: latents that
    fire on an input. fvu: share of the variance that is not explained. From 4 widths on, three
    exponents with intervals at a level of 0.95: raw, the slope of ln loss; excess, over a fitted
    floor; gain, of -dL/dn, from which the theory's beta = gain - 1. Ctrl-C prints or writes the
    runs that are done; with --store the same command goes on from there.
    """
    if output is not None and as_json:
        raise click.UsageError("give at most one of --output and --json")
    sizes = taken("--manifold", manifold, MANIFOLDS, given)
    weights = taken("--architecture", architecture, ARCHITECTURES, given)
    if output is not None:
        with output.open("a"):  # fail before the work, not after it
            pass

    from scaling_theory.sae.sweep import SweepFailed, train_widths

    rows: list[dict[str, Any]] = []
    runs, curve, failed, stopped = None, None, "", False
    try:
        with _client(given["backend"], scheduler):
            runs = train_widths(
                manifold_of(manifold, sizes, intensity),
                widths,
                architecture_of(architecture, weights),
                store=store,
                keep_weights=store is not None,
                on_row=rows.append,
                **given,
            )
        rows = [dict(row) for row in runs.rows]
    except ImportError as error:
        raise click.UsageError(str(error)) from error
    except ValueError as error:
        raise click.UsageError(as_option(str(error), {**given, **sizes, **weights})) from error
    except SweepFailed as error:
        failed = str(error)
    except KeyboardInterrupt:
        stopped = True
    if runs is not None:
        try:
            curve = runs.curve()
        except ValueError as error:
            failed = str(error)
    _report(rows, curve, output, as_json)
    if failed:
        click.echo(f"scaling-theory: error: {failed}", err=True)
        sys.exit(1)
    if stopped:
        done = f"{len(rows)} of {len(set(widths)) * given['seeds']} runs are done"
        then = (
            "; --store keeps what is done"
            if store is None
            else f" and kept in {store}: the same command goes on from there"
        )
        click.echo(f"scaling-theory: {done}{then}", err=True)
        raise KeyboardInterrupt


@contextlib.contextmanager
def _client(backend: str | None, scheduler: str | None) -> Iterator[None]:
    """Connect to Dask's scheduler for a while, where one is named."""
    if (backend == "dask") != (scheduler is not None):
        raise click.UsageError(
            f"--backend dask and --scheduler ADDRESS go together, got --backend {backend} and "
            f"--scheduler {scheduler}"
        )
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise click.UsageError(
            "--backend dask needs pip install 'scaling-theory[cluster]'"
        ) from error
    try:
        client = Client(scheduler)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--scheduler {scheduler} can't be reached: {error}") from error
    with client:
        yield


def _report(
    rows: list[dict[str, Any]], curve: MeasuredCurve | None, output: Path | None, as_json: bool
) -> None:
    """Print what is done; there is no curve where that is not everything."""
    import pandas as pd

    found = None if curve is None or curve.n.size <= FEWEST else _exponents(curve)
    if as_json:
        points = None if curve is None else json.loads(curve.to_json())
        click.echo(json.dumps(finite({"runs": rows, "curve": points, "exponents": found})))
        return
    table = pd.DataFrame(rows)
    if output is not None:
        table.to_csv(output, index=False)
        click.echo(f"{len(rows)} rows written to {output}")
    elif rows:
        click.echo(table[_COLUMNS].to_string(index=False, float_format="{:.6g}".format))
    if found is None:
        if curve is not None:
            click.echo(f"exponents: from {FEWEST} widths on")
        return
    click.echo("")
    if "message" in found:
        click.echo(f"exponents: {found['message']}")
    for name in ("raw", "excess", "gain"):
        if name in found:
            one = found[name]
            low, high = one["interval"]
            ok = one["status"] == "ok"
            shown = f"{one['value']:.4g}  [{low:.4g}, {high:.4g}]" + "  " * (not ok)
            click.echo(name.ljust(8) + shown + ("" if ok else f"{one['status']}: {one['message']}"))


def _exponents(curve: MeasuredCurve) -> dict[str, Any]:
    try:
        found = curve.exponents()
    except ValueError as error:  # a loss of 0 has no logarithm
        return {"message": str(error)}
    keys = ("value", "interval", "status", "message")
    named = {"raw": found.raw, "excess": found.excess, "gain": found.gain}
    return {
        "level": found.level,
        **{name: {key: getattr(one, key) for key in keys} for name, one in named.items()},
    }
