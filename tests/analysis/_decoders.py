"""Decoders made by hand, and their neighbours the obvious way."""

import numpy as np


def normal(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def rotation(d, seed=0):
    return np.linalg.qr(normal(d, d, seed))[0]


def circle(latents, dimension, seed=0):
    """Latents evenly spaced on a circle in a random plane."""
    angle = 2.0 * np.pi * np.arange(latents) / latents
    plane = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return plane @ rotation(dimension, seed)[:2]


def cosines(decoder):
    """All cosines, own ones at -inf."""
    unit = np.asarray(decoder, dtype=np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    matrix = unit @ unit.T
    np.fill_diagonal(matrix, -np.inf)
    return matrix
