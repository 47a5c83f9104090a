"""How commands print what they found: for people, or as strict JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import click
import numpy as np

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def print_values(values: dict[str, Any], as_json: bool) -> None:
    """Print named values, intervals and tables, or one JSON object."""
    if as_json:
        click.echo(json.dumps(finite(values)))
        return
    tables = {key: value for key, value in values.items() if isinstance(value, list)}
    for key, value in values.items():
        if isinstance(value, dict):
            for name, ends in value.items():
                click.echo(_label(f"{name} interval") + "  ".join(f"{e + 0.0:.6g}" for e in ends))
        elif isinstance(value, bool):
            click.echo(_label(key) + ("yes" if value else "no"))
        elif isinstance(value, float):
            click.echo(_label(key) + f"{value + 0.0:.10g}")
        elif key not in tables and value != "":
            click.echo(_label(key) + (f"{value:,}" if isinstance(value, int) else str(value)))
    for rows in tables.values():
        click.echo("")
        print_table(rows)


def print_table(rows: Any, indent: str = "", digits: int = 6) -> None:
    """Print a DataFrame, or rows, as people read it."""
    import pandas as pd

    def shown(value: float) -> str:
        return f"{value + 0.0:.{digits}g}"  # no "-0"

    text = pd.DataFrame(rows).to_string(index=False, float_format=shown)
    click.echo("\n".join(indent + line for line in text.splitlines()))


def _label(text: str) -> str:
    """Pad a name to the column of values, which it never touches."""
    return f"{text:<19} "


def finite(value: Any) -> Any:
    """JSON has no infinity: null stands for an open end. It has a -0, which becomes 0."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None
    return value
