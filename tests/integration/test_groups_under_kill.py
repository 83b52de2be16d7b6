"""A group on three real nodes while members and nodes are killed: nothing is left out, and what is
handled twice is explained.

Every member keeps a diary of what it took, what it handled, and which commits were acknowledged.
A grant's epoch orders those who had a partition one after the other; so a record that was taken
under one grant may be taken again under a later one exactly as long as no commit behind it had
been acknowledged under an earlier one.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, ClientError, Producer

ROOT = Path(__file__).parents[2]
GROUP, TOPIC, PARTITIONS = "billing", "orders", 12
DEADLINE_S = 90.0
"""For each thing that is waited for; it takes a few seconds on a machine that is not busy."""
PAUSE_S = 0.05
"""Between two records of one partition."""
RECORDS_MIN = 50 * PARTITIONS


@dataclass
class Told:
    """What the diaries say."""

    taken: list[tuple[int, int, str, list[int]]] = field(default_factory=list)
    """Partition, grant, member, offsets; in the order of the diary."""
    acked: list[tuple[int, int, str, int]] = field(default_factory=list)
    """Partition, grant, member, position."""
    done: dict[tuple[int, int], str] = field(default_factory=dict)
    """What was handled, with its value."""
    done_by: dict[int, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    """By partition and offset, who handled it last."""
    left: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        """One line."""
        kind, name, *words = line.split()
        if kind == "left":
            self.left.append(name)
        elif kind == "done":
            partition = int(words[0])
            for word in words[1:]:
                offset, value = word.split(":")
                self.done[partition, int(offset)] = value
                self.done_by[partition][int(offset)] = name
        else:
            assert words[1] != "None", f"{kind} without a grant: {line}"
            partition, grant, *offsets = map(int, words)
            if kind == "taken":
                self.taken.append((partition, grant, name, offsets))
            else:
                self.acked.append((partition, grant, name, offsets[0]))

    def uncommitted(self, member: str) -> bool:
        """Whether the member took something that no commit is behind."""
        committed: dict[int, int] = defaultdict(int)
        for partition, _, _, position in self.acked:
            committed[partition] = max(committed[partition], position)
        return any(
            name == member and offsets[-1] >= committed[partition]
            for partition, _, name, offsets in self.taken
        )


def verdicts(told: Told, stored: dict[tuple[int, int], str]) -> list[str]:
    """Everything that should not be."""
    wrong = [
        f"{partition}/{offset} was stored and never handled"
        for partition, offset in stored
        if (partition, offset) not in told.done
    ]
    wrong += [
        f"{place} was handled as {value}, stored was {stored[place]}"
        for place, value in told.done.items()
        if stored.get(place, value) != value
    ]
    owners: dict[tuple[int, int], str] = {}
    for partition, grant, name, _ in (*told.taken, *told.acked):
        owner = owners.setdefault((partition, grant), name)
        if owner != name:
            wrong.append(f"{owner} and {name} both had {partition} by grant {grant}")
    committed: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for partition, grant, _, position in told.acked:
        committed[partition].append((grant, position))
    highest: dict[tuple[int, int], int] = {}
    for partition, grant, name, offsets in told.taken:
        last = highest.get((partition, grant), -1)
        if offsets[0] <= last or offsets != sorted(set(offsets)):
            wrong.append(f"{name} took {partition}/{offsets[0]} after {last}, by one grant")
        highest[partition, grant] = offsets[-1]
        before = max((at for g, at in committed[partition] if g < grant), default=0)
        if offsets[0] < before:
            wrong.append(
                f"{name} took {partition}/{offsets[0]} by grant {grant}, though {before} was"
                " committed under an earlier one"
            )
    return wrong


class Members:
    """Processes with members, and their diaries."""

    def __init__(self, directory: Path, bootstrap: str) -> None:
        self._directory, self._bootstrap = directory, bootstrap
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._read: dict[str, int] = {}
        self.told = Told()

    def start(self, *members: str) -> None:
        """One process; `members` are names with their kinds."""
        name = members[0].split(":")[0]
        with (self._directory / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.fakes.group_member_process",
                    self._bootstrap,
                    GROUP,
                    TOPIC,
                    str(self._diary(name)),
                    *members,
                ],
                stdin=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
            )
        self._read[name] = 0

    def _diary(self, name: str) -> Path:
        return self._directory / f"{name}.diary"

    def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self._processes.pop(name)
        process.kill()
        _reap(process)

    async def leave(self, names: Iterable[str]) -> None:
        """End them cleanly."""
        for name in list(names):
            process = self._processes.pop(name)
            assert process.stdin is not None
            process.stdin.close()
            code = await asyncio.to_thread(process.wait, DEADLINE_S)
            assert code == 0, self.words(name)
            self.listen()
            assert name in self.told.left

    def kill_all(self) -> None:
        """Whatever still runs."""
        for name in list(self._processes):
            self.kill(name)

    @property
    def running(self) -> list[str]:
        """Names of processes."""
        return list(self._processes)

    def words(self, name: str) -> str:
        """What it said besides."""
        return f"{name}: {(self._directory / f'{name}.log').read_text()[-2_000:]}"

    def listen(self) -> None:
        """Read on in all diaries; whole lines only."""
        for name, position in self._read.items():
            diary = self._diary(name)
            if not diary.exists():
                continue
            with diary.open("rb") as file:
                file.seek(position)
                new = file.read()
            end = new.rfind(b"\n") + 1
            for line in new[:end].decode().splitlines():
                self.told.read(line)
            self._read[name] = position + end
        for name, process in self._processes.items():
            assert process.poll() is None, self.words(name)


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


class Writers:
    """Constant production to every partition, and what of it was acknowledged."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self.stored: dict[tuple[int, int], str] = {}
        self._newest = [-1] * PARTITIONS
        self._enough = False
        self._tasks = [asyncio.ensure_future(self._write(n)) for n in range(PARTITIONS)]

    async def _write(self, partition: int) -> None:
        for number in itertools.count():
            if self._enough:
                return
            value = f"{partition}-{number}"
            key = b"%d" % (number % 5)
            place = await self._producer.send(TOPIC, value.encode(), key=key, partition=partition)
            self.stored[partition, place.offset] = value
            self._newest[partition] = place.offset
            await asyncio.sleep(PAUSE_S)

    @property
    def newest(self) -> list[int]:
        """Offset of the last acknowledged record, by partition."""
        return list(self._newest)

    def check(self) -> None:
        """Raises what a writer met."""
        for task in self._tasks:
            if task.done() and not self._enough:
                task.result()

    async def finish(self) -> None:
        """Write no more."""
        self._enough = True
        await asyncio.gather(*self._tasks)

    def cancel(self) -> None:
        """Whatever happened."""
        for task in self._tasks:
            task.cancel()


class Story:
    """The cluster, the members, the writers, and how to wait for them."""

    def __init__(self, cluster: LocalCluster, members: Members, writers: Writers) -> None:
        self.cluster, self.members, self.writers = cluster, members, writers

    async def until(self, is_so: Callable[[], bool], what: Callable[[], str]) -> None:
        """Wait; fail as soon as somebody has died by himself."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self.members.listen()
            self.writers.check()
            if is_so():
                return
            assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what()}"
            await asyncio.sleep(0.05)

    async def everybody_goes_on(self) -> None:
        """Every partition gets new records, and those are handled."""
        begun = self.writers.newest
        await self.until(
            lambda: all(new > old for new, old in zip(self.writers.newest, begun, strict=True)),
            lambda: f"records of every partition are acknowledged: {begun}, {self.writers.newest}",
        )
        goal = self.writers.newest
        told = self.members.told
        await self.until(
            lambda: all((number, goal[number]) in told.done for number in range(PARTITIONS)),
            lambda: f"handled: {[(n, goal[n]) in told.done for n in range(PARTITIONS)]}",
        )


async def coordinator_of_the_group(admin: Admin) -> int:
    """Its node, as soon as somebody knows it."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return (await admin.describe_group(GROUP, lag=False)).coordinator_node_id
        except ClientError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def test_nothing_is_left_out_while_members_and_nodes_are_killed(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    """Eight members in five processes. Killed are: two of the processes, the node that coordinates
    the group, a process together with another node. One process leaves, new ones come. After each
    of these every partition is read on; in the end every acknowledged record was handled, and
    whatever was taken twice had not been committed."""
    members = Members(tmp_path, cluster.bootstrap)
    async with Admin(cluster.bootstrap) as admin, Producer(cluster.bootstrap) as producer:
        await admin.create_topic(TOPIC, partitions=PARTITIONS, replication_factor=3)
        writers = Writers(producer)
        story = Story(cluster, members, writers)
        try:
            members.start("a:loop", "b:worker", "c:loop", "d:worker")
            for each in ("e:loop", "f:late", "g:loop", "h:worker"):
                members.start(each)
            await story.until(
                lambda: {name for _, _, name, _ in members.told.taken} == set("abcdefgh"),
                lambda: f"all take part: {[name for _, _, name, _ in members.told.taken][-20:]}",
            )
            await story.everybody_goes_on()

            await story.until(
                lambda: members.told.uncommitted("f"), lambda: "f handles what it does not commit"
            )
            members.kill("e")
            members.kill("f")
            await story.everybody_goes_on()

            killed = await coordinator_of_the_group(admin)
            cluster.kill(killed)
            await story.everybody_goes_on()
            await cluster.restart(killed)

            members.start("i:worker")
            other = killed % 3 + 1
            members.kill("h")
            cluster.kill(other)
            await story.everybody_goes_on()
            await cluster.restart(other)

            members.start("j:loop")
            await members.leave(["g"])
            await story.everybody_goes_on()

            await story.until(
                lambda: len(writers.stored) > RECORDS_MIN, lambda: f"{len(writers.stored)} records"
            )
            await writers.finish()
            await story.until(
                lambda: members.told.done.keys() >= writers.stored.keys(),
                lambda: (
                    f"never handled: {[p for p in writers.stored if p not in members.told.done][:10]}"
                ),
            )
            await members.leave(members.running)
        finally:
            writers.cancel()
            members.kill_all()
    assert verdicts(members.told, writers.stored) == []
    assert len(members.told.acked) > PARTITIONS
    # What f handled and had not committed was taken again: otherwise nothing was shown.
    handed = [(partition, at) for partition, _, _, offsets in members.told.taken for at in offsets]
    assert len(handed) > len(set(handed))


def test_the_judge_sees_what_it_must() -> None:
    """Each kind of wrong in a diary is found, and what an unacknowledged commit explains is not."""
    stored = {(0, offset): f"0-{offset}" for offset in range(4)}
    told = Told()
    for line in (
        "taken a 0 3 0 1 2",
        "done a 0 0:0-0 1:0-1 2:0-2",
        "acked a 0 3 1",
        "taken b 0 5 1 2 3",
        "done b 0 1:0-1 2:0-2 3:0-3",
    ):
        told.read(line)
    assert verdicts(told, stored) == []
    assert told.uncommitted("a")
    told.read("acked a 0 3 2")
    assert told.uncommitted("a")
    assert not told.uncommitted("c")
    assert verdicts(told, stored) == [
        "b took 0/1 by grant 5, though 2 was committed under an earlier one"
    ]
    told = Told()
    for line in ("taken a 0 3 0 1", "taken b 0 3 2", "taken a 0 3 1 2", "done a 0 0:0-0 1:x"):
        told.read(line)
    assert verdicts(told, stored) == [
        "0/2 was stored and never handled",
        "0/3 was stored and never handled",
        "(0, 1) was handled as x, stored was 0-1",
        "a and b both had 0 by grant 3",
        "a took 0/1 after 2, by one grant",
    ]
