"""Speed of the exact allocation solver beside two peers, in one run.

Peers, both in ``scaling_theory.allocation.reference``: heap greedy (exact, one latent at a time)
and plain NumPy bisection on the price over the first K features (truncated). All solve
p_i ~ i^-(1+alpha), L(n) = (1+n)^-beta. Runs are interleaved; medians are printed.

Run: python benchmarks/allocation.py [--repeats 5] [--quick]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np

import scaling_theory as st
from scaling_theory.allocation import reference


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def interleaved(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds(run))
    return times


def population(alpha: float, beta: float) -> st.Population:
    return st.Population(st.PowerLawFrequencies(alpha), st.PowerLawCurve(beta=beta))


def against_peers(repeats: int, largest: int) -> None:
    alpha, beta = 0.5, 0.5
    pop = population(alpha, beta)
    print(f"alpha {alpha}, beta {beta}: median seconds of {repeats} interleaved runs")
    head = ("latents", "exact", "greedy", "bisection", "greedy/exact", "bisection/exact")
    print(("{:>10}" + "{:>16}" * 5).format(*head))
    n = 10**4
    while n <= largest:
        features = 2 * st.allocate(pop, n).discovered
        times = interleaved(
            {
                "exact": lambda n=n: st.allocate(pop, n),
                "greedy": lambda n=n, k=features: reference.greedy(pop, n, k),
                "bisection": lambda n=n, k=features: reference.bisection(alpha, beta, n, k),
            },
            repeats if n < 10**7 else min(repeats, 3),
        )
        exact, greedy, bisection = (statistics.median(times[name]) for name in times)
        pairs = zip(times["greedy"], times["exact"], strict=True)
        ratio = statistics.median(g / e for g, e in pairs)
        print(
            f"{n:>10.0e}{exact:>16.4f}{greedy:>16.3f}{bisection:>16.3f}"
            f"{ratio:>16.0f}{bisection / exact:>16.0f}"
        )
        n *= 10


def growth(repeats: int, largest: int) -> None:
    print("\nexact solver: median seconds, and growth exponent d ln(seconds) / d ln(N)")
    budgets = [10**k for k in range(6, round(math.log10(largest)) + 1, 2)]
    print(f"{'alpha, beta':>14}" + "".join(f"{b:>10.0e}" for b in budgets) + f"{'exponent':>12}")
    for alpha, beta in ((0.5, 0.1), (0.5, 0.5), (0.5, 1.0)):
        pop = population(alpha, beta)
        times = interleaved({str(b): lambda b=b: st.allocate(pop, b) for b in budgets}, repeats)
        medians = [statistics.median(t) for t in times.values()]
        ends = math.log(medians[-1] / medians[0]) / math.log(budgets[-1] / budgets[0])
        print(
            f"{f'{alpha}, {beta}':>14}" + "".join(f"{m:>10.4f}" for m in medians) + f"{ends:>12.3f}"
        )


def heterogeneous(repeats: int) -> None:
    betas = np.random.default_rng(0).uniform(0.1, 2.0, 10**6)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        pop = st.Population(
            st.PowerLawFrequencies(0.5, count=10**6), default=st.PowerLawCurve(beta=betas)
        )
        at = st.allocate(pop, 10**8)
        times.append(time.perf_counter() - began)
    print(
        f"\n1e6 features with a beta_i each, N = 1e8: {statistics.median(times):.2f} s "
        f"(discovered {at.discovered:,}, gap {at.gap:g})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="smaller budgets, under a minute")
    arguments = parser.parse_args()
    against_peers(arguments.repeats, 10**6 if arguments.quick else 10**7)
    growth(arguments.repeats, 10**12 if arguments.quick else 10**14)
    heterogeneous(arguments.repeats)


if __name__ == "__main__":
    main()
