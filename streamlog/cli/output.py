"""How commands print what they found: a table for people, JSON for programs.

A table is never cut to the width of the terminal: `streamlog topic list | grep` sees whole names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

Row = Mapping[str, Any]


class Output(StrEnum):
    """Forms of output."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="A table, or JSON for programs.")
]


def show(rows: Sequence[Row], output: Output, *, none: str) -> None:
    """Print rows of the same columns; `none` is what people read when there are no rows."""
    if output is Output.JSON:
        show_json(list(rows))
    elif rows:
        typer.echo(table(rows))
    else:
        typer.echo(none)


def show_json(content: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(content, indent=2))


def say(text: str, content: Mapping[str, Any], output: Output) -> None:
    """Tell of one thing that was done."""
    if output is Output.JSON:
        show_json(content)
    else:
        typer.echo(text)


def table(rows: Sequence[Row]) -> str:
    """The columns of the first row, each as wide as its widest value; at least one row."""
    columns = list(rows[0])
    lines = [[name.replace("_", " ") for name in columns]]
    lines += [[_text(row[name]) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def counted(number: int, noun: str) -> str:
    """Of a regular noun: 1 record, 3 records."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_text(size_bytes: float) -> str:
    """Bytes for people, with three significant digits: "1.50 MiB"."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1_000 or unit == "TiB":
            break
        size /= 1_024
    digits = 0 if unit == "B" or size >= 100 else 1 if size >= 10 else 2
    return f"{size:.{digits}f} {unit}"


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "NO"
        case list() | tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)
