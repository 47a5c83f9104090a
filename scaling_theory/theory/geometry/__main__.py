"""Print the numbers that the documentation quotes: ``python -m scaling_theory.theory.geometry``.

Name topics to choose: floor circle basis capacity (a few seconds), optimum (half a minute to two),
sphere (three minutes).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np

from scaling_theory._tables import print_topics
from scaling_theory.theory import geometry


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the topics named, or all but the slow one."""
    return print_topics(_TOPICS, arguments, __doc__, slow=["sphere"])


def _floor() -> None:
    for l1 in (0.1, 0.5, 2.0):
        print(f"l1 {l1:g}: floor of the unit sphere {geometry.sphere_floor(l1):.6f}")


def _circle() -> None:
    law = geometry.circle_law()
    print(f"l1 0.1: excess -> {law.constant:.5f} n^-4/3, q -> {law.overlap_constant:.5f} n^1/3")
    print("      n  excess       excess/law  overlap  q/law   ideal excess  ideal/leading")
    widths = [4, 8, 16, 32, 64, 128, 256, 512, 1024, 10**4, 10**5, 10**6]
    found = [geometry.circle_tiling(n) for n in widths]
    for t in found:
        ideal = geometry.circle_ideal(t.n)
        print(
            f"{t.n:7d}  {t.excess:.5e}  {t.excess / law.excess(t.n)[0]:10.5f}  {t.overlap:7.3f}  "
            f"{t.overlap / law.overlap(t.n)[0]:.4f}  {ideal.excess:.5e}  "
            f"{ideal.excess / ideal.leading:13.7f}"
        )
    by_n = {t.n: t.excess for t in found}
    for low, high in ((64, 1024), (1024, 10**6)):
        slope = math.log(by_n[low] / by_n[high]) / math.log(high / low)
        print(f"exponent between n = {low} and {high}: {slope:.4f}")
    every = geometry.circle_curve(most=1024)
    n = np.arange(64, 1025)
    slope = np.polyfit(np.log(n), np.log(every.losses[n] - every.floor), 1)[0]
    print(f"least squares over every n in 64..1024: {-slope:.4f}")


def _optimum() -> None:
    print(" n  optimum   symmetric   hits/starts  |decoder bias|  firing of each latent")
    searches = (30, 30, 30, 30, 30, 60, 120, 300, 300, 60)
    for n, starts in zip(range(1, 11), searches, strict=True):
        o = geometry.circle_optimum(n, seed=1, starts=starts)
        firing = " ".join(f"{x:.3f}" for x in np.sort(o.firing))
        bias = float(np.linalg.norm(o.decoder_bias))
        hits = f"{o.hits}/{o.starts}"
        print(f"{n:2d}  {o.loss:.6f}  {o.symmetric:.6f}  {hits:>11}  {bias:14.4f}  {firing}")


def _sphere() -> None:
    for dimension in (3, 4, 5):
        table = geometry.measure_exponents(dimension)
        said = geometry.tiling_exponents(dimension)
        print(f"dimension {dimension}; ideal encoder {said.ideal:.4f}")
        print(table.to_string(index=False))
        for name in ("excess", "overlap"):
            measured, error, predicted = (
                table.attrs[f"{part}{name}_exponent{end}"]
                for part, end in (("", ""), ("", "_error"), ("predicted_", ""))
            )
            print(f"{name} exponent {measured:.3f} +- {error:.3f}, predicted {predicted:.4f}")


def _basis() -> None:
    print("l1 0.1; radius 0.5..2: even in radius, even in volume; their floors; unit sphere")
    for d in (2, 3, 4, 6):
        shells = [geometry.basis_loss(d, 0.1, 0.5, 2.0, law) for law in ("radius", "volume")]
        floors = [geometry.shell_floor(d, 0.1, 0.5, 2.0, law) for law in ("radius", "volume")]
        numbers = [*shells, *floors, geometry.basis_loss(d)]
        print(f"d {d}: " + "  ".join(f"{x:.4f}" for x in numbers))


def _capacity() -> None:
    print("log10 of the number of directions; Welch (inf: silent), best order, KL is asymptotic")
    print("     d  epsilon  d eps^2/2  greedy  at least  Welch    at most (order)    KL")
    ten = math.log(10.0)
    for d, epsilon in ((768, 0.1), (4096, 0.01), (4096, 0.05), (4096, 0.1), (4096, 0.2)):
        c = geometry.capacity(d, epsilon)
        print(
            f"{d:6d}  {epsilon:7g}  {c.log_reading / ten:9.2f}  {c.log_greedy / ten:6.2f}  "
            f"{c.log_lower / ten:8.2f}  {c.log_welch / ten:5.2f}  {c.log_upper / ten:9.2f} "
            f"({c.order})  {c.asymptotic / ten:9.2f}"
        )


_TOPICS: dict[str, Callable[[], None]] = {
    "floor": _floor,
    "circle": _circle,
    "optimum": _optimum,
    "basis": _basis,
    "capacity": _capacity,
    "sphere": _sphere,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
