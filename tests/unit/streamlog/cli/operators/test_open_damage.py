"""What `cluster status` says of damage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import typer

from streamlog.cli import cluster as commands
from streamlog.cli.operators import open_damage
from streamlog.cli.output import Output
from streamlog.cli.target import Target
from streamlog.client import (
    Admin,
    ClusterDescription,
    ConnectionLost,
    DamagedRange,
    NodeDamage,
    NodeDescription,
)

RANGES = (
    DamagedRange(2, "", 0, 0, 70, of_snapshot=True),
    DamagedRange(2, "rides", 0, 10, 20, of_snapshot=False),
    DamagedRange(2, "rides", 0, 30, 40, of_snapshot=False),
    DamagedRange(2, "rides", 4, 10, 20, of_snapshot=False),
)


class Nodes:
    """Two live nodes and one that is down, as an Admin tells of them."""

    def __init__(self, **answers: NodeDamage | None) -> None:
        self.answers = {
            "n1": NodeDamage(1, 0, ()),
            "n2": NodeDamage(2, len(RANGES), RANGES),
            "n3": NodeDamage(3, 0, ()),
            **answers,
        }
        self.live = [True, True, True]

    async def describe_cluster(self) -> ClusterDescription:
        nodes = [
            NodeDescription(n, f"n{n}", "", live, controller=True)
            for n, live in enumerate(self.live, start=1)
        ]
        return ClusterDescription("c", tuple(nodes), 1, 2, 19, 0)

    async def list_moves(self, *, progress: bool) -> list[object]:
        assert not progress
        return []

    async def describe_damage(self, address: str) -> NodeDamage:
        answer = self.answers[address]
        if answer is None:
            raise ConnectionLost(f"{address} does not answer")
        return answer


def status(
    nodes: Nodes,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    """Exit code, and what is printed."""

    @asynccontextmanager
    async def admin_of(_: Target) -> AsyncIterator[Admin]:
        yield cast("Admin", nodes)

    monkeypatch.setattr(commands, "admin_of", admin_of)
    monkeypatch.setattr(commands, "run", lambda work, _: asyncio.run(work))
    code = 0
    try:
        commands.status(output, target=cast("Target", None))
    except typer.Exit as end:
        code = end.exit_code
    return code, capsys.readouterr().out


def test_damage_that_is_not_mended_is_shown_and_is_not_all_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By node and partition for people, by range for programs."""
    code, text = status(Nodes(), Output.TABLE, monkeypatch, capsys)
    assert code == 1
    assert text.endswith(
        "2 topics, 19 partitions, 0 without a leader\n"
        "node 2 has 4 damaged ranges not mended yet, of the metadata, rides/0, rides/4; if that"
        " lasts, event repair_postponed in its log says why\n"
    )
    code, text = status(Nodes(), Output.JSON, monkeypatch, capsys)
    assert code == 1
    told = json.loads(text)
    assert [node["damaged_ranges"] for node in told["nodes"]] == [0, 4, 0]
    assert told["damage"][:2] == [
        {
            "node": 2,
            "topic": None,
            "partition": None,
            "start": 0,
            "end": 70,
            "of_snapshot": True,
        },
        {
            "node": 2,
            "topic": "rides",
            "partition": 0,
            "start": 10,
            "end": 20,
            "of_snapshot": False,
        },
    ]
    assert len(told["damage"]) == 4


def test_without_damage_all_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said of it."""
    sound = Nodes(n2=NodeDamage(2, 0, ()))
    code, text = status(sound, Output.TABLE, monkeypatch, capsys)
    assert code == 0
    assert text.endswith("0 without a leader\n")
    code, text = status(sound, Output.JSON, monkeypatch, capsys)
    assert (code, json.loads(text)["damage"]) == (0, [])


def test_a_live_node_that_does_not_answer_may_have_some(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not told as sound. One that is down is not asked, and is told as down already."""
    silent = Nodes(n2=None)
    code, text = status(silent, Output.TABLE, monkeypatch, capsys)
    assert code == 1
    assert text.endswith("node 2 does not answer: what of it is damaged is not known\n")
    code, text = status(silent, Output.JSON, monkeypatch, capsys)
    assert code == 1
    assert [node["damaged_ranges"] for node in json.loads(text)["nodes"]] == [0, None, 0]
    silent.live[1] = False
    code, text = status(silent, Output.TABLE, monkeypatch, capsys)
    assert code == 1
    assert text.endswith("0 without a leader\n")


def test_of_many_partitions_some_are_named() -> None:
    """A line stays a line; more ranges than a node names are counted."""
    ranges = tuple(DamagedRange(2, "rides", n, 0, 9, of_snapshot=False) for n in range(6))
    (line,) = open_damage.lines({2: NodeDamage(2, 2_000, ranges)})
    assert line.startswith(
        "node 2 has 2000 damaged ranges not mended yet, of rides/0, rides/1, rides/2, rides/3,"
        " rides/4, ...; if"
    )
    one = open_damage.lines({2: NodeDamage(2, 1, ranges[:1])})
    assert one[0].startswith("node 2 has 1 damaged range not mended yet, of rides/0; if")
