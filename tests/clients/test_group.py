"""Members in all languages share a topic: each is given its part, gives up some of it to the next,
lives through the loss of the coordinator, commits, and leaves what it had to the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from signal import SIGCONT, SIGSTOP

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


def places(members: Iterable[Program]) -> list[tuple[int, int]]:
    """Partitions and offsets of all that they printed."""
    return [(r["partition"], r["offset"]) for member in members for r in member.records()]


def wait_until_committed(cluster: Cluster, group: str, members: list[Program], count: int) -> None:
    """They have read so many records, and committed behind the last of each partition."""
    wait_until(lambda: len(set(places(members))) >= count, f"{count} records are read")
    ends: dict[int, int] = {}
    for partition, offset in places(members):
        ends[partition] = max(ends.get(partition, 0), offset + 1)

    def all_committed() -> bool:
        positions = cluster.committed(group)
        return all(positions.get(partition, 0) >= end for partition, end in ends.items())

    wait_until(all_committed, f"positions of {count} records are committed")


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
        everybody = list(members.values())
        for number, name in enumerate(members, 1):
            # Its first share is larger than any that is left to a member in the end.
            if PARTITIONS // number > -(-PARTITIONS // len(members)):
                assert any("revoked" in line for line in members[name].lines), name

        writer = stack.enter_context(
            Program(programs[first], "produce", **load, name="during", records=DURING, pause_ms=40)
        )
        writer.await_line("stored", at_least=DURING // 5)
        coordinator = cluster.await_coordinator(GROUP)
        cluster.kill(coordinator)
        try:
            writer.finish()
        finally:
            cluster.restart(coordinator)

        # With the new coordinator.
        wait_until_committed(cluster, GROUP, everybody, BEFORE + DURING)
        wait_until(lambda: shared_out(members), "every partition has its owner")
        while len(members) > 1:
            name, member = next(iter(members.items()))
            del members[name]
            assert member.finish()["result"] == "group"
            wait_until(lambda: shared_out(members), f"others have what {name} had")
        (last,) = members.values()
        last.finish()
        assert len(set(places(everybody))) == BEFORE + DURING
        wait_until_committed(cluster, GROUP, everybody, BEFORE + DURING)


def test_frozen_members_hand_out_nothing(programs: Mapping[str, Path], cluster: Cluster) -> None:
    """Processes that stood still for longer than their session find records on their connections
    when they go on, and a clock that says that others may have read them. Each record is read
    once."""
    if not programs:
        pytest.skip("no language was built")
    topic, first = "frozen", next(iter(programs))
    cluster.make_topic(topic, PARTITIONS)
    load = {"bootstrap": cluster.bootstrap, "topic": topic, "batch": 50, "pause_ms": 0}
    with ExitStack() as stack:
        members: dict[str, Program] = {}
        for name, program in [*programs.items(), (f"{first}-2", programs[first])]:
            flags = {"bootstrap": cluster.bootstrap, "topic": topic, "group": topic, "name": name}
            members[name] = stack.enter_context(Program(program, "group", **flags))
            wait_until(lambda: shared_out(members), f"{name} has its part")
        everybody = list(members.values())
        for turn, awake in enumerate(
            ({first: members[first]}, {n: m for n, m in members.items() if n != first})
        ):
            frozen = [member for name, member in members.items() if name not in awake]
            before = [len(member.lines) for member in frozen]
            for member in frozen:
                member.signal(SIGSTOP)
            run(programs[first], "produce", **load, name="some", records=500)
            wait_until(lambda awake=awake: shared_out(awake), "others have it all")  # type: ignore[misc]
            for member in frozen:
                member.signal(SIGCONT)
            wait_until(lambda: shared_out(members), "everybody has something again")
            wait_until_committed(cluster, topic, everybody, 500 * (turn + 1))
            for member, seen in zip(frozen, before, strict=True):
                since = member.lines[seen:]
                told = [number for number, line in enumerate(since) if "assigned" in line]
                assert told
                assert not any("offset" in line for line in since[: told[0]]), member.name
        for member in members.values():
            member.finish()
        found = places(everybody)
    assert len(found) == len(set(found)) == 1_000
