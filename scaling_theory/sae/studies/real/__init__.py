"""SAEs on activations of a real transformer: losses, latents, and the regime they are in.

Token activations and sentence embeddings of MiniLM on the docstrings of installed packages; TopK at
three k and ReLU at a matched L0; four widths or six.

- :func:`make_real`: from text to tables; :class:`Tables`, stored with the package for the quick
  preset.
- ``laws``: L(n), L(C) and L(n, k) of the measured losses.
"""

from scaling_theory.sae.studies.real.settings import PRESETS, Preset
from scaling_theory.sae.studies.real.study import Tables, make_real, tables_folder

__all__ = ["PRESETS", "Preset", "Tables", "make_real", "tables_folder"]
