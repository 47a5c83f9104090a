"""The row of a finished run: metrics on fresh samples."""

from __future__ import annotations

import torch

from scaling_theory.sae.activations import Activations
from scaling_theory.sae.metrics import duplicates, evaluate, ownership
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.superposition import Superposition
from scaling_theory.sae.weights import Weights

Row = dict[str, float | int | str]

#: Samples on which latents are assigned to the features of a superposition.
_OWNERSHIP = 16_384


def measure(spec: RunSpec, weights: Weights) -> tuple[Row, dict[str, torch.Tensor]]:
    """Metrics of an SAE, and what is measured one by one.

    Returns
    -------
    row
        ``loss`` = ``reconstruction`` + ``penalty`` with ``stderr``, ``l0``, ``overlap``, ``fvu``,
        ``dead`` and ``duplicates`` (latents), ``magnitude`` (E|x|^2: the loss without latents and
        bias). On real activations also ``rows`` that were held out, ``log_density`` and
        ``mean_activation``. On a superposition also ``features``, ``discovered`` (features of which
        more than half of the energy is explained while they are active, by whatever latents), and
        ``purity`` (mean over latents that serve a feature).
    tensors
        ``frequencies`` (n,) of firing; on a superposition also ``owner`` and ``purity`` (n,),
        ``explained`` and ``feature_overlap`` (features,).
    """
    device = weights.flat.device
    x = spec.data.held_out(spec.evaluation, spec.generator("evaluation", device=device))
    at = evaluate(spec.architecture, weights, x)
    row: Row = {
        "loss": at.loss,
        "stderr": at.stderr,
        "reconstruction": at.reconstruction,
        "penalty": at.penalty,
        "l0": at.l0,
        "overlap": at.overlap,
        "fvu": at.fvu,
        "dead": at.dead,
        "duplicates": duplicates(weights, alive=at.alive),
        "magnitude": spec.data.magnitude,
    }
    tensors = {"frequencies": at.frequencies}
    if isinstance(spec.data, Activations):
        row |= {
            "rows": at.rows,
            "log_density": at.log_density,
            "mean_activation": at.mean_activation,
        }
    if isinstance(spec.data, Superposition):
        parts = spec.data.sample_parts(_OWNERSHIP, spec.generator("ownership", device=device))
        owned = ownership(spec.architecture, weights, parts)
        row |= {
            "features": int(owned.explained.numel()),
            "discovered": int(owned.discovered.sum()),
            "purity": float(owned.purity[owned.owner >= 0].mean()),
        }
        tensors |= {
            "owner": owned.owner,
            "purity": owned.purity,
            "explained": owned.explained,
            "feature_overlap": owned.overlap,
        }
    return row, tensors
