"""What the solver says of a setting: the optimum for given curves, and what any allocation costs.

Curves come from derivations or from SAEs trained on one manifold, at two rates (``curves``). For
TopK the loss of a sample is no sum over features, since they share its k latents. Two corrections
say what that costs:

- "rare, k shared": every feature has the mean, over samples in which it is active, of the curves
  for the number of latents that it gets there. That is still a sum over features, and the solver
  takes it. Only features that have latents take some of k, so the shares follow from the solution:
  it is found by iteration. One mean stands for all ranks, though frequent features have less
  company than rare ones; and it is too low where what is best for one latent is not for two.
- "derived, k shared": features on half-axis bases, of all of which the k largest coordinates of a
  sample are kept (``HalfAxes``). No sum over features, so only the loss is corrected; latents are
  those of the derived curves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, final

import numpy as np
import torch

from scaling_theory._validate import Floats, Ints
from scaling_theory.allocation import allocate
from scaling_theory.curves import LossCurve, TabulatedCurve
from scaling_theory.sae.architectures import TopK
from scaling_theory.sae.studies._kept import Kept
from scaling_theory.sae.studies.follow.curves import optimal_curve, shared_curve, trained_curve
from scaling_theory.sae.studies.follow.settings import ARCHITECTURES, RARE, Setting
from scaling_theory.sae.superposition import Superposition

#: What a prediction rests on: derived curves; curves of SAEs trained on a manifold that is in every
#: input, or in one of ten; and the corrections for a shared k.
Fed = Literal["derived", "alone", "rare", "derived, k shared", "rare, k shared"]
FED: Final[tuple[Fed, ...]] = ("derived", "alone", "rare", "derived, k shared", "rare, k shared")

#: Samples on which half-axes that share k are evaluated, and their seed.
_SAMPLES, _SEED = 2**17, 0


@final
@dataclass(frozen=True, eq=False)
class Predicted:
    """What theory says of a setting at one width.

    Attributes
    ----------
    latents : (features,) int64
        The optimum.
    loss
        Its loss.
    """

    latents: Ints
    loss: float


def theory_of(setting: Setting, architecture: str, fed: Fed, kept: Kept) -> Theory | None:
    """Return the theory of a setting, or None where it does not apply.

    That is where no curve is derived, or nothing shares a k.
    """
    by_label = curves(setting, architecture, fed, kept)
    if by_label is None:
        return None
    chosen = ARCHITECTURES[architecture]
    if not fed.endswith("k shared"):
        return Theory(setting, by_label)
    assert isinstance(chosen, TopK)
    if fed == "derived, k shared":
        return Theory(setting, by_label, HalfAxes(setting.data, chosen.k))
    return SharedTheory(setting, by_label, chosen.k, kept)


def curves(
    setting: Setting, architecture: str, fed: Fed, kept: Kept
) -> dict[str, LossCurve] | None:
    """Return the curve of each group of features by label, or None where one is not to be had."""
    data, chosen = setting.data, ARCHITECTURES[architecture]
    if fed.endswith("k shared") and not isinstance(chosen, TopK):
        return None
    out: dict[str, LossCurve] = {}
    for label, manifold in zip(data.labels, data.manifolds, strict=True):
        curve: LossCurve | None
        if fed.startswith("derived"):
            curve = optimal_curve(manifold, chosen)
        else:
            curve = trained_curve(manifold, chosen, kept, 1.0 if fed == "alone" else RARE)
        if curve is None:
            return None
        out[label] = curve
    return out


class Theory:
    """The optimum of a setting for given curves, and what a given allocation would cost.

    Parameters
    ----------
    setting
        Features and their frequencies.
    by_label
        Curve of each group of features.
    together
        What an allocation costs where the loss is no sum over features.
    """

    def __init__(
        self, setting: Setting, by_label: Mapping[str, LossCurve], together: HalfAxes | None = None
    ) -> None:
        data = setting.data
        self._population = data.population(by_label)
        self._p = data.probabilities
        self._ranks = np.arange(1, setting.features + 1)
        self._group = data.group_of(self._ranks)
        self._curves = [by_label[label] for label in data.labels]
        self._together = together
        self._known: dict[int, Predicted] = {}

    def at(self, width: int) -> Predicted:
        """Return the optimum with so many latents."""
        if width not in self._known:
            found = allocate(self._population, width)
            latents = np.asarray(found.latents_at(self._ranks), dtype=np.int64)
            loss = found.loss if self._together is None else self.cost(latents)
            self._known[width] = Predicted(latents, loss)
        return self._known[width]

    def cost(self, latents: Ints) -> float:
        """Return the loss of any allocation: sum_i p_i L_i(n_i), unless features share a k."""
        if self._together is not None:
            return self._together.loss(latents)
        losses = np.empty(self._p.size)
        for index, curve in enumerate(self._curves):
            at = self._group == index
            losses[at] = curve.loss(latents[at])
        return float(self._p @ losses)


class SharedTheory(Theory):
    """The optimum where an active feature has the curve for as many of the k latents as it gets.

    Parameters
    ----------
    setting
        Features and their frequencies.
    by_label
        Curve of each group of features that has all of k.
    k
        Of TopK.
    kept
        Stored rows of SAEs trained on each manifold.
    """

    #: Rounds in which shares and solution have to agree; a cycle ends with the last.
    ROUNDS: Final = 20

    def __init__(
        self, setting: Setting, by_label: Mapping[str, LossCurve], k: int, kept: Kept
    ) -> None:
        super().__init__(setting, by_label)
        self._setting, self._k = setting, k
        self._by_k: dict[str, list[LossCurve]] = {}
        for label, manifold in zip(setting.data.labels, setting.data.manifolds, strict=True):
            nothing = TabulatedCurve([0, 1], [manifold.magnitude, manifold.magnitude])
            some = [trained_curve(manifold, TopK(j), kept, RARE) for j in range(1, k + 1)]
            self._by_k[label] = [nothing, *some]

    def at(self, width: int) -> Predicted:
        """Return the optimum with so many latents."""
        if width not in self._known:
            found = np.ones(self._p.size, dtype=bool)
            for _ in range(self.ROUNDS):
                best = self._with(found).at(width)
                before, found = found, best.latents > 0
                if (found == before).all():
                    break
            self._known[width] = best
        return self._known[width]

    def cost(self, latents: Ints) -> float:
        """Return the loss of any allocation."""
        return self._with(latents > 0).cost(latents)

    def _with(self, found: Any) -> Theory:
        """Return the theory in which the features that are found share k."""
        shares = shares_of_k(self._p[found], self._k).tolist()
        curves = {label: shared_curve(by_k, shares) for label, by_k in self._by_k.items()}
        return Theory(self._setting, curves)


class HalfAxes:
    """Loss of half-axis bases, the k largest coordinates of each sample being kept.

    A feature with n latents has the first n of +1, -1, +2, -2, ... of its axes (a point has +1
    only). A latent fires with its coordinate where that is positive; of all that fire on a sample
    the k largest are kept, exactly, and all else is lost. By Monte Carlo on samples that are always
    the same, so that differences are smooth.
    """

    def __init__(self, data: Superposition, k: int) -> None:
        parts = data.sample_parts(_SAMPLES, torch.Generator().manual_seed(_SEED))
        sizes = [s.stop - s.start for s in parts.slices]
        most = int((parts.coordinates != 0.0).sum(1).max())
        at = parts.coordinates.abs().topk(most, dim=1).indices  # all that are not 0
        self._x, self._k = parts.coordinates.gather(1, at), min(k, most)
        self._feature = np.repeat(np.arange(len(sizes)), sizes)[at.numpy()]
        self._axis = np.concatenate([np.arange(size) for size in sizes])[at.numpy()]
        self._square = float(self._x.square().sum(1).double().mean())

    def loss(self, latents: Ints) -> float:
        """Return the loss of an allocation, latents of shape (features,)."""
        n = latents[self._feature]
        needed = torch.tensor(2 * self._axis) + (self._x < 0.0)
        seen = self._x * (torch.tensor(n) > needed)
        kept = seen.square().topk(self._k, dim=1).values.sum(1).double().mean()
        return self._square - float(kept)


def shares_of_k(probabilities: Floats, k: int) -> Floats:
    """Return how often an active feature gets 0 .. k of the k latents of a sample.

    With A features active the k latents are dealt as evenly as can be: k // A to each, and one more
    to k mod A of them. An active feature sees A = a with probability a P(A = a)/E[A], on average
    over features; P(A = a) is the Poisson binomial of the p_i.

    Parameters
    ----------
    probabilities : (features,)
        p_i.
    k
        Of TopK.

    Returns
    -------
    (k + 1,)
        Probabilities; they sum to 1.
    """
    of_count = np.ones(1)
    for p in probabilities:
        of_count = np.append(of_count * (1.0 - p), 0.0) + np.append(0.0, of_count * p)
    out = np.zeros(k + 1)
    seen = np.arange(of_count.size) * of_count / probabilities.sum()
    for active in range(1, of_count.size):
        each, more = divmod(k, active)
        out[each] += seen[active] * (1.0 - more / active)
        if more:
            out[each + 1] += seen[active] * more / active
    return out
