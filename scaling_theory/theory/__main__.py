"""Print the numbers that the documentation quotes: ``python -m scaling_theory.theory``.

Name topics to choose: conventions limits critical takeover readings parameters norms. All
of them take about ten seconds.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scaling_theory import theory
from scaling_theory._tables import print_topics
from scaling_theory.allocation import allocate
from scaling_theory.curves import DiscreteCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the topics named, or all."""
    return print_topics(_TOPICS, arguments, __doc__)


def _conventions() -> None:
    print("alpha 0.5, N = 1e8: what is said of L(0), exponents, constants, exact D")
    law = PowerLawFrequencies(0.5)
    for beta in (0.1, 1.0):
        convex = 2.0 - 2.0**-beta
        cases: list[tuple[str, dict[str, Any]]] = [
            ("(1+n)^-beta", {}),
            ("n^-beta, L(0) = L(1) = 1", {"shift": 0}),
            (f"n^-beta, L(0) = {convex:.3f}, just convex", {"shift": 0, "at_zero": convex}),
            ("n^-beta, L(0) = 2", {"shift": 0, "at_zero": 2.0}),
        ]
        for name, options in cases:
            curve = PowerLawCurve(beta, **options)
            said = theory.predict(alpha=0.5, curve=curve)
            found = allocate(Population(law, curve), 10**8).discovered
            print(
                f"beta {beta:g}  {name:36s} loss {said.loss_constant:7.4f} "
                f"N^-{said.loss_exponent:g}  D {said.discovery_constant:.4f} "
                f"N^{said.discovery_exponent:.4f}  exact D {found:11,d}  envelope's first step "
                f"{curve.segment(np.ones(1))[1].item():.0f}"
            )


def _limits() -> None:
    print("local slope -d ln excess / d ln N of the exact optimum, its limit, and N at 10% off")
    for alpha, beta in ((0.5, 1.0), (0.5, 0.25), (0.5, 0.1), (0.5, 0.5), (0.2, 0.2), (0.3, 0.2)):
        population = Population(PowerLawFrequencies(alpha), PowerLawCurve(beta))
        said = theory.predict(population=population)
        slopes = []
        for n in (10**4, 10**6, 10**8):
            at = allocate(population, n)
            slopes.append(f"{at.price * n / at.excess_loss:.4f}")
        reach = "" if said.within_reach else "  (out of reach)"
        print(
            f"alpha {alpha:g} beta {beta:g}: 1e4, 1e6, 1e8: {'  '.join(slopes)}  limit "
            f"{said.loss_exponent:g}  crossover {said.crossover:.2e}{reach}"
        )


def _critical() -> None:
    from scipy.special import lambertw

    said = theory.predict(alpha=0.5, beta=0.5)
    law, curve = PowerLawFrequencies(0.5), PowerLawCurve(0.5)
    constant = critical_constant(0.5, curve)
    print(f"alpha = beta = 0.5: G = {constant:.6f}")
    print(
        "   N     exact excess   Lambert W / exact - 1   uniform / exact - 1   leading / exact - 1"
    )
    for n in (10**4, 10**6, 10**8, 10**10, 10**12):
        exact = allocate(Population(law, curve), n).excess_loss
        spent = n - 0.5  # N less shift/2
        w = float(lambertw(spent * math.exp(constant)).real)
        closed = law.normaliser * (spent / w) ** -0.5 * (w + 3.0)
        leading = said.loss_constant * n**-0.5 * math.log(n) ** 1.5
        print(
            f"{n:6.0e}  {exact:.8e}  {closed / exact - 1.0:20.2e}  "
            f"{said.loss(n)[0] / exact - 1.0:20.2e}  {leading / exact - 1.0:18.3f}"
        )


def critical_constant(alpha: float, curve: PowerLawCurve) -> float:
    """G = EulerGamma + gamma_m - 1 of N = kappa (ln kappa + G), for alpha = beta."""
    return float(np.euler_gamma) + theory.regular_level_sum(curve, alpha) - 1.0


def _takeover() -> None:
    print("alpha 0.5, one manifold n^-0.1 among discrete features: N at which it holds half")
    law, step = PowerLawFrequencies(0.5), DiscreteCurve()
    for rank in (1, 3, 10, 30):
        tile = PowerLawCurve(0.1, shift=0)
        population = Population(law, step, ranks={rank: tile}, label="discrete")
        leading = 2.0 * (rank**1.5 / 0.1) ** 2.5
        closed = theory.takeover(population, f"rank {rank}")
        exact = _half(population, closed)
        print(f"rank {rank:2d}: leading {leading:.6g}  closed form {closed:.6g}  exact {exact:,d}")
    print("manifolds (1+n)^-0.1 at random ranks, 1000 draws: quartiles of that N")
    for share in (0.1, 0.03, 0.01, 0.003, 0.001):
        groups = {"tile": (share, PowerLawCurve(0.1)), "step": (1.0 - share, step)}
        quartiles = np.quantile(theory.takeover_draws(law, groups, "tile"), [0.25, 0.5, 0.75])
        print(f"share {share:g}: " + "  ".join(f"{q:.3g}" for q in quartiles))


def _half(population: Population, guess: float) -> int:
    """Smallest N at which the first group holds half of the exact optimum's latents."""
    low, high = int(guess / 2), int(2 * guess)
    while high - low > 1:
        middle = (low + high) // 2
        share = allocate(population, middle).by_group()["share"][0]
        low, high = (middle, high) if share < 0.5 else (low, middle)
    return high


def _readings() -> None:
    print(theory.gemma_scope_readings().to_string(index=False, float_format="{:.3f}".format))


def _parameters() -> None:
    for exponent in (0.07, 0.34):
        said = theory.alpha_from_parameter_scaling(exponent)
        print(f"alpha_N {exponent:g}: alpha {said.alpha:g}, pathological below that beta")
    print(f"assumption: {said.assumption}")


def _norms() -> None:
    one = theory.FeatureWeights.poisson([1.0])
    rho = theory.norm_correlation(one)
    print(f"Poisson, rate 1: rho = {rho:.6f}; 3/sqrt(11) = {3.0 / math.sqrt(11.0):.6f}")
    rng = np.random.default_rng(0)
    sums = np.zeros(5)
    for _ in range(10):
        w = rng.poisson(1.0, size=10**6).astype(float)
        b = 2.0 * w
        sums += [b.sum(), (w * w).sum(), (b * b).sum(), (w**4).sum(), (b * w * w).sum()]
    mean = sums / 1e7
    variances = (mean[2] - mean[0] ** 2) * (mean[3] - mean[1] ** 2)
    print(f"simulation of 1e7: rho = {(mean[4] - mean[0] * mean[1]) / math.sqrt(variances):.6f}")
    two = theory.FeatureWeights.bernoulli([0.3, 0.01], [1.0, 5.0])
    print(f"Bernoulli: rho = {theory.norm_correlation(two)!r}")
    print(f"printed in E24 C.1: 6/sqrt(66) = {6.0 / math.sqrt(66.0):.6f}")


_TOPICS: dict[str, Callable[[], None]] = {
    "conventions": _conventions,
    "limits": _limits,
    "critical": _critical,
    "takeover": _takeover,
    "readings": _readings,
    "parameters": _parameters,
    "norms": _norms,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
