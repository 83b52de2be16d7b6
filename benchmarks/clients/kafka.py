"""Python clients of Kafka (confluent-kafka), run as a process: one JSON object on stdout.

Usage: python -m benchmarks.clients.kafka consume|single BOOTSTRAP TOPIC RECORDS
       python -m benchmarks.clients.kafka crowd BOOTSTRAP TOPIC RECORDS CLIENTS
"""

from __future__ import annotations

import json
import sys
import threading
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


def crowd(bootstrap: str, topic: str, records: int, clients: int) -> dict[str, float]:
    """Independent producers, each awaiting its acknowledgement before it sends the next record."""
    events = json_events()
    each = records // clients
    latencies: list[float] = []
    failures: list[str] = []
    together = threading.Barrier(clients + 1)

    def client(number: int) -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0})
        done = 0

        def on_delivery(error: KafkaError | None, _: object) -> None:
            nonlocal done
            done += 1
            if error is not None:
                failures.append(str(error))

        for count in range(each + 1):
            begin = time.perf_counter()
            value = events[(number * each + count) % len(events)]
            producer.produce(topic, value, on_delivery=on_delivery)
            while done <= count:
                producer.poll(1.0)
            latencies.append(time.perf_counter() - begin)
            if count == 0:
                together.wait()  # the first one only connects

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    together.wait()
    latencies.clear()
    begin, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    if failures:
        raise SystemExit(failures[0])
    latencies.sort()
    return {
        "records": (each + 1) * clients,
        "records_per_s": each * clients / seconds,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
        "client_cpu_us": cpu / (each * clients) * 1e6,
    }


def main() -> None:
    """Dispatch."""
    what, bootstrap, topic, records = sys.argv[1:5]
    if what == "crowd":
        answer = crowd(bootstrap, topic, int(records), int(sys.argv[5]))
    else:
        answer = {"consume": consume, "single": single}[what](bootstrap, topic, int(records))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
