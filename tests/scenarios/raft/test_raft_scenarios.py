"""Runs the narrated scenarios beside this file; a failure is a diff of what happened.

`REWRITE_SCENARIOS=1` takes what happens as expected: read the difference before committing it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pytest

import replication.raft
from replication.raft.effects import Effect
from replication.raft.events import Event
from replication.raft.messages import Message, VoteRequest
from replication.raft.replica import RaftReplica
from replication.types import HardState, LogPosition, Offset, ReplicaId, Term
from tests.scenarios.raft.raft_cluster import members
from tests.scenarios.raft.raft_script import Script

SCENARIOS = sorted(Path(__file__).parent.glob("*.txt"))


@dataclass
class Block:
    """Prose, or commands with what is expected of them."""

    prose: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)


def parse(text: str) -> list[Block]:
    """Split a file at empty lines."""
    blocks: list[Block] = []
    for part in text.strip().split("\n\n"):
        block = Block()
        into = block.commands
        for line in part.split("\n"):
            if line == "----":
                into = block.expected
            elif line.startswith("#") and into is block.commands:
                block.prose.append(line)
            else:
                into.append(line)
        blocks.append(block)
    return blocks


def render(blocks: list[Block]) -> str:
    """The text of a file."""
    parts = []
    for block in blocks:
        lines = [*block.prose, *block.commands]
        if block.commands:
            lines += ["----", *block.expected]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def play(script: Script, commands: list[str]) -> Iterator[str]:
    """What each command does, under its own heading when there are several."""
    for command in commands:
        if len(commands) > 1:
            yield f"> {command}"
        yield from script.run(command)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_goes_as_it_is_told(path: Path) -> None:
    """Every command of the file has exactly the effects that are written under it."""
    told = path.read_text(encoding="utf-8")
    blocks = parse(told)
    script = Script()
    for block in blocks:
        if block.commands:
            block.expected = list(play(script, block.commands))
    happened = render(blocks)
    if os.environ.get("REWRITE_SCENARIOS"):
        path.write_text(happened, encoding="utf-8")
    else:
        assert happened.splitlines() == told.splitlines()


def test_every_scenario_is_named_in_the_contract() -> None:
    """The table of the package's docstring names each scenario file, and no other."""
    contract = replication.raft.__doc__ or ""
    assert SCENARIOS
    named = {word.strip("`,") for word in contract.split() if word.strip("`,").endswith(".txt")}
    assert named == {path.name for path in SCENARIOS}


def test_every_event_and_message_has_a_handler() -> None:
    """The replica's tables hold the closed unions whole: none is forgotten."""
    start = LogPosition(Term(0), Offset(0))
    core = RaftReplica(
        ReplicaId(1), HardState(Term(0), None), start, start, (), [(Offset(0), members([1]))]
    )
    assert set(core._on_event) == set(get_args(Event))
    assert {*core._on_message, VoteRequest} == set(get_args(Message))
    assert len(get_args(Effect)) == 17
