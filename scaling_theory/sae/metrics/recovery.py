"""Which true features an SAE has recovered: directions and firing, feature by feature.

:func:`recovery` compares an SAE with one-dimensional features whose directions are known, in two
readings:

- *matched*: each feature has a latent of its own, by the one-to-one matching of largest total
  cosine (Hungarian). Duplicates and merged features cost; a feature that no latent is left for has
  recovered nothing. Ask this of a dictionary as a whole.
- *by latent*: each latent is held against the feature nearest to it, so that several may share one.
  Precision, recall and F1 of SynthSAEBench (Chanin et al. 2026, arXiv:2602.14687) are means over
  latents in this reading; its MCC is the matched one, ``mcc_pairs``.

SynthSAEBench takes absolute cosines. Here a cosine keeps its sign: activations and features are not
negative, so that a latent that points against a feature can't stand for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch

from scaling_theory.sae.architectures import Architecture, decode
from scaling_theory.sae.metrics._blocks import blocks, samples, wide
from scaling_theory.sae.superposition import Parts
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True, eq=False)
class Recovery:
    """What was recovered; features count from 0, in the order of their ranks.

    Attributes
    ----------
    status
        "complete" if every feature was active on some sample, else "partial".
    message
        What that means for the numbers, in a sentence.
    matched : (features,) int64
        Latent matched to each feature, -1 for none: there are fewer latents than features.
    cosine : (features,) float64
        Cosine of its decoder row with the feature; 0 without a latent, or for a row of zeros.
    precision, recall, f1 : (features,) float64
        Of the latent's firing, as a statement that the feature is active: TP / (TP + FP),
        TP / (TP + FN), 2 TP / (2 TP + FP + FN). 0 for features without a latent and for latents
        that never fire; nan for features that are never active in the samples.
    nearest : (n,) int64
        Feature of the largest cosine with each latent.
    nearest_cosine : (n,) float64
        That cosine.
    latent_precision, latent_recall, latent_f1 : (n,) float64
        Of the latent's firing for its nearest feature; 0 where a denominator is 0.
    firing : (features,) float64
        Share of the samples on which each feature is active.
    latent_firing : (n,) float64
        Share of the samples on which each latent fires.
    fvu
        Fraction of variance unexplained, on the same samples.
    rows
        Number of samples.
    """

    status: Literal["complete", "partial"]
    message: str
    matched: torch.Tensor
    cosine: torch.Tensor
    precision: torch.Tensor
    recall: torch.Tensor
    f1: torch.Tensor
    nearest: torch.Tensor
    nearest_cosine: torch.Tensor
    latent_precision: torch.Tensor
    latent_recall: torch.Tensor
    latent_f1: torch.Tensor
    firing: torch.Tensor
    latent_firing: torch.Tensor
    fvu: float
    rows: int

    @property
    def mcc(self) -> float:
        """Mean matched cosine over all features; those without a latent count as 0."""
        return float(self.cosine.mean())

    @property
    def mcc_pairs(self) -> float:
        """Mean matched cosine over the min(n, features) pairs: SynthSAEBench's MCC, with signs."""
        return float(self.cosine[self.matched >= 0].mean())

    @property
    def l0(self) -> float:
        """Mean number of latents that fire."""
        return float(self.latent_firing.sum())

    @property
    def true_l0(self) -> float:
        """Mean number of features that are active."""
        return float(self.firing.sum())

    @property
    def dead(self) -> float:
        """Share of the latents that never fire."""
        return float((self.latent_firing == 0.0).double().mean())

    @property
    def uniqueness(self) -> float:
        """Number of features that are nearest to some latent, over the number of latents.

        Latents with no part in any feature, as decoder rows of zeros, are nearest to none; they
        count as latents.
        """
        nearest = self.nearest[self.nearest_cosine != 0.0]
        return int((nearest.bincount() > 0).sum()) / self.nearest.numel()

    def mean(
        self,
        score: Literal["precision", "recall", "f1", "cosine"],
        weights: Literal["features", "firing"] = "features",
        among: torch.Tensor | None = None,
    ) -> float:
        """Mean of a matched score over features that are active in the samples.

        Parameters
        ----------
        score
            Which one.
        weights
            "features" (default): all alike, the macro mean. "firing": in proportion to how often
            each is active, so that rare features hardly count.
        among : (features,) bool
            Features to take the mean over. None (default): all. nan if none of them is active.

        Raises
        ------
        ValueError
            If an argument is none of these.
        """
        if score not in ("precision", "recall", "f1", "cosine"):
            raise ValueError(
                f"score must be 'precision', 'recall', 'f1' or 'cosine', got {score!r}"
            )
        if weights not in ("features", "firing"):
            raise ValueError(f"weights must be 'features' or 'firing', got {weights!r}")
        here = self.firing > 0.0
        if among is not None:
            if not (isinstance(among, torch.Tensor) and among.dtype == torch.bool) or (
                among.shape != here.shape
            ):
                raise ValueError(
                    f"among must be a bool tensor of shape ({here.numel()},) or None, got {among!r}"
                )
            here = here & among.to(here.device)
        w = self.firing[here] if weights == "firing" else torch.ones_like(self.firing[here])
        values: torch.Tensor = getattr(self, score)
        return float((values[here] * w).sum() / w.sum())


def recovery(
    architecture: Architecture,
    weights: Weights,
    parts: Parts,
    matching: Literal["cosine", "firing"] = "cosine",
    block: int | None = None,
) -> Recovery:
    """Match latents to features, and hold their directions and their firing against each other.

    Parameters
    ----------
    architecture, weights
        The SAE, with n latents on d dimensions. A latent fires where its activation is above 0.
    parts
        ``Superposition.sample_parts(...)`` of at least two inputs, on the device of the weights;
        of features with one dimension each that are never negative.
    matching
        What makes the one-to-one matching of features and latents. "cosine" (default): the largest
        sum of cosines of decoder rows and features; it knows nothing of the samples. "firing": the
        largest sum of correlation coefficients of who is active with who fires; it knows nothing of
        the decoder, and rewards latents that fire at the right time.
    block
        Rows at once. None, the default: as suits the device, tensors of (rows, n) within 16 MiB.
        Besides, one matrix of (features, n) is held in float64, on the CPU, and with "firing" two
        in float32.

    Raises
    ------
    ValueError
        If ``parts`` is no sample of one-dimensional features in d dimensions that are not negative,
        or ``matching`` is neither of the two.

    Notes
    -----
    The assignment is SciPy's ``linear_sum_assignment``: time at most in proportion to the cube of
    the size, and in practice about its square.
    """
    if matching not in ("cosine", "firing"):
        raise ValueError(f"matching must be 'cosine' or 'firing', got {matching!r}")
    x = _checked(parts, weights)
    features, n = parts.active.shape[1], weights.width
    with torch.no_grad():
        cosines = _cosines(parts, weights)
        nearest_cosine, nearest = cosines.max(0)
        if matching == "cosine":
            matched = _assigned(cosines)
        else:
            matched = _assigned(_agreement(architecture, weights, parts, x, block))
        pairs = matched.clamp_min(0).to(x.device), nearest.to(x.device)
        both = torch.zeros(features, dtype=torch.int64, device=x.device)
        latent_both = torch.zeros(n, dtype=torch.int64, device=x.device)
        fires = torch.zeros(n, dtype=torch.int64, device=x.device)
        error = 0.0
        start = 0
        for some in blocks(x, block, n, features):
            active = parts.active[start : start + some.shape[0]]
            activations = architecture.encode(weights, some)
            fired = activations > 0.0
            fires += fired.sum(0)
            both += (active & fired[:, pairs[0]]).sum(0)
            latent_both += (fired & active[:, pairs[1]]).sum(0)
            error += float(wide((some - decode(weights, activations)).square()).sum())
            start += some.shape[0]
        total = float(wide(x - x.mean(0)).square().sum())
    times, fires = wide(parts.active.sum(0)), wide(fires)
    alone = matched < 0  # their pairs above are with latent 0: no hits of theirs
    hits = wide(both).masked_fill(alone.to(both.device), 0.0)
    own = fires[matched.clamp_min(0)]
    unseen = times == 0.0
    scores = [v.masked_fill(unseen, torch.nan) for v in _scores(hits, own, times)]
    missing = int(unseen.sum())
    rows = x.shape[0]
    return Recovery(
        status="partial" if missing else "complete",
        message=(
            f"{missing} of {features} features are never active in {rows} samples: nothing is "
            f"said of their firing"
            if missing
            else f"all {features} features are active on some of {rows} samples"
        ),
        matched=matched,
        cosine=cosines[torch.arange(features), matched.clamp_min(0)].masked_fill(alone, 0.0),
        precision=scores[0],
        recall=scores[1],
        f1=scores[2],
        nearest=nearest,
        nearest_cosine=nearest_cosine,
        **dict(
            zip(
                ("latent_precision", "latent_recall", "latent_f1"),
                _scores(wide(latent_both), fires, times[nearest]),
                strict=True,
            )
        ),
        firing=times / rows,
        latent_firing=fires / rows,
        fvu=error / total if total > 0.0 else torch.nan,
        rows=rows,
    )


def _checked(parts: Parts, weights: Weights) -> torch.Tensor:
    if not isinstance(parts, Parts):
        raise ValueError(
            f"parts must be what Superposition.sample_parts gives, got a {type(parts).__name__}"
        )
    x = samples(parts.x, weights.dimension)
    for i, own in enumerate(parts.slices):
        if own.stop - own.start != 1:
            raise ValueError(
                f"parts must be of features with one dimension each, which have a direction, got "
                f"feature {i} with {own.stop - own.start}"
            )
    least = parts.coordinates.min(0).values
    if bool((least < 0.0).any()):
        i = int(least.argmin())
        raise ValueError(
            f"parts must be of features that are never negative, got {float(least[i])!r} of "
            f"feature {i}: a feature with both signs is two directions"
        )
    return x


def _cosines(parts: Parts, weights: Weights) -> torch.Tensor:
    """Cosines of features and decoder rows, (features, n), in float64 on the CPU."""
    decoder = _unit(weights.decoder.cpu().double())
    if parts.basis is None:
        return decoder[:, : len(parts.slices)].T.contiguous()
    return torch.mm(_unit(parts.basis.cpu().double().T), decoder.T)


def _unit(rows: torch.Tensor) -> torch.Tensor:
    """Rows of norm 1; rows of zeros stay what they are."""
    return torch.nn.functional.normalize(rows, dim=1, eps=1e-30)


def _assigned(value: torch.Tensor) -> torch.Tensor:
    """Columns of the one-to-one assignment of largest total value, (rows,); -1 without one."""
    from scipy.optimize import linear_sum_assignment

    row, column = linear_sum_assignment(value.numpy(), maximize=True)
    out = torch.full((value.shape[0],), -1, dtype=torch.int64)
    out[torch.from_numpy(row)] = torch.from_numpy(column)
    return out


def _agreement(
    architecture: Architecture, weights: Weights, parts: Parts, x: torch.Tensor, block: int | None
) -> torch.Tensor:
    """Correlation coefficients of features' activity and latents' firing, (features, n); 0 if none.

    Counts are whole numbers that float32 holds exactly, up to 2^24 rows.
    """
    features, n = parts.active.shape[1], weights.width
    together = torch.zeros(features, n, device=x.device)
    fires = torch.zeros(n, dtype=torch.int64, device=x.device)
    start = 0
    for some in blocks(x, block, n, features):
        fired = architecture.encode(weights, some) > 0.0
        fires += fired.sum(0)
        active = parts.active[start : start + some.shape[0]]
        together.addmm_(active.T.to(together.dtype), fired.to(together.dtype))
        start += some.shape[0]
    rows = x.shape[0]
    p, q = wide(parts.active.sum(0)) / rows, wide(fires) / rows
    spread = (p * (1.0 - p)).sqrt()[:, None] * (q * (1.0 - q)).sqrt()
    out = (together.cpu().double() / rows - (p[:, None] * q).cpu()) / spread.cpu()
    return out.masked_fill(~(spread.cpu() > 0.0), 0.0)


def _scores(
    hits: torch.Tensor, fires: torch.Tensor, times: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Precision, recall and F1 from counts of true positives, firings and activity; 0 for 0/0."""

    def share(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        return torch.where(whole > 0.0, part / whole, 0.0)

    return share(hits, fires), share(hits, times), share(2.0 * hits, fires + times)
