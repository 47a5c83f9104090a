"""Few ReLU latents on the unit circle, all parameters free: the best SAE by brute force.

The loss of an SAE on the circle is integrated piece by piece between the points where a latent
starts or stops to fire, so it is exact to rounding; so is its gradient, because the integrand is
continuous. L-BFGS then starts from many points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.theory.geometry.circle import circle_tiling

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(7)
_FIXED = np.linspace(0.0, 2.0 * np.pi, 9)  # no piece is longer than pi/4


@final
@dataclass(frozen=True, eq=False)
class CircleOptimum:
    """The best SAE found on the unit circle, with no symmetry asked for.

    Attributes
    ----------
    n, l1
        Number of latents, and weight of the L1 penalty.
    loss
        Its loss, mean squared error plus penalty: an upper bound on the optimum.
    symmetric
        Loss of the best symmetric tiling, ``circle_tiling(n, l1).loss``.
    encoder, encoder_bias
        Latent j fires with max(encoder[j] . x + encoder_bias[j], 0); shapes (n, 2) and (n,).
    decoder, decoder_bias
        Unit directions of the latents, and what is added to the reconstruction; (n, 2) and (2,).
    starts, hits
        Number of starts, and of those that ended within 1e-7 of the best loss.
    """

    n: int
    l1: float
    loss: float
    symmetric: float
    encoder: Floats
    encoder_bias: Floats
    decoder: Floats
    decoder_bias: Floats
    starts: int
    hits: int

    @property
    def firing(self) -> Floats:
        """Fraction of the circle on which each latent fires; shape (n,)."""
        slope = np.hypot(*self.encoder.T)
        reach = np.clip(self.encoder_bias / np.where(slope > 0.0, slope, 1.0), -1.0, 1.0)
        # no slope: a latent that fires everywhere or nowhere
        reach = np.where(slope > 0.0, reach, np.where(self.encoder_bias > 0.0, 1.0, -1.0))
        return np.asarray(1.0 - np.arccos(reach) / np.pi)


def circle_optimum(n: int, l1: float = 0.1, seed: int = 0, starts: int = 48) -> CircleOptimum:
    """Search for the best SAE with n ReLU latents on the unit circle.

    Encoder, both biases and decoder are free: 4 n + 2 numbers, the decoder norms being part of the
    encoder (only the product counts).

    Parameters
    ----------
    n
        Number of latents, 1 to 16. The search is meant for n up to about 8.
    l1
        Weight of the L1 penalty, in (0, 2).
    seed
        Seed of the random starts.
    starts
        Number of starts, at least 1. The first is the best symmetric tiling; the others take turns:
        that with noise, random latents, random latents with a mirror line.

    Returns
    -------
    CircleOptimum
        Never worse than the best symmetric tiling, to rounding. There is no proof that it is the
        optimum: ``hits`` says how often it was found.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    from scipy.optimize import minimize

    n = _validate.whole("n", n, low=1, high=16)
    l1 = _validate.real("l1", l1, low=0.0, high=2.0, low_open=True, high_open=True)
    starts = _validate.whole("starts", starts, low=1, high=100_000)
    rng = np.random.default_rng(_validate.whole("seed", seed))
    tiling = circle_tiling(n, l1)
    angle = 2.0 * np.pi * np.arange(n) / n
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    symmetric = np.concatenate(
        [(tiling.gain * around).ravel(), np.full(n, -tiling.gain * tiling.threshold), angle, [0, 0]]
    )
    losses, best, best_loss = [], symmetric, _loss_and_gradient(symmetric, n, l1)[0]
    for k in range(starts):
        start = symmetric
        if k > 0:
            noisy = symmetric + rng.normal(0.0, 0.2, 4 * n + 2)
            start = (noisy, _random(n, rng), _mirrored(n, rng))[k % 3]
        found = minimize(
            _loss_and_gradient, start, args=(n, l1), jac=True, method="L-BFGS-B",
            options={"maxiter": 3000, "maxfun": 6000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 30},
        )  # fmt: skip
        losses.append(float(found.fun))
        if found.fun < best_loss:
            best, best_loss = found.x, float(found.fun)
    encoder, bias, turn, shift = _parts(best, n)
    return CircleOptimum(
        n=n,
        l1=l1,
        loss=best_loss,
        symmetric=tiling.loss,
        encoder=encoder,
        encoder_bias=bias,
        decoder=np.stack([np.cos(turn), np.sin(turn)], axis=1),
        decoder_bias=shift,
        starts=starts,
        hits=sum(loss < best_loss + 1e-7 for loss in losses),
    )


def _random(n: int, rng: np.random.Generator) -> Floats:
    """Latents in random directions with random gains and thresholds."""
    turn = rng.uniform(0.0, 2.0 * np.pi, n)
    return _start(turn, turn + rng.normal(0.0, 0.3, n), rng, rng.normal(0.0, 0.3, 2))


def _mirrored(n: int, rng: np.random.Generator) -> Floats:
    """The same, in pairs that mirror each other, and one or two latents on the mirror line."""
    alone = n % 2 if n % 2 else 2 * int(rng.integers(0, 2))
    pairs = (n - alone) // 2
    turn = rng.uniform(0.0, np.pi, pairs)
    away = turn + rng.normal(0.0, 0.3, pairs)
    line = np.pi * (int(rng.integers(0, 2)) + np.arange(alone))
    start = _start(
        np.concatenate([turn, -turn, line]),
        np.concatenate([away, -away, line]),
        rng,
        np.array([rng.normal(0.0, 0.3), 0.0]),
    )
    encoder, bias, _, _ = _parts(start, n)
    encoder[pairs : 2 * pairs] = encoder[:pairs] * np.array([1.0, -1.0])
    bias[pairs : 2 * pairs] = bias[:pairs]
    return start


def _start(turn: Floats, away: Floats, rng: np.random.Generator, shift: Floats) -> Floats:
    gain = rng.uniform(0.3, 2.0, turn.size)
    encoder = gain[:, None] * np.stack([np.cos(away), np.sin(away)], axis=1)
    bias = -gain * rng.uniform(-0.8, 0.8, turn.size)
    return np.concatenate([encoder.ravel(), bias, turn, shift])


def _parts(parameters: Floats, n: int) -> tuple[Floats, Floats, Floats, Floats]:
    encoder = parameters[: 2 * n].reshape(n, 2)
    return encoder, parameters[2 * n : 3 * n], parameters[3 * n : 4 * n], parameters[4 * n :]


def _loss_and_gradient(parameters: Floats, n: int, l1: float) -> tuple[float, Floats]:
    """Loss over the circle and its gradient, both exact to rounding."""
    encoder, bias, turn, shift = _parts(parameters, n)
    x, weight = _circle(encoder, bias)
    decoder = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    before = x @ encoder.T + bias
    f = np.maximum(before, 0.0)
    missing = x - f @ decoder - shift
    loss = float(weight @ ((missing**2).sum(axis=1) + l1 * f.sum(axis=1)))
    per_f = (l1 - 2.0 * missing @ decoder.T) * (before > 0.0) * weight[:, None]
    across = np.stack([-decoder[:, 1], decoder[:, 0]], axis=1)
    weighted = weight[:, None] * missing
    gradient = np.concatenate(
        [
            (per_f.T @ x).ravel(),
            per_f.sum(axis=0),
            -2.0 * ((f.T @ weighted) * across).sum(axis=1),
            -2.0 * weighted.sum(axis=0),
        ]
    )
    return loss, gradient


def _circle(encoder: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Points and weights of a rule that is exact between the ends of the latents' arcs."""
    slope = np.hypot(encoder[:, 0], encoder[:, 1])
    cuts = np.abs(bias) < slope
    middle = np.arctan2(encoder[cuts, 1], encoder[cuts, 0])
    reach = np.arccos(-bias[cuts] / slope[cuts])
    ends = np.concatenate([middle - reach, middle + reach]) % (2.0 * np.pi)
    edges = np.sort(np.concatenate([_FIXED, ends]))
    width = np.diff(edges)
    theta = (edges[:-1, None] + 0.5 * width[:, None] * (_NODES + 1.0)).ravel()
    weight = (width[:, None] * _WEIGHTS).ravel() / (4.0 * np.pi)
    return np.stack([np.cos(theta), np.sin(theta)], axis=1), weight


def circle_sae_loss(
    encoder: Any, encoder_bias: Any, decoder: Any, decoder_bias: Any, l1: float, points: int = 65536
) -> float:
    """Return the loss of any ReLU SAE on evenly spaced points of the circle, the obvious way.

    The slow reference for everything else in this package: no symmetry, no closed form.

    Parameters
    ----------
    encoder, encoder_bias, decoder, decoder_bias
        Shapes (n, 2), (n,), (n, 2) and (2,); the decoder may have any norms.
    l1
        Weight of the L1 penalty, at least 0. Each latent is weighed by its decoder norm.
    points
        Number of points, at least 1. The error falls as points^-2.

    Raises
    ------
    ValueError
        If shapes do not fit or an argument is out of range.
    """
    l1 = _validate.real("l1", l1, low=0.0)
    points = _validate.whole("points", points, low=1, high=2**24)
    w, b = np.asarray(encoder, dtype=np.float64), np.asarray(encoder_bias, dtype=np.float64)
    u, c = np.asarray(decoder, dtype=np.float64), np.asarray(decoder_bias, dtype=np.float64)
    if w.ndim != 2 or w.shape[1] != 2 or b.shape != w.shape[:1] or u.shape != w.shape:
        raise ValueError(
            f"encoder, encoder_bias and decoder must have shapes (n, 2), (n,) and (n, 2), "
            f"got {w.shape}, {b.shape} and {u.shape}"
        )
    if c.shape != (2,):
        raise ValueError(f"decoder_bias must have shape (2,), got {c.shape}")
    for name, value in (("encoder", w), ("encoder_bias", b), ("decoder", u), ("decoder_bias", c)):
        if not np.isfinite(value).all():
            raise ValueError(f"{name} must hold finite numbers, got {value!r:.60}")
    theta = 2.0 * np.pi * (np.arange(points) + 0.5) / points
    x = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    f = np.maximum(x @ w.T + b, 0.0)
    error = ((x - f @ u - c) ** 2).sum(axis=1)
    return float((error + l1 * f @ np.hypot(u[:, 0], u[:, 1])).mean())
