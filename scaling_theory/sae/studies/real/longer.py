"""Have the exponents settled? One TopK family on tokens again, with four times the steps.

No part of the study, which it would double in time: :func:`train_longer` trains it into the study's
store, ``python -m scaling_theory.sae.studies --train real_longer`` with the package's rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scaling_theory.sae.store import Store
from scaling_theory.sae.studies._kept import FOLDER, store_of
from scaling_theory.sae.studies.real import laws, runs
from scaling_theory.sae.studies.real.settings import PRESETS, specs
from scaling_theory.sae.sweep import train

if TYPE_CHECKING:
    import pandas as pd

FACTOR: Final = 4
_FILE: Final = "real_{}_longer.csv"


def train_longer(
    preset: str = "quick", store: Path | None = None, folder: Path = FOLDER, **how: Any
) -> Path:
    """Train what the store lacks, and write the rows of both lengths; the first seeds.

    Arguments as for ``make_real``, whose activations are taken.
    """
    import pandas as pd

    short = replace(PRESETS[preset], ks=(PRESETS[preset].matched,))
    long = replace(short, steps={kind: FACTOR * steps for kind, steps in short.steps.items()})
    where = store_of(f"real_{preset}") if store is None else store
    data = runs.collect(short, where, how.get("progress"))
    kept = Store(where / "saes")
    parts = []
    for one in (short, long):
        some = [spec for spec in specs(one, "tokens", data["tokens"]) if spec.seed == 0]
        train(some, kept, **how)
        parts.append(runs.table({"tokens": some}, kept))
    out = folder / _FILE.format(preset)
    pd.concat(parts).to_csv(out, index=False, float_format="%.7g", lineterminator="\n")
    return out


def longer_laws(preset: str = "quick", folder: Path = FOLDER) -> pd.DataFrame:
    """Losses of both lengths by width, and the exponents of L(n) between neighbours and of a fit.

    Returns
    -------
    DataFrame
        steps, width, fvu, dead, ``local`` (-d ln fvu/d ln n from the width before), exponent with
        low and high (of the fit without a floor to all widths).
    """
    import pandas as pd

    file = folder / _FILE.format(preset)
    if not file.exists():
        raise FileNotFoundError(
            f"{file} is not there: `python -m scaling_theory.sae.studies real_longer --train` "
            "writes it"
        )
    return laws.by_length(pd.read_csv(file, dtype={"key": str}))
