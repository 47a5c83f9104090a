"""What the command ``diagnose`` reads: losses, frequencies, decoders and what their rows say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

from scaling_theory._cli_files import (
    LOSSES,
    WIDTHS,
    column_of,
    decoder_of,
    guessed,
    hint_of_frequencies,
    hint_of_rising,
    loss_of,
    named_width,
    numbers_of,
    open_sae,
    table_of,
)

if TYPE_CHECKING:
    from scaling_theory.analysis import DecoderNeighbours

#: Options that name a part of a file -> the files that have parts.
_SUFFIXES = {"column": (".csv",), "key": (".npz", ".safetensors")}
#: What the library calls an option -> the option.
_NAMES = {
    "widths_losses": "--losses",
    "frequencies": "--frequencies",
    "cosines": "--cosines",
    "decoder": "--decoder",
    "samples": "--samples",
    "dimension": "--dimension",
    "prior": "--prior",
}


class Evidence(NamedTuple):
    """What was read: arguments of ``st.diagnose``, and what to say of decoders and files."""

    arguments: dict[str, Any]
    decoders: list[dict[str, Any]]
    notes: list[str]
    interrupted: bool


def gathered(given: dict[str, Any]) -> Evidence:
    """Read everything; what is not given is None."""
    kinds = [kind for kind in ("losses", "frequencies", "decoder", "sae", "cosines") if given[kind]]
    if not kinds:
        raise click.UsageError(
            "give at least one of --losses, --frequencies, --decoder, --sae and --cosines"
        )
    _refuse(given)
    arguments: dict[str, Any] = {"samples": given["samples"]}
    notes: list[str] = []
    if given["losses"]:
        arguments["widths_losses"] = _losses(given)
        widths, losses = arguments["widths_losses"][:2]
        hint = hint_of_rising(widths, losses, given["explained"])
        notes += [f"{given['losses']}: {hint}"] * bool(hint)
    frequencies: dict[int, Any] = {}
    for one in given["frequencies"]:
        width, path = named_width("--frequencies", one)
        read = numbers_of("--frequencies", path, log10=given["log10"], **_named(path, given))
        if (read.values < 0.0).any():  # in any unit, but never below 0
            raise click.UsageError(
                f"--frequencies must be at least 0, got {read.values.min():g} in {path}"
                f"{hint_of_frequencies(read.values)}"
            )
        _put(frequencies, "--frequencies", width or read.values.size, read.values)
        notes += [f"{path}: {read.note}"] * bool(read.note)
    decoders: dict[int, Any] = {}
    for one in given["decoder"]:
        width, path = named_width("--decoder", one)
        rows, sae = decoder_of("--decoder", path, key=_named(path, given)["key"])
        _put(decoders, "--decoder", width or rows.shape[0], rows)
        if sae is None and rows.shape[0] < rows.shape[1]:
            notes.append(
                f"{path}: {rows.shape[0]:,} rows of {rows.shape[1]:,} numbers: one row is one "
                "latent; transpose if the file holds (d, n)"
            )
        if sae is not None and sae.message:
            notes.append(f"{path}: {sae.message}")
    for one in given["sae"]:
        published = open_sae("--sae", Path(one))
        _put(decoders, "--sae", published.width, published.decoder)
        if published.frequencies is not None:
            _put(frequencies, "--sae", published.width, published.frequencies.numpy())
        said = (published.frequencies_note, published.message)
        notes += [f"{one}: {text}" for text in said if text]
    if frequencies:
        arguments["frequencies"] = frequencies
    found, cosines, interrupted = _neighbours(decoders, frequencies, given["rows"])
    for one in given["cosines"]:
        width, path = named_width("--cosines", one)
        read = numbers_of("--cosines", path, default="cosine", **_named(path, given))
        _put(cosines, "--cosines", width or read.values.size, read.values)
    if cosines:
        arguments |= {"cosines": cosines, "dimension": _dimension(decoders, given["dimension"])}
    return Evidence(arguments, found, notes, interrupted)


def _refuse(given: dict[str, Any]) -> None:
    """Refuse options that would be without effect."""
    for option, of in (
        ("n_column", ("losses",)),
        ("loss_column", ("losses",)),
        ("explained", ("losses",)),
        ("stderr", ("losses",)),
        ("where", ("losses",)),
        ("column", ("frequencies", "cosines")),
        ("key", ("frequencies", "cosines", "decoder")),
        ("log10", ("frequencies",)),
        ("rows", ("decoder", "sae")),
        ("dimension", ("cosines",)),
        ("samples", ("frequencies", "sae")),
    ):
        if given[option] not in (None, False, ()) and not any(given[kind] for kind in of):
            name = option.removesuffix("_column")
            raise click.UsageError(f"--{name} needs {' or '.join(f'--{kind}' for kind in of)}")
    files = [
        named_width(f"--{kind}", one)[1].suffix.lower()
        for kind in ("frequencies", "decoder", "cosines")
        for one in given[kind]
    ]
    for option, kinds in _SUFFIXES.items():
        if given[option] is not None and not any(suffix in kinds for suffix in files):
            raise click.UsageError(f"--{option} is for {' and '.join(kinds)} files, got none")
    if given["cosines"] and (given["decoder"] or given["sae"]):
        raise click.UsageError("--cosines are of decoders: give them, or --decoder and --sae")


def _named(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Column and entry, for files that have such."""
    suffix = path.suffix.lower()
    return {option: given[option] if suffix in of else None for option, of in _SUFFIXES.items()}


def _losses(given: dict[str, Any]) -> tuple[Any, ...]:
    table = table_of("--losses", given["losses"], given["where"])
    width = guessed(table, WIDTHS, given["n_column"])
    column = guessed(table, LOSSES, given["loss_column"])
    loss = loss_of(table, "--loss", column, given["explained"])
    found = (column_of(table, "--n", width), loss)
    stderr = given["stderr"]
    if stderr is None and "stderr" in table:
        stderr = "stderr"
    return found if stderr is None else (*found, column_of(table, "--stderr", stderr))


def _put(found: dict[int, Any], option: str, width: int, value: Any) -> None:
    if width in found:
        raise click.UsageError(
            f"{option} must give each width once, got {width} twice: a family has one SAE a width"
        )
    found[width] = value


def _dimension(decoders: dict[int, Any], given: int | None) -> int | None:
    dimensions = {int(rows.shape[1]) for rows in decoders.values()}
    if len(dimensions) > 1:
        raise click.UsageError(
            f"decoders must be of one family, of one dimension, got {sorted(dimensions)}"
        )
    return dimensions.pop() if dimensions else given


# ---- decoders ------------------------------------------------------------------------------------


def _neighbours(
    decoders: dict[int, Any], frequencies: dict[int, Any], rows: int | None
) -> tuple[list[dict[str, Any]], dict[int, Any], bool]:
    """What is said of each decoder, its cosines by width, and whether Ctrl-C came."""
    from scaling_theory.analysis import decoder_neighbours

    said: list[dict[str, Any]] = []
    cosines: dict[int, Any] = {}
    _dimension(decoders, None)  # refused before the long work
    for width, decoder in sorted(decoders.items()):
        if decoder.shape[0] > width:
            raise click.UsageError(
                f"--decoder of width {width} must have at most that many rows, "
                f"got {decoder.shape[0]}"
            )
        fired = frequencies.get(width)
        alive = None
        if fired is not None and fired.size == decoder.shape[0]:
            alive = fired > 0.0
        try:
            found = decoder_neighbours(
                decoder, alive=alive, samples=rows, progress=sys.stderr.isatty()
            )
        except ValueError as error:
            raise click.UsageError(as_option(str(error))) from error
        # dead latents were never spent
        number = width if alive is None else int(alive.sum())
        cosines[number] = np.asarray(found.cosine, dtype=np.float64)
        stopped = found.status == "interrupted"
        try:
            said.append(_said(width, decoder, found, frequencies.get(width), rows, stopped))
        except KeyboardInterrupt:
            said.append(_said(width, decoder, found, None, rows, True))
            stopped = True
        if stopped:
            return said, cosines, True
    return said, cosines, False


def _said(
    width: int,
    decoder: Any,
    found: DecoderNeighbours,
    frequencies: Any,
    rows: int | None,
    stopped: bool,
) -> dict[str, Any]:
    """Messages and numbers about one decoder; after Ctrl-C what there is."""
    from scaling_theory.analysis import near_duplicates, tiling_share

    values: dict[str, Any] = {"width": width, "status": found.status, "message": found.message}
    if found.anisotropic is not None:
        share = tiling_share(found)
        values["tiling"] = {
            name: getattr(share, name)
            for name in ("share", "low", "high", "many_share", "threshold", "status", "message")
        }
    if not stopped:
        fires = None
        if frequencies is not None and frequencies.size == decoder.shape[0]:
            fires = np.sign(frequencies)  # in any unit: which of them are dead is what counts
        pairs = near_duplicates(
            decoder, frequencies=fires, samples=rows, progress=sys.stderr.isatty()
        )
        values["duplicates"] = {
            name: getattr(pairs, name)
            for name in ("threshold", "pair_count", "alive_share", "dead_share",
                         "dead_nearest_share", "status", "message")
        }  # fmt: skip
    return values


def as_option(message: str) -> str:
    """Say --losses where the library says widths_losses, as in "got widths_losses (losses)[1]"."""
    name = message.partition(" ")[0]
    if name not in _NAMES:
        return message
    return re.sub(rf"(^|\bgot ){name}\b", rf"\g<1>{_NAMES[name]}", message)
