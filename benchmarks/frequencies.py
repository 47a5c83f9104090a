"""Speed of tail fits beside the powerlaw package, in one run.

Fits search for xmin over every distinct value. Synthetic data: Pareto with density exponent 2.3, a
lognormal with sigma 2, and whole parts of Pareto draws. Times are medians; compiling, done once
before, is not in them. The peer is timed once, and left out where it is not installed.

With --accuracy, instead: how often intervals of the rank-frequency slope hold the truth (0.95 is
what they claim), and what the noise of counting does to slopes and tails, with and without the
correction for it.

Run: python benchmarks/frequencies.py [--repeats 3] [--quick] [--accuracy]
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import numpy as np

from scaling_theory.fitting.frequencies import fit_tail
from scaling_theory.fitting.frequencies.noise import corrected_slope
from scaling_theory.fitting.frequencies.slope import rank_slope

COLUMNS = ("data", "values", "distinct", "kind", "seconds", "peer", "ratio", "exponent",
           "peer exponent", "xmin", "peer xmin")  # fmt: skip
FORMAT = "{:<12}{:>9}{:>9}  {:<11}{:>9}{:>9}{:>9}{:>10}{:>15}{:>10}{:>11}"


def data(name: str, size: int) -> tuple[np.ndarray, str]:
    generator = np.random.default_rng(0)
    if name == "lognormal":
        return np.exp(2.0 * generator.standard_normal(size)), "continuous"
    if name == "pareto":
        return generator.pareto(1.3, size) + 1.0, "continuous"
    return np.floor(5.0 * (generator.pareto(1.3, size) + 1.0)), "discrete"


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result


def peer() -> Any:
    try:
        import powerlaw
    except ImportError:
        return None
    return powerlaw


def peer_fit(module: Any, values: np.ndarray, kind: str) -> Any:
    silent = io.StringIO()  # some versions print their progress
    with warnings.catch_warnings(), redirect_stdout(silent), redirect_stderr(silent):
        warnings.simplefilter("ignore")
        options = {"discrete": True, "estimate_discrete": False} if kind == "discrete" else {}
        fit = module.Fit(values, verbose=False, **options)
        return float(fit.power_law.alpha), float(fit.power_law.xmin)


def row(name: str, size: int, repeats: int, module: Any) -> None:
    values, kind = data(name, size)
    runs = [seconds(lambda: fit_tail(values, kind=kind)) for _ in range(repeats)]
    own, fit = statistics.median(t for t, _ in runs), runs[0][1]
    beside = ["", "", "", ""]
    if module is not None:
        taken, (alpha, xmin) = seconds(lambda: peer_fit(module, values, kind))
        beside = [f"{taken:.2f}", f"{taken / own:.0f}", f"{alpha:.5f}", f"{xmin:.5g}"]
    cells = [name, f"{size:,}"[-9:], f"{np.unique(values).size}", kind, f"{own:.4f}"]
    cells += [*beside[:2], f"{fit.exponent:.5f}", beside[2], f"{fit.xmin:.5g}", beside[3]]
    print(FORMAT.format(*cells), flush=True)


def coverage(runs: int) -> None:
    """Frequencies drawn from rank^-0.74, as many as an SAE has latents."""
    s, generator = 0.74, np.random.default_rng(0)
    print(f"slope -{s}: share of {runs} intervals at 0.95 that hold it, and standard deviations")
    head = ("latents", "ranks", "squares", "likelihood", "naive", "sd squares", "sd likelihood")
    print(("{:>9}{:>15}" + "{:>12}" * 3 + "{:>14}" * 2).format(*head))
    for latents, first, last in ((16_384, 100, 10_000), (2_000, 1, 1_500), (200, 5, 100)):
        x = np.log(np.arange(first, last + 1))
        x = x - x.mean()
        hits, slopes = np.zeros(3), []
        for _ in range(runs):
            f = np.sort(generator.random(latents) ** -s)[::-1]
            fit = rank_slope(f, first, last, 0.95)
            y = np.log(f[first - 1 : last])
            b = (x @ y) / (x @ x)
            error = np.sqrt(np.sum((y - y.mean() - b * x) ** 2) / (x.size - 2) / (x @ x))
            hits += [
                fit.interval[0] <= -s <= fit.interval[1],
                fit.spacing_interval[0] <= s <= fit.spacing_interval[1],
                abs(b + s) < 1.96 * error,
            ]
            slopes.append((fit.slope, fit.spacing_exponent))
        shares = "".join(f"{share:>12.3f}" for share in hits / runs)
        spread = "".join(f"{sd:>14.4f}" for sd in np.std(slopes, axis=0))
        print(f"{latents:>9}{f'{first}-{last}':>15}{shares}{spread}")


def noise(runs: int) -> None:
    """Counts of rates rank^-0.74 above a smallest rate, 16,384 latents."""
    s, generator = 0.74, np.random.default_rng(0)
    print(
        f"\ncounting noise: mean error of the slope -{s} between rank 100 and the last count of 5,"
    )
    print("share of corrected intervals that hold it, mean error of the tail exponent")
    head = ("smallest", "raw", "corrected", "held", "continuous", "discrete", "poisson")
    print(("{:>9}" + "{:>12}" * 6).format(*head))
    for smallest in (0.3, 1.0, 3.0, 10.0):
        rows, held = [], 0
        for _ in range(runs):
            rates = smallest * generator.random(16_384) ** -s
            counts = np.sort(generator.poisson(rates))[::-1].astype(float)
            fit = corrected_slope(counts, 100, int(np.sum(counts >= 5)), 0.95)
            held += fit.interval[0] <= -s <= fit.interval[1]
            alive = counts[counts > 0]
            tails = [fit_tail(alive, kind=k, xmin=max(6, round(2.5 * smallest))).exponent
                     for k in ("continuous", "discrete", "poisson")]  # fmt: skip
            rows.append([fit.uncorrected + s, fit.slope + s] + [a - 1.0 - 1.0 / s for a in tails])
        mean = np.mean(rows, axis=0)
        cells = "".join(f"{v:>12.4f}" for v in (*mean[:2], held / runs, *mean[2:]))
        print(f"{smallest:>9}{cells}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="fewer values, a few seconds")
    parser.add_argument("--accuracy", action="store_true", help="coverage and bias instead")
    arguments = parser.parse_args()
    if arguments.accuracy:
        coverage(200 if arguments.quick else 2000)
        noise(3 if arguments.quick else 50)
        return
    small, large = (2_000, 100_000) if arguments.quick else (30_000, 5_000_000)
    for name in ("pareto", "counts"):  # compile
        values, kind = data(name, 100)
        fit_tail(values, kind=kind)
    module = peer()
    version = "not installed" if module is None else module.__version__
    print(f"peer: powerlaw {version}; seconds of one fit, median of {arguments.repeats}")
    print(FORMAT.format(*COLUMNS))
    for name in ("pareto", "lognormal", "counts"):
        row(name, small, arguments.repeats, module)
    for name in ("pareto", "lognormal", "counts"):
        row(name, large, arguments.repeats, None)


if __name__ == "__main__":
    main()
