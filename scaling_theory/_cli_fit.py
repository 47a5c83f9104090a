"""The command ``fit``: laws of loss against n, which of them fits, and how well it predicts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from scaling_theory._cli_files import (
    LOSSES,
    WIDTHS,
    column_of,
    guessed,
    hint_of_rising,
    loss_of,
    table_of,
)
from scaling_theory._cli_output import finite, json_option, print_table, print_values
from scaling_theory._cli_types import Count, Counts
from scaling_theory._validate import Floats
from scaling_theory.fitting import compare_laws, fit_law, fit_power_law, laws, leave_largest

if TYPE_CHECKING:
    import pandas as pd

#: Columns of the comparison that people see; JSON has all.
_COMPARED = [
    "law", "parameters", "aicc", "delta", "weight", "holdout", "exponent", "exponent_low",
    "exponent_high", "floor", "status",
]  # fmt: skip


#: Arguments of the library whose options have their name.
_OPTIONS = ("n", "loss", "level", "huber", "floor", "seed")


@click.command()
@click.argument("data")
@click.option("--n", "n_column", help=f"Column of the widths. [default: {', '.join(WIDTHS)}]")
@click.option("--loss", "loss_column", help=f"Column of the losses. [default: {', '.join(LOSSES)}]")
@click.option(
    "--explained",
    is_flag=True,
    help="That column holds shares of explained variance: the loss is 1 minus it.",
)
@click.option(
    "--where", multiple=True, metavar="COLUMN=VALUE", help="Keep matching rows only; repeatable."
)
@click.option("--floor", help="free, zero, or a number. [default: free]")
@click.option(
    "--law",
    type=click.Choice(laws.names()),
    metavar="NAME",
    help=f"Another law: {', '.join(laws.names())}.",
)
@click.option("--compare", is_flag=True, help="Fit all laws, and rank them.")
@click.option("--huber", type=float, help="Huber's loss: squares up to this error of ln loss.")
@click.option(
    "--leave-largest",
    type=Counts(),
    metavar="K",
    help="How well a power law without the K largest n predicted them; 1,2,3 for several. "
    "With --compare: how many n are held out. [default: a third]",
)
@click.option(
    "--band", type=Counts(), metavar="N1,N2,...", help="Also the law at these n, with intervals."
)
@click.option("--level", type=float, default=0.95, show_default=True, help="Of the intervals.")
@click.option("--seed", type=Count(), help="Of the bootstrap. [default: 0]")
@json_option
def fit(
    data: str,
    n_column: str | None,
    loss_column: str | None,
    explained: bool,
    where: Sequence[str],
    law: str | None,
    compare: bool,
    leave_largest: list[int] | None,
    band: list[int] | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Fit loss = scale n^-exponent + floor to DATA: a CSV file or a built-in data set.

    Errors are taken as proportional to the loss; intervals are profile intervals, and of the power
    law also bootstrap intervals. --compare: laws with a delta below 2 fit equally well; holdout is
    the mean error of ln loss at the largest n, of the law fitted without them. --leave-largest:
    error is ln(loss / predicted), inside whether the loss was between low and high. --band: low and
    high are of the law, measured_low and measured_high of a further measurement. Built-in data:
    oneill2024_table2 (with --loss normalised_mse --where corpus=astro-ph --where k=16) and
    gpt2_layer8_widths (with --n width --loss variance_explained --explained).
    """
    given = {name: value for name, value in given.items() if value is not None}
    _refuse(law, compare, leave_largest, band, given)
    table = table_of("DATA", data, where)
    width, column = guessed(table, WIDTHS, n_column), guessed(table, LOSSES, loss_column)
    n = column_of(table, "--n", width)
    loss = loss_of(table, "--loss", column, explained)
    notes = [
        f"{option} is the column {found}"
        for option, found, named in (("--n", width, n_column), ("--loss", column, loss_column))
        if named is None and option != f"--{found}"
    ]
    hint = hint_of_rising(n, loss, explained)
    notes += [hint] * bool(hint)
    if "floor" in given:
        given["floor"] = _floor(given["floor"])
    try:
        if compare:
            held_out = None if leave_largest is None else leave_largest[0]
            bar = sys.stderr.isatty()
            ranked = compare_laws(n, loss, drop=held_out, progress=bar, **given)
            _compared(ranked, as_json, notes)
        elif leave_largest is not None:
            _left_out(n, loss, leave_largest, given, as_json, notes)
        elif law is not None:
            _law(n, loss, law, band, given, as_json, notes)
        else:
            _power_law(n, loss, band, given, as_json, notes)
    except ValueError as error:
        raise click.UsageError(_as_option(str(error))) from error


def _refuse(
    law: str | None,
    compare: bool,
    leave_largest: list[int] | None,
    band: list[int] | None,
    given: dict[str, Any],
) -> None:
    """Refuse options that would be without effect."""
    if compare and law is not None:
        raise click.UsageError(f"--compare fits all laws: give no --law, got --law {law!r}")
    if law is not None and leave_largest is not None:
        raise click.UsageError("--leave-largest is of the power law: give no --law")
    if compare and leave_largest is not None and len(leave_largest) != 1:
        raise click.UsageError(
            f"--leave-largest must be one number with --compare, got {leave_largest}"
        )
    if "floor" in given and (compare or law is not None):
        raise click.UsageError(
            f"--floor is of the power law without --law and --compare, got {given['floor']!r}: "
            "names of laws say which have one"
        )
    if band is not None and (compare or leave_largest is not None):
        raise click.UsageError("--band is of one fit: give no --compare and no --leave-largest")
    if "seed" in given and (compare or law is not None or leave_largest is not None):
        raise click.UsageError("--seed is of the bootstrap, which only the power law has here")


def _power_law(
    n: Floats,
    loss: Floats,
    band: list[int] | None,
    given: dict[str, Any],
    as_json: bool,
    notes: list[str],
) -> None:
    found = fit_power_law(n, loss, **given)
    values: dict[str, Any] = {
        "exponent": found.exponent,
        "scale": found.scale,
        "floor": found.floor,
        "intervals": {name: list(ends) for name, ends in found.intervals.items()},
    }
    bootstrap = {name: list(ends) for name, ends in found.bootstrap_intervals.items()}
    if as_json:
        values["bootstrap_intervals"] = bootstrap
    else:
        for name, ends in bootstrap.items():
            values[f"{name} bootstrap"] = "  ".join(f"{end:.6g}" for end in ends)
    values |= {
        "status": found.status,
        "message": found.message,
        "points": found.n_points,
        "level": found.level,
    }
    if found.huber is not None:
        values["huber"] = found.huber
    if band is not None:
        at = _sizes(band)
        low, high = found.band(at)
        least, most = found.prediction(at)
        columns = (band, found.predict(at), low, high, least, most)
        names = ("n", "law", "low", "high", "measured_low", "measured_high")
        values["band"] = _rows(names, columns)
    _show(values, as_json, notes)


def _law(
    n: Floats,
    loss: Floats,
    law: str,
    band: list[int] | None,
    given: dict[str, Any],
    as_json: bool,
    notes: list[str],
) -> None:
    found = fit_law(n, loss, law, **given)
    values: dict[str, Any] = {
        "law": found.law.name,
        **found.estimates,
        "intervals": {name: list(ends) for name, ends in found.intervals.items()},
    }
    if found.exponent is not None and "exponent" not in found.estimates:
        values["exponent"] = found.exponent[0]
        values["intervals"]["exponent"] = list(found.exponent[1:])
    values |= {
        "aic": found.aic,
        "aicc": found.aicc,
        "bic": found.bic,
        "status": found.status,
        "message": found.message,
        "points": found.n_points,
        "level": found.level,
    }
    if found.huber is not None:
        values["huber"] = found.huber
    if band is not None:
        values["band"] = _rows(("n", "law", "low", "high"), (band, *found.band(_sizes(band))))
    _show(values, as_json, notes)


def _show(values: dict[str, Any], as_json: bool, notes: list[str]) -> None:
    print_values(values | {"notes": notes} if as_json else values, as_json)
    if not as_json:
        _print_notes(notes)


def _print_notes(notes: list[str]) -> None:
    if notes:
        click.echo("\n" + "\n".join(f"note: {note}" for note in notes))


def _compared(table: pd.DataFrame, as_json: bool, notes: list[str]) -> None:
    message, held_out = table.attrs["message"], table.attrs["dropped"]
    if as_json:
        said = {
            "message": message,
            "indistinguishable": list(table.attrs["indistinguishable"]),
            "held_out": held_out,
            "laws": table.to_dict("records"),
            "notes": notes,
        }
        click.echo(json.dumps(finite(said)))
        return
    print_table(table[_COMPARED])
    click.echo(f"\n{message}\nholdout: the {held_out} largest n.")
    _print_notes(notes)


def _left_out(
    n: Floats,
    loss: Floats,
    dropped: list[int],
    given: dict[str, Any],
    as_json: bool,
    notes: list[str],
) -> None:
    table = leave_largest(n, loss, dropped, **given)
    if as_json:
        click.echo(json.dumps(finite({"left_out": table.to_dict("records"), "notes": notes})))
        return
    print_table(table)
    _print_notes(notes)


def _rows(names: Sequence[str], columns: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {name: v if isinstance(v, int) else float(v) for name, v in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


def _sizes(band: list[int]) -> list[float]:
    if min(band) < 1:
        raise click.UsageError(f"--band must hold whole numbers of at least 1, got {min(band)}")
    return [float(n) for n in band]


def _floor(floor: str) -> str | float:
    if floor in ("free", "zero"):
        return floor
    try:
        return float(floor)
    except ValueError:
        raise click.UsageError(f"--floor must be free, zero or a number, got {floor!r}") from None


def _as_option(message: str) -> str:
    """Say --level where the library says level."""
    name, space, rest = message.partition(" ")
    if name == "drop":
        return "--leave-largest" + space + rest
    if name in ("n", "loss"):
        rest = rest.replace(f"got {name}[", f"got --{name}[")
    return f"--{name}{space}{rest}" if name in _OPTIONS else message
