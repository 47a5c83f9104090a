"""Families of SAEs whose regime is known, to judge diagnoses by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._progress import track
from scaling_theory._validate import Floats, Ints
from scaling_theory.analysis.blind import _observe, _other
from scaling_theory.analysis.blind._draw import stream
from scaling_theory.analysis.blind._observe import Singles
from scaling_theory.analysis.blind._spend import Spent, spend
from scaling_theory.analysis.blind.recipe import (
    Recipe,
    draw_measurement,
    draw_recipe,
    draw_widths,
    draw_withheld,
)

Regime = Literal["benign", "pathological", "other"]

#: One family in so many is one that the model can't describe.
OTHER_EVERY = 12


@final
@dataclass(frozen=True, eq=False, repr=False)
class Family:
    """SAEs of several widths, what is seen of them, and the truth behind them.

    Seen: ``widths``, ``losses``, ``stderr``, ``frequencies``, ``cosines``. The rest is truth.

    Attributes
    ----------
    name
        Says nothing of the regime.
    regime
        "pathological" if any manifold has beta < alpha, else "benign"; "other" where the model
        does not describe the family.
    alpha, beta
        Tail exponent of p_i magnitude_i, and the smallest beta of the manifolds. beta is nan where
        there are no manifolds, both are for "other".
    share
        Share of the features that are manifolds; nan for "other".
    widths : (k,) int64
        Numbers of latents, increasing, k from 5 to 10.
    losses : (k,)
        With errors.
    stderr : (k,), optional
        Their stated standard errors.
    frequencies : width -> (width,) float32, optional
        How often each latent fires, 0 for those never seen to; not necessarily of every width.
    cosines : width -> (width,) float32, optional
        Cosine of each decoder row with its nearest other; latents in the same order.
    departures, withheld
        What of the model's assumptions is broken, and what evidence was kept back.
    expected : (k,)
        Losses without errors.
    optimum : (k,)
        Losses of the exact optimum with all latents of each width, on the same scale and floor:
        they differ from ``expected`` by what training lost. nan for "other".
    slopes : (k,)
        -d ln excess / d ln N of that optimum; nan for "other".
    manifold_latents : (k,)
        Share of each width's live latents, copies left out, on manifolds; nan for "other".
    taken_over : (k,)
        The same on manifolds with beta < alpha. Where it is small the family is pathological in
        the limit only: nothing that is seen of these widths can tell.
    recipe
        Every number behind the family; None for "other".
    """

    name: str
    regime: Regime
    alpha: float
    beta: float
    share: float
    widths: Ints
    losses: Floats
    stderr: Floats | None
    frequencies: Mapping[int, Singles] | None
    cosines: Mapping[int, Singles] | None
    departures: tuple[str, ...]
    withheld: tuple[str, ...]
    expected: Floats
    optimum: Floats
    slopes: Floats
    manifold_latents: Floats
    taken_over: Floats
    recipe: Recipe | None

    def __repr__(self) -> str:
        return (
            f"Family({self.name!r}, {self.regime!r}, alpha={self.alpha:.3g}, beta={self.beta:.3g}, "
            f"share={self.share:g}, {self.widths.size} widths, departures={self.departures!r}, "
            f"withheld={self.withheld!r})"
        )


def blind_families(count: int = 240, seed: int = 0, *, progress: bool = False) -> list[Family]:
    """Draw families of SAEs with known regimes.

    Parameters
    ----------
    count
        How many, from 1 to 100,000. Each depends on the seed and its index alone, so that more
        families begin with the same ones.
    seed
        Whole number.
    progress
        Show a bar with the time left on standard error.

    Returns
    -------
    list of Family
        One in 12 of regime "other", the rest half benign and half pathological.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    count = _validate.whole("count", count, low=1, high=100_000)
    seed = _validate.whole("seed", seed)
    steps = track(range(count), "drawing families", count, enabled=progress)
    return [blind_family(index, seed) for index in steps]


def blind_family(index: int, seed: int = 0) -> Family:
    """Draw one family of :func:`blind_families` alone: the same numbers.

    Parameters
    ----------
    index
        Place in the list, from 0.
    seed
        Whole number.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    index = _validate.whole("index", index, high=99_999)
    seed = _validate.whole("seed", seed)
    regime = _regime(index, seed)
    if regime == "other":
        return _strange(index, seed)
    return observe(draw_recipe(seed, index, regime))


def observe(recipe: Recipe) -> Family:
    """Solve a recipe and measure what it makes."""
    features, measured = recipe.features, recipe.measurement
    key = (recipe.seed, recipe.index)
    spent = spend(recipe)
    excess = np.array([s.excess for s in spent])
    # The floor is this share of the smallest loss.
    constant = excess.min() * measured.floor / (1.0 - measured.floor)
    expected = measured.scale * (excess + constant)
    optimum = measured.scale * (np.array([s.optimum for s in spent]) + constant)
    rng = stream(key, "losses")
    losses, stderr = _observe.with_errors(expected, recipe.widths, measured, rng)
    theta = recipe.training.theta
    hidden = "losses only" in recipe.withheld
    frequencies = cosines = None
    if not hidden:
        rates = {
            s.width: _observe.firing_rates(s, features, theta, measured.uneven, key) for s in spent
        }
        frequencies = _frequencies(rates, recipe.withheld, measured.peak, measured.tokens, key)
    if not hidden and "cosines" not in recipe.withheld:
        cosines = _shown({s.width: _observe.nearest_cosines(s, recipe, key) for s in spent}, key)
    return Family(
        name=_name(*key),
        regime=features.regime,
        alpha=features.alpha,
        beta=features.beta,
        share=features.share,
        widths=recipe.widths,
        losses=losses,
        stderr=None if "standard errors" in recipe.withheld else stderr,
        frequencies=frequencies,
        cosines=cosines,
        departures=recipe.departures,
        withheld=recipe.withheld,
        expected=expected,
        optimum=optimum,
        slopes=np.array([s.slope for s in spent]),
        manifold_latents=_latent_share(spent, [p.kind == "manifold" for p in features.parts]),
        taken_over=_latent_share(spent, [p.beta < features.alpha for p in features.parts]),
        recipe=recipe,
    )


def _regime(index: int, seed: int) -> Regime:
    """Every twelfth is "other"; of each two of the rest one is benign, in a random order."""
    if index % OTHER_EVERY == OTHER_EVERY - 1:
        return "other"
    pair, second = divmod(index - index // OTHER_EVERY, 2)
    flipped = int(stream((seed, pair), "regime").integers(2))
    return "pathological" if second ^ flipped else "benign"


def _name(seed: int, index: int) -> str:
    return f"family {index} of seed {seed}"


def _frequencies(
    rates: Mapping[int, Floats],
    withheld: tuple[str, ...],
    peak: float,
    tokens: float,
    key: tuple[int, int],
) -> Mapping[int, Singles]:
    """Count the firing of the widths that are shown; one constant for all of them."""
    rng = stream(key, "counts")
    constant = peak / max(float(r.max()) for r in rates.values())
    widths = list(rates)
    if "frequencies but one" in withheld:
        widths = [widths[rng.integers(len(widths))]]
    elif "some frequencies" in withheld:
        some = rng.choice(len(widths), size=rng.integers(2, len(widths)), replace=False)
        widths = [widths[k] for k in sorted(some.tolist())]
    return _shown({n: _observe.counted(constant * rates[n], tokens, rng) for n in widths}, key)


def _shown(values: Mapping[int, Singles], key: tuple[int, int]) -> Mapping[int, Singles]:
    """Shuffle latents, by width, in the same way for everything that is shown of them."""
    out = {n: v[_observe.order(n, key)] for n, v in values.items()}
    return MappingProxyType(out)


def _latent_share(spent: Sequence[Spent], counts: Sequence[bool]) -> Floats:
    """Share of the own latents that are on the parts that count, one value a width."""
    chosen = np.array(counts)
    return np.array([s.latents[chosen[s.part]].sum() / s.latents.sum() for s in spent])


def _strange(index: int, seed: int) -> Family:
    key = (seed, index)
    rng = stream(key, "recipe")
    widths = draw_widths(rng, 18.0, missing=False)
    measured, withheld = draw_measurement(rng, ()), draw_withheld(rng)
    turn = index // OTHER_EVERY + seed
    kinds = (_other.LOSSES[turn % 3], _other.FREQUENCIES[turn // 3 % 2])
    expected = measured.scale * _other.strange_losses(kinds[0], widths, rng)
    losses, stderr = _observe.with_errors(expected, widths, measured, rng)
    frequencies = cosines = None
    if "losses only" not in withheld:
        rates = _other.strange_rates(kinds[1], widths, rng)
        frequencies = _frequencies(rates, withheld, measured.peak, measured.tokens, key)
        if "cosines" not in withheld:
            unrelated = {
                n: _observe.unrelated_cosines(n, measured, rng).astype(np.float32)
                for n in widths.tolist()
            }
            cosines = _shown(unrelated, key)
    unknown = np.full(widths.size, math.nan)
    return Family(
        _name(seed, index), "other", math.nan, math.nan, math.nan, widths, losses,
        None if "standard errors" in withheld else stderr, frequencies, cosines, kinds, withheld,
        expected, unknown, unknown, unknown, unknown, None,
    )  # fmt: skip
