"""The command ``frequencies``: what the firing frequencies of an SAE's latents say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling_theory._cli_output import json_option, print_values
from scaling_theory._cli_types import Count

if TYPE_CHECKING:
    from scaling_theory.fitting.frequencies import FrequencyFit


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--column", help="Column of a CSV file with a header. [default: frequency, or the only one]"
)
@click.option("--log10", is_flag=True, help="The data are log10(frequency + 1e-10).")
@click.option(
    "--ranks",
    nargs=2,
    type=Count(),
    default=(100, 10_000),
    show_default=True,
    help="First and last rank of the slope.",
)
@click.option(
    "--samples", type=Count(), help="Tokens that firing was counted on: corrects for that noise."
)
@click.option(
    "--kind",
    type=click.Choice(["auto", "continuous", "discrete", "poisson"]),
    default="auto",
    show_default=True,
    help="How the tail is fitted. auto: poisson with --samples, otherwise continuous.",
)
@click.option("--xmin", type=float, help="Frequency where the tail begins. [default: found]")
@click.option("--compare", is_flag=True, help="Compare the tail with other laws.")
@click.option("--level", type=float, default=0.95, show_default=True, help="Of the intervals.")
@click.option(
    "--replicates",
    type=Count(),
    default=100,
    show_default=True,
    help="Synthetic data sets for the tail's p-value; 0 for none.",
)
@click.option("--seed", type=Count(), default=0, show_default=True, help="Of the p-value.")
@json_option
def frequencies(
    data: Path, column: str | None, log10: bool, compare: bool, as_json: bool, **given: Any
) -> None:
    """Slope, tail and noise of the firing frequencies in DATA: a CSV, text or .npy file.

    slope: of ln frequency against ln rank, least squares between the two ranks. by_rank: the same
    by maximum likelihood. corrected: without the noise of counting (with --samples). exponent: of
    the tail's density, by maximum likelihood, from the frequency tail_begins on. p_value: of that
    tail being a power law; below 0.1 it is ruled out. The first table says what the slope would say
    of features: if latents were features, 1 + alpha = -slope; or read as alpha = -slope.
    pathological_below: the beta below which SAEs on such features scale pathologically.
    """
    values = _read(data, column)
    if log10:
        import numpy as np

        # rounding of the logarithm leaves a dead latent within 1e-15 of 0
        values = 10.0 ** np.asarray(values) - 1e-10
        values = np.where(np.abs(values) < 1e-15, 0.0, values)
    from scaling_theory.fitting.frequencies import compare_tails, fit_frequencies

    try:
        fit = fit_frequencies(values, progress=sys.stderr.isatty(), **given)
        others = compare_tails(fit.tail) if compare else None
    except ValueError as error:
        raise click.UsageError(_as_option(str(error))) from error
    shown = _values(fit)
    shown["readings"] = fit.readings().to_dict("records")
    shown["stretches"] = fit.by_rank.stretches.to_dict("records")
    if others is not None:
        kept = ["law", "ratio", "normalised", "p_vuong", "p_nested", "aic", "verdict"]
        shown["comparison"] = others[kept].to_dict("records")
    print_values(shown, as_json)


def _values(fit: FrequencyFit) -> dict[str, Any]:
    tail = fit.tail
    values: dict[str, Any] = {
        "slope": fit.slope,
        "by_rank": -fit.by_rank.spacing_exponent,
    }
    low, high = fit.by_rank.spacing_interval
    intervals = {"slope": list(fit.interval), "by_rank": [-high, -low]}
    if fit.corrected is not None:
        values |= {
            "corrected": fit.corrected.slope,
            "noise_bias": fit.corrected.bias,
            "corrected_from": fit.corrected.ranks[0],
            "corrected_to": fit.corrected.ranks[1],
        }
        intervals["corrected"] = list(fit.corrected.interval)
    values |= {
        "exponent": tail.exponent,
        "tail_begins": fit.tail_begins,
        "tail_latents": tail.tail,
        "tail_kind": tail.kind,
        "tail_status": tail.status,
    }
    intervals["exponent"] = list(tail.interval)
    if fit.goodness is not None:
        values |= {"p_value": fit.goodness.p_value, "p_value_error": fit.goodness.error}
    return values | {
        "intervals": intervals,
        "latents": fit.latents,
        "alive": fit.alive,
        "dead": fit.dead,
        "ties": fit.ties,
        "p_straight": fit.by_rank.p_straight,
        "level": fit.level,
        "status": fit.status,
        "message": fit.message,
    }


def _read(path: Path, column: str | None) -> Any:
    """Read a column of numbers; nothing is unpickled."""
    if not path.is_file():
        raise click.UsageError(f"DATA must be a file, got {str(path)!r}")
    import numpy as np
    import pandas as pd

    suffix = path.suffix.lower()
    if suffix != ".csv" and column is not None:
        raise click.UsageError(f"--column is for CSV files, got {path.name}")
    try:
        if suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if suffix != ".csv":
            return np.loadtxt(path, ndmin=1)
        table = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError) as error:
        raise click.UsageError(f"{path} is not readable as numbers: {error}") from None
    if column is None:
        column = table.columns[0] if len(table.columns) == 1 else "frequency"
    if column not in table:
        raise click.UsageError(
            f"--column must name a column among {list(table.columns)}, got {column!r}"
        )
    try:
        return pd.to_numeric(table[column]).to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"column {column!r} must hold numbers: {error}") from None


def _as_option(message: str) -> str:
    """Say --ranks where the library says ranks."""
    name, space, rest = message.partition(" ")
    if name in ("ranks", "samples", "level", "replicates", "seed", "xmin", "kind"):
        return f"--{name}{space}{rest}"
    if name == "tail":
        return f"--compare: {message}"
    return message
