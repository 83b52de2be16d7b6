"""A script without asyncio: JSON in, JSON out, resumed where it stopped.

`streamlog.client.sync` has the same names as `streamlog.client`, and every call waits. The script
keeps its position itself, with its results: in a file, written after the work. Whoever is stopped
between the two does the last piece again. (A consumer group would keep it too: group_work.py.)

Usage: python -m examples.blocking_script [--bootstrap HOST:PORT]
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from examples.target import bootstrap, make_topic
from streamlog.client.sync import Consumer, Producer

TOPIC = "example-orders"
PARTITION = (TOPIC, 0)


def to_bytes(value: Any) -> bytes:
    """A serializer."""
    return json.dumps(value).encode()


def write(addresses: str, numbers: range) -> None:
    """Orders."""
    with Producer(addresses, value_serializer=to_bytes) as producer:
        for number in numbers:
            producer.send_nowait(TOPIC, {"order": number, "cents": 100 * number}, key=b"shop-1")
        producer.flush()


def work(addresses: str, position_file: Path) -> int:
    """Add up the orders that were not seen before."""
    start = int(position_file.read_text()) if position_file.exists() else "earliest"
    cents = 0
    with Consumer(addresses, value_deserializer=json.loads) as consumer:
        consumer.assign([PARTITION], start=start)  # type: ignore[arg-type]
        (end,) = consumer.end_offsets([PARTITION]).values()
        while consumer.position(PARTITION) < end:
            for records in consumer.getmany(timeout_ms=1_000).values():
                cents += sum(record.value["cents"] for record in records)
            position_file.write_text(str(consumer.position(PARTITION)))
    return cents


def main() -> None:
    """Twice, with a stop in between."""
    addresses = bootstrap(__doc__)
    make_topic(addresses, TOPIC, partitions=1)
    with tempfile.TemporaryDirectory() as directory:
        position_file = Path(directory) / "position"
        work(addresses, position_file)  # whatever earlier runs have left
        write(addresses, range(10))
        print(f"first: {work(addresses, position_file)} cents")
        write(addresses, range(10, 20))
        print(f"then: {work(addresses, position_file)} cents")


if __name__ == "__main__":
    main()
