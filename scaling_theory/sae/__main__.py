"""Print the numbers of toy manifolds: ``python -m scaling_theory.sae``.

Name topics to choose: exponents plateaus circle bandwidth. The first three read the rows that are
stored with the package, at the presets that there are, and take seconds; bandwidth trains, for
about a minute, and is printed only where it is named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory._tables import print_topics
from scaling_theory.figures import (
    circle_saes,
    jumprelu_curves,
    relu_curves,
    sphere_slopes,
    stored,
    toy_curves,
)
from scaling_theory.figures.sweeps import Preset
from scaling_theory.sae import Runs, Sphere, TanhJumpReLU, train_widths

if TYPE_CHECKING:
    import pandas as pd


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the topics named, or all but those that train."""
    return print_topics(_TOPICS, arguments, __doc__, slow=("bandwidth",))


def _stored(names: Sequence[str]) -> Iterator[tuple[Preset, dict[str, Runs]]]:
    """Sweeps at each preset that has rows, after a line that says what is missing."""
    presets: tuple[Preset, ...] = ("quick", "paper")
    for preset in presets:
        runs = stored.runs(names, preset, missing="leave")
        if all(len(part) for part in runs.values()):
            lacking = stored.missing(runs, preset)
            steps = stored.record(list(runs.values()))["steps"]
            print(f"preset {preset}, {', '.join(f'{s:,}' for s in steps)} steps. {lacking}".strip())
            yield preset, runs
        else:
            print(f"preset {preset}: no rows of {', '.join(names)} are stored")


def _exponents() -> None:
    print(
        "ReLU, l1 = 0.1, unit spheres: exponents with 95% intervals (one seed: from the scatter);"
    )
    print("* where the status is not ok")
    for _, runs in _stored(sphere_slopes.SWEEPS):
        print(
            " d       widths  slope of the loss     excess, known floor   excess, free floor      "
            "gains less 1          tiling  ideal"
        )
        for row in sphere_slopes.data(runs).to_dict("records"):
            cells = [
                _interval(row, name, less)
                for name, less in (("raw", 0.0), ("excess", 0.0), ("free", 0.0), ("gain", 1.0))
            ]
            widths = f"{row['low_n']}..{row['high_n']}"
            print(
                f"{row['dimension']:2d}  {widths:>10s}  {'  '.join(cells)}  {row['tiling']:.3f}   "
                f"{row['ideal']:.3f}"
            )


def _interval(row: Mapping[Hashable, Any], name: str, less: float) -> str:
    value, low, high = (float(row[key]) - less for key in (name, f"{name}_low", f"{name}_high"))
    mark = " " if row[f"{name}_status"] == "ok" else "*"
    digits = 4 if name == "raw" else 2
    return f"{value:.{digits}f}{mark}[{low:.{digits}f}, {high:.{digits}f}]".ljust(20)


def _plateaus() -> None:
    print(
        "by how much the loss falls from 4 d to 64 d latents; half axes: loss of one latent each,"
    )
    print("2 d in all; fires: on what share of the data a latent does, mean, at 64 d")
    for name, module in (("ReLU", relu_curves), ("tanh JumpReLU", jumprelu_curves)):
        print(name)
        for _, runs in _stored(module.SWEEPS):
            print("manifold       d  L(2 d)   L(4 d)   L(64 d)  fall     floor    half axes  fires")
            for (manifold, d), table in module.data(runs).groupby(["manifold", "dimension"]):
                at = [toy_curves.loss_at(table, k * d) for k in (2, 4, 64)]
                losses = "  ".join(f"{loss:.5f}" for loss in at)
                floor, basis = table["floor"].iloc[0], table["basis"].iloc[0]
                print(
                    f"{manifold:13s} {d:2d}  {losses}  {toy_curves.fall(table, d):6.2%}  "
                    f"{floor:.5f}  {basis:.5f}    {_share(table, 64 * d)}"
                )


def _share(table: pd.DataFrame, n: int) -> str:
    """Share of the data on which a latent fires, on average, with the width nearest to n."""
    row = table.iloc[(table["n"] - n).abs().argmin()]
    return f"{row['overlap'] / row['n']:.3f}" + ("" if row["n"] == n else f" (n = {row['n']})")


def _circle() -> None:
    print(
        "ReLU, l1 = 0.1, unit circle: trained (mean of seeds, least) and the best symmetric tiling"
    )
    for _, runs in _stored(circle_saes.SWEEPS):
        table = circle_saes.data(runs)
        each, mean = table[table["kind"] == "run"], table[table["kind"] == "width"]
        print("  n  loss     least    symmetric  excess    symmetric  fire together  symmetric")
        for row in mean.to_dict("records"):
            least = each["loss"][each["n"] == row["n"]].min()
            print(
                f"{row['n']:3d}  {row['loss']:.5f}  {least:.5f}  {row['symmetric_loss']:.5f}    "
                f"{row['loss'] - row['floor']:.2e}  {row['symmetric_excess']:.2e}   "
                f"{row['overlap']:13.2f}  {row['symmetric_overlap']:9.2f}"
            )


def _bandwidth() -> None:
    print("TanhJumpReLU on Sphere(3), 3,000 steps: bandwidth of the straight-through estimator")
    widths = (4, 8, 16, 32, 64, 128, 256)
    print("bandwidth    n  loss     fire together  dead")
    for bandwidth in (0.1, 2.0):
        found = train_widths(Sphere(3), widths, TanhJumpReLU(bandwidth=bandwidth), steps=3_000)
        for row in found.rows:
            print(
                f"{bandwidth:9g}  {row['width']:3d}  {row['loss']:.5f}  {row['l0']:13.2f}  "
                f"{row['dead']:4d} ({np.divide(float(row['dead']), float(row['width'])):.0%})"
            )


_TOPICS: dict[str, Callable[[], None]] = {
    "exponents": _exponents,
    "plateaus": _plateaus,
    "circle": _circle,
    "bandwidth": _bandwidth,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
