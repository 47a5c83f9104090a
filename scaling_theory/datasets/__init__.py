"""Published figures (numbers), each with its citation.

``load(name)`` gives a table, ``names()`` what there is, ``citation(name)`` where it comes from.

- ``oneill2024_table2``: 40 top-k autoencoders on text embeddings; the losses to fit L(n) to.
- ``oneill2024_fits``: the eight L(n) that their authors fitted to those losses.
- ``gpt2_layer8_widths``: 8 autoencoders on GPT-2 small; explained variance at a steady L0.
"""

from scaling_theory.datasets._registry import citation, load, names

__all__ = ["citation", "load", "names"]
