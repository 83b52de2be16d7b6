"""Members of a Kafka group (confluent-kafka), run as a process; what it says: `groups.members`.

Usage: python -m benchmarks.clients.group_member_kafka BOOTSTRAP GROUP TOPIC NAMES COUNT PROTOCOL
           SESSION_MS
PROTOCOL: "consumer" (KIP-848; the session timeout is the group's) or "classic".
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.groups.members import COMMITS_FOR_S, line

POLL_S = 0.5


class Member:
    """One, with a thread that polls it."""

    def __init__(self, name: str, topic: str, settings: dict[str, Any]) -> None:
        self._name, self._topic, self._settings = name, topic, settings
        self._leaving, self._committing = threading.Event(), threading.Event()
        self._mine: dict[int, None] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Join."""
        self._thread.start()

    def leave(self) -> None:
        """Leave cleanly."""
        self._leaving.set()

    def commit(self) -> None:
        """One position after the other, each when the one before is committed."""
        self._committing.set()

    def _run(self) -> None:
        say("joining", self._name)
        consumer = Consumer({**self._settings, "client.id": self._name})
        consumer.subscribe(
            [self._topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )
        while not self._leaving.is_set():
            if self._committing.is_set():
                self._committing.clear()
                self._commit(consumer)
            message = consumer.poll(POLL_S)
            if message is not None and message.error() is None:
                value = (message.value() or b"0").decode()
                say("read", self._name, message.partition(), value)
        say("leaving", self._name)
        consumer.close()

    def _commit(self, consumer: Consumer) -> None:
        partition = next(iter(self._mine))
        count = 0
        end_s = time.monotonic() + COMMITS_FOR_S
        while time.monotonic() < end_s:
            count += 1
            consumer.commit(
                offsets=[TopicPartition(self._topic, partition, count)], asynchronous=False
            )
        say("committed", self._name, count)

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [each.partition for each in partitions]
        self._mine.update(dict.fromkeys(numbers))
        say("assigned", self._name, *numbers)

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [each.partition for each in partitions]
        for number in numbers:
            self._mine.pop(number, None)
        say("revoked", self._name, *numbers)


_OUTPUT = threading.Lock()


def say(kind: str, *words: object) -> None:
    """A line for whoever measures."""
    with _OUTPUT:
        sys.stdout.write(line(kind, *words))
        sys.stdout.flush()


def main() -> None:
    """Until the standard input ends."""
    bootstrap, group, topic, names, count, protocol, session_ms = sys.argv[1:8]
    settings: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "group.protocol": protocol,
        "auto.offset.reset": "earliest",
    }
    if protocol == "classic":
        settings["session.timeout.ms"] = int(session_ms)
    members = [Member(f"{names}-{number}", topic, settings) for number in range(int(count))]
    say("ready")
    for word in sys.stdin:
        act = {"go": Member.start, "leave": Member.leave, "commit": Member.commit}[word.strip()]
        for member in members:
            act(member)


if __name__ == "__main__":
    main()
