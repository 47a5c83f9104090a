"""The command ``train``: SAEs of several widths on one manifold, and their loss curve."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling_theory._cli_output import finite, json_option
from scaling_theory._cli_types import Count, Counts
from scaling_theory.measured import FEWEST

if TYPE_CHECKING:  # loads torch
    from scaling_theory.measured import MeasuredCurve
    from scaling_theory.sae.architectures import Architecture
    from scaling_theory.sae.data import Data

#: Choice -> options that it takes; those that it can't do without.
_MANIFOLDS = {
    "sphere": ("dimension", "radius"),
    "circle": ("radius",),
    "shell": ("dimension", "inner", "outer", "radius_law"),
    "points": (),
}
_ARCHITECTURES = {
    "relu": ("l1",),
    "topk": ("k", "auxk"),
    "jumprelu": ("l0", "bandwidth", "threshold"),
    "tanh-jumprelu": ("sparsity", "tanh_scale", "pre_activation", "bandwidth", "threshold"),
}
_NEEDED = {"sphere": "dimension", "shell": "dimension", "topk": "k", "jumprelu": "l0"}

_COLUMNS = ["width", "seed", "loss", "stderr", "l0", "fvu", "dead", "duplicates", "seconds"]

_OPTIONS = (
    click.option(
        "--manifold",
        type=click.Choice(list(_MANIFOLDS)),
        required=True,
        help="What inputs are on. points: one point, a discrete feature.",
    ),
    click.option("--dimension", type=Count(), help="Sphere, shell: d of the space around it."),
    click.option("--radius", type=float, help="Sphere, circle. [default: 1]"),
    click.option("--inner", type=float, help="Shell: least radius. [default: 0.5]"),
    click.option("--outer", type=float, help="Shell: largest radius. [default: 2]"),
    click.option(
        "--radius-law",
        type=click.Choice(["radius", "volume"]),
        help="Shell: uniform in the radius or in the volume. [default: radius]",
    ),
    click.option(
        "--architecture",
        type=click.Choice(list(_ARCHITECTURES)),
        default="relu",
        show_default=True,
    ),
    click.option("--l1", type=float, help="relu: weight of the penalty. [default: 0.1]"),
    click.option("--k", type=Count(), help="topk: latents that fire."),
    click.option(
        "--auxk", type=Count(), help="topk: dead latents in the auxiliary loss. [default: 0]"
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
    architecture: str,
    widths: list[int],
    store: Path | None,
    output: Path | None,
    as_json: bool,
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
    sizes = _taken("--manifold", manifold, _MANIFOLDS, given)
    weights = _taken("--architecture", architecture, _ARCHITECTURES, given)
    if output is not None:
        with output.open("a"):  # fail before the work, not after it
            pass

    from scaling_theory.sae.sweep import SweepFailed, train_widths

    rows: list[dict[str, Any]] = []
    runs, curve, failed, stopped = None, None, "", False
    try:
        runs = train_widths(
            _manifold(manifold, sizes),
            widths,
            _architecture(architecture, weights),
            store=store,
            keep_weights=store is not None,
            on_row=rows.append,
            **given,
        )
        rows = [dict(row) for row in runs.rows]
    except ValueError as error:
        raise click.UsageError(_as_option(str(error), {**given, **sizes, **weights})) from error
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


def _taken(
    option: str, choice: str, choices: dict[str, tuple[str, ...]], given: dict[str, Any]
) -> dict[str, Any]:
    """Take the options of a choice out of those given; refuse those of other choices."""
    every = {name for names in choices.values() for name in names}
    values = {name: given.pop(name) for name in every}
    values = {name: value for name, value in values.items() if value is not None}
    for name in sorted(values):
        if name not in choices[choice]:
            takers = " or ".join(c for c, names in choices.items() if name in names)
            raise click.UsageError(
                f"{_dashed(name)} is of {option} {takers}, got {option} {choice}"
            )
    if choice in _NEEDED and _NEEDED[choice] not in values:
        raise click.UsageError(f"{option} {choice} needs {_dashed(_NEEDED[choice])}")
    return values


def _manifold(name: str, values: dict[str, Any]) -> Data:
    from scaling_theory.sae import manifolds

    if name == "shell":
        named = {"law" if key == "radius_law" else key: value for key, value in values.items()}
        return manifolds.Shell(**named)
    if name == "circle":
        return manifolds.Circle(**values)
    return manifolds.Sphere(**values) if name == "sphere" else manifolds.Points()


def _architecture(name: str, values: dict[str, Any]) -> Architecture:
    from scaling_theory.sae import architectures

    kinds: dict[str, type[Architecture]] = {
        "relu": architectures.ReLU,
        "topk": architectures.TopK,
        "jumprelu": architectures.JumpReLU,
        "tanh-jumprelu": architectures.TanhJumpReLU,
    }
    return kinds[name](**values)


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


def _as_option(message: str, names: dict[str, Any]) -> str:
    """Say --batch-size where the library says batch_size."""
    name, space, rest = message.partition(" ")
    name = "radius_law" if name == "law" else name
    return _dashed(name) + space + rest if name in {*names, "widths", "store"} else message


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")
