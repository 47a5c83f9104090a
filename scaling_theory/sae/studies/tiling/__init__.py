"""Which architectures tile which manifolds, and which reach a plateau."""

from scaling_theory.sae.studies.tiling.table import tiling_curves, tiling_table, train_tiling

__all__ = ["tiling_curves", "tiling_table", "train_tiling"]
