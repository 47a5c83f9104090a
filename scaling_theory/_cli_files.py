"""Files that commands read: tables, columns of numbers, decoders and published SAEs.

- :func:`table_of`: a CSV file or a built-in data set; :func:`column_of`: a column of it.
- :func:`numbers_of`: one number a latent, from CSV, text, .npy, .npz, .safetensors or an SAE.
- :func:`decoder_of`: rows of a decoder, from .npy, .npz, .safetensors or an SAE.
- :func:`named_width`: ``WIDTH=FILE``.

Nothing is ever unpickled. What can't be read is a click.UsageError that names the option, the file
and what is allowed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

from scaling_theory import datasets

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.formats import PublishedSAE

#: What is added to a frequency before its logarithm is stored (SAELens).
SHIFT = 1e-10
#: Entry of SAELens's sparsity.safetensors.
SPARSITY = "sparsity"
#: Columns that widths and losses are looked for in, where none is named.
WIDTHS = ("n", "width", "widths", "latents", "d_sae")
LOSSES = ("loss", "mse")


class Numbers(NamedTuple):
    """Numbers (n,) of a file, and what should be known of them ("" for nothing)."""

    values: npt.NDArray[Any]
    note: str


# ---- tables --------------------------------------------------------------------------------------


def table_of(option: str, data: str, where: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV file or a built-in data set, and keep the rows that match all conditions."""
    import pandas as pd

    if data in datasets.names():
        table = datasets.load(data)
    else:
        path = Path(data)
        if not path.is_file():
            built_in = ", ".join(datasets.names())
            raise click.UsageError(
                f"{option} must be a CSV file or one of {built_in}, got {data!r}"
            )
        try:
            table = pd.read_csv(path)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise click.UsageError(f"{data} is not a readable CSV file: {error}") from None
        header = str(table.columns[0])
        if len(table.columns) == 1 and ";" in header:
            raise click.UsageError(
                f"{data} must have commas between its columns, got ';': {header!r}"
            )
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals or column not in table:
            raise click.UsageError(
                f"--where takes COLUMN=VALUE with a column among {list(table.columns)}, "
                f"got {condition!r}"
            )
        table = table[table[column].map(lambda cell, v=value: _same(cell, v))]
    if table.empty:
        raise click.UsageError(f"no row of {data} is left" + " by --where" * bool(where))
    return table


def column_of(table: pd.DataFrame, option: str, column: str) -> npt.NDArray[np.float64]:
    """Return a column of numbers."""
    import pandas as pd

    if column not in table:
        raise click.UsageError(
            f"{option} must name a column among {list(table.columns)}, got {column!r}"
        )
    try:
        return pd.to_numeric(table[column]).to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"column {column!r} must hold numbers: {error}") from None


def loss_of(
    table: pd.DataFrame, option: str, column: str, explained: bool
) -> npt.NDArray[np.float64]:
    """Return the losses: a column, or 1 minus a column of shares of explained variance."""
    values = column_of(table, option, column)
    if not explained:
        return values
    if (values > 1.0).any():
        raise click.UsageError(
            f"--explained takes shares of at most 1, got {values[values > 1.0][0]:g} in column "
            f"{column!r}: shares in [0, 1]; divide percentages by 100"
        )
    return np.asarray(1.0 - values)


def guessed(table: pd.DataFrame, names: Sequence[str], given: str | None) -> str:
    """Return the column that is named, or the first of ``names`` that is there."""
    return given or next((name for name in names if name in table), names[0])


def hint_of_rising(n: npt.NDArray[Any], loss: npt.NDArray[Any], explained: bool) -> str:
    """Say what losses may be that rise throughout, or nothing."""
    order = np.argsort(n, kind="stable")
    rises = n.size > 1 and (np.diff(loss[order]) > 0.0).all()
    if explained or not rises:
        return ""
    return "losses rise with n: shares of explained variance? --explained"


def _same(cell: Any, value: str) -> bool:
    try:
        return float(cell) == float(value)
    except ValueError:
        return str(cell) == value


# ---- one number a latent -------------------------------------------------------------------------


def named_width(option: str, given: str) -> tuple[int | None, Path]:
    """Split ``WIDTH=FILE``; a FILE alone has no width. A width may be written 1e5."""
    before, equals, after = given.partition("=")
    try:
        width = float(before) if equals else math.nan
    except ValueError:
        width = math.nan
    if math.isnan(width):
        return None, Path(given)
    if not (math.isfinite(width) and width.is_integer() and width >= 2.0):
        raise click.UsageError(
            f"{option} takes WIDTH=FILE with a whole number of at least 2, got {given!r}"
        )
    return int(width), Path(after)


def numbers_of(
    option: str,
    path: Path,
    *,
    column: str | None = None,
    key: str | None = None,
    log10: bool = False,
    default: str = "frequency",
) -> Numbers:
    """Read one number for each latent.

    Parameters
    ----------
    option
        Name of the argument, for messages.
    path
        CSV with a header, text (a number a line), .npy, .npz, .safetensors, or the folder or file
        of an SAE that comes with frequencies.
    column, key
        Column of a CSV file; entry of .npz or .safetensors. None: ``default``, or the only one.
    log10
        Whether the file holds log10(f + 1e-10). SAELens's sparsity.safetensors always does.
    """
    _there(option, path)
    suffix = path.suffix.lower()
    if column is not None and (suffix != ".csv" or path.is_dir()):
        raise click.UsageError(f"--column is for CSV files, got {path.name}")
    if key is not None and suffix == ".csv":
        raise click.UsageError(f"--key is for .npz and .safetensors files, got {path.name}")
    if is_sae(path) and key is None:
        if log10:
            raise click.UsageError(f"--log10 is not for SAEs, which know what they hold: {path}")
        sae = open_sae(option, path)
        if sae.frequencies is None:
            raise click.UsageError(
                f"{option} must hold frequencies, got the SAE {path}: {sae.frequencies_note}"
            )
        return Numbers(sae.frequencies.numpy(), sae.frequencies_note)
    if suffix == ".csv":
        table = table_of(option, str(path))
        if column is None:
            column = str(table.columns[0]) if len(table.columns) == 1 else default
            if column not in table:
                raise click.UsageError(
                    f"--column must say which of {list(table.columns)} of {path} to take: none is "
                    f"{default!r}"
                )
        values: npt.NDArray[Any] = column_of(table, "--column", column)
        name = column
    else:
        name, values = _array(option, path, key, default)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise click.UsageError(
            f"{option} must hold one number a latent, got {values.dtype} of shape {values.shape} "
            f"in {path}"
        )
    if suffix == ".safetensors" and name == SPARSITY:
        note = f"{path.name} holds log10(frequency + {SHIFT:g})"
        return Numbers(_unlogged(option, path, values), note)
    return Numbers(_unlogged(option, path, values) if log10 else values, "")


def hint_of_frequencies(values: npt.NDArray[Any]) -> str:
    """Say what frequencies outside [0, 1] may be, or nothing."""
    if (values < 0.0).any():
        return "; logarithms? --log10" * bool((values <= 0.0).all())
    if (values > 1.0).any() and (values == np.floor(values)).all():
        return "; counts? divide by the number of samples"
    return ""


def _unlogged(option: str, path: Path, log: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Frequencies of their logarithms; what rounding of these leaves of a dead latent is 0."""
    # text and float64 are taken to come from float32, as firing is counted on a GPU
    eps = max(np.finfo(log.dtype).eps if log.dtype.kind == "f" else 0.0, np.finfo(np.float32).eps)
    log = log.astype(np.float64)
    with np.errstate(over="ignore"):
        shifted = 10.0**log
    error = shifted * math.log(10.0) * np.maximum(np.abs(log), 1.0) * float(eps)
    frequencies = shifted - SHIFT
    bad = ~((frequencies >= -error) & (frequencies <= 1.0 + error))
    if bad.any():
        where = int(np.argmax(bad))
        raise click.UsageError(
            f"{option} must hold log10(frequency + {SHIFT:g}), from -10 to 0, got {log[where]:g} "
            f"at {where} in {path}"
        )
    frequencies[frequencies <= error] = 0.0
    return np.asarray(np.minimum(frequencies, 1.0))  # above 1 by rounding only


# ---- decoders and SAEs ---------------------------------------------------------------------------


def decoder_of(
    option: str, path: Path, *, key: str | None = None
) -> tuple[Any, PublishedSAE | None]:
    """Read the rows of a decoder, (n, d), one a latent; and the SAE, if they are from one."""
    _there(option, path)
    if is_sae(path) and key is None:
        sae = open_sae(option, path)
        return sae.decoder, sae
    if path.suffix.lower() not in (".npy", ".npz", ".safetensors"):
        raise click.UsageError(
            f"{option} must be a .npy, .npz or .safetensors file or an SAE, got {str(path)!r}"
        )
    _, rows = _array(option, path, key, "W_dec")
    if rows.ndim != 2 or rows.dtype.kind != "f":
        raise click.UsageError(
            f"{option} must hold floating-point numbers of shape (latents, dimension), got "
            f"{rows.dtype} of shape {rows.shape} in {path}"
        )
    return rows, None


def is_sae(path: Path) -> bool:
    """Whether a path is a folder or file that ``load_sae`` is for."""
    if path.is_dir() or path.suffix == ".pt":
        return True
    if path.suffix not in (".npz", ".safetensors"):
        return False
    from scaling_theory.sae.formats import gemma_scope, saelens, sparsify

    return path.name in (*gemma_scope.FILES, saelens.WEIGHTS, sparsify.WEIGHTS)


def open_sae(option: str, path: Path) -> PublishedSAE:
    """Read a published SAE."""
    from scaling_theory.sae.formats import load_sae

    try:
        return load_sae(path)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"{option} must be an SAE that can be read: {error}") from error


def _there(option: str, path: Path) -> None:
    if not path.exists():
        raise click.UsageError(
            f"{option} must be a file or the folder of an SAE, got {str(path)!r}"
        )


def _array(option: str, path: Path, key: str | None, default: str) -> tuple[str, npt.NDArray[Any]]:
    """Name and content of an entry; "" for files that hold just one array."""
    suffix = path.suffix.lower()
    if suffix in (".npz", ".safetensors"):
        return (_npz if suffix == ".npz" else _safetensors)(option, path, key, default)
    if key is not None:
        raise click.UsageError(f"--key is for .npz and .safetensors files, got {path.name}")
    try:
        if suffix == ".npy":
            # mapped, so that a decoder need not fit into memory
            return "", np.load(path, allow_pickle=False, mmap_mode="r")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of files without numbers
            return "", np.loadtxt(path, ndmin=1)
    except (ValueError, OSError, EOFError, UserWarning) as error:
        raise _unreadable(option, path, error) from None


def _npz(option: str, path: Path, key: str | None, default: str) -> tuple[str, npt.NDArray[Any]]:
    import zipfile

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            name = _entry(path, list(archive.files), key, default)
            return name, archive[name]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise _unreadable(option, path, error) from None


def _safetensors(
    option: str, path: Path, key: str | None, default: str
) -> tuple[str, npt.NDArray[Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        # through torch: NumPy has no bfloat16
        with safe_open(path, framework="pt", device="cpu") as file:
            name = _entry(path, list(file.keys()), key, default)
            tensor = file.get_tensor(name)
    except (SafetensorError, ValueError, OSError) as error:
        raise _unreadable(option, path, error) from None
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return name, tensor.numpy()


def _entry(path: Path, names: list[str], key: str | None, default: str) -> str:
    if key is None and len(names) == 1:
        return names[0]
    if key is None and SPARSITY in names and default == "frequency":
        return SPARSITY
    name = default if key is None else key
    if name not in names:
        if key is None:
            raise click.UsageError(
                f"--key must say which of {names} of {path} to take: none is {default!r}"
            )
        raise click.UsageError(f"--key must be one of {names} of {path}, got {key!r}")
    return name


def _unreadable(option: str, path: Path, error: Exception) -> click.UsageError:
    text = " ".join(str(error).split())
    if "pickle" in text.lower():
        text = "it holds pickled objects, and these are never read"
    return click.UsageError(f"{option} must be readable as numbers, got {path}: {text}")
