"""Are SAEs in the pathological regime? From losses, firing frequencies and decoders.

- :func:`diagnose` weighs hypotheses by the evidence; :class:`Diagnosis` is what it says.
- ``model``: hypotheses and what they predict; ``prior``: which ones, before anything is seen.
- ``evidence``: what was seen, checked; ``likelihood``: how well it fits.
"""

from scaling_theory.analysis.diagnosis.diagnose import diagnose
from scaling_theory.analysis.diagnosis.result import Diagnosis, Piece

__all__ = ["Diagnosis", "Piece", "diagnose"]
