"""Python clients of Kafka (confluent-kafka), run as a process: one JSON object on stdout.

Usage: python -m benchmarks.clients.kafka consume|single|count BOOTSTRAP TOPIC RECORDS
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from benchmarks.events import json_events
from benchmarks.summary import percentile

SILENCE_S = 20.0


def consume(bootstrap: str, topic: str, records: int) -> dict[str, float]:
    """Read `records` from the start of all partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 65_536,
            "fetch.max.bytes": 52_428_800,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in sorted(partitions)])
    got = size = 0
    begin = time.perf_counter()
    heard = begin
    while got < records:
        messages = consumer.consume(10_000, timeout=1.0)
        for message in messages:
            error = message.error()
            if error is None:
                got += 1
                size += len(message.value() or b"")
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                raise SystemExit(str(error))
        now = time.perf_counter()
        heard = now if messages else heard
        if now - heard > SILENCE_S:
            raise SystemExit(f"only {got} of {records} records came")
    seconds = time.perf_counter() - begin
    consumer.close()
    return {"records": got, "records_per_s": got / seconds, "mb_per_s": size / seconds / 1e6}


def single(bootstrap: str, topic: str, records: int) -> dict[str, float]:
    """One record at a time, each acknowledged by all in-sync replicas before the next."""
    events = json_events()
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0})
    delivered: list[float] = []

    def on_delivery(error: KafkaError | None, _: object) -> None:
        if error is not None:
            raise SystemExit(str(error))
        delivered.append(time.perf_counter())

    latencies = []
    for number in range(records + 50):
        begin = time.perf_counter()
        producer.produce(topic, events[number % len(events)], partition=0, on_delivery=on_delivery)
        while len(delivered) <= number:
            producer.poll(0.1)
        latencies.append(delivered[number] - begin)
    warm = sorted(latencies[50:])
    return {"p50_ms": percentile(warm, 0.5) * 1e3, "p99_ms": percentile(warm, 0.99) * 1e3}


def main() -> None:
    """Dispatch."""
    what, bootstrap, topic, records = sys.argv[1:5]
    work = {"consume": consume, "single": single}[what]
    print(json.dumps(work(bootstrap, topic, int(records))))


if __name__ == "__main__":
    main()
