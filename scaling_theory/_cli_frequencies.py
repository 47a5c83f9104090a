"""The command ``frequencies``: what the firing frequencies of an SAE's latents say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling_theory import _validate
from scaling_theory._cli_files import hint_of_frequencies, numbers_of
from scaling_theory._cli_output import json_option, print_values
from scaling_theory._cli_types import Count

if TYPE_CHECKING:
    import numpy.typing as npt

    from scaling_theory.fitting.frequencies import FrequencyFit


class _Command(click.Command):
    """Takes --ranks 10,1000 and --ranks 10:1000 besides two words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse."""
        return super().parse_args(ctx, _two_words(args))


def _two_words(args: list[str]) -> list[str]:
    """Split the value of --ranks where it is one word of two numbers."""
    out: list[str] = []
    for i, word in enumerate(args):
        given = word.removeprefix("--ranks=")
        if given == word and (i == 0 or args[i - 1] != "--ranks"):
            out.append(word)
            continue
        ends = re.split("[,:]", given)
        if len(ends) == 2 and all(ends):
            out += ["--ranks", *ends] if given != word else ends
        else:
            out.append(word)
    return out


@click.command(cls=_Command)
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--column", help="Column of a CSV file with a header. [default: frequency, or the only one]"
)
@click.option(
    "--key", help="Entry of an .npz or .safetensors file. [default: frequency, or the only one]"
)
@click.option("--log10", is_flag=True, help="The data are log10(frequency + 1e-10).")
@click.option(
    "--ranks",
    nargs=2,
    type=Count(),
    help="First and last rank of the slope: 10 1000, or 10,1000. [default: 100 to 10,000, or to "
    "the last latent that fires; from a tenth of them if fewer than 1,000 do]",
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
    data: Path,
    column: str | None,
    key: str | None,
    log10: bool,
    compare: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Slope, tail and noise of the firing frequencies in DATA.

    DATA is a CSV file, a text file, .npy, .npz, .safetensors, or the folder or file of a published
    SAE that comes with frequencies (SAELens). SAELens's sparsity.safetensors holds log10(f + 1e-10)
    and is read as that.

    slope: of ln frequency against ln rank, least squares between the two ranks. by_rank: the same
    by maximum likelihood. corrected: without the noise of counting (with --samples). exponent: of
    the tail's density, by maximum likelihood, from the frequency tail_begins on. p_value: of that
    tail being a power law; below 0.1 it is ruled out. The first table says what the slope would say
    of features: if latents were features, 1 + alpha = -slope; or read as alpha = -slope.
    pathological_below: the beta below which SAEs on such features scale pathologically.
    """
    if given["samples"] is not None:
        _validate.whole("--samples", given["samples"], low=1)
    poisson = given["kind"] == "poisson" or (given["kind"] == "auto" and given["samples"])
    if compare and poisson:
        implies = "" if given["kind"] == "poisson" else "; --samples implies poisson"
        raise click.UsageError(f"--compare needs --kind continuous or discrete{implies}")
    read = numbers_of("DATA", data, column=column, key=key, log10=log10)
    from scaling_theory.fitting.frequencies import compare_tails, fit_frequencies

    try:
        fit = fit_frequencies(read.values, progress=sys.stderr.isatty(), **given)
        others = compare_tails(fit.tail) if compare else None
    except ValueError as error:
        raise click.UsageError(_as_option(str(error), read.values, data)) from error
    shown = _values(fit)
    if read.note:
        shown["note"] = read.note
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
        "slope_from": fit.ranks[0],
        "slope_to": fit.ranks[1],
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


def _as_option(message: str, values: npt.NDArray[Any], data: Path) -> str:
    """Say --ranks where the library says ranks, and DATA where it says freq."""
    name, space, rest = message.partition(" ")
    if name in ("ranks", "samples", "level", "replicates", "seed", "xmin", "kind"):
        return f"--{name}{space}{rest}"
    if name == "freq":
        rest = rest.replace("got freq[", f"got {data.name}[")
        return f"DATA {rest}{hint_of_frequencies(values)}"
    if name == "tail":
        return f"--compare: {message}"
    return message
