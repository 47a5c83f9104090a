"""Numbers as people write them on a command line: 1e12, 4:1024, 1e2:1e8:25, 1-20."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from scaling_theory.scaling import logspace

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType


class Count(ParamType):
    """A whole number, also written as 1e12."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Parse."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number such as 1000 or 1e12", param, ctx)
        if not (math.isfinite(number) and number.is_integer()):
            self.fail(f"{value!r} is not a whole number", param, ctx)
        text = str(value)
        return int(text) if text.lstrip("+-").isdigit() else int(number)


class Counts(ParamType):
    """Whole numbers: 100, or 1,10,100, or 4:1024 (doubling), or 1e2:1e8:25 (log scale)."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[int]:
        """Parse."""
        if isinstance(value, list):
            return value
        parts = str(value).split(":")
        one = Count()
        if len(parts) == 1:
            return [one.convert(v, param, ctx) for v in parts[0].split(",")]
        low, high = one.convert(parts[0], param, ctx), one.convert(parts[1], param, ctx)
        if len(parts) > 3 or low < 1 or high < low:
            self.fail(
                f"{value!r} is not LOW:HIGH or LOW:HIGH:POINTS with 1 <= LOW <= HIGH", param, ctx
            )
        if len(parts) == 3:
            points = one.convert(parts[2], param, ctx)
            try:
                return [int(n) for n in logspace(low, high, points)]
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return [low * 2**k for k in range((high // low).bit_length()) if low * 2**k <= high]


class Ranks(ParamType):
    """Ranks: 1 or 1,5,10 or 1-20."""

    name = "ranks"

    def convert(self, value: Any, param: Any, ctx: Any) -> list[int]:
        """Parse."""
        if isinstance(value, list):
            return value
        out: list[int] = []
        for part in str(value).split(","):
            ends = part.split("-")
            try:
                numbers = [int(e) for e in ends]
            except ValueError:
                self.fail(f"{value!r} is not a list of ranks such as 1,5 or 1-20", param, ctx)
            if len(numbers) > 2 or numbers[-1] < numbers[0]:
                self.fail(f"{part!r} is not a range of ranks such as 1-20", param, ctx)
            if numbers[-1] - numbers[0] >= 10**7:
                self.fail(f"{part!r} names more than the allowed 10 million ranks", param, ctx)
            out.extend(range(numbers[0], numbers[-1] + 1))
        return out
