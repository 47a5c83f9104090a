"""Print the numbers that the documentation quotes: ``python -m scaling_theory.fitting.laws``.

Name topics to choose: gpt2 oneill flops. All of them take about half a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from scaling_theory import datasets
from scaling_theory._tables import print_topics
from scaling_theory.fitting.laws.compare import compare_laws
from scaling_theory.fitting.laws.compute import sae_training_flops
from scaling_theory.fitting.laws.joint import SparsityLaw, fit_joint


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the topics named, or all."""
    return print_topics(_TOPICS, arguments, __doc__)


def _gpt2() -> None:
    points = datasets.load("gpt2_layer8_widths")
    table = compare_laws(points["width"], 1.0 - points["variance_explained"])
    print("unexplained variance of 8 autoencoders on GPT-2 small, layer 8, against width")
    columns = ["law", "parameters", "objective", "aicc", "delta", "weight", "holdout"]
    columns += ["exponent", "exponent_low", "exponent_high", "floor", "status"]
    print(table[columns].to_string(index=False, float_format="{:.3g}".format))
    print(table.attrs["message"])


def _oneill() -> None:
    points = datasets.load("oneill2024_table2")
    print(f"O'Neill et al. (2024), Table 2: loss = {SparsityLaw().formula}")
    for corpus, rows in points.groupby("corpus"):
        fit = fit_joint(rows["n"], rows["k"], rows["normalised_mse"])
        print(f"{corpus}: {fit.n_points} points, rss {fit.rss:.4g}, status {fit.status}")
        for name, (low, high) in fit.intervals.items():
            print(f"  {name:4s} {fit.estimates[name]:8.4f}  [{low:.4g}, {high:.4g}]")
        print(f"  {fit.message}")


def _flops() -> None:
    print("training, 1e9 samples of dimension 768: latents, dense, with k = 32")
    for width in (768, 12_288, 98_304):
        dense = sae_training_flops(width, 768, 10**9)
        sparse = sae_training_flops(width, 768, 10**9, k=32)
        print(f"{width:7,d}  {dense:.3e}  {sparse:.3e}")


_TOPICS: dict[str, Callable[[], None]] = {"gpt2": _gpt2, "oneill": _oneill, "flops": _flops}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
