"""Studies of SAEs on superposed features: what the theory says of them, trained and counted.

- :func:`discovery`: do N latents find the N most frequent discrete features, D(N) = N?
- :func:`decompose`, :func:`decomposition`: is the loss the sum of the features' own losses?
"""

from scaling_theory.sae.studies.decomposition import Decomposition, decompose, decomposition
from scaling_theory.sae.studies.discovery import discovery, table

__all__ = ["Decomposition", "decompose", "decomposition", "discovery", "table"]
