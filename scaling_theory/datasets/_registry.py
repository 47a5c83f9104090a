"""The registry of datasets: one CSV file beside this module and one :class:`_Entry` each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pandas is slow to import: bound when a table is read
    import pandas as pd


@dataclass(frozen=True)
class _Entry:
    """A dataset: its citation and the type of each column, in the order of the file."""

    citation: str
    columns: dict[str, str]


_ONEILL = (
    "C. O'Neill et al., Sparse autoencoders for dense text embeddings reveal hierarchical feature "
    "sub-structure, Workshop on Scientific Methods for Understanding Deep Learning, NeurIPS 2024 "
    "(longer version: arXiv:2408.00657)"
)

_REGISTRY = {
    "oneill2024_table2": _Entry(
        citation=f"{_ONEILL}, Table 2.",
        columns={
            "corpus": "str",
            "k": "int64",
            "n": "int64",
            "normalised_mse": "float64",
            "log_feature_density": "float64",
            "mean_activation": "float64",
        },
    ),
    "oneill2024_fits": _Entry(
        citation=f"{_ONEILL}, Section A.3.",
        columns={"corpus": "str", "k": "int64", "scale": "float64", "exponent": "float64"},
    ),
    "gpt2_layer8_widths": _Entry(
        citation=(
            "J. Bloom, release gpt2-small-res-jb-feature-splitting (2024): ReLU autoencoders with "
            "an L1 penalty on the residual stream before layer 8 of GPT-2 small; figures as listed "
            "in SAELens, pretrained_saes.yaml."
        ),
        columns={"width": "int64", "l0": "int64", "variance_explained": "float64"},
    ),
}


def names() -> tuple[str, ...]:
    """Return the names that :func:`load` and :func:`citation` take."""
    return tuple(_REGISTRY)


def citation(name: str) -> str:
    """Return where the numbers of the dataset ``name`` were published.

    Raises
    ------
    ValueError
        If there is no such dataset.
    """
    return _entry(name).citation


def load(name: str) -> pd.DataFrame:
    """Return the dataset ``name`` as a new table, its citation in ``attrs["citation"]``.

    Parameters
    ----------
    name : str
        ``"oneill2024_table2"``: one row for each of 40 top-k autoencoders; ``corpus``
        (``"astro-ph"`` or ``"cs.LG"``), ``k`` active latents of ``n``, ``normalised_mse`` (mean
        squared error over that of predicting the mean), ``log_feature_density`` (mean log
        density of activation; the paper does not state the base) and ``mean_activation`` (of
        the latents that fire).

        ``"oneill2024_fits"``: one row for each corpus and k; normalised MSE =
        ``scale`` * n**-``exponent`` as the paper prints it, to two decimals.

        ``"gpt2_layer8_widths"``: one row for each of 8 autoencoders; ``width`` latents, ``l0``
        of them active on average, ``variance_explained`` (a fraction, to two decimals).

    Raises
    ------
    ValueError
        If there is no such dataset.
    """
    import pandas as pd

    entry = _entry(name)
    with (resources.files(__package__) / f"{name}.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file)
    frame = frame[list(entry.columns)].astype(entry.columns)
    frame.attrs["citation"] = entry.citation
    return frame


def _entry(name: str) -> _Entry:
    if not isinstance(name, str) or name not in _REGISTRY:
        raise ValueError(f"name must be one of {', '.join(_REGISTRY)}, got {name!r}")
    return _REGISTRY[name]
