"""What the broker counts for operators: plain numbers, once a batch or a response.

Whoever composes the node makes the counters and reads them at a scrape; the broker only adds.
Nothing is kept by client. Invariant: `topics` holds ids of topics that exist or existed; `prune`
lets go of the others, so that it does not grow with every topic that ever was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamlog.model.histogram import Histogram


@dataclass(slots=True)
class TopicCounters:
    """Of one topic, on this node."""

    produced_batches: int = 0
    """Stored and acknowledged; repetitions that were recognised are not."""
    produced_records: int = 0
    produced_bytes: int = 0
    """Of the payloads as they are stored."""
    duplicate_batches: int = 0
    """Repetitions of batches that were stored before."""
    fetch_responses: int = 0
    fetched_records: int = 0
    """Offsets that readers moved on by; a control entry counts as one."""
    fetched_bytes: int = 0


class BrokerCounters:
    """Of one node, from its start."""

    def __init__(self) -> None:
        self._topics: dict[int, TopicCounters] = {}
        self.produce_ms = Histogram()
        """From the moment a batch was read to that of its result; waits for room included."""
        self.commit_ms = Histogram()
        """From the moment a batch was proposed to that of its commit."""
        self.refused: dict[tuple[str, str], int] = {}
        """Errors told inside of streams and as ends of calls, by method and reason."""
        self.stream_budget_waits = 0
        """Times that a Produce stream was not read on because of its own bound."""
        self.disk_fetches = 0
        """Reads of history for Fetch streams that had to wait for the disk."""

    def topic(self, topic_id: int) -> TopicCounters:
        """The counters of a topic that exists."""
        counters = self._topics.get(topic_id)
        if counters is None:
            counters = self._topics[topic_id] = TopicCounters()
        return counters

    def refuse(self, method: str, reason: str) -> None:
        """An error was told."""
        key = (method, reason)
        self.refused[key] = self.refused.get(key, 0) + 1

    def topics(self) -> list[tuple[int, TopicCounters]]:
        """All, by topic id."""
        return sorted(self._topics.items())

    def prune(self, exists: Callable[[int], bool]) -> None:
        """Forget topics that are gone."""
        for topic_id in [known for known in self._topics if not exists(known)]:
            del self._topics[topic_id]
