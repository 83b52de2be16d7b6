"""What `streamlog topic trim` is about to do, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamlog.cli.failure import CommandFailed
from streamlog.cli.records.positions import Place
from streamlog.cli.topics.trim import PartitionTrim, plan_trim
from streamlog.client import TopicPartition


class FakeAdmin:
    """A topic whose partitions hold these offsets."""

    def __init__(self, *bounds: tuple[int, int]) -> None:
        self._bounds = bounds

    async def describe_topic(self, name: str) -> Any:
        partitions = [SimpleNamespace(partition=number) for number in range(len(self._bounds))]
        return SimpleNamespace(partitions=partitions)

    async def list_offsets(self, pairs: list[tuple[str, int]], at: str) -> dict[Any, Any]:
        end = {"earliest": 0, "latest": 1}[at]
        return {
            TopicPartition(*pair): SimpleNamespace(offset=self._bounds[pair[1]][end])
            for pair in pairs
        }


async def planned(place: Place, partitions: list[int] | None = None) -> list[PartitionTrim]:
    """For partitions that end at 4, 2 and 7."""
    admin: Any = FakeAdmin((0, 4), (1, 2), (0, 7))
    return await plan_trim(admin, "old", partitions, place)


@pytest.mark.parametrize(
    ("offset", "partitions", "new_starts"),
    [(0, None, [0, 1, 0]), (2, None, [2, 2, 2]), (4, [0, 2], [4, 4]), (7, [2], [7])],
)
async def test_an_offset_in_the_log(
    offset: int, partitions: list[int] | None, new_starts: list[int]
) -> None:
    """Each partition begins there afterwards; one that begins behind it stays as it is."""
    plan = await planned(Place("offset", offset), partitions)
    assert [each.new_start for each in plan] == new_starts


@pytest.mark.parametrize(
    ("offset", "partitions", "ranges"),
    [
        (10_000, None, "old/0 has 0 to 4, old/1 has 1 to 2, old/2 has 0 to 7;"),
        (5, None, "old/0 has 0 to 4, old/1 has 1 to 2;"),
        (3, [1], "old/1 has 1 to 2;"),
    ],
)
async def test_an_offset_beyond_the_end_is_refused(
    offset: int, partitions: list[int] | None, ranges: str
) -> None:
    """Once it let go of everything. Of several partitions, one that ends before it is enough."""
    with pytest.raises(CommandFailed) as caught:
        await planned(Place("offset", offset), partitions)
    assert f"offset {offset} is out of range: {ranges}" in caught.value.message
    assert "--before end" in caught.value.message


async def test_everything_goes_when_asked_for() -> None:
    """The end of each partition is its own."""
    assert [each.new_start for each in await planned(Place("end"))] == [4, 2, 7]
