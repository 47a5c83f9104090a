"""Published figures (numbers), each with its citation, and activations that anyone can remake.

``load(name)`` gives a table, ``names()`` what there is, ``citation(name)`` where it comes from.

- ``oneill2024_table2``: 40 top-k autoencoders on text embeddings; the losses to fit L(n) to.
- ``oneill2024_fits``: the eight L(n) that their authors fitted to those losses.
- ``gpt2_layer8_widths``: 8 autoencoders on GPT-2 small; explained variance at a steady L0.

Of a real transformer on real text, without a network (extra ``text``):

- ``activations(path)``: a row a token, at any layer and site. ``embeddings(path)``: a row a text.
- ``open_activations(path)``: what either of them made, as :class:`Shards`.
- ``docstrings()``: the text they take if none is given.
"""

from scaling_theory.datasets._registry import citation, load, names
from scaling_theory.datasets.collecting import (
    Corpus,
    Shards,
    ShardsDamaged,
    TextOf,
    activations,
    docstrings,
    embeddings,
)

#: What :func:`activations` or :func:`embeddings` made before, opened again.
open_activations = Shards.open

__all__ = [
    "Corpus",
    "Shards",
    "ShardsDamaged",
    "TextOf",
    "activations",
    "citation",
    "docstrings",
    "embeddings",
    "load",
    "names",
    "open_activations",
]
