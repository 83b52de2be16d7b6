"""Clusters of real processes change under load, by the commands that operators have: nodes and
replicas come and go, and nothing that was acknowledged is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from streamlog.client import Admin, ClientError, Consumer, Producer, TopicPartition
from tests.fakes.cli_shell import Shell, until_connected
from tests.fakes.node_processes import NodeProcess, free_addresses

TOPIC, PARTITIONS = "rides", 4
PAUSE_S = 0.02
WAIT_S = 60
END_TIMEOUT_S = 120
RESTART_TIMEOUT_S = "100"
RECORDS_MIN = 20
"""Of each partition, or the load was none."""

SeenT = TypeVar("SeenT")


async def becomes(look: Callable[[], Awaitable[SeenT]], wanted: SeenT) -> None:
    """Wait for what a command has done to be seen: any node answers, and one that had no part in
    it may hear of it a moment later."""
    deadline_s = time.monotonic() + WAIT_S
    while (seen := await look()) != wanted:
        assert time.monotonic() < deadline_s, f"{seen}, not {wanted}"
        await asyncio.sleep(0.1)


class Cluster:
    """Node processes; the first of them are controllers from the beginning."""

    def __init__(self, directory: Path, nodes: int, controllers: int, *options: str) -> None:
        self.addresses = free_addresses(nodes)
        self.nodes = {
            n: NodeProcess(
                directory,
                n,
                self.addresses,
                *options,
                bootstrap=n <= controllers,
                controllers=controllers,
            )
            for n in range(1, nodes + 1)
        }
        self.shell = Shell(",".join(self.addresses), directory)

    async def start(self, *node_ids: int) -> None:
        """Start nodes and wait until they serve."""
        for node_id in node_ids:
            self.nodes[node_id].start()
        for node_id in node_ids:
            await asyncio.to_thread(self.nodes[node_id].until_healthy)

    async def ok(self, *arguments: str) -> str:
        """A command that must succeed; what it prints."""
        done = await asyncio.to_thread(self.shell.decided, *arguments)
        assert done.returncode == 0, done
        return done.stdout

    async def asked(self, *arguments: str) -> Any:
        """What a command tells programs."""
        return json.loads(await self.ok(*arguments, "-o", "json"))

    async def refused(self, *arguments: str) -> str:
        """A command that must fail; what it says."""
        done = await asyncio.to_thread(self.shell.decided, *arguments)
        assert done.returncode == 1, done
        return done.stdout + done.stderr

    async def replicas(self) -> list[tuple[int, ...]]:
        """The nodes of each partition, the preferred leader first; none while one is moved."""
        async with Admin(self.addresses) as admin:
            partitions = (await admin.describe_topic(TOPIC)).partitions
        if any(partition.moving or partition.leaving_node_ids for partition in partitions):
            return []
        return [partition.replica_node_ids for partition in partitions]

    async def sorted_replicas(self) -> list[list[int]]:
        """The same, whoever is preferred."""
        return [sorted(nodes) for nodes in await self.replicas()]

    async def voters(self) -> list[int]:
        """Nodes that vote on the metadata; none while it is others that shall."""
        async with Admin(self.addresses) as admin:
            cluster = await admin.describe_cluster()
        voters = list(cluster.metadata_voter_node_ids)
        shall = [node.node_id for node in cluster.nodes if node.controller]
        return voters if voters == shall else []

    async def refuses_maintenance(self, node_id: int) -> bool:
        """Whether a node may not rest, too, because a majority would be missing."""
        try:
            async with Admin(self.addresses) as admin:
                await admin.begin_maintenance(node_id)
        except ClientError as error:
            if error.reason != "MAJORITY_AT_RISK" and not error.retriable:
                raise
            return error.reason == "MAJORITY_AT_RISK"
        raise AssertionError(f"node {node_id} may rest")

    async def nodes_are(self, **wanted: object) -> list[int]:
        """Ids of the nodes that look like this."""
        async with Admin(self.addresses) as admin:
            nodes = (await admin.describe_cluster()).nodes
        return [
            node.node_id
            for node in nodes
            if all(getattr(node, name) == value for name, value in wanted.items())
        ]

    async def leads(self, node_id: int) -> int:
        """How many partitions the node leads, as it says."""
        async with Admin(self.addresses) as admin:
            stored = await admin.describe_node(self.addresses[node_id - 1])
        return [replica.role for replica in stored.replicas].count("leader")

    async def create_topic(self, replicas: int) -> None:
        """The topic that the load is on."""
        async with Admin(self.addresses) as admin:
            await admin.create_topic(TOPIC, partitions=PARTITIONS, replication_factor=replicas)

    def kill(self) -> None:
        """All of it."""
        for node in self.nodes.values():
            node.kill()


class Load:
    """Writes numbered records to each partition, one after the other, and reads all of them."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self.acknowledged: list[list[int]] = [[] for _ in range(PARTITIONS)]
        """Offsets by partition; the place in the list is the number of the record."""
        self.read: list[list[tuple[int, int]]] = [[] for _ in range(PARTITIONS)]
        """Offset and number, as they came."""
        self.longest_wait_s = 0.0
        self._enough = False
        """Nothing more is to be written."""
        self._complete = False
        """Nothing more will be acknowledged."""

    async def _write(self, producer: Producer, partition: int) -> None:
        while not self._enough:
            number, began_s = len(self.acknowledged[partition]), time.monotonic()
            place = await producer.send(TOPIC, b"%d" % number, partition=partition)
            self.acknowledged[partition].append(place.offset)
            self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - began_s)
            await asyncio.sleep(PAUSE_S)

    async def _read(self, consumer: Consumer) -> None:
        while not self._complete or self._unread():
            for pair, records in (await consumer.getmany(timeout_ms=200)).items():
                self.read[pair.partition] += [
                    (record.offset, int(record.value or b"")) for record in records
                ]

    async def under_way(self) -> None:
        """Returns when something was acknowledged on each partition."""
        while not all(self.acknowledged):
            await asyncio.sleep(0.05)

    async def _is_some(self) -> bool:
        return all(len(acknowledged) > RECORDS_MIN for acknowledged in self.acknowledged)

    def _unread(self) -> bool:
        return any(
            acknowledged and (not read or read[-1][0] < acknowledged[-1])
            for acknowledged, read in zip(self.acknowledged, self.read, strict=True)
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Around what is done to the cluster; afterwards everything is checked."""
        async with Producer(self._addresses) as producer, Consumer(self._addresses) as consumer:
            pairs = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
            consumer.assign(pairs, start="earliest")
            reading = asyncio.ensure_future(self._read(consumer))
            writing = [
                asyncio.ensure_future(self._write(producer, number)) for number in range(PARTITIONS)
            ]
            try:
                yield
                await becomes(self._is_some, True)
                self._enough = True
                await asyncio.wait_for(asyncio.gather(*writing), END_TIMEOUT_S)
                self._complete = True
                await asyncio.wait_for(reading, END_TIMEOUT_S)
            finally:
                for task in (reading, *writing):
                    task.cancel()
        for acknowledged, read in zip(self.acknowledged, self.read, strict=True):
            assert read == [(offset, number) for number, offset in enumerate(acknowledged)]


async def test_a_cluster_grows_and_shrinks_while_it_serves(tmp_path: Path) -> None:
    """From one controller and single replicas to five and three; partitions move to new nodes, a
    node is drained and removed, and does not come back."""
    cluster = Cluster(tmp_path, 5, 1)
    load = Load(cluster.addresses[:2])
    try:
        await cluster.start(1, 2, 3)
        await cluster.create_topic(replicas=1)
        async with load.running():
            await cluster.ok("cluster", "controllers", "1", "2", "3")
            await becomes(cluster.voters, [1, 2, 3])
            assert "has 3 replicas" in await cluster.ok("topic", "alter", TOPIC, "-r", "3")
            await becomes(cluster.sorted_replicas, [[1, 2, 3]] * PARTITIONS)

            await cluster.start(4, 5)
            await cluster.ok("partition", "move", f"{TOPIC}/0:4,2,3", f"{TOPIC}/1:5,4,1")

            async def first_two() -> list[tuple[int, ...]]:
                return (await cluster.replicas())[:2]

            wanted: list[tuple[int, ...]] = [(4, 2, 3), (5, 4, 1)]
            await becomes(first_two, wanted)
            await cluster.ok("cluster", "controllers", "1", "2", "3", "4", "5")
            await becomes(cluster.voters, [1, 2, 3, 4, 5])
            assert "is a controller" in await cluster.refused("node", "remove", "3", "--yes")
            await cluster.ok("cluster", "controllers", "4", "1", "2")
            await becomes(cluster.voters, [1, 2, 4])
            assert "node drain 3" in await cluster.refused("node", "remove", "3", "--yes")
            drained = await cluster.asked("node", "drain", "3")
            assert (drained["replicas"], drained["given_away"]) == (0, 3)

            async def held_by_3() -> int:
                replicas = await cluster.replicas()
                return sum(3 in nodes for nodes in replicas) if replicas else -1

            await becomes(held_by_3, 0)
            await cluster.ok("node", "remove", "3", "--yes")
            await asyncio.to_thread(cluster.nodes[3].stop)

            await cluster.ok("cluster", "rebalance", "--yes")

            async def plan() -> Any:
                return await cluster.asked("cluster", "rebalance")

            await becomes(plan, {"assignments": [], "carried_out": False})

            async def held() -> list[int]:
                replicas = [node for nodes in await cluster.replicas() for node in nodes]
                return [replicas.count(node) for node in (1, 2, 4, 5)]

            await becomes(held, [3, 3, 3, 3])
        again = await asyncio.to_thread(cluster.nodes[3].run_to_its_end)
        assert again.returncode != 0
        assert "was removed from the cluster" in again.stderr + again.stdout
        await becomes(cluster.nodes_are, [1, 2, 4, 5])
    finally:
        cluster.kill()


async def test_a_lost_founder_does_not_become_another_cluster(tmp_path: Path) -> None:
    """One node founds a cluster alone, which grows; its disk is lost, its configuration is not.
    While a member runs nothing is founded. With none it can not know: it ends when one comes, and
    keeps none from starting. Under a new id it is welcome."""
    cluster = Cluster(tmp_path, 4, 1)
    founder, *others = (cluster.nodes[n] for n in (1, 2, 3))
    try:
        await cluster.start(1, 2, 3)
        done = await asyncio.to_thread(
            cluster.shell.decided, "cluster", "controllers", "1", "2", "3"
        )
        assert f"1@{cluster.addresses[0]},2@{cluster.addresses[1]}" in done.stderr
        assert "bootstrap off" in done.stderr
        await becomes(cluster.voters, [1, 2, 3])
        await cluster.create_topic(replicas=3)
        (cluster_id,) = {node.metadata().cluster_id for node in others}
        assert founder.stop() == 0
        founder.start()
        await asyncio.to_thread(founder.until_healthy)
        assert "controllers_outdated" in founder.events()

        founder.kill()
        shutil.rmtree(founder.directory)
        again = await asyncio.to_thread(founder.run_to_its_end)
        assert again.returncode == 1, again.stderr
        last = again.stderr.splitlines()[-1]
        assert cluster_id in last
        assert "node replace 1 --with NEW" in last
        assert not (founder.directory / "cluster.state").exists()

        for node in others:
            node.kill()
        founder.start()
        await asyncio.to_thread(founder.until_healthy)
        other_id = founder.metadata().cluster_id
        assert other_id != cluster_id
        await cluster.start(2, 3)
        assert founder.process is not None
        assert await asyncio.to_thread(founder.process.wait, WAIT_S) == 1
        (claimed, *_) = [e for e in founder.logged() if e["event"] == "claimed_by_another_cluster"]
        assert (claimed["cluster_id"], claimed["other_cluster_id"]) == (other_id, cluster_id)
        for node in others:
            assert node.metadata().cluster_id == cluster_id
            assert node.topics() == [TOPIC]

        voters = f"--controllers=2@{cluster.addresses[1]},3@{cluster.addresses[2]}"
        cluster.nodes[4] = NodeProcess(tmp_path, 4, cluster.addresses, voters, bootstrap=False)
        await cluster.start(4)
        await cluster.ok("node", "replace", "1", "--with", "4", "--yes")
        await becomes(cluster.voters, [2, 3, 4])
    finally:
        cluster.kill()


async def test_a_dead_node_is_replaced_and_the_others_are_restarted(tmp_path: Path) -> None:
    """One that was killed is replaced by a new one; what was interrupted goes on when it is asked
    for again. Then each node rests and is restarted, as a script does it, and what would cost a
    majority is refused."""
    cluster = Cluster(tmp_path, 4, 3)
    load = Load(cluster.addresses[:3])
    replace = ("node", "replace", "3", "--with", "4", "--yes")
    try:
        await cluster.start(1, 2, 3)
        await cluster.create_topic(replicas=3)
        async with load.running():
            await load.under_way()
            rest = ("node", "maintenance", "1", "on")
            await cluster.ok(*rest)
            await asyncio.to_thread(cluster.nodes[3].kill)
            assert "not registered; start it" in await cluster.refused(*replace)
            await cluster.start(4)
            while 3 in await cluster.nodes_are(live=True):
                await asyncio.sleep(0.1)
            assert "must not stop now" in await cluster.refused("node", "restart-check", "1")
            assert "is in maintenance" in await cluster.ok(*rest, "--no-wait")
            assert "must not be stopped now" in await cluster.refused(*rest)
            await cluster.ok("node", "maintenance", "1", "off")
            interrupted = await asyncio.to_thread(cluster.shell.run, *replace, "--timeout", "0")
            assert interrupted.returncode in {0, 1}, interrupted
            assert (await cluster.asked(*replace))["steps"][-1].startswith("node 3 is removed")
            await becomes(cluster.voters, [1, 2, 4])
            await becomes(cluster.sorted_replicas, [[1, 2, 4]] * PARTITIONS)
            assert await cluster.ok(*replace) == "node 3 is removed already\n"

            for node_id, other in ((1, 2), (2, 4), (4, 1)):
                check = ("node", "restart-check", str(node_id), "--timeout", RESTART_TIMEOUT_S)
                await cluster.ok(*check)
                await cluster.ok("node", "maintenance", str(node_id), "on")
                # An election may make it lead for a moment.
                await becomes(partial(cluster.leads, node_id), 0)
                await becomes(partial(cluster.refuses_maintenance, other), True)
                assert await asyncio.to_thread(cluster.nodes[node_id].stop) == 0
                await cluster.start(node_id)
                await cluster.ok("node", "maintenance", str(node_id), "off")
        await becomes(cluster.voters, [1, 2, 4])
        await becomes(partial(cluster.nodes_are, live=True, condition="active"), [1, 2, 4])
    finally:
        cluster.kill()


async def test_a_copy_takes_its_time(tmp_path: Path) -> None:
    """No faster than move.bytes.per.second, although the machine could; the way is told, who does not
    wait for it learns how to watch, and Ctrl-C stops the waiting only."""
    # Slow, so that the commands that look at it on its way are done before it is.
    rate, records, record_bytes = 120_000, 60, 100_000
    cluster = Cluster(tmp_path, 2, 1, f"--move-bytes-per-second={rate}")
    try:
        await cluster.start(1, 2)
        async with Admin(cluster.addresses) as admin:
            await admin.create_topic("big", partitions=1, replication_factor=1)
        async with Producer(cluster.addresses) as producer:
            for _ in range(records):
                await producer.send("big", os.urandom(record_bytes))
        await asyncio.to_thread(cluster.nodes[1].stop)  # What is in memory costs the disk nothing.
        await cluster.start(1)
        began_s = time.monotonic()
        await cluster.ok("topic", "alter", "big", "-r", "2", "--no-wait")
        moves = await cluster.asked("partition", "moves")
        assert [(each["topic"], each["partition"]) for each in moves] == [("big", 0)]
        assert moves[0]["copies"][0]["end"] < moves[0]["end"]
        waiting = await cluster.refused("topic", "alter", "big", "-r", "2", "--timeout", "0")
        assert "streamlog partition moves" in waiting
        stopped = cluster.shell.start("topic", "alter", "big", "-r", "2")
        await asyncio.to_thread(until_connected, stopped, cluster.addresses)
        stopped.send_signal(signal.SIGINT)
        _, errors = await asyncio.to_thread(stopped.communicate)
        assert (stopped.returncode, errors) == (130, b"")
        await cluster.ok("topic", "alter", "big", "-r", "2")
        took_s = time.monotonic() - began_s
        copied = records * record_bytes
        piece = 1 << 20
        assert took_s >= (copied - piece) / rate - 0.1
    finally:
        cluster.kill()
