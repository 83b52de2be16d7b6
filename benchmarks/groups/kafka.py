"""Groups of Kafka 4.1: the new protocol at two heartbeat intervals, and the classic one.

The heartbeat interval of the new protocol is a setting of the group, 1 ms at the least; brokers
forbid less than 5 s until their own lower bound is lowered, as it is here. The session timeout is
that of the classic protocol's lower bound, so that all variants are alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

SESSION_MS = 6_000
HEARTBEAT_MS_MIN = 1
BROKER_SETTINGS = {
    "group.consumer.min.heartbeat.interval.ms": HEARTBEAT_MS_MIN,
    "group.consumer.min.session.timeout.ms": SESSION_MS,
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A protocol and how it is set."""

    name: str
    protocol: str
    settings: dict[str, str]
    """Of the group."""


NEW = Variant("new protocol", "consumer", {"consumer.session.timeout.ms": str(SESSION_MS)})
NEW_FASTEST = Variant(
    f"new protocol, heartbeat {HEARTBEAT_MS_MIN} ms",
    "consumer",
    {
        "consumer.session.timeout.ms": str(SESSION_MS),
        "consumer.heartbeat.interval.ms": str(HEARTBEAT_MS_MIN),
    },
)
CLASSIC = Variant("classic protocol", "classic", {})


class KafkaGroups:
    """Implements GroupSystem for one variant."""

    module = "group_member_kafka"

    def __init__(self, bootstrap: str, variant: Variant) -> None:
        self._bootstrap, self._variant = bootstrap, variant
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all", "log_level": 0}
        )

    def prepare(self, group: str) -> None:
        """Set what the variant sets of a group."""
        if not self._variant.settings:
            return
        admin = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in self._variant.settings.items()
        ]
        resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=entries)
        for answer in admin.incremental_alter_configs([resource]).values():
            answer.result(30)

    def arguments(self, group: str, topic: str, names: str, count: int) -> list[object]:
        """Of a process with `count` members."""
        return [self._bootstrap, group, topic, names, count, self._variant.protocol, SESSION_MS]

    def produce(self, topic: str, partitions: Iterable[int]) -> None:
        """One record to each."""
        for partition in partitions:
            value = b"%.6f" % time.monotonic()
            self._producer.produce(topic, value, partition=partition, on_delivery=_check)
        self._producer.poll(0)

    def close(self) -> None:
        """Send what is left."""
        self._producer.flush(10)


def _check(error: object, _: object) -> None:
    if error is not None:
        raise KafkaException(error)
