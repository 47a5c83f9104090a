"""N latents -> the optimum.

- :func:`allocate`: the exact integer optimum, with its certificate, up to 1e15 latents.
- :func:`allocate_continuous`: the Lagrangian solution with real numbers of latents.
- :func:`latents_for`: how many latents reach a loss, or discover so many features.
- ``reference``: heap greedy and dynamic programme, the obvious way.
"""

from scaling_theory.allocation.continuous import ContinuousAllocation, allocate_continuous
from scaling_theory.allocation.exact import Allocation, allocate
from scaling_theory.allocation.inverse import latents_for

__all__ = [
    "Allocation",
    "ContinuousAllocation",
    "allocate",
    "allocate_continuous",
    "latents_for",
]
