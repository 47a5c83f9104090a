"""How good is the diagnosis? ``python -m scaling_theory.analysis [blind | trained | stored]``.

- blind: judge synthetic families with known regimes (about a second each), print the tables.
- trained: judge the families that ``python -m scaling_theory.sae.studies families`` trained.
- stored: print the tables of the rows stored with the package, which figures and findings quote.

``--write`` stores the rows of what was judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_theory._progress import track
from scaling_theory.analysis.calibration import accuracy, calibration, judge

if TYPE_CHECKING:
    import pandas as pd

#: Rows that are stored with the package, by what was judged.
FOLDER = Path(__file__).parent.parent / "figures" / "stored"


def stored_file(name: str) -> Path:
    """Where the rows of "blind" or "trained" families are stored."""
    return FOLDER / f"diagnosis_{name}.csv"


def main(arguments: Sequence[str]) -> int:
    """Judge, print, and store if asked to."""
    parser = argparse.ArgumentParser(prog="python -m scaling_theory.analysis", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["blind", "trained", "stored"])
    parser.add_argument("--count", type=int, default=240, help="blind families; default 240")
    parser.add_argument("--seed", type=int, default=4, help="of blind families; default 4")
    parser.add_argument("--write", action="store_true", help="store the rows with the package")
    given = parser.parse_args(arguments)
    import pandas as pd

    if given.what == "stored":
        there = [name for name in ("blind", "trained") if stored_file(name).exists()]
        if not there:
            print("no rows are stored", file=sys.stderr)
        for name in there:
            print(f"\n{name}")
            report(pd.read_csv(stored_file(name)))
        return 0 if there else 1
    rows = _blind(given.count, given.seed) if given.what == "blind" else _trained()
    report(rows)
    if given.write:
        rows.to_csv(stored_file(given.what), index=False, float_format="%.4g")
        print(f"written to {stored_file(given.what)}")
    return 0


def report(rows: pd.DataFrame) -> None:
    """Print verdicts by regime, the calibration, and accuracy by departure and by evidence."""
    import pandas as pd

    verdicts = pd.crosstab(rows["regime"], rows["verdict"])
    tables = {
        "verdicts": verdicts,
        "calibration of the probability of the pathological regime": calibration(rows),
        "calls by departure": accuracy(rows, "departures"),
        "calls by evidence": accuracy(rows, "evidence"),
    }
    if "limit" in rows:
        limit = rows.assign(regime=rows["limit"], pathological=rows["in_the_limit"])
        tables["calls of the regime in the limit"] = accuracy(limit).head(1)
    strange = rows[rows["regime"] == "other"]
    called = strange["verdict"].isin(["benign", "pathological"]).sum()
    print(f"\ncalled among {len(strange)} families of another kind: {called}")
    for title, table in tables.items():
        text = table.to_string(index=title == "verdicts", float_format="{:.2f}".format)
        print(f"\n{title}\n{text}")


def _blind(count: int, seed: int) -> pd.DataFrame:
    import pandas as pd

    from scaling_theory.analysis.blind import blind_family

    families = (blind_family(index, seed) for index in range(count))
    bar = track(families, "families", count, enabled=sys.stderr.isatty())
    rows: list[pd.DataFrame] = []
    try:
        rows.extend(judge([family]) for family in bar)
    except KeyboardInterrupt:
        print(f"stopped after {len(rows)} of {count} families", file=sys.stderr)
        if not rows:
            raise
    return pd.concat(rows, ignore_index=True)


def _trained() -> pd.DataFrame:
    from scaling_theory.sae.studies.families import trained_families

    return judge(trained_families())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
