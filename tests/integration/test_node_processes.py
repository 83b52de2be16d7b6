"""Nodes as real processes: real files, real fsync, real sockets."""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path

import grpc
import pytest

from tests.fakes.node_processes import NodeProcess, free_addresses, nodes, until


def leaders(node: NodeProcess) -> list[int]:
    """Leader of each partition of the first topic, as the node knows it; 0 when unknown."""
    (topic,) = node.metadata().topics
    return [partition.leader_node_id for partition in topic.partitions]


def code_of(error: grpc.RpcError) -> grpc.StatusCode:
    """Of a failed call."""
    assert isinstance(error, grpc.Call)
    return error.code()


def test_a_single_node_keeps_what_it_was_told(tmp_path: Path) -> None:
    """Start, create a topic, stop with SIGTERM, start again: the topic is there, and the log
    tells of each step."""
    with nodes(tmp_path, 1) as (node,):
        for round_ in range(2):
            node.start()
            node.until_healthy()
            if round_ == 0:
                topic = node.create_topic("orders", 2, 1)
                assert len(topic.partitions) == 2
            until(lambda: node.topics() == ["orders"], "the topic is known")
            until(lambda: leaders(node) == [1, 1], "every partition has a leader")
            assert node.stop() == 0, node.log.read_text()
        assert node.events().count("node_started") == 2
        assert node.events().count("node_stopped") == 2


def test_a_single_node_survives_a_kill(tmp_path: Path) -> None:
    """The same after SIGKILL: what was acknowledged is there."""
    with nodes(tmp_path, 1) as (node,):
        node.start()
        node.until_healthy()
        node.create_topic("orders", 3, 1)
        node.kill()
        node.start()
        node.until_healthy()
        assert node.topics() == ["orders"]
        until(lambda: leaders(node) == [1, 1, 1], "every partition has a leader")


def test_three_nodes_form_one_cluster_and_outlive_one(tmp_path: Path) -> None:
    """Every node tells the same; when one is killed the others serve on, and it comes back."""
    with nodes(tmp_path, 3) as all_nodes:
        for node in all_nodes:
            node.start()
        for node in all_nodes:
            node.until_healthy()
        all_nodes[1].create_topic("orders", 6, 3)
        for node in all_nodes:
            until(lambda node=node: node.topics() == ["orders"], "all know the topic")  # type: ignore[misc]
            until(lambda node=node: 0 not in leaders(node), "all know the leaders")  # type: ignore[misc]
        assert len({node.metadata().cluster_id for node in all_nodes}) == 1
        until(lambda: leaders(all_nodes[0]) == leaders(all_nodes[2]), "all tell the same leaders")

        all_nodes[0].kill()
        survivor = all_nodes[1]
        until(lambda: not {0, 1} & set(leaders(survivor)), "the others lead everything")

        def creates() -> bool:
            try:
                survivor.create_topic("more", 1, 2)
            except grpc.RpcError as error:
                return code_of(error) is grpc.StatusCode.ALREADY_EXISTS
            return True

        until(creates, "metadata changes go through without the killed node")
        all_nodes[0].start()
        all_nodes[0].until_healthy()
        until(lambda: sorted(all_nodes[0].topics()) == ["more", "orders"], "it caught up")
        for node in all_nodes:
            assert node.stop() == 0, node.log.read_text()


def test_a_second_node_with_the_same_id_is_refused(tmp_path: Path) -> None:
    """A controller's id and another one's, each while the first runs: the reason names the id and
    what to do, the refused directory joined nothing, and the nodes that run go on."""
    first_address, second_address, spare = free_addresses(3)
    controllers = f"1@{first_address}"
    first = NodeProcess(tmp_path, 1, [first_address])
    second = NodeProcess(
        tmp_path, 2, [spare, second_address], f"--controllers={controllers}", bootstrap=False
    )
    try:
        first.start()
        first.until_healthy()
        second.start()
        second.until_healthy()
        cluster_id = first.metadata().cluster_id
        for node, bootstrap, words in (
            (first, True, (f"node 1 at {first_address}", spare, "controllers")),
            (second, False, ("node id 2 is registered", "that was never used")),
        ):
            copy = NodeProcess(
                tmp_path / f"copy-{node.node_id}",
                node.node_id,
                [spare] * node.node_id,
                f"--controllers={controllers}",
                bootstrap=bootstrap,
            )
            copy.directory.parent.mkdir()
            done = copy.run_to_its_end()
            assert done.returncode == 1, done.stderr
            assert "Traceback" not in done.stderr
            for word in words:
                assert word in done.stderr.splitlines()[-1]
            assert not (copy.directory / "cluster.state").exists()
            other_id = NodeProcess(
                *(copy.directory.parent, 7, [spare] * 7),
                f"--controllers={controllers}",
                bootstrap=False,
            )
            shutil.move(copy.directory, other_id.directory)
            done = other_id.run_to_its_end()
            assert done.returncode == 1
            assert "joined no cluster yet and can be deleted" in done.stderr.splitlines()[-1]
        for node in (first, second):
            until(node.serves, "it serves on")
            assert node.metadata().cluster_id == cluster_id
        assert [(n.node_id, n.address) for n in first.metadata().nodes] == [
            (1, first_address),
            (2, second_address),
        ]
    finally:
        first.kill()
        second.kill()


def test_a_directory_of_another_cluster_is_refused(tmp_path: Path) -> None:
    """Both clusters are named, and neither learns of the other."""
    ours, theirs, spare = free_addresses(3)
    first = NodeProcess(tmp_path, 1, [ours])
    other = NodeProcess(tmp_path / "theirs", 1, [theirs])
    other.directory.parent.mkdir()
    stranger = NodeProcess(
        tmp_path / "theirs", 2, [spare] * 2, f"--controllers=1@{theirs}", bootstrap=False
    )
    moved = NodeProcess(
        tmp_path / "theirs", 2, [spare] * 2, f"--controllers=1@{ours}", bootstrap=False
    )
    try:
        for node in (first, other, stranger):
            node.start()
            node.until_healthy()
        clusters = [node.metadata().cluster_id for node in (first, other)]
        assert stranger.stop() == 0
        done = moved.run_to_its_end()
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        for cluster_id in clusters:
            assert cluster_id in done.stderr.splitlines()[-1]
        assert [node.metadata().cluster_id for node in (first, other)] == clusters
        assert [n.node_id for n in first.metadata().nodes] == [1]
        stranger.start()
        stranger.until_healthy()
    finally:
        for node in (first, other, stranger, moved):
            node.kill()


def test_a_copy_of_a_directory_does_not_run_beside_it(tmp_path: Path) -> None:
    """Refused with the reason, by a lone node's controller and in a cluster; the original serves
    on, and starts again at once after a kill."""
    (spare,) = free_addresses(1)
    with nodes(tmp_path, 3) as all_nodes:
        for node in all_nodes:
            node.start()
        for node in all_nodes:
            node.until_healthy()
        third = all_nodes[2]
        assert third.stop() == 0
        copies = tmp_path / "copies"
        shutil.copytree(third.directory, copies / third.directory.name)
        third.start()
        third.until_healthy()
        addresses = [node.address for node in all_nodes]
        copy = NodeProcess(copies, 3, addresses, f"--bind={spare}")
        done = copy.run_to_its_end()
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        last = done.stderr.splitlines()[-1]
        assert "another process runs as node 3" in last
        assert "a node id that was never used" in last
        until(third.serves, "the original serves on")
        assert [n.address for n in all_nodes[0].metadata().nodes] == addresses
        for _ in range(3):
            third.kill()
            third.start()
            third.until_healthy()
    with nodes(tmp_path / "alone", 1) as (lone,):
        lone.directory.parent.mkdir()
        lone.start()
        lone.until_healthy()
        assert lone.process is not None
        lone.process.send_signal(signal.SIGSTOP)  # Files come and go in a directory that is in use.
        try:
            shutil.copytree(lone.directory, tmp_path / "alone" / "copy" / lone.directory.name)
        finally:
            lone.process.send_signal(signal.SIGCONT)
        copy = NodeProcess(tmp_path / "alone" / "copy", 1, [lone.address], f"--bind={spare}")
        done = copy.run_to_its_end()
        assert done.returncode == 1, done.stderr
        assert "another process runs as node 1" in done.stderr.splitlines()[-1]
        until(lone.serves, "the original serves on")


def test_starts_that_are_refused(tmp_path: Path) -> None:
    """A port in use, a directory in use, and one that can not be written: each is one line with
    the value, exit code 1, and the node that runs goes on."""
    with nodes(tmp_path, 2) as (first, second):
        first = NodeProcess(tmp_path, 1, [first.address])
        first.start()
        first.until_healthy()
        try:
            same_port = NodeProcess(tmp_path / "other", 1, [first.address])
            same_directory = NodeProcess(tmp_path, 1, [second.address])
            (tmp_path / "file").write_text("not a directory")
            no_directory = NodeProcess(tmp_path / "file", 1, [second.address])
            for refused, message in (
                (same_port, f"the address {first.address} is in use by another process"),
                (same_directory, f"{first.directory} is in use by another process"),
                (no_directory, f"can not write in the data directory {no_directory.directory}"),
            ):
                done = refused.run_to_its_end()
                assert done.returncode == 1, done.stderr
                assert message in done.stderr.splitlines()[-1]
                assert "Traceback" not in done.stderr
                assert "node_stopping" not in done.stderr
            assert not (same_port.directory / "node.identity").exists()
            peer_port = int(second.address.rpartition(":")[2])
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", peer_port))
                taken.listen()
                (free,) = free_addresses(1)
                same_peer_port = NodeProcess(
                    tmp_path / "third", 1, [free], f"--peer-port={peer_port}"
                )
                same_peer_port.directory.parent.mkdir()
                done = same_peer_port.run_to_its_end()
            assert done.returncode == 1, done.stderr
            assert "(peer.port) is in use" in done.stderr.splitlines()[-1]
            assert not (same_peer_port.directory / "node.identity").exists()
            until(first.serves, "it serves on")
            assert first.stop() == 0
        finally:
            first.kill()


@pytest.mark.parametrize("case", ["other id", "foreign files"])
def test_a_directory_that_is_not_the_nodes(tmp_path: Path, case: str) -> None:
    """A directory of another node, or one that holds something else, is refused and not touched."""
    with nodes(tmp_path, 1) as (node,):
        if case == "other id":
            node.start()
            node.until_healthy()
            assert node.stop() == 0
            shutil.move(node.directory, tmp_path / "node-2")
            refused = NodeProcess(tmp_path, 2, [node.address, node.address.replace("1:", "2:")])
        else:
            node.directory.mkdir()
            (node.directory / "holiday.jpg").write_bytes(b"jpg")
            refused = node
        before = sorted(path.name for path in refused.directory.iterdir())
        done = refused.run_to_its_end()
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert ("not empty" if case == "foreign files" else "node 1") in done.stderr
        after = sorted(path.name for path in refused.directory.iterdir())
        assert [name for name in after if name != "lock"] == [n for n in before if n != "lock"]


def test_settings_change_under_a_node(tmp_path: Path) -> None:
    """SIGHUP takes over what may change, names what waits for a restart, and a wrong file changes
    nothing; the node serves on."""
    file = tmp_path / "node.toml"
    file.write_text("default.partitions = 2\n")

    def reload(event: str) -> None:
        before = node.events().count(event)
        assert node.process is not None
        node.process.send_signal(signal.SIGHUP)
        until(lambda: node.events().count(event) > before, event)

    with nodes(tmp_path, 1, f"--config={file}") as (node,):
        node.start()
        node.until_healthy()
        assert len(node.create_topic("two", 0, 1).partitions) == 2
        file.write_text("default.partitions = 5\njournal.files = 9\n")
        reload("settings_changed")
        until(lambda: "settings_need_restart" in node.events(), "what waits for a restart is named")
        assert len(node.create_topic("five", 0, 1).partitions) == 5
        file.write_text("default.partitions = 0\n")
        reload("settings_refused")
        reasons = [each["reason"] for each in node.logged() if each["event"] == "settings_refused"]
        assert "allowed" in reasons[-1]
        file.write_text("default.partitions = \n")
        reload("settings_refused")
        assert len(node.create_topic("still-five", 0, 1).partitions) == 5
