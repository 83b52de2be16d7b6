"""Where partitions shall live, as people and files say it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.operators.assignments import parse_assignment, read_assignments, to_json
from streamlog.client import PartitionAssignment

TWO = [PartitionAssignment("a.b-c", 0, (4, 2, 3)), PartitionAssignment("d", 12, (1,))]


def test_the_form_of_the_command_line() -> None:
    """The order of the nodes stays: the first is preferred."""
    assert parse_assignment("a.b-c/0:4,2,3") == TWO[0]
    assert parse_assignment("d/12:1") == TWO[1]


@pytest.mark.parametrize("text", ["", "d", "d/0", "d/0:", "d/0:1,", "d/x:1", "/0:1", "d/0:1 2"])
def test_what_is_not_of_that_form(text: str) -> None:
    """It is told with an example, as wrong usage."""
    with pytest.raises(CommandFailed, match="as rides/0:1,2,3") as caught:
        parse_assignment(text)
    assert caught.value.exit_code == EXIT_USAGE


def test_what_is_printed_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list, or what `cluster rebalance -o json` prints; from a file and from standard input."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(to_json(TWO)))
    assert read_assignments(str(path)) == TWO
    monkeypatch.setattr(
        sys, "stdin", io.StringIO(json.dumps({"assignments": to_json(TWO), "carried_out": False}))
    )
    assert read_assignments("-") == TWO


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("3", "holds neither a list nor an object"),
        ('{"moves": []}', "holds neither a list nor an object"),
        ("[3]", "3 is not "),
        ('[{"topic": "d", "partition": 0}]', '"nodes": [N, ...]'),
        ('[{"topic": "d", "partition": -1, "nodes": [1]}]', '"partition": N'),
        ('[{"topic": "d", "partition": 0, "nodes": ["1"]}]', '"nodes": [N, ...]'),
        ('[{"topic": "d", "partition": 0, "nodes": [true]}]', '"nodes": [N, ...]'),
        ('[{"topic": "d", "partition": true, "nodes": [1]}]', '"partition": N'),
    ],
)
def test_a_wrong_file(tmp_path: Path, content: str, words: str) -> None:
    """The place and the form are named."""
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(CommandFailed) as caught:
        read_assignments(str(path))
    assert words in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.exit_code == EXIT_USAGE
