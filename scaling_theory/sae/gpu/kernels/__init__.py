"""Triton kernels of one step of many SAEs: selection, forward, backward, update.

Imported by ``_loading`` only, once compiled and once interpreted, since Triton decides which when a
function is decorated. Reductions are spelled ``tl.reduce(..., _add)``: where Triton was imported
before the interpreter was asked for, ``tl.sum`` and its like are no longer plain functions.

Every kernel has a list of tasks (run, block, part), one a program; a run's numbers are in a table.
Inputs have few dimensions, so products are explicit multiply-adds with the dimension unrolled,
exact in float32, and what is summed stays in registers: a program keeps one accumulator for each
output and each (row, latent) of its tile, and reduces them once, at its end. Sums over programs are
taken in order by the kernel after it; nothing is added atomically. Triton compiles anew for numbers
that are 1 or multiples of 16: those of the group, not of a run, are kept out of that, so that the
group decides nothing about the code either.
"""
