"""How families are drawn: every number behind one, from a seed and an index.

:data:`DEPARTURES` and :data:`WITHHELD` state in which share of the families the model's
assumptions are broken, and how often evidence is kept back. :func:`draw_recipe` draws; a
:class:`Recipe` holds features, what training did to the optimal allocation, and what a measurement
sees of it.

A fifth of the families (:data:`CLEAN`) has no departure. Of the others each departure is drawn
by itself, so that they combine at random, but for those of the feature law (one of three at most),
of the magnitudes and of the curves (one of two at most).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np

from scaling_theory._validate import Ints
from scaling_theory.analysis.blind._draw import (
    Structure,
    draw_features,
    draw_parts,
    log_uniform,
    stream,
)
from scaling_theory.analysis.blind.features import Features

#: Share of the families without departures.
CLEAN = 0.2
#: Share of the other families that have each departure. The first four are of families with
#: manifolds only: without them they would mean nothing.
DEPARTURES = {
    "overlap": 0.25,
    "convention": 0.1,
    "measured curve": 0.08,
    "unrelated dimension": 0.15,
    "shifted law": 0.1,
    "bent law": 0.1,
    "finite features": 0.1,
    "magnitudes by rank": 0.12,
    "magnitudes at random": 0.1,
    "duplicates": 0.2,
    "dead latents": 0.25,
    "missing widths": 0.2,
    "suboptimal allocation": 0.15,
    "few samples": 0.1,
    "correlated noise": 0.12,
}
_NEED_MANIFOLDS = ("overlap", "convention", "measured curve", "unrelated dimension")
_EXCLUSIVE = (
    ("convention", "measured curve"),
    ("shifted law", "bent law", "finite features"),
    ("magnitudes by rank", "magnitudes at random"),
)
#: Share of the families in which this is kept back. "losses only" keeps back frequencies and
#: cosines, so that the next three are drawn for the rest of the families, and "frequencies but
#: one" (of a single width only) goes before "some frequencies" (of two widths or more, not all).
WITHHELD = {
    "losses only": 0.12,
    "frequencies but one": 0.12,
    "some frequencies": 0.15,
    "cosines": 0.15,
    "standard errors": 0.4,
}
#: How often each structure is drawn; without manifolds nothing is pathological.
STRUCTURES: dict[str, dict[Structure, float]] = {
    "benign": {
        "manifolds": 0.3, "mixture": 0.3, "two manifolds": 0.15, "discrete": 0.15, "plateau": 0.1,
    },
    "pathological": {"manifolds": 0.4, "mixture": 0.4, "two manifolds": 0.2},
}  # fmt: skip


@final
@dataclass(frozen=True)
class Training:
    """What training did to the optimal allocation.

    Attributes
    ----------
    dead
        Share of dead latents at the smallest and at the largest width, linear in ln N between.
    duplicates
        Share of the live latents that copy another: they split its firing and buy nothing.
    displaced
        Probability that a latent serves another feature than it should, at a rank that is off by
        a factor e^z, z standard normal: this much for latents that buy no more than the price,
        and for others this times price over what the feature's last latent buys. Training misses
        rare features; without the most frequent one a loss would tell of nothing else.
    blur
        Standard deviation of ln (n_i - 1) around the optimum, on manifolds.
    theta
        Overlap: q(n) = n^theta latents of a feature fire together.
    """

    dead: tuple[float, float] = (0.0, 0.0)
    duplicates: float = 0.0
    displaced: float = 0.0
    blur: float = 0.0
    theta: float = 0.0


@final
@dataclass(frozen=True)
class Measurement:
    """What is seen of a family.

    Attributes
    ----------
    floor, scale
        Losses are ``scale`` times (excess + constant), the constant being the share ``floor`` of
        the smallest loss.
    noise, common, length
        Standard deviation of ln loss: of each width's own error, and of an error that all widths
        share. Own errors are independent where ``length`` is 0, and otherwise have the
        correlation exp(-|difference of ln N| / length).
    tokens, peak
        Firing is counted over so many tokens; the most frequent latent fires with ``peak``.
    uneven
        Standard deviation of the logarithm of frequencies between latents of one feature.
    ambient, scatter, correlation, related
        Decoders live in so many dimensions; angles on manifolds have a lognormal scatter;
        Fisher's z of unrelated directions is raised by a half-normal number of this scale; this
        share of unrelated latents has a relative with a cosine in 0.2 to 0.7.
    """

    floor: float
    scale: float
    noise: float
    common: float
    length: float
    tokens: float
    peak: float
    uneven: float
    ambient: int
    scatter: float
    correlation: float
    related: float


@final
@dataclass(frozen=True)
class Recipe:
    """Every number behind a family.

    Attributes
    ----------
    seed, index
        What it was drawn from.
    structure
        Which kinds of features are mixed.
    features, training, measurement
        See there.
    widths : (k,) int64
        Numbers of latents, dead ones and duplicates included.
    departures, withheld
        Names, keys of :data:`DEPARTURES` and :data:`WITHHELD`.
    """

    seed: int
    index: int
    structure: Structure
    features: Features
    training: Training
    measurement: Measurement
    widths: Ints
    departures: tuple[str, ...]
    withheld: tuple[str, ...]


def draw_recipe(seed: int, index: int, regime: Literal["benign", "pathological"]) -> Recipe:
    """Draw everything behind the family of an index; seeds and indices are taken as checked."""
    rng = stream((seed, index), "recipe")
    options = STRUCTURES[regime]
    structure = list(options)[rng.choice(len(options), p=list(options.values()))]
    departures = _departures(rng, structure not in ("discrete", "plateau"))
    alpha = rng.uniform(0.2, 1.2)
    parts = draw_parts(rng, structure, regime, alpha, departures)
    listed = "bent law" in departures or "magnitudes at random" in departures
    widths = draw_widths(rng, 15.0 if listed else 18.0, missing="missing widths" in departures)
    features = draw_features(rng, parts, alpha, int(widths[-1]), departures)
    training = _training(rng, departures)
    return Recipe(
        seed, index, structure, features, training, draw_measurement(rng, departures), widths,
        departures, draw_withheld(rng),
    )  # fmt: skip


def draw_widths(rng: np.random.Generator, top: float, *, missing: bool) -> Ints:
    """Draw 5 to 10 widths from about 64 up, a factor of 16 to 1024 apart; log2 at most ``top``.

    The logarithm of the span is uniform, and so is that of the smallest width where there is room.
    """
    span = rng.uniform(4.05, 9.95)
    low = 6.0 + rng.random() * max(top - 6.0 - span, 0.0)
    count = int(rng.integers(7 if missing else 5, 11))
    widths = np.rint(np.exp2(np.linspace(low, low + span, count))).astype(np.int64)
    if missing:
        gone = rng.choice(np.arange(1, count - 1), size=rng.integers(2, count - 4), replace=False)
        widths = np.delete(widths, gone)
    widths.flags.writeable = False
    return widths


def draw_measurement(rng: np.random.Generator, departures: tuple[str, ...]) -> Measurement:
    """Draw errors, floor, tokens and geometry."""
    return Measurement(
        floor=0.0 if rng.random() < 0.2 else rng.uniform(0.0, 0.9),
        scale=log_uniform(rng, 0.01, 100.0),
        noise=log_uniform(rng, 0.003, 0.03),
        common=log_uniform(rng, 0.01, 0.05) if "few samples" in departures else 0.0,
        length=rng.uniform(1.0, 3.0) if "correlated noise" in departures else 0.0,
        tokens=float(round(log_uniform(rng, 1e5, 1e7))),
        peak=log_uniform(rng, 0.01, 0.9),
        uneven=rng.uniform(0.0, 0.5),
        ambient=round(log_uniform(rng, 64.0, 4096.0)),
        scatter=rng.uniform(0.05, 0.4),
        correlation=rng.uniform(0.0, 0.1),
        related=rng.uniform(0.0, 0.1),
    )


def draw_withheld(rng: np.random.Generator) -> tuple[str, ...]:
    """Draw which evidence is kept back."""
    drawn = [name for name, share in WITHHELD.items() if rng.random() < share]
    if "losses only" in drawn:
        drawn = [name for name in drawn if name in ("losses only", "standard errors")]
    if "frequencies but one" in drawn and "some frequencies" in drawn:
        drawn.remove("some frequencies")
    return tuple(drawn)


def _departures(rng: np.random.Generator, manifolds: bool) -> tuple[str, ...]:
    if rng.random() < CLEAN:
        return ()
    shares = dict(DEPARTURES)
    if not manifolds:
        for name in _NEED_MANIFOLDS:
            del shares[name]
    # One number decides within a set that excludes one another, so that all shares are as stated.
    drawn = set()
    for rivals in [*_EXCLUSIVE, *((n,) for n in shares if not any(n in e for e in _EXCLUSIVE))]:
        u = rng.random()
        for name in rivals:
            share = shares.get(name, 0.0)
            if 0.0 <= u < share:
                drawn.add(name)
            u -= share
    return tuple(name for name in DEPARTURES if name in drawn)


def _training(rng: np.random.Generator, departures: tuple[str, ...]) -> Training:
    out = Training()
    if "dead latents" in departures:
        first, last = rng.uniform(0.0, 0.3, size=2).tolist()
        out = replace(out, dead=(first, last))
    if "duplicates" in departures:
        out = replace(out, duplicates=rng.uniform(0.05, 0.4))
    if "suboptimal allocation" in departures:
        out = replace(out, displaced=rng.uniform(0.02, 0.2), blur=rng.uniform(0.1, 0.6))
    if "overlap" in departures:
        out = replace(out, theta=rng.uniform(0.1, 0.8))
    return out
