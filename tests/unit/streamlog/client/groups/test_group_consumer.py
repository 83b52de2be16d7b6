"""Consumers of a group at three whole nodes, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.group_consumers import ConsumerWorld, Reader, new_consumer_world


@pytest.fixture
def world() -> Iterator[ConsumerWorld]:
    with new_consumer_world() as made:
        yield made


def test_a_member_reads_commits_and_leaves(world: ConsumerWorld) -> None:
    """Alone it reads everything; what it committed is where the next one goes on."""
    world.fill("orders", {number: [b"a", b"b", b"c"] for number in range(4)})
    reader = Reader(world, "r1")
    reader.wait_for(0, 1, 2, 3)
    first = reader.get(8)
    assert len(first) == 8
    reader.complete(reader.consumer.commit())
    assert sum(reader.committed().values()) >= 8
    reader.close()
    assert reader.diary == [("assigned", [0, 1, 2, 3]), ("revoked", [0, 1, 2, 3])]
    second = Reader(world, "r2")
    rest = second.get(4)
    read = sorted((record.partition, record.value) for record in first + rest)
    assert read == [(number, value) for number in range(4) for value in (b"a", b"b", b"c")]
    second.close()
