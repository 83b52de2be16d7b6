"""Decoding gives back what was encoded, whichever way it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlog.client.consume.decoding import decode_records
from streamlog.client.records import ConsumerRecord
from streamlog.model.batch import APPEND_TIME, draft_of_payload, payload_crc32c
from streamlog.model.record_set import new_decompressor
from streamlog.v1.batch_pb2 import BatchSet, RecordBatch
from streamlog.v1.record_pb2 import Header, Record, RecordSet

BASE, FIRST_MS, LAST_MS = 1_000, 5_000, 9_000
BYTES = st.none() | st.binary(max_size=6) | st.sampled_from((b"\x1a", b"\x1a\x00", b" \x1a"))
RECORDS = st.lists(
    st.tuples(
        BYTES,
        BYTES,
        st.lists(st.tuples(st.text(min_size=1, max_size=3), BYTES), max_size=2),
        st.integers(-30, 30),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=40,
)


def stored(records: list[Record], *, append_time: bool) -> RecordBatch:
    """As a leader stores and sends it."""
    draft = draft_of_payload(
        RecordSet(records=records).SerializeToString(),
        topic_id=1,
        partition=2,
        record_count=len(records),
        timestamp_ms=FIRST_MS,
    )
    flags = draft.format_and_flags | (APPEND_TIME if append_time else 0)
    draft = replace(
        draft,
        format_and_flags=flags,
        max_timestamp_ms=LAST_MS,
        last_offset_delta=records[-1].offset_delta,
    )
    draft = replace(draft, payload_checksum=payload_crc32c(draft, draft.payload))
    (batch,) = BatchSet.FromString(draft.frame(BASE, 1)).batches
    return batch


@pytest.mark.parametrize("append_time", [False, True])
@given(shapes=RECORDS, dense=st.booleans(), skipped=st.integers(0, 3))
def test_decoding_is_the_inverse_of_encoding(
    shapes: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int, int]],
    dense: bool,
    skipped: int,
    append_time: bool,
) -> None:
    """Nulls, empties, headers, gaps, and bytes that look like the beginning of a header."""
    records: list[Record] = []
    expected: list[ConsumerRecord] = []
    delta = 0
    for key, value, headers, stamp, step in shapes:
        record = Record(offset_delta=delta, timestamp_delta_ms=stamp)
        if key is not None:
            record.key = key
        if value is not None:
            record.value = value
        for name, content in headers:
            record.headers.append(Header(name=name, value=content))
        records.append(record)
        stamp_ms = LAST_MS if append_time else FIRST_MS + stamp
        place = ("t", 2, BASE + delta, stamp_ms)
        expected.append(ConsumerRecord(*place, key, value, tuple(headers)))
        delta += 1 if dense else step
    batch = stored(records, append_time=append_time)
    found = decode_records(batch, "t", BASE + skipped, new_decompressor())
    assert found == [record for record in expected if record.offset >= BASE + skipped]
