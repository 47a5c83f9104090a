"""Run the modules that print the numbers which the documentation quotes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

Topics = Mapping[str, Callable[[], None]]


def print_topics(
    topics: Topics, arguments: Sequence[str], text: str | None, slow: Sequence[str] = ()
) -> int:
    """Print the tables of the topics named, or all but the slow ones; returns the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(text)
        return 0
    unknown = [name for name in arguments if name not in topics]
    if unknown:
        print(f"topics must be among {sorted(topics)}, got {unknown[0]!r}", file=sys.stderr)
        return 2
    try:
        for name in arguments or [name for name in topics if name not in slow]:
            print(f"# {name}")
            topics[name]()
            print()
    except KeyboardInterrupt:
        return 130
    return 0
