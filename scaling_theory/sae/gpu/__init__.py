"""Many SAEs in one launch, on NVIDIA's GPUs, through Triton (extra ``gpu``).

- ``sae.train(..., device="cuda")`` uses it by itself, for the runs that it can train; a row's
  ``path`` then is "triton".
- :class:`GroupTrainer` trains some runs together; ``gpu.plan`` says which may be together.
- ``TRITON_INTERPRET=1`` in the environment runs the same kernels on the CPU, slowly: for tests.

Dimensions up to 16; ReLU, JumpReLU, TanhJumpReLU, and TopK up to k = 32 without AuxK; no clip, no
unit norms, no remedies. All else is trained run by run.
"""

from scaling_theory.sae.gpu._layout import Shape
from scaling_theory.sae.gpu._loading import missing
from scaling_theory.sae.gpu.group import PATH, GroupTrainer

__all__ = ["PATH", "GroupTrainer", "Shape", "missing"]
