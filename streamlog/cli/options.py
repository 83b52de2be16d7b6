"""What the commands' options have in common: numbers with a range, and examples in the help."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import typer

PARTITIONS_MAX = 10_000
"""Of a topic."""
REPLICAS_MAX = 7
"""Of a partition."""
RATE_MAX = 10_000_000
"""Records a second that somebody may ask for."""


def whole_number(low: int, high: int | None = None) -> Callable[[str | int], int]:
    """A parser of whole numbers from `low` to `high`, whose refusal names value and range."""
    allowed = f"{low} or more" if high is None else f"{low} to {high}"

    def parse(text: str | int) -> int:
        if isinstance(text, int):  # a default
            return text
        if re.fullmatch(r"-?[0-9]{1,19}", text):
            number = int(text)
            if number >= low and (high is None or number <= high):
                return number
        raise typer.BadParameter(f"{text!r} is not a whole number, {allowed}")

    return parse


def examples(*lines: str) -> str:
    """The end of a command's help: lines to copy."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def fields(letters: Mapping[str, str]) -> str:
    """A part of a command's help: the fields of its templates, and what else stands in them."""
    rows = {f"%{letter}": meaning for letter, meaning in letters.items()}
    rows |= {"%%": "percent", r"\n \t \xHH": "newline, tab, any byte"}
    width = max(map(len, rows))
    table = [f"  {field:{width}}  {meaning}" for field, meaning in rows.items()]
    return "\n".join(["\b", "Fields of --format:", *table, "", ""])
