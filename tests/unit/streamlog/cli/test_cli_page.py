"""The page about the command line is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from streamlog.cli import failure
from streamlog.cli.main import build
from streamlog.cli.records import parser, printer
from streamlog.cli.records.parser import parse_json
from streamlog.cli.records.positions import parse_range

PAGE = (Path(__file__).parents[4] / "docs" / "command-line.md").read_text()


def section(title: str) -> str:
    """What stands below a heading."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[str]:
    """First cells of the rows of a section's tables."""
    return [cell for cell in re.findall(r"^\| (.*?) \|", text, re.MULTILINE) if set(cell) != {"-"}]


def test_commands_and_exit_codes() -> None:
    """All that there are, and no others."""
    application: Any = typer.main.get_command(build())
    commands = [cell.strip("`") for cell in rows(PAGE.partition("\n## ")[0])]
    assert commands == ["command", *application.commands]
    codes = {value for name, value in vars(failure).items() if name.startswith("EXIT_")}
    listed = {int(cell) for cell in rows(section("What programs may rely on")) if cell.isdigit()}
    assert listed == codes | {0}


def test_fields() -> None:
    """Those of `consume` in the table, those of `produce` in the text."""
    cells = " ".join(rows(section("Templates")))
    assert set(re.findall(r"`%(\w)`", cells)) == set(printer.LETTERS)
    read = section("Templates").partition("`produce -f`")[2]
    assert set(re.findall(r"`%(\w)", read)) == set(parser.LETTERS)


@pytest.mark.parametrize(
    "place",
    [
        place
        for cell in re.findall(
            r"^\| (`.*?) \|.*|^(`consume --from`.*)", section("Places in a log"), re.MULTILINE
        )
        for place in re.findall(r"`([^` ]+)`", "".join(cell))
    ],
)
def test_places(place: str) -> None:
    """Each that is shown can be given."""
    parse_range("--from", place)


def test_a_record() -> None:
    """The one that is shown can be read."""
    shown = section("Records in JSON").partition("```json\n")[2].partition("```")[0]
    record = parse_json(json.dumps(json.loads(shown)).encode())
    assert record.value == b"\x00\xff"
    assert record.headers == [("source", b"app")]
