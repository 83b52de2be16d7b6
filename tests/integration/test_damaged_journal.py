"""The journal of a real node rots in its middle, and no other node has what it had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamlog.client import ClientError, Recovery, TopicPartition
from streamlog.client.sync import Admin, Consumer, Producer
from streamlog.storage.journal.frame import (
    BLOCK_BYTES,
    MARK_FRAME_BYTES,
    FrameKind,
    decode_file_header,
    decode_frame,
    decode_mark,
    padded,
    salt,
)
from tests.fakes.node_processes import NodeProcess, free_addresses, until
from tests.fakes.patience import PATIENT

RECORDS = 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    """A cluster of one, whose checkpoints do not come in between."""
    made = NodeProcess(tmp_path, 1, free_addresses(1), "--checkpoint-interval-ms=600000")
    yield made
    made.kill()


def flushes(path: Path) -> list[tuple[int, int]]:
    """Where the flushes of a journal file lie that hold more than a mark, in whole blocks."""
    data = path.read_bytes()
    header = decode_file_header(data[:BLOCK_BYTES])
    assert header is not None
    found: list[tuple[int, int]] = []
    at = BLOCK_BYTES
    while at + MARK_FRAME_BYTES <= len(data):
        frame = decode_frame(
            salt(header.journal_id, header.sequence),
            data[at : at + MARK_FRAME_BYTES],
            0,
            MARK_FRAME_BYTES,
        )
        mark = decode_mark(frame[1]) if frame and frame[0].kind is FrameKind.MARK else None
        if mark is None:
            at += BLOCK_BYTES
            continue
        end = at + padded(mark.flush_bytes)
        if mark.frame_count:
            found.append((at, end))
        at = end
    return found


def rot(node: NodeProcess) -> None:
    """One of the newest flushes is zeros; others follow it."""
    places = [
        (path, place)
        for path in sorted((node.directory / "journal").iterdir())
        for place in flushes(path)
    ]
    path, (start, end) = places[-6]
    data = bytearray(path.read_bytes())
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def planned(admin: Admin, node: NodeProcess, *, metadata: bool) -> Recovery:
    """What the node would go on with, once it can say."""
    plans: list[Recovery] = []

    def asked() -> bool:
        try:
            plans.append(
                admin.force_recover_cluster(node.address, dry_run=True)
                if metadata
                else admin.force_recover(node.address, "t", 0, dry_run=True)
            )
        except ClientError:
            return False
        return True

    until(asked, f"node {node.node_id} can be forced on; its log:\n{node.log.read_text()}")
    return plans[0]


def test_an_only_node_goes_on_when_it_is_told_twice(node: NodeProcess) -> None:
    """It serves nothing and says why. An operator accepts the loss, of the metadata and of the
    partition; what was acknowledged before the damage is there, and it goes on, also after a kill."""
    node.start()
    node.until_healthy()
    with Admin(node.address, policy=PATIENT) as admin, Producer(node.address) as producer:
        admin.create_topic("t", partitions=1)
        for number in range(RECORDS):
            producer.send("t", b"%d" % number)
    node.kill()
    rot(node)
    node.start()
    with Admin(node.address, policy=PATIENT) as admin:
        plan = planned(admin, node, metadata=True)
        assert not node.serves()
        node.until_told("replica_distrusted", "metadata_replica_lost")
        admin.force_recover_cluster(node.address, accept_data_loss=plan.cluster_id)
        node.until_healthy()
        plan = planned(admin, node, metadata=False)
        assert 0 < plan.end_offset <= RECORDS + 1
        node.until_told("replica_lost")
        admin.force_recover(node.address, "t", 0, accept_data_loss="t/0")
    kept = _read(node, 1)
    assert kept == [b"%d" % number for number in range(len(kept))]
    assert RECORDS - 6 <= len(kept) <= RECORDS
    with Producer(node.address) as producer:
        producer.send("t", b"later")
    node.kill()
    node.start()
    node.until_healthy()
    assert _read(node, len(kept) + 1) == [*kept, b"later"]


def _read(node: NodeProcess, at_least: int) -> list[bytes]:
    """All that is committed, once there is so much."""
    pair = TopicPartition("t", 0)
    values: list[bytes] = []
    with Consumer(node.address) as consumer:
        consumer.assign([pair], start="earliest")

        def ended() -> bool:
            for records in consumer.getmany(timeout_ms=500).values():
                values.extend(record.value for record in records if record.value is not None)
            end = consumer.end_offsets([pair])[pair]
            return len(values) >= at_least and consumer.position(pair) >= end

        until(ended, f"{at_least} records are read")
    return values
