"""Power-law fits beside SciPy, in one run: speed of bootstraps, and how often the optimum is found.

- 1,000 bootstraps of the robust (Huber) fit of three parameters to 40 points, beside
  ``scipy.optimize.least_squares(loss="huber")``, one replicate at a time.
- 200 curves in random units (n and loss times powers of ten from 1e-6 to 1e6), with random
  exponents and floors, half of them without noise: how many fits reach the optimum, beside
  ``scipy.optimize.curve_fit`` from its default start. The optimum is 0 without noise, else the
  least of many starts. Both minimise the sum of squared errors of the loss; a line more is for the
  Huber fit.
- With --coverage, instead: how often 95% intervals hold the truth, on curves with noise and with
  outliers.

Run: python benchmarks/fits.py [--quick] [--coverage]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import OptimizeWarning, curve_fit, least_squares

from scaling_theory.fitting import fit_power_law
from scaling_theory.fitting._bootstrap import replicates
from scaling_theory.fitting._descent import cost

HUBER = 1e-3
NOT_IDENTIFIED = "floor and exponent not identified"


@dataclass(frozen=True)
class Curve:
    """Losses around scale * n^-exponent + floor."""

    n: np.ndarray
    loss: np.ndarray
    exponent: float
    scale: float
    floor: float


def draw(
    generator: np.random.Generator, n: np.ndarray, noise: float, outliers: float = 0.0
) -> Curve:
    """A curve with exponent 0.1..1.5, a floor 0..0.9 of the last loss (1), and log-noise."""
    exponent, floor = generator.uniform(0.1, 1.5), generator.uniform(0.0, 0.9)
    scale = (1.0 - floor) * n[-1] ** exponent
    errors = noise * generator.standard_normal(n.size)
    errors += math.log(1.2) * (generator.random(n.size) < outliers)
    return Curve(n, (scale * n**-exponent + floor) * np.exp(errors), exponent, scale, floor)


def speed(repeats: int, count: int, peers: int) -> None:
    """Time of bootstraps, batched and one at a time."""
    generator = np.random.default_rng(0)
    curve = draw(generator, np.geomspace(64, 65536, 40), 0.01, outliers=0.05)
    fit = fit_power_law(curve.n, curve.loss, huber=HUBER, replicates=0)
    problem, theta = fit._region.problem, fit._region.theta
    own, peer = [], []
    residuals = (problem.z - problem.predict(theta)) * math.sqrt(40 / 37)
    for seed in range(repeats):
        began = time.perf_counter()
        laws = replicates(problem, theta, count, np.random.default_rng(seed))
        own.append(time.perf_counter() - began)
        picks = np.random.default_rng(seed).integers(40, size=(count, 40))[:peers]
        drawn = problem.predict(theta) + residuals[picks]  # the same replicates
        began = time.perf_counter()
        others = [one_at_a_time(problem, theta, z) for z in drawn]
        peer.append((time.perf_counter() - began) * count / peers)
    mine = cost(drawn - problem.predict(laws[:peers]), HUBER)
    theirs = cost(drawn - problem.predict(np.array(others)), HUBER)
    began = time.perf_counter()
    fit_power_law(curve.n, curve.loss, huber=HUBER, replicates=count)
    whole = time.perf_counter() - began
    print(f"{count} bootstraps of a Huber fit (delta {HUBER:g}) to 40 points, {repeats} runs")
    print(f"{'batched, median seconds':<58}{statistics.median(own):>12.3f}")
    label = f"least_squares one at a time, seconds (from {peers} of them)"
    print(f"{label:<58}{statistics.median(peer):>12.3f}")
    print(f"{'ratio':<58}{statistics.median(peer) / statistics.median(own):>12.0f}")
    label = "replicates with a cost above that of least_squares"
    print(f"{label:<58}{np.mean(mine > theirs * (1 + 1e-6)):>12.1%}")
    label = "replicates with a cost below it"
    print(f"{label:<58}{np.mean(mine < theirs * (1 - 1e-6)):>12.1%}")
    label = "the whole fit with its intervals, seconds"
    print(f"{label:<58}{whole:>12.3f}")


def one_at_a_time(problem, theta: np.ndarray, z: np.ndarray) -> np.ndarray:
    """A replicate by SciPy, from the fitted law."""
    start = theta.copy()
    start[2] = min(max(start[2], 1e-9), problem.roof * (1 - 1e-9))
    return least_squares(
        lambda x: problem.predict(x) - z,
        start,
        jac=lambda x: problem.jacobian(x)[1],
        bounds=([-np.inf, 0.0, 0.0], [np.inf, np.inf, problem.roof]),
        loss="huber",
        f_scale=HUBER,
        x_scale="jac",
    ).x


def scales(count: int, starts: int) -> None:
    """How many fits in random units reach the optimum."""
    generator = np.random.default_rng(1)
    reached = dict.fromkeys(("fit_power_law", "curve_fit", "fit_power_law, Huber"), 0)
    for index in range(count):
        noise = 0.0 if index % 2 else 0.01
        curve = draw(generator, np.geomspace(64, 65536, 12), noise)
        units = 10.0 ** generator.uniform(-6, 6, 2)
        n, loss = curve.n * units[0], curve.loss * units[1]
        found = {
            "fit_power_law": fit_power_law(n, loss, weights=np.ones(n.size), replicates=0).predict,
            "curve_fit": peer(n, loss),
        }
        robust = fit_power_law(n, loss, huber=HUBER, replicates=0)
        least, least_huber = optimum(curve, starts, noise, generator)
        # rounding of the loss: 64 units in the last place of each
        slack = np.sum((64 * np.finfo(float).eps * curve.loss) ** 2)
        for name, law in found.items():
            total = np.sum((law(n) / units[1] - curve.loss) ** 2)
            # SciPy's default tolerances stop at a relative change of 1e-8
            within = 1e-6 if name == "curve_fit" else 1e-9
            reached[name] += bool(total <= least * (1 + within) + slack)
        slack = curve.n.size * (64 * np.finfo(float).eps) ** 2
        reached["fit_power_law, Huber"] += bool(2 * robust.cost <= least_huber * (1 + 1e-9) + slack)
    print(f"\n{count} curves in random units: fits that reach the optimum")
    for name, hits in reached.items():
        print(f"{name:<58}{hits:>12}")


def peer(n: np.ndarray, loss: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """curve_fit from its default start; a law that is nan where it gives up."""

    def law(n, scale, exponent, floor):
        return scale * n**-exponent + floor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            best, _ = curve_fit(law, n, loss)
        except RuntimeError:
            best = np.full(3, np.nan)
    return lambda n: law(n, *best)


def optimum(
    curve: Curve, starts: int, noise: float, generator: np.random.Generator
) -> tuple[float, float]:
    """The least sum of squares and the least (doubled) Huber sum, by many starts."""
    if noise == 0.0:
        return 0.0, 0.0
    t, y = np.log(curve.n / curve.n[0]), curve.loss
    smallest = float(y.min())

    def law(x):
        # unbounded parameters: log of the first excess, log of the exponent, logit of the floor
        level = np.clip(x[0], -80, 80) - np.exp(np.clip(x[1], -30, 5)) * t
        return np.exp(level) + smallest / (1.0 + np.exp(-np.clip(x[2], -700, 700)))

    def best(errors: Callable[[np.ndarray], np.ndarray], huber: float | None) -> float:
        truth = [
            math.log(curve.scale * curve.n[0] ** -curve.exponent),
            math.log(curve.exponent),
            math.log(curve.floor / (1.0 - min(curve.floor, 0.999))),
        ]
        tries = [np.array(truth)]
        for _ in range(starts):
            floor = generator.normal(0, 4)
            tries.append(np.array([generator.uniform(-5, 12), generator.uniform(-3, 2), floor]))
        least = math.inf
        for x in tries:
            if huber is None:
                x = least_squares(errors, x, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14).x
            else:
                for scale in (1.0, 30 * huber, huber):
                    x = least_squares(errors, x, loss="huber", f_scale=scale, x_scale="jac").x
            least = min(least, float(cost(errors(x), huber)))
        return least

    squares = best(lambda x: law(x) - y, None)
    return squares, best(lambda x: np.log(law(x) / y), HUBER)


def curves(count: int, outliers: float, seed: int = 0) -> Iterator[Curve]:
    """Curves of 8 to 12 widths with 0.3% to 3% noise, some points 1.2 times too high."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        n = 64.0 * 2.0 ** np.arange(generator.integers(8, 13))
        yield draw(generator, n, 10 ** generator.uniform(-2.5, -1.5), outliers)


def coverage(
    count: int, huber: float | None, outliers: float, level: float = 0.95, bands: bool = False
) -> pd.DataFrame:
    """One row a curve: whether it is identified, and which intervals hold the truth.

    With ``bands``, also those of the law and of the local slope at four times the largest n, and
    the bootstrap intervals.
    """
    rows = []
    for curve in curves(count, outliers):
        replicates = 999 if bands else 0
        fit = fit_power_law(curve.n, curve.loss, huber=huber, level=level, replicates=replicates)
        row = {"identified": fit.status != NOT_IDENTIFIED}
        for name in ("exponent", "floor", "scale"):
            truth = getattr(curve, name)
            low, high = fit.intervals[name]
            row[name] = low <= truth <= high
            if bands:
                low, high = fit.bootstrap_intervals[name]
                row[f"bootstrap {name}"] = low <= truth <= high
        if bands:
            at = 4.0 * curve.n[-1]
            power = curve.scale * at**-curve.exponent
            low, high = fit.band(at)
            row["band"] = low <= power + curve.floor <= high
            _, low, high = fit.local_slope(at)
            row["slope"] = low <= curve.exponent * power / (power + curve.floor) <= high
        low, high = fit.intervals["exponent"]
        row["width"] = (high - low) / curve.exponent
        rows.append(row)
    return pd.DataFrame(rows)


def print_coverage(count: int, bands: bool) -> None:
    print(f"{count} curves: how often 95% intervals hold the truth, where the status does not say")
    print("that floor and exponent are not identified; those are counted apart")
    names = ["exponent", "floor", "scale"]
    if bands:
        names += ["band", "slope", *(f"bootstrap {name}" for name in names)]
    short = [name.replace("bootstrap ", "boot. ") for name in names]
    head = "".join(f"{name:>15}" for name in short)
    print(f"{'fit':<16}{'outliers':>9}{'identified':>11}{head}{'width':>8}")
    for huber in (None, 1e-3, 1e-2):
        for outliers in (0.0, 0.05):
            table = coverage(count, huber, outliers, bands=bands)
            label = "squares" if huber is None else f"Huber {huber:g}"
            for identified in (True, False):
                part = table[table.identified == identified]
                if part.empty:
                    continue
                shares = "".join(f"{part[name].mean():>15.3f}" for name in names)
                word = f"{len(part)} {'yes' if identified else 'no'}"
                width = f"{part.width.median():>8.3f}"
                print(f"{label:<16}{outliers:>9.0%}{word:>11}{shares}{width}", flush=True)
    print("width: of the exponent's interval over the exponent, median")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer curves and repeats")
    parser.add_argument("--coverage", action="store_true", help="tables of coverage (minutes)")
    parser.add_argument("--bands", action="store_true", help="with those of bands and bootstraps")
    arguments = parser.parse_args()
    if arguments.coverage:
        print_coverage(40 if arguments.quick else 500, arguments.bands)
        return
    if arguments.quick:
        speed(1, 200, 20)
        scales(10, 10)
    else:
        speed(5, 1000, 100)
        scales(200, 40)


if __name__ == "__main__":
    main()
