"""Rows of training runs that are stored with the package, one CSV a sweep and preset.

- :func:`runs` for what figures are drawn from: stored rows, and what is missing is trained.
- :func:`write` to store the rows of a finished (or half finished) sweep, :func:`read` to read them.

``python -m scaling_theory.figures.stored michaud2025_figure3 --preset paper --store runs/paper``
writes the CSV files of a figure; with ``--draw FOLDER`` it draws a preview from what is there.
"""

from scaling_theory.figures.stored.files import FOLDER, read, write
from scaling_theory.figures.stored.rows import missing, record, runs, runs_folder

__all__ = ["FOLDER", "missing", "read", "record", "runs", "runs_folder", "write"]
