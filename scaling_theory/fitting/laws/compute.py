"""Loss against compute, and what the training of an autoencoder costs.

- :func:`fit_compute`: the loss on the frontier, where no cheaper run is as good, as a power law of
  compute.
- :func:`sae_training_flops`: compute of one run, for its horizontal axis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._solve import same_length
from scaling_theory.fitting.laws.curves import PowerLaw
from scaling_theory.fitting.laws.fit import LawFit, fit_law


@final
@dataclass(frozen=True)
class ComputeFit:
    """A law of loss against compute on the frontier.

    Attributes
    ----------
    fit : LawFit
        Of the points on the frontier; its n is the compute.
    frontier : (m,) bools
        Which of the points those are, in the order given.
    status, message : str
        Those of ``fit``; the message also counts the points.
    """

    fit: LawFit
    frontier: npt.NDArray[np.bool_] = field(repr=False)
    status: str
    message: str


def fit_compute(
    C: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    floor: bool = True,
    huber: float | None = None,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> ComputeFit:
    """Fit scale * C^-exponent (+ floor) to the points that no cheaper point equals or beats.

    Parameters
    ----------
    C : (m,) array_like
        Positive compute (FLOPs, or any unit) of runs, or of moments of runs.
    loss : (m,) array_like
        Positive losses.
    floor : bool
        Whether the law has a floor.
    huber, level, seed
        As in :func:`fit_law`.

    Returns
    -------
    ComputeFit

    Raises
    ------
    ValueError
        As :func:`fit_law`, for the points on the frontier too.

    Notes
    -----
    A frontier is a set of minima: noise lowers it, the more the denser the points. As approach 1
    of Hoffmann et al. (2022), section 3.1, but with the points themselves, not interpolated
    curves.
    """
    C = _validate.reals("C", C, low=0.0, low_open=True)
    loss = _validate.reals("loss", loss, low=0.0, low_open=True)
    same_length("loss", loss, C, "C")
    kept = _frontier(C, loss)
    least = 3 + int(floor)
    if int(kept.sum()) < least:
        raise ValueError(
            f"C and loss must have at least {least} points on the frontier, got {kept.sum()} of "
            f"{C.size}"
        )
    fit = fit_law(C[kept], loss[kept], PowerLaw(floor), huber=huber, level=level, seed=seed)
    kept.flags.writeable = False
    message = f"{kept.sum()} of {C.size} points are on the frontier. {fit.message}"
    return ComputeFit(fit, kept, fit.status, message)


def _frontier(C: Floats, loss: Floats) -> npt.NDArray[np.bool_]:
    """Whether a point's loss is below that of all points that cost no more."""
    order = np.lexsort((loss, C))
    best = np.minimum.accumulate(loss[order])
    kept = np.empty(C.size, dtype=bool)
    kept[order] = np.append(True, loss[order][1:] < best[:-1])
    return kept


def sae_training_flops(width: int, dimension: int, samples: int, *, k: int | None = None) -> int:
    """Return the floating-point operations of training an autoencoder, forward and backward.

    Parameters
    ----------
    width : int
        Number of latents n.
    dimension : int
        Dimension d of the inputs.
    samples : int
        Inputs seen in training, repeats included.
    k : int, optional
        None: everything dense. A number: kernels that use that only k latents of a sample are
        active, as TopK autoencoders allow.

    Returns
    -------
    int
        10 n d a sample, or 2 n d + 8 k d with ``k``.

    Raises
    ------
    ValueError
        Unless 1 <= k <= width and all are whole numbers of at least 1.

    Notes
    -----
    A multiplication and an addition are two operations. A sample costs 2 n d for each of: encoder
    W_e x; decoder W_d f; gradient of W_d (residual times f); gradient of f (W_d transposed times
    the residual); gradient of W_e (gradient of the pre-activations times x). The input needs no
    gradient, which spares the sixth product of the usual "6 x parameters" rule: 10 n d, where the
    parameters are 2 n d. With k active latents, all but the encoder's forward product touch k
    rows only: 2 n d + 4 (2 k d). Biases, activation functions, the choice of the k largest, norms,
    and the optimiser's step are left out: they are of order n + d a sample, or n d a batch.
    """
    n = _validate.whole("width", width, low=1)
    d = _validate.whole("dimension", dimension, low=1)
    count = _validate.whole("samples", samples, low=1)
    if k is None:
        return 10 * n * d * count
    active = _validate.whole("k", k, low=1, high=n)
    return (2 * n + 8 * active) * d * count
