"""Property tests of your own curves, populations and allocations; needs hypothesis.

What to use when
----------------
- You wrote a loss curve: :func:`check_curve`. It holds every method to every other one.
- You wrote or changed a solver, or post-process an allocation: :func:`check_allocation`. It counts
  the latents again, and compares with the slow solvers where the problem is small.
- You need problems to try: :func:`populations`, and :func:`budgets` for their latents.
  :func:`mixtures` are populations with curves drawn over the ranks.
- You need the parts: :func:`frequencies`, or of one kind :func:`power_laws`,
  :func:`lists_of_frequencies`; :func:`any_curves`, or of one kind :func:`convex_curves`,
  :func:`smooth_convex_curves`, :func:`stepped_curves`, :func:`convex_tables`,
  :func:`stepped_tables`.
- You need numbers: :func:`numbers`, :func:`alphas`.
- You sum over ranks of an infinite population: :func:`enough_features` says how many to look at.

All problems are small enough for the heap greedy and the dynamic programme. What a strategy shrinks
towards is said in its docstring: the simplest case that it has.

Worked example
--------------
A curve of your own is tested in three lines, and so is a claim about the optimum::

    from hypothesis import given
    from scaling_theory import allocate
    from scaling_theory.testing import (
        budgets, check_allocation, check_curve, numbers, populations,
    )

    @given(numbers(0.05, 4.0))
    def test_my_curve(beta):
        check_curve(MyCurve(beta))

    @given(populations(), budgets())
    def test_a_latent_more_never_hurts(population, latents):
        before, after = allocate(population, latents), allocate(population, latents + 1)
        check_allocation(population, after)
        assert after.excess_loss <= before.excess_loss * (1 + 1e-13)
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis
except ImportError as error:
    raise ImportError(
        "scaling_theory.testing needs hypothesis: pip install scaling-theory[testing]"
    ) from error
else:
    del _hypothesis

from scaling_theory.testing.allocation_checks import check_allocation, enough_features
from scaling_theory.testing.curve_checks import check_curve
from scaling_theory.testing.curves import (
    any_curves,
    convex_curves,
    convex_tables,
    smooth_convex_curves,
    stepped_curves,
    stepped_tables,
)
from scaling_theory.testing.frequencies import (
    alphas,
    budgets,
    frequencies,
    lists_of_frequencies,
    numbers,
    power_laws,
)
from scaling_theory.testing.populations import mixtures, populations

__all__ = [
    "alphas",
    "any_curves",
    "budgets",
    "check_allocation",
    "check_curve",
    "convex_curves",
    "convex_tables",
    "enough_features",
    "frequencies",
    "lists_of_frequencies",
    "mixtures",
    "numbers",
    "populations",
    "power_laws",
    "smooth_convex_curves",
    "stepped_curves",
    "stepped_tables",
]
