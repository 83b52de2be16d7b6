"""Two of three real nodes are gone for good: the third goes on, when it is told so twice."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamlog.cli.node.health import serves
from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import (
    Admin,
    ClientError,
    Consumer,
    Producer,
    ReplicaDescription,
    TopicPartition,
    TopicUnknown,
)
from streamlog.host.network import GrpcNetwork
from tests.fakes.patience import PATIENT

WAIT_S = 120
PAIR = TopicPartition("t", 0)
CONTROLLERS = {1, 2, 3}


async def streamlog(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "streamlog.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


async def serving(address: str) -> None:
    network = GrpcNetwork()
    async with asyncio.timeout(WAIT_S):
        while not await serves(network, address, 1_000):
            await asyncio.sleep(0.1)


async def write(address: str, values: list[bytes]) -> None:
    async with Producer(address, policy=PATIENT) as producer:
        for value in values:
            await producer.send("t", value)


async def read(address: str, count: int, pair: TopicPartition = PAIR) -> list[bytes]:
    values: list[bytes] = []
    async with Consumer(address, policy=PATIENT) as consumer, asyncio.timeout(WAIT_S):
        consumer.assign([pair], start="earliest")
        while len(values) < count:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                values += [record.value for record in records if record.value is not None]
    return values


async def all_have_all(cluster: LocalCluster) -> None:
    """Every replica knows what was acknowledged to be committed."""
    async with Admin(cluster.bootstrap, policy=PATIENT) as admin, asyncio.timeout(WAIT_S):
        end = (await admin.list_offsets([PAIR], "latest"))[PAIR].offset
        while True:
            try:
                replicas = await admin.describe_replicas("t")
            except TopicUnknown:
                replicas = []  # by a node that lags behind
            if len(replicas) == 3 and all(each.committed_end_offset >= end for each in replicas):
                return
            await asyncio.sleep(0.1)


async def ended(code: int, words: str, *command: str) -> subprocess.CompletedProcess[str]:
    """The command, once it ends so, with these words: a node that was started a moment ago, or
    stood still, knows a little later who is alive."""
    deadline_s = asyncio.get_running_loop().time() + WAIT_S
    while True:
        done = await streamlog(*command)
        if done.returncode == code and words in done.stderr:
            return done
        assert asyncio.get_running_loop().time() < deadline_s, (done.returncode, done.stderr)
        await asyncio.sleep(0.2)


async def stored(admin: Admin, address: str, partition: int) -> ReplicaDescription:
    """The node's replica of the partition."""
    found = (await admin.describe_node(address, "t")).replicas
    return next(each for each in found if each.partition == partition)


async def append_in_vain(cluster: LocalCluster, node: int, partition: int, count: int) -> None:
    """To the leader, while it does not know yet that all others died; then it dies, too."""
    async with (
        Producer(cluster.addresses[node], policy=PATIENT) as producer,
        Admin(cluster.addresses[node], policy=PATIENT) as admin,
    ):
        await producer.append_batch("t", partition, [b"before"])
        before = (await stored(admin, cluster.addresses[node], partition)).end_offset
        for other in set(cluster.addresses) - {node}:
            cluster.kill(other)
        appending = asyncio.create_task(producer.append_batch("t", partition, [b"in vain"] * count))
        async with asyncio.timeout(WAIT_S):
            while (
                await stored(admin, cluster.addresses[node], partition)
            ).end_offset < before + count:
                await asyncio.sleep(0.01)
        cluster.kill(node)
        await producer.close(timeout_ms=0)
        await asyncio.gather(appending, return_exceptions=True)


async def recovered(address: str, *command: str) -> dict[str, object]:
    """Force it, with both consents, once the node is sure that the others are gone."""
    planned = await ended(0, "", *command, "--node", address, "--dry-run", "-o", "json")
    plan = json.loads(planned.stdout)
    assert (plan["forced"], plan["node"]) == (False, 3)
    once = await streamlog(*command, "--node", address)
    assert (once.returncode, "--yes" in once.stderr) == (2, True)
    assert "may be gone: everything from offset" in once.stderr
    once = await streamlog(*command, "--node", address, "--yes")
    assert (once.returncode, f"--confirm {plan['name']}" in once.stderr) == (2, True)
    wrong = await streamlog(*command, "--node", address, "--yes", "--confirm", "t/1")
    assert (wrong.returncode, "must be" in wrong.stderr) == (2, True)
    twice = await streamlog(
        *command, "--node", address, "--yes", "--confirm", str(plan["name"]), "-o", "json"
    )
    assert twice.returncode == 0, twice.stderr
    result = json.loads(twice.stdout)
    assert (result["forced"], result["end"] >= plan["end"]) == (True, True)
    assert sorted(member["node"] for member in result["left_behind"]) == [1, 2]
    return dict(result)


async def test_the_third_node_goes_on(cluster: LocalCluster, tmp_path: Path) -> None:
    """All that it had is there, and it takes records again; also after a restart, and when the
    directories of the dead come back."""
    before = [b"before %d" % number for number in range(200)]
    async with Admin(cluster.bootstrap, policy=PATIENT) as admin:
        await admin.create_topic("t", partitions=1, replication_factor=3)
    await write(cluster.bootstrap, before)
    await all_have_all(cluster)
    third = cluster.addresses[3]
    command = ("partition", "force-recover", "t", "0", "--node", third, "--dry-run")
    await ended(1, "a majority of its members is alive", *command)

    kept = tmp_path / "kept"
    for node in (1, 2):
        cluster.kill(node)
        directory = cluster.data_directories[node - 1]
        shutil.copytree(directory, kept / directory.name)
        shutil.rmtree(directory)
    await recovered(third, "cluster", "force-recover")
    await recovered(third, "partition", "force-recover", "t", "0")
    after = [b"after %d" % number for number in range(200)]
    await write(third, after)
    assert await read(third, 400) == before + after
    async with asyncio.timeout(WAIT_S):
        while "recovery_forced" not in cluster.log_of(3).read_text():
            await asyncio.sleep(0.1)

    cluster.kill(3)
    cluster.spawn(3)
    await serving(third)
    more = [b"more %d" % number for number in range(200)]
    await write(third, more)
    assert await read(third, 600) == before + after + more

    for node in (1, 2):
        directory = cluster.data_directories[node - 1]
        shutil.copytree(kept / directory.name, directory)
        cluster.spawn(node)
        await serving(cluster.addresses[node])
    await asyncio.sleep(5)
    async with Admin(third, policy=PATIENT) as admin, asyncio.timeout(WAIT_S):
        while (await admin.describe_topic("t")).partitions[0].leader_node_id != 3:
            await asyncio.sleep(0.1)
    last = [b"last %d" % number for number in range(200)]
    await write(third, last)
    assert await read(third, 800) == before + after + more + last
    assert await read(cluster.addresses[1], 800) == before + after + more + last
    assert [cluster.exit_code(node) for node in (1, 2, 3)] == [None] * 3


async def done(words: str, *command: str) -> None:
    """The command ends well, and says so with these words."""
    ended = await streamlog(*command)
    assert ended.returncode == 0, ended.stderr
    assert words in ended.stdout


async def test_others_take_the_place_of_the_lost(tmp_path: Path) -> None:
    """Of controllers and replicas, by the commands that the documents name: in the end the lost ones
    are forgotten, and the one that went on is not needed any more."""
    cluster = LocalCluster(tmp_path, nodes=5)
    try:
        for node in (1, 2, 3):
            cluster.spawn(node)
        await cluster.await_ready()
        third = cluster.addresses[3]
        async with Admin(third, policy=PATIENT) as admin:
            await admin.create_topic("t", partitions=1, replication_factor=3)
        values = [b"value %d" % number for number in range(50)]
        await write(third, values)
        await all_have_all(cluster)
        for node in (1, 2):
            cluster.kill(node)
            shutil.rmtree(cluster.data_directories[node - 1])
        await recovered(third, "cluster", "force-recover")
        await recovered(third, "partition", "force-recover", "t", "0")
        for node in (4, 5):
            cluster.spawn(node)
            await serving(cluster.addresses[node])
        options = ("-b", third, "--timeout", str(WAIT_S))
        await ended(
            1, "partition move --force", "node", "replace", "1", "--with", "4", "--yes", *options
        )
        await done("are 3, 4, 5", "cluster", "controllers", "3", "4", "5", *options)
        await done("moved 1", "partition", "move", "t/0:3,4,5", "--force", *options)
        for lost, new in (("1", "4"), ("2", "5")):
            removed = f"node {lost} is removed"
            await done(removed, "node", "replace", lost, "--with", new, "--yes", *options)
        cluster.kill(3)
        assert await read(cluster.addresses[4], 50) == values
        await write(cluster.addresses[5], [b"more"])
        assert await read(cluster.addresses[4], 51) == [*values, b"more"]
    finally:
        cluster.kill_all()


async def test_a_long_log_of_an_old_term_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of five replicas are left: a former leader's, with a tail that was never committed, and a
    shorter one that has what was acknowledged since."""
    # The leader stays one for so long when it hears nobody.
    monkeypatch.setenv("STREAMLOG_ELECTION_TIMEOUT_MS", "3000")
    cluster = LocalCluster(tmp_path, nodes=5)
    try:
        await cluster.start()
        async with Admin(cluster.bootstrap, policy=PATIENT) as admin, asyncio.timeout(WAIT_S):
            await admin.create_topic("t", partitions=5, replication_factor=5)
            former = 0
            while former not in CONTROLLERS:
                topic = await admin.describe_topic("t")
                former, partition = min(
                    (p.leader_node_id or 9, p.partition) for p in topic.partitions
                )
        pair = TopicPartition("t", partition)
        await append_in_vain(cluster, former, partition, 200)
        newer = max(CONTROLLERS - {former})
        others = set(cluster.addresses) - {former}
        for node in others:
            cluster.spawn(node)
        for node in others:
            await serving(cluster.addresses[node])
        async with (
            Admin(cluster.addresses[newer], policy=PATIENT) as admin,
            Producer(cluster.addresses[newer], policy=PATIENT) as producer,
            asyncio.timeout(WAIT_S),
        ):
            sent = await producer.append_batch("t", partition, [b"since"])
            while (
                await stored(admin, cluster.addresses[newer], partition)
            ).committed_end_offset <= sent.offset:
                await asyncio.sleep(0.1)
        for node in others:
            cluster.kill(node)
            if node != newer:
                shutil.rmtree(cluster.data_directories[node - 1])
        for node in (former, newer):
            cluster.spawn(node)
        for node in (former, newer):
            await serving(cluster.addresses[node])

        command = ("partition", "force-recover", "t", str(partition), "--node")
        consents = ("--yes", "--confirm", f"t/{partition}")
        worse, better = (cluster.addresses[node] for node in (former, newer))
        words = f"better than the one on node {former}"
        await ended(0, "", *command, worse, "--dry-run")
        await ended(0, "", *command, better, "--dry-run")
        plan = json.loads((await streamlog(*command, worse, "--dry-run", "-o", "json")).stdout)
        first, second = plan["replicas"]
        assert (first["node"], second["node"]) == (newer, former)
        assert (first["objection"], second["chosen"]) == (words, True)
        assert (first["end"] < second["end"], first["end_term"] > second["end_term"]) == (
            True,
            True,
        )
        async with Admin(better, policy=PATIENT) as admin:
            assert (await stored(admin, better, partition)).end_term == first["end_term"]
        refused = await streamlog(*command, worse, *consents)
        assert (refused.returncode, words in refused.stderr) == (1, True)
        assert f"--pass-over {newer}" in refused.stderr
        forced = await streamlog(*command, better, *consents)
        assert forced.returncode == 0, forced.stderr
        assert await read(better, 2, pair) == [b"before", b"since"]
    finally:
        cluster.kill_all()


async def test_the_metadata_of_a_node_that_waits_at_its_start(cluster: LocalCluster) -> None:
    """It does not get as far as to serve, but it answers this."""
    async with Admin(cluster.bootstrap, policy=PATIENT) as admin:
        await admin.create_topic("t", partitions=1, replication_factor=3)
    await write(cluster.bootstrap, [b"once"])
    await all_have_all(cluster)
    for node in (1, 2, 3):
        cluster.kill(node)
    for node in (1, 2):
        shutil.rmtree(cluster.data_directories[node - 1])
    cluster.spawn(3)
    third = cluster.addresses[3]
    await recovered(third, "cluster", "force-recover")
    await serving(third)
    await recovered(third, "partition", "force-recover", "t", "0")
    await write(third, [b"twice"])
    assert await read(third, 2) == [b"once", b"twice"]
    async with Admin(third, policy=PATIENT) as admin:
        with pytest.raises(ClientError, match="a majority of its members is alive, on nodes 3"):
            await admin.force_recover(third, "t", 0, dry_run=True)
