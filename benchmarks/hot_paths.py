"""What the hot paths cost alone, in this process: figures beside which the others make sense."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.events import json_events
from streamlog.model.batch import draft_from_message, payload_crc32c, read_header
from streamlog.model.record_set import encode_payload, new_compressor
from streamlog.storage.validation import BatchValidator
from streamlog.v1 import batch_pb2, record_pb2

RECORDS = 1_000
ROUNDS = 200
FORMAT_V1_ZSTD = 1 | 2 << 8


def measure_hot_paths() -> list[str]:
    """One line a path: microseconds per batch of 1,000 events."""
    batch = _batch()
    validator = BatchValidator()
    draft = draft_from_message(batch, batch.payload, 1)
    frame = draft.frame(0, 1)
    paths: dict[str, Callable[[], object]] = {
        "validate a batch": lambda: validator.validate(
            batch, topic_id=1, max_batch_bytes=1024 * 1024
        ),
        "frame a batch": lambda: draft.frame(0, 1),
        "read a frame's header": lambda: read_header(frame),
    }
    return [
        f"{name} ({RECORDS} events, {len(batch.payload)} bytes): {_cost_us(work):.1f} us"
        for name, work in paths.items()
    ]


def _batch() -> batch_pb2.RecordBatch:
    events = json_events()[:RECORDS]
    records = record_pb2.RecordSet(
        records=[record_pb2.Record(value=value, offset_delta=i) for i, value in enumerate(events)]
    )
    encoded = encode_payload(records, new_compressor())
    batch = batch_pb2.RecordBatch(
        format_and_flags=FORMAT_V1_ZSTD,
        last_offset_delta=RECORDS - 1,
        record_count=RECORDS,
        uncompressed_bytes=encoded.uncompressed_bytes,
        payload=encoded.payload,
    )
    batch.payload_crc32c = payload_crc32c(batch, encoded.payload)
    return batch


def _cost_us(work: Callable[[], object]) -> float:
    work()
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        work()
    return (time.perf_counter() - begin) / ROUNDS * 1e6
