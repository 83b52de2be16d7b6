"""Finds the first offsets of partitions that a group gave, beside the reading of the others.

A topic whose leaders are not to be found, or of which this client has older news than the group's
coordinator, must not hold up the rest; so each topic is asked for by itself, until it answers or is
taken away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from streamlog.client.connections.backoff import Backoff
from streamlog.client.connections.cluster_metadata import ClusterMetadata
from streamlog.client.consume.placement import Placement
from streamlog.client.errors import ClientError, TopicUnknown
from streamlog.client.records import TopicPartition
from streamlog.client.transport import Random

RETRY_MS_FIRST: Final = 20.0
RETRY_MS_MAX: Final = 1_000.0


class Placer:
    """Gives partitions their first offsets, in the background."""

    def __init__(
        self,
        placement: Placement,
        metadata: ClusterMetadata,
        random: Random,
        topic_id_of: Callable[[TopicPartition], int | None],
        tell: Callable[[ClientError], None],
    ) -> None:
        """`topic_id_of`: by the grant; None: not given any more. `tell`: the application."""
        self._placement, self._metadata = placement, metadata
        self._topic_id_of, self._tell = topic_id_of, tell
        self._backoff = Backoff(RETRY_MS_FIRST, RETRY_MS_MAX, random)
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There are partitions without an offset."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._backoff.reset()
            while by_topic := self._unplaced():
                await asyncio.gather(*map(self._place, by_topic.values()))
                if self._placement.unplaced:
                    await asyncio.sleep(self._backoff.next_ms() / 1_000)

    def _unplaced(self) -> dict[str, dict[TopicPartition, int]]:
        """Topic ids of partitions, by topic."""
        by_topic: dict[str, dict[TopicPartition, int]] = {}
        for pair in self._placement.unplaced:
            topic_id = self._topic_id_of(pair)
            if topic_id is not None:
                by_topic.setdefault(pair.topic, {})[pair] = topic_id
        return by_topic

    async def _place(self, topic_ids: Mapping[TopicPartition, int]) -> None:
        name = next(iter(topic_ids)).topic
        try:
            known = await self._metadata.topic(name)
            if known.topic_id not in topic_ids.values():
                await self._metadata.refresh()  # It was deleted, and made anew.
            await self._placement.place(topic_ids)
        except ValueError:
            pass  # The nodes that were asked do not know all of its partitions yet.
        except TopicUnknown:
            pass  # Nor the topic; or it was deleted, and the group will say so.
        except ClientError as error:
            if not error.retriable:
                for pair in topic_ids:
                    self._placement.hold(pair)
                self._tell(error)
