"""Activations and embeddings of a transformer on text, in memory-mapped shards.

- ``corpus``: texts with a hash: docstrings of installed packages, files, one's own.
- ``model``: a transformer from a folder or the Hub, with hashes; safetensors only.
- ``sites``: where in the model; which module that is, and how it is listened to.
- ``batches``: texts -> pieces -> batches with little padding -> rows in the order of the texts.
- ``files``: what is in a folder of shards, and how it is checked.
- ``shards``: reading it. ``writing``: making it, killed and resumed as may be.
- ``recipe``: what a folder was made of. ``working``: puts all of this together.
- ``collect``: :func:`activations` and :func:`embeddings`.
"""

from scaling_theory.datasets.collecting.collect import activations, embeddings
from scaling_theory.datasets.collecting.corpus import Corpus, docstrings
from scaling_theory.datasets.collecting.files import ShardsDamaged
from scaling_theory.datasets.collecting.shards import Shards, TextOf

__all__ = [
    "Corpus",
    "Shards",
    "ShardsDamaged",
    "TextOf",
    "activations",
    "docstrings",
    "embeddings",
]
