"""What the figures of real activations share: names, styles of families and widths, checks.

- :func:`check_frame`: whether a table of the study has what a figure reads.
- :func:`styles`, :func:`width_styles`: colour, marker and line, each told apart without colour.
- :func:`width_axis`: widths as ticks of a logarithmic axis.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scaling_theory._validate import Floats

if TYPE_CHECKING:
    import pandas as pd

#: Kinds of data, in the order of panels, and what they are called.
KINDS = {"tokens": "token activations", "embeddings": "sentence embeddings"}


class Style(NamedTuple):
    """How a series is drawn."""

    colour: str
    marker: str
    line: Any


#: Families of the presets.
_FAMILIES = {
    "TopK 16": Style("#E69F00", "^", "-"),
    "TopK 32": Style("#0072B2", "s", "-"),
    "TopK 64": Style("#000000", "o", "-"),
    "ReLU": Style("#D55E00", "D", (0, (4, 2))),
}
#: Of TopK families with another k, in this order.
_OTHERS = (
    Style("#56B4E9", "v", (0, (1, 1))),
    Style("#009E73", "X", (0, (5, 1.5, 1, 1.5))),
    Style("#CC79A7", "P", (0, (2, 1))),
)
_MARKERS = "o^sDvPX*"
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (5, 1.5, 1, 1.5)))


def styles(names: Iterable[str]) -> dict[str, Style]:
    """Return families in the order of legends (TopK by k, then ReLU), each with its style.

    Raises
    ------
    ValueError
        If one is neither "TopK K" nor "ReLU", or more are unknown than there are styles.
    """
    ordered = sorted(set(names), key=lambda name: k_of(name) or 10**9)
    others = [name for name in ordered if name not in _FAMILIES]
    if len(others) > len(_OTHERS):
        raise ValueError(
            f"family must be one of {', '.join(_FAMILIES)}, or of {len(_OTHERS)} more, got {others}"
        )
    more = dict(zip(others, _OTHERS, strict=False))
    return {name: _FAMILIES.get(name) or more[name] for name in ordered}


def k_of(family: str) -> int | None:
    """Return k of "TopK K"; None of "ReLU".

    Raises
    ------
    ValueError
        If it is neither.
    """
    if family == "ReLU":
        return None
    kind, _, k = str(family).partition(" ")
    if kind != "TopK" or not k.isdecimal():
        raise ValueError(f"family must be 'TopK K' or 'ReLU', got {family!r}")
    return int(k)


def width_styles(widths: Iterable[int]) -> dict[int, Style]:
    """Return a style for each width: the wider, the darker."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    ordered = sorted({int(width) for width in widths})
    shades = np.linspace(0.82, 0.0, len(ordered)) if len(ordered) > 1 else [0.3]
    return {
        width: Style(
            to_hex(colormaps["viridis"](float(shade))),
            _MARKERS[i % len(_MARKERS)],
            _LINES[i % len(_LINES)],
        )
        for i, (width, shade) in enumerate(zip(ordered, shades, strict=True))
    }


def check_frame(name: str, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that a table of the study has some columns, and rows of both kinds of data.

    Raises
    ------
    ValueError
        If it does not; names the table.
    """
    lacking = [column for column in columns if column not in frame.columns]
    if lacking:
        raise ValueError(f"tables.{name} must have the columns {', '.join(columns)}, lacks "
                         f"{', '.join(lacking)}")  # fmt: skip
    kinds = sorted(set(frame["kind"]))
    if kinds != sorted(KINDS):
        raise ValueError(f"tables.{name} must have rows of {' and '.join(KINDS)}, got {kinds}")
    if "family" in columns:
        styles(frame["family"])


def check_axes(axes: Sequence[Any], count: int) -> None:
    """Check the number of axes.

    Raises
    ------
    ValueError
        If it is another.
    """
    if len(axes) != count:
        raise ValueError(f"axes must hold {count} Axes, got {len(axes)}")


def families(frame: pd.DataFrame) -> Iterator[tuple[str, Style, pd.DataFrame]]:
    """Each family of a table with its style and rows, in the order of legends."""
    for family, style in styles(frame["family"].dropna()).items():
        yield family, style, frame[frame["family"] == family]


def widest(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the widest SAE of each kind and family."""
    most = frame.groupby(["kind", "family"])["width"].transform("max")
    return frame[frame["width"] == most]


def dimension(runs: pd.DataFrame) -> int:
    """Return the dimension d of the activations: the cost of a step is proportional to it."""
    from scaling_theory.fitting import sae_training_flops

    row = runs[runs["family"] != "ReLU"].iloc[0]
    unit = sae_training_flops(int(row["width"]), 1, int(row["batch_size"]), k=int(row["k"]))
    return round(float(row["step_flops"]) / unit)


def numbers(name: str, text: Any, count: int) -> Floats:
    """Read a list of numbers that is stored as JSON, and check how many there are.

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    values = np.asarray(json.loads(text), dtype=np.float64)
    if values.shape != (count,):
        raise ValueError(f"{name} must hold {count} numbers, got shape {values.shape}")
    return values


def width_axis(ax: Any, widths: Iterable[int]) -> None:
    """Make x a logarithmic axis with these widths as its ticks."""
    from matplotlib.ticker import NullLocator

    ordered = sorted({int(width) for width in widths})
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(ordered, [f"{width:,}" for width in ordered])
    ax.set_xlabel("latents $n$")


def log_axis(ax: Any, low: float, high: float) -> None:
    """Make y a logarithmic axis from low to high, with plain numbers at round places."""
    from matplotlib.ticker import NullLocator

    ax.set_yscale("log")
    ax.set_ylim(low, high)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [float(f"{s * 10.0**e:.3g}") for e in decades for s in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


#: Places of ticks in a decade: the first that gives four ticks, or the last.
_STEPS = (
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0),
    (*np.arange(1.0, 2.0, 0.2).tolist(), *np.arange(2.0, 10.0, 0.5).tolist()),
    (*np.arange(1.0, 3.0, 0.1).tolist(), *np.arange(3.0, 10.0, 0.2).tolist()),
)
