"""One module per figure: ``data() -> DataFrame``, ``draw(data, axes)``.

A figure that rests on training states ``SWEEPS`` and has ``data(runs)`` (see ``stored``).
Each module also states ``SIZE`` (inches) and ``AXES`` (rows, columns). ``reproduce``
writes every registered figure. To add one, write a module beside these and list it in ``FIGURES``.
"""

from scaling_theory.figures.registry import FIGURES, reproduce

__all__ = ["FIGURES", "reproduce"]
