"""Members in all languages share a topic: each is given its part, gives up some of it to the next,
lives through the loss of the coordinator, commits, and leaves what it had to the others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import pytest

from contract.clients import Program, run
from tests.clients.running import Cluster, wait_until

TOPIC = "shared"
GROUP = "everybody"
PARTITIONS = 12
BEFORE, DURING = 2_000, 3_000


def assigned(member: Program) -> list[int]:
    """As it last said."""
    told = [line["assigned"] for line in list(member.lines) if "assigned" in line]
    return list(told[-1]) if told else []


def shared_out(members: Mapping[str, Program]) -> bool:
    """Each partition has one owner, and each member something."""
    parts = [assigned(member) for member in members.values()]
    return all(parts) and sorted(chain.from_iterable(parts)) == list(range(PARTITIONS))


def test_a_group_of_all_languages(programs: Mapping[str, Path], cluster: Cluster) -> None:
    """No record is lost, and in the end everything is committed."""
    if not programs:
        pytest.skip("no language was built")
    cluster.make_topic(TOPIC, PARTITIONS)
    first = next(iter(programs))
    load = {"bootstrap": cluster.bootstrap, "topic": TOPIC, "batch": 50}
    run(programs[first], "produce", **load, name="before", records=BEFORE, pause_ms=0)
    with ExitStack() as stack:
        members: dict[str, Program] = {}
        for name, program in [*programs.items(), (f"{first}-2", programs[first])]:
            members[name] = stack.enter_context(
                Program(
                    program,
                    "group",
                    bootstrap=cluster.bootstrap,
                    topic=TOPIC,
                    group=GROUP,
                    name=name,
                )
            )
            wait_until(lambda: shared_out(members), f"{name} has its part")
        everybody = dict(members)
        for name in list(members)[: min(len(members) - 1, PARTITIONS // 2)]:
            assert any("revoked" in line for line in members[name].lines), name

        writer = stack.enter_context(
            Program(programs[first], "produce", **load, name="during", records=DURING, pause_ms=40)
        )
        writer.await_line("stored", at_least=DURING // 5)
        coordinator = cluster.coordinator(GROUP).leader_node_id
        assert coordinator != 0
        cluster.kill(coordinator)
        try:
            writer.finish()
        finally:
            cluster.restart(coordinator)

        def places() -> list[tuple[int, int]]:
            return [
                (record["partition"], record["offset"])
                for member in everybody.values()
                for record in member.records()
            ]

        wait_until(lambda: len(set(places())) >= BEFORE + DURING, "all records were read")
        wait_until(lambda: shared_out(members), "every partition has its owner")
        ends: dict[int, int] = {}
        for partition, offset in places():
            ends[partition] = max(ends.get(partition, 0), offset + 1)

        def all_committed() -> bool:
            positions = cluster.committed(GROUP)
            return all(positions.get(partition, 0) >= end for partition, end in ends.items())

        wait_until(all_committed, "members have committed with the new coordinator")
        while len(members) > 1:
            name, member = next(iter(members.items()))
            del members[name]
            assert member.finish()["result"] == "group"
            wait_until(lambda: shared_out(members), f"others have what {name} had")
        (last,) = members.values()
        last.finish()
        assert len(set(places())) == BEFORE + DURING
        wait_until(all_committed, "everything is committed")
