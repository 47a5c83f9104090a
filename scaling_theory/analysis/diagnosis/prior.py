"""What is thought possible before anything is seen: draws of hypotheses, stated and fixed.

alpha is uniform in [-0.4, 1.6], beta log-uniform in [0.03, 6]. Weights of features in the loss
follow Zipf's law in three of five cases, otherwise Mandelbrot's, with a log-uniform offset in
[0.5, 300]. Half of the populations have equal magnitudes; in the others they are a power of the
rank, its exponent normal with standard deviation 0.2. One in five is all discrete, one in four
has nothing but manifolds, in the others the share of manifolds is log-uniform in [0.01, 1]. The
number of features is log-uniform in [16, 1e12]. Half of the SAEs have no overlap; theta of the
others is uniform in [0, 0.9]. The dimension of a manifold is 2/beta (what an ideal encoder would
make of it), give or take a factor of 2 (one standard deviation); neighbours are 1.5 to 7 radians
times n^(-1/dimension) apart. Copies make up 10% of the latents on average.

Draws are weighted so that the two regimes together have the probabilities asked for.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.analysis.diagnosis.model import Hypotheses

#: Number of draws, and the seed they come from.
DRAWS, SEED = 8_192, 20250904
ALPHA, BETA = (-0.4, 1.6), (0.03, 6.0)
#: Share of the latents on manifolds with beta < alpha from which on SAEs are called pathological.
SHOWS = 0.2


@lru_cache(maxsize=4)
def draws(size: int = DRAWS, seed: int = SEED) -> Hypotheses:
    """Draw hypotheses; the same for all diagnoses, so that their tables are made once."""
    g = np.random.default_rng(seed)

    def log_uniform(low: float, high: float) -> Floats:
        return np.asarray(np.exp(g.uniform(math.log(low), math.log(high), size)))

    kind = g.random(size)
    share = np.where(kind < 0.2, 0.0, np.where(kind < 0.45, 1.0, log_uniform(0.01, 1.0)))
    late = share + (1.0 - share) * g.random(size)  # the k-th manifold is k/share - (1 - late)/share
    beta = log_uniform(*BETA)
    return Hypotheses(
        alpha=g.uniform(*ALPHA, size),
        offset=np.where(g.random(size) < 0.6, 0.0, log_uniform(0.5, 300.0)),
        beta=beta,
        tilt=np.where(g.random(size) < 0.5, 0.0, 0.2 * g.standard_normal(size)),
        share=share,
        first=np.where(share > 0.0, late / np.where(share > 0.0, share, 1.0), 1.0),
        count=log_uniform(16.0, 1e12),
        theta=np.where(g.random(size) < 0.5, 0.0, g.uniform(0.0, 0.9, size)),
        dimension=2.0 / beta * np.exp(np.log(2.0) * g.standard_normal(size)),
        angle=log_uniform(1.5, 7.0),
        copies=g.beta(1.0, 9.0, size),
    )


def log_prior(hypotheses: Hypotheses, pathological: float, width: float) -> Floats:
    """Log weights of draws that give the pathological regime a prior probability, (J,)."""
    share = float(shows(draws(), width).mean())
    logs = math.log(pathological / share), math.log((1.0 - pathological) / (1.0 - share))
    return np.asarray(np.where(shows(hypotheses, width) > 0.0, *logs), dtype=np.float64)


def shows(hypotheses: Hypotheses, width: float) -> Floats:
    """1 where manifolds with beta < alpha have at least SHOWS of the latents, (J,)."""
    return (hypotheses.taken_over(width) >= SHOWS).astype(np.float64)


def closer(
    hypotheses: Hypotheses, weights: Floats, proposed: Floats, seed: int
) -> tuple[Hypotheses, Floats]:
    """Draw anew where the weight is, and say how much more often than the prior would.

    ``proposed`` says the same of the draws given: 0 for draws from the prior.

    Half of the draws are chosen by weight, flattened to its power 0.5 so that what was missed
    between them can be found, the other half are any of the same kind (all discrete, all manifolds,
    mixed). alpha and log beta are moved: to near their own, or to near those of another draw of the
    kind, chosen by weight.

    Returns
    -------
    Hypotheses
        Half as many as :func:`draws` gives.
    (J,) floats
        Log of prior over proposal density, up to a constant; -inf outside the prior.
    """
    g = np.random.default_rng(seed)
    size = DRAWS // 2
    flat = weights**0.5
    flat = 0.95 * flat / flat.sum() + 0.05 / weights.size
    kind = np.sign(hypotheses.share) + (hypotheses.share == 1.0)
    place = np.stack([hypotheses.alpha, np.log(hypotheses.beta)], axis=1)
    other = g.choice(weights.size, size, p=flat)
    alpha_beta, density = np.empty((size, 2)), np.empty(size)
    for k in np.unique(kind[other]):
        members, mine = np.flatnonzero(kind == k), np.flatnonzero(kind[other] == k)
        share = flat[members] / flat[members].sum()
        mean = share @ place[members]
        width = np.sqrt(share @ (place[members] - mean) ** 2)
        width = np.clip(0.25 * width, 0.01, 0.3)
        centres = place[g.choice(members, 300, p=share)]
        anyone = g.random(mine.size) < 0.5
        other[mine[anyone]] = g.choice(members, int(anyone.sum()))
        own = place[other[mine]]
        stays = ~anyone & (g.random(mine.size) < 0.5)
        moved = np.where(stays[:, None], own, centres[g.integers(300, size=mine.size)])
        alpha_beta[mine] = moved + width * g.standard_normal((mine.size, 2))
        apart = (alpha_beta[mine][:, None, :] - centres[None, :, :]) / width
        others = np.exp(-0.5 * np.einsum("mci,mci->mc", apart, apart)).mean(axis=1)
        apart = (alpha_beta[mine] - own) / width
        itself = np.exp(-0.5 * np.sum(apart**2, axis=1))
        weighted = 0.5 * flat[other[mine]] * (0.5 * itself + 0.5 * others)
        even = 0.5 * flat[members].sum() / members.size * others
        density[mine] = (weighted + even) / np.prod(width)
    alpha, beta = alpha_beta[:, 0], np.exp(alpha_beta[:, 1])
    inside = (alpha >= ALPHA[0]) & (alpha <= ALPHA[1]) & (beta >= BETA[0]) & (beta <= BETA[1])
    kept = hypotheses.take(other)
    drawn = replace(
        kept,
        alpha=np.clip(alpha, *ALPHA),
        beta=np.clip(beta, *BETA),
        dimension=kept.dimension * kept.beta / np.clip(beta, *BETA),
    )
    log = proposed[other] - np.log(density)
    return drawn, np.where(inside, log, -np.inf)
