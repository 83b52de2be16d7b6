"""Groups of this platform."""

from __future__ import annotations

import time
from collections.abc import Iterable

from streamlog.client import ClientError, Producer


class PlatformGroups:
    """Implements GroupSystem."""

    module = "group_member_platform"

    def __init__(self, bootstrap: str, producer: Producer, session_ms: int) -> None:
        """`producer` knows the topic already: `await producer.writer(topic)`."""
        self._bootstrap, self._producer, self._session_ms = bootstrap, producer, session_ms
        self.failures: list[ClientError] = []

    def arguments(self, group: str, topic: str, names: str, count: int) -> list[object]:
        """Of a process with `count` members."""
        return [self._bootstrap, group, topic, names, count, self._session_ms]

    def produce(self, topic: str, partitions: Iterable[int]) -> None:
        """One record to each."""
        for partition in partitions:
            value = b"%.6f" % time.monotonic()
            self._producer.send_nowait(
                topic, value, partition=partition, on_delivery=self._on_delivery
            )

    def _on_delivery(self, _: object, error: ClientError | None) -> None:
        if error is not None:
            self.failures.append(error)
